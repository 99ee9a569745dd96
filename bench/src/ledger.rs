//! What the ledger's benchmarks share: a key, records of a usual size, a new ledger, a clock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carbon_ops_ledger::append::pipeline::{Clock, Pipeline, PipelineOptions};
use carbon_ops_ledger::append::{Ledger, WriterOptions};
use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::canonical::{Object, Value};
use jiff::Timestamp;

pub(crate) mod append;
pub(crate) mod made;
pub(crate) mod predecessor;
pub(crate) mod prove;
pub(crate) mod recovery;
pub(crate) mod single;
pub(crate) mod verify;

/// The time in what is written. No figure depends on it.
/// 2026-11-23T09:00:00Z.
const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);

/// A key that guards nothing.
fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn trust() -> Trust {
    Trust::from_iter([key().public_key()])
}

fn options() -> WriterOptions {
    WriterOptions { tool: "carbon-ops-bench".to_owned(), patience: Duration::from_secs(60) }
}

/// A new ledger.
fn create(dir: &Path) -> Result<()> {
    Ledger::create(DirStorage::new(dir), &key(), [1; 16], NOW, options())?;
    Ok(())
}

fn open(dir: &Path) -> Result<Pipeline> {
    let clock = Running(Instant::now());
    let options = PipelineOptions::new(options());
    Ok(Pipeline::open(DirStorage::new(dir), Arc::new(key()), trust(), clock, options)?)
}

/// A record of about 600 bytes, as one of a command's energy and carbon is.
fn record(number: u32) -> Result<Object> {
    let pad = "a usual record holds names, units, methods and inputs; ".repeat(6);
    let members = [
        ("created_ts", Value::from(format!("{NOW:.6}"))),
        ("energy_uj", Value::from(number)),
        ("grams_co2e", Value::from(number % 9973)),
        ("inputs", Value::from(pad)),
        ("kind", Value::from("bench")),
        ("label", Value::from(format!("job-{number}"))),
        ("region", Value::from("DE")),
    ];
    Object::from_members(members).context("a record")
}

/// Real time since the start.
struct Running(Instant);

impl Clock for Running {
    fn utc(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
