//! Records that were priced with a provider's slots: the same numbers again from the answers that were
//! kept, and records that take the place of others.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carbon_ops_testkit::http::{self, Reply};
use serde_json::{Value, json};

use crate::home::{Done, Home, done};

const TOKEN: &str = "em-token-77d1";

/// Electricity Maps with the hours of 1 March 2026: `base` g/kWh and one more each hour.
struct Server {
    server: http::Server,
    base: Arc<AtomicU64>,
}

impl Server {
    fn start() -> Self {
        let base = Arc::new(AtomicU64::new(100));
        let now = Arc::clone(&base);
        let server = http::Server::start(move |_| Reply::ok(&hours(now.load(Ordering::SeqCst))));
        Self { server, base }
    }

    /// The provider changes its mind.
    fn revise(&self) {
        self.base.store(90, Ordering::SeqCst);
    }

    fn home(&self) -> Home {
        let home = Home::new();
        let url = self.server.url("/v4");
        home.configure(&format!("[providers]\nelectricity_maps_url = \"{url}\"\n"));
        home
    }
}

fn hours(base: u64) -> Value {
    let rows: Vec<Value> = (0..24)
        .map(|hour| {
            let at = format!("2026-03-01T{hour:02}:00:00.000Z");
            json!({ "zone": "DE", "carbonIntensity": base + hour, "datetime": at,
                "updatedAt": format!("2026-03-{:02}T00:00:00.000Z", 102 - base),
                "emissionFactorType": "lifecycle", "isEstimated": false })
        })
        .collect();
    json!({ "data": rows })
}

fn with_token(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.carbon_ops(arguments);
    command.env("ELECTRICITYMAPS_TOKEN", TOKEN);
    command
}

/// 1 kWh from 00:30 to 01:30, half of it in each hour.
const SPAN: [&str; 11] = [
    "estimate",
    "--json",
    "--energy",
    "1kWh",
    "--zone=DE",
    "--pue=1",
    "--from",
    "2026-03-01T00:30Z",
    "--to",
    "2026-03-01T01:30Z",
    "--provider=electricity_maps",
];

fn priced(home: &Home, more: &[&str]) -> Value {
    let done = done(&mut with_token(home, &[&SPAN[..], more].concat()));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_slice(&done.stdout).unwrap()
}

fn recomputed(home: &Home, of: &str) -> (i32, Value) {
    let done = home.does(&["estimate", "--recompute", of, "--json"]);
    assert!(!done.stdout.is_empty(), "{}", done.stderr);
    (done.code(), serde_json::from_slice(&done.stdout).unwrap())
}

fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value / expected - 1.0).abs() < 1e-6, "{value} is not {expected}");
}

/// Half an hour at 100 and half an hour at 101 g/kWh; later, at 90 and 91.
#[test]
fn a_record_is_derived_again_from_the_answers_that_were_kept_also_after_a_revision() {
    let server = Server::start();
    let home = server.home();
    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    near(&priced(&home, &["--ledger", "ledger"])["grams"], 100.5);
    let (code, report) = recomputed(&home, "ledger:1");
    assert_eq!((code, &report["same"]), (0, &true.into()), "{report:#}");
    let parts = report["derived"].as_array().unwrap();
    assert!(parts.iter().any(|part| part == "slots from the kept answers"), "{report:#}");
    assert_eq!(report["revised"], json!([]));

    server.revise();
    // The slots are settled, and asked for again only by a cache that has lost them.
    fs::remove_dir_all(home.path("cache/carbon-ops/intensity/slots")).unwrap();
    let again = priced(&home, &[]);
    near(&again["grams"], 90.5);
    let (code, report) = recomputed(&home, "ledger:1");
    assert_eq!((code, &report["same"]), (0, &true.into()), "{report:#}");
    let revised = report["revised"].as_array().unwrap();
    assert_eq!(revised.len(), 2, "{report:#}");
    assert_eq!(revised[0], "2026-03-01T00:00:00Z: 100 g/kWh, now 90");

    // The new price becomes a correction, which names what it takes the place of.
    fs::write(home.work("again.json"), again.to_string()).unwrap();
    let corrected = home.does(&[
        "ledger",
        "correct",
        "1",
        "ledger",
        "--reason",
        "factor",
        "--replacement",
        "again.json",
    ]);
    assert_eq!(corrected.code(), 0, "{}", corrected.stderr);
    let (code, report) = recomputed(&home, "ledger:2");
    assert_eq!((code, &report["revised"]), (0, &json!([])), "{report:#}");
    let sums = aggregate(&home, &["ledger"]);
    near(&sums["all"]["total_grams"], 90.5);
    assert_eq!(sums["superseded_records"], 1);
}

