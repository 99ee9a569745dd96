//! Pricing by overlap, against integrals worked out by hand, and what may change nothing.

use jiff::Timestamp;

use super::*;
use crate::intensity::UncertaintyClass;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn span(start: &str, end: &str) -> Interval {
    Interval::new(at(start), at(end)).unwrap()
}

fn micros(start_us: i64, end_us: i64) -> Interval {
    Interval::new(time(start_us), time(end_us)).unwrap()
}

fn price(span: Interval, load: &Load, rates: &[Rate], missing: Missing) -> Result<Priced, Error> {
    Tariff::new(rates)?.price(span, load, missing)
}

/// Slots of so many minutes from a start, with these values; NaN leaves a hole.
fn slots(start: &str, minutes: i64, values: &[f64]) -> Vec<Rate> {
    let start = at(start).as_microsecond();
    let mut rates = Vec::new();
    for (index, &value) in values.iter().enumerate() {
        let from = start + i64::try_from(index).unwrap() * minutes * 60_000_000;
        if !value.is_nan() {
            let interval = micros(from, from + minutes * 60_000_000);
            rates.push(Rate::new(interval, value, UncertaintyClass::Metered));
        }
    }
    rates
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-300), "{a} is not {b}");
}

/// (263·10 + 300·20)/60 = 8630/60 = 143.8333… g: by hand. Read at the start of buckets that begin with
/// the span, as carbon-ops 0.1 did, it would be 140.75.
#[test]
fn two_half_hours_are_priced_by_their_overlap() {
    let rates = slots("2026-03-01T00:00Z", 30, &[263.0, 300.0]);
    let priced = price(
        span("2026-03-01T00:20Z", "2026-03-01T00:50Z"),
        &Load::Even(0.5),
        &rates,
        Missing::Step,
    );
    let priced = priced.unwrap();
    near(priced.grams(), 8630.0 / 60.0);
    near(priced.g_per_kwh, 8630.0 / 30.0);
    near(priced.coverage, 1.0);
    assert_eq!((priced.slots, priced.filled), (2, Filled::default()));
}

/// 52.5 minutes at 100 and 7.5 at 500 g/kWh, 1 kWh: (52.5·100 + 7.5·500)/60 = 150 g.
#[test]
fn a_slot_ends_at_the_clock_and_not_with_the_spans_own_buckets() {
    let rates = slots("2026-03-01T09:00Z", 60, &[100.0, 500.0]);
    let span = span("2026-03-01T09:07:30Z", "2026-03-01T10:07:30Z");
    near(price(span, &Load::Even(1.0), &rates, Missing::Step).unwrap().grams(), 150.0);
}

/// The order in which rates are given is none of a price; the same time twice is.
#[test]
fn rates_in_any_order_give_one_price() {
    let rates = slots("2026-03-01T00:00Z", 30, &[100.0, 500.0, 200.0, 50.0]);
    let span = span("2026-03-01T00:10Z", "2026-03-01T01:50Z");
    let of = |order: [usize; 4]| {
        let rates: Vec<_> = order.map(|index| rates[index]).to_vec();
        price(span, &Load::Even(2.0), &rates, Missing::Step).unwrap()
    };
    for order in [[3, 2, 1, 0], [1, 0, 2, 3], [2, 3, 0, 1], [0, 2, 1, 3]] {
        assert_eq!(of(order), of([0, 1, 2, 3]), "{order:?}");
    }
    let twice = [rates[1], rates[0], rates[1]];
    let error = price(span, &Load::Even(2.0), &twice, Missing::Step).unwrap_err();
    assert_eq!(error, Error::Slots { at: at("2026-03-01T00:30Z") });
}

/// 1 kWh at 100 and 3 kWh at 500 are 1600 g; spread evenly the 4 kWh would be 1200 g.
#[test]
fn energy_is_priced_when_it_was_used() {
    let rates = slots("2026-03-01T00:00Z", 60, &[100.0, 500.0]);
    let part = |start, end, kwh| Part { interval: span(start, end), kwh };
    let load = Load::Series(vec![
        part("2026-03-01T00:00Z", "2026-03-01T01:00Z", 1.0),
        part("2026-03-01T01:00Z", "2026-03-01T02:00Z", 3.0),
    ]);
    let span = span("2026-03-01T00:00Z", "2026-03-01T02:00Z");
    let priced = price(span, &load, &rates, Missing::Step).unwrap();
    near(priced.grams(), 1600.0);
    near(priced.g_per_kwh, 400.0);
    near(price(span, &Load::Even(4.0), &rates, Missing::Step).unwrap().grams(), 1200.0);
}

