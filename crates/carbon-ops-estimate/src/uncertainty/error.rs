//! Why there is no model, or no interval.
//!
//! Out of scope: texts that are no distribution (`text`).

use super::distribution::NoDistribution;

/// Why numbers are no distribution, or distributions no model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parameters that describe no distribution.
    #[error(transparent)]
    NoDistribution(#[from] NoDistribution),
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
