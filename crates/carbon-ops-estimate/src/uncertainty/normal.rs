//! The standard normal distribution by pinned mathematics: density, distribution function and its inverse.
//!
//! The level of intervals, and the interval that a mean and a spread alone have.
//!
//! Out of scope: distributions (see `distribution`).

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Coverage probability of all intervals in records.
pub const LEVEL: f64 = 0.95;

/// φ(z).
pub(crate) fn normal_density(z: f64) -> f64 {
    libm::exp(-z * z / 2.0) / (2.0 * PI).sqrt()
}

/// Φ(z); relative error below 1e-15 down to z = −37.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    libm::erfc(-z * FRAC_1_SQRT_2) / 2.0
}

/// Φ⁻¹(p) for 0 < p < 1, and ∓∞ at the ends.
///
/// Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988) 477–484: three quotients of
/// polynomials of degree seven. Its relative error is about 1e-16, in these doubles below 1e-15 (see
/// the tests); a Newton step with Φ would add the rounding of Φ and make it worse.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(0.180_625 - q * q, &CENTRE);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let r = (-libm::log(tail)).sqrt();
    let z = if r <= 5.0 { ratio(r - 1.6, &NEAR) } else { ratio(r - 5.0, &FAR) };
    if q < 0.0 { -z } else { z }
}

/// A quotient of two polynomials, both by Horner's rule.
#[inline]
fn ratio(x: f64, coefficients: &([f64; 8], [f64; 8])) -> f64 {
    let horner = |c: &[f64; 8]| {
        let [c0, c1, c2, c3, c4, c5, c6, c7] = *c;
        ((((((c7 * x + c6) * x + c5) * x + c4) * x + c3) * x + c2) * x + c1) * x + c0
    };
    horner(&coefficients.0) / horner(&coefficients.1)
}

/// |p − ½| ≤ 0.425: coefficients a and b of the algorithm.
#[expect(clippy::excessive_precision, reason = "digits as published")]
const CENTRE: ([f64; 8], [f64; 8]) = (
    [
        3.387_132_872_796_366_608_0e0,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083_0e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061_0e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561_0e3,
    ],
);

/// Tails down to exp(−25): coefficients c and d.
#[expect(clippy::excessive_precision, reason = "digits as published")]
const NEAR: ([f64; 8], [f64; 8]) = (
    [
        1.423_437_110_749_683_577_34e0,
        4.630_337_846_156_545_295_90e0,
        5.769_497_221_460_691_405_50e0,
        3.647_848_324_763_204_605_04e0,
        1.270_458_252_452_368_382_58e0,
        2.417_807_251_774_506_117_70e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_40e-4,
    ],
    [
        1.0,
        2.053_191_626_637_758_821_87e0,
        1.676_384_830_183_803_849_40e0,
        6.897_673_349_851_000_045_50e-1,
        1.481_039_764_274_800_745_90e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946_00e-4,
        1.050_750_071_644_416_843_24e-9,
    ],
);

/// Tails beyond: coefficients e and f.
#[expect(clippy::excessive_precision, reason = "digits as published")]
const FAR: ([f64; 8], [f64; 8]) = (
    [
        6.657_904_643_501_103_777_20e0,
        5.463_784_911_164_114_369_90e0,
        1.784_826_539_917_291_335_80e0,
        2.965_605_718_285_048_912_30e-1,
        2.653_218_952_657_612_309_30e-2,
        1.242_660_947_388_078_438_60e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ],
    [
        1.0,
        5.998_322_065_558_879_376_90e-1,
        1.369_298_809_227_358_053_10e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591_00e-4,
        1.846_318_317_510_054_681_80e-5,
        1.421_511_758_316_445_888_70e-7,
        2.044_263_103_389_939_785_64e-15,
    ],
);

/// The symmetric interval of a lognormal with a mean above 0 and a standard deviation; of a normal for
/// another mean.
pub fn lognormal_interval(mean: f64, standard: f64, level: f64) -> (f64, f64) {
    let z = normal_quantile(0.5 + level / 2.0);
    if mean <= 0.0 {
        return (mean - z * standard, mean + z * standard);
    }
    let cv = standard / mean;
    let variance = libm::log1p(cv * cv);
    let s = variance.sqrt();
    (mean * libm::exp(-variance / 2.0 - z * s), mean * libm::exp(-variance / 2.0 + z * s))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpmath 1.4.1 at 40 digits: `sqrt(2)*erfinv(2*p-1)` with p the double's exact value.
    #[test]
    fn the_normal_quantile_is_mpmaths_to_fifteen_digits() {
        for (p, expected) in QUANTILES {
            let error = (normal_quantile(p) / expected - 1.0).abs();
            assert!(error < 1e-15, "{p}: {error:e}");
        }
        assert!(normal_quantile(0.5).abs() < 1e-300);
        assert!(normal_quantile(0.0) < -1e300 && normal_quantile(1.0) > 1e300);
    }

    #[expect(clippy::excessive_precision, reason = "digits as published")]
    const QUANTILES: [(f64, f64); 10] = [
        (0.025, -1.959_963_984_540_054_21),
        (0.975, 1.959_963_984_540_053_86),
        (0.95, 1.644_853_626_951_472_28),
        (0.6, 0.253_347_103_135_799_741),
        (0.0749, -1.440_238_267_527_963_66),
        (0.0751, -1.438_825_392_752_539_98),
        (1e-05, -4.264_890_793_922_824_61),
        (2e-11, -6.604_077_590_405_634_28),
        (1e-12, -7.034_483_825_301_131_93),
        (1e-300, -37.047_096_299_361_199_2),
    ];
}
