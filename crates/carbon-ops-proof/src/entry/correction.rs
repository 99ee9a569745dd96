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

use super::control::{self, ascending, members, note, number, only, optional, reason};
use super::time::time;
use super::vocabulary::{CorrectionReason, RestatementReason};
use super::{Entry, Fault, check_payload, hex_member, text};
use crate::canonical::{Object, Value};

/// How many records a restatement may list; a range has no such limit.
const MAX_LISTED: usize = 4096;
/// How many changes a restatement may name, and how many totals.
const MAX_ITEMS: usize = 64;
/// How long the texts of a restatement may be, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What one record should have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The number of the record, or of an earlier correction of it.
    pub corrects: u64,
    /// The leaf hash of that whole line, so that no other can be meant.
    pub corrects_leaf: [u8; 32],
    /// Why.
    pub reason: CorrectionReason,
    /// Why, for people.
    pub note: Option<String>,
    /// What stands instead.
    pub outcome: Outcome,
    /// The number of the restatement that this is part of.
    pub restatement: Option<u64>,
}

/// What stands instead of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Another payload, whole.
    Replaced(Object),
    /// Nothing: the record does not count. If it was itself a correction, what that corrected
    /// stands again.
    Retracted,
}

impl Correction {
    pub(super) fn read(entry: &Entry) -> Result<Self, Fault> {
        let object = &entry.object;
        only(
            object,
            &[
                "corrects",
                "corrects_leaf",
                "note",
                "prev_hash",
                "reason",
                "replacement",
                "restatement",
                "retraction",
            ],
        )?;
        let earlier = |name| {
            let seq = object.get(name).and_then(Value::as_u64);
            seq.filter(|seq| (1..entry.seq).contains(seq))
                .ok_or(Fault::Member { name, expected: "the number of an earlier record" })
        };
        let reason = reason(object, CorrectionReason::from_word, "a reason for a correction")?;
        let note = note(object, reason == CorrectionReason::Other)?;
        let restatement =
            object.contains("restatement").then(|| earlier("restatement")).transpose()?;
        if restatement.is_some() != (reason == CorrectionReason::Restatement) {
            return Err(Fault::Member {
                name: "restatement",
                expected: "there when it is the reason, and only then",
            });
        }
        Ok(Self {
            corrects: earlier("corrects")?,
            corrects_leaf: hex_member(object, "corrects_leaf", "64 lower-case hex digits")?,
            reason,
            note,
            outcome: outcome(object)?,
            restatement,
        })
    }

    /// The members of this record's own.
    pub(crate) fn add_to(&self, object: &mut Object) -> Result<(), Fault> {
        object.insert("corrects", number("corrects", self.corrects)?);
        object.insert("corrects_leaf", base16ct::lower::encode_string(&self.corrects_leaf));
        object.insert("reason", self.reason.as_str());
        insert_text(object, "note", self.note.as_deref());
        if let Some(restatement) = self.restatement {
            object.insert("restatement", number("restatement", restatement)?);
        }
        match &self.outcome {
            Outcome::Replaced(payload) => object.insert("replacement", payload.clone()),
            Outcome::Retracted => object.insert("retraction", true),
        };
        Ok(())
    }
}

fn outcome(object: &Object) -> Result<Outcome, Fault> {
    let wrong = Fault::Member {
        name: "replacement",
        expected: "the payload that should have been, unless there is a \"retraction\":true",
    };
    match (object.get("replacement"), object.get("retraction")) {
        (Some(Value::Object(payload)), None) => {
            check_payload(payload)?;
            Ok(Outcome::Replaced(payload.clone()))
        }
        (None, Some(Value::Bool(true))) => Ok(Outcome::Retracted),
        _ => Err(wrong),
    }
}

/// Many records are calculated anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Restatement {
    /// Which records.
    pub scope: Scope,
    /// Why.
    pub reason: RestatementReason,
    /// Why, for people.
    pub note: Option<String>,
    /// What is done otherwise now: at least one thing.
    pub changes: Vec<Change>,
    /// Totals of these records before and after.
    pub totals: BTreeMap<String, Totals>,
    /// The reporting period whose figures change, from and to.
    pub period: Option<(String, String)>,
}

/// The records that are restated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All from the first to the last, both included.
    Range {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
    },
    /// These, in ascending order.
    List(Vec<u64>),
}

impl Scope {
    /// Whether a record is among them.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        match self {
            Self::Range { first, last } => (*first..=*last).contains(&seq),
            Self::List(list) => list.binary_search(&seq).is_ok(),
        }
    }
}

/// Something that is done otherwise: a method, a factor, a boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What: the name of a factor, a method, an input.
    pub subject: String,
    /// Its version or value before.
    pub before: String,
    /// Its version or value now.
    pub after: String,
}

/// One total before and after. A number, or the decimal digits of a large integer.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Before.
    pub before: Value,
    /// Now.
    pub after: Value,
}

