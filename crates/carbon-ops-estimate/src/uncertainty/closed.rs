//! The closed form: quantiles of sums and products of independent inputs, by integration instead of
//! sampling.
//!
//! Lognormal factors multiply to one lognormal, normal terms add to one normal. What remains is
//! joined one by one, the widest first. With X already joined and N the next,
//!
//! ```text
//! product: F(y) = ∫ f_N(n) F_X(y/n) dn        sum: F(y) = ∫ f_N(n) F_X(y − n) dn
//! ```
//!
//! by Gauss–Legendre quadrature over N, in ln n where N is positive. Where the density of X jumps,
//! the range is cut at the n that carries the jump. The result is tabulated with its density and
//! interpolated by cubics, so that the cost grows with the number of inputs and not with a power of
//! it. The last join is not tabulated: quantiles follow from it by Newton's method inside a bracket.
//!
//! Out of scope: moments (`polynomial`), inputs that are not independent (Monte Carlo).

use std::sync::OnceLock;

use super::distribution::{Distribution, Log};
use super::model::{Expression, Input};
use super::normal::{normal_cdf, normal_density, normal_quantile};
use super::polynomial::Polynomial;
use super::quadrature::legendre_nodes;

/// Why a model has no closed form here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// Inputs with one key have different distributions or signs.
    #[error("inputs of one shared key have different distributions or signs")]
    Tied,
    /// A quotient of sums, or too many terms.
    #[error("the expression is no sum of products")]
    Expression,
    /// A moment without a closed form.
    #[error("an input has no closed moment of the order that is needed")]
    Moments,
    /// An input occurs in several terms and cannot be taken out of them.
    #[error("an input occurs in several terms and is no common factor")]
    Repeated,
    /// A distribution, power or sign that is not integrated over.
    #[error("an input's distribution, power or sign is not one that is integrated over")]
    Shape,
}

/// The ends of an interval.
pub(super) struct Ends {
    pub(super) low: f64,
    pub(super) high: f64,
    /// What halving the resolution changes.
    pub(super) error: Option<f64>,
}

/// Probabilities below are cut off at both ends of what is integrated over.
const CUT: f64 = 1e-11;

/// Cells of a table per half of its central 68 %: the cubics are then exact to 1e-9.
const CELLS: f64 = 24.0;

/// Nodes of a range per half of its central 68 %.
const NODES: f64 = 3.0;

/// Probabilities at which the range of a joined law is cut into parts with nodes of their own.
const PARTS: [f64; 7] = [1e-3, 0.025, 0.16, 0.5, 0.84, 0.975, 0.999];

/// More bends than three pairs of bounds make come from sums of sums of sums, and are smooth.
const BENDS_MAX: usize = 8;

/// Up to so many inputs that are not lognormal, in a product, the error is known from the tests.
const PLAIN: usize = 3;

/// The probabilistically symmetric interval.
pub(super) fn interval(
    expression: &Expression,
    polynomial: &Polynomial,
    inputs: &[Input],
    level: f64,
) -> Result<Ends, NotClosed> {
    let factored = ready(expression, polynomial, inputs)?;
    let expression = factored.as_ref().unwrap_or(expression);
    let tail = (1.0 - level) / 2.0;
    let at = |fineness: f64| -> Result<(f64, f64), NotClosed> {
        let last = Closed { inputs, fineness }.last(expression)?;
        Ok((last.quantile(tail), last.quantile(1.0 - tail)))
    };
    let (low, high) = at(1.0)?;
    let error = if plain(expression, inputs) {
        None
    } else {
        let (coarse_low, coarse_high) = at(0.5)?;
        Some((low - coarse_low).abs().max((high - coarse_high).abs()))
    };
    Ok(Ends { low, high, error })
}

/// The probability of at most `x`.
pub(super) fn probability(
    expression: &Expression,
    polynomial: &Polynomial,
    inputs: &[Input],
    x: f64,
) -> Result<f64, NotClosed> {
    let factored = ready(expression, polynomial, inputs)?;
    let expression = factored.as_ref().unwrap_or(expression);
    Ok(match (Closed { inputs, fineness: 1.0 }).last(expression)? {
        Last::Law(law) => law.at(x).0,
        Last::Join(join) if join.logarithmic() && x <= 0.0 => 0.0,
        Last::Join(join) if join.logarithmic() => join.at(libm::log(x)).0,
        Last::Join(join) => join.at(x).0,
    })
}

