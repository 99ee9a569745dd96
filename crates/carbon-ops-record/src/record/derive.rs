//! The one place where the doubles of a record are made: prices, interval, budget, and what the grid
//! data say of themselves.
//!
//! The expensive half, the distribution relative to its mean, is a value of its own ([`Relative`]):
//! spans whose inputs differ in their means only share it.
//!
//! Out of scope: hardware and scores (`hardware`); whether stored doubles are these (`check`).

use std::collections::BTreeSet;

use super::{
    Contribution, Filled, Grid, Input, Meta, MethodName, Sampling, Slot, Slots, Source, known,
};
use crate::{Decimal, Error, Prices, rule, timestamp};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{self, Interval, InventoryIntensity};
use carbon_ops_estimate::span::{FILLED_CV_MIN, HourNoise, Missing, Priced, Tariff};
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_estimate::uncertainty::{
    self as model, Coverage, Distribution, GENERATOR, LEVEL, Method, Model, MonteCarlo, NotClosed,
    Trials, Used,
};

/// A smaller numerical error cannot be seen next to what is not known.
const ERROR_MIN: f64 = 1e-6;

/// Intervals are relative to the mean.
const NOT_RELATIVE: &str =
    "what is not known exactly has a mean above 0; nothing at all is an exact 0";

/// The names that every record has once.
const NAMED: [&str; 3] = ["energy", "pue", "intensity"];

/// A distribution relative to its mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Relative {
    /// Standard uncertainty over mean.
    pub standard: f64,
    /// Lower end of the interval over mean.
    pub low: f64,
    /// Upper end of the interval over mean.
    pub high: f64,
    /// Which interval.
    pub interval: Coverage,
    /// How it was sampled, if it was.
    pub sampling: Option<Sampling>,
    /// Estimate of the numerical error of the ends over the mean, where it is not below a millionth.
    pub error: Option<f64>,
    /// Why it was sampled although the closed form was asked for.
    pub instead: Option<NotClosed>,
}

/// What [`estimate`] derives; all rounded to nine digits.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// What follows from means alone.
    pub prices: Prices,
    /// See [`super::Record::uncertainty_pct`].
    pub uncertainty_pct: f64,
    /// See [`super::Record::meta`].
    pub meta: Meta,
}

impl Input {
    /// An input by its distribution; parameters are rounded to nine digits, so that the record holds
    /// exactly what was computed with.
    pub fn new(name: &str, distribution: Distribution, source: impl Into<String>) -> Self {
        Self {
            dist: quantity(name).echo(&distribution.rounded()),
            name: name.to_owned(),
            shared: None,
            sign: None,
            source: source.into(),
        }
    }

    /// A factor of mean 1 with this coefficient of variation.
    pub fn factor(name: &str, cv: f64, source: impl Into<String>) -> Self {
        Self::new(name, Distribution::Lognormal { mean: 1.0, cv }, source)
    }

    /// The same input, sharing its error with every input of that key.
    #[must_use]
    pub fn shared(mut self, key: impl Into<String>) -> Self {
        self.shared = Some(key.into());
        self
    }

    /// The same input, falling where the shared variable rises.
    #[must_use]
    pub fn opposed(mut self) -> Self {
        self.sign = Some(-1);
        self
    }

    /// The input of a model, with this distribution over its mean.
    pub(super) fn as_factor(&self, over_mean: Distribution) -> model::Input {
        let factor = model::Input::new(self.name.as_str(), over_mean);
        let factor = match &self.shared {
            Some(key) => factor.shared(key.as_str()),
            None => factor,
        };
        if self.sign == Some(-1) { factor.opposed() } else { factor }
    }

    /// Its coefficient of variation, negative where it falls as the shared variable rises; `None` of what is exact, and of
    /// a mean of 0.
    ///
    /// # Errors
    /// When it is no distribution.
    pub(crate) fn signed_cv(&self) -> Result<Option<f64>, Error> {
        let distribution = self.distribution()?;
        let cv = distribution.variance().sqrt() / distribution.mean();
        Ok(Some(if self.sign == Some(-1) { -cv } else { cv })
            .filter(|cv| cv.is_finite() && cv.abs() > 0.0))
    }

