//! Sums by what records have in common, each over records that count the same.
//!
//! What emits CO2 alone and what counts all gases, an average and a marginal rate, direct emissions and a life cycle
//! are never added. Two records of one energy, direct and upstream, are a life cycle together.
//!
//! Out of scope: which records a sum counts (`set`); how many trials are worth their time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use carbon_ops_estimate::intensity::Factor;
use carbon_ops_estimate::market::Instruments;
use carbon_ops_estimate::uncertainty::MonteCarlo;

use super::addend::{Addend, One};
use super::group::{Group, Totals};
use super::group_by::Counts;
use super::hosted::{Accounts, Nested};
use super::joint::Joint;
use super::market::ByMarket;
use super::set::{Came, Inner, LeftOut, Outer, Set, Tally};
use crate::rows::NewScratch;
use crate::{Error, Record};

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
    /// The same with the intervals of another coverage probability: see [`Totals::at_level`].
    #[must_use]
    pub fn at_level(self, level: f64) -> Self {
        let groups = self.groups.into_iter().map(|(name, totals)| (name, totals.at_level(level)));
        let all = self.all.map(|totals| totals.at_level(level));
        Self { groups: groups.collect(), all, ..self }
    }
}

/// Adds up records as they come, among which may be copies and parts of others.
#[derive(Debug)]
pub struct Adder<'s> {
    set: Set<'s>,
    /// By group, what its records count, and whether they are beside all sums.
    by_name: BTreeMap<(Option<String>, Option<Counts>, bool), u32>,
    groups: Vec<Gathered>,
    /// How many records were added.
    records: u64,
    /// Those that trials draw from, with their numbers and groups.
    drawn: Vec<(u64, u32, Record)>,
    /// What was accounted for of hosts, as it comes.
    accounts: Accounts,
    /// The same of all records, where they come for the second time.
    known: Option<Accounts>,
    /// Records that these have in them already.
    hosted: Vec<Hosted>,
}

/// A record that is a part of what was accounted for of its host.
#[derive(Debug)]
struct Hosted {
    number: u64,
    group: u32,
    nested: Nested,
    one: Box<One>,
}

/// The records of a group that are parts of none.
#[derive(Debug, Default)]
struct Gathered {
    is_beside: bool,
    group: Group,
    energy_kwh: f64,
    copies: Tally,
}

/// A sum, and what it does not add.
#[derive(Debug, Default)]
struct Sum {
    group: Group,
    copies: Tally,
    nested: Tally,
}

impl<'s> Adder<'s> {
    /// Nothing yet. What is known of many records is laid down in a scratch.
    pub fn new(new_scratch: NewScratch<'s>) -> Self {
        Self::of(Set::new(new_scratch))
    }

    pub(super) fn of(set: Set<'s>) -> Self {
        Self {
            set,
            by_name: BTreeMap::new(),
            groups: Vec::new(),
            records: 0,
            drawn: Vec::new(),
            accounts: Accounts::default(),
            known: None,
            hosted: Vec::new(),
        }
    }

    /// The same for records that come again, with what they told the first time.
    #[must_use]
    pub fn knowing(self, accounts: Option<Accounts>) -> Self {
        Self { known: accounts, ..self }
    }

    /// What all records that came tell of each other's hosts, where that decides what is added: then they have to come
    /// again, to one that knows it. None from one that does.
    pub fn accounts(&mut self) -> Option<Accounts> {
        std::mem::take(&mut self.accounts).settled().filter(|_| self.known.is_none())
    }

    /// Whether a record is known to be a part of what was accounted for of its host.
    pub fn is_hosted(&self, record: &Addend) -> bool {
        let of = (record.group.clone(), record.counts);
        self.known.as_ref().is_some_and(|known| record.nested(known, &of).is_some())
    }

