//! What can go wrong, as one type that callers ask instead of match: its causes may change without
//! breaking them.
//!
//! Out of scope: remedies. The front that speaks to a person knows the words and options for those.

use std::fmt;
use std::io;

use carbon_ops_grid::zones;
use carbon_ops_ledger::Error as LedgerError;

use crate::fault::Fault;
use crate::supervise::NotStarted;

/// What functions of this library return.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of any part of the library.
///
/// Its text says what failed, [`source`](std::error::Error::source) why. The predicates tell apart what
/// callers may want to answer differently; everything else is only to be reported.
///
/// ```
/// use carbon_ops::{CarbonEstimator, EstimatorSettings, KilowattHours};
///
/// let estimator = CarbonEstimator::new(EstimatorSettings::default())?;
/// let error = estimator.estimate_from_energy(KilowattHours::new(1.0)?, Some("Atlantis")).unwrap_err();
/// assert!(error.is_unknown_place());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Error(anyhow::Error);

/// No counter of energy can be read.
#[derive(Debug, thiserror::Error)]
#[error("no counter of energy can be read: {0}")]
pub(crate) struct NoCounters(pub(crate) String);

impl Error {
    fn any<E: std::error::Error + Send + Sync + 'static>(&self, is: impl Fn(&E) -> bool) -> bool {
        self.0.chain().filter_map(|cause| cause.downcast_ref()).any(is)
    }

    /// A place has a name that no table knows.
    pub fn is_unknown_place(&self) -> bool {
        self.any(|error| matches!(error, zones::Error::Unknown { .. }))
    }

    /// No counter of energy can be read: there is none, or this process may not.
    pub fn is_no_counters(&self) -> bool {
        self.any(|_: &NoCounters| true)
    }

    /// A process that was to be watched is not there.
    pub fn is_no_process(&self) -> bool {
        matches!(self.fault(), Some(Fault::NoProcess(_)))
    }

    /// What was asked for and cannot be had, where that is the cause.
    pub fn fault(&self) -> Option<&Fault> {
        self.0.chain().find_map(|cause| cause.downcast_ref())
    }

    /// A command could not be started.
    pub fn is_not_started(&self) -> bool {
        self.any(|_: &NotStarted| true)
    }

    /// There is no ledger, or no key to it, where one was named.
    pub fn is_no_ledger(&self) -> bool {
        self.any(|fault| matches!(fault, Fault::NoLedger { .. } | Fault::NoKey { .. }))
            || self.any(|error| matches!(error, LedgerError::NoLedger { .. }))
    }

    /// A ledger was begun with a key that is not trusted, or does not accept the one that would sign.
    pub fn is_untrusted(&self) -> bool {
        self.any(|error| {
            matches!(
                error,
                LedgerError::UntrustedLedger { .. } | LedgerError::KeyNotInRoster { .. }
            )
        })
    }

    /// A ledger is damaged or was tampered with; nothing is appended to it.
    pub fn is_damaged(&self) -> bool {
        self.any(|error| {
            matches!(error, LedgerError::Damaged { .. } | LedgerError::EmptyLedger { .. })
        })
    }

    /// The system refused access to a file.
    pub fn is_denied(&self) -> bool {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        self.any(denied)
    }

    pub(crate) fn no_counters(why: impl Into<String>) -> Self {
        Self(NoCounters(why.into()).into())
    }

    pub(crate) fn other(message: &'static str) -> Self {
        Self(anyhow::Error::msg(message))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

macro_rules! from {
    ($($source:ty),+ $(,)?) => {
        $(impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self(error.into())
            }
        })+
    };
}

from!(
    Fault,
    LedgerError,
    NotStarted,
    carbon_ops_estimate::uncertainty::text::TextError,
    carbon_ops_proof::Error,
    carbon_ops_record::Error,
    carbon_ops_units::OutOfRange,
    csv::Error,
    io::Error,
    serde_json::Error,
);

/// What stands below the first line of a text is advice, and for the front.
fn facts(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(facts(&self.0.to_string()))
    }
}

/// As `main` prints it: what failed, and why.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain: Vec<_> =
            self.0.chain().map(|cause| facts(&cause.to_string()).to_owned()).collect();
        f.write_str(&chain.join(": "))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_predicate_finds_its_cause_below_any_context() {
        let unknown = zones::Place::parse("Atlantis").context("the place of the work");
        let error = Error::from(unknown.unwrap_err());
        assert!(error.is_unknown_place() && !error.is_no_counters() && !error.is_untrusted());
        assert_eq!(error.to_string(), "the place of the work");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("Atlantis"));
    }

    #[test]
    fn the_text_of_an_error_names_no_remedy() {
        let error = Error::from(anyhow::anyhow!("no such thing\ngive another"));
        assert_eq!(error.to_string(), "no such thing");
        assert_eq!(format!("{error:?}"), "no such thing");
    }
}
