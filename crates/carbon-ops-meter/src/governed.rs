//! A window of time measured with the governor's totals.
//!
//! The governor samples at its own pace, so that the ends of a window fall between two samples. Four
//! samples frame it: the last before the start and the first after it, the last before the end and
//! the first after it. Totals only grow, so that the energy lies between the difference of the inner
//! two and that of the outer two, whatever the power did; the estimate is taken at the window's very
//! ends, on a straight line between the samples around each.
//!
//! A window that another follows cannot wait for the sample after its end. What no sample carries yet is
//! taken from the power of the last one, and where the one window ends the next begins.
//!
//! What the governor lost meanwhile is a [`Gap`], filled with the domain's own mean power and bounded
//! by what the governor says can have been lost.
//!
//! Out of scope: counters and wraps, which are the governor's; waiting, which is the caller's.

use std::collections::HashMap;
use std::time::Duration;

use carbon_ops_units::Microjoules;
use serde::Deserialize;

use crate::accumulator::{DomainEnergy, Fill, Gap, GapReason};
use crate::client::{ClientError, Governor};
use crate::counter::STUCK_AFTER;
use crate::protocol::Request;
use crate::sensor::{Excluded, Exclusion, Kind};
use crate::snapshot::{DomainTotal, Snapshot, Text};
use crate::window::{Counted, Domain};

/// A window shorter than so many samples is interpolated rather than measured.
const SAMPLES_MIN: u32 = 2;

/// How many periods to wait for the sample after the end.
const PATIENCE: u32 = 5;

/// A governor whose last sample is older than so many periods is silent.
const SILENT_AFTER: u32 = 2;

/// A window that is being measured, or one after the other. Times are those of `CLOCK_MONOTONIC`.
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
    /// What the windows before left, by the key of the domain; empty in the first.
    left: HashMap<Text<6>, Left>,
    /// What the governor could not read, so that no sample has it.
    unread: Vec<Excluded>,
}

/// Why a governor does not know the host's energy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// It serves no package that it can read; these are its zones.
    #[error("the governor serves no package")]
    NoPackage(Vec<Excluded>),
    /// It has sampled nothing for so long.
    #[error("the governor has taken no sample for {:.1} s", .0.as_secs_f64())]
    Stale(Duration),
}

/// What a window leaves to the next one, of a domain.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    /// The total where it ended.
    end: Ahead,
    fill: Fill,
}

/// A total at an instant that no sample was taken at.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    total: Microjoules,
    /// What of it passed between the instant and the nearest sample.
    taken: Microjoules,
}

impl Ahead {
    /// The sample's total, and what was added since by the mean power from an earlier sample on, or else by that of
    /// the interval before it. Samples come late where the machine is busy, and then tell more than their interval.
    fn of(
        domain: &DomainTotal,
        sample: &Snapshot,
        earlier: Option<(Duration, Microjoules)>,
        now: Duration,
    ) -> Self {
        let read = read_at(sample, domain);
        let age = now.saturating_sub(read).min(sample.interval * SILENT_AFTER);
        let earlier = earlier.filter(|(at, _)| *at + sample.interval <= read);
        let (grown, span) = earlier.map_or((domain.delta, sample.interval), |(at, total)| {
            (domain.total.saturating_sub(total), read.saturating_sub(at))
        });
        let part = age.as_secs_f64() / span.as_secs_f64().max(1e-3);
        let taken = Microjoules::from_joules(grown.as_joules() * part).unwrap_or_default();
        Self { total: domain.total + taken, taken }
    }

    /// On the line between two samples of which one was taken after the instant.
    fn between(
        (t0, e0): (Duration, Microjoules),
        (t1, e1): (Duration, Microjoules),
        now: Duration,
    ) -> Self {
        let total = line((t0, e0), (t1, e1), now);
        Self { total, taken: total.saturating_sub(e0).min(e1.saturating_sub(total)) }
    }
}

