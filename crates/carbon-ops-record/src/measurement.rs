//! What was measured on this machine: counters or a model, who used the energy, and what is missing.
//!
//! Integers are measured; they sum exactly: `host = workload + others + idle`, and the domains to the host.
//!
//! Out of scope: what the energy emitted.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use carbon_ops_estimate::words;

use crate::{Decimal, Error, GPUS, HWMON, INTEGER_MAX, LIST_MAX, is_hex, rule};

/// A measurement. Members stand in the order of their names, so that writing them in turn is canonical.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// CPU time of the workload over busy CPU time of the machine, 0 to 1; of a workload only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_ratio: Option<f64>,
    /// How the workload's share was found.
    pub attribution_mode: AttributionMode,
    /// Kernel's boot id, without hyphens; counters of different boots are not comparable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Share of the window that the counters covered, in percent, 0 to 100.
    pub coverage_pct: f64,
    /// CPU time of the whole machine in the window, when the share was found by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// What was counted or modelled, each name once; their energies sum to the host's.
    pub domains: Vec<Domain>,
    /// Length of the window by the monotonic clock, in ns.
    pub elapsed_ns: Decimal,
    /// Energy in µJ: `host = workload + others + idle`, exactly.
    pub energy: Energy,
    /// Zones that were seen and not counted.
    pub excluded: Vec<Excluded>,
    /// Spans that a counter did not cover by itself.
    pub gaps: Vec<Gap>,
    /// How idle energy is treated.
    pub idle_policy: IdlePolicy,
    /// How many ticks the energy was shared in, one after the other, where it was not shared as a whole: its parts
    /// are the sums of their shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<u64>,
    /// What was modelled, when counters could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// Which part of the host's energy the record is about.
    pub part: Part,
    /// The sensors that were tried, best first; exactly one was used, beside that of GPUs.
    pub sensors: Vec<Sensor>,
    /// What was run; of a workload only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
}

words! {
    /// Which part of the host's energy a record is about.
    Part {
        /// A workload.
        Workload = "workload",
        /// All that no workload of the same interval used.
        Others = "others",
        /// What the machine would have drawn idle.
        Idle = "idle",
    }
}
words! {
    /// How the workload's share was found.
    AttributionMode {
        /// Counters read without a governor, split by CPU time.
        CpuTime = "cpu_time",
        /// The governor's totals, split by CPU time.
        GovernorCpuTime = "governor_cpu_time",
        /// The governor's totals, all of them the workload's.
        GovernorEnergy = "governor_energy",
        /// No counters: a model.
        MonitorOnly = "monitor_only",
    }
}
words! {
    /// How idle energy is treated.
    IdlePolicy {
        /// Idle energy belongs to the machine; the workload gets its share of what exceeds it.
        Residual = "residual",
        /// It is shared like what exceeds it, by CPU time and by GPU time.
        Proportional = "proportional",
    }
}
words! {
    /// What became of a sensor.
    SensorStatus {
        /// The energy comes from it.
        Used = "used",
        /// It could have been used; a better one was.
        Available = "available",
        /// The machine does not have it.
        Absent = "absent",
        /// It may not be read.
        Denied = "denied",
        /// It was read but gave nothing usable.
        Failed = "failed",
    }
}

/// CPU time of the machine in the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Busy time over all CPUs, in ns, as the kernel's ticks tell it.
    pub busy_ns: Decimal,
    /// CPUs online.
    pub count: u64,
}

/// One summand of the host's energy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// What the estimate adds to the counter's difference, in µJ; absent when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust_uj: Option<i64>,
    /// `sysfs`, `msr`, `perf`, `nvml`, `hwmon`, `model`.
    pub backend: String,
    /// Difference of the totals, in µJ; for a model the modelled energy.
    pub delta_uj: u64,
    /// Total at the end, in µJ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_uj: Option<Decimal>,
    /// Grows when totals before and after hide unknown energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Decimal>,
    /// `package-0`, `dram-0`, `cpu`, `memory`.
    pub name: String,
    /// Total at the start, in µJ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_uj: Option<Decimal>,
    /// Wraps of the counter that were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<u64>,
}

