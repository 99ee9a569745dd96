//! Keys under a passphrase: PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958) with PBES2 (RFC 8018), scrypt and
//! AES-256 in CBC mode, which OpenSSL reads and writes.
//!
//! Out of scope: asking for a passphrase, and randomness: salt and initial vector are passed in. A wrong
//! passphrase and a damaged file cannot be told apart.

use std::fmt;

use carbon_ops_proof::keys::SecretKey;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::pkcs5::scrypt;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};

use crate::error::{Error, Result};

/// Cost of scrypt (RFC 7914): N = 2^14, r = 8, p = 1, which takes 16 MiB. OpenSSL 3 refuses to read
/// files that need more than 32 MiB.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;

/// What an encrypted key's PEM begins with (RFC 7468, section 11).
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// And a plain one's (RFC 7468, section 10).
const PLAIN_LABEL: &str = "PRIVATE KEY";

/// The secret that a key file is encrypted with. Its memory is wiped on drop.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the first line of a text, as OpenSSL's `file:` does.
    ///
    /// # Errors
    ///
    /// When that is empty.
    ///
    /// ```
    /// use carbon_ops_ledger::keys::Passphrase;
    /// assert!(Passphrase::first_line(b"correct horse\nbattery").is_ok());
    /// assert!(Passphrase::first_line(b"\n").is_err());
    /// ```
    pub fn first_line(text: &[u8]) -> Result<Self> {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(Error::Passphrase { reason: "it is empty".to_owned() });
        }
        Ok(Self(Zeroizing::new(line.to_vec())))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Whether a PEM text holds a key under a passphrase.
pub(super) fn is_encrypted(pem: &str) -> bool {
    pem.lines().any(|line| line.trim() == format!("-----BEGIN {LABEL}-----"))
}

/// A key as PKCS#8 PEM text under a passphrase. `entropy` is 32 random bytes that are used for nothing
/// else: the salt and the initial vector.
///
/// # Errors
///
/// When the encoder fails, which needs a length beyond its limits and so does not happen.
pub(super) fn to_encrypted_pem(
    key: &SecretKey,
    passphrase: &Passphrase,
    entropy: &[u8; 32],
) -> Result<Zeroizing<String>> {
    let fail = |reason: String| Error::from(carbon_ops_proof::Error::InvalidKey { reason });
    let (salt, iv) = entropy.split_at(16);
    let iv: [u8; 16] = iv.try_into().map_err(|_| fail("16 bytes are 16 bytes".to_owned()))?;
    let cost = scrypt::Params::new(LOG_N, R, P).map_err(|e| fail(e.to_string()))?;
    let parameters = Parameters::generate_scrypt_aes256cbc(cost, salt, iv)
        .map_err(|e| fail(format!("cannot be encrypted: {e}")))?;
    let (_, plain) = SecretDocument::from_pem(key.to_pem()?.as_str())
        .map_err(|e| fail(format!("cannot be encoded: {e}")))?;
    let sealed = PrivateKeyInfoRef::try_from(plain.as_bytes())
        .map_err(|e| fail(format!("cannot be encoded: {e}")))?
        .encrypt_with_params(parameters, &*passphrase.0)
        .map_err(|e| fail(format!("cannot be encrypted: {e}")))?;
    sealed.to_pem(LABEL, LineEnding::LF).map_err(|e| fail(format!("cannot be encoded: {e}")))
}

/// Reads a PKCS#8 PEM text that is encrypted with a passphrase. The key derivation may cost as much as
/// OpenSSL allows, and no more.
///
/// # Errors
///
/// [`Error::Passphrase`] when the passphrase is wrong or the text was changed; else what no such key is.
pub(super) fn from_encrypted_pem(pem: &str, passphrase: &Passphrase) -> Result<SecretKey> {
    let fail = |reason: &str| {
        Error::from(carbon_ops_proof::Error::InvalidKey { reason: reason.to_owned() })
    };
    let no_key = || fail("not an encrypted PKCS#8 PEM private key");
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| no_key())?;
    if label != LABEL {
        return Err(no_key());
    }
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| no_key())?;
    if !is_affordable(&sealed) {
        return Err(fail("its key derivation needs more than 32 MiB or ten million rounds"));
    }
    let wrong = |reason: &str| Error::Passphrase { reason: reason.to_owned() };
    let plain = sealed
        .decrypt(&*passphrase.0)
        .map_err(|_| wrong("it is wrong, or the file was changed"))?;
    // Bytes that are decrypted wrongly can, once in 256 times, look like they were padded rightly.
    let no_such = |_| wrong("it is wrong, or what it opens is not an Ed25519 key");
    let plain = plain.to_pem(PLAIN_LABEL, LineEnding::LF).map_err(|_| no_key())?;
    SecretKey::from_pem(&plain).map_err(no_such)
}
/// Whether deriving the key takes a bounded time and memory, whatever the file asks for.
fn is_affordable(sealed: &EncryptedPrivateKeyInfoRef<'_>) -> bool {
    let Some(parameters) = sealed.encryption_algorithm.pbes2() else { return false };
    if let Some(scrypt) = parameters.kdf.scrypt() {
        let blocks = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size));
        // 128 bytes each (RFC 7914, section 2).
        return blocks.saturating_mul(128) <= 32 << 20 && scrypt.parallelization <= 16;
    }
    parameters.kdf.pbkdf2().is_some_and(|pbkdf2| pbkdf2.iteration_count <= 10_000_000)
}

