//! The GPUs of a host over one window: the energy of each, and which part of it whose processes used.
//!
//! Energy is the difference of totals, with the bounds that the counter's steps allow
//! ([`crate::accumulator`]). Whose it is follows from GPU time: at each look the driver tells which part
//! of the time since the last one each process used, and that part of the energy which passed meanwhile
//! is taken to be the process's. So an hour of idling does not dilute a minute of work, nor the reverse.
//!
//! The driver samples about once a second, and says nothing of the time since its last sample. Time that
//! nobody was named for stays open until the next sample, for two seconds at most; then nobody used it.
//! At the window's end it is given what the sample before told.
//!
//! Where the driver tells no time at all, the processes that held a context in the meantime are known:
//! if they are all the workload's, or all others', the energy is theirs whole; if both were there, it is
//! nobody's to name ([`GpuUse::unknown`]).
//!
//! The caller decides whose a process is, by whatever it tells owners apart: the workload and others, or
//! each process for itself. It is asked at every look while the process lives. A process that was never
//! seen alive has no owner.
//!
//! Windows can follow each other without a break. Of a window that cannot wait, time after the driver's
//! last word goes as that word said.
//!
//! A driver that does not answer is not waited for: a look that comes late counts for the time at which it was
//! taken, and where a window has none at its end, what is missing there is a gap.
//!
//! Out of scope: the split of the energy (see [`crate::attribution`]), waiting, and encoders and decoders
//! of GPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use carbon_ops_units::Microjoules;

use crate::accumulator::{Accumulator, DomainEnergy, GapReason, Slack};
use crate::attribution::GpuUse;
use crate::clock::BootClock;
use crate::sensor::nvml::{
    Driver, GpuLoad, Look, SAMPLED_WITHIN, Share, Users, Want, longest_interval, weight,
};
use crate::sensor::{self, Excluded, Exclusion, Kind, ReadFault};
use crate::window::Domain;

/// The first reading after the start; the interval then doubles. Early readings find the counter's first
/// step, which sharpens the start, and processes that live for a moment.
const INTERVAL_FIRST: Duration = Duration::from_millis(20);

/// Steps of the energy counter are 20 to 100 ms apart by GPU (Yang, Adamek, Armour, arXiv 2312.02741,
/// of the power sensor; of the counter a prior): taken until two were seen.
const STEP: Duration = Duration::from_millis(100);

/// How long to look for the counter's next step after the end.
const SETTLE_MAX: Duration = Duration::from_millis(250);

/// Pause between two looks meanwhile.
const SETTLE_PAUSE: Duration = Duration::from_millis(5);

/// How long a look may take that nobody waits for.
const PROMPT: Duration = Duration::from_millis(20);

/// When to ask again for an answer that is late.
const LATE_PAUSE: Duration = Duration::from_millis(10);

type Clock<'a> = &'a dyn Fn() -> Instant;

/// Whose a process is, where one workload is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The workload's.
    Workload,
    /// Somebody else's.
    Other,
}

/// Says whose a process is; `None` where there is no such process any more, or none that we can see.
pub type Who<'a, O> = &'a mut dyn FnMut(u32) -> Option<O>;

/// GPUs that are being measured, for owners of this type.
pub struct GpuWindow<O> {
    driver: Box<dyn Driver>,
    /// When the window began, for what is opened late; `None` while it begins.
    begun: Option<Instant>,
    /// What is not opened yet, and why.
    unopened: Vec<(usize, Exclusion)>,
    gpus: Vec<Gpu<O>>,
    excluded: Vec<Excluded>,
    /// Whose each process was when it was last seen alive.
    known: BTreeMap<u32, O>,
    interval: Duration,
    slowest: Duration,
    due: Instant,
    boot: BootClock,
}

/// One GPU after its window.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuEnergy<O> {
    /// Its name.
    pub name: String,
    /// Its energy; `None` where its counter has never moved.
    pub domain: Option<Domain>,
    /// Who used it.
    pub used: Used<O>,
    /// How busy it was at the end.
    pub load: GpuLoad,
}

/// Who used a GPU: parts of its energy, each 0 to 1 and 1 together at most. The rest is idle.
#[derive(Debug, Clone, PartialEq)]
pub struct Used<O> {
    /// By owner; those of 0 were there.
    pub parts: BTreeMap<O, f64>,
    /// Somebody's, or perhaps nobody's: it could not be told whose.
    pub unknown: f64,
    /// The driver told GPU time, by which a part of it was shared.
    pub by_time: bool,
    /// The driver told no GPU time for a part of it, which was given whole to the one owner who was seen
    /// on the GPU.
    pub by_process: bool,
}

