//! The demonstration of aliasing, as a user runs it.

use std::fs;

use serde_json::Value;

use crate::home::Home;

fn figures(home: &Home, arguments: &[&str]) -> Value {
    let run = home.does(&[&["demo", "aliasing", "--json"], arguments].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr);
    serde_json::from_slice(&run.stdout).unwrap()
}

/// The shape is a promise: a member that is lost or renamed raises `schema_version`.
#[test]
fn the_figures_have_the_shape_of_version_1() {
    let report = figures(&Home::new(), &["--watts", "390", "--range", "65.5kJ"]);
    let keys =
        |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(report["schema_version"], 1);
    assert_eq!(keys(&report), "cases domains kind schema_version simulated why_simulated");
    let case = &report["cases"][0];
    assert_eq!(keys(case), "duration_s meters truth");
    assert_eq!(keys(&case["truth"]), "curve energy_uj highest_w range_uj register wraps");
    assert_eq!(
        keys(&case["meters"][0]),
        "error_pct highest_w interval_s intervals intervals_wrong name total_uj wraps_missed wraps_seen"
    );
    let names: Vec<_> = case["meters"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names, ["carbon_ops", "reset_to_zero", "drop_negative", "add_one_range"]);
    assert_eq!(
        (&case["truth"]["energy_uj"], &case["truth"]["wraps"]),
        (&234_000_000_000u64.into(), &3.into())
    );
    let ours = case["meters"][0]["total_uj"].as_u64().unwrap();
    assert!(ours.abs_diff(234_000_000_000) <= 32, "{ours}: two ticks of 15.3 µJ");
}

#[test]
fn both_registers_are_shown_without_being_asked() {
    let home = Home::new();
    let report = figures(&home, &[]);
    let ranges: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|c| &c["truth"]["range_uj"]).collect();
    assert_eq!(ranges, [65_532_610_987u64, 4_294_967_295]);
    let run = home.does(&["demo", "aliasing"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.starts_with("simulated: ") && text.contains("carbon-ops, every 100ms"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn the_picture_is_a_whole_svg() {
    let home = Home::new();
    let file = home.work("a.svg");
    let run = home.does(&["demo", "aliasing", "--svg", "a.svg"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let text = fs::read_to_string(file).unwrap();
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    for words in ["power in W", "time in s", "missing energy in kJ", "carbon-ops, every 100ms"] {
        assert!(text.contains(words), "{words}");
    }
    assert!(text.len() < 200_000, "{}", text.len());
}

#[test]
fn wrong_input_is_refused_with_code_2_and_a_reason() {
    let home = Home::new();
    for (arguments, reason) in [
        (&["--watts", "lots"][..], "no power in W"),
        (&["--watts", "sine:10:20:5s"], "falls below nothing"),
        (&["--range", "12 miles"], "no unit of energy"),
        (&["--range", "5"], "shorter than 1 J"),
        (&["--scrape", "15"], "no duration"),
        (&["--poll", "0s"], "longer than nothing"),
        (&["--poll", "20s"], "the scraper is the slow one"),
        (&["--duration", "5s"], "at least two scrapes"),
        (&["--duration", "1000h"], "poll less often"),
        (&["--live", "--watts", "5"], "cannot be used with"),
        (&["--svg", "nowhere/a.svg"], "cannot write the picture"),
    ] {
        let run = home.does(&[&["demo", "aliasing"], arguments].concat());
        assert_eq!(run.code(), 2, "{arguments:?}: {}", run.text());
        assert!(run.stderr.contains(reason), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn live_without_counters_is_simulated_and_says_why() {
    let home = Home::new();
    let report = figures(&home, &["--live", "--powercap-root", "nowhere"]);
    assert_eq!(report["simulated"], true);
    assert!(report["why_simulated"].as_str().unwrap().contains("nowhere"));
}

/// A second of real time on a counter of plain files.
#[test]
fn live_counters_are_read() {
    let home = Home::new();
    let zone = home.work("powercap/intel-rapl:0");
    fs::create_dir_all(&zone).unwrap();
    for (file, text) in
        [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "61035")]
    {
        fs::write(zone.join(file), text).unwrap();
    }
    let times = ["--duration", "600ms", "--scrape", "200ms", "--poll", "50ms"];
    let report = figures(&home, &[&["--live", "--powercap-root", "powercap"][..], &times].concat());
    assert_eq!((&report["simulated"], &report["domains"][0]), (&false.into(), &"package-0".into()));
    let meters = &report["cases"][0]["meters"];
    assert!(meters[0]["intervals"].as_u64().unwrap() >= 3, "{report:#}");
    assert_eq!((&meters[0]["total_uj"], &report["cases"][0]["truth"]), (&0.into(), &Value::Null));
}
