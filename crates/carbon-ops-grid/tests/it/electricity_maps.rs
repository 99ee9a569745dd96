//! Electricity Maps against a server of ours.

use std::time::Duration;

use carbon_ops_grid::fetch::Clock as _;
use carbon_ops_grid::{
    Denied, Error, ErrorKind, Factor, GapReason, Provider as _, Slot, Timeliness, UncertaintyClass,
    Want,
};
use carbon_ops_grid::{Secret, electricity_maps::ElectricityMaps};
use serde_json::{Value, json};

use crate::fake::api::{electricity_maps, em_row, instant, of_hour};
use crate::fake::{Reply, Wire, World, inventory, shown, span, values};

fn world() -> World {
    World::new("2029-02-01T12:34:56Z", electricity_maps)
}

#[test]
fn a_year_is_asked_in_ranges_of_ten_days_leap_day_included() {
    let world = world();
    let series = world.electricity_maps();
    let year = span("2028-01-01T00:00Z", "2029-01-01T00:00Z");
    let series = series.slots("DE", year, &Want::AVERAGE).unwrap();
    // 366 days of 24 hours; 37 ranges of at most ten days.
    assert_eq!(values(&series).len(), 8784);
    assert_eq!(world.count("past-range"), 37);
    assert!(series.gaps().is_empty());
    let leap = span("2028-02-29T00:00Z", "2028-03-01T00:00Z");
    let of_leap = |slot: &&Slot<_>| slot.interval.intersection(&leap).is_some();
    assert_eq!(inventory(&series).slots().iter().filter(of_leap).count(), 24);
}

#[test]
fn each_request_forbids_the_callers_place_in_both_versions() {
    let world = world();
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap();
    let token = Secret::new(crate::fake::TOKEN).unwrap();
    let v3 = ElectricityMaps::new(world.fetcher(), &world.base("/v3"), token);
    v3.slots("DE", day, &Want::AVERAGE).unwrap();
    let [v4, v3] = <[_; 2]>::try_from(world.asked()).unwrap();
    assert_eq!(v4.query("disableCallerLookup"), "true");
    assert_eq!(v3.query("shouldUseFallbackCallerLookup"), "false");
    assert_eq!((v4.query("emissionFactorType"), v4.query("zone")), ("lifecycle", "DE"));
    let lost = world.electricity_maps().slots("NOWHERE", day, &Want::AVERAGE).unwrap_err();
    assert!(matches!(lost, Error::UnknownZone { .. }), "{}", shown(&lost));
}

