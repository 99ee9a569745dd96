//! Power in watts.
//!
//! Out of scope: where a power is measured.

use std::ops::{Add, Mul};
use std::time::Duration;

use crate::{KilowattHours, Microjoules, OutOfRange, finite_at_least};

/// Power in W, a finite double that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Watts(pub(crate) f64);

impl Watts {
    /// The larger of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    /// The smaller of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// No power.
    pub const ZERO: Self = Self(0.0);

    /// From W.
    ///
    /// # Errors
    /// When the number is negative or not finite.
    pub fn new(watts: f64) -> Result<Self, OutOfRange> {
        finite_at_least(watts, 0.0, "power in W", "finite and not negative").map(Self)
    }

    /// In W.
    pub fn as_watts(self) -> f64 {
        self.0
    }

    /// Energy of this power over `elapsed`, rounded to the µJ, saturating at 18.4 TJ.
    pub fn over(self, elapsed: Duration) -> Microjoules {
        Microjoules::from_joules(self.0 * elapsed.as_secs_f64())
            .unwrap_or(Microjoules::new(u64::MAX))
    }

    /// Energy of this power over so many seconds, without a largest amount.
    ///
    /// # Errors
    /// When that is negative or not finite.
    pub fn kilowatt_hours_over(self, seconds: f64) -> Result<KilowattHours, OutOfRange> {
        KilowattHours::new(self.0 * seconds / 3.6e6)
    }
}

impl Microjoules {
    /// Mean power over `elapsed`; `None` for no time at all.
    pub fn over(self, elapsed: Duration) -> Option<Watts> {
        (!elapsed.is_zero()).then(|| Watts(self.as_joules() / elapsed.as_secs_f64()))
    }
}

impl Add for Watts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Mul<f64> for Watts {
    type Output = Self;
    /// Scales by a pure number; a factor that is negative or not finite yields no power.
    fn mul(self, factor: f64) -> Self {
        Self::new(self.0 * factor).unwrap_or(Self::ZERO)
    }
}
