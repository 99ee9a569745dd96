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
//! The caller decides whose a process is, and is asked at every look while the process lives. A process
//! that was never seen alive has no owner.
//!
//! Out of scope: the split of the energy (see [`crate::attribution`]), waiting, and the memory,
//! encoders and decoders of GPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use carbon_ops_units::Microjoules;

use crate::accumulator::Accumulator;
use crate::attribution::GpuUse;
use crate::clock::BootClock;
use crate::counter::Counter;
use crate::sensor::nvml::{Nvml, SAMPLED_WITHIN, Share, longest_interval, weight};
use crate::sensor::{self, Backend as _, Excluded, Exclusion, Kind, ReadFault};
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

type Clock<'a> = &'a dyn Fn() -> Instant;

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The workload's.
    Workload,
    /// Somebody else's.
    Other,
    /// There is no such process any more, or none that we can see.
    Unseen,
}

/// Says whose a process is.
pub type Who<'a> = &'a mut dyn FnMut(u32) -> Whose;

/// GPUs that are being measured.
pub struct GpuWindow {
    nvml: Nvml,
    gpus: Vec<Gpu>,
    excluded: Vec<Excluded>,
    /// Whose each process was when it was last seen alive.
    known: BTreeMap<u32, Whose>,
    interval: Duration,
    slowest: Duration,
    due: Instant,
    boot: BootClock,
}

/// One GPU after its window.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuEnergy {
    /// Its name and energy.
    pub domain: Domain,
    /// Who used it.
    pub used: GpuUse,
}

#[derive(Debug)]
struct Gpu {
    /// Its place among NVML's domains.
    index: usize,
    accumulator: Accumulator,
    /// What the integral may be off by, as of the start and of the end; none for a counter.
    bounds: Option<(Microjoules, Microjoules)>,
    /// When it was last read.
    read_at: Instant,
    /// Total and instant at the end of the window.
    end: Option<(Microjoules, Instant)>,
    /// Total and instant up to which energy was given to somebody.
    given: (Microjoules, Instant),
    /// Energy in J by who used it, and all of it.
    sums: Parts,
    all: f64,
    /// See [`GpuUse`].
    by_time: bool,
    by_process: bool,
    /// What was last told.
    last: Option<(Parts, By)>,
    /// Who held a context at any time, and since energy was last given.
    ever: Seen,
    lately: Seen,
}

/// Parts of a GPU's time, or of its energy.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    workload: f64,
    others: f64,
    unknown: f64,
}

impl Parts {
    fn add(&mut self, whose: Whose, part: f64) {
        *match whose {
            Whose::Workload => &mut self.workload,
            Whose::Other => &mut self.others,
            Whose::Unseen => &mut self.unknown,
        } += part;
    }

    /// Processes that ran at once sum to more than all the time; no more than that was used.
    fn at_most_one(self) -> Self {
        let sum = (self.workload + self.others + self.unknown).max(1.0);
        self.times(1.0 / sum)
    }

