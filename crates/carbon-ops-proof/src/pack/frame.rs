//! The lines of a pack's own: one spelling for each.
//!
//! Out of scope: their order, and what they claim.

use serde::{Deserialize, Serialize};

use crate::canonical::{Value, to_canonical};
use crate::merkle::TreeHash;

/// The longest line of the pack's own: a checkpoint of 1 MiB, in which JSON may double bytes, and more
/// than the longest policy and path.
pub(super) const MAX_FRAME_BYTES: usize = 4 << 20;

/// A line of the pack's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pack", rename_all = "snake_case")]
pub(crate) enum Frame {
    /// The first line, with the name and version of the format.
    #[serde(rename = "audit-pack-v1")]
    Head {
        ledger_format: LedgerFormat,
        ledger_id: String,
        /// How many lines the checkpoint covers, and how many entries follow.
        size: u64,
        entries: u64,
        /// Whether these are all lines of the ledger, without paths.
        whole: bool,
        /// Whether these frames follow.
        earlier: bool,
        policy: bool,
    },
    /// The checkpoint that all entries are held against.
    Checkpoint { note: String },
    /// A checkpoint that the first one extends, and the proof of that.
    Earlier {
        note: String,
        #[serde(rename = "consistency")]
        proof: Vec<TreeHash>,
    },
    /// What the pack's author found enough witnesses.
    Policy { text: String },
    /// Before an entry's line, unless the pack has the whole ledger: its path to the root.
    Entry { seq: u64, path: Vec<TreeHash> },
    /// The last line: the hash of all bytes before it.
    End { sha256: String },
}

/// The format of the lines in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LedgerFormat {
    #[serde(rename = "ledger-v1")]
    V1,
}

impl Frame {
    /// The line, with its newline.
    pub(crate) fn line(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).ok().and_then(|json| Value::try_from(json).ok());
        // Beyond 2^53 there is no ledger; what is written then is not read again.
        let mut line = to_canonical(&value.unwrap_or(Value::Null));
        line.push(b'\n');
        line
    }

    /// Reads a line without its newline; what is accepted is written as the same bytes.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let frame: Self = serde_json::from_slice(line).ok()?;
        // One spelling for all: no other members, no leading zeroes.
        let spelt = frame.line();
        (spelt.strip_suffix(b"\n") == Some(line)).then_some(frame)
    }
}
