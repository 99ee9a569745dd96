//! The file operations below a ledger's directory, one to one with system calls.
//!
//! [`crate::storage::DirStorage`] decides what is done in which order; this only does it, so that a
//! test can put a disk here that loses power, tears sectors and fails. Names are relative to the
//! directory.
//!
//! Out of scope: knowing what any file is for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable;

/// Auditors read ledgers: everybody may.
pub(crate) const FILE_MODE: u32 = 0o644;
/// So may they look into the directory.
const DIR_MODE: u32 = 0o755;
/// What is sealed is written by nobody.
const SEALED_MODE: u32 = 0o444;
/// How many files are synced at a time.
const SYNCS_AT_ONCE: usize = 16;
/// How long to sleep between attempts to lock. An append holds the lock for milliseconds.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Open {
    /// Reading.
    Read,
    /// Reading, and writing at the end.
    Append,
    /// As [`Open::Append`]; an empty file is made if there is none.
    AppendOrMake,
    /// Writing from the beginning, into a file that is empty or new.
    Overwrite,
    /// Reading, and writing anywhere into what there is.
    Rewrite,
}

/// What is known of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub len: u64,
    /// What tells it from every other file of the machine: device and inode.
    pub identity: (u64, u64),
    /// Whether its mode lets somebody write to it.
    pub writable: bool,
}

/// A directory and the operations on files in it.
///
/// Each method is one attempt at one system call (but where it says otherwise), and an error means
/// that it may or may not have happened.
pub trait Files {
    /// An open file; dropping it closes it.
    type File: std::fmt::Debug;

    /// The directory, for messages.
    fn root(&self) -> &Path;

    /// Makes the directory, durably; nothing if it is there.
    fn make_root(&self) -> io::Result<()>;

    /// Makes the file if there is none and takes its exclusive lock, waiting up to `patience`; none
    /// when somebody else holds it for that long.
    fn lock(&self, name: &str, patience: Duration) -> io::Result<Option<Self::File>>;

    /// Gives a lock back, also one that a child inherited.
    fn unlock(&self, lock: Self::File);

