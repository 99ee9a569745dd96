//! One measurement from start to end: picks the best sensor, keeps it read while the command runs,
//! and says afterwards what was used and why nothing better was.
//!
//! Order: the governor's totals, then the kernel's counters of RAPL, then what hardware monitoring shows of sockets,
//! then a model of the processor. GPUs are measured beside each of these: by the governor where it serves them, else
//! by NVIDIA's library, which alone tells whose processes used them, and by hardware monitoring.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carbon_ops_meter::attribution::{
    Attribution, CpuUse, GpuUse, Idle, IdlePolicy, IdleRule, Shares, split,
};
use carbon_ops_meter::client::{ClientError, Governor, TIMEOUT};
use carbon_ops_meter::cpu_time::Busy;
use carbon_ops_meter::governed::{GovernedWindow, Unserved};
use carbon_ops_meter::gpu::{GpuEnergy, GpuWindow, Used, Whose};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::hwmon::{self, Found};
use carbon_ops_meter::sensor::model::{Modelled, PowerModel};
use carbon_ops_meter::sensor::nvml::{GpuLoad, Helper};
use carbon_ops_meter::sensor::{Availability, Excluded, Exclusion, Kind, msr};
use carbon_ops_meter::snapshot::parse_boot_id;
use carbon_ops_meter::window::{Counted, Domain, Window};
use carbon_ops_record::{Note, Sensor, SensorStatus};
use carbon_ops_units::{Microjoules, Watts};
use jiff::Timestamp;

use crate::env::Env;
use crate::fault::Fault;
use crate::gpus::{self, Gpu, Gpus};
use crate::settings::Settings;
use crate::supervise::Outcome;

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

    /// At a socket that somebody named: it has to answer, and for this boot of `host`. Totals of another machine
    /// would be shared among processes that had no part in them.
    ///
    /// # Errors
    /// When nobody answers there, or for another boot.
    pub fn named(socket: &Path, settings: &Settings, host: &HostRoot) -> anyhow::Result<Self> {
        let timeout = settings.governor_timeout.value.unwrap_or(TIMEOUT);
        let (_, snapshot) = Governor::connect(socket, timeout)?;
        let boot = host.text("/proc/sys/kernel/random/boot_id");
        let boot = boot.ok().and_then(|text| parse_boot_id(&text));
        if boot.is_some_and(|boot| boot != snapshot.boot_id) {
            return Err(Fault::OtherBoot(socket.to_owned()).into());
        }
        Ok(Self { socket: socket.to_owned(), timeout })
    }
}

/// The sensors of a host over one window, or over windows that follow each other. `O` tells apart who uses
/// GPUs.
#[derive(Debug)]
pub struct Session<O = Whose> {
    host: HostRoot,
    ticks_per_second: u32,
    sensors: Vec<Sensor>,
    /// Zones that were seen where there is no window.
    excluded: Vec<Excluded>,
    start: End,
    window: Option<Measuring>,
    gpus: Option<GpuWindow<O>>,
    /// Those of other vendors.
    cards: Option<GpuWindow<O>>,
    /// Asks NVIDIA's library, which has not started yet.
    starting: Option<Helper>,
    /// A process whose GPU time may be told before it was seen.
    expected: Option<(u32, O)>,
    whose: Owner<O>,
    /// What became of NVIDIA's library.
    nvml: Option<Sensor>,
    /// It was not the system's own.
    simulated_gpus: bool,
}

/// Whose a process is, on a host.
type Owner<O> = fn(&HostRoot, u32) -> Option<O>;

/// One end of a window: a moment by three clocks.
#[derive(Debug, Clone, Copy)]
struct End {
    busy: Option<Busy>,
    wall: Timestamp,
    at: Instant,
    /// The same by the clock of the governor's samples.
    monotonic: Duration,
}

/// Clocks that were read within this time have told one moment.
const ONE_MOMENT: Duration = Duration::from_micros(50);

/// How often to read them again where this process was stopped in between.
const CLOCK_ATTEMPTS: usize = 8;

