//! The file operations below a ledger's directory, one to one with system calls.
//!
//! [`crate::storage::DirStorage`] decides what is done in which order; this only does it, so that a
//! test can put a disk here that loses power, tears sectors and fails. Names are relative to the
//! directory.
//!
//! Others may write to the directory, and who writes here may be root. Rule: below the directory no symbolic
//! link is followed, nothing is opened but a regular file, and nothing is written to that has another owner
//! than the directory, this process or root, or another name elsewhere. What root makes belongs to the owner
//! of the directory.
//!
//! Out of scope: knowing what any file is for.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{geteuid, linkat};

use crate::durable;

/// Auditors read ledgers: everybody may.
pub(crate) const FILE_MODE: u32 = 0o644;
/// So may they look into the directory.
const DIR_MODE: u32 = 0o755;
/// What is sealed is written by nobody.
const SEALED_MODE: u32 = 0o444;
/// A lock is held by whoever can open it: only its owner may.
const LOCK_MODE: u32 = 0o600;
/// How many files are synced at a time.
const SYNCS_AT_ONCE: usize = 16;
/// How long to sleep between attempts to lock. An append holds the lock for milliseconds.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// After so long a wait for a lock is told of.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// Whoever waits for a lock holds that of the file with this ending meanwhile, so that the holder can tell.
const QUEUE: &str = ".queue";

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
    fn others_wait(&self, name: &str) -> io::Result<bool> {
        let _ = name;
        Ok(true)
    }

    /// Who holds a lock; none when that cannot be told.
    fn holder(&self, name: &str) -> Option<Holder> {
        let _ = name;
        None
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

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The file that is locked.
    pub path: PathBuf,
    /// The process and its name, where the system tells.
    pub process: Option<(u32, String)>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.process {
            Some((pid, name)) if name.is_empty() => write!(f, "the process {pid}"),
            Some((pid, name)) => write!(f, "the process {pid} ({name})"),
            None => f.write_str("another process"),
        }
    }
}

/// The files of this machine.
#[derive(Clone, Debug)]
pub struct RealFiles {
    root: PathBuf,
    on_wait: Option<fn(&Holder)>,
    /// Set once a lock was seen to exclude others.
    excludes: OnceLock<()>,
}

impl RealFiles {
    /// The files below a directory; nothing is opened or made.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), on_wait: None, excludes: OnceLock::new() }
    }

    /// Calls `tell` when a lock has been waited for during a second.
    #[must_use]
    pub fn on_wait(self, tell: Option<fn(&Holder)>) -> Self {
        Self { on_wait: tell, ..self }
    }

    /// The content of a file, up to so many bytes; none when it is not there.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name, Open::Read)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// A directory below this one, or this one itself. Links on the way to the latter are those of whoever
    /// named it.
    fn dir(&self, name: &str) -> io::Result<File> {
        let mut parts = name.split('/').filter(|part| !part.is_empty());
        parts.try_fold(File::open(&self.root)?, |dir, part| {
            open_at(&dir, part, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)
        })
    }

    /// The directory that a file is in, and its name there.
    fn place<'n>(&self, name: &'n str) -> io::Result<(File, &'n str)> {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        Ok((self.dir(parent)?, last))
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        let (dir, last) = self.place(name)?;
        let file = open_at(&dir, last, OFlag::O_RDWR | OFlag::O_CREAT, LOCK_MODE)?;
        check_written(&file, &dir, 1)?;
        if file.metadata()?.mode() & 0o077 != 0 {
            // Made by an older version. Who does not own it leaves it as it is.
            drop(file.set_permissions(Permissions::from_mode(LOCK_MODE)));
        }
        Ok(file)
    }

    /// Takes a lock, for who has `waited` already.
    fn lock_after(
        &self,
        (file, name): (&File, &str),
        waited: &mut Duration,
        patience: Duration,
    ) -> io::Result<bool> {
        // Sleeps are added up rather than a clock read.
        #[expect(
            clippy::disallowed_methods,
            reason = "`unlock` lets it go; closing alone would not"
        )]
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if *waited < patience => {
                    std::thread::sleep(LOCK_POLL);
                    *waited += LOCK_POLL;
                    if *waited == TELL_AFTER
                        && let Some(tell) = self.on_wait
                    {
                        tell(&self.holder_of(file, name));
                    }
                }
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
    }

    fn holder_of(&self, file: &File, name: &str) -> Holder {
        Holder { path: self.root.join(name), process: process_that_locks(file) }
    }

    /// Rule: whoever holds the lock holds the file that has its name; a folder may have been renamed, and another one
    /// have taken its place, while this waited.
    fn refuse_if_moved(&self, held: &File, name: &str) -> io::Result<()> {
        let (held, named) = (held.metadata()?, std::fs::metadata(self.root.join(name))?);
        if (held.dev(), held.ino()) == (named.dev(), named.ino()) {
            return Ok(());
        }
        Err(io::Error::other("another folder took its place meanwhile; nothing was changed"))
    }

    /// A lock that excludes nobody would let writers destroy each other's lines.
    fn refuse_unless_exclusive(&self, name: &str) -> io::Result<()> {
        if self.excludes.get().is_none() {
            #[expect(clippy::disallowed_methods, reason = "a probe that nobody is excluded by")]
            if self.lock_file(name)?.try_lock().is_ok() {
                let reason = "locks exclude nobody on this file system";
                return Err(io::Error::new(ErrorKind::Unsupported, reason));
            }
            self.excludes.get_or_init(|| ());
        }
        Ok(())
    }
}

