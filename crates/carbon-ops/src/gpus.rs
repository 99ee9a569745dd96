//! The GPUs of this machine: finds NVIDIA's library where there is a driver to speak to, and those of other vendors
//! in hardware monitoring, and says whose a process is that uses a GPU.
//!
//! A machine without a driver costs three looks at files: the library is not even searched for. Starting
//! it costs milliseconds, or seconds where no process keeps the driver awake (`nvidia-persistenced`), and some
//! calls of a driver never return: so a process of its own asks it ([`Helper`]), and nothing waits for that for
//! longer than a moment. A library that starts later is used from then on.
//!
//! Out of scope: the measurement itself (see [`carbon_ops_meter::gpu`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_meter::attribution::{GpuUse, Shares, split_gpu};
use carbon_ops_meter::cpu_time::descends;
use carbon_ops_meter::gpu::Whose;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Availability;
use carbon_ops_meter::sensor::hwmon::{Found, Hwmon};
use carbon_ops_meter::sensor::nvml::{Helper, LIBRARY, PATIENCE};
use carbon_ops_meter::window::Domain;
use carbon_ops_record::{Sensor, SensorStatus};
use carbon_ops_units::Microjoules;

use crate::env::Env;

/// What NVIDIA's driver leaves on a machine: its device, its own report, and the device through which
/// Linux speaks to a GPU under Windows.
const TRACES: [&str; 3] = ["/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg"];

/// Where distributions install libraries. What lies elsewhere is not taken for the driver's.
const INSTALLED: [&str; 6] = ["/usr", "/lib", "/lib64", "/opt", "/nix/store", "/run"];

/// How long a diagnosis waits: a driver that nobody keeps awake takes seconds.
const EXAMINED_WITHIN: Duration = Duration::from_secs(5);

/// Which library to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NvmlLibrary {
    /// This one.
    At(PathBuf),
    /// None: GPUs are not measured.
    Off,
}

/// How NVIDIA's GPUs are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskNvml {
    /// Which library to load; `None` for the system's own, if there is a driver.
    pub library: Option<NvmlLibrary>,
    /// How long to wait for its start, and for the first and the last reading of a window. A driver that is kept
    /// awake starts within some 10 ms, another takes seconds.
    pub wait: Duration,
}

impl Default for AskNvml {
    fn default() -> Self {
        Self { library: None, wait: PATIENCE }
    }
}

impl AskNvml {
    /// The same where the counters may be those of another host: beside them the GPUs of this machine are foreign,
    /// unless a library is named.
    #[must_use]
    pub fn beside(mut self, other_host: bool) -> Self {
        self.library = self.library.or(other_host.then_some(NvmlLibrary::Off));
        self
    }
}

/// What was found before the command started.
#[derive(Debug, Default)]
pub struct Gpus {
    /// Those of AMD and Intel, by hardware monitoring; what of them is not counted.
    pub(crate) cards: Option<Hwmon>,
    /// Who reads them, or will do when the library has started; `None` without a driver.
    pub helper: Option<Helper>,
    /// What became of it, where there was something to find.
    pub sensor: Option<Sensor>,
    /// The library is not the system's own.
    pub simulated: bool,
}

/// A GPU that was measured.
#[derive(Debug)]
pub struct Gpu {
    /// Its energy.
    pub domain: Domain,
    /// What part of its time the workload and others used.
    pub used: GpuUse,
    /// Its energy, shared.
    pub shares: Shares,
}

impl Gpu {
    /// A GPU whose energy is shared by its time.
    pub fn new(domain: Domain, used: GpuUse) -> Self {
        let shares = split_gpu(domain.energy.energy, used);
        Self { domain, used, shares }
    }

    /// A GPU all of whose energy is one workload's, idle or not.
    pub(crate) fn whole(domain: Domain, used: GpuUse) -> Self {
        let (host, nothing) = (domain.energy.energy, Microjoules::ZERO);
        let shares = Shares { host, workload: host, others: nothing, idle: nothing };
        Self { domain, used, shares }
    }

    /// The same energy, shared otherwise.
    pub(crate) fn give(&mut self, used: GpuUse) {
        (self.used, self.shares) = (used, split_gpu(self.domain.energy.energy, used));
    }
}

impl Gpus {
    /// Starts the library that is named, or the system's own where the driver has left a trace.
    pub fn find(host: &HostRoot, ask: &AskNvml) -> Self {
        Self { cards: cards(host), ..Self::of_nvidia(host, ask) }
    }

