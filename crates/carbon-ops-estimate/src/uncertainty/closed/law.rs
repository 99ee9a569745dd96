//! A distribution on the way to a result: an input, what several join to in closed form, or a table.
//!
//! Out of scope: joining (`join`), and which law follows from which expression.

use std::rc::Rc;

use super::table::{CUT, Range, SIGNS, Side, Table};
use crate::uncertainty::distribution::{Distribution, Log, Ready};
use crate::uncertainty::normal::{normal_cdf, normal_density, normal_quantile};

/// A distribution on the way.
#[derive(Clone)]
pub(super) enum Law {
    Point(f64),
    Log(Log),
    Normal(f64, f64),
    Leaf(Ready),
    Table(Table),
}

impl Law {
    pub(super) fn of(distribution: Distribution) -> Self {
        match distribution {
            Distribution::Point { mean } => Self::Point(mean),
            Distribution::Lognormal { mean, cv } => Self::Log(Log::of(mean, cv)),
            Distribution::Normal { mean, sd } => Self::Normal(mean, sd),
            other => Self::Leaf(Ready::new(other)),
        }
    }

    /// Whether it has a density that quadrature can follow.
    pub(super) fn integrable(&self) -> bool {
        !matches!(
            self,
            Self::Leaf(Ready {
                distribution: Distribution::ArcSine { .. }
                    | Distribution::StudentT { .. }
                    | Distribution::InexactUniform { .. },
                ..
            })
        )
    }

    /// Whether it has no part below zero that could be seen.
    pub(super) fn positive(&self) -> bool {
        match self {
            Self::Point(x) => *x > 0.0,
            Self::Log(_) => true,
            Self::Normal(mean, sd) => normal_cdf(-mean / sd) < CUT,
            Self::Leaf(leaf) => leaf.distribution.lowest() >= 0.0,
            Self::Table(table) => table.below() <= 0.0,
        }
    }

    /// The probability below zero.
    pub(super) fn below(&self) -> f64 {
        if self.positive() { 0.0 } else { self.at(0.0).0 }
    }

    pub(super) fn scaled(&self, c: f64, fineness: f64) -> Self {
        #[expect(clippy::float_cmp, reason = "exactly one changes nothing")]
        if c == 1.0 {
            return self.clone();
        }
        let table = || Self::Table(self.tabulated(fineness).scaled(c));
        match self {
            Self::Point(x) => Self::Point(c * x),
            Self::Log(Log { mu, variance }) if c > 0.0 => {
                Self::Log(Log { mu: mu + libm::log(c), variance: *variance })
            }
            Self::Normal(mean, sd) => Self::Normal(c * mean, c.abs() * sd),
            Self::Leaf(leaf) => {
                leaf.distribution.scaled(c).map_or_else(table, |law| Self::Leaf(Ready::new(law)))
            }
            Self::Log(_) | Self::Table(_) => table(),
        }
    }

