//! `ledger init --continues`, and what a verification says of the ledgers that one continues.
//!
//! Out of scope: what is continued and how that is found.

use std::path::Path;

use anyhow::Result;
use carbon_ops::before::Chain;
use carbon_ops::continuation::{self, Wanted};
use carbon_ops::proof::entry::{ContinuationReason, Continued};
use carbon_ops::proof::verify::Status;
use carbon_ops::verify;
use serde_json::{Value, json};

use crate::args::LedgerInit;
use crate::context::Context;
use crate::layout::Page;
use crate::render::add;
use crate::render::{counted, plain};

/// `ledger init --continues OLD`.
pub(super) fn begin(old: &Path, args: &LedgerInit, context: &mut Context<'_>) -> Result<u8> {
    let store = context.store(None)?;
    let trust = verify::trust(args.trusted.trust.as_deref(), &context.settings, &context.env)?;
    let wanted = Wanted {
        old,
        into: args.at.path.as_deref(),
        reason: args.reason,
        note: args.note.clone(),
        size: args.size,
        durability: args.durability,
    };
    let begun = continuation::begin(&store, &wanted, &trust)?;
    let mut page = Page::default();
    let (ledger, old) = (begun.ledger.display(), begun.old.display());
    let closed = if begun.notices.is_empty() { ", which is closed" } else { "" };
    page.title(&format!("{ledger} continues {old}{closed}"));
    tell_pin(&begun.pin, &mut page);
    page.item(&format!("signed by the key {} ({})", store.key.display(), begun.key.fingerprint()));
    if begun.carried > 0 {
        page.item(&format!("{} carried over", counted(begun.carried, "record")));
    }
    if begun.left > 0 {
        let left = counted(begun.left, "record");
        page.item(&format!("{left} left behind: not in order, or perhaps by somebody else"));
    }
    for notice in &begun.notices {
        page.item(notice);
    }
    page.title("hint: keep the old one as it is; check both, and sum, with");
    page.title(&format!("      carbon-ops ledger verify {ledger}"));
    let summed = if begun.complete { String::new() } else { format!("{old} ") };
    page.title(&format!("      carbon-ops aggregate {summed}{ledger}"));
    if let Some(key) = begun.unknown {
        page.title("hint: its first key is not trusted here; if it was yours, sums take it after");
        page.title(&format!("      carbon-ops keys trust {}", key.fingerprint()));
    }
    let report = json!({ "ledger": begun.ledger.display().to_string(),
        "old": begun.old.display().to_string(), "continues": serde_json::to_value(&begun.pin)?,
        "public_key": begun.key.to_hex(), "fingerprint": begun.key.fingerprint(),
        "carried": begun.carried, "left": begun.left, "complete": begun.complete,
        "notices": begun.notices });
    context.answer(&args.at.output, report, page.text())
}

/// Of the ledgers that a verified one continues.
pub(super) fn tell(chain: &Chain, page: &mut Page) {
    for link in &chain.links {
        let path = plain(&link.path.display().to_string());
        page.item(&format!("continues {path}"));
        tell_pin(&link.pin, page);
        match &link.differences[..] {
            [] if link.holds() => page.item("that is still so, byte for byte"),
            differences if link.holds() => {
                let differences = differences.join(", ");
                page.item(&format!(
                    "these lines are still there; what stands behind them changed: {differences}"
                ));
            }
            differences => {
                let (faults, differences) = (counted(link.faults, "fault"), differences.join(", "));
                page.item(&format!(
                    "IT IS NOT THAT LEDGER: {faults} in its lines; these differ: {differences}"
                ));
            }
        }
        if !link.trusted && link.pin.size > 0 {
            page.item(
                "its own first key is not trusted here; the key of the ledger above vouches for it",
            );
        }
    }
    if let Some(pin) = &chain.missing {
        page.item(&format!("continues the ledger {}, which is not at hand", pin.ledger_id));
        tell_pin(pin, page);
        page.hint("--continues OLD checks whether a ledger is that one");
    }
}

/// The same as members of a report.
pub(super) fn insert_into(chain: &Chain, report: &mut Value) {
    if chain.links.is_empty() {
        return;
    }
    let links = chain.links.iter().map(|link| {
        json!({ "path": link.path.display().to_string(), "ledger_id": link.pin.ledger_id,
            "size": link.pin.size, "differences": link.differences, "faults": link.faults,
            "trusted": link.trusted, "holds": link.holds() })
    });
    add(report, [("before", links.collect())]);
}

fn tell_pin(pin: &Continued, page: &mut Page) {
    let lines = counted(pin.size, "line");
    let found = match pin.verdict {
        Status::Valid => "was valid",
        Status::TornTail => "was valid up to a torn end",
        Status::Untrusted => "was begun by a key that was not trusted",
        Status::Rewritten => "was not what had been signed for",
        _ => "did not verify",
    };
    page.item(&format!("{lines} of it, because {}; it {found}", why(pin)));
    if let Some(signed) = pin.signed_size {
        page.item(&format!("of {signed} that had been signed for"));
    }
    if let Some(note) = &pin.note {
        page.item(&plain(note));
    }
}

fn why(pin: &Continued) -> &'static str {
    match pin.reason {
        ContinuationReason::KeyLost => "its key is lost",
        ContinuationReason::KeyCompromise => "its key was in other hands",
        ContinuationReason::Damaged => "its lines are damaged",
        ContinuationReason::Restored => "an older copy took its place, or its end was cut off",
        ContinuationReason::Superseded => "another takes its place",
        _ => "of what the note says",
    }
}
