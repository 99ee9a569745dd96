//! A sample: what the host used in an interval, and whose it was.
//!
//! The names of its members are those of carbon-ops 0.1 where it had them. Units end the names;
//! `_ns` and running totals are decimal strings, as in records.
//!
//! Out of scope: waiting, and carbon.

pub mod gpus;
mod share;
mod tally;
pub mod totals;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_meter::attribution::{CpuUse, IdleRule};
use carbon_ops_meter::cpu_time::Busy;
use carbon_ops_meter::groups::{Cgroup, Tree, Usage, unit_of};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::proc;
use carbon_ops_meter::processes::{Look, Processes, Units};
use carbon_ops_meter::sensor::Kind;
use carbon_ops_meter::shares::{Division, IdlePolicy, Interval, Rest, divide};
use carbon_ops_record::{AttributionMode, Decimal, Quality, timestamp};
use carbon_ops_units::Microjoules;
use serde::Serialize;

use crate::env::Env;
use crate::fault::Fault;
use crate::supervise::process_cpu_time;
use carbon_ops_record::Note;
use share::{GpuShares, Owner};
use totals::{HostEnergy, Meter};

/// Raised when a member changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

/// One sample, as JSON has it.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Raised when a member changes its meaning or goes.
    pub schema_version: u32,
    /// What kind of object this is.
    pub kind: &'static str,
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
    /// What is watched, by process, cgroup or unit.
    pub rows: Vec<Row>,
    /// Energy that no row has.
    pub residuals: Residuals,
    /// What counters did not cover.
    pub gaps: Vec<Gap>,
    /// What a reader should know, as words.
    pub notes: Vec<&'static str>,
}

/// Energy of the host.
#[derive(Debug, Serialize)]
pub struct Host {
    /// All that rows and residuals sum to, GPUs included.
    pub energy_uj: u64,
    /// Energy over time, in W.
    pub power_w: f64,
    /// `governor`, `sysfs`, `model`.
    pub source: &'static str,
    /// The energy by domain.
    pub domains: Vec<Domain>,
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
    /// `sysfs`, `governor`, `nvml`, `model`.
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
    /// Of a unit of systemd, its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
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
    pub reason: &'static str,
    /// For how long, in ns.
    pub duration_ns: Decimal,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn decimal(time: Duration) -> Decimal {
    Decimal(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// What to watch, and how to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is watched.
    pub what: What,
    /// What makes a row where everything is watched.
    pub by: By,
    /// Order of the rows.
    pub sort: Sort,
    /// Most rows; what is cut is among the others.
    pub limit: usize,
    /// Who pays for idle energy.
    pub idle: IdlePolicy,
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// All processes.
    All,
    /// A process and its descendants.
    Pid(i32),
    /// A cgroup, by its path below `/sys/fs/cgroup`.
    Cgroup(String),
    /// A unit of systemd.
    Unit(String),
}

/// What makes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A process.
    Process,
    /// A cgroup.
    Cgroup,
    /// A unit of systemd.
    Unit,
}

/// Order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Most energy first.
    Energy,
    /// Most CPU time first.
    Cpu,
    /// Most memory first.
    Memory,
    /// By name.
    Name,
}

/// What is watched, as found.
#[derive(Debug)]
enum Target {
    All,
    Tree(i32, Tree),
    Cgroup(Cgroup, Option<String>),
}

/// What a process on a GPU belongs to; remembered, since it may have ended when its GPU time is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// A row of its own.
    Process,
    /// The row of its cgroup or unit.
    Group(Option<String>),
    /// Whether it is in the group that is watched.
    Member(bool),
}

/// A host that is being watched.
#[derive(Debug)]
pub struct Watch {
    host: HostRoot,
    ticks_per_second: u32,
    /// Whether processes are this machine's, so that their clocks can be asked.
    has_clocks: bool,
    meter: Meter,
    processes: Processes,
    target: Target,
    by: By,
    sort: Sort,
    limit: usize,
    policy: IdlePolicy,
    busy: Option<Busy>,
    at: Instant,
    /// Processes that were seen alive and on a GPU.
    on_gpus: BTreeMap<i32, Key>,
}

/// What one look told, before it is shared.
struct Seen {
    elapsed: Duration,
    busy: Option<Busy>,
    /// In the interval.
    busy_time: Duration,
    interrupts: Duration,
    look: Look,
    memory: proc::Memory,
}

