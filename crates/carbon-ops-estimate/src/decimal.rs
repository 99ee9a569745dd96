//! Nine significant digits, quickly: the rounding of derived numbers, and their canonical text.
//!
//! [`round9`] gives what the formatter's `{:.8e}` does, to the last bit (a test holds both against each
//! other), at a fraction of the time, for streams of records. The text is that of RFC 8785, section
//! 3.2.2.3, for doubles that have at most nine digits.
//!
//! Out of scope: other precisions, and the text of doubles with more digits.

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Scaled to nine digits a double is off by 1.1e-7 at most (half an ulp of a product below 1e9); what
/// lies nearer than this to a tie is left to exact arithmetic.
const TIE: f64 = 1e-6;

/// A number of nine digits: `digits · 10^exponent`, with digits from 100,000,000 to 999,999,999, or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nine {
    negative: bool,
    digits: u32,
    exponent: i32,
}

impl Nine {
    /// The nearest number of nine digits, ties to even; `None` for NaN and the infinities.
    #[inline]
    pub fn nearest(x: f64) -> Option<Self> {
        if !x.is_finite() {
            return None;
        }
        if x == 0.0 {
            return Some(Self { negative: false, digits: 0, exponent: 0 });
        }
        Self::scaled(x).or_else(|| Self::exact(x))
    }

    /// By one multiplication or division, where its error cannot matter.
    #[inline]
    fn scaled(x: f64) -> Option<Self> {
        let magnitude = x.abs();
        // ⌊log₁₀⌋ within one: the binary exponent times log₁₀ 2 = 1233/4096.
        let binary = i32::try_from((magnitude.to_bits() >> 52) & 0x7ff).ok()? - 1023;
        let mut tens = (binary * 1233) >> 12;
        let mut scaled = scale(magnitude, 8 - tens)?;
        if scaled >= 1e9 {
            tens += 1;
            scaled = scale(magnitude, 8 - tens)?;
        }
        if !(1e8..1e9).contains(&scaled) {
            return None;
        }
        // Whole numbers of this size are exact in both types: no call of a rounding function.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1e8 to 1e9")]
        let floor = scaled as u32;
        let fraction = scaled - f64::from(floor);
        if (fraction - 0.5).abs() < TIE {
            return None;
        }
        let digits = floor + u32::from(fraction > 0.5);
        Some(Self { negative: x < 0.0, digits, exponent: tens - 8 }.carried())
    }

    /// By the formatter, which rounds the exact binary value, ties to even.
    fn exact(x: f64) -> Option<Self> {
        let text = format!("{:.8e}", x.abs());
        let (mantissa, exponent) = text.split_once('e')?;
        let digits = mantissa.chars().filter_map(|c| c.to_digit(10)).fold(0, |n, d| 10 * n + d);
        Some(Self { negative: x < 0.0, digits, exponent: exponent.parse::<i32>().ok()? - 8 })
    }

    /// 999,999,999.6 has become a digit more.
    #[inline]
    fn carried(self) -> Self {
        if self.digits < 1_000_000_000 {
            return self;
        }
        Self { digits: self.digits / 10, exponent: self.exponent + 1, ..self }
    }

    /// The double nearest to it.
    #[inline]
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "the text is a number's")]
    pub fn value(self) -> f64 {
        // Both operands are exact, so that the one operation rounds as a parser would.
        let magnitude = scale(f64::from(self.digits), self.exponent)
            .or_else(|| format!("{}e{}", self.digits, self.exponent).parse().ok());
        let magnitude = magnitude.expect("digits and an exponent");
        if self.negative { -magnitude } else { magnitude }
    }

    /// Appends its canonical text: the shortest that reads as [`Nine::value`], with an exponent below
    /// 1e-6 and from 1e21 on.
    pub fn write(self, out: &mut Vec<u8>) {
        if self.digits == 0 {
            return out.push(b'0');
        }
        if self.negative {
            out.push(b'-');
        }
        let mut text = [0; 9];
        let mut rest = self.digits;
        for place in text.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let kept = text.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
        let digits = text.get(..kept).unwrap_or(&text);
        // The decimal point stands after so many digits (ECMA-262, Number::toString).
        let point = self.exponent + 9;
        match usize::try_from(point) {
            Ok(point @ 1..=21) => write_plain(digits, point, out),
            _ if (-5..=0).contains(&point) => {
                out.extend_from_slice(b"0.");
                out.extend((point..0).map(|_| b'0'));
                out.extend_from_slice(digits);
            }
            _ => write_with_exponent(digits, point - 1, out),
        }
    }
}

