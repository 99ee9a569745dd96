//! Skipping what this machine cannot show: aloud, and never where it was required.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Says that something is skipped, or fails when `CARBON_OPS_REQUIRE` names it. Written to the
/// stream itself, which the test harness does not capture.
pub fn skip(what: &str, why: &str) {
    let required = std::env::var("CARBON_OPS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == what), "{what} is required: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} needs {what}: {why}", test());
}

/// Tells what a test did, past the test harness.
pub fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{}: {what}", test());
}

fn test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether we are root; says so if not.
pub fn root() -> bool {
    if !is_root() {
        skip("root", "it starts programs as other users");
    }
    is_root()
}

/// Whether a shell line succeeds; how a test asks for what it needs.
pub fn can(line: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Whether we may mount in a namespace of our own; says so if not.
pub fn namespaces() -> bool {
    let may = is_root() && can("unshare -m --propagation private true");
    if !may {
        skip("namespaces", "mounting takes root and unshare(1)");
    }
    may
}

/// Whether tests may take their time: `CARBON_OPS_LONG=1`, as in the pipeline. Otherwise they try a
/// sample of a long set, or run for seconds.
pub fn is_long() -> bool {
    std::env::var_os("CARBON_OPS_LONG").is_some_and(|value| value != "0")
}

/// Whether this is the full run, which takes programs of others that are large: `CARBON_OPS_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("CARBON_OPS_FULL").is_some_and(|value| value != "0")
}

/// The stride through the cases of a long set: the whole set where tests may take their time, otherwise
/// one case in `sampled`, the same ones in each run.
pub fn stride(sampled: usize) -> usize {
    if is_long() { 1 } else { sampled }
}
