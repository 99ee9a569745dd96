//! The records that a ledger writes about itself. Each type has its own versions, members are fixed,
//! and a member that is not listed is refused. Here are genesis and recovery, and what all have in
//! common; `rotation.rs`, `correction.rs` and `silence.rs` have the others.
//!
//! Out of scope, and room left for it in `docs/formats/ledger-v1.md`: sums over records, samples,
//! redaction, keys of an epoch and the time of others, which come as new types or versions.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::correction::{Correction, Restatement};
use super::rotation::KeyRotation;
use super::silence::{Gap, Heartbeat};
use super::time::{has_time_form, time_text};
use super::{ALGORITHM, CONTROL_KIND, Durability, Entry, Fault, Imported, text};
use crate::canonical::{Number, Object, Value};
use crate::hex;
use crate::keys::PublicKey;

/// The version of a plain genesis and of a recovery record.
const SCHEMA_VERSION: u32 = 1;

/// The version of a genesis that continues a ledger of version 0.1.
const IMPORT_SCHEMA_VERSION: u32 = 2;

/// The version of a genesis whose class of durability is not `sync`.
const DURABILITY_SCHEMA_VERSION: u32 = 3;

/// The version of the types that came after genesis and recovery.
const LIFE_SCHEMA_VERSION: u32 = 2;

/// How long a `tool` name may be. A name and a version, with a hundred times the room.
const MAX_TOOL_BYTES: usize = 256;

/// How many keys a genesis may list: every entry's key is looked up in the list.
const MAX_ROSTER: usize = 64;

/// How long a note may be: a paragraph.
const MAX_NOTE_BYTES: usize = 1024;

/// What the name of an evidence file begins with; its entry number and hash follow.
const EVIDENCE_PREFIX: &str = "ledger.ndjson.torn-";

/// Members of every control record.
const COMMON: [&str; 10] = [
    "created_ts",
    "kind",
    "ledger_id",
    "schema_version",
    "seq",
    "signature",
    "signature_algorithm",
    "signing_key",
    "tool",
    "type",
];

/// A record of the ledger's own.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Genesis {
    /// When the ledger was made: UTC, six decimals, `Z`.
    pub created_ts: String,
    /// The program that made it.
    pub tool: String,
    /// The keys that may sign entries.
    pub keys: Vec<PublicKey>,
    /// When an entry counts as acknowledged.
    pub durability: Durability,
    /// The older ledger that this one continues.
    pub imported: Option<Imported>,
}

/// What was cut off after an interrupted write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// When the bytes were removed.
    pub created_ts: String,
    /// The program that removed them.
    pub tool: String,
    /// How many bytes were removed.
    pub removed_bytes: u64,
    /// Their SHA-256.
    pub removed_sha256: [u8; 32],
    /// The file beside the ledger that holds them.
    pub evidence: String,
}

impl Control {
    /// The payload of a record that a writer may ask for at that time.
    ///
    /// # Errors
    ///
    /// [`Fault::ReservedKind`] for a genesis and a recovery record, which have ways of their own; or
    /// what is wrong with the record.
    pub fn to_payload(&self, created: Timestamp, tool: &str) -> Result<Object, Fault> {
        let named = |name| {
            let mut object = payload(name, created, tool);
            object.insert("schema_version", LIFE_SCHEMA_VERSION);
            object
        };
        let mut object;
        match self {
            Self::Genesis(_) | Self::Recovery(_) => return Err(Fault::ReservedKind),
            Self::KeyRotation(rotation) => {
                object = named("key_rotation");
                rotation.add_to(&mut object);
            }
            Self::Correction(correction) => {
                object = named("correction");
                correction.add_to(&mut object)?;
            }
            Self::Restatement(restatement) => {
                object = named("restatement");
                restatement.add_to(&mut object)?;
            }
            Self::Gap(gap) => {
                object = named("gap");
                gap.add_to(&mut object)?;
            }
            Self::Heartbeat(heartbeat) => {
                object = named("heartbeat");
                heartbeat.add_to(&mut object)?;
            }
        }
        Ok(object)
    }
}

pub(super) fn read(entry: &Entry) -> Result<Option<Control>, Fault> {
    let object = &entry.object;
    if text(object, "kind") != Some(CONTROL_KIND) {
        return Ok(None);
    }
    let record_type =
        text(object, "type").ok_or(Fault::Member { name: "type", expected: "a text" })?;
    let version = object.get("schema_version").and_then(Value::as_u64);
    check_version(record_type, version)?;
    let created_ts = text(object, "created_ts")
        .filter(|ts| has_time_form(ts))
        .ok_or(Fault::Member { name: "created_ts", expected: "UTC with six decimals and a Z" })?;
    let tool = text(object, "tool")
        .filter(|tool| !tool.is_empty() && tool.len() <= MAX_TOOL_BYTES)
        .ok_or(Fault::Member { name: "tool", expected: "a text of 1 to 256 bytes" })?;
    Ok(Some(match record_type {
        "genesis" => {
            let (keys, durability, imported) = genesis(entry, version)?;
            let (created_ts, tool) = (created_ts.to_owned(), tool.to_owned());
            Control::Genesis(Genesis { created_ts, tool, keys, durability, imported })
        }
        "recovery" => Control::Recovery(recovery(entry, created_ts, tool)?),
        "key_rotation" => Control::KeyRotation(KeyRotation::read(entry)?),
        "correction" => Control::Correction(Correction::read(entry)?),
        "restatement" => Control::Restatement(Restatement::read(entry)?),
        "gap" => Control::Gap(Gap::read(entry, created_ts)?),
        "heartbeat" => Control::Heartbeat(Heartbeat::read(entry, created_ts)?),
        other => return Err(Fault::UnknownType(other.to_owned())),
    }))
}

