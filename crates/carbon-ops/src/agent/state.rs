//! What an agent must not forget when it is killed: the interval that is open and the totals that it tells, in a file
//! that is replaced at each tick; and in another one, which is replaced when they change, the intervals that have ended
//! and are in no ledger yet.
//!
//! Rule: an interval that ends is among those that wait before it is open no more. Where both files have it, it waits.
//!
//! A file that was cut off by a loss of power is none: the boot is another one then, and what it held is a gap.
//!
//! Out of scope: when it is saved.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use carbon_ops_record::Unit;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::interval::Open;
use crate::fault::Fault;

/// The version of the file.
const VERSION: u32 = 1;

/// The name of what is replaced at each tick.
const STATE: &str = "state.json";

/// The name of what waits.
const WAITING: &str = "waiting.json";

/// Held by the agent that uses the folder.
const LOCK: &str = "lock";

/// A state of a week without a ledger, with hundreds of units, is smaller.
const BYTES_MAX: u64 = 1 << 30;

/// What changes at each tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The interval that grows.
    pub open: Option<Pending>,
    /// The last tick, where the interval that it was in is closed: its totals, and no units.
    pub last: Option<Open>,
    /// What was used since the first start.
    pub totals: Totals,
}

/// Intervals that have ended and are in no ledger yet, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    version: u32,
    /// The intervals.
    pub list: Vec<Pending>,
    /// They are not in the file yet.
    #[serde(skip)]
    pub is_unsaved: bool,
}

/// An interval on its way into the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The `record_id` of its first record; the others follow it, so that each has one that stays.
    pub first_id: String,
    /// The interval; small units folded once it has ended.
    pub interval: Open,
}

/// Running totals. None of them ever falls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// By domain, in µJ.
    pub domains: BTreeMap<String, u64>,
    /// By unit of work, by its text.
    pub units: BTreeMap<String, UnitTotal>,
    /// Of nobody.
    pub idle: Total,
    /// Of everybody without a name.
    pub rest: Total,
    /// Of units beyond those that are told apart.
    pub more: Total,
    /// Of units that are not told any more.
    pub ended: Total,
    /// How often totals could not be joined to those before.
    pub gaps: u64,
    /// Ticks in all.
    pub ticks: u64,
    /// When they began, in seconds since 1970.
    #[serde(default)]
    pub since: f64,
    /// CPU time of the rest that may be of units which have ended.
    #[serde(default)]
    pub unnamed_ns: u64,
}

/// The total of a unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitTotal {
    /// The unit.
    pub unit: Unit,
    /// What it used.
    pub total: Total,
    /// The tick in which it last used something.
    pub seen: u64,
}

/// Energy and what it emitted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Total {
    /// In µJ.
    pub energy_uj: u64,
    /// In g CO2e, at the mean.
    pub grams: f64,
    /// Lower ends of intervals, summed.
    pub low_g: f64,
    /// Upper ends of intervals, summed.
    pub high_g: f64,
}

impl Default for State {
    fn default() -> Self {
        let totals = Totals::default();
        Self { version: VERSION, open: None, last: None, totals }
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self { version: VERSION, list: Vec::new(), is_unsaved: false }
    }
}

/// A file of the folder.
trait Kept: Serialize + DeserializeOwned + Default {
    /// Its name.
    const FILE: &str;

    fn version(&self) -> u32;
}

impl Kept for State {
    const FILE: &str = STATE;

    fn version(&self) -> u32 {
        self.version
    }
}

impl Kept for Waiting {
    const FILE: &str = WAITING;

    fn version(&self) -> u32 {
        self.version
    }
}

/// The folder of an agent, which no other one uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, and let go when it is dropped"))]
    pub(super) lock: Flock<File>,
}

impl Folder {
    /// Makes the folder where there is none, and takes it.
    ///
    /// # Errors
    /// [`Fault::SecondAgent`] where another agent has it; when it cannot be written.
    pub fn take(path: &Path) -> Result<Self> {
        let named = || format!("the folder of the agent, {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(named)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .with_context(named)?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(Fault::SecondAgent(path.to_owned()).into()),
            Err((_, error)) => Err(error).with_context(named),
        }
    }

    /// What was saved, and where something cannot be read what became of it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn load(&self) -> Result<(State, Waiting, Vec<String>)> {
        let mut notices = Vec::new();
        let mut state: State = self.read(&mut notices)?;
        let waiting: Waiting = self.read(&mut notices)?;
        let waits = |open: &Pending| waiting.list.iter().any(|it| it.first_id == open.first_id);
        let is_open = state.open.as_ref().is_some_and(|open| !waits(open));
        // Then nothing has begun since the newest of them ended, and the file says so before anything else is done.
        if let (false, Some(newest)) = (is_open, waiting.list.last()) {
            (state.open, state.last) = (None, Some(newest.interval.without_units()));
            self.save(&state)?;
        }
        Ok((state, waiting, notices))
    }

    /// What a file holds; what cannot be read is kept beside it.
    fn read<T: Kept>(&self, notices: &mut Vec<String>) -> Result<T> {
        let path = self.path.join(T::FILE);
        let error = match Self::parse(&path) {
            Ok(kept) => return Ok(kept.unwrap_or_default()),
            Err(error) => error,
        };
        let aside = self.path.join(format!("{}.unreadable", T::FILE));
        fs::rename(&path, &aside).with_context(|| format!("{error:#}; it stays in the way"))?;
        notices.push(format!("{error:#}; it is kept as {}", aside.display()));
        Ok(T::default())
    }

    fn parse<T: Kept>(path: &Path) -> Result<Option<T>> {
        let named = || format!("the state of the agent, {}", path.display());
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found if found.as_ref().is_ok_and(|found| found.len() > BYTES_MAX) => {
                anyhow::bail!("{} is larger than 1 GiB", named())
            }
            _ => {}
        }
        let text = fs::read(path).with_context(named)?;
        let kept: T = serde_json::from_slice(&text).with_context(named)?;
        anyhow::ensure!(kept.version() == VERSION, "{} is of another version", named());
        Ok(Some(kept))
    }

    /// Replaces what changes at each tick. It outlives the process; what has to outlive the machine waits.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn save(&self, state: &State) -> Result<()> {
        self.replace(state, false)
    }

    /// Replaces what waits; when this returns, it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn save_waiting(&self, waiting: &Waiting) -> Result<()> {
        self.replace(waiting, true)
    }

    fn replace<T: Kept>(&self, kept: &T, durably: bool) -> Result<()> {
        let named = || format!("the state of the agent in {}", self.path.display());
        let mut file = NamedTempFile::new_in(&self.path).with_context(named)?;
        let mut buffer = std::io::BufWriter::new(file.as_file_mut());
        serde_json::to_writer(&mut buffer, kept).with_context(named)?;
        buffer.flush().with_context(named)?;
        drop(buffer);
        if durably {
            file.as_file().sync_data().with_context(named)?;
        }
        file.persist(self.path.join(T::FILE)).with_context(named)?;
        Ok(())
    }
}
