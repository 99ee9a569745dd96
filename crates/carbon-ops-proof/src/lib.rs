//! What a stranger needs to check a ledger of carbon-ops, from bytes alone.

pub mod canonical;
pub mod checkpoint;
pub mod cosignature;
pub mod entry;
mod error;
mod hex;
pub mod keys;
pub mod lines;
pub mod merkle;
pub mod note;
pub mod pack;
pub mod policy;
pub mod proof;
pub mod read;
pub mod roster;
pub mod seek;
#[cfg(test)]
mod testing;
pub mod tile;
pub mod torn;
pub mod verify;

pub use error::{Error, Result};
