//! The MSR backend on fake hosts. The registers of a CPU are a sparse file: the value of a register
//! stands at its number, a hole reads as zero, and what lies behind the end cannot be read.
//!
//! Registers one apart overlap in such a file, as AMD's do: its unit register keeps bits 15:0 and has
//! the package's in the rest.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::msr::{Msr, Units, energy_filtering, units};
use carbon_ops_meter::sensor::{Availability, Backend as _, Exclusion, Kind, ReadFault};
use carbon_ops_units::Microjoules;
use tempfile::TempDir;

/// Turbostat's example of an Intel unit register: 2^-14 J.
const INTEL_UNIT: (u64, u64) = (0x606, 0xA_0E03);

/// AMD's own: 2^-16 J.
const AMD_UNIT: (u64, u64) = (0xC001_0299, 0xA_1000);

const AMD_PACKAGE: u64 = 0xC001_029B;

pub(crate) struct FakeHost {
    dir: TempDir,
}

impl FakeHost {
    /// A processor by vendor, family and model, with CPUs as (package, die).
    pub(crate) fn new(processor: (&str, u32, u32), cpus: &[(u32, u32)]) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        let (vendor, family, model) = processor;
        let text = format!(
            "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: A Processor\n\nprocessor\t: 1\nvendor_id\t: Another\n"
        );
        fs::create_dir_all(host.path("proc")).unwrap();
        fs::write(host.path("proc/cpuinfo"), text).unwrap();
        for (cpu, (package, die)) in cpus.iter().enumerate() {
            let topology = host.path(&format!("sys/devices/system/cpu/cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("physical_package_id"), format!("{package}\n")).unwrap();
            fs::write(topology.join("die_id"), format!("{die}\n")).unwrap();
        }
        host
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn root(&self) -> HostRoot {
        HostRoot::at(self.dir.path())
    }

    /// Sets registers of a CPU, which has a register file from then on.
    fn set(&self, cpu: u32, registers: &[(u64, u64)]) {
        fs::create_dir_all(self.path(&format!("dev/cpu/{cpu}"))).unwrap();
        let path = self.path(&format!("dev/cpu/{cpu}/msr"));
        let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
        for (number, value) in registers {
            file.write_all_at(&value.to_le_bytes(), *number).unwrap();
        }
    }

    fn discover(&self, cpus: Option<&[u32]>) -> Msr {
        let (availability, msr) = Msr::discover(&self.root(), cpus);
        assert_eq!(availability, Availability::Present);
        msr.unwrap()
    }

    fn absent(&self, cpus: Option<&[u32]>) -> String {
        match Msr::discover(&self.root(), cpus) {
            (Availability::Absent(why), None) => why,
            other => panic!("{other:?}"),
        }
    }
}

const SKYLAKE_X: (&str, u32, u32) = ("GenuineIntel", 6, 0x55);
const KABY_LAKE: (&str, u32, u32) = ("GenuineIntel", 6, 0x9E);
const ROME: (&str, u32, u32) = ("AuthenticAMD", 0x17, 0x31);
const GENOA: (&str, u32, u32) = ("AuthenticAMD", 0x19, 0x11);
/// A client, of whose registers' width AMD's driver says nothing.
const RAPHAEL: (&str, u32, u32) = ("AuthenticAMD", 0x19, 0x61);

fn sources(msr: &Msr) -> Vec<(&str, &str, &str)> {
    let domains = msr.domains().iter();
    domains.map(|d| (d.name.as_str(), d.key.as_str(), d.source.as_str())).collect()
}

/// What two readings a second apart did to a counter.
fn observed(msr: &mut Msr, index: usize, step: impl FnOnce()) -> (Step, u64) {
    let domain = msr.domains()[index].clone();
    let mut counter = Counter::new(domain.scale, domain.ceiling);
    counter.observe(msr.read(index).unwrap(), Moment::from_nanos(0));
    step();
    let reading = msr.read(index).unwrap();
    (counter.observe(reading, Moment::from_nanos(1_000_000_000)), counter.wraps())
}

fn delta(msr: &mut Msr, index: usize, step: impl FnOnce()) -> Step {
    observed(msr, index, step).0
}

fn advance(joules: u64) -> Step {
    Step::Advance { delta: Microjoules::new(joules * 1_000_000) }
}

/// The predecessor had one domain per logical CPU, all of the same register.
#[test]
fn each_package_is_read_once_however_many_cpus_it_has() {
    let host = FakeHost::new(SKYLAKE_X, &[(0, 0), (1, 0), (0, 0), (1, 0)]);
    for cpu in 0..4 {
        host.set(cpu, &[INTEL_UNIT, (0x611, 5), (0x619, 6), (0x639, 7)]);
    }
    host.set(0, &[(0x64D, 9)]);
    host.set(1, &[(0x64D, 9)]);
    let mut msr = host.discover(None);
    let expected = [
        ("package-0", "package-0:msr", "msr:0x611@cpu0"),
        ("dram-0", "dram-0:msr", "msr:0x619@cpu0"),
        ("core-0", "core-0:msr", "msr:0x639@cpu0"),
        ("psys", "psys:msr", "msr:0x64D@cpu0"),
        ("package-1", "package-1:msr", "msr:0x611@cpu1"),
        ("dram-1", "dram-1:msr", "msr:0x619@cpu1"),
        ("core-1", "core-1:msr", "msr:0x639@cpu1"),
    ];
    assert_eq!(sources(&msr), expected);
    let readings: Vec<_> = (0..7).map(|index| msr.read(index).unwrap()).collect();
    assert_eq!(readings, [5, 6, 7, 9, 5, 6, 7]);
    assert_eq!(msr.read(7), Err(ReadFault::Gone));
    let counted: Vec<_> = msr.domains().iter().filter(|d| d.excluded.is_none()).collect();
    assert_eq!(counted.len(), 4);
}

#[test]
fn registers_that_fault_or_read_zero_are_not_domains() {
    let host = FakeHost::new(KABY_LAKE, &[(0, 0)]);
    // DRAM and cores are holes; the uncore and what follows lie behind the end.
    host.set(0, &[INTEL_UNIT, (0x611, 5), (0x639, 0)]);
    assert_eq!(sources(&host.discover(None)).len(), 1);
}

#[test]
fn the_same_tick_is_worth_what_the_processor_says() {
    let host = FakeHost::new(SKYLAKE_X, &[(0, 0)]);
    host.set(0, &[INTEL_UNIT, (0x611, 1), (0x619, 1)]);
    let mut msr = host.discover(None);
    // 50 J are 50 << 14 ticks of the package, and four times as many of a server's memory.
    assert_eq!(delta(&mut msr, 0, || host.set(0, &[(0x611, 1 + (50 << 14))])), advance(50));
    assert_eq!(delta(&mut msr, 1, || host.set(0, &[(0x619, 1 + (50 << 16))])), advance(50));

    let host = FakeHost::new(ROME, &[(0, 0), (0, 1)]);
    host.set(0, &[AMD_UNIT, (AMD_PACKAGE, 1)]);
    host.set(1, &[AMD_UNIT, (AMD_PACKAGE, 1)]);
    let mut msr = host.discover(None);
    // Two dies of one AMD package are one counter.
    assert_eq!(sources(&msr), [("package-0", "package-0:msr", "msr:0xC001029B@cpu0")]);
    let after = (AMD_PACKAGE, 1 + (50 << 16));
    assert_eq!(delta(&mut msr, 0, || host.set(0, &[after])), advance(50));
    let excluded: Vec<_> =
        msr.excluded().iter().map(|e| (e.name.as_str(), e.id.as_str(), e.reason)).collect();
    assert_eq!(excluded, [("core-0", "msr:0xC001029A", Exclusion::InsidePackage)]);
}

#[test]
fn dies_of_an_intel_package_are_counted_apart() {
    let host = FakeHost::new(SKYLAKE_X, &[(0, 0), (0, 1)]);
    host.set(0, &[INTEL_UNIT, (0x611, 5)]);
    host.set(1, &[INTEL_UNIT, (0x611, 6)]);
    let msr = host.discover(None);
    let names: Vec<_> = msr.domains().iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["package-0-die-0", "package-0-die-1"]);
}

#[test]
fn an_intel_reading_above_32_bits_is_corrupt() {
    let host = FakeHost::new(KABY_LAKE, &[(0, 0)]);
    host.set(0, &[INTEL_UNIT, (0x611, 1)]);
    let mut msr = host.discover(None);
    let above = |host: &FakeHost| host.set(0, &[(0x611, (1 << 32) + 5)]);
    assert_eq!(delta(&mut msr, 0, || above(&host)), Step::Skipped);
}

/// Energy that crosses 2^32 ticks: with 32 bits a wrap, with 64 none, and the same joules in each case.
#[test]
fn amd_registers_of_either_width_count_the_same_energy() {
    let before = (1u64 << 32) - (20 << 16);
    let after = before + (50 << 16);
    for (processor, start, wide) in [
        (ROME, before, false),
        (GENOA, before, true),
        (RAPHAEL, before, false),
        // Seen above 32 bits at the start.
        (RAPHAEL, before + (5 << 32), true),
    ] {
        let host = FakeHost::new(processor, &[(0, 0)]);
        host.set(0, &[AMD_UNIT, (AMD_PACKAGE, start)]);
        let mut msr = host.discover(None);
        let next = start + (after - before);
        // A register of 32 bits wraps itself; where it does not, the upper bits are left out.
        for shown in [next, next & u64::from(u32::MAX)] {
            if wide && shown != next {
                continue;
            }
            host.set(0, &[(AMD_PACKAGE, start)]);
            let after = || host.set(0, &[(AMD_PACKAGE, shown)]);
            let found = observed(&mut msr, 0, after);
            assert_eq!(found, (advance(50), u64::from(!wide)), "{processor:?} from {start}");
        }
    }
}

#[test]
fn a_cpu_that_is_offline_is_replaced_by_another_of_its_package() {
    let host = FakeHost::new(KABY_LAKE, &[(0, 0), (0, 0)]);
    host.set(0, &[INTEL_UNIT, (0x611, 5)]);
    host.set(1, &[INTEL_UNIT, (0x611, 5)]);
    fs::remove_file(host.path("dev/cpu/0/msr")).unwrap();
    // Opening a socket fails with ENXIO, as opening the registers of an offline CPU does.
    let _socket = UnixListener::bind(host.path("dev/cpu/0/msr")).unwrap();
    let msr = host.discover(None);
    assert_eq!(sources(&msr), [("package-0", "package-0:msr", "msr:0x611@cpu1")]);
}

#[test]
fn only_the_cpus_that_are_allowed_read_and_a_package_without_one_is_missing_aloud() {
    let host = FakeHost::new(KABY_LAKE, &[(0, 0), (0, 0), (1, 0)]);
    for cpu in 0..3 {
        host.set(cpu, &[INTEL_UNIT, (0x611, 5)]);
    }
    let msr = host.discover(Some(&[1]));
    assert_eq!(sources(&msr), [("package-0", "package-0:msr", "msr:0x611@cpu1")]);
    let excluded: Vec<_> = msr.excluded().iter().map(|e| (e.name.as_str(), e.reason)).collect();
    assert_eq!(excluded, [("package-1", Exclusion::Unreadable)]);
    assert!(host.absent(Some(&[1, 7])).contains("/dev/cpu/7/msr"));
}

#[test]
fn a_machine_that_tells_no_topology_is_read_once() {
    let host = FakeHost::new(KABY_LAKE, &[]);
    for cpu in 0..4 {
        host.set(cpu, &[INTEL_UNIT, (0x611, 5)]);
    }
    assert_eq!(sources(&host.discover(None)).len(), 1);
}

#[test]
fn what_is_absent_says_why() {
    let host = FakeHost::new(KABY_LAKE, &[(0, 0)]);
    assert!(host.absent(None).contains("modprobe msr"));
    // A virtual machine answers with zeros.
    host.set(0, &[(0x606, 0), (0x611, 0)]);
    assert!(host.absent(None).contains("virtual machine"));
    host.set(0, &[INTEL_UNIT]);
    assert!(host.absent(None).contains("package-0"));
    // A Xeon's memory has a unit of its own, a Core's has not: without the model, nobody knows.
    for (lacking, said) in [("cpu family", "cpu family"), ("model\t", "model")] {
        let host = FakeHost::new(SKYLAKE_X, &[(0, 0)]);
        host.set(0, &[INTEL_UNIT, (0x611, 5), (0x619, 6)]);
        let file = host.path("proc/cpuinfo");
        let text = fs::read_to_string(&file).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with(lacking));
        fs::write(file, kept.collect::<Vec<_>>().join("\n")).unwrap();
        let why = host.absent(None);
        assert!(why.ends_with(&format!("does not tell the processor's {said}")), "{why}");
    }
    let arm = FakeHost::new(("Apple", 0, 0), &[]);
    assert!(arm.absent(None).contains("Apple"));
}

