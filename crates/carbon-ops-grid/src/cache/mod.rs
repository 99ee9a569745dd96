//! A provider behind a cache, in memory and on the disk.
//!
//! What has settled is kept for good, what is fresh for a short time, a failure for a time that doubles. One
//! thread and one process ask for a zone at a time; the others wait, and find what was fetched. A value that
//! the provider revises is kept beside the new one. When the provider fails, values that are all there but
//! not fresh are given, and counted as stale.
//!
//! Out of scope: caching user files and built-in tables, which are local anyway.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::fetch::Clock;
use super::provider::{Error, Offer, Provider, Settling, Uncovered, Want};
use crate::zones::Place;
use carbon_ops_estimate::intensity::{AnySeries, GapReason, Intensity, Interval, Series};
use carbon_ops_estimate::intensity::{Kind, Signal};

mod answers;
mod disk;
mod shard;
mod view;

pub use answers::{Answers, Kept};
pub use disk::Limits;

use disk::{Swept, lock, sweep, write_atomically};
use shard::{Row, Shard, Value};
use view::{Lifetimes, View};

/// How long a value that may still change is used without asking again by default: that of
/// carbon-ops 0.1 (`providers.ttl_seconds`).
pub const TTL: Duration = Duration::from_secs(300);

/// Pause after the first failure; doubled by each further one, as codecarbon does.
const BACK_OFF: Duration = Duration::from_secs(30);
/// Longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(3600);

/// How long the provider's region of coordinates is believed: WattTime says to ask monthly.
const PLACE_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Holes that are nearer than this are fetched in one.
const BRIDGE: Duration = Duration::from_secs(24 * 3600);

/// Shards in memory: ten zones for a year.
const MEMORY_SHARDS: usize = 130;

/// The folder is measured at the first write and after each so many.
const WRITES_PER_SWEEP: u64 = 100;

/// Whether providers may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They may.
    Online,
    /// Only what is in the cache is used, however old it is.
    Offline,
}

/// What the cache did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Answered without asking.
    pub hits: u64,
    /// Asked the provider.
    pub misses: u64,
    /// Answered with stale values, because no answer came.
    pub stale: u64,
    /// Not asked, because it failed lately.
    pub held_back: u64,
    /// Asked, and failed.
    pub failures: u64,
    /// Found what another thread or process had fetched meanwhile.
    pub joined: u64,
    /// Months read from the disk.
    pub loads: u64,
    /// Files that were not whole, and were removed.
    pub corrupted: u64,
    /// Values that the provider had revised.
    pub revisions: u64,
    /// Files removed to keep within the limits.
    pub evicted: u64,
    /// Bytes of the folder when it was measured last.
    pub bytes: u64,
    /// Files of the folder when it was measured last.
    pub entries: u64,
    /// Time to answer, summed.
    pub latency: Duration,
    /// The longest of these times.
    pub latency_max: Duration,
    /// Age of the oldest value given that may still change.
    pub age_max: Duration,
}

/// What several cached providers share.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    limits: Limits,
    ttl: Duration,
    mode: Mode,
    /// Months in memory, by file.
    memory: Mutex<HashMap<PathBuf, Loaded>>,
    flights: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Loaded {
    /// `None` until it is read for the second time: a year that is looked at once leaves nothing behind.
    shard: Option<Arc<Shard>>,
    /// As the file was: a change means that another process has written it.
    written: Option<(SystemTime, u64)>,
    used: u64,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    uses: u64,
    writes: u64,
    warnings: Vec<String>,
}

impl Store {
    /// In the folder `root`, which is made when there is something to keep.
    pub fn new(root: &Path, limits: Limits, ttl: Duration, mode: Mode) -> Self {
        Self {
            root: root.to_owned(),
            limits,
            ttl,
            mode,
            memory: Mutex::default(),
            flights: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stats
    }

    /// What a user should hear about, once: files that were discarded, a folder that cannot be written.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).warnings)
    }

    /// Where answers are kept as they came.
    pub fn answers(&self) -> Answers {
        Answers::new(&self.root.join("answers"))
    }

