//! Adding what witnesses answered to the checkpoint that they were asked about.
//!
//! Signatures arrive after the lock was given back. If another checkpoint was signed meanwhile, they
//! go to the history of checkpoints alone.
//!
//! Out of scope: asking witnesses, and judging their keys.

use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG};
use carbon_ops_proof::note::{Note, NoteSignature};

use super::ledger::Ledger;
use super::tree::{beside, stored_note};
use crate::error::{Error, Result};
use crate::storage::Storage;

impl<S: Storage> Ledger<'_, S> {
    /// Adds signatures to a checkpoint of this ledger, durably, and returns it with all that it has
    /// now. The caller has verified them. Nothing is written when there is nothing new.
    ///
    /// # Errors
    ///
    /// [`Error::Beside`] when the note cannot take them, [`Error::Io`] when the disk fails; the
    /// checkpoint is then as it was.
    pub fn add_cosignatures(
        &mut self,
        checkpoint: &Note,
        signatures: Vec<NoteSignature>,
    ) -> Result<Note> {
        self.with_lock(|ledger| {
            let stored = stored_note(&mut ledger.storage)?;
            let current = stored.filter(|stored| stored.text() == checkpoint.text());
            let replaces = current.is_some();
            // Another process may have added some meanwhile.
            let before = current.unwrap_or_else(|| checkpoint.clone());
            let mut note = before.clone();
            for signature in signatures {
                note.add(signature).map_err(|e| Error::Beside {
                    path: ledger.storage.path().with_file_name(CHECKPOINT_FILE),
                    reason: e.to_string(),
                })?;
            }
            if note == before {
                return Ok(note);
            }
            let text = note.to_string();
            if replaces {
                ledger.replace(CHECKPOINT_FILE, text.as_bytes())?;
            }
            // Crash here: the checkpoint has them, the history has it without them.
            ledger
                .storage
                .append_beside(CHECKPOINT_LOG, text.as_bytes())
                .map_err(|e| beside(&ledger.storage, "append to", CHECKPOINT_LOG, e))?;
            Ok(note)
        })
    }
}
