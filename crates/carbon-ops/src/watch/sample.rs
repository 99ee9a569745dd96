//! A sample, as JSON has it.
//!
//! The names of its members are those of carbon-ops 0.1 where it had them. Units end the names;
//! `_ns` and running totals are decimal strings, as in records.
//!
//! Out of scope: where the numbers come from.

use std::sync::Arc;
use std::time::Duration;

use carbon_ops_record::{AttributionMode, Decimal, Excluded, Quality, Unit};
use serde::{Serialize, Serializer};

use crate::price::{Carbon, Price};

/// Raised when a member changes its meaning or goes.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// One sample, as JSON has it.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Raised when a member changes its meaning or goes.
    pub schema_version: u32,
    /// What kind of object this is.
    pub kind: &'static str,
    /// Random, as that of a record: a sample is counted once, wherever copies of it lie.
    pub record_id: String,
    /// When the sample before was taken: UTC, six decimals.
    pub start_ts: String,
    /// When it was taken: UTC, six decimals.
    pub timestamp: String,
    /// Time since the sample before, in ns.
    pub elapsed_ns: Decimal,
    /// How the shares were found.
    pub attribution_mode: AttributionMode,
    /// Who pays for idle energy.
    pub idle_policy: &'static str,
    /// What stands behind the energy.
    pub quality: Quality,
    /// Part of the time that the counters covered, in percent.
    pub coverage_pct: f64,
    /// Keyed hash of the machine's id, where energy is priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// What a kilowatt hour emits, where energy is priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The energy was invented or another machine's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The whole host.
    pub host: Host,
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// GPUs, where one was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// What is watched, by process, cgroup or unit of work.
    pub rows: Vec<Row>,
    /// Energy that no row has.
    pub residuals: Residuals,
    /// What counters did not cover.
    pub gaps: Vec<Gap>,
    /// What a reader should know, as words.
    pub notes: Vec<String>,
}

/// Energy of the host.
#[derive(Debug, Serialize)]
pub struct Host {
    /// All that rows and residuals sum to, GPUs included.
    pub energy_uj: u64,
    /// Energy over time, in W.
    pub power_w: f64,
    /// Lower end of its interval, at the level of the price, where energy is priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_ci_lower_w: Option<f64>,
    /// Upper end of its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_ci_upper_w: Option<f64>,
    /// Its carbon, where energy is priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carbon: Option<Carbon>,
    /// `governor`, `sysfs`, `model`.
    pub source: &'static str,
    /// The energy by domain.
    pub domains: Vec<Domain>,
    /// What should have been counted and was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Excluded>,
    /// Why no better source is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why no GPU is measured, where there was something to find.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_reason: Option<String>,
}

/// Energy of a domain.
#[derive(Debug, Serialize)]
pub struct Domain {
    /// Its name, such as `package-0`.
    pub name: String,
    /// `sysfs`, `governor`, `nvml`, `hwmon`, `model`.
    pub source: &'static str,
    /// Energy in the interval, in µJ.
    pub energy_uj: u64,
    /// What of it no reading carries yet, in µJ.
    #[serde(skip_serializing_if = "is_zero")]
    pub filled_uj: u64,
    /// The running total, in µJ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_uj: Option<Decimal>,
    /// Changes with each break of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Decimal>,
}

/// Processor time of the host.
#[derive(Debug, Serialize)]
pub struct Cpu {
    /// Busy time of all processors, in ns.
    pub busy_ns: Decimal,
    /// 0 to 1.
    pub utilisation: f64,
    /// Processors that are online.
    pub count: u32,
    /// Their clock in MHz, the mean over all at the end; `None` where the kernel does not tell.
    pub frequency_mhz: Option<f64>,
}

/// Memory of the host; `None` where the kernel does not tell.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// In use, in bytes.
    pub used_bytes: Option<u64>,
    /// Available to programs, in bytes.
    pub available_bytes: Option<u64>,
    /// In all, in bytes.
    pub total_bytes: Option<u64>,
}

/// Energy of GPUs.
#[derive(Debug, Serialize)]
pub struct Gpu {
    /// Energy of all GPUs, in µJ.
    pub energy_uj: u64,
    /// What NVIDIA's library says of each beside its energy, where it is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
}

/// A GPU; `None` is what the driver does not tell.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Its name, as that of its domain.
    pub name: String,
    /// Percent of the driver's last sampling period in which a kernel ran.
    pub utilisation_percent: Option<u32>,
    /// Memory in use, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, in bytes.
    pub memory_total_bytes: Option<u64>,
}

/// What one process, cgroup or unit used.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Of a process, its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Of a cgroup, its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// What the work is called by its owner, as in records.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "of_unit")]
    pub unit: Option<Arc<Unit>>,
    /// Processes in it.
    pub processes: usize,
    /// CPU time in the interval, in ns.
    pub cpu_time_ns: Decimal,
    /// Of one CPU.
    pub cpu_percent: f64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Of processors, memory and GPUs.
    pub energy_uj: u64,
    /// What of that is of GPUs, where one was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_energy_uj: Option<u64>,
    /// Energy over time, in W.
    pub power_w: f64,
    /// Its carbon, where energy is priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carbon: Option<Carbon>,
    /// CPU time over that of the whole host.
    pub allocation_ratio: f64,
}

/// Energy that no row has, of processors, memory and GPUs; the last is of GPUs alone.
#[derive(Debug, Default, Serialize)]
pub struct Residuals {
    /// Of nobody: the host would have used it at rest, in µJ.
    pub idle_uj: u64,
    /// Of the kernel's own work, in µJ.
    pub kernel_uj: u64,
    /// Of processes that have ended, in µJ.
    pub ended_uj: u64,
    /// Of processes that have no row, in µJ.
    pub others_uj: u64,
    /// Of which nobody can say whose it is, in µJ.
    pub unattributed_uj: u64,
    /// The same of GPUs, in µJ.
    pub gpu_unattributed_uj: u64,
}

/// What a counter did not cover.
#[derive(Debug, Serialize)]
pub struct Gap {
    /// The domain.
    pub domain: String,
    /// Why.
    pub reason: String,
    /// For how long, in ns.
    pub duration_ns: Decimal,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::ref_option, reason = "serde asks for a reference")]
fn of_unit<S: Serializer>(unit: &Option<Arc<Unit>>, to: S) -> Result<S::Ok, S::Error> {
    unit.as_deref().serialize(to)
}

pub(super) fn decimal(time: Duration) -> Decimal {
    Decimal(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
