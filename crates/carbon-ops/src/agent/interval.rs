//! An interval of a host that grows tick by tick: energy by unit of work, idle and rest, and all that a record says of
//! it. It is plain data, so that it survives in a file.
//!
//! Rule: an interval holds what continues it, and nothing else: of each domain the total at which one tick ends is that
//! at which the next one starts. So the parts of an interval sum to the difference of its totals, whatever it was put
//! together from.
//!
//! Out of scope: when an interval ends, and what it costs.

use std::collections::{BTreeMap, BTreeSet};

use carbon_ops_record::{
    AttributionMode, Decimal, Domain, Excluded, Gap, IdlePolicy, Input, Note, Quality, Sensor, Unit,
};
use serde::{Deserialize, Serialize};

use crate::watch::{Account, Used};

/// Gaps that a record takes (256), less what one more tick may bring.
const GAPS_MAX: usize = 128;

/// Units that an interval tells apart; of more, those with the least energy are one of their kind.
pub const UNITS_MAX: usize = 2_000;

/// The id under which a unit of several counts them.
pub const COUNT: &str = "units";

/// An interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Begin in microseconds since 1970, by the wall clock.
    pub start_us: i64,
    /// End, the same.
    pub end_us: i64,
    /// Length by the monotonic clock.
    pub elapsed_ns: u64,
    /// How many ticks it was put together from.
    pub ticks: u64,
    /// All energy.
    pub host_uj: u64,
    /// By unit of work, by its text.
    pub units: BTreeMap<String, Part>,
    /// Of nobody.
    pub idle: Sum,
    /// Of everybody without a name.
    pub rest: Sum,
    /// See [`Account`].
    pub attribution_mode: AttributionMode,
    /// See [`Account`].
    pub domains: Vec<Domain>,
    /// Busy time of all processors.
    pub busy_ns: u64,
    /// Most processors that were online.
    pub cpus: u32,
    /// Time that the counters covered, in percent of a nanosecond.
    pub covered: f64,
    /// See [`Account`].
    pub excluded: Vec<Excluded>,
    /// See [`Account`].
    pub gaps: Vec<Gap>,
    /// See [`Account`].
    pub sensors: Vec<Sensor>,
    /// See [`Account`].
    pub notes: Vec<Note>,
    /// See [`Account`].
    pub quality: Quality,
    /// See [`Account`].
    pub simulated: bool,
    /// Who pays for idle energy.
    pub idle_policy: IdlePolicy,
    /// The kernel's id of the boot.
    pub boot_id: Option<String>,
}

/// What one unit of work used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The unit.
    pub unit: Unit,
    /// What it used.
    pub sum: Sum,
}

/// An energy that was put together from several, with what is not known of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// In µJ.
    pub energy_uj: u64,
    /// CPU time.
    pub cpu_ns: u64,
    /// What is not known, as parts of the energy.
    pub errors: Vec<Error>,
}

/// An error of an energy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Error {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sign: Option<i8>,
    source: String,
    /// In µJ; of what is read anew with each tick, the sum of squares.
    sum: f64,
}

/// Inputs whose errors are others with each reading: they add up as squares do. All others are the same error each
/// time, and add up as they are.
const INDEPENDENT: [&str; 2] = ["ends", "gpu_ends"];

