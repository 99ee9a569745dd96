//! One decision, one function: what was measured and what was stated get the same place, PUE, intensity, and
//! keys of shared errors, wherever the machine is and whoever set what.

use std::collections::BTreeSet;

use carbon_ops_estimate::decimal::round9;
use carbon_ops_grid::cloud::Cloud;
use carbon_ops_record::totals::Group;
use carbon_ops_record::{
    AttributionMode, Decimal, Energy, IdlePolicy, Measurement, Part as PartOfHost, Sensor,
    SensorStatus, Workload,
};

use super::*;
use crate::env::Env;
use crate::settings::Overrides;

const DAY: (&str, &str) = ("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z");

/// Every name of every table, and one of each other form.
fn zones() -> BTreeSet<String> {
    let mut zones = BTreeSet::from(["", "world"].map(str::to_owned));
    for (table, column) in [
        (include_str!("../../../carbon-ops-grid/data/grid-yearly.csv"), 0),
        (include_str!("../../../carbon-ops-grid/data/us-states.csv"), 0),
        (include_str!("../../../carbon-ops-grid/data/cloud-regions.csv"), 1),
        (include_str!("../../../carbon-ops-grid/data/zone-aliases.csv"), 0),
        (include_str!("../../../carbon-ops-grid/data/iso-3166.csv"), 0),
    ] {
        let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1);
        zones.extend(rows.filter_map(|row| row.split(',').nth(column)).map(str::to_owned));
    }
    for form in ["SE-SE3", "CA-ON", "us-ca", "static:DE", "watttime:CAISO_NORTH", "gb:13"] {
        zones.insert(form.to_owned());
    }
    zones
}

fn hosts() -> Vec<Host> {
    let bare =
        Host { id: "00".into(), id_from_name: false, boot_id: None, personal: false, cloud: None };
    let clouds = [Cloud::Amazon, Cloud::Google, Cloud::Microsoft, Cloud::Hetzner];
    let guests = clouds.map(|cloud| Host { cloud: Some(cloud), ..bare.clone() });
    let laptop = Host { personal: true, ..bare.clone() };
    [bare, laptop].into_iter().chain(guests).collect()
}

fn settings() -> Vec<(&'static str, Settings)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[pue]\ndefault = 1.4\n[pue.overrides]\nDE = 1.3\n\"us-west-2\" = 1.2\n")
        .unwrap();
    let of = |variables: &[(&str, &str)], file: Option<&std::path::Path>, pue: Option<&str>| {
        let flags = Overrides { pue: pue.map(str::to_owned), ..Overrides::default() };
        Settings::resolve(&Env::fake(variables), file, &flags).unwrap()
    };
    vec![
        ("nothing", of(&[], None, None)),
        ("flag", of(&[("DCL_PUE_DEFAULT", "1.9")], Some(&file), Some("enterprise"))),
        ("environment", of(&[("DCL_PUE_DEFAULT", "enterprise")], Some(&file), None)),
        ("file", of(&[], Some(&file), None)),
    ]
}

/// A measurement of 1 kWh.
fn measured() -> Measured {
    let uj = 3_600_000_000_000;
    Measured {
        span: Interval::parse(DAY.0, DAY.1).unwrap(),
        measurement: Measurement {
            allocation_ratio: Some(1.0),
            attribution_mode: AttributionMode::MonitorOnly,
            boot_id: None,
            coverage_pct: 100.0,
            cpu: None,
            domains: vec![carbon_ops_record::Domain {
                adjust_uj: None,
                backend: "model".into(),
                delta_uj: uj,
                end_uj: None,
                epoch: None,
                name: "cpu".into(),
                start_uj: None,
                wraps: None,
            }],
            elapsed_ns: Decimal(3_600_000_000_000),
            energy: Energy { host_uj: uj, idle_uj: 0, others_uj: 0, workload_uj: uj },
            excluded: Vec::new(),
            gaps: Vec::new(),
            intervals: None,
            idle_policy: IdlePolicy::Residual,
            model: None,
            part: PartOfHost::Workload,
            sensors: vec![Sensor {
                name: "model".into(),
                reason: None,
                status: SensorStatus::Used,
            }],
            workload: Some(Workload {
                args: None,
                cpu_time_ns: Decimal(0),
                exit_code: Some(0),
                program: "true".into(),
                running: None,
                signal: None,
            }),
        },
        inputs: vec![Input::new("energy", Distribution::Point { mean: 1.0 }, "measured")],
        notes: Vec::new(),
        quality: Quality::Estimated,
        host_id: "00".into(),
        simulated: false,
        interrupted: false,
    }
}

fn stated(settings: &Settings, host: &Host, zone: &str) -> Record {
    let grid = Grid::new(&settings.grid, &[], Mode::Offline).unwrap();
    let (ids, machine) = (Ids::new([1; 16]), Some(host.clone()));
    let mut pricer = Pricer::new(Shared::default(), settings, grid, machine, ids);
    let span = Span {
        interval: Interval::parse(DAY.0, DAY.1).unwrap(),
        energy: Distribution::Point { mean: 1.0 },
        load: &Load::Even(1.0),
        energy_source: "flag",
        zone: Some(zone),
        pue: None,
        id: None,
        host: None,
        labels: None,
        measured: None,
    };
    pricer.records(&span).unwrap().pop().unwrap()
}

