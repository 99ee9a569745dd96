//! One domain over one window: its total, what is missing from it, and how sharp its ends are.
//!
//! A window is the time between two instants at which the caller looked. Counters step about once
//! per millisecond, so a reading tells the energy up to the last step, not up to the instant. The
//! accumulator keeps both sides of that: energy of the window lies between
//!
//! * `total(end) − total(first step seen after the start)`, and
//! * `total(first step seen after the end) − total(start)`,
//!
//! which holds without any assumption on power, because totals only grow. When at least two steps
//! fall into the window, `total(end) − total(start)` is the measured energy. When fewer do, the
//! window is shorter than the counter can resolve, and its energy is interpolated between the steps
//! around it: an estimate, flagged as one, with the same rigorous bounds.
//!
//! Energy that no reading carries (a reset, a zone that vanished or stopped moving) is a [`Gap`].
//! It is filled with the domain's own mean power over the rest of the window, and the fill is kept
//! apart from what was measured (`Fill`). What it may be off by is bounded by what the domain is likely to
//! draw at most, and not by the fill itself. A window that no reading covers has no energy that is known.
//!
//! Windows can follow each other without a break: the last reading of one is the first of the next, so
//! that their energies sum to the difference of the totals at the outer ends. What was filled in because
//! reading failed, and arrives with a later reading, is taken off again there.
//!
//! Out of scope: files and clocks; the caller brings each reading with its instant.

use std::time::{Duration, Instant};

use carbon_ops_units::{Microjoules, Watts};

use crate::clock::{EpochStart, Moment};
use crate::counter::{Break, Counter, STUCK_AFTER, Step};
use crate::sensor::{Domain, Integral, ReadFault};

/// A counter is stuck sooner than any other ([`Counter::is_stuck`]) when it rests this many times
/// longer than ever before.
const STUCK_FACTOR: u32 = 3;

/// Scheduling may delay a reading by as much.
const STUCK_MIN: Duration = Duration::from_millis(20);

/// Readings of one window may lie so far from its ends, relative to its length, before the energy
/// is scaled to the window.
const SKEW_MAX: f64 = 0.01;

/// Failures in a row shorter than this, bridged by the next good reading, are no event.
const GAP_MIN: Duration = Duration::from_millis(1500);

/// Gaps kept one by one; more of them are folded into the last.
const GAPS_MAX: usize = 16;

/// How long to look for the first step after the window: a hundred periods of a healthy counter.
const SETTLE_MAX: Duration = Duration::from_millis(100);

/// The same for a window shorter than two steps: two steps of a counter that steps once a second.
const SETTLE_MAX_SHORT: Duration = Duration::from_millis(2200);

/// Update period assumed until two steps were seen (Intel SDM vol. 3B, 16.10: about 1 ms), unless
/// another one is named.
const NOMINAL_STEP: Duration = Duration::from_millis(1);

/// Where the counter's clock stands at the first reading: far enough from its start that the age of
/// that reading can be subtracted.
const ORIGIN: Moment = Moment::from_nanos(1 << 60);

/// Why a span of a domain is not covered by its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The counter was reset.
    Reset,
    /// The counter jumped by more than the domain can draw.
    Jump,
    /// The readings were so far apart that wraps could not be counted.
    AmbiguousWrap,
    /// Reading failed.
    Unreadable,
    /// The zone had gone.
    Vanished,
    /// The value did not move.
    Stuck,
    /// The machine was suspended, and the counter came back with another value.
    Suspend,
    /// The governor lost count; its log says why.
    NewEpoch,
    /// The governor was restarted and could not go on from where it had stopped.
    Restart,
    /// The device slept, and was taken to draw nothing: no energy is missing, as far as is known.
    Asleep,
}

impl GapReason {
    /// The word that stands in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Jump => "jump",
            Self::AmbiguousWrap => "ambiguous_wrap",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Stuck => "stuck",
            Self::Suspend => "suspend",
            Self::NewEpoch => "new_epoch",
            Self::Restart => "restart",
            Self::Asleep => "asleep",
        }
    }
}

impl From<Break> for GapReason {
    fn from(why: Break) -> Self {
        match why {
            Break::Reset => Self::Reset,
            Break::Jump => Self::Jump,
            Break::AmbiguousWrap => Self::AmbiguousWrap,
        }
    }
}

/// A span that the counter did not cover by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Start, from the start of the window.
    pub offset: Duration,
    /// Length.
    pub duration: Duration,
    /// Whether a later reading carried the energy, so that none is missing.
    pub bridged: bool,
}

/// What a domain used in the window.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainEnergy {
    /// Total at the start; the counter's own value then.
    pub start: Microjoules,
    /// Total at the end, wraps included; `end − start` is what the counter saw.
    pub end: Microjoules,
    /// The estimate for the window: `end − start`, plus filled gaps, or interpolated.
    pub energy: Microjoules,
    /// What of it no reading carries yet: filled in with the domain's mean power.
    pub filled: Microjoules,
    /// Least and most that is consistent with the readings around the window.
    pub low: Microjoules,
    /// See `low`.
    pub high: Microjoules,
    /// Whether `energy` rests on interpolation or a filled gap.
    pub estimated: bool,
    /// Readings have shown more power than was thought possible; from then on it was believed.
    pub is_ceiling_raised: bool,
    /// Wraps counted.
    pub wraps: u64,
    /// Of the total at the end: when its epoch began, by the first reading or the last break.
    pub epoch: EpochStart,
    /// What was not covered.
    pub gaps: Vec<Gap>,
}

impl DomainEnergy {
    /// Whether the window was too short for the counter, whose energy was interpolated.
    pub fn is_interpolated(&self) -> bool {
        self.estimated && !self.gaps.iter().any(|gap| !gap.bridged)
    }

    /// Time in gaps that nothing bridged.
    pub fn missing(&self) -> Duration {
        self.gaps.iter().filter(|gap| !gap.bridged).map(|gap| gap.duration).sum()
    }
}

/// What the integral of a power may be off by, from window to window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slack {
    /// As of the window's start, and of its end so far.
    start: Microjoules,
    end: Microjoules,
}

