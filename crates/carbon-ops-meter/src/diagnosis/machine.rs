//! What kind of machine this is: guest, container, processor; and whether `run` may make a cgroup.
//!
//! Out of scope: its power model.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::check::{Check, Remedy, Status, Touch};
use super::process::Process;
use crate::host_root::HostRoot;
use crate::proc::mount;

/// `MSR_MISC_PACKAGE_CTLS`; bit 0 is `ENERGY_FILTERING_ENABLE` (Intel SDM vol. 4, table 2-2;
/// Intel-SA-00389 guidance "Running Average Power Limit Energy Reporting").
const MISC_PACKAGE_CTLS: u64 = 0xbc;

/// What hypervisors name as vendor or product: systemd src/basic/virt.c, `dmi_vendor_table`.
const VENDORS: [&str; 10] = [
    "KVM",
    "QEMU",
    "VMware",
    "VMW",
    "innotek GmbH",
    "Xen",
    "Bochs",
    "Parallels",
    "BHYVE",
    "Amazon EC2",
];

/// What the machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// `GenuineIntel`, `AuthenticAMD`; empty on other architectures.
    pub(super) vendor: String,
    /// Version of the kernel: major, minor.
    pub(super) kernel: Option<(u32, u32)>,
    has_sgx: bool,
    /// What shows that it is a guest.
    pub(super) guest: Option<String>,
    /// What shows that this is a container.
    pub(super) container: Option<String>,
}