impl<O> Used<O> {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self { parts: BTreeMap::new(), unknown: 1.0, by_time: false, by_process: false }
    }
}

impl From<&Used<Whose>> for GpuUse {
    fn from(used: &Used<Whose>) -> Self {
        let part = |whose| used.parts.get(&whose).copied().unwrap_or(0.0);
        Self {
            workload: part(Whose::Workload),
            others: part(Whose::Other),
            unknown: used.unknown,
            by_time: used.by_time,
            by_process: used.by_process,
        }
    }
}

#[derive(Debug, Clone)]
struct Gpu<O> {
    /// Its place among the driver's.
    index: usize,
    load: GpuLoad,
    accumulator: Accumulator,
    /// What the integral may be off by; none for a counter.
    slack: Option<Slack>,
    /// When it was last read.
    read_at: Instant,
    /// Total and instant at the end of the window.
    end: Option<(Microjoules, Instant)>,
    /// Total and instant up to which energy was given to somebody.
    given: (Microjoules, Instant),
    /// Up to when the driver has told who used it.
    told: Instant,
    /// Energy in J by who used it, and all of it.
    sums: Parts<O>,
    all: f64,
    /// See [`GpuUse`].
    by_time: bool,
    by_process: bool,
    /// What was last told.
    last: Option<(Parts<O>, By)>,
    /// Who held a context at any time of the window, and since energy was last given.
    ever: Seen<O>,
    lately: Seen<O>,
}

/// Parts of a GPU's time, or of its energy.
#[derive(Debug, Clone)]
struct Parts<O> {
    by: BTreeMap<O, f64>,
    unknown: f64,
}

impl<O: Copy + Ord> Parts<O> {
    fn none() -> Self {
        Self { by: BTreeMap::new(), unknown: 0.0 }
    }

    fn unknown() -> Self {
        Self { unknown: 1.0, ..Self::none() }
    }

    fn add(&mut self, whose: Option<O>, part: f64) {
        *match whose {
            Some(owner) => self.by.entry(owner).or_insert(0.0),
            None => &mut self.unknown,
        } += part;
    }

    /// Processes that ran at once sum to more than all the time; no more than that was used.
    fn at_most_one(self) -> Self {
        let sum = (self.by.values().sum::<f64>() + self.unknown).max(1.0);
        let mut parts = Self::none();
        parts.add_all(&self, 1.0 / sum);
        parts
    }

    fn add_all(&mut self, other: &Self, factor: f64) {
        for (&owner, part) in &other.by {
            self.add(Some(owner), part * factor);
        }
        self.unknown += other.unknown * factor;
    }
}

/// Who was on a GPU.
#[derive(Debug, Clone)]
struct Seen<O> {
    owners: BTreeSet<O>,
    unseen: bool,
}

impl<O: Copy + Ord> Seen<O> {
    fn nobody() -> Self {
        Self { owners: BTreeSet::new(), unseen: false }
    }

    fn add(&mut self, whose: Option<O>) {
        match whose {
            Some(owner) => drop(self.owners.insert(owner)),
            None => self.unseen = true,
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.owners.extend(&other.owners);
        self.unseen |= other.unseen;
    }

    /// To whom everything goes where no time is told.
    fn all(&self) -> Parts<O> {
        let mut owners = self.owners.iter();
        match (owners.next(), owners.next(), self.unseen) {
            (None, _, false) => Parts::none(),
            (Some(&alone), None, false) => {
                Parts { by: BTreeMap::from([(alone, 1.0)]), unknown: 0.0 }
            }
            _ => Parts::unknown(),
        }
    }
}

/// What energy was given by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Time,
    Process,
    Nothing,
}

/// What the driver told of a GPU at one look.
enum Told<O> {
    /// Parts of the time since the last sample.
    Times(Parts<O>),
    /// No sample since then.
    Nothing,
    /// It tells processes without their time.
    Names,
    /// It refuses to tell.
    Refused,
}

