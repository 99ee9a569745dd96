//! Ledgers of the Python package carbon-ops 0.1: verifying them, appending to them, and continuing
//! them in a ledger of this program.
//!
//! Out of scope: what their records mean.

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops::ledger::append::GenesisOptions;
use carbon_ops::ledger::keys::{PublicKey, Trust};
use carbon_ops::ledger::legacy::{self, Document, LIMITS, MAX_LINE_BYTES, Record, Report};
use carbon_ops::proof::entry::{Before, Imported};
use carbon_ops::proof::verify::Status;
use carbon_ops::record::answer;
use serde_json::json;

use crate::args::{LedgerAppend, LedgerImport, LedgerVerify, Output};
use crate::commands::verdict::{FAULTS_SHOWN, hint_at_trust, tell_first};
use crate::context::Context;
use crate::layout::Page;
use crate::progress::{Counted, Progress};
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
    let mut page = Page::default();
    tell_report(&report, path, &mut page);
    context.answer(&args.output, serde_json::to_value(&report)?, page.text())?;
    Ok(Answer::from(report.status).number())
}

/// `ledger verify` of a file that is one signed document and no ledger.
pub(super) fn check_document(
    json: &[u8],
    path: &Path,
    trust: &Trust,
    output: &Output,
    context: &mut Context<'_>,
) -> Result<u8> {
    let Document { status, fault, key, .. } = legacy::verify_document(json, trust);
    let (fault, fingerprint) = (fault.map(|f| f.to_string()), key.map(PublicKey::fingerprint));
    let mut page = Page::default();
    page.title(&format!("{}: {}", path.display(), answer::of_lines(status)));
    page.item("a document that the Python package 0.1 signed, and not a ledger:");
    page.item("there is no chain, so nothing shows when it was signed, or what else was");
    if let Some(fingerprint) = &fingerprint {
        let trust = if status == Status::Valid { "trusted" } else { "NOT trusted" };
        page.item(&format!("signed by {fingerprint} ({trust})"));
    }
    if let Some(fault) = &fault {
        page.item(fault);
    }
    if let (Status::Untrusted, Some(key)) = (status, key) {
        hint_at_trust(&key.to_hex(), &mut page);
    }
    let report = json!({ "profile": "0.1-document", "status": status, "fault": fault,
        "public_key": key.map(PublicKey::to_hex), "fingerprint": fingerprint });
    context.answer(output, report, page.text())?;
    Ok(Answer::from(status).number())
}

fn verified(path: &Path, trust: &Trust) -> Result<Report> {
    let file = open(path)?;
    let progress = Progress::start("verifying", Some(file.size()));
    let reader = BufReader::with_capacity(1 << 20, Counted::new(file, &progress));
    legacy::verify(reader, trust).with_context(|| format!("cannot read {}", path.display()))
}

fn verdict(report: &Report) -> &'static str {
    match report.status {
        Status::Tampered if report.fault_count == report.python_accepts_count => {
            "FAULTY, though the Python package accepts it"
        }
        status => answer::of_lines(status),
    }
}

fn tell_report(report: &Report, path: &Path, page: &mut Page) {
    page.title(&format!("{}: {}", path.display(), verdict(report)));
    let (records, lines) = (counted(report.records, "record"), counted(report.lines, "line"));
    page.item(&format!("{records} of version 0.1 in {lines}"));
    page.item(&format!("{} bytes, SHA-256 {}", report.file_bytes, report.file_sha256));
    for key in &report.keys {
        let trust = if key.trusted { "trusted" } else { "NOT trusted" };
        let records = counted(key.records, "record");
        page.item(&format!("{records} signed by {} ({trust})", key.fingerprint));
    }
    let faults = report.faults.iter().map(|fault| {
        let note = if fault.python_accepts { " (the Python package accepts this)" } else { "" };
        format!("line {}: {}: {}{note}", fault.line, fault.code, fault.reason)
    });
    tell_first(page, FAULTS_SHOWN, faults, report.fault_count, "fault");
    if let Some(torn) = &report.torn_tail {
        let what = if torn.complete_entry {
            "is a whole record that lacks only its newline"
        } else {
            "has no newline and does not verify, as an interrupted write leaves it"
        };
        page.item(&format!("line {} ({} bytes) {what}", torn.line, torn.bytes));
    }
    for limit in LIMITS {
        page.item(&format!("not shown by this format: {limit}"));
    }
    if report.status == Status::Untrusted {
        let key = report.keys.first().map_or("PUBLIC_KEY", |key| key.public_key.as_str());
        hint_at_trust(key, page);
    }
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
        let mut page = Page::default();
        tell_report(&report, &args.old, &mut page);
        page.title(&format!("nothing was imported: {old} does not verify"));
        page.hint("--accept-unverified imports it, and records what is wrong with it");
        context.answer(&args.output, serde_json::to_value(&report)?, page.text())?;
        return Ok(Answer::from(report.status).number());
    }
    let pin = report.imported();
    let store = context.store(Some(&args.into))?;
    let (key, _) = store.key(true)?;
    let before = Some(Before::Imported(pin.clone()));
    let genesis = GenesisOptions { before, ..GenesisOptions::default() };
    let Some(notice) = store.make(&key, &genesis)? else {
        bail!("there is a ledger in {} already\nhint: name a new directory", args.into.display());
    };
    let mut page = Page::default();
    page.title(&notice);
    page.title(&format!("  it continues {old}: {}", verdict(&report)));
    tell_pinned(&pin, "", &mut page);
    let into = args.into.display();
    page.title(&format!("hint: keep {old} as it is, and check both with"));
    page.title(&format!("      carbon-ops ledger verify {into} --imported {old}"));
    context.answer(&args.output, serde_json::to_value(&pin)?, page.text())
}

fn tell_pinned(pin: &Imported, which: &str, page: &mut Page) {
    let Imported { records, file_bytes, file_sha256, .. } = pin;
    let records = counted(*records, "record");
    page.item(&format!("{which}{records}, {file_bytes} bytes, SHA-256 {file_sha256}"));
}

/// Of the ledger that a verified one continues.
pub(super) fn tell_imported(
    pin: Option<&Imported>,
    differences: Option<&[&'static str]>,
    page: &mut Page,
) {
    let Some(pin) = pin else { return };
    let verdict = match pin.verdict {
        Status::Valid => "valid",
        Status::TornTail => "valid up to a torn last line",
        Status::Tampered => "TAMPERED WITH OR FAULTY",
        _ => "NOT CHECKED, its key was not trusted",
    };
    page.item(&format!(
        "continues a ledger of version 0.1 that was {verdict} when it was imported"
    ));
    tell_pinned(pin, "that ledger: ", page);
    match differences {
        None => page.hint("--imported FILE checks whether a file is that ledger"),
        Some([]) => page.item("the given file is that ledger, byte for byte"),
        Some(differences) => {
            let differences = differences.join(", ");
            page.item(&format!("THE GIVEN FILE IS NOT THAT LEDGER: {differences} differ"));
        }
    }
}
