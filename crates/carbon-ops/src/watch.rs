//! What the host used in an interval, whose it was, and what it emitted, interval after interval.
//!
//! The sensors are those of `run` ([`Session`]), and so are the rules by which energy is shared and priced:
//! a sample is the difference of their totals between two moments.
//!
//! Out of scope: waiting.

mod account;
mod cgroups;
mod sample;
mod share;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_meter::attribution::{Attribution, CpuUse, IdlePolicy, Shares};
use carbon_ops_meter::groups::{Cgroup, Tree, Usage, unit_of};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::proc;
use carbon_ops_meter::processes::{Look, Process, Processes, Units};
use carbon_ops_meter::sensor::Exclusion;
use carbon_ops_meter::sensor::hwmon;
use carbon_ops_meter::sensor::model::PowerModel;
use carbon_ops_meter::sensor::nvml::GpuLoad;
use carbon_ops_meter::shares::{Division, Interval, Rest, divide};
use carbon_ops_meter::window as counted;
use carbon_ops_record::{Decimal, Input, Note, Sensor, SensorStatus, Unit, id_text, timestamp};
use carbon_ops_units::Microjoules;
use jiff::Timestamp;

use crate::compose;
use crate::env::Env;
use crate::fault::Fault;
use crate::gpus::{Gpu as MeasuredGpu, Gpus};
use crate::host::Host as Machine;
use crate::identity;
use crate::measure::{AskGovernor, HostEnergy, Measurement, Readings, Session, Shared, Source};
use crate::price::{Carbon, LivePrice};
use crate::supervise::process_cpu_time;
pub use account::{Account, Used};
pub use sample::{Cpu, Device, Domain, Gap, Gpu, Host, Memory, Residuals, Row, Sample};
use sample::{SCHEMA_VERSION, decimal};
use share::{GpuShares, Owner};

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
    /// A unit of work, as its owner calls it.
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

/// The row of what has no name.
const NONE: &str = "(none)";

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
    /// Whether processes are this machine's, so that their clocks can be asked.
    has_clocks: bool,
    session: Session<u32>,
    model: PowerModel,
    price: Option<LivePrice>,
    processes: Processes,
    /// What work is called by its owner.
    units: identity::Units,
    /// Of all cgroups, where rows are made of them.
    cgroups: Option<cgroups::Watched>,
    target: Target,
    by: By,
    sort: Sort,
    limit: usize,
    policy: IdlePolicy,
    /// Processes that were seen alive and on a GPU.
    on_gpus: BTreeMap<i32, Key>,
}

/// What one look told, beside the sensors.
struct Seen {
    elapsed: Duration,
    busy_time: Duration,
    interrupts: Duration,
    /// CPU time over which energy is shared.
    whole: Duration,
    capacity: Duration,
    look: Look,
    memory: proc::Memory,
    gpu_loads: Vec<(String, GpuLoad)>,
    /// See [`Account::unnamed`].
    unnamed: Duration,
}

/// The rows without their shares.
struct Candidates {
    rows: Vec<Row>,
    /// What each used.
    usages: Vec<Usage>,
    /// See [`Account::unnamed`].
    unnamed: Duration,
    /// There is more to watch.
    watching: bool,
}

impl Watch {
    /// Takes the first readings: by `ask`'s governor, else by counters of the host, else by the model.
    ///
    /// # Errors
    /// When there is no such process, cgroup or unit, or no `/proc`, or the model has an implausible power.
    pub fn open(
        options: &Options,
        host: HostRoot,
        env: &Env,
        ask: Option<&AskGovernor>,
        gpus: Gpus,
        model: PowerModel,
    ) -> Result<Self> {
        model.check()?;
        let units = Units { ticks_per_second: env.ticks_per_second, page_bytes: env.page_bytes };
        let has_clocks = host.is_this_machine();
        let mut watch = Self {
            processes: Processes::new(&host, units),
            // Each process is an owner, until its row is known.
            session: Session::open(host.clone(), env, ask, gpus, |_, pid| Some(pid)),
            host,
            has_clocks,
            model,
            price: None,
            units: identity::Units::default(),
            cgroups: None,
            target: Target::All,
            by: options.by,
            sort: options.sort,
            limit: options.limit,
            policy: options.idle,
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
            What::All => {
                watch.cgroups =
                    (options.by != By::Process).then(|| cgroups::Watched::open(&watch.host));
                Target::All
            }
        };
        watch.session.restart();
        Ok(watch)
    }

