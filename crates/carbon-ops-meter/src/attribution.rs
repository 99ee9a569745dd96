//! Splits a host's energy between a workload, the other processes and idling, so that nothing is
//! lost and nothing is counted twice.
//!
//! Rule 1, policy `residual`: `active = host − P_idle · Δt`, and the workload gets
//! `active · CPU_workload / CPU_busy`. Idle energy is the machine's, not the job's. All in integers
//! of µJ: `host = workload + others + idle`, exactly, always.
//!
//! Two things bound `active`. The idle power is known badly; where it may well exceed what the host
//! drew, the difference is replaced by its mean over what the idle power may be, which is positive
//! and continuous. And while no process ran the machine was idle, so that no more can be active than
//! the busy CPU time at the most power that the host can draw.
//!
//! Energy of a GPU is shared by GPU time instead ([`split_gpu`]): what no process used is idle, and so
//! the parts sum again to the whole.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

/// The parts of a host's energy; they sum to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The whole.
    pub host: Microjoules,
    /// Of the processes that were measured.
    pub workload: Microjoules,
    /// Of all other processes and the kernel's own work.
    pub others: Microjoules,
    /// What the machine would have drawn idle.
    pub idle: Microjoules,
}

/// The result of [`split`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribution {
    /// The parts.
    pub shares: Shares,
    /// CPU time of the workload over busy CPU time of the machine, 0 to 1.
    pub ratio: f64,
    /// Coefficient of variation of the active energy, for what is not known of the idle power.
    pub idle_cv: f64,
    /// Relative change of the active energy for one of the host's.
    pub host_sensitivity: f64,
    /// Whether `active` is not simply `host − idle`.
    pub idle_rule: IdleRule,
}

/// How the active energy was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleRule {
    /// `host − idle`.
    Difference,
    /// The mean of what exceeds an idle power that may be larger than the host's.
    Excess,
    /// Half of what the busy CPU time can have used at most.
    BusyTime,
}

/// Idle power and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    /// Its mean.
    pub power: Watts,
    /// Its coefficient of variation; it is taken as lognormal.
    pub cv: f64,
}

/// Who is given the energy that an idle machine would have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdlePolicy {
    /// Nobody: it is a part of its own (rule 1).
    #[default]
    Residual,
    /// Everybody who ran, by CPU time. Where nobody ran it stays idle.
    Proportional,
}

impl IdlePolicy {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Residual, Self::Proportional];

    /// The policy of this word, else the usual one.
    pub fn named(word: &str) -> Self {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word).unwrap_or_default()
    }

    /// The word that stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Residual => "residual",
            Self::Proportional => "proportional",
        }
    }

    /// By which factor the parts of a GPU grow whose users are known, so that they have what nobody used: `named` is
    /// their sum, `unknown` what cannot be told, both in parts of the GPU's energy.
    pub fn of_gpu(self, named: f64, unknown: f64) -> f64 {
        let all = self == Self::Proportional && named > 0.0;
        if all { (1.0 - unknown).max(0.0) / named } else { 1.0 }
    }
}

/// CPU time in a window, by who used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuUse {
    /// Of the workload's processes.
    pub workload: Duration,
    /// Of all processes; the kernel's ticks are coarse, so it may come out below `workload`.
    pub busy: Duration,
    /// CPU time that existed: CPUs × length of the window.
    pub capacity: Duration,
}

impl CpuUse {
    /// Busy time, made no smaller than the workload's.
    pub fn busy_at_least_workload(&self) -> Duration {
        self.busy.max(self.workload)
    }

    /// The workload's part of the busy time, 0 to 1.
    pub fn share(&self) -> f64 {
        let busy = self.busy_at_least_workload().as_secs_f64();
        if busy > 0.0 { self.workload.as_secs_f64() / busy } else { 0.0 }
    }

    /// Busy over capacity, 0 to 1; of no capacity all is used.
    pub fn utilisation(&self) -> f64 {
        // The lesser of a number and of none is the number.
        (self.busy_at_least_workload().as_secs_f64() / self.capacity.as_secs_f64()).min(1.0)
    }
}

