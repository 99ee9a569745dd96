//! A series as plain numbers, whichever type it is of, for reports and pictures; and a sparkline.
//!
//! Out of scope: anything that a number could be priced with.

use std::sync::Arc;

use carbon_ops_estimate::intensity::{AnySeries, Intensity, Interval, Kind, Meta, Series};
use carbon_ops_estimate::span::{noise_cv, shared_cv};
use carbon_ops_estimate::uncertainty::Distribution;
use jiff::Timestamp;

use crate::Found;
use crate::table::Row;

/// Most characters of a sparkline.
const WIDTH: usize = 72;

/// Eighths of a block (Unicode 16: Block Elements).
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A value and when it holds.
#[derive(Debug, Clone)]
pub struct Point {
    /// Of the slot, which may reach beyond what was asked for.
    pub slot: Interval,
    /// The part of it that was asked for.
    pub shown: Interval,
    /// In g/kWh.
    pub g_per_kwh: f64,
    /// When the source last changed it, where it says so.
    pub updated_at: Option<Timestamp>,
    /// Where it is from.
    pub meta: Arc<Meta>,
}

impl Point {
    /// The ends of the 95 % interval of its value, in g/kWh; `None` where nobody knows how far it may be off.
    pub fn ends(&self) -> Option<(f64, f64)> {
        let of = match (Row::of(&self.meta), cv(&self.meta)?) {
            (Some(row), _) => row.whole(self.shown),
            // Nothing is known to scatter around a 0.
            (None, cv) if self.g_per_kwh > 0.0 => {
                Distribution::Lognormal { mean: self.g_per_kwh, cv }
            }
            _ => Distribution::Point { mean: self.g_per_kwh },
        };
        Some((of.quantile(0.025), of.quantile(0.975)))
    }
}

/// How far a value of a source may be off: what all of its hours share, and what each has of its own. Of a marginal rate
/// nobody has measured it: what it answers was never observed.
pub fn cv(source: &Meta) -> Option<f64> {
    let is_observed = source.signal.kind != Kind::Marginal;
    is_observed.then(|| shared_cv(source.uncertainty).hypot(noise_cv(source.uncertainty)))
}

/// All values of a series.
#[derive(Debug, Clone)]
pub struct Line {
    /// In order of time.
    pub slots: Vec<Point>,
    /// What was asked for.
    pub interval: Interval,
    /// The part of it that has values, 0 to 1.
    pub coverage: f64,
}

/// Figures of some values in g/kWh, weighted by time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Line {
    /// Of what was found.
    pub fn of(found: &Found) -> Self {
        let slots = match &found.series {
            AnySeries::Inventory(series) => points(series),
            AnySeries::Marginal(series) => points(series),
        };
        let (interval, coverage) = (found.series.interval(), found.series.coverage());
        Self { slots, interval, coverage }
    }

    /// Of all values; nothing without any.
    pub fn figures(&self) -> Option<Figures> {
        figures(&self.slots)
    }

    /// The time-weighted mean in each of up to 72 equal parts of the interval; blank where nothing is known.
    pub fn spark(&self) -> String {
        let Some(Figures { low, high, .. }) = self.figures() else { return String::new() };
        let seconds = self.interval.as_seconds();
        let shortest = self.slots.iter().map(|slot| slot.slot.as_seconds()).fold(seconds, f64::min);
        let parts = count(seconds / shortest.max(1.0)).clamp(1, WIDTH);
        let (start, length) = (self.interval.start().as_nanosecond(), self.interval.as_nanos());
        let bound = |n: usize| {
            let at = start + length * n as i128 / parts as i128;
            Timestamp::from_nanosecond(at).unwrap_or(self.interval.end())
        };
        let parts = (0..parts).filter_map(|n| Interval::new(bound(n), bound(n + 1)).ok());
        let means = parts.map(|part| self.mean_in(part));
        let text = means.map(|mean| mean.map_or(' ', |mean| block(mean, low, high)));
        text.collect::<String>().trim_end().to_owned()
    }

    fn mean_in(&self, part: Interval) -> Option<f64> {
        let first = self.slots.partition_point(|slot| slot.shown.end() <= part.start());
        let within: Vec<Point> = self
            .slots
            .iter()
            .skip(first)
            .map_while(|slot| {
                let shown = slot.shown.intersection(&part)?;
                Some(Point { shown, ..slot.clone() })
            })
            .collect();
        figures(&within).map(|figures| figures.mean)
    }

    /// The sources of values, in order of their first, each with how many it gave.
    pub fn sources(&self) -> Vec<(&Meta, usize)> {
        let mut sources: Vec<(&Meta, usize)> = Vec::new();
        for slot in &self.slots {
            match sources.iter_mut().find(|(known, _)| is_same(known, &slot.meta)) {
                Some((_, count)) => *count += 1,
                None => sources.push((&slot.meta, 1)),
            }
        }
        sources
    }
}

