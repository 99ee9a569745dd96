//! A zone and what is known of its intensity: one value for all times, or slots of a window that grows
//! with what is asked for. Of a life-cycle intensity it can be one part only: see [`Part`].

use std::borrow::Cow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use carbon_ops_estimate::span::{Priced, Tariff};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_grid::cache::Mode;
use carbon_ops_grid::zones::Place;
use carbon_ops_grid::{
    BuiltIn, Chain, Factor, Fallback, Found, Gases, Interval, InventoryIntensity, Row, Signal,
    Slot, UncertaintyClass, Want, Why, stand_in,
};
use carbon_ops_record::upstream;
use carbon_ops_record::{Deployment, Gas, Input, Note, Quality, StandIn};
use jiff::Timestamp;

use crate::fault::Fault;
use crate::host::Host;
use crate::settings::Settings;
use crate::sources::{self, Grid, Name};

/// A day in seconds: windows are whole days in UTC.
const DAY: i64 = 86_400;

/// A yearly average is said to be of another time from here on; how far it may be off grows from the first year.
const FAR_YEARS: u16 = 5;

/// Which part of an intensity is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// All that the provider counts.
    Whole,
    /// At the chimney.
    Direct,
    /// Before it: what a life-cycle intensity has beyond the direct one.
    Upstream,
}

/// A zone.
#[derive(Debug)]
pub struct Zone {
    part: Part,
    /// `None` where the intensity was given and no zone.
    place: Option<Place>,
    prices: Prices,
}

#[derive(Debug)]
enum Prices {
    /// Given outright.
    Given(Distribution),
    /// Not asked for yet.
    Unknown,
    /// The average of a year, whatever the time.
    Yearly { slot: Slot<InventoryIntensity>, row: Option<Row>, stands_in: Vec<stand_in::StandIn> },
    /// Slots of the window that was asked for last.
    Window {
        interval: Interval,
        slots: Vec<Slot<InventoryIntensity>>,
        tariff: Tariff,
        provider: &'static str,
        signal: Signal,
        stands_in: Vec<stand_in::StandIn>,
        /// Of an upstream part, the direct slots that it was taken from.
        direct: Vec<Slot<InventoryIntensity>>,
    },
}

impl Zone {
    /// The zone of that name; without one, the world.
    pub fn find(name: &str) -> Result<Self> {
        let place = if name.is_empty() { Place::unset() } else { Place::parse(name)? };
        Ok(Self { part: Part::Whole, place: Some(place), prices: Prices::Unknown })
    }

    /// The zone of that name, of which a part is counted.
    pub fn part(name: &str, part: Part) -> Result<Self> {
        Ok(Self { part, ..Self::find(name)? })
    }

    /// An intensity that was given, else the zone of that name.
    pub(crate) fn given_or_find(intensity: Option<Distribution>, name: &str) -> Result<Self> {
        intensity.map_or_else(|| Self::find(name), |intensity| Self::given(intensity, name))
    }

    /// The built-in tables, as what they are: they stand in for sources that failed.
    pub(crate) fn built_in(
        name: &str,
        span: Interval,
        asked: &[Name],
        error: &anyhow::Error,
    ) -> Result<Self> {
        let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
        let reason = causes.join(": ");
        let reason = reason.lines().map(|line| line.trim().trim_end_matches(':'));
        let reason = reason.take(2).collect::<Vec<_>>().join(": ");
        let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
        let tables = Chain::new(vec![Arc::new(BuiltIn)], Fallback::Equal);
        // A site of one's own means nothing to the tables.
        let mut zone = Self::find(name)?;
        if zone.load(&tables, span).is_err() {
            zone = Self::find("")?;
            zone.load(&tables, span)?;
        }
        let used = zone.source();
        if let Prices::Yearly { stands_in, .. } | Prices::Window { stands_in, .. } =
            &mut zone.prices
        {
            let why = Why::AnotherProvider { reason };
            stands_in.push(stand_in::StandIn { asked: asked.join(", "), used, why });
        }
        Ok(zone)
    }

    /// An intensity that was given; the name is only a name.
    pub fn given(intensity: Distribution, name: &str) -> Result<Self> {
        let prices = Prices::Given(intensity);
        if name.is_empty() {
            return Ok(Self { part: Part::Whole, place: None, prices });
        }
        Ok(Self { prices, ..Self::find(name)? })
    }

    /// Where it is.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The zone as records name it.
    pub fn region(&self) -> &str {
        match &self.place {
            None => "unstated",
            Some(place) if place.is_unset() => "world",
            Some(place) => place.region(),
        }
    }

