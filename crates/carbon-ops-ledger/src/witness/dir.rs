//! A witness's state in a directory: one file per log, replaced as a whole.
//!
//! `witness` names the witness and marks the directory as its own: a directory that was lost is not
//! quietly begun anew, since a witness without memory would cosign a second history. `lock` keeps a
//! second process out.
//!
//! Out of scope: the secret key, which is a file of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note, VerifierKey};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::store::StateStore;
use crate::durable;

/// The file that says whose directory this is.
const MARK_FILE: &str = "witness";
/// The first line of that file.
const MARK: &str = "carbon-ops witness v1";
/// The file whose lock is held while the witness lives.
const LOCK_FILE: &str = "lock";
/// The directory with a file per log, which holds its last cosigned checkpoint.
const STATE_DIR: &str = "logs";
/// The directory with checkpoints that contradict these.
const EVIDENCE_DIR: &str = "evidence";
/// So many contradictions are kept: a log that signs more has been found out long before.
const MAX_EVIDENCE: usize = 1000;
/// Checkpoints are public.
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessDirError {
    /// Nobody made it a witness's.
    #[error(
        "{} is not the directory of a witness",
        .0.display()
    )]
    NotInitialised(PathBuf),
    /// It is of another witness.
    #[error("{} is the directory of the witness {found}, not of {wanted}", path.display())]
    OtherWitness {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        wanted: String,
    },
    /// Another process uses it.
    #[error("{} is used by another witness process", .0.display())]
    Busy(PathBuf),
    /// A file could not be read or made.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory that holds a witness's state. Locked while this lives.
#[derive(Debug)]
pub struct DirState {
    dir: PathBuf,
    /// Unlocked on drop, and by the kernel when the process dies.
    _lock: Flock<File>,
}

impl DirState {
    /// Makes `dir` the directory of a witness. False when it is that of this witness already.
    ///
    /// # Errors
    ///
    /// When it is another's, or cannot be made.
    pub fn create(dir: &Path, key: &VerifierKey) -> Result<bool, WitnessDirError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| WitnessDirError::Io { action, path, source }
        };
        let mark = dir.join(MARK_FILE);
        if mark.exists() {
            return Self::check_mark(dir, key).map(|()| false);
        }
        for name in [STATE_DIR, EVIDENCE_DIR] {
            let dir = dir.join(name);
            durable::create_dirs(&dir, DIR_MODE).map_err(io("make", &dir))?;
        }
        durable::replace(&mark, format!("{MARK}\n{key}\n").as_bytes(), FILE_MODE)
            .map_err(io("write", &mark))?;
        Ok(true)
    }

    /// Opens the directory of the witness with this key.
    ///
    /// # Errors
    ///
    /// When it is not, or another process uses it.
    pub fn open(dir: &Path, key: &VerifierKey) -> Result<Self, WitnessDirError> {
        Self::check_mark(dir, key)?;
        let path = dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let io = |source| WitnessDirError::Io { action: "lock", path: path.clone(), source };
        let lock = options.open(&path).map_err(io)?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(WitnessDirError::Busy(dir.to_owned())),
            Err((_, error)) => Err(io(error.into())),
        }
    }

    /// The key of the witness whose directory this is; none when it is nobody's.
    ///
    /// # Errors
    ///
    /// When the mark cannot be read.
    pub fn key_of(dir: &Path) -> Result<Option<VerifierKey>, WitnessDirError> {
        let path = dir.join(MARK_FILE);
        let io = |source| WitnessDirError::Io { action: "read", path: path.clone(), source };
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(e)),
        };
        let text = str::from_utf8(&bytes).ok();
        let key = text.and_then(|text| text.strip_prefix(MARK)?.trim().parse().ok());
        let damaged = || io(io::Error::new(io::ErrorKind::InvalidData, "it names no witness"));
        key.map(Some).ok_or_else(damaged)
    }

    fn check_mark(dir: &Path, key: &VerifierKey) -> Result<(), WitnessDirError> {
        let Some(found) = Self::key_of(dir)? else {
            return Err(WitnessDirError::NotInitialised(dir.to_owned()));
        };
        if found == *key {
            return Ok(());
        }
        let (found, wanted) = (found.to_string(), key.to_string());
        Err(WitnessDirError::OtherWitness { path: dir.to_owned(), found, wanted })
    }

    /// An origin may hold slashes and be long: its file is named by its hash.
    fn path(&self, origin: &str) -> PathBuf {
        self.dir.join(STATE_DIR).join(base16ct::lower::encode_string(&Sha256::digest(origin)))
    }
}

impl StateStore for DirState {
    fn load(&mut self, origin: &str) -> io::Result<Option<Note>> {
        let bytes = match read(&self.path(origin)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let damaged = |e| io::Error::new(io::ErrorKind::InvalidData, format!("its state: {e}"));
        Note::parse(&bytes).map(Some).map_err(damaged)
    }

    fn store(&mut self, origin: &str, checkpoint: &Note) -> io::Result<()> {
        durable::replace(&self.path(origin), checkpoint.to_string().as_bytes(), FILE_MODE)
    }

    fn keep_evidence(&mut self, origin: &str, forked: &Note) -> io::Result<()> {
        let dir = self.dir.join(EVIDENCE_DIR);
        if std::fs::read_dir(&dir)?.take(MAX_EVIDENCE).count() == MAX_EVIDENCE {
            return Ok(());
        }
        // By the text alone: the same contradiction sent again is one file.
        let name = base16ct::lower::encode_string(&Sha256::digest(forked.text()));
        let (log, name) = (
            base16ct::lower::encode_string(&Sha256::digest(origin)),
            name.get(..16).unwrap_or("0").to_owned(),
        );
        durable::replace(
            &dir.join(format!("{log}-{name}")),
            forked.to_string().as_bytes(),
            FILE_MODE,
        )
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_NOTE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
