//! Matching, by hand and in a million random cases.

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn hours(start: i64, end: i64) -> Interval {
    Interval::new(at(start * HOUR), at(end * HOUR)).unwrap()
}

fn exact(mean: f64) -> Distribution {
    Distribution::Point { mean }
}

fn certificate(id: usize, market: &str, interval: Interval, wh: u64) -> Instrument {
    Instrument {
        id: format!("gc-{id}"),
        market: market.to_owned(),
        interval: Some(interval),
        claim: Claim::Certificate { wh },
        g_per_kwh: exact(0.0),
    }
}

fn factor(market: &str, claim: Claim, g_per_kwh: f64) -> Instrument {
    let (id, market) = (claim.as_str().to_owned(), market.to_owned());
    Instrument { id, market, interval: None, claim, g_per_kwh: exact(g_per_kwh) }
}

fn wh(energy: f64) -> KilowattHours {
    KilowattHours::new(energy / 1e3).unwrap()
}

fn stated(instruments: &Instruments, load: &Loads) -> Statement {
    instruments.matched(load).unwrap().of(load)
}

/// Matches 3 kWh in three hours, of which the second has nothing.
#[test]
fn each_hour_has_its_own_certificates_and_the_rest_the_residual_mix() {
    let instruments = Instruments::new(
        vec![
            certificate(1, "DE", hours(0, 1), 600),
            certificate(2, "DE", hours(0, 1), 600),
            certificate(3, "DE", hours(2, 3), 5000),
            // Of another market, which does not deliver.
            certificate(4, "NO", hours(1, 2), 5000),
            factor("DE", Claim::Residual, 700.0),
            factor("DE", Claim::Fossil, 900.0),
        ],
        BTreeMap::from([("DE-BY".to_owned(), "DE".to_owned())]),
    )
    .unwrap();
    let mut load = Loads::default();
    load.add(&instruments, "DE", &hours(0, 3), wh(1500.0));
    load.add(&instruments, "DE-BY", &hours(0, 3), wh(1500.0));
    let stated = stated(&instruments, &load);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    near(stated.load_kwh, 3.0);
    near(stated.matched_kwh, 2.0);
    near(stated.by_hour_kwh, 2.0);
    near(stated.by_year_kwh, 3.0);
    near(stated.grams, 700.0);
    near(stated.grams_at_margin, 700.0);
    near(stated.unpriced_kwh, 0.0);
    let used: Vec<_> = stated.uses.iter().map(|(at, used)| (*at, used.kwh)).collect();
    assert_eq!(used, [(0, 0.6), (1, 0.4), (2, 1.0), (4, 1.0)]);
}

#[test]
fn what_has_no_factor_is_named_and_contracts_are_a_part_of_the_load() {
    let contract = factor("FR", Claim::Contract { share_ppm: 400_000 }, 10.0);
    let instruments = Instruments::new(vec![contract], BTreeMap::new()).unwrap();
    let mut load = Loads::default();
    load.add(&instruments, "FR", &hours(0, 4), wh(1000.0));
    let stated = stated(&instruments, &load);
    assert!((stated.unpriced_kwh - 0.6).abs() < 1e-12, "{stated:?}");
    assert!((stated.grams - 4.0).abs() < 1e-12);
    assert!((stated.grams_at_margin - 4.0).abs() < 1e-12);
}

#[test]
fn a_certificate_of_a_month_is_spread_over_what_is_left() {
    let instruments = Instruments::new(
        vec![
            certificate(1, "SE", hours(0, 720), 500),
            certificate(2, "SE", hours(10, 11), 1000),
            factor("SE", Claim::Fossil, 800.0),
        ],
        BTreeMap::new(),
    )
    .unwrap();
    let mut load = Loads::default();
    load.add(&instruments, "SE", &hours(0, 10), wh(1000.0));
    load.add(&instruments, "SE", &hours(10, 11), wh(1000.0));
    let matching = instruments.matched(&load).unwrap();
    let of_hour: Vec<u64> =
        matching.markets["SE"].hours.iter().map(|hour| hour.uses[0].1).collect();
    assert_eq!(of_hour[..10], [180_000_000_000; 10]);
    let stated = matching.of(&load);
    assert!((stated.by_hour_kwh - 1.0).abs() < 1e-12);
    assert!((stated.matched_kwh - 1.5).abs() < 1e-12);
}

