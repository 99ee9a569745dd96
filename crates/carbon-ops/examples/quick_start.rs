//! Measures work, prices it where it ran, and keeps the record in a signed ledger.
use carbon_ops::{CarbonEstimator, EnergyLogger, Ledger, Result};

fn main() -> Result<()> {
    let home = tempfile::tempdir()?;
    let ledger = Ledger::open_or_make(home.path().join("ledger"), home.path().join("key.pem"))?;
    let (_, measured) = EnergyLogger::default().measure("sum", || (0..9_999_999u64).sum::<u64>());
    let record = CarbonEstimator::at("DE")?.estimate_measured(&measured?)?;
    ledger.append(&record).map(drop)
}
