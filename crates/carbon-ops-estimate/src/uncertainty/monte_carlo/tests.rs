//! The examples of JCGM 101:2008, section 9. The trials' own scatter is in the tolerances; published values
//! have two to four digits.
//!
//! Where the published values were seen is said at each test, as others quote them. Where no quotation was
//! found, the values agree with `NumPy` 2 (20,000,000 trials, `default_rng(5)`, the same models written
//! anew), whose results stand beside them.

use super::tolerance;
use crate::uncertainty::{
    Coverage, Error, Estimate, Expression, Input, Method, Model, MonteCarlo, Trials, Used,
};
use std::num::NonZeroUsize;

fn input(text: &str) -> Input {
    Input::new(text, text.parse().unwrap())
}

fn sampled(model: &Model, interval: Coverage) -> Estimate {
    let settings =
        MonteCarlo { trials: Trials::Fixed(1_000_000), interval, ..MonteCarlo::seeded(101) };
    model.evaluate(&Method::MonteCarlo(settings)).unwrap()
}

/// Mean, standard uncertainty and interval, each with the same tolerance.
fn check(got: &Estimate, mean: f64, standard: f64, [low, high]: [f64; 2], tolerance: f64) {
    let pairs = [(got.mean, mean), (got.standard, standard), (got.low, low), (got.high, high)];
    for (got, expected) in pairs {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }
}

/// 9.2.2, table 2 and 9.2.3, table 3: 2.0, ±3.92 and ±3.88, as the tests of Suncal quote them (sandialabs/suncal,
/// `test/test_examples.py`, `test_montecarlo`). 9.2.4: `NumPy` 10.150, ±17.02.
#[test]
fn additive_models_are_those_of_the_supplement() {
    let sum = |parts: &[String]| {
        Model::sum(parts.iter().map(|part| Model::product(1.0, vec![input(part)]).unwrap()))
            .unwrap()
    };
    let side = |sd: f64| format!("u(-{0}, {0})", sd * 3_f64.sqrt());
    let normals = sampled(&sum(&vec!["n(0, 1)".to_owned(); 4]), Coverage::Symmetric);
    check(&normals, 0.0, 2.0, [-3.92, 3.92], 0.015);
    let rectangles = sampled(&sum(&vec![side(1.0); 4]), Coverage::Symmetric);
    check(&rectangles, 0.0, 2.0, [-3.88, 3.88], 0.015);
    // One that dominates: ±17.0, where a normal of the same u would say ±19.9.
    let parts = [side(1.0), side(1.0), side(1.0), side(10.0)];
    let dominated = sampled(&sum(&parts), Coverage::Symmetric);
    check(&dominated, 0.0, 10.1, [-17.0, 17.0], 0.07);
}

/// 9.3, table 6: `δm = (m_R + δm_R)·(1 + (ρ_a − 1.2)(1/ρ_W − 1/ρ_R)) − m_nom`, in mg; shortest interval.
/// `NumPy`: 1.2340, 0.0755, 1.0842 to 1.3832; where a shortest interval lies is less certain than its width.
#[test]
fn mass_calibration_is_that_of_the_supplement() {
    let inputs =
        ["n(100000, 0.05)", "n(1.234, 0.02)", "u(1.1, 1.3)", "u(7000, 9000)", "u(7950, 8050)"];
    let [mass, correction, air, weight, reference] = [0, 1, 2, 3, 4].map(Expression::Input);
    let constant = Expression::Constant;
    let minus = |x| Expression::Product(vec![constant(-1.0), x]);
    let buoyancy = Expression::Product(vec![
        Expression::Sum(vec![air, constant(-1.2)]),
        Expression::Sum(vec![weight.power(-1), minus(reference.power(-1))]),
    ]);
    let expression = Expression::Sum(vec![
        Expression::Product(vec![
            Expression::Sum(vec![mass, correction]),
            Expression::Sum(vec![constant(1.0), buoyancy]),
        ]),
        constant(-100_000.0),
    ]);
    let model = Model::new(inputs.map(input).to_vec(), expression).unwrap();
    let got = sampled(&model, Coverage::Shortest);
    check(&got, 1.234_1, 0.075_4, [1.083_4, 1.382_5], 0.001_5);
}

