//! Measures one window of time with the counters of a host: opens it, reads often enough that no
//! wrap can hide, and closes it with the energy of each domain.
//!
//! Out of scope: who used the energy (see [`crate::attribution`]), waiting (the caller
//! sleeps until [`Window::due`], among other things), and any model.

use std::time::{Duration, Instant};

use carbon_ops_units::{Microjoules, Watts};

use crate::accumulator::{Accumulator, DomainEnergy};
use crate::clock::BootClock;
use crate::host_root::HostRoot;
use crate::sensor::powercap::{LIKELY_OVER_LIMIT, Topology, Zone, mirrors};
use crate::sensor::{Availability, Excluded, Exclusion, Kind};

/// Slowest reading. Energy is in the totals, so that reading faster adds nothing but cost; this
/// bounds what is lost when a zone vanishes.
const INTERVAL_MAX: Duration = Duration::from_millis(250);

/// Fastest reading: RAPL counters step every ms.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The first reading after the start; the interval then doubles up to the regular one. The first
/// step of each counter after the start is so found early, which sharpens the window's start.
const INTERVAL_FIRST: Duration = Duration::from_micros(500);

/// An instant at which to look again.
type Clock<'a> = &'a dyn Fn() -> Instant;

/// The first reading of a window that follows another: counters step about once in a ms, so that each
/// has by then.
const INTERVAL_NEXT: Duration = Duration::from_millis(2);

/// A window that is being measured, or one after the other.
#[derive(Debug)]
pub struct Window {
    zones: Vec<(Zone, Accumulator)>,
    excluded: Vec<Excluded>,
    interval: Duration,
    /// Windows that follow others need no more readings than what makes their start sharp.
    is_next: bool,
    regular: Duration,
    due: Instant,
    boot: BootClock,
}

/// Energy of one counted domain.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// `package-0`, `dram-0`.
    pub name: String,
    /// Package or DRAM.
    pub kind: Kind,
    /// Name of the zone's directory.
    pub zone: String,
    /// Which backend read it: `sysfs`, `msr`, `perf`, `nvml`.
    pub backend: &'static str,
    /// The most power that the domain is likely to draw.
    pub likely: Watts,
    /// What the counter said.
    pub energy: DomainEnergy,
}

/// A measured window.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// Counted domains, sorted by name; at least one package.
    pub domains: Vec<Domain>,
    /// Zones that were left out.
    pub excluded: Vec<Excluded>,
    /// Length of the window.
    pub elapsed: Duration,
}

impl Counted {
    /// Energy of the host: all counted domains.
    pub fn host(&self) -> Microjoules {
        self.domains.iter().map(|domain| domain.energy.energy).sum()
    }

    /// Least and most that the readings around the window allow.
    pub fn bounds(&self) -> (Microjoules, Microjoules) {
        let sum = |of: fn(&DomainEnergy) -> Microjoules| {
            self.domains.iter().map(|domain| of(&domain.energy)).sum()
        };
        (sum(|energy| energy.low), sum(|energy| energy.high))
    }

    /// The most power that the host is likely to draw: of a domain four times what it drew on average, where
    /// that is more than what it publishes, as if this had been its limit.
    pub fn likely(&self) -> Watts {
        let of = |domain: &Domain| {
            let drawn = domain.energy.energy.over(self.elapsed).unwrap_or(Watts::ZERO);
            domain.likely.max(drawn * LIKELY_OVER_LIMIT)
        };
        self.domains.iter().fold(Watts::ZERO, |sum, domain| sum + of(domain))
    }

    /// Whether every domain that exists was measured, to its end.
    pub fn is_measured(&self) -> bool {
        !self.domains.iter().any(|domain| domain.energy.estimated)
            && !self.excluded.iter().any(|zone| zone.reason.loses_energy())
    }

    /// Whether the window was too short for a counter, whose energy was interpolated.
    pub fn is_interpolated(&self) -> bool {
        self.domains.iter().any(|domain| domain.energy.is_interpolated())
    }

    /// Share of the domains' time that their counters covered, 0 to 1.
    pub fn coverage(&self) -> f64 {
        coverage(&self.domains, self.elapsed)
    }
}

