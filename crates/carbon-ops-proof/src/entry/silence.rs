//! The records that make silence visible: a `heartbeat` promises that more will come by a time, and a
//! `gap` says that for a time nothing could.
//!
//! Out of scope: noticing that a promise was not kept, which is `verify/life.rs`, and energy that no
//! record covers, which the record layer counts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form::{check_note, must};
use super::time::{later, time, time_text};
use super::vocabulary::GapReason;
use crate::fault::Fault;

/// The longest interval that can be promised, a month: whoever is silent for longer promises nothing.
const MAX_INTERVAL_S: u64 = 31 * 24 * 60 * 60;

/// How many domains a gap may name, and how long a name may be: as many as a record can have.
const MAX_DOMAINS: usize = 256;
const MAX_NAME_BYTES: usize = 256;

/// A time for which nothing was recorded, and it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it began.
    pub from_ts: String,
    /// When it ended.
    pub to_ts: String,
    /// Why.
    pub reason: GapReason,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The host that it concerns, as its records call it; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// The energy domains that it concerns, ascending; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// The energy that was used in it is at most so many µJ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_uj: Option<u64>,
}

/// A promise that there will be another entry by a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// From here on, no two entries are further apart than so many seconds; 0 ends the promise.
    pub interval_s: u64,
    /// When the next entry is due: `created_ts` and the interval. Absent when the promise ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_by: Option<String>,
}

impl Gap {
    pub(super) fn check(&self, created_ts: &str) -> Result<(), Fault> {
        let order = self.times().zip(time(created_ts));
        must(
            order.is_some_and(|((from, to), now)| from < to && to <= now),
            "from_ts",
            "before to_ts, and that not after created_ts",
        )?;
        check_note(self.note.as_ref(), self.reason == GapReason::Other)?;
        let is_name = |name: &String| (1..=MAX_NAME_BYTES).contains(&name.len());
        must(self.host_id.iter().all(is_name), "host_id", "a text of 1 to 256 bytes")?;
        let domains = self.domains.as_ref().is_none_or(|names| {
            (1..=MAX_DOMAINS).contains(&names.len())
                && names.iter().all(is_name)
                && names.is_sorted_by(|a, b| a < b)
        });
        must(domains, "domains", "1 to 256 names in ascending order")
    }

    /// From when to when, as times.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        time(&self.from_ts).zip(time(&self.to_ts))
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
        must(interval_s <= MAX_INTERVAL_S, "interval_s", "0 to 2678400 seconds")?;
        let due = created.filter(|_| interval_s > 0).and_then(|now| later(now, interval_s));
        must(interval_s == 0 || due.is_some(), "created_ts", "a time of the calendar")?;
        Ok(Self { interval_s, next_by: due.map(time_text) })
    }

    pub(super) fn check(&self, created_ts: &str) -> Result<(), Fault> {
        must(
            *self == Self::promised(time(created_ts), self.interval_s)?,
            "next_by",
            "created_ts and interval_s, and absent when that is 0",
        )
    }
}
