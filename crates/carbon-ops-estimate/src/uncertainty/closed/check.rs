//! The probability below the ends of an interval by a method that shares nothing with the tables: one input
//! integrated exactly, the others averaged over points that fill their cube evenly.
//!
//! The result is a straight line in any input x that occurs once, so that given all others its probability is
//! that input's own distribution function: P(a + b·x ≤ y) = F((y − a)/b). What is left is an integral over the
//! others. Of up to three, each is a smooth function of a standard normal z, and the trapezoidal rule over z
//! gains digits with each node (Trefethen and Weideman, SIAM Review 56 (2014) 385–458). Of more, it is an
//! integral over the unit cube of their probabilities, made periodic by u = t²(3 − 2t) and averaged over a
//! Kronecker sequence with triangular weights, whose error falls as 1/N² (Niederreiter, Random Number
//! Generation and Quasi-Monte Carlo Methods, 1992, section 3; the steps are Roberts' generalisation of the
//! golden ratio).
//!
//! Out of scope: what follows when it disagrees.

use std::cmp::Ordering;

use super::law::Law;
use crate::uncertainty::distribution::{Distribution, Log};
use crate::uncertainty::model::{Expression, Input};
use crate::uncertainty::normal::{normal_cdf, normal_density};

/// Up to so many other inputs, a grid has fewer points than a sequence needs.
const GRID: usize = 3;

/// Points of the first try: of a grid in each direction, of a sequence in all.
const POINTS: [u32; 2] = [12, 2048];

/// Beyond z = ∓5.5, a normal has 4e-8 of its probability.
const REACH: f64 = 5.5;

/// Tries, each with twice as many points in each direction, or eight times as many in all.
const TRIES: u32 = 4;

/// Whether the probabilities below two ends, each given with the density there, are these, to within what
/// moves an end by `most`.
pub(super) fn holds(
    expression: &Expression,
    inputs: &[Input],
    probabilities: [f64; 2],
    ends: [(f64, f64); 2],
    most: f64,
) -> bool {
    let mut laws: Vec<_> = inputs.iter().map(|input| input.distribution).collect();
    let merged = merged(expression, &mut laws);
    let Some(exact) = widest(&merged, &laws) else { return true };
    let mut others = Vec::new();
    merged.each_input(&mut |index| {
        let uncertain = laws.get(index).is_some_and(|law| !law.is_point());
        if index != exact && uncertain && !others.contains(&index) {
            others.push(index);
        }
    });
    let Some(law) = laws.get(exact) else { return true };
    let average = Average {
        expression: &merged,
        exact: (exact, Law::of(*law)),
        step: libm::hypot(law.mean(), law.standard()),
        is_factor: match &merged {
            Expression::Product(parts) => parts.contains(&Expression::Input(exact)),
            whole => *whole == Expression::Input(exact),
        },
        laws: &laws,
        others: &others,
    };
    let agrees = |found: [f64; 2]| {
        let off = |((p, found), (_, density)): ((f64, f64), (f64, f64))| {
            (p - found).abs() <= most * density
        };
        probabilities.into_iter().zip(found).zip(ends).all(off)
    };
    let at = ends.map(|(end, _)| end);
    (0..TRIES).any(|attempt| agrees(average.of(at, attempt)))
}

/// The same expression with the lognormal factors of each product as one, and the normal terms of each sum.
fn merged(expression: &Expression, laws: &mut Vec<Distribution>) -> Expression {
    match expression {
        Expression::Constant(_) | Expression::Input(_) => expression.clone(),
        Expression::Power(base, k) => merged(base, laws).power(*k),
        Expression::Product(_) => {
            let (mut log, mut rest) = (Log { mu: 0.0, variance: 0.0 }, Vec::new());
            factors(expression, 1, laws, &mut log, &mut rest);
            if log.variance > 0.0 {
                let (mean, cv) =
                    (libm::exp(log.mu + log.variance / 2.0), libm::expm1(log.variance).sqrt());
                rest.push(Expression::Input(laws.len()));
                laws.push(Distribution::Lognormal { mean, cv });
            }
            Expression::Product(rest)
        }
        Expression::Sum(parts) => {
            let (mut mean, mut variance, mut rest) = (0.0, 0.0, Vec::new());
            for part in parts {
                let own = if let Expression::Input(index) = part { laws.get(*index) } else { None };
                if let Some(Distribution::Normal { mean: m, sd }) = own {
                    mean += m;
                    variance += sd * sd;
                } else {
                    rest.push(merged(part, laws));
                }
            }
            if variance > 0.0 {
                rest.push(Expression::Input(laws.len()));
                laws.push(Distribution::Normal { mean, sd: variance.sqrt() });
            }
            Expression::Sum(rest)
        }
    }
}

