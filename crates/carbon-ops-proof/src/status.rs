//! What verifying a ledger comes to, in one word.
//!
//! Out of scope: how it is found.

use serde::{Deserialize, Serialize};

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Every line is as it was written, by keys that a trusted key vouches for.
    Valid,
    /// Every line fits, but the key behind the ledger is not trusted; or the one behind a checkpoint of
    /// more lines than there are is not known ([`AnchorVerdict::UnknownKey`](crate::verify::AnchorVerdict::UnknownKey)); or a logged checkpoint could
    /// not be compared.
    Untrusted,
    /// Valid, up to a last line that an interrupted write left.
    TornTail,
    /// Something was changed, removed, added or damaged.
    Tampered,
    /// The lines fit each other and not what was signed for earlier: lines were cut off the end, or
    /// another history was written with the key.
    Rewritten,
}