impl<O: Copy + Ord + fmt::Debug> GpuWindow<O> {
    /// Takes the first readings; `who` says whose the processes are that are there already. The window begins
    /// with them, or has begun before.
    pub fn open(
        driver: impl Driver + 'static,
        begun: Option<Instant>,
        clock: Clock<'_>,
        boot: BootClock,
        who: Who<'_, O>,
    ) -> Self {
        let excluded = driver.left_out().to_vec();
        let mut window = Self {
            unopened: (0..driver.gpus().len()).map(|gpu| (gpu, Exclusion::Unreadable)).collect(),
            driver: Box::new(driver),
            begun,
            gpus: Vec::new(),
            excluded,
            known: BTreeMap::new(),
            interval: INTERVAL_FIRST,
            slowest: longest_interval(false),
            due: clock() + INTERVAL_FIRST,
            boot,
        };
        window.look(Want::All, window.driver.patience(), clock, who);
        window.begun = begun.or(Some(clock()));
        window
    }

    /// Opens a GPU by the first look at it; `was`: why it could not be opened before.
    fn begin(&mut self, index: usize, was: Exclusion, look: &Look, at: Instant, who: Who<'_, O>) {
        let Some(domain) = self.driver.gpus().get(index) else { return };
        let opened = match look.reading {
            Ok(first) => Accumulator::open(domain, first, at, look.at),
            Err(_) => None,
        };
        let begun = self.begun.unwrap_or(at);
        let missed =
            if was == Exclusion::Asleep { GapReason::Asleep } else { GapReason::Unreadable };
        let opened = opened.map(|opened| opened.stepping(STEP).begun(begun, missed));
        let Some(accumulator) = opened else {
            self.excluded.push(exclude(domain, Exclusion::Unreadable));
            return;
        };
        // Who is there is known from here on; what was sampled before the start is no part of it.
        let holders = look.users.iter().flat_map(|users| users.holders.iter().flatten());
        for &pid in holders {
            self.known.extend(who(pid).map(|owner| (pid, owner)));
        }
        self.gpus.push(Gpu {
            index,
            load: look.users.as_ref().map(|users| users.load).unwrap_or_default(),
            given: (accumulator.total(), at),
            accumulator,
            slack: look.integral.map(Slack::from),
            read_at: at,
            end: None,
            told: at,
            sums: Parts::none(),
            by_time: false,
            by_process: false,
            all: 0.0,
            last: None,
            ever: Seen::nobody(),
            lately: Seen::nobody(),
        });
        self.slowest = self.slowest.min(longest_interval(look.integral.is_some()));
    }

