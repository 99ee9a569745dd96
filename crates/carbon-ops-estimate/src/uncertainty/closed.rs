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
//! by Gauss–Legendre quadrature over N. Every law is followed in the logarithm of its magnitude, on each
//! side of zero for itself: a factor that spans powers of ten is then as smooth as one that does not, and
//! one that crosses zero has no scale at which it is lost. Where the density of X jumps, the range is cut
//! at the n that carries the jump. The result is tabulated with its density (`table`), so that the cost
//! grows with the number of inputs and not with a power of it. The last join is not tabulated: quantiles
//! follow from it by Newton's method inside a bracket.
//!
//! The rule of an interval that leaves: what another method (`check`) says of the probability below each end
//! agrees with what was asked for to within a thousandth of the standard uncertainty, and so does the same
//! with half the resolution; else it is sampled.
//!
//! Out of scope: moments (`polynomial`), inputs that are not independent (Monte Carlo).

mod check;
mod table;

use self::table::{CUT, Range, SIGNS, Side, Table, count, legendre, root};
use super::distribution::{Distribution, Log};
use super::model::{Expression, Input};
use super::normal::{normal_cdf, normal_density, normal_quantile};
use super::polynomial::Polynomial;

/// Why a model has no closed form here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// Inputs with one key have different distributions or signs.
    #[error("inputs of one shared key have different distributions or signs")]
    Tied,
    /// A quotient of sums, or too many terms.
    #[error("the expression is not a sum of products")]
    Expression,
    /// A moment without a closed form.
    #[error("an input has no closed moment of the order that is needed")]
    Moments,
    /// An input occurs in several terms and cannot be taken out of them.
    #[error("an input occurs in several terms and is not a common factor")]
    Repeated,
    /// A distribution or power that is not integrated over.
    #[error("an input's distribution or power is not one that is integrated over")]
    Shape,
    /// Two ways to the interval disagree.
    #[error("the integrated interval is off by more than a thousandth of the standard uncertainty")]
    Inexact,
}

/// The ends of an interval.
pub(super) struct Ends {
    pub(super) low: f64,
    pub(super) high: f64,
    /// What halving the resolution changes.
    pub(super) error: Option<f64>,
}

/// An end may be off by this part of the standard uncertainty.
const ERROR_MAX: f64 = 1e-3;

/// Resolutions of the two tries.
const FINENESS: [f64; 2] = [1.0, 4.0];

/// Nodes of a range per half of its central 68 %.
const NODES: f64 = 3.0;

/// Probabilities at which the range of a joined law, or of one that crosses zero, is cut into parts with
/// nodes of their own.
const PARTS: [f64; 7] = [1e-3, 0.025, 0.16, 0.5, 0.84, 0.975, 0.999];

/// More bends than three pairs of bounds make come from sums of sums of sums, and are smooth.
const BENDS_MAX: usize = 8;

/// Up to so many inputs that are not lognormal and cannot be negative, in a product, the error is known
/// from the tests.
const PLAIN: usize = 3;