impl Watch {
    /// Takes the first readings.
    ///
    /// # Errors
    /// When there is no such process, cgroup or unit, or no `/proc`.
    pub fn open(options: &Options, host: HostRoot, env: &Env, meter: Meter) -> Result<Self> {
        let ticks_per_second = env.ticks_per_second;
        let units = Units { ticks_per_second, page_bytes: env.page_bytes };
        let has_clocks = host.is_this_machine();
        let mut watch = Self {
            processes: Processes::new(&host, units),
            host,
            ticks_per_second,
            has_clocks,
            meter,
            target: Target::All,
            by: options.by,
            sort: options.sort,
            limit: options.limit,
            policy: options.idle,
            busy: None,
            at: Instant::now(),
            on_gpus: BTreeMap::new(),
        };
        watch.look()?;
        let (host, processes) = (&watch.host, &watch.processes);
        watch.target = match &options.what {
            &What::Pid(pid) => {
                let tree =
                    Tree::below(pid, processes).ok_or_else(|| anyhow!(Fault::NoProcess(pid)))?;
                Target::Tree(pid, tree)
            }
            What::Cgroup(path) => Target::Cgroup(Cgroup::find(host, path, processes)?, None),
            What::Unit(name) => {
                let cgroup = Cgroup::unit(host, name, processes)?;
                let unit = unit_of(cgroup.path()).map_or_else(|| name.clone(), str::to_owned);
                Target::Cgroup(cgroup, Some(unit))
            }
            What::All => Target::All,
        };
        watch.meter.restart();
        watch.busy = Busy::read(&watch.host, ticks_per_second);
        watch.at = Instant::now();
        Ok(watch)
    }

    /// When watching began.
    pub fn begun(&self) -> Instant {
        self.at
    }

    /// What the energy comes from; it must be polled when it is due.
    pub fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// Whether what is watched can end.
    pub fn can_end(&self) -> bool {
        !matches!(self.target, Target::All)
    }

    /// Whether it has, at a glance.
    pub fn has_ended(&self) -> bool {
        match &self.target {
            Target::All => false,
            Target::Tree(pid, _) => proc::has_ended(&self.host, *pid),
            Target::Cgroup(cgroup, _) => cgroup.is_accounted() && !cgroup.exists(),
        }
    }

    fn look(&mut self) -> Result<Look> {
        let clock: &dyn Fn(i32) -> Option<Duration> = &process_cpu_time;
        self.processes.look(self.has_clocks.then_some(clock)).context("cannot list /proc")
    }

