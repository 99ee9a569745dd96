//! The MSR backend against the truth: registers that move as real ones do, served by the simulator of
//! `testdata/sim`, under the processor and topology of a fake host.
//!
//! No clock is compared. Each reading of a register stands between two readings of the simulator's
//! exact totals, so that its energy is known to the time that these take and one step of the counter.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::msr::{Msr, units};
use carbon_ops_meter::sensor::powercap::{Powercap, Topology, refine};
use carbon_ops_meter::sensor::{Availability, Backend};
use carbon_ops_testkit::simulator::{Simulator, may_run, program, truth, with_sim};
use carbon_ops_testkit::skip::skip;

use crate::msr::FakeHost;

/// A counter steps once a millisecond.
const QUANTUM_S: f64 = 0.001;

/// Runs in which the truth must be known to one quantum per end: a machine that is busy with other
/// things takes longer for the readings around ours.
const RUNS: usize = 20;

/// A host whose registers are the simulator's.
fn host(simulator: &Simulator, processor: (&str, u32, u32), cpus: &[(u32, u32)]) -> FakeHost {
    let host = FakeHost::new(processor, cpus);
    fs::create_dir_all(host.path("dev")).unwrap();
    symlink(simulator.path("cpu"), host.path("dev/cpu")).unwrap();
    fs::create_dir_all(host.path("sys/class")).unwrap();
    symlink(simulator.path("class/powercap"), host.path("sys/class/powercap")).unwrap();
    host
}

/// A reading between two totals.
struct Framed {
    reading: u64,
    low_uj: f64,
    high_uj: f64,
}

fn framed(mount: &Path, backend: &mut dyn Backend, index: usize, zone: &str) -> Framed {
    let low_uj = truth(mount, zone);
    let reading = backend.read(index).unwrap();
    Framed { reading, low_uj, high_uj: truth(mount, zone) }
}

/// Measures a domain over 0.2 s. In every run its energy lies within what the truth allows, to a tick;
/// in one run at least the truth is known to one quantum at each end.
fn is_true(mount: &Path, backend: &mut dyn Backend, name: &str, zone: (&str, f64)) {
    let index = backend.domains().iter().position(|domain| domain.name == name).unwrap();
    let domain = backend.domains()[index].clone();
    let (id, watts) = zone;
    let mut widths = Vec::new();
    while widths.len() < RUNS {
        let mut counter = Counter::new(domain.scale, domain.ceiling);
        let start = Instant::now();
        let first = framed(mount, backend, index, id);
        counter.observe(first.reading, Moment::from_nanos(0));
        std::thread::sleep(Duration::from_millis(200));
        let last = framed(mount, backend, index, id);
        let step = counter.observe(last.reading, Moment::from_nanos(0).after(start.elapsed()));
        let Step::Advance { delta } = step else { panic!("{name}: {step:?}") };
        #[expect(clippy::cast_precision_loss, reason = "a few joules")]
        let found = delta.as_microjoules() as f64;
        let tick = domain.scale.unit_microjoules() + 1.0;
        let (low, high) = (last.low_uj - first.high_uj - tick, last.high_uj - first.low_uj + tick);
        assert!(low <= found && found <= high, "{name}: {found} µJ, not {low} to {high}");
        widths.push(high - low);
        if high - low <= 2.0 * (QUANTUM_S * watts * 1e6 + tick) {
            return;
        }
    }
    panic!("{name}: the truth is not known well enough: {widths:?}");
}

const TWO_PACKAGES: [&str; 14] = [
    "--cpus",
    "4",
    "-d",
    "0=package-0@65",
    "-d",
    "0:0=core@40",
    "-d",
    "0:1=dram@8",
    "-d",
    "1=package-1@sine:40:10:0.5",
    "-d",
    "1:1=dram@5",
    "-d",
    "2=psys@150",
];

const CPUS: [(u32, u32); 4] = [(0, 0), (0, 0), (1, 0), (1, 0)];

fn present(host: &FakeHost) -> Msr {
    let (availability, msr) = Msr::discover(&host.root(), None);
    assert_eq!(availability, Availability::Present);
    msr.unwrap()
}

#[test]
fn intel_registers_count_the_truth_of_each_package() {
    let Some(simulator) = Simulator::start(&TWO_PACKAGES) else { return };
    // Kaby Lake: no exception from the unit register.
    let host = host(&simulator, ("GenuineIntel", 6, 0x9E), &CPUS);
    let mut msr = present(&host);
    let names: Vec<_> = msr.domains().iter().map(|domain| domain.name.clone()).collect();
    assert_eq!(names, ["package-0", "dram-0", "core-0", "psys", "package-1", "dram-1"]);
    is_true(&simulator.path(""), &mut msr, "package-0", ("intel-rapl:0", 65.0));
    is_true(&simulator.path(""), &mut msr, "dram-0", ("intel-rapl:0:1", 8.0));
    is_true(&simulator.path(""), &mut msr, "package-1", ("intel-rapl:1", 50.0));
    is_true(&simulator.path(""), &mut msr, "psys", ("intel-rapl:2", 150.0));
}

