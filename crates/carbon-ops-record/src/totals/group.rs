//! The sum over some records, and what it says.
//!
//! Out of scope: which records those are (`set`, `sums`).

use serde::Serialize;

use super::addend::One;
use super::figure::{Figure, How, Shared, by_key, figure, over};
use super::market::{ByMarket, Load, Told};
use super::set::{Amount, LeftOut};
use crate::{Error, Quality, Record};
use carbon_ops_estimate::aggregate::{ExactSum, Partial};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::taxonomy::Theta;
use carbon_ops_estimate::uncertainty::{Distribution, Input, Model, lognormal_interval};

/// A sum over records; [`Group::merge`] is commutative and associative.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    pub(super) count: u64,
    grams: Partial,
    energy: Energy,
    /// Of records that price what is upstream of electricity, which others have priced as well.
    energy_again: Energy,
    /// The record's own interval, while there is one only.
    own: Option<(f64, f64)>,
    /// Of the records that have hardware.
    embodied: Partial,
    /// The own interval of that, while one record only has hardware.
    own_embodied: Option<(f64, f64)>,
    /// The record, while there is one only and it has hardware.
    single: Option<Box<Record>>,
    quality: Option<Quality>,
    first: Option<String>,
    last: Option<String>,
    /// What is to be matched by the market.
    pub(super) load: Option<Box<Load>>,
    /// What the records state by the market.
    told: Told,
}

/// Energy in kWh.
#[derive(Debug, Clone, PartialEq, Default)]
struct Energy {
    records: u64,
    own: ExactSum,
    with_pue: ExactSum,
    covered: ExactSum,
}

impl Energy {
    fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.own.merge(&other.own);
        self.with_pue.merge(&other.with_pue);
        self.covered.merge(&other.covered);
    }
}

/// What a sum says; all doubles have nine digits. Members that name no figure are of operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// How many records.
    pub count: u64,
    /// Part of the energy that was measured and priced by its own time, in percent.
    pub coverage_pct: f64,
    /// Lower end of the interval, gCO2e.
    pub ci_lower_g: f64,
    /// Upper end, gCO2e.
    pub ci_upper_g: f64,
    /// Coverage probability in percent.
    pub confidence_level_pct: f64,
    /// Embodied carbon of the records that have it; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embodied: Option<Figure>,
    /// End of the last span.
    pub end_ts: String,
    /// Grams over energy with that of the site, in g/kWh.
    pub intensity_energy_weighted: f64,
    /// How the interval came about.
    pub interval_method: How,
    /// What was not added, as the records that were added have it already; absent when nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// What was added, and overlaps in time with another record of the same host; absent when nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<Amount>,
    /// Energy with that of the site over energy.
    pub pue_energy_weighted: f64,
    /// The sum by the market, where there are certificates and contracts to match with, or records state it: no part of
    /// the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<ByMarket>,
    /// The weakest of all.
    pub quality_flag: &'static str,
    /// Standard uncertainty (k = 1) of the grams in percent.
    pub relative_uncertainty_pct: f64,
    /// The largest parts of the variance that are of shared errors, first order.
    pub shared: Vec<Shared>,
    /// Part of the variance that is of shared errors, in percent.
    pub shared_variance_pct: f64,
    /// Start of the first span.
    pub start_ts: String,
    /// The part of hardware in the whole; absent unless every record has hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<GroupTheta>,
    /// Energy in kWh.
    pub total_energy_kwh: f64,
    /// Energy with that of the site, in kWh.
    pub total_energy_with_pue_kwh: f64,
    /// Emissions of operation in gCO2e, without hardware.
    pub total_grams: f64,
    /// Operation of all records and hardware of those that have it; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Figure>,
}

