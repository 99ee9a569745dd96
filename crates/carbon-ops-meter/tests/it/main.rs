//! The meter on fake hosts: folders laid out as sysfs lays them out, with the class directory made of
//! symlinks, and counters that the test moves.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod governed;
#[cfg(feature = "nvml")]
mod gpu;
mod hwmon;
mod msr;
#[cfg(feature = "nvml")]
mod nvml;
mod perf;
mod refine;
mod simulated_msr;
mod window;

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Availability;
use carbon_ops_meter::sensor::Exclusion;
use carbon_ops_meter::sensor::powercap::Topology;
use carbon_ops_meter::window::{Counted, Window};
use carbon_ops_testkit::host::{self, Zone};
use carbon_ops_units::{Microjoules, Watts};
use tempfile::TempDir;

mod diagnosis;

/// A host whose zones are named by their directory, such as `intel-rapl:0:1`.
struct FakeHost {
    dir: TempDir,
}

impl FakeHost {
    /// Zones as (directory, name), parents before children.
    fn new(zones: &[(&str, &str)]) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        for (id, name) in zones {
            let zone = Zone {
                id,
                name,
                energy_uj: 0,
                range_uj: host::INTEL_RANGE_UJ,
                limit_uw: 100_000_000,
            };
            zone.write(host.dir.path());
            host.set(id, 1_000_000);
        }
        host
    }

    fn zone(&self, id: &str) -> PathBuf {
        host::zone(self.dir.path(), id)
    }

    /// Sets a counter to the energy of so many ticks of 2^-14 J, as the kernel prints it.
    fn set(&self, id: &str, ticks: u64) {
        let printed = ticks * 61_035 / 1000;
        fs::write(self.zone(id).join("energy_uj"), format!("{printed}\n")).unwrap();
    }

    fn root(&self) -> HostRoot {
        HostRoot::at(self.dir.path())
    }

    fn excluded(&self) -> Vec<(String, Exclusion)> {
        let (_, topology) = Topology::discover(&self.root());
        topology.excluded.into_iter().map(|zone| (zone.name, zone.reason)).collect()
    }

    fn counted(&self) -> Vec<(String, String)> {
        let (_, topology) = Topology::discover(&self.root());
        topology.counted.into_iter().map(|zone| (zone.domain.name, zone.domain.source)).collect()
    }

    /// A window of two seconds, read every 100 ms; `step` moves the counters before each reading.
    /// What is left of the settling time after the end passes without a step.
    fn window(&self, mut step: impl FnMut(u64)) -> Counted {
        let base = Instant::now();
        let elapsed = Cell::new(Duration::ZERO);
        let clock = || base + elapsed.get();
        let (availability, window) = Window::open(&self.root(), &clock, boot);
        assert_eq!(availability, Availability::Present);
        let mut window = window.unwrap();
        for tick in 1..20 {
            elapsed.set(Duration::from_millis(100 * tick));
            step(tick);
            window.sample(&clock);
        }
        elapsed.set(Duration::from_secs(2));
        step(20);
        let mut sleep = |pause: Duration| {
            elapsed.set(elapsed.get() + pause);
            step(20 + elapsed.get().saturating_sub(Duration::from_secs(2)).as_millis() as u64);
        };
        window.end(&clock);
        window.close(Duration::from_secs(2), &clock, &mut sleep).unwrap()
    }
}

/// A machine that was started an hour ago.
fn boot() -> Moment {
    Moment::from_nanos(3_600_000_000_000)
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn zones_are_found_through_symlinks_and_known_by_their_names() {
    // psys takes index 1, so that the second package is intel-rapl:2.
    let host = FakeHost::new(&[
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "psys"),
        ("intel-rapl:2", "package-1"),
        ("intel-rapl:2:0", "uncore"),
        ("intel-rapl:2:1", "dram"),
        ("intel-rapl-mmio:0", "package-0"),
        ("intel-rapl-mmio:0:0", "dram"),
        ("dtpm:0", "soc"),
    ]);
    let expected = own(&[
        ("dram-0", "intel-rapl:0:1"),
        ("dram-1", "intel-rapl:2:1"),
        ("package-0", "intel-rapl:0"),
        ("package-1", "intel-rapl:2"),
    ]);
    assert_eq!(host.counted(), expected);
    let mut excluded = host.excluded();
    excluded.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("core", Exclusion::InsidePackage),
        ("dram", Exclusion::Duplicate),
        ("package-0", Exclusion::Duplicate),
        ("psys", Exclusion::OverlapsPackage),
        ("soc", Exclusion::Unknown),
        ("uncore", Exclusion::InsidePackage),
    ];
    assert_eq!(excluded, expected.map(|(name, reason)| (name.to_owned(), reason)));
}

