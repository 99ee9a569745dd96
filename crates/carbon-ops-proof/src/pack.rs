//! Audit packs: one file that shows lines of a ledger, or all of them, to somebody who has nothing else
//! but the keys that they trust. `docs/formats/audit-pack-v1.md` has it byte by byte.
//!
//! The lines of the ledger stand in it as they are, after a few lines of the pack's own: a head, the
//! checkpoint, perhaps an earlier checkpoint and a policy. The same ledger and choice give the same
//! bytes.
//!
//! Out of scope: what an entry means (the caller passes a check), and whom to trust.

mod build;
mod check;
mod frame;
mod selection;
#[cfg(test)]
mod tests;

pub use crate::source::LineSource;
pub(crate) use build::proven_line;
pub use build::{Contents, PackError, Packed, write_pack_from};
pub use check::{PackFault, PackReport, PackStatus, own_records, verify_pack, verify_pack_records};
pub(crate) use frame::Frame;
pub use selection::{NotASelection, Selection};