    /// Whether it is the average of a year that lies five years or more from a time.
    pub fn is_of_another_time(&self, interval: Interval) -> bool {
        self.age(interval) >= FAR_YEARS
    }

    /// Years between a time and the year whose average is taken; 0 where none is.
    pub fn age(&self, interval: Interval) -> u16 {
        match &self.prices {
            Prices::Yearly { row: Some(row), .. } => row.age(interval),
            _ => 0,
        }
    }

    /// Whether its intensity is the same at all times; asks when that is not known yet.
    pub fn is_constant(&mut self, chain: &Chain, interval: Interval) -> Result<bool> {
        if matches!(self.prices, Prices::Unknown) {
            self.ask(chain, interval)?;
        }
        Ok(!matches!(self.prices, Prices::Window { .. }))
    }

    /// The input, where it was given.
    pub fn given_intensity(&self) -> Option<Input> {
        match self.prices {
            Prices::Given(intensity) => {
                let input = Input::new("intensity", intensity, "flag");
                // A value that is given for many spans is off by the same in all of them.
                let shared = format!("grid:flag:{}", input.dist);
                Some(if intensity.is_point() { input } else { input.shared(shared) })
            }
            _ => None,
        }
    }

    /// Sees to it that what is known reaches over a time.
    pub fn load(&mut self, chain: &Chain, interval: Interval) -> Result<()> {
        if self.covers(interval) { Ok(()) } else { self.ask(chain, interval) }
    }

    /// Whether what is known reaches over a time.
    pub(super) fn covers(&self, interval: Interval) -> bool {
        match &self.prices {
            Prices::Window { interval: window, .. } => {
                window.start() <= interval.start() && interval.end() <= window.end()
            }
            Prices::Yearly { .. } => true,
            Prices::Given(_) | Prices::Unknown => false,
        }
    }

