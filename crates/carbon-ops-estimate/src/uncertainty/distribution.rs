//! What is known of one quantity: its distribution, with moments, density, distribution function and
//! quantile.
//!
//! Out of scope: text (`text`), and everything that has more than one quantity.

use std::cell::Cell;
use std::f64::consts::PI;

use super::normal::{normal_cdf, normal_density, normal_quantile};
use super::quadrature::legendre_nodes;
use crate::decimal::round9;

/// Beyond so many standard deviations of its parent, a normal density adds less than 1e-15.
const TAIL: f64 = 8.0;

/// A bound so many standard deviations beyond the parent's mean leaves a tail, of which 1 − Φ has too few
/// digits.
const FAR: f64 = 3.0;

/// What is narrower than this part of the parent's standard deviation has its moments from a quadrature:
/// the formulas subtract numbers that are nearly equal.
const SLICE: f64 = 0.5;

/// What is narrower than this is an exponential to twelve digits, and Φ hardly changes over it.
const SLIVER: f64 = 1e-5;

/// Parameters that describe no distribution, or none of a quantity that cannot be negative.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} {flaw}", flaw = .0.flaw())]
pub struct NoDistribution(pub Distribution);

/// A quantity that is known only as a distribution.
///
/// ```
/// use carbon_ops_estimate::uncertainty::Distribution;
/// let pue: Distribution = "tn(1.55, 0.2, min=1)".parse()?;
/// assert!((pue.mean() - 1.551824148).abs() < 1e-9);
/// assert_eq!(pue.to_string(), "tn(1.55, 0.2, min=1)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// A definition or an exact count; it has no uncertainty. Text: `1.2`.
    Point {
        /// The value.
        mean: f64,
    },
    /// Normal. Text: `n(mean, sd)`.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        sd: f64,
    },
    /// Normal with parent mean `mu` and parent standard deviation `sigma`, cut off outside
    /// `[min, max]` and renormalised. Text: `tn(mu, sigma, min=…, max=…)`, `min` 0 if left out.
    TruncatedNormal {
        /// Mean of the parent.
        mu: f64,
        /// Standard deviation of the parent.
        sigma: f64,
        /// Lower bound.
        min: f64,
        /// Upper bound, if any.
        max: Option<f64>,
    },
    /// Lognormal with arithmetic mean `mean` and coefficient of variation `cv`. Text: `ln(mean, cv)`.
    Lognormal {
        /// Arithmetic mean.
        mean: f64,
        /// Standard deviation over mean.
        cv: f64,
    },
    /// Uniform between `low` and `high`: the rectangular distribution. Text: `u(low, high)`.
    Uniform {
        /// Least value.
        low: f64,
        /// Largest value.
        high: f64,
    },
    /// Triangular. Text: `tri(low, mode, high)`.
    Triangular {
        /// Least value.
        low: f64,
        /// Most probable value.
        mode: f64,
        /// Largest value.
        high: f64,
    },
    /// Arc sine (JCGM 101, 6.4.6): what cycles sinusoidally. Text: `arcsine(low, high)`.
    ArcSine {
        /// Least value.
        low: f64,
        /// Largest value.
        high: f64,
    },
    /// Scaled and shifted t (JCGM 101, 6.4.9). Text: `t(mean, scale, dof)`.
    StudentT {
        /// Mean, for more than one degree of freedom.
        mean: f64,
        /// Scale; the standard deviation is `scale·√(dof/(dof − 2))`.
        scale: f64,
        /// Degrees of freedom, above 2.
        dof: f64,
    },
    /// Rectangular with limits that are themselves known to ±`inexact` (JCGM 101, 6.4.3:
    /// curvilinear trapezoid). Text: `ctrap(low, high, inexact)`.
    InexactUniform {
        /// Lower limit.
        low: f64,
        /// Upper limit.
        high: f64,
        /// Semi-width of what the limits may be off by, less than half their distance.
        inexact: f64,
    },
}

