//! Sums by what records have in common, each over records that count the same.
//!
//! What emits CO2 alone and what counts all gases, an average and a marginal rate, direct emissions and a life cycle
//! are never added. Two records of one energy, direct and upstream, are a life cycle together.
//!
//! Out of scope: which records a sum counts ([`RecordSet`]); how many trials are worth their time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use carbon_ops_estimate::intensity::{Factor, parse_kind_and_factor};
use carbon_ops_estimate::uncertainty::MonteCarlo;

use super::{Group, Joint, RecordSet, Totals};
use crate::{Error, Figure, Record};

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
    /// Records that began on one day in UTC.
    Day,
    /// Records whose figure of operation counts as the same.
    Scope,
    /// Records with the same label of that name.
    Label(String),
}

impl GroupBy {
    /// All but labels, by name.
    const NAMED: [(&str, Self); 6] = [
        ("all", Self::All),
        ("region", Self::Region),
        ("source", Self::Source),
        ("host", Self::Host),
        ("day", Self::Day),
        ("scope", Self::Scope),
    ];

    /// The group that a record is in.
    fn key(&self, record: &Record) -> String {
        let owned = |text: Option<&str>| text.unwrap_or(NONE).to_owned();
        match self {
            Self::All => "all".to_owned(),
            Self::Region => record.region.clone(),
            Self::Source => record.source.clone(),
            Self::Host => owned(record.host_id.as_deref()),
            Self::Scope => record.scopes_of(Figure::Operational),
            // A span belongs to the day on which it began.
            Self::Day => owned(record.start_ts.get(..10)),
            Self::Label(name) => owned(record.labels.get(name).map(String::as_str)),
        }
    }
}

impl FromStr for GroupBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, by)) = Self::NAMED.into_iter().find(|(name, _)| *name == text) {
            return Ok(by);
        }
        let label = text.strip_prefix("label:").filter(|name| !name.is_empty());
        let label = label.map(|name| Self::Label(name.to_owned()));
        label.ok_or("give all, region, source, host, day, scope, or label:NAME")
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Label(name) = self {
            return write!(f, "label:{name}");
        }
        let name = Self::NAMED.into_iter().find(|(_, by)| by == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// Sums of groups of records.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// One for each group and what its records count, in the order of their names.
    pub groups: Vec<(String, Totals)>,
    /// Of all records; `None` where these count different things.
    pub all: Option<Totals>,
    /// What the records count, where that is known: `average lifecycle CO2e`.
    pub counts: Vec<String>,
}

impl Sums {
    /// Of records, among which may be copies and parts of others, by moments or by trials.
    ///
    /// # Errors
    /// Copies that differ, a record that is a part of itself, trials that are impossible.
    pub fn of(
        records: &[Record],
        by: &GroupBy,
        sampling: Option<&MonteCarlo>,
    ) -> Result<Self, Error> {
        let set = RecordSet::of(records)?;
        let everything: Vec<_> = records.iter().collect();
        let counted = Counted::of(&set.summands(&everything).records);
        let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let key = by.key(record);
            let key = match counted.name(record) {
                None => key,
                Some(name) if *by == GroupBy::All => name,
                Some(name) => format!("{key}: {name}"),
            };
            groups.entry(key).or_default().push(record);
        }
        let sum = |records: &[&Record]| totals(&set, records, sampling);
        let groups = groups.into_iter().map(|(key, records)| Ok((key, sum(&records)?)));
        let groups = groups.collect::<Result<Vec<_>, Error>>()?;
        let all = match &groups[..] {
            _ if counted.differ() => None,
            [(_, only)] => Some(only.clone()),
            _ => Some(sum(&everything)?),
        };
        Ok(Self { groups, all, counts: counted.names.into_iter().collect() })
    }
}

/// The sum over records, by moments or by trials; each joule once.
fn totals(
    set: &RecordSet<'_>,
    records: &[&Record],
    sampling: Option<&MonteCarlo>,
) -> Result<Totals, Error> {
    let summands = set.summands(records);
    let mut group = Group::default();
    for record in &summands.records {
        group.merge(&Group::of(record)?);
    }
    let overlaps = summands.overlaps();
    let totals = Totals { left_out: summands.left_out, overlaps, ..group.totals() };
    match sampling {
        Some(settings) if !records.is_empty() => {
            Ok(totals.by_trials(&Joint::of(&summands.records, settings)?))
        }
        _ => Ok(totals),
    }
}

/// What records count.
struct Counted {
    names: BTreeSet<String>,
    /// Whether what is direct and what is upstream are two records of the same energy.
    whole: bool,
}

impl Counted {
    fn of(records: &[&Record]) -> Self {
        let energy = |factor| {
            let of = records.iter().filter(|record| factor_of(record) == Some(factor));
            of.map(|record| record.energy_kwh).sum::<f64>()
        };
        let (direct, upstream) = (energy(Factor::Direct), energy(Factor::Upstream));
        let whole = upstream > 0.0 && (direct - upstream).abs() <= 1e-9 * upstream;
        let mut counted = Self { names: BTreeSet::new(), whole };
        counted.names = records.iter().filter_map(|record| counted.what(record)).collect();
        counted
    }

    fn differ(&self) -> bool {
        self.names.len() > 1
    }

    /// What a record counts; `None` where nobody stated it.
    fn what(&self, record: &Record) -> Option<String> {
        let (kind, factor) = parse_kind_and_factor(&record.signal).ok()?;
        let factor = match factor {
            Some(Factor::Direct | Factor::Upstream) if self.whole => Some(Factor::Lifecycle),
            factor => factor,
        };
        let gases = if record.gases.is_some() { "CO2" } else { "CO2e" };
        Some(factor.map_or(format!("{kind} {gases}"), |factor| format!("{kind} {factor} {gases}")))
    }

    /// The name of its sum, where there are several.
    fn name(&self, record: &Record) -> Option<String> {
        let what = || self.what(record).unwrap_or_else(|| "not stated what".to_owned());
        self.differ().then(what)
    }
}

fn factor_of(record: &Record) -> Option<Factor> {
    parse_kind_and_factor(&record.signal).ok()?.1
}
