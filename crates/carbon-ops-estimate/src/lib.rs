//! Energy to carbon, with its uncertainty: grid intensity, the measurement model, and the record.
//!
//! * [`zones`]: from what a user types to a grid zone.
//! * [`intensity`]: what a kilowatt hour of a zone emits, and how well that is known.
//! * [`uncertainty`]: distributions, the measurement model, closed form and Monte Carlo, budgets.
//! * [`span`]: energy of a time, priced by overlap with slots.
//! * [`record`]: records v1 and v2, and the one place of each where its numbers are derived.
//! * [`embodied`]: carbon of hardware; [`sci`]: ISO/IEC 21031; [`taxonomy`], [`label`]: what a figure is made of,
//!   and what it is like.
//! * [`aggregate`]: totals in which shared errors stay shared; [`anomaly`]: values that stand out.
//!
//! The quick start, as `examples/estimate_span.rs` runs it:
//!
//! ```
//! use carbon_ops_estimate::intensity::table::YearlyTable;
//! use carbon_ops_estimate::intensity::{Interval, Provider as _, Want};
//! use carbon_ops_estimate::record::v2::{Input, Method, Relative, energy_inputs, estimate, grid_inputs};
//! use carbon_ops_estimate::span::{Load, Missing, Tariff};
//! use carbon_ops_estimate::uncertainty::text::Quantity;
//! use carbon_ops_estimate::zones::place;
//!
//! // What was used, when, and where.
//! let energy = Quantity::Energy.read("1.2kWh ± 2%")?;
//! let span = Interval::parse("2026-03-01T09:07:30Z", "2026-03-01T10:07:30Z")?;
//! let (grid, want) = (YearlyTable, Want::AVERAGE);
//!
//! // What the grid emitted meanwhile, slot by slot.
//! let series = grid.slots(&grid.zone(&place("DE")?, &want)?, span, &want)?;
//! let tariff = Tariff::of(series.inventory()?.slots())?;
//! let priced = tariff.price(span, &Load::Even(energy.mean()), Missing::Step)?;
//!
//! // Every input with its distribution and source; then the result with its interval.
//! let mut inputs = energy_inputs(energy, "power meter")?;
//! inputs.push(Input::new("pue", "tn(1.2, 0.05, min=1)".parse()?, "operator"));
//! inputs.extend(grid_inputs(&priced, &tariff, None, "OWID/Ember"));
//! let result = estimate(&inputs, &Relative::of(&inputs, Method::Analytical)?)?;
//! assert!(result.meta.ci_lower_g < result.prices.grams && result.prices.grams < result.meta.ci_upper_g);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Deliberately absent: files, sockets, clocks and randomness; hashes, signatures and storage.

pub mod aggregate;
pub mod anomaly;
pub mod decimal;
pub mod embodied;
pub mod intensity;
pub mod label;
pub mod record;
pub mod sci;
pub mod span;
pub mod taxonomy;
pub mod uncertainty;
pub mod upstream;
pub mod zones;
