//! Yearly average intensity per country, compiled in; see the head of `data/grid-yearly.csv` for
//! source, licence and vintage. `cargo xtask tables` rebuilds the file.
//!
//! How far a value may be off for a time and a place: `spread`.
//!
//! Where no country is known, the world's average is used with the spread over countries.
//!
//! Out of scope: which row answers for a place, and its slots ([`crate::BuiltIn`]).

use carbon_ops_units::GramsCo2ePerKilowattHour;

use carbon_ops_estimate::intensity::Signal;
use carbon_ops_estimate::tables::fields;
use carbon_ops_estimate::uncertainty::Distribution;

/// Life-cycle median of hydropower, for a country whose published average is 0: plants emit while
/// they are built (IPCC AR5 WG3 Annex III, table A.III.2).
const HYDROPOWER_G_PER_KWH: f64 = 24.0;

/// Name in configurations, caches and records of the provider.
pub const ID: &str = carbon_ops_estimate::intensity::BUILT_IN;

/// The zone of the world's average.
pub(crate) const WORLD_ZONE: &str = "world";

/// What the rows of a built-in table have in common.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    /// Name of the provider.
    pub(crate) id: &'static str,
    /// What the values count.
    pub(crate) signal: Signal,
    /// Under which terms they may be passed on.
    pub(crate) licence: &'static str,
    /// Who must be named; `None` is who is cited.
    pub(crate) attribution: Option<&'static str>,
    /// How a record cites a row: before and after its year.
    pub(crate) citation: [&'static str; 2],
    /// How the member `source` of a record names a row, where that has the year.
    pub(crate) source: Option<&'static str>,
    /// The key of the error that emission factors of plants bring to all rows.
    pub(crate) factors: Option<&'static str>,
}

/// The countries, and the world.
pub(crate) const COUNTRIES: Table = Table {
    id: ID,
    signal: Signal::AVERAGE_LIFECYCLE_PRODUCTION,
    licence: "CC-BY-4.0",
    attribution: Some("Our World in Data; Ember"),
    citation: ["OWID/Ember ", ", CC BY 4.0"],
    source: Some("static:owid"),
    factors: Some("factors:owid"),
};

const GRID: &str = include_str!("../data/grid-yearly.csv");
const WORLD: &str = include_str!("../data/world.csv");
const MIX: &str = include_str!("../data/grid-mix.csv");
const NEIGHBOURS: &str = include_str!("../data/neighbours.csv");

/// A row of one of the built-in tables: a yearly average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub(crate) table: &'static Table,
    pub(crate) zone: &'static str,
    /// ISO 3166-1 alpha-3 of a country.
    pub(crate) iso3: &'static str,
    pub(crate) name: &'static str,
    /// Of the statistic; for the world, the mean year of its countries.
    pub(crate) year: u16,
    pub(crate) intensity: GramsCo2ePerKilowattHour,
}

impl Row {
    /// The provider that slots of the row name.
    pub fn provider(&self) -> &'static str {
        self.table.id
    }

    /// Its zone: `DE`, `US-CA`, `world`.
    pub fn zone(&self) -> &'static str {
        self.zone
    }

    /// English name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it counts.
    pub fn signal(&self) -> Signal {
        self.table.signal
    }

    /// Year of the statistic.
    pub fn vintage(&self) -> String {
        self.year.to_string()
    }

    /// Whom a record cites.
    pub fn citation(&self) -> String {
        let [before, after] = self.table.citation;
        format!("{before}{}{after}", self.year)
    }

    /// The member `source` of a record.
    pub fn source(&self) -> String {
        let named = self.table.source.map(|source| format!("{source}-{}", self.year));
        named.unwrap_or_else(|| self.table.id.to_owned())
    }

    /// Whether it is the world's average.
    pub fn is_world(&self) -> bool {
        self.zone == WORLD_ZONE
    }

    /// The value as it was published, in g/kWh.
    pub(crate) fn published(&self) -> f64 {
        self.intensity.as_grams_per_kilowatt_hour()
    }

    /// The distribution of a value that no spread was measured of: of the world, that over its countries; of a grid of
    /// hydropower alone, which the source has rounded to nothing, what such plants emit.
    pub(crate) fn unmeasured(&self) -> Distribution {
        let mean = self.published();
        if self.is_world() {
            let spread = world_statistic("sd", Weighting::Unweighted).unwrap_or(mean / 2.0);
            let spread = Distribution::truncated_with_mean(mean, spread, 0.0);
            return spread.unwrap_or(Distribution::Lognormal { mean, cv: 0.5 });
        }
        Distribution::Uniform { low: 0.0, high: 2.0 * HYDROPOWER_G_PER_KWH }
    }
}

