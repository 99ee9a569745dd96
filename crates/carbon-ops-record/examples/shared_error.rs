//! A shared error does not average away: the width of a 95 % interval against the number of hours, for slots
//! whose errors are independent, half shared and wholly shared. Prints the table of `docs/method.md`.
//!
//! `cargo run -p carbon-ops-record --example shared_error`

use std::io::Write as _;

use carbon_ops_estimate::uncertainty::{Distribution, Input, Method, Model};

/// A slot is off by 15 % (k = 1), as one that its provider estimated.
const CV: f64 = 0.15;

/// An hour, a day, a month, a year.
const HOURS: [u32; 4] = [1, 24, 720, 8760];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "| Hours | ρ = 0 | ρ = 0, r = 0.9 | ρ = 0.5 | ρ = 1 |\n|---|---|---|---|---|")?;
    for hours in HOURS {
        let mut widths = Vec::new();
        for (common, correlation) in [(0.0, 0.0), (0.0, 0.9), (0.5, 0.0), (1.0, 0.0)] {
            widths.push(format!("{:.1} %", width(hours, common, correlation)?));
        }
        writeln!(out, "| {hours} | {} |", widths.join(" | "))?;
    }
    Ok(())
}

/// From end to end of the interval, in percent of the estimate, for hours of equal energy: a part `common`
/// of the variance is shared, and the rest is correlated from one hour to the next, AR(1).
fn width(hours: u32, common: f64, correlation: f64) -> Result<f64, Box<dyn std::error::Error>> {
    // Σᵢ Σⱼ r^|i − j| in one pass: `before` is Σ_{i<j} r^(j − i).
    let (mut own, mut before) = (0.0, 0.0);
    for _ in 0..hours {
        own += 1.0 + 2.0 * before;
        before = (before + 1.0) * correlation;
    }
    let n = f64::from(hours);
    let variance = CV * CV * ((1.0 - common) * own + common * n * n);
    let noise = Distribution::Normal { mean: 1.0, sd: variance.sqrt() / n };
    let model = Model::product(10.0 * n, vec![Input::new("noise", noise)])?;
    let result = model.evaluate(&Method::Analytical)?;
    Ok(100.0 * (result.high - result.low) / result.mean)
}
