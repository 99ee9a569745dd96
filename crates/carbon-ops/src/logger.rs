//! [`EnergyLogger`]: the energy of work, of commands, of what runs already, and of a host at rest.
//!
//! Nothing is printed, and nothing is global: two loggers know nothing of each other. While work is being
//! measured, a thread reads the counters as often as they ask for, so that none wraps unseen.
//!
//! * [`metrics`]: samples of the host, their summary and their files.
//! * [`idle`]: what a host uses at rest.
//!
//! Out of scope: carbon ([`crate::CarbonEstimator`]), and supervising a command with its signals and orphans
//! ([`crate::supervise`], which changes the whole process).

use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use carbon_ops_meter::attribution::IdlePolicy;
use carbon_ops_meter::client;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::model::{Overrides, PowerModel, Tdp};
use carbon_ops_units::{Microjoules, Watts};

use crate::compose::{self, Measured, Program};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::gpus::{AskNvml, Gpus, whose};
use crate::host::Host;
use crate::measure::{AskGovernor, Measurement, Session};
use crate::settings::Settings;
use crate::supervise::{NotStarted, Outcome, process_cpu_time, reaped_cpu_time};
use crate::unsafe_calls::wait_with_cpu_time;
use crate::watch::{By, Options, Sample, Sort, Watch, What};

pub mod idle;
pub mod metrics;

use idle::{Clock, IdlePower};
use metrics::{History, Metrics, MetricsSummary};

/// Rows of a sample, most of which nobody reads.
const ROWS: usize = 10;

/// How late it may be noticed that what is watched has ended.
const NOTICED_WITHIN: Duration = Duration::from_millis(250);

/// What is read, and what is known of the machine.
#[derive(Debug, Clone)]
pub struct LoggerSettings {
    /// Where `/proc` and `/sys` are. Energy of another host than the real one is marked as simulated.
    pub host: HostRoot,
    /// Whom to ask before the kernel's own counters are read; `None` for nobody. Of a host other than the
    /// real one nobody is asked.
    pub governor: Option<AskGovernor>,
    /// How NVIDIA's GPUs are asked.
    pub nvml: AskNvml,
    /// The processor's thermal design power, for the model that stands in where there is no counter.
    pub cpu_tdp: Option<Tdp>,
    /// What the machine uses at rest, as [`EnergyLogger::calibrate_idle`] measures it.
    pub idle: Option<Watts>,
}

impl Default for LoggerSettings {
    /// This machine, with its governor if one listens where governors do.
    fn default() -> Self {
        let governor = AskGovernor { socket: client::SOCKET.into(), timeout: client::TIMEOUT };
        Self {
            host: HostRoot::real(),
            governor: Some(governor),
            nvml: AskNvml::default(),
            cpu_tdp: None,
            idle: None,
        }
    }
}

impl LoggerSettings {
    /// This machine, with what settings say of governor, GPUs and model.
    pub fn of(settings: &Settings) -> Self {
        Self {
            host: HostRoot::real(),
            governor: AskGovernor::of(settings),
            nvml: settings.ask_nvml(),
            cpu_tdp: settings.cpu_tdp.value,
            idle: settings.idle.value,
        }
    }

    /// Of a host whose kernel files stand in a folder: for tests, and for copies of a host.
    pub fn of_host(host: HostRoot) -> Self {
        Self { host, ..Self::default() }
    }
}

/// Measures energy.
///
/// ```
/// use carbon_ops::EnergyLogger;
///
/// let logger = EnergyLogger::default();
/// let (sum, measured) = logger.measure("sum", || (1..=1_000_000u64).sum::<u64>());
/// assert_eq!(sum, 500_000_500_000);
/// let measured = measured?;
/// assert!(measured.workload() <= measured.host());
/// # Ok::<(), carbon_ops::Error>(())
/// ```
#[derive(Debug)]
pub struct EnergyLogger {
    settings: LoggerSettings,
    env: Env,
    model: PowerModel,
    machine: Host,
    /// What metrics are read with, from the first one on.
    watch: Option<Watch>,
    history: History,
}

impl Default for EnergyLogger {
    fn default() -> Self {
        Self::new(LoggerSettings::default())
    }
}

impl EnergyLogger {
    /// Of a machine. Nothing is opened before something is measured.
    pub fn new(settings: LoggerSettings) -> Self {
        let overrides = Overrides { tdp: settings.cpu_tdp, idle: settings.idle };
        let model = PowerModel::identify(&settings.host, overrides);
        let machine = Host::identify(&settings.host, model.virtual_machine);
        let env = Env::without_variables();
        let real = !settings.host.is_simulated();
        let governor = settings.governor.filter(|_| real);
        let nvml = settings.nvml.beside(!real);
        let settings = LoggerSettings { governor, nvml, ..settings };
        Self { settings, env, model, machine, watch: None, history: History::default() }
    }

    /// Measures work of this process: all its threads, and the children that it waits for meanwhile. The name
    /// is what the work is called in records.
    ///
    /// What the work gives back comes back whether it could be measured or not. Where there is no counter, a
    /// model of the processor stands in, and the quality says so.
    pub fn measure<T>(&self, name: &str, work: impl FnOnce() -> T) -> (T, Result<Measured>) {
        let block = self.start(name);
        let value = work();
        (value, block.and_then(Block::finish))
    }

