//! The one place where raw energy counters are subtracted.
//!
//! # Derivation
//!
//! The hardware counts ticks of 2^−ESU J in a register of 32 bits (64 on newer EPYC). The kernel
//! prints `v = ⌊n · unit⌋` µJ for the count `n`, and publishes `max_energy_range_uj = ⌊(2³²−1) · unit⌋`,
//! where `unit` is either exactly 10⁶/2^ESU µJ (older kernels) or that value truncated to whole nJ
//! (newer ones: 61.035 for 61.03515625 µJ), or 15.3 µJ for the DRAM of some servers, whose true
//! unit is 2^−16 J. From the published range alone the unit follows, and from it:
//!
//! * the count: `n = ⌈v / unit⌉`, which is unique because a unit is at least 1 µJ;
//! * a test of the reading: `⌊n · unit⌋ = v` holds for about one value in 61, so a corrupt reading
//!   rarely passes;
//! * the modulus: 2³² ticks, which is `range + unit` and neither `range` nor `range + 1`;
//! * energy: ticks times 2^−ESU J, free of the truncation (2.56 ppm at ESU 14, 51.7 ppm at 16).
//!
//! A range of another shape tells no unit. Where a register of the processor does, the modulus is
//! the range in such ticks and one more; else µJ are counted as the kernel prints them, the modulus
//! is the range, and each wrap counts at most one unit (61 µJ) too little.
//!
//! Between two readings `Δt` apart the counter may have wrapped several times. With `P` a power
//! that the domain cannot exceed, at most `P·Δt` joules passed. While `P·Δt` is below the modulus,
//! at most one wrap is possible and the difference modulo the range is the energy; a difference
//! above `P·Δt` is then no energy at all but a reset, a jump or a bad reading. A longer gap is
//! ambiguous: its energy is unknown, and lies between nothing and `P·Δt`.
//!
//! `P` is believed and not known. Readings that follow each other, each too far from the one before but not
//! by much, are power that exceeds `P`: chance puts three of random readings so with a probability below one
//! in a million. `P` is then raised to twice what they show, and their energy is counted if that is still
//! provable. Of energy that is lost, the bound is what `P` allows, or what the reading that was not believed
//! would have been, had it been energy.
//!
//! # What one bad reading can do
//!
//! Nothing that lasts. A reading that no energy explains is skipped until a second one confirms it.
//! A zero is never believed alone, since counters show one while they are being set up, and near the
//! end of the range it would pass for a wrap. A bad reading that passes every test (on the lattice,
//! and within the ceiling) is found out when the next one fits the reading before it but not the bad
//! one: then the total stands still until the true one has caught up, so that it never falls and no
//! energy is invented.
//!
//! Out of scope: reading files, clocks, and any guess at the energy that was lost.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::clock::Moment;

/// Energy status units that exist: 2^0 J (the platform domain of Sapphire Rapids, Linux
/// `intel_rapl_common.c`, `psys_domain_energy_unit`) to 2^−19 J (Intel SDM vol. 4, MSR 0x606 bits
/// 12:8; usual values are 14 and 16).
const ESU: std::ops::RangeInclusive<u32> = 0..=19;

/// The kernel's DRAM unit of Haswell-EP to Ice Lake-X in nJ (`rapl_defaults`: 15300), for 2^−16 J.
const DRAM_NANOJOULES: u64 = 15_300;

/// The longest time between two steps of a working counter. Hardware steps every ms; the slowest
/// simulations and firmware once a second.
const STEP_MAX: Duration = Duration::from_secs(1);

/// A counter that was seen with one value for longer is stuck: a step that takes its longest time, and
/// half of that again for one that comes late (a prior). How old the value was when it was first seen
/// counts for nothing here: that is assumed of a first reading, to bound its energy, and was not seen.
pub(crate) const STUCK_AFTER: Duration = STEP_MAX.saturating_add(Duration::from_millis(500));

/// So many steps in a row above the ceiling show that it is too low.
const ABOVE_CEILING_MAX: u8 = 3;

/// Steps further above the ceiling than this are no power of the same machine: a published limit times 20 is
/// five times the ceiling that is made of it.
const EXCESS_MAX: f64 = 8.0;

/// So many readings in a row off the lattice show that the lattice was wrongly inferred.
const OFF_LATTICE_MAX: u8 = 3;

