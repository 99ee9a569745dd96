//! `aggregate` from outside: hardware apart from operation, and intervals by trials.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::home::{Done, Home, done};

fn near(value: &Value, expected: f64, relative: f64) {
    let value = value.as_f64().unwrap();
    assert!((value / expected - 1.0).abs() < relative, "{value} is not {expected}");
}

/// Two records of an hour with a server, one without: 1 kWh of `grid` each, PUE 1.
fn records(home: &Home) {
    let spans = "start,end,energy_kwh,host\n\
                 2026-03-01T00:00Z,2026-03-01T01:00Z,1,one\n\
                 2026-03-01T01:00Z,2026-03-01T02:00Z,1,one\n";
    let bare = "start,end,energy_kwh,host\n2026-03-01T02:00Z,2026-03-01T03:00Z,1,two\n";
    let mut all = Vec::new();
    for (spans, hardware) in [(spans, &["--embodied", "server"][..]), (bare, &[])] {
        fs::write(home.work("spans.csv"), spans).unwrap();
        let common = ["estimate", "--records", "--intensity", "ln(400, 10%)", "--pue", "1"];
        let mut command = home.carbon_ops(&[&common[..], hardware].concat());
        command.stdin(Stdio::from(fs::File::open(home.work("spans.csv")).unwrap()));
        let done = done(&mut command);
        assert_eq!(done.code(), 0, "{}", done.stderr);
        all.extend_from_slice(&done.stdout);
    }
    fs::write(home.work("records.ndjson"), all).unwrap();
}

fn aggregate(home: &Home, more: &[&str]) -> Done {
    let done = home.does(&[&["aggregate", "records.ndjson"], more].concat());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    done
}

fn sums(home: &Home, more: &[&str]) -> Value {
    let done = aggregate(home, &[&["--json"], more].concat());
    serde_json::from_slice(&done.stdout).unwrap()
}

/// 400 g of operation each. A server is 1000 kg over 35,040 hours: 28.5388 g an hour (ISO/IEC 21031's example);
/// its error is one for both records, the cv of a factor of two, 0.365004. So is that of one stated intensity: 10 %.
#[test]
fn hardware_is_summed_apart_from_operation_and_both_together() {
    let home = Home::new();
    records(&home);
    let sums = sums(&home, &["--by", "host"]);
    let all = &sums["all"];
    near(&all["total_grams"], 1200.0, 1e-8);
    near(&all["relative_uncertainty_pct"], 10.0, 1e-6);
    near(&all["embodied"]["total_grams"], 2.0 * 28.538_813, 1e-7);
    near(&all["embodied"]["relative_uncertainty_pct"], 36.500_4, 1e-5);
    assert_eq!(all["embodied"]["records_with_hardware"], 2);
    assert_eq!(all["embodied"]["shared"], json!([{ "key": "embodied:server", "pct": 100.0 }]));
    near(&all["whole"]["total_grams"], 1200.0 + 57.077_626, 1e-8);
    assert_eq!(
        (&sums["method"], &all["interval_method"]),
        (&json!("lognormal_moments"), &json!("lognormal_moments"))
    );
    // Not all records have hardware, but all of host one.
    assert!(all.get("theta").is_none());
    let one = &sums["groups"]["one"];
    near(&one["theta"]["theta"], 57.077_626 / 857.077_626, 1e-6);
    assert_eq!(one["theta"]["class"], "C-P[operational-dominated]");
    let two = &sums["groups"]["two"];
    assert!(two.get("embodied").is_none() && two.get("whole").is_none(), "{two:#}");
    assert_eq!(two["interval_method"], "record");

    let text = aggregate(&home, &["--by", "host"]).text();
    for words in [
        "hardware, which is not in the figures above",
        "2 of 2",
        "0 of 1",
        "2 of 3",
        "not all records have it",
        "57.1 g",
        "3 records of files",
    ] {
        assert!(text.contains(words), "{text} lacks {words:?}");
    }
    let csv = aggregate(&home, &["--by", "host", "--csv"]).text();
    let heading: Vec<_> = csv.lines().next().unwrap().split(',').collect();
    let at = heading.iter().position(|name| *name == "embodied_total_grams").unwrap();
    let column: Vec<_> = csv.lines().skip(1).map(|line| line.split(',').nth(at).unwrap()).collect();
    assert_eq!(column, ["57.0776256", ""], "{csv}");
}

