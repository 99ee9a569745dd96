//! All domains of a host over the life of a daemon: readings in, a snapshot of totals out.
//!
//! Each domain has its [`Counter`]; this is what stands around it: what was lost and how much that
//! can have been, which counters fail or stand still, what a suspend did, and how all of it is
//! carried over a restart. Continuity is proven and never assumed: a restart is a gap like any
//! other, which the counter bridges when at most one wrap fits into it.
//!
//! Out of scope: files, clocks and threads; the caller brings each reading with its moment.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::accumulator::GapReason;
use crate::clock::{EpochStart, Moment, UnixTime};
use crate::counter::{Counter, Saved, Scale, Step};
use crate::page::{SavedDomain, digest};
use crate::sensor::{Domain, Exclusion, Kind, ReadFault};
use crate::snapshot::{DOMAINS_MAX, DomainTotal, Snapshot, Source, Text};

/// A domain without a good reading for this long is stale.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// The clock that runs on in suspend gains this on the other one only when there was a suspend.
const SUSPEND_MIN: Duration = Duration::from_millis(20);

/// What a domain of a suspended host draws at most, in W: less than one that idles. Machines that sleep draw a few W
/// in all, and those that fail to sleep idle. A prior.
const ASLEEP_MAX_W: f64 = 25.0;

/// Events kept until they are taken; more of them are counted and dropped.
const EVENTS_MAX: usize = 256;

/// The clocks at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Boot time.
    pub at: Moment,
    /// Monotonic time.
    pub monotonic: Duration,
    /// Unix time.
    pub unix: UnixTime,
}

/// What is known of the machine from the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Host {
    /// The kernel's boot id.
    pub boot_id: [u8; 16],
    /// When this daemon was started.
    pub started: Moment,
    /// Whether the processor blurs its counters, as far as is known.
    pub filtering: Option<bool>,
    /// The counters belong to no real machine.
    pub simulated: bool,
}

/// Something that happened to a domain, once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// To which domain.
    pub domain: Text<3>,
    /// What.
    pub what: Happened,
}

/// What can happen to a domain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Happened {
    /// Counting went on from where an earlier process of this boot stopped.
    Resumed {
        /// Time between the two.
        gap: Duration,
    },
    /// Energy was lost, and a new epoch began.
    Lost {
        /// Why.
        reason: GapReason,
        /// For how long nothing was counted.
        gap: Duration,
        /// At most so much was lost, and at least nothing.
        most: Microjoules,
    },
    /// It could not be read, or did not move, for a while; a later reading carried the energy.
    Bridged {
        /// Why.
        reason: GapReason,
        /// For how long.
        gap: Duration,
    },
    /// It cannot be read.
    Failing {
        /// Why.
        reason: GapReason,
    },
    /// It does not move.
    Stuck,
    /// The machine was suspended.
    Suspended {
        /// For how long.
        length: Duration,
    },
    /// Readings that follow each other show more power than was thought possible: they are believed, and so
    /// is what they show from here on.
    CeilingRaised {
        /// The new ceiling.
        to: Watts,
    },
    /// Its readings do not fit the energy unit that follows from its range; from here on they are taken
    /// as µJ, so a corrupt reading cannot be detected from its value.
    LatticeGivenUp,
}

/// One domain.
#[derive(Debug)]
struct Track {
    domain: Domain,
    /// Name, key and everything that is published.
    total: DomainTotal,
    counter: Counter,
    /// Digest of the counter's scale.
    scale: u64,
    /// The published total at which this counter began, and the counter's total then.
    base: Microjoules,
    zero: Microjoules,
    /// What an earlier process published of this domain, when its counter cannot be resumed.
    earlier: Option<SavedDomain>,
    /// Since when, and why, reading fails.
    fault: Option<(Moment, GapReason)>,
    /// Since the counter was resumed and not yet read.
    resumed: bool,
}

/// All domains.
#[derive(Debug)]
pub struct Totals {
    host: Host,
    tracks: Vec<Track>,
    snapshot: Snapshot,
    times: Times,
    /// Boot time minus monotonic time, at the last sample.
    asleep: Option<Duration>,
    /// When the last suspend was seen, and how long it was.
    suspended_at: Option<(Moment, Duration)>,
    /// Saved domains that are not there now; they may come back.
    dormant: Vec<SavedDomain>,
    max_power: Option<Watts>,
    events: Vec<Event>,
}