/// The expression with each uncertain input once; `None` where it is so already.
fn ready(
    expression: &Expression,
    polynomial: &Polynomial,
    inputs: &[Input],
) -> Result<Option<Expression>, NotClosed> {
    let uncertain =
        |index| inputs.get(index).is_none_or(|input: &Input| !input.distribution.is_point());
    if expression.has_each_once(uncertain) {
        return Ok(None);
    }
    polynomial.factored().map(Some).ok_or(NotClosed::Repeated)
}

/// A product with few inputs that are not lognormal.
fn plain(expression: &Expression, inputs: &[Input]) -> bool {
    let (mut others, mut sums) = (0, false);
    expression.each_input(&mut |index| {
        let shape = inputs.get(index).map(|input| input.distribution);
        let easy =
            matches!(shape, Some(Distribution::Lognormal { .. } | Distribution::Point { .. }));
        others += usize::from(!easy);
    });
    let mut stack = vec![expression];
    while let Some(part) = stack.pop() {
        match part {
            Expression::Sum(_) => sums = true,
            Expression::Product(parts) => stack.extend(parts),
            Expression::Power(base, _) => stack.push(base),
            Expression::Constant(_) | Expression::Input(_) => {}
        }
    }
    others <= PLAIN && !sums
}

/// A distribution on the way.
#[derive(Debug, Clone)]
enum Law {
    Point(f64),
    Log(Log),
    Normal(f64, f64),
    Leaf(Distribution),
    Table(Table),
}

/// What comes out: a law, or the join of two that is not tabulated.
enum Last {
    Law(Law),
    Join(Join),
}

struct Closed<'i> {
    inputs: &'i [Input],
    fineness: f64,
}

