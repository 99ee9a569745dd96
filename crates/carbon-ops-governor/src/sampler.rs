//! The sampler: one thread that reads every counter at its own pace and publishes what it finds. It
//! waits for nothing but time, so that no client can delay it.
//!
//! The arithmetic is in `carbon_ops_meter::totals`; here are the pace, the reading, and what to do
//! when the set of counters changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::page::PageWriter;
use carbon_ops_meter::sensor::nvml::{Driver as _, Helper};
use carbon_ops_meter::sensor::{Availability, Backend, Domain, Excluded, Exclusion};
use carbon_ops_meter::snapshot::Source;
use carbon_ops_meter::totals::{Event, Happened, Publication, Totals};
use carbon_ops_meter::twins::{self, Look, Twins};
use carbon_ops_units::Microjoules;
use serde_json::{Value, json};

use crate::clocks;
use crate::cross_check::CrossCheck;
use crate::fault::Fault;
use crate::sensors::{self, Rescan};
use crate::shared::Shared;

/// How often to look for zones that appeared.
const RESCAN: Duration = Duration::from_secs(60);

/// The same while something that was there is gone.
const RESCAN_AFTER_LOSS: Duration = Duration::from_secs(5);

/// How often to tell how well powers are integrated.
const INTEGRALS: Duration = Duration::from_secs(10);

/// No sampler is faster, whatever a range and a ceiling ask for.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A slow sampler looks up so often whether it is to be faster.
const NEW_PACE_WITHIN: Duration = Duration::from_secs(1);

/// A publication may come early by this, so that equal intervals do not miss each other.
const SLACK_DIVISOR: u32 = 10;

/// So many samples in a row in which one zone moves and another one that shows the same does not.
const RESTS: u32 = 10;

/// A domain and a copy of it through another bus: the one that moves is counted.
#[derive(Debug)]
struct Copied {
    /// Their places: what is counted, and what is not.
    counted: usize,
    beside: usize,
    /// Their totals at the last sample.
    last: [Microjoules; 2],
    /// Samples in which the one rested while the other moved.
    rests: u32,
}

impl Copied {
    /// Whether the other one is to be counted from here on.
    fn has_stopped(&mut self, now: [Microjoules; 2]) -> bool {
        let ([counted, beside], [counted_before, beside_before]) = (now, self.last);
        let moved = u32::from(beside != beside_before);
        self.rests = if counted == counted_before { self.rests.saturating_add(moved) } else { 0 };
        self.last = now;
        self.rests >= RESTS
    }
}

/// Everything that is sampled.
#[derive(Debug)]
pub(crate) struct Sampler {
    backends: Vec<Box<dyn Backend>>,
    /// For each domain of `totals`: its backend and its place there.
    places: Vec<(usize, usize)>,
    totals: Totals,
    /// Which of them show one counter.
    twins: Twins,
    copies: Vec<Copied>,
    excluded: Vec<Excluded>,
    /// GPUs whose driver has not answered yet.
    late: Option<Helper>,
    cross_check: Option<CrossCheck>,
    state: PageWriter,
    public: Option<(PageWriter, Publication)>,
    shared: Arc<Shared>,
    /// How zones are looked for again; nothing where zones cannot appear.
    rescan: Option<Rescan>,
    next_scan: Moment,
    next_integrals: Moment,
    topology_told: bool,
    pending: Vec<Event>,
}

impl Sampler {
    pub(crate) fn new(
        found: sensors::Found,
        totals: Totals,
        state: PageWriter,
        public: Option<PageWriter>,
        shared: Arc<Shared>,
    ) -> Self {
        let seq = totals.snapshot().seq;
        let mut sampler = Self {
            backends: Vec::new(),
            places: Vec::new(),
            totals,
            twins: Twins::default(),
            copies: Vec::new(),
            excluded: found.excluded,
            late: found.late,
            cross_check: found.second.map(CrossCheck::new),
            state,
            public: public.map(|page| (page, Publication::after(seq))),
            shared,
            rescan: found.rescan,
            next_scan: clocks::boot_time().after(RESCAN),
            next_integrals: Moment::default(),
            topology_told: false,
            pending: Vec::new(),
        };
        for backend in found.backends {
            sampler.add(backend);
        }
        sampler
    }

