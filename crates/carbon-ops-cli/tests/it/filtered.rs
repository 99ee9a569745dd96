//! Energies that the processor blurs: a governor whose snapshots are written by hand says so, or not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::meter::clock::{EpochStart, Moment};
use carbon_ops::meter::protocol::snapshot_line;
use carbon_ops::meter::sensor::Kind;
use carbon_ops::meter::snapshot::{DomainTotal, Snapshot, Source, Text};
use carbon_ops::units::{Microjoules, Watts};
use nix::time::ClockId;
use serde_json::Value;

use crate::home::{Home, assert_near, cv, decimal, done, double, has, recorded};

const PERIOD: Duration = Duration::from_millis(100);

/// 50 W since the clock began, as of the last tenth of a second.
fn snapshot(filtering: Option<bool>) -> Snapshot {
    let now = Duration::from(ClockId::CLOCK_MONOTONIC.now().unwrap());
    let boot = Duration::from(ClockId::CLOCK_BOOTTIME.now().unwrap());
    let seq = u64::try_from(now.as_millis() / PERIOD.as_millis()).unwrap();
    let monotonic = Duration::from_millis(100 * seq);
    let at = Moment::from_nanos(
        u64::try_from((monotonic + boot.saturating_sub(now)).as_nanos()).unwrap(),
    );
    let package = DomainTotal {
        name: Text::new("package-0"),
        key: Text::new("package-0:intel-rapl:0"),
        kind: Kind::Package,
        source: Source::Sysfs,
        excluded: None,
        total: Microjoules::new(5_000_000 * seq),
        delta: Microjoules::new(5_000_000),
        epoch: EpochStart::from_millis(500),
        wraps: 0,
        gaps: 0,
        gap_most: Microjoules::ZERO,
        gap_time: Duration::ZERO,
        skipped: 0,
        read_at: at,
        stale: false,
        stuck: false,
        exact: true,
        lattice: true,
        ceiling: Watts::new(2000.0).unwrap(),
        likely: Watts::new(2000.0).unwrap(),
    };
    Snapshot {
        boot_id: [1; 16],
        seq,
        at,
        monotonic,
        interval: PERIOD,
        filtering,
        domains: vec![package],
        ..Snapshot::default()
    }
}

fn serve(stream: &UnixStream, filtering: Option<bool>) -> std::io::Result<()> {
    for request in BufReader::new(stream.try_clone()?).lines() {
        request?;
        let mut stream = stream;
        stream.write_all(&snapshot_line(&snapshot(filtering), None))?;
    }
    Ok(())
}

/// The socket of a governor that says this of filtering for as long as the test runs.
fn governor(home: &Home, filtering: Option<bool>) -> PathBuf {
    let socket = home.path("governor.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = serve(&stream, filtering);
        }
    });
    socket
}

/// Busy, so that what is active is what exceeds 1 W.
const BUSY: &str = "timeout 0.5 sh -c 'while :; do :; done'; exit 0";

fn record(filtering: Option<bool>) -> Value {
    let home = Home::new();
    let socket = governor(&home, filtering);
    let mut command = home.carbon_ops(&["run", "--region", "DE", "--", "sh", "-c", BUSY]);
    command.env("CARBON_OPS_GOVERNOR_SOCKET", socket).env("IDLE_BASELINE_WATTS", "1");
    let record = recorded(&home, command.env("CARBON_OPS_NVML", "off"));
    assert_eq!(record["measurement"]["attribution_mode"], "governor_cpu_time", "{record:#}");
    let verified = home.does(&["ledger", "verify", "--recompute"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.text(), verified.stderr);
    record
}

#[test]
fn a_record_of_filtered_energies_says_so_and_knows_them_less_well() {
    for (filtering, blur) in [(Some(true), 0.5 / 3f64.sqrt()), (Some(false), 0.0), (None, 0.0)] {
        let record = record(filtering);
        assert_eq!(has(&record, "notes", "energy_filtered"), filtering == Some(true));
        let inputs = record["inputs"].as_array().unwrap();
        let meter = inputs.iter().find(|input| input["name"] == "meter").unwrap();
        let seconds =
            Duration::from_nanos(decimal(&record["measurement"]["elapsed_ns"])).as_secs_f64();
        let energy = |part: &str| double(&record["measurement"]["energy"][part]);
        let whole = energy("host_uj") / (energy("host_uj") - energy("idle_uj"));
        let expected = 0.05f64.hypot(blur / seconds.max(1.0).sqrt()) * whole;
        assert_near(cv(meter), expected, 1e-3, "cv");
        assert_eq!(meter["source"].as_str().unwrap().contains("filtering"), blur > 0.0);
        assert!(meter["shared"].as_str().unwrap().ends_with(":sysfs:package-0"), "{meter}");
        assert!(double(&record["uncertainty_pct"]) > 100.0 * blur * 0.7, "{record:#}");
    }
}

#[test]
fn summary_and_monitor_say_that_energies_are_filtered() {
    let home = Home::new();
    let socket = governor(&home, Some(true));
    let mut run = home.carbon_ops(&["run", "--no-ledger", "--", "sh", "-c", BUSY]);
    let run = done(run.env("CARBON_OPS_GOVERNOR_SOCKET", &socket));
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("energy filtering is enabled"), "{}", run.stderr);
    let arguments = ["monitor", "--all", "--json", "--interval", "200ms", "--count", "1"];
    let mut monitor = home.carbon_ops(&arguments);
    let watched = done(monitor.env("CARBON_OPS_GOVERNOR_SOCKET", &socket));
    assert_eq!(watched.code(), 0, "{}", watched.stderr);
    let sample: Value = serde_json::from_slice(&watched.stdout).unwrap();
    assert_eq!(sample["attribution_mode"], "governor_cpu_time", "{sample:#}");
    assert!(has(&sample, "notes", "energy_filtered"), "{sample:#}");
}
