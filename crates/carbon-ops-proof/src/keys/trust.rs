//! Whom a user trusts: keys, named by themselves or by their fingerprints, and lists of them.
//!
//! Out of scope: files.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64ct::{Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use super::public::PublicKey;
use crate::error::{Error, Result};

/// What a fingerprint begins with.
const FINGERPRINT: &str = "SHA256:";

/// A key that is trusted, by one of its two names.
///
/// ```
/// use carbon_ops_proof::keys::{SecretKey, TrustedKey};
/// let key = SecretKey::from_seed(&[7; 32]).public_key();
/// for name in [key.to_hex(), key.to_hex().to_uppercase(), key.fingerprint()] {
///     assert!(name.parse::<TrustedKey>().unwrap().is(key));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustedKey {
    /// The key itself.
    Key(PublicKey),
    /// The SHA-256 of its 32 bytes: whichever key a ledger, pack or proof presents is held against it.
    Fingerprint([u8; 32]),
}

impl TrustedKey {
    /// Whether this names `key`.
    #[must_use]
    pub fn is(self, key: PublicKey) -> bool {
        match self {
            Self::Key(named) => named == key,
            Self::Fingerprint(hash) => hash == hash_of(key),
        }
    }

    /// The key, where it is known.
    #[must_use]
    pub fn key(self) -> Option<PublicKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Fingerprint(_) => None,
        }
    }

    /// `SHA256:` and base64, as of a [`PublicKey`].
    #[must_use]
    pub fn fingerprint(self) -> String {
        match self {
            Self::Key(key) => key.fingerprint(),
            Self::Fingerprint(hash) => fingerprint(&hash),
        }
    }
}

impl From<PublicKey> for TrustedKey {
    fn from(key: PublicKey) -> Self {
        Self::Key(key)
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Fingerprint(hash) => f.write_str(&fingerprint(hash)),
        }
    }
}

impl FromStr for TrustedKey {
    type Err = Error;

    /// 64 hexadecimal digits in either case, or a fingerprint.
    fn from_str(text: &str) -> Result<Self> {
        let Some(hash) = text.strip_prefix(FINGERPRINT) else {
            return PublicKey::from_hex(&text.to_ascii_lowercase()).map(Self::Key).map_err(|e| {
                let none = text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit());
                if none { no_key() } else { e }
            });
        };
        let mut bytes = [0; 32];
        match Base64Unpadded::decode(hash, &mut bytes).map(<[u8]>::len) {
            Ok(32) => Ok(Self::Fingerprint(bytes)),
            _ => Err(no_key()),
        }
    }
}

fn no_key() -> Error {
    let reason =
        "it is named by 64 hexadecimal digits, or by its fingerprint, SHA256: and 43 characters";
    Error::InvalidKey { reason: reason.to_owned() }
}

fn hash_of(key: PublicKey) -> [u8; 32] {
    Sha256::digest(key.to_bytes()).into()
}

fn fingerprint(hash: &[u8; 32]) -> String {
    format!("{FINGERPRINT}{}", Base64Unpadded::encode_string(hash))
}

impl PublicKey {
    /// `SHA256:` and the unpadded base64 of the SHA-256 of the 32 raw bytes. The form is that of
    /// OpenSSH; the value is not what `ssh-keygen -l` prints, which hashes its own framing too.
    ///
    /// ```
    /// let key = carbon_ops_proof::keys::SecretKey::from_seed(&[7; 32]).public_key();
    /// assert!(key.fingerprint().starts_with("SHA256:"));
    /// assert_eq!(key.fingerprint().len(), 7 + 43);
    /// ```
    #[must_use]
    pub fn fingerprint(self) -> String {
        fingerprint(&hash_of(self))
    }
}

/// The public keys that the user trusts.
///
/// ```
/// use carbon_ops_proof::keys::{SecretKey, Trust};
/// let key = SecretKey::from_seed(&[7; 32]).public_key();
/// let trust = Trust::parse(&format!("# ours\n\n{key} build server\n"), "trust").unwrap();
/// assert!(trust.contains(key));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    named: BTreeSet<TrustedKey>,
}