impl Totals {
    /// Of no domain yet. `saved` is what an earlier process left; that of another boot is ignored.
    pub fn new(host: Host, saved: Option<(Snapshot, Vec<SavedDomain>)>) -> Self {
        let saved = saved.filter(|(snapshot, _)| snapshot.boot_id == host.boot_id);
        let (earlier, dormant) = saved.unwrap_or_default();
        let snapshot = Snapshot {
            boot_id: host.boot_id,
            started: host.started,
            filtering: host.filtering,
            simulated: host.simulated,
            seq: earlier.seq,
            missed: earlier.missed,
            suspends: earlier.suspends,
            quantum: Microjoules::new(1),
            ..Snapshot::default()
        };
        let asleep = (earlier.seq > 0).then(|| asleep(earlier.at, earlier.monotonic));
        Self {
            host,
            tracks: Vec::new(),
            snapshot,
            times: Times::default(),
            asleep,
            suspended_at: None,
            dormant,
            max_power: None,
            events: Vec::new(),
        }
    }

    /// A power that no domain exceeds, in the place of what is known of each; for domains that are
    /// added from here on.
    #[must_use]
    pub fn with_max_power(mut self, max_power: Option<Watts>) -> Self {
        self.max_power = max_power;
        self
    }

    /// Adds a domain; its index, for [`Totals::observe`]. `None` beyond [`DOMAINS_MAX`].
    pub fn add(&mut self, source: Source, mut domain: Domain) -> Option<usize> {
        if self.tracks.len() >= DOMAINS_MAX {
            return None;
        }
        domain.ceiling = self.max_power.unwrap_or(domain.ceiling);
        domain.likely = domain.likely.min(domain.ceiling);
        let key = Text::new(&domain.key);
        let earlier = self.dormant.iter().position(|saved| saved.total.key == key);
        let earlier = earlier.map(|place| self.dormant.swap_remove(place));
        self.tracks.push(Track::new(source, domain, earlier.as_ref()));
        Some(self.tracks.len() - 1)
    }

    /// The domains, by index.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.tracks.iter().map(|track| &track.domain)
    }

    /// Takes a domain out of the host's sum, for this reason, or back into it.
    pub fn judge(&mut self, index: usize, excluded: Option<Exclusion>) {
        if let Some(track) = self.tracks.get_mut(index) {
            track.domain.excluded = excluded;
            track.total.excluded = excluded;
        }
    }

    /// The longest time between samples that keeps every wrap provable with a factor of two to
    /// spare.
    pub fn longest_interval(&self) -> Duration {
        let longest = self.tracks.iter().map(|track| track.counter.longest_interval());
        longest.min().unwrap_or(Duration::MAX)
    }

    /// Begins a sample.
    pub fn begin(&mut self, times: Times) {
        let now = asleep(times.at, times.monotonic);
        let length = self.asleep.map(|before| now.saturating_sub(before));
        self.asleep = Some(now);
        self.times = times;
        if let Some(length) = length.filter(|length| *length >= SUSPEND_MIN) {
            self.snapshot.suspends = self.snapshot.suspends.saturating_add(1);
            self.suspended_at = Some((times.at, length));
            self.note(Text::new("host"), Happened::Suspended { length });
        }
    }

    /// Takes the reading of one domain, or the failure to read it.
    pub fn observe(&mut self, index: usize, reading: Result<u64, ReadFault>, at: Moment) {
        self.observe_between(index, reading, at, at);
    }

    /// The same, of a reading that was taken at an unknown moment from `from` to `at`; see
    /// [`Counter::observe_between`].
    pub fn observe_between(
        &mut self,
        index: usize,
        reading: Result<u64, ReadFault>,
        from: Moment,
        at: Moment,
    ) {
        let slept = |since: Moment| self.suspended_at.filter(|(at, _)| *at > since).map(|it| it.1);
        let Some(track) = self.tracks.get_mut(index) else { return };
        let (name, lattice, ceiling) = (track.total.name, track.total.lattice, track.total.ceiling);
        let happened = track.observe(reading, (from, at), &slept);
        let given_up = (lattice && !track.total.lattice).then_some(Happened::LatticeGivenUp);
        let to = track.total.ceiling;
        let raised = (to > ceiling).then_some(Happened::CeilingRaised { to });
        for what in given_up.into_iter().chain(raised).chain(happened) {
            self.note(name, what);
        }
    }

    /// Ends the sample. `missed` is how many were not taken in time since the one before.
    pub fn end(&mut self, interval: Duration, missed: u64) -> &Snapshot {
        let snapshot = &mut self.snapshot;
        snapshot.seq = snapshot.seq.saturating_add(1);
        snapshot.at = self.times.at;
        snapshot.monotonic = self.times.monotonic;
        snapshot.unix = self.times.unix;
        snapshot.interval = interval;
        snapshot.missed = snapshot.missed.saturating_add(missed);
        snapshot.domains.clear();
        for track in &self.tracks {
            // What was never read has no total.
            if track.counter.last_good().is_some() {
                snapshot.domains.push(track.total);
            }
        }
        let left = DOMAINS_MAX.saturating_sub(snapshot.domains.len());
        for saved in absent(&self.tracks, &self.dormant).take(left) {
            snapshot.domains.push(of_absent(saved, &self.tracks));
        }
        &self.snapshot
    }

    /// The last sample, exact to the µJ.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the counters of the snapshot's domains stand, in its order, and the digests of their
    /// scales.
    pub fn counters(&self) -> impl Iterator<Item = (Saved, u64)> {
        let there =
            self.tracks.iter().filter_map(|track| Some((track.counter.save()?, track.scale)));
        let absent = absent(&self.tracks, &self.dormant);
        there.chain(absent.map(|saved| (saved.counter, saved.scale)))
    }

    /// What happened since this was last called.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn note(&mut self, domain: Text<3>, what: Happened) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { at: self.times.at, domain, what });
        }
    }

    /// What is known of the machine.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

