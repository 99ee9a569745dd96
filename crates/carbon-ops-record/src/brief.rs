//! A record in brief: what a sum needs of it, and no more.
//!
//! Rule: sums make of the brief of a record what they make of the record: the same grams and energies in the same groups,
//! and the same uncertainty, alone and together with others. The errors that it shares stand in it one by one; all others
//! are one error, which makes up the rest of its uncertainty.
//!
//! Out of scope: how lines are read and written; making the figures of a brief again, which takes the record.

use std::collections::BTreeMap;

use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::uncertainty::{Coverage, Distribution, LEVEL};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{
    Gas, Grid, Input, Meta, MethodName, Record, SCHEMA_VERSION, Scope, Slots, Unit,
};
use crate::{Error, Quality, RecordKind, RecordType, rule, timestamp};

/// What the members of a brief have lost to rounding at nine digits, and what products of them lose.
const ROUNDING: f64 = 1e-7;

/// What a sum needs of a record. Its members are those of [`Record`], but for `shared`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// Lower end of the interval, gCO2e.
    pub ci_lower_g: f64,
    /// Upper end, gCO2e.
    pub ci_upper_g: f64,
    /// See [`Record::coverage_pct`].
    pub coverage_pct: f64,
    /// RFC 3339.
    pub end_ts: String,
    /// See [`Record::energy_kwh`].
    pub energy_kwh: f64,
    /// See [`Record::gases`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gases: Option<Gas>,
    /// See [`Record::grams`].
    pub grams: f64,
    /// See [`Record::host_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// See [`Record::id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// See [`Record::labels`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// See [`Record::parent`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// See [`Record::pue_used`].
    pub pue_used: f64,
    /// See [`Record::quality_flag`].
    pub quality_flag: Quality,
    /// See [`Record::record_id`].
    pub record_id: String,
    /// See [`Record::region`].
    pub region: String,
    /// See [`Record::scopes`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// [`Record::shared_errors`]: coefficients of variation by key, negative where grams fall as the shared variable rises.
    pub shared: BTreeMap<String, f64>,
    /// See [`Record::signal`].
    pub signal: String,
    /// See [`Record::simulated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// See [`Record::source`].
    pub source: String,
    /// RFC 3339.
    pub start_ts: String,
    /// See [`Record::uncertainty_pct`].
    pub uncertainty_pct: f64,
    /// See [`Record::unit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

impl Brief {
    /// Of a record.
    ///
    /// # Errors
    /// When an input of the record is no distribution, which its check would have found.
    pub fn of(record: &Record) -> Result<Self, Error> {
        Ok(Self {
            ci_lower_g: record.meta.ci_lower_g,
            ci_upper_g: record.meta.ci_upper_g,
            coverage_pct: record.coverage_pct,
            end_ts: record.end_ts.clone(),
            energy_kwh: record.energy_kwh,
            gases: record.gases,
            grams: record.grams,
            host_id: record.host_id.clone(),
            id: record.id.clone(),
            labels: record.labels.clone(),
            parent: record.parent.clone(),
            pue_used: record.pue_used,
            quality_flag: record.quality_flag,
            record_id: record.record_id.clone(),
            region: record.region.clone(),
            scopes: record.scopes.clone(),
            shared: shared(&record.shared_errors()?),
            signal: record.signal.clone(),
            simulated: record.simulated,
            source: record.source.clone(),
            start_ts: record.start_ts.clone(),
            uncertainty_pct: record.uncertainty_pct,
            unit: record.unit.clone(),
        })
    }

    /// What sums take for the record. It has the brief's figures, and stand-ins for what is not in a brief: each error
    /// is a factor, and those that are shared with nothing are one.
    ///
    /// # Errors
    /// When its figures contradict each other, or a time is none.
    pub fn into_record(self) -> Result<Record, Error> {
        self.check()?;
        let time = |member, text: &str| {
            let time: Result<Timestamp, _> = text.parse();
            time.map(timestamp).map_err(|_| rule(member, "RFC 3339 with an offset"))
        };
        let with_pue = round9(self.energy_kwh * self.pue_used);
        let intensity = if with_pue > 0.0 { round9(self.grams / with_pue) } else { 0.0 };
        let (inputs, meta) = (self.inputs(intensity), self.meta());
        Ok(Record {
            budget: Vec::new(),
            coverage_pct: self.coverage_pct,
            embodied: None,
            end_ts: time("end_ts", &self.end_ts)?,
            energy_kwh: self.energy_kwh,
            functional_unit: None,
            gases: self.gases,
            grams: self.grams,
            grid: Grid {
                coverage_pct: self.coverage_pct,
                estimated_pct: 0.0,
                filled: None,
                forecast_pct: 0.0,
                missing_policy: String::new(),
                slots: Slots { count: 0, list: None, sha256: None },
                sources: Vec::new(),
            },
            host_id: self.host_id,
            id: self.id,
            inputs,
            intensity_g_per_kwh: intensity,
            interrupted: None,
            kind: RecordKind::CarbonOps,
            labels: self.labels,
            load: None,
            market: None,
            measurement: None,
            meta,
            notes: Vec::new(),
            parent: self.parent,
            partial: None,
            pue_used: self.pue_used,
            quality_flag: self.quality_flag,
            record_id: self.record_id,
            region: self.region,
            schema_version: SCHEMA_VERSION,
            sci: None,
            scopes: self.scopes,
            signal: self.signal,
            simulated: self.simulated,
            source: self.source,
            stand_ins: Vec::new(),
            start_ts: time("start_ts", &self.start_ts)?,
            tool: String::new(),
            total_energy_with_pue_kwh: with_pue,
            record_type: RecordType::CarbonEstimate,
            uncertainty_pct: self.uncertainty_pct,
            unit: self.unit,
        })
    }

