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
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::decimal::round9;
use crate::intensity::{Interval, InventoryIntensity, Meta, Slot, UncertaintyClass};

mod pieces;
mod sum;
mod totals;

use pieces::Cut;
use sum::Sum;

/// Coefficient of variation of a yearly average of which nothing else is known, used for one job, √(0.20² + 0.15²):
/// hours against the year (Kono, Ostermeyer, Wallbaum, Int. J. Life Cycle Assess. 2017), and emission factors of
/// plants with the age of the vintage (IPCC AR5 WG3 Annex III). A prior.
pub const YEARLY_CV: f64 = 0.25;

/// Most parts of a series of energy: five-minute parts of ten years, or 10 Hz for a day.
const PARTS_MAX: usize = 10 * 366 * 288;

/// Most buckets of a report: minutes of a leap year.
const BUCKETS_MAX: usize = 366 * 1440;

/// A value in a time without a slot is off by at least this much (cv): hours of a German year around
/// their mean (Kono, Ostermeyer, Wallbaum, Int. J. Life Cycle Assess. 2017).
/// A prior for other grids.
pub const FILLED_CV_MIN: f64 = 0.20;

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Less than a microsecond, which is what records keep.
    #[error("the time from {start} to {end} is shorter than a microsecond")]
    TooShort {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// An energy or intensity that is negative or not finite.
    #[error("{value} is not a possible {what}: it must be finite and not negative")]
    Impossible {
        /// Of what.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// Parts of the energy that do not follow one another from the start to the end of the span.
    #[error("the energy series does not fill its span without hole or overlap: {what} at {at}")]
    Series {
        /// What is wrong there.
        what: &'static str,
        /// Where.
        at: Timestamp,
    },
    /// Slots that overlap.
    #[error("two slots overlap at {at}")]
    Slots {
        /// Where.
        at: Timestamp,
    },
    /// No slot meets the span.
    #[error("no slot of grid intensity lies in the span from {start} to {end}")]
    Uncovered {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// Too much of something.
    #[error("{count} {what} are more than the {max} that are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are taken.
        max: usize,
    },
    /// A word that names no policy.
    #[error("unknown missing policy {0:?}")]
    UnknownPolicy(String),
}

/// An interval in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start_us: i64,
    end_us: i64,
}

impl Span {
    fn of(interval: Interval) -> Result<Self, Error> {
        let (start, end) = (interval.start(), interval.end());
        let (start_us, end_us) = (start.as_microsecond(), end.as_microsecond());
        if start_us < end_us {
            Ok(Self { start_us, end_us })
        } else {
            Err(Error::TooShort { start, end })
        }
    }

    fn start(self) -> Timestamp {
        time(self.start_us)
    }

    fn end(self) -> Timestamp {
        time(self.end_us)
    }

    fn microseconds(self) -> i64 {
        self.end_us - self.start_us
    }
}

fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX)
}

/// Coefficient of variation of the error that all slots of a source share. The factors of plants are
/// known to 15 % (IPCC AR5 WG3 Annex III: coal 740–820–910, gas 410–490–650 g/kWh); a yearly average
/// misses the hours of a job by 20 % besides ([`YEARLY_CV`], a prior). What is estimated misses its month by 19 %
/// besides: so far off is the mean of the same hour of day in the month before, over 120 grids in 2022
/// (`cargo xtask priors --hourly`).
pub fn shared_cv(class: UncertaintyClass) -> f64 {
    match class {
        UncertaintyClass::Yearly => YEARLY_CV,
        UncertaintyClass::Estimated => 0.24,
        UncertaintyClass::Metered | UncertaintyClass::Forecast | UncertaintyClass::Declared => 0.15,
    }
}

/// Coefficient of variation of a single hour's own error. Forecast: the GB forecast's mean absolute
/// error was 7.1 % from 2017 to 2023 (nmpowell, carbon-intensity-forecast-tracking), which is √(2/π) of
/// a normal's standard deviation. Estimated: as [`shared_cv`] has it, within the month. Metered: 5 %, a prior. A yearly
/// average has no hours.
pub fn noise_cv(class: UncertaintyClass) -> f64 {
    match class {
        UncertaintyClass::Metered => 0.05,
        UncertaintyClass::Estimated => 0.22,
        UncertaintyClass::Forecast => 0.09,
        UncertaintyClass::Yearly | UncertaintyClass::Declared => 0.0,
    }
}

/// What a kilowatt hour emits in a time: a slot without its provenance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// When.
    pub interval: Interval,
    /// In g/kWh; zero is a legal value.
    pub g_per_kwh: f64,
    /// How it came to be.
    pub class: UncertaintyClass,
    /// Slots of one source have one number; their errors are shared.
    pub source: u32,
}

impl Rate {
    /// Of source 0.
    pub fn new(interval: Interval, g_per_kwh: f64, class: UncertaintyClass) -> Self {
        Self { interval, g_per_kwh, class, source: 0 }
    }
}

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

/// A rate by the microsecond.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    span: Span,
    g_per_kwh: f64,
    class: UncertaintyClass,
    source: u32,
}

