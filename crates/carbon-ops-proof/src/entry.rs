//! One line of a ledger: its members, its signed bytes, its hash, and the records that the ledger
//! writes about itself.
//!
//! A line is the canonical form of one object and a newline. Of its members six belong to the
//! ledger, the rest is the payload.
//!
//! Out of scope: what a payload means (the record layer knows), files, and the order of lines
//! beyond one entry following another.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::canonical::{
    self, NumberOutOfRange, Object, ParseError, Value, canonical_object, check_object_numbers,
};
use crate::error::{Error, Result};
use crate::hex;
use crate::keys::{PublicKey, Signer, sign_verifiably};

mod control;
mod correction;
mod durability;
mod form;
mod imported;
mod members;
mod rotation;
mod silence;
mod template;
#[cfg(test)]
mod tests;
mod time;
mod vocabulary;

pub use control::{
    Control, Genesis, Recovery, evidence_name, genesis_payload, parse_evidence_name,
    recovery_payload,
};
pub use correction::{Change, Correction, Outcome, Period, Restatement, Scope, Totals};
pub use durability::Durability;
pub use imported::{IMPORTED_FORMAT, Imported};
pub use members::Payload;
pub(crate) use members::{Members, read_record};
pub use rotation::{AddedKey, KeyRotation, RetiredKey, possession_text};
pub use silence::{Gap, Heartbeat};
pub use template::{Place, SIGNATURE_BYTES, SigningKey, Template};
use time::time;
pub(crate) use time::time_text;
pub use vocabulary::{CorrectionReason, GapReason, RestatementReason, RotationReason};

/// The most bytes that a line may have without its newline: tlog-tiles stores entries with a 16-bit
/// length (C2SP tlog-tiles v0.1.0, "Log entries"), and so a ledger can be served as such one day.
pub const MAX_LINE_BYTES: usize = 65_535;

/// Names of members that a payload may not use.
pub const RESERVED_MEMBERS: [&str; 6] =
    ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"];

/// The members that are not part of the signed bytes.
const SIGNATURE_MEMBERS: [&str; 3] = ["signature", "signature_algorithm", "signing_key"];

/// The only value of `signature_algorithm`.
pub const ALGORITHM: &str = "ed25519";

/// The `kind` of the ledger's own records.
pub(crate) const CONTROL_KIND: &str = "ledger";

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

/// The key that a text of 64 hexadecimal digits stands for.
pub(crate) type KeyOf<'k> = dyn FnMut(&str) -> Option<PublicKey> + 'k;

/// The end of a chain: what the next entry has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The `seq` of the last entry.
    pub seq: u64,
    /// The hash of the last entry.
    pub hash: EntryHash,
}

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
        control::read(self)
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

fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    object.get(name).and_then(Value::as_str)
}

fn hex_member<const N: usize>(
    object: &Object,
    name: &'static str,
    expected: &'static str,
) -> Result<[u8; N], Fault> {
    text(object, name).and_then(hex::decode).ok_or(Fault::Member { name, expected })
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

/// Checks what a caller wants to append, before anything else is done for it.
///
/// # Errors
///
/// When the payload uses a member or the `kind` of the ledger's own, or holds a number that an
/// entry may not carry.
pub fn check_payload(payload: &Object) -> Result<(), Fault> {
    if let Some(name) = RESERVED_MEMBERS.into_iter().find(|name| payload.contains(name)) {
        return Err(Fault::ReservedMember(name));
    }
    if text(payload, "kind") == Some(CONTROL_KIND) {
        return Err(Fault::ReservedKind);
    }
    check_object_numbers(payload).map_err(Fault::Number)
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
