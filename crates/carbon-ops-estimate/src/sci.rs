//! Software Carbon Intensity after ISO/IEC 21031:2024: `SCI = (O + M) per R`.
//!
//! O are emissions of operation, `E · I`, M those of hardware ([`crate::embodied`]), R the functional unit, the
//! same for every component. I is the location's: average or marginal, which is named; a measure of markets
//! (a residual mix, certificates) is refused, as the standard asks for both O and M. Uncertainties are carried.
//!
//! ```
//! use carbon_ops_estimate::sci::{Component, FunctionalUnit, score};
//! use carbon_ops_estimate::intensity::Kind;
//! use carbon_ops_estimate::uncertainty::{Input, Model};
//! let model = |grams: f64, error: &str| {
//!     Model::product(grams, vec![Input::new("error", error.parse().unwrap())]).unwrap()
//! };
//! let unit: FunctionalUnit = "1000:request".parse()?;
//! let web = Component::new("web", model(57.0, "ln(1, 10%)"), Kind::Average, unit.clone())?
//!     .with_hardware(model(5.0, "ln(1, 36.5%)"));
//! let score = score(&[web])?;
//! assert!((score.g_per_unit.mean - 0.062).abs() < 1e-12);
//! assert!(score.g_per_unit.low < 0.062 && score.g_per_unit.high > 0.062);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Out of scope: offsets, which the standard leaves out; where energies and intensities are from.

use std::fmt;
use std::str::FromStr;

use crate::intensity::Kind;
use crate::uncertainty::{self, Estimate, Expression, Input, Method, Model};

/// Longest name of a unit: as long as a label of a record.
const NAME_MAX: usize = 128;

/// Why there is no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no functional unit.
    #[error("cannot read {0:?} as a functional unit")]
    Unit(String),
    /// A measure of markets.
    #[error(
        "the intensity of {0} is of a market ({1}), and ISO/IEC 21031 allows those of a location only"
    )]
    Market(String, Kind),
    /// Components that are measured in different units.
    #[error("{name} is per {unit}, the others are per {other}: R is the same for every component")]
    Units {
        /// The component.
        name: String,
        /// Its unit.
        unit: FunctionalUnit,
        /// The first one's unit.
        other: FunctionalUnit,
    },
    /// Nothing to be scored.
    #[error("a score needs at least one component")]
    Nothing,
    /// Numbers that are no model, or that carry no uncertainty.
    #[error(transparent)]
    Model(#[from] uncertainty::Error),
}

/// R: how many of what the emissions are divided by.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionalUnit {
    count: f64,
    name: String,
}

impl FunctionalUnit {
    /// So many of these.
    ///
    /// # Errors
    /// When the number is not above 0, or the name empty or longer than 128 bytes.
    pub fn new(count: f64, name: &str) -> Result<Self, Error> {
        let name = name.trim();
        let fine = count.is_finite() && count > 0.0 && !name.is_empty() && name.len() <= NAME_MAX;
        if fine && !name.chars().any(char::is_control) {
            return Ok(Self { count, name: name.to_owned() });
        }
        Err(Error::Unit(format!("{count}:{}", name.chars().take(60).collect::<String>())))
    }

    /// How many.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Of what.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for FunctionalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.name)
    }
}

/// `1000:request`; without a number it is one.
impl FromStr for FunctionalUnit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Unit(text.chars().take(60).collect());
        match text.split_once(':') {
            Some((count, name)) => {
                Self::new(count.trim().parse().map_err(|_| bad())?, name).map_err(|_| bad())
            }
            None => Self::new(1.0, text).map_err(|_| bad()),
        }
    }
}

/// A part of a system, within its boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    name: String,
    operational: Model,
    embodied: Option<Model>,
    signal: Kind,
    unit: FunctionalUnit,
}

