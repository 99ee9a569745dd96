//! The record that changes who may write: keys that join and keys that leave.
//!
//! It is signed by a key that may write before it, and every key that joins has signed a text of its
//! own at this very place of this ledger: nobody can put a stranger's key on the list.
//!
//! Out of scope: the list itself, and what a change does to it, which is `roster.rs`.

use super::control::{self, ascending, members, only, optional, reason};
use super::vocabulary::RotationReason;
use super::{ALGORITHM, Entry, Fault, Head, LedgerId, text};
use crate::canonical::{Number, Object, Value};
use crate::hex;
use crate::keys::PublicKey;

/// How many keys one record may add, and how many it may retire: a roster has at most so many.
pub(super) const MAX_CHANGES: usize = 64;

/// What the text begins with that a new key signs.
///
/// It ends without a newline, and neither a signed note (whose text ends with one) nor a line of a
/// ledger (which begins with a brace) can be such a text.
const POSSESSION: &str = "carbon-ops/key-possession/v1";

/// Keys that join and keys that leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// Keys that may sign from the next line on.
    pub added: Vec<AddedKey>,
    /// Keys that may sign no later line.
    pub retired: Vec<RetiredKey>,
    /// Why.
    pub reason: Option<RotationReason>,
}

/// A key that joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedKey {
    /// The key.
    pub public_key: PublicKey,
    /// Its signature of [`possession_text`].
    pub proof: [u8; 64],
}

/// A key that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredKey {
    /// The key.
    pub public_key: PublicKey,
    /// The number from which on entries by this key are suspect: somebody else may have made them.
    pub compromised_since: Option<u64>,
}

/// What a key signs to join the ledger by the line that follows `head` and is signed by `signer`:
///
/// ```text
/// carbon-ops/key-possession/v1
/// <ledger_id>
/// <seq>
/// <prev_hash>
/// <signing_key>
/// <the key that joins>
/// ```
///
/// six lines with newlines between them and none at the end.
#[must_use]
pub fn possession_text(
    ledger_id: LedgerId,
    head: &Head,
    signer: PublicKey,
    joins: PublicKey,
) -> String {
    let (seq, hash) = (head.seq.saturating_add(1), head.hash);
    format!("{POSSESSION}\n{ledger_id}\n{seq}\n{hash}\n{signer}\n{joins}")
}

impl KeyRotation {
    pub(super) fn read(entry: &Entry) -> Result<Self, Fault> {
        let object = &entry.object;
        only(object, &["added", "prev_hash", "reason", "retired"])?;
        let below = |a: &AddedKey, b: &AddedKey| a.public_key < b.public_key;
        let added = keys(object.get("added"), below, added)?;
        let below = |a: &RetiredKey, b: &RetiredKey| a.public_key < b.public_key;
        let retired = keys(object.get("retired"), below, |key| retired(key, entry.seq))?;
        if added.is_empty() && retired.is_empty() {
            return Err(Fault::Rotation("it changes nothing"));
        }
        let why =
            |_: &Value| reason(object, RotationReason::from_word, "a reason for changing keys");
        let reason = optional(object.get("reason"), why)?;
        let suspect = retired.iter().any(|key| key.compromised_since.is_some());
        if suspect && reason != Some(RotationReason::KeyCompromise) {
            return Err(Fault::Member {
                name: "reason",
                expected: "\"key_compromise\" where a key is compromised_since",
            });
        }
        Ok(Self { added, retired, reason })
    }

    /// Checks that every key that joins signed to do so here. `entry` is the line of this record.
    pub(crate) fn prove(&self, entry: &Entry) -> Result<(), Fault> {
        let before = entry.seq.checked_sub(1).zip(entry.prev_hash);
        let (seq, hash) = before.ok_or(Fault::NoGenesis)?;
        for AddedKey { public_key, proof } in &self.added {
            let head = Head { seq, hash };
            let text = possession_text(entry.ledger_id, &head, entry.signing_key, *public_key);
            if !public_key.verifies(text.as_bytes(), proof) {
                return Err(Fault::Rotation("an added key did not sign to be added here"));
            }
        }
        Ok(())
    }

    /// The members of this record's own.
    pub(crate) fn add_to(&self, object: &mut Object) {
        let mut added: Vec<_> = self.added.clone();
        added.sort_by_key(|key| key.public_key);
        let mut retired: Vec<_> = self.retired.clone();
        retired.sort_by_key(|key| key.public_key);
        object.insert("added", added.into_iter().map(AddedKey::to_value).collect::<Vec<_>>());
        object.insert("retired", retired.into_iter().map(RetiredKey::to_value).collect::<Vec<_>>());
        if let Some(reason) = self.reason {
            object.insert("reason", reason.as_str());
        }
    }
}

impl AddedKey {
    fn to_value(self) -> Value {
        let proof = base16ct::lower::encode_string(&self.proof);
        let key = self.public_key.to_hex();
        let algorithm = ("algorithm", ALGORITHM.into());
        control::object([algorithm, ("proof", proof.into()), ("public_key", key.into())]).into()
    }
}

impl RetiredKey {
    fn to_value(self) -> Value {
        let mut object = control::object([("public_key", self.public_key.to_hex().into())]);
        // Below the number of a line, which fits.
        if let Some(since) = self.compromised_since.and_then(|seq| Number::try_from(seq).ok()) {
            object.insert("compromised_since", since);
        }
        object.into()
    }
}

/// A list of keys in ascending order.
fn keys<K>(
    list: Option<&Value>,
    below: impl Fn(&K, &K) -> bool,
    read: impl Fn(&Object) -> Option<K>,
) -> Result<Vec<K>, Fault> {
    let items = list.and_then(Value::as_array).filter(|items| items.len() <= MAX_CHANGES);
    let keys = items.and_then(|items| ascending(items, below, |item| read(item.as_object()?)));
    keys.ok_or(Fault::Rotation("its keys are not lists of up to 64 keys in ascending order"))
}

fn added(item: &Object) -> Option<AddedKey> {
    members(item, &["algorithm", "proof", "public_key"]).ok()?;
    let public_key = PublicKey::from_hex(text(item, "public_key")?).ok()?;
    let proof = hex::decode(text(item, "proof")?)?;
    (text(item, "algorithm") == Some(ALGORITHM)).then_some(AddedKey { public_key, proof })
}

fn retired(item: &Object, seq: u64) -> Option<RetiredKey> {
    members(item, &["compromised_since", "public_key"]).ok()?;
    let public_key = PublicKey::from_hex(text(item, "public_key")?).ok()?;
    let compromised_since = match item.get("compromised_since") {
        None => None,
        Some(since) => Some(since.as_u64().filter(|since| *since < seq)?),
    };
    Some(RetiredKey { public_key, compromised_since })
}
