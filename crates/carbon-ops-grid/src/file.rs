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
    signal: Signal,
    meta: Meta,
    zones: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug, Clone)]
struct Row {
    /// Where it stands: of a zone in JSON, or in bytes.
    place: u64,
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
    start: String,
    end: String,
    g_per_kwh: Option<f64>,
}

/// What is the matter with a file, and of what kind that is.
type Wrong = (FileProblem, String);

impl File {
    /// From the bytes of a file; `path` names it in errors and decides between JSON and CSV.
    ///
    /// # Errors
    /// A file that does not say what its numbers count, or holds something that is not a number.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Error> {
        let failed = |(why, what): Wrong| {
            let what = what.lines().next().unwrap_or_default().to_owned();
            Error::File { path: path.to_owned(), what, why }
        };
        let undeclared = |what: String| failed((FileProblem::Undeclared, what));
        let is_json = path.to_lowercase().ends_with(".json");
        let (head, zones) = if is_json { json(bytes) } else { csv(bytes) }.map_err(failed)?;
        let Some(signal) = &head.signal else {
            return Err(undeclared("the file does not say what its numbers count".to_owned()));
        };
        let (kind, factor) =
            parse_kind_and_factor(signal).map_err(|error| undeclared(error.to_string()))?;
        let Some(factor) = factor else {
            return Err(undeclared(format!("signal {signal:?} says neither lifecycle nor direct")));
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
        Ok(Self { signal, meta, zones })
    }
}

type Parsed = (Head, BTreeMap<String, Vec<Row>>);

fn json(bytes: &[u8]) -> Result<Parsed, Wrong> {
    let mut head: Head = serde_json::from_slice(bytes).map_err(|error| {
        let value = serde_json::from_slice::<serde_json::Value>(bytes);
        let is_silent = value.is_ok_and(|value| value.get("signal").is_none());
        let why = if is_silent { FileProblem::Undeclared } else { FileProblem::Form };
        (why, error.to_string())
    })?;
    let mut zones = BTreeMap::new();
    for (zone, values) in head.zones.take().unwrap_or_default() {
        let rows = match values {
            Values::Always(value) => vec![row(0, ["", ""], Some(value))],
            Values::Slots(slots) => (1..)
                .zip(slots)
                .map(|(place, JsonRow { start, end, g_per_kwh })| {
                    row(place, [&start, &end], g_per_kwh)
                })
                .collect(),
        };
        let rows = rows.into_iter().collect::<Result<_, _>>();
        let at = |(place, what)| (FileProblem::Values, format!("{zone}: value {place}: {what}"));
        zones.insert(zone.clone(), rows.map_err(at)?);
    }
    check(&zones, |place| format!("value {place}"))?;
    Ok((head, zones))
}

/// A row from what stands in its fields.
///
/// # Errors
/// Its place, and a time or a number that cannot be.
fn row(place: u64, [start, end]: [&str; 2], g_per_kwh: Option<f64>) -> Result<Row, (u64, String)> {
    let times = || match [start, end] {
        ["", ""] => Ok(None),
        ["", _] | [_, ""] => Err("a start or an end without the other".to_owned()),
        [start, end] => Interval::parse(start, end).map(Some).map_err(|error| error.to_string()),
    };
    match g_per_kwh {
        Some(value) if !(value.is_finite() && value >= 0.0) => {
            Err((place, format!("{value} g/kWh is not an intensity")))
        }
        _ => Ok(Row { place, interval: times().map_err(|what| (place, what))?, g_per_kwh }),
    }
}

/// Each time of a zone has one value: rows that overlap are equal.
fn check(zones: &BTreeMap<String, Vec<Row>>, place: impl Fn(u64) -> String) -> Result<(), Wrong> {
    let shown = |row: &Row| {
        let value = row.g_per_kwh.map_or("nothing".to_owned(), |value| format!("{value} g/kWh"));
        let time = row.interval.map(|interval| format!("from {}", interval.start()));
        format!("{value} {} ({})", time.unwrap_or("for all times".to_owned()), place(row.place))
    };
    for (zone, rows) in zones {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by_key(|row| row.interval);
        for (a, b) in rows.iter().zip(rows.iter().skip(1)) {
            let times = a.interval.zip(b.interval);
            let meet = times.is_none_or(|(a, b)| a.intersection(&b).is_some());
            if meet && (a.interval, a.g_per_kwh) != (b.interval, b.g_per_kwh) {
                let what =
                    format!("{zone}: two values for one time: {} and {}", shown(a), shown(b));
                return Err((FileProblem::Values, what));
            }
        }
    }
    Ok(())
}