    /// Whether somebody waits for a lock that this one holds; yes when that cannot be told.
    ///
    /// # Errors
    ///
    /// When looking fails.
    fn others_wait(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Opens a file; none when it is not there (and not made).
    fn open(&self, name: &str, how: Open) -> io::Result<Option<Self::File>>;

    /// fstat(2).
    fn stat(&self, file: &Self::File) -> io::Result<Stat>;

    /// Fills `bytes` from an offset: pread(2) until it is full.
    fn read_at(&self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes at the end, or from the beginning on for [`Open::Overwrite`]: write(2), which may do
    /// less than all.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;

    /// Writes over what is there, at an offset, all of it. Not for files opened to append.
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// fdatasync(2).
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;

    /// fsync(2).
    fn sync_all(&self, file: &Self::File) -> io::Result<()>;

    /// fsync(2) of each.
    ///
    /// # Errors
    ///
    /// When one of them fails.
    fn sync_each(&self, files: &[Self::File]) -> io::Result<()> {
        files.iter().try_for_each(|file| self.sync_all(file))
    }

    /// ftruncate(2).
    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Takes away everybody's permission to write: chmod(2).
    fn seal(&self, name: &str) -> io::Result<()>;

    /// rename(2).
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// link(2).
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// mkdir(2).
    fn make_dir(&self, name: &str) -> io::Result<()>;

    /// fsync(2) of a directory; the empty name is the ledger's own.
    fn sync_dir(&self, name: &str) -> io::Result<()>;

    /// The names in a directory; none when there is no such directory.
    fn list(&self, name: &str) -> io::Result<Option<Vec<String>>>;
}

/// The files of this machine.
#[derive(Clone, Debug)]
pub struct RealFiles {
    root: PathBuf,
}

impl RealFiles {
    /// The files below a directory; nothing is opened or made.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// None for what is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Takes the lock of a file, waiting up to `patience`; false when somebody else holds it for that
/// long.
pub(crate) fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    lock_after(file, &mut waited, patience)
}

/// As [`lock_within`], for who has `waited` already.
fn lock_after(file: &File, waited: &mut Duration, patience: Duration) -> io::Result<bool> {
    // Sleeps are added up rather than a clock read.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if *waited < patience => {
                std::thread::sleep(LOCK_POLL);
                *waited += LOCK_POLL;
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

impl Files for RealFiles {
    type File = File;

    fn root(&self) -> &Path {
        &self.root
    }

    fn make_root(&self) -> io::Result<()> {
        durable::create_dirs(&self.root, DIR_MODE)
    }

    fn lock(&self, name: &str, patience: Duration) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let lock = options.open(self.at(name))?;
        // Whoever waits holds the directory's lock meanwhile, so that the holder can tell.
        let (queue, mut waited) = (File::open(&self.root)?, Duration::ZERO);
        let locked =
            lock_after(&queue, &mut waited, patience)? && lock_after(&lock, &mut waited, patience)?;
        drop(queue.unlock());
        Ok(locked.then_some(lock))
    }

    fn others_wait(&self) -> io::Result<bool> {
        let queue = File::open(&self.root)?;
        let free = lock_within(&queue, Duration::ZERO)?;
        drop(queue.unlock());
        Ok(!free)
    }

    fn unlock(&self, lock: File) {
        // Closing is not enough: a child that was forked and has not called exec yet holds the same
        // open file description, and with it the lock (flock(2)). An explicit unlock is for all.
        drop(lock.unlock());
    }

    fn open(&self, name: &str, how: Open) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.mode(FILE_MODE);
        match how {
            Open::Read => options.read(true),
            Open::Append => options.read(true).append(true),
            Open::AppendOrMake => options.read(true).append(true).create(true),
            Open::Overwrite => options.write(true).create(true).truncate(true),
            Open::Rewrite => options.read(true).write(true),
        };
        there(options.open(self.at(name)))
    }

    fn stat(&self, file: &File) -> io::Result<Stat> {
        let found = file.metadata()?;
        let writable = found.permissions().mode() & 0o222 != 0;
        Ok(Stat { len: found.len(), identity: (found.dev(), found.ino()), writable })
    }

    fn read_at(&self, file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn write_at(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_each(&self, files: &[File]) -> io::Result<()> {
        // In parallel: a journal makes what waits at the same time durable in one go.
        let share = files.len().div_ceil(SYNCS_AT_ONCE).max(1);
        std::thread::scope(|scope| {
            let sync = |some: &[File]| some.iter().try_for_each(File::sync_all);
            let (own, others) = files.split_at(share.min(files.len()));
            let threads: Vec<_> = others
                .chunks(share)
                .map(|some| std::thread::Builder::new().spawn_scoped(scope, move || sync(some)))
                .collect();
            let mut result = sync(own);
            for (thread, some) in threads.into_iter().zip(others.chunks(share)) {
                let synced = match thread {
                    Ok(thread) => {
                        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread died")))
                    }
                    // There are no more threads: it is done here.
                    Err(_) => sync(some),
                };
                result = result.and(synced);
            }
            result
        })
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn seal(&self, name: &str) -> io::Result<()> {
        std::fs::set_permissions(self.at(name), std::fs::Permissions::from_mode(SEALED_MODE))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.at(from), self.at(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::hard_link(self.at(from), self.at(to))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        durable::make_dir(&self.at(name), DIR_MODE)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        // An empty name adds a slash to the path, which does not matter.
        durable::sync_dir(&self.at(name))
    }

    fn list(&self, name: &str) -> io::Result<Option<Vec<String>>> {
        let Some(items) = there(std::fs::read_dir(self.at(name)))? else { return Ok(None) };
        let mut names = Vec::new();
        for item in items {
            // What is not UTF-8 is none of ours.
            names.extend(item?.file_name().into_string());
        }
        Ok(Some(names))
    }
}