    /// A sample since the one before, and whether there is more to watch. `missed` deadlines have
    /// passed without one; `partial`: it comes before its time.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn sample(&mut self, missed: u32, partial: bool) -> Result<(Sample, bool)> {
        let totals = self.meter.read();
        let busy = Busy::read(&self.host, self.ticks_per_second);
        let (now, wall) = (Instant::now(), Env::now());
        let elapsed = now.saturating_duration_since(self.at);
        let look = self.look()?;
        let between = |of: fn(&Busy) -> Duration| {
            let both = self.busy.as_ref().zip(busy.as_ref());
            both.map_or(Duration::ZERO, |(a, b)| of(b).saturating_sub(of(a)))
        };
        let (busy_time, interrupts) = (between(|b| b.time), between(|b| b.interrupts));
        let memory = proc::Memory::read(&self.host);
        let seen = Seen { elapsed, busy, busy_time, interrupts, look, memory };
        let (mut rows, usages, watching) = self.candidates();
        let known: Duration = usages.iter().map(|usage| usage.cpu).sum();
        let whole = seen.busy_time.max(known + seen.interrupts);
        let capacity = elapsed * self.cpus(&seen);
        let energy =
            self.meter.energy(totals, elapsed, CpuUse { workload: whole, busy: whole, capacity });
        let division = share(&energy, &seen, capacity, self.policy, &usages);
        let gpus = self.share_gpus(&energy, &rows);
        fill_rows(&mut rows, &division, &usages, gpus.as_ref(), elapsed);
        let of_gpus = energy.domains.iter().filter(|domain| domain.kind == Kind::Gpu).count();
        let all_gpus = of_gpus > 0 && !self.meter.misses_gpus(of_gpus);
        let residuals = self.residuals(&mut rows, &division, &seen, &gpus.unwrap_or_default());
        let mut notes = self.notes(&seen, &division, all_gpus, partial);
        notes.extend((missed > 0).then_some("deadlines_missed"));
        notes.sort_unstable();
        let sample = self.compose(timestamp(wall), &seen, &energy, (rows, residuals), notes, whole);
        (self.busy, self.at) = (seen.busy.or(self.busy), now);
        Ok((sample, watching))
    }

    /// Shares the energy of GPUs among the rows; `None` when none was measured.
    fn share_gpus(&mut self, energy: &HostEnergy, rows: &[Row]) -> Option<GpuShares> {
        let (used, policy) = (self.meter.take_used(), self.policy);
        let mut shares = None;
        for domain in energy.domains.iter().filter(|domain| domain.kind == Kind::Gpu) {
            let used = used.as_ref().and_then(|used| used.get(&domain.name));
            let owner = &mut |pid| self.owner(pid, rows);
            let shares = shares.get_or_insert_with(GpuShares::default);
            shares.add(domain.energy, used, policy, owner);
        }
        let processes = &self.processes;
        let told = |pid: i32| {
            let mut told = used.iter().flat_map(BTreeMap::values);
            told.any(|used| used.by_pid.contains_key(&pid.unsigned_abs()))
        };
        self.on_gpus.retain(|&pid, _| processes.find(pid).is_some() || told(pid));
        shares
    }

    /// Whose a process on a GPU is. The numbers are those of the driver, which are ours outside of
    /// containers.
    fn owner(&mut self, pid: u32, rows: &[Row]) -> Owner {
        let Ok(pid) = i32::try_from(pid) else { return Owner::Unknown };
        if let Some(process) = self.processes.find(pid) {
            let key = match &self.target {
                Target::All if self.by == By::Process => Key::Process,
                Target::All => {
                    let cgroup = Some(&*process.cgroup).filter(|path| !path.is_empty());
                    let name = if self.by == By::Unit { cgroup.and_then(unit_of) } else { cgroup };
                    Key::Group(name.map(str::to_owned))
                }
                Target::Tree(_, tree) => Key::Member(tree.contains(process)),
                Target::Cgroup(cgroup, _) => Key::Member(cgroup.contains(process)),
            };
            self.on_gpus.insert(pid, key);
        }
        let row = match self.on_gpus.get(&pid) {
            None => return Owner::Unknown,
            Some(Key::Member(true)) => Some(0),
            Some(Key::Member(false)) => return Owner::Others,
            Some(Key::Process) => rows.iter().position(|row| row.pid == Some(pid)),
            Some(Key::Group(name)) if self.by == By::Unit => {
                rows.iter().position(|row| row.unit == *name)
            }
            Some(Key::Group(name)) => rows.iter().position(|row| row.cgroup == *name),
        };
        row.map_or(Owner::Ended, Owner::Row)
    }

    fn cpus(&self, seen: &Seen) -> u32 {
        seen.busy.map_or(self.meter.model().vcpus, |busy| busy.cpus)
    }

    /// The rows without their shares, what each used, and whether there is more to watch.
    fn candidates(&mut self) -> (Vec<Row>, Vec<Usage>, bool) {
        let processes = &self.processes;
        match &mut self.target {
            Target::All => {
                let (rows, usages) = all(processes, self.by);
                (rows, usages, true)
            }
            Target::Tree(pid, tree) => {
                let usage = tree.usage(processes);
                let name = processes.find(*pid).map_or("(ended)", |process| &process.name);
                let row = Row { pid: Some(*pid), ..empty(name) };
                (vec![row], vec![usage], tree.is_alive(processes))
            }
            Target::Cgroup(cgroup, unit) => {
                let usage = cgroup.usage(processes);
                let path = cgroup.path().to_owned();
                let name = unit.clone().unwrap_or_else(|| path.clone());
                let row = Row { cgroup: Some(path), unit: unit.clone(), ..empty(&name) };
                let there = cgroup.exists() || usage.processes > 0;
                (vec![row], vec![usage], there)
            }
        }
    }

    /// Sorts and cuts the rows; what is cut joins the residuals.
    fn residuals(
        &self,
        rows: &mut Vec<Row>,
        division: &Division<usize>,
        seen: &Seen,
        gpus: &GpuShares,
    ) -> Residuals {
        let uj = Microjoules::as_microjoules;
        let mut residuals = Residuals {
            idle_uj: uj(division.residuals.idle + gpus.idle),
            kernel_uj: uj(division.residuals.kernel),
            ended_uj: uj(gpus.ended),
            others_uj: uj(gpus.others),
            unattributed_uj: 0,
            gpu_unattributed_uj: uj(gpus.unattributed),
        };
        let rest = match self.target {
            Target::All if seen.look.vanished > 0 => Rest::Ended,
            Target::All => Rest::Unattributed,
            Target::Tree(..) | Target::Cgroup(..) => Rest::Others,
        };
        *match rest {
            Rest::Ended => &mut residuals.ended_uj,
            Rest::Unattributed => &mut residuals.unattributed_uj,
            Rest::Others => &mut residuals.others_uj,
        } += uj(division.residuals.rest);
        rows.sort_by(|a, b| {
            let by = match self.sort {
                Sort::Energy => b.energy_uj.cmp(&a.energy_uj),
                Sort::Cpu => b.cpu_time_ns.cmp(&a.cpu_time_ns),
                Sort::Memory => b.memory_bytes.cmp(&a.memory_bytes),
                Sort::Name => a.name.cmp(&b.name),
            };
            by.then(b.cpu_time_ns.cmp(&a.cpu_time_ns)).then(a.pid.cmp(&b.pid))
        });
        let cut = rows.get(self.limit..).unwrap_or_default();
        residuals.others_uj += cut.iter().map(|row| row.energy_uj).sum::<u64>();
        rows.truncate(self.limit);
        residuals
    }

    fn notes(
        &self,
        seen: &Seen,
        division: &Division<usize>,
        all_gpus: bool,
        partial: bool,
    ) -> Vec<&'static str> {
        let summed = match &self.target {
            Target::Cgroup(cgroup, _) => !cgroup.is_accounted(),
            Target::All | Target::Tree(..) => false,
        };
        let notes = [
            (Note::BusyTimeUnknown.as_str(), seen.busy.is_none() || self.busy.is_none()),
            ("cgroup_summed", summed),
            (Note::EnergyFiltered.as_str(), self.meter.is_filtered()),
            (Note::GovernorAbsent.as_str(), !self.meter.is_governed()),
            (Note::IdleBounded.as_str(), division.idle_rule == IdleRule::BusyTime),
            (Note::IdleClamped.as_str(), division.idle_rule == IdleRule::Excess),
            (Note::IdleGiven.as_str(), self.meter.model().idle_is_given()),
            ("partial", partial),
            ("processes_unreadable", seen.look.unreadable > 0),
            (Note::UnseenDisks.as_str(), true),
            (Note::UnseenFans.as_str(), true),
            (Note::UnseenGpu.as_str(), !all_gpus),
            (Note::UnseenMemory.as_str(), seen.memory.total_bytes.is_none()),
            (Note::UnseenPowerSupply.as_str(), true),
            (Note::ZoneUnreadable.as_str(), self.meter.is_incomplete()),
        ];
        notes.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect()
    }

    fn compose(
        &self,
        timestamp: String,
        seen: &Seen,
        energy: &HostEnergy,
        (rows, residuals): (Vec<Row>, Residuals),
        notes: Vec<&'static str>,
        whole: Duration,
    ) -> Sample {
        let count = self.cpus(seen);
        let memory = Memory {
            used_bytes: seen.memory.used_bytes(),
            available_bytes: seen.memory.available_bytes,
            total_bytes: seen.memory.total_bytes,
        };
        let capacity = (seen.elapsed * count).as_secs_f64();
        let utilisation = if capacity > 0.0 { whole.as_secs_f64() / capacity } else { 0.0 };
        let of = |wanted: fn(Kind) -> bool| -> Microjoules {
            let domains = energy.domains.iter().filter(|domain| wanted(domain.kind));
            domains.map(|domain| domain.energy).sum()
        };
        let (host, gpu) = (of(|_| true), of(|kind| kind == Kind::Gpu));
        let uj = Microjoules::as_microjoules;
        let measured_gpu = energy.domains.iter().any(|domain| domain.kind == Kind::Gpu);
        let domains = energy.domains.iter().map(|domain| Domain {
            name: domain.name.clone(),
            source: domain.source,
            energy_uj: uj(domain.energy),
            filled_uj: uj(domain.filled),
            total_uj: domain.total.map(|(total, _)| Decimal(uj(total))),
            epoch: domain.total.map(|(_, epoch)| Decimal(epoch.as_millis())),
        });
        let gaps = energy.gaps.iter().map(|gap| Gap {
            domain: gap.domain.clone(),
            reason: gap.reason.as_str(),
            duration_ns: decimal(gap.duration),
        });
        Sample {
            schema_version: SCHEMA_VERSION,
            kind: "monitor_sample",
            timestamp,
            elapsed_ns: decimal(seen.elapsed),
            attribution_mode: energy.mode,
            idle_policy: self.policy.as_str(),
            quality: energy.quality,
            simulated: self.host.is_simulated() || self.meter.is_simulated(),
            host: Host {
                energy_uj: uj(host),
                power_w: power(uj(host), seen.elapsed),
                source: energy.source,
                domains: domains.collect(),
                reason: self.meter.why_not.clone(),
                gpu_reason: self.meter.why_no_gpu.clone(),
            },
            cpu: Cpu { busy_ns: decimal(whole), utilisation: round9(utilisation.min(1.0)), count },
            memory,
            gpu: measured_gpu.then(|| Gpu { energy_uj: uj(gpu) }),
            rows,
            residuals,
            gaps: gaps.collect(),
            notes,
        }
    }
}

