//! A value with its coverage interval: what an estimated number is, until someone drops the bounds.
//!
//! Out of scope: how an interval is found.

/// A central value and the interval that covers the truth with the stated probability.
///
/// ```
/// use carbon_ops_units::{Bounded, GramsCo2e};
/// let [low, mean, high] = [0.9, 1.0, 1.3].map(|g| GramsCo2e::new(g).unwrap());
/// let carbon = Bounded::new(mean, low, high, 0.95).unwrap();
/// assert_eq!(carbon.central(), mean);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded<Q> {
    central: Q,
    low: Q,
    high: Q,
    level: f64,
}

impl<Q: Copy + PartialOrd> Bounded<Q> {
    /// `None` unless `low < high` and `level` lies in (0, 1). The central value is a mean and, for
    /// a very skewed distribution, may lie outside the interval; it usually does not.
    pub fn new(central: Q, low: Q, high: Q, level: f64) -> Option<Self> {
        (low < high && level > 0.0 && level < 1.0).then_some(Self { central, low, high, level })
    }

    /// The value without its bounds: an explicit call, so that a review sees where they are lost.
    pub fn central(&self) -> Q {
        self.central
    }

    /// Lower end of the coverage interval.
    pub fn low(&self) -> Q {
        self.low
    }

    /// Upper end of the coverage interval.
    pub fn high(&self) -> Q {
        self.high
    }

    /// Coverage probability, in (0, 1).
    pub fn level(&self) -> f64 {
        self.level
    }
}