/// Three times one lognormal of 400 g with cv 0.1, and twice one of 28.5388 g with cv 0.365004: u is 120 and
/// 20.833 g.
#[test]
fn trials_are_named_with_seed_and_number_and_give_the_same_digits_again() {
    let home = Home::new();
    records(&home);
    let asked = ["--method", "monte_carlo", "--seed", "18446744073709551615", "--trials", "50000"];
    let report = sums(&home, &asked);
    let named =
        json!({ "generator": "philox4x32-10", "seed": "18446744073709551615", "trials": 50_000 });
    assert_eq!((&report["method"], &report["monte_carlo"]), (&json!("monte_carlo"), &named));
    let all = &report["all"];
    assert_eq!(
        (&all["interval_method"], &all["whole"]["interval_method"]),
        (&json!("monte_carlo"), &json!("monte_carlo"))
    );
    near(&all["relative_uncertainty_pct"], 10.0, 0.02);
    near(&all["embodied"]["relative_uncertainty_pct"], 36.500_4, 0.02);
    near(
        &all["whole"]["relative_uncertainty_pct"],
        100.0 * (120.0_f64.hypot(20.833)) / 1_257.077_626,
        0.02,
    );
    assert_eq!(sums(&home, &asked), report);
    let text = aggregate(&home, &asked).text();
    assert!(text.contains("50000 trials, seed 18446744073709551615"), "{text}");
    let seeded = sums(&home, &["--method", "monte_carlo"]);
    assert_ne!(
        seeded["monte_carlo"]["seed"],
        sums(&home, &["--method", "monte_carlo"])["monte_carlo"]["seed"]
    );

    let refused = home.does(&["aggregate", "records.ndjson", "--seed", "1"]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("hint: add --method monte_carlo"), "{}", refused.stderr);
}

/// The first of three records of 1 kWh has the second inside of it; both lie here twice.
#[test]
fn a_joule_counts_once_and_what_was_left_out_is_told() {
    let home = Home::new();
    records(&home);
    let text = fs::read_to_string(home.work("records.ndjson")).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let outer = lines[0].clone();
    for member in ["start_ts", "end_ts"] {
        lines[1][member] = outer[member].clone();
    }
    lines[1]["parent"] = outer["record_id"].clone();
    lines[1]["labels"] = json!({ "step": "inner" });
    // What lies in the span is priced by its slots.
    lines[1]["grid"] = outer["grid"].clone();
    let write = |lines: &[&Value]| {
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        fs::write(home.work("records.ndjson"), text.join("\n")).unwrap();
    };
    write(&[&lines[1], &lines[0], &lines[2], &lines[0], &lines[1]]);
    let report = sums(&home, &["--by", "label:step"]);
    let all = &report["all"];
    assert_eq!(all["count"], 2, "{report:#}");
    near(&all["total_energy_kwh"], 2.0, 1e-9);
    near(&all["total_grams"], 800.0, 1e-8);
    let left_out = json!({ "copies": { "energy_kwh": 2.0, "records": 2 },
        "nested": { "energy_kwh": 1.0, "records": 1 } });
    assert_eq!(all["left_out"], left_out);
    // By its label it has a row of its own.
    let inner = &report["groups"]["inner"];
    assert_eq!((&inner["count"], &inner["left_out"]["copies"]["records"]), (&json!(1), &json!(1)));
    let sampled = sums(&home, &["--method", "monte_carlo", "--trials", "20000", "--seed", "1"]);
    assert_eq!((&sampled["all"]["count"], &sampled["all"]["left_out"]), (&json!(2), &left_out));
    let told = aggregate(&home, &["--by", "label:step"]).text();
    for words in [
        "2 records (2.00 kWh) left out: copies of records",
        "1 record (1.00 kWh) left out: parts of other records",
        "the rows have 1 record more than all",
    ] {
        assert!(told.contains(words), "{told} lacks {words:?}");
    }

    let mut other = lines[0].clone();
    other["labels"] = json!({ "step": "other" });
    write(&[&lines[0], &other]);
    let refused = home.does(&["aggregate", "records.ndjson"]);
    assert_eq!(refused.code(), 2);
    let id = outer["record_id"].as_str().unwrap();
    assert!(refused.stderr.contains(&format!("record_id {id} and differ")), "{}", refused.stderr);
    let mut around = lines[0].clone();
    around["parent"] = lines[1]["record_id"].clone();
    write(&[&around, &lines[1]]);
    let refused = home.does(&["aggregate", "records.ndjson"]);
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("is a part of itself"), "{}", refused.stderr);
}

