//! Where the records of an agent go: what is in it already, and what is appended.
//!
//! Out of scope: what the records say.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_proof::read::last;
use carbon_ops_record::Record;

use crate::store::{Opened, payload};

/// Entries from the end among which those of an interval are looked for. Between a kill and the next start other
/// commands may have appended some; records beyond are appended again, and sums count a record once.
const LOOKED_AT: usize = 20_000;

/// A ledger, as an agent needs it.
pub trait Book {
    /// Which of these records it has already.
    ///
    /// # Errors
    /// When it cannot be read.
    fn known(&mut self, ids: &BTreeSet<&str>) -> Result<BTreeSet<String>>;

    /// Appends a record; when this returns, it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written, and may be there all the same.
    fn append(&mut self, record: &Record) -> Result<()>;
}

/// A ledger on a disk. Only the first interval of a process may be in it in part.
#[derive(Debug)]
pub struct StoreBook<'b, 'k> {
    /// The ledger's folder.
    pub folder: &'b Path,
    /// The ledger, open.
    pub opened: &'b mut Opened<'k>,
    /// Whether something may be in it that the state still has.
    pub look: bool,
}

impl Book for StoreBook<'_, '_> {
    fn known(&mut self, ids: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
        let mut known = BTreeSet::new();
        if !self.look {
            return Ok(known);
        }
        let reader = LedgerReader::open(self.folder).context("cannot look into the ledger")?;
        for line in last(reader, LOOKED_AT)? {
            // What is no JSON is for verification to find.
            let Ok((_, line)) = line else { continue };
            let id = line.as_object().and_then(|object| object.get("record_id")?.as_str());
            known.extend(id.filter(|id| ids.contains(id)).map(str::to_owned));
        }
        Ok(known)
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.opened.append_object(payload(record)?).map(drop)
    }
}
