//! Sums over records: [`Partial`] of their grams, with energy, coverage, quality
//! and time besides.
//!
//! The effect of an input is `grams · cv`. What its products with other inputs add to a record's variance
//! counts as independent, which makes the u of a single record that of the record itself. The interval of
//! several records is that of the partial; of a single one it is the record's own.
//!
//! Deliberately absent: reading records, and which ones count.

use super::any::Any;
use super::{Error, Quality};
use crate::aggregate::{ExactSum, Partial, Total};
use crate::decimal::round9;
use crate::uncertainty::LEVEL;

/// A sum over records; [`Group::merge`] is commutative and associative.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    count: u64,
    grams: Partial,
    energy_kwh: ExactSum,
    energy_with_pue_kwh: ExactSum,
    covered_kwh: ExactSum,
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
        let errors = record.shared_errors()?;
        let effects = errors.iter().map(|(key, cv)| (*key, grams * cv));
        let (energy, with_pue) = record.energy_kwh();
        let (start, end) = record.times();
        let mut group = Self {
            count: 1,
            own: Some(record.interval_g()),
            quality: Some(record.quality()),
            first: Some(start.to_owned()),
            last: Some(end.to_owned()),
            ..Self::default()
        };
        group.grams.add(grams, standard, effects);
        group.energy_kwh.add(energy);
        group.energy_with_pue_kwh.add(with_pue);
        group.covered_kwh.add(energy * record.coverage_pct() / 100.0);
        Ok(group)
    }

    /// Adds another sum to this one.
    pub fn merge(&mut self, other: &Self) {
        self.own = match (self.count, other.count) {
            (0, _) => other.own,
            (_, 0) => self.own,
            _ => None,
        };
        self.count += other.count;
        self.grams.merge(&other.grams);
        self.energy_kwh.merge(&other.energy_kwh);
        self.energy_with_pue_kwh.merge(&other.energy_with_pue_kwh);
        self.covered_kwh.merge(&other.covered_kwh);
        self.quality = self.quality.max(other.quality);
        self.first = match (self.first.take(), &other.first) {
            (Some(a), Some(b)) => Some(a.min(b.clone())),
            (a, b) => a.or_else(|| b.clone()),
        };
        self.last = self.last.take().max(other.last.clone());
    }

    /// What the sum says.
    pub fn totals(&self) -> Totals {
        let Total { mean: grams, standard, low, high, shares, .. } = self.grams.total();
        let (energy, with_pue) = (self.energy_kwh.value(), self.energy_with_pue_kwh.value());
        let shared: f64 = shares.iter().map(|(_, share)| share).sum();
        let (low, high) = self.own.unwrap_or((low, high));
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
            relative_uncertainty_pct: over(100.0 * standard, grams),
            shared_variance_pct: round9(100.0 * shared),
            start_ts: self.first.clone().unwrap_or_default(),
            total_energy_kwh: round9(energy),
            total_energy_with_pue_kwh: round9(with_pue),
            total_grams: round9(grams),
        }
    }
}

#[cfg(test)]
mod tests;
