//! Which counters are summed, on machines of many shapes, and what becomes of zones that come and go.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::governor::{Governor, Place, members, number};
use carbon_ops_testkit::simulator::{Simulator, USUAL};

/// The reason for each domain and zone that is not summed, by zone.
fn reasons(governor: &Governor<'_>) -> BTreeMap<String, String> {
    let topology = governor.topology();
    let mut reasons = BTreeMap::new();
    for list in ["domains", "not_counted"] {
        for zone in topology[list].as_array().unwrap() {
            if let Some(reason) = zone["reason"].as_str() {
                reasons.insert(zone["zone"].as_str().unwrap().to_owned(), reason.to_owned());
            }
        }
    }
    reasons
}

fn assert_reasons(governor: &Governor<'_>, expected: &[(&str, &str)]) {
    let found = reasons(governor);
    let found: Vec<_> = found.iter().map(|(zone, why)| (zone.as_str(), why.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn packages_and_their_memory_are_summed_and_all_else_is_named() {
    let zones = [
        "-d",
        "0=package-0@65",
        "-d",
        "0:0=core@40",
        "-d",
        "0:1=dram@8",
        "-d",
        "0:2=uncore@5",
        "-d",
        "1=package-1@40",
        "-d",
        "1:0=dram@4",
        "-d",
        "2=psys@150",
        "--mmio",
    ];
    let Some(simulator) = Simulator::start(&zones) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let snapshot = governor.snapshot();
    assert_eq!(
        members(&snapshot["counters_uj"]),
        [
            "dram:intel-rapl:0:1",
            "dram:intel-rapl:1:0",
            "package-0:intel-rapl:0",
            "package-1:intel-rapl:1"
        ]
    );
    // Beside them, what is read without being summed, two copies of packages among it.
    assert_eq!(members(&snapshot["totals_uj"]).len(), 9);
    let names = snapshot["domains"].as_object().unwrap().values().map(|domain| &domain["name"]);
    let names: std::collections::BTreeSet<_> = names.map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    assert_reasons(
        &governor,
        &[
            ("intel-rapl-mmio:0", "duplicate"),
            ("intel-rapl-mmio:1", "duplicate"),
            ("intel-rapl:0:0", "inside_package"),
            ("intel-rapl:0:2", "inside_package"),
            ("intel-rapl:2", "overlaps_package"),
        ],
    );
}

#[test]
fn a_die_that_repeats_another_is_not_summed() {
    let zones = ["-d", "0=package-0-die-0@65", "-d", "1=package-0-die-1@65"];
    let Some(simulator) = Simulator::start(&zones) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    assert_eq!(members(&governor.snapshot()["counters_uj"]), ["package-0-die-0:intel-rapl:0"]);
    assert_reasons(&governor, &[("intel-rapl:1", "mirrored_die")]);
}

#[test]
fn dies_that_count_each_for_itself_are_summed() {
    let zones = ["-d", "0=package-0-die-0@400", "-d", "1=package-0-die-1@20"];
    let Some(simulator) = Simulator::start(&zones) else { return };
    // Their counters start at the same value and must part first.
    std::thread::sleep(Duration::from_millis(300));
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    assert_eq!(members(&governor.snapshot()["counters_uj"]).len(), 2);
    assert_reasons(&governor, &[]);
}

#[test]
fn a_zone_that_fails_is_stale_and_what_it_missed_comes_with_its_next_reading() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let (key, other) = ("package-0:intel-rapl:0", "dram:intel-rapl:0:1");
    for fault in ["eio", "enodata", "garbage", "empty"] {
        simulator.order(&format!("fail package-0 {fault}"));
        let still = governor.until("stale", |seen| seen["domains"][key]["stale"] == true);
        assert_eq!(still["domains"][other]["stale"], false, "{fault}");
        assert_eq!(still["status"], "ok");
        simulator.order("fail package-0 ok");
        let again = governor.until("read", |seen| seen["domains"][key]["stale"] == false);
        let grown = number(&again["totals_uj"][key]) - number(&still["totals_uj"][key]);
        let time =
            number(&again["domains"][key]["read_ns"]) - number(&still["domains"][key]["read_ns"]);
        // 65 W are 65 nJ per ns. A reading is off by a step of a ms, and late by what is busy.
        assert!(grown.abs_diff(time * 65 / 1000) < 65_000 * 20, "{fault}: {grown} in {time}");
        assert_eq!(
            (&again["domains"][key]["gaps"], &again["domains"][key]["epoch"]),
            (&0.into(), &still["domains"][key]["epoch"]),
            "{fault}"
        );
    }
    simulator.order("reset package-0 5000");
    let reset = governor.until("reset", |seen| number(&seen["domains"][key]["gaps"]) == 1);
    assert_ne!(reset["domains"][key]["epoch"], governor.snapshot()["domains"][other]["epoch"]);
    let health = governor.health();
    let events = health["sampler"]["events"].as_array().unwrap();
    let count = |word: &str| events.iter().filter(|event| event["event"] == word).count();
    assert_eq!((count("failing"), count("bridged"), count("lost")), (4, 4, 1), "{health:#}");
}

#[test]
fn a_counter_that_stands_still_is_called_stuck() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap()]);
    let key = "package-0:intel-rapl:0";
    simulator.order("fail package-0 stuck");
    let stuck = governor.until("stuck", |seen| seen["domains"][key]["stuck"] == true);
    assert_eq!(stuck["domains"]["dram:intel-rapl:0:1"]["stuck"], false);
    simulator.order("fail package-0 ok");
    let moves = governor.until("moving", |seen| seen["domains"][key]["stuck"] == false);
    assert_eq!(moves["domains"][key]["gaps"], 0);
    assert!(number(&moves["totals_uj"][key]) > number(&stuck["totals_uj"][key]) + 100_000_000);
}

