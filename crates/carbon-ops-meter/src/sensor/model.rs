//! Power of a machine without counters, from what it says of its processor: an estimate, and how
//! far published models disagree about it.
//!
//! # Models
//!
//! With `u` the utilisation, `n` the CPUs that the kernel shows, and TDP the part of the chip's
//! thermal design power that belongs to them:
//!
//! | name | power of the processor | source |
//! |---|---|---|
//! | `ccf_linear` | n · (min + u · (max − min)) | Cloud Carbon Footprint coefficients by family |
//! | `tdp_linear` | TDP · u | Alumet's and CodeCarbon's process mode |
//! | `tdp_cubic` | TDP · (0.1 + 0.9 u³) | CodeCarbon 3.3, machine mode |
//! | `tdp_power` | TDP · (0.2 + 0.8 u^0.8) | carbon-ops 0.1.1 |
//! | `teads` | TDP · (0.12, 0.32, 0.75, 1.02 at u = 0, 0.1, 0.5, 1) | Teads' EC2 power profiles |
//!
//! At half load they differ by a factor of about 4.5. None of them is measured on this machine, so
//! the estimate is their mean, and their range is taken as an interval of 95 %: see
//! [`Modelled::cv`]. Where only the family is known, the least TDP per thread of the family widens
//! the range; large parts, which clouds buy, lie between it and the median.
//!
//! Out of scope: which processor it is, and GPUs, disks, fans and power supplies, which no
//! model here sees.

use std::num::NonZeroU32;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::attribution::{CpuUse, Idle, split};
use crate::host_root::HostRoot;
use crate::proc::Memory;

use super::processor::{CpuInfo, Family, clean, listed_tdp};

/// Version of the tables and curves; raised whenever they change.
pub const TABLE: &str = "cpu-v1";

/// Memory at rest: Cloud Carbon Footprint's 0.000392 kWh per GB and hour.
const MEMORY_W_PER_GB: f64 = 0.392;

/// Memory per thread of a machine that does not tell its own: what clouds' general-purpose machines have
/// (AWS M7i, Azure Dv5, Google N2 standard). A prior.
const UNKNOWN_MEMORY_BYTES_PER_THREAD: u64 = 4 << 30;

/// TDP per thread of a processor that nobody knows: CodeCarbon's fallback.
const UNKNOWN_TDP_W_PER_THREAD: f64 = 4.0;

/// Half the width of a 95 % interval in standard deviations.
const HALF_WIDTH_95: f64 = 1.96;

/// The models share assumptions, so that their agreement proves little. Against power meters a model
/// of this kind was up to 40 % off (Fischer, arXiv 2509.22092), taken as two standard deviations.
const CV_MIN: f64 = 0.2;

/// What a user knows better than the tables.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overrides {
    /// Design power of the processor (`CPU_TDP_WATTS`).
    pub tdp: Option<Tdp>,
    /// Idle power of what is measured (`IDLE_BASELINE_WATTS`).
    pub idle: Option<Watts>,
}

/// A thermal design power, as somebody states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tdp {
    /// Of one processor of so many threads, or of all CPUs of the machine.
    pub watts: Watts,
    /// Hardware threads of that processor.
    pub threads: Option<NonZeroU32>,
}

/// No processor of this century has a design power of more for a hardware thread, but for a few whose threads are
/// cores; who has one says how many it has.
const STATED_W_PER_THREAD_MAX: f64 = 20.0;

/// The same where the threads are stated: a Pentium D has 65 W for each.
const W_PER_THREAD_MAX: f64 = 65.0;

/// A design power that no such processor has, most likely since that of a whole one was stated for a part of it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "a design power of {tdp} W for {threads} hardware threads is {} W for each, more than any such processor has",
    tdp / f64::from(*threads)
)]
pub struct Implausible {
    tdp: f64,
    threads: u32,
}

