//! Providers and their cache, over the wire, against servers of ours.

#![cfg(feature = "http")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, also in its helpers"
)]

mod cache;
mod electricity_maps;
mod fake;
mod gb;
mod transport;
mod watttime;
