//! The records that a ledger writes about itself. Each type has its own versions, members are fixed,
//! and a member that is not listed is refused. Here are genesis and recovery, and what all have in
//! common; `rotation.rs`, `correction.rs` and `silence.rs` have the others.
//!
//! Out of scope, and room left for it in `docs/formats/ledger-v1.md`: sums over records, samples,
//! redaction, keys of an epoch and the time of others, which come as new types or versions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::continued::Continued;
use super::correction::{Correction, Restatement};
use super::durability::Durability;
use super::form::{must, read as read_form, text as as_text, write};
use super::imported::Imported;
use super::layout::{CONTROL_KIND, text};
use super::rotation::KeyRotation;
use super::silence::{Gap, Heartbeat};
use super::time::{has_time_form, time_text};
use crate::canonical::{Object, Value};
use crate::fault::Fault;
use crate::hex;
use crate::keys::PublicKey;

/// How long a `tool` name may be. A name and a version, with a hundred times the room.
const MAX_TOOL_BYTES: usize = 256;

/// How many keys a genesis may list: every entry's key is looked up in the list.
const MAX_ROSTER: usize = 64;

/// What the name of an evidence file begins with; its entry number and hash follow.
const EVIDENCE_PREFIX: &str = "ledger.ndjson.torn-";

/// Members of every control record. That a genesis has no `prev_hash` is seen to where that is read.
const COMMON: [&str; 11] = [
    "created_ts",
    "kind",
    "ledger_id",
    "prev_hash",
    "schema_version",
    "seq",
    "signature",
    "signature_algorithm",
    "signing_key",
    "tool",
    "type",
];

/// A record of the ledger's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// The first line.
    Genesis(Genesis),
    /// What was done about a torn line.
    Recovery(Recovery),
    /// Who may write from here on.
    KeyRotation(KeyRotation),
    /// One record should have been another.
    Correction(Correction),
    /// Many records are calculated anew.
    Restatement(Restatement),
    /// Nothing was recorded for a time.
    Gap(Gap),
    /// More will come by a time.
    Heartbeat(Heartbeat),
}

/// The first line: who may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Genesis {
    /// When the ledger was made: UTC, six decimals, `Z`.
    pub created_ts: String,
    /// The program that made it.
    pub tool: String,
    /// The keys that may sign entries.
    #[serde(with = "listed")]
    pub keys: Vec<PublicKey>,
    /// When an entry counts as acknowledged.
    #[serde(with = "as_text")]
    pub durability: Durability,
    /// The ledger of version 0.1 that this one continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// The ledger of this version that this one continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Box<Continued>>,
}

/// The older ledger that a new one continues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Before {
    /// One of version 0.1.
    Imported(Imported),
    /// One of this version.
    Continued(Continued),
}

/// What was cut off after an interrupted write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recovery {
    /// When the bytes were removed.
    pub created_ts: String,
    /// The program that removed them.
    pub tool: String,
    /// How many bytes were removed.
    pub removed_bytes: u64,
    /// Their SHA-256.
    #[serde(with = "hex")]
    pub removed_sha256: [u8; 32],
    /// The file beside the ledger that holds them.
    pub evidence: String,
}

/// The keys of a genesis.
mod listed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::entry::form::text as as_text;
    use crate::keys::PublicKey;

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "algorithm", rename = "ed25519")]
    struct Listed {
        #[serde(with = "as_text")]
        public_key: PublicKey,
    }

    pub(super) fn serialize<S: Serializer>(keys: &[PublicKey], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(keys.iter().map(|key| Listed { public_key: *key }))
    }

    pub(super) fn deserialize<'d, D>(from: D) -> Result<Vec<PublicKey>, D::Error>
    where
        D: Deserializer<'d>,
    {
        let listed = Vec::<Listed>::deserialize(from)?;
        Ok(listed.into_iter().map(|listed| listed.public_key).collect())
    }
}

impl Control {
    /// The payload of a record that a writer may ask for at that time.
    ///
    /// # Errors
    ///
    /// [`Fault::ReservedKind`] for a genesis and a recovery record, which have ways of their own; or
    /// what is wrong with the record.
    pub fn to_payload(&self, created: Timestamp, tool: &str) -> Result<Object, Fault> {
        match self {
            Self::Genesis(_) | Self::Recovery(_) => Err(Fault::ReservedKind),
            Self::KeyRotation(rotation) => {
                Self::KeyRotation(rotation.sorted()).payload(created, tool)
            }
            other => other.payload(created, tool),
        }
    }

    fn payload(&self, created: Timestamp, tool: &str) -> Result<Object, Fault> {
        let mut object = write(self)?;
        object.insert("created_ts", time_text(created));
        object.insert("kind", CONTROL_KIND);
        object.insert("schema_version", self.version());
        object.insert("tool", tool);
        Ok(object)
    }

    /// Each type has versions of its own. A genesis has the one that knew all that is in it: 1 knew neither
    /// an older ledger nor a class of durability but `sync`, 2 knew no such class, and 3 only ledgers of 0.1.
    fn version(&self) -> u32 {
        match self {
            Self::Genesis(Genesis { continues: Some(_), .. }) => 4,
            Self::Genesis(genesis) if genesis.durability != Durability::Sync => 3,
            Self::Genesis(Genesis { imported: Some(_), .. }) => 2,
            Self::Genesis(_) | Self::Recovery(_) => 1,
            _ => 2,
        }
    }