#[test]
fn units_are_the_vendors_own_first_and_never_those_of_a_kind_with_another() {
    let host = FakeHost::new(ROME, &[(0, 0)]);
    host.set(0, &[INTEL_UNIT, AMD_UNIT, (AMD_PACKAGE, 1)]);
    let found = units(&host.root(), None);
    assert_eq!(found, Units::new(vec![16, 14], vec![]));

    let host = FakeHost::new(SKYLAKE_X, &[(0, 0)]);
    host.set(0, &[INTEL_UNIT]);
    let found = units(&host.root(), Some(&[0]));
    assert_eq!(found.candidates(Kind::Package), [14]);
    assert_eq!(found.candidates(Kind::Dram), [0; 0]);
    let nothing = units(&FakeHost::new(KABY_LAKE, &[]).root(), None);
    assert_eq!(nothing, Units::default());
}

/// Intel: bit 11 of 0x10A says that bit 0 of 0xBC exists.
#[test]
fn energy_filtering_is_told_where_the_processor_has_the_switch() {
    let has = (0x10A, 1 << 11);
    for (processor, registers, expected) in [
        (KABY_LAKE, &[has, (0xBC, 1)][..], Some(true)),
        (KABY_LAKE, &[has, (0xBC, 0)], Some(false)),
        (KABY_LAKE, &[(0x10A, 0), (0xBC, 1)], None),
        (KABY_LAKE, &[], None),
        (ROME, &[has, (0xBC, 1)], None),
    ] {
        let host = FakeHost::new(processor, &[(0, 0)]);
        host.set(0, registers);
        assert_eq!(energy_filtering(&host.root(), None), expected, "{registers:x?}");
    }
}
