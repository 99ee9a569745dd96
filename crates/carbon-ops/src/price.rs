//! From a span to a record. What spans have in common is found once: zones, PUE, and the distribution of
//! the result relative to its mean, which depends on the relative uncertainties of the inputs only.
//!
//! Where the intensity does not change with time (a yearly average, a value that was given), spans with
//! the same zone, PUE and relative uncertainty of energy differ in a few numbers: see [`Quote`].
//!
//! Out of scope: reading spans, and writing records.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::market::Rates;
use carbon_ops_estimate::span::{Bucket, Load, Missing};
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_estimate::uncertainty::{Caution, Distribution};
use carbon_ops_grid::cache::Mode;
use carbon_ops_grid::{Factor, Interval};
use carbon_ops_record::{
    self as record, Deployment, Embodied, FunctionalUnit, Input, LISTED_MAX, LoadPart, LoadSeries,
    Method, Note, Prices, Quality, Record, Relative, Reserved, Stated, energy_inputs, id_text,
    names_fit, scopes, timestamp,
};

use crate::compose::{Measured, TOOL};
use crate::fault::Fault;
use crate::host::Host;
use crate::settings::Settings;
use crate::site::PueInput;
use crate::sources::{Grid, Name, claims};

mod live;
mod rate;
pub(crate) mod row;
mod zone;

use row::{Common, Own};

pub use live::{Carbon, LivePrice, Price};
pub use zone::{Part, Zone};

pub(crate) use rate::listed;
use rate::{KEPT_MAX, Rate, digest, relative};
use zone::asking;

/// Minutes of a bucket, as carbon-ops 0.1 had it.
const BUCKET: NonZeroU32 = match NonZeroU32::new(15) {
    Some(minutes) => minutes,
    None => NonZeroU32::MIN,
};

/// For how long all of them may take there, pauses and second attempts included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Identities of records: random, and each other than the one before.
#[derive(Debug, Clone)]
pub struct Ids(u128);

impl Ids {
    /// Beginning at random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// One that no record has.
    pub fn next_id(&mut self) -> [u8; 16] {
        let id = self.0.to_be_bytes();
        self.0 = self.0.wrapping_add(1);
        id
    }
}

/// What all spans have in common.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Where it was used; `None` is the settings' place.
    pub zone: Option<String>,
    /// PUE as a text; `None` is resolved.
    pub pue: Option<String>,
    /// An intensity that was given, instead of a grid's.
    pub intensity: Option<Distribution>,
    /// Whose the machines are; `None` is found by the place.
    pub deployment: Option<Deployment>,
    /// Whether what is direct and what is upstream are records of their own.
    pub upstream: bool,
    /// What time without a slot is priced with.
    pub missing: Missing,
    /// How intervals are computed.
    pub method: Method,
    /// Hardware that is charged for its time.
    pub reserved: Vec<Reserved>,
    /// What a score is per.
    pub functional_unit: Option<FunctionalUnit>,
    /// What was bought, for figures by the market.
    pub market: Option<Arc<Rates>>,
    /// The measurement that all of them ran inside of.
    pub parent: Option<String>,
    /// What the work is called by its owner.
    pub unit: Option<record::Unit>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
}

/// One span as it was asked for; what is `None` is as for all.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// When it was used.
    pub interval: Interval,
    /// How much, in kWh.
    pub energy: Distribution,
    /// How it is spread over the time.
    pub load: &'a Load,
    /// Who says how much.
    pub energy_source: &'static str,
    /// Where it was used.
    pub zone: Option<&'a str>,
    /// PUE as a text.
    pub pue: Option<&'a str>,
    /// The caller's own name for it.
    pub id: Option<&'a str>,
    /// Another machine that it was used on; `None` is this one.
    pub host: Option<&'a str>,
    /// Labels of its own.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// What was measured of it, where it was: this has the energy then, and the machine.
    pub measured: Option<&'a Measured>,
}

