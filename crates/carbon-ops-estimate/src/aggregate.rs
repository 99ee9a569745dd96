//! Totals over records, hosts and months, in which an error that records share stays shared.
//!
//! A record contributes its grams, and its uncertainty split into one signed part per shared key and
//! the rest. Parts of one key add up, the rests add up in squares:
//!
//! ```text
//! u² = Σ u_ind²  +  Σ_key (Σ u_cor)²
//! ```
//!
//! Sums are exact (no rounding until the end), so that records can be merged in any order and in any
//! grouping, on one machine or on many, and give the same digits.
//!
//! A product of two shared errors is itself shared by records that have both: whoever adds records gives it a
//! key of its own. Neglected is that records which share one of several have some of their products in common. For
//! factors with coefficients of variation a and b that is less than a part a²b²/(a² + b²) of the variance, 2 %
//! for 0.2 and 0.2. [`Model::sum`](crate::uncertainty::Model::sum) has it, by Monte Carlo.
//!
//! Out of scope: which records belong together, and their reading.

use std::collections::BTreeMap;

use crate::uncertainty::{LEVEL, lognormal_interval};

/// What a total knows of its records: a commutative monoid with [`Partial::merge`].
///
/// ```
/// use carbon_ops_estimate::aggregate::Partial;
/// // Two days at 100 g, each with 10 g that are the grid's and 5 g of its own.
/// let standard = 125_f64.sqrt();
/// let mut days = Partial::default();
/// for _ in 0..2 {
///     days.add(100.0, standard, [("grid:owid:DE", 10.0)]);
/// }
/// let total = days.total();
/// assert_eq!(total.mean, 200.0);
/// assert!((total.standard - (20.0_f64 * 20.0 + 2.0 * 25.0).sqrt()).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Partial {
    records: u64,
    grams: ExactSum,
    independent: ExactSum,
    correlated: BTreeMap<String, ExactSum>,
}

/// A total with its uncertainty, in g.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// How many records are in it.
    pub records: u64,
    /// Sum of means.
    pub mean: f64,
    /// Standard uncertainty (k = 1).
    pub standard: f64,
    /// Lower end of the 95 % interval: that of a lognormal with this mean and standard uncertainty
    /// (of a normal, when the mean is not above 0). For a small uncertainty the two are the same.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Shares of the variance by shared key; what is left is independent.
    pub shares: Vec<(String, f64)>,
}

impl Partial {
    /// Adds a record: its grams, its standard uncertainty, and of that the signed parts that belong to
    /// shared keys (of the input's errors; negative where grams fall as the shared variable rises).
    pub fn add<'k>(
        &mut self,
        grams: f64,
        standard: f64,
        effects: impl IntoIterator<Item = (&'k str, f64)>,
    ) {
        let mut own: BTreeMap<&str, f64> = BTreeMap::new();
        for (key, effect) in effects {
            *own.entry(key).or_insert(0.0) += effect;
        }
        let mut rest = standard * standard;
        for (key, effect) in own {
            rest -= effect * effect;
            match self.correlated.get_mut(key) {
                Some(sum) => sum.add(effect),
                None => self.correlated.entry(key.to_owned()).or_default().add(effect),
            }
        }
        self.records += 1;
        self.grams.add(grams);
        // Rounding can leave less than nothing.
        self.independent.add(rest.max(0.0));
    }

    /// Adds all records of another.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.grams.merge(&other.grams);
        self.independent.merge(&other.independent);
        for (key, sum) in &other.correlated {
            self.correlated.entry(key.clone()).or_default().merge(sum);
        }
    }

    /// What it knows, to be written down: records, `Σ g`, `Σ u_ind²`, and per key `Σ u_cor`.
    pub fn parts(&self) -> (u64, f64, f64, Vec<(&str, f64)>) {
        let keys = self.correlated.iter().map(|(key, sum)| (key.as_str(), sum.value()));
        (self.records, self.grams.value(), self.independent.value(), keys.collect())
    }

    /// The total.
    pub fn total(&self) -> Total {
        let mean = self.grams.value();
        let squares: Vec<_> = self
            .correlated
            .iter()
            .map(|(key, sum)| (key.clone(), sum.value() * sum.value()))
            .collect();
        let mut variance = ExactSum::default();
        variance.merge(&self.independent);
        for (_, square) in &squares {
            variance.add(*square);
        }
        let variance = variance.value();
        let standard = variance.sqrt();
        let (low, high) = lognormal_interval(mean, standard, LEVEL);
        let share = |square: f64| if variance > 0.0 { square / variance } else { 0.0 };
        let shares = squares.into_iter().map(|(key, square)| (key, share(square))).collect();
        Total { records: self.records, mean, standard, low, high, shares }
    }
}

/// A sum without rounding: numbers that do not overlap and together are the exact sum (Shewchuk,
/// Adaptive precision floating-point arithmetic, 1997, as in Python's `math.fsum`).
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, x: f64) {
        let mut carry = x;
        let mut kept = 0;
        for index in 0..self.parts.len() {
            let Some(&part) = self.parts.get(index) else { break };
            let (large, small) =
                if carry.abs() < part.abs() { (part, carry) } else { (carry, part) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                if let Some(slot) = self.parts.get_mut(kept) {
                    *slot = low;
                }
                kept += 1;
            }
            carry = high;
        }
        self.parts.truncate(kept);
        self.parts.push(carry);
    }

    /// Adds all that another sum holds.
    pub fn merge(&mut self, other: &Self) {
        for part in &other.parts {
            self.add(*part);
        }
    }

    /// The sum, rounded once.
    pub fn value(&self) -> f64 {
        let mut parts = self.parts.iter().rev().copied();
        let mut high = parts.next().unwrap_or(0.0);
        let mut low = 0.0;
        for part in parts.by_ref() {
            let before = high;
            high = before + part;
            low = part - (high - before);
            if low != 0.0 {
                break;
            }
        }
        // A tie is decided by the sign of what follows.
        if let Some(next) = parts.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let twice = low * 2.0;
            let up = high + twice;
            #[expect(clippy::float_cmp, reason = "whether the step was exact")]
            if up - high == twice {
                high = up;
            }
        }
        high
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.value().to_bits() == other.value().to_bits()
    }
}

#[cfg(test)]
mod tests;
