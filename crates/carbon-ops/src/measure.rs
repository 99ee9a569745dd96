//! One measurement from start to end: picks the best sensor, keeps it read while the command runs,
//! and says afterwards what was used and why nothing better was.
//!
//! Order: the governor's totals, then the counters of the kernel, then a model of the processor. GPUs are
//! measured beside each of these: by the governor where it serves them, else by NVIDIA's library, which
//! alone tells whose processes used them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use carbon_ops_meter::attribution::{Attribution, CpuUse, GpuUse, Idle, IdleRule, Shares, split};
use carbon_ops_meter::client::{ClientError, Governor};
use carbon_ops_meter::cpu_time::Busy;
use carbon_ops_meter::governed::GovernedWindow;
use carbon_ops_meter::gpu::{GpuEnergy, GpuWindow};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::model::{Modelled, PowerModel};
use carbon_ops_meter::sensor::{Availability, Excluded, Kind, msr};
use carbon_ops_meter::window::{Counted, Domain, Window};
use carbon_ops_record::{Note, Sensor, SensorStatus};
use carbon_ops_units::Microjoules;
use jiff::Timestamp;

use crate::env::Env;
use crate::gpus::{Gpu, Gpus, whose};
use crate::settings::Settings;
use crate::supervise::Outcome;

/// The tables' idle power against a particular machine's: they hold whole servers on one side and
/// bare fractions of the TDP on the other. A prior.
pub const IDLE_CV: f64 = 0.5;

/// An idle power that someone measured. A prior.
pub const IDLE_GIVEN_CV: f64 = 0.1;

/// Where and how to ask for the governor; it is not asked where other counters were named.
#[derive(Debug, Clone)]
pub struct AskGovernor {
    /// The governor's socket.
    pub socket: PathBuf,
    /// How long its answer may take.
    pub timeout: Duration,
}

impl AskGovernor {
    /// As settings say; `None` where they name no socket.
    pub fn of(settings: &Settings) -> Option<Self> {
        let socket = settings.governor_socket.value.clone()?;
        Some(Self { socket, timeout: settings.governor_timeout.value? })
    }
}

/// A measurement that is under way.
#[derive(Debug)]
pub struct Session {
    host: HostRoot,
    ticks_per_second: u32,
    sensors: Vec<Sensor>,
    excluded: Vec<Excluded>,
    busy: Option<Busy>,
    start_ts: Timestamp,
    started: Instant,
    window: Option<Measuring>,
    gpus: Option<GpuWindow>,
    /// What became of NVIDIA's library.
    nvml: Option<Sensor>,
    /// It was not the system's own.
    simulated_gpus: bool,
}

/// A window over one of the two kinds of totals.
#[derive(Debug)]
enum Measuring {
    Governed(Box<GovernedWindow>),
    Counters(Window),
}

/// A measurement that is done.
#[derive(Debug)]
pub struct Measurement {
    /// Begin by the wall clock.
    pub start_ts: Timestamp,
    /// End by the wall clock.
    pub end_ts: Timestamp,
    /// Length by the monotonic clock.
    pub elapsed: Duration,
    /// CPU time of the workload and of all.
    pub cpu: CpuUse,
    /// Processors that were online.
    pub cpus: u32,
    /// One tick of the busy time's clock.
    pub tick: Duration,
    /// What went otherwise than it should.
    pub notes: Vec<Note>,
    /// Energy of processors and memory.
    pub source: Source,
    /// Who used that.
    pub attribution: Attribution,
    /// Energy of GPUs, and who used it.
    pub gpus: Vec<Gpu>,
    /// What was tried, and what became of it.
    pub sensors: Vec<Sensor>,
    /// Zones that were not counted, with the reason.
    pub excluded: Vec<Excluded>,
    /// The energy was invented or another machine's.
    pub simulated: bool,
    /// The totals were the governor's.
    pub governed: bool,
}

/// What the energy comes from.
#[derive(Debug)]
pub enum Source {
    /// Counters that moved.
    Counted(Counted),
    /// A model of the processor.
    Modelled(Modelled),
}

impl Source {
    fn host(&self) -> Microjoules {
        match self {
            Self::Counted(counted) => counted.host(),
            Self::Modelled(modelled) => modelled.cpu + modelled.memory,
        }
    }
}