/// What the electricity that was generated in a country in a year was made of, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// The year.
    pub year: u16,
    /// Coal, gas and oil.
    pub fossil_pct: f64,
    /// Nuclear power.
    pub nuclear_pct: f64,
    /// Water, wind, sun, biomass and the heat of the earth.
    pub renewable_pct: f64,
}

impl Mix {
    /// Of the country of that ISO 3166-1 alpha-2 code, where the table has it.
    pub fn of(country: &str) -> Option<Self> {
        let mut rows = fields::<6>(MIX).filter(|[_, zone, ..]| *zone == country);
        let [_, _, year, parts @ ..] = rows.next()?;
        let [fossil_pct, nuclear_pct, renewable_pct] = parts.map(|part| part.parse().ok());
        Some(Self {
            year: year.parse().ok()?,
            fossil_pct: fossil_pct?,
            nuclear_pct: nuclear_pct?,
            renewable_pct: renewable_pct?,
        })
    }
}

/// All countries of the table, in the order of their alpha-3 codes.
pub(crate) fn countries() -> impl Iterator<Item = Row> {
    fields(GRID).filter_map(|[iso3, zone, name, year, value]| {
        let year = year.parse().ok()?;
        let intensity = GramsCo2ePerKilowattHour::new(value.parse().ok()?).ok()?;
        Some(Row { table: &COUNTRIES, zone, iso3, name, year, intensity })
    })
}

/// The country of that ISO 3166-1 alpha-2 code.
pub(crate) fn country(code: &str) -> Option<Row> {
    countries().find(|country| country.zone == code)
}

/// The country whose grid supplies one without a statistic.
pub(crate) fn neighbour(code: &str) -> Option<Row> {
    fields(NEIGHBOURS).find_map(|[zone, by]| if zone == code { country(by) } else { None })
}

/// The generation-weighted average over all countries.
pub(crate) fn world() -> Option<Row> {
    let mean = world_statistic("mean", Weighting::Generation)?;
    let year = world_statistic("year", Weighting::Generation)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a year")]
    Some(Row {
        table: &COUNTRIES,
        zone: WORLD_ZONE,
        iso3: "",
        name: "World",
        year: year.round() as u16,
        intensity: GramsCo2ePerKilowattHour::new(mean).ok()?,
    })
}

#[derive(Clone, Copy)]
enum Weighting {
    Generation,
    Unweighted,
}

fn world_statistic(name: &str, weighting: Weighting) -> Option<f64> {
    let [_, weighted, unweighted] = fields::<3>(WORLD).find(|[of, ..]| *of == name)?;
    match weighting {
        Weighting::Generation => weighted.parse().ok(),
        Weighting::Unweighted => unweighted.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carbon_ops_estimate::intensity::Interval;

    fn of(zone: &str) -> f64 {
        let found = countries().find(|country| country.zone == zone).unwrap();
        found.intensity.as_grams_per_kilowatt_hour()
    }

    #[test]
    fn every_row_is_read() {
        assert_eq!(countries().count(), 215);
        assert_eq!(fields::<5>(GRID).count(), 215);
        assert!(countries().all(|country| country.zone.len() == 2 && country.iso3.len() == 3));
    }

    #[test]
    fn every_mix_is_whole() {
        for country in countries().filter(|country| !["EU", "XK"].contains(&country.zone)) {
            let mix = Mix::of(country.zone).unwrap();
            let sum = mix.fossil_pct + mix.nuclear_pct + mix.renewable_pct;
            assert!((sum - 100.0).abs() < 0.11 && mix.year >= 2009, "{}: {mix:?}", country.zone);
        }
        // As the source has it: 8.75 of 504.79 TWh.
        assert!((Mix::of("DE").unwrap().nuclear_pct - 1.7).abs() < 1e-9);
        assert_eq!(Mix::of("EU"), None);
    }

    #[test]
    fn values_are_those_that_the_source_published() {
        // Our World in Data, 2024.
        assert!((of("FR") - 44.179).abs() < 1e-9);
        assert!((of("US") - 383.549).abs() < 1e-9);
    }

    #[test]
    fn the_world_spreads_over_its_countries() {
        let world = world().unwrap();
        let mean = world.intensity.as_grams_per_kilowatt_hour();
        assert!((world.unmeasured().mean() - mean).abs() < 1e-6);
        // Ember publishes 472.94 for 2024.
        assert!((mean / 472.94 - 1.0).abs() < 0.05);
    }

    #[test]
    fn no_country_has_an_exact_intensity() {
        let at = Interval::parse("2026-03-01T00:00Z", "2026-03-02T00:00Z").unwrap();
        for country in countries() {
            assert!(country.distribution(at).variance() > 0.0, "{country:?}");
        }
    }
}
