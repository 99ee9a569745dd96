//! Zones of odd range, whose unit a register tells, on a fake host.

use std::fs;
use std::time::Duration;

use carbon_ops_meter::sensor::Kind;
use carbon_ops_meter::sensor::msr::Units;
use carbon_ops_meter::sensor::powercap::{Topology, refine};

use crate::FakeHost;

/// As with a register that is narrower than 32 bits: 65 J, which tells no unit.
const ODD: &str = "65000000";

/// A host with a package of odd range, DRAM of odd range, and one whose range tells its unit.
fn host() -> FakeHost {
    let host = FakeHost::new(&[
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "dram"),
        ("intel-rapl:1", "package-1"),
    ]);
    for zone in ["intel-rapl:0", "intel-rapl:0:0"] {
        fs::write(host.zone(zone).join("max_energy_range_uj"), ODD).unwrap();
    }
    host
}

/// Which domains were refined, and their units. `print` is what the counters show after so many
/// pauses, from 0 to 7 for each zone.
fn refined(host: &FakeHost, units: &Units, print: impl Fn(u64) -> u64) -> Vec<(String, f64)> {
    let (_, mut topology) = Topology::discover(&host.root());
    let before: Vec<_> = topology.counted.iter().map(|zone| zone.domain.scale).collect();
    let mut look = 0;
    let show = |look: u64| {
        for zone in ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1"] {
            fs::write(host.zone(zone).join("energy_uj"), format!("{}\n", print(look % 8))).unwrap();
        }
    };
    show(0);
    let count = refine(&mut topology, units, &mut |_: Duration| {
        look += 1;
        show(look);
    });
    let after = topology.counted.iter().zip(&before);
    let changed: Vec<_> = after
        .filter(|(zone, before)| zone.domain.scale != **before)
        .map(|(zone, _)| (zone.domain.name.clone(), zone.domain.scale.unit_microjoules()))
        .collect();
    assert_eq!(changed.len(), count);
    changed
}

/// 2^-14 J in the kernel's 61.035 µJ, about 90 mJ apart.
fn of_esu_14(look: u64) -> u64 {
    (1_000_000 + look * 1_477) * 61_035 / 1000
}

/// 2^-16 J in 15.258 µJ.
fn of_esu_16(look: u64) -> u64 {
    (1_000_000 + look * 5_903) * 15_258 / 1000
}

#[test]
fn the_candidate_whose_lattice_the_readings_show_is_taken() {
    let units = Units::new(vec![16, 14], vec![]);
    let exact = |esu: i32| 1e6 / 2f64.powi(esu);
    let both = |unit: f64| [("dram-0".to_owned(), unit), ("package-0".to_owned(), unit)];
    assert_eq!(refined(&host(), &units, of_esu_14), both(exact(14)));
    assert_eq!(refined(&host(), &units, of_esu_16), both(exact(16)));
}

#[test]
fn a_kind_with_a_unit_of_its_own_is_left_alone() {
    let units = Units::new(vec![14], vec![Kind::Dram]);
    let found = refined(&host(), &units, of_esu_14);
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["package-0"]);
}

/// No candidate; readings off every lattice; one reading off it; a counter that rests.
#[test]
fn a_unit_that_is_not_shown_is_not_taken() {
    let units = Units::new(vec![14, 16], vec![]);
    assert_eq!(refined(&host(), &Units::default(), of_esu_14), []);
    assert_eq!(refined(&host(), &units, |look| 61_000_001 + look * 90_001), []);
    assert_eq!(refined(&host(), &units, |look| of_esu_14(look) + u64::from(look == 5)), []);
    assert_eq!(refined(&host(), &units, |_| of_esu_14(0)), []);
}

/// Six distinct readings on a lattice of 15.3 µJ are one chance in 12 million, five one in 800 thousand.
#[test]
fn so_many_distinct_readings_are_asked_for_that_chance_is_out_of_the_question() {
    let units = Units::new(vec![16], vec![]);
    assert_eq!(refined(&host(), &units, |look| of_esu_16(look.min(5))).len(), 2);
    assert_eq!(refined(&host(), &units, |look| of_esu_16(look.min(4))).len(), 0);
}
