//! The program `carbon-ops-verify`: what an auditor runs who has a file of carbon-ops and nothing else of it. It reads
//! that file, and the keys that it is told to believe, and says what it found.
//!
//! Rule: its answer to a file is the one of `carbon-ops ledger verify`, `verify-pack` and `check-proof`; it is made of
//! the same two libraries, which ask no system for anything.
//!
//! Out of scope: ledgers in folders with what stands beside them, witnesses, settings and keys of a user. An audit
//! pack has all of a ledger in one file.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::{MAX_LINE_BYTES, Payload};
use carbon_ops_proof::keys::Trust;
use carbon_ops_proof::lines::{Line, may_be_entry, next_line_within};
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note};
use carbon_ops_proof::pack::{PackReport, verify_pack};
use carbon_ops_proof::proof::{MAX_PROOF_BYTES, Proof};
use carbon_ops_proof::text::plain;
use carbon_ops_proof::verify::{Anchor, AnchorKind, Report, Settings, Status, verify_records};
use carbon_ops_record::answer::{self, Answer as Verdict, OfProof};
use carbon_ops_record::reading::{Examination, Others, check_object, examine};
use clap::Parser;

/// Check a ledger, an audit pack or a proof of carbon-ops
#[derive(Debug, Parser)]
#[command(
    name = "carbon-ops-verify",
    version,
    after_help = "\
Examples:
  carbon-ops-verify --trust SHA256:… 2026.pack
  carbon-ops-verify --trust 03a107bf… --since kept ledger.ndjson
  carbon-ops-verify --trust keys.txt 17.tlog-proof

Exit code: 0 valid; 1 tampered with; 2 not checked: no such file, or the key is
not trusted; 3 cut off or rewritten below the checkpoint; 4 valid up to a torn
last line."
)]
struct Cli {
    /// A ledger's file, an audit pack or a proof of one record
    file: PathBuf,

    /// Whom to believe: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    trust: Option<String>,

    /// A checkpoint that you kept: the ledger must extend it
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,

    /// Compute every interval again from the record's inputs, and compare all digits
    #[arg(long)]
    recompute: bool,

    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
}

/// Faults that are printed; the report in JSON has up to a thousand.
const FAULTS_SHOWN: usize = 20;

/// Longest first line that tells what a file is; no pack's is longer.
const FIRST_LINE_BYTES_MAX: u64 = 1 << 16;

/// What begins a proof.
const PROOF: &[u8] = b"c2sp.org/tlog-proof@";

/// What was found: for programs, for people, as an exit code.
struct Answer {
    json: serde_json::Value,
    text: String,
    code: u8,
}

fn main() -> ExitCode {
    let (text, code) = match answer(std::env::args_os()) {
        Ok((text, code)) => (text, code),
        Err(why) => {
            let _ = writeln!(io::stderr(), "carbon-ops-verify: {why}");
            return ExitCode::from(2);
        }
    };
    // The exit code is the answer, whoever reads the words.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// The words and the exit code for what was typed.
fn answer(words: impl Iterator<Item = OsString>) -> Result<(String, u8), String> {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(help) if !help.use_stderr() => return Ok((help.to_string(), 0)),
        Err(error) => {
            let said = error.to_string();
            return Err(said.trim_start_matches("error: ").trim_end().to_owned());
        }
    };
    let trust = cli.trust.as_deref().map_or(Ok(Trust::new()), trusted)?;
    let answer = judge(&cli, &trust)?;
    if cli.json {
        return Ok((format!("{:#}\n", answer.json), answer.code));
    }
    Ok((answer.text, answer.code))
}

/// Keys as they are given: a key, a fingerprint, or a file of these.
fn trusted(given: &str) -> Result<Trust, String> {
    if let Ok(trust) = Trust::parse(given, "--trust") {
        return Ok(trust);
    }
    let bytes = fs::read(given).map_err(|error| {
        format!("{given:?} is neither a key nor a fingerprint, and no file: {}", error.kind())
    })?;
    let text = String::from_utf8(plain(bytes)).map_err(|_| format!("{given} is no text"))?;
    Trust::parse(&text, given).map_err(|error| error.to_string())
}

fn judge(cli: &Cli, trust: &Trust) -> Result<Answer, String> {
    let cannot = |error: io::Error| cannot_read(&cli.file, &error);
    let mut head = Vec::new();
    let file = File::open(&cli.file).map_err(cannot)?;
    BufReader::new(file.take(FIRST_LINE_BYTES_MAX)).read_until(b'\n', &mut head).map_err(cannot)?;
    let reader = BufReader::with_capacity(1 << 20, File::open(&cli.file).map_err(cannot)?);
    let first: Option<serde_json::Value> = serde_json::from_slice(&head).ok();
    let is_pack = first.is_some_and(|line| line.get("pack").is_some());
    let is_proof = head.starts_with(PROOF);
    if (is_pack || is_proof) && cli.since.is_some() {
        return Err("a kept checkpoint is held against a ledger, not a pack or a proof".to_owned());
    }
    if is_pack {
        let mut others = Others::default();
        let mut check = |object: &Object| {
            let owner = check_object(object, cli.recompute);
            others.count(owner.map_err(|error| error.to_string())?);
            Ok(())
        };
        let report = verify_pack(reader, trust, &mut check).map_err(cannot)?;
        return of_pack(&report, others);
    }
    if is_proof {
        return of_proof(reader, cli, trust);
    }
    if !holds_entries(&cli.file).map_err(cannot)? {
        return Err(format!("{} is NOT A LEDGER: no line of it is an entry", cli.file.display()));
    }
    if of_version_0_1(&head) {
        let file = cli.file.display();
        return Err(format!(
            "{file} is a ledger of version 0.1, of the Python package, which this program does not judge"
        ));
    }
    let kept = cli.since.as_deref().map(checkpoint).transpose()?;
    let (anchors, since): (Vec<Anchor>, u64) =
        kept.map_or((Vec::new(), 0), |(anchor, size)| (vec![anchor], size));
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let settings = Settings { anchors: &anchors, since, threads, ..Settings::new(trust) };
    let check = |payload: &Payload<'_>| examine(payload, cli.recompute);
    let mut examination = Examination::default();
    let accept = &mut |seq, entry| examination.add(seq, entry);
    let report = verify_records(reader, &settings, &check, accept).map_err(cannot)?;
    let (others, _) = examination.finish(&report.life);
    of_ledger(&report, others)
}