impl Machine {
    pub(super) fn look(host: &HostRoot) -> Self {
        let cpu = host.text("/proc/cpuinfo").unwrap_or_default();
        let field = |key: &str| {
            let line =
                cpu.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let flags = field("flags");
        let has = |flag| flags.split(' ').any(|word| word == flag);
        let release = host.text("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
        Self {
            vendor: field("vendor_id"),
            kernel: numbers.next().flatten().zip(numbers.next().flatten()),
            has_sgx: has("sgx"),
            guest: guest(host, has("hypervisor")),
            container: container(host),
        }
    }

    pub(super) fn container(&self, measured: bool, hidden: bool) -> Check {
        let Some(sign) = &self.container else {
            return Check::new("container", Status::Absent, "not in a container that can be told");
        };
        let check = |status, detail| Check::new("container", status, detail);
        if measured {
            return check(Status::Ok, format!("in a container ({sign}) that sees the counters"));
        }
        if self.guest.is_some() && !hidden {
            return check(
                Status::Ok,
                format!("in a container ({sign}), in a guest without counters"),
            );
        }
        let detail = format!("in a container ({sign}): runtimes hide powercap by default");
        check(Status::Problem, detail).remedy(Remedy::ShareSocket)
    }

    pub(super) fn virtual_machine(&self, measured: bool) -> Check {
        let check = |status, detail| Check::new("virtual_machine", status, detail);
        match &self.guest {
            None => check(Status::Absent, "not a guest, or one that hides it".to_owned()),
            Some(sign) if measured => {
                check(Status::Ok, format!("a guest ({sign}) that sees counters"))
            }
            Some(sign) => check(
                Status::Problem,
                format!("a guest ({sign}): hypervisors rarely pass energy counters on"),
            ),
        }
    }

    /// Noise that microcode adds to energies against side channels.
    pub(super) fn energy_filtering(&self, host: &HostRoot, touch: Touch<'_>) -> Check {
        let check = |status, detail: &str| Check::new("energy_filtering", status, detail);
        if self.vendor != "GenuineIntel" {
            return check(Status::Absent, "known of Intel processors only");
        }
        let register = (touch.open)(&host.path("/dev/cpu/0/msr")).and_then(|msr| {
            let mut bytes = [0; 8];
            msr.read_exact_at(&mut bytes, MISC_PACKAGE_CTLS)?;
            Ok(u64::from_le_bytes(bytes) & 1 == 1)
        });
        match (register, self.has_sgx) {
            (Ok(true), _) => check(
                Status::Problem,
                "on (register 0xbc): energies of short spans are noisy; their sum over seconds is not",
            ),
            (Ok(false), false) => check(Status::Ok, "off (register 0xbc)"),
            (Ok(false), true) => {
                check(Status::Ok, "register 0xbc says off; an enclave in use turns it on (SGX)")
            }
            (Err(_), true) => check(
                Status::Ok,
                "possible: the processor has SGX, and register 0xbc cannot be read; energies of short \
                 spans may be noisy",
            ),
            (Err(_), false) => check(Status::Ok, "unlikely: no SGX (register 0xbc cannot be read)"),
        }
    }
}

fn guest(host: &HostRoot, flag: bool) -> Option<String> {
    let text = |path| host.text(path).ok().filter(|text: &String| !text.is_empty());
    let vendor = text("/sys/class/dmi/id/sys_vendor");
    let product = text("/sys/class/dmi/id/product_name");
    let hypervisor = text("/sys/hypervisor/type");
    let names: Vec<_> = [vendor, product].into_iter().flatten().collect();
    let listed = names.iter().any(|name| VENDORS.iter().any(|vendor| name.starts_with(vendor)));
    // Metal instances of Amazon name themselves so too, and have no hypervisor flag.
    let is_guest = flag
        || (listed && !names.iter().any(|name| name.starts_with("Amazon")))
        || hypervisor.is_some();
    let named = if names.is_empty() { "hypervisor flag".to_owned() } else { names.join(" ") };
    is_guest.then(|| hypervisor.unwrap_or(named))
}

fn container(host: &HostRoot) -> Option<String> {
    for mark in ["/.dockerenv", "/run/.containerenv"] {
        if host.path(mark).exists() {
            return Some(mark.into());
        }
    }
    if let Ok(kind) = host.text("/run/systemd/container") {
        return Some(kind);
    }
    let cgroup = host.text("/proc/1/cgroup").unwrap_or_default();
    let names = ["docker", "kubepods", "containerd", "libpod", "lxc", "machine.slice"];
    names.into_iter().find(|name| cgroup.contains(name)).map(|name| format!("cgroup {name}"))
}

/// Whether `run` can put the command into a cgroup of its own, which counts every descendant.
pub(super) fn cgroup(host: &HostRoot, who: Option<&Process>) -> Check {
    let check = |status, detail: String| Check::new("cgroup", status, detail);
    let fallback = "run follows the process tree instead";
    // Version 2 alone, or beside version 1; as `run` looks for it.
    let points = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let point =
        points.into_iter().find(|it| host.path(&format!("{it}/cgroup.controllers")).exists());
    let Some(point) = point else {
        let old = host.path("/sys/fs/cgroup/cpuacct").exists()
            || host.path("/sys/fs/cgroup/cpu").exists();
        let what = if old { "version 1 only" } else { "no cgroup file system" };
        return check(Status::Absent, format!("{what}; {fallback}"));
    };
    let own = host.text("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let folder = format!("{point}{own}");
    let mounts = host.text("/proc/self/mountinfo").unwrap_or_default();
    let read_only = mount(&mounts, point)
        .is_some_and(|mount| mount.options.split(',').any(|option| option == "ro"));
    match fs::metadata(host.path(&folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => check(
            Status::Absent,
            format!("{folder} is not there (a cgroup of the host); {fallback}"),
        ),
        Err(error) => check(Status::Problem, format!("{folder}: {error}; {fallback}")),
        Ok(_) if read_only => {
            check(Status::Denied, format!("version 2, mounted read-only; {fallback}"))
        }
        Ok(file) if who.is_some_and(|who| who.may(&file, 2)) => {
            check(Status::Ok, format!("version 2, and {folder} is ours to divide"))
        }
        Ok(_) => check(Status::Denied, format!("version 2, but {folder} is not ours; {fallback}"))
            .remedy(Remedy::DelegateCgroup),
    }
}
