//! WattTime against a server of ours.

use std::time::Duration;

use carbon_ops_grid::cache::Mode;
use carbon_ops_grid::watttime::WattTime;
use carbon_ops_grid::zones::Place;
use carbon_ops_grid::{
    AnySeries, Denied, Error, ErrorKind, Provider as _, Secret, Slot, Timeliness, UncertaintyClass,
    Want,
};
use serde_json::json;

use crate::fake::api::watttime;
use crate::fake::{Reply, World, shown, span, values};

const MINUTE: Duration = Duration::from_secs(60);

fn world() -> World {
    World::new("2026-06-01T00:00:00Z", watttime)
}

fn marginal(series: &AnySeries) -> Vec<f64> {
    let AnySeries::Marginal(series) = series else { panic!("not marginal: {series:?}") };
    series.slots().iter().map(Slot::as_grams_per_kilowatt_hour).collect()
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let world = world();
    let provider = world.watttime();
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    let ask = |wait: Duration| {
        world.clock.advance(wait);
        provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
        world.count("/login")
    };
    assert_eq!(ask(Duration::ZERO), 1);
    assert_eq!(ask(20 * MINUTE), 1);
    // 20 + 9 minutes: one minute before the server would refuse it.
    assert_eq!(ask(9 * MINUTE), 2);
    // No request was answered with 401: each login was followed by data at once.
    assert_eq!(world.count("/v3/historical"), 3);
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    let world = world();
    let provider = world.watttime();
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    // As after a restart of the server, which forgets its tokens.
    world.then(Reply { status: 401, ..Reply::default() });
    provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    assert_eq!((world.count("/login"), world.count("/v3/historical")), (2, 3));
    // Refused again with a new token: it is the account.
    let no = Reply::json(401, &json!({ "error": "no access to this region" }));
    world.clock.advance(MINUTE);
    world.then(no.clone());
    world.script.lock().unwrap().push(watttime_login(&world));
    world.then(no);
    let error = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{}", shown(&error));
    assert_eq!((world.count("/login"), world.count("/v3/historical")), (3, 5));
}

fn watttime_login(world: &World) -> Reply {
    use carbon_ops_grid::fetch::Clock as _;
    let token = format!("{}.{}", crate::fake::BEARER, world.clock.now().as_second());
    Reply::json(200, &json!({ "token": token }))
}

#[test]
fn a_login_that_is_refused_or_odd_shows_no_secret() {
    let world = world();
    let user = Secret::new(crate::fake::USER).unwrap();
    let wrong = Secret::new("wrong-password").unwrap();
    let provider = WattTime::new(world.fetcher(), &world.base(""), user, wrong);
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    let error = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied(Denied::NotAccepted), "{}", shown(&error));
    assert!(!format!("{error:?} {provider:?}").contains("wrong-password"));
    let odd = json!({ "tokenn": crate::fake::BEARER });
    world.then(Reply::json(200, &odd));
    let error = world.watttime().slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap_err();
    assert!(shown(&error).contains("no token"), "{error}");
}

#[test]
fn a_moer_never_comes_as_an_average() {
    let world = world();
    let provider = world.watttime();
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    let moer = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    let aoer = provider.slots("CAISO_NORTH", hour, &Want::AVERAGE).unwrap();
    assert!(moer.inventory().is_err());
    // 870 and 600 lb/MWh times 0.45359237.
    assert!((marginal(&moer)[0] - 394.625_361_9).abs() < 1e-9);
    assert!((values(&aoer)[0] - 272.155_422).abs() < 1e-9);
    assert_eq!((marginal(&moer).len(), values(&aoer).len()), (12, 12));
    let model = moer.metas()[0].model_version.clone();
    assert_eq!(model.as_deref(), Some("2023-03-01"));
    // A server that answers with the other signal is not believed.
    let meta = json!({ "data_point_period_seconds": 300, "region": "CAISO_NORTH",
        "signal_type": "co2_moer", "units": "lbs_co2_per_mwh" });
    world.then(Reply::json(200, &json!({ "data": [], "meta": meta })));
    let error = provider.slots("CAISO_NORTH", hour, &Want::AVERAGE).unwrap_err();
    assert!(shown(&error).contains("asked for co2_aoer and got \"co2_moer\""), "{error}");
}