impl End {
    fn now(host: &HostRoot, ticks_per_second: u32) -> Self {
        let busy = Busy::read(host, ticks_per_second);
        let look =
            || Self { busy, monotonic: Env::monotonic(), wall: Env::now(), at: Instant::now() };
        let mut end = look();
        for _ in 1..CLOCK_ATTEMPTS {
            if Env::monotonic().saturating_sub(end.monotonic) < ONE_MOMENT {
                break;
            }
            end = look();
        }
        end
    }
}

/// A window over one of the kinds of totals.
#[derive(Debug)]
pub(crate) enum Measuring {
    Governed(Box<GovernedWindow>),
    Counters(Window),
    /// Of sockets, by hardware monitoring.
    Channels(Window),
}

/// What the sensors tell of a window.
#[derive(Debug)]
pub struct Readings<O = Whose> {
    /// Begin by the wall clock.
    pub start_ts: Timestamp,
    /// End by the wall clock.
    pub end_ts: Timestamp,
    /// Length by the monotonic clock.
    pub elapsed: Duration,
    /// Busy time of all processors, and what of it were interrupts; `None` where the kernel does not tell.
    pub busy: Option<(Duration, Duration)>,
    /// Processors that are online, where the kernel tells.
    pub cpus: Option<u32>,
    /// One tick of the busy time's clock.
    pub tick: Duration,
    /// Processors and memory, where a counter moved.
    pub counted: Option<Counted>,
    /// GPUs, and who used them.
    pub gpus: Vec<(Domain, Used<O>)>,
    /// What NVIDIA's library says of GPUs beside their energy, by name.
    pub gpu_loads: Vec<(String, GpuLoad)>,
    /// What was tried for processors and memory, and what became of it.
    pub sensors: Vec<Sensor>,
    /// The same of GPUs, where there was something to find.
    pub gpu_sensor: Option<Sensor>,
    /// Zones that were not counted, with the reason.
    pub excluded: Vec<Excluded>,
    /// The energy was invented or another machine's.
    pub simulated: bool,
    /// The processor is known to blur its counters.
    pub filtered: bool,
    /// The totals were the governor's.
    pub governed: bool,
}

/// Energy of processors and memory, and what it is shared by.
#[derive(Debug)]
pub struct HostEnergy {
    /// Where it comes from.
    pub source: Source,
    /// What of it is idle.
    pub idle: Idle,
    /// Power that it cannot exceed, when known.
    pub most: Option<Watts>,
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
    /// The workload is all of the host, of which nothing had to be shared.
    pub(crate) is_whole: bool,
    /// Who was given idle energy.
    pub(crate) idle_policy: IdlePolicy,
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
    /// Energy of processors and memory.
    pub fn host(&self) -> Microjoules {
        match self {
            Self::Counted(counted) => counted.host(),
            Self::Modelled(modelled) => modelled.cpu + modelled.memory,
        }
    }
}

impl Measuring {
    /// `governor`, `sysfs` or `hwmon`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Counters(_) => "sysfs",
            Self::Channels(_) => hwmon::NAME,
            Self::Governed(_) => "governor",
        }
    }

    fn end(&mut self, now: Duration) -> Result<(), ClientError> {
        match self {
            Self::Counters(window) | Self::Channels(window) => {
                window.end(&Instant::now);
                Ok(())
            }
            Self::Governed(window) => window.end(now),
        }
    }

    fn is_simulated(&self) -> bool {
        match self {
            Self::Counters(_) | Self::Channels(_) => false,
            Self::Governed(window) => window.is_simulated(),
        }
    }

    /// Whether the processor is known to blur these energies.
    fn is_filtered(&self, host: &HostRoot) -> bool {
        match self {
            Self::Counters(_) => is_filtered(host),
            Self::Channels(_) => false,
            Self::Governed(window) => window.is_filtered(),
        }
    }

    pub(crate) fn cut(
        &mut self,
        elapsed: Duration,
        now: Duration,
        clock: &dyn Fn() -> Instant,
    ) -> Result<Counted, Vec<Excluded>> {
        match self {
            Self::Counters(window) | Self::Channels(window) => window.cut(elapsed, clock),
            Self::Governed(window) => window.cut(now),
        }
    }

    fn so_far(&mut self, elapsed: Duration, now: Duration) -> Result<Counted, Vec<Excluded>> {
        match self {
            Self::Counters(window) | Self::Channels(window) => window.so_far(elapsed),
            Self::Governed(window) => window.so_far(now),
        }
    }

    fn close(self, elapsed: Duration) -> Result<Counted, Vec<Excluded>> {
        let sleep = &mut std::thread::sleep;
        match self {
            Self::Counters(window) | Self::Channels(window) => {
                window.close(elapsed, &Instant::now, sleep)
            }
            Self::Governed(window) => window.close(sleep),
        }
    }
}