impl GovernedWindow {
    /// Opens a window that starts now, with the first snapshot that came with the connection.
    ///
    /// # Errors
    /// When the governor does not know the host's energy.
    pub fn open(
        mut governor: Governor,
        snapshot: Snapshot,
        now: Duration,
    ) -> Result<Self, Unserved> {
        if snapshot.is_stale(now) {
            return Err(Unserved::Stale(now.saturating_sub(snapshot.monotonic)));
        }
        let of_package = |domain: &DomainTotal| domain.is_counted() && domain.kind == Kind::Package;
        if !snapshot.domains.iter().any(|domain| of_package(domain) && !domain.stale) {
            return Err(Unserved::NoPackage(excluded(&snapshot)));
        }
        let unread = unread(&mut governor);
        let now_read = snapshot.clone();
        Ok(Self {
            governor,
            started: now,
            before: snapshot,
            first: None,
            last: None,
            now: now_read,
            looked: Duration::ZERO,
            left: HashMap::new(),
            unread,
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

    /// When to look next; never, once the first sample after the start was seen, or in a window that
    /// follows another.
    pub fn due(&self) -> Option<Duration> {
        let next = (self.before.monotonic + self.period()).max(self.looked + self.period() / 8);
        (self.first.is_none() && self.left.is_empty()).then_some(next)
    }

    /// Looks for the first sample after the start. A governor that does not answer is asked again
    /// at the end.
    pub fn sample(&mut self, now: Duration) {
        self.looked = now;
        if self.first.is_none() && self.read(now).is_ok() && self.now.monotonic > self.started {
            self.first = Some(self.now.clone());
        }
    }

    /// Begins the window now, and forgets what was before: the sample after this moment shows the total at it.
    pub fn begin(&mut self, now: Duration) {
        self.started = now;
        if self.before.monotonic <= now {
            self.left.clear();
        }
    }

    /// Ends the window now and begins the next one.
    ///
    /// # Errors
    /// The zones, when no package can be told: the governor is gone, or has forgotten the start.
    pub fn cut(&mut self, now: Duration) -> Result<Counted, Vec<Excluded>> {
        // A governor that does not answer leaves its last sample, whose age tells.
        let _ = self.read(now);
        let mut left = std::mem::take(&mut self.left);
        let frame = self.frame(now);
        let counted = frame.measure_all(&mut left, &self.unread);
        let gone: Vec<_> = frame.gone().copied().collect();
        let last = self.now.clone();
        self.left = left;
        (self.before, self.started, self.first) = (last, now, None);
        self.before.domains.extend(gone);
        counted
    }

    /// What the window would tell if it ended now; it goes on.
    ///
    /// # Errors
    /// As of [`GovernedWindow::cut`].
    pub fn so_far(&mut self, now: Duration) -> Result<Counted, Vec<Excluded>> {
        let _ = self.read(now);
        self.frame(now).measure_all(&mut self.left.clone(), &self.unread)
    }

    /// The window as the last sample shows it.
    fn frame(&self, ended: Duration) -> Frame<'_> {
        let first = self.first.as_ref().unwrap_or(&self.now);
        let samples = [&self.before, first, &self.now, &self.now];
        Frame { started: self.started, ended, samples, is_cut: true }
    }

    /// Ends the window now. What remains is to wait for the next sample, in
    /// [`GovernedWindow::close`].
    ///
    /// # Errors
    /// When the governor does not answer.
    pub fn end(&mut self, now: Duration) -> Result<(), ClientError> {
        let mut last = self.now.clone();
        self.read(now)?;
        // Whoever was stopped since may get a sample that is no longer of the window.
        if self.now.monotonic <= now {
            last.clone_from(&self.now);
        }
        self.last = Some((last, now));
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
        let samples = [&self.before, &first, &last, &after];
        let frame = Frame { started: self.started, ended, samples, is_cut: false };
        frame.measure_all(&mut self.left, &self.unread)
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
    /// Nothing was waited for: the last three are the same one.
    is_cut: bool,
}

/// A domain's total at the ends of a window, and how much may have passed between them.
struct Ends {
    start: Microjoules,
    end: Ahead,
    low: Microjoules,
    high: Microjoules,
}

impl Frame<'_> {
    fn measure_all(
        &self,
        left: &mut HashMap<Text<6>, Left>,
        unread: &[Excluded],
    ) -> Result<Counted, Vec<Excluded>> {
        let before = self.samples[0];
        let (mut domains, mut left_out) = (Vec::new(), unread.to_vec());
        for domain in &before.domains {
            // Whether two counters are one is known the better the later.
            let newest = self.samples[3].domains.iter().find(|newest| newest.key == domain.key);
            if let Some(reason) = newest.unwrap_or(domain).excluded {
                left_out.push(exclude(domain, reason));
                continue;
            }
            let begun = || Left { end: self.begun(domain), fill: Fill::default() };
            let left = left.entry(domain.key).or_insert_with(begun);
            match self.measure(domain, left) {
                Ok(measured) => domains.push(measured),
                Err(reason) => left_out.push(exclude(domain, reason)),
            }
        }
        domains.sort_by(|a, b| a.name.cmp(&b.name));
        if domains.iter().any(|domain| domain.kind == Kind::Package) {
            let elapsed = self.ended.saturating_sub(self.started);
            return Ok(Counted { domains, excluded: left_out, elapsed });
        }
        Err(left_out)
    }

    /// A domain's total where the first window began.
    fn begun(&self, before: &DomainTotal) -> Ahead {
        let after = self.samples[1].domains.iter().find(|domain| domain.key == before.key);
        let after = after.map(|after| (read_at(self.samples[1], after), after.total));
        match after.filter(|(at, _)| *at > self.started) {
            Some(after) => {
                let before = (read_at(self.samples[0], before), before.total);
                Ahead::between(before, after, self.started)
            }
            None => Ahead::of(before, self.samples[0], None, self.started),
        }
    }

    /// What the last sample has no more.
    fn gone(&self) -> impl Iterator<Item = &DomainTotal> {
        let there = |key| self.samples[2].domains.iter().any(|domain| domain.key == key);
        self.samples[0].domains.iter().filter(move |domain| !there(domain.key))
    }

    /// One domain's energy.
    ///
    /// # Errors
    /// When one of the samples does not have it, its total was begun anew meanwhile, or it never moved.
    fn measure(&self, before: &DomainTotal, left: &mut Left) -> Result<Domain, Exclusion> {
        let of = |sample: &Snapshot| {
            let found = sample.domains.iter().find(|domain| domain.key == before.key);
            found.copied().ok_or(Exclusion::Unreadable)
        };
        let [_, first, last, after] = self.samples;
        let (first, last, after) = (of(first)?, of(last)?, of(after)?);
        let same_boot = self.samples.iter().all(|sample| sample.boot_id == self.samples[0].boot_id);
        // The page's totals are rounded down, and those over the socket may be exact.
        let quantum =
            self.samples.map(|sample| sample.quantum).into_iter().max().unwrap_or_default();
        let grows = before.total <= last.total + quantum && last.total <= after.total + quantum;
        let window = self.ended.saturating_sub(self.started);
        let goes_on = same_boot && grows;
        if !goes_on {
            left.end = Ahead::of(&last, self.samples[2], None, self.ended);
            if !self.is_cut {
                return Err(Exclusion::Unreadable);
            }
        }
        let ends = self.ends([before, &first, &last, &after], left.end);
        let seen = ends.end.total.saturating_sub(ends.start);
        let gaps = if goes_on {
            self.gaps(before, &last, &after)
        } else {
            let (reason, offset) = (GapReason::NewEpoch, Duration::ZERO);
            vec![Gap { reason, offset, duration: window, bridged: false }]
        };
        let missing = |late: bool| {
            let gaps = gaps.iter().filter(|gap| !gap.bridged);
            gaps.filter(|gap| (gap.reason != GapReason::NewEpoch) == late)
                .map(|gap| gap.duration)
                .sum::<Duration>()
        };
        let (gone, late) = (missing(false), missing(true));
        let is_dark = window.saturating_sub(gone + late).is_zero() && !window.is_zero();
        if is_dark && seen == Microjoules::ZERO && !left.fill.is_begun() {
            // Nothing is known of it, which is not the same as nothing.
            return Err(if last.stuck { Exclusion::Stuck } else { Exclusion::Unreadable });
        }
        let filled = left.fill.apply(seen, window, (gone, late));
        left.end = ends.end;
        let lost = after.gap_most.saturating_sub(before.gap_most);
        let energy = filled.energy;
        // What a sample may yet bring is no more than what the domain is likely to draw.
        let lost = (lost + before.likely.over(late)).max(filled.fill + filled.fill);
        // A fill may be wrong by as much as itself, also where it is taken off again.
        let unsure = filled.made_up + filled.made_up;
        let period = self.samples[0].interval;
        Ok(Domain {
            name: before.name.to_string(),
            kind: before.kind,
            zone: zone(before),
            backend: before.source.as_str(),
            likely: before.likely,
            energy: DomainEnergy {
                start: before.total,
                end: last.total,
                energy,
                filled: filled.fill,
                // Rounded totals make a difference that is off by a quantum at most.
                low: ends.low.saturating_sub(quantum + unsure).min(energy),
                high: (ends.high + quantum + lost).max(energy),
                is_ceiling_raised: after.ceiling > before.ceiling,
                estimated: !(gone + late).is_zero() || window < period * SAMPLES_MIN,
                wraps: last.wraps.saturating_sub(before.wraps),
                epoch: last.epoch,
                gaps,
            },
        })
    }

    fn ends(&self, [before, first, last, after]: [&DomainTotal; 4], begun: Ahead) -> Ends {
        let [s0, s1, s2, s3] = self.samples;
        let [p0, p1, p2, p3] = [(s0, before), (s1, first), (s2, last), (s3, after)]
            .map(|(sample, domain)| (read_at(sample, domain), domain.total));
        if self.is_cut {
            let end = if p2.0 > self.ended {
                Ahead::between(p0, p2, self.ended)
            } else {
                Ahead::of(last, s2, Some(p0), self.ended)
            };
            // What was shown does not fall when the power does.
            let total = end.total.max(begun.total);
            let seen = total.saturating_sub(begun.total);
            let unsure = begun.taken + end.taken;
            return Ends {
                start: begun.total,
                end: Ahead { total, taken: end.taken.max(total.saturating_sub(last.total)) },
                low: seen.saturating_sub(unsure),
                high: seen + unsure,
            };
        }
        // Without a sample after the end, the last one stands for it; one that was begun before may have been read
        // after.
        let end =
            if p2.0 > self.ended { line(p0, p2, self.ended) } else { line(p2, p3, self.ended) };
        Ends {
            start: line(p0, p1, self.started),
            end: Ahead { total: end, taken: Microjoules::ZERO },
            low: last.total.min(end).saturating_sub(first.total),
            high: after.total.saturating_sub(before.total),
        }
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
        let period = self.samples[3].interval.max(Duration::from_millis(1));
        // Of a window that waited for nothing, the power so far stands for what is to come.
        let patience = if self.is_cut { period * SILENT_AFTER } else { Duration::ZERO };
        if newest + patience < self.ended {
            // It fell silent just then.
            let offset = (newest + patience).saturating_sub(self.started);
            note(GapReason::Unreadable, window.saturating_sub(offset), offset);
        }
        if last.stuck && after.stuck {
            // It has stood for so long at least; where nothing was seen, all the time.
            let moved = last.total > before.total;
            let stood = if moved { STUCK_AFTER.min(window) } else { window };
            note(GapReason::Stuck, stood, window.saturating_sub(stood));
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

/// When a total was read: after its sample was begun, and on a busy machine well after. What is older was not read by
/// this sample, and stands at it.
fn read_at(sample: &Snapshot, domain: &DomainTotal) -> Duration {
    let slept = Duration::from_nanos(sample.at.as_nanos()).saturating_sub(sample.monotonic);
    Duration::from_nanos(domain.read_at.as_nanos()).saturating_sub(slept).max(sample.monotonic)
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

/// What the governor could not read, by what it says itself; nothing where it does not say.
fn unread(governor: &mut Governor) -> Vec<Excluded> {
    let told = governor.ask(&Request::Topology).ok();
    let told = told.and_then(|line| serde_json::from_slice::<Answer>(&line).ok());
    let zones = told.into_iter().flat_map(|told| told.topology.not_counted);
    let zone = |zone: Unread| {
        let reason = Exclusion::from_word(&zone.reason)?;
        Some(Excluded { name: zone.name, id: zone.zone, reason })
    };
    zones.filter_map(zone).filter(|zone| zone.reason.loses_energy()).collect()
}

/// An answer to [`Request::Topology`], as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    topology: Told,
}

#[derive(Deserialize)]
struct Told {
    not_counted: Vec<Unread>,
}

#[derive(Deserialize)]
struct Unread {
    name: String,
    zone: String,
    reason: String,
}

/// What the governor reads without counting it.
fn excluded(snapshot: &Snapshot) -> Vec<Excluded> {
    let reason = |domain: &DomainTotal| Some(exclude(domain, domain.excluded?));
    snapshot.domains.iter().filter_map(reason).collect()
}
