//! Figures by the market of one record, against numbers worked out by hand, and every change of one refused.

use std::collections::BTreeMap;

use carbon_ops_estimate::intensity::{Digest, Factor, Gases, Interval};
use carbon_ops_estimate::market::{Claim, Claims, Instrument, Instruments};
use carbon_ops_estimate::uncertainty::Distribution;
use serde_json::{Value, json};

use super::super::tests::example;
use super::*;
use crate::Deployment;

fn instrument(claim: Claim, id: &str, span: Option<Interval>, factor: &str) -> Instrument {
    let g_per_kwh: Distribution = factor.parse().unwrap();
    Instrument { id: id.into(), market: "uk".into(), interval: span, claim, g_per_kwh }
}

/// A contract for 40 % until 00:40, another one from then on for 60 %; the residual mix for the rest; and certificates.
fn claims() -> Claims {
    let of = |a: &str, b: &str| Some(Interval::parse(a, b).unwrap());
    let (until, from) = (
        of("2026-01-01T00:00Z", "2026-03-01T00:00Z"),
        of("2026-03-01T00:00Z", "2027-01-01T00:00Z"),
    );
    let all = vec![
        instrument(Claim::Certificate { wh: 10_000 }, "GO-1", from, "0"),
        instrument(Claim::Contract { share_ppm: 900_000 }, "old", until, "5"),
        instrument(Claim::Contract { share_ppm: 400_000 }, "wind", from, "n(10, 1)"),
        instrument(Claim::Residual, "", None, "n(500, 50)"),
        instrument(Claim::Fossil, "", None, "900"),
    ];
    let markets = BTreeMap::from([("GB".to_owned(), "uk".to_owned())]);
    let instruments = Instruments::new(all, markets).unwrap();
    let sha256 = Digest([7; 32]);
    Claims { instruments, factor: Factor::Direct, gases: Gases::Co2e, sha256 }
}

fn stated() -> Record {
    let mut record = example();
    record.state_by_market(&claims().rates()).unwrap();
    record.check().unwrap();
    record
}

/// 0.600003345 kWh with that of the site, known to 2 % and the PUE's 0.05/1.2: 40 % at 10 g/kWh and 60 % at 500 are
/// 182.401 g. u² is that of the energy, of 0.6 · 0.6 · 50 g, of 0.6 · 0.4 · 1 g, and of their product.
#[test]
fn a_record_has_the_mean_of_its_contracts_and_of_the_rest() {
    let record = stated();
    let by_location = example();
    assert_eq!((record.grams, record.meta.clone()), (by_location.grams, by_location.meta));
    let market = record.market.as_ref().unwrap();
    assert_eq!(market.grams.to_string(), "182.401017");
    let energy = record.energy_error().unwrap();
    assert!((energy.relative - (0.02_f64.hypot(0.05 / 1.2))).abs() < 1e-4, "{}", energy.relative);
    let (cv, rest, wind) = (energy.relative, 0.360_002_007 * 50.0, 0.240_001_338);
    let factors = rest * rest + wind * wind;
    let u = ((182.401_017 * cv).powi(2) + factors * (1.0 + cv * cv)).sqrt();
    assert!((market.uncertainty_pct - 100.0 * u / 182.401_017).abs() < 1e-6);
    assert!(market.ci_lower_g < market.grams && market.grams < market.ci_upper_g);
    let used = |of: &MarketUse| (of.kind, of.id.clone(), of.kwh.to_string(), of.dist.clone());
    assert_eq!(
        market.uses.iter().map(used).collect::<Vec<_>>(),
        [
            (
                MarketKind::Contract,
                Some("wind".into()),
                "0.240001338".into(),
                "n(10, 1)g/kWh".into()
            ),
            (MarketKind::Residual, None, "0.360002007".into(), "n(500, 50)g/kWh".into()),
        ]
    );
    assert!(record.has_note(&Note::CertificatesInSums));
    assert_eq!(record.scopes_of(Figure::Market), "scope 2, market-based");
    let again = Record::from_json(serde_json::to_value(&record).unwrap()).unwrap();
    assert_eq!(again, record);
}

/// The rule: a record has such a figure where its operation is of scope 2 and all of its energy is priced.
#[test]
fn what_is_not_priced_or_of_another_scope_has_no_figure() {
    let mut elsewhere = Record { region: "FR".into(), ..example() };
    elsewhere.state_by_market(&claims().rates()).unwrap();
    elsewhere.check().unwrap();
    assert_eq!(elsewhere.market, None);
    assert!(elsewhere.has_note(&Note::MarketUnpriced));
    let mut cloud = example();
    cloud.scopes = crate::scopes(Deployment::Cloud, Factor::Direct, false, "test");
    let before = cloud.clone();
    cloud.state_by_market(&claims().rates()).unwrap();
    assert_eq!(cloud, before);
}

/// Each rule, broken alone.
#[test]
fn a_figure_that_does_not_follow_is_refused() {
    type Edit = (&'static str, fn(&mut Value));
    let edits: &[Edit] = &[
        ("market", |of| of["market"]["grams"] = json!(182.401_018)),
        ("market", |of| of["market"]["ci_lower_g"] = json!(1)),
        ("market", |of| of["market"]["ci_upper_g"] = json!(1)),
        ("market", |of| of["market"]["uncertainty_pct"] = json!(1)),
        ("market", |of| of["market"]["confidence_level_pct"] = json!(99)),
        ("market", |of| of["market"]["sha256"] = json!("7")),
        ("market", |of| of["market"]["factor"] = json!("upstream")),
        ("market", |of| of["market"]["uses"][0]["kwh"] = json!(0.25)),
        ("market", |of| of["market"]["uses"][0]["kwh"] = json!(-0.25)),
        ("market", |of| of["market"]["uses"][0]["dist"] = json!("n(10,1) g/kWh")),
        ("market", |of| of["market"]["uses"][0]["dist"] = json!("-3g/kWh")),
        ("market", |of| of["market"]["uses"][0]["id"] = json!("")),
        ("market", |of| of["market"]["uses"].as_array_mut().unwrap().reverse()),
        ("market", |of| of["market"]["uses"] = json!([])),
        ("scopes", |of| drop(of["scopes"].as_array_mut().unwrap().pop())),
        ("scopes", |of| drop(of.as_object_mut().unwrap().remove("market"))),
        ("scopes", |of| of["scopes"][2]["basis"] = json!("location")),
    ];
    for (at, (member, edit)) in edits.iter().enumerate() {
        let mut value = serde_json::to_value(stated()).unwrap();
        edit(&mut value);
        match Record::from_json(value) {
            Err(Error::Rule { member: told, .. }) => assert_eq!(told, *member, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
    }
    let mut value = serde_json::to_value(stated()).unwrap();
    value["scopes"].as_array_mut().unwrap().remove(0);
    let error = Record::from_json(value).unwrap_err().to_string();
    assert!(error.starts_with("scopes: at least one") || error.starts_with("market: "), "{error}");
}
