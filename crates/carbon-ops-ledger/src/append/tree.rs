//! What was signed of a ledger before, and the tree over it that a writer keeps.
//!
//! Out of scope: signing (`sign.rs`).

use std::io;
use std::sync::Arc;

use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint, SIGNER_STATE_FILE};
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::merkle::TreeHash;
use carbon_ops_proof::note::Note;
use carbon_ops_proof::roster::Roster;
use carbon_ops_proof::tile::{Edge, Tile};

use crate::error::{Error, Result};
use crate::storage::Storage;

/// After how many entries without one a writer signs a checkpoint.
pub const CHECKPOINT_EVERY: u64 = 1024;

/// The tree over a beginning of the ledger, as a writer keeps it in memory from one checkpoint to the
/// next.
#[derive(Debug)]
pub(super) struct TreeState {
    pub(super) edge: Edge,
    /// Where in the file the next line begins.
    pub(super) offset: u64,
    /// Tiles that are complete and not stored yet.
    pub(super) full: Vec<Tile>,
    /// What was last signed of this tree.
    pub(super) signed: Option<Checkpoint>,
}

impl TreeState {
    /// Takes in the next line, of so many bytes without its newline.
    pub(super) fn push(&mut self, leaf: TreeHash, line_bytes: usize) {
        self.edge.push(leaf, &mut self.full);
        self.offset += line_bytes as u64 + 1;
    }

    /// Takes in lines that were appended at `offset`, unless there are others before, which will be
    /// read when they are needed.
    pub(super) fn append(
        &mut self,
        offset: u64,
        leaves: impl Iterator<Item = TreeHash>,
        bytes: u64,
    ) {
        if self.offset == offset {
            for leaf in leaves {
                self.edge.push(leaf, &mut self.full);
            }
            self.offset += bytes;
        }
    }

    /// Whether this tree is one that extends `base`, or is extended by it and can find out.
    pub(super) fn goes_on_from(&self, base: Option<Checkpoint>) -> bool {
        match base {
            // Signed by this writer, or already compared by it.
            base if base == self.signed => true,
            Some(base) if base.size == self.edge.size() => base.root == self.edge.root(),
            Some(base) => base.size > self.edge.size(),
            None => false,
        }
    }
}

/// A checkpoint of the ledger as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedCheckpoint {
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// What was signed, with the signature.
    pub note: Note,
    /// Whether it was signed now; otherwise nothing was appended since it was.
    pub new: bool,
    /// Why the history of checkpoints lacks it, which takes nothing from what was signed.
    pub not_logged: Option<Arc<Error>>,
}

/// How many entries were signed for, by what stands beside the ledger; what cannot be read says 0. A
/// cheap look for a writer, which proves nothing but that the ledger is too short.
pub(super) fn signed_size<S: Storage>(storage: &mut S, id: LedgerId) -> Result<u64> {
    let mut size = 0;
    for name in [SIGNER_STATE_FILE, CHECKPOINT_FILE] {
        let bytes = storage.read_beside(name).map_err(|e| beside(storage, "read", name, e))?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let text = text.split_once("\n\n").map_or(text.clone(), |(text, _)| format!("{text}\n"));
        let claim = Checkpoint::parse(&text).filter(|claim| claim.ledger_id == id);
        size = size.max(claim.map_or(0, |claim| claim.size));
    }
    Ok(size)
}

/// The checkpoint as it stands, if it is a note at all; nothing is known of it.
pub(super) fn stored_note<S: Storage>(storage: &mut S) -> Result<Option<Note>> {
    let bytes = storage.read_beside(CHECKPOINT_FILE);
    let bytes = bytes.map_err(|e| beside(storage, "read", CHECKPOINT_FILE, e))?;
    Ok(bytes.and_then(|bytes| Note::parse(&bytes).ok()))
}

pub(super) fn stored_checkpoint<S: Storage>(
    storage: &mut S,
    id: LedgerId,
    roster: &Roster,
) -> Result<Option<(Checkpoint, Note)>> {
    let name = CHECKPOINT_FILE;
    let bytes = storage.read_beside(name).map_err(|e| beside(storage, "read", name, e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let read = Note::parse(&bytes).and_then(|note| {
        let checkpoint = Checkpoint::of_note(&note)?;
        // Its signer may have been retired since.
        checkpoint.signed_by(&note, &roster.keys_at(checkpoint.size))?;
        Ok((checkpoint, note))
    });
    let refuse = |reason| Error::Beside { path: storage.path().with_file_name(name), reason };
    match read {
        Ok((checkpoint, note)) if checkpoint.ledger_id == id => Ok(Some((checkpoint, note))),
        Ok((checkpoint, _)) => Err(refuse(format!("it is of the ledger {}", checkpoint.ledger_id))),
        Err(e) => Err(refuse(e.to_string())),
    }
}

pub(super) fn stored_state<S: Storage>(
    storage: &mut S,
    id: LedgerId,
) -> Result<Option<Checkpoint>> {
    let name = SIGNER_STATE_FILE;
    let bytes = storage.read_beside(name).map_err(|e| beside(storage, "read", name, e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let state = str::from_utf8(&bytes).ok().and_then(Checkpoint::parse);
    match state.filter(|state| state.ledger_id == id) {
        Some(state) => Ok(Some(state)),
        None => Err(Error::Beside {
            path: storage.path().with_file_name(name),
            reason: "it is not the state of this ledger's signer".to_owned(),
        }),
    }
}

/// The later of the last checkpoint and the state: what the next checkpoint has to extend.
pub(super) fn last<S: Storage>(
    storage: &S,
    checkpoint: Option<Checkpoint>,
    state: Option<Checkpoint>,
) -> Result<Option<Checkpoint>> {
    match (checkpoint, state) {
        (Some(a), Some(b)) if a.size == b.size && a.root != b.root => {
            Err(Error::Forked { path: storage.path(), size: a.size })
        }
        (Some(a), Some(b)) => Ok(Some(if a.size > b.size { a } else { b })),
        (one, other) => Ok(one.or(other)),
    }
}

pub(super) fn beside<S: Storage>(
    storage: &S,
    action: &'static str,
    name: &str,
    source: io::Error,
) -> Error {
    Error::Io { action, path: storage.path().with_file_name(name), source }
}
