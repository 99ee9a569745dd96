//! The GPUs of a host that is watched: their totals, and which part of each whose processes used.
//!
//! As in `run` (`carbon_ops_meter::gpu`), energy goes to processes by GPU time, look by look, a second
//! apart at most. But a sample cannot wait for what the driver tells later: time after the driver's last
//! word goes as that word said, for as long as the driver may keep silent about a process that is there;
//! then nobody used the GPU. Before its first word, nobody can say who did.
//!
//! Out of scope: which row a process belongs to, and the split itself (`share`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use carbon_ops_meter::sensor::nvml::{Nvml, SAMPLED_WITHIN, Share, longest_interval, weight};
use carbon_ops_meter::sensor::{Backend as _, Exclusion, ReadFault};
use carbon_ops_units::Microjoules;

use super::tally::Tally;
use super::totals::Total;
use crate::env::Env;

/// The GPUs that NVIDIA's library shows.
pub struct GpuWatch {
    nvml: Nvml,
    gpus: Vec<Gpu>,
    incomplete: bool,
    regular: Duration,
    due: Instant,
}

#[derive(Debug)]
struct Gpu {
    /// Its place among NVML's domains.
    index: usize,
    tally: Tally,
    usage: Usage,
}

/// Who used a GPU, of its energy since this was last taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Used {
    /// Parts by process, 0 to 1; those of 0 have a context on it.
    pub by_pid: BTreeMap<u32, f64>,
    /// The part of which nobody could say whose it is. What remains was used by nobody.
    pub unknown: f64,
}

/// What the driver told at one look.
#[derive(Debug)]
enum Told {
    /// Parts of the time since its last sample.
    Times(Vec<(u32, f64)>),
    /// No sample since then.
    Nothing,
    /// It does not tell GPU time.
    Unknown,
}

/// Turns what was told at looks into parts of the energy between them.
#[derive(Debug)]
struct Usage {
    opened: Instant,
    /// The driver's last word on time.
    last: Option<(Vec<(u32, f64)>, Instant)>,
    /// Total and instant up to which energy was given.
    given: (Microjoules, Instant),
    /// Energy in J.
    by_pid: BTreeMap<u32, f64>,
    unknown: f64,
    all: f64,
}

impl GpuWatch {
    /// Takes the first readings; `None` when no GPU can be read.
    pub fn open(mut nvml: Nvml, now: Instant) -> Option<Self> {
        let lost = |reason: Exclusion| reason.loses_energy();
        let mut incomplete = nvml.excluded().iter().any(|gpu| lost(gpu.reason));
        let mut gpus = Vec::new();
        for (index, domain) in nvml.domains().to_vec().iter().enumerate() {
            // What was sampled before the start is no part of it.
            let _ = nvml.processes(index);
            let mut tally = Tally::new(domain, "nvml");
            tally.observe(nvml.read(index), Env::boot_time());
            if tally.counter().last_good().is_none() {
                incomplete = true;
                continue;
            }
            let usage = Usage::starting(tally.counter().total(), now);
            gpus.push(Gpu { index, tally, usage });
        }
        let power_only = gpus.iter().any(|gpu| nvml.integral(gpu.index).is_some());
        let regular = longest_interval(power_only);
        let due = now + regular;
        (!gpus.is_empty()).then_some(Self { nvml, gpus, incomplete, regular, due })
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Whether a GPU is there that cannot be read.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether a GPU tells its power only, so that its energy is an estimate.
    pub fn is_integrated(&self) -> bool {
        self.gpus.iter().any(|gpu| self.nvml.integral(gpu.index).is_some())
    }

    /// Reads the counters and looks who is there.
    pub fn poll(&mut self, now: Instant) {
        for gpu in &mut self.gpus {
            gpu.tally.observe(self.nvml.read(gpu.index), Env::boot_time());
            // A driver that refuses names nobody to remember; it takes no time from anybody.
            let holders = self.nvml.holders(gpu.index).unwrap_or_default();
            let told = told(self.nvml.processes(gpu.index));
            gpu.usage.give(told, &holders, gpu.tally.counter().total(), now);
        }
        self.due = now + self.regular;
    }

    /// The totals of the last reading, in an order that stays.
    pub fn totals(&mut self) -> Vec<Total> {
        self.gpus.iter_mut().map(|gpu| gpu.tally.total()).collect()
    }

    /// Who used each GPU, by its name, since the last call.
    pub fn take_used(&mut self) -> BTreeMap<String, Used> {
        let take = |gpu: &mut Gpu| (gpu.tally.domain().name.clone(), gpu.usage.take());
        self.gpus.iter_mut().map(take).collect()
    }
}

fn told(processes: Result<Vec<(u32, Share)>, ReadFault>) -> Told {
    let Ok(processes) = processes else { return Told::Unknown };
    let mut times = Vec::new();
    for &(pid, share) in &processes {
        match share {
            Share::OfTime(part) => times.push((pid, part)),
            Share::Unknown => return Told::Unknown,
        }
    }
    if times.is_empty() { Told::Nothing } else { Told::Times(times) }
}

impl Usage {
    fn starting(total: Microjoules, now: Instant) -> Self {
        Self {
            opened: now,
            last: None,
            given: (total, now),
            by_pid: BTreeMap::new(),
            unknown: 0.0,
            all: 0.0,
        }
    }

