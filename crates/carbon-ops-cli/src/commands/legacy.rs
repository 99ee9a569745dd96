//! Ledgers of the Python package carbon-ops 0.1: verifying them, appending to them, and continuing
//! them in a ledger of this program.
//!
//! Out of scope: what their records mean.

use std::io::{BufReader, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops::ledger::append::Founding;
use carbon_ops::ledger::keys::{PublicKey, Trust};
use carbon_ops::ledger::legacy::{self, Document, LIMITS, MAX_LINE_BYTES, Record, Report};
use carbon_ops::proof::entry::Imported;
use carbon_ops::proof::verify::Status;
use serde_json::json;

use super::ledger::{FAULTS_SHOWN, write_trust_hint};
use crate::args::{LedgerAppend, LedgerImport, LedgerVerify};
use crate::commands::progress::{Counted, Progress};
use crate::context::Context;
use crate::hints;
use crate::render::counted;
use carbon_ops::store::PATIENCE;
use carbon_ops::verify::{Answer, open};

/// `ledger verify --profile 0.1`: form, order, hashes and signatures.
pub(super) fn check(
    args: &LedgerVerify,
    path: &Path,
    trust: &Trust,
    context: &mut Context<'_>,
) -> Result<u8> {
    if args.checks.recompute {
        bail!(
            "records of version 0.1 do not carry the inputs that --recompute needs\n\
             hint: verify without it"
        );
    }
    let report = verified(path, trust)?;
    if args.output.json {
        context.report(serde_json::to_value(&report)?)?;
    } else {
        write_report(&report, path, &mut context.out)?;
    }
    Ok(hints::exit_code(Answer::of(report.status)))
}

/// `ledger verify` of a file that is one signed document and no ledger.
pub(super) fn check_document(
    json: &[u8],
    path: &Path,
    trust: &Trust,
    as_json: bool,
    context: &mut Context<'_>,
) -> Result<u8> {
    let Document { status, fault, key, .. } = legacy::verify_document(json, trust);
    let (fault, fingerprint) = (fault.map(|f| f.to_string()), key.map(PublicKey::fingerprint));
    if as_json {
        context.report(json!({ "profile": "0.1-document", "status": status, "fault": fault,
            "public_key": key.map(PublicKey::to_hex), "fingerprint": fingerprint }))?;
        return Ok(hints::exit_code(Answer::of(status)));
    }
    let out = &mut context.out;
    let verdict = match status {
        Status::Valid => "VALID",
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "TAMPERED WITH",
    };
    writeln!(out, "{}: {verdict}", path.display())?;
    writeln!(
        out,
        "  a document that the Python package 0.1 signed, and no ledger: there is no chain, so"
    )?;
    writeln!(out, "  nothing is shown of when it was signed, or of what else was")?;
    if let Some(fingerprint) = fingerprint {
        let trust = if status == Status::Valid { "trusted" } else { "NOT trusted" };
        writeln!(out, "  signed by {fingerprint} ({trust})")?;
    }
    if let Some(fault) = fault {
        writeln!(out, "  {fault}")?;
    }
    if let (Status::Untrusted, Some(key)) = (status, key) {
        write_trust_hint(&key.to_hex(), out)?;
    }
    Ok(hints::exit_code(Answer::of(status)))
}

fn verified(path: &Path, trust: &Trust) -> Result<Report> {
    let file = open(path)?;
    let progress = Progress::start("verifying", Some(file.size()));
    let reader = BufReader::with_capacity(1 << 20, Counted::new(file, &progress));
    legacy::verify(reader, trust).with_context(|| format!("cannot read {}", path.display()))
}

fn words(report: &Report) -> &'static str {
    let lax = report.fault_count == report.python_accepts_count;
    match report.status {
        Status::Valid => "VALID",
        Status::TornTail => "VALID UP TO A TORN LAST LINE",
        Status::Tampered if lax => "FAULTY, though the Python package accepts it",
        Status::Tampered => "TAMPERED WITH",
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "UNKNOWN VERDICT",
    }
}

