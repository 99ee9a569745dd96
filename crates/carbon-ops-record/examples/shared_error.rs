//! A shared error does not average away: the width of a 95 % interval against the number of hours, for slots
//! whose errors are independent, half shared and wholly shared. Prints the table of `docs/method.md`.
//!
//! `cargo run -p carbon-ops-record --example shared_error`

use std::io::Write as _;

use carbon_ops_estimate::uncertainty::slots::{Noise, Provider, Slot, Span};
use carbon_ops_estimate::uncertainty::{Input, Method};

/// A slot is off by 15 % (k = 1), as one that its provider estimated.
const CV: f64 = 0.15;

/// An hour, a day, a month, a year.
const HOURS: [u32; 4] = [1, 24, 720, 8760];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "| Hours | ρ = 0 | ρ = 0, r = 0.9 | ρ = 0.5 | ρ = 1 |\n|---|---|---|---|---|")?;
    for hours in HOURS {
        let mut widths = Vec::new();
        for (common, hourly_correlation) in [(0.0, 0.0), (0.0, 0.9), (0.5, 0.0), (1.0, 0.0)] {
            let noise = Noise { cv: CV, common, hourly_correlation };
            widths.push(format!("{:.1} %", width(hours, noise)?));
        }
        writeln!(out, "| {hours} | {} |", widths.join(" | "))?;
    }
    Ok(())
}

/// From end to end of the interval, in percent of the estimate.
fn width(hours: u32, noise: Noise) -> Result<f64, Box<dyn std::error::Error>> {
    let factor = Input::new("intensity", "1".parse()?);
    let slot = |hour: u32| Slot { grams: 10.0, provider: 0, hour: hour.into() };
    let span = Span {
        factors: Vec::new(),
        providers: vec![Provider { factor, noise }],
        slots: (0..hours).map(slot).collect(),
        embodied: None,
    };
    let result = span.model()?.evaluate(&Method::Analytical)?;
    Ok(100.0 * (result.high - result.low) / result.mean)
}
