//! The perf backend on fake events: a folder is the PMU, and a test moves the counts.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::perf::{Event, EventOpener, Perf};
use carbon_ops_meter::sensor::{Availability, Backend as _, Exclusion, ReadFault};
use carbon_ops_units::Microjoules;
use tempfile::TempDir;

const SCALE: &str = "2.3283064365386962890625e-10\n";

/// A host with a PMU of these events, on one CPU per package.
fn host(cpumask: &str, packages: &[(u32, u32)], events: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pmu = dir.path().join("sys/bus/event_source/devices/power");
    fs::create_dir_all(pmu.join("events")).unwrap();
    fs::write(pmu.join("type"), "21\n").unwrap();
    fs::write(pmu.join("cpumask"), format!("{cpumask}\n")).unwrap();
    for (event, config) in events {
        fs::write(pmu.join(format!("events/{event}")), format!("{config}\n")).unwrap();
        fs::write(pmu.join(format!("events/{event}.scale")), SCALE).unwrap();
        fs::write(pmu.join(format!("events/{event}.unit")), "Joules\n").unwrap();
    }
    for (cpu, package) in packages {
        let path = dir.path().join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("physical_package_id"), format!("{package}\n")).unwrap();
    }
    dir
}

#[derive(Debug)]
struct FakeEvent(Arc<AtomicU64>);

impl Event for FakeEvent {
    fn count(&mut self) -> io::Result<u64> {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Err(io::Error::from_raw_os_error(19)),
            count => Ok(count),
        }
    }
}

/// Opens anything, and remembers what; or fails with an errno, for one event or all.
#[derive(Default)]
struct FakeKernel {
    opened: RefCell<Vec<(u32, u64, u32)>>,
    fails: Option<(Option<u64>, i32)>,
    count: Arc<AtomicU64>,
}

impl EventOpener for FakeKernel {
    fn open(&self, pmu_type: u32, config: u64, cpu: u32) -> io::Result<Box<dyn Event>> {
        match self.fails {
            Some((only, errno)) if only.is_none_or(|only| only == config) => {
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => {}
        }
        self.opened.borrow_mut().push((pmu_type, config, cpu));
        Ok(Box::new(FakeEvent(Arc::clone(&self.count))))
    }
}

fn names(perf: &Perf) -> Vec<(&str, &str, &str)> {
    let names = perf.domains().iter();
    names.map(|d| (d.name.as_str(), d.key.as_str(), d.source.as_str())).collect()
}

#[test]
fn each_package_is_read_by_the_cpu_that_the_kernel_names() {
    let events = [
        ("energy-pkg", "event=0x02"),
        ("energy-ram", "event=0x03"),
        ("energy-cores", "event=0x01"),
        ("energy-psys", "event=0x05"),
    ];
    let dir = host("0,18", &[(0, 0), (18, 1)], &events);
    let kernel = FakeKernel::default();
    let (availability, perf) = Perf::discover(&HostRoot::at(dir.path()), &kernel);
    assert_eq!(availability, Availability::Present);
    let perf = perf.unwrap();
    let expected = [
        ("package-0", "package-0:perf", "energy-pkg@cpu0"),
        ("package-1", "package-1:perf", "energy-pkg@cpu18"),
        ("dram-0", "dram-0:perf", "energy-ram@cpu0"),
        ("dram-1", "dram-1:perf", "energy-ram@cpu18"),
        ("core-0", "core-0:perf", "energy-cores@cpu0"),
        ("core-1", "core-1:perf", "energy-cores@cpu18"),
        ("psys", "psys:perf", "energy-psys@cpu0"),
    ];
    assert_eq!(names(&perf), expected);
    let excluded: Vec<_> = perf.domains().iter().map(|domain| domain.excluded).collect();
    let inside = Some(Exclusion::InsidePackage);
    let around = Some(Exclusion::OverlapsPackage);
    assert_eq!(excluded, [None, None, None, None, inside, inside, around]);
    assert_eq!(kernel.opened.borrow()[..2], [(21, 2, 0), (21, 2, 18)]);
}

/// 2^32 ticks are a joule, and 64 bits hold more than the 32 of the register.
#[test]
fn ticks_are_of_2_to_the_minus_32_joules_in_64_bits() {
    let dir = host("0", &[], &[("energy-pkg", "event=0x02")]);
    let kernel = FakeKernel::default();
    let (_, perf) = Perf::discover(&HostRoot::at(dir.path()), &kernel);
    let mut perf = perf.unwrap();
    let domain = perf.domains()[0].clone();
    let mut counter = Counter::new(domain.scale, domain.ceiling);
    counter.observe(perf.read(0).unwrap(), Moment::from_nanos(0));
    kernel.count.store(65 << 32, Ordering::Relaxed);
    let step = counter.observe(perf.read(0).unwrap(), Moment::from_nanos(1_000_000_000));
    assert_eq!(step, Step::Advance { delta: Microjoules::new(65_000_000) });
    kernel.count.store(u64::MAX, Ordering::Relaxed);
    assert_eq!((perf.read(0), perf.read(1)), (Err(ReadFault::Gone), Err(ReadFault::Gone)));
}

#[test]
fn another_scale_or_unit_is_refused_rather_than_guessed() {
    for (file, text, part) in [
        ("energy-pkg.scale", "1.0e-6\n", "1.0e-6"),
        ("energy-pkg.unit", "mWh\n", "mWh"),
        ("energy-pkg", "config=7\n", "config=7"),
    ] {
        let dir = host("0", &[], &[("energy-pkg", "event=0x02")]);
        let events = dir.path().join("sys/bus/event_source/devices/power/events");
        fs::write(events.join(file), text).unwrap();
        let found = Perf::discover(&HostRoot::at(dir.path()), &FakeKernel::default());
        let (Availability::Absent(why), None) = found else { panic!("{found:?}") };
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_kernel_without_the_pmu_is_absent_and_a_strict_one_says_how_to_be_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let found = Perf::discover(&HostRoot::at(dir.path()), &FakeKernel::default());
    assert!(matches!(found, (Availability::Absent(_), None)), "{found:?}");
    // EPERM and EACCES: both occur, by kernel version.
    for errno in [1, 13] {
        let dir = host("0", &[], &[("energy-pkg", "event=0x02")]);
        let kernel = FakeKernel { fails: Some((None, errno)), ..FakeKernel::default() };
        let found = Perf::discover(&HostRoot::at(dir.path()), &kernel);
        let (Availability::Denied(remedy), None) = found else { panic!("{found:?}") };
        assert!(remedy.contains("CAP_PERFMON"), "{remedy}");
    }
}

#[test]
fn memory_that_cannot_be_opened_is_named_and_the_package_still_read() {
    let events = [("energy-pkg", "event=0x02"), ("energy-ram", "event=0x03")];
    let dir = host("0", &[], &events);
    let kernel = FakeKernel { fails: Some((Some(3), 22)), ..FakeKernel::default() };
    let (availability, perf) = Perf::discover(&HostRoot::at(dir.path()), &kernel);
    assert_eq!(availability, Availability::Present);
    let perf = perf.unwrap();
    assert_eq!(names(&perf), [("package-0", "package-0:perf", "energy-pkg@cpu0")]);
    let excluded: Vec<_> = perf.excluded().iter().map(|e| (e.name.as_str(), e.reason)).collect();
    assert_eq!(excluded, [("dram-0", Exclusion::Unreadable)]);
}