impl Closed<'_> {
    fn law(&self, expression: &Expression) -> Result<Law, NotClosed> {
        Ok(match self.last(expression)? {
            Last::Law(law) => law,
            Last::Join(join) => Law::Table(join.tabulated(self.fineness)),
        })
    }

    fn last(&self, expression: &Expression) -> Result<Last, NotClosed> {
        match expression {
            Expression::Constant(value) => Ok(Last::Law(Law::Point(*value))),
            Expression::Input(index) => {
                #[expect(clippy::indexing_slicing, reason = "a model's indices name its inputs")]
                let input = &self.inputs[*index];
                Ok(Last::Law(Law::of(input.distribution)))
            }
            Expression::Power(base, k) => match self.law(base)? {
                law if *k == 1 => Ok(Last::Law(law)),
                Law::Point(x) => Ok(Last::Law(Law::Point(super::model::power(x, *k)))),
                Law::Log(Log { mu, variance }) => {
                    let k = f64::from(*k);
                    Ok(Last::Law(Law::Log(Log { mu: k * mu, variance: k * k * variance })))
                }
                _ => Err(NotClosed::Shape),
            },
            Expression::Product(parts) => self
                .product(&parts.iter().map(|part| self.law(part)).collect::<Result<Vec<_>, _>>()?),
            Expression::Sum(parts) => {
                self.sum(&parts.iter().map(|part| self.law(part)).collect::<Result<Vec<_>, _>>()?)
            }
        }
    }

    fn product(&self, parts: &[Law]) -> Result<Last, NotClosed> {
        let mut constant = 1.0;
        let mut log: Option<Log> = None;
        let mut rest = Vec::new();
        for part in parts {
            match part {
                Law::Point(x) => constant *= x,
                Law::Log(next) => {
                    let Log { mu, variance } = log.unwrap_or(Log { mu: 0.0, variance: 0.0 });
                    log = Some(Log { mu: mu + next.mu, variance: variance + next.variance });
                }
                other => rest.push(other.clone()),
            }
        }
        if constant == 0.0 {
            return Ok(Last::Law(Law::Point(0.0)));
        }
        rest.extend(log.map(Law::Log));
        // The constant goes to the one that takes any sign, or to the first.
        let taker = rest.iter().position(|law| !law.positive()).unwrap_or(0);
        match rest.get_mut(taker) {
            Some(law) => *law = law.scaled(constant)?,
            None => return Ok(Last::Law(Law::Point(constant))),
        }
        if rest.iter().filter(|law| !law.positive()).count() > 1 {
            return Err(NotClosed::Shape);
        }
        self.joined(rest, Operation::Product)
    }

    fn sum(&self, parts: &[Law]) -> Result<Last, NotClosed> {
        let mut constant = 0.0;
        let mut normal: Option<(f64, f64)> = None;
        let mut rest = Vec::new();
        for part in parts {
            match part {
                Law::Point(x) => constant += x,
                Law::Normal(mean, sd) => {
                    let (m, s) = normal.unwrap_or((0.0, 0.0));
                    normal = Some((m + mean, libm::hypot(s, *sd)));
                }
                other => rest.push(other.clone()),
            }
        }
        if let Some((mean, sd)) = normal {
            rest.push(Law::Normal(mean + constant, sd));
            constant = 0.0;
        }
        if rest.is_empty() {
            return Ok(Last::Law(Law::Point(constant)));
        }
        if constant != 0.0 {
            rest.push(Law::Point(constant));
        }
        self.joined(rest, Operation::Sum)
    }

    /// Joins laws one by one, the widest first; of a product, the one of any sign first.
    fn joined(&self, mut laws: Vec<Law>, operation: Operation) -> Result<Last, NotClosed> {
        if let [law] = laws.as_slice() {
            return Ok(Last::Law(law.clone()));
        }
        let width = |law: &Law| match operation {
            Operation::Product if !law.positive() => f64::INFINITY,
            Operation::Product => law.log_width(),
            Operation::Sum => law.width(),
        };
        if laws.iter().any(|law| !law.integrable()) {
            return Err(NotClosed::Shape);
        }
        laws.sort_by(|a, b| width(b).total_cmp(&width(a)));
        let mut laws = laws.into_iter();
        let mut wide = Table::of(&laws.next().ok_or(NotClosed::Shape)?, self.fineness);
        let mut next = laws.next();
        while let Some(law) = next {
            let join = Join { wide, narrow: Narrow::of(&law, self.fineness), operation };
            next = laws.next();
            if next.is_none() {
                return Ok(Last::Join(join));
            }
            wide = join.tabulated(self.fineness);
        }
        Ok(Last::Law(Law::Table(wide)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Product,
    Sum,
}

impl Law {
    fn of(distribution: Distribution) -> Self {
        match distribution {
            Distribution::Point { mean } => Self::Point(mean),
            Distribution::Lognormal { mean, cv } => Self::Log(Log::of(mean, cv)),
            Distribution::Normal { mean, sd } => Self::Normal(mean, sd),
            other => Self::Leaf(other),
        }
    }

    /// Whether it has a density that quadrature can follow.
    fn integrable(&self) -> bool {
        !matches!(
            self,
            Self::Leaf(
                Distribution::ArcSine { .. }
                    | Distribution::StudentT { .. }
                    | Distribution::InexactUniform { .. }
            )
        )
    }

    /// Whether it has no part below zero that could be seen.
    fn positive(&self) -> bool {
        match self {
            Self::Point(x) => *x > 0.0,
            Self::Log(_) => true,
            Self::Normal(mean, sd) => normal_cdf(-mean / sd) < CUT,
            Self::Leaf(leaf) => leaf.lowest() >= 0.0,
            Self::Table(table) => table.logarithmic,
        }
    }

    fn scaled(&self, c: f64) -> Result<Self, NotClosed> {
        #[expect(clippy::float_cmp, reason = "exactly one changes nothing")]
        if c == 1.0 {
            return Ok(self.clone());
        }
        Ok(match self {
            Self::Point(x) => Self::Point(c * x),
            Self::Log(Log { mu, variance }) if c > 0.0 => {
                Self::Log(Log { mu: mu + libm::log(c), variance: *variance })
            }
            Self::Normal(mean, sd) => Self::Normal(c * mean, c.abs() * sd),
            Self::Leaf(leaf) => Self::Leaf(leaf.scaled(c).ok_or(NotClosed::Shape)?),
            Self::Table(table) if c > 0.0 => Self::Table(table.scaled(c)),
            _ => return Err(NotClosed::Shape),
        })
    }

    fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Point(x) => *x,
            Self::Log(log) => libm::exp(log.mu + log.variance.sqrt() * normal_quantile(p)),
            Self::Normal(mean, sd) => mean + sd * normal_quantile(p),
            Self::Leaf(leaf) => leaf.quantile(p),
            Self::Table(table) => table.quantile(p),
        }
    }

    /// Half of the central 68 %.
    fn width(&self) -> f64 {
        (self.quantile(0.84) - self.quantile(0.16)) / 2.0
    }

    fn log_width(&self) -> f64 {
        match self {
            Self::Log(log) => log.variance.sqrt(),
            _ => (libm::log(self.quantile(0.84)) - libm::log(self.quantile(0.16))) / 2.0,
        }
    }

    /// Distribution function and density at x.
    fn at(&self, x: f64) -> (f64, f64) {
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
            Self::Leaf(leaf) => {
                // At a bound, which rounding may miss, the density is the one inside.
                let (low, high) = leaf.support();
                let slack = 1e-12 * (high - low);
                let inside = x >= low - slack && x <= high + slack;
                let density = if inside { leaf.density(x.clamp(low, high)) } else { 0.0 };
                (leaf.cdf(x), density)
            }
            Self::Table(table) => table.at(x),
        }
    }

    /// Where its density jumps or bends.
    fn breaks(&self) -> Vec<f64> {
        match self {
            Self::Leaf(leaf) => {
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

    /// Coordinates between which almost all of it lies, and half of its central 68 % there.
    fn range(&self, logarithmic: bool) -> (f64, f64, f64) {
        let to = |x: f64| if logarithmic { libm::log(x.max(f64::MIN_POSITIVE)) } else { x };
        if let Self::Table(table) = self
            && table.logarithmic == logarithmic
        {
            return (table.low(), table.high(), table.width);
        }
        let width = (to(self.quantile(0.84)) - to(self.quantile(0.16))) / 2.0;
        let (mut low, mut high) = (to(self.quantile(CUT)), to(self.quantile(1.0 - CUT)));
        if let Self::Leaf(leaf) = self {
            // The bounds themselves, where they are near: a jump is then the end of the range.
            let (least, most) = leaf.support();
            let near = |at: f64, bound: f64| (at - bound).abs() < width * 1e-3;
            if to(least).is_finite() && near(low, to(least)) {
                low = to(least);
            }
            if near(high, to(most)) {
                high = to(most);
            }
        }
        (low, high, width)
    }
}

/// A distribution function and its density, with cubics in between.
#[derive(Debug, Clone)]
struct Table {
    /// Whether the coordinate is the logarithm.
    logarithmic: bool,
    /// Half of the central 68 %, in the coordinate.
    width: f64,
    /// In order; one follows the other where the density bends.
    grids: Vec<Grid>,
    breaks: Vec<f64>,
}

/// Equidistant coordinates.
#[derive(Debug, Clone)]
struct Grid {
    low: f64,
    step: f64,
    /// Distribution function and derivative by the coordinate.
    points: Vec<(f64, f64)>,
}

impl Grid {
    fn filled(low: f64, high: f64, cells: usize, at: impl Fn(f64) -> (f64, f64)) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let step = (high - low) / cells as f64;
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let points = (0..=cells).map(|i| at(low + step * i as f64)).collect();
        Self { low, step, points }
    }

    fn high(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let cells = self.points.len().saturating_sub(1) as f64;
        self.low + self.step * cells
    }
}

impl Table {
    fn of(law: &Law, fineness: f64) -> Self {
        if let Law::Table(table) = law {
            return table.clone();
        }
        let logarithmic = law.positive();
        let (low, high, width) = law.range(logarithmic);
        // A cubic does not follow the peak of a triangle: it ends one grid and begins the next.
        let peak = match law {
            Law::Leaf(Distribution::Triangular { mode, .. }) if logarithmic => libm::log(*mode),
            Law::Leaf(Distribution::Triangular { mode, .. }) => *mode,
            _ => f64::NAN,
        };
        let at = |t: f64| {
            if logarithmic {
                let x = libm::exp(t);
                let (p, density) = law.at(x);
                (p, density * x)
            } else {
                law.at(t)
            }
        };
        Self::filled(logarithmic, (low, high, width), (fineness, peak), law.breaks(), at)
    }

    /// `peak` is cut at where it is inside of the range.
    fn filled(
        logarithmic: bool,
        (low, high, width): (f64, f64, f64),
        (fineness, peak): (f64, f64),
        breaks: Vec<f64>,
        at: impl Fn(f64) -> (f64, f64),
    ) -> Self {
        let fill = |low: f64, high: f64| {
            Grid::filled(low, high, count((high - low) / width * CELLS * fineness, 64, 2048), &at)
        };
        let grids = if low < peak && peak < high {
            vec![fill(low, peak), fill(peak, high)]
        } else {
            vec![fill(low, high)]
        };
        Self { logarithmic, width, grids, breaks }
    }

    fn low(&self) -> f64 {
        self.grids.first().map_or(f64::NAN, |grid| grid.low)
    }

    fn high(&self) -> f64 {
        self.grids.last().map_or(f64::NAN, Grid::high)
    }

    fn scaled(&self, c: f64) -> Self {
        let mut scaled = self.clone();
        if !self.logarithmic {
            scaled.width *= c;
        }
        for grid in &mut scaled.grids {
            if self.logarithmic {
                grid.low += libm::log(c);
                continue;
            }
            (grid.low, grid.step) = (c * grid.low, c * grid.step);
            for (_, slope) in &mut grid.points {
                *slope /= c;
            }
        }
        for x in &mut scaled.breaks {
            *x *= c;
        }
        scaled
    }

    /// Distribution function and derivative at a coordinate.
    #[inline]
    #[expect(clippy::many_single_char_names, reason = "of the formula")]
    fn at_coordinate(&self, t: f64) -> (f64, f64) {
        let grid = match self.grids.as_slice() {
            [_, second] if t >= second.low => second,
            [first, ..] => first,
            [] => return (f64::NAN, f64::NAN),
        };
        let place = (t - grid.low) / grid.step;
        if place <= 0.0 {
            return (0.0, 0.0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive; saturates"
        )]
        let cell = place as usize;
        let (Some(&(p, f)), Some(&(q, g))) = (grid.points.get(cell), grid.points.get(cell + 1))
        else {
            return (1.0, 0.0);
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let s = place - cell as f64;
        // Hermite's cubic and its derivative.
        let (f, g, rise) = (f * grid.step, g * grid.step, q - p);
        let (a, b) = (3.0 * rise - 2.0 * f - g, f + g - 2.0 * rise);
        (p + s * (f + s * (a + s * b)), (f + s * (2.0 * a + 3.0 * s * b)) / grid.step)
    }

    fn at(&self, x: f64) -> (f64, f64) {
        if !self.logarithmic {
            return self.at_coordinate(x);
        }
        if x <= 0.0 {
            return (0.0, 0.0);
        }
        let (p, slope) = self.at_coordinate(libm::log(x));
        (p, slope / x)
    }

    fn quantile(&self, p: f64) -> f64 {
        let t = root(self.low(), self.high(), p, |t| self.at_coordinate(t));
        if self.logarithmic { libm::exp(t) } else { t }
    }
}

/// A law to be integrated over: nodes in its coordinate.
struct Narrow {
    law: Law,
    logarithmic: bool,
    low: f64,
    high: f64,
    width: f64,
    fineness: f64,
    /// Breaks in its coordinate, ends of the range included.
    pieces: Vec<f64>,
    nodes: Vec<Node>,
}

struct Node {
    x: f64,
    ln: f64,
    weight: f64,
}

impl Narrow {
    fn of(law: &Law, fineness: f64) -> Self {
        let (logarithmic, (low, high, width)) = match law {
            Law::Point(x) => (false, (*x, *x, 0.0)),
            _ => (law.positive(), law.range(law.positive())),
        };
        let mut pieces = vec![low, high];
        if let Law::Table(table) = law {
            // What was joined already may fall off within a small part of its range: a rectangle whose
            // ends are not quite sharp, an end that is far away in the logarithm.
            let to = |p: f64| root(low, high, p, |t| table.at_coordinate(t));
            pieces.extend(PARTS.map(to).into_iter().filter(|&t| t > low && t < high));
        }
        for x in law.breaks() {
            let t = if logarithmic { libm::log(x.max(f64::MIN_POSITIVE)) } else { x };
            if t > low && t < high {
                pieces.push(t);
            }
        }
        pieces.sort_by(f64::total_cmp);
        let nodes = Vec::new();
        let mut narrow =
            Self { law: law.clone(), logarithmic, low, high, width, fineness, pieces, nodes };
        narrow.nodes = match law {
            Law::Point(x) => vec![Node { x: *x, ln: libm::log(x.abs()), weight: 1.0 }],
            _ => narrow.cut_at(&[]),
        };
        narrow
    }

    /// Nodes with the range cut at some more coordinates; weights sum to one.
    fn cut_at(&self, more: &[f64]) -> Vec<Node> {
        let mut pieces = self.pieces.clone();
        pieces.extend(more.iter().copied().filter(|&t| t > self.low && t < self.high));
        pieces.sort_by(f64::total_cmp);
        let mut nodes = Vec::new();
        for (a, b) in pieces.iter().zip(pieces.iter().skip(1)) {
            let half = (b - a) / 2.0;
            if half <= 0.0 {
                continue;
            }
            let number = count(2.0 * half / self.width * NODES * self.fineness, 12, 96);
            for &(z, weight) in legendre(number) {
                let t = a + half * (z + 1.0);
                let x = if self.logarithmic { libm::exp(t) } else { t };
                let density = self.law.at(x).1 * if self.logarithmic { x } else { 1.0 };
                let ln = if self.logarithmic { t } else { 0.0 };
                nodes.push(Node { x, ln, weight: weight * half * density });
            }
        }
        let total: f64 = nodes.iter().map(|node| node.weight).sum();
        for node in &mut nodes {
            node.weight /= total;
        }
        nodes
    }
}

/// Two laws whose join is evaluated where it is asked for.
struct Join {
    wide: Table,
    narrow: Narrow,
    operation: Operation,
}

impl Join {
    /// Whether the result is positive, and its coordinate therefore the logarithm.
    fn logarithmic(&self) -> bool {
        match self.operation {
            Operation::Product => self.wide.logarithmic,
            Operation::Sum => {
                let narrow =
                    self.narrow.logarithmic || matches!(self.narrow.law, Law::Point(x) if x >= 0.0);
                self.wide.logarithmic && narrow
            }
        }
    }

    /// Distribution function and derivative at a coordinate.
    #[expect(clippy::many_single_char_names, reason = "of the formula")]
    fn at(&self, t: f64) -> (f64, f64) {
        let logarithmic = self.logarithmic();
        let y = if logarithmic { libm::exp(t) } else { t };
        let cuts = self.cuts(y);
        let own;
        let nodes = if cuts.is_empty() {
            &self.narrow.nodes
        } else {
            own = self.narrow.cut_at(&cuts);
            &own
        };
        let (mut p, mut slope) = (0.0, 0.0);
        match self.operation {
            Operation::Product if self.wide.logarithmic => {
                for node in nodes {
                    let (q, f) = self.wide.at_coordinate(t - node.ln);
                    p += node.weight * q;
                    slope += node.weight * f;
                }
            }
            Operation::Product => {
                for node in nodes {
                    let (q, f) = self.wide.at(y / node.x);
                    p += node.weight * q;
                    slope += node.weight * f / node.x;
                }
            }
            Operation::Sum => {
                let by = if logarithmic { y } else { 1.0 };
                for node in nodes {
                    let (q, f) = self.wide.at(y - node.x);
                    p += node.weight * q;
                    slope += node.weight * f * by;
                }
            }
        }
        (p, slope)
    }

    /// Coordinates of the narrow law that put a jump of the wide one at `y`.
    fn cuts(&self, y: f64) -> Vec<f64> {
        let narrow = &self.narrow;
        let mut cuts = Vec::new();
        let zero = (self.operation == Operation::Sum && self.wide.logarithmic).then_some(0.0);
        for x in self.wide.breaks.iter().copied().chain(zero) {
            let at = match self.operation {
                Operation::Product => y / x,
                Operation::Sum => y - x,
            };
            let t = if !narrow.logarithmic {
                at
            } else if at > 0.0 {
                libm::log(at)
            } else {
                continue;
            };
            if t > narrow.low && t < narrow.high {
                cuts.push(t);
            }
        }
        cuts
    }

    /// Coordinates between which almost all of the result lies.
    fn range(&self) -> (f64, f64) {
        let (wide, narrow) = (&self.wide, &self.narrow);
        let real = |t: f64, logarithmic| if logarithmic { libm::exp(t) } else { t };
        let (a, b) = (real(wide.low(), wide.logarithmic), real(wide.high(), wide.logarithmic));
        let (c, d) = (real(narrow.low, narrow.logarithmic), real(narrow.high, narrow.logarithmic));
        let (low, high) = match self.operation {
            Operation::Product => ((a * c).min(a * d), (b * d).max(b * c)),
            Operation::Sum => (a + c, b + d),
        };
        if self.logarithmic() {
            (libm::log(low.max(f64::MIN_POSITIVE)), libm::log(high))
        } else {
            (low, high)
        }
    }

    fn quantile(&self, p: f64) -> f64 {
        let (low, high) = self.range();
        let t = root(low, high, p, |t| self.at(t));
        if self.logarithmic() { libm::exp(t) } else { t }
    }

    fn tabulated(&self, fineness: f64) -> Table {
        let (mut low, mut high) = self.range();
        let at = |p| root(low, high, p, |t| self.at(t));
        let width = (at(0.84) - at(0.16)) / 2.0;
        (low, high) = (at(CUT), at(1.0 - CUT));
        // Two jumps join to a bend, which cubics follow less well, and which is cut at next time.
        let mut bends = Vec::new();
        for a in &self.wide.breaks {
            for b in self.narrow.law.breaks() {
                bends.push(match self.operation {
                    Operation::Product => a * b,
                    Operation::Sum => a + b,
                });
            }
        }
        // A jump that a smooth law blurs is still steep.
        let fineness = if self.wide.breaks.is_empty() { fineness } else { 4.0 * fineness };
        // What two bends join to is smooth enough; 0 times a bound is beyond all coordinates.
        bends.retain(|bend| !self.logarithmic() || *bend > 0.0);
        bends.sort_by(f64::total_cmp);
        bends.dedup_by(|a, b| (*a - *b).abs() <= 1e-12 * a.abs().max(b.abs()));
        bends.truncate(BENDS_MAX);
        let range = (low, high, width);
        Table::filled(self.logarithmic(), range, (fineness, f64::NAN), bends, |t| self.at(t))
    }
}

impl Last {
    fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Law(law) => law.quantile(p),
            Self::Join(join) => join.quantile(p),
        }
    }
}