    fn count(&self, count: impl FnOnce(&mut Stats)) {
        count(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).stats);
    }

    fn warn(&self, warning: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.warnings.len() < 100 && !state.warnings.contains(&warning) {
            state.warnings.push(warning);
        }
    }

    /// The months of a folder that an interval touches, each when it is asked for.
    fn load(&self, folder: &Path, interval: Interval) -> impl Iterator<Item = Arc<Shard>> {
        months(interval).into_iter().map(|month| self.month(&month_file(folder, month)))
    }

    fn month(&self, path: &Path) -> Arc<Shard> {
        let written = fs::metadata(path).ok().and_then(|of| Some((of.modified().ok()?, of.len())));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let used = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.uses += 1;
            state.uses
        };
        let known = memory.get_mut(path).filter(|loaded| loaded.written == written);
        let read_before = known.is_some();
        if let Some(loaded) = known {
            loaded.used = used;
            if let Some(shard) = &loaded.shard {
                return Arc::clone(shard);
            }
        }
        let shard = Arc::new(if written.is_some() { self.read(path) } else { Shard::default() });
        if memory.len() >= MEMORY_SHARDS {
            let oldest = memory.iter().min_by_key(|(_, loaded)| loaded.used);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                memory.remove(&oldest);
            }
        }
        let kept = read_before.then(|| Arc::clone(&shard));
        memory.insert(path.to_owned(), Loaded { shard: kept, written, used });
        shard
    }

    fn read(&self, path: &Path) -> Shard {
        let Ok(bytes) = fs::read(path) else { return Shard::default() };
        self.count(|stats| stats.loads += 1);
        Shard::from_bytes(&bytes).unwrap_or_else(|| {
            self.count(|stats| stats.corrupted += 1);
            let shown = path.display();
            self.warn(format!("{shown}: not whole; discarded, and fetched again when needed"));
            let _ = fs::remove_file(path);
            Shard::default()
        })
    }

    /// Adds rows to the months that they begin in. The folder's lock is held.
    fn learn(&self, folder: &Path, rows: &[Row<'_>]) {
        let mut by_month: HashMap<PathBuf, Vec<&Row<'_>>> = HashMap::new();
        for row in rows {
            let month = month_of(row.interval.start());
            by_month.entry(month_file(folder, month)).or_default().push(row);
        }
        for (path, rows) in by_month {
            let mut shard = (*self.month(&path)).clone();
            let (before, added) = (shard.len(), rows.len());
            let known = rows.iter().filter(|row| shard.has_value_at(row.interval.start())).count();
            for row in rows {
                shard.learn(row);
            }
            let revised = (shard.len() - before).saturating_sub(added - known);
            self.count(|stats| stats.revisions += revised as u64);
            if let Err(error) = write_atomically(&path, &shard.to_bytes()) {
                self.warn(format!("{}: cannot be written: {error}", path.display()));
                // For this process at least.
                let shard = Some(Arc::new(shard));
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.insert(path, Loaded { shard, written: None, used: u64::MAX });
            }
        }
        self.sweep_sometimes();
    }

    fn sweep_sometimes(&self) {
        let due = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let due = state.writes.is_multiple_of(WRITES_PER_SWEEP);
            state.writes += 1;
            due
        };
        if due {
            let Swept { bytes, entries, evicted } = sweep(&self.root, self.limits);
            self.count(|stats| {
                stats.bytes = bytes;
                stats.entries = entries as u64;
                stats.evicted += evicted as u64;
            });
        }
    }

    fn flight(&self, folder: &Path) -> Arc<Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flights.entry(folder.to_owned()).or_default())
    }
}

/// Year and month, in UTC.
type Month = (i16, i8);

fn month_of(at: Timestamp) -> Month {
    let date = TimeZone::UTC.to_datetime(at).date();
    (date.year(), date.month())
}

fn month_file(folder: &Path, (year, month): Month) -> PathBuf {
    folder.join(format!("{year:04}-{month:02}.slots"))
}

fn month_start((year, month): Month) -> Option<Timestamp> {
    let midnight = civil::Date::new(year, month, 1).ok()?.at(0, 0, 0, 0);
    TimeZone::UTC.to_timestamp(midnight).ok()
}

fn next_month(month: Month) -> Option<Month> {
    let first = civil::Date::new(month.0, month.1, 1).ok()?;
    let next = first.checked_add(1.month()).ok()?;
    Some((next.year(), next.month()))
}

fn months(interval: Interval) -> Vec<Month> {
    let last = Timestamp::from_nanosecond(interval.end().as_nanosecond() - 1);
    let last = month_of(last.unwrap_or(interval.end()));
    let mut months = vec![month_of(interval.start())];
    while let Some(next) = months.last().copied().filter(|at| *at < last).and_then(next_month) {
        months.push(next);
    }
    months
}

