//! Lists of trusted keys: one key a line, with comments, and changing such a file.
//!
//! A file is replaced as a whole, and lines that are not concerned stay as they were written. Left out:
//! where the list is, and whom to trust.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::PublicKey;
use super::file::replace;
use crate::durable;
use crate::error::{Error, Result};

/// The directory of the list is for its owner alone, as that of the keys is.
const DIR_MODE: u32 = 0o700;

/// The public keys that the user trusts.
///
/// ```
/// use carbon_ops_ledger::keys::{SecretKey, Trust};
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

    /// Reads a list of trusted keys from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or a line names no key.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            action: "read the trusted keys in",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// What `--trust FILE|HEX` means: 64 hexadecimal digits are a key, anything else is a file.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::from_hex`] or [`Trust::load`].
    pub fn from_file_or_hex(text: &str) -> Result<Self> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self::from_iter([PublicKey::from_hex(text)?]));
        }
        Self::load(Path::new(text))
    }

    /// The trusted keys of a file with their comments, in the order of the file; nothing when there is no
    /// file.
    ///
    /// # Errors
    ///
    /// As [`Trust::load`].
    pub fn entries(path: &Path) -> Result<Vec<(PublicKey, String)>> {
        let text = text_of(path)?;
        // Reports the first line that names no key.
        Self::parse(&text, &path.display().to_string())?;
        Ok(text.lines().filter_map(entry).collect())
    }

    /// Adds a key to a file, which is made when there is none; false when it is there already. Two that
    /// change the list at the same moment can undo each other.
    ///
    /// # Errors
    ///
    /// As [`Trust::load`], and when the file cannot be written.
    pub fn add_to_file(path: &Path, key: PublicKey, comment: &str) -> Result<bool> {
        if Self::entries(path)?.iter().any(|(known, _)| *known == key) {
            return Ok(false);
        }
        let mut text = text_of(path)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        // A comment is the rest of one line.
        let comment = comment.replace(|c: char| c.is_control(), " ");
        let line = format!("{key} {comment}");
        text.push_str(line.trim_end());
        text.push('\n');
        write(path, &text)?;
        Ok(true)
    }

    /// Takes a key out of a file; false when it is not there.
    ///
    /// # Errors
    ///
    /// As [`Trust::load`], and when the file cannot be written.
    pub fn remove_from_file(path: &Path, key: PublicKey) -> Result<bool> {
        if !Self::entries(path)?.iter().any(|(known, _)| *known == key) {
            return Ok(false);
        }
        let text = text_of(path)?;
        let others = text.lines().filter(|line| entry(line).is_none_or(|(known, _)| known != key));
        let rest = others.fold(String::new(), |rest, line| rest + line + "\n");
        write(path, &rest)?;
        Ok(true)
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

/// A line's key and comment.
fn entry(line: &str) -> Option<(PublicKey, String)> {
    let (word, comment) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    Some((PublicKey::from_hex(word).ok()?, comment.trim().to_owned()))
}

fn text_of(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|source| Error::Io {
            action: "read the trusted keys in",
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = durable::create_dirs(durable::parent_of(path), DIR_MODE)
        .and_then(|()| replace(path, text.as_bytes()));
    written.map_err(|source| Error::Io {
        action: "write the trusted keys in",
        path: path.to_owned(),
        source,
    })
}