/// Whether any line could be an entry.
fn holds_entries(path: &Path) -> io::Result<bool> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Line::default();
    while next_line_within(&mut reader, &mut line, MAX_LINE_BYTES)? {
        if may_be_entry(&line.bytes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the first line has what the Python package signed with, and nothing of ours.
fn of_version_0_1(head: &[u8]) -> bool {
    let line: Option<serde_json::Value> = serde_json::from_slice(head).ok();
    let has = |member: &str| line.as_ref().is_some_and(|line| line.get(member).is_some());
    has("signature") && has("signature_algorithm") && !has("ledger_id") && !has("seq")
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::IsADirectory => {
            "it is a folder; an audit pack has all of a ledger in one file".to_owned()
        }
        kind => kind.to_string(),
    };
    format!("cannot read {}: {why}", path.display())
}

/// A checkpoint that was kept, and how many lines it covers.
fn checkpoint(path: &Path) -> Result<(Anchor, u64), String> {
    let bytes = plain(fs::read(path).map_err(|error| cannot_read(path, &error))?);
    let note = Note::parse(&bytes).ok().filter(|_| bytes.len() <= MAX_NOTE_BYTES);
    let checkpoint = note.and_then(|note| Checkpoint::of_note(&note).ok());
    let size = checkpoint.ok_or_else(|| format!("{} is no checkpoint", path.display()))?.size;
    let source = path.display().to_string();
    Ok((Anchor { source, bytes, kind: AnchorKind::Checkpoint }, size))
}

/// What was not looked into, as members of a report and for people.
fn tell_others(others: Others, json: &mut serde_json::Value, text: &mut String) {
    for (member, count, what) in [
        ("newer_records", others.newer, "of a newer version"),
        ("foreign_records", others.foreign, "of other programs"),
    ] {
        if let Some(members) = json.as_object_mut() {
            members.insert(member.to_owned(), count.into());
        }
        if count > 0 {
            let _ = writeln!(text, "  {count} {what}, not looked into");
        }
    }
}

fn of_ledger(report: &Report, others: Others) -> Result<Answer, String> {
    let code = Verdict::from(report.status).and_others(&others).number();
    let mut text = format!("{}\n", answer::of_ledger(report, &others));
    let entries = report.entries;
    let _ = writeln!(text, "  {entries} entries of {} lines", report.lines);
    for key in report.keys.iter().filter(|_| report.status != Status::Tampered) {
        let _ = writeln!(text, "  key {}", key.fingerprint);
    }
    for fault in report.faults.iter().take(FAULTS_SHOWN) {
        let _ = writeln!(text, "  line {}: {}", fault.line, fault.reason);
    }
    let hidden = report.fault_count.saturating_sub(FAULTS_SHOWN as u64);
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} more");
    }
    let mut json = serde_json::to_value(report).map_err(|error| error.to_string())?;
    tell_others(others, &mut json, &mut text);
    Ok(Answer { json, text, code })
}

fn of_pack(report: &PackReport, others: Others) -> Result<Answer, String> {
    let code = Verdict::from(report.status).and_others(&others).number();
    let mut text = format!("{}\n", answer::of_pack(report, &others));
    if let Some(fault) = &report.fault {
        let _ = writeln!(text, "  line {}: {}", fault.line, fault.reason);
    } else {
        let whole = if report.whole { "all of the ledger" } else { "a selection" };
        let _ = writeln!(text, "  {} entries, {whole}", report.entries);
        if let Some(key) = &report.genesis_key {
            let _ = writeln!(text, "  key {key}");
        }
    }
    let mut json = serde_json::to_value(report).map_err(|error| error.to_string())?;
    tell_others(others, &mut json, &mut text);
    Ok(Answer { json, text, code })
}

fn of_proof(reader: impl BufRead, cli: &Cli, trust: &Trust) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let limit = MAX_PROOF_BYTES as u64 + 1;
    reader.take(limit).read_to_end(&mut bytes).map_err(|error| cannot_read(&cli.file, &error))?;
    let checked = Proof::parse(&plain(bytes)).and_then(|proof| proof.check(trust));
    let found = OfProof::of(checked.as_ref(), cli.recompute);
    let why = match (&checked, &found.reason) {
        (_, Some(reason)) => reason.clone(),
        (Ok(proven), None) => {
            let (seq, size) = (proven.entry.seq(), proven.checkpoint.size);
            format!("entry {seq} is in the ledger of {size} lines")
        }
        (Err(fault), None) => fault.to_string(),
    };
    let text = format!("{}\n  {why}\n", found.words);
    let json = serde_json::json!({ "schema_version": 1, "status": found.status,
        "reason": found.reason });
    Ok(Answer { json, text, code: found.answer.number() })
}