/// 9.4, tables 7 and 8: Y = X₁² + X₂² with u = 0.005, in units of 10⁻⁶; shortest interval. `NumPy`, in the order
/// below: 50.0, 50.0, 0 to 149.8; 150.0, 111.8, 0 to 366.0; 2549.6, 502.3, 1595 to 3549; 50.0, 67.3, 0 to 185.1; 150.0,
/// 120.6, 13.0 to 398.0; 2550.0, 504.4, 1626 to 3556. The means are also exact: 2·0.005² + x₁².
#[test]
fn comparison_loss_is_that_of_the_supplement() {
    let check = |x1: f64, r: f64, [mean, standard, low, high]: [f64; 4], tolerance| {
        let expression = {
            // X₂ = r·(X₁ − x₁) + √(1 − r²)·W.
            let [first, other] = [0, 1].map(Expression::Input);
            let second = Expression::Sum(vec![
                Expression::Product(vec![Expression::Constant(r), first.clone()]),
                Expression::Constant(-r * x1),
                Expression::Product(vec![Expression::Constant((1.0 - r * r).sqrt()), other]),
            ]);
            Expression::Product(vec![
                Expression::Constant(1e6),
                Expression::Sum(vec![first.power(2), second.power(2)]),
            ])
        };
        let inputs = vec![input(&format!("n({x1}, 0.005)")), input("n(0, 0.005)")];
        let model = Model::new(inputs, expression).unwrap();
        check(&sampled(&model, Coverage::Shortest), mean, standard, [low, high], tolerance);
    };
    check(0.0, 0.0, [50.0, 50.0, 0.0, 150.0], 0.8);
    check(0.010, 0.0, [150.0, 112.0, 0.0, 367.0], 1.5);
    check(0.050, 0.0, [2551.0, 502.0, 1590.0, 3543.0], 12.0);
    check(0.0, 0.9, [50.0, 67.0, 0.0, 185.0], 1.0);
    check(0.010, 0.9, [150.0, 121.0, 13.0, 398.0], 3.0);
    check(0.050, 0.9, [2551.0, 505.0, 1628.0, 3555.0], 12.0);
}

/// 9.5, tables 10 and 11: `δL = L_S + D + d₁ + d₂ − L_S·(δα·(θ₀ + Δ) + α_S·δθ) − L_nom` in nm; 99 %.
/// Published: 838 and 36, 745 to 932, as Metrology (MDPI) 2022, 2(1), 3, section 4.1, quotes them with a million
/// trials of its own. The ends with a digit more: 4 million trials of `NumPy` 2.4 (`standard_t` and so on).
#[test]
fn gauge_block_is_that_of_the_supplement() {
    let inputs = [
        "t(50000623, 25, 18)",
        "t(215, 6, 24)",
        "t(0, 4, 5)",
        "t(0, 7, 8)",
        "u(9.5e-6, 13.5e-6)",
        "n(-0.1, 0.2)",
        "arcsine(-0.5, 0.5)",
        "ctrap(-1e-6, 1e-6, 1e-7)",
        "ctrap(-0.05, 0.05, 0.025)",
    ];
    let [length, comparison, d1, d2, alpha, theta, cycle, delta_alpha, delta_theta] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(Expression::Input);
    let expansion = Expression::Sum(vec![
        Expression::Product(vec![delta_alpha, Expression::Sum(vec![theta, cycle])]),
        Expression::Product(vec![alpha, delta_theta]),
    ]);
    let expression = Expression::Sum(vec![
        length.clone(),
        comparison,
        d1,
        d2,
        Expression::Product(vec![Expression::Constant(-1.0), length, expansion]),
        Expression::Constant(-50_000_000.0),
    ]);
    let model = Model::new(inputs.map(input).to_vec(), expression).unwrap();
    let settings = MonteCarlo { trials: Trials::Fixed(1_000_000), ..MonteCarlo::seeded(95) };
    let got = model.evaluate_at(&Method::MonteCarlo(settings), 0.99).unwrap();
    check(&got, 838.0, 36.0, [744.3, 931.6], 1.0);
}

#[test]
fn neither_threads_nor_other_inputs_change_a_trial() {
    let model = Model::product(1.0, vec![input("tn(1.2, 0.05, min=1)"), input("ln(400, 0.1)")]);
    let model = model.unwrap();
    let at = |threads| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let settings =
            MonteCarlo { threads, trials: Trials::Fixed(34_567), ..MonteCarlo::seeded(9) };
        model.evaluate(&Method::MonteCarlo(settings)).unwrap()
    };
    let one = at(1);
    for threads in [2, 3, 64] {
        assert_eq!(at(threads), one, "{threads}");
    }
}

