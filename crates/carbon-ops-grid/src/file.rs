//! Intensities from a user's own file, CSV or JSON. The file must say what its numbers count.
//!
//! CSV: lines `# name: value` at the head, then columns by name:
//!
//! ```csv
//! # signal: average_lifecycle
//! # accounting: consumption
//! # source: contract with the supplier, 2026
//! zone,start,end,g_per_kwh
//! DE,2026-03-01T00:00Z,2026-03-01T01:00Z,342.5
//! DE,2026-03-01T01:00Z,2026-03-01T02:00Z,
//! my-site,,,120
//! ```
//!
//! JSON: `{"signal": "average_lifecycle", "zones": {"DE": [{"start": …, "end": …, "g_per_kwh": 342.5}],
//! "my-site": 120}}` with the same names beside `signal`. A value without times holds always. An empty value
//! or `null` is a gap; zero is zero.
//!
//! Out of scope: reading the file, and files that say nothing of what their numbers are, as those of carbon-ops
//! 0.1: they are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::assembly::Assembly;
use crate::provider::{Error, FileProblem, Provider, Settling, Uncovered, Want};
use crate::zones::{Place, cloud_zone};
use carbon_ops_estimate::intensity::{Accounting, Gases, Signal, parse_kind_and_factor};
use carbon_ops_estimate::intensity::{
    AnySeries, Digest, Interval, Meta, SLOTS_MAX, UncertaintyClass,
};

/// Name in configurations, caches and records.
pub const ID: &str = "file";

/// Largest file. Ten years of quarter hours are below.
pub const BYTES_MAX: u64 = 32 << 20;

/// The provider.
#[derive(Debug, Clone)]
pub struct File {
    path: String,
    signal: Signal,
    meta: Meta,
    zones: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug, Clone)]
struct Row {
    /// `None`: always.
    interval: Option<Interval>,
    g_per_kwh: Option<f64>,
}

/// What a file says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    signal: Option<String>,
    accounting: Option<Accounting>,
    gases: Option<Gases>,
    source: Option<String>,
    licence: Option<String>,
    vintage: Option<String>,
    zones: Option<BTreeMap<String, Values>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    Always(f64),
    Slots(Vec<JsonRow>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    start: Timestamp,
    end: Timestamp,
    g_per_kwh: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct CsvRow {
    zone: String,
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    end: Option<Timestamp>,
    g_per_kwh: Option<f64>,
}

impl File {
    /// From the bytes of a file; `path` names it in errors and decides between JSON and CSV.
    ///
    /// # Errors
    /// A file that does not say what its numbers count, or holds something that is not a number.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Error> {
        let failed = |what: &str| {
            let what = what.lines().next().unwrap_or_default().to_owned();
            Error::File { path: path.to_owned(), what, why: FileProblem::Undeclared }
        };
        let is_json = path.to_lowercase().ends_with(".json");
        let (head, zones) =
            if is_json { json(bytes) } else { csv(bytes) }.map_err(|what| failed(&what))?;
        let Some(signal) = &head.signal else {
            return Err(failed("the file does not say what its numbers count"));
        };
        let (kind, factor) =
            parse_kind_and_factor(signal).map_err(|error| failed(&error.to_string()))?;
        let Some(factor) = factor else {
            let what = format!("signal {signal:?} says neither lifecycle nor direct");
            return Err(failed(&what));
        };
        let signal = Signal {
            kind,
            factor,
            accounting: head.accounting.unwrap_or(Accounting::Unstated),
            gases: head.gases.unwrap_or(Gases::Co2e),
        };
        let meta = Meta {
            raw_digest: Some(Digest(Sha256::digest(bytes).into())),
            licence: head.licence.unwrap_or_else(|| "not stated".to_owned()),
            attribution: head.source.unwrap_or_else(|| "a user's file".to_owned()),
            model_version: head.vintage,
            uncertainty: UncertaintyClass::Declared,
            ..Meta::new(ID, "", signal)
        };
        Ok(Self { path: path.to_owned(), signal, meta, zones })
    }
}

type Parsed = (Head, BTreeMap<String, Vec<Row>>);

