//! A zone and what is known of its intensity: one value for all times, or slots of a window that grows
//! with what is asked for. Of a life-cycle intensity it can be one part only: see [`Part`].

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use carbon_ops_estimate::span::{Priced, Tariff};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_grid::table::{ID as STATIC, SOURCE, Yearly, YearlyTable};
use carbon_ops_grid::zones::{self, Place};
use carbon_ops_grid::{
    Chain, Factor, Fallback, Found, Interval, InventoryIntensity, Slot, UncertaintyClass, Want,
};
use carbon_ops_record::upstream;
use carbon_ops_record::{Deployment, Input, Note, Quality, StandIn};
use jiff::Timestamp;

use crate::sources::Name;

/// A day in seconds: windows are whole days in UTC.
const DAY: i64 = 86_400;

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
    region: String,
    unset: bool,
    prices: Prices,
}

#[derive(Debug)]
enum Prices {
    /// Given outright.
    Given(Distribution),
    /// Not asked for yet.
    Unknown,
    /// The average of a year, whatever the time.
    Yearly { slot: Slot<InventoryIntensity>, yearly: Option<Yearly>, moved: Option<String> },
    /// Slots of the window that was asked for last.
    Window {
        interval: Interval,
        slots: Vec<Slot<InventoryIntensity>>,
        tariff: Tariff,
        found: Answered,
        /// Of an upstream part, the direct slots that it was taken from.
        direct: Vec<Slot<InventoryIntensity>>,
    },
}

/// Who answered.
#[derive(Debug)]
struct Answered {
    provider: &'static str,
    signal: &'static str,
    moved: Option<String>,
}

impl Zone {
    /// The zone of that name; without one, the world.
    pub fn find(name: &str) -> Result<Self> {
        let unset = name.is_empty();
        let place = zones::place(if unset { "world" } else { name })?;
        let finest = place.subdivision.as_ref().or(place.country.as_ref());
        let region = finest.unwrap_or(&place.asked).clone();
        Ok(Self { part: Part::Whole, place: Some(place), region, unset, prices: Prices::Unknown })
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
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default().trim_end_matches(':');
        let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
        // A provider's own id means nothing to the table.
        let known = zones::resolve(name).is_ok();
        let mut zone = Self::find(if known { name } else { "" })?;
        zone.load(&Chain::new(vec![Arc::new(YearlyTable)], Fallback::Equal), span)?;
        zone.standing_in(format!("instead of {}: {reason}", asked.join(", ")));
        Ok(zone)
    }

    /// An intensity that was given; the name is only a name.
    pub fn given(intensity: Distribution, name: &str) -> Result<Self> {
        let zone = if name.is_empty() {
            let region = "unstated".into();
            Self { part: Part::Whole, place: None, region, unset: false, prices: Prices::Unknown }
        } else {
            Self::find(name)?
        };
        Ok(Self { prices: Prices::Given(intensity), ..zone })
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub fn region(&self) -> &str {
        &self.region
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
        let known = match &self.prices {
            Prices::Window { interval: window, .. } => {
                window.start() <= interval.start() && interval.end() <= window.end()
            }
            Prices::Yearly { .. } => true,
            Prices::Given(_) | Prices::Unknown => false,
        };
        if known { Ok(()) } else { self.ask(chain, interval) }
    }

    /// The slots around a time that was loaded.
    pub fn slots(&self, interval: Interval) -> Cow<'_, [Slot<InventoryIntensity>]> {
        match &self.prices {
            Prices::Yearly { slot, .. } => Cow::Owned(vec![super::stretched(slot, interval)]),
            Prices::Window { slots, .. } => Cow::Borrowed(slots),
            Prices::Given(_) | Prices::Unknown => Cow::Borrowed(&[]),
        }
    }

    /// Of an upstream part, the direct slots that it was taken from.
    pub fn direct(&self) -> &[Slot<InventoryIntensity>] {
        match &self.prices {
            Prices::Window { direct, .. } => direct,
            _ => &[],
        }
    }

