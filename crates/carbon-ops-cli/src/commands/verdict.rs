//! What is said of a ledger by any verifier: the verdict, the first of many faults, whose key to ask for.
//!
//! Out of scope: the reports of one kind of ledger.

use carbon_ops::verify::Others;

use crate::layout::Page;
use crate::render::add;
use crate::render::counted;

/// Exit code for what could not be done.
pub(crate) const COULD_NOT: u8 = 2;
/// Exit code for a ledger that was cut off or rewritten below a checkpoint.
pub(crate) const REWRITTEN: u8 = 3;

/// Faults that are printed; `--json` has up to a thousand.
pub(crate) const FAULTS_SHOWN: usize = 20;

/// The first of many things, and how many more there are.
pub(crate) fn tell_first(
    page: &mut Page,
    shown: usize,
    all: impl Iterator<Item = String>,
    count: u64,
    one: &str,
) {
    all.take(shown).for_each(|each| page.item(&each));
    let hidden = count.saturating_sub(shown as u64);
    if hidden > 0 {
        let hidden = counted(hidden, &format!("more {one}"));
        page.item(&format!("and {hidden}; --json lists up to a thousand"));
    }
}

/// Records that were not looked into, as members of a report.
pub(crate) fn add_others(report: &mut serde_json::Value, others: &Others) {
    let (newer, foreign) = (others.newer.into(), others.foreign.into());
    add(report, [("newer_records", newer), ("foreign_records", foreign)]);
}

/// What there is at least one of, and what it is.
pub(crate) fn tell_counts(page: &mut Page, counts: &[(u64, &str, &str)]) {
    for (count, one, what) in counts.iter().filter(|(count, ..)| *count > 0) {
        page.item(&format!("{} {what}", counted(*count, one)));
    }
}

pub(crate) fn hint_at_trust(public_key: &str, page: &mut Page) {
    page.hint(&format!(
        "ask the writer for the fingerprint of the key through another channel; if it is the one above, verify \
         with --trust {public_key}"
    ));
}