/// A positive fraction in µJ per tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ratio {
    num: u64,
    den: u64,
}

impl Ratio {
    /// 2^−esu J in µJ.
    fn of_esu(esu: u32) -> Self {
        Self { num: 1_000_000, den: 1 << esu.min(63) }
    }

    fn floor(self, ticks: u128) -> u128 {
        ticks.saturating_mul(self.num.into()) / u128::from(self.den)
    }

    fn ceil(self, ticks: u128) -> u128 {
        ticks.saturating_mul(self.num.into()).div_ceil(self.den.into())
    }

    fn inverse(self) -> Self {
        Self { num: self.den, den: self.num }
    }
}

/// How the readings of a counter relate to energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// How a count is printed, when it is: the lattice of possible readings.
    printed: Option<Ratio>,
    /// What a tick is worth.
    unit: Ratio,
    /// Ticks after which the counter starts again.
    modulus: u128,
    /// A tick is a true unit of the hardware, and not a µJ as somebody printed it.
    exact: bool,
    /// What to fall back to when the lattice proves wrong: the range in µJ.
    range: u64,
}

impl Scale {
    /// Of readings in µJ that wrap after `range`, the kernel's `max_energy_range_uj`. `None` for a
    /// range of zero, with which nothing can be told.
    pub fn printed(range: Microjoules) -> Option<Self> {
        let range = range.as_microjoules();
        (range > 0).then(|| {
            let known = ESU.flat_map(|esu| [(exact(esu), esu), (truncated(esu), esu)]);
            let dram = (Ratio { num: DRAM_NANOJOULES, den: 1000 }, 16);
            let top = (1u128 << 32) - 1;
            known.chain([dram]).find(|(printed, _)| printed.floor(top) == range.into()).map_or(
                Self::reported(range),
                |(printed, esu)| Self {
                    printed: Some(printed),
                    unit: Ratio::of_esu(esu),
                    modulus: 1 << 32,
                    exact: true,
                    range,
                },
            )
        })
    }

    /// As [`Scale::printed`], for a range that tells no unit when a register says 2^−esu J. A range
    /// that does tell its unit is believed rather than the register.
    pub fn printed_in_units(range: Microjoules, esu: u32) -> Option<Self> {
        let scale = Self::printed(range)?;
        let printed = truncated(esu);
        if scale.exact || !ESU.contains(&esu) {
            return Some(scale);
        }
        // Rounded, since such a range is not a multiple of the unit.
        let ticks = (u128::from(range.as_microjoules()) * u128::from(printed.den)
            + u128::from(printed.num / 2))
            / u128::from(printed.num);
        let unit = Ratio::of_esu(esu);
        Some(Self { printed: Some(printed), unit, modulus: ticks + 1, exact: true, ..scale })
    }

    /// Of a register that counts 2^−esu J in `bits` bits.
    pub fn register(esu: u32, bits: u32) -> Self {
        Self::ticks(Ratio::of_esu(esu), bits)
    }

    /// Of a register of `bits` bits that counts `microjoules` each, a whole number of at least 1.
    pub fn register_of_microjoules(microjoules: u64, bits: u32) -> Self {
        Self::ticks(Ratio { num: microjoules.max(1), den: 1 }, bits)
    }

    fn ticks(unit: Ratio, bits: u32) -> Self {
        let modulus = 1u128 << bits.clamp(1, 64);
        let range = u64::try_from(unit.floor(modulus)).unwrap_or(u64::MAX);
        Self { printed: None, unit, modulus, exact: true, range }
    }

    /// The same counter with readings taken as µJ: what it becomes when its readings keep missing the
    /// lattice.
    #[must_use]
    pub(crate) fn without_lattice(self) -> Self {
        if self.has_lattice() { Self::reported(self.range) } else { self }
    }

    /// Unit unknown: µJ as printed, wrapping after `range`.
    fn reported(range: u64) -> Self {
        let unit = Ratio { num: 1, den: 1 };
        Self { printed: None, unit, modulus: range.into(), exact: false, range }
    }

    /// Whether ticks are true units of the hardware, so that totals are free of the kernel's rounding.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether a corrupt reading can be told from a good one by its value alone.
    pub(crate) fn has_lattice(&self) -> bool {
        self.printed.is_some()
    }

    /// Whether a counter of this scale can show `reading`.
    pub(crate) fn can_show(&self, reading: u64) -> bool {
        self.count(reading).is_some()
    }

