//! One line of version 0.1: its members, its signature, its hash.
//!
//! Out of scope: the order of lines.

use carbon_ops_proof::canonical::{ParseError, Reason};
use carbon_ops_proof::entry::EntryHash;
use carbon_ops_proof::keys::{PublicKey, Signer, sign_verifiably};

use super::python::{Form, dumps};
use super::value::{self, Members, Oddity, Value};
use crate::error::{Error, Result};
use crate::legacy_fault::{Fault, MAX_DIGITS, MAX_LINE_BYTES};

/// What a verification of this format cannot show, for people.
pub const LIMITS: [&str; 3] = [
    "lines cut cleanly off the end: the rest is a valid, shorter ledger",
    "a beginning cut off before a record without prev_hash, which looks like a first one",
    "which ledger a record was made for: records carry no name of their ledger",
];

/// The members that are not signed.
const SIGNATURE_MEMBERS: [&str; 3] = ["signature", "signing_key", "signature_algorithm"];

/// The member that links a record to the one before.
pub(super) const PREV_HASH: &str = "prev_hash";

/// The only value of `signature_algorithm`.
pub(super) const ALGORITHM: &str = "ed25519";

/// The payload of a record of version 0.1, to be signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(Members);

/// A record in the form of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signed {
    /// The line with its newline.
    pub line: Vec<u8>,
    /// What the next record carries as `prev_hash`.
    pub hash: EntryHash,
}

impl Record {
    /// Takes a payload from JSON. The order of members is kept, and so are integers of any size
    /// and whether a number is written as an integer or a double.
    ///
    /// # Errors
    ///
    /// [`Error::LegacyRecord`] when it is no JSON object, or one that this program would find
    /// fault with when reading it, or that Python would not read: a name twice, a number that is
    /// not finite, an integer of more than 4300 digits. When it has
    /// one of the ledger's own members, [`Error::InvalidEntry`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let (value, oddities) =
            value::parse(json).map_err(|e| Error::LegacyRecord(Fault::Json(e)))?;
        let Value::Object(members) = value else {
            return Err(Error::LegacyRecord(Fault::NotAnObject));
        };
        if let Some(oddity) = oddities.into_iter().next() {
            return Err(Error::LegacyRecord(oddity.into()));
        }
        if members.iter().any(|(_, value)| has_huge_integer(value)) {
            return Err(Error::LegacyRecord(Fault::HugeInteger));
        }
        let own = SIGNATURE_MEMBERS.into_iter().chain([PREV_HASH]);
        for name in own {
            if members.iter().any(|(member, _)| member == name) {
                return Err(Error::InvalidEntry(carbon_ops_proof::entry::Fault::ReservedMember(
                    name,
                )));
            }
        }
        Ok(Self(members))
    }

    /// Signs the payload as the record after one with the hash `prev`; as the first for none.
    ///
    /// # Errors
    ///
    /// [`Error::Proof`] when the signer does not sign or its signature does not verify, and
    /// [`Error::LegacyRecord`] when the line would be longer than [`MAX_LINE_BYTES`].
    pub fn sign(&self, prev: Option<&EntryHash>, signer: &dyn Signer) -> Result<Signed> {
        let mut members = self.0.clone();
        if let Some(prev) = prev {
            members.push((PREV_HASH.to_owned(), Value::String(prev.to_string())));
        }
        let message = dumps(&members, &[], Form::Signed);
        let hash = hash(&members);
        let signature = sign_verifiably(signer, &message)?;
        let key = signer.public_key();
        let own = [base16ct::lower::encode_string(&signature), key.to_hex(), ALGORITHM.to_owned()];
        for (name, text) in SIGNATURE_MEMBERS.into_iter().zip(own) {
            members.push((name.to_owned(), Value::String(text)));
        }
        let mut line = dumps(&members, &[], Form::Line);
        if line.len() > MAX_LINE_BYTES {
            return Err(Error::LegacyRecord(Fault::TooLong));
        }
        line.push(b'\n');
        Ok(Signed { line, hash })
    }
}