    /// Prices the energy of samples, too.
    #[must_use]
    pub fn priced(mut self, price: LivePrice) -> Self {
        self.price = Some(price);
        self
    }

    /// What a kilowatt hour emits from a time on, as [`LivePrice::ahead`] tells it.
    pub fn ahead(&self, from: Timestamp) -> Vec<(Timestamp, f64)> {
        self.price.as_ref().map(|price| price.ahead(from)).unwrap_or_default()
    }

    /// When the interval of the next sample began.
    pub fn begun(&self) -> Instant {
        self.session.begun()
    }

    /// Reads what must be read often, such as counters that wrap; says when to come again. `None`: never.
    pub fn poll(&mut self) -> Option<Instant> {
        self.session.tick()
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
        let Looked { mut rows, parts, mut measurement, watching, .. } = self.shared()?;
        let residuals = self.residuals(&mut rows, &parts);
        let notes = self.notes(&measurement, &parts.seen, missed, partial);
        let mut sample = self.compose(&measurement, &parts.seen, residuals, notes)?;
        self.set_prices(&mut sample, &mut rows, &mut measurement, &parts)?;
        sample.rows = rows.into_iter().map(|(_, row)| row).collect();
        Ok((sample, watching))
    }

    /// The interval since the one before, as accounts take it: a row of each unit of work, none cut.
    ///
    /// # Errors
    /// As of [`Watch::sample`].
    pub fn account(&mut self) -> Result<Account> {
        let Looked { rows, parts, mut measurement, idle_cv, .. } = self.shared()?;
        let uj = Microjoules::as_microjoules;
        let mut account = Account {
            start: measurement.start_ts,
            end: measurement.end_ts,
            elapsed: parts.seen.elapsed,
            host_uj: uj(measurement.shares().host),
            units: Vec::with_capacity(rows.len()),
            idle: Used::default(),
            rest: Used::default(),
            attribution_mode: compose::attribution_mode(&measurement),
            domains: compose::domains(&measurement),
            busy: parts.seen.whole,
            unnamed: parts.seen.unnamed,
            cpus: measurement.cpus,
            coverage_pct: round9(100.0 * compose::coverage(&measurement)),
            excluded: compose::excluded(&measurement, |_| true),
            gaps: compose::gaps(&measurement),
            sensors: measurement.sensors.clone(),
            notes: measurement.notes.clone(),
            quality: compose::quality(&measurement, &self.model),
            simulated: measurement.simulated,
        };
        let machine = self.price.as_ref().map(|price| price.machine().clone());
        let machine = machine.unwrap_or_else(|| Machine::identify(&self.host, false));
        let (model, span) = (&self.model, compose::span(&measurement)?);
        let mut quoted = self.price.as_mut().map(|price| price.of(span)).transpose()?;
        let mut used = |energy_uj: u64, cpu, mut inputs: Vec<Input>| -> Result<Used> {
            let energy = Microjoules::new(energy_uj);
            let carbon = match &mut quoted {
                Some(quoted) => Some(quoted.carbon(energy, inputs.clone())?),
                None => None,
            };
            // The first one is the energy itself.
            let factors = inputs.split_off(inputs.len().min(1));
            Ok(Used { energy_uj, cpu, factors, carbon })
        };
        let mut named = Vec::new();
        for (place, row) in &rows {
            let Some(unit) = &row.unit else { continue };
            named.push(*place);
            parts.of_row(*place, &mut measurement);
            let cpu = measurement.cpu.workload;
            let inputs = compose::inputs(&measurement, &machine, model);
            account.units.push((unit.clone(), used(row.energy_uj, cpu, inputs)?));
        }
        parts.of_rest(&named, &mut measurement);
        let cpu = measurement.cpu.workload;
        let idle = uj(parts.division.residuals.idle + parts.gpus.idle);
        let units: u64 = account.units.iter().map(|(_, used)| used.energy_uj).sum();
        let rest = account.host_uj.saturating_sub(units + idle);
        account.rest = used(rest, cpu, compose::inputs(&measurement, &machine, model))?;
        let inputs = compose::idle_inputs(&measurement, &machine, model, idle_cv);
        account.idle = used(idle, Duration::ZERO, inputs)?;
        Ok(account)
    }

