//! The product of record v1: inputs that are known only as distributions, and the coverage interval
//! of their product, computed without sampling. Records that were signed are derived again by this
//! file, to the last digit: it does not change. Everything newer is in [`super::Model`].
//!
//! `C = c · X₁ · X₂ · …` with independent factors that are not negative. Then
//! `E[C] = c · ∏ E[Xⱼ]` and `1 + cv²(C) = ∏ (1 + cv²(Xⱼ))`, both exact.
//!
//! The distribution function needs no moment matching: lognormal factors multiply to one
//! lognormal, whose distribution function is closed; the other factors are integrated over by
//! Gauss–Legendre quadrature. The quantiles follow by Newton's method inside a bracket. This is what
//! the method name `analytical_truncated` means here.
//!
//! Every step uses IEEE-754 arithmetic in a fixed order and a pinned mathematics library, so that a
//! record's interval can be derived again to the last digit on any machine.
//!
//! Deliberately absent: sampling, sums of differently priced slots, correlation between records.

use super::distribution::{Distribution, Log};
use super::normal::{normal_cdf, normal_density};
use super::quadrature::legendre_nodes;
use super::{Error, LEVEL};

/// Nodes of an axis. On the products of this crate's tests with a lognormal factor the quantiles
/// agree with adaptive integration to 1e-6; two uniforms alone, whose distribution function has
/// kinks inside the range of integration, to 1 %.
const NODES: usize = 64;

/// Nodes of an axis whose coefficient of variation is at most [`NARROW`]: the integrand hardly
/// changes over it, and the quantiles agree to 1e-8.
const NODES_NARROW: usize = 32;

/// See [`NODES_NARROW`].
const NARROW: f64 = 0.25;

/// Nodes with less probability cannot be seen in nine digits, all of them together.
const WEIGHT_MIN: f64 = 1e-15;

/// More integrals than this would cost more than sampling does.
pub(super) const AXES_MAX: usize = 3;

/// Mean, standard uncertainty and coverage interval of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean of the model.
    pub mean: f64,
    /// Standard uncertainty (k = 1).
    pub standard: f64,
    /// Lower end of the probabilistically symmetric interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The product of a constant and independent factors.
///
/// # Errors
/// When a factor is no distribution, when all are points, or when too many are not lognormal.
///
/// ```
/// use carbon_ops_estimate::uncertainty::{Distribution, product};
/// let intensity = Distribution::Lognormal { mean: 400.0, cv: 0.1 };
/// let grams = product(2.0, &[intensity])?;
/// assert!((grams.mean - 800.0).abs() < 1e-9 && (grams.standard - 80.0).abs() < 1e-9);
/// assert!(grams.low < 660.0 && grams.high > 965.0);
/// # Ok::<(), carbon_ops_estimate::uncertainty::Error>(())
/// ```
pub fn product(constant: f64, factors: &[Distribution]) -> Result<Outcome, Error> {
    Distribution::Point { mean: constant }.checked()?;
    let mut points = constant;
    let (mut mean, mut spread) = (constant, 1.0);
    let mut log = Log { mu: 0.0, variance: 0.0 };
    let mut axes = Vec::new();
    for factor in factors {
        let factor = factor.checked()?;
        mean *= factor.mean();
        spread *= 1.0 + factor.cv_squared();
        match factor {
            Distribution::Point { mean } => points *= mean,
            Distribution::Lognormal { mean, cv } => {
                let next = Log::of(mean, cv);
                log = Log { mu: log.mu + next.mu, variance: log.variance + next.variance };
            }
            _ => axes.push(factor),
        }
    }
    if axes.len() > AXES_MAX {
        return Err(Error::TooManyAxes(axes.len()));
    }
    let inner = if log.variance > 0.0 {
        Inner::Log(log)
    } else {
        Inner::Axis(axes.pop().ok_or(Error::NoUncertainty)?)
    };
    let standard = mean * (spread - 1.0).max(0.0).sqrt();
    if mean <= 0.0 {
        return Ok(Outcome { mean, standard, low: 0.0, high: 0.0 });
    }
    let cdf = Cdf { inner, nodes: grid(&axes) };
    // A lognormal of the same mean and variance is where the search begins.
    let guess = Log::of(mean / points, (spread - 1.0).sqrt());
    let tail = (1.0 - LEVEL) / 2.0;
    let low = points * cdf.quantile(tail, guess.mu - Z * guess.variance.sqrt());
    let high = points * cdf.quantile(1.0 - tail, guess.mu + Z * guess.variance.sqrt());
    Ok(Outcome { mean, standard, low, high })
}

