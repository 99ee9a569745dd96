//! What the library knows and computes without measuring: sums, labels, anomalies, places.
//!
//! Out of scope: files of records (`carbon-ops aggregate`).

use std::io;

use carbon_ops::estimate::anomaly::{Rule, Verdict, judge};
use carbon_ops::estimate::embodied::device;
use carbon_ops::estimate::label::Label;
use carbon_ops::estimate::taxonomy::Regime;
use carbon_ops::estimate::uncertainty::planning::{
    power_analysis_required_n, power_analysis_required_n_estimated,
};
use carbon_ops::grid::{Interval, Place, Row, Want, zones as places};
use carbon_ops::record::Record;
use carbon_ops::record::totals::{Accounts, Addend, Adder, GroupBy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;

use crate::errors::of_part;
use crate::logger::settings;

fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Sums over records, given as JSON, as JSON: `groups` and `all`, as `carbon-ops aggregate` has them.
#[pyfunction]
#[pyo3(signature = (records, by = "all"))]
pub(crate) fn aggregate(py: Python<'_>, records: Vec<String>, by: &str) -> PyResult<String> {
    let by: GroupBy = by.parse().map_err(wrong)?;
    py.detach(|| {
        let scratch = carbon_ops::records::scratch;
        let new_scratch: &dyn Fn() -> io::Result<Box<dyn carbon_ops::record::rows::Scratch>> =
            &scratch;
        let summed = |known: Option<Accounts>| {
            let mut adder = Adder::new(new_scratch).knowing(known);
            for text in &records {
                let mut value: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
                if let Some(object) = value.as_object_mut() {
                    object.remove("energy_interval_kwh");
                }
                let record = Record::from_json(value).map_err(wrong)?;
                let addend = Addend::of(record, text.as_bytes(), &by, false).map_err(of_part)?;
                adder.add(addend).map_err(of_part)?;
            }
            Ok::<_, PyErr>(adder)
        };
        let mut adder = summed(None)?;
        if let Some(known) = adder.accounts() {
            adder = summed(Some(known))?;
        }
        let sums = adder.finish(None, None).map_err(of_part)?;
        let groups: serde_json::Map<_, _> = sums
            .groups
            .iter()
            .map(|(name, totals)| {
                Ok((name.clone(), serde_json::to_value(totals).map_err(of_part)?))
            })
            .collect::<PyResult<_>>()?;
        Ok(json!({ "groups": groups, "all": sums.all, "counts": sums.counts }).to_string())
    })
}

/// Whether the last of some values stands out from those before it, and its score; a score is `inf` where all before were
/// one value. `limit`: `None` for the one of 0.27 % false alarms.
#[pyfunction]
#[pyo3(signature = (values, window = 5, limit = None, robust = false))]
pub(crate) fn anomaly(
    values: Vec<f64>,
    window: usize,
    limit: Option<f64>,
    robust: bool,
) -> (bool, f64) {
    let rule = if robust { Rule::Robust } else { Rule::ZScore };
    let limit = limit.unwrap_or_else(|| rule.usual_limit(window));
    match judge(&values, rule, window).pop() {
        None | Some(Verdict::TooFew) => (false, 0.0),
        Some(Verdict::Flat) => (true, f64::INFINITY),
        Some(Verdict::Score(score)) => (score.abs() > limit, score),
    }
}

/// A rating, and what emits as much: `[(name, count)]`.
#[pyfunction]
pub(crate) fn label(grams: f64) -> PyResult<(String, Vec<(&'static str, f64)>)> {
    let label = Label::new(grams, (grams, grams)).map_err(wrong)?;
    let equivalents = label.equivalents().map(|(each, count, _)| (each.name, count)).collect();
    Ok((label.rating().to_string(), equivalents))
}

/// The class of a part of hardware in the whole.
#[pyfunction]
pub(crate) fn theta(part: f64) -> &'static str {
    Regime::of_theta(part).class()
}

/// A device of the table: its total in kgCO2e, its lifetime in hours, and where both are from.
#[pyfunction]
pub(crate) fn embodied(name: &str) -> PyResult<(f64, f64, String)> {
    let device = device(name).map_err(wrong)?;
    Ok((device.total_kg, device.life.as_hours(), device.source.to_owned()))
}

/// How many runs of each of two variants find a difference of their means.
#[pyfunction]
#[pyo3(signature = (sd, effect, alpha = 0.05, power = 0.8, estimated = false))]
pub(crate) fn required_runs(
    sd: f64,
    effect: f64,
    alpha: f64,
    power: f64,
    estimated: bool,
) -> PyResult<u64> {
    let runs =
        if estimated { power_analysis_required_n_estimated } else { power_analysis_required_n };
    runs(sd, effect, alpha, power).map_err(wrong)
}

/// The built-in places: zone, name, g/kWh of an hour from now on.
#[pyfunction]
pub(crate) fn zones() -> PyResult<Vec<(String, String, f64)>> {
    let now = carbon_ops::env::Env::now();
    let hour = Interval::new(now, now + jiff::SignedDuration::from_hours(1)).map_err(of_part)?;
    let mut all = Vec::new();
    for zone in places::built_in() {
        let place = Place::parse(zone).map_err(of_part)?;
        let row = Row::finest(&place, &Want::AVERAGE).map_err(of_part)?;
        all.push((zone.to_owned(), row.name().to_owned(), row.whole(hour).mean()));
    }
    Ok(all)
}

/// Whose cloud a place is a region of, where it is one.
#[pyfunction]
pub(crate) fn cloud_of_region(place: &str) -> PyResult<Option<String>> {
    let place = Place::parse(place).map_err(of_part)?;
    Ok(place.cloud.as_ref().map(|(cloud, _)| cloud.as_str().to_owned()))
}

/// All settings: name, value, origin.
#[pyfunction]
pub(crate) fn config_shown() -> PyResult<Vec<(String, Option<String>, String)>> {
    let (_, settings) = settings(None)?;
    let shown = settings.shown.iter();
    Ok(shown.map(|of| (of.name.to_owned(), of.value.clone(), of.origin.to_string())).collect())
}
