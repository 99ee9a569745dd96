//! The GPUs of a host by calls of NVIDIA's library in this process.
//!
//! Out of scope: a driver that hangs or ends the process, which is why `helper` makes these calls elsewhere.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use super::driver::{Driver, GpuLoad, Listing, Look, Share, Users, Want};
use super::library::{Code, Device, Library, refusal};
use crate::clock::Moment;
use crate::sensor::integral::Trapezoid;
use crate::sensor::{
    Availability, Backend, Domain, Excluded, Exclusion, Integral, Kind, ReadFault,
};

/// A counter that has stood still for so long, while the power says that at least so much passed, does not count.
/// Steps are 20 to 100 ms apart by GPU (Yang, Adamek, Armour, arXiv 2312.02741).
const RESTS: Duration = Duration::from_millis(500);
const RESTS_LEAST: Microjoules = Microjoules::new(1_000_000);

/// What time it is. On a real machine, `CLOCK_BOOTTIME`.
pub type Clock = Box<dyn Fn() -> Moment + Send>;

/// The GPUs of a host by calls of the library in this process.
pub struct Nvml {
    pub(super) listings: Vec<Listing>,
    domains: Vec<Domain>,
    gpus: Vec<Gpu>,
    pub(super) excluded: Vec<Excluded>,
    clock: Clock,
    library: Library,
}

#[derive(Debug)]
struct Gpu {
    device: Device,
    source: Source,
    /// The last sample of processes that was used, in µs of NVML's own clock.
    sampled: u64,
}

#[derive(Debug)]
enum Source {
    Counter(Counting),
    Power(Trapezoid),
}

/// A counter in mJ, which is believed as long as it moves where there is power.
#[derive(Debug)]
struct Counting {
    reading: u64,
    /// When it was last seen to move, or first seen.
    since: Moment,
    /// From then on, by power; of a counter that moves, nothing.
    rest: Option<Trapezoid>,
    /// It has stood still while power passed: from here on the power alone is believed.
    is_resting: bool,
}

impl Counting {
    fn starting(reading: u64, since: Moment) -> Self {
        Self { reading, since, rest: None, is_resting: false }
    }

    /// The energy in mJ, where the counter shows `reading`. The power is asked for where it has not moved.
    fn energy(
        &mut self,
        reading: u64,
        now: Moment,
        ceiling: Watts,
        power_mw: impl FnOnce() -> Option<u32>,
    ) -> u64 {
        if !self.is_resting && reading != self.reading {
            *self = Self::starting(reading, now);
            return reading;
        }
        // Before the first look at it the power may have been nothing.
        let rest = self.rest.get_or_insert_with(|| Trapezoid::starting(0, self.since, ceiling));
        if let Some(power_mw) = power_mw() {
            rest.observe(1000 * u64::from(power_mw), now);
        }
        let passed = rest.integral().energy;
        self.is_resting |= now.since(self.since) >= RESTS && passed >= RESTS_LEAST;
        let passed = if self.is_resting { passed.as_microjoules() / 1000 } else { 0 };
        self.reading.saturating_add(passed)
    }
}

impl Nvml {
    /// Loads the library and looks at every GPU.
    pub fn discover(library: &Path, clock: Clock) -> (Availability, Option<Self>) {
        let library = match Library::load(library) {
            Ok(library) => library,
            Err(why) => return (why, None),
        };
        let count = match library.count() {
            Ok(count) => count,
            Err(code) => return (refusal("counting GPUs", code), None),
        };
        let mut found = Self {
            listings: Vec::new(),
            domains: Vec::new(),
            gpus: Vec::new(),
            excluded: Vec::new(),
            clock,
            library,
        };
        let mut worst = None;
        for index in 0..count {
            if let Err(why) = found.add(index) {
                worst.get_or_insert(why);
            }
        }
        if found.gpus.is_empty() {
            let none = || Availability::Absent("the NVIDIA driver shows no GPU".to_owned());
            return (worst.unwrap_or_else(none), None);
        }
        (Availability::Present, Some(found))
    }

