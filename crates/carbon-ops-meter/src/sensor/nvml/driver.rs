//! What is asked of those who tell of GPUs, and what they answer.
//!
//! Out of scope: who they are.

use std::fmt;
use std::time::Duration;

use carbon_ops_units::Watts;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::counter::Scale;
use crate::sensor::{Domain, Excluded, Integral, Kind, ReadFault};

/// A factor on the power-management limit: short peaks pass it. As for powercap's limits.
const LIKELY_OVER_LIMIT: f64 = 4.0;

/// Who tells of GPUs: the library itself, or a process that asks it.
pub trait Driver: fmt::Debug + Send {
    /// The name of its backend.
    fn source(&self) -> &'static str {
        "nvml"
    }

    /// The GPUs that tell their energy, in an order that stays.
    fn gpus(&self) -> &[Domain];

    /// Those that are there and tell none.
    fn left_out(&self) -> &[Excluded];

    /// What is told of each of [`Driver::gpus`], if it is told within this time: an answer to this question, or
    /// to one before that was not answered in time.
    fn look(&mut self, want: Want, within: Duration) -> Option<Vec<Look>>;

    /// Whether an answer is still to come.
    fn is_late(&self) -> bool;

    /// How long a look at the start or the end of a window may take.
    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// How long a look is waited for on which a window stands.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// What is asked of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Energies.
    Energy,
    /// Energies, and who uses the GPUs.
    All,
}

/// What a driver told of a GPU at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Its counter, in the terms of its domain's scale.
    pub reading: Result<u64, ReadFault>,
    /// When that was read, at the earliest.
    pub from: Moment,
    /// The same, at the latest.
    pub at: Moment,
    /// What an integral of powers leaves open; `None` for a counter.
    pub integral: Option<Integral>,
    /// Who uses it; `None` where only energies were asked for.
    pub users: Option<Users>,
}

/// Who uses a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// Processes with a compute context.
    pub holders: Result<Vec<u32>, ReadFault>,
    /// Processes with their shares of its time since the look before.
    pub shares: Result<Vec<(u32, Share)>, ReadFault>,
    /// How busy it is.
    pub load: GpuLoad,
}

/// A GPU that tells its energy, as its driver describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) index: u32,
    pub(super) uuid: String,
    /// It has no counter, and its power is integrated.
    pub(super) is_integrated: bool,
    /// The power-management limit.
    pub(super) limit_mw: Option<u32>,
}

impl Listing {
    pub(super) fn domain(&self) -> Domain {
        let name = format!("gpu-{}", self.index);
        let watts = self.limit_mw.map(|mw| LIKELY_OVER_LIMIT * f64::from(mw) / 1000.0);
        let likely = watts.and_then(|w| Watts::new(w).ok()).unwrap_or(Kind::Gpu.ceiling());
        Domain {
            key: format!("{name}:nvml"),
            name,
            kind: Kind::Gpu,
            source: self.uuid.clone(),
            // A counter counts mJ, an integral µJ.
            scale: Scale::register_of_microjoules(
                if self.is_integrated { 1 } else { 1000 },
                u64::BITS,
            ),
            ceiling: likely.max(Kind::Gpu.ceiling()),
            likely,
            excluded: Kind::Gpu.exclusion(),
        }
    }
}

/// What the driver says of a GPU beside its energy; `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuLoad {
    /// Percent of the driver's last sampling period, a second at most, in which a kernel ran.
    pub utilisation_percent: Option<u32>,
    /// Memory in use, by all and the driver itself.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
}

/// The part of a GPU's time that a process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Share {
    /// This fraction of the time, 0 to 1: the mean of NVML's samples of multiprocessor use. Shares of
    /// processes that run at once may sum to more than 1.
    OfTime(f64),
    /// The process has a context on the GPU, and NVML does not say how much it uses it.
    Unknown,
}
