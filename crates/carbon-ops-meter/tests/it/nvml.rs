//! The GPU backend on a fake of NVIDIA's library: compiled once, copied for each test, and told what to
//! answer by a file beside it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::sensor::nvml::{Clock, Nvml, Share};
use carbon_ops_meter::sensor::{Availability, Backend as _, Exclusion, Kind, ReadFault};
use carbon_ops_testkit::nvml;
use carbon_ops_units::{Microjoules, Watts};
use tempfile::TempDir;

/// A machine with the fake library and a clock of its own.
pub(crate) struct Fake {
    dir: TempDir,
    now: Arc<AtomicU64>,
}

impl Fake {
    pub(crate) fn new(answers: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        nvml::library(dir.path(), answers);
        // Not before the boot clock of the tests, which stands still.
        Self { dir, now: Arc::new(AtomicU64::new(crate::boot().as_nanos())) }
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("libnvidia-ml.so.1")
    }

    pub(crate) fn answers(&self, answers: &str) {
        nvml::answer(&self.library(), answers);
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Box::new(move || Moment::from_nanos(now.load(Ordering::Relaxed)))
    }

    pub(crate) fn passes(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
    }

    fn discover(&self) -> (Availability, Option<Nvml>) {
        Nvml::discover(&self.library(), self.clock())
    }

    pub(crate) fn present(&self) -> Nvml {
        let (availability, nvml) = self.discover();
        assert_eq!(availability, Availability::Present);
        nvml.unwrap()
    }
}

const COUNTER: &str = "count 1\n0.uuid GPU-1a2b\n0.energy 5000\n0.power 90000\n0.limit 300000\n";

#[test]
fn the_energy_counter_is_preferred_and_counts_millijoules() {
    let fake = Fake::new(COUNTER);
    let mut nvml = fake.present();
    assert_eq!(nvml.name(), "nvml");
    let [gpu] = nvml.domains() else { panic!("{nvml:?}") };
    assert_eq!((gpu.name.as_str(), gpu.key.as_str()), ("gpu-0", "gpu-0:nvml"));
    assert_eq!((gpu.source.as_str(), gpu.kind, gpu.excluded), ("GPU-1a2b", Kind::Gpu, None));
    assert_eq!(gpu.likely, Watts::new(1200.0).unwrap());
    assert_eq!(gpu.ceiling, Kind::Gpu.ceiling());
    assert_eq!(nvml.integral(0), None);

    let mut counter = Counter::new(gpu.scale, gpu.ceiling);
    counter.observe(nvml.read(0).unwrap(), Moment::from_nanos(0));
    // 120 J in a second.
    fake.answers(&COUNTER.replace("5000", "125000"));
    let step = counter.observe(nvml.read(0).unwrap(), Moment::from_nanos(1_000_000_000));
    assert_eq!(step, Step::Advance { delta: Microjoules::new(120_000_000) });
}

/// mJ since the driver was loaded pass 32 bits after 50 days at 1 kW.
#[test]
fn the_counter_has_64_bits() {
    let fake = Fake::new(&COUNTER.replace("0.energy 5000", "0.energy 4294967295"));
    let mut nvml = fake.present();
    let scale = nvml.domains()[0].scale;
    let mut counter = Counter::new(scale, Watts::new(1200.0).unwrap());
    counter.observe(nvml.read(0).unwrap(), Moment::from_nanos(0));
    fake.answers(&COUNTER.replace("0.energy 5000", "0.energy 4295067295"));
    let step = counter.observe(nvml.read(0).unwrap(), Moment::from_nanos(1_000_000_000));
    assert_eq!(step, Step::Advance { delta: Microjoules::new(100_000_000) });
    assert_eq!(counter.wraps(), 0);
}

