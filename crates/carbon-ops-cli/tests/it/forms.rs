//! `report --as`: figures in the forms of others say what `report --json` says, are what the schemas of those forms want,
//! and what is missing is asked for by name.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use carbon_ops_testkit::skip::skip;
use serde_json::{Value, json};

use crate::home::{Done, Home, done};
use crate::python::environment;

const PACT: [&str; 10] = [
    "company=ACME",
    "company-id=urn:uuid:2f1ac2a3-5a8d-4f2c-8f5a-0d7b1a6e9c11",
    "product=Search",
    "product-id=urn:example:search",
    "description=A request",
    "unit=piece",
    "units=1000",
    "exempted-percent=2.5",
    "gwp=AR6",
    "standard=GHGP-Product",
];

/// A ledger of some spans, each priced with the options of its own.
fn ledger(home: &Home, spans: &[(&str, &[&str])]) {
    done(&mut home.carbon_ops(&["ledger", "init"]));
    for (rows, options) in spans {
        let file = home.work("spans.csv");
        fs::write(&file, format!("start,end,energy_kwh,label.activity\n{rows}")).unwrap();
        let rows = Stdio::from(fs::File::open(file).unwrap());
        let options = [&["estimate", "--records"], *options].concat();
        let records = done(home.carbon_ops(&options).stdin(rows));
        assert_eq!(records.code(), 0, "{}", records.stderr);
        let file = home.work("records.ndjson");
        fs::write(&file, records.stdout).unwrap();
        let records = Stdio::from(fs::File::open(file).unwrap());
        let appended = done(home.carbon_ops(&["ledger", "append"]).stdin(records));
        assert_eq!(appended.code(), 0, "{}", appended.stderr);
    }
}

const TRAINING: &str = "2026-03-01T10:00Z,2026-03-01T12:00Z,1,training
2026-03-02T10:00Z,2026-03-02T12:00Z,2,training
";
const INFERENCE: &str = "2026-03-03T10:00Z,2026-03-03T12:00Z,3,inference\n";

/// A life cycle, and what leaves chimneys.
const GERMANY: [&str; 2] = ["--region", "DE"];
const DIRECT: [&str; 2] = ["--region", "US-CA"];

fn report(home: &Home, options: &[&str], about: &[&str]) -> Done {
    let about = about.iter().flat_map(|fact| ["--about", fact]);
    let arguments: Vec<_> = ["report"].iter().chain(options).copied().chain(about).collect();
    done(&mut home.carbon_ops(&arguments))
}

fn form(home: &Home, options: &[&str], about: &[&str]) -> Value {
    let done = report(home, options, about);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Texts of numbers become numbers.
fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-8 * right.abs()
}

#[test]
fn the_figures_are_those_of_the_report() {
    let home = Home::new();
    ledger(&home, &[(TRAINING, &["--region", "DE", "--embodied", "h100"]), (INFERENCE, &GERMANY)]);
    let all = form(&home, &["--json"], &[])["all"].clone();
    let groups = form(&home, &["--json", "--by", "label:activity"], &[])["groups"].clone();

    let pact = form(&home, &["--as", "pact"], &PACT);
    let footprint = number(&pact["pcf"]["pcfExcludingBiogenicUptake"]);
    assert!(near(footprint * 1e6, all["whole"]["total_grams"].as_f64().unwrap()), "{pact}");
    let text = pact["pcf"]["uncertaintyAssessmentDescription"].as_str().unwrap();
    assert!(text.contains("average lifecycle CO2e, location-based: 95 % between"), "{text}");

    let bill = form(&home, &["--as", "cyclonedx", "--by", "label:activity"], &["name=m"]);
    let environment = &bill["components"][0]["modelCard"]["considerations"];
    let consumptions = &environment["environmentalConsiderations"]["energyConsumptions"];
    for (place, name) in ["inference", "training"].into_iter().enumerate() {
        let (ours, theirs) = (&groups[name], &consumptions[place]);
        assert_eq!(theirs["activity"], name);
        assert_eq!(theirs["activityEnergyCost"]["value"], ours["total_energy_with_pue_kwh"]);
        let tonnes = theirs["co2CostEquivalent"]["value"].as_f64().unwrap();
        assert!(near(tonnes * 1e6, ours["total_grams"].as_f64().unwrap()), "{theirs}");
    }

    let document = form(&home, &["--as", "spdx", "--by", "label:activity"], &["name=m"]);
    let energy = &document["@graph"][3]["ai_energyConsumption"]["ai_trainingEnergyConsumption"][0];
    let kwh = groups["training"]["total_energy_with_pue_kwh"].as_f64().unwrap();
    assert!(near(number(&energy["ai_energyQuantity"]), kwh), "{document}");
    // Whoever reads a form finds the ledger that it is from.
    let root = form(&home, &["--json"], &[])["verified"][0]["root"].as_str().unwrap().to_owned();
    for form in [&pact, &bill, &document] {
        assert!(form.to_string().contains(&root), "{form}");
    }
}

