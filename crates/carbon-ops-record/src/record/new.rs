//! How a record comes to be: of a span and what was derived for it, or of JSON.
//!
//! Out of scope: the derivation (`derive`), and the rules of a record (`check`).

use std::collections::BTreeMap;

use carbon_ops_estimate::intensity::Interval;

use super::derive::{Derived, Relative, budget, estimate};
use super::{Gas, Grid, Input, LoadSeries, Record, SCHEMA_VERSION, Scope, StandIn, Unit};
use crate::{Error, Note, Quality, RecordKind, RecordType, timestamp};

/// What a record says besides its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Stated {
    /// See [`Record::record_id`].
    pub record_id: [u8; 16],
    /// See [`Record::parent`].
    pub parent: Option<String>,
    /// See [`Record::unit`].
    pub unit: Option<Unit>,
    /// See [`Record::gases`].
    pub gases: Option<Gas>,
    /// See [`Record::host_id`].
    pub host_id: Option<String>,
    /// See [`Record::id`].
    pub id: Option<String>,
    /// See [`Record::labels`].
    pub labels: BTreeMap<String, String>,
    /// See [`Record::notes`]; in any order.
    pub notes: Vec<Note>,
    /// See [`Record::quality_flag`].
    pub quality_flag: Quality,
    /// See [`Record::region`].
    pub region: String,
    /// See [`Record::scopes`].
    pub scopes: Vec<Scope>,
    /// See [`Record::signal`].
    pub signal: String,
    /// See [`Record::simulated`].
    pub simulated: bool,
    /// See [`Record::source`].
    pub source: String,
    /// See [`Record::stand_ins`].
    pub stand_ins: Vec<StandIn>,
    /// See [`Record::tool`].
    pub tool: String,
}

/// A `record_id` as records hold it.
pub fn id_text(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

impl Record {
    /// The record of a span. It is not checked: see [`Record::check`].
    ///
    /// # Errors
    /// When the inputs break a rule.
    pub fn new(
        span: Interval,
        inputs: Vec<Input>,
        grid: Grid,
        load: Option<LoadSeries>,
        relative: &Relative,
        stated: Stated,
    ) -> Result<Self, Error> {
        let Derived { prices, uncertainty_pct, meta } = estimate(&inputs, relative)?;
        let mut notes = stated.notes;
        notes.sort();
        notes.dedup();
        Ok(Self {
            budget: budget(&inputs)?,
            coverage_pct: grid.coverage_pct,
            embodied: None,
            end_ts: timestamp(span.end()),
            energy_kwh: prices.energy_kwh,
            functional_unit: None,
            gases: stated.gases,
            grams: prices.grams,
            grid,
            host_id: stated.host_id,
            id: stated.id,
            inputs,
            intensity_g_per_kwh: prices.intensity_g_per_kwh,
            interrupted: None,
            kind: RecordKind::CarbonOps,
            labels: stated.labels,
            load,
            market: None,
            measurement: None,
            meta,
            notes,
            parent: stated.parent,
            partial: None,
            pue_used: prices.pue_used,
            quality_flag: stated.quality_flag,
            record_id: id_text(stated.record_id),
            region: stated.region,
            schema_version: SCHEMA_VERSION,
            sci: None,
            scopes: stated.scopes,
            signal: stated.signal,
            simulated: stated.simulated.then_some(true),
            source: stated.source,
            stand_ins: stated.stand_ins,
            start_ts: timestamp(span.start()),
            tool: stated.tool,
            total_energy_with_pue_kwh: prices.total_energy_with_pue_kwh,
            record_type: RecordType::CarbonEstimate,
            uncertainty_pct,
            unit: stated.unit,
        })
    }

    /// Reads a record from the JSON object of a ledger entry, without the ledger's own members, and
    /// checks it.
    ///
    /// # Errors
    /// When a member is missing, unknown or of another type, or when [`Record::check`] fails.
    pub fn from_json(value: serde_json::Value) -> Result<Self, Error> {
        let record: Self =
            serde_json::from_value(value).map_err(|error| Error::Shape(error.to_string()))?;
        record.check()?;
        Ok(record)
    }
}
