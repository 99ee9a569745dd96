//! The three servers, with the limits and habits that their documentation and clients tell of.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::{Asked, BASIC, BEARER, Reply, TOKEN};

const HOUR: i64 = 3600;

/// g/kWh of an hour: any rule will do that gives each hour of a day another value.
pub(crate) fn of_hour(second: i64) -> i64 {
    100 + second.div_euclid(HOUR).rem_euclid(24)
}

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": message }))
}

/// One row of Electricity Maps, its `datetime` with milliseconds as there.
pub(crate) fn em_row(zone: &str, second: i64, value: &Value, factor: &str) -> Value {
    let at = Timestamp::from_second(second).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    json!({ "zone": zone, "carbonIntensity": value, "datetime": at, "updatedAt": at, "createdAt": at,
        "emissionFactorType": factor, "isEstimated": false, "estimationMethod": null })
}

/// Electricity Maps: token, zones, ten days a request; a token with no zone gets the caller's.
pub(crate) fn electricity_maps(asked: &Asked, now: Timestamp) -> Reply {
    if asked.headers.get("auth-token").map(String::as_str) != Some(TOKEN) {
        let sent = asked.headers.get("auth-token").cloned().unwrap_or_default();
        return error(401, &format!("Invalid auth-token {sent}"));
    }
    let mut zone = asked.query("zone").to_owned();
    let off = [("disableCallerLookup", "true"), ("shouldUseFallbackCallerLookup", "false")];
    if zone == "NOWHERE" {
        if off.iter().any(|(name, value)| asked.query(name) == *value) {
            return error(404, "Zone \"NOWHERE\" does not exist.");
        }
        "US-CAL-CISO".clone_into(&mut zone);
    }
    let factor = asked.query("emissionFactorType");
    let rows = |from: i64, to: i64| -> Vec<Value> {
        let step = usize::try_from(HOUR).unwrap();
        (from..to).step_by(step).map(|at| em_row(&zone, at, &of_hour(at).into(), factor)).collect()
    };
    let this_hour = now.as_second().div_euclid(HOUR) * HOUR;
    match asked.path.rsplit_once('/').unwrap().1 {
        "past-range" => {
            let (from, to) = (instant(asked.query("start")), instant(asked.query("end")));
            if to.duration_since(from).as_hours() > 240 {
                return error(400, "The requested range is too long");
            }
            Reply::json(200, &json!({ "data": rows(from.as_second(), to.as_second()) }))
        }
        "history" => {
            let rows = rows(this_hour - 23 * HOUR, this_hour + HOUR);
            Reply::json(200, &json!({ "zone": zone, "history": rows }))
        }
        "forecast" => {
            let hours: i64 = asked.query("horizonHours").parse().unwrap();
            let forecast: Vec<Value> = (0..=hours)
                .map(|n| {
                    let at = Timestamp::from_second(this_hour + n * HOUR).unwrap();
                    json!({ "carbonIntensity": 500, "datetime": at.to_string() })
                })
                .collect();
            let updated = now.to_string();
            Reply::json(200, &json!({ "zone": zone, "forecast": forecast, "updatedAt": updated }))
        }
        _ => error(404, "no such path"),
    }
}

/// WattTime: a login by name and password, tokens of 30 minutes that carry the time of their issue, 32 days a
/// request, `end` included, five-minute values.
pub(crate) fn watttime(asked: &Asked, now: Timestamp) -> Reply {
    let authorization = asked.headers.get("authorization").cloned().unwrap_or_default();
    if asked.path == "/login" {
        if authorization != format!("Basic {BASIC}") {
            return error(401, "wrong user or password");
        }
        return Reply::json(200, &json!({ "token": format!("{BEARER}.{}", now.as_second()) }));
    }
    let issued = authorization.strip_prefix(&format!("Bearer {BEARER}."));
    let age = issued.map(|issued| now.as_second() - issued.parse::<i64>().unwrap());
    if age.is_none_or(|age| age >= 30 * 60) {
        return error(401, &format!("expired {authorization}"));
    }
    let (region, signal) = (asked.query("region"), asked.query("signal_type"));
    let meta = json!({ "data_point_period_seconds": 300, "region": region, "signal_type": signal,
        "units": "lbs_co2_per_mwh", "model": { "date": "2023-03-01", "type": "binned_regression" } });
    match asked.path.as_str() {
        "/v3/region-from-loc" => {
            let found = json!({ "region": "ISONE_WCMA", "signal_type": signal,
                "region_full_name": "ISONE Western/Central Massachusetts" });
            Reply::json(200, &found)
        }
        "/v3/historical" => {
            let (start, end) = (instant(asked.query("start")), instant(asked.query("end")));
            if end.duration_since(start).as_hours() > 32 * 24 {
                return error(400, "the range is longer than 32 days");
            }
            // Marginal rates and averages are two numbers; the end is included.
            let base = if signal == "co2_moer" { 870.0 } else { 600.0 };
            let mut data = Vec::new();
            let mut at = start;
            while at <= end {
                data.push(json!({ "point_time": at.to_string(), "value": base }));
                at += 5.minutes();
            }
            Reply::json(200, &json!({ "data": data, "meta": meta }))
        }
        "/v3/forecast" => {
            let this = now.as_second().div_euclid(300) * 300;
            let hours: i64 = asked.query("horizon_hours").parse().unwrap();
            let data: Vec<Value> = (0..hours * 12)
                .map(|n| {
                    let at = Timestamp::from_second(this + n * 300).unwrap();
                    json!({ "point_time": at.to_string(), "value": 900.0 })
                })
                .collect();
            Reply::json(200, &json!({ "data": data, "meta": meta }))
        }
        _ => error(404, "no such path"),
    }
}

/// Great Britain: half hours, no seconds in times, the period that ends at `from` comes first, 14 days.
pub(crate) fn gb(asked: &Asked, now: Timestamp) -> Reply {
    let refused = |message: &str| {
        let body = json!({ "error": { "code": "400 Bad Request", "message": message } });
        Reply::json(400, &body)
    };
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let regional = parts.first() == Some(&"regional");
    let times = if regional { parts.get(2..4) } else { parts.get(1..3) };
    let Some([from, to]) = times else { return refused("no times") };
    if from.len() != "2026-03-01T00:00Z".len() {
        return refused("a time that is not YYYY-MM-DDThh:mmZ");
    }
    let (from, to) = (instant(from), instant(to));
    if to.duration_since(from).as_hours() > 14 * 24 {
        return refused("The maximum date range is limited to 14 days");
    }
    let minute = |second: i64| {
        Timestamp::from_second(second).unwrap().strftime("%Y-%m-%dT%H:%MZ").to_string()
    };
    let half = 1800;
    let mut periods = Vec::new();
    let mut at = from.as_second() - half;
    while at < to.as_second() {
        let over = at + half <= now.as_second();
        let mut intensity = json!({ "forecast": 266, "index": "moderate" });
        if !regional {
            intensity["actual"] = if over { json!(263) } else { Value::Null };
        }
        periods
            .push(json!({ "from": minute(at), "to": minute(at + half), "intensity": intensity }));
        at += half;
    }
    if !regional {
        return Reply::json(200, &json!({ "data": periods }));
    }
    let id: u32 = parts.last().unwrap().parse().unwrap();
    let region = json!({ "regionid": id, "shortname": "x", "data": periods });
    // Documented as an array of one, seen as an object.
    let data = if id.is_multiple_of(2) { json!([region]) } else { region };
    Reply::json(200, &json!({ "data": data }))
}