/// What a form is made of decides on its id: not when it is made.
#[test]
fn the_same_figures_have_the_same_id() {
    let home = Home::new();
    ledger(&home, &[(TRAINING, &GERMANY)]);
    let id = |about: &[&str]| form(&home, &["--as", "pact"], about)["id"].clone();
    assert_eq!(id(&PACT), id(&PACT));
    let mut other = PACT;
    other[0] = "company=Other";
    assert_ne!(id(&PACT), id(&other));
    let id = id(&PACT).as_str().unwrap().to_owned();
    let is_uuid =
        id.len() == 36 && id.as_bytes()[14] == b'8' && b"89ab".contains(&id.as_bytes()[19]);
    assert!(is_uuid, "{id}");
}

/// Direct emissions of one's own machines are scope 2, what is upstream scope 3, and a life cycle is neither.
#[test]
fn a_figure_of_two_scopes_is_no_data_point() {
    let home = Home::new();
    let spans: [(&str, &[&str]); 2] =
        [(TRAINING, &DIRECT), (INFERENCE, &["--deployment", "cloud"])];
    ledger(&home, &spans);
    let points = form(&home, &["--as", "esrs-e1"], &[]);
    let of = |id: &str| -> Vec<&Value> {
        let all = points["data_points"].as_array().unwrap().iter();
        all.filter(|point| point["data_point"] == id).collect()
    };
    let groups = form(&home, &["--json", "--by", "scope"], &[])["groups"].clone();
    let group = |start: &str| {
        let mut groups = groups.as_object().unwrap().iter();
        groups.find(|(name, _)| name.starts_with(start)).unwrap().1
    };
    let own = group("scope 2, location-based:");
    assert_eq!(of("E1-5_01").len(), 1);
    let mwh = own["total_energy_with_pue_kwh"].as_f64().unwrap() / 1e3;
    assert!(
        near(number(&of("E1-5_01")[0]["value"]), mwh),
        "what a cloud uses is no energy of ours"
    );
    let point = of("E1-6_09")[0];
    assert!(near(number(&point["value"]) * 1e6, own["total_grams"].as_f64().unwrap()), "{point}");
    assert!(near(number(&point["high"]) * 1e6, own["ci_upper_g"].as_f64().unwrap()), "{point}");
    assert!(of("E1-6_10").is_empty(), "nobody said what was bought");
    let point = of("E1-6_11")[0];
    assert_eq!((&point["category"], &point["part"]), (&json!(1), &json!(true)));
    assert_eq!(points["not_assigned"], json!([]));

    let home = Home::new();
    ledger(&home, &[(TRAINING, &GERMANY)]);
    let points = form(&home, &["--as", "esrs-e1"], &[]);
    assert_eq!(points["data_points"].as_array().unwrap().len(), 1, "{points}");
    let apart = points["not_assigned"][0]["why"].as_str().unwrap();
    assert!(apart.contains("scope 2 and category 3 of scope 3"), "{points}");
}

#[test]
fn what_is_missing_is_asked_for_and_what_has_no_place_is_refused() {
    let home = Home::new();
    ledger(&home, &[(TRAINING, &GERMANY), (INFERENCE, &GERMANY)]);
    let no_company = &PACT[1..];
    let no_unit: Vec<_> =
        PACT.iter().map(|of| if *of == "unit=piece" { "unit=bag" } else { of }).collect();
    let two = [&PACT[..], &["product=Other"]].concat();
    let cases: [(&[&str], &[&str], &str); 10] = [
        (&["--as", "pact"], no_company, "pact needs company: the name of the company"),
        (&["--as", "pact"], &no_unit, "unit: \"bag\" is not the declared unit"),
        (&["--as", "pact"], &two, "product is given 2 times"),
        (&["--as", "cyclonedx"], &["name=m"], "cyclonedx needs activity"),
        (
            &["--as", "cyclonedx", "--by", "day"],
            &["name=m"],
            "no place for the activity \"2026-03-01\"",
        ),
        (&["--as", "spdx"], &["name=m", "activity=design"], "no place for the activity \"design\""),
        (&["--as", "spdx"], &["colour=red"], "spdx has no fact \"colour\": it has name, version"),
        (&["--as", "esrs-e1"], &["name=m"], "esrs-e1 has no fact \"name\": it has none"),
        (&["--as", "esrs-e1", "--by", "day"], &[], "the sums of this form are by scope"),
        (&["--as", "pact"], &["company"], "not of the form NAME=VALUE"),
    ];
    for (options, about, why) in cases {
        let done = report(&home, options, about);
        assert_eq!((done.code(), done.stdout.len()), (2, 0), "{options:?} {about:?}");
        assert!(done.stderr.contains(why), "{options:?} {about:?}: {}", done.stderr);
    }
    // No records: as `report` has it.
    let none = report(&home, &["--as", "esrs-e1", "--from", "2027-01-01"], &[]);
    assert_eq!((none.code(), none.stdout.len()), (1, 0), "{}", none.stderr);
    // What counts different things has no figure in a form of one.
    let home = Home::new();
    ledger(&home, &[(TRAINING, &DIRECT), (INFERENCE, &GERMANY)]);
    let done = report(&home, &["--as", "pact"], &PACT);
    assert!(done.stderr.contains("count different things"), "{}", done.stderr);
}

