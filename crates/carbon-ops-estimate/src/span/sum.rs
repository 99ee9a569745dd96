//! Sums that keep what each addition rounds off (Neumaier, Z. Angew. Math. Mech. 54, 1974), so that
//! the order of a year's slots, or a slot cut in two, does not show in nine digits.
//!
//! Out of scope: exact sums.

/// A running sum and what it rounded off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sum {
    sum: f64,
    rest: f64,
}

impl Sum {
    pub(super) fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        self.rest +=
            if self.sum.abs() >= x.abs() { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
    }

    pub(super) fn value(self) -> f64 {
        self.sum + self.rest
    }
}

/// Several sums of terms that come together: each is what a [`Sum`] of its own would be, to the last bit.
///
/// What an addition rounds off is found without a comparison (Knuth, The Art of Computer Programming 2,
/// 4.2.2, theorem B), so that the processor adds two of them at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sums<const N: usize> {
    sums: [f64; N],
    rests: [f64; N],
}

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self { sums: [0.0; N], rests: [0.0; N] }
    }
}

impl<const N: usize> Sums<N> {
    pub(super) fn add(&mut self, terms: [f64; N]) {
        for ((sum, rest), x) in self.sums.iter_mut().zip(&mut self.rests).zip(terms) {
            let total = *sum + x;
            let part = total - *sum;
            *rest += (*sum - (total - part)) + (x - part);
            *sum = total;
        }
    }

    pub(super) fn values(self) -> [f64; N] {
        let mut values = self.sums;
        values.iter_mut().zip(self.rests).for_each(|(value, rest)| *value += rest);
        values
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut sum = Self::default();
        numbers.into_iter().for_each(|x| sum.add(x));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1 + 10¹⁰⁰ + 1 − 10¹⁰⁰ is 2, and 0 where nothing is kept (Neumaier's own example).
    #[test]
    fn what_is_rounded_off_is_kept() {
        let terms = [1.0, 1e100, 1.0, -1e100];
        assert!((terms.into_iter().collect::<Sum>().value() - 2.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn sums_side_by_side_are_those_made_alone(
            terms in prop::collection::vec((-1e3..1e9f64, prop::num::f64::NORMAL, -1.0..1.0f64), 0..50)
        ) {
            let (mut alone, mut together) = ([Sum::default(); 3], Sums::default());
            for (a, b, c) in terms {
                // Without an overflow, of which neither makes anything.
                let b = b / 1e10;
                together.add([a, b, c]);
                alone.iter_mut().zip([a, b, c]).for_each(|(sum, x)| sum.add(x));
            }
            let bits = |values: [f64; 3]| values.map(f64::to_bits);
            prop_assert_eq!(bits(together.values()), bits(alone.map(Sum::value)));
        }
    }
}
