//! One hand-made host per diagnosis.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use carbon_ops_meter::client::SOCKET;
use carbon_ops_meter::diagnosis::Status::{Absent, Denied, Ok as Fine, Problem};
use carbon_ops_meter::diagnosis::{Cost, Remedy, Report, Source, Status, Touch, examine};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::model::Overrides;
use carbon_ops_meter::sensor::powercap::Topology;
use carbon_ops_testkit::host::{self, Zone};
use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};
use tempfile::TempDir;

/// A user without any capability, as an ordinary session has it.
const USER: &str = "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n\
                    Groups:\t27 1000\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0000000000000000\n\
                    CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n";

const ROOT: &str = "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t0\nCapEff:\t000001ffffffffff\n\
                    CapBnd:\t000001ffffffffff\nCapAmb:\t0\n";

const INTEL: &str = "vendor_id\t: GenuineIntel\nflags\t\t: fpu msr\n";

struct Host(TempDir);

impl Host {
    /// Bare metal of Intel without any counter, looked at by a user.
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(host.0.path(), Permissions::from_mode(0o755)).unwrap();
        host.file("proc/self/status", USER)
            .file("proc/sys/kernel/cap_last_cap", "40")
            .file("proc/self/uid_map", "         0          0 4294967295\n")
            .file("proc/sys/kernel/osrelease", "6.1.0-18-amd64")
            .file("proc/cpuinfo", INTEL)
            .file("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh")
            .file("etc/group", "root:x:0:\nada:x:1000:")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(self, path: &str, text: &str) -> Self {
        host::file(self.0.path(), path, text);
        self
    }

    fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    /// A zone with the range of an Intel package, behind a link as in sysfs.
    fn zone(self, id: &str, name: &str) -> Self {
        let range_uj = host::INTEL_RANGE_UJ;
        let zone = Zone { id, name, energy_uj: 61_035, range_uj, limit_uw: 65_000_000 };
        zone.write(self.0.path());
        self
    }

    fn examine(&self) -> Report {
        self.touched(&|path| File::open(path), &|_| Err(io::ErrorKind::NotFound.into()))
    }