fn write_report(report: &Report, path: &Path, out: &mut impl Write) -> Result<()> {
    let verdict = words(report);
    writeln!(out, "{}: {verdict}", path.display())?;
    let records = counted(report.records, "record", "records");
    writeln!(out, "  {records} of version 0.1 in {}", counted(report.lines, "line", "lines"))?;
    writeln!(out, "  {} bytes, SHA-256 {}", report.file_bytes, report.file_sha256)?;
    for key in &report.keys {
        let trust = if key.trusted { "trusted" } else { "NOT trusted" };
        let records = counted(key.records, "record", "records");
        writeln!(out, "  {records} signed by {} ({trust})", key.fingerprint)?;
    }
    for fault in report.faults.iter().take(FAULTS_SHOWN) {
        let note = if fault.python_accepts { " (the Python package accepts this)" } else { "" };
        writeln!(out, "  line {}: {}: {}{note}", fault.line, fault.code, fault.reason)?;
    }
    let hidden = report.fault_count.saturating_sub(FAULTS_SHOWN as u64);
    if hidden > 0 {
        writeln!(out, "  and {hidden} more faults; --json lists up to a thousand")?;
    }
    if let Some(torn) = &report.torn_tail {
        let what = if torn.complete_entry {
            "is a whole record that lacks only its newline"
        } else {
            "has no newline and does not verify, as an interrupted write leaves it"
        };
        writeln!(out, "  line {} ({} bytes) {what}", torn.line, torn.bytes)?;
    }
    for limit in LIMITS {
        writeln!(out, "  not shown by this format: {limit}")?;
    }
    if report.status == Status::Untrusted {
        let key = report.keys.first().map_or("PUBLIC_KEY", |key| key.public_key.as_str());
        write_trust_hint(key, out)?;
    }
    Ok(())
}

/// `ledger append --profile 0.1`: one record from standard input.
pub(super) fn append(args: &LedgerAppend, context: &mut Context<'_>) -> Result<u8> {
    let path = args.path.as_deref().context("no ledger file was named")?;
    let (key, _) = context.store(None)?.key(false)?;
    let mut json = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut json).context("cannot read the record")?;
    let record = Record::parse(&json)?;
    legacy::append(path, &record, &key, PATIENCE)?;
    let signer = key.public_key().fingerprint();
    writeln!(context.out, "appended a record to {}, signed by {signer}", path.display())?;
    Ok(0)
}

/// `ledger import`: a new ledger whose genesis pins the old one.
pub(super) fn import(args: &LedgerImport, context: &mut Context<'_>) -> Result<u8> {
    let trust = context.trust(&args.trusted)?;
    let report = verified(&args.old, &trust)?;
    let old = args.old.display();
    if report.status != Status::Valid && !args.accept_unverified {
        if args.output.json {
            context.report(serde_json::to_value(&report)?)?;
        } else {
            let out = &mut context.out;
            write_report(&report, &args.old, out)?;
            writeln!(out, "nothing was imported: {old} does not verify")?;
            writeln!(
                out,
                "hint: --accept-unverified imports it, and records what is wrong with it"
            )?;
        }
        return Ok(hints::exit_code(Answer::of(report.status)));
    }
    let pin = report.imported();
    let store = context.store(Some(&args.into))?;
    let (key, _) = store.key(true)?;
    let founding = Founding { imported: Some(pin.clone()), ..Founding::default() };
    let Some(notice) = store.make(&key, &founding)? else {
        bail!("there is a ledger in {} already\nhint: name a new directory", args.into.display());
    };
    if args.output.json {
        context.report(serde_json::to_value(&pin)?)?;
        return Ok(0);
    }
    let out = &mut context.out;
    writeln!(out, "{notice}")?;
    writeln!(out, "  it continues {old}: {}", words(&report))?;
    writeln!(
        out,
        "  {}, {} bytes, SHA-256 {}",
        counted(pin.records, "record", "records"),
        pin.file_bytes,
        pin.file_sha256
    )?;
    writeln!(out, "hint: keep {old} as it is, and check both with")?;
    writeln!(out, "carbon-ops ledger verify {} --imported {old}", args.into.display())?;
    Ok(0)
}

/// Of the ledger that a verified one continues.
pub(super) fn write_imported(
    pin: Option<&Imported>,
    differences: Option<&[&'static str]>,
    out: &mut impl Write,
) -> Result<()> {
    let Some(pin) = pin else { return Ok(()) };
    let verdict = match pin.verdict {
        Status::Valid => "valid",
        Status::TornTail => "valid up to a torn last line",
        Status::Tampered => "TAMPERED WITH OR FAULTY",
        _ => "NOT CHECKED, its key was not trusted",
    };
    let Imported { records, file_bytes, file_sha256, .. } = pin;
    writeln!(out, "  continues a ledger of version 0.1 that was {verdict} when it was imported")?;
    let records = counted(*records, "record", "records");
    writeln!(out, "  that ledger: {records}, {file_bytes} bytes, SHA-256 {file_sha256}")?;
    match differences {
        None => writeln!(out, "hint: --imported FILE checks whether a file is that ledger")?,
        Some([]) => {
            writeln!(out, "  the given file is that ledger, byte for byte")?;
        }
        Some(differences) => {
            writeln!(
                out,
                "  THE GIVEN FILE IS NOT THAT LEDGER: {} differ",
                differences.join(", ")
            )?;
        }
    }
    Ok(())
}