/// Takes the lognormal factors out of a product.
fn factors(
    expression: &Expression,
    k: i32,
    laws: &mut Vec<Distribution>,
    log: &mut Log,
    rest: &mut Vec<Expression>,
) {
    if let Expression::Input(index) = expression
        && let Some(&Distribution::Lognormal { mean, cv }) = laws.get(*index)
    {
        let Log { mu, variance } = Log::of(mean, cv);
        log.mu += f64::from(k) * mu;
        log.variance += f64::from(k) * f64::from(k) * variance;
        return;
    }
    match expression {
        Expression::Product(parts) => {
            for part in parts {
                factors(part, k, laws, log, rest);
            }
        }
        Expression::Power(base, own) => factors(base, k * own, laws, log, rest),
        other if k == 1 => rest.push(merged(other, laws)),
        other => rest.push(merged(other, laws).power(k)),
    }
}

/// Of the inputs in which the expression is a straight line, the one that moves it most; a factor that
/// crosses zero counts for more, one whose density bends or jumps for less. The rest is then smooth beside it.
fn widest(expression: &Expression, laws: &[Distribution]) -> Option<usize> {
    fn lines(expression: &Expression, factor: bool, found: &mut Vec<(usize, bool)>) {
        match expression {
            Expression::Constant(_) | Expression::Power(..) => {}
            Expression::Input(index) => found.push((*index, factor)),
            Expression::Sum(parts) | Expression::Product(parts) => {
                let alone = matches!(expression, Expression::Product(_)) || parts.len() == 1;
                for part in parts {
                    lines(part, factor && alone, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    lines(expression, true, &mut found);
    let means: Vec<_> = laws.iter().map(Distribution::mean).collect();
    let middle = expression.value(&means);
    let rank = |(index, factor): (usize, bool)| {
        let law = laws.get(index).filter(|law| !law.is_point())?;
        let mut moved = means.clone();
        *moved.get_mut(index)? += law.standard();
        let bends = match law {
            // A factor of the whole that crosses zero has an end of all others' laws there.
            _ if factor && !Law::of(*law).positive() => 100.0,
            Distribution::Lognormal { .. } | Distribution::Normal { .. } => 1.0,
            Distribution::TruncatedNormal { .. } => 0.5,
            _ => 0.25,
        };
        Some((bends * (expression.value(&moved) - middle).abs(), index))
    };
    found.into_iter().filter_map(rank).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, index)| index)
}

/// The average of what one input's own law says over all others.
struct Average<'a> {
    expression: &'a Expression,
    laws: &'a [Distribution],
    /// What is integrated exactly.
    exact: (usize, Law),
    /// Its size.
    step: f64,
    /// Whether it is a factor of the whole, which is then 0 with it.
    is_factor: bool,
    others: &'a [usize],
}

impl Average<'_> {
    /// The probability of at most each of two ends, by the given try.
    fn of(&self, ends: [f64; 2], attempt: u32) -> [f64; 2] {
        let [each, all] = POINTS;
        let mut sums = Sums {
            values: self.laws.iter().map(Distribution::mean).collect(),
            ends,
            ..Sums::default()
        };
        if self.others.len() <= GRID {
            let line = |&index: &usize| (index, self.line(index, each << attempt));
            let lines: Vec<_> = self.others.iter().map(line).collect();
            self.grid(&mut sums, &lines, 1.0);
        } else {
            self.cube(&mut sums, all << (3 * attempt));
        }
        sums.below.map(|sum| sum / sums.total)
    }

    fn grid(&self, sums: &mut Sums, lines: &[(usize, Vec<(f64, f64)>)], weight: f64) {
        let Some(((index, line), rest)) = lines.split_first() else {
            return self.add(sums, weight);
        };
        for (x, own) in line {
            sums.set(*index, *x);
            self.grid(sums, rest, weight * own);
        }
    }

    /// Values of an input at equidistant z, with their weights.
    fn line(&self, index: usize, points: u32) -> Vec<(f64, f64)> {
        let Some(law) = self.laws.get(index).map(|law| Law::of(*law)) else { return Vec::new() };
        let step = 2.0 * REACH / f64::from(points);
        let node = |i: u32| {
            let z = (f64::from(i) + 0.5) * step - REACH;
            let x = match &law {
                Law::Normal(mean, sd) => mean + sd * z,
                Law::Log(log) => libm::exp(log.mu + log.variance.sqrt() * z),
                other => other.quantile(normal_cdf(z)),
            };
            (x, normal_density(z))
        };
        (0..points).map(node).collect()
    }

    fn cube(&self, sums: &mut Sums, points: u32) {
        let steps = steps(self.others.len());
        let n = f64::from(points);
        for i in 1..=points {
            // A triangle over the sequence.
            let mut weight = 1.0 - (2.0 * f64::from(i) / (n + 1.0) - 1.0).abs();
            for (&index, step) in self.others.iter().zip(&steps) {
                let t = (0.5 + f64::from(i) * step).fract();
                // What rounding makes of an end has no weight.
                let u = (t * t * (3.0 - 2.0 * t)).clamp(1e-300, 1.0 - f64::EPSILON);
                weight *= 6.0 * t * (1.0 - t);
                if let Some(law) = self.laws.get(index) {
                    sums.set(index, law.quantile(u));
                }
            }
            self.add(sums, weight);
        }
    }

    fn add(&self, sums: &mut Sums, weight: f64) {
        let mut at = |x: f64| {
            sums.set(self.exact.0, x);
            self.expression.value(&sums.values)
        };
        let (a, b) = if self.is_factor {
            (0.0, at(1.0))
        } else {
            let a = at(0.0);
            // Over a step of the input's own size: a smaller one would be lost beside a large rest.
            (a, (at(self.step) - a) / self.step)
        };
        for (sum, end) in sums.below.iter_mut().zip(sums.ends) {
            let p = self.exact.1.cdf((end - a) / b);
            *sum += weight
                * match b.total_cmp(&0.0) {
                    Ordering::Greater => p,
                    Ordering::Less => 1.0 - p,
                    Ordering::Equal => f64::from(a <= end),
                };
        }
        sums.total += weight;
    }
}

/// What has been added up.
#[derive(Default)]
struct Sums {
    /// Of the inputs.
    values: Vec<f64>,
    ends: [f64; 2],
    below: [f64; 2],
    total: f64,
}

impl Sums {
    fn set(&mut self, index: usize, x: f64) {
        if let Some(value) = self.values.get_mut(index) {
            *value = x;
        }
    }
}

/// φ⁻¹, φ⁻², … with φ the positive root of xᵈ⁺¹ = x + 1: the golden ratio for one dimension.
fn steps(dimensions: usize) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let power = 1.0 / (dimensions as f64 + 1.0);
    let mut root = 2.0;
    for _ in 0..40 {
        root = libm::pow(1.0 + root, power);
    }
    let mut step = 1.0;
    (0..dimensions)
        .map(|_| {
            step /= root;
            step
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(texts: &[&str]) -> Vec<Distribution> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn inputs(count: usize) -> Vec<Expression> {
        (0..count).map(Expression::Input).collect()
    }

    /// By hand: n(1, 3) + n(2, 4) = n(3, 5); of lognormals, ln(1 + cv²) add up, times k² in a power k, and the mean of
    /// X^k is m^k (1 + cv²)^(k(k−1)/2).
    #[test]
    fn lognormal_factors_are_one_and_so_are_normal_terms() {
        let input = Expression::Input;
        let power = |index, k| Expression::Power(Box::new(input(index)), k);
        let merged = |expression: Expression, texts: &[&str]| {
            let mut laws = laws(texts);
            let merged = merged(&expression, &mut laws);
            (merged, laws.split_off(texts.len()))
        };
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12);
        let (sum, laws) = merged(Expression::Sum(inputs(3)), &["n(1, 3)", "u(0, 1)", "n(2, 4)"]);
        assert_eq!(sum, Expression::Sum(vec![input(1), input(3)]));
        let [Distribution::Normal { mean, sd }] = laws[..] else { panic!("{laws:?}") };
        near(mean, 3.0);
        near(sd, 5.0);
        for apart in [Expression::Sum(inputs(2)), Expression::Product(inputs(2))] {
            let (same, laws) = merged(apart.clone(), &["u(0, 1)", "u(0, 2)"]);
            assert!(same == apart && laws.is_empty(), "{same:?} {laws:?}");
        }
        // ln(2, 0.3) · ln(3, 0.4)^k, beside the square of a rectangle.
        for (k, mean, growth) in [
            (1, 6.0, 1.09 * 1.16),
            (-1, 2.0 / 3.0 * 1.16, 1.09 * 1.16),
            (2, 18.0 * 1.16, 1.09 * 1.16_f64.powi(4)),
        ] {
            let product = Expression::Product(vec![input(0), power(1, k), power(2, 2)]);
            let (product, laws) = merged(product, &["ln(2, 0.3)", "ln(3, 0.4)", "u(1, 2)"]);
            assert_eq!(product, Expression::Product(vec![power(2, 2), input(3)]), "{k}");
            let [Distribution::Lognormal { mean: found, cv }] = laws[..] else {
                panic!("{laws:?}")
            };
            near(found, mean);
            near(1.0 + cv * cv, growth);
        }
        // A power of a power.
        let nested = Expression::Power(Box::new(power(0, 2)), -1);
        let (_, laws) = merged(Expression::Product(vec![nested]), &["ln(2, 0.3)"]);
        let [Distribution::Lognormal { mean, cv }] = laws[..] else { panic!("{laws:?}") };
        near(mean, 1.09_f64.powi(3) / 4.0);
        near(1.0 + cv * cv, 1.09_f64.powi(4));
    }

    /// What moves the result most, each by its standard deviation; a density that bends at a bound counts half, one
    /// that jumps a quarter, and a factor of the whole that crosses zero for a hundred.
    #[test]
    fn the_input_that_is_integrated_exactly_moves_the_result_most() {
        let sum = |texts| widest(&Expression::Sum(inputs(2)), &laws(texts));
        for (texts, expected) in [
            (&["n(9, 1)", "n(0, 2)"][..], 1),
            (&["n(0, 2)", "n(9, 1)"], 0),
            // A rectangle of 6.9 has a standard deviation of 2, and one of 5.2 of 1.5.
            (&["n(9, 1)", "u(0, 6.9)"], 0),
            (&["ln(9, 0.1)", "u(0, 6.9)"], 0),
            (&["ln(9, 0.1)", "u(0, 20)"], 1),
            (&["tn(9, 1, min=0)", "u(0, 5.2)"], 0),
            (&["tn(9, 1, min=0)", "u(0, 8)"], 1),
            // No factor of the whole, although it crosses zero.
            (&["n(0, 1)", "u(0, 20)"], 1),
        ] {
            assert_eq!(sum(texts), Some(expected), "{texts:?}");
        }
        let product = |texts| widest(&Expression::Product(inputs(2)), &laws(texts));
        assert_eq!(product(&["n(1, 2)", "ln(1, 3)"]), Some(0));
        assert_eq!(product(&["ln(1, 0.2)", "ln(1, 0.3)"]), Some(1));
        // A sum of one term is that term; a point moves nothing.
        let one = Expression::Sum(vec![Expression::Product(inputs(2))]);
        assert_eq!(widest(&one, &laws(&["n(1, 2)", "ln(1, 3)"])), Some(0));
        let points = [Distribution::Point { mean: 1.0 }, Distribution::Point { mean: 2.0 }];
        assert_eq!(widest(&Expression::Sum(inputs(2)), &points), None);
    }

    /// The sum of five rectangles from 0 to 1 is at most x with the probability that Irwin and Hall give: x⁵/120 up to
    /// 1, (x⁵ − 5(x − 1)⁵)/120 up to 2, and a half at 2.5. Eight times the points come twenty times as near.
    #[test]
    fn what_is_averaged_over_a_sequence_comes_nearer_as_the_points_grow() {
        let (laws, expression) = (laws(&["u(0, 1)"; 5]), Expression::Sum(inputs(5)));
        let average = Average {
            expression: &expression,
            exact: (0, Law::of(laws[0])),
            step: 1.0,
            is_factor: false,
            laws: &laws,
            others: &[1, 2, 3, 4],
        };
        for (ends, expected) in
            [([1.0, 2.0], [1.0 / 120.0, 27.0 / 120.0]), ([2.5, 5.0], [0.5, 1.0])]
        {
            for (attempt, most) in [(0, 3e-3), (1, 1.5e-4), (2, 4e-6)] {
                let found = average.of(ends, attempt);
                for (found, expected) in found.into_iter().zip(expected) {
                    let off = (found - expected).abs();
                    assert!(off < most, "{ends:?} {attempt}: {found} is not {expected}, {off:e}");
                }
            }
        }
    }

    /// Where all else makes the exact input count nothing, the result is where it is without it.
    #[test]
    fn what_counts_nothing_leaves_the_result_where_it_is() {
        let laws = laws(&["n(1, 1)"]);
        let average = Average {
            expression: &Expression::Product(vec![Expression::Input(0), Expression::Constant(0.0)]),
            exact: (0, Law::of(laws[0])),
            step: 1.0,
            is_factor: true,
            laws: &laws,
            others: &[],
        };
        assert_eq!(average.of([-1.0, 1.0], 0).map(f64::to_bits), [0.0, 1.0].map(f64::to_bits));
        assert_eq!(average.of([0.0, 0.0], 0).map(f64::to_bits), [1.0_f64.to_bits(); 2]);
    }

    /// φ of one dimension is the golden ratio, of two the plastic number: powers of it, below one.
    #[test]
    fn the_steps_of_a_sequence_are_powers_of_the_root() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(steps(1)[0], 0.618_033_988_749_895);
        let [first, second] = steps(2)[..] else { panic!() };
        near(first, 0.754_877_666_246_693);
        near(second, 0.569_840_290_998_053);
        assert_eq!(steps(7).len(), 7);
    }
}