fn json(bytes: &[u8]) -> Result<Parsed, String> {
    let mut head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut zones = BTreeMap::new();
    for (zone, values) in head.zones.take().unwrap_or_default() {
        let rows = match values {
            Values::Always(value) => vec![Row { interval: None, g_per_kwh: Some(value) }],
            Values::Slots(slots) => slots
                .into_iter()
                .map(|JsonRow { start, end, g_per_kwh }| {
                    let interval = Interval::new(start, end).map_err(|error| error.to_string())?;
                    Ok(Row { interval: Some(interval), g_per_kwh })
                })
                .collect::<Result<_, String>>()?,
        };
        zones.insert(zone, rows);
    }
    Ok((head, zones))
}

fn csv(bytes: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let declared = text.lines().take_while(|line| line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.trim_start_matches('#').split_once(':')?;
        Some((name.trim().to_owned(), serde_json::Value::from(value.trim())))
    });
    // Other comments may have colons too: only what is known is taken from them.
    let known = ["signal", "accounting", "gases", "source", "licence", "vintage"];
    let declared = declared.filter(|(name, _)| known.contains(&name.as_str()));
    let object = serde_json::Value::Object(declared.collect());
    let head: Head = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let mut zones: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut reader =
        ::csv::ReaderBuilder::new().comment(Some(b'#')).trim(::csv::Trim::All).from_reader(bytes);
    for (count, row) in reader.deserialize::<CsvRow>().enumerate() {
        let row = row.map_err(|error| error.to_string())?;
        if count >= SLOTS_MAX {
            return Err(format!("more than {SLOTS_MAX} rows"));
        }
        let interval = match (row.start, row.end) {
            (None, None) => None,
            (Some(start), Some(end)) => {
                Some(Interval::new(start, end).map_err(|error| error.to_string())?)
            }
            _ => return Err(format!("row {}: a start or an end without the other", count + 1)),
        };
        let row_of = Row { interval, g_per_kwh: row.g_per_kwh };
        zones.entry(row.zone).or_default().push(row_of);
    }
    Ok((head, zones))
}

