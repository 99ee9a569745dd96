//! Records that are not in their ledger yet: of measurements that go on, and of those whose ledger could not be
//! written.
//!
//! Beside a ledger stands a folder with a file for each such record, replaced in one step, and a lock file that
//! its measurement holds as long as it lives. What nobody holds any more was left behind, by a kill or for want
//! of room, and the next command that opens the ledger to write appends it. A record that was appended by a
//! command which died before it could take the file away is appended again; sums count a record once.
//!
//! Rule: what is signed for somebody else was written by nobody else. Only files of one's own user are taken.
//!
//! Out of scope: what the records say, and when they are saved.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops_record::Record;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::O_NOFOLLOW;
use tempfile::NamedTempFile;

/// The folder beside the file of a ledger.
pub(crate) const SPOOL_DIR: &str = "spool";

/// Longer than any line of a ledger.
const RECORD_BYTES_MAX: u64 = 1 << 17;

/// Endings of a record and of its lock.
const RECORD: &str = "json";
const LOCK: &str = "lock";

/// Saves the record of a measurement that goes on, time and again.
#[derive(Debug)]
pub struct Keeper {
    ledger: PathBuf,
    record_id: String,
    every: Duration,
    due: Instant,
    spooled: Option<Spooled>,
}

impl Keeper {
    /// Of a record beside a ledger. Nothing is written before it is due.
    pub fn new(ledger: &Path, record_id: String, every: Duration) -> Self {
        let due = Instant::now() + every;
        Self { ledger: ledger.to_owned(), record_id, every, due, spooled: None }
    }

    /// When to save the record next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Saves the record as it is now; the file.
    ///
    /// # Errors
    /// When it cannot be written; what was saved before stays.
    pub fn save(&mut self, record: &Record) -> Result<PathBuf> {
        self.due = Instant::now() + self.every;
        let spooled = match self.spooled.take() {
            Some(spooled) => spooled,
            None => Spooled::begin(&self.ledger, &self.record_id)?,
        };
        let (saved, path) = (spooled.save(record), spooled.path.clone());
        if saved.is_ok() || path.exists() {
            self.spooled = Some(spooled);
        } else {
            let _ = spooled.discard();
        }
        saved.map(|()| path)
    }

    /// Takes away what was saved: the record is in its ledger.
    pub fn discard(self) {
        // What stays is appended again, and counts once.
        let _ = self.spooled.map(Spooled::discard);
    }
}

/// A record's place, for as long as its measurement lives.
#[derive(Debug)]
pub(crate) struct Spooled {
    path: PathBuf,
    /// Held open, so that nobody takes the record for one that was left behind.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, and let go when it is dropped"))]
    lock: Flock<File>,
}

impl Spooled {
    /// Makes a place for a record beside a ledger, of which nothing else need be there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn begin(ledger: &Path, record_id: &str) -> io::Result<Self> {
        let folder = ledger.join(SPOOL_DIR);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(record_id).with_extension(RECORD);
        let lock = lock_of(&path)?.ok_or(io::ErrorKind::ResourceBusy)?;
        Ok(Self { path, lock })
    }

    /// Where the record is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the record, in place of what was there.
    ///
    /// # Errors
    /// When the file cannot be written; what was there stays.
    fn save(&self, record: &Record) -> Result<()> {
        let mut line = object_to_canonical(&payload(record)?);
        line.push(b'\n');
        let folder = self.path.parent().context("a file has a folder")?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&line)?;
        file.as_file().sync_data()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Takes the record away: it is in its ledger.
    ///
    /// # Errors
    /// When it stays.
    pub(crate) fn discard(self) -> io::Result<()> {
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed.and(fs::remove_file(self.path.with_extension(LOCK)))
    }

    /// The record as it was saved last.
    fn load(&self) -> Result<Record> {
        let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(&self.path)?;
        is_our_own(&file)?;
        let mut text = Vec::new();
        file.take(RECORD_BYTES_MAX).read_to_end(&mut text)?;
        let record: Record = serde_json::from_slice(&text)?;
        record.check()?;
        Ok(record)
    }
}

/// The records beside a ledger whose measurements live no more; what is no record is passed over.
pub(crate) fn left_behind(ledger: &Path) -> Vec<(Spooled, Record)> {
    let Ok(entries) = fs::read_dir(ledger.join(SPOOL_DIR)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == RECORD));
    paths.sort();
    let taken = paths.into_iter().filter_map(|path| {
        let lock = lock_of(&path).ok().flatten()?;
        let spooled = Spooled { path, lock };
        let record = spooled.load().ok()?;
        Some((spooled, record))
    });
    let mut taken: Vec<_> = taken.collect();
    taken.sort_by(|(_, a), (_, b)| a.start_ts.cmp(&b.start_ts));
    taken
}

/// The lock of a record, unless somebody holds it.
fn lock_of(path: &Path) -> io::Result<Option<Flock<File>>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).custom_flags(O_NOFOLLOW).open(path.with_extension(LOCK))?;
    is_our_own(&file).map_err(io::Error::other)?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
}

/// Whether a file is a regular one of the user that we are.
fn is_our_own(file: &File) -> Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        bail!("not a regular file of this user");
    }
    Ok(())
}

/// The record as the ledger takes it.
pub fn payload(record: &impl serde::Serialize) -> Result<Object> {
    let json = serde_json::to_value(record).context("the record has no JSON form")?;
    match Value::try_from(json).context("the record has no canonical form")? {
        Value::Object(object) => Ok(object),
        _ => bail!("the record is not a JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn ids(ledger: &Path) -> Vec<String> {
        left_behind(ledger).into_iter().map(|(_, record)| record.record_id).collect()
    }

    #[test]
    fn a_record_is_left_behind_once_nobody_holds_it() {
        let ledger = tempfile::tempdir().unwrap();
        let record = crate::price::tests::record();
        let id = record.record_id.clone();
        let spooled = Spooled::begin(ledger.path(), &id).unwrap();
        spooled.save(&record).unwrap();
        spooled.save(&record).unwrap();
        assert_eq!(ids(ledger.path()), Vec::<String>::new());
        assert!(Spooled::begin(ledger.path(), &id).is_err(), "a second holder");
        // A process that was just forked still has the open file.
        let inherited = spooled.lock.try_clone().unwrap();
        drop(spooled);
        assert_eq!(ids(ledger.path()), std::slice::from_ref(&id));
        drop(inherited);
        for (spooled, _) in left_behind(ledger.path()) {
            spooled.discard().unwrap();
        }
        assert_eq!(ids(ledger.path()), Vec::<String>::new());
        assert_eq!(fs::read_dir(ledger.path().join(SPOOL_DIR)).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_record_of_ones_own_is_passed_over() {
        let ledger = tempfile::tempdir().unwrap();
        let folder = ledger.path().join(SPOOL_DIR);
        fs::create_dir(&folder).unwrap();
        let good = object_to_canonical(&payload(&crate::price::tests::record()).unwrap());
        fs::write(ledger.path().join("elsewhere"), &good).unwrap();
        symlink(ledger.path().join("elsewhere"), folder.join("link.json")).unwrap();
        fs::write(folder.join("cut.json"), &good[..good.len() / 2]).unwrap();
        fs::write(folder.join("none.json"), "{}").unwrap();
        fs::write(folder.join("other.txt"), &good).unwrap();
        fs::create_dir(folder.join("folder.json")).unwrap();
        assert_eq!(ids(ledger.path()), Vec::<String>::new());
        fs::write(folder.join("whole.json"), &good).unwrap();
        assert_eq!(ids(ledger.path()).len(), 1);
    }
}
