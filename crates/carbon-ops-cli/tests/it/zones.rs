//! `carbon-ops zones`: what it lists, the other commands take.

use serde_json::{Value, json};

use crate::home::Home;

#[test]
fn every_listed_place_is_priced_with_the_value_that_is_listed() {
    let home = Home::new();
    let listed = home.does(&["zones", "--json"]);
    assert_eq!(listed.code(), 0, "{}", listed.stderr);
    let listed: Vec<Value> =
        listed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for zone in ["world", "DE", "US-CA", "eu-west-1"] {
        assert!(listed.iter().any(|place| place["zone"] == zone), "{zone}");
    }
    let span = |place: &Value| {
        json!({ "start": "2026-03-01T00:00:00Z", "end": "2026-03-01T01:00:00Z", "energy_kwh": 1, "pue": 1,
            "zone": place["zone"] })
        .to_string()
    };
    let rows = listed.iter().map(span).collect::<Vec<_>>().join("\n");
    let file = home.work("spans.ndjson");
    std::fs::write(&file, rows).unwrap();
    let mut command = home.carbon_ops(&["estimate", "--records"]);
    let priced = crate::home::done(command.stdin(std::fs::File::open(file).unwrap()));
    assert_eq!(priced.code(), 0, "{}", priced.stderr);
    let priced: Vec<Value> =
        priced.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(priced.len(), listed.len());
    for (place, record) in listed.iter().zip(&priced) {
        let shown = place["g_per_kwh"].as_f64().unwrap();
        let [low, high] =
            ["ci_lower_g_per_kwh", "ci_upper_g_per_kwh"].map(|end| place[end].as_f64().unwrap());
        assert!(low < shown && shown < high, "{place}");
        let used = record["intensity_g_per_kwh"].as_f64().unwrap();
        assert!((shown - used).abs() <= 1e-8 * shown, "{place} {used}");
    }
}

#[test]
fn a_part_of_a_code_or_a_name_selects_and_nothing_is_an_error() {
    let home = Home::new();
    let germany = home.does(&["zones", "GERMANY"]).text();
    assert!(germany.lines().any(|line| line.starts_with("DE ")), "{germany}");
    assert!(germany.lines().any(|line| line.starts_with("eu-central-1 ")), "{germany}");
    assert!(germany.lines().skip(1).all(|line| line.contains("Germany")), "{germany}");
    let nothing = home.does(&["zones", "atlantis"]);
    assert_eq!(nothing.code(), 2);
    assert!(nothing.stderr.contains("atlantis") && nothing.stderr.contains("hint: "));
}