    /// The backend that reads them: `nvml`, `hwmon`.
    pub fn source(&self) -> &'static str {
        self.driver.source()
    }

    /// A process whose GPU time may be told after it has ended, before it was seen alive.
    pub fn expect(&mut self, pid: u32, owner: O) {
        self.known.insert(pid, owner);
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Reads the counters and looks who is there.
    pub fn sample(&mut self, clock: Clock<'_>, who: Who<'_, O>) {
        self.look(Want::All, PROMPT, clock, who);
        self.interval = (self.interval * 2).min(self.slowest);
        let pause =
            if self.driver.is_late() { self.interval.min(LATE_PAUSE) } else { self.interval };
        self.due = clock() + pause;
    }

    /// Ends the window now. What remains is to look on for a moment, in [`GpuWindow::close`].
    pub fn end(&mut self, clock: Clock<'_>, who: Who<'_, O>) {
        let now = clock();
        let Some(looks) = self.driver.look(Want::All, self.driver.patience()) else {
            self.miss(now);
            return self.end_windows();
        };
        let instants = self.read(&looks, clock);
        let opened = self.gpus.len();
        self.open_late(&looks, &instants, who);
        if self.driver.is_late() {
            // The look is an older one.
            self.miss(now);
        }
        self.end_windows();
        self.give(looks, opened, who);
    }

    fn end_windows(&mut self) {
        for gpu in &mut self.gpus {
            gpu.accumulator.end_window();
            gpu.end = Some(gpu.until());
        }
    }

    /// Looks on until the counters have stepped once more after the end, for 250 ms at most, and reports
    /// on a window of length `elapsed`: GPUs by name, and those that could not be measured.
    pub fn close(
        mut self,
        elapsed: Duration,
        clock: Clock<'_>,
        sleep: &mut dyn FnMut(Duration),
        who: Who<'_, O>,
    ) -> (Vec<GpuEnergy<O>>, Vec<Excluded>) {
        let ended = clock();
        let wants =
            |gpu: &Gpu<O>| gpu.slack.is_none() && gpu.accumulator.wants_more(true).is_some();
        while self.gpus.iter().any(wants) && clock().saturating_duration_since(ended) < SETTLE_MAX {
            sleep(SETTLE_PAUSE);
            self.look(Want::Energy, PROMPT, clock, who);
        }
        self.look(Want::All, PROMPT, clock, who);
        let mut gpus = std::mem::take(&mut self.gpus);
        self.report(&mut gpus, |accumulator| accumulator.close(elapsed))
    }

    /// What the window would tell if it ended with the last reading; it goes on.
    pub fn so_far(&self) -> (Vec<GpuEnergy<O>>, Vec<Excluded>) {
        self.report(&mut self.gpus.clone(), Accumulator::cut)
    }

    /// Ends the window now, without looking on, and begins the next one.
    pub fn cut(&mut self, clock: Clock<'_>, who: Who<'_, O>) -> (Vec<GpuEnergy<O>>, Vec<Excluded>) {
        let now = clock();
        if !self.look(Want::All, self.driver.patience(), clock, who) {
            self.miss(now);
        }
        let mut gpus = std::mem::take(&mut self.gpus);
        let report = self.report(&mut gpus, Accumulator::cut);
        self.gpus = gpus;
        self.begun = Some(now);
        let gpus = &self.gpus;
        self.known.retain(|_, owner| gpus.iter().any(|gpu| gpu.ever.owners.contains(owner)));
        report
    }

    fn report(
        &self,
        gpus: &mut [Gpu<O>],
        energy: impl Fn(&mut Accumulator) -> Option<DomainEnergy>,
    ) -> (Vec<GpuEnergy<O>>, Vec<Excluded>) {
        let (mut measured, mut excluded) = (Vec::new(), self.excluded.clone());
        let domains = self.driver.gpus();
        let unopened = self.unopened.iter();
        let unopened = unopened.filter_map(|&(index, why)| Some(exclude(domains.get(index)?, why)));
        excluded.extend(unopened);
        for gpu in gpus {
            let Some(domain) = domains.get(gpu.index) else { continue };
            let used = gpu.take_used();
            let energy = energy(&mut gpu.accumulator);
            let energy = energy.map(|energy| match &mut gpu.slack {
                Some(slack) => slack.widen(energy),
                None => energy,
            });
            if energy.is_none() {
                excluded.push(exclude(domain, Exclusion::Stuck));
            }
            let name = domain.name.clone();
            let domain = energy.map(|energy| Domain {
                name: name.clone(),
                kind: Kind::Gpu,
                zone: domain.source.clone(),
                backend: self.driver.source(),
                likely: domain.likely,
                energy,
            });
            measured.push(GpuEnergy { name, domain, used, load: gpu.load });
        }
        (measured, excluded)
    }

    /// Takes what the driver tells within this time; whether it told how things stand now.
    fn look(&mut self, want: Want, within: Duration, clock: Clock<'_>, who: Who<'_, O>) -> bool {
        let Some(looks) = self.driver.look(want, within) else { return false };
        let instants = self.read(&looks, clock);
        let opened = self.gpus.len();
        self.open_late(&looks, &instants, who);
        self.give(looks, opened, who);
        !self.driver.is_late()
    }

    /// No counter could be read.
    fn miss(&mut self, now: Instant) {
        let at = (self.boot)();
        for gpu in &mut self.gpus {
            gpu.accumulator.observe(Err(ReadFault::NotYet), now, at);
        }
    }

    /// Takes the readings; when each was taken.
    fn read(&mut self, looks: &[Look], clock: Clock<'_>) -> Vec<Instant> {
        let (now, boot) = (clock(), (self.boot)());
        let instant = |look: &Look| now.checked_sub(boot.since(look.at)).unwrap_or(now);
        let instants: Vec<_> = looks.iter().map(instant).collect();
        for gpu in &mut self.gpus {
            let look = looks.get(gpu.index).zip(instants.get(gpu.index));
            let Some((look, &at)) = look else { continue };
            gpu.read_at = at;
            gpu.accumulator.observe(look.reading, at, look.at);
            if gpu.end.is_none()
                && let Some(now) = look.integral
            {
                // A counter may turn out to rest, and its power is integrated from then on.
                gpu.slack.get_or_insert_default().extend(now);
                self.slowest = self.slowest.min(longest_interval(true));
            }
        }
        instants
    }

    /// Opens what was not seen before.
    fn open_late(&mut self, looks: &[Look], instants: &[Instant], who: Who<'_, O>) {
        for (index, why) in std::mem::take(&mut self.unopened) {
            match looks.get(index).zip(instants.get(index)) {
                Some((Look { reading: Err(ReadFault::Asleep), .. }, _)) => {
                    self.unopened.push((index, Exclusion::Asleep));
                }
                Some((look, &at)) => self.begin(index, why, look, at, who),
                None => self.unopened.push((index, why)),
            }
        }
    }

    /// Gives the energy since the last look to those who used the GPU; of those GPUs that were `opened` before.
    fn give(&mut self, looks: Vec<Look>, opened: usize, who: Who<'_, O>) {
        let Self { gpus, known, .. } = self;
        let mut whose = |pid: u32| {
            let Some(now) = who(pid) else { return known.get(&pid).copied() };
            known.insert(pid, now);
            Some(now)
        };
        for (index, look) in looks.into_iter().enumerate() {
            let gpu = gpus.iter_mut().take(opened).find(|gpu| gpu.index == index);
            let Some(gpu) = gpu else { continue };
            let Some(Users { holders, shares, load }) = look.users else { continue };
            gpu.load = load;
            let mut now = Seen::nobody();
            match holders {
                Ok(holders) => {
                    for pid in BTreeSet::from_iter(holders) {
                        now.add(whose(pid));
                    }
                }
                // Somebody may be there whom the driver does not name.
                Err(_) => now.unseen = true,
            }
            let told = told(shares, &mut whose, &mut now);
            gpu.give(told, now);
        }
    }
}

