//! `estimate --recompute`: the numbers of a record again, from the record itself, digit by digit.
//!
//! Out of scope: whether the record was signed (`ledger verify`).

use anyhow::Result;
use carbon_ops::recompute::{Recomputed, check, read};
use carbon_ops::verify::unsigned;
use serde_json::json;

use crate::args::Output;
use crate::context::Context;
use crate::layout::Page;

/// Exit code 0 when all numbers come out again, 1 when one does not; 2 when they do, and an answer that
/// the slots came in is not kept any more. An error is 2, too.
pub(super) fn run(of: &str, output: &Output, context: &mut Context<'_>) -> Result<u8> {
    let settings = &context.settings;
    let payload = unsigned(read(of, settings)?);
    let (derived, difference) = match check(&payload, settings) {
        Ok(derived) => (derived, None),
        Err(error) => (Recomputed::default(), Some(format!("{error:#}"))),
    };
    let report = json!({
        "record": of, "same": difference.is_none(), "derived": derived.parts,
        "difference": difference, "not_kept": derived.not_kept, "instead": derived.instead,
        "revised": derived.revised,
    });
    let mut page = Page::default();
    if let Some(difference) = &difference {
        page.title(&format!("{of}: DIFFERENT: {difference}"));
    } else {
        page.title(&format!("{of}: OK: the same bytes again: {}", derived.parts.join(", ")));
        if let Some(what) = &derived.not_kept {
            page.title(&format!("not derived: the slots, for an answer is not kept: {what}"));
            page.hint(crate::hints::NOT_KEPT);
        }
        if let Some(instead) = &derived.instead {
            page.title(&format!("instead: {instead}"));
        }
        for slot in &derived.revised {
            page.title(&format!("revised by the provider since: {slot}"));
        }
    }
    context.answer(output, report, page.text())?;
    Ok(match (difference, derived.not_kept) {
        (Some(_), _) => 1,
        (None, Some(_)) => 2,
        (None, None) => 0,
    })
}