/// The power model of one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerModel {
    /// The processor as it names itself; empty when it does not.
    pub cpu: String,
    /// Microarchitecture, when it could be told.
    pub family: Option<String>,
    /// CPUs that the kernel shows.
    pub vcpus: u32,
    /// Where the TDP comes from.
    pub tdp_basis: TdpBasis,
    implausible: Option<Implausible>,
    /// Whether this is a guest.
    pub virtual_machine: bool,
    /// Thermal design power of the CPUs that the kernel shows.
    pub tdp: Watts,
    /// The least that it may be, where only the family is known.
    tdp_least: Watts,
    /// Per CPU, idle and full.
    linear: (Watts, Watts),
    /// Memory in bytes, or what is taken for it.
    pub memory_bytes: u64,
    /// Whether the machine told how much memory it has.
    pub memory_is_known: bool,
    idle: Option<Watts>,
}

/// How well the TDP is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TdpBasis {
    /// Given by the user.
    Given,
    /// Of this processor, by its name.
    Name,
    /// Median of its family.
    Family,
    /// Of no processor in particular.
    Unknown,
}

impl TdpBasis {
    /// The word that stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Name => "name",
            Self::Family => "family",
            Self::Unknown => "unknown",
        }
    }

    /// What a word of records means, for people.
    pub fn words(word: &str) -> &'static str {
        match word {
            "given" => "as stated",
            "name" => "by the processor's name",
            "family" => "the median of its family",
            _ => "4 W a CPU, of no processor in particular",
        }
    }
}

impl Tdp {
    /// Of the CPUs of this machine, and whether that can be believed.
    fn shown(self, info: &CpuInfo) -> (f64, Option<Implausible>) {
        let tdp = self.watts.as_watts();
        let (shown, threads, most) = match self.threads {
            // Whoever states the threads of one processor states what a thread has.
            Some(threads) => {
                let chips = info.chips(Some(threads.get())).unwrap_or(1.0);
                (tdp * chips, threads.get(), W_PER_THREAD_MAX)
            }
            None => (tdp, info.vcpus, STATED_W_PER_THREAD_MAX),
        };
        let is_implausible = tdp > most * f64::from(threads);
        (shown, is_implausible.then_some(Implausible { tdp, threads }))
    }
}

/// A modelled window.
#[derive(Debug, Clone, PartialEq)]
pub struct Modelled {
    /// Energy of the processor: mean over the models.
    pub cpu: Microjoules,
    /// Energy of the memory.
    pub memory: Microjoules,
    /// Idle power of both.
    pub idle: Watts,
    /// Each model's figures.
    pub estimates: Vec<ModelEstimate>,
    /// Coefficient of variation of the workload's energy: that of a lognormal of which the range
    /// of the models is the central 95 %.
    pub cv: f64,
    /// The same of the host's energy.
    pub host_cv: f64,
}

/// One model's figures for a window.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEstimate {
    /// Name of the model, see the table in this module's documentation.
    pub name: &'static str,
    /// Energy of the processor.
    pub cpu: Microjoules,
    /// The workload's part.
    pub workload: Microjoules,
}

impl PowerModel {
    /// Looks at `/proc/cpuinfo` and `/proc/meminfo`. Never fails: what cannot be told is unknown.
    pub fn identify(host: &HostRoot, overrides: Overrides) -> Self {
        Self::of(&CpuInfo::read(host), Memory::read(host).total_bytes, overrides)
    }

