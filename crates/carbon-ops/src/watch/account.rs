//! An interval as accounts take it: energy by unit of work, idle and rest, in integers that sum to the host's, each
//! with what is not known of it.
//!
//! Out of scope: where the numbers come from, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use carbon_ops_record::{
    AttributionMode, Domain, Excluded, Gap, Input, Note, Quality, Sensor, Unit,
};
use jiff::Timestamp;

use crate::price::Carbon;

/// An interval of a host: `host = idle + rest + Σ units`.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Begin by the wall clock.
    pub start: Timestamp,
    /// End by the wall clock.
    pub end: Timestamp,
    /// Length by the monotonic clock.
    pub elapsed: Duration,
    /// All energy, in µJ.
    pub host_uj: u64,
    /// Of each unit of work.
    pub units: Vec<(Arc<Unit>, Used)>,
    /// Of nobody: what the host would have used at rest.
    pub idle: Used,
    /// Of everybody without a name, the kernel and what nobody can say included.
    pub rest: Used,
    /// How the shares were found.
    pub attribution_mode: AttributionMode,
    /// What was counted or modelled; their energies sum to the host's.
    pub domains: Vec<Domain>,
    /// Busy time of all processors.
    pub busy: Duration,
    /// CPU time that may be of units which have ended, and is told of a slice or the rest: no more of theirs is missing.
    pub unnamed: Duration,
    /// Processors that were online.
    pub cpus: u32,
    /// Part of the time that the counters covered, in percent.
    pub coverage_pct: f64,
    /// Zones that were seen and not counted.
    pub excluded: Vec<Excluded>,
    /// Spans that a counter did not cover by itself.
    pub gaps: Vec<Gap>,
    /// What was tried, and what became of it.
    pub sensors: Vec<Sensor>,
    /// What a reader should know.
    pub notes: Vec<Note>,
    /// What stands behind the energy.
    pub quality: Quality,
    /// The energy was invented or another machine's.
    pub simulated: bool,
}

impl Account {
    /// Where the energy of processors and memory comes from: `governor`, `sysfs`, `model`.
    pub fn source(&self) -> &'static str {
        match self.attribution_mode {
            AttributionMode::GovernorCpuTime | AttributionMode::GovernorEnergy => "governor",
            AttributionMode::CpuTime => "sysfs",
            AttributionMode::MonitorOnly => "model",
        }
    }
}

/// What a part of an interval used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Used {
    /// In µJ.
    pub energy_uj: u64,
    /// CPU time.
    pub cpu: Duration,
    /// What is not known of the energy: factors of mean 1, as records hold them.
    pub factors: Vec<Input>,
    /// What it emitted, where energy is priced.
    pub carbon: Option<Carbon>,
}
