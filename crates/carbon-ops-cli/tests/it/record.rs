//! What a record says: that it validates, where its numbers come from, and what stays out of it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};

use crate::home::{Home, assert_near, decimal, done, double, has, recorded};

/// Members that the ledger adds to a record; the schema is that of the record alone.
const LEDGERS_OWN: [&str; 6] =
    ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"];

/// Follows `$ref` within a schema.
fn resolve<'s>(schema: &'s Value, node: &'s Value) -> &'s Value {
    match node.get("$ref").and_then(Value::as_str) {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => node,
    }
}

/// What of JSON Schema our schema uses, in a few lines: members, required ones, types, choices.
fn complaints(schema: &Value, node: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let node = resolve(schema, node);
    if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|of| node.get(*of)?.as_array()) {
        let fits = |choice: &&Value| {
            let mut inner = Vec::new();
            complaints(schema, choice, value, at, &mut inner);
            inner.is_empty()
        };
        if choices.iter().filter(fits).count() != 1 {
            found.push(format!("{at}: {value} is none of the choices"));
        }
        return;
    }
    if node.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", node["const"]));
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    let typed = match &node["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        _ => true,
    };
    if !typed {
        found.push(format!("{at}: {value} is no {}", node["type"]));
    }
    if let (Some(items), Some(item)) = (value.as_array(), node.get("items")) {
        for (index, inner) in items.iter().enumerate() {
            complaints(schema, item, inner, &format!("{at}/{index}"), found);
        }
    }
    if let Some(object) = value.as_object() {
        members(schema, node, object, at, found);
    }
}

fn members(
    schema: &Value,
    node: &Value,
    object: &Map<String, Value>,
    at: &str,
    found: &mut Vec<String>,
) {
    for required in node["required"].as_array().into_iter().flatten() {
        if !object.contains_key(required.as_str().unwrap()) {
            found.push(format!("{at}: {required} is missing"));
        }
    }
    for (name, inner) in object {
        let at = format!("{at}/{name}");
        match (node["properties"].get(name), node.get("additionalProperties")) {
            (Some(member), _) => complaints(schema, member, inner, &at, found),
            (None, Some(other)) if other.is_object() => {
                complaints(schema, other, inner, &at, found);
            }
            _ => found.push(format!("{at} is not in the schema")),
        }
    }
}

fn without_ledgers_own(record: &Value) -> Value {
    let mut record = record.clone();
    let members = record.as_object_mut().unwrap();
    for member in LEDGERS_OWN {
        assert!(members.remove(member).is_some(), "{member}");
    }
    record
}

