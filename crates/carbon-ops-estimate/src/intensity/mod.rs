//! Carbon intensity of a grid as a value: what it counts, when it holds, how it came to be.
//!
//! * [`signal`]: average, marginal, residual and the other things that a number may mean.
//! * [`slot`]: values with their intervals and provenance; what may enter an inventory figure.
//!
//! Out of scope: where the values come from.

pub mod signal;
pub mod slot;

pub use signal::{Accounting, Factor, Gases, Kind, Signal, parse_kind_and_factor};
pub use slot::{
    ASKED_MAX, AnySeries, Digest, Gap, GapReason, Impossible, Intensity, Interval,
    InventoryIntensity, MarginalIntensity, Meta, NotForInventory, SLOTS_MAX, Series, Slot,
    Timeliness, UncertaintyClass,
};