/// Hours of 100, two missing, 400 g/kWh, 1 kWh each. Around their mean of 250 the known ones lie by 150.
#[test]
fn missing_slots_widen_and_never_shrink() {
    let rates = slots("2026-03-01T00:00Z", 60, &[100.0, f64::NAN, f64::NAN, 400.0]);
    let span = span("2026-03-01T00:00Z", "2026-03-01T04:00Z");
    for (missing, grams, filled) in [
        (Missing::Step, 100.0 + 100.0 + 100.0 + 400.0, 100.0),
        (Missing::Interpolate, 100.0 + 200.0 + 300.0 + 400.0, 250.0),
        (Missing::Drop, 4.0 * 250.0, 250.0),
    ] {
        let priced = price(span, &Load::Even(4.0), &rates, missing).unwrap();
        near(priced.grams(), grams);
        near(priced.coverage, 0.5);
        near(priced.filled_cv, 2.0 * 150.0 / grams);
        near(priced.filled.kwh, 2.0);
        near(priced.filled.seconds, 7200.0);
        near(priced.filled.g_per_kwh, filled);
        near(priced.kwh, 4.0);
    }
}

/// From 01:30 to 03:00 with nothing between 01:00 and 02:00: 30 minutes at the 400 of the only slot that the
/// span meets and 60 at its own, 1.5 · 400 = 600 g, whatever lies before the span; a record has no other slot
/// to be priced from again.
#[test]
fn slots_outside_of_a_span_do_not_price_it() {
    let rates = slots("2026-03-01T00:00Z", 60, &[100.0, f64::NAN, 400.0, 900.0]);
    let span = span("2026-03-01T01:30Z", "2026-03-01T03:00Z");
    for missing in [Missing::Step, Missing::Interpolate, Missing::Drop] {
        let priced = price(span, &Load::Even(1.5), &rates, missing).unwrap();
        near(priced.grams(), 600.0);
        near(priced.coverage, 2.0 / 3.0);
        assert_eq!(priced, price(span, &Load::Even(1.5), &rates[1..2], missing).unwrap());
    }
    // A slot that begins where the span ends lies outside: half an hour at 100, half filled with it.
    let before = self::span("2026-03-01T00:30Z", "2026-03-01T02:00Z");
    let priced = price(before, &Load::Even(1.5), &rates, Missing::Interpolate).unwrap();
    near(priced.grams(), 150.0);
}

/// With one known value the spread cannot be seen: 20 % of the half that is missing.
#[test]
fn a_single_slot_does_not_make_its_neighbours_certain() {
    let rates = slots("2026-03-01T00:00Z", 60, &[300.0]);
    for (start, end) in
        [("2026-03-01T00:00Z", "2026-03-01T02:00Z"), ("2026-02-28T23:00Z", "2026-03-01T01:00Z")]
    {
        for missing in [Missing::Step, Missing::Interpolate, Missing::Drop] {
            let priced = price(span(start, end), &Load::Even(1.0), &rates, missing).unwrap();
            near(priced.grams(), 300.0);
            near(priced.filled_cv, 0.1);
        }
    }
    let elsewhere = span("2026-04-01T00:00Z", "2026-04-02T00:00Z");
    let error = price(elsewhere, &Load::Even(1.0), &rates, Missing::Step).unwrap_err();
    let (start, end) = (elsewhere.start(), elsewhere.end());
    assert_eq!(error, Error::Uncovered { start, end });
}

