//! What appending and recovering need from a disk, and the directory that provides it.
//!
//! The trait is small so that tests can put a disk behind it that fails at every step; the
//! directory stands on a second, lower one (`files.rs`), so that tests can also take its own steps
//! apart.
//!
//! Out of scope: reading whole ledgers (`segment.rs`), and knowing what a line is.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{Files, Holder, Open, RealFiles};
use crate::names::LOCK_FILE;
use crate::segment::{Parts, SEGMENT_DIR, SegmentName};

pub use crate::names::{BEFORE_FILE, CONTINUED_FILE, LEDGER_FILE, OWN_DIRS, OWN_FILES};

/// Evidence is a batch and a line, a tile 8 KiB, a checkpoint a few signatures; the limit is for a
/// file that is none of these.
const MAX_BESIDE_BYTES: u64 = (1 << 20) + (1 << 17);
/// How much of the end of the ledger may be in doubt after a sync that failed: one batch, which is
/// at most a megabyte, and one line.
const DOUBTED_BYTES: u64 = (1 << 20) + (1 << 16);

/// How many files are written and open at once: far below what a process may have open.
const FILES_AT_ONCE: usize = 128;

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

    /// Who holds the lock, after it could not be taken; none when that cannot be told.
    fn holder(&mut self) -> Option<Holder> {
        None
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

    /// The names of all files beside the ledger.
    fn names(&mut self) -> io::Result<Vec<String>>;

    /// Reads a file beside the ledger, such as evidence, of up to two megabytes; none when there is none.
    fn read_beside(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Makes or replaces a file beside the ledger, durably, and so that a crash leaves the old or the
    /// new one. The name may lead through directories, which are made.
    fn replace_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// As [`Storage::replace_beside`] for many files, of which a crash may leave any of the old ones and
    /// any of the new.
    ///
    /// # Errors
    ///
    /// When one of them fails; others may be there.
    fn replace_all_beside(&mut self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        files.iter().try_for_each(|(name, bytes)| self.replace_beside(name, bytes))
    }

    /// Appends to a file of lines beside the ledger, durably; makes it when there is none. Begins on
    /// a new line, whatever a crash left of the last one.
    fn append_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// How many bytes at the beginning of the ledger are sealed: they never change.
    fn sealed(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    /// Seals everything there is, which has to be durable and to end with the whole line numbered
    /// `last_seq`. A crash leaves it sealed or not, with no byte of the ledger changed. The name of
    /// the segment; none when nothing new was there.
    fn seal(&mut self, last_seq: u64) -> io::Result<Option<SegmentName>> {
        let _ = last_seq;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A ledger in a directory: sealed segments, `ledger.ndjson`, `lock`, evidence of torn writes,
/// checkpoints and tiles.
///
/// The lock is flock(2) on a file of its own, so that it survives the replacement of the ledger
/// file, and is released by the kernel when the process dies. Whoever waits for it holds the lock of a
/// second file meanwhile: so waiters queue, the holder can tell that there are some, and who gives the
/// lock up for their sake gets behind them. Only their owner can open these two, so that no reader of the
/// ledger can keep its writers waiting. Where flock excludes nobody, as on some network file systems, the
/// first lock finds out, and nothing is written.
///
/// After a sync that failed the kernel may show bytes that never reached the disk as if they had,
/// and sync successfully without them (Rebello et al., "Can Applications Recover from fsync
/// Failures?", USENIX ATC 2020). Whoever meets that gives the lock file a length, which needs no
/// room on a full disk; whoever locks next writes the end of the ledger again before it relies on
/// it. After a reboot nothing is in doubt: what is seen then came from the disk.
#[derive(Debug)]
pub struct DirStorage<F: Files = RealFiles> {
    files: F,
    /// Held while locked; dropping it unlocks.
    lock: Option<F::File>,
    /// The ledger while locked. One handle for write and sync, so that the sync reports what became
    /// of that write (fsync(2), "ERRORS").
    parts: Option<Parts<F::File>>,
    /// The active file that this process knows to be durable, by its name and up to this length.
    durable: Option<((u64, u64), u64)>,
}

impl DirStorage {
    /// Names a directory; nothing is opened or made yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::over(RealFiles::new(dir))
    }

    /// Calls `tell` when the lock has been waited for during a second.
    #[must_use]
    pub fn on_wait(self, tell: Option<fn(&Holder)>) -> Self {
        Self { files: self.files.on_wait(tell), ..self }
    }
}

impl<F: Files> DirStorage<F> {
    /// A ledger in a directory of other files than those of this machine.
    #[must_use]
    pub fn over(files: F) -> Self {
        Self { files, lock: None, parts: None, durable: None }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.files.root()
    }

    fn parts(&self) -> io::Result<&Parts<F::File>> {
        self.parts.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn active(&self) -> io::Result<&F::File> {
        self.parts()?.active().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens what there is, after finishing what a writer that died had begun.
    fn open_parts(&mut self) -> io::Result<()> {
        let mut parts = Parts::open(&self.files, Open::Append)?;
        if parts.has_sealed() && parts.active().is_none() {
            // Crash here, and at any step of this: the same is found and done again.
            self.begin_active()?;
            parts = Parts::open(&self.files, Open::Append)?;
        }
        self.protect(&parts)?;
        self.parts = Some(parts);
        self.make_durable()
    }

    /// Makes durable what others left in the active file, before anything is built on it: they may
    /// have died between writing and syncing. So at most one piece is ever in doubt, the last one.
    fn make_durable(&mut self) -> io::Result<()> {
        let Some(active) = self.parts()?.active() else { return Ok(()) };
        let stat = self.files.stat(active)?;
        let now = (stat.identity, stat.len);
        if self.durable == Some(now) {
            return Ok(());
        }
        if self.durable.is_none_or(|(identity, _)| identity != stat.identity) {
            // Nor may the name be durable yet, and what is appended to a file without one is lost.
            self.sync_names(self.parts()?)?;
        }
        self.files.sync_data(active).inspect_err(|_| self.doubt())?;
        self.durable = Some(now);
        Ok(())
    }

    fn sync_names(&self, parts: &Parts<F::File>) -> io::Result<()> {
        if parts.has_sealed() {
            self.files.sync_dir(SEGMENT_DIR)?;
        }
        self.files.sync_dir("")
    }

    /// Puts an empty active file in the place of one that is sealed. The names of segments are made
    /// durable first: the old name may be the only one that is.
    fn begin_active(&self) -> io::Result<()> {
        self.files.sync_dir(SEGMENT_DIR)?;
        self.files.sync_dir("")?;
        self.write_whole(LEDGER_FILE, b"")
    }

    /// Takes the permission to write from the last segment. A protection from accidents only: a
    /// writer that does not own the file goes on without.
    fn protect(&self, parts: &Parts<F::File>) -> io::Result<()> {
        let Some(name) = parts.unprotected() else { return Ok(()) };
        match self.files.seal(&name.path()) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other,
        }
    }

    /// Writes the end of the ledger again and makes it durable, if a sync has failed.
    fn repair_doubted_end(&self) -> io::Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        if self.files.stat(lock)?.len == 0 {
            return Ok(());
        }
        if let Some(file) = self.files.open(LEDGER_FILE, Open::Rewrite)? {
            let len = self.files.stat(&file)?.len;
            let start = len.saturating_sub(DOUBTED_BYTES);
            let mut bytes = vec![0; usize::try_from(len - start).unwrap_or_default()];
            self.files.read_at(&file, start, &mut bytes)?;
            // Crash here: the same bytes are written to where they are, in whatever order.
            self.files.write_at(&file, start, &bytes)?;
            self.files.sync_all(&file)?;
        }
        self.files.set_len(lock, 0)
    }

    /// Leaves word that the end of the ledger is in doubt. Nothing more can be done about a failure
    /// to do so; this writer stops in any case.
    fn doubt(&self) {
        if let Some(lock) = &self.lock {
            drop(self.files.set_len(lock, 1));
        }
    }

    fn write_all(&self, file: &mut F::File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.files.write(file, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// A file that appears under its name complete or not at all.
    fn write_whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temp = temporary(name);
        let file = self.write_temporary(&temp, bytes)?;
        self.files.sync_all(&file)?;
        self.files.rename(&temp, name)?;
        self.files.sync_dir(name.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    /// Only the holder of the lock writes here, so a left-over under this name is a dead one's.
    fn write_temporary(&self, temp: &str, bytes: &[u8]) -> io::Result<F::File> {
        let file = self.files.open(temp, Open::Overwrite)?;
        let mut file = file.ok_or(io::ErrorKind::NotFound)?;
        self.write_all(&mut file, bytes)?;
        Ok(file)
    }

    /// Some files at once: one wait for the disk instead of one for each.
    fn write_some_whole(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let mut written = Vec::with_capacity(files.len());
        for (name, bytes) in files {
            self.make_dirs(name)?;
            written.push(self.write_temporary(&temporary(name), bytes)?);
        }
        self.files.sync_each(&written)?;
        let mut parents = BTreeSet::new();
        for (name, _) in files {
            self.files.rename(&temporary(name), name)?;
            parents.insert(name.rsplit_once('/').map_or("", |(parent, _)| parent));
        }
        parents.into_iter().try_for_each(|parent| self.files.sync_dir(parent))
    }

    /// Makes the directories that a name leads through.
    fn make_dirs(&self, name: &str) -> io::Result<()> {
        for (at, _) in name.match_indices('/') {
            let dir = name.get(..at).unwrap_or_default();
            if self.files.list(dir)?.is_none() {
                self.files.make_dir(dir)?;
                self.files.sync_dir(dir.rsplit_once('/').map_or("", |(parent, _)| parent))?;
            }
        }
        Ok(())
    }
}

/// The name under which a file is written before it gets its own.
fn temporary(name: &str) -> String {
    let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
    let separator = if parent.is_empty() { "" } else { "/" };
    format!("{parent}{separator}.{last}.tmp")
}

impl<F: Files> Storage for DirStorage<F> {
    fn path(&self) -> PathBuf {
        self.dir().join(LEDGER_FILE)
    }

    fn lock(&mut self, patience: Duration, create: bool) -> io::Result<bool> {
        if create {
            self.files.make_root()?;
        } else if self.files.open(LEDGER_FILE, Open::Read)?.is_none()
            && self.files.list(SEGMENT_DIR)?.is_none()
        {
            // No lock file is left where there is no ledger; `size` reports its absence.
            return Ok(true);
        }
        self.lock = self.files.lock(LOCK_FILE, patience)?;
        if self.lock.is_none() {
            return Ok(false);
        }
        let opened = self.repair_doubted_end().and_then(|()| self.open_parts());
        if opened.is_err() {
            self.unlock();
        }
        opened.map(|()| true)
    }

    fn unlock(&mut self) {
        self.parts = None;
        if let Some(lock) = self.lock.take() {
            self.files.unlock(lock);
        }
    }

    fn others_wait(&mut self) -> io::Result<bool> {
        self.files.others_wait(LOCK_FILE)
    }

    fn holder(&mut self) -> Option<Holder> {
        self.files.holder(LOCK_FILE)
    }

    fn size(&mut self) -> io::Result<Option<u64>> {
        let Some(parts) = &self.parts else { return Ok(None) };
        if let Some(fault) = parts.faults().first() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault.reason.as_str()));
        }
        parts.len(&self.files)
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.parts()?.read_at(&self.files, offset, &mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let active = self.parts.as_mut().and_then(Parts::active_mut);
        let active = active.ok_or(io::ErrorKind::NotFound)?;
        let written = loop {
            match self.files.write(active, bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written < bytes.len() {
            // The disk is nearly full. The rest is not tried: the caller cuts the piece off again.
            let message = format!("only {written} of {} bytes were written", bytes.len());
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // fdatasync is enough: it makes a new length durable too (fdatasync(2)).
        let active = self.active()?;
        self.files.sync_data(active).inspect_err(|_| self.doubt())?;
        // Not to know it costs the next turn a sync that has nothing to do.
        self.durable = self.files.stat(active).ok().map(|stat| (stat.identity, stat.len));
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let Some(len) = len.checked_sub(self.parts()?.sealed_len()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "these bytes are sealed"));
        };
        let active = self.active()?;
        self.files.set_len(active, len)?;
        self.files.sync_all(active).inspect_err(|_| self.doubt())?;
        self.durable = Some((self.files.stat(active)?.identity, len));
        Ok(())
    }

    fn create(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(LEDGER_FILE, bytes)?;
        self.open_parts()
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        Ok(self.files.list("")?.unwrap_or_default())
    }

    fn read_beside(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.files.open(name, Open::Read)? else { return Ok(None) };
        let len = self.files.stat(&file)?.len.min(MAX_BESIDE_BYTES);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.files.read_at(&file, 0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.make_dirs(name)?;
        self.write_whole(name, bytes)
    }

    fn replace_all_beside(&mut self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        files.chunks(FILES_AT_ONCE).try_for_each(|some| self.write_some_whole(some))
    }

    fn append_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.files.open(name, Open::AppendOrMake)?;
        let mut file = file.ok_or(io::ErrorKind::NotFound)?;
        let (len, mut last) = (self.files.stat(&file)?.len, [b'\n']);
        if let Some(at) = len.checked_sub(1) {
            self.files.read_at(&file, at, &mut last)?;
        }
        let torn = if last == *b"\n" { "" } else { "\n" };
        self.write_all(&mut file, &[torn.as_bytes(), bytes].concat())?;
        self.files.sync_all(&file)?;
        self.files.sync_dir("")
    }

    fn sealed(&mut self) -> io::Result<u64> {
        Ok(self.parts.as_ref().map_or(0, Parts::sealed_len))
    }

    fn seal(&mut self, last_seq: u64) -> io::Result<Option<SegmentName>> {
        let parts = self.parts()?;
        let active = parts.active().ok_or(io::ErrorKind::NotFound)?;
        if self.files.stat(active)?.len == 0 {
            return Ok(None);
        }
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "these lines are sealed");
        let name = SegmentName::new(parts.next_seq(), last_seq).ok_or_else(outside)?;
        let path = name.path();
        self.make_dirs(&path)?;
        // A second name rather than a rename: between two directories, a crash could leave the old
        // name gone and the new one not yet there.
        self.files.link(LEDGER_FILE, &path)?;
        // Crash here: the file has both names, which counts once; the next writer goes on here.
        self.begin_active()?;
        // Crash here: sealed, but for its mode, which the next writer sets.
        self.open_parts()?;
        Ok(Some(name))
    }
}
