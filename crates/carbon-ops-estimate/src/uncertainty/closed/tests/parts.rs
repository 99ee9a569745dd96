//! The parts of the closed form one by one: laws, tables, joins, the search, and the other method, against sums
//! over equidistant points and against formulas.

use std::cell::Cell;
use std::rc::Rc;

use super::super::check;
use super::super::join::{Join, Narrow, Operation};
use super::super::law::Law;
use super::super::table::{CUT, root};
use super::{closed, input, product};
use crate::uncertainty::normal::{normal_cdf, normal_density, normal_quantile};
use crate::uncertainty::{Distribution, Expression, Method, Model, Used};

const TAILS: [f64; 2] = [0.025, 0.975];
const PROBABILITIES: [f64; 11] =
    [1e-4, 0.01, 0.025, 0.16, 0.3, 0.5, 0.7, 0.84, 0.975, 0.99, 1.0 - 1e-4];

fn law(text: &str) -> Law {
    Law::of(text.parse().unwrap())
}

fn near(got: f64, expected: f64, most: f64, what: &str) {
    assert!((got - expected).abs() <= most, "{what}: {got} is not {expected}");
}

/// The mean of a function of a quantity, by the trapezoidal rule over the normal that it is made of.
fn mean_of(of: &Distribution, f: impl Fn(f64) -> f64) -> f64 {
    let z = |i: u32| (f64::from(i) + 0.5) * 16.0 / 4000.0 - 8.0;
    let points = (0..4000).map(z);
    let sum: f64 = points.map(|z| normal_density(z) * f(of.quantile(normal_cdf(z)))).sum();
    sum * 16.0 / 4000.0
}

/// The probability of at most y of a sum or product of two, one averaged over the other.
fn joined(operation: Operation, x: &Distribution, y: &Distribution, at: f64) -> f64 {
    mean_of(y, |y| match operation {
        Operation::Sum => x.cdf(at - y),
        Operation::Product if y > 0.0 => x.cdf(at / y),
        Operation::Product => 1.0 - x.cdf(at / y),
    })
}

/// Newton's method doubles the digits with each step: a few values of a smooth function are enough, where halving takes
/// forty-seven.
#[test]
fn a_root_is_found_in_a_few_steps() {
    for p in PROBABILITIES {
        let asked = Cell::new(0);
        let at = |t: f64| {
            asked.set(asked.get() + 1);
            (normal_cdf(t), normal_density(t))
        };
        near(root(-7.0, 9.0, p, at), normal_quantile(p), 1e-11, "root");
        assert!(asked.get() <= 16, "{} values for {p}", asked.get());
    }
    // Where a step would lead out of the bracket, it is halved: F of a law with a long flat part.
    let flat = |t: f64| if t < 100.0 { (0.0, 0.0) } else { ((t - 100.0) / 28.0, 1.0 / 28.0) };
    near(root(0.0, 128.0, 0.5, flat), 114.0, 1e-9, "root");
}