/// Half an hour at 100, an hour at 200, half one at 300, and one of a yearly average, 1 kWh each hour: 50, 200,
/// 150 and 100 of 500 g. An hour is off by 5 %, a yearly average has no hours.
#[test]
fn noise_is_told_hour_by_hour_where_these_are_few() {
    let mut rates = slots("2026-03-01T00:00Z", 60, &[100.0, 200.0, 300.0]);
    let from_half_past = span("2026-03-01T02:30Z", "2026-03-01T03:30Z");
    rates[2].interval = span("2026-03-01T02:00Z", "2026-03-01T02:30Z");
    rates.push(Rate::new(from_half_past, 100.0, UncertaintyClass::Yearly));
    let hours = span("2026-03-01T00:30Z", "2026-03-01T03:30Z");
    let priced = price(hours, &Load::Even(3.0), &rates, Missing::Step).unwrap();
    let expected = [("2026-03-01T00:00Z", 50.0), ("2026-03-01T01:00Z", 200.0)];
    let expected = expected.into_iter().chain([("2026-03-01T02:00Z", 150.0)]);
    for (hour, (start, grams)) in priced.noise_hours.iter().zip(expected) {
        assert_eq!(hour.start_us, at(start).as_microsecond());
        near(hour.cv, 0.05 * grams / 500.0);
    }
    assert_eq!(priced.noise_hours.len(), 3);
    near(priced.noise_cv, 0.05 * 50f64.hypot(200.0).hypot(150.0) / 500.0);
    for (count, told) in [(6, 6), (7, 0)] {
        let rates = slots("2026-03-01T00:00Z", 60, &vec![100.0; count]);
        let day = span("2026-03-01T00:00Z", "2026-03-02T00:00Z");
        let noise = |missing| price(day, &Load::Even(1.0), &rates, missing).unwrap().noise_hours;
        assert_eq!(noise(Missing::Step).len(), told);
    }
}

/// 1, 1 and 2 kWh at values that the source had filled in, had forecast, and had measured.
#[test]
fn energy_at_estimated_and_forecast_values_is_told() {
    let mut rates = slots("2026-03-01T00:00Z", 60, &[100.0, 500.0, 500.0, 200.0]);
    rates[0].class = UncertaintyClass::Estimated;
    rates[1].class = UncertaintyClass::Forecast;
    let hours = span("2026-03-01T00:00Z", "2026-03-01T04:00Z");
    let priced = price(hours, &Load::Even(4.0), &rates, Missing::Step).unwrap();
    near(priced.estimated, 0.25);
    near(priced.forecast, 0.25);
}

/// Energy by the hour; NaN in `values` is an hour without a slot.
fn hourly(kwh: &[f64], values: &[f64], missing: Missing) -> (Priced, Vec<Bucket>) {
    let midnight = at("2026-03-01T00:00Z").as_microsecond();
    let hour = |index: usize| midnight + i64::try_from(index).unwrap() * 3_600_000_000;
    let part = |(index, kwh): (usize, &f64)| {
        let interval = micros(hour(index), hour(index + 1));
        Part { interval, kwh: *kwh }
    };
    let load = Load::Series(kwh.iter().enumerate().map(part).collect());
    near(load.kwh(), kwh.iter().sum());
    let span = micros(midnight, hour(kwh.len()));
    let tariff = Tariff::new(&slots("2026-03-01T00:00Z", 60, values)).unwrap();
    let rows = tariff.buckets(span, &load, missing, NonZeroU32::new(60).unwrap()).unwrap();
    (tariff.price(span, &load, missing).unwrap(), rows)
}

/// 1 and 3 kWh at 100 and 500 have a mean of 400, by which the hour that is left out is priced; where no covered
/// hour has energy, the mean is that of their times: (100 + 3·400)/4 = 325.
#[test]
fn what_is_left_out_has_the_mean_of_the_rest_by_energy_or_else_by_time() {
    let (priced, _) = hourly(&[1.0, 3.0, 1.0], &[100.0, 500.0, f64::NAN], Missing::Drop);
    near(priced.filled.g_per_kwh, 400.0);
    near(priced.g_per_kwh, 400.0);
    let values = [100.0, 400.0, 400.0, 400.0, f64::NAN];
    let (priced, _) = hourly(&[0.0, 0.0, 0.0, 0.0, 1.0], &values, Missing::Drop);
    near(priced.g_per_kwh, 325.0);
    near(priced.filled_cv, FILLED_CV_MIN);
    assert!(priced.coverage.abs() < 1e-300);
}