#[test]
fn the_schema_lists_every_member_of_a_record_and_nothing_is_missing() {
    let home = Home::new();
    let schema: Value = serde_json::from_slice(&home.does(&["schema"]).stdout).unwrap();
    for arguments in [
        &["--", "true"][..],
        &["--record-args", "--label", "a=b", "--region", "eu-west-1", "--", "echo", "x"],
        &["--pue", "1.2", "--region", "DE", "--", "true"],
    ] {
        let record = without_ledgers_own(&home.record(arguments));
        let mut found = Vec::new();
        complaints(&schema, &schema, &record, "", &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
    // The check can complain.
    let mut wrong = without_ledgers_own(&home.record(&["--", "true"]));
    wrong["measurement"]["energy"]["surplus_uj"] = 1.into();
    wrong["quality_flag"] = "excellent".into();
    wrong.as_object_mut().unwrap().remove("grams");
    let mut found = Vec::new();
    complaints(&schema, &schema, &wrong, "", &mut found);
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn every_kind_of_record_verifies_and_can_be_derived_again() {
    let home = Home::new();
    for arguments in [
        &["--", "true"][..],
        &["--region", "DE", "--", "sleep", "0.1"],
        &["--region", "us-east-1", "--pue", "cloud-hyperscale", "--", "true"],
        &["--region", "NP", "--pue", "1", "--", "true"],
        &["--label", "a=ä\u{1f331}\n\"", "--record-args", "--", "echo", "ä", "\u{1}"],
    ] {
        let record = home.record(arguments);
        let (low, high) =
            (double(&record["meta"]["ci_lower_g"]), double(&record["meta"]["ci_upper_g"]));
        assert!(0.0 <= low && low < double(&record["grams"]), "{record:#}");
        assert!(double(&record["grams"]) < high, "{record:#}");
        assert!(double(&record["uncertainty_pct"]) > 1.0, "{record:#}");
        assert_eq!(record["tool"], concat!("carbon-ops ", env!("CARGO_PKG_VERSION")));
        assert!(record.get("simulated").is_none(), "{record:#}");
    }
    for arguments in [&["ledger", "verify"][..], &["ledger", "verify", "--recompute"]] {
        let verify = home.does(arguments);
        assert_eq!(verify.code(), 0, "{}", verify.text());
        assert!(verify.text().contains("VALID"), "{}", verify.text());
    }
}

#[test]
fn the_parts_of_the_product_give_the_grams() {
    let home = Home::new();
    let record = home.record(&["--region", "DE", "--pue", "1.25", "--", "true"]);
    let energy = double(&record["measurement"]["energy"]["workload_uj"]) / 3.6e12;
    let grams = energy * double(&record["pue_used"]) * double(&record["intensity_g_per_kwh"]);
    assert_near(double(&record["energy_kwh"]), energy, 1e-8, "kWh");
    assert_near(double(&record["grams"]), grams, 1e-8, "g");
    assert_near(double(&record["total_energy_with_pue_kwh"]), energy * 1.25, 1e-8, "with PUE");
}

#[test]
fn without_a_region_it_is_the_world_and_says_so() {
    let home = Home::new();
    let record = home.record(&["--", "true"]);
    assert_eq!((&record["region"], &record["quality_flag"]), (&"world".into(), &"fallback".into()));
    assert!(has(&record, "notes", "region_unset"), "{record:#}");
    let german = home.record(&["--region", "Germany", "--", "true"]);
    assert_eq!(german["region"], "DE");
    assert!(!has(&german, "notes", "region_unset"), "{german:#}");
    assert_ne!(record["intensity_g_per_kwh"], german["intensity_g_per_kwh"]);
}

#[test]
fn a_cloud_region_stands_for_its_country_and_says_so() {
    let home = Home::new();
    let record = home.record(&["--region", "eu-central-1", "--", "true"]);
    assert_eq!(record["region"], "DE");
    assert!(has(&record, "notes", "cloud_region_by_country"), "{record:#}");
}

fn input<'r>(record: &'r Value, name: &str) -> &'r Value {
    let inputs = record["inputs"].as_array().unwrap();
    inputs.iter().find(|input| input["name"] == name).unwrap()
}

#[test]
fn the_flag_wins_over_the_environment_and_that_over_the_file() {
    let home = Home::new();
    fs::write(home.work("c.toml"), "[region]\ndefault = 'FR'\n[pue]\ndefault = 1.4\n").unwrap();
    let file = ["run", "--config", "c.toml"];
    let flags = ["--region", "PL", "--pue", "1.1"];
    for (flags, environment, region, pue) in [
        (&flags[..], true, "PL", 1.1),
        (&flags, false, "PL", 1.1),
        (&[], true, "DE", 1.3),
        (&[], false, "FR", 1.4),
    ] {
        let mut command = home.carbon_ops(&[&file, flags, &["--", "true"]].concat());
        if environment {
            command.env("DCL_DEFAULT_REGION", "DE").env("DCL_PUE_DEFAULT", "1.3");
        }
        let record = recorded(&home, &mut command);
        assert_eq!((&record["region"], &record["pue_used"]), (&region.into(), &pue.into()));
        assert_eq!(input(&record, "pue")["dist"], pue.to_string());
    }
}

#[test]
fn the_three_configuration_formats_are_read() {
    let home = Home::new();
    for (name, text) in [
        ("c.toml", "[region]\ndefault = 'FR'\n[pue.overrides]\nFR = 1.37\n"),
        ("c.yml", "region:\n  default: FR\npue:\n  overrides:\n    FR: 1.37\n"),
        ("c.yaml", "region: {default: FR}\npue: {overrides: {FR: 1.37}}\n"),
        ("c.json", r#"{"region":{"default":"FR"},"pue":{"overrides":{"FR":1.37}}}"#),
    ] {
        fs::write(home.work(name), text).unwrap();
        let record = home.record(&["--config", name, "--", "true"]);
        assert_eq!(record["region"], "FR", "{name}");
        assert_eq!(record["pue_used"], 1.37, "{name}");
    }
}

#[test]
fn the_users_own_configuration_file_is_found() {
    let home = Home::new();
    let folder = home.path("config/carbon-ops");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), "[region]\ndefault = 'SE'\n").unwrap();
    assert_eq!(home.record(&["--", "true"])["region"], "SE");
}

/// Whoever can write to a folder in which root works shall not configure what root runs.
#[test]
fn a_file_below_the_working_directory_is_read_but_never_by_root() {
    let home = Home::new();
    fs::create_dir(home.work("config")).unwrap();
    fs::write(home.work("config/carbon.yml"), "region:\n  default: SE\n").unwrap();
    let expected = if carbon_ops_testkit::skip::is_root() { "world" } else { "SE" };
    assert_eq!(home.record(&["--", "true"])["region"], expected);
}

