//! What can be measured on this machine, why not more, and the least privilege that would allow it.
//!
//! Each [`Check`] looks at one thing through [`HostRoot`], so that a folder can stand in for a machine
//! with any ailment. Nothing is changed: no module loaded, no mode touched, no event opened.
//!
//! Remedies come in the order of the privilege that they cost. None of them makes `energy_uj` readable
//! for everybody, which reopens CVE-2020-8694 for every process of the machine.
//!
//! Out of scope: the words of remedies, printing, and system calls other than opening files; the two that a diagnosis
//! needs ([`Touch`]) are passed in.

use crate::host_root::HostRoot;
use crate::sensor::model::{Overrides, PowerModel};

mod check;
mod governor;
mod hwmon;
mod machine;
mod others;
mod powercap;
mod process;

pub use check::{Check, Cost, Remedy, Status, Touch};
pub use governor::GROUP;
pub use powercap::ZoneView;

/// Where `carbon-ops run` gets its energy on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Totals that the governor serves.
    Governor,
    /// Counters of powercap, read by the process itself.
    Powercap,
    /// Powers of sockets that hardware monitoring shows, where there is no RAPL.
    Hwmon,
    /// No counter: a model of the processor.
    Model,
}

impl Source {
    /// The word that stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governor => "governor",
            Self::Powercap => "sysfs",
            Self::Hwmon => "hwmon",
            Self::Model => "model",
        }
    }
}

/// All that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What will be used.
    pub source: Source,
    /// The same in one line, with the reason.
    pub verdict: String,
    /// Whether enough could be seen to say so: `/proc` is there.
    pub could_check: bool,
    /// In the order in which sensors are tried.
    pub checks: Vec<Check>,
    /// The zones of powercap, parents before children.
    pub zones: Vec<ZoneView>,
}

impl Report {
    /// What to do, the least costly first, nothing twice; nothing at all where the governor serves.
    pub fn remedies(&self) -> Vec<&Remedy> {
        if self.source == Source::Governor {
            return Vec::new();
        }
        let mut all: Vec<_> = self.checks.iter().flat_map(|check| &check.remedies).collect();
        all.sort_by_key(|remedy| remedy.cost());
        let mut seen = Vec::new();
        all.retain(|remedy| {
            let new = !seen.contains(remedy);
            seen.push(*remedy);
            new
        });
        all
    }

    /// A check by its name.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// Looks at everything.
pub fn examine(host: &HostRoot, touch: Touch<'_>) -> Report {
    let who = process::Process::read(host);
    let machine = machine::Machine::look(host);
    let powercap = powercap::Powercap::look(host);
    let socket = governor::socket(host, who.as_ref(), touch, powercap.is_there(host));
    let hwmon = hwmon::Hwmon::look(host, powercap.is_present());
    let source = match (socket.status, powercap.is_present(), hwmon.sockets.is_empty()) {
        (Status::Ok, ..) => Source::Governor,
        (_, true, _) => Source::Powercap,
        (_, _, false) => Source::Hwmon,
        _ => Source::Model,
    };
    let verdict = match source {
        Source::Governor => {
            format!("measured: `carbon-ops run` asks the governor at {}", touch.socket)
        }
        Source::Powercap => format!(
            "measured: `carbon-ops run` reads RAPL {} itself; {}",
            powercap.counted().join(" + "),
            socket.detail
        ),
        Source::Hwmon => format!(
            "measured: `carbon-ops run` reads {} of hardware monitoring itself; {}",
            hwmon.sockets.join(" + "),
            socket.detail
        ),
        Source::Model => {
            let why = match socket.status {
                Status::Denied | Status::Problem => socket.detail.clone(),
                _ => powercap.why_not(&machine),
            };
            format!("estimated: `carbon-ops run` uses a model of the processor; {why}")
        }
    };
    let mut checks = vec![socket, governor::group(host, who.as_ref())];
    checks.extend(powercap.checks(host, &machine, who.as_ref()));
    checks.extend([
        process::capabilities(who.as_ref(), powercap.is_denied()),
        machine.container(powercap.is_present(), powercap.is_masked()),
        machine.virtual_machine(powercap.is_present()),
    ]);
    let msr = others::msr(host, who.as_ref(), touch);
    let lockdown = others::lockdown(host, msr.status);
    checks.extend([msr, lockdown]);
    checks.extend([others::perf(host, who.as_ref()), others::nvml(host), hwmon.check()]);
    checks.push(hwmon.platform(host, &powercap.zones));
    checks.extend([machine.energy_filtering(host, touch), machine::cgroup(host, who.as_ref())]);
    checks.push(processor(host, touch.overrides));
    if source == Source::Model
        && let Some(first) = checks.first_mut()
    {
        first.remedies.push(Remedy::StateDesignPower);
    }
    Report { source, verdict, could_check: who.is_some(), checks, zones: powercap.zones }
}

/// What the model of the processor takes it for, which shares energy out beside counters and stands in for them.
fn processor(host: &HostRoot, overrides: Overrides) -> Check {
    let model = PowerModel::identify(host, overrides);
    let (status, detail) = match (model.check(), model.is_known()) {
        (Err(why), _) => (Status::Problem, why.to_string()),
        (Ok(()), true) => (Status::Ok, model.basis()),
        (Ok(()), false) => (Status::Problem, model.basis()),
    };
    Check::new("processor", status, detail)
}
