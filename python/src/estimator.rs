//! Pricing energy.
//!
//! Out of scope: measuring it (`logger`).

use carbon_ops::grid::Interval;
use carbon_ops::{
    CarbonEstimator, Energy, Env, EstimatorSettings, KilowattHours, Method, Record, SourceName,
};
use jiff::Timestamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::{of_part, raised};
use crate::logger::Measured;

/// Prices energy.
#[pyclass(frozen, module = "carbon_ops._native")]
pub(crate) struct Estimator {
    estimator: CarbonEstimator,
}

/// An instant, in microseconds since 1970.
fn instant(microseconds: i64) -> PyResult<Timestamp> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// An energy as text, with its unit and what is not known of it: `1.2kWh ± 2%`.
fn energy(text: &str) -> PyResult<Energy> {
    text.parse().map_err(raised)
}

fn json(record: &Record) -> PyResult<String> {
    // What readers of a record want besides: the interval of its energy, which is in its inputs.
    let mut value = serde_json::to_value(record).map_err(of_part)?;
    if let (Some(energy), Some(object)) = (record.energy(), value.as_object_mut()) {
        let ends = [energy.low(), energy.high()].map(KilowattHours::as_kilowatt_hours);
        object.insert("energy_interval_kwh".to_owned(), serde_json::json!(ends));
    }
    Ok(value.to_string())
}

#[pymethods]
impl Estimator {
    /// Of a place, with everything else as settings say. `environment`: whether environment and file are asked.
    #[new]
    #[pyo3(signature = (place = None, pue = None, intensity = None, sources = Vec::new(), market = None,
                        labels = Vec::new(), missing = None, seed = None, trials = None, environment = true))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        place: Option<String>,
        pue: Option<String>,
        intensity: Option<String>,
        sources: Vec<String>,
        market: Option<String>,
        labels: Vec<(String, String)>,
        missing: Option<String>,
        seed: Option<u64>,
        trials: Option<u64>,
        environment: bool,
    ) -> PyResult<Self> {
        let sources: Result<Vec<_>, _> =
            sources.iter().map(|name| SourceName::parse(name)).collect();
        let missing = missing.map(|word| {
            word.parse().map_err(|_| {
                PyValueError::new_err(format!(
                    "missing_policy {word:?} is none of step, interpolate, drop"
                ))
            })
        });
        let method = match seed {
            None => Method::Analytical,
            Some(seed) => sampling(seed, trials),
        };
        let stated = EstimatorSettings {
            place,
            pue,
            intensity,
            sources: sources.map_err(raised)?,
            missing: missing.transpose()?,
            method,
            market: market.map(Into::into),
            labels: labels.into_iter().collect(),
            parent: None,
        };
        let estimator = if environment {
            CarbonEstimator::over_environment(stated, &Env::real())
        } else {
            CarbonEstimator::new(stated)
        };
        Ok(Self { estimator: estimator.map_err(raised)? })
    }

    /// The record of an energy over a span, as JSON.
    fn over_span(&self, py: Python<'_>, text: &str, from: i64, to: i64) -> PyResult<String> {
        let (energy, from, to) = (energy(text)?, instant(from)?, instant(to)?);
        py.detach(|| {
            let record =
                self.estimator.estimate_over_span(energy, from, to, None).map_err(raised)?;
            json(&record)
        })
    }

    /// Grams and the ends of their interval for each of many energies in kWh over one span.
    fn many(
        &self,
        py: Python<'_>,
        kwh: Vec<f64>,
        from: i64,
        to: i64,
    ) -> PyResult<Vec<(f64, f64, f64)>> {
        let span = Interval::new(instant(from)?, instant(to)?)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        py.detach(|| self.estimator.grams_of_each(&kwh, span).map_err(raised))
    }

    /// The record of what was measured, as JSON.
    fn measured(&self, py: Python<'_>, measured: &Measured) -> PyResult<String> {
        py.detach(|| {
            let record = self.estimator.estimate_measured(&measured.measured).map_err(raised)?;
            json(&record)
        })
    }
}

fn sampling(seed: u64, trials: Option<u64>) -> Method {
    use carbon_ops::estimate::uncertainty::{MonteCarlo, Trials};
    let usual = MonteCarlo::seeded(seed);
    let trials = trials.map_or(usual.trials, Trials::Fixed);
    Method::MonteCarlo(MonteCarlo { trials, ..usual })
}
