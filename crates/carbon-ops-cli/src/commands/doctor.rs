//! `carbon-ops doctor`: what can be measured here, why not more, and the least that would allow it.
//!
//! The verdict first, then each check, then the remedies by what they cost. What is found is
//! [`carbon_ops::meter::diagnosis`]; here it is printed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use carbon_ops::gpus::Gpus;
use carbon_ops::meter::client::SOCKET;
use carbon_ops::meter::diagnosis::{
    GROUP, Remedy, Report, Source, Status, Touch, ZoneView, examine,
};
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::Exclusion;
use carbon_ops::meter::sensor::model::Overrides;
use carbon_ops::record::SensorStatus;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::{Value, json};

use crate::args::Doctor;
use crate::commands::verdict::COULD_NOT;
use crate::context::Context;
use crate::layout::Page;
use crate::render::plain;

pub(crate) fn run(args: &Doctor, context: &mut Context<'_>) -> Result<u8> {
    let settings = &context.settings;
    let socket = settings.governor_socket.value.clone().unwrap_or_else(|| SOCKET.into());
    let socket = socket.to_string_lossy();
    let host = match &args.host_root {
        Some(folder) if !folder.is_dir() => {
            bail!(
                "{} is not a directory\nhint: name one that holds proc, sys and dev",
                folder.display()
            )
        }
        Some(folder) => HostRoot::at(folder),
        None => HostRoot::real(),
    };
    let open = |path: &Path| File::open(path);
    let overrides = Overrides { tdp: settings.cpu_tdp.value, idle: settings.idle.value };
    let mut report = examine(&host, Touch { socket: &socket, overrides, open: &open, ask: &ask });
    // The library is asked, as `run` asks it.
    let gpus = args.host_root.is_none().then(|| Gpus::examine(&host, &settings.ask_nvml()));
    let mut checks = report.checks.iter_mut().filter(|check| check.name == "nvml");
    if let (Some(Some(sensor)), Some(check)) = (gpus, checks.next()) {
        check.status = match sensor.status {
            SensorStatus::Used | SensorStatus::Available => Status::Ok,
            SensorStatus::Denied => Status::Denied,
            SensorStatus::Absent | SensorStatus::Failed => Status::Problem,
        };
        check.detail = sensor.reason.unwrap_or_else(|| "the library answers".to_owned());
    }
    let code = match report.source {
        Source::Governor | Source::Powercap | Source::Hwmon => 0,
        Source::Model if report.could_check => 1,
        Source::Model => COULD_NOT,
    };
    context.answer(&args.output, to_json(&report, code), &to_text(&report))?;
    Ok(code)
}

/// How long a governor that listens may take: it answers in a millisecond, and a service manager
/// starts one in a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first line that is answered to an empty request.
fn ask(path: &Path) -> io::Result<String> {
    // Without waiting for a place in the queue, which a governor that hangs never frees.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let asking = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(asking.as_raw_fd(), &UnixAddr::new(path)?)?;
    let mut stream = UnixStream::from(asking);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // One that answers at once and hangs up, as 0.1 did, need not hear the question.
    let _ = stream.write_all(b"{}\n");
    let mut line = Vec::new();
    match BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::TimedOut.into())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
    }
}

/// A hundred domains fit; what is longer is no answer of a governor.
const ANSWER_BYTES_MAX: u64 = 1 << 18;

fn to_text(report: &Report) -> String {
    let mut page = Page::default();
    page.line("", &plain(&report.verdict));
    page.title("");
    for check in &report.checks {
        let head = format!("  {:<17} {:<8} ", check.name, check.status.as_str());
        page.line(&head, &plain(&check.detail));
    }
    if !report.zones.is_empty() {
        page.title("\nzones");
    }
    for zone in &report.zones {
        leaf(zone, &mut page);
    }
    let remedies = report.remedies();
    if !remedies.is_empty() {
        page.title("\nways to improve this, least privilege first");
    }
    for (number, remedy) in (1..).zip(remedies) {
        page.line(&format!("  {number}. "), &plain(&advice(remedy)));
    }
    let denied = |zone: &ZoneView| zone.excluded == Some(Exclusion::Denied);
    if report.zones.iter().any(denied) {
        page.title("\nnot: chmod of energy_uj, which reopens CVE-2020-8694 for every process here");
    }
    page.text().to_owned()
}

