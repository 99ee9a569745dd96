//! Carbon intensity of a grid as a value: what it counts, when it holds, how it came to be.
//!
//! * [`Signal`]: average, marginal, residual and the other things that a number may mean.
//! * [`Slot`], [`Series`]: values with their intervals and provenance; what may enter an inventory figure.
//!
//! Out of scope: where the values come from.

mod instant;
mod signal;
mod slot;

pub use instant::{NotAnInstant, instant};
pub use signal::{Accounting, Factor, Gases, Kind, Signal, UnknownSignal, parse_kind_and_factor};
pub use slot::{
    ASKED_MAX, AnySeries, BUILT_IN, Digest, Gap, GapReason, Impossible, Intensity, Interval,
    InventoryIntensity, MarginalIntensity, Meta, NotForInventory, SLOTS_MAX, Series, Slot,
    Timeliness, UncertaintyClass,
};