#[test]
fn amd_registers_count_the_truth_of_each_package() {
    let Some(simulator) = Simulator::start(&TWO_PACKAGES) else { return };
    let host = host(&simulator, ("AuthenticAMD", 0x17, 0x31), &CPUS);
    let mut msr = present(&host);
    let names: Vec<_> = msr.domains().iter().map(|domain| domain.name.clone()).collect();
    assert_eq!(names, ["package-0", "package-1"]);
    is_true(&simulator.path(""), &mut msr, "package-0", ("intel-rapl:0", 65.0));
    is_true(&simulator.path(""), &mut msr, "package-1", ("intel-rapl:1", 50.0));
}

/// A register that wraps while it is read: 65536 J at 2^-16 J, of which 65 J are left: one second.
#[test]
fn a_register_that_wraps_counts_the_truth() {
    let start = ["--start", "65471000000", "--esu", "16", "-d", "0=package-0@65"];
    let Some(simulator) = Simulator::start(&start) else { return };
    let host = host(&simulator, ("AuthenticAMD", 0x17, 0x31), &[]);
    let mut msr = present(&host);
    let domain = msr.domains()[0].clone();
    let mut counter = Counter::new(domain.scale, domain.ceiling);
    let begin = Instant::now();
    let first = framed(&simulator.path(""), &mut msr, 0, "intel-rapl:0");
    counter.observe(first.reading, Moment::from_nanos(0));
    let before = counter.total();
    let mut last = first.reading;
    let (mut low, mut high) = (0.0, 0.0);
    while counter.wraps() == 0 && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
        let next = framed(&simulator.path(""), &mut msr, 0, "intel-rapl:0");
        counter.observe(next.reading, Moment::from_nanos(0).after(begin.elapsed()));
        (low, high) = (next.low_uj - first.high_uj, next.high_uj - first.low_uj);
        last = next.reading;
    }
    assert!(counter.wraps() == 1 && last < first.reading, "{counter:?}");
    #[expect(clippy::cast_precision_loss, reason = "a few joules")]
    let found = counter.total().checked_sub(before).unwrap().as_microjoules() as f64;
    assert!(low - 17.0 <= found && found <= high + 17.0, "{found} µJ, not {low} to {high}");
}

/// A range of 6.5 kJ tells no unit; the register does, and the live readings confirm it.
#[test]
fn sysfs_zones_of_odd_range_take_the_registers_unit_and_count_the_truth() {
    let odd = ["--max", "6500000000", "-d", "0=package-0@65", "-d", "0:1=dram@8"];
    let Some(simulator) = Simulator::start(&odd) else { return };
    // As on this machine, the vendor's own register may say something else.
    for vendor in [("GenuineIntel", 6, 0x9E), ("AuthenticAMD", 0x17, 0x31)] {
        let host = host(&simulator, vendor, &[]);
        let (_, mut topology) = Topology::discover(&host.root());
        let found = units(&host.root(), None);
        assert_eq!(refine(&mut topology, &found, &mut std::thread::sleep), 2);
        let mut sysfs = Powercap::new(topology);
        assert!(sysfs.domains().iter().all(|domain| domain.scale.is_exact()));
        is_true(&simulator.path(""), &mut sysfs, "package-0", ("intel-rapl:0", 65.0));
    }
}

/// In the place of the real registers, by their own path and under this machine's own processor and
/// topology: the test runs itself again inside `with-sim.sh`.
#[test]
fn the_hosts_own_registers_are_read_by_their_own_path() {
    if let Some(mount) = std::env::var_os("SIM_DIR") {
        let (availability, msr) = Msr::discover(&HostRoot::real(), None);
        let Some(mut msr) = msr else { panic!("{availability}") };
        is_true(mount.as_ref(), &mut msr, "package-0", ("intel-rapl:0", 65.0));
        return;
    }
    if !may_run() {
        return;
    }
    let vendors = ["GenuineIntel", "AuthenticAMD", "HygonGenuine"];
    let cpuinfo = HostRoot::real().text("/proc/cpuinfo").unwrap_or_default();
    if !vendors.iter().any(|vendor| cpuinfo.contains(vendor)) {
        return skip("sim", "this machine's processor has no energy registers");
    }
    let mut unshare = Command::new("unshare");
    if !unshare.args(["-m", "--propagation", "private", "true"]).status().is_ok_and(|s| s.success())
    {
        return skip("namespaces", "mounting takes unshare(1)");
    }
    let mut command = Command::new("bash");
    command.args([with_sim(), "-d", "0=package-0@65", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "simulated_msr::the_hosts_own_registers_are_read_by_their_own_path"]);
    let output = command.env("RAPLSIM", program()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}
