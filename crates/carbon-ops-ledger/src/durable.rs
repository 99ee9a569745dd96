//! Making directories and files that survive a loss of power.
//!
//! A file's name is durable only after its directory has been synced (fsync(2), notes on
//! directories). Left out: anything about ledgers or keys.

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
    match DirBuilder::new().mode(mode).create(path) {
        // Somebody else made it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    sync_dir(parent)
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

/// Writes a whole file and makes its content, not yet its name, durable. `fresh` insists that the
/// file is new; otherwise what a crash left under the name is overwritten.
pub(crate) fn write_synced(path: &Path, bytes: &[u8], mode: u32, fresh: Fresh) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match fresh {
        Fresh::Required => options.create_new(true),
        Fresh::Overwrite => options.create(true).truncate(true),
    };
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a file to be written may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// It must not.
    Required,
    /// It may, as a left-over, and is replaced.
    Overwrite,
}
