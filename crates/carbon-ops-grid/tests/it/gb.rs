//! The Carbon Intensity API of Great Britain against a server of ours.

use carbon_ops_grid::zones::Place;
use carbon_ops_grid::{Error, Kind, Provider as _, Timeliness, Want};
use serde_json::json;

use crate::fake::api::gb;
use crate::fake::{Reply, World, inventory, shown, span, values};

fn world() -> World {
    World::new("2026-06-01T12:10:00Z", gb)
}

#[test]
fn the_past_is_actual_and_the_future_forecast() {
    let world = world();
    let span = span("2026-06-01T11:00Z", "2026-06-01T13:00Z");
    let series = world.gb().slots("GB", span, &Want::AVERAGE).unwrap();
    // Periods that were over at 12:10 have 263, the others 266.
    assert_eq!(values(&series), [263.0, 263.0, 266.0, 266.0]);
    let last = inventory(&series).slots().last().unwrap().clone();
    assert_eq!(last.meta.timeliness, Timeliness::Forecast);
    assert_eq!(inventory(&series).slots()[0].meta.timeliness, Timeliness::Actual);
    assert_eq!(last.meta.licence, "CC-BY-4.0");
}

#[test]
fn a_month_is_asked_in_ranges_of_fourteen_days() {
    let world = world();
    let span = span("2026-03-01T00:10Z", "2026-04-01T00:00Z");
    let series = world.gb().slots("GB", span, &Want::AVERAGE).unwrap();
    assert_eq!(world.asked().len(), 3);
    assert_eq!(values(&series).len(), 31 * 48);
    assert!(series.gaps().is_empty());
    assert_eq!(world.asked()[0].path, "/intensity/2026-03-01T00:00Z/2026-03-15T00:00Z");
}

#[test]
fn regions_come_as_an_object_or_an_array_and_are_forecasts() {
    let world = world();
    let span = span("2026-05-01T00:00Z", "2026-05-01T02:00Z");
    for region in ["13", "14"] {
        let series = world.gb().slots(region, span, &Want::AVERAGE).unwrap();
        assert_eq!(values(&series), [266.0; 4]);
        assert_eq!(series.metas()[0].timeliness, Timeliness::Forecast);
    }
    world.then(Reply::json(200, &json!({ "data": { "regionid": 5, "data": [] } })));
    let error = world.gb().slots("13", span, &Want::AVERAGE).unwrap_err();
    let expected =
        Error::WrongZone { provider: "gb", requested: "13".into(), returned: "5".into() };
    assert_eq!(error, expected);
    // A national answer is not for a region, nor the reverse.
    let period = json!({ "from": "2026-05-01T00:00Z", "to": "2026-05-01T00:30Z",
        "intensity": { "forecast": 1, "actual": 1 } });
    world.then(Reply::json(200, &json!({ "data": [period] })));
    let error = world.gb().slots("13", span, &Want::AVERAGE).unwrap_err();
    assert!(shown(&error).contains("not for the zone 13"), "{error}");
}

#[test]
fn it_answers_for_great_britain_and_nothing_else() {
    let world = world();
    let zone = |text: &str| world.gb().zone(&Place::parse(text).unwrap(), &Want::AVERAGE);
    assert_eq!(zone("UK").unwrap(), "GB");
    assert_eq!(zone("eu-west-2").unwrap(), "GB");
    assert_eq!(zone("GB-SCT").unwrap(), "16");
    assert_eq!(zone("gb:13").unwrap(), "13");
    for elsewhere in ["US", "DE", "us-east-1", "51.5,-0.1", "gb:18", "gb:0", "GB-NIR"] {
        let error = zone(elsewhere).unwrap_err();
        assert!(matches!(error, Error::UnknownZone { .. }), "{}", shown(&error));
    }
    assert_eq!(world.gb().offers(&Want::MARGINAL), None);
    assert_eq!(world.gb().offers(&Want::AVERAGE).unwrap().kind, Kind::Average);
    assert!(world.asked().is_empty());
}

#[test]
fn a_century_is_not_asked_for() {
    let world = world();
    let century = span("1926-01-01T00:00Z", "2026-01-01T00:00Z");
    let error = world.gb().slots("GB", century, &Want::AVERAGE).unwrap_err();
    assert!(shown(&error).contains("longer than ten years"), "{error}");
    assert!(world.asked().is_empty());
}

#[test]
fn what_the_server_refuses_is_told_in_its_words() {
    let world = world();
    let body = json!({ "error": { "code": "400 Bad Request", "message": "no such thing" } });
    world.then(Reply::json(400, &body));
    let span = span("2026-05-01T00:00Z", "2026-05-01T02:00Z");
    let error = world.gb().slots("GB", span, &Want::AVERAGE).unwrap_err();
    assert!(shown(&error).ends_with("was answered with status 400: no such thing"), "{error}");
    assert_eq!(world.asked().len(), 1);
}

/// The rules: what one period lacks is a gap and no failure, of two values for one time neither is taken, and what is
/// not as documented is named by its time.
#[test]
fn one_odd_period_is_said_and_does_not_take_the_others_along() {
    use carbon_ops_grid::GapReason;
    let world = world();
    let span = span("2026-05-01T00:00Z", "2026-05-01T01:30Z");
    let period = |hour: &str, intensity: serde_json::Value| {
        let (from, to) = hour.split_once(' ').unwrap();
        json!({ "from": format!("2026-05-01T{from}Z"), "to": format!("2026-05-01T{to}Z"), "intensity": intensity })
    };
    let [a, b, c] = ["00:00 00:30", "00:30 01:00", "01:00 01:30"];
    let value = |g: i64| json!({ "forecast": g + 5, "actual": g });
    let answer = |periods: Vec<serde_json::Value>| {
        world.then(Reply::json(200, &json!({ "data": periods })));
        world.gb().slots("GB", span, &Want::AVERAGE)
    };
    for (odd, reason) in [
        (vec![period(b, serde_json::Value::Null)], GapReason::Null),
        (vec![period(b, json!({ "forecast": null, "actual": null }))], GapReason::Null),
        (vec![period(b, value(202)), period(b, value(999))], GapReason::Contradictory),
    ] {
        let mut periods = vec![period(a, value(200)), period(c, value(203))];
        periods.extend(odd);
        let series = answer(periods).unwrap();
        assert_eq!(values(&series), [200.0, 203.0]);
        assert_eq!(series.gaps()[0].reason, reason);
    }
    let error =
        answer(vec![period(a, value(1)), period(b, json!({ "actual": "263" }))]).unwrap_err();
    let message = shown(&error);
    assert!(
        message.contains("the period from 2026-05-01T00:30Z is not as documented"),
        "{message}"
    );
    world.then(Reply::json(200, &json!({})));
    assert!(values(&world.gb().slots("13", span, &Want::AVERAGE).unwrap()).is_empty());
    world.then(Reply::json(200, &json!({ "error": { "message": "range" } })));
    let error = world.gb().slots("GB", span, &Want::AVERAGE).unwrap_err();
    assert_eq!(shown(&error), "gb: an answer without data: range");
}

#[test]
fn an_address_that_moved_is_told_with_the_new_one() {
    let world = world();
    let location = ("location", "https://new.example/intensity".to_owned());
    world.then(Reply { status: 301, headers: vec![location], ..Reply::default() });
    let span = span("2026-05-01T00:00Z", "2026-05-01T02:00Z");
    let error = world.gb().slots("GB", span, &Want::AVERAGE).unwrap_err();
    assert!(
        shown(&error).ends_with("301: it has moved to https://new.example/intensity"),
        "{error}"
    );
}