fn told<O: Copy + Ord>(
    processes: Result<Vec<(u32, Share)>, ReadFault>,
    whose: &mut dyn FnMut(u32) -> Option<O>,
    now: &mut Seen<O>,
) -> Told<O> {
    let Ok(processes) = processes else { return Told::Refused };
    let mut times = None;
    let mut names = false;
    for (pid, share) in processes {
        let whose = whose(pid);
        now.add(whose);
        match share {
            Share::OfTime(part) => times.get_or_insert_with(Parts::none).add(whose, part),
            Share::Unknown => names = true,
        }
    }
    match times {
        Some(times) => Told::Times(times.at_most_one()),
        None if names => Told::Names,
        None => Told::Nothing,
    }
}

impl<O: Copy + Ord> Gpu<O> {
    /// Gives what has passed since energy was last given, if what was told allows it.
    fn give(&mut self, told: Told<O>, now: Seen<O>) {
        for &owner in &now.owners {
            self.sums.add(Some(owner), 0.0);
        }
        self.ever.add_all(&now);
        self.lately.add_all(&now);
        let silent = self.until().1.saturating_duration_since(self.told);
        let (parts, by) = match told {
            Told::Times(parts) => (parts, By::Time),
            Told::Names => (self.lately.all(), By::Process),
            Told::Refused => (Parts::unknown(), By::Nothing),
            Told::Nothing if silent < SAMPLED_WITHIN => return,
            Told::Nothing => (Parts::none(), By::Nothing),
        };
        self.settle(&parts, by);
        self.told = self.given.1;
        self.last = Some((parts, by));
        self.lately = now;
    }

    fn until(&self) -> (Microjoules, Instant) {
        self.end.unwrap_or((self.accumulator.total(), self.read_at))
    }

    /// Gives the energy that was not given yet, up to the end of the window.
    fn settle(&mut self, parts: &Parts<O>, by: By) {
        let (total, at) = self.until();
        let time = at.saturating_duration_since(self.given.1);
        let weight = weight(total.saturating_sub(self.given.0), time);
        self.sums.add_all(parts, weight);
        if weight > 0.0 {
            self.by_time |= by == By::Time;
            self.by_process |= by == By::Process && !parts.by.is_empty();
        }
        self.all += weight;
        self.given = (total, at);
    }

    /// Who used it up to the end of the window, when everything was told that will be.
    fn take_used(&mut self) -> Used<O> {
        let (parts, by) = self.last.clone().unwrap_or_else(|| (self.ever.all(), By::Process));
        self.settle(&parts, by);
        self.ever = self.lately.clone();
        let (sums, all) = (std::mem::replace(&mut self.sums, Parts::none()), self.all);
        let (by_time, by_process) = (self.by_time, self.by_process);
        (self.all, self.by_time, self.by_process) = (0.0, false, false);
        if all <= 0.0 {
            return Used::unknown();
        }
        let mut used = Parts::none();
        used.add_all(&sums, 1.0 / all);
        Used { parts: used.by, unknown: used.unknown, by_time, by_process }
    }
}

fn exclude(domain: &sensor::Domain, reason: Exclusion) -> Excluded {
    Excluded { name: domain.name.clone(), id: domain.source.clone(), reason }
}

impl<O> fmt::Debug for GpuWindow<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuWindow").field("driver", &self.driver).finish_non_exhaustive()
    }
}