impl Window {
    /// Finds the counters of a host and takes their first readings. `None` comes with the reason
    /// and with the zones that were seen.
    pub fn open(
        host: &HostRoot,
        clock: Clock<'_>,
        boot: BootClock,
    ) -> (Availability, Result<Self, Vec<Excluded>>) {
        let (availability, topology) = Topology::discover(host);
        if availability != Availability::Present {
            let left = topology.counted.iter();
            let left = left.map(|zone| exclude(zone, Exclusion::WithoutPackage));
            return (availability, Err(topology.excluded.into_iter().chain(left).collect()));
        }
        let opened = clock();
        let mut window = Self {
            zones: Vec::new(),
            excluded: topology.excluded,
            interval: INTERVAL_FIRST,
            is_next: false,
            regular: INTERVAL_MAX,
            due: opened + INTERVAL_FIRST,
            boot,
        };
        for zone in topology.counted {
            window.start(zone, clock);
        }
        window.drop_mirrors();
        if !window.zones.iter().any(|(zone, _)| zone.domain.kind == Kind::Package) {
            // Memory alone is not the host.
            let why = "no package counter can be read".into();
            let left = window.zones.iter();
            let left = left.map(|(zone, _)| exclude(zone, Exclusion::WithoutPackage));
            window.excluded.extend(left.collect::<Vec<_>>());
            return (Availability::Absent(why), Err(window.excluded));
        }
        let longest = window.zones.iter().map(|(_, accumulator)| accumulator.longest_interval());
        window.regular = longest.min().unwrap_or(INTERVAL_MAX).clamp(INTERVAL_MIN, INTERVAL_MAX);
        (availability, Ok(window))
    }

    /// When the counters want to be read next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Reads all counters.
    pub fn sample(&mut self, clock: Clock<'_>) {
        self.read(clock);
        let sharp = self.is_next && self.zones.iter().all(|(_, zone)| zone.has_stepped());
        self.interval = if sharp { self.regular } else { (self.interval * 2).min(self.regular) };
        self.due = clock() + self.interval;
    }

    /// Ends the window now, and begins the next one, of which this is the first reading. Nothing is waited
    /// for, so that the ends are less sharp than those of [`Window::close`]. `elapsed` is the length of
    /// the window by the caller's clock.
    ///
    /// # Errors
    /// The excluded zones, when no package counter has ever moved: then nothing was measured.
    pub fn cut(&mut self, elapsed: Duration, clock: Clock<'_>) -> Result<Counted, Vec<Excluded>> {
        self.read(clock);
        self.drop_mirrors();
        let cut: Vec<_> = self.zones.iter_mut().map(|(_, accumulator)| accumulator.cut()).collect();
        let zones = self.zones.iter().map(|(zone, _)| zone);
        let counted = counted(zones.zip(cut), self.excluded.clone(), elapsed);
        (self.is_next, self.interval) = (true, INTERVAL_NEXT.min(self.regular));
        self.due = clock() + self.interval;
        counted
    }

    /// What the window would tell if it ended with the last readings; it goes on.
    ///
    /// # Errors
    /// As of [`Window::cut`].
    pub fn so_far(&self, elapsed: Duration) -> Result<Counted, Vec<Excluded>> {
        let zones = self.zones.iter().map(|(zone, accumulator)| (zone, accumulator.clone().cut()));
        counted(zones, self.excluded.clone(), elapsed)
    }

    /// Ends the window now. What remains is to look on for a moment, in [`Window::close`].
    pub fn end(&mut self, clock: Clock<'_>) {
        self.read(clock);
        for (_, accumulator) in &mut self.zones {
            accumulator.end_window();
        }
    }

    /// Looks on until the counters have stepped once more after the end, and reports on a window of
    /// length `elapsed`.
    ///
    /// # Errors
    /// The excluded zones, when no package counter ever moved: then nothing was measured.
    pub fn close(
        mut self,
        elapsed: Duration,
        clock: Clock<'_>,
        sleep: &mut dyn FnMut(Duration),
    ) -> Result<Counted, Vec<Excluded>> {
        self.settle(clock(), clock, sleep);
        self.drop_mirrors();
        let (zones, energies): (Vec<_>, Vec<_>) =
            self.zones.into_iter().map(|(zone, mut last)| (zone, last.close(elapsed))).unzip();
        counted(zones.iter().zip(energies), self.excluded, elapsed)
    }

