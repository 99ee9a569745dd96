//! Sealing what was appended, so that the active file stays small and old lines stay as they are.
//!
//! Out of scope: the steps on the disk, which are `storage.rs`, and removing old segments.

use jiff::Timestamp;

use super::ledger::{Ledger, fatal, io_error};
use crate::error::Result;
use crate::segment::SegmentName;
use crate::storage::Storage;

/// How large the active file grows before `carbon-ops run` seals it, unless it is told otherwise:
/// some 90,000 records, a size that is copied and read in a second.
pub const SEGMENT_BYTES: u64 = 64 << 20;

impl<S: Storage> Ledger<'_, S> {
    /// Seals the active file if it is larger than `max_bytes`; the name of the segment, if it was.
    /// Appending goes on in an empty file; nothing that was appended changes. `now` is the time
    ///, for a recovery record if one is owed.
    ///
    /// # Errors
    ///
    /// As [`Ledger::append`]. After [`crate::Error::Fatal`] the file is sealed or not, and the next
    /// writer sees to it that it is not half so.
    pub fn seal(&mut self, max_bytes: u64, now: Timestamp) -> Result<Option<SegmentName>> {
        self.with_lock(|ledger| {
            let len = ledger.recover(now, &mut Vec::new())?;
            let sealed =
                ledger.storage.sealed().map_err(|e| io_error(&ledger.storage, "look at", e))?;
            if len.saturating_sub(sealed) <= max_bytes {
                return Ok(None);
            }
            // Another writer may have died between writing and syncing what is sealed here.
            ledger.sync()?;
            let last = ledger.head.seq;
            ledger.storage.seal(last).map_err(|e| fatal(&ledger.storage, "seal", e))
        })
    }
}