    /// What the host used since the one before, shared among rows.
    fn shared(&mut self) -> Result<Looked> {
        let mut readings = self.session.cut();
        let look = self.look()?;
        let (busy_time, interrupts) = readings.busy.unwrap_or_default();
        let Candidates { rows, usages, unnamed, watching } =
            self.candidates(busy_time.saturating_sub(interrupts));
        let known: Duration = usages.iter().map(|usage| usage.cpu).sum();
        let whole = busy_time.max(known + interrupts);
        let elapsed = readings.elapsed;
        let capacity = elapsed * readings.cpus.unwrap_or(self.model.vcpus);
        let memory = proc::Memory::read(&self.host);
        let gpu_loads = std::mem::take(&mut readings.gpu_loads);
        let seen = Seen {
            elapsed,
            busy_time,
            interrupts,
            whole,
            capacity,
            look,
            memory,
            gpu_loads,
            unnamed,
        };
        let cpu = CpuUse { workload: whole, busy: whole, capacity };
        let energy = readings.host_energy(&self.model, cpu);
        let idle_cv = energy.idle.cv;
        let division = share(&energy, &seen, self.policy, &usages);
        let gpus = self.share_gpus(&readings, &rows);
        let mut rows: Vec<_> = rows.into_iter().enumerate().collect();
        fill_rows(&mut rows, &division, &usages, gpus.as_ref(), elapsed);
        let gpus = gpus.unwrap_or_default();
        let parts = Parts { division, gpus, seen, policy: self.policy };
        let measurement = parts.whole(readings, energy, &self.model);
        Ok(Looked { rows, parts, measurement, idle_cv, watching })
    }

    /// Sets what the energies of a sample emitted, where they are priced.
    fn set_prices(
        &mut self,
        sample: &mut Sample,
        rows: &mut [(usize, Row)],
        measurement: &mut Measurement,
        parts: &Parts,
    ) -> Result<()> {
        let Some(price) = &mut self.price else { return Ok(()) };
        let host = price.machine().clone();
        let span = compose::span(measurement)?;
        let mut quoted = price.of(span)?;
        if sample.host.energy_uj > 0 {
            let inputs = compose::inputs(measurement, &host, &self.model);
            let (low, high) = quoted.of_energy(inputs)?;
            sample.host.power_ci_lower_w = Some(round9(sample.host.power_w * low));
            sample.host.power_ci_upper_w = Some(round9(sample.host.power_w * high));
        }
        let mut carbon = |measurement: &Measurement| -> Result<Carbon> {
            let energy = measurement.shares().workload;
            let inputs = compose::inputs(measurement, &host, &self.model);
            quoted.carbon(energy, inputs)
        };
        sample.host.carbon = Some(carbon(measurement)?);
        for (place, row) in rows {
            parts.of_row(*place, measurement);
            row.carbon = Some(carbon(measurement)?);
        }
        sample.price = Some(quoted.price);
        Ok(())
    }

