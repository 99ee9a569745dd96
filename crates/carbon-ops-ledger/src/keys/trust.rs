//! Lists of trusted keys in files: reading one, and changing it.
//!
//! A file is replaced as a whole, and lines that are not concerned stay as they were written. Left out:
//! where the list is, and whom to trust.

use std::io;
use std::path::Path;

use carbon_ops_proof::keys::{PublicKey, Trust};

use super::file::replace;
use crate::durable;
use crate::error::{Error, Result};

/// The directory of the list is for its owner alone, as that of the keys is.
const DIR_MODE: u32 = 0o700;

/// Reads a list of trusted keys from a file.
///
/// # Errors
///
/// When the file cannot be read or a line names no key.
pub fn load_trust(path: &Path) -> Result<Trust> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        action: "read the trusted keys in",
        path: path.to_owned(),
        source,
    })?;
    Ok(Trust::parse(&text, &path.display().to_string())?)
}

/// The trust that a text stands for: 64 hexadecimal digits are a key, anything else is a file.
///
/// # Errors
///
/// As [`PublicKey::from_hex`] or [`load_trust`].
pub fn trust_from_file_or_hex(text: &str) -> Result<Trust> {
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Trust::from_iter([PublicKey::from_hex(text)?]));
    }
    load_trust(Path::new(text))
}

/// The trusted keys of a file with their comments, in the order of the file; nothing when there is no
/// file.
///
/// # Errors
///
/// As [`load_trust`].
pub fn trusted_in_file(path: &Path) -> Result<Vec<(PublicKey, String)>> {
    let text = text_of(path)?;
    // Reports the first line that names no key.
    Trust::parse(&text, &path.display().to_string())?;
    Ok(text.lines().filter_map(entry).collect())
}

/// Adds a key to a file, which is made when there is none; false when it is there already. Two that
/// change the list at the same moment can undo each other.
///
/// # Errors
///
/// As [`load_trust`], and when the file cannot be written.
pub fn add_to_trust_file(path: &Path, key: PublicKey, comment: &str) -> Result<bool> {
    if trusted_in_file(path)?.iter().any(|(known, _)| *known == key) {
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
/// As [`load_trust`], and when the file cannot be written.
pub fn remove_from_trust_file(path: &Path, key: PublicKey) -> Result<bool> {
    if !trusted_in_file(path)?.iter().any(|(known, _)| *known == key) {
        return Ok(false);
    }
    let text = text_of(path)?;
    let others = text.lines().filter(|line| entry(line).is_none_or(|(known, _)| known != key));
    let rest = others.fold(String::new(), |rest, line| rest + line + "\n");
    write(path, &rest)?;
    Ok(true)
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
