//! Power of a machine without counters, from what it says of its processor: an estimate by published measurements, and
//! how far those scatter.
//!
//! With `u` the utilisation and TDP the part of the chip's thermal design power that belongs to the CPUs that the kernel
//! shows, the processor draws
//!
//! ```text
//! P(u) = TDP · (rest + active(u))
//! ```
//!
//! `rest` and `active` are means of what was measured on machines of that kind, and their spread is the scatter of the
//! same machines; see `Shape` and `data/sources/power-curves.csv`. What was published without a measurement behind it
//! is no part of it. Where only the family is known, the TDP has a spread too.
//!
//! Out of scope: which processor it is, and GPUs, disks, fans and power supplies, which no
//! model here sees.

use std::num::NonZeroU32;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::attribution::{CpuUse, Idle};
use crate::host_root::HostRoot;
use crate::proc::Memory;

use super::processor::{CpuInfo, clean, is_client, listed_tdp, of_family};

/// Version of the tables and curves; raised whenever they change.
pub const TABLE: &str = "cpu-v2";

/// Published curves that set `SERVER` and `CLIENT`; others hold them to account.
pub const CURVES: usize = 32;

/// Power of a kind of processors in parts of their TDP. The spread is the scatter over machines and what a mean of so few
/// is off by: a coefficient of variation.
#[derive(Debug, PartialEq)]
struct Shape {
    /// Of the processor at rest, and its spread.
    rest: (f64, f64),
    /// By load: what is drawn above rest, and its spread.
    active: &'static [(f64, f64, f64)],
}

/// At rest by registers, in parts of the TDP: Xeon E5-2620 v3 0.08 (codecarbon), Platinum 8275CL 0.12 (Teads), Altra
/// about 0.16, EPYC 7742 0.29 and 7763 0.36 (`AnandTech`, "AMD EPYC Milan Review").
const SERVER: Shape = Shape {
    rest: (0.20, 0.58),
    active: &[
        (0.1, 0.133, 0.537),
        (0.2, 0.192, 0.453),
        (0.3, 0.249, 0.424),
        (0.4, 0.314, 0.401),
        (0.5, 0.385, 0.400),
        (0.6, 0.456, 0.366),
        (0.7, 0.536, 0.329),
        (0.8, 0.637, 0.297),
        (0.9, 0.746, 0.298),
        (1.0, 0.783, 0.267),
    ],
};

/// One figure was published of a desktop's processor at rest, 2.4 W of 69 (Xeon E3-1240 v2, codecarbon). A prior.
const CLIENT: Shape = Shape {
    rest: (0.05, 1.0),
    active: &[(0.125, 0.517, 0.559), (0.25, 0.698, 0.390), (1.0, 0.904, 0.390)],
};

/// Memory at rest: mean of Cloud Carbon Footprint's 0.392 W/GB, Teads' 219 W of 1,152 GB, measured, and `CodeCarbon`'s
/// 5 W for a module of 32 GB.
const MEMORY_W_PER_GB: f64 = 0.25;

/// How far these three scatter.
const MEMORY_CV: f64 = 0.5;

/// An idle power that someone measured. A prior.
const IDLE_GIVEN_CV: f64 = 0.1;

/// Memory per thread of a machine that does not tell its own: what clouds' general-purpose machines have
/// (AWS M7i, Azure Dv5, Google N2 standard). A prior.
const UNKNOWN_MEMORY_BYTES_PER_THREAD: u64 = 4 << 30;

/// TDP per thread of a processor that nobody knows: CodeCarbon's fallback.
const UNKNOWN_TDP_W_PER_THREAD: f64 = 4.0;

/// Half the width of a 95 % interval in standard deviations.
const HALF_WIDTH_95: f64 = 1.96;

/// How far the TDP per thread of one processor is from that of another: standard deviation of its logarithm over those
/// of `cpu-tdp.csv` whose threads are known.
const UNKNOWN_TDP_SD: f64 = 0.71;

