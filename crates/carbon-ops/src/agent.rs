//! The agent: every unit of work of a host accounted for, around the clock.
//!
//! Each tick takes the [`Account`] of the time since the one before, and adds it to the interval that is open. At its
//! end, by the clock, an interval becomes records: one of each unit of work, and of idle and rest, whose energies sum to
//! the host's. The end of one is the start of the next.
//!
//! Rule: no joule twice and none lost, wherever the agent is killed. What was measured and is in no ledger is in the
//! state, which is replaced in one step after each tick. What is on its way into the ledger has identities that stay,
//! and is appended only where the ledger does not have them yet. What happened while nobody looked is
//! known where the counter says so, and else a gap that the next record tells.
//!
//! Out of scope: waiting for ticks, sockets, and what metrics look like.

mod book;
mod interval;
mod records;
mod resume;
mod state;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_record::{IdlePolicy, Note, Record, id_text};
use jiff::Timestamp;

use crate::compose::Measured;
use crate::host::Host;
use crate::price::{self, Ids, Shared};
use crate::settings::Settings;
use crate::sources::Name;
use crate::store::Store;
use crate::watch::{Account, Used};
pub use book::{Book, StoreBook};
use interval::Open;
pub use interval::{COUNT, UNITS_MAX};
use resume::Since;
pub use state::{Folder, State, Total, Totals, UnitTotal};
use state::{Pending, Waiting};

/// Intervals that wait for a ledger before the oldest ones are joined: a week of quarters of an hour.
const PENDING_MAX: usize = 672;

/// A ledger that somebody else writes to is not waited for: there is a next time.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Units whose totals are told apart.
pub const TOTALS_MAX: usize = 500;

/// Ticks after which the total of a unit that used nothing is given up where there is no room.
const FORGOTTEN_AFTER: u64 = 120;

/// How an agent accounts.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Length of an interval; they begin at multiples of it, by the clock in UTC.
    pub interval: Duration,
    /// Part of an interval's energy below which a unit has no record of its own, 0 to 1.
    pub min_share: f64,
    /// Who pays for idle energy.
    pub idle_policy: IdlePolicy,
    /// Whether there are records at all.
    pub records: bool,
}

/// Prices what was measured in one interval: a record of each, in their order, whose ids follow the first one.
pub type Pricing<'p> = dyn FnMut(&[Measured], [u8; 16]) -> Result<Vec<Record>> + 'p;

/// The accounts of a host.
#[derive(Debug)]
pub struct Agent {
    options: Options,
    folder: Folder,
    state: State,
    waiting: Waiting,
    host_id: String,
    boot_id: Option<String>,
    /// The next tick is the first one of this process.
    is_new: bool,
    /// Something before the next interval is not known.
    gap: bool,
    random: fn() -> Result<[u8; 16]>,
    /// The ledger may have records of the first interval that waits.
    look: bool,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// How many records.
    pub records: u64,
    /// Lines for whoever runs the agent.
    pub notices: Vec<String>,
}

