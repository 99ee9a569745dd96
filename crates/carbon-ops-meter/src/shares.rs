//! The energy of an interval, shared among many: processes, trees, cgroups, units. Nothing is lost,
//! nothing is counted twice, and what belongs to nobody has a name.
//!
//! As in [`crate::attribution`], active energy is shared by CPU time. The whole that it is shared over
//! is the busy time of the machine, or the sum of what is known where ticks make that larger:
//!
//! ```text
//! whole = max(busy, Σ rows + kernel)        energy of a row = active · CPU of the row / whole
//! ```
//!
//! `kernel` is time in interrupts, which no process shows. The rest of the busy time has one name,
//! [`Rest`], that the caller knows: processes that ended unseen, or other processes, or unknown. All
//! parts are integers of µJ that sum to the host's energy, by the method of largest remainders.
//!
//! Out of scope: files, clocks, and any guess at which process an interrupt served.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use crate::attribution::{CpuUse, Idle, IdlePolicy, IdleRule, split};

/// What a share of a GPU's time is counted in: one part in 10⁹.
const GPU_PARTS: u64 = 1_000_000_000;

/// Whose the busy time is that neither a row nor an interrupt explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Processes outside of the group that is looked at.
    Others,
    /// Processes that ended in the interval and were waited for by nobody.
    Ended,
    /// Unknown: processes that may not be seen, and the difference between clocks and ticks.
    Unattributed,
}

/// An interval of a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Energy of processors and memory.
    pub host: Microjoules,
    /// What of it is idle.
    pub idle: Idle,
    /// Power that the host cannot exceed, when known.
    pub most: Option<Watts>,
    /// Length.
    pub elapsed: Duration,
    /// Busy CPU time of the machine, interrupts included.
    pub busy: Duration,
    /// Of that, time in interrupts.
    pub interrupts: Duration,
    /// CPU time that existed.
    pub capacity: Duration,
}

/// A part of the energy, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Share<K> {
    /// Whose.
    pub key: K,
    /// CPU time in the interval.
    pub cpu: Duration,
    /// Its energy.
    pub energy: Microjoules,
    /// Its CPU time over the whole, 0 to 1.
    pub ratio: f64,
}

/// The parts of the host's energy that no row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residuals {
    /// What the machine would have drawn idle.
    pub idle: Microjoules,
    /// Of interrupts and their deferred work.
    pub kernel: Microjoules,
    /// Of the rest, [`Rest`].
    pub rest: Microjoules,
}

/// A host's energy, shared: `host = Σ rows + residuals`.
#[derive(Debug, Clone, PartialEq)]
pub struct Division<K> {
    /// In the order in which they were given.
    pub rows: Vec<Share<K>>,
    /// What no row has.
    pub residuals: Residuals,
    /// CPU time over which was shared.
    pub whole: Duration,
    /// How the active energy was found.
    pub idle_rule: IdleRule,
    /// Coefficient of variation of the active energy, for what is not known of the idle power.
    pub idle_cv: f64,
    /// Relative change of the active energy for one of the host's.
    pub host_sensitivity: f64,
}