/// What a law says is what its distribution does, at values and after scaling by factors of both signs, as itself and
/// as a table.
#[test]
fn laws_and_their_tables_are_their_distributions() {
    for text in [
        "ln(2, 0.3)",
        "n(1, 1)",
        "n(10, 1)",
        "u(1, 3)",
        "u(-1, 3)",
        "tn(1, 1, min=0)",
        "tn(1, 0.2, min=0.9)",
        "tri(1, 2, 4)",
    ] {
        let of: Distribution = text.parse().unwrap();
        let own = law(text);
        let near = |got, expected, most| near(got, expected, most, text);
        near(own.width(), (of.quantile(0.84) - of.quantile(0.16)) / 2.0, 1e-12);
        near(own.below(), of.cdf(0.0), 1e-11);
        assert_eq!(own.positive(), of.cdf(0.0) < 1e-11, "{text}");
        if own.positive() {
            let ln = |p| libm::log(of.quantile(p));
            let half = (ln(0.84) - ln(0.16)) / 2.0;
            near(own.log_width(), half, 0.01 * half);
        }
        for (above, weight) in [(true, 1.0 - of.cdf(0.0)), (false, of.cdf(0.0))] {
            let Some(range) = own.range(above) else {
                assert!(weight < 1e-10, "{text}");
                continue;
            };
            near(range.weight, weight, 1e-11);
            let sign = if above { 1.0 } else { -1.0 };
            let beyond = |t: f64| (of.cdf(sign * libm::exp(t)) - of.cdf(0.0)).abs();
            assert!(beyond(range.low) <= 2.0 * CUT, "{text} {range:?}");
            assert!(weight - beyond(range.high) <= 2.0 * CUT, "{text} {range:?}");
            assert!(beyond(range.low + range.width) > CUT, "{text} {range:?}");
        }
        let table = Law::Table(own.tabulated(1.0));
        assert_eq!(table.positive(), own.positive());
        near(table.below(), own.below(), 1e-11);
        for c in [1.0, 2.5, -2.5] {
            let (scaled, tabulated) = (own.scaled(c, 1.0), table.scaled(c, 1.0));
            for p in PROBABILITIES {
                let x = of.quantile(p);
                let h = 1e-5 * x.abs();
                let slope = (of.cdf(x + h) - of.cdf(x - h)) / (2.0 * h);
                let (p, density) = (if c > 0.0 { p } else { 1.0 - p }, slope / c.abs());
                for law in [&scaled, &tabulated] {
                    near(law.cdf(c * x), p, 1e-7);
                    let at = law.at(c * x);
                    near(at.0, p, 1e-7);
                    near(at.1, density, 1e-4 * (1.0 + density));
                    near(law.quantile(p), c * x, 2e-7 / density + 1e-9);
                }
            }
            assert!(scaled.at(-1e9).0 < 1e-10 && scaled.at(1e9).0 > 1.0 - 1e-10, "{text}");
        }
    }
    let point = law("2");
    assert_eq!((point.at(2.0), point.at(1.9)), ((1.0, 0.0), (0.0, 0.0)));
    assert!(point.positive() && !Law::Point(0.0).positive() && !Law::Point(-1.0).positive());
    near(point.scaled(-3.0, 1.0).quantile(0.3), -6.0, 0.0, "point");
    assert!(!law("t(4, 0.1, 9)").integrable() && law("u(1, 3)").integrable());
}

/// A density that jumps is cut there, one that a bound hardly reaches is not.
#[test]
fn jumps_are_where_the_density_has_them() {
    let table = Law::Table(law("u(1, 3)").tabulated(1.0));
    for (law, breaks) in [
        (law("u(1, 3)"), "[1.0, 3.0]"),
        (law("tri(1, 2, 4)"), "[1.0, 4.0, 2.0]"),
        (law("tn(1, 1, min=0)"), "[0.0]"),
        (law("tn(1, 1, min=0, max=3)"), "[0.0, 3.0]"),
        (law("tn(10, 1, min=0)"), "[]"),
        (law("n(1, 1)"), "[]"),
        (law("u(1, 3)").scaled(-2.0, 1.0), "[-6.0, -2.0]"),
        (table.scaled(-2.0, 1.0), "[-2.0, -6.0]"),
    ] {
        assert_eq!(format!("{:?}", law.breaks()), breaks);
    }
    // Two jumps join to a bend, each once, and 0 is none.
    for (a, b, operation, bends) in [
        ("u(1, 2)", "u(1, 3)", Operation::Product, "[1.0, 2.0, 3.0, 6.0]"),
        ("u(1, 2)", "u(1, 3)", Operation::Sum, "[2.0, 3.0, 4.0, 5.0]"),
        ("u(0, 1)", "u(0, 1)", Operation::Sum, "[1.0, 2.0]"),
        ("u(-1, 1)", "u(1, 2)", Operation::Product, "[-2.0, -1.0, 1.0, 2.0]"),
        ("u(1, 2)", "n(1, 1)", Operation::Sum, "[]"),
    ] {
        let narrow = Narrow::of(&law(b), 1.0);
        let join = Rc::new(Join::of(law(a).tabulated(1.0), narrow, operation));
        assert_eq!(format!("{:?}", join.tabulated(1.0).breaks), bends, "{a} {b}");
    }
    // The bounds themselves are the ends of the range.
    let range = law("u(1, 3)").range(true).unwrap();
    assert_eq!((range.low.to_bits(), range.high.to_bits()), (0, libm::log(3.0).to_bits()));
    let range = law("u(-3, -1)").range(false).unwrap();
    assert_eq!((range.low.to_bits(), range.high.to_bits()), (0, libm::log(3.0).to_bits()));
}