    /// Energy after which the counter starts again.
    pub fn range(&self) -> Microjoules {
        Microjoules::new(self.range)
    }

    /// What a tick is worth, in µJ.
    pub fn unit_microjoules(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "powers of two and small numbers")]
        let unit = self.unit.num as f64 / self.unit.den as f64;
        unit
    }

    /// The count behind a reading; `None` when no count shows so.
    fn count(&self, reading: u64) -> Option<u64> {
        let count = match self.printed {
            None if self.exact => u128::from(reading),
            // The largest value is the range itself.
            None => return (u128::from(reading) <= self.modulus).then_some(reading),
            Some(printed) => {
                let count = printed.inverse().ceil(reading.into());
                if printed.floor(count) != reading.into() {
                    return None;
                }
                count
            }
        };
        u64::try_from(count).ok().filter(|&count| u128::from(count) < self.modulus)
    }

    /// The reading behind a count: what it is in µJ as printed, which is not its energy.
    fn reading(&self, count: u64) -> u64 {
        let printed = self.printed.unwrap_or(self.unit);
        u64::try_from(printed.floor(count.into())).unwrap_or(u64::MAX)
    }

    /// Energy of a running total, in whole µJ; the remainder stays in the total.
    fn energy(&self, total: u128) -> Microjoules {
        Microjoules::new(u64::try_from(self.unit.floor(total)).unwrap_or(u64::MAX))
    }

    /// Ticks in an energy, rounded down.
    fn of_energy(&self, energy: Microjoules) -> u128 {
        self.unit.inverse().floor(energy.as_microjoules().into())
    }
}

fn exact(esu: u32) -> Ratio {
    Ratio::of_esu(esu)
}

/// The kernel's unit in whole nJ.
fn truncated(esu: u32) -> Ratio {
    Ratio { num: 1_000_000_000 >> esu.min(63), den: 1000 }
}

/// Why the energy of a span is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The counter fell, and no wrap explains it within the power ceiling.
    Reset,
    /// The counter rose by more than the power ceiling allows, and stayed there.
    Jump,
    /// The gap was so long that more than one wrap could hide in it.
    AmbiguousWrap,
}

/// What one reading did to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first reading; it yields no energy.
    Baseline,
    /// The total grew by `delta` (perhaps by nothing).
    Advance {
        /// Energy since the last good reading.
        delta: Microjoules,
    },
    /// The reading shows that the one before it was bad, or that the counter was set back by no more than what
    /// two readings told; nobody can say which. The total stands still until it is true again.
    Corrected {
        /// Since when the readings cannot be right.
        since: Moment,
        /// The energy that is not in the total, if the counter was set back, lies between nothing and this.
        most: Microjoules,
    },
    /// The reading is not believed; the next good one carries the energy.
    Skipped,
    /// Counting begins anew; the energy of the last `lost` is unknown.
    Rebased {
        /// What happened.
        why: Break,
        /// From the last good reading to the first one after the break.
        lost: Duration,
        /// The energy that is not in the total lies between nothing and this.
        most: Microjoules,
        /// What the readings show of it, had it been energy; nothing where that is no power of a machine.
        shown: Microjoules,
    },
}

/// A believed reading and what was counted up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    count: u64,
    at: Moment,
    /// When this count can first have been there. The energy of the next step has gathered since
    /// then, not only since the last look: counters that step rarely step far.
    since: Moment,
    /// When it was seen there first, and for how long it was then seen to stand.
    seen: Moment,
    stood: Duration,
}

impl Reading {
    /// Of a count that was not there at the last look, read at some moment from `from` to `at`.
    fn first_seen(count: u64, from: Moment, at: Moment) -> Self {
        Self { count, at, since: from.min(at), seen: at, stood: Duration::ZERO }
    }
}

/// How often one counter began anew: 1, and one more per break. It counts for the process that holds
/// the counter, or that resumes it; what others compare is [`crate::clock::EpochStart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(u64);

impl Generation {
    /// Before any break.
    pub const FIRST: Self = Self(1);

    /// From its number; 0 is none.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Where a counter stands, for another process of the same boot to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saved {
    /// Ticks, or µJ where no unit is known.
    pub total: u128,
    /// The highest total that was ever shown, in the same unit.
    pub shown: u128,
    /// The last believed count.
    pub count: u64,
    /// When it was read.
    pub at: Moment,
    /// When it was first seen.
    pub since: Moment,
    /// Wraps counted.
    pub wraps: u64,
    /// How often it began anew.
    pub generation: Generation,
}