    /// Shares the energy of GPUs among the rows; `None` when none was measured.
    fn share_gpus(&mut self, readings: &Readings<u32>, rows: &[Row]) -> Option<GpuShares> {
        let policy = self.policy;
        let mut shares = None;
        for (domain, used) in &readings.gpus {
            let owner = &mut |pid| self.owner(pid, rows);
            let shares = shares.get_or_insert_with(GpuShares::default);
            shares.add(domain.energy.energy, used, policy, owner);
        }
        let processes = &self.processes;
        let told = |pid: i32| {
            let mut used = readings.gpus.iter().map(|(_, used)| used);
            used.any(|used| used.parts.contains_key(&pid.unsigned_abs()))
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
                    let cgroup = Some(&process.cgroup).filter(|path| !path.is_empty());
                    Key::Group(if self.by == By::Unit {
                        let unit = cgroup.and_then(|path| self.units.of(&self.host, path));
                        unit.map(|unit| unit.to_string())
                    } else {
                        cgroup.map(ToString::to_string)
                    })
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
                let text = |row: &Row| row.unit.as_ref().map(ToString::to_string);
                rows.iter().position(|row| text(row) == *name)
            }
            Some(Key::Group(name)) => rows.iter().position(|row| row.cgroup == *name),
        };
        row.map_or(Owner::Ended, Owner::Row)
    }

    /// The rows without their shares. `busy`: CPU time that there was for them.
    fn candidates(&mut self, busy: Duration) -> Candidates {
        let (processes, host) = (&self.processes, &self.host);
        let units = &mut self.units;
        units.next_round();
        let mut unnamed = Duration::ZERO;
        let (rows, usages, watching) = match &mut self.target {
            Target::All if self.by == By::Process => {
                let (rows, usages) = each(processes, &mut |path| units.of(host, path));
                (rows, usages, true)
            }
            Target::All => {
                let looked = self.cgroups.as_ref().map(cgroups::Watched::look).unwrap_or_default();
                let mut unit = |path: &Arc<str>| {
                    units.of(host, path).or_else(|| looked.units.get(path).cloned())
                };
                unnamed = cgroups::unnamed(&looked.own, &mut unit);
                let (rows, usages) = grouped(processes, &looked, self.by, busy, &mut unit);
                (rows, usages, true)
            }
            Target::Tree(pid, tree) => {
                let usage = tree.usage(processes);
                let name = processes.find(*pid).map_or("(ended)", |process| &process.name);
                let unit = processes.find(*pid).and_then(|root| units.of(host, &root.cgroup));
                let row = Row { pid: Some(*pid), unit, ..empty(name) };
                (vec![row], vec![usage], tree.is_alive(processes))
            }
            Target::Cgroup(cgroup, unit) => {
                let usage = cgroup.usage(processes);
                let path = cgroup.path().to_owned();
                let name = unit.clone().unwrap_or_else(|| path.clone());
                let unit = units.of(host, &Arc::from(&*path));
                let row = Row { cgroup: Some(path), unit, ..empty(&name) };
                let there = cgroup.exists() || usage.processes > 0;
                (vec![row], vec![usage], there)
            }
        };
        Candidates { rows, usages, unnamed, watching }
    }

    /// Sorts and cuts the rows; what is cut joins the residuals.
    fn residuals(&self, rows: &mut Vec<(usize, Row)>, parts: &Parts) -> Residuals {
        let Parts { division, gpus, seen, .. } = parts;
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
        rows.sort_by(|(_, a), (_, b)| {
            let by = match self.sort {
                Sort::Energy => b.energy_uj.cmp(&a.energy_uj),
                Sort::Cpu => b.cpu_time_ns.cmp(&a.cpu_time_ns),
                Sort::Memory => b.memory_bytes.cmp(&a.memory_bytes),
                Sort::Name => a.name.cmp(&b.name),
            };
            by.then(b.cpu_time_ns.cmp(&a.cpu_time_ns)).then(a.pid.cmp(&b.pid))
        });
        let cut = rows.get(self.limit..).unwrap_or_default();
        residuals.others_uj += cut.iter().map(|(_, row)| row.energy_uj).sum::<u64>();
        rows.truncate(self.limit);
        residuals
    }

    fn notes(
        &self,
        measurement: &Measurement,
        seen: &Seen,
        missed: u32,
        partial: bool,
    ) -> Vec<String> {
        let summed = match &self.target {
            Target::Cgroup(cgroup, _) => !cgroup.is_accounted(),
            Target::All | Target::Tree(..) => false,
        };
        let gone = match &self.target {
            Target::Cgroup(cgroup, _) => !cgroup.exists(),
            Target::All | Target::Tree(..) => false,
        };
        let own = [
            ("cgroup_gone", gone),
            ("cgroup_summed", summed),
            ("deadlines_missed", missed > 0),
            ("partial", partial),
            ("processes_hidden", seen.look.hidden),
            ("processes_unreadable", seen.look.unreadable > 0),
            (Note::UnseenMemory.as_str(), seen.memory.total_bytes.is_none()),
        ];
        let mut notes: Vec<_> = measurement.notes.iter().map(|it| it.as_str().to_owned()).collect();
        notes.extend(own.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note.to_owned()));
        notes.sort_unstable();
        notes.dedup();
        notes
    }

    fn compose(
        &self,
        measurement: &Measurement,
        seen: &Seen,
        residuals: Residuals,
        notes: Vec<String>,
    ) -> Result<Sample> {
        let memory = Memory {
            used_bytes: seen.memory.used_bytes(),
            available_bytes: seen.memory.available_bytes,
            total_bytes: seen.memory.total_bytes,
        };
        let (whole, capacity) = (seen.whole.as_secs_f64(), seen.capacity.as_secs_f64());
        let utilisation = if capacity > 0.0 { whole / capacity } else { 0.0 };
        let uj = Microjoules::as_microjoules;
        let gpus = measurement.gpus.iter().map(|gpu| gpu.domain.energy.energy);
        let gpu = (!measurement.gpus.is_empty())
            .then(|| Gpu { energy_uj: uj(gpus.sum()), devices: devices(&seen.gpu_loads) });
        let host = uj(measurement.shares().host);
        let reason = |sensors: &[Sensor]| sensors.iter().rev().find_map(|it| it.reason.clone());
        let of_gpus = |sensor: &&Sensor| sensor.name == "nvml";
        let others: Vec<_> =
            measurement.sensors.iter().filter(|it| !of_gpus(it)).cloned().collect();
        let source = measurement.source_name();
        Ok(Sample {
            schema_version: SCHEMA_VERSION,
            kind: "monitor_sample",
            record_id: id_text(Env::random()?),
            start_ts: timestamp(measurement.start_ts),
            timestamp: timestamp(measurement.end_ts),
            elapsed_ns: decimal(seen.elapsed),
            attribution_mode: compose::attribution_mode(measurement),
            idle_policy: self.policy.as_str(),
            quality: compose::quality(measurement, &self.model),
            coverage_pct: round9(100.0 * compose::coverage(measurement)),
            host_id: self.price.as_ref().map(|price| price.machine().id.clone()),
            price: None,
            simulated: measurement.simulated,
            host: Host {
                energy_uj: host,
                power_w: power(host, seen.elapsed),
                power_ci_lower_w: None,
                power_ci_upper_w: None,
                carbon: None,
                source,
                domains: domains(measurement),
                missing: compose::excluded(measurement, Exclusion::loses_energy),
                reason: if source == "model" { reason(&others) } else { None },
                gpu_reason: if gpu.is_none() {
                    measurement.sensors.iter().find(of_gpus).and_then(|it| it.reason.clone())
                } else {
                    None
                },
            },
            cpu: Cpu {
                busy_ns: decimal(seen.whole),
                utilisation: round9(utilisation.min(1.0)),
                count: measurement.cpus,
                frequency_mhz: proc::cpu_frequency_mhz(&self.host, measurement.cpus).map(round9),
            },
            memory,
            gpu,
            rows: Vec::new(),
            residuals,
            gaps: gaps(measurement),
            notes,
        })
    }
}

