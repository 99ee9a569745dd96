//! The native half of the Python package: the library's types as Python sees them. Whatever has many members crosses as
//! JSON, which Python reads into dictionaries; names, defaults and words are Python's half (`package/carbon_ops`).
//!
//! Every call that may wait gives the interpreter's lock back meanwhile.
//!
//! Out of scope: the API of carbon-ops 0.1, which is kept in Python.

use pyo3::prelude::*;

mod errors;
mod estimator;
mod ledger;
mod logger;
mod numbers;

/// The native half of `carbon_ops`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::errors::{
        CarbonOpsError, LedgerDamagedError, LedgerError, NoCountersError, UnknownPlaceError,
        UntrustedKeyError,
    };
    #[pymodule_export]
    use super::estimator::Estimator;
    #[pymodule_export]
    use super::ledger::{
        Ledger, append_legacy, canonical, fingerprint, public_key, sign, validate_legacy, verifies,
        verify,
    };
    #[pymodule_export]
    use super::logger::{Block, Logger, Measured};
    #[pymodule_export]
    use super::numbers::{
        aggregate, anomaly, cloud_of_region, config_shown, embodied, label, required_runs, theta,
        zones,
    };
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
