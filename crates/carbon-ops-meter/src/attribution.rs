//! Splits a host's energy between a workload, the other processes and idling, so that nothing is
//! lost and nothing is counted twice.
//!
//! Rule 1, policy `residual`: `active = host − P_idle · Δt`, and the workload gets
//! `active · CPU_workload / CPU_busy`. Idle energy is the machine's, not the job's. All in integers
//! of µJ: `host = workload + others + idle`, exactly, always.

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
    /// Whether the idle power that was given exceeds what the host drew. It cannot then be this
    /// machine's idle power; the idle share of CPU time was taken instead.
    pub idle_clamped: bool,
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
    /// Busy time, made no smaller than the workload's and no larger than what exists.
    pub fn busy_at_least_workload(&self) -> Duration {
        self.busy.min(self.capacity).max(self.workload)
    }

    /// Busy over capacity, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        let capacity = self.capacity.as_secs_f64();
        if capacity > 0.0 {
            (self.busy_at_least_workload().as_secs_f64() / capacity).min(1.0)
        } else {
            1.0
        }
    }
}

/// Splits the host's energy of a window of length `elapsed` by rule 1.
pub fn split(host: Microjoules, idle: Watts, elapsed: Duration, cpu: CpuUse) -> Attribution {
    let asked = idle.over(elapsed);
    let idle_clamped = asked >= host && host > Microjoules::ZERO;
    let idle = if idle_clamped { scale(host, 1.0 - cpu.utilisation()) } else { asked.min(host) };
    let active = host.checked_sub(idle).unwrap_or(Microjoules::ZERO);
    let busy = cpu.busy_at_least_workload();
    let workload = proportion(active, cpu.workload, busy);
    let others = active.checked_sub(workload).unwrap_or(Microjoules::ZERO);
    let ratio = if busy.is_zero() { 0.0 } else { cpu.workload.as_secs_f64() / busy.as_secs_f64() };
    Attribution { shares: Shares { host, workload, others, idle }, ratio, idle_clamped }
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

fn scale(energy: Microjoules, factor: f64) -> Microjoules {
    Microjoules::from_joules(energy.as_joules() * factor.clamp(0.0, 1.0)).unwrap_or(energy)
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
        split(host, Watts::new(idle_w).unwrap(), time(seconds), cpu)
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
    fn an_idle_power_above_the_hosts_is_replaced_and_noted() {
        let attribution = check(10.0, 50.0, 1.0, 1.0, 1.0);
        assert!(attribution.idle_clamped);
        assert_eq!(attribution.shares.idle, Microjoules::new(5_000_000));
        assert_eq!(attribution.shares.workload, Microjoules::new(5_000_000));
    }

    proptest! {
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
            let result = split(host, Watts::new(idle).unwrap(), time(ns), cpu);
            let shares = result.shares;
            let sum = [shares.workload, shares.others, shares.idle]
                .iter().map(|part| u128::from(part.as_microjoules())).sum::<u128>();
            prop_assert_eq!(sum, u128::from(host.as_microjoules()));
            prop_assert!((0.0..=1.0).contains(&result.ratio));
        }
    }
}
