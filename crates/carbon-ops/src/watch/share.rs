//! Whose the energy of GPUs is: each GPU's, split by GPU time among rows and named residuals.
//!
//! A row's energy has its part of the GPUs, and a residual has, too, so that rows and residuals sum to
//! the energy of the host with its GPUs. What nobody used is idle, and follows the idle policy.
//!
//! Out of scope: finding the row of a process.

use std::collections::BTreeMap;

use carbon_ops_meter::attribution::{GpuUse, IdlePolicy};
use carbon_ops_meter::gpu::Used;
use carbon_ops_meter::shares::divide_gpu;
use carbon_ops_units::Microjoules;

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
#[derive(Debug, Default, PartialEq)]
pub(super) struct GpuShares {
    pub rows: BTreeMap<usize, Microjoules>,
    pub idle: Microjoules,
    pub others: Microjoules,
    pub ended: Microjoules,
    pub unattributed: Microjoules,
    /// Of each GPU, in their order.
    pub by_owner: Vec<Owners>,
}

/// Parts of a GPU's energy by whose they are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Owners {
    parts: BTreeMap<Owner, f64>,
    by_time: bool,
    by_process: bool,
}

impl GpuShares {
    /// Adds the energy of one GPU.
    pub(super) fn add(
        &mut self,
        energy: Microjoules,
        used: &Used<u32>,
        policy: IdlePolicy,
        owner: &mut dyn FnMut(u32) -> Owner,
    ) {
        let mut parts = BTreeMap::from([(Owner::Unknown, used.unknown)]);
        let named: f64 = used.parts.values().sum();
        let factor = policy.of_gpu(named, used.unknown);
        for (&pid, part) in &used.parts {
            *parts.entry(owner(pid)).or_insert(0.0) += factor * part;
        }
        let list: Vec<_> = parts.iter().map(|(&owner, &part)| (owner, part)).collect();
        let (shares, idle) = divide_gpu(energy, &list);
        let (by_time, by_process) = (used.by_time, used.by_process);
        self.by_owner.push(Owners { parts, by_time, by_process });
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

impl Owners {
    /// What a row used of the GPU, and what others did.
    pub(super) fn of_row(&self, row: usize) -> GpuUse {
        let part = |owner| self.parts.get(&owner).copied().unwrap_or(0.0);
        let (workload, unknown) = (part(Owner::Row(row)), part(Owner::Unknown));
        GpuUse {
            workload,
            others: (self.parts.values().sum::<f64>() - workload - unknown).max(0.0),
            unknown,
            by_time: self.by_time,
            by_process: self.by_process,
        }
    }

    /// What all but some rows used of the GPU, what nobody can name included.
    pub(super) fn of_rest(&self, named: &[usize]) -> GpuUse {
        let is_named = |owner: &Owner| matches!(owner, Owner::Row(row) if named.contains(row));
        let of = |such: bool| {
            let parts = self.parts.iter().filter(move |(owner, _)| is_named(owner) == such);
            parts.map(|(_, part)| part).sum::<f64>()
        };
        let (by_time, by_process) = (self.by_time, self.by_process);
        GpuUse { workload: of(false), others: of(true), unknown: 0.0, by_time, by_process }
    }

    /// How it is known of all who used it together, for whom nothing has to be shared.
    pub(super) fn of_all(&self) -> GpuUse {
        let unknown = self.parts.get(&Owner::Unknown).copied().unwrap_or(0.0);
        let workload = self.parts.values().sum::<f64>() - unknown;
        let (by_time, by_process) = (self.by_time, self.by_process);
        GpuUse { workload, others: 0.0, unknown, by_time, by_process }
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

    fn used(parts: &[(u32, f64)], unknown: f64) -> Used<u32> {
        Used { parts: parts.iter().copied().collect(), unknown, ..Used::unknown() }
    }

    /// By hand, of 1 kJ: two processes of one row have 30 %; 5 % and 8 % are nobody's to name.
    #[test]
    fn each_part_goes_to_its_owner_and_none_is_lost() {
        let of = [(1, 0.1), (2, 0.2), (3, 0.05), (4, 0.25), (5, 0.15), (9, 0.05)];
        let used = used(&of, 0.08);
        let uj = |thousandths: u64| Microjoules::new(1_000_000 * thousandths);
        let mut shares = GpuShares::default();
        shares.add(uj(1000), &used, IdlePolicy::Residual, &mut owner);
        let expected = GpuShares {
            rows: [(0, uj(300)), (1, uj(50))].into(),
            idle: uj(120),
            others: uj(250),
            ended: uj(150),
            unattributed: uj(130),
            by_owner: Vec::new(),
        };
        let row = shares.by_owner.remove(0).of_row(0);
        assert!((row.workload - 0.3).abs() + (row.others - 0.45).abs() < 1e-9, "{row:?}");
        assert_eq!(shares, expected);
        shares.add(uj(1), &Used::unknown(), IdlePolicy::Residual, &mut owner);
        assert_eq!(shares.unattributed, uj(131));
    }

    #[test]
    fn the_proportional_policy_leaves_nothing_idle_where_somebody_ran() {
        let mut shares = GpuShares::default();
        let some = used(&[(1, 0.1), (3, 0.3)], 0.2);
        shares.add(Microjoules::new(1000), &some, IdlePolicy::Proportional, &mut owner);
        let uj = Microjoules::new;
        assert_eq!(shares.rows, BTreeMap::from([(0, uj(200)), (1, uj(600))]));
        assert_eq!((shares.idle, shares.unattributed), (uj(0), uj(200)));
        let nobody = used(&[(1, 0.0)], 0.0);
        shares.add(uj(500), &nobody, IdlePolicy::Proportional, &mut owner);
        assert_eq!(shares.idle, uj(500));
    }
}
