//! Signing a checkpoint: only of a ledger that extends everything that was signed before.
//!
//! Order: the lines are durable; the tiles are durable; the signer's state is durable; only then is
//! anything signed. So no two signed checkpoints contradict each other, whatever fails in between,
//! and a state or a checkpoint that is ahead of the ledger proves that lines are gone. A checkpoint
//! says what the file holds, not that each line is valid: that is what a verification is for.
//!
//! Costs what was appended since the last checkpoint: the stored edge of the tree (`tile.rs`) is
//! taken up if it has the root that was signed, and made again from all lines if not.
//!
//! Out of scope: witnesses (`cosign.rs`), and deleting incomplete tiles that later ones replace.

use std::ops::ControlFlow;
use std::sync::Arc;

use carbon_ops_proof::checkpoint::{
    CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, SIGNER_STATE_FILE,
};
use carbon_ops_proof::merkle::leaf_hash;
use carbon_ops_proof::seek::{lines_from, offset_of};
use carbon_ops_proof::tile::{Edge, Tile};
use jiff::Timestamp;

use super::ledger::{Ledger, io_error};
use super::tree::{
    CHECKPOINT_EVERY, SignedCheckpoint, TreeState, beside, last, stored_checkpoint, stored_state,
};
use crate::error::{Error, Result};
use crate::storage::Storage;

/// How many lines are hashed before the tiles over them are written: at most 2 MiB of tiles at a time.
const BATCH_LINES: u64 = 1 << 16;

