//! Every expected value comes from elsewhere: `SciPy` (`stats`, `integrate.quad`, `dblquad`,
//! `optimize.brentq`, tolerances 1e-10 or better) unless a comment names another source.

use super::*;
use crate::uncertainty::round9;
use proptest::prelude::*;

const PUE: Distribution =
    Distribution::TruncatedNormal { mu: 1.55, sigma: 0.2, min: 1.0, max: None };

fn lognormal(mean: f64, cv: f64) -> Distribution {
    Distribution::Lognormal { mean, cv }
}

fn near(got: f64, expected: f64, relative: f64) {
    assert!((got - expected).abs() <= expected.abs() * relative, "{got} is not {expected}");
}

#[test]
fn truncated_normal_moments_are_those_of_scipy() {
    near(PUE.mean(), 1.551_824_148_029_552, 1e-14);
    near(PUE.variance(), 0.038_993_391_067_712_706, 1e-12);
    // The textbook case mu = sigma = 100, cut at 0; a clamped normal would give 108.33.
    let half = Distribution::TruncatedNormal { mu: 100.0, sigma: 100.0, min: 0.0, max: None };
    near(half.mean(), 128.759_997_093_917_83, 1e-14);
    near(half.variance(), 6_296.862_857_766_055, 1e-12);
    let two = Distribution::TruncatedNormal { mu: 1.0, sigma: 0.5, min: 0.5, max: Some(1.2) };
    near(two.mean(), 0.872_878_486_253_861_7, 1e-13);
    near(two.variance(), 0.037_933_799_415_051_26, 1e-11);
}

#[test]
fn one_lognormal_has_its_textbook_interval() {
    let grams = product(1.0, &[lognormal(400.0, 0.1)]).unwrap();
    near(grams.low, 327.333_764_81, 1e-10);
    near(grams.high, 483.958_145_49 - 3.4e-7, 1e-8);
    near(grams.standard, 40.0, 1e-12);
}

#[test]
fn a_single_truncated_normal_needs_no_quadrature() {
    let pue = product(1.0, &[PUE]).unwrap();
    near(pue.low, 1.167_497_57, 1e-8);
    near(pue.high, 1.942_248_04, 1e-8);
    let two = Distribution::TruncatedNormal { mu: 1.0, sigma: 0.5, min: 0.5, max: Some(1.2) };
    let two = product(1.0, &[two]).unwrap();
    near(two.low, 0.525_035_99, 1e-8);
    near(two.high, 1.183_248_1, 1e-7);
}

#[test]
fn two_lognormals_and_a_pue_agree_with_adaptive_integration() {
    let grams = product(2.0, &[lognormal(1.0, 0.3), PUE, lognormal(400.0, 0.25)]).unwrap();
    near(grams.mean, 1_241.459_318_423_641_7, 1e-13);
    near(grams.low, 516.953_396_750_298_8, 1e-8);
    near(grams.high, 2_522.565_276_656_994_7, 1e-8);
}

#[test]
fn two_truncated_normals_and_a_lognormal_agree_with_adaptive_integration() {
    let world = Distribution::TruncatedNormal { mu: 463.0, sigma: 242.5, min: 0.0, max: None };
    let grams = product(1.0, &[lognormal(1.0, 0.6), PUE, world]).unwrap();
    near(grams.mean, 743.456_169_753_479_8, 1e-12);
    near(grams.low, 71.799_570_784_762_45, 1e-6);
    near(grams.high, 2_355.382_785_855_166_7, 1e-6);
}

#[test]
fn the_product_of_two_uniforms_has_its_closed_form() {
    // F(y) = y(1 − ln y): Springer, The Algebra of Random Variables, section 4.
    let unit = Distribution::Uniform { low: 0.0, high: 1.0 };
    let product = product(1.0, &[unit, unit]).unwrap();
    near(product.low, 0.003_804_223_466_445_714, 1e-2);
    near(product.high, 0.784_891_899_328_615_7, 1e-3);
    near(product.mean, 0.25, 1e-15);
    near(product.standard, (7.0f64 / 144.0).sqrt(), 1e-14); // 1/9 − 1/16.
}

#[test]
fn a_truncated_normal_can_be_made_for_a_mean() {
    let world = Distribution::truncated_with_mean(480.617, 242.499, 0.0).unwrap();
    let Distribution::TruncatedNormal { mu, .. } = world else { panic!() };
    near(mu, 464.761_549_735_003_5, 1e-8);
    near(world.mean(), 480.617, 1e-8);
}

#[test]
fn a_result_without_uncertainty_is_refused() {
    let points = [Distribution::Point { mean: 1.2 }, Distribution::Point { mean: 400.0 }];
    assert_eq!(product(1.0, &points), Err(Error::NoUncertainty));
}

#[test]
fn zero_intensity_gives_zero_grams() {
    let zero = Distribution::Point { mean: 0.0 };
    let grams = product(1.0, &[zero, PUE]).unwrap();
    assert_eq!((grams.mean, grams.low, grams.high), (0.0, 0.0, 0.0));
}

#[test]
fn impossible_parameters_are_refused() {
    let tn = |mu, sigma, min, max| Distribution::TruncatedNormal { mu, sigma, min, max };
    for distribution in [
        lognormal(-1.0, 0.1),
        lognormal(1.0, 0.0),
        lognormal(f64::NAN, 0.1),
        tn(1.0, 0.0, 0.0, None),
        tn(1.0, 0.1, -1.0, None),
        tn(1.0, 0.1, 2.0, Some(1.5)),
        tn(1.0, 0.1, 5.0, None),
        Distribution::Uniform { low: 1.0, high: 1.0 },
        Distribution::Point { mean: f64::INFINITY },
    ] {
        assert!(distribution.checked().is_err(), "{distribution:?}");
        assert!(product(1.0, &[distribution, PUE]).is_err(), "{distribution:?}");
    }
}

#[test]
fn nine_digits_round_half_to_even() {
    // 2^-10 and neighbours are exact in binary, so these are true ties.
    for (x, expected) in [
        (0.5, 0.5),
        (123_456_789.5, 123_456_790.0),
        (123_456_788.5, 123_456_788.0),
        (-0.0, 0.0),
        (0.054_286_822_527_36, 0.054_286_822_5),
    ] {
        assert_eq!(round9(x).to_bits(), f64::to_bits(expected), "{x}");
    }
}

proptest! {
    #[test]
    fn the_interval_holds_the_stated_probability(
        constant in 1e-9..1e3f64, cv in 0.01..1.5f64, sigma in 0.02..0.5f64,
    ) {
        let pue = Distribution::TruncatedNormal { mu: 1.5, sigma, min: 1.0, max: None };
        let outcome = product(constant, &[lognormal(1.0, cv), pue]).unwrap();
        prop_assert!(0.0 < outcome.low && outcome.low < outcome.high);
        let cdf = Cdf { inner: Inner::Log(Log::of(1.0, cv)), nodes: grid(&[pue]) };
        prop_assert!((cdf.at((outcome.low / constant).ln()).0 - 0.025).abs() < 1e-9);
        prop_assert!((cdf.at((outcome.high / constant).ln()).0 - 0.975).abs() < 1e-9);
    }

    #[test]
    fn scaling_scales(constant in 1e-9..1e9f64) {
        let one = product(1.0, &[lognormal(3.0, 0.4), PUE]).unwrap();
        let many = product(constant, &[lognormal(3.0, 0.4), PUE]).unwrap();
        for (a, b) in [(one.mean, many.mean), (one.low, many.low), (one.high, many.high)] {
            prop_assert!((a * constant - b).abs() <= b * 1e-11);
        }
    }
}
