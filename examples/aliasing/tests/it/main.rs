//! The demonstration of aliasing, as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in its helpers")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Exit code, output and errors of a run in a folder.
fn aliasing(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aliasing"));
    let run = command.args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

fn figures(folder: &Path, arguments: &[&str]) -> Value {
    let (code, shown, errors) = aliasing(folder, &[&["--json"], arguments].concat());
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&shown).unwrap()
}

/// The shape is a promise: a member that is lost or renamed raises `schema_version`.
#[test]
fn the_figures_have_the_shape_of_version_1() {
    let report = figures(Path::new("."), &["--watts", "390", "--range", "65.5kJ"]);
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
    let report = figures(Path::new("."), &[]);
    let ranges: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|c| &c["truth"]["range_uj"]).collect();
    assert_eq!(ranges, [65_532_610_987u64, 4_294_967_295]);
    let (_, text, _) = aliasing(Path::new("."), &[]);
    assert!(text.starts_with("simulated: ") && text.contains("carbon-ops, every 100ms"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn the_picture_is_a_whole_svg() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, errors) = aliasing(folder.path(), &["--svg", "a.svg"]);
    assert_eq!(code, Some(0), "{errors}");
    let text = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    for words in ["power in W", "time in s", "missing energy in kJ", "carbon-ops, every 100ms"] {
        assert!(text.contains(words), "{words}");
    }
    assert!(text.len() < 200_000, "{}", text.len());
}

#[test]
fn a_plain_number_of_seconds_is_a_duration() {
    let report = figures(Path::new("."), &["--duration", "120"]);
    let same = figures(Path::new("."), &["--duration", "2m"]);
    assert_eq!((&report["cases"][0]["duration_s"], &report), (&120.0.into(), &same));
}

#[test]
fn wrong_input_is_refused_with_code_2_and_a_reason() {
    for (arguments, reason) in [
        (&["--watts", "lots"][..], "no power in W"),
        (&["--watts", "sine:10:20:5s"], "falls below nothing"),
        (&["--range", "12 miles"], "no unit of energy"),
        (&["--range", "5"], "shorter than 1 J"),
        (&["--scrape", "soon"], "not a duration"),
        (&["--poll", "0s"], "longer than nothing"),
        (&["--poll", "20s"], "the scraper is the slow one"),
        (&["--duration", "5s"], "at least two scrapes"),
        (&["--duration", "1000h"], "poll less often"),
        (&["--live", "--watts", "5"], "cannot be used with"),
        (&["--svg", "nowhere/a.svg"], "cannot write the picture"),
    ] {
        let (code, shown, errors) = aliasing(Path::new("."), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {shown}");
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
}

#[test]
fn live_without_counters_is_simulated_and_says_why() {
    let report = figures(Path::new("."), &["--live", "--powercap-root", "nowhere"]);
    assert_eq!(report["simulated"], true);
    assert!(report["why_simulated"].as_str().unwrap().contains("nowhere"));
}

/// A second of real time on a counter of plain files.
#[test]
fn live_counters_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("powercap/intel-rapl:0");
    fs::create_dir_all(&zone).unwrap();
    for (file, text) in
        [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "61035")]
    {
        fs::write(zone.join(file), text).unwrap();
    }
    let times = ["--duration", "600ms", "--scrape", "200ms", "--poll", "50ms"];
    let live = ["--live", "--powercap-root", "powercap"];
    let report = figures(folder.path(), &[&live[..], &times].concat());
    assert_eq!((&report["simulated"], &report["domains"][0]), (&false.into(), &"package-0".into()));
    let meters = &report["cases"][0]["meters"];
    assert!(meters[0]["intervals"].as_u64().unwrap() >= 3, "{report:#}");
    assert_eq!((&meters[0]["total_uj"], &report["cases"][0]["truth"]), (&0.into(), &Value::Null));
}