/// Opens what has this name in a directory, if it is no link; never waits for it.
fn open_at(dir: &File, name: &str, how: OFlag, mode: u32) -> io::Result<File> {
    let always = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = openat(dir, name, how | always, Mode::from_bits_truncate(mode));
    let file = File::from(opened.map_err(|errno| match errno {
        nix::Error::ELOOP => refused("it is a symbolic link"),
        other => other.into(),
    })?);
    if !how.contains(OFlag::O_DIRECTORY) && !file.metadata()?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    Ok(file)
}

/// Refuses to write to what may be somebody else's, and gives what root made to the owner of the directory.
fn check_written(file: &File, dir: &File, names: u64) -> io::Result<()> {
    let (found, dir) = (file.metadata()?, dir.metadata()?);
    if found.nlink() > names {
        return Err(refused("it has another name elsewhere"));
    }
    let me = geteuid();
    if ![dir.uid(), me.as_raw(), 0].contains(&found.uid()) {
        let reason = format!("it belongs to another user, with the number {}", found.uid());
        return Err(refused(reason));
    }
    durable::give_to_owner_of(&dir, file)
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason.into())
}

/// The process that holds the lock of a file, by `/proc/locks` (proc(5)): the lock's kind, whether it is
/// exclusive, the process, the device in hexadecimal and the inode.
fn process_that_locks(file: &File) -> Option<(u32, String)> {
    let found = file.metadata().ok()?;
    let (major, minor) = (nix::sys::stat::major(found.dev()), nix::sys::stat::minor(found.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", found.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid, place) = (words.next()?, words.nth(2)?, words.next()?);
        (kind == "FLOCK" && place == wanted).then(|| pid.parse().ok())?
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim_end().to_owned()))
}