    /// Begins to measure this process, as [`EnergyLogger::measure`] does, up to [`Block::finish`].
    ///
    /// # Errors
    /// When the system gives no thread, or the stated design power is implausible.
    pub fn start(&self, name: &str) -> Result<Block> {
        let sampler = Sampler::start(self)?;
        Ok(Block { sampler, name: name.to_owned(), began: own_cpu_time() })
    }

    /// Runs a command to its end: how it ended, and its energy. Counted is what it used itself, and what
    /// those of its descendants used that were waited for.
    ///
    /// # Errors
    /// When the command cannot be started ([`Error::is_not_started`]) or waited for.
    pub fn run(&self, command: &mut Command) -> Result<(ExitStatus, Measured)> {
        let program = command.get_program().to_owned();
        let name = std::path::Path::new(&program).file_name().unwrap_or(&program).to_owned();
        let sampler = Sampler::start(self)?;
        let child = command.spawn().map_err(|source| NotStarted::new(program, source))?;
        let (status, cpu_time) =
            wait_with_cpu_time(&child).context("cannot wait for the command")?;
        let outcome = Outcome {
            exit_code: Some(exit_code(status)),
            signal: signal(status),
            ..Outcome::of_cpu_time(cpu_time)
        };
        let measured = sampler.finish(&name.to_string_lossy(), move || outcome)?;
        Ok((status, measured))
    }

    /// Watches what runs already, such as a process with its descendants or a cgroup, for a time or until it
    /// ends: what the host used, and what of it was theirs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use carbon_ops::{EnergyLogger, What};
    ///
    /// let ourselves = i32::try_from(std::process::id())?;
    /// let logger = EnergyLogger::default();
    /// let sample = logger.observe(What::Pid(ourselves), Duration::from_millis(20))?;
    /// assert_eq!(sample.rows.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such process ([`Error::is_no_process`]), cgroup or unit.
    pub fn observe(&self, what: What, duration: Duration) -> Result<Sample> {
        let mut watch = self.watch(&Options { what, ..Options::all() })?;
        let end = watch.begun() + duration;
        loop {
            let now = Instant::now();
            if now >= end || watch.has_ended() {
                return Ok(watch.sample(0, now < end)?.0);
            }
            let due = watch.poll().map_or(end, |due| due.min(end));
            std::thread::sleep(due.min(now + NOTICED_WITHIN).saturating_duration_since(now));
        }
    }

    /// Begins to watch, sample by sample, at a pace of the caller's own. See [`Watch::sample`]; between
    /// samples, call [`Watch::poll`] when it says.
    ///
    /// # Errors
    /// When there is no such process, cgroup or unit.
    pub fn watch(&self, options: &Options) -> Result<Watch> {
        let LoggerSettings { host, governor, nvml, .. } = &self.settings;
        let gpus = Gpus::find(host, nvml);
        let (env, model) = (&self.env, self.model.clone());
        Ok(Watch::open(options, host.clone(), env, governor.as_ref(), gpus, model)?)
    }

    /// Takes one sample of the host since the one before: energy, processors, memory, and the processes that
    /// used most. The first one begins when it is asked for, so that it tells of no energy yet.
    ///
    /// The sample is kept, the oldest going when there are [`metrics::KEPT_MAX`].
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn log_metrics(&mut self, operation: &str) -> Result<&Metrics> {
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => self.watch(&Options { limit: ROWS, ..Options::all() })?,
        };
        let sample = watch.sample(0, false)?.0;
        self.watch = Some(watch);
        self.history.keep(Metrics { operation: operation.to_owned(), sample });
        self.history.last().ok_or_else(|| Error::other("the sample is gone"))
    }

    /// The samples that were kept, oldest first.
    pub fn metrics(&self) -> impl Iterator<Item = &Metrics> {
        self.history.all()
    }

    /// Sums and means of the samples that were kept; `None` without one.
    pub fn summary(&self) -> Option<MetricsSummary> {
        self.history.summary()
    }

    /// Writes summary and samples as one JSON object.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn export_json(&self, out: &mut impl std::io::Write) -> Result<()> {
        self.history.write_json(out)
    }

    /// Writes a line of CSV for each sample, after a heading.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn export_csv(&self, out: &mut impl std::io::Write) -> Result<()> {
        self.history.write_csv(out)
    }

    /// Measures what the host uses at rest, by its counters; leave it alone meanwhile. The result is what
    /// [`LoggerSettings::idle`] takes.
    ///
    /// # Errors
    /// When no counter can be read ([`Error::is_no_counters`]), with the reason; when too few readings
    /// could be used.
    pub fn calibrate_idle(&self, duration: Duration, clock: &dyn Clock) -> Result<IdlePower> {
        let LoggerSettings { host, governor, .. } = &self.settings;
        idle::calibrate(host, governor.as_ref(), self.env.ticks_per_second, duration, clock)
    }
}