/// The API's own form: `warnings: [{type, message}]` beside the data.
#[test]
fn what_the_provider_warns_of_is_told_and_not_taken_for_measured() {
    let world = world();
    let provider = world.watttime();
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    let quiet = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    assert_eq!(quiet.metas()[0].warning, None);
    let warnings = json!([
        { "type": "OUTDATED", "message": "the model\u{1b} is old" },
        { "type": "GAPS", "message": "some values are late" },
    ]);
    let meta = json!({ "data_point_period_seconds": 300, "region": "CAISO_NORTH",
        "signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "warnings": warnings });
    let data = json!([{ "point_time": "2026-05-01T00:00:00Z", "value": 870.0 }]);
    world.then(Reply::json(200, &json!({ "data": data, "meta": meta })));
    let told = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    let meta = &told.metas()[0];
    assert_eq!(meta.warning.as_deref(), Some("the model  is old; some values are late"));
    assert_eq!(meta.uncertainty, UncertaintyClass::Estimated);
    assert_eq!(quiet.metas()[0].uncertainty, UncertaintyClass::Metered);
}

#[test]
fn other_units_and_other_regions_are_refused() {
    let world = world();
    let provider = world.watttime();
    let hour = span("2026-05-01T00:00Z", "2026-05-01T01:00Z");
    provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap();
    for (region, units, expected) in [
        ("CAISO_NORTH", "percentile", "a unit that is not known: \"percentile\""),
        ("CAISO_NORTH", "kg_co2_per_mwh", "a unit that is not known"),
        ("PJM_DC", "lbs_co2_per_mwh", "answered for \"PJM_DC\""),
    ] {
        let meta = json!({ "data_point_period_seconds": 300, "region": region,
            "signal_type": "co2_moer", "units": units });
        world.then(Reply::json(200, &json!({ "data": [], "meta": meta })));
        let error = provider.slots("CAISO_NORTH", hour, &Want::MARGINAL).unwrap_err();
        assert!(shown(&error).contains(expected), "{error}");
    }
}

#[test]
fn chunks_of_32_days_neither_overlap_nor_leave_a_hole() {
    let world = world();
    let span = span("2026-01-01T00:00Z", "2026-03-15T00:00Z");
    let series = world.watttime().slots("CAISO_NORTH", span, &Want::MARGINAL).unwrap();
    // 73 days of 288 values; 32 + 32 + 9 days.
    assert_eq!(marginal(&series).len(), 73 * 288);
    assert!(series.gaps().is_empty());
    assert_eq!(world.count("/v3/historical"), 3);
    assert_eq!(world.count("/login"), 1);
}

#[test]
fn chunks_that_overlap_give_each_slot_once() {
    let world = world();
    let day = span("2026-05-01T00:00Z", "2026-05-02T00:00Z");
    let meta = json!({ "data_point_period_seconds": 300, "region": "CAISO_NORTH",
        "signal_type": "co2_moer", "units": "lbs_co2_per_mwh" });
    let row = |at: &str, value: f64| json!({ "point_time": at, "value": value });
    let twice = [
        row("2026-05-01T00:00:00Z", 1.0),
        row("2026-05-01T00:05:00Z", 2.0),
        row("2026-05-01T00:05:00+00:00", 2.0),
    ];
    let provider = world.watttime();
    world.then(watttime_login(&world));
    world.then(Reply::json(200, &json!({ "data": twice, "meta": meta })));
    let series = provider.slots("CAISO_NORTH", day, &Want::MARGINAL).unwrap();
    assert_eq!(marginal(&series).len(), 2);
}

#[test]
fn coordinates_become_a_region_by_asking_and_are_asked_monthly() {
    let world = world();
    let store = world.store(Mode::Online);
    let provider = world.cached(world.watttime(), &store);
    // The example of the documentation.
    let place = Place::parse("42.372,-72.519").unwrap();
    for (wait, expected) in [(0, 1), (29, 1), (2, 2)] {
        world.clock.advance(Duration::from_secs(wait * 24 * 3600));
        assert_eq!(provider.zone(&place, &Want::MARGINAL).unwrap(), "ISONE_WCMA");
        assert_eq!(world.count("region-from-loc"), expected);
    }
    let asked = world.asked().pop().unwrap();
    assert_eq!(asked.query("latitude"), "42.372");
    assert_eq!(asked.query("signal_type"), "co2_moer");
    assert!(provider.zone(&place_of("DE"), &Want::MARGINAL).is_err());
    assert_eq!(provider.zone(&place_of("us-west-1"), &Want::MARGINAL).unwrap(), "CAISO_NORTH");
}

fn place_of(text: &str) -> Place {
    Place::parse(text).unwrap()
}

#[test]
fn a_forecast_is_for_marginal_rates_of_times_to_come() {
    let world = world();
    let span = span("2026-05-31T23:00Z", "2026-06-01T02:00Z");
    let series = world.watttime().slots("CAISO_NORTH", span, &Want::MARGINAL).unwrap();
    let AnySeries::Marginal(series) = series else { panic!() };
    let forecasts = series.slots().iter().filter(|s| s.meta.timeliness == Timeliness::Forecast);
    assert_eq!((series.slots().len(), forecasts.count()), (36, 24));
    let before = world.count("/v3/forecast");
    let average = world.watttime().slots("CAISO_NORTH", span, &Want::AVERAGE).unwrap();
    assert_eq!(values(&average).len(), 12);
    assert_eq!(world.count("/v3/forecast"), before);
}