    /// The distribution that its text means; that of `energy` in kWh, that of `intensity` in g/kWh.
    ///
    /// # Errors
    /// When the text is none, or is not as [`Input::new`] writes it.
    pub fn distribution(&self) -> Result<Distribution, Error> {
        let quantity = quantity(&self.name);
        let distribution = match known::distribution(quantity, &self.dist) {
            Some(known) => known,
            None => self.read(quantity)?,
        };
        if self.sign.is_some_and(|sign| sign != -1 || self.shared.is_none()) {
            return Err(rule("inputs", format!("the sign of {} is −1 or left out", self.name)));
        }
        Ok(distribution)
    }

    /// As [`Input::distribution`], by reading the text and writing it again.
    fn read(&self, quantity: Quantity) -> Result<Distribution, Error> {
        let distribution = quantity.read(&self.dist).map_err(|error| {
            let reason = error.reason;
            rule("inputs", format!("the distribution of {} is one: {reason}", self.name))
        })?;
        let again = quantity.echo(&distribution.rounded());
        if again != self.dist {
            return Err(rule("inputs", format!("{} is written as {again}", self.name)));
        }
        known::remember(quantity, &self.dist, distribution);
        Ok(distribution)
    }
}

fn quantity(name: &str) -> Quantity {
    match name {
        "energy" => Quantity::Energy,
        "intensity" => Quantity::Intensity,
        _ => Quantity::Ratio,
    }
}

/// The inputs of an energy: its mean, which is exact, and what is not known of it as a factor of mean 1
/// that energies of one relative uncertainty share.
///
/// # Errors
/// When its mean is negative.
pub fn energy_inputs(energy: Distribution, source: &str) -> Result<Vec<Input>, Error> {
    let mean = energy.mean();
    if !(mean.is_finite() && mean >= 0.0) {
        return Err(rule("inputs", "an energy is not negative"));
    }
    if mean <= 0.0 && energy.variance() > 0.0 {
        return Err(rule("inputs", NOT_RELATIVE));
    }
    let mut inputs = vec![Input::new("energy", Distribution::Point { mean }, source)];
    if energy.variance() > 0.0 {
        let source = format!("{source}: {}", Quantity::Energy.echo(&energy.rounded()));
        inputs.push(Input::new("energy_error", energy.over_mean(), source));
    }
    Ok(inputs)
}

/// Whether the mean of a factor is 1, to within what writing its parameters moves it: no tolerance is below the rounding
/// before it.
pub(super) fn is_one(factor: &Distribution) -> bool {
    (factor.mean() - 1.0).abs() <= factor.rounding_of_mean()
}

/// The distributions of all inputs, and the means of the three that have a unit.
pub(super) struct Factors {
    pub(super) all: Vec<Distribution>,
    pub(super) energy_kwh: f64,
    pub(super) pue: f64,
    pub(super) intensity: f64,
}

impl Factors {
    /// Every rule on the list of inputs.
    pub(super) fn of(inputs: &[Input]) -> Result<Self, Error> {
        let mut means = [None; 3];
        let mut all = Vec::with_capacity(inputs.len());
        let mut keys = BTreeSet::new();
        for input in inputs {
            let factor = input.distribution()?;
            let mean = factor.mean();
            match NAMED.iter().position(|name| *name == input.name) {
                Some(index)
                    if means.get_mut(index).is_none_or(|slot| slot.replace(mean).is_some()) =>
                {
                    return Err(rule("inputs", format!("one input is named {}", input.name)));
                }
                None if !is_one(&factor) => {
                    return Err(rule("inputs", format!("the mean of {} is 1", input.name)));
                }
                Some(_) | None => {}
            }
            // A point that is negative is not read.
            if mean <= 0.0 && !factor.is_point() {
                return Err(rule("inputs", NOT_RELATIVE));
            }
            if input.shared.as_ref().is_some_and(|key| !keys.insert(key)) {
                return Err(rule("inputs", format!("the key of {} occurs once", input.name)));
            }
            all.push(factor);
        }
        let [Some(energy_kwh), Some(pue), Some(intensity)] = means else {
            return Err(rule("inputs", "energy, pue and intensity are among them"));
        };
        if pue < 1.0 {
            return Err(rule("inputs", "the mean of pue is at least 1"));
        }
        Ok(Self { all, energy_kwh, pue, intensity })
    }

