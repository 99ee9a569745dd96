//! `carbon-ops doctor` on hand-made hosts: its exit codes, its report and its order.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::home::{Done, Home};

/// A host with a package that can be read, below the work folder of the home.
fn host(home: &Home, with_counter: bool) {
    let status = "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t1000\n\
                  CapEff:\t0\nCapBnd:\t1ffffffffff\nCapAmb:\t0\n";
    let mut files =
        vec![("proc/self/status", status), ("proc/cpuinfo", "vendor_id\t: GenuineIntel\n")];
    if with_counter {
        files.extend([
            ("sys/class/powercap/intel-rapl:0/name", "package-0"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", "61035"),
            ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850"),
        ]);
    }
    for (path, text) in files {
        carbon_ops_testkit::host::file(&home.work("host"), path, text);
    }
}

fn doctor(home: &Home, more: &[&str]) -> Done {
    home.does(&[&["doctor", "--host-root", "host"], more].concat())
}

#[test]
fn the_exit_code_says_whether_anything_is_measured() {
    let home = Home::new();
    assert_eq!(doctor(&home, &[]).code(), 2, "no such folder");
    fs::create_dir(home.work("host")).unwrap();
    assert_eq!(doctor(&home, &[]).code(), 2, "no /proc, nothing could be checked");
    host(&home, false);
    assert_eq!(doctor(&home, &[]).code(), 1);
    host(&home, true);
    let run = doctor(&home, &[]);
    assert_eq!(run.code(), 0);
    let text = run.text();
    assert!(text.starts_with("measured: `carbon-ops run` reads RAPL package-0 itself"), "{text}");
    assert!(
        text.contains("intel-rapl:0 package-0") && text.contains("counted as package-0"),
        "{text}"
    );
}

#[test]
fn a_governor_that_answers_is_used_and_one_that_left_is_told() {
    let home = Home::new();
    host(&home, false);
    fs::create_dir(home.work("host/run")).unwrap();
    let listener = UnixListener::bind(home.work("host/run/carbon-ops.sock")).unwrap();
    let answering = listener.try_clone().unwrap();
    let governor = std::thread::spawn(move || {
        let (mut client, _) = answering.accept().unwrap();
        client.write_all(b"{\"status\":\"ok\",\"totals_uj\":{}}\n").unwrap();
    });
    let run = doctor(&home, &[]);
    governor.join().unwrap();
    assert_eq!(run.code(), 0, "{}", run.text());
    assert!(
        run.text().starts_with("measured: `carbon-ops run` asks the governor"),
        "{}",
        run.text()
    );
    // The queue takes the question, and nobody answers: a service that fails behind its socket unit.
    let run = doctor(&home, &[]);
    assert_eq!(run.code(), 1, "{}", run.text());
    assert!(run.text().contains("takes the question, but nobody"), "{}", run.text());
    drop(listener);
    let run = doctor(&home, &[]);
    assert_eq!(run.code(), 1);
    assert!(run.text().contains("is left over: nobody listens"), "{}", run.text());
}

/// The shape is a promise: a member that is lost or renamed raises `schema_version`.
#[test]
fn the_report_has_the_shape_of_version_1() {
    let home = Home::new();
    host(&home, true);
    let report: Value = serde_json::from_slice(&doctor(&home, &["--json"]).stdout).unwrap();
    let keys =
        |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&report), "checks exit_code kind remedies schema_version source verdict zones");
    assert_eq!((&report["schema_version"], &report["source"]), (&1.into(), &"sysfs".into()));
    assert_eq!(keys(&report["checks"][0]), "detail name remedies status");
    assert_eq!(
        keys(&report["zones"][0]),
        "ceiling_w counted domain excluded mode name range_uj unit_is_exact unit_uj unreadable zone"
    );
    let names: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(
        names.join(" "),
        "governor group powercap driver access sum scale duplicates capabilities container \
         virtual_machine msr lockdown perf nvml hwmon platform energy_filtering cgroup \
         processor"
    );
}

/// Whatever machine this is: a verdict, and no crash.
#[test]
fn this_machine_gets_a_verdict() {
    let run = Home::new().does(&["doctor"]);
    assert!(run.code() <= 1, "{}", run.text());
    let text = run.text();
    assert!(text.starts_with("measured: ") || text.starts_with("estimated: "), "{text}");
}
