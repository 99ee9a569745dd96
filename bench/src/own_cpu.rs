//! `own-cpu`: the CPU time that carbon-ops itself takes while a job keeps one CPU busy.
//!
//! The kernel gives us the CPU time of carbon-ops and of the job together, and the job says what it
//! took itself; the difference is carbon-ops, from its first instruction to its last, with the job's
//! way out (some microseconds) on top.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::figure::Figure;
use crate::process::{self, milliseconds};
use crate::sim::{self, Sim};
use crate::stats::Summary;
use crate::subject::{Room, Subject};
use crate::{Options, spin};

/// Most that carbon-ops may take, in percent of the job's CPU time.
const LIMIT_PCT: f64 = 0.3;

/// Length of the job unless told otherwise.
const JOB: Duration = Duration::from_secs(10);

/// One socket with memory.
const ONE_SOCKET: [&str; 4] = ["-d", "0=package-0@65", "-d", "0:0=dram@8"];

/// Two sockets with memory, with the zones that are seen and not counted.
const TWO_SOCKETS: [&str; 15] = [
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
    "-d",
    "2=psys@150",
    "--mmio",
];

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let mut figures = Vec::new();
    let mut add = |variant: &str, arguments: &[&str]| -> Result<()> {
        figures.extend(variant_figures(options, subject, &room, variant, arguments)?);
        Ok(())
    };
    let host = subject.sensor(&room, &[])?;
    if host == "model" {
        add("model only", &[])?;
    } else {
        let none = format!("--powercap-root={}", room.folder("no-counters")?.display());
        add("model only", &[&none])?;
        add(&format!("this host's {host}"), &[])?;
    }
    if let Some(why) = sim::obstacle() {
        eprintln!("own-cpu: left out: simulated RAPL: {why}");
    } else {
        for (name, what, zones) in [
            ("one", "simulated RAPL, package + DRAM", &ONE_SOCKET[..]),
            ("two", "simulated RAPL, 2 packages + 2 DRAM of 9 zones", &TWO_SOCKETS),
        ] {
            let sim = Sim::start(subject, &room, name, zones)?;
            add(what, &[&sim.option()])?;
        }
    }
    Ok(("own-cpu", figures))
}

fn variant_figures(
    options: &Options,
    subject: &Subject,
    room: &Room,
    variant: &str,
    arguments: &[&str],
) -> Result<[Figure; 2]> {
    let ourselves = std::env::current_exe().context("where is this program")?;
    let file = room.path.join("job");
    let seconds = options.length.unwrap_or(JOB).as_secs_f64();
    let mut own = Vec::new();
    for _ in 0..options.rounds_or(3) {
        let mut command = subject.run(room, arguments);
        command.arg("--").arg(&ourselves).args([spin::COMMAND, &seconds.to_string()]).arg(&file);
        let all = process::time(&mut command)?.cpu;
        let job = spin::report(&file)?;
        std::fs::remove_file(&file).context("removing the job's report")?;
        own.push((milliseconds(all.saturating_sub(job)), milliseconds(job)));
    }
    let job = Summary::of(own.iter().map(|(_, job)| *job)).median;
    let figure = |unit, limit, of: &dyn Fn(&(f64, f64)) -> f64| Figure {
        name: format!("own CPU time, run --no-ledger [{variant}]"),
        baseline: format!("a busy job of {seconds} s, {job:.0} ms of CPU time"),
        unit,
        summary: Summary::of(own.iter().map(of)),
        limit,
    };
    Ok([
        figure("ms", None, &|(own, _)| *own),
        figure("%", Some(LIMIT_PCT), &|(own, job)| 100.0 * own / job.max(1e-3)),
    ])
}
