//! Grid carbon intensity: what it counts, and where it comes from.
//!
//! * [`signal`]: average, marginal, residual and the other things that a number may mean.
//! * [`slot`]: values with their intervals and provenance; what may enter an inventory figure.
//! * [`provider`]: what every source is, and how it fails; [`chain`]: several of them in order.
//! * [`fetch`]: asking over HTTP, politely; [`secret`]: tokens and passwords, which nothing shows.
//! * [`electricity_maps`], [`watttime`], [`gb`]: providers over HTTP.
//! * [`table`], [`us_states`]: yearly averages, compiled in; [`mod@file`]: a user's own.
//!
//! With the feature `http`: the transport `http`, and the `cache` on the disk with all answers as they came.
//!
//! A further provider is one file here that implements [`Provider`].

mod assembly;
#[cfg(feature = "http")]
pub mod cache;
pub mod chain;
pub mod electricity_maps;
pub mod fetch;
pub mod file;
pub mod gb;
#[cfg(feature = "http")]
pub mod http;
pub mod provider;
pub mod secret;
pub mod signal;
pub mod slot;
pub mod table;
pub mod us_states;
pub mod watttime;

pub use chain::{Chain, Failed, Fallback, Found, Substitution};
pub use provider::{Error, Provider, Settling, Want};
pub use secret::{Secret, UnusableSecret};
pub use signal::{Accounting, Factor, Gases, Kind, Signal, parse_kind_and_factor};
pub use slot::{
    AnySeries, Digest, Gap, GapReason, Impossible, Intensity, Interval, InventoryIntensity,
    MarginalIntensity, Meta, NotForInventory, Series, Slot, Timeliness, UncertaintyClass,
};
