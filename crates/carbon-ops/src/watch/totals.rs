//! Where the host's energy comes from while it is watched: totals that only grow, per domain.
//!
//! [`Totals`] is the seam between sources: a governor's published totals are one, the kernel's
//! counters another. Where there is neither, [`Meter`] takes the power model, and says so.
//!
//! Out of scope: who used the energy.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use carbon_ops_meter::accumulator::GapReason;
use carbon_ops_meter::attribution::{CpuUse, Idle};
use carbon_ops_meter::client::Governor;
use carbon_ops_meter::clock::{EpochStart, Moment};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::model::PowerModel;
use carbon_ops_meter::sensor::powercap::{Topology, Zone, mirrors};
use carbon_ops_meter::sensor::{Availability, Exclusion, Kind};
use carbon_ops_meter::snapshot::{DomainTotal, Snapshot, Text};
use carbon_ops_record::{AttributionMode, Quality};
use carbon_ops_units::{Microjoules, Watts};

use super::gpus::{GpuWatch, Used};
use super::tally::Tally;
use crate::env::Env;
use crate::gpus::Gpus;
use crate::measure::{AskGovernor, IDLE_CV, IDLE_GIVEN_CV, is_filtered};

/// Slowest reading of counters, as in the meter's own windows.
const INTERVAL_MAX: Duration = Duration::from_millis(250);

/// Counters step about every ms.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Totals of energy, by domain.
pub trait Totals: fmt::Debug + Send {
    /// `sysfs`, `governor`.
    fn source(&self) -> &'static str;

    /// How shares of these totals are called.
    fn mode(&self) -> AttributionMode;

    /// When it wants to be polled for its own sake.
    fn due(&self) -> Option<Instant>;

    /// Reads what must be read often, such as counters that wrap.
    fn poll(&mut self);

    /// The totals now, in an order that stays.
    fn read(&mut self) -> Vec<Total>;

    /// Whether a domain that belongs to the host cannot be read at all.
    fn is_incomplete(&self) -> bool;

    /// Whether they are those of no real machine.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Whether the processor is known to blur them.
    fn is_filtered(&self) -> bool {
        false
    }
}

/// One domain's total.
#[derive(Debug, Clone)]
pub struct Total {
    /// Its name, such as `package-0`.
    pub name: String,
    /// What it counts.
    pub kind: Kind,
    /// Who told it: `sysfs`, `governor`, `nvml`.
    pub source: &'static str,
    /// Power that it cannot exceed.
    pub ceiling: Watts,
    /// Energy since counting began.
    pub energy: Microjoules,
    /// Changes with each break, which hides energy.
    pub epoch: EpochStart,
    /// Why the total may stand still although energy flows.
    pub fault: Option<GapReason>,
    /// Breaks since the last read, with the time that they hide.
    pub breaks: Vec<(GapReason, Duration)>,
}

/// The kernel's counters, read here.
#[derive(Debug)]
pub struct Counters {
    zones: Vec<Counted>,
    incomplete: bool,
    filtered: bool,
    regular: Duration,
    due: Instant,
}

#[derive(Debug)]
struct Counted {
    zone: Zone,
    tally: Tally,
}

impl Counters {
    /// The counters of a host, or why there are none.
    pub fn open(host: &HostRoot) -> Result<Self, String> {
        Self::open_at(host, Env::boot_time())
    }

    /// The same, by another clock, which all readings must go by then.
    pub fn open_at(host: &HostRoot, now: Moment) -> Result<Self, String> {
        let (availability, topology) = Topology::discover(host);
        match availability {
            Availability::Present => {}
            Availability::Absent(why) | Availability::Denied(why) => return Err(why),
        }
        let mut incomplete = topology.excluded.iter().any(|zone| zone.reason.loses_energy());
        let mut zones: Vec<_> = topology.counted.into_iter().map(Counted::new).collect();
        drop_mirrors(&mut zones);
        for counted in &mut zones {
            counted.read(now);
        }
        let found = zones.len();
        zones.retain(|counted| counted.tally.counter().last_good().is_some());
        incomplete |= zones.len() < found;
        if !zones.iter().any(|counted| counted.zone.domain.kind == Kind::Package) {
            return Err("no package counter can be read".into());
        }
        let longest = zones.iter().map(|counted| counted.tally.counter().longest_interval()).min();
        let regular = longest.unwrap_or(INTERVAL_MAX).clamp(INTERVAL_MIN, INTERVAL_MAX);
        let (filtered, due) = (is_filtered(host), Instant::now() + regular);
        Ok(Self { zones, incomplete, filtered, regular, due })
    }

