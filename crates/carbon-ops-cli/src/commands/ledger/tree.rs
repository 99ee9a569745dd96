//! Checkpoints and proofs on the command line: prove, check, and what `verify` says of them.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::ledger::tile::TileTree;
use carbon_ops::proof::checkpoint::{CHECKPOINT_LOG, Checkpoint};
use carbon_ops::proof::merkle::{TreeHash, consistency_proof, root_at, verify_consistency};
use carbon_ops::proof::note::Note;
use carbon_ops::proof::proof::{MAX_PROOF_BYTES, Proof, Proven};
use carbon_ops::proof::verify::{AnchorVerdict, HistoryReport, Report, Status};
use serde_json::json;

use super::{COULD_NOT, cells, entries, write_trust_hint};
use crate::args::{LedgerCheckProof, LedgerConsistency, LedgerProve};
use crate::context::Context;
use crate::hints;
use crate::{REWRITTEN, render::plain};
use carbon_ops::proof::text;
use carbon_ops::prove::{believe, open};
use carbon_ops::verify::{Answer, read_checkpoint, read_limited, read_policy};
use carbon_ops::witnessed::Witnessed;

pub(super) fn prove(args: &LedgerProve, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.at.path.as_deref())?;
    let seq = args.seq;
    let proof = carbon_ops::prove::prove(&path, seq)?;
    let checkpoint = Checkpoint::of_note(&proof.checkpoint)?;
    let text = proof.to_string();
    if let Some(file) = &args.out {
        let cannot = || format!("cannot write {}", file.display());
        fs::write(file, &text).with_context(cannot)?;
    }
    if args.at.output.json {
        let file = args.out.as_ref().map(|file| file.display().to_string());
        let proof = file.is_none().then_some(&text);
        context.report(json!({ "seq": seq, "tree_size": checkpoint.size,
            "ledger_id": checkpoint.ledger_id.to_string(), "root": checkpoint.root.to_string(),
            "bytes": text.len(), "file": file, "proof": proof }))?;
    } else if args.out.is_none() {
        write!(context.out, "{text}")?;
    }
    Ok(0)
}

pub(super) fn check_proof(args: &LedgerCheckProof, context: &mut Context<'_>) -> Result<u8> {
    let trust = context.trust(&args.trusted)?;
    let policy = args.quorum.policy.as_deref().map(read_policy).transpose()?;
    let name = args.file.display();
    let bytes =
        read_limited(&args.file, MAX_PROOF_BYTES).with_context(|| format!("cannot read {name}"))?;
    let proof = Proof::parse(&text::plain(bytes));
    let key = proof.as_ref().ok().and_then(Proof::key_to_trust);
    let checked = proof.and_then(|proof| Ok((proof.check(&trust)?, proof)));
    let (answer, status, reason, proven) = match checked {
        Ok(proven) => (Answer::Valid, "proven", None, Some(proven)),
        Err(e) if e.is_untrusted() => (Answer::Untrusted, "untrusted", Some(e.to_string()), None),
        Err(e) => (Answer::Tampered, "not_proven", Some(e.to_string()), None),
    };
    let key = key.filter(|_| answer == Answer::Untrusted);
    let witnessed = policy.zip(proven.as_ref());
    let witnessed =
        witnessed.map(|(policy, (_, proof))| Witnessed::of(&policy, Some(&proof.checkpoint)));
    let code = hints::exit_code(answer.and_witnessed(witnessed.as_ref()));
    let proven = proven.map(|(proven, _)| proven);
    if args.output.json {
        let mut report = json!({ "status": status, "reason": reason });
        if let Some(proven) = &proven {
            tell_proven(proven, &mut report)?;
        }
        if let (Some(key), Some(report)) = (key, report.as_object_mut()) {
            report.insert("key_to_trust".into(), key.fingerprint().into());
        }
        if let Some(witnessed) = &witnessed {
            super::witnessed::insert_into(witnessed, &mut report);
        }
        context.report(report)?;
        return Ok(code);
    }
    let out = &mut context.out;
    let verdict = if code == COULD_NOT { "NOT CHECKED" } else { "NOT PROVEN" };
    match (&proven, reason) {
        (Some(proven), _) => {
            let Checkpoint { ledger_id, size, .. } = proven.checkpoint;
            writeln!(out, "{name}: PROVEN")?;
            writeln!(out, "  entry {} of {size} in the ledger {ledger_id}", proven.entry.seq())?;
            writeln!(out, "  signed by {}", proven.checkpoint_key.fingerprint())?;
            if let Some(key) = proven.genesis_key.filter(|key| *key != proven.checkpoint_key) {
                writeln!(out, "  trusted through {}, which began it", key.fingerprint())?;
            }
            witnessed.iter().try_for_each(|witnessed| super::witnessed::write(witnessed, out))?;
            let mut table = entries();
            table.row(cells(proven.entry.object(), None));
            table.write(out)?;
        }
        (None, reason) => writeln!(out, "{name}: {verdict}: {}", reason.unwrap_or_default())?,
    }
    if let Some(key) = key {
        writeln!(out, "  it was begun with the key {}", key.fingerprint())?;
        write_trust_hint(&key.to_hex(), out)?;
    }
    Ok(code)
}

