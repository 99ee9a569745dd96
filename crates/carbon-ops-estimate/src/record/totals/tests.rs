//! Sums of records: in any order, with shared errors shared, against numbers worked out by hand.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The example of the ledger format as a record of v1, with other energy, zone and host: everything is
/// derived again.
fn record(workload_uj: u64, zone: &str, host: &str) -> Any {
    let line = include_str!("../../../../../testdata/ledgers/v1/example-line.ndjson");
    let mut value: Value = serde_json::from_str(line).unwrap();
    let object = value.as_object_mut().unwrap();
    for member in
        ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"]
    {
        object.remove(member).unwrap();
    }
    value["inputs"][0]["shared"] = json!(format!("idle:{host}"));
    value["inputs"][2]["shared"] = json!(format!("grid:owid:{zone}:average_lifecycle:2024"));
    value["region"] = json!(zone);
    value["host_id"] = json!(host);
    let inputs: Vec<crate::record::Input> =
        serde_json::from_value(value["inputs"].clone()).unwrap();
    let derived = crate::record::estimate(workload_uj, &inputs).unwrap();
    let active = workload_uj + 10_600_000;
    value["energy"] = json!({ "workload_uj": workload_uj, "others_uj": 10_600_000,
        "idle_uj": 200_000_000, "host_uj": active + 200_000_000 });
    value["domains"] =
        json!([{ "name": "package-0", "backend": "sysfs", "delta_uj": active + 200_000_000 }]);
    value["energy_kwh"] = json!(derived.prices.energy_kwh);
    value["grams"] = json!(derived.prices.grams);
    value["total_energy_with_pue_kwh"] = json!(derived.prices.total_energy_with_pue_kwh);
    value["meta"] = serde_json::to_value(&derived.meta).unwrap();
    value["uncertainty_pct"] = json!(derived.uncertainty_pct);
    let record: crate::record::Record = serde_json::from_value(value).unwrap();
    Any::V1(Box::new(record))
}

fn sum<'a>(records: impl IntoIterator<Item = &'a Any>) -> Group {
    let mut whole = Group::default();
    records.into_iter().for_each(|record| whole.merge(&Group::of(record).unwrap()));
    whole
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-8 * b.abs(), "{a} is not {b}");
}

/// Attribution 5 %, shared by a host; intensity 10 %, shared by a zone; both lognormal. A record's cv is
/// √(1.0025 · 1.01 − 1), of which 0.05²·0.1² is of both together and counts as independent.
#[test]
fn shared_errors_add_and_others_do_not() {
    let u = 519_400_000;
    let one = sum(&[record(u, "DE", "a")]).totals();
    near(one.relative_uncertainty_pct, 100.0 * (1.0025f64 * 1.01 - 1.0).sqrt());
    let both = 0.05f64 * 0.05 * 0.1 * 0.1;
    for (records, cv) in [
        // One host, one zone: as one record, but for what is independent.
        ([record(u, "DE", "a"), record(u, "DE", "a")], (0.0025 + 0.01 + both / 2.0).sqrt()),
        ([record(u, "DE", "a"), record(u, "DE", "b")], (0.0025 / 2.0 + 0.01 + both / 2.0).sqrt()),
        ([record(u, "DE", "a"), record(u, "FR", "b")], ((0.0025 + 0.01 + both) / 2.0).sqrt()),
    ] {
        let totals = sum(&records).totals();
        near(totals.relative_uncertainty_pct, 100.0 * cv);
        near(totals.total_grams, 2.0 * one.total_grams);
    }
}

/// A thousand records of one grid and host are as uncertain as one; independent they would be at 0.35 %.
#[test]
fn a_thousand_records_of_one_grid_do_not_become_certain() {
    let records: Vec<_> = (0..1000).map(|_| record(519_400_000, "DE", "a")).collect();
    let totals = sum(&records).totals();
    near(totals.relative_uncertainty_pct, 100.0 * (0.0125f64 + 0.000_025 / 1000.0).sqrt());
    assert!(totals.ci_lower_g < totals.total_grams && totals.total_grams < totals.ci_upper_g);
    assert!(totals.shared_variance_pct > 99.99);
}

#[test]
fn one_record_keeps_its_own_interval_and_none_has_no_grams() {
    let single = record(519_400_000, "DE", "a");
    let totals = sum([&single]).totals();
    assert_eq!((totals.ci_lower_g, totals.ci_upper_g), single.interval_g());
    let nothing = Group::default().totals();
    assert_eq!(nothing.count, 0);
    assert!(nothing.total_grams.abs() <= 0.0);
}

proptest! {
    #[test]
    fn order_and_grouping_change_nothing(
        energies in prop::collection::vec(1_000u64..1_000_000_000, 2..12), cut in 1usize..11,
    ) {
        let zones = ["DE", "FR", "PL"];
        let records: Vec<_> = energies
            .iter()
            .enumerate()
            .map(|(i, uj)| record(*uj, zones[i % 3], ["a", "b"][i % 2]))
            .collect();
        let whole = sum(&records).totals();
        let backwards = sum(records.iter().rev()).totals();
        let (left, right) = records.split_at(cut.min(records.len() - 1));
        let mut halves = sum(left);
        halves.merge(&sum(right));
        prop_assert_eq!(&whole, &backwards);
        prop_assert_eq!(&whole, &halves.totals());
    }
}
