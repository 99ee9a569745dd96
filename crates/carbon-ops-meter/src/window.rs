//! Measures one window of time with the counters of a host: opens it, reads often enough that no
//! wrap can hide, and closes it with the energy of each domain.
//!
//! Out of scope: who used the energy (see [`crate::attribution`]), waiting (the caller
//! sleeps until [`Window::due`], among other things), and any model.

use std::time::{Duration, Instant};

use carbon_ops_units::{Microjoules, Watts};

use crate::accumulator::{Accumulator, DomainEnergy, Slack};
use crate::clock::BootClock;
use crate::host_root::HostRoot;
use crate::sensor::hwmon::{self, Channel};
use crate::sensor::powercap::{LIKELY_OVER_LIMIT, Topology, Zone};
use crate::sensor::{self, Availability, Excluded, Exclusion, Integral, Kind, ReadFault};
use crate::twins::{self, Look, Twins};

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

/// The slowest reading of powers, which tell nothing of what was between two readings.
const INTERVAL_OF_POWERS: Duration = Duration::from_millis(100);

/// What a window reads.
#[derive(Debug)]
enum Source {
    Zone(Zone),
    Channel(Box<Channel>),
}

impl Source {
    fn domain(&self) -> &sensor::Domain {
        match self {
            Self::Zone(zone) => &zone.domain,
            Self::Channel(channel) => &channel.domain,
        }
    }

    fn backend(&self) -> &'static str {
        match self {
            Self::Zone(_) => "sysfs",
            Self::Channel(_) => hwmon::NAME,
        }
    }

    fn read(&mut self) -> Result<u64, ReadFault> {
        match self {
            Self::Zone(zone) => zone.read(),
            Self::Channel(channel) => channel.read(),
        }
    }

    fn integral(&self) -> Option<Integral> {
        match self {
            Self::Zone(_) => None,
            Self::Channel(channel) => channel.integral(),
        }
    }
}

/// A counter, and what has become of it.
#[derive(Debug)]
struct Meter {
    source: Source,
    accumulator: Accumulator,
    /// Of a power.
    slack: Option<Slack>,
    /// The window has ended, and what is read from here on is no part of it.
    is_over: bool,
}

impl Meter {
    /// What the window tells of it, by the rule that ends it.
    fn told(
        &mut self,
        end: impl Fn(&mut Accumulator) -> Option<DomainEnergy>,
    ) -> Option<DomainEnergy> {
        let energy = end(&mut self.accumulator)?;
        Some(match &mut self.slack {
            Some(slack) => slack.widen(energy),
            None => energy,
        })
    }
}