/// What separates the columns of a heading instead of commas, if something does.
pub fn other_separator<'h>(mut heading: impl Iterator<Item = &'h str>) -> Option<char> {
    heading.find_map(|name| name.chars().find(|c| ";\t|".contains(*c)))
}

/// Columns that a table has.
const COLUMNS: [&str; 4] = ["zone", "start", "end", "g_per_kwh"];

/// What the comments at the head declare, and how many lines they are. Spreadsheets put a comma for each column that a
/// line does not have, and quote what has one.
fn declared(text: &str) -> Result<(Head, usize), Wrong> {
    let bare = |line: &'_ str| line.trim().trim_end_matches(',').trim_matches('"').to_owned();
    let comments: Vec<_> = text
        .lines()
        .map(bare)
        .take_while(|line| line.starts_with('#') || line.is_empty())
        .collect();
    let known = ["signal", "accounting", "gases", "source", "licence", "vintage"];
    let declared = comments.iter().filter_map(|line| {
        let (name, value) = line.trim_start_matches('#').split_once(':')?;
        Some((name.trim().to_owned(), serde_json::Value::from(value.trim())))
    });
    // Other comments may have colons too: only what is known is taken from them.
    let object = declared.filter(|(name, _)| known.contains(&name.as_str())).collect();
    let head = serde_json::from_value(serde_json::Value::Object(object));
    Ok((head.map_err(|error| (FileProblem::Undeclared, error.to_string()))?, comments.len()))
}

/// The line at which a reader begins a row: it begins it at the blank lines and comments before it.
fn line_at(byte: u64, table: &str, before: usize) -> String {
    let at = usize::try_from(byte).unwrap_or(usize::MAX);
    let (mut line, mut after) = (before + 1, table.get(at..).unwrap_or_default());
    line += table.get(..at).unwrap_or_default().matches('\n').count();
    while let Some((first, next)) = after.split_once('\n')
        && (first.trim().is_empty() || first.starts_with('#'))
    {
        (line, after) = (line + 1, next);
    }
    format!("line {line}")
}

