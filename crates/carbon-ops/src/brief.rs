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

use crate::bytes;
use crate::price::{Carbon, Price};

/// The version of rows that is written and read: the value of their member of this name.
const ROW: (&str, u64) = ("row", 1);

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

/// What rows of spans that differ in their names, times and energies only have in common, as text.
#[derive(Debug)]
pub(crate) struct Common(Vec<u8>);

impl Common {
    /// Of the record of one of them.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        let brief = Brief::of(record)?;
        let mut common = Vec::new();
        bytes::number(",\"coverage_pct\":", brief.coverage_pct, &mut common);
        if let Some(gases) = brief.gases {
            common.extend_from_slice(b",\"gases\":");
            bytes::canonical(&gases, &mut common)?;
        }
        bytes::number(",\"pue_used\":", brief.pue_used, &mut common);
        common.extend_from_slice(b",\"quality_flag\":");
        bytes::canonical(&brief.quality_flag, &mut common)?;
        common.extend_from_slice(b",\"region\":");
        bytes::text(&brief.region, &mut common)?;
        bytes::number(",\"row\":", f64::from(1_u8), &mut common);
        common.extend_from_slice(b",\"scopes\":");
        bytes::canonical(&brief.scopes, &mut common)?;
        common.extend_from_slice(b",\"shared\":");
        bytes::canonical(&brief.shared, &mut common)?;
        for (name, text) in [(",\"signal\":", &brief.signal), (",\"source\":", &brief.source)] {
            common.extend_from_slice(name.as_bytes());
            bytes::text(text, &mut common)?;
        }
        bytes::number(",\"uncertainty_pct\":", brief.uncertainty_pct, &mut common);
        if let Some(unit) = &brief.unit {
            common.extend_from_slice(b",\"unit\":");
            bytes::canonical(unit, &mut common)?;
        }
        common.extend_from_slice(b"}\n");
        Ok(Self(common))
    }
}

/// What a row has of its own.
#[derive(Debug)]
pub(crate) struct Own<'r> {
    /// `ci_lower_g`, `ci_upper_g`, `energy_kwh` and `grams`.
    pub(crate) figures: [f64; 4],
    pub(crate) host: Option<&'r str>,
    pub(crate) id: Option<&'r str>,
    pub(crate) labels: &'r BTreeMap<String, String>,
    pub(crate) record_id: &'r str,
    pub(crate) times: (&'r str, &'r str),
}

impl Own<'_> {
    /// Appends the row, with the end of its line.
    pub(crate) fn write(&self, common: &Common, out: &mut Vec<u8>) -> Result<()> {
        let names = ["{\"ci_lower_g\":", ",\"ci_upper_g\":", ",\"energy_kwh\":", ",\"grams\":"];
        for (name, figure) in names.into_iter().zip(self.figures) {
            bytes::number(name, figure, out);
        }
        let record_id = Some(self.record_id);
        for (name, text) in [("host_id", self.host), ("id", self.id), ("record_id", record_id)] {
            let Some(text) = text else { continue };
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            bytes::text(text, out)?;
        }
        if !self.labels.is_empty() {
            out.extend_from_slice(b",\"labels\":");
            bytes::canonical(self.labels, out)?;
        }
        for (name, time) in [(",\"start_ts\":\"", self.times.0), (",\"end_ts\":\"", self.times.1)] {
            out.extend_from_slice(name.as_bytes());
            // Without a fraction of nothing.
            let whole = time.strip_suffix(".000000Z");
            out.extend_from_slice(whole.unwrap_or(time).as_bytes());
            out.extend_from_slice(if whole.is_some() { b"Z\"" } else { b"\"" });
        }
        out.extend_from_slice(&common.0);
        Ok(())
    }
}

/// Appends the row of a record.
///
/// # Errors
/// When an input of it is no distribution.
pub fn row(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    let meta = &record.meta;
    let own = Own {
        figures: [meta.ci_lower_g, meta.ci_upper_g, record.energy_kwh, record.grams],
        host: record.host_id.as_deref(),
        id: record.id.as_deref(),
        labels: &record.labels,
        record_id: &record.record_id,
        times: (&record.start_ts, &record.end_ts),
    };
    own.write(&Common::of(record)?, out)
}