impl Slack {
    /// Of a window that starts with this integral.
    pub(crate) fn from(integral: Integral) -> Self {
        Self { start: integral.bound, end: integral.bound }
    }

    /// The window has come so far.
    pub(crate) fn extend(&mut self, integral: Integral) {
        self.end = integral.bound;
    }

    /// The energy of the window, which ends here, with what the integral leaves open.
    pub(crate) fn widen(&mut self, mut energy: DomainEnergy) -> DomainEnergy {
        let bound = self.end.saturating_sub(self.start);
        self.start = self.end;
        let filled = energy.gaps.iter().any(|gap| !gap.bridged);
        let high = if filled { energy.high } else { energy.energy };
        energy.low = energy.energy.saturating_sub(bound);
        energy.high = high + bound;
        energy.estimated = true;
        energy
    }
}

/// What stands in for energy that no reading carries, from window to window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fill {
    /// Energy and time that readings covered in the windows before.
    covered: (Microjoules, Duration),
    /// Filled in before, and possibly in a reading to come.
    owed: Microjoules,
}

impl Fill {
    /// The energy of a window: `seen` covers all but `lost`, whose energy is gone, and `late`, whose energy
    /// a later reading may bring.
    pub(crate) fn apply(
        &mut self,
        seen: Microjoules,
        window: Duration,
        (lost, late): (Duration, Duration),
    ) -> Filled {
        let arrived = seen.saturating_sub(self.owed);
        self.owed = self.owed.saturating_sub(seen);
        let covered = window.saturating_sub(lost + late);
        self.covered = (self.covered.0 + arrived, self.covered.1 + covered);
        let mean = self.covered.0.over(self.covered.1);
        let of = |time: Duration| mean.map_or(Microjoules::ZERO, |mean| mean.over(time));
        self.owed = self.owed + of(late);
        let fill = of(lost + late);
        Filled { energy: arrived + fill, fill, made_up: seen.saturating_sub(arrived) }
    }

    /// Whether any energy was seen so far.
    pub(crate) fn is_begun(&self) -> bool {
        self.covered.0 > Microjoules::ZERO
    }
}

/// See [`Fill::apply`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    pub(crate) energy: Microjoules,
    /// What of that no reading carries yet.
    pub(crate) fill: Microjoules,
    /// What was taken off, as it was filled in before.
    pub(crate) made_up: Microjoules,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    total: Microjoules,
}

/// Follows one counter from before a window to after it.
#[derive(Debug, Clone)]
pub(crate) struct Accumulator {
    counter: Counter,
    epoch: EpochStart,
    /// The instant of the counter's clock at which [`ORIGIN`] stands.
    opened: Instant,
    start: Mark,
    /// The last reading inside the window; set once by `end_window`.
    end: Option<Mark>,
    /// Times at which the total was seen to have moved inside the window.
    steps: u32,
    first_step: Option<Mark>,
    last_step: Instant,
    /// The good reading before that one.
    before_step: Mark,
    /// The last good reading.
    last: Mark,
    /// The longest time between two steps that was seen in the window.
    longest_rest: Duration,
    /// When the counter was last looked at, successfully or not.
    looked: Instant,
    /// Steps seen after the window.
    after: Vec<Mark>,
    /// Since when, and why, reading fails.
    fault: Option<(Instant, GapReason)>,
    gaps: Vec<Gap>,
    /// What readings that were not believed would have been, had it been energy, of breaks in the window.
    shown: Microjoules,
    /// Time at the window's end whose energy a later reading may bring.
    late: Duration,
    fill: Fill,
    /// Two steps were seen, in this window or before.
    is_paced: bool,
    /// Time between two steps, until it was seen.
    nominal_step: Duration,
    /// The most power that the domain is likely to draw.
    likely: Watts,
    /// What it was thought to draw at most before the first window.
    ceiling: Watts,
}

impl Accumulator {
    /// Opens the window with a first reading; `None` when the counter does not accept it. `boot` is the
    /// same moment by the clock of [`EpochStart`], here and for each reading.
    pub(crate) fn open(domain: &Domain, reading: u64, at: Instant, boot: Moment) -> Option<Self> {
        let (mut counter, likely) = (Counter::new(domain.scale, domain.ceiling), domain.likely);
        let opened = counter.observe(reading, ORIGIN) == Step::Baseline;
        let first = Mark { at, total: counter.total() };
        opened.then(|| Self {
            start: first,
            counter,
            epoch: EpochStart::at(boot),
            opened: at,
            end: None,
            steps: 0,
            first_step: None,
            last_step: at,
            before_step: first,
            last: first,
            longest_rest: Duration::ZERO,
            looked: at,
            after: Vec::new(),
            fault: None,
            gaps: Vec::new(),
            shown: Microjoules::ZERO,
            late: Duration::ZERO,
            fill: Fill::default(),
            is_paced: false,
            nominal_step: NOMINAL_STEP,
            likely,
            ceiling: domain.ceiling,
        })
    }

    /// The same for a counter whose steps are `step` apart, until two of them were seen.
    #[cfg(feature = "nvml")]
    #[must_use]
    pub(crate) fn stepping(mut self, step: Duration) -> Self {
        self.nominal_step = step;
        self
    }

    /// The same for a window that began before the first reading: what passed until then is a gap.
    #[cfg(feature = "nvml")]
    #[must_use]
    pub(crate) fn begun(mut self, begun: Instant, reason: GapReason) -> Self {
        let opened = self.start.at;
        self.start.at = begun.min(opened);
        self.note(reason, begun, opened, reason == GapReason::Asleep);
        self
    }

    /// The total as of the last good reading.
    #[cfg(feature = "nvml")]
    pub(crate) fn total(&self) -> Microjoules {
        self.counter.total()
    }

    /// How often to read so that no wrap can hide.
    pub(crate) fn longest_interval(&self) -> Duration {
        self.counter.longest_interval()
    }

