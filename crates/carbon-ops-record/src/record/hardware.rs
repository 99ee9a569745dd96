//! The members of a record that go beyond operation: `embodied`, `functional_unit` and `sci`, derived here and
//! derived again from the record.
//!
//! * `items[i].grams = 1000 · total_kg · hours of the span / lifetime_hours · share`; `embodied.grams` is their sum
//! * `embodied.inputs`: one factor of mean 1 for each name among the items; the interval is that of
//!   `Σ grams · factor`, where factors of one key are one variable
//! * `sci.g_per_unit = (grams + embodied.grams) / functional_unit.count`, its interval that of the sum of both
//!
//! `sci` is the Software Carbon Intensity of ISO/IEC 21031:2024, `(O + M) per R`, of which offsets are no part.
//!
//! Both intervals are by the closed form, whatever the method of `grams`; where there is none, by sampling with
//! the seed 0, which `embodied.method` tells.
//!
//! Out of scope: what devices there are ([`carbon_ops_estimate::embodied`]).

use std::str::FromStr;

use super::check::same;
use super::derive::{is_one, rounded_to};
use super::{Embodied, EmbodiedItem, FunctionalUnit, Input, MethodName, Record, Sci};
use crate::{Error, LIST_MAX, rule};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::embodied::{Hardware, Lifetime, Portion, amortised_g};
use carbon_ops_estimate::intensity::{Interval, Kind, parse_kind_and_factor};
use carbon_ops_estimate::taxonomy::{self, Theta};
use carbon_ops_estimate::uncertainty::{Estimate, LEVEL, Method, Model, Used};

/// Longest name of a functional unit.
const UNIT_BYTES_MAX: usize = 128;

/// Hardware as a span uses it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserved {
    /// What.
    pub hardware: Hardware,
    /// Over how long it is written off.
    pub life: Lifetime,
    /// Which part of it the span has.
    pub share: Portion,
}

