//! One line of a ledger: its members, its signed bytes, its hash, and the records that the ledger
//! writes about itself.
//!
//! A line is the canonical form of one object and a newline. Of its members six belong to the
//! ledger, the rest is the payload.
//!
//! Out of scope: what a payload means (the record layer knows), files, and the order of lines
//! beyond one entry following another.

use sha2::{Digest, Sha256};

use crate::canonical::{self, Object, Value, canonical_object, check_object_numbers};
use crate::error::{Error, Result};
use crate::keys::{PublicKey, Signer, sign_verifiably};

mod continued;
mod control;
mod correction;
mod durability;
mod form;
mod imported;
mod layout;
mod members;
mod rotation;
mod silence;
mod template;
#[cfg(test)]
mod tests;
mod time;
mod vocabulary;

pub use crate::fault::Fault;
pub use crate::ids::{EntryHash, Head, LedgerId, MAX_LINE_BYTES};
pub use continued::Continued;
pub use control::{
    Before, Control, Genesis, Recovery, evidence_name, genesis_payload, parse_evidence_name,
    recovery_payload,
};
pub use correction::{Change, Correction, Outcome, Period, Restatement, Scope, Totals};
pub use durability::Durability;
pub use imported::{IMPORTED_FORMAT, Imported};
pub use layout::{ALGORITHM, RESERVED_MEMBERS, check_payload};
pub(crate) use layout::{KeyOf, OWN};
use layout::{SIGNATURE_MEMBERS, hex_member, text};
pub use members::Payload;
pub(crate) use members::{Members, Unverified};
pub use rotation::{AddedKey, KeyRotation, RetiredKey, possession_text};
pub use silence::{Gap, Heartbeat};
pub use template::{Place, SIGNATURE_BYTES, SigningKey, Template};
pub use time::{time, time_text};
pub use vocabulary::{
    ContinuationReason, CorrectionReason, GapReason, RestatementReason, RotationReason,
};

/// A line that has the form of an entry. Its signature has been read but says nothing until
/// [`Entry::authenticate`] has been asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    object: Object,
    seq: u64,
    ledger_id: LedgerId,
    prev_hash: Option<EntryHash>,
    signing_key: PublicKey,
    signature: [u8; 64],
    signed_bytes: Vec<u8>,
}

