//! The one place where raw energy counters are subtracted.
//!
//! # Derivation
//!
//! The hardware counts ticks of 2^−ESU J in a register of 32 bits. The kernel prints
//! `v = ⌊n · unit⌋` µJ for the count `n`, and publishes `max_energy_range_uj = ⌊(2³²−1) · unit⌋`,
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
//! A range of another shape tells no unit. Then µJ are counted as the kernel prints them, the
//! modulus is the range, and each wrap counts at most one unit (61 µJ) too little.
//!
//! Between two readings `Δt` apart the counter may have wrapped several times. With `P` a power
//! that the domain cannot exceed, at most `P·Δt` joules passed. While `P·Δt` is below the modulus,
//! at most one wrap is possible and the difference modulo the range is the energy; a difference
//! above `P·Δt` is then no energy at all but a reset, a jump or a bad reading. A longer gap is
//! ambiguous: its energy is unknown and said to be so.
//!
//! Deliberately absent: reading files, clocks, and any guess at the energy that was lost.

use std::time::{Duration, Instant};

use carbon_ops_units::{Microjoules, Watts};

/// Counter width in ticks: Linux reads every RAPL energy register with a mask of 32 bits.
const TICKS: u64 = 1 << 32;

/// Energy status units that exist: 2^−3 J to 2^−19 J bounds every published one (Intel SDM vol. 4,
/// MSR 0x606 bits 12:8; usual values are 14 and 16).
const ESU: std::ops::RangeInclusive<u32> = 3..=19;

/// The kernel's DRAM unit of Haswell-EP to Ice Lake-X in nJ (`rapl_defaults`: 15300), for 2^−16 J.
const DRAM_NANOJOULES: u64 = 15_300;

/// The longest time between two steps of a working counter. Hardware steps every ms; the slowest
/// simulations and firmware once a second.
const STEP_MAX: Duration = Duration::from_secs(1);

/// So many readings in a row off the lattice show that the lattice was wrongly inferred.
const OFF_LATTICE_MAX: u8 = 3;

/// How readings relate to energy, inferred from the published range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// `v = ⌊n · num/den⌋` µJ for `n` ticks of 2^−esu J.
    Ticks { num: u64, den: u64, esu: u32 },
    /// Unit unknown: µJ as printed, wrapping after `range`.
    Reported { range: u64 },
}

impl Scale {
    fn from_range(range: u64) -> Self {
        let top = u128::from(TICKS - 1);
        let fits = |num: u64, den: u64| top * u128::from(num) / u128::from(den) == range.into();
        let known =
            ESU.flat_map(|esu| [(1_000_000, 1u64 << esu, esu), (1_000_000_000 >> esu, 1000, esu)]);
        known
            .chain([(DRAM_NANOJOULES, 1000, 16)])
            .find(|&(num, den, _)| num >= den && fits(num, den))
            .map_or(Self::Reported { range }, |(num, den, esu)| Self::Ticks { num, den, esu })
    }

    /// The count behind a printed value; `None` when no count prints so.
    fn count(self, printed: u64) -> Option<u64> {
        match self {
            Self::Ticks { num, den, .. } => {
                let (num, den) = (u128::from(num), u128::from(den));
                let count = (u128::from(printed) * den).div_ceil(num);
                (count < TICKS.into() && count * num / den == printed.into())
                    .then(|| u64::try_from(count).ok())
                    .flatten()
            }
            Self::Reported { range } => (printed <= range).then_some(printed),
        }
    }

    fn modulus(self) -> u64 {
        match self {
            Self::Ticks { .. } => TICKS,
            Self::Reported { range } => range,
        }
    }

    /// Energy of a running total, in whole µJ; the remainder stays in the total.
    fn energy(self, total: u64) -> Microjoules {
        match self {
            Self::Ticks { esu, .. } => {
                let microjoules = (u128::from(total) * 1_000_000) >> esu;
                Microjoules::new(u64::try_from(microjoules).unwrap_or(u64::MAX))
            }
            Self::Reported { .. } => Microjoules::new(total),
        }
    }
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
    /// The reading is not believed; the next good one carries the energy.
    Skipped,
    /// Counting begins anew; the energy of the last `lost` is unknown.
    Rebased {
        /// What happened.
        why: Break,
        /// From the last good reading to the first one after the break.
        lost: Duration,
    },
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    count: u64,
    at: Instant,
    /// When this count was first seen. The energy of the next step has gathered since then, not
    /// only since the last look: counters that step rarely step far.
    since: Instant,
}

/// One energy counter: raw readings in, a total that only grows out.
#[derive(Debug, Clone)]
pub struct Counter {
    scale: Scale,
    range: u64,
    ceiling: Watts,
    /// In units of `scale`; starts at the first reading's count. Written by `observe` alone.
    total: u64,
    good: Option<Reading>,
    suspect: Option<Reading>,
    off_lattice: u8,
    wraps: u64,
    epoch: u64,
}

impl Counter {
    /// A counter that wraps after `range` (the kernel's `max_energy_range_uj`) and whose domain
    /// draws at most `ceiling`. `None` for a range of zero, with which nothing can be told.
    pub fn new(range: Microjoules, ceiling: Watts) -> Option<Self> {
        let range = range.as_microjoules();
        (range > 0).then(|| Self {
            scale: Scale::from_range(range),
            range,
            ceiling,
            total: 0,
            good: None,
            suspect: None,
            off_lattice: 0,
            wraps: 0,
            epoch: 1,
        })
    }