/// A failure, and until when it is not repeated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    count: u32,
    until: Timestamp,
    reason: String,
}

fn failure(folder: &Path) -> Option<Failure> {
    let bytes = fs::read(folder.join("failed.json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The region that a provider named for coordinates.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Located {
    zone: String,
    asked_at: Timestamp,
}

/// A provider behind the cache.
pub struct Cached {
    inner: Box<dyn Provider>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("inner", &self.inner.id()).finish_non_exhaustive()
    }
}

impl Cached {
    /// Puts `inner` behind the cache.
    pub fn new(inner: Box<dyn Provider>, store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, store, clock }
    }

    fn view<I: Intensity>(&self, folder: &Path, interval: Interval) -> View<I> {
        let (now, ttl, settling) = (self.clock.now(), self.store.ttl, self.inner.settling());
        View::of(self.store.load(folder, interval), interval, Lifetimes { now, ttl, settling })
    }

    /// Asks the provider for what is not fresh, with the lock held.
    fn refresh(
        &self,
        folder: &Path,
        holes: &[Interval],
        zone: &str,
        want: Want,
    ) -> Result<(), Error> {
        for hole in bridged(holes) {
            let series = self.inner.slots(zone, hole, &want)?;
            let checked = self.clock.now();
            let rows = match &series {
                AnySeries::Inventory(series) => rows(series, checked),
                AnySeries::Marginal(series) => rows(series, checked),
            };
            self.store.learn(folder, &rows);
        }
        let _ = fs::remove_file(folder.join("failed.json"));
        Ok(())
    }

    fn note_failure(&self, folder: &Path, error: &Error) {
        self.store.count(|stats| stats.failures += 1);
        // What the user can mend at once is not held against the provider.
        if matches!(error, Error::Credentials { .. } | Error::NotOffered { .. }) {
            return;
        }
        let count = failure(folder).map_or(0, |failure| failure.count).saturating_add(1);
        let mut pause = BACK_OFF.saturating_mul(1 << (count - 1).min(10)).min(BACK_OFF_MAX);
        if let Error::RateLimited { retry_after: Some(after), .. } = error {
            pause = pause.max(*after);
        }
        let now = self.clock.now();
        let until = now.checked_add(pause).unwrap_or(now);
        let failure = Failure { count, until, reason: error.to_string() };
        if let Ok(bytes) = serde_json::to_vec(&failure) {
            let _ = write_atomically(&folder.join("failed.json"), &bytes);
        }
    }

    fn online<I: Intensity>(
        &self,
        folder: &Path,
        interval: Interval,
        zone: &str,
        want: Want,
    ) -> Result<View<I>, Error> {
        let flight = self.store.flight(folder);
        let _one_thread = flight.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that cannot be written has no lock: then processes may ask twice.
        let _one_process = lock(folder).ok();
        let again: View<I> = self.view(folder, interval);
        if again.holes.is_empty() {
            self.store.count(|stats| stats.joined += 1);
            return Ok(again);
        }
        let now = self.clock.now();
        let error = if let Some(failure) = failure(folder).filter(|failure| now < failure.until) {
            self.store.count(|stats| stats.held_back += 1);
            let (provider, reason) = (self.inner.id(), failure.reason);
            Error::BackingOff { provider, until: failure.until, reason }
        } else {
            self.store.count(|stats| stats.misses += 1);
            match self.refresh(folder, &again.holes, zone, want) {
                Ok(()) => return Ok(self.view(folder, interval)),
                Err(error) => {
                    self.note_failure(folder, &error);
                    error
                }
            }
        };
        let stale: View<I> = self.view(folder, interval);
        if stale.unknown.is_empty() && error.is_transient() {
            self.store.count(|stats| stats.stale += 1);
            return Ok(stale);
        }
        Err(error)
    }

    /// What is known, or asked for now.
    fn typed<I: Intensity>(
        &self,
        folder: &Path,
        zone: &str,
        interval: Interval,
        want: Want,
    ) -> Result<Series<I>, Error> {
        let began = self.clock.elapsed();
        let mut view = self.view(folder, interval);
        let mut otherwise = GapReason::Missing;
        if view.holes.is_empty() {
            self.store.count(|stats| stats.hits += 1);
        } else if self.store.mode == Mode::Offline {
            otherwise = GapReason::Offline;
            self.store.count(|stats| stats.stale += 1);
        } else {
            view = self.online(folder, interval, zone, want)?;
        }
        let (latency, age) = (self.clock.elapsed().saturating_sub(began), view.age_max);
        self.store.count(|stats| {
            stats.latency += latency;
            stats.latency_max = stats.latency_max.max(latency);
            stats.age_max = stats.age_max.max(age);
        });
        let provider = self.inner.id();
        view.series(otherwise).map_err(|source| Error::Impossible { provider, source })
    }
}