/// The rules: nothing is not a sum, what is not a record is named as what it is, and text is never a formula.
#[test]
fn what_cannot_be_added_is_told() {
    let home = Home::new();
    records(&home);
    for (name, text, code, message) in [
        ("empty.ndjson", "", 1, ""),
        (
            "row.ndjson",
            r#"{"ci_lower_g":1,"ci_upper_g":2,"grams":1.5,"start_ts":"x"}"#,
            2,
            "a row of another version",
        ),
        (
            "sample.ndjson",
            r#"{"schema_version":1,"kind":"monitor_sample"}"#,
            2,
            "not a sample: missing field",
        ),
        (
            "bare.ndjson",
            r#"{"type":"carbon_estimate_without_time","kind":"carbon_ops"}"#,
            2,
            "an estimate without a time",
        ),
    ] {
        fs::write(home.work(name), text).unwrap();
        let done = home.does(&["aggregate", name]);
        assert_eq!(done.code(), code, "{name}: {}", done.stderr);
        assert!(done.stderr.contains(message), "{}", done.stderr);
    }
    let first = fs::read_to_string(home.work("records.ndjson")).unwrap();
    let mut record: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    record["labels"] = json!({ "team": "=1+1" });
    fs::write(home.work("formula.ndjson"), format!("\u{feff}{record}\r\n\r\n")).unwrap();
    let done = home.does(&["aggregate", "formula.ndjson", "--by", "label:team", "--csv"]);
    assert!(done.text().lines().any(|line| line.starts_with("'=1+1,")), "{}", done.text());
    // Two records of one host and hour, and one of CO2 alone.
    record["record_id"] = json!("0123456789abcdef0123456789abcdef");
    let again = format!("{first}{record}\n");
    fs::write(home.work("again.ndjson"), &again).unwrap();
    let report = home.does(&["aggregate", "again.ndjson", "--json"]).text();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["all"]["overlaps"]["records"], 2, "{report:#}");
    let text = home.does(&["aggregate", "again.ndjson"]).text();
    assert!(text.contains("2 records (2.00 kWh) overlap in time"), "{text}");
    record["signal"] = json!("average_direct");
    record["gases"] = json!("co2");
    let other = record.to_string().replace("0123456789abcdef0", "1123456789abcdef0");
    record["signal"] = json!("average_lifecycle");
    record["gases"].take();
    let lines = format!("{}\n{other}\n", record.to_string().replace(r#""gases":null,"#, ""));
    fs::write(home.work("kinds.ndjson"), lines).unwrap();
    let text = home.does(&["aggregate", "kinds.ndjson"]).text();
    for part in ["average direct CO2 ", "average lifecycle CO2e ", "no sum of all"] {
        assert!(text.contains(part), "{text}");
    }
}

/// 600 Wh of the first hour are certified; 2.4 kWh have the residual mix of 500 g/kWh, by location 400 g/kWh.
#[test]
fn both_bases_of_scope_2_stand_side_by_side() {
    let home = Home::new();
    records(&home);
    let file = "# factor: direct\nkind,id,market,start,end,wh,g_per_kwh\n\
                certificate,gc,DE,2026-03-01T00:00Z,2026-03-01T01:00Z,600,0\n\
                certificate,late,DE,2026-03-01T07:00Z,2026-03-01T08:00Z,600,0\n\
                residual,,DE,,,,500\nplace,unstated,DE,,,,\n";
    fs::write(home.work("bought.csv"), file).unwrap();
    let by_host = sums(&home, &["--by", "host", "--market", "bought.csv"]);
    let all = &by_host["all"];
    near(&all["total_grams"], 1200.0, 1e-8);
    near(&all["market"]["figure"]["total_grams"], 1200.0, 1e-8);
    near(&all["market"]["matched_by_hour_pct"], 20.0, 1e-8);
    near(&all["market"]["matched_by_year_pct"], 40.0, 1e-8);
    near(&by_host["groups"]["one"]["market"]["figure"]["total_grams"], 700.0, 1e-8);
    near(&by_host["groups"]["two"]["market"]["figure"]["total_grams"], 500.0, 1e-8);
    assert_eq!(by_host["instruments"]["factor"], "direct");
    let text = aggregate(&home, &["--market", "bought.csv"]).text();
    assert!(
        text.contains("\nscope 2 by the market (direct CO2e), no part of the figures above:\n"),
        "{text}"
    );

    // A cloud's figures are of scope 3: they have none by the market, and no 0 either.
    let cloud = ["estimate", "--json", "--energy=1kWh", "--from=2026-03-01", "--to=2026-03-02"];
    let cloud = home.does(&[&cloud[..], &["--zone=DE", "--deployment=cloud"]].concat());
    fs::write(home.work("cloud.json"), cloud.text().replace('\n', " ")).unwrap();
    let text = home.does(&["aggregate", "cloud.json", "--market", "bought.csv"]).text();
    assert!(text.contains("no record of scope 2"), "{text}");
    assert!(
        text.contains("1 record of other scopes, which have no figure by the market"),
        "{text}"
    );

    fs::write(home.work("bought.csv"), file.replace("residual", "contract").replace("500", "5,6"))
        .unwrap();
    let done = home.does(&["aggregate", "records.ndjson", "--market", "bought.csv"]);
    assert_eq!(done.code(), 2);
    let expected = "carbon-ops: bought.csv: line 5: 8 fields, and the heading has 7\nhint: a first line # factor: direct";
    assert!(done.stderr.starts_with(expected), "{}", done.stderr);
    // What is not there, and a folder.
    fs::create_dir(home.work("folder")).unwrap();
    for name in ["absent.csv", "folder"] {
        let done = home.does(&["aggregate", "records.ndjson", "--market", name]);
        assert_eq!(done.code(), 2, "{}", done.stderr);
        let says = format!("carbon-ops: file of instruments {name}: ");
        assert!(done.stderr.starts_with(&says), "{}", done.stderr);
        assert!(done.stderr.contains("\nhint: --market"), "{}", done.stderr);
    }
}

/// 40 % of 1.55 kWh at 11 g/kWh, 60 % at 720: 676.42 g, in the record, in its summary, and in the sum of two records whose
/// shared errors are one.
#[test]
fn records_state_the_other_basis_themselves_and_sums_add_it() {
    let home = Home::new();
    let file = "# factor: direct\nkind,id,market,share_pct,g_per_kwh\n\
                contract,wind park,DE,40,11\nresidual,DE 2025,DE,,720 ± 10%\n";
    fs::write(home.work("bought.csv"), file).unwrap();
    let args = ["estimate", "--energy=1kWh", "--from=2026-03-01", "--to=2026-03-02", "--pue=1.55"];
    assert_eq!(home.does(&["ledger", "init", "ledger"]).code(), 0);
    let with = [&args[..], &["--zone=DE", "--market=bought.csv", "--ledger=ledger"]].concat();
    let sum = || -> Value {
        serde_json::from_str(&home.does(&["aggregate", "ledger", "--json"]).text()).unwrap()
    };
    let text = home.does(&with).text();
    assert!(text.contains("\n  market   676 gCO2e "), "{text}");
    let json = home.does(&[&with[..], &["--json"]].concat()).text();
    let record: Value = serde_json::from_str(&json).unwrap();
    near(&record["market"]["grams"], 1.55 * (0.4 * 11.0 + 0.6 * 720.0), 1e-8);
    // The residual mix is known to 10 %, and has 99 % of the grams.
    near(&record["market"]["uncertainty_pct"], 100.0 * 0.6 * 72.0 / 436.4, 1e-6);
    assert!(home.does(&["ledger", "verify", "ledger", "--recompute"]).text().contains("VALID"));
    let total = sum();
    let market = &total["all"]["market"];
    near(&market["figure"]["total_grams"], 2.0 * 676.42, 1e-8);
    near(&market["figure"]["relative_uncertainty_pct"], 100.0 * 0.6 * 72.0 / 436.4, 1e-6);
    near(&market["matched_pct"], 40.0, 1e-8);
    assert_eq!(market["counts"], json!(["direct CO2e"]));
    let text = home.does(&["aggregate", "ledger"]).text();
    assert!(text.contains("\nscope 2 by the market (direct CO2e), no part of"), "{text}");

    // One record without it, and there is no total; rows have no place for it.
    home.does(&[&args[..], &["--zone=DE", "--ledger=ledger"]].concat());
    let total = sum();
    assert_eq!(total["all"]["market"]["figure"], Value::Null);
    near(&total["all"]["market"]["unpriced_kwh"], 1.55, 1e-8);
    let rows = home.does(&["estimate", "--market=bought.csv"]);
    assert_eq!(rows.code(), 2);
    assert!(rows.stderr.contains("figures by the market"), "{}", rows.stderr);
    for (file, hint) in [("nothing.csv", "No such file"), (".", "")] {
        let done = home.does(&["run", "--market", file, "--", "true"]);
        assert!(done.code() == 125 && done.stderr.contains(hint), "{file}: {}", done.stderr);
    }
}

/// The rule: another level changes the interval and nothing else. 1.96 and 1.645 deviations of ln: 400 g known to 10 %.
#[test]
fn another_level_is_another_interval_of_the_same_figure() {
    let home = Home::new();
    records(&home);
    let [usual, wide] = [&[][..], &["--level", "99%"]].map(|more| sums(&home, more)["all"].clone());
    for member in ["total_grams", "relative_uncertainty_pct", "total_energy_kwh"] {
        assert_eq!(usual[member], wide[member], "{member}");
    }
    let ends = |of: &Value| ["ci_lower_g", "ci_upper_g"].map(|end| of[end].as_f64().unwrap());
    let ([low, high], [lower, higher]) = (ends(&usual), ends(&wide));
    assert!(lower < low && high < higher);
    assert_eq!(wide["confidence_level_pct"], 99.0);
    assert!(aggregate(&home, &["--level", "99"]).text().contains(" 99 % between "));
    let of_one = |more: &[&str]| {
        let common = ["estimate", "--energy=1kWh", "--intensity=ln(400, 10%)", "--pue=1"];
        home.does(&[&common[..], more].concat()).text()
    };
    assert!(of_one(&[]).contains("95 % between 327 gCO2e and 484 gCO2e"), "{}", of_one(&[]));
    let ninety = of_one(&["--level", "90"]);
    // 398.01 · exp(∓ 1.64485 · 0.099751).
    assert!(ninety.contains("90 % between 338 gCO2e and 469 gCO2e"), "{ninety}");
    for wrong in ["0", "100", "much", "-5"] {
        assert_eq!(
            home.does(&["aggregate", "records.ndjson", "--level", wrong]).code(),
            2,
            "{wrong}"
        );
    }
    let trials = ["aggregate", "records.ndjson", "--level=90", "--method=monte_carlo"];
    assert_eq!(home.does(&trials).code(), 2);
}

/// The numbers of runs are those of published tables: see the library.
#[test]
fn runs_that_show_a_difference_are_told() {
    let home = Home::new();
    let runs = |more: &[&str]| -> Value {
        let done = home.does(&[&["power-analysis", "--json"], more].concat());
        serde_json::from_str::<Value>(&done.text()).unwrap()["runs"].clone()
    };
    assert_eq!(runs(&["--sd=1", "--effect=0.5"]), 64);
    assert_eq!(runs(&["--sd=4%", "--effect=2%", "--known"]), 63);
    assert_eq!(runs(&["--sd=10", "--half-width=2"]), 97);
    assert_eq!(runs(&["--sd=10", "--half-width=2", "--level=99"]), 166);
    let text = home.does(&["power-analysis", "--sd=1", "--effect=0.5"]).text();
    assert!(text.starts_with("64 runs of each of two variants find a difference of 0.5"), "{text}");
    for wrong in
        [&["--sd=0", "--effect=1"][..], &["--sd=1"], &["--sd=1", "--effect=1", "--power=1"]]
    {
        assert_eq!(home.does(&[&["power-analysis"], wrong].concat()).code(), 2, "{wrong:?}");
    }
}