/// Time spent in suspend since boot.
fn asleep(at: Moment, monotonic: Duration) -> Duration {
    Duration::from_nanos(at.as_nanos()).saturating_sub(monotonic)
}

fn scale_digest(scale: Scale) -> u64 {
    digest(&format!("{scale:?}"))
}

/// What an earlier process counted and this one has not read yet: it is shown and kept, so that its
/// total never falls, however often the governor is restarted before the counter can be read again.
fn absent<'t>(
    tracks: &'t [Track],
    dormant: &'t [SavedDomain],
) -> impl Iterator<Item = &'t SavedDomain> {
    let unread = tracks.iter().filter(|track| track.counter.last_good().is_none());
    unread.filter_map(|track| track.earlier.as_ref()).chain(dormant)
}

/// Its total, which stands still. Where another source counts the same domain now, it is no part of
/// the host's sum.
fn of_absent(saved: &SavedDomain, tracks: &[Track]) -> DomainTotal {
    let total = saved.total;
    let replaced =
        tracks.iter().any(|track| track.total.name == total.name && track.total.key != total.key);
    DomainTotal {
        delta: Microjoules::ZERO,
        stale: true,
        stuck: false,
        excluded: if replaced { Some(Exclusion::Duplicate) } else { total.excluded },
        ..total
    }
}

