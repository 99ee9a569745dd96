//! Checkpoints and proofs on the command line: prove, check, and what `verify` says of them.

use std::fs;

use anyhow::{Context as _, Result};
use carbon_ops::proof::canonical::object_to_canonical;
use carbon_ops::proof::checkpoint::{CHECKPOINT_LOG, Checkpoint};
use carbon_ops::proof::merkle::TreeHash;
use carbon_ops::proof::proof::{MAX_PROOF_BYTES, Proven};
use carbon_ops::proof::verify::{AnchorVerdict, HistoryReport, Report, Status};
use carbon_ops::prove::OfProof;
use serde_json::{Value, json};

use super::entries::{cells, entries};
use super::witnessed::{insert_into, tell};
use crate::args::{LedgerCheckProof, LedgerConsistency, LedgerProve};
use crate::commands::verdict::hint_at_trust;
use crate::context::Context;
use crate::layout::Page;
use crate::render::add;
use crate::render::{counted, plain};
use carbon_ops::prove::{Consistency, Size, check};
use carbon_ops::verify::{Answer, read_limited, read_policy};

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
    let file = args.out.as_ref().map(|file| file.display().to_string());
    let proof = file.is_none().then_some(&text);
    let report = json!({ "seq": seq, "tree_size": checkpoint.size,
        "ledger_id": checkpoint.ledger_id.to_string(), "root": checkpoint.root.to_string(),
        "bytes": text.len(), "file": file, "proof": proof });
    context.hand_over(&args.at.output, report, proof.map_or("", String::as_str))
}

pub(super) fn check_proof(args: &LedgerCheckProof, context: &mut Context<'_>) -> Result<u8> {
    let trust = context.trust(&args.trusted)?;
    let policy = args.quorum.policy.as_deref().map(read_policy).transpose()?;
    let name = args.file.display();
    let file =
        read_limited(&args.file, MAX_PROOF_BYTES).with_context(|| format!("cannot read {name}"))?;
    let checked = check(file, &trust, policy.as_ref());
    let answer = checked.answer();
    let (mut report, mut page, mut table) = (json!({ "reason": null }), Page::default(), entries());
    let OfProof { status, words, reason, .. } = &checked.found;
    add(&mut report, [("status", (*status).into())]);
    match (&checked.proven, reason) {
        (Some(proven), None) => {
            page.title(&format!("{name}: {words}"));
            tell_proven(proven, (&mut report, &mut page))?;
            insert_into(checked.witnessed.as_ref(), &mut report);
            tell(checked.witnessed.as_ref(), &mut page);
            table.row(cells(proven.entry.object(), None));
        }
        (_, reason) => {
            let untrusted = answer == Answer::Untrusted;
            let reason = reason.as_deref().unwrap_or_default();
            add(&mut report, [("reason", reason.into())]);
            page.title(&format!("{name}: {words}: {reason}"));
            if let Some(key) = checked.key_to_trust.filter(|_| untrusted) {
                add(&mut report, [("key_to_trust", key.fingerprint().into())]);
                page.item(&format!("it was begun with the key {}", key.fingerprint()));
                hint_at_trust(&key.to_hex(), &mut page);
            }
        }
    }
    context.answer(&args.output, report, &(page.text().to_owned() + &table.fitted()))?;
    Ok(answer.number())
}

/// What was proven, for programs and for people.
fn tell_proven(proven: &Proven, (report, page): (&mut Value, &mut Page)) -> Result<()> {
    let Checkpoint { ledger_id, size, root, .. } = proven.checkpoint;
    let (seq, signer) = (proven.entry.seq(), proven.checkpoint_key.fingerprint());
    page.item(&format!("entry {seq} of {size} in the ledger {ledger_id}"));
    page.item(&format!("signed by {signer}"));
    let line = object_to_canonical(proven.entry.object());
    let numbers = [("seq", seq.into()), ("tree_size", size.into())];
    add(report, numbers);
    add(report, [("ledger_id", ledger_id.to_string().into()), ("root", root.to_string().into())]);
    add(report, [("signed_by", signer.into()), ("entry", serde_json::from_slice(&line)?)]);
    if let Some(key) = proven.genesis_key {
        add(report, [("trusted_through", key.fingerprint().into())]);
        if key != proven.checkpoint_key {
            page.item(&format!("trusted through {}, which began it", key.fingerprint()));
        }
    }
    Ok(())
}

