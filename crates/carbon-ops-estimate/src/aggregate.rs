//! Sums over records in which shared errors stay shared.
//!
//! Of each record the sum keeps, per key of a shared error, the effect of that error in grams with its sign,
//! and of all its other errors the variance. Effects of one key add, variances add, and
//!
//! ```text
//! u² = Σ u²(independent) + Σ over keys (Σ effect)²
//! ```
//!
//! so that sums of sums are the sums of their records, in any order and any grouping. A year of records of one
//! grid is as uncertain as that grid's factors, however many records there are.
//!
//! The effect of an input is `grams · cv`. What its products with other inputs add to a record's variance
//! counts as independent, which makes the u of a single record that of the record itself.
//!
//! The interval of several records is that of a lognormal with the sum's mean and variance: it cannot be
//! negative, and it is exact for one lognormal. Of a single record it is the record's own.
//!
//! Deliberately absent: reading records, and which ones count.

use std::collections::BTreeMap;

use crate::decimal::round9;
use crate::record::any::Any;
use crate::record::{Error, Quality};
use crate::span::Sum;
use crate::uncertainty::LEVEL;

/// Φ⁻¹(0.975), to the last digit of a double.
const Z: f64 = 1.959_963_984_540_054;

/// A sum over records; [`Group::merge`] is commutative and associative.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// How many records.
    pub count: u64,
    grams: Sum,
    energy_kwh: Sum,
    energy_with_pue_kwh: Sum,
    covered_kwh: Sum,
    /// Variance of all that is not shared, in g².
    independent: Sum,
    /// Effect of each shared error, in g, with its sign.
    shared: BTreeMap<String, Sum>,
    /// The record's own interval, while there is one only.
    own: Option<(f64, f64)>,
    quality: Option<Quality>,
    first: Option<String>,
    last: Option<String>,
}

/// What a sum says; all doubles have nine digits.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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
    /// End of the last span.
    pub end_ts: String,
    /// Grams over energy with that of the site, in g/kWh.
    pub intensity_energy_weighted: f64,
    /// Energy with that of the site over energy.
    pub pue_energy_weighted: f64,
    /// The weakest of all.
    pub quality_flag: &'static str,
    /// Standard uncertainty (k = 1) of the grams in percent.
    pub relative_uncertainty_pct: f64,
    /// Part of the variance that is of shared errors, in percent.
    pub shared_variance_pct: f64,
    /// Start of the first span.
    pub start_ts: String,
    /// Energy in kWh.
    pub total_energy_kwh: f64,
    /// Energy with that of the site, in kWh.
    pub total_energy_with_pue_kwh: f64,
    /// Emissions in gCO2e.
    pub total_grams: f64,
}

impl Group {
    /// The sum over one record.
    ///
    /// # Errors
    /// When an input of the record is no distribution, which its check would have found.
    pub fn of(record: &Any) -> Result<Self, Error> {
        let grams = record.grams();
        let standard = grams * record.uncertainty_pct() / 100.0;
        let mut shared: BTreeMap<String, Sum> = BTreeMap::new();
        let mut correlated = 0.0;
        for (key, cv) in record.shared_errors()? {
            let effect = grams * cv;
            correlated += effect * effect;
            shared.entry(key.to_owned()).or_default().add(effect);
        }
        let (energy, with_pue) = record.energy_kwh();
        let (start, end) = record.times();
        Ok(Self {
            count: 1,
            grams: Sum::of(grams),
            energy_kwh: Sum::of(energy),
            energy_with_pue_kwh: Sum::of(with_pue),
            covered_kwh: Sum::of(energy * record.coverage_pct() / 100.0),
            independent: Sum::of((standard * standard - correlated).max(0.0)),
            shared,
            own: Some(record.interval_g()),
            quality: Some(record.quality()),
            first: Some(start.to_owned()),
            last: Some(end.to_owned()),
        })
    }

    /// Adds another sum to this one.
    pub fn merge(&mut self, other: &Self) {
        self.own = match (self.count, other.count) {
            (0, _) => other.own,
            (_, 0) => self.own,
            _ => None,
        };
        self.count += other.count;
        self.grams.merge(other.grams);
        self.energy_kwh.merge(other.energy_kwh);
        self.energy_with_pue_kwh.merge(other.energy_with_pue_kwh);
        self.covered_kwh.merge(other.covered_kwh);
        self.independent.merge(other.independent);
        for (key, effect) in &other.shared {
            self.shared.entry(key.clone()).or_default().merge(*effect);
        }
        self.quality = self.quality.max(other.quality);
        self.first = match (self.first.take(), &other.first) {
            (Some(a), Some(b)) => Some(a.min(b.clone())),
            (a, b) => a.or_else(|| b.clone()),
        };
        self.last = self.last.take().max(other.last.clone());
    }

    /// What the sum says.
    pub fn totals(&self) -> Totals {
        let grams = self.grams.value();
        let (energy, with_pue) = (self.energy_kwh.value(), self.energy_with_pue_kwh.value());
        let correlated: Sum = self.shared.values().map(|sum| sum.value() * sum.value()).collect();
        let variance = self.independent.value() + correlated.value();
        let cv = if grams > 0.0 { variance.sqrt() / grams } else { 0.0 };
        let (low, high) = self.own.unwrap_or_else(|| lognormal(grams, cv));
        let over = |a: f64, b: f64| if b > 0.0 { round9(a / b) } else { 0.0 };
        Totals {
            count: self.count,
            coverage_pct: over(100.0 * self.covered_kwh.value(), energy),
            ci_lower_g: round9(low),
            ci_upper_g: round9(high),
            confidence_level_pct: round9(100.0 * LEVEL),
            end_ts: self.last.clone().unwrap_or_default(),
            intensity_energy_weighted: over(grams, with_pue),
            pue_energy_weighted: over(with_pue, energy),
            quality_flag: self.quality.map_or("", Quality::as_str),
            relative_uncertainty_pct: round9(100.0 * cv),
            shared_variance_pct: over(100.0 * correlated.value(), variance),
            start_ts: self.first.clone().unwrap_or_default(),
            total_energy_kwh: round9(energy),
            total_energy_with_pue_kwh: round9(with_pue),
            total_grams: round9(grams),
        }
    }
}

/// 95 % of a lognormal with this mean and coefficient of variation.
fn lognormal(mean: f64, cv: f64) -> (f64, f64) {
    let variance = libm::log1p(cv * cv);
    let end = |z: f64| mean * libm::exp(z * variance.sqrt() - variance / 2.0);
    (end(-Z), end(Z))
}

#[cfg(test)]
mod tests;