/// What an interval was divided into.
struct Parts {
    division: Division<usize>,
    gpus: GpuShares,
    seen: Seen,
    policy: IdlePolicy,
}

/// An interval whose energy is shared.
struct Looked {
    /// Rows by their places in the division.
    rows: Vec<(usize, Row)>,
    parts: Parts,
    /// Of the whole host.
    measurement: Measurement,
    /// What is not known of the idle power, as a coefficient of variation.
    idle_cv: f64,
    /// There is more to watch.
    watching: bool,
}

impl Parts {
    /// The whole host as if it were one workload, of which nothing has to be shared.
    fn whole(
        &self,
        mut readings: Readings<u32>,
        energy: HostEnergy,
        model: &PowerModel,
    ) -> Measurement {
        let host = energy.source.host();
        let nothing = Microjoules::ZERO;
        let attribution = Attribution {
            shares: Shares { host, workload: host, others: nothing, idle: nothing },
            ratio: 1.0,
            idle_cv: 0.0,
            host_sensitivity: 1.0,
            idle_rule: self.division.idle_rule,
        };
        let Seen { whole, capacity, .. } = self.seen;
        let cpu = CpuUse { workload: whole, busy: whole, capacity };
        let gpus = std::mem::take(&mut readings.gpus);
        let gpus = gpus.into_iter().zip(&self.gpus.by_owner);
        let gpus = gpus.map(|((domain, _), owners)| MeasuredGpu::whole(domain, owners.of_all()));
        let shared = Shared { source: energy.source, attribution, cpu };
        let measurement = Measurement::shared(readings, shared, gpus.collect(), model);
        Measurement { is_whole: true, ..measurement }
    }