/// Sums and products of two laws of any sign, where they are asked for and as tables that are joined again.
#[test]
fn joins_are_averages_of_one_law_over_the_other() {
    for (a, b) in [
        ("n(1, 1)", "u(1, 3)"),
        ("u(-1, 3)", "n(0.5, 1)"),
        ("ln(2, 0.5)", "u(1, 3)"),
        ("u(1, 2)", "u(1, 3)"),
        ("n(-5, 1)", "tn(1, 1, min=0)"),
        ("u(-3, -1)", "u(-2, 1)"),
        ("u(-3, -1)", "u(1, 4)"),
        ("u(1, 4)", "u(-3, -1)"),
        ("n(0, 1)", "n(0, 2)"),
        ("tri(1, 2, 4)", "ln(1, 0.2)"),
        ("u(1, 3)", "2"),
        ("n(1, 1)", "-2"),
    ] {
        let [x, y] = [a, b].map(|text| {
            let number = text.parse().map(|mean| Distribution::Point { mean });
            number.unwrap_or_else(|_| text.parse().unwrap())
        });
        for operation in [Operation::Sum, Operation::Product] {
            let what = format!("{operation:?} of {a} and {b}");
            let near = |got, expected, most| near(got, expected, most, &what);
            let narrow = |law: &Law| Narrow::of(law, 1.0);
            let join = Rc::new(Join::of(Law::of(x).tabulated(1.0), narrow(&Law::of(y)), operation));
            let table = Law::Table(join.tabulated(1.0));
            let twice =
                Join::of(law("ln(1, 1)").tabulated(1.0), narrow(&table), Operation::Product);
            near(join.at(0.0).0, joined(operation, &x, &y, 0.0), 1e-3);
            for p in PROBABILITIES {
                let at = join.quantile(p);
                let (found, density) = join.at(at);
                near(found, p, 1e-9);
                // Near zero, few points of the rule see where a product changes its sign.
                near(joined(operation, &x, &y, at), p, if at.abs() > 0.3 { 1e-5 } else { 1e-3 });
                near(table.at(at).0, p, 1e-6);
                near(table.quantile(p), at, 1e-5 * (1.0 + at.abs()) + 2e-6 / density);
                if density > 1e-3 {
                    let h = 1e-5 * at.abs().max(1e-3);
                    let slope = (join.at(at + h).0 - join.at(at - h).0) / (2.0 * h);
                    assert!(
                        (slope / density - 1.0).abs() < 0.02,
                        "{what} at {at}: {slope} {density}"
                    );
                }
            }
            // Times a factor of many powers: F = mean of Φ((ln y − ln x + s²/2)/s), s² = ln 2.
            let s = 2_f64.ln().sqrt();
            for y in [-3.0_f64, -0.5, 0.5, 3.0] {
                let z = |x: f64| ((y / x).ln() + s * s / 2.0) / s;
                let part = |p: f64| {
                    let x = table.quantile(p);
                    match (x > 0.0, y > 0.0) {
                        (true, true) => normal_cdf(z(x)),
                        (true, false) => 0.0,
                        (false, true) => 1.0,
                        (false, false) => 1.0 - normal_cdf(z(x)),
                    }
                };
                let mean =
                    (0..4000).map(|i| part((f64::from(i) + 0.5) / 4000.0)).sum::<f64>() / 4000.0;
                near(twice.at(y).0, mean, 1e-3);
            }
        }
    }
}

/// A product is below zero where an odd number of its factors is: with p of each, that is (1 − Π(1 − 2p))/2, however
/// many are joined.
#[test]
fn a_product_is_below_zero_as_often_as_its_signs_say() {
    let factors = ["n(1, 2)", "u(-1, 3)", "n(-1, 1)", "tri(-3, 1, 2)"];
    let (mut table, mut signs) = (None, 1.0);
    for text in factors {
        let own = law(text);
        signs *= 1.0 - 2.0 * text.parse::<Distribution>().unwrap().cdf(0.0);
        let next = match table {
            None => own.tabulated(1.0),
            Some(wide) => {
                let join = Join::of(wide, Narrow::of(&own, 1.0), Operation::Product);
                near(join.at(0.0).0, (1.0 - signs) / 2.0, 1e-10, text);
                Rc::new(join).tabulated(1.0)
            }
        };
        near(next.below(), (1.0 - signs) / 2.0, 1e-10, text);
        table = Some(next);
    }
}

