//! `governor-cost`, `governor-1khz`: the governor beside the cheapest correct reader of the same
//! counters (`testdata/sim/floor.rs`), and `governor-attribution`: the governor with `carbon-ops
//! monitor`, which tells who used the energy.
//!
//! Each runs alone, in turns, in a mount namespace where the simulated counters stand at their usual
//! places. Reading through FUSE is most of the cost, and both pay it alike; the figures are those of
//! a steady state, without the start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carbon_ops_meter::client::Governor;
use carbon_ops_meter::protocol::Request;
use serde_json::Value;

use crate::Options;
use crate::daemon::{Daemon, Memory};
use crate::figure::Figure;
use crate::process::milliseconds;
use crate::sim::{self, Sim, compiled};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Two sockets with cores and memory.
pub(crate) const SIX_ZONES: [&str; 12] = [
    "-d",
    "0=package-0@65",
    "-d",
    "0:0=core@40",
    "-d",
    "0:1=dram@8",
    "-d",
    "1=package-1@60",
    "-d",
    "1:0=core@35",
    "-d",
    "1:1=dram@8",
];

/// Most CPU time and most resident memory, as multiples of the floor's.
const CPU_LIMIT: f64 = 1.3;
const RESIDENT_LIMIT: f64 = 2.0;

/// Most memory of its own, in KiB.
const ANONYMOUS_LIMIT_KIB: f64 = 1024.0;

/// Most CPU time with attribution in ms per 30 s, and most resident memory in KiB. The best of the
/// peers that attribute energy to processes takes 360 ms and 46 MiB at the same rate (Alumet 0.9 with
/// its rapl and procfs plugins).
const ATTRIBUTION_LIMIT_MS: f64 = 100.0;
const ATTRIBUTION_LIMIT_KIB: f64 = 10_240.0;

/// CPU time is told per so much time, as in published comparisons of such programs.
const PER: Duration = Duration::from_secs(30);

/// What a start costs is over by then.
const SETTLE: Duration = Duration::from_secs(2);

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long each program is watched unless told otherwise.
const LENGTH: Duration = Duration::from_secs(120);

/// How often, likewise.
const ROUNDS: usize = 2;

/// A governor that serves.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) daemon: Daemon,
    pub(crate) socket: PathBuf,
    pub(crate) page: PathBuf,
}