    /// The totals at an instant of the clock that they were opened by.
    pub fn read_at(&mut self, now: Moment) -> Vec<Total> {
        self.zones.iter_mut().for_each(|counted| counted.read(now));
        self.zones.iter_mut().map(|counted| counted.tally.total()).collect()
    }
}

impl Totals for Counters {
    fn source(&self) -> &'static str {
        "sysfs"
    }

    fn mode(&self) -> AttributionMode {
        AttributionMode::CpuTime
    }

    fn due(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn poll(&mut self) {
        let now = Env::boot_time();
        self.zones.iter_mut().for_each(|counted| counted.read(now));
        self.due = Instant::now() + self.regular;
    }

    fn read(&mut self) -> Vec<Total> {
        self.poll();
        self.zones.iter_mut().map(|counted| counted.tally.total()).collect()
    }

    fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    fn is_filtered(&self) -> bool {
        self.filtered
    }
}

impl Counted {
    fn new(zone: Zone) -> Self {
        let tally = Tally::new(&zone.domain, "sysfs");
        Self { zone, tally }
    }

    fn read(&mut self, now: Moment) {
        self.tally.observe(self.zone.read(), now);
    }
}

/// A governor's totals.
#[derive(Debug)]
pub struct Governed {
    governor: Governor,
    snapshot: Snapshot,
    domains: Vec<Published>,
}

/// A domain of the governor, and what was shown of it.
#[derive(Debug)]
struct Published {
    key: Text<6>,
    total: Total,
    /// How long the governor counted nothing, in all.
    gap_time: Duration,
}

impl Governed {
    /// The totals of the governor, or why there are none.
    pub fn open(ask: &AskGovernor) -> Result<Self, String> {
        let (governor, snapshot) =
            Governor::connect(&ask.socket, ask.timeout).map_err(|error| error.to_string())?;
        let counted: Vec<_> =
            snapshot.domains.iter().filter(|domain| domain.is_counted()).copied().collect();
        if !counted.iter().any(|domain| domain.kind == Kind::Package && !domain.stale) {
            return Err("the governor serves no package".into());
        }
        let published = |domain: DomainTotal| Published {
            key: domain.key,
            total: Total {
                name: domain.name.to_string(),
                kind: domain.kind,
                source: "governor",
                ceiling: domain.ceiling,
                energy: domain.total,
                epoch: domain.epoch,
                fault: None,
                breaks: Vec::new(),
            },
            gap_time: domain.gap_time,
        };
        let domains = counted.into_iter().map(published).collect();
        Ok(Self { governor, snapshot, domains })
    }
}

impl Published {
    /// The total now: that of the last sample, and what the power of the interval before it has added
    /// since. It does not fall when the power does.
    fn advance(&mut self, domain: &DomainTotal, age: Duration, interval: Duration) {
        let part = (age.as_secs_f64() / interval.as_secs_f64().max(1e-3)).min(1.0);
        let since = Microjoules::from_joules(domain.delta.as_joules() * part).unwrap_or_default();
        let lost = domain.gap_time.saturating_sub(self.gap_time);
        if domain.epoch != self.total.epoch {
            self.total.breaks.push((GapReason::NewEpoch, lost));
        }
        self.gap_time = domain.gap_time;
        self.total.epoch = domain.epoch;
        self.total.energy = self.total.energy.max(domain.total + since);
        self.total.fault = match (domain.stale, domain.stuck) {
            (true, _) => Some(GapReason::Unreadable),
            (false, true) => Some(GapReason::Stuck),
            (false, false) => None,
        };
    }
}