/// The rule: what the provider says is passed on; the zone is unknown only where it says so.
#[test]
fn a_404_is_what_the_provider_says_that_it_is() {
    let world = world();
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    for (body, unknown) in [
        (json!({ "error": "No recent data for zone \"DE\"" }), false),
        (json!({ "message": "no Route matched with those values" }), false),
        (json!({ "error": "Not found", "message": "no data of this time" }), false),
        (json!({ "error": "Zone 'DE' does not exist." }), true),
        (json!({ "error": "Invalid zone" }), true),
    ] {
        world.then(Reply::json(404, &body));
        let error = world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap_err();
        assert_eq!(matches!(error, Error::UnknownZone { .. }), unknown, "{}", shown(&error));
        for said in body.as_object().unwrap().values().filter(|_| !unknown) {
            assert!(shown(&error).contains(said.as_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn quarter_hours_are_seen_where_the_answer_does_not_name_its_granularity() {
    let world = world();
    let hour = span("2028-06-01T00:00Z", "2028-06-01T01:00Z");
    let start = hour.start().as_second();
    let row = |i: i64| em_row("DE", start + 900 * i, &(300 + i).into(), "lifecycle");
    let rows: Vec<_> = (0..4).map(row).collect();
    world.then(Reply::json(200, &json!({ "data": rows })));
    let series = world.electricity_maps().slots("DE", hour, &Want::AVERAGE).unwrap();
    assert_eq!((values(&series).len(), series.gaps().len()), (4, 0));
}

#[test]
fn an_answer_for_another_zone_is_refused_whole() {
    let world = world();
    let row = em_row("US-CAL-CISO", 1_843_430_400, &100.into(), "lifecycle");
    world.then(Reply::json(200, &json!({ "data": [row] })));
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    let error = world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap_err();
    assert!(matches!(&error, Error::WrongZone { returned, .. } if returned == "US-CAL-CISO"));
    assert!(shown(&error).contains("\"DE\""), "{error}");
}

#[test]
fn null_is_a_gap_and_zero_a_value() {
    let world = world();
    // 2028-06-01T00:00Z.
    let start = 1_843_430_400;
    let rows: Vec<Value> = [json!(0), Value::Null, json!(33.5)]
        .into_iter()
        .zip(0..)
        .map(|(value, n)| em_row("DE", start + n * 3600, &value, "lifecycle"))
        .collect();
    world.then(Reply::json(200, &json!({ "data": rows })));
    let span = span("2028-06-01T00:00Z", "2028-06-01T04:00Z");
    let series = world.electricity_maps().slots("DE", span, &Want::AVERAGE).unwrap();
    assert_eq!(values(&series), [0.0, 33.5]);
    let reasons: Vec<_> = series.gaps().iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::Null, GapReason::Missing]);
}

#[test]
fn too_many_requests_are_waited_out_and_server_errors_repeated() {
    let world = world();
    let retry = vec![("retry-after", "7".to_owned())];
    world.then(Reply { status: 429, headers: retry, ..Reply::default() });
    world.then(Reply { status: 503, ..Reply::default() });
    world.then(Reply { wire: Wire::Nothing, ..Reply::default() });
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    let series = world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap();
    assert_eq!(values(&series).len(), 24);
    assert_eq!(world.asked().len(), 4);
    // 7 s as asked for, then three quarters of 2 s and of 4 s.
    assert_eq!(world.clock.elapsed(), Duration::from_millis(7000 + 1500 + 3000));
}

#[test]
fn a_slow_a_cut_off_and_an_oversized_answer_are_no_answers() {
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    let rows: Vec<Value> =
        (0..24).map(|n| em_row("DE", 1_843_430_400 + n * 3600, &1.into(), "lifecycle")).collect();
    let good = Reply::json(200, &json!({ "data": rows }));
    for (wire, reason) in [(Wire::Drip, "not complete within"), (Wire::CutOff, "no answer from")] {
        let world = world();
        for _ in 0..4 {
            world.then(Reply { wire, ..good.clone() });
        }
        let error = world.impatient().slots("DE", day, &Want::AVERAGE).unwrap_err();
        assert!(shown(&error).contains(reason), "{error}");
        assert_eq!(world.asked().len(), 4);
    }
    let world = world();
    let body = vec![b' '; (8 << 20) + 1];
    world.then(Reply { status: 200, body, ..Reply::default() });
    let error = world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap_err();
    assert!(shown(&error).contains("larger than 8 MiB"), "{error}");
    assert_eq!(world.asked().len(), 1);
}

#[test]
fn a_token_that_is_refused_is_not_shown_even_when_the_server_repeats_it() {
    let world = world();
    let wrong = Secret::new(&format!("{}x", crate::fake::TOKEN)).unwrap();
    let provider = ElectricityMaps::new(world.fetcher(), &world.base("/v4"), wrong);
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    let error = provider.slots("DE", day, &Want::AVERAGE).unwrap_err();
    let text = shown(&error);
    assert!(text.contains("Invalid auth-token ••••"), "{text}");
    assert_eq!(error.kind(), ErrorKind::Denied(Denied::NotAccepted));
    assert!(!format!("{provider:?}").contains(crate::fake::TOKEN));
}

#[test]
fn values_of_another_factor_are_refused() {
    let world = world();
    let row = em_row("DE", 1_843_430_400, &100.into(), "lifecycle");
    world.then(Reply::json(200, &json!({ "data": [row] })));
    let day = span("2028-06-01T00:00Z", "2028-06-02T00:00Z");
    let direct = Want { factor: Some(Factor::Direct), ..Want::AVERAGE };
    let error = world.electricity_maps().slots("DE", day, &direct).unwrap_err();
    assert!(shown(&error).contains("asked for direct values and got lifecycle"), "{error}");
    let series = world.electricity_maps().slots("DE", day, &direct).unwrap();
    assert_eq!(series.metas()[0].signal.factor, Factor::Direct);
}

#[test]
fn only_times_to_come_are_forecast_and_they_say_so() {
    let world = world();
    // Now is 12:34:56; the last day is in `history`.
    let span = span("2029-02-01T10:00Z", "2029-02-01T16:00Z");
    let series = world.electricity_maps().slots("DE", span, &Want::AVERAGE).unwrap();
    assert_eq!(
        (world.count("history"), world.count("forecast"), world.count("past-range")),
        (1, 1, 0)
    );
    let shown: Vec<_> = inventory(&series)
        .slots()
        .iter()
        .map(|slot| (slot.as_grams_per_kilowatt_hour(), slot.meta.timeliness))
        .collect();
    let hour = |n: i64| f64::from(i32::try_from(of_hour(n * 3600)).unwrap());
    // Hours 10 to 12 have begun; of hour 12 there is a forecast too, which does not count.
    assert_eq!(shown[..3], [10, 11, 12].map(|n| (hour(n), Timeliness::Actual)));
    assert_eq!(shown[3..], [(500.0, Timeliness::Forecast); 3]);
    let class = inventory(&series).slots()[5].meta.uncertainty;
    assert_eq!(class, UncertaintyClass::Forecast);
}

#[test]
fn a_past_span_asks_for_its_own_time() {
    let world = world();
    // The night in which Berlin's clocks go forward has 23 hours, the one in autumn 25.
    for (start, end, hours) in [
        ("2028-03-26T00:00+01:00", "2028-03-27T00:00+02:00", 23),
        ("2028-10-29T00:00+02:00", "2028-10-30T00:00+01:00", 25),
    ] {
        let day = span(start, end);
        let series = world.electricity_maps().slots("DE", day, &Want::AVERAGE).unwrap();
        assert_eq!(values(&series).len(), hours);
        let asked = world.asked().pop().unwrap();
        assert_eq!(instant(asked.query("start")), day.start());
        assert_eq!(instant(asked.query("end")), day.end());
    }
}
