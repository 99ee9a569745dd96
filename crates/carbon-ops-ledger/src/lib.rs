//! An append-only ledger: one canonical JSON object a line, each signed, each carrying the hash of
//! the one before, each durable before it is acknowledged.
//!
//! The file is the product. An auditor can read it with `sha256sum` and a hundred lines of any
//! language; `docs/formats/ledger-v1.md` says how. What a line is and how it is checked is
//! `carbon-ops-proof`, which needs no disk; here is what does: [`append`] and [`storage`], key files
//! ([`keys`]), sealed segments ([`segment`]), a witness's state ([`witness`]), and ledgers of the Python
//! package ([`legacy`]). This crate knows nothing of carbon.
//!
//! Out of scope: clocks, randomness, environment and printing, which are passed in or left to whoever calls;
//! HTTP, by which witnesses are asked; what to tell people about an error.
//!
//! ```
//! use std::time::Duration;
//!
//! use carbon_ops_ledger::append::{Ledger, WriterOptions};
//! use carbon_ops_ledger::storage::DirStorage;
//! use carbon_ops_proof::canonical::Object;
//! use carbon_ops_proof::keys::{SecretKey, Trust};
//! use carbon_ops_proof::verify::{Status, verify};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let key = SecretKey::from_seed(&[7; 32]);
//! let options = WriterOptions { tool: "example 1.0".into(), patience: Duration::from_secs(1) };
//! let now = "2026-11-23T09:00:00Z".parse().unwrap();
//!
//! let storage = DirStorage::new(dir.path());
//! let mut ledger = Ledger::create(storage, &key, [1; 16], now, options).unwrap();
//! let payload = Object::from_members([("kind", "greeting".into())]).unwrap();
//! assert_eq!(ledger.append(payload, now).unwrap().seq, 1);
//!
//! let file = std::fs::File::open(dir.path().join("ledger.ndjson")).unwrap();
//! let trust = Trust::from_iter([key.public_key()]);
//! let report = verify(std::io::BufReader::new(file), &trust, &mut |_| Ok(())).unwrap();
//! assert_eq!((report.status, report.entries), (Status::Valid, 2));
//! ```

pub mod append;
mod durable;
mod error;
pub mod files;
pub mod keys;
pub mod legacy;
mod legacy_fault;
mod names;
pub mod pack;
pub mod segment;
pub mod storage;
mod tail;
pub mod tile;
pub mod witness;

pub use error::{Error, Result};
