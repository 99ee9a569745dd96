//! What a genesis says of the ledger that it continues: how many of its lines, what they hash to, which bytes
//! stood there in all, what verifying them had shown, and why there is another ledger.
//!
//! Rule: a ledger ends where this says so. Whatever stands behind `size`, or is written there later, is no part of
//! what goes on.
//!
//! Out of scope: the ledger itself, which stays where it is, and a ledger of version 0.1 (`imported.rs`).

use serde::{Deserialize, Serialize};

use super::form::{check_note, must};
use super::vocabulary::ContinuationReason;
use crate::fault::Fault;
use crate::ids::{EntryHash, LedgerId};
use crate::merkle::{TreeHash, empty_root};
use crate::status::Status;

/// The ledger that a ledger continues, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// Its name, in hexadecimal.
    pub ledger_id: String,
    /// How many lines of it are continued, from the first on.
    pub size: u64,
    /// The root of the tree over these lines, in base64.
    pub root: String,
    /// The hash of the last of them, in hexadecimal; none of no lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_hash: Option<String>,
    /// How many bytes it had in all.
    pub file_bytes: u64,
    /// The SHA-256 of all its bytes, segments first, in hexadecimal.
    pub file_sha256: String,
    /// How many lines were signed for, where that is more than there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_size: Option<u64>,
    /// What its verification had shown.
    pub verdict: Status,
    /// Why it is not written to any more.
    pub reason: ContinuationReason,
    /// The same, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Continued {
    /// The members in which another ledger differs, by their names in the genesis; none for the one that is
    /// continued, whose bytes are still those of then.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<&'static str> {
        let differs = [
            ("ledger_id", self.ledger_id != found.ledger_id),
            ("size", self.size != found.size),
            ("root", self.root != found.root),
            ("head_hash", self.head_hash != found.head_hash),
            ("file_bytes", self.file_bytes != found.file_bytes),
            ("file_sha256", self.file_sha256 != found.file_sha256),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let is_hash = |text: &str| EntryHash::from_hex(text).is_some();
        let root = TreeHash::from_base64(&self.root);
        let empty = root.is_some_and(|root| root == empty_root());
        must(
            LedgerId::from_hex(&self.ledger_id).is_some(),
            "ledger_id",
            "32 lower-case hex digits",
        )?;
        must(
            root.is_some() && empty == (self.size == 0),
            "root",
            "that of so many lines, in base64",
        )?;
        must(
            self.head_hash.is_some() == (self.size > 0),
            "head_hash",
            "there where there are lines",
        )?;
        let hashes = self.head_hash.as_deref().is_none_or(is_hash) && is_hash(&self.file_sha256);
        must(hashes, "file_sha256", "64 lower-case hex digits, as head_hash is")?;
        must(self.size <= self.file_bytes, "size", "no more lines than bytes")?;
        let beyond = self.signed_size.is_none_or(|signed| signed > self.size);
        must(beyond, "signed_size", "more than there were, or absent")?;
        check_note(self.note.as_ref(), self.reason == ContinuationReason::Other)
    }
}
