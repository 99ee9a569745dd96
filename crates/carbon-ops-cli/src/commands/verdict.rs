//! What is said of a ledger by any verifier: the verdict, the first of many faults, whose key to ask for.
//!
//! Out of scope: the reports of one kind of ledger.

use carbon_ops::proof::verify::Status;

use crate::layout::Page;
use crate::render::counted;

/// Faults that are printed; `--json` has up to a thousand.
pub(crate) const FAULTS_SHOWN: usize = 20;

/// A verdict in words.
pub(crate) fn words(status: Status) -> &'static str {
    match status {
        Status::Valid => "VALID",
        Status::TornTail => "VALID UP TO A TORN LAST LINE",
        Status::Tampered => "TAMPERED WITH",
        Status::Rewritten => "CUT OFF OR REWRITTEN since it was signed for",
        Status::Untrusted => "NOT CHECKED: the signing key is not trusted",
        _ => "UNKNOWN VERDICT",
    }
}

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

pub(crate) fn hint_at_trust(public_key: &str, page: &mut Page) {
    page.hint(&format!(
        "ask the writer for the fingerprint of the key through another channel; if it is the one above, verify \
         with --trust {public_key}"
    ));
}
