//! Sensors: what can be read on this machine, and what to do when it cannot.
//!
//! Absence is a state, not an error: [`Availability`] says why, and for a refusal what to do. All
//! energy counters stand behind one trait, [`Backend`]: a list of [`Domain`]s, and a reading of each.
//! What a reading means is the domain's [`Scale`]; no backend subtracts anything.

use std::fmt;
use std::io;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::codes::codes;
use crate::counter::Scale;

pub mod hwmon;
mod integral;
pub mod model;
pub mod msr;
#[cfg(feature = "nvml")]
pub mod nvml;
pub mod perf;
pub mod platform;
pub mod powercap;
mod processor;
mod socket;

/// Energy counters of one kind on one machine.
pub trait Backend: fmt::Debug + Send {
    /// `sysfs`, `msr`, `perf`, `nvml` or `hwmon`.
    fn name(&self) -> &'static str;

    /// What can be read, counted or not, in an order that stays.
    fn domains(&self) -> &[Domain];

    /// Reads the counter of one domain, by its place in [`Backend::domains`], in the terms of its
    /// scale.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    fn read(&mut self, index: usize) -> Result<u64, ReadFault>;

    /// Asks for the next readings of all domains, where somebody else takes them.
    fn ask(&mut self) {}

    /// When the reading that [`Backend::read`] gave last was taken, at the earliest and at the latest; `None`
    /// where that was while it was called.
    fn taken(&self, index: usize) -> Option<(Moment, Moment)> {
        let _ = index;
        None
    }

    /// Whether a domain's energy is integrated from its power, and how well; `None` for one that
    /// has a counter.
    fn integral(&self, index: usize) -> Option<Integral> {
        let _ = index;
        None
    }
}

/// What an energy that was integrated from powers may be off by, beside the meter's own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Integral {
    /// Energy since the backend was made, as [`Backend::read`] shows it.
    #[serde(with = "microjoules")]
    pub energy: Microjoules,
    /// The truth lies within this much of it. Between readings up to a second apart the power is
    /// taken to lie between its values at both ends, which is an assumption; between readings
    /// further apart, anywhere between nothing and the domain's ceiling, which is none.
    #[serde(with = "microjoules")]
    pub bound: Microjoules,
    /// The longest time between two readings.
    pub longest_gap: Duration,
}

/// An energy as a number of µJ.
mod microjoules {
    use carbon_ops_units::Microjoules;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(energy: &Microjoules, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(energy.as_microjoules())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Microjoules, D::Error> {
        u64::deserialize(from).map(Microjoules::new)
    }
}

/// One energy counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// What it measures, unique within a backend: `package-0`, `dram-0`, `core-0`, `uncore-0`,
    /// `psys`, `gpu-0`. The same domain has the same name in every backend.
    pub name: String,
    /// The same with its source, as carbon-ops 0.1 named it: `package-0:intel-rapl:0`, `core:intel-rapl:0:0`.
    pub key: String,
    /// What kind of thing that is.
    pub kind: Kind,
    /// Where it is read: the zone `intel-rapl:0:1`, the register `msr:0x611@cpu0`, the event
    /// `energy-pkg@cpu0`, the device `GPU-…`.
    pub source: String,
    /// What its readings mean.
    pub scale: Scale,
    /// Power above which its readings are not believed, until they show otherwise.
    pub ceiling: Watts,
    /// The most power that it is likely to draw, by the limits that it publishes; at most the ceiling.
    pub likely: Watts,
    /// Why it is not part of the host's sum; `None` when it is.
    pub excluded: Option<Exclusion>,
}

/// What a domain measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A processor package (or one die of it).
    Package,
    /// The memory of a package.
    Dram,
    /// A graphics processor or another accelerator, with its memory.
    Gpu,
    /// The cores of a package.
    Core,
    /// What a package holds beside its cores, such as its graphics.
    Uncore,
    /// The platform, as its firmware defines it.
    Psys,
}

codes! { Kind {
    Package = 0 "package",
    Dram = 1 "dram",
    Gpu = 2 "gpu",
    Core = 3 "core",
    Uncore = 4 "uncore",
    Psys = 5 "psys",
} }

