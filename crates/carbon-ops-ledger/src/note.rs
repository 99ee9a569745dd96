//! Signed notes: a text and signatures below it (C2SP signed-note v1.0.0).
//!
//! Only Ed25519 signatures (type 0x01) are made and checked; those of other keys and types are kept
//! and passed over, so that witnesses can add theirs. Left out: what the text says.

use std::fmt;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::keys::{PublicKey, Signer};

#[cfg(test)]
mod tests;

/// The longest note that is read. The specification asks for a limit and for at least 16
/// signatures, of up to 5 kB each.
pub const MAX_NOTE_BYTES: usize = 1 << 20;
/// The most signatures that are read; the specification asks for at least 16.
const MAX_SIGNATURES: usize = 100;
/// What a signature line begins with: em dash and space.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// The identifier of plain Ed25519 signatures.
const ED25519: u8 = 0x01;

/// Why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It does not have the form of a note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// A signature by a known key does not fit the text.
    #[error("the signature by {0} does not verify")]
    Signature(String),
    /// No known key signed it.
    #[error("no known key signed it")]
    Unsigned,
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// A text and its signatures, not yet checked.
///
/// ```
/// use carbon_ops_ledger::keys::SecretKey;
/// use carbon_ops_ledger::note::Note;
/// let key = SecretKey::from_seed(&[7; 32]);
/// let note = Note::sign("hello\n".into(), "example.com/log", &key).unwrap();
/// let read = Note::parse(note.to_string().as_bytes()).unwrap();
/// assert_eq!(read.verify("example.com/log", &[key.public_key()]), Ok(key.public_key()));
/// assert!(read.verify("example.com/other", &[key.public_key()]).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text, which must end with a newline and hold no other control character. `name` is
    /// the key's name: not empty, without white space and plus signs.
    ///
    /// # Errors
    ///
    /// When the signer does not sign, or its signature is wrong.
    pub fn sign(text: String, name: &str, signer: &dyn Signer) -> Result<Self> {
        let key = signer.public_key();
        let signature = signer.sign(text.as_bytes())?;
        if !key.verifies(text.as_bytes(), &signature) {
            let reason = "its signature does not verify with its public key".to_owned();
            return Err(crate::Error::Signer { reason });
        }
        let (name, key_id) = (name.to_owned(), key_id(name, key));
        let signature = signature.to_vec();
        Ok(Self { text, signatures: vec![NoteSignature { name, key_id, signature }] })
    }

    /// Reads a note, strictly: what is accepted is printed as the same bytes.
    ///
    /// # Errors
    ///
    /// [`NoteError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let refuse = |reason| Err(NoteError::Form(reason));
        if bytes.len() > MAX_NOTE_BYTES {
            return refuse("it is too long");
        }
        let Ok(note) = str::from_utf8(bytes) else { return refuse("it is not UTF-8") };
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return refuse("it contains a control character");
        }
        let Some(blank) = note.rfind("\n\n") else { return refuse("it has no blank line") };
        let (text, signatures) = (note.get(..=blank), note.get(blank + 2..));
        let (Some(text), Some(signatures)) = (text, signatures) else {
            return refuse("it has no blank line");
        };
        let Some(lines) = signatures.strip_suffix('\n') else {
            return refuse("its last line has no newline");
        };
        let lines: Vec<&str> = lines.split('\n').collect();
        if lines.len() > MAX_SIGNATURES {
            return refuse("it has too many signatures");
        }
        let signatures: Option<Vec<_>> = lines.into_iter().map(NoteSignature::parse).collect();
        match signatures {
            Some(signatures) => Ok(Self { text: text.to_owned(), signatures }),
            None => refuse("a signature line is malformed"),
        }
    }

    /// The text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first of `keys`, all of the name `name`, that signed the text. Signatures of others are
    /// passed over.
    ///
    /// # Errors
    ///
    /// When none did, and when any of them has a signature here that does not fit.
    pub fn verify(&self, name: &str, keys: &[PublicKey]) -> Result<PublicKey, NoteError> {
        let mut signer = None;
        for signature in self.signatures.iter().filter(|signature| signature.name == name) {
            // Two known keys with one id are possible, if only on purpose.
            let mut known =
                keys.iter().filter(|key| key_id(name, **key) == signature.key_id).peekable();
            if known.peek().is_none() {
                continue;
            }
            let bytes: Option<[u8; 64]> = signature.signature[..].try_into().ok();
            let fits = |key: &&PublicKey| {
                bytes.is_some_and(|bytes| key.verifies(self.text.as_bytes(), &bytes))
            };
            let Some(key) = known.find(fits) else {
                return Err(NoteError::Signature(name.to_owned()));
            };
            signer = signer.or(Some(*key));
        }
        signer.ok_or(NoteError::Unsigned)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, key_id, signature } in &self.signatures {
            let bytes = [&key_id[..], signature].concat();
            writeln!(f, "{SIGNATURE_MARK}{name} {}", Base64::encode_string(&bytes))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return None;
        }
        let bytes = Base64::decode_vec(base64).ok()?;
        // One spelling for all bytes: no stray bits in the last character.
        if Base64::encode_string(&bytes) != base64 {
            return None;
        }
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

/// The short name of a key: the first bytes of a hash over its name, its type and itself.
fn key_id(name: &str, key: PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([ED25519])
        .chain_update(key.to_bytes())
        .finalize();
    let hash: [u8; 32] = hash.into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}
