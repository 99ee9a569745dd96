//! `carbon-ops intensity` from outside, against a server of ours on the loopback.

use std::fs;
use std::path::Path;
use std::process::Command;

use carbon_ops_testkit::http::{self, Reply};
use serde_json::{Value, json};

use crate::home::{Home, done};

const TOKEN: &str = "em-token-5f3c9a";

/// Electricity Maps with the hours of 1 March 2026: 100 g/kWh and one more each hour, null at 03:00. Anything
/// else that is asked for is refused, with the token in the refusal.
struct Server(http::Server);

impl Server {
    fn start() -> Self {
        Self(http::Server::start(|request| {
            if request.line.contains("past-range") && request.has("auth-token", TOKEN) {
                return Reply::ok(&hours());
            }
            let body = json!({ "error": format!("no {TOKEN}") }).to_string();
            Reply { status: 401, headers: "", body }
        }))
    }

    fn asked(&self) -> usize {
        self.0.asked().len()
    }

    /// A home whose configuration names the server.
    fn home(&self) -> Home {
        let home = Home::new();
        let url = self.0.url("/v4");
        home.configure(&format!("[providers]\nelectricity_maps_url = \"{url}\"\n"));
        home
    }
}

fn hours() -> Value {
    let rows: Vec<Value> = (0..24)
        .map(|hour| {
            let at = format!("2026-03-01T{hour:02}:00:00.000Z");
            let value = if hour == 3 { Value::Null } else { json!(100 + hour) };
            json!({ "zone": "DE", "carbonIntensity": value, "datetime": at, "updatedAt": at,
                "emissionFactorType": "lifecycle", "isEstimated": hour > 20,
                "estimationMethod": "TIME_SLICER_AVERAGE" })
        })
        .collect();
    json!({ "data": rows })
}

fn intensity(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.carbon_ops(&["intensity"]);
    command.args(arguments).env("ELECTRICITYMAPS_TOKEN", TOKEN);
    command
}

const DAY: [&str; 6] = ["--zone", "DE", "--from", "2026-03-01", "--to", "2026-03-02"];

fn no_token_in(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_token_in(&path);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(TOKEN), "{}", path.display());
        }
    }
}

#[test]
fn slots_are_shown_with_their_quality_and_drawn() {
    let server = Server::start();
    let home = server.home();
    let picture = home.work("day.svg");
    let plot = format!("--plot={}", picture.display());
    let shown = done(intensity(&home, &DAY).arg(&plot));
    assert_eq!(shown.code(), 0, "{}", shown.stderr);
    let text = String::from_utf8(shown.stdout).unwrap();
    for expected in [
        "DE of electricity_maps, 2026-03-01 00:00 to 2026-03-02 00:00 (UTC)",
        // The sum of 100 to 123 without 103 is 2573; 2573 / 23 = 111.87.
        "mean 111.9 g/kWh, from 100.0 to 123.0; 23 slots cover 95.8 %",
        "2026-03-01 23:00     123.0 g/kWh estimated",
        "no value from 2026-03-01 03:00 to 2026-03-01 04:00: the provider names this time",
        "20 × from measured generation",
        // √(15² + 5²) = 15.8
        "± 31 % (95 %, a prior)",
        "3 × estimated by the provider, by TIME_SLICER_AVERAGE",
        "licence: terms of the provider",
        "average lifecycle consumption CO2e; may price an inventory figure",
    ] {
        assert!(text.contains(expected), "{text} lacks {expected:?}");
    }
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("no value") && svg.contains("Electricity Maps")
    );
    no_token_in(&home.path(""));
}

#[test]
fn offline_gives_the_same_and_asks_nobody() {
    let server = Server::start();
    let home = server.home();
    let online = done(intensity(&home, &DAY).arg("--json"));
    let report: Value = serde_json::from_slice(&online.stdout).unwrap();
    assert_eq!(report["slots"].as_array().unwrap().len(), 23);
    assert_eq!(report["slots"][0]["g_per_kwh"], 100.0);
    assert_eq!(report["gaps"][0]["reason"], "null");
    assert_eq!(report["sources"][0]["signal"]["kind"], "average");
    assert_eq!(server.asked(), 1);
    let mut again = home.carbon_ops(&["intensity", "--offline", "--json", "--provider"]);
    again.arg("electricity_maps").args(DAY);
    let offline = done(&mut again);
    assert_eq!(offline.stdout, online.stdout, "{}", offline.stderr);
    assert_eq!(server.asked(), 1);
    // The answer is kept by the digest that the report names.
    let digest = report["sources"][0]["raw_digest"].as_str().unwrap();
    let answers = home.path("cache/carbon-ops/intensity/answers");
    assert!(answers.join(&digest[..2]).join(format!("{digest}.gz")).exists());
}

