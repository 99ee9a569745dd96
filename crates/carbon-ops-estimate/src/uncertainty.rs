//! What is not known exactly: distributions, the measurement model, its closed form, Monte Carlo.
//!
//! * [`Distribution`]: what is known of one quantity; [`text`] reads and prints it.
//! * [`Model`]: a result as an expression of named inputs.
//! * [`Model::evaluate`]: by the closed form (`analytical_truncated`: deterministic, no sampling) or
//!   by Monte Carlo after JCGM 101:2008 ([`MonteCarlo`]).
//! * [`Estimate`]: mean, standard uncertainty, coverage interval, and how they came about.
//! * [`planning`]: sample sizes.
//!
//! Everything is computed by IEEE-754 arithmetic in a fixed order and a pinned mathematics library,
//! so that the same inputs (and the same seed) give the same bits on every machine.
//!
//! Out of scope: files, clocks, entropy; which inputs a figure has (see `docs/method.md`).

mod closed;
mod distribution;
mod model;
mod monte_carlo;
mod normal;
pub mod planning;
mod polynomial;
mod quadrature;
mod random;
pub mod text;

pub use closed::NotClosed;
pub use distribution::{Caution, Distribution};
pub use model::{Coverage, Estimate, Expression, Input, Method, Model, Sign, Used};
pub use monte_carlo::{MonteCarlo, Run, Sampled, TRIALS, Trials};
pub use random::GENERATOR;

#[cfg(test)]
pub(crate) mod calibration;

/// Coverage probability of all intervals in records.
pub const LEVEL: f64 = 0.95;

/// Why numbers are no distribution, or distributions no model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parameters that describe no distribution of a quantity that cannot be negative.
    #[error("{0} {flaw}", flaw = .0.flaw())]
    Parameters(Distribution),
    /// Parameters that describe no distribution at all.
    #[error("{0} {flaw}", flaw = .0.flaw())]
    NoDistribution(Distribution),
    /// Every factor is a point: the result would claim to be exact.
    #[error("no input carries an uncertainty, and a result without one is not given")]
    NoUncertainty,
    /// A few values far out decide the mean, and 95 % of the probability do not reach it.
    #[error("the inputs are so uncertain that the mean lies outside of its own interval")]
    TooWide,
    /// An expression that names an input which there is not.
    #[error("the expression names input {0}, and there is no such input")]
    NoInput(usize),
    /// A coverage probability outside of 0 to 1.
    #[error("{0} is not a coverage probability: not between 0 and 1")]
    Level(f64),
    /// Too few or too many trials for the coverage probability.
    #[error(
        "{trials} trials are {problem} for a coverage probability of {level}: JCGM 101, 7.2, asks for {enough} \
         or more, and 10,000,000 are the most"
    )]
    Trials {
        /// How many were asked for.
        trials: u64,
        /// `too few` or `too many`.
        problem: &'static str,
        /// Coverage probability.
        level: f64,
        /// 10⁴/(1 − p).
        enough: u64,
    },
    /// Digits that no standard uncertainty has.
    #[error("{0} significant digits of the standard uncertainty: 1 or 2 are usual, 4 the most")]
    Digits(u8),
    /// A scatter or a difference that is not above 0.
    #[error("a standard deviation of {sd} and a difference of {effect}: both have to be above 0")]
    Scatter {
        /// Standard deviation.
        sd: f64,
        /// Difference.
        effect: f64,
    },
    /// A trial gave no number: a quotient by zero.
    #[error("trial {0} has no finite result: an input that is divided by can be zero")]
    NotFinite(u64),
}

/// The symmetric interval of a lognormal with a mean above 0 and a standard deviation; of a normal for
/// another mean.
pub(crate) fn lognormal_interval(mean: f64, standard: f64, level: f64) -> (f64, f64) {
    let z = normal::normal_quantile(0.5 + level / 2.0);
    if mean <= 0.0 {
        return (mean - z * standard, mean + z * standard);
    }
    let cv = standard / mean;
    let variance = libm::log1p(cv * cv);
    let s = variance.sqrt();
    (mean * libm::exp(-variance / 2.0 - z * s), mean * libm::exp(-variance / 2.0 + z * s))
}