impl Serving {
    /// Starts one inside `sim`, with all its files in `room`.
    pub(crate) fn start(sim: &Sim, room: &Room, subject: &Subject, hz: u32) -> Result<Self> {
        let (socket, state) = (room.path.join("socket"), room.path.join("state"));
        let mut command = sim.inside(&subject.binary, &room.path)?;
        command.arg("--socket-path").arg(&socket).arg("--state-dir").arg(&state);
        command.args(["--poll-interval", &format!("{}us", 1_000_000 / hz.max(1))]);
        let mut daemon = Daemon::start(&mut command, &subject.binary)?;
        let start = Instant::now();
        while let Err(error) = Governor::connect(&socket, PATIENCE) {
            daemon.must_run(&subject.binary)?;
            ensure!(start.elapsed() < PATIENCE, "the governor does not serve: {error}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { daemon, socket, page: state.join("snapshot") })
    }

    fn health(&self) -> Result<Value> {
        let (mut governor, _) = Governor::connect(&self.socket, PATIENCE)?;
        Ok(serde_json::from_slice(&governor.ask(&Request::Health)?)?)
    }
}

/// What a program took and held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// ms per 30 s.
    pub(crate) cpu: f64,
    pub(crate) memory: Memory,
}

pub(crate) fn watch(daemon: &Daemon, length: Duration) -> Result<Seen> {
    std::thread::sleep(SETTLE);
    let (before, start) = (daemon.cpu()?, Instant::now());
    std::thread::sleep(length);
    let (cpu, elapsed) = (daemon.cpu()?.saturating_sub(before), start.elapsed());
    let share = cpu.as_secs_f64() / elapsed.as_secs_f64();
    Ok(Seen { cpu: share * milliseconds(PER), memory: daemon.memory()? })
}

fn floor(sim: &Sim, room: &Room, hz: u32, length: Duration) -> Result<Seen> {
    let program = compiled("floor")?;
    let mut command = sim.inside(&program, &room.path)?;
    watch(&Daemon::start(command.arg(hz.to_string()), &program)?, length)
}

pub(crate) fn cost(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    Ok(("governor-cost", against_floor(options, subject, 10)?))
}

pub(crate) fn fast(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    Ok(("governor-1khz", against_floor(options, subject, 1000)?))
}

fn against_floor(options: &Options, subject: &Subject, hz: u32) -> Result<Vec<Figure>> {
    sim::demand()?;
    let room = Room::new()?;
    let sim = Sim::mount(&room, "sim", &SIX_ZONES)?;
    let length = options.length.unwrap_or(LENGTH);
    let mut pairs = Vec::new();
    let mut healths = Vec::new();
    for _ in 0..options.rounds_or(ROUNDS) {
        let floor = floor(&sim, &room, hz, length)?;
        let governor = Serving::start(&sim, &room, subject, hz)?;
        pairs.push((floor, watch(&governor.daemon, length)?));
        healths.push(governor.health()?);
    }
    let of = |what: &str, unit, limit, value: &dyn Fn(&(Seen, Seen)) -> f64| Figure {
        name: format!("{what} [{hz} Hz, 6 zones]"),
        baseline: format!("{} s each, in turns with the floor", length.as_secs_f64()),
        unit,
        summary: Summary::of(pairs.iter().map(value)),
        limit,
    };
    let mut figures = vec![
        of("floor: CPU time per 30 s", "ms", None, &|(floor, _)| floor.cpu),
        of("governor: CPU time per 30 s", "ms", None, &|(_, governor)| governor.cpu),
        of("governor: CPU time over the floor's", "x", Some(CPU_LIMIT), &|(floor, governor)| {
            governor.cpu / floor.cpu.max(1e-3)
        }),
        of("floor: resident memory", "KiB", None, &|(floor, _)| floor.memory.resident),
        of("governor: resident memory", "KiB", None, &|(_, governor)| governor.memory.resident),
        of("governor: resident memory over the floor's", "x", Some(RESIDENT_LIMIT), &|pair| {
            pair.1.memory.resident / pair.0.memory.resident.max(1.0)
        }),
        of("governor: anonymous memory", "KiB", Some(ANONYMOUS_LIMIT_KIB), &|(_, governor)| {
            governor.memory.anonymous
        }),
    ];
    figures.extend(punctuality(&healths, hz));
    Ok(figures)
}

/// What the governor itself says of its samples' time.
fn punctuality(healths: &[Value], hz: u32) -> Vec<Figure> {
    let sampler = |health: &Value, path: &str| {
        health.pointer(&format!("/sampler/{path}")).and_then(Value::as_f64).unwrap_or(f64::NAN)
    };
    let figure = |what: &str, unit, of: &dyn Fn(&Value) -> f64| Figure {
        name: format!("governor: {what} [{hz} Hz, 6 zones]"),
        baseline: "its own count, in buckets of a quarter of a doubling".to_owned(),
        unit,
        summary: Summary::of(healths.iter().map(of)),
        limit: None,
    };
    vec![
        figure("lateness of a sample, p50", "us", &|health| sampler(health, "late_us/p50")),
        figure("lateness of a sample, p99", "us", &|health| sampler(health, "late_us/p99")),
        figure("lateness of a sample, most", "us", &|health| sampler(health, "late_us/max")),
        figure("samples left out", "%", &|health| {
            let (missed, ticks) = (sampler(health, "missed"), sampler(health, "ticks"));
            100.0 * missed / (missed + ticks).max(1.0)
        }),
    ]
}

pub(crate) fn attribution(
    options: &Options,
    subject: &Subject,
) -> Result<(&'static str, Vec<Figure>)> {
    sim::demand()?;
    let carbon_ops = Subject::find("carbon-ops", options.carbon_ops.as_deref())?;
    let room = Room::new()?;
    let sim = Sim::mount(&room, "sim", &SIX_ZONES)?;
    let length = options.length.unwrap_or(LENGTH);
    let mut seen = Vec::new();
    for _ in 0..options.rounds_or(ROUNDS) {
        let governor = Serving::start(&sim, &room, subject, 10)?;
        let mut command = monitor(&sim, &carbon_ops, &room, &governor.socket)?;
        let monitor = Daemon::start(&mut command, &carbon_ops.binary)
            .context("`carbon-ops monitor` cannot be started")?;
        // Both in the same time.
        let governor = std::thread::scope(|scope| {
            let governor = scope.spawn(|| watch(&governor.daemon, length));
            let monitor = watch(&monitor, length);
            let governor = governor.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
            anyhow::Ok((governor, monitor?))
        })?;
        seen.push(governor);
    }
    let of = |what: &str, unit, limit, value: &dyn Fn(&(Seen, Seen)) -> f64| Figure {
        name: format!("{what} [10 Hz, 6 zones; attribution every second]"),
        baseline: format!("{} s, {} processes", length.as_secs_f64(), processes()),
        unit,
        summary: Summary::of(seen.iter().map(value)),
        limit,
    };
    let (ms, kib) = (Some(ATTRIBUTION_LIMIT_MS), Some(ATTRIBUTION_LIMIT_KIB));
    let figures = vec![
        of("governor: CPU time per 30 s", "ms", None, &|(governor, _)| governor.cpu),
        of("monitor: CPU time per 30 s", "ms", None, &|(_, monitor)| monitor.cpu),
        of("both: CPU time per 30 s", "ms", ms, &|(governor, monitor)| governor.cpu + monitor.cpu),
        of("governor: resident memory", "KiB", None, &|(governor, _)| governor.memory.resident),
        of("monitor: resident memory", "KiB", None, &|(_, monitor)| monitor.memory.resident),
        of("both: resident memory", "KiB", kib, &|(governor, monitor)| {
            governor.memory.resident + monitor.memory.resident
        }),
    ];
    Ok(("governor-attribution", figures))
}

/// Processes of this machine: the more there are, the more attribution costs.
fn processes() -> usize {
    let is_number = |name: std::ffi::OsString| {
        name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| is_number(entry.file_name())).count()
}

/// `carbon-ops monitor` of all that runs, once a second, asking this governor.
fn monitor(sim: &Sim, carbon_ops: &Subject, room: &Room, socket: &Path) -> Result<Command> {
    let mut command = sim.inside(&carbon_ops.binary, &room.path)?;
    command.args(["monitor", "--all", "--interval", "1s"]);
    command.env("CARBON_OPS_GOVERNOR_SOCKET", socket);
    Ok(command)
}
