//! Yearly average emission rates of the states of the United States (EPA eGRID), compiled in; see the head
//! of `data/us-states.csv` for source, licence and vintage. `cargo xtask tables` rebuilds the file.
//!
//! Direct emissions, all gases, by production: another signal than the countries' life-cycle averages, and
//! never mixed with them unless asked.
//!
//! Out of scope: eGRID's subregions: no package carries their table.

use carbon_ops_units::GramsCo2ePerKilowattHour;

use crate::table::{Row, Table};
use carbon_ops_estimate::intensity::{Accounting, Factor, Gases, Kind, Signal};
use carbon_ops_estimate::tables::fields;

/// Name in configurations, caches and records.
pub const ID: &str = "egrid";

const RATES: &str = include_str!("../data/us-states.csv");

/// The year of the table.
const VINTAGE: u16 = 2023;

/// g/kWh in one lb/MWh: the avoirdupois pound is 0.45359237 kg exactly (NIST SP 811, appendix B).
const G_PER_KWH_IN_LB_PER_MWH: f64 = 0.453_592_37;

/// The states.
pub(crate) const STATES: Table = Table {
    id: ID,
    signal: Signal {
        kind: Kind::Average,
        accounting: Accounting::Production,
        factor: Factor::Direct,
        gases: Gases::Co2e,
    },
    licence: "public domain",
    attribution: None,
    citation: ["US EPA, eGRID", ""],
    source: None,
    factors: None,
};

/// The state of that ISO 3166-2 code.
pub(crate) fn state(code: &str) -> Option<Row> {
    states().find(|state| state.zone == code)
}

/// All states and the District of Columbia, in the order of their codes.
pub(crate) fn states() -> impl Iterator<Item = Row> {
    fields(RATES).filter_map(|[zone, name, rate]| {
        let rate: f64 = rate.parse().ok()?;
        let intensity = GramsCo2ePerKilowattHour::new(rate * G_PER_KWH_IN_LB_PER_MWH).ok()?;
        Some(Row { table: &STATES, zone, iso3: "", name, year: VINTAGE, intensity })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_plausible() {
        assert_eq!(states().count(), 51);
        assert!(states().all(|state| state.zone.starts_with("US-") && state.zone.len() == 5));
        // No state is cleaner than Vermont's hydropower or dirtier than a lignite plant.
        for state in states() {
            let value = state.intensity.as_grams_per_kilowatt_hour();
            assert!((1.0..1000.0).contains(&value), "{state:?}");
        }
        // STC2ERTA of Alabama is 713.976 lb/MWh: 713.976 × 0.45359237 = 323.854 g/kWh.
        let alabama = states().find(|state| state.name == "Alabama").unwrap();
        assert!((alabama.intensity.as_grams_per_kilowatt_hour() - 323.854).abs() < 1e-3);
        let head = format!("# vintage: {VINTAGE}.");
        assert!(RATES.contains(&head));
    }
}