impl From<Oddity> for Fault {
    fn from(oddity: Oddity) -> Self {
        match oddity {
            Oddity::Duplicate(name) => Self::DuplicateMember(name),
            Oddity::NonFinite => Self::NonFinite,
        }
    }
}

/// Whether Python would refuse to read an integer in a value.
fn has_huge_integer(value: &Value) -> bool {
    match value {
        Value::Integer(digits) => digits.trim_start_matches('-').len() > MAX_DIGITS,
        Value::Array(items) => items.iter().any(has_huge_integer),
        Value::Object(members) => members.iter().any(|(_, value)| has_huge_integer(value)),
        _ => false,
    }
}

/// What the record after this one carries as `prev_hash`.
fn hash(members: &Members) -> EntryHash {
    use sha2::{Digest as _, Sha256};
    EntryHash(Sha256::digest(dumps(members, &SIGNATURE_MEMBERS, Form::Hashed)).into())
}

/// A line that has the form of a record, and what of it a strict reader refuses.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) members: Members,
    /// Faults that Python lets pass, of which the signature does not tell.
    pub(super) lax: Vec<Fault>,
    pub(super) signature: [u8; 64],
    /// What the signature is over.
    pub(super) message: Vec<u8>,
}

impl Line {
    /// Reads a line without its newline; it is not blank.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut lax = Vec::new();
        let stripped = strip(bytes);
        if stripped.len() < bytes.len() {
            lax.push(Fault::SurroundingSpace);
        }
        if let Some(offset) = stripped.iter().position(|byte| *byte == b'\r') {
            // Python opens the file as text and ends a line here.
            let reason = Reason::UnexpectedByte(b'\r');
            return Err(Fault::Json(ParseError { offset, reason }));
        }
        let (value, oddities) = value::parse(stripped).map_err(Fault::Json)?;
        let Value::Object(members) = value else { return Err(Fault::NotAnObject) };
        let spelt = dumps(&members, &[], Form::Line) == stripped;
        if !spelt && !oddities.iter().any(|oddity| matches!(oddity, Oddity::Duplicate(_))) {
            lax.push(Fault::Respelled);
        }
        lax.extend(oddities.into_iter().map(Fault::from));
        let signature = text(&members, "signature").ok_or(Fault::SignatureForm)?;
        let lower = signature.to_ascii_lowercase();
        if lower != signature {
            lax.push(Fault::SignatureCase);
        }
        let mut signature = [0; 64];
        let read =
            base16ct::lower::decode(&lower, &mut signature).map_err(|_| Fault::SignatureForm)?;
        if read.len() < 64 {
            return Err(Fault::SignatureForm);
        }
        let message = dumps(&members, &SIGNATURE_MEMBERS, Form::Signed);
        Ok(Self { members, lax, signature, message })
    }

    pub(super) fn verifies(&self, key: PublicKey) -> bool {
        key.verifies(&self.message, &self.signature)
    }

    /// The key that the line names, if it is a key. Nobody signed that it is.
    pub(super) fn named_key(&self) -> Option<PublicKey> {
        PublicKey::from_hex(text(&self.members, "signing_key")?).ok()
    }

    pub(super) fn hash(&self) -> EntryHash {
        hash(&self.members)
    }
}

pub(super) fn member<'m>(members: &'m Members, name: &str) -> Option<&'m Value> {
    members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
}

pub(super) fn text<'m>(members: &'m Members, name: &str) -> Option<&'m str> {
    match member(members, name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// As Python's `str.strip`, which takes four control characters for space too (CPython 3.12,
/// `Objects/unicodetype_db.h`, `_PyUnicode_IsWhitespace`). What is no UTF-8 is left as it is.
pub(super) fn strip(bytes: &[u8]) -> &[u8] {
    let is_space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    std::str::from_utf8(bytes).map_or(bytes, |text| text.trim_matches(is_space).as_bytes())
}
