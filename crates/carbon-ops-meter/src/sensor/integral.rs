//! Energy by power: what passed between two looks at a power, and what that may be off by.
//!
//! Out of scope: reading a power.

use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};

use super::Integral;
use crate::clock::Moment;

/// Between readings that lie no further apart than this the power is taken to lie between its values at both ends;
/// a meter that shows a mean over longer tells it for as long (NVML, `nvmlDeviceGetPowerUsage`: boards since Ampere
/// show the mean of a second).
const TELLING_GAP: Duration = Duration::from_secs(1);

/// Power over time. Energies are kept as twice µW·ns, 2·10⁻¹⁵ J, so that nothing is rounded away.
#[derive(Debug)]
pub(super) struct Trapezoid {
    power_uw: u64,
    at: Moment,
    ceiling: Watts,
    /// A value may be as old as this when it is read.
    update: Duration,
    twice_fj: u128,
    bound_twice_fj: u128,
    longest_gap: Duration,
}

impl Trapezoid {
    pub(super) fn starting(power_uw: u64, at: Moment, ceiling: Watts) -> Self {
        Self {
            power_uw,
            at,
            ceiling,
            update: Duration::ZERO,
            twice_fj: 0,
            bound_twice_fj: 0,
            longest_gap: Duration::ZERO,
        }
    }

    /// The same of a meter whose values are up to so old: when it shows another power, that may have been drawn for as
    /// long already, or, where it shows means, half of it.
    pub(super) fn updated_each(mut self, update: Duration) -> Self {
        self.update = update;
        self
    }

    pub(super) fn observe(&mut self, power_uw: u64, now: Moment) {
        let gap = now.since(self.at);
        let nanoseconds = gap.as_nanos();
        let twice = (u128::from(self.power_uw) + u128::from(power_uw)) * nanoseconds;
        let change = u128::from(self.power_uw.abs_diff(power_uw));
        let off = if gap <= TELLING_GAP.max(self.update) {
            change * (nanoseconds + 2 * self.update.as_nanos())
        } else {
            let most = self.ceiling.over(gap).as_microjoules();
            let most = u128::from(most) * TWICE_FJ_PER_UJ;
            twice.max(most.saturating_sub(twice))
        };
        self.twice_fj = self.twice_fj.saturating_add(twice);
        self.bound_twice_fj = self.bound_twice_fj.saturating_add(off);
        self.longest_gap = self.longest_gap.max(gap);
        (self.power_uw, self.at) = (power_uw, now);
    }

    pub(super) fn integral(&self) -> Integral {
        let whole = |twice_fj: u128| {
            Microjoules::new(u64::try_from(twice_fj / TWICE_FJ_PER_UJ).unwrap_or(u64::MAX))
        };
        Integral {
            energy: whole(self.twice_fj),
            bound: whole(self.bound_twice_fj.saturating_add(TWICE_FJ_PER_UJ - 1)),
            longest_gap: self.longest_gap,
        }
    }
}

const TWICE_FJ_PER_UJ: u128 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn after(readings: &[(u64, u64)]) -> Integral {
        let ceiling = Watts::new(1000.0).unwrap();
        let mut trapezoid = Trapezoid::starting(100_000_000, Moment::from_nanos(SECOND), ceiling);
        for &(nanoseconds, power_mw) in readings {
            trapezoid.observe(1000 * power_mw, Moment::from_nanos(nanoseconds));
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

    /// 1 µW for 1 µs is 10⁻⁶ µJ: a million of them are one.
    #[test]
    fn small_parts_are_not_rounded_away() {
        let ceiling = Watts::new(1.0).unwrap();
        let mut trapezoid = Trapezoid::starting(1, Moment::from_nanos(0), ceiling);
        for microseconds in 1..=1_000_000 {
            trapezoid.observe(1, Moment::from_nanos(microseconds * 1000));
        }
        assert_eq!(trapezoid.integral().energy, Microjoules::new(1));
    }

    /// A second late at most: each change of 100 W may have been there for so long.
    #[test]
    fn what_a_slow_meter_shows_may_have_been_so_before() {
        let (ceiling, at) = (Watts::new(1000.0).unwrap(), |s: u64| Moment::from_nanos(s * SECOND));
        let mut slow =
            Trapezoid::starting(100_000_000, at(1), ceiling).updated_each(Duration::from_secs(1));
        for second in 2..5 {
            slow.observe(100_000_000, at(second));
        }
        assert_eq!(slow.integral().bound, Microjoules::ZERO);
        slow.observe(200_000_000, at(5));
        assert_eq!((slow.integral().energy, slow.integral().bound), (joules(450), joules(150)));
    }
}