/// F and its derivative of the sum of n rectangles from 0 to 1: Irwin and Hall.
fn sum_of_rectangles(n: u32, x: f64) -> (f64, f64) {
    let (mut p, mut density) = (0.0, 0.0);
    let mut binomial = 1.0;
    for k in (0..=n).map(f64::from).take_while(|k| *k < x) {
        let over = x - k;
        p += binomial * over.powi(n.try_into().unwrap());
        density += f64::from(n) * binomial * over.powi((n - 1).try_into().unwrap());
        binomial *= -(f64::from(n) - k) / (k + 1.0);
    }
    let factorial: f64 = (1..=n).map(f64::from).product();
    (p / factorial, density / factorial)
}

/// The same of their product: −ln of it is of a gamma distribution.
fn product_of_rectangles(n: u32, x: f64) -> (f64, f64) {
    let t = -x.ln();
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 0..n {
        sum += term;
        if k + 1 < n {
            term *= t / f64::from(k + 1);
        }
    }
    (x * sum, term)
}

/// Expression, inputs, F and its derivative, and between which values it lies.
type Case = (Expression, Vec<&'static str>, Box<dyn Fn(f64) -> (f64, f64)>, [f64; 2]);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let all = |n| (0..n).map(Expression::Input).collect::<Vec<_>>();
    let (sum, times) = (Expression::Sum, Expression::Product);
    let normal = |mean: f64, sd: f64| move |y: f64| ((y - mean) / sd, sd);
    let phi = |(z, sd): (f64, f64)| (normal_cdf(z), normal_density(z) / sd);
    let ln = |mean: f64, s: f64| {
        move |y: f64| {
            let z = ((y / mean).ln() + s * s / 2.0) / s;
            (normal_cdf(z), normal_density(z) / (s * y))
        }
    };
    // Φ integrated over a rectangle from 1 to 3: with G(z) = zΦ(z) + φ(z).
    let blurred = move |mean: f64, sd: f64| {
        move |y: f64| {
            let g = |z: f64| z * normal_cdf(z) + normal_density(z);
            let [a, b] = [1.0, 3.0].map(|u| (y - mean - u) / sd);
            (sd * (g(a) - g(b)) / 2.0, (normal_cdf(a) - normal_cdf(b)) / 2.0)
        }
    };
    // A factor given by its quantiles times one with a distribution function, by the rule of the tests.
    let times_of = |factor: &'static str, other: &'static str| {
        let [x, y]: [Distribution; 2] = [factor, other].map(|text| text.parse().unwrap());
        move |at: f64| {
            let h = 1e-5;
            let p = |at| joined(Operation::Product, &x, &y, at);
            (p(at), (p(at + h) - p(at - h)) / (2.0 * h))
        }
    };
    let squared = |index| Expression::Input(index).power(2);
    let mut cases: Vec<Case> = vec![
        (
            sum(all(3)),
            vec!["n(1, 2)", "n(3, 4)", "n(-2, 1)"],
            {
                let f = normal(2.0, 21_f64.sqrt());
                Box::new(move |y| phi(f(y)))
            },
            [-60.0, 60.0],
        ),
        (
            sum(all(3)),
            vec!["n(1, 2)", "u(1, 3)", "n(3, 1)"],
            Box::new(blurred(4.0, 5_f64.sqrt())),
            [-60.0, 60.0],
        ),
        (
            times(all(2)),
            vec!["ln(2, 0.5)", "ln(3, 0.2)"],
            { Box::new(ln(6.0, (1.25_f64.ln() + 1.04_f64.ln()).sqrt())) },
            [1e-3, 1e3],
        ),
        // The square of a lognormal of mean 2: s is twice as large, the mean 4·exp(s²).
        (
            times(vec![squared(0), Expression::Input(1)]),
            vec!["ln(2, 0.5)", "ln(3, 0.2)"],
            { Box::new(ln(12.0 * 1.25, (4.0 * 1.25_f64.ln() + 1.04_f64.ln()).sqrt())) },
            [1e-3, 1e4],
        ),
        (
            times(all(2)),
            vec!["n(0.2, 1)", "u(1, 3)"],
            Box::new(times_of("n(0.2, 1)", "u(1, 3)")),
            [-30.0, 30.0],
        ),
        (
            times(all(2)),
            vec!["u(1, 3)", "n(0.2, 1)"],
            Box::new(times_of("n(0.2, 1)", "u(1, 3)")),
            [-30.0, 30.0],
        ),
        (
            times(all(2)),
            vec!["n(4, 1)", "u(-3, -1)"],
            Box::new(times_of("n(4, 1)", "u(-3, -1)")),
            [-60.0, 60.0],
        ),
        (
            times(all(2)),
            vec!["ln(1, 2)", "n(1, 1)"],
            Box::new(times_of("ln(1, 2)", "n(1, 1)")),
            [-60.0, 90.0],
        ),
        // U² of a rectangle from 1 to 2 times another from 0 to 1: F = y·(1 − ½) below 1.
        (
            times(vec![squared(0), Expression::Input(1)]),
            vec!["u(1, 2)", "u(0, 1)"],
            Box::new(|y| {
                // Where y < u²: y/u², else 1.
                let a = y.sqrt().clamp(1.0, 2.0);
                ((a - 1.0) + y * (1.0 / a - 0.5), 1.0 / a - 0.5)
            }),
            [0.0, 4.0],
        ),
    ];
    for n in 1..=5 {
        let of = vec!["u(0, 1)"; n];
        let (count, most) = (u32::try_from(n).unwrap(), f64::from(u32::try_from(n).unwrap()));
        cases.push((
            sum(all(n)),
            of.clone(),
            Box::new(move |y| sum_of_rectangles(count, y)),
            [0.0, most],
        ));
        cases.push((
            times(all(n)),
            of,
            Box::new(move |y| product_of_rectangles(count, y)),
            [1e-12, 1.0],
        ));
    }
    cases
}