#[test]
fn no_output_holds_the_token() {
    let server = Server::start();
    let home = server.home();
    // Not 1 March: the server refuses `history`, and repeats the token.
    for arguments in [&["--zone", "DE"][..], &DAY, &["--zone", "DE", "--json", "--stats"]] {
        let shown = done(&mut intensity(&home, arguments));
        let all = format!("{}{}", String::from_utf8_lossy(&shown.stdout), shown.stderr);
        assert!(!all.contains(TOKEN), "{all}");
    }
    let refused = done(&mut intensity(&home, &["--zone", "DE", "--provider", "electricity_maps"]));
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("the token is not accepted"), "{}", refused.stderr);
    assert!(refused.stderr.contains("no ••••"), "{}", refused.stderr);
    let config = done(home.carbon_ops(&["config", "show"]).env("ELECTRICITYMAPS_TOKEN", TOKEN));
    let text = String::from_utf8(config.stdout).unwrap();
    assert!(!text.contains(TOKEN), "{text}");
    assert!(text.contains("environment ELECTRICITYMAPS_TOKEN"), "{text}");
    no_token_in(&home.path(""));
}

#[test]
fn another_signal_is_no_substitute_unless_asked_for() {
    let server = Server::start();
    let home = server.home();
    // The default order is electricity_maps, then static: by consumption, then by production.
    let refused = done(&mut intensity(&home, &["--zone", "DE"]));
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("providers.fallback"), "{}", refused.stderr);
    let config = home.path("config/carbon-ops/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}fallback = \"same_kind\"\n")).unwrap();
    let shown = done(&mut intensity(&home, &["--zone", "DE"]));
    assert_eq!(shown.code(), 0, "{}", shown.stderr);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("instead of electricity_maps: "), "{text}");
    assert!(
        text.contains(
            "counts average lifecycle production CO2e, not average lifecycle consumption CO2e"
        ),
        "{text}"
    );
}

#[test]
fn the_built_in_tables_need_no_network_and_leave_no_trace() {
    let home = Home::new();
    for (arguments, expected) in [
        (&["--zone", "Germany"][..], "DE of static"),
        (&["--zone", "US-CA", "--provider", "egrid"], "US EPA, eGRID2023; licence: public domain"),
        (&["--zone", "us-east-1"], "US-VA of egrid"),
        (&["--zone", "SE-SE3"], "SE of static"),
        (&["--zone", "eu-central-1"], "PUE that aws published for eu-central-1: 1.35 (2024)"),
    ] {
        let shown = home.does(&[&["intensity"], arguments].concat());
        assert_eq!(shown.code(), 0, "{}", shown.stderr);
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains(expected), "{text}");
    }
    assert!(!home.path("cache").exists());
}

#[test]
fn none_is_1_and_could_not_is_2() {
    let home = Home::new();
    for (arguments, code, expected) in [
        (&["--zone", "GB", "--provider", "gb", "--offline"][..], 1, ""),
        (&["--zone", "Germny"], 2, "did you mean Germany (DE)"),
        (&[], 2, "hint: --zone DE"),
        (&["--zone", "DE", "--signal", "marginal"], 2, "add watttime"),
        (&["--zone", "DE", "--signal", "moer"], 2, "unknown signal"),
        (&["--zone", "DE", "--provider", "gb"], 2, "Great Britain only"),
        (&["--zone", "DE", "--from", "noon"], 2, "is not a valid time"),
    ] {
        let shown = home.does(&[&["intensity"], arguments].concat());
        assert_eq!(shown.code(), code, "{arguments:?}: {}", shown.stderr);
        assert!(shown.stderr.contains(expected), "{}", shown.stderr);
    }
}

#[test]
fn a_users_marginal_file_is_shown_as_what_it_is() {
    let home = Home::new();
    let file = home.work("m.csv");
    fs::write(&file, "# signal: marginal_direct\nzone,start,end,g_per_kwh\nDE,,,900\n").unwrap();
    let mut command = home.carbon_ops(&["intensity", "--zone", "DE", "--signal", "marginal"]);
    let shown = done(command.env("CARBON_OPS_CARBON_INTENSITY_FILE", &file));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("never for an inventory figure"), "{text}{}", shown.stderr);
    let mut command = home.carbon_ops(&["intensity", "--zone", "DE"]);
    let average = done(command.env("CARBON_OPS_CARBON_INTENSITY_FILE", &file));
    let text = String::from_utf8(average.stdout).unwrap();
    assert!(text.contains("DE of static") && !text.contains("900"), "{text}");
    assert!(text.contains("version 2024: ") && text.contains(" g/kWh (95 %)"), "{text}");
}

#[test]
fn a_misspelt_setting_of_providers_is_refused() {
    let home = Home::new();
    let folder = home.path("config/carbon-ops");
    fs::create_dir_all(&folder).unwrap();
    for text in ["[providers]\nttl = 3\n", "[providers]\norder = ['mars']\n"] {
        fs::write(folder.join("config.toml"), text).unwrap();
        let shown = home.does(&["intensity", "--zone", "DE"]);
        assert_eq!(shown.code(), 2, "{text}: {}", shown.stderr);
    }
}
