//! Certificates, contracts and residual mixes from a user's own file, CSV or JSON
//! (`docs/formats/instruments-v1.md`). The file must say what its factors count.
//!
//! ```csv
//! # factor: direct
//! kind,id,market,start,end,wh,share_pct,g_per_kwh
//! certificate,GC-2026-000001,DE,2026-03-01T00:00Z,2026-03-01T01:00Z,1500000,,0
//! contract,wind park,DE,2026-01-01,2027-01-01,,40,11
//! residual,DE 2025,DE,2026-01-01,2027-01-01,,,720 ± 10%
//! place,europe-west3,DE,,,,,
//! ```
//!
//! JSON: `{"factor": "direct", "instruments": [{"kind": "certificate", "id": …, …}]}` with the same names.
//!
//! Out of scope: reading the file; whether its certificates were issued and cancelled.

use std::collections::BTreeMap;

use carbon_ops_estimate::intensity::{Digest, Factor, Gases, Interval};
use carbon_ops_estimate::market::{Claim, Claims, Instrument, Instruments, Invalid};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::provider::{Error, FileProblem};

/// Largest file. A year of certificates of a hundred plants is below.
pub const BYTES_MAX: u64 = 128 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    factor: Option<Factor>,
    gases: Option<Gases>,
    instruments: Option<Vec<Row>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Certificate,
    Contract,
    Residual,
    Fossil,
    Place,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: Kind,
    #[serde(default)]
    id: String,
    market: String,
    start: Option<String>,
    end: Option<String>,
    wh: Option<u64>,
    share_pct: Option<f64>,
    g_per_kwh: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

/// Reads the bytes of a file; `path` names it in errors and decides between JSON and CSV.
///
/// # Errors
/// A file that does not say what its factors count, or a row that is no instrument, with its place.
pub fn parse(path: &str, bytes: &[u8]) -> Result<Claims, Error> {
    let failed = |what: String| {
        let what = what.lines().next().unwrap_or_default().to_owned();
        Error::File { path: path.to_owned(), what, why: FileProblem::Instruments }
    };
    let is_json = path.to_lowercase().ends_with(".json");
    let (head, rows) = if is_json { json(bytes) } else { csv(bytes) }.map_err(failed)?;
    let silent = || failed("the file does not say what its factors count".to_owned());
    let (mut list, mut places, mut markets) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (place, row) in rows {
        let at = |what| failed(format!("{place}: {what}"));
        if row.kind == Kind::Place {
            if markets.insert(row.id.clone(), row.market).is_some() {
                return Err(at(format!("a second market of {:?}", row.id)));
            }
            continue;
        }
        list.push(row.instrument().map_err(at)?);
        places.push(place);
    }
    let instruments = Instruments::new(list, markets).map_err(|Invalid { index, reason }| {
        let place = places.get(index).map_or("", String::as_str);
        failed(format!("{place}: {reason}"))
    })?;
    Ok(Claims {
        instruments,
        factor: head.factor.ok_or_else(silent)?,
        gases: head.gases.unwrap_or(Gases::Co2e),
        sha256: Digest(Sha256::digest(bytes).into()),
    })
}

type Parsed = (Head, Vec<(String, Row)>);

fn json(bytes: &[u8]) -> Result<Parsed, String> {
    let mut head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let rows = head.instruments.take().unwrap_or_default();
    Ok((head, (1..).zip(rows).map(|(at, row)| (format!("instrument {at}"), row)).collect()))
}

fn csv(bytes: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut head = Head::default();
    let bare = |line: &'_ str| line.trim().trim_end_matches(',').trim_matches('"').to_owned();
    let comments = text.lines().map(bare).take_while(|line| line.starts_with('#'));
    for line in comments {
        let (name, value) = line.trim_start_matches('#').split_once(':').unwrap_or_default();
        let value = serde_json::Value::from(value.trim());
        let cannot = |error: serde_json::Error| error.to_string();
        match name.trim() {
            "factor" => head.factor = Some(serde_json::from_value(value).map_err(cannot)?),
            "gases" => head.gases = Some(serde_json::from_value(value).map_err(cannot)?),
            _ => {}
        }
    }
    let mut reader = ::csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(::csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        let place = format!("line {}", record.position().map_or(0, ::csv::Position::line));
        if record.iter().skip(heading.len()).any(|field| !field.is_empty()) {
            let (fields, columns) = (record.len(), heading.len());
            return Err(format!("{place}: {fields} fields, and the heading has {columns}"));
        }
        let row = record.deserialize(Some(&heading)).map_err(|error| match error.kind() {
            ::csv::ErrorKind::Deserialize { err, .. } => format!("{place}: {}", err.kind()),
            _ => format!("{place}: {error}"),
        });
        rows.push((place, row?));
    }
    Ok((head, rows))
}