/// Who used a GPU: parts of its energy, each 0 to 1 and 1 together at most. The rest is idle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GpuUse {
    /// Of the processes that are measured.
    pub workload: f64,
    /// Of others.
    pub others: f64,
    /// Somebody's, or perhaps nobody's: it could not be told whose.
    pub unknown: f64,
    /// The driver told GPU time, by which a part of it was shared.
    pub by_time: bool,
    /// The driver told no GPU time for a part of it, which was given whole to the workload, or to the
    /// others, because no one else was seen on the GPU.
    pub by_process: bool,
}

impl GpuUse {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { workload: 0.0, others: 0.0, unknown: 1.0, by_time: false, by_process: false };

    /// The same with what nobody used, where that is theirs.
    #[must_use]
    pub fn under(self, policy: IdlePolicy) -> Self {
        let factor = policy.of_gpu(self.workload + self.others, self.unknown);
        Self { workload: factor * self.workload, others: factor * self.others, ..self }
    }

    /// The part of the energy that somebody used.
    pub fn used(&self) -> f64 {
        self.workload + self.others + self.unknown
    }
}

/// Splits the energy of a GPU. What nobody can be named for goes to the others.
pub fn split_gpu(energy: Microjoules, used: GpuUse) -> Shares {
    let part = |share: f64| {
        let joules = energy.as_joules() * share.clamp(0.0, 1.0);
        Microjoules::from_joules(joules).unwrap_or(Microjoules::ZERO)
    };
    let workload = part(used.workload).min(energy);
    let rest = energy.saturating_sub(workload);
    // Where all was used, nothing is idle by rounding.
    let others =
        if used.used() > 1.0 - 1e-9 { rest } else { part(used.others + used.unknown).min(rest) };
    let idle = rest.saturating_sub(others);
    Shares { host: energy, workload, others, idle }
}

/// Splits the host's energy of a window of length `elapsed` by rule 1. `most` is the power that the
/// host cannot exceed, when known. Where `policy` gives idle energy to those who ran, they share all of it.
pub fn split(
    host: Microjoules,
    idle: Idle,
    elapsed: Duration,
    cpu: CpuUse,
    most: Option<Watts>,
    policy: IdlePolicy,
) -> Attribution {
    if policy == IdlePolicy::Proportional && !cpu.busy_at_least_workload().is_zero() {
        // As of a machine that draws nothing at rest, and of which that is known.
        let idle = Idle { power: Watts::ZERO, cv: 0.0 };
        return split(host, idle, elapsed, cpu, None, IdlePolicy::Residual);
    }
    let excess = Excess::of(host.as_joules(), idle.power.over(elapsed).as_joules(), idle.cv);
    let busy = cpu.busy_at_least_workload();
    let bound = most.map(|most| most.over(busy).as_joules()).filter(|&bound| bound < excess.mean);
    let (active, idle_cv, host_sensitivity, idle_rule) = match bound {
        // Anything between nothing and the bound: a rectangular distribution (GUM 4.3.7).
        Some(bound) => (bound / 2.0, 1.0 / 3f64.sqrt(), 0.0, IdleRule::BusyTime),
        None => (excess.mean, excess.cv, excess.sensitivity, excess.rule),
    };
    let active = Microjoules::from_joules(active).unwrap_or(host).min(host);
    // The plain difference is taken in integers.
    let active = match idle_rule {
        IdleRule::Difference => host.checked_sub(idle.power.over(elapsed)).unwrap_or(active),
        IdleRule::Excess | IdleRule::BusyTime => active,
    };
    let idle = host.saturating_sub(active);
    let workload = proportion(active, cpu.workload, busy);
    let others = active.saturating_sub(workload);
    let shares = Shares { host, workload, others, idle };
    Attribution { shares, ratio: cpu.share(), idle_cv, host_sensitivity, idle_rule }
}

/// `max(0, H − I)` for a known H and a lognormal I.
struct Excess {
    mean: f64,
    cv: f64,
    /// d ln mean / d ln H.
    sensitivity: f64,
    rule: IdleRule,
}

impl Excess {
    /// Below this probability that I exceeds H, the plain difference is within 0.3 % of the mean.
    const NEGLIGIBLE: f64 = 0.01;

