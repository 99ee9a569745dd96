//! What a genesis says of the ledger of version 0.1 that it continues: which file, byte for byte,
//! how long its chain was and where it ended, and what verifying it had shown.
//!
//! Out of scope: the file itself, which stays where it is, and reading it.

use serde::Serialize;

use super::control::{ascending, members, number};
use super::{EntryHash, Fault, hex_member, text};
use crate::canonical::{Object, Value};
use crate::keys::PublicKey;
use crate::verify::Status;

/// The only format that is imported.
pub const IMPORTED_FORMAT: &str = "carbon-ops-0.1";

/// As many keys as a genesis may list.
const MAX_KEYS: usize = 64;

/// A file of version 0.1 that a ledger continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Its format: `carbon-ops-0.1`.
    pub format: &'static str,
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
    /// What its verification had shown.
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

    /// The value of the genesis's member `imported`.
    pub(super) fn to_value(&self) -> Result<Value, Fault> {
        let mut object = Object::new();
        object.insert("format", self.format);
        object.insert("file_bytes", number("file_bytes", self.file_bytes)?);
        object.insert("file_sha256", self.file_sha256.as_str());
        if let Some(hash) = &self.head_hash {
            object.insert("head_hash", hash.as_str());
        }
        let keys: Vec<Value> = self.keys.iter().map(|key| key.as_str().into()).collect();
        object.insert("keys", keys);
        object.insert("records", number("records", self.records)?);
        object.insert("verdict", word(self.verdict));
        Ok(object.into())
    }

    /// Reads the member `imported` of a genesis.
    pub(super) fn read(value: Option<&Value>) -> Result<Self, Fault> {
        const MEMBERS: [&str; 7] =
            ["file_bytes", "file_sha256", "format", "head_hash", "keys", "records", "verdict"];
        let object = value
            .and_then(Value::as_object)
            .filter(|object| text(object, "format") == Some(IMPORTED_FORMAT))
            .ok_or(Fault::Member {
                name: "imported",
                expected: "about a file of carbon-ops-0.1",
            })?;
        members(object, &MEMBERS)?;
        let number = |name| {
            let count = object.get(name).and_then(Value::as_u64);
            count.ok_or(Fault::Member { name, expected: "a non-negative integer" })
        };
        let sha256: [u8; 32] = hex_member(object, "file_sha256", "64 lower-case hex digits")?;
        let head_hash = match object.get("head_hash") {
            None => None,
            Some(_) => Some(hex_member(object, "head_hash", "64 lower-case hex digits")?),
        };
        let verdict = text(object, "verdict")
            .and_then(status)
            .ok_or(Fault::Member { name: "verdict", expected: "a verdict of a verification" })?;
        Ok(Self {
            format: IMPORTED_FORMAT,
            file_bytes: number("file_bytes")?,
            file_sha256: base16ct::lower::encode_string(&sha256),
            head_hash: head_hash.map(|hash| EntryHash(hash).to_string()),
            keys: keys(object.get("keys"))?,
            records: number("records")?,
            verdict,
        })
    }
}

/// Sorted and distinct, so that there is one way to write them.
fn keys(value: Option<&Value>) -> Result<Vec<String>, Fault> {
    let wrong = Fault::Member { name: "keys", expected: "up to 64 keys in ascending order" };
    let items = value.and_then(Value::as_array).filter(|items| items.len() <= MAX_KEYS);
    let key = |item: &Value| {
        let key = item.as_str().filter(|key| PublicKey::from_hex(key).is_ok());
        key.map(str::to_owned)
    };
    items.and_then(|items| ascending(items, |a, b| a < b, key)).ok_or(wrong)
}

fn word(verdict: Status) -> &'static str {
    match verdict {
        Status::Valid => "valid",
        Status::Untrusted => "untrusted",
        Status::TornTail => "torn_tail",
        // A ledger of 0.1 has no checkpoints, so that nothing can prove it rewritten.
        Status::Tampered | Status::Rewritten => "tampered",
    }
}

fn status(word_of_it: &str) -> Option<Status> {
    let all = [Status::Valid, Status::Untrusted, Status::TornTail, Status::Tampered];
    all.into_iter().find(|status| word(*status) == word_of_it)
}