impl Totals for Governed {
    fn source(&self) -> &'static str {
        "governor"
    }

    fn mode(&self) -> AttributionMode {
        AttributionMode::GovernorCpuTime
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn poll(&mut self) {}

    fn read(&mut self) -> Vec<Total> {
        let now = Env::monotonic();
        let answered = self.governor.read(&mut self.snapshot, now).is_ok();
        let (age, interval) = (now.saturating_sub(self.snapshot.monotonic), self.snapshot.interval);
        let read = |published: &mut Published| {
            let mut domains = self.snapshot.domains.iter();
            match domains.find(|domain| domain.key == published.key).filter(|_| answered) {
                Some(domain) => published.advance(domain, age, interval),
                None => published.total.fault = Some(GapReason::Vanished),
            }
            let total = published.total.clone();
            published.total.breaks.clear();
            total
        };
        self.domains.iter_mut().map(read).collect()
    }

    fn is_incomplete(&self) -> bool {
        let lost = |domain: &DomainTotal| domain.excluded.is_some_and(Exclusion::loses_energy);
        self.snapshot.domains.iter().any(lost)
    }

    fn is_simulated(&self) -> bool {
        self.snapshot.simulated
    }

    fn is_filtered(&self) -> bool {
        self.snapshot.filtering == Some(true)
    }
}

/// Leaves out dies that repeat another die's counter.
fn drop_mirrors(zones: &mut Vec<Counted>) {
    if !zones.iter().any(|counted| counted.zone.domain.name.contains("-die-")) {
        return;
    }
    let names: Vec<_> = zones.iter().map(|counted| counted.zone.domain.name.clone()).collect();
    let values: Vec<_> = zones.iter_mut().map(|counted| counted.zone.read().ok()).collect();
    let readings: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    for index in mirrors(&readings).into_iter().rev() {
        zones.remove(index);
    }
}

/// Energy of the host in an interval.
#[derive(Debug)]
pub struct HostEnergy {
    /// Energy by domain.
    pub domains: Vec<DomainEnergy>,
    /// `governor`, `sysfs`, `model`.
    pub source: &'static str,
    /// How shares of it are called.
    pub mode: AttributionMode,
    /// What stands behind it.
    pub quality: Quality,
    /// What the host uses at rest.
    pub idle: Idle,
    /// Power that the host cannot exceed, when known.
    pub most: Option<Watts>,
    /// What counters did not cover.
    pub gaps: Vec<Gap>,
}

/// Energy of one domain in an interval.
#[derive(Debug)]
pub struct DomainEnergy {
    /// Its name, such as `package-0`.
    pub name: String,
    /// What it counts.
    pub kind: Kind,
    /// `sysfs`, `governor`, `nvml`, `model`.
    pub source: &'static str,
    /// Energy in the interval.
    pub energy: Microjoules,
    /// What of it no reading carries yet: filled in with the domain's mean power.
    pub filled: Microjoules,
    /// Of a counter, with its epoch.
    pub total: Option<(Microjoules, EpochStart)>,
}

/// What a counter did not cover.
#[derive(Debug)]
pub struct Gap {
    /// The domain.
    pub domain: String,
    /// Why.
    pub reason: GapReason,
    /// For how long.
    pub duration: Duration,
}

/// Turns totals into energies of intervals, and models where there are no totals.
#[derive(Debug)]
pub struct Meter {
    totals: Option<Box<dyn Totals>>,
    model: PowerModel,
    /// NVIDIA's library: for who used the GPUs, and for their energy where `totals` has none.
    gpus: Option<GpuWatch>,
    simulated_gpus: bool,
    last: Vec<Last>,
    /// Why there are no totals.
    pub why_not: Option<String>,
    /// Why no GPU is read, where there was something to find.
    pub why_no_gpu: Option<String>,
}

#[derive(Debug)]
struct Last {
    total: Total,
    /// Mean power since the start, over intervals without a fault.
    seen: (Microjoules, Duration),
    /// Filled in and not yet seen in the total.
    filled: Microjoules,
}

