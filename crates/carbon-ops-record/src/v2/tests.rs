//! Records of spans: what is derived, what is refused, and that every number can be made again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use carbon_ops_estimate::intensity::{
    Digest, Factor, InventoryIntensity, Meta as SlotMeta, Signal, Slot as GridSlot,
};
use carbon_ops_estimate::span::{Load, Missing, Tariff};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_units::GramsCo2ePerKilowattHour;

fn interval(start: &str, end: &str) -> Interval {
    Interval::parse(start, end).unwrap()
}

/// Two half hours of a metered source; the second was revised.
fn half_hours() -> Vec<GridSlot<InventoryIntensity>> {
    let mut meta = SlotMeta::new("gb", "GB", Signal::AVERAGE_LIFECYCLE_PRODUCTION);
    meta.raw_digest = Some(Digest([0xab; 32]));
    meta.fetched_at = Some("2026-03-02T00:00:00Z".parse().unwrap());
    meta.licence = "CC BY 4.0".into();
    meta.attribution = "NESO".into();
    let meta = Arc::new(meta);
    let slot = |start, end, value| {
        let value = InventoryIntensity::new(GramsCo2ePerKilowattHour::new(value).unwrap());
        GridSlot::new(interval(start, end), value, Arc::clone(&meta))
    };
    let mut slots = vec![
        slot("2026-03-01T00:00Z", "2026-03-01T00:30Z", 263.0),
        slot("2026-03-01T00:30Z", "2026-03-01T01:00Z", 300.0),
    ];
    slots[1].updated_at = Some("2026-03-01T09:00:00Z".parse().unwrap());
    slots
}