/// The other method confirms what formulas say, closely where few inputs are averaged over, and contradicts what is off
/// by a hundredth of the width.
#[test]
fn the_other_method_agrees_with_formulas_and_with_nothing_beside_them() {
    for (expression, texts, f, [least, most]) in cases() {
        let inputs: Vec<_> = texts.iter().map(|text| input(text)).collect();
        let end = |p: f64| root(least, most, p, &f);
        let ends = TAILS.map(end);
        let width = ends[1] - ends[0];
        let with = |moved: [f64; 2], most: f64| {
            let ends = [0, 1].map(|side| (ends[side] + moved[side] * width, f(ends[side]).1));
            check::holds(&expression, &inputs, TAILS, ends, most * width)
        };
        // The density of a rectangle jumps, and the factor below zero is taken for one that crosses it.
        let jumps = |text: &&str| text.starts_with('u');
        let rectangles = texts.iter().all(jumps) || texts.contains(&"u(-3, -1)");
        let closely = if rectangles { 3e-4 } else { 1e-5 };
        assert!(with([0.0; 2], closely), "{expression:?} of {texts:?}");
        // An end that is near zero beside the width has a scale of its own.
        let low = if ends[0].abs() > 0.05 * width { 0.01 } else { 0.0 };
        let moves = [[0.0, 0.01], [low, 0.01], [-low, 0.01], [0.0, -0.01], [low, -0.01]];
        for moved in moves.into_iter().take(if texts.len() > 4 { 1 } else { 5 }) {
            assert!(!with(moved, closely), "{expression:?} of {texts:?}: {moved:?}");
        }
        if low > 0.0 {
            assert!(!with([low, 0.0], closely) && !with([-low, 0.0], closely), "{texts:?}");
        }
    }
}

