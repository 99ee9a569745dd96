//! Measured against the truth: counters that move as real ones do, whose energy is known for any
//! instant, and that fail on demand.
//!
//! Counting is exact, but the tests share a machine with whatever else runs, and a reading that is
//! late by 3 ms is off by a thousandth of three seconds. So accuracy is asked of the best of a few
//! runs, while the bounds of the record have to hold in each.

use std::process::Stdio;

use carbon_ops_testkit::simulator::{Simulator, may_run, program, with_sim};
use serde_json::Value;

use crate::home::{Home, assert_near, cv, decimal, done, double, finish, has, recorded};
use crate::simulator::{host, truth};

/// Runs that accuracy has to show itself in.
const RUNS: usize = 3;

/// A thousandth.
const ACCURACY: f64 = 0.001;

/// What a correct reader counts: not the core, which is in the package, nor psys, which holds it.
const COUNTED: [&str; 2] = ["package-0", "dram"];

/// Package, core, DRAM and platform, at 65, 40, 8 and 90 W.
const USUAL: [&str; 8] =
    ["-d", "0=package-0@65", "-d", "0:0=core@40", "-d", "0:1=dram@8", "-d", "1=psys@90"];

fn reasons(record: &Value) -> Vec<String> {
    let zones = record["measurement"]["excluded"].as_array().unwrap().iter();
    let word = |zone: &Value, member: &str| zone[member].as_str().unwrap().to_owned();
    let mut reasons: Vec<_> =
        zones.map(|zone| format!("{} {}", word(zone, "zone"), word(zone, "reason"))).collect();
    reasons.sort();
    reasons
}

/// The reasons of the gaps of a domain, and whether a later reading bridged them.
fn gaps<'r>(record: &'r Value, domain: &str) -> Vec<(&'r str, bool)> {
    let gaps = record["measurement"]["gaps"].as_array().unwrap().iter();
    let of = |gap: &'r Value| (gap["reason"].as_str().unwrap(), gap["bridged"].as_bool().unwrap());
    gaps.filter(|gap| gap["domain"] == domain).map(of).collect()
}

fn sysfs(record: &Value) -> &Value {
    let sensors = record["measurement"]["sensors"].as_array().unwrap();
    sensors.iter().find(|sensor| sensor["name"] == "sysfs").unwrap()
}

/// Runs a shell line under measurement.
fn measure(home: &Home, simulator: &Simulator, script: &str) -> Value {
    let powercap = simulator.powercap();
    let mut command =
        home.carbon_ops(&["run", "--region", "DE", &powercap, "--", "sh", "-c", script]);
    let record = recorded(home, command.env("SIM", simulator.path("")));
    assert_eq!(record["simulated"], true);
    record
}

/// Some of the runs are within a thousandth of the truth.
fn accurate(mut relative_error: impl FnMut() -> f64) {
    let mut errors = Vec::new();
    while errors.len() < RUNS {
        errors.push(relative_error());
        if errors.iter().any(|error| error.abs() <= ACCURACY) {
            return;
        }
    }
    panic!("relative errors {errors:?}");
}

#[test]
fn energy_is_the_truth_to_a_thousandth_and_nothing_is_counted_twice() {
    let Some(simulator) = Simulator::start(&[&USUAL[..], &["--mmio"]].concat()) else { return };
    let home = Home::new();
    accurate(|| {
        let record = measure(&home, &simulator, "sleep 3");
        assert_eq!(
            reasons(&record),
            [
                "intel-rapl-mmio:0 duplicate",
                "intel-rapl:0:0 inside_package",
                "intel-rapl:1 overlaps_package"
            ]
        );
        assert_eq!(record["quality_flag"], "measured", "{record:#}");
        assert_eq!(
            (&sysfs(&record)["status"], &record["measurement"]["attribution_mode"]),
            (&"used".into(), &"cpu_time".into())
        );
        assert_eq!(
            (&record["measurement"]["gaps"], record.get("model")),
            (&serde_json::json!([]), None)
        );
        let truth = truth(&simulator.path(""), &COUNTED, &record);
        host(&record) / truth - 1.0
    });
    assert_eq!(home.does(&["ledger", "verify", "--recompute"]).code(), 0);
}

/// Power that swings while the counter wraps about every second.
#[test]
fn wraps_and_swinging_power_lose_nothing() {
    let options =
        ["--max", "65000000", "-d", "0=package-0@sine:65:30:0.7", "-d", "0:0=dram@square:20:2:0.3"];
    let Some(simulator) = Simulator::start(&options) else { return };
    let home = Home::new();
    accurate(|| {
        let record = measure(&home, &simulator, "sleep 3.2");
        let wraps: u64 = record["measurement"]["domains"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["wraps"].as_u64().unwrap())
            .sum();
        assert!(wraps >= 2, "{record:#}");
        host(&record) / truth(&simulator.path(""), &COUNTED, &record) - 1.0
    });
}

