//! Several providers, asked in order. A number of another meaning is never taken for the one that was
//! meant: the chain moves on only to a provider with the same signal, unless it is asked for more, and each
//! move is recorded with its reason.
//!
//! A provider that answers in part is not patched with another: what is missing stays a gap.
//!
//! Deliberately absent: caching, which each provider of the chain has for itself.

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
    /// Why.
    pub reason: String,
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
    #[error("no provider in the list has {want} intensities\nhint: {}", none_hint(*.want))]
    Nobody {
        /// What was wanted.
        want: Want,
    },
    /// One provider was asked, and failed.
    #[error(transparent)]
    One(Error),
    /// Several were asked or passed over.
    #[error("no provider gave the intensity: {}", list(.0))]
    All(Vec<(&'static str, String)>),
}

fn none_hint(want: Want) -> &'static str {
    if want.kind == carbon_ops_estimate::intensity::Kind::Average && want.factor.is_some() {
        "electricity_maps has both direct and life-cycle intensities; gb and egrid have direct ones, static life-cycle ones"
    } else if want.kind == carbon_ops_estimate::intensity::Kind::Average {
        "add one to providers.order, such as static"
    } else {
        "add watttime to providers.order, or a file that declares this signal"
    }
}

fn list(tried: &[(&'static str, String)]) -> String {
    let texts = tried.iter().map(|(_, reason)| format!("\n  {}", reason.replace('\n', "\n  ")));
    texts.collect()
}

/// Providers in order.
#[derive(Clone)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    fallback: Fallback,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        let mut failures: Vec<(&'static str, String)> = Vec::new();
        let mut only = None;
        let mut empty: Option<Found> = None;
        for provider in &self.providers {
            // Of what a later provider has, an equal signal comes first.
            let equal = first.map(|(_, meant)| Want::exactly(meant));
            let offers = equal.into_iter().chain([*want]);
            let mut offer =
                offers.filter_map(|want| Some((provider.offers_at(place, &want)?, want)));
            let Some((Offer { source: id, signal }, want)) = offer.next() else { continue };
            let meant = *first.get_or_insert((id, signal));
            if let Err(refused) = self.may_move(meant.1, signal) {
                failures.push((id, format!("{id}: {refused}")));
                continue;
            }
            match Self::ask(provider.as_ref(), place, interval, want) {
                Ok((zone, series)) => {
                    let substitutions = substitutions(meant, (id, signal), &failures);
                    let found = Found { series, provider: id, zone, substitutions };
                    if found.series.coverage() > 0.0 {
                        return Ok(found);
                    }
                    failures.push((id, format!("{id}: no value in the interval")));
                    empty.get_or_insert(found);
                }
                Err(error) => {
                    failures.push((id, error.to_string()));
                    only = Some(error);
                }
            }
        }
        match (empty, only) {
            (Some(found), _) => Ok(found),
            (None, Some(error)) if failures.len() == 1 => Err(Failed::One(error)),
            (None, None) if failures.is_empty() => Err(Failed::Nobody { want: *want }),
            _ => Err(Failed::All(failures)),
        }
    }

    fn ask(
        provider: &dyn Provider,
        place: &Place,
        interval: Interval,
        want: Want,
    ) -> Result<(String, AnySeries), Error> {
        let zone = provider.zone(place, &want)?;
        let series = provider.slots(&zone, interval, &want)?;
        Ok((zone, series))
    }

    fn may_move(&self, meant: Signal, to: Signal) -> Result<(), String> {
        let allowed = meant == to || (self.fallback == Fallback::SameKind && meant.kind == to.kind);
        if allowed {
            return Ok(());
        }
        Err(format!(
            "has {to}, and {meant} is meant\nhint: set providers.fallback to same_kind to accept it, or put \
             the provider first"
        ))
    }
}

fn substitutions(
    meant: (&'static str, Signal),
    used: (&'static str, Signal),
    failures: &[(&'static str, String)],
) -> Vec<Substitution> {
    let mut moves = Vec::new();
    let followers = failures.iter().skip(1).map(|(id, _)| *id).chain([used.0]);
    for ((from, reason), to) in failures.iter().zip(followers) {
        let reason = reason.clone();
        moves.push(Substitution { from, to, signal_wanted: meant.1, signal_used: used.1, reason });
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::File;
    use crate::table::YearlyTable;
    use crate::us_states::UsStates;
    use crate::zones::place;

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
        let chain = Chain::new(vec![Arc::new(broken), Arc::new(YearlyTable)], Fallback::Equal);
        let found = chain.slots(&place("DE").unwrap(), day(), &Want::AVERAGE).unwrap();
        assert_eq!(found.provider, "static");
        let [moved] = found.substitutions.as_slice() else { panic!("{found:?}") };
        assert_eq!((moved.from, moved.to), ("broken", "static"));
        assert!(moved.reason.contains("timeout"), "{moved:?}");
    }

    #[test]
    fn another_signal_is_taken_only_when_asked_for() {
        let direct = UsStates.offers(&Want::AVERAGE).unwrap();
        let providers =
            || -> Vec<Arc<dyn Provider>> { vec![Arc::new(Broken(direct)), Arc::new(YearlyTable)] };
        let us = place("US").unwrap();
        let refused = Chain::new(providers(), Fallback::Equal).slots(&us, day(), &Want::AVERAGE);
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("timeout") && text.contains("providers.fallback"), "{text}");
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
        let place = place("DE").unwrap();
        let inventory = chain.slots(&place, day(), &Want::AVERAGE).unwrap_err();
        assert!(matches!(inventory, Failed::One(Error::NoAnswer { .. })), "{inventory:?}");
        let found = chain.slots(&place, day(), &Want::MARGINAL).unwrap();
        assert!(found.series.inventory().is_err());
        let table = Chain::new(vec![Arc::new(YearlyTable)], Fallback::SameKind);
        let nobody = table.slots(&place, day(), &Want::MARGINAL).unwrap_err();
        assert!(nobody.to_string().contains("watttime"), "{nobody}");
    }
}