impl Embodied {
    /// What a span is charged with for the hardware that it has reserved.
    ///
    /// # Errors
    /// Without hardware, or when two pieces have one name and different distributions.
    ///
    /// ```
    /// use carbon_ops_estimate::intensity::Interval;
    /// use carbon_ops_record::{Embodied, Reserved};
    /// let reserved = Reserved {
    ///     hardware: "server".parse()?,
    ///     life: "4y".parse()?,
    ///     share: "1".parse()?,
    /// };
    /// let hour = Interval::parse("2026-03-01T00:00Z", "2026-03-01T01:00Z")?;
    /// let embodied = Embodied::of(&[reserved], hour)?;
    /// // ISO/IEC 21031's example: 1000 kg over four years, one hour.
    /// assert!((embodied.grams - 28.5388).abs() < 5e-5);
    /// assert!(embodied.ci_lower_g < 14.3 && embodied.ci_upper_g > 53.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(reserved: &[Reserved], span: Interval) -> Result<Self, Error> {
        let (mut items, mut inputs): (Vec<_>, Vec<Input>) = (Vec::new(), Vec::new());
        for Reserved { hardware, life, share } in reserved {
            let mut item = EmbodiedItem {
                grams: 0.0,
                lifetime_hours: round9(life.as_hours()),
                name: hardware.name.clone(),
                share: round9(share.as_ratio()),
                source: hardware.source.clone(),
                total_kg: round9(hardware.total_kg),
            };
            item.grams = item.charged_g(span)?;
            let input = Input::new(&item.name, hardware.relative, &*hardware.source)
                .shared(&*hardware.shared);
            match inputs.iter().find(|known| known.name == input.name) {
                Some(known) if *known != input => {
                    let of = format!("one distribution for {}", input.name);
                    return Err(rule("embodied", of));
                }
                Some(_) => {}
                None => inputs.push(input),
            }
            items.push(item);
        }
        let mut embodied = Self {
            ci_lower_g: 0.0,
            ci_upper_g: 0.0,
            confidence_level_pct: round9(100.0 * LEVEL),
            grams: round9(items.iter().map(|item| item.grams).sum()),
            inputs,
            items,
            method: MethodName::AnalyticalTruncated,
            uncertainty_pct: 0.0,
        };
        let estimate = embodied.model()?.evaluate(&Method::Analytical)?;
        embodied.take(&estimate);
        Ok(embodied)
    }

    fn take(&mut self, estimate: &Estimate) {
        self.ci_lower_g = round9(estimate.low);
        self.ci_upper_g = round9(estimate.high);
        self.uncertainty_pct = round9(estimate.uncertainty_pct());
        self.method = match estimate.method {
            Used::Analytical { .. } => MethodName::AnalyticalTruncated,
            Used::MonteCarlo { .. } => MethodName::MonteCarlo,
        };
    }

    /// The model of its grams.
    ///
    /// # Errors
    /// When an item has no input of its name, or an input none of mean 1.
    pub fn model(&self) -> Result<Model, Error> {
        self.model_of("")
    }

    /// The same with a prefix for the keys of inputs that have none, so that they are shared within a
    /// record and by no other.
    pub(crate) fn model_of(&self, prefix: &str) -> Result<Model, Error> {
        let mut pieces = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let Some(input) = self.inputs.iter().find(|input| input.name == item.name) else {
                return Err(rule("embodied", format!("an input for {}", item.name)));
            };
            let factor = input.as_factor(input.distribution()?.over_mean());
            // Without a key of its own, an input is shared by the items of its name.
            let factor = match &input.shared {
                Some(_) => factor,
                None => factor.shared(format!("{prefix}{}", input.name)),
            };
            pieces.push(Model::product(item.grams, vec![factor])?);
        }
        Ok(match pieces.pop() {
            Some(only) if pieces.is_empty() => only,
            last => Model::sum(pieces.into_iter().chain(last))?,
        })
    }

    /// Keys of shared errors, each with the signed part in g that it has of the standard uncertainty.
    pub(crate) fn shared_effects(&self) -> Result<Vec<(&str, f64)>, Error> {
        let mut effects = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let Some(key) = &input.shared else { continue };
            let items = self.items.iter().filter(|item| item.name == input.name);
            let grams: f64 = items.map(|item| item.grams).sum();
            // A sum of factors of mean 1: each contributes its grams times its own deviation.
            let effect = grams * input.distribution()?.over_mean().standard();
            effects.push((key.as_str(), if input.sign == Some(-1) { -effect } else { effect }));
        }
        Ok(effects)
    }

    /// What follows without integration.
    pub(super) fn check(&self, span: Interval) -> Result<(), Error> {
        if self.items.is_empty() || self.items.len() > LIST_MAX {
            return Err(rule("embodied", "1 to 256 items"));
        }
        let mut sum = 0.0;
        for item in &self.items {
            same("embodied", item.grams, item.charged_g(span)?)?;
            sum += item.grams;
        }
        same("embodied", self.grams, round9(sum))?;
        same("embodied", self.confidence_level_pct, round9(100.0 * LEVEL))?;
        for (at, input) in self.inputs.iter().enumerate() {
            let distribution = input.distribution()?;
            if !is_one(&distribution) || distribution.is_point() {
                return Err(rule(
                    "embodied",
                    format!("{} is a factor of mean 1, not exact", input.name),
                ));
            }
            let used = self.items.iter().any(|item| item.name == input.name);
            let twice = self.inputs.iter().skip(at + 1).any(|other| other.name == input.name);
            if !used || twice {
                return Err(rule("embodied", format!("one input for {}, and an item", input.name)));
            }
        }
        self.model()?;
        let fine = 0.0 <= self.ci_lower_g && self.ci_lower_g < self.ci_upper_g;
        if self.grams > 0.0 && !(fine && self.ci_upper_g.is_finite()) {
            return Err(rule("embodied", "an interval of some width"));
        }
        Ok(())
    }
}

