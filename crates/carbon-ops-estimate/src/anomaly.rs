//! Values that stand out from those before them, in two ways.
//!
//! * [`Rule::ZScore`]: standard deviations (of the population) from the mean of the window, the rule of
//!   carbon-ops 0.1.
//! * [`Rule::Robust`]: the same by median and median absolute deviation, which one outlier in the window
//!   does not blind: `0.6745 · (x − median) / MAD` (Iglewicz, Hoaglin, How to Detect and Handle Outliers,
//!   1993, who take 3.5 for the limit).
//!
//! A value is judged by the window before it, itself not in it. What has too few values before it, and
//! what differs from a window in which all are equal, is said in so many words ([`Verdict`]), not as a
//! score of infinity.
//!
//! ```
//! use carbon_ops_estimate::anomaly::{Rule, Verdict, judge};
//! let grams = [10.0, 11.0, 9.0, 10.0, 10.0, 30.0];
//! let verdicts = judge(&grams, Rule::ZScore, 5);
//! assert!(matches!(verdicts[4], Verdict::TooFew));
//! // Mean 10, variance (0 + 1 + 1 + 0 + 0)/5: (30 − 10)/√0.4 = 31.6.
//! assert!(verdicts[5].is_beyond(3.0));
//! ```
//!
//! Out of scope: seasons and trends.

/// Least length of a window: two values have a spread of one difference.
pub const WINDOW_MIN: usize = 3;

/// Φ⁻¹(0.75): the MAD of a normal is so many of its standard deviations.
const MAD_OF_NORMAL: f64 = 0.674_489_750_196_081_7;

/// By what a value is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// Mean and standard deviation of the population.
    #[default]
    ZScore,
    /// Median and median absolute deviation.
    Robust,
}

impl Rule {
    /// Where a value begins to stand out, if nothing else is said: 3 as in carbon-ops 0.1, and 3.5.
    pub fn usual_limit(self) -> f64 {
        match self {
            Self::ZScore => 3.0,
            Self::Robust => 3.5,
        }
    }
}

/// What is said of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Fewer values before it than the window has.
    TooFew,
    /// So far from the middle of the window, in its spreads; negative below it.
    Score(f64),
    /// All values of the window are equal, and it is another.
    Flat,
}

impl Verdict {
    /// Whether it stands out by more than a limit.
    pub fn is_beyond(self, limit: f64) -> bool {
        match self {
            Self::TooFew => false,
            Self::Score(score) => score.abs() > limit,
            Self::Flat => true,
        }
    }
}

/// Judges each value by the `window` values before it; `window` is at least [`WINDOW_MIN`].
pub fn judge(values: &[f64], rule: Rule, window: usize) -> Vec<Verdict> {
    let window = window.max(WINDOW_MIN);
    let verdict = |(index, &value): (usize, &f64)| {
        let before = index.checked_sub(window).and_then(|from| values.get(from..index));
        let Some(before) = before else { return Verdict::TooFew };
        let (middle, spread) = match rule {
            Rule::ZScore => moments(before),
            Rule::Robust => robust(before),
        };
        let off = value - middle;
        if spread > 0.0 {
            return Verdict::Score(off / spread);
        }
        // More than half of the window may be equal, and the others not: then nothing is flat.
        let tolerance = f64::EPSILON * middle.abs();
        if off.abs() <= tolerance { Verdict::Score(0.0) } else { Verdict::Flat }
    };
    values.iter().enumerate().map(verdict).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a window is short")]
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

fn robust(values: &[f64]) -> (f64, f64) {
    let middle = median(values.to_vec());
    let deviations = values.iter().map(|x| (x - middle).abs()).collect();
    (middle, median(deviations) / MAD_OF_NORMAL)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    #[expect(clippy::indexing_slicing, reason = "a window has values, at least WINDOW_MIN")]
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(verdict: Verdict) -> f64 {
        match verdict {
            Verdict::Score(score) => score,
            other => panic!("{other:?}"),
        }
    }

    /// Python: statistics.fmean, pstdev of [10, 12, 11, 13, 9] are 11, 1.4142…; (16 − 11)/√2 = 3.5355.
    #[test]
    fn the_score_is_that_of_the_predecessor() {
        let verdicts = judge(&[10.0, 12.0, 11.0, 13.0, 9.0, 16.0], Rule::ZScore, 5);
        assert_eq!(verdicts[..5], [Verdict::TooFew; 5]);
        assert!((score(verdicts[5]) - 3.535_533_905_932_738).abs() < 1e-12);
        assert!(verdicts[5].is_beyond(3.0) && !verdicts[5].is_beyond(4.0));
    }

    /// Median 12, deviations 2 0 1 1 88: MAD 1; 0.6745 · (20 − 12)/1 = 5.4. The mean is blind: it is
    /// 29.2 with a deviation of 35.4.
    #[test]
    fn one_outlier_does_not_blind_the_robust_rule() {
        let values = [10.0, 12.0, 11.0, 13.0, 100.0, 20.0];
        let robust = judge(&values, Rule::Robust, 5)[5];
        assert!((score(robust) - 8.0 * 0.674_489_750_196).abs() < 1e-9);
        assert!(robust.is_beyond(Rule::Robust.usual_limit()));
        assert!(!judge(&values, Rule::ZScore, 5)[5].is_beyond(3.0));
    }

    #[test]
    fn a_flat_window_has_no_score_and_two_values_no_window() {
        let verdicts = judge(&[5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 6.0], Rule::ZScore, 5);
        assert_eq!(verdicts[5], Verdict::Score(0.0));
        assert_eq!(verdicts[6], Verdict::Flat);
        assert!(verdicts[6].is_beyond(3.0));
        // Which carbon-ops 0.1 called an anomaly of infinite score.
        assert_eq!(judge(&[1.0, 3.0], Rule::ZScore, 1), [Verdict::TooFew; 2]);
        assert!(judge(&[], Rule::Robust, 5).is_empty());
    }

    #[test]
    fn even_windows_have_a_median_between_two() {
        let verdicts = judge(&[1.0, 2.0, 3.0, 10.0, 4.0], Rule::Robust, 4);
        // Median 2.5, deviations 1.5 0.5 0.5 7.5: MAD 1; 0.6745 · 1.5.
        assert!((score(verdicts[4]) - 1.5 * 0.674_489_750_196).abs() < 1e-9);
    }
}
