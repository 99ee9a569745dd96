//! What records have in common: the group that a sum is over, and what its figures count.
//!
//! Out of scope: sums of groups (`sums`).

use std::fmt;
use std::str::FromStr;

use carbon_ops_estimate::intensity::{Factor, Kind, parse_kind_and_factor};

use crate::{Figure, Part, Record};

/// Name of what has no label, or no host, of its own.
const NONE: &str = "(none)";

/// What a sum is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Everything.
    All,
    /// Records of one region.
    Region,
    /// Records with one source of their intensity.
    Source,
    /// Records of one host.
    Host,
    /// Records that began in one hour in UTC.
    Hour,
    /// Records that began on one day in UTC.
    Day,
    /// Records that began in one month in UTC.
    Month,
    /// Records of one piece of work, as its owner calls it.
    Unit,
    /// Records of one program.
    Program,
    /// Records whose figure of operation counts as the same.
    Scope,
    /// Records whose grid is known equally near to their place and time.
    Precision,
    /// Records of units of work with the same id of that name; `kind` is whose words they are named in.
    UnitId(String),
    /// Records with the same label of that name.
    Label(String),
}

impl GroupBy {
    /// All but labels, by name.
    const NAMED: [(&str, Self); 12] = [
        ("all", Self::All),
        ("region", Self::Region),
        ("zone", Self::Region),
        ("source", Self::Source),
        ("host", Self::Host),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("month", Self::Month),
        ("unit", Self::Unit),
        ("program", Self::Program),
        ("scope", Self::Scope),
        ("precision", Self::Precision),
    ];

    /// Whether the rows of a monitor's samples, which their hosts hold, are told apart: by a label or a unit.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        matches!(self, Self::Label(_) | Self::Unit | Self::UnitId(_))
    }

    /// The group that a record is in, where there are several.
    pub(super) fn key(&self, record: &Record) -> Option<String> {
        let owned = |text: Option<&str>| text.unwrap_or(NONE).to_owned();
        Some(match self {
            Self::All => return None,
            Self::Region => record.region.clone(),
            Self::Source => record.source.clone(),
            Self::Host => owned(record.host_id.as_deref()),
            Self::Scope => record.scopes_of(Figure::Operational),
            // What has no sources is a row or a sample, which does not say.
            Self::Precision if record.grid.sources.is_empty() => NONE.to_owned(),
            Self::Precision => record.precision().to_string(),
            // A span belongs to the day on which it began.
            Self::Hour => owned(record.start_ts.get(..13)),
            Self::Day => owned(record.start_ts.get(..10)),
            Self::Month => owned(record.start_ts.get(..7)),
            Self::Unit => record.unit.as_ref().map_or_else(|| part(record), ToString::to_string),
            Self::UnitId(name) => owned(id_of(record, name)),
            Self::Program => {
                let workload = record.measurement.as_ref().and_then(|of| of.workload.as_ref());
                owned(workload.map(|workload| workload.program.as_str()))
            }
            Self::Label(name) => owned(record.labels.get(name).map(String::as_str)),
        })
    }
}

/// What is nobody's unit of work: what a host uses at rest, or what has no name.
fn part(record: &Record) -> String {
    let part = record.measurement.as_ref().map_or(Part::Workload, |measured| measured.part);
    if part == Part::Workload { NONE } else { part.as_str() }.to_owned()
}

fn id_of<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let unit = record.unit.as_ref()?;
    if name == "kind" { Some(&unit.kind) } else { unit.ids.get(name).map(String::as_str) }
}

impl FromStr for GroupBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, by)) = Self::NAMED.into_iter().find(|(name, _)| *name == text) {
            return Ok(by);
        }
        let (what, name) = text.split_once(':').unwrap_or((text, ""));
        match (what, name.to_owned()) {
            ("label", name) if !name.is_empty() => Ok(Self::Label(name)),
            ("unit", name) if !name.is_empty() => Ok(Self::UnitId(name)),
            _ => Err(
                "give all, region (or zone), source, host, hour, day, month, unit, unit:NAME, program, \
                 scope, precision, or label:NAME",
            ),
        }
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(name) => return write!(f, "label:{name}"),
            Self::UnitId(name) => return write!(f, "unit:{name}"),
            _ => {}
        }
        let name = Self::NAMED.into_iter().find(|(_, by)| by == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// What a record counts, where that is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counts {
    pub(super) kind: Kind,
    pub(super) factor: Option<Factor>,
    pub(super) co2_alone: bool,
}

impl Counts {
    pub(super) fn of(record: &Record) -> Option<Self> {
        let (kind, factor) = parse_kind_and_factor(&record.signal).ok()?;
        Some(Self { kind, factor, co2_alone: record.gases.is_some() })
    }
}
