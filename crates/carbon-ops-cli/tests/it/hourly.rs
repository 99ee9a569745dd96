//! `run` with the grid of its own hour: against a user's file and a server of ours on the loopback.

use std::fs;

use carbon_ops_testkit::http::{Reply, Server};
use serde_json::Value;

use crate::home::{Done, Home, done, double, has};

/// A server that answers everything with 503, and counts; the home whose configuration names it.
fn failing() -> (Home, Server) {
    let server = Server::start(|_| Reply {
        status: 503,
        headers: "retry-after: 3600\r\n",
        body: String::new(),
    });
    let home = Home::new();
    home.configure(&format!("[providers]\ngb_url = \"{}\"\n", server.url("")));
    (home, server)
}

fn run(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = home.carbon_ops(&[&["run"], arguments].concat());
    done(command.envs(variables.iter().copied()))
}

fn last(home: &Home) -> Value {
    home.records().pop().unwrap()
}

fn near(value: &Value, expected: f64) {
    assert!((double(value) / expected - 1.0).abs() < 1e-8, "{value} is not {expected}");
}

/// The file holds for all times: 123 g/kWh. Grams are energy · PUE · 123, whatever the machine.
#[test]
fn a_file_of_ones_own_prices_the_command_and_the_record_keeps_measurement_and_slots() {
    let home = Home::new();
    let grid =
        "# signal: average_lifecycle\n# source: a contract\nzone,start,end,g_per_kwh\nDE,,,123\n";
    fs::write(home.work("grid.csv"), grid).unwrap();
    let file = ("CARBON_OPS_CARBON_INTENSITY_FILE", home.work("grid.csv").display().to_string());
    let variables = [(file.0, file.1.as_str())];
    let arguments =
        ["--region", "DE", "--pue", "1.5", "--", "bash", "-c", "for i in {1..20000}; do :; done"];
    let done = run(&home, &arguments, &variables);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let record = last(&home);
    assert_eq!((&record["schema_version"], &record["source"]), (&2.into(), &"file".into()));
    near(&record["grams"], double(&record["energy_kwh"]) * 1.5 * 123.0);
    near(&record["grid"]["slots"]["list"][0]["g_per_kwh"], 123.0);
    assert_eq!(record["measurement"]["workload"]["program"], "bash");
    crate::home::conserves_energy(&record);
    for word in ["123 g/kWh", "average lifecycle by file", "1 slot of file DE", "coverage 100.0 %"]
    {
        assert!(done.stderr.contains(word), "{} lacks {word:?}", done.stderr);
    }
    let verified = home.does(&["ledger", "verify", "--recompute"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.text(), verified.stderr);
}

#[test]
fn without_a_provider_nobody_is_asked() {
    let (home, server) = failing();
    let done = run(&home, &["--region", "GB", "--", "true"], &[]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let done = run(&home, &["--provider", "static", "--", "true"], &[]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(!has(&last(&home), "notes", "provider_substituted"));
    assert!(server.asked().is_empty());
}

#[test]
fn a_provider_that_fails_costs_the_command_nothing_and_the_record_says_so() {
    let (home, server) = failing();
    let done =
        run(&home, &["--region", "GB", "--provider", "gb", "--", "bash", "-c", "exit 3"], &[]);
    assert_eq!(done.code(), 3, "{}", done.stderr);
    assert!(!server.asked().is_empty());
    let record = last(&home);
    assert!(has(&record, "notes", "provider_substituted"), "{record:#}");
    assert_ne!(record["quality_flag"], "measured");
    let inputs = record["inputs"].as_array().unwrap();
    let intensity = inputs.iter().find(|input| input["name"] == "intensity").unwrap();
    let source = intensity["source"].as_str().unwrap();
    assert!(source.contains("instead of gb: "), "{source}");
    assert!(done.stderr.contains("instead of gb: "), "{}", done.stderr);
    assert_eq!(record["grid"]["slots"]["list"][0]["class"], "yearly");
    // The same as without a provider.
    let before = double(&record["intensity_g_per_kwh"]);
    run(&home, &["--region", "GB", "--", "true"], &[]);
    near(&last(&home)["intensity_g_per_kwh"], before);
    // Credentials that are missing are no reason either.
    let done = run(&home, &["--region", "DE", "--provider", "electricity_maps", "--", "true"], &[]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(has(&last(&home), "notes", "provider_substituted"));
    assert!(done.stderr.contains("needs credentials"), "{}", done.stderr);
    // A name that is nobody's is.
    assert_eq!(run(&home, &["--provider", "mars", "--", "true"], &[]).code(), 125);
}

/// 164 kg over four years of 8,760 h, a quarter of it: 1.17009 g an hour. The record has the interval of a factor
/// of two, a tag of scope 3, category 2 (capital goods), and the time of the command, whatever it was.
#[test]
fn hardware_that_a_command_reserves_is_apart_from_its_grams() {
    let home = Home::new();
    let arguments =
        ["--region", "DE", "--embodied", "h100", "--share", "1/4", "--", "sleep", "0.2"];
    let done = run(&home, &arguments, &[]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let record = last(&home);
    assert_eq!(
        (&record["schema_version"], &record["source"]),
        (&2.into(), &"static:owid-2024".into())
    );
    let time = |name: &str| record[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let hours = time("end_ts").duration_since(time("start_ts")).as_secs_f64() / 3600.0;
    let expected = 164_000.0 * 0.25 / 35_040.0 * hours;
    let embodied = &record["embodied"];
    assert!((double(&embodied["grams"]) / expected - 1.0).abs() < 1e-6, "{embodied:#} {expected}");
    near(&embodied["items"][0]["share"], 0.25);
    assert!((double(&embodied["ci_upper_g"]) / double(&embodied["ci_lower_g"]) - 4.0).abs() < 1e-5);
    let scopes = record["scopes"].as_array().unwrap();
    let hardware = scopes.iter().find(|scope| scope["figure"] == "embodied").unwrap();
    assert_eq!((&hardware["scope"], &hardware["category"]), (&3.into(), &2.into()));
    near(&record["grams"], double(&record["total_energy_with_pue_kwh"]) * 344.14);
    assert!(
        done.stderr.contains("hardware") && done.stderr.contains("h100: 164 kg"),
        "{}",
        done.stderr
    );
    let verified = home.does(&["ledger", "verify", "--recompute"]);
    assert_eq!(verified.code(), 0, "{}{}", verified.text(), verified.stderr);
    let sums = home.does(&["aggregate", "--json"]);
    let sums: Value = serde_json::from_slice(&sums.stdout).unwrap();
    near(&sums["all"]["embodied"]["total_grams"], double(&embodied["grams"]));
}

#[test]
fn hardware_that_contradicts_itself_is_refused_before_the_command_runs() {
    let home = Home::new();
    let two = ["--embodied", "h100", "--embodied", "h100=3kg", "--", "touch", "ran"];
    assert_eq!(run(&home, &two, &[]).code(), 125);
    assert!(!home.work("ran").exists());
}