/// The same of a family, where few parts tell of it. A prior.
const FAMILY_TDP_SD_MIN: f64 = 0.2;

/// No model is surer: against power meters one of this kind was up to 40 % off (Fischer, arXiv 2509.22092), taken as
/// two standard deviations.
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
    /// What is not known of it: standard deviation of its logarithm.
    tdp_sd: f64,
    shape: &'static Shape,
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
    /// Of its family: between the least and the median of its parts.
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
            "family" => "by its family",
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
    /// Energy of the processor.
    pub cpu: Microjoules,
    /// Energy of the memory.
    pub memory: Microjoules,
    /// Idle power of both.
    pub idle: Watts,
    /// The mean, and the ends of the interval that has 95 % of a lognormal with the coefficients of variation below.
    pub estimates: Vec<ModelEstimate>,
    /// Coefficient of variation of the workload's energy.
    pub cv: f64,
    /// The same of the host's energy.
    pub host_cv: f64,
}

/// Figures for a window.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEstimate {
    /// `low`, `mean` or `high`.
    pub name: &'static str,
    /// Energy of the processor.
    pub cpu: Microjoules,
    /// The workload's part.
    pub workload: Microjoules,
}

impl Shape {
    /// What is drawn above rest at a load of 0 to 1 of so many CPUs, and its spread.
    fn active(&self, load: f64, cpus: f64) -> (f64, f64) {
        // Less than one busy CPU is one for a part of the time.
        let busy = load.max(1.0 / cpus).min(1.0);
        let (part, cv) = self.at(busy);
        (part * load / busy, cv)
    }

    fn at(&self, load: f64) -> (f64, f64) {
        let [first, second, ..] = self.active else { return (load, 1.0) };
        if load < first.0 {
            // Below the least load that was measured: between a straight line to nothing and the bend of the first two.
            let bend = (second.1 / first.1).ln() / (second.0 / first.0).ln();
            let straight = load / first.0;
            let bent = straight.powf(bend);
            let sd = (bent / straight).ln() / (2.0 * HALF_WIDTH_95);
            return (first.1 * (straight * bent).sqrt(), joined(first.2, sd));
        }
        let above = self.active.windows(2).find_map(|pair| match pair {
            [low, high] if load <= high.0 => {
                let way = (load - low.0) / (high.0 - low.0);
                Some((low.1 + way * (high.1 - low.1), low.2 + way * (high.2 - low.2)))
            }
            _ => None,
        });
        above.unwrap_or((second.1, second.2))
    }
}

/// A coefficient of variation of a lognormal with another one's standard deviation of the logarithm.
fn joined(cv: f64, sd: f64) -> f64 {
    (variance(cv) + sd * sd).exp_m1().sqrt()
}

/// Variance of the logarithm of a lognormal with this coefficient of variation.
fn variance(cv: f64) -> f64 {
    (cv * cv).ln_1p()
}

impl PowerModel {
    /// Looks at `/proc/cpuinfo` and `/proc/meminfo`. Never fails: what cannot be told is unknown.
    pub fn identify(host: &HostRoot, overrides: Overrides) -> Self {
        Self::of(&CpuInfo::read(host), Memory::read(host).total_bytes, overrides)
    }