impl Totals {
    /// The same sums with the intervals of another coverage probability, 0 to 1: those of lognormals with the moments of
    /// each sum, of one record too. What is not a sum has none of another one and is left out.
    #[must_use]
    pub fn at_level(mut self, level: f64) -> Self {
        let ends = |mean: f64, relative_pct: f64| {
            let (low, high) = lognormal_interval(mean, mean * relative_pct / 100.0, level);
            (round9(low), round9(high))
        };
        let percent = round9(100.0 * level);
        (self.ci_lower_g, self.ci_upper_g) = ends(self.total_grams, self.relative_uncertainty_pct);
        self.confidence_level_pct = percent;
        self.interval_method = How::LognormalMoments;
        for figure in self.embodied.iter_mut().chain(&mut self.whole) {
            (figure.ci_lower_g, figure.ci_upper_g) =
                ends(figure.total_grams, figure.relative_uncertainty_pct);
            figure.confidence_level_pct = percent;
            figure.interval_method = How::LognormalMoments;
        }
        if let Some(figure) = self.market.as_mut().and_then(|market| market.figure.as_mut()) {
            (figure.ci_lower_g, figure.ci_upper_g) =
                ends(figure.total_grams, figure.relative_uncertainty_pct);
            figure.confidence_level_pct = percent;
        }
        Self { theta: None, ..self }
    }

    /// With what instruments match of the loads, in place of what the records state.
    #[must_use]
    pub(super) fn by_market(self, matched: Option<ByMarket>) -> Self {
        Self { market: matched.or(self.market), ..self }
    }
}

/// M / (O + M) of sums, with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupTheta {
    /// Lower end.
    pub ci_lower: f64,
    /// Upper end.
    pub ci_upper: f64,
    /// Class of θ in carbon-ops 0.1.
    pub class: &'static str,
    /// Classes of the ends of its interval.
    pub class_interval: [&'static str; 2],
    /// Of the means.
    pub theta: f64,
}

impl GroupTheta {
    pub(super) fn new(theta: f64, low: f64, high: f64) -> Self {
        let class = |theta| carbon_ops_estimate::taxonomy::Regime::of_theta(theta).class();
        Self {
            ci_lower: round9(low),
            ci_upper: round9(high),
            class: class(theta),
            class_interval: [class(low), class(high)],
            theta: round9(theta),
        }
    }
}

impl Group {
    /// The sum over one record.
    ///
    /// # Errors
    /// When an input of the record is no distribution, which its check would have found.
    pub fn of(record: &Record) -> Result<Self, Error> {
        let mut group = Self::default();
        group.add(&One::of(record.clone())?);
        Ok(group)
    }

    /// Adds what a record contributes.
    pub(super) fn add(&mut self, one: &One) {
        let is_first = self.count == 0;
        self.own = is_first.then_some(one.own);
        self.single = if is_first { one.single.clone() } else { None };
        self.count += 1;
        self.grams.add(one.grams, one.standard, by_key(&one.effects));
        if let Some(hardware) = &one.hardware {
            self.own_embodied = (self.embodied.parts().0 == 0).then_some(hardware.own);
            self.embodied.add(hardware.grams, hardware.standard, by_key(&hardware.effects));
        }
        let sum = if one.is_upstream { &mut self.energy_again } else { &mut self.energy };
        sum.records += 1;
        sum.own.add(one.energy_kwh);
        sum.with_pue.add(one.with_pue_kwh);
        sum.covered.add(one.energy_kwh * one.coverage_pct / 100.0);
        self.add_load(one.load.as_deref());
        if let Some(own) = &one.market {
            self.told.add(own);
        }
        self.quality = self.quality.max(Some(one.quality));
        if self.first.as_ref().is_none_or(|first| one.start_ts < *first) {
            self.first = Some(one.start_ts.clone());
        }
        if self.last.as_ref().is_none_or(|last| *last < one.end_ts) {
            self.last = Some(one.end_ts.clone());
        }
    }

