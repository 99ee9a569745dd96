//! Registers beside the kernel's files, on a simulated host of either vendor: the two agree with the
//! truth and with each other, and a register tells the unit that an odd range does not.
//!
//! The host stands in the place of the real one, in a mount namespace of the governor alone.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::accuracy::{Case, assert_exact};
use crate::governor::{BINARY, Governor, Place};
use carbon_ops_testkit::simulator::{Simulator, program, with_sim};
use carbon_ops_testkit::skip::{can, skip};

/// Vendor, family and model, as `/proc/cpuinfo` has them.
pub(crate) type Processor = (&'static str, u32, u32);

/// A Xeon of the fourth generation, whose memory counts in the same unit as its package.
pub(crate) const INTEL: Processor = ("GenuineIntel", 6, 143);

/// An EPYC 7702.
pub(crate) const AMD: Processor = ("AuthenticAMD", 23, 49);

/// Two logical CPUs, as the simulator is told to have.
fn cpu_info(place: &Place, (vendor, family, model): Processor) -> String {
    let cpu = |number: u32| {
        format!(
            "processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: a simulation\nphysical id\t: 0\ncore id\t\t: {number}\n\n"
        )
    };
    let file = place.path("cpuinfo");
    fs::write(&file, cpu(0) + &cpu(1)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Starts a governor on the simulated host.
pub(crate) fn start<'p>(
    place: &'p Place,
    simulator: &Simulator,
    processor: Processor,
    options: &[&str],
) -> Governor<'p> {
    let script = "mount --bind \"$0\" /proc/cpuinfo && exec \"$@\"";
    let mut command = Command::new("bash");
    command.args([with_sim(), "bash", "-c", script, &cpu_info(place, processor), BINARY]);
    command.args(place.options()).args(options).stderr(place.log_file());
    command.env("SIM_DIR", simulator.path("")).env("RAPLSIM", program());
    place.started(&mut command)
}

pub(crate) fn may_mount() -> bool {
    let may = can("unshare -m --propagation private true");
    if !may {
        skip("namespaces", "mounting takes root and unshare(1)");
    }
    may
}

#[test]
fn a_register_and_the_kernels_file_count_the_same_joules() {
    if !may_mount() {
        return;
    }
    let zones = ["--cpus", "2", "-d", "0=package-0@65", "-d", "0:1=dram@8"];
    let Some(simulator) = Simulator::start(&zones) else { return };
    let (files, registers) = (Place::new(), Place::new());
    let by_files = start(&files, &simulator, INTEL, &[]);
    let by_registers = start(&registers, &simulator, INTEL, &["--rapl-mode=msr"]);
    let third = Place::new();
    let of_amd = start(&third, &simulator, AMD, &["--rapl-mode=msr"]);
    let truth = |key: &str| match key.split(':').next().unwrap() {
        "package-0" => ("intel-rapl:0", 65),
        "dram-0" | "dram" => ("intel-rapl:0:1", 8),
        other => panic!("{other} in {key}"),
    };
    let hosts = [(&by_files, &files), (&by_registers, &registers), (&of_amd, &third)];
    let case = |place| {
        let name = "registers".to_owned();
        Case { name, simulator: &simulator, place, rounding_ppm: 0.0, truth: &truth }
    };
    let from = hosts.map(|(governor, place)| case(place).end(governor));
    let begun = Instant::now();
    // The comparison begins with the first sample and tells after ten seconds.
    let compared = |governor: &Governor<'_>| {
        let check = &governor.health()["sampler"]["cross_check"];
        check["domains"].as_array().is_some_and(|domains| domains.len() == 2).then(|| check.clone())
    };
    let check = loop {
        if let Some(check) = compared(&by_files) {
            break check;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{}\n{:#}",
            files.log(),
            by_files.health()
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(check["backend"], "msr");
    for domain in check["domains"].as_array().unwrap() {
        let value = |name: &str| domain[name].as_f64().unwrap();
        // The reading of the second way follows that of the first, by as long as the machine is busy.
        assert!(value("drift_ppm").abs() < 1000.0 + value("resolution_ppm"), "{check:#}");
        assert!(value("energy_j") > 70.0, "{check:#}");
    }
    for ((governor, place), from) in hosts.into_iter().zip(&from) {
        let case = case(place);
        assert_exact(&case, from, &case.end(governor));
    }
    let sources = |governor: &Governor<'_>| governor.topology()["backends"].clone();
    assert_eq!(sources(&by_files), serde_json::json!(["sysfs"]));
    assert_eq!(sources(&by_registers), serde_json::json!(["msr"]));
    assert!(!files.log().contains("drift apart"), "{}", files.log());
}

#[test]
fn a_register_tells_the_unit_of_an_odd_range() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    for (processor, esu) in [(INTEL, "14"), (AMD, "16")] {
        let zones = ["--cpus", "2", "--esu", esu, "--max", "400000000", "-d", "0=package-0@400"];
        let Some(simulator) = Simulator::start(&zones) else { return };
        let governor = start(&place, &simulator, processor, &["--max-power=1000"]);
        let topology = governor.topology();
        let domain = &topology["domains"][0];
        let unit = 1e6 / f64::from(1u32 << esu.parse::<u32>().unwrap());
        assert_eq!(domain["unit_uj"].as_f64(), Some(unit), "{topology:#}\n{}", place.log());
        assert_eq!(governor.snapshot()["domains"]["package-0:intel-rapl:0"]["lattice"], true);
    }
}
