//! `ledger-append`: durable signed appends from many submitters, against signing alone; of records that a user's command
//! made, no two alike.
//!
//! The baseline signs the same bytes with the same crate on as many threads as there are processors,
//! and does nothing else. Both alternate in rounds, so that what else the machine does meets both.

use std::collections::VecDeque;
use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::entry::Entry;
use ed25519_dalek::Signer as _;
use nix::sys::resource::UsageWho;

use super::made::{Kind, LARGE, SMALL, payloads};
use super::{create, open};
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

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let mut figures = Vec::new();
    for kind in [SMALL, LARGE] {
        let records = payloads(&room, subject, options.many(EACH, EACH_QUICK), kind)?;
        figures.extend(of_records(options, &room, &records, kind)?);
    }
    Ok(("ledger-append", figures))
}

fn of_records(
    options: &Options,
    room: &Room,
    records: &[Object],
    kind: Kind,
) -> Result<Vec<Figure>> {
    let messages = messages(room, records)?;
    let mut taken = Vec::new();
    for round in 0..=options.rounds_or(ROUNDS) {
        let dir = room.folder(&format!("{} {round}", kind.name))?;
        create(&dir)?;
        let signed = time(|| sign(&messages))?;
        let appended = time(|| submit(&dir, records))?;
        // Left until the end: ext4 passes over inodes that were freed in the last seconds, one by one, when
        // it makes a file.
        // The first round warms up.
        if round > 0 {
            taken.push((signed, appended));
        }
    }
    let threads = available_parallelism().map_or(1, usize::from);
    let count = f64::from(SUBMITTERS * u32::try_from(records.len())?);
    let per_second = |took: &Took| count / took.wall.as_secs_f64();
    let cpu_us = |took: &Took| took.cpu.as_secs_f64() * 1e6 / count;
    let figure = |name: &str, unit, limit, of: &dyn Fn(&(Took, Took)) -> f64| Figure {
        name: format!("{name} [{}, {}]", kind.name, file_system(&room.path)),
        baseline: format!(
            "rounds of {count}, {SUBMITTERS} submitters, {threads} threads that sign"
        ),
        unit,
        summary: Summary::of(taken.iter().map(of)),
        limit,
    };
    Ok(vec![
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
    ])
}

/// Wall time, and CPU time of all threads of this process.
fn time(work: impl FnOnce() -> Result<()>) -> Result<Took> {
    let (before, start) = (cpu_time(UsageWho::RUSAGE_SELF)?, Instant::now());
    work()?;
    let wall = start.elapsed();
    let cpu = cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(before);
    Ok(Took { wall, cpu })
}

/// The signed bytes of an entry of each record.
fn messages(room: &Room, records: &[Object]) -> Result<Vec<Vec<u8>>> {
    let dir = room.folder(&format!("{} once", records.len()))?;
    create(&dir)?;
    let pipeline = open(&dir)?;
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = records.iter().map(|record| submitter.submit(record)).collect();
    for ticket in tickets {
        ticket?.wait()?;
    }
    pipeline.close()?;
    let file = std::fs::read(dir.join("ledger.ndjson"))?;
    std::fs::remove_dir_all(&dir)?;
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.skip(1).map(|line| Ok(Entry::parse(line)?.signed_bytes().to_vec())).collect()
}

/// As many signatures as appends, on as many threads as processors.
fn sign(messages: &[Vec<u8>]) -> Result<()> {
    let threads = available_parallelism().map_or(1, usize::from);
    let all = messages.len() * usize::try_from(SUBMITTERS)?;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share = messages.iter().cycle().take(all).skip(thread).step_by(threads);
            scope.spawn(move || {
                let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
                for message in share {
                    black_box(key.sign(black_box(message)));
                }
            });
        }
    });
    Ok(())
}

fn submit(dir: &std::path::Path, records: &[Object]) -> Result<()> {
    let pipeline = open(dir)?;
    std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|_| {
                let submitter = pipeline.submitter();
                scope.spawn(move || -> Result<()> {
                    let mut tickets = VecDeque::with_capacity(IN_FLIGHT);
                    for record in records {
                        if tickets.len() == IN_FLIGHT
                            && let Some(oldest) = tickets.pop_front()
                        {
                            carbon_ops_ledger::append::pipeline::Ticket::wait(oldest)?;
                        }
                        tickets.push_back(submitter.submit(record)?);
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
    ensure!(stored.entries == u64::from(SUBMITTERS) * records.len() as u64, "{stored:?}");
    Ok(())
}