fn record_of(
    slots: &[GridSlot<InventoryIntensity>],
    span: Interval,
    energy: &str,
    method: Method,
) -> Record {
    let energy = Quantity::Energy.read(energy).unwrap();
    let tariff = Tariff::of(slots).unwrap();
    let priced = tariff.price(span, &Load::Even(energy.mean()), Missing::Step).unwrap();
    let pue = Distribution::TruncatedNormal { mu: 1.2, sigma: 0.05, min: 1.0, max: None };
    let mut inputs = energy_inputs(energy, "flag").unwrap();
    inputs.push(Input::new("pue", pue, "flag").shared("pue:flag"));
    inputs.extend(grid_inputs(&priced, &tariff, None, "gb"));
    let relative = Relative::of(&inputs, method).unwrap();
    let grid = grid_of(span, &priced, slots, Missing::Step);
    let stated = Stated {
        host_id: None,
        id: Some("job-1".into()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        notes: vec!["energy_stated".into()],
        quality_flag: Quality::Estimated,
        region: "GB".into(),
        scopes: scopes(Deployment::Own, Factor::Lifecycle, false, "default"),
        signal: "average_lifecycle".into(),
        simulated: false,
        source: "gb".into(),
        tool: "test 1".into(),
    };
    Record::new(span, inputs, grid, None, &relative, stated).unwrap()
}

fn example() -> Record {
    let span = interval("2026-03-01T00:20Z", "2026-03-01T00:50Z");
    record_of(&half_hours(), span, "ln(0.5, 2%)kWh", Method::Analytical)
}

/// By hand: mean intensity 8630/30 = 287.666… g/kWh; the PUE's mean is 1.2 + 0.05·φ(4)/Φ(4), which is
/// 1.2000067 (Python: statistics.NormalDist); cv² = 0.02², 0.0416…², 0.15², and 0.05² in one hour.
#[test]
fn a_span_of_two_half_hours_is_a_record_that_checks() {
    let record = example();
    record.check().unwrap();
    record.recompute().unwrap();
    assert_eq!(record.intensity_g_per_kwh.to_string(), "287.666667");
    assert_eq!(record.energy_kwh.to_string(), "0.5");
    assert_eq!(record.pue_used.to_string(), "1.20000669");
    // 0.5 · 1.20000669 = 0.600003345; · 287.666667 = 172.600963 (Python decimal).
    assert_eq!(record.total_energy_with_pue_kwh.to_string(), "0.600003345");
    assert_eq!(record.grams.to_string(), "172.600962");
    assert_eq!(record.grid.slots.count, 2);
    assert_eq!(record.grid.sources[0].raw_sha256, ["ab".repeat(32)]);
    assert_eq!(record.grid.sources[0].updated_at.as_deref(), Some("2026-03-01T09:00:00.000000Z"));
    let names: Vec<_> = record.budget.iter().map(|share| share.name.as_str()).collect();
    assert_eq!(names, ["energy_error", "pue", "intensity", "slot_noise"]);
    let again = Record::from_json(serde_json::to_value(&record).unwrap()).unwrap();
    assert_eq!(again, record);
}

#[test]
fn members_are_written_in_canonical_order() {
    let text = serde_json::to_string(&example()).unwrap();
    // serde_json's map is ordered by name.
    let sorted = serde_json::from_str::<Value>(&text).unwrap();
    let keys = |text: &str| -> Vec<String> {
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    assert_eq!(keys(&text), keys(&sorted.to_string()));
}

#[test]
fn any_number_that_does_not_follow_is_refused() {
    for (pointer, value) in [
        ("/energy_kwh", json!(0.500_000_001)),
        ("/grams", json!(172.6)),
        ("/pue_used", json!(1.2)),
        ("/intensity_g_per_kwh", json!(287.666_668)),
        ("/total_energy_with_pue_kwh", json!(0.6)),
        ("/coverage_pct", json!(99)),
        ("/grid/coverage_pct", json!(99)),
        ("/grid/estimated_pct", json!(1)),
        ("/grid/forecast_pct", json!(1)),
        ("/grid/slots/count", json!(3)),
        ("/grid/slots/list/0/g_per_kwh", json!(264)),
        ("/grid/slots/list/0/end", json!("2026-03-01T00:31:00.000000Z")),
        ("/grid/slots/list/0/class", json!("forecast")),
        ("/grid/slots/list/1/start", json!("2026-03-01T00:29:00.000000Z")),
        ("/grid/missing_policy", json!("guess")),
        ("/grid/sources/0/raw_sha256/0", json!("AB")),
        ("/budget/0/pct", json!(1)),
        ("/meta/confidence_level_pct", json!(99)),
        ("/meta/ci_lower_g", json!(300)),
        ("/meta/method", json!("monte_carlo")),
        ("/inputs/0/dist", json!("0.5")),
        ("/inputs/0/dist", json!("500Wh")),
        ("/inputs/0/name", json!("pue")),
        ("/inputs/1/dist", json!("ln(1, 2%)")),
        ("/inputs/1/dist", json!("ln(1.1, 0.02)")),
        ("/inputs/4/dist", json!("ln(1, 0.06)")),
        ("/schema_version", json!(1)),
        ("/start_ts", json!("2026-03-01T00:20:00Z")),
        ("/end_ts", json!("2026-03-01T00:51:00.000000Z")),
        ("/scopes", json!([])),
        ("/scopes/0/scope", json!(4)),
        ("/scopes/0/basis", json!("moon")),
        ("/notes", json!(["b", "a"])),
        ("/id", json!("")),
    ] {
        let mut changed = serde_json::to_value(example()).unwrap();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        assert!(Record::from_json(changed).is_err(), "{pointer} = {value}");
    }
}

#[test]
fn an_interval_that_does_not_follow_is_found_by_recomputing() {
    for member in ["ci_lower_g", "ci_upper_g"] {
        let mut changed = serde_json::to_value(example()).unwrap();
        let bound = changed.pointer_mut(&format!("/meta/{member}")).unwrap();
        *bound = json!(bound.as_f64().unwrap() * 1.000_000_01);
        let record = Record::from_json(changed).unwrap();
        assert!(record.recompute().is_err(), "{member}");
    }
}

#[test]
fn unknown_members_are_refused_and_the_schema_names_the_known_ones() {
    let schema = schema();
    let whole = serde_json::to_value(example()).unwrap();
    for name in whole.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "{name}");
    }
    for name in ["embodied", "sci", "functional_unit", "allocation_ratio", "domains", "load"] {
        assert!(schema["properties"].get(name).is_some(), "{name}");
    }
    assert_eq!(schema["additionalProperties"], json!(false));
    for pointer in ["", "/grid", "/grid/slots", "/meta", "/inputs/0", "/scopes/0", "/budget/0"] {
        let mut changed = whole.clone();
        let object = changed.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.insert("extra".into(), json!(1));
        assert!(Record::from_json(changed).is_err(), "{pointer}");
    }
}

