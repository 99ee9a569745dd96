//! Hardware monitoring on trees that are laid out as the drivers' documentation says, with powers and a clock that the
//! test holds.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carbon_ops_meter::accumulator::GapReason;
use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::hwmon::Found;
use carbon_ops_meter::sensor::{Exclusion, Kind, ReadFault};
use carbon_ops_meter::window::Window;
use carbon_ops_testkit::host::Node;
use carbon_ops_units::Microjoules;
use proptest::prelude::*;
use tempfile::TempDir;

const GPU: &str = "pci0000:00/0000:00:01.1/0000:03:00.0";

thread_local! {
    /// Time since the machine was started, in ms.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> Moment {
    Moment::from_nanos(NOW.get() * 1_000_000)
}

struct Tree {
    dir: TempDir,
}

impl Tree {
    fn new(nodes: &[Node<'_>]) -> Self {
        NOW.set(3_600_000);
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        for node in nodes {
            tree.add(node);
        }
        tree
    }

    fn add(&self, node: &Node<'_>) -> PathBuf {
        node.write(self.dir.path())
    }

    fn host(&self) -> HostRoot {
        HostRoot::at(self.dir.path())
    }

    fn look(&self) -> Found {
        Found::look(&self.host(), clock)
    }

    fn device(&self, device: &str) -> PathBuf {
        self.dir.path().join("sys/devices").join(device)
    }

    fn sleeps(&self, device: &str, status: &str) {
        let power = self.device(device).join("power");
        fs::create_dir_all(&power).unwrap();
        fs::write(power.join("runtime_status"), format!("{status}\n")).unwrap();
    }
}

fn node<'t>(
    device: &'t str,
    number: u32,
    driver: &'t str,
    files: &'t [(&'t str, &'t str)],
) -> Node<'t> {
    Node { device, number, driver, files }
}

fn counted(found: &Found) -> Vec<&str> {
    found.channels.iter().map(|channel| channel.domain.name.as_str()).collect()
}

fn fate<'f>(found: &'f Found, id: &str) -> Result<&'f str, Exclusion> {
    let seen = found.seen.iter().find(|seen| seen.id == id).unwrap();
    seen.fate.as_deref().map_err(|reason| *reason)
}

const W: &str = "50000000";

