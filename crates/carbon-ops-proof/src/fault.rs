//! What is wrong with a line of a ledger: a result, not an error of the program.
//!
//! Out of scope: finding it.

use crate::canonical::{NumberOutOfRange, ParseError};
use crate::ids::{LedgerId, MAX_LINE_BYTES};

/// What is wrong with a line, as a verification reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no line at all.
    #[error("the file is empty; a ledger has at least its genesis")]
    EmptyFile,
    /// A line without content.
    #[error("the line is empty")]
    EmptyLine,
    /// More than [`MAX_LINE_BYTES`].
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// A Windows line ending.
    #[error("the line ends with a carriage return")]
    CarriageReturn,
    /// A zero byte, which canonical JSON never holds.
    #[error("the line contains a NUL byte")]
    NulByte,
    /// The last line lacks its newline and cannot be the rest of an interrupted write.
    #[error("the line has no newline at its end")]
    Unterminated,
    /// Not canonical JSON.
    #[error("not canonical JSON: {0}")]
    Json(ParseError),
    /// JSON, but no object.
    #[error("the line is not an object")]
    NotAnObject,
    /// A number beyond ±(2^53 − 1).
    #[error(transparent)]
    Number(NumberOutOfRange),
    /// A member is missing or has the wrong form.
    #[error("{name} must be {expected}")]
    Member {
        /// The member.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A record of the ledger's own whose members have not their form.
    #[error("the record has another form than its type: {0}")]
    Form(String),
    /// A payload that uses a member of the ledger's own.
    #[error("the member {0} belongs to the ledger")]
    ReservedMember(&'static str),
    /// A payload that poses as one of the ledger's own records.
    #[error("kind \"ledger\" belongs to the ledger")]
    ReservedKind,
    /// A record of the ledger's own with a member that version 1 does not have.
    #[error("the record has the unknown member {0:?}")]
    UnknownMember(String),
    /// A record of the ledger's own of a type that version 1 does not have.
    #[error("the ledger record has the unknown type {0:?}")]
    UnknownType(String),
    /// The first line is no genesis.
    #[error("the ledger does not begin with its genesis")]
    NoGenesis,
    /// A genesis that is not the first line.
    #[error("a genesis stands after the first line")]
    LateGenesis,
    /// The signing key, in hexadecimal, is not one that may sign here.
    #[error("the key {0} is listed neither in the genesis nor in a key_rotation before")]
    KeyNotInRoster(String),
    /// The signing key, in hexadecimal, may no longer sign.
    #[error("the key {key} was retired by the entry {at}")]
    KeyRetired {
        /// The key.
        key: String,
        /// The number of the entry that retired it.
        at: u64,
    },
    /// A change of keys that cannot be.
    #[error("the change of keys is invalid: {0}")]
    Rotation(&'static str),
    /// A correction of a line that is another one than it says.
    #[error("the entry {0} does not have the leaf hash that its correction names")]
    CorrectsLeaf(u64),
    /// A correction that is part of a restatement which is none.
    #[error("the entry {0}, which the correction names as its restatement, is none")]
    NotARestatement(u64),
    /// The signature does not fit the bytes.
    #[error("the signature does not verify")]
    Signature,
    /// The entry was made for another ledger.
    #[error("the entry belongs to the ledger {0}")]
    OtherLedger(LedgerId),
    /// The number does not continue the one before.
    #[error("seq is {found} where {expected} was expected")]
    Seq {
        /// What would continue the ledger.
        expected: u64,
        /// What the line says.
        found: u64,
    },
    /// The entry was made to follow another one than it follows here.
    #[error("prev_hash does not match the entry before")]
    PrevHash,
    /// The payload was refused by the record layer.
    #[error("the record is invalid: {0}")]
    Record(String),
}

impl Fault {
    /// A stable name for reports that machines read.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyFile => "empty_file",
            Self::EmptyLine => "empty_line",
            Self::TooLong => "too_long",
            Self::CarriageReturn => "carriage_return",
            Self::NulByte => "nul_byte",
            Self::Unterminated => "unterminated",
            Self::Json(_) => "not_canonical_json",
            Self::NotAnObject => "not_an_object",
            Self::Number(_) => "number_out_of_range",
            Self::Member { .. } | Self::Form(_) => "member",
            Self::ReservedMember(_) | Self::ReservedKind => "reserved",
            Self::UnknownMember(_) => "unknown_member",
            Self::UnknownType(_) => "unknown_type",
            Self::NoGenesis => "no_genesis",
            Self::LateGenesis => "late_genesis",
            Self::KeyNotInRoster(_) => "key_not_in_roster",
            Self::KeyRetired { .. } => "key_retired",
            Self::Rotation(_) => "rotation",
            Self::CorrectsLeaf(_) => "corrects_leaf",
            Self::NotARestatement(_) => "not_a_restatement",
            Self::Signature => "signature",
            Self::OtherLedger(_) => "other_ledger",
            Self::Seq { .. } => "seq",
            Self::PrevHash => "prev_hash",
            Self::Record(_) => "record",
        }
    }
}
