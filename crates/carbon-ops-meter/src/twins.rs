//! Whether two counters are one, by how they move.
//!
//! Dies of one package may show the register of the package, and a kernel may list one counter twice. Such twins
//! stand at the same value at every look, but for what passes between their two readings. Counters of their own may
//! be near each other once, and then part. So whoever sums counters asks again at each look, and neither a
//! name nor one look at which they were near is evidence.
//!
//! Out of scope: `intel-rapl-mmio`, which shows a package through another bus, by its documentation; reading.

use std::time::Duration;

use carbon_ops_units::Microjoules;

use crate::sensor::Exclusion;

/// So many looks in a row at which they stand apart, or all that there were, show two counters: one look may
/// be disturbed between reading and clock.
const LOOKS: u32 = 3;

/// Counters step about every ms, and one of the two readings may see a step that the other does not.
const STEP: Duration = Duration::from_millis(2);

/// Power changes; between two readings it may be this many times what it was.
const BURST: f64 = 4.0;

/// Before the second look nobody knows the power: that of a large package, in µJ a second. A prior.
const UNKNOWN: f64 = 250e6;

/// Two readings of a counter that rests may differ by as much: its unit, and rounding.
const REST_UJ: f64 = 10_000.0;

/// A reading in µJ, and the time of some clock in which it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What was read, in µJ.
    pub reading: u64,
    /// The earliest instant.
    pub from: Duration,
    /// The latest.
    pub at: Duration,
}

/// Counters that may be the same ones.
#[derive(Debug, Clone, Default)]
pub struct Twins {
    domains: usize,
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    /// Their places, the lower one first.
    places: (usize, usize),
    range: u64,
    /// The looks before: the first, and the last.
    first: Option<[Look; 2]>,
    last: Option<[Look; 2]>,
    looks: u32,
    /// At the last looks they stood apart.
    apart: u32,
    /// They are two counters.
    parted: bool,
}

