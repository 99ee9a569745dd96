//! What a stranger needs to check a ledger of carbon-ops: canonical JSON, signed entries, the Merkle tree
//! over them, checkpoints and who signed them, proofs and audit packs. Bytes in, a verdict out.
//!
//! Three types to start from:
//!
//! - [`keys::Trust`]: the keys that you believe. Nothing here trusts a key because a file names it.
//! - [`verify::Report`]: what [`verify::verify`] finds in a whole ledger, line by line, also behind a
//!   fault; [`pack::verify_pack`] does the same for an audit pack.
//! - [`proof::Proof`]: that one entry is in a ledger, without the ledger.
//!
//! ```
//! use carbon_ops_proof::keys::{PublicKey, Trust};
//! use carbon_ops_proof::proof::Proof;
//! use carbon_ops_proof::verify::{Status, verify};
//! # macro_rules! data {
//! #     ($name:literal) => {
//! #         include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1/", $name))
//! #     };
//! # }
//!
//! // The key as its owner told it, by another way than the file.
//! let key: PublicKey = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8".parse()?;
//! let trust = Trust::from_iter([key]);
//!
//! let ledger = data!("basic.ndjson");
//! let report = verify(&ledger[..], &trust, &mut |_record| Ok(()))?;
//! assert_eq!((report.status, report.entries), (Status::Valid, 7));
//!
//! // One flipped bit is found, at its line.
//! let mut changed = ledger.to_vec();
//! changed[1500] ^= 1;
//! let report = verify(&changed[..], &trust, &mut |_record| Ok(()))?;
//! assert_eq!(report.status, Status::Tampered);
//!
//! let proven = Proof::parse(data!("basic-2.tlog-proof"))?.check(&trust)?;
//! assert_eq!(proven.entry.seq(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No file, clock, environment or socket is asked for, so all of it compiles for
//! `wasm32-unknown-unknown`; there, [`verify::Settings::threads`] stays at one, with which no thread is
//! started. What makes lines and packs is here too where it is a matter of bytes ([`entry::sign`],
//! [`pack::write_pack_from`]): the format has one place.
//!
//! Out of scope: files, appending and what a crash leaves, which are `carbon-ops-ledger`; what a record
//! means, for which callers pass a check; and telling people what to do.

pub mod canonical;
pub mod checkpoint;
pub mod cosignature;
pub mod entry;
mod error;
mod fault;
mod hex;
mod ids;
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
mod source;
mod status;
pub mod superseded;
#[cfg(test)]
mod tests;
pub mod text;
pub mod tile;
pub mod torn;
pub mod verify;

pub use error::{Error, Result};