/// Whether the processor of a host's own counters is known to blur them. Only root may know; for all
/// others this costs a look at one file.
pub fn is_filtered(host: &HostRoot) -> bool {
    // Registers tell nothing of counters from elsewhere.
    host.has_own_powercap()
        && File::open(host.path("/dev/cpu/0/msr")).is_ok()
        && msr::energy_filtering(host, Some(&[0])) == Some(true)
}

/// What no sensor of this version sees.
const UNSEEN: [Note; 3] = [Note::UnseenDisks, Note::UnseenFans, Note::UnseenPowerSupply];

fn notes_of_gpus(gpus: &[Gpu], excluded: &[Excluded]) -> [(Note, bool); 4] {
    let any = |of: fn(&GpuUse) -> bool| gpus.iter().any(|gpu| of(&gpu.used));
    // What lies in a GPU that is counted, or sleeps, is not unseen.
    let of_gpu = |zone: &Excluded| zone.name.starts_with(Kind::Gpu.as_str());
    let left_out = excluded.iter().any(|zone| of_gpu(zone) && zone.reason.loses_energy());
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
) -> [(Note, bool); 6] {
    let counted = match source {
        Source::Counted(counted) => &*counted.domains,
        Source::Modelled(_) => &[],
    };
    let mut domains = counted.iter().chain(gpus.iter().map(|gpu| &gpu.domain));
    let raised = domains.any(|domain| domain.energy.is_ceiling_raised);
    let interpolated = gpus.iter().any(|gpu| gpu.domain.energy.is_interpolated())
        || match source {
            Source::Counted(counted) => counted.is_interpolated(),
            Source::Modelled(_) => false,
        };
    [
        (Note::CeilingRaised, raised),
        (Note::IdleBounded, attribution.idle_rule == IdleRule::BusyTime),
        (Note::IdleClamped, attribution.idle_rule == IdleRule::Excess),
        (Note::IdleGiven, model.idle_is_given()),
        (Note::Interpolated, interpolated),
        (Note::UnseenMemory, matches!(source, Source::Modelled(_)) && !model.memory_is_known),
    ]
}

fn notes_of_outcome(outcome: Outcome) -> [(Note, bool); 4] {
    [
        (Note::CpuTimeByCgroup, outcome.by_cgroup),
        (Note::CpuTimeUnreaped, outcome.unreaped),
        (Note::CpuTimeUnresolved, outcome.cpu_time.is_zero()),
        (Note::DescendantsRunning, outcome.running > 0),
    ]
}

impl Session {
    /// The command runs as this process.
    pub fn started(&mut self, pid: u32) {
        self.expected = Some((pid, Whose::Workload));
        for gpus in self.gpus.iter_mut().chain(&mut self.cards) {
            gpus.expect(pid, Whose::Workload);
        }
    }
}

/// How often to look whether NVIDIA's library has started.
const STARTED_WITHIN: Duration = Duration::from_millis(50);

