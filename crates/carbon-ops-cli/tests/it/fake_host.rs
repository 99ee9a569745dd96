//! Counters of a powercap folder made of plain files. The command under test moves them, so that the
//! energy is known to the microjoule, on any machine and without privilege.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_testkit::host::{self, Zone};
use carbon_ops_testkit::skip::{can, is_root, skip};
use nix::time::ClockId;
use serde_json::Value;

use crate::home::{CARBON_OPS, Home, decimal, done, has, recorded};

/// A range that is no multiple of any energy unit, so that µJ are taken as they are printed.
const RANGE: u64 = 200_000_000_000;

/// Adds a zone and returns its folder.
pub(crate) fn zone(home: &Home, id: &str, name: &str, energy_uj: u64) -> PathBuf {
    Zone { id, name, energy_uj, range_uj: RANGE, limit_uw: 65_000_000 }.write(home.root())
}

pub(crate) fn class(home: &Home) -> String {
    host::class(home.root()).display().to_string()
}

/// A shell function that writes a counter ten times, `step` apart, half a second in all.
pub(crate) fn moving(counters: &[(&Path, u64, u64)]) -> String {
    let mut script = String::from("for i in 1 2 3 4 5 6 7 8 9 10; do\n");
    for (zone, start, step) in counters {
        let file = zone.join("energy_uj");
        writeln!(script, "echo $(({start} + i * {step})) > {}", file.display()).unwrap();
    }
    script + "sleep 0.05; done"
}

pub(crate) fn sensor<'r>(record: &'r Value, name: &str) -> &'r Value {
    let sensors = record["measurement"]["sensors"].as_array().unwrap();
    sensors.iter().find(|sensor| sensor["name"] == name).unwrap()
}

#[test]
fn counters_that_move_are_measured_to_the_microjoule() {
    let home = Home::new();
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let core = zone(&home, "intel-rapl:0:0", "core", 5_000_000);
    let dram = zone(&home, "intel-rapl:0:1", "dram", 7_000_000);
    // An index says nothing: on this machine the second zone is the platform, the third a package.
    let psys = zone(&home, "intel-rapl:1", "psys", 1);
    let second = zone(&home, "intel-rapl:2", "package-1", 0);
    zone(&home, "intel-rapl-mmio:0", "package-0", 100_000_000);
    let script = moving(&[
        (&package, 100_000_000, 1_000_000),
        (&core, 5_000_000, 500_000),
        (&dram, 7_000_000, 123_456),
        (&psys, 1, 3_000_000),
        (&second, 0, 700_001),
    ]);
    let record = home.record(&[
        "--region",
        "DE",
        "--powercap-root",
        &class(&home),
        "--",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!(record["measurement"]["energy"]["host_uj"], 10_000_000 + 1_234_560 + 7_000_010);
    let of = |domain: &Value| {
        (domain["name"].as_str().unwrap().to_owned(), domain["delta_uj"].as_u64().unwrap())
    };
    let domains: Vec<_> =
        record["measurement"]["domains"].as_array().unwrap().iter().map(of).collect();
    let expected = [("dram-0", 1_234_560), ("package-0", 10_000_000), ("package-1", 7_000_010)];
    assert_eq!(domains, expected.map(|(name, energy)| (name.to_owned(), energy)));
    let mut excluded: Vec<String> = record["measurement"]["excluded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|zone| {
            format!("{} {}", zone["zone"].as_str().unwrap(), zone["reason"].as_str().unwrap())
        })
        .collect();
    excluded.sort();
    assert_eq!(
        excluded,
        [
            "intel-rapl-mmio:0 duplicate",
            "intel-rapl:0:0 inside_package",
            "intel-rapl:1 overlaps_package"
        ]
    );
    assert_eq!((&record["simulated"], &record["quality_flag"]), (&true.into(), &"measured".into()));
    assert_eq!(sensor(&record, "sysfs")["status"], "used");
    assert_eq!(
        (&record["measurement"]["gaps"], &record["coverage_pct"]),
        (&serde_json::json!([]), &100.into())
    );
    assert_eq!(record["measurement"]["attribution_mode"], "cpu_time");
    assert_eq!(home.does(&["ledger", "verify", "--recompute"]).code(), 0);
}

/// As with the governor: equal epochs of one boot mean totals that may be subtracted, and those of two
/// runs may not.
#[test]
fn the_epoch_of_a_runs_own_counters_is_when_they_were_first_read() {
    let milliseconds = || {
        let boot = Duration::from(ClockId::CLOCK_BOOTTIME.now().unwrap());
        u64::try_from(boot.as_millis()).unwrap()
    };
    let run = || {
        let home = Home::new();
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let script = moving(&[(&package, 100_000_000, 1_000_000)]);
        let before = milliseconds();
        let record = home.record(&["--powercap-root", &class(&home), "--", "sh", "-c", &script]);
        let epoch = decimal(&record["measurement"]["domains"][0]["epoch"]);
        assert!((before..milliseconds()).contains(&epoch), "{epoch} began before {before} ms");
        epoch
    };
    assert!(run() < run());
}

/// From a few joules below the range to a few above zero.
#[test]
fn a_wrap_is_counted_once() {
    let home = Home::new();
    let start = RANGE - 4_500_000;
    let package = zone(&home, "intel-rapl:0", "package-0", start);
    let file = package.join("energy_uj").display().to_string();
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do echo $((({start} + i * 1000000) % {RANGE})) > {file}
         sleep 0.05; done"
    );
    let record = home.record(&["--powercap-root", &class(&home), "--", "sh", "-c", &script]);
    assert_eq!(record["measurement"]["energy"]["host_uj"], 10_000_000, "{record:#}");
    assert_eq!(record["measurement"]["domains"][0]["wraps"], 1);
}