impl Domain {
    /// Whether it is a GPU, whose energy is not shared by CPU time.
    pub fn is_gpu(&self) -> bool {
        self.backend == GPUS || self.backend == HWMON && self.name.starts_with("gpu-")
    }
}

/// The host's energy and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// All counted domains.
    pub host_uj: u64,
    /// What the machine would have drawn idle.
    pub idle_uj: u64,
    /// All other processes.
    pub others_uj: u64,
    /// The workload.
    pub workload_uj: u64,
}

/// A zone that was not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// The zone's name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Name of its directory.
    pub zone: String,
}

/// A span that a counter did not cover by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Whether a later reading carried the energy, so that none had to be filled in.
    pub bridged: bool,
    /// Which domain.
    pub domain: String,
    /// Length in ns.
    pub duration_ns: Decimal,
    /// Start, in ns from the start of the window.
    pub offset_ns: Decimal,
    /// Why.
    pub reason: String,
}

/// What the power model knew and what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The processor as it names itself.
    pub cpu: String,
    /// Its figures for this window: mean and ends of 95 %, or each published model's in older records.
    pub estimates: Vec<ModelEstimate>,
    /// Microarchitecture, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Version of the tables.
    pub table: String,
    /// Where the TDP comes from: `given`, `name`, `family` or `unknown`.
    pub tdp_basis: String,
    /// Thermal design power of these CPUs, in W.
    pub tdp_watts: f64,
    /// CPUs that the model was applied to.
    pub vcpus: u64,
}

/// Figures of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEstimate {
    /// Energy of the processor in µJ.
    pub cpu_uj: u64,
    /// `low`, `mean`, `high`, or which published model.
    pub name: String,
    /// Energy of the workload in µJ.
    pub workload_uj: u64,
}

/// A sensor that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// `governor`, `sysfs`, `hwmon`, `model`, and `nvml` for GPUs.
    pub name: String,
    /// Why it was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of it.
    pub status: SensorStatus,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Arguments; kept only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// CPU time of all processes of the workload, in ns.
    pub cpu_time_ns: Decimal,
    /// Exit code; 128 + n for signal n. Not there where measuring ended before the work did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u64>,
    /// Base name of the program.
    pub program: String,
    /// Descendants still alive at the end of the window; their CPU time so far is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Number of the signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u64>,
}

impl Energy {
    /// The energy of a part, in µJ.
    pub fn of(&self, part: Part) -> u64 {
        match part {
            Part::Workload => self.workload_uj,
            Part::Others => self.others_uj,
            Part::Idle => self.idle_uj,
        }
    }
}

impl Measurement {
    /// The energy of the part that the record is about, in µJ.
    pub fn part_uj(&self) -> u64 {
        self.energy.of(self.part)
    }