impl<O: Copy + Ord + fmt::Debug> Session<O> {
    /// Takes the first readings. What is read is the machine of `host`.
    pub fn open(
        host: HostRoot,
        env: &Env,
        ask: Option<&AskGovernor>,
        gpus: Gpus,
        whose: Owner<O>,
    ) -> Self {
        let ticks_per_second = env.ticks_per_second;
        let Gpus { cards, mut helper, sensor, simulated } = gpus;
        // First, since this takes longest, and the others' windows are the shorter for it.
        let started = |helper: &mut Helper| helper.found(Duration::ZERO).is_some();
        let gpus = helper.take_if(started).map(|helper| {
            let who = &mut |pid| whose(&host, pid);
            GpuWindow::open(helper, None, &Instant::now, Env::boot_time, who)
        });
        let cards = cards.map(|cards| {
            let who = &mut |pid| whose(&host, pid);
            GpuWindow::open(cards, None, &Instant::now, Env::boot_time, who)
        });
        let (mut window, excluded, sensors) = open_window(&host, ask, &Instant::now);
        // The window starts after the last of its first readings: what came before is not in it.
        let start = End::now(&host, ticks_per_second);
        if let Some(Measuring::Governed(window)) = &mut window {
            window.begin(start.monotonic);
        }
        Self {
            host,
            ticks_per_second,
            sensors,
            excluded,
            start,
            window,
            gpus,
            cards,
            starting: helper,
            expected: None,
            whose,
            nvml: sensor,
            simulated_gpus: simulated,
        }
    }

    /// When the window began.
    pub fn begun(&self) -> Instant {
        self.start.at
    }

    /// Reads the counters; says when to come again. `None`: never.
    pub fn tick(&mut self) -> Option<Instant> {
        let due = self.tick_window();
        self.open_gpus();
        let look = self.starting.is_some().then(|| Instant::now() + STARTED_WITHIN);
        let due = due.into_iter().chain(look).min();
        let windows = self.gpus.iter_mut().chain(&mut self.cards);
        windows.fold(due, |due, gpus| {
            if gpus.due() <= Instant::now() {
                gpus.sample(&Instant::now, &mut |pid| (self.whose)(&self.host, pid));
            }
            Some(due.map_or(gpus.due(), |due| due.min(gpus.due())))
        })
    }

    /// Opens GPUs whose library has started late.
    fn open_gpus(&mut self) {
        let Some(found) = self.starting.as_mut().and_then(|it| it.found(Duration::ZERO)) else {
            return;
        };
        self.nvml = Some(gpus::sensor(Some(&found)));
        let helper = self.starting.take().filter(|_| found == Availability::Present);
        let Some(helper) = helper else { return };
        let who = &mut |pid| (self.whose)(&self.host, pid);
        let begun = Some(self.start.at);
        let mut window = GpuWindow::open(helper, begun, &Instant::now, Env::boot_time, who);
        if let Some((pid, owner)) = self.expected {
            window.expect(pid, owner);
        }
        self.gpus = Some(window);
    }

