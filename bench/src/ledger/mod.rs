//! What it costs to verify a ledger, and to prove one of its records.

pub(crate) mod made;
pub(crate) mod predecessor;
pub(crate) mod prove;
pub(crate) mod verify;
