//! An expression as a sum of monomials: exact moments, and what is common to its terms.
//!
//! Out of scope: quotients of sums, which have none of these.

use std::collections::BTreeMap;

use super::model::{Expression, Input};

/// Beyond so many terms, moments cost more than sampling.
const TERMS_MAX: usize = 256;

/// Powers beyond are refused: no moments are at hand.
const POWER_MAX: u32 = 6;

/// `coefficient · ∏ input^power`.
#[derive(Debug, Clone, PartialEq)]
struct Monomial {
    coefficient: f64,
    powers: BTreeMap<usize, i32>,
}

/// A sum of monomials.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Polynomial(Vec<Monomial>);

/// Moments of a model whose inputs are independent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Polynomial {
    /// `None` for quotients of sums and for what has too many terms.
    pub(super) fn of(expression: &Expression) -> Option<Self> {
        let Self(terms) = Self::expanded(expression)?;
        // Equal products of inputs are one term.
        let mut merged: Vec<Monomial> = Vec::new();
        for term in terms {
            match merged.iter_mut().find(|other| other.powers == term.powers) {
                Some(other) => other.coefficient += term.coefficient,
                None => merged.push(term),
            }
        }
        Some(Self(merged))
    }

    fn expanded(expression: &Expression) -> Option<Self> {
        let single = |coefficient, powers: &[(usize, i32)]| {
            Self(vec![Monomial { coefficient, powers: powers.iter().copied().collect() }])
        };
        let result = match expression {
            Expression::Constant(value) => single(*value, &[]),
            Expression::Input(index) => single(1.0, &[(*index, 1)]),
            Expression::Sum(parts) => {
                let mut terms = Vec::new();
                for part in parts {
                    terms.extend(Self::expanded(part)?.0);
                }
                Self(terms)
            }
            Expression::Product(parts) => {
                let mut product = single(1.0, &[]);
                for part in parts {
                    product = product.times(&Self::expanded(part)?)?;
                }
                product
            }
            Expression::Power(base, k) => Self::expanded(base)?.to_power(*k)?,
        };
        (result.0.len() <= TERMS_MAX).then_some(result)
    }

    fn times(&self, other: &Self) -> Option<Self> {
        if self.0.len() * other.0.len() > TERMS_MAX {
            return None;
        }
        let mut terms = Vec::new();
        for a in &self.0 {
            for b in &other.0 {
                let mut powers = a.powers.clone();
                for (&index, &k) in &b.powers {
                    *powers.entry(index).or_insert(0) += k;
                }
                powers.retain(|_, k| *k != 0);
                terms.push(Monomial { coefficient: a.coefficient * b.coefficient, powers });
            }
        }
        Some(Self(terms))
    }

    fn to_power(&self, k: i32) -> Option<Self> {
        if k.unsigned_abs() > POWER_MAX {
            return None;
        }
        let mut base = self.clone();
        if k < 0 {
            let [term] = self.0.as_slice() else { return None };
            let powers = term.powers.iter().map(|(&index, &k)| (index, -k)).collect();
            base = Self(vec![Monomial { coefficient: 1.0 / term.coefficient, powers }]);
        }
        let mut result = Self(vec![Monomial { coefficient: 1.0, powers: BTreeMap::new() }]);
        for _ in 0..k.unsigned_abs() {
            result = result.times(&base)?;
        }
        Some(result)
    }

    /// Mean and variance, exact but for rounding; `None` when an input has
    /// no such moment in closed form.
    pub(super) fn moments(&self, inputs: &[Input]) -> Option<Moments> {
        let moment = |index: usize, k: i32| inputs.get(index)?.distribution.moment(k);
        let mut means = Vec::new();
        for term in &self.0 {
            let mut mean = term.coefficient;
            for (&index, &k) in &term.powers {
                mean *= moment(index, k)?;
            }
            means.push(mean);
        }
        let mut variance = 0.0;
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in self.0.iter().enumerate().take(i + 1) {
                let covariance = covariance(a, b, inputs)?;
                variance += if i == j { covariance } else { 2.0 * covariance };
            }
        }
        Some(Moments { mean: means.iter().sum(), variance: variance.max(0.0) })
    }

    /// The same polynomial with common factors taken out, as far as each input then occurs once.
    pub(super) fn factored(&self) -> Option<Expression> {
        let factored = factor(&self.0);
        factored.has_each_once(|_| true).then_some(factored)
    }
}

/// Cov(Xᵃ, Xᵇ).
fn power_covariance(input: &Input, a: i32, b: i32) -> Option<f64> {
    if a == 1 && b == 1 {
        return Some(input.distribution.variance());
    }
    let moment = |k| input.distribution.moment(k);
    Some(moment(a + b)? - moment(a)? * moment(b)?)
}

/// Cov of two monomials of independent inputs. With non-zero means it is taken from relative
/// covariances, which keeps its digits when it is far smaller than the squares of the means.
fn covariance(a: &Monomial, b: &Monomial, inputs: &[Input]) -> Option<f64> {
    let (mut log, mut product, mut joint) = (0.0, 1.0, 1.0);
    let mut relative = true;
    let mut indices: Vec<_> = a.powers.keys().chain(b.powers.keys()).copied().collect();
    indices.sort_unstable();
    indices.dedup();
    for index in indices {
        let input = inputs.get(index)?;
        let power = |term: &Monomial| term.powers.get(&index).copied().unwrap_or(0);
        let (j, k) = (power(a), power(b));
        let means = input.distribution.moment(j)? * input.distribution.moment(k)?;
        let own = if j == 0 || k == 0 { 0.0 } else { power_covariance(input, j, k)? };
        if means == 0.0 {
            relative = false;
        } else {
            log += libm::log1p(own / means);
        }
        product *= means;
        joint *= means + own;
    }
    let size = a.coefficient * b.coefficient;
    let relative = relative && log.is_finite();
    Some(size * if relative { product * libm::expm1(log) } else { joint - product })
}

/// Takes the factor that most terms have in common out of them, and goes on with what is left.
fn factor(terms: &[Monomial]) -> Expression {
    let mut counts: BTreeMap<(usize, i32), usize> = BTreeMap::new();
    for term in terms {
        for (&index, &k) in &term.powers {
            *counts.entry((index, k)).or_insert(0) += 1;
        }
    }
    let common = counts.into_iter().filter(|&(_, count)| count > 1).max_by_key(|&(_, count)| count);
    let Some(((index, k), _)) = common else {
        return match terms {
            [term] => monomial(term),
            _ => Expression::Sum(terms.iter().map(monomial).collect()),
        };
    };
    let has = |term: &&Monomial| term.powers.get(&index) == Some(&k);
    let without = |term: &Monomial| {
        let mut term = term.clone();
        term.powers.remove(&index);
        term
    };
    let inside: Vec<_> = terms.iter().filter(has).map(without).collect();
    let outside: Vec<_> = terms.iter().filter(|term| !has(term)).cloned().collect();
    let taken = Expression::Product(vec![single(index, k), factor(&inside)]);
    if outside.is_empty() { taken } else { Expression::Sum(vec![taken, factor(&outside)]) }
}

fn single(index: usize, k: i32) -> Expression {
    if k == 1 { Expression::Input(index) } else { Expression::Input(index).power(k) }
}

fn monomial(term: &Monomial) -> Expression {
    let mut factors = vec![Expression::Constant(term.coefficient)];
    factors.extend(term.powers.iter().map(|(&index, &k)| single(index, k)));
    Expression::Product(factors)
}