fn csv(bytes: &[u8]) -> Result<Parsed, Wrong> {
    let form = |what: String| (FileProblem::Form, what);
    let text = std::str::from_utf8(bytes).map_err(|error| form(error.to_string()))?;
    // A comment that is quoted is a row to the reader, so that the head is taken away.
    let (head, before) = declared(text)?;
    let mut rest = text;
    for _ in 0..before {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let line = |byte: u64| line_at(byte, rest, before);
    let mut reader = ::csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(::csv::Trim::All)
        .flexible(true)
        .from_reader(rest.as_bytes());
    let heading = reader.headers().map_err(|error| form(error.to_string()))?;
    let places = COLUMNS.map(|name| heading.iter().position(|column| column == name));
    let [Some(zone), start, end, Some(value)] = places else {
        return Err(form(match other_separator(heading.iter()) {
            Some(other) => format!("its columns are separated by {other:?}, and not by commas"),
            None => "a heading with the columns zone and g_per_kwh is missing".to_owned(),
        }));
    };
    let columns = heading.len();
    let mut zones: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (count, record) in reader.records().enumerate() {
        let record = record.map_err(|error| form(error.to_string()))?;
        let byte = record.position().map_or(0, ::csv::Position::byte);
        let at = |what: String| (FileProblem::Values, format!("{}: {what}", line(byte)));
        if count >= SLOTS_MAX {
            return Err(at(format!("more than {SLOTS_MAX} rows")));
        }
        if record.iter().skip(columns).any(|field| !field.is_empty()) {
            let fields = record.len();
            return Err(at(format!("{fields} fields, and the heading has {columns}")));
        }
        let field = |place: Option<usize>| place.and_then(|at| record.get(at)).unwrap_or_default();
        if record.iter().all(str::is_empty) {
            continue;
        }
        let value = match field(Some(value)) {
            "" => None,
            text => Some(text.parse().map_err(|_| at(format!("{text:?} is not a number")))?),
        };
        let row = row(byte, [field(start), field(end)], value).map_err(|(_, what)| at(what))?;
        zones.entry(field(Some(zone)).to_owned()).or_default().push(row);
    }
    check(&zones, line)?;
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
            rows.add(row.interval.unwrap_or(interval), row.g_per_kwh, None, &meta)?;
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
    use carbon_ops_estimate::intensity::{GapReason, Kind};

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

    /// The rule: what is wrong is said by line, in words of the file, and by its own kind.
    #[test]
    fn what_is_not_a_number_a_time_or_a_table_is_refused_with_its_line() {
        let of = |rows: &str| {
            let text = format!("# signal: average_direct\nzone,start,end,g_per_kwh\n{rows}\n");
            File::parse("a.csv", text.as_bytes())
        };
        for (rows, message) in [
            ("DE,2026-03-01T01:00Z,,4", "a.csv: line 3: a start or an end without the other"),
            ("DE,,,x", "a.csv: line 3: \"x\" is not a number"),
            ("DE,,,1\n\nFR,,,\"1,034.5\"", "a.csv: line 5: \"1,034.5\" is not a number"),
            ("DE,,,-4", "a.csv: line 3: -4 g/kWh is not an intensity"),
            ("DE,,,NaN", "a.csv: line 3: NaN g/kWh is not an intensity"),
            ("DE,,,4,5", "a.csv: line 3: 5 fields, and the heading has 4"),
            (
                "DE,2026-03-01 00:00:00,2026-03-01 01:00:00,4",
                "a.csv: line 3: \"2026-03-01 00:00:00\" is not a valid time: it has no offset from UTC, such as Z or +01:00",
            ),
            (
                "DE,2026-03-01,2026-03-02,300\nDE,2026-03-01T12:00Z,2026-03-03,500",
                "a.csv: DE: two values for one time: 300 g/kWh from 2026-03-01T00:00:00Z (line 3) and 500 g/kWh from 2026-03-01T12:00:00Z (line 4)",
            ),
            (
                "DE,,,300\nDE,2026-03-01,2026-03-02,500",
                "a.csv: DE: two values for one time: 300 g/kWh for all times (line 3) and 500 g/kWh from 2026-03-01T00:00:00Z (line 4)",
            ),
        ] {
            let error = of(rows).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::File(FileProblem::Values), "{error}");
            assert_eq!(error.to_string(), message);
        }
        assert!(of("DE,2026-03-01,2026-03-02,300\nDE,2026-03-01,2026-03-02,300").is_ok());
        for (text, message) in [
            (
                "zone;start;end;g_per_kwh\nDE;;;3,5\n",
                "a.csv: its columns are separated by ';', and not by commas",
            ),
            ("DE,300\n", "a.csv: a heading with the columns zone and g_per_kwh is missing"),
        ] {
            let error = File::parse("a.csv", text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::File(FileProblem::Form), "{error}");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_spreadsheets_commas_quotes_and_blank_lines_change_nothing() {
        let text = "# signal: average_lifecycle,,,\n\"# source: a, b\",,,\nzone,start,end,g_per_kwh,\r\n\r\n\
            DE,2026-03-01,2026-03-02,342.5,,\r\n,,,,\r\n";
        let file = File::parse("a.csv", text.as_bytes()).unwrap();
        let day = Interval::parse("2026-03-01", "2026-03-02").unwrap();
        let series = file.slots("DE", day, &Want::AVERAGE).unwrap().inventory().unwrap().clone();
        assert_eq!((series.slots().len(), series.gaps().len()), (1, 0));
        assert_eq!(series.metas()[0].attribution, "a, b");
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
