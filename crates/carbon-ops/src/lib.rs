//! What software emits, and the proof of it: measures the energy of work on Linux, prices it as carbon with
//! what is not known of it, and keeps the records so that nobody can change one unnoticed.
//!
//! ```
//! use carbon_ops::{Answer, CarbonEstimator, EnergyLogger, Ledger, Trust, verify_ledger};
//!
//! // Measure.
//! let logger = EnergyLogger::default();
//! let (sum, measured) = logger.measure("sum", || (1..=1_000u64).sum::<u64>());
//!
//! // Price.
//! let record = CarbonEstimator::at("DE")?.estimate_measured(&measured?)?;
//! assert_eq!((record.name(), record.region.as_str()), (Some("sum"), "DE"));
//!
//! // Keep, and verify.
//! let home = tempfile::tempdir()?;
//! let ledger = Ledger::open_or_make(home.path().join("ledger"), home.path().join("key.pem"))?;
//! ledger.append(&record)?;
//! let verdict = verify_ledger(ledger.folder(), &Trust::from_iter([ledger.public_key()]))?;
//! assert_eq!(verdict.answer(), Answer::Valid);
//! # assert_eq!(sum, 500_500);
//! # Ok::<(), carbon_ops::Error>(())
//! ```
//!
//! This works on any Linux machine. Where no counter can be read, a model of the processor stands in; where no
//! place is given, the world does. Each record says what stands behind its numbers.
//!
//! # Three types to start from
//!
//! * [`EnergyLogger`] measures: [work](EnergyLogger::measure) of this process, a
//!   [block](EnergyLogger::start) of it, a [command](EnergyLogger::run), what
//!   [runs already](EnergyLogger::observe), [samples](EnergyLogger::log_metrics) of the host, and what it uses
//!   [at rest](EnergyLogger::calibrate_idle).
//! * [`CarbonEstimator`] prices: what was [measured](CarbonEstimator::estimate_measured), an energy over a
//!   [span](CarbonEstimator::estimate_over_span) of time, or
//!   [without](CarbonEstimator::estimate_from_energy) one, or a
//!   [power](CarbonEstimator::estimate_from_power_time).
//! * [`Ledger`] keeps: [appends](Ledger::append) records and signs [checkpoints](Ledger::checkpoint).
//!   [`verify_ledger`] needs no more than the files and the public key.
//!
//! Between them go [`Measured`], an energy with everything that it was derived from, and [`Record`], the same
//! with its carbon. The [`cookbook`] has a recipe for each task.
//!
//! # Features
//!
//! * **Counters that neither lose nor invent energy.** Wraps, resets and gaps are told apart ([`meter`]). A
//!   governor, the kernel's own files and NVIDIA's library are read; the best of them wins, and the record
//!   says why no better one was there.
//! * **Shares by CPU time**, with what is not known of them in the interval.
//! * **Uncertainty from the start.** Every input is a distribution with a source ([`estimate`]); errors that
//!   are the same in several records do not average away ([`record::totals`]).
//! * **The grid of the time and place**, from tables that ship with the library, or from services that are
//!   named ([`grid`]).
//! * **A ledger that is a text file.** Canonical JSON, Ed25519, a Merkle tree with checkpoints
//!   ([`proof`], [`ledger`]).
//! * **Units in the types.** A power is no energy ([`units`]).
//!
//! # What this is not
//!
//! * *No global state and no output.* Loggers know nothing of each other; what to print is the caller's.
//! * *No asynchronous functions.* Measuring needs a thread that is on time, and writing a disk that has
//!   synced; both are called from any runtime's pool for blocking work.
//! * *No other systems than Linux.* The counters are Linux's. What verifies ([`proof`]) builds elsewhere.
//! * *No attribution by anything but time.* Instructions and cache misses fit one processor better and another
//!   worse, and take privileges.
//! * *No network unless a source is named* in [`EstimatorSettings::sources`]: an estimate that depends on
//!   who answers today cannot be made again tomorrow.
//! * *No offsets or certificates in the grams.* They are of a contract, not of a measurement.
//!
//! # Errors
//!
//! Everything here returns [`Error`], whose causes may change without breaking callers. It is asked, not
//! matched: [`is_unknown_place`](Error::is_unknown_place), [`is_no_counters`](Error::is_no_counters),
//! [`is_not_started`](Error::is_not_started), [`is_no_process`](Error::is_no_process),
//! [`is_no_ledger`](Error::is_no_ledger), [`is_untrusted`](Error::is_untrusted),
//! [`is_damaged`](Error::is_damaged), [`is_denied`](Error::is_denied); and what somebody asked for and cannot
//! have is a [`fault`](Error::fault). Hardware that is missing is no error but a note in the record. The
//! working modules return [`anyhow::Error`], which becomes an [`Error`] by `?`.
//!
//! # Modules
//!
//! The parts are crates of their own: [`units`], [`meter`], [`estimate`], [`grid`], [`record`], [`proof`],
//! [`ledger`]. What the command is made of stands in the working modules below: [`settings`] and [`env`](mod@env)
//! resolve what is asked for, [`measure`], [`supervise`] and [`compose`] lead from counters to [`Measured`],
//! [`site`], [`sources`] and [`price`] from there to a [`Record`], [`watch`] takes samples, [`store`] and
//! [`verify`] are the product's way with a ledger.

