//! What the first line of a file says it is, before anything is verified: a mistaken file or checkpoint
//! is named as such, and not as thousands of faults. Nothing here is believed for a verdict of "valid".

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use carbon_ops_proof::entry::LedgerId;
use serde_json::Value;

use crate::verify::{cannot_read, open};

/// A first line that is longer is of neither format.
const LONGEST: u64 = 1 << 20;

/// The members that the Python package adds to a record, and those that only version 1 has.
const SIGNED: [&str; 3] = ["signature", "signing_key", "signature_algorithm"];
const OF_VERSION_1: [&str; 2] = ["ledger_id", "seq"];

/// The first line, if it is a JSON object.
fn first(path: &Path) -> Result<Option<Value>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(open(path)?).take(LONGEST);
    reader.read_until(b'\n', &mut line).with_context(|| cannot_read(path))?;
    Ok(serde_json::from_slice(&line).ok().filter(Value::is_object))
}

/// Refuses a ledger of the Python package.
pub fn refuse_legacy(path: &Path) -> Result<()> {
    let Some(line) = first(path)? else { return Ok(()) };
    let has = |member: &&str| line.get(member).is_some();
    // A genesis that was tampered with is for the verification to find.
    let ours =
        OF_VERSION_1.iter().any(has) || line.get("kind").is_some_and(|kind| kind == "ledger");
    if SIGNED.iter().all(has) && !ours {
        let path = path.display();
        bail!(
            "{path} is a ledger of version 0.1, of the Python package\nhint: `carbon-ops ledger \
             verify --profile 0.1 {path}` verifies it, and `ledger import` continues it"
        );
    }
    Ok(())
}

/// Refuses a checkpoint that was kept of another ledger: nothing can be compared with it.
pub(crate) fn refuse_other(path: &Path, kept: &Path, of: LedgerId) -> Result<()> {
    let line = first(path)?;
    let id = line.as_ref().and_then(|line| line.get("ledger_id")?.as_str());
    let Some(id) = id.and_then(LedgerId::from_hex).filter(|id| *id != of) else { return Ok(()) };
    bail!(
        "{} is a checkpoint of the ledger {of}, and {} is the ledger {id}\nhint: give the checkpoint \
         that was kept of this ledger, or the ledger that it is of; if this should be that ledger, \
         it was replaced",
        kept.display(),
        path.display()
    );
}