/// In the place of the real host, by its default path, nothing tells the simulation from one.
#[test]
fn the_default_path_is_the_hosts_own() {
    if !may_run() {
        return;
    }
    let home = Home::new();
    accurate(|| {
        let before = home.records().len();
        // The truth is only there while the simulator is.
        let script = "\"$CARBON_OPS\" run --region DE -- sleep 2 && echo \"$SIM_DIR\" && read -r";
        let mut command =
            home.bash("exec bash \"$0\" -d 0=package-0@65 -d 0:1=dram@8 -- bash -c \"$1\"");
        command.args([with_sim(), script]).env("RAPLSIM", program()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut folder = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut folder).unwrap();
        let records = home.records();
        assert_eq!(records.len(), before + 1, "{}", finish_reading(child, folder));
        let record = records.last().unwrap();
        let truth = truth(folder.trim().as_ref(), &COUNTED, record);
        finish_reading(child, folder);
        assert!(record.get("simulated").is_none(), "{record:#}");
        assert_eq!(sysfs(record)["status"], "used");
        assert_eq!(record["quality_flag"], "measured", "{record:#}");
        host(record) / truth - 1.0
    });
}

fn finish_reading(mut child: std::process::Child, told: String) -> String {
    drop(child.stdin.take());
    told + &finish(child).stderr
}

#[test]
fn a_package_that_cannot_be_read_at_the_start_leaves_the_model() {
    for fault in ["eio", "enodata", "garbage", "empty"] {
        let Some(simulator) = Simulator::start(&USUAL) else { return };
        simulator.order(&format!("fail package-0 {fault}"));
        let home = Home::new();
        let record = measure(&home, &simulator, "true");
        assert_ne!(sysfs(&record)["status"], "used", "{fault}: {record:#}");
        assert!(!sysfs(&record)["reason"].as_str().unwrap().is_empty());
        assert!(record["measurement"]["model"].is_object() && host(&record) > 0.0);
        assert_ne!(record["quality_flag"], "measured");
        assert!(has(&record, "notes", "zone_unreadable"), "{fault}: {record:#}");
        let unreadable = "intel-rapl:0 unreadable".to_owned();
        assert!(reasons(&record).contains(&unreadable), "{fault}: {record:#}");
    }
}

#[test]
fn memory_that_cannot_be_read_at_the_start_is_named_as_missing() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    simulator.order("fail dram eio");
    let home = Home::new();
    let record = measure(&home, &simulator, "sleep 0.5");
    assert_eq!(sysfs(&record)["status"], "used", "{record:#}");
    assert!(reasons(&record).contains(&"intel-rapl:0:1 unreadable".to_owned()), "{record:#}");
    assert!(has(&record, "notes", "zone_unreadable"), "{record:#}");
    assert_eq!(record["quality_flag"], "estimated");
    assert_near(
        host(&record),
        truth(&simulator.path(""), &["package-0"], &record),
        0.05,
        "package alone",
    );
}

/// The package fails after 1.4 s, for so many seconds up to the end, or until it is repaired.
fn fails_midway(order: &str, seconds: &str, repair: &str, expected: &[&str]) -> Option<Value> {
    let simulator = Simulator::start(&USUAL)?;
    let home = Home::new();
    let script = format!(
        "sleep 1.4; echo {order} > $SIM/ctl; sleep {seconds}; test -z '{repair}' || \
         {{ echo {repair} > $SIM/ctl; sleep 0.6; }}"
    );
    let record = measure(&home, &simulator, &script);
    let found = gaps(&record, "package-0");
    assert!(!found.is_empty(), "{order}: {record:#}");
    assert!(found.iter().all(|(reason, _)| expected.contains(reason)), "{order}: {found:?}");
    assert!(gaps(&record, "dram-0").is_empty(), "{order}: {record:#}");
    assert_near(host(&record), truth(&simulator.path(""), &COUNTED, &record), 0.05, order);
    assert_eq!(home.does(&["ledger", "verify", "--recompute"]).code(), 0);
    let domain = record["measurement"]["domains"].as_array().unwrap().iter();
    let package = domain.clone().find(|domain| domain["name"] == "package-0").unwrap();
    assert!(double(&package["delta_uj"]) > 0.0);
    Some(record)
}

/// A gap up to the end was filled in, and the record says that it is an estimate.
fn is_filled(record: &Value) {
    assert!(gaps(record, "package-0").iter().any(|(_, bridged)| !bridged), "{record:#}");
    assert_eq!(record["quality_flag"], "estimated");
    assert!(double(&record["coverage_pct"]) < 100.0, "{record:#}");
}

