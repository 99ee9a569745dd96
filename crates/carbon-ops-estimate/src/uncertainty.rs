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
mod error;
mod evaluate;
mod model;
mod monte_carlo;
mod normal;
pub mod planning;
mod polynomial;
mod quadrature;
mod random;
pub mod text;

pub use closed::NotClosed;
pub use distribution::{Caution, Distribution, NoDistribution};
pub use error::Error;
pub use evaluate::{Estimate, Method, Used};
pub use model::{Expression, Input, Model, Sign};
pub use monte_carlo::{Coverage, MonteCarlo, Run, Sampled, TRIALS, Trials};
pub use normal::{LEVEL, lognormal_interval};
pub use random::GENERATOR;

#[cfg(test)]
pub(crate) use {normal::normal_quantile, random::uniforms};

#[cfg(test)]
pub(crate) mod calibration;