/// What has no energy, no grams or no time is 0 in its price, and no quotient of nothing.
#[test]
fn parts_of_nothing_are_zero() {
    // A time without a slot in which nothing was used.
    let (priced, rows) = hourly(&[2.0, 0.0], &[300.0, f64::NAN], Missing::Step);
    assert_eq!(priced.filled, Filled { seconds: 3600.0, kwh: 0.0, g_per_kwh: 0.0 });
    assert_eq!(rows[1], Bucket { kwh: 0.0, g_per_kwh: 0.0, coverage: 1.0, ..rows[1] });
    // Nothing used at all: the intensity is that of the time, and what is filled in has no energy.
    let (priced, rows) = hourly(&[0.0, 0.0], &[300.0, f64::NAN], Missing::Step);
    assert_eq!(priced.filled, Filled { seconds: 3600.0, kwh: 0.0, g_per_kwh: 300.0 });
    near(priced.coverage, 0.5);
    assert_eq!(rows[0], Bucket { kwh: 0.0, g_per_kwh: 300.0, coverage: 1.0, ..rows[0] });
    // A grid that emits nothing, with a hole.
    let (priced, _) = hourly(&[1.0, 1.0], &[0.0, f64::NAN], Missing::Step);
    let [SourceShare { share, cv, .. }] = priced.sources[..] else { panic!("{priced:?}") };
    assert_eq!([share, cv, priced.filled_cv, priced.noise_cv].map(f64::to_bits), [0; 4]);
    assert_eq!(priced.noise_hours, []);
}

/// Half of an hour has a slot: 0.5 of the first row, and none of the second.
#[test]
fn a_row_tells_how_much_of_its_energy_has_a_slot() {
    let rates = slots("2026-03-01T00:00Z", 30, &[100.0]);
    let hours = span("2026-03-01T00:00Z", "2026-03-01T02:00Z");
    let minutes = NonZeroU32::new(60).unwrap();
    let tariff = Tariff::new(&rates).unwrap();
    let rows = tariff.buckets(hours, &Load::Even(4.0), Missing::Step, minutes).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.kwh, row.coverage)).collect();
    assert_eq!(told, [(2.0, 0.5), (2.0, 0.0)]);
}

/// Minutes of a leap year, 366 · 1440, and five-minute parts of ten: so many, and not one more.
#[test]
fn rows_and_parts_are_taken_up_to_their_most() {
    const MINUTE_US: i64 = 60_000_000;
    let start = at("2028-01-01T00:00Z").as_microsecond();
    let minute = NonZeroU32::MIN;
    for (from, count, most) in [(0, 527_040, true), (0, 527_041, false), (30, 527_040, false)] {
        let from = start + from * 1_000_000;
        let span = micros(from, from + count * MINUTE_US);
        let tariff = Tariff::new(&[Rate::new(span, 1.0, UncertaintyClass::Metered)]).unwrap();
        let rows = tariff.buckets(span, &Load::Even(1.0), Missing::Step, minute);
        match rows {
            Ok(rows) => assert!(most && rows.len() == 527_040, "{}", rows.len()),
            Err(error) => {
                let told = Error::TooMany { what: "buckets", count: 527_041, max: 527_040 };
                assert!(!most && error == told, "{error}");
            }
        }
    }
    let part = |index| Part { interval: micros(start + index, start + index + 1), kwh: 1.0 };
    let mut parts: Vec<_> = (0..1_054_080).map(part).collect();
    let span = micros(start, start + 1_054_080);
    let rates = [Rate::new(span, 1.0, UncertaintyClass::Metered)];
    let of = |parts: &[Part]| price(span, &Load::Series(parts.to_vec()), &rates, Missing::Step);
    near(of(&parts).unwrap().kwh, 1_054_080.0);
    parts.push(part(1_054_080));
    let count = 1_054_081;
    let error = Error::TooMany { what: "parts of an energy series", count, max: count - 1 };
    assert_eq!(of(&parts), Err(error));
}

