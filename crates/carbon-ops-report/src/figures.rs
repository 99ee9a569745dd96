//! What records come to: sums by groups and in the course of time, the period before, and what stands behind them.
//!
//! Rule: every sum is one of [`carbon_ops_record::totals`]; nothing is added up here that it can add.
//!
//! Out of scope: reading and verifying records; how figures are shown (`body`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use carbon_ops_record::rows::NewScratch;
use carbon_ops_record::totals::{
    Accounts, Addend, Adder, Choice, GroupBy, Instruments, Load, Place, Sums, Totals,
};
use carbon_ops_record::{Error, Measurement, Record};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::question::Question;

/// How many records a page shows one by one: those with the largest emissions.
pub const ROWS_MAX: usize = 500;

/// Longest span of a record that is laid over the hours of a week one by one: four weeks.
const HOURS_MAX: i64 = 28 * 24;

const HOUR_US: i64 = 3_600_000_000;

/// What records come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// By what was asked for, and all.
    pub sums: Sums,
    /// The sum of the period before; none where the period has no start or no end.
    pub before: Option<Totals>,
    /// What stands behind them.
    pub grounds: Grounds,
    /// For a page.
    pub course: Option<Course>,
}

/// What stands behind the records that are meant, copies and parts of others among them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Grounds {
    /// How many records have each quality.
    pub quality: BTreeMap<&'static str, u64>,
    /// How many have their intensity from each source.
    pub sources: BTreeMap<String, u64>,
    /// How many use something in place of what was asked for: why, as a word.
    pub stand_ins: BTreeMap<String, u64>,
    /// How many have each note.
    pub notes: BTreeMap<String, u64>,
    /// How many counters' gaps they name.
    pub gaps: u64,
    /// How many records have gaps.
    pub records_with_gaps: u64,
    /// How many are of spans that were measured by this program.
    pub measured: u64,
}

/// What a page shows besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// In the course of time.
    pub over: Vec<(String, Totals)>,
    /// Energy in kWh by weekday, from Monday, and hour, in UTC.
    pub week: [[f64; 24]; 7],
    /// Where the energy of hosts went in the windows of the records.
    pub flows: Vec<Flow>,
    /// The records with the largest emissions, in the order of their times.
    pub rows: Vec<Row>,
}

/// Where the energy of a host went, in µJ, over the windows of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// The host; empty where none is named.
    pub host: String,
    /// Workloads, by program, the largest first.
    pub workloads: Vec<(String, u64)>,
    /// All other processes.
    pub others_uj: u64,
    /// What the machine would have drawn idle.
    pub idle_uj: u64,
}

/// A record, as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands: the number of its ledger among those read, and its own there.
    pub at: (usize, u64),
    /// What to show.
    pub record: Box<Record>,
}

/// A record, prepared on any thread.
#[derive(Debug)]
pub struct Prepared {
    by: Addend,
    before: Option<Addend>,
    over: Option<Addend>,
    is_chosen: bool,
    grounds: Grounds,
    record: Option<Box<Record>>,
}

/// Whether what only a page shows is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Sums alone.
    Sums,
    /// A page.
    Page,
}

impl Question {
    /// What figures need of a record and its canonical text.
    ///
    /// # Errors
    /// When the record contradicts itself, which its check would have found.
    pub fn prepare(
        &self,
        record: Record,
        text: &[u8],
        place: Place,
        wanted: For,
        load: Option<Load>,
    ) -> Result<Prepared, Error> {
        let is_chosen = place == Place::Chosen;
        let of = |by: &GroupBy, record: Record, place: Place| {
            let addend = Addend::of(record, text, by, false)?;
            Ok::<_, Error>(if place == Place::Chosen { addend } else { addend.beside() })
        };
        let before = self.choice.before().map(|before| {
            let place = before.place(&record)?;
            of(&GroupBy::All, record.clone(), place)
        });
        let page = wanted == For::Page;
        let over = page.then(|| of(&self.over, record.clone(), place)).transpose()?;
        let grounds = if is_chosen { Grounds::of(&record) } else { Grounds::default() };
        let kept = (page && is_chosen).then(|| Box::new(record.clone()));
        Ok(Prepared {
            before: before.transpose()?,
            over,
            is_chosen,
            grounds,
            record: kept,
            by: of(&self.by, record, place)?.with_load(load.filter(|_| is_chosen)),
        })
    }
}

