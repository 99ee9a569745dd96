//! `ledger-append`: durable signed appends from many submitters, against signing alone.
//!
//! The baseline signs the same bytes with the same crate on as many threads as there are processors,
//! and does nothing else. Both alternate in rounds, so that what else the machine does meets both.

use std::collections::VecDeque;
use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_proof::entry::Entry;
use ed25519_dalek::Signer as _;
use nix::sys::resource::UsageWho;

use super::{create, open, record};
use crate::Options;
use crate::figure::Figure;
use crate::machine::file_system;
use crate::process::{Took, cpu_time};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that an append may take, as a multiple of the time of a signature: 0.7 of its rate.
const LIMIT: f64 = 1.0 / 0.7;

const SUBMITTERS: u32 = 8;
/// How many appends each has under way at most.
const IN_FLIGHT: usize = 1024;
/// Appends of each in a round, and signatures in all of the baseline's; and with `--quick`.
const EACH: u32 = 10_000;
const EACH_QUICK: u32 = 100;
const ROUNDS: usize = 9;

pub(crate) fn measure(options: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let each = options.many(EACH, EACH_QUICK);
    let room = Room::new()?;
    let message = message(&room)?;
    let mut taken = Vec::new();
    for round in 0..=options.rounds_or(ROUNDS) {
        let dir = room.folder(&format!("ledger-{round}"))?;
        create(&dir)?;
        let signed = time(|| sign(&message, each))?;
        let appended = time(|| submit(&dir, each))?;
        // Left until the end: ext4 passes over inodes that were freed in the last seconds, one by one, when
        // it makes a file.
        // The first round warms up.
        if round > 0 {
            taken.push((signed, appended));
        }
    }
    let threads = available_parallelism().map_or(1, usize::from);
    let count = f64::from(SUBMITTERS * each);
    let per_second = |took: &Took| count / took.wall.as_secs_f64();
    let cpu_us = |took: &Took| took.cpu.as_secs_f64() * 1e6 / count;
    let figure = |name: &str, unit, limit, of: &dyn Fn(&(Took, Took)) -> f64| Figure {
        name: format!("{name} [{} bytes, {}]", message.len(), file_system(&room.path)),
        baseline: format!(
            "rounds of {count}, {SUBMITTERS} submitters, {threads} threads that sign"
        ),
        unit,
        summary: Summary::of(taken.iter().map(of)),
        limit,
    };
    let figures = vec![
        figure("raw signatures", "per second", None, &|(signed, _)| per_second(signed)),
        figure("durable appends", "per second", None, &|(_, appended)| per_second(appended)),
        figure("appends' time over signatures'", "times", Some(LIMIT), &|(signed, appended)| {
            appended.wall.as_secs_f64() / signed.wall.as_secs_f64()
        }),
        figure("CPU time of a signature", "us", None, &|(signed, _)| cpu_us(signed)),
        figure("CPU time of an append", "us", None, &|(_, appended)| cpu_us(appended)),
        figure("appends' CPU time over signatures'", "times", None, &|(signed, appended)| {
            appended.cpu.as_secs_f64() / signed.cpu.as_secs_f64()
        }),
    ];
    Ok(("ledger-append", figures))
}

/// Wall time, and CPU time of all threads of this process.
fn time(work: impl FnOnce() -> Result<()>) -> Result<Took> {
    let (before, start) = (cpu_time(UsageWho::RUSAGE_SELF)?, Instant::now());
    work()?;
    let wall = start.elapsed();
    let cpu = cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(before);
    Ok(Took { wall, cpu })
}

/// The signed bytes of an entry.
fn message(room: &Room) -> Result<Vec<u8>> {
    let dir = room.folder("one")?;
    create(&dir)?;
    let pipeline = open(&dir)?;
    pipeline.submitter().submit(&record(1)?)?.wait()?;
    pipeline.close()?;
    let file = std::fs::read(dir.join("ledger.ndjson"))?;
    let line = file.split(|byte| *byte == b'\n').nth(1).context("no second line")?;
    let entry = Entry::parse(line).ok().context("no entry")?;
    Ok(entry.signed_bytes().to_vec())
}

/// As many signatures as appends, on as many threads as processors.
fn sign(message: &[u8], each: u32) -> Result<()> {
    let threads = available_parallelism().map_or(1, usize::from);
    let count = usize::try_from(SUBMITTERS * each)?;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share = count / threads + usize::from(thread < count % threads);
            scope.spawn(move || {
                let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
                for _ in 0..share {
                    black_box(key.sign(black_box(message)));
                }
            });
        }
    });
    Ok(())
}

fn submit(dir: &std::path::Path, each: u32) -> Result<()> {
    let pipeline = open(dir)?;
    std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|number| {
                let submitter = pipeline.submitter();
                scope.spawn(move || -> Result<()> {
                    let mut tickets = VecDeque::with_capacity(IN_FLIGHT);
                    for n in 0..each {
                        if tickets.len() == IN_FLIGHT
                            && let Some(oldest) = tickets.pop_front()
                        {
                            carbon_ops_ledger::append::pipeline::Ticket::wait(oldest)?;
                        }
                        tickets.push_back(submitter.submit(&record(number * each + n)?)?);
                    }
                    for ticket in tickets {
                        ticket.wait()?;
                    }
                    Ok(())
                })
            })
            .collect();
        for submitter in submitters {
            submitter.join().ok().context("a submitter panicked")??;
        }
        anyhow::Ok(())
    })?;
    let stored = pipeline.close()?;
    ensure!(stored.entries == u64::from(SUBMITTERS * each), "{stored:?}");
    Ok(())
}