impl Error {
    fn of(input: &Input, energy_uj: u64) -> Option<Self> {
        let distribution = input.distribution().ok()?;
        #[expect(clippy::cast_precision_loss, reason = "an error, of a few digits")]
        let error = distribution.standard() / distribution.mean() * energy_uj as f64;
        let independent = INDEPENDENT.contains(&&*input.name);
        Some(Self {
            name: input.name.clone(),
            shared: input.shared.clone(),
            sign: input.sign,
            // What else it says is of this tick alone.
            source: input.source.split(", ").next().unwrap_or_default().to_owned(),
            sum: if independent { error * error } else { error },
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        (&self.name, &self.shared, self.sign) == (&other.name, &other.shared, other.sign)
    }

    /// As a factor of an energy.
    fn input(&self, energy_uj: u64) -> Input {
        let independent = INDEPENDENT.contains(&&*self.name);
        let error = if independent { self.sum.sqrt() } else { self.sum };
        #[expect(clippy::cast_precision_loss, reason = "an error, of a few digits")]
        let cv = (error / (energy_uj as f64).max(1.0)).clamp(1e-9, 2.0);
        let mut input = Input::factor(&self.name, cv, self.source.clone());
        if let Some(key) = &self.shared {
            input = input.shared(key.as_str());
        }
        if self.sign == Some(-1) { input.opposed() } else { input }
    }
}

impl Sum {
    /// Of one tick.
    fn of(used: &Used) -> Self {
        let errors = used.factors.iter().filter_map(|input| Error::of(input, used.energy_uj));
        let mut sum = Self {
            energy_uj: used.energy_uj,
            cpu_ns: u64::try_from(used.cpu.as_nanos()).unwrap_or(u64::MAX),
            errors: Vec::new(),
        };
        errors.for_each(|error| sum.add_error(error));
        sum
    }

    fn add_error(&mut self, error: Error) {
        match self.errors.iter_mut().find(|known| known.is_as(&error)) {
            Some(known) => known.sum += error.sum,
            None => self.errors.push(error),
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.energy_uj = self.energy_uj.saturating_add(other.energy_uj);
        self.cpu_ns = self.cpu_ns.saturating_add(other.cpu_ns);
        other.errors.into_iter().for_each(|error| self.add_error(error));
    }

    /// What is not known of it, as factors of mean 1.
    pub fn factors(&self) -> Vec<Input> {
        self.errors.iter().map(|error| error.input(self.energy_uj)).collect()
    }
}

impl Open {
    /// Of one tick.
    pub fn of(account: &Account, idle_policy: IdlePolicy, boot_id: Option<String>) -> Self {
        let elapsed_ns = u64::try_from(account.elapsed.as_nanos()).unwrap_or(u64::MAX);
        let mut units = BTreeMap::new();
        for (unit, used) in &account.units {
            let part = Part { unit: (**unit).clone(), sum: Sum::of(used) };
            add_part(&mut units, part);
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage, of a few digits")]
        let covered = account.coverage_pct * elapsed_ns as f64;
        let mut open = Self {
            start_us: account.start.as_microsecond(),
            end_us: account.end.as_microsecond(),
            elapsed_ns,
            ticks: 1,
            host_uj: account.host_uj,
            units,
            idle: Sum::of(&account.idle),
            rest: Sum::of(&account.rest),
            attribution_mode: account.attribution_mode,
            domains: account.domains.clone(),
            busy_ns: u64::try_from(account.busy.as_nanos()).unwrap_or(u64::MAX),
            cpus: account.cpus,
            covered,
            excluded: account.excluded.clone(),
            gaps: account.gaps.clone(),
            sensors: account.sensors.clone(),
            notes: account.notes.clone(),
            quality: account.quality,
            simulated: account.simulated,
            idle_policy,
            boot_id,
        };
        open.bound();
        open
    }

    /// Whether another one continues this one.
    pub fn continues_with(&self, next: &Self) -> bool {
        let domain = |(one, next): (&Domain, &Domain)| {
            one.name == next.name
                && one.backend == next.backend
                && one.epoch == next.epoch
                && one.end_uj == next.start_uj
        };
        self.attribution_mode == next.attribution_mode
            && self.idle_policy == next.idle_policy
            && self.boot_id == next.boot_id
            && self.simulated == next.simulated
            && self.domains.len() == next.domains.len()
            && self.domains.iter().zip(&next.domains).all(domain)
    }

    /// Whether a record has room for the gaps of both.
    pub fn has_room(&self, next: &Self) -> bool {
        self.gaps.len() + next.gaps.len() <= GAPS_MAX
    }

    /// Adds one that continues it.
    pub fn join(&mut self, next: Self) {
        let offset = self.elapsed_ns;
        self.gaps.extend(
            next.gaps.into_iter().map(|gap| Gap {
                offset_ns: Decimal(gap.offset_ns.0.saturating_add(offset)),
                ..gap
            }),
        );
        for (domain, next) in self.domains.iter_mut().zip(next.domains) {
            let adjust = domain.adjust_uj.unwrap_or(0) + next.adjust_uj.unwrap_or(0);
            domain.adjust_uj = Some(adjust).filter(|adjust| *adjust != 0);
            domain.delta_uj += next.delta_uj;
            domain.end_uj = next.end_uj;
            domain.wraps = domain.wraps.zip(next.wraps).map(|(one, next)| one + next);
        }
        next.units.into_values().for_each(|part| add_part(&mut self.units, part));
        self.idle.add(next.idle);
        self.rest.add(next.rest);
        self.end_us = next.end_us;
        self.elapsed_ns = self.elapsed_ns.saturating_add(next.elapsed_ns);
        self.ticks += next.ticks;
        self.host_uj = self.host_uj.saturating_add(next.host_uj);
        self.busy_ns = self.busy_ns.saturating_add(next.busy_ns);
        self.cpus = self.cpus.max(next.cpus);
        self.covered += next.covered;
        for zone in next.excluded {
            if !self.excluded.contains(&zone) {
                self.excluded.push(zone);
            }
        }
        self.sensors = next.sensors;
        self.note(next.notes);
        self.quality = self.quality.max(next.quality);
        self.bound();
    }

    /// The same without its units: where it ended, and how much of it was idle.
    pub fn without_units(&self) -> Self {
        Self { units: BTreeMap::new(), gaps: Vec::new(), ..self.clone() }
    }

    /// Adds notes, each once.
    pub fn note(&mut self, notes: impl IntoIterator<Item = Note>) {
        let all: BTreeSet<Note> = self.notes.drain(..).chain(notes).collect();
        self.notes = all.into_iter().collect();
    }

    /// Keeps the number of units below its bound.
    fn bound(&mut self) {
        if self.units.len() > UNITS_MAX {
            // Down to half, so that this is seldom done.
            let mut energies: Vec<u64> = self.units.values().map(|it| it.sum.energy_uj).collect();
            energies.sort_unstable_by(|a, b| b.cmp(a));
            let least = energies.get(UNITS_MAX / 2).copied().unwrap_or(u64::MAX);
            self.fold(|energy_uj| energy_uj > least);
        }
    }

    /// Makes one unit of each kind of those that have not enough energy to be told apart.
    pub fn fold(&mut self, enough: impl Fn(u64) -> bool) {
        for (_, part) in std::mem::take(&mut self.units) {
            let few = enough(part.sum.energy_uj) || part.unit.ids.contains_key(COUNT);
            add_part(&mut self.units, if few { part } else { one_of_many(part) });
        }
    }

    /// Energy of all units of work.
    pub fn units_uj(&self) -> u64 {
        self.units.values().map(|part| part.sum.energy_uj).sum()
    }
}

/// A unit without a name of its own: one of its kind.
fn one_of_many(part: Part) -> Part {
    let ids = BTreeMap::from([(COUNT.to_owned(), "1".to_owned())]);
    Part { unit: Unit { ids, kind: part.unit.kind }, sum: part.sum }
}

/// Adds a part: to that of the same unit, or of the same kind where it is one of many.
fn add_part(units: &mut BTreeMap<String, Part>, part: Part) {
    let count = |unit: &Unit| unit.ids.get(COUNT).and_then(|count| count.parse::<u64>().ok());
    let key = match count(&part.unit) {
        Some(_) => format!("{} {COUNT}", part.unit.kind),
        None => part.unit.to_string(),
    };
    let Some(known) = units.get_mut(&key) else {
        units.insert(key, part);
        return;
    };
    if let Some((one, other)) = count(&known.unit).zip(count(&part.unit)) {
        let sum = one.saturating_add(other).to_string();
        known.unit.ids.insert(COUNT.to_owned(), sum);
    }
    known.sum.add(part.sum);
}