/// The probabilistically symmetric interval of a result with this standard uncertainty.
pub(super) fn interval(
    expression: &Expression,
    polynomial: &Polynomial,
    inputs: &[Input],
    (level, standard): (f64, f64),
) -> Result<Ends, NotClosed> {
    let factored = ready(expression, polynomial, inputs)?;
    let expression = factored.as_ref().unwrap_or(expression);
    let tail = (1.0 - level) / 2.0;
    let tails = [tail, 1.0 - tail];
    let most = ERROR_MAX * standard;
    let plain = plain(expression, inputs);
    for fineness in FINENESS {
        let at = |fineness: f64| {
            let last = Closed { inputs, fineness }.last(expression)?;
            Ok((tails.map(|p| last.quantile(p)), last))
        };
        let ([low, high], last) = at(fineness)?;
        let error = if plain {
            None
        } else {
            let ([coarse_low, coarse_high], _) = at(fineness / 2.0)?;
            Some((low - coarse_low).abs().max((high - coarse_high).abs()))
        };
        let ends = [low, high].map(|end| (end, last.at(end).1));
        if error.is_none_or(|error| error <= most)
            && check::holds(expression, inputs, tails, ends, most)
        {
            return Ok(Ends { low, high, error });
        }
    }
    Err(NotClosed::Inexact)
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
    Ok(Closed { inputs, fineness: 1.0 }.last(expression)?.at(x).0)
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

/// A product of what cannot be negative, with few inputs that are not lognormal.
fn plain(expression: &Expression, inputs: &[Input]) -> bool {
    let (mut others, mut sums, mut positive) = (0, false, true);
    expression.each_input(&mut |index| {
        let Some(shape) = inputs.get(index).map(|input| input.distribution) else { return };
        let easy = matches!(shape, Distribution::Lognormal { .. } | Distribution::Point { .. });
        others += usize::from(!easy);
        positive &= easy || Law::of(shape).positive();
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
    others <= PLAIN && !sums && positive
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
    Join(Box<Join>),
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
        match rest.first_mut() {
            Some(law) => *law = law.scaled(constant, self.fineness),
            None => return Ok(Last::Law(Law::Point(constant))),
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

    /// Joins laws one by one, the widest first.
    fn joined(&self, mut laws: Vec<Law>, operation: Operation) -> Result<Last, NotClosed> {
        if let [law] = laws.as_slice() {
            return Ok(Last::Law(law.clone()));
        }
        if laws.iter().any(|law| !law.integrable()) {
            return Err(NotClosed::Shape);
        }
        laws.sort_by_cached_key(|law| {
            let width = match operation {
                Operation::Product => law.log_width(),
                Operation::Sum => law.width(),
            };
            // In falling order: the bits of what is not negative are in its order.
            std::cmp::Reverse(width.to_bits())
        });
        let mut laws = laws.into_iter();
        let mut wide = Table::of(&laws.next().ok_or(NotClosed::Shape)?, self.fineness);
        let mut next = laws.next();
        while let Some(law) = next {
            let join = Join::of(wide, Narrow::of(&law, self.fineness), operation);
            next = laws.next();
            if next.is_none() {
                return Ok(Last::Join(Box::new(join)));
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
            Self::Table(table) => table.below() <= 0.0,
        }
    }

    /// The probability below zero.
    fn below(&self) -> f64 {
        if self.positive() { 0.0 } else { self.at(0.0).0 }
    }

    fn scaled(&self, c: f64, fineness: f64) -> Self {
        #[expect(clippy::float_cmp, reason = "exactly one changes nothing")]
        if c == 1.0 {
            return self.clone();
        }
        let table = || Self::Table(Table::of(self, fineness).scaled(c));
        match self {
            Self::Point(x) => Self::Point(c * x),
            Self::Log(Log { mu, variance }) if c > 0.0 => {
                Self::Log(Log { mu: mu + libm::log(c), variance: *variance })
            }
            Self::Normal(mean, sd) => Self::Normal(c * mean, c.abs() * sd),
            Self::Leaf(leaf) => leaf.scaled(c).map_or_else(table, Self::Leaf),
            Self::Log(_) | Self::Table(_) => table(),
        }
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

    /// The same of the logarithm of the magnitude, on the side of zero that has more of it.
    fn log_width(&self) -> f64 {
        match self {
            Self::Log(log) => log.variance.sqrt(),
            _ => self.range(self.below() <= 0.5).map_or(0.0, |range| range.width),
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

    /// The probability between zero and e^t on one side of it, and its derivative by t.
    fn mass(&self, above: bool, below: f64, t: f64) -> (f64, f64) {
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

    /// Where almost all of it lies on one side of zero; `None` where almost nothing does.
    fn range(&self, above: bool) -> Option<Range> {
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
        if let Self::Leaf(leaf) = self {
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
}

/// A law to be integrated over: nodes in the logarithm of its magnitude.
struct Narrow {
    law: Law,
    fineness: f64,
    /// Below and above zero: the range, and where it is cut, its ends included.
    sides: [Option<(Range, Vec<f64>)>; 2],
    nodes: Vec<Node>,
}

struct Node {
    x: f64,
    ln: f64,
    weight: f64,
}

impl Narrow {
    fn of(law: &Law, fineness: f64) -> Self {
        let breaks = law.breaks();
        let crosses = !law.positive();
        let side = |above: bool| {
            let range = law.range(above)?;
            let Range { low, high, weight, .. } = range;
            let inside = |t: &f64| *t > low && *t < high;
            let mut pieces = vec![low, high];
            // What was joined already may fall off within a small part of its range: a rectangle whose
            // ends are not quite sharp, an end that is far away in the logarithm.
            if let Law::Table(table) = law {
                let to = |p: f64| root(low, high, p * weight, |t| table.mass(above, t));
                pieces.extend(PARTS.map(to).into_iter().filter(inside));
            } else if crosses {
                let below = law.below();
                let to = |p: f64| root(low, high, p * weight, |t| law.mass(above, below, t));
                pieces.extend(PARTS.map(to).into_iter().filter(inside));
            }
            let own = breaks.iter().filter(|x| (**x > 0.0) == above);
            pieces.extend(own.map(|x| libm::log(x.abs().max(f64::MIN_POSITIVE))).filter(inside));
            pieces.sort_by(f64::total_cmp);
            Some((range, pieces))
        };
        let (sides, nodes) = match law {
            Law::Point(x) => {
                ([None, None], vec![Node { x: *x, ln: libm::log(x.abs()), weight: 1.0 }])
            }
            _ => (SIGNS.map(side), Vec::new()),
        };
        let mut narrow = Self { law: law.clone(), fineness, sides, nodes };
        if narrow.nodes.is_empty() {
            narrow.nodes = narrow.cut_at(&[]);
        }
        narrow
    }

    /// Nodes with the range cut at some more values; weights sum to one.
    fn cut_at(&self, more: &[f64]) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (above, side) in SIGNS.into_iter().zip(&self.sides) {
            let Some((range, pieces)) = side else { continue };
            let mut pieces = pieces.clone();
            let own = more.iter().filter(|x| (**x > 0.0) == above);
            pieces.extend(
                own.map(|x| libm::log(x.abs())).filter(|t| *t > range.low && *t < range.high),
            );
            pieces.sort_by(f64::total_cmp);
            for (a, b) in pieces.iter().zip(pieces.iter().skip(1)) {
                let half = (b - a) / 2.0;
                if half <= 0.0 {
                    continue;
                }
                let number = count(2.0 * half / range.width * NODES * self.fineness, 12, 96);
                for &(z, weight) in legendre(number) {
                    let ln = a + half * (z + 1.0);
                    let magnitude = libm::exp(ln);
                    let x = if above { magnitude } else { -magnitude };
                    let density = self.law.at(x).1 * magnitude;
                    nodes.push(Node { x, ln, weight: weight * half * density });
                }
            }
        }
        let total: f64 = nodes.iter().map(|node| node.weight).sum();
        for node in &mut nodes {
            node.weight /= total;
        }
        nodes
    }

    /// Its range on one side of zero; of a point, where it is.
    fn range(&self, above: bool) -> Option<Range> {
        if let Law::Point(x) = self.law {
            let ln = libm::log(x.abs());
            return ((x > 0.0) == above).then_some(Range {
                low: ln,
                high: ln,
                width: 0.0,
                weight: 1.0,
            });
        }
        let index = usize::from(above);
        self.sides.get(index)?.as_ref().map(|(range, _)| *range)
    }
}

/// Two laws whose join is evaluated where it is asked for.
struct Join {
    wide: Table,
    narrow: Narrow,
    operation: Operation,
    /// The probability below zero.
    below: f64,
}

impl Join {
    fn of(wide: Table, narrow: Narrow, operation: Operation) -> Self {
        let mut join = Self { wide, narrow, operation, below: 0.0 };
        let of = |range: Option<Range>| range.map_or(0.0, |range| range.weight);
        let [[a, b], [c, d]] = [
            SIGNS.map(|above| of(join.wide.side(above).map(|side| side.range))),
            SIGNS.map(|above| of(join.narrow.range(above))),
        ];
        join.below = match operation {
            Operation::Product => a * d + b * c,
            Operation::Sum if a <= 0.0 && c <= 0.0 => 0.0,
            Operation::Sum => join.sum(0.0).0,
        };
        join
    }

    /// Distribution function and density at x.
    fn at(&self, x: f64) -> (f64, f64) {
        if x == 0.0 {
            return (self.below, 0.0);
        }
        let (mass, slope) = self.mass(x > 0.0, libm::log(x.abs()));
        let p = if x > 0.0 { self.below + mass } else { self.below - mass };
        (p, slope / x.abs())
    }

    /// The probability between zero and e^t on one side of it, and its derivative by t.
    fn mass(&self, above: bool, t: f64) -> (f64, f64) {
        let magnitude = libm::exp(t);
        let y = if above { magnitude } else { -magnitude };
        match self.operation {
            Operation::Product => {
                let (mut mass, mut slope) = (0.0, 0.0);
                self.each_node(y, |node| {
                    let own = self.wide.mass(above == (node.x > 0.0), t - node.ln);
                    mass += node.weight * own.0;
                    slope += node.weight * own.1;
                });
                (mass, slope)
            }
            Operation::Sum => {
                let (p, density) = self.sum(y);
                (if above { p - self.below } else { self.below - p }, density * magnitude)
            }
        }
    }

    /// Distribution function and density of a sum.
    fn sum(&self, y: f64) -> (f64, f64) {
        let (mut p, mut density) = (0.0, 0.0);
        self.each_node(y, |node| {
            let (q, f) = self.wide.at(y - node.x);
            p += node.weight * q;
            density += node.weight * f;
        });
        (p, density)
    }

    /// Every node, with the narrow law cut where it puts a jump of the wide one at `y`.
    fn each_node(&self, y: f64, mut f: impl FnMut(&Node)) {
        // Where only one side of zero has values, a sum has an end there.
        let ends = self.operation == Operation::Sum && self.wide.sides.iter().any(Option::is_none);
        let jumps = self.wide.breaks.iter().copied().chain(ends.then_some(0.0));
        let at = jumps.map(|x| match self.operation {
            Operation::Product => y / x,
            Operation::Sum => y - x,
        });
        let inside = |x: &f64| {
            let t = libm::log(x.abs());
            self.narrow.range(*x > 0.0).is_some_and(|range| t > range.low && t < range.high)
        };
        let cuts: Vec<_> = at.filter(inside).collect();
        if cuts.is_empty() {
            self.narrow.nodes.iter().for_each(f);
        } else {
            self.narrow.cut_at(&cuts).iter().for_each(&mut f);
        }
    }

    /// Coordinates between which almost all of the result lies, on one side of zero, and its probability.
    fn range(&self, above: bool) -> Option<(f64, f64, f64)> {
        let weight = if above { 1.0 - self.below } else { self.below };
        if weight <= 2.0 * CUT {
            return None;
        }
        let wide = |above| self.wide.side(above).map(|side| side.range);
        let narrow = |above| self.narrow.range(above);
        let (low, high) = match self.operation {
            Operation::Product => {
                let pairs =
                    SIGNS.into_iter().filter_map(|own| Some((wide(own)?, narrow(own == above)?)));
                pairs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| {
                    (low.min(a.low + b.low), high.max(a.high + b.high))
                })
            }
            Operation::Sum => {
                let sum = |f: fn(Range) -> f64| {
                    let of = |range: Option<Range>| range.map(|range| libm::exp(f(range)));
                    of(wide(above)).unwrap_or(0.0) + of(narrow(above)).unwrap_or(0.0)
                };
                let high = libm::log(sum(|range| range.high));
                // Where the other side has values too, they take this one down to zero.
                let crosses = wide(!above).is_some() || narrow(!above).is_some();
                let low = if crosses { high - DEPTH } else { libm::log(sum(|range| range.low)) };
                (low, high)
            }
        };
        Some((low, high, weight))
    }

    fn quantile(&self, p: f64) -> f64 {
        let above = p > self.below;
        let Some((low, high, weight)) = self.range(above) else { return 0.0 };
        let p = if above { p - self.below } else { self.below - p };
        let t = root(low, high, p.min(weight), |t| self.mass(above, t));
        if above { libm::exp(t) } else { -libm::exp(t) }
    }

    fn tabulated(&self, fineness: f64) -> Table {
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
        bends.retain(|bend| *bend != 0.0);
        bends.sort_by(f64::total_cmp);
        bends.dedup_by(|a, b| (*a - *b).abs() <= 1e-12 * a.abs().max(b.abs()));
        bends.truncate(BENDS_MAX);
        let side = |above: bool| {
            let (low, high, weight) = self.range(above)?;
            let at = |p| root(low, high, p, |t| self.mass(above, t));
            let width = (at(0.84 * weight) - at(0.16 * weight)) / 2.0;
            let range = Range { low: at(CUT), high: at(weight - CUT), width, weight };
            Some(Side::filled(range, fineness, f64::NAN, |t| self.mass(above, t)))
        };
        Table { sides: SIGNS.map(side), breaks: bends }
    }
}

/// So far below its upper end in the logarithm, a law that crosses zero has nothing left.
const DEPTH: f64 = 45.0;

impl Last {
    fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Law(law) => law.quantile(p),
            Self::Join(join) => join.quantile(p),
        }
    }

    /// Distribution function and density.
    fn at(&self, x: f64) -> (f64, f64) {
        match self {
            Self::Law(law) => law.at(x),
            Self::Join(join) => join.at(x),
        }
    }
}

#[cfg(test)]
mod tests;