    pub(super) fn prices(&self) -> Prices {
        Prices::of_kilowatt_hours(self.energy_kwh, self.pue, self.intensity)
    }

    /// Each over its mean; one whose mean is 0 has no part in a relative distribution.
    fn relative(&self, inputs: &[Input]) -> Vec<model::Input> {
        let with_mean = inputs.iter().zip(&self.all).filter(|(_, factor)| factor.mean() > 0.0);
        let over = |(input, factor): (&Input, &Distribution)| {
            model::Input::new(input.name.as_str(), factor.over_mean())
        };
        with_mean.map(over).collect()
    }

    /// Whether the product is 0, and nothing else is uncertain.
    fn are_exactly_zero(&self) -> bool {
        self.prices().grams <= 0.0 && self.all.iter().all(Distribution::is_point)
    }
}

impl Relative {
    /// Of an exact 0: whatever multiplies it, it stays one.
    const ZERO: Self = Self {
        standard: 0.0,
        low: 1.0,
        high: 1.0,
        interval: Coverage::Symmetric,
        sampling: None,
        error: None,
        instead: None,
    };

    /// Of the product of all inputs.
    ///
    /// # Errors
    /// When the inputs break a rule, or admit no interval.
    pub fn of(inputs: &[Input], method: Method) -> Result<Self, Error> {
        let factors = Factors::of(inputs)?;
        if factors.are_exactly_zero() {
            return Ok(Self::ZERO);
        }
        let estimate = Model::product(1.0, factors.relative(inputs))?.evaluate(&method)?;
        let digits = match method {
            Method::MonteCarlo(MonteCarlo { trials: Trials::Adaptive { digits }, .. }) => {
                Some(digits)
            }
            _ => None,
        };
        let mut relative = Self {
            standard: estimate.standard / estimate.mean,
            low: estimate.low / estimate.mean,
            high: estimate.high / estimate.mean,
            interval: estimate.interval,
            sampling: None,
            error: None,
            instead: None,
        };
        let error = match estimate.method {
            Used::MonteCarlo { run, error, instead } => {
                relative.sampling = Some(Sampling {
                    adaptive_digits: digits,
                    generator: GENERATOR.to_owned(),
                    seed: Decimal(run.seed),
                    stable: run.stable,
                    trials: run.trials,
                });
                relative.instead = instead;
                Some(error)
            }
            Used::Analytical { error } => error,
        };
        relative.error = error.map(|error| error / estimate.mean).filter(|e| *e > ERROR_MIN);
        Ok(relative)
    }

    /// What [`Relative::of`] gives by the closed form, if its interval of so many grams is, digit by digit, the one
    /// that is told; `None` where it takes [`Relative::of`] to say so.
    ///
    /// # Errors
    /// When the inputs break a rule.
    pub(super) fn confirmed(
        inputs: &[Input],
        grams: f64,
        told: &Meta,
    ) -> Result<Option<Self>, Error> {
        let factors = Factors::of(inputs)?;
        let ends = [told.ci_lower_g, told.ci_upper_g].map(|end| rounded_to(end, grams));
        let [Some(low), Some(high)] = ends else { return Ok(None) };
        let model = Model::product(1.0, factors.relative(inputs))?;
        let over = |grams_told: f64| grams_told / grams;
        Ok(model.confirm([low, high]).map(|standard| Self {
            standard,
            low: over(told.ci_lower_g),
            high: over(told.ci_upper_g),
            ..Self::ZERO
        }))
    }

    /// The interval of so many grams.
    pub fn meta(&self, grams: f64) -> Meta {
        let sampled = self.sampling.is_some();
        Meta {
            ci_lower_g: round9(grams * self.low),
            ci_upper_g: round9(grams * self.high),
            confidence_level_pct: round9(100.0 * LEVEL),
            interval: self.interval,
            method: if sampled { MethodName::MonteCarlo } else { MethodName::AnalyticalTruncated },
            monte_carlo: self.sampling.clone(),
            numerical_error_g: self.error.map(|error| round9(grams * error)),
        }
    }
}

