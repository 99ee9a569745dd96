//! `estimate` from outside: options, streams, ledgers, and the same numbers again.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::home::{Done, Home, done};

fn one(home: &Home, arguments: &[&str]) -> Value {
    let done = home.does(&[&["estimate", "--json"], arguments].concat());
    assert_eq!(done.code(), 0, "{}", done.text());
    serde_json::from_slice(&done.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Feeds a stream to `estimate ARGUMENTS`.
fn stream(home: &Home, arguments: &[&str], input: &str) -> Done {
    fs::write(home.work("input"), input).unwrap();
    let mut command = home.carbon_ops(&[&["estimate"], arguments].concat());
    command.stdin(Stdio::from(fs::File::open(home.work("input")).unwrap()));
    done(&mut command)
}

fn rows(done: &Done) -> Vec<Value> {
    let text = String::from_utf8(done.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const DAY: [&str; 4] = ["--from", "2026-03-01", "--to", "2026-03-02"];

/// OWID 2024: 344.14 g/kWh for Germany; 1.2 · 1.1 · 344.14 = 454.2648. Its cv two years later is 0.364, that of the
/// factors of all countries 0.15: u² = (1 + 0.364²)(1 + 0.15²) − 1, and the ends
/// are those of a lognormal: exp(∓1.959964·s − s²/2) with s² = ln(1 + u²) (Python: statistics, math).
#[test]
fn a_span_from_options_has_the_numbers_of_its_formula() {
    let home = Home::new();
    let arguments = ["--energy", "1.2kWh", "--zone", "DE", "--pue", "1.1"];
    let record = one(&home, &[&arguments[..], &DAY].concat());
    assert!((number(&record["grams"]) - 454.264_8).abs() < 1e-6, "{record:#}");
    assert!((number(&record["uncertainty_pct"]) - 39.746_340_7).abs() < 1e-6);
    assert!((number(&record["meta"]["ci_lower_g"]) - 199.280_516).abs() < 1e-5, "{record:#}");
    assert!((number(&record["meta"]["ci_upper_g"]) - 894.238_450).abs() < 1e-5, "{record:#}");
    assert_eq!(record["schema_version"], 2);
    assert_eq!(record["region"], "DE");
    assert_eq!(record["grid"]["slots"]["count"], 1);
    assert_eq!(record["start_ts"], "2026-03-01T00:00:00.000000Z");
    let scopes = record["scopes"].as_array().unwrap();
    assert_eq!((scopes[0]["scope"].clone(), scopes[1]["category"].clone()), (2.into(), 3.into()));
}

#[test]
fn every_input_may_be_a_distribution() {
    let home = Home::new();
    let record = one(
        &home,
        &[
            "--energy",
            "1.2kWh ± 2%",
            "--pue",
            "tn(1.2, 0.05, min=1)",
            "--intensity",
            "ln(400, 10%)",
        ],
    );
    // 1.2 · 1.20000669 · 400; cv² = 1.0004 · (1 + 0.0416657²) · 1.01 − 1 (Python).
    assert!((number(&record["grams"]) - 576.003_211).abs() < 1e-4, "{record:#}");
    assert!((number(&record["uncertainty_pct"]) - 11.025_976).abs() < 1e-5, "{record:#}");
    let names: Vec<_> =
        record["budget"].as_array().unwrap().iter().map(|share| &share["name"]).collect();
    assert_eq!(names, ["energy_error", "pue", "intensity"]);
    assert_eq!(record["type"], "carbon_estimate_without_time");
    assert!(record.get("start_ts").is_none());
}

#[test]
fn rows_records_and_ledger_say_the_same() {
    let home = Home::new();
    let input = "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":0.5,\
                 \"zone\":\"DE\",\"id\":\"a\"}\n\n\
                 {\"start\":\"2026-03-01T01:00:00+01:00\",\"end\":\"2026-03-01T01:30:00Z\",\
                 \"energy_wh\":700,\"zone\":\"FR\",\"pue\":1.1,\"labels\":{\"team\":\"x\"},\"host\":\"h1\"}\n\
                 {\"start\":\"2026-03-01T01:00:00Z\",\"end\":\"2026-03-01T02:00:00.5Z\",\
                 \"energy\":\"ln(1, 3%)kWh\",\"zone\":\"FR\"}\n";
    let compact = stream(&home, &[], input);
    assert_eq!(compact.code(), 0, "{}", compact.text());
    assert!(compact.stdout.split(|byte| *byte == b'\n').all(|row| row.len() <= 800));
    let full = stream(&home, &["--records"], input);
    let (compact, full) = (rows(&compact), rows(&full));
    assert_eq!((compact.len(), full.len()), (3, 3));
    for (row, record) in compact.iter().zip(&full) {
        for member in [
            "grams",
            "energy_kwh",
            "uncertainty_pct",
            "coverage_pct",
            "region",
            "id",
            "pue_used",
            "quality_flag",
            "host_id",
            "scopes",
            "signal",
            "source",
        ] {
            assert_eq!(row.get(member), record.get(member), "{member}: {row}");
        }
        for member in ["ci_lower_g", "ci_upper_g"] {
            assert_eq!(row[member], record["meta"][member], "{member}: {row}");
        }
    }
    assert_eq!(compact[1]["start_ts"], "2026-03-01T00:00:00Z");
    assert_eq!(compact[2]["end_ts"], "2026-03-01T02:00:00.500000Z");
    assert_eq!(full[1]["labels"]["team"], "x");
    assert_eq!(full[1]["host_id"], "h1");
    assert!(full[0].get("host_id").is_none() && full[0]["labels"] == serde_json::json!({}));

    // And so do sums of them.
    let mut sums = Vec::new();
    for (name, options) in [("rows", &[][..]), ("records", &["--records"])] {
        fs::write(home.work(name), stream(&home, options, input).stdout).unwrap();
        for by in ["region", "host", "day", "source", "scope", "label:team"] {
            let done = home.does(&["aggregate", name, "--by", by, "--csv"]);
            assert_eq!(done.code(), 0, "{}", done.text());
            sums.push(done.text());
        }
    }
    let (of_rows, of_records) = sums.split_at(6);
    for (rows, records) in of_rows.iter().zip(of_records) {
        for (row, record) in rows.split([',', '\n']).zip(records.split([',', '\n'])) {
            match (row.parse::<f64>(), record.parse::<f64>()) {
                (Ok(row), Ok(record)) => assert!((row - record).abs() <= 1e-8 * record, "{rows}"),
                _ => assert_eq!(row, record),
            }
        }
    }

    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    let done = stream(&home, &["--ledger", "ledger"], input);
    assert_eq!(done.code(), 0, "{}", done.text());
    let verified = home.does(&["ledger", "verify", "ledger", "--recompute"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    assert!(verified.text().contains("3 records"), "{}", verified.text());
    let again = home.does(&["estimate", "--recompute", "ledger:2"]);
    assert_eq!(again.code(), 0, "{}", again.text());
    assert!(again.text().contains("OK"), "{}", again.text());
    assert_eq!(home.does(&["estimate", "--recompute", "ledger:9"]).code(), 2);
}

#[test]
fn full_records_are_canonical_and_check() {
    let home = Home::new();
    let input = "start,end,energy_kwh,zone,pue,id,label.team\n\
                 2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,0.5,DE,1.2,a,x\n\
                 2026-03-01T01:00:00Z,2026-03-01T02:00:00Z,1e-7,world,,b,\n\
                 2026-03-01T01:00:00Z,2026-03-01T02:00:00Z,0,NP,,\"c\"\"\u{1f331}\",\n";
    let done = stream(&home, &["--records"], input);
    assert_eq!(done.code(), 0, "{}", done.text());
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        // An independent writer of RFC 8785.
        let canonical = serde_json_canonicalizer::to_string(&value).unwrap();
        assert_eq!(line, canonical);
        fs::write(home.work("record.json"), format!("{value:#}")).unwrap();
        let again = home.does(&["estimate", "--recompute", "record.json", "--json"]);
        assert_eq!(again.code(), 0, "{}", again.text());
        let report: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(report["same"], true);
    }
}

#[test]
fn a_number_that_was_changed_is_found_by_recomputing() {
    let home = Home::new();
    let arguments = ["--energy", "1.2kWh", "--zone", "DE"];
    let mut record = one(&home, &[&arguments[..], &DAY].concat());
    record["meta"]["ci_upper_g"] = (number(&record["meta"]["ci_upper_g"]) * 1.000_001).into();
    fs::write(home.work("record.json"), record.to_string()).unwrap();
    let done = home.does(&["estimate", "--recompute", "record.json"]);
    assert_eq!(done.code(), 1, "{}", done.text());
    assert!(done.text().contains("DIFFERENT"), "{}", done.text());
}

#[test]
fn a_bad_line_is_named_and_stops_or_is_skipped() {
    let home = Home::new();
    let good =
        "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1}";
    for (bad, expected) in [
        ("{\"start\"", "it ends in the midst of an object"),
        ("[1]", "not a span"),
        (
            "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":-1}",
            "not a valid energy",
        ),
        ("{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\"}", "no energy"),
        (
            "{\"start\":\"2026-03-01T02:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1}",
            "empty",
        ),
        (
            "{\"start\":\"yesterday\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1}",
            "not a valid time",
        ),
        (
            "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1,\"zoen\":\"DE\"}",
            "zoen",
        ),
        (
            "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1,\"zone\":\"Germny\"}",
            "Germany (DE)",
        ),
        (
            "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1,\"pue\":0.5}",
            "PUE",
        ),
    ] {
        let input = format!("{good}\n{bad}\n{good}\n");
        let done = stream(&home, &["--zone", "DE"], &input);
        assert_eq!(done.code(), 2, "{bad}");
        assert!(
            done.stderr.contains("line 2") && done.stderr.contains(expected),
            "{}",
            done.stderr
        );
        assert_eq!(rows(&done).len(), 1, "{bad}");
        let done = stream(&home, &["--zone", "DE", "--on-error", "skip"], &input);
        assert_eq!(done.code(), 1, "{bad}");
        assert!(done.stderr.contains("line 2") && done.stderr.contains("1 bad"), "{}", done.stderr);
        assert_eq!(rows(&done).len(), 2, "{bad}");
    }
}

#[test]
fn a_column_that_is_not_known_is_refused() {
    let home = Home::new();
    let done = stream(&home, &[], "start,end,kwh\n");
    assert_eq!(done.code(), 2);
    assert!(done.stderr.contains("\"kwh\""), "{}", done.stderr);
}

/// The energy of a series is priced when it was used; here the intensity is one, and the sum counts.
#[test]
fn a_series_fills_its_span() {
    let home = Home::new();
    let line = |series: &str| {
        format!(
            "{{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T02:00:00Z\",\"zone\":\"DE\",\
             \"series\":{series}}}\n"
        )
    };
    let whole = "[{\"end\":\"2026-03-01T01:00:00Z\",\"kwh\":0.25},{\"end\":\"2026-03-01T02:00:00Z\",\"kwh\":1}]";
    let done = stream(&home, &["--records"], &line(whole));
    assert_eq!(done.code(), 0, "{}", done.text());
    let record = &rows(&done)[0];
    assert_eq!(record["energy_kwh"], 1.25);
    assert_eq!(record["load"]["count"], 2);
    fs::write(home.work("record.json"), record.to_string()).unwrap();
    assert_eq!(home.does(&["estimate", "--recompute", "record.json"]).code(), 0);
    let short = "[{\"end\":\"2026-03-01T01:00:00Z\",\"kwh\":0.25}]";
    let done = stream(&home, &[], &line(short));
    assert_eq!(done.code(), 2);
    assert!(done.stderr.contains("another end"), "{}", done.stderr);
}

#[test]
fn settings_of_the_predecessor_have_their_effect() {
    let home = Home::new();
    let text =
        "interpolation:\n  bucket_minutes: 360\n  missing_policy: drop\nregion:\n  default: FR\n";
    fs::write(home.work("c.yml"), text).unwrap();
    let arguments = ["--config", "c.yml", "estimate", "--energy", "1kWh", "--buckets"];
    let done = home.does(&[&arguments[..], &DAY].concat());
    assert_eq!(done.code(), 0, "{}", done.text());
    // Four buckets of six hours below their heading.
    assert_eq!(done.text().matches("250 Wh").count(), 4, "{}", done.text());
    let record = home.does(
        &[&["--config", "c.yml", "estimate", "--energy", "1kWh", "--json"][..], &DAY].concat(),
    );
    let record: Value = serde_json::from_slice(&record.stdout).unwrap();
    assert_eq!(
        (&record["region"], &record["grid"]["missing_policy"]),
        (&"FR".into(), &"drop".into())
    );
}

#[test]
fn monte_carlo_is_the_same_with_the_same_seed() {
    let home = Home::new();
    let arguments = [
        "--energy",
        "ln(1, 2%)kWh",
        "--zone",
        "DE",
        "--method",
        "monte_carlo",
        "--trials",
        "20000",
        "--seed",
        "7",
    ];
    let [first, mut second] = [(); 2].map(|()| one(&home, &[&arguments[..], &DAY].concat()));
    assert_ne!(first["record_id"], second["record_id"], "each is a record of its own");
    second["record_id"] = first["record_id"].clone();
    assert_eq!(first, second);
    assert_eq!(first["meta"]["method"], "monte_carlo");
    assert_eq!(first["meta"]["monte_carlo"]["seed"], "7");
    assert_eq!(first["meta"]["monte_carlo"]["trials"], 20000);
    fs::write(home.work("record.json"), first.to_string()).unwrap();
    assert_eq!(home.does(&["estimate", "--recompute", "record.json"]).code(), 0);
    let closed = one(&home, &[&["--energy", "ln(1, 2%)kWh", "--zone", "DE"][..], &DAY].concat());
    for end in ["ci_lower_g", "ci_upper_g"] {
        let (sampled, closed) = (number(&first["meta"][end]), number(&closed["meta"][end]));
        assert!((sampled / closed - 1.0).abs() < 0.03, "{end}: {sampled} {closed}");
    }
    assert_eq!(home.does(&["estimate", "--energy", "1kWh", "--seed", "7"]).code(), 2);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let home = Home::new();
    let line =
        "{\"start\":\"2026-03-01T00:00:00Z\",\"end\":\"2026-03-01T01:00:00Z\",\"energy_kwh\":1}\n";
    let mut file = fs::File::create(home.work("input")).unwrap();
    for _ in 0..20_000 {
        file.write_all(line.as_bytes()).unwrap();
    }
    let mut command =
        home.bash("\"$CARBON_OPS\" estimate < input | head -n 1; exit ${PIPESTATUS[0]}");
    let done = done(&mut command);
    assert_eq!(done.code(), 0, "{}", done.stderr);
}

/// Two days, two teams, one grid: each sum has the uncertainty of that grid, and so has the whole.
#[test]
fn sums_keep_shared_errors_shared() {
    let home = Home::new();
    let input = "start,end,energy_kwh,zone,pue,label.team\n\
                 2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,1,DE,1,a\n\
                 2026-03-01T05:00:00Z,2026-03-01T06:00:00Z,2,DE,1,b\n\
                 2026-03-02T00:00:00Z,2026-03-02T01:00:00Z,3,DE,1,a\n";
    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    assert_eq!(stream(&home, &["--ledger", "ledger"], input).code(), 0);
    let sums = |by: &str| -> Value {
        let done = home.does(&["aggregate", "ledger", "--by", by, "--json"]);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let by_day = sums("day");
    assert_eq!(by_day["ledgers_verified"], 1);
    let near = |value: &Value, expected: f64| {
        assert!((number(value) / expected - 1.0).abs() < 1e-6, "{value} is not {expected}");
    };
    // OWID 2024: 344.14 g/kWh, all of whose errors the spans share.
    near(&by_day["groups"]["2026-03-01"]["total_grams"], 3.0 * 344.14);
    near(&by_day["groups"]["2026-03-02"]["total_grams"], 3.0 * 344.14);
    near(&by_day["all"]["total_grams"], 6.0 * 344.14);
    near(&by_day["all"]["relative_uncertainty_pct"], 39.746_340_7);
    let by_team = sums("label:team");
    near(&by_team["groups"]["a"]["total_energy_kwh"], 4.0);
    near(&by_team["groups"]["b"]["relative_uncertainty_pct"], 39.746_340_7);
    let csv = home.does(&["aggregate", "ledger", "--by", "region", "--csv"]).text();
    assert!(csv.starts_with("region,") && csv.lines().count() == 2, "{csv}");
    let table = home.does(&["aggregate", "ledger"]).text();
    assert!(table.contains("1 ledger verified"), "{table}");

    // A ledger that is not valid is not summed up.
    let file = home.work("ledger/ledger.ndjson");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"energy_kwh\":2,", "\"energy_kwh\":1,")).unwrap();
    let done = home.does(&["aggregate", "ledger"]);
    assert_eq!(done.code(), 2);
    assert!(done.stderr.contains("not valid"), "{}", done.stderr);
}

/// A day in quarter hours, whose errors are not random: 10 % of a stated intensity stay 10 % (by chance they
/// would become 10/√96 = 1.02 %), and so do 2 % of a meter: √(1.01 · 1.0004 − 1) = 10.2 % (Python). Two meters
/// of 2 % are √½ · 2 % together: √(1.01 · 1.0002 − 1) = 10.1 %, but for products of errors.
#[test]
fn what_is_stated_for_many_spans_is_off_by_the_same_in_all() {
    let home = Home::new();
    let total = |hosts: [&str; 2], energy: &str| {
        let line = |n: usize| {
            let (from, to) = (n * 15, n * 15 + 15);
            let time =
                |minute: usize| format!("2026-03-01T{:02}:{:02}:00Z", minute / 60, minute % 60);
            let end = if to == 1440 { "2026-03-02T00:00:00Z".to_owned() } else { time(to) };
            let (start, host) = (time(from), hosts.get(n % 2).unwrap());
            format!(r#"{{"start":"{start}","end":"{end}","energy":"{energy}","host":"{host}"}}"#)
        };
        let input: Vec<_> = (0..96).map(line).collect();
        let arguments = ["--records", "--intensity", "ln(400, 10%)", "--pue", "1.2"];
        let records = stream(&home, &arguments, &input.join("\n"));
        assert_eq!(records.code(), 0, "{}", records.text());
        fs::write(home.work("records"), &records.stdout).unwrap();
        let file = home.work("records");
        let done = home.does(&["aggregate", "--json", file.to_str().unwrap()]);
        assert_eq!(done.code(), 0, "{}", done.text());
        let total: Value = serde_json::from_slice(&done.stdout).unwrap();
        number(&total["all"]["relative_uncertainty_pct"])
    };
    assert!((total(["a", "a"], "1kWh") - 10.0).abs() < 1e-6);
    assert!((total(["a", "a"], "1kWh ± 2%") - 10.200).abs() < 0.01);
    assert!((total(["a", "b"], "1kWh ± 2%") - 10.101).abs() < 0.01);
}

/// A span that begins in a gap is priced from slots that its record has: the record checks itself.
#[test]
fn a_span_that_begins_in_a_gap_keeps_its_own_rules() {
    let home = Home::new();
    let file = home.work("grid.csv");
    let text = "# signal: average_lifecycle\n# accounting: consumption\n# source: a test\n\
        zone,start,end,g_per_kwh\nDE,2026-03-01T00:00Z,2026-03-01T01:00Z,100\n\
        DE,2026-03-01T02:00Z,2026-03-01T03:00Z,400\n";
    fs::write(&file, text).unwrap();
    for missing in ["step", "interpolate", "drop"] {
        let mut command =
            home.carbon_ops(&["estimate", "--json", "--provider", "file", "--zone", "DE"]);
        command.args(["--energy", "1.5kWh", "--pue", "1.2", "--missing", missing]);
        command.args(["--from", "2026-03-01T01:30Z", "--to", "2026-03-01T03:00Z"]);
        let done = done(command.env("CARBON_OPS_CARBON_INTENSITY_FILE", &file));
        assert_eq!(done.code(), 0, "{missing}: {}", done.text());
        let record: Value = serde_json::from_slice(&done.stdout).unwrap();
        // 1.2 · 1.5 kWh · 400 g/kWh.
        assert!((number(&record["grams"]) - 720.0).abs() < 1e-9, "{record:#}");
        assert!((number(&record["coverage_pct"]) - 66.666_666_7).abs() < 1e-6);
    }
}

/// Each of these was priced or refused without a word of use; the words are those of the remedy.
#[test]
fn what_cannot_be_meant_is_refused_with_the_reason() {
    let home = Home::new();
    for (energy, intensity, word) in [
        ("-1kWh", "400 ± 10%", "below 0"),
        ("1,2kWh", "400 ± 10%", "decimal point is a dot"),
        ("u(2, 1)kWh", "400 ± 10%", "upper end not above"),
        ("normal(1kWh, 2%)", "400 ± 10%", "tn, ln"),
        ("n(0, 1)kWh", "400 ± 10%", "mean above 0"),
        ("1kWh", "0 ± 10", "mean above 0"),
        ("1kWh", "400", "hint: say how well"),
        ("1e300kWh", "1e300 ± 10%", "too large"),
    ] {
        let done =
            home.does(&["estimate", "--energy", energy, "--pue", "1.2", "--intensity", intensity]);
        assert_eq!(done.code(), 2, "{energy}: {}", done.stderr);
        assert!(done.stderr.contains(word), "{energy}: {}", done.stderr);
    }
    let stated = ["--pue", "n(1.2, 0.3)", "--intensity", "n(100, 100)", "--energy", "1kWh"];
    let notes = one(&home, &stated)["notes"].to_string();
    assert!(notes.contains("negative_possible") && notes.contains("pue_below_one"), "{notes}");
}

#[test]
fn a_stream_may_begin_with_a_mark_and_is_no_list() {
    let home = Home::new();
    let line = r#"{"start":"2026-03-01T00:00Z","end":"2026-03-01T01:00Z","energy_kwh":1}"#;
    let marked = stream(&home, &["--zone", "DE"], &format!("\u{feff}{line}\n"));
    assert_eq!(marked.code(), 0, "{}", marked.text());
    let positions = r#"["2026-03-01T00:00Z","2026-03-01T01:00Z",null,1]"#;
    for list in [format!("[{line}]"), positions.to_owned()] {
        let done = stream(&home, &["--zone", "DE"], &list);
        assert_eq!(done.code(), 2, "{}", done.stderr);
        assert!(done.stderr.contains("JSON object on each line"), "{}", done.stderr);
    }
}

#[test]
fn a_record_that_stands_out_is_found() {
    let home = Home::new();
    let mut input = b"start,end,energy_kwh,zone,pue\n".to_vec();
    for (hour, kwh) in [1.0, 1.1, 0.9, 1.0, 1.05, 1.0, 9.0].iter().enumerate() {
        let next = hour + 1;
        writeln!(input, "2026-03-01T0{hour}:00:00Z,2026-03-01T0{next}:00:00Z,{kwh},DE,1").unwrap();
    }
    let done = stream(&home, &["--records"], &String::from_utf8(input).unwrap());
    fs::write(home.work("records.ndjson"), &done.stdout).unwrap();
    for more in [&[][..], &["--robust"], &["--of", "energy"]] {
        let done = home.does(&[&["anomaly", "records.ndjson", "--json"], more].concat());
        assert_eq!(done.code(), 1, "{}", done.text());
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let found = report["anomalies"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{report:#}");
        assert_eq!(found[0]["start_ts"], "2026-03-01T06:00:00.000000Z");
        assert_eq!(report["judged"], 2);
    }
    let done = home.does(&["anomaly", "records.ndjson", "--of", "intensity"]);
    assert_eq!(done.code(), 0, "{}", done.text());
    // Seven records, and a window of seven: nothing is judged, which is not the same as nothing found.
    let done = home.does(&["anomaly", "records.ndjson", "--window", "7"]);
    assert_eq!(done.code(), 0, "{}", done.text());
    let told = "too few records: 7 records; each is judged by the 7 before it, so 8 are needed";
    assert!(done.text().contains(told), "{}", done.text());
}

#[test]
fn a_negative_mass_has_no_label_and_is_told_so_in_our_words() {
    let home = Home::new();
    for (figure, told) in [
        ("-3", "--grams: -3 g is not a mass of emissions"),
        ("-3g ± 1g", "--grams: -3 g with an interval from"),
        ("-3g", "-3 is below 0, and this quantity is not"),
    ] {
        let done = home.does(&["label", "--grams", figure]);
        assert_eq!(done.code(), 2, "{figure}");
        let hinted = done.stderr.contains(told) && done.stderr.contains("\nhint: ");
        assert!(hinted, "{figure}: {}", done.stderr);
    }
}

/// ISO/IEC 21031's example: 1000 kg over 4 years are 28.5388 g an hour. 1 kWh · 1 · 400 g/kWh besides, for 10
/// requests: 42.85388 g each. θ = 28.5388 / 428.5388 = 0.0666.
#[test]
fn hardware_and_score_are_in_the_record_and_come_out_again() {
    let home = Home::new();
    let hour = ["--from", "2026-03-01T00:00Z", "--to", "2026-03-01T01:00Z"];
    let energy = ["--energy", "1kWh", "--pue", "1", "--intensity", "ln(400, 10%)"];
    let beyond = ["--embodied", "server", "--functional-unit", "10:request"];
    let record = one(&home, &[&energy[..], &hour, &beyond].concat());
    assert!((number(&record["embodied"]["grams"]) - 28.5388).abs() < 5e-5, "{record:#}");
    assert!((number(&record["sci"]["g_per_unit"]) - 42.85388).abs() < 1e-5, "{record:#}");
    let figures: Vec<_> =
        record["scopes"].as_array().unwrap().iter().map(|tag| tag["figure"].clone()).collect();
    assert!(figures.contains(&"embodied".into()), "{figures:?}");
    fs::write(home.work("record.json"), record.to_string()).unwrap();
    let path = home.work("record.json");
    let again = home.does(&["estimate", "--recompute", path.to_str().unwrap()]);
    assert!(again.text().contains("hardware, score"), "{}", again.stderr);
    let label = home.does(&["label", "--json", path.to_str().unwrap()]);
    let label: Value = serde_json::from_slice(&label.stdout).unwrap();
    assert_eq!(label["carbon_label"]["rating"], "C");
    // 428.5388 g at 244.2 g/km.
    let km = number(&label["carbon_label"]["equivalents"]["equivalent_km_driven"]);
    assert!((km - 1.7549).abs() < 1e-3, "{label:#}");
    let shown = home.does(&[&["estimate"], &energy[..], &hour, &beyond].concat());
    assert!(shown.text().contains("C-P[operational-dominated]"), "{}", shown.text());
    for bad in [&["--embodied", "gpu_a100"][..], &["--embodied", "server", "--share", "2"]] {
        let refused = home.does(&[&["estimate"], &energy[..], &hour, bad].concat());
        assert!(refused.code() == 2 && refused.stderr.contains("hint:"), "{}", refused.stderr);
    }
    let open = home.does(&[&["estimate"], &energy[..], &["--embodied", "server"]].concat());
    assert!(open.code() == 2 && open.stderr.contains("by time"), "{}", open.stderr);
}

/// 50 W for a day are 1.2 kWh, by the option, in JSON and in CSV; a day is its midnight in UTC everywhere.
#[test]
fn power_over_a_time_is_an_energy() {
    let home = Home::new();
    let grams = |record: &Value| number(&record["grams"]);
    let energy = one(&home, &[&["--energy", "1.2kWh", "--zone", "DE"][..], &DAY].concat());
    let power = one(&home, &[&["--power", "0.05kW", "--zone", "DE"][..], &DAY].concat());
    assert_eq!(grams(&power).to_bits(), grams(&energy).to_bits());
    let (from, to) = ("2026-03-01", "2026-03-02");
    for (name, text) in [
        ("p.ndjson", format!(r#"{{"start":"{from}","end":"{to}","power_w":50,"zone":"DE"}}"#)),
        ("p.csv", format!("start,end,power_w,zone\n{from},{to},50,DE\n")),
    ] {
        fs::write(home.work(name), text).unwrap();
        let mut command = home.carbon_ops(&["estimate", "--records"]);
        let file = fs::File::open(home.work(name)).unwrap();
        let done = done(command.stdin(file));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let record: Value = serde_json::from_str(&done.text()).unwrap();
        assert_eq!(grams(&record).to_bits(), grams(&energy).to_bits(), "{name}");
    }
    for wrong in
        [&["--power", "50"][..], &["--power", "-5W"], &["--power", "5W", "--energy", "1kWh"]]
    {
        assert_eq!(home.does(&[&["estimate"], wrong, &DAY].concat()).code(), 2, "{wrong:?}");
    }
    assert_eq!(home.does(&["estimate", "--power", "50W", "--intensity", "400"]).code(), 2);
}

/// The rules: a line of a stream is told by its own number, however it ends; what spreadsheets add is understood; a
/// stream without spans is not a success; what is priced already is named as such.
#[test]
fn streams_as_people_have_them_are_read_and_told_by_line() {
    let home = Home::new();
    let refused = |text: &str| {
        let done = stream(&home, &[], text);
        assert_eq!(done.code(), 2, "{text:?}");
        done.stderr
    };
    for (text, message) in [
        (
            "start,end,energy_kwh\r\n2026-03-01,2026-03-02,1\r\n2026-03-01,2026-03-02,-1\r\n",
            "line 3: -1 kWh",
        ),
        (
            "start,end,energy_kwh\n2026-03-01,2026-03-02,1\n\n2026-03-01,2026-03-02,-1",
            "line 4: -1 kWh",
        ),
        (
            "start,end,energy_kwh\n2026-03-01,2026-03-02,1,x\n",
            "line 2: 4 fields, and the heading has 3",
        ),
        (
            "start,end,energy_kwh\n2026-03-01,2026-03-02\n",
            "line 2: 2 fields, and the heading has 3",
        ),
        (
            "start;end;energy_kwh\n2026-03-01;2026-03-02;1\n",
            "line 1: the columns are separated by ';'",
        ),
    ] {
        let told = refused(text);
        assert!(told.contains(message), "{told}");
    }
    let text = "start,end,energy_kwh,,\r\n2026-03-01,2026-03-02,1 ± 2%,,\r\n,,,,\r\n\r\n";
    assert_eq!(rows(&stream(&home, &[], text)).len(), 1);
    for nothing in ["", "\n", "start,end,energy_kwh\n"] {
        let done = stream(&home, &[], nothing);
        assert_eq!(done.code(), 1, "{nothing:?}");
        assert!(done.stderr.contains("no spans"), "{}", done.stderr);
    }
}

/// A yearly average of 2023 says so where it prices another decade, alone, in a stream, and not beyond.
#[test]
fn an_average_of_another_time_is_said() {
    let home = Home::new();
    for (year, far) in
        [("1990", true), ("2019", true), ("2020", false), ("2026", false), ("2029", true)]
    {
        let (from, to) = (format!("{year}-03-01"), format!("{year}-03-02"));
        let span = ["--energy", "1kWh", "--zone", "DE", "--from", &from, "--to", &to];
        let text = home.does(&[&["estimate"][..], &span].concat()).text();
        assert_eq!(text.contains("the grid is the average of 2024"), far, "{text}");
        let line = format!(r#"{{"start":"{from}","end":"{to}","energy_kwh":1,"zone":"DE"}}"#);
        let near = r#"{"start":"2024-03-01","end":"2024-03-02","energy_kwh":1,"zone":"DE"}"#;
        let records = rows(&stream(&home, &["--records"], &format!("{near}\n{line}\n{near}\n")));
        let noted = |record: &Value| record["notes"].to_string().contains("another_time");
        assert_eq!(records.iter().map(noted).collect::<Vec<_>>(), [false, far, false], "{year}");
    }
}