    fn of(info: &CpuInfo, memory_bytes: Option<u64>, overrides: Overrides) -> Self {
        let name = clean(&info.name);
        let family = info.family(&name);
        let n = f64::from(info.vcpus);
        let unknown = n * UNKNOWN_TDP_W_PER_THREAD;
        let listed = listed_tdp(&name);
        let of_chips = listed.and_then(|(tdp, threads)| Some(tdp * info.chips(threads)?));
        // A guest is no more than one chip, whose threads are not known.
        let at_most = listed.map(|(tdp, _)| tdp).filter(|&tdp| tdp <= unknown);
        // Clouds buy parts of many threads: the least and the median are a standard deviation from the middle.
        let of_family = family.and_then(of_family).map(|(least, median)| {
            let sd = (median / least).ln() / 2.0;
            (n * (least * median).sqrt(), sd.max(FAMILY_TDP_SD_MIN))
        });
        let stated = overrides.tdp.map(|tdp| tdp.shown(info));
        let (tdp, tdp_sd, tdp_basis) = match (stated, of_chips, of_family, at_most) {
            (Some((tdp, _)), ..) => (tdp, 0.0, TdpBasis::Given),
            (_, Some(tdp), ..) | (_, _, None, Some(tdp)) => (tdp, 0.0, TdpBasis::Name),
            (_, _, Some((tdp, sd)), _) => (tdp, sd, TdpBasis::Family),
            _ => (unknown, UNKNOWN_TDP_SD, TdpBasis::Unknown),
        };
        Self {
            cpu: info.name.clone(),
            family: family.map(str::to_owned),
            vcpus: info.vcpus,
            tdp_basis,
            implausible: stated.and_then(|(_, implausible)| implausible),
            virtual_machine: info.virtual_machine,
            tdp: watts(tdp),
            tdp_sd,
            shape: if is_client(&name) { &CLIENT } else { &SERVER },
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

    /// Idle power of the processor, and of the memory if that is measured too: as given, else of the model.
    pub fn idle(&self, with_memory: bool) -> Idle {
        if let Some(power) = self.idle {
            return Idle { power, cv: IDLE_GIVEN_CV };
        }
        let (part, cv) = self.shape.rest;
        let rest = (self.tdp.as_watts() * part, joined(cv, self.tdp_sd));
        let memory = if with_memory { self.memory_power().as_watts() } else { 0.0 };
        let (power, cv) = sum(rest, (memory, MEMORY_CV));
        Idle { power: watts(power), cv }
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

    /// Energy of a window in which the CPUs were used as given.
    pub fn run(&self, elapsed: Duration, cpu: CpuUse) -> Modelled {
        let (part, part_cv) = self.shape.active(cpu.utilisation(), self.vcpus.into());
        let active = self.tdp * part;
        let idle = self.idle(true).power;
        let memory = self.memory_power().min(idle);
        let rest = idle.as_watts() - memory.as_watts();
        let rest_cv = if self.idle.is_some() { IDLE_GIVEN_CV } else { self.shape.rest.1 };
        // One TDP is that of both.
        let (processor, cv) = sum((rest, rest_cv), (active.as_watts(), part_cv));
        let processor = (processor, joined(cv, self.tdp_sd).max(CV_MIN));
        let cv = joined(part_cv, self.tdp_sd).max(CV_MIN);
        let energy = watts(processor.0).over(elapsed);
        let workload = (active * cpu.share()).over(elapsed);
        let at = |name, at| ModelEstimate {
            name,
            cpu: scaled(energy, processor.1, at),
            workload: scaled(workload, cv, at),
        };
        Modelled {
            cpu: energy,
            memory: memory.over(elapsed),
            idle,
            cv,
            host_cv: sum(processor, (memory.as_watts(), MEMORY_CV)).1,
            estimates: vec![
                at("low", Some(-HALF_WIDTH_95)),
                at("mean", None),
                at("high", Some(HALF_WIDTH_95)),
            ],
        }
    }
}

/// The sum of two figures of which neither tells anything of the other, each with its coefficient of variation.
fn sum((a, a_cv): (f64, f64), (b, b_cv): (f64, f64)) -> (f64, f64) {
    (a + b, (a * a_cv).hypot(b * b_cv) / (a + b).max(f64::MIN_POSITIVE))
}

/// The mean of a lognormal, or so many standard deviations of its logarithm from its median.
fn scaled(mean: Microjoules, cv: f64, deviations: Option<f64>) -> Microjoules {
    let factor = deviations.map_or(1.0, |z| (z * variance(cv).sqrt() - variance(cv) / 2.0).exp());
    Microjoules::from_joules(mean.as_joules() * factor).unwrap_or(mean)
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
    mod curves;

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
        assert!(model.idle(false).power > Watts::ZERO);
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
        // 0.25 W/GB, of 17.18 GB.
        at(
            not.run(Duration::from_secs(1), cpu).memory.over(Duration::from_secs(1)).unwrap(),
            4.295,
        );
    }

    #[test]
    fn the_given_tdp_wins() {
        let given = Overrides { tdp: Some(given(123.0)), idle: Some(watts(7.0)) };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 2, true), Some(8_000_000_000), given);
        at(model.tdp, 123.0);
        at(model.idle(true).power, 7.0);
    }

