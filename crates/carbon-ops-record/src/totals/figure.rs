//! What a sum of grams says: its interval, and what of its variance is shared.
//!
//! Out of scope: of which records (`group`).

use serde::Serialize;

use carbon_ops_estimate::aggregate::{Partial, Total};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::uncertainty::LEVEL;

/// How many shared keys a figure names, the largest first: `shared_variance_pct` has them all.
const KEYS_MAX: usize = 16;

/// A sum besides that of operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Lower end of the interval, gCO2e.
    pub ci_lower_g: f64,
    /// Upper end, gCO2e.
    pub ci_upper_g: f64,
    /// Coverage probability in percent.
    pub confidence_level_pct: f64,
    /// How the interval came about.
    pub interval_method: How,
    /// How many records have hardware.
    pub records_with_hardware: u64,
    /// Standard uncertainty (k = 1) in percent.
    pub relative_uncertainty_pct: f64,
    /// The largest parts of the variance that are of shared errors, first order.
    pub shared: Vec<Shared>,
    /// Part of the variance that is of shared errors, in percent.
    pub shared_variance_pct: f64,
    /// The sum in gCO2e.
    pub total_grams: f64,
}

/// A part of a variance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shared {
    /// The key of the error.
    pub key: String,
    /// Its part in percent.
    pub pct: f64,
}

/// How an interval came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is that of the only record, or of a model of that record's own inputs.
    Record,
    /// Mean and standard uncertainty are exact but for products of errors of which some are shared; the interval is that of
    /// a lognormal with both.
    LognormalMoments,
    /// By trials over all records together.
    MonteCarlo,
}

/// A quotient; 0 of nothing.
pub(super) fn over(a: f64, b: f64) -> f64 {
    if b > 0.0 { round9(a / b) } else { 0.0 }
}

/// A sum, with the interval of the only record where there is one.
pub(super) fn figure(
    partial: &Partial,
    own: Option<(f64, f64)>,
    records_with_hardware: u64,
) -> Figure {
    let Total { mean, standard, low, high, shares, .. } = partial.total();
    let shared_variance: f64 = shares.iter().map(|(_, share)| share).sum();
    let (low, high) = own.unwrap_or((low, high));
    let mut shared: Vec<_> = shares.into_iter().filter(|(_, share)| *share > 0.0).collect();
    shared.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let shared = shared.into_iter().take(KEYS_MAX);
    Figure {
        ci_lower_g: round9(low),
        ci_upper_g: round9(high),
        confidence_level_pct: round9(100.0 * LEVEL),
        interval_method: if own.is_some() { How::Record } else { How::LognormalMoments },
        records_with_hardware,
        relative_uncertainty_pct: over(100.0 * standard, mean),
        shared: shared.map(|(key, share)| Shared { key, pct: round9(100.0 * share) }).collect(),
        shared_variance_pct: round9(100.0 * shared_variance),
        total_grams: round9(mean),
    }
}

/// What the products of a record's shared errors add: one error of all that have the same ones, so that a span that is
/// cut into records is as sure as the span.
pub(super) fn of_products(errors: &[(&str, f64)]) -> Option<(String, f64)> {
    let squares = || errors.iter().map(|(_, cv)| cv * cv);
    let whole =
        squares().map(|square| 1.0 + square).product::<f64>() - 1.0 - squares().sum::<f64>();
    let mut keys: Vec<&str> = errors.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    (keys.len() > 1 && whole > 0.0).then(|| (keys.join(" × "), whole.sqrt()))
}

/// Effects by their keys.
pub(super) fn by_key(effects: &[(String, f64)]) -> impl Iterator<Item = (&str, f64)> {
    effects.iter().map(|(key, effect)| (key.as_str(), *effect))
}