impl Component {
    /// A part with its emissions of operation in gCO2e and the kind of intensity that they were priced with.
    ///
    /// # Errors
    /// When that is a measure of markets.
    pub fn new(
        name: &str,
        operational: Model,
        signal: Kind,
        unit: FunctionalUnit,
    ) -> Result<Self, Error> {
        match signal {
            Kind::Average | Kind::Marginal => {
                Ok(Self { name: name.to_owned(), operational, embodied: None, signal, unit })
            }
            Kind::Residual => Err(Error::Market(name.to_owned(), signal)),
        }
    }

    /// The same part with its share of making the hardware, in gCO2e.
    #[must_use]
    pub fn with_hardware(self, embodied: Model) -> Self {
        Self { embodied: Some(embodied), ..self }
    }
}

/// A score with what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// gCO2e per functional unit, with its interval and budget.
    pub g_per_unit: Estimate,
    /// O of all components, in gCO2e.
    pub operational_g: f64,
    /// M of all components, in gCO2e.
    pub embodied_g: f64,
    /// Kinds of intensity that O was priced with, each once.
    pub signals: Vec<Kind>,
    /// R.
    pub unit: FunctionalUnit,
}

/// The score of a system: the sum of its components. Inputs with equal keys are one variable.
///
/// # Errors
/// Without components, when their units differ, or when nothing in them is uncertain.
pub fn score(components: &[Component]) -> Result<Score, Error> {
    let Some(first) = components.first() else { return Err(Error::Nothing) };
    let (mut operational_g, mut embodied_g) = (0.0, 0.0);
    let (mut models, mut signals) = (Vec::new(), Vec::new());
    for component in components {
        if component.unit != first.unit {
            let Component { name, unit, .. } = component.clone();
            return Err(Error::Units { name, unit, other: first.unit.clone() });
        }
        operational_g += component.operational.mean();
        models.push(component.operational.clone());
        if let Some(embodied) = &component.embodied {
            embodied_g += embodied.mean();
            models.push(embodied.clone());
        }
        if !signals.contains(&component.signal) {
            signals.push(component.signal);
        }
    }
    let sum = Model::sum(models)?;
    let g_per_unit = sum.evaluate(&Method::Analytical)?.scaled(1.0 / first.unit.count);
    Ok(Score { g_per_unit, operational_g, embodied_g, signals, unit: first.unit.clone() })
}

