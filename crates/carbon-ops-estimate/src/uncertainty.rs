//! The measurement model: a product of inputs that are known only as distributions, and the
//! coverage interval of the product, computed without sampling.
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

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Coverage probability of all intervals in records.
pub const LEVEL: f64 = 0.95;

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

/// Beyond so many standard deviations of its parent, a normal density adds less than 1e-15.
const TAIL: f64 = 8.0;

/// More integrals than this would cost more than sampling does.
const AXES_MAX: usize = 3;

/// A quantity that is known only as a distribution. All parameters are finite and all values that
/// it can take are at least zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// A definition or an exact count; it has no uncertainty.
    Point {
        /// The value.
        mean: f64,
    },
    /// Normal with parent mean `mu` and parent standard deviation `sigma`, cut off outside
    /// `[min, max]` and renormalised.
    TruncatedNormal {
        /// Mean of the parent.
        mu: f64,
        /// Standard deviation of the parent.
        sigma: f64,
        /// Lower bound, at least 0.
        min: f64,
        /// Upper bound, if any.
        max: Option<f64>,
    },
    /// Lognormal with arithmetic mean `mean` and coefficient of variation `cv`.
    Lognormal {
        /// Arithmetic mean.
        mean: f64,
        /// Standard deviation over mean.
        cv: f64,
    },
    /// Uniform between `low` and `high`.
    Uniform {
        /// Least value.
        low: f64,
        /// Largest value.
        high: f64,
    },
}

/// Why numbers are no distribution, or distributions no product.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parameters that describe no distribution of a quantity that cannot be negative.
    #[error("{0:?} is not a distribution of a quantity that is at least 0")]
    Parameters(Distribution),
    /// Every factor is a point: the result would claim to be exact.
    #[error("no input carries an uncertainty, and a result without one is not given")]
    NoUncertainty,
    /// More factors than the quadrature is made for.
    #[error("{0} factors that are not lognormal; at most {AXES_MAX} can be integrated over")]
    TooManyAxes(usize),
}

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

impl Distribution {
    /// A truncated normal whose own mean (not its parent's) is `mean`; the parent's mean is rounded
    /// to nine digits, as a record keeps it.
    ///
    /// # Errors
    /// When no such distribution exists.
    pub fn truncated_with_mean(mean: f64, sigma: f64, min: f64) -> Result<Self, Error> {
        let with = |mu| Self::TruncatedNormal { mu, sigma, min, max: None };
        // The mean grows with mu. It exceeds mu, so mu = mean is the upper end; and for a mean
        // above the bound, thirty standard deviations below are more than enough.
        let (mut low, mut high) = (mean - 30.0 * sigma, mean);
        for _ in 0..200 {
            let mu = f64::midpoint(low, high);
            if with(mu).mean() < mean { low = mu } else { high = mu }
        }
        with(round9(f64::midpoint(low, high))).checked()
    }

    /// Itself, when its parameters describe a quantity that is at least 0.
    ///
    /// # Errors
    /// For NaN, infinite or contradictory parameters, and where negative values are possible.
    pub fn checked(self) -> Result<Self, Error> {
        let fine = match self {
            Self::Point { mean } => mean.is_finite() && mean >= 0.0,
            Self::TruncatedNormal { mu, sigma, min, max } => {
                let max = max.unwrap_or(f64::MAX);
                let finite = mu.is_finite() && sigma.is_finite() && min.is_finite();
                // A parent further away than its tail leaves nothing that could be computed.
                let reaches = mu + TAIL * sigma > min && mu - TAIL * sigma < max;
                finite && max.is_finite() && sigma > 0.0 && min >= 0.0 && min < max && reaches
            }
            Self::Lognormal { mean, cv } => {
                mean.is_finite() && cv.is_finite() && mean > 0.0 && cv > 0.0
            }
            Self::Uniform { low, high } => high.is_finite() && low >= 0.0 && low < high,
        };
        if fine { Ok(self) } else { Err(Error::Parameters(self)) }
    }

