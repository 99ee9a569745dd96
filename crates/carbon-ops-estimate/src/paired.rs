//! The ratio of two quantities that are measured in turn, again and again, until enough is known of it.
//!
//! Each pair (a, b) gives x = ln(b/a), in which whatever multiplies both of a pair alike cancels: the calibration of a
//! meter, the error of a model, a slow machine. Pairs are expected to change their order, a b and b a, so that a
//! drift cancels over two of them.
//!
//! The interval may be looked at after every pair, and measuring be stopped because of what it shows: the probability
//! that it *ever* misses the true mean of x is at most 1 − level. With n pairs, their mean x̄ and standard deviation s,
//!
//! ```text
//! x̄ ∓ s √(q (n − 1)/n),   q = (k − 1)/(1 − k r),   k = (1/(α² r))^(1/n),   r = φ/(n + φ),   α = 1 − level
//! ```
//!
//! It holds the θ at which √r ((1 + t²/(n−1))/(1 + r t²/(n−1)))^(n/2) < 1/α, where t is Student's statistic. For
//! normal x of any mean and variance the left side at the true mean is a likelihood ratio of what does not depend on
//! the variance, hence a martingale of mean 1, which ever exceeds 1/α with probability α at most (Lai, Annals of
//! Statistics 4 (1976) 265–280; Wang and Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with
//! unknown variance, 2023; Ville's inequality).
//!
//! Out of scope: what is measured, in which order, and when to stop for want of time.

use crate::uncertainty::LEVEL;

/// φ: the interval is about as narrow as it can be from ten pairs to a hundred.
const PRIOR: f64 = 2.0;

/// Asks for one pair after the other, until it is known whether the second is worse, or there are no more. It is
/// looked only at an even number of them, so that a drift cancels.
///
/// # Errors
/// Those of `next`.
pub fn judge<E>(
    margin: f64,
    mut next: impl FnMut(&Pairs) -> Result<Option<(f64, f64)>, E>,
) -> Result<(Verdict, Pairs), E> {
    let mut pairs = Pairs::default();
    while let Some((a, b)) = next(&pairs)? {
        let verdict = if pairs.add(a, b) { pairs.verdict(margin) } else { Verdict::Unknown };
        if verdict != Verdict::Unknown {
            return Ok((verdict, pairs));
        }
    }
    Ok((Verdict::Unknown, pairs))
}

/// Pairs of quantities.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pairs {
    count: u32,
    mean: f64,
    /// Sum of the squares of what differs from the mean.
    squares: f64,
}

/// How the second of the pairs stands to the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// b/a: the geometric mean of all pairs.
    pub ratio: f64,
    /// Lower end of its interval; 0 where nothing is known yet.
    pub low: f64,
    /// Upper end; infinite where nothing is known yet.
    pub high: f64,
}

/// Whether the second is worse than the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is less, or more by less than what counts.
    NotWorse,
    /// It is more.
    Worse,
    /// The interval allows both.
    Unknown,
}

impl Pairs {
    /// Takes a pair; false, and nothing else, where one of them is not above 0 or not finite.
    #[must_use]
    pub fn add(&mut self, a: f64, b: f64) -> bool {
        let x = libm::log(b / a);
        // Of a quotient above 0 with a divisor above 0, the other is so, too.
        if !(a > 0.0 && x.is_finite()) {
            return false;
        }
        // Welford, Technometrics 4 (1962) 419.
        self.count += 1;
        let off = x - self.mean;
        self.mean += off / f64::from(self.count);
        self.squares += off * (x - self.mean);
        true
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What they tell; `None` without any.
    #[must_use]
    pub fn ratio(&self) -> Option<Ratio> {
        let half = self.half_width();
        let [ratio, low, high] = [self.mean, self.mean - half, self.mean + half].map(libm::exp);
        (self.count > 0).then_some(Ratio { ratio, low, high })
    }

    /// Whether the second is worse, where a relative increase of `margin` or more counts; unknown at an odd number.
    fn verdict(&self, margin: f64) -> Verdict {
        match self.ratio() {
            Some(ratio) if self.count.is_multiple_of(2) => ratio.verdict(margin),
            _ => Verdict::Unknown,
        }
    }

    /// Half of the interval of x.
    fn half_width(&self) -> f64 {
        let n = f64::from(self.count);
        let (alpha, r) = (1.0 - LEVEL, PRIOR / (n + PRIOR));
        let k = libm::pow(1.0 / (alpha * alpha * r), 1.0 / n);
        // Of fewer than six pairs, and of none.
        if k * r >= 1.0 {
            return f64::INFINITY;
        }
        let q = (k - 1.0) / (1.0 - k * r);
        // s² (n − 1) is the sum of squares.
        (q * self.squares / n).sqrt()
    }
}

impl Ratio {
    /// The smallest relative difference that would have been told from none: the half of the interval.
    #[must_use]
    pub fn smallest(&self) -> f64 {
        self.high / self.ratio - 1.0
    }

