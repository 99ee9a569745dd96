//! Ed25519 keys (RFC 8032): signing, strict verification, and lists of trusted keys.
//!
//! Verification is always strict, one signature at a time: the cofactorless equation, with
//! canonical encodings and without points of small order, so that one signature has one verdict.
//! Out of scope: batch verification by random weights (its verdict can differ and names no line), key files,
//! and randomness: seeds are passed in.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};

use crate::error::{Error, Result};

mod multiples;
mod public;
#[cfg(test)]
mod tests;
mod trust;

pub use public::PublicKey;
pub use trust::{Trust, TrustedKey};

/// Something that signs: a [`SecretKey`], or what a program brings: a hardware module, an agent.
///
/// The ledger asks for one signature per entry, one per checkpoint, and one per key that joins (the text
/// of [`possession_text`](crate::entry::possession_text)); what is signed is the whole message, plain
/// Ed25519 without prehashing. It may take as long as it takes: the lock is held meanwhile. A module
/// that cannot hand out its public key cannot be used.
pub trait Signer: Send + Sync {
    /// The key that the signatures verify with.
    fn public_key(&self) -> PublicKey;

    /// An Ed25519 signature of `message`.
    ///
    /// # Errors
    ///
    /// [`Error::Signer`] when the signer cannot or will not sign. What is returned is verified
    /// before it is written, so a faulty signer cannot damage a ledger.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;

    /// Whether signing is a computation in this process, so that a writer of many entries may verify
    /// a sample of the signatures instead of each. Never for a device or another program.
    fn signs_here(&self) -> bool {
        false
    }

    /// Who signs in the place of this one, once a ledger has retired its key. A writer that lives on
    /// asks for it, without holding the lock, so that
    /// this may wait for a change of keys that is under way. None, or one with the same key, ends that
    /// writer.
    fn successor(&self) -> Option<Arc<dyn Signer>> {
        None
    }
}

/// A signature that verifies: a signer that signs badly has not signed.
///
/// # Errors
///
/// [`Error::Signer`].
pub fn sign_verifiably(signer: &dyn Signer, message: &[u8]) -> Result<[u8; 64]> {
    let signature = signer.sign(message)?;
    if signer.public_key().verifies(message, &signature) {
        return Ok(signature);
    }
    Err(Error::Signer { reason: "its signature does not verify with its public key".to_owned() })
}

/// A key that signs. Its memory is wiped on drop, and nothing prints it but [`SecretKey::to_pem`].
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// Makes the key of 32 secret random bytes, which the caller draws.
    ///
    /// ```
    /// use carbon_ops_proof::keys::SecretKey;
    /// let key = SecretKey::from_seed(&[0; 32]);
    /// assert_eq!(
    ///     key.public_key().to_hex(),
    ///     "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    /// );
    /// ```
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM text, with or without the public key in it (RFC 5958, RFC 8410).
    ///
    /// # Errors
    ///
    /// When the text is no such key.
    ///
    /// ```
    /// use carbon_ops_proof::keys::SecretKey;
    /// let key = SecretKey::from_seed(&[7; 32]);
    /// let pem = key.to_pem().unwrap();
    /// assert_eq!(SecretKey::from_pem(pem.as_str()).unwrap().public_key(), key.public_key());
    /// assert!(!format!("{key:?}{pem:?}").contains("0707"));
    /// ```
    pub fn from_pem(pem: &str) -> Result<Self> {
        // Nothing of the text goes into the message: it may be most of a secret.
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| Error::InvalidKey {
            reason: "not a PKCS#8 PEM private key for Ed25519".to_owned(),
        })
    }

    /// The PKCS#8 PEM text, in version 1 of the format (without the public key), which every
    /// OpenSSL since 1.1.1 reads; older ones refuse version 2.
    ///
    /// # Errors
    ///
    /// When the encoder fails, which needs a length beyond its limits and so does not happen.
    pub fn to_pem(&self) -> Result<SecretPem> {
        let bytes = seed_alone(&self.0);
        bytes
            .to_pkcs8_pem(LineEnding::LF)
            .map(SecretPem)
            .map_err(|e| Error::InvalidKey { reason: format!("cannot be encoded: {e}") })
    }

    /// The key that this key's signatures verify with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

/// The seed alone, for version 1 of PKCS#8.
fn seed_alone(key: &ed25519_dalek::SigningKey) -> ed25519_dalek::ed25519::pkcs8::KeypairBytes {
    ed25519_dalek::ed25519::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        SecretKey::public_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(self.0.sign(message).to_bytes())
    }

    fn signs_here(&self) -> bool {
        true
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public_key())
    }
}

/// A secret key as text: wiped on drop, not printed by `{:?}`.
pub struct SecretPem(Zeroizing<String>);

impl SecretPem {
    /// The PEM text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPem(..)")
    }
}
