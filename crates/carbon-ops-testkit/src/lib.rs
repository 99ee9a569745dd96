//! What tests of several crates need: fake hosts whose truth is known, a fake of NVIDIA's library, a home
//! for a command, a server on the loopback, a terminal, and skipping aloud.
//!
//! A dev-dependency only. Out of scope: what the tests of one crate need alone, and anything of ours.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "for tests: what panics has failed the test"
)]

pub mod home;
pub mod host;
pub mod http;
pub mod nvml;
pub mod simulator;
pub mod skip;
pub mod terminal;
