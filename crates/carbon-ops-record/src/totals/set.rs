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
//! Records come one by one, and of most of them [`Rows`] are kept. A record that names a parent is kept until the
//! two are known to be in one group.
//!
//! Out of scope: which sums there are.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::addend::{Addend, Kind, One};
use super::hosted::Nested;
use crate::Error;
use crate::rows::{NewScratch, Rows, joined, number, ordered, split};
use carbon_ops_estimate::aggregate::ExactSum;
use carbon_ops_estimate::decimal::round9;

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

#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    energy: ExactSum,
}

impl Tally {
    /// Adds a record with an energy in kWh; what is upstream of electricity has it in another record.
    pub(super) fn add(&mut self, energy_kwh: f64, is_upstream: bool) {
        self.records += 1;
        if !is_upstream {
            self.energy.add(energy_kwh);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.energy.merge(&other.energy);
    }

    pub(super) fn amount(&self) -> Amount {
        Amount { energy_kwh: round9(self.energy.value()), records: self.records }
    }
}

/// Where and when something was measured.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The number of its host, from 1; 0 where none is named.
    host: u32,
    /// In microseconds since 1970.
    start: i64,
    end: i64,
    /// The group of its record.
    group: u32,
}

impl Place {
    /// Whether a measurement here could have measured that one too.
    fn is_around(&self, inner: &Self) -> bool {
        let one_host = self.host == 0 || inner.host == 0 || self.host == inner.host;
        one_host && self.start < inner.end && inner.start < self.end
    }
}

/// A record that names a parent.
#[derive(Debug)]
pub(super) struct Inner {
    id: u128,
    parent: u128,
    place: Place,
    kind: Kind,
    pub(super) energy_kwh: f64,
    /// What it adds; none once it is known to be a part of another record of its group.
    pub(super) one: Option<Box<One>>,
    /// Which of all records it is.
    pub(super) number: u64,
    pub(super) is_upstream: bool,
    /// What it is a part of without its parent.
    pub(super) hosted: Nested,
}

impl Inner {
    pub(super) fn group(&self) -> u32 {
        self.place.group
    }
}

/// What became of a record.
#[derive(Debug)]
pub(super) enum Came {
    /// It counts.
    Counts(Box<One>),
    /// It has been there.
    Copy,
    /// What it is a part of will be known in the end.
    Waits,
}

/// Id, digest, host, group, start and end.
const KNOWN_BYTES: usize = 16 + 8 + 4 + 4 + 8 + 8;
/// Host, part, start and end; group, [`Nested`] and energy; a number that no other has.
const SPAN_BYTES: usize = 4 + 1 + 8 + 8 + 4 + 1 + 8 + 8;

/// Records by their ids: no two of them differ, and none is a part of itself.
#[derive(Debug)]
pub(super) struct Set<'s> {
    known: Rows<'s, KNOWN_BYTES, 16>,
    spans: Rows<'s, SPAN_BYTES, 0>,
    hosts: HashMap<String, u32>,
    inner: Vec<Inner>,
    /// By the parent that has not come, those of `inner`.
    waiting: HashMap<u128, Vec<usize>>,
}

impl<'s> Set<'s> {
    pub(super) fn new(new_scratch: NewScratch<'s>) -> Self {
        Self::of(Rows::new(new_scratch), Rows::new(new_scratch))
    }

    /// One that holds so few rows that they are laid down.
    #[cfg(test)]
    pub(super) fn holding(rows: usize, new_scratch: NewScratch<'s>) -> Self {
        Self::of(Rows::holding(rows, new_scratch), Rows::holding(rows, new_scratch))
    }

    fn of(known: Rows<'s, KNOWN_BYTES, 16>, spans: Rows<'s, SPAN_BYTES, 0>) -> Self {
        let (hosts, inner, waiting) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { known, spans, hosts, inner, waiting }
    }

