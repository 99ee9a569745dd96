//! A job that measures itself and one of its steps, prices both, and keeps the records.
#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::process::Command;

use carbon_ops::{CarbonEstimator, EnergyLogger, Ledger, Record, Result};

fn main() -> Result<()> {
    let home = tempfile::tempdir()?;
    let ledger = Ledger::open_or_make(home.path().join("ledger"), home.path().join("key.pem"))?;
    let estimator = CarbonEstimator::at("eu-west-1")?;
    let logger = EnergyLogger::default();

    // Work of this process: what it gives back comes back with the measurement.
    let (primes, measured) = logger.measure("primes", || primes_below(200_000));
    println!("{} primes", primes.len());
    keep(&ledger, &estimator.estimate_measured(&measured?)?)?;

    // A step that is a command: its own CPU time, and that of what it waits for.
    let (status, measured) =
        logger.run(Command::new("sh").args(["-c", "seq 100000 >/dev/null"]))?;
    println!("the step ended with {status}");
    keep(&ledger, &estimator.estimate_measured(&measured)?)
}

fn keep(ledger: &Ledger, record: &Record) -> Result<()> {
    let entry = ledger.append(record)?;
    let (name, quality) = (record.name().unwrap_or_default(), record.quality_flag.as_str());
    let joules = record.energy_kwh * 3.6e6;
    println!("#{} {name}: {joules:.3} J, {:.3e} g CO2e, {quality}", entry.seq, record.grams);
    Ok(())
}

fn primes_below(limit: usize) -> Vec<usize> {
    (2..limit).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect()
}
