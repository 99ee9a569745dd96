//! The records that make silence visible: a `heartbeat` promises that more will come by a time, and a
//! `gap` says that for a time nothing could.
//!
//! Out of scope: noticing that a promise was not kept, which is `verify/cadence.rs`, and energy that no
//! record covers, which the record layer counts.

use jiff::Timestamp;

use super::control::{note, number, only, optional, reason};
use super::correction::insert_text;
use super::time::{later, time, time_text};
use super::vocabulary::GapReason;
use super::{Entry, Fault, text};
use crate::canonical::{Number, Object, Value};

/// The longest interval that can be promised, a month: whoever is silent for longer promises nothing.
const MAX_INTERVAL_S: u64 = 31 * 24 * 60 * 60;

/// What an interval must be.
const INTERVAL: &str = "0 to 2678400 seconds";

/// How many domains a gap may name, and how long a name may be: as many as a record can have.
const MAX_DOMAINS: usize = 256;
const MAX_NAME_BYTES: usize = 256;

/// A time for which nothing was recorded, and it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it began.
    pub from_ts: String,
    /// When it ended.
    pub to_ts: String,
    /// Why.
    pub reason: GapReason,
    /// Why, for people.
    pub note: Option<String>,
    /// The host that it concerns, as its records call it; all without it.
    pub host_id: Option<String>,
    /// The energy domains that it concerns, ascending; all without it.
    pub domains: Option<Vec<String>>,
    /// The energy that was used in it is at most so many µJ.
    pub bound_uj: Option<u64>,
}

/// A promise that there will be another entry by a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// From here on, no two entries are further apart than so many seconds; 0 ends the promise.
    pub interval_s: u64,
    /// When the next entry is due: `created_ts` and the interval. Absent when the promise ends.
    pub next_by: Option<String>,
}

impl Gap {
    pub(super) fn read(entry: &Entry, created_ts: &str) -> Result<Self, Fault> {
        let object = &entry.object;
        only(
            object,
            &["bound_uj", "domains", "from_ts", "host_id", "note", "prev_hash", "reason", "to_ts"],
        )?;
        let times = [text(object, "from_ts"), text(object, "to_ts"), Some(created_ts)];
        let [from, to, now] = times.map(|text| text.and_then(time));
        if from.zip(to).zip(now).is_none_or(|((from, to), now)| from >= to || to > now) {
            return Err(Fault::Member {
                name: "from_ts",
                expected: "before to_ts, and that not after created_ts",
            });
        }
        let own = |name| text(object, name).unwrap_or_default().to_owned();
        let reason = reason(object, GapReason::from_word, "a reason for a gap")?;
        Ok(Self {
            reason,
            note: note(object, reason == GapReason::Other)?,
            from_ts: own("from_ts"),
            to_ts: own("to_ts"),
            host_id: optional(object.get("host_id"), |id| name("host_id", id))?,
            domains: optional(object.get("domains"), domains)?,
            bound_uj: optional(object.get("bound_uj"), |bound| {
                let wrong = Fault::Member { name: "bound_uj", expected: "a non-negative integer" };
                bound.as_u64().ok_or(wrong)
            })?,
        })
    }

    /// From when to when, as times.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        time(&self.from_ts).zip(time(&self.to_ts))
    }

    /// The members of this record's own.
    pub(crate) fn add_to(&self, object: &mut Object) -> Result<(), Fault> {
        object.insert("from_ts", self.from_ts.as_str());
        object.insert("to_ts", self.to_ts.as_str());
        object.insert("reason", self.reason.as_str());
        insert_text(object, "note", self.note.as_deref());
        insert_text(object, "host_id", self.host_id.as_deref());
        if let Some(domains) = &self.domains {
            let names: Vec<Value> = domains.iter().map(|name| name.as_str().into()).collect();
            object.insert("domains", names);
        }
        if let Some(bound) = self.bound_uj {
            object.insert("bound_uj", number("bound_uj", bound)?);
        }
        Ok(())
    }
}

impl Heartbeat {
    /// A promise made at a time.
    ///
    /// # Errors
    ///
    /// When the interval is longer than 31 days or ends beyond the year 9999.
    pub fn at(created: Timestamp, interval_s: u64) -> Result<Self, Fault> {
        Self::promised(Some(created), interval_s)
    }

    /// A promise made at a time of the calendar, or, if there is no next one, at any.
    fn promised(created: Option<Timestamp>, interval_s: u64) -> Result<Self, Fault> {
        if interval_s > MAX_INTERVAL_S {
            return Err(Fault::Member { name: "interval_s", expected: INTERVAL });
        }
        Ok(Self { interval_s, next_by: next_by(created, interval_s)? })
    }

    pub(super) fn read(entry: &Entry, created_ts: &str) -> Result<Self, Fault> {
        let object = &entry.object;
        only(object, &["interval_s", "next_by", "prev_hash"])?;
        let interval_s = object
            .get("interval_s")
            .and_then(Value::as_u64)
            .ok_or(Fault::Member { name: "interval_s", expected: INTERVAL })?;
        let heartbeat = Self::promised(time(created_ts), interval_s)?;
        let due = object.get("next_by").map(|due| due.as_str().unwrap_or_default());
        if due != heartbeat.next_by.as_deref() {
            return Err(Fault::Member {
                name: "next_by",
                expected: "created_ts and interval_s, and absent when that is 0",
            });
        }
        Ok(heartbeat)
    }

    /// The members of this record's own.
    pub(crate) fn add_to(&self, object: &mut Object) -> Result<(), Fault> {
        let wrong = |_| Fault::Member { name: "interval_s", expected: INTERVAL };
        object.insert("interval_s", Number::try_from(self.interval_s).map_err(wrong)?);
        insert_text(object, "next_by", self.next_by.as_deref());
        Ok(())
    }
}

fn next_by(created: Option<Timestamp>, interval_s: u64) -> Result<Option<String>, Fault> {
    if interval_s == 0 {
        return Ok(None);
    }
    let due = created.and_then(|now| later(now, interval_s));
    match due {
        Some(due) => Ok(Some(time_text(due))),
        None => Err(Fault::Member { name: "created_ts", expected: "a time of the calendar" }),
    }
}

fn name(member: &'static str, value: &Value) -> Result<String, Fault> {
    let name = value.as_str().filter(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
    name.map(str::to_owned)
        .ok_or(Fault::Member { name: member, expected: "a text of 1 to 256 bytes" })
}

fn domains(value: &Value) -> Result<Vec<String>, Fault> {
    let wrong = Fault::Member { name: "domains", expected: "1 to 256 names in ascending order" };
    let items = value.as_array().filter(|items| (1..=MAX_DOMAINS).contains(&items.len()));
    let names: Result<Vec<String>, Fault> =
        items.ok_or_else(|| wrong.clone())?.iter().map(|item| name("domains", item)).collect();
    let names = names?;
    if names.is_sorted_by(|a, b| a < b) { Ok(names) } else { Err(wrong) }
}
