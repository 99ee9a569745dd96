//! What the cache knows of an interval: the newest rows of the months that it touches, and the times of
//! which nothing fresh, or nothing at all, is known.
//!
//! Rows are of whole seconds, and are compared as such: a year of quarter hours is looked through in less
//! time than it takes to read.
//!
//! Deliberately absent: asking for what is missing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use carbon_ops_units::GramsCo2ePerKilowattHour;
use jiff::Timestamp;

use super::shard::{Packed, Shard, Value};
use crate::intensity::provider::Settling;
use crate::intensity::signal::Kind;
use crate::intensity::slot::{
    AnySeries, Gap, GapReason, Impossible, Intensity, Interval, Series, Slot,
};

/// What is known of an interval.
pub(super) struct View {
    shards: Vec<Arc<Shard>>,
    /// The newest row of each slot, in order of time: shards by their place, and rows that follow one
    /// another there.
    newest: Vec<(usize, Range<usize>)>,
    /// Times of which nothing fresh is known: these are asked for.
    pub(super) holes: Vec<Interval>,
    /// Times of which nothing at all is known.
    pub(super) unknown: Vec<Interval>,
    /// Age of the oldest value that may still change.
    pub(super) age_max: Duration,
}

impl View {
    pub(super) fn of(
        shards: Vec<Arc<Shard>>,
        interval: Interval,
        now: Timestamp,
        ttl: Duration,
        settling: Settling,
    ) -> Self {
        let (mut newest, mut age_max) = (Vec::<(usize, Range<usize>)>::new(), Duration::ZERO);
        let (mut fresh, mut known) = (Times::default(), Times::default());
        let asked = whole_seconds(interval);
        for (place, shard) in shards.iter().enumerate() {
            for (number, row) in shard.newest() {
                let (start, end) = (row.start(), row.end());
                if end <= asked.start || asked.end <= start {
                    continue;
                }
                match newest.last_mut() {
                    Some((last, rows)) if *last == place && rows.end == number => rows.end += 1,
                    _ => newest.push((place, number..number + 1)),
                }
                known.add(start, end);
                let provisional = shard.is_provisional(row);
                let settles = if provisional { settling.provisional } else { settling.actual };
                match freshness(row, now, ttl, settles) {
                    Freshness::Settled => fresh.add(start, end),
                    Freshness::Changing(age) => {
                        fresh.add(start, end);
                        age_max = age_max.max(age);
                    }
                    Freshness::Stale => {}
                }
            }
        }
        let (holes, unknown) = (fresh.missing_from(interval), known.missing_from(interval));
        Self { shards, newest, holes, unknown, age_max }
    }

    /// What is known as a series; times of which nothing is known are gaps for the reason `otherwise`.
    ///
    /// # Errors
    /// Rows of a signal of another kind, or that overlap.
    pub(super) fn series(
        &self,
        interval: Interval,
        kind: Kind,
        otherwise: GapReason,
    ) -> Result<AnySeries, Impossible> {
        match kind {
            Kind::Marginal => self.typed(interval, otherwise).map(AnySeries::Marginal),
            Kind::Average | Kind::Residual => {
                self.typed(interval, otherwise).map(AnySeries::Inventory)
            }
        }
    }

    fn typed<I: Intensity>(
        &self,
        interval: Interval,
        otherwise: GapReason,
    ) -> Result<Series<I>, Impossible> {
        let count = self.newest.iter().map(|(_, rows)| rows.len()).sum();
        let (mut slots, mut gaps) = (Vec::with_capacity(count), Vec::new());
        for (place, numbers) in &self.newest {
            let Some(shard) = self.shards.get(*place) else { continue };
            for (when, value) in shard.values(numbers.clone()) {
                match value {
                    Value::Slot { g_per_kwh, updated_at, meta } => {
                        // Checked when it was read.
                        let Ok(value) = GramsCo2ePerKilowattHour::new(g_per_kwh) else { continue };
                        slots.push(Slot {
                            interval: when,
                            intensity: I::of(value),
                            updated_at,
                            meta: Arc::clone(meta),
                        });
                    }
                    Value::Gap(reason) => gaps.push(Gap { interval: when, reason }),
                }
            }
        }
        Series::with_gaps(interval, slots, &gaps, otherwise)
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

enum Freshness {
    /// Will not change.
    Settled,
    /// May change; so old.
    Changing(Duration),
    /// To be asked again.
    Stale,
}

fn freshness(row: &Packed, now: Timestamp, ttl: Duration, settles: Duration) -> Freshness {
    let waited = u64::try_from(row.checked().saturating_sub(row.end()));
    if waited.is_ok_and(|waited| Duration::from_secs(waited) >= settles) {
        return Freshness::Settled;
    }
    // A clock that was set back makes nothing fresh.
    let age = Timestamp::from_second(row.checked()).map(|checked| now.duration_since(checked));
    match age.ok().and_then(|age| Duration::try_from(age).ok()) {
        Some(age) if age < ttl => Freshness::Changing(age),
        _ => Freshness::Stale,
    }
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
