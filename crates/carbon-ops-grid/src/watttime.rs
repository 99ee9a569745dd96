//! WattTime, version 3 of its API: marginal rates (`co2_moer`), and averages of the past (`co2_aoer`).
//!
//! The two are never taken for each other: they are asked for by different signals and come as different
//! types. A token is good for 30 minutes; it is renewed before, and once when it is refused. Units are
//! read from each answer: a number that is not in pounds of CO2 per MWh is an error.
//!
//! Sources: WattTime's Python client 1.4.0 and its guide from version 2 to 3. Values carry no uncertainty.
//!
//! Out of scope: sending, repeating and keeping (`fetch`, `cache`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::assembly::{Asked, Assembly, Metas, aligned, chunks};
use crate::fetch::{Answer, Credential, Fetcher, Rate, Request, shown};
use crate::provider::{Denied, Error, Provider, Uncovered, Want};
use crate::secret::Secret;
use crate::zones::{Place, cloud_zone};
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::intensity::{AnySeries, Interval, Meta, Timeliness, UncertaintyClass};

/// Name in configurations, caches and records.
pub const ID: &str = "watttime";

/// Where the API is. `/login` has no version, data stand below `/v3`.
pub const BASE: &str = "https://api.watttime.org";

/// g/kWh in one lb/MWh: the avoirdupois pound is 0.45359237 kg exactly (NIST SP 811, appendix B).
const G_PER_KWH_IN_LB_PER_MWH: f64 = 0.453_592_37;

/// Longest `historical` (API reference).
const RANGE_MAX: Duration = Duration::from_secs(32 * 24 * 3600);

/// A token lasts 30 minutes; one that is nearly over could end between two requests.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(29 * 60);

/// 3,000 requests in 5 minutes are allowed; the official client keeps to 10 a second.
const RATE: Rate = Rate { per_second: 10.0, burst: 10.0 };

/// 100 logins in 5 minutes are allowed.
const LOGIN_RATE: Rate = Rate { per_second: 0.3, burst: 3.0 };

/// Longest period of a value (`data_point_period_seconds`).
const PERIOD_MAX: i64 = 3600;

/// Longest forecast, in hours.
const FORECAST_HOURS_MAX: i64 = 72;

/// The provider.
#[derive(Debug)]
pub struct WattTime {
    fetcher: Arc<Fetcher>,
    base: String,
    user: Secret,
    password: Secret,
    token: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    bearer: Credential,
    since: Duration,
}

impl WattTime {
    /// `base` is [`BASE`], or that of a proxy.
    pub fn new(fetcher: Arc<Fetcher>, base: &str, user: Secret, password: Secret) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { fetcher, base, user, password, token: Mutex::default() }
    }

    /// A token that is young enough; a new one when `refused` is the one that is held.
    fn token(&self, refused: Option<&Token>) -> Result<Token, Error> {
        // Held while logging in: who waits here gets the token that was fetched.
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.fetcher.clock.elapsed();
        if let Some(token) = held.as_ref() {
            let young = now.saturating_sub(token.since) < TOKEN_AGE_MAX;
            if young && refused.is_none_or(|refused| refused.since != token.since) {
                return Ok(token.clone());
            }
        }
        *held = None;
        let credentials =
            |what: String| Error::Credentials { provider: ID, what, why: Denied::NotAccepted };
        let basic = Credential::basic(&self.user, &self.password)
            .map_err(|error| credentials(error.to_string()))?;
        let request = Request::new(&self.base, "/login").with_credential(basic);
        let answer = self.fetcher.ask(ID, &request, LOGIN_RATE).map_err(|error| match error {
            Error::Status { status: 401 | 403, .. } => {
                credentials("the login was refused".to_owned())
            }
            error => error,
        })?;
        // Nothing of a login's answer may stand in an error.
        let login: Login = serde_json::from_slice(&answer.body).map_err(|_| Error::Malformed {
            provider: ID,
            what: "a login that gave no token".to_owned(),
        })?;
        let bearer = Secret::new(&login.token).and_then(|token| Credential::bearer(&token));
        let bearer = bearer.map_err(|error| credentials(error.to_string()))?;
        let token = Token { bearer, since: now };
        *held = Some(token.clone());
        Ok(token)
    }

    fn fetch(&self, request: &Request) -> Result<Answer, Error> {
        let token = self.token(None)?;
        let send = |token: &Token| {
            let request = request.clone().with_credential(token.bearer.clone());
            self.fetcher.data(ID, &request, RATE)
        };
        let result = match send(&token) {
            Err(Error::Status { status: 401, .. }) => send(&self.token(Some(&token))?),
            result => result,
        };
        result.map_err(|error| match error {
            Error::Status { status: 401 | 403, message, .. } => Error::Credentials {
                provider: ID,
                what: format!("no access to {}: {message}", request.name()),
                why: Denied::NotIncluded,
            },
            error => error,
        })
    }

    fn data(&self, path: &str, asked: &Asked<'_>) -> Request {
        Request::new(&self.base, path)
            .with("region", asked.zone)
            .with("signal_type", signal_type(asked.signal.kind))
    }
}

