//! Sums of records by trials (JCGM 101): each trial draws every input of every record, inputs with one key
//! once, from the distributions that stand in the records.
//!
//! Out of scope: budgets, which are those of the moments ([`Group`](super::Group)).

use super::figure::{Figure, How, over};
use super::group::{GroupTheta, Totals};
use crate::{Error, Record};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::uncertainty::{Model, MonteCarlo, Sampled};

/// Intervals of a group by trials.
///
/// The grams stay the sum of the records' own, which is the exact mean of the model; `mean` of each
/// [`Sampled`] is how near the trials came to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint {
    /// Operation of all records.
    pub operational: Sampled,
    /// Hardware of those that have it.
    pub embodied: Option<Sampled>,
    /// Both together.
    pub whole: Option<Sampled>,
    /// Ends of O / M, where every record has hardware.
    ratio: Option<(f64, f64)>,
}

impl Joint {
    /// Of these records. The trials of each figure are those of its own inputs: equal records and settings
    /// give equal digits.
    ///
    /// # Errors
    /// When an input is no distribution, or the settings are impossible.
    pub fn of(records: &[&Record], settings: &MonteCarlo) -> Result<Self, Error> {
        let (mut operation, mut hardware) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            operation.push(record.model()?);
            if let Some(embodied) = &record.embodied {
                hardware.push(embodied.model_of(&format!("record {index}: "))?);
            }
        }
        let all = hardware.len() == operation.len();
        let operation = Model::sum(operation)?;
        let mut joint = Self {
            operational: operation.sample(settings)?,
            embodied: None,
            whole: None,
            ratio: None,
        };
        if hardware.is_empty() {
            return Ok(joint);
        }
        let hardware = Model::sum(hardware)?;
        joint.embodied = Some(hardware.sample(settings)?);
        let whole = Model::sum([operation.clone(), hardware.clone()])?;
        joint.whole = Some(whole.sample(settings)?);
        if all && hardware.mean() > 0.0 {
            let ratio = Model::quotient(operation, hardware)?.sample(settings)?;
            joint.ratio = Some((ratio.low, ratio.high));
        }
        Ok(joint)
    }
}

impl Totals {
    /// The same sums with the uncertainties and intervals of trials; shares of the variance stay those of
    /// first order.
    #[must_use]
    pub fn by_trials(self, joint: &Joint) -> Self {
        let figure = |figure: Option<Figure>, sampled: &Option<Sampled>| {
            let (figure, sampled) = figure.zip(sampled.as_ref())?;
            Some(Figure {
                ci_lower_g: round9(sampled.low),
                ci_upper_g: round9(sampled.high),
                interval_method: How::MonteCarlo,
                relative_uncertainty_pct: over(100.0 * sampled.standard, figure.total_grams),
                ..figure
            })
        };
        let theta = self.theta.map(|theta| {
            // θ = 1 / (1 + O/M) falls as O/M rises. Without a ratio there is no hardware, and θ is exact.
            let of = |ratio: f64| 1.0 / (1.0 + ratio.max(0.0));
            let by = |(low, high)| GroupTheta::new(theta.theta, of(high), of(low));
            joint.ratio.map_or_else(|| theta.clone(), by)
        });
        let operational = &joint.operational;
        Self {
            ci_lower_g: round9(operational.low),
            ci_upper_g: round9(operational.high),
            embodied: figure(self.embodied, &joint.embodied),
            interval_method: How::MonteCarlo,
            relative_uncertainty_pct: over(100.0 * operational.standard, self.total_grams),
            theta,
            whole: figure(self.whole, &joint.whole),
            ..self
        }
    }
}
