//! `ledger-verify`: what `carbon-ops ledger verify` takes beyond the signatures, on records that a user's command made,
//! of two sizes, no two alike; and what sums over a verified ledger take beyond that.
//!
//! The floor is ed25519-dalek's `verify_strict`, called in a loop over signed bytes, signatures and keys
//! that lie ready in memory, on as many threads. The ledger's verification reads the files and checks form,
//! numbers, hashes, links and the tree as well; the command also reads each record and does its arithmetic
//! again. All in turns, on the same records.
//!
//! Out of scope: a cold disk. The files were just written, and lie in the page cache.

use std::io::BufReader;
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

use super::made::{Kind, LARGE, Made, SMALL};
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

/// Sums over a verified ledger take so much more CPU time than its verification, and hold so many MiB, at most.
const LIMIT_SUMS: f64 = 1.2;
const LIMIT_SUMS_MIB: f64 = 32.0;

/// Records of the ledgers that are timed, and of the one whose memory is compared.
const RECORDS: u32 = 50_000;
const MANY: u32 = 1_000_000;
/// With `--quick`.
const QUICK: u32 = 500;

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
    let room = Room::new()?;
    let mut figures = Vec::new();
    let records = options.many(RECORDS, QUICK);
    for (name, kind) in [("small", SMALL), ("large", LARGE)] {
        let made = Made::new(&room, subject, name, records, kind)?;
        figures.extend(against_floor(options, subject, &room, &made, kind)?);
    }
    // It is fetched from a registry, and says nothing of this program.
    if !options.quick {
        figures.extend(predecessor::measure(subject, &room)?);
    }
    figures.extend(many(options, subject, &room)?);
    Ok(("ledger-verify", figures))
}

fn against_floor(
    options: &Options,
    subject: &Subject,
    room: &Room,
    made: &Made,
    kind: Kind,
) -> Result<Vec<Figure>> {
    let signed = signed(&made.lines()?)?;
    let threads = thread::available_parallelism()?.get();
    let (mut floor, mut ledger, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds_or(ROUNDS) {
        floor.push(verify_strict(&signed, threads)?);
        ledger.push(verify_ledger(made, threads)?);
        ours.push(by_command(subject, room, &["ledger", "verify"], made)?);
    }
    let lines = signed.len();
    let baseline = format!("{lines} lines, {threads} threads, in turns");
    let figure = |name: &str, unit, summary, limit| Figure {
        name: format!("{name} [{}]", kind.name),
        baseline: baseline.clone(),
        unit,
        summary,
        limit,
    };
    let ratios = |all: &[Took]| {
        let cpu = |took: &Took| took.cpu.as_secs_f64();
        Summary::of(all.iter().zip(&floor).map(|(one, floor)| cpu(one) / cpu(floor)))
    };
    #[expect(clippy::cast_precision_loss, reason = "a number of lines")]
    let each = |all: &[Took]| {
        Summary::of(all.iter().map(|took| took.cpu.as_secs_f64() * 1e6 / lines as f64))
    };
    Ok(vec![
        figure("CPU time of verify_strict alone", "us a line", each(&floor), None),
        figure("CPU time of the ledger's verification", "us a line", each(&ledger), None),
        figure("CPU time of ledger verify, with arithmetic", "us a line", each(&ours), None),
        figure("verification over verify_strict", "x", ratios(&ledger), Some(LIMIT)),
        figure("ledger verify over verify_strict", "x", ratios(&ours), Some(LIMIT)),
    ])
}

fn by_command(subject: &Subject, room: &Room, words: &[&str], made: &Made) -> Result<Took> {
    process::time(process::command(&subject.binary, &room.path).args(words).arg(&made.dir))
}

/// What the lines of a ledger are signed with.
fn signed(bytes: &[u8]) -> Result<Vec<Signed>> {
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
    let reader = BufReader::with_capacity(1 << 20, made.open()?);
    let report = verify_records(reader, &settings, &|_| Ok(()), &mut |_, ()| Ok(()))?;
    ensure!(report.status == Status::Valid, "not valid: {report:?}");
    let cpu = process::cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(cpu);
    Ok(Took { wall: start.elapsed(), cpu })
}

/// A ledger of many lines: memory of its verification over that of a tenth of them; and what sums take.
fn many(options: &Options, subject: &Subject, room: &Room) -> Result<Vec<Figure>> {
    let records = options.many(MANY, QUICK * 10);
    let few = Made::new(room, subject, "a-tenth", records / 10, SMALL)?;
    let all = Made::new(room, subject, "all", records, SMALL)?;
    let verify = ["ledger", "verify"];
    let held = [peak(subject, room, &verify, &few)?, peak(subject, room, &verify, &all)?];
    let baseline = format!("{records} records that all differ");
    let figure = |name: String, unit, value, limit| Figure {
        name,
        baseline: baseline.clone(),
        unit,
        summary: Summary::of([value]),
        limit: Some(limit),
    };
    let [least, most] = held;
    let grown = format!("most memory of ledger verify ({most:.1} MiB) over that with a tenth");
    let mut figures = vec![figure(grown, "x", most / least, LIMIT_MEMORY)];
    let cpu = |words: &[&str]| Ok::<_, anyhow::Error>(by_command(subject, room, words, &all)?.cpu);
    for words in [&["aggregate", "--by", "day"][..], &["anomaly"]] {
        let name = words.join(" ");
        let over = cpu(words)?.as_secs_f64() / cpu(&verify)?.as_secs_f64();
        figures.push(figure(
            format!("CPU time of {name} over ledger verify"),
            "x",
            over,
            LIMIT_SUMS,
        ));
        let mib = peak(subject, room, words, &all)?;
        figures.push(figure(format!("most memory of {name}"), "MiB", mib, LIMIT_SUMS_MIB));
    }
    Ok(figures)
}

/// The most memory that a command held, in MiB.
fn peak(subject: &Subject, room: &Room, words: &[&str], made: &Made) -> Result<f64> {
    let mut command = process::command(std::env::current_exe()?, &room.path);
    command.arg(COMMAND).arg(&subject.binary).args(words).arg(&made.dir);
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let kib: f64 = text.trim().parse().with_context(|| format!("{text:?} is not a number"))?;
    Ok(kib / 1024.0)
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