pub mod cookbook;
mod error;
mod estimator;
mod fault;
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
pub use gpus::AskNvml;
pub use grid::fetch::Clock;
pub use logger::idle::IdlePower;
pub use logger::metrics::{Metrics, MetricsSummary};
pub use logger::{Block, EnergyLogger, LoggerSettings, thread_cpu_time};
pub use measure::AskGovernor;
pub use meter::attribution::IdlePolicy;
pub use meter::host_root::HostRoot;
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
pub use verify::{Answer, Question, Verdict};

// Quantities and errors.
pub use error::{Error, Result};
pub use fault::{Fault, OtherFile};
pub use units::{
    Bounded, GramsCo2e, GramsCo2ePerKilowattHour, KilowattHours, Microjoules, Pue, Watts,
};

pub mod agent;
pub mod before;
pub mod brief;
pub mod budget;
pub mod bytes;
mod carry;
pub mod cgroup;
pub mod checkup;
pub mod compare;
pub mod compose;
pub mod continuation;
pub mod env;
pub mod gpus;
mod head;
pub mod host;
pub mod identity;
pub mod keys;
pub mod measure;
pub mod pack;
pub mod price;
pub mod prove;
mod reader;
pub mod recompute;
pub mod records;
pub mod row;
pub mod sample;
pub mod series;
pub mod settings;
pub mod site;
pub mod sources;
mod spawn_in_cgroup;
pub mod spool;
pub mod store;
pub mod supervise;
pub mod text;
pub mod unsafe_calls;
pub mod verify;
pub mod watch;
pub mod witnessed;
pub mod witnesses;
pub mod witnessing;
pub mod work;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The names that stand flat at the root: one more is a decision, and about forty is enough to find
    /// one's way.
    const FLAT: &str = "Answer Appended AskGovernor AskNvml Block Bounded By CarbonEstimator Clock Clocks Energy \
        EnergyLogger Env Error Fault Estimate EstimatorSettings GramsCo2e GramsCo2ePerKilowattHour HostRoot \
        IdlePolicy IdlePower KilowattHours Ledger LoggerSettings Measured Method Metrics MetricsSummary \
        Microjoules Note OtherFile PublicKey Pue Quality Question Record Result Sample Settings SignedCheckpoint \
        Sort SourceName Trust Verdict Watch WatchOptions Watts What thread_cpu_time verify_ledger";

    #[test]
    fn the_flat_names_are_those_of_the_list() {
        let source = include_str!("lib.rs").split("#[cfg(test)]").next().unwrap();
        let exports = source.split("pub use ").skip(1).map(|rest| rest.split(';').next().unwrap());
        let names = exports.flat_map(|export| {
            let list = export.split_once('{').map_or(export, |(_, list)| list);
            list.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty())
        });
        let flat: BTreeSet<&str> = names
            .filter(|name| !name.starts_with("carbon_ops_"))
            .map(|name| name.rsplit([' ', ':']).next().unwrap())
            .collect();
        assert_eq!(flat, FLAT.split_whitespace().collect());
    }
}