/// Shares the energy of processors and memory.
fn share(
    energy: &HostEnergy,
    seen: &Seen,
    capacity: Duration,
    policy: IdlePolicy,
    usages: &[Usage],
) -> Division<usize> {
    let domains = energy.domains.iter().filter(|domain| domain.kind != Kind::Gpu);
    let interval = Interval {
        host: domains.map(|domain| domain.energy).sum(),
        idle: energy.idle,
        most: energy.most,
        elapsed: seen.elapsed,
        busy: seen.busy_time,
        interrupts: seen.interrupts,
        capacity,
    };
    let rows = usages.iter().enumerate().map(|(index, usage)| (index, usage.cpu)).collect();
    divide(&interval, policy, rows)
}

fn all(processes: &Processes, by: By) -> (Vec<Row>, Vec<Usage>) {
    if by == By::Process {
        let row = |process: &carbon_ops_meter::processes::Process| Row {
            pid: Some(process.pid),
            cgroup: Some(process.cgroup.to_string()).filter(|path| !path.is_empty()),
            unit: unit_of(&process.cgroup).map(str::to_owned),
            ..empty(&process.name)
        };
        let usage = |process: &carbon_ops_meter::processes::Process| Usage {
            cpu: process.cpu(),
            memory_bytes: process.memory_bytes,
            processes: 1,
        };
        return (processes.iter().map(row).collect(), processes.iter().map(usage).collect());
    }
    let mut groups: BTreeMap<&str, Usage> = BTreeMap::new();
    for process in processes.iter() {
        let key = match by {
            By::Unit => unit_of(&process.cgroup).unwrap_or_default(),
            By::Cgroup | By::Process => &process.cgroup,
        };
        let group = groups.entry(key).or_default();
        group.cpu += process.cpu();
        group.memory_bytes = group.memory_bytes.saturating_add(process.memory_bytes);
        group.processes += 1;
    }
    let row = |key: &str| {
        let of = |wanted| (by == wanted && !key.is_empty()).then(|| key.to_owned());
        let name = if key.is_empty() { "(none)" } else { key };
        Row { cgroup: of(By::Cgroup), unit: of(By::Unit), ..empty(name) }
    };
    (groups.keys().map(|key| row(key)).collect(), groups.into_values().collect())
}