    fn of(info: &CpuInfo, memory_bytes: Option<u64>, overrides: Overrides) -> Self {
        let name = clean(&info.name);
        let family = info.family(&name);
        let row = Family::find(family.unwrap_or("average"));
        let n = f64::from(info.vcpus);
        let unknown = n * UNKNOWN_TDP_W_PER_THREAD;
        let listed = listed_tdp(&name);
        let of_chips = listed.and_then(|(tdp, threads)| Some(tdp * info.chips(threads)?));
        // A guest is no more than one chip, whose threads are not known.
        let at_most = listed.map(|(tdp, _)| tdp).filter(|&tdp| tdp <= unknown);
        let of_family = row.tdp_per_thread.map(|(least, median)| (n * median, n * least));
        let (tdp, least, tdp_basis) = match (of_chips.or(at_most), of_family) {
            (Some(tdp), _) if of_chips.is_some() || of_family.is_none() => {
                (tdp, tdp, TdpBasis::Name)
            }
            (_, Some((median, least))) => (median, least, TdpBasis::Family),
            _ => (unknown, unknown, TdpBasis::Unknown),
        };
        let stated = overrides.tdp.map(|tdp| tdp.shown(info));
        let (tdp, least, tdp_basis) = match stated {
            Some((given, _)) => (given, given, TdpBasis::Given),
            None => (tdp, least, tdp_basis),
        };
        let average = Family::find("average").linear.unwrap_or((0.74, 3.5));
        let (low, high) = row.linear.unwrap_or(average);
        Self {
            cpu: info.name.clone(),
            family: family.map(str::to_owned),
            vcpus: info.vcpus,
            tdp_basis,
            implausible: stated.and_then(|(_, implausible)| implausible),
            virtual_machine: info.virtual_machine,
            tdp: watts(tdp),
            tdp_least: watts(least),
            linear: (watts(low), watts(high)),
            memory_bytes: memory_bytes
                .unwrap_or(u64::from(info.vcpus) * UNKNOWN_MEMORY_BYTES_PER_THREAD),
            memory_is_known: memory_bytes.is_some(),
            idle: overrides.idle,
        }
    }

    /// Whether a stated design power can be believed.
    ///
    /// # Errors
    /// [`Implausible`].
    pub fn check(&self) -> Result<(), Implausible> {
        self.implausible.map_or(Ok(()), Err)
    }

    /// What it takes for the processor, and why.
    pub fn basis(&self) -> String {
        let name = if self.cpu.is_empty() { "a processor without a name" } else { &self.cpu };
        let family = self.family.as_deref().unwrap_or("no known family");
        let (tdp, basis) = (self.tdp.as_watts(), TdpBasis::words(self.tdp_basis.as_str()));
        format!("{name} ({family}); TDP of {} CPUs {tdp:.1} W, {basis}", self.vcpus)
    }

    /// Whether the processor's power is known by data, not by the name of its family, and how much memory there is.
    pub fn is_known(&self) -> bool {
        self.memory_is_known && self.tdp_basis != TdpBasis::Unknown
    }

    /// Idle power of the processor, and of the memory if that is measured too: as given, else the
    /// mean of the models.
    pub fn idle_power(&self, with_memory: bool) -> Watts {
        let memory = if with_memory { self.memory_power() } else { Watts::ZERO };
        self.idle.unwrap_or(mean(&self.curves(self.tdp), 0.0) + memory)
    }

    /// What its memory draws at rest.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no sixteenth digit")]
    pub fn memory_power(&self) -> Watts {
        watts(MEMORY_W_PER_GB * self.memory_bytes as f64 / 1e9)
    }

    /// Whether the idle power was given by the user.
    pub fn idle_is_given(&self) -> bool {
        self.idle.is_some()
    }

    /// Power of the processor at utilisation `u` of 0 to 1, by each model.
    pub fn powers(&self, u: f64) -> Vec<(&'static str, Watts)> {
        self.curves(self.tdp).iter().map(|curve| (curve.name, curve.power(u))).collect()
    }

    /// Energy of a window in which the CPUs were used as given.
    pub fn run(&self, elapsed: Duration, cpu: CpuUse) -> Modelled {
        let u = cpu.utilisation();
        let curves = self.curves(self.tdp);
        let mut estimates: Vec<_> = curves.iter().map(|c| c.run(elapsed, cpu)).collect();
        if self.tdp_least < self.tdp {
            let least = self.curves(self.tdp_least);
            let of_tdp = least.iter().filter(|curve| curve.name != "ccf_linear");
            estimates.extend(of_tdp.map(|curve| ModelEstimate {
                name: curve.name_at_least(),
                ..curve.run(elapsed, cpu)
            }));
        }
        Modelled {
            cpu: mean(&curves, u).over(elapsed),
            memory: self.memory_power().over(elapsed),
            idle: self.idle_power(true),
            cv: spread(&estimates, |estimate| estimate.workload),
            host_cv: spread(&estimates, |estimate| estimate.cpu),
            estimates,
        }
    }