/// Each type has versions of its own; what this code does not know it does not pass over.
fn check_version(record_type: &str, version: Option<u64>) -> Result<(), Fault> {
    let (known, expected): (&[u32], _) = match record_type {
        "genesis" => (
            &[SCHEMA_VERSION, IMPORT_SCHEMA_VERSION, DURABILITY_SCHEMA_VERSION],
            "1, 2 or 3 in a genesis",
        ),
        "recovery" => (&[SCHEMA_VERSION], "1 in a recovery record"),
        "key_rotation" | "correction" | "restatement" | "gap" | "heartbeat" => {
            (&[LIFE_SCHEMA_VERSION], "2 in a record of this type")
        }
        other => return Err(Fault::UnknownType(other.to_owned())),
    };
    if known.iter().any(|known| version == Some(u64::from(*known))) {
        return Ok(());
    }
    Err(Fault::Member { name: "schema_version", expected })
}

fn recovery(entry: &Entry, created_ts: &str, tool: &str) -> Result<Recovery, Fault> {
    let object = &entry.object;
    only(object, &["evidence", "prev_hash", "removed_bytes", "removed_sha256"])?;
    let (removed_bytes, removed_sha256) = removed(object)?;
    let evidence = evidence(object, entry.seq, &removed_sha256)?;
    let (created_ts, tool) = (created_ts.to_owned(), tool.to_owned());
    Ok(Recovery { created_ts, tool, removed_bytes, removed_sha256, evidence })
}

/// The members of a genesis's own: who may write, what is promised, and what it continues.
fn genesis(
    entry: &Entry,
    version: Option<u64>,
) -> Result<(Vec<PublicKey>, Durability, Option<Imported>), Fault> {
    let object = &entry.object;
    let plain = version == Some(u64::from(SCHEMA_VERSION));
    let relaxed = version == Some(u64::from(DURABILITY_SCHEMA_VERSION));
    let imports = !plain && (!relaxed || object.contains("imported"));
    let own: &[&str] =
        if imports { &["durability", "imported", "keys"] } else { &["durability", "keys"] };
    only(object, own)?;
    // One form for each ledger: `sync` has the versions that knew nothing else.
    let durability = text(object, "durability")
        .and_then(Durability::parse)
        .filter(|class| relaxed != (*class == Durability::Sync))
        .ok_or(Fault::Member {
            name: "durability",
            expected: if relaxed { "\"group:<ms>\" or \"async:<ms>\"" } else { "\"sync\"" },
        })?;
    let keys = roster(object.get("keys"))?;
    if !keys.contains(&entry.signing_key) {
        return Err(Fault::KeyNotInRoster(entry.signing_key.to_hex()));
    }
    let imported = imports.then(|| Imported::read(object.get("imported"))).transpose()?;
    Ok((keys, durability, imported))
}

/// Refuses members beyond the common ones and `more`.
pub(super) fn only(object: &Object, more: &[&str]) -> Result<(), Fault> {
    members(object, &[&COMMON[..], more].concat())
}

/// Refuses members beyond `own`, in an object within a record.
pub(super) fn members(object: &Object, own: &[&str]) -> Result<(), Fault> {
    match object.iter().find(|(name, _)| !own.contains(name)) {
        Some((name, _)) => Err(Fault::UnknownMember(name.to_owned())),
        None => Ok(()),
    }
}

/// An object with these members.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Object {
    let mut object = Object::new();
    for (name, value) in members {
        object.insert(name, value);
    }
    object
}

/// A number that an entry may carry.
pub(super) fn number(name: &'static str, number: u64) -> Result<Number, Fault> {
    Number::try_from(number).map_err(|_| Fault::Member { name, expected: "below 2^53" })
}

/// The word of a list that a record gives as its reason.
pub(super) fn reason<R>(
    object: &Object,
    from_word: fn(&str) -> Option<R>,
    expected: &'static str,
) -> Result<R, Fault> {
    text(object, "reason").and_then(from_word).ok_or(Fault::Member { name: "reason", expected })
}

