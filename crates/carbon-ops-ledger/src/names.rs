//! The files of a ledger's directory, and what they tell when the lines are gone.
//!
//! Out of scope: reading or writing any of them.

use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG, SIGNER_STATE_FILE};

/// The ledger's active file inside its directory.
pub const LEDGER_FILE: &str = "ledger.ndjson";
/// The file inside the ledger's directory whose lock makes one writer at a time.
pub(crate) const LOCK_FILE: &str = "lock";
/// The file in the ledger's directory that says where its roster changed.
pub(crate) const ROSTER_STATE_FILE: &str = "roster.state";
/// The file in a ledger's directory that says that another ledger continues it: nothing is written there any more.
pub const CONTINUED_FILE: &str = "continued";
/// The file in the directory of a ledger that continues another, with the path of that one.
pub const BEFORE_FILE: &str = "continues";

/// Every file that a writer makes beside the lines, by its name; that of the lines is not among them.
pub const OWN_FILES: &[&str] = &[
    LOCK_FILE,
    "lock.queue",
    CHECKPOINT_FILE,
    CHECKPOINT_LOG,
    SIGNER_STATE_FILE,
    ROSTER_STATE_FILE,
    CONTINUED_FILE,
    BEFORE_FILE,
    ".ledger.ndjson.tmp",
    ".checkpoint.tmp",
    ".signer.state.tmp",
    ".roster.state.tmp",
];
/// Every directory that a writer makes there.
pub const OWN_DIRS: &[&str] = &["seg", "tile", "spool", "aside"];

/// Whatever in a directory without lines tells that there were some: what a writer leaves beside them, and
/// the file under another name.
///
/// Rule: where anything does, no other ledger is begun. The checkpoints that others keep of the first one
/// would make a forgery of it.
pub(crate) fn left_behind(names: Vec<String>) -> Vec<String> {
    let beside = [CHECKPOINT_FILE, CHECKPOINT_LOG, SIGNER_STATE_FILE, ROSTER_STATE_FILE];
    let tells = |name: &String| {
        beside.contains(&name.as_str()) || (name.starts_with(LEDGER_FILE) && name != LEDGER_FILE)
    };
    let mut left: Vec<_> = names.into_iter().filter(tells).collect();
    left.sort();
    left
}