    fn add(&mut self, index: u32) -> Result<(), Availability> {
        let name = format!("gpu-{index}");
        let mut fails = |code: Code| {
            let reason = match code {
                Code::NO_PERMISSION => Exclusion::Denied,
                _ => Exclusion::Unreadable,
            };
            self.excluded.push(Excluded { name: name.clone(), id: "nvml".to_owned(), reason });
            refusal(&name, code)
        };
        let device = self.library.device(index).map_err(&mut fails)?;
        let uuid = self.library.uuid(device).map_err(&mut fails)?;
        let limit_mw = self.library.power_limit_mw(device).ok().filter(|&mw| mw > 0);
        let listing = |is_integrated| Listing { index, uuid, is_integrated, limit_mw };
        let (source, listing) = match self.library.total_energy_mj(device) {
            Ok(first) => {
                (Source::Counter(Counting::starting(first, (self.clock)())), listing(false))
            }
            Err(Code::NO_PERMISSION) => return Err(fails(Code::NO_PERMISSION)),
            Err(_) => {
                let power = self.library.power_mw(device).map_err(&mut fails)?;
                let listing = listing(true);
                let ceiling = listing.domain().ceiling;
                let first = Trapezoid::starting(1000 * u64::from(power), (self.clock)(), ceiling);
                (Source::Power(first), listing)
            }
        };
        self.gpus.push(Gpu { device, source, sampled: 0 });
        self.domains.push(listing.domain());
        self.listings.push(listing);
        Ok(())
    }

    /// GPUs that are there and tell no energy.
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// How busy a GPU is, by its place in [`Backend::domains`], and its memory.
    pub fn load(&self, index: usize) -> GpuLoad {
        let Some(gpu) = self.gpus.get(index) else { return GpuLoad::default() };
        let memory = self.library.memory(gpu.device).ok();
        GpuLoad {
            utilisation_percent: self.library.utilization(gpu.device).ok().map(|load| load.gpu),
            memory_used_bytes: memory.map(|memory| memory.used),
            memory_total_bytes: memory.map(|memory| memory.total),
        }
    }

    /// The processes that hold a compute context on a GPU, by its place in [`Backend::domains`], whether
    /// they use it or not. The numbers are those of the host's PID namespace.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    pub fn holders(&self, index: usize) -> Result<Vec<u32>, ReadFault> {
        let gpu = self.gpus.get(index).ok_or(ReadFault::Gone)?;
        self.library.compute_processes(gpu.device).map_err(Code::fault)
    }

    /// The processes on a GPU, by its place in [`Backend::domains`], with their shares since the last
    /// call; the first call looks as far back as the driver remembers. A process that used nothing
    /// is not among those with a share. The numbers are those of the host's PID namespace.
    ///
    /// # Errors
    /// By what to do next; see [`ReadFault`].
    pub fn processes(&mut self, index: usize) -> Result<Vec<(u32, Share)>, ReadFault> {
        let gpu = self.gpus.get_mut(index).ok_or(ReadFault::Gone)?;
        let samples = match self.library.process_utilization(gpu.device, gpu.sampled) {
            Ok(samples) => samples,
            // Nothing was sampled since: nobody used it.
            Err(Code::NOT_FOUND) => return Ok(Vec::new()),
            Err(Code::NOT_SUPPORTED | Code::FUNCTION_NOT_FOUND) => {
                let pids = self.library.compute_processes(gpu.device).map_err(Code::fault)?;
                return Ok(pids.into_iter().map(|pid| (pid, Share::Unknown)).collect());
            }
            Err(code) => return Err(code.fault()),
        };
        let mut shares: Vec<(u32, f64, f64)> = Vec::new();
        // The driver may repeat what it has told before.
        for sample in samples.iter().filter(|sample| sample.timestamp > gpu.sampled) {
            // Percent; some drivers show nonsense above 100 for a process that has just ended.
            let used = f64::from(sample.sm.min(100)) / 100.0;
            match shares.iter_mut().find(|(pid, ..)| *pid == sample.pid) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + used, *count + 1.0),
                None => shares.push((sample.pid, used, 1.0)),
            }
        }
        let last = samples.iter().map(|sample| sample.timestamp).max();
        gpu.sampled = gpu.sampled.max(last.unwrap_or(0));
        Ok(shares.into_iter().map(|(pid, sum, n)| (pid, Share::OfTime(sum / n))).collect())
    }
}