/// A powercap tree of ordinary folders, as a kernel lays it out, in which zones can come and go.
struct Tree {
    place: Place,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { place: Place::new() };
        fs::create_dir_all(tree.path("class/powercap")).unwrap();
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path("sys").join(name)
    }

    fn start(&self) -> Governor<'_> {
        let root = format!("--powercap-root={}", self.path("class/powercap").display());
        // These tests need no root, and see what root would.
        self.place.start(&[&root, "--poll-interval=20ms", "--client-quantum=1uJ"])
    }

    /// Adds a zone, or shows one again, with so many ticks of 61.035 µJ.
    fn show(&self, id: &str, name: &str, ticks: u64) {
        let folder = self.path(&format!("devices/{}", nested(id)));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("max_energy_range_uj"), "262143328850\n").unwrap();
        self.set(id, ticks);
        let link = self.path(&format!("class/powercap/{id}"));
        let _ = symlink(format!("../../devices/{}", nested(id)), link);
    }

    fn set(&self, id: &str, ticks: u64) {
        let file = self.path(&format!("devices/{}/energy_uj", nested(id)));
        // In one write of one length, so that no reading is torn.
        let text = format!("{:012}\n", ticks * 61_035 / 1000);
        let open = fs::File::options().create(true).truncate(false).write(true).open(file);
        open.unwrap().write_all_at(text.as_bytes(), 0).unwrap();
    }

    /// Takes a zone away. A file that is open stays readable here, and not in sysfs: it is emptied
    /// first, so that it is opened anew.
    fn take(&self, id: &str) {
        let folder = self.path(&format!("devices/{}", nested(id)));
        fs::remove_file(self.path(&format!("class/powercap/{id}"))).unwrap();
        fs::write(folder.join("energy_uj"), "").unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}

/// `intel-rapl/intel-rapl:0/intel-rapl:0:1` of `intel-rapl:0:1`.
fn nested(id: &str) -> String {
    let ends = id.match_indices(':').map(|(end, _)| end).chain([id.len()]);
    ends.map(|end| &id[..end]).collect::<Vec<_>>().join("/")
}

/// Ticks of 2^-14 J in µJ, as one may differ from another by rounding.
fn ticks(microjoules: u64) -> u64 {
    (microjoules * 16384 + 500_000) / 1_000_000
}

#[test]
fn a_zone_that_was_gone_is_bridged_or_begins_a_new_epoch() {
    let tree = Tree::new();
    tree.show("intel-rapl:0", "package-0", 1_000_000);
    tree.show("intel-rapl:1", "package-1", 1_000_000);
    let governor = tree.start();
    let key = "package-1:intel-rapl:1";
    let domain = |seen: &Value| seen["domains"][key].clone();
    let total = |seen: &Value| ticks(number(&seen["totals_uj"][key]));
    let before = governor.snapshot();
    tree.take("intel-rapl:1");
    let gone = governor.until("stale", |seen| domain(seen)["stale"] == true);
    assert_eq!(
        (gone["domains"]["package-0:intel-rapl:0"]["stale"].clone(), total(&gone)),
        (false.into(), total(&before))
    );
    // It counted on: 250 000 ticks are 15 J.
    tree.show("intel-rapl:1", "package-1", 1_250_000);
    let back = governor.until("back", |seen| domain(seen)["stale"] == false);
    assert_eq!(total(&back) - total(&before), 250_000);
    assert_eq!(
        (&domain(&back)["epoch"], &domain(&back)["gaps"]),
        (&domain(&before)["epoch"], &0.into())
    );
    // It began anew.
    tree.take("intel-rapl:1");
    governor.until("stale", |seen| domain(seen)["stale"] == true);
    tree.show("intel-rapl:1", "package-1", 5000);
    let anew = governor.until("anew", |seen| number(&domain(seen)["gaps"]) == 1);
    assert!(number(&domain(&anew)["epoch"]) > number(&domain(&back)["epoch"]));
    assert_eq!(total(&anew), total(&back));
    tree.set("intel-rapl:1", 6000);
    governor.until("counting", |seen| total(seen) == total(&back) + 1000);
    let health = governor.health();
    let events = health["sampler"]["events"].as_array().unwrap().iter();
    let events: Vec<_> = events.map(|event| (&event["event"], &event["reason"])).collect();
    for wanted in [("failing", "vanished"), ("bridged", "vanished"), ("lost", "reset")] {
        let found = events
            .iter()
            .any(|(event, reason)| (*event, *reason) == (&wanted.0.into(), &wanted.1.into()));
        assert!(found, "{wanted:?} is not in {events:?}");
    }
}