    /// Partial expectations of the lognormal, as in option pricing (Black, Scholes, J. Polit. Econ.
    /// 81, 1973): with a = (ln H − μ)/s, E[(H−I)⁺] = H Φ(a) − m Φ(a−s) and
    /// E[((H−I)⁺)²] = H² Φ(a) − 2 H m Φ(a−s) + m² e^{s²} Φ(a−2s).
    fn of(host: f64, mean: f64, cv: f64) -> Self {
        if mean <= 0.0 || cv <= 0.0 || host <= 0.0 {
            let mean = (host - mean).max(0.0);
            return Self { mean, cv: 0.0, sensitivity: 1.0, rule: IdleRule::Difference };
        }
        let variance = libm::log1p(cv * cv);
        let s = variance.sqrt();
        let a = (libm::log(host / mean) + variance / 2.0) / s;
        let phi = |z: f64| libm::erfc(-z / 2f64.sqrt()) / 2.0;
        if phi(-a) < Self::NEGLIGIBLE {
            let active = host - mean;
            let (cv, sensitivity) = (mean * cv / active, host / active);
            return Self { mean: active, cv, sensitivity, rule: IdleRule::Difference };
        }
        let first = host * phi(a) - mean * phi(a - s);
        let square = libm::exp(variance) * mean * mean * phi(a - 2.0 * s);
        let second = host * host * phi(a) - 2.0 * host * mean * phi(a - s) + square;
        // An idle power far above the host's leaves nothing that doubles could resolve.
        let floor = host * 1e-6;
        if first <= floor {
            return Self { mean: floor, cv: 1e3, sensitivity: 1.0, rule: IdleRule::Excess };
        }
        let cv = (second / (first * first) - 1.0).max(0.0).sqrt();
        Self { mean: first, cv, sensitivity: host * phi(a) / first, rule: IdleRule::Excess }
    }
}