impl Measuring {
    fn end(&mut self) -> Result<(), ClientError> {
        match self {
            Self::Counters(window) => {
                window.end(&Instant::now);
                Ok(())
            }
            Self::Governed(window) => window.end(Env::monotonic()),
        }
    }

    fn is_simulated(&self) -> bool {
        match self {
            Self::Counters(_) => false,
            Self::Governed(window) => window.is_simulated(),
        }
    }

    /// Whether the processor is known to blur these energies.
    fn is_filtered(&self, host: &HostRoot) -> bool {
        match self {
            Self::Counters(_) => is_filtered(host),
            Self::Governed(window) => window.is_filtered(),
        }
    }

    fn close(self, elapsed: Duration) -> Result<Counted, Vec<Excluded>> {
        let sleep = &mut std::thread::sleep;
        match self {
            Self::Counters(window) => window.close(elapsed, &Instant::now, sleep),
            Self::Governed(window) => window.close(sleep),
        }
    }
}

/// Whether the processor of a host's own counters is known to blur them. Only root may know; for all
/// others this costs a look at one file.
pub fn is_filtered(host: &HostRoot) -> bool {
    // Registers tell nothing of counters from elsewhere.
    let own = host.powercap_class() == host.path("/sys/class/powercap");
    own && File::open(host.path("/dev/cpu/0/msr")).is_ok()
        && msr::energy_filtering(host, Some(&[0])) == Some(true)
}

/// What no sensor of this version sees.
const UNSEEN: [Note; 3] = [Note::UnseenDisks, Note::UnseenFans, Note::UnseenPowerSupply];

fn notes_of_gpus(gpus: &[Gpu], excluded: &[Excluded]) -> [(Note, bool); 4] {
    let any = |of: fn(&GpuUse) -> bool| gpus.iter().any(|gpu| of(&gpu.used));
    let left_out = excluded.iter().any(|zone| zone.name.starts_with(Kind::Gpu.as_str()));
    [
        (Note::GpuByProcess, any(|used| used.by_process)),
        (Note::GpuByTime, any(|used| used.by_time)),
        (Note::GpuUnattributed, any(|used| used.unknown > 0.0)),
        (Note::UnseenGpu, gpus.is_empty() || left_out),
    ]
}

fn notes_of_attribution(
    source: &Source,
    gpus: &[Gpu],
    attribution: Attribution,
    model: &PowerModel,
) -> [(Note, bool); 5] {
    let interpolated = gpus.iter().any(|gpu| gpu.domain.energy.is_interpolated())
        || match source {
            Source::Counted(counted) => counted.is_interpolated(),
            Source::Modelled(_) => false,
        };
    [
        (Note::IdleBounded, attribution.idle_rule == IdleRule::BusyTime),
        (Note::IdleClamped, attribution.idle_rule == IdleRule::Excess),
        (Note::IdleGiven, model.idle_is_given()),
        (Note::Interpolated, interpolated),
        (Note::UnseenMemory, matches!(source, Source::Modelled(_)) && !model.memory_is_known),
    ]
}

fn notes_of_outcome(outcome: Outcome) -> [(Note, bool); 3] {
    [
        (Note::CpuTimeByCgroup, outcome.by_cgroup),
        (Note::CpuTimeUnresolved, outcome.cpu_time.is_zero()),
        (Note::DescendantsRunning, outcome.running > 0),
    ]
}

impl Session {
    /// Takes the first readings. What is read is the machine of `host`.
    pub fn open(host: HostRoot, env: &Env, ask: Option<&AskGovernor>, gpus: Gpus) -> Self {
        let ticks_per_second = env.ticks_per_second;
        let Gpus { nvml, sensor, simulated } = gpus;
        // First, since this takes longest, and the others' windows are the shorter for it.
        let gpus = nvml.map(|nvml| {
            GpuWindow::open(nvml, &Instant::now, Env::boot_time, &mut |pid| whose(&host, pid))
        });
        let busy = Busy::read(&host, ticks_per_second);
        let (window, excluded, sensors) = open_window(&host, ask);
        // The window starts after the last of its first readings: what came before is not in it.
        let (start_ts, started) = (Env::now(), Instant::now());
        Self {
            host,
            ticks_per_second,
            sensors,
            excluded,
            busy,
            start_ts,
            started,
            window,
            gpus,
            nvml: sensor,
            simulated_gpus: simulated,
        }
    }

