//! One thing that a diagnosis looks at: how it stands, and what would better it.
//!
//! Out of scope: looking.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::sensor::model::Overrides;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not there, which may be as it should be.
    Absent,
    /// There, and refused to this process.
    Denied,
    /// There, and in a state that needs somebody.
    Problem,
}

impl Status {
    /// The word that stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Denied => "denied",
            Self::Problem => "problem",
        }
    }
}

/// What a remedy costs, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Nothing but a setting or a new login.
    Nothing,
    /// One privileged process that serves a group: the governor.
    Governor,
    /// One capability for one service.
    Capability,
    /// Root for one command.
    Root,
    /// A change of the machine: a module, a kernel, a mount.
    Machine,
    /// Nothing either, but it betters an estimate only.
    Estimate,
}

impl Cost {
    /// The word that stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Governor => "governor",
            Self::Capability => "capability",
            Self::Root => "root",
            Self::Machine => "machine",
            Self::Estimate => "estimate",
        }
    }
}

/// Something to do. Which command or setting does it, says whoever talks to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Log in again: this session began before its user joined the governor's group.
    LogInAgain,
    /// Run in a session that hands a part of the cgroup tree to its user.
    DelegateCgroup,
    /// Start the governor.
    StartGovernor,
    /// Start the governor again, and with it its socket.
    RestartGovernor,
    /// Find out why the governor does not run behind its socket.
    InspectGovernor,
    /// Join the group that the governor serves.
    JoinGroup {
        /// Who joins.
        user: String,
    },
    /// Run the governor on the host and give its socket to the container.
    ShareSocket,
    /// Let the governor read what a locked-down kernel does not refuse: powercap or perf events.
    AvoidRegisters,
    /// Let the governor count perf events.
    CountEvents,
    /// Give a service of its own the capability to read the counters.
    GrantCapability,
    /// Measure one command as root.
    RunAsRoot,
    /// See what took the governor's place.
    InspectSocket {
        /// The path of the socket.
        path: String,
    },
    /// Mount `/proc`.
    MountProc,
    /// Run a kernel that reads the counters of AMD.
    UpdateKernel {
        /// The first such version: major, minor.
        least: (u32, u32),
    },
    /// Load the driver of the counters.
    LoadDriver,
    /// Install the library of NVIDIA's driver, or show it to the container.
    InstallNvml,
    /// State the design power of the processor, for a closer estimate.
    StateDesignPower,
}

impl Remedy {
    /// What it costs.
    pub fn cost(&self) -> Cost {
        match self {
            Self::LogInAgain | Self::DelegateCgroup => Cost::Nothing,
            Self::StartGovernor
            | Self::RestartGovernor
            | Self::InspectGovernor
            | Self::JoinGroup { .. }
            | Self::ShareSocket
            | Self::AvoidRegisters
            | Self::CountEvents => Cost::Governor,
            Self::GrantCapability => Cost::Capability,
            Self::RunAsRoot => Cost::Root,
            Self::InspectSocket { .. }
            | Self::MountProc
            | Self::UpdateKernel { .. }
            | Self::LoadDriver
            | Self::InstallNvml => Cost::Machine,
            Self::StateDesignPower => Cost::Estimate,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name: a word that stays.
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedies: Vec<Remedy>,
}

impl Check {
    pub(super) fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self { name, status, detail: detail.into(), remedies: Vec::new() }
    }

    pub(super) fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }
}

/// What a diagnosis is told, and the two ways in which it touches more than text.
#[expect(missing_debug_implementations, reason = "functions")]
#[derive(Clone, Copy)]
pub struct Touch<'a> {
    /// Where the governor listens.
    pub socket: &'a str,
    /// What is stated of the processor.
    pub overrides: Overrides,
    /// Opens a device for reading, and lets it be.
    pub open: &'a dyn Fn(&Path) -> io::Result<File>,
    /// Asks at a Unix stream socket: connects without waiting for a place in its queue, sends an empty
    /// request and yields the first line of the answer; `TimedOut` when none comes.
    pub ask: &'a dyn Fn(&Path) -> io::Result<String>,
}