#[test]
fn hours_begin_where_the_certificates_of_a_market_do() {
    let half_past =
        |hour: i64| Interval::new(at(hour * HOUR + 1800), at(hour * HOUR + 5400)).unwrap();
    let certificates = |quarter: i64| {
        let of_quarter = Interval::new(at(quarter * 900), at(quarter * 900 + 900)).unwrap();
        vec![certificate(1, "IN", half_past(0), 100), certificate(2, "IN", of_quarter, 100)]
    };
    let instruments = Instruments::new(certificates(2), BTreeMap::new()).unwrap();
    let mut load = Loads::default();
    load.add(&instruments, "IN", &half_past(0), wh(150.0));
    assert!((stated(&instruments, &load).by_hour_kwh - 0.15).abs() < 1e-12);
    // From 20 past to 20 past is in no hour that others have.
    let odd = Interval::new(at(1200), at(4800)).unwrap();
    let both = vec![certificate(1, "IN", half_past(0), 1), certificate(2, "IN", odd, 1)];
    let refused = Instruments::new(both, BTreeMap::new()).unwrap_err();
    assert!(refused.reason.contains("no single hour of IN"), "{refused}");
}

#[test]
fn names_and_times_that_cannot_be_are_refused_by_place() {
    let twice = vec![certificate(1, "DE", hours(0, 1), 1), certificate(1, "FR", hours(0, 1), 1)];
    let without = vec![Instrument { interval: None, ..certificate(1, "DE", hours(0, 1), 1) }];
    let mut rests = vec![factor("DE", Claim::Residual, 1.0), factor("FR", Claim::Residual, 1.0)];
    rests.push(Instrument { interval: Some(hours(3, 4)), ..factor("DE", Claim::Residual, 2.0) });
    for (list, index, reason) in [
        (twice, 1, "a second certificate \"gc-1\""),
        (without, 0, "a certificate has a start and an end"),
        (rests, 2, "a second residual factor of DE for one time"),
    ] {
        let invalid = Instruments::new(list, BTreeMap::new()).unwrap_err();
        assert_eq!((invalid.index, invalid.reason.as_str()), (index, reason));
    }
}

#[test]
fn what_cannot_be_counted_is_told() {
    let instruments = Instruments::default();
    for (interval, energy) in [(hours(0, 1), 1e12), (hours(0, 100), 1e15)] {
        let mut load = Loads::default();
        load.add(&instruments, "DE", &interval, wh(energy));
        assert_eq!(instruments.matched(&load).unwrap_err().market, "DE");
    }
    let mut load = Loads::default();
    load.add(&instruments, "DE", &hours(0, 1), wh(1.0));
    load.add(&instruments, "DE", &hours(HOURS_MAX + 1, HOURS_MAX + 2), wh(1.0));
    assert!(instruments.matched(&load).is_err());
}

/// All of a million with `CARBON_OPS_LONG`, else a sample.
fn cases() -> u32 {
    let long = std::env::var_os("CARBON_OPS_LONG").is_some_and(|value| value != "0");
    if long { 1_000_000 } else { 20_000 }
}

/// A certificate by its market (two), first hour, length, Wh.
type Drawn = (bool, i64, i64, u64);

/// A load by its market, start and length in minutes, and mWh.
type Used = (bool, i64, i64, u32);

fn name(first: bool) -> &'static str {
    if first { "A" } else { "B" }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Within each hour and market no more than the lesser of both, no certificate beyond its Wh, every µJ once.
    #[test]
    fn no_hour_has_more_than_both_sides_and_no_certificate_is_used_twice(
        drawn in prop::collection::vec((any::<bool>(), 0..6_i64, 1..4_i64, 0..3_000_u64), 0..8),
        used in prop::collection::vec((any::<bool>(), 0..300_i64, 1..200_i64, 0..4_000_000_u32), 0..8),
        residual in any::<bool>(), share_ppm in 0..1_000_000_u32,
    ) {
        check(&drawn, &used, residual, share_ppm)?;
    }
}

