//! What a kilowatt hour of a place and time emits: places, their grid zones, and the sources of intensity.
//!
//! * [`zones`]: from what a user types to a place, and its grid zone in the words of each source.
//! * [`Provider`]: what every source is; [`Error`]: how it fails; [`Chain`]: several of them in order.
//! * [`table`], [`us_states`]: yearly averages, compiled in; [`BuiltIn`]: the finest of them.
//! * [`mod@file`]: a user's own intensities.
//! * [`cloud`]: which cloud a guest runs in, and the power usage effectiveness of all of it.
//! * [`StandIn`]: what stands in for what in an answer, and why.
//! * [`electricity_maps`], [`watttime`], [`gb`]: providers over HTTP.
//! * [`fetch`]: asking over HTTP, politely; [`Secret`]: tokens and passwords, which nothing shows.
//!
//! Values, their intervals and what they count are types of [`carbon_ops_estimate::intensity`], which this
//! crate fills; they are exported again here, beside what answers with them.
//!
//! With the feature `http`: the transport `http`, and the `cache` on the disk with all answers as they came.
//! Without it the crate opens no socket and no file.
//!
//! A further provider is one file here that implements [`Provider`].
//!
//! Out of scope: what is priced with the answers, and how sure the price is.

mod assembly;
mod built_in;
#[cfg(feature = "http")]
pub mod cache;
mod chain;
pub mod cloud;
pub mod electricity_maps;
pub mod fetch;
pub mod file;
pub mod gb;
#[cfg(feature = "http")]
pub mod http;
pub mod instruments;
pub mod line;
mod provider;
mod reread;
mod secret;
mod spread;
pub mod stand_in;
pub mod table;
pub mod us_states;
pub mod watttime;
pub mod zones;

pub use built_in::{BuiltIn, UsStates};
pub use carbon_ops_estimate::intensity::{
    Accounting, AnySeries, Digest, Factor, Gap, GapReason, Gases, Impossible, Intensity, Interval,
    InventoryIntensity, Kind, MarginalIntensity, Meta, NotForInventory, Series, Signal, Slot,
    Timeliness, UncertaintyClass, parse_kind_and_factor,
};
pub use chain::{Chain, Failed, Failure, Fallback, Found, Reason, Substitution};
pub use provider::{
    Denied, Error, ErrorKind, FileProblem, Offer, Provider, Settling, Uncovered, Want,
};
pub use reread::reread;
pub use secret::{Secret, UnusableSecret};
pub use stand_in::{StandIn, Why, stand_ins};
pub use table::{Mix, Row};
pub use zones::Place;
