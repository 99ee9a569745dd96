//! `ledger-sync-append`: one durable append after the other, against a bare write and `fdatasync` of as
//! many bytes to a file beside it.
//!
//! Both alternate, so that what else the disk does meets both. The ledger's own file and the other one
//! grow alike.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::storage::DirStorage;

use super::{NOW, create, key, open, options, record, trust};
use crate::Options;
use crate::figure::Figure;
use crate::machine::file_system;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that an append may take, as a multiple of the bare write's time, at the median.
const LIMIT: f64 = 2.0;

/// Appends of each kind in a round, and with `--quick`.
const APPENDS: u32 = 400;
const APPENDS_QUICK: u32 = 10;
/// Those that are not counted.
const WARM_UP: u32 = 20;
const ROUNDS: usize = 5;

pub(crate) fn measure(wanted: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let appends = wanted.many(APPENDS, APPENDS_QUICK);
    let room = Room::new()?;
    let (mut bare, mut single, mut piped) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..wanted.rounds_or(ROUNDS) {
        let medians = alternate(&room, round, appends)?;
        let [b, s, p] = medians;
        bare.push(b);
        single.push(s);
        piped.push(p);
    }
    let kind = file_system(&room.path);
    let figure = |name: &str, unit, limit, sample: Vec<f64>| Figure {
        name: format!("{name} [{kind}]"),
        baseline: format!("medians of rounds of {appends}, alternating"),
        unit,
        summary: Summary::of(sample),
        limit,
    };
    let ratio = |of: &[f64]| of.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
    let figures = vec![
        figure("bare write and fdatasync, p50", "us", None, bare.clone()),
        figure("append by itself, p50", "us", None, single.clone()),
        figure("append through the pipeline, p50", "us", None, piped.clone()),
        figure("append by itself over bare", "times", Some(LIMIT), ratio(&single)),
        figure("append through the pipeline over bare", "times", Some(LIMIT), ratio(&piped)),
    ];
    Ok(("ledger-sync-append", figures))
}

/// Medians in microseconds: bare, by itself, through a pipeline.
fn alternate(room: &Room, round: usize, appends: u32) -> Result<[f64; 3]> {
    let dirs = [room.folder(&format!("single-{round}"))?, room.folder(&format!("piped-{round}"))?];
    for dir in &dirs {
        create(dir)?;
    }
    let [single_dir, piped_dir] = &dirs;
    let (key, trust) = (key(), trust());
    let storage = DirStorage::new(single_dir);
    let mut ledger = Ledger::open_for_append(storage, &key, &trust, NOW, options())?;
    let pipeline = open(piped_dir)?;
    let submitter = pipeline.submitter();
    let mut bare = OpenOptions::new().create(true).append(true).open(single_dir.join("bare"))?;
    let mut taken: [Vec<Duration>; 3] = Default::default();
    for n in 0..WARM_UP + appends {
        let payload = record(n)?;
        let start = Instant::now();
        let appended = ledger.append(payload.clone(), NOW)?;
        let single = start.elapsed();
        let mut line = appended.line;
        line.push(b'\n');
        let start = Instant::now();
        bare.write_all(&line)?;
        bare.sync_data()?;
        let bare = start.elapsed();
        let start = Instant::now();
        submitter.submit(&payload)?.wait()?;
        let piped = start.elapsed();
        if n >= WARM_UP {
            for (all, one) in taken.iter_mut().zip([bare, single, piped]) {
                all.push(one);
            }
        }
    }
    pipeline.close()?;
    Ok(taken
        .map(|sample| Summary::of(sample.into_iter().map(|time| time.as_secs_f64() * 1e6)).median))
}
