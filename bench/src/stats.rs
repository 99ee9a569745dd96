//! Order statistics: they do not mind the few runs that something else disturbed.

/// Median and quartiles of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) least: f64,
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
    pub(crate) most: f64,
}

impl Summary {
    /// Of a sample in any order. Of an empty one, everything is 0.
    pub(crate) fn of(sample: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = sample.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters| quantile(&sorted, quarters);
        Self {
            count: sorted.len(),
            least: at(0),
            lower: at(1),
            median: at(2),
            upper: at(3),
            most: at(4),
        }
    }
}

/// The quantile at so many quarters, linear between neighbours (type 7 of Hyndman and Fan, 1996).
#[expect(clippy::cast_precision_loss, reason = "0, 1, 2 or 3 quarters")]
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let position = quarters * sorted.len().saturating_sub(1);
    let at = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(0.0);
    let (below, above) = (at(position / 4), at(position / 4 + 1));
    below + (above - below) * (position % 4) as f64 / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sample: &[f64], expected: [f64; 5]) {
        let got = Summary::of(sample.iter().copied());
        let got = [got.least, got.lower, got.median, got.upper, got.most];
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
    }

    #[test]
    fn quartiles_are_those_of_type_7() {
        check(&[], [0.0; 5]);
        check(&[3.0], [3.0; 5]);
        check(&[4.0, 1.0], [1.0, 1.75, 2.5, 3.25, 4.0]);
        check(&[5.0, 1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0]);
        check(&[1.0, 2.0, 3.0, 4.0], [1.0, 1.75, 2.5, 3.25, 4.0]);
    }
}
