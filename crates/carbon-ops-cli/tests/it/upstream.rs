//! `estimate --upstream`: what is at the chimney and what is upstream of it, as two records, against a server
//! of ours that answers for both.

use carbon_ops_testkit::http::{Reply, Server};
use serde_json::{Value, json};

use crate::home::{Done, Home, done};

/// Electricity Maps with the hours of 1 March 2026: 380 and 330 g/kWh and one more each hour, and the direct
/// values of a revision of their own day.
fn served(direct_base: u64, direct_day: u64) -> Home {
    let server = Server::start(move |request| {
        let direct = request.line.contains("emissionFactorType=direct");
        let (factor, base, day) =
            if direct { ("direct", direct_base, direct_day) } else { ("lifecycle", 380, 2) };
        let rows: Vec<Value> = (0..24)
            .map(|hour| {
                json!({ "zone": "DE", "carbonIntensity": base + hour,
                    "datetime": format!("2026-03-01T{hour:02}:00:00.000Z"),
                    "updatedAt": format!("2026-03-{day:02}T00:00:00.000Z"),
                    "emissionFactorType": factor, "isEstimated": false })
            })
            .collect();
        Reply::ok(&json!({ "data": rows }))
    });
    let home = Home::new();
    let url = server.url("/v4");
    home.configure(&format!("[providers]\nelectricity_maps_url = \"{url}\"\n"));
    home
}

/// 1 kWh from 00:30 to 01:30, half of it in each hour, in two records.
fn split(home: &Home, more: &[&str]) -> Done {
    let span = [
        "estimate",
        "--energy=1kWh",
        "--pue=1",
        "--from=2026-03-01T00:30Z",
        "--to=2026-03-01T01:30Z",
        "--upstream",
    ];
    let mut command = home.carbon_ops(&[&span[..], more].concat());
    done(command.env("ELECTRICITYMAPS_TOKEN", "em-token-77d1"))
}

const GERMANY: [&str; 2] = ["--zone=DE", "--provider=electricity_maps"];

fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value / expected - 1.0).abs() < 1e-6, "{value} is not {expected}");
}

/// Half an hour each at 330 and 331, and at 50 and 50 g/kWh. What is not known of the upstream part: 15 % of its
/// source, 2.5 % of each of its hours, and a factor of two, cv² 0.1332283: 1.0225 · 1.000625² · 1.1332283 − 1 = 0.4002184².
#[test]
fn scope_2_and_category_3_are_a_record_each_and_sum_to_the_life_cycle() {
    let home = served(330, 2);
    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    let told =
        split(&home, &[&GERMANY[..], &["--json", "--ledger=ledger", "--embodied=server"]].concat());
    assert_eq!(told.code(), 0, "{}", told.stderr);
    let text = told.text();
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [direct, upstream] = records.as_slice() else { panic!("{records:#?}") };
    near(&direct["grams"], 330.5);
    near(&upstream["grams"], 50.0);
    near(&upstream["uncertainty_pct"], 40.021_844);
    assert_eq!(
        (&direct["signal"], &upstream["signal"]),
        (&json!("average_direct"), &json!("average_upstream"))
    );
    let tags = |record: &Value| -> Vec<Value> {
        let tags = record["scopes"].as_array().unwrap().iter();
        tags.map(|tag| json!([tag["figure"], tag["scope"], tag["basis"], tag["category"]]))
            .collect()
    };
    // Hardware is charged once.
    assert_eq!(
        tags(direct),
        [json!(["operational", 2, "location", null]), json!(["embodied", 3, null, 2])]
    );
    assert_eq!(tags(upstream), [json!(["operational", 3, null, 3])]);
    assert!(upstream.get("embodied").is_none());
    // The difference names both answers, of which the direct one is one.
    let answers = |record: &Value| record["grid"]["sources"][0]["raw_sha256"].clone();
    assert_eq!(answers(upstream).as_array().unwrap().len(), 2);
    assert!(answers(upstream).as_array().unwrap().contains(&answers(direct)[0]));

    for seq in ["1", "2"] {
        let again = home.does(&["estimate", "--recompute", &format!("ledger:{seq}")]);
        assert_eq!(again.code(), 0, "{}{}", again.text(), again.stderr);
        assert!(again.text().contains("slots from the kept answers"), "{}", again.text());
    }
    let sums = home.does(&["aggregate", "ledger", "--json", "--by", "scope"]);
    let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
    near(&sums["all"]["total_grams"], 380.5);
    // The 15 % are one error of both parts, and so is that of each hour: u² = (0.15 · 380.5)² + (8.25 + 1.25)² +
    // (8.275 + 1.25)² + 330.5² · 0.0000285 + 50² · 0.1364248, by hand; the life cycle as one record has 15.42 %.
    near(&sums["all"]["relative_uncertainty_pct"], 16.163_924);
    // One kilowatt hour, of which two records speak.
    near(&sums["all"]["total_energy_kwh"], 1.0);
    near(&sums["groups"]["scope 2, location-based"]["total_grams"], 330.5);
    near(&sums["groups"]["scope 3, category 3"]["total_energy_kwh"], 1.0);
    near(&sums["groups"]["scope 3, category 3"]["coverage_pct"], 100.0);
}

#[test]
fn what_is_not_one_slot_in_one_revision_is_not_split() {
    let refused = |home: &Home, more: &[&str], words: &[&str]| {
        let told = split(home, more);
        assert_eq!(told.code(), 2, "{}", told.text());
        for word in words {
            assert!(told.stderr.contains(word), "{} lacks {word:?}", told.stderr);
        }
    };
    refused(&served(330, 3), &GERMANY, &["differ in their revision"]);
    refused(&served(500, 2), &GERMANY, &["500 g/kWh at the chimney are more than 380", "hint: "]);
    let home = served(330, 2);
    refused(
        &home,
        &["--zone=DE", "--provider=static"],
        &["there are no direct ones", "hint: ", "electricity_maps"],
    );
    refused(
        &home,
        &[&GERMANY[..], &["--deployment=cloud"]].concat(),
        &["of cloud machines", "hint: "],
    );
}