/// Everything that spans share.
#[derive(Debug)]
pub struct Pricer<'s> {
    shared: Shared,
    settings: &'s Settings,
    grid: Grid,
    /// The machine that this runs on.
    machine: Option<Host>,
    ids: Ids,
    zones: Vec<Zone>,
    zone_names: HashMap<String, usize>,
    /// The same for parts of an intensity.
    part_names: HashMap<(Part, String), usize>,
    /// Each of one zone only.
    pues: Vec<PueInput>,
    /// By zone.
    pue_names: Vec<PueNames>,
    relatives: HashMap<String, Relative>,
    /// By the age of what was priced with.
    quotes: HashMap<u16, Quotes>,
}

/// Places of the PUEs of a zone.
#[derive(Debug, Default)]
struct PueNames {
    /// Of spans that name none.
    unnamed: Option<usize>,
    /// The same, of other hosts.
    elsewhere: Option<usize>,
    named: HashMap<String, usize>,
}

/// Quotes, found without a copy of a name.
#[derive(Debug, Default)]
struct Quotes {
    all: Vec<Quote>,
    /// Of energies that are exact: by PUE, which is of one zone.
    exact: Vec<Option<usize>>,
    /// Of others: by PUE and what is not known of the energy.
    inexact: HashMap<(usize, String), usize>,
}

impl Quotes {
    fn place(&self, pue: usize, error: Option<&(usize, String)>) -> Option<usize> {
        match error {
            None => self.exact.get(pue).copied().flatten(),
            Some(key) => self.inexact.get(key).copied(),
        }
    }

    fn insert(&mut self, pue: usize, error: Option<(usize, String)>, quote: Quote) -> usize {
        if self.all.len() >= KEPT_MAX {
            *self = Self::default();
        }
        let place = self.all.len();
        self.all.push(quote);
        if let Some(key) = error {
            self.inexact.insert(key, place);
        } else {
            self.exact.resize(self.exact.len().max(pue + 1), None);
            if let Some(known) = self.exact.get_mut(pue) {
                *known = Some(place);
            }
        }
        place
    }
}

/// Spans that differ in time and energy only.
#[derive(Debug)]
pub struct Quote {
    /// The record of one of them.
    pub record: Record,
    relative: Relative,
    pue: f64,
    intensity: f64,
    /// Labels of spans that have none of their own.
    labels: BTreeMap<String, String>,
    /// What their rows have in common.
    common: Common,
}

impl Quote {
    /// The record becomes one of its own.
    fn named(&mut self, id: [u8; 16]) -> &mut Self {
        self.record.record_id = id_text(id);
        self
    }

    /// The numbers of a span of so much energy: prices, and the ends of the interval.
    fn numbers(&self, kilowatt_hours: f64) -> Result<(Prices, f64, f64)> {
        let prices = Prices::of_kilowatt_hours(kilowatt_hours, self.pue, self.intensity);
        let end = |relative: f64| round9(prices.grams * relative);
        let (low, high) = (end(self.relative.low), end(self.relative.high));
        ensure!(high.is_finite(), "{kilowatt_hours:e} kWh emit too much for a number");
        Ok((prices, low, high))
    }

    /// The grams of a span of so much energy in kWh, and the ends of their interval.
    ///
    /// # Errors
    /// When they are too many for a number.
    pub fn grams(&self, kilowatt_hours: f64) -> Result<(f64, f64, f64)> {
        let (prices, low, high) = self.numbers(kilowatt_hours)?;
        Ok((prices.grams, low, high))
    }

