//! What a price is made of, and what it says: times, energy, rates, and what is not known of them.
//!
//! Out of scope: how spans are cut (`pieces`) and summed (`totals`).

use std::str::FromStr;

use jiff::Timestamp;

use super::sum::Sum;
use crate::decimal::round9;
use crate::intensity::{Interval, UncertaintyClass};

/// Coefficient of variation of a yearly average of which nothing else is known, used for one job, √(0.20² + 0.15²):
/// hours against the year (Kono, Ostermeyer, Wallbaum, Int. J. Life Cycle Assess. 2017), and emission factors of
/// plants with the age of the vintage (IPCC AR5 WG3 Annex III). A prior.
pub const YEARLY_CV: f64 = 0.25;

/// Most parts of a series of energy: five-minute parts of ten years, or 10 Hz for a day.
const PARTS_MAX: usize = 10 * 366 * 288;

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
pub(super) struct Span {
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

impl Span {
    pub(super) fn of(interval: Interval) -> Result<Self, Error> {
        let (start, end) = (interval.start(), interval.end());
        let (start_us, end_us) = (start.as_microsecond(), end.as_microsecond());
        if start_us < end_us {
            Ok(Self { start_us, end_us })
        } else {
            Err(Error::TooShort { start, end })
        }
    }

    pub(super) fn start(self) -> Timestamp {
        time(self.start_us)
    }

    pub(super) fn end(self) -> Timestamp {
        time(self.end_us)
    }

    pub(super) fn microseconds(self) -> i64 {
        self.end_us - self.start_us
    }
}

pub(super) fn time(us: i64) -> Timestamp {
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

/// A rate by the microsecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) span: Span,
    pub(super) g_per_kwh: f64,
    pub(super) class: UncertaintyClass,
    pub(super) source: u32,
}

impl Step {
    pub(super) fn of(rate: &Rate) -> Result<Self, Error> {
        let g_per_kwh = round9(possible("intensity in g/kWh", rate.g_per_kwh)?);
        let &Rate { interval, class, source, .. } = rate;
        Ok(Self { span: Span::of(interval)?, g_per_kwh, class, source })
    }
}

/// The value, without the sign of zero.
pub(super) fn possible(what: &'static str, value: f64) -> Result<f64, Error> {
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
    pub(super) fn checked(&self, span: Span) -> Result<f64, Error> {
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

#[expect(clippy::cast_precision_loss, reason = "exact below 285 years in microseconds")]
pub(super) fn ratio(part: i64, whole: i64) -> f64 {
    // Nearly always; the quotient would be the same, later.
    if part == whole { 1.0 } else { part as f64 / whole as f64 }
}
