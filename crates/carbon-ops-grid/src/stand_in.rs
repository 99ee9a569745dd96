//! What stands in for what: a country for a cloud region, the world for nothing, one provider for another.
//!
//! Out of scope: how a record notes them, and how sure they leave a figure.

use carbon_ops_estimate::intensity::{AnySeries, Meta};

use crate::chain::{Found, Substitution};
use crate::table::{self, WORLD_ZONE};
use crate::us_states;
use crate::zones::{Place, cloud_zone};

/// Something that answered in place of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// What was asked for: a place as it was typed, nothing where nobody named one, or a provider.
    pub asked: String,
    /// What answered: a zone or a provider.
    pub used: String,
    /// In what way it stands in.
    pub why: Why,
}

/// In what way something stands in for something else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The average of the state in which a cloud region stands: fine, and still not its grid.
    StateForCloudRegion,
    /// The average of the country in which a cloud region stands.
    CountryForCloudRegion,
    /// The average of the country of a state or province.
    CountryForSubdivision,
    /// The average of the country of a provider's grid zone.
    CountryForGridZone,
    /// The average of the neighbour whose grid supplies a country without a statistic.
    NeighbourForCountry,
    /// The world, where nobody said where.
    WorldForUnset,
    /// The world, for a country without a statistic.
    WorldForCountry,
    /// The world, for a place whose country is not known.
    WorldForPlace,
    /// The next provider, because one did not answer.
    AnotherProvider {
        /// Why it did not.
        reason: String,
    },
}

impl Why {
    /// The word for it in the notes of a record.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::StateForCloudRegion => "cloud_region_by_state",
            Self::CountryForCloudRegion => "cloud_region_by_country",
            Self::CountryForSubdivision => "subdivision_by_country",
            Self::CountryForGridZone => "grid_zone_by_country",
            Self::NeighbourForCountry => "country_by_neighbour",
            Self::WorldForUnset => "region_unset",
            Self::WorldForCountry => "country_by_world",
            Self::WorldForPlace => "place_by_world",
            Self::AnotherProvider { .. } => "provider_substituted",
        }
    }
}

impl StandIn {
    /// What the slots of a source stand in for, when they are to hold at a place; `None` when they are the place's
    /// own.
    ///
    /// ```
    /// use carbon_ops_grid::{BuiltIn, Interval, Place, Provider as _, StandIn, Want, Why};
    /// let hour = Interval::parse("2026-03-01T00:00Z", "2026-03-01T01:00Z")?;
    /// let place = Place::parse("eu-west-1")?;
    /// let zone = BuiltIn.zone(&place, &Want::AVERAGE)?;
    /// let answer = BuiltIn.slots(&zone, hour, &Want::AVERAGE)?;
    /// let found = StandIn::of_place(&place, &answer.inventory()?.slots()[0].meta);
    /// let (asked, used) = ("eu-west-1".to_owned(), "IE".to_owned());
    /// assert_eq!(found, Some(StandIn { asked, used, why: Why::CountryForCloudRegion }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_place(place: &Place, meta: &Meta) -> Option<Self> {
        let given = place.native_to(table::ID).and_then(|id| Place::parse(id).ok());
        let why = why(given.as_ref().unwrap_or(place), meta)?;
        Some(Self { asked: place.asked.clone(), used: meta.zone_returned.clone(), why })
    }

    /// A move of a chain.
    pub fn of_move(moved: &Substitution) -> Self {
        Self {
            asked: moved.from.to_owned(),
            used: moved.to.to_owned(),
            why: Why::AnotherProvider { reason: moved.reason.clone() },
        }
    }
}

/// All that stands in for something in an answer: the zone first, then the moves from provider to provider.
pub fn stand_ins(place: &Place, found: &Found) -> Vec<StandIn> {
    let meta = match &found.series {
        AnySeries::Inventory(series) => series.slots().first().map(|slot| &slot.meta),
        AnySeries::Marginal(series) => series.slots().first().map(|slot| &slot.meta),
    };
    let zone = meta.and_then(|meta| StandIn::of_place(place, meta));
    zone.into_iter().chain(found.substitutions.iter().map(StandIn::of_move)).collect()
}