    /// Gives the energy since the last look.
    fn give(&mut self, told: Told, holders: &[u32], total: Microjoules, now: Instant) {
        let passed = now.saturating_duration_since(self.given.1);
        let energy = total.saturating_sub(self.given.0);
        let weight = weight(energy, passed);
        self.given = (total, now);
        self.all += weight;
        for &pid in holders {
            self.by_pid.entry(pid).or_insert(0.0);
        }
        let silent = match told {
            Told::Unknown => {
                self.last = None;
                self.unknown += weight;
                return;
            }
            Told::Times(times) => {
                self.last = Some((at_most_one(times), now));
                Duration::ZERO
            }
            Told::Nothing => {
                let since = self.last.as_ref().map_or(self.opened, |(_, at)| *at);
                now.saturating_duration_since(since)
            }
        };
        match &self.last {
            _ if silent >= SAMPLED_WITHIN => {}
            None => self.unknown += weight,
            Some((times, _)) => {
                for &(pid, part) in times {
                    *self.by_pid.entry(pid).or_insert(0.0) += part * weight;
                }
            }
        }
    }

    fn take(&mut self) -> Used {
        let (by_pid, unknown, all) = (
            std::mem::take(&mut self.by_pid),
            std::mem::take(&mut self.unknown),
            std::mem::take(&mut self.all),
        );
        if all <= 0.0 {
            return Used { by_pid: BTreeMap::new(), unknown: 1.0 };
        }
        let by_pid = by_pid.into_iter().map(|(pid, part)| (pid, part / all)).collect();
        Used { by_pid, unknown: unknown / all }
    }
}

/// Processes that ran at once sum to more than all the time; no more than that was used.
fn at_most_one(times: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    let sum: f64 = times.iter().map(|(_, part)| part).sum();
    times.into_iter().map(|(pid, part)| (pid, part / sum.max(1.0))).collect()
}

impl fmt::Debug for GpuWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuWatch").field("nvml", &self.nvml).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joules(joules: u64) -> Microjoules {
        Microjoules::new(joules * 1_000_000)
    }

    fn percent(used: &Used, pid: u32) -> f64 {
        (100.0 * used.by_pid.get(&pid).copied().unwrap_or(0.0)).round()
    }

    /// 100 J at full use and 300 J at half of it: (100 + 150) / 400 is 62.5 %.
    #[test]
    fn time_is_weighted_by_the_energy_that_passed_meanwhile() {
        let start = Instant::now();
        let mut usage = Usage::starting(joules(7), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        usage.give(Told::Times(vec![(5, 1.0)]), &[], joules(107), at(1));
        usage.give(Told::Times(vec![(5, 0.5)]), &[6], joules(407), at(2));
        let used = usage.take();
        assert_eq!((percent(&used, 5), used.by_pid.len()), (63.0, 2));
        assert!((used.by_pid[&5] - 0.625).abs() < 1e-9 && used.unknown == 0.0);
        // Two that filled it each, at once.
        usage.give(Told::Times(vec![(5, 1.0), (6, 1.0)]), &[], joules(500), at(3));
        assert!((usage.take().by_pid[&6] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_drivers_last_word_holds_for_two_seconds_and_then_nobody_was_there() {
        let start = Instant::now();
        let mut usage = Usage::starting(joules(0), start);
        let mut look = |ms: u64, told| {
            usage.give(told, &[], joules(ms), start + Duration::from_millis(ms));
            let used = usage.take();
            (percent(&used, 5), used.unknown)
        };
        assert_eq!(look(500, Told::Nothing), (0.0, 1.0), "nothing is known yet");
        assert_eq!(look(1000, Told::Times(vec![(5, 0.8)])), (80.0, 0.0));
        assert_eq!(look(2900, Told::Nothing), (80.0, 0.0));
        assert_eq!(look(3000, Told::Nothing), (0.0, 0.0), "idle");
        assert_eq!(look(3100, Told::Unknown), (0.0, 1.0));
    }

    #[test]
    fn a_gpu_that_was_not_looked_at_is_nobodys_to_name() {
        let mut usage = Usage::starting(joules(0), Instant::now());
        assert!(usage.take().unknown >= 1.0);
    }
}
