//! Software Carbon Intensity after ISO/IEC 21031:2024: `SCI = (O + M) per R`.
//!
//! O are emissions of operation, `E · I`, M those of hardware ([`crate::embodied`]), R the functional unit.
//!
//! Out of scope: offsets, which the standard leaves out; where energies and intensities are from.

use std::fmt;
use std::str::FromStr;

use crate::uncertainty::{self, Expression, Input, Model};

/// Longest name of a unit: as long as a label of a record.
const NAME_MAX: usize = 128;

/// A text, or a number and a name, that are no functional unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {0:?} as a functional unit")]
pub struct UnknownUnit(String);

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
    pub fn new(count: f64, name: &str) -> Result<Self, UnknownUnit> {
        let name = name.trim();
        let fine = count.is_finite() && count > 0.0 && !name.is_empty() && name.len() <= NAME_MAX;
        if fine && !name.chars().any(char::is_control) {
            return Ok(Self { count, name: name.to_owned() });
        }
        Err(UnknownUnit(format!("{count}:{}", name.chars().take(60).collect::<String>())))
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
    type Err = UnknownUnit;

    fn from_str(text: &str) -> Result<Self, UnknownUnit> {
        let bad = || UnknownUnit(text.chars().take(60).collect());
        match text.split_once(':') {
            Some((count, name)) => {
                Self::new(count.trim().parse().map_err(|_| bad())?, name).map_err(|_| bad())
            }
            None => Self::new(1.0, text).map_err(|_| bad()),
        }
    }
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
    use crate::uncertainty::Method;

    fn close(value: f64, expected: f64, relative: f64) {
        assert!((value / expected - 1.0).abs() < relative, "{value} is not {expected}");
    }

    fn input(text: &str) -> Input {
        Input::new("error", text.parse().unwrap())
    }

    #[test]
    fn the_case_eshoppen_comes_out_as_it_was_worked() {
        // Green-Software-Foundation/sci-guide, case eShoppen, intensity 951 g/kWh, per hour: the database has
        // E = 0.0096 kWh, M = 1433.12 kg · 1/35040 · 2/16 = 5.1124 g, SCI 14.2416 (0.0096 · 951 = 9.1296).
        let share = Portion::new(2.0 / 16.0).unwrap();
        let hardware = |kg: f64| amortised_g(kg, 1.0, Lifetime::default(), share);
        // A factor of nearly no uncertainty: the worked example has none.
        let of = |kwh: f64, pieces: &[f64]| {
            let exact = || input("ln(1, 0.000001)");
            let operation = Model::product(kwh * 951.0, vec![exact()]).unwrap();
            let pieces = pieces.iter().map(|grams| (*grams, exact()));
            Model::sum([operation, hardware_model(pieces).unwrap()]).unwrap().mean()
        };
        close(hardware(1433.12), 5.1124, 1e-5);
        // It prints 14.2416, having rounded M to 5.112.
        close(of(0.0096, &[hardware(1433.12)]), 14.2416, 5e-5);
        // The whole is printed as 40.4196: with the application server's E of 0.023 kWh as printed there, M of
        // 4.305 as printed there, the sum is 14.2416 + 0.023 · 951 + 4.305 = 40.4196.
        close(of(0.0096 + 0.023, &[hardware(1433.12), 4.305]), 40.4196, 5e-5);
        // An own computation of that server: E = 0.02394, M = 4.3005 g.
        close(hardware(1205.52), 4.3005, 1e-5);
    }

    #[test]
    fn uncertainty_is_that_of_the_sum_of_lognormals() {
        // u² = (57·0.1)² + (5·0.365)² = 32.49 + 3.330625.
        let operation = Model::product(57.0, vec![input("ln(1, 0.1)")]).unwrap();
        let hardware = hardware_model([(5.0, input("ln(1, 0.365)"))]).unwrap();
        let sum = Model::sum([operation, hardware]).unwrap();
        let score = sum.evaluate(&Method::Analytical).unwrap();
        close(score.mean, 62.0, 1e-12);
        close(score.standard, 35.820_625_f64.sqrt(), 1e-7);
        let share: Vec<_> = score.budget.shares.iter().map(|share| share.share).collect();
        close(share[0], 32.49 / 35.820_625, 1e-9);
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