    /// How many records were added, copies among them.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::Differ`] where another record has its id; [`Error::Scratch`].
    pub fn add(&mut self, mut record: Addend) -> Result<(), Error> {
        let number = self.records;
        self.records += 1;
        let of = (record.group.take(), record.counts);
        let hosted = self.known.as_ref().and_then(|known| record.nested(known, &of));
        let noted = record.host.clone().zip(record.measured.take());
        let (span, is_beside) = ((record.start, record.end), record.is_beside);
        let key = (of.0.clone(), of.1, is_beside);
        let group = match self.by_name.entry(key) {
            Entry::Occupied(at) => *at.get(),
            Entry::Vacant(at) => {
                self.groups.push(Gathered { is_beside: record.is_beside, ..Gathered::default() });
                *at.insert(u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX))
            }
        };
        let Some(gathered) = self.groups.get_mut(index(group)) else { return Ok(()) };
        let (energy_kwh, is_upstream) = (record.one.energy_kwh, record.one.is_upstream);
        let drawn = record.record.take();
        match self.set.add(record, group, number, hosted.unwrap_or_default())? {
            Came::Copy => {
                gathered.copies.add(energy_kwh, is_upstream);
                return Ok(());
            }
            Came::Waits => {}
            Came::Counts(one) => {
                if let Some(nested) = hosted.filter(|_| !is_beside) {
                    self.hosted.push(Hosted { number, group, nested, one });
                } else {
                    gathered.energy_kwh += energy_kwh;
                    gathered.group.add(&one);
                }
            }
        }
        if let (Some((host, measured)), None) = (noted, &self.known) {
            self.accounts.note(&host, span, &measured, &of);
        }
        self.drawn.extend(drawn.map(|record| (number, group, record)));
        Ok(())
    }

    /// The sums, by moments or by trials, and with instruments by the market as well.
    ///
    /// # Errors
    /// A record that is a part of itself, trials that are impossible, loads that cannot be counted,
    /// [`Error::Scratch`].
    pub fn finish(
        mut self,
        sampling: Option<&MonteCarlo>,
        instruments: Option<&Instruments>,
    ) -> Result<Sums, Error> {
        let outer = self.set.outer()?;
        let counted = self.counted(&outer);
        // Groups of one name are one, unless records count different things.
        let mut names: BTreeMap<String, u32> = BTreeMap::new();
        for key in self.by_name.keys().filter(|(.., is_beside)| !is_beside) {
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            names.entry(counted.group(key)).or_insert(next);
        }
        // What is beside all sums has the name of a sum, so that what is a part of it is known to be.
        let mut places = vec![u32::MAX; self.groups.len()];
        for (key, at) in &self.by_name {
            if let (Some(place), Some(name)) =
                (places.get_mut(index(*at)), names.get(&counted.group(key)))
            {
                *place = *name;
            }
        }
        let name = |group: u32| places.get(index(group)).copied().unwrap_or(u32::MAX);
        let (mut sums, mut all) = (Vec::new(), Sum::default());
        sums.resize_with(names.len(), Sum::default);
        for (gathered, place) in self.groups.iter().zip(&places).filter(|(of, _)| !of.is_beside) {
            for sum in sums.get_mut(index(*place)).into_iter().chain([&mut all]) {
                sum.group.merge(&gathered.group);
                sum.copies.merge(&gathered.copies);
            }
        }
        let mut of_none = BTreeMap::new();
        let is_beside = |of: &Inner| {
            self.groups.get(index(of.group())).is_none_or(|gathered| gathered.is_beside)
        };
        for (inner, nested) in outer.nested(&name).into_iter().filter(|(of, _)| !is_beside(of)) {
            self.set.inner_span(inner, nested)?;
            let (one, energy) = (inner.one.as_deref(), (inner.energy_kwh, inner.is_upstream));
            if let Some(sum) = sums.get_mut(index(name(inner.group()))) {
                sum.add(one, energy, nested.in_its_group);
            }
            all.add(one, energy, nested.in_all);
            of_none.insert(inner.number, nested);
        }
        of_none.extend(self.add_hosted(&name, &mut sums, &mut all));
        let (overlaps, overlaps_of_all) = self.set.overlaps(&name)?;
        let drawn = |of: &dyn Fn(u32, Nested) -> bool| -> Vec<&Record> {
            let nested = |number| of_none.get(number).copied().unwrap_or_default();
            let drawn = self.drawn.iter().filter(|(number, at, _)| of(name(*at), nested(number)));
            drawn.map(|(.., record)| record).collect()
        };
        let nothing = Sum::default();
        let matching = all.group.load.as_deref().zip(instruments);
        let matching = matching.map(|(load, instruments)| load.matched(instruments)).transpose()?;
        let stated = |sum: &Sum| -> Option<ByMarket> {
            Some(sum.group.load.as_deref()?.stated(matching.as_ref()?, instruments?))
        };
        let groups = names.into_iter().map(|(key, at)| {
            let sum = sums.get(index(at)).unwrap_or(&nothing);
            let overlaps = overlaps.get(&at).map(Tally::amount);
            let totals = Totals { overlaps, ..sum.totals() }.by_market(stated(sum));
            let of = |group, nested: Nested| group == at && !nested.in_its_group;
            Ok((key, by_trials(totals, sampling, || drawn(&of))?))
        });
        let groups = groups.collect::<Result<Vec<_>, Error>>()?;
        let all = match &groups[..] {
            _ if counted.differ() => None,
            // Unless one is a part of a record that is beside all sums, and of another name.
            [(_, only)] if of_none.values().all(|of| of.in_its_group == of.in_all) => {
                Some(only.clone())
            }
            _ => {
                let overlaps = overlaps_of_all.map(|tally| tally.amount());
                let totals = Totals { overlaps, ..all.totals() }.by_market(stated(&all));
                Some(by_trials(totals, sampling, || drawn(&|_, nested| !nested.in_all))?)
            }
        };
        Ok(Sums { groups, all, counts: counted.names.into_iter().collect() })
    }

    /// Adds what accounts of hosts have already to the sums that have it not, by the numbers of their groups; of which
    /// sums each is a part.
    fn add_hosted(
        &self,
        name: &dyn Fn(u32) -> u32,
        sums: &mut [Sum],
        all: &mut Sum,
    ) -> impl Iterator<Item = (u64, Nested)> + use<'_, 's> {
        for Hosted { group, nested, one, .. } in &self.hosted {
            let energy = (one.energy_kwh, one.is_upstream);
            if let Some(sum) = sums.get_mut(index(name(*group))) {
                sum.add(Some(one), energy, nested.in_its_group);
            }
            all.add(Some(one), energy, nested.in_all);
        }
        self.hosted.iter().map(|hosted| (hosted.number, hosted.nested))
    }

    /// What the records of the sum of all count.
    fn counted(&self, outer: &Outer) -> Counted {
        let mut energies: BTreeMap<Counts, f64> = BTreeMap::new();
        let mut by_group = vec![None; self.groups.len()];
        for ((_, counts, _), at) in self.by_name.iter().filter(|((.., is_beside), _)| !is_beside) {
            if let Some(of) = by_group.get_mut(index(*at)) {
                *of = *counts;
            }
            let gathered = self.groups.get(index(*at)).filter(|of| of.group.count > 0);
            if let Some((counts, gathered)) = counts.zip(gathered) {
                *energies.entry(counts).or_default() += gathered.energy_kwh;
            }
        }
        for inner in outer.of_none() {
            if let Some(counts) = by_group.get(index(inner.group())).copied().flatten() {
                *energies.entry(counts).or_default() += inner.energy_kwh;
            }
        }
        for hosted in &self.hosted {
            if let Some(counts) = by_group.get(index(hosted.group)).copied().flatten() {
                *energies.entry(counts).or_default() += hosted.one.energy_kwh;
            }
        }
        Counted::of(&energies)
    }
}

