//! Electricity Maps, version 4 of its API; version 3 has the same shapes.
//!
//! Average, flow-traced consumption, CO2 equivalents, over the life cycle or direct. Times that have passed
//! come from `past-range` (at most ten days of hours a request), or from `history` when the last day is
//! enough, which plans without charge have; times to come from `forecast`. `latest` is never asked.
//!
//! Without a zone that it knows this API answers for the place of whoever asks: that is switched off in
//! each request, and the zone of each answer is compared.
//!
//! Sources: the developer hub's reference; the shapes that aioelectricitymaps 1.1.1 and the Carbon Aware SDK
//! accept. Values carry no uncertainty.
//!
//! Out of scope: sending, repeating and keeping (`fetch`, `cache`).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::assembly::{Asked, Assembly, Metas, aligned, chunks};
use crate::fetch::{Answer, Credential, Fetcher, Rate, Request};
use crate::provider::{Denied, Error, Provider, Uncovered, Want};
use crate::secret::Secret;
use crate::zones::{Place, cloud_zone};
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::intensity::{AnySeries, Interval, Meta, Timeliness, UncertaintyClass};

/// Name in configurations, caches and records.
pub const ID: &str = "electricity_maps";

/// Where the API is.
pub const BASE: &str = "https://api.electricitymaps.com/v4";

/// Longest `past-range` at hourly granularity (developer hub, past-range).
const RANGE_MAX: Duration = Duration::from_secs(10 * 24 * 3600);

/// `history` has the last 24 hours that have begun: this one and so many before.
const HISTORY_HOURS: i64 = 23;

/// Longest `forecast`, in hours.
const FORECAST_HOURS: [i64; 3] = [24, 48, 72];

/// A prior: no limit is published for all plans, and small ones have a small monthly quota.
const RATE: Rate = Rate { per_second: 5.0, burst: 5.0 };

const HOUR: i64 = 3600;

/// The provider.
#[derive(Debug)]
pub struct ElectricityMaps {
    fetcher: Arc<Fetcher>,
    base: String,
    token: Secret,
}

impl ElectricityMaps {
    /// `base` is [`BASE`], or that of version 3 or of a proxy.
    pub fn new(fetcher: Arc<Fetcher>, base: &str, token: Secret) -> Self {
        Self { fetcher, base: base.trim_end_matches('/').to_owned(), token }
    }

    fn request(&self, path: &str, zone: &str, factor: Factor) -> Request {
        // The switch has another name in each version.
        let (switch, off) = if self.base.ends_with("/v3") {
            ("shouldUseFallbackCallerLookup", "false")
        } else {
            ("disableCallerLookup", "true")
        };
        Request::new(&self.base, path)
            .with("zone", zone)
            .with("emissionFactorType", &factor.to_string())
            .with(switch, off)
            .with_credential(Credential::plain("auth-token", &self.token))
    }

    fn fetch(&self, request: &Request, zone: &str) -> Result<Answer, Error> {
        self.fetcher.data(ID, request, RATE).map_err(|error| match error {
            Error::Status { status: 401 | 403, message, .. } => Error::Credentials {
                provider: ID,
                what: format!("the token is not accepted for {}: {message}", request.name()),
                why: Denied::NotAccepted,
            },
            Error::Status { status: 404, message, .. } if is_of_zone(&message) => {
                Error::unknown_zone(ID, zone, Uncovered::NoSuchZone)
            }
            error => error,
        })
    }

    fn past(&self, asked: &Asked<'_>, past: Interval, rows: &mut Assembly) -> Result<(), Error> {
        let this_hour = self.fetcher.clock.now().as_second().div_euclid(HOUR);
        let path = "/carbon-intensity";
        if past.start().as_second().div_euclid(HOUR) >= this_hour - HISTORY_HOURS {
            let request = self.request(&format!("{path}/history"), asked.zone, asked.signal.factor);
            return read(&self.fetch(&request, asked.zone)?, asked, Timeliness::Actual, rows);
        }
        for chunk in chunks(aligned(past, HOUR), RANGE_MAX) {
            let request = self
                .request(&format!("{path}/past-range"), asked.zone, asked.signal.factor)
                .with("start", &chunk.start().to_string())
                .with("end", &chunk.end().to_string());
            read(&self.fetch(&request, asked.zone)?, asked, Timeliness::Actual, rows)?;
        }
        Ok(())
    }

    fn future(&self, asked: &Asked<'_>, end: Timestamp, rows: &mut Assembly) -> Result<(), Error> {
        let ahead = end.duration_since(self.fetcher.clock.now()).as_secs() / HOUR + 1;
        let longest = FORECAST_HOURS.iter().find(|hours| **hours >= ahead).unwrap_or(&72);
        let request = self
            .request("/carbon-intensity/forecast", asked.zone, asked.signal.factor)
            .with("horizonHours", &longest.to_string());
        read(&self.fetch(&request, asked.zone)?, asked, Timeliness::Forecast, rows)
    }
}

