//! The price of energy while it is used: many small amounts of the same moment, with their intervals.
//!
//! Nobody waits for a source. Until it has answered, and where it fails, the built-in tables stand in, and
//! the price says so. A source is asked again at each quarter of an hour by the clock, since that is how
//! often the fastest of them change.
//!
//! Out of scope: records; what was measured as a whole is priced by [`super::measured`].

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, TryRecvError};

use anyhow::{Result, anyhow};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::span::{Load, Missing};
use carbon_ops_estimate::uncertainty::{Distribution, LEVEL};
use carbon_ops_grid::cache::Mode;
use carbon_ops_grid::zones::Place;
use carbon_ops_grid::{Chain, Interval};
use carbon_ops_record::{Gas, Input, Method, Prices, Quality, Relative, Scope, errors_of, scopes};
use carbon_ops_units::Microjoules;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rate::{Rate, relative};
use super::zone::{Zone, asking};
use crate::host::Host;
use crate::settings::Settings;
use crate::site::PueInput;
use crate::sources::{Grid, Name};

/// Seconds after which a source is asked again.
const ASK_EVERY: i64 = 900;

/// Prices energy as it is used.
#[derive(Debug)]
pub struct LivePrice {
    settings: Settings,
    names: Vec<Name>,
    region: String,
    machine: Host,
    pue: PueInput,
    missing: Missing,
    /// The tables that are built in.
    tables: Chain,
    /// What a source has answered.
    zone: Option<Zone>,
    /// Why none has.
    why_not: String,
    asked: Option<Receiver<Result<Zone>>>,
    /// The quarter of an hour that was last asked for.
    quarter: Option<i64>,
    relatives: HashMap<String, Relative>,
}

/// What a kilowatt hour cost, as samples have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The zone, as in records.
    pub region: String,
    /// In g/kWh, at the mean.
    pub intensity_g_per_kwh: f64,
    /// Power usage effectiveness, at the mean.
    pub pue_used: f64,
    /// Who says so.
    pub source: String,
    /// What stands behind place and intensity.
    pub quality: Quality,
    /// What the figures count as in an inventory, as in records.
    pub scopes: Vec<Scope>,
    /// What the intensity counts, as in records.
    pub signal: String,
    /// The only gas that it counts, as in records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gases: Option<Gas>,
    /// Part of the energy that is priced by values of its own time, in percent.
    pub coverage_pct: f64,
    /// The level of intervals, 0 to 1.
    pub confidence_level: f64,
}

/// Carbon of an amount of energy, with its interval.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carbon {
    /// In g CO2e, at the mean.
    pub grams: f64,
    /// Lower end of the interval.
    pub ci_lower_g: f64,
    /// Upper end of the interval.
    pub ci_upper_g: f64,
    /// Standard uncertainty (k = 1) of `grams` in percent of it.
    pub uncertainty_pct: f64,
    /// Errors that other energies share: coefficients of variation by key, as [`Brief`](carbon_ops_record::Brief) has
    /// them.
    pub shared: BTreeMap<String, f64>,
}

/// The price of a moment.
#[derive(Debug)]
pub struct Quoted<'p> {
    /// What samples show of it.
    pub price: Price,
    /// PUE and intensity, as records hold them.
    pub inputs: Vec<Input>,
    relatives: &'p mut HashMap<String, Relative>,
}

impl LivePrice {
    /// At the settings' place, on this machine; `names` are the sources to ask, as configured where none
    /// is named.
    ///
    /// # Errors
    /// When there is no such place, or a PUE is none.
    pub fn open(settings: &Settings, names: &[Name], machine: Host) -> Result<Self> {
        let region = settings.region.value.clone().unwrap_or_default();
        let place = if region.is_empty() { Place::unset() } else { Place::parse(&region)? };
        let names = if names.is_empty() { &settings.grid.order.value } else { names };
        Ok(Self {
            pue: PueInput::resolve(None, settings, Some(&place), Some(&machine))?,
            missing: settings.missing_policy.value.unwrap_or_default(),
            tables: Grid::new(&settings.grid, &[Name::Static], Mode::Offline)?.chain,
            names: names.to_vec(),
            settings: settings.clone(),
            region,
            machine,
            zone: None,
            why_not: "no answer yet".into(),
            asked: None,
            quarter: None,
            relatives: HashMap::new(),
        })
    }

