//! Yearly average emission rates of the states of the United States (EPA eGRID), compiled in; see the head
//! of `data/us-states.csv` for source, licence and vintage. `cargo xtask tables` rebuilds the file.
//!
//! Direct emissions, all gases, by production: another signal than the countries' life-cycle averages, and
//! never mixed with them unless asked.
//!
//! Out of scope: eGRID's subregions: no package carries their table.

use carbon_ops_units::GramsCo2ePerKilowattHour;

use crate::built_in::Row;
use crate::provider::{Error, Provider, Settling, Uncovered, Want};
use crate::zones::Place;
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::intensity::{AnySeries, Interval};
use carbon_ops_estimate::span::YEARLY_CV;
use carbon_ops_estimate::tables::fields;
use carbon_ops_estimate::uncertainty::Distribution;

/// Name in configurations, caches and records.
pub const ID: &str = "egrid";

const STATES: &str = include_str!("../data/us-states.csv");

/// The year of the table.
pub const VINTAGE: &str = "2023";

/// g/kWh in one lb/MWh: the avoirdupois pound is 0.45359237 kg exactly (NIST SP 811, appendix B).
const G_PER_KWH_IN_LB_PER_MWH: f64 = 0.453_592_37;

/// What the values count.
pub const SIGNAL: Signal = Signal {
    kind: Kind::Average,
    accounting: Accounting::Production,
    factor: Factor::Direct,
    gases: Gases::Co2e,
};

/// A state's yearly average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// ISO 3166-2, such as `US-CA`.
    pub code: &'static str,
    /// English name.
    pub name: &'static str,
    /// The average.
    pub intensity: GramsCo2ePerKilowattHour,
}

impl State {
    /// How the value may be off when it stands for the hours of one job: as that of a country.
    pub fn distribution(&self) -> Distribution {
        Distribution::Lognormal { mean: self.intensity.as_grams_per_kilowatt_hour(), cv: YEARLY_CV }
    }

    /// How the record names the source of the value.
    pub fn citation(&self) -> String {
        format!("US EPA, eGRID{VINTAGE}")
    }
}

/// The state of that ISO 3166-2 code.
pub fn state(code: &str) -> Option<State> {
    states().find(|state| state.code == code)
}

/// All states and the District of Columbia, in the order of their codes.
pub fn states() -> impl Iterator<Item = State> {
    fields(STATES).filter_map(|[code, name, rate]| {
        let rate: f64 = rate.parse().ok()?;
        let intensity = GramsCo2ePerKilowattHour::new(rate * G_PER_KWH_IN_LB_PER_MWH).ok()?;
        Some(State { code, name, intensity })
    })
}

pub(crate) fn unknown_zone(zone: &str) -> Error {
    Error::unknown_zone(ID, zone, Uncovered::NoSuchZone)
}

/// The provider.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsStates;

impl Provider for UsStates {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self, want: &Want) -> Option<Signal> {
        want.admits(SIGNAL).then_some(SIGNAL)
    }

    fn zone(&self, place: &Place, _: &Want) -> Result<String, Error> {
        let found = place.native_to(ID).or(place.subdivision.as_deref()).and_then(state);
        found.map(|state| state.code.to_owned()).ok_or_else(|| unknown_zone(&place.asked))
    }

    fn slots(&self, zone: &str, interval: Interval, want: &Want) -> Result<AnySeries, Error> {
        Row::State(state(zone).ok_or_else(|| unknown_zone(zone))?).slots(interval, *want)
    }

    fn settling(&self) -> Settling {
        Settling::AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_plausible() {
        assert_eq!(states().count(), 51);
        assert!(states().all(|state| state.code.starts_with("US-") && state.code.len() == 5));
        // No state is cleaner than Vermont's hydropower or dirtier than a lignite plant.
        for state in states() {
            let value = state.intensity.as_grams_per_kilowatt_hour();
            assert!((1.0..1000.0).contains(&value), "{state:?}");
        }
        // STC2ERTA of Alabama is 713.976 lb/MWh: 713.976 × 0.45359237 = 323.854 g/kWh.
        let alabama = states().find(|state| state.name == "Alabama").unwrap();
        assert!((alabama.intensity.as_grams_per_kilowatt_hour() - 323.854).abs() < 1e-3);
        let head = format!("# vintage: {VINTAGE}.");
        assert!(STATES.contains(&head));
    }
}