fn tell_proven(proven: &Proven, report: &mut serde_json::Value) -> Result<()> {
    let Some(report) = report.as_object_mut() else { return Ok(()) };
    report.insert("ledger_id".into(), proven.checkpoint.ledger_id.to_string().into());
    report.insert("seq".into(), proven.entry.seq().into());
    report.insert("tree_size".into(), proven.checkpoint.size.into());
    report.insert("root".into(), proven.checkpoint.root.to_string().into());
    report.insert("signed_by".into(), proven.checkpoint_key.fingerprint().into());
    if let Some(key) = proven.genesis_key {
        report.insert("trusted_through".into(), key.fingerprint().into());
    }
    let line = carbon_ops::proof::canonical::object_to_canonical(proven.entry.object());
    report.insert("entry".into(), serde_json::from_slice(&line)?);
    Ok(())
}

pub(super) fn consistency(args: &LedgerConsistency, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.at.path.as_deref())?;
    let cannot = || format!("cannot read {}", path.display());
    let (old, new) = (Size::read(&args.old)?, Size::read(&args.new)?);
    let there = open(&path)?.size().with_context(cannot)?;
    let trust = context.trust(&args.trusted)?;
    let mut roots = Vec::new();
    for (size, given) in [(&old, &args.old), (&new, &args.new)] {
        if let Some((checkpoint, note)) = &size.signed {
            believe(&path, (checkpoint, note), there, &trust)
                .with_context(|| format!("cannot use the checkpoint {given}"))?;
        }
        if size.lines > there {
            let reason = format!("{} has {there} lines, fewer than {}", path.display(), size.lines);
            let code = if size.signed.is_some() { REWRITTEN } else { COULD_NOT };
            return write_not_consistent(args, &reason, code, context);
        }
        let mut tree = TileTree::new(open(&path)?, size.lines);
        let root = root_at(size.lines, &mut tree).with_context(cannot)?;
        if size.signed.as_ref().is_some_and(|(checkpoint, _)| checkpoint.root != root) {
            let reason = format!("{} does not begin with the lines of {given}", path.display());
            return write_not_consistent(args, &reason, REWRITTEN, context);
        }
        roots.push(root);
    }
    let mut tree = TileTree::new(open(&path)?, new.lines);
    let proof = consistency_proof(old.lines, new.lines, &mut tree).with_context(cannot)?;
    let proof = proof.ok_or_else(|| {
        anyhow!(
            "{} is not between 1 and {}\nhint: the smaller size comes first",
            old.lines,
            new.lines
        )
    })?;
    let [old_root, new_root]: [TreeHash; 2] =
        roots.try_into().map_err(|_| anyhow!("two roots were expected"))?;
    verify_consistency(old.lines, old_root, new.lines, new_root, &proof)
        .with_context(|| format!("the tiles beside {} contradict each other", path.display()))?;
    if args.at.output.json {
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        let side = |lines: u64, root: TreeHash| json!({ "size": lines, "root": root.to_string() });
        context.report(json!({ "status": "consistent", "old": side(old.lines, old_root),
            "new": side(new.lines, new_root), "proof": proof }))?;
        return Ok(0);
    }
    let out = &mut context.out;
    writeln!(out, "old {}\nnew {}", old.lines, new.lines)?;
    for hash in proof {
        writeln!(out, "{hash}")?;
    }
    Ok(0)
}