    /// The machine whose energy it is.
    pub fn machine(&self) -> &Host {
        &self.machine
    }

    /// What a kilowatt hour emits from a time on, as far as a source has told: the begin of each slot, and g/kWh.
    /// Nothing where only the average of a year is known.
    pub fn ahead(&self, from: Timestamp) -> Vec<(Timestamp, f64)> {
        self.zone.as_ref().map(|zone| zone.ahead(from)).unwrap_or_default()
    }

    /// What energy of a time costs.
    ///
    /// # Errors
    /// When even the built-in tables have no price; that is a defect.
    pub fn of(&mut self, time: Interval) -> Result<Quoted<'_>> {
        self.ask(time);
        let (pue, tables, missing) = (&self.pue, &self.tables, self.missing);
        let machine = &self.machine;
        let rated = |zone: &mut Zone| {
            let rate = Rate::of(zone, pue, tables, time, &Load::Even(1.0), missing)?;
            Ok::<_, anyhow::Error>((price(&rate, zone, machine), rate.inputs))
        };
        let answered = match self.zone.as_mut().filter(|zone| zone.covers(time)) {
            Some(zone) => rated(zone),
            None => Err(anyhow!("{}", self.why_not)),
        };
        let (price, inputs) = match answered {
            Ok(rated) => rated,
            Err(error) => rated(&mut Zone::built_in(&self.region, time, &self.names, &error)?)?,
        };
        Ok(Quoted { price, inputs, relatives: &mut self.relatives })
    }

    /// Asks a source when it is time, and takes an answer that has come.
    fn ask(&mut self, time: Interval) {
        let quarter = time.end().as_second().div_euclid(ASK_EVERY);
        if self.asked.is_none() && self.quarter != Some(quarter) {
            self.quarter = Some(quarter);
            match asking(&self.settings, &self.names, &self.region, time) {
                Ok(asked) => self.asked = Some(asked),
                Err(error) => self.why_not = error.to_string(),
            }
        }
        match self.asked.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(zone))) => self.zone = Some(zone),
            Some(Ok(Err(error))) => self.why_not = error.to_string(),
            Some(Err(TryRecvError::Disconnected)) => self.why_not = "no answer".into(),
            Some(Err(TryRecvError::Empty)) | None => return,
        }
        self.asked = None;
    }
}

impl Quoted<'_> {
    /// The ends of the interval of an energy alone, over its mean.
    ///
    /// # Errors
    /// As of [`Quoted::carbon`].
    pub fn of_energy(&mut self, inputs: Vec<Input>) -> Result<(f64, f64)> {
        let known = |name| Input::new(name, Distribution::Point { mean: 1.0 }, "known");
        if inputs.len() < 2 {
            return Ok((1.0, 1.0));
        }
        ends(self.relatives, inputs, &[known("pue"), known("intensity")])
    }

    /// The carbon of so much energy; `energy` is the energy with what is not known of it, as records hold
    /// it.
    ///
    /// # Errors
    /// When no interval follows from the inputs; that is a defect.
    pub fn carbon(&mut self, energy: Microjoules, inputs: Vec<Input>) -> Result<Carbon> {
        if energy == Microjoules::ZERO {
            return Ok(Carbon::default());
        }
        let (uncertainty_pct, shared) = errors_of(inputs.iter().chain(&self.inputs))?;
        let (low, high) = ends(self.relatives, inputs, &self.inputs)?;
        let Price { pue_used, intensity_g_per_kwh, .. } = self.price;
        let energy = energy.to_kilowatt_hours().as_kilowatt_hours();
        let grams = Prices::of_kilowatt_hours(energy, pue_used, intensity_g_per_kwh).grams;
        let end = |relative: f64| round9(grams * relative);
        let (ci_lower_g, ci_upper_g) = (end(low), end(high));
        Ok(Carbon { grams, ci_lower_g, ci_upper_g, uncertainty_pct, shared })
    }
}

