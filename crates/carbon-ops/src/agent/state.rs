//! What an agent must not forget when it is killed: the interval that is open, those that are in no ledger yet, and the
//! totals that it tells. One file, replaced in one step.
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
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::interval::Open;
use crate::fault::Fault;

/// The version of the file.
const VERSION: u32 = 1;

/// Its name.
const FILE: &str = "state.json";

/// Held by the agent that uses the folder.
const LOCK: &str = "lock";

/// A state of a week without a ledger, with hundreds of units, is smaller.
const BYTES_MAX: u64 = 1 << 30;

/// All that survives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The interval that grows.
    pub open: Option<Open>,
    /// The last tick, where the interval that it was in is closed: its totals, and no units.
    pub last: Option<Open>,
    /// Intervals that have ended and are in no ledger yet, oldest first.
    pub pending: Vec<Pending>,
    /// What was used since the first start.
    pub totals: Totals,
}

/// An interval on its way into the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The `record_id` of its first record; the others follow it, so that each has one that stays.
    pub first_id: String,
    /// The interval, small units folded.
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
    /// How often totals could not be joined to those before.
    pub gaps: u64,
    /// Ticks in all.
    pub ticks: u64,
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
        Self { version: VERSION, open: None, last: None, pending: Vec::new(), totals }
    }
}

/// The folder of an agent, which no other one uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
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
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(Fault::SecondAgent(path.to_owned()).into()),
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(named),
        }
    }

    /// What was saved; none where nothing was, and where it cannot be read why.
    ///
    /// # Errors
    /// A file that is there and is none of this version.
    pub fn load(&self) -> Result<Option<State>> {
        let path = self.path.join(FILE);
        let named = || format!("the state of the agent, {}", path.display());
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found if found.as_ref().is_ok_and(|found| found.len() > BYTES_MAX) => {
                anyhow::bail!("{} is larger than 1 GiB", named())
            }
            _ => {}
        }
        let text = fs::read(&path).with_context(named)?;
        let state: State = serde_json::from_slice(&text).with_context(named)?;
        anyhow::ensure!(state.version == VERSION, "{} is of another version", named());
        Ok(Some(state))
    }

    /// Puts a file that cannot be read aside, so that its bytes are not lost.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf> {
        let to = self.path.join(format!("{FILE}.unreadable"));
        fs::rename(self.path.join(FILE), &to)?;
        Ok(to)
    }

    /// Replaces what was saved; `durably` where it has to survive a loss of power, too.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn save(&self, state: &State, durably: bool) -> Result<()> {
        let named = || format!("the state of the agent in {}", self.path.display());
        let mut file = NamedTempFile::new_in(&self.path).with_context(named)?;
        let mut buffer = std::io::BufWriter::new(file.as_file_mut());
        serde_json::to_writer(&mut buffer, state).with_context(named)?;
        buffer.flush().with_context(named)?;
        drop(buffer);
        if durably {
            file.as_file().sync_data().with_context(named)?;
        }
        file.persist(self.path.join(FILE)).with_context(named)?;
        Ok(())
    }
}
