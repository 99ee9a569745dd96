//! Totals against the truth, through wraps, crashes and restarts.
//!
//! A reading is a little older than the moment that is noted for it, by as long as the machine was
//! busy in between. So at each end the least delayed of several snapshots is taken; what is left is
//! one update of the counter.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::governor::{Governor, Place, number};
use crate::simulator::Simulator;
use crate::skip::is_long;

/// Snapshots at each end, of which the least delayed counts.
const LOOKS: usize = 12;

/// A host that is measured.
struct Case {
    name: String,
    watts: u64,
    simulator: Simulator,
    place: Place,
    options: Vec<String>,
}

/// Excess of a total over the truth at the moment of its reading, in µJ; the least delayed of some.
struct End {
    snapshot: Value,
    excess: Vec<(String, f64)>,
}

impl Case {
    fn new(watts: u64, esu: u32, range: u64) -> Option<Self> {
        let (esu, range) = (esu.to_string(), range.to_string());
        let package = format!("0=package-0@{watts}");
        let memory = format!("0:1=dram@{}", watts / 8);
        let zones = ["--esu", &esu, "--max", &range, "-d", &package, "-d", &memory];
        let simulator = Simulator::start(&zones)?;
        // Four times what is drawn: what a published limit would give, and wraps stay provable at 10 Hz.
        let options = vec![simulator.powercap(), format!("--max-power={}", 4 * watts)];
        let name = format!("{watts} W, 2^-{esu} J, range {range} uJ");
        Some(Self { name, watts, simulator, place: Place::new(), options })
    }

    fn start(&self) -> Governor<'_> {
        self.place.start(&self.options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn end(&self, governor: &Governor<'_>) -> End {
        let mut end = End { snapshot: Value::Null, excess: Vec::new() };
        for _ in 0..LOOKS {
            let snapshot = governor.snapshot();
            let ahead = number(&snapshot["unix_ns"]) - number(&snapshot["boottime_ns"]);
            for (key, domain) in snapshot["domains"].as_object().unwrap() {
                let (_, zone) = key.split_once(':').unwrap();
                let truth = self.simulator.truth(zone, number(&domain["read_ns"]) + ahead);
                let excess = double(&snapshot["totals_uj"][key]) - truth;
                match end.excess.iter_mut().find(|(known, _)| known == key) {
                    Some((_, most)) => *most = most.max(excess),
                    None => end.excess.push((key.clone(), excess)),
                }
            }
            end.snapshot = snapshot;
            std::thread::sleep(Duration::from_millis(100));
        }
        end
    }

    /// The error of each domain's energy between two ends, in µJ, and one update of it.
    fn errors(&self, from: &End, to: &End) -> Vec<(String, f64, f64)> {
        let one = |((key, before), (same, after)): (&(String, f64), &(String, f64))| {
            assert_eq!(key, same);
            let watts = if key.starts_with("dram") { self.watts / 8 } else { self.watts };
            (key.clone(), after - before, double(&Value::from(watts)) * 1000.0)
        };
        assert_eq!(from.excess.len(), 2, "{}", self.name);
        from.excess.iter().zip(&to.excess).map(one).collect()
    }

    fn assert_exact(&self, from: &End, to: &End) {
        for (key, error, update) in self.errors(from, to) {
            let log = self.place.log();
            let name = &self.name;
            assert!(error.abs() <= 2.0 * update, "{name}: {key} is off by {error} uJ\n{log}");
            let domain = &to.snapshot["domains"][&key];
            assert_eq!(domain["epoch"], from.snapshot["domains"][&key]["epoch"], "{name}\n{log}");
            assert_eq!((&domain["gaps"], &domain["stale"]), (&0.into(), &false.into()), "{name}");
        }
    }
}

fn double(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn run_time() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 7 })
}

/// Runs all cases at once: they mostly sleep.
fn all_at_once(cases: Vec<Option<Case>>, run: impl Fn(&Case) + Sync) {
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| run(case))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Linux's ranges of 2^32 units at 2^-14 and 2^-16 J.
const RANGES: [(u32, u64); 2] = [(14, 262_143_328_850), (16, 65_532_610_987)];