/// Steps to a tenfold coefficient of variation.
const STEPS: f64 = 24.0;

/// The ends of the interval over the mean. What is not known of the energy are factors of mean 1, and a product of
/// lognormals is one: between those of a few coefficients of variation, which rows and samples share, a straight
/// line is within a thousandth of the interval's width.
fn ends(
    kept: &mut HashMap<String, Relative>,
    energy: Vec<Input>,
    place: &[Input],
) -> Result<(f64, f64)> {
    let cv = |input: &Input| match input.distribution() {
        Ok(Distribution::Lognormal { cv, .. }) => Some(cv),
        _ => None,
    };
    let (factors, mut inputs): (Vec<_>, Vec<_>) =
        energy.into_iter().partition(|input| cv(input).is_some());
    inputs.extend(place.iter().cloned());
    let squares = factors.iter().filter_map(cv).map(|cv| (cv * cv).ln_1p()).sum::<f64>();
    let cv = squares.exp_m1().sqrt();
    if cv <= 0.0 {
        let relative = relative(kept, &inputs, Method::Analytical)?;
        return Ok((relative.low, relative.high));
    }
    let step = (cv.log10() * STEPS).floor();
    let mut at = |step: f64| {
        let cv = 10f64.powf(step / STEPS);
        inputs.push(Input::factor("energy_error", cv, "joined"));
        let found = relative(kept, &inputs, Method::Analytical);
        inputs.pop();
        found.map(|found| (cv, found))
    };
    let ((cv0, below), (cv1, above)) = (at(step)?, at(step + 1.0)?);
    let part = (cv - cv0) / (cv1 - cv0);
    let between = |below: f64, above: f64| below + part * (above - below);
    Ok((between(below.low, above.low), between(below.high, above.high)))
}

fn price(rate: &Rate, zone: &Zone, machine: &Host) -> Price {
    let (deployment, decided) = zone.deployment(Some(machine));
    Price {
        region: zone.region().to_owned(),
        intensity_g_per_kwh: round9(rate.mean("intensity")),
        pue_used: round9(rate.mean("pue")),
        source: zone.source(),
        quality: rate.quality,
        scopes: scopes(deployment, rate.factor, false, decided),
        signal: zone.signal().to_owned(),
        gases: zone.gases(),
        coverage_pct: rate.grid.coverage_pct,
        confidence_level: LEVEL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval of many factors, from sharp to wide, against that of the record of such an energy.
    #[test]
    fn shared_intervals_are_within_a_thousandth_of_those_of_records() {
        let place = [
            Input::new("pue", "tn(1.55, 0.2, min=1)".parse().unwrap(), "prior"),
            Input::new("intensity", Distribution::Lognormal { mean: 380.0, cv: 0.25 }, "table"),
        ];
        let mut kept = HashMap::new();
        for cvs in [&[0.05][..], &[0.05, 0.2, 0.01], &[0.5, 0.3, 0.07, 0.01], &[1.3, 0.5], &[]] {
            let energy = Input::new("energy", Distribution::Point { mean: 1e-6 }, "measured");
            let mut inputs = vec![energy];
            let factor =
                |cv: &f64| Input::factor("meter", *cv, "prior").shared(format!("meter:{cv}"));
            inputs.extend(cvs.iter().map(factor));
            let (low, high) = ends(&mut kept, inputs.clone(), &place).unwrap();
            inputs.extend(place.iter().cloned());
            let exact = Relative::of(&inputs, Method::Analytical).unwrap();
            let width = exact.high - exact.low;
            let off = (exact.low - low).abs().max((exact.high - high).abs());
            assert!(off < 0.001 * width, "{cvs:?}: {exact:?} {low} {high}");
        }
    }
}