#[test]
fn a_zone_that_appears_is_added_and_a_copy_of_one_that_is_gone_is_not() {
    let tree = Tree::new();
    tree.show("intel-rapl:0", "package-0", 1_000_000);
    tree.show("intel-rapl:1", "package-1", 1_000_000);
    tree.show("intel-rapl-mmio:0", "package-1", 1_000_000);
    let governor = tree.start();
    let counted = |seen: &Value| members(&seen["counters_uj"]).len();
    assert_eq!(counted(&governor.snapshot()), 2);
    tree.take("intel-rapl:1");
    governor.until("stale", |seen| seen["domains"]["package-1:intel-rapl:1"]["stale"] == true);
    tree.show("intel-rapl:2", "package-2-die-0", 500_000);
    tree.show("intel-rapl:3", "package-2-die-1", 500_000);
    tree.show("intel-rapl:0:0", "dram", 70_000);
    let key = "package-2-die-0:intel-rapl:2";
    let added = governor.until("added", |seen| seen["totals_uj"][key].is_number());
    assert_eq!(
        members(&added["counters_uj"]),
        ["dram:intel-rapl:0:0", "package-0:intel-rapl:0", "package-1:intel-rapl:1", key]
    );
    assert_eq!(reasons(&governor)["intel-rapl:3"], "mirrored_die");
    assert_eq!(reasons(&governor)["intel-rapl-mmio:0"], "duplicate");
    tree.show("intel-rapl:1", "package-1", 1_000_100);
    let back =
        governor.until("back", |seen| seen["domains"]["package-1:intel-rapl:1"]["stale"] == false);
    assert_eq!(counted(&back), 4);
}

/// Of a zone and its copy the one that moves is counted, as often as that changes, and no energy is missing.
#[test]
fn a_copy_is_counted_while_its_zone_rests() {
    let tree = Tree::new();
    tree.show("intel-rapl:0", "package-0", 1_000_000);
    tree.show("intel-rapl-mmio:0", "package-0", 5_000_000);
    let governor = tree.start();
    let (zone, copy) = ("package-0:intel-rapl:0", "package-0:intel-rapl-mmio:0");
    let counted = |seen: &Value| members(&seen["counters_uj"]).join(" ");
    assert_eq!(counted(&governor.snapshot()), zone);
    for (from, id, key) in
        [(5_000_000, "intel-rapl-mmio:0", copy), (1_000_000, "intel-rapl:0", zone)]
    {
        let at = Cell::new(from);
        governor.until(key, |seen| {
            at.set(at.get() + 1000);
            tree.set(id, at.get());
            counted(seen) == key
        });
    }
}

/// What is true at the start is true of later zones: values that wrap at 2^32 µJ.
#[test]
fn the_width_that_was_given_holds_for_zones_that_appear() {
    let tree = Tree::new();
    tree.show("intel-rapl:0", "package-0", 1_000_000);
    tree.show("intel-rapl:1", "package-1", 1_000_000);
    let root = format!("--powercap-root={}", tree.path("class/powercap").display());
    let governor = tree.place.start(&[&root, "--poll-interval=20ms", "--sysfs-bits=32"]);
    tree.take("intel-rapl:1");
    tree.show("intel-rapl:2", "package-2", 500_000);
    let key = "package-2:intel-rapl:2";
    governor.until("added", |seen| seen["totals_uj"][key].is_number());
    let topology = governor.topology();
    let ranges = topology["domains"].as_array().unwrap().iter().map(|domain| &domain["range_uj"]);
    let ranges: Vec<u64> = ranges.map(number).collect();
    assert_eq!(ranges, [1 << 32; 3], "{topology:#}");
}
