//! How ledgers and their lines are named, and how long a line may be.
//!
//! Out of scope: what a line says.

use std::fmt;

use crate::hex;

/// The most bytes that a line may have without its newline: tlog-tiles stores entries with a 16-bit
/// length (C2SP tlog-tiles v0.1.0, "Log entries"), and so a ledger can be served as such one day.
pub const MAX_LINE_BYTES: usize = 65_535;

/// The random name of a ledger, chosen once and part of every entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerId(pub [u8; 16]);

/// SHA-256 of an entry's signed bytes: what the next entry carries as `prev_hash`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash(pub [u8; 32]);

impl LedgerId {
    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }
}

impl EntryHash {
    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerId({self})")
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

/// The end of a chain: what the next entry has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the last entry.
    pub seq: u64,
    /// The hash of the last entry.
    pub hash: EntryHash,
}
