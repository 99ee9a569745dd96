//! The folder of the cache: where which file lies, locks between processes, atomic files, and its limit.
//!
//! Out of scope: what is in the files. A file that was written half, after a crash, is discarded by
//! whoever reads it; nothing is flushed to the platter, since all of it can be fetched again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use crate::fetch::percent_encoded;
use carbon_ops_estimate::intensity::Signal;

/// How large the folder may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files.
    pub bytes: u64,
    /// Number of files.
    pub entries: usize,
}

impl Default for Limits {
    /// 256 MiB: a quarter-hour series of a year is 1.4 MB, its answers packed about as much.
    fn default() -> Self {
        Self { bytes: 256 << 20, entries: 50_000 }
    }
}

/// What the folder holds, and what had to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
    pub(crate) evicted: usize,
}

/// A name that stays one name in a path whatever is in it.
fn part(text: &str) -> String {
    percent_encoded(text).replace('.', "%2E")
}

/// Folder of a provider's zone and signal.
pub(crate) fn folder(root: &Path, provider: &str, zone: &str, signal: Signal) -> PathBuf {
    let signal = signal.to_string().replace(' ', "-").to_lowercase();
    root.join("slots").join(part(provider)).join(part(zone)).join(signal)
}

/// File of the place that a provider has for coordinates.
pub(crate) fn place_file(
    root: &Path,
    provider: &str,
    kind: &str,
    coordinates: (f64, f64),
) -> PathBuf {
    let name = format!("{kind} {},{}", coordinates.0, coordinates.1);
    root.join("places").join(part(provider)).join(part(&name))
}

/// Writes beside the file and renames: whoever reads sees all of it or nothing.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Takes the lock of a folder, and waits for it. The file is held by the one process that asks a provider for a
/// zone, until it is dropped.
pub(crate) fn lock(folder: &Path) -> io::Result<Flock<File>> {
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(folder.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// Removes the oldest files until the folder is a tenth below its limits.
pub(crate) fn sweep(root: &Path, limits: Limits) -> Swept {
    let mut files = Vec::new();
    list(root, &mut files, 0);
    let mut swept = Swept {
        bytes: files.iter().map(|(_, bytes, _)| bytes).sum(),
        entries: files.len(),
        evicted: 0,
    };
    if swept.bytes <= limits.bytes && swept.entries <= limits.entries {
        return swept;
    }
    files.sort();
    let (bytes, entries) = (limits.bytes / 10 * 9, limits.entries / 10 * 9);
    for (_, size, path) in files {
        if swept.bytes <= bytes && swept.entries <= entries {
            break;
        }
        if fs::remove_file(&path).is_ok() {
            swept.bytes -= size;
            swept.entries -= 1;
            swept.evicted += 1;
        }
    }
    swept
}

/// The tree is four deep; deeper is not ours.
const DEPTH_MAX: usize = 5;

fn list(folder: &Path, files: &mut Vec<(SystemTime, u64, PathBuf)>, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // A link is neither followed nor counted.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), files, depth + 1);
        } else if metadata.is_file() && entry.file_name() != "lock" {
            let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((written, metadata.len(), entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zone_leads_out_of_the_folder() {
        let root = Path::new("/cache");
        let signal = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
        for zone in ["..", "../../etc", "/etc", "a/b", "."] {
            let folder = folder(root, "gb", zone, signal);
            assert!(folder.starts_with("/cache/slots/gb"), "{folder:?}");
            assert_eq!(folder.components().count(), 6, "{folder:?}");
            assert!(folder.components().all(|part| part.as_os_str() != ".."), "{folder:?}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..10_u64 {
            let path = dir.path().join(format!("a/{n}"));
            write_atomically(&path, &[0; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let roomy = Limits { bytes: 1000, entries: 10 };
        assert_eq!(sweep(dir.path(), roomy), Swept { bytes: 1000, entries: 10, evicted: 0 });
        let swept = sweep(dir.path(), Limits { bytes: 500, entries: 10 });
        assert_eq!(swept, Swept { bytes: 400, entries: 4, evicted: 6 });
        assert!(dir.path().join("a/9").exists() && !dir.path().join("a/5").exists());
    }

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let other = || {
            let file = File::options().write(true).open(dir.path().join("lock")).unwrap();
            Flock::lock(file, FlockArg::LockExclusiveNonblock)
        };
        assert!(other().is_err());
        // A process that was just forked still has the open file.
        let inherited = held.try_clone().unwrap();
        drop(held);
        assert!(other().is_ok());
        drop(inherited);
    }
}