/// What a certificate of an hour has, in µJ, and when that begins.
fn hourly(instrument: &Instrument) -> Option<(u128, i64)> {
    let (Claim::Certificate { wh }, Some(interval)) = (instrument.claim, instrument.interval)
    else {
        return None;
    };
    let of = (u128::from(wh) * UJ_PER_WH, interval.start().as_second());
    is_of_an_hour(&interval).then_some(of)
}

/// What certificates of an hour have in the one that begins so.
fn issued(instruments: &Instruments, market: &str, start: i64) -> u128 {
    let of_market = instruments.all.iter().filter(|of| of.market == market);
    of_market.filter_map(hourly).filter(|(_, of)| *of == start).map(|(energy, _)| energy).sum()
}

fn check(
    drawn: &[Drawn],
    used: &[Used],
    residual: bool,
    share_ppm: u32,
) -> Result<(), TestCaseError> {
    let mut list: Vec<_> = drawn
        .iter()
        .enumerate()
        .map(|(id, (market, first, length, wh))| {
            certificate(id, name(*market), hours(*first, first + length), *wh)
        })
        .collect();
    list.push(factor("A", Claim::Contract { share_ppm }, 20.0));
    if residual {
        list.push(factor("A", Claim::Residual, 700.0));
    }
    let instruments = Instruments::new(list, BTreeMap::new()).unwrap();
    let (mut all, mut parts) = (Loads::default(), Vec::new());
    let mut total = 0;
    for (market, start, length, mwh) in used {
        let span = Interval::new(at(60 * start), at(60 * (start + length))).unwrap();
        let mut part = Loads::default();
        part.add(&instruments, name(*market), &span, wh(f64::from(*mwh) / 1e3));
        all.merge(&part);
        parts.push(part);
        total += u128::from(*mwh) * UJ_PER_WH / 1000;
    }
    let matching = instruments.matched(&all).unwrap();
    let mut of = vec![0_u128; instruments.all.len()];
    let mut counted = 0;
    for (name, market) in &matching.markets {
        for (index, hour) in market.hours.iter().enumerate() {
            let start = market.start(index);
            let of_hour = |at: &usize| hourly(&instruments.all[*at]).is_some();
            let uses = hour.uses.iter().filter(|(at, _)| of_hour(at));
            let hourly: u128 = uses.map(|(_, used)| u128::from(*used)).sum();
            let issued = issued(&instruments, name, start);
            prop_assert_eq!(hourly, issued.min(u128::from(hour.load)));
            prop_assert_eq!(hourly, u128::from(hour.certified));
            let uses: u64 = hour.uses.iter().map(|(_, used)| used).sum();
            prop_assert_eq!(uses + hour.rest, hour.load);
            counted += u128::from(hour.load);
            for (at, used) in &hour.uses {
                prop_assert!(instruments.all[*at].holds(start));
                prop_assert_eq!(&instruments.all[*at].market, name);
                of[*at] += u128::from(*used);
            }
            // Nothing is left that the market's residual mix could have taken, nor a longer certificate.
            prop_assert!(hour.rest == 0 || name == "B" || !residual);
        }
    }
    prop_assert_eq!(counted, total);
    for (used, instrument) in of.iter().zip(&instruments.all) {
        if let Claim::Certificate { wh } = instrument.claim {
            prop_assert!(*used <= u128::from(wh) * UJ_PER_WH);
        }
    }
    let whole = matching.of(&all);
    let (mut grams, mut matched) = (0.0, 0.0);
    for part in &parts {
        let stated = matching.of(part);
        prop_assert!(stated.matched_kwh <= stated.load_kwh * (1.0 + 1e-12));
        grams += stated.grams;
        matched += stated.matched_kwh;
    }
    prop_assert!((grams - whole.grams).abs() <= 1e-9 * whole.grams);
    prop_assert!((matched - whole.matched_kwh).abs() <= 1e-9 * whole.matched_kwh);
    prop_assert!(whole.by_hour_kwh <= whole.by_year_kwh * (1.0 + 1e-12));
    Ok(())
}
