//! Spans: energy over a time, priced by what a kilowatt hour emitted in each part of that time.
//!
//! The price is an overlap integral, `Σ eᵢ · Iᵢ / Σ eᵢ`, where `eᵢ` is the energy of the span within
//! the `i`-th slot. Slots are aligned to the clock in UTC and have any length; a span begins and ends
//! where it likes. Energy is a total, spread evenly, or a series of parts as it was measured, each
//! spread evenly: then load and intensity are priced together, second by second if need be.
//!
//! ```
//! use carbon_ops_estimate::intensity::{Interval, UncertaintyClass::Metered};
//! use carbon_ops_estimate::span::{Load, Missing, Rate, Tariff};
//!
//! // 1 kW from 00:20 to 00:50 UTC, and two half hours of the GB grid: 10 min at 263, 20 min at 300.
//! let tariff = Tariff::new(&[
//!     Rate::new(Interval::parse("2026-03-01T00:00Z", "2026-03-01T00:30Z")?, 263.0, Metered),
//!     Rate::new(Interval::parse("2026-03-01T00:30Z", "2026-03-01T01:00Z")?, 300.0, Metered),
//! ])?;
//! let span = Interval::parse("2026-03-01T00:20Z", "2026-03-01T00:50Z")?;
//! let priced = tariff.price(span, &Load::Even(0.5), Missing::Step)?;
//! assert!((priced.grams() - 143.833_333).abs() < 1e-6); // (263·10 + 300·20)/60 g
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where there is no slot
//!
//! The total never shrinks: energy in a time without a slot is priced, too, and a [`Missing`] policy
//! says with which value. Whatever the policy, that value is unknown, and the uncertainty of it
//! ([`Priced::filled_cv`]) enters as an input of its own, so that the interval grows as the coverage
//! falls.
//!
//! # What is shared
//!
//! The error of a source's factors is one error over all its slots ([`Priced::sources`]); that of single
//! values ([`Priced::noise_cv`]) is one error per clock hour, independent from hour to hour. Because
//! hours and not slots carry it, splitting a slot in two, or taking other buckets, changes nothing.
//!
//! Out of scope: where slots come from, PUE and the uncertainty of energy, and the distribution
//! of the result.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::intensity::{Interval, InventoryIntensity, Meta, Slot};

mod cut;
mod pieces;
mod sum;
mod terms;
mod totals;

use cut::Cut;
use sum::Sum;
pub use terms::{
    Error, FILLED_CV_MIN, Filled, HourNoise, Load, Missing, NOISE_HOURS_MAX, Part, Priced, Rate,
    SourceShare, YEARLY_CV, noise_cv, shared_cv,
};
use terms::{Span, Step, ratio, time};

/// Most buckets of a report: minutes of a leap year.
const BUCKETS_MAX: usize = 366 * 1440;

/// Rates in order of time, ready to price any number of spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tariff {
    rates: Vec<Step>,
    sources: Vec<Keys>,
}

/// The keys of a source's errors.
#[derive(Debug, Clone, PartialEq)]
struct Keys {
    shared: String,
    zone: String,
}

impl Tariff {
    /// Rates may come in any order; the best is that of time. Values are rounded to the nine digits
    /// that records keep of them, so that a record's own slots price its span.
    ///
    /// # Errors
    /// Rates that overlap, are shorter than a microsecond, or have an impossible value.
    pub fn new(rates: &[Rate]) -> Result<Self, Error> {
        Self::of_steps(rates.iter().map(Step::of).collect::<Result<_, Error>>()?, Vec::new())
    }

    fn of_steps(mut rates: Vec<Step>, sources: Vec<Keys>) -> Result<Self, Error> {
        if !rates.is_sorted_by_key(|rate| rate.span) {
            rates.sort_by_key(|rate| rate.span);
        }
        for pair in rates.windows(2) {
            if let [first, second] = pair
                && first.span.end_us > second.span.start_us
            {
                return Err(Error::Slots { at: second.span.start() });
            }
        }
        Ok(Self { rates, sources })
    }

    /// Of slots with their provenance. Only what may enter an inventory figure has a price.
    ///
    /// # Errors
    /// As [`Tariff::new`].
    pub fn of(slots: &[Slot<InventoryIntensity>]) -> Result<Self, Error> {
        let mut metas: HashMap<*const Meta, u32> = HashMap::new();
        let mut sources: Vec<Keys> = Vec::new();
        let mut rates = Vec::with_capacity(slots.len());
        // Nearly always that of the slot before, or the one before that.
        let mut last: [Option<(&Arc<Meta>, u32)>; 2] = [None; 2];
        for slot in slots {
            let meta = &slot.meta;
            let same = |known: &&(&Arc<Meta>, u32)| Arc::ptr_eq(known.0, meta);
            let source = match last.iter().flatten().find(same) {
                Some((_, source)) => *source,
                None => *metas.entry(Arc::as_ptr(meta)).or_insert_with(|| {
                    let keys = Keys { shared: meta.shared_key(), zone: meta.zone_key() };
                    let index = sources.iter().position(|known| known.shared == keys.shared);
                    let index = index.unwrap_or_else(|| {
                        sources.push(keys);
                        sources.len() - 1
                    });
                    u32::try_from(index).unwrap_or(u32::MAX)
                }),
            };
            if !last[0].is_some_and(|(first, _)| Arc::ptr_eq(first, meta)) {
                last = [Some((meta, source)), last[0]];
            }
            let value = slot.as_grams_per_kilowatt_hour();
            let rate = Rate { source, ..Rate::new(slot.interval, value, meta.uncertainty) };
            rates.push(Step::of(&rate)?);
        }
        Self::of_steps(rates, sources)
    }