/// Φ⁻¹(0.975); only a first guess rests on it.
const Z: f64 = 1.96;

/// The factor whose distribution function is evaluated in closed form.
enum Inner {
    Log(Log),
    Axis(Distribution),
}

/// A point of the product of all axes that are integrated over.
struct Node {
    value: f64,
    ln: f64,
    weight: f64,
}

/// Distribution function of a product without its constant part.
struct Cdf {
    inner: Inner,
    nodes: Vec<Node>,
}

impl Cdf {
    /// The distribution function at `exp(u)` and its derivative by `u`.
    fn at(&self, u: f64) -> (f64, f64) {
        let (mut probability, mut slope) = (0.0, 0.0);
        match &self.inner {
            Inner::Log(log) => {
                let scale = 1.0 / log.variance.sqrt();
                for node in &self.nodes {
                    let z = (u - node.ln - log.mu) * scale;
                    probability += node.weight * normal_cdf(z);
                    slope += node.weight * normal_density(z) * scale;
                }
            }
            Inner::Axis(axis) => {
                let y = libm::exp(u);
                for node in &self.nodes {
                    let x = y / node.value;
                    probability += node.weight * axis.cdf(x);
                    slope += node.weight * axis.density_or_zero(x) * x;
                }
            }
        }
        (probability, slope)
    }

    /// Newton's method on the logarithm, inside a bracket that each step narrows; where a step
    /// would leave it, the bracket is halved instead (Press et al., Numerical Recipes, 9.4).
    fn quantile(&self, p: f64, guess: f64) -> f64 {
        let (mut low, mut high) = (guess - REACH, guess + REACH);
        let mut u = guess;
        for _ in 0..200 {
            let (probability, slope) = self.at(u);
            if probability < p {
                low = u;
            } else {
                high = u;
            }
            let newton = u - (probability - p) / slope;
            let next =
                if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
            let step = next - u;
            u = next;
            if step.abs() <= 1e-13 || high - low <= 1e-13 {
                break;
            }
        }
        libm::exp(u)
    }
}

/// Half the width of the first bracket, in the logarithm: a factor of 10^26 either way.
const REACH: f64 = 60.0;

/// All points of the product of some axes, with the products of their weights.
fn grid(axes: &[Distribution]) -> Vec<Node> {
    let mut grid = vec![Node { value: 1.0, ln: 0.0, weight: 1.0 }];
    for axis in axes {
        let axis: Vec<_> = nodes(axis).into_iter().map(|(x, w)| (x, libm::log(x), w)).collect();
        let with = |node: &Node| {
            let Node { value, ln, weight } = *node;
            let points = axis.iter().map(move |&(x, ln_x, w)| Node {
                value: value * x,
                ln: ln + ln_x,
                weight: weight * w,
            });
            points.filter(|node| node.weight >= WEIGHT_MIN).collect::<Vec<_>>()
        };
        grid = grid.iter().flat_map(with).collect();
    }
    grid
}

/// Gauss–Legendre nodes over the support of a distribution, weighted with its density; weights are
/// scaled to sum to one, which removes the quadrature's own error of the total.
fn nodes(axis: &Distribution) -> Vec<(f64, f64)> {
    let (low, high) = axis.support();
    let half = (high - low) / 2.0;
    let count = if axis.cv_squared() <= NARROW * NARROW { NODES_NARROW } else { NODES };
    let mut nodes: Vec<_> = legendre_nodes(count)
        .map(|(x, weight)| {
            let at = low + half * (x + 1.0);
            (at, weight * half * axis.density(at))
        })
        .collect();
    let total: f64 = nodes.iter().map(|&(_, weight)| weight).sum();
    for (_, weight) in &mut nodes {
        *weight /= total;
    }
    nodes
}

#[cfg(test)]
mod tests;
