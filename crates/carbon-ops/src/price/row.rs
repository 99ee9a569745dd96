//! Rows of a stream of estimates as they are written: what all rows of like spans have in common once, as text.
//!
//! Out of scope: what sums take of rows (`brief`).

use std::collections::BTreeMap;

use anyhow::Result;
use carbon_ops_record::{Brief, Record};

use crate::bytes;

/// The version of rows that is written and read: the value of their member of this name.
pub(crate) const ROW: (&str, u64) = ("row", 1);

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