impl Restatement {
    pub(super) fn read(entry: &Entry) -> Result<Self, Fault> {
        let object = &entry.object;
        only(
            object,
            &[
                "changes",
                "first",
                "last",
                "note",
                "period",
                "prev_hash",
                "reason",
                "records",
                "totals",
            ],
        )?;
        let reason = reason(object, RestatementReason::from_word, "a reason for a restatement")?;
        Ok(Self {
            scope: scope(object, entry.seq)?,
            reason,
            note: note(object, false)?,
            changes: changes(object.get("changes"))?,
            totals: optional(object.get("totals"), totals)?.unwrap_or_default(),
            period: optional(object.get("period"), period)?,
        })
    }

    /// The members of this record's own.
    pub(crate) fn add_to(&self, object: &mut Object) -> Result<(), Fault> {
        match &self.scope {
            Scope::Range { first, last } => {
                object.insert("first", number("first", *first)?);
                object.insert("last", number("last", *last)?);
            }
            Scope::List(list) => {
                let seqs: Result<Vec<Value>, Fault> =
                    list.iter().map(|seq| Ok(number("records", *seq)?.into())).collect();
                object.insert("records", seqs?);
            }
        }
        object.insert("reason", self.reason.as_str());
        insert_text(object, "note", self.note.as_deref());
        object.insert("changes", self.changes.iter().map(Change::to_value).collect::<Vec<_>>());
        if !self.totals.is_empty() {
            let mut totals = Object::new();
            for (name, Totals { before, after }) in &self.totals {
                let total = [("after", after.clone()), ("before", before.clone())];
                totals.insert(name.as_str(), control::object(total));
            }
            object.insert("totals", totals);
        }
        if let Some((from, to)) = &self.period {
            let period = [("from_ts", from.as_str().into()), ("to_ts", to.as_str().into())];
            object.insert("period", control::object(period));
        }
        Ok(())
    }
}

impl Change {
    fn to_value(&self) -> Value {
        let members =
            [("after", &self.after), ("before", &self.before), ("subject", &self.subject)];
        control::object(members.map(|(name, text)| (name, text.as_str().into()))).into()
    }
}

fn scope(object: &Object, seq: u64) -> Result<Scope, Fault> {
    let wrong = Fault::Member {
        name: "records",
        expected: "the numbers of earlier records, ascending, unless there are first and last",
    };
    let earlier = |value: &Value| value.as_u64().filter(|record| (1..seq).contains(record));
    let of = |name| object.get(name).map(|value| earlier(value).ok_or_else(|| wrong.clone()));
    match (of("first").transpose()?, of("last").transpose()?, object.get("records")) {
        (Some(first), Some(last), None) if first <= last => Ok(Scope::Range { first, last }),
        (None, None, Some(Value::Array(items))) if (1..=MAX_LISTED).contains(&items.len()) => {
            ascending(items, |a, b| a < b, earlier).map(Scope::List).ok_or(wrong)
        }
        _ => Err(wrong),
    }
}

fn changes(value: Option<&Value>) -> Result<Vec<Change>, Fault> {
    let wrong = Fault::Member { name: "changes", expected: "1 to 64 changes" };
    let items = value.and_then(Value::as_array).unwrap_or_default();
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(wrong);
    }
    items.iter().map(|item| change(item).ok_or_else(|| wrong.clone())).collect()
}

fn change(item: &Value) -> Option<Change> {
    let object = item.as_object()?;
    members(object, &["after", "before", "subject"]).ok()?;
    let part = |name| {
        text(object, name).filter(|t| (1..=MAX_TEXT_BYTES).contains(&t.len())).map(str::to_owned)
    };
    let change =
        Change { subject: part("subject")?, before: part("before")?, after: part("after")? };
    (change.before != change.after).then_some(change)
}

fn totals(value: &Value) -> Result<BTreeMap<String, Totals>, Fault> {
    let wrong = Fault::Member {
        name: "totals",
        expected: "1 to 64 totals, each with a number or decimal digits before and after",
    };
    let object = value.as_object().filter(|object| (1..=MAX_ITEMS).contains(&object.len()));
    let mut totals = BTreeMap::new();
    for (name, total) in object.ok_or_else(|| wrong.clone())?.iter() {
        let total = total.as_object().filter(|total| {
            members(total, &["after", "before"]).is_ok() && name.len() <= MAX_TEXT_BYTES
        });
        let amount = |of| {
            let amount = total.and_then(|total| total.get(of)).filter(|amount| is_amount(amount));
            amount.cloned().ok_or_else(|| wrong.clone())
        };
        totals
            .insert(name.to_owned(), Totals { before: amount("before")?, after: amount("after")? });
    }
    Ok(totals)
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

fn period(value: &Value) -> Result<(String, String), Fault> {
    let wrong = Fault::Member { name: "period", expected: "a from_ts and a later to_ts" };
    let read = || {
        let object = value.as_object()?;
        members(object, &["from_ts", "to_ts"]).ok()?;
        let (from, to) = (text(object, "from_ts")?, text(object, "to_ts")?);
        (time(from)? < time(to)?).then(|| (from.to_owned(), to.to_owned()))
    };
    read().ok_or(wrong)
}

pub(super) fn insert_text(object: &mut Object, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        object.insert(name, text);
    }
}
