//! A budget: what a piece of work may use and emit at most, held against the interval of what it did.
//!
//! The rule: it is over where even the lower end of the interval is, under where even the upper end is not, and in
//! between nobody can tell.
//!
//! Out of scope: what follows from it, and how it is told.

use anyhow::Result;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_record::Record;

use crate::fault::Fault;

/// How a figure stands to what is allowed; the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The whole interval is at most the budget.
    Under,
    /// The budget lies within the interval.
    Unclear,
    /// The whole interval is above the budget.
    Over,
}

impl Standing {
    /// Of an interval from `low` to `high`, both in the unit of `most`.
    #[must_use]
    pub fn of(low: f64, high: f64, most: f64) -> Self {
        if low > most {
            Self::Over
        } else if high <= most {
            Self::Under
        } else {
            // Also where an end is no number.
            Self::Unclear
        }
    }
}

/// What is allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    energy_kwh: Option<f64>,
    carbon_g: Option<f64>,
}

/// A part of a budget, and what was used of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Energy or carbon; of all that follows the unit is that of [`Quantity::unit`].
    pub quantity: Quantity,
    /// What is allowed.
    pub most: f64,
    /// The lower end of what was used.
    pub low: f64,
    /// The upper end of what was used.
    pub high: f64,
    /// How the one stands to the other.
    pub standing: Standing,
}

impl Budget {
    /// Amounts with their units, such as `5kWh` and `2kg`; without one, there is no limit.
    ///
    /// # Errors
    /// When a text is no amount, or not one that is known exactly and not negative ([`Fault::NoLimit`]).
    pub fn parse(energy: Option<&str>, carbon: Option<&str>) -> Result<Self> {
        let limit = |quantity: Quantity, text: Option<&str>| {
            let Some(text) = text else { return Ok(None) };
            let limit = quantity.read(text)?;
            if !limit.is_point() || limit.mean() < 0.0 {
                return Err(Fault::NoLimit(text.to_owned()).into());
            }
            anyhow::Ok(Some(limit.mean()))
        };
        Ok(Self {
            energy_kwh: limit(Quantity::Energy, energy)?,
            carbon_g: limit(Quantity::Carbon, carbon)?,
        })
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// Each part held against a record: the energy of the work itself, and the carbon of its operation together
    /// with that of the hardware that the record has.
    ///
    /// # Errors
    /// When the record's inputs break a rule.
    pub fn judge(&self, record: &Record) -> Result<Vec<Judged>> {
        let judged = |quantity, most, (low, high)| {
            let standing = Standing::of(low, high, most);
            Judged { quantity, most, low, high, standing }
        };
        let energy = self.energy_kwh.map(|most| {
            // What has no interval is exact.
            let exact = (record.energy_kwh, record.energy_kwh);
            let ends = record.energy().map_or(exact, |energy| {
                (energy.low().as_kilowatt_hours(), energy.high().as_kilowatt_hours())
            });
            judged(Quantity::Energy, most, ends)
        });
        let carbon = self.carbon_g.map(|most| {
            let (_, ends) = record.whole_g()?;
            anyhow::Ok(judged(Quantity::Carbon, most, ends))
        });
        Ok(energy.into_iter().chain(carbon.transpose()?).collect())
    }
}

/// The worst of the parts; under where there are none.
#[must_use]
pub fn worst(parts: &[Judged]) -> Standing {
    parts.iter().map(|part| part.standing).max().unwrap_or(Standing::Under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CarbonEstimator, KilowattHours};

    #[test]
    fn an_interval_is_over_under_or_around_its_budget() {
        for (low, high, most, expected) in [
            (1.0, 2.0, 3.0, Standing::Under),
            (1.0, 2.0, 2.0, Standing::Under),
            (1.0, 2.0, 1.5, Standing::Unclear),
            (1.0, 2.0, 1.0, Standing::Unclear),
            (1.0, 2.0, 0.9, Standing::Over),
            // What is exact may be all of it, and not more.
            (2.0, 2.0, 2.0, Standing::Under),
            (2.0, 2.0, 1.9, Standing::Over),
            (0.0, 0.0, 0.0, Standing::Under),
            (0.0, 1e-9, 0.0, Standing::Unclear),
            (f64::NAN, f64::NAN, 1.0, Standing::Unclear),
        ] {
            assert_eq!(Standing::of(low, high, most), expected, "{low} to {high} of {most}");
        }
    }

    #[test]
    fn a_budget_is_an_amount_with_a_unit() {
        let parse = |energy, carbon| Budget::parse(energy, carbon);
        let kwh = |text| parse(Some(text), None).unwrap().energy_kwh;
        assert_eq!([kwh("5kWh"), kwh("5000 Wh"), kwh("18MJ")], [Some(5.0); 3]);
        assert_eq!(parse(None, Some("2kg")).unwrap().carbon_g, Some(2000.0));
        assert!(parse(None, None).unwrap().is_unlimited());
        assert!(!parse(Some("0 J"), None).unwrap().is_unlimited());
        for text in ["5", "5 kg", "much", "", "inf kWh", "-5kWh"] {
            assert!(parse(Some(text), None).is_err(), "{text}");
        }
        for text in ["5kWh ± 1kWh", "u(1, 2)kWh"] {
            let error = parse(Some(text), None).unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(Fault::NoLimit(_))), "{error:?}");
        }
    }

    /// Half a kWh that is known exactly, at the grid of Germany: the energy has no interval, the carbon has one
    /// around its mean.
    #[test]
    fn a_record_is_held_against_each_part_and_the_worst_one_counts() {
        let [from, to] =
            ["2025-03-01T09:00Z", "2025-03-01T10:00Z"].map(|time| time.parse().unwrap());
        let energy = KilowattHours::new(0.5).unwrap();
        let estimator = CarbonEstimator::at("DE").unwrap();
        let record = estimator.estimate_over_span(energy, from, to, None).unwrap();
        let (low, grams, high) = (record.meta.ci_lower_g, record.grams, record.meta.ci_upper_g);
        assert!(low < grams && grams < high);
        let standing = |energy: Option<&str>, carbon: Option<f64>| {
            let carbon = carbon.map(|grams| format!("{grams}g"));
            let parts = Budget::parse(energy, carbon.as_deref()).unwrap().judge(&record).unwrap();
            assert_eq!(parts.len(), usize::from(energy.is_some()) + usize::from(carbon.is_some()));
            worst(&parts)
        };
        assert_eq!(standing(None, None), Standing::Under);
        assert_eq!(standing(Some("0.5kWh"), None), Standing::Under);
        assert_eq!(standing(Some("0.499kWh"), None), Standing::Over);
        assert_eq!(standing(None, Some(high)), Standing::Under);
        assert_eq!(standing(None, Some(grams)), Standing::Unclear);
        assert_eq!(standing(None, Some(low * 0.999)), Standing::Over);
        assert_eq!(standing(Some("1kWh"), Some(grams)), Standing::Unclear);
        assert_eq!(standing(Some("0.1kWh"), Some(grams)), Standing::Over);
        assert_eq!(standing(Some("0.1kWh"), Some(high)), Standing::Over);
    }
}
