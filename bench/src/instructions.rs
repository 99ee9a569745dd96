//! `instructions`: what each command of a user takes in instructions, counted by valgrind, against another build in the
//! same run. Counts are the same from run to run to some parts in 100,000, on a busy machine as on a quiet one.
//!
//! With `--counts`, they are held to those that a file has for this kind of machine; one that has none is told so.
//!
//! Out of scope: time; what the kernel does, and children.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::Options;
use crate::figure::Figure;
use crate::process;
use crate::spans::spans;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// What a build may take of what the other one does.
const LIMIT: f64 = 1.03;

const SPANS: u32 = 2_000;
const SPANS_QUICK: u32 = 20;

/// A command that a user types.
struct Work {
    name: &'static str,
    words: &'static [&'static str],
    /// Whether it reads the spans.
    spans: bool,
}

const fn work(name: &'static str, words: &'static [&'static str]) -> Work {
    Work { name, words, spans: false }
}

/// Done once by each build, and not counted.
const BEFORE: [&[&str]; 2] = [&["ledger", "init", "ledger"], &["estimate", "--ledger", "ledger"]];

const WORKS: [Work; 12] = [
    work("--version", &["--version"]),
    work("run -- true", &["run", "--no-ledger", "--region", "DE", "--", "true"]),
    work("run --ledger -- true", &["run", "--ledger", "other", "--region", "DE", "--", "true"]),
    work(
        "estimate of a day",
        &[
            "estimate",
            "--energy",
            "1kWh ± 5%",
            "--zone",
            "DE",
            "--from",
            "2026-03-01",
            "--to",
            "2026-03-02",
        ],
    ),
    work(
        "estimate by trials",
        &[
            "estimate",
            "--energy",
            "1kWh ± 5%",
            "--zone",
            "DE",
            "--from",
            "2026-03-01",
            "--to",
            "2026-03-02",
            "--method",
            "monte_carlo",
        ],
    ),
    Work { name: "rows of estimates", words: &["estimate"], spans: true },
    Work { name: "records of estimates", words: &["estimate", "--records"], spans: true },
    Work {
        name: "estimates into a ledger",
        words: &["estimate", "--ledger", "other"],
        spans: true,
    },
    work("ledger verify", &["ledger", "verify", "ledger"]),
    work("ledger show --last 1", &["ledger", "show", "ledger", "--last", "1"]),
    work("ledger prove", &["ledger", "prove", "5", "ledger"]),
    work("aggregate --by day", &["aggregate", "ledger", "--by", "day"]),
];

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    if options.quick && Command::new("valgrind").arg("--version").output().is_err() {
        println!("quick: left out: instructions: no valgrind");
        return Ok(("instructions", Vec::new()));
    }
    let against = options.against.as_deref().map(|path| Subject::find("carbon-ops", Some(path)));
    let against = against.transpose()?;
    let many = options.many(SPANS, SPANS_QUICK);
    let ours = counts(&subject.binary, many)?;
    if let Some(file) = &options.counts {
        let kind = Kind::of(&subject.binary, many)?;
        if options.keep {
            keep(file, &kind, &ours)?;
        } else {
            held_to(file, &kind, &ours, &|| counts(&subject.binary, many))?;
        }
    }
    let theirs = against.map(|other| counts(&other.binary, many)).transpose()?;
    let mut figures = Vec::new();
    for (index, (work, count)) in WORKS.iter().zip(&ours).enumerate() {
        let name = work.name.to_owned();
        let figure = match theirs.as_ref().and_then(|counts| counts.get(index)) {
            Some(other) => Figure {
                name,
                baseline: format!(
                    "{:.2} million over {:.2} million, {many} spans",
                    millions(*count),
                    millions(*other)
                ),
                unit: "of the other's instructions",
                summary: Summary::of([millions(*count) / millions(*other)]),
                limit: Some(LIMIT),
            },
            None => Figure {
                name,
                baseline: format!("{many} spans"),
                unit: "million instructions",
                summary: Summary::of([millions(*count)]),
                limit: None,
            },
        };
        figures.push(figure);
    }
    Ok(("instructions", figures))
}

#[expect(clippy::cast_precision_loss, reason = "a count, to some digits")]
fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

/// What a count may be of the one that was kept.
const KEPT_LIMIT: f64 = 1.02;

/// What counts depend on besides the code.
struct Kind(String);