/// What a reader should know of a distribution that is well formed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Caution {
    /// A quantity that cannot be negative is so with this probability.
    #[error("{probability:.2e} of it lies below 0")]
    Negative {
        /// Probability below zero.
        probability: f64,
    },
    /// The bounds remove so much that the mean is not the parent's any more (0.135 %: three sigma).
    #[error(
        "the bounds remove {probability:.2e} of the normal and move its mean from {mu} to {mean}"
    )]
    Shifted {
        /// Probability that the bounds remove.
        probability: f64,
        /// Mean of the parent.
        mu: f64,
        /// Mean.
        mean: f64,
    },
}

impl Distribution {
    /// A truncated normal whose own mean (not its parent's) is `mean`; the parent's mean is rounded
    /// to nine digits, as a record keeps it.
    ///
    /// # Errors
    /// When no such distribution exists.
    pub fn truncated_with_mean(mean: f64, sigma: f64, min: f64) -> Result<Self, NoDistribution> {
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
    pub fn checked(self) -> Result<Self, NoDistribution> {
        let fine = self.lowest() >= 0.0 && self.valid().is_ok();
        if fine { Ok(self) } else { Err(NoDistribution(self)) }
    }

    /// Itself, when its parameters describe a distribution, of whatever sign.
    ///
    /// # Errors
    /// For NaN, infinite or contradictory parameters.
    pub fn valid(self) -> Result<Self, NoDistribution> {
        let fine = match self {
            Self::Point { mean } => mean.is_finite(),
            Self::Normal { mean, sd } => mean.is_finite() && sd.is_finite() && sd > 0.0,
            Self::TruncatedNormal { mu, sigma, min, max } => {
                let max = max.unwrap_or(f64::MAX);
                let finite = mu.is_finite() && sigma.is_finite() && min.is_finite();
                // A parent further away than its tail leaves nothing that could be computed.
                let reaches = mu + TAIL * sigma > min && mu - TAIL * sigma < max;
                finite && max.is_finite() && sigma > 0.0 && min < max && reaches
            }
            Self::Lognormal { mean, cv } => {
                mean.is_finite() && cv.is_finite() && mean > 0.0 && cv > 0.0
            }
            Self::Uniform { low, high } | Self::ArcSine { low, high } => {
                low.is_finite() && high.is_finite() && low < high
            }
            Self::Triangular { low, mode, high } => {
                low.is_finite() && high.is_finite() && low <= mode && mode <= high && low < high
            }
            Self::StudentT { mean, scale, dof } => {
                let finite = mean.is_finite() && scale.is_finite() && dof.is_finite();
                finite && scale > 0.0 && dof > 2.0
            }
            Self::InexactUniform { low, high, inexact } => {
                let finite = low.is_finite() && high.is_finite() && inexact > 0.0;
                finite && inexact < (high - low) / 2.0
            }
        };
        if fine { Ok(self) } else { Err(NoDistribution(self)) }
    }

    /// What is wrong with parameters that [`Distribution::checked`] refuses, after their name.
    fn flaw(&self) -> &'static str {
        if self.valid().is_ok() {
            return match self {
                Self::Point { .. } => "is below 0, and this quantity is not",
                _ => "can be below 0, and this quantity cannot: start at 0, or take n, tn or ln",
            };
        }
        match *self {
            Self::Point { .. } => "is too large",
            Self::Normal { .. } => "has a standard deviation below 0",
            Self::TruncatedNormal { sigma, min, max, .. } => {
                if sigma < 0.0 {
                    "has a sigma below 0"
                } else if max.is_some_and(|max| max < min) {
                    "has its upper bound not above its lower one"
                } else if sigma <= 0.0 {
                    "is one value, which lies beyond its bounds"
                } else {
                    "has nothing left within its bounds, which are eight sigma or more from mu"
                }
            }
            Self::Lognormal { mean, .. } if mean <= 0.0 => "has a mean that is not above 0",
            Self::Lognormal { .. } => "has a cv below 0",
            Self::Uniform { .. } | Self::ArcSine { .. } => {
                "has its upper end not above its lower one"
            }
            Self::Triangular { .. } => "is not in the order low, mode, high",
            Self::StudentT { .. } => {
                "needs a scale of at least 0 and more than 2 degrees of freedom: with fewer, u is infinite"
            }
            Self::InexactUniform { .. } => {
                "needs limits in order, inexact by at least 0 and less than half of their distance"
            }
        }
    }