impl<S: Storage> Ledger<'_, S> {
    /// Whether there are [`CHECKPOINT_EVERY`] entries or more that no checkpoint covers, as far as
    /// this writer knows.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.head.seq + 1 >= self.signed_size.saturating_add(CHECKPOINT_EVERY)
    }

    /// Signs a checkpoint of the ledger as it is now, with everything durable before. `now` is the
    /// time, for a recovery record if one is owed.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] and [`Error::Forked`] when the ledger is not what was signed before;
    /// nothing is signed then. As [`Ledger::append`] otherwise.
    pub fn checkpoint(&mut self, now: Timestamp) -> Result<SignedCheckpoint> {
        self.with_lock(|ledger| {
            let len = ledger.recover(now, &mut Vec::new())?;
            let signed = ledger.sign_checkpoint(len)?;
            ledger.keep_roster();
            Ok(signed)
        })
    }

    /// Signs a checkpoint of the ledger, which has just been settled or appended to by this writer,
    /// is durable, and ends at `len`.
    pub(super) fn sign_checkpoint(&mut self, len: u64) -> Result<SignedCheckpoint> {
        let size = self.head.seq + 1;
        let stored = stored_checkpoint(&mut self.storage, self.id, self.known.roster())?;
        let state = stored_state(&mut self.storage, self.id)?;
        let base = last(&self.storage, stored.as_ref().map(|(checkpoint, _)| *checkpoint), state)?;
        if let Some(base) = base
            && base.size > size
        {
            return Err(self.truncated(size, base.size));
        }
        // Crash here, and at every step up to the state: nothing was signed, tiles are derived.
        let edge = self.grow(base, size, len)?;
        let checkpoint = Checkpoint { ledger_id: self.id, size, root: edge.root() };
        if let Some((last, note)) = stored
            && last == checkpoint
        {
            self.signed_size = size;
            return Ok(SignedCheckpoint { checkpoint, note, new: false, not_logged: None });
        }
        self.store_tiles(&edge.partial())?;
        self.replace(SIGNER_STATE_FILE, checkpoint.to_string().as_bytes())?;
        // Crash here: the state is ahead of the last checkpoint. The next one extends it.
        let note = checkpoint.sign(self.signer)?;
        let text = note.to_string();
        self.replace(CHECKPOINT_FILE, text.as_bytes())?;
        // Crash here: the checkpoint stands, and the history of checkpoints lacks it.
        self.signed_size = size;
        let logged = self.storage.append_beside(CHECKPOINT_LOG, text.as_bytes());
        let not_logged =
            logged.err().map(|e| Arc::new(beside(&self.storage, "append to", CHECKPOINT_LOG, e)));
        Ok(SignedCheckpoint { checkpoint, note, new: true, not_logged })
    }

    /// The edge of the tree over all `size` lines, which begins with what was signed; the tiles that
    /// are complete are stored.
    fn grow(&mut self, base: Option<Checkpoint>, size: u64, len: u64) -> Result<Edge> {
        let mut tree = match self.tree.take().filter(|tree| tree.goes_on_from(base)) {
            Some(tree) => tree,
            None => self.stored(base, len)?,
        };
        loop {
            self.store_full(&mut tree)?;
            if tree.offset >= len {
                break;
            }
            self.read_on(&mut tree, base, len)?;
        }
        if tree.edge.size() != size {
            let size = tree.edge.size();
            let reason = format!("it has {size} lines and its last one says {}", self.head.seq + 1);
            return Err(Error::Beside { path: self.storage.path(), reason });
        }
        let edge = tree.edge.clone();
        tree.signed = Some(Checkpoint { ledger_id: self.id, size, root: edge.root() });
        self.tree = Some(tree);
        Ok(edge)
    }

    /// Takes in what stands behind the edge, up to [`BATCH_LINES`] of it.
    fn read_on(&mut self, tree: &mut TreeState, base: Option<Checkpoint>, len: u64) -> Result<()> {
        let (start, end) = (tree.offset, tree.edge.size() + BATCH_LINES);
        let mut matches = true;
        let mut take = |line: &[u8]| {
            tree.push(leaf_hash(line), line.len());
            if let Some(base) = base.filter(|base| base.size == tree.edge.size()) {
                matches = base.root == tree.edge.root();
            }
            if tree.edge.size() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let storage = &mut self.storage;
        let mut read = |offset, len| storage.read(offset, len);
        lines_from(start, len, &mut read, &mut take)
            .map_err(|e| io_error(&self.storage, "read", e))?;
        if !matches {
            let size = base.map_or(0, |base| base.size);
            return Err(Error::Forked { path: self.storage.path(), size });
        }
        if tree.offset == start {
            let reason = "its last line has no newline".to_owned();
            return Err(Error::Beside { path: self.storage.path(), reason });
        }
        Ok(())
    }

    fn store_full(&mut self, tree: &mut TreeState) -> Result<()> {
        self.store_tiles(&std::mem::take(&mut tree.full))
    }

    /// The tree over what was signed last, from its tiles.
    fn stored(&mut self, base: Option<Checkpoint>, len: u64) -> Result<TreeState> {
        let edge = self.stored_edge(base);
        let storage = &mut self.storage;
        let mut read = |offset, len| storage.read(offset, len);
        let offset =
            offset_of(edge.size(), len, &mut read).map_err(|e| io_error(storage, "read", e))?;
        let signed = base.filter(|base| base.size == edge.size());
        Ok(TreeState { edge, offset: offset.unwrap_or(len), full: Vec::new(), signed })
    }

    /// The edge that was stored for the last checkpoint, if it has the root that was signed; else
    /// that of an empty tree, to begin anew.
    fn stored_edge(&mut self, base: Option<Checkpoint>) -> Edge {
        let Some(base) = base else { return Edge::new() };
        let storage = &mut self.storage;
        // Rule: tiles are derived. What cannot be read or is not what the lines hash to is made again.
        let edge = Edge::load(base.size, &mut |path| storage.read_beside(&path.to_string()));
        edge.ok().flatten().filter(|edge| edge.root() == base.root).unwrap_or_default()
    }

    /// Stores what the lines hash to, in the place of what is missing or something else.
    fn store_tiles(&mut self, tiles: &[Tile]) -> Result<()> {
        let mut missing = Vec::new();
        for tile in tiles {
            let name = tile.path.to_string();
            let there = self.storage.read_beside(&name).ok().flatten();
            if there.as_ref() != Some(&tile.bytes) {
                missing.push((name, tile.bytes.clone()));
            }
        }
        let stored = self.storage.replace_all_beside(&missing);
        stored.map_err(|e| beside(&self.storage, "write", "tile", e))
    }

    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let replaced = self.storage.replace_beside(name, bytes);
        replaced.map_err(|e| beside(&self.storage, "write", name, e))
    }

    pub(super) fn truncated(&self, entries: u64, signed: u64) -> Error {
        Error::Truncated { path: self.storage.path(), entries, signed }
    }
}