/// Shares the energy of an interval among `rows`, each with its CPU time. The result does not depend
/// on their order as long as no key occurs twice.
pub fn divide<K: Ord>(
    interval: &Interval,
    policy: IdlePolicy,
    rows: Vec<(K, Duration)>,
) -> Division<K> {
    let known = rows.iter().map(|(_, cpu)| cpu.as_nanos()).sum::<u128>();
    let kernel = interval.interrupts.min(interval.busy).as_nanos();
    let whole = interval.busy.as_nanos().max(known.saturating_add(kernel));
    let rest = whole.saturating_sub(known.saturating_add(kernel));
    let whole_time = of_nanos(whole);
    let cpu = CpuUse { workload: Duration::ZERO, busy: whole_time, capacity: interval.capacity };
    let rule = split(interval.host, interval.idle, interval.elapsed, cpu, interval.most, policy);
    // Where nobody ran, all of it is idle.
    let (shared, idle) = match whole {
        0 => (Microjoules::ZERO, interval.host),
        _ => (rule.shares.others, rule.shares.idle),
    };
    let parts = rows.iter().map(|(key, cpu)| (Part::Row(key), cpu.as_nanos()));
    let parts = parts.chain([(Part::Kernel, kernel), (Part::Rest, rest)]).collect::<Vec<_>>();
    let mut energies = apportion(shared, &parts).into_iter();
    let mut next = || one_of(&mut energies);
    let given: Vec<_> = rows.iter().map(|_| next()).collect();
    let residuals = Residuals { idle, kernel: next(), rest: next() };
    let rows = rows.into_iter().zip(given).map(|((key, cpu), energy)| {
        let ratio = if whole == 0 { 0.0 } else { quotient(cpu, whole_time) };
        Share { key, cpu, energy, ratio }
    });
    Division {
        rows: rows.collect(),
        residuals,
        whole: whole_time,
        idle_rule: rule.idle_rule,
        idle_cv: rule.idle_cv,
        host_sensitivity: rule.host_sensitivity,
    }
}

/// Shares the energy of a GPU by GPU time: `shares` are parts of it, 0 to 1, by process. The second
/// value is what no process has. Shares that sum to more than one are scaled down; those that are no
/// positive number are none.
pub fn divide_gpu<K: Ord + Copy>(
    energy: Microjoules,
    shares: &[(K, f64)],
) -> (Vec<(K, Microjoules)>, Microjoules) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and 10^9 after the clamp"
    )]
    let of = |share: f64| {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        (share * GPU_PARTS as f64).round() as u64
    };
    let given: u64 = shares.iter().map(|&(_, share)| of(share)).sum();
    let rows = shares.iter().map(|(key, share)| (Part::Row(key), u128::from(of(*share))));
    let rest = u128::from(GPU_PARTS.saturating_sub(given));
    let parts: Vec<_> = rows.chain([(Part::Rest, rest)]).collect();
    let mut energies = apportion(energy, &parts);
    let unattributed = energies.pop().unwrap_or(energy);
    (shares.iter().map(|&(key, _)| key).zip(energies).collect(), unattributed)
}

/// Who gets a µJ that is left over comes from this order, among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a, K> {
    Row(&'a K),
    Kernel,
    Rest,
}

#[expect(clippy::expect_used, reason = "one energy comes back for each part")]
fn one_of(mut energies: impl Iterator<Item = Microjoules>) -> Microjoules {
    energies.next().expect("of a row, the kernel or the rest")
}

/// Splits an energy in proportion to weights by the method of largest remainders (Hamilton's): each
/// part is rounded down, and the µJ that are left go to the largest remainders. Parts are in the order
/// of the weights and sum to the energy; the sum of the weights is not zero, or all parts are.
fn apportion<K: Ord>(energy: Microjoules, weights: &[(K, u128)]) -> Vec<Microjoules> {
    let sum: u128 = weights.iter().map(|(_, weight)| weight).sum();
    if sum == 0 {
        return weights.iter().map(|_| Microjoules::ZERO).collect();
    }
    let microjoules = u128::from(energy.as_microjoules());
    // Below 2^64 µJ and, for a millennium of CPU time, below 2^64 ns: the product fits 128 bits.
    let product = |weight: u128| microjoules.saturating_mul(weight);
    let floors = weights.iter().map(|(_, weight)| product(*weight) / sum);
    let mut parts: Vec<u128> = floors.collect();
    let left = microjoules.saturating_sub(parts.iter().sum());
    let left = usize::try_from(left).unwrap_or(usize::MAX).min(parts.len());
    if left > 0 {
        let mut order: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, (key, weight))| (product(*weight) % sum, *weight, key, index))
            .collect();
        // The larger remainder first, then the larger weight, then the smaller key.
        order.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then_with(|| a.2.cmp(b.2)));
        for (.., index) in order.into_iter().take(left) {
            if let Some(part) = parts.get_mut(index) {
                *part += 1;
            }
        }
    }
    parts
        .into_iter()
        .map(|part| Microjoules::new(u64::try_from(part).unwrap_or(u64::MAX)))
        .collect()
}