    /// Every rule that ties members together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_energy()?;
        self.check_lists()?;
        self.check_sensors()?;
        if !(0.0..=100.0).contains(&self.coverage_pct) {
            return Err(rule("coverage_pct", "0 to 100 percent"));
        }
        let workload = self.part == Part::Workload;
        if self.workload.is_some() != workload || self.allocation_ratio.is_some() != workload {
            return Err(rule("workload", "what was run, and its share, of a workload only"));
        }
        self.check_share()
    }

    fn check_lists(&self) -> Result<(), Error> {
        let lists = [self.domains.len(), self.gaps.len(), self.excluded.len(), self.sensors.len()];
        if lists.into_iter().any(|length| length > LIST_MAX) {
            return Err(rule("domains", "lists of at most 256 items"));
        }
        let mut names = BTreeSet::new();
        if !self.domains.iter().all(|domain| names.insert(&domain.name)) {
            return Err(rule("domains", "each name once"));
        }
        let known = |gap: &Gap| self.domains.iter().any(|domain| domain.name == gap.domain);
        let inside = |gap: &Gap| {
            let end = gap.offset_ns.0.checked_add(gap.duration_ns.0);
            // A counter's own window may pass the host's by the time that its reading takes.
            end.is_some_and(|end| end / 2 <= self.elapsed_ns.0)
        };
        if !self.gaps.iter().all(|gap| known(gap) && inside(gap)) {
            return Err(rule("gaps", "of a domain of the record, inside the window"));
        }
        if !self.boot_id.as_deref().is_none_or(is_hex) {
            return Err(rule("boot_id", "lower-case hex"));
        }
        Ok(())
    }

    /// GPUs are measured beside everything else.
    fn check_sensors(&self) -> Result<(), Error> {
        let of_host = self.sensors.iter().filter(|sensor| sensor.name != GPUS);
        let used = of_host.filter(|sensor| sensor.status == SensorStatus::Used).count();
        if used != 1 {
            return Err(rule("sensors", "exactly one was used, beside that of GPUs"));
        }
        Ok(())
    }

    fn check_energy(&self) -> Result<(), Error> {
        let Energy { host_uj, idle_uj, others_uj, workload_uj } = self.energy;
        if host_uj > INTEGER_MAX {
            return Err(rule("energy", "at most 2^53 − 1 µJ"));
        }
        let parts = u128::from(idle_uj) + u128::from(others_uj) + u128::from(workload_uj);
        if parts != u128::from(host_uj) {
            return Err(rule("energy", "host = workload + others + idle"));
        }
        let mut sum = 0i128;
        for domain in &self.domains {
            sum += i128::from(domain.delta_uj) + i128::from(domain.adjust_uj.unwrap_or(0));
            if domain.adjust_uj == Some(0) {
                return Err(rule("domains", "an adjustment of 0 is left out"));
            }
            match (domain.start_uj, domain.end_uj) {
                (Some(start), Some(end)) if end.0.checked_sub(start.0) == Some(domain.delta_uj) => {
                }
                (None, None) => {}
                _ => return Err(rule("domains", "delta = end − start")),
            }
        }
        if sum != i128::from(host_uj) {
            return Err(rule("domains", "their energies sum to host_uj"));
        }
        Ok(())
    }

    /// The share follows from the CPU times, where both are known.
    fn check_share(&self) -> Result<(), Error> {
        let (Some(workload), Some(allocation_ratio)) = (&self.workload, self.allocation_ratio)
        else {
            return Ok(());
        };
        if !(0.0..=1.0).contains(&allocation_ratio) {
            return Err(rule("allocation_ratio", "0 to 1"));
        }
        let used = workload.cpu_time_ns.0;
        let Some(cpu) = self.cpu.filter(|_| used > 0) else { return Ok(()) };
        let busy = cpu.busy_ns.0.max(used);
        #[expect(clippy::cast_precision_loss, reason = "compared to nine digits")]
        let ratio = used as f64 / busy as f64;
        if (allocation_ratio - ratio).abs() > 1e-8 {
            return Err(rule("allocation_ratio", "CPU time of the workload over busy CPU time"));
        }
        // By the CPU times of each tick, which a record does not have.
        if self.intervals.is_some() {
            return Ok(());
        }
        self.check_parts(used, busy)
    }

    /// The workload has its share by CPU time of the active energy. That of GPUs is shared otherwise, and
    /// how much of it is idle does not stand in the record: then the workload has at least its share of
    /// what the rest of the host used if as much as possible of the idle energy was the rest's, and at
    /// most all that the GPUs used besides. Both bounds are loosest so.
    fn check_parts(&self, used: u64, busy: u64) -> Result<(), Error> {
        let Energy { host_uj, idle_uj, workload_uj, .. } = self.energy;
        let of_gpu = self.domains.iter().filter(|domain| domain.is_gpu());
        let energy = |domain: &Domain| {
            i128::from(domain.delta_uj) + i128::from(domain.adjust_uj.unwrap_or(0))
        };
        let of_gpus = u64::try_from(of_gpu.map(energy).sum::<i128>().max(0)).unwrap_or(u64::MAX);
        let of_rest = host_uj.saturating_sub(of_gpus);
        let idle_of_rest = idle_uj.min(of_rest);
        let active = u128::from(of_rest - idle_of_rest);
        let share = (active * u128::from(used) + u128::from(busy) / 2) / u128::from(busy);
        let of_gpus = u128::from(host_uj.saturating_sub(idle_uj)) - active;
        let workload = u128::from(workload_uj);
        if workload + 1 < share || workload > share + of_gpus + 1 {
            return Err(rule("energy", "workload = (host − idle) · allocation_ratio"));
        }
        Ok(())
    }
}