    /// What is not known of a part beyond what is not known of its source: with the key of its errors.
    pub fn part_error(&self) -> Result<Option<Input>> {
        if self.part != Part::Upstream {
            return Ok(None);
        }
        let source =
            "prior: the difference of life cycle and direct, within a factor of 2 (docs/method.md)";
        let input = Input::new("upstream", upstream::prior()?, source);
        Ok(Some(input.shared(format!("upstream:{}:{}", self.source(), self.region))))
    }

    /// The same, ready to price.
    pub fn tariff(&self, interval: Interval) -> Result<Cow<'_, Tariff>> {
        match &self.prices {
            Prices::Window { tariff, .. } => Ok(Cow::Borrowed(tariff)),
            _ => Ok(Cow::Owned(Tariff::of(&self.slots(interval))?)),
        }
    }

    /// Says that what is known stands in for something else, and why.
    pub fn standing_in(&mut self, reason: String) {
        match &mut self.prices {
            Prices::Yearly { moved, .. } => *moved = Some(reason),
            Prices::Window { found, .. } => found.moved = Some(reason),
            Prices::Given(_) | Prices::Unknown => {}
        }
    }

    /// Why it stands in for something else, where it does.
    pub fn moved(&self) -> Option<&str> {
        match &self.prices {
            Prices::Yearly { moved, .. } => moved.as_deref(),
            Prices::Window { found, .. } => found.moved.as_deref(),
            Prices::Given(_) | Prices::Unknown => None,
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
            Some(direct) if direct.provider != found.provider => bail!(
                "{} has direct intensities and {} those of the life cycle, and only what one source has of \
                 both can be split\nhint: --provider electricity_maps has both",
                direct.provider,
                found.provider
            ),
            Some(direct) => direct.series.inventory()?.slots().to_vec(),
            None => Vec::new(),
        };
        let moved = moved(&found);
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
                let zone = &slot.meta.zone_returned;
                let of_table = || zones::resolve(zone).ok().map(|zone| zone.yearly);
                let yearly =
                    Some(found.provider).filter(|id| *id == STATIC).and_then(|_| of_table());
                Prices::Yearly { slot: slot.clone(), yearly, moved }
            }
            _ => Prices::Window {
                interval: window,
                found: Answered {
                    provider: found.provider,
                    signal: first.meta.signal.as_str(),
                    moved,
                },
                tariff: Tariff::of(slots)?,
                slots: slots.to_vec(),
                direct,
            },
        };
        Ok(())
    }

    /// The distribution of the intensity where it is known better than by its class, and its source.
    pub fn intensity(&self) -> (Option<Distribution>, String) {
        let stands_for = |text: String, moved: &Option<String>| match moved {
            Some(moved) => format!("{text}; {moved}"),
            None => text,
        };
        match &self.prices {
            Prices::Yearly { yearly: Some(yearly), moved, .. } => {
                let asked = self.place.as_ref().map_or("", |place| &place.asked);
                let mut text = yearly.citation();
                if self.is_by_country() {
                    text = format!("{text}; {} for {asked}", yearly.name);
                }
                (Some(yearly.distribution()), stands_for(text, moved))
            }
            Prices::Yearly { slot, yearly: None, moved } => {
                (None, stands_for(slot.meta.attribution.clone(), moved))
            }
            Prices::Window { slots, found, .. } => {
                let text = slots.first().map(|slot| slot.meta.attribution.clone());
                (None, stands_for(text.unwrap_or_default(), &found.moved))
            }
            Prices::Given(_) | Prices::Unknown => (None, String::new()),
        }
    }

    /// Whether a country stands in for something within it.
    fn is_by_country(&self) -> bool {
        let place = self.place.as_ref();
        place.is_some_and(|place| place.cloud.is_some() || place.subdivision.is_some())
    }

    /// What stands behind the intensity: the weakest of what was there.
    ///
    /// * `fallback`: nobody said where, or the world stands in for it.
    /// * `estimated`: something stands in for what was asked for; or a part was filled in, is a forecast, or
    ///   was estimated by the source.
    /// * `measured`: none of these.
    pub fn quality(&self, priced: Option<&Priced>) -> Quality {
        let world = matches!(&self.prices, Prices::Yearly { yearly: Some(y), .. } if y.is_world());
        if self.unset && !matches!(self.prices, Prices::Given(_)) || world {
            return Quality::Fallback;
        }
        let whole = priced.is_some_and(|priced| {
            priced.coverage >= 1.0 && priced.estimated <= 0.0 && priced.forecast <= 0.0
        });
        if whole && self.stand_ins().is_empty() { Quality::Measured } else { Quality::Estimated }
    }

    /// What stands in for what was asked for.
    pub fn stand_ins(&self) -> Vec<StandIn> {
        let mut stand_ins = Vec::new();
        let asked = self.place.as_ref().map_or("", |place| &place.asked).to_owned();
        if let Prices::Yearly { yearly: Some(yearly), .. } = &self.prices {
            let why = if self.unset {
                Some(Note::RegionUnset)
            } else if !self.is_by_country() {
                None
            } else if self.place.as_ref().is_some_and(|place| place.cloud.is_some()) {
                Some(Note::CloudRegionByCountry)
            } else {
                Some(Note::SubdivisionByCountry)
            };
            stand_ins.extend(why.map(|why| StandIn {
                asked,
                cv: None,
                used: yearly.zone.to_owned(),
                why: why.as_str().to_owned(),
            }));
        }
        stand_ins.extend(self.moved().map(|moved| StandIn {
            asked: moved.to_owned(),
            cv: None,
            used: self.source(),
            why: Note::ProviderSubstituted.as_str().to_owned(),
        }));
        stand_ins
    }

    pub fn signal(&self) -> &'static str {
        match &self.prices {
            Prices::Yearly { slot, .. } => slot.meta.signal.as_str(),
            Prices::Window { found, .. } => found.signal,
            Prices::Given(_) | Prices::Unknown => "unstated",
        }
    }

    pub fn source(&self) -> String {
        match &self.prices {
            Prices::Yearly { yearly: Some(yearly), .. } => format!("{SOURCE}-{}", yearly.year),
            Prices::Yearly { slot, .. } => slot.meta.provider.clone(),
            Prices::Window { found, .. } => found.provider.to_owned(),
            Prices::Given(_) | Prices::Unknown => "flag".to_owned(),
        }
    }

    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> =
            self.stand_ins().iter().map(|stand_in| Note::of(&stand_in.why)).collect();
        notes.extend(self.unset.then_some(Note::RegionUnset));
        notes
    }

    /// Who owns the machines, by where they are.
    pub fn deployment(&self) -> (Deployment, &'static str) {
        if self.place.as_ref().is_some_and(|place| place.cloud.is_some()) {
            return (Deployment::Cloud, "default in a cloud region");
        }
        (Deployment::Own, "default")
    }
}

/// The slots of one factor, or who has none.
fn of_factor(chain: &Chain, place: &Place, window: Interval, factor: Factor) -> Result<Found> {
    let want = Want { factor: Some(factor), ..Want::AVERAGE };
    chain.slots(place, window, &want).with_context(|| {
        format!(
            "--upstream needs direct and life-cycle intensities, and there are no {factor} ones"
        )
    })
}

fn moved(found: &Found) -> Option<String> {
    let last = found.substitutions.last()?;
    let reason = last.reason.lines().next().unwrap_or_default();
    Some(format!("instead of {}: {reason}", last.from))
}

/// Whole days in UTC around an interval, so that spans of one day ask once.
fn whole_days(interval: Interval) -> Option<Interval> {
    let start = interval.start().as_second().div_euclid(DAY) * DAY;
    let end = interval.end().as_second().div_euclid(DAY) * DAY;
    let end = if Timestamp::from_second(end).ok()? < interval.end() { end + DAY } else { end };
    Interval::new(Timestamp::from_second(start).ok()?, Timestamp::from_second(end).ok()?).ok()
}