    fn curves(&self, tdp: Watts) -> [Curve; 5] {
        let n = f64::from(self.vcpus);
        let (low, high) = (self.linear.0 * n, self.linear.1 * n);
        let span = (high.as_watts() - low.as_watts()).max(0.0);
        let of = |name, scale, shape| Curve { name, base: Watts::ZERO, scale, shape };
        [
            Curve { name: "ccf_linear", base: low, scale: watts(span), shape: |u| u },
            of("tdp_linear", tdp, |u| u),
            of("tdp_cubic", tdp, |u| 0.1 + 0.9 * u * u * u),
            of("tdp_power", tdp, |u| 0.2 + 0.8 * u.powf(0.8)),
            of("teads", tdp, teads),
        ]
    }
}

/// `base + scale · shape(u)`.
struct Curve {
    name: &'static str,
    base: Watts,
    scale: Watts,
    shape: fn(f64) -> f64,
}

impl Curve {
    fn power(&self, u: f64) -> Watts {
        self.base + self.scale * (self.shape)(u)
    }

    fn run(&self, elapsed: Duration, cpu: CpuUse) -> ModelEstimate {
        let energy = self.power(cpu.utilisation()).over(elapsed);
        // A model's own idle power is exact by definition.
        let idle = Idle { power: self.power(0.0), cv: 0.0 };
        let workload = split(energy, idle, elapsed, cpu, None).shares.workload;
        ModelEstimate { name: self.name, cpu: energy, workload }
    }

    fn name_at_least(&self) -> &'static str {
        match self.name {
            "tdp_linear" => "tdp_linear_least",
            "tdp_cubic" => "tdp_cubic_least",
            "tdp_power" => "tdp_power_least",
            "teads" => "teads_least",
            other => other,
        }
    }
}

/// Teads' profile, linear between its four points.
fn teads(u: f64) -> f64 {
    let between = |(u0, p0): (f64, f64), (u1, p1)| p0 + (p1 - p0) * (u - u0) / (u1 - u0);
    match u {
        u if u <= 0.1 => between((0.0, 0.12), (0.1, 0.32)),
        u if u <= 0.5 => between((0.1, 0.32), (0.5, 0.75)),
        _ => between((0.5, 0.75), (1.0, 1.02)),
    }
}

fn mean(curves: &[Curve], u: f64) -> Watts {
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let share = 1.0 / curves.len().max(1) as f64;
    curves.iter().fold(Watts::ZERO, |sum, curve| sum + curve.power(u) * share)
}

fn spread(estimates: &[ModelEstimate], of: fn(&ModelEstimate) -> Microjoules) -> f64 {
    let energies = || estimates.iter().map(|e| of(e).as_joules()).filter(|&e| e > 0.0);
    let (low, high) = (energies().fold(f64::MAX, f64::min), energies().fold(0.0, f64::max));
    if low >= high {
        return CV_MIN;
    }
    let s = (high / low).ln() / (2.0 * HALF_WIDTH_95);
    (s * s).exp_m1().sqrt().max(CV_MIN)
}

