//! Checkpoints and proofs on the command line: prove, check, and what `verify` says of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use carbon_ops::ledger::tile::TileTree;
use carbon_ops::proof::canonical::object_to_canonical;
use carbon_ops::proof::checkpoint::{CHECKPOINT_LOG, Checkpoint};
use carbon_ops::proof::merkle::{TreeHash, consistency_proof, root_at, verify_consistency};
use carbon_ops::proof::note::Note;
use carbon_ops::proof::proof::{MAX_PROOF_BYTES, Proof, Proven};
use carbon_ops::proof::verify::{AnchorVerdict, HistoryReport, Report, Status};
use serde_json::{Value, json};

use super::witnessed::{insert_into, tell};
use super::{cells, entries};
use crate::args::{LedgerCheckProof, LedgerConsistency, LedgerProve};
use crate::commands::verdict::hint_at_trust;
use crate::context::{Context, add};
use crate::hints;
use crate::layout::Page;
use crate::render::plain;
use crate::{COULD_NOT, REWRITTEN};
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
    let file = args.out.as_ref().map(|file| file.display().to_string());
    let proof = file.is_none().then_some(&text);
    let report = json!({ "seq": seq, "tree_size": checkpoint.size,
        "ledger_id": checkpoint.ledger_id.to_string(), "root": checkpoint.root.to_string(),
        "bytes": text.len(), "file": file, "proof": proof });
    context.answer(&args.at.output, report, proof.map_or("", String::as_str))
}

pub(super) fn check_proof(args: &LedgerCheckProof, context: &mut Context<'_>) -> Result<u8> {
    let trust = context.trust(&args.trusted)?;
    let policy = args.quorum.policy.as_deref().map(read_policy).transpose()?;
    let name = args.file.display();
    let bytes =
        read_limited(&args.file, MAX_PROOF_BYTES).with_context(|| format!("cannot read {name}"))?;
    let proof = Proof::parse(&text::plain(bytes));
    let key = proof.as_ref().ok().and_then(Proof::key_to_trust);
    let (mut report, mut page, mut table) = (json!({ "reason": null }), Page::default(), entries());
    let answer = match proof.and_then(|proof| Ok((proof.check(&trust)?, proof))) {
        Ok((proven, proof)) => {
            let witnessed = policy.map(|policy| Witnessed::of(&policy, Some(&proof.checkpoint)));
            add(&mut report, [("status", "proven".into())]);
            page.title(&format!("{name}: PROVEN"));
            tell_proven(&proven, (&mut report, &mut page))?;
            insert_into(witnessed.as_ref(), &mut report);
            tell(witnessed.as_ref(), &mut page);
            table.row(cells(proven.entry.object(), None));
            Answer::Valid.and_witnessed(witnessed.as_ref())
        }
        Err(error) => {
            let (answer, status, verdict) = if error.is_untrusted() {
                (Answer::Untrusted, "untrusted", "NOT CHECKED")
            } else {
                (Answer::Tampered, "not_proven", "NOT PROVEN")
            };
            add(&mut report, [("status", status.into()), ("reason", error.to_string().into())]);
            page.title(&format!("{name}: {verdict}: {error}"));
            if let Some(key) = key.filter(|_| answer == Answer::Untrusted) {
                add(&mut report, [("key_to_trust", key.fingerprint().into())]);
                page.item(&format!("it was begun with the key {}", key.fingerprint()));
                hint_at_trust(&key.to_hex(), &mut page);
            }
            answer
        }
    };
    context.answer(&args.output, report, &(page.text().to_owned() + &table.fitted()))?;
    Ok(hints::exit_code(answer))
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
    let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
    let side = |lines: u64, root: TreeHash| json!({ "size": lines, "root": root.to_string() });
    let text = format!("old {}\nnew {}\n{}", old.lines, new.lines, proof.join("\n"));
    let report = json!({ "status": "consistent", "old": side(old.lines, old_root),
        "new": side(new.lines, new_root), "proof": proof });
    context.answer(&args.at.output, report, &text)
}

/// Why nothing was proven.
fn write_not_consistent(
    args: &LedgerConsistency,
    reason: &str,
    code: u8,
    context: &mut Context<'_>,
) -> Result<u8> {
    let status = if code == REWRITTEN { "rewritten" } else { "could_not" };
    context.answer(&args.at.output, json!({ "status": status, "reason": reason }), reason)?;
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
        (
            not_compared,
            format!("{not_compared} checkpoints are too far behind newer ones to be compared"),
        ),
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