/// A member, and whether its value is as the data model wants it.
type Member = (&'static str, fn(&Value) -> bool);

/// The members that the PACT data model 3.0 wants of a footprint, and what they are (wbcsd/pact-conformance-service,
/// schema of `ListFootprintsResponse`, as facts).
#[test]
fn a_footprint_has_what_the_data_model_wants() {
    let home = Home::new();
    ledger(&home, &[(TRAINING, &GERMANY)]);
    let footprint = form(&home, &["--as", "pact"], &[&PACT[..], &["country=DE"]].concat());
    let text: fn(&Value) -> bool = |of| of.as_str().is_some_and(|text| !text.is_empty());
    let decimal: fn(&Value) -> bool = |of| {
        let mut parts = of.as_str().unwrap_or_default().splitn(2, '.');
        parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let time: fn(&Value) -> bool =
        |of| of.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok());
    let urns: fn(&Value) -> bool = |of| {
        let urns = of.as_array().unwrap();
        !urns.is_empty() && urns.iter().all(|of| of.as_str().unwrap().starts_with("urn:"))
    };
    let outer: [Member; 9] = [
        ("id", text),
        ("specVersion", |of| of == "3.0.0"),
        ("created", time),
        ("status", |of| of == "Active"),
        ("companyName", text),
        ("companyIds", urns),
        ("productDescription", text),
        ("productIds", urns),
        ("productNameCompany", text),
    ];
    let inner: [Member; 13] = [
        ("declaredUnitOfMeasurement", |of| of == "piece"),
        ("declaredUnitAmount", decimal),
        ("productMassPerDeclaredUnit", decimal),
        ("referencePeriodStart", time),
        ("referencePeriodEnd", time),
        ("geographyCountry", |of| of == "DE"),
        ("pcfExcludingBiogenicUptake", decimal),
        ("pcfIncludingBiogenicUptake", decimal),
        ("fossilGhgEmissions", decimal),
        ("fossilCarbonContent", decimal),
        ("ipccCharacterizationFactors", |of| *of == json!(["AR6"])),
        ("crossSectoralStandards", |of| *of == json!(["GHGP-Product"])),
        ("exemptedEmissionsPercent", decimal),
    ];
    for (of, members) in [(&footprint, &outer[..]), (&footprint["pcf"], &inner[..])] {
        for (name, is_good) in members {
            assert!(is_good(&of[*name]), "{name}: {}", of[*name]);
        }
    }
}

const JUDGE: &str = "
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx
bill, document = sys.argv[1:]
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(bill).read())
assert fault is None, fault
objects = spdx.SHACLObjectSet()
spdx.JSONLDDeserializer().read(open(document, 'rb'), objects)
[package] = objects.foreach_type('ai_AIPackage')
assert not objects.missing_ids, objects.missing_ids
print(package.ai_energyConsumption.ai_trainingEnergyConsumption[0].ai_energyQuantity)
";

/// By the libraries of their makers, which have the schemas in them.
#[test]
fn readers_of_other_makers_take_the_bills() {
    let packages = ["cyclonedx-python-lib[json-validation]==11.12.0", "spdx-python-model==0.0.6"];
    let probe = "import cyclonedx.validation.json, jsonschema, spdx_python_model";
    let python = match environment("forms-1", &[&packages], probe) {
        Ok(dir) => dir.join("bin/python3"),
        Err(why) => return skip("pip", why.trim().lines().last().unwrap_or_default()),
    };
    let home = Home::new();
    ledger(&home, &[(TRAINING, &["--region", "DE", "--embodied", "h100"]), (INFERENCE, &GERMANY)]);
    let facts = ["name=m", "version=1.2"];
    let file = |form: &str| {
        let done = report(&home, &["--as", form, "--by", "label:activity"], &facts);
        let file = home.work(form);
        fs::write(&file, done.stdout).unwrap();
        file
    };
    let files = ["cyclonedx", "spdx"].map(file);
    let judged = |files: &[&Path]| {
        let judged = Command::new(&python).args(["-c", JUDGE]).args(files).output().unwrap();
        (judged.status.success(), String::from_utf8_lossy(&judged.stderr).into_owned())
    };
    let [bill, document] = [0, 1].map(|at| files[at].as_path());
    let (is_good, why) = judged(&[bill, document]);
    assert!(is_good, "{why}");
    // They would have found it.
    let spoilt = fs::read_to_string(bill).unwrap().replace("\"kWh\"", "\"MWh\"");
    fs::write(bill, spoilt).unwrap();
    assert!(!judged(&[bill, document]).0);
}
