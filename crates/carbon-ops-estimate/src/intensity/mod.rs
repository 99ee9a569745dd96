//! Grid carbon intensity: what it counts, and where it comes from.
//!
//! * [`signal`]: average, marginal, residual and the other things that a number may mean.
//! * [`slot`]: values with their intervals and provenance; what may enter an inventory figure.
//! * [`provider`]: what every source is, and how it fails.
//! * [`secret`]: tokens and passwords, which nothing shows.
//! * [`table`]: yearly averages per country, compiled in.

pub mod provider;
pub mod secret;
pub mod signal;
pub mod slot;
pub mod table;

pub use provider::{Error, Provider, Settling, Want};
pub use secret::{Secret, UnusableSecret};
pub use signal::{Accounting, Factor, Gases, Kind, Signal};
pub use slot::{
    AnySeries, Digest, Gap, GapReason, Impossible, Intensity, Interval, InventoryIntensity,
    MarginalIntensity, Meta, NotForInventory, Series, Slot, Timeliness, UncertaintyClass,
};