#[test]
fn an_answer_that_is_not_kept_is_told_of_and_a_slot_that_was_changed_is_found() {
    let server = Server::start();
    let home = server.home();
    let record = priced(&home, &[]);
    fs::write(home.work("record.json"), record.to_string()).unwrap();
    assert_eq!(recomputed(&home, "record.json").0, 0);
    // Another slot, and every number that follows from it: only the answer knows better.
    let other =
        record.to_string().replace("\"updated_at\":\"2026-03-02", "\"updated_at\":\"2026-03-03");
    assert_ne!(other, record.to_string());
    fs::write(home.work("other.json"), &other).unwrap();
    let (code, report) = recomputed(&home, "other.json");
    assert_eq!((code, &report["same"]), (1, &false.into()), "{report:#}");
    fs::remove_dir_all(home.path("cache/carbon-ops/intensity/answers")).unwrap();
    let (code, report) = recomputed(&home, "record.json");
    assert_eq!((code, &report["same"]), (2, &true.into()), "{report:#}");
    let digest = record["grid"]["sources"][0]["raw_sha256"][0].as_str().unwrap();
    assert!(report["not_kept"].as_str().unwrap().contains(digest), "{report:#}");
    assert!(report["instead"].as_str().unwrap().contains("lists price its span"), "{report:#}");
    let told = home.does(&["estimate", "--recompute", "record.json"]);
    assert_eq!(told.code(), 2);
    for said in
        ["not derived: the slots", "removed when the cache was full", "hint: copy", "instead: "]
    {
        assert!(told.text().contains(said), "{said}: {}", told.text());
    }
}

fn stream(home: &Home, arguments: &[&str], input: &str) -> Done {
    fs::write(home.work("input"), input).unwrap();
    let mut command = home.carbon_ops(&[&["estimate"], arguments].concat());
    command.env("CARBON_OPS_CARBON_INTENSITY_FILE", home.work("grid.csv"));
    command.stdin(Stdio::from(fs::File::open(home.work("input")).unwrap()));
    done(&mut command)
}

/// The first span asks the provider: it must not be taken for one of a grid that never changes.
#[test]
fn a_span_within_one_slot_keeps_that_slot_also_when_it_is_the_first() {
    let home = Home::new();
    let grid = "# signal: average_lifecycle\n# accounting: consumption\n# source: a test\n\
                zone,start,end,g_per_kwh\n\
                DE,2026-03-01T00:00Z,2026-03-01T12:00Z,100\n\
                DE,2026-03-01T12:00Z,2026-03-02T00:00Z,200\n";
    fs::write(home.work("grid.csv"), grid).unwrap();
    let input = "start,end,energy_kwh,zone,pue\n\
                 2026-03-01T01:00Z,2026-03-01T02:00Z,1,DE,1\n\
                 2026-03-01T13:00Z,2026-03-01T14:00Z,1,DE,1\n";
    let done = stream(&home, &["--records"], input);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    for (line, (start, grams)) in done.text().lines().zip([("00", 100.0), ("12", 200.0)]) {
        let record: Value = serde_json::from_str(line).unwrap();
        near(&record["grams"], grams);
        let slot = &record["grid"]["slots"]["list"][0];
        assert_eq!(slot["start"], format!("2026-03-01T{start}:00:00.000000Z"), "{record:#}");
    }
}

/// The longest id, zone and numbers that there are.
#[test]
fn a_row_has_900_bytes_at_most_and_an_id_128() {
    let home = Home::new();
    let row = |id: usize| {
        let id = "x".repeat(id);
        format!(
            "{{\"id\":\"{id}\",\"start\":\"2026-03-01T00:00:00.000001Z\",\"end\":\"2026-03-01T00:00:00.000002Z\",\
             \"energy_kwh\":1.23456789e-17,\"zone\":\"us-gov-west-1\"}}\n"
        )
    };
    let longest = stream(&home, &["--provider=static"], &row(128));
    assert_eq!(longest.code(), 0, "{}", longest.stderr);
    assert!((700..=900).contains(&longest.stdout.len()), "{}", longest.stdout.len());
    for more in [&["--provider=static"][..], &["--provider=static", "--records"]] {
        let refused = stream(&home, more, &row(129));
        assert_eq!((refused.code(), refused.stdout.len()), (2, 0), "{}", refused.stderr);
        assert!(refused.stderr.contains("line 1: id: 1 to 128 bytes"), "{}", refused.stderr);
    }
    let span = ["--energy=1kWh", "--from=2026-03-01", "--to=2026-03-02", "--zone=DE"];
    let refused = home.does(&[&["estimate", "--id", &"x".repeat(129)][..], &span].concat());
    assert_eq!((refused.code(), &*refused.stderr), (2, "carbon-ops: id: 1 to 128 bytes\n"));
}