/// Work that is being measured.
#[derive(Debug)]
#[must_use = "what is not finished is not measured"]
pub struct Block {
    sampler: Sampler,
    name: String,
    began: Duration,
}

impl Block {
    /// Ends the measurement.
    ///
    /// # Errors
    /// When the window has no length that a record could have.
    pub fn finish(self) -> Result<Measured> {
        let began = self.began;
        let outcome = move || Outcome::of_cpu_time(own_cpu_time().saturating_sub(began));
        self.sampler.finish(&self.name, outcome)
    }
}

/// Tells the workload, once the window has ended.
type Tell = Box<dyn FnOnce() -> Outcome + Send>;

/// The thread that keeps a window read.
#[derive(Debug)]
struct Sampler {
    end: Sender<Tell>,
    thread: JoinHandle<Option<(Measurement, Outcome)>>,
    model: PowerModel,
    machine: Host,
}

impl Sampler {
    /// Returns when the first readings were taken.
    fn start(logger: &EnergyLogger) -> Result<Self> {
        logger.model.check().map_err(anyhow::Error::from)?;
        let (end, ended) = mpsc::channel::<Tell>();
        let (open, opened) = mpsc::channel();
        let LoggerSettings { host, governor, nvml, .. } = logger.settings.clone();
        let (env, model) = (logger.env.clone(), logger.model.clone());
        let sample = move || {
            let gpus = Gpus::find(&host, &nvml);
            let mut session = Session::open(host, &env, governor.as_ref(), gpus, whose);
            let _ = open.send(());
            loop {
                let tell = match session.tick() {
                    None => ended.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(due) => ended.recv_timeout(due.saturating_duration_since(Instant::now())),
                };
                match tell {
                    Ok(tell) => {
                        let (readings, outcome) = session.close(tell);
                        return Some((
                            Measurement::of(readings, outcome, &model, IdlePolicy::Residual),
                            outcome,
                        ));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        let thread = std::thread::Builder::new().name("energy".into()).spawn(sample);
        let thread = thread.context("no thread to read counters on")?;
        opened.recv().map_err(|_| Error::other("the thread that reads counters has failed"))?;
        let (model, machine) = (logger.model.clone(), logger.machine.clone());
        Ok(Self { end, thread, model, machine })
    }

    fn finish(
        self,
        name: &str,
        tell: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<Measured> {
        let failed = || Error::other("the thread that reads counters has failed");
        self.end.send(Box::new(tell)).map_err(|_| failed())?;
        let closed = self.thread.join().ok().flatten();
        let (measurement, outcome) = closed.ok_or_else(failed)?;
        let program = Program { name: name.to_owned(), args: None };
        Ok(compose::measured(&measurement, outcome, &program, &self.machine, &self.model)?)
    }
}

impl Outcome {
    /// Of work that is no command of its own.
    fn of_cpu_time(cpu_time: Duration) -> Self {
        Self {
            exit_code: Some(0),
            signal: None,
            cpu_time,
            running: 0,
            by_cgroup: false,
            unreaped: false,
        }
    }
}

impl Options {
    /// All processes of the host, those that used most energy first.
    pub fn all() -> Self {
        Self {
            what: What::All,
            by: By::Process,
            sort: Sort::Energy,
            limit: usize::MAX,
            idle: IdlePolicy::Residual,
        }
    }
}

impl Measured {
    /// Energy of the work.
    pub fn workload(&self) -> Microjoules {
        Microjoules::new(self.measurement.energy.workload_uj)
    }

    /// Energy of the whole host meanwhile.
    pub fn host(&self) -> Microjoules {
        Microjoules::new(self.measurement.energy.host_uj)
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.measurement.elapsed_ns.0)
    }

    /// CPU time of the work.
    pub fn cpu_time(&self) -> Duration {
        let workload = self.measurement.workload.as_ref();
        Duration::from_nanos(workload.map_or(0, |workload| workload.cpu_time_ns.0))
    }

    /// What of the work's energy goes with a part of its CPU time, such as that of one request: see
    /// [`thread_cpu_time`].
    pub fn part(&self, cpu_time: Duration) -> Microjoules {
        let whole = self.cpu_time().max(cpu_time).as_secs_f64().max(1e-9);
        let joules = self.workload().as_joules() * cpu_time.as_secs_f64() / whole;
        Microjoules::from_joules(joules).unwrap_or_default()
    }
}

/// CPU time of the calling thread up to now: of two values, the difference is that of what it did in
/// between.
pub fn thread_cpu_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock.now().map_or(Duration::ZERO, Duration::from)
}

/// CPU time of this process, and of the children that it has waited for.
fn own_cpu_time() -> Duration {
    let ourselves = i32::try_from(std::process::id()).ok().and_then(process_cpu_time);
    ourselves.unwrap_or_default() + reaped_cpu_time()
}

fn signal(status: ExitStatus) -> Option<u8> {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().and_then(|signal| u8::try_from(signal).ok())
}

/// As shells tell it: 128 + n after signal n.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or_else(|| signal(status).map_or(u8::MAX, |signal| signal.saturating_add(128)))
}
