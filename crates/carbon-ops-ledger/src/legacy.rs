//! Ledgers of the Python package carbon-ops 0.1.1: verifying them, and continuing one that the
//! package itself still validates.
//!
//! A line is `json.dumps` of the payload, of `prev_hash` and of three members about the signature.
//! The signature is over the payload with `prev_hash`, canonical in Python's way with raw UTF-8;
//! `prev_hash` is the SHA-256 of the same members of the record before, canonical in Python's way
//! with ASCII escapes. The package's validator lets much pass that changes what a reader sees, or
//! that hides what is missing. Here that is a fault of its own kind, marked as one that Python
//! accepts: such a ledger is not what the package writes, though its signatures may all be good.
//!
//! Out of scope: what a record means, and repairing anything.
//!
//! ```
//! use carbon_ops_proof::keys::{SecretKey, Trust};
//! use carbon_ops_ledger::legacy::{Record, verify};
//! use carbon_ops_proof::verify::Status;
//!
//! let key = SecretKey::from_seed(&[7; 32]);
//! let first = Record::parse(br#"{"grams": 1.0}"#).unwrap().sign(None, &key).unwrap();
//! let second = Record::parse(br#"{"grams": 2.0}"#).unwrap().sign(Some(&first.hash), &key).unwrap();
//! let file = [first.line, second.line].concat();
//! let report = verify(&file[..], &Trust::from_iter([key.public_key()])).unwrap();
//! assert_eq!((report.status, report.records), (Status::Valid, 2));
//! ```

mod append;
mod document;
mod line;
mod python;
#[cfg(test)]
mod tests;
mod value;
mod verify;

pub use crate::legacy_fault::{Fault, MAX_LINE_BYTES};
pub use append::append;
pub use document::{Document, verify_document};
pub use line::{LIMITS, Record, Signed};
pub use value::{Members, Value};
pub use verify::{FaultReport, KeyReport, Report, verify};