/// One energy counter: raw readings in, a total that only grows out.
#[derive(Debug, Clone)]
pub struct Counter {
    scale: Scale,
    ceiling: Watts,
    /// In ticks; starts at the first reading's count.
    total: u128,
    /// The highest total that was shown; above `total` only while a bad reading is made up for.
    shown: u128,
    good: Option<Reading>,
    /// The believed reading before `good`, with the total and the wraps up to it.
    previous: Option<(Reading, u128, u64)>,
    suspect: Option<Reading>,
    /// Steps in a row that were not believed although they could be power, and the most that they show.
    above: (u8, Watts),
    off_lattice: u8,
    wraps: u64,
    /// Totals of different generations hide unknown energy.
    generation: Generation,
    may_rest: bool,
}

impl Counter {
    /// A counter of this scale whose domain draws at most `ceiling`.
    pub fn new(scale: Scale, ceiling: Watts) -> Self {
        Self {
            scale,
            ceiling,
            total: 0,
            shown: 0,
            good: None,
            previous: None,
            suspect: None,
            above: (0, Watts::ZERO),
            off_lattice: 0,
            wraps: 0,
            generation: Generation::FIRST,
            may_rest: false,
        }
    }

    /// The same counter of a domain that may draw nothing for long, such as graphics that are switched
    /// off: a value that stands still is then taken as no energy, and not as a counter that is stuck
    /// and may hide some.
    #[must_use]
    pub(crate) fn that_may_rest(self) -> Self {
        Self { may_rest: true, ..self }
    }

    /// A counter that goes on where another one stopped, of the same scale and in the same boot. Its
    /// next reading closes the gap, if that can be proven, like any other gap.
    pub fn resume(scale: Scale, ceiling: Watts, saved: &Saved) -> Option<Self> {
        let good = Reading {
            since: saved.since.min(saved.at),
            ..Reading::first_seen(saved.count, saved.at, saved.at)
        };
        let fits =
            u128::from(saved.count) <= scale.modulus && saved.generation >= Generation::FIRST;
        fits.then(|| Self {
            total: saved.total,
            shown: saved.shown.max(saved.total),
            good: Some(good),
            wraps: saved.wraps,
            generation: saved.generation,
            ..Self::new(scale, ceiling)
        })
    }

    /// What [`Counter::resume`] needs; `None` before the first reading.
    pub fn save(&self) -> Option<Saved> {
        let good = self.good?;
        Some(Saved {
            total: self.total,
            shown: self.shown.max(self.total),
            count: good.count,
            at: good.at,
            since: good.since,
            wraps: self.wraps,
            generation: self.generation,
        })
    }