fn why(place: &Place, meta: &Meta) -> Option<Why> {
    let (source, used) = (meta.provider.as_str(), meta.zone_returned.as_str());
    if source == table::ID && used == WORLD_ZONE {
        return match place {
            place if place.is_unset() => Some(Why::WorldForUnset),
            place if place.is_world() => None,
            place if place.within().is_some() => Some(Why::WorldForCountry),
            _ => Some(Why::WorldForPlace),
        };
    }
    if source == us_states::ID {
        return place.cloud.is_some().then_some(Why::StateForCloudRegion);
    }
    let within = place.within();
    let neighbour = within.as_deref().and_then(table::neighbour);
    if neighbour.is_some_and(|row| source == table::ID && row.zone() == used) {
        return Some(Why::NeighbourForCountry);
    }
    // From here on: a whole country for something in it.
    if within.as_deref() != Some(used) {
        return None;
    }
    if let Some((cloud, region)) = &place.cloud {
        // Where the grid zone of the region is the country, a provider of zones answered for the region itself.
        let zone = cloud_zone(cloud, region).and_then(|zone| zone.electricity_maps);
        let is_own = source != table::ID && zone == Some(used);
        return (!is_own).then_some(Why::CountryForCloudRegion);
    }
    if place.subdivision.is_some() {
        return Some(Why::CountryForSubdivision);
    }
    let zone = place.native.as_ref().map(|(_, id)| id.as_str());
    zone.filter(|zone| *zone != used).map(|_| Why::CountryForGridZone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::built_in::BuiltIn;
    use crate::chain::{Chain, Fallback};
    use crate::file::File;
    use crate::provider::Want;
    use carbon_ops_estimate::intensity::{Factor, Interval, Signal};

    fn words(text: &str, want: Want) -> Vec<&'static str> {
        let place = if text.is_empty() { Place::unset() } else { Place::parse(text).unwrap() };
        let day = Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap();
        let chain = Chain::new(vec![Arc::new(BuiltIn)], Fallback::Equal);
        let found = chain.slots(&place, day, &want).unwrap();
        stand_ins(&place, &found).iter().map(|stand_in| stand_in.why.as_str()).collect()
    }

    #[test]
    fn what_stands_in_for_what_is_told_by_place_and_answer() {
        for (text, word) in [
            ("", "region_unset"),
            ("world", ""),
            ("DE", ""),
            ("static:DE", ""),
            ("US-CA", ""),
            ("egrid:US-CA", ""),
            ("us-east-1", "cloud_region_by_state"),
            ("us-gov-east-1", "cloud_region_by_country"),
            ("eu-central-1", "cloud_region_by_country"),
            ("static:eu-central-1", "cloud_region_by_country"),
            ("CA-ON", "subdivision_by_country"),
            ("SE-SE3", "grid_zone_by_country"),
            ("watttime:PJM_DC", "grid_zone_by_country"),
            ("electricity_maps:DE", ""),
            ("gb:13", "grid_zone_by_country"),
            ("AQ", "country_by_world"),
            ("Monaco", "country_by_neighbour"),
        ] {
            let expected: Vec<_> = Some(word).filter(|word| !word.is_empty()).into_iter().collect();
            assert_eq!(words(text, Want::AVERAGE), expected, "{text:?}");
        }
        let lifecycle = Want { factor: Some(Factor::Lifecycle), ..Want::AVERAGE };
        assert_eq!(words("US-CA", lifecycle), ["subdivision_by_country"]);
    }

    #[test]
    fn a_zone_of_the_region_itself_stands_in_for_nothing() {
        let signal = Signal::AVERAGE_LIFECYCLE_PRODUCTION;
        let of = |text: &str, provider: &str, zone: &str| {
            let place = Place::parse(text).unwrap();
            StandIn::of_place(&place, &Meta::new(provider, zone, signal)).map(|found| found.why)
        };
        assert_eq!(of("eu-central-1", "electricity_maps", "DE"), None);
        assert_eq!(of("us-east-1", "electricity_maps", "US-MIDA-PJM"), None);
        assert_eq!(of("GB-SCT", "gb", "16"), None);
        assert_eq!(of("uksouth", "gb", "GB"), Some(Why::CountryForCloudRegion));
        assert_eq!(of("42.3,-72.5", "static", "world"), Some(Why::WorldForPlace));
    }

    #[test]
    fn a_move_names_both_providers_and_the_reason() {
        let text = "# signal: average_lifecycle\n# accounting: production\nzone,start,end,g_per_kwh\nFR,,,9\n";
        let file = File::parse("f.csv", text.as_bytes()).unwrap();
        let chain = Chain::new(vec![Arc::new(file), Arc::new(BuiltIn)], Fallback::Equal);
        let place = Place::parse("eu-central-1").unwrap();
        let day = Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap();
        let found = chain.slots(&place, day, &Want::AVERAGE).unwrap();
        let [zone, moved] = stand_ins(&place, &found).try_into().unwrap();
        assert_eq!((zone.asked.as_str(), zone.used.as_str()), ("eu-central-1", "DE"));
        assert_eq!((moved.asked.as_str(), moved.used.as_str()), ("file", "static"));
        let Why::AnotherProvider { reason } = moved.why else { panic!("{moved:?}") };
        assert!(reason.contains("eu-central-1"), "{reason}");
    }
}