    /// Says once what is read and how well.
    pub(crate) fn log_startup(&self) {
        let of = |counted: bool| {
            let domains =
                self.totals.domains().filter(|domain| domain.excluded.is_none() == counted);
            domains.map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let names: Vec<_> = self.backends.iter().map(|backend| backend.name()).collect();
        let check = self.cross_check.as_ref();
        let check = check.map_or(String::new(), |check| format!(", held against {}", check.name()));
        let not_counted = match of(false) {
            names if names.is_empty() => String::new(),
            names => format!("; read but not counted: {names}"),
        };
        log::info!("counting {} by {}{check}{not_counted}", of(true), names.join(" and "));
        for domain in self.totals.domains().filter(|domain| !domain.scale.is_exact()) {
            log::warn!(
                "{}: the energy unit does not follow from its range of {} uJ; totals are as the kernel \
                 prints them, and a corrupt reading cannot be detected from its value",
                domain.name,
                domain.scale.range().as_microjoules()
            );
        }
    }

    /// Takes a first sample, so that clients never see an empty page.
    pub(crate) fn first(&mut self) {
        self.sample(self.pace(), 0);
        // What an earlier governor counted and this one has not found is looked for soon.
        if self.rescan.is_some() && self.is_something_missing() {
            let soon = self.totals.snapshot().at.after(RESCAN_AFTER_LOSS);
            self.next_scan = self.next_scan.min(soon);
        }
    }

    /// Samples for ever.
    pub(crate) fn run(mut self) -> ! {
        let mut last = clocks::monotonic();
        loop {
            let (pace, deadline) = self.wait(last);
            let late = clocks::monotonic().saturating_sub(deadline);
            let missed =
                u64::try_from(late.as_nanos() / pace.as_nanos().max(1)).unwrap_or(u64::MAX);
            // What was missed is left out, and the pace kept.
            last = deadline + pace * u32::try_from(missed).unwrap_or(u32::MAX);
            self.shared.tick(late, missed);
            self.sample(pace, missed);
        }
    }

    /// Sleeps until the next sample is due; the pace, and when that was.
    fn wait(&self, last: Duration) -> (Duration, Duration) {
        let mut pace = self.pace();
        let mut deadline = last + pace;
        loop {
            let now = clocks::monotonic();
            if now >= deadline {
                return (pace, deadline);
            }
            clocks::sleep_until(deadline.min(now + NEW_PACE_WITHIN));
            let wanted = self.pace();
            if wanted != pace {
                pace = wanted;
                deadline = clocks::monotonic().max(last + pace);
            }
        }
    }

    /// The interval that is wanted, or a shorter one that keeps every wrap provable.
    fn pace(&self) -> Duration {
        let second = self.cross_check.as_ref().map_or(Duration::MAX, CrossCheck::longest_interval);
        let provable = self.totals.longest_interval().min(second).max(INTERVAL_MIN);
        self.shared.interval().min(provable)
    }

    fn sample(&mut self, pace: Duration, missed: u64) {
        for backend in &mut self.backends {
            backend.ask();
        }
        let times = clocks::now();
        self.totals.begin(times);
        let mut from = times.at;
        let mut looks = Vec::new();
        for (index, &(backend, place)) in self.places.iter().enumerate() {
            let Some(backend) = self.backends.get_mut(backend) else { continue };
            let reading = backend.read(place);
            let now = clocks::boot_time();
            let (earliest, at) = backend.taken(place).unwrap_or((from, now));
            self.totals.observe_between(index, reading, earliest, at);
            if !self.twins.is_empty() {
                let [from, at] = [earliest, at].map(|at| Duration::from_nanos(at.as_nanos()));
                looks.push(reading.ok().map(|reading| Look { reading, from, at }));
            }
            from = now;
        }
        self.judge_twins(&looks);
        self.totals.end(pace, missed);
        self.judge_copies();
        // Crash here, or anywhere: what is published was kept before, so that no successor tells less.
        self.state.keep(self.totals.snapshot(), self.totals.counters());
        let snapshot = self.totals.snapshot();
        if let Some((page, publication)) = &mut self.public {
            let interval = self.shared.client_interval();
            if publication.is_due(snapshot.at, interval, pace / SLACK_DIVISOR) {
                let quantum = self.shared.client_quantum();
                page.publish(publication.make(snapshot, quantum, interval));
            }
        }
        if let Some(check) = &mut self.cross_check
            && let Some(report) = check.look(self.totals.snapshot())
        {
            self.shared.set_cross_check(report);
        }
        self.tell();
        if times.at >= self.next_integrals {
            self.next_integrals = times.at.after(INTEGRALS);
            self.tell_integrals();
        }
        if times.at >= self.next_scan {
            self.rescan(times.at);
        }
        self.add_late();
    }

    /// Adds GPUs whose driver has answered at last.
    fn add_late(&mut self) {
        let found = self.late.as_mut().and_then(|helper| helper.found(Duration::ZERO));
        let (Some(found), Some(helper)) = (&found, self.late.take_if(|_| found.is_some())) else {
            return;
        };
        match found {
            Availability::Present => {
                log::info!("nvml: the library answers");
                self.excluded.extend_from_slice(helper.left_out());
                self.add(Box::new(helper));
            }
            other => log::warn!("nvml: {other}"),
        }
    }

    /// Logs what happened, once, and keeps it for those who ask.
    fn tell(&mut self) {
        let events = self.totals.take_events();
        if !events.is_empty() {
            events.iter().for_each(log_event);
            self.pending.extend(events);
            if self.rescan.is_some() && self.is_something_missing() {
                let soon = self.totals.snapshot().at.after(RESCAN_AFTER_LOSS);
                self.next_scan = self.next_scan.min(soon);
            }
        }
        if !self.pending.is_empty() {
            self.pending = self.shared.add_events(std::mem::take(&mut self.pending));
        }
        if !self.topology_told {
            self.topology_told = self.shared.set_topology(&self.topology());
        }
    }

    /// Says what energies that are integrated from powers may be off by.
    fn tell_integrals(&self) {
        let domains = self.totals.domains().zip(&self.places);
        let integrals = domains.filter_map(|(domain, &(backend, place))| {
            let integral = self.backends.get(backend)?.integral(place)?;
            Some(json!({
                "name": domain.name,
                "bound_uj": integral.bound.as_microjoules(),
                "longest_gap_s": integral.longest_gap.as_secs_f64(),
            }))
        });
        let integrals: Vec<_> = integrals.collect();
        if !integrals.is_empty() {
            self.shared.set_integrals(integrals.into());
        }
    }

    fn is_something_missing(&self) -> bool {
        // What another source counts now is not missed.
        let replaced = Some(Exclusion::Duplicate);
        let mut domains = self.totals.snapshot().domains.iter();
        domains.any(|domain| domain.stale && domain.excluded != replaced)
    }

    fn add(&mut self, backend: Box<dyn Backend>) {
        let source = Source::of(backend.name());
        for (place, domain) in backend.domains().iter().enumerate() {
            match self.totals.add(source, domain.clone()) {
                Some(_) => self.places.push((self.backends.len(), place)),
                None => log::error!("too many domains; {} is not read", domain.key),
            }
        }
        self.backends.push(backend);
        let domains: Vec<_> = self.totals.domains().collect();
        let place = |name: &str| domains.iter().position(|domain| domain.name == name);
        for (beside, domain) in domains.iter().enumerate().skip(self.twins.len()) {
            // A copy is one by its documentation, and is held against nothing.
            if domain.excluded == Some(Exclusion::Duplicate)
                && let Some(counted) = domain.name.split_once('@').and_then(|(name, _)| place(name))
            {
                let last = [Microjoules::ZERO; 2];
                self.copies.push(Copied { counted, beside, last, rests: 0 });
            }
        }
        let is_copy = |place: usize| self.copies.iter().any(|it| it.beside == place);
        self.twins.grow(domains.iter().enumerate().map(|(place, domain)| {
            let name = if is_copy(place) { &domain.source } else { &domain.name };
            (name.as_str(), domain.scale.range())
        }));
        self.topology_told = false;
    }

    /// Counts each counter once, as they have moved up to now.
    fn judge_twins(&mut self, looks: &[Option<Look>]) {
        self.twins.look(looks);
        let repeated = self.twins.repeated();
        let judged = self.totals.domains().enumerate().filter_map(|(place, domain)| {
            let is_repeated = repeated.binary_search(&place).is_ok();
            let verdict = is_repeated.then(|| twins::reason(&domain.name));
            let is_open =
                domain.excluded.is_none() || domain.excluded == Some(twins::reason(&domain.name));
            let is_copy = self.copies.iter().any(|it| [it.counted, it.beside].contains(&place));
            let is_open = is_open && !is_copy;
            let has_changed = domain.excluded != verdict && is_open && !looks.is_empty();
            has_changed.then(|| (place, verdict, domain.name.clone()))
        });
        for (place, verdict, name) in judged.collect::<Vec<_>>() {
            match verdict {
                Some(_) => log::info!("{name}: moves as another counter does, and is counted once"),
                None => log::warn!("{name}: moves otherwise than its twin; both are counted"),
            }
            self.totals.judge(place, verdict);
            self.topology_told = false;
        }
    }

    /// Of a domain and its copy counts the one that moves, at each sample anew.
    fn judge_copies(&mut self) {
        let domains = &self.totals.snapshot().domains;
        let total = |place: usize| domains.get(place).map_or(Microjoules::ZERO, |it| it.total);
        let mut changed = Vec::new();
        for it in &mut self.copies {
            if it.has_stopped([it.counted, it.beside].map(total)) {
                std::mem::swap(&mut it.counted, &mut it.beside);
                it.last.reverse();
                it.rests = 0;
                changed.push((it.counted, it.beside));
            }
        }
        for (counted, beside) in changed {
            self.totals.judge(counted, None);
            self.totals.judge(beside, Some(Exclusion::Duplicate));
            let mut names = self.totals.domains().map(|domain| &domain.source);
            if let Some(zone) = names.nth(counted) {
                log::warn!("{zone}: counted from here on, as what shows the same does not move");
            }
            self.topology_told = false;
        }
    }

    /// Adds zones that appeared since: a processor that was plugged in, a driver that was loaded.
    fn rescan(&mut self, now: Moment) {
        let missing = self.is_something_missing();
        self.next_scan = now.after(if missing { RESCAN_AFTER_LOSS } else { RESCAN });
        let Some(rescan) = &self.rescan else { return };
        let known: Vec<Domain> = self.totals.domains().cloned().collect();
        let Some(appeared) = rescan.appeared(&known) else { return };
        for domain in appeared.backend.domains() {
            log::info!("{} appeared ({})", domain.name, domain.source);
        }
        self.excluded = appeared.excluded;
        self.add(appeared.backend);
    }

    /// What is counted, what is not, and why.
    fn topology(&self) -> Value {
        let domain = |domain: &Domain| {
            json!({
                "name": domain.name, "key": domain.key, "kind": domain.kind.as_str(),
                "zone": domain.source, "counted": domain.excluded.is_none(),
                "reason": domain.excluded.map(Exclusion::as_str),
                "unit_uj": domain.scale.is_exact().then(|| domain.scale.unit_microjoules()),
                "range_uj": domain.scale.range().as_microjoules(),
                "ceiling_w": domain.ceiling.as_watts(),
                "likely_w": domain.likely.as_watts(),
            })
        };
        let excluded = self.excluded.iter().map(
            |zone| json!({ "name": zone.name, "zone": zone.id, "reason": zone.reason.as_str() }),
        );
        json!({
            "backends": self.backends.iter().map(|backend| backend.name()).collect::<Vec<_>>(),
            "cross_check": self.cross_check.as_ref().map(CrossCheck::name),
            "domains": self.totals.domains().map(domain).collect::<Vec<_>>(),
            "not_counted": excluded.collect::<Vec<_>>(),
        })
    }
}

/// The state page of `dir`, locked so that no second governor uses it.
pub(crate) fn open_state(dir: &Path) -> Result<PageWriter> {
    let path = dir.join("state");
    let page = PageWriter::open(&path, 0o600).with_context(|| Fault::NoState(path.clone()))?;
    #[expect(clippy::disallowed_methods, reason = "for as long as the process lives")]
    match page.file().try_lock() {
        Ok(()) => Ok(page),
        Err(std::fs::TryLockError::WouldBlock) => bail!(Fault::StateInUse(path)),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn log_event(event: &Event) {
    let domain = event.domain;
    let seconds = |time: Duration| time.as_secs_f64();
    match event.what {
        Happened::Resumed { gap } => {
            log::info!("{domain}: went on after {:.3} s without a sample", seconds(gap));
        }
        Happened::Lost { reason, gap, most } => log::warn!(
            "{domain}: {} after {:.3} s; between 0 and {:.3} J are lost, a new epoch begins",
            reason.as_str(),
            seconds(gap),
            most.as_joules()
        ),
        Happened::Bridged { reason, gap } => {
            log::info!("{domain}: {} for {:.3} s, nothing is lost", reason.as_str(), seconds(gap));
        }
        Happened::Failing { reason } => log::warn!("{domain}: {}", reason.as_str()),
        Happened::Stuck => log::warn!("{domain}: the counter does not move"),
        Happened::Suspended { length } => {
            log::info!("the machine was suspended for {:.3} s", seconds(length));
        }
        Happened::CeilingRaised { to } => log::warn!(
            "{domain}: it draws more power than was thought possible; up to {:.0} W is believed from here on",
            to.as_watts()
        ),
        Happened::LatticeGivenUp => log::warn!(
            "{domain}: its readings do not fit the energy unit that follows from its range; they are \
             taken as uJ, so a corrupt reading cannot be detected from its value"
        ),
    }
}
