//! Lines that sums take besides records: rows of a stream of estimates, and samples of a monitor.
//!
//! Rule: a joule counts once, however often it is written down. A sample covers the time since the one before it, so that
//! samples telescope; the energy of its host holds that of all of its rows, and each row names the host as its parent.
//! Copies of a line are one, by its `record_id`. `docs/formats/rows-v1.md` has the members.
//!
//! Out of scope: what is made of briefs ([`Brief`]).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_record::{Brief, Quality, Record, Unit};
use carbon_ops_units::Microjoules;
use serde::Deserialize;

use crate::price::row::ROW;
use crate::price::{Carbon, Price};

pub use crate::price::row::row;

/// Whether a line is a row or a sample, of any version, by its members.
pub(crate) fn is_brief(object: &Object) -> bool {
    let has_figures = object.contains("ci_lower_g") && object.contains("grams");
    object.contains(ROW.0) || has_figures || is_sample(object)
}

fn is_sample(object: &Object) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("monitor_sample")
}

/// What sums take for a line: one record of a row; of a sample that of its host, and where `parts` are asked for that of
/// each row, which is a part of it.
///
/// # Errors
/// What is not as this program writes it.
pub(crate) fn records(mut object: Object, parts: bool) -> Result<Vec<Record>> {
    let briefs = if is_sample(&object) {
        let sample: Taken = serde_json::from_value(object.into()).context("not a sample")?;
        sample.briefs(parts)?
    } else {
        let version = object.remove(ROW.0);
        ensure!(version.and_then(|it| it.as_u64()) == Some(ROW.1), "a row of another version");
        vec![serde_json::from_value(object.into()).context("not a row of an estimate")?]
    };
    briefs.into_iter().map(|brief| Ok(brief.into_record()?)).collect()
}

/// A sample, as far as sums need it.
#[derive(Deserialize)]
struct Taken {
    record_id: String,
    start_ts: String,
    timestamp: String,
    host_id: Option<String>,
    coverage_pct: f64,
    quality: Quality,
    price: Option<Price>,
    #[serde(default)]
    simulated: bool,
    host: Used,
    rows: Vec<Used>,
}

/// What a host used, or a process, cgroup or unit.
#[derive(Deserialize)]
struct Used {
    energy_uj: u64,
    carbon: Option<Carbon>,
    name: Option<String>,
    pid: Option<i32>,
    cgroup: Option<String>,
    unit: Option<Unit>,
}

impl Taken {
    fn briefs(mut self, parts: bool) -> Result<Vec<Brief>> {
        let rows = if parts { std::mem::take(&mut self.rows) } else { Vec::new() };
        let whole = u128::from_str_radix(&self.record_id, 16).context("record_id")?;
        let mut briefs = vec![self.brief(&self.host, self.record_id.clone())?];
        for (used, place) in rows.into_iter().zip(1..) {
            let id = format!("{:032x}", whole.wrapping_add(place));
            let pid = used.pid.map(|pid| pid.to_string());
            let brief = self.brief(&used, id)?;
            let labels = [("name", used.name), ("pid", pid), ("cgroup", used.cgroup)];
            let labels = labels.into_iter().filter_map(|(name, of)| Some((name.to_owned(), of?)));
            let parent = Some(self.record_id.clone());
            briefs.push(Brief { labels: labels.collect(), parent, ..brief });
        }
        Ok(briefs)
    }

    fn brief(&self, used: &Used, record_id: String) -> Result<Brief> {
        let (Some(price), Some(carbon)) = (&self.price, &used.carbon) else {
            bail!("a sample whose energy has no price");
        };
        let energy = Microjoules::new(used.energy_uj).to_kilowatt_hours();
        Ok(Brief {
            ci_lower_g: carbon.ci_lower_g,
            ci_upper_g: carbon.ci_upper_g,
            coverage_pct: self.coverage_pct.min(price.coverage_pct),
            end_ts: self.timestamp.clone(),
            energy_kwh: round9(energy.as_kilowatt_hours()),
            gases: price.gases,
            grams: carbon.grams,
            host_id: self.host_id.clone(),
            id: used.name.clone(),
            labels: BTreeMap::new(),
            parent: None,
            pue_used: price.pue_used,
            quality_flag: self.quality.max(price.quality),
            record_id,
            region: price.region.clone(),
            scopes: price.scopes.clone(),
            shared: carbon.shared.clone(),
            signal: price.signal.clone(),
            simulated: self.simulated.then_some(true),
            source: price.source.clone(),
            start_ts: self.start_ts.clone(),
            uncertainty_pct: carbon.uncertainty_pct,
            unit: used.unit.clone(),
        })
    }
}