    /// Takes a reading, or the failure to read.
    pub(crate) fn observe(&mut self, reading: Result<u64, ReadFault>, at: Instant, boot: Moment) {
        let before = self.counter.total();
        self.looked = self.looked.max(at);
        let moment = ORIGIN.after(at.saturating_duration_since(self.opened));
        match reading.map(|reading| self.counter.observe(reading, moment)) {
            Ok(Step::Baseline | Step::Advance { .. }) => self.recover(at, before),
            Ok(Step::Corrected { since, most }) => {
                if self.end.is_none() {
                    self.shown = self.shown + most;
                }
                self.broke(Break::Jump, moment.since(since), at);
            }
            Ok(Step::Rebased { why, lost, shown, .. }) => {
                // What breaks after the end is no matter of the window's totals.
                if self.end.is_none() {
                    self.epoch = self.epoch.next(boot);
                    self.shown = self.shown + shown;
                }
                self.broke(why, lost, at);
            }
            Ok(Step::Skipped) | Err(ReadFault::Retry | ReadFault::NotYet) => {
                self.failing(GapReason::Unreadable);
            }
            Err(ReadFault::Gone | ReadFault::Fatal) => self.failing(GapReason::Vanished),
            Err(ReadFault::Asleep) => self.failing(GapReason::Asleep),
        }
    }

    /// Ends the window with the reading that was taken last. What that reading does not carry, since
    /// it failed or the counter had stopped moving, is a gap even if the counter comes back later:
    /// nobody knows then which part of its energy belongs to the window.
    pub(crate) fn end_window(&mut self) {
        let at = self.looked;
        let resting = at.saturating_duration_since(self.last_step);
        let patience = (self.longest_rest * STUCK_FACTOR).max(STUCK_MIN).min(STUCK_AFTER);
        let failing = if let Some((since, GapReason::Asleep)) = self.fault {
            self.note(GapReason::Asleep, since, at, true);
            self.fault = None;
            None
        } else if let Some((since, reason)) = self.fault.take() {
            Some((reason, since))
        } else if self.is_paced && resting > patience || self.counter.is_stuck() {
            Some((GapReason::Stuck, self.stopped()))
        } else {
            None
        };
        if let Some((reason, since)) = failing {
            self.note(reason, since, at, false);
            self.late = at.saturating_duration_since(since.max(self.start.at));
        }
        self.end = Some(Mark { at, total: self.counter.total() });
    }

    /// When a counter that rests now stopped: some time between the reading that saw its last step
    /// and the one before, by its mean power until then.
    fn stopped(&self) -> Instant {
        let covered = self.before_step.at.saturating_duration_since(self.start.at);
        let step = self.last.total.saturating_sub(self.before_step.total).as_joules();
        let power = self.before_step.total.saturating_sub(self.start.total).over(covered);
        let power = power.map_or(0.0, Watts::as_watts);
        if power <= 0.0 {
            return self.last_step;
        }
        let moving = Duration::try_from_secs_f64(step / power).unwrap_or(Duration::MAX);
        self.before_step.at.checked_add(moving).map_or(self.last_step, |at| at.min(self.last_step))
    }

    /// For how long after the window readings would still sharpen the result; `None` when they
    /// would not. The first step after the end is wanted, and for a window shorter than two steps
    /// the second, since their distance tells the counter's period. `any_moved`: whether some
    /// counter of the host moves.
    pub(crate) fn wants_more(&self, any_moved: bool) -> Option<Duration> {
        let short = self.steps < 2;
        let wanted = if short { 2 } else { 1 };
        if self.after.len() >= wanted && self.fault.is_none() {
            return None;
        }
        let alive = self.fault.is_none() && (self.moved() || !any_moved);
        Some(if short && alive { SETTLE_MAX_SHORT } else { SETTLE_MAX })
    }

    /// Whether the counter was ever seen to move.
    pub(crate) fn moved(&self) -> bool {
        self.has_stepped() || self.fill.is_begun() || !self.after.is_empty()
    }

    /// Whether it moved in this window.
    pub(crate) fn has_stepped(&self) -> bool {
        self.steps > 0
    }

    /// The energy of a window of length `elapsed`; `None` when the counter never moved, so that
    /// nothing is known.
    pub(crate) fn close(&mut self, elapsed: Duration) -> Option<DomainEnergy> {
        self.report(Some(elapsed))
    }

    /// Ends the window with the reading that was taken last, and begins the next one there. What the
    /// readings' own times tell is not stretched to any other length, so that windows sum.
    pub(crate) fn cut(&mut self) -> Option<DomainEnergy> {
        self.end_window();
        let energy = self.report(None);
        self.start = self.end.take().unwrap_or(self.start);
        (self.steps, self.first_step, self.late) = (0, None, Duration::ZERO);
        self.shown = Microjoules::ZERO;
        energy
    }

    /// The energy of the window that has ended, as it is in a host's window of length `elapsed`.
    fn report(&mut self, elapsed: Option<Duration>) -> Option<DomainEnergy> {
        let end = self.end.unwrap_or(self.start);
        let gaps = std::mem::take(&mut self.gaps);
        let has_slept = gaps.iter().any(|gap| gap.reason == GapReason::Asleep);
        if !self.moved() && !has_slept {
            return None;
        }
        let seen = end.total.saturating_sub(self.start.total);
        let window = end.at.saturating_duration_since(self.start.at);
        let missing: Duration =
            gaps.iter().filter(|gap| !gap.bridged).map(|gap| gap.duration).sum();
        let (energy, low, high) = self.ends(end, window);
        // Of a window that no reading covers, nothing is known, which is not the same as nothing.
        if missing >= window && !window.is_zero() && !self.fill.is_begun() {
            return None;
        }
        let late = self.late.min(missing);
        let filled = self.fill.apply(energy, window, (missing.saturating_sub(late), late));
        // Reading takes time, so that this counter's window is not quite the host's.
        let elapsed = elapsed.unwrap_or(window);
        let skew = window.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        let skewed = (skew - 1.0).abs();
        let slack = scaled(energy, skewed);
        let whole = filled.energy;
        let energy = if skewed > SKEW_MAX { scaled(whole, 1.0 / skew) } else { whole };
        let lost = self.most_lost(missing, filled.fill);
        // A fill may be wrong by as much as itself also where it is taken off again.
        let unsure = filled.made_up + filled.made_up;
        Some(DomainEnergy {
            start: self.start.total,
            end: end.total,
            energy,
            filled: filled.fill,
            low: low.saturating_sub(slack + unsure).min(energy),
            high: (high + slack + lost).max(energy),
            estimated: energy != seen || !missing.is_zero(),
            is_ceiling_raised: self.counter.ceiling() > self.ceiling,
            wraps: self.counter.wraps(),
            epoch: self.epoch,
            gaps,
        })
    }

