//! `ledger-verify`: what `carbon-ops ledger verify` takes beyond the signatures.
//!
//! The floor is ed25519-dalek's `verify_strict`, called in a loop over signed bytes, signatures and keys
//! that lie ready in memory, on as many threads. The ledger's verification reads the file and checks form,
//! numbers, hashes, links and the tree as well; the command also reads each record and does its arithmetic
//! again. All in turns, on the same records.
//!
//! Out of scope: a cold disk. The file was just written, and lies in the page cache.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_proof::canonical::Value;
use carbon_ops_proof::entry::Entry;
use carbon_ops_proof::verify::{Settings, Status, verify_records};
use ed25519_dalek::{Signature, VerifyingKey};
use nix::sys::resource::{UsageWho, getrusage};

use super::made::{Made, demand_valid};
use super::predecessor;
use crate::Options;
use crate::figure::Figure;
use crate::process::{self, Took};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Verification, with each record's arithmetic or without, is 0.8 times as fast as the floor, or faster.
const LIMIT: f64 = 1.0 / 0.8;

/// A verification of ten times as many lines holds so much more memory at most: room for the
/// allocator's mood, none for anything that grows with lines.
const LIMIT_MEMORY: f64 = 1.1;

/// Records of the ledger that is timed, and of the two whose memory is compared.
const RECORDS: u64 = 100_000;
const MANY: u64 = 1_000_000;
/// With `--quick`.
const QUICK: u64 = 500;

/// How often each is timed.
const ROUNDS: usize = 5;

/// The word that makes this program run another one and print the most memory that it held.
pub(crate) const COMMAND: &str = "peak-of";

/// What a signature is about.
struct Signed {
    bytes: Vec<u8>,
    signature: Signature,
    key: VerifyingKey,
}

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let records = options.many(RECORDS, QUICK);
    let room = Room::new()?;
    let made = Made::new(&room, subject, "ledger", records)?;
    demand_valid(&room, subject, &made, records + 1)?;
    let mut figures = against_floor(options, subject, &room, &made)?;
    // It is fetched from a registry, and says nothing of this program.
    if !options.quick {
        figures.extend(predecessor::measure(subject, &room)?);
    }
    figures.push(memory(subject, &room, &made, options.many(MANY, QUICK * 10))?);
    Ok(("ledger-verify", figures))
}

fn against_floor(
    options: &Options,
    subject: &Subject,
    room: &Room,
    made: &Made,
) -> Result<Vec<Figure>> {
    let signed = signed(&made.file())?;
    let threads = thread::available_parallelism()?.get();
    let (mut floor, mut ledger, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds_or(ROUNDS) {
        floor.push(verify_strict(&signed, threads)?);
        ledger.push(verify_ledger(made, threads)?);
        let mut command = process::command(&subject.binary, &room.path);
        ours.push(process::time(command.args(["ledger", "verify"]).arg(&made.dir))?);
    }
    let lines = signed.len();
    let baseline = format!("{lines} lines, {threads} threads, in turns");
    let figure = |name: &str, unit, summary, limit| Figure {
        name: name.to_owned(),
        baseline: baseline.clone(),
        unit,
        summary,
        limit,
    };
    let ratios = |all: &[Took], of: fn(&Took) -> f64| {
        Summary::of(all.iter().zip(&floor).map(|(one, floor)| of(one) / of(floor)))
    };
    let cpu = |took: &Took| took.cpu.as_secs_f64();
    let wall = |took: &Took| took.wall.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a number of lines")]
    let rate = |all: &[Took]| Summary::of(all.iter().map(|took| lines as f64 / wall(took)));
    Ok(vec![
        figure("verify_strict alone", "lines/s", rate(&floor), None),
        figure("the ledger's verification", "lines/s", rate(&ledger), None),
        figure("ledger verify, with each record's arithmetic", "lines/s", rate(&ours), None),
        figure(
            "verification over verify_strict, wall time",
            "x",
            ratios(&ledger, wall),
            Some(LIMIT),
        ),
        figure("verification over verify_strict, CPU time", "x", ratios(&ledger, cpu), Some(LIMIT)),
        figure(
            "ledger verify over verify_strict, wall time",
            "x",
            ratios(&ours, wall),
            Some(LIMIT),
        ),
        figure("ledger verify over verify_strict, CPU time", "x", ratios(&ours, cpu), Some(LIMIT)),
    ])
}

/// What the lines of a ledger are signed with.
fn signed(file: &Path) -> Result<Vec<Signed>> {
    let bytes = std::fs::read(file)?;
    let mut signed = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let entry = Entry::parse(line)?;
        let signature = entry.object().get("signature").and_then(Value::as_str);
        let signature: Signature = signature.context("a signature")?.parse()?;
        let key = VerifyingKey::from_bytes(&entry.signing_key().to_bytes())?;
        signed.push(Signed { bytes: entry.signed_bytes().to_vec(), signature, key });
    }
    Ok(signed)
}