/// Members of a measurement are those of the published example of v1.
#[test]
fn a_measurement_has_all_its_members_and_their_rules() {
    let line = include_str!("../../../../testdata/ledgers/v1/example-line.ndjson");
    let v1: Value = serde_json::from_str(line).unwrap();
    let energy = v1["energy_kwh"].as_f64().unwrap();
    let span = interval("2026-11-23T09:00:00Z", "2026-11-23T09:00:10Z");
    let mut slots = half_hours();
    slots[0].interval = interval("2026-11-23T09:00Z", "2026-11-23T09:30Z");
    slots.truncate(1);
    let record = record_of(&slots, span, &format!("{energy}kWh"), Method::Analytical);
    let mut whole = serde_json::to_value(&record).unwrap();
    let members = [
        "allocation_ratio",
        "attribution_mode",
        "boot_id",
        "domains",
        "elapsed_ns",
        "energy",
        "excluded",
        "gaps",
        "idle_policy",
        "workload",
        "host_id",
    ];
    for member in members {
        whole[member] = v1[member].clone();
    }
    Record::from_json(whole.clone()).unwrap();
    for member in members.into_iter().filter(|member| *member != "boot_id") {
        let mut changed = whole.clone();
        changed.as_object_mut().unwrap().remove(member);
        assert!(Record::from_json(changed).is_err(), "{member}");
    }
    for (pointer, value) in [
        ("/energy/idle_uj", json!(200_000_001)),
        ("/domains/0/delta_uj", json!(650_000_001)),
        ("/allocation_ratio", json!(1.01)),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(Record::from_json(changed).is_err(), "{pointer}");
    }
}