/// A place among groups.
fn index(group: u32) -> usize {
    usize::try_from(group).unwrap_or(usize::MAX)
}

impl Sum {
    /// Adds a record, or tells that others have it: its energy in kWh, and whether that is of what is upstream.
    fn add(&mut self, one: Option<&One>, (energy_kwh, is_upstream): (f64, bool), is_nested: bool) {
        match one {
            Some(one) if !is_nested => self.group.add(one),
            _ => self.nested.add(energy_kwh, is_upstream),
        }
    }

    fn totals(&self) -> Totals {
        let (copies, nested) = (self.copies.amount(), self.nested.amount());
        let left_out = (copies.records + nested.records > 0).then_some(LeftOut { copies, nested });
        Totals { left_out, ..self.group.totals() }
    }
}

/// Totals by moments, or those by trials of their records.
fn by_trials<'r>(
    totals: Totals,
    sampling: Option<&MonteCarlo>,
    drawn: impl FnOnce() -> Vec<&'r Record>,
) -> Result<Totals, Error> {
    match sampling {
        Some(settings) if totals.count > 0 => Ok(totals.by_trials(&Joint::of(&drawn(), settings)?)),
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
    /// By the energies of what is added.
    fn of(energies: &BTreeMap<Counts, f64>) -> Self {
        let energy = |factor| {
            let of = energies.iter().filter(|(counts, _)| counts.factor == Some(factor));
            of.map(|(_, energy)| energy).sum::<f64>()
        };
        let (direct, upstream) = (energy(Factor::Direct), energy(Factor::Upstream));
        let whole = upstream > 0.0 && (direct - upstream).abs() <= 1e-9 * upstream;
        let mut counted = Self { names: BTreeSet::new(), whole };
        counted.names = energies.keys().map(|counts| counted.what(*counts)).collect();
        counted
    }

    fn differ(&self) -> bool {
        self.names.len() > 1
    }

    fn what(&self, counts: Counts) -> String {
        let Counts { kind, factor, co2_alone } = counts;
        let factor = match factor {
            Some(Factor::Direct | Factor::Upstream) if self.whole => Some(Factor::Lifecycle),
            factor => factor,
        };
        let gases = if co2_alone { "CO2" } else { "CO2e" };
        factor.map_or(format!("{kind} {gases}"), |factor| format!("{kind} {factor} {gases}"))
    }

    /// The name of a group, and of what it counts where that differs.
    fn group(&self, (key, counts, _): &(Option<String>, Option<Counts>, bool)) -> String {
        let not_stated = || "not stated what".to_owned();
        let name = self.differ().then(|| counts.map_or_else(not_stated, |of| self.what(of)));
        match (key, name) {
            (None, None) => "all".to_owned(),
            (None, Some(name)) => name,
            (Some(key), None) => key.clone(),
            (Some(key), Some(name)) => format!("{key}: {name}"),
        }
    }
}
