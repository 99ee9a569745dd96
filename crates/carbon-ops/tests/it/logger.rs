//! Measurements, on hosts whose counters are files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use carbon_ops::{Clock, EnergyLogger, HostRoot, LoggerSettings, Microjoules, Watts, What};
use carbon_ops_testkit::host::{INTEL_RANGE_UJ, Zone, file};
use carbon_ops_testkit::simulator::Simulator;
use jiff::Timestamp;

const PACKAGE: Zone<'_> = Zone {
    id: "intel-rapl:0",
    name: "package-0",
    energy_uj: 1_000_000,
    range_uj: INTEL_RANGE_UJ,
    limit_uw: 500_000_000,
};

fn logger(root: &Path) -> EnergyLogger {
    EnergyLogger::new(LoggerSettings::of_host(HostRoot::at(root)))
}

/// A host with one package and one processor that does nothing.
fn host() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "proc/stat", "cpu  10 0 10 900 0 0 0 0 0 0\ncpu0 10 0 10 900 0 0 0 0 0 0\n");
    file(root.path(), "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    let cpu = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq";
    file(root.path(), cpu, "2400000\n");
    let folder = PACKAGE.write(root.path());
    (root, folder.join("energy_uj"))
}

/// Power that the package draws while somebody waits, watt by watt in turn.
struct Drawn {
    counter: PathBuf,
    watts: [u64; 2],
    state: Mutex<(Duration, u64, usize)>,
}

impl Clock for Drawn {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        self.state.lock().unwrap().0
    }

    fn sleep(&self, duration: Duration) {
        let mut state = self.state.lock().unwrap();
        let watts = self.watts[state.2 % 2];
        state.0 += duration;
        state.1 += watts * u64::try_from(duration.as_micros()).unwrap();
        state.2 += 1;
        std::fs::write(&self.counter, state.1.to_string()).unwrap();
    }
}

fn drawn(counter: PathBuf, watts: [u64; 2]) -> Drawn {
    Drawn { counter, watts, state: Mutex::new((Duration::from_secs(100), 1_000_000, 0)) }
}

#[test]
fn idle_power_is_the_mean_of_many_intervals_with_their_spread() {
    let (root, counter) = host();
    let clock = drawn(counter, [19, 21]);
    let idle = logger(root.path()).calibrate_idle(Duration::from_secs(10), &clock).unwrap();
    assert_eq!((idle.mean, idle.samples), (Watts::new(20.0).unwrap(), 40));
    // Of 40 values at ±1: sqrt(40/39).
    assert!((idle.spread.as_watts() - 1.0127).abs() < 1e-3, "{idle:?}");
    assert_eq!((idle.source, idle.utilisation), ("sysfs", Some(0.0)));
}

#[test]
fn without_a_counter_there_is_no_idle_power_and_the_error_says_why() {
    let root = tempfile::tempdir().unwrap();
    let clock = drawn(root.path().join("none"), [1, 1]);
    let error = logger(root.path()).calibrate_idle(Duration::from_secs(1), &clock).unwrap_err();
    assert!(error.is_no_counters());
    assert!(error.to_string().contains("no counter of energy can be read: "), "{error}");
}

#[test]
fn work_is_measured_by_the_counter_that_moved_meanwhile() {
    let (root, counter) = host();
    let (answer, measured) = logger(root.path()).measure("work", || {
        std::fs::write(&counter, "1000500").unwrap();
        42
    });
    let measured = measured.unwrap();
    assert_eq!(answer, 42);
    assert_eq!(measured.measurement.domains[0].name, "package-0");
    assert!(measured.simulated && measured.host() > Microjoules::ZERO);
    assert_eq!(measured.measurement.workload.unwrap().program, "work");
}