    /// Adds a record, the so-manieth of all, to the set, and to a group. What accounts of its host have already is told
    /// by `hosted`.
    ///
    /// # Errors
    /// [`Error::Differ`] where another record has its id, and of the scratch.
    pub(super) fn add(
        &mut self,
        record: Addend,
        group: u32,
        number: u64,
        hosted: Nested,
    ) -> Result<Came, Error> {
        let Addend { id, parent, digest, kind, start, end, one, is_beside, .. } = record;
        if let Some(row) = self.known.find(&id.to_be_bytes())? {
            let differs = row.get(16..24) != Some(&digest.to_be_bytes());
            return if differs { Err(Error::differ(id)) } else { Ok(Came::Copy) };
        }
        let hosts = u32::try_from(self.hosts.len()).map_or(u32::MAX, |hosts| hosts + 1);
        let host = record.host.map_or(0, |host| *self.hosts.entry(host).or_insert(hosts));
        let place = Place { host, start, end, group };
        self.known.add(joined(&[
            &id.to_be_bytes(),
            &digest.to_be_bytes(),
            &host.to_be_bytes(),
            &group.to_be_bytes(),
            &ordered(start),
            &ordered(end),
        ]))?;
        for inner in self.waiting.remove(&id).into_iter().flatten() {
            if let Some(inner) = self.inner.get_mut(inner)
                && inner.place.group == group
                && place.is_around(&inner.place)
            {
                inner.one = None;
            }
        }
        let (energy_kwh, is_upstream) = (one.energy_kwh, one.is_upstream);
        let Some(parent) = parent else {
            let beside = Nested { in_its_group: is_beside, in_all: is_beside };
            let nested = hosted.or(beside);
            self.span(&place, kind, energy_kwh, is_upstream, nested, number)?;
            return Ok(Came::Counts(one));
        };
        let outer = self.place(parent)?;
        if outer.is_none() {
            self.waiting.entry(parent).or_default().push(self.inner.len());
        }
        let within = |outer: Place| outer.group == place.group && outer.is_around(&place);
        let one = Some(one).filter(|_| !outer.is_some_and(within));
        let inner = Inner { id, parent, place, kind, energy_kwh, one, number, is_upstream, hosted };
        self.inner.push(inner);
        Ok(Came::Waits)
    }

    /// Where a record was measured; none where it has not come.
    fn place(&mut self, id: u128) -> Result<Option<Place>, Error> {
        let Some(row) = self.known.find(&id.to_be_bytes())? else { return Ok(None) };
        let mut rest = row.get(24..).unwrap_or_default();
        Ok(Some(Place {
            host: u32::from_be_bytes(split(&mut rest)),
            group: u32::from_be_bytes(split(&mut rest)),
            start: number(split(&mut rest)),
            end: number(split(&mut rest)),
        }))
    }

    /// Keeps a span, so that it is known in the end which of them overlap. What is upstream of electricity lies
    /// beside its direct record, and is no second energy.
    fn span(
        &mut self,
        place: &Place,
        kind: Kind,
        energy_kwh: f64,
        is_upstream: bool,
        nested: Nested,
        number: u64,
    ) -> Result<(), Error> {
        if place.host == 0 || is_upstream || nested.in_its_group && nested.in_all {
            return Ok(());
        }
        let nested = u8::from(nested.in_its_group) | u8::from(nested.in_all) << 1;
        let flags = nested | u8::from(kind.is_piece) << 2;
        Ok(self.spans.add(joined(&[
            &place.host.to_be_bytes(),
            &[kind.part],
            &ordered(place.start),
            &ordered(place.end),
            &place.group.to_be_bytes(),
            &[flags],
            &energy_kwh.to_be_bytes(),
            &number.to_be_bytes(),
        ]))?)
    }

    /// What the records that name parents are directly parts of, when all have come.
    ///
    /// # Errors
    /// [`Error::Circle`] where a record is a part of itself, and of the scratch.
    pub(super) fn outer(&mut self) -> Result<Outer, Error> {
        let inner = std::mem::take(&mut self.inner);
        self.waiting.clear();
        let by_id: HashMap<u128, usize> =
            inner.iter().enumerate().map(|(at, record)| (record.id, at)).collect();
        let mut around = Vec::with_capacity(inner.len());
        for record in &inner {
            let outer = self.place(record.parent)?.filter(|place| place.is_around(&record.place));
            around.push(outer.map(|place| (place.group, by_id.get(&record.parent).copied())));
        }
        let outer = Outer { inner, around };
        outer.circle().map_or(Ok(outer), |id| Err(Error::circle(id)))
    }

    /// Keeps the span of a record that names a parent.
    pub(super) fn inner_span(&mut self, inner: &Inner, nested: Nested) -> Result<(), Error> {
        let Inner { place, kind, energy_kwh, is_upstream, number, .. } = inner;
        self.span(place, *kind, *energy_kwh, *is_upstream, nested, *number)
    }

    /// The records that overlap in time with another one of the same host and part: of each group, and of all.
    pub(super) fn overlaps(
        self,
        name: &dyn Fn(u32) -> u32,
    ) -> Result<(BTreeMap<u32, Tally>, Option<Tally>), Error> {
        let (mut groups, mut all) = (BTreeMap::<u32, Sweep>::new(), Sweep::default());
        self.spans.in_order(|row| {
            let mut rest = &row[..];
            let place = split::<5>(&mut rest);
            let (start, end) = (number(split(&mut rest)), number(split(&mut rest)));
            let group = name(u32::from_be_bytes(split(&mut rest)));
            let [flags] = split(&mut rest);
            let energy_kwh = f64::from_be_bytes(split(&mut rest));
            let span = Span { place, start, end, is_piece: flags & 4 != 0, energy_kwh };
            if flags & 1 == 0 {
                groups.entry(group).or_default().add(span);
            }
            if flags & 2 == 0 {
                all.add(span);
            }
            Ok::<_, Error>(())
        })?;
        let some = |sweep: Sweep| Some(sweep.tally).filter(|tally| tally.records > 0);
        let groups = groups.into_iter().filter_map(|(group, sweep)| Some((group, some(sweep)?)));
        Ok((groups.collect(), some(all)))
    }
}

