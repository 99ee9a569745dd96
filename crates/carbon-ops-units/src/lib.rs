//! Quantities as types: every number that leaves a crate of ours carries its unit here.
//!
//! A [`Microjoules`] is an integer, as counters are; [`Watts`], [`KilowattHours`], [`GramsCo2e`],
//! [`GramsCo2ePerKilowattHour`] and [`Pue`] are doubles that cannot be NaN, infinite or negative.
//! Only physical arithmetic exists, and each conversion exists once:
//!
//! ```
//! use carbon_ops_units::{GramsCo2ePerKilowattHour, Microjoules, Pue};
//!
//! let energy = Microjoules::from_joules(3_600_000.0)?.to_kilowatt_hours();
//! let intensity = GramsCo2ePerKilowattHour::new(342.06)?;
//! let carbon = (energy * Pue::new(1.1)?) * intensity;
//! assert!((carbon.as_grams() - 376.266).abs() < 1e-9);
//! # Ok::<(), carbon_ops_units::OutOfRange>(())
//! ```
//!
//! [`si`] writes one for people.
//!
//! Out of scope: input and output, clocks, serialisation, and any `From<f64>`.

mod bounded;
mod carbon;
mod energy;
mod power;
mod text;

pub use bounded::Bounded;
pub use carbon::{GramsCo2e, GramsCo2ePerKilowattHour, Pue};
pub use energy::{KilowattHours, Microjoules};
pub use power::Watts;
pub use text::si;

/// A number that is not a possible value of the quantity it was meant for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} is not a possible {quantity}: it must be {must_be}")]
pub struct OutOfRange {
    quantity: &'static str,
    value: f64,
    must_be: &'static str,
}

/// Accepts a finite number that is at least `min`; the one gate of all floating constructors.
pub(crate) fn finite_at_least(
    value: f64,
    min: f64,
    quantity: &'static str,
    must_be: &'static str,
) -> Result<f64, OutOfRange> {
    if value.is_finite() && value >= min {
        Ok(value + 0.0) // −0 becomes 0, which canonical JSON requires.
    } else {
        Err(OutOfRange { quantity, value, must_be })
    }
}
