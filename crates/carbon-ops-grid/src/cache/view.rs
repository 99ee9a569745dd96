//! What the cache knows of an interval: the newest rows of the months that it touches, and the times of
//! which nothing fresh, or nothing at all, is known.
//!
//! Rows are of whole seconds, and are compared as such: a year of quarter hours is looked through in less
//! time than it takes to read.
//!
//! Out of scope: asking for what is missing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use carbon_ops_units::GramsCo2ePerKilowattHour;
use jiff::Timestamp;

use super::shard::{Packed, Shard, Value};
use crate::provider::Settling;
use carbon_ops_estimate::intensity::{
    Gap, GapReason, Impossible, Intensity, Interval, Series, Slot, UncertaintyClass,
};

/// What is known of an interval.
pub(super) struct View<I> {
    interval: Interval,
    /// The newest value of each slot, in order of time.
    slots: Vec<Slot<I>>,
    /// Times that are known to have no value, likewise.
    gaps: Vec<Gap>,
    /// Times of which nothing fresh is known: these are asked for.
    pub(super) holes: Vec<Interval>,
    /// Times of which nothing at all is known.
    pub(super) unknown: Vec<Interval>,
    /// Age of the oldest value that may still change.
    pub(super) age_max: Duration,
}

/// How long what is known stays fresh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) now: Timestamp,
    pub(super) ttl: Duration,
    pub(super) settling: Settling,
}

impl<I: Intensity> View<I> {
    /// Of months in order of time. Each is done with before the next is read.
    pub(super) fn of(
        months: impl Iterator<Item = Arc<Shard>>,
        interval: Interval,
        lifetimes: Lifetimes,
    ) -> Self {
        let (mut slots, mut gaps, mut age_max) = (Vec::new(), Vec::new(), Duration::ZERO);
        let (mut fresh, mut known) = (Times::default(), Times::default());
        let asked = whole_seconds(interval);
        for shard in months {
            slots.reserve(shard.len());
            for row in shard.newest() {
                let (start, end) = (row.start(), row.end());
                if end <= asked.start || asked.end <= start {
                    continue;
                }
                let Some((when, value)) = shard.value(row) else { continue };
                known.add(start, end);
                if let Some(age) = lifetimes.age(row, value) {
                    fresh.add(start, end);
                    age_max = age_max.max(age);
                }
                match value {
                    Value::Slot { g_per_kwh, updated_at, meta } => {
                        // Checked when it was read.
                        let Ok(value) = GramsCo2ePerKilowattHour::new(g_per_kwh) else { continue };
                        let (intensity, meta) = (I::of(value), Arc::clone(meta));
                        slots.push(Slot { interval: when, intensity, updated_at, meta });
                    }
                    Value::Gap(reason) => gaps.push(Gap { interval: when, reason }),
                }
            }
        }
        let (holes, unknown) = (fresh.missing_from(interval), known.missing_from(interval));
        Self { interval, slots, gaps, holes, unknown, age_max }
    }

    /// What is known as a series; times of which nothing is known are gaps for the reason `otherwise`.
    ///
    /// # Errors
    /// Rows of a signal of another kind, or that overlap.
    pub(super) fn series(self, otherwise: GapReason) -> Result<Series<I>, Impossible> {
        Series::with_gaps(self.interval, self.slots, &self.gaps, otherwise)
    }
}

/// The whole seconds that an interval touches, since 1970.
fn whole_seconds(interval: Interval) -> Range<i64> {
    let (start, end) = (interval.start(), interval.end());
    // `as_second` cuts the fraction off, whose sign is that of the whole.
    let before = i64::from(start.subsec_nanosecond() < 0);
    let after = i64::from(end.subsec_nanosecond() > 0);
    start.as_second() - before..end.as_second() + after
}

/// Times in whole seconds since 1970; those that touch are one.
#[derive(Debug, Default)]
struct Times(Vec<(i64, i64)>);

impl Times {
    /// Starts only grow.
    fn add(&mut self, start: i64, end: i64) {
        match self.0.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => self.0.push((start, end)),
        }
    }

    fn missing_from(&self, interval: Interval) -> Vec<Interval> {
        let mut missing = Vec::new();
        let mut at = interval.start();
        let mut hole = |from: Timestamp, to: Timestamp| missing.extend(Interval::new(from, to));
        let second = |second| Timestamp::from_second(second).ok();
        for (start, end) in &self.0 {
            let Some((start, end)) = second(*start).zip(second(*end)) else { continue };
            hole(at, start.min(interval.end()));
            at = at.max(end);
        }
        hole(at, interval.end());
        missing
    }
}

impl Lifetimes {
    /// How old what may still change is, and 0 of what will not; `None` of what is to be asked again.
    fn age(&self, row: &Packed, value: Value<'_>) -> Option<Duration> {
        let settles = match value {
            Value::Slot { meta, .. } if !is_provisional(meta.uncertainty) => self.settling.actual,
            _ => self.settling.provisional,
        };
        let waited = u64::try_from(row.checked().saturating_sub(row.end()));
        if waited.is_ok_and(|waited| Duration::from_secs(waited) >= settles) {
            return Some(Duration::ZERO);
        }
        // A clock that was set back makes nothing fresh.
        let age = self.now.duration_since(Timestamp::from_second(row.checked()).ok()?);
        Duration::try_from(age).ok().filter(|age| *age < self.ttl)
    }
}

fn is_provisional(class: UncertaintyClass) -> bool {
    matches!(class, UncertaintyClass::Estimated | UncertaintyClass::Forecast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: &str, end: &str) -> Interval {
        Interval::parse(start, end).unwrap()
    }

    #[test]
    fn what_is_missing_is_what_no_time_covers() {
        let mut times = Times::default();
        // 1970-01-01, seconds 10 to 30 in two, and 40 to 100 with one inside of it.
        for (start, end) in [(10, 20), (20, 30), (40, 100), (50, 60)] {
            times.add(start, end);
        }
        let missing = times
            .missing_from(interval("1970-01-01T00:00:05.5Z", "1970-01-01T00:01:50Z"))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        assert_eq!(
            missing,
            [
                "1970-01-01T00:00:05.5Z/1970-01-01T00:00:10Z",
                "1970-01-01T00:00:30Z/1970-01-01T00:00:40Z",
                "1970-01-01T00:01:40Z/1970-01-01T00:01:50Z"
            ]
        );
        let inside = interval("1970-01-01T00:00:12Z", "1970-01-01T00:00:30Z");
        assert!(times.missing_from(inside).is_empty());
        assert_eq!(Times::default().missing_from(inside), [inside]);
    }

    #[test]
    fn seconds_that_are_touched_in_part_count_on_both_sides_of_1970() {
        for (start, end, expected) in [
            ("1970-01-01T00:00:01.5Z", "1970-01-01T00:00:02.5Z", 1..3),
            ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", 1..2),
            ("1969-12-31T23:59:57.5Z", "1969-12-31T23:59:58.5Z", -3..-1),
            ("1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00.5Z", -1..1),
        ] {
            assert_eq!(whole_seconds(interval(start, end)), expected, "{start}");
        }
    }
}