    /// The command runs as this process.
    pub fn started(&mut self, pid: u32) {
        if let Some(gpus) = &mut self.gpus {
            gpus.expect(pid);
        }
    }

    /// Reads the counters; says when to come again. `None`: never.
    pub fn tick(&mut self) -> Option<Instant> {
        let due = self.tick_window();
        let Some(gpus) = &mut self.gpus else { return due };
        if gpus.due() <= Instant::now() {
            gpus.sample(&Instant::now, &mut |pid| whose(&self.host, pid));
        }
        Some(due.map_or(gpus.due(), |due| due.min(gpus.due())))
    }

    fn tick_window(&mut self) -> Option<Instant> {
        match self.window.as_mut()? {
            Measuring::Counters(window) => {
                if window.due() <= Instant::now() {
                    window.sample(&Instant::now);
                }
                Some(window.due())
            }
            Measuring::Governed(window) => {
                let now = Env::monotonic();
                if window.due().is_some_and(|due| due <= now) {
                    window.sample(now);
                }
                Some(Instant::now() + window.due()?.saturating_sub(now))
            }
        }
    }

    /// Ends the measurement of the workload that `outcome` tells of.
    pub fn close(
        mut self,
        outcome: impl FnOnce() -> Outcome,
        model: &PowerModel,
    ) -> (Measurement, Outcome) {
        // Everything that tells of the window is read here, before looking on for the counters' next
        // step: what runs on meanwhile is not part of it.
        let busy_end = Busy::read(&self.host, self.ticks_per_second);
        let (end_ts, ended) = (Env::now(), Instant::now());
        let elapsed = ended.saturating_duration_since(self.started);
        let ended_well = self.window.as_mut().map_or(Ok(()), Measuring::end);
        let outcome = outcome();
        if let Some(gpus) = &mut self.gpus {
            gpus.end(&Instant::now, &mut |pid| whose(&self.host, pid));
        }
        let window = self.window.take();
        let governed = matches!(window, Some(Measuring::Governed(_)));
        let simulated = self.host.is_simulated()
            || self.simulated_gpus
            || window.as_ref().is_some_and(Measuring::is_simulated);
        let filtered = window.as_ref().is_some_and(|window| window.is_filtered(&self.host));
        let mut excluded = std::mem::take(&mut self.excluded);
        let counted = window.and_then(|window| match window.close(elapsed) {
            // Counters that show no energy while something ran are not believed.
            Ok(counted) if of_processors(&counted) > Microjoules::ZERO => {
                excluded.clone_from(&counted.excluded);
                Some(counted)
            }
            Ok(Counted { excluded: zones, .. }) | Err(zones) => {
                excluded = zones;
                self.fail_counters(ended_well.as_ref().err().map(ToString::to_string));
                None
            }
        });
        let (counted, served) = counted.map_or((None, Vec::new()), without_gpus);
        let gpus = self.close_gpus(served, elapsed, &mut excluded);
        let cpus = self.busy.map_or(model.vcpus, |busy| busy.cpus);
        let cpu = self.cpu_use(busy_end, cpus, elapsed, outcome.cpu_time);
        let (source, attribution) = attribute(counted, model, elapsed, cpu);
        let mut sensors = self.sensors;
        let modelled = matches!(source, Source::Modelled(_));
        sensors.push(Sensor {
            name: "model".into(),
            reason: None,
            status: if modelled { SensorStatus::Used } else { SensorStatus::Available },
        });
        sensors.extend(self.nvml);
        let wall = end_ts.duration_since(self.start_ts).as_secs_f64();
        let busy_known = self.busy.is_some() && busy_end.is_some();
        let unread = excluded.iter().any(|zone| zone.reason.loses_energy());
        let mut notes = vec![
            (Note::BusyTimeUnknown, !busy_known),
            (Note::EnergyFiltered, filtered && !modelled),
            (Note::ClockStepped, (wall - elapsed.as_secs_f64()).abs() > 1.0),
            (Note::GovernorAbsent, !governed),
            (Note::ZoneUnreadable, unread),
        ];
        notes.extend(notes_of_attribution(&source, &gpus, attribution, model));
        notes.extend(notes_of_gpus(&gpus, &excluded));
        notes.extend(notes_of_outcome(outcome));
        notes.extend(UNSEEN.map(|note| (note, true)));
        let measurement = Measurement {
            start_ts: self.start_ts,
            end_ts,
            elapsed,
            cpu,
            cpus,
            tick: Duration::from_secs(1) / self.ticks_per_second.max(1),
            notes: notes.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect(),
            source,
            attribution,
            gpus,
            sensors,
            excluded,
            simulated,
            governed: governed && !modelled,
        };
        (measurement, outcome)
    }

