//! Several providers, asked in order. A number of another meaning is never taken for the one that was
//! meant: the chain moves on only to a provider with the same signal, unless it is asked for more, and each
//! move is recorded with its reason.
//!
//! A provider that answers in part is not patched with another: what is missing stays a gap.
//!
//! Out of scope: caching, which each provider of the chain has for itself.

use std::fmt;
use std::sync::Arc;

use crate::provider::{Error, Offer, Provider, Want};
use crate::zones::Place;
use carbon_ops_estimate::intensity::Signal;
use carbon_ops_estimate::intensity::{AnySeries, Interval};

/// To what a chain may move when a provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fallback {
    /// To a provider of an equal signal.
    #[default]
    Equal,
    /// Also to one that differs in accounting, factor or gases. Never from average to marginal.
    SameKind,
}

/// A move from one provider to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Substitution {
    /// Who was to answer.
    pub from: &'static str,
    /// Who did.
    pub to: &'static str,
    /// What was to be counted.
    pub signal_wanted: Signal,
    /// What is counted.
    pub signal_used: Signal,
    /// Why, in words.
    pub reason: String,
    /// Why, as a fact.
    pub cause: Reason,
}

/// What a chain found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The slots.
    pub series: AnySeries,
    /// Who answered, by the source that its slots name.
    pub provider: &'static str,
    /// For which of its zones.
    pub zone: String,
    /// Moves on the way, in order; the last one's `to` is who answered.
    pub substitutions: Vec<Substitution>,
}

/// Why nobody answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// No provider has what is wanted.
    #[error("no provider in the list has {want} intensities")]
    Nobody {
        /// What was wanted.
        want: Want,
    },
    /// One provider was asked, and failed.
    #[error(transparent)]
    One(Error),
    /// Several were asked or passed over.
    #[error("no provider gave the intensity:{}", list(.0))]
    All(Vec<Failure>),
}

/// One provider of a chain that did not answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which one.
    pub provider: &'static str,
    /// Why not.
    pub reason: Reason,
}

/// Why a provider of a chain did not answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It has another signal than the first provider, which is the one that is meant.
    AnotherSignal {
        /// What is meant.
        meant: Signal,
        /// What it has.
        has: Signal,
    },
    /// It has no value in the interval.
    Empty,
    /// It failed.
    Failed(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.provider;
        match &self.reason {
            Reason::AnotherSignal { meant, has } => {
                write!(f, "{provider}: has {has}, and {meant} is meant")
            }
            Reason::Empty => write!(f, "{provider}: no value in the interval"),
            Reason::Failed(error) => write!(f, "{error}"),
        }
    }
}

fn list(tried: &[Failure]) -> String {
    let texts =
        tried.iter().map(|failure| format!("\n  {}", failure.to_string().replace('\n', "\n  ")));
    texts.collect()
}

/// Providers in order.
#[derive(Clone)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    fallback: Fallback,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.providers.iter().map(|provider| provider.id()).collect();
        f.debug_struct("Chain").field("providers", &ids).field("fallback", &self.fallback).finish()
    }
}

impl Chain {
    /// The first is asked first.
    pub fn new(providers: Vec<Arc<dyn Provider>>, fallback: Fallback) -> Self {
        Self { providers, fallback }
    }

