//! Lists of trusted keys in files: reading one, and changing it.
//!
//! A file is replaced as a whole, and lines that are not concerned stay as they were written.
//!
//! Out of scope: where the list is, and whom to trust.

use std::io;
use std::path::Path;

use carbon_ops_proof::keys::{Trust, TrustedKey};
use carbon_ops_proof::text::plain;

use crate::durable;
use crate::error::{Error, Result};

/// So is the list, which says whom this user believes.
const FILE_MODE: u32 = 0o600;
/// The directory of the list is for its owner alone, as that of the keys is.
const DIR_MODE: u32 = 0o700;

/// Reads a list of trusted keys from a file.
///
/// # Errors
///
/// When the file cannot be read or a line names no key.
pub fn load_trust(path: &Path) -> Result<Trust> {
    let text = read(path).map_err(|source| cannot_read(path, source))?;
    Ok(Trust::parse(&text, &path.display().to_string())?)
}

/// The trust that a text stands for: a key by its 64 hexadecimal digits in either case or by its
/// fingerprint, as a [`TrustedKey`] is written, or else a file.
///
/// # Errors
///
/// As [`load_trust`]; of a text that names neither, what a key looks like.
pub fn trust_from(text: &str) -> Result<Trust> {
    let path = Path::new(text);
    match text.parse::<TrustedKey>() {
        Ok(named) => Ok(Trust::from_iter([named])),
        // Of what is meant as a key, why it is none; of anything else, what became of the file.
        Err(error) if !path.exists() && looks_like_key(text) => Err(error.into()),
        Err(_) => load_trust(path),
    }
}

fn looks_like_key(text: &str) -> bool {
    let hex = text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex || text.starts_with("SHA256:")
}

/// The trusted keys of a file with their comments, in the order of the file; nothing when there is no
/// file.
///
/// # Errors
///
/// As [`load_trust`].
pub fn trusted_in_file(path: &Path) -> Result<Vec<(TrustedKey, String)>> {
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
pub fn add_to_trust_file(path: &Path, key: impl Into<TrustedKey>, comment: &str) -> Result<bool> {
    let key = key.into();
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

/// Takes a key out of a file, under both of its names; false when it is not there.
///
/// # Errors
///
/// As [`load_trust`], and when the file cannot be written.
pub fn remove_from_trust_file(path: &Path, key: impl Into<TrustedKey>) -> Result<bool> {
    let key = key.into();
    if !trusted_in_file(path)?.iter().any(|(known, _)| same(*known, key)) {
        return Ok(false);
    }
    let text = text_of(path)?;
    let others = text.lines().filter(|line| entry(line).is_none_or(|(known, _)| !same(known, key)));
    let rest = others.fold(String::new(), |rest, line| rest + line + "\n");
    write(path, &rest)?;
    Ok(true)
}

/// Whether two names are of one key.
fn same(one: TrustedKey, other: TrustedKey) -> bool {
    one.fingerprint() == other.fingerprint()
}

/// A line's key and comment.
fn entry(line: &str) -> Option<(TrustedKey, String)> {
    let (word, comment) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    Some((word.parse().ok()?, comment.trim().to_owned()))
}

fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(plain(std::fs::read(path)?)).map_err(io::Error::other)
}

fn text_of(path: &Path) -> Result<String> {
    match read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|source| cannot_read(path, source)),
    }
}

fn cannot_read(path: &Path, source: io::Error) -> Error {
    Error::Io { action: "read the trusted keys in", path: path.to_owned(), source }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = durable::create_dirs(durable::parent_of(path), DIR_MODE)
        .and_then(|()| durable::replace(path, text.as_bytes(), FILE_MODE));
    written.map_err(|source| Error::Io {
        action: "write the trusted keys in",
        path: path.to_owned(),
        source,
    })
}
