//! The library as its users see it: by its flat names alone, on hosts and in folders of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests: what panics has failed the test"
)]

use carbon_ops::{CarbonEstimator, EnergyLogger, Ledger, Measured, Record};

mod estimator;
mod ledger;
mod logger;
mod pods;
mod verify;

#[test]
fn what_measures_prices_and_keeps_goes_to_any_thread() {
    fn goes<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    goes::<EnergyLogger>();
    is_shared::<(CarbonEstimator, Ledger, Measured, Record)>();
}
