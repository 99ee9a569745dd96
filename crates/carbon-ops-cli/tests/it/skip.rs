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

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a shell line succeeds; how a test asks for what it needs.
pub(crate) fn can(line: &str) -> bool {
    let status = std::process::Command::new("sh")
        .args(["-c", line])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Whether we may mount in a namespace of our own; says so if not.
pub(crate) fn namespaces() -> bool {
    let may = is_root() && can("unshare -m --propagation private true");
    if !may {
        skip("namespaces", "mounting takes root and unshare(1)");
    }
    may
}

/// Tells what a long test did, past the test harness.
pub(crate) fn say(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: {what}");
}
