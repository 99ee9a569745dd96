//! The Carbon Intensity API of Great Britain's system operator NESO: half hours, national and regional.
//!
//! Average consumption with imports and losses, direct, CO2 alone. Nationally a half hour that is over has
//! an actual value and one to come a forecast; regionally there are forecasts only. It answers for Great
//! Britain and nothing else: another place is an error.
//!
//! Source: the API's definitions, 2024-10 (CC BY 4.0). Values carry no uncertainty; nmpowell's tracking of
//! September 2017 to March 2023 found a mean absolute error of forecasts of 7.1 %.
//!
//! Out of scope: sending, repeating and keeping (`fetch`, `cache`).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::assembly::{Asked, Assembly, Metas, aligned, chunks};
use crate::fetch::{Answer, Fetcher, Rate, Request};
use crate::provider::{Error, Provider, Uncovered, Want};
use crate::zones::Place;
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::intensity::{AnySeries, Interval, Meta, Timeliness, UncertaintyClass};

/// Name in configurations, caches and records.
pub const ID: &str = "gb";

/// Where the API is.
pub const BASE: &str = "https://api.carbonintensity.org.uk";

/// The whole grid; regions are `1` to `17`.
const NATIONAL: &str = "GB";

/// How many regions there are: their numbers begin at 1 (API definitions, region ids).
const REGIONS: u32 = 17;

/// Longest range of a request (API definitions).
const RANGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// A settlement period.
const HALF_HOUR: i64 = 1800;

/// A prior: no limit is published.
const RATE: Rate = Rate { per_second: 5.0, burst: 5.0 };

const SIGNAL: Signal = Signal {
    kind: Kind::Average,
    accounting: Accounting::Consumption,
    factor: Factor::Direct,
    gases: Gases::Co2,
};

/// The provider.
#[derive(Debug)]
pub struct GreatBritain {
    fetcher: Arc<Fetcher>,
    base: String,
}

impl GreatBritain {
    /// `base` is [`BASE`], or that of a proxy.
    pub fn new(fetcher: Arc<Fetcher>, base: &str) -> Self {
        Self { fetcher, base: base.trim_end_matches('/').to_owned() }
    }
}

impl Provider for GreatBritain {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        want.admits(SIGNAL).then_some(SIGNAL)
    }

    fn zone(&self, place: &Place, _: &Want) -> Result<String, Error> {
        let unknown = |why| Error::unknown_zone(ID, &place.asked, why);
        if let Some(native) = place.native_to(ID) {
            let is_region = |number: u32| (1..=REGIONS).contains(&number);
            let known = native == NATIONAL || native.parse().is_ok_and(is_region);
            return known.then(|| native.to_owned()).ok_or_else(|| unknown(Uncovered::NoSuchZone));
        }
        if place.country.as_deref() != Some("GB") {
            return Err(unknown(Uncovered::Elsewhere));
        }
        match place.subdivision.as_deref() {
            None => Ok(NATIONAL.to_owned()),
            // ISO 3166-2:GB; Northern Ireland is in the grid of the island of Ireland.
            Some("GB-ENG") => Ok("15".to_owned()),
            Some("GB-SCT") => Ok("16".to_owned()),
            Some("GB-WLS") => Ok("17".to_owned()),
            Some(_) => Err(unknown(Uncovered::NoSuchZone)),
        }
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        let signal = self.signal(want)?;
        let mut rows = Assembly::of_requests(ID, interval)?;
        for chunk in chunks(aligned(interval, HALF_HOUR), RANGE_MAX) {
            let (from, to) = (minute(chunk.start()), minute(chunk.end()));
            let path = if zone == NATIONAL {
                format!("/intensity/{from}/{to}")
            } else {
                format!("/regional/intensity/{from}/{to}/regionid/{zone}")
            };
            let answer = self.fetcher.data(ID, &Request::new(&self.base, &path), RATE)?;
            read(&answer, &Asked { zone, signal }, Timeliness::Actual, &mut rows)?;
        }
        rows.finish(signal.kind)
    }
}

/// `YYYY-MM-DDThh:mmZ`, the only form that is understood.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

#[derive(Deserialize)]
struct Period {
    from: Timestamp,
    to: Timestamp,
    intensity: Option<Values>,
}

#[derive(Default, Deserialize)]
struct Values {
    forecast: Option<f64>,
    actual: Option<f64>,
}

/// Puts the rows of an answer into the assembly; each says whether it is a forecast.
pub(crate) fn read(
    answer: &Answer,
    asked: &Asked<'_>,
    _: Timeliness,
    rows: &mut Assembly,
) -> Result<(), Error> {
    let zone = asked.zone;
    let malformed = |what| Error::Malformed { provider: ID, what };
    let periods = periods(&answer.json(ID)?, zone)?;
    let mut metas = Metas::new(Meta {
        raw_digest: Some(answer.digest),
        fetched_at: Some(answer.fetched_at),
        licence: "CC-BY-4.0".to_owned(),
        attribution: "NESO Carbon Intensity API".to_owned(),
        ..Meta::new(ID, zone, SIGNAL)
    });
    for period in &periods {
        let period = Period::deserialize(period).map_err(|error| {
            let from =
                period.get("from").and_then(Value::as_str).unwrap_or("a time that is missing");
            malformed(format!("the period from {from} is not as documented: {error}"))
        })?;
        let values = period.intensity.unwrap_or_default();
        let Ok(interval) = Interval::new(period.from, period.to) else {
            return Err(malformed(format!("a period from {} to {}", period.from, period.to)));
        };
        let actual = values.actual;
        let (timeliness, uncertainty) = match actual {
            Some(_) => (Timeliness::Actual, UncertaintyClass::Metered),
            None => (Timeliness::Forecast, UncertaintyClass::Forecast),
        };
        let meta = metas.with(|meta| {
            meta.timeliness = timeliness;
            meta.uncertainty = uncertainty;
        });
        rows.add(interval, actual.or(values.forecast), None, &meta)?;
    }
    Ok(())
}

/// The periods of an answer: nationally in `data`, regionally in an object there or in an array of one. Beyond what
/// is forecast an answer is empty.
fn periods(body: &Value, zone: &str) -> Result<Vec<Value>, Error> {
    let malformed = |what| Error::Malformed { provider: ID, what };
    let elsewhere = || malformed(format!("an answer that is not for the zone {zone}"));
    let data = match (body.get("data"), body.as_object()) {
        (Some(data), _) => data,
        (None, Some(members)) if members.is_empty() => return Ok(Vec::new()),
        _ => {
            let said = body.pointer("/error/message").and_then(Value::as_str);
            return Err(malformed(format!(
                "an answer without data: {}",
                said.unwrap_or("no reason")
            )));
        }
    };
    let list = match data {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        object => std::slice::from_ref(object),
    };
    let mut periods = Vec::new();
    for part in list {
        match part.get("regionid") {
            None if zone == NATIONAL => periods.push(part.clone()),
            Some(returned) if zone != NATIONAL => {
                let returned = returned.to_string().trim_matches('"').to_owned();
                if returned != zone {
                    let requested = zone.to_owned();
                    return Err(Error::WrongZone { provider: ID, requested, returned });
                }
                let own = part.get("data").and_then(Value::as_array);
                periods.extend(own.into_iter().flatten().cloned());
            }
            _ => return Err(elsewhere()),
        }
    }
    Ok(periods)
}
