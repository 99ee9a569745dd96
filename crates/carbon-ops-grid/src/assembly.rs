//! Puts the rows of one or more answers together to one series.
//!
//! Answers may overlap: of two rows for one slot, what was known goes before a forecast, then what was
//! updated last before the rest, then what came in a later answer. Two different values in one answer that nothing
//! tells apart are no value: neither is taken, and the gap says why. A row without a value is a gap with a reason; a
//! row of zero is a value.
//!
//! Out of scope: how rows are written, which is each provider's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use carbon_ops_units::GramsCo2ePerKilowattHour;
use jiff::Timestamp;

use crate::provider::Error;
use carbon_ops_estimate::intensity::{
    ASKED_MAX, AnySeries, Gap, GapReason, Impossible, Intensity, Interval, Meta, SLOTS_MAX, Series,
    Slot, Timeliness,
};
use carbon_ops_estimate::intensity::{Kind, Signal};

/// Rows on their way to become a series.
#[derive(Debug)]
pub(crate) struct Assembly {
    provider: &'static str,
    interval: Interval,
    rows: BTreeMap<Timestamp, Row>,
}

#[derive(Debug)]
struct Row {
    interval: Interval,
    value: Option<GramsCo2ePerKilowattHour>,
    updated_at: Option<Timestamp>,
    meta: Arc<Meta>,
    /// Whether the same answer has another value for the slot.
    contradicted: bool,
}

impl Row {
    /// Of two rows for one slot the higher counts.
    fn rank(&self) -> (bool, bool, Option<Timestamp>) {
        (self.value.is_some(), self.meta.timeliness == Timeliness::Actual, self.updated_at)
    }

    /// Whether one answer has both for one slot, with different values and nothing to choose by.
    fn contradicts(&self, other: &Self) -> bool {
        self.rank() == other.rank()
            && self.meta.raw_digest == other.meta.raw_digest
            && self.value != other.value
    }
}

impl Assembly {
    pub(crate) fn new(provider: &'static str, interval: Interval) -> Self {
        Self { provider, interval, rows: BTreeMap::new() }
    }

    /// The same for a provider that is asked over a network.
    ///
    /// # Errors
    /// When the interval would take thousands of requests.
    pub(crate) fn of_requests(provider: &'static str, interval: Interval) -> Result<Self, Error> {
        if interval.as_seconds() > ASKED_MAX.as_secs_f64() {
            return Err(Error::Impossible { provider, source: Impossible::TooLong(interval) });
        }
        Ok(Self::new(provider, interval))
    }

    /// Adds a row. One that does not overlap the interval is not wanted and left out.
    ///
    /// # Errors
    /// A value that no intensity can have, or too many rows.
    pub(crate) fn add(
        &mut self,
        interval: Interval,
        g_per_kwh: Option<f64>,
        updated_at: Option<Timestamp>,
        meta: &Arc<Meta>,
    ) -> Result<(), Error> {
        if interval.intersection(&self.interval).is_none() {
            return Ok(());
        }
        let value = g_per_kwh.map(GramsCo2ePerKilowattHour::new).transpose();
        let value = value.map_err(|error| {
            let at = interval.start();
            Error::Malformed { provider: self.provider, what: format!("at {at}: {error}") }
        })?;
        if self.rows.len() >= SLOTS_MAX {
            let what = format!("more than {SLOTS_MAX} rows");
            return Err(Error::Malformed { provider: self.provider, what });
        }
        let row = Row { interval, value, updated_at, meta: Arc::clone(meta), contradicted: false };
        match self.rows.get_mut(&interval.start()) {
            Some(old) if old.rank() > row.rank() => {}
            Some(old) if old.contradicts(&row) => old.contradicted = true,
            _ => {
                self.rows.insert(interval.start(), row);
            }
        }
        Ok(())
    }

    /// The series, of the type that the signal's kind demands.
    ///
    /// # Errors
    /// Rows that overlap without being the same slot.
    pub(crate) fn finish(self, kind: Kind) -> Result<AnySeries, Error> {
        let provider = self.provider;
        let series = match kind {
            Kind::Marginal => self.typed().map(AnySeries::Marginal),
            Kind::Average | Kind::Residual => self.typed().map(AnySeries::Inventory),
        };
        series.map_err(|source| Error::Impossible { provider, source })
    }

    fn typed<I: Intensity>(self) -> Result<Series<I>, Impossible> {
        let (mut slots, mut gaps) = (Vec::with_capacity(self.rows.len()), Vec::new());
        for row in self.rows.into_values() {
            match row.value {
                Some(_) if row.contradicted => {
                    gaps.push(Gap { interval: row.interval, reason: GapReason::Contradictory });
                }
                Some(value) => slots.push(Slot {
                    interval: row.interval,
                    intensity: I::of(value),
                    updated_at: row.updated_at,
                    meta: row.meta,
                }),
                None => gaps.push(Gap { interval: row.interval, reason: GapReason::Null }),
            }
        }
        Series::with_gaps(self.interval, slots, &gaps, GapReason::Missing)
    }
}

/// What a provider was asked for, in its own words.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) zone: &'a str,
    pub(crate) signal: Signal,
}

/// The sources of one answer: slots that came to be in the same way share one.
#[derive(Debug)]
pub(crate) struct Metas {
    of_answer: Meta,
    made: Vec<Arc<Meta>>,
}

