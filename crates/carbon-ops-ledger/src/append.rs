//! Appending: an entry that was acknowledged is on the disk, and stays.
//!
//! One writer at a time holds the lock, and only for the time of one append: lock, look at the end,
//! build the entry, write it in one piece, sync, unlock, acknowledge. After any crash the ledger is
//! a prefix of what was submitted and contains every acknowledged entry; what a crash leaves at the
//! end is set aside as evidence by whoever comes next, in `recover`, which is also the
//! first step of every ordinary append.
//!
//! Out of scope: batching (one entry, one sync), and verifying more than the two ends of the file,
//! which is `verify.rs`. Checkpoints are signed in `append/sign.rs`, apart from appends.
//!
//! After a sync that failed, the kernel may keep pages that never reached the disk and show them to
//! the next reader as if they had. We stop, never try again and never acknowledge; `storage.rs` sees
//! to it that the next writer of the same boot writes the end again before it builds on it.

mod control;
mod cosign;
mod known;
mod ledger;
pub mod pipeline;
mod seal;
mod sign;
mod tree;

pub use control::{Amendment, Rotation};
pub use ledger::{Appended, GenesisOptions, Ledger, Repair, WriterOptions, lines_gone, while_held};
pub use seal::SEGMENT_BYTES;
pub use tree::{CHECKPOINT_EVERY, SignedCheckpoint};