impl Row {
    fn instrument(self) -> Result<Instrument, String> {
        let Self { kind, id, market, start, end, wh, share_pct, g_per_kwh } = self;
        if market.is_empty() {
            return Err("no market".to_owned());
        }
        let interval = match (start.as_deref().unwrap_or(""), end.as_deref().unwrap_or("")) {
            ("", "") => None,
            ("", _) | (_, "") => return Err("a start or an end without the other".to_owned()),
            (start, end) => Some(Interval::parse(start, end).map_err(|error| error.to_string())?),
        };
        let claim = match (kind, wh, share_pct) {
            (Kind::Certificate, Some(wh), None) => Claim::Certificate { wh },
            (Kind::Contract, None, share) => {
                Claim::Contract { share_ppm: parts_of_a_million(share.unwrap_or(100.0))? }
            }
            (Kind::Residual, None, None) => Claim::Residual,
            (Kind::Fossil, None, None) => Claim::Fossil,
            (Kind::Certificate, ..) => {
                return Err("a certificate has wh, and no share_pct".to_owned());
            }
            _ => return Err("only a certificate has wh, and only a contract share_pct".to_owned()),
        };
        let g_per_kwh = match g_per_kwh {
            None => return Err("no g_per_kwh".to_owned()),
            Some(Value::Number(mean)) => Distribution::Point { mean },
            Some(Value::Text(text)) => Quantity::Intensity
                .read(&text)
                .map_err(|error| format!("g_per_kwh {text:?}: {}", error.reason))?,
        };
        let mean = g_per_kwh.mean();
        if !(mean.is_finite() && mean >= 0.0) {
            return Err(format!("{mean} g/kWh is not a factor"));
        }
        Ok(Instrument { id, market, interval, claim, g_per_kwh })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
fn parts_of_a_million(percent: f64) -> Result<u32, String> {
    if (0.0..=100.0).contains(&percent) {
        Ok((percent * 1e4).round() as u32)
    } else {
        Err(format!("share_pct {percent} is not from 0 to 100"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "# factor: direct\nkind,id,market,start,end,wh,share_pct,g_per_kwh\n\
        certificate,gc-1,DE,2026-03-01T00:00Z,2026-03-01T01:00Z,1500,,0\n\
        contract,wind,DE,2026-01-01,2027-01-01,,40,11\n\
        residual,,DE,,,,,720 ± 10%\nplace,europe-west3,DE,,,,,\n";
    const JSON: &str = r#"{"factor":"direct","instruments":[
        {"kind":"certificate","id":"gc-1","market":"DE","start":"2026-03-01T00:00Z",
         "end":"2026-03-01T01:00Z","wh":1500,"g_per_kwh":0},
        {"kind":"contract","id":"wind","market":"DE","start":"2026-01-01","end":"2027-01-01",
         "share_pct":40,"g_per_kwh":11},
        {"kind":"residual","market":"DE","g_per_kwh":"720 ± 10%"},
        {"kind":"place","id":"europe-west3","market":"DE"}]}"#;

    #[test]
    fn both_forms_mean_the_same() {
        let csv = parse("a.csv", CSV.as_bytes()).unwrap();
        let json = parse("a.JSON", JSON.as_bytes()).unwrap();
        assert_eq!(csv.instruments, json.instruments);
        assert_eq!((csv.factor, csv.gases), (Factor::Direct, Gases::Co2e));
        let list = csv.instruments.list();
        assert_eq!(list[1].claim, Claim::Contract { share_ppm: 400_000 });
        assert_eq!(list[2].g_per_kwh, Distribution::Normal { mean: 720.0, sd: 72.0 });
        assert_eq!(csv.instruments.market("europe-west3"), "DE");
    }

    /// The rule: what is wrong is said by line, and what a factor counts is never guessed.
    #[test]
    fn what_is_no_instrument_is_refused_with_its_line() {
        let silent = CSV.replace("# factor: direct\n", "");
        let error = parse("a.csv", silent.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "a.csv: the file does not say what its factors count");
        for (row, message) in [
            ("certificate,a,DE,,,5,,0", "a certificate has a start and an end"),
            ("certificate,a,DE,2026-01-01,2026-01-02,,,0", "a certificate has wh"),
            ("certificate,a,DE,2026-01-01,2026-01-02,1.5,,0", "invalid digit"),
            ("certificate,gc-1,DE,2026-01-01,2026-01-02,5,,0", "a second certificate \"gc-1\""),
            ("residual,,DE,,,,,300", "a second residual factor of DE"),
            ("residual,,FR,,,,,", "no g_per_kwh"),
            ("residual,,FR,,,,,-3", "-3 g/kWh is not a factor"),
            ("residual,,FR,,,,,5,6", "9 fields, and the heading has 8"),
            ("contract,,FR,,,,140,3", "share_pct 140 is not from 0 to 100"),
            ("contract,,FR,2026-01-01,,,,3", "a start or an end without the other"),
            ("residual,,,,,,,3", "no market"),
            ("guarantee,,FR,,,,,3", "unknown variant `guarantee`"),
            ("place,europe-west3,FR,,,,,", "a second market of \"europe-west3\""),
        ] {
            let text = format!("{CSV}{row}\n");
            let error = parse("a.csv", text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("a.csv: line 7: ") && error.contains(message), "{error}");
        }
    }
}
