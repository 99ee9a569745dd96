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

use std::rc::Rc;

mod check;
mod join;
mod law;
mod table;

use self::join::{Join, Narrow, Operation};
use self::law::Law;
use super::distribution::{Distribution, Log, power};
use super::model::{Expression, Input};
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

/// What rounding does to a probability is far less.
const ROUNDING: f64 = 1e-13;

/// An end that is known to nine digits passes the check if it does so with this part of what is allowed.
const NEARLY: f64 = 0.999;

/// Resolutions of the two tries.
const FINENESS: [f64; 2] = [1.0, 4.0];

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

/// Whether [`interval`] finds each end between two bounds. It is told by the probabilities at the bounds, without a
/// search, and `false` where they are too near to tell; also where the interval comes with an error, unless that does
/// not matter to the caller.
///
/// The distribution function rises, so that a search for a probability ends between two values that have less and
/// more of it. [`root`](table::root) stops within 1e-13 of the range of a logarithm, which the bounds allow for.
pub(super) fn within(
    expression: &Expression,
    polynomial: &Polynomial,
    inputs: &[Input],
    (level, standard): (f64, f64),
    bounds: [(f64, f64); 2],
    with_error: bool,
) -> Result<bool, NotClosed> {
    let factored = ready(expression, polynomial, inputs)?;
    let expression = factored.as_ref().unwrap_or(expression);
    let plain = plain(expression, inputs);
    if !(plain || with_error) {
        return Ok(false);
    }
    let tail = (1.0 - level) / 2.0;
    let tails = [tail, 1.0 - tail];
    let (fine, most) = (FINENESS[0], NEARLY * ERROR_MAX * standard);
    let last = Closed { inputs, fineness: fine }.last(expression)?;
    let mut ends = [(0.0, 0.0); 2];
    for ((p, (low, high)), end) in tails.into_iter().zip(bounds).zip(&mut ends) {
        let Some(density) = last.encloses(p, low, high) else { return Ok(false) };
        *end = (high, density);
    }
    if !plain {
        // What halving the resolution changes: an end that lies so near to both bounds, wherever between them the other
        // one lies, is near enough to that.
        let coarse = Closed { inputs, fineness: fine / 2.0 }.last(expression)?;
        let near = |(p, (low, high)): (f64, (f64, f64))| {
            coarse.encloses(p, high - most, low + most).is_some()
        };
        if !tails.into_iter().zip(bounds).all(near) {
            return Ok(false);
        }
    }
    Ok(check::holds(expression, inputs, tails, ends, most))
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

/// What comes out: a law, or the join of two that is not tabulated.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Last {
    Law(Law),
    Join(Rc<Join>),
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
                Law::Point(x) => Ok(Last::Law(Law::Point(power(x, *k)))),
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
        let mut wide = laws.next().ok_or(NotClosed::Shape)?.tabulated(self.fineness);
        let mut next = laws.next();
        while let Some(law) = next {
            let join = Rc::new(Join::of(wide, Narrow::of(&law, self.fineness), operation));
            next = laws.next();
            if next.is_none() {
                return Ok(Last::Join(join));
            }
            wide = join.tabulated(self.fineness);
        }
        Ok(Last::Law(Law::Table(wide)))
    }
}

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

    /// The density at `high`, if what has this probability below it lies between the two, by more than rounding.
    fn encloses(&self, p: f64, low: f64, high: f64) -> Option<f64> {
        let ((below, _), (above, density)) = (self.at(low), self.at(high));
        (below < p - ROUNDING && above > p + ROUNDING).then_some(density)
    }
}

#[cfg(test)]
mod tests;