    /// The GPUs that the governor served, or else those that the library shows, with who used them.
    fn close_gpus(
        &mut self,
        served: Vec<Domain>,
        elapsed: Duration,
        excluded: &mut Vec<Excluded>,
    ) -> Vec<Gpu> {
        let host = &self.host;
        let who = &mut |pid| whose(host, pid);
        let window = self.gpus.take();
        if !served.is_empty() {
            let uses = window.map(|window| window.uses(who)).unwrap_or_default();
            if let Some(sensor) = &mut self.nvml
                && sensor.status == SensorStatus::Used
            {
                sensor.status = SensorStatus::Available;
            }
            return attributed(served, &uses);
        }
        let Some(window) = window else { return Vec::new() };
        let sleep = &mut std::thread::sleep;
        let (measured, left_out) = window.close(elapsed, &Instant::now, sleep, who);
        // What the governor could not read may be readable from here.
        excluded.retain(|zone| !measured.iter().any(|gpu| gpu.domain.name == zone.name));
        excluded.extend(left_out);
        if let Some(sensor) = self.nvml.as_mut().filter(|_| measured.is_empty()) {
            sensor.status = SensorStatus::Failed;
            sensor.reason = Some("no GPU could be measured while the command ran".into());
        }
        measured.into_iter().map(|GpuEnergy { domain, used }| Gpu::new(domain, used)).collect()
    }

    fn cpu_use(
        &self,
        end: Option<Busy>,
        cpus: u32,
        elapsed: Duration,
        workload: Duration,
    ) -> CpuUse {
        let busy = self.busy.zip(end).map(|(start, end)| end.since(&start));
        // A process that ran used some time: where the kernel shows none, half a tick of it.
        let half_tick = Duration::from_secs(1) / self.ticks_per_second.max(1) / 2;
        let workload = if workload.is_zero() { elapsed.min(half_tick) } else { workload };
        CpuUse { workload, busy: busy.unwrap_or(workload), capacity: elapsed * cpus }
    }

    fn fail_counters(&mut self, why: Option<String>) {
        let used = |sensor: &&mut Sensor| sensor.status == SensorStatus::Used;
        if let Some(sensor) = self.sensors.iter_mut().find(used) {
            sensor.status = SensorStatus::Failed;
            let still = "no package counter moved while the command ran";
            sensor.reason = Some(why.unwrap_or_else(|| still.into()));
        }
    }
}

fn is_gpu(domain: &Domain) -> bool {
    domain.kind == Kind::Gpu
}

fn of_processors(counted: &Counted) -> Microjoules {
    let domains = counted.domains.iter().filter(|domain| !is_gpu(domain));
    domains.map(|domain| domain.energy.energy).sum()
}

/// GPUs are not shared by CPU time.
fn without_gpus(mut counted: Counted) -> (Option<Counted>, Vec<Domain>) {
    let (gpus, others) = counted.domains.into_iter().partition(is_gpu);
    counted.domains = others;
    (Some(counted), gpus)
}

/// The governor's GPUs with what the library says of them. Both call them by their place on the bus,
/// which is the same where both see all of them: in a container that sees a part, it is not.
fn attributed(served: Vec<Domain>, uses: &BTreeMap<String, GpuUse>) -> Vec<Gpu> {
    let same = served.len() == uses.len() && served.iter().all(|gpu| uses.contains_key(&gpu.name));
    let used = |gpu: &Domain| uses.get(&gpu.name).filter(|_| same).copied();
    served
        .into_iter()
        .map(|gpu| {
            let used = used(&gpu).unwrap_or(GpuUse::UNKNOWN);
            Gpu::new(gpu, used)
        })
        .collect()
}

