//! `run-overhead`: what `carbon-ops run` adds to a command that does nothing.
//!
//! Runs with and without carbon-ops alternate in pairs, and which goes first alternates too, so that
//! what changes slowly on the machine meets both alike; the figure is the median of the pairs'
//! differences.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::Options;
use crate::figure::Figure;
use crate::machine::file_system;
use crate::process::{self, Took, milliseconds};
use crate::sim::{self, Sim};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that `run --no-ledger -- true` may add, in milliseconds of wall time.
const LIMIT_MS: f64 = 10.0;

/// Pairs that are not counted: caches fill, processors wake up.
const WARM_UP: usize = 5;

/// The counters of one socket, with memory.
const ONE_SOCKET: [&str; 4] = ["-d", "0=package-0@65", "-d", "0:0=dram@8"];

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let pairs = options.pairs;
    let mut figures = Vec::new();

    let mut plain = subject.run(&room, &["--", "true"]);
    let sensor = subject.sensor(&room, &[])?;
    let variant = format!("run --no-ledger -- true [{sensor}]");
    figures.extend(compare(&variant, &mut plain, &room, pairs, Some(LIMIT_MS))?);

    let ledger = room.path.join("ledger");
    process::time(carbon_ops(subject, &room).args(["ledger", "init"]).arg(&ledger))?;
    let mut kept = carbon_ops(subject, &room);
    kept.args(["run", "--ledger"]).arg(&ledger).args(["--", "true"]);
    let variant = format!("run --ledger DIR -- true [{sensor}, {}]", file_system(&ledger));
    figures.extend(compare(&variant, &mut kept, &room, pairs, None)?);

    match sim::obstacle() {
        Some(why) => eprintln!("run-overhead: left out: simulated RAPL: {why}"),
        None => figures.extend(simulated(subject, &room, pairs)?),
    }
    Ok(("run-overhead", figures))
}

fn simulated(subject: &Subject, room: &Room, pairs: usize) -> Result<Vec<Figure>> {
    let sim = Sim::start(subject, room, "sim", &ONE_SOCKET)?;
    let root = sim.option();
    let mut command = subject.run(room, &[&root, "--", "true"]);
    let variant = "run --no-ledger -- true [simulated RAPL, package + DRAM]";
    compare(variant, &mut command, room, pairs, None)
}

fn carbon_ops(subject: &Subject, room: &Room) -> Command {
    process::command(&subject.binary, &room.path)
}

/// Compares a run of `true` under carbon-ops with `true` alone.
fn compare(
    variant: &str,
    with: &mut Command,
    room: &Room,
    pairs: usize,
    limit: Option<f64>,
) -> Result<Vec<Figure>> {
    let taken = interleave(with, &mut bare(&room.path), pairs)?;
    let wall = |took: &Took| milliseconds(took.wall);
    let cpu = |took: &Took| milliseconds(took.cpu);
    let figure = |name: &str, baseline: &str, limit, of: &dyn Fn(&(Took, Took)) -> f64| Figure {
        name: format!("{name}, {variant}"),
        baseline: baseline.to_owned(),
        unit: "ms",
        summary: Summary::of(taken.iter().map(of)),
        limit,
    };
    let differences = "differences of interleaved pairs, baseline bare `true`";
    Ok(vec![
        figure("wall time of the baseline", "bare `true`", None, &|(_, bare)| wall(bare)),
        figure("wall time", "whole run", None, &|(with, _)| wall(with)),
        figure("wall time added", differences, limit, &|(with, bare)| wall(with) - wall(bare)),
        figure("CPU time added, user + system", differences, None, &|(with, bare)| {
            cpu(with) - cpu(bare)
        }),
    ])
}

/// `true` by itself, found along the `PATH` as carbon-ops finds it.
fn bare(home: &Path) -> Command {
    process::command("true", home)
}

fn interleave(with: &mut Command, bare: &mut Command, pairs: usize) -> Result<Vec<(Took, Took)>> {
    let mut taken = Vec::with_capacity(pairs);
    for round in 0..WARM_UP + pairs {
        let pair = if round % 2 == 0 {
            let bare = process::time(bare)?;
            (process::time(with)?, bare)
        } else {
            (process::time(with)?, process::time(bare)?)
        };
        if round >= WARM_UP {
            taken.push(pair);
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_is_left_out() {
        let home = std::env::temp_dir();
        assert_eq!(interleave(&mut bare(&home), &mut bare(&home), 3).unwrap().len(), 3);
    }
}