    pub(super) fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Point(x) => *x,
            Self::Log(log) => libm::exp(log.mu + log.variance.sqrt() * normal_quantile(p)),
            Self::Normal(mean, sd) => mean + sd * normal_quantile(p),
            Self::Leaf(leaf) => leaf.distribution.quantile(p),
            Self::Table(table) => table.quantile(p),
        }
    }

    /// Half of the central 68 %.
    pub(super) fn width(&self) -> f64 {
        (self.quantile(0.84) - self.quantile(0.16)) / 2.0
    }

    /// The same of the logarithm of the magnitude, on the side of zero that has more of it.
    pub(super) fn log_width(&self) -> f64 {
        match self {
            Self::Log(log) => log.variance.sqrt(),
            _ => self.range(self.below() <= 0.5).map_or(0.0, |range| range.width),
        }
    }

    /// Distribution function and density at x.
    pub(super) fn at(&self, x: f64) -> (f64, f64) {
        match self {
            Self::Point(value) => (f64::from(x >= *value), 0.0),
            Self::Log(_) if x <= 0.0 => (0.0, 0.0),
            Self::Log(log) => {
                let s = log.variance.sqrt();
                let z = (libm::log(x) - log.mu) / s;
                (normal_cdf(z), normal_density(z) / (s * x))
            }
            Self::Normal(mean, sd) => {
                let z = (x - mean) / sd;
                (normal_cdf(z), normal_density(z) / sd)
            }
            Self::Leaf(leaf) => (leaf.cdf(x), leaf.density(x)),
            Self::Table(table) => table.at(x),
        }
    }

    /// Distribution function alone.
    pub(super) fn cdf(&self, x: f64) -> f64 {
        match self {
            Self::Log(log) => log.cdf(x),
            Self::Normal(mean, sd) => normal_cdf((x - mean) / sd),
            Self::Leaf(leaf) => leaf.cdf(x),
            Self::Point(_) | Self::Table(_) => self.at(x).0,
        }
    }

    /// The probability between zero and e^t on one side of it, and its derivative by t.
    pub(super) fn mass(&self, above: bool, below: f64, t: f64) -> (f64, f64) {
        if let Self::Log(log) = self {
            let s = log.variance.sqrt();
            let z = (t - log.mu) / s;
            return (normal_cdf(z), normal_density(z) / s);
        }
        let magnitude = libm::exp(t);
        let (p, density) = self.at(if above { magnitude } else { -magnitude });
        (if above { p - below } else { below - p }, density * magnitude)
    }

    /// Where its density jumps or bends.
    pub(super) fn breaks(&self) -> Vec<f64> {
        match self {
            Self::Leaf(Ready { distribution: leaf, .. }) => {
                let (low, high) = leaf.support();
                let mut breaks = vec![low, high];
                if let Distribution::Triangular { mode, .. } = leaf {
                    breaks.push(*mode);
                }
                // A bound that the density hardly reaches is none.
                let seen = |x: &f64| {
                    let inside =
                        if *x > low { x - 1e-9 * (high - low) } else { x + 1e-9 * (high - low) };
                    leaf.density_or_zero(inside) * leaf.standard() > 1e-7
                        || matches!(leaf, Distribution::Triangular { .. })
                };
                breaks.retain(seen);
                breaks
            }
            Self::Table(table) => table.breaks.clone(),
            Self::Point(_) | Self::Log(_) | Self::Normal(..) => Vec::new(),
        }
    }

    /// Where almost all of it lies on one side of zero; `None` where almost nothing does.
    pub(super) fn range(&self, above: bool) -> Option<Range> {
        if let Self::Table(table) = self {
            return table.side(above).map(|side| side.range);
        }
        let below = self.below();
        let weight = if above { 1.0 - below } else { below };
        if weight <= 2.0 * CUT {
            return None;
        }
        let to = |x: f64| libm::log(x.max(f64::MIN_POSITIVE));
        let at =
            |q: f64| to(if above { self.quantile(below + q) } else { -self.quantile(below - q) });
        let width = (at(0.84 * weight) - at(0.16 * weight)) / 2.0;
        let (mut low, mut high) = (at(CUT), at(weight - CUT));
        if let Self::Leaf(Ready { distribution: leaf, .. }) = self {
            // The bounds themselves, where they are near: a jump is then the end of the range.
            let (least, most) = leaf.support();
            let (least, most) = if above { (least, most) } else { (-most, -least) };
            let near = |at: f64, bound: f64| (at - bound).abs() < width * 1e-3;
            if least > 0.0 && near(low, to(least)) {
                low = to(least);
            }
            if near(high, to(most)) {
                high = to(most);
            }
        }
        Some(Range { low, high, width, weight })
    }

    /// Its table.
    pub(super) fn tabulated(&self, fineness: f64) -> Table {
        if let Self::Table(table) = self {
            return table.clone();
        }
        let below = self.below();
        let side = |above: bool| {
            // A cubic does not follow the peak of a triangle: it ends one grid and begins the next.
            let peak = match self {
                Self::Leaf(Ready {
                    distribution: Distribution::Triangular { mode, .. }, ..
                }) => libm::log(if above { *mode } else { -*mode }),
                _ => f64::NAN,
            };
            let law = self.clone();
            let mass = Rc::new(move |t| law.mass(above, below, t));
            Some(Side::new(self.range(above)?, fineness, peak, mass))
        };
        Table { sides: SIGNS.map(side), breaks: self.breaks() }
    }
}
