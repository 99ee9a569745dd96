//! The governor from outside: what its clients, its administrator and a service manager make of it.
//!
//! Most tests read a simulated host (root and `/dev/fuse`), whose true energy is known for any
//! instant. What a machine cannot show is skipped aloud, and `CARBON_OPS_REQUIRE` (a list of `sim`,
//! `root`, `namespaces`, `pip`) turns the skip into a failure. `CARBON_OPS_LONG=1` runs the same
//! accuracy tests for a minute rather than for seconds.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, also in its helpers"
)]

mod accuracy;
mod as_user;
mod governor;
mod hostile;
mod hwmon;
mod predecessor;
mod privileges;
mod protocol;
mod registers;
mod service;
mod start;
mod zones;