    /// Makes it the measurement of one row.
    fn of_row(&self, place: usize, measurement: &mut Measurement) {
        let Some(share) = self.division.rows.get(place) else { return };
        self.of_share(share.energy, share.cpu, share.ratio, measurement);
        for (gpu, owners) in measurement.gpus.iter_mut().zip(&self.gpus.by_owner) {
            gpu.give(owners.of_row(place));
        }
    }

    /// Makes it the measurement of all but some rows.
    fn of_rest(&self, named: &[usize], measurement: &mut Measurement) {
        let rows = || named.iter().filter_map(|place| self.division.rows.get(*place));
        let host = measurement.attribution.shares.host;
        let energy: Microjoules = rows().map(|share| share.energy).sum();
        let energy = host.saturating_sub(energy + self.division.residuals.idle);
        let cpu = rows().fold(self.division.whole, |rest, share| rest.saturating_sub(share.cpu));
        let ratio = cpu.as_secs_f64() / self.division.whole.as_secs_f64().max(1e-9);
        self.of_share(energy, cpu, ratio.min(1.0), measurement);
        for (gpu, owners) in measurement.gpus.iter_mut().zip(&self.gpus.by_owner) {
            gpu.give(owners.of_rest(named));
        }
    }

    fn of_share(
        &self,
        energy: Microjoules,
        cpu: Duration,
        ratio: f64,
        measurement: &mut Measurement,
    ) {
        let host = measurement.attribution.shares.host;
        let idle = self.division.residuals.idle;
        measurement.attribution = Attribution {
            shares: Shares {
                host,
                workload: energy,
                others: host.saturating_sub(energy + idle),
                idle,
            },
            ratio,
            idle_cv: self.division.idle_cv,
            host_sensitivity: self.division.host_sensitivity,
            idle_rule: self.division.idle_rule,
        };
        (measurement.cpu.workload, measurement.is_whole) = (cpu, false);
        measurement.idle_policy = self.policy;
    }
}

fn domains(measurement: &Measurement) -> Vec<Domain> {
    let uj = Microjoules::as_microjoules;
    let modelled = |(name, energy): (&str, Microjoules)| Domain {
        name: name.into(),
        source: "model",
        energy_uj: uj(energy),
        filled_uj: 0,
        total_uj: None,
        epoch: None,
    };
    let counted = |domain: &counted::Domain, source| Domain {
        name: domain.name.clone(),
        source,
        energy_uj: uj(domain.energy.energy),
        filled_uj: uj(domain.energy.filled),
        total_uj: Some(Decimal(uj(domain.energy.end))),
        epoch: Some(Decimal(domain.energy.epoch.as_millis())),
    };
    let mut domains: Vec<_> = match &measurement.source {
        Source::Counted(all) => {
            let source = measurement.source_name();
            all.domains.iter().map(|domain| counted(domain, source)).collect()
        }
        Source::Modelled(all) => [("cpu", all.cpu), ("memory", all.memory)].map(modelled).into(),
    };
    let read_here = |it: &Sensor| it.name == "nvml" && it.status == SensorStatus::Used;
    let here = measurement.sensors.iter().any(read_here);
    let source = if here { "nvml" } else { "governor" };
    let of =
        |gpu: &MeasuredGpu| if gpu.domain.backend == hwmon::NAME { hwmon::NAME } else { source };
    domains.extend(measurement.gpus.iter().map(|gpu| counted(&gpu.domain, of(gpu))));
    domains
}

fn devices(loads: &[(String, GpuLoad)]) -> Vec<Device> {
    let device = |(name, load): &(String, GpuLoad)| Device {
        name: name.clone(),
        utilisation_percent: load.utilisation_percent,
        memory_used_bytes: load.memory_used_bytes,
        memory_total_bytes: load.memory_total_bytes,
    };
    loads.iter().map(device).collect()
}

fn gaps(measurement: &Measurement) -> Vec<Gap> {
    let gaps = compose::gaps(measurement).into_iter().filter(|gap| !gap.bridged);
    gaps.map(|gap| Gap { domain: gap.domain, reason: gap.reason, duration_ns: gap.duration_ns })
        .collect()
}

