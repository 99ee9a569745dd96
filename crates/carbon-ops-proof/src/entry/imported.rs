//! What a genesis says of the ledger of version 0.1 that it continues: which file, byte for byte,
//! how long its chain was and where it ended, and what verifying it had shown.
//!
//! Out of scope: the file itself, which stays where it is, and reading it.

use serde::{Deserialize, Serialize};

use super::form::must;
use crate::fault::Fault;
use crate::ids::EntryHash;
use crate::keys::PublicKey;
use crate::status::Status;

/// The only format that is imported.
pub const IMPORTED_FORMAT: &str = "carbon-ops-0.1";

/// As many keys as a genesis may list.
const MAX_KEYS: usize = 64;

/// A file of version 0.1 that a ledger continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its format: `carbon-ops-0.1`.
    pub format: String,
    /// Its length.
    pub file_bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub file_sha256: String,
    /// The hash of its last record, which a next one would have carried as `prev_hash`, in
    /// hexadecimal. None when no record verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_hash: Option<String>,
    /// The keys, in hexadecimal, that were trusted and signed records. With these, and no others,
    /// a verification gives the same result again.
    pub keys: Vec<String>,
    /// How many records verified.
    pub records: u64,
    /// What its verification had shown. Nothing can prove it rewritten: 0.1 has no checkpoints.
    pub verdict: Status,
}

impl Imported {
    /// The members in which another file differs, by their names in the genesis; none for the file
    /// that was imported.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<&'static str> {
        let differs = [
            ("file_bytes", self.file_bytes != found.file_bytes),
            ("file_sha256", self.file_sha256 != found.file_sha256),
            ("head_hash", self.head_hash != found.head_hash),
            ("keys", self.keys != found.keys),
            ("records", self.records != found.records),
            ("verdict", self.verdict != found.verdict),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let is_hash = |text: &str| EntryHash::from_hex(text).is_some();
        let is_key = |key: &String| PublicKey::from_hex(key).is_ok();
        let keys = self.keys.is_sorted_by(|a, b| a < b) && self.keys.iter().all(is_key);
        must(self.format == IMPORTED_FORMAT, "imported", "about a file of carbon-ops-0.1")?;
        must(is_hash(&self.file_sha256), "file_sha256", "64 lower-case hex digits")?;
        must(
            self.head_hash.as_deref().is_none_or(is_hash),
            "head_hash",
            "64 lower-case hex digits",
        )?;
        must(keys && self.keys.len() <= MAX_KEYS, "keys", "up to 64 keys in ascending order")?;
        must(self.verdict != Status::Rewritten, "verdict", "what verifying a 0.1 ledger can show")
    }
}