    /// Makes the record that of another span.
    pub fn restate(&mut self, start: &str, end: &str, kilowatt_hours: f64) -> Result<()> {
        let (prices, low, high) = self.numbers(kilowatt_hours)?;
        let record = &mut self.record;
        let set = |text: &mut String, to: &str| {
            text.clear();
            text.push_str(to);
        };
        set(&mut record.start_ts, start);
        set(&mut record.end_ts, end);
        if let Some([slot]) = record.grid.slots.list.as_deref_mut() {
            set(&mut slot.start, start);
            set(&mut slot.end, end);
        }
        if let Some(energy) = record.inputs.first_mut() {
            let point = Distribution::Point { mean: prices.energy_kwh };
            energy.dist = Quantity::Energy.echo(&point);
        }
        record.energy_kwh = prices.energy_kwh;
        record.total_energy_with_pue_kwh = prices.total_energy_with_pue_kwh;
        record.grams = prices.grams;
        let error = self.relative.error.map(|error| round9(prices.grams * error));
        (record.meta.ci_lower_g, record.meta.ci_upper_g) = (low, high);
        record.meta.numerical_error_g = error;
        Ok(())
    }

    /// Gives the record the names that a span has of its own.
    ///
    /// # Errors
    /// When an input of the record is no distribution; that is a defect.
    pub fn rename(&mut self, span: &Span<'_>) -> Result<()> {
        self.of_host(span.host)?;
        let record = &mut self.record;
        record.id = span.id.map(str::to_owned);
        let labels = span.labels.unwrap_or(&self.labels);
        if record.labels != *labels {
            record.labels.clone_from(labels);
        }
        Ok(())
    }

    /// Gives the record the host that a span names, and its meter.
    fn of_host(&mut self, host: Option<&str>) -> Result<()> {
        let record = &mut self.record;
        if record.host_id.as_deref() == host {
            return Ok(());
        }
        record.host_id = host.map(str::to_owned);
        if let Some(error) = record.inputs.get_mut(1).filter(|input| input.name == ENERGY_ERROR) {
            let key = meter_key(host, &error.dist);
            let named = |part: &&mut record::Contribution| part.name == ENERGY_ERROR;
            if let Some(part) = record.budget.iter_mut().find(named) {
                part.shared = Some(key.clone());
            }
            error.shared = Some(key);
            self.common = Common::of(record)?;
        }
        Ok(())
    }

    /// Appends the row of a span, whose times are texts as records have them.
    ///
    /// # Errors
    /// When the span emits too much for a number.
    pub fn row(&mut self, span: &Span<'_>, times: (&str, &str), out: &mut Vec<u8>) -> Result<()> {
        let (prices, low, high) = self.numbers(span.energy.mean())?;
        self.of_host(span.host)?;
        let own = Own {
            figures: [low, high, prices.energy_kwh, prices.grams],
            host: span.host,
            id: span.id,
            labels: span.labels.unwrap_or(&self.labels),
            record_id: &self.record.record_id,
            times,
        };
        own.write(&self.common, out)
    }
}

/// The input that has what is not known of an energy.
const ENERGY_ERROR: &str = "energy_error";

/// Whose error that of an energy is. A meter is off by the same from span to span, and nothing tells the
/// meters of a host apart but how good they are said to be.
fn meter_key(host: Option<&str>, relative: &str) -> String {
    format!("energy:{}:{relative}", host.unwrap_or("stated"))
}

impl<'s> Pricer<'s> {
    /// `machine` is the one that this runs on: spans that name no host are its own.
    pub fn new(
        shared: Shared,
        settings: &'s Settings,
        grid: Grid,
        machine: Option<Host>,
        ids: Ids,
    ) -> Self {
        Self {
            shared,
            settings,
            grid,
            machine,
            ids,
            zones: Vec::new(),
            zone_names: HashMap::new(),
            part_names: HashMap::new(),
            pues: Vec::new(),
            pue_names: Vec::new(),
            relatives: HashMap::new(),
            quotes: HashMap::new(),
        }
    }

    /// Names of the user's own are refused here, before they are in a record.
    fn names_fit(&self, span: &Span<'_>) -> Result<()> {
        Ok(names_fit(span.id, span.host, span.labels.unwrap_or(&self.shared.labels))?)
    }

