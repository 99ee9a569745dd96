//! Meters of other people: a raw counter, looked at rarely, and three usual ways to treat a fall.
//!
//! Raw counters are subtracted here although `carbon_ops_meter::counter` is the only place for that:
//! these are the mistakes that the demonstration shows. Nothing else uses them.

use std::time::Duration;

use carbon_ops_units::Microjoules;

use crate::curve::Stretch;

/// What to make of a counter that fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It was reset and began at 0, as Prometheus' `increase()` has it (its extrapolation to the edges
    /// of the window left out, which would only blur what is shown here).
    ResetToZero,
    /// The difference is negative, so that it is left out.
    DropNegative,
    /// It passed its published range once.
    AddOneRange,
}

impl Rule {
    pub(crate) const ALL: [Self; 3] = [Self::ResetToZero, Self::DropNegative, Self::AddOneRange];

    /// The word that stands in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ResetToZero => "reset_to_zero",
            Self::DropNegative => "drop_negative",
            Self::AddOneRange => "add_one_range",
        }
    }

    /// What it takes a fall as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResetToZero => "reset to 0, as increase()",
            Self::DropNegative => "nothing, left out",
            Self::AddOneRange => "one range to add",
        }
    }

    /// Energy of one interval in µJ; `None` where the rule yields none.
    fn energy(self, from: u64, to: u64, range: u64) -> Option<u64> {
        match (to.checked_sub(from), self) {
            (Some(difference), _) => Some(difference),
            (None, Self::ResetToZero) => Some(to),
            (None, Self::DropNegative) => None,
            (None, Self::AddOneRange) => Some((to + range).saturating_sub(from)),
        }
    }
}

/// One interval between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// µJ; `None` where the rule yields none.
    pub(crate) energy: Option<u64>,
    /// Whether that is not what was used.
    pub(crate) wrong: bool,
}

/// A scraper that follows one rule over all domains.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) rule: Rule,
    /// The published range of each domain in µJ.
    ranges: Vec<u64>,
    last: Option<(Duration, Vec<Option<u64>>, Vec<u64>)>,
    /// Wraps that showed as a fall.
    pub(crate) falls: u64,
    pub(crate) intervals: Vec<Interval>,
}

impl Scraper {
    pub(crate) fn new(rule: Rule, ranges: &[u64]) -> Self {
        Self { rule, ranges: ranges.to_vec(), last: None, falls: 0, intervals: Vec::new() }
    }

    /// Looks at the counters; `wraps` is how often each has truly wrapped by now.
    pub(crate) fn look(&mut self, at: Duration, readings: &[Option<u64>], wraps: &[u64]) {
        let now = (at, readings.to_vec(), wraps.to_vec());
        let Some((from, old, old_wraps)) = self.last.replace(now) else { return };
        let (mut energy, mut whole, mut wrong) = (0u64, true, false);
        let domains = old.iter().zip(readings).zip(&self.ranges).zip(old_wraps.iter().zip(wraps));
        for (((old, new), &range), (old_wraps, wraps)) in domains {
            let (Some(old), Some(new)) = (*old, *new) else {
                (whole, wrong) = (false, true);
                continue;
            };
            let fell = u64::from(new < old);
            let wrapped = wraps.saturating_sub(*old_wraps);
            self.falls += fell.min(wrapped);
            wrong |= if self.rule == Rule::AddOneRange { wrapped != fell } else { wrapped > 0 };
            match self.rule.energy(old, new, range) {
                Some(more) => energy = energy.saturating_add(more),
                None => whole = false,
            }
        }
        let energy = (whole || energy > 0).then_some(energy);
        self.intervals.push(Interval { from, to: at, energy, wrong });
    }

    /// How many intervals have an energy that is not what was used.
    pub(crate) fn wrong(&self) -> usize {
        self.intervals.iter().filter(|interval| interval.wrong).count()
    }

    /// Power of each interval that has an energy.
    pub(crate) fn power(&self) -> Vec<Stretch> {
        let stretch = |interval: &Interval| {
            let (from, to) = (interval.from, interval.to);
            let watts = Microjoules::new(interval.energy?).over(to.saturating_sub(from))?;
            Some(Stretch { from, to, watts: watts.as_watts() })
        };
        self.intervals.iter().filter_map(stretch).collect()
    }

    /// The sum of all intervals in µJ.
    pub(crate) fn total(&self) -> u64 {
        self.intervals.iter().filter_map(|interval| interval.energy).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Range 100, true readings 90, 110 (shows 10), 350 (shows 50 after two more wraps).
    #[test]
    fn each_rule_loses_what_its_makers_say_it_does_not() {
        for (rule, energies, wrong) in [
            (Rule::ResetToZero, [Some(10), Some(40)], 2),
            (Rule::DropNegative, [None, Some(40)], 2),
            (Rule::AddOneRange, [Some(20), Some(40)], 1),
        ] {
            let mut scraper = Scraper::new(rule, &[100]);
            for (at, reading, wraps) in [(0, 90, 0), (15, 10, 1), (30, 50, 3)] {
                scraper.look(Duration::from_secs(at), &[Some(reading)], &[wraps]);
            }
            let found: Vec<_> = scraper.intervals.iter().map(|i| i.energy).collect();
            assert_eq!((found.as_slice(), scraper.wrong()), (&energies[..], wrong), "{rule:?}");
            assert_eq!(scraper.falls, 1);
        }
    }
}