    /// What a reader should know of it; `nonnegative` for a quantity that cannot be below zero.
    pub fn caution(&self, nonnegative: bool) -> Option<Caution> {
        if let Self::TruncatedNormal { mu, sigma, min, max } = *self {
            let probability = 1.0 - Tails::of(mu, sigma, min, max).mass;
            // Φ(−3): see the variant.
            if probability > 0.001_35 {
                return Some(Caution::Shifted { probability, mu, mean: self.mean() });
            }
        }
        let probability = if nonnegative { self.cdf(0.0) } else { 0.0 };
        // Six sigma: less cannot be seen in any digit that is printed.
        let seen = probability > 1e-9 && self.lowest() < 0.0;
        seen.then_some(Caution::Negative { probability })
    }

    /// Whether it has no uncertainty.
    pub fn is_point(&self) -> bool {
        matches!(self, Self::Point { .. })
    }

    /// Arithmetic mean.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Point { mean }
            | Self::Lognormal { mean, .. }
            | Self::Normal { mean, .. }
            | Self::StudentT { mean, .. } => mean,
            Self::TruncatedNormal { mu, sigma, min, max } => {
                if let Some((mean, _)) = self.moments_of_slice() {
                    return mean;
                }
                let Tails { density_low, density_high, mass, .. } = Tails::of(mu, sigma, min, max);
                mu + sigma * (density_low - density_high) / mass
            }
            Self::Uniform { low, high }
            | Self::ArcSine { low, high }
            | Self::InexactUniform { low, high, .. } => f64::midpoint(low, high),
            Self::Triangular { low, mode, high } => (low + mode + high) / 3.0,
        }
    }

    /// Variance.
    pub fn variance(&self) -> f64 {
        match *self {
            Self::Point { .. } => 0.0,
            Self::Normal { sd, .. } => sd * sd,
            Self::Lognormal { mean, cv } => (mean * cv) * (mean * cv),
            // Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 1, section 10.1.
            Self::TruncatedNormal { mu, sigma, min, max } => {
                if let Some((_, variance)) = self.moments_of_slice() {
                    return variance;
                }
                let tails = Tails::of(mu, sigma, min, max);
                let edge = (tails.moment_low - tails.moment_high) / tails.mass;
                let shift = (tails.density_low - tails.density_high) / tails.mass;
                sigma * sigma * (1.0 + edge - shift * shift)
            }
            Self::Uniform { low, high } => (high - low) * (high - low) / 12.0,
            // Ibid. 2, 26.9.
            Self::Triangular { low, mode, high } => {
                let (a, b) = (mode - low, high - mode);
                (a * a + a * b + b * b) / 18.0
            }
            // JCGM 101, 6.4.6.4.
            Self::ArcSine { low, high } => (high - low) * (high - low) / 8.0,
            // JCGM 101, 6.4.9.4.
            Self::StudentT { scale, dof, .. } => scale * scale * dof / (dof - 2.0),
            // JCGM 101, 6.4.3.3: (b − a)²/12 + d²/9.
            Self::InexactUniform { low, high, inexact } => {
                (high - low) * (high - low) / 12.0 + inexact * inexact / 9.0
            }
        }
    }

    /// Standard deviation: its standard uncertainty.
    pub fn standard(&self) -> f64 {
        self.variance().sqrt()
    }

    /// Distribution function.
    pub fn cdf(&self, x: f64) -> f64 {
        let (low, high) = self.support();
        match *self {
            Self::Point { mean } => f64::from(x >= mean),
            Self::Normal { mean, sd } => normal_cdf((x - mean) / sd),
            Self::Lognormal { mean, cv } => Log::of(mean, cv).cdf(x),
            Self::StudentT { mean, scale, dof } => student_cdf((x - mean) / scale, dof),
            _ if x <= low => 0.0,
            _ if x >= high => 1.0,
            Self::TruncatedNormal { mu, sigma, min, max } => {
                Bounded::of(mu, sigma, min, max).cdf(x)
            }
            Self::Uniform { low, high } => (x - low) / (high - low),
            Self::Triangular { low, mode, high } if x <= mode => {
                (x - low) * (x - low) / ((high - low) * (mode - low))
            }
            Self::Triangular { low, mode, high } => {
                1.0 - (high - x) * (high - x) / ((high - low) * (high - mode))
            }
            Self::ArcSine { low, high } => {
                0.5 + libm::asin((2.0 * x - low - high) / (high - low)) / PI
            }
            Self::InexactUniform { low, high, inexact } => {
                let (w, d) = ((high - low) / 2.0, inexact);
                let t = x - f64::midpoint(low, high);
                let beyond = inexact_tail(t.abs(), w, d);
                if t < 0.0 { beyond } else { 1.0 - beyond }
            }
        }
    }

    /// The quantile: where the distribution function is `p`, for 0 < p < 1.
    pub fn quantile(&self, p: f64) -> f64 {
        match *self {
            Self::Point { mean } => mean,
            Self::Normal { mean, sd } => mean + sd * normal_quantile(p),
            Self::Lognormal { mean, cv } => {
                let log = Log::of(mean, cv);
                libm::exp(log.mu + log.variance.sqrt() * normal_quantile(p))
            }
            Self::TruncatedNormal { mu, sigma, min, max } => {
                let cut = Cut::of(mu, sigma, min, max);
                cut.quantile(p)
            }
            Self::Uniform { low, high } => low + p * (high - low),
            Self::Triangular { low, mode, high } => {
                let (width, rise) = (high - low, mode - low);
                if p * width <= rise {
                    low + (p * width * rise).sqrt()
                } else {
                    high - ((1.0 - p) * width * (high - mode)).sqrt()
                }
            }
            Self::ArcSine { low, high } => {
                f64::midpoint(low, high) + (high - low) / 2.0 * libm::sin(PI * (p - 0.5))
            }
            Self::StudentT { mean, scale, dof } => mean + scale * student_quantile(p, dof),
            Self::InexactUniform { low, high, inexact } => {
                let (middle, w) = (f64::midpoint(low, high), (high - low) / 2.0);
                let tail = p.min(1.0 - p);
                let far = bisect(0.0, w + inexact, |t| inexact_tail(t, w, inexact) < tail);
                if p < 0.5 { middle - far } else { middle + far }
            }
        }
    }

    /// E[Xᵏ], where a closed form or a quadrature gives it to at least ten digits.
    pub(super) fn moment(&self, k: i32) -> Option<f64> {
        match (*self, k) {
            (_, 0) => Some(1.0),
            (_, 1) => Some(self.mean()),
            (Self::Point { mean }, _) => Some(power(mean, k)).filter(|x| x.is_finite()),
            (Self::Lognormal { mean, cv }, _) => {
                let Log { mu, variance } = Log::of(mean, cv);
                let k = f64::from(k);
                Some(libm::exp(k * mu + k * k * variance / 2.0))
            }
            (_, 2) => {
                let mean = self.mean();
                Some(mean * mean + self.variance())
            }
            (Self::Normal { mean, sd }, 3..=12) => {
                let (mut before, mut at) = (1.0, mean);
                for j in 1..k {
                    (before, at) = (at, mean * at + f64::from(j) * sd * sd * before);
                }
                Some(at)
            }
            (
                Self::Normal { .. }
                | Self::StudentT { .. }
                | Self::ArcSine { .. }
                | Self::InexactUniform { .. },
                _,
            ) => None,
            (_, k) if k < 0 && self.lowest() <= 0.0 => None,
            (_, -6..=12) => Some(self.integral(|x| power(x, k))),
            _ => None,
        }
    }

    /// The distribution of `c` times the quantity; `None` where no shape here describes it.
    pub fn scaled(&self, c: f64) -> Option<Self> {
        if c < 0.0 {
            let flipped = match *self {
                Self::Triangular { low, mode, high } => {
                    Self::Triangular { low: -high, mode: -mode, high: -low }
                }
                Self::Uniform { low, high } => Self::Uniform { low: -high, high: -low },
                Self::ArcSine { low, high } => Self::ArcSine { low: -high, high: -low },
                Self::InexactUniform { low, high, inexact } => {
                    Self::InexactUniform { low: -high, high: -low, inexact }
                }
                Self::Normal { mean, sd } => Self::Normal { mean: -mean, sd },
                Self::StudentT { mean, scale, dof } => Self::StudentT { mean: -mean, scale, dof },
                Self::Point { mean } => Self::Point { mean: -mean },
                Self::TruncatedNormal { mu, sigma, min, max: Some(max) } => {
                    Self::TruncatedNormal { mu: -mu, sigma, min: -max, max: Some(-min) }
                }
                Self::TruncatedNormal { .. } | Self::Lognormal { .. } => return None,
            };
            return flipped.scaled(-c);
        }
        self.mapped(|x| c * x, |x| x).valid().ok()
    }

    /// With each parameter rounded to nine digits, as a record keeps it.
    #[must_use]
    pub fn rounded(&self) -> Self {
        self.mapped(round9, round9)
    }

    /// By how much [`Distribution::rounded`] may move the mean at most: no parameter moves it by more than it is moved
    /// itself, which is half a unit of the ninth digit. A check of a rounded distribution's mean allows for it.
    pub fn rounding_of_mean(&self) -> f64 {
        let sum = Cell::new(0.0);
        let moved = |x: f64| {
            sum.set(sum.get() + 5e-9 * x.abs());
            x
        };
        let _ = self.mapped(moved, |x| x);
        sum.get()
    }

    /// Over its mean. Lognormals of one `cv` give the same to the last bit, whatever their means, so that what is
    /// computed from it can be shared.
    #[must_use]
    pub fn over_mean(&self) -> Self {
        match *self {
            Self::Point { .. } => Self::Point { mean: 1.0 },
            Self::Lognormal { cv, .. } => Self::Lognormal { mean: 1.0, cv },
            other => {
                let by = 1.0 / other.mean();
                other.mapped(|x| x * by, |x| x)
            }
        }
    }

    /// With each parameter changed by `change`, those without a unit (`cv`, `dof`) by `pure`.
    fn mapped(&self, change: impl Fn(f64) -> f64, pure: impl Fn(f64) -> f64) -> Self {
        match *self {
            Self::Point { mean } => Self::Point { mean: change(mean) },
            Self::Normal { mean, sd } => Self::Normal { mean: change(mean), sd: change(sd) },
            Self::TruncatedNormal { mu, sigma, min, max } => Self::TruncatedNormal {
                mu: change(mu),
                sigma: change(sigma),
                min: change(min),
                max: max.map(change),
            },
            Self::Lognormal { mean, cv } => Self::Lognormal { mean: change(mean), cv: pure(cv) },
            Self::Uniform { low, high } => Self::Uniform { low: change(low), high: change(high) },
            Self::Triangular { low, mode, high } => {
                Self::Triangular { low: change(low), mode: change(mode), high: change(high) }
            }
            Self::ArcSine { low, high } => Self::ArcSine { low: change(low), high: change(high) },
            Self::StudentT { mean, scale, dof } => {
                Self::StudentT { mean: change(mean), scale: change(scale), dof: pure(dof) }
            }
            Self::InexactUniform { low, high, inexact } => Self::InexactUniform {
                low: change(low),
                high: change(high),
                inexact: change(inexact),
            },
        }
    }

    /// E[f(X)] for what has a bounded or normal density, by 64 Gauss–Legendre nodes on each side of
    /// its mode.
    fn integral(&self, f: impl Fn(f64) -> f64) -> f64 {
        let (low, high) = self.support();
        let mode = match *self {
            Self::Triangular { mode, .. } => mode,
            Self::TruncatedNormal { mu, .. } => mu,
            _ => low,
        };
        let (mut sum, mut mass) = (0.0, 0.0);
        for (a, b) in [(low, mode.clamp(low, high)), (mode.clamp(low, high), high)] {
            for (x, weight) in legendre_nodes(64) {
                let at = a + (b - a) / 2.0 * (x + 1.0);
                let weight = weight * (b - a) / 2.0 * self.density(at);
                sum += weight * f(at);
                mass += weight;
            }
        }
        sum / mass
    }

    /// The least value that it can take.
    pub(super) fn lowest(&self) -> f64 {
        match *self {
            Self::Point { mean } => mean,
            Self::Normal { .. } | Self::StudentT { .. } => f64::NEG_INFINITY,
            Self::TruncatedNormal { min, .. } => min,
            Self::Lognormal { .. } => 0.0,
            Self::Uniform { low, .. }
            | Self::Triangular { low, .. }
            | Self::ArcSine { low, .. } => low,
            Self::InexactUniform { low, inexact, .. } => low - inexact,
        }
    }

    /// Mean and variance of a thin slice of a normal, around its middle: by 64 Gauss–Legendre nodes, over
    /// which the density changes by less than a factor of exp(8.5·0.5).
    fn moments_of_slice(&self) -> Option<(f64, f64)> {
        let Self::TruncatedNormal { mu, sigma, min, max: Some(max) } = *self else { return None };
        if (max - min) / sigma >= SLICE {
            return None;
        }
        let (middle, half) = (f64::midpoint(min, max), (max - min) / 2.0);
        let (z, w) = ((middle - mu) / sigma, half / sigma);
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        for (t, weight) in legendre_nodes(64) {
            let weight = weight * libm::exp(-t * w * (z + t * w / 2.0));
            mass += weight;
            first += weight * t;
            second += weight * t * t;
        }
        let (first, second) = (first / mass, second / mass);
        Some((middle + half * first, half * half * (second - first * first)))
    }

    /// Where its density is worth integrating over.
    pub(super) fn support(&self) -> (f64, f64) {
        match *self {
            Self::Point { mean } | Self::Lognormal { mean, .. } => (mean, mean),
            Self::Normal { mean, sd } => (mean - TAIL * sd, mean + TAIL * sd),
            Self::TruncatedNormal { mu, sigma, min, max } => {
                // Beyond a bound z > 0, the density has fallen by exp(−TAIL²/2) at √(z² + TAIL²).
                let reach = |z: f64| if z > FAR { libm::hypot(z, TAIL) } else { TAIL };
                let high = mu + sigma * reach((min - mu) / sigma);
                let low = mu - sigma * max.map_or(TAIL, |max| reach((mu - max) / sigma));
                (min.max(low), max.map_or(high, |max| max.min(high)))
            }
            Self::Uniform { low, high }
            | Self::ArcSine { low, high }
            | Self::Triangular { low, high, .. } => (low, high),
            Self::InexactUniform { low, high, inexact } => (low - inexact, high + inexact),
            Self::StudentT { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// The density inside the support; not for point, t, arc sine and inexact limits, which are
    /// never integrated over.
    pub(super) fn density(&self, x: f64) -> f64 {
        match *self {
            Self::TruncatedNormal { mu, sigma, min, max } => {
                Bounded::of(mu, sigma, min, max).density(x)
            }
            Self::Normal { mean, sd } => normal_density((x - mean) / sd) / sd,
            Self::Uniform { low, high } => 1.0 / (high - low),
            // With the mode at the upper end, its density is that of the rise.
            Self::Triangular { low, mode, high } if x < mode || mode >= high => {
                2.0 * (x - low) / ((high - low) * (mode - low))
            }
            Self::Triangular { low, mode, high } => {
                2.0 * (high - x) / ((high - low) * (high - mode))
            }
            _ => 0.0,
        }
    }

    /// The density, and zero outside the support.
    pub(super) fn density_or_zero(&self, x: f64) -> f64 {
        let (low, high) = self.support();
        if x > low && x < high { self.density(x) } else { 0.0 }
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

impl Tails {
    fn of(mu: f64, sigma: f64, min: f64, max: Option<f64>) -> Self {
        let alpha = (min - mu) / sigma;
        let density_low = normal_density(alpha);
        let (density_high, moment_high, above) = max.map_or((0.0, 0.0, 0.0), |max| {
            let beta = (max - mu) / sigma;
            (normal_density(beta), beta * normal_density(beta), normal_cdf(-beta))
        });
        let mass = match max.map(|max| (max - mu) / sigma) {
            // All of it lies below the parent's mean, where 1 − Φ has too few digits.
            Some(beta) if beta < 0.0 => normal_cdf(beta) - normal_cdf(alpha),
            _ => normal_cdf(-alpha) - above,
        };
        Self { density_low, density_high, moment_low: alpha * density_low, moment_high, mass }
    }
}

/// A distribution made ready for many densities and probabilities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) distribution: Distribution,
    support: (f64, f64),
    bounded: Option<Bounded>,
}

impl Ready {
    pub(super) fn new(distribution: Distribution) -> Self {
        let bounded = match distribution {
            Distribution::TruncatedNormal { mu, sigma, min, max } => {
                Some(Bounded::of(mu, sigma, min, max))
            }
            _ => None,
        };
        Self { distribution, support: distribution.support(), bounded }
    }

    /// Distribution function.
    pub(super) fn cdf(&self, x: f64) -> f64 {
        match &self.bounded {
            Some(_) if x <= self.support.0 => 0.0,
            Some(_) if x >= self.support.1 => 1.0,
            Some(bounded) => bounded.cdf(x),
            None => self.distribution.cdf(x),
        }
    }

    /// The density, zero outside the support. At a bound, which rounding may miss, it is the one inside.
    pub(super) fn density(&self, x: f64) -> f64 {
        let (low, high) = self.support;
        let slack = 1e-12 * (high - low);
        if !(x >= low - slack && x <= high + slack) {
            return 0.0;
        }
        let x = x.clamp(low, high);
        self.bounded.map_or_else(|| self.distribution.density(x), |bounded| bounded.density(x))
    }
}

/// A truncated normal made ready for many densities and probabilities.
#[derive(Debug, Clone, Copy)]
struct Bounded {
    mu: f64,
    sigma: f64,
    /// Whether the upper tails are what is exact: far out.
    far: bool,
    /// The parent's probability beyond the lower bound on that side.
    cut: f64,
    mass: f64,
    slice: Option<Slice>,
}

impl Bounded {
    fn of(mu: f64, sigma: f64, min: f64, max: Option<f64>) -> Self {
        let alpha = (min - mu) / sigma;
        let far = alpha > FAR;
        let cut = normal_cdf(if far { -alpha } else { alpha });
        let mass = Tails::of(mu, sigma, min, max).mass;
        Self { mu, sigma, far, cut, mass, slice: Slice::of(mu, sigma, min, max) }
    }

    fn cdf(&self, x: f64) -> f64 {
        if let Some(slice) = self.slice {
            return slice.cdf(x);
        }
        let z = (x - self.mu) / self.sigma;
        let part = if self.far { self.cut - normal_cdf(-z) } else { normal_cdf(z) - self.cut };
        part / self.mass
    }

    fn density(&self, x: f64) -> f64 {
        normal_density((x - self.mu) / self.sigma) / (self.sigma * self.mass)
    }
}

/// A truncated normal made ready for many quantiles, on the side where its probabilities are small
/// and therefore exact.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    mu: f64,
    /// Standard deviation of the parent; negative when it is looked at from above.
    sigma: f64,
    below: f64,
    mass: f64,
    min: f64,
    max: f64,
    sliver: Option<Slice>,
}

/// A slice of a normal that is thinner than [`SLIVER`]: an exponential.
#[derive(Debug, Clone, Copy)]
struct Slice {
    min: f64,
    width: f64,
    /// Logarithm of the density at `min` over that at the other end.
    tilt: f64,
}

impl Slice {
    fn of(mu: f64, sigma: f64, min: f64, max: Option<f64>) -> Option<Self> {
        let width = max? - min;
        let w = width / sigma;
        let tilt = w * (((min - mu) / sigma) + w / 2.0);
        (w < SLIVER).then_some(Self { min, width, tilt })
    }

    fn cdf(self, x: f64) -> f64 {
        let t = (x - self.min) / self.width;
        if self.tilt.abs() < 1e-12 {
            t
        } else {
            libm::expm1(-t * self.tilt) / libm::expm1(-self.tilt)
        }
    }

    fn quantile(self, p: f64) -> f64 {
        let tilt = self.tilt;
        let t = if tilt.abs() < 1e-12 { p } else { -libm::log1p(p * libm::expm1(-tilt)) / tilt };
        self.min + self.width * t
    }
}

impl Cut {
    pub(super) fn of(mu: f64, sigma: f64, min: f64, max: Option<f64>) -> Self {
        let sliver = Slice::of(mu, sigma, min, max);
        let max = max.unwrap_or(f64::INFINITY);
        let (alpha, beta) = ((min - mu) / sigma, (max - mu) / sigma);
        // With most of the parent cut off below, its upper tail is what is left.
        let (sigma, low, high) =
            if alpha > 0.0 { (-sigma, -beta, -alpha) } else { (sigma, alpha, beta) };
        let below = normal_cdf(low);
        let mass = normal_cdf(high) - below;
        Self { mu, sigma, below, mass, min, max, sliver }
    }

    #[inline]
    pub(super) fn quantile(&self, p: f64) -> f64 {
        if let Some(sliver) = self.sliver {
            return sliver.quantile(p).clamp(self.min, self.max);
        }
        let p = if self.sigma < 0.0 { 1.0 - p } else { p };
        let x = self.mu + self.sigma * normal_quantile(self.below + p * self.mass);
        x.clamp(self.min, self.max)
    }
}

/// A lognormal by the mean and standard deviation of its logarithm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    pub(super) mu: f64,
    pub(super) variance: f64,
}

impl Log {
    pub(super) fn of(mean: f64, cv: f64) -> Self {
        let variance = libm::log1p(cv * cv);
        Self { mu: libm::log(mean) - variance / 2.0, variance }
    }

    pub(super) fn cdf(self, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        normal_cdf((libm::log(x) - self.mu) / self.variance.sqrt())
    }
}

/// Probability beyond `t` ≥ 0 of the curvilinear trapezoid with semi-width `w` ± `d` around 0: its
/// density (JCGM 101, 6.4.3.2) is ln((w + d)/max(t, w − d)) / 4d.
fn inexact_tail(t: f64, w: f64, d: f64) -> f64 {
    if t >= w + d {
        return 0.0;
    }
    let inner = w - d;
    // ∫ ln((w + d)/t) dt = t·ln((w + d)/t) + t.
    let primitive = |t: f64| if t > 0.0 { t * libm::log((w + d) / t) + t } else { 0.0 };
    let flat = (inner - t).max(0.0) * libm::log((w + d) / inner);
    (flat + (w + d) - primitive(t.max(inner))) / (4.0 * d)
}

/// The least `x` in `[low, high]` for which `above` holds, to the last bit or nearly.
fn bisect(mut low: f64, mut high: f64, above: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if above(middle) { high = middle } else { low = middle }
    }
    f64::midpoint(low, high)
}