impl Provider for ElectricityMaps {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        let signal = Signal {
            kind: Kind::Average,
            accounting: Accounting::Consumption,
            factor: want.factor.unwrap_or(Factor::Lifecycle),
            gases: Gases::Co2e,
        };
        // It has both parts of the difference, and not the difference.
        (want.admits(signal) && signal.factor != Factor::Upstream).then_some(signal)
    }

    fn zone(&self, place: &Place, _: &Want) -> Result<String, Error> {
        let unknown = |why| Error::unknown_zone(ID, &place.asked, why);
        if let Some(native) = place.native_to(ID) {
            return Ok(native.to_owned());
        }
        if let Some((cloud, region)) = &place.cloud {
            let zone = cloud_zone(cloud, region).and_then(|zone| zone.electricity_maps);
            return zone.map(str::to_owned).ok_or_else(|| unknown(Uncovered::CloudRegion));
        }
        if place.coordinates.is_some() {
            // It would answer for coordinates, but there would be no zone to hold the answer against.
            return Err(unknown(Uncovered::Coordinates));
        }
        // A US state is not a zone here; provinces of other countries are.
        let part = place.subdivision.as_ref().filter(|_| place.country.as_deref() != Some("US"));
        if let (Some(_), None) = (&place.subdivision, part) {
            return Err(unknown(Uncovered::SeveralZones));
        }
        let zone = part.or(place.country.as_ref()).cloned();
        zone.ok_or_else(|| unknown(Uncovered::NotByName))
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        let signal = self.signal(want)?;
        let asked = Asked { zone, signal };
        let mut rows = Assembly::of_requests(ID, interval)?;
        let now = self.fetcher.clock.now();
        if let Ok(past) = Interval::new(interval.start(), interval.end().min(now)) {
            self.past(&asked, past, &mut rows)?;
        }
        if interval.end().duration_since(now).as_secs() >= HOUR {
            self.future(&asked, interval.end(), &mut rows)?;
        }
        rows.finish(signal.kind)
    }
}

/// Whether the provider says that it does not know the zone: it answers 404 as well where it has no recent data, and
/// where the address is wrong.
fn is_of_zone(message: &str) -> bool {
    let message = message.to_lowercase();
    let unknown = ["unknown", "invalid", "not found", "not exist", "not supported", "no zone"];
    message.contains("zone") && unknown.iter().any(|word| message.contains(word))
}

/// `past-range` has its rows in `data`, `history` and `forecast` in members of their names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    zone: Option<String>,
    #[serde(alias = "history", alias = "forecast")]
    data: Vec<Row>,
    temporal_granularity: Option<String>,
    updated_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    zone: Option<String>,
    carbon_intensity: Option<f64>,
    datetime: Timestamp,
    updated_at: Option<Timestamp>,
    emission_factor_type: Option<String>,
    is_estimated: Option<bool>,
    estimation_method: Option<String>,
    temporal_granularity: Option<String>,
}

/// Puts the rows of an answer into the assembly.
pub(crate) fn read(
    answer: &Answer,
    asked: &Asked<'_>,
    timeliness: Timeliness,
    rows: &mut Assembly,
) -> Result<(), Error> {
    let malformed = |what| Error::Malformed { provider: ID, what };
    let body: Body = answer.json(ID)?;
    let mut metas = Metas::new(Meta {
        raw_digest: Some(answer.digest),
        fetched_at: Some(answer.fetched_at),
        timeliness,
        licence: "terms of the provider; not to be passed on without its leave".to_owned(),
        attribution: "Electricity Maps".to_owned(),
        ..Meta::new(ID, asked.zone, asked.signal)
    });
    let step = step(&body)?;
    for row in &body.data {
        let named = [&row.zone, &body.zone].into_iter().flatten();
        if named.clone().next().is_none() {
            return Err(malformed("a value without a zone".to_owned()));
        }
        if let Some(returned) = named.into_iter().find(|zone| **zone != asked.zone) {
            let (requested, returned) = (asked.zone.to_owned(), returned.clone());
            return Err(Error::WrongZone { provider: ID, requested, returned });
        }
        let factor = asked.signal.factor.to_string();
        if let Some(other) = row.emission_factor_type.as_ref().filter(|other| **other != factor) {
            return Err(malformed(format!("asked for {factor} values and got {other} ones")));
        }
        let end = row.datetime.checked_add(step).map_err(|error| malformed(error.to_string()))?;
        let Ok(interval) = Interval::new(row.datetime, end) else { continue };
        let meta = metas.with(|meta| {
            meta.estimation_method.clone_from(&row.estimation_method);
            meta.uncertainty = match (timeliness, row.is_estimated) {
                (Timeliness::Forecast, _) => UncertaintyClass::Forecast,
                (_, Some(true)) => UncertaintyClass::Estimated,
                _ => UncertaintyClass::Metered,
            };
        });
        rows.add(interval, row.carbon_intensity, row.updated_at.or(body.updated_at), &meta)?;
    }
    Ok(())
}

/// How long a slot is: what the answer says, for a finer granularity than was asked for comes silently;
/// else the time from each to the next; else an hour.
fn step(body: &Body) -> Result<Duration, Error> {
    let row = body.data.first().and_then(|row| row.temporal_granularity.as_deref());
    let minutes = match body.temporal_granularity.as_deref().or(row) {
        None => nearest(body).filter(|minutes| [5, 15, 30].contains(minutes)).unwrap_or(60),
        Some("hourly" | "60_minutes") => 60,
        Some("30_minutes") => 30,
        Some("15_minutes") => 15,
        Some("5_minutes") => 5,
        Some(other) => {
            let what = format!("asked for hours and got a granularity of {other:?}");
            return Err(Error::Malformed { provider: ID, what });
        }
    };
    Ok(Duration::from_secs(60 * minutes))
}

/// The least time between two rows, in minutes.
fn nearest(body: &Body) -> Option<u64> {
    let apart = |(a, b): (&Row, &Row)| b.datetime.duration_since(a.datetime).unsigned_abs();
    let apart = body.data.iter().zip(body.data.iter().skip(1)).map(apart);
    apart.filter(|apart| !apart.is_zero()).min().map(|apart| apart.as_secs() / 60)
}