    /// What the form of its members does not say.
    fn check(&self, seq: u64, signer: PublicKey, created_ts: &str) -> Result<(), Fault> {
        match self {
            Self::Genesis(genesis) => genesis.check(signer),
            Self::Recovery(recovery) => recovery.check(seq),
            Self::KeyRotation(rotation) => rotation.check(seq),
            Self::Correction(correction) => correction.check(seq),
            Self::Restatement(restatement) => restatement.check(seq),
            Self::Gap(gap) => gap.check(created_ts),
            Self::Heartbeat(heartbeat) => heartbeat.check(created_ts),
        }
    }
}

/// The record that an entry is, by its members, its number and the key that signed it; none for a payload.
pub(super) fn read(object: &Object, seq: u64, signer: PublicKey) -> Result<Option<Control>, Fault> {
    if text(object, "kind") != Some(CONTROL_KIND) {
        return Ok(None);
    }
    let version = object.get("schema_version").and_then(Value::as_u64);
    // What this code does not know it does not pass over.
    let (known, expected) = match text(object, "type") {
        Some("genesis") => (1..=4, "1, 2, 3 or 4 in a genesis"),
        Some("recovery") => (1..=1, "1 in a recovery record"),
        Some("key_rotation" | "correction" | "restatement" | "gap" | "heartbeat") => {
            (2..=2, "2 in a record of this type")
        }
        Some(other) => return Err(Fault::UnknownType(other.to_owned())),
        None => return Err(Fault::Member { name: "type", expected: "a text" }),
    };
    must(version.is_some_and(|version| known.contains(&version)), "schema_version", expected)?;
    let (created_ts, tool) = (text(object, "created_ts"), text(object, "tool"));
    let created_ts = created_ts.unwrap_or_default();
    must(has_time_form(created_ts), "created_ts", "UTC with six decimals and a Z")?;
    let has_length = tool.is_some_and(|tool| (1..=MAX_TOOL_BYTES).contains(&tool.len()));
    must(has_length, "tool", "a text of 1 to 256 bytes")?;
    let control: Control = read_form(object, &COMMON)?;
    let fits = version == Some(control.version().into());
    must(fits, "schema_version", "the one that first knew what the record has")?;
    control.check(seq, signer, created_ts)?;
    Ok(Some(control))
}

impl Genesis {
    fn check(&self, signer: PublicKey) -> Result<(), Fault> {
        let distinct: BTreeSet<&PublicKey> = self.keys.iter().collect();
        let keys = (1..=MAX_ROSTER).contains(&self.keys.len()) && distinct.len() == self.keys.len();
        must(keys, "keys", "1 to 64 distinct Ed25519 keys")?;
        if !self.keys.contains(&signer) {
            return Err(Fault::KeyNotInRoster(signer.to_hex()));
        }
        let one = self.imported.is_none() || self.continues.is_none();
        must(one, "continues", "absent where another ledger is imported")?;
        self.imported.as_ref().map_or(Ok(()), Imported::check)?;
        self.continues.as_deref().map_or(Ok(()), Continued::check)
    }
}

impl Recovery {
    /// The evidence file is named after the entry that was torn, which is this one or, when several
    /// recoveries follow each other, one shortly before.
    fn check(&self, seq: u64) -> Result<(), Fault> {
        must(self.removed_bytes > 0, "removed_bytes", "a positive integer")?;
        let named = parse_evidence_name(&self.evidence).is_some_and(|torn| {
            torn <= seq && self.evidence == evidence_name(torn, &self.removed_sha256)
        });
        must(named, "evidence", "the name that its hash gives it")
    }
}

/// The name of the file that keeps the bytes of a torn entry.
pub fn evidence_name(seq: u64, sha256: &[u8; 32]) -> String {
    let (short, _) = sha256.split_at(4);
    format!("{EVIDENCE_PREFIX}{seq}-{}", base16ct::lower::encode_string(short))
}

/// The entry number in the name of an evidence file.
pub fn parse_evidence_name(name: &str) -> Option<u64> {
    let (seq, short) = name.strip_prefix(EVIDENCE_PREFIX)?.split_once('-')?;
    hex::decode::<4>(short)?;
    // Digits only, as `evidence_name` writes them: no sign, no leading zero.
    let number: u64 = seq.parse().ok()?;
    (number.to_string() == seq).then_some(number)
}

/// The payload of the genesis of a new ledger, in which `key` may sign, and which promises a class of
/// durability and continues an older ledger or none.
///
/// # Errors
///
/// When a number of the older ledger is beyond what an entry may carry.
pub fn genesis_payload(
    created: Timestamp,
    tool: &str,
    key: PublicKey,
    durability: Durability,
    before: Option<Before>,
) -> Result<Object, Fault> {
    let (created_ts, keys) = (time_text(created), vec![key]);
    let tool = tool.to_owned();
    let (imported, continues) = match before {
        Some(Before::Imported(imported)) => (Some(imported), None),
        Some(Before::Continued(continued)) => (None, Some(Box::new(continued))),
        None => (None, None),
    };
    let genesis = Genesis { created_ts, tool: tool.clone(), keys, durability, imported, continues };
    Control::Genesis(genesis).payload(created, &tool)
}

/// `seq` is the number that the torn entry would have had; `removed` are its bytes.
///
/// # Errors
///
/// None that is known: of these bytes there are at most two lines, so that their number fits.
pub fn recovery_payload(
    created: Timestamp,
    tool: &str,
    seq: u64,
    removed: &[u8],
) -> Result<Object, Fault> {
    let removed_sha256 = Sha256::digest(removed).into();
    let recovery = Recovery {
        created_ts: time_text(created),
        tool: tool.to_owned(),
        removed_bytes: removed.len() as u64,
        removed_sha256,
        evidence: evidence_name(seq, &removed_sha256),
    };
    Control::Recovery(recovery).payload(created, tool)
}