    /// Whether the second is worse, where a relative increase of `margin` or more counts.
    #[must_use]
    pub fn verdict(&self, margin: f64) -> Verdict {
        if self.high < 1.0 + margin {
            Verdict::NotWorse
        } else if self.low > 1.0 {
            Verdict::Worse
        } else {
            Verdict::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uncertainty::{normal_quantile, uniforms};

    /// Independent numbers for a trial, each of a normal distribution with standard deviation 1.
    struct Noise {
        trial: u64,
        drawn: u32,
    }

    impl Noise {
        fn uniform(&mut self) -> f64 {
            let mut out = [0.0];
            uniforms(20_261_129, self.trial, 0, self.drawn, &mut out);
            self.drawn += 1;
            out[0]
        }

        fn next(&mut self) -> f64 {
            normal_quantile(self.uniform())
        }
    }

    /// Trials of up to 40 pairs in which the second uses so much more: how many have each verdict, how many intervals
    /// missed the truth when they stopped, and how many pairs were measured.
    fn trials(count: u64, more: f64, run: impl Fn(&mut Noise) -> f64) -> ([u32; 3], u32, u32) {
        let (mut verdicts, mut missed, mut measured) = ([0; 3], 0, 0);
        for trial in 0..count {
            let mut noise = Noise { trial, drawn: 0 };
            // What a meter shows of all runs of a trial, which cancels.
            let meter = libm::exp(0.2 * noise.next());
            let mut left = 40;
            let judged = judge(0.03, |_| {
                left -= 1;
                let [a, b] = [(); 2].map(|()| meter * libm::exp(run(&mut noise)));
                Ok::<_, ()>((left >= 0).then_some((a, b * (1.0 + more))))
            });
            let (verdict, pairs) = judged.unwrap();
            assert!(pairs.count().is_multiple_of(2), "a drift has cancelled");
            verdicts[verdict as usize] += 1;
            let Ratio { low, high, .. } = pairs.ratio().unwrap();
            missed += u32::from(!(low <= 1.0 + more && 1.0 + more <= high));
            measured += pairs.count();
        }
        (verdicts, missed, measured)
    }

    /// Runs differ by 2 %, as those of a quiet machine do.
    fn quiet(noise: &mut Noise) -> f64 {
        0.02 * noise.next()
    }

    /// And now and then one meets something else: of twenty runs one uses a fifth more.
    fn disturbed(noise: &mut Noise) -> f64 {
        0.02 * noise.next() + if noise.uniform() < 0.05 { 0.2 } else { 0.0 }
    }

    #[test]
    fn three_percent_are_found_in_nineteen_of_twenty_trials() {
        let ([not_worse, worse, unknown], missed, measured) = trials(200, 0.03, quiet);
        assert!(worse >= 190, "{worse} found, {not_worse} not, {unknown} unknown");
        assert!(not_worse + missed <= 10, "{not_worse} taken for nothing, {missed} missed");
        assert!(measured < 200 * 40, "it stops when it knows");
    }

    /// Of two that are the same, however often it is looked: `level` bounds the share of intervals that ever miss.
    #[test]
    fn two_that_are_the_same_are_told_apart_in_one_of_twenty_trials_at_most() {
        for run in [quiet, disturbed] {
            let ([not_worse, worse, _], missed, _) = trials(5000, 0.0, run);
            assert!(worse <= 300 && missed <= 300, "{worse} false alarms, {missed} missed");
            assert!(not_worse >= 1000, "{not_worse}");
        }
    }

    /// The interval is the set of means at which the likelihood ratio of the module's formula is below 1/α; and where
    /// t is known by hand: x of −1, 0, 1, … around their mean.
    #[test]
    fn an_interval_ends_where_the_likelihood_ratio_is_one_in_twenty() {
        for count in [6_u32, 10, 40, 1000] {
            let mut pairs = Pairs::default();
            let mut noise = Noise { trial: 1, drawn: 0 };
            let xs: Vec<f64> = (0..count).map(|_| 0.1 * noise.next()).collect();
            assert!(xs.iter().all(|x| pairs.add(7.0, 7.0 * libm::exp(*x))));
            let n = f64::from(count);
            let mean = xs.iter().sum::<f64>() / n;
            let s2 = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let Ratio { ratio, low, high } = pairs.ratio().unwrap();
            assert!((ratio.ln() - mean).abs() < 1e-12);
            for end in [low, high] {
                let t2 = n * (mean - end.ln()).powi(2) / s2;
                let r = PRIOR / (PRIOR + n);
                let nu = n - 1.0;
                let log = 0.5 * r.ln() + n / 2.0 * ((1.0 + t2 / nu) / (1.0 + r * t2 / nu)).ln();
                assert!((log - 20_f64.ln()).abs() < 1e-6, "{count}: {log}");
            }
            // Wider than one that may be looked at once, and not much.
            let once = 1.96 * (s2 / n).sqrt();
            let half = high.ln() - mean;
            assert!(half > once && (count < 40 || half < 1.8 * once), "{count}: {half} {once}");
            let smallest = pairs.ratio().unwrap().smallest();
            assert!((smallest - (half.exp() - 1.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_verdict_needs_an_interval_that_allows_no_other() {
        for (low, high, expected) in [
            (0.9, 0.99, Verdict::NotWorse),
            (0.99, 1.02, Verdict::NotWorse),
            // More, but by less than what counts.
            (1.005, 1.02, Verdict::NotWorse),
            (1.005, 1.05, Verdict::Worse),
            (1.05, 1.2, Verdict::Worse),
            (1.0, 1.05, Verdict::Unknown),
            (0.9, 1.03, Verdict::Unknown),
            (0.0, f64::INFINITY, Verdict::Unknown),
        ] {
            let ratio = Ratio { ratio: f64::midpoint(low, high), low, high };
            assert_eq!(ratio.verdict(0.03), expected, "{low} to {high}");
        }
        assert_eq!(Pairs::default().ratio(), None);
        let mut few = Pairs::default();
        for n in 1..6 {
            assert!(few.add(1.0, 1.0));
            let ratio = few.ratio().unwrap();
            assert_eq!((ratio.low, ratio.high), (0.0, f64::INFINITY), "{n} pairs tell nothing");
        }
        for (a, b) in [(0.0, 1.0), (1.0, 0.0), (-1.0, -1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)]
        {
            assert!(!few.add(a, b), "{a} {b}");
        }
        assert_eq!(few.count(), 5);
    }

    /// A machine that grows warmer uses 1 % more with each run: in turns, it makes no difference.
    #[test]
    fn a_drift_cancels_over_two_pairs() {
        let mut run = 0;
        let mut pairs = Pairs::default();
        for pair in 0..8 {
            let mut next = || {
                run += 1;
                libm::exp(0.01 * f64::from(run))
            };
            let (first, second) = (next(), next());
            let (a, b) = if pair % 2 == 0 { (first, second) } else { (second, first) };
            assert!(pairs.add(a, b));
            if pair % 2 == 1 {
                assert!((pairs.ratio().unwrap().ratio - 1.0).abs() < 1e-12);
            }
        }
    }
}
