//! `estimate --recompute`: the numbers of a record again, from the record itself, digit by digit.
//!
//! Out of scope: whether the record was signed (`ledger verify`).

use anyhow::Result;
use carbon_ops::recompute::{Recomputed, check, read};
use carbon_ops::verify::unsigned;
use serde_json::json;

use crate::context::Context;

/// Exit code 0 when all numbers come out again, 1 when one does not; 2 when they do, and an answer that
/// the slots came in is not kept any more. An error is 2, too.
pub(super) fn run(of: &str, json: bool, context: &mut Context<'_>) -> Result<u8> {
    let Context { settings, out, .. } = context;
    let payload = unsigned(read(of, settings)?);
    let (derived, difference) = match check(&payload, settings) {
        Ok(derived) => (derived, None),
        Err(error) => (Recomputed::default(), Some(format!("{error:#}"))),
    };
    if json {
        let report = json!({
            "schema_version": 1, "record": of, "same": difference.is_none(),
            "derived": derived.parts, "difference": difference,
            "not_kept": derived.not_kept, "instead": derived.instead, "revised": derived.revised,
        });
        writeln!(out, "{report:#}")?;
    } else if let Some(difference) = &difference {
        writeln!(out, "{of}: DIFFERENT: {difference}")?;
    } else {
        writeln!(out, "{of}: OK: the same bytes again: {}", derived.parts.join(", "))?;
        if let Some(what) = &derived.not_kept {
            writeln!(out, "not derived: the slots, for an answer is not kept: {what}")?;
            writeln!(out, "hint: {}", crate::hints::NOT_KEPT)?;
        }
        if let Some(instead) = &derived.instead {
            writeln!(out, "instead: {instead}")?;
        }
        for slot in &derived.revised {
            writeln!(out, "revised by the provider since: {slot}")?;
        }
    }
    Ok(match (difference, derived.not_kept) {
        (Some(_), _) => 1,
        (None, Some(_)) => 2,
        (None, None) => 0,
    })
}