/// M = 1000 kg · 1 h / 35,040 h = 28.5388 g (ISO/IEC 21031's example). With cv 0.365 and the operation's, by
/// hand: u² = u²(O) + (28.5388·0.365027)².
#[test]
fn embodied_and_sci_follow_their_formulas() {
    let span = interval("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let mut record = record_of(&half_hours(), span, "ln(0.5, 2%)kWh", Method::Analytical);
    let server = Reserved {
        hardware: "server".parse().unwrap(),
        life: carbon_ops_estimate::embodied::Lifetime::default(),
        share: carbon_ops_estimate::embodied::Portion::default(),
    };
    record.reserve(std::slice::from_ref(&server)).unwrap();
    assert!(record.check().is_err(), "the embodied figure has no scope");
    record.scopes = scopes(Deployment::Cloud, Factor::Lifecycle, true, "flag");
    record.check().unwrap();
    let embodied = record.embodied.clone().unwrap();
    assert!((embodied.grams - 28.538_812_8).abs() < 1e-6);
    assert!((embodied.uncertainty_pct - 36.5).abs() < 0.05, "{}", embodied.uncertainty_pct);
    // A lognormal of 95 % factor 2 around its median: 28.5388·e^(−0.0625354) = 26.8090, halved and doubled.
    assert!((embodied.ci_lower_g - 13.4045).abs() < 1e-3, "{}", embodied.ci_lower_g);
    assert!((embodied.ci_upper_g - 53.6180).abs() < 3e-3, "{}", embodied.ci_upper_g);
    record.score_per(&"10:request".parse().unwrap()).unwrap();
    record.check().unwrap();
    record.recompute().unwrap();
    let sci = record.sci.clone().unwrap();
    assert!((sci.g_per_unit - (record.grams + 28.538_812_8) / 10.0).abs() < 1e-7);
    assert!(sci.ci_lower_g_per_unit > record.meta.ci_lower_g / 10.0);
    assert!(sci.ci_upper_g_per_unit < (record.meta.ci_upper_g + embodied.ci_upper_g) / 10.0);
    // θ = 28.54 / (172.6 + 28.54) = 0.142: below 0.15, but not surely.
    let theta = record.theta().unwrap().unwrap();
    assert!((theta.theta - 28.5388 / (record.grams + 28.5388)).abs() < 1e-6);
    assert!(theta.straddles());
    let back = Record::from_json(serde_json::to_value(&record).unwrap()).unwrap();
    assert_eq!(back, record);
}

#[test]
fn what_was_changed_beyond_operation_is_found() {
    let span = interval("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let mut record = record_of(&half_hours(), span, "ln(0.5, 2%)kWh", Method::Analytical);
    let reserved = ["2*h100", "server(cpus=2)"].map(|text| Reserved {
        hardware: text.parse().unwrap(),
        life: "5y".parse().unwrap(),
        share: "1/4".parse().unwrap(),
    });
    record.reserve(&reserved).unwrap();
    record.scopes = scopes(Deployment::Own, Factor::Lifecycle, true, "flag");
    record.score_per(&"request".parse().unwrap()).unwrap();
    record.check().unwrap();
    record.recompute().unwrap();
    let broken = |change: &dyn Fn(&mut Record)| {
        let mut record = record.clone();
        change(&mut record);
        record.check().err().or_else(|| record.recompute().err()).map(|error| error.to_string())
    };
    let embodied = |change: &dyn Fn(&mut Embodied)| {
        broken(&|record| change(record.embodied.as_mut().unwrap()))
    };
    let sci = |change: &dyn Fn(&mut Sci)| broken(&|record| change(record.sci.as_mut().unwrap()));
    assert_eq!(broken(&|_| {}), None);
    for (what, found) in [
        ("share", embodied(&|it| it.items[0].share = 0.5)),
        ("total", embodied(&|it| it.items[1].total_kg = 1099.0)),
        ("life", embodied(&|it| it.items[0].lifetime_hours = f64::NAN)),
        ("grams", embodied(&|it| it.grams *= 2.0)),
        ("low end", embodied(&|it| it.ci_lower_g *= 1.01)),
        ("method", embodied(&|it| it.method = MethodName::MonteCarlo)),
        ("no input", embodied(&|it| it.inputs.truncate(1))),
        ("exact input", embodied(&|it| it.inputs[0].dist = "1".into())),
        ("narrower input", embodied(&|it| it.inputs[0].dist = "ln(1, 0.01)".into())),
        ("no items", embodied(&|it| it.items.clear())),
        ("score", sci(&|it| it.g_per_unit *= 0.9)),
        ("hardware left out", sci(&|it| it.embodied_g = 0.0)),
        ("narrower score", sci(&|it| it.ci_upper_g_per_unit *= 0.99)),
        ("unit", broken(&|record| record.functional_unit = None)),
        ("count", broken(&|record| record.functional_unit.as_mut().unwrap().count = 2.0)),
        ("no score", broken(&|record| record.sci = None)),
    ] {
        assert!(found.is_some(), "{what} went unseen");
    }
    record.signal = "residual_lifecycle".into();
    assert!(record.score_per(&"request".parse().unwrap()).is_err(), "a measure of markets");
}

#[test]
fn defaults_of_scopes_are_those_of_the_protocol() {
    let of = |deployment, factor, embodied| -> Vec<(u8, Option<u8>)> {
        let tags = scopes(deployment, factor, embodied, "default");
        tags.iter().map(|tag| (tag.scope, tag.category)).collect()
    };
    assert_eq!(of(Deployment::Own, Factor::Direct, false), [(2, None)]);
    assert_eq!(of(Deployment::Own, Factor::Lifecycle, false), [(2, None), (3, Some(3))]);
    assert_eq!(of(Deployment::Colocation, Factor::Direct, true), [(3, Some(8)), (3, Some(2))]);
    assert_eq!(of(Deployment::Cloud, Factor::Lifecycle, true), [(3, Some(1)), (3, Some(1))]);
    assert_eq!(of(Deployment::Product, Factor::Direct, false), [(3, Some(11))]);
    assert!("clod".parse::<Deployment>().is_err());
}