impl Meter {
    /// The best source of a host: the governor, then its counters, then the model. GPUs are the
    /// governor's where it serves any, else those that the library shows.
    pub fn open(host: &HostRoot, model: PowerModel, ask: Option<&AskGovernor>, gpus: Gpus) -> Self {
        let (totals, why_not): (Option<Box<dyn Totals>>, _) = match ask.map(Governed::open) {
            Some(Ok(governed)) => (Some(Box::new(governed)), None),
            _ => match Counters::open(host) {
                Ok(counters) => (Some(Box::new(counters)), None),
                Err(why) => (None, Some(why)),
            },
        };
        let Gpus { nvml, sensor, simulated } = gpus;
        let found = nvml.is_some();
        let watch = nvml.and_then(|nvml| GpuWatch::open(nvml, Instant::now()));
        let unread = (found && watch.is_none()).then(|| "no GPU can be read".to_owned());
        let why_no_gpu = sensor.and_then(|sensor| sensor.reason).or(unread);
        let meter = Self::of(totals, model, watch);
        let why_no_gpu = why_no_gpu.filter(|_| !meter.serves_gpus());
        Self { simulated_gpus: simulated, why_not, why_no_gpu, ..meter }
    }

    fn of(mut totals: Option<Box<dyn Totals>>, model: PowerModel, gpus: Option<GpuWatch>) -> Self {
        let first = totals.as_mut().map(|totals| totals.read()).unwrap_or_default();
        let last = |total| Last {
            total,
            seen: (Microjoules::ZERO, Duration::ZERO),
            filled: Microjoules::ZERO,
        };
        let mut meter = Self {
            totals,
            model,
            gpus,
            simulated_gpus: false,
            last: first.into_iter().map(last).collect(),
            why_not: None,
            why_no_gpu: None,
        };
        if !meter.serves_gpus() {
            let direct = meter.gpus.as_mut().map(GpuWatch::totals).unwrap_or_default();
            meter.last.extend(direct.into_iter().map(last));
        }
        meter
    }

    /// When it must be polled; `None`: never.
    pub fn due(&self) -> Option<Instant> {
        let totals = self.totals.as_ref().and_then(|totals| totals.due());
        totals.into_iter().chain(self.gpus.as_ref().map(GpuWatch::due)).min()
    }

    /// Reads what is due.
    pub fn poll(&mut self) {
        let now = Instant::now();
        if let Some(totals) = &mut self.totals
            && totals.due().is_some_and(|due| due <= now)
        {
            totals.poll();
        }
        if let Some(gpus) = self.gpus.as_mut().filter(|gpus| gpus.due() <= now) {
            gpus.poll(now);
        }
    }

    /// Whether the totals, which come first, have GPUs of their own.
    fn serves_gpus(&self) -> bool {
        self.last.iter().any(|last| last.total.kind == Kind::Gpu && last.total.source != "nvml")
    }

    /// The GPUs whose energy is read here.
    fn own_gpus(&self) -> Option<&GpuWatch> {
        self.gpus.as_ref().filter(|_| !self.serves_gpus())
    }

    /// Who used each GPU since the last call, by its name. `None` where that cannot be told: both call
    /// GPUs by their place on the bus, which is the same where the governor and the library see all
    /// of them, as in `run`.
    pub fn take_used(&mut self) -> Option<BTreeMap<String, Used>> {
        let used = self.gpus.as_mut()?.take_used();
        let mut counted = self.last.iter().filter(|last| last.total.kind == Kind::Gpu);
        let same = counted.clone().count() == used.len()
            && counted.all(|last| used.contains_key(&last.total.name));
        same.then_some(used)
    }

    /// Whether the governor is asked.
    pub fn is_governed(&self) -> bool {
        let mode = self.totals.as_ref().map(|totals| totals.mode());
        mode == Some(AttributionMode::GovernorCpuTime)
    }

    /// Whether a domain that belongs to the host cannot be read at all.
    pub fn is_incomplete(&self) -> bool {
        self.totals.as_ref().is_some_and(|totals| totals.is_incomplete())
            || self.own_gpus().is_some_and(GpuWatch::is_incomplete)
    }

