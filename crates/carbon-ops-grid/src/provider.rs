//! What every source of intensities is: it answers for a zone and an interval with slots.
//!
//! A source is one file. It says what signal it would give for a wish ([`Provider::offers`]), finds its
//! own name for a place ([`Provider::zone`]), and answers ([`Provider::slots`]). A time that has passed
//! is never answered with what is latest.
//!
//! Out of scope: HTTP, caching, and moving from one source to another.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::zones::Place;
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::intensity::{AnySeries, Impossible, Interval};
use carbon_ops_estimate::tables::did_you_mean;

/// What is wished for. What is left open is decided by the source, and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Want {
    /// Which electricity.
    pub kind: Kind,
    /// Life cycle or direct; any of these two. Upstream-only factors are partial and are returned only on
    /// request.
    pub factor: Option<Factor>,
    /// Consumption or production; any.
    pub accounting: Option<Accounting>,
    /// CO2 or all gases; any.
    pub gases: Option<Gases>,
}

impl Want {
    /// An average, for an inventory.
    pub const AVERAGE: Self =
        Self { kind: Kind::Average, factor: None, accounting: None, gases: None };
    /// A marginal rate, for a decision.
    pub const MARGINAL: Self = Self { kind: Kind::Marginal, ..Self::AVERAGE };

    /// Exactly this signal.
    pub fn exactly(signal: Signal) -> Self {
        Self {
            kind: signal.kind,
            factor: Some(signal.factor),
            accounting: Some(signal.accounting),
            gases: Some(signal.gases),
        }
    }

    /// Whether a signal is what is wished for.
    pub fn admits(&self, signal: Signal) -> bool {
        self.kind == signal.kind
            && match self.factor {
                Some(factor) => factor == signal.factor,
                None => signal.factor != Factor::Upstream,
            }
            && self.accounting.is_none_or(|accounting| accounting == signal.accounting)
            && self.gases.is_none_or(|gases| gases == signal.gases)
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.factor.map_or(Ok(()), |factor| write!(f, " {factor}"))?;
        self.accounting.map_or(Ok(()), |accounting| write!(f, " {accounting}"))?;
        self.gases.map_or(Ok(()), |gases| write!(f, " {gases}"))
    }
}

/// When a source's values stop changing, by their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// A value that was measured.
    pub actual: Duration,
    /// A value that was filled in or forecast: replaced later, or never.
    pub provisional: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Settling {
    /// Priors: providers revise estimated hours "days later" without saying when they stop. A week for
    /// what was measured, a month for what was filled in.
    pub const USUAL: Self = Self {
        actual: Duration::from_secs(7 * DAY.as_secs()),
        provisional: Duration::from_secs(30 * DAY.as_secs()),
    };
    /// Values that never change: a table of one vintage.
    pub const AT_ONCE: Self = Self { actual: Duration::ZERO, provisional: Duration::ZERO };
}

/// What a provider would answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Which source the slots would name. It is the provider, unless that one has several sources.
    pub source: &'static str,
    /// What they would count.
    pub signal: Signal,
}

/// A source of intensities.
pub trait Provider: Send + Sync {
    /// Its name in configurations, caches and records.
    fn id(&self) -> &'static str;

    /// The signal that it would answer a wish with; `None` when it has nothing of the kind.
    fn offers(&self, want: &Want) -> Option<Signal>;

    /// The same, where there has to be one.
    ///
    /// # Errors
    /// When it has nothing of the kind.
    fn signal(&self, want: &Want) -> Result<Signal, Error> {
        self.offers(want).ok_or(Error::NotOffered { provider: self.id(), want: *want })
    }

    /// What it would answer the same wish with for a place, where that depends on the place.
    fn offers_at(&self, _place: &Place, want: &Want) -> Option<Offer> {
        self.offers(want).map(|signal| Offer { source: self.id(), signal })
    }

    /// Its own name for a place.
    ///
    /// # Errors
    /// When it does not cover the place, or cannot be asked.
    fn zone(&self, place: &Place, want: &Want) -> Result<String, Error>;

