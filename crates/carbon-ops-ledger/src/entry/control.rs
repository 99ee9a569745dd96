//! The records that a ledger writes about itself: genesis and recovery. For `schema_version` 1
//! their members are fixed, and a member that is not listed here is refused. A genesis with
//! `schema_version` 2 says in one member more which older ledger it continues; one with 3 promises
//! another class of durability than `sync`, and may say that too.
//!
//! Left out, and room left for it in `docs/formats/ledger-v1.md`: key rotation, checkpoints and
//! corrections, which come as new types with a new schema version.

use sha2::{Digest, Sha256};

use super::{ALGORITHM, CONTROL_KIND, Durability, Entry, Fault, Imported, text};
use crate::canonical::{Object, Value};
use crate::hex;
use crate::keys::PublicKey;

/// The version of the control records that this code writes and reads.
const SCHEMA_VERSION: u32 = 1;

/// The version of a genesis that continues a ledger of version 0.1.
const IMPORT_SCHEMA_VERSION: u32 = 2;

/// The version of a genesis whose class of durability is not `sync`.
const DURABILITY_SCHEMA_VERSION: u32 = 3;

/// How long a `tool` name may be. A name and a version, with a hundred times the room.
const MAX_TOOL_BYTES: usize = 256;

/// How many keys a genesis may list: every entry's key is looked up in the list.
const MAX_ROSTER: usize = 64;

/// What the name of an evidence file begins with; its entry number and hash follow.
const EVIDENCE_PREFIX: &str = "ledger.ndjson.torn-";

/// Members of every control record of version 1.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The first line.
    Genesis(Genesis),
    /// What was done about a torn line.
    Recovery(Recovery),
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

pub(super) fn read(entry: &Entry) -> Result<Option<Control>, Fault> {
    let object = &entry.object;
    if text(object, "kind") != Some(CONTROL_KIND) {
        return Ok(None);
    }
    let version = object.get("schema_version").and_then(Value::as_u64);
    let newer = [IMPORT_SCHEMA_VERSION, DURABILITY_SCHEMA_VERSION].map(|v| Some(u64::from(v)));
    let newer_genesis = newer.contains(&version) && text(object, "type") == Some("genesis");
    if version != Some(u64::from(SCHEMA_VERSION)) && !newer_genesis {
        return Err(Fault::Member {
            name: "schema_version",
            expected: "1, or 2 or 3 in a genesis",
        });
    }
    let created_ts = text(object, "created_ts")
        .filter(|ts| is_timestamp(ts))
        .ok_or(Fault::Member { name: "created_ts", expected: "UTC with six decimals and a Z" })?;
    let tool = text(object, "tool")
        .filter(|tool| !tool.is_empty() && tool.len() <= MAX_TOOL_BYTES)
        .ok_or(Fault::Member { name: "tool", expected: "a text of 1 to 256 bytes" })?;
    let (created_ts, tool) = (created_ts.to_owned(), tool.to_owned());
    match text(object, "type") {
        Some("genesis") => {
            let (keys, durability, imported) = genesis(entry, version)?;
            Ok(Some(Control::Genesis(Genesis { created_ts, tool, keys, durability, imported })))
        }
        Some("recovery") => {
            only(object, &["evidence", "prev_hash", "removed_bytes", "removed_sha256"])?;
            let (removed_bytes, removed_sha256) = removed(object)?;
            let evidence = evidence(object, entry.seq, &removed_sha256)?;
            Ok(Some(Control::Recovery(Recovery {
                created_ts,
                tool,
                removed_bytes,
                removed_sha256,
                evidence,
            })))
        }
        Some(other) => Err(Fault::UnknownType(other.to_owned())),
        None => Err(Fault::Member { name: "type", expected: "a text" }),
    }
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
fn only(object: &Object, more: &[&str]) -> Result<(), Fault> {
    match object.iter().find(|(name, _)| !COMMON.contains(name) && !more.contains(name)) {
        Some((name, _)) => Err(Fault::UnknownMember(name.to_owned())),
        None => Ok(()),
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
pub(crate) fn evidence_name(seq: u64, sha256: &[u8; 32]) -> String {
    let (short, _) = sha256.split_at(4);
    format!("{EVIDENCE_PREFIX}{seq}-{}", hex::encode(short))
}

/// The entry number in the name of an evidence file.
pub(crate) fn parse_evidence_name(name: &str) -> Option<u64> {
    let (seq, short) = name.strip_prefix(EVIDENCE_PREFIX)?.split_once('-')?;
    hex::decode::<4>(short)?;
    // Digits only, as `evidence_name` writes them: no sign, no leading zero.
    let number: u64 = seq.parse().ok()?;
    (number.to_string() == seq).then_some(number)
}

fn payload(record_type: &str, created_ts: &str, tool: &str) -> Object {
    let mut object = Object::new();
    object.insert("created_ts", created_ts);
    object.insert("kind", CONTROL_KIND);
    object.insert("schema_version", SCHEMA_VERSION);
    object.insert("tool", tool);
    object.insert("type", record_type);
    object
}

pub(crate) fn genesis_payload(created_ts: &str, tool: &str, key: PublicKey) -> Object {
    let mut listed = Object::new();
    listed.insert("algorithm", ALGORITHM);
    listed.insert("public_key", key.to_hex());
    let mut object = payload("genesis", created_ts, tool);
    object.insert("durability", Durability::Sync.to_string());
    object.insert("keys", vec![Value::Object(listed)]);
    object
}

/// A genesis that continues an older ledger.
///
/// # Errors
///
/// When a number of `imported` is beyond what an entry may carry.
pub(crate) fn importing_genesis_payload(
    created_ts: &str,
    tool: &str,
    key: PublicKey,
    imported: &Imported,
) -> Result<Object, Fault> {
    let mut object = genesis_payload(created_ts, tool, key);
    object.insert("schema_version", IMPORT_SCHEMA_VERSION);
    object.insert("imported", imported.to_value()?);
    Ok(object)
}

/// Lets a genesis promise a class of durability.
pub(crate) fn promise(genesis: &mut Object, durability: Durability) {
    if durability != Durability::Sync {
        genesis.insert("schema_version", DURABILITY_SCHEMA_VERSION);
        genesis.insert("durability", durability.to_string());
    }
}

/// `seq` is the number that the torn entry would have had; `removed` are its bytes, of which there
/// are at most two lines, so that their number always fits.
pub(crate) fn recovery_payload(created_ts: &str, tool: &str, seq: u64, removed: &[u8]) -> Object {
    let sha256: [u8; 32] = Sha256::digest(removed).into();
    let mut object = payload("recovery", created_ts, tool);
    object.insert("evidence", evidence_name(seq, &sha256));
    object.insert("removed_bytes", u32::try_from(removed.len()).unwrap_or(u32::MAX));
    object.insert("removed_sha256", hex::encode(&sha256));
    object
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` with each part in its range. Days are not checked against months:
/// the time is a statement of the writer, not something that is computed with here.
fn is_timestamp(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    let part = |from: usize, to: usize| text.get(from..to).and_then(|d| d.parse::<u32>().ok());
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == *form,
        })
        && part(5, 7).is_some_and(|month| (1..=12).contains(&month))
        && part(8, 10).is_some_and(|day| (1..=31).contains(&day))
        && part(11, 13).is_some_and(|hour| hour < 24)
        && part(14, 16).is_some_and(|minute| minute < 60)
        // 60 is a leap second.
        && part(17, 19).is_some_and(|second| second <= 60)
}
