//! Sums that keep what each addition rounds off (Neumaier, Z. Angew. Math. Mech. 54, 1974), so that
//! the order of a year's slots, or a slot cut in two, does not show in nine digits.
//!
//! Deliberately absent: exact sums.

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

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut sum = Self::default();
        numbers.into_iter().for_each(|x| sum.add(x));
        sum
    }
}
