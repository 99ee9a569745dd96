//! Other ways to the same counters, and to GPUs: registers, perf events, NVML. The governor uses them
//! where powercap fails; `run` itself does not.
//!
//! Out of scope: using them. A library is only looked for.

use std::fs;
use std::io;
use std::path::Path;

use super::check::{Check, Remedy, Status, Touch};
use super::process::{PERFMON, Process, SYS_ADMIN, SYS_RAWIO, owned};
use crate::host_root::HostRoot;

const MSR: &str = "/dev/cpu/0/msr";

pub(super) fn msr(host: &HostRoot, who: Option<&Process>, touch: Touch<'_>) -> Check {
    let check = |status, detail: String| Check::new("msr", status, detail);
    let path = host.path(MSR);
    let Ok(file) = fs::metadata(&path) else {
        return check(
            Status::Absent,
            format!("no {MSR}: the module msr is not loaded; not needed where powercap works"),
        );
    };
    let mode = owned(host, &file);
    match (touch.open)(&path) {
        Ok(_) => check(Status::Ok, format!("{MSR} ({mode}) can be opened")),
        // EPERM comes from the driver, EACCES from the mode: arch/x86/kernel/msr.c, msr_open.
        Err(error) if error.raw_os_error() == Some(1) => {
            let lacks = who.is_none_or(|who| !who.has(SYS_RAWIO));
            let why =
                if lacks { "CAP_SYS_RAWIO is missing" } else { "the kernel refuses it (lockdown)" };
            check(Status::Denied, format!("{MSR} ({mode}): {why}"))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            check(Status::Denied, format!("{MSR} is {mode}; the governor reads it as root"))
        }
        Err(error) => check(Status::Problem, format!("{MSR}: {error}")),
    }
}

pub(super) fn lockdown(host: &HostRoot, msr: Status) -> Check {
    let text = host.text("/sys/kernel/security/lockdown").unwrap_or_default();
    // `none [integrity] confidentiality`: the chosen one stands in brackets.
    let chosen =
        text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word);
    match chosen {
        None => Check::new("lockdown", Status::Absent, "this kernel tells of no lockdown"),
        Some("none") => Check::new("lockdown", Status::Ok, "off"),
        Some(level) => {
            let detail = format!(
                "{level}: the kernel refuses to write registers, and those of some distributions \
                 refuse to read them too; powercap and perf are not affected"
            );
            let status = if msr == Status::Denied { Status::Problem } else { Status::Ok };
            let check = Check::new("lockdown", status, detail);
            if status == Status::Ok {
                return check;
            }
            check.remedy(Remedy::AvoidRegisters)
        }
    }
}

pub(super) fn perf(host: &HostRoot, who: Option<&Process>) -> Check {
    let check = |status, detail: String| Check::new("perf", status, detail);
    let events = host.path("/sys/bus/event_source/devices/power/events");
    let Ok(entries) = fs::read_dir(&events) else {
        return check(Status::Absent, "no PMU `power`".into());
    };
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<_> =
        names.filter(|n| n.starts_with("energy-") && !n.contains('.')).collect();
    names.sort();
    let names = names.join(", ");
    let paranoid = host.text("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    // Counting on whole CPUs needs CAP_PERFMON from level 1 on: kernel/events/core.c,
    // perf_allow_cpu; Documentation/admin-guide/sysctl/kernel.rst.
    let open = paranoid.parse::<i32>().is_ok_and(|level| level <= 0);
    let able = who.is_some_and(|who| who.has(PERFMON) || who.has(SYS_ADMIN));
    if able || open {
        let how = if able { "by capability" } else { "by everybody on this machine" };
        return check(
            Status::Ok,
            format!("{names}: can be counted {how} (perf_event_paranoid {paranoid})"),
        );
    }
    let detail = format!("{names}: perf_event_paranoid is {paranoid} and CAP_PERFMON is missing");
    check(Status::Denied, detail).remedy(Remedy::CountEvents)
}

/// Where the dynamic linker of common distributions, containers and WSL finds it.
const LIBRARY_FOLDERS: [&str; 10] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib64",
    "/usr/lib/wsl/lib",
    "/usr/lib/nvidia",
    "/usr/local/nvidia/lib64",
    "/usr/local/lib",
    "/run/opengl-driver/lib",
];

pub(super) fn nvml(host: &HostRoot) -> Check {
    let check = |status, detail: String| Check::new("nvml", status, detail);
    let library = LIBRARY_FOLDERS.iter().map(|folder| format!("{folder}/libnvidia-ml.so.1"));
    let library = library.into_iter().find(|path| host.path(path).exists());
    let device = ["/dev/nvidiactl", "/dev/dxg"].into_iter().find(|path| exists(host, path));
    match (library, device) {
        (Some(library), Some(device)) => {
            check(Status::Ok, format!("{library} and {device} are there"))
        }
        (None, Some(device)) => {
            check(Status::Problem, format!("{device} is there, libnvidia-ml.so.1 is not"))
                .remedy(Remedy::InstallNvml)
        }
        (Some(library), None) => {
            check(Status::Absent, format!("{library} is there, but no device /dev/nvidiactl"))
        }
        (None, None) => check(Status::Absent, "no NVIDIA driver".into()),
    }
}

fn exists(host: &HostRoot, path: &str) -> bool {
    Path::exists(&host.path(path))
}
