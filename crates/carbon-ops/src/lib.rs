//! What software emits, and the proof of it.

mod error;
mod estimator;
mod kept;
pub mod logger;

pub use carbon_ops_estimate as estimate;
pub use carbon_ops_grid as grid;
pub use carbon_ops_ledger as ledger;
pub use carbon_ops_meter as meter;
pub use carbon_ops_proof as proof;
pub use carbon_ops_record as record;
pub use carbon_ops_units as units;

// Measuring.
pub use compose::Measured;
pub use env::{Clocks, Env};
pub use gpus::NvmlLibrary;
pub use grid::fetch::Clock;
pub use logger::idle::IdlePower;
pub use logger::metrics::{Metrics, MetricsSummary};
pub use logger::{Block, EnergyLogger, LoggerSettings, thread_cpu_time};
pub use measure::AskGovernor;
pub use meter::host_root::HostRoot;
pub use meter::shares::IdlePolicy;
pub use watch::{By, Options as WatchOptions, Sample, Sort, Watch, What};

// Pricing.
pub use estimator::{CarbonEstimator, Energy, Estimate, EstimatorSettings};
pub use record::{Method, Note, Quality, Record};
pub use settings::Settings;
pub use sources::Name as SourceName;

// Keeping and verifying.
pub use kept::{Ledger, verify_ledger};
pub use ledger::append::{Appended, SignedCheckpoint};
pub use ledger::keys::{PublicKey, Trust};
pub use proof::verify::Status;
pub use verify::Verified;

// Quantities and errors.
pub use error::{Error, Fault, Result};
pub use units::{
    Bounded, GramsCo2e, GramsCo2ePerKilowattHour, KilowattHours, Microjoules, Pue, Watts,
};

pub mod bytes;
pub mod cgroup;
pub mod compose;
pub mod env;
pub mod gpus;
mod head;
pub mod host;
pub mod measure;
pub mod price;
pub mod recompute;
pub mod records;
pub mod row;
pub mod settings;
pub mod site;
pub mod sources;
mod spawn_in_cgroup;
pub mod store;
pub mod supervise;
pub mod text;
pub mod unsafe_calls;
pub mod verify;
pub mod watch;
pub mod witnesses;