    /// Adds another sum to this one.
    pub fn merge(&mut self, other: &Self) {
        fn only<T>(mine: Option<T>, theirs: Option<T>, records: (u64, u64)) -> Option<T> {
            match records {
                (0, _) => theirs,
                (_, 0) => mine,
                _ => None,
            }
        }
        let records = (self.count, other.count);
        self.own = only(self.own, other.own, records);
        self.single = only(self.single.take(), other.single.clone(), records);
        let records = (self.embodied.parts().0, other.embodied.parts().0);
        self.own_embodied = only(self.own_embodied, other.own_embodied, records);
        self.count += other.count;
        self.grams.merge(&other.grams);
        self.embodied.merge(&other.embodied);
        self.energy.merge(&other.energy);
        self.energy_again.merge(&other.energy_again);
        self.add_load(other.load.as_deref());
        self.told.merge(&other.told);
        self.quality = self.quality.max(other.quality);
        self.first = match (self.first.take(), &other.first) {
            (Some(a), Some(b)) => Some(a.min(b.clone())),
            (a, b) => a.or_else(|| b.clone()),
        };
        self.last = self.last.take().max(other.last.clone());
    }

    fn add_load(&mut self, load: Option<&Load>) {
        if let Some(load) = load {
            self.load.get_or_insert_default().merge(load);
        }
    }

    /// What the sum says; what it left out, [`Sums`](super::Sums) knows.
    pub fn totals(&self) -> Totals {
        let grams = figure(&self.grams, self.own, 0);
        // A group of upstream parts alone has the energy that they are of.
        let sum = if self.energy.records > 0 { &self.energy } else { &self.energy_again };
        let (energy, with_pue) = (sum.own.value(), sum.with_pue.value());
        let embodied = (self.embodied.parts().0 > 0).then(|| self.hardware());
        let (embodied, whole) = embodied.unzip();
        Totals {
            count: self.count,
            coverage_pct: over(100.0 * sum.covered.value(), energy),
            ci_lower_g: grams.ci_lower_g,
            ci_upper_g: grams.ci_upper_g,
            confidence_level_pct: grams.confidence_level_pct,
            embodied,
            end_ts: self.last.clone().unwrap_or_default(),
            intensity_energy_weighted: over(self.grams.parts().1, with_pue),
            interval_method: grams.interval_method,
            left_out: None,
            market: self.told.stated(),
            overlaps: None,
            pue_energy_weighted: over(with_pue, energy),
            quality_flag: self.quality.map_or("", Quality::as_str),
            relative_uncertainty_pct: grams.relative_uncertainty_pct,
            shared: grams.shared,
            shared_variance_pct: grams.shared_variance_pct,
            start_ts: self.first.clone().unwrap_or_default(),
            theta: self.theta(),
            total_energy_kwh: round9(energy),
            total_energy_with_pue_kwh: round9(with_pue),
            total_grams: grams.total_grams,
            whole,
        }
    }

    /// Hardware, and the whole.
    fn hardware(&self) -> (Figure, Figure) {
        let count = self.embodied.parts().0;
        let mut whole = self.grams.clone();
        whole.merge(&self.embodied);
        let own = self.single.as_ref().and_then(|record| record.whole_g().ok());
        let whole = figure(&whole, own.map(|(_, ends)| ends), count);
        (figure(&self.embodied, self.own_embodied, count), whole)
    }

    /// θ of the sums: that of a single record's own inputs, else of two lognormals with the moments of
    /// both sums. `None` where some records have no hardware, and where one key is in both.
    fn theta(&self) -> Option<GroupTheta> {
        let (records, embodied, _, hardware) = self.embodied.parts();
        let (_, operational, _, keys) = self.grams.parts();
        let common = hardware.iter().any(|(key, _)| keys.iter().any(|(other, _)| key == other));
        if records != self.count || common {
            return None;
        }
        let theta = if let Some(record) = &self.single {
            record.theta().ok()??
        } else {
            let operation = by_moments("operation", operational, &self.grams)?;
            let hardware = by_moments("hardware", embodied, &self.embodied)?;
            Theta::of(&operation, &hardware).ok()?
        };
        Some(GroupTheta::new(theta.theta, theta.low, theta.high))
    }
}

/// A sum as a lognormal with its moments.
fn by_moments(name: &str, mean: f64, partial: &Partial) -> Option<Model> {
    let cv = partial.total().standard / mean;
    // What is above 0 is not exact: such a record is not made.
    let point = Distribution::Point { mean };
    let of = if mean > 0.0 { Distribution::Lognormal { mean, cv } } else { point };
    Model::product(1.0, vec![Input::new(name, of)]).ok()
}