fn by_run(settings: &Settings, host: &Host, zone: &str) -> Record {
    let shared = Shared { zone: Some(zone.to_owned()), ..Shared::default() };
    let ids = Ids::new([2; 16]);
    super::measured(&measured(), shared, settings, &[], host.clone(), ids).unwrap().record
}

/// The price of a sample of `monitor`.
fn watched(settings: &Settings, host: &Host, zone: &str) -> (Price, Vec<Input>) {
    let mut settings = settings.clone();
    settings.region.value = Some(zone.to_owned()).filter(|zone| !zone.is_empty());
    let mut price = LivePrice::open(&settings, &[], host.clone()).unwrap();
    let quoted = price.of(Interval::parse(DAY.0, DAY.1).unwrap()).unwrap();
    (quoted.price, quoted.inputs)
}

/// A record as `run` makes it.
pub(crate) fn record() -> Record {
    by_run(&Settings::plain(&Overrides::default()).unwrap(), &hosts()[0], "DE")
}

/// What a place and a site decide.
fn decided(record: &Record) -> impl PartialEq + std::fmt::Debug + use<> {
    let of_site = |input: &&Input| ["pue", "intensity"].contains(&&*input.name);
    let inputs: Vec<Input> = record.inputs.iter().filter(of_site).cloned().collect();
    (
        (record.region.clone(), record.source.clone(), record.signal.clone()),
        (record.pue_used.to_bits(), record.intensity_g_per_kwh.to_bits(), record.quality_flag),
        (record.scopes.clone(), record.stand_ins.clone(), inputs),
    )
}

#[test]
fn measured_and_stated_energy_of_any_zone_setting_and_machine_is_priced_alike() {
    let (zones, mut compared) = (zones(), 0);
    assert!(zones.len() > 600, "{}", zones.len());
    for (name, settings) in settings() {
        for (kind, host) in hosts().into_iter().enumerate() {
            // All zones on a machine of one's own and on a guest; of other machines every tenth.
            let step = if [0, 2].contains(&kind) { 1 } else { 10 };
            for zone in zones.iter().step_by(step) {
                let (run, estimate) =
                    (by_run(&settings, &host, zone), stated(&settings, &host, zone));
                assert_eq!(decided(&run), decided(&estimate), "{name} {host:?} {zone:?}");
                let (price, inputs) = watched(&settings, &host, zone);
                let of_run = (run.pue_used.to_bits(), run.intensity_g_per_kwh.to_bits());
                let of_price = (price.pue_used.to_bits(), price.intensity_g_per_kwh.to_bits());
                assert_eq!(of_price, of_run, "{name} {host:?} {zone:?}");
                assert_eq!((&price.region, &price.source), (&run.region, &run.source));
                assert_eq!(price.quality.max(Quality::Estimated), run.quality_flag);
                assert!(inputs.iter().all(|input| run.inputs.contains(input)), "{inputs:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 4 * 2 * zones.len());
}

/// A PUE is found in one order, and what it says of a region is what its operator published.
#[test]
fn the_pue_is_that_of_whoever_knows_the_site_best() {
    let settings = settings();
    let of = |name: &str| settings.iter().find(|(other, _)| *other == name).unwrap().1.clone();
    let hosts = hosts();
    let (bare, laptop, aws) = (&hosts[0], &hosts[1], &hosts[2]);
    for (setting, host, zone, pue) in [
        ("flag", bare, "DE", 1.551_824_15),
        ("environment", bare, "DE", 1.551_824_15),
        ("file", bare, "DE", 1.3),
        ("file", bare, "us-west-2", 1.2),
        ("file", bare, "FR", 1.4),
        ("nothing", bare, "FR", 1.551_824_15),
        ("nothing", laptop, "FR", 1.0),
        ("nothing", laptop, "eu-central-1", 1.35),
        ("nothing", aws, "FR", 1.15),
        ("nothing", aws, "", 1.15),
    ] {
        let record = by_run(&of(setting), host, zone);
        let near = (record.pue_used - pue).abs() < 0.001;
        assert!(near, "{setting} {zone:?} {}: {}", host.personal, record.pue_used);
    }
}

/// However a PUE was said, it is one error: three records of it are as uncertain as one.
#[test]
fn one_distribution_of_the_pue_is_one_error_whoever_states_it() {
    let hosts = hosts();
    let mut keys = BTreeSet::new();
    let mut group = Group::default();
    for (name, settings) in settings() {
        if name == "file" {
            continue;
        }
        let record = by_run(&settings, &hosts[0], "DE");
        keys.extend(record.input("pue").unwrap().shared.clone());
        group.merge(&Group::of(&record).unwrap());
    }
    assert_eq!(keys, BTreeSet::from(["pue:tn(1.55, 0.2, min=1)".to_owned()]));
    let single = by_run(&settings()[0].1, &hosts[0], "DE");
    let (sum, one) = (group.totals().relative_uncertainty_pct, single.uncertainty_pct);
    assert!((sum / one - 1.0).abs() < 1e-7, "{sum} is not {one}");
    assert!((round9(group.totals().total_grams) - 3.0 * single.grams).abs() < 1e-6);
}
