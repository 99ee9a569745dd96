//! Errors of the library as exceptions, by what a caller can do about them.
//!
//! Out of scope: wrong arguments, which are Python's `ValueError`.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(carbon_ops, CarbonOpsError, PyException, "What carbon-ops could not do.");
create_exception!(carbon_ops, UnknownPlaceError, CarbonOpsError, "A place that no table knows.");
create_exception!(carbon_ops, NoCountersError, CarbonOpsError, "No energy counter can be read.");
create_exception!(carbon_ops, LedgerError, CarbonOpsError, "A ledger that cannot be used.");
create_exception!(carbon_ops, LedgerDamagedError, LedgerError, "A ledger that is not what it was.");
create_exception!(carbon_ops, UntrustedKeyError, LedgerError, "A key that nobody trusts here.");

/// An error of the library as an exception, with all of its causes.
pub(crate) fn raised(error: impl Into<carbon_ops::Error>) -> PyErr {
    let error = error.into();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        let next_words = next.to_string();
        if !words.ends_with(&next_words) {
            words = format!("{words}: {next_words}");
        }
        cause = next.source();
    }
    if error.is_unknown_place() {
        UnknownPlaceError::new_err(words)
    } else if error.is_no_counters() {
        NoCountersError::new_err(words)
    } else if error.is_damaged() {
        LedgerDamagedError::new_err(words)
    } else if error.is_untrusted() {
        UntrustedKeyError::new_err(words)
    } else if error.is_no_ledger() {
        LedgerError::new_err(words)
    } else {
        CarbonOpsError::new_err(words)
    }
}

/// An error of one of the library's parts as an exception.
pub(crate) fn of_part(error: impl std::error::Error + Send + Sync + 'static) -> PyErr {
    raised(anyhow::Error::from(error))
}
