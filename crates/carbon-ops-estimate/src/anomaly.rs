//! Values that stand out from those before them, in two ways.
//!
//! * [`Rule::ZScore`]: standard deviations (of the population) from the mean of the window, the rule of
//!   carbon-ops 0.1.
//! * [`Rule::Robust`]: the same by median and median absolute deviation, which one outlier in the window
//!   does not blind: `0.6745 · (x − median) / MAD` (Iglewicz, Hoaglin, How to Detect and Handle Outliers,
//!   1993).
//!
//! The middle and the spread of few values are far from those of all, so that the limit depends on how many there
//! are: [`Rule::usual_limit`].
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

use crate::uncertainty::Distribution;

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

/// How often an ordinary value is said to stand out: that part of a normal lies beyond three deviations.
const FALSE_ALARMS: f64 = 0.002_699_796_063_260_19;

/// Limits of [`Rule::Robust`] by the length of the window, which [`FALSE_ALARMS`] of normal values exceed:
/// 1,000,000 windows each, `NumPy` 2.4, seed 20261129. The median of an even number lies between two values, so that even
/// and odd lengths are two series.
const ROBUST: [(usize, f64); 22] = [
    (3, 406.43),
    (4, 30.63),
    (5, 28.58),
    (6, 13.11),
    (7, 12.62),
    (8, 8.8),
    (9, 8.53),
    (10, 6.96),
    (11, 6.81),
    (12, 5.96),
    (13, 5.94),
    (14, 5.4),
    (15, 5.35),
    (17, 4.95),
    (20, 4.48),
    (21, 4.47),
    (30, 3.89),
    (31, 3.9),
    (50, 3.51),
    (51, 3.5),
    (100, 3.24),
    (101, 3.24),
];

impl Rule {
    /// Where a value begins to stand out from a window, if nothing else is said: where 0.27 % of values do that are
    /// normal, as all others. Of a mean and a standard deviation that is Student's distribution.
    ///
    /// ```
    /// use carbon_ops_estimate::anomaly::Rule;
    /// assert!((Rule::ZScore.usual_limit(5) - 8.11).abs() < 0.01);
    /// assert!((Rule::ZScore.usual_limit(1_000_000) - 3.0).abs() < 1e-3);
    /// ```
    pub fn usual_limit(self, window: usize) -> f64 {
        let window = window.max(WINDOW_MIN);
        #[expect(clippy::cast_precision_loss, reason = "a window is short")]
        let n = window as f64;
        match self {
            Self::ZScore => {
                let t = Distribution::StudentT { mean: 0.0, scale: 1.0, dof: n - 1.0 };
                // Of the population, whose spread is less, and of a value besides the window.
                t.quantile(1.0 - FALSE_ALARMS / 2.0) * ((n + 1.0) / (n - 1.0)).sqrt()
            }
            Self::Robust => {
                // Between lengths linear in 1/n, which goes to nothing as a limit goes to that of a normal.
                let alike = ROBUST.iter().filter(|(length, _)| length % 2 == window % 2);
                let of = |&(length, limit): &(usize, f64)| {
                    #[expect(clippy::cast_precision_loss, reason = "at most 101")]
                    let length = length as f64;
                    (length, limit)
                };
                let below = alike.clone().map(of).take_while(|(length, _)| *length <= n).last();
                let above = alike.map(of).find(|(length, _)| *length > n);
                let (a, low) = below.unwrap_or((n, f64::INFINITY));
                let (b, high) = above.unwrap_or((f64::INFINITY, 3.0));
                low + (high - low) * (1.0 / a - 1.0 / n) / (1.0 / a - 1.0 / b)
            }
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
        assert!(robust.is_beyond(3.5));
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

    /// The rule: an ordinary value stands out as rarely from a short window as from a long one. A million normal values,
    /// cut in windows of each length with the value after them: the alarms are within four standard deviations of a
    /// binomial.
    #[test]
    fn ordinary_values_stand_out_as_rarely_whatever_the_window() {
        // A linear congruential generator by way of quantiles.
        let mut state = 1_u64;
        let normal = Distribution::Normal { mean: 100.0, sd: 7.0 };
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            #[expect(clippy::cast_precision_loss, reason = "a probability")]
            let p = ((state >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
            normal.quantile(p)
        };
        let values: Vec<f64> = (0..1_000_000).map(next).collect();
        let check = |rule: Rule, window: usize| {
            let limit = rule.usual_limit(window);
            let all = values.chunks_exact(window + 1);
            #[expect(clippy::cast_precision_loss, reason = "at most a million")]
            let expected = FALSE_ALARMS * all.len() as f64;
            let alarms = all.filter(|values| {
                judge(values, rule, window).last().is_some_and(|last| last.is_beyond(limit))
            });
            #[expect(clippy::cast_precision_loss, reason = "at most a million")]
            let off = alarms.count() as f64 - expected;
            let most = 4.0 * (expected * (1.0 - FALSE_ALARMS)).sqrt();
            assert!(off.abs() <= most, "{rule:?} {window}: {off} of {expected}");
        };
        (3..=100).for_each(|window| check(Rule::ZScore, window));
        // Sorting takes its time: each length up to 20, and some between those of the table.
        (3..=20)
            .chain([23, 25, 26, 40, 41, 60, 75, 88, 99, 100])
            .for_each(|w| check(Rule::Robust, w));
    }
}