/// Verifies all on so many threads.
fn verify_strict(signed: &[Signed], threads: usize) -> Result<Took> {
    let (start, cpu) = (Instant::now(), process::cpu_time(UsageWho::RUSAGE_SELF)?);
    let verify = |part: &[Signed]| {
        part.iter().all(|signed| signed.key.verify_strict(&signed.bytes, &signed.signature).is_ok())
    };
    let all = thread::scope(|scope| {
        let parts = signed.chunks(signed.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || verify(part))).collect();
        running.into_iter().all(|part| part.join().is_ok_and(|valid| valid))
    });
    ensure!(all, "a signature of our own does not verify");
    let cpu = process::cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(cpu);
    Ok(Took { wall: start.elapsed(), cpu })
}

/// The ledger's own verification, without a look into records.
fn verify_ledger(made: &Made, threads: usize) -> Result<Took> {
    let (start, cpu) = (Instant::now(), process::cpu_time(UsageWho::RUSAGE_SELF)?);
    let trust = Trust::from_iter([made.key.public_key()]);
    let threads = threads.try_into().context("a thread")?;
    let settings = Settings { threads, ..Settings::new(&trust) };
    let reader = BufReader::with_capacity(1 << 20, File::open(made.file())?);
    let report = verify_records(reader, &settings, &|_| Ok(()), &mut |_, ()| Ok(()))?;
    ensure!(report.status == Status::Valid, "not valid: {report:?}");
    let cpu = process::cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(cpu);
    Ok(Took { wall: start.elapsed(), cpu })
}

/// Memory of verifying many lines over that of verifying a tenth of them.
fn memory(subject: &Subject, room: &Room, few: &Made, many: u64) -> Result<Figure> {
    let large = Made::new(room, subject, "large", many)?;
    let mut ratios = Vec::new();
    let mut most = 0.0;
    for _ in 0..2 {
        let (small, all) = (peak(subject, room, few)?, peak(subject, room, &large)?);
        most = all;
        ratios.push(all / small);
    }
    Ok(Figure {
        name: format!("most memory with {many} records ({most:.0} KiB) over that with a tenth"),
        baseline: "ledger verify".to_owned(),
        unit: "x",
        summary: Summary::of(ratios),
        limit: Some(LIMIT_MEMORY),
    })
}

/// The most memory that a verification held, in KiB.
fn peak(subject: &Subject, room: &Room, made: &Made) -> Result<f64> {
    let mut command = process::command(std::env::current_exe()?, &room.path);
    command.arg(COMMAND).arg(&subject.binary).args(["ledger", "verify"]).arg(&made.dir);
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("{text:?} is not a number"))
}

/// Runs a command that must succeed, and prints the most memory that it held, in KiB. The kernel tells
/// that of all children together, so that the command has to be the only one.
pub(crate) fn print_peak(words: &[String]) -> Result<()> {
    let [program, arguments @ ..] = words else { anyhow::bail!("{COMMAND} needs a command") };
    let mut command = std::process::Command::new(program);
    process::time(command.args(arguments).stdout(Stdio::null()))?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}
