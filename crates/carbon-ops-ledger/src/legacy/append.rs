//! Appending a record to a ledger file of version 0.1, so that the Python package validates it and
//! a Python writer on the same machine waits its turn.
//!
//! Lines are appended in place and synced, where the package copies the file: a crash can leave a
//! torn last line, which is refused here until somebody cuts it off, never built upon.
//!
//! Out of scope: verifying more than the last line.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_proof::entry::EntryHash;
use carbon_ops_proof::keys::Signer;

use super::line::{Line, Record, Signed};
use crate::durable;
use crate::error::{Error, Result};
use crate::files::{FILE_MODE, lock_within};
use crate::legacy_fault::{Fault, MAX_LINE_BYTES};

/// Appends one record; makes the file when there is none. When this returns `Ok`, the record is
/// durable. `patience` is how long to wait for another writer.
///
/// The last line has to be whole, of the package's spelling and signed by this signer's key: the
/// package accepts one key in a ledger.
///
/// # Errors
///
/// After [`Error::Fatal`] the state of the file is unknown; after any other error it is as it was.
pub fn append(
    path: &Path,
    record: &Record,
    signer: &dyn Signer,
    patience: Duration,
) -> Result<Signed> {
    let lock_path = lock_path(path);
    let io = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(FILE_MODE);
    let lock = options.open(&lock_path).map_err(io("lock"))?;
    if !lock_within(&lock, patience).map_err(io("lock"))? {
        return Err(Error::Busy { path: lock_path, waited: patience, holder: None });
    }
    let is_new = !path.exists();
    let file = options.open(path).map_err(io("open"))?;
    // Versions of the package after 0.1.1 lock the ledger itself. 0.1.1 replaces the file while it
    // holds the other lock, so the file has to be opened under that one.
    if !lock_within(&file, patience).map_err(io("lock"))? {
        return Err(Error::Busy { path: path.to_owned(), waited: patience, holder: None });
    }
    if is_new {
        // Crash here: an empty file, which the next append fills.
        durable::sync_dir(durable::parent_of(path)).map_err(io("make durable"))?;
    }
    let len = file.metadata().map_err(io("look at"))?.len();
    let last = last_line(&file, len).map_err(io("read"))?;
    let prev = follow(&last, signer)
        .map_err(|fault| Error::LegacyTail { path: path.to_owned(), fault })?;
    let signed = record.sign(prev.as_ref(), signer)?;
    write(&file, &signed.line, len, path)?;
    Ok(signed)
}

/// The name of the package's lock file (its `tools/ledger.py`, `_acquire_ledger_lock`).
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".lock");
    path.with_file_name(name)
}

/// The end of the file from its last line on, of which it reads no more than one line may have.
fn last_line(file: &File, len: u64) -> io::Result<Vec<u8>> {
    // The line, its newline, the newline before, and one byte too many.
    let wanted = len.min(MAX_LINE_BYTES as u64 + 3);
    let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(MAX_LINE_BYTES + 3)];
    file.read_exact_at(&mut bytes, len - wanted)?;
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(bytes.split_off(start))
}

/// What a record after this last line carries as `prev_hash`.
fn follow(last: &[u8], signer: &dyn Signer) -> Result<Option<EntryHash>, Fault> {
    if last.is_empty() {
        return Ok(None);
    }
    let line = last.strip_suffix(b"\n").ok_or(Fault::Unterminated)?;
    if line.len() > MAX_LINE_BYTES {
        return Err(Fault::TooLong);
    }
    if line.is_empty() {
        return Err(Fault::BlankLine);
    }
    let line = Line::parse(line)?;
    if !line.verifies(signer.public_key()) {
        return Err(match line.named_key().filter(|key| line.verifies(*key)) {
            Some(other) => Fault::UntrustedKey(other.to_hex()),
            None => Fault::Signature,
        });
    }
    match line.lax.first() {
        Some(fault) => Err(fault.clone()),
        None => Ok(Some(line.hash())),
    }
}

/// Writes at the end, which is at `len`, and makes it durable. A failed sync is never tried again,
/// for the reasons in `crate::append`.
fn write(mut file: &File, bytes: &[u8], len: u64, path: &Path) -> Result<()> {
    let fatal = |action| move |source| Error::Fatal { action, path: path.to_owned(), source };
    let written = file.write(bytes).and_then(|written| {
        if written == bytes.len() {
            return Ok(());
        }
        let message = format!("only {written} of {} bytes were written", bytes.len());
        Err(io::Error::new(io::ErrorKind::StorageFull, message))
    });
    if let Err(source) = written {
        // Crash here: part of the line may be there, a torn end.
        file.set_len(len).and_then(|()| file.sync_all()).map_err(fatal("undo a write to"))?;
        return Err(Error::NotStored { path: path.to_owned(), source });
    }
    file.sync_data().map_err(fatal("sync"))
}
