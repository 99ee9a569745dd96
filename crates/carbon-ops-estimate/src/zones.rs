//! From what a user types to a zone with an intensity: ISO codes, names, aliases, cloud regions.
//!
//! An unknown zone is an error with near matches, never a world average.
//!
//! Deliberately absent: sub-national grids, coordinates, and the zone ids of providers.

use crate::intensity::table::{Yearly, countries, rows, world};

const ALIASES: &str = include_str!("../data/zone-aliases.csv");
const CLOUD_REGIONS: &str = include_str!("../data/cloud-regions.csv");
const ISO: &str = include_str!("../data/iso-3166.csv");

/// Longest text that is looked up.
const INPUT_MAX: usize = 100;

/// How many near matches an error names.
const NEAR_MAX: usize = 5;

/// A place as a user names it: what is known of it, so that each source can find its own name for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// What was typed.
    pub asked: String,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// ISO 3166-2, such as `US-CA`.
    pub subdivision: Option<String>,
    /// A cloud and its region, such as `aws` and `eu-west-1`.
    pub cloud: Option<(String, String)>,
    /// Latitude and longitude in degrees, WGS 84.
    pub coordinates: Option<(f64, f64)>,
    /// A source and its own id, given outright: `electricity_maps` and `DK-DK1`.
    pub native: Option<(String, String)>,
}

/// A zone that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// The country and its value.
    pub yearly: Yearly,
    /// Set when what was typed is a cloud region, whose country stands in for it.
    pub stands_for: Option<String>,
}

/// A zone that was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing by that name.
    #[error("unknown region {input:?}{}", near_text(.near))]
    Unknown {
        /// What was typed.
        input: String,
        /// Codes and names that resemble it, best first.
        near: Vec<String>,
    },
    /// A country that exists but has no statistic.
    #[error("no grid statistic for {name} ({code}) in the built-in table")]
    NoData {
        /// Alpha-2 code.
        code: String,
        /// English name.
        name: String,
    },
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() {
        return "; give an ISO country code such as DE, or a cloud region such as eu-west-1".into();
    }
    format!("; did you mean {}?", near.join(", "))
}

/// Finds the zone that `input` means, without regard to case and surrounding blanks.
///
/// # Errors
/// When nothing is called so, or when the table has no value for it.
///
/// ```
/// use carbon_ops_estimate::zones::resolve;
/// assert_eq!(resolve("de")?.yearly.zone, "DE");
/// assert_eq!(resolve("FRA")?.yearly.zone, "FR");
/// assert_eq!(resolve("Great Britain")?.yearly.zone, "GB");
/// assert!(resolve("Germny").unwrap_err().to_string().contains("Germany (DE)"));
/// # Ok::<(), carbon_ops_estimate::zones::Error>(())
/// ```
pub fn resolve(input: &str) -> Result<Zone, Error> {
    let wanted = key(input);
    if wanted == "world" {
        return world().map(plain).ok_or_else(|| unknown(input));
    }
    let named = |country: &Yearly| {
        [country.zone, country.iso3, country.name].iter().any(|name| key(name) == wanted)
    };
    if let Some(yearly) = countries().find(named) {
        return Ok(plain(yearly));
    }
    if let Some(iso3) =
        pairs(ALIASES).find_map(|(alias, iso3)| (key(alias) == wanted).then_some(iso3))
    {
        return by_iso3(iso3, None);
    }
    let cloud = cloud_regions().find(|(region, _)| key(region) == wanted);
    if let Some((region, iso3)) = cloud {
        return by_iso3(iso3, Some(region));
    }
    match iso().find(|names| names.iter().any(|name| key(name) == wanted)) {
        Some([_, iso3, _]) => by_iso3(iso3, None),
        None => Err(unknown(input)),
    }
}

fn plain(yearly: Yearly) -> Zone {
    Zone { yearly, stands_for: None }
}

fn by_iso3(iso3: &str, region: Option<&str>) -> Result<Zone, Error> {
    let found = countries().find(|country| country.iso3 == iso3);
    if let Some(yearly) = found {
        return Ok(Zone { yearly, stands_for: region.map(str::to_owned) });
    }
    let names = iso().find(|[_, code, _]| *code == iso3).unwrap_or([iso3, iso3, iso3]);
    Err(Error::NoData { code: names[0].to_owned(), name: names[2].to_owned() })
}

fn unknown(input: &str) -> Error {
    let input: String = input.chars().take(INPUT_MAX).collect();
    let wanted = key(&input);
    let named = countries().flat_map(|country| {
        let shown = format!("{} ({})", country.name, country.zone);
        [(key(country.name), shown.clone()), (key(country.iso3), shown)]
    });
    let clouds = cloud_regions().map(|(region, _)| (key(region), region.to_owned()));
    let aliases = pairs(ALIASES).map(|(alias, _)| (key(alias), alias.to_owned()));
    let mut near: Vec<(f64, String)> = named
        .chain(clouds)
        .chain(aliases)
        .map(|(name, shown)| (similarity(&name, &wanted), shown))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // `US-CA` and its like: grids below a country are not in the table, the country is.
    let country = wanted
        .split_once('-')
        .and_then(|(code, _)| countries().find(|country| key(country.zone) == code));
    let mut names: Vec<_> =
        country.iter().map(|country| format!("{} ({})", country.name, country.zone)).collect();
    for (_, name) in near {
        if !names.contains(&name) && names.len() < NEAR_MAX {
            names.push(name);
        }
    }
    Error::Unknown { input, near: names }
}

/// Jaro–Winkler, which favours a common beginning; 1 for equal texts.
fn similarity(name: &str, wanted: &str) -> f64 {
    strsim::jaro_winkler(name, wanted)
}

fn key(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-")
}

fn pairs(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    rows(table).filter_map(|line| line.split_once(','))
}

fn cloud_regions() -> impl Iterator<Item = (&'static str, &'static str)> {
    pairs(CLOUD_REGIONS).filter_map(|(_, rest)| rest.split_once(','))
}

/// Alpha-2, alpha-3 and name of every country.
fn iso() -> impl Iterator<Item = [&'static str; 3]> {
    rows(ISO).filter_map(|line| {
        let mut fields = line.splitn(3, ',');
        Some([fields.next()?, fields.next()?, fields.next()?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(input: &str) -> &'static str {
        resolve(input).unwrap().yearly.zone
    }

    #[test]
    fn codes_names_aliases_and_cloud_regions_lead_to_their_country() {
        for (input, code) in [
            ("DE", "DE"),
            (" deu ", "DE"),
            ("Germany", "DE"),
            ("Deutschland", "DE"),
            ("UK", "GB"),
            ("eu-central-1", "DE"),
            ("EUROPE-WEST4", "NL"),
            ("world", "world"),
            ("us_east", "US"),
        ] {
            assert_eq!(zone(input), code, "{input}");
        }
        assert_eq!(resolve("eu-west-1").unwrap().stands_for.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn unknown_zones_are_errors_with_near_matches() {
        for (input, expected) in [
            ("Germny", "Germany (DE)"),
            ("eu-north", "eu-north-1"),
            ("US-CA", "United States (US)"),
        ] {
            let error = resolve(input).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let nonsense = resolve("qqqqqq").unwrap_err().to_string();
        assert!(nonsense.contains("ISO country code"), "{nonsense}");
        assert!(resolve("").is_err());
        assert!(resolve(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn every_alias_and_cloud_region_resolves_or_says_that_there_is_no_data() {
        for (name, _) in pairs(ALIASES).chain(cloud_regions()) {
            match resolve(name) {
                Ok(_) | Err(Error::NoData { .. }) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