#[test]
fn power_is_integrated_where_there_is_no_counter_and_its_bound_is_told() {
    let power = |mw: u32| format!("count 1\n0.uuid GPU-old\n0.energy !3\n0.power {mw}\n");
    let fake = Fake::new(&power(100_000));
    let mut nvml = fake.present();
    let gpu = nvml.domains()[0].clone();
    // No limit is told either.
    assert_eq!(gpu.ceiling, Kind::Gpu.ceiling());
    let mut counter = Counter::new(gpu.scale, gpu.ceiling);
    counter.observe(nvml.read(0).unwrap(), (fake.clock())());
    let mut total = 0;
    // 100 W to 200 W, 200 W, back to 100 W, in steps of half a second: 75 + 100 + 75 J.
    for mw in [200_000, 200_000, 100_000] {
        fake.answers(&power(mw));
        fake.passes(Duration::from_millis(500));
        match counter.observe(nvml.read(0).unwrap(), (fake.clock())()) {
            Step::Advance { delta } => total += delta.as_microjoules(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(total, 250_000_000);
    let integral = nvml.integral(0).unwrap();
    assert_eq!(integral.energy, Microjoules::new(250_000_000));
    // Half the change over half a second, twice.
    assert_eq!(integral.bound, Microjoules::new(50_000_000));
    assert_eq!(integral.longest_gap, Duration::from_millis(500));
}

#[test]
fn a_machine_without_the_driver_is_absent_and_the_library_named() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake { dir, now: Arc::default() };
    let (availability, nvml) = fake.discover();
    assert!(nvml.is_none());
    let Availability::Absent(why) = availability else { panic!("{availability:?}") };
    assert!(why.contains("libnvidia-ml.so.1"), "{why}");
    // A library of another kind has none of the functions.
    fs::write(fake.library(), "not a library").unwrap();
    assert!(matches!(fake.discover(), (Availability::Absent(_), None)));
}

#[test]
fn each_failure_to_start_says_what_it_is() {
    for (answers, part) in [
        ("init !9", "driver is not loaded"),
        ("init !18", "different versions"),
        ("init !999", "NVML error 999"),
        ("count 0", "no GPU"),
        ("count 1\n0.uuid GPU-a\n", "neither energy nor power"),
    ] {
        let (availability, nvml) = Fake::new(answers).discover();
        assert!(nvml.is_none());
        let Availability::Absent(why) = availability else { panic!("{answers}: {availability:?}") };
        assert!(why.contains(part), "{answers}: {why}");
    }
    for answers in ["init !4", "count 1\n0.uuid GPU-a\n0.energy !4\n0.power 1\n"] {
        let (availability, nvml) = Fake::new(answers).discover();
        assert!(nvml.is_none());
        let Availability::Denied(remedy) = availability else {
            panic!("{answers}: {availability:?}")
        };
        assert!(remedy.contains("MIG"), "{remedy}");
    }
}

#[test]
fn a_gpu_that_tells_nothing_is_named_beside_those_that_do() {
    let fake = Fake::new("count 2\n0.uuid MIG-x\n1.uuid GPU-y\n1.energy 1\n");
    let nvml = fake.present();
    let names: Vec<_> = nvml.domains().iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["gpu-1"]);
    let excluded: Vec<_> =
        nvml.excluded().iter().map(|gpu| (gpu.name.as_str(), gpu.reason)).collect();
    assert_eq!(excluded, [("gpu-0", Exclusion::Unreadable)]);
}

#[test]
fn a_reading_that_fails_says_what_to_do_and_the_next_one_works() {
    let fake = Fake::new(COUNTER);
    let mut nvml = fake.present();
    for (code, fault) in [
        ("!15", ReadFault::Gone),
        ("!4", ReadFault::Fatal),
        ("!10", ReadFault::Retry),
        ("!999", ReadFault::Retry),
    ] {
        fake.answers(&COUNTER.replace("0.energy 5000", &format!("0.energy {code}")));
        assert_eq!(nvml.read(0), Err(fault), "{code}");
    }
    fake.answers(COUNTER);
    assert_eq!((nvml.read(0), nvml.read(1)), (Ok(5000), Err(ReadFault::Gone)));
}

#[test]
fn shares_are_means_of_the_samples_since_the_last_look() {
    let fake = Fake::new(&format!("{COUNTER}0.samples 100:5:40,200:6:10,100:7:60\n"));
    let mut nvml = fake.present();
    let shares = nvml.processes(0).unwrap();
    assert_eq!(shares, [(100, Share::OfTime(0.5)), (200, Share::OfTime(0.1))]);
    // The driver repeats an old sample and adds one, of nonsense, and one more process.
    fake.answers(&format!("{COUNTER}0.samples 100:7:60,200:8:255,300:9:0\n"));
    let shares = nvml.processes(0).unwrap();
    assert_eq!(shares, [(200, Share::OfTime(1.0)), (300, Share::OfTime(0.0))]);
    fake.answers(&format!("{COUNTER}0.samples -\n"));
    assert_eq!(nvml.processes(0), Ok(vec![]));
}

#[test]
fn where_use_is_not_sampled_processes_are_listed_with_an_unknown_share() {
    let fake = Fake::new(&format!("{COUNTER}0.samples !3\n0.processes 100,4194303\n"));
    let mut nvml = fake.present();
    let expected = vec![(100, Share::Unknown), (4_194_303, Share::Unknown)];
    assert_eq!(nvml.processes(0), Ok(expected));
    fake.answers(&format!("{COUNTER}0.samples !3\n0.processes -\n"));
    assert_eq!(nvml.processes(0), Ok(vec![]));
    fake.answers(&format!("{COUNTER}0.samples !3\n0.processes !3\n"));
    assert_eq!(nvml.processes(0), Err(ReadFault::Fatal));
    assert_eq!(nvml.processes(7), Err(ReadFault::Gone));
    // Who holds a context is told where use is sampled, too.
    fake.answers(&format!("{COUNTER}0.samples 100:5:40\n0.processes 100,200\n"));
    assert_eq!((nvml.holders(0), nvml.holders(7)), (Ok(vec![100, 200]), Err(ReadFault::Gone)));
}
