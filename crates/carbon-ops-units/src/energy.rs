//! Energy: integer microjoules as counters give them, and kilowatt hours as grids are priced in.
//!
//! Out of scope: how counters wrap and reset.

use std::iter::Sum;
use std::ops::{Add, Mul};

use crate::{GramsCo2e, GramsCo2ePerKilowattHour, OutOfRange, Pue, finite_at_least};

/// Microjoules in one kilowatt hour: 3.6 MJ (BIPM, SI brochure, table 8: 1 h = 3600 s).
const MICROJOULES_PER_KILOWATT_HOUR: f64 = 3.6e12;

/// Energy in µJ, an unsigned integer: the unit and the exactness of powercap counters.
///
/// `u64` holds 18.4 TJ, which is 585 years at 1 kW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Microjoules(u64);

impl Microjoules {
    /// No energy.
    pub const ZERO: Self = Self(0);

    /// From µJ.
    pub const fn new(microjoules: u64) -> Self {
        Self(microjoules)
    }

    /// From J, rounded to the nearest µJ.
    ///
    /// # Errors
    /// When `joules` is negative, not finite, or beyond the 18.4 TJ that fit.
    pub fn from_joules(joules: f64) -> Result<Self, OutOfRange> {
        const WHAT: &str = "energy in J";
        let microjoules = finite_at_least(joules, 0.0, WHAT, "finite and not negative")? * 1e6;
        if microjoules >= 2f64.powi(64) {
            return Err(OutOfRange { quantity: WHAT, value: joules, must_be: "below 1.8e13" });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and checked to lie in 0..2^64 above"
        )]
        Ok(Self(microjoules.round() as u64))
    }

    /// In µJ.
    pub const fn as_microjoules(self) -> u64 {
        self.0
    }

    /// In J; exact below 2^53 µJ (9 GJ).
    #[expect(clippy::cast_precision_loss, reason = "documented: floats begin here")]
    pub fn as_joules(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// In kWh; one division, correctly rounded for energies below 2^53 µJ.
    #[expect(clippy::cast_precision_loss, reason = "documented: floats begin here")]
    pub fn to_kilowatt_hours(self) -> KilowattHours {
        KilowattHours(self.0 as f64 / MICROJOULES_PER_KILOWATT_HOUR)
    }

    /// The difference, or `None` when `earlier` is larger.
    ///
    /// ```
    /// use carbon_ops_units::Microjoules;
    /// assert_eq!(Microjoules::new(5).checked_sub(Microjoules::new(7)), None);
    /// ```
    pub fn checked_sub(self, earlier: Self) -> Option<Self> {
        self.0.checked_sub(earlier.0).map(Self)
    }

    /// The difference, and nothing when `earlier` is larger.
    ///
    /// ```
    /// use carbon_ops_units::Microjoules;
    /// assert_eq!(Microjoules::new(7).saturating_sub(Microjoules::new(5)), Microjoules::new(2));
    /// assert_eq!(Microjoules::new(5).saturating_sub(Microjoules::new(7)), Microjoules::ZERO);
    /// ```
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The sum, or `None` beyond 18.4 TJ.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl Add for Microjoules {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Microjoules {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

/// Energy in kWh, a finite double that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct KilowattHours(pub(crate) f64);

impl KilowattHours {
    /// From kWh.
    ///
    /// # Errors
    /// When the number is negative or not finite.
    pub fn new(kilowatt_hours: f64) -> Result<Self, OutOfRange> {
        finite_at_least(kilowatt_hours, 0.0, "energy in kWh", "finite and not negative").map(Self)
    }

    /// In kWh.
    pub fn as_kilowatt_hours(self) -> f64 {
        self.0
    }
}

impl Mul<Pue> for KilowattHours {
    type Output = Self;
    /// Energy that the site draws for this energy at the server.
    fn mul(self, pue: Pue) -> Self {
        Self(self.0 * pue.as_ratio())
    }
}

impl Mul<GramsCo2ePerKilowattHour> for KilowattHours {
    type Output = GramsCo2e;
    fn mul(self, intensity: GramsCo2ePerKilowattHour) -> GramsCo2e {
        GramsCo2e(self.0 * intensity.as_grams_per_kilowatt_hour())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Watts;
    use proptest::prelude::*;

    #[test]
    fn a_kilowatt_hour_is_3_6_megajoules() {
        let one = Microjoules::new(3_600_000_000_000).to_kilowatt_hours();
        assert!((one.as_kilowatt_hours() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn impossible_energies_are_refused() {
        for joules in [-1.0, f64::NAN, f64::INFINITY, 2e13] {
            assert!(Microjoules::from_joules(joules).is_err(), "{joules}");
        }
        assert_eq!(Microjoules::from_joules(-0.0), Ok(Microjoules::ZERO));
    }

    #[test]
    fn sums_saturate_instead_of_wrapping() {
        let max = Microjoules::new(u64::MAX);
        assert_eq!(max + Microjoules::new(1), max);
        assert_eq!(max.checked_add(Microjoules::new(1)), None);
    }

    proptest! {
        #[test]
        fn joules_and_microjoules_agree(uj in 0u64..(1 << 51)) {
            let energy = Microjoules::new(uj);
            prop_assert_eq!(Microjoules::from_joules(energy.as_joules()), Ok(energy));
        }

        #[test]
        fn power_times_time_is_energy(watts in 0.0..5e3, ms in 1u64..86_400_000) {
            let elapsed = Duration::from_millis(ms);
            let energy = Watts::new(watts).unwrap().over(elapsed);
            let back = energy.over(elapsed).unwrap().as_watts();
            prop_assert!((back - watts).abs() <= 1e-6 / elapsed.as_secs_f64() + watts * 1e-12);
        }
    }
}