/// Shares the energy of processors and memory.
fn share(
    energy: &HostEnergy,
    seen: &Seen,
    policy: IdlePolicy,
    usages: &[Usage],
) -> Division<usize> {
    let interval = Interval {
        host: energy.source.host(),
        idle: energy.idle,
        most: energy.most,
        elapsed: seen.elapsed,
        busy: seen.busy_time,
        interrupts: seen.interrupts,
        capacity: seen.capacity,
    };
    let rows = usages.iter().enumerate().map(|(index, usage)| (index, usage.cpu)).collect();
    divide(&interval, policy, rows)
}

/// What a cgroup is called by its owner.
type UnitOf<'u> = dyn FnMut(&Arc<str>) -> Option<Arc<Unit>> + 'u;

/// A row of each process.
fn each(processes: &Processes, unit: &mut UnitOf<'_>) -> (Vec<Row>, Vec<Usage>) {
    let mut row = |process: &Process| Row {
        pid: Some(process.pid),
        cgroup: Some(process.cgroup.to_string()).filter(|path| !path.is_empty()),
        unit: unit(&process.cgroup),
        ..empty(&process.name)
    };
    let usage = |process: &Process| Usage {
        cpu: process.cpu(),
        memory_bytes: process.memory_bytes,
        processes: 1,
    };
    (processes.iter().map(&mut row).collect(), processes.iter().map(usage).collect())
}

/// Who a row is of.
type Group = (Row, Usage, Duration);

/// A row of each cgroup or unit. CPU time is that of the cgroups' own accounts, which hold what has ended; of processes
/// where there is none, no more than is left of `busy`: children that they have waited for may have been elsewhere.
fn grouped(
    processes: &Processes,
    looked: &cgroups::Looked,
    by: By,
    busy: Duration,
    unit: &mut UnitOf<'_>,
) -> (Vec<Row>, Vec<Usage>) {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for own in &looked.own {
        let (_, usage, _) = group(&mut groups, &own.path, by, unit);
        usage.cpu += own.cpu;
    }
    for process in processes.iter() {
        let (_, usage, others) = group(&mut groups, &process.cgroup, by, unit);
        usage.memory_bytes = usage.memory_bytes.saturating_add(process.memory_bytes);
        usage.processes += 1;
        if !looked.holds(&process.cgroup) {
            *others += process.cpu();
        }
    }
    let accounted: Duration = looked.own.iter().map(|own| own.cpu).sum();
    let others: Duration = groups.values().map(|(.., others)| *others).sum();
    let left = busy.saturating_sub(accounted);
    let part = if accounted.is_zero() || others <= left {
        1.0
    } else {
        left.as_secs_f64() / others.as_secs_f64()
    };
    let whole = |(row, usage, others): Group| {
        let others = if part < 1.0 { others.mul_f64(part) } else { others };
        (row, Usage { cpu: usage.cpu + others, ..usage })
    };
    groups.into_values().map(whole).unzip()
}

/// The group of a cgroup.
fn group<'g>(
    groups: &'g mut BTreeMap<String, Group>,
    cgroup: &Arc<str>,
    by: By,
    unit: &mut UnitOf<'_>,
) -> &'g mut Group {
    let row = match (by, unit(cgroup)) {
        (By::Unit, None) => empty(NONE),
        (By::Unit, Some(unit)) => {
            Row { unit: Some(unit.clone()), ..empty(&identity::short(&unit)) }
        }
        (By::Cgroup | By::Process, _) if cgroup.is_empty() => empty(NONE),
        (By::Cgroup | By::Process, unit) => {
            Row { cgroup: Some(cgroup.to_string()), unit, ..empty(cgroup) }
        }
    };
    let key = match &row.unit {
        Some(unit) if by == By::Unit => unit.to_string(),
        _ => row.cgroup.clone().unwrap_or_default(),
    };
    groups.entry(key).or_insert_with(|| (row, Usage::default(), Duration::ZERO))
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
        carbon: None,
        allocation_ratio: 0.0,
    }
}

fn fill_rows(
    rows: &mut [(usize, Row)],
    division: &Division<usize>,
    usages: &[Usage],
    gpus: Option<&GpuShares>,
    elapsed: Duration,
) {
    let of_gpus = |place| gpus.map(|gpus| gpus.rows.get(&place).copied().unwrap_or_default());
    for (((place, row), share), usage) in rows.iter_mut().zip(&division.rows).zip(usages) {
        let gpu = of_gpus(*place);
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