#[test]
fn mmio_is_counted_where_the_msr_zone_cannot_be_read() {
    let zones = [("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")];
    let host = FakeHost::new(&zones);
    fs::write(host.zone("intel-rapl:0").join("energy_uj"), "").unwrap();
    assert_eq!(host.counted(), own(&[("package-0", "intel-rapl-mmio:0")]));
    assert_eq!(host.excluded(), [("package-0".to_owned(), Exclusion::Duplicate)]);
}

#[test]
fn memory_or_the_platform_alone_is_not_the_host() {
    for zones in [
        &[("intel-rapl:0", "psys")][..],
        &[("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")],
    ] {
        let host = FakeHost::new(zones);
        fs::write(host.zone("intel-rapl:0").join("energy_uj"), "<unsupported>\n").unwrap();
        let (availability, _) = Topology::discover(&host.root());
        assert!(matches!(availability, Availability::Absent(_)), "{availability:?}");
    }
}

#[test]
fn a_host_without_powercap_is_absent_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (availability, topology) = Topology::discover(&HostRoot::at(dir.path()));
    assert!(matches!(availability, Availability::Absent(why) if why.contains("powercap")));
    assert!(topology.counted.is_empty() && topology.excluded.is_empty());
}

#[test]
fn a_range_of_zero_or_garbage_excludes_the_zone() {
    for range in ["0", "", "-5", "many"] {
        let host = FakeHost::new(&[("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")]);
        fs::write(host.zone("intel-rapl:1").join("max_energy_range_uj"), range).unwrap();
        assert_eq!(host.counted(), own(&[("package-0", "intel-rapl:0")]), "{range:?}");
    }
}

/// A part that publishes 20 W is likely to draw up to 80 W, until it is seen to draw more.
#[test]
fn what_a_package_draws_raises_what_it_is_likely_to_draw() {
    for (watts, likely) in [(10, 80.0), (100, 400.0)] {
        let host = FakeHost::new(&[("intel-rapl:0", "package-0")]);
        fs::write(host.zone("intel-rapl:0").join("constraint_0_max_power_uw"), "20000000\n")
            .unwrap();
        let tenths = |n: u64| host.set("intel-rapl:0", 1_000_000 + n.min(20) * watts * 1638);
        let counted = host.window(tenths);
        assert!(
            (counted.likely().as_watts() - likely).abs() < 1.0,
            "{watts} W: {:?}",
            counted.likely()
        );
    }
}

#[test]
fn a_ceiling_that_readings_have_raised_is_told() {
    for (watts, raised) in [(50, false), (1900, false), (3000, true)] {
        let host = FakeHost::new(&[("intel-rapl:0", "package-0")]);
        let counted =
            host.window(|tick| host.set("intel-rapl:0", 1_000_000 + tick.min(20) * watts * 1638));
        assert_eq!(counted.domains[0].energy.is_ceiling_raised, raised, "{watts} W: {counted:?}");
    }
}

