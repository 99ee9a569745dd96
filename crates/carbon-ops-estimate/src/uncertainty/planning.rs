//! How often to measure before a difference can be seen.
//!
//! Out of scope: the measuring.

use super::error::Error;
use super::normal::normal_quantile;

/// The number of runs of each of two variants after which a difference of their means of `effect`
/// is found with probability `power`, by a two-sided test at significance `alpha`, when single runs
/// scatter with the standard deviation `sd`:
///
/// ```text
/// n = ⌈2 ((z₁₋α/2 + z_power) · sd/effect)²⌉
/// ```
///
/// This takes `sd` as known (carbon-ops 0.1 has the same formula). When it is estimated from the same
/// runs, [`power_analysis_required_n_estimated`] is right.
///
/// # Errors
/// For an `sd` or `effect` that is not above 0, or probabilities outside of 0 to 1.
///
/// ```
/// use carbon_ops_estimate::uncertainty::planning::power_analysis_required_n;
/// assert_eq!(power_analysis_required_n(1.0, 0.5, 0.05, 0.8)?, 63);
/// # Ok::<(), carbon_ops_estimate::uncertainty::Error>(())
/// ```
pub fn power_analysis_required_n(
    sd: f64,
    effect: f64,
    alpha: f64,
    power: f64,
) -> Result<u64, Error> {
    Ok(ceil(known(sd, effect, alpha, power)?))
}

/// The same with a standard deviation that is estimated from the runs (t test): n + z²₁₋α/2 / 4
/// (Guenther, Sample size formulas for normal theory t tests, The American Statistician 35, 1981).
///
/// # Errors
/// As [`power_analysis_required_n`].
pub fn power_analysis_required_n_estimated(
    sd: f64,
    effect: f64,
    alpha: f64,
    power: f64,
) -> Result<u64, Error> {
    let z = normal_quantile(1.0 - alpha / 2.0);
    Ok(ceil(known(sd, effect, alpha, power)? + z * z / 4.0))
}

/// The number of runs after which half the `level` interval of their mean is `half_width`, for
/// independent runs of the known standard deviation `sd`: `⌈(z·sd/half_width)²⌉`. A shared error does
/// not become less by repetition, and is not in `sd`.
///
/// # Errors
/// As [`power_analysis_required_n`].
pub fn runs_for_half_width(sd: f64, half_width: f64, level: f64) -> Result<u64, Error> {
    check(sd, half_width, level, 0.5)?;
    let z = normal_quantile(0.5 + level / 2.0);
    Ok(ceil((z * sd / half_width) * (z * sd / half_width)))
}

fn known(sd: f64, effect: f64, alpha: f64, power: f64) -> Result<f64, Error> {
    check(sd, effect, alpha, power)?;
    let z = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power);
    // Less power than the test has without any difference takes no runs.
    let z = z.max(0.0);
    Ok(2.0 * (z * sd / effect) * (z * sd / effect))
}

fn check(sd: f64, effect: f64, alpha: f64, power: f64) -> Result<(), Error> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let probability = |x: f64| x > 0.0 && x < 1.0;
    match [alpha, power].into_iter().find(|x| !probability(*x)) {
        Some(x) => Err(Error::Level(x)),
        None if positive(sd) && positive(effect) => Ok(()),
        None => Err(Error::Scatter { sd, effect }),
    }
}

fn ceil(n: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let n = n.ceil() as u64;
    n.max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n per group for a two-sided test at 5 % with a power of 80 %. Known sd: Machin and others,
    /// Sample Size Tables for Clinical Studies, and by hand 2·(1.959964 + 0.841621)²/d². With the t
    /// test: Cohen, Statistical Power Analysis, table 2.4.1: 394 (393), 64, 26 (d = 0.2, 0.5, 0.8).
    #[test]
    fn sample_sizes_are_those_of_published_tables() {
        for (effect, known, estimated) in [(0.2, 393, 394), (0.5, 63, 64), (0.8, 25, 26)] {
            assert_eq!(power_analysis_required_n(1.0, effect, 0.05, 0.8), Ok(known));
            assert_eq!(power_analysis_required_n_estimated(1.0, effect, 0.05, 0.8), Ok(estimated));
        }
        // (1.96·10/2)² = 96.04.
        assert_eq!(runs_for_half_width(10.0, 2.0, 0.95), Ok(97));
    }

    #[test]
    fn impossible_plans_are_refused() {
        assert_eq!(power_analysis_required_n(1.0, 0.5, 0.0, 0.8), Err(Error::Level(0.0)));
        assert!(power_analysis_required_n(1.0, 0.0, 0.05, 0.8).is_err());
        assert!(runs_for_half_width(f64::NAN, 1.0, 0.95).is_err());
    }
}
