//! What is known of a machine and what of it somebody wants to see, as plain data.
//!
//! Rule: rows and residuals of a sample sum to the host. What a filter hides or a closed group holds is left out of
//! sight and never out of a sum.
//!
//! Out of scope: how it is drawn, and which key changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use carbon_ops::identity;
use carbon_ops::watch::{Row, Sample};
use jiff::Timestamp;

use crate::glyphs::Glyphs;
use crate::history::History;

/// Order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Most power first.
    Power,
    /// Most CPU time first.
    Cpu,
    /// Most memory first.
    Memory,
    /// By name.
    Name,
}

impl Order {
    /// The one after it, in turn.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Power => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Name,
            Self::Name => Self::Power,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Name => "name",
        }
    }
}

/// Which row it is, from sample to sample.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A unit of work, as its owner calls it.
    Unit(String),
    /// A process by its number.
    Process(i32),
}

/// All that a frame is made of.
#[derive(Debug)]
pub struct Model {
    /// What the terminal can show.
    pub glyphs: Glyphs,
    /// Time between samples.
    pub interval: Duration,
    /// Order of the rows.
    pub order: Order,
    /// Whether processes stand below their units of work.
    pub tree: bool,
    /// Shows rows whose name, unit or number has this in it.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// The list of keys is shown.
    pub help: bool,
    /// The row that is marked; none until somebody moves.
    pub selected: Option<Key>,
    closed: BTreeSet<Key>,
    latest: Option<Rc<Sample>>,
    /// What is shown while the view stands still, and how many samples came since.
    paused: Option<(Option<Rc<Sample>>, usize)>,
    ahead: Vec<(Timestamp, f64)>,
    pub(crate) host: History,
    pub(crate) carbon: History,
    pub(crate) domains: BTreeMap<String, History>,
    rows: HashMap<Key, History>,
}

/// What an hour at this rate emits, in g, with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct PerHour {
    pub(crate) grams: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A row that is shown.
#[derive(Debug)]
pub(crate) struct Shown<'m> {
    pub(crate) key: Key,
    pub(crate) name: String,
    /// Of a group, whether it is closed.
    pub(crate) closed: Option<bool>,
    /// Below a group.
    pub(crate) inner: bool,
    pub(crate) cpu_percent: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) energy_uj: u64,
    pub(crate) gpu_uj: u64,
    pub(crate) carbon: Option<PerHour>,
    pub(crate) history: Option<&'m History>,
}

impl Model {
    /// Before the first sample.
    pub fn new(glyphs: Glyphs, interval: Duration, order: Order, tree: bool) -> Self {
        Self {
            glyphs,
            interval,
            order,
            tree,
            filter: String::new(),
            typing: false,
            help: false,
            selected: None,
            closed: BTreeSet::new(),
            latest: None,
            paused: None,
            ahead: Vec::new(),
            host: History::default(),
            carbon: History::default(),
            domains: BTreeMap::new(),
            rows: HashMap::new(),
        }
    }

    /// Takes a sample, and what is known of the grid from then on.
    pub fn take(&mut self, sample: Sample, ahead: Vec<(Timestamp, f64)>) {
        self.host.push(sample.host.power_w);
        let seconds = seconds(&sample);
        let per_hour = |grams: f64| grams * 3600.0 / seconds;
        let grams = sample.host.carbon.as_ref().map_or(0.0, |carbon| carbon.grams);
        self.carbon.push(per_hour(grams));
        for domain in &sample.host.domains {
            let history = self.domains.entry(domain.name.clone()).or_default();
            history.push(watts(domain.energy_uj, &sample));
        }
        let mut units: HashMap<Key, f64> = HashMap::new();
        let mut before = std::mem::take(&mut self.rows);
        for row in &sample.rows {
            let Some(key) = row.pid.map(Key::Process) else { continue };
            *units.entry(Key::Unit(unit_of(row))).or_default() += row.power_w;
            let mut history = before.remove(&key).unwrap_or_default();
            history.push(row.power_w);
            self.rows.insert(key, history);
        }
        // Of what has ended nothing is kept.
        for (key, power) in units {
            let mut history = before.remove(&key).unwrap_or_default();
            history.push(power);
            self.rows.insert(key, history);
        }
        self.latest = Some(Rc::new(sample));
        match &mut self.paused {
            Some((_, behind)) => *behind += 1,
            None => self.ahead = ahead,
        }
    }

