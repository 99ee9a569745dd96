//! Expected values: `SciPy` 1.17.1, `stats.{truncnorm, triang, arcsine, t, norm, uniform}`, unless a
//! comment names another source.

use super::*;

fn near(got: f64, expected: f64, relative: f64) {
    assert!((got - expected).abs() <= expected.abs() * relative, "{got} is not {expected}");
}

fn of(text: &str) -> Distribution {
    text.parse().unwrap()
}

/// Mean, variance, quantiles at 0.001, 0.025 and 0.9.
fn check(text: &str, mean: f64, variance: f64, quantiles: [f64; 3]) {
    let distribution = of(text);
    // Far out, μ and the distance to it nearly cancel.
    near(distribution.mean(), mean, 1e-13);
    near(distribution.variance(), variance, 3e-11);
    for (p, expected) in [0.001, 0.025, 0.9].into_iter().zip(quantiles) {
        near(distribution.quantile(p), expected, 1e-11);
        near(distribution.cdf(expected), p, 1e-10);
    }
}

#[test]
fn moments_and_quantiles_are_those_of_scipy() {
    check(
        "tn(1.55, 0.2, min=1)",
        1.551_824_148_029_552,
        0.038_993_391_067_712_706,
        [1.019_193_078_703_450_9, 1.167_497_574_045_518_7, 1.806_650_260_643_163_8],
    );
    check(
        "tn(0, 1, min=3)",
        3.283_098_654_930_44,
        0.070_559_186_785_255_86,
        [3.000_304_729_551_136_3, 3.007_703_158_620_817_6, 3.642_522_275_831_624],
    );
    check(
        "tn(1, 0.5, min=0.5, max=1.2)",
        0.872_878_486_253_861_7,
        0.037_933_799_415_051_26,
        [0.501_025_449_673_358_9, 0.525_035_993_972_852_4, 1.134_123_100_551_419_2],
    );
    check(
        "tn(-1, 2, min=0)",
        1.282_155_540_736_129_6,
        1.073_921_628_623_513_6,
        [0.001_753_113_256_977_245_6, 0.044_063_569_010_914_794, 2.736_783_190_253_27],
    );
    check(
        "tri(1, 2, 5)",
        8.0 / 3.0,
        13.0 / 18.0,
        [1.063_245_553_203_367_6, 1.316_227_766_016_838, 3.904_554_884_989_668],
    );
    check(
        "t(10, 2, 5)",
        10.0,
        20.0 / 3.0,
        [-1.786_859_062_712_018_4, 4.858_836_328_727_369, 12.951_768_097_648_962],
    );
    check(
        "n(3, 2)",
        3.0,
        4.0,
        [-3.180_464_612_335_626_4, -0.919_927_969_080_109, 5.563_103_131_089_201],
    );
    check("u(1, 3)", 2.0, 1.0 / 3.0, [1.002, 1.05, 2.8]);
    let cycle = of("arcsine(-1, 1)");
    near(cycle.variance(), 0.5, 1e-15);
    near(cycle.quantile(0.9), 0.951_056_516_295_153_6, 1e-15);
    near(cycle.cdf(-0.577_785_252_292_473_1), 0.303_917_114_557_229_86, 1e-14);
}

/// `mpmath` 1.4.1 with 50 digits: the formulas of Johnson, Kotz and Balakrishnan, quantiles by bisection.
/// Bounds that leave a tail on either side, and slices that are far thinner than their parent.
#[test]
fn what_bounds_leave_of_a_tail_has_all_digits() {
    check(
        "tn(10, 1, min=0, max=5)",
        4.813_496_032_874_158,
        0.032_696_434_617_111_59,
        [3.802_399_177_063_912_4, 4.330_632_672_065_638, 4.979_723_979_035_345],
    );
    check(
        "tn(10, 1, min=0, max=2.1)",
        1.977_182_765_130_842_4,
        0.014_659_655_479_972_921,
        [1.280_285_826_542_393_4, 1.652_504_814_845_438_4, 2.086_877_965_836_977],
    );
    check(
        "tn(0, 1, min=7.5)",
        7.628_966_391_103_766,
        0.016_119_736_687_426_11,
        [7.500_131_143_830_181, 7.503_317_932_083_409, 7.796_163_215_923_029],
    );
    let slice = of("tn(0, 1, min=2, max=2.0001)");
    near(slice.mean(), 2.000_049_998_333_292, 1e-14);
    near(slice.variance(), 8.333_333_313_923_227e-10, 1e-9);
    check("tn(1, 1e6, min=0, max=2)", 1.0, 0.333_333_333_333_288_9, [0.002, 0.05, 1.8]);
    check("tn(1, 1e12, min=0, max=2)", 1.0, 0.333_333_333_333_332_8, [0.002, 0.05, 1.8]);
}