impl Prepared {
    /// Whether the record is meant, and is not of another time.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }
}

/// What a [`Collector`] has to know of records before they come again.
#[derive(Debug, Default)]
pub struct Known {
    by: Option<Accounts>,
    before: Option<Accounts>,
    over: Option<Accounts>,
}

/// Gathers what records come to.
#[derive(Debug)]
pub struct Collector<'s> {
    /// The records come for the second time.
    is_again: bool,
    by: Adder<'s>,
    before: Option<Adder<'s>>,
    over: Option<Adder<'s>>,
    grounds: Grounds,
    week: [[f64; 24]; 7],
    flows: BTreeMap<String, (BTreeMap<String, u64>, u64, u64)>,
    seen: HashSet<String>,
    rows: BinaryHeap<Reverse<Ranked>>,
}

/// A row by its emissions, and then by its place.
#[derive(Debug)]
struct Ranked(Row);

impl Ranked {
    fn rank(&self) -> (u64, Reverse<(usize, u64)>) {
        // Doubles that are not negative are ordered as their bits are.
        (self.0.record.grams.to_bits(), Reverse(self.0.at))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'s> Collector<'s> {
    /// Nothing yet.
    pub fn new(question: &Question, wanted: For, scratch: NewScratch<'s>) -> Self {
        Self {
            is_again: false,
            by: Adder::new(scratch),
            before: question.choice.before().map(|_| Adder::new(scratch)),
            over: (wanted == For::Page).then(|| Adder::new(scratch)),
            grounds: Grounds::default(),
            week: [[0.0; 24]; 7],
            flows: BTreeMap::new(),
            seen: HashSet::new(),
            rows: BinaryHeap::new(),
        }
    }

    /// The same for records that come again, with what they told the first time.
    #[must_use]
    pub fn knowing(self, known: Option<Known>) -> Self {
        let is_again = known.is_some();
        let Known { by, before, over } = known.unwrap_or_default();
        let knowing = |adder: Option<Adder<'s>>, of| adder.map(|adder| adder.knowing(of));
        Self {
            by: self.by.knowing(by),
            before: knowing(self.before, before),
            over: knowing(self.over, over),
            is_again,
            ..self
        }
    }

    /// What all records that came tell of each other's hosts, where that decides what is added: see
    /// [`Adder::accounts`].
    pub fn known(&mut self) -> Option<Known> {
        let of = |adder: &mut Option<Adder<'s>>| adder.as_mut().and_then(Adder::accounts);
        let known = Known {
            by: self.by.accounts(),
            before: of(&mut self.before),
            over: of(&mut self.over),
        };
        let is_any = known.by.is_some() || known.before.is_some() || known.over.is_some();
        Some(known).filter(|_| is_any && !self.is_again)
    }

    /// Adds a record; `at` is the number of its ledger, and its own there.
    ///
    /// # Errors
    /// When another record has its id, or there is no scratch.
    pub fn add(&mut self, prepared: Prepared, at: (usize, u64)) -> Result<(), Error> {
        let Prepared { by, before, over, is_chosen, grounds, record } = prepared;
        let is_part = self.by.is_hosted(&by);
        self.by.add(by)?;
        for (adder, addend) in [(&mut self.before, before), (&mut self.over, over)] {
            if let (Some(adder), Some(addend)) = (adder, addend) {
                adder.add(addend)?;
            }
        }
        if is_chosen {
            self.grounds.merge(grounds);
        }
        let Some(record) = record else { return Ok(()) };
        if record.parent.is_none() && !is_part && self.seen.insert(record.record_id.clone()) {
            self.lay(&record)?;
            self.flow(&record);
        }
        self.rows.push(Reverse(Ranked(Row { at, record })));
        if self.rows.len() > ROWS_MAX {
            self.rows.pop();
        }
        Ok(())
    }

    /// Lays the energy of a record evenly over the hours of its span.
    fn lay(&mut self, record: &Record) -> Result<(), Error> {
        let span = record.interval()?;
        let (start, end) = (span.start().as_microsecond(), span.end().as_microsecond());
        let mut add = |hour: i64, kwh: f64| {
            let at = Timestamp::from_microsecond(hour * HOUR_US).unwrap_or_default();
            let at = TimeZone::UTC.to_datetime(at);
            let day = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default();
            let hour = usize::try_from(at.hour()).unwrap_or_default();
            if let Some(cell) = self.week.get_mut(day).and_then(|day| day.get_mut(hour)) {
                *cell += kwh;
            }
        };
        let (first, last) = (start.div_euclid(HOUR_US), (end - 1).div_euclid(HOUR_US));
        if end <= start || last - first >= HOURS_MAX {
            // So long that it has every hour of the week alike, or none.
            add(first, record.energy_kwh);
            return Ok(());
        }
        for hour in first..=last {
            let within = end.min((hour + 1) * HOUR_US) - start.max(hour * HOUR_US);
            #[expect(clippy::cast_precision_loss, reason = "a month of microseconds")]
            let part = within as f64 / (end - start) as f64;
            add(hour, record.energy_kwh * part);
        }
        Ok(())
    }

    fn flow(&mut self, record: &Record) {
        let Some(Measurement { energy, .. }) = &record.measurement else { return };
        let host = record.host_id.clone().unwrap_or_default();
        let (workloads, others, idle) = self.flows.entry(host).or_default();
        let name = record.name().unwrap_or_default().to_owned();
        let workload = workloads.entry(name).or_default();
        *workload = workload.saturating_add(energy.workload_uj);
        *others = others.saturating_add(energy.others_uj);
        *idle = idle.saturating_add(energy.idle_uj);
    }

    /// What they come to; by the market as well, where there is something to match with.
    ///
    /// # Errors
    /// A record that is a part of itself, or a scratch that fails.
    pub fn finish(self, instruments: Option<&Instruments>) -> Result<Figures, Error> {
        let before = self.before.map(|before| before.finish(None, None)).transpose()?;
        let over = self.over.map(|over| over.finish(None, None)).transpose()?;
        let mut rows: Vec<Row> = self.rows.into_iter().map(|Reverse(Ranked(row))| row).collect();
        rows.sort_by(|a, b| (&a.record.start_ts, a.at).cmp(&(&b.record.start_ts, b.at)));
        let flows = self.flows.into_iter().map(|(host, (workloads, others_uj, idle_uj))| {
            let mut workloads: Vec<_> = workloads.into_iter().collect();
            workloads.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Flow { host, workloads, others_uj, idle_uj }
        });
        let flows = flows.collect();
        let week = self.week;
        Ok(Figures {
            sums: self.by.finish(None, instruments)?,
            before: before.and_then(|sums| sums.all).filter(|totals| totals.count > 0),
            grounds: self.grounds,
            course: over.map(|over| Course { over: over.groups, week, flows, rows }),
        })
    }
}

impl Grounds {
    fn of(record: &Record) -> Self {
        let mut grounds = Self::default();
        grounds.quality.insert(record.quality_flag.as_str(), 1);
        grounds.sources.insert(record.source.clone(), 1);
        for stand_in in &record.stand_ins {
            grounds.stand_ins.insert(stand_in.why.clone(), 1);
        }
        for note in &record.notes {
            grounds.notes.insert(note.as_str().to_owned(), 1);
        }
        if let Some(measured) = &record.measurement {
            grounds.measured = 1;
            grounds.gaps = measured.gaps.len() as u64;
            grounds.records_with_gaps = u64::from(grounds.gaps > 0);
        }
        grounds
    }

    fn merge(&mut self, other: Self) {
        fn add<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *to.entry(key).or_default() += count;
            }
        }
        add(&mut self.quality, other.quality);
        add(&mut self.sources, other.sources);
        add(&mut self.stand_ins, other.stand_ins);
        add(&mut self.notes, other.notes);
        self.gaps += other.gaps;
        self.records_with_gaps += other.records_with_gaps;
        self.measured += other.measured;
    }
}

/// Which records are meant, in words.
#[must_use]
pub fn chosen(choice: &Choice) -> String {
    let time = |at: Timestamp| {
        let text = at.to_string();
        text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
    };
    let period = match (choice.from.map(time), choice.to.map(time)) {
        (None, None) => "all times".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("before {to}"),
        (Some(from), Some(to)) => format!("from {from} to before {to}"),
    };
    choice.common.iter().fold(period, |text, common| format!("{text}, {common}"))
}
