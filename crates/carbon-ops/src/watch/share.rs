//! Whose the energy of GPUs is: each GPU's, split by GPU time among rows and named residuals.
//!
//! A row's energy has its part of the GPUs, and a residual has, too, so that rows and residuals sum to
//! the energy of the host with its GPUs. What nobody used is idle, and follows the idle policy.
//!
//! Out of scope: finding the row of a process.

use std::collections::BTreeMap;

use carbon_ops_meter::shares::{IdlePolicy, divide_gpu};
use carbon_ops_units::Microjoules;

use super::gpus::Used;

/// Whose a process on a GPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The row's at this place.
    Row(usize),
    /// Outside of the group that is watched.
    Others,
    /// It was seen before and has ended; no row shows it.
    Ended,
    /// No such process was ever seen.
    Unknown,
}

/// Energy of GPUs, by whose it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GpuShares {
    pub rows: BTreeMap<usize, Microjoules>,
    pub idle: Microjoules,
    pub others: Microjoules,
    pub ended: Microjoules,
    pub unattributed: Microjoules,
}

impl GpuShares {
    /// Adds the energy of one GPU; without `used`, nobody can say whose it is.
    pub(super) fn add(
        &mut self,
        energy: Microjoules,
        used: Option<&Used>,
        policy: IdlePolicy,
        owner: &mut dyn FnMut(u32) -> Owner,
    ) {
        let Some(used) = used else {
            self.unattributed = self.unattributed + energy;
            return;
        };
        let mut parts = BTreeMap::from([(Owner::Unknown, used.unknown)]);
        let named: f64 = used.by_pid.values().sum();
        let idle_too = policy == IdlePolicy::Proportional && named > 0.0;
        let factor = if idle_too { (1.0 - used.unknown) / named } else { 1.0 };
        for (&pid, part) in &used.by_pid {
            *parts.entry(owner(pid)).or_insert(0.0) += factor * part;
        }
        let parts: Vec<_> = parts.into_iter().collect();
        let (shares, idle) = divide_gpu(energy, &parts);
        self.idle = self.idle + idle;
        for (owner, share) in shares {
            let sum = match owner {
                Owner::Row(row) => self.rows.entry(row).or_insert(Microjoules::ZERO),
                Owner::Others => &mut self.others,
                Owner::Ended => &mut self.ended,
                Owner::Unknown => &mut self.unattributed,
            };
            *sum = *sum + share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32) -> Owner {
        match pid {
            1 | 2 => Owner::Row(0),
            3 => Owner::Row(1),
            4 => Owner::Others,
            5 => Owner::Ended,
            _ => Owner::Unknown,
        }
    }

    fn used(by_pid: &[(u32, f64)], unknown: f64) -> Used {
        Used { by_pid: by_pid.iter().copied().collect(), unknown }
    }

    /// By hand, of 1 kJ: two processes of one row have 30 %; 5 % and 8 % are nobody's to name.
    #[test]
    fn each_part_goes_to_its_owner_and_none_is_lost() {
        let of = [(1, 0.1), (2, 0.2), (3, 0.05), (4, 0.25), (5, 0.15), (9, 0.05)];
        let used = used(&of, 0.08);
        let uj = |thousandths: u64| Microjoules::new(1_000_000 * thousandths);
        let mut shares = GpuShares::default();
        shares.add(uj(1000), Some(&used), IdlePolicy::Residual, &mut owner);
        let expected = GpuShares {
            rows: [(0, uj(300)), (1, uj(50))].into(),
            idle: uj(120),
            others: uj(250),
            ended: uj(150),
            unattributed: uj(130),
        };
        assert_eq!(shares, expected);
        shares.add(uj(1), None, IdlePolicy::Residual, &mut owner);
        assert_eq!(shares.unattributed, uj(131));
    }

    #[test]
    fn the_proportional_policy_leaves_nothing_idle_where_somebody_ran() {
        let mut shares = GpuShares::default();
        let some = used(&[(1, 0.1), (3, 0.3)], 0.2);
        shares.add(Microjoules::new(1000), Some(&some), IdlePolicy::Proportional, &mut owner);
        let uj = Microjoules::new;
        assert_eq!(shares.rows, BTreeMap::from([(0, uj(200)), (1, uj(600))]));
        assert_eq!((shares.idle, shares.unattributed), (uj(0), uj(200)));
        let nobody = used(&[(1, 0.0)], 0.0);
        shares.add(uj(500), Some(&nobody), IdlePolicy::Proportional, &mut owner);
        assert_eq!(shares.idle, uj(500));
    }
}
