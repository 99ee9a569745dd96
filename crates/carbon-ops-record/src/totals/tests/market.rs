//! Sums by the market, against numbers worked out by hand.

use carbon_ops_estimate::intensity::{Digest, Gases};
use carbon_ops_estimate::market::{Claim, Claims, Instrument, Instruments};
use carbon_ops_estimate::uncertainty::Distribution;

use serde_json::json;

use super::*;

/// A thousand hours of a host at 1 kW and a PUE of 1.1, known to 10 %.
fn of_host(id: u8, host: &str, key: &str) -> Record {
    let inputs = [
        ("energy", "1000", ""),
        ("energy_error", "ln(1, 0.1)", key),
        ("pue", "1.1", ""),
        ("intensity", "ln(300, 0.4)", "grid:owid:DE"),
    ];
    let mut record = span(&inputs, &[]);
    record.record_id = format!("{id:032x}");
    record.host_id = Some(host.to_owned());
    record
}

/// 500 kWh of the year, and a residual mix of 500 g/kWh.
fn instruments() -> Instruments {
    let market = || "DE".to_owned();
    let year = Interval::parse("2026-01-01", "2027-01-01").unwrap();
    let guarantee = Instrument {
        id: "GO-1".into(),
        market: market(),
        interval: Some(year),
        claim: Claim::Certificate { wh: 500_000 },
        g_per_kwh: Distribution::Point { mean: 0.0 },
    };
    let residual = Instrument {
        id: "DE 2025".into(),
        market: market(),
        interval: None,
        claim: Claim::Residual,
        g_per_kwh: Distribution::Point { mean: 500.0 },
    };
    Instruments::new(vec![guarantee, residual], BTreeMap::new()).unwrap()
}

fn by_market(records: &[Record], by: &GroupBy) -> Sums {
    let instruments = instruments();
    let mut adder = Adder::new(&scratch);
    for record in records {
        let text = serde_json::to_vec(record).unwrap();
        let load = Load::of(record, &instruments).unwrap();
        let addend = Addend::of(record.clone(), &text, by, false).unwrap();
        adder.add(addend.with_load(Some(load))).unwrap();
    }
    adder.finish(None, Some(&instruments)).unwrap()
}

#[test]
fn the_rest_of_a_load_has_the_residual_mix_and_the_error_of_the_whole() {
    let records = [of_host(1, "a", "meter"), of_host(2, "b", "meter"), of_host(2, "b", "meter")];
    let sums = by_market(&records, &GroupBy::Host);
    let all = sums.all.unwrap();
    // By location the copy is left out as well, and nothing of the market is in it.
    near(all.total_grams, 2.0 * 1100.0 * 300.0);
    let market = all.market.unwrap();
    assert_eq!((market.records, market.records_of_other_scopes), (2, 0));
    near(market.energy_kwh, 2200.0);
    near(market.matched_pct, 100.0 * 500.0 / 2200.0);
    near(market.matched_by_year_pct.unwrap(), market.matched_pct);
    near(market.matched_by_hour_pct.unwrap(), 0.0);
    let figure = market.figure.unwrap();
    near(figure.total_grams, 1700.0 * 500.0);
    // Ten per cent more energy are 220 kWh more of the residual mix.
    near(figure.relative_uncertainty_pct, 100.0 * 220.0 / 1700.0);
    for (_, host) in &sums.groups {
        near(host.market.as_ref().unwrap().figure.as_ref().unwrap().total_grams, 850.0 * 500.0);
    }
    // Errors that nobody shares are less together.
    let own = by_market(&[of_host(1, "a", "one"), of_host(2, "b", "other")], &GroupBy::All);
    let figure = own.all.unwrap().market.unwrap().figure.unwrap();
    near(figure.relative_uncertainty_pct, 100.0 * 110.0 * 2.0_f64.sqrt() / 1700.0);
}

#[test]
fn records_of_other_scopes_and_of_other_markets_have_no_figure() {
    let mut cloud = of_host(1, "a", "meter");
    cloud.scopes = scopes(Deployment::Cloud, Factor::Direct, false, "test");
    let elsewhere = Record { region: "FR".into(), ..of_host(2, "b", "meter") };
    let alone = by_market(std::slice::from_ref(&cloud), &GroupBy::All).all.unwrap();
    let alone = alone.market.unwrap();
    assert_eq!((alone.figure, alone.records, alone.unpriced_kwh), (None, 0, 0.0));
    let market = by_market(&[cloud, elsewhere], &GroupBy::All).all.unwrap().market.unwrap();
    assert_eq!((market.records, market.records_of_other_scopes), (1, 1));
    assert_eq!((market.figure, market.unpriced_kwh), (None, 1100.0));
}