fn aggregate(home: &Home, arguments: &[&str]) -> Value {
    let done = home.does(&[&["aggregate", "--json"], arguments].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_slice(&done.stdout).unwrap()
}

/// OWID 2024: 344.14 g/kWh for Germany.
#[test]
fn corrections_replace_retractions_remove_and_both_can_be_corrected() {
    let home = Home::new();
    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    let line = |kwh: u32| format!("2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,{kwh},DE,1\n");
    let heading = "start,end,energy_kwh,zone,pue\n";
    let made = |kwh| -> String {
        let done =
            stream(&home, &["--records", "--provider=static"], &(heading.to_owned() + &line(kwh)));
        done.text()
    };
    fs::write(home.work("10.json"), made(10)).unwrap();
    fs::write(home.work("20.json"), made(20)).unwrap();
    let input = [heading.to_owned(), line(1), line(2), line(4)].concat();
    let done = stream(&home, &["--ledger", "ledger", "--provider=static"], &input);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let holds = |kwh: f64, records: u64, superseded: u64| {
        let sums = aggregate(&home, &["ledger"]);
        near(&sums["all"]["total_energy_kwh"], kwh);
        near(&sums["all"]["total_grams"], kwh * 344.14);
        assert_eq!(sums["all"]["count"], records, "{sums:#}");
        assert_eq!(sums["superseded_records"], superseded, "{sums:#}");
    };
    let correct = |seq: &str, how: &[&str]| {
        let arguments = [&["ledger", "correct", seq, "ledger", "--reason", "factor"], how].concat();
        let done = home.does(&arguments);
        assert_eq!(done.code(), 0, "{}", done.stderr);
    };
    holds(7.0, 3, 0);
    // Inside of the first record and of none that is written instead.
    let shown = home.does(&["ledger", "show", "ledger", "--json", "--last", "3"]).text();
    let shown: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!(shown["seq"], 1, "{shown:#}");
    let mut inner: Value = serde_json::from_str(&made(1)).unwrap();
    inner["parent"] = shown["record_id"].clone();
    fs::write(home.work("inner.json"), inner.to_string()).unwrap();
    let with_inner = |home: &Home| aggregate(home, &["ledger", "inner.json"])["all"].clone();
    near(&with_inner(&home)["total_energy_kwh"], 7.0);
    // Entry 4: the first record, 1 kWh, was 10.
    correct("1", &["--replacement", "10.json"]);
    holds(16.0, 3, 1);
    near(&with_inner(&home)["total_energy_kwh"], 16.0);
    // Entry 5: no, 20.
    correct("4", &["--replacement", "20.json"]);
    holds(26.0, 3, 1);
    // Entry 6: 10 after all.
    correct("5", &["--retract"]);
    holds(16.0, 3, 1);
    // Entry 7: the second record, 2 kWh, does not count.
    correct("2", &["--retract"]);
    holds(14.0, 2, 2);
    // Entry 8: it does.
    correct("7", &["--retract"]);
    holds(16.0, 3, 1);
}

/// 1 and 2 kWh ± 10 % at a grid of cv 0.364 and factors of cv 0.15 that both share: in units of that grid's grams,
/// u² = (0.364² + 0.15²)·(1 + 2)² + (1² + 2²)·(0.1² + r), where r is what the products add, 0.004560932; so
/// u/3 is as below (by hand).
#[test]
fn hosts_share_the_error_of_their_grid_and_not_that_of_their_meters() {
    let home = Home::new();
    let input = "start,end,energy,zone,pue,host\n\
                 2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,1kWh ± 10%,DE,1,one\n\
                 2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,2kWh ± 10%,DE,1,two\n";
    let done = stream(&home, &["--records", "--provider=static"], input);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    fs::write(home.work("records.ndjson"), &done.stdout).unwrap();
    let sums = aggregate(&home, &["records.ndjson", "--by", "host"]);
    near(&sums["all"]["total_grams"], 3.0 * 344.14);
    near(&sums["all"]["relative_uncertainty_pct"], 40.383_834_2);
    // One alone: (1 + 0.1²)(1 + 0.364²)(1 + 0.15²) − 1.
    near(&sums["groups"]["one"]["relative_uncertainty_pct"], 41.177_291_3);
    assert_eq!(sums["unsigned_records"], 2);

    let text = done.text();
    let mut record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    record["simulated"] = true.into();
    record["record_id"] = "0".repeat(32).into();
    fs::write(home.work("simulated.ndjson"), format!("{record}\n")).unwrap();
    let sums = aggregate(&home, &["records.ndjson", "simulated.ndjson"]);
    assert_eq!(sums["simulated_records_left_out"], 1, "{sums:#}");
    assert_eq!(sums["all"]["count"], 2);
    let sums = aggregate(&home, &["records.ndjson", "simulated.ndjson", "--include-simulated"]);
    near(&sums["all"]["total_energy_kwh"], 4.0);
}