    /// What can have passed at most in time that no reading covers: at the most power that is likely, and at
    /// least twice what is filled in, or what a reading that was not believed would be.
    fn most_lost(&self, missing: Duration, fill: Microjoules) -> Microjoules {
        let shown = self.shown + self.counter.suspected().unwrap_or_default();
        self.likely.over(missing).max(fill + fill).max(shown)
    }

    /// Energy before any fill, and its bounds, from the steps around the window's two ends.
    fn ends(&self, end: Mark, window: Duration) -> (Microjoules, Microjoules, Microjoules) {
        let seen = end.total.saturating_sub(self.start.total);
        let low = self.first_step.map_or(Microjoules::ZERO, |s| end.total.saturating_sub(s.total));
        let Some(after) = self.after.first() else {
            return (seen, low, seen + seen.saturating_sub(low));
        };
        let high = after.total.saturating_sub(self.start.total);
        if self.steps >= 2 {
            return (seen, low, high);
        }
        // The steps that frame the window are whole periods apart; the first of them lies before
        // its start, unseen.
        let period = self.after.get(1).map_or(self.nominal_step, |second| second.at - after.at);
        let span = after.at.saturating_duration_since(self.start.at).as_secs_f64();
        let periods = (span / period.as_secs_f64().max(1e-6)).ceil().max(1.0);
        let framed = Duration::try_from_secs_f64(periods * period.as_secs_f64());
        let power = framed.ok().and_then(|framed| high.over(framed)).unwrap_or(Watts::ZERO);
        (power.over(window).clamp(low, high), low, high)
    }

    fn recover(&mut self, at: Instant, before: Microjoules) {
        if let Some((since, reason)) = self.fault.take()
            && (at.saturating_duration_since(since) >= GAP_MIN || reason == GapReason::Asleep)
        {
            self.note(reason, since, at, true);
        }
        if self.counter.total() > before {
            self.stepped(at);
        }
        self.last = Mark { at, total: self.counter.total() };
    }

    fn stepped(&mut self, at: Instant) {
        let mark = Mark { at, total: self.counter.total() };
        if self.end.is_some() {
            self.after.push(mark);
            return;
        }
        self.before_step = self.last;
        self.steps = self.steps.saturating_add(1);
        self.is_paced |= self.steps >= 2;
        self.first_step.get_or_insert(mark);
        self.longest_rest = self.longest_rest.max(at.saturating_duration_since(self.last_step));
        self.last_step = at;
    }

    fn broke(&mut self, why: Break, lost: Duration, at: Instant) {
        let fault = self.fault.take();
        let since = fault.map_or(at.checked_sub(lost).unwrap_or(at), |f| f.0);
        if let Some((_, GapReason::Asleep)) = fault {
            // A counter that begins anew as its device wakes has lost nothing.
            self.note(GapReason::Asleep, since, at, true);
        } else {
            self.note(why.into(), since, since + lost, false);
        }
        self.stepped(at);
        self.last = Mark { at, total: self.counter.total() };
    }

    fn failing(&mut self, reason: GapReason) {
        let good = self.counter.last_good().unwrap_or(ORIGIN);
        let since = self.opened + good.since(ORIGIN);
        let fault = self.fault.get_or_insert((since, reason));
        if reason == GapReason::Vanished {
            fault.1 = reason;
        }
    }

    fn note(&mut self, reason: GapReason, since: Instant, until: Instant, bridged: bool) {
        let end = self.end.map_or(until, |end| end.at);
        let (since, until) = (since.max(self.start.at).min(end), until.min(end));
        let duration = until.saturating_duration_since(since);
        if duration.is_zero() {
            return;
        }
        let offset = since.saturating_duration_since(self.start.at);
        let full = self.gaps.len() >= GAPS_MAX;
        match self.gaps.last_mut().filter(|_| full) {
            Some(last) => {
                last.duration += duration;
                last.bridged &= bridged;
            }
            None => self.gaps.push(Gap { reason, offset, duration, bridged }),
        }
    }
}