    /// Whether there are more GPUs than these, of which an interval had energy.
    pub fn misses_gpus(&self, measured: usize) -> bool {
        let known = self.last.iter().filter(|last| last.total.kind == Kind::Gpu).count();
        measured < known || self.own_gpus().is_some_and(GpuWatch::is_incomplete)
    }

    /// Whether the processor is known to blur the totals.
    pub fn is_filtered(&self) -> bool {
        self.totals.as_ref().is_some_and(|totals| totals.is_filtered())
    }

    /// Whether the totals are those of no real machine.
    pub fn is_simulated(&self) -> bool {
        self.simulated_gpus || self.totals.as_ref().is_some_and(|totals| totals.is_simulated())
    }

    /// What stands in where there is no counter.
    pub fn model(&self) -> &PowerModel {
        &self.model
    }

    /// Intervals begin now.
    pub fn restart(&mut self) {
        self.read();
        self.take_used();
    }

    /// Reads the totals of now; their energies follow in [`Meter::energy`], once it is known how long
    /// the interval was.
    pub fn read(&mut self) -> Vec<Total> {
        let mut totals = self.totals.as_mut().map(|totals| totals.read()).unwrap_or_default();
        let served = self.serves_gpus();
        if let Some(gpus) = &mut self.gpus {
            gpus.poll(Instant::now());
            if !served {
                totals.extend(gpus.totals());
            }
        }
        totals
    }

    /// Energy from the last reading to this one.
    pub fn energy(&mut self, now: Vec<Total>, elapsed: Duration, cpu: CpuUse) -> HostEnergy {
        let (mut domains, mut gaps) = (Vec::new(), Vec::new());
        for (last, total) in self.last.iter_mut().zip(now) {
            let breaks = total.breaks.iter().map(|&(reason, duration)| (reason, duration));
            let fault = total.fault.map(|reason| (reason, elapsed));
            // A source may tell of a break by its epoch alone.
            let silent = total.breaks.is_empty() && total.epoch != last.total.epoch;
            let silent = silent.then_some((GapReason::Reset, elapsed));
            gaps.extend(breaks.chain(fault).chain(silent).map(|(reason, duration)| Gap {
                domain: total.name.clone(),
                reason,
                duration,
            }));
            domains.extend(last.advance(total, elapsed));
        }
        let idle_cv = if self.model.idle_is_given() { IDLE_GIVEN_CV } else { IDLE_CV };
        let package = domains.iter().any(|domain| domain.kind == Kind::Package);
        if let Some(totals) = self.totals.as_ref().filter(|_| package) {
            let with_memory = domains.iter().any(|domain| domain.kind == Kind::Dram);
            let idle = Idle { power: self.model.idle_power(with_memory), cv: idle_cv };
            let ceilings = self.last.iter().filter(|last| last.total.kind != Kind::Gpu);
            let most = ceilings.fold(Watts::ZERO, |sum, last| sum + last.total.ceiling);
            let integrated = self.own_gpus().is_some_and(GpuWatch::is_integrated);
            let whole = gaps.is_empty() && domains.len() == self.last.len();
            let whole = whole && !integrated && !self.is_incomplete();
            let quality = if whole { Quality::Measured } else { Quality::Estimated };
            let (source, mode) = (totals.source(), totals.mode());
            return HostEnergy { domains, source, mode, quality, idle, most: Some(most), gaps };
        }
        let modelled = self.model.run(elapsed, cpu);
        let cv = if self.model.idle_is_given() { IDLE_GIVEN_CV } else { 0.0 };
        let modelled_domain = |name: &str, kind, energy| DomainEnergy {
            name: name.into(),
            kind,
            source: "model",
            energy,
            filled: Microjoules::ZERO,
            total: None,
        };
        domains.retain(|domain| domain.kind == Kind::Gpu);
        domains.insert(0, modelled_domain("cpu", Kind::Package, modelled.cpu));
        domains.insert(1, modelled_domain("memory", Kind::Dram, modelled.memory));
        let known = self.model.is_known();
        HostEnergy {
            domains,
            source: "model",
            mode: AttributionMode::MonitorOnly,
            quality: if known { Quality::Estimated } else { Quality::Fallback },
            idle: Idle { power: modelled.idle, cv },
            most: None,
            gaps,
        }
    }
}