pub(super) fn consistency(args: &LedgerConsistency, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.at.path.as_deref())?;
    let (old, new) = (Size::read(&args.old)?, Size::read(&args.new)?);
    let trust = context.trust(&args.trusted)?;
    let found = carbon_ops::prove::consistency(&path, [&old, &new], &trust)?;
    let name = path.display();
    let (report, text) = match &found {
        Consistency::Extends { roots: [old_root, new_root], proof } => {
            let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
            let side =
                |lines: u64, root: &TreeHash| json!({ "size": lines, "root": root.to_string() });
            let text = format!("old {}\nnew {}\n{}", old.lines, new.lines, proof.join("\n"));
            let report = json!({ "status": "consistent", "old": side(old.lines, old_root),
                "new": side(new.lines, new_root), "proof": proof });
            (report, text)
        }
        Consistency::Fewer { there, wanted, .. } => {
            not_consistent(&found, format!("{name} has {there} lines, fewer than {wanted}"))
        }
        Consistency::OtherLines { checkpoint } => {
            let reason = format!("{name} does not begin with the lines of {checkpoint}");
            not_consistent(&found, reason)
        }
    };
    context.hand_over(&args.at.output, report, &text)?;
    Ok(found.answer().number())
}

/// Why nothing was proven.
fn not_consistent(found: &Consistency, reason: String) -> (Value, String) {
    let rewritten = found.answer() == Answer::Rewritten;
    let status = if rewritten { "rewritten" } else { "could_not" };
    (json!({ "status": status, "reason": reason }), reason)
}

/// What `verify` says of checkpoints: what does not fit, and what none covers.
pub(super) fn tell_anchors(report: &Report, page: &mut Page) {
    for anchor in &report.anchors {
        let source = plain(&anchor.source);
        match (anchor.verdict, &anchor.reason, anchor.size) {
            (AnchorVerdict::Confirmed, _, Some(size)) if anchor.signed => page.item(&format!(
                "{source} is confirmed: {size} lines are those that were signed for"
            )),
            (AnchorVerdict::Confirmed, ..) => {}
            (_, reason, _) => {
                let reason = reason.as_deref().unwrap_or("?");
                page.item(&format!("{source} is NOT confirmed: {reason}"));
            }
        }
    }
    tell_history(report.history, page);
    if report.compared > 0 {
        page.item(&format!("{} of these records were compared as a whole only", report.compared));
    }
    let tail = report.tree_size.saturating_sub(report.covered);
    match (report.covered, tail) {
        (_, 0) => {}
        // What was signed for and is not there was named above.
        _ if report.status == Status::Rewritten => {}
        (0, _) => page.item(
            "no checkpoint covers it: it would not be noticed if whole lines were cut off its end",
        ),
        (covered, 1) => page.item(&format!(
            "the last line, with seq {covered}, is not covered by a checkpoint yet"
        )),
        (covered, tail) => page.item(&format!(
            "the last {tail} lines, from seq {covered} on, are not covered by a checkpoint yet"
        )),
    }
}

/// What `verify` says of the log of checkpoints; those that do not fit are among the anchors.
fn tell_history(history: Option<HistoryReport>, page: &mut Page) {
    let Some(history) = history else { return };
    let HistoryReport { confirmed, refuted, not_compared, unreadable, .. } = history;
    let all = confirmed + refuted;
    for (count, what) in [
        (all, format!("{confirmed} of {all} checkpoints are confirmed")),
        (not_compared, format!("{} could not be compared", counted(not_compared, "checkpoint"))),
        (
            unreadable,
            format!("{unreadable} pieces are not checkpoints, as interrupted writes leave them"),
        ),
    ] {
        if count > 0 {
            page.item(&format!("{CHECKPOINT_LOG}: {what}"));
        }
    }
}