impl Step {
    fn of(rate: &Rate) -> Result<Self, Error> {
        let g_per_kwh = round9(possible("intensity in g/kWh", rate.g_per_kwh)?);
        let &Rate { interval, class, source, .. } = rate;
        Ok(Self { span: Span::of(interval)?, g_per_kwh, class, source })
    }
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
        Ok(cut.totals.priced(&cut))
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

/// The value, without the sign of zero.
fn possible(what: &'static str, value: f64) -> Result<f64, Error> {
    let fine = value.is_finite() && value >= 0.0;
    if fine { Ok(value + 0.0) } else { Err(Error::Impossible { what, value }) }
}

/// Energy of a span, in kWh.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// A total, spread evenly.
    Even(f64),
    /// Parts that follow one another from the start of the span to its end, each spread evenly.
    Series(Vec<Part>),
}

/// Energy of a part of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// When.
    pub interval: Interval,
    /// In kWh.
    pub kwh: f64,
}

impl Load {
    /// The total in kWh.
    pub fn kwh(&self) -> f64 {
        match self {
            Self::Even(kwh) => *kwh,
            Self::Series(parts) => parts.iter().map(|part| part.kwh).collect::<Sum>().value(),
        }
    }

    /// The total in kWh, of parts that fill the span.
    fn checked(&self, span: Span) -> Result<f64, Error> {
        let parts = match self {
            Self::Even(kwh) => return possible("energy in kWh", *kwh),
            Self::Series(parts) => parts,
        };
        if parts.len() > PARTS_MAX {
            let (what, count) = ("parts of an energy series", parts.len());
            return Err(Error::TooMany { what, count, max: PARTS_MAX });
        }
        let (mut at, mut sum) = (span.start_us, Sum::default());
        for part in parts {
            sum.add(possible("energy in kWh", part.kwh)?);
            let of = Span::of(part.interval)?;
            let wrong = |what| Error::Series { what, at: time(at.min(of.start_us)) };
            match of.start_us.cmp(&at) {
                std::cmp::Ordering::Greater => return Err(wrong("a hole")),
                std::cmp::Ordering::Less => return Err(wrong("an overlap")),
                std::cmp::Ordering::Equal => at = of.end_us,
            }
        }
        if at == span.end_us {
            Ok(sum.value())
        } else {
            Err(Error::Series { what: "another end than the span's", at: time(at) })
        }
    }
}

words! {
    /// With which value energy is priced in a time without a slot.
    #[derive(Default)]
    Missing {
        /// That of the slot before it, or of the one after it where there is none before. Slots outside of the
        /// span are not looked at.
        #[default]
        Step = "step",
        /// On the straight line from the slot before to the slot after; as `Step` where one of them is not in
        /// the span.
        Interpolate = "interpolate",
        /// The mean of the rest of the span: the time is left out of the price, not of the total.
        Drop = "drop",
    }
}

impl FromStr for Missing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let policy = Self::of(text.trim());
        policy.ok_or_else(|| Error::UnknownPolicy(text.chars().take(60).collect()))
    }
}

/// A span with its price.
#[derive(Debug, Clone, PartialEq)]
pub struct Priced {
    /// Energy in kWh, all of it.
    pub kwh: f64,
    /// Energy-weighted mean intensity over the whole span, in g/kWh.
    pub g_per_kwh: f64,
    /// Part of the energy that a slot of its own time prices, 0 to 1.
    pub coverage: f64,
    /// Part of the energy that is priced with a value which its source had filled in.
    pub estimated: f64,
    /// Part of the energy that is priced with a forecast.
    pub forecast: f64,
    /// How many slots have a part in the price.
    pub slots: usize,
    /// Sources with their part in the grams and the coefficient of variation that they give the whole,
    /// in the order of their numbers.
    pub sources: Vec<SourceShare>,
    /// Coefficient of variation of the grams from the errors of single hours.
    pub noise_cv: f64,
    /// The same hour by hour, where these are at most [`NOISE_HOURS_MAX`]; else empty.
    pub noise_hours: Vec<HourNoise>,
    /// Coefficient of variation of the grams from the times without a slot; 0 where there are none.
    pub filled_cv: f64,
    /// What was priced without a slot.
    pub filled: Filled,
}

/// Of a span that meets more clock hours, the errors of hours are not told apart: each has a small part, and they
/// average out within the span.
pub const NOISE_HOURS_MAX: usize = 6;

/// The error of a clock hour in a price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HourNoise {
    /// When the hour begins, in microseconds since 1970.
    pub start_us: i64,
    /// What its error means for the whole: a coefficient of variation.
    pub cv: f64,
}

/// A source's part in a price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceShare {
    /// Its number.
    pub source: u32,
    /// Its part in the grams of the covered time, 0 to 1.
    pub share: f64,
    /// What its shared error means for the whole: a coefficient of variation.
    pub cv: f64,
}

/// What was priced without a slot of its own time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Filled {
    /// For how long, in seconds.
    pub seconds: f64,
    /// Energy in kWh.
    pub kwh: f64,
    /// Mean of the values that it was priced with, in g/kWh.
    pub g_per_kwh: f64,
}

impl Priced {
    /// Emissions in gCO2e, before PUE.
    pub fn grams(&self) -> f64 {
        self.kwh * self.g_per_kwh
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

#[expect(clippy::cast_precision_loss, reason = "exact below 285 years in microseconds")]
fn ratio(part: i64, whole: i64) -> f64 {
    // Nearly always; the quotient would be the same, later.
    if part == whole { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
