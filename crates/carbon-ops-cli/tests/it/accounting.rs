//! Whose CPU time is counted: all of the command's, of every process it starts, and nobody else's.
//!
//! The other account is bash's `times`, which asks the kernel for itself and for the children that
//! it has waited for, to the millisecond.

use std::fs;

use serde_json::Value;

use crate::home::{Home, assert_near, decimal, done, double, recorded};

/// Counts to nothing for some milliseconds.
const BURN: &str = "for ((j = 0; j < 5000; j++)); do :; done";

/// Seconds of a word such as `1m2.345s`.
fn seconds(word: &str) -> f64 {
    let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
    60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap()
}

/// User and system time of the shell that printed `times`.
pub(crate) fn own_seconds(times: &str) -> f64 {
    times.lines().next().unwrap().split_whitespace().map(seconds).sum()
}

/// The same, with its children.
fn all_seconds(times: &str) -> f64 {
    times.split_whitespace().map(seconds).sum()
}

fn counted_seconds(record: &Value) -> f64 {
    let nanoseconds = decimal(&record["measurement"]["workload"]["cpu_time_ns"]);
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[test]
fn two_hundred_short_lived_children_are_counted_to_a_percent() {
    let home = Home::new();
    let script = format!("for ((i = 0; i < 200; i++)); do ({BURN}); done; times");
    let run = home.does(&["run", "--", "bash", "-c", &script]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let record = &home.records()[0];
    crate::home::conserves_energy(record);
    let told = all_seconds(&run.text());
    assert!(told > 0.4, "{told} s of CPU time are too few to compare");
    assert_near(counted_seconds(record), told, 0.01, "CPU time");
}

/// An orphan's time goes to no parent of its own; it is ours all the same.
#[test]
fn a_grandchild_that_lost_its_parent_is_counted() {
    let home = Home::new();
    let orphan =
        format!("for i in {{1..40}}; do {BURN}; done; times > burnt.new; mv burnt.new burnt");
    let script = format!(
        "(bash -c '{orphan}' &); while [ ! -e burnt ]; do sleep 0.05; done; sleep 0.2; times"
    );
    let run = home.does(&["run", "--", "bash", "-c", &script]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let orphans = own_seconds(&fs::read_to_string(home.work("burnt")).unwrap());
    let told = orphans + all_seconds(&run.text());
    assert!(orphans > 0.1 && orphans > told / 2.0, "{orphans} of {told} s");
    assert_near(counted_seconds(&home.records()[0]), told, 0.02, "CPU time");
    assert!(home.records()[0]["measurement"]["workload"].get("running").is_none());
}

/// A shell that becomes `carbon-ops` by exec leaves it the children that the shell has reaped.
#[test]
fn what_ran_before_is_not_counted() {
    let home = Home::new();
    let line = format!(r#"(for i in {{1..20}}; do {BURN}; done); exec "$CARBON_OPS" run -- true"#);
    let record = recorded(&home, &mut home.bash(&line));
    assert!(counted_seconds(&record) < 0.05, "{record:#}");
}

/// By its definition; `home::conserves_energy` checks the sum of every record of these tests.
#[test]
fn a_job_gets_its_share_of_the_active_energy() {
    let home = Home::new();
    let script = format!("for i in {{1..40}}; do {BURN}; done");
    let record = home.record(&["--", "bash", "-c", &script]);
    let energy = &record["measurement"]["energy"];
    let active = double(&energy["host_uj"]) - double(&energy["idle_uj"]);
    let ratio = double(&record["measurement"]["allocation_ratio"]);
    assert!(ratio > 0.0 && ratio <= 1.0 && active > 0.0, "{record:#}");
    assert!((double(&energy["workload_uj"]) - active * ratio).abs() <= 1.0, "{record:#}");
}

#[test]
fn time_spent_asleep_is_not_cpu_time() {
    let home = Home::new();
    let record = recorded(&home, &mut home.carbon_ops(&["run", "--", "sleep", "0.3"]));
    assert!(counted_seconds(&record) < 0.05, "{record:#}");
    assert!(decimal(&record["measurement"]["elapsed_ns"]) >= 300_000_000, "{record:#}");
    assert_eq!(done(&mut home.carbon_ops(&["ledger", "verify"])).code(), 0);
}