    fn touched(
        &self,
        open: &dyn Fn(&Path) -> io::Result<File>,
        ask: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Report {
        examine(
            &HostRoot::at(self.0.path()),
            Touch { socket: SOCKET, overrides: Overrides::default(), open, ask },
        )
    }

    /// As a user whom the modes of files concern, also when root runs the tests. The file-system ids
    /// are those of this thread alone.
    fn as_nobody(&self) -> Report {
        if !geteuid().is_root() {
            return self.examine();
        }
        setfsgid(Gid::from_raw(65534));
        setfsuid(Uid::from_raw(65534));
        let report = self.examine();
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
        report
    }

    #[track_caller]
    fn says(&self, name: &str, status: Status, words: &str) -> Report {
        let report = self.examine();
        says(&report, name, status, words);
        report
    }
}

#[track_caller]
fn says(report: &Report, name: &str, status: Status, words: &str) {
    let check = report.check(name).unwrap_or_else(|| panic!("no check {name}"));
    assert!(check.status == status && check.detail.contains(words), "{words:?} in {check:#?}");
}

#[track_caller]
fn advises(report: &Report, remedy: &Remedy) {
    assert!(report.remedies().contains(&remedy), "no {remedy:?} in {:?}", report.remedies());
}

#[track_caller]
fn does_not_advise(report: &Report, remedy: &Remedy) {
    assert!(!report.remedies().contains(&remedy), "{remedy:?}");
}

fn join_as_ada() -> Remedy {
    Remedy::JoinGroup { user: "ada".into() }
}

#[test]
fn counters_that_can_be_read_are_used() {
    let host = Host::new().zone("intel-rapl:0", "package-0").zone("intel-rapl:0:0", "dram");
    let report = host.says("access", Fine, "every zone");
    assert_eq!(report.source, Source::Powercap);
    assert!(report.verdict.starts_with("measured:"), "{}", report.verdict);
    assert!(
        report.verdict.contains("dram-0 + package-0")
            || report.verdict.contains("package-0 + dram-0")
    );
    says(&report, "powercap", Fine, "2 zones");
    says(&report, "driver", Fine, "built into the kernel");
    says(&report, "scale", Fine, "61.0352 µJ, starts anew every 262143 J");
    says(&report, "duplicates", Absent, "no counter");
    does_not_advise(&report, &Remedy::RunAsRoot);
}

#[test]
fn counters_of_root_are_denied_and_the_governor_comes_first() {
    let host = Host::new().zone("intel-rapl:0", "package-0").zone("intel-rapl:0:0", "dram");
    for zone in ["intel-rapl:0", "intel-rapl:0:0"] {
        let file = host.path("sys/class/powercap").join(zone).join("energy_uj");
        let mode = if geteuid().is_root() { 0o400 } else { 0 };
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    }
    let report = host.as_nobody();
    assert_eq!(report.source, Source::Model);
    assert!(report.verdict.contains("for root only"), "{}", report.verdict);
    let mode = if geteuid().is_root() { "0400 root:root" } else { "0000" };
    says(&report, "access", Denied, mode);
    says(&report, "access", Denied, "intel-rapl:0, intel-rapl:0:0");
    says(&report, "sum", Denied, "nothing; not: package-0 permission_denied");
    says(&report, "capabilities", Denied, "ada (1000) without CAP_DAC_READ_SEARCH");
    let costs: Vec<_> = report.remedies().iter().map(|remedy| remedy.cost()).collect();
    assert_eq!(costs, [Cost::Governor, Cost::Capability, Cost::Root, Cost::Estimate]);
}

#[test]
fn bare_metal_without_the_driver_is_told_to_load_it() {
    let report = Host::new().says("powercap", Absent, "is not there");
    says(&report, "driver", Absent, "intel_rapl_msr is not loaded");
    advises(&report, &Remedy::LoadDriver);
    // It would find nothing either.
    does_not_advise(&report, &Remedy::StartGovernor);
    assert!(report.could_check && report.verdict.contains("the kernel shows no RAPL counters"));
}

#[test]
fn an_empty_class_is_absent() {
    Host::new().folder("sys/class/powercap").says("powercap", Absent, "is empty");
}

#[test]
fn links_that_lead_nowhere_are_a_mask() {
    let host = Host::new().zone("intel-rapl:0", "package-0");
    fs::remove_dir_all(host.path("sys/devices/virtual/powercap")).unwrap();
    // Who measures gives the same reason.
    let (told, _) = Topology::discover(&HostRoot::at(host.path("")));
    assert!(told.to_string().contains("2 of its 2 links lead nowhere"), "{told}");
    let report = host.file(".dockerenv", "").says("powercap", Denied, "2 of its 2 links");
    says(&report, "container", Problem, ".dockerenv");
    assert!(report.verdict.contains("container runtime hides"), "{}", report.verdict);
    advises(&report, &Remedy::ShareSocket);
}

#[test]
fn a_file_system_mounted_over_powercap_is_a_mask() {
    Host::new()
        .folder("sys/class/powercap")
        .file(
            "proc/self/mountinfo",
            "22 27 0:21 / /proc rw - proc proc rw\n\
             99 23 0:50 / /sys/devices/virtual/powercap ro,relatime - tmpfs tmpfs ro,size=0k\n",
        )
        .says(
            "powercap",
            Denied,
            "tmpfs (ro,relatime) is mounted over /sys/devices/virtual/powercap",
        );
}

#[test]
fn control_types_without_zones_are_a_problem() {
    let host =
        Host::new().folder("sys/class/powercap/intel-rapl").folder("sys/module/intel_rapl_msr");
    let report = host.says("powercap", Problem, "no zone with a counter");
    says(&report, "driver", Problem, "found no counter");
}

#[test]
fn amd_needs_a_newer_kernel() {
    let host = Host::new().file("proc/cpuinfo", "vendor_id\t: AuthenticAMD\nflags\t: rapl\n");
    let host = host.file("proc/sys/kernel/osrelease", "5.10.0-28-amd64");
    host.says("driver", Problem, "5.10 reads no AMD counters");
    let host = host.file("proc/sys/kernel/osrelease", "5.11.1");
    host.says("driver", Absent, "not loaded");
}

#[test]
fn other_architectures_have_no_rapl() {
    let host = Host::new().file("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
    host.says("driver", Absent, "neither");
}

#[test]
fn what_is_left_out_of_the_sum_is_named_with_its_reason() {
    let host = Host::new()
        .zone("intel-rapl:0", "package-0")
        .zone("intel-rapl:0:0", "core")
        .zone("intel-rapl:1", "psys")
        .zone("intel-rapl-mmio:0", "package-0");
    let report = host.says("sum", Fine, "package-0; not:");
    for words in ["core inside_package", "psys overlaps_package", "package-0 duplicate"] {
        says(&report, "sum", Fine, words);
    }
    says(&report, "duplicates", Fine, "a second time: intel-rapl-mmio:0");
    let ids: Vec<_> = report.zones.iter().map(|zone| zone.id.as_str()).collect();
    assert_eq!(ids, ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1", "intel-rapl-mmio:0"]);
}

#[test]
fn dies_that_repeat_one_counter_are_named() {
    let host =
        Host::new().zone("intel-rapl:0", "package-0-die-0").zone("intel-rapl:1", "package-0-die-1");
    host.says("duplicates", Fine, "counter: package-0-die-1");
}

#[test]
fn a_range_that_tells_no_unit_is_a_problem_of_scale() {
    let host = Host::new().zone("intel-rapl:0", "package-0");
    let host = host.file("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "200000000000");
    let report = host.says("scale", Problem, "this range tells no unit");
    assert_eq!(report.source, Source::Powercap);
}

#[test]
fn a_zone_without_a_range_is_missing_from_the_sum() {
    let host = Host::new().zone("intel-rapl:0", "package-0").zone("intel-rapl:1", "package-1");
    let host = host.file("sys/class/powercap/intel-rapl:1/max_energy_range_uj", "0");
    host.says("sum", Problem, "package-0; not: package-1 unreadable");
}

#[test]
fn a_guest_is_told_by_its_flag_and_its_maker() {
    let host = Host::new()
        .file("proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t: fpu hypervisor\n")
        .file("sys/class/dmi/id/sys_vendor", "QEMU")
        .file("sys/class/dmi/id/product_name", "Standard PC");
    let report = host.says("virtual_machine", Problem, "QEMU Standard PC");
    assert!(
        report.verdict.contains("a guest (QEMU Standard PC) without RAPL"),
        "{}",
        report.verdict
    );
    does_not_advise(&report, &Remedy::LoadDriver);
    // A metal instance has the vendor and no hypervisor.
    let metal = Host::new().file("sys/class/dmi/id/sys_vendor", "Amazon EC2");
    metal.says("virtual_machine", Absent, "not a guest");
}

#[test]
fn containers_are_told_by_any_of_their_marks() {
    for (file, text) in [
        (".dockerenv", ""),
        ("run/.containerenv", ""),
        ("run/systemd/container", "podman"),
        ("proc/1/cgroup", "0::/kubepods.slice/pod1"),
    ] {
        Host::new().file(file, text).says("container", Problem, "runtimes hide powercap");
    }
    let host = Host::new().file("proc/1/cgroup", "0::/init.scope");
    host.says("container", Absent, "not in a container");
    let host = host.file(".dockerenv", "").zone("intel-rapl:0", "package-0");
    host.says("container", Fine, "sees the counters");
}

#[test]
fn registers_are_refused_for_four_reasons() {
    Host::new().says("msr", Absent, "module msr");
    let host = Host::new().file("dev/cpu/0/msr", "");
    host.says("msr", Fine, "can be opened");
    let absent = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let refused = |errno| host.touched(&move |_| Err(io::Error::from_raw_os_error(errno)), &absent);
    says(&refused(13), "msr", Denied, "the governor reads it as root");
    says(&refused(1), "msr", Denied, "CAP_SYS_RAWIO is missing");
    let host = host.file("proc/self/status", ROOT);
    let host = host.file("sys/kernel/security/lockdown", "none [integrity] confidentiality");
    let report = host.touched(&|_| Err(io::Error::from_raw_os_error(1)), &absent);
    says(&report, "msr", Denied, "lockdown");
    says(&report, "lockdown", Problem, "integrity");
    host.says("lockdown", Fine, "integrity");
    let host = host.file("sys/kernel/security/lockdown", "[none] integrity confidentiality");
    host.says("lockdown", Fine, "off");
    Host::new().says("lockdown", Absent, "no lockdown");
}

#[test]
fn perf_events_need_a_low_level_or_a_capability() {
    Host::new().says("perf", Absent, "no PMU");
    let host = Host::new()
        .file("sys/bus/event_source/devices/power/events/energy-pkg", "event=0x02")
        .file("sys/bus/event_source/devices/power/events/energy-pkg.unit", "Joules")
        .file("proc/sys/kernel/perf_event_paranoid", "2");
    host.says("perf", Denied, "energy-pkg: perf_event_paranoid is 2 and CAP_PERFMON");
    let host = host.file("proc/sys/kernel/perf_event_paranoid", "0");
    host.says("perf", Fine, "by everybody");
    let host = host.file("proc/sys/kernel/perf_event_paranoid", "4").file("proc/self/status", ROOT);
    host.says("perf", Fine, "by capability");
}

#[test]
fn a_gpu_needs_both_a_device_and_a_library() {
    Host::new().says("nvml", Absent, "no NVIDIA driver");
    let library = "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1";
    Host::new().file(library, "").says("nvml", Absent, "no device");
    let host = Host::new().file("dev/nvidiactl", "");
    let report = host.says("nvml", Problem, "libnvidia-ml.so.1 is not");
    advises(&report, &Remedy::InstallNvml);
    host.file(library, "").says("nvml", Fine, "are there");
}

#[test]
fn the_governor_is_absent_stale_shut_full_or_there() {
    Host::new().zone("intel-rapl:0", "package-0").says("governor", Absent, "no governor listens");
    let file = Host::new().file("run/carbon-ops.sock", "precious");
    file.says("governor", Problem, "is not a socket");
    let host = Host::new().folder("run");
    let _listener =
        std::os::unix::net::UnixListener::bind(host.path("run/carbon-ops.sock")).unwrap();
    let open = |path: &Path| File::open(path);
    let ask = |answer: Result<&'static str, i32>| {
        host.touched(&open, &move |path| {
            assert!(path.ends_with("run/carbon-ops.sock"));
            answer.map(str::to_owned).map_err(io::Error::from_raw_os_error)
        })
    };
    let report = ask(Ok("{\"status\":\"ok\"}"));
    says(&report, "governor", Fine, "answers at");
    assert_eq!(report.source, Source::Governor);
    assert!(report.verdict.starts_with("measured: `carbon-ops run` asks the governor"));
    says(&ask(Ok("220 ready")), "governor", Problem, "but no governor");
    // EACCES, ECONNREFUSED, EAGAIN, ETIMEDOUT.
    says(&ask(Err(13)), "governor", Denied, "refuses ada");
    advises(&ask(Err(13)), &join_as_ada());
    says(&ask(Err(111)), "governor", Problem, "nobody listens");
    says(&ask(Err(11)), "governor", Problem, "queue is full");
    says(&ask(Err(110)), "governor", Problem, "nobody answers");
    assert!(ask(Err(13)).verdict.starts_with("estimated:") && ask(Err(13)).verdict.contains("ada"));
}

#[test]
fn membership_counts_only_in_sessions_that_began_after_it() {
    let status = |groups: &str| USER.replace("27 1000", groups);
    Host::new().says("group", Absent, "no group carbon-users");
    let host = Host::new().file("etc/group", "carbon-users:x:990:bob");
    let report = host.says("group", Denied, "ada is not in carbon-users");
    advises(&report, &join_as_ada());
    let host = host.file("etc/group", "carbon-users:x:990:bob,ada");
    let report = host.says("group", Problem, "session began before");
    advises(&report, &Remedy::LogInAgain);
    let host = host.file("proc/self/status", &status("27 990"));
    host.says("group", Fine, "ada is in");
    host.file("proc/self/status", ROOT).says("group", Fine, "root needs no");
}

#[test]
fn the_bounding_set_grants_nothing() {
    let host = Host::new().zone("intel-rapl:0", "package-0");
    host.says("capabilities", Fine, "none is needed");
    let secret = host.path("sys/class/powercap/intel-rapl:0/energy_uj");
    let mode = if geteuid().is_root() { 0o400 } else { 0 };
    fs::set_permissions(secret, Permissions::from_mode(mode)).unwrap();
    // CAP_DAC_READ_SEARCH is bit 2: a unit that bounds to it and forgets AmbientCapabilities.
    let host = host.file("proc/self/status", &USER.replace("000001ffffffffff", "0000000000000004"));
    let report = host.as_nobody();
    says(&report, "capabilities", Problem, "is a limit and grants nothing");
    advises(&report, &Remedy::GrantCapability);
    let host = host.file("proc/self/status", &USER.replace("000001ffffffffff", "0000000000000000"));
    says(&host.as_nobody(), "capabilities", Denied, "lacks CAP_DAC_READ_SEARCH");
    let effective = USER.replace("CapEff:\t0000000000000000", "CapEff:\t0000000000000004");
    let host = host.file("proc/self/status", &effective);
    says(&host.as_nobody(), "capabilities", Fine, "by a capability");
    let host = host.file("proc/self/status", ROOT).file("proc/self/uid_map", "0 100000 65536\n");
    says(&host.as_nobody(), "capabilities", Problem, "user namespace");
}

#[test]
fn without_proc_nothing_can_be_told() {
    let host = Host::new();
    fs::remove_dir_all(host.path("proc")).unwrap();
    let report = host.says("capabilities", Problem, "cannot be read");
    assert!(!report.could_check && report.source == Source::Model);
}

#[test]
fn energy_filtering_is_read_from_its_register() {
    let amd = Host::new().file("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
    amd.says("energy_filtering", Absent, "Intel");
    Host::new().says("energy_filtering", Fine, "unlikely");
    let sgx = INTEL.replace("msr", "msr sgx");
    let host = Host::new().file("proc/cpuinfo", &sgx);
    host.says("energy_filtering", Fine, "possible");
    // Register 0xbc, little-endian, of a device that is read at an offset.
    let registers =
        |low: u8| "\0".repeat(0xbc) + std::str::from_utf8(&[low]).unwrap() + "\0\0\0\0\0\0\0";
    let host = host.file("dev/cpu/0/msr", &registers(1));
    host.says("energy_filtering", Problem, "on (register 0xbc)");
    let host = host.file("dev/cpu/0/msr", &registers(2));
    host.says("energy_filtering", Fine, "says off");
}

#[test]
fn a_cgroup_of_our_own_needs_version_2_and_a_folder_of_ours() {
    Host::new().says("cgroup", Absent, "no cgroup file system");
    Host::new().folder("sys/fs/cgroup/cpuacct").says("cgroup", Absent, "version 1 only");
    // Both versions, as `run` finds them.
    Host::new()
        .folder("sys/fs/cgroup/cpuacct")
        .file("sys/fs/cgroup/unified/cgroup.controllers", "")
        .file("proc/self/cgroup", "0::/user.slice/a.scope\n")
        .says("cgroup", Absent, "/sys/fs/cgroup/unified/user.slice/a.scope is not there");
    let host = Host::new()
        .file("sys/fs/cgroup/cgroup.controllers", "cpu")
        .file("proc/self/cgroup", "1:name=systemd:/x\n0::/user.slice/a.scope\n");
    host.says("cgroup", Absent, "a cgroup of the host");
    let host = host.folder("sys/fs/cgroup/user.slice/a.scope");
    let mode = |mode| {
        let folder = host.path("sys/fs/cgroup/user.slice/a.scope");
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    };
    // The folder belongs to whoever runs the tests, and ada is another user or that one.
    mode(0o777);
    host.says("cgroup", Fine, "ours to divide");
    mode(0o555);
    host.says("cgroup", Denied, "not ours");
    mode(0o777);
    let host = host.file(
        "proc/self/mountinfo",
        "31 23 0:27 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n",
    );
    host.says("cgroup", Denied, "read-only");
}
