//! A window of time measured with the governor's totals.
//!
//! The governor samples at its own pace, so that the ends of a window fall between two samples. Four
//! samples frame it: the last before the start and the first after it, the last before the end and
//! the first after it. Totals only grow, so that the energy lies between the difference of the inner
//! two and that of the outer two, whatever the power did; the estimate is taken at the window's very
//! ends, on a straight line between the samples around each.
//!
//! What the governor lost meanwhile is a [`Gap`], filled with the domain's own mean power and bounded
//! by what the governor says can have been lost.
//!
//! Out of scope: counters and wraps, which are the governor's; waiting, which is the caller's.

use std::time::Duration;

use carbon_ops_units::Microjoules;

use crate::accumulator::{DomainEnergy, Gap, GapReason};
use crate::client::{ClientError, Governor};
use crate::sensor::{Excluded, Exclusion, Kind};
use crate::snapshot::{DomainTotal, Snapshot};
use crate::window::{Counted, Domain};

/// A window shorter than so many samples is interpolated rather than measured.
const SAMPLES_MIN: u32 = 2;

/// How many periods to wait for the sample after the end.
const PATIENCE: u32 = 5;

/// A window that is being measured. Times are those of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct GovernedWindow {
    governor: Governor,
    started: Duration,
    /// The last sample before the start.
    before: Snapshot,
    /// The first after it, once it was seen.
    first: Option<Snapshot>,
    /// The last before the end; set once by `end`.
    last: Option<(Snapshot, Duration)>,
    now: Snapshot,
    /// When the governor was last asked.
    looked: Duration,
}

impl GovernedWindow {
    /// Opens a window that starts now, with the first snapshot that came with the connection.
    ///
    /// # Errors
    /// The zones, when the governor serves no package: then it does not know the host's energy.
    pub fn open(
        governor: Governor,
        snapshot: Snapshot,
        now: Duration,
    ) -> Result<Self, Vec<Excluded>> {
        let of_package = |domain: &DomainTotal| domain.is_counted() && domain.kind == Kind::Package;
        if !snapshot.domains.iter().any(|domain| of_package(domain) && !domain.stale) {
            return Err(excluded(&snapshot));
        }
        let now_read = snapshot.clone();
        Ok(Self {
            governor,
            started: now,
            before: snapshot,
            first: None,
            last: None,
            now: now_read,
            looked: Duration::ZERO,
        })
    }

    /// Whether the governor's counters are simulated.
    pub fn is_simulated(&self) -> bool {
        self.before.simulated
    }

    /// Whether the processor is known to blur its energies ([`Snapshot::filtering`]), by any sample so
    /// far.
    pub fn is_filtered(&self) -> bool {
        let last = self.last.as_ref().map(|(last, _)| last);
        let samples = [Some(&self.before), self.first.as_ref(), last];
        samples.into_iter().flatten().any(|sample| sample.filtering == Some(true))
    }

    /// When to look next; never, once the first sample after the start was seen.
    pub fn due(&self) -> Option<Duration> {
        let next = (self.before.monotonic + self.period()).max(self.looked + self.period() / 8);
        self.first.is_none().then_some(next)
    }

    /// Looks for the first sample after the start. A governor that does not answer is asked again
    /// at the end.
    pub fn sample(&mut self, now: Duration) {
        self.looked = now;
        if self.first.is_none() && self.read(now).is_ok() && self.now.monotonic > self.started {
            self.first = Some(self.now.clone());
        }
    }

    /// Ends the window now. What remains is to wait for the next sample, in
    /// [`GovernedWindow::close`].
    ///
    /// # Errors
    /// When the governor does not answer.
    pub fn end(&mut self, now: Duration) -> Result<(), ClientError> {
        self.read(now)?;
        self.last = Some((self.now.clone(), now));
        Ok(())
    }