fn empty(name: &str) -> Row {
    Row {
        name: name.to_owned(),
        pid: None,
        cgroup: None,
        unit: None,
        processes: 0,
        cpu_time_ns: Decimal(0),
        cpu_percent: 0.0,
        memory_bytes: 0,
        energy_uj: 0,
        gpu_energy_uj: None,
        power_w: 0.0,
        allocation_ratio: 0.0,
    }
}

fn fill_rows(
    rows: &mut [Row],
    division: &Division<usize>,
    usages: &[Usage],
    gpus: Option<&GpuShares>,
    elapsed: Duration,
) {
    let of_gpus = |place| gpus.map(|gpus| gpus.rows.get(&place).copied().unwrap_or_default());
    for (place, ((row, share), usage)) in
        rows.iter_mut().zip(&division.rows).zip(usages).enumerate()
    {
        let gpu = of_gpus(place);
        row.processes = usage.processes;
        row.memory_bytes = usage.memory_bytes;
        row.cpu_time_ns = decimal(usage.cpu);
        row.cpu_percent = round9(100.0 * usage.cpu.as_secs_f64() / elapsed.as_secs_f64().max(1e-9));
        row.energy_uj = (share.energy + gpu.unwrap_or_default()).as_microjoules();
        row.gpu_energy_uj = gpu.map(Microjoules::as_microjoules);
        row.power_w = power(row.energy_uj, elapsed);
        row.allocation_ratio = round9(share.ratio);
    }
}

fn power(microjoules: u64, elapsed: Duration) -> f64 {
    let power = Microjoules::new(microjoules).over(elapsed);
    power.map_or(0.0, |power| round9(power.as_watts()))
}