impl EmbodiedItem {
    fn charged_g(&self, span: Interval) -> Result<f64, Error> {
        let life = Lifetime::from_hours(self.lifetime_hours);
        let share = Portion::new(self.share);
        let total = self.total_kg.is_finite() && self.total_kg >= 0.0;
        let Some((life, share)) = life.zip(share).filter(|_| total) else {
            return Err(rule("embodied", "a share of 0 to 1 of a total over a lifetime"));
        };
        Ok(round9(amortised_g(self.total_kg, span.as_seconds() / 3600.0, life, share)))
    }
}

/// A text that is no functional unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {0:?} as a functional unit")]
pub struct UnknownUnit(String);

/// `1000:request`; without a number it is one.
impl FromStr for FunctionalUnit {
    type Err = UnknownUnit;

    fn from_str(text: &str) -> Result<Self, UnknownUnit> {
        let (count, name) = text.split_once(':').unwrap_or(("1", text));
        let (count, name) = (count.trim().parse().unwrap_or(f64::NAN), name.trim());
        let named = !name.is_empty() && name.len() <= UNIT_BYTES_MAX;
        if count > 0.0 && count.is_finite() && named && !name.chars().any(char::is_control) {
            Ok(Self { count: round9(count), name: name.to_owned() })
        } else {
            Err(UnknownUnit::of(text))
        }
    }
}

impl UnknownUnit {
    /// Of this text, which names none.
    pub fn of(text: &str) -> Self {
        Self(text.chars().take(60).collect())
    }
}

impl Record {
    /// Gives the record the hardware that its span has reserved; its scopes have to name the figure.
    ///
    /// # Errors
    /// As [`Embodied::of`].
    pub fn reserve(&mut self, reserved: &[Reserved]) -> Result<(), Error> {
        self.embodied = Some(Embodied::of(reserved, self.interval()?)?);
        if self.sci.is_some() {
            self.sci = Some(self.score()?);
        }
        Ok(())
    }

    /// Gives the record its Software Carbon Intensity per functional unit.
    ///
    /// # Errors
    /// When its intensity is a measure of markets, which ISO/IEC 21031 does not allow.
    pub fn score_per(&mut self, unit: &FunctionalUnit) -> Result<(), Error> {
        self.functional_unit = Some(unit.clone());
        self.sci = Some(self.score()?);
        Ok(())
    }

    /// The embodied part of the whole, with its interval and the probability of each class; `None` without
    /// hardware, and where nothing is emitted.
    ///
    /// # Errors
    /// When the inputs break a rule.
    pub fn theta(&self) -> Result<Option<Theta>, Error> {
        let Some(embodied) = &self.embodied else { return Ok(None) };
        match Theta::of(&self.model()?, &embodied.model()?) {
            Ok(theta) => Ok(Some(theta)),
            Err(taxonomy::Error::Model(error)) => Err(error.into()),
            Err(taxonomy::Error::Nothing | taxonomy::Error::Mass(_)) => Ok(None),
        }
    }

    /// Operation and hardware together, in gCO2e: the mean, and the ends of its interval. Without hardware
    /// these are `grams` and its own.
    ///
    /// # Errors
    /// When the inputs break a rule.
    pub fn whole_g(&self) -> Result<(f64, (f64, f64)), Error> {
        let Some(embodied) = &self.embodied else {
            return Ok((self.grams, (self.meta.ci_lower_g, self.meta.ci_upper_g)));
        };
        let sum = Model::sum([self.model()?, embodied.model()?])?;
        let estimate = sum.evaluate(&Method::Analytical)?;
        let grams = round9(self.grams + embodied.grams);
        Ok((grams, (round9(estimate.low), round9(estimate.high))))
    }

