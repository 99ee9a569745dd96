//! The quick start: energy of a span, priced with the grid of its own time and place.
//!
//! `cargo run -p carbon-ops-record --example estimate_span`

use std::io::Write as _;

use carbon_ops_estimate::span::{Load, Missing, Tariff};
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_grid::zones::Place;
use carbon_ops_grid::{BuiltIn, Interval, Provider as _, Want};
use carbon_ops_record::{Input, Method, Relative, energy_inputs, estimate, grid_inputs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What was used, when, and where.
    let energy = Quantity::Energy.read("1.2kWh ± 2%")?;
    let span = Interval::parse("2026-03-01T09:07:30Z", "2026-03-01T10:07:30Z")?;
    let want = Want::AVERAGE;

    // What the grid emitted meanwhile: here by the built-in yearly table; any provider will do.
    let grid = BuiltIn;
    let zone = grid.zone(&Place::parse("DE")?, &want)?;
    let series = grid.slots(&zone, span, &want)?;
    let tariff = Tariff::of(series.inventory()?.slots())?;
    let priced = tariff.price(span, &Load::Even(energy.mean()), Missing::Step)?;

    // Every input with its distribution and source; then the result with its interval.
    let mut inputs = energy_inputs(energy, "power meter")?;
    inputs.push(Input::new("pue", "tn(1.2, 0.05, min=1)".parse()?, "operator"));
    inputs.extend(grid_inputs(&priced, &tariff, None, "OWID/Ember"));
    let result = estimate(&inputs, &Relative::of(&inputs, Method::Analytical)?)?;

    let grams = result.prices.grams;
    let (low, high) = (result.meta.ci_lower_g, result.meta.ci_upper_g);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{grams:.0} gCO2e, 95 % between {low:.0} and {high:.0}")?;
    Ok(())
}