    /// The key of a source's shared error, where the tariff was made of slots.
    pub fn shared_key(&self, source: u32) -> Option<&str> {
        self.keys(source).map(|keys| keys.shared.as_str())
    }

    /// The key of its zone, of which each hour has an error of its own.
    pub fn zone_key(&self, source: u32) -> Option<&str> {
        self.keys(source).map(|keys| keys.zone.as_str())
    }

    fn keys(&self, source: u32) -> Option<&Keys> {
        self.sources.get(usize::try_from(source).ok()?)
    }

    /// Prices a span.
    ///
    /// # Errors
    /// Energy that does not fill the span, or is impossible; no slot at all.
    pub fn price(&self, span: Interval, load: &Load, missing: Missing) -> Result<Priced, Error> {
        let span = Span::of(span)?;
        let cut = Cut::of(span, load, self.meeting(span), missing)?;
        Ok(cut.priced())
    }

    /// The rates that have a time in common with a span. No others price it: a record lists those that
    /// meet its span, and is priced again from them.
    fn meeting(&self, span: Span) -> &[Step] {
        let from = self.rates.partition_point(|rate| rate.span.end_us <= span.start_us);
        let to = self.rates.partition_point(|rate| rate.span.start_us < span.end_us);
        self.rates.get(from..to).unwrap_or_default()
    }

    /// The same price in buckets of so many minutes, aligned to the clock in UTC. Their grams sum to
    /// those of [`Tariff::price`], whatever their size: buckets are rows to read, not a resolution to
    /// compute with.
    ///
    /// # Errors
    /// As [`Tariff::price`], and too many buckets.
    pub fn buckets(
        &self,
        span: Interval,
        load: &Load,
        missing: Missing,
        minutes: NonZeroU32,
    ) -> Result<Vec<Bucket>, Error> {
        let span = Span::of(span)?;
        let size = i64::from(minutes.get()) * 60_000_000;
        let count = (span.end_us - 1).div_euclid(size) - span.start_us.div_euclid(size) + 1;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > BUCKETS_MAX {
            return Err(Error::TooMany { what: "buckets", count, max: BUCKETS_MAX });
        }
        let cut = Cut::of(span, load, self.meeting(span), missing)?;
        Ok(in_buckets(span, size, &cut))
    }
}

/// One row of a report: a part of the span between two marks of the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// When; the first and the last may be shorter than a bucket.
    pub interval: Interval,
    /// Energy in kWh.
    pub kwh: f64,
    /// Energy-weighted mean intensity in g/kWh.
    pub g_per_kwh: f64,
    /// Part of the energy that a slot of its own time prices.
    pub coverage: f64,
}

fn in_buckets(span: Span, size: i64, cut: &Cut<'_>) -> Vec<Bucket> {
    let mut rows: Vec<(i64, [Sum; 3])> = Vec::new();
    for piece in cut.pieces() {
        let mut at = piece.start_us;
        while at < piece.end_us {
            let bucket = at.div_euclid(size);
            let end = piece.end_us.min((bucket + 1) * size);
            if rows.last().is_none_or(|(last, _)| *last != bucket) {
                rows.push((bucket, [Sum::default(); 3]));
            }
            let weight = piece.weight * ratio(end - at, piece.end_us - piece.start_us);
            if let Some((_, [all, priced, covered])) = rows.last_mut() {
                all.add(weight);
                priced.add(weight * piece.g_per_kwh);
                covered.add(if piece.rate.is_some() { weight } else { 0.0 });
            }
            at = end;
        }
    }
    let rows = rows.into_iter().filter_map(|(bucket, [all, priced, covered])| {
        let start = time(span.start_us.max(bucket * size));
        let end = time(span.end_us.min((bucket + 1) * size));
        let weight = all.value();
        Some(Bucket {
            interval: Interval::new(start, end).ok()?,
            kwh: if cut.kwh > 0.0 { weight } else { 0.0 },
            // A bucket without energy has no mean to weigh.
            g_per_kwh: if weight > 0.0 { priced.value() / weight } else { 0.0 },
            coverage: if weight > 0.0 { (covered.value() / weight).min(1.0) } else { 1.0 },
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests;
