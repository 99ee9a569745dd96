//! Key files: PKCS#8 PEM, perhaps under a passphrase, readable by their owner alone, made at most once,
//! and replaced by their successor in one step.
//!
//! Beside a file under a passphrase stands `<name>.pub` with its public key, so that a verification need
//! not ask for the passphrase.
//!
//! Out of scope: which ledgers a key may write to.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use carbon_ops_proof::keys::{PublicKey, SecretKey};
use pkcs8::der::zeroize::Zeroizing;

use super::Passphrase;
use super::encrypted::{from_encrypted_pem, is_encrypted, to_encrypted_pem};
use super::trust::load_trust;
use crate::durable;
use crate::error::{Error, Result};

/// More than any PKCS#8 PEM of an Ed25519 key (119 bytes in version 1, about 200 in version 2, about 400
/// under a passphrase), so that a wrong path does not read a large file into memory.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Directories for keys are for their owner alone.
const KEY_DIR_MODE: u32 = 0o700;
/// Key files are for their owner alone.
const KEY_FILE_MODE: u32 = 0o600;
/// Permissions that expose a secret: any of the group's or the others'.
const EXPOSED: u32 = 0o077;

/// How a new key file is protected beyond its permissions.
#[derive(Clone, Copy, Debug)]
pub struct Protection<'p> {
    /// What it is encrypted with.
    pub passphrase: &'p Passphrase,
    /// 32 random bytes that are used for nothing else.
    pub entropy: [u8; 32],
}

/// Where the key that [`create_secret`] returns came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// It was made from the given seed.
    Created,
    /// It was there already, perhaps made by another process a moment ago.
    Existing,
}

/// Reads a secret key from a PEM file that has no passphrase.
///
/// # Errors
///
/// As [`load_secret_under`].
pub fn load_secret(path: &Path) -> Result<SecretKey> {
    load_secret_under(path, None)
}

/// Reads a secret key from a PEM file. The passphrase is only used when the file has one.
///
/// # Errors
///
/// [`Error::KeyExposed`] when the group or others have any permission on it, [`Error::KeyEncrypted`] when
/// it needs a passphrase, [`Error::Passphrase`] when that is wrong, [`Error::KeyFile`] when it holds no
/// key, [`Error::Io`] when it cannot be read.
pub fn load_secret_under(path: &Path, passphrase: Option<&Passphrase>) -> Result<SecretKey> {
    let text = read_pem(path)?;
    let bad = |reason: String| Error::KeyFile { path: path.to_owned(), reason };
    match (is_encrypted(&text), passphrase) {
        (false, _) => SecretKey::from_pem(&text)
            .map_err(|_| bad("not a PKCS#8 PEM private key for Ed25519".to_owned())),
        (true, None) => Err(Error::KeyEncrypted { path: path.to_owned() }),
        (true, Some(passphrase)) => from_encrypted_pem(&text, passphrase).map_err(|e| match e {
            Error::Proof(carbon_ops_proof::Error::InvalidKey { reason }) => bad(reason),
            Error::Passphrase { reason } => {
                Error::Passphrase { reason: format!("for the key in {}, {reason}", path.display()) }
            }
            other => other,
        }),
    }
}

/// The public key of a key file; of one under a passphrase that is not given, what its `.pub` file says.
///
/// # Errors
///
/// As [`load_secret_under`].
pub fn load_public(path: &Path, passphrase: Option<&Passphrase>) -> Result<PublicKey> {
    match load_secret_under(path, passphrase) {
        Ok(secret) => Ok(secret.public_key()),
        Err(Error::KeyEncrypted { path }) => {
            let beside = load_trust(&public_beside(&path)).ok();
            let key = beside.and_then(|trust| trust.keys().next());
            key.ok_or(Error::KeyEncrypted { path })
        }
        Err(other) => Err(other),
    }
}

/// The file with the public key of a key file under a passphrase.
#[must_use]
pub(super) fn public_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn read_pem(path: &Path) -> Result<Zeroizing<String>> {
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
    Ok(text)
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
    create_secret_under(path, seed, None)
}

/// As [`create_secret`], for a file that may get a passphrase.
///
/// # Errors
///
/// As [`load_secret_under`] when there is a file, else [`Error::Io`].
pub fn create_secret_under(
    path: &Path,
    seed: &[u8; 32],
    protection: Option<Protection<'_>>,
) -> Result<(SecretKey, KeyOrigin)> {
    let fail = |source| Error::Io { action: "make the key file", path: path.to_owned(), source };
    let passphrase = protection.map(|protection| protection.passphrase);
    if path.symlink_metadata().is_ok() {
        return Ok((load_secret_under(path, passphrase)?, KeyOrigin::Existing));
    }
    let dir = durable::parent_of(path);
    durable::create_dirs(dir, KEY_DIR_MODE).map_err(fail)?;
    let key = SecretKey::from_seed(seed);
    let plain = key.to_pem()?;
    let pem = match protection {
        None => plain.as_str().to_owned().into(),
        Some(Protection { passphrase, entropy }) => {
            let line = format!("{}\n", key.public_key());
            // Before the key: a key file is never without it.
            durable::replace(&public_beside(path), line.as_bytes(), KEY_FILE_MODE).map_err(fail)?;
            to_encrypted_pem(&key, passphrase, &entropy)?
        }
    };
    let temp = durable::write_temp(path, pem.as_bytes(), KEY_FILE_MODE).map_err(fail)?;
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
            Ok((load_secret_under(path, passphrase)?, KeyOrigin::Existing))
        }
        Err(e) => Err(fail(e)),
    }
}

/// Puts a new key file in the place of an old one, which is kept as `kept` or, without it, gone. Both
/// names are durable when this returns, and at every moment `path` is one of the two keys, whole.
///
/// A key that is gone cannot be read any more by its name; what a disk keeps of it is another matter.
///
/// # Errors
///
/// [`Error::Io`]; doing it again makes it good.
pub fn replace_secret(path: &Path, new: &Path, kept: Option<&Path>) -> Result<()> {
    let fail = |source| Error::Io { action: "replace the key file", path: path.to_owned(), source };
    let dir = durable::parent_of(path);
    let both = [(path.to_owned(), new.to_owned()), (public_beside(path), public_beside(new))];
    let kept = kept.map(|kept| [kept.to_owned(), public_beside(kept)]);
    for (at, (old, _)) in both.iter().enumerate() {
        let kept = kept.as_ref().and_then(|kept| kept.get(at));
        if let Some(kept) = kept.filter(|_| old.exists()) {
            match std::fs::hard_link(old, kept) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(fail(e)),
                _ => {}
            }
        }
    }
    durable::sync_dir(dir).map_err(fail)?;
    // Crash here: the old key has two names.
    for (old, new) in &both {
        if new.exists() {
            std::fs::rename(new, old).map_err(fail)?;
        } else if old.exists() && old.extension().is_some_and(|ending| ending == "pub") {
            // The new one has no passphrase.
            std::fs::remove_file(old).map_err(fail)?;
        }
    }
    durable::sync_dir(dir).map_err(fail)
}