#[test]
fn package_and_dram_are_summed() {
    let zones =
        [("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "psys")];
    let host = FakeHost::new(&zones);
    // 50 W and 5 W: 819200 and 81920 ticks a second.
    let counted = host.window(|tick| {
        host.set("intel-rapl:0", 1_000_000 + tick * 81_920);
        host.set("intel-rapl:0:0", 1_000_000 + tick * 8_192);
    });
    assert_eq!(counted.host(), Microjoules::new(110_000_000));
    assert!(counted.is_measured());
    assert!((counted.coverage() - 1.0).abs() < f64::EPSILON);
    let (low, high) = counted.bounds();
    assert!(low <= counted.host() && counted.host() <= high);
}

#[test]
fn dies_that_mirror_one_counter_are_counted_once() {
    let zones = [("intel-rapl:0", "package-0-die-0"), ("intel-rapl:1", "package-0-die-1")];
    let host = FakeHost::new(&zones);
    let counted = host.window(|tick| {
        host.set("intel-rapl:0", 1_000_000 + tick * 81_920);
        host.set("intel-rapl:1", 1_000_000 + tick * 81_920);
    });
    assert_eq!(counted.host(), Microjoules::new(100_000_000));
    assert_eq!(counted.excluded.len(), 1);
    assert_eq!(counted.excluded.first().unwrap().reason, Exclusion::MirroredDie);
}

/// Near each other when they are first seen, by the kernel's names one: what counts is how they move.
#[test]
fn two_counters_are_two_whatever_they_are_called_and_wherever_they_start() {
    let pairs = [
        ("package-0-die-0", "package-0-die-1", Exclusion::MirroredDie),
        ("package-0", "package-0", Exclusion::Duplicate),
    ];
    for (one, other, reason) in pairs {
        // Watts of both, and ticks of 2^-14 J between their starts.
        for (watts, apart) in
            [([30, 40], 65_536), ([50, 35], 0), ([30, 31], 0), ([60, 0], 0), ([30, 30], 0)]
        {
            let host = FakeHost::new(&[("intel-rapl:0", one), ("intel-rapl:1", other)]);
            host.set("intel-rapl:1", 1_000_000 + apart);
            let counted = host.window(|tick| {
                host.set("intel-rapl:0", 1_000_000 + tick * watts[0] * 1638);
                host.set("intel-rapl:1", 1_000_000 + apart + tick * watts[1] * 1638);
            });
            let is_one = watts == [30, 30];
            let sum = if is_one { 30 } else { watts[0] + watts[1] };
            let off = counted.host().as_microjoules().abs_diff(2_000_000 * sum);
            assert!(off < 100_000, "{counted:?}");
            let reasons: Vec<_> = counted.excluded.iter().map(|zone| zone.reason).collect();
            let expected = match watts {
                [30, 30] => vec![reason],
                [_, 0] => vec![Exclusion::Stuck],
                _ => vec![],
            };
            assert_eq!(reasons, expected, "{one} {watts:?}");
        }
    }
}

/// Another bus shows the same package, which is used where the first tells nothing.
#[test]
fn a_copy_stands_in_for_a_zone_that_does_not_move_or_cannot_be_read() {
    let zones = [("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")];
    for broken in ["", "garbage"] {
        let host = FakeHost::new(&zones);
        if !broken.is_empty() {
            fs::write(host.zone("intel-rapl:0").join("energy_uj"), broken).unwrap();
        }
        let counted = host.window(|tick| host.set("intel-rapl-mmio:0", 1_000_000 + tick * 81_920));
        assert_eq!(counted.host(), Microjoules::new(100_000_000));
        assert_eq!(counted.domains[0].zone, "intel-rapl-mmio:0");
        assert!(counted.is_measured(), "{counted:?}");
    }
}

/// The one that moves, by each window: a zone that freezes in the midst of it and comes back is made up for.
#[test]
fn a_copy_stands_in_for_a_zone_while_that_rests() {
    let zones = [("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")];
    let host = FakeHost::new(&zones);
    let base = Instant::now();
    let elapsed = Cell::new(Duration::ZERO);
    let clock = || base + elapsed.get();
    let mut window = Window::open(&host.root(), &clock, boot).1.unwrap();
    let mut sum = Microjoules::ZERO;
    let mut told = Vec::new();
    for second in 0..6u64 {
        for tick in 1..=20 {
            let now = 20 * second + tick;
            elapsed.set(Duration::from_millis(50 * now));
            host.set("intel-rapl-mmio:0", 1_000_000 + now * 81_920);
            // From 1.5 s to 3.5 s it rests.
            let shown = if (30..70).contains(&now) { 30 } else { now };
            host.set("intel-rapl:0", 1_000_000 + shown * 81_920);
            if tick < 20 {
                window.sample(&clock);
            }
        }
        let counted = window.cut(Duration::from_secs(1), &clock).unwrap();
        assert!(counted.is_measured(), "{counted:?}");
        let [domain] = &*counted.domains else { panic!("{counted:?}") };
        sum = sum + domain.energy.energy;
        told.push(domain.zone.clone());
        assert!(
            counted.excluded.iter().all(|zone| zone.reason == Exclusion::Duplicate),
            "{counted:?}"
        );
    }
    assert_eq!(sum, Microjoules::new(600_000_000));
    assert_eq!(told.first().map(String::as_str), Some("intel-rapl:0"));
    assert_eq!(told[2], "intel-rapl-mmio:0");
    assert_eq!(told.last().map(String::as_str), Some("intel-rapl:0"));
}

/// Half a machine that is not counted is never passed over.
#[test]
fn a_package_without_a_counter_of_its_own_is_named_and_its_energy_bounded() {
    let counted = |zones: &[(&str, &str)], spoil: &dyn Fn(&FakeHost)| {
        let host = FakeHost::new(zones);
        spoil(&host);
        host.window(|tick| host.set("intel-rapl:0", 1_000_000 + tick * 81_920))
    };
    let two = [("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")];
    let without_file = |host: &FakeHost| {
        fs::remove_file(host.zone("intel-rapl:1").join("energy_uj")).unwrap();
    };
    let garbage = |host: &FakeHost| {
        fs::write(host.zone("intel-rapl:1").join("energy_uj"), "-").unwrap();
    };
    let with_topology = |host: &FakeHost| {
        host::file(host.dir.path(), "sys/devices/system/cpu/online", "0-1");
        for cpu in 0..2 {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            let file = |name: &str, text: &str| {
                host::file(host.dir.path(), &format!("{folder}/{name}"), text);
            };
            file("physical_package_id", &cpu.to_string());
            file("package_cpus_list", &cpu.to_string());
        }
    };
    let cases = [
        (counted(&two, &without_file), Exclusion::Unreadable),
        (counted(&two, &garbage), Exclusion::Unreadable),
        (counted(&two, &|_| ()), Exclusion::Stuck),
        (counted(&two[..1], &with_topology), Exclusion::Unlisted),
    ];
    for (counted, reason) in cases {
        let lost: Vec<_> =
            counted.excluded.iter().map(|zone| (zone.name.as_str(), zone.reason)).collect();
        assert_eq!(lost, [("package-1", reason)]);
        assert!(!counted.is_measured());
        // Four times the published 100 W, for two seconds.
        let most = counted.missing(Watts::ZERO).as_joules();
        assert!((most - 800.0).abs() < 1.0, "{most}");
    }
}

#[test]
fn dies_with_counters_of_their_own_are_both_counted() {
    let zones = [("intel-rapl:0", "package-0-die-0"), ("intel-rapl:1", "package-0-die-1")];
    let host = FakeHost::new(&zones);
    host.set("intel-rapl:1", 900_000_000);
    let counted = host.window(|tick| {
        host.set("intel-rapl:0", 1_000_000 + tick * 81_920);
        host.set("intel-rapl:1", 900_000_000 + tick * 81_920);
    });
    assert_eq!(counted.host(), Microjoules::new(200_000_000));
}

#[test]
fn a_package_that_vanishes_midway_is_filled_and_named() {
    let host = FakeHost::new(&[("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")]);
    let counted = host.window(|tick| {
        host.set("intel-rapl:0", 1_000_000 + tick * 81_920);
        if tick < 10 {
            host.set("intel-rapl:1", 1_000_000 + tick * 81_920);
        } else {
            // An unloaded driver: the file keeps its inode but holds nothing.
            fs::write(host.zone("intel-rapl:1").join("energy_uj"), "").unwrap();
        }
    });
    assert!(!counted.is_measured());
    assert!((counted.host().as_joules() - 200.0).abs() < 0.01, "{counted:?}");
    assert!(counted.coverage() < 0.75);
    assert_eq!(counted.domains.get(1).unwrap().energy.gaps.len(), 1);
}