impl fmt::Debug for Nvml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nvml").field("domains", &self.domains).finish_non_exhaustive()
    }
}

impl Driver for Nvml {
    fn gpus(&self) -> &[Domain] {
        &self.domains
    }

    fn left_out(&self) -> &[Excluded] {
        &self.excluded
    }

    fn look(&mut self, want: Want, _within: Duration) -> Option<Vec<Look>> {
        let gpus = 0..self.gpus.len();
        let look = |index| {
            let from = (self.clock)();
            let reading = self.read(index);
            let at = (self.clock)();
            let users = (want == Want::All).then(|| Users {
                holders: self.holders(index),
                shares: self.processes(index),
                load: self.load(index),
            });
            Look { reading, from, at, integral: self.integral(index), users }
        };
        Some(gpus.map(look).collect())
    }

    fn is_late(&self) -> bool {
        false
    }
}

impl Backend for Nvml {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn integral(&self, index: usize) -> Option<Integral> {
        match &self.gpus.get(index)?.source {
            Source::Counter(counting) if !counting.is_resting => None,
            Source::Counter(counting) => counting.rest.as_ref().map(Trapezoid::integral),
            Source::Power(trapezoid) => Some(trapezoid.integral()),
        }
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        let gpu = self.gpus.get_mut(index).ok_or(ReadFault::Gone)?;
        match &mut gpu.source {
            Source::Counter(counting) => {
                let reading = self.library.total_energy_mj(gpu.device).map_err(Code::fault)?;
                let power = || self.library.power_mw(gpu.device).ok();
                let ceiling = self.domains.get(index).map_or(Kind::Gpu.ceiling(), |it| it.ceiling);
                Ok(counting.energy(reading, (self.clock)(), ceiling, power))
            }
            Source::Power(trapezoid) => {
                let power = self.library.power_mw(gpu.device).map_err(Code::fault)?;
                trapezoid.observe(1000 * u64::from(power), (self.clock)());
                Ok(trapezoid.integral().energy.as_microjoules())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 W while the counter stands still: its energy is that of the power, since it was last seen to move.
    #[test]
    fn a_counter_that_rests_beside_power_is_not_believed() {
        let ceiling = Watts::new(1000.0).unwrap();
        let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
        let mut counting = Counting::starting(5000, at(0));
        let mut look = |reading, ms, mw| counting.energy(reading, at(ms), ceiling, || Some(mw));
        // Between two steps, and at rest.
        assert_eq!(look(5000, 50, 60_000), 5000);
        assert_eq!(look(5006, 100, 60_000), 5006);
        assert_eq!(look(5006, 400, 60_000), 5006);
        // 150 ms of unknown power, and 60 W from then on: 9 + 13.2 J.
        assert_eq!(look(5006, 620, 60_000), 5006 + 9_000 + 13_200);
        assert_eq!(look(5006, 1620, 60_000), 5006 + 9_000 + 73_200);
        // It is not believed again, as what it brings then was counted.
        assert_eq!(look(95_000, 1720, 60_000), 5006 + 9_000 + 79_200);
        let mut idle = Counting::starting(7, at(0));
        for ms in 1..100 {
            assert_eq!(idle.energy(7, at(100 * ms), ceiling, || Some(90)), 7, "0.9 J in 10 s");
            assert_eq!(idle.energy(7, at(100 * ms), ceiling, || None), 7);
        }
    }
}