#[test]
fn a_zone_that_fails_midway_is_filled_and_named() {
    if let Some(record) = fails_midway("fail package-0 eio", "1.6", "", &["unreadable"]) {
        is_filled(&record);
    }
}

#[test]
fn a_zone_that_talks_garbage_midway_is_filled_and_named() {
    if let Some(record) = fails_midway("fail package-0 garbage", "1.6", "", &["unreadable"]) {
        is_filled(&record);
    }
}

/// When it stopped lies between two readings: its mean power is that of the time before.
#[test]
fn a_zone_that_is_stuck_midway_is_filled_and_named() {
    if let Some(record) = fails_midway("fail package-0 stuck", "1.6", "", &["stuck"]) {
        is_filled(&record);
    }
}

#[test]
fn a_zone_that_is_reset_midway_loses_only_the_moment() {
    if let Some(record) = fails_midway("reset package-0 1000", "1.6", "", &["reset"]) {
        is_filled(&record);
        assert!(double(&record["coverage_pct"]) > 80.0, "{record:#}");
    }
}

/// The counter went on while it could not be read, so that nothing had to be filled in.
#[test]
fn a_zone_that_comes_back_is_bridged() {
    let record =
        fails_midway("fail package-0 enodata", "1.6", "fail package-0 ok", &["unreadable"]);
    if let Some(record) = record {
        assert_eq!(gaps(&record, "package-0"), [("unreadable", true)]);
        assert_eq!(
            (&record["quality_flag"], &record["coverage_pct"]),
            (&"measured".into(), &100.into())
        );
    }
}

/// No counter is left to compare with.
#[test]
fn counters_that_all_stop_midway_leave_an_estimate() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let home = Home::new();
    let script =
        "sleep 1; echo fail package-0 stuck > $SIM/ctl; echo fail dram stuck > $SIM/ctl; sleep 1.5";
    let record = measure(&home, &simulator, script);
    assert_eq!(gaps(&record, "package-0"), [("stuck", false)], "{record:#}");
    assert_eq!(gaps(&record, "dram-0"), [("stuck", false)], "{record:#}");
    assert_near(host(&record), truth(&simulator.path(""), &COUNTED, &record), 0.05, "host");
}

/// A job that ends before the counters have stepped twice is interpolated between their steps.
#[test]
fn a_job_shorter_than_two_updates_is_interpolated() {
    let Some(simulator) = Simulator::start(&[&USUAL[..], &["--quantum-us", "500000"]].concat())
    else {
        return;
    };
    let home = Home::new();
    for script in ["true", "sleep 0.05"] {
        let record = measure(&home, &simulator, script);
        let seconds = double(&decimal(&record["measurement"]["elapsed_ns"]).into()) / 1e9;
        let expected = 73e6 * seconds;
        let found = host(&record);
        assert!(found > 0.3 * expected && found < 3.0 * expected, "{found} µJ of {expected}");
        assert_eq!(record["quality_flag"], "estimated", "{record:#}");
        assert!(has(&record, "notes", "interpolated"), "{record:#}");
        assert_eq!(sysfs(&record)["status"], "used");
    }
}

/// The interval of a short job holds the truth, and that of a long one is narrower.
#[test]
fn the_ends_of_a_window_widen_the_interval_of_a_short_job() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let home = Home::new();
    let ends = |script| {
        let record = measure(&home, &simulator, script);
        let input = record["inputs"].as_array().unwrap().iter().find(|i| i["name"] == "ends");
        cv(input.unwrap())
    };
    let (short, long) = (ends("true"), ends("sleep 0.6"));
    assert!(short > 3.0 * long, "{short} and {long}");
}

/// A slow simulator stands for a slow disk of a sensor: the command must not wait for it.
#[test]
fn signals_pass_while_counters_are_slow() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    simulator.order("latency 20000");
    let home = Home::new();
    let powercap = simulator.powercap();
    let script = "trap 'exit 9' TERM; kill -TERM $PPID; i=0; \
                  while [ $i -lt 500 ]; do sleep 0.02; i=$((i+1)); done; exit 1";
    let run = done(&mut home.carbon_ops(&["run", &powercap, "--", "sh", "-c", script]));
    assert_eq!(run.code(), 9, "{}", run.stderr);
}

/// The counter steps once a second, so that carbon-ops looks on for it after the command has ended,
/// while a daemon of the command burns CPU time.
#[test]
fn what_runs_on_after_the_end_is_not_counted() {
    let Some(simulator) = Simulator::start(&["--quantum-us", "1000000", "-d", "0=package-0@65"])
    else {
        return;
    };
    let burn = "(timeout 3 sh -c 'while :; do :; done' &) ; sleep 0.05";
    let record = measure(&Home::new(), &simulator, burn);
    crate::home::conserves_energy(&record);
    assert!(has(&record, "notes", "descendants_running"), "{record:#}");
}