/// Why nothing was proven.
fn write_not_consistent(
    args: &LedgerConsistency,
    reason: &str,
    code: u8,
    context: &mut Context<'_>,
) -> Result<u8> {
    if args.at.output.json {
        let status = if code == REWRITTEN { "rewritten" } else { "could_not" };
        context.report(json!({ "status": status, "reason": reason }))?;
    } else {
        writeln!(context.out, "{reason}")?;
    }
    Ok(code)
}

/// A size of the ledger, perhaps with the checkpoint that told it.
struct Size {
    lines: u64,
    signed: Option<(Checkpoint, Note)>,
}

impl Size {
    fn read(given: &str) -> Result<Self> {
        if let Ok(lines) = given.parse() {
            return Ok(Self { lines, signed: None });
        }
        let note = read_checkpoint(Path::new(given))?;
        let checkpoint = Checkpoint::of_note(&note)?;
        Ok(Self { lines: checkpoint.size, signed: Some((checkpoint, note)) })
    }
}

/// What `verify` says of checkpoints: what does not fit, and what none covers.
pub(super) fn write_anchors(report: &Report, out: &mut impl Write) -> Result<()> {
    for anchor in &report.anchors {
        let source = plain(&anchor.source);
        match (anchor.verdict, &anchor.reason, anchor.size) {
            (AnchorVerdict::Confirmed, _, Some(size)) if anchor.signed => {
                writeln!(
                    out,
                    "  {source} is confirmed: {size} lines are those that were signed for"
                )?;
            }
            (AnchorVerdict::Confirmed, ..) => {}
            (_, reason, _) => {
                writeln!(out, "  {source} is NOT confirmed: {}", reason.as_deref().unwrap_or("?"))?;
            }
        }
    }
    write_history(report.history, out)?;
    if report.compared > 0 {
        writeln!(out, "  {} of these records were compared as a whole only", report.compared)?;
    }
    let tail = report.tree_size.saturating_sub(report.covered);
    match (report.covered, tail) {
        (_, 0) => {}
        // What was signed for and is not there was named above.
        _ if report.status == Status::Rewritten => {}
        (0, _) => writeln!(
            out,
            "  no checkpoint covers it: lines cut cleanly off its end would not be noticed"
        )?,
        (covered, tail) => writeln!(
            out,
            "  the last {tail} lines, from seq {covered} on, are covered by no checkpoint yet"
        )?,
    }
    Ok(())
}

/// What `verify` says of the log of checkpoints; those that do not fit are among the anchors.
fn write_history(history: Option<HistoryReport>, out: &mut impl Write) -> Result<()> {
    let Some(history) = history else { return Ok(()) };
    let HistoryReport { confirmed, refuted, not_compared, unreadable, .. } = history;
    if confirmed + refuted > 0 {
        let all = confirmed + refuted;
        writeln!(out, "  {CHECKPOINT_LOG}: {confirmed} of {all} checkpoints are confirmed")?;
    }
    if not_compared > 0 {
        writeln!(
            out,
            "  {CHECKPOINT_LOG}: {not_compared} checkpoints stand too far behind newer ones to be \
             compared"
        )?;
    }
    if unreadable > 0 {
        writeln!(
            out,
            "  {CHECKPOINT_LOG}: {unreadable} pieces are no checkpoint, as interrupted writes leave them"
        )?;
    }
    Ok(())
}