    /// The longest time between readings that keeps every wrap provable with a factor of two to
    /// spare: half the range at the ceiling.
    pub fn longest_interval(&self) -> Duration {
        let half = Microjoules::new(self.scale.range / 2).as_joules();
        let seconds = half / self.ceiling.as_watts().max(1e-3);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Takes a reading, in the terms of its scale, and when it was taken.
    pub fn observe(&mut self, reading: u64, at: Moment) -> Step {
        self.observe_between(reading, at, at)
    }

    /// Takes a reading that was taken at an unknown moment from `from` to `at`. A process that is
    /// stopped after it has read and before it looks at the clock has an old reading with a new time;
    /// what the counter does in between must not be taken for the step of an instant.
    pub fn observe_between(&mut self, reading: u64, from: Moment, at: Moment) -> Step {
        let Some(count) = self.count(reading) else { return Step::Skipped };
        let now = Reading::first_seen(count, from, at);
        let Some(good) = self.good else {
            self.total = count.into();
            self.good = Some(self.of_unknown_age(now));
            return Step::Baseline;
        };
        if count == good.count
            && self.limit(Reading { since: good.at, ..good }, now) < self.scale.modulus
        {
            // At rest. Since when matters once it moves again.
            self.suspect = None;
            let live = if self.may_rest { at.before(STEP_MAX) } else { good.since };
            let stood = now.since.since(good.seen);
            self.good = Some(Reading { at, since: good.since.max(live), stood, ..good });
            return Step::Advance { delta: Microjoules::ZERO };
        }
        if self.limit(good, now) >= self.scale.modulus {
            return self.rebase(Break::AmbiguousWrap, now, now, good);
        }
        // While there is time to look again, a zero waits for a second one.
        let hurry = self.limit(good, now).saturating_mul(4) >= self.scale.modulus;
        if count == 0 && !hurry && self.suspect.is_none_or(|suspect| suspect.count != 0) {
            self.suspect = Some(now);
            return Step::Skipped;
        }
        if let Some(ticks) = self.plausible(good, now) {
            return self.advance(good, ticks, now);
        }
        if let Some((previous, ticks)) = self.bad_before(now) {
            return self.correct(previous, ticks, now);
        }
        let before = self.suspect.replace(now);
        if let Some(suspect) = before
            && self.plausible(suspect, now).is_some()
        {
            let why = if suspect.count < good.count { Break::Reset } else { Break::Jump };
            return self.rebase(why, suspect, now, good);
        }
        self.outgrow(before.unwrap_or(good), now, good).unwrap_or(Step::Skipped)
    }

    /// The energy that a reading which is not believed would be, had it been energy.
    pub(crate) fn suspected(&self) -> Option<Microjoules> {
        let (good, suspect) = self.good.zip(self.suspect)?;
        Some(self.scale.energy(self.excess(good, suspect)?))
    }

    /// The advance from one reading to another where it could be power above the ceiling.
    fn excess(&self, from: Reading, to: Reading) -> Option<u128> {
        let ticks = self.difference(from, to);
        let most = self.scale.of_energy((self.ceiling * EXCESS_MAX).over(to.at.since(from.since)));
        (ticks <= most && most < self.scale.modulus).then_some(ticks)
    }

    /// Raises the ceiling when enough readings in a row show that it is too low.
    fn outgrow(&mut self, before: Reading, now: Reading, good: Reading) -> Option<Step> {
        let Some(ticks) = self.excess(before, now) else {
            self.above = (0, Watts::ZERO);
            return None;
        };
        let power = self.scale.energy(ticks).over(now.at.since(before.at))?;
        self.above = (self.above.0 + 1, self.above.1.max(power));
        if self.above.0 < ABOVE_CEILING_MAX {
            return None;
        }
        self.ceiling = self.above.1 * 2.0;
        self.above = (0, Watts::ZERO);
        if self.limit(good, now) >= self.scale.modulus {
            return Some(self.rebase(Break::AmbiguousWrap, now, now, good));
        }
        Some(self.advance(good, self.plausible(good, now)?, now))
    }

    /// Whether the moment of a reading that was taken between these is known well enough: the next one is provable
    /// from there, as it is due within [`Counter::longest_interval`].
    pub(crate) fn dates(&self, from: Moment, at: Moment) -> bool {
        let ticks = self.scale.of_energy(self.ceiling.over(at.since(from)));
        ticks.saturating_mul(2).saturating_add(4) < self.scale.modulus
    }

    /// The total in µJ. It starts at the first reading's value and never falls or wraps.
    pub fn total(&self) -> Microjoules {
        self.scale.energy(self.total.max(self.shown))
    }

    /// Wraps that were proven and counted.
    pub fn wraps(&self) -> u64 {
        self.wraps
    }

    /// When the counter was last believed.
    pub fn last_good(&self) -> Option<Moment> {
        self.good.map(|good| good.at)
    }

    /// Whether the counter was seen to stand still for longer than a working one ever does.
    pub fn is_stuck(&self) -> bool {
        !self.may_rest && self.good.is_some_and(|good| good.stood > STUCK_AFTER)
    }

    /// How readings are understood now; the lattice is given up when readings keep missing it.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Power that the domain cannot exceed.
    pub fn ceiling(&self) -> Watts {
        self.ceiling
    }

    fn count(&mut self, reading: u64) -> Option<u64> {
        if let Some(count) = self.scale.count(reading) {
            self.off_lattice = 0;
            return Some(count);
        }
        self.off_lattice = self.off_lattice.saturating_add(1);
        if self.scale.has_lattice() && (self.good.is_none() || self.off_lattice >= OFF_LATTICE_MAX)
        {
            self.distrust_lattice();
            return self.scale.count(reading);
        }
        None
    }

    /// Goes on in µJ as printed, from the same total and the same last reading.
    fn distrust_lattice(&mut self) {
        let old = self.scale;
        let microjoules = |ticks: u128| u128::from(old.energy(ticks).as_microjoules());
        self.scale = old.without_lattice();
        self.total = microjoules(self.total);
        self.shown = microjoules(self.shown);
        self.previous = None;
        for reading in [&mut self.good, &mut self.suspect].into_iter().flatten() {
            reading.count = old.reading(reading.count).min(old.range);
        }
    }

    /// The most that the counter can have advanced between two readings, in ticks: one tick more
    /// than the energy, since a reading may fall on either side of a step.
    fn limit(&self, from: Reading, to: Reading) -> u128 {
        self.scale.of_energy(self.ceiling.over(to.at.since(from.since))) + 1
    }

    /// The advance from one reading to another when at most one wrap lies between them, unless it
    /// exceeds the ceiling.
    fn plausible(&self, from: Reading, to: Reading) -> Option<u128> {
        let ticks = self.difference(from, to);
        (ticks <= self.limit(from, to) + self.slack()).then_some(ticks)
    }

    /// Ticks from one reading to another over at most one wrap.
    fn difference(&self, from: Reading, to: Reading) -> u128 {
        let (from, to) = (u128::from(from.count), u128::from(to.count));
        to.checked_sub(from).unwrap_or_else(|| self.scale.modulus - from + to)
    }

    /// Counters step about once per ms (Intel SDM vol. 3B, 16.10), so that two readings an instant
    /// apart may differ by a whole step: 2 ms at the ceiling.
    fn slack(&self) -> u128 {
        self.scale.of_energy(self.ceiling.over(Duration::from_millis(2)))
    }

    fn advance(&mut self, good: Reading, ticks: u128, now: Reading) -> Step {
        let before = self.total();
        self.previous = Some((good, self.total, self.wraps));
        self.total = self.total.saturating_add(ticks);
        self.shown = self.shown.max(self.total);
        self.good = Some(now);
        self.suspect = None;
        self.above = (0, Watts::ZERO);
        self.wraps = self.wraps.saturating_add(u64::from(now.count < good.count));
        let delta = self.total().saturating_sub(before);
        Step::Advance { delta }
    }

    /// Whether this reading fits the one before the last, so that the last was bad: it lies behind
    /// it, and close to where the counter was.
    fn bad_before(&self, now: Reading) -> Option<((Reading, u128, u64), u128)> {
        let previous = self.previous?;
        let provable = self.limit(previous.0, now) < self.scale.modulus;
        let ticks = self.plausible(previous.0, now).filter(|_| provable)?;
        (previous.1.saturating_add(ticks) < self.total).then_some((previous, ticks))
    }

    fn correct(&mut self, previous: (Reading, u128, u64), ticks: u128, now: Reading) -> Step {
        let (reading, total, wraps) = previous;
        let before = self.total;
        self.total = total.saturating_add(ticks);
        // What passed since the last reading is at most what its ceiling allows, and may be in neither.
        let unseen = self.good.map_or(0, |good| self.limit(good, now));
        let most = self.scale.energy(before.saturating_sub(self.total).saturating_add(unseen));
        self.wraps = wraps.saturating_add(u64::from(now.count < reading.count));
        self.good = Some(now);
        self.previous = None;
        self.suspect = None;
        Step::Corrected { since: reading.at, most }
    }

    /// A reading whose count may have stood there for a while: as long as a step takes at most, and
    /// not so long that the next reading would be ambiguous.
    fn of_unknown_age(&self, reading: Reading) -> Reading {
        let age = STEP_MAX.min(self.longest_interval() / 2);
        Reading { since: reading.since.min(reading.at.before(age)), ..reading }
    }

    fn rebase(&mut self, why: Break, first: Reading, now: Reading, good: Reading) -> Step {
        let shown = self.scale.energy(self.excess(good, first).unwrap_or(0));
        let most = self.scale.energy(self.limit(good, first)).max(shown);
        self.above = (0, Watts::ZERO);
        self.total = self.total.max(self.shown);
        self.total = self.total.saturating_add(self.plausible(first, now).unwrap_or(0));
        self.good = Some(self.of_unknown_age(now));
        self.previous = None;
        self.suspect = None;
        self.generation = self.generation.next();
        Step::Rebased { why, lost: first.at.since(good.at), most, shown }
    }
}

#[cfg(test)]
mod tests;