/// Items in ascending order, each once: one way to write them. None unless all can be read and are.
pub(super) fn ascending<T>(
    items: &[Value],
    below: impl Fn(&T, &T) -> bool,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Option<Vec<T>> = items.iter().map(read).collect();
    read.filter(|items| items.is_sorted_by(below))
}

/// Reads a member that may be absent.
pub(super) fn optional<T>(
    member: Option<&Value>,
    read: impl FnOnce(&Value) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    member.map(read).transpose()
}

/// A text for people, which must be there when the reason alone says nothing.
pub(super) fn note(object: &Object, required: bool) -> Result<Option<String>, Fault> {
    let wrong = Fault::Member { name: "note", expected: "a text of 1 to 1024 bytes" };
    match object.get("note") {
        None if required => Err(wrong),
        None => Ok(None),
        Some(note) => {
            let note = note.as_str().filter(|note| (1..=MAX_NOTE_BYTES).contains(&note.len()));
            note.map(|note| Some(note.to_owned())).ok_or(wrong)
        }
    }
}

fn roster(keys: Option<&Value>) -> Result<Vec<PublicKey>, Fault> {
    let wrong = Fault::Member { name: "keys", expected: "1 to 64 distinct Ed25519 keys" };
    let items = keys.and_then(Value::as_array).unwrap_or_default();
    let mut roster = Vec::with_capacity(items.len().min(MAX_ROSTER));
    for item in items {
        let key = item
            .as_object()
            .filter(|key| key.len() == 2 && text(key, "algorithm") == Some(ALGORITHM))
            .and_then(|key| PublicKey::from_hex(text(key, "public_key")?).ok())
            .filter(|key| !roster.contains(key) && roster.len() < MAX_ROSTER)
            .ok_or_else(|| wrong.clone())?;
        roster.push(key);
    }
    if roster.is_empty() { Err(wrong) } else { Ok(roster) }
}

fn removed(object: &Object) -> Result<(u64, [u8; 32]), Fault> {
    let bytes = object
        .get("removed_bytes")
        .and_then(Value::as_u64)
        .filter(|bytes| *bytes > 0)
        .ok_or(Fault::Member { name: "removed_bytes", expected: "a positive integer" })?;
    let sha256 = super::hex_member(object, "removed_sha256", "64 lower-case hex digits")?;
    Ok((bytes, sha256))
}

/// The evidence file is named after the entry that was torn, which is this one or, when several
/// recoveries follow each other, one shortly before.
fn evidence(object: &Object, seq: u64, sha256: &[u8; 32]) -> Result<String, Fault> {
    text(object, "evidence")
        .filter(|name| {
            parse_evidence_name(name)
                .is_some_and(|torn| torn <= seq && **name == evidence_name(torn, sha256))
        })
        .map(str::to_owned)
        .ok_or(Fault::Member { name: "evidence", expected: "the name that its hash gives it" })
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

fn payload(record_type: &str, created: Timestamp, tool: &str) -> Object {
    object([
        ("created_ts", time_text(created).into()),
        ("kind", CONTROL_KIND.into()),
        ("schema_version", SCHEMA_VERSION.into()),
        ("tool", tool.into()),
        ("type", record_type.into()),
    ])
}

/// The payload of the genesis of a new ledger, in which `key` may sign.
pub fn genesis_payload(created: Timestamp, tool: &str, key: PublicKey) -> Object {
    let listed = object([("algorithm", ALGORITHM.into()), ("public_key", key.to_hex().into())]);
    let mut payload = payload("genesis", created, tool);
    payload.insert("durability", Durability::Sync.to_string());
    payload.insert("keys", vec![Value::Object(listed)]);
    payload
}

/// A genesis that continues an older ledger.
///
/// # Errors
///
/// When a number of `imported` is beyond what an entry may carry.
pub fn importing_genesis_payload(
    created: Timestamp,
    tool: &str,
    key: PublicKey,
    imported: &Imported,
) -> Result<Object, Fault> {
    let mut object = genesis_payload(created, tool, key);
    object.insert("schema_version", IMPORT_SCHEMA_VERSION);
    object.insert("imported", imported.to_value()?);
    Ok(object)
}

/// Lets a genesis promise a class of durability.
pub fn promise(genesis: &mut Object, durability: Durability) {
    if durability != Durability::Sync {
        genesis.insert("schema_version", DURABILITY_SCHEMA_VERSION);
        genesis.insert("durability", durability.to_string());
    }
}

/// `seq` is the number that the torn entry would have had; `removed` are its bytes, of which there
/// are at most two lines, so that their number always fits.
pub fn recovery_payload(created: Timestamp, tool: &str, seq: u64, removed: &[u8]) -> Object {
    let sha256: [u8; 32] = Sha256::digest(removed).into();
    let mut object = payload("recovery", created, tool);
    object.insert("evidence", evidence_name(seq, &sha256));
    object.insert("removed_bytes", u32::try_from(removed.len()).unwrap_or(u32::MAX));
    object.insert("removed_sha256", base16ct::lower::encode_string(&sha256));
    object
}