    /// The record of a span; with `--upstream` two, the direct one first.
    pub fn records(&mut self, span: &Span<'_>) -> Result<Vec<Record>> {
        self.names_fit(span)?;
        let parts: &[Part] =
            if self.shared.upstream { &[Part::Direct, Part::Upstream] } else { &[Part::Whole] };
        let mut records = Vec::with_capacity(parts.len());
        for part in parts {
            let zone = self.zone(*part, span.zone)?;
            let pue = self.pue(zone, span)?;
            records.push(self.assemble(zone, pue, span)?.0);
        }
        Ok(records)
    }

    /// What a span shares with others whose intensity does not change with time either, for it to be
    /// restated; `None` where it does, or where the energy is a series.
    pub fn quote(&mut self, span: &Span<'_>) -> Result<Option<&mut Quote>> {
        self.names_fit(span)?;
        if self.shared.upstream {
            return Ok(None);
        }
        let zone = self.zone(Part::Whole, span.zone)?;
        // Hardware is charged by time, and a score is of both.
        let beyond = !self.shared.reserved.is_empty()
            || self.shared.functional_unit.is_some()
            || self.shared.market.is_some();
        let known = self.zones.get_mut(zone).context("a zone is missing")?;
        if beyond
            || span.measured.is_some()
            || !matches!(span.load, Load::Even(_))
            || !known.is_constant(&self.grid.chain, span.interval)?
            || known.is_of_another_time(span.interval)
        {
            return Ok(None);
        }
        let age = known.age(span.interval);
        let pue = self.pue(zone, span)?;
        let error = match span.energy {
            Distribution::Point { .. } => None,
            energy => {
                let inputs = energy_inputs(energy, span.energy_source)?;
                inputs.get(1).map(|error| (pue, error.dist.clone() + &error.source))
            }
        };
        let known = self.quotes.get(&age).and_then(|quotes| quotes.place(pue, error.as_ref()));
        let new = if known.is_none() { Some(self.new_quote(zone, pue, span)?) } else { None };
        let id = self.ids.next_id();
        let quotes = self.quotes.entry(age).or_default();
        let place = match new {
            Some(quote) => Some(quotes.insert(pue, error, quote)),
            None => known,
        };
        let quote = place.and_then(|place| quotes.all.get_mut(place));
        Ok(quote.map(|quote| quote.named(id)))
    }

    fn new_quote(&mut self, zone: usize, pue: usize, span: &Span<'_>) -> Result<Quote> {
        let (record, relative) = self.assemble(zone, pue, span)?;
        let mean = |name: &str| {
            let input = record.inputs.iter().find(|input| input.name == name);
            input.context("an input is missing")?.distribution().context("no distribution")
        };
        let (pue, intensity) = (mean("pue")?.mean(), mean("intensity")?.mean());
        let (common, labels) = (Common::of(&record)?, self.shared.labels.clone());
        Ok(Quote { record, relative, pue, intensity, labels, common })
    }

    /// The price of a span in buckets.
    pub fn buckets(&mut self, span: &Span<'_>, minutes: Option<NonZeroU32>) -> Result<Vec<Bucket>> {
        let zone = self.zone(Part::Whole, span.zone)?;
        let zone = self.zones.get_mut(zone).context("a zone is missing")?;
        zone.load(&self.grid.chain, span.interval)?;
        let tariff = zone.tariff(span.interval)?;
        let minutes = minutes.unwrap_or(BUCKET);
        Ok(tariff.buckets(span.interval, span.load, self.shared.missing, minutes)?)
    }

    fn zone(&mut self, part: Part, named: Option<&str>) -> Result<usize> {
        let configured = || self.settings.region.value.as_deref();
        let name = named.or(self.shared.zone.as_deref()).or_else(configured).unwrap_or_default();
        if part != Part::Whole {
            let key = (part, name.to_owned());
            if let Some(&index) = self.part_names.get(&key) {
                return Ok(index);
            }
            self.zones.push(Zone::part(name, part)?);
            self.part_names.insert(key, self.zones.len() - 1);
            return Ok(self.zones.len() - 1);
        }
        if let Some(&index) = self.zone_names.get(name) {
            return Ok(index);
        }
        let zone = match self.shared.intensity {
            Some(intensity) => Zone::given(intensity, name)?,
            None => Zone::find(name)?,
        };
        let name = name.to_owned();
        self.zones.push(zone);
        self.zone_names.insert(name, self.zones.len() - 1);
        Ok(self.zones.len() - 1)
    }