fn scaled(energy: Microjoules, factor: f64) -> Microjoules {
    Microjoules::from_joules(energy.as_joules() * factor).unwrap_or(energy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Scale;
    use crate::sensor::Kind;

    /// Of the machine, before each script.
    const BOOTED_MS: u64 = 60_000;

    fn domain(scale: Scale) -> Domain {
        let ceiling = Watts::new(400.0).unwrap();
        Domain {
            name: "package-0".into(),
            key: "package-0:intel-rapl:0".into(),
            kind: Kind::Package,
            source: "intel-rapl:0".into(),
            scale,
            ceiling,
            likely: ceiling,
            excluded: None,
        }
    }

    /// Plays a script of (ms, reading) against a domain that steps as told, window `[0, end_ms]`.
    fn play(script: &[(u64, Result<u64, ReadFault>)], end_ms: u64) -> Option<DomainEnergy> {
        let base = Instant::now();
        let at = |ms: u64| base + Duration::from_millis(ms);
        let scale = Scale::printed(Microjoules::new(100_000_000_000)).unwrap();
        let domain = domain(scale);
        let boot = |ms: u64| Moment::from_nanos((BOOTED_MS + ms) * 1_000_000);
        let mut acc = Accumulator::open(&domain, script[0].1.unwrap(), at(0), boot(0)).unwrap();
        let mut ended = false;
        for &(ms, reading) in &script[1..] {
            if ms > end_ms && !ended {
                acc.end_window();
                ended = true;
            }
            acc.observe(reading, at(ms), boot(ms));
        }
        if !ended {
            acc.end_window();
        }
        acc.close(Duration::from_millis(end_ms))
    }

    fn joules(energy: Microjoules) -> f64 {
        energy.as_joules()
    }

    #[test]
    fn a_long_window_is_measured_with_bounds_of_one_step_at_each_end() {
        // 100 W, steps of 1 ms.
        let mut script: Vec<_> =
            (0..=100).map(|i| (i * 10, Ok(5_000_000 + i * 1_000_000))).collect();
        script.push((1001, Ok(105_100_000)));
        let domain = play(&script, 1000).unwrap();
        assert_eq!(domain.energy, Microjoules::new(100_000_000));
        assert!(!domain.estimated);
        assert_eq!(domain.low, Microjoules::new(99_000_000)); // The first step was seen at 10 ms.
        assert_eq!(domain.high, Microjoules::new(100_100_000));
        assert!(domain.gaps.is_empty());
        assert_eq!(domain.epoch, EpochStart::from_millis(BOOTED_MS));
    }

    #[test]
    fn a_reset_after_the_end_leaves_the_windows_totals_in_their_epoch() {
        let mut script: Vec<_> =
            (0..=100).map(|i| (i * 10, Ok(5_000_000 + i * 1_000_000))).collect();
        script.extend([(1010, Ok(0)), (1020, Ok(1_000_000)), (1030, Ok(2_000_000))]);
        let domain = play(&script, 1000).unwrap();
        assert_eq!(domain.epoch, EpochStart::from_millis(BOOTED_MS));
    }

    #[test]
    fn a_window_shorter_than_a_step_is_never_zero() {
        // 50 W, steps of 100 ms at 60, 160 and 260 ms; the window is 30 ms long.
        let script = [(0, Ok(0)), (30, Ok(0)), (60, Ok(5_000_000)), (160, Ok(10_000_000))];
        let domain = play(&script, 30).unwrap();
        assert!(domain.estimated);
        assert!((joules(domain.energy) - 1.5).abs() < 1e-6, "{domain:?}");
        assert_eq!(domain.low, Microjoules::ZERO);
        assert_eq!(domain.high, Microjoules::new(5_000_000));
    }

    #[test]
    fn a_counter_that_never_moves_yields_nothing() {
        assert_eq!(play(&[(0, Ok(7)), (2000, Ok(7)), (2500, Ok(7))], 2000), None);
    }

    #[test]
    fn a_zone_that_vanishes_is_filled_with_its_own_mean_and_says_so() {
        // 20 W for 5 s, then gone for 5 s.
        let mut script: Vec<_> = (0..=50).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
        script.extend((51..=101).map(|i| (i * 100, Err(ReadFault::Gone))));
        let domain = play(&script, 10_000).unwrap();
        assert!((joules(domain.energy) - 200.0).abs() < 1e-3, "{domain:?}");
        assert!(domain.estimated);
        assert!(joules(domain.high) >= 299.9);
        assert_eq!(domain.gaps.len(), 1);
        assert_eq!(domain.gaps[0].reason, GapReason::Vanished);
        assert_eq!(domain.gaps[0].duration, Duration::from_secs(5));
        assert!(!domain.gaps[0].bridged);
        assert_eq!(domain.end, Microjoules::new(100_000_000));
    }

    #[test]
    fn failures_that_a_later_reading_bridges_lose_nothing() {
        let mut script: Vec<_> = (0..=20).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
        script.extend((21..50).map(|i| (i * 100, Err(ReadFault::Retry))));
        script.extend((50..=100).map(|i| (i * 100, Ok(i * 2_000_000))));
        let domain = play(&script, 10_000).unwrap();
        assert_eq!(domain.energy, Microjoules::new(200_000_000));
        assert!(!domain.estimated);
        assert!(domain.gaps[0].bridged);
        assert_eq!(domain.gaps[0].reason, GapReason::Unreadable);
    }

    #[test]
    fn a_reset_loses_only_the_interval_in_which_it_happened() {
        let mut script: Vec<_> =
            (0..=50).map(|i| (i * 100, Ok(50_000_000 + i * 2_000_000))).collect();
        script.extend((51..=101).map(|i| (i * 100, Ok((i - 51) * 2_000_000))));
        let domain = play(&script, 10_000).unwrap();
        assert_eq!(domain.gaps[0].reason, GapReason::Reset);
        assert!((joules(domain.energy) - 200.0).abs() < 1e-3, "{domain:?}");
        // The counter was seen at zero at 5.1 s; the next reading shows that it began anew.
        assert_eq!(domain.epoch, EpochStart::from_millis(BOOTED_MS + 5_200));
    }

    #[test]
    fn a_counter_that_comes_back_after_the_end_leaves_a_gap() {
        // 20 W; reading fails from 800 ms on and succeeds again after the end at 1000 ms.
        let mut script: Vec<_> = (0..=8).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
        script.extend([(900, Err(ReadFault::Retry)), (1000, Err(ReadFault::Retry))]);
        script.push((1050, Ok(21_000_000)));
        let domain = play(&script, 1000).unwrap();
        assert!((joules(domain.energy) - 20.0).abs() < 1e-3, "{domain:?}");
        assert!(domain.estimated && !domain.gaps[0].bridged);
        assert_eq!(domain.gaps[0].duration, Duration::from_millis(200));
    }

    #[test]
    fn a_counter_that_rests_much_longer_than_before_is_stuck() {
        // 20 W in steps of 10 ms, resting from 300 ms to 900 ms, moving again at 905 ms.
        let mut script: Vec<_> = (0..=30).map(|i| (i * 10, Ok(i * 200_000))).collect();
        script.extend((31..=90).map(|i| (i * 10, Ok(6_000_000))));
        script.push((905, Ok(18_100_000)));
        let domain = play(&script, 900).unwrap();
        assert_eq!(domain.gaps[0].reason, GapReason::Stuck);
        assert!((joules(domain.energy) - 18.0).abs() < 1e-3, "{domain:?}");
    }

    #[test]
    fn a_counter_that_stops_is_filled_from_its_last_step() {
        let mut script: Vec<_> = (0..=50).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
        script.extend((51..=101).map(|i| (i * 100, Ok(100_000_000))));
        let domain = play(&script, 10_000).unwrap();
        assert_eq!(domain.gaps[0].reason, GapReason::Stuck);
        assert!((joules(domain.energy) - 200.0).abs() < 1e-3, "{domain:?}");
    }

    /// 20 W, read once a second, stops 0.3 s after a reading, of which the next one shows 6 J.
    #[test]
    fn the_stop_of_a_counter_lies_where_its_last_step_ends_at_its_mean_power() {
        let mut script: Vec<_> = (0..=5).map(|i| (i * 1000, Ok(i * 20_000_000))).collect();
        script.extend((6..=10).map(|i| (i * 1000, Ok(106_000_000))));
        let domain = play(&script, 10_000).unwrap();
        assert_eq!(domain.gaps.len(), 1, "{domain:?}");
        assert_eq!(domain.gaps[0].offset, Duration::from_millis(5300));
        assert_eq!(domain.gaps[0].duration, Duration::from_millis(4700));
        assert!((joules(domain.energy) - 200.0).abs() < 1e-3, "{domain:?}");
    }

    /// Three times as long as ever before is not yet stuck; and what was never seen to step twice has no pace.
    #[test]
    fn a_counter_rests_three_times_as_long_as_before_until_it_is_stuck() {
        for (rest_ms, is_stuck) in [(200, false), (300, false), (301, true), (400, true)] {
            let mut script: Vec<_> = (0..=30).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
            script.push((3000 + rest_ms, Ok(60_000_000)));
            let domain = play(&script, 3000 + rest_ms).unwrap();
            assert_eq!(!domain.gaps.is_empty(), is_stuck, "{rest_ms}: {domain:?}");
        }
        let once = [(0, Ok(0)), (10, Ok(1_000_000)), (510, Ok(1_000_000))];
        let domain = play(&once, 510).unwrap();
        assert!(domain.gaps.is_empty(), "{domain:?}");
    }

    /// By hand: steps of 5 J at 60, 160 and 260 ms are a period of 100 ms; the one at 160 ms ends the second period
    /// since the start, in which 10 J passed, so that the window of 120 ms has 6 J.
    #[test]
    fn a_short_window_is_framed_by_whole_periods() {
        let joules_at = [(0, 0), (60, 5), (120, 5), (160, 10), (260, 15)];
        let script = joules_at.map(|(ms, joules)| (ms, Ok(joules * 1_000_000)));
        let domain = play(&script, 120).unwrap();
        assert!((joules(domain.energy) - 6.0).abs() < 1e-6, "{domain:?}");
        assert!(domain.is_interpolated());
    }

    /// What came later says nothing of a window in which nothing was read.
    #[test]
    fn a_window_that_no_reading_covers_has_no_energy_that_is_known() {
        let script = [
            (0, Ok(0)),
            (500, Err(ReadFault::Retry)),
            (1000, Err(ReadFault::Retry)),
            (1500, Ok(30_000_000)),
            (2000, Ok(40_000_000)),
        ];
        assert_eq!(play(&script, 1000), None);
    }

    /// What has gone at some time is gone for the whole of a gap, in whatever order it was noticed.
    #[test]
    fn a_gap_in_which_the_zone_was_gone_says_so() {
        use ReadFault::{Fatal, Gone, NotYet, Retry};
        for (faults, reason) in [
            ([Retry, Retry], GapReason::Unreadable),
            ([NotYet, Retry], GapReason::Unreadable),
            ([Retry, Gone], GapReason::Vanished),
            ([Gone, Retry], GapReason::Vanished),
            ([Fatal, Fatal], GapReason::Vanished),
        ] {
            let mut script: Vec<_> = (0..=20).map(|i| (i * 100, Ok(i * 2_000_000))).collect();
            script.extend([(2100, Err(faults[0])), (3000, Err(faults[1]))]);
            let domain = play(&script, 3000).unwrap();
            assert_eq!(domain.gaps[0].reason, reason, "{faults:?}");
        }
    }

    /// More gaps than are kept are told by the last one, which is bridged only if all of them are.
    #[test]
    fn no_time_of_a_gap_is_lost_however_many_there_are() {
        for resets in [0, 1] {
            // A reading each second, two of three fail.
            let mut script = vec![(0, Ok(50_000_000))];
            for spell in 0..20 {
                let at = spell * 3000;
                script.extend([1000, 2000].map(|ms| (at + ms, Err(ReadFault::Retry))));
                script.push((at + 3000, Ok(50_000_000 + (spell + 1) * 30_000_000)));
            }
            script.extend((1..=2 * resets).map(|i| (60_000 + i * 1000, Ok(i * 10_000_000))));
            let end = script.last().unwrap().0;
            let domain = play(&script, end).unwrap();
            assert_eq!(domain.gaps.len(), GAPS_MAX);
            let sum: Duration = domain.gaps.iter().map(|gap| gap.duration).sum();
            // From the last good reading on: three seconds a spell, and the second of the reset.
            assert_eq!(sum, Duration::from_secs(60 + resets), "{domain:?}");
            let (last, others) = domain.gaps.split_last().unwrap();
            assert!(others.iter().all(|gap| gap.bridged));
            assert_eq!(last.bridged, resets == 0);
        }
    }

    /// 40 W, then two seconds unseen, then all of it: 40 + 40 + 40 + 60 = 180.
    #[test]
    fn what_a_later_reading_brings_is_taken_off_where_it_was_filled_in() {
        let base = Instant::now();
        let scale = Scale::printed(Microjoules::new(100_000_000_000)).unwrap();
        let domain = domain(scale);
        let boot = Moment::from_nanos(1);
        let mut acc = Accumulator::open(&domain, 100_000_000, base, boot).unwrap();
        let mut second = 0;
        let mut cut = |reading: Result<u64, ReadFault>| {
            second += 1;
            acc.observe(reading, base + Duration::from_secs(second), boot);
            acc.cut().unwrap()
        };
        let windows = [
            cut(Ok(140_000_000)),
            cut(Err(ReadFault::Retry)),
            cut(Err(ReadFault::Retry)),
            cut(Ok(280_000_000)),
        ];
        let energies = windows.each_ref().map(|window| window.energy.as_microjoules() / 1_000_000);
        assert_eq!(energies, [40, 40, 40, 60]);
        assert_eq!(windows.each_ref().map(|window| window.estimated), [false, true, true, true]);
        assert_eq!(windows[1].gaps[0].duration, Duration::from_secs(1));
        assert_eq!(windows[2].filled, windows[2].energy);
        // All 140 J may have passed in the last second, or none of them.
        let last = &windows[3];
        assert!(joules(last.low) <= 0.0 && joules(last.high) >= 140.0);
    }

    #[test]
    fn a_counter_that_has_never_moved_tells_nothing_of_any_window() {
        let scale = Scale::printed(Microjoules::new(100_000_000_000)).unwrap();
        let domain = domain(scale);
        let (base, boot) = (Instant::now(), Moment::from_nanos(1));
        let mut acc = Accumulator::open(&domain, 7, base, boot).unwrap();
        for second in 1..4 {
            acc.observe(Ok(7), base + Duration::from_secs(second), boot);
            assert_eq!(acc.cut(), None);
        }
    }

    #[test]
    fn gaps_have_the_words_of_the_formats_and_tell_what_is_missing() {
        use GapReason::{
            AmbiguousWrap, Jump, NewEpoch, Reset, Restart, Stuck, Suspend, Unreadable, Vanished,
        };
        let all =
            [Reset, Jump, AmbiguousWrap, Unreadable, Vanished, Stuck, Suspend, NewEpoch, Restart];
        let words = "reset jump ambiguous_wrap unreadable vanished stuck suspend new_epoch restart";
        assert_eq!(all.map(GapReason::as_str).join(" "), words);
        let of = [Break::Reset, Break::Jump, Break::AmbiguousWrap].map(GapReason::from);
        assert_eq!(of, [Reset, Jump, AmbiguousWrap]);
        let measured =
            play(&[(0, Ok(0)), (500, Ok(5_000_000)), (1000, Ok(10_000_000))], 1000).unwrap();
        let gap = |ms: u64, bridged: bool| {
            let (offset, duration) = (Duration::ZERO, Duration::from_millis(ms));
            Gap { reason: Stuck, offset, duration, bridged }
        };
        for (estimated, gaps, interpolated, missing) in [
            (false, vec![], false, 0),
            (true, vec![], true, 0),
            (true, vec![gap(5, true)], true, 0),
            (true, vec![gap(5, true), gap(7, false), gap(9, false)], false, 16),
            (false, vec![gap(7, false)], false, 7),
        ] {
            let energy = DomainEnergy { estimated, gaps, ..measured.clone() };
            assert_eq!(energy.is_interpolated(), interpolated, "{energy:?}");
            assert_eq!(energy.missing(), Duration::from_millis(missing), "{energy:?}");
        }
    }

    /// By hand: 40 J in the one second of four that was covered are 40 W; 80 J of them stand in for what is gone, and
    /// 40 J for what may come, and are taken off when it does.
    #[test]
    fn what_is_filled_in_goes_by_the_mean_power_and_is_owed_where_it_may_come() {
        let (joules, seconds) =
            (|joules: u64| Microjoules::new(joules * 1_000_000), Duration::from_secs);
        let mut fill = Fill::default();
        let nothing = fill.apply(Microjoules::ZERO, seconds(1), (Duration::ZERO, seconds(1)));
        assert_eq!((nothing.energy, nothing.fill, fill.is_begun()), (joules(0), joules(0), false));
        let first = fill.apply(joules(40), seconds(4), (seconds(2), seconds(1)));
        assert_eq!(
            (first.energy, first.fill, first.made_up),
            (joules(160), joules(120), joules(0))
        );
        assert!(fill.is_begun());
        // Of 100 J, 40 were there before; the mean is now 100 J in 2 s.
        let second = fill.apply(joules(100), seconds(1), (Duration::ZERO, Duration::ZERO));
        assert_eq!(
            (second.energy, second.fill, second.made_up),
            (joules(60), joules(0), joules(40))
        );
        let third = fill.apply(joules(0), seconds(1), (seconds(1), Duration::ZERO));
        assert_eq!((third.energy, third.fill), (joules(50), joules(50)));
    }

    /// A first reading may have stood there for a second, so that its step is all of that second's energy.
    #[test]
    fn the_first_step_of_a_counter_that_steps_once_a_second_is_believed() {
        let script: Vec<_> = (0..=5)
            .map(|i| (if i == 0 { 0 } else { i * 1000 - 900 }, Ok(390_000_000 * i)))
            .collect();
        let domain = play(&script, 4100).unwrap();
        assert_eq!(domain.end.saturating_sub(domain.start), Microjoules::new(5 * 390_000_000));
        assert!(domain.gaps.is_empty() && !domain.is_ceiling_raised, "{domain:?}");
    }

    /// 100 W for a second, of a window that is another's second: within a percent the bounds tell, beyond it the
    /// energy is stretched.
    #[test]
    fn a_window_that_is_not_quite_the_hosts_is_stretched_or_bounded() {
        for (elapsed_ms, energy_uj, low_uj, high_uj, estimated) in [
            (1000, 100_000_000, 99_000_000, 101_000_000, false),
            (1005, 100_000_000, 98_502_487, 101_497_512, false),
            (2000, 200_000_000, 49_000_000, 200_000_000, true),
        ] {
            let (base, boot) = (Instant::now(), Moment::from_nanos(1));
            let scale = Scale::register_of_microjoules(1, 64);
            let mut acc = Accumulator::open(&domain(scale), 0, base, boot).unwrap();
            assert_eq!((acc.moved(), acc.has_stepped()), (false, false));
            for tick in 1..=100 {
                acc.observe(Ok(tick * 1_000_000), base + Duration::from_millis(10 * tick), boot);
            }
            assert_eq!((acc.moved(), acc.has_stepped()), (true, true));
            acc.end_window();
            // Until its next step is seen, and no longer.
            assert_eq!(acc.wants_more(true), Some(SETTLE_MAX));
            acc.observe(Ok(101_000_000), base + Duration::from_millis(1010), boot);
            assert_eq!(acc.wants_more(true), None);
            let found = acc.close(Duration::from_millis(elapsed_ms)).unwrap();
            let uj = Microjoules::as_microjoules;
            assert_eq!(uj(found.energy), energy_uj, "{elapsed_ms}");
            assert!(uj(found.low).abs_diff(low_uj) <= 1, "{elapsed_ms}: {found:?}");
            assert!(uj(found.high).abs_diff(high_uj) <= 1, "{elapsed_ms}: {found:?}");
            assert_eq!(found.estimated, estimated, "{elapsed_ms}");
        }
    }

    /// A window without two steps wants two after it, from a counter that lives.
    #[test]
    fn a_short_window_wants_to_see_two_steps_of_a_counter_that_lives() {
        let open = |steps: u64| {
            let (base, boot) = (Instant::now(), Moment::from_nanos(1));
            let scale = Scale::register_of_microjoules(1, 64);
            let mut acc = Accumulator::open(&domain(scale), 0, base, boot).unwrap();
            for step in 1..=steps {
                acc.observe(Ok(step * 1000), base + Duration::from_millis(step), boot);
            }
            acc.end_window();
            (acc, base, boot)
        };
        assert_eq!(open(2).0.wants_more(true), Some(SETTLE_MAX));
        assert_eq!(open(1).0.wants_more(true), Some(SETTLE_MAX_SHORT));
        // Where others move, one that has never moved is not waited for.
        assert_eq!(open(0).0.wants_more(true), Some(SETTLE_MAX));
        assert_eq!(open(0).0.wants_more(false), Some(SETTLE_MAX_SHORT));
        let (mut acc, base, boot) = open(1);
        let at = |ms: u64| base + Duration::from_millis(ms);
        acc.observe(Ok(5000), at(10), boot);
        assert_eq!(acc.wants_more(true), Some(SETTLE_MAX_SHORT));
        acc.observe(Ok(6000), at(20), boot);
        assert_eq!(acc.wants_more(true), None);
        acc.observe(Err(ReadFault::Retry), at(30), boot);
        assert_eq!(acc.wants_more(true), Some(SETTLE_MAX), "it may come back");
    }

    /// A part with a published limit of so many W, read every 100 ms, that draws these powers in turn: what the
    /// window says, and what was true, in J.
    fn profile(limit: f64, powers: &[f64]) -> (Option<DomainEnergy>, f64) {
        let (base, boot) = (Instant::now(), Moment::from_nanos(1));
        let scale = Scale::printed(Microjoules::new(262_143_328_850)).unwrap();
        let likely = Watts::new(4.0 * limit).unwrap();
        let domain =
            Domain { likely, ceiling: likely.max(Kind::Package.ceiling()), ..domain(scale) };
        let (mut truth, mut at) = (0.0, base);
        let shown = |joules: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let ticks = (joules * 16384.0) as u64;
            ticks * 61_035 / 1000
        };
        let mut acc = Accumulator::open(&domain, shown(0.0), base, boot).unwrap();
        for power in powers {
            truth += power * 0.1;
            at += Duration::from_millis(100);
            acc.observe(Ok(shown(truth)), at, boot);
        }
        acc.end_window();
        (acc.close(at - base), truth)
    }

    /// A mini PC with a thermal design power of 6 W that ships at 25 W, and ten times that.
    #[test]
    fn power_far_above_the_published_limit_is_counted() {
        for watts in [25.0, 104.0, 1000.0, 2500.0, 9000.0] {
            let (energy, truth) = profile(6.0, &[watts; 40]);
            let energy = energy.unwrap();
            assert!((joules(energy.energy) - truth).abs() < 0.01, "{watts}: {energy:?}");
            assert!(!energy.estimated && energy.gaps.is_empty(), "{watts}: {energy:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(10_000))]

        /// Any power from nothing to 20 times the published limit: what is measured is true to the energy of
        /// a reading, and what is not is flagged, with bounds that hold.
        #[test]
        fn no_power_is_thrown_away_without_a_word(
            limit in 2.0f64..500.0,
            parts in proptest::collection::vec((0.0f64..20.0, 1usize..12), 1..8),
        ) {
            let powers: Vec<f64> =
                parts.iter().flat_map(|&(part, n)| vec![part * limit; n]).collect();
            let (energy, truth) = profile(limit, &powers);
            if let Some(energy) = energy {
                let off = (joules(energy.energy) - truth).abs();
                let reading = 0.1 * powers.iter().copied().fold(0.0, f64::max);
                proptest::prop_assert!(off <= reading + 0.01 || energy.estimated, "{off} J: {energy:?}");
                let (low, high) = (joules(energy.low) - 0.01, joules(energy.high) + 0.01);
                proptest::prop_assert!(low <= truth && truth <= high, "{truth} J: {energy:?}");
            }
        }
    }

    proptest::proptest! {
        /// Whatever readings fail, windows that follow each other sum to what the counter saw, once it is
        /// read again, unless more was filled in than came.
        #[test]
        fn windows_that_follow_each_other_sum_to_the_whole(
            steps in proptest::collection::vec((1u64..50_000_000, proptest::bool::weighted(0.8), 1usize..4), 2..40)
        ) {
            let scale = Scale::printed(Microjoules::new(100_000_000_000)).unwrap();
            let domain = domain(scale);
            let (base, boot) = (Instant::now(), Moment::from_nanos(1));
            let mut acc = Accumulator::open(&domain, 0, base, boot).unwrap();
            let (mut total, mut sum, mut filled, mut at) = (0, 0, 0, 0);
            for (energy, good, readings) in steps {
                for _ in 0..readings {
                    (total, at) = (total + energy, at + 1);
                    let reading = if good { Ok(total) } else { Err(ReadFault::Retry) };
                    acc.observe(reading, base + Duration::from_secs(at), boot);
                }
                let Some(window) = acc.cut() else { continue };
                sum += window.energy.as_microjoules();
                filled += window.filled.as_microjoules();
                proptest::prop_assert!(window.low <= window.energy && window.energy <= window.high);
            }
            for _ in 0..40 {
                (total, at) = (total + 50_000_000, at + 1);
                acc.observe(Ok(total), base + Duration::from_secs(at), boot);
                sum += acc.cut().unwrap().energy.as_microjoules();
            }
            let owed = acc.fill.owed.as_microjoules();
            proptest::prop_assert_eq!(sum, total + owed);
            proptest::prop_assert!(owed <= filled);
        }
    }
}