impl Provider for Cached {
    fn id(&self) -> &'static str {
        self.inner.id()
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        self.inner.offers(want)
    }

    fn offers_at(&self, place: &Place, want: &Want) -> Option<Offer> {
        self.inner.offers_at(place, want)
    }

    /// What the provider says of coordinates is kept for a month.
    fn zone(&self, place: &Place, want: &Want) -> Result<String, Error> {
        let Some(coordinates) = place.coordinates.filter(|_| place.native.is_none()) else {
            return self.inner.zone(place, want);
        };
        let (id, kind) = (self.id(), want.kind.to_string());
        let path = disk::place_file(&self.store.root, id, &kind, coordinates);
        let known = fs::read(&path).ok();
        let known = known.and_then(|bytes| serde_json::from_slice::<Located>(&bytes).ok());
        let now = self.clock.now();
        if let Some(known) = known {
            // A clock that was set back makes nothing fresh.
            let age = Duration::try_from(now.duration_since(known.asked_at));
            let fresh = age.is_ok_and(|age| age <= PLACE_AGE_MAX);
            if fresh || self.store.mode == Mode::Offline {
                return Ok(known.zone);
            }
        }
        if self.store.mode == Mode::Offline {
            return Err(Error::unknown_zone(id, &place.asked, Uncovered::NotCached));
        }
        let zone = self.inner.zone(place, want)?;
        if let Ok(bytes) = serde_json::to_vec(&Located { zone: zone.clone(), asked_at: now }) {
            let _ = write_atomically(&path, &bytes);
        }
        Ok(zone)
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        let signal = self.signal(want)?;
        let folder = disk::folder(&self.store.root, self.inner.id(), zone, signal);
        match signal.kind {
            Kind::Marginal => self.typed(&folder, zone, interval, *want).map(AnySeries::Marginal),
            Kind::Average | Kind::Residual => {
                self.typed(&folder, zone, interval, *want).map(AnySeries::Inventory)
            }
        }
    }

    fn settling(&self) -> Settling {
        self.inner.settling()
    }
}

/// Holes as few requests: near ones become one.
fn bridged(holes: &[Interval]) -> Vec<Interval> {
    let mut bridged: Vec<Interval> = Vec::new();
    for hole in holes {
        let near = bridged.last_mut().filter(|last| {
            let apart = Duration::try_from(hole.start().duration_since(last.end()));
            apart.is_ok_and(|apart| apart <= BRIDGE)
        });
        match near {
            Some(last) => *last = Interval::new(last.start(), hole.end()).unwrap_or(*last),
            None => bridged.push(*hole),
        }
    }
    bridged
}

/// Rows of what was answered: slots, and the gaps between them, cut at months.
fn rows<I: Intensity>(series: &Series<I>, checked: Timestamp) -> Vec<Row<'_>> {
    let whole = |interval: &Interval| {
        let whole = |at: Timestamp| at.subsec_nanosecond() == 0;
        whole(interval.start()) && whole(interval.end())
    };
    let slots = series.slots().iter().map(|slot| {
        let g_per_kwh = slot.as_grams_per_kilowatt_hour();
        let value = Value::Slot { g_per_kwh, updated_at: slot.updated_at, meta: &slot.meta };
        Row { interval: slot.interval, value, checked }
    });
    let gaps = series.gaps().iter().flat_map(|gap| {
        let pieces = months(gap.interval).into_iter().filter_map(|month| {
            let month =
                Interval::new(month_start(month)?, month_start(next_month(month)?)?).ok()?;
            month.intersection(&gap.interval)
        });
        let value = Value::Gap(gap.reason);
        pieces.map(move |interval| Row { interval, value, checked })
    });
    slots.chain(gaps).filter(|row| whole(&row.interval)).collect()
}
