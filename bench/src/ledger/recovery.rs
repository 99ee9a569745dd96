//! `ledger-recovery`: CPU time of opening a ledger of a million records after a crash, and how much
//! memory the process that wrote it held.
//!
//! The writer is a process of its own, killed while it writes. Then the disk's part of a crash: the file
//! is longer by most of a batch that was never written, again for each round, so that each one has a
//! torn batch to find, to set aside and to record.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::storage::DirStorage;
use nix::sys::resource::UsageWho;

use super::{NOW, create, key, open, options, record, trust};
use crate::Options;
use crate::figure::Figure;
use crate::process::{cpu_time, milliseconds};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// The command of the writer that is killed.
pub(crate) const COMMAND: &str = "ledger-writer";

/// Most that opening may take, in milliseconds of CPU time.
const LIMIT_MS: f64 = 100.0;
/// Most that memory may grow by from the first tenth of the records to the last, in MiB.
const LIMIT_MIB: f64 = 16.0;

const RECORDS: u32 = 1_000_000;
/// With `--quick`: more than the writer has in flight.
const QUICK: u32 = 24_000;
const ROUNDS: usize = 7;
/// Most of a batch, in whole sectors.
const TORN_BYTES: usize = 1 << 19;

/// More than the writer has in flight.
const IN_FLIGHT: u64 = 1 << 16;

pub(crate) fn measure(wanted: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let dir = room.folder("ledger")?;
    create(&dir)?;
    let records = wanted.many(RECORDS, QUICK);
    let memory = fill(&dir, records)?;
    let mut taken = Vec::new();
    for _ in 0..wanted.rounds_or(ROUNDS) {
        let mut file = OpenOptions::new().append(true).open(dir.join("ledger.ndjson"))?;
        file.write_all(&vec![0; TORN_BYTES])?;
        drop(file);
        let before = cpu_time(UsageWho::RUSAGE_SELF)?;
        let (key, trust) = (key(), trust());
        let storage = DirStorage::new(&dir);
        let ledger = Ledger::open_for_append(storage, &key, &trust, NOW, options())?;
        let cpu = cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(before);
        ensure!(ledger.repairs().len() == 2, "{:?}", ledger.repairs());
        // What was in flight when it was killed is not there.
        let written = ledger.head().seq + IN_FLIGHT;
        ensure!(written >= u64::from(records), "{:?}", ledger.head());
        taken.push(milliseconds(cpu));
    }
    let first = memory.first().copied().unwrap_or_default();
    let grown = memory.iter().map(|mib| mib - first).fold(0.0, f64::max);
    let figures = vec![
        Figure {
            name: format!("CPU time of opening a ledger of {records} records after a crash"),
            baseline: format!("torn batches of {TORN_BYTES} bytes"),
            unit: "ms",
            summary: Summary::of(taken),
            limit: Some(LIMIT_MS),
        },
        Figure {
            name: "resident memory of the writer".to_owned(),
            baseline: format!("after each tenth of {records} appends"),
            unit: "MiB",
            summary: Summary::of(memory),
            limit: None,
        },
        Figure {
            name: "memory grown since the first tenth".to_owned(),
            baseline: "the most of nine".to_owned(),
            unit: "MiB",
            summary: Summary::of([grown]),
            limit: Some(LIMIT_MIB),
        },
    ];
    Ok(("ledger-recovery", figures))
}

/// Has the writer write, and kills it. What memory it held after each tenth, in MiB.
fn fill(dir: &Path, records: u32) -> Result<Vec<f64>> {
    let own = std::env::current_exe().context("this program")?;
    let mut command = Command::new(own);
    command
        .arg(COMMAND)
        .arg(dir)
        .arg(records.to_string())
        .stdout(Stdio::piped())
        .stdin(Stdio::null());
    let mut child = command.spawn().context("the writer")?;
    let out = child.stdout.take().context("its output")?;
    let mut memory = Vec::new();
    for line in BufReader::new(out).lines() {
        memory.push(line?.parse().context("the writer tells no number")?);
        if memory.len() == 10 {
            break;
        }
    }
    // SIGKILL: it is in the middle of a batch.
    child.kill()?;
    child.wait()?;
    ensure!(memory.len() == 10, "the writer ended early");
    Ok(memory)
}

/// Appends until it is killed; tells its memory after each tenth.
pub(crate) fn write(words: &[String]) -> Result<()> {
    let [dir, records] = words else { bail!("{COMMAND} needs a directory and a number") };
    let (dir, records) = (PathBuf::from(dir), records.parse::<u32>()?);
    let pipeline = open(&dir)?;
    std::thread::scope(|scope| {
        for number in 0..8_u32 {
            let submitter = pipeline.submitter();
            scope.spawn(move || -> Result<()> {
                let mut tickets = std::collections::VecDeque::new();
                for n in 1_u32.. {
                    tickets.push_back(submitter.submit(&record(number + 8 * n)?)?);
                    if tickets.len() == 1000
                        && let Some(oldest) = tickets.pop_front()
                    {
                        carbon_ops_ledger::append::pipeline::Ticket::wait(oldest)?;
                        if number == 0 && n % (records / 80) == 0 {
                            println!("{}", resident_mib()?);
                        }
                    }
                }
                Ok(())
            });
        }
    });
    Ok(())
}

/// Resident memory of this process.
fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.context("no VmRSS")?.parse()?;
    Ok(kib / 1024.0)
}
