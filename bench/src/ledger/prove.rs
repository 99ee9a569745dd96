//! `ledger-prove`: what it takes to build the proof of one record in a ledger of a million.
//!
//! From tiles and the ledger's file, as `carbon-ops ledger prove` does it, in this process: what a
//! program takes to start is the same for every command, and another benchmark's. Each proof is checked.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::merkle::{inclusion_proof, leaf_hash, verify_inclusion};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::pack::LineSource as _;
use nix::time::{ClockId, clock_gettime};

use super::made::{Made, SMALL};
use crate::Options;
use crate::figure::Figure;
use crate::process;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that a proof may take, in ms.
const LIMIT_MS: f64 = 1.0;

const RECORDS: u32 = 1_000_000;
/// With `--quick`.
const QUICK: u32 = 2_000;

/// How many records are proven, far from each other.
const PROOFS: u64 = 500;

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let records = options.many(RECORDS, QUICK);
    let room = Room::new()?;
    let made = Made::new(&room, subject, "ledger", records, SMALL)?;
    let mut command = process::command(&subject.binary, &room.path);
    process::time(command.args(["ledger", "checkpoint"]).arg(&made.dir))?;
    let note = Note::parse(&std::fs::read(made.dir.join("checkpoint"))?)?;
    let checkpoint = Checkpoint::of_note(&note)?;
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for step in 0..PROOFS {
        // An odd stride: every part of the tree, and no two in one tile.
        let seq = step * ((u64::from(records) / PROOFS) | 1) % checkpoint.size;
        let (start, cpu) = (Instant::now(), cpu_ms()?);
        let mut tiles = DirTiles::open(Some(&made.dir), &made.dir.join("ledger.ndjson"))?;
        let line = tiles.line(seq)?.context("the line")?;
        let mut tree = TileTree::new(tiles, checkpoint.size);
        let proof = inclusion_proof(seq, checkpoint.size, &mut tree)?.context("the proof")?;
        verify_inclusion(leaf_hash(&line), seq, checkpoint.size, checkpoint.root, &proof)?;
        black_box(proof);
        cpus.push(cpu_ms()? - cpu);
        walls.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let figure = |name: &str, sample, limit| Figure {
        name: format!("{name} of the proof of one record of {records}"),
        baseline: format!("{PROOFS} proofs, each from files that are opened for it"),
        unit: "ms",
        summary: Summary::of(sample),
        limit,
    };
    let figures =
        vec![figure("wall time", walls, Some(LIMIT_MS)), figure("CPU time", cpus, Some(LIMIT_MS))];
    Ok(("ledger-prove", figures))
}

/// CPU time of this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes have fewer than 53 bits")]
fn cpu_ms() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the thread's clock")?;
    Ok(time.tv_sec() as f64 * 1e3 + time.tv_nsec() as f64 / 1e6)
}
