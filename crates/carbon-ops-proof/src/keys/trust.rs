//! Lists of trusted keys: one key a line, with comments. Left out: files, and whom to trust.

use std::collections::BTreeSet;

use super::PublicKey;
use crate::error::{Error, Result};

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
    keys: BTreeSet<PublicKey>,
}

impl Trust {
    /// Trusts nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a list: one key a line as 64 hexadecimal digits, then optionally white space and a
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
            trust.insert(PublicKey::from_hex(word).map_err(|e| Error::Trust {
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
    pub fn insert(&mut self, key: PublicKey) {
        self.keys.insert(key);
    }

    /// Whether `key` is trusted.
    #[must_use]
    pub fn contains(&self, key: PublicKey) -> bool {
        self.keys.contains(&key)
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The trusted keys, in order of their bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = PublicKey> {
        self.keys.iter().copied()
    }
}

impl FromIterator<PublicKey> for Trust {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self { keys: keys.into_iter().collect() }
    }
}

impl Extend<PublicKey> for Trust {
    fn extend<I: IntoIterator<Item = PublicKey>>(&mut self, keys: I) {
        self.keys.extend(keys);
    }
}