#[test]
fn every_joule_is_counted_at_any_power_in_either_unit() {
    let cases = [65, 400, 1000].into_iter().flat_map(|watts| {
        RANGES.map(|(esu, range)| Case::new(watts, esu, range))
    });
    all_at_once(cases.collect(), |case| {
        let governor = case.start();
        let from = case.end(&governor);
        std::thread::sleep(run_time());
        case.assert_exact(&from, &case.end(&governor));
    });
}

#[test]
fn wraps_of_every_second_lose_nothing() {
    let cases = [65, 400, 1000].into_iter().flat_map(|watts| {
        [14, 16].map(|esu| Case::new(watts, esu, watts * 1_000_000))
    });
    all_at_once(cases.collect(), |case| {
        let governor = case.start();
        let from = case.end(&governor);
        std::thread::sleep(run_time());
        let to = case.end(&governor);
        case.assert_exact(&from, &to);
        let key = "package-0:intel-rapl:0";
        let wraps = |end: &End| number(&end.snapshot["domains"][key]["wraps"]);
        let seconds = run_time().as_secs();
        assert!(wraps(&to) - wraps(&from) >= seconds, "{}: {}", case.name, wraps(&to));
    });
}

#[test]
fn a_crash_every_three_seconds_loses_nothing() {
    let cases = [65, 1000].into_iter().flat_map(|watts| {
        RANGES.map(|(esu, range)| Case::new(watts, esu, range))
    });
    all_at_once(cases.collect(), |case| {
        let mut governor = case.start();
        let from = case.end(&governor);
        let begun = Instant::now();
        let mut seq = number(&from.snapshot["seq"]);
        while begun.elapsed() < run_time() {
            std::thread::sleep(Duration::from_secs(3));
            governor.crash();
            governor = case.start();
            let next = number(&governor.snapshot()["seq"]);
            assert!(next > seq, "{}: samples {seq} and then {next}", case.name);
            seq = next;
        }
        let to = case.end(&governor);
        case.assert_exact(&from, &to);
        assert_ne!(from.snapshot["started_ns"], to.snapshot["started_ns"]);
        assert!(case.place.log().contains("went on after"), "{}", case.place.log());
    });
}

/// With a range of one second, nobody can know how often the counter wrapped while nobody looked.
#[test]
fn a_crash_longer_than_a_range_is_a_bounded_gap() {
    let cases = [65, 1000].map(|watts| Case::new(watts, 14, watts * 1_000_000)).into_iter();
    all_at_once(cases.collect(), |case| {
        let mut governor = case.start();
        let from = case.end(&governor);
        governor.crash();
        std::thread::sleep(Duration::from_millis(1200));
        governor = case.start();
        let to = case.end(&governor);
        for (key, error, update) in case.errors(&from, &to) {
            let (before, after) = (&from.snapshot["domains"][&key], &to.snapshot["domains"][&key]);
            let name = &case.name;
            if key.starts_with("dram") {
                // An eighth of the power, of which the same ceiling is 32 times as much.
                assert!(number(&after["gaps"]) <= 1, "{name}");
            } else {
                assert_eq!(number(&after["gaps"]), 1, "{name}: {}", case.place.log());
                assert!(number(&after["epoch"]) > number(&before["epoch"]), "{name}");
            }
            let most = double(&after["gap_most_uj"]);
            assert!(error <= 2.0 * update, "{name}: {key} has {error} uJ too much");
            assert!(-error <= most + 2.0 * update, "{name}: {key} lacks {error} of {most} uJ");
            assert!(number(&to.snapshot["totals_uj"][&key]) >= number(&from.snapshot["totals_uj"][&key]));
        }
        let health = governor.health();
        let events = health["sampler"]["events"].as_array().unwrap();
        assert!(events.iter().any(|event| event["event"] == "lost"), "{health:#}");
    });
}