#[test]
fn an_unknown_key_is_refused_by_every_command() {
    let home = Home::new();
    for (name, text) in [
        ("c.toml", "[power]\ncpu_tdp_wats = 10\n"),
        ("c.yml", "power:\n  cpu_tdp_wats: 10\n"),
        ("c.json", r#"{"power":{"cpu_tdp_wats":10}}"#),
    ] {
        fs::write(home.work(name), text).unwrap();
        for (arguments, code) in
            [(&["config", "show"][..], 2), (&["ledger", "show"], 2), (&["run", "--", "true"], 125)]
        {
            let refused = home.does(&[&["--config", name], arguments].concat());
            assert_eq!(refused.code(), code, "{name}: {}", refused.stderr);
            assert!(refused.stderr.contains("cpu_tdp_wats"), "{}", refused.stderr);
            assert!(refused.stderr.contains(name), "{}", refused.stderr);
        }
    }
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let home = Home::new();
    fs::write(home.work("c.toml"), "[pue]\ndefault = 1.4\n[labeling]\nsalt_env = 'X'\n").unwrap();
    let mut command = home.carbon_ops(&["config", "show", "--json", "--config", "c.toml"]);
    let shown = done(command.env("DCL_DEFAULT_REGION", "DE").env("CPU_TDP_WATTS", "65"));
    assert_eq!(shown.code(), 0, "{}", shown.stderr);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let settings = &shown["settings"];
    assert_eq!(shown["schema_version"], 1);
    for (name, value, origin) in [
        ("region.default", "DE", "DCL_DEFAULT_REGION"),
        ("pue.default", "1.4", "c.toml"),
        ("power.cpu_tdp_watts", "65", "CPU_TDP_WATTS"),
        ("ledger.path", home.ledger().to_str().unwrap(), "default"),
    ] {
        assert_eq!(settings[name]["value"], value, "{name}");
        assert!(settings[name]["origin"].as_str().unwrap().contains(origin), "{settings:#}");
    }
    assert!(settings["power.idle_baseline_watts"]["value"].is_null());
    assert!(shown["without_effect"].to_string().contains("labeling"), "{shown:#}");

    let text = home.does(&["config", "show"]);
    assert_eq!(text.code(), 0);
    let names: BTreeSet<&str> = settings.as_object().unwrap().keys().map(String::as_str).collect();
    for name in names {
        assert!(text.text().contains(name), "{name} in {}", text.text());
    }
}

/// Modelled power follows the TDP: the model is used where the folder of counters is empty.
#[test]
fn the_tdp_from_the_environment_changes_the_estimate() {
    let home = Home::new();
    let watts = |tdp: Option<&str>| {
        let mut command =
            home.carbon_ops(&["run", "--powercap-root", "nothing-here", "--", "sleep", "0.2"]);
        if let Some(tdp) = tdp {
            command.env("CPU_TDP_WATTS", tdp);
        }
        let record = recorded(&home, &mut command);
        assert_eq!(record["simulated"], true);
        let cpu = &record["measurement"]["domains"].as_array().unwrap()[0];
        assert_eq!((&cpu["name"], &cpu["backend"]), (&"cpu".into(), &"model".into()));
        double(&cpu["delta_uj"]) * 1000.0
            / double(&decimal(&record["measurement"]["elapsed_ns"]).into())
    };
    let (small, large) = (watts(Some("1/64")), watts(Some("1000/64")));
    assert!(large > 2.0 * small, "{small} W and {large} W");
    assert!(watts(None) > 0.0);
}

/// A number from a data sheet is that of the whole processor, of which a guest has a few CPUs.
#[test]
fn a_stated_design_power_is_taken_for_these_cpus_shown_or_refused() {
    let home = Home::new();
    let run = |tdp: &str| {
        let mut command =
            home.carbon_ops(&["run", "--powercap-root", "nothing-here", "--", "true"]);
        done(command.env("CPU_TDP_WATTS", tdp))
    };
    let refused = run("100000");
    assert_eq!(refused.code(), 125, "{}", refused.stderr);
    for words in ["100000 W", "hint: ", "CPU_TDP_WATTS=350/96"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    for tdp in ["350/96", "350 / 96 threads"] {
        let run = run(tdp);
        assert_eq!(run.code(), 0, "{}", run.stderr);
        let record = home.records().pop().unwrap();
        let model = &record["measurement"]["model"];
        let expected = 350.0 / 96.0 * double(&model["vcpus"]);
        assert!((double(&model["tdp_watts"]) - expected).abs() < 1e-6, "{model}");
        assert_eq!(model["tdp_basis"], "given");
        assert!(run.stderr.contains("as stated)"), "{}", run.stderr);
    }
    let mut doctor = home.carbon_ops(&["doctor"]);
    let told = done(doctor.env("CPU_TDP_WATTS", "350/96")).text();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("processor ok") && told.contains("W, as stated"), "{told}");
    for wrong in ["350/0", "350/x", "350/"] {
        assert_eq!(run(wrong).code(), 125, "{wrong}");
    }
}

#[test]
fn an_idle_power_that_was_given_is_taken() {
    let home = Home::new();
    let mut command =
        home.carbon_ops(&["run", "--powercap-root", "nothing-here", "--", "sleep", "0.2"]);
    let record = recorded(&home, command.env("IDLE_BASELINE_WATTS", "0.5"));
    let elapsed = double(&decimal(&record["measurement"]["elapsed_ns"]).into()) / 1e9;
    if !has(&record, "notes", "idle_clamped") {
        assert_near(
            double(&record["measurement"]["energy"]["idle_uj"]),
            0.5e6 * elapsed,
            0.001,
            "idle",
        );
    }
}

/// Nobody's energy is idle where it is shared, and the record says so.
#[test]
fn idle_energy_is_shared_by_those_who_ran_where_that_is_wanted() {
    let home = Home::new();
    let with = |policy: &str| {
        let record = home.record(&[
            "--powercap-root=nothing-here",
            &format!("--idle-policy={policy}"),
            "--",
            "sh",
            "-c",
            "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done",
        ]);
        assert_eq!(record["measurement"]["idle_policy"], policy);
        let energy = &record["measurement"]["energy"];
        ["host_uj", "workload_uj", "others_uj", "idle_uj"].map(|part| double(&energy[part]))
    };
    let [host, workload, others, idle] = with("proportional");
    assert!(workload > 0.0, "{workload}");
    assert_eq!((workload + others, idle), (host, 0.0));
    assert!(with("residual")[3] > 0.0);
}

#[test]
fn arguments_stay_out_unless_asked_for() {
    let home = Home::new();
    let secret = "--token=hunter2";
    let record = home.record(&["--", "/usr/bin/env", "echo", secret]);
    assert_eq!(record["measurement"]["workload"]["program"], "env");
    assert!(record["measurement"]["workload"].get("args").is_none());
    let file = fs::read_to_string(home.ledger_file()).unwrap();
    assert!(!file.contains("hunter2") && !file.contains("/usr/bin"), "{file}");

    let record = home.record(&["--record-args", "--", "/usr/bin/env", "echo", secret]);
    assert_eq!(record["measurement"]["workload"]["args"], serde_json::json!(["echo", secret]));
    assert_eq!(record["measurement"]["workload"]["program"], "env");
}

#[test]
fn the_machines_id_and_name_stay_out() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let file = fs::read_to_string(home.ledger_file()).unwrap();
    for path in ["/etc/machine-id", "/etc/hostname"] {
        let secret = fs::read_to_string(path).unwrap_or_default();
        let secret = secret.trim();
        // A short name, such as "pc", may well be part of something else.
        assert!(secret.len() < 8 || !file.contains(secret), "{path}");
    }
}

