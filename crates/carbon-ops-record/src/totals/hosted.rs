//! Hosts whose energy was accounted for whole, so that what was also measured there is a part of it.
//!
//! Rule: the records of an interval of an agent have the host's energy whole when their energies sum to it, to the µJ.
//! Whatever else was measured on that host within such intervals, which follow one another without a gap, and in domains
//! that they all have, is in them already. An interval of which a record is missing, or in which something is a gap,
//! holds nothing.
//!
//! That is known when all records have come, and which of them are parts decides what is added: records are read twice
//! where both are among them. [`Accounts`] is what the first time tells the second.
//!
//! Out of scope: records that name what they are parts of, and copies (`set`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::group_by::Counts;
use crate::{Measurement, Part, Record};

/// Energy that was measured on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measured {
    /// A part of an interval that records share.
    Piece(Piece),
    /// On its own, in these domains.
    Alone(BTreeSet<String>),
}

/// One record of an interval of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) energy_uj: u64,
    pub(super) host_uj: u64,
    pub(super) domains: BTreeSet<String>,
    /// Energy of that time may be missing from all pieces.
    pub(super) has_gaps: bool,
}

impl Measured {
    /// Of a record; none where nothing was measured, or no host is named.
    pub(super) fn of(record: &Record) -> Option<Self> {
        record.host_id.as_ref()?;
        let measurement = record.measurement.as_ref()?;
        let Measurement { part, energy, .. } = measurement;
        let domains = measurement.domains.iter().map(|domain| domain.name.clone()).collect();
        let energy_uj = match part {
            Part::Workload if record.partial == Some(true) => energy.workload_uj,
            Part::Workload => return Some(Self::Alone(domains)),
            Part::Others => energy.others_uj,
            Part::Idle => energy.idle_uj,
        };
        let has_gaps = !measurement.gaps.is_empty();
        Some(Self::Piece(Piece { energy_uj, host_uj: energy.host_uj, domains, has_gaps }))
    }
}

/// Of which sums a record is a part already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Nested {
    pub(super) in_its_group: bool,
    pub(super) in_all: bool,
}

impl Nested {
    /// Of the sums that either tells of.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            in_its_group: self.in_its_group || other.in_its_group,
            in_all: self.in_all || other.in_all,
        }
    }
}

/// In which sum a record is, and what it counts.
pub(super) type Of = (Option<String>, Option<Counts>);

/// The pieces of an interval, so far.
#[derive(Debug, Clone)]
struct Interval {
    sum_uj: u64,
    host_uj: u64,
    domains: BTreeSet<String>,
    /// The sum that all pieces are in, where that is one.
    of: Option<Of>,
    /// Its pieces do not agree, or have gaps.
    is_odd: bool,
}

/// What was accounted for of hosts, by the start and end of intervals.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    hosts: BTreeMap<String, BTreeMap<(i64, i64), Interval>>,
    /// Hosts on which something was measured on its own.
    alone: HashSet<String>,
}

impl Accounts {
    /// Notes a record that has come for the first time.
    pub(super) fn note(&mut self, host: &str, span: (i64, i64), measured: &Measured, of: &Of) {
        let piece = match measured {
            Measured::Piece(piece) => piece,
            Measured::Alone(_) => {
                if !self.alone.contains(host) {
                    self.alone.insert(host.to_owned());
                }
                return;
            }
        };
        if !self.hosts.contains_key(host) {
            self.hosts.insert(host.to_owned(), BTreeMap::new());
        }
        let Some(intervals) = self.hosts.get_mut(host) else { return };
        let interval = intervals.entry(span).or_insert_with(|| Interval {
            sum_uj: 0,
            host_uj: piece.host_uj,
            domains: piece.domains.clone(),
            of: Some(of.clone()),
            is_odd: false,
        });
        interval.sum_uj = interval.sum_uj.saturating_add(piece.energy_uj);
        interval.is_odd |= piece.has_gaps
            || (interval.host_uj, &interval.domains) != (piece.host_uj, &piece.domains);
        if interval.of.as_ref() != Some(of) {
            interval.of = None;
        }
    }

    /// What the first time tells the second; none where it would change nothing.
    pub(super) fn settled(mut self) -> Option<Self> {
        let alone = std::mem::take(&mut self.alone);
        self.hosts.retain(|host, _| alone.contains(host));
        for intervals in self.hosts.values_mut() {
            intervals.retain(|_, of| !of.is_odd && of.sum_uj == of.host_uj);
        }
        self.hosts.retain(|_, intervals| !intervals.is_empty());
        Some(self).filter(|accounts| !accounts.hosts.is_empty())
    }

    /// Of which sums what was measured on its own is a part already: of that of all where it was accounted for, and of its
    /// own where all pieces are in that, too.
    pub(super) fn nested(
        &self,
        host: &str,
        (start, end): (i64, i64),
        measured: &Measured,
        of: &Of,
    ) -> Option<Nested> {
        let Measured::Alone(domains) = measured else { return None };
        let intervals = self.hosts.get(host)?;
        let (mut at, mut is_one) = (start, true);
        // The interval that a moment lies in is the last one that has begun by then.
        while at < end || at == start {
            let ((_, ended), interval) = intervals.range(..=(at, i64::MAX)).next_back()?;
            if *ended <= at || !domains.is_subset(&interval.domains) {
                return None;
            }
            is_one &= interval.of.as_ref() == Some(of);
            at = *ended;
        }
        Some(Nested { in_its_group: is_one, in_all: true })
    }
}