    /// The slots around a time that was loaded.
    pub fn slots(&self, interval: Interval) -> Cow<'_, [Slot<InventoryIntensity>]> {
        match &self.prices {
            Prices::Yearly { slot, .. } => Cow::Owned(vec![stretched(slot, interval)]),
            Prices::Window { slots, .. } => Cow::Borrowed(slots),
            Prices::Given(_) | Prices::Unknown => Cow::Borrowed(&[]),
        }
    }

    /// From a time on, the begin of each slot that was told, and its g/kWh; nothing of the average of a year.
    pub(super) fn ahead(&self, from: Timestamp) -> Vec<(Timestamp, f64)> {
        let Prices::Window { slots, .. } = &self.prices else { return Vec::new() };
        let slots = slots.iter().filter(|slot| slot.interval.end() > from);
        slots.map(|slot| (slot.interval.start(), slot.as_grams_per_kilowatt_hour())).collect()
    }

    /// Of an upstream part, the direct slots that it was taken from.
    pub fn direct(&self) -> &[Slot<InventoryIntensity>] {
        match &self.prices {
            Prices::Window { direct, .. } => direct,
            _ => &[],
        }
    }

    /// What is not known beyond the error of the source at that place, each with the key of those who share it: the
    /// factors of a whole table, what stands in for another place, the difference that an upstream part is.
    pub fn errors(&self) -> Result<Vec<Input>> {
        let mut errors = Vec::new();
        if let Prices::Yearly { row: Some(row), .. } = &self.prices
            && let Some((cv, key)) = row.factors()
        {
            let source = "prior: emission factors of plants (docs/method.md)";
            errors.push(Input::factor("factors", cv, source).shared(key));
        }
        for stand_in in self.stands_in() {
            if let Some(cv) = stand_in.cv() {
                let key = format!("stand_in:{}:{}", stand_in.used, self.region());
                let source = format!("{} for {}", stand_in.used, stand_in.asked);
                errors.push(Input::factor("stand_in", cv, source).shared(key));
            }
        }
        if self.part == Part::Upstream {
            let source = "prior: the difference of life cycle and direct, within a factor of 2 (docs/method.md)";
            let key = format!("upstream:{}:{}", self.source(), self.region());
            errors.push(Input::new("upstream", upstream::prior()?, source).shared(key));
        }
        Ok(errors)
    }

    /// The same, ready to price.
    pub fn tariff(&self, interval: Interval) -> Result<Cow<'_, Tariff>> {
        match &self.prices {
            Prices::Window { tariff, .. } => Ok(Cow::Borrowed(tariff)),
            _ => Ok(Cow::Owned(Tariff::of(&self.slots(interval))?)),
        }
    }

    /// What another source than the first one stands in for, and why, in words.
    pub fn instead(&self) -> Option<String> {
        self.stands_in().iter().rev().find_map(|stand_in| match &stand_in.why {
            Why::AnotherProvider { reason } => {
                let reason = reason.lines().next().unwrap_or_default();
                Some(format!("instead of {}: {reason}", stand_in.asked))
            }
            _ => None,
        })
    }

    fn stands_in(&self) -> &[stand_in::StandIn] {
        match &self.prices {
            Prices::Yearly { stands_in, .. } | Prices::Window { stands_in, .. } => stands_in,
            Prices::Given(_) | Prices::Unknown => &[],
        }
    }

    fn ask(&mut self, chain: &Chain, interval: Interval) -> Result<()> {
        let place = self.place.as_ref().context("no zone was given")?;
        let window = whole_days(interval).unwrap_or(interval);
        let (found, direct) = match self.part {
            Part::Whole => (chain.slots(place, window, &Want::AVERAGE)?, None),
            Part::Direct => (of_factor(chain, place, window, Factor::Direct)?, None),
            Part::Upstream => {
                let direct = of_factor(chain, place, window, Factor::Direct)?;
                (of_factor(chain, place, window, Factor::Lifecycle)?, Some(direct))
            }
        };
        let direct = match direct {
            Some(direct) if direct.provider != found.provider => {
                bail!(Fault::TwoSources { direct: direct.provider, lifecycle: found.provider })
            }
            Some(direct) => direct.series.inventory()?.slots().to_vec(),
            None => Vec::new(),
        };
        let stands_in = stand_in::stand_ins(place, &found);
        let slots = found.series.inventory()?.slots();
        let split = match self.part {
            Part::Upstream => upstream::slots(slots, &direct)?,
            Part::Whole | Part::Direct => slots.to_vec(),
        };
        let slots = split.as_slice();
        let first = slots
            .first()
            .with_context(|| format!("{} has no intensity between {window}", found.provider))?;
        self.prices = match slots {
            [slot]
                if slot.meta.uncertainty == UncertaintyClass::Yearly && slot.interval == window =>
            {
                Prices::Yearly { row: Row::of(&slot.meta), slot: slot.clone(), stands_in }
            }
            _ => Prices::Window {
                interval: window,
                provider: found.provider,
                signal: first.meta.signal,
                stands_in,
                tariff: Tariff::of(slots)?,
                slots: slots.to_vec(),
                direct,
            },
        };
        Ok(())
    }

    /// The distribution of the intensity in a time where it is known better than by its class, and its source.
    pub fn intensity(&self, interval: Interval) -> (Option<Distribution>, String) {
        let (distribution, mut text) = match &self.prices {
            Prices::Yearly { row: Some(row), .. } => {
                let mut text = row.citation();
                if let Some(asked) = self.coarser() {
                    text = format!("{text}; {} for {asked}", row.name());
                }
                (Some(row.distribution(interval)), text)
            }
            Prices::Yearly { slot, row: None, .. } => (None, slot.meta.attribution.clone()),
            Prices::Window { slots, .. } => {
                (None, slots.first().map(|slot| slot.meta.attribution.clone()).unwrap_or_default())
            }
            Prices::Given(_) | Prices::Unknown => (None, String::new()),
        };
        if let Some(instead) = self.instead() {
            text = format!("{text}; {instead}");
        }
        (distribution, text)
    }

    /// What was asked for, where something coarser of the same source stands in for it.
    fn coarser(&self) -> Option<&str> {
        let coarser = self.stands_in().iter().find(|stand_in| {
            !matches!(stand_in.why, Why::AnotherProvider { .. } | Why::WorldForUnset)
        });
        coarser.map(|stand_in| stand_in.asked.as_str())
    }

    /// What stands behind the intensity: the weakest of what was there.
    ///
    /// * `fallback`: nobody said where, or the world stands in for it.
    /// * `estimated`: something stands in for what was asked for; or a part was filled in, is a forecast, or
    ///   was estimated by the source.
    /// * `measured`: none of these.
    pub fn quality(&self, priced: Option<&Priced>) -> Quality {
        if matches!(self.prices, Prices::Given(_)) {
            return Quality::Estimated;
        }
        let unset = self.place.as_ref().is_some_and(Place::is_unset);
        let world = matches!(&self.prices, Prices::Yearly { row: Some(row), .. } if row.is_world());
        if unset || world {
            return Quality::Fallback;
        }
        let whole = priced.is_some_and(|priced| {
            priced.coverage >= 1.0 && priced.estimated <= 0.0 && priced.forecast <= 0.0
        });
        if whole && self.stands_in().is_empty() { Quality::Measured } else { Quality::Estimated }
    }

    /// What stands in for what was asked for, as records have it.
    pub fn stand_ins(&self) -> Vec<StandIn> {
        let of = |stand_in: &stand_in::StandIn| StandIn {
            asked: stand_in.asked.clone(),
            cv: stand_in.cv(),
            reason: match &stand_in.why {
                Why::AnotherProvider { reason } => reason.lines().next().map(str::to_owned),
                _ => None,
            },
            used: stand_in.used.clone(),
            why: stand_in.why.as_str().to_owned(),
        };
        self.stands_in().iter().map(of).collect()
    }

    /// What the intensity counts, as a word.
    pub fn signal(&self) -> &'static str {
        self.counts().map_or("unstated", Signal::as_str)
    }

    /// The only gas that it counts, where it does not count all.
    pub fn gases(&self) -> Option<Gas> {
        self.counts().filter(|signal| signal.gases == Gases::Co2).map(|_| Gas::Co2)
    }

    fn counts(&self) -> Option<Signal> {
        match &self.prices {
            Prices::Yearly { slot, .. } => Some(slot.meta.signal),
            Prices::Window { signal, .. } => Some(*signal),
            Prices::Given(_) | Prices::Unknown => None,
        }
    }

    /// Where the intensity comes from.
    pub fn source(&self) -> String {
        match &self.prices {
            Prices::Yearly { row: Some(row), .. } => row.source(),
            Prices::Yearly { slot, .. } => slot.meta.provider.clone(),
            Prices::Window { provider, .. } => (*provider).to_owned(),
            Prices::Given(_) | Prices::Unknown => "flag".to_owned(),
        }
    }

    /// What a reader should know of it.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> =
            self.stands_in().iter().map(|stand_in| Note::of(stand_in.why.as_str())).collect();
        let unset = self.place.as_ref().is_some_and(Place::is_unset);
        notes.extend(unset.then_some(Note::RegionUnset));
        notes
    }

    /// Who owns the machines, by where they are; of this machine, also by its firmware.
    pub fn deployment(&self, host: Option<&Host>) -> (Deployment, &'static str) {
        if self.place.as_ref().is_some_and(|place| place.cloud.is_some()) {
            return (Deployment::Cloud, "default in a cloud region");
        }
        if host.is_some_and(|host| host.cloud.is_some()) {
            return (Deployment::Cloud, "default on a machine of a cloud");
        }
        (Deployment::Own, "default")
    }
}

