//! Energy to carbon, with its uncertainty: grid intensity, the measurement model, and the record.
//!
//! * [`zones`]: from what a user types to a grid zone.
//! * [`intensity`]: what a kilowatt hour of a zone emits, and how well that is known.
//! * [`uncertainty`]: distributions, their product, and its coverage interval.
//! * [`record`]: record v1 and the one place where its numbers are derived.
//!
//! ```
//! use carbon_ops_estimate::record::{Input, estimate};
//! use carbon_ops_estimate::uncertainty::Distribution;
//! use carbon_ops_estimate::zones;
//!
//! let germany = zones::resolve("DE")?.yearly;
//! let inputs = [
//!     Input::new("energy", Distribution::Lognormal { mean: 1.0, cv: 0.05 }, "power meter"),
//!     Input::new("pue", Distribution::Point { mean: 1.2 }, "operator"),
//!     Input::new("intensity", germany.distribution(), germany.citation()),
//! ];
//! let one_kilowatt_hour = estimate(3_600_000_000_000, &inputs)?;
//! assert!(one_kilowatt_hour.meta.ci_lower_g < one_kilowatt_hour.prices.grams);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Deliberately absent: files, sockets, clocks and randomness; hashes, signatures and storage.

pub mod aggregate;
pub mod anomaly;
pub mod decimal;
pub mod intensity;
pub mod record;
pub mod span;
pub mod uncertainty;
pub mod zones;