/// Newton's method on a distribution function inside a bracket that each step narrows; where a step
/// would leave it, the bracket is halved instead (Press et al., Numerical Recipes, 9.4).
fn root(mut low: f64, mut high: f64, p: f64, at: impl Fn(f64) -> (f64, f64)) -> f64 {
    let scale = high - low;
    let mut t = f64::midpoint(low, high);
    for _ in 0..200 {
        let (probability, slope) = at(t);
        if probability < p {
            low = t;
        } else {
            high = t;
        }
        let newton = t - (probability - p) / slope;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        let step = next - t;
        t = next;
        if step.abs() <= 1e-13 * scale || high - low <= 1e-13 * scale {
            break;
        }
    }
    t
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
fn count(x: f64, least: u32, most: u32) -> usize {
    // NaN becomes the least.
    x.ceil().max(f64::from(least)).min(f64::from(most)) as usize
}

/// Gauss–Legendre nodes, at least so many; computed once per process.
fn legendre(number: usize) -> &'static [(f64, f64)] {
    static RULES: [OnceLock<Vec<(f64, f64)>>; 8] = [const { OnceLock::new() }; 8];
    // 12, 24, … 96.
    let index = number.div_ceil(12).clamp(1, RULES.len()) - 1;
    let rule = RULES
        .get(index)
        .map(|rule| rule.get_or_init(|| legendre_nodes(12 * (index + 1)).collect()));
    rule.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
