//! The ledger from outside: attacks on the bytes, failing disks, crashes, and frozen files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, also in its helpers"
)]

mod batches;
mod crash;
mod disk;
mod frozen;
mod import;
mod injection;
mod legacy;
mod mutants;
mod pack;
mod parallel;
mod pipeline;
mod power;
mod python;
mod reader;
mod records;
mod rotation;
mod segments;
mod simulated;
mod support;
mod torn;
mod tree;
mod trust;
mod witness;
