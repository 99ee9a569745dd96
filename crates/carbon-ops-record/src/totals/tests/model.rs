//! Sums as they are when all records lie there: what [`Adder`](super::Adder) is held against.

use std::collections::{BTreeMap, BTreeSet};

use carbon_ops_estimate::aggregate::ExactSum;
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{Factor, parse_kind_and_factor};
use carbon_ops_estimate::uncertainty::MonteCarlo;

use super::super::addend::One;
use super::super::{Amount, Group, GroupBy, Joint, LeftOut, Sums, Totals};
use crate::{Error, Part, Record};

fn is_upstream(record: &Record) -> bool {
    factor_of(record) == Some(Factor::Upstream)
}

/// Of records, among which may be copies and parts of others, by moments or by trials.
///
/// # Errors
/// Copies that differ, a record that is a part of itself, trials that are impossible.
pub(super) fn sums(
    records: &[Record],
    by: &GroupBy,
    sampling: Option<&MonteCarlo>,
) -> Result<Sums, Error> {
    let set = RecordSet::of(records)?;
    let everything: Vec<_> = records.iter().collect();
    let counted = Counted::of(&set.summands(&everything).records);
    let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let key = by.key(record).unwrap_or_else(|| "all".to_owned());
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
    Ok(Sums { groups, all, counts: counted.names.into_iter().collect() })
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
        group.add(&One::of((*record).clone())?);
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

/// Records by their ids: no two of them differ, and none is a part of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordSet<'a> {
    by_id: BTreeMap<&'a str, &'a Record>,
}

/// What a sum over some of a set's records counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summands<'a> {
    /// The records to add, in the order in which they were given.
    records: Vec<&'a Record>,
    /// What is not added, as it is in them already; `None` where that is nothing.
    left_out: Option<LeftOut>,
}

impl Summands<'_> {
    /// The records that overlap in time with another one of the same host and part; `None` where none does. What is
    /// upstream of electricity lies beside its direct record, and is no second energy.
    fn overlaps(&self) -> Option<Amount> {
        let mut spans: Vec<_> = self.records.iter().filter(|record| !is_upstream(record)).collect();
        spans.retain(|record| record.host_id.is_some());
        let part = |record: &Record| record.measurement.as_ref().map(|of| of.part);
        let key = |record: &Record| {
            (record.host_id.clone(), part(record).map(Part::as_str), record.start_ts.clone())
        };
        spans.sort_by_cached_key(|record| key(record));
        let mut tally = Tally::default();
        // The record that lasts longest of those before, and whether it was counted.
        let mut before: Option<(&Record, bool)> = None;
        for record in spans {
            let same =
                |other: &Record| (&other.host_id, part(other)) == (&record.host_id, part(record));
            let meets = |other: &Record| same(other) && record.start_ts < other.end_ts;
            let overlaps = before.is_some_and(|(other, _)| meets(other));
            if overlaps {
                tally.add(record);
                if let Some((other, counted @ false)) = &mut before {
                    tally.add(other);
                    *counted = true;
                }
            }
            let lasts =
                before.is_some_and(|(other, _)| same(other) && record.end_ts <= other.end_ts);
            if !lasts {
                before = Some((record, overlaps));
            }
        }
        (tally.records > 0).then(|| tally.amount())
    }
}

impl<'a> RecordSet<'a> {
    /// The set of these records, among which may be copies.
    ///
    /// # Errors
    /// [`Error::Differ`] where two records have one id and are not equal.
    fn of(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Error> {
        let mut set = Self::default();
        for record in records {
            let known = set.by_id.insert(&record.record_id, record);
            if known.is_some_and(|known| known != record) {
                return Err(Error::Differ { record_id: record.record_id.clone() });
            }
        }
        Ok(set)
    }

    /// What the sum over some records of the set counts: each once, and none that is a part of another of
    /// them, even where what is between the two is not among them.
    fn summands(&self, records: &[&'a Record]) -> Summands<'a> {
        let mut inside = Inside {
            set: self,
            summed: records.iter().map(|record| record.record_id.as_str()).collect(),
            known: BTreeMap::new(),
        };
        let mut seen = BTreeSet::new();
        let (mut kept, mut copies, mut nested) = (Vec::new(), Tally::default(), Tally::default());
        for &record in records {
            if !seen.insert(record.record_id.as_str()) {
                copies.add(record);
            } else if inside.holds(record) {
                nested.add(record);
            } else {
                kept.push(record);
            }
        }
        let left_out = (kept.len() < records.len())
            .then(|| LeftOut { copies: copies.amount(), nested: nested.amount() });
        Summands { records: kept, left_out }
    }

    /// The record that this one is directly a part of.
    fn around(&self, record: &Record) -> Option<&'a Record> {
        let parent = *self.by_id.get(record.parent.as_deref()?)?;
        let hosts = parent.host_id.as_ref().zip(record.host_id.as_ref());
        let one_host = hosts.is_none_or(|(outer, inner)| outer == inner);
        let meet = parent.start_ts < record.end_ts && record.start_ts < parent.end_ts;
        (one_host && meet).then_some(parent)
    }
}

/// Which records are parts of records in a sum.
struct Inside<'s, 'a> {
    set: &'s RecordSet<'a>,
    summed: BTreeSet<&'a str>,
    /// What was found out, so that a long chain is climbed once.
    known: BTreeMap<&'a str, bool>,
}

impl<'a> Inside<'_, 'a> {
    fn holds(&mut self, record: &'a Record) -> bool {
        let (mut at, mut climbed) = (record, Vec::new());
        let inside = loop {
            if let Some(known) = self.known.get(at.record_id.as_str()) {
                break *known;
            }
            climbed.push(at.record_id.as_str());
            match self.set.around(at) {
                Some(outer) if self.summed.contains(outer.record_id.as_str()) => break true,
                Some(outer) => at = outer,
                None => break false,
            }
        };
        self.known.extend(climbed.into_iter().map(|id| (id, inside)));
        inside
    }
}

#[derive(Default)]
struct Tally {
    records: u64,
    energy: ExactSum,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.records += 1;
        // What is upstream of electricity has its energy in another record.
        if !is_upstream(record) {
            self.energy.add(record.energy_kwh);
        }
    }

    fn amount(&self) -> Amount {
        Amount { energy_kwh: round9(self.energy.value()), records: self.records }
    }
}