/// The density of a triangle with its mode at the upper end is 2(x − low)/(high − low)².
#[test]
fn a_triangle_may_have_its_mode_at_a_bound() {
    let near_end = |text: &str, x, expected| near(of(text).density(x), expected, 1e-15);
    near_end("tri(1, 2, 2)", 2.0, 2.0);
    near_end("tri(1, 2, 2)", 1.5, 1.0);
    near_end("tri(1, 1, 2)", 1.0, 2.0);
    near_end("tri(1, 1, 2)", 2.0, 0.0);
}

/// `SciPy`'s `moment(3)` and `moment(4)`; of u(1, 3): (3^(k+1) − 1)/(2(k+1)); E[1/X] = ln(3)/2.
#[test]
fn higher_moments_are_those_of_scipy() {
    let check = |text: &str, k, expected| near(of(text).moment(k).unwrap(), expected, 1e-11);
    check("tn(1.55, 0.2, min=1)", 3, 3.919_055_024_958_720_6);
    check("tn(1.55, 0.2, min=1)", 4, 6.370_017_626_012_611);
    check("tn(-1, 2, min=0)", 3, 7.539_399_866_625_171);
    check("tn(-1, 2, min=0)", 4, 25.074_733_644_541_26);
    check("tri(1, 2, 5)", 3, 25.0);
    check("tri(1, 2, 5)", 4, 85.4);
    check("n(3, 2)", 3, 63.0);
    check("n(3, 2)", 4, 345.0);
    check("u(1, 3)", 3, 10.0);
    check("u(1, 3)", -1, 3_f64.ln() / 2.0);
    assert_eq!(of("u(0, 3)").moment(-1), None);
    assert_eq!(of("n(3, 2)").moment(-1), None);
}

/// JCGM 101, 6.4.3.4: (b − a)²/12 + d²/9 (variance). The distribution function by the definition: a
/// uniform number between limits that are off by ±d, integrated over d with 10^6 midpoints (`NumPy`).
#[test]
fn inexact_limits_widen_a_rectangle() {
    let trapezoid = of("ctrap(-1, 1, 0.5)");
    near(trapezoid.variance(), 1.0 / 3.0 + 1.0 / 36.0, 1e-15);
    for (x, expected) in TRAPEZOID {
        near(trapezoid.cdf(x), expected, 1e-9);
        near(trapezoid.quantile(expected), x, 1e-8);
    }
}

const TRAPEZOID: [(f64, f64); 3] = [
    (-1.3, 0.006_984_451_633_563_329),
    (-0.7, 0.133_250_981_783_591_96),
    (0.2, 0.609_861_228_866_807_3),
];

#[test]
fn cautions_tell_what_a_reader_should_know() {
    assert_eq!(of("tn(1.2, 0.05, min=1)").caution(true), None);
    assert_eq!(of("n(400, 40)").caution(true), None);
    assert!(matches!(of("n(1, 0.5)").caution(true), Some(Caution::Negative { .. })));
    assert_eq!(of("n(1, 0.5)").caution(false), None);
    assert!(matches!(of("tn(100, 100)").caution(true), Some(Caution::Shifted { .. })));
}

#[test]
fn a_truncated_normal_can_be_made_for_a_mean() {
    let world = Distribution::truncated_with_mean(480.617, 242.499, 0.0).unwrap();
    let Distribution::TruncatedNormal { mu, .. } = world else { panic!() };
    near(mu, 464.761_549_735_003_5, 1e-8);
    near(world.mean(), 480.617, 1e-8);
}
