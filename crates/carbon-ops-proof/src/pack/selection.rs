//! Which entries of a ledger a pack shows, as text and as ranges.
//!
//! Out of scope: the entries.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

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
    /// Of single entries, by their numbers in ascending order.
    #[must_use]
    pub fn of(seqs: &[u64]) -> Self {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for &seq in seqs {
            match ranges.last_mut() {
                Some(last) if seq <= last.end().saturating_add(1) => {
                    *last = *last.start()..=seq.max(*last.end());
                }
                _ => ranges.push(seq..=seq),
            }
        }
        Self::Some(ranges)
    }

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