/// Whether two sources are one for a reader, who does not care which single answer it was.
fn is_same(a: &Meta, b: &Meta) -> bool {
    (&a.zone_returned, a.signal, a.timeliness, a.uncertainty)
        == (&b.zone_returned, b.signal, b.timeliness, b.uncertainty)
        && (&a.estimation_method, &a.warning, &a.model_version)
            == (&b.estimation_method, &b.warning, &b.model_version)
        && (&a.licence, &a.attribution) == (&b.licence, &b.attribution)
}

fn points<I: Intensity>(series: &Series<I>) -> Vec<Point> {
    let shown = series.slots().iter().filter_map(|slot| {
        Some(Point {
            slot: slot.interval,
            shown: slot.interval.intersection(&series.interval())?,
            g_per_kwh: slot.as_grams_per_kilowatt_hour(),
            updated_at: slot.updated_at,
            meta: Arc::clone(&slot.meta),
        })
    });
    shown.collect()
}

/// Figures of values that are there.
pub fn figures(slots: &[Point]) -> Option<Figures> {
    let weight: f64 = slots.iter().map(|slot| slot.shown.as_seconds()).sum();
    let sum: f64 = slots.iter().map(|slot| slot.shown.as_seconds() * slot.g_per_kwh).sum();
    let values = || slots.iter().map(|slot| slot.g_per_kwh);
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    Some(Figures { mean: sum / weight, low, high })
}

fn block(value: f64, low: f64, high: f64) -> char {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    BLOCKS.get(count(share * 8.0).min(7)).copied().unwrap_or('█')
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number that is not negative; a cast saturates"
)]
fn count(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use carbon_ops_estimate::intensity::Signal;

    use super::*;

    fn line(values: &[(i64, f64)], hours: i64) -> Line {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let meta = Arc::new(Meta::new("t", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let slots = values.iter().map(|(hour, g_per_kwh)| {
            let slot = Interval::new(at(*hour), at(hour + 1)).unwrap();
            Point {
                slot,
                shown: slot,
                g_per_kwh: *g_per_kwh,
                updated_at: None,
                meta: Arc::clone(&meta),
            }
        });
        let interval = Interval::new(at(0), at(hours)).unwrap();
        Line { slots: slots.collect(), interval, coverage: 1.0 }
    }

    #[test]
    fn a_sparkline_spans_low_to_high_and_leaves_gaps_blank() {
        let values = [(0, 0.0), (1, 50.0), (2, 100.0), (4, 100.0)];
        assert_eq!(line(&values, 5).spark(), "▁▅█ █");
        // 100 hours in 72 characters.
        let many: Vec<(i64, f64)> = (0..100).map(|n| (n, 7.0)).collect();
        assert_eq!(line(&many, 100).spark(), "▅".repeat(72));
        assert_eq!(line(&[], 5).spark(), "");
    }

    #[test]
    fn a_value_has_the_ends_of_its_class() {
        // Metered: 15 % of the source and 5 % of the hour, as a lognormal.
        let (low, high) = line(&[(0, 100.0)], 1).slots[0].ends().unwrap();
        let sigma = (0.15_f64 * 0.15 + 0.05 * 0.05).ln_1p().sqrt();
        assert!((high / low / (2.0 * 1.959_964 * sigma).exp() - 1.0).abs() < 1e-6, "{low} {high}");
        assert!((low * high).sqrt() < 100.0 && low < 100.0 && high > 100.0);
        assert_eq!(line(&[(0, 0.0)], 1).slots[0].ends(), Some((0.0, 0.0)));
        let mut marginal = Meta::new("watttime", "X", Signal::AVERAGE_LIFECYCLE_PRODUCTION);
        marginal.signal.kind = Kind::Marginal;
        assert_eq!(cv(&marginal), None);
    }

    #[test]
    fn figures_are_weighted_by_time() {
        let mut two = line(&[(0, 100.0), (1, 400.0)], 2);
        two.slots[1].shown = Interval::parse("1970-01-01T01:00Z", "1970-01-01T01:30Z").unwrap();
        let figures = two.figures().unwrap();
        // (60 · 100 + 30 · 400) / 90.
        assert!((figures.mean - 200.0).abs() < 1e-9);
    }
}