/// The records that name parents.
#[derive(Debug)]
pub(super) struct Outer {
    inner: Vec<Inner>,
    /// Of each the record that it is directly a part of: its group, and its place here if it has one.
    around: Vec<Option<(u32, Option<usize>)>>,
}

impl Outer {
    fn around(&self, at: usize) -> Option<(u32, Option<usize>)> {
        self.around.get(at).copied().flatten()
    }

    /// Those that are parts of no record after all.
    pub(super) fn of_none(&self) -> impl Iterator<Item = &Inner> {
        self.inner
            .iter()
            .zip(&self.around)
            .filter(|(_, outer)| outer.is_none())
            .map(|(inner, _)| inner)
    }

    /// What each is a part of; `name` says which groups are one.
    pub(super) fn nested(&self, name: &dyn Fn(u32) -> u32) -> Vec<(&Inner, Nested)> {
        // By group, so that a long chain is climbed once for each.
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, record) in self.inner.iter().enumerate() {
            groups.entry(name(record.place.group)).or_default().push(at);
        }
        let mut nested = vec![Nested::default(); self.inner.len()];
        for (group, members) in groups {
            let mut known: HashMap<usize, bool> = HashMap::new();
            for member in members {
                let (mut at, mut climbed) = (member, Vec::new());
                let in_its_group = loop {
                    if let Some(known) = known.get(&at) {
                        break *known;
                    }
                    climbed.push(at);
                    match self.around(at) {
                        Some((of, _)) if name(of) == group => break true,
                        Some((_, Some(next))) => at = next,
                        _ => break false,
                    }
                };
                known.extend(climbed.into_iter().map(|at| (at, in_its_group)));
                if let Some(nested) = nested.get_mut(member) {
                    *nested = Nested { in_its_group, in_all: self.around(member).is_some() };
                }
            }
        }
        let all = self.inner.iter().zip(nested);
        all.map(|(inner, nested)| (inner, nested.or(inner.hosted))).collect()
    }

    /// The least id of records that are parts of themselves.
    fn circle(&self) -> Option<u128> {
        let next = |at: usize| self.around(at).and_then(|(_, next)| next);
        // On whose way each was met first.
        let mut met: Vec<Option<usize>> = vec![None; self.inner.len()];
        let mut least = None;
        for start in 0..self.inner.len() {
            let mut at = Some(start);
            while let Some(here) = at {
                match met.get_mut(here) {
                    Some(met @ None) => *met = Some(start),
                    Some(Some(by)) if *by == start => {
                        // Once around.
                        let around = std::iter::successors(next(here), |at| {
                            next(*at).filter(|_| *at != here)
                        });
                        let ids = around.filter_map(|at| self.inner.get(at)).map(|inner| inner.id);
                        least = least.into_iter().chain(ids).min();
                        break;
                    }
                    _ => break,
                }
                at = next(here);
            }
        }
        least
    }
}

/// A span of a host and part.
#[derive(Debug, Clone, Copy)]
struct Span {
    place: [u8; 5],
    start: i64,
    end: i64,
    is_piece: bool,
    energy_kwh: f64,
}

impl Span {
    /// Whether two are pieces of one window, which was shared among units of work.
    fn is_beside(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end) && self.is_piece && other.is_piece
    }
}

/// Spans that come by place, start and end.
#[derive(Debug, Default)]
struct Sweep {
    /// The span that lasts longest of those before, and those beside it; of which none is counted while they wait.
    before: Option<(Span, Waiting)>,
    tally: Tally,
}

/// What is counted once another span meets it; nothing when it is.
type Waiting = Option<Tally>;

impl Sweep {
    fn add(&mut self, span: Span) {
        let same = self.before.as_mut().filter(|(before, _)| before.place == span.place);
        let (mut overlaps, mut lasts) = (false, false);
        if let Some((before, waiting)) = same {
            lasts = span.end <= before.end;
            if span.is_beside(before) {
                waiting.as_mut().unwrap_or(&mut self.tally).add(span.energy_kwh, false);
            } else if span.start < before.end {
                overlaps = true;
                self.tally.add(span.energy_kwh, false);
                self.tally.merge(&waiting.take().unwrap_or_default());
            }
        }
        if !lasts {
            let mut alone = Tally::default();
            alone.add(span.energy_kwh, false);
            self.before = Some((span, Some(alone).filter(|_| !overlaps)));
        }
    }
}