    /// Waits for the sample after the end and reports.
    ///
    /// # Errors
    /// The zones, when no package can be told: the governor is gone, or has forgotten the start.
    pub fn close(mut self, sleep: &mut dyn FnMut(Duration)) -> Result<Counted, Vec<Excluded>> {
        let Some((last, ended)) = self.last.take() else { return Err(excluded(&self.before)) };
        let step = self.period() / 8;
        for waited in 0..8 * PATIENCE {
            if self.read(ended + step * waited).is_ok() && self.now.monotonic > ended {
                break;
            }
            sleep(step);
        }
        let after = std::mem::take(&mut self.now);
        let first = self.first.take().unwrap_or_else(|| {
            // The window began and ended between the same two samples, or nobody looked.
            if last.monotonic > self.started { last.clone() } else { after.clone() }
        });
        let frame =
            Frame { started: self.started, ended, samples: [&self.before, &first, &last, &after] };
        let mut domains: Vec<Domain> = Vec::new();
        let mut left_out = excluded(&self.before);
        for domain in self.before.domains.iter().filter(|domain| domain.is_counted()) {
            match frame.measure(domain) {
                Some(measured) => domains.push(measured),
                None => left_out.push(exclude(domain, Exclusion::Unreadable)),
            }
        }
        domains.sort_by(|a, b| a.name.cmp(&b.name));
        if domains.iter().any(|domain| domain.kind == Kind::Package) {
            let elapsed = ended.saturating_sub(self.started);
            return Ok(Counted { domains, excluded: left_out, elapsed });
        }
        Err(left_out)
    }

    fn read(&mut self, now: Duration) -> Result<(), ClientError> {
        self.governor.read(&mut self.now, now)
    }

    /// Time between two samples, as the governor publishes them.
    fn period(&self) -> Duration {
        self.before.interval.max(Duration::from_millis(1))
    }
}

/// The four samples around a window.
struct Frame<'s> {
    started: Duration,
    ended: Duration,
    /// Before and after the start, before and after the end.
    samples: [&'s Snapshot; 4],
}