/// An interval is confirmed where its ends lie within the bounds, by more than rounding, and nowhere else; what has an
/// error that is told, or no closed form, is not.
#[test]
fn bounds_are_confirmed_where_the_ends_lie_between_them() {
    for parts in [
        &["ln(2, 0.1)"][..],
        &["ln(2, 0.05)", "u(0.9, 1.1)"],
        &["u(0.9, 1.1)", "u(0.8, 1.2)", "tn(1, 0.1, min=0.9)"],
    ] {
        let model = product(parts);
        let found = closed(&model);
        assert!(matches!(found.method, Used::Analytical { error: None }), "{parts:?}");
        let [low, high] = [found.low / found.mean, found.high / found.mean];
        let around = |end: f64, part: f64| (end * (1.0 - part), end * (1.0 + part));
        let told = [around(low, 1e-9), around(high, 1e-9)];
        let standard = model.confirm(told).unwrap();
        near(standard, found.standard / found.mean, 1e-12, "standard");
        for (ends, why) in [
            ([around(low * (1.0 + 3e-9), 1e-9), told[1]], "the lower one lies below"),
            ([around(low * (1.0 - 3e-9), 1e-9), told[1]], "the lower one lies above"),
            ([told[0], around(high * (1.0 + 3e-9), 1e-9)], "the upper one lies below"),
            ([told[0], around(high * (1.0 - 3e-9), 1e-9)], "the upper one lies above"),
            ([around(low, 1e-15), told[1]], "too near to tell"),
            ([told[0], around(high, 1e-15)], "too near to tell"),
            ([around(low, 2e-3), told[1]], "too far to be checked"),
            ([told[0], around(high, 2e-3)], "too far to be checked"),
        ] {
            assert_eq!(model.confirm(ends), None, "{parts:?}: {why}");
        }
    }
    for unsure in [
        product(&["u(0.9, 1.1)"; 4]),
        product(&["n(1, 0.3)", "ln(1, 0.1)"]),
        Model::sum([product(&["ln(1, 0.1)"]), product(&["u(1, 2)"])]).unwrap(),
    ] {
        let found = closed(&unsure);
        assert!(matches!(found.method, Used::Analytical { error: Some(_) }), "{found:?}");
        let told = [found.low, found.high].map(|end| {
            let end = end / found.mean;
            (end - 1e-6, end + 1e-6)
        });
        assert_eq!(unsure.confirm(told), None);
    }
    for any in [
        product(&["ln(2, 0.05)", "u(0.9, 1.1)"]),
        product(&["u(0.9, 1.1)"; 4]),
        Model::sum([product(&["ln(1, 0.1)"]), product(&["u(1, 2)"])]).unwrap(),
        Model::sum([product(&["ln(9, 0.3)", "tn(1.5, 0.2, min=1)"]), product(&["ln(2, 0.4)"])])
            .unwrap(),
    ] {
        let found = closed(&any);
        let around = |end: f64| (end * (1.0 - 1e-9), end * (1.0 + 1e-9));
        let [low, high] = [found.low, found.high];
        assert!(any.confirms_ends([around(low), around(high)]), "{found:?}");
        for by in [1.0 - 3e-9, 1.0 + 3e-9, 1.01] {
            assert!(!any.confirms_ends([around(low * by), around(high)]), "{found:?}, {by}");
            assert!(!any.confirms_ends([around(low), around(high * by)]), "{found:?}, {by}");
        }
    }
    // Lognormal factors are one, however many.
    let found = closed(&product(&["ln(1, 0.1)", "ln(2, 0.2)", "ln(1, 0.3)", "ln(3, 0.1)"]));
    assert!(matches!(found.method, Used::Analytical { error: None }));
}

/// Exact terms move an interval, first powers are their base, squares double a logarithm.
#[test]
fn constants_and_powers_have_their_closed_forms() {
    let term = |number| Expression::Constant(number);
    let of = |expression, texts: &[&str]| {
        closed(&Model::new(texts.iter().map(|text| input(text)).collect(), expression).unwrap())
    };
    let sum = |texts: &[&str]| {
        let inputs = (0..texts.len()).map(Expression::Input);
        of(Expression::Sum(inputs.chain([term(5.0), term(2.0)]).collect()), texts)
    };
    let near = |got, expected| near(got, expected, 1e-8, "end");
    let moved = sum(&["u(0, 1)"]);
    near(moved.low, 7.025);
    near(moved.high, 7.975);
    let moved = sum(&["n(1, 2)"]);
    near(moved.low, 8.0 - 2.0 * normal_quantile(0.975));
    near(moved.high, 8.0 + 2.0 * normal_quantile(0.975));
    // At the peak itself, where the second half of the table begins: F(2) = 1/3 of a triangle from 1 to 4.
    let peak = Expression::Sum(vec![Expression::Input(0), term(5.0)]);
    let peak = Model::new(vec![input("tri(1, 2, 4)")], peak).unwrap();
    near(peak.probability(7.0, &Method::Analytical), 1.0 / 3.0);
    let once = of(Expression::Input(0).power(1), &["u(1, 3)"]);
    near(once.low, 1.05);
    near(once.high, 2.95);
    // ln of the median −s²/2, doubled; s doubled.
    let square = of(Expression::Input(0).power(2), &["ln(1, 0.3)"]);
    let s = 1.09_f64.ln().sqrt();
    near(square.low, (-s * s - 2.0 * s * normal_quantile(0.975)).exp());
    near(square.high, (-s * s + 2.0 * s * normal_quantile(0.975)).exp());
}
