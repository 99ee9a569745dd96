//! Key files: PKCS#8 PEM, readable by their owner alone, made at most once.
//!
//! Left out: replacing or deleting a key. A key that signed a ledger is needed for as long as the
//! ledger grows.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;

use super::SecretKey;
use crate::durable;
use crate::error::{Error, Result};

/// More than any PKCS#8 PEM of an Ed25519 key (119 bytes in version 1, about 200 in version 2), so
/// that a wrong path does not read a large file into memory.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Directories for keys are for their owner alone.
const KEY_DIR_MODE: u32 = 0o700;
/// Key files are for their owner alone.
const KEY_FILE_MODE: u32 = 0o600;
/// Permissions that expose a secret: any of the group's or the others'.
const EXPOSED: u32 = 0o077;
/// How many left-over temporary files are stepped over before giving up.
const MAX_TEMP_NAMES: u32 = 64;

/// Where the key that [`create_secret`] returns came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// It was made from the given seed.
    Created,
    /// It was there already, perhaps made by another process a moment ago.
    Existing,
}

/// Reads a secret key from a PEM file.
///
/// # Errors
///
/// [`Error::KeyExposed`] when the group or others have any permission on it, [`Error::KeyFile`]
/// when it holds no key, [`Error::Io`] when it cannot be read.
pub fn load_secret(path: &Path) -> Result<SecretKey> {
    let fail = |source| Error::Io { action: "read the key file", path: path.to_owned(), source };
    let bad = |reason: &str| Error::KeyFile { path: path.to_owned(), reason: reason.to_owned() };
    let file = File::open(path).map_err(fail)?;
    // Asked of the open file, so that it is the file that is read.
    let about = file.metadata().map_err(fail)?;
    if !about.is_file() {
        return Err(bad("not a regular file"));
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & EXPOSED != 0 {
        return Err(Error::KeyExposed { path: path.to_owned(), mode });
    }
    if about.len() > MAX_KEY_FILE_BYTES {
        return Err(bad("the file is too large for a key"));
    }
    // Reserved in one piece: growing would leave copies of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(4096));
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(fail)?;
    SecretKey::from_pem(&text).map_err(|_| bad("not a PKCS#8 PEM private key for Ed25519"))
}

/// Makes a key file from a seed, unless there is one; either way the key in the file is returned.
///
/// Two processes that do this at the same time end with one key: the file is written under another
/// name, synced, and then linked to its own, which fails for all but the first.
///
/// # Errors
///
/// As [`load_secret`] when there is a file, else [`Error::Io`].
pub fn create_secret(path: &Path, seed: &[u8; 32]) -> Result<(SecretKey, KeyOrigin)> {
    let fail = |source| Error::Io { action: "make the key file", path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() {
        return Ok((load_secret(path)?, KeyOrigin::Existing));
    }
    let dir = durable::parent_of(path);
    durable::create_dirs(dir, KEY_DIR_MODE).map_err(fail)?;
    let key = SecretKey::from_seed(seed);
    let temp = write_temp(path, key.to_pem()?.as_str()).map_err(fail)?;
    let linked = std::fs::hard_link(&temp, path);
    let removed = std::fs::remove_file(&temp);
    match linked {
        Ok(()) => {
            removed.map_err(fail)?;
            durable::sync_dir(dir).map_err(fail)?;
            Ok((key, KeyOrigin::Created))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            // The winner may not have synced the name yet, and its key may sign before it does.
            durable::sync_dir(dir).map_err(fail)?;
            Ok((load_secret(path)?, KeyOrigin::Existing))
        }
        Err(e) => Err(fail(e)),
    }
}

/// Writes the text to a synced file beside `path` that nobody else uses.
fn write_temp(path: &Path, text: &str) -> io::Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    for _ in 0..MAX_TEMP_NAMES {
        // The process id and a counter; a left-over of a crashed process is stepped over.
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temp = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match durable::write_synced(&temp, text.as_bytes(), KEY_FILE_MODE) {
            Ok(()) => return Ok(temp),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                // Half a key must not stay; that it cannot be removed is the smaller trouble.
                let _ = std::fs::remove_file(&temp);
                return Err(e);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
