//! Skipping what this machine cannot show: aloud, and never where it was required.

use std::io::Write as _;

/// Says that something is skipped, or fails when `CARBON_OPS_REQUIRE` names it. Written to the
/// stream itself, which the test harness does not capture.
pub(crate) fn skip(what: &str, why: &str) {
    let required = std::env::var("CARBON_OPS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == what), "{what} is required: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {what}: {why}");
}
