//! What can go wrong besides what a check finds. Faults that a check finds are results, not errors, and
//! live in [`Fault`] and beside what is checked.

use crate::fault::Fault;

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry to be signed breaks the format.
    #[error("the entry cannot be written: {0}")]
    InvalidEntry(#[source] Fault),
    /// A text that is no key.
    #[error("not an Ed25519 key: {reason}")]
    InvalidKey {
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a list of trusted keys that cannot be read.
    #[error("line {line} of {origin} names no key: {reason}")]
    Trust {
        /// The file, or what else the text came from.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The signer did not sign.
    #[error("the signer failed: {reason}")]
    Signer {
        /// What it said.
        reason: String,
    },
}