/// A window that is being measured, or one after the other.
#[derive(Debug)]
pub struct Window {
    /// Copies last, which stand in for a zone that tells nothing.
    meters: Vec<Meter>,
    /// How many are no copies.
    originals: usize,
    twins: Twins,
    opened: Instant,
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
    /// Where it is read: the zone's directory, or device and channel.
    pub zone: String,
    /// Which backend read it: `sysfs`, `msr`, `perf`, `nvml`, `hwmon`.
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
    /// Which backend read the packages: `sysfs`, `hwmon`.
    pub fn backend(&self) -> &'static str {
        self.domains.first().map_or("sysfs", |domain| domain.backend)
    }

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
        self.domains.iter().fold(Watts::ZERO, |sum, domain| sum + self.likely_of(domain))
    }

    fn likely_of(&self, domain: &Domain) -> Watts {
        let drawn = domain.energy.energy.over(self.elapsed).unwrap_or(Watts::ZERO);
        domain.likely.max(drawn * LIKELY_OVER_LIMIT)
    }

    /// The most energy that is likely to be missing, of packages and memories that should have been counted: of a
    /// package what another one is likely to draw at most, and of memory a multiple of what it draws at rest.
    pub fn missing(&self, memory_at_rest: Watts) -> Microjoules {
        let packages = self.domains.iter().filter(|domain| domain.kind == Kind::Package);
        let package = packages.map(|domain| self.likely_of(domain)).fold(Watts::ZERO, Watts::max);
        let lost = self.excluded.iter().filter(|zone| zone.reason.loses_energy());
        let most = |zone: &Excluded| match zone.name.split('-').next() {
            Some("package") => package,
            Some("dram") => memory_at_rest * LIKELY_OVER_LIMIT,
            _ => Watts::ZERO,
        };
        lost.map(|zone| most(zone).over(self.elapsed)).sum()
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
            let left = left.map(|zone| exclude(&zone.domain, Exclusion::WithoutPackage));
            return (availability, Err(topology.excluded.into_iter().chain(left).collect()));
        }
        let counted = topology.counted.into_iter().map(Source::Zone).collect();
        let copies = topology.copies.into_iter().map(Source::Zone).collect();
        match Self::over(counted, copies, topology.excluded, clock, boot) {
            Ok(window) => (availability, Ok(window)),
            Err(excluded) => {
                let why = "no package counter can be read".into();
                (Availability::Absent(why), Err(excluded))
            }
        }
    }

    /// The same of what hardware monitoring shows of packages and memories: for a host without RAPL, since both are
    /// one quantity.
    ///
    /// # Errors
    /// What there is and not counted, where there is no package.
    pub fn of_channels(
        channels: Vec<Channel>,
        excluded: Vec<Excluded>,
        clock: Clock<'_>,
        boot: BootClock,
    ) -> Result<Self, Vec<Excluded>> {
        let channels = channels.into_iter().map(|channel| Source::Channel(Box::new(channel)));
        Self::over(channels.collect(), Vec::new(), excluded, clock, boot)
    }

    fn over(
        counted: Vec<Source>,
        copies: Vec<Source>,
        excluded: Vec<Excluded>,
        clock: Clock<'_>,
        boot: BootClock,
    ) -> Result<Self, Vec<Excluded>> {
        let opened = clock();
        let mut window = Self {
            meters: Vec::new(),
            originals: 0,
            twins: Twins::default(),
            opened,
            excluded,
            interval: INTERVAL_FIRST,
            is_next: false,
            regular: INTERVAL_MAX,
            due: opened + INTERVAL_FIRST,
            boot,
        };
        for source in counted {
            window.start(source, clock);
        }
        window.originals = window.meters.len();
        for source in copies {
            window.start(source, clock);
        }
        let domains = window.meters.iter().take(window.originals).map(|it| it.source.domain());
        window.twins =
            Twins::among(domains.map(|domain| (domain.name.as_str(), domain.scale.range())));
        if !window.meters.iter().any(|it| it.source.domain().kind == Kind::Package) {
            // Memory alone is not the host.
            let left = window.meters.iter();
            let left = left.map(|it| exclude(it.source.domain(), Exclusion::WithoutPackage));
            window.excluded.extend(left.collect::<Vec<_>>());
            return Err(window.excluded);
        }
        let longest = window.meters.iter().map(|it| match it.slack {
            Some(_) => INTERVAL_OF_POWERS,
            None => it.accumulator.longest_interval(),
        });
        window.regular = longest.min().unwrap_or(INTERVAL_MAX).clamp(INTERVAL_MIN, INTERVAL_MAX);
        Ok(window)
    }

    /// When the counters want to be read next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Reads all counters.
    pub fn sample(&mut self, clock: Clock<'_>) {
        self.read(clock);
        let sharp = self.is_next && self.meters.iter().all(|it| it.accumulator.has_stepped());
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
        let cut = self.meters.iter_mut().map(|meter| meter.told(Accumulator::cut)).collect();
        let counted = self.report(cut, elapsed);
        (self.is_next, self.interval) = (true, INTERVAL_NEXT.min(self.regular));
        self.due = clock() + self.interval;
        counted
    }

    /// What the window would tell if it ended with the last readings; it goes on.
    ///
    /// # Errors
    /// As of [`Window::cut`].
    pub fn so_far(&self, elapsed: Duration) -> Result<Counted, Vec<Excluded>> {
        let cut = self.meters.iter().map(|meter| {
            let energy = meter.accumulator.clone().cut()?;
            Some(meter.slack.map_or(energy.clone(), |mut slack| slack.widen(energy)))
        });
        self.report(cut.collect(), elapsed)
    }

    /// Ends the window now. What remains is to look on for a moment, in [`Window::close`].
    pub fn end(&mut self, clock: Clock<'_>) {
        self.read(clock);
        for meter in &mut self.meters {
            meter.accumulator.end_window();
            meter.is_over = true;
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
        let closed = self.meters.iter_mut().map(|meter| meter.told(|last| last.close(elapsed)));
        let closed = closed.collect();
        self.report(closed, elapsed)
    }

    fn start(&mut self, mut source: Source, clock: Clock<'_>) {
        let opened = source.read().ok().and_then(|reading| {
            Accumulator::open(source.domain(), reading, clock(), (self.boot)())
        });
        match opened {
            Some(accumulator) => {
                let slack = source.integral().map(Slack::from);
                self.meters.push(Meter { source, accumulator, slack, is_over: false });
            }
            None => self.excluded.push(exclude(source.domain(), Exclusion::Unreadable)),
        }
    }

    fn read(&mut self, clock: Clock<'_>) {
        let (mut looks, mut before) = (Vec::new(), None);
        for meter in &mut self.meters {
            let (reading, now) = (meter.source.read(), clock());
            meter.accumulator.observe(reading, now, (self.boot)());
            if let (Some(slack), false) = (&mut meter.slack, meter.is_over)
                && let Some(integral) = meter.source.integral()
            {
                slack.extend(integral);
            }
            if !self.twins.is_empty() {
                let at = now.saturating_duration_since(self.opened);
                let from = before.replace(at).unwrap_or(at);
                looks.push(reading.ok().map(|reading| Look { reading, from, at }));
            }
        }
        self.twins.look(&looks);
    }

    /// Reads on after the end until each counter has stepped, or until it is clear that one will
    /// not. The pause grows with the time waited, so that the step is known to an eighth of it.
    fn settle(&mut self, ended: Instant, clock: Clock<'_>, sleep: &mut dyn FnMut(Duration)) {
        loop {
            let waited = clock().saturating_duration_since(ended);
            let any_moved = self.meters.iter().any(|meter| meter.accumulator.moved());
            let originals = self.meters.iter().take(self.originals);
            let wanted = originals.filter_map(|it| it.accumulator.wants_more(any_moved)).max();
            if wanted.is_none_or(|wanted| waited >= wanted) {
                return;
            }
            sleep((waited / 8).max(INTERVAL_FIRST / 2));
            self.read(clock);
        }
    }

    /// What the zones have measured, and which of them have not.
    fn report(
        &self,
        energies: Vec<Option<DomainEnergy>>,
        elapsed: Duration,
    ) -> Result<Counted, Vec<Excluded>> {
        let repeated = self.twins.repeated();
        let (mut domains, mut excluded) = (Vec::<Domain>::new(), self.excluded.clone());
        for (place, (meter, energy)) in self.meters.iter().zip(energies).enumerate() {
            let is_copy = place >= self.originals;
            let of = meter.source.domain();
            let shown = domains.iter().position(|domain| is_copy && domain.name == of.name);
            if let Some(shown) = shown {
                // Of two that show one thing, the one that moved, in each window anew.
                let moved = energy.as_ref().is_some_and(|energy| !energy.estimated);
                if !moved || domains.get(shown).is_some_and(|domain| !domain.energy.estimated) {
                    continue;
                }
                let Domain { name, zone: id, .. } = domains.remove(shown);
                excluded.push(Excluded { name, id, reason: Exclusion::Duplicate });
            }
            let energy = match energy {
                Some(energy) if !repeated.contains(&place) => energy,
                other => {
                    let twin = other.map(|_| twins::reason(&of.name));
                    excluded.push(exclude(of, twin.unwrap_or(Exclusion::Stuck)));
                    continue;
                }
            };
            excluded.retain(|zone| zone.id != of.source);
            domains.push(Domain {
                name: of.name.clone(),
                kind: of.kind,
                zone: of.source.clone(),
                backend: meter.source.backend(),
                likely: of.likely,
                energy,
            });
        }
        // What a copy has shown is not missing.
        for zone in &mut excluded {
            if domains.iter().any(|domain| domain.name == zone.name) {
                zone.reason = Exclusion::Duplicate;
            }
        }
        if domains.iter().any(|domain| domain.kind == Kind::Package) {
            domains.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(Counted { domains, excluded, elapsed });
        }
        excluded.extend(domains.into_iter().map(|domain| Excluded {
            name: domain.name,
            id: domain.zone,
            reason: Exclusion::WithoutPackage,
        }));
        Err(excluded)
    }
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

fn exclude(domain: &sensor::Domain, reason: Exclusion) -> Excluded {
    Excluded { name: domain.name.clone(), id: domain.source.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::{Gap, GapReason};
    use crate::clock::EpochStart;

    const SECOND: Duration = Duration::from_secs(1);

    /// A package that drew 50 J, with a gap of so many ms.
    fn domain(missing_ms: u64, estimated: bool) -> Domain {
        let gap = Gap {
            reason: GapReason::Stuck,
            offset: Duration::ZERO,
            duration: Duration::from_millis(missing_ms),
            bridged: false,
        };
        let energy = Microjoules::new(50_000_000);
        let energy = DomainEnergy {
            start: Microjoules::ZERO,
            end: energy,
            energy,
            filled: Microjoules::ZERO,
            low: energy,
            high: energy,
            estimated,
            is_ceiling_raised: false,
            wraps: 0,
            epoch: EpochStart::from_millis(1),
            gaps: if missing_ms > 0 { vec![gap] } else { Vec::new() },
        };
        Domain {
            name: "package-0".into(),
            kind: Kind::Package,
            zone: "intel-rapl:0".into(),
            backend: "sysfs",
            likely: Watts::new(100.0).unwrap(),
            energy,
        }
    }

    #[test]
    fn coverage_is_a_share_of_the_time_of_all_domains() {
        for (missing_ms, elapsed, expected) in [
            (&[0, 0][..], SECOND, 1.0),
            (&[500, 0], SECOND, 0.75),
            (&[500, 1000, 0, 500], SECOND, 0.5),
            (&[3000], 2 * SECOND, 0.0),
            (&[], SECOND, 1.0),
            (&[0, 0], Duration::ZERO, 1.0),
        ] {
            let domains: Vec<_> = missing_ms.iter().map(|&ms| domain(ms, ms > 0)).collect();
            let found = coverage(&domains, elapsed);
            assert!((found - expected).abs() < 1e-12, "{missing_ms:?}: {found}");
        }
    }

    /// 50 W drawn of a package that may draw 100 W: another one may draw four times the 50 W, and memory four times
    /// what it draws at rest; what is counted elsewhere is not missing.
    #[test]
    fn what_may_be_missing_goes_by_what_was_left_out() {
        let counted = |domain: Domain, excluded: &[(&str, Exclusion)]| Counted {
            domains: vec![domain],
            excluded: excluded
                .iter()
                .map(|&(name, reason)| Excluded { name: name.into(), id: "x".into(), reason })
                .collect(),
            elapsed: SECOND,
        };
        let at_rest = Watts::new(3.0).unwrap();
        for (excluded, joules) in [
            (&[][..], 0),
            (&[("package-1", Exclusion::Unreadable)], 200),
            (&[("dram-0", Exclusion::Stuck)], 12),
            (&[("dram-0", Exclusion::Duplicate)], 0),
            (&[("psys", Exclusion::Unreadable)], 0),
            (&[("dram-0", Exclusion::Stuck), ("package-1", Exclusion::Stuck)], 212),
        ] {
            let counted = counted(domain(0, false), excluded);
            let expected = Microjoules::new(1_000_000 * joules);
            assert_eq!(counted.missing(at_rest), expected, "{excluded:?}");
            assert!(!counted.is_interpolated());
            let lost = excluded.iter().any(|(_, reason)| *reason != Exclusion::Duplicate);
            assert_eq!(counted.is_measured(), !lost, "{excluded:?}");
        }
        assert!(counted(domain(0, true), &[]).is_interpolated());
        assert!(!counted(domain(9, true), &[]).is_interpolated());
    }
}