    fn pue(&mut self, zone: usize, span: &Span<'_>) -> Result<usize> {
        let named = span.pue.or(self.shared.pue.as_deref()).filter(|name| !name.is_empty());
        // A span of another host says nothing of the kind of this machine.
        let machine = self.machine.as_ref().filter(|_| span.host.is_none());
        let elsewhere = machine.is_none() && self.machine.is_some();
        let known = self.pue_names.get(zone).and_then(|names| match named {
            None if elsewhere => names.elsewhere,
            None => names.unnamed,
            Some(name) => names.named.get(name).copied(),
        });
        if let Some(index) = known {
            return Ok(index);
        }
        let place = self.zones.get(zone).context("a zone is missing")?.place();
        let index = self.pues.len();
        self.pues.push(PueInput::resolve(named, self.settings, place, machine)?);
        self.pue_names.resize_with(self.zones.len(), PueNames::default);
        let names = self.pue_names.get_mut(zone).context("a zone is missing")?;
        match named {
            None if elsewhere => names.elsewhere = Some(index),
            None => names.unnamed = Some(index),
            Some(name) => drop(names.named.insert(name.to_owned(), index)),
        }
        Ok(index)
    }

    fn assemble(&mut self, zone: usize, pue: usize, span: &Span<'_>) -> Result<(Record, Relative)> {
        let pue = self.pues.get(pue).context("a PUE is missing")?;
        let mut inputs = match span.measured {
            Some(measured) => measured.inputs.clone(),
            None => stated_energy(span)?,
        };
        let zone = self.zones.get_mut(zone).context("a zone is missing")?;
        let (chain, missing) = (&self.grid.chain, self.shared.missing);
        let rate = Rate::of(zone, pue, chain, span.interval, span.load, missing)?;
        inputs.extend(rate.inputs);
        let Rate { grid, factor, quality, .. } = rate;
        let relative = relative(&mut self.relatives, &inputs, self.shared.method)?;
        let (deployment, decided) = self.shared.deployment.map_or_else(
            || zone.deployment(self.machine.as_ref().filter(|_| span.host.is_none())),
            |deployment| (deployment, "flag"),
        );
        if self.shared.upstream && deployment != Deployment::Own {
            bail!(Fault::OneCategory(deployment.to_string()));
        }
        // One of two records of a span has its hardware.
        let has_hardware = !self.shared.reserved.is_empty() && factor != Factor::Upstream;
        let mut notes = notes(zone, &grid, &inputs, &relative);
        notes.extend(zone.is_of_another_time(span.interval).then_some(Note::AverageOfAnotherTime));
        notes.extend(span.measured.iter().flat_map(|measured| measured.notes.iter().cloned()));
        // What somebody states was not measured here.
        let of_energy = span.measured.map_or(Quality::Estimated, |measured| measured.quality);
        let host_id = match span.measured {
            Some(measured) => Some(measured.host_id.clone()),
            None => span.host.map(str::to_owned),
        };
        let stated = Stated {
            record_id: self.ids.next_id(),
            parent: self.shared.parent.clone(),
            unit: self.shared.unit.clone(),
            gases: zone.gases(),
            host_id,
            id: span.id.map(str::to_owned),
            labels: span.labels.unwrap_or(&self.shared.labels).clone(),
            notes,
            quality_flag: of_energy.max(quality),
            region: zone.region().to_owned(),
            scopes: scopes(deployment, factor, has_hardware, decided),
            signal: zone.signal().to_owned(),
            simulated: span.measured.is_some_and(|measured| measured.simulated),
            source: zone.source(),
            stand_ins: zone.stand_ins(),
            tool: TOOL.to_owned(),
        };
        let load = series(span.load)?;
        let mut record = Record::new(span.interval, inputs, grid, load, &relative, stated)?;
        if let Some(measured) = span.measured {
            record = record.with_measurement(measured.measurement.clone());
            record.interrupted = measured.interrupted.then_some(true);
        }
        if has_hardware {
            record.reserve(&self.shared.reserved).context("embodied carbon")?;
        }
        if let Some(rates) = &self.shared.market {
            record.state_by_market(rates).context("the figure by the market")?;
        }
        if let Some(unit) = &self.shared.functional_unit {
            record.score_per(unit).context("the score")?;
        }
        Ok((record, relative))
    }
}