    /// The longest time between readings that keeps every wrap provable with a factor of two to
    /// spare: half the range at the ceiling.
    pub fn longest_interval(&self) -> Duration {
        let half = Microjoules::new(self.range / 2).as_joules();
        let seconds = half / self.ceiling.as_watts().max(1e-3);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Takes a printed reading and the instant at which it was read.
    pub fn observe(&mut self, printed: Microjoules, at: Instant) -> Step {
        let Some(count) = self.count(printed.as_microjoules()) else { return Step::Skipped };
        let now = Reading { count, at, since: at };
        let Some(good) = self.good else {
            self.total = count;
            self.good = Some(self.of_unknown_age(now));
            return Step::Baseline;
        };
        if self.limit(good, now) >= self.scale.modulus() {
            return self.rebase(Break::AmbiguousWrap, now, now, good);
        }
        if let Some(ticks) = self.plausible(good, now) {
            self.suspect = None;
            return self.advance(ticks, now, now.count < good.count);
        }
        match self.suspect.replace(now) {
            Some(suspect) if self.plausible(suspect, now).is_some() => {
                let why = if suspect.count < good.count { Break::Reset } else { Break::Jump };
                self.rebase(why, suspect, now, good)
            }
            _ => Step::Skipped,
        }
    }

    /// The total in µJ. It starts at the first reading's value and never falls or wraps.
    pub fn total(&self) -> Microjoules {
        self.scale.energy(self.total)
    }

    /// Wraps that were proven and counted.
    pub fn wraps(&self) -> u64 {
        self.wraps
    }

    /// 1, and one more after each break: totals of different epochs hide unknown energy.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When the counter was last believed.
    pub fn last_good(&self) -> Option<Instant> {
        self.good.map(|good| good.at)
    }

    fn count(&mut self, printed: u64) -> Option<u64> {
        if let Some(count) = self.scale.count(printed) {
            self.off_lattice = 0;
            return Some(count);
        }
        self.off_lattice = self.off_lattice.saturating_add(1);
        let inferred = matches!(self.scale, Scale::Ticks { .. });
        if inferred && (self.good.is_none() || self.off_lattice >= OFF_LATTICE_MAX) {
            self.distrust_lattice();
            return self.scale.count(printed);
        }
        None
    }

    /// Goes on in µJ as printed, from the same total and the same last reading.
    fn distrust_lattice(&mut self) {
        let old = self.scale;
        let modulus = old.energy(old.modulus()).as_microjoules();
        self.scale = Scale::Reported { range: self.range };
        self.total = old.energy(self.total).as_microjoules();
        for reading in [&mut self.good, &mut self.suspect].into_iter().flatten() {
            reading.count = old.energy(reading.count).as_microjoules().min(modulus);
        }
    }

    /// The most that the counter can have advanced between two readings, in its own unit.
    fn limit(&self, from: Reading, to: Reading) -> u64 {
        let most = self.ceiling.over(to.at.saturating_duration_since(from.since)).as_microjoules();
        match self.scale {
            // One tick more than the energy, since a reading may fall on either side of a step.
            Scale::Ticks { esu, .. } => {
                u64::try_from((u128::from(most) << esu) / 1_000_000 + 1).unwrap_or(u64::MAX)
            }
            Scale::Reported { .. } => most.saturating_add(1),
        }
    }

    /// The advance from one reading to another when at most one wrap lies between them, unless it
    /// exceeds the ceiling.
    fn plausible(&self, from: Reading, to: Reading) -> Option<u64> {
        let ticks = match to.count.checked_sub(from.count) {
            Some(ticks) => ticks,
            None => self.scale.modulus() - from.count + to.count,
        };
        (ticks <= self.limit(from, to) + self.slack()).then_some(ticks)
    }

    /// Counters step about once per ms (Intel SDM vol. 3B, 16.10), so that two readings an instant
    /// apart may differ by a whole step: 2 ms at the ceiling.
    fn slack(&self) -> u64 {
        let step = self.ceiling.over(Duration::from_millis(2)).as_microjoules();
        match self.scale {
            Scale::Ticks { esu, .. } => {
                u64::try_from((u128::from(step) << esu) / 1_000_000).unwrap_or(0)
            }
            Scale::Reported { .. } => step,
        }
    }

    fn advance(&mut self, ticks: u64, now: Reading, wrapped: bool) -> Step {
        let before = self.total();
        self.total = self.total.saturating_add(ticks);
        let since = self.good.filter(|_| ticks == 0).map_or(now.at, |good| good.since);
        self.good = Some(Reading { since, ..now });
        self.wraps += u64::from(wrapped);
        let delta = self.total().checked_sub(before).unwrap_or(Microjoules::ZERO);
        Step::Advance { delta }
    }

    /// A reading whose count may have stood there for a while: as long as a step takes at most, and
    /// not so long that the next reading would be ambiguous.
    fn of_unknown_age(&self, reading: Reading) -> Reading {
        let age = STEP_MAX.min(self.longest_interval() / 2);
        Reading { since: reading.at.checked_sub(age).unwrap_or(reading.at), ..reading }
    }

    fn rebase(&mut self, why: Break, first: Reading, now: Reading, good: Reading) -> Step {
        self.total = self.total.saturating_add(self.plausible(first, now).unwrap_or(0));
        self.good = Some(self.of_unknown_age(now));
        self.suspect = None;
        self.epoch += 1;
        Step::Rebased { why, lost: first.at.saturating_duration_since(good.at) }
    }
}

#[cfg(test)]
mod tests;
