//! The library as its users see it: by its flat names alone, on hosts and in folders of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests: what panics has failed the test"
)]

mod estimator;
mod ledger;
mod logger;