/// The counter wraps every third of a second, so that who reads its ends alone loses most of it. The machine
/// is shared with other work, which may delay a reading: accuracy is asked of the best of three.
#[test]
fn a_thread_reads_the_counter_whatever_the_work_does() {
    let options = ["--max", "20000000", "-d", "0=package-0@65"];
    let Some(simulator) = Simulator::start(&options) else { return };
    let host = HostRoot::real().with_powercap(simulator.path("class/powercap"));
    let logger = EnergyLogger::new(LoggerSettings::of_host(host));
    let error = || {
        let (_, measured) = logger.run(Command::new("sleep").arg("1")).unwrap();
        let truth = |at: Timestamp| {
            simulator.truth_at("package-0", u64::try_from(at.as_nanosecond()).unwrap())
        };
        let truth = truth(measured.span.end()) - truth(measured.span.start());
        let counted = u32::try_from(measured.host().as_microjoules()).unwrap();
        (f64::from(counted) / truth - 1.0).abs()
    };
    let errors: Vec<f64> = (0..3).map(|_| error()).take_while(|error| *error >= 0.005).collect();
    assert!(errors.len() < 3, "{errors:?}");
}

#[test]
fn without_a_counter_a_model_stands_in_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let block = logger(root.path()).start("work").unwrap();
    let measured = block.finish().unwrap();
    assert!(measured.measurement.model.is_some());
    assert_eq!(measured.quality, carbon_ops::Quality::Fallback);
}

#[test]
fn a_block_that_is_dropped_measures_nothing_and_ends() {
    let (root, _) = host();
    drop(logger(root.path()).start("work").unwrap());
}

#[test]
fn a_command_is_told_with_its_end() {
    let root = tempfile::tempdir().unwrap();
    let logger = logger(root.path());
    let run = |line: &str| {
        let (status, measured) = logger.run(Command::new("sh").args(["-c", line])).unwrap();
        let workload = measured.measurement.workload.unwrap();
        (status.success(), workload.program, workload.exit_code, workload.signal)
    };
    assert_eq!(run("exit 0"), (true, "sh".into(), Some(0), None));
    assert_eq!(run("exit 3"), (false, "sh".into(), Some(3), None));
    assert_eq!(run("kill -9 $$"), (false, "sh".into(), Some(137), Some(9)));
    let error = logger.run(&mut Command::new("/no/such/program")).unwrap_err();
    assert!(error.is_not_started() && !error.is_denied());
}

#[test]
fn a_process_that_is_not_there_is_told_as_such() {
    let (root, _) = host();
    let error = logger(root.path()).observe(What::Pid(7), Duration::ZERO).unwrap_err();
    assert!(error.is_no_process() && !error.is_not_started(), "{error:?}");
}

#[test]
fn a_part_of_the_cpu_time_has_that_part_of_the_energy() {
    let root = tempfile::tempdir().unwrap();
    let ((), measured) = logger(root.path()).measure("work", || ());
    let mut measured = measured.unwrap();
    measured.measurement.energy.workload_uj = 1000;
    let workload = measured.measurement.workload.as_mut().unwrap();
    workload.cpu_time_ns = carbon_ops::record::Decimal(4_000_000);
    assert_eq!(measured.part(Duration::from_millis(1)), Microjoules::new(250));
    assert_eq!(measured.part(Duration::from_secs(9)), Microjoules::new(1000));
}

#[test]
fn samples_are_kept_summed_and_written() {
    let (root, counter) = host();
    let mut logger = logger(root.path());
    assert!(logger.summary().is_none());
    logger.log_metrics("start").unwrap();
    std::fs::write(counter, "1000700").unwrap();
    let metrics = logger.log_metrics("step").unwrap();
    assert_eq!(metrics.sample.cpu.frequency_mhz, Some(2400.0));
    assert_eq!(metrics.sample.memory.used_bytes, Some(600 * 1024));
    let energy = metrics.sample.host.energy_uj;
    let summary = logger.summary().unwrap();
    assert_eq!((summary.samples, summary.memory_peak_bytes), (2, Some(600 * 1024)));
    assert!(summary.energy >= Microjoules::new(energy));

    let (mut csv, mut json) = (Vec::new(), Vec::new());
    logger.export_csv(&mut csv).unwrap();
    logger.export_json(&mut json).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("timestamp,operation,") && csv.lines().count() == 3, "{csv}");
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["metrics"][1]["operation"], "step");
    assert_eq!(json["metrics"].as_array().unwrap().len(), 2);
    assert_eq!(json["summary"]["samples"], 2);
}