#[test]
fn counters_that_rest_are_not_believed() {
    let home = Home::new();
    zone(&home, "intel-rapl:0", "package-0", 123_456_789);
    zone(&home, "intel-rapl:0:0", "dram", 1_000_000);
    let run = home.does(&[
        "run",
        "--region",
        "DE",
        "--powercap-root",
        &class(&home),
        "--",
        "sleep",
        "0.1",
    ]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let record = &home.records()[0];
    crate::home::conserves_energy(record);
    assert!(record["measurement"]["energy"]["host_uj"].as_u64().unwrap() > 0);
    assert!(
        record["measurement"]["model"].is_object()
            && record["measurement"]["attribution_mode"] == "monitor_only"
    );
    let sysfs = sensor(record, "sysfs");
    assert_eq!(sysfs["status"], "failed");
    let reason = sysfs["reason"].as_str().unwrap();
    assert!(!reason.is_empty() && run.stderr.contains(reason), "{}", run.stderr);
    assert_eq!(sensor(record, "model")["status"], "used");
    assert_ne!(record["quality_flag"], "measured");
    assert!(has(record, "notes", "zone_unreadable"), "{record:#}");
}

/// A package or memory that is there and not counted lowers the flag, is told to people, and its energy, be it as
/// much as what was counted, is not outside of the interval.
#[test]
fn what_is_not_counted_is_said_and_widens_the_interval() {
    for (name, what) in
        [("package-1", "no file"), ("package-1", "garbage"), ("package-1", "stuck"), ("dram", "-")]
    {
        let home = Home::new();
        let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
        let id = if name == "dram" { "intel-rapl:0:0" } else { "intel-rapl:1" };
        let lost = zone(&home, id, name, 70_000_000);
        match what {
            "no file" => fs::remove_file(lost.join("energy_uj")).unwrap(),
            "stuck" => {}
            text => fs::write(lost.join("energy_uj"), text).unwrap(),
        }
        let script = moving(&[(&package, 100_000_000, 1_000_000)]);
        let class = class(&home);
        let arguments = ["run", "--region", "DE", "--powercap-root", &class, "--", "sh", "-c"];
        let run = done(home.carbon_ops(&arguments).arg(&script));
        let record = home.records().pop().unwrap();
        assert_eq!(record["quality_flag"], "estimated", "{record:#}");
        assert!(has(&record, "notes", "zone_unreadable"), "{record:#}");
        let named = if name == "dram" { "dram-0" } else { name };
        let said = format!("MISSING from it: {named} (");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        let ends = record["inputs"].as_array().unwrap().iter().find(|it| it["name"] == "ends");
        let ends = ends.unwrap()["dist"].as_str().unwrap();
        let cv = ends.split_once(", ").unwrap().1.trim_end_matches(')').parse::<f64>().unwrap();
        // Memory is a smaller part than a package.
        let least = if name == "dram" { 0.25 } else { 0.5 };
        assert!(cv > least, "{name} {what}: {ends}");
    }
}

#[test]
fn a_folder_without_zones_is_told_as_the_reason() {
    let home = Home::new();
    fs::create_dir_all(home.path("sys/class/powercap")).unwrap();
    for folder in [class(&home), home.path("nowhere").display().to_string()] {
        let run = home.does(&["run", "--powercap-root", &folder, "--", "true"]);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        let record = home.records().pop().unwrap();
        assert_eq!(sensor(&record, "sysfs")["status"], "absent");
        assert!(run.stderr.contains(&folder), "{}", run.stderr);
    }
}

#[test]
fn garbage_in_every_file_of_a_zone_stops_nothing() {
    for file in ["name", "energy_uj", "max_energy_range_uj", "constraint_0_max_power_uw"] {
        for text in ["", "-1\n", "<unsupported>\n", "99999999999999999999999999\n", "\u{0}\u{0}\n"]
        {
            let home = Home::new();
            let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
            fs::write(package.join(file), text).unwrap();
            // A limit that cannot be read is no reason not to count.
            let counts = file.starts_with("constraint");
            let script = moving(&[(&package, 100_000_000, 1_000_000)]);
            let script = if counts { &script } else { "true" };
            let record = home.record(&["--powercap-root", &class(&home), "--", "sh", "-c", script]);
            assert_eq!(
                record["measurement"].get("model").is_none(),
                counts,
                "{file} {text:?}: {record:#}"
            );
        }
    }
}

/// As an ordinary user, from whom the kernel keeps the counters (CVE-2020-8694).
#[test]
fn counters_that_only_root_may_read_are_denied_with_the_remedy() {
    let home = Home::new();
    let package = zone(&home, "intel-rapl:0", "package-0", 1_000_000);
    let class = class(&home);
    let record = if is_root() {
        let secret = package.join("energy_uj");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let copy = home.path("carbon-ops");
        fs::copy(CARBON_OPS, &copy).unwrap();
        let everybody = format!(
            "chmod -R go+rX {0} && chown -R 65534:65534 {0} && chown 0:0 {1} && chmod 400 {1} && \
             {nobody} test -x {2}",
            home.path("").display(),
            secret.display(),
            copy.display()
        );
        if !can(&everybody) {
            return skip("nobody", "no setpriv(1), or no way into the temporary folder");
        }
        let mut command = home.program("setpriv");
        command.args(nobody.split_whitespace().skip(1)).arg(copy);
        recorded(&home, command.args(["run", "--powercap-root", &class, "--", "true"]))
    } else {
        let secret = fs::Permissions::from_mode(0o000);
        fs::set_permissions(package.join("energy_uj"), secret).unwrap();
        home.record(&["--powercap-root", &class, "--", "true"])
    };
    let sysfs = sensor(&record, "sysfs");
    assert_eq!(sysfs["status"], "denied", "{record:#}");
    assert!(sysfs["reason"].as_str().unwrap().contains("root"), "{sysfs}");
    let excluded = &record["measurement"]["excluded"][0];
    assert_eq!(excluded["reason"], "permission_denied", "{record:#}");
    assert!(has(&record, "notes", "zone_unreadable"), "{record:#}");
    assert_ne!(record["quality_flag"], "measured");
}

/// Read after the window has begun, the counter of a zone that vanishes is filled and named.
#[test]
fn a_zone_that_vanishes_is_a_gap() {
    let home = Home::new();
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let dram = zone(&home, "intel-rapl:0:0", "dram", 7_000_000);
    let script = moving(&[(&package, 100_000_000, 1_000_000), (&dram, 7_000_000, 500_000)]);
    // Files that stay open survive their removal, unlike those of sysfs: an empty one tells no more.
    let script = format!("{script}; : > {0}; sleep 0.6", dram.join("energy_uj").display());
    let record = home.record(&[
        "--region",
        "DE",
        "--powercap-root",
        &class(&home),
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let gaps = record["measurement"]["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{record:#}");
    assert_eq!((&gaps[0]["domain"], &gaps[0]["bridged"]), (&"dram-0".into(), &false.into()));
    assert!(record["coverage_pct"].as_f64().unwrap() < 100.0, "{record:#}");
    assert_eq!(record["quality_flag"], "estimated");
    let done = done(&mut home.carbon_ops(&["ledger", "verify", "--recompute"]));
    assert_eq!(done.code(), 0, "{}", done.text());
}