impl Kind {
    fn of(binary: &Path, many: u32) -> Result<Self> {
        let compiler = Command::new("rustc").arg("--version").output().context("no rustc")?;
        let compiler = String::from_utf8_lossy(&compiler.stdout).into_owned();
        let version = compiler.split(' ').nth(1).unwrap_or("unknown").to_owned();
        #[cfg(target_arch = "x86_64")]
        let vectors = if std::is_x86_feature_detected!("avx2") { "+avx2" } else { "" };
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = "";
        let profile = binary.parent().and_then(Path::file_name).unwrap_or_default();
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self(format!(
            "{}{vectors}, {cpus} CPUs, rustc {version}, {}, {many} spans",
            std::env::consts::ARCH,
            profile.display(),
        )))
    }
}

/// Works whose counts are the same on every machine of a kind: they ask nothing of the machine itself, and draw no
/// trials, of which each run has others.
fn comparable(counts: &[u64]) -> impl Iterator<Item = (&'static str, u64)> {
    let all = WORKS.iter().map(|work| work.name).zip(counts.iter().copied());
    all.filter(|(name, _)| !name.starts_with("run ") && *name != "estimate by trials")
}

/// The lines of a file of counts: kind, work and count, with tabs between.
fn lines(file: &Path) -> Result<Vec<(String, String, u64)>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let line = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        let (kind, work, count) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        Some((kind, work, count))
    };
    let read = text.lines().map(|text| line(text).with_context(|| format!("not a count: {text}")));
    read.collect()
}

/// Counted anew where one is too high: threads that wait for each other may take 1 % more by chance.
fn held_to(
    file: &Path,
    kind: &Kind,
    counts: &[u64],
    again: &dyn Fn() -> Result<Vec<u64>>,
) -> Result<()> {
    let risen = risen(file, kind, counts)?;
    if risen.is_empty() {
        return Ok(());
    }
    println!("instructions: counted again: {}", risen.join("; "));
    let least: Vec<u64> = counts.iter().zip(again()?).map(|(a, b)| (*a).min(b)).collect();
    let risen = self::risen(file, kind, &least)?;
    ensure!(risen.is_empty(), "{}; --keep writes them down on purpose", risen.join("; "));
    Ok(())
}

/// Works that take more than what was kept.
fn risen(file: &Path, kind: &Kind, counts: &[u64]) -> Result<Vec<String>> {
    let kept = lines(file)?;
    let kept = |work: &str| {
        kept.iter().find(|(of, name, _)| (of, &**name) == (&kind.0, work)).map(|(.., count)| *count)
    };
    let (mut risen, mut unknown) = (Vec::new(), Vec::new());
    for (work, count) in comparable(counts) {
        match kept(work) {
            None => unknown.push(work),
            Some(kept) => {
                let ratio = millions(count) / millions(kept);
                println!("instructions: {work}: {ratio:.4} of {:.2} million", millions(kept));
                if ratio > KEPT_LIMIT {
                    risen.push(format!("{work}: {ratio:.3} times what was kept"));
                }
            }
        }
    }
    if !unknown.is_empty() {
        println!(
            "quick: left out: instructions of {}: none kept for {}",
            unknown.join(", "),
            kind.0
        );
    }
    Ok(risen)
}

fn keep(file: &Path, kind: &Kind, counts: &[u64]) -> Result<()> {
    let mut kept = if file.exists() { lines(file)? } else { Vec::new() };
    kept.retain(|(of, ..)| *of != kind.0);
    kept.extend(comparable(counts).map(|(work, count)| (kind.0.clone(), work.to_owned(), count)));
    kept.sort();
    let text = kept.iter().map(|(kind, work, count)| format!("{kind}\t{work}\t{count}\n"));
    std::fs::write(file, text.collect::<String>()).with_context(|| file.display().to_string())
}

/// Of each work, by one build in a room of its own.
fn counts(binary: &Path, many: u32) -> Result<Vec<u64>> {
    let room = Room::new()?;
    let input = room.path.join("spans.ndjson");
    std::fs::write(&input, spans(many)?)?;
    for words in BEFORE {
        let mut command = process::command(binary, &room.path);
        command.args(words).current_dir(&room.path).stdin(File::open(&input)?);
        process::time(&mut command)?;
    }
    WORKS.iter().map(|work| count(binary, &room, &input, work)).collect()
}

fn count(binary: &Path, room: &Room, input: &Path, work: &Work) -> Result<u64> {
    if work.words.contains(&"other") {
        let _ = std::fs::remove_dir_all(room.path.join("other"));
        let mut command = process::command(binary, &room.path);
        process::time(command.args(["ledger", "init", "other"]).current_dir(&room.path))?;
    }
    let mut command: Command = process::command("valgrind", &room.path);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary)
        .args(work.words);
    command.current_dir(&room.path).stderr(Stdio::piped());
    if work.spans {
        command.stdin(File::open(input)?);
    }
    let output = command.output().context("valgrind is needed (Debian: valgrind)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}", work.name);
    let count =
        text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.with_context(|| format!("{}: valgrind counted nothing: {text}", work.name))
}