    /// The figures of [`SERVER`] by hand: 100 W at half load and at full.
    #[test]
    fn a_load_has_the_power_that_was_measured_at_it() {
        let given = Overrides { tdp: Some(given(100.0)), idle: None };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 8, false), Some(8_000_000_000), given);
        let second = Duration::from_secs(1);
        for (busy, active, cv) in [(8, 78.3, 0.267), (4, 38.5, 0.4), (2, 22.05, 0.4385)] {
            let busy = second * busy;
            let run = model.run(second, CpuUse { workload: busy, busy, capacity: 8 * second });
            assert!((run.cpu.as_joules() - 20.0 - active).abs() < 1e-3, "{run:?}");
            assert!((run.cv - cv).abs() < 1e-9, "{run:?}");
            // 8 GB of 0.25 W, and the processor's 20 W.
            at(run.idle, 22.0);
            let [low, mean, high] = [0, 1, 2].map(|i| run.estimates[i].workload.as_joules());
            assert!(low < mean && (mean - active).abs() < 1e-3 && mean < high);
        }
    }

    /// One busy thread of 256: between a straight line, 2.9 W, and the bend of the curve, 12.3 W; not ± 11,000 %.
    #[test]
    fn one_busy_thread_of_a_big_machine_has_an_interval_that_tells_something() {
        let name = "AMD EPYC 7763 64-Core Processor";
        let big = CpuInfo {
            packages: 2,
            siblings: Some(128),
            ..info("AuthenticAMD", [25, 1, 1], name, 256, false)
        };
        let second = Duration::from_secs(1);
        let run = |busy: Duration| {
            model(&big).run(second, CpuUse { workload: busy, busy, capacity: 256 * second })
        };
        let one = run(second);
        let [low, mean, high] = [0, 1, 2].map(|i| one.estimates[i].workload.as_joules());
        assert!((5.0..7.0).contains(&mean) && low > 1.0 && high < 20.0, "{one:?}");
        assert!((0.5..0.8).contains(&one.cv), "{one:?}");
        // A tenth of a thread is one for a tenth of the time.
        let tenth = run(second / 10);
        assert!((10.0 * tenth.estimates[1].workload.as_joules() - mean).abs() < 1e-3);
    }

    #[test]
    fn a_family_alone_is_less_sure_than_a_name_and_no_family_less_still() {
        let second = Duration::from_secs(1);
        let cv = |name, ids| {
            let busy = 2 * second;
            let model = model(&info("AuthenticAMD", ids, name, 2, true));
            model.run(second, CpuUse { workload: busy, busy, capacity: busy }).cv
        };
        let named = cv("AMD EPYC 7763 64-Core Processor", [25, 1, 1]);
        let family = cv("AMD EPYC", [25, 1, 1]);
        let unknown = cv("", [0, 0, 0]);
        assert!(0.2 < named && named < family && family < unknown && unknown < 1.0);
    }

    #[test]
    fn a_given_idle_power_is_that_of_the_model_too() {
        let given = Overrides { tdp: Some(given(100.0)), idle: Some(watts(7.0)) };
        let model = PowerModel::of(&info("", [0, 0, 0], "", 2, true), Some(8_000_000_000), given);
        let second = Duration::from_secs(1);
        let idle = CpuUse { workload: Duration::ZERO, busy: Duration::ZERO, capacity: 2 * second };
        let run = model.run(second, idle);
        assert!((run.cpu.as_joules() + run.memory.as_joules() - 7.0).abs() < 1e-5, "{run:?}");
        at(run.idle, 7.0);
    }
}