    fn of_nvidia(host: &HostRoot, ask: &AskNvml) -> Self {
        let named = ask.library.as_ref();
        let library = match named {
            Some(NvmlLibrary::At(path)) => path,
            None if TRACES.iter().any(|trace| host.path(trace).exists()) => Path::new(LIBRARY),
            Some(NvmlLibrary::Off) | None => return Self::default(),
        };
        let simulated = named.is_some() && !is_installed(library);
        match Helper::start(library, Env::boot_time, || ()) {
            Ok(helper) => {
                let mut helper = helper.waiting(ask.wait);
                let found = helper.found(ask.wait);
                let (sensor, helper) = (sensor(found.as_ref()), Some(helper));
                let works = matches!(found, Some(Availability::Present) | None);
                let helper = helper.filter(|_| works);
                Self { cards: None, helper, sensor: Some(sensor), simulated }
            }
            Err(error) => {
                let why = Availability::Absent(format!("no process for {LIBRARY}: {error}"));
                Self { sensor: Some(sensor(Some(&why))), simulated, ..Self::default() }
            }
        }
    }
}

impl Gpus {
    /// What becomes of the library, waited for as long as a person may wait; `None` where there is nothing to find.
    pub fn examine(host: &HostRoot, ask: &AskNvml) -> Option<Sensor> {
        let found = Self::of_nvidia(host, ask);
        let late = found.helper.map(|mut helper| helper.found(EXAMINED_WITHIN));
        late.map(|late| sensor(late.as_ref())).or(found.sensor)
    }

    /// The process that asks the driver.
    pub fn process(&self) -> Option<i32> {
        self.helper.as_ref()?.pid()
    }
}

/// GPUs that hardware monitoring shows.
fn cards(host: &HostRoot) -> Option<Hwmon> {
    let (channels, excluded) = Found::look(host, Env::boot_time).take_gpus();
    let any = !channels.is_empty() || !excluded.is_empty();
    any.then(|| Hwmon::new(channels, excluded))
}

/// What became of the library, as far as that is known.
pub(crate) fn sensor(found: Option<&Availability>) -> Sensor {
    let (status, reason) = match found {
        Some(Availability::Present) => (SensorStatus::Used, None),
        Some(Availability::Absent(reason)) => (SensorStatus::Absent, Some(reason.clone())),
        Some(Availability::Denied(reason)) => (SensorStatus::Denied, Some(reason.clone())),
        None => (SensorStatus::Failed, Some("NVIDIA's library does not answer".to_owned())),
    };
    Sensor { name: "nvml".into(), reason, status }
}

fn is_installed(library: &Path) -> bool {
    let Ok(library) = library.canonicalize() else { return false };
    INSTALLED.iter().any(|folder| library.starts_with(folder))
}

/// Whose a process is: the workload's when it descends from us, who adopt a command's orphans, or is us,
/// where the workload is work of our own.
pub fn whose(host: &HostRoot, pid: u32) -> Option<Whose> {
    if pid == std::process::id() {
        return Some(Whose::Workload);
    }
    let ourselves = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let is_ours = i32::try_from(pid).ok().and_then(|pid| descends(host, pid, ourselves))?;
    Some(if is_ours { Whose::Workload } else { Whose::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_trace_of_the_driver_nothing_is_searched_for() {
        let dir = tempfile::tempdir().unwrap();
        let found = Gpus::find(&HostRoot::at(dir.path()), &AskNvml::default());
        assert!(found.helper.is_none() && found.sensor.is_none());
        let missing = NvmlLibrary::At(dir.path().join("libnvidia-ml.so.1"));
        // A busy machine may tell so late.
        let ask = |library| AskNvml { library: Some(library), wait: Duration::from_secs(60) };
        let found = Gpus::find(&HostRoot::at(dir.path()), &ask(missing));
        assert_eq!(found.sensor.map(|sensor| sensor.status), Some(SensorStatus::Absent));
        let off = Gpus::find(&HostRoot::at(dir.path()), &ask(NvmlLibrary::Off));
        assert!(off.sensor.is_none());
    }

    #[test]
    fn a_library_outside_of_the_system_is_not_the_drivers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libnvidia-ml.so.1");
        std::fs::write(&path, "").unwrap();
        assert!(!is_installed(&path) && !is_installed(&dir.path().join("missing")));
        assert!(is_installed(Path::new("/usr/bin")));
    }
}
