//! Audit packs on the command line: writing one, and checking it where nothing else is.

use std::fs::File;
use std::io::BufReader;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use carbon_ops::ledger::pack::{
    Contents, PackError, PackReport, PackStatus, Packed, Selection, write_pack,
};
use carbon_ops::proof::canonical::{Object, object_to_canonical};
use carbon_ops::proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops::record::answer;
use serde_json::json;

use super::entries::{cells, entries};
use super::witnessed::{insert_into, tell, write_whole};
use crate::args::{LedgerAuditPack, LedgerVerifyPack};
use crate::commands::verdict::hint_at_trust;
use crate::commands::verdict::{REWRITTEN, add_others, tell_counts};
use crate::context::Context;
use crate::layout::Page;
use crate::progress::{Counted, Progress};
use crate::render::add;
use crate::render::plain;
use carbon_ops::pack::{Question, Since, Verdict};
use carbon_ops::verify::{self, Others, read_checkpoint, read_policy, read_policy_bytes};

pub(super) fn write(args: &LedgerAuditPack, context: &mut Context<'_>) -> Result<u8> {
    let path = context.ledger_file(args.at.path.as_deref())?;
    let stored = path.with_file_name(CHECKPOINT_FILE);
    if !stored.exists() {
        bail!(
            "no checkpoint covers {}\nhint: `carbon-ops ledger checkpoint` signs one",
            path.display()
        );
    }
    let checkpoint = read_checkpoint(&stored)?;
    let earlier = args.since.as_deref().map(read_checkpoint).transpose()?;
    let policy = args.policy.as_deref().map(|path| {
        read_policy(path)?;
        let text = String::from_utf8(read_policy_bytes(path)?);
        text.with_context(|| format!("the policy {} is not UTF-8", path.display()))
    });
    let policy = policy.transpose()?;
    let contents = Contents {
        checkpoint: &checkpoint,
        selection: &args.records,
        earlier: earlier.as_ref(),
        policy: policy.as_deref(),
    };
    // A pack of all is about as long as the ledger; how long another gets is not known before.
    let all = args.records == Selection::All;
    let total = if all { Some(verify::open(&path)?.size()) } else { None };
    let progress = Progress::start("packing", total);
    let written = write_whole(&args.out, |to| {
        Ok(write_pack(path.parent(), &path, &contents, &mut Counted::new(to, &progress))?)
    });
    drop(progress);
    let Packed { entries, bytes, .. } = match written {
        Ok(packed) => packed,
        Err(error) if matches!(error.downcast_ref(), Some(PackError::Contradiction { .. })) => {
            writeln!(context.out, "{}: {error}", path.display())?;
            return Ok(REWRITTEN);
        }
        Err(error) => {
            return Err(error.context(format!("no pack of {} was written", path.display())));
        }
    };
    let name = args.out.display();
    let size = Checkpoint::of_note(&checkpoint)?.size;
    let text = format!("{name}: {entries} of {size} lines, {bytes} bytes");
    let report = json!({ "file": name.to_string(), "entries": entries, "size": size,
        "bytes": bytes });
    context.answer(&args.at.output, report, &text)
}

pub(super) fn check(args: &LedgerVerifyPack, context: &mut Context<'_>) -> Result<u8> {
    let checks = &args.checks;
    let question = Question {
        trust: context.trust(&checks.trusted)?,
        since: checks.since.as_deref(),
        policy: checks.quorum.policy.as_deref(),
        recompute: checks.recompute,
    };
    let cannot = || format!("cannot read {}", args.file.display());
    let file = File::open(&args.file).with_context(cannot)?;
    let total = file.metadata().with_context(cannot)?.len();
    let progress = Progress::start("verifying", Some(total));
    let reader = BufReader::with_capacity(1 << 20, Counted::new(file, &progress));
    let mut table = entries();
    let mut each = |object: &Object| {
        if args.show && args.output.json {
            context.out.write_all(&object_to_canonical(object))?;
            writeln!(context.out)?;
        } else if args.show {
            table.row(cells(object, None));
        }
        Ok(())
    };
    let verdict = carbon_ops::pack::verify(reader, &question, &mut each).with_context(cannot)?;
    drop(progress);
    let code = verdict.answer().number();
    let Verdict { report, others, witnessed, since, .. } = &verdict;
    let mut json = serde_json::to_value(report)?;
    add_others(&mut json, others);
    insert_into(witnessed.as_ref(), &mut json);
    let mut page = Page::default();
    tell_report(args, report, others, &mut page);
    tell(witnessed.as_ref(), &mut page);
    if let Some(since) = since {
        let (word, words) = since_words(*since);
        add(&mut json, [("since", word.into())]);
        page.item(words);
    }
    if report.status == PackStatus::Untrusted {
        hint_at_trust(report.genesis_public_key.as_deref().unwrap_or("PUBLIC_KEY"), &mut page);
    }
    context.answer(&args.output, json, &(table.fitted() + page.text()))?;
    Ok(code)
}

fn tell_report(args: &LedgerVerifyPack, report: &PackReport, others: &Others, page: &mut Page) {
    let verdict = answer::of_pack(report, others);
    page.title(&format!("{}: {verdict}", args.file.display()));
    if let Some(fault) = &report.fault {
        page.item(&format!("line {}: {}", fault.line, plain(&fault.reason)));
    }
    if let Some(id) = &report.ledger_id {
        let what = if report.whole { "the whole ledger" } else { "a selection of the ledger" };
        let size = report.size.unwrap_or_default();
        page.item(&format!("{what} {id}: {} of {size} lines", report.entries));
    }
    if report.status == PackStatus::Tampered {
        return;
    }
    if !report.whole {
        page.item("nothing is shown about the lines that are not in it");
    }
    if let Some(key) = &report.genesis_key {
        page.item(&format!("begun with the key {key}"));
    }
    if let Some(key) = &report.signed_by {
        page.item(&format!("the checkpoint is signed by {key}"));
    }
    if let Some(size) = report.earlier_size {
        page.item(&format!("it extends an earlier checkpoint of {size} lines"));
    }
    tell_counts(page, &[(others.foreign, "signed entry", "of other programs, not looked into")]);
    if report.claimed_policy.is_some() && args.checks.quorum.policy.is_none() {
        page.item("it carries a policy, which was not used: give yours with --policy");
    }
}

/// What a pack shows of a checkpoint that was kept, as a word and as a sentence.
fn since_words(since: Since) -> (&'static str, &'static str) {
    match since {
        Since::Extends => ("extended", "it extends the checkpoint that you kept"),
        Since::Contradicts => ("contradicted", "IT CONTRADICTS the checkpoint that you kept"),
        Since::Silent => (
            "not_told",
            "it does not show whether it extends the checkpoint that you kept: ask for a pack made with --since \
             and that checkpoint",
        ),
    }
}
