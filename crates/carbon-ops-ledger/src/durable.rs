//! Making directories and files that survive a loss of power.
//!
//! A file's name is durable only after its directory has been synced (fsync(2), notes on
//! directories).
//!
//! Out of scope: anything about ledgers or keys.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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
pub(crate) fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        // Somebody else made it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
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
    file.write_all(bytes)?;
    file.sync_all()
}