/// Between what lies, over `grams`, all that is rounded to these nine digits, less a margin for the way there; `None`
/// where they are none.
pub(super) fn rounded_to(digits: f64, grams: f64) -> Option<(f64, f64)> {
    let unit = libm::exp10(libm::floor(libm::log10(digits)) - 8.0);
    let (low, high) = (digits - 0.49 * unit, digits + 0.49 * unit);
    let is_it = |x: f64| x.to_bits() == digits.to_bits();
    let all = digits > 0.0 && grams > 0.0 && [low, digits, high].map(round9).into_iter().all(is_it);
    all.then_some((low / grams, high / grams))
}

/// Prices from the inputs' means, and the interval by what is known relative to them.
///
/// # Errors
/// When the inputs break a rule, or are too large for their product to be a number.
pub fn estimate(inputs: &[Input], relative: &Relative) -> Result<Derived, Error> {
    let prices = Factors::of(inputs)?.prices();
    if !(prices.grams * relative.high).is_finite() {
        return Err(rule(
            "inputs",
            "the product of energy, PUE and intensity is too large for a number",
        ));
    }
    Ok(Derived {
        prices,
        uncertainty_pct: round9(100.0 * relative.standard),
        meta: relative.meta(prices.grams),
    })
}

/// What each input contributes to the variance of the product, in the order of the inputs; those that
/// contribute nothing are left out.
///
/// # Errors
/// When the inputs break a rule.
pub fn budget(inputs: &[Input]) -> Result<Vec<Contribution>, Error> {
    Ok(budget_of(inputs, &Factors::of(inputs)?))
}

/// The same of inputs that were read already.
pub(super) fn budget_of(inputs: &[Input], factors: &Factors) -> Vec<Contribution> {
    let factors = &factors.all;
    let cv_squared = |factor: &Distribution| {
        let mean = factor.mean();
        if mean > 0.0 { factor.variance() / (mean * mean) } else { 0.0 }
    };
    let whole = factors.iter().map(|factor| 1.0 + cv_squared(factor)).product::<f64>() - 1.0;
    let shares = inputs.iter().zip(factors).filter(|(_, factor)| cv_squared(factor) > 0.0);
    let shares = shares.map(|(input, factor)| Contribution {
        name: input.name.clone(),
        pct: round9(100.0 * cv_squared(factor) / whole),
        shared: input.shared.clone(),
    });
    shares.collect()
}

/// The inputs that a price brings with it: the intensity with the error that all slots of its source
/// share, further sources, the noise of single hours, and what was filled in.
///
/// `intensity` stands in for the distribution of the first source where that is known better than by
/// its class; its mean is that of the price.
pub fn grid_inputs(
    priced: &Priced,
    tariff: &Tariff,
    intensity: Option<Distribution>,
    source: &str,
) -> Vec<Input> {
    let first = priced.sources.first();
    let cv = first.map_or(0.0, |source| source.cv);
    let mean = priced.g_per_kwh;
    // Of what emits nothing, no part is of a source.
    let usual =
        if cv > 0.0 { Distribution::Lognormal { mean, cv } } else { Distribution::Point { mean } };
    let key = |source: u32| tariff.shared_key(source).map(str::to_owned);
    let with_key = |input: Input, key: Option<String>| match key {
        Some(key) => input.shared(key),
        None => input,
    };
    let named = Input::new("intensity", intensity.unwrap_or(usual), source);
    let mut inputs = vec![with_key(named, first.and_then(|first| key(first.source)))];
    for other in priced.sources.iter().skip(1).filter(|other| other.cv > 0.0) {
        let source = format!("{:.1} % of the grams are of this source", 100.0 * other.share);
        inputs.push(with_key(Input::factor("grid", other.cv, source), key(other.source)));
    }
    if priced.noise_cv > 0.0 {
        let source = "prior: single hours, by class (docs/method.md)";
        let zone = first.and_then(|first| tariff.zone_key(first.source)).map(str::to_owned);
        inputs.extend(noise(priced, zone, source));
    }
    if priced.filled_cv > 0.0 {
        let source = format!(
            "prior: {:.1} % of the energy has no slot, whose value may be off by the spread of the others, \
             {:.0} % at least",
            100.0 * (1.0 - priced.coverage),
            100.0 * FILLED_CV_MIN
        );
        inputs.push(Input::factor("coverage", priced.filled_cv, source));
    }
    inputs
}