    /// The slots of a zone that overlap an interval, with gaps where there is none.
    ///
    /// # Errors
    /// When it could not be asked, did not answer properly, or answered for another zone.
    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error>;

    /// When its values stop changing.
    fn settling(&self) -> Settling {
        Settling::USUAL
    }
}

/// What kind of failure it is: what a front end looks up its advice by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The source has no such signal.
    NotOffered,
    /// The source does not cover the place.
    Uncovered(Uncovered),
    /// It answered for another zone.
    WrongZone,
    /// It gave no access.
    Denied(Denied),
    /// It said no.
    Status,
    /// It asks to be left alone for a while.
    RateLimited,
    /// It did not answer.
    NoAnswer,
    /// Its address is not protected.
    Unprotected,
    /// Its answer is not what it should be.
    Malformed,
    /// It failed lately, and is not asked again yet.
    BackingOff,
    /// Slots or an interval that cannot be.
    Impossible,
    /// A file that cannot be used.
    File(FileProblem),
}

/// Why a source does not cover a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Uncovered {
    /// It has no zone of that name.
    NoSuchZone,
    /// The place lies outside of what it covers.
    Elsewhere,
    /// Its zone of a cloud region is not known.
    CloudRegion,
    /// Its zone at coordinates is not known.
    Coordinates,
    /// Several of its zones lie in the place.
    SeveralZones,
    /// Its zones are not found by such a name.
    NotByName,
    /// Its zone at coordinates is not in the cache, and nobody is asked.
    NotCached,
}

impl fmt::Display for Uncovered {
    /// What there is to say beyond that the zone is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchZone | Self::NotByName => "",
            Self::Elsewhere => ": it does not reach there",
            Self::CloudRegion => ": the grid zone of the cloud region is not known",
            Self::Coordinates => ": its zones are not found by coordinates",
            Self::SeveralZones => ": several of its zones lie there",
            Self::NotCached => ": its region for coordinates is not in the cache",
        })
    }
}

/// Why a source gave no access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// The credentials are not accepted.
    NotAccepted,
    /// They are accepted, and what was asked for is not part of what they give access to.
    NotIncluded,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileProblem {
    /// It does not say what its numbers count, or not in a form that is understood.
    Undeclared,
    /// It is not a table, or not the JSON, of such a file.
    Form,
    /// A number or a time in it cannot be.
    Values,
    /// It has certificates and contracts, and not in their form.
    Instruments,
    /// An answer that a record names is not kept whole.
    NotKept,
}