/// What to do, as a sentence with a command.
fn advice(remedy: &Remedy) -> String {
    let text = match remedy {
        Remedy::LogInAgain => return format!("log in again, or newgrp {GROUP}"),
        Remedy::JoinGroup { user } => {
            return format!("join its group: sudo usermod -aG {GROUP} {user}, and log in again");
        }
        Remedy::InspectSocket { path } => {
            return format!("see what put {path} there; the governor does not delete it");
        }
        Remedy::UpdateKernel { least: (major, minor) } => {
            return format!("run a kernel from {major}.{minor} on");
        }
        Remedy::DelegateCgroup => {
            "in a systemd session: systemd-run --user --scope -p Delegate=yes carbon-ops run …"
        }
        Remedy::StartGovernor => {
            "start the governor: systemctl enable --now carbon-governor.socket (install it as \
             docs/operations.md says); it reads the counters and serves its group"
        }
        Remedy::RestartGovernor => {
            "start the governor again: systemctl restart carbon-governor.socket \
             carbon-governor.service; it replaces a stale socket"
        }
        Remedy::InspectGovernor => {
            "see why the governor does not run: systemctl status carbon-governor, journalctl -u \
             carbon-governor"
        }
        Remedy::ShareSocket => {
            "run the governor on the host and give its socket to the container: \
             -v /run/carbon-ops.sock:/run/carbon-ops.sock and --group-add with the host's number of \
             carbon-users; no --privileged, no sysfs"
        }
        Remedy::AvoidRegisters => {
            "let the governor read powercap or perf: --rapl-mode sysfs or perf"
        }
        Remedy::CountEvents => "let the governor count the events: --rapl-mode perf",
        Remedy::GrantCapability => {
            "for a service of its own: User=…, AmbientCapabilities=CAP_DAC_READ_SEARCH and \
             CapabilityBoundingSet=CAP_DAC_READ_SEARCH in its unit"
        }
        Remedy::RunAsRoot => {
            "for one run, without a governor: sudo carbon-ops run -- sudo -u \"$USER\" CMD"
        }
        Remedy::MountProc => "mount /proc",
        Remedy::LoadDriver => {
            "load the driver (it serves AMD too): sudo modprobe intel_rapl_msr, and to keep it: \
             echo intel_rapl_msr | sudo tee /etc/modules-load.d/rapl.conf"
        }
        Remedy::InstallNvml => "install the driver's NVML library, or mount it into the container",
        Remedy::StateDesignPower => {
            "for a closer estimate, if you know the processor better than the table: its design power and \
             hardware threads from the vendor's page, such as CPU_TDP_WATTS=350/96"
        }
    };
    text.to_owned()
}

/// One zone of the tree.
fn leaf(zone: &ZoneView, page: &mut Page) {
    let depth = zone.id.matches(':').count().max(1);
    let name = format!("{}{} {}", "  ".repeat(depth), zone.id, zone.name);
    let fate = match (zone.excluded, &zone.domain) {
        (None, Some(domain)) => format!("counted as {}", domain.name),
        (None, None) => "counted".into(),
        (Some(reason), _) => format!("not counted: {}", reason.as_str()),
    };
    let mode = zone.mode.as_deref().unwrap_or("no energy_uj");
    let access = if zone.unreadable.is_none() { "readable" } else { "not readable" };
    page.line(&format!("{:<34} ", plain(&name)), &format!("{fate}; {mode}, {access}"));
}

fn to_json(report: &Report, code: u8) -> Value {
    let remedy =
        |remedy: &Remedy| json!({ "cost": remedy.cost().as_str(), "text": advice(remedy) });
    let checks = report.checks.iter().map(|check| {
        json!({
            "name": check.name,
            "status": check.status.as_str(),
            "detail": check.detail,
            "remedies": check.remedies.iter().map(remedy).collect::<Vec<_>>(),
        })
    });
    json!({
        "kind": "doctor",
        "source": report.source.as_str(),
        "verdict": report.verdict,
        "exit_code": code,
        "checks": checks.collect::<Vec<_>>(),
        "zones": report.zones.iter().map(zone_json).collect::<Vec<_>>(),
        "remedies": report.remedies().into_iter().map(remedy).collect::<Vec<_>>(),
    })
}

fn zone_json(zone: &ZoneView) -> Value {
    let domain = zone.domain.as_ref();
    json!({
        "zone": zone.id,
        "name": zone.name,
        "domain": domain.map(|domain| &domain.name),
        "counted": zone.excluded.is_none(),
        "excluded": zone.excluded.map(Exclusion::as_str),
        "mode": zone.mode,
        "unreadable": zone.unreadable,
        "unit_uj": domain.map(|domain| domain.scale.unit_microjoules()),
        "unit_is_exact": domain.map(|domain| domain.scale.is_exact()),
        "range_uj": domain.map(|domain| domain.scale.range().as_microjoules()),
        "ceiling_w": domain.map(|domain| domain.ceiling.as_watts()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_whom_and_what_it_concerns() {
        for (remedy, words) in [
            (Remedy::JoinGroup { user: "ada".into() }, "usermod -aG carbon-users ada"),
            (
                Remedy::InspectSocket { path: "/run/x.sock".into() },
                "see what put /run/x.sock there",
            ),
            (Remedy::UpdateKernel { least: (5, 11) }, "from 5.11 on"),
            (Remedy::LogInAgain, "newgrp carbon-users"),
            (Remedy::LoadDriver, "modprobe intel_rapl_msr"),
            (Remedy::GrantCapability, "AmbientCapabilities=CAP_DAC_READ_SEARCH"),
            (Remedy::ShareSocket, "-v /run/carbon-ops.sock:/run/carbon-ops.sock"),
            (Remedy::RunAsRoot, "sudo carbon-ops run"),
        ] {
            let text = advice(&remedy);
            assert!(text.contains(words), "{text}");
            // It would reopen CVE-2020-8694 for every process.
            assert!(!text.contains("chmod"), "{text}");
        }
    }
}
