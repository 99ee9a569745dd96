//! Making directories and files that survive a loss of power.
//!
//! A file's name is durable only after its directory has been synced (fsync(2), notes on
//! directories).
//!
//! Out of scope: anything about ledgers or keys.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::geteuid;

/// How many left-over temporary files are stepped over before giving up.
const MAX_TEMP_NAMES: u32 = 64;

/// Makes what is missing of a directory path, each level with `mode` and synced into its parent.
pub(crate) fn create_dirs(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_dirs(parent, mode)?;
    make_dir(path, mode)?;
    sync_dir(parent)
}

/// Makes one directory, whose name is durable only once its parent is synced.
fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => give_to_owner_of(&parent_of(path).metadata()?, &File::open(path)?),
        // Somebody else made it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// What root makes in the directory of another user is that user's: a call with `sudo` once must not lock
/// the user out of the own files for ever.
pub(crate) fn give_to_owner_of(dir: &Metadata, file: &File) -> io::Result<()> {
    if geteuid().is_root() && dir.uid() != 0 && file.metadata()?.uid() == 0 {
        fchown(file, Some(dir.uid()), Some(dir.gid()))?;
    }
    Ok(())
}

/// The directory that holds `path`; the current one for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a new file and makes its content, not yet its name, durable.
pub(crate) fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).mode(mode).create_new(true).open(path)?;
    give_to_owner_of(&parent_of(path).metadata()?, &file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes or replaces a small file, durably, so that a crash leaves the old or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temp = write_temp(path, bytes, mode)?;
    std::fs::rename(&temp, path)?;
    sync_dir(parent_of(path))
}

/// Writes a synced file beside `path` that nobody else uses.
pub(crate) fn write_temp(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    for _ in 0..MAX_TEMP_NAMES {
        // The process id and a counter; a left-over of a crashed process is stepped over.
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temp = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match write_synced(&temp, bytes, mode) {
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