    fn tick_window(&mut self) -> Option<Instant> {
        match self.window.as_mut()? {
            Measuring::Counters(window) | Measuring::Channels(window) => {
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

    /// Begins the window anew, and forgets the one before.
    pub fn restart(&mut self) {
        self.cut();
        if let Some(Measuring::Governed(window)) = &mut self.window {
            window.begin(self.start.monotonic);
        }
    }

    /// What the sensors tell up to now; the next window begins here. Nothing is waited for.
    pub fn cut(&mut self) -> Readings<O> {
        let end = End::now(&self.host, self.ticks_per_second);
        let elapsed = end.at.saturating_duration_since(self.start.at);
        let counted =
            self.window.as_mut().map(|window| window.cut(elapsed, end.monotonic, &Instant::now));
        let mut readings = self.about(end, self.window.as_ref());
        readings.add_counted(counted, self.excluded.clone(), None);
        let who = &mut |pid| (self.whose)(&self.host, pid);
        for gpus in self.gpus.iter_mut().chain(&mut self.cards) {
            readings.add_gpus(gpus.source(), gpus.cut(&Instant::now, who));
        }
        readings.add_silent(self.starting.as_ref());
        self.start = End { busy: end.busy.or(self.start.busy), ..end };
        readings
    }

    /// What the sensors have told since the window began, which goes on.
    pub fn so_far(&mut self) -> Readings<O> {
        let end = End::now(&self.host, self.ticks_per_second);
        let elapsed = end.at.saturating_duration_since(self.start.at);
        let counted = self.window.as_mut().map(|window| window.so_far(elapsed, end.monotonic));
        let mut readings = self.about(end, self.window.as_ref());
        readings.add_counted(counted, self.excluded.clone(), None);
        for gpus in self.gpus.iter().chain(&self.cards) {
            readings.add_gpus(gpus.source(), gpus.so_far());
        }
        readings.add_silent(self.starting.as_ref());
        readings
    }

    /// Ends the measurement, of the workload that `outcome` tells of, and looks on until the ends are
    /// sharp.
    pub fn close<T>(mut self, outcome: impl FnOnce() -> T) -> (Readings<O>, T) {
        // Everything that tells of the window is read here, before looking on for the counters' next
        // step: what runs on meanwhile is not part of it.
        let end = End::now(&self.host, self.ticks_per_second);
        let elapsed = end.at.saturating_duration_since(self.start.at);
        let failed = self.window.as_mut().and_then(|window| window.end(end.monotonic).err());
        let outcome = outcome();
        let who = &mut |pid| (self.whose)(&self.host, pid);
        for gpus in self.gpus.iter_mut().chain(&mut self.cards) {
            gpus.end(&Instant::now, who);
        }
        let window = self.window.take();
        let mut readings = self.about(end, window.as_ref());
        readings.add_counted(
            window.map(|window| window.close(elapsed)),
            self.excluded,
            failed.map(|why| why.to_string()),
        );
        for mut gpus in self.gpus.into_iter().chain(self.cards) {
            let source = gpus.source();
            // Where the governor has their energy, nothing is waited for.
            let told = if readings.gpus.iter().any(|(gpu, _)| gpu.backend == source) {
                gpus.cut(&Instant::now, who)
            } else {
                gpus.close(elapsed, &Instant::now, &mut std::thread::sleep, who)
            };
            readings.add_gpus(source, told);
        }
        readings.add_silent(self.starting.as_ref());
        (readings, outcome)
    }

    /// What is known of a window without its energy.
    fn about(&self, end: End, window: Option<&Measuring>) -> Readings<O> {
        let busy = self.start.busy.zip(end.busy).and_then(|(start, end)| end.since(&start));
        let simulated = window.is_some_and(Measuring::is_simulated);
        Readings {
            start_ts: self.start.wall,
            end_ts: end.wall,
            elapsed: end.at.saturating_duration_since(self.start.at),
            busy,
            cpus: self.start.busy.or(end.busy).and_then(|busy| busy.cpus),
            tick: Duration::from_secs(1) / self.ticks_per_second.max(1),
            counted: None,
            gpus: Vec::new(),
            gpu_loads: Vec::new(),
            sensors: self.sensors.clone(),
            gpu_sensor: self.nvml.clone(),
            excluded: Vec::new(),
            simulated: simulated
                || self.simulated_gpus && self.gpus.is_some()
                || self.host.is_simulated(),
            filtered: window.is_some_and(|window| window.is_filtered(&self.host)),
            governed: matches!(window, Some(Measuring::Governed(_))),
        }
    }
}

impl<O> Readings<O> {
    /// Adds what the window has told; counters that show no energy while something ran are not believed.
    fn add_counted(
        &mut self,
        counted: Option<Result<Counted, Vec<Excluded>>>,
        excluded: Vec<Excluded>,
        why: Option<String>,
    ) {
        let is_measured = counted.is_some();
        self.counted = match counted.unwrap_or(Err(excluded)) {
            Ok(mut counted) => {
                self.excluded.clone_from(&counted.excluded);
                // GPUs are not shared by CPU time.
                let is_gpu = |domain: &mut Domain| domain.kind == Kind::Gpu;
                let gpus = counted.domains.extract_if(.., is_gpu);
                self.gpus = gpus.map(|gpu| (gpu, Used::unknown())).collect();
                Some(counted).filter(|counted| counted.host() > Microjoules::ZERO)
            }
            Err(excluded) => {
                self.excluded = excluded;
                None
            }
        };
        let used = |sensor: &&mut Sensor| sensor.status == SensorStatus::Used;
        let failed = self.counted.is_none() && is_measured;
        if let Some(sensor) = self.sensors.iter_mut().find(used).filter(|_| failed) {
            sensor.status = SensorStatus::Failed;
            let still = "no package counter moved in this time";
            sensor.reason = Some(why.unwrap_or_else(|| still.into()));
        }
    }

    /// Adds the GPUs of a backend: whose those are that the governor served by it, or else those that it shows itself.
    fn add_gpus(&mut self, source: &str, (told, left_out): (Vec<GpuEnergy<O>>, Vec<Excluded>)) {
        let loads = told.iter().map(|gpu| (gpu.name.clone(), gpu.load));
        self.gpu_loads.extend(loads);
        let sensor = self.gpu_sensor.as_mut();
        let sensor = sensor.filter(|it| it.name == source && it.status == SensorStatus::Used);
        let served = self.gpus.iter().filter(|(gpu, _)| gpu.backend == source).count();
        if served == 0 {
            let measured = told.into_iter().filter_map(|gpu| Some((gpu.domain?, gpu.used)));
            let before = self.gpus.len();
            self.gpus.extend(measured);
            // What the governor could not read may be readable from here.
            let gpus = &self.gpus;
            self.excluded.retain(|zone| !gpus.iter().any(|(gpu, _)| gpu.name == zone.name));
            self.excluded.extend(left_out);
            if let Some(sensor) = sensor.filter(|_| self.gpus.len() == before) {
                sensor.status = SensorStatus::Failed;
                sensor.reason = Some("no GPU could be measured in this time".into());
            }
        } else {
            if let Some(sensor) = sensor {
                sensor.status = SensorStatus::Available;
            }
            // Both call GPUs by their place on the bus, which is the same where both see all of them: in
            // a container that sees a part, it is not.
            let mut told: BTreeMap<_, _> =
                told.into_iter().map(|gpu| (gpu.name, gpu.used)).collect();
            let of_source = |(gpu, _): &&mut (Domain, Used<O>)| gpu.backend == source;
            let mut gpus: Vec<_> = self.gpus.iter_mut().filter(of_source).collect();
            if told.len() == served && gpus.iter().all(|(gpu, _)| told.contains_key(&gpu.name)) {
                for (gpu, used) in &mut gpus {
                    *used = told.remove(&gpu.name).unwrap_or_else(Used::unknown);
                }
            }
        }
    }

    /// GPUs of which nobody knows whether they are there are not nothing.
    fn add_silent(&mut self, starting: Option<&Helper>) {
        self.excluded.extend(starting.map(|_| Excluded {
            name: Kind::Gpu.as_str().to_owned(),
            id: "nvml".to_owned(),
            reason: Exclusion::Unreadable,
        }));
    }

    /// The energy of processors and memory, by counters or by the model.
    pub fn host_energy(&mut self, model: &PowerModel, cpu: CpuUse) -> HostEnergy {
        if let Some(counted) = self.counted.take() {
            let with_memory = counted.domains.iter().any(|domain| domain.kind == Kind::Dram);
            let most = Some(counted.likely());
            let idle = model.idle(with_memory);
            return HostEnergy { source: Source::Counted(counted), idle, most };
        }
        let modelled = model.run(self.elapsed, cpu);
        // The model's own idle power is a part of its host's energy: what is not known of both is one input.
        let idle = Idle { power: modelled.idle, cv: 0.0 };
        HostEnergy { source: Source::Modelled(modelled), idle, most: None }
    }

    /// Notes of the sensors.
    fn notes(&self, is_modelled: bool) -> [(Note, bool); 5] {
        let wall = self.end_ts.duration_since(self.start_ts).as_secs_f64();
        let unread = self.excluded.iter().any(|zone| zone.reason.loses_energy());
        [
            (Note::BusyTimeUnknown, self.busy.is_none()),
            (Note::EnergyFiltered, self.filtered && !is_modelled),
            (Note::ClockStepped, (wall - self.elapsed.as_secs_f64()).abs() > 1.0),
            (Note::GovernorAbsent, !self.governed),
            (Note::ZoneUnreadable, unread),
        ]
    }
}

/// How the energy of a window is shared with what is measured.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Energy of processors and memory.
    pub(crate) source: Source,
    /// Of that.
    pub(crate) attribution: Attribution,
    /// CPU time.
    pub(crate) cpu: CpuUse,
}

impl Measurement {
    /// What the sensors told while a workload of this outcome ran, by who gets idle energy.
    pub fn of(
        mut readings: Readings,
        outcome: Outcome,
        model: &PowerModel,
        policy: IdlePolicy,
    ) -> Self {
        let (elapsed, workload) = (readings.elapsed, outcome.cpu_time);
        // A process that ran used some time: where the kernel shows none, half a tick of it.
        let workload = if workload.is_zero() { elapsed.min(readings.tick / 2) } else { workload };
        let cpus = readings.cpus.unwrap_or(model.vcpus);
        let busy = readings.busy.map_or(workload, |(busy, _)| busy);
        let cpu = CpuUse { workload, busy, capacity: elapsed * cpus };
        let HostEnergy { source, idle, most } = readings.host_energy(model, cpu);
        let attribution = split(source.host(), idle, elapsed, cpu, most, policy);
        let gpus = std::mem::take(&mut readings.gpus);
        let gpus =
            gpus.into_iter().map(|(gpu, used)| Gpu::new(gpu, GpuUse::from(&used).under(policy)));
        let shared = Shared { source, attribution, cpu };
        let mut measurement = Self::shared(readings, shared, gpus.collect(), model);
        let holding = notes_of_outcome(outcome).into_iter().filter(|(_, holds)| *holds);
        measurement.notes.extend(holding.map(|(note, _)| note));
        measurement.idle_policy = policy;
        measurement
    }

    /// The same of energy that was shared already.
    pub(crate) fn shared<O>(
        readings: Readings<O>,
        shared: Shared,
        gpus: Vec<Gpu>,
        model: &PowerModel,
    ) -> Self {
        let Shared { source, attribution, cpu } = shared;
        let modelled = matches!(source, Source::Modelled(_));
        let mut notes = readings.notes(modelled).to_vec();
        notes.extend(notes_of_attribution(&source, &gpus, attribution, model));
        notes.extend(notes_of_gpus(&gpus, &readings.excluded));
        notes.extend(UNSEEN.map(|note| (note, true)));
        let status = if modelled { SensorStatus::Used } else { SensorStatus::Available };
        let mut sensors = readings.sensors;
        sensors.push(Sensor { name: "model".into(), reason: None, status });
        sensors.extend(readings.gpu_sensor);
        Self {
            start_ts: readings.start_ts,
            end_ts: readings.end_ts,
            elapsed: readings.elapsed,
            cpu,
            cpus: readings.cpus.unwrap_or(model.vcpus),
            tick: readings.tick,
            notes: notes.into_iter().filter(|(_, holds)| *holds).map(|(note, _)| note).collect(),
            source,
            attribution,
            gpus,
            sensors,
            excluded: readings.excluded,
            simulated: readings.simulated,
            governed: readings.governed && !modelled,
            is_whole: false,
            idle_policy: IdlePolicy::Residual,
        }
    }
}

impl Measurement {
    /// Where the energy of processors and memory comes from: `governor`, `sysfs`, `hwmon`, `model`.
    pub fn source_name(&self) -> &'static str {
        match (&self.source, self.governed) {
            (Source::Counted(_), true) => "governor",
            (Source::Counted(counted), false) => counted.backend(),
            (Source::Modelled(_), _) => "model",
        }
    }

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

/// The best totals that can be had, what was left out of them, and what was tried.
pub(crate) fn open_window(
    host: &HostRoot,
    ask: Option<&AskGovernor>,
    clock: &dyn Fn() -> Instant,
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
            Ok(Err(why @ Unserved::NoPackage(_))) => (SensorStatus::Absent, why.to_string()),
            Ok(Err(why @ Unserved::Stale(_))) => (SensorStatus::Failed, why.to_string()),
            Err(error @ ClientError::Denied { .. }) => (SensorStatus::Denied, error.to_string()),
            Err(ClientError::Absent { socket, .. }) if !socket.exists() => {
                (SensorStatus::Absent, format!("no socket at {}", socket.display()))
            }
            Err(error @ ClientError::Absent { .. }) => (SensorStatus::Absent, error.to_string()),
            Err(error) => (SensorStatus::Failed, error.to_string()),
        };
        sensors.push(Sensor { name: "governor".into(), reason: Some(reason), status });
    }
    let (availability, opened) = Window::open(host, clock, Env::boot_time);
    sensors.push(sensor("sysfs", &availability));
    let mut left_out = match opened {
        Ok(window) => return (Some(Measuring::Counters(window)), Vec::new(), sensors),
        Err(excluded) => excluded,
    };
    let mut found = Found::look(host, Env::boot_time);
    drop(found.take_gpus());
    if found.channels.is_empty() && found.excluded.is_empty() {
        return (None, left_out, sensors);
    }
    match Window::of_channels(found.channels, found.excluded, clock, Env::boot_time) {
        Ok(window) => {
            sensors.push(sensor(hwmon::NAME, &Availability::Present));
            (Some(Measuring::Channels(window)), Vec::new(), sensors)
        }
        Err(excluded) => {
            let denied = excluded.iter().any(|zone| zone.reason == Exclusion::Denied);
            let why = "no power of a socket can be read".to_owned();
            let why = if denied { Availability::Denied(why) } else { Availability::Absent(why) };
            sensors.push(sensor(hwmon::NAME, &why));
            left_out.extend(excluded);
            (None, left_out, sensors)
        }
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
    use carbon_ops_meter::accumulator::DomainEnergy;
    use carbon_ops_meter::clock::EpochStart;
    use std::fs;

    #[test]
    fn a_gpu_is_unseen_where_its_energy_is_missing_and_not_where_it_lies_in_another_or_sleeps() {
        let energy = DomainEnergy {
            start: Microjoules::ZERO,
            end: Microjoules::new(7),
            energy: Microjoules::new(7),
            filled: Microjoules::ZERO,
            low: Microjoules::new(7),
            high: Microjoules::new(7),
            estimated: false,
            is_ceiling_raised: false,
            wraps: 0,
            epoch: EpochStart::from_millis(1),
            gaps: Vec::new(),
        };
        let (name, zone) = ("gpu-0000:03:00.0".to_owned(), "0000:03:00.0/energy1".to_owned());
        let (kind, backend, likely) = (Kind::Gpu, hwmon::NAME, Kind::Gpu.ceiling());
        let domain = Domain { name, kind, zone, backend, likely, energy };
        let gpus = [Gpu::new(domain, GpuUse::from(&Used::unknown()))];
        for (reason, expected) in [
            (Exclusion::InsideGpu, false),
            (Exclusion::Asleep, false),
            (Exclusion::Denied, true),
            (Exclusion::Unreadable, true),
        ] {
            let zone = Excluded { name: "gpu-0000:03:00.0-pkg".into(), id: "x".into(), reason };
            let notes = notes_of_gpus(&gpus, &[zone]);
            assert!(notes.contains(&(Note::UnseenGpu, expected)), "{reason:?}");
        }
    }

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