/// The slots of one factor, or who has none.
fn of_factor(chain: &Chain, place: &Place, window: Interval, factor: Factor) -> Result<Found> {
    let want = Want { factor: Some(factor), ..Want::AVERAGE };
    chain.slots(place, window, &want).with_context(|| {
        format!("direct and life-cycle intensities are needed, and there are no {factor} ones")
    })
}

/// Whole days in UTC around an interval, so that spans of one day ask once.
fn whole_days(interval: Interval) -> Option<Interval> {
    let start = interval.start().as_second().div_euclid(DAY) * DAY;
    let end = interval.end().as_second().div_euclid(DAY) * DAY;
    let end = if Timestamp::from_second(end).ok()? < interval.end() { end + DAY } else { end };
    Interval::new(Timestamp::from_second(start).ok()?, Timestamp::from_second(end).ok()?).ok()
}

/// For how long one request may take where a command has ended and somebody waits.
const REQUEST: Duration = Duration::from_secs(5);

/// Asks for the intensity of a time: over a network on a thread of its own, which nobody has to wait for.
pub(super) fn asking(
    settings: &Settings,
    names: &[Name],
    region: &str,
    span: Interval,
) -> Result<mpsc::Receiver<Result<Zone>>> {
    let mut of_grid: sources::Settings = settings.grid.clone();
    of_grid.timeout.value = of_grid.timeout.value.min(REQUEST);
    let grid = Grid::new(&of_grid, names, Mode::Online)?;
    let mut zone = Zone::find(region)?;
    let (answer, answered) = mpsc::channel();
    let is_remote = grid.remote.is_some();
    let load = move || {
        let loaded = zone.load(&grid.chain, span).map(|()| zone);
        let _ = answer.send(loaded);
    };
    if is_remote {
        std::thread::Builder::new().name("grid".into()).spawn(load)?;
    } else {
        load();
    }
    Ok(answered)
}

/// A slot that is as long as the span.
fn stretched(slot: &Slot<InventoryIntensity>, interval: Interval) -> Slot<InventoryIntensity> {
    Slot { interval, ..slot.clone() }
}