/// As many parts as were measured are matched where they were used.
#[test]
fn a_load_is_matched_when_it_was_used() {
    let mut record = of_host(1, "a", "meter");
    let of = |end: &str, kwh| json!({ "end": end, "kwh": kwh });
    let list =
        json!([of("2026-03-01T01:00:00.000000Z", 999.0), of("2026-04-11T16:00:00.000000Z", 1.0)]);
    record.load = Some(serde_json::from_value(json!({ "count": 2, "list": list })).unwrap());
    let hour = Interval::parse("2026-03-01T00:00Z", "2026-03-01T01:00Z").unwrap();
    let mut list = instruments().list().to_vec();
    list[0].interval = Some(hour);
    let instruments = Instruments::new(list, BTreeMap::new()).unwrap();
    let load = Load::of(&record, &instruments).unwrap();
    let stated = load.stated(&load.matched(&instruments).unwrap(), &instruments);
    near(stated.matched_by_hour_pct.unwrap(), 100.0 * 500.0 / 1100.0);
    assert_eq!(stated.records_spread_evenly, 0);
    record.load = Some(serde_json::from_value(json!({ "count": 200, "sha256": "0" })).unwrap());
    let load = Load::of(&record, &instruments).unwrap();
    let stated = load.stated(&load.matched(&instruments).unwrap(), &instruments);
    near(stated.matched_by_hour_pct.unwrap(), 100.0 * 1.1 / 1100.0);
    assert_eq!(stated.records_spread_evenly, 1);
}

/// A record that states its own figure: `percent` of it by a contract of 10 g/kWh, the rest by the residual mix.
fn with_figure(mut record: Record, percent: u32, factor: Factor) -> Record {
    let of = |id: &str, claim, g_per_kwh: &str| Instrument {
        id: id.into(),
        market: "DE".into(),
        interval: None,
        claim,
        g_per_kwh: g_per_kwh.parse().unwrap(),
    };
    let all = vec![
        of("wind", Claim::Contract { share_ppm: percent * 10_000 }, "10"),
        of("", Claim::Residual, "n(500, 50)"),
    ];
    let instruments = Instruments::new(all, BTreeMap::new()).unwrap();
    let (gases, sha256) = (Gases::Co2e, Digest([7; 32]));
    let claims = Claims { instruments, factor, gases, sha256 };
    record.state_by_market(&claims.rates()).unwrap();
    record.check().unwrap();
    record
}

fn told(records: &[Record]) -> Option<ByMarket> {
    let mut adder = Adder::new(&scratch);
    for record in records {
        let text = serde_json::to_vec(record).unwrap();
        adder.add(Addend::of(record.clone(), &text, &GroupBy::All, false).unwrap()).unwrap();
    }
    adder.finish(None, None).unwrap().all.unwrap().market
}

/// Errors of one contract, one residual mix and one meter are one error in all records that state them.
#[test]
fn what_records_state_is_summed_with_what_they_share() {
    let one = |id, key| with_figure(of_host(id, "a", key), 40, Factor::Direct);
    let market = told(&[one(1, "meter"), one(2, "meter"), one(2, "meter")]).unwrap();
    assert_eq!((market.records, market.counts.as_slice()), (2, &["direct CO2e".to_owned()][..]));
    let sum = 2200.0 * (0.4 * 10.0 + 0.6 * 500.0);
    let figure = market.figure.unwrap();
    near(figure.total_grams, sum);
    near(market.matched_pct, 40.0);
    // What is not known is no 0.
    assert_eq!((market.matched_by_hour_pct, market.matched_by_year_pct), (None, None));
    // 10 % of the whole, 10 % of the residual mix, and their product, which records do not share with one another.
    let (energy, rest) = (sum * 0.1, 2200.0 * 0.6 * 50.0);
    let product = 0.01 * rest * rest / 2.0;
    let u = (energy * energy + rest * rest + product).sqrt();
    assert!((figure.relative_uncertainty_pct - 100.0 * u / sum).abs() < 1e-6);
    // The record alone says the same as the sum over it.
    let record = one(1, "meter");
    let alone = told(std::slice::from_ref(&record)).unwrap().figure.unwrap();
    let own = record.market.unwrap();
    assert_eq!(
        [alone.total_grams, alone.ci_lower_g, alone.ci_upper_g, alone.relative_uncertainty_pct]
            .map(f64::to_bits),
        [own.grams, own.ci_lower_g, own.ci_upper_g, own.uncertainty_pct].map(f64::to_bits)
    );
}

/// The rule: there is a total where all records of scope 2 state one, of factors that count the same.
#[test]
fn figures_of_some_records_and_of_other_factors_make_no_total() {
    let one = with_figure(of_host(1, "a", "meter"), 40, Factor::Direct);
    assert_eq!(told(&[of_host(2, "b", "meter")]), None);
    let some = told(&[one.clone(), of_host(2, "b", "meter")]).unwrap();
    assert_eq!((some.figure, some.records), (None, 2));
    near(some.unpriced_kwh, 1100.0);
    let other = with_figure(of_host(2, "b", "meter"), 40, Factor::Lifecycle);
    let both = told(&[one.clone(), other]).unwrap();
    assert_eq!((both.figure, both.counts.len(), both.unpriced_kwh), (None, 2, 0.0));
    let mut cloud = of_host(2, "b", "meter");
    cloud.scopes = scopes(Deployment::Cloud, Factor::Direct, false, "test");
    let with_cloud = told(&[one, cloud]).unwrap();
    assert!(with_cloud.figure.is_some());
    assert_eq!((with_cloud.records, with_cloud.records_of_other_scopes), (1, 1));
}
