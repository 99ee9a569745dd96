//! Carbon: mass of CO2-equivalent, grid intensity, and the PUE that stands between them.
//!
//! Out of scope: how well an intensity is known.

use crate::{OutOfRange, finite_at_least};

/// Mass of greenhouse gases in grams of CO2-equivalent (GWP-100).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct GramsCo2e(pub(crate) f64);

impl GramsCo2e {
    /// From g.
    ///
    /// # Errors
    /// When the number is negative or not finite.
    pub fn new(grams: f64) -> Result<Self, OutOfRange> {
        finite_at_least(grams, 0.0, "mass in gCO2e", "finite and not negative").map(Self)
    }

    /// In g.
    pub fn as_grams(self) -> f64 {
        self.0
    }
}

/// Grid carbon intensity in gCO2e per kWh. Zero is a legal value.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct GramsCo2ePerKilowattHour(f64);

impl GramsCo2ePerKilowattHour {
    /// From g/kWh.
    ///
    /// # Errors
    /// When the number is negative or not finite.
    pub fn new(grams_per_kilowatt_hour: f64) -> Result<Self, OutOfRange> {
        const WHAT: &str = "intensity in gCO2e/kWh";
        finite_at_least(grams_per_kilowatt_hour, 0.0, WHAT, "finite and not negative").map(Self)
    }

    /// In g/kWh.
    pub fn as_grams_per_kilowatt_hour(self) -> f64 {
        self.0
    }
}

/// Power usage effectiveness: energy of the site over energy of its computers, at least 1
/// (ISO/IEC 30134-2).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Pue(f64);

impl Pue {
    /// From the ratio.
    ///
    /// # Errors
    /// When the number is below 1 or not finite.
    ///
    /// ```
    /// use carbon_ops_units::Pue;
    /// assert!(Pue::new(0.0).is_err());
    /// ```
    pub fn new(ratio: f64) -> Result<Self, OutOfRange> {
        finite_at_least(ratio, 1.0, "PUE", "finite and at least 1").map(Self)
    }

    /// The ratio, a pure number.
    pub fn as_ratio(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pue_below_one_does_not_exist() {
        for ratio in [0.0, 0.999, -1.2, f64::NAN, f64::INFINITY] {
            assert!(Pue::new(ratio).is_err(), "{ratio}");
        }
        assert!(Pue::new(1.0).is_ok());
    }

    #[test]
    fn zero_intensity_is_legal_and_negative_is_not() {
        assert!(GramsCo2ePerKilowattHour::new(0.0).is_ok());
        assert!(GramsCo2ePerKilowattHour::new(-0.1).is_err());
    }
}