impl Track {
    fn new(source: Source, domain: Domain, earlier: Option<&SavedDomain>) -> Self {
        // What readings have shown before holds still.
        let shown = earlier.map_or(domain.ceiling, |saved| saved.total.ceiling);
        let ceiling = domain.ceiling.max(shown);
        let fresh = Counter::new(domain.scale, ceiling);
        // The lattice may have been given up before, which the readings would show again.
        let as_before = earlier.and_then(|saved| {
            let scales = [domain.scale, domain.scale.without_lattice()];
            let scale = scales.into_iter().find(|scale| scale_digest(*scale) == saved.scale)?;
            Some((scale, saved))
        });
        let resumed =
            as_before.and_then(|(scale, saved)| Counter::resume(scale, ceiling, &saved.counter));
        let counter = resumed.clone().unwrap_or(fresh);
        let counter = if never_rests(domain.kind) { counter } else { counter.that_may_rest() };
        let mut total = DomainTotal {
            name: Text::new(&domain.name),
            key: Text::new(&domain.key),
            kind: domain.kind,
            source,
            excluded: domain.excluded,
            total: Microjoules::ZERO,
            delta: Microjoules::ZERO,
            epoch: EpochStart::default(),
            wraps: 0,
            gaps: 0,
            gap_most: Microjoules::ZERO,
            gap_time: Duration::ZERO,
            skipped: 0,
            read_at: Moment::default(),
            stale: false,
            stuck: false,
            exact: counter.scale().is_exact(),
            lattice: counter.scale().has_lattice(),
            ceiling,
            likely: domain.likely,
        };
        if let Some(saved) = earlier {
            let saved = &saved.total;
            total.total = saved.total;
            total.epoch = saved.epoch;
            total.wraps = saved.wraps;
            total.gaps = saved.gaps;
            total.gap_most = saved.gap_most;
            total.gap_time = saved.gap_time;
            total.skipped = saved.skipped;
            total.read_at = saved.read_at;
        }
        let resumes = resumed.is_some();
        Self {
            domain,
            scale: scale_digest(counter.scale()),
            base: total.total,
            zero: counter.total(),
            total,
            counter,
            earlier: earlier.copied().filter(|_| !resumes),
            fault: None,
            resumed: resumes,
        }
    }

    fn observe(
        &mut self,
        reading: Result<u64, ReadFault>,
        (from, at): (Moment, Moment),
        slept: &dyn Fn(Moment) -> Option<Duration>,
    ) -> Option<Happened> {
        let good = self.counter.last_good();
        self.total.delta = Microjoules::ZERO;
        let known = if self.counter.dates(from, at) { reading } else { Err(ReadFault::Retry) };
        let step = known.map(|reading| self.counter.observe_between(reading, from, at));
        let happened = match step {
            Ok(Step::Baseline) => self.begin(at),
            Ok(Step::Advance { .. }) => self.advance(good.unwrap_or(at), at),
            Ok(Step::Corrected { since, most }) => {
                Some(self.lose(GapReason::Jump, at.since(since), most, at))
            }
            Ok(Step::Skipped) | Err(ReadFault::Retry) => {
                self.failing(GapReason::Unreadable, good, at)
            }
            Err(ReadFault::Gone | ReadFault::Fatal) => self.failing(GapReason::Vanished, good, at),
            // What sleeps draws nothing: its total stands, and is not stale.
            Err(ReadFault::NotYet | ReadFault::Asleep) => None,
            Ok(Step::Rebased { why, lost, most, .. }) => {
                let Some(asleep) = good.and_then(slept) else {
                    return Some(self.lose(why.into(), lost, most, at));
                };
                // The ceiling is that of a machine that works.
                let awake = self.counter.ceiling().over(lost.saturating_sub(asleep) + SUSPEND_MIN);
                let asleep = Watts::new(ASLEEP_MAX_W).map(|most| most.over(asleep));
                let most = asleep.map_or(most, |asleep| most.min(awake + asleep));
                Some(self.lose(GapReason::Suspend, lost, most, at))
            }
        };
        self.total.ceiling = self.counter.ceiling();
        let scale = self.counter.scale();
        if scale.has_lattice() != self.total.lattice {
            self.total.exact = scale.is_exact();
            self.total.lattice = scale.has_lattice();
            self.scale = scale_digest(scale);
        }
        happened
    }

    /// The first reading of a new counter.
    fn begin(&mut self, at: Moment) -> Option<Happened> {
        self.zero = self.counter.total();
        self.fault = None;
        self.resumed = false;
        let Some(earlier) = self.earlier.take() else {
            self.base = self.zero;
            self.total.epoch = EpochStart::at(at);
            self.publish(at);
            self.total.delta = Microjoules::ZERO;
            return None;
        };
        // The same domain, counted otherwise: its total goes on, and what passed meanwhile is lost.
        self.base = earlier.total.total;
        let gap = at.since(earlier.counter.since);
        Some(self.lose(GapReason::Restart, gap, self.domain.ceiling.over(gap), at))
    }