/// Prices what was measured, with the grid of its own time. A source that fails never fails the command
/// that was measured: the built-in tables stand in, and the record says so.
///
/// # Errors
/// When even the built-in tables have no price; that is a defect.
pub fn measured(
    measured: &Measured,
    shared: Shared,
    settings: &Settings,
    names: &[Name],
    machine: Host,
    ids: Ids,
) -> Result<PricedMeasurement> {
    let one = std::slice::from_ref(measured);
    let (mut records, instead) = measured_together(one, shared, settings, names, machine, ids)?;
    Ok(PricedMeasurement { record: records.pop().context("a span has a record")?, instead })
}

/// The same of several parts of one time: a record of each, in their order, and why another source than the first one
/// stands in. A source is asked once.
///
/// # Errors
/// As of [`measured`].
pub fn measured_together(
    parts: &[Measured],
    shared: Shared,
    settings: &Settings,
    names: &[Name],
    machine: Host,
    ids: Ids,
) -> Result<(Vec<Record>, Option<String>)> {
    let Some(first) = parts.first() else { return Ok((Vec::new(), None)) };
    let load_of = |measured: &Measured| {
        let energy = measured.inputs.first().and_then(|energy| energy.distribution().ok());
        Load::Even(energy.map_or(0.0, |energy| energy.mean()))
    };
    let load = load_of(first);
    let region = shared.zone.clone().or_else(|| settings.region.value.clone()).unwrap_or_default();
    let span = first.span;
    let asked = if shared.intensity.is_some() {
        Zone::given_or_find(shared.intensity, &region)
    } else {
        ask(settings, names, &region, span).and_then(|zone| {
            // What was answered may hold nothing of this time.
            zone.tariff(span)?.price(span, &load, shared.missing)?;
            Ok(zone)
        })
    };
    let zone = match asked {
        Ok(zone) => zone,
        Err(error) => {
            let names = if names.is_empty() { &settings.grid.order.value } else { names };
            Zone::built_in(&region, span, names, &error)?
        }
    };
    let instead = zone.instead();
    let grid = Grid::new(&settings.grid, &[Name::Static], Mode::Offline)?;
    let mut pricer = Pricer::new(shared, settings, grid, Some(machine), ids);
    pricer.zone_names.insert(region, 0);
    pricer.zones.push(zone);
    let mut records = Vec::with_capacity(parts.len());
    for measured in parts {
        let load = load_of(measured);
        let span = Span {
            interval: measured.span,
            energy: Distribution::Point { mean: load.kwh() },
            load: &load,
            energy_source: "measured",
            zone: None,
            pue: None,
            id: None,
            host: None,
            labels: None,
            measured: Some(measured),
        };
        let record = pricer.records(&span)?.pop().context("a span has a record")?;
        record
            .check()
            .context("the record breaks its own rules; this is a defect of carbon-ops")?;
        records.push(record);
    }
    Ok((records, instead))
}

/// Of the sources that would be asked, those that answer at once, without a network.
pub fn local(settings: &Settings, names: &[Name]) -> Vec<Name> {
    let names = if names.is_empty() { &*settings.grid.order.value } else { names };
    let local: Vec<Name> = names.iter().copied().filter(|name| !name.is_remote()).collect();
    if local.is_empty() { vec![Name::Static] } else { local }
}

