//! Records of spans: what is derived, what is refused, and that every number can be made again.

use std::sync::Arc;

use serde_json::{Value, json};

use carbon_ops_estimate::intensity::Interval;

use super::*;
use crate::{
    AttributionMode, Cpu, Decimal, Domain, Energy, IdlePolicy, Part, Sensor, SensorStatus, Workload,
};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{
    Digest, Factor, InventoryIntensity, Meta as SlotMeta, Signal, Slot as GridSlot,
};
use carbon_ops_estimate::span::{Load, Missing, Tariff};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_testkit::skip::stride;
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
        gases: None,
        record_id: [7; 16],
        parent: None,
        unit: None,
        stand_ins: Vec::new(),
        host_id: None,
        id: Some("job-1".into()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        notes: vec![Note::of("energy_stated")],
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

pub(super) fn example() -> Record {
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
        ("/record_id", json!("07")),
        ("/record_id", json!("0707070707070707070707070707070A")),
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
    for name in ["embodied", "sci", "functional_unit", "measurement", "unit", "load"] {
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

/// 650 J and 80 J in ten seconds; 519.4 J are the workload's, 10.6 J the others' and 200 J idle.
fn measured() -> Record {
    let span = interval("2026-11-23T09:00:00Z", "2026-11-23T09:00:10Z");
    let mut slots = half_hours();
    slots[0].interval = interval("2026-11-23T09:00Z", "2026-11-23T09:30Z");
    slots.truncate(1);
    let mut record = record_of(&slots, span, "0.000144277778kWh", Method::Analytical);
    record.host_id = Some("7d0c9e1b".into());
    record.with_measurement(measurement())
}

fn measurement() -> Measurement {
    let domain = |name: &str, start: u64, delta_uj| Domain {
        adjust_uj: None,
        backend: "sysfs".into(),
        delta_uj,
        end_uj: Some(Decimal(start + delta_uj)),
        epoch: Some(Decimal(1)),
        name: name.into(),
        start_uj: Some(Decimal(start)),
        wraps: Some(0),
    };
    Measurement {
        allocation_ratio: Some(0.98),
        attribution_mode: AttributionMode::CpuTime,
        boot_id: Some("6c1f2a546a0e4c399d9b0d6f4c1f7e11".into()),
        coverage_pct: 100.0,
        cpu: Some(Cpu { busy_ns: Decimal(10_000_000_000), count: 1 }),
        domains: vec![
            domain("package-0", 123_456_789, 650_000_000),
            domain("dram-0", 55_000_000, 80_000_000),
        ],
        elapsed_ns: Decimal(10_000_000_000),
        energy: Energy {
            host_uj: 730_000_000,
            idle_uj: 200_000_000,
            others_uj: 10_600_000,
            workload_uj: 519_400_000,
        },
        excluded: Vec::new(),
        gaps: Vec::new(),
        idle_policy: IdlePolicy::Residual,
        intervals: None,
        model: None,
        part: Part::Workload,
        sensors: vec![used("sysfs")],
        workload: Some(Workload {
            args: None,
            cpu_time_ns: Decimal(9_800_000_000),
            exit_code: Some(0),
            program: "gzip".into(),
            running: None,
            signal: None,
        }),
    }
}

fn used(name: &str) -> Sensor {
    Sensor { name: name.into(), reason: None, status: SensorStatus::Used }
}

#[test]
fn a_measurement_is_whole_and_its_rules_hold() {
    let whole = serde_json::to_value(measured()).unwrap();
    assert_eq!(Record::from_json(whole.clone()).unwrap(), measured());
    let names: Vec<_> = whole["measurement"].as_object().unwrap().keys().cloned().collect();
    for name in names {
        let mut changed = whole.clone();
        changed["measurement"].as_object_mut().unwrap().remove(&name);
        let optional = ["boot_id", "cpu"].contains(&name.as_str());
        assert_eq!(Record::from_json(changed).is_ok(), optional, "{name}");
    }
    for (pointer, value) in [
        ("/measurement/energy/idle_uj", json!(200_000_001)),
        ("/measurement/energy/host_uj", json!(730_000_001)),
        ("/measurement/domains/0/delta_uj", json!(650_000_001)),
        ("/measurement/domains/0/end_uj", json!("773456790")),
        ("/measurement/allocation_ratio", json!(1.01)),
        ("/measurement/allocation_ratio", json!(0.97)),
        ("/measurement/coverage_pct", json!(100.1)),
        ("/measurement/coverage_pct", json!(99)),
        ("/measurement/elapsed_ns", json!("010")),
        ("/measurement/elapsed_ns", json!(10)),
        ("/measurement/part", json!("idle")),
        ("/measurement/sensors", json!([])),
        ("/energy_kwh", json!(0.000_144_277_779)),
        ("/host_id", json!("host")),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        assert!(Record::from_json(changed).is_err(), "{pointer} = {value}");
    }
}

/// What no workload used is a record of its own, and its energy is that part.
#[test]
fn idle_energy_is_a_record_of_its_own() {
    let span = interval("2026-11-23T09:00:00Z", "2026-11-23T09:00:10Z");
    let mut slots = half_hours();
    slots[0].interval = interval("2026-11-23T09:00Z", "2026-11-23T09:30Z");
    slots.truncate(1);
    let mut record = record_of(&slots, span, "0.0000555555556kWh", Method::Analytical);
    record.host_id = Some("7d0c9e1b".into());
    let idle =
        Measurement { allocation_ratio: None, part: Part::Idle, workload: None, ..measurement() };
    assert_eq!(record.with_measurement(idle).check(), Ok(()));
}

/// With a GPU that used 100 J beside package and memory.
fn with_gpu(workload_uj: u64, idle_uj: u64) -> Result<(), Error> {
    let mut measured = measurement();
    measured.domains.push(Domain {
        adjust_uj: None,
        backend: "nvml".into(),
        delta_uj: 100_000_000,
        end_uj: Some(Decimal(100_000_007)),
        epoch: Some(Decimal(1)),
        name: "gpu-0".into(),
        start_uj: Some(Decimal(7)),
        wraps: Some(0),
    });
    let host_uj = 830_000_000;
    let others_uj = host_uj - workload_uj - idle_uj;
    measured.energy = Energy { host_uj, idle_uj, others_uj, workload_uj };
    measured.check()
}

#[test]
fn a_gpus_energy_may_be_anyones_and_that_of_processors_may_not() {
    // Whoever used it, or nobody.
    assert_eq!(with_gpu(619_400_000, 200_000_000), Ok(()));
    assert_eq!(with_gpu(519_400_000, 200_000_000), Ok(()));
    assert_eq!(with_gpu(519_400_000, 300_000_000), Ok(()));
    assert_eq!(with_gpu(559_400_000, 230_000_000), Ok(()));
    for (workload, idle) in [
        // More than all of the GPU's, and less than the share by CPU time.
        (619_400_002, 200_000_000),
        (519_399_998, 200_000_000),
        // Idle beyond what both can have been.
        (619_400_000, 210_000_000),
    ] {
        let error = with_gpu(workload, idle).unwrap_err().to_string();
        assert!(error.contains("allocation_ratio"), "{workload} {idle}: {error}");
    }
}

#[test]
fn gpus_are_read_beside_the_one_sensor_that_was_used() {
    let with = |names: &[&str]| {
        let sensors = names.iter().map(|name| used(name)).collect();
        Measurement { sensors, ..measurement() }.check()
    };
    assert_eq!(with(&["sysfs", "nvml"]), Ok(()));
    assert!(with(&["sysfs", "nvml", "model"]).is_err());
    assert!(with(&["nvml"]).is_err());
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

/// The rule: a score that is confirmed is the one that is derived, digit by digit; and one whose end is another in the
/// ninth digit never is.
#[test]
fn a_score_that_is_confirmed_is_the_one_that_is_derived() {
    let span = interval("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let (mut told, mut confirmed) = (0, 0);
    for index in (0..10_000_u32).step_by(stride(487)) {
        // From next to nothing to next to everything beside the hardware's 29 or 57 g, with every spread.
        let (kwh, cv) = (f64::from(index).powi(2) / 1e7 + 1e-4, 0.5 + f64::from(index % 61));
        let energy = format!("ln({kwh}, {cv}%)kWh");
        let mut record = record_of(&half_hours(), span, &energy, Method::Analytical);
        let hardware = if index.is_multiple_of(2) { "server" } else { "2*server" };
        let share = if index.is_multiple_of(3) { "1" } else { "1/7" };
        record
            .reserve(&[Reserved {
                hardware: hardware.parse().unwrap(),
                life: "4y".parse().unwrap(),
                share: share.parse().unwrap(),
            }])
            .unwrap();
        record.score_per(&format!("{}:request", 1 + index % 1009).parse().unwrap()).unwrap();
        let sci = record.sci.clone().unwrap();
        told += 1;
        confirmed += u32::from(record.confirms(&sci).unwrap());
        for (up, of_low) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut other = sci.clone();
            let end = if of_low {
                &mut other.ci_lower_g_per_unit
            } else {
                &mut other.ci_upper_g_per_unit
            };
            *end = round9(*end * if up { 1.0 + 1.2e-8 } else { 1.0 - 1.2e-8 });
            assert!(!record.confirms(&other).unwrap(), "{energy}, {hardware}");
        }
        assert!(!record.confirms(&Sci { g_per_unit: sci.g_per_unit * 1.1, ..sci }).unwrap());
    }
    // All but those whose tenth digit is nearly a tie.
    assert!(confirmed * 20 >= told * 19, "{confirmed} of {told}");
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

#[test]
fn the_case_eshoppen_comes_out_as_it_was_worked() {
    // Green-Software-Foundation/sci-guide, case eShoppen, intensity 951 g/kWh, per hour: the database has
    // E = 0.0096 kWh, M = 1433.12 kg · 1/35040 · 2/16 = 5.1124 g, SCI 14.2416 (0.0096 · 951 = 9.1296).
    let hour = interval("2026-03-01T00:00Z", "2026-03-01T01:00Z");
    let hardware = |text: &str| {
        let (hardware, life) = (text.parse().unwrap(), "4y".parse().unwrap());
        Embodied::of(&[Reserved { hardware, life, share: "2/16".parse().unwrap() }], hour)
            .unwrap()
            .grams
    };
    let close = |value: f64, expected: f64, relative: f64| {
        assert!((value / expected - 1.0).abs() < relative, "{value} is not {expected}");
    };
    close(hardware("db=1433.12kg"), 5.1124, 1e-5);
    // It prints 14.2416, having rounded M to 5.112.
    close(0.0096 * 951.0 + hardware("db=1433.12kg"), 14.2416, 5e-5);
    // The whole is printed as 40.4196: with the application server's E of 0.023 kWh as printed there, M of
    // 4.305 as printed there, the sum is 14.2416 + 0.023 · 951 + 4.305 = 40.4196.
    close((0.0096 + 0.023) * 951.0 + hardware("db=1433.12kg") + 4.305, 40.4196, 5e-5);
    // An own computation of that server: E = 0.02394, M = 4.3005 g.
    close(hardware("app=1205.52kg"), 4.3005, 1e-5);
}

#[test]
fn functional_units_are_read_or_refused() {
    for (text, count, name) in [
        ("1000:request", 1000.0, "request"),
        ("user hour", 1.0, "user hour"),
        ("1e6: token ", 1e6, "token"),
    ] {
        let unit = FunctionalUnit { count, name: name.to_owned() };
        assert_eq!(text.parse(), Ok(unit), "{text}");
    }
    for text in ["0:request", "-1:x", "NaN:x", "inf:x", "x:y", "", "3:", "1:a\nb"] {
        assert!(text.parse::<FunctionalUnit>().is_err(), "{text:?}");
    }
}

/// The rule: no tolerance is below the rounding before it. What is not known of an energy is written with nine digits
/// a parameter, and its mean is 1 to within these.
#[test]
fn every_energy_that_can_be_written_makes_a_record() {
    let mut texts = Vec::new();
    for low in 1_u32..120 {
        for wider in [1, 13, 200] {
            let (low, high) = (f64::from(low) / 10.0, f64::from(low + wider) / 10.0);
            let (middle, inexact) = (f64::midpoint(low, high), (high - low) / 7.0);
            texts.push(format!("u({low}, {high})kWh"));
            texts.push(format!("tri({low}, {middle}, {high})kWh"));
            texts.push(format!("arcsine({low}, {high})kWh"));
            texts.push(format!("ctrap({high}, {}, {inexact})kWh", high + high));
            texts.push(format!("tn({middle}, {high}, min={low}, max={high})kWh"));
            texts.push(format!("tn({}, {high}, min={low}, max={high})kWh", low - 3.0 * high));
            texts.push(format!("t({middle}, {low}, 5.5)kWh"));
        }
    }
    for text in texts {
        let mut inputs = energy_inputs(Quantity::Energy.read(&text).unwrap(), "flag").unwrap();
        inputs.push(Input::new("pue", Distribution::Point { mean: 1.0 }, "flag"));
        inputs.push(Input::new("intensity", Distribution::Point { mean: 400.0 }, "flag"));
        assert!(budget(&inputs).is_ok(), "{text}: {:?}", budget(&inputs));
        // And every mass of hardware; what has no closed form takes its time.
        if !text.starts_with("u(") && !text.starts_with("tri(") {
            continue;
        }
        let mut record = example();
        record.scopes = scopes(Deployment::Own, Factor::Lifecycle, true, "default");
        let hardware = format!("box={}", text.replace("kWh", "kg"));
        if let Ok(hardware) = hardware.parse() {
            let (life, share) = ("4y".parse().unwrap(), "1".parse().unwrap());
            record.reserve(&[Reserved { hardware, life, share }]).unwrap();
            assert_eq!(record.check(), Ok(()), "{text}");
        }
    }
    let far = Input::new("x", Distribution::Uniform { low: 0.9, high: 1.100_000_1 }, "flag");
    let mut inputs = vec![far];
    inputs.extend(
        ["energy", "pue", "intensity"]
            .map(|name| Input::new(name, Distribution::Point { mean: 1.0 }, "flag")),
    );
    assert!(budget(&inputs).is_err());
}

/// Nothing times whatever is an exact 0, and no interval is asked of it; what is above 0 and exact has none.
#[test]
fn an_exact_zero_is_a_result() {
    let of = |energy: &str, pue: &str, intensity: f64| {
        let mut inputs = energy_inputs(Quantity::Energy.read(energy).unwrap(), "flag").unwrap();
        inputs.push(Input::new("pue", pue.parse().unwrap(), "flag"));
        inputs.push(Input::new("intensity", Distribution::Point { mean: intensity }, "flag"));
        let relative = Relative::of(&inputs, Method::Analytical)?;
        let derived = estimate(&inputs, &relative)?;
        Ok::<_, Error>((derived.prices.grams, derived.uncertainty_pct, derived.meta))
    };
    for (energy, pue, intensity) in
        [("1kWh", "1", 0.0), ("0kWh", "1", 400.0), ("1kWh ± 10%", "tn(1.2, 0.05, min=1)", 0.0)]
    {
        let (grams, _, meta) = of(energy, pue, intensity).unwrap();
        let all = [grams, meta.ci_lower_g, meta.ci_upper_g];
        assert!(all.iter().all(|number| number.to_bits() == 0), "{all:?}");
    }
    assert!(of("1kWh", "1", 400.0).is_err());
}

/// The rule: cutting a span into records changes nothing, as the error of an hour is one in all that it prices.
#[test]
fn a_span_that_is_cut_into_records_is_as_uncertain_as_one() {
    let slots = half_hours();
    let tariff_hours = |from: &str, to: &str, energy: &str| {
        record_of(&slots, interval(from, to), energy, Method::Analytical)
    };
    let whole = tariff_hours("2026-03-01T00:00Z", "2026-03-01T01:00Z", "6kWh");
    let mut parts = crate::totals::Group::default();
    for minute in (0..60).step_by(10) {
        let at = |minute: i32| format!("2026-03-01T{:02}:{:02}Z", minute / 60, minute % 60);
        let part = tariff_hours(&at(minute), &at(minute + 10), "1kWh");
        let noise = part.inputs.iter().find(|input| input.name == "slot_noise").unwrap();
        assert_eq!(
            noise.shared.as_deref(),
            Some("hour:gb:GB:average_lifecycle:unversioned:2026-03-01T00")
        );
        parts.merge(&crate::totals::Group::of(&part).unwrap());
    }
    let (parts, whole) = (parts.totals(), crate::totals::Group::of(&whole).unwrap().totals());
    assert!((parts.total_grams / whole.total_grams - 1.0).abs() < 1e-8);
    let ratio = parts.relative_uncertainty_pct / whole.relative_uncertainty_pct;
    // Without a key 0.96; what is missing are products of errors, which a sum takes as independent.
    assert!((ratio - 1.0).abs() < 3e-3, "{ratio}");
}

/// Every input of the format document is about one of three things, so that the interval of an energy has nothing of
/// the grid in it.
#[test]
fn each_input_that_the_format_names_is_about_energy_site_or_grid() {
    let format = include_str!("../../../../docs/formats/record-v2.md");
    let (_, inputs) = format.split_once("\n## Inputs\n").unwrap();
    let (inputs, _) = inputs.split_once("\n## ").unwrap();
    let rows = inputs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let mut named = vec!["energy", "pue", "intensity"];
    for (names, _) in rows {
        named.extend(names.split(", ").map(|name| name.trim_matches('`')));
    }
    named.sort_unstable();
    let parts = [
        (About::Energy, &["attribution", "ends", "energy", "energy_error", "gpu_attribution"][..]),
        (About::Energy, &["gpu_ends", "idle", "meter", "model"]),
        (About::Site, &["pue"]),
        (About::Grid, &["coverage", "factors", "grid", "intensity", "slot_noise", "stand_in"]),
        (About::Grid, &["upstream"]),
    ];
    let mut sorted: Vec<&str> = parts.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    sorted.sort_unstable();
    assert_eq!(named, sorted);
    for (part, names) in parts {
        for name in names {
            assert_eq!(About::of(name), part, "{name}");
        }
    }
    let mut record = example();
    let energy = record.energy();
    let of_grid = record.inputs.iter().find(|input| input.name == "intensity").unwrap();
    let factors = Input { name: "factors".to_owned(), ..of_grid.clone() };
    record.inputs.push(factors);
    assert_eq!(record.energy(), energy);
}

/// The lowest rung of the slots, and that of the place.
#[test]
fn precision_is_the_rung_of_place_and_time() {
    let mut record = example();
    assert_eq!(record.precision().to_string(), "country, hour");
    record.region = "GB-16".into();
    assert_eq!(record.precision().place, Place::Region);
    let slots = record.grid.slots.list.as_mut().unwrap();
    slots[1].end = "2026-03-29T00:00:00.000000Z".into();
    assert_eq!(record.precision().time, Time::Month);
    record.grid.slots.list.as_mut().unwrap()[0].class = UncertaintyClass::Yearly;
    record.region = "world".into();
    assert_eq!(record.precision().to_string(), "world, year");
    record.region = "unstated".into();
    record.grid.slots = Slots { count: 0, list: Some(Vec::new()), sha256: None };
    assert_eq!(record.precision().to_string(), "stated, always");
    // A year in quarter hours lists none of them.
    record.region = "LI".into();
    record.end_ts = "2027-03-01T00:20:00.000000Z".into();
    record.grid.slots = Slots { count: 35_041, list: None, sha256: Some("0".into()) };
    assert_eq!(record.precision().to_string(), "country, hour");
    record.stand_ins.push(StandIn {
        asked: "LI".into(),
        cv: None,
        reason: None,
        used: "CH".into(),
        why: "country_by_neighbour".into(),
    });
    assert_eq!(record.precision().place, Place::Neighbour);
}