    /// What is shown: the newest sample, or the one that the view stands still at.
    pub fn sample(&self) -> Option<&Sample> {
        match &self.paused {
            Some((sample, _)) => sample.as_deref(),
            None => self.latest.as_deref(),
        }
    }

    /// What the grid emits from the sample on, where its source tells hours: the begin of each slot and g/kWh.
    pub(crate) fn ahead(&self) -> &[(Timestamp, f64)] {
        &self.ahead
    }

    /// Lets the view stand still, or go on. Samples are taken meanwhile.
    pub fn pause(&mut self) {
        self.paused = match self.paused {
            Some(_) => None,
            None => Some((self.latest.clone(), 0)),
        };
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Samples that have come since the one that is shown.
    pub(crate) fn behind(&self) -> usize {
        self.paused.as_ref().map_or(0, |(_, behind)| *behind)
    }

    /// Opens the group of the marked row, or closes it.
    pub fn fold(&mut self) {
        let Some(key @ Key::Unit(_)) = self.selected.clone() else { return };
        if !self.closed.remove(&key) {
            self.closed.insert(key);
        }
    }

    /// Marks another row, so many further down.
    pub fn move_by(&mut self, rows: isize) {
        let keys: Vec<Key> = self.shown().into_iter().map(|row| row.key).collect();
        let place = self.selected.as_ref().and_then(|key| keys.iter().position(|it| it == key));
        let last = keys.len().saturating_sub(1);
        let place = match place {
            Some(place) => place.saturating_add_signed(rows).min(last),
            None if rows > 0 => usize::try_from(rows - 1).unwrap_or(0).min(last),
            None => return,
        };
        self.selected = keys.into_iter().nth(place);
    }

    /// Sets the time between samples to the next longer or shorter one of a list.
    pub fn pace(&mut self, slower: bool) {
        let mut paces = PACES.iter().map(|ms| Duration::from_millis(*ms));
        let found = if slower {
            paces.find(|pace| *pace > self.interval)
        } else {
            paces.rfind(|pace| *pace < self.interval)
        };
        self.interval = found.unwrap_or(self.interval);
    }

    /// The rows in their order, with the filter applied, and groups closed or open.
    pub(crate) fn shown(&self) -> Vec<Shown<'_>> {
        let Some(sample) = self.sample() else { return Vec::new() };
        let wanted = self.filter.to_lowercase();
        let mut rows = Vec::new();
        for row in sample.rows.iter().filter(|row| matches(row, &wanted)) {
            rows.extend(self.row(sample, row));
        }
        if !self.tree {
            self.sort(&mut rows);
            return rows.into_iter().map(|(_, row)| row).collect();
        }
        let mut groups: BTreeMap<String, (String, Vec<(String, Shown<'_>)>)> = BTreeMap::new();
        for (unit, mut row) in rows {
            row.inner = true;
            let of_unit = groups.entry(unit.clone());
            of_unit.or_insert_with(|| (row_label(sample, &unit), Vec::new())).1.push((unit, row));
        }
        let mut heads: Vec<_> = groups
            .into_iter()
            .map(|(unit, (label, rows))| (unit.clone(), self.group(&unit, label, &rows), rows))
            .collect();
        heads.sort_by(|(_, a, _), (_, b, _)| self.compare(a, b));
        let mut shown = Vec::new();
        for (_, head, mut rows) in heads {
            let closed = head.closed == Some(true);
            shown.push(head);
            if !closed {
                self.sort(&mut rows);
                shown.extend(rows.into_iter().map(|(_, row)| row));
            }
        }
        shown
    }

    fn row<'m>(&'m self, sample: &Sample, row: &Row) -> Option<(String, Shown<'m>)> {
        let key = Key::Process(row.pid?);
        let per_hour = 3600.0 / seconds(sample);
        let carbon = row.carbon.as_ref().map(|carbon| PerHour {
            grams: carbon.grams * per_hour,
            low: carbon.ci_lower_g * per_hour,
            high: carbon.ci_upper_g * per_hour,
        });
        let history = self.rows.get(&key);
        let shown = Shown {
            key,
            name: row.name.clone(),
            closed: None,
            inner: false,
            cpu_percent: row.cpu_percent,
            memory_bytes: row.memory_bytes,
            energy_uj: row.energy_uj,
            gpu_uj: row.gpu_energy_uj.unwrap_or(0),
            carbon,
            history,
        };
        Some((unit_of(row), shown))
    }

    /// A group of rows. The ends of its interval are the sums of theirs: what is not known of a meter, a PUE and a
    /// grid is the same for all, so that nothing of it averages out.
    fn group(&self, unit: &str, label: String, rows: &[(String, Shown<'_>)]) -> Shown<'_> {
        let key = Key::Unit(unit.to_owned());
        let rows = || rows.iter().map(|(_, row)| row);
        let carbon = rows().filter_map(|row| row.carbon).reduce(|a, b| PerHour {
            grams: a.grams + b.grams,
            low: a.low + b.low,
            high: a.high + b.high,
        });
        Shown {
            name: label,
            closed: Some(self.closed.contains(&key)),
            inner: false,
            cpu_percent: rows().map(|row| row.cpu_percent).sum(),
            memory_bytes: rows().map(|row| row.memory_bytes).sum(),
            energy_uj: rows().map(|row| row.energy_uj).sum(),
            gpu_uj: rows().map(|row| row.gpu_uj).sum(),
            carbon,
            history: self.rows.get(&key),
            key,
        }
    }

    fn sort(&self, rows: &mut [(String, Shown<'_>)]) {
        rows.sort_by(|(_, a), (_, b)| self.compare(a, b));
    }

    fn compare(&self, a: &Shown<'_>, b: &Shown<'_>) -> std::cmp::Ordering {
        let by = match self.order {
            Order::Power => b.energy_uj.cmp(&a.energy_uj),
            Order::Cpu => b.cpu_percent.total_cmp(&a.cpu_percent),
            Order::Memory => b.memory_bytes.cmp(&a.memory_bytes),
            Order::Name => a.name.cmp(&b.name),
        };
        by.then(b.cpu_percent.total_cmp(&a.cpu_percent)).then(a.key.cmp(&b.key))
    }
}

/// Times between samples that keys lead to, in ms.
const PACES: [u64; 8] = [250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];

/// Whose work no owner has a name for.
const NO_UNIT: &str = "";

fn unit_of(row: &Row) -> String {
    row.unit.as_ref().map_or_else(|| NO_UNIT.to_owned(), ToString::to_string)
}

/// What a unit is called in a list.
fn row_label(sample: &Sample, unit: &str) -> String {
    if unit == NO_UNIT {
        return "(no unit)".to_owned();
    }
    let named = sample.rows.iter().filter_map(|row| row.unit.as_ref());
    let found = named.into_iter().find(|it| it.to_string() == unit);
    found.map_or_else(|| unit.to_owned(), |unit| identity::short(unit))
}

fn matches(row: &Row, wanted: &str) -> bool {
    wanted.is_empty()
        || row.name.to_lowercase().contains(wanted)
        || row.pid.is_some_and(|pid| pid.to_string() == wanted)
        || row.unit.as_ref().is_some_and(|unit| unit.to_string().to_lowercase().contains(wanted))
}

/// How long a sample is.
pub(crate) fn seconds(sample: &Sample) -> f64 {
    Duration::from_nanos(sample.elapsed_ns.0).as_secs_f64().max(1e-9)
}

/// Power of an energy in a sample.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn watts(energy_uj: u64, sample: &Sample) -> f64 {
    energy_uj as f64 / 1e6 / seconds(sample)
}
