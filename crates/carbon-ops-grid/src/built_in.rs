//! What ships with the program, as one provider: the finest built-in value that fits what is wanted. A state of
//! the United States has its row of eGRID, a country its yearly average, and where no country is known the
//! world's average answers.
//!
//! Slots name the table that they come from, with its signal and its vintage. The rows of eGRID are direct: who
//! wants a life-cycle value for a state gets that of the country.
//!
//! Out of scope: what stands in for what ([`crate::stand_in`]).

use std::sync::Arc;

use carbon_ops_estimate::intensity::{AnySeries, Interval, Meta, Signal, UncertaintyClass};

use crate::assembly::Assembly;
use crate::provider::{Error, Offer, Provider, Settling, Uncovered, Want};
use crate::table::{self, COUNTRIES, Row, Table, WORLD_ZONE};
use crate::us_states::{self, STATES};
use crate::zones::Place;

impl Row {
    /// The finest row for a place that fits what is wanted. A country without a statistic, and a place that nobody
    /// named, get the world.
    ///
    /// # Errors
    /// When no table has such values, or the country of the place is not known.
    ///
    /// ```
    /// use carbon_ops_grid::{Factor, Place, Row, Want};
    /// let place = Place::parse("us-west-2")?;
    /// assert_eq!(Row::finest(&place, &Want::AVERAGE)?.zone(), "US-OR");
    /// let lifecycle = Want { factor: Some(Factor::Lifecycle), ..Want::AVERAGE };
    /// assert_eq!(Row::finest(&place, &lifecycle)?.zone(), "US");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finest(place: &Place, want: &Want) -> Result<Self, Error> {
        let given = place.native_to(table::ID).and_then(|id| Place::parse(id).ok());
        let place = given.as_ref().unwrap_or(place);
        if let Some(state) = state_of(place).filter(|_| want.admits(STATES.signal)) {
            return Ok(state);
        }
        if place.native_to(us_states::ID).is_some_and(|code| us_states::state(code).is_none()) {
            return Err(unknown_zone(us_states::ID, &place.asked));
        }
        if !want.admits(COUNTRIES.signal) {
            return Err(Error::NotOffered { provider: table::ID, want: *want });
        }
        let within = place.within();
        let country = within
            .as_deref()
            .and_then(|code| table::country(code).or_else(|| table::neighbour(code)));
        // A country that is known may have no statistic.
        let world = || Self::world().filter(|_| place.is_world() || within.is_some());
        country.or_else(world).ok_or_else(|| unknown_zone(table::ID, &place.asked))
    }

    /// The world's average.
    pub fn world() -> Option<Self> {
        table::world()
    }

    /// The row that a slot came from; `None` when it came from elsewhere, or from a vintage that does not ship
    /// any more.
    pub fn of(meta: &Meta) -> Option<Self> {
        let row = Self::named(&meta.zone_returned)?;
        let same = row.provider() == meta.provider
            && meta.model_version.as_deref() == Some(&row.vintage())
            && row.signal() == meta.signal;
        same.then_some(row)
    }

    fn named(zone: &str) -> Option<Self> {
        if zone == WORLD_ZONE {
            return Self::world();
        }
        us_states::state(zone).or_else(|| table::country(zone))
    }

    /// One slot, as long as what is asked for.
    pub(crate) fn slots(&self, interval: Interval, want: Want) -> Result<AnySeries, Error> {
        let Table { id: provider, signal, licence, attribution, .. } = *self.table;
        if !want.admits(signal) {
            return Err(Error::NotOffered { provider, want });
        }
        let meta = Arc::new(Meta {
            model_version: Some(self.vintage()),
            licence: licence.to_owned(),
            attribution: attribution.map_or_else(|| self.citation(), str::to_owned),
            uncertainty: UncertaintyClass::Yearly,
            ..Meta::new(provider, self.zone, signal)
        });
        // What a published 0 stands for is the mean of its distribution.
        let value = match self.published() {
            value if value > 0.0 => value,
            _ => self.unmeasured().mean(),
        };
        let mut whole = Assembly::new(provider, interval);
        whole.add(interval, Some(value), None, &meta)?;
        whole.finish(signal.kind)
    }
}

fn unknown_zone(provider: &'static str, zone: &str) -> Error {
    Error::unknown_zone(provider, zone, Uncovered::NoSuchZone)
}

fn state_of(place: &Place) -> Option<Row> {
    let code = place.native_to(us_states::ID).or(place.subdivision.as_deref());
    us_states::state(code?)
}

/// The provider of all of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltIn;

impl Provider for BuiltIn {
    fn id(&self) -> &'static str {
        table::ID
    }

    /// The countries' signal, where it fits.
    fn offers(&self, want: &Want) -> Option<Signal> {
        [COUNTRIES.signal, STATES.signal].into_iter().find(|signal| want.admits(*signal))
    }

    fn offers_at(&self, place: &Place, want: &Want) -> Option<Offer> {
        if let Ok(row) = Row::finest(place, want) {
            return Some(Offer { source: row.provider(), signal: row.signal() });
        }
        // Asked all the same, so that the error names what is not known; direct values have states alone.
        want.admits(COUNTRIES.signal)
            .then_some(Offer { source: self.id(), signal: COUNTRIES.signal })
    }

    fn zone(&self, place: &Place, want: &Want) -> Result<String, Error> {
        Row::finest(place, want).map(|row| row.zone().to_owned())
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        Row::named(zone).ok_or_else(|| unknown_zone(table::ID, zone))?.slots(interval, *want)
    }

    fn settling(&self) -> Settling {
        Settling::AT_ONCE
    }
}