    fn inputs(&self, intensity: f64) -> Vec<Input> {
        let mut inputs = vec![
            point("energy", self.energy_kwh),
            point("pue", self.pue_used),
            point("intensity", intensity),
        ];
        let squares = || self.shared.values().map(|cv| 1.0 + cv * cv);
        let u = self.uncertainty_pct / 100.0;
        let rest = (1.0 + u * u) / squares().product::<f64>() - 1.0;
        inputs.extend(self.shared.iter().map(|(key, cv)| {
            let input = Input::factor(of_key(key), cv.abs(), "row").shared(key.as_str());
            if *cv < 0.0 { input.opposed() } else { input }
        }));
        if rest > ROUNDING * u * u {
            inputs.push(Input::factor("others", rest.sqrt(), "row"));
        }
        inputs
    }

    fn meta(&self) -> Meta {
        Meta {
            ci_lower_g: self.ci_lower_g,
            ci_upper_g: self.ci_upper_g,
            confidence_level_pct: round9(100.0 * LEVEL),
            interval: Coverage::Symmetric,
            method: MethodName::AnalyticalTruncated,
            monte_carlo: None,
            numerical_error_g: None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let Self { ci_lower_g: low, ci_upper_g: high, grams, .. } = *self;
        for (member, amount) in [
            ("coverage_pct", self.coverage_pct),
            ("energy_kwh", self.energy_kwh),
            ("grams", grams),
            ("uncertainty_pct", self.uncertainty_pct),
        ] {
            if !(amount.is_finite() && amount >= 0.0) {
                return Err(rule(member, "not negative"));
            }
        }
        if self.coverage_pct > 100.0 {
            return Err(rule("coverage_pct", "at most 100"));
        }
        if !(self.pue_used.is_finite() && self.pue_used >= 1.0) {
            return Err(rule("pue_used", "at least 1"));
        }
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(rule("ci_lower_g", "at most ci_upper_g"));
        }
        let (u, squares) = (self.uncertainty_pct / 100.0, self.shared.values().map(|cv| cv * cv));
        let shared = squares.sum::<f64>();
        if !(shared.is_finite() && shared <= u * u * (1.0 + ROUNDING) || grams <= 0.0) {
            return Err(rule("shared", "together at most the uncertainty"));
        }
        Ok(())
    }
}

/// The name of an input that says as well as the one whose key it has whether it is about the grid.
fn of_key(key: &str) -> &'static str {
    let grid = ["grid:", "factors:", "hour:", "stand_in:", "upstream:"];
    if grid.iter().any(|of| key.starts_with(of)) { "grid" } else { "shared" }
}

fn point(name: &str, mean: f64) -> Input {
    Input::new(name, Distribution::Point { mean }, "row")
}

/// Shared errors as briefs have them.
fn shared(errors: &[(&str, f64)]) -> BTreeMap<String, f64> {
    errors.iter().map(|(key, cv)| ((*key).to_owned(), round9(*cv))).collect()
}

/// Standard uncertainty (k = 1) in percent of the mean, and the shared errors, of a product of inputs.
///
/// # Errors
/// When an input is no distribution.
pub fn errors_of<'i>(
    inputs: impl IntoIterator<Item = &'i Input>,
) -> Result<(f64, BTreeMap<String, f64>), Error> {
    let (mut variance, mut errors) = (1.0, Vec::new());
    for input in inputs {
        let Some(cv) = input.signed_cv()? else { continue };
        variance *= 1.0 + cv * cv;
        errors.extend(input.shared.as_deref().map(|key| (key, cv)));
    }
    Ok((round9(100.0 * (variance - 1.0).sqrt()), shared(&errors)))
}