impl Provider for WattTime {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        let signal = Signal {
            kind: want.kind,
            accounting: Accounting::Unstated,
            factor: Factor::Direct,
            gases: Gases::Co2,
        };
        (want.kind != Kind::Residual && want.admits(signal)).then_some(signal)
    }

    /// By coordinates the provider itself is asked: its borders differ from signal to signal.
    fn zone(&self, place: &Place, want: &Want) -> Result<String, Error> {
        if let Some(native) = place.native_to(ID) {
            return Ok(native.to_owned());
        }
        let of_cloud = place.cloud.as_ref().and_then(|(cloud, region)| cloud_zone(cloud, region));
        if let Some(region) = of_cloud.and_then(|zone| zone.watttime) {
            return Ok(region.to_owned());
        }
        let Some((latitude, longitude)) = place.coordinates else {
            return Err(Error::unknown_zone(ID, &place.asked, Uncovered::NotByName));
        };
        let request = Request::new(&self.base, "/v3/region-from-loc")
            .with("latitude", &latitude.to_string())
            .with("longitude", &longitude.to_string())
            .with("signal_type", signal_type(want.kind));
        let answer = self.fetch(&request).map_err(|error| match error {
            Error::Status { status: 404, .. } => {
                Error::unknown_zone(ID, &place.asked, Uncovered::Elsewhere)
            }
            error => error,
        })?;
        let found: Located = serde_json::from_slice(&answer.body).map_err(|error| {
            Error::Malformed { provider: ID, what: format!("a region that is not named: {error}") }
        })?;
        Ok(found.region)
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        let signal = self.signal(want)?;
        let asked = Asked { zone, signal };
        let now = self.fetcher.clock.now();
        let mut rows = Assembly::of_requests(ID, interval)?;
        if let Ok(past) = Interval::new(interval.start(), interval.end().min(now)) {
            for chunk in chunks(aligned(past, PERIOD_MAX), RANGE_MAX) {
                // `end` is included: a value at the edge would come twice.
                let last = Timestamp::from_second(chunk.end().as_second() - 1);
                let request = self
                    .data("/v3/historical", &asked)
                    .with("start", &chunk.start().to_string())
                    .with("end", &last.unwrap_or(chunk.end()).to_string())
                    .with("include_imputed_marker", "true");
                read(&self.fetch(&request)?, &asked, Timeliness::Actual, &mut rows)?;
            }
        }
        // Averages have no forecast.
        let ahead = interval.end().duration_since(now).as_secs();
        if ahead > 0 && signal.kind == Kind::Marginal {
            let hours = (ahead / 3600 + 1).min(FORECAST_HOURS_MAX);
            let request =
                self.data("/v3/forecast", &asked).with("horizon_hours", &hours.to_string());
            read(&self.fetch(&request)?, &asked, Timeliness::Forecast, &mut rows)?;
        }
        rows.finish(signal.kind)
    }
}

/// The provider's word for a kind.
fn signal_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Marginal => "co2_moer",
        Kind::Average | Kind::Residual => "co2_aoer",
    }
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[derive(Deserialize)]
struct Located {
    region: String,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<Row>,
    meta: BodyMeta,
}

#[derive(Deserialize)]
struct Row {
    point_time: Timestamp,
    value: Option<f64>,
    imputed_data_used: Option<bool>,
    last_updated: Option<Timestamp>,
}

#[derive(Deserialize)]
struct BodyMeta {
    data_point_period_seconds: i64,
    region: String,
    signal_type: String,
    units: String,
    model: Option<Model>,
    warnings: Option<Vec<Warning>>,
}

#[derive(Deserialize)]
struct Warning {
    message: String,
}

#[derive(Deserialize)]
struct Model {
    date: Option<String>,
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
    let period = checked_period(&body.meta, asked)?;
    let warnings = body.meta.warnings.unwrap_or_default();
    let warnings: Vec<_> = warnings.iter().map(|warning| shown(&warning.message)).collect();
    let warned = !warnings.is_empty();
    let mut metas = Metas::new(Meta {
        raw_digest: Some(answer.digest),
        fetched_at: Some(answer.fetched_at),
        timeliness,
        model_version: body.meta.model.and_then(|model| model.date),
        warning: warned.then(|| warnings.join("; ")),
        licence: "terms of the provider; not to be passed on without its leave".to_owned(),
        attribution: "WattTime".to_owned(),
        ..Meta::new(ID, asked.zone, asked.signal)
    });
    for row in &body.data {
        let end = row.point_time.checked_add(period).map_err(|e| malformed(e.to_string()))?;
        let Ok(interval) = Interval::new(row.point_time, end) else { continue };
        let imputed = row.imputed_data_used == Some(true);
        let meta = metas.with(|meta| {
            meta.estimation_method = imputed.then(|| "imputed".to_owned());
            meta.uncertainty = match timeliness {
                Timeliness::Forecast => UncertaintyClass::Forecast,
                // What its source warns of is not taken for measured.
                Timeliness::Actual if imputed || warned => UncertaintyClass::Estimated,
                Timeliness::Actual => UncertaintyClass::Metered,
            };
        });
        let value = row.value.map(|value| value * G_PER_KWH_IN_LB_PER_MWH);
        rows.add(interval, value, row.last_updated, &meta)?;
    }
    Ok(())
}

/// Compares what an answer says it is with what was asked for; gives the length of its slots.
fn checked_period(meta: &BodyMeta, asked: &Asked<'_>) -> Result<Duration, Error> {
    let malformed = |what| Error::Malformed { provider: ID, what };
    if meta.region != asked.zone {
        let (requested, returned) = (asked.zone.to_owned(), meta.region.clone());
        return Err(Error::WrongZone { provider: ID, requested, returned });
    }
    let wanted = signal_type(asked.signal.kind);
    if meta.signal_type != wanted {
        return Err(malformed(format!("asked for {wanted} and got {:?}", meta.signal_type)));
    }
    if meta.units != "lbs_co2_per_mwh" {
        return Err(malformed(format!("a unit that is not known: {:?}", meta.units)));
    }
    if let Ok(seconds @ 1..=86_400) = u64::try_from(meta.data_point_period_seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        let seconds = meta.data_point_period_seconds;
        Err(malformed(format!("values that hold for {seconds} s")))
    }
}