/// The noise of single hours. The error of an hour is one in all that it prices, so that a span that is cut into
/// records has no less of it than one record: few hours of one source are inputs with a key each.
fn noise(priced: &Priced, source: Option<String>, why: &str) -> Vec<Input> {
    let of_source = source.filter(|_| priced.sources.len() == 1 && !priced.noise_hours.is_empty());
    let Some(key) = of_source else {
        return vec![Input::factor("slot_noise", priced.noise_cv, why)];
    };
    let key = key.trim_start_matches("grid:");
    let hour = |us: i64| jiff::Timestamp::from_microsecond(us).unwrap_or_default();
    let of = |noise: &HourNoise| {
        let hour = hour(noise.start_us).strftime("%Y-%m-%dT%H");
        Input::factor("slot_noise", noise.cv, why).shared(format!("hour:{key}:{hour}"))
    };
    priced.noise_hours.iter().map(of).collect()
}

/// What the record keeps of the grid data: all but the digest of slots that are too many to list.
/// `slots` are those that meet the span.
pub fn grid_of(
    span: Interval,
    priced: &Priced,
    slots: &[intensity::Slot<InventoryIntensity>],
    missing: Missing,
) -> Grid {
    let meeting: Vec<_> =
        slots.iter().filter(|slot| slot.interval.intersection(&span).is_some()).collect();
    let mut sources: Vec<Source> = Vec::new();
    let mut list = Vec::with_capacity(meeting.len());
    for slot in &meeting {
        let index = place(&mut sources, slot);
        list.push(Slot {
            class: slot.meta.uncertainty,
            end: timestamp(slot.interval.end()),
            g_per_kwh: round9(slot.as_grams_per_kilowatt_hour()),
            source: u64::try_from(index).ok().filter(|index| *index > 0),
            start: timestamp(slot.interval.start()),
            updated_at: slot.updated_at.map(timestamp),
        });
    }
    let percent = |part: f64| round9(100.0 * part);
    Grid {
        coverage_pct: percent(priced.coverage),
        estimated_pct: percent(priced.estimated),
        filled: (priced.filled.seconds > 0.0).then(|| Filled {
            energy_kwh: round9(priced.filled.kwh),
            g_per_kwh: round9(priced.filled.g_per_kwh),
            seconds: round9(priced.filled.seconds),
        }),
        forecast_pct: percent(priced.forecast),
        missing_policy: missing.as_str().to_owned(),
        slots: Slots {
            count: u64::try_from(list.len()).unwrap_or(u64::MAX),
            list: Some(list),
            sha256: None,
        },
        sources,
    }
}

/// The place of a slot's source in the list, with what the slot adds to it.
fn place(sources: &mut Vec<Source>, slot: &intensity::Slot<InventoryIntensity>) -> usize {
    let meta = &slot.meta;
    let same = |source: &Source| {
        source.provider == meta.provider
            && source.zone_requested == meta.zone_requested
            && source.zone_returned == meta.zone_returned
            && source.model_version == meta.model_version
            && source.licence == meta.licence
            && source.attribution == meta.attribution
    };
    let index = sources.iter().position(same).unwrap_or_else(|| {
        sources.push(Source {
            attribution: meta.attribution.clone(),
            fetched_at: None,
            licence: meta.licence.clone(),
            model_version: meta.model_version.clone(),
            provider: meta.provider.clone(),
            raw_sha256: Vec::new(),
            updated_at: None,
            zone_requested: meta.zone_requested.clone(),
            zone_returned: meta.zone_returned.clone(),
        });
        sources.len() - 1
    });
    if let Some(source) = sources.get_mut(index) {
        // Texts of one form are in the order of their times.
        source.fetched_at = source.fetched_at.take().max(meta.fetched_at.map(timestamp));
        source.updated_at = source.updated_at.take().max(slot.updated_at.map(timestamp));
        if let Some(digest) = meta.raw_digest.map(|digest| digest.to_string())
            && let Err(at) = source.raw_sha256.binary_search(&digest)
        {
            source.raw_sha256.insert(at, digest);
        }
    }
    index
}

#[cfg(test)]
mod tests;
