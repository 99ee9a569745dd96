//! Signed notes: a text and signatures below it (C2SP signed-note v1.0.0).
//!
//! Only Ed25519 signatures (type 0x01) are made and checked here; those of other keys and types are
//! kept and passed over, so that witnesses can add theirs (`cosignature.rs`).
//!
//! Out of scope: what the text says.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::hex;
use crate::keys::{PublicKey, Signer, sign_verifiably};

#[cfg(test)]
mod tests;

/// The longest note that is read. The specification asks for a limit and for at least 16
/// signatures, of up to 5 kB each.
pub const MAX_NOTE_BYTES: usize = 1 << 20;
/// The most signatures that are read; the specification asks for at least 16.
const MAX_SIGNATURES: usize = 100;
/// What a signature line begins with: em dash and space.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// The longest text of a verifier key that is read: a name as long as an origin may be, and some more.
const MAX_VERIFIER_KEY_BYTES: usize = 1024;

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

/// A signature line, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    pub(crate) name: String,
    pub(crate) key_id: [u8; 4],
    pub(crate) signature: Vec<u8>,
}

/// What the signatures of a key are (C2SP signed-note, "Signature types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Ed25519 over the text, type 0x01: how a log signs.
    Ed25519,
    /// Ed25519 over the text and a time, type 0x04: how a witness signs (C2SP tlog-cosignature).
    Cosignature,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A key with the name that it signs under: `name+hash+base64`, as logs and witnesses publish it.
///
/// ```
/// use carbon_ops_proof::note::{KeyKind, VerifierKey};
/// // The key of the tests of Go's package `golang.org/x/mod/sumdb/note`.
/// let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: VerifierKey = text.parse().unwrap();
/// assert_eq!((key.name(), key.kind()), ("PeterNeumann", KeyKind::Ed25519));
/// assert_eq!(key.to_string(), text);
/// assert!(text.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: PublicKey,
}

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierKeyError {
    /// It does not have the form `name+hash+base64`.
    #[error("a verifier key is a name, 8 hexadecimal digits and base64, with a plus sign between")]
    Form,
    /// Its hash is not that of its name and key.
    #[error("its hash is not that of its name and key")]
    Hash,
    /// Signatures of a kind that this version does not check, such as ML-DSA-44.
    #[error("signatures of type 0x{0:02x} are not supported; only Ed25519 is, types 0x01 and 0x04")]
    Kind(u8),
    /// The bytes are no Ed25519 key that is accepted.
    #[error("its bytes are not an Ed25519 public key")]
    Key,
}

impl VerifierKey {
    /// Names a key; none when the name is empty or has white space, control characters or a plus sign.
    #[must_use]
    pub fn new(name: &str, kind: KeyKind, key: PublicKey) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), kind, key })
    }

    /// The name that it signs under; of a log its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    pub(crate) fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind, self.key)
    }

    /// Whether a signature line says that it is by this key.
    pub fn claims(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.key_id == self.key_id()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()][..], &self.key.to_bytes()].concat();
        let (name, hash) = (&self.name, base16ct::lower::encode_string(&self.key_id()));
        write!(f, "{name}+{hash}+{}", Base64::encode_string(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        if text.len() > MAX_VERIFIER_KEY_BYTES {
            return Err(VerifierKeyError::Form);
        }
        // Base64 has plus signs too; names and hashes have none.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(base64)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifierKeyError::Form);
        };
        let hash: [u8; 4] = hex::decode(hash).ok_or(VerifierKeyError::Form)?;
        let bytes = Base64::decode_vec(base64).map_err(|_| VerifierKeyError::Form)?;
        if Base64::encode_string(&bytes) != base64 || !is_key_name(name) {
            return Err(VerifierKeyError::Form);
        }
        let kind = match bytes.first() {
            Some(0x01) => KeyKind::Ed25519,
            Some(0x04) => KeyKind::Cosignature,
            Some(other) => return Err(VerifierKeyError::Kind(*other)),
            None => return Err(VerifierKeyError::Form),
        };
        let raw = bytes.get(1..).and_then(|raw| raw.try_into().ok());
        let key = raw.and_then(|raw| PublicKey::from_bytes(raw).ok());
        let key = Self { name: name.to_owned(), kind, key: key.ok_or(VerifierKeyError::Key)? };
        if key.key_id() == hash { Ok(key) } else { Err(VerifierKeyError::Hash) }
    }
}

/// A text and its signatures, not yet checked.
///
/// ```
/// use carbon_ops_proof::keys::SecretKey;
/// use carbon_ops_proof::note::Note;
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
        let signature = sign_verifiably(signer, text.as_bytes())?;
        let (name, key_id) = (name.to_owned(), key_id(name, KeyKind::Ed25519, key));
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
        Ok(Self { text: text.to_owned(), signatures: NoteSignature::parse_lines(signatures)? })
    }

    /// The signature lines, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature. One by the same key, which had another time, is replaced. The caller has
    /// checked it.
    ///
    /// # Errors
    ///
    /// [`NoteError::Form`] when the note has as many signatures as one may have.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same = |old: &&mut NoteSignature| {
            (&old.name, old.key_id) == (&signature.name, signature.key_id)
        };
        if let Some(old) = self.signatures.iter_mut().find(same) {
            *old = signature;
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::Form("it has too many signatures"));
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// The text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The note with some of its signatures alone.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&NoteSignature) -> bool) -> Self {
        let signatures = self.signatures.iter().filter(|line| keep(line)).cloned().collect();
        Self { text: self.text.clone(), signatures }
    }

    /// The first of `keys`, all of the name `name`, that signed the text. Signatures of others are
    /// passed over.
    ///
    /// # Errors
    ///
    /// When none did, and when any of them has a signature here that does not fit.
    pub fn verify(&self, name: &str, keys: &[PublicKey]) -> Result<PublicKey, NoteError> {
        let by = |name, key| key_id(name, KeyKind::Ed25519, key);
        let mut signer = None;
        for signature in self.signatures.iter().filter(|signature| signature.name == name) {
            // Two known keys with one id are possible, if only on purpose.
            let mut known =
                keys.iter().filter(|key| by(name, **key) == signature.key_id).peekable();
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
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

/// The line, with its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        writeln!(f, "{SIGNATURE_MARK}{} {}", self.name, Base64::encode_string(&bytes))
    }
}

impl NoteSignature {
    /// Reads signature lines, at least one, each with its newline: what stands below a text, or what
    /// a witness answers.
    ///
    /// # Errors
    ///
    /// [`NoteError::Form`].
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        let refuse = |reason| Err(NoteError::Form(reason));
        let Some(lines) = lines.strip_suffix('\n') else {
            return refuse("its last line has no newline");
        };
        let lines: Vec<&str> = lines.split('\n').collect();
        if lines.len() > MAX_SIGNATURES {
            return refuse("it has too many signatures");
        }
        let signatures: Option<Vec<_>> = lines.into_iter().map(Self::parse).collect();
        signatures.ok_or(NoteError::Form("a signature line is malformed"))
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
        if !is_key_name(name) {
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

/// Whether a key may have this name.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c < ' ')
}

/// The short name of a key: the first bytes of a hash over its name, its type and itself.
fn key_id(name: &str, kind: KeyKind, key: PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([kind.byte()])
        .chain_update(key.to_bytes())
        .finalize();
    let hash: [u8; 32] = hash.into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}