/// Digits with a point after so many of them, or zeros up to there.
fn write_plain(digits: &[u8], point: usize, out: &mut Vec<u8>) {
    let (whole, fraction) = digits.split_at(point.min(digits.len()));
    out.extend_from_slice(whole);
    out.extend(std::iter::repeat_n(b'0', point.saturating_sub(digits.len())));
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

fn write_with_exponent(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    out.extend_from_slice(exponent.unsigned_abs().to_string().as_bytes());
}

/// `x · 10^power` with one rounding; `None` beyond the exact powers.
#[inline]
fn scale(x: f64, power: i32) -> Option<f64> {
    let factor = *POWERS.get(usize::try_from(power.unsigned_abs()).ok()?)?;
    Some(if power < 0 { x / factor } else { x * factor })
}

/// Rounds to nine significant digits, ties to even by the exact binary value: the precision of derived
/// numbers in records. Zero has no sign.
///
/// ```
/// use carbon_ops_estimate::decimal::round9;
/// assert_eq!(round9(1.0 / 3.0).to_string(), "0.333333333");
/// ```
pub fn round9(x: f64) -> f64 {
    Nine::nearest(x).map_or(x, Nine::value)
}

/// Appends the canonical text of a double of at most nine digits; false, and nothing, for any other, and
/// for subnormals, whose shortest text is not that of their nine digits.
pub fn write(x: f64, out: &mut Vec<u8>) -> bool {
    match Nine::nearest(x).filter(|_| !x.is_subnormal()) {
        Some(nine) if nine.value().to_bits() == (x + 0.0).to_bits() => {
            nine.write(out);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the rounding is: parsing is correctly rounded.
    fn by_the_formatter(x: f64) -> f64 {
        format!("{x:.8e}").parse::<f64>().unwrap() + 0.0
    }

    fn text(x: f64) -> String {
        let mut out = Vec::new();
        assert!(write(x, &mut out), "{x}");
        String::from_utf8(out).unwrap()
    }

    /// Texts of ECMA-262's `Number::toString`: RFC 8785, appendix B, and by hand.
    #[test]
    fn numbers_are_written_as_in_rfc_8785() {
        for (x, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (143.833_333, "143.833333"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (0.000_158_705_556, "0.000158705556"),
            (1.234e-9, "1.234e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e22, "1.5e+22"),
            (333_333_333.0, "333333333"),
            (999_999_999_000.0, "999999999000"),
            (2.225_073_86e-308, "2.22507386e-308"),
        ] {
            assert_eq!(text(x), expected);
        }
        assert!(!write(1.0 / 3.0, &mut Vec::new()));
        assert!(!write(f64::NAN, &mut Vec::new()) && !write(5e-324, &mut Vec::new()));
    }

    #[test]
    fn nine_digits_round_half_to_even() {
        // Halves are exact in binary, so these are true ties.
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

    #[test]
    fn ties_go_to_even_by_the_exact_binary_value() {
        // 1.000000005 as a double lies above the tie, 1.000000015 below it (exact binary expansions);
        // 2^-k sums make a true tie.
        for x in [1.000_000_005, 1.000_000_015, 134_217_728.5, 134_217_729.5, 999_999_999.5, 0.1] {
            assert_eq!(round9(x).to_bits(), by_the_formatter(x).to_bits(), "{x}");
        }
        assert!((round9(134_217_728.5) - 134_217_728.0).abs() < 1e-9);
        assert!((round9(134_217_729.5) - 134_217_730.0).abs() < 1e-9);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn rounding_is_that_of_the_exact_way(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(round9(x).to_bits(), by_the_formatter(x).to_bits());
        }

        #[test]
        fn rounding_of_usual_numbers_is_that_of_the_exact_way(
            x in -1e12..1e12f64, scale in 0i32..20,
        ) {
            let x = x / 10f64.powi(scale);
            prop_assert_eq!(round9(x).to_bits(), by_the_formatter(x).to_bits());
        }

        #[test]
        fn what_is_written_reads_as_the_same_number(x in prop::num::f64::NORMAL) {
            let x = round9(x);
            prop_assume!(x.is_finite() && !x.is_subnormal());
            prop_assert_eq!(text(x).parse::<f64>().unwrap().to_bits(), x.to_bits());
        }
    }
}