impl Trust {
    /// Trusts nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a list: one key a line, as a [`TrustedKey`] is written, then optionally white space and a
    /// comment; blank lines and lines that begin with `#` are skipped. `origin` names the text in
    /// messages.
    ///
    /// # Errors
    ///
    /// At the first line that names no key: a list with a hole is not used.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let mut trust = Self::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            trust.insert(word.parse::<TrustedKey>().map_err(|e| Error::Trust {
                origin: origin.to_owned(),
                line: index + 1,
                reason: match e {
                    Error::InvalidKey { reason } => reason,
                    other => other.to_string(),
                },
            })?);
        }
        Ok(trust)
    }

    /// Trusts one more key.
    pub fn insert(&mut self, key: impl Into<TrustedKey>) {
        self.named.insert(key.into());
    }

    /// Whether `key` is trusted.
    #[must_use]
    pub fn contains(&self, key: PublicKey) -> bool {
        if self.named.contains(&TrustedKey::Key(key)) {
            return true;
        }
        // Keys come first in the order: hashing is for those who gave a fingerprint.
        let by_hash = matches!(self.named.last(), Some(TrustedKey::Fingerprint(_)));
        by_hash && self.named.contains(&TrustedKey::Fingerprint(hash_of(key)))
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// What is trusted: keys in order of their bytes, then fingerprints.
    pub fn iter(&self) -> impl Iterator<Item = TrustedKey> {
        self.named.iter().copied()
    }

    /// The trusted keys that are known themselves, in order of their bytes: with them something can be
    /// verified that presents no key.
    pub fn keys(&self) -> impl Iterator<Item = PublicKey> {
        self.named.iter().filter_map(|named| named.key())
    }
}

impl<K: Into<TrustedKey>> FromIterator<K> for Trust {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self { named: keys.into_iter().map(Into::into).collect() }
    }
}

impl<K: Into<TrustedKey>> Extend<K> for Trust {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        self.named.extend(keys.into_iter().map(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public_key()
    }

    /// Each way to name a key.
    fn names(key: PublicKey) -> [String; 3] {
        [key.to_hex(), key.to_hex().to_uppercase(), key.fingerprint()]
    }

    #[test]
    fn each_name_of_a_key_is_that_key_and_no_other() {
        for name in names(key(7)) {
            let named: TrustedKey = name.parse().unwrap();
            assert!(named.is(key(7)) && !named.is(key(8)), "{name}");
            assert_eq!(named.fingerprint(), key(7).fingerprint());
            let trust: Trust = [named].into_iter().collect();
            assert!(
                trust.contains(key(7)) && !trust.contains(key(8)) && !trust.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_name_is_written_as_it_is_read() {
        let [hex, upper, fingerprint] =
            names(key(7)).map(|name| name.parse::<TrustedKey>().unwrap());
        assert_eq!((hex, hex.key()), (upper, Some(key(7))));
        assert_eq!(fingerprint.key(), None);
        for named in [hex, fingerprint] {
            assert_eq!(named.to_string().parse::<TrustedKey>(), Ok(named));
        }
        assert_eq!(fingerprint.to_string().len(), FINGERPRINT.len() + 43);
    }

    #[test]
    fn what_names_no_key_says_what_would() {
        let hex = key(7).to_hex();
        let fingerprint = key(7).fingerprint();
        let not_hex = format!("g{}", &hex[1..]);
        for text in [
            "",
            "7",
            &hex[1..],
            &format!("{hex}0"),
            &not_hex,
            &fingerprint[..49],
            "SHA256:",
            "SHA256:AAAA",
            &format!("{fingerprint}="),
            &fingerprint.to_lowercase(),
        ] {
            assert_eq!(text.parse::<TrustedKey>(), Err(no_key()), "{text}");
        }
        // 64 digits that are no point of the curve are told as that.
        let no_point = format!("02{:062}", 0);
        let error = no_point.parse::<TrustedKey>().unwrap_err();
        assert_ne!(error, no_key(), "{error}");
    }

    #[test]
    fn a_list_is_read_line_by_line_and_the_first_that_names_none_is_told() {
        let [hex, _, _] = names(key(7));
        let fingerprint = key(8).fingerprint();
        let text = format!("\n# ours\n  {hex}\tbuild server\n\n{fingerprint} laptop\n");
        let trust = Trust::parse(&text, "trust").unwrap();
        assert_eq!(trust.iter().count(), 2);
        assert_eq!(trust.keys().collect::<Vec<_>>(), [key(7)]);
        assert!(trust.contains(key(7)) && trust.contains(key(8)) && !trust.contains(key(9)));
        assert!(Trust::parse("# none\n\n", "trust").unwrap().is_empty());
        let error = Trust::parse(&format!("{hex}\n\nno-key here\n{fingerprint}\n"), "my trust")
            .unwrap_err();
        assert!(
            matches!(&error, Error::Trust { origin, line: 3, .. } if origin == "my trust"),
            "{error}"
        );
    }

    #[test]
    fn keys_and_fingerprints_of_a_list_do_not_hide_one_another() {
        let mut trust = Trust::new();
        trust.insert(key(1));
        assert!(!trust.contains(key(2)));
        trust.insert(key(2).fingerprint().parse::<TrustedKey>().unwrap());
        trust.extend([key(3)]);
        assert!((1..=3).all(|seed| trust.contains(key(seed))) && !trust.contains(key(4)));
    }
}
