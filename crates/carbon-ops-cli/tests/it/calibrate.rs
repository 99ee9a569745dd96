//! `calibrate`: the idle power by counters that move, and the reason where none can be read.

use serde_json::Value;

use crate::fake_host::{class, zone};
use crate::home::{Home, done, double};

#[test]
fn without_a_counter_there_is_nothing_to_calibrate_and_the_reason_is_told() {
    let home = Home::new();
    let root = home.path("nothing").display().to_string();
    let told = home.does(&["calibrate", "--duration", "1s", "--powercap-root", &root]);
    assert_eq!(told.code(), 2);
    assert!(told.stderr.contains("no counter of energy can be read"), "{}", told.stderr);
    assert_eq!(home.does(&["calibrate", "--duration", "10ms"]).code(), 2);
}

/// How busy this machine is meanwhile is not ours to say; the exit code tells it.
#[test]
fn a_counter_that_moves_gives_a_power_with_its_spread() {
    let home = Home::new();
    let package = zone(&home, "intel-rapl:0", "package-0", 100_000_000);
    let folder = class(&home);
    let file = package.join("energy_uj").display().to_string();
    // It moves for as long as somebody may look.
    let line = format!(
        "(i=0; while :; do i=$((i + 1)); echo $((100000000 + i * 1000000)) > {file}; sleep 0.05; done) & mover=$!
         \"$CARBON_OPS\" calibrate --duration 1s --json --powercap-root {folder}; code=$?
         kill $mover; exit $code"
    );
    let told = done(&mut home.bash(&line));
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    let busy = report["utilisation"].as_f64().is_some_and(|busy| busy > 0.05);
    assert_eq!(told.code(), i32::from(busy), "{report}");
    assert!(double(&report["idle_watts"]) > 0.0 && report["source"] == "sysfs", "{report}");
    assert!(report["samples"].as_u64().unwrap() >= 2, "{report}");
}