#[cfg(test)]
mod tests {
    use carbon_ops_proof::Error::InvalidKey;

    use super::*;

    /// `openssl genpkey -algorithm ed25519 -aes-256-cbc -pass file:`, OpenSSL 3.0: PBKDF2 with SHA-256.
    const BY_OPENSSL_PBKDF2: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgDqVxAPXYlRQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEPgEojX+tpGvGhtuOmA9tTEEQFyZ
XxxZbe9YW0sXqR8DFgLQmAP95WfiANjaAueFaIjJT6SLgl2eC7zkHjLlZcbhKFL7
+bilUjxVJmOjeDYiQdw=
-----END ENCRYPTED PRIVATE KEY-----
";
    /// `openssl pkcs8 -topk8 -scrypt -scrypt_N 16384 -v2 aes-256-cbc` of another.
    const BY_OPENSSL_SCRYPT: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAhhqJtkAAO+OQICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBAZOnNaqnqIB4vG9fSLTas5BEDw5uo6dtpG8d7u
A9KsmkNZ/YEtjP6aYH5SCzyxMRysYLt9g3RWB8eatSEazCFQG7jhGqytrIBEmmrF
mNARYFSX
-----END ENCRYPTED PRIVATE KEY-----
";

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::first_line(text.as_bytes()).unwrap()
    }

    /// The public keys are what `openssl pkey -pubout` prints of the same files.
    #[test]
    fn files_that_openssl_made_are_read() {
        for (pem, public) in [
            (BY_OPENSSL_PBKDF2, "b12c2cd3e678410696799fda06d1bd45d030684e7413ee11fe5e26ec6a9f9e4f"),
            (BY_OPENSSL_SCRYPT, "16b22d8ad180adec3b859b2ce2ee35b5de1e815de0e64ce44e851a24ce1475a8"),
        ] {
            let key = from_encrypted_pem(pem, &passphrase("correct horse")).unwrap();
            assert_eq!(key.public_key().to_hex(), public);
        }
    }

    #[test]
    fn the_wrong_passphrase_and_a_changed_file_open_nothing() {
        let wrong = from_encrypted_pem(BY_OPENSSL_SCRYPT, &passphrase("incorrect horse"));
        assert!(matches!(wrong, Err(Error::Passphrase { .. })), "{wrong:?}");
        let changed = BY_OPENSSL_SCRYPT.replace("mNARYFSX", "mNARYFSY");
        let wrong = from_encrypted_pem(&changed, &passphrase("correct horse"));
        assert!(matches!(wrong, Err(Error::Passphrase { .. })), "{wrong:?}");
        let plain = SecretKey::from_seed(&[7; 32]).to_pem().unwrap();
        let not_encrypted = from_encrypted_pem(plain.as_str(), &passphrase("x"));
        assert!(matches!(not_encrypted, Err(Error::Proof(InvalidKey { .. }))));
    }

    #[test]
    fn a_file_that_asks_for_too_much_memory_is_refused_before_any_is_taken() {
        let cost = scrypt::Params::new(20, 8, 1).unwrap();
        let parameters = Parameters::generate_scrypt_aes256cbc(cost, &[0; 16], [0; 16]).unwrap();
        let sealed = pkcs8::EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: parameters.into(),
            encrypted_data: pkcs8::der::asn1::OctetString::new([0; 64]).unwrap(),
        };
        let document = SecretDocument::encode_msg(&sealed).unwrap();
        let pem = document.to_pem(LABEL, LineEnding::LF).unwrap();
        let refused = from_encrypted_pem(&pem, &passphrase("x"));
        assert!(matches!(refused, Err(Error::Proof(InvalidKey { .. }))), "{refused:?}");
    }

    #[test]
    fn a_passphrase_is_the_first_line_and_is_not_printed() {
        let key = SecretKey::from_seed(&[7; 32]);
        let pem = to_encrypted_pem(&key, &passphrase("two words\r\nmore"), &[1; 32]).unwrap();
        let again = from_encrypted_pem(pem.as_str(), &passphrase("two words"));
        assert_eq!(again.unwrap().public_key(), key.public_key());
        assert!(!format!("{:?}", passphrase("secret")).contains("secret"));
    }
}