    /// The score with these ends of its interval.
    fn score_between(&self, low: f64, high: f64) -> Result<Sci, Error> {
        let market =
            parse_kind_and_factor(&self.signal).is_ok_and(|(kind, _)| kind == Kind::Residual);
        let unit = self.functional_unit.as_ref();
        let unit = unit.filter(|unit| unit.count.is_finite() && unit.count > 0.0);
        let unit = unit.ok_or_else(|| rule("sci", "a functional unit with a count above 0"))?;
        if market {
            return Err(rule(
                "sci",
                "an intensity of a location: ISO/IEC 21031 refuses those of a market",
            ));
        }
        let embodied_g = self.embodied.as_ref().map_or(0.0, |embodied| embodied.grams);
        Ok(Sci {
            ci_lower_g_per_unit: round9(low / unit.count),
            ci_upper_g_per_unit: round9(high / unit.count),
            confidence_level_pct: round9(100.0 * LEVEL),
            embodied_g,
            g_per_unit: round9((self.grams + embodied_g) / unit.count),
            operational_g: self.grams,
        })
    }

    fn score(&self) -> Result<Sci, Error> {
        let estimate = self.scored()?.evaluate(&Method::Analytical)?;
        self.score_between(estimate.low, estimate.high)
    }

    /// What is scored: operation and hardware together.
    fn scored(&self) -> Result<Model, Error> {
        let mut parts = vec![self.model()?];
        if let Some(embodied) = &self.embodied {
            parts.push(embodied.model()?);
        }
        Ok(Model::sum(parts)?)
    }

    /// Whether a score is [`Record::score`], digit by digit, where that can be told without the search for its
    /// interval.
    pub(super) fn confirms(&self, sci: &Sci) -> Result<bool, Error> {
        let mut again = self.score_between(0.0, 0.0)?;
        let per_unit = [sci.ci_lower_g_per_unit, sci.ci_upper_g_per_unit];
        [again.ci_lower_g_per_unit, again.ci_upper_g_per_unit] = per_unit;
        let count = self.functional_unit.as_ref().map_or(f64::NAN, |unit| unit.count);
        let bounds = per_unit.map(|end| rounded_to(end, 1.0 / count));
        let [Some(low), Some(high)] = bounds else { return Ok(false) };
        Ok(again == *sci && self.scored()?.confirms_ends([low, high]))
    }

    /// What of the members beyond operation follows without integration.
    pub(super) fn check_beyond(&self) -> Result<(), Error> {
        if let Some(embodied) = &self.embodied {
            embodied.check(self.interval()?)?;
        }
        let Some(sci) = &self.sci else {
            return match &self.functional_unit {
                Some(_) => Err(rule("functional_unit", "a score that is per it")),
                None => Ok(()),
            };
        };
        let (low, high) = (sci.ci_lower_g_per_unit, sci.ci_upper_g_per_unit);
        if sci.g_per_unit > 0.0 && !(0.0 <= low && low < high && high.is_finite()) {
            return Err(rule("sci", "an interval of some width"));
        }
        let mut again = self.score_between(0.0, 0.0)?;
        (again.ci_lower_g_per_unit, again.ci_upper_g_per_unit) = (low, high);
        if again != *sci {
            let g_per_unit = again.g_per_unit;
            return Err(rule("sci", format!("{g_per_unit} g by the record's own figures")));
        }
        Ok(())
    }

    /// The intervals of the members beyond operation again, every digit.
    pub(super) fn recompute_beyond(&self) -> Result<(), Error> {
        if let Some(embodied) = &self.embodied {
            let mut again = embodied.clone();
            again.take(&embodied.model()?.evaluate(&Method::Analytical)?);
            if again != *embodied {
                let (low, high) = (again.ci_lower_g, again.ci_upper_g);
                return Err(rule("embodied", format!("from {low} to {high} g by its own inputs")));
            }
        }
        match &self.sci {
            Some(sci) if !self.confirms(sci)? && *sci != self.score()? => {
                Err(rule("sci", "the score and interval of the record's own inputs"))
            }
            _ => Ok(()),
        }
    }
}