impl Entry {
    /// Reads a line, without its newline.
    ///
    /// # Errors
    ///
    /// When it is not the canonical form of an object with the members of an entry. For the
    /// ledger's own records that includes all their members.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        Self::parse_with(line, &mut |key| PublicKey::from_hex(key).ok())
    }

    /// As [`Entry::parse`], with the caller's way from the text of a key to the key: who reads many
    /// lines by few keys need not decompress each key again.
    pub fn parse_with(line: &[u8], key_of: &mut KeyOf<'_>) -> Result<Self, Fault> {
        if line.is_empty() {
            return Err(Fault::EmptyLine);
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Fault::TooLong);
        }
        if line.contains(&0) {
            return Err(Fault::NulByte);
        }
        if line.ends_with(b"\r") {
            return Err(Fault::CarriageReturn);
        }
        let Some((object, outline)) = canonical_object(line) else {
            // The thorough reader says what is wrong.
            return Err(match canonical::parse_canonical(line) {
                Err(error) => Fault::Json(error),
                Ok(_) => Fault::NotAnObject,
            });
        };
        if outline.number_out_of_range {
            check_object_numbers(&object).map_err(Fault::Number)?;
        }
        let signed_bytes = Members::of(&outline).without(&SIGNATURE_MEMBERS).into_bytes();
        Self::from_object(object, signed_bytes, key_of)
    }

    fn from_object(
        object: Object,
        signed_bytes: Vec<u8>,
        key_of: &mut KeyOf<'_>,
    ) -> Result<Self, Fault> {
        if text(&object, "signature_algorithm") != Some(ALGORITHM) {
            return Err(Fault::Member { name: "signature_algorithm", expected: "\"ed25519\"" });
        }
        let signing_key = text(&object, "signing_key").and_then(key_of).ok_or(Fault::Member {
            name: "signing_key",
            expected: "an Ed25519 key, 64 hex digits",
        })?;
        let seq = object
            .get("seq")
            .and_then(Value::as_u64)
            .ok_or(Fault::Member { name: "seq", expected: "a non-negative integer" })?;
        let entry = Self {
            seq,
            ledger_id: LedgerId(hex_member(&object, "ledger_id", "32 lower-case hex digits")?),
            prev_hash: prev_hash(&object, seq)?,
            signing_key,
            signature: hex_member(&object, "signature", "128 lower-case hex digits")?,
            signed_bytes,
            object,
        };
        // Only here is a control record's form known to be checked, so nobody can forget it.
        match (entry.control()?, seq) {
            (Some(Control::Genesis(_)), 0) => Ok(entry),
            (Some(Control::Genesis(_)), _) => Err(Fault::LateGenesis),
            (_, 0) => Err(Fault::NoGenesis),
            _ => Ok(entry),
        }
    }

    /// All members, the ledger's and the payload's.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The entry's number; the genesis has 0.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The ledger that the entry was made for.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.ledger_id
    }

    /// The hash that the entry names as that of the one before; none in a genesis.
    pub(crate) fn prev_hash(&self) -> Option<EntryHash> {
        self.prev_hash
    }

    /// What the entry says that it follows.
    fn after(&self) -> Result<Head, Fault> {
        let before = self.seq.checked_sub(1).zip(self.prev_hash);
        before.map(|(seq, hash)| Head { seq, hash }).ok_or(Fault::NoGenesis)
    }

    /// Checks that the keys that this entry lets join signed to do so here.
    pub(crate) fn proves(&self, rotation: &KeyRotation) -> Result<(), Fault> {
        rotation.prove(self.ledger_id, &self.after()?, self.signing_key)
    }

    /// When the entry was made, as its writer says: `created_ts`, or the end of what it records,
    /// `end_ts`; none when it says neither, in the form of this ledger.
    pub(crate) fn noted_at(&self) -> Option<jiff::Timestamp> {
        let said = |name| text(&self.object, name).and_then(time);
        said("created_ts").or_else(|| said("end_ts"))
    }

    /// The key that the entry says it was signed with.
    #[must_use]
    pub fn signing_key(&self) -> PublicKey {
        self.signing_key
    }

    /// What the signature is over: the canonical form without the three signature members.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed_bytes
    }

    /// SHA-256 of the signed bytes.
    #[must_use]
    pub fn hash(&self) -> EntryHash {
        EntryHash(Sha256::digest(&self.signed_bytes).into())
    }

    /// The head of a chain that ends with this entry.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash() }
    }

    /// The entry as one of the ledger's own records; none for a payload of somebody else's.
    ///
    /// # Errors
    ///
    /// Never for an entry that was read with [`Entry::parse`].
    pub fn control(&self) -> Result<Option<Control>, Fault> {
        control::read(&self.object, self.seq, self.signing_key)
    }

    /// Checks that the signature fits the bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::Signature`].
    pub fn verify_signature(&self) -> Result<(), Fault> {
        if self.signing_key.verifies(&self.signed_bytes, &self.signature) {
            Ok(())
        } else {
            Err(Fault::Signature)
        }
    }

    /// Checks that the key that the entry names signed it, for this ledger. Whether that key may,
    /// [`Roster::permits`](crate::roster::Roster::permits) says.
    ///
    /// # Errors
    ///
    /// [`Fault::Signature`] or [`Fault::OtherLedger`].
    pub fn authenticate(&self, ledger_id: LedgerId) -> Result<(), Fault> {
        self.verify_signature()?;
        if self.ledger_id != ledger_id {
            return Err(Fault::OtherLedger(self.ledger_id));
        }
        Ok(())
    }

    /// Checks that this entry continues a chain.
    ///
    /// # Errors
    ///
    /// [`Fault::Seq`] or [`Fault::PrevHash`].
    pub fn follows(&self, head: &Head) -> Result<(), Fault> {
        let expected = head.seq + 1;
        if self.seq != expected {
            return Err(Fault::Seq { expected, found: self.seq });
        }
        self.has_prev_hash(head.hash)
    }

    /// Checks the hash of the entry before.
    pub(crate) fn has_prev_hash(&self, hash: EntryHash) -> Result<(), Fault> {
        if self.prev_hash == Some(hash) { Ok(()) } else { Err(Fault::PrevHash) }
    }
}

/// Absent in the genesis, present everywhere else.
fn prev_hash(object: &Object, seq: u64) -> Result<Option<EntryHash>, Fault> {
    if seq == 0 {
        if object.contains("prev_hash") {
            return Err(Fault::Member { name: "prev_hash", expected: "absent in the genesis" });
        }
        return Ok(None);
    }
    hex_member(object, "prev_hash", "64 lower-case hex digits").map(|h| Some(EntryHash(h)))
}

/// Makes the line, without newline, of an entry that follows `head`; of a genesis for none.
///
/// # Errors
///
/// When the signer fails, or what it would make is no entry.
pub fn sign(
    payload: &Object,
    ledger_id: LedgerId,
    head: Option<&Head>,
    signer: &dyn Signer,
) -> Result<(Entry, Vec<u8>)> {
    let (template, place) = (Template::new(payload), Place { ledger_id, after: head.copied() });
    let (signed_bytes, _) = template.signed_bytes(&place);
    let signature = sign_verifiably(signer, &signed_bytes)?;
    let mut line = Vec::with_capacity(signed_bytes.len() + SIGNATURE_BYTES);
    template.line(&mut line, &place, &SigningKey::new(signer.public_key()), &signature);
    // Checked on write as on every read: what we would not accept must not get into the file.
    let entry = Entry::parse(&line).map_err(Error::InvalidEntry)?;
    Ok((entry, line))
}
