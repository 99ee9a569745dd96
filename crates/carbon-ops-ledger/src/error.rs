//! What can go wrong, each with the file or entry that it concerns.
//!
//! Two of these decide what a caller may do next: after [`Error::NotStored`] the ledger is as it
//! was and the next append may work; after [`Error::Fatal`] its state is unknown until it has been
//! opened again.
//!
//! Out of scope: faults that a verification finds; those are results, not errors, and live in
//! [`carbon_ops_proof::entry::Fault`]; and remedies, which whoever talks to people knows.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carbon_ops_proof::entry::Fault;

use crate::files::Holder;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or made; the ledger is unchanged.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "read", "lock".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process held the lock for as long as we were ready to wait.
    #[error(
        "{} is locked by {} (waited {} ms)",
        path.display(),
        holder.as_ref().map_or("another process".to_owned(), ToString::to_string),
        waited.as_millis()
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// Who holds it, where that can be told.
        holder: Option<Holder>,
    },
    /// There is no ledger here.
    #[error("there is no ledger at {}", path.display())]
    NoLedger {
        /// The ledger file that was looked for.
        path: PathBuf,
    },
    /// There is a ledger file without a byte in it. It was never ours: a ledger is born complete.
    #[error(
        "{} is empty, and a ledger never is: it was truncated, or something else made the file",
        path.display()
    )]
    EmptyLedger {
        /// The ledger file.
        path: PathBuf,
    },
    /// The lines of a ledger are gone, and what stood beside them is still there; no other is begun.
    #[error("{} is gone; what it left beside it is there: {}", path.display(), left.join(", "))]
    LinesGone {
        /// The ledger file.
        path: PathBuf,
        /// What is left.
        left: Vec<String>,
    },
    /// A ledger was to be created where there is one.
    #[error("there is a ledger at {} already", path.display())]
    LedgerExists {
        /// The ledger file.
        path: PathBuf,
    },
    /// Another ledger continues this one; nothing is written to it any more.
    #[error("{} is closed: another ledger continues it", path.display())]
    Continued {
        /// The ledger file.
        path: PathBuf,
    },
    /// The ledger is damaged or was tampered with; nothing is appended to it.
    #[error("{} is damaged at {place}: {fault}", path.display())]
    Damaged {
        /// The ledger file.
        path: PathBuf,
        /// "line 1", "the last line".
        place: String,
        /// What is wrong there.
        fault: Fault,
    },
    /// The ledger's first line was signed with a key that is not trusted.
    #[error("{} was begun with the key {fingerprint}, which is not trusted", path.display())]
    UntrustedLedger {
        /// The ledger file.
        path: PathBuf,
        /// Fingerprint of the key that signed the first line.
        fingerprint: String,
    },
    /// The key to sign with is not on the ledger's list.
    #[error("the key {fingerprint} may not write to {}", path.display())]
    KeyNotInRoster {
        /// The ledger file.
        path: PathBuf,
        /// Fingerprint of the key to sign with.
        fingerprint: String,
    },
    /// There is no entry with this number.
    #[error("{} has no entry {seq}", path.display())]
    NoEntry {
        /// The ledger file.
        path: PathBuf,
        /// The number.
        seq: u64,
    },
    /// The entry to append breaks the format; nothing was written.
    #[error("the entry cannot be written: {0}")]
    InvalidEntry(#[source] Fault),
    /// A record that cannot become a line of version 0.1; nothing was written.
    #[error("the record cannot be written: {0}")]
    LegacyRecord(#[source] crate::legacy_fault::Fault),
    /// A ledger of version 0.1 whose last line cannot be followed; nothing was written.
    #[error("{} cannot be appended to: {fault} (its last line)", path.display())]
    LegacyTail {
        /// The ledger file.
        path: PathBuf,
        /// What is wrong with its last line.
        fault: crate::legacy_fault::Fault,
    },
    /// The entry was not stored and the ledger is as it was: the caller may try again.
    #[error("the entry was not stored in {}, which is unchanged: {source}", path.display())]
    NotStored {
        /// The ledger file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state of the file is unknown. The writer refuses further work; opening the ledger again
    /// recovers it.
    #[error("cannot {action} {}: {source}; what is on the disk is unknown", path.display())]
    Fatal {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The ledger file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier [`Error::Fatal`] stopped this writer.
    #[error("{} is closed for writing after an earlier failure", path.display())]
    Poisoned {
        /// The ledger file.
        path: PathBuf,
    },
    /// The pipeline stopped before it could acknowledge this entry.
    #[error("the entry was not acknowledged by {}: {cause}", path.display())]
    Stopped {
        /// The ledger file.
        path: PathBuf,
        /// What stopped it, the same for all entries.
        #[source]
        cause: Arc<Error>,
        /// Whether the entry may be in the file.
        written: bool,
    },
    /// The pipeline stopped; what it had acknowledged until then is stored.
    #[error("{stored} entries were stored in {}, which is closed for writing now: {cause}", path.display())]
    Ended {
        /// The ledger file.
        path: PathBuf,
        /// How many entries were acknowledged.
        stored: u64,
        /// What stopped it.
        #[source]
        cause: Arc<Error>,
    },
    /// The pipeline was closed and takes no more entries.
    #[error("the writer of {} has been closed", path.display())]
    Closed {
        /// The ledger file.
        path: PathBuf,
    },
    /// The ledger has fewer entries than were signed for.
    #[error(
        "{} has {entries} entries, and {signed} were signed for: its end was cut off",
        path.display()
    )]
    Truncated {
        /// The ledger file.
        path: PathBuf,
        /// How many entries there are.
        entries: u64,
        /// How many there were when the last checkpoint was signed.
        signed: u64,
    },
    /// The ledger is another one than was signed for.
    #[error("the first {size} lines of {} are not those that were signed for", path.display())]
    Forked {
        /// The ledger file.
        path: PathBuf,
        /// How many lines the checkpoint covers that they contradict.
        size: u64,
    },
    /// A file beside the ledger, or the ledger as a whole, is not what it has to be.
    #[error("{} is damaged: {reason}", path.display())]
    Beside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret key file that others can read.
    #[error("the key file {} can be read by others (mode {mode:04o})", path.display())]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that holds no key.
    #[error("no Ed25519 key in {}: {reason}", path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key file that needs a passphrase.
    #[error("the key in {} is encrypted with a passphrase", path.display())]
    KeyEncrypted {
        /// The key file.
        path: PathBuf,
    },
    /// A passphrase that does not open a key.
    #[error("cannot use the passphrase: {reason}")]
    Passphrase {
        /// What is wrong with it.
        reason: String,
    },
    /// What is not about files: a text that is no key, a signer that did not sign.
    #[error(transparent)]
    Proof(carbon_ops_proof::Error),
}

impl From<carbon_ops_proof::Error> for Error {
    fn from(error: carbon_ops_proof::Error) -> Self {
        match error {
            // One name for it, wherever it is found.
            carbon_ops_proof::Error::InvalidEntry(fault) => Self::InvalidEntry(fault),
            other => Self::Proof(other),
        }
    }
}

impl Error {
    /// Whether the state of the ledger file is unknown, so that it must be opened again before
    /// anything else. After every other error the ledger is as it was.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Fatal { .. } | Self::Poisoned { .. } | Self::Stopped { .. } | Self::Ended { .. }
        )
    }

    /// Whether this proves that the ledger was cut off or replaced by another.
    #[must_use]
    pub fn proves_rewriting(&self) -> bool {
        match self {
            Self::Stopped { cause, .. } | Self::Ended { cause, .. } => cause.proves_rewriting(),
            other => matches!(other, Self::Truncated { .. } | Self::Forked { .. }),
        }
    }
}
