//! What stops the reading and writing of ledgers, where somebody can do something about it: told apart, so
//! that whoever talks to people can say what.
//!
//! Out of scope: the remedies.

use std::io;
use std::path::PathBuf;

use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_proof::entry::LedgerId;

/// Why a ledger, a key or a record is not at hand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no default ledger without a HOME")]
    NoDefaultLedger,
    #[error("neither HOME nor XDG_DATA_HOME is set, so there is no default ledger")]
    NoHome,
    #[error("cannot open the ledger {}", path.display())]
    CannotOpen { path: PathBuf, source: io::Error },
    #[error("there is no ledger in {}", path.display())]
    NoLedger { path: PathBuf },
    #[error("there is no key file {}", path.display())]
    NoKey { path: PathBuf },
    /// A disk or a permission is in the way.
    #[error(transparent)]
    CannotWrite(LedgerError),
    #[error("{} is NOT A LEDGER: {what}", path.display())]
    NotALedger { path: PathBuf, what: Other },
    #[error("{} is a ledger of version 0.1, of the Python package", path.display())]
    Legacy { path: PathBuf },
    #[error("{} is a checkpoint of the ledger {of}, and {} is the ledger {id}", kept.display(), path.display())]
    OtherCheckpoint { kept: PathBuf, of: LedgerId, path: PathBuf, id: LedgerId },
    #[error("none of the keys here may write to {}", ledger.display())]
    NoWriter { ledger: PathBuf },
    #[error("several keys may write to {}", path.display())]
    SeveralWriters { path: PathBuf },
    #[error("entries are suspect only of a stolen key")]
    NotStolen,
    #[error("{} is not one to join: it is not valid, or its first key is not trusted here", path.display())]
    NotToJoin { path: PathBuf },
    #[error("{0:?} is no key with its proof")]
    NoAgreement(String),
    #[error("the ledger's first entry pins no imported file")]
    NothingImported,
    #[error("there is nothing to read")]
    NothingToRead,
    #[error("the key that signed {} is not trusted", path.display())]
    Untrusted { path: PathBuf },
    #[error("{} is not valid, and nothing of it is used", path.display())]
    Invalid { path: PathBuf },
    #[error("cannot open {of}")]
    NoRecord { of: String, source: io::Error },
    #[error("{0:?} names no witness")]
    NoWitness(String),
    #[error("the tiles beside {} are not those of the checkpoint", ledger.display())]
    OtherTiles { ledger: PathBuf },
    #[error("no checkpoint covers entry {seq} of {}", ledger.display())]
    NotCovered { seq: u64, ledger: PathBuf },
    #[error("entry {seq} of {} is not the one that was signed for: {reason}", ledger.display())]
    NotSignedFor { seq: u64, ledger: PathBuf, reason: String },
}

/// What a file is that is no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Other {
    #[error("it is an audit pack")]
    Pack,
    #[error("it is the proof of one entry")]
    Proof,
    #[error("it does not begin with a genesis, and no line of it is an entry")]
    Unknown,
}