    fn start(&mut self, mut zone: Zone, clock: Clock<'_>) {
        let opened = zone
            .read()
            .ok()
            .and_then(|reading| Accumulator::open(&zone.domain, reading, clock(), (self.boot)()));
        match opened {
            Some(accumulator) => self.zones.push((zone, accumulator)),
            None => self.excluded.push(exclude(&zone, Exclusion::Unreadable)),
        }
    }

    fn read(&mut self, clock: Clock<'_>) {
        for (zone, accumulator) in &mut self.zones {
            let reading = zone.read();
            accumulator.observe(reading, clock(), (self.boot)());
        }
    }

    /// Reads on after the end until each counter has stepped, or until it is clear that one will
    /// not. The pause grows with the time waited, so that the step is known to an eighth of it.
    fn settle(&mut self, ended: Instant, clock: Clock<'_>, sleep: &mut dyn FnMut(Duration)) {
        loop {
            let waited = clock().saturating_duration_since(ended);
            let any_moved = self.zones.iter().any(|(_, accumulator)| accumulator.moved());
            let wanted = self.zones.iter().filter_map(|(_, a)| a.wants_more(any_moved)).max();
            if wanted.is_none_or(|wanted| waited >= wanted) {
                return;
            }
            sleep((waited / 8).max(INTERVAL_FIRST / 2));
            self.read(clock);
        }
    }

    /// Leaves out dies that repeat another die's counter.
    fn drop_mirrors(&mut self) {
        if !self.zones.iter().any(|(zone, _)| zone.domain.name.contains("-die-")) {
            return;
        }
        let mut values = Vec::new();
        for (zone, _) in &mut self.zones {
            let value = zone.read().ok();
            values.push((zone.domain.name.clone(), value));
        }
        let readings: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        for index in mirrors(&readings).into_iter().rev() {
            let (zone, _) = self.zones.remove(index);
            self.excluded.push(exclude(&zone, Exclusion::MirroredDie));
        }
    }
}

/// What the zones of a window have measured, and which of them have not.
fn counted<'z>(
    zones: impl Iterator<Item = (&'z Zone, Option<DomainEnergy>)>,
    mut excluded: Vec<Excluded>,
    elapsed: Duration,
) -> Result<Counted, Vec<Excluded>> {
    let mut domains = Vec::new();
    for (zone, energy) in zones {
        match energy {
            Some(energy) => domains.push(Domain {
                name: zone.domain.name.clone(),
                kind: zone.domain.kind,
                zone: zone.domain.source.clone(),
                backend: "sysfs",
                likely: zone.domain.likely,
                energy,
            }),
            None => excluded.push(exclude(zone, Exclusion::Stuck)),
        }
    }
    if domains.iter().any(|domain| domain.kind == Kind::Package) {
        return Ok(Counted { domains, excluded, elapsed });
    }
    excluded.extend(domains.into_iter().map(|domain| Excluded {
        name: domain.name,
        id: domain.zone,
        reason: Exclusion::WithoutPackage,
    }));
    Err(excluded)
}

/// Share of the domains' time in a window of length `elapsed` that their counters covered, 0 to 1.
pub fn coverage<'d>(domains: impl IntoIterator<Item = &'d Domain>, elapsed: Duration) -> f64 {
    let (mut count, mut missing) = (0.0, Duration::ZERO);
    for domain in domains {
        count += 1.0;
        missing += domain.energy.missing();
    }
    let whole = elapsed.as_secs_f64() * count;
    if whole > 0.0 { (1.0 - missing.as_secs_f64() / whole).clamp(0.0, 1.0) } else { 1.0 }
}

fn exclude(zone: &Zone, reason: Exclusion) -> Excluded {
    Excluded { name: zone.domain.name.clone(), id: zone.domain.source.clone(), reason }
}
