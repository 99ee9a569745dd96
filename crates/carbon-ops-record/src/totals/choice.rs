//! Which records are meant: those of a time, and those that have something in common.
//!
//! Rule: a record belongs to the period in which it began, whole. So periods that follow one another have every
//! record once, and a part of a record that began before the period counts there, with that record.
//!
//! Out of scope: sums (`sums`).

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::group_by::GroupBy;
use crate::{Error, Record, rule};

/// Which records are meant; by default all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The first instant of the period; none where there is no first one.
    pub from: Option<Timestamp>,
    /// The first instant after the period.
    pub to: Option<Timestamp>,
    /// What records have in common, all of it.
    pub common: Vec<Common>,
}

/// What records have in common: they are in one group of a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The groups.
    pub by: GroupBy,
    /// The name of the one that is meant.
    pub name: String,
}

/// Where a record stands to a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is meant.
    Chosen,
    /// It has all in common, and began before the period or after it.
    OtherTime,
    /// It has not.
    Other,
}

impl Choice {
    /// Where a record stands.
    ///
    /// # Errors
    /// When the start of the record is no time, which its check would have found.
    pub fn place(&self, record: &Record) -> Result<Place, Error> {
        if !self.common.iter().all(|common| common.has(record)) {
            return Ok(Place::Other);
        }
        if self.from.is_none() && self.to.is_none() {
            return Ok(Place::Chosen);
        }
        let start: Timestamp =
            record.start_ts.parse().map_err(|_| rule("start_ts", "RFC 3339 with an offset"))?;
        let inside =
            self.from.is_none_or(|from| from <= start) && self.to.is_none_or(|to| start < to);
        Ok(if inside { Place::Chosen } else { Place::OtherTime })
    }

    /// Whether all records are meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The same of the period before: as many months where the period is of whole months in UTC, else as long a
    /// time. None where the period has no start or no end.
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        let (from, to) = (self.from?, self.to?);
        let before = match (months(from), months(to)) {
            (Some(first), Some(last)) if first < last => {
                let start = TimeZone::UTC.to_datetime(from).checked_sub((last - first).months());
                TimeZone::UTC.to_timestamp(start.ok()?).ok()?
            }
            _ => from.checked_sub(to.duration_since(from)).ok()?,
        };
        Some(Self { from: Some(before), to: Some(from), common: self.common.clone() })
    }
}

/// The number of the month that begins at this instant.
fn months(at: Timestamp) -> Option<i32> {
    let at = TimeZone::UTC.to_datetime(at);
    (at == at.date().first_of_month().at(0, 0, 0, 0))
        .then(|| i32::from(at.year()) * 12 + i32::from(at.month()))
}

impl Common {
    fn has(&self, record: &Record) -> bool {
        self.by.key(record).is_some_and(|name| name == self.name)
    }
}

impl FromStr for Common {
    type Err = &'static str;

    /// `WHAT=NAME`, with what sums are over; any other word before the sign is the name of a label.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "give WHAT=NAME, such as zone=DE, program=make or team=a";
        let (what, name) = text.split_once('=').ok_or(wanted)?;
        let by = match what.parse() {
            Ok(GroupBy::All) => return Err(wanted),
            Ok(by) => by,
            Err(_) if what.is_empty() || what.contains(':') => return Err(wanted),
            Err(_) => GroupBy::Label(what.to_owned()),
        };
        Ok(Self { by, name: name.to_owned() })
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.by, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: &str, to: &str) -> Choice {
        let time = |text: &str| Some(text.parse().unwrap());
        Choice { from: time(from), to: time(to), common: Vec::new() }
    }

    #[test]
    fn the_period_before_has_as_many_months_or_is_as_long() {
        for (from, to, before) in [
            ("2026-03-01T00:00Z", "2026-04-01T00:00Z", "2026-02-01T00:00Z"),
            ("2026-01-01T00:00Z", "2027-01-01T00:00Z", "2025-01-01T00:00Z"),
            ("2026-03-01T00:00Z", "2026-03-08T00:00Z", "2026-02-22T00:00Z"),
            ("2026-03-01T01:00Z", "2026-04-01T01:00Z", "2026-01-29T01:00Z"),
        ] {
            assert_eq!(period(from, to).before(), Some(period(before, from)));
        }
        assert_eq!(
            Choice { to: None, ..period("2026-03-01T00:00Z", "2026-04-01T00:00Z") }.before(),
            None
        );
    }

    #[test]
    fn what_records_have_in_common_is_written_as_it_is_read() {
        for (text, echo) in [
            ("zone=DE", "region=DE"),
            ("host=a=b", "host=a=b"),
            ("label:team=a", "label:team=a"),
            ("team=a", "label:team=a"),
            ("team=", "label:team="),
        ] {
            assert_eq!(text.parse::<Common>().unwrap().to_string(), echo);
        }
        for text in ["", "team", "=a", "label:=a", "all=a"] {
            assert!(text.parse::<Common>().is_err(), "{text}");
        }
    }
}