    /// Arithmetic mean.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Point { mean } | Self::Lognormal { mean, .. } => mean,
            Self::TruncatedNormal { mu, sigma, .. } => {
                let Tails { density_low, density_high, mass, .. } = self.tails();
                mu + sigma * (density_low - density_high) / mass
            }
            Self::Uniform { low, high } => f64::midpoint(low, high),
        }
    }

    /// Variance.
    pub fn variance(&self) -> f64 {
        match *self {
            Self::Point { .. } => 0.0,
            Self::Lognormal { mean, cv } => (mean * cv) * (mean * cv),
            // Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 1, section 10.1.
            Self::TruncatedNormal { sigma, .. } => {
                let tails = self.tails();
                let edge = (tails.moment_low - tails.moment_high) / tails.mass;
                let shift = (tails.density_low - tails.density_high) / tails.mass;
                sigma * sigma * (1.0 + edge - shift * shift)
            }
            Self::Uniform { low, high } => (high - low) * (high - low) / 12.0,
        }
    }

    /// Squared coefficient of variation.
    fn cv_squared(&self) -> f64 {
        let mean = self.mean();
        if mean > 0.0 { self.variance() / (mean * mean) } else { 0.0 }
    }

    fn tails(&self) -> Tails {
        let Self::TruncatedNormal { mu, sigma, min, max } = *self else {
            return Tails {
                density_low: 0.0,
                density_high: 0.0,
                moment_low: 0.0,
                moment_high: 0.0,
                mass: 1.0,
            };
        };
        let alpha = (min - mu) / sigma;
        let density_low = normal_density(alpha);
        let (density_high, moment_high, above) = max.map_or((0.0, 0.0, 0.0), |max| {
            let beta = (max - mu) / sigma;
            (normal_density(beta), beta * normal_density(beta), normal_cdf(-beta))
        });
        let mass = normal_cdf(-alpha) - above;
        Tails { density_low, density_high, moment_low: alpha * density_low, moment_high, mass }
    }

    /// Where its density is worth integrating over.
    fn support(&self) -> (f64, f64) {
        match *self {
            Self::Point { mean } | Self::Lognormal { mean, .. } => (mean, mean),
            Self::TruncatedNormal { mu, sigma, min, max } => {
                let high = mu + TAIL * sigma;
                (min.max(mu - TAIL * sigma), max.map_or(high, |max| max.min(high)))
            }
            Self::Uniform { low, high } => (low, high),
        }
    }

    fn density(&self, x: f64) -> f64 {
        match *self {
            Self::TruncatedNormal { mu, sigma, .. } => {
                normal_density((x - mu) / sigma) / (sigma * self.tails().mass)
            }
            Self::Uniform { low, high } => 1.0 / (high - low),
            Self::Point { .. } | Self::Lognormal { .. } => 0.0,
        }
    }

    /// The density, and zero outside the support.
    fn density_or_zero(&self, x: f64) -> f64 {
        let (low, high) = self.support();
        if x > low && x < high { self.density(x) } else { 0.0 }
    }

    fn cdf(&self, x: f64) -> f64 {
        let (low, high) = self.support();
        match *self {
            Self::Point { mean } => f64::from(u8::from(x >= mean)),
            Self::Lognormal { mean, cv } => Log::of(mean, cv).cdf(x),
            _ if x <= low => 0.0,
            _ if x >= high => 1.0,
            Self::TruncatedNormal { mu, sigma, min, .. } => {
                let below = normal_cdf((min - mu) / sigma);
                (normal_cdf((x - mu) / sigma) - below) / self.tails().mass
            }
            Self::Uniform { low, high } => (x - low) / (high - low),
        }
    }
}

/// Densities, density-weighted bounds and probability mass of a truncated normal.
struct Tails {
    density_low: f64,
    density_high: f64,
    moment_low: f64,
    moment_high: f64,
    mass: f64,
}

/// A lognormal by the mean and standard deviation of its logarithm.
#[derive(Clone, Copy)]
struct Log {
    mu: f64,
    variance: f64,
}

impl Log {
    fn of(mean: f64, cv: f64) -> Self {
        let variance = libm::log1p(cv * cv);
        Self { mu: libm::log(mean) - variance / 2.0, variance }
    }

    fn cdf(self, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        normal_cdf((libm::log(x) - self.mu) / self.variance.sqrt())
    }
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

/// Nodes and weights on [−1, 1]: roots of the Legendre polynomial by Newton's method from the
/// estimate cos(π(i+3/4)/(n+1/2)) (Abramowitz and Stegun, 22.16.6 and 25.4.29).
fn legendre_nodes(count: usize) -> impl Iterator<Item = (f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "small integers")]
    let n = count as f64;
    (0..count).map(move |i| {
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        let mut x = libm::cos(PI * (i as f64 + 0.75) / (n + 0.5));
        let mut slope = 1.0;
        for _ in 0..8 {
            let (value, before) = legendre(count, x);
            slope = n * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
}

/// The Legendre polynomials of a degree and one less, by their recurrence.
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut value, mut before) = (x, 1.0);
    for k in 2..=degree {
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        let k = k as f64;
        (value, before) = (((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k, value);
    }
    (value, before)
}

fn normal_density(z: f64) -> f64 {
    libm::exp(-z * z / 2.0) / (2.0 * PI).sqrt()
}

fn normal_cdf(z: f64) -> f64 {
    libm::erfc(-z * FRAC_1_SQRT_2) / 2.0
}

/// Rounds to nine significant digits, ties to even: the precision of derived numbers in records.
///
/// ```
/// use carbon_ops_estimate::uncertainty::round9;
/// assert_eq!(round9(1.0 / 3.0).to_string(), "0.333333333");
/// ```
pub fn round9(x: f64) -> f64 {
    // The formatter rounds the exact binary value, ties to even; parsing is correctly rounded.
    let rounded: f64 = format!("{x:.8e}").parse().unwrap_or(x);
    rounded + 0.0
}

#[cfg(test)]
mod tests;