/// What each driver's tree comes to: the shapes are those of kernel documentation and of public listings.
#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn each_driver_is_counted_as_the_table_says() {
    type Case<'t> = (&'t [Node<'t>], &'t [&'t str], &'t [(&'t str, Exclusion)]);
    let mean = &[("power1_average", W), ("power1_label", "PPT")][..];
    let now = &[("power1_input", W), ("power1_label", "PPT"), ("in0_input", "900")][..];
    let apu = &[("power1_average", W), ("power1_input", W), ("in1_input", "850")][..];
    let meter = |label| {
        [("power1_average", W), ("power1_average_interval", "50"), ("power1_oem_info", label)]
    };
    let (module, grace) = (meter("Module Power Socket 0"), meter("Grace Power Socket 0"));
    let (cpu, sysio) = (meter("CPU Power Socket 0"), meter("SysIO Power Socket 0"));
    let plain = meter("");
    let cases: &[Case<'_>] = &[
        // Only the mean, only the present power, or both: one of them.
        (&[node(GPU, 3, "amdgpu", mean)], &["gpu-0000:03:00.0"], &[]),
        (&[node(GPU, 3, "amdgpu", now)], &["gpu-0000:03:00.0"], &[]),
        // Of an APU it is the socket's, which RAPL has.
        (&[node(GPU, 3, "amdgpu", apu)], &[], &[("0000:03:00.0/power1", Exclusion::InsidePackage)]),
        // A limit is no power.
        (
            &[node(GPU, 3, "i915", &[("power1_max", W), ("energy1_input", "7")])],
            &["gpu-0000:03:00.0"],
            &[],
        ),
        (
            &[
                node(GPU, 3, "i915", &[("energy1_input", "7")]),
                node(GPU, 4, "i915_gt0", &[("energy1_input", "4")]),
                node(GPU, 5, "i915_gt1", &[("energy1_input", "3")]),
            ],
            &["gpu-0000:03:00.0"],
            &[("0000:03:00.0/energy1", Exclusion::InsideGpu)],
        ),
        (
            &[node(GPU, 3, "xe", &[("energy1_input", "7"), ("energy2_input", "5")])],
            &["gpu-0000:03:00.0"],
            &[("0000:03:00.0/energy2", Exclusion::InsideGpu)],
        ),
        (&[node(GPU, 3, "xe", &[("energy2_input", "5")])], &["gpu-0000:03:00.0-pkg"], &[]),
        (
            &[
                node("LNXSYSTM:00/ACPI000D:00", 0, "power_meter", &module),
                node("LNXSYSTM:00/ACPI000D:01", 1, "power_meter", &grace),
                node("LNXSYSTM:00/ACPI000D:02", 2, "power_meter", &cpu),
                node("LNXSYSTM:00/ACPI000D:03", 3, "power_meter", &sysio),
            ],
            &["package-0"],
            &[
                ("ACPI000D:00/power1", Exclusion::OverlapsPackage),
                ("ACPI000D:02/power1", Exclusion::InsidePackage),
                ("ACPI000D:03/power1", Exclusion::InsidePackage),
            ],
        ),
        // Firmware that shows the parts alone.
        (
            &[
                node("LNXSYSTM:00/ACPI000D:02", 2, "power_meter", &cpu),
                node("LNXSYSTM:00/ACPI000D:03", 3, "power_meter", &sysio),
            ],
            &["package-0-cpu", "package-0-sysio"],
            &[],
        ),
        (
            &[node("LNXSYSTM:00/ACPI000D:00", 0, "power_meter", &plain)],
            &[],
            &[("ACPI000D:00/power1", Exclusion::OverlapsPackage)],
        ),
        (
            &[
                node("platform/smpro.0", 0, "smpro", &[("power1_input", W), ("power3_input", W)]),
                node("platform/smpro.1", 1, "smpro", &[("power1_input", W), ("power3_input", W)]),
            ],
            &["dram-0-vrd1", "dram-1-vrd1", "package-0-core", "package-1-core"],
            &[],
        ),
        (
            &[node(
                "platform/APMC0D29:00",
                0,
                "apm_xgene",
                &[
                    ("power1_input", W),
                    ("power1_label", "CPU power"),
                    ("power2_input", W),
                    ("power2_label", "IO power"),
                ],
            )],
            &["package-0-cpu", "package-0-io"],
            &[],
        ),
        // An energy and a power of one thing are one quantity. Chips are 0 and 8.
        (
            &[node(
                "platform/opal-sensor",
                0,
                "ibmpowernv",
                &[
                    ("energy1_input", "7"),
                    ("energy1_label", "Chip 8"),
                    ("power1_input", W),
                    ("power1_label", "Chip 8"),
                    ("power2_input", W),
                    ("power2_label", "System"),
                    ("power3_input", W),
                    ("power3_label", "Chip 8 Vdd"),
                ],
            )],
            &["package-8"],
            &[
                ("opal-sensor/power1", Exclusion::InsidePackage),
                ("opal-sensor/power2", Exclusion::OverlapsPackage),
                ("opal-sensor/power3", Exclusion::Unknown),
            ],
        ),
        (
            &[node(
                "platform/amd_energy.0",
                0,
                "amd_energy",
                &[
                    ("energy1_input", "3"),
                    ("energy1_label", "Ecore000"),
                    ("energy2_input", "9"),
                    ("energy2_label", "Esocket0"),
                ],
            )],
            &["package-0"],
            &[("amd_energy.0/energy1", Exclusion::InsidePackage)],
        ),
        // What is not known is listed, whatever its label says; a battery's mirror repeats it.
        (
            &[
                node(
                    "pci0000:00/0000:05:00.0",
                    0,
                    "tt_blackhole",
                    &[("power1_input", W), ("power1_label", "vcore")],
                ),
                node("platform/power_supply/BAT0", 1, "BAT0", &[("power1_input", W)]),
                node("platform/coretemp.0", 2, "coretemp", &[("temp1_input", "40000")]),
            ],
            &[],
            &[("0000:05:00.0/power1", Exclusion::Unknown), ("BAT0/power1", Exclusion::Duplicate)],
        ),
        // Two nodes of one driver at one device.
        (
            &[
                node(GPU, 3, "xe", &[("energy1_input", "7")]),
                node(GPU, 4, "xe", &[("energy1_input", "7")]),
            ],
            &["gpu-0000:03:00.0"],
            &[],
        ),
        // Two of a name at two devices.
        (
            &[node(GPU, 3, "amdgpu", mean), node("pci0000:40/0000:43:00.0", 2, "amdgpu", mean)],
            &["gpu-0000:03:00.0", "gpu-0000:43:00.0"],
            &[],
        ),
    ];
    for (nodes, expected, beside) in cases {
        let found = Tree::new(nodes).look();
        assert_eq!(counted(&found), *expected, "{nodes:?}");
        for (id, reason) in *beside {
            let left = found.seen.iter().any(|seen| seen.id == *id && seen.fate == Err(*reason));
            assert!(left, "{id} of {:?}", found.seen);
        }
    }
}

/// A socket whose own file cannot be read is counted by its parts.
#[test]
fn parts_stand_in_for_a_whole_that_cannot_be_read() {
    let meter = |label| [("power1_average", W), ("power1_oem_info", label)];
    let (grace, cpu) = (meter("Grace Power Socket 1"), meter("CPU Power Socket 1"));
    let tree = Tree::new(&[
        node("ACPI000D:00", 0, "power_meter", &grace),
        node("ACPI000D:01", 1, "power_meter", &cpu),
    ]);
    let file = tree.device("ACPI000D:00").join("power1_average");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let found = tree.look();
    assert_eq!(counted(&found), ["package-1-cpu"]);
    assert_eq!(fate(&found, "ACPI000D:00/power1"), Err(Exclusion::Unreadable));
    assert!(found.excluded.iter().any(|zone| zone.name == "package-1"));
}

/// What a driver shows where it knows nothing is no power, and the next reading goes on.
#[test]
fn nonsense_is_not_counted_and_a_new_number_is_the_same_device() {
    let tree = Tree::new(&[node(GPU, 3, "amdgpu", &[("power1_average", "100000000")])]);
    let folder = tree.device(GPU).join("hwmon/hwmon3");
    let mut found = tree.look();
    let gpu = &mut found.channels[0];
    let mut read = |ms: u64| {
        NOW.set(NOW.get() + ms);
        gpu.read()
    };
    assert_eq!(read(1000), Ok(100_000_000));
    for nonsense in ["4294967295000", "-5", "", "N/A", "18446744073709551616"] {
        fs::write(folder.join("power1_average"), nonsense).unwrap();
        assert_eq!(read(0), Err(ReadFault::Retry), "{nonsense}");
    }
    fs::write(folder.join("power1_average"), "100000000").unwrap();
    assert_eq!(read(100), Ok(110_000_000));
    // A file of sysfs that is gone cannot be read any more, as this one could while it is open.
    fs::write(folder.join("power1_average"), "").unwrap();
    assert_eq!(read(0), Err(ReadFault::Retry));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(read(100), Err(ReadFault::Gone));
    // The driver was loaded again, and another device has its old number.
    tree.add(&node("pci0000:40/0000:43:00.0", 3, "amdgpu", &[("power1_average", "7000000")]));
    tree.add(&node(GPU, 9, "amdgpu", &[("power1_input", "300000000")]));
    assert_eq!(read(100), Err(ReadFault::Gone), "the other file is not what was read");
    tree.add(&node(GPU, 9, "amdgpu", &[("power1_average", "300000000")]));
    assert_eq!(read(0), Ok(110_000_000 + 200 * 300_000 - 200 * 100_000));
}

/// Which files of these folders somebody opened.
struct Watcher(nix::sys::inotify::Inotify);

impl Watcher {
    fn of(folders: &[&Path]) -> Self {
        use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
        let watcher = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        for folder in folders {
            watcher.add_watch(*folder, AddWatchFlags::IN_OPEN).unwrap();
        }
        Self(watcher)
    }

    /// Files, but not the folders themselves.
    fn opened(&self) -> Vec<String> {
        let events = self.0.read_events().unwrap_or_default();
        let names = events.into_iter().filter_map(|event| event.name);
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// Asleep, awake and asleep again: what it would have shown in its sleep is neither read nor made up for.
#[cfg(feature = "nvml")]
#[test]
fn a_sleeping_gpu_is_not_touched_and_draws_nothing() {
    use carbon_ops_meter::gpu::{GpuWindow, Whose};
    use carbon_ops_meter::sensor::hwmon::Hwmon;
    let tree = Tree::new(&[node(
        GPU,
        3,
        "amdgpu",
        &[("power1_average", "900000000"), ("power1_cap", "1")],
    )]);
    let folder = tree.device(GPU).join("hwmon/hwmon3");
    let file = folder.join("power1_average");
    tree.sleeps(GPU, "suspended");
    let watcher = Watcher::of(&[&folder, &tree.device(GPU)]);
    let (channels, excluded) = tree.look().take_gpus();
    assert_eq!(watcher.opened(), ["name"], "which wakes nothing");
    let base = Instant::now();
    let start = NOW.get();
    let clock_of = || base + Duration::from_millis(NOW.get() - start);
    let mut who = |_| None::<Whose>;
    let mut window =
        GpuWindow::open(Hwmon::new(channels, excluded), None, &clock_of, clock, &mut who);
    let pass = |ms: u64, window: &mut GpuWindow<Whose>| {
        for _ in 0..ms / 100 {
            NOW.set(NOW.get() + 100);
            window.sample(&clock_of, &mut |_| None);
        }
    };
    pass(10_000, &mut window);
    let (gpus, left) = window.cut(&clock_of, &mut who);
    assert!(gpus.is_empty());
    assert_eq!(left[0].reason, Exclusion::Asleep);
    assert!(!left[0].reason.loses_energy());
    assert!(watcher.opened().is_empty());
    pass(5_000, &mut window);

    fs::write(&file, "50000000").unwrap();
    tree.sleeps(GPU, "active");
    pass(10_000, &mut window);
    fs::write(&file, "900000000").unwrap();
    tree.sleeps(GPU, "suspended");
    let _ = watcher.opened();
    pass(20_000, &mut window);
    assert!(watcher.opened().is_empty());
    let (gpus, _) = window.cut(&clock_of, &mut who);
    let domain = gpus[0].domain.as_ref().unwrap();
    let energy = &domain.energy;
    // 9.9 s at 50 W from the first look at it on, less half of the 100 ms in which it fell asleep.
    assert_eq!(energy.energy, Microjoules::new(495_000_000), "{energy:?}");
    assert!(energy.low < energy.energy && energy.energy < energy.high);
    let asleep = energy.gaps.iter().filter(|gap| gap.reason == GapReason::Asleep);
    let slept: Duration = asleep.map(|gap| gap.duration).sum();
    assert!(slept.abs_diff(Duration::from_secs(25)) < Duration::from_millis(300), "{slept:?}");
    assert!(energy.gaps.iter().all(|gap| gap.bridged), "{energy:?}");
    // A whole window of sleep.
    pass(5_000, &mut window);
    let (gpus, left) = window.cut(&clock_of, &mut who);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    assert_eq!((energy.energy, left.len()), (Microjoules::ZERO, 0));
    assert_eq!((gpus[0].used.parts.len(), gpus[0].used.unknown > 0.99), (0, true));
}

/// A counter that begins anew as its device wakes.
#[cfg(feature = "nvml")]
#[test]
fn what_a_counter_forgot_in_its_sleep_is_not_filled_in() {
    use carbon_ops_meter::gpu::{GpuWindow, Whose};
    use carbon_ops_meter::sensor::hwmon::Hwmon;
    let tree = Tree::new(&[node(GPU, 3, "xe", &[("energy1_input", "7000000000")])]);
    let file = tree.device(GPU).join("hwmon/hwmon3/energy1_input");
    let (channels, excluded) = tree.look().take_gpus();
    let base = Instant::now();
    let start = NOW.get();
    let clock_of = || base + Duration::from_millis(NOW.get() - start);
    let mut who = |_| None::<Whose>;
    let mut window =
        GpuWindow::open(Hwmon::new(channels, excluded), None, &clock_of, clock, &mut who);
    let mut shown = 7_000_000_000u64;
    let mut pass = |ms: u64, watts: u64, window: &mut GpuWindow<Whose>| {
        for _ in 0..ms / 100 {
            NOW.set(NOW.get() + 100);
            shown += watts * 100_000;
            fs::write(&file, shown.to_string()).unwrap();
            window.sample(&clock_of, &mut |_| None);
        }
    };
    pass(10_000, 80, &mut window);
    tree.sleeps(GPU, "suspended");
    pass(20_000, 0, &mut window);
    tree.sleeps(GPU, "active");
    fs::write(&file, "0").unwrap();
    shown = 0;
    let mut pass = |ms: u64, watts: u64, window: &mut GpuWindow<Whose>| {
        for _ in 0..ms / 100 {
            NOW.set(NOW.get() + 100);
            shown += watts * 100_000;
            fs::write(&file, shown.to_string()).unwrap();
            window.sample(&clock_of, &mut |_| None);
        }
    };
    pass(10_000, 80, &mut window);
    let (gpus, _) = window.cut(&clock_of, &mut who);
    let energy = &gpus[0].domain.as_ref().unwrap().energy;
    // Two looks at most until the new count is believed.
    let off = energy.energy.as_joules() - 1600.0;
    assert!((-24.0..=0.0).contains(&off), "{energy:?}");
    assert!(energy.gaps.iter().any(|gap| gap.reason == GapReason::Asleep), "{energy:?}");
}

/// A server without RAPL whose sockets hardware monitoring shows.
#[test]
fn a_window_over_sockets_is_exact_where_power_is_steady_and_bounded_where_it_is_not() {
    let meter = |label| [("power1_average", "200000000"), ("power1_oem_info", label)];
    let (one, other) = (meter("Grace Power Socket 0"), meter("Grace Power Socket 1"));
    let tree = Tree::new(&[
        node("ACPI000D:00", 0, "power_meter", &one),
        node("ACPI000D:01", 1, "power_meter", &other),
    ]);
    let found = tree.look();
    let base = Instant::now();
    let start = NOW.get();
    let clock_of = || base + Duration::from_millis(NOW.get() - start);
    let mut window = Window::of_channels(found.channels, found.excluded, &clock_of, clock).unwrap();
    for _ in 0..600 {
        NOW.set(NOW.get() + 100);
        window.sample(&clock_of);
    }
    let steady = window.cut(Duration::from_mins(1), &clock_of).unwrap();
    assert_eq!(steady.host(), Microjoules::new(24_000_000_000));
    assert_eq!(steady.bounds(), (steady.host(), steady.host()));
    assert_eq!(steady.domains[1].backend, "hwmon");
    assert_eq!(steady.domains[1].zone, "ACPI000D:01/power1");
    fs::write(tree.device("ACPI000D:01").join("power1_average"), "300000000").unwrap();
    for _ in 0..10 {
        NOW.set(NOW.get() + 100);
        window.sample(&clock_of);
    }
    let counted = window.cut(Duration::from_secs(1), &clock_of).unwrap();
    // Half of the step's 100 ms, and the meter may have been as late again.
    assert_eq!(counted.host(), Microjoules::new(495_000_000));
    let (low, high) = counted.bounds();
    assert_eq!((low, high), (Microjoules::new(480_000_000), Microjoules::new(510_000_000)));
    assert_eq!(counted.domains[0].kind, Kind::Package);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Powers that are drawn for whole steps, shown up to 100 ms late: the truth is within the bounds.
    #[test]
    fn the_truth_is_within_the_bounds(
        watts in proptest::collection::vec(1u64..400, 2..60),
        late in proptest::bool::ANY,
    ) {
        let show = |watts: u64| (watts * 1_000_000).to_string();
        let first = show(watts[0]);
        let files = [("power1_average", first.as_str()), ("power1_oem_info", "Grace Power Socket 0")];
        let tree = Tree::new(&[node("ACPI000D:00", 0, "power_meter", &files)]);
        let file = tree.device("ACPI000D:00").join("power1_average");
        let mut found = tree.look();
        let channel = &mut found.channels[0];
        let mut truth = 0;
        for pair in watts.windows(2) {
            NOW.set(NOW.get() + 100);
            truth += pair[usize::from(late)] * 100_000;
            fs::write(&file, show(pair[1])).unwrap();
            prop_assert!(channel.read().is_ok());
        }
        let integral = channel.integral().unwrap();
        let off = integral.energy.as_microjoules().abs_diff(truth);
        prop_assert!(off <= integral.bound.as_microjoules(), "{integral:?}, {truth}");
    }
}