    fn times(self, factor: f64) -> Self {
        Self {
            workload: self.workload * factor,
            others: self.others * factor,
            unknown: self.unknown * factor,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            workload: self.workload + other.workload,
            others: self.others + other.others,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// Who was on a GPU.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    workload: bool,
    others: bool,
    unseen: bool,
}

impl Seen {
    fn add(&mut self, whose: Whose) {
        match whose {
            Whose::Workload => self.workload = true,
            Whose::Other => self.others = true,
            Whose::Unseen => self.unseen = true,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            workload: self.workload || other.workload,
            others: self.others || other.others,
            unseen: self.unseen || other.unseen,
        }
    }

    /// To whom everything goes where no time is told.
    fn all(self) -> Parts {
        let Self { workload, others, unseen } = self;
        let mut parts = Parts::default();
        match (workload, others, unseen) {
            (false, false, false) => {}
            (true, false, false) => parts.workload = 1.0,
            (false, true, false) => parts.others = 1.0,
            _ => parts.unknown = 1.0,
        }
        parts
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
enum Told {
    /// Parts of the time since the last sample.
    Times(Parts),
    /// No sample since then.
    Nothing,
    /// It tells processes without their time.
    Names,
    /// It refuses to tell.
    Refused,
}

impl GpuWindow {
    /// Takes the first readings; `who` says whose the processes are that are there already.
    pub fn open(mut nvml: Nvml, clock: Clock<'_>, boot: BootClock, who: Who<'_>) -> Self {
        let mut excluded = nvml.excluded().to_vec();
        let (mut gpus, mut known) = (Vec::new(), BTreeMap::new());
        for index in 0..nvml.domains().len() {
            // What was sampled before the start is no part of it.
            let _ = nvml.processes(index);
            // Whoever is not named now is asked about when he is.
            for pid in nvml.holders(index).unwrap_or_default() {
                known.insert(pid, who(pid));
            }
            let reading = nvml.read(index);
            let Some(domain) = nvml.domains().get(index) else { continue };
            let now = clock();
            let counter = Counter::new(domain.scale, domain.ceiling);
            let opened =
                reading.ok().and_then(|first| Accumulator::open(counter, first, now, boot()));
            let Some(accumulator) = opened.map(|opened| opened.stepping(STEP)) else {
                excluded.push(exclude(domain, Exclusion::Unreadable));
                continue;
            };
            gpus.push(Gpu {
                index,
                given: (accumulator.total(), now),
                accumulator,
                bounds: nvml.integral(index).map(|integral| (integral.bound, integral.bound)),
                read_at: now,
                end: None,
                sums: Parts::default(),
                by_time: false,
                by_process: false,
                all: 0.0,
                last: None,
                ever: Seen::default(),
                lately: Seen::default(),
            });
        }
        let power_only = gpus.iter().any(|gpu| gpu.bounds.is_some());
        let slowest = longest_interval(power_only);
        let due = clock() + INTERVAL_FIRST;
        Self { nvml, gpus, excluded, known, interval: INTERVAL_FIRST, slowest, due, boot }
    }

    /// The workload's first process, whose GPU time may be told after it has ended.
    pub fn expect(&mut self, pid: u32) {
        self.known.insert(pid, Whose::Workload);
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Reads the counters and looks who is there.
    pub fn sample(&mut self, clock: Clock<'_>, who: Who<'_>) {
        self.read(clock);
        self.look(who);
        self.interval = (self.interval * 2).min(self.slowest);
        self.due = clock() + self.interval;
    }

    /// Ends the window now. What remains is to look on for a moment, in [`GpuWindow::close`].
    pub fn end(&mut self, clock: Clock<'_>, who: Who<'_>) {
        self.read(clock);
        for gpu in &mut self.gpus {
            gpu.accumulator.end_window();
            gpu.end = Some(gpu.until());
        }
        self.look(who);
    }

    /// Looks on until the counters have stepped once more after the end, for 250 ms at most, and reports
    /// on a window of length `elapsed`: GPUs by name, and those that could not be measured.
    pub fn close(
        mut self,
        elapsed: Duration,
        clock: Clock<'_>,
        sleep: &mut dyn FnMut(Duration),
        who: Who<'_>,
    ) -> (Vec<GpuEnergy>, Vec<Excluded>) {
        let ended = clock();
        let wants = |gpu: &Gpu| gpu.bounds.is_none() && gpu.accumulator.wants_more(true).is_some();
        while self.gpus.iter().any(wants) && clock().saturating_duration_since(ended) < SETTLE_MAX {
            sleep(SETTLE_PAUSE);
            self.read(clock);
        }
        self.look(who);
        let (mut measured, nvml) = (Vec::new(), self.nvml);
        for mut gpu in self.gpus {
            let Some(domain) = nvml.domains().get(gpu.index) else { continue };
            let used = gpu.used();
            let bound = gpu.bounds.map(|(start, end)| end.saturating_sub(start));
            let Some(mut energy) = gpu.accumulator.close(elapsed) else {
                self.excluded.push(exclude(domain, Exclusion::Stuck));
                continue;
            };
            if let Some(bound) = bound {
                let filled = energy.gaps.iter().any(|gap| !gap.bridged);
                let high = if filled { energy.high } else { energy.energy };
                energy.low = energy.energy.saturating_sub(bound);
                energy.high = high + bound;
                energy.estimated = true;
            }
            let domain = Domain {
                name: domain.name.clone(),
                kind: Kind::Gpu,
                zone: domain.source.clone(),
                backend: nvml.name(),
                ceiling: domain.ceiling,
                energy,
            };
            measured.push(GpuEnergy { domain, used });
        }
        (measured, self.excluded)
    }

    /// Who used each GPU, by name, for whom the energy was measured by another.
    pub fn uses(mut self, who: Who<'_>) -> BTreeMap<String, GpuUse> {
        self.look(who);
        let name = |gpu: &Gpu| Some(self.nvml.domains().get(gpu.index)?.name.clone());
        let gpus = self.gpus.iter_mut();
        gpus.filter_map(|gpu| Some((name(gpu)?, gpu.used()))).collect()
    }

    fn read(&mut self, clock: Clock<'_>) {
        for gpu in &mut self.gpus {
            let reading = self.nvml.read(gpu.index);
            gpu.read_at = clock();
            gpu.accumulator.observe(reading, gpu.read_at, (self.boot)());
            if gpu.end.is_none()
                && let (Some((_, end)), Some(now)) =
                    (&mut gpu.bounds, self.nvml.integral(gpu.index))
            {
                *end = now.bound;
            }
        }
    }

    /// Gives the energy since the last look to those who used the GPU.
    fn look(&mut self, who: Who<'_>) {
        let Self { nvml, gpus, known, .. } = self;
        let mut whose = |pid: u32| {
            let now = who(pid);
            if now == Whose::Unseen {
                return known.get(&pid).copied().unwrap_or(Whose::Unseen);
            }
            known.insert(pid, now);
            now
        };
        for gpu in gpus {
            let mut now = Seen::default();
            match nvml.holders(gpu.index) {
                Ok(holders) => {
                    for pid in BTreeSet::from_iter(holders) {
                        now.add(whose(pid));
                    }
                }
                // Somebody may be there whom the driver does not name.
                Err(_) => now.unseen = true,
            }
            let told = told(nvml.processes(gpu.index), &mut whose, &mut now);
            gpu.give(&told, now);
        }
    }
}

fn told(
    processes: Result<Vec<(u32, Share)>, ReadFault>,
    whose: &mut dyn FnMut(u32) -> Whose,
    now: &mut Seen,
) -> Told {
    let Ok(processes) = processes else { return Told::Refused };
    let mut times = None;
    let mut names = false;
    for (pid, share) in processes {
        let whose = whose(pid);
        now.add(whose);
        match share {
            Share::OfTime(part) => times.get_or_insert_with(Parts::default).add(whose, part),
            Share::Unknown => names = true,
        }
    }
    match times {
        Some(times) => Told::Times(times.at_most_one()),
        None if names => Told::Names,
        None => Told::Nothing,
    }
}

impl Gpu {
    /// Gives what has passed since energy was last given, if what was told allows it.
    fn give(&mut self, told: &Told, now: Seen) {
        self.ever = self.ever.and(now);
        let meanwhile = self.lately.and(now);
        let (parts, by) = match told {
            Told::Times(parts) => (*parts, By::Time),
            Told::Names => (meanwhile.all(), By::Process),
            Told::Refused => (Parts { unknown: 1.0, ..Parts::default() }, By::Nothing),
            Told::Nothing if self.open().1 < SAMPLED_WITHIN => {
                self.lately = meanwhile;
                return;
            }
            Told::Nothing => (Parts::default(), By::Nothing),
        };
        self.settle(parts, by);
        self.last = Some((parts, by));
        self.lately = now;
    }

    /// Energy and time that were not given yet, up to the end of the window.
    fn open(&self) -> (Microjoules, Duration) {
        let (total, at) = self.until();
        (total.saturating_sub(self.given.0), at.saturating_duration_since(self.given.1))
    }

    fn until(&self) -> (Microjoules, Instant) {
        self.end.unwrap_or((self.accumulator.total(), self.read_at))
    }

    fn settle(&mut self, parts: Parts, by: By) {
        let (energy, time) = self.open();
        let weight = weight(energy, time);
        self.sums = self.sums.plus(parts.times(weight));
        if weight > 0.0 {
            self.by_time |= by == By::Time;
            self.by_process |= by == By::Process && parts.workload + parts.others > 0.0;
        }
        self.all += weight;
        self.given = self.until();
    }

    /// Who used it, when everything was told that will be.
    fn used(&mut self) -> GpuUse {
        let (parts, by) = self.last.unwrap_or((self.ever.all(), By::Process));
        self.settle(parts, by);
        if self.all <= 0.0 {
            return GpuUse::UNKNOWN;
        }
        let Parts { workload, others, unknown } = self.sums.times(1.0 / self.all);
        let (by_time, by_process) = (self.by_time, self.by_process);
        GpuUse { workload, others, unknown, by_time, by_process }
    }
}

fn exclude(domain: &sensor::Domain, reason: Exclusion) -> Excluded {
    Excluded { name: domain.name.clone(), id: domain.source.clone(), reason }
}

impl fmt::Debug for GpuWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuWindow").field("nvml", &self.nvml).finish_non_exhaustive()
    }
}
