//! Audit packs: one file that shows lines of a ledger, or all of them, to somebody who has nothing else
//! but the keys that they trust. `docs/formats/audit-pack-v1.md` has it byte by byte.
//!
//! The lines of the ledger stand in it as they are, after a few lines of the pack's own: a head, the
//! checkpoint, perhaps an earlier checkpoint and a policy. The same ledger and choice give the same
//! bytes.
//!
//! Out of scope: what an entry means (the caller passes a check), and whom to trust.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{Value, to_canonical};
use crate::merkle::TreeHash;

mod build;
mod check;
#[cfg(test)]
mod tests;

pub use build::{Contents, LineSource, PackError, Packed, write_pack_from};
pub(crate) use build::{key_changes, proven_line};
pub use check::{PackFault, PackReport, PackStatus, verify_pack};

/// The longest line of the pack's own: a checkpoint of 1 MiB, in which JSON may double bytes, and more
/// than the longest policy and path.
const MAX_FRAME_BYTES: usize = 4 << 20;
/// The most numbers and ranges that a selection may have.
const MAX_RANGES: usize = 100_000;

/// Which entries a pack shows.
///
/// ```
/// use carbon_ops_proof::pack::Selection;
/// let some: Selection = "7,1..3,3..5".parse().unwrap();
/// assert_eq!(some.to_string(), "1..5,7");
/// assert!(some.contains(4) && !some.contains(6));
/// assert_eq!("all".parse::<Selection>().unwrap(), Selection::All);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The whole ledger, up to its checkpoint.
    All,
    /// Entries by their numbers, both ends included: ascending, and no two touch.
    Some(Vec<RangeInclusive<u64>>),
}

/// A text that selects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a selection is `all`, or numbers and ranges such as 1,5..9")]
pub struct NotASelection;

impl Selection {
    /// Whether the entry with this number is one of them.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        match self {
            Self::All => true,
            Self::Some(ranges) => {
                let at = ranges.partition_point(|range| *range.end() < seq);
                ranges.get(at).is_some_and(|range| range.contains(&seq))
            }
        }
    }

    /// The largest number that was asked for.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        match self {
            Self::All => None,
            Self::Some(ranges) => ranges.last().map(|range| *range.end()),
        }
    }
}

impl FromStr for Selection {
    type Err = NotASelection;

    fn from_str(text: &str) -> Result<Self, NotASelection> {
        if text == "all" {
            return Ok(Self::All);
        }
        let mut asked = Vec::new();
        for word in text.split(',') {
            let (first, last) = word.split_once("..").unwrap_or((word, word));
            let number = |digits: &str| digits.trim().parse().map_err(|_| NotASelection);
            let (first, last): (u64, u64) = (number(first)?, number(last)?);
            if first > last || asked.len() >= MAX_RANGES {
                return Err(NotASelection);
            }
            asked.push(first..=last);
        }
        asked.sort_by_key(|range| *range.start());
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for range in asked {
            match ranges.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => ranges.push(range),
            }
        }
        Ok(Self::Some(ranges))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(ranges) = self else { return f.write_str("all") };
        for (at, range) in ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}..{last}")?,
            }
        }
        Ok(())
    }
}

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