impl Measurement {
    /// The parts of all energy, that of GPUs included.
    pub fn shares(&self) -> Shares {
        self.gpus.iter().fold(self.attribution.shares, |sum, gpu| Shares {
            host: sum.host + gpu.shares.host,
            workload: sum.workload + gpu.shares.workload,
            others: sum.others + gpu.shares.others,
            idle: sum.idle + gpu.shares.idle,
        })
    }
}

fn attribute(
    counted: Option<Counted>,
    model: &PowerModel,
    elapsed: Duration,
    cpu: CpuUse,
) -> (Source, Attribution) {
    let cv = if model.idle_is_given() { IDLE_GIVEN_CV } else { IDLE_CV };
    let (source, idle, most) = if let Some(counted) = counted {
        let with_memory = counted.domains.iter().any(|domain| domain.kind == Kind::Dram);
        let idle = Idle { power: model.idle_power(with_memory), cv };
        let most = counted.ceiling();
        (Source::Counted(counted), idle, Some(most))
    } else {
        let modelled = model.run(elapsed, cpu);
        // The spread over models is one input for all of it.
        let cv = if model.idle_is_given() { IDLE_GIVEN_CV } else { 0.0 };
        let idle = Idle { power: modelled.idle, cv };
        (Source::Modelled(modelled), idle, None)
    };
    let attribution = split(source.host(), idle, elapsed, cpu, most);
    (source, attribution)
}

/// The best totals that can be had, what was left out of them, and what was tried.
fn open_window(
    host: &HostRoot,
    ask: Option<&AskGovernor>,
) -> (Option<Measuring>, Vec<Excluded>, Vec<Sensor>) {
    let mut sensors = Vec::new();
    if let Some(ask) = ask {
        let opened = Governor::connect(&ask.socket, ask.timeout)
            .map(|(governor, snapshot)| GovernedWindow::open(governor, snapshot, Env::monotonic()));
        let (status, reason) = match opened {
            Ok(Ok(window)) => {
                sensors.push(sensor("governor", &Availability::Present));
                return (Some(Measuring::Governed(Box::new(window))), Vec::new(), sensors);
            }
            Ok(Err(_)) => (SensorStatus::Absent, "the governor serves no package".to_owned()),
            Err(error @ ClientError::Denied { .. }) => (SensorStatus::Denied, error.to_string()),
            Err(ClientError::Absent { socket, .. }) if !socket.exists() => {
                (SensorStatus::Absent, format!("no socket at {}", socket.display()))
            }
            Err(error @ ClientError::Absent { .. }) => (SensorStatus::Absent, error.to_string()),
            Err(error) => (SensorStatus::Failed, error.to_string()),
        };
        sensors.push(Sensor { name: "governor".into(), reason: Some(reason), status });
    }
    let (availability, opened) = Window::open(host, &Instant::now, Env::boot_time);
    sensors.push(sensor("sysfs", &availability));
    match opened {
        Ok(window) => (Some(Measuring::Counters(window)), Vec::new(), sensors),
        Err(excluded) => (None, excluded, sensors),
    }
}

fn sensor(name: &str, availability: &Availability) -> Sensor {
    let (status, reason) = match availability {
        Availability::Present => (SensorStatus::Used, None),
        Availability::Absent(reason) => (SensorStatus::Absent, Some(reason.clone())),
        Availability::Denied(reason) => (SensorStatus::Denied, Some(reason.clone())),
    };
    Sensor { name: name.into(), reason, status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Intel: bit 11 of register 0x10A says that bit 0 of 0xBC exists, which says that filtering is on.
    #[test]
    fn the_register_tells_of_the_hosts_own_counters_alone() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let host = HostRoot::at(dir.path());
        write("proc/cpuinfo", b"vendor_id : GenuineIntel\ncpu family : 6\nmodel : 158\n");
        assert!(!is_filtered(&host), "no access, no knowledge");
        let mut registers = vec![0; 0x200];
        registers[0x10B] = 1 << 3;
        write("dev/cpu/0/msr", &registers);
        assert!(!is_filtered(&host));
        registers[0xBC] = 1;
        write("dev/cpu/0/msr", &registers);
        assert!(is_filtered(&host));
        assert!(!is_filtered(&host.with_powercap("/elsewhere")));
    }
}