/// `energy · part / whole`, rounded to the nearest µJ: with two parts this is the largest-remainder
/// method, since the other part is what is left.
fn proportion(energy: Microjoules, part: Duration, whole: Duration) -> Microjoules {
    let (part, whole) = (part.as_nanos(), whole.as_nanos());
    if whole == 0 || part == 0 {
        return Microjoules::ZERO;
    }
    // Below 2^64 µJ and, for a century of CPU time, below 2^62 ns: the product fits 128 bits.
    let product = u128::from(energy.as_microjoules()).saturating_mul(part);
    let rounded = product.saturating_add(whole / 2) / whole;
    Microjoules::new(u64::try_from(rounded).unwrap_or(u64::MAX)).min(energy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(host_j: f64, idle_w: f64, seconds: f64, workload: f64, busy: f64) -> Attribution {
        let time = Duration::from_secs_f64;
        let cpu =
            CpuUse { workload: time(workload), busy: time(busy), capacity: time(2.0 * seconds) };
        let host = Microjoules::from_joules(host_j).unwrap();
        let idle = Idle { power: Watts::new(idle_w).unwrap(), cv: 0.1 };
        split(
            host,
            idle,
            time(seconds),
            cpu,
            Some(Watts::new(1000.0).unwrap()),
            IdlePolicy::Residual,
        )
    }

    #[test]
    fn the_worked_example_of_the_format_document_holds() {
        let shares = check(730.0, 20.0, 10.0, 9.8, 10.0).shares;
        let uj = Microjoules::as_microjoules;
        assert_eq!(uj(shares.workload), 519_400_000);
        assert_eq!(uj(shares.others), 10_600_000);
        assert_eq!(uj(shares.idle), 200_000_000);
    }

    #[test]
    fn a_workload_beyond_the_kernels_ticks_gets_all_of_the_active_energy() {
        let attribution = check(10.0, 1.0, 0.005, 0.004, 0.0);
        assert!((attribution.ratio - 1.0).abs() < 1e-12);
        assert_eq!(attribution.shares.others, Microjoules::ZERO);
        assert!(attribution.shares.workload > Microjoules::ZERO);
    }

    #[test]
    fn the_active_energy_is_continuous_where_idle_meets_the_host() {
        let active = |idle_w: f64| {
            let shares = check(10.0, idle_w, 1.0, 1.0, 1.0).shares;
            shares.workload.as_joules() + shares.others.as_joules()
        };
        for step in 0..2000 {
            let idle = 0.01 * f64::from(step);
            let (here, next) = (active(idle), active(idle + 0.01));
            assert!(here > 0.0 && next <= here && here - next < 0.06, "{idle}: {here} {next}");
        }
        // Integrated numerically with SciPy: E[max(0, 10 − I)], I lognormal, mean 10, cv 0.1.
        assert!((active(10.0) - 0.397_785).abs() < 1e-5, "{}", active(10.0));
    }

    #[test]
    fn a_machine_without_busy_time_was_idle() {
        // 65 W for 3 s and 30 ms of busy time: at most 30 J can have been active, not 195.
        let attribution = check(195.0, 1.0, 3.0, 0.002, 0.03);
        assert_eq!(attribution.idle_rule, IdleRule::BusyTime);
        assert!((attribution.shares.workload.as_joules() - 1.0).abs() < 1e-6);
    }

    /// 730 J, of which the workload has 9.8 of 10 s of CPU time, and nobody where nobody ran.
    #[test]
    fn idle_energy_is_shared_by_those_who_ran_where_the_policy_says_so() {
        let joules = |joules| Microjoules::from_joules(joules).unwrap();
        let seconds = Duration::from_secs_f64;
        let idle = Idle { power: Watts::new(20.0).unwrap(), cv: 0.5 };
        let of = |workload, busy| {
            let cpu = CpuUse {
                workload: seconds(workload),
                busy: seconds(busy),
                capacity: seconds(20.0),
            };
            split(joules(730.0), idle, seconds(10.0), cpu, None, IdlePolicy::Proportional)
        };
        let ran = of(9.8, 10.0);
        let Shares { workload, others, idle, .. } = ran.shares;
        assert_eq!([workload, others, idle], [715.4, 14.6, 0.0].map(joules));
        assert_eq!((ran.idle_cv, ran.host_sensitivity), (0.0, 1.0));
        assert_eq!(of(0.0, 0.0).shares.idle, joules(200.0));
        let used = GpuUse { workload: 0.2, others: 0.3, unknown: 0.1, ..GpuUse::UNKNOWN };
        let all = used.under(IdlePolicy::Proportional);
        assert!((all.workload - 0.36).abs() < 1e-12 && (all.used() - 1.0).abs() < 1e-12);
        assert_eq!(used.under(IdlePolicy::Residual), used);
        assert_eq!(GpuUse::UNKNOWN.under(IdlePolicy::Proportional), GpuUse::UNKNOWN);
    }

    #[test]
    fn a_gpu_is_shared_by_its_time_and_the_rest_is_idle() {
        let used = GpuUse { workload: 0.5, others: 0.125, unknown: 0.125, ..GpuUse::UNKNOWN };
        let shares = split_gpu(Microjoules::new(801), used);
        let parts = [shares.workload, shares.others, shares.idle].map(Microjoules::as_microjoules);
        assert_eq!(parts, [401, 200, 200]);
        let none = split_gpu(Microjoules::new(801), GpuUse::UNKNOWN);
        assert_eq!((none.others, none.idle), (Microjoules::new(801), Microjoules::ZERO));
    }

    /// H, mean and coefficient of variation of I, and of max(0, H − I) the mean, its coefficient of variation and
    /// H · P(I < H) over the mean: integrated numerically by `scipy.integrate.quad` to twelve digits.
    #[test]
    fn what_exceeds_an_idle_power_that_is_badly_known_is_what_integration_says() {
        for (host, mean, cv, expected) in [
            (10.0, 10.0, 0.1, [0.397_785_363_452, 1.381_560_655_57, 13.069_592_698_4]),
            (9.0, 10.0, 0.1, [0.070_699_281_147_1, 3.106_220_984_36, 20.001_616_295_4]),
            (7.5, 10.0, 0.1, [0.000_493_880_475_358, 28.213_363_244_5, 34.891_499_150_4]),
            (12.0, 10.0, 0.1, [2.014_528_140_48, 0.478_362_177_946, 5.776_744_413_55]),
            (10.0, 10.0, 0.5, [1.867_150_432_07, 1.127_627_870_31, 3.177_877_429_76]),
            (20.0, 10.0, 0.5, [10.206_645_911_9, 0.424_636_667_342, 1.872_831_443_93]),
            (4.0, 10.0, 0.5, [0.029_128_174_747_8, 5.951_154_535_93, 6.074_342_844_03]),
            (250.0, 200.0, 0.3, [58.407_719_92, 0.756_161_304_858, 3.500_275_326_76]),
        ] {
            let found = Excess::of(host, mean, cv);
            assert_eq!(found.rule, IdleRule::Excess, "{host} {mean} {cv}");
            for (found, expected) in [found.mean, found.cv, found.sensitivity].iter().zip(expected)
            {
                assert!((found / expected - 1.0).abs() < 1e-7, "{host}: {found} {expected}");
            }
        }
        // Where I exceeds H with less than 1 %, the difference, which is within 0.3 % of that.
        for (host, mean, cv, integrated) in [
            (13.0, 10.0, 0.1, 3.001_510_194_54),
            (40.0, 10.0, 0.5, 30.004_430_862_9),
            (1.0, 0.5, 0.3, 0.500_628_804_624),
        ] {
            let found = Excess::of(host, mean, cv);
            let plain = host - mean;
            assert_eq!(found.rule, IdleRule::Difference);
            assert!((found.mean - plain).abs() < 1e-12 && (integrated / plain - 1.0) < 3e-3);
            assert!((found.cv - mean * cv / plain).abs() < 1e-12, "{}", found.cv);
            assert!((found.sensitivity - host / plain).abs() < 1e-12, "{}", found.sensitivity);
        }
    }

    #[test]
    fn without_anything_to_weigh_the_excess_is_the_difference() {
        for (host, mean, cv, excess) in
            [(5.0, 2.0, 0.0, 3.0), (2.0, 5.0, 0.0, 0.0), (5.0, 0.0, 0.3, 5.0), (0.0, 2.0, 0.3, 0.0)]
        {
            let found = Excess::of(host, mean, cv);
            assert_eq!(
                (found.mean, found.cv, found.sensitivity),
                (excess, 0.0, 1.0),
                "{host} {mean}"
            );
            assert_eq!(found.rule, IdleRule::Difference);
        }
        // What doubles cannot resolve: a millionth of the host's, of which nothing is known.
        let found = Excess::of(2.0, 1e6, 0.1);
        assert_eq!((found.mean, found.cv, found.sensitivity), (2e-6, 1e3, 1.0));
        assert_eq!(found.rule, IdleRule::Excess);
    }

    fn joules(joules: f64) -> Microjoules {
        Microjoules::from_joules(joules).unwrap()
    }

    /// 100 J in 10 s, 2 W idle of cv 0.2, 3 s of 4 s busy CPU time the workload's.
    fn hundred(most: Option<f64>) -> Attribution {
        let cpu = CpuUse {
            workload: Duration::from_secs(3),
            busy: Duration::from_secs(4),
            capacity: Duration::from_secs(20),
        };
        let idle = Idle { power: Watts::new(2.0).unwrap(), cv: 0.2 };
        let most = most.map(|most| Watts::new(most).unwrap());
        split(joules(100.0), idle, Duration::from_secs(10), cpu, most, IdlePolicy::Residual)
    }

    #[test]
    fn busy_time_bounds_what_is_active_only_where_it_is_the_smaller() {
        // 80 J exceed the idle energy; 4 s of CPU time draw at most 4 s times the most power.
        for most in [None, Some(20.0), Some(1000.0)] {
            let plain = hundred(most);
            assert_eq!(plain.idle_rule, IdleRule::Difference, "{most:?}");
            let Shares { host, workload, others, idle } = plain.shares;
            let parts = [host, workload, others, idle];
            assert_eq!(parts, [100.0, 60.0, 20.0, 20.0].map(joules));
            assert!((plain.idle_cv - 0.05).abs() < 1e-12 && (plain.ratio - 0.75).abs() < 1e-12);
            assert!((plain.host_sensitivity - 1.25).abs() < 1e-12);
        }
        let bounded = hundred(Some(10.0));
        assert_eq!(bounded.idle_rule, IdleRule::BusyTime);
        // Half of 40 J, rectangular: the standard deviation is the half-width over the root of 3.
        let Shares { workload, others, idle, .. } = bounded.shares;
        assert_eq!([workload, others, idle], [15.0, 5.0, 80.0].map(joules));
        assert!((bounded.idle_cv - 0.577_350_269_19).abs() < 1e-9);
        assert!(bounded.host_sensitivity.abs() < 1e-300);
    }

    #[test]
    fn cpu_time_is_shared_by_whoever_used_it() {
        let seconds = Duration::from_secs;
        for (workload, busy, capacity, share, utilisation) in [
            (1, 4, 8, 0.25, 0.5),
            // Coarse ticks of the kernel: no less busy than the workload.
            (4, 2, 8, 1.0, 0.5),
            (4, 9, 8, 4.0 / 9.0, 1.0),
            (0, 0, 8, 0.0, 0.0),
            // No CPU time existed: whatever there was, was used.
            (0, 0, 0, 0.0, 1.0),
        ] {
            let cpu = CpuUse {
                workload: seconds(workload),
                busy: seconds(busy),
                capacity: seconds(capacity),
            };
            assert!((cpu.share() - share).abs() < 1e-12, "{cpu:?}");
            assert!((cpu.utilisation() - utilisation).abs() < 1e-12, "{cpu:?}");
            assert_eq!(cpu.busy_at_least_workload(), seconds(busy.max(workload)));
        }
    }

    #[test]
    fn a_proportion_is_rounded_to_the_nearest_microjoule() {
        let of = |energy, part, whole| {
            let [part, whole] = [part, whole].map(Duration::from_nanos);
            proportion(Microjoules::new(energy), part, whole).as_microjoules()
        };
        for (energy, part, whole, expected) in [
            (10, 1, 3, 3),
            (10, 2, 3, 7),
            (1, 1, 2, 1),
            (10, 3, 3, 10),
            (10, 7, 3, 10),
            (10, 0, 3, 0),
            (10, 3, 0, 0),
            (u64::MAX, 1 << 61, 1 << 62, u64::MAX / 2 + 1),
        ] {
            assert_eq!(of(energy, part, whole), expected, "{energy} * {part} / {whole}");
        }
    }

    #[test]
    fn what_all_used_leaves_nothing_idle_by_rounding() {
        let of = |workload, others, unknown| {
            let used = GpuUse { workload, others, unknown, by_time: true, by_process: false };
            let Shares { workload, others, idle, .. } = split_gpu(Microjoules::new(1000), used);
            [workload, others, idle].map(Microjoules::as_microjoules)
        };
        assert_eq!(of(1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0), [333, 667, 0]);
        assert_eq!(of(0.0004, 0.9996 - 1e-10, 0.0), [0, 1000, 0]);
        assert_eq!(of(0.25, 0.5, 0.125), [250, 625, 125]);
        assert_eq!(of(0.0, 0.0, 0.0), [0, 0, 1000]);
        assert_eq!(of(2.0, 0.5, 0.5), [1000, 0, 0]);
        assert_eq!(of(0.5, 0.25, 0.1), [500, 350, 150]);
        // Where a double cannot hold each microjoule, the last part still takes what is left.
        for energy in [(1 << 60) + 1, (1 << 59) + 77, u64::MAX] {
            let third = 1.0 / 3.0;
            let used = GpuUse { workload: third, others: third, ..GpuUse::UNKNOWN };
            let used = GpuUse { unknown: third, ..used };
            let shares = split_gpu(Microjoules::new(energy), used);
            assert_eq!(shares.idle, Microjoules::ZERO, "{energy}");
        }
    }

    proptest! {
        #[test]
        fn energy_of_a_gpu_is_conserved(
            energy in 0u64..1 << 60, workload in 0.0..1.5f64, others in 0.0..1.5f64, unknown in 0.0..1.5f64,
        ) {
            let used = GpuUse { workload, others, unknown, ..GpuUse::UNKNOWN };
            let shares = split_gpu(Microjoules::new(energy), used);
            let sum = [shares.workload, shares.others, shares.idle]
                .iter().map(|part| u128::from(part.as_microjoules())).sum::<u128>();
            prop_assert_eq!(sum, u128::from(energy));
        }

        #[test]
        fn energy_is_conserved(
            host in 0u64..1 << 60, idle in 0.0..2000.0f64, ns in 1u64..1 << 50,
            workload in 0u64..1 << 52, busy in 0u64..1 << 52, capacity in 0u64..1 << 52,
        ) {
            let time = Duration::from_nanos;
            let cpu = CpuUse {
                workload: time(workload), busy: time(busy), capacity: time(capacity),
            };
            let host = Microjoules::new(host);
            let idle = Idle { power: Watts::new(idle).unwrap(), cv: 0.5 };
            let most = Some(Watts::new(500.0).unwrap());
            let result = split(host, idle, time(ns), cpu, most, IdlePolicy::Residual);
            let shares = result.shares;
            let sum = [shares.workload, shares.others, shares.idle]
                .iter().map(|part| u128::from(part.as_microjoules())).sum::<u128>();
            prop_assert_eq!(sum, u128::from(host.as_microjoules()));
            prop_assert!((0.0..=1.0).contains(&result.ratio));
        }
    }
}
