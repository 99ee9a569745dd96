//! Integration tests, in one binary.

#[cfg(feature = "http")]
mod cache;
#[cfg(feature = "http")]
mod electricity_maps;
#[cfg(feature = "http")]
mod fake;
#[cfg(feature = "http")]
mod gb;
#[cfg(feature = "http")]
mod watttime;