/// Distribution function of t with `dof` degrees of freedom (Abramowitz and Stegun, 26.7.1).
fn student_cdf(t: f64, dof: f64) -> f64 {
    let tail = incomplete_beta(dof / 2.0, 0.5, dof / (dof + t * t)) / 2.0;
    if t < 0.0 { tail } else { 1.0 - tail }
}

fn student_quantile(p: f64, dof: f64) -> f64 {
    let tail = p.min(1.0 - p);
    let mut reach = 1.0;
    while student_cdf(-reach, dof) > tail && reach < 1e300 {
        reach *= 2.0;
    }
    let t = bisect(0.0, reach, |t| student_cdf(-t, dof) < tail);
    if p < 0.5 { -t } else { t }
}

/// Regularised incomplete beta function by its continued fraction (Press et al., Numerical Recipes,
/// 6.4), evaluated by Lentz's method.
#[expect(clippy::many_single_char_names, reason = "of the formula")]
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b)
        + a * libm::log(x)
        + b * libm::log1p(-x);
    let mut d = 1.0 / (1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut value) = (1.0, d);
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / (1.0 + even * d);
        c = 1.0 + even / c;
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / (1.0 + odd * d);
        c = 1.0 + odd / c;
        let step = d * c;
        value *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    libm::exp(front) * value / a
}

/// xᵏ by repeated multiplication: `powi` may differ between machines.
pub(super) fn power(x: f64, k: i32) -> f64 {
    let mut result = 1.0;
    for _ in 0..k.unsigned_abs() {
        result *= x;
    }
    if k < 0 { 1.0 / result } else { result }
}

#[cfg(test)]
mod tests;