#[test]
fn labels_are_kept_as_given() {
    let home = Home::new();
    let record = home.record(&[
        "--label",
        "job=build",
        "--label",
        "empty=",
        "--label",
        "eq=a=b",
        "--",
        "true",
    ]);
    assert_eq!(record["labels"], serde_json::json!({"empty": "", "eq": "a=b", "job": "build"}));
}

/// Whatever is let through has to fit into the ledger: nothing may fail after the command. The
/// control characters take six bytes each as JSON.
#[test]
fn what_is_too_long_for_a_ledger_is_refused_before_the_command() {
    let home = Home::new();
    for bytes in [1_000, 5_000, 10_000, 11_000, 16_000, 32_000, 33_000, 60_000, 120_000] {
        for letter in ["y", "\u{1}", "\u{1f331}"] {
            let text = letter.repeat(bytes / letter.len());
            let script = ["sh", "-c", "touch started", "sh", &text];
            let run = home.does(&[&["run", "--record-args", "--"], &script[..]].concat());
            let started = fs::remove_file(home.work("started")).is_ok();
            let expected = if started { 0 } else { 125 };
            assert_eq!(run.code(), expected, "{bytes} of {letter:?}: {}", run.stderr);
            assert!(!run.stderr.contains("not stored"), "{bytes} of {letter:?}: {}", run.stderr);
        }
    }
    assert!(home.records().len() > 3, "nothing at all was let through");
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    let labels: Vec<String> =
        (0..64).map(|n| format!("{n:0>256}={}", "\u{1}".repeat(256))).collect();
    let labels = labels.iter().flat_map(|label| ["--label", label]);
    let arguments: Vec<&str> =
        ["run"].into_iter().chain(labels).chain(["--", "touch", "started"]).collect();
    let run = home.does(&arguments);
    assert_eq!((run.code(), home.work("started").exists()), (125, false), "{}", run.stderr);
    assert!(run.stderr.contains("labels"), "{}", run.stderr);
}