/// Pinned bits: what another machine has to give as well. Not from elsewhere; a change of these
/// numbers changes records.
#[test]
fn the_bits_of_a_run_are_pinned() {
    let model = Model::product(
        1.2,
        vec![input("tn(1.2, 0.05, min=1)"), input("ln(400, 0.1)"), input("u(0.9, 1.1)")],
    );
    let got = model.unwrap().evaluate(&Method::MonteCarlo(MonteCarlo::seeded(42))).unwrap();
    let bits = [got.mean, got.standard, got.low, got.high].map(f64::to_bits);
    assert_eq!(bits, PINNED, "{bits:#x?}");
}

const PINNED: [u64; 4] =
    [0x4081_ff0e_f120_5ba7, 0x4051_bf71_f978_fb65, 0x407c_0bae_86f2_2f67, 0x4086_ad1b_2e52_89be];

/// JCGM 101, 7.9.2, notes: 0.35 with two digits is 35·10⁻², δ = ½·10⁻²; 2.2 with one digit is 2·10⁰.
#[test]
fn the_numerical_tolerance_is_that_of_the_supplement() {
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-15, "{got}");
    near(tolerance(0.35, 2), 0.005);
    near(tolerance(2.2, 1), 0.5);
    // Rounds up to 1.0: one digit more before the point.
    near(tolerance(0.996, 2), 0.05);
    near(tolerance(0.0, 2), 0.0);
}

#[test]
fn an_adaptive_run_stops_when_it_is_stable() {
    let model = Model::product(1.0, vec![input("ln(400, 0.1)")]).unwrap();
    let adaptive = |digits| {
        let settings = MonteCarlo { trials: Trials::Adaptive { digits }, ..MonteCarlo::seeded(5) };
        model.evaluate(&Method::MonteCarlo(settings))
    };
    let one = adaptive(1).unwrap();
    let two = adaptive(2).unwrap();
    let run = |estimate: &Estimate| {
        let Used::MonteCarlo { run, .. } = estimate.method else { panic!() };
        run
    };
    assert_eq!((run(&one).stable, run(&two).stable), (Some(true), Some(true)));
    assert!(run(&one).trials < run(&two).trials, "{:?}", run(&two));
    // Textbook ends of that lognormal: see the tests of the product.
    assert!((two.low - 327.333_764_81).abs() < run(&two).delta);
    assert!((two.high - 483.958_145_15).abs() < run(&two).delta);
    assert_eq!(adaptive(0), Err(Error::Digits(0)));
}

#[test]
fn impossible_runs_are_refused() {
    let model = Model::product(1.0, vec![input("ln(400, 0.1)")]).unwrap();
    for trials in [0, 199, 100_000_000] {
        let settings = MonteCarlo { trials: Trials::Fixed(trials), ..MonteCarlo::seeded(5) };
        let error = model.evaluate(&Method::MonteCarlo(settings)).unwrap_err();
        assert!(matches!(error, Error::Trials { enough: 200_000, .. }), "{error}");
    }
    let quotient =
        Expression::Product(vec![Expression::Constant(0.0), Expression::Input(0).power(-1)]);
    let quotient = Model::new(vec![input("tn(0, 1e-320, min=-1, max=0)")], quotient);
    assert!(quotient.is_err() || quotient.unwrap().evaluate(&Method::Analytical).is_err());
}

/// One key with opposite signs: X·(2 − X) for X uniform on [0, 2] has mean 2·1 − 4/3 = 2/3.
#[test]
fn inputs_of_one_key_are_one_variable() {
    let with = |second: Input| {
        let model = Model::product(1.0, vec![input("u(0, 2)").shared("k"), second]).unwrap();
        sampled(&model, Coverage::Symmetric)
    };
    let against = with(input("u(0, 2)").shared("k").opposed());
    assert!((against.mean - 2.0 / 3.0).abs() < 0.002, "{}", against.mean);
    // E[X²] = 4/3; another distribution of the same key: E[X·X/2] = 2/3.
    let along = with(input("u(0, 2)").shared("k"));
    assert!((along.mean - 4.0 / 3.0).abs() < 0.005, "{}", along.mean);
    let half = with(input("u(0, 1)").shared("k"));
    assert!((half.mean - 2.0 / 3.0).abs() < 0.003, "{}", half.mean);
}