/// A zero has no sign: a record's text of it would.
#[test]
fn a_zero_is_one_without_a_sign() {
    let rates = slots("2026-03-01T00:00Z", 60, &[-0.0]);
    let hour = span("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let priced = price(hour, &Load::Even(-0.0), &rates, Missing::Step).unwrap();
    assert!(priced.kwh.is_sign_positive() && priced.g_per_kwh.is_sign_positive());
}

/// One hour's error is 5 %, independent of the next hour's: 5 %/√24 over an even day, however it is cut.
#[test]
fn noise_averages_out_over_hours_and_not_over_slots() {
    let day = span("2026-03-01T00:00Z", "2026-03-02T00:00Z");
    for minutes in [5, 15, 30, 60, 120] {
        let rates = slots(
            "2026-03-01T00:00Z",
            minutes,
            &vec![400.0; usize::try_from(1440 / minutes).unwrap()],
        );
        let priced = price(day, &Load::Even(24.0), &rates, Missing::Step).unwrap();
        near(priced.noise_cv, 0.05 / 24f64.sqrt());
        near(shared_cv(&priced), 0.15);
    }
}

/// Of all sources together: they are independent of one another.
fn shared_cv(priced: &Priced) -> f64 {
    priced.sources.iter().map(|source| source.cv * source.cv).sum::<f64>().sqrt()
}

/// Weights ¼ and ¾: shared errors of one source add, those of two are independent.
#[test]
fn sources_are_independent_of_one_another_and_classes_of_one_source_are_not() {
    let mut rates = slots("2026-03-01T00:00Z", 60, &[100.0, 300.0]);
    rates[1].class = UncertaintyClass::Yearly;
    let hours = span("2026-03-01T00:00Z", "2026-03-01T02:00Z");
    let one = price(hours, &Load::Even(2.0), &rates, Missing::Step).unwrap();
    near(shared_cv(&one), 0.25 * 0.15 + 0.75 * 0.25);
    rates[1].source = 1;
    let two = price(hours, &Load::Even(2.0), &rates, Missing::Step).unwrap();
    near(shared_cv(&two), (0.25f64 * 0.15).hypot(0.75 * 0.25));
    near(two.sources.iter().map(|source| source.share).sum(), 1.0);
}

#[test]
fn days_of_23_and_25_hours_and_leap_days_are_what_utc_says() {
    for (start, end, hours) in [
        // Central European days on which clocks change, from local midnight to local midnight.
        ("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", 23),
        ("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", 25),
        ("2028-02-28T00:00Z", "2028-03-01T00:00Z", 48),
        ("2026-02-28T00:00Z", "2026-03-01T00:00Z", 24),
    ] {
        let day = span(start, end);
        let mut values: Vec<f64> = (0..hours).map(|hour| 100.0 + f64::from(hour)).collect();
        let rates = slots(start, 60, &values);
        let load = Load::Even(f64::from(hours));
        let priced = price(day, &load, &rates, Missing::Step).unwrap();
        near(priced.coverage, 1.0);
        near(priced.grams(), values.iter().sum());
        assert_eq!(priced.slots, values.len());
        values.pop();
        let short = price(day, &load, &slots(start, 60, &values), Missing::Step).unwrap();
        near(short.coverage, f64::from(hours - 1) / f64::from(hours));
    }
}

#[test]
fn buckets_are_aligned_to_the_clock_and_sum_to_the_whole() {
    let rates = slots("2026-03-01T00:00Z", 30, &[263.0, 300.0]);
    let part = span("2026-03-01T00:20Z", "2026-03-01T00:50Z");
    let minutes = |n| NonZeroU32::new(n).unwrap();
    let tariff = Tariff::new(&rates).unwrap();
    let rows = tariff.buckets(part, &Load::Even(0.5), Missing::Step, minutes(15)).unwrap();
    let starts: Vec<_> = rows.iter().map(|row| row.interval.start().to_string()).collect();
    assert_eq!(starts, ["2026-03-01T00:20:00Z", "2026-03-01T00:30:00Z", "2026-03-01T00:45:00Z"]);
    near(rows.iter().map(|row| row.kwh * row.g_per_kwh).sum(), 8630.0 / 60.0);
    let long = span("2000-01-01T00:00Z", "2026-01-01T00:00Z");
    assert!(tariff.buckets(long, &Load::Even(1.0), Missing::Step, minutes(1)).is_err());
}

#[test]
fn nothing_used_has_an_intensity_and_no_grams() {
    let rates = slots("2026-03-01T00:00Z", 60, &[100.0, 300.0]);
    let hours = span("2026-03-01T00:00Z", "2026-03-01T02:00Z");
    let priced = price(hours, &Load::Even(0.0), &rates, Missing::Step).unwrap();
    near(priced.g_per_kwh, 200.0);
    assert!(priced.grams().abs() < 1e-300 && priced.kwh.abs() < 1e-300);
    // And a grid that emits nothing.
    let clean = slots("2026-03-01T00:00Z", 60, &[0.0, 0.0]);
    let priced = price(hours, &Load::Even(1.0), &clean, Missing::Step).unwrap();
    assert!(priced.grams().abs() < 1e-300 && priced.noise_cv.abs() < 1e-300);
}

/// Slots of two answers of one model, and of another model's.
#[test]
fn slots_of_one_key_are_one_source() {
    let meta = |version: &str| {
        let signal = crate::intensity::Signal::AVERAGE_LIFECYCLE_PRODUCTION;
        let mut meta = Meta::new("gb", "GB", signal);
        meta.model_version = Some(version.into());
        Arc::new(meta)
    };
    let versions = [meta("1"), meta("1"), meta("2"), meta("1")];
    let slots: Vec<_> = slots("2026-03-01T00:00Z", 60, &[100.0, 200.0, 300.0, 400.0])
        .iter()
        .zip(versions)
        .map(|(rate, meta)| {
            let value = carbon_ops_units::GramsCo2ePerKilowattHour::new(rate.g_per_kwh).unwrap();
            Slot::new(rate.interval, InventoryIntensity::new(value), meta)
        })
        .collect();
    let tariff = Tariff::of(&slots).unwrap();
    let hours = span("2026-03-01T00:00Z", "2026-03-01T04:00Z");
    let priced = tariff.price(hours, &Load::Even(4.0), Missing::Step).unwrap();
    near(priced.grams(), 1000.0);
    let shares: Vec<_> = priced.sources.iter().map(|source| source.share).collect();
    near(shares[0], 0.7);
    near(shares[1], 0.3);
    assert_eq!(tariff.shared_key(1), Some("grid:gb:average_lifecycle:2"));
    assert_eq!(tariff.zone_key(1), Some("grid:gb:GB:average_lifecycle:2"));
    assert_eq!(tariff.shared_key(2), None);
}

#[test]
fn what_cannot_be_is_refused() {
    let hour = span("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let rates = slots("2026-03-01T00:00Z", 60, &[100.0]);
    let error = |load| price(hour, &load, &rates, Missing::Step).unwrap_err().to_string();
    assert!(error(Load::Even(-1.0)).contains("energy in kWh"));
    assert!(error(Load::Even(f64::NAN)).contains("NaN"));
    let part = |start, end| Part { interval: span(start, end), kwh: 1.0 };
    let hole = part("2026-03-01T00:30Z", "2026-03-01T01:00Z");
    assert!(error(Load::Series(vec![hole])).contains("a hole at 2026-03-01T00:00:00Z"));
    let short = part("2026-03-01T00:00Z", "2026-03-01T00:30Z");
    assert!(error(Load::Series(vec![short])).contains("another end"));
    assert!(error(Load::Series(vec![short, short])).contains("an overlap"));
    assert!(error(Load::Series(vec![])).contains("another end"));
    let moment = span("2026-03-01T01:00:00.0000001Z", "2026-03-01T01:00:00.0000002Z");
    let too_short = price(moment, &Load::Even(1.0), &rates, Missing::Step).unwrap_err();
    assert!(too_short.to_string().contains("microsecond"), "{too_short}");
    for value in [-1.0, f64::INFINITY, f64::NAN] {
        assert!(Tariff::new(&[Rate::new(hour, value, UncertaintyClass::Metered)]).is_err());
    }
    let twice = [rates[0], rates[0]];
    assert!(price(hour, &Load::Even(1.0), &twice, Missing::Step).is_err());
    assert_eq!("stepp".parse::<Missing>(), Err(Error::UnknownPolicy("stepp".to_owned())));
}

/// Values, which of them are missing, where the span begins and ends in minutes, and its policy.
type Case = (Vec<f64>, usize, i64, i64, usize);

fn case() -> impl Strategy<Value = Case> {
    (prop::collection::vec(0.0..1200.0f64, 6..30), 0usize..6, 0i64..90, 0i64..90, 0usize..3)
}

fn of((values, hole, head, tail, policy): &Case) -> (Interval, Vec<Rate>, Missing) {
    let mut values = values.clone();
    values[*hole] = f64::NAN;
    let start = "2026-03-01T00:00Z";
    let rates = slots(start, 30, &values);
    let minutes = i64::try_from(values.len()).unwrap() * 30;
    let from = at(start).as_microsecond();
    let end = from + (minutes - tail.min(&(minutes - head - 31))) * 60_000_000;
    let span = micros(from + head * 60_000_000 + 1, end);
    let missing = [Missing::Step, Missing::Interpolate, Missing::Drop][*policy];
    (span, rates, missing)
}

fn same(a: &Priced, b: &Priced) -> Result<(), TestCaseError> {
    for (a, b) in [
        (a.g_per_kwh, b.g_per_kwh),
        (a.coverage, b.coverage),
        (a.noise_cv, b.noise_cv),
        (a.filled_cv, b.filled_cv),
        (shared_cv(a), shared_cv(b)),
    ] {
        prop_assert!((a - b).abs() <= 1e-13 * a.abs(), "{a} {b}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn splitting_slots_changes_nothing(case in case(), cut in 1i64..30 * 60_000_000) {
        let (span, rates, missing) = of(&case);
        let load = Load::Even(3.0);
        let split: Vec<Rate> = rates
            .iter()
            .flat_map(|rate| {
                let whole = Span::of(rate.interval).unwrap();
                let middle = whole.start_us + cut;
                let first = micros(whole.start_us, middle);
                let second = micros(middle, whole.end_us);
                [Rate { interval: first, ..*rate }, Rate { interval: second, ..*rate }]
            })
            .collect();
        let whole = price(span, &load, &rates, missing);
        let parts = price(span, &load, &split, missing);
        if let (Ok(whole), Ok(parts)) = (&whole, &parts) {
            same(whole, parts)?;
        } else {
            prop_assert_eq!(whole.is_ok(), parts.is_ok());
        }
    }

    #[test]
    fn the_order_of_slots_and_the_unit_of_energy_change_nothing(case in case(), by in 0usize..30) {
        let (span, rates, missing) = of(&case);
        let mut turned = rates.clone();
        turned.rotate_left(by % rates.len());
        turned.reverse();
        let whole = price(span, &Load::Even(3.0), &rates, missing);
        let other = price(span, &Load::Even(3000.0), &turned, missing);
        if let (Ok(whole), Ok(other)) = (&whole, &other) {
            same(whole, other)?;
        }
    }

    #[test]
    fn cutting_the_energy_into_even_parts_changes_nothing(case in case(), count in 1i64..40) {
        let (span, rates, missing) = of(&case);
        let whole = Span::of(span).unwrap();
        let length = whole.microseconds();
        let mark = |k| whole.start_us + length * k / count;
        let parts = (0..count).map(|k| Part {
            interval: micros(mark(k), mark(k + 1)),
            kwh: 3.0 * ratio(mark(k + 1) - mark(k), length),
        });
        let series = Load::Series(parts.collect());
        let whole = price(span, &Load::Even(3.0), &rates, missing);
        let other = price(span, &series, &rates, missing);
        if let (Ok(whole), Ok(other)) = (&whole, &other) {
            // Interpolation is linear in time, and each piece takes the value of its middle.
            same(whole, other)?;
        }
    }

    #[test]
    fn buckets_of_any_size_sum_to_the_same(case in case(), minutes in 1u32..200) {
        let (span, rates, missing) = of(&case);
        let load = Load::Even(3.0);
        let minutes = NonZeroU32::new(minutes).unwrap();
        let tariff = Tariff::new(&rates).unwrap();
        if let Ok(rows) = tariff.buckets(span, &load, missing, minutes) {
            let grams: f64 = rows.iter().map(|row| row.kwh * row.g_per_kwh).sum();
            let whole = price(span, &load, &rates, missing).unwrap().grams();
            prop_assert!((grams - whole).abs() <= 1e-12 * whole, "{grams} {whole}");
            let kwh: f64 = rows.iter().map(|row| row.kwh).sum();
            prop_assert!((kwh - 3.0).abs() < 1e-12);
        }
    }
}