/// The model of hardware: for each piece its grams and how well its total is known, added. Pieces with equal
/// keys share their error.
///
/// # Errors
/// When a number is none.
pub fn hardware_model(
    pieces: impl IntoIterator<Item = (f64, Input)>,
) -> Result<Model, uncertainty::Error> {
    let mut models = Vec::new();
    for (grams, relative) in pieces {
        models.push(Model::product(grams, vec![relative])?);
    }
    match models.pop() {
        Some(one) if models.is_empty() => Ok(one),
        Some(last) => {
            models.push(last);
            Model::sum(models)
        }
        None => Model::new(Vec::new(), Expression::Constant(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embodied::{Lifetime, Portion, amortised_g};

    /// Factors of nearly no uncertainty: the worked examples have none.
    fn exact(grams: f64) -> Model {
        Model::product(grams, vec![Input::new("error", "ln(1, 0.000001)".parse().unwrap())])
            .unwrap()
    }

    fn close(value: f64, expected: f64, relative: f64) {
        assert!((value / expected - 1.0).abs() < relative, "{value} is not {expected}");
    }

    fn unit() -> FunctionalUnit {
        "1:hour".parse().unwrap()
    }

    #[test]
    fn the_case_eshoppen_comes_out_as_it_was_worked() {
        // Green-Software-Foundation/sci-guide, case eShoppen, intensity 951 g/kWh, per hour: the database has
        // E = 0.0096 kWh, M = 1433.12 kg · 1/35040 · 2/16 = 5.1124 g, SCI 14.2416 (0.0096 · 951 = 9.1296).
        let share = Portion::new(2.0 / 16.0).unwrap();
        let hardware = |kg: f64| amortised_g(kg, 1.0, Lifetime::default(), share);
        let component = |name: &str, kwh: f64, kg: f64| {
            Component::new(name, exact(kwh * 951.0), Kind::Marginal, unit())
                .unwrap()
                .with_hardware(exact(hardware(kg)))
        };
        let database = component("database", 0.0096, 1433.12);
        let score = score(std::slice::from_ref(&database)).unwrap();
        // It prints 14.2416, having rounded M to 5.112.
        close(score.g_per_unit.mean, 14.2416, 5e-5);
        close(score.embodied_g, 5.1124, 1e-5);
        close(score.operational_g, 9.1296, 1e-6);
        // The whole is printed as 40.4196: with the application server's E of 0.023 kWh as printed there, M of
        // 4.305 as printed there, the sum is 14.2416 + 0.023 · 951 + 4.305 = 40.4196.
        let application =
            Component::new("application", exact(0.023 * 951.0), Kind::Marginal, unit())
                .unwrap()
                .with_hardware(exact(4.305));
        let all = super::score(&[database, application]).unwrap();
        close(all.g_per_unit.mean, 40.4196, 5e-5);
        assert_eq!(all.signals, [Kind::Marginal]);
        // An own computation of that server: E = 0.02394, M = 4.3005 g.
        close(hardware(1205.52), 4.3005, 1e-5);
    }

    #[test]
    fn uncertainty_is_that_of_the_sum_of_lognormals() {
        // u² = (57·0.1)² + (5·0.365)² = 32.49 + 3.330625, over 1000 requests: u = 0.005985033.
        let input = |text: &str| vec![Input::new("x", text.parse().unwrap())];
        let operation = Model::product(57.0, input("ln(1, 0.1)")).unwrap();
        let hardware = Model::product(5.0, input("ln(1, 0.365)")).unwrap();
        let unit: FunctionalUnit = "1000:request".parse().unwrap();
        let web = Component::new("web", operation, Kind::Average, unit).unwrap();
        let score = score(&[web.with_hardware(hardware)]).unwrap().g_per_unit;
        close(score.mean, 0.062, 1e-12);
        close(score.standard, 0.005_985_033, 1e-7);
        let share: Vec<_> = score.budget.shares.iter().map(|share| share.share).collect();
        close(share[0], 32.49 / 35.820_625, 1e-9);
    }

    #[test]
    fn measures_of_markets_other_units_and_nothing_are_refused() {
        let of = |kind, unit: &str| Component::new("web", exact(1.0), kind, unit.parse().unwrap());
        let market = of(Kind::Residual, "request").unwrap_err().to_string();
        assert!(market.contains("market"), "{market}");
        let mixed = [of(Kind::Average, "request").unwrap(), of(Kind::Average, "user").unwrap()];
        assert!(matches!(score(&mixed), Err(Error::Units { .. })));
        // The same unit, counted differently, is not the same R.
        let counted =
            [of(Kind::Average, "1:request").unwrap(), of(Kind::Average, "2:request").unwrap()];
        assert!(matches!(score(&counted), Err(Error::Units { .. })));
        assert_eq!(score(&[]), Err(Error::Nothing));
        let both = [of(Kind::Average, "request").unwrap(), of(Kind::Marginal, "request").unwrap()];
        assert_eq!(score(&both).unwrap().signals, [Kind::Average, Kind::Marginal]);
    }

    #[test]
    fn functional_units_are_read_or_refused() {
        for (text, count, name) in [
            ("1000:request", 1000.0, "request"),
            ("user hour", 1.0, "user hour"),
            ("1e6: token ", 1e6, "token"),
        ] {
            let unit: FunctionalUnit = text.parse().unwrap();
            close(unit.count(), count, 1e-15);
            assert_eq!(unit.name(), name);
        }
        for text in ["0:request", "-1:x", "NaN:x", "inf:x", "x:y", "", "3:", "1:a\nb"] {
            assert!(text.parse::<FunctionalUnit>().is_err(), "{text:?}");
        }
    }
}