/// The states of the United States alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsStates;

impl Provider for UsStates {
    fn id(&self) -> &'static str {
        us_states::ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        want.admits(STATES.signal).then_some(STATES.signal)
    }

    fn zone(&self, place: &Place, _: &Want) -> Result<String, Error> {
        let found = state_of(place);
        found
            .map(|state| state.zone.to_owned())
            .ok_or_else(|| unknown_zone(us_states::ID, &place.asked))
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        us_states::state(zone)
            .ok_or_else(|| unknown_zone(us_states::ID, zone))?
            .slots(interval, *want)
    }

    fn settling(&self) -> Settling {
        Settling::AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Chain, Fallback};
    use carbon_ops_estimate::intensity::{Factor, Kind};

    fn day() -> Interval {
        Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap()
    }

    fn of(factor: Factor) -> Want {
        Want { factor: Some(factor), ..Want::AVERAGE }
    }

    fn zone(place: &Place, want: Want) -> Result<String, Error> {
        BuiltIn.zone(place, &want)
    }

    #[test]
    fn the_finest_row_that_fits_answers() {
        for (text, any, lifecycle) in [
            ("US-CA", "US-CA", "US"),
            ("egrid:US-CA", "US-CA", "US"),
            ("us-east-1", "US-VA", "US"),
            ("static:US-CA", "US-CA", "US"),
            ("us-gov-east-1", "US", "US"),
            ("US-CAL-CISO", "US", "US"),
            ("watttime:PJM_DC", "US", "US"),
            ("CA-ON", "CA", "CA"),
            ("eu-west-1", "IE", "IE"),
            ("SE-SE3", "SE", "SE"),
            ("gb:13", "GB", "GB"),
            ("Germany", "DE", "DE"),
            ("world", "world", "world"),
            ("Monaco", "FR", "FR"),
            // Antarctica has no statistic.
            ("AQ", "world", "world"),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(zone(&place, Want::AVERAGE).as_deref(), Ok(any), "{text}");
            assert_eq!(zone(&place, of(Factor::Lifecycle)).as_deref(), Ok(lifecycle), "{text}");
        }
        assert_eq!(zone(&Place::unset(), Want::AVERAGE).as_deref(), Ok("world"));
    }

    #[test]
    fn a_place_whose_country_nobody_knows_is_an_error() {
        for text in ["file:my-site", "watttime:NOWHERE", "static:XX", "egrid:US-ZZ", "42.3,-72.5"] {
            let place = Place::parse(text).unwrap();
            assert!(zone(&place, Want::AVERAGE).is_err(), "{text}");
        }
        let germany = Place::parse("DE").unwrap();
        assert!(matches!(zone(&germany, of(Factor::Direct)), Err(Error::NotOffered { .. })));
        assert_eq!(BuiltIn.offers_at(&germany, &of(Factor::Direct)), None);
        assert!(matches!(zone(&germany, Want::MARGINAL), Err(Error::NotOffered { .. })));
    }

    #[test]
    fn slots_name_the_table_that_they_come_from() {
        let chain = Chain::new(vec![Arc::new(BuiltIn)], Fallback::Equal);
        for (text, source, factor, licence) in [
            ("us-west-2", "egrid", Factor::Direct, "public domain"),
            ("DE", "static", Factor::Lifecycle, "CC-BY-4.0"),
        ] {
            let place = Place::parse(text).unwrap();
            let found = chain.slots(&place, day(), &Want::AVERAGE).unwrap();
            assert_eq!(found.provider, source);
            let meta = &found.series.inventory().unwrap().metas()[0];
            assert_eq!((meta.provider.as_str(), meta.signal.factor), (source, factor));
            assert_eq!(meta.licence, licence);
            let row = Row::of(meta).unwrap();
            assert_eq!(row, Row::finest(&place, &Want::AVERAGE).unwrap());
            assert_eq!(meta.attribution.contains("eGRID"), source == "egrid");
        }
    }

    #[test]
    fn after_a_provider_that_failed_an_equal_signal_comes_before_a_finer_place() {
        struct Broken;
        impl Provider for Broken {
            fn id(&self) -> &'static str {
                "broken"
            }
            fn offers(&self, want: &Want) -> Option<Signal> {
                let signal = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
                want.admits(signal).then_some(signal)
            }
            fn zone(&self, _: &Place, _: &Want) -> Result<String, Error> {
                let (host, reason) = ("h".to_owned(), "timeout".to_owned());
                Err(Error::NoAnswer { provider: "broken", host, reason })
            }
            fn slots(&self, _: &str, _: Interval, want: &Want) -> Result<AnySeries, Error> {
                Err(Error::NotOffered { provider: "broken", want: *want })
            }
        }
        let place = Place::parse("US-CA").unwrap();
        for fallback in [Fallback::Equal, Fallback::SameKind] {
            let chain = Chain::new(vec![Arc::new(Broken), Arc::new(BuiltIn)], fallback);
            let found = chain.slots(&place, day(), &Want::AVERAGE).unwrap();
            assert_eq!((found.provider, found.zone.as_str()), ("static", "US"));
        }
    }

    #[test]
    fn a_slot_of_elsewhere_is_no_row() {
        let elsewhere = Meta::new("gb", "GB", STATES.signal);
        assert_eq!(Row::of(&elsewhere), None);
        assert_eq!(Row::world().unwrap().signal().kind, Kind::Average);
    }
}