fn of_nanos(nanoseconds: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn quotient(part: Duration, whole: Duration) -> f64 {
    (part.as_secs_f64() / whole.as_secs_f64()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn interval(host_j: f64, idle_w: f64, busy_ms: u32, interrupts_ms: u32) -> Interval {
        Interval {
            host: Microjoules::from_joules(host_j).unwrap(),
            idle: Idle { power: Watts::new(idle_w).unwrap(), cv: 0.1 },
            most: Some(Watts::new(1000.0).unwrap()),
            elapsed: Duration::from_secs(1),
            busy: MS * busy_ms,
            interrupts: MS * interrupts_ms,
            capacity: Duration::from_secs(2),
        }
    }

    fn energies<K>(division: &Division<K>) -> Vec<u64> {
        division.rows.iter().map(|row| row.energy.as_microjoules()).collect()
    }

    /// By hand: 60 J less 1 s at 20 W are 40 J for 1000 ms of CPU time, 40 mJ each.
    #[test]
    fn active_energy_follows_cpu_time_and_every_residual_is_named() {
        let rows = vec![("a", MS * 500), ("b", MS * 300), ("c", Duration::ZERO)];
        let division = divide(&interval(60.0, 20.0, 1000, 50), IdlePolicy::Residual, rows);
        assert_eq!(energies(&division), [20_000_000, 12_000_000, 0]);
        let expected = Residuals {
            idle: Microjoules::new(20_000_000),
            kernel: Microjoules::new(2_000_000),
            rest: Microjoules::new(6_000_000),
        };
        assert_eq!(division.residuals, expected);
        let ratios: Vec<f64> = division.rows.iter().map(|row| row.ratio).collect();
        assert!(ratios.iter().zip([0.5, 0.3, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn policies_have_the_words_of_the_formats() {
        let words = [IdlePolicy::Residual, IdlePolicy::Proportional].map(IdlePolicy::as_str);
        assert_eq!(words, ["residual", "proportional"]);
    }

    #[test]
    fn the_proportional_policy_gives_idle_energy_to_who_ran() {
        let rows = vec![("a", MS * 500), ("b", MS * 300)];
        let division = divide(&interval(60.0, 20.0, 1000, 0), IdlePolicy::Proportional, rows);
        assert_eq!(energies(&division), [30_000_000, 18_000_000]);
        assert_eq!(division.residuals.idle, Microjoules::ZERO);
        let nobody = divide(
            &interval(60.0, 20.0, 0, 0),
            IdlePolicy::Proportional,
            vec![("a", Duration::ZERO)],
        );
        assert_eq!(nobody.residuals.idle, Microjoules::new(60_000_000));
    }

    #[test]
    fn rows_beyond_the_busy_time_leave_no_rest_and_exceed_no_whole() {
        let rows = vec![("a", MS * 900), ("b", MS * 300)];
        let division = divide(&interval(60.0, 20.0, 1000, 50), IdlePolicy::Residual, rows);
        assert_eq!(division.whole, MS * 1250);
        assert_eq!(energies(&division), [28_800_000, 9_600_000]);
        assert_eq!(division.residuals.rest, Microjoules::ZERO);
    }

    /// A cake of 10 µJ for 6, 6 and 2: quotas 4.29, 4.29, 1.43, so that the last is rounded up.
    #[test]
    fn what_is_left_goes_to_the_largest_remainder() {
        let parts = apportion(Microjoules::new(10), &[('a', 6), ('b', 6), ('c', 2)]);
        assert_eq!(parts, [4, 4, 2].map(Microjoules::new));
        let parts = apportion(Microjoules::new(1), &[('b', 6), ('a', 6)]);
        assert_eq!(parts, [0, 1].map(Microjoules::new));
    }

    #[test]
    fn gpu_energy_without_a_process_is_unattributed() {
        let energy = Microjoules::new(1_000_000);
        let of = |shares: &[(i32, f64)]| divide_gpu(energy, shares);
        assert_eq!(of(&[]), (vec![], energy));
        let (rows, left) = of(&[(1, 0.25), (2, f64::NAN), (3, -1.0)]);
        assert_eq!(rows, [(1, 250_000), (2, 0), (3, 0)].map(|(p, uj)| (p, Microjoules::new(uj))));
        assert_eq!(left, Microjoules::new(750_000));
        let (rows, left) = of(&[(1, 0.75), (2, 0.75)]);
        assert_eq!(rows, [(1, 500_000), (2, 500_000)].map(|(p, uj)| (p, Microjoules::new(uj))));
        assert_eq!(left, Microjoules::ZERO);
    }

    fn any_interval() -> impl Strategy<Value = Interval> {
        let ns = || 0u64..1 << 50;
        (0u64..1 << 60, 0.0..2000.0f64, 1u64..1 << 50, ns(), ns(), ns()).prop_map(
            |(host, idle, elapsed, busy, interrupts, capacity)| Interval {
                host: Microjoules::new(host),
                idle: Idle { power: Watts::new(idle).unwrap(), cv: 0.5 },
                most: Some(Watts::new(500.0).unwrap()),
                elapsed: Duration::from_nanos(elapsed),
                busy: Duration::from_nanos(busy),
                interrupts: Duration::from_nanos(interrupts),
                capacity: Duration::from_nanos(capacity),
            },
        )
    }

    fn any_rows() -> impl Strategy<Value = Vec<(usize, Duration)>> {
        proptest::collection::vec(prop_oneof![Just(0), 0u64..1 << 48, 0u64..100], 0..40)
            .prop_map(|times| times.into_iter().map(Duration::from_nanos).enumerate().collect())
    }

    proptest! {
        #[test]
        fn energy_is_conserved_and_no_share_exceeds_the_whole(
            interval in any_interval(), rows in any_rows(), proportional in any::<bool>(),
        ) {
            let policy =
                if proportional { IdlePolicy::Proportional } else { IdlePolicy::Residual };
            let division = divide(&interval, policy, rows);
            let uj = |energy: Microjoules| u128::from(energy.as_microjoules());
            let rows: u128 = division.rows.iter().map(|row| uj(row.energy)).sum();
            let residuals = division.residuals;
            let sum = rows + uj(residuals.idle) + uj(residuals.kernel) + uj(residuals.rest);
            prop_assert_eq!(sum, uj(interval.host));
            let ratios: f64 = division.rows.iter().map(|row| row.ratio).sum();
            prop_assert!(ratios <= 1.0 + 1e-9, "{}", ratios);
            for row in &division.rows {
                prop_assert!(row.energy <= interval.host && (0.0..=1.0).contains(&row.ratio));
                prop_assert!(!row.cpu.is_zero() || row.energy == Microjoules::ZERO);
            }
        }

        #[test]
        fn shares_do_not_depend_on_the_order(
            interval in any_interval(), rows in any_rows().prop_flat_map(|rows| {
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
        ) {
            let sorted = |rows| {
                let mut division = divide(&interval, IdlePolicy::Residual, rows);
                division.rows.sort_by_key(|row| row.key);
                division
            };
            prop_assert_eq!(sorted(rows.0), sorted(rows.1));
        }

        #[test]
        fn gpu_energy_is_conserved(
            energy in 0u64..1 << 60, shares in proptest::collection::vec(-0.5..1.5f64, 0..20),
        ) {
            let shares: Vec<_> = shares.into_iter().enumerate().collect();
            let (rows, left) = divide_gpu(Microjoules::new(energy), &shares);
            let sum = rows.iter().map(|(_, part)| part.as_microjoules()).sum::<u64>();
            prop_assert_eq!(sum + left.as_microjoules(), energy);
        }
    }
}