/// None for what is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Takes the lock of a file, waiting up to `patience`; false when somebody else holds it for that
/// long.
pub(crate) fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    RealFiles::new("").lock_after((file, ""), &mut waited, patience)
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
        let queue_name = format!("{name}{QUEUE}");
        let (queue, lock) = (self.lock_file(&queue_name)?, self.lock_file(name)?);
        let mut waited = Duration::ZERO;
        let queued = self.lock_after((&queue, &queue_name), &mut waited, patience);
        let locked = queued.and_then(|first| {
            let locked = first && self.lock_after((&lock, name), &mut waited, patience)?;
            if locked {
                self.refuse_if_moved(&lock, name)?;
                self.refuse_unless_exclusive(name)?;
            }
            Ok(locked)
        });
        drop(queue.unlock());
        if !matches!(locked, Ok(true)) {
            self.unlock(lock);
            return locked.map(|_| None);
        }
        Ok(Some(lock))
    }

    fn holder(&self, name: &str) -> Option<Holder> {
        Some(self.holder_of(&self.lock_file(name).ok()?, name))
    }

    fn others_wait(&self, name: &str) -> io::Result<bool> {
        let queue = self.lock_file(&format!("{name}{QUEUE}"))?;
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
        let write = |flags| OFlag::O_RDWR | flags;
        let flags = match how {
            Open::Read => OFlag::O_RDONLY,
            Open::Append => write(OFlag::O_APPEND),
            Open::AppendOrMake => write(OFlag::O_APPEND | OFlag::O_CREAT),
            Open::Overwrite => write(OFlag::O_CREAT),
            Open::Rewrite => write(OFlag::empty()),
        };
        let Some((dir, last)) = there(self.place(name))? else { return Ok(None) };
        let Some(file) = there(open_at(&dir, last, flags, FILE_MODE))? else { return Ok(None) };
        match how {
            Open::Read => {}
            // While it is sealed, the active file has two names.
            Open::Append | Open::Rewrite => check_written(&file, &dir, 2)?,
            Open::AppendOrMake | Open::Overwrite => check_written(&file, &dir, 1)?,
        }
        if how == Open::Overwrite && file.metadata()?.len() > 0 {
            file.set_len(0)?;
        }
        Ok(Some(file))
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
        let (dir, last) = self.place(name)?;
        let file = open_at(&dir, last, OFlag::O_RDONLY, 0)?;
        file.set_permissions(Permissions::from_mode(SEALED_MODE))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((old, from), (new, to)) = (self.place(from)?, self.place(to)?);
        Ok(renameat(&old, from, &new, to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let ((old, from), (new, to)) = (self.place(from)?, self.place(to)?);
        Ok(linkat(&old, from, &new, to, AtFlags::empty())?)
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        let (dir, last) = self.place(name)?;
        match mkdirat(&dir, last, Mode::from_bits_truncate(DIR_MODE)) {
            Ok(()) => {}
            // Somebody else made it meanwhile.
            Err(nix::Error::EEXIST) => return self.dir(name).map(drop),
            Err(error) => return Err(error.into()),
        }
        durable::give_to_owner_of(&dir.metadata()?, &self.dir(name)?)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.dir(name)?.sync_all()
    }

    fn list(&self, name: &str) -> io::Result<Option<Vec<String>>> {
        let Some(dir) = there(self.dir(name))? else { return Ok(None) };
        let mut names = Vec::new();
        for item in Dir::from_fd(dir.into())?.iter() {
            // What is not UTF-8 is none of ours.
            names.extend(item?.file_name().to_str().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        Ok(Some(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_excludes_nobody_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = RealFiles::new(dir.path());
        // Nothing is locked, as where flock does nothing: somebody else gets the lock.
        let error = files.refuse_unless_exclusive("lock").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let locked = files.lock("lock", Duration::ZERO).unwrap();
        assert!(locked.is_some() && files.refuse_unless_exclusive("lock").is_ok());
    }

    #[test]
    fn the_lock_of_a_folder_that_was_renamed_is_none_of_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let (here, away) = (dir.path().join("here"), dir.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let held = RealFiles::new(&here).lock("lock", Duration::ZERO).unwrap().unwrap();
        std::fs::rename(&here, &away).unwrap();
        std::fs::create_dir(&here).unwrap();
        let files = RealFiles::new(&here);
        drop(files.lock_file("lock").unwrap());
        let error = files.refuse_if_moved(&held, "lock").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other, "{error}");
        assert!(RealFiles::new(&away).refuse_if_moved(&held, "lock").is_ok());
    }

    #[test]
    fn a_wait_of_a_second_is_told_once_with_who_holds_the_lock() {
        use std::sync::Mutex;
        static TOLD: Mutex<Vec<Holder>> = Mutex::new(Vec::new());
        let dir = tempfile::tempdir().unwrap();
        let held = RealFiles::new(dir.path()).lock("lock", Duration::ZERO).unwrap();
        let files = RealFiles::new(dir.path()).on_wait(Some(|holder| {
            TOLD.lock().unwrap().push(holder.clone());
        }));
        let patience = TELL_AFTER.saturating_sub(LOCK_POLL);
        assert!(files.lock("lock", patience).unwrap().is_none());
        assert_eq!(TOLD.lock().unwrap().len(), 0);
        assert!(files.lock("lock", TELL_AFTER + 4 * LOCK_POLL).unwrap().is_none());
        let told = TOLD.lock().unwrap();
        assert_eq!((told.len(), &told[0].path), (1, &dir.path().join("lock")));
        let process = told[0].process.as_ref();
        assert!(process.is_none_or(|(pid, _)| *pid == std::process::id()), "{told:?}");
        drop(held);
    }
}