/// Why a source gave nothing. Its texts are facts: what to do about them a front end looks up by
/// [`Error::kind`].
///
/// No text in it ever holds a secret: requests are named by host and path, never by their headers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source has no such signal.
    #[error("{provider} has no {want} intensity")]
    NotOffered {
        /// Which source.
        provider: &'static str,
        /// What was wished for.
        want: Want,
    },
    /// The source does not know or cover the zone.
    #[error("{provider} does not know the zone {zone:?}{why}{}", did_you_mean(.near))]
    UnknownZone {
        /// Which source.
        provider: &'static str,
        /// What was asked for.
        zone: String,
        /// What resembles it, best first.
        near: Vec<String>,
        /// Why not.
        why: Uncovered,
    },
    /// The source answered for another zone than was asked for. Nothing of the answer is used.
    #[error("{provider} was asked for the zone {requested:?} and answered for {returned:?}")]
    WrongZone {
        /// Which source.
        provider: &'static str,
        /// What was asked for.
        requested: String,
        /// What it answered for.
        returned: String,
    },
    /// No credentials, or such that are not accepted.
    #[error("{provider}: {what}")]
    Credentials {
        /// Which source.
        provider: &'static str,
        /// What is the matter.
        what: String,
        /// Of what kind that is.
        why: Denied,
    },
    /// The source said no.
    #[error("{provider}: {request} was answered with status {status}{}", message_text(.message))]
    Status {
        /// Which source.
        provider: &'static str,
        /// Host and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// What the source said, in part.
        message: String,
    },
    /// The source asks to be left alone for a while.
    #[error("{provider}: too many requests{}", after_text(*.retry_after))]
    RateLimited {
        /// Which source.
        provider: &'static str,
        /// For how long, where it says so.
        retry_after: Option<Duration>,
    },
    /// No answer.
    #[error("{provider}: no answer from {host}: {reason}")]
    NoAnswer {
        /// Which source.
        provider: &'static str,
        /// Who was asked.
        host: String,
        /// Why not.
        reason: String,
    },
    /// A host that would be asked without TLS, and is not this machine.
    #[error("{provider}: {host} is not asked without TLS, only this machine is")]
    Unprotected {
        /// Which source.
        provider: &'static str,
        /// Who was to be asked.
        host: String,
    },
    /// An answer that is not what it should be.
    #[error("{provider}: {what}")]
    Malformed {
        /// Which source.
        provider: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A source that failed lately is not asked again yet.
    #[error("{provider} failed lately and is not asked again before {until}: {reason}")]
    BackingOff {
        /// Which source.
        provider: &'static str,
        /// Until when.
        until: Timestamp,
        /// How it failed.
        reason: String,
    },
    /// Slots or an interval that cannot be.
    #[error("{provider}: {source}")]
    Impossible {
        /// Which source.
        provider: &'static str,
        /// What cannot be.
        source: Impossible,
    },
    /// A file that cannot be used.
    #[error("{path}: {what}")]
    File {
        /// Which file.
        path: String,
        /// What is the matter.
        what: String,
        /// Of what kind that is.
        why: FileProblem,
    },
}

impl Error {
    /// A zone that nothing resembles.
    pub(crate) fn unknown_zone(provider: &'static str, zone: &str, why: Uncovered) -> Self {
        Self::UnknownZone { provider, zone: zone.to_owned(), near: Vec::new(), why }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotOffered { .. } => ErrorKind::NotOffered,
            Self::UnknownZone { why, .. } => ErrorKind::Uncovered(*why),
            Self::WrongZone { .. } => ErrorKind::WrongZone,
            Self::Credentials { why, .. } => ErrorKind::Denied(*why),
            Self::Status { .. } => ErrorKind::Status,
            Self::RateLimited { .. } => ErrorKind::RateLimited,
            Self::NoAnswer { .. } => ErrorKind::NoAnswer,
            Self::Unprotected { .. } => ErrorKind::Unprotected,
            Self::Malformed { .. } => ErrorKind::Malformed,
            Self::BackingOff { .. } => ErrorKind::BackingOff,
            Self::Impossible { .. } => ErrorKind::Impossible,
            Self::File { why, .. } => ErrorKind::File(*why),
        }
    }

    /// Which source failed; `None` for a file.
    pub fn provider(&self) -> Option<&'static str> {
        match self {
            Self::NotOffered { provider, .. }
            | Self::UnknownZone { provider, .. }
            | Self::WrongZone { provider, .. }
            | Self::Credentials { provider, .. }
            | Self::Status { provider, .. }
            | Self::RateLimited { provider, .. }
            | Self::NoAnswer { provider, .. }
            | Self::Unprotected { provider, .. }
            | Self::Malformed { provider, .. }
            | Self::BackingOff { provider, .. }
            | Self::Impossible { provider, .. } => Some(provider),
            Self::File { .. } => None,
        }
    }

    /// Whether asking again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500,
            Self::RateLimited { .. } | Self::NoAnswer { .. } | Self::BackingOff { .. } => true,
            _ => false,
        }
    }
}

fn message_text(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn after_text(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| format!(" for {} s", after.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_admits_only_what_it_names() {
        let signal = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
        assert!(Want::AVERAGE.admits(signal));
        assert!(Want::exactly(signal).admits(signal));
        assert!(!Want::MARGINAL.admits(signal));
        let direct = Want { factor: Some(Factor::Direct), ..Want::AVERAGE };
        assert!(!direct.admits(signal));
    }
}