impl Provider for File {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        want.admits(self.signal).then_some(self.signal)
    }

    fn zone(&self, place: &Place, _: &Want) -> Result<String, Error> {
        // Files often name zones as Electricity Maps does.
        let of_cloud = place.cloud.as_ref().and_then(|(cloud, region)| cloud_zone(cloud, region));
        let names = [
            place.native_to(ID),
            Some(place.asked.as_str()),
            place.cloud.as_ref().map(|(_, region)| region.as_str()),
            of_cloud.and_then(|zone| zone.electricity_maps),
            place.subdivision.as_deref(),
            place.country.as_deref(),
        ];
        let found = names
            .into_iter()
            .flatten()
            .find_map(|name| self.zones.keys().find(|zone| zone.eq_ignore_ascii_case(name)));
        found.cloned().ok_or_else(|| Error::UnknownZone {
            provider: ID,
            zone: place.asked.clone(),
            near: self.zones.keys().take(5).cloned().collect(),
            why: Uncovered::NoSuchZone,
        })
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        let signal = self.signal(want)?;
        let of_zone = self.zones.get(zone);
        let of_zone =
            of_zone.ok_or_else(|| Error::unknown_zone(ID, zone, Uncovered::NoSuchZone))?;
        let mut meta = self.meta.clone();
        zone.clone_into(&mut meta.zone_requested);
        zone.clone_into(&mut meta.zone_returned);
        let meta = Arc::new(meta);
        let mut rows = Assembly::new(ID, interval);
        for row in of_zone {
            rows.add(row.interval.unwrap_or(interval), row.g_per_kwh, None, &meta).map_err(
                |error| {
                    let path = self.path.clone();
                    Error::File { path, what: error.to_string(), why: FileProblem::Values }
                },
            )?;
        }
        rows.finish(signal.kind)
    }

    fn settling(&self) -> Settling {
        Settling::AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;
    use crate::zones::Place;
    use carbon_ops_estimate::intensity::{Factor, GapReason, Kind};

    const CSV: &str = "# signal: average_lifecycle\n# accounting: consumption\n# source: us: own\n\
        zone,start,end,g_per_kwh\nDE,2026-03-01T00:00Z,2026-03-01T01:00Z,342.5\n\
        DE,2026-03-01T01:00Z,2026-03-01T02:00Z,\nDE,2026-03-01T02:00Z,2026-03-01T03:00Z,0\n\
        FR,,,56\n";
    const JSON: &str = r#"{"signal":"average_lifecycle","accounting":"consumption","source":"us: own",
        "zones":{"FR":56,"DE":[
        {"start":"2026-03-01T00:00Z","end":"2026-03-01T01:00Z","g_per_kwh":342.5},
        {"start":"2026-03-01T01:00Z","end":"2026-03-01T02:00Z","g_per_kwh":null},
        {"start":"2026-03-01T02:00Z","end":"2026-03-01T03:00Z","g_per_kwh":0}]}}"#;

    #[test]
    fn both_forms_mean_the_same_null_is_a_gap_and_zero_a_value() {
        let span = Interval::parse("2026-03-01T00:00Z", "2026-03-01T03:00Z").unwrap();
        for (path, text) in [("a.csv", CSV), ("a.JSON", JSON)] {
            let file = File::parse(path, text.as_bytes()).unwrap();
            let zone = file.zone(&Place::parse("Germany").unwrap(), &Want::AVERAGE).unwrap();
            let series = file.slots(&zone, span, &Want::AVERAGE).unwrap();
            let series = series.inventory().unwrap().clone();
            let values: Vec<f64> =
                series.slots().iter().map(super::super::Slot::as_grams_per_kilowatt_hour).collect();
            assert_eq!(values, [342.5, 0.0], "{path}");
            assert_eq!(series.gaps()[0].reason, GapReason::Null, "{path}");
            assert_eq!(series.metas()[0].attribution, "us: own");
            assert!(file.slots("FR", span, &Want::AVERAGE).unwrap().gaps().is_empty());
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_it_counts_is_refused() {
        for (path, text) in [
            // As carbon-ops 0.1 reads them.
            ("a.json", r#"{"us-east":400,"global-average":475}"#),
            ("a.json", r#"{"zones":{"DE":400}}"#),
            ("a.csv", "zone,start,end,g_per_kwh\nDE,,,400\n"),
            ("a.csv", "# signal: average\nzone,start,end,g_per_kwh\nDE,,,400\n"),
        ] {
            let error = File::parse(path, text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::File(FileProblem::Undeclared), "{error}");
            assert!(!error.to_string().contains("hint"), "{error}");
        }
    }

    #[test]
    fn what_is_no_number_or_no_time_is_refused() {
        let row =
            |row: &str| format!("# signal: average_direct\nzone,start,end,g_per_kwh\n{row}\n");
        let span = Interval::parse("2026-03-01T00:00Z", "2026-03-01T03:00Z").unwrap();
        for bad in ["DE,2026-03-01T01:00Z,,4", "DE,2026-03-01,2026-03-02,4", "DE,,,x"] {
            assert!(File::parse("a.csv", row(bad).as_bytes()).is_err(), "{bad}");
        }
        for bad in ["DE,,,-4", "DE,,,NaN"] {
            let file = File::parse("a.csv", row(bad).as_bytes()).unwrap();
            let want = Want { factor: Some(Factor::Direct), ..Want::AVERAGE };
            assert!(file.slots("DE", span, &want).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_marginal_file_gives_no_inventory() {
        let text = "# signal: marginal_direct\nzone,start,end,g_per_kwh\nDE,,,400\n";
        let file = File::parse("a.csv", text.as_bytes()).unwrap();
        assert_eq!(file.offers(&Want::AVERAGE), None);
        assert_eq!(file.offers(&Want::MARGINAL).unwrap().kind, Kind::Marginal);
        let span = Interval::parse("2026-03-01T00:00Z", "2026-03-01T03:00Z").unwrap();
        assert!(file.slots("DE", span, &Want::MARGINAL).unwrap().inventory().is_err());
    }
}