impl Last {
    /// The energy up to `total`; nothing is known of a domain that never moved and has a fault.
    fn advance(&mut self, total: Total, elapsed: Duration) -> Option<DomainEnergy> {
        let nothing = Microjoules::ZERO;
        let delta = total.energy.saturating_sub(self.total.energy);
        // What was filled in earlier arrives now.
        let arrived = delta.saturating_sub(self.filled);
        self.filled = self.filled.saturating_sub(delta);
        let fill = match total.fault {
            Some(_) if delta == nothing => self.seen.0.over(self.seen.1)?.over(elapsed),
            _ => nothing,
        };
        self.filled = self.filled + fill;
        if total.fault.is_none() && total.breaks.is_empty() {
            self.seen = (self.seen.0 + delta, self.seen.1 + elapsed);
        }
        let (name, kind, source) = (total.name.clone(), total.kind, total.source);
        let energy = arrived + fill;
        let shown = Some((total.energy, total.epoch));
        self.total = total;
        Some(DomainEnergy { name, kind, source, energy, filled: fill, total: shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Totals from a list, in J; `None` is a fault.
    #[derive(Debug)]
    struct Script(Vec<Option<u64>>, u64);

    impl Totals for Script {
        fn source(&self) -> &'static str {
            "script"
        }
        fn mode(&self) -> AttributionMode {
            AttributionMode::GovernorCpuTime
        }
        fn due(&self) -> Option<Instant> {
            None
        }
        fn poll(&mut self) {}
        fn is_incomplete(&self) -> bool {
            false
        }
        fn read(&mut self) -> Vec<Total> {
            let next = if self.0.is_empty() { None } else { self.0.remove(0) };
            self.1 = next.unwrap_or(self.1);
            vec![Total {
                name: "package-0".into(),
                kind: Kind::Package,
                source: "script",
                ceiling: Watts::new(500.0).unwrap(),
                energy: Microjoules::new(self.1 * 1_000_000),
                epoch: EpochStart::from_millis(1),
                fault: next.is_none().then_some(GapReason::Unreadable),
                breaks: Vec::new(),
            }]
        }
    }

    fn second(meter: &mut Meter) -> HostEnergy {
        let second = Duration::from_secs(1);
        let cpu = CpuUse { workload: second, busy: second, capacity: second };
        let now = meter.read();
        meter.energy(now, second, cpu)
    }

    fn joules(energy: &HostEnergy) -> f64 {
        energy.domains.iter().map(|domain| domain.energy.as_joules()).sum()
    }

    fn model() -> PowerModel {
        PowerModel::identify(
            &HostRoot::at("/nowhere"),
            carbon_ops_meter::sensor::model::Overrides::default(),
        )
    }

    /// 40 W, then two seconds unseen, then all of it: 40 + 40 + 40 + 60 = 180.
    #[test]
    fn a_reading_that_fails_is_filled_in_and_made_up_for_by_the_next() {
        let script = Script(vec![Some(100), Some(140), None, None, Some(280)], 0);
        let mut meter = Meter::of(Some(Box::new(script)), model(), None);
        let energies: Vec<_> = (0..4).map(|_| second(&mut meter)).collect();
        assert_eq!(
            energies.iter().map(|e| format!("{:.0}", joules(e))).collect::<Vec<_>>(),
            ["40", "40", "40", "60"]
        );
        let quality: Vec<_> =
            energies.iter().map(|energy| energy.quality == Quality::Measured).collect();
        assert_eq!(quality, [true, false, false, true]);
        assert_eq!(energies.iter().map(|energy| energy.gaps.len()).sum::<usize>(), 2);
    }

    #[test]
    fn counters_that_never_told_anything_leave_it_to_the_model() {
        let script = Script(vec![Some(100), None], 0);
        let mut meter = Meter::of(Some(Box::new(script)), model(), None);
        let energy = second(&mut meter);
        assert_eq!((energy.source, energy.mode), ("model", AttributionMode::MonitorOnly));
        assert!(joules(&energy) > 0.0 && energy.quality == Quality::Fallback);
    }
}