impl Twins {
    /// Those among domains of these names and ranges: dies of one package, and those that the kernel calls by the
    /// same name, which are told apart by what follows an `@`.
    pub fn among<'d>(domains: impl IntoIterator<Item = (&'d str, Microjoules)>) -> Self {
        let mut twins = Self::default();
        twins.grow(domains);
        twins
    }

    /// The same of all domains, where some were added at the end: what is known of the others stays.
    pub fn grow<'d>(&mut self, domains: impl IntoIterator<Item = (&'d str, Microjoules)>) {
        let domains: Vec<_> = domains.into_iter().collect();
        for (place, (name, range)) in domains.iter().enumerate().skip(self.domains) {
            let earlier = domains.iter().take(place).enumerate();
            for (other, _) in earlier.filter(|(_, (earlier, _))| group(earlier) == group(name)) {
                self.pairs.push(Pair {
                    places: (other, place),
                    range: range.as_microjoules(),
                    first: None,
                    last: None,
                    looks: 0,
                    apart: 0,
                    parted: false,
                });
            }
        }
        self.domains = domains.len();
    }

    /// How many domains are known.
    pub fn len(&self) -> usize {
        self.domains
    }

    /// Whether there is anything to look for.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes a look at all domains, by their places; `None` where reading failed.
    pub fn look(&mut self, looks: &[Option<Look>]) {
        let of = |place: usize| looks.get(place).copied().flatten();
        for pair in &mut self.pairs {
            if let (Some(one), Some(other)) = (of(pair.places.0), of(pair.places.1)) {
                pair.look([one, other]);
            }
        }
    }

    /// The places of those that repeat an earlier one.
    pub fn repeated(&self) -> Vec<usize> {
        let mut places: Vec<_> =
            self.pairs.iter().filter(|pair| pair.is_one()).map(|pair| pair.places.1).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Pair {
    fn look(&mut self, now: [Look; 2]) {
        let [one, other] = now;
        let apart = one.reading.abs_diff(other.reading);
        let apart = apart.min(self.range.saturating_sub(apart));
        let between = one.at.max(other.at).saturating_sub(one.from.min(other.from)) + STEP;
        let before = self.first.into_iter().chain(self.last);
        let power = before
            .flat_map(|before| before.into_iter().zip(now))
            .map(|(before, now)| power(before, now, self.range))
            .fold(if self.first.is_none() { UNKNOWN } else { 0.0 }, f64::max);
        self.looks = self.looks.saturating_add(1);
        #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
        let is_apart = apart as f64 > REST_UJ + BURST * power * between.as_secs_f64();
        self.apart = if is_apart { self.apart.saturating_add(1) } else { 0 };
        self.parted |= self.apart >= LOOKS;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn is_one(&self) -> bool {
        !self.parted && self.apart < LOOKS.min(self.looks)
    }
}

/// In µJ a second.
fn power(before: Look, now: Look, range: u64) -> f64 {
    let time = now.at.saturating_sub(before.at).as_secs_f64();
    // A counter that wrapped between has passed the rest of its range.
    let energy = if now.reading < before.reading {
        (range - before.reading.min(range)).saturating_add(now.reading)
    } else {
        now.reading - before.reading
    };
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no sixteenth digit")]
    if time > 0.0 { energy as f64 / time } else { 0.0 }
}

/// Why a domain that repeats an earlier one is not counted.
pub fn reason(name: &str) -> Exclusion {
    if name.contains('@') { Exclusion::Duplicate } else { Exclusion::MirroredDie }
}

/// What may be shown by several zones.
fn group(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name.split_once("-die-").map_or(name, |(package, _)| package)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: u64 = 262_143_328_850;

    /// Two counters at `start` µJ and these powers in W, read so many ms apart, `looks` times every 10 ms.
    fn seen(start: [u64; 2], watts: [f64; 2], apart_ms: u64, looks: u64) -> bool {
        let range = Microjoules::new(RANGE);
        let mut twins = Twins::among([("package-0-die-0", range), ("package-0-die-1", range)]);
        for look in 1..=looks {
            let at = [10_000 * look, 10_000 * look + 1000 * apart_ms];
            let reading = |which: usize| {
                // A counter steps every ms.
                let ms = at[which] / 1000;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small"
                )]
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let energy = (watts[which] * 1000.0 * ms as f64) as u64;
                let [from, at] = [at[0], at[which]].map(Duration::from_micros);
                Some(Look { reading: (start[which] + energy) % RANGE, from, at })
            };
            twins.look(&[reading(0), reading(1)]);
        }
        !twins.repeated().is_empty()
    }

    #[test]
    fn one_counter_is_one_however_far_its_readings_are_apart() {
        for start in [0, 5_000_000_000, RANGE - 1_000_000] {
            for watts in [0.0, 3.0, 280.0, 4000.0] {
                for apart in [0, 1, 7] {
                    assert!(seen([start; 2], [watts; 2], apart, 100), "{start} {watts} {apart}");
                }
            }
        }
    }

    /// A busy machine leaves time between the two readings of the very first look.
    #[test]
    fn one_counter_is_one_at_the_first_look_too() {
        for watts in [3.0, 65.0, 280.0] {
            assert!(seen([50_000_000_000; 2], [watts; 2], 20, 1), "{watts}");
        }
        assert!(!seen([50_000_000_000, 50_200_000_000], [65.0; 2], 0, 1));
    }

    #[test]
    fn two_counters_are_two_as_soon_as_they_part() {
        // 4 J apart when they are first seen, as two dies were.
        assert!(!seen([50_000_000_000, 50_004_000_000], [30.0, 40.0], 0, 3));
        // From 0 at boot, at nearly the same power.
        assert!(!seen([0, 0], [60.0, 60.6], 0, 300));
        assert!(!seen([0, 0], [30.0, 40.0], 0, 20));
        // One of them rests.
        assert!(!seen([0, 0], [30.0, 0.0], 1, 100));
    }

    #[test]
    fn one_look_that_was_disturbed_shows_nothing() {
        let range = Microjoules::new(RANGE);
        let mut twins = Twins::among([("dram-0", range), ("dram-0@intel-rapl:0:7", range)]);
        for look in 1..20u64 {
            let at = Duration::from_millis(10 * look);
            let late = if look % 4 == 0 { 5_000_000 } else { 0 };
            let of = |reading| Some(Look { reading, from: at, at });
            twins.look(&[of(look * 1000), of(look * 1000 + late)]);
        }
        assert_eq!(twins.repeated(), [1]);
    }

    #[test]
    fn only_dies_of_a_package_and_equal_names_are_asked_about() {
        let range = Microjoules::new(RANGE);
        let names = ["dram-0", "package-0", "package-0-die-1", "package-1", "package-1@x"];
        let twins = Twins::among(names.map(|name| (name, range)));
        let pairs: Vec<_> = twins.pairs.iter().map(|pair| pair.places).collect();
        assert_eq!(pairs, [(1, 2), (3, 4)]);
    }
}
