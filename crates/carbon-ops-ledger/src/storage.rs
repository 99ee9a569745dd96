//! What appending and recovering need from a disk, and the directory that provides it.
//!
//! The trait is small so that tests can put a disk behind it that fails at every step. Left out:
//! reading whole ledgers (a verification reads a plain file) and knowing what a line is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable::{self, Fresh};

/// The ledger's file inside its directory.
pub const LEDGER_FILE: &str = "ledger.ndjson";
/// The file inside the ledger's directory whose lock makes one writer at a time.
pub const LOCK_FILE: &str = "lock";

/// Auditors read ledgers: everybody may.
pub(crate) const FILE_MODE: u32 = 0o644;
/// So may they look into the directory.
const DIR_MODE: u32 = 0o755;
/// Evidence is at most a batch and a line long, a tile 8 KiB, a checkpoint a few signatures; the limit
/// is for a file that is none of these.
const MAX_BESIDE_BYTES: u64 = 2 << 20;
/// How long to sleep between attempts to lock. An append holds the lock for milliseconds.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// A disk that holds one ledger.
///
/// After [`Storage::lock`] returned true and until [`Storage::unlock`], nobody else writes. All
/// other methods are called in between only.
pub trait Storage {
    /// Where the ledger is, for messages.
    fn path(&self) -> PathBuf;

    /// Takes the exclusive lock, waiting up to `patience`; false when somebody else holds it for
    /// that long. With `create`, makes the place for a ledger first. The implementation must look
    /// at the ledger afresh after each lock: somebody else may have appended to it or replaced it.
    fn lock(&mut self, patience: Duration, create: bool) -> io::Result<bool>;

    /// Gives the lock back. Called after every successful [`Storage::lock`].
    fn unlock(&mut self);

    /// Whether somebody else waits for the lock. A writer with much to do then gives it up for a while;
    /// a storage that cannot tell says yes.
    ///
    /// # Errors
    ///
    /// When looking fails.
    fn others_wait(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// How long the ledger is; none when there is no ledger file.
    fn size(&mut self) -> io::Result<Option<u64>>;

    /// Reads exactly `len` bytes from `offset`.
    fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Writes at the end, in one piece; anything less is an error. Need not be durable.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything that was appended durable. Must not return `Ok` after a failure to do so.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the ledger to `len` bytes, durably.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes the ledger file with this content, durably, and so that a crash leaves all of it or
    /// no file.
    fn create(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Keeps bytes beside the ledger under `name`, durably, replacing what is there.
    fn write_evidence(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Reads evidence back.
    fn read_evidence(&mut self, name: &str) -> io::Result<Vec<u8>>;

    /// The names of all files beside the ledger that may be evidence.
    fn evidence_names(&mut self) -> io::Result<Vec<String>>;

    /// Reads a file beside the ledger, of up to two megabytes; none when there is none.
    fn read_beside(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Makes or replaces a file beside the ledger, durably, and so that a crash leaves the old or the
    /// new one. The name may lead through directories, which are made.
    fn replace_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Appends to a file beside the ledger, durably; makes it when there is none.
    fn append_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
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

/// A ledger in a directory: `ledger.ndjson`, `lock`, evidence of torn writes, checkpoints and tiles.
///
/// The lock is flock(2) on a file of its own, so that it survives the replacement of the ledger
/// file, and is released by the kernel when the process dies. Whoever waits for it holds the lock of
/// the directory meanwhile: so waiters queue, the holder can tell that there are some, and who gives the
/// lock up for their sake gets behind them. Known gap: network file systems that do not pass flock on.
#[derive(Debug)]
pub struct DirStorage {
    dir: PathBuf,
    /// Held while locked; dropping it unlocks.
    lock: Option<File>,
    /// The ledger while locked. One handle for write and sync, so that the sync reports what became
    /// of that write (fsync(2), "ERRORS").
    ledger: Option<File>,
}

impl DirStorage {
    /// Names a directory; nothing is opened or made yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), lock: None, ledger: None }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock file.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.dir.join(LOCK_FILE)
    }

    fn ledger(&mut self) -> io::Result<&mut File> {
        self.ledger.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_ledger(&self) -> io::Result<Option<File>> {
        match OpenOptions::new().read(true).append(true).open(self.path()) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A file that appears under its name complete or not at all.
    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Only the holder of the lock writes here, so a left-over under this name is a dead one's.
        let path = self.dir.join(name);
        let parent = durable::parent_of(&path);
        let last = name.rsplit('/').next().unwrap_or(name);
        let temp = parent.join(format!(".{last}.tmp"));
        durable::write_synced(&temp, bytes, FILE_MODE, Fresh::Overwrite)?;
        std::fs::rename(&temp, &path)?;
        durable::sync_dir(parent)
    }
}

impl Storage for DirStorage {
    fn path(&self) -> PathBuf {
        self.dir.join(LEDGER_FILE)
    }

    fn lock(&mut self, patience: Duration, create: bool) -> io::Result<bool> {
        if create {
            durable::create_dirs(&self.dir, DIR_MODE)?;
        } else if !self.path().exists() {
            // No lock file is left where there is no ledger; `size` reports its absence.
            return Ok(true);
        }
        let mut options = OpenOptions::new();
        let lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.lock_path())?;
        let mut waited = Duration::ZERO;
        let queue = File::open(&self.dir)?;
        if !lock_after(&queue, &mut waited, patience)? || !lock_after(&lock, &mut waited, patience)?
        {
            return Ok(false);
        }
        drop(queue);
        self.ledger = self.open_ledger()?;
        self.lock = Some(lock);
        Ok(true)
    }

    fn unlock(&mut self) {
        self.ledger = None;
        self.lock = None;
    }

    fn others_wait(&mut self) -> io::Result<bool> {
        match File::open(&self.dir)?.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        self.ledger.as_ref().map(|file| Ok(file.metadata()?.len())).transpose()
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.ledger()?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.ledger()?.write(bytes)?;
        if written < bytes.len() {
            // The disk is nearly full. The rest is not tried: the caller cuts the piece off again.
            let message = format!("only {written} of {} bytes were written", bytes.len());
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // fdatasync is enough: it makes a new length durable too (fdatasync(2)).
        self.ledger()?.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let ledger = self.ledger()?;
        ledger.set_len(len)?;
        ledger.sync_all()
    }

    fn create(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(LEDGER_FILE, bytes)?;
        self.ledger = self.open_ledger()?;
        Ok(())
    }

    fn write_evidence(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(name, bytes)
    }

    fn read_evidence(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.dir.join(name))?.take(MAX_BESIDE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn evidence_names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in std::fs::read_dir(&self.dir)? {
            if let Ok(name) = item?.file_name().into_string()
                && name.starts_with(LEDGER_FILE)
            {
                names.push(name);
            }
        }
        Ok(names)
    }
    fn read_beside(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match File::open(self.dir.join(name)) {
            Ok(file) => file.take(MAX_BESIDE_BYTES).read_to_end(&mut bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(bytes))
    }

    fn replace_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        durable::create_dirs(durable::parent_of(&self.dir.join(name)), DIR_MODE)?;
        self.write_whole(name, bytes)
    }

    fn append_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.append(true).create(true).mode(FILE_MODE).open(self.dir.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        durable::sync_dir(&self.dir)
    }
}