    fn advance(&mut self, good: Moment, at: Moment) -> Option<Happened> {
        self.publish(at);
        let gap = at.since(good);
        if std::mem::take(&mut self.resumed) {
            self.fault = None;
            return Some(Happened::Resumed { gap });
        }
        if let Some((since, reason)) = self.fault.take()
            && std::mem::take(&mut self.total.stale)
        {
            return Some(Happened::Bridged { reason, gap: at.since(since) });
        }
        let was_stuck = self.total.stuck;
        self.total.stuck = self.counter.is_stuck();
        match (was_stuck, self.total.stuck) {
            (false, true) => Some(Happened::Stuck),
            (true, false) => Some(Happened::Bridged { reason: GapReason::Stuck, gap }),
            _ => None,
        }
    }

    fn failing(&mut self, reason: GapReason, good: Option<Moment>, at: Moment) -> Option<Happened> {
        self.total.skipped = self.total.skipped.saturating_add(1);
        let since = good.unwrap_or(at);
        let fault = self.fault.get_or_insert((since, reason));
        if reason == GapReason::Vanished {
            fault.1 = reason;
        }
        let reason = fault.1;
        let stale = at.since(since) >= STALE_AFTER || good.is_none();
        let first = stale && !self.total.stale;
        self.total.stale = stale;
        first.then_some(Happened::Failing { reason })
    }

    fn lose(
        &mut self,
        reason: GapReason,
        gap: Duration,
        most: Microjoules,
        at: Moment,
    ) -> Happened {
        self.fault = None;
        self.resumed = false;
        self.total.stale = false;
        self.total.stuck = false;
        self.total.gaps = self.total.gaps.saturating_add(1);
        self.total.gap_time = self.total.gap_time.saturating_add(gap);
        self.total.gap_most = self.total.gap_most + most;
        self.total.epoch = self.total.epoch.next(at);
        self.publish(at);
        Happened::Lost { reason, gap, most }
    }

    fn published(&self) -> Microjoules {
        let grown = self.counter.total().saturating_sub(self.zero);
        self.base + grown
    }

    fn publish(&mut self, at: Moment) {
        let total = self.published();
        self.total.delta = total.saturating_sub(self.total.total);
        // Invariant: a total never falls.
        self.total.total = self.total.total.max(total);
        self.total.wraps = self.total.wraps.max(self.counter.wraps());
        self.total.read_at = at;
    }
}

/// What always draws power: all but a package's graphics, which are switched off when unused.
fn never_rests(kind: Kind) -> bool {
    kind != Kind::Uncore
}

/// What clients outside root see: the same totals, rounded down and not more often than a policy
/// allows, since fine steps of energy reveal what other processes compute (CVE-2020-8694).
#[derive(Debug, Default)]
pub struct Publication {
    snapshot: Snapshot,
    seq: u64,
}

impl Publication {
    /// A publication that goes on counting after `seq`.
    pub fn after(seq: u64) -> Self {
        Self { snapshot: Snapshot::default(), seq }
    }

    /// Whether the next one is due. `slack`: how much earlier than its time it may come.
    pub fn is_due(&self, at: Moment, interval: Duration, slack: Duration) -> bool {
        self.snapshot.domains.is_empty() || at.since(self.snapshot.at) + slack >= interval
    }

    /// Makes the next one.
    pub fn make(
        &mut self,
        exact: &Snapshot,
        quantum: Microjoules,
        interval: Duration,
    ) -> &Snapshot {
        let quantum = quantum.max(Microjoules::new(1));
        let step = quantum.as_microjoules();
        let mut domains = std::mem::take(&mut self.snapshot.domains);
        domains.truncate(exact.domains.len());
        for (place, domain) in exact.domains.iter().enumerate() {
            let rounded = domain.total.as_microjoules() / step * step;
            let last = domains.get(place).filter(|last| last.key == domain.key);
            let last = last.map(|last| last.total.as_microjoules());
            // A total never falls, even when the quantum was raised meanwhile.
            let rounded = rounded.max(last.unwrap_or(0));
            let delta = last.map_or(0, |last| rounded - last);
            let published = DomainTotal {
                total: Microjoules::new(rounded),
                delta: Microjoules::new(delta),
                ..*domain
            };
            match domains.get_mut(place) {
                Some(last) => *last = published,
                None => domains.push(published),
            }
        }
        self.seq = self.seq.saturating_add(1);
        self.snapshot = Snapshot {
            seq: self.seq,
            quantum,
            interval: interval.max(exact.interval),
            domains,
            ..exact.without_domains()
        };
        &self.snapshot
    }
}

#[cfg(test)]
mod tests;