impl Kind {
    /// Why a domain of this kind is no part of the host's sum: it lies in another one, or around it.
    pub(crate) fn exclusion(self) -> Option<Exclusion> {
        match self {
            Self::Package | Self::Dram | Self::Gpu => None,
            Self::Core | Self::Uncore => Some(Exclusion::InsidePackage),
            Self::Psys => Some(Exclusion::OverlapsPackage),
        }
    }

    /// A power that no such domain of one socket or device reaches, for where no limit is published.
    pub fn ceiling(self) -> Watts {
        let watts = match self {
            Self::Package | Self::Core | Self::Gpu => 2000.0,
            Self::Dram | Self::Uncore => 500.0,
            Self::Psys => 8000.0,
        };
        power(watts)
    }
}

#[expect(clippy::expect_used, reason = "called with the numbers above")]
fn power(watts: f64) -> Watts {
    Watts::new(watts).expect("a power")
}

/// Why a domain is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exclusion {
    /// Contained in the package (`core`, `uncore`).
    InsidePackage,
    /// Contains the package (`psys`).
    OverlapsPackage,
    /// Another zone shows the same counter (`intel-rapl-mmio`).
    Duplicate,
    /// A die that repeats the counter of its package's first die.
    MirroredDie,
    /// May not be read.
    Denied,
    /// Cannot be read, or not as a counter.
    Unreadable,
    /// Its value did not move while others did.
    Stuck,
    /// A name that we do not know.
    Unknown,
    /// Memory whose package cannot be read: not the host's energy.
    WithoutPackage,
    /// The machine has it, and the kernel lists no zone for it.
    Unlisted,
    /// Contained in a GPU that is counted.
    InsideGpu,
    /// The device sleeps: it is not read, which would wake it, and is taken to draw nothing.
    Asleep,
}

// 0 is for what is counted.
codes! { Exclusion {
    InsidePackage = 1 "inside_package",
    OverlapsPackage = 2 "overlaps_package",
    Duplicate = 3 "duplicate",
    MirroredDie = 4 "mirrored_die",
    Denied = 5 "permission_denied",
    Unreadable = 6 "unreadable",
    Stuck = 7 "stuck",
    Unknown = 8 "unknown_domain",
    WithoutPackage = 9 "without_package",
    Unlisted = 10 "unlisted",
    InsideGpu = 11 "inside_gpu",
    Asleep = 12 "asleep",
} }

impl Exclusion {
    /// Whether energy that should have been counted is missing because of it.
    pub fn loses_energy(self) -> bool {
        matches!(self, Self::Denied | Self::Unreadable | Self::Stuck | Self::Unlisted)
    }
}

/// A zone that is not counted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The zone's own name, such as `psys`.
    pub name: String,
    /// Name of the zone's directory.
    pub id: String,
    /// Why.
    pub reason: Exclusion,
}

/// Whether a sensor can be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    /// It can be read.
    Present,
    /// The machine has none, for this reason.
    Absent(String),
    /// It exists but may not be read; the text says what would allow it.
    Denied(String),
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("present"),
            Self::Absent(why) => write!(f, "absent: {why}"),
            Self::Denied(remedy) => write!(f, "denied: {remedy}"),
        }
    }
}

/// Why a single reading failed, by what the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFault {
    /// Whoever takes the reading has not answered yet: what was read last still stands.
    NotYet,
    /// Try again later: the counter is there (EIO, ENODATA, EAGAIN, an empty or garbled text).
    Retry,
    /// The zone has gone: CPU hot-unplug or an unloaded driver.
    Gone,
    /// It will not get better while we run (EACCES and all else).
    Fatal,
    /// The device sleeps, and is not asked, which would wake it: it is taken to draw nothing.
    Asleep,
}

impl ReadFault {
    /// Sorts an I/O error by hand; there is no blanket conversion on purpose.
    pub fn of(error: &io::Error) -> Self {
        // ENXIO 6, ENODEV 19, EINVAL 22, ENODATA 61: errno-base.h and errno.h of Linux.
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) | (_, Some(6 | 19)) => Self::Gone,
            (io::ErrorKind::PermissionDenied, _) => Self::Fatal,
            _ => Self::Retry,
        }
    }
}
