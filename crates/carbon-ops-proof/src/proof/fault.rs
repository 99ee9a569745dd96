//! What keeps a proof from proving anything.
//!
//! Out of scope: finding it.

use crate::entry::Fault;
use crate::merkle::ProofError;
use crate::note::NoteError;

/// Why a proof file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// It does not have the form of a proof file.
    #[error("not a proof: {0}")]
    Form(&'static str),
    /// Its checkpoint is not to be believed.
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(#[from] NoteError),
    /// No trusted key signed the checkpoint.
    #[error("no trusted key signed the checkpoint in the proof")]
    UntrustedCheckpoint,
    /// It does not carry the entry, so there is nothing to show.
    #[error("the proof does not carry the entry")]
    NoEntry,
    /// The line in it is no entry.
    #[error("the entry in the proof: {0}")]
    Entry(#[from] Fault),
    /// The entry belongs to another ledger or place than the proof says.
    #[error("the entry is not the one that the proof is about")]
    OtherEntry,
    /// The entry was signed by a key that is not trusted.
    #[error("the entry in the proof was signed by the key {0}, which is not trusted")]
    UntrustedEntry(String),
    /// The path does not lead from the entry to the root.
    #[error(transparent)]
    Path(#[from] ProofError),
    /// An entry that says who may sign does not hold.
    #[error("entry {seq} in the proof, which says who may sign: {reason}")]
    Chain {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl ProofFault {
    /// Whether only trust is missing: with another list of keys the proof may hold.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::UntrustedCheckpoint | Self::UntrustedEntry(_))
    }
}