#[expect(
    clippy::expect_used,
    reason = "the tables hold powers, and a machine some threads and bytes"
)]
fn watts(w: f64) -> Watts {
    Watts::new(w).expect("a power")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(vendor: &str, ids: [u32; 3], name: &str, vcpus: u32, virtual_machine: bool) -> CpuInfo {
        CpuInfo {
            vendor: vendor.into(),
            cpu_family: Some(ids[0]),
            model: Some(ids[1]),
            stepping: Some(ids[2]),
            name: name.into(),
            vcpus,
            packages: 1,
            virtual_machine,
            ..CpuInfo::default()
        }
    }

    fn model(info: &CpuInfo) -> PowerModel {
        PowerModel::of(info, Some(8_000_000_000), Overrides::default())
    }

    fn given(w: f64) -> Tdp {
        Tdp { watts: watts(w), threads: None }
    }

    fn at(watts: Watts, expected: f64) {
        assert!((watts.as_watts() - expected).abs() < 0.01, "{watts:?} is not {expected} W");
    }

    #[test]
    fn a_guest_with_a_named_chip_gets_its_threads_share_of_the_tdp() {
        let name = "AMD EPYC 7763 64-Core Processor"; // 280 W, 128 threads.
        let model = model(&info("AuthenticAMD", [25, 1, 1], name, 4, true));
        assert_eq!(model.family.as_deref(), Some("EPYC 3rd Gen"));
        assert_eq!(model.tdp_basis, TdpBasis::Name);
        at(model.tdp, 8.75);
    }

    #[test]
    fn a_laptop_gets_the_whole_tdp() {
        let name = "Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz";
        let model = model(&info("GenuineIntel", [6, 142, 10], name, 8, false));
        assert_eq!(model.tdp_basis, TdpBasis::Name);
        at(model.tdp, 15.0);
    }

    /// EPYC 7763: 280 W, 128 threads. What a container shows of it is a part, whoever shows it.
    #[test]
    fn cpus_of_a_part_of_a_chip_have_that_part_of_its_power() {
        let name = "AMD EPYC 7763 64-Core Processor";
        for (vcpus, packages, siblings, expected) in [
            (4, 1, None, 8.75),
            (4, 1, Some(128), 8.75),
            (128, 1, Some(128), 280.0),
            (256, 2, Some(128), 560.0),
            (16, 2, Some(128), 35.0),
            // Threads are turned off, and all cores are there.
            (64, 1, Some(64), 280.0),
        ] {
            let container = CpuInfo {
                packages,
                siblings,
                ..info("AuthenticAMD", [25, 1, 1], name, vcpus, false)
            };
            at(model(&container).tdp, expected);
        }
        // A guest whose chip's threads the table lacks has its power where the CPUs can make it up.
        let wsl =
            info("GenuineIntel", [6, 140, 1], "Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 8, true);
        let wsl = model(&wsl);
        assert_eq!(wsl.tdp_basis, TdpBasis::Name);
        at(wsl.tdp, 28.0);
    }

    #[test]
    fn a_stated_power_is_that_of_these_cpus_or_is_refused() {
        let stated = |watts: f64, threads: u32, info: &CpuInfo| {
            let tdp = Tdp { watts: super::watts(watts), threads: NonZeroU32::new(threads) };
            PowerModel::of(info, None, Overrides { tdp: Some(tdp), idle: None })
        };
        let guest = info("GenuineIntel", [6, 143, 1], "Intel(R) Xeon(R)", 2, true);
        let of_chip = stated(350.0, 96, &guest);
        assert!(of_chip.check().is_ok());
        at(of_chip.tdp, 350.0 * 2.0 / 96.0);
        at(stated(8.0, 0, &guest).tdp, 8.0);
        for watts in [350.0, 41.0] {
            let refused = stated(watts, 0, &guest).check().unwrap_err().to_string();
            assert!(refused.contains("2 hardware threads"), "{refused}");
        }
        assert!(stated(40.0, 0, &guest).check().is_ok());
        assert!(stated(350.0, 2, &guest).check().is_err());
        // Two chips of 91 W with four threads each, as their owner knows.
        let own = CpuInfo { packages: 2, siblings: Some(4), ..guest };
        let own = CpuInfo { vcpus: 8, virtual_machine: false, ..own };
        assert!(stated(182.0, 0, &own).check().is_err());
        at(stated(91.0, 4, &own).tdp, 182.0);
        assert!(stated(91.0, 4, &own).check().is_ok());
    }

    #[test]
    fn a_guest_that_masks_its_name_is_known_by_its_numbers() {
        let genoa = model(&info("AuthenticAMD", [25, 17, 1], "AMD EPYC", 2, true));
        assert_eq!(genoa.family.as_deref(), Some("EPYC 4th Gen"));
        assert_eq!(genoa.tdp_basis, TdpBasis::Family);
        assert!(genoa.is_known());
        let cloud = "Intel(R) Xeon(R) CPU @ 2.20GHz";
        let broadwell = model(&info("GenuineIntel", [6, 79, 0], cloud, 2, true));
        assert_eq!(broadwell.family.as_deref(), Some("Broadwell"));
    }

    /// Of many families the tables have nothing but the name.
    #[test]
    fn a_processor_is_known_by_data_and_not_by_the_name_of_its_family() {
        let rocket_lake = model(&info("GenuineIntel", [6, 167, 1], "Intel(R) Xeon(R)", 2, true));
        assert_eq!(rocket_lake.family.as_deref(), Some("Rocket Lake"));
        assert!(!rocket_lake.is_known(), "4 W per thread are of no processor in particular");
    }

    #[test]
    fn an_unknown_processor_is_said_to_be_unknown_and_draws_power() {
        let model = model(&info("", [0, 0, 0], "", 2, true));
        assert!(!model.is_known());
        at(model.tdp, 8.0);
        assert!(model.idle_power(false) > Watts::ZERO);
    }

    #[test]
    fn memory_of_unknown_size_draws_power_and_makes_the_model_a_stand_in() {
        let name = "AMD EPYC 7763 64-Core Processor";
        let info = info("AuthenticAMD", [25, 1, 1], name, 4, true);
        let [told, not] = [Some(8_000_000_000), None]
            .map(|bytes| PowerModel::of(&info, bytes, Overrides::default()));
        assert!(told.is_known() && !not.is_known());
        assert_eq!(not.memory_bytes, 16 << 30);
        let second = Duration::from_secs(1);
        let cpu = CpuUse { workload: second, busy: second, capacity: 4 * second };
        // 0.392 W/GB, of 17.18 GB.
        at(not.run(Duration::from_secs(1), cpu).memory.over(Duration::from_secs(1)).unwrap(), 6.73);
    }

    #[test]
    fn the_given_tdp_wins() {
        let given = Overrides { tdp: Some(given(123.0)), idle: Some(watts(7.0)) };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 2, true), Some(8_000_000_000), given);
        at(model.tdp, 123.0);
        at(model.idle_power(true), 7.0);
    }

    #[test]
    fn published_models_give_their_published_powers() {
        // TDP 100 W at half load: 21.25 W, 50 W and 66 W in the sources; Teads 0.75 × TDP.
        let given = Overrides { tdp: Some(given(100.0)), idle: None };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 4, false), Some(8_000_000_000), given);
        let powers: Vec<_> = model.powers(0.5).into_iter().map(|(_, power)| power).collect();
        for (power, expected) in powers.iter().zip([8.48, 50.0, 21.25, 65.947, 75.0]) {
            at(*power, expected);
        }
    }

    #[test]
    fn disagreement_becomes_an_interval() {
        let given = Overrides { tdp: Some(given(100.0)), idle: None };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 2, false), Some(8_000_000_000), given);
        let second = Duration::from_secs(1);
        let cpu = CpuUse { workload: second, busy: second, capacity: 2 * second };
        let run = model.run(second, cpu);
        let of = |name| run.estimates.iter().find(|e| e.name == name).unwrap().workload.as_joules();
        assert!((of("tdp_cubic") - 11.25).abs() < 1e-3);
        assert!((of("teads") - 63.0).abs() < 1e-3);
        // ln(63 / 2.76) / 3.92 = 0.798; the least is Cloud Carbon Footprint's 2 × 1.38 W.
        assert!((run.cv - 0.943).abs() < 0.01, "{}", run.cv);
    }
}