    /// Asks until one answers with at least one slot.
    ///
    /// # Errors
    /// When nobody does.
    pub fn slots(&self, place: &Place, interval: Interval, want: &Want) -> Result<Found, Failed> {
        let mut first: Option<(&'static str, Signal)> = None;
        let mut failures: Vec<Failure> = Vec::new();
        let mut empty: Option<Found> = None;
        for provider in &self.providers {
            // Of what a later provider has, an equal signal comes first.
            let equal = first.map(|(_, meant)| Want::exactly(meant));
            let offers = equal.into_iter().chain([*want]);
            let mut offer =
                offers.filter_map(|want| Some((provider.offers_at(place, &want)?, want)));
            let Some((Offer { source: id, signal }, want)) = offer.next() else { continue };
            let meant = *first.get_or_insert((id, signal));
            let mut failed = |reason| failures.push(Failure { provider: id, reason });
            if !self.may_move(meant.1, signal) {
                failed(Reason::AnotherSignal { meant: meant.1, has: signal });
                continue;
            }
            let zone = provider.zone(place, &want);
            match zone.and_then(|zone| Ok((provider.slots(&zone, interval, &want)?, zone))) {
                Ok((series, zone)) => {
                    let substitutions = substitutions(meant, (id, signal), &failures);
                    let found = Found { series, provider: id, zone, substitutions };
                    if found.series.coverage() > 0.0 {
                        return Ok(found);
                    }
                    failures.push(Failure { provider: id, reason: Reason::Empty });
                    empty.get_or_insert(found);
                }
                Err(error) => failed(Reason::Failed(error)),
            }
        }
        if let Some(found) = empty {
            return Ok(found);
        }
        Err(match failures.as_slice() {
            [] => Failed::Nobody { want: *want },
            [Failure { reason: Reason::Failed(error), .. }] => Failed::One(error.clone()),
            _ => Failed::All(failures),
        })
    }

    fn may_move(&self, meant: Signal, to: Signal) -> bool {
        meant == to || (self.fallback == Fallback::SameKind && meant.kind == to.kind)
    }
}

fn substitutions(
    meant: (&'static str, Signal),
    used: (&'static str, Signal),
    failures: &[Failure],
) -> Vec<Substitution> {
    let mut moves = Vec::new();
    let followers = failures.iter().skip(1).map(|failure| failure.provider).chain([used.0]);
    for (failure, to) in failures.iter().zip(followers) {
        let (from, reason, cause) = (failure.provider, failure.to_string(), failure.reason.clone());
        moves.push(Substitution {
            from,
            to,
            signal_wanted: meant.1,
            signal_used: used.1,
            reason,
            cause,
        });
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built_in::BuiltIn;
    use crate::built_in::UsStates;
    use crate::file::File;
    use crate::zones::Place;

    struct Broken(Signal);

    impl Provider for Broken {
        fn id(&self) -> &'static str {
            "broken"
        }
        fn offers(&self, want: &Want) -> Option<Signal> {
            want.admits(self.0).then_some(self.0)
        }
        fn zone(&self, _: &Place, _: &Want) -> Result<String, Error> {
            Ok("X".to_owned())
        }
        fn slots(&self, _: &str, _: Interval, _: &Want) -> Result<AnySeries, Error> {
            let (host, reason) = ("h".to_owned(), "timeout".to_owned());
            Err(Error::NoAnswer { provider: "broken", host, reason })
        }
    }

    fn day() -> Interval {
        Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap()
    }

    #[test]
    fn a_move_between_equal_signals_is_recorded_with_its_reason() {
        let broken = Broken(Signal::AVERAGE_LIFECYCLE_PRODUCTION);
        let chain = Chain::new(vec![Arc::new(broken), Arc::new(BuiltIn)], Fallback::Equal);
        let found = chain.slots(&Place::parse("DE").unwrap(), day(), &Want::AVERAGE).unwrap();
        assert_eq!(found.provider, "static");
        let [moved] = found.substitutions.as_slice() else { panic!("{found:?}") };
        assert_eq!((moved.from, moved.to), ("broken", "static"));
        assert!(moved.reason.contains("timeout"), "{moved:?}");
    }

    #[test]
    fn another_signal_is_taken_only_when_asked_for() {
        let direct = UsStates.offers(&Want::AVERAGE).unwrap();
        let providers =
            || -> Vec<Arc<dyn Provider>> { vec![Arc::new(Broken(direct)), Arc::new(BuiltIn)] };
        let us = Place::parse("US").unwrap();
        let refused = Chain::new(providers(), Fallback::Equal).slots(&us, day(), &Want::AVERAGE);
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("timeout"), "{refused}");
        let Failed::All(failures) = refused else { panic!("{refused}") };
        let expected =
            Reason::AnotherSignal { meant: direct, has: Signal::AVERAGE_LIFECYCLE_PRODUCTION };
        assert_eq!(failures[1].reason, expected);
        let chain = Chain::new(providers(), Fallback::SameKind);
        let found = chain.slots(&us, day(), &Want::AVERAGE).unwrap();
        assert_eq!(found.substitutions[0].signal_wanted, direct);
        assert_eq!(found.substitutions[0].signal_used, Signal::AVERAGE_LIFECYCLE_PRODUCTION);
    }

    #[test]
    fn an_average_never_stands_in_for_a_marginal_rate_nor_the_reverse() {
        let moer = "# signal: marginal_direct\nzone,start,end,g_per_kwh\nDE,,,900\n";
        let moer = File::parse("m.csv", moer.as_bytes()).unwrap();
        let broken = Broken(Signal::AVERAGE_LIFECYCLE_PRODUCTION);
        let chain = Chain::new(vec![Arc::new(broken), Arc::new(moer)], Fallback::SameKind);
        let place = Place::parse("DE").unwrap();
        let inventory = chain.slots(&place, day(), &Want::AVERAGE).unwrap_err();
        assert!(matches!(inventory, Failed::One(Error::NoAnswer { .. })), "{inventory:?}");
        let found = chain.slots(&place, day(), &Want::MARGINAL).unwrap();
        assert!(found.series.inventory().is_err());
        let table = Chain::new(vec![Arc::new(BuiltIn)], Fallback::SameKind);
        let nobody = table.slots(&place, day(), &Want::MARGINAL).unwrap_err();
        assert_eq!(nobody, Failed::Nobody { want: Want::MARGINAL });
    }
}
