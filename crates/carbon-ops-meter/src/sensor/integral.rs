//! Energy by power: what passed between two looks at a power, and what that may be off by.
//!
//! Out of scope: reading a power.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use super::Integral;
use crate::clock::Moment;

/// Boards since Ampere report their mean power over a second (NVML, `nvmlDeviceGetPowerUsage`): up to
/// here the values at both ends tell something of what lies between.
const TELLING_GAP: Duration = Duration::from_secs(1);

/// Power over time. Energies are kept as twice mW·ns, 2·10⁻¹² J, so that nothing is rounded away.
#[derive(Debug)]
pub(super) struct Trapezoid {
    power_mw: u32,
    at: Moment,
    ceiling: Watts,
    twice_pj: u128,
    bound_twice_pj: u128,
    longest_gap: Duration,
}

impl Trapezoid {
    pub(super) fn starting(power_mw: u32, at: Moment, ceiling: Watts) -> Self {
        let longest_gap = Duration::ZERO;
        Self { power_mw, at, ceiling, twice_pj: 0, bound_twice_pj: 0, longest_gap }
    }

    pub(super) fn observe(&mut self, power_mw: u32, now: Moment) {
        let gap = now.since(self.at);
        let nanoseconds = gap.as_nanos();
        let twice = (u128::from(self.power_mw) + u128::from(power_mw)) * nanoseconds;
        let off = if gap <= TELLING_GAP {
            u128::from(self.power_mw.abs_diff(power_mw)) * nanoseconds
        } else {
            let most = self.ceiling.over(gap).as_microjoules();
            let most = u128::from(most) * TWICE_PJ_PER_UJ;
            twice.max(most.saturating_sub(twice))
        };
        self.twice_pj = self.twice_pj.saturating_add(twice);
        self.bound_twice_pj = self.bound_twice_pj.saturating_add(off);
        self.longest_gap = self.longest_gap.max(gap);
        (self.power_mw, self.at) = (power_mw, now);
    }

    pub(super) fn integral(&self) -> Integral {
        let whole = |twice_pj: u128| {
            Microjoules::new(u64::try_from(twice_pj / TWICE_PJ_PER_UJ).unwrap_or(u64::MAX))
        };
        Integral {
            energy: whole(self.twice_pj),
            bound: whole(self.bound_twice_pj.saturating_add(TWICE_PJ_PER_UJ - 1)),
            longest_gap: self.longest_gap,
        }
    }
}

const TWICE_PJ_PER_UJ: u128 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn after(readings: &[(u64, u32)]) -> Integral {
        let ceiling = Watts::new(1000.0).unwrap();
        let mut trapezoid = Trapezoid::starting(100_000, Moment::from_nanos(SECOND), ceiling);
        for &(nanoseconds, power_mw) in readings {
            trapezoid.observe(power_mw, Moment::from_nanos(nanoseconds));
        }
        trapezoid.integral()
    }

    fn joules(joules: u64) -> Microjoules {
        Microjoules::new(joules * 1_000_000)
    }

    #[test]
    fn power_is_integrated_by_the_trapezoid_and_its_change_is_the_bound() {
        // A ramp from 100 W to 300 W in a second: 200 J, and between 100 J and 300 J whatever happened.
        let expected = Integral {
            energy: joules(200),
            bound: joules(100),
            longest_gap: Duration::from_secs(1),
        };
        assert_eq!(after(&[(2 * SECOND, 300_000)]), expected);
        let steady = after(&[(SECOND + SECOND / 2, 100_000), (2 * SECOND, 100_000)]);
        assert_eq!((steady.energy, steady.bound), (joules(100), Microjoules::ZERO));
    }

    /// A minute without a look at 100 W on both ends: 6 kJ, and by the ceiling up to 60 kJ. With a look
    /// after it at 1700 W, 54 kJ, and perhaps nothing.
    #[test]
    fn a_long_gap_is_bounded_by_nothing_and_the_ceiling_alone() {
        let found = after(&[(61 * SECOND, 100_000)]);
        assert_eq!((found.energy, found.bound), (joules(6_000), joules(54_000)));
        assert_eq!(found.longest_gap, Duration::from_secs(60));
        let found = after(&[(61 * SECOND, 1_700_000)]);
        assert_eq!((found.energy, found.bound), (joules(54_000), joules(54_000)));
    }

    #[test]
    fn a_clock_that_stands_adds_nothing() {
        assert_eq!(after(&[(SECOND, 500_000), (SECOND / 2, 500_000)]).energy, Microjoules::ZERO);
    }

    /// 1 mW for 1 µs is 0.001 µJ: a thousand of them are one.
    #[test]
    fn small_parts_are_not_rounded_away() {
        let ceiling = Watts::new(1.0).unwrap();
        let mut trapezoid = Trapezoid::starting(1, Moment::from_nanos(0), ceiling);
        for microseconds in 1..=1000 {
            trapezoid.observe(1, Moment::from_nanos(microseconds * 1000));
        }
        assert_eq!(trapezoid.integral().energy, Microjoules::new(1));
    }
}