impl Agent {
    /// Goes on from what is in the folder; lines for whoever runs the agent, where something could not be read.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(
        folder: Folder,
        options: Options,
        host: &Host,
        random: fn() -> Result<[u8; 16]>,
    ) -> Result<(Self, Vec<String>)> {
        let (state, waiting, notices) = folder.load()?;
        let agent = Self {
            options,
            folder,
            state,
            waiting,
            host_id: host.id.clone(),
            boot_id: host.boot_id.clone(),
            is_new: true,
            gap: !notices.is_empty(),
            random,
            look: true,
        };
        Ok((agent, notices))
    }

    /// What is told of it.
    pub fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// Intervals that are in no ledger yet.
    pub fn waiting(&self) -> usize {
        self.waiting.list.len()
    }

    /// Other options from now on; the open interval ends by them.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// When the interval that is open at a moment ends.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        let length = self.length_us();
        let end = (now.as_microsecond().div_euclid(length) + 1).saturating_mul(length);
        Timestamp::from_microsecond(end).unwrap_or(Timestamp::MAX)
    }

    fn length_us(&self) -> i64 {
        i64::try_from(self.options.interval.as_micros()).unwrap_or(i64::MAX).max(1)
    }

    /// Adds a tick. True where an interval has ended with it.
    ///
    /// # Errors
    /// When the state cannot be saved; the tick counts all the same, in this process.
    pub fn tick(&mut self, account: &Account) -> Result<bool> {
        let waiting = self.waiting();
        self.bridge(account)?;
        self.add(account)?;
        if self.has_ended() {
            self.close();
        }
        self.save()?;
        Ok(self.waiting() != waiting)
    }

    /// Saves what waits before what is open: an interval that has ended is in one of them, at least.
    fn save(&mut self) -> Result<()> {
        if self.waiting.is_unsaved {
            self.folder.save_waiting(&self.waiting)?;
            self.waiting.is_unsaved = false;
        }
        self.folder.save(&self.state)
    }

    /// The last tick, or what it was added to.
    fn last(&self) -> Option<&Open> {
        let open = self.state.open.as_ref().map(|open| &open.interval);
        open.or(self.state.last.as_ref())
    }

    /// Of the first tick of a process: what was between it and the last one before.
    fn bridge(&mut self, account: &Account) -> Result<()> {
        if !std::mem::take(&mut self.is_new) {
            return Ok(());
        }
        let Some(last) = self.last() else { return Ok(()) };
        match resume::since(last, self.boot_id.as_deref(), account) {
            Since::Nothing => Ok(()),
            Since::Unwatched(between, true) => self.add(&between),
            Since::Unwatched(between, false) => {
                // An interval of its own, of those counters that are known.
                self.close();
                self.add(&between)?;
                self.close();
                self.gap = true;
                Ok(())
            }
            Since::Gap => {
                self.close();
                self.gap = true;
                Ok(())
            }
        }
    }

    fn add(&mut self, account: &Account) -> Result<()> {
        self.state.totals.add(account);
        let mut tick = Open::of(account, self.options.idle_policy, self.boot_id.clone());
        let follows = self.last().is_none_or(|last| last.continues_with(&tick));
        let open = self.state.open.as_mut().map(|open| &mut open.interval);
        if let Some(open) = open.filter(|open| follows && open.has_room(&tick)) {
            open.join(tick);
            return Ok(());
        }
        // A counter that has come, gone, or begun anew.
        self.gap |= !follows;
        self.close();
        if std::mem::take(&mut self.gap) {
            tick.note([Note::GapBefore]);
            self.state.totals.gaps += 1;
        }
        let first_id = id_text((self.random)()?);
        self.state.open = Some(Pending { first_id, interval: tick });
        Ok(())
    }

    /// Whether the open interval has reached its end by the clock, which may have been set, too.
    fn has_ended(&self) -> bool {
        let of = |at: i64| at.div_euclid(self.length_us());
        let length = u64::try_from(self.options.interval.as_nanos()).unwrap_or(u64::MAX);
        self.state.open.as_ref().is_some_and(|Pending { interval, .. }| {
            of(interval.start_us) != of(interval.end_us) || interval.elapsed_ns >= length
        })
    }

    /// Ends the interval that is open.
    fn close(&mut self) {
        let Some(mut ended) = self.state.open.take() else { return };
        self.state.last = Some(ended.interval.without_units());
        if !self.options.records {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a threshold")]
        let least = self.options.min_share * ended.interval.host_uj as f64;
        #[expect(clippy::cast_precision_loss, reason = "a threshold")]
        ended.interval.fold(|energy_uj| energy_uj as f64 >= least);
        self.waiting.list.push(ended);
        self.waiting.is_unsaved = true;
        self.bound();
    }

    /// Joins the oldest intervals where too many wait.
    fn bound(&mut self) {
        if self.waiting.list.len() <= PENDING_MAX {
            return;
        }
        let pending = &mut self.waiting.list;
        // The first one may be in the ledger in part.
        let joined = (1..pending.len().saturating_sub(1)).find(|&at| {
            let (one, next) = (pending.get(at), pending.get(at + 1));
            one.zip(next).is_some_and(|(one, next)| {
                one.interval.continues_with(&next.interval) && one.interval.has_room(&next.interval)
            })
        });
        if let Some(at) = joined {
            let next = pending.remove(at + 1);
            if let Some(one) = pending.get_mut(at) {
                one.interval.join(next.interval);
            }
        }
    }

    /// Ends the open interval before its time, as when the agent is stopped.
    ///
    /// # Errors
    /// As of [`Agent::tick`].
    pub fn stop(&mut self) -> Result<()> {
        self.close();
        self.save()
    }

    /// Writes the records of intervals that have ended to a ledger, priced with the grid of their own time, and signs a
    /// checkpoint where there has been none for long.
    ///
    /// # Errors
    /// As of [`Agent::write`]; what is not written waits for a later call.
    pub fn write_to(
        &mut self,
        store: &Store,
        settings: &Settings,
        names: &[Name],
        machine: &Host,
    ) -> Result<Written> {
        if self.waiting() == 0 {
            return Ok(Written::default());
        }
        let keyring = store.keyring()?;
        let mut opened = store.open_within(&keyring, AT_ONCE)?;
        let mut notices = std::mem::take(&mut opened.notices);
        let look = std::mem::replace(&mut self.look, true);
        let mut book = StoreBook { folder: &store.ledger, opened: &mut opened, look };
        let market = price::market(settings)?;
        let mut price = |measured: &[Measured], id| {
            let shared = Shared {
                missing: settings.missing_policy.value.unwrap_or_default(),
                market: market.clone(),
                ..Shared::default()
            };
            let (machine, ids) = (machine.clone(), Ids::new(id));
            let (records, instead) =
                price::measured_together(measured, shared, settings, names, machine, ids)?;
            let source = records.first().map_or("", |record| &record.source);
            notices.extend(instead.map(|why| format!("the grid is that of {source}, {why}")));
            Ok(records)
        };
        let records = self.write(&mut price, &mut book)?;
        self.look = false;
        opened.checkpoint_if_due()?;
        opened.seal_if_due()?;
        Ok(Written { records, notices })
    }

    /// Writes the records of intervals that have ended; how many were written.
    ///
    /// # Errors
    /// When a record cannot be made or written; what is not written stays, and is written by a later call.
    pub fn write(&mut self, price: &mut Pricing<'_>, book: &mut dyn Book) -> Result<u64> {
        let mut written = 0;
        while let Some(pending) = self.waiting.list.first() {
            let list = records::measured(&pending.interval, &self.host_id)?;
            let (units, measured): (Vec<_>, Vec<_>) = list.into_iter().unzip();
            let first = u128::from_str_radix(&pending.first_id, 16).context("an id of a record")?;
            let mut records = price(&measured, first.to_be_bytes())?;
            for (record, unit) in records.iter_mut().zip(units) {
                (record.unit, record.partial) = (unit, Some(true));
                record.check().context("a record breaks its own rules; this is a defect")?;
            }
            let ids: BTreeSet<&str> = records.iter().map(|it| it.record_id.as_str()).collect();
            let known = book.known(&ids)?;
            for record in records.iter().filter(|record| !known.contains(&record.record_id)) {
                book.append(record)?;
                written += 1;
            }
            self.waiting.list.remove(0);
            self.waiting.is_unsaved = true;
            self.save()?;
        }
        Ok(written)
    }
}