impl Frame<'_> {
    /// One domain's energy; `None` when one of the samples does not have it, or its total was begun
    /// anew meanwhile.
    fn measure(&self, before: &DomainTotal) -> Option<Domain> {
        let [t0, t1, t2, t3] = self.samples.map(|sample| sample.monotonic);
        let of = |sample: &Snapshot| {
            let found = sample.domains.iter().find(|domain| domain.key == before.key);
            found.copied()
        };
        let [_, first, last, after] = self.samples;
        let (first, last, after) = (of(first)?, of(last)?, of(after)?);
        let same_boot = self.samples.iter().all(|sample| sample.boot_id == self.samples[0].boot_id);
        // The page's totals are rounded down, and those over the socket may be exact.
        let quantum =
            self.samples.map(|sample| sample.quantum).into_iter().max().unwrap_or_default();
        let grows = before.total <= last.total + quantum && last.total <= after.total + quantum;
        if !same_boot || !grows {
            return None;
        }
        let at_start = line((t0, before.total), (t1, first.total), self.started);
        // Without a sample after the end, the last one stands for it.
        let at_end = line((t2, last.total), (t3, after.total), self.ended);
        let window = self.ended.saturating_sub(self.started);
        let seen = at_end.saturating_sub(at_start);
        let gaps = self.gaps(before, &last, &after);
        let missing: Duration =
            gaps.iter().filter(|gap| !gap.bridged).map(|gap| gap.duration).sum();
        let covered = window.saturating_sub(missing);
        if covered.is_zero() && seen == Microjoules::ZERO && !window.is_zero() {
            // Nothing is known of it, which is not the same as nothing.
            return None;
        }
        let fill = seen.over(covered).map_or(Microjoules::ZERO, |mean| mean.over(missing));
        let lost = after.gap_most.saturating_sub(before.gap_most);
        let energy = seen + fill;
        // Rounded totals make a difference that is off by a quantum at most.
        let (low, high) =
            (last.total.saturating_sub(first.total), after.total.saturating_sub(before.total));
        let period = self.samples[0].interval;
        Some(Domain {
            name: before.name.to_string(),
            kind: before.kind,
            zone: zone(before),
            backend: before.source.as_str(),
            ceiling: before.ceiling,
            energy: DomainEnergy {
                start: before.total,
                end: last.total,
                energy,
                low: low.saturating_sub(quantum).min(energy),
                high: (high + quantum + lost.max(fill + fill)).max(energy),
                estimated: !missing.is_zero() || window < period * SAMPLES_MIN,
                wraps: last.wraps.saturating_sub(before.wraps),
                epoch: last.epoch,
                gaps,
            },
        })
    }

    fn gaps(&self, before: &DomainTotal, last: &DomainTotal, after: &DomainTotal) -> Vec<Gap> {
        let window = self.ended.saturating_sub(self.started);
        let mut gaps = Vec::new();
        let mut note = |reason, duration: Duration, offset: Duration| {
            let offset = offset.min(window);
            let duration = duration.min(window.saturating_sub(offset));
            if !duration.is_zero() {
                gaps.push(Gap { reason, offset, duration, bridged: false });
            }
        };
        let lost = after.gap_time.saturating_sub(before.gap_time);
        if after.epoch != before.epoch {
            // When in the window it happened, the epoch tells: it began at the gap's end.
            let began = Duration::from_millis(after.epoch.as_millis());
            let boot_offset = Duration::from_nanos(self.samples[0].at.as_nanos())
                .saturating_sub(self.samples[0].monotonic);
            let ended = began.saturating_sub(boot_offset).saturating_sub(self.started);
            note(GapReason::NewEpoch, lost, ended.saturating_sub(lost));
        }
        let newest = self.samples[3].monotonic;
        if newest < self.ended {
            // It fell silent just then.
            let offset = newest.saturating_sub(self.started);
            note(GapReason::Unreadable, window.saturating_sub(offset), offset);
        }
        if last.stale && after.stale {
            let good = Duration::from_nanos(last.read_at.as_nanos());
            let boot_offset = Duration::from_nanos(self.samples[2].at.as_nanos())
                .saturating_sub(self.samples[2].monotonic);
            let offset = good.saturating_sub(boot_offset).saturating_sub(self.started);
            note(GapReason::Unreadable, window.saturating_sub(offset), offset);
        }
        gaps
    }
}

/// The total at `at`, on the line between two samples; between them, and not beyond.
fn line(
    (t0, e0): (Duration, Microjoules),
    (t1, e1): (Duration, Microjoules),
    at: Duration,
) -> Microjoules {
    let (span, into) = (t1.saturating_sub(t0).as_nanos(), at.saturating_sub(t0).as_nanos());
    if span == 0 {
        return e0;
    }
    let grown = u128::from(e1.saturating_sub(e0).as_microjoules());
    let part = grown * into.min(span) / span;
    #[expect(clippy::expect_used, reason = "at most all of what has grown, which is a u64")]
    let part = u64::try_from(part).expect("no more than the whole");
    e0 + Microjoules::new(part)
}

/// The domain's key without its name: where it is read.
fn zone(domain: &DomainTotal) -> String {
    let key = domain.key.to_string();
    key.split_once(':').map_or(key.clone(), |(_, zone)| zone.to_owned())
}

fn exclude(domain: &DomainTotal, reason: Exclusion) -> Excluded {
    Excluded { name: domain.name.to_string(), id: zone(domain), reason }
}

/// What the governor reads without counting it.
fn excluded(snapshot: &Snapshot) -> Vec<Excluded> {
    let reason = |domain: &DomainTotal| Some(exclude(domain, domain.excluded?));
    snapshot.domains.iter().filter_map(reason).collect()
}
