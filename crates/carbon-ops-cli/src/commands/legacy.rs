//! Ledgers of the Python package carbon-ops 0.1: verifying them and appending to them.
//!
//! Left out: what their records mean.

use std::io::{BufReader, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_ledger::legacy::{self, LIMITS, MAX_LINE_BYTES, Record, Report};
use carbon_ops_ledger::verify::Status;

use super::ledger::{FAULTS_SHOWN, open, write_trust_hint};
use crate::args::{LedgerAppend, LedgerVerify};
use crate::config::Settings;
use crate::edge::Edge;
use crate::store::{PATIENCE, Store};

/// `ledger verify --profile 0.1`: form, order, hashes and signatures.
pub(super) fn check(
    args: &LedgerVerify,
    path: &Path,
    trust: &Trust,
    out: &mut impl Write,
) -> Result<u8> {
    if args.recompute {
        bail!(
            "records of version 0.1 do not carry the inputs that --recompute needs\n\
             hint: verify without it"
        );
    }
    let report = verified(path, trust)?;
    if args.json {
        writeln!(out, "{:#}", serde_json::to_value(&report)?)?;
    } else {
        write_report(&report, path, out)?;
    }
    Ok(report.exit_code())
}

fn verified(path: &Path, trust: &Trust) -> Result<Report> {
    let reader = BufReader::with_capacity(1 << 20, open(path)?);
    legacy::verify(reader, trust).with_context(|| format!("cannot read {}", path.display()))
}

fn write_report(report: &Report, path: &Path, out: &mut impl Write) -> Result<()> {
    let lax = report.fault_count == report.python_accepts_count;
    let verdict = match report.status {
        Status::Valid => "VALID",
        Status::TornTail => "VALID UP TO A TORN LAST LINE",
        Status::Tampered if lax => "FAULTY, though the Python package accepts it",
        Status::Tampered => "TAMPERED WITH",
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "UNKNOWN VERDICT",
    };
    writeln!(out, "{}: {verdict}", path.display())?;
    writeln!(out, "  {} records of version 0.1 in {} lines", report.records, report.lines)?;
    writeln!(out, "  {} bytes, SHA-256 {}", report.file_bytes, report.file_sha256)?;
    for key in &report.keys {
        let trust = if key.trusted { "trusted" } else { "NOT trusted" };
        writeln!(out, "  {} records signed by {} ({trust})", key.records, key.fingerprint)?;
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
pub(super) fn append(
    args: &LedgerAppend,
    settings: &Settings,
    edge: &Edge,
    out: &mut impl Write,
) -> Result<u8> {
    let crate::args::AppendProfile::Legacy = args.profile;
    let (key, _) = Store::of(settings, edge)?.key(false)?;
    let mut json = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut json).context("cannot read the record")?;
    let record = Record::parse(&json)?;
    legacy::append(&args.path, &record, &key, PATIENCE)?;
    let signer = key.public_key().fingerprint();
    writeln!(out, "appended a record to {}, signed by {signer}", args.path.display())?;
    Ok(0)
}