impl Totals {
    /// Adds what was used in a tick.
    fn add(&mut self, account: &Account) {
        self.ticks += 1;
        if self.since <= 0.0 {
            self.since = account.start.as_duration().as_secs_f64();
        }
        let unnamed_ns = u64::try_from(account.unnamed.as_nanos()).unwrap_or(u64::MAX);
        self.unnamed_ns = self.unnamed_ns.saturating_add(unnamed_ns);
        for domain in &account.domains {
            let adjust = domain.adjust_uj.unwrap_or(0);
            let energy = domain.delta_uj.saturating_add_signed(adjust);
            let total = self.domains.entry(domain.name.clone()).or_default();
            *total = total.saturating_add(energy);
        }
        self.idle.add(&account.idle);
        self.rest.add(&account.rest);
        for (unit, used) in &account.units {
            if used.energy_uj == 0 {
                continue;
            }
            let key = unit.to_string();
            if !self.units.contains_key(&key) && self.units.len() >= TOTALS_MAX {
                let (ended, ticks) = (&mut self.ended, self.ticks);
                self.units.retain(|_, unit| {
                    let stays = unit.seen + FORGOTTEN_AFTER > ticks;
                    if !stays {
                        ended.join(unit.total);
                    }
                    stays
                });
            }
            if !self.units.contains_key(&key) && self.units.len() >= TOTALS_MAX {
                self.more.add(used);
                continue;
            }
            let new = || UnitTotal { unit: (**unit).clone(), total: Total::default(), seen: 0 };
            let known = self.units.entry(key).or_insert_with(new);
            known.total.add(used);
            known.seen = self.ticks;
        }
    }

    /// The host's energy in µJ.
    pub fn host_uj(&self) -> u64 {
        self.domains.values().sum()
    }
}

impl Total {
    /// Adds another total.
    pub fn join(&mut self, other: Self) {
        self.energy_uj = self.energy_uj.saturating_add(other.energy_uj);
        self.grams += other.grams;
        self.low_g += other.low_g;
        self.high_g += other.high_g;
    }

    fn add(&mut self, used: &Used) {
        self.energy_uj = self.energy_uj.saturating_add(used.energy_uj);
        if let Some(carbon) = &used.carbon {
            self.grams += carbon.grams;
            self.low_g += carbon.ci_lower_g;
            self.high_g += carbon.ci_upper_g;
        }
    }
}

/// The folder in which an agent keeps its state, of a user who names none.
pub fn default_folder(env: &crate::env::Env) -> Option<std::path::PathBuf> {
    Some(env.data_home()?.join("agent"))
}

/// Takes a folder.
///
/// # Errors
/// As of [`Folder::take`].
pub fn folder(path: &Path) -> Result<Folder> {
    Folder::take(path)
}

#[cfg(test)]
mod tests;