/// A record of what was measured.
#[derive(Debug)]
pub struct PricedMeasurement {
    /// The record.
    pub record: Record,
    /// Why another source than the first one stands in.
    pub instead: Option<String>,
}

/// What was bought, of the file that settings name: read before anything is priced.
///
/// # Errors
/// A file that cannot be read, or that is none of instruments.
pub fn market(settings: &Settings) -> Result<Option<Arc<Rates>>> {
    let claims = settings.market.value.as_deref().map(claims).transpose()?;
    Ok(claims.map(|claims| Arc::new(claims.rates())))
}

/// Checks hardware before a command runs: what would fail after it fails before it.
///
/// # Errors
/// Two pieces of hardware that contradict each other.
pub fn check_hardware(reserved: &[Reserved]) -> Result<()> {
    if !reserved.is_empty() {
        let any = Interval::parse("1970-01-01T00:00Z", "1970-01-01T01:00Z")?;
        Embodied::of(reserved, any).context("embodied carbon")?;
    }
    Ok(())
}

/// Asks for the intensity of a time, and waits for the answer as long as somebody who waits would.
fn ask(settings: &Settings, names: &[Name], region: &str, span: Interval) -> Result<Zone> {
    asking(settings, names, region, span)?
        .recv_timeout(PATIENCE)
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
}

/// The inputs of an energy that somebody states.
fn stated_energy(span: &Span<'_>) -> Result<Vec<Input>> {
    let mut inputs = energy_inputs(span.energy, span.energy_source)?;
    if let Some(error) = inputs.get_mut(1) {
        error.shared = Some(meter_key(span.host, &error.dist));
    }
    Ok(inputs)
}

fn notes(zone: &Zone, grid: &record::Grid, inputs: &[Input], relative: &Relative) -> Vec<Note> {
    let mut notes = zone.notes();
    let exact = inputs.first().is_some_and(|energy| energy.source != "measured")
        && !inputs.iter().any(|input| input.name == ENERGY_ERROR);
    notes.extend(exact.then_some(Note::EnergyStatedExact));
    notes.extend(cautions(inputs));
    notes.extend(relative.instead.is_some().then_some(Note::NoClosedForm));
    notes.extend(grid.filled.as_ref().map(|_| match grid.missing_policy.as_str() {
        "drop" => Note::SlotsDropped,
        "interpolate" => Note::SlotsInterpolated,
        _ => Note::SlotsStepped,
    }));
    notes
}

/// What a reader should know of distributions that the user chose; each word once.
fn cautions(inputs: &[Input]) -> BTreeSet<Note> {
    let stated = |input: &&Input| input.name == ENERGY_ERROR || input.source == "flag";
    let mut words = BTreeSet::new();
    for input in inputs.iter().filter(stated) {
        let Ok(distribution) = input.distribution() else { continue };
        words.extend(match distribution.caution(true) {
            Some(Caution::Negative { .. }) => Some(Note::NegativePossible),
            Some(Caution::Shifted { .. }) => Some(Note::BoundsMoveMean),
            _ => None,
        });
        // Three sigma, as for bounds: else 1.2 ± 0.05 would have it.
        if input.name == "pue" && !distribution.is_point() && distribution.cdf(1.0) > 0.001_35 {
            words.insert(Note::PueBelowOnePossible);
        }
    }
    words
}

/// The energy series as a record keeps it.
fn series(load: &Load) -> Result<Option<LoadSeries>> {
    let Load::Series(parts) = load else { return Ok(None) };
    let part = |part: &carbon_ops_estimate::span::Part| LoadPart {
        end: timestamp(part.interval.end()),
        kwh: round9(part.kwh),
    };
    let list: Vec<_> = parts.iter().map(part).collect();
    let count = u64::try_from(list.len())?;
    let sha256 = if list.len() > LISTED_MAX { Some(digest(&list)?) } else { None };
    Ok(Some(LoadSeries { count, list: sha256.is_none().then_some(list), sha256 }))
}

#[cfg(test)]
pub(crate) mod tests;
