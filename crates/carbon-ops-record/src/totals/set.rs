//! Records as a set, so that a joule counts once: copies of a record are one record, and a measurement that
//! ran inside of another one is a part of it.
//!
//! A record is a part of the one that its `parent` names, and of all that that one is a part of. The energy
//! of another machine, or of a time that does not meet the parent's span, was not measured by the parent:
//! a record of such energy is a part of nothing, whatever it names.
//!
//! Spans of one host that overlap although neither record names the other are added, and told: jobs that run at
//! one time have such spans, and so has an energy that was stated twice.
//!
//! Out of scope: which sums there are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::is_upstream;
use crate::{Error, Part, Record};
use carbon_ops_estimate::aggregate::ExactSum;
use carbon_ops_estimate::decimal::round9;

/// Records by their ids: no two of them differ, and none is a part of itself.
#[derive(Debug, Clone, Default)]
pub struct RecordSet<'a> {
    by_id: BTreeMap<&'a str, &'a Record>,
}

/// What a sum over some of a set's records counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Summands<'a> {
    /// The records to add, in the order in which they were given.
    pub records: Vec<&'a Record>,
    /// What is not added, as it is in them already; `None` where that is nothing.
    pub left_out: Option<LeftOut>,
}

impl Summands<'_> {
    /// The records that overlap in time with another one of the same host and part; `None` where none does. What is
    /// upstream of electricity lies beside its direct record, and is no second energy.
    pub fn overlaps(&self) -> Option<Amount> {
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

/// What a sum leaves out, because the records that it counts have it already.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LeftOut {
    /// Further copies of records.
    pub copies: Amount,
    /// Records of measurements that ran inside of others.
    pub nested: Amount,
}

/// Some records and their energy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Amount {
    /// Energy in kWh.
    pub energy_kwh: f64,
    /// How many records.
    pub records: u64,
}

impl<'a> RecordSet<'a> {
    /// The set of these records, among which may be copies.
    ///
    /// # Errors
    /// [`Error::Differ`] where two records have one id and are not equal, [`Error::Circle`] where a record is
    /// a part of itself.
    pub fn of(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Error> {
        let mut set = Self::default();
        for record in records {
            let known = set.by_id.insert(&record.record_id, record);
            if known.is_some_and(|known| known != record) {
                return Err(Error::Differ { record_id: record.record_id.clone() });
            }
        }
        match set.circle() {
            Some(id) => Err(Error::Circle { record_id: id.to_owned() }),
            None => Ok(set),
        }
    }

    /// What the sum over some records of the set counts: each once, and none that is a part of another of
    /// them, even where what is between the two is not among them.
    pub fn summands(&self, records: &[&'a Record]) -> Summands<'a> {
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

    /// One of the records that are parts of themselves: what is left when all that nothing is a part of are
    /// taken away, again and again.
    fn circle(&self) -> Option<&'a str> {
        let id = |record: &'a Record| record.record_id.as_str();
        let mut parts: BTreeMap<&str, u64> = self.by_id.keys().map(|id| (*id, 0)).collect();
        for record in self.by_id.values() {
            if let Some(count) = self.around(record).and_then(|outer| parts.get_mut(id(outer))) {
                *count += 1;
            }
        }
        let mut bare: Vec<_> = self
            .by_id
            .values()
            .copied()
            .filter(|record| parts.get(id(record)) == Some(&0))
            .collect();
        while let Some(record) = bare.pop() {
            parts.remove(id(record));
            let Some(outer) = self.around(record) else { continue };
            if let Some(count) = parts.get_mut(id(outer)) {
                *count -= 1;
                if *count == 0 {
                    bare.push(outer);
                }
            }
        }
        parts.into_keys().next()
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