impl Metas {
    /// `of_answer` holds what all slots of the answer have in common.
    pub(crate) fn new(of_answer: Meta) -> Self {
        Self { of_answer, made: Vec::new() }
    }

    /// The source with something changed.
    pub(crate) fn with(&mut self, change: impl FnOnce(&mut Meta)) -> Arc<Meta> {
        let mut meta = self.of_answer.clone();
        change(&mut meta);
        if let Some(same) = self.made.iter().find(|made| ***made == meta) {
            return Arc::clone(same);
        }
        let made = Arc::new(meta);
        self.made.push(Arc::clone(&made));
        made
    }
}

/// Cuts an interval into pieces of at most `longest`, from its start.
pub(crate) fn chunks(interval: Interval, longest: std::time::Duration) -> Vec<Interval> {
    let mut chunks = Vec::new();
    let mut at = interval.start();
    while at < interval.end() {
        let end = at.checked_add(longest).unwrap_or(interval.end()).min(interval.end());
        match Interval::new(at, end) {
            Ok(chunk) => chunks.push(chunk),
            Err(_) => break,
        }
        at = end;
    }
    chunks
}

/// The interval, widened to full multiples of `step` seconds since 1970.
pub(crate) fn aligned(interval: Interval, step: i64) -> Interval {
    let floor = |second: i64| second.div_euclid(step) * step;
    let start = Timestamp::from_second(floor(interval.start().as_second()));
    let last = interval.end().as_nanosecond() - 1;
    let last = i64::try_from(last.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let end = Timestamp::from_second(floor(last).saturating_add(step));
    match (start, end) {
        (Ok(start), Ok(end)) => Interval::new(start, end).unwrap_or(interval),
        _ => interval,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hour(n: i64) -> Interval {
        let start = Timestamp::from_second(n * 3600).unwrap();
        Interval::new(start, Timestamp::from_second((n + 1) * 3600).unwrap()).unwrap()
    }

    #[test]
    fn of_two_rows_the_newer_counts_whatever_their_order() {
        let meta = Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let (old, new) = (Some(at("2026-01-01T00:00Z")), Some(at("2026-01-02T00:00Z")));
        for order in [[(1.0, old), (2.0, new)], [(2.0, new), (1.0, old)]] {
            let mut assembly = Assembly::new("t", hour(0));
            for (value, updated) in order {
                assembly.add(hour(0), Some(value), updated, &meta).unwrap();
            }
            let series = assembly.finish(Kind::Average).unwrap();
            let series = series.inventory().unwrap();
            assert_eq!(series.slots().len(), 1);
            assert!((series.slots()[0].as_grams_per_kilowatt_hour() - 2.0).abs() < 1e-12);
        }
    }

    /// The rule: of two values for one slot, never the last one silently.
    #[test]
    fn two_values_of_one_answer_are_none_and_a_repeated_one_is_one() {
        let meta = Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let updated = Some(at("2026-01-02T00:00Z"));
        let of = |rows: &[(f64, Option<Timestamp>)]| {
            let mut assembly = Assembly::new("t", hour(0));
            for (value, updated) in rows {
                assembly.add(hour(0), Some(*value), *updated, &meta).unwrap();
            }
            let series = assembly.finish(Kind::Average).unwrap().inventory().unwrap().clone();
            let values: Vec<_> =
                series.slots().iter().map(Slot::as_grams_per_kilowatt_hour).collect();
            (values, series.gaps().first().map(|gap| gap.reason))
        };
        let contradictory = (vec![], Some(GapReason::Contradictory));
        assert_eq!(of(&[(1.0, None), (2.0, None)]), contradictory);
        assert_eq!(of(&[(1.0, None), (2.0, None), (2.0, None)]), contradictory);
        assert_eq!(of(&[(2.0, None), (2.0, None)]), (vec![2.0], None));
        assert_eq!(of(&[(1.0, None), (2.0, None), (3.0, updated)]), (vec![3.0], None));
        assert_eq!(of(&[(3.0, updated), (1.0, None), (2.0, None)]), (vec![3.0], None));
    }

    #[test]
    fn impossible_values_are_refused_and_rows_elsewhere_left_out() {
        let meta = Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let mut assembly = Assembly::new("t", hour(0));
        assert!(assembly.add(hour(0), Some(-1.0), None, &meta).is_err());
        assert!(assembly.add(hour(0), Some(f64::NAN), None, &meta).is_err());
        assembly.add(hour(5), Some(-1.0), None, &meta).unwrap();
        assembly.add(hour(0), None, None, &meta).unwrap();
        let series = assembly.finish(Kind::Average).unwrap();
        assert_eq!(series.gaps(), [Gap { interval: hour(0), reason: GapReason::Null }]);
    }

    #[test]
    fn chunks_touch_and_cover() {
        let day = Duration::from_secs(86_400);
        let span = Interval::parse("2028-02-28T06:00Z", "2028-03-01T06:00Z").unwrap();
        let cut = chunks(span, day);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[0].end(), cut[1].start());
        assert_eq!(cut[1].end(), span.end());
    }

    #[test]
    fn alignment_only_widens() {
        let span = Interval::parse("2026-03-01T09:07:30Z", "2026-03-01T10:00:00Z").unwrap();
        let wide = Interval::parse("2026-03-01T09:00Z", "2026-03-01T10:00Z").unwrap();
        assert_eq!(aligned(span, 3600), wide);
        assert_eq!(aligned(wide, 3600), wide);
    }
}
