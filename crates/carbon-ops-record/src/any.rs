//! A record of any version, for those who read records and do not write them.
//!
//! Deliberately absent: what only one of the versions has.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Quality, Record, v2};
use carbon_ops_estimate::uncertainty::{Distribution, Input, Model};

/// The newest version that is understood.
pub const NEWEST: u64 = v2::SCHEMA_VERSION;

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub enum Any {
    /// Of schema version 1.
    V1(Box<Record>),
    /// Of schema version 2.
    V2(Box<v2::Record>),
}

impl Any {
    /// Reads a record from the JSON object of a ledger entry, without the ledger's own members, and
    /// checks it by the rules of the version that it says it has.
    ///
    /// # Errors
    /// As [`Record::from_json`] and [`v2::Record::from_json`].
    pub fn from_json(value: Value) -> Result<Self, Error> {
        if value.get("schema_version").and_then(Value::as_u64) == Some(v2::SCHEMA_VERSION) {
            return v2::Record::from_json(value).map(|record| Self::V2(Box::new(record)));
        }
        Record::from_json(value).map(|record| Self::V1(Box::new(record)))
    }

    /// Derives the estimate again and compares every digit.
    ///
    /// # Errors
    /// The first member that differs.
    pub fn recompute(&self) -> Result<(), Error> {
        match self {
            Self::V1(record) => record.recompute(),
            Self::V2(record) => record.recompute(),
        }
    }

    /// The measurement, as a record of v1 has it; none of a span that was not measured by this program.
    pub fn measurement(&self) -> Option<Cow<'_, Record>> {
        match self {
            Self::V1(record) => Some(Cow::Borrowed(record.as_ref())),
            Self::V2(record) => record.as_v1().map(Cow::Owned),
        }
    }

    /// Emissions in gCO2e.
    pub fn grams(&self) -> f64 {
        match self {
            Self::V1(record) => record.grams,
            Self::V2(record) => record.grams,
        }
    }

    /// Keys of shared errors, each with the coefficient of variation that it gives the grams: negative
    /// where they fall as the shared variable rises.
    ///
    /// # Errors
    /// When an input is no distribution.
    pub fn shared_errors(&self) -> Result<Vec<(&str, f64)>, Error> {
        let cv = |distribution: Distribution, sign: Option<i8>| {
            let cv = distribution.variance().sqrt() / distribution.mean();
            if sign == Some(-1) { -cv } else { cv }
        };
        let mut errors = Vec::new();
        match self {
            Self::V1(record) => {
                for input in &record.inputs {
                    let Some(key) = &input.shared else { continue };
                    errors.push((key.as_str(), cv(input.distribution()?, input.sign)));
                }
            }
            Self::V2(record) => {
                for input in &record.inputs {
                    let Some(key) = &input.shared else { continue };
                    errors.push((key.as_str(), cv(input.distribution()?, input.sign)));
                }
            }
        }
        errors.retain(|(_, cv)| cv.is_finite());
        Ok(errors)
    }

    /// The model of the grams. Inputs of several records with equal keys are one random variable.
    ///
    /// # Errors
    /// When an input is no distribution.
    pub fn model(&self) -> Result<Model, Error> {
        let mut factors = Vec::new();
        let mut factor = |name: &str, of: Distribution, shared: Option<&str>, sign: Option<i8>| {
            // What has a mean of 0 makes grams of 0, and has no relative distribution.
            if of.mean() <= 0.0 {
                return;
            }
            let input = Input::new(name, v2::over_mean(of));
            let input = match shared {
                Some(key) => input.shared(key),
                None => input,
            };
            factors.push(if sign == Some(-1) { input.opposed() } else { input });
        };
        match self {
            Self::V1(record) => {
                for input in &record.inputs {
                    let shared = input.shared.as_deref();
                    factor(&input.name, input.distribution()?, shared, input.sign);
                }
            }
            Self::V2(record) => {
                for input in &record.inputs {
                    let shared = input.shared.as_deref();
                    factor(&input.name, input.distribution()?, shared, input.sign);
                }
            }
        }
        Ok(Model::product(self.grams(), factors)?)
    }

    /// What the span is charged with for its hardware, where the record says.
    pub fn embodied(&self) -> Option<&v2::Embodied> {
        match self {
            Self::V1(_) => None,
            Self::V2(record) => record.embodied.as_ref(),
        }
    }

    /// Energy in kWh, without and with that of the site.
    pub fn energy_kwh(&self) -> (f64, f64) {
        match self {
            Self::V1(record) => (record.energy_kwh, record.total_energy_with_pue_kwh),
            Self::V2(record) => (record.energy_kwh, record.total_energy_with_pue_kwh),
        }
    }

    /// Grid intensity in gCO2e/kWh.
    pub fn intensity_g_per_kwh(&self) -> f64 {
        match self {
            Self::V1(record) => record.intensity_g_per_kwh,
            Self::V2(record) => record.intensity_g_per_kwh,
        }
    }

    /// Ends of the interval in gCO2e.
    pub fn interval_g(&self) -> (f64, f64) {
        match self {
            Self::V1(record) => (record.meta.ci_lower_g, record.meta.ci_upper_g),
            Self::V2(record) => (record.meta.ci_lower_g, record.meta.ci_upper_g),
        }
    }

    /// Standard uncertainty in percent.
    pub fn uncertainty_pct(&self) -> f64 {
        match self {
            Self::V1(record) => record.uncertainty_pct,
            Self::V2(record) => record.uncertainty_pct,
        }
    }

    /// Part that was measured and priced by its own time, in percent.
    pub fn coverage_pct(&self) -> f64 {
        match self {
            Self::V1(record) => record.coverage_pct,
            Self::V2(record) => record.coverage_pct,
        }
    }

    /// What stands behind the numbers.
    pub fn quality(&self) -> Quality {
        match self {
            Self::V1(record) => record.quality_flag,
            Self::V2(record) => record.quality_flag,
        }
    }

    /// Whether the energy was invented or another machine's.
    pub fn is_simulated(&self) -> bool {
        match self {
            Self::V1(record) => record.simulated == Some(true),
            Self::V2(record) => record.simulated == Some(true),
        }
    }

    /// The grid zone.
    pub fn region(&self) -> &str {
        match self {
            Self::V1(record) => &record.region,
            Self::V2(record) => &record.region,
        }
    }

    /// Where the intensity comes from.
    pub fn source(&self) -> &str {
        match self {
            Self::V1(record) => &record.source,
            Self::V2(record) => &record.source,
        }
    }

    /// What the intensity counts.
    pub fn signal(&self) -> &str {
        match self {
            Self::V1(record) => &record.signal,
            Self::V2(record) => &record.signal,
        }
    }

    /// The host, where it is known.
    pub fn host_id(&self) -> Option<&str> {
        match self {
            Self::V1(record) => Some(&record.host_id),
            Self::V2(record) => record.host_id.as_deref(),
        }
    }

    /// The user's labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::V1(record) => &record.labels,
            Self::V2(record) => &record.labels,
        }
    }

    /// Start and end of the span: UTC, six decimals.
    pub fn times(&self) -> (&str, &str) {
        match self {
            Self::V1(record) => (&record.start_ts, &record.end_ts),
            Self::V2(record) => (&record.start_ts, &record.end_ts),
        }
    }

    /// The program that was run, or the caller's name of the span.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::V1(record) => Some(&record.workload.program),
            Self::V2(record) => match &record.workload {
                Some(workload) => Some(&workload.program),
                None => record.id.as_deref(),
            },
        }
    }
}
