//! The records that supersede others without deleting them: one at a time with the right content
//! (`correction`), or many at once with the change of method behind it (`restatement`).
//!
//! They are two types and not one with a scope, because they have nothing in common but a reason and
//! a note: a correction carries the record as it should have been, and a restatement carries none; it
//! says by which change of method or factor a whole period is calculated anew, and what that does to
//! its totals. A reader who sums records can apply every correction; a restatement without its
//! records' new values can only be told of.
//!
//! Out of scope: what a payload means, and the totals' names, which belong to the record layer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::form::{are_earlier, check_note, must};
use super::layout::check_payload;
use super::time::time;
use super::vocabulary::{CorrectionReason, RestatementReason};
use crate::canonical::{Object, Value};
use crate::fault::Fault;
use crate::hex;

/// How many records a restatement may list; a range has no such limit.
const MAX_LISTED: usize = 4096;
/// How many changes a restatement may name, and how many totals.
const MAX_ITEMS: usize = 64;
/// How long the texts of a restatement may be, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What one record should have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// The number of the record, or of an earlier correction of it.
    pub corrects: u64,
    /// The leaf hash of that whole line, so that no other can be meant.
    #[serde(with = "hex")]
    pub corrects_leaf: [u8; 32],
    /// Why.
    pub reason: CorrectionReason,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What stands instead.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The number of the restatement that this is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restatement: Option<u64>,
}

/// What stands instead of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Another payload, whole.
    #[serde(rename = "replacement")]
    Replaced(Object),
    /// Nothing: the record does not count. If it was itself a correction, what that corrected
    /// stands again.
    #[serde(rename = "retraction", with = "truth")]
    Retracted,
}

/// Of what holds: only `true`.
mod truth {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(true)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<(), D::Error> {
        bool::deserialize(from).map(drop)
    }
}

impl Correction {
    pub(super) fn check(&self, seq: u64) -> Result<(), Fault> {
        let expected = "the number of an earlier record";
        must(are_earlier(&[self.corrects], seq), "corrects", expected)?;
        must(are_earlier(self.restatement.as_slice(), seq), "restatement", expected)?;
        must(
            self.restatement.is_some() == (self.reason == CorrectionReason::Restatement),
            "restatement",
            "there when it is the reason, and only then",
        )?;
        check_note(self.note.as_ref(), self.reason == CorrectionReason::Other)?;
        match &self.outcome {
            Outcome::Replaced(payload) => check_payload(payload),
            Outcome::Retracted => Ok(()),
        }
    }
}

/// Many records are calculated anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restatement {
    /// Which records.
    #[serde(flatten)]
    pub scope: Scope,
    /// Why.
    pub reason: RestatementReason,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is done otherwise now: at least one thing.
    pub changes: Vec<Change>,
    /// Totals of these records before and after.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub totals: BTreeMap<String, Totals>,
    /// The reporting period whose figures change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
}

/// The records that are restated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scope {
    /// All from the first to the last, both included.
    Range {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
    },
    /// These.
    List {
        /// Their numbers, in ascending order.
        records: Vec<u64>,
    },
}

impl Scope {
    /// Whether a record is among them.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        match self {
            Self::Range { first, last } => (*first..=*last).contains(&seq),
            Self::List { records } => records.binary_search(&seq).is_ok(),
        }
    }
}

/// Something that is done otherwise: a method, a factor, a boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What: the name of a factor, a method, an input.
    pub subject: String,
    /// Its version or value before.
    pub before: String,
    /// Its version or value now.
    pub after: String,
}

/// One total before and after. A number, or the decimal digits of a large integer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Before.
    pub before: Value,
    /// Now.
    pub after: Value,
}

/// A time from and to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// When it began.
    pub from_ts: String,
    /// When it ended.
    pub to_ts: String,
}

impl Restatement {
    pub(super) fn check(&self, seq: u64) -> Result<(), Fault> {
        let scope = match &self.scope {
            Scope::Range { first, last } => {
                first <= last && are_earlier(&[*first], seq) && are_earlier(&[*last], seq)
            }
            Scope::List { records } => {
                (1..=MAX_LISTED).contains(&records.len()) && are_earlier(records, seq)
            }
        };
        let expected = "the numbers of earlier records, ascending, unless there are first and last";
        must(scope, "records", expected)?;
        check_note(self.note.as_ref(), false)?;
        let changes = (1..=MAX_ITEMS).contains(&self.changes.len())
            && self.changes.iter().all(Change::is_one);
        must(changes, "changes", "1 to 64 changes, of texts of 1 to 256 bytes")?;
        let totals = self.totals.len() <= MAX_ITEMS
            && self.totals.iter().all(|(name, total)| {
                name.len() <= MAX_TEXT_BYTES
                    && [&total.before, &total.after].map(is_amount) == [true; 2]
            });
        let expected = "1 to 64 totals, each with a number or decimal digits before and after";
        must(totals, "totals", expected)?;
        let period = self.period.as_ref().is_none_or(|Period { from_ts, to_ts }| {
            time(from_ts).zip(time(to_ts)).is_some_and(|(from, to)| from < to)
        });
        must(period, "period", "a from_ts and a later to_ts")
    }
}

impl Change {
    fn is_one(&self) -> bool {
        let Self { subject, before, after } = self;
        let texts = [subject, before, after];
        texts.iter().all(|text| (1..=MAX_TEXT_BYTES).contains(&text.len())) && before != after
    }
}

/// A number, or an integer as decimal digits without leading zeroes.
fn is_amount(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(digits) => {
            digits.parse::<u64>().is_ok_and(|number| number.to_string() == *digits)
        }
        _ => false,
    }
}
