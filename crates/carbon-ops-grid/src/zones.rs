//! From what a user types to a zone with an intensity: ISO codes, names, aliases, cloud regions.
//!
//! * [`place`]: what is known of a place, so that each provider of intensities finds its own id for it.
//! * [`resolve`]: its country in the built-in yearly table.
//! * [`cloud_zone`], [`cloud_pue`]: the grid and the power usage effectiveness of a cloud region.
//!
//! An unknown zone is an error with near matches, never a world average.
//!
//! Deliberately absent: maps. Which of a provider's regions lies at coordinates only the provider knows.

use carbon_ops_units::Pue;

use crate::table::{Yearly, countries, world};
use crate::us_states;
use carbon_ops_estimate::tables::rows;

const ALIASES: &str = include_str!("../data/zone-aliases.csv");
const CLOUD_REGIONS: &str = include_str!("../data/cloud-regions.csv");
const CLOUD_ZONES: &str = include_str!("../data/cloud-zones.csv");
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

impl Place {
    /// The id that was given outright, when it is one of this source.
    pub fn native_to(&self, source: &str) -> Option<&str> {
        self.native.as_ref().filter(|(of, _)| of == source).map(|(_, id)| id.as_str())
    }
}

/// Sources whose own ids can be given outright, as `source:ID`, with the names that are understood.
const NATIVE: [(&str, &str); 7] = [
    ("electricity_maps", "electricity_maps"),
    ("electricitymaps", "electricity_maps"),
    ("watttime", "watttime"),
    ("gb", "gb"),
    ("static", "static"),
    ("egrid", "egrid"),
    ("file", "file"),
];

/// Longest id of a source.
const NATIVE_MAX: usize = 60;

/// Finds out what is meant: an ISO 3166-1 or -2 code, a name, a cloud region, coordinates (`52.5,13.4`), or
/// a source's own id (`electricity_maps:DK-DK1`).
///
/// # Errors
/// When nothing is called so, with near matches.
///
/// ```
/// use carbon_ops_grid::zones::place;
/// assert_eq!(place("us-east-1")?.cloud, Some(("aws".into(), "us-east-1".into())));
/// assert_eq!(place("US-CA")?.subdivision.as_deref(), Some("US-CA"));
/// assert_eq!(place("42.372, -72.519")?.coordinates, Some((42.372, -72.519)));
/// assert_eq!(place("gb:13")?.native_to("gb"), Some("13"));
/// assert!(place("US-ZZ").is_err());
/// # Ok::<(), carbon_ops_grid::zones::Error>(())
/// ```
pub fn place(input: &str) -> Result<Place, Error> {
    let asked: String = input.trim().chars().take(INPUT_MAX).collect();
    let blank = Place { asked: asked.clone(), ..Place::default() };
    if let Some((source, id)) = asked.split_once(':') {
        let source = key(source).replace('-', "_");
        let known = NATIVE.iter().find(|(name, _)| *name == source);
        let usable = !id.is_empty()
            && id.len() <= NATIVE_MAX
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte));
        return match known.filter(|_| usable) {
            Some((_, source)) => {
                Ok(Place { native: Some(((*source).to_owned(), id.to_owned())), ..blank })
            }
            None => Err(unknown(input)),
        };
    }
    if let Some(coordinates) = coordinates(&asked) {
        return Ok(Place { coordinates: Some(coordinates), ..blank });
    }
    let wanted = key(&asked);
    let cloud = cloud_rows().find(|[_, region, _]| key(region) == wanted);
    if let Some([cloud, region, iso3]) = cloud {
        let country = iso().find(|[_, code, _]| *code == iso3).map(|[iso2, ..]| iso2.to_owned());
        return Ok(Place { country, cloud: Some((cloud.to_owned(), region.to_owned())), ..blank });
    }
    if let Some(subdivision) = subdivision(&wanted) {
        let country = subdivision.get(..2).map(str::to_owned);
        return Ok(Place { country, subdivision: Some(subdivision), ..blank });
    }
    match resolve(&asked) {
        Ok(zone) if zone.yearly.is_world() => Ok(blank),
        Ok(zone) => Ok(Place { country: Some(zone.yearly.zone.to_owned()), ..blank }),
        // A country without a yearly value may be known to another source.
        Err(Error::NoData { code, .. }) => Ok(Place { country: Some(code), ..blank }),
        Err(error) => Err(error),
    }
}

/// `latitude,longitude` in degrees.
fn coordinates(text: &str) -> Option<(f64, f64)> {
    let (latitude, longitude) = text.split_once(',')?;
    let latitude: f64 = latitude.trim().parse().ok()?;
    let longitude: f64 = longitude.trim().parse().ok()?;
    let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    on_earth.then_some((latitude, longitude))
}

/// ISO 3166-2 of a country that exists; of the United States, a state that exists.
fn subdivision(wanted: &str) -> Option<String> {
    let (country, part) = wanted.split_once('-')?;
    let formed = (1..=3).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && iso().any(|[iso2, ..]| key(iso2) == country);
    let code = format!("{country}-{part}").to_uppercase();
    let exists = country != "us" || us_states::states().any(|state| state.code == code);
    (formed && exists).then_some(code)
}

/// The grid of a cloud region, in the words of the sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloudZone {
    /// Zone key of Electricity Maps.
    pub electricity_maps: Option<&'static str>,
    /// Region of `WattTime`.
    pub watttime: Option<&'static str>,
    /// Power usage effectiveness, and the year that it was published for.
    pub pue: Option<(Pue, u16)>,
}

/// The grid of a cloud region; see the head of `data/cloud-zones.csv` for its sources.
pub fn cloud_zone(cloud: &str, region: &str) -> Option<CloudZone> {
    let row = rows(CLOUD_ZONES).find_map(|line| {
        let mut fields = line.split(',');
        (fields.next()? == cloud && fields.next()? == region).then_some(fields)
    });
    let mut fields = row?;
    let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    let (electricity_maps, watttime) = (some(fields.next()?), some(fields.next()?));
    let (year, pue) = (fields.next()?, fields.next()?);
    let pue = pue.parse().ok().and_then(|ratio| Pue::new(ratio).ok());
    Some(CloudZone { electricity_maps, watttime, pue: pue.zip(year.parse().ok()) })
}

/// The power usage effectiveness that the operator of a cloud region published, and for which year.
pub fn cloud_pue(place: &Place) -> Option<(Pue, u16)> {
    let (cloud, region) = place.cloud.as_ref()?;
    cloud_zone(cloud, region)?.pue
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
/// use carbon_ops_grid::zones::resolve;
/// assert_eq!(resolve("de")?.yearly.zone, "DE");
/// assert_eq!(resolve("FRA")?.yearly.zone, "FR");
/// assert_eq!(resolve("Great Britain")?.yearly.zone, "GB");
/// assert!(resolve("Germny").unwrap_err().to_string().contains("Germany (DE)"));
/// # Ok::<(), carbon_ops_grid::zones::Error>(())
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
    cloud_rows().map(|[_, region, iso3]| (region, iso3))
}

/// Cloud, region and alpha-3 of its country.
fn cloud_rows() -> impl Iterator<Item = [&'static str; 3]> {
    rows(CLOUD_REGIONS).filter_map(|line| {
        let mut fields = line.splitn(3, ',');
        Some([fields.next()?, fields.next()?, fields.next()?])
    })
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
    fn a_place_is_what_its_form_says() {
        let of = |text: &str| place(text).unwrap();
        assert_eq!(of("ca-on").subdivision.as_deref(), Some("CA-ON"));
        assert_eq!(of("Deutschland").country.as_deref(), Some("DE"));
        assert_eq!(of("europe-west4").country.as_deref(), Some("NL"));
        assert_eq!(of("electricity-maps:DK-DK1").native_to("electricity_maps"), Some("DK-DK1"));
        assert_eq!(of("world").country, None);
        for nonsense in ["US-ZZ", "gb:", "gb:1/../2", "mars:1", "91,0", "ZZ-1", "x,y", ""] {
            assert!(place(nonsense).is_err(), "{nonsense}");
        }
        let near = place("Germny").unwrap_err().to_string();
        assert!(near.contains("Germany (DE)"), "{near}");
    }

    #[test]
    fn every_table_says_whose_it_is_and_is_what_its_checksum_says() {
        use sha2::Digest as _;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
        let sums = std::fs::read_to_string(format!("{folder}/SHA256SUMS")).unwrap();
        let mut bytes_of_all = 0;
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            let bytes = std::fs::read(format!("{folder}/{name}")).unwrap();
            let digest =
                carbon_ops_estimate::intensity::Digest(sha2::Sha256::digest(&bytes).into());
            assert_eq!(digest.to_string(), sum, "{name}: renew with cargo xtask tables");
            let text = String::from_utf8(bytes).unwrap();
            let head: String = text
                .lines()
                .take_while(|line| line.starts_with('#'))
                .collect::<Vec<_>>()
                .join("\n");
            assert!(head.contains("source"), "{name}: no source");
            assert!(
                head.contains("licence") || head.contains("Unicode License"),
                "{name}: no licence"
            );
            assert!(!head.contains("ODbL") && !head.contains("BY-SA"), "{name}: share-alike");
            bytes_of_all += text.len();
        }
        let tables = std::fs::read_dir(folder).unwrap().count() - 1;
        assert_eq!(sums.lines().count(), tables);
        assert!(bytes_of_all < 1 << 20, "{bytes_of_all}");
    }

    #[test]
    fn cloud_zones_are_plausible() {
        let mut count = 0;
        for line in rows(CLOUD_ZONES) {
            let fields: Vec<&str> = line.split(',').collect();
            let found = cloud_zone(fields[0], fields[1]).unwrap();
            let place = place(fields[1]).unwrap();
            assert_eq!(place.cloud, Some((fields[0].to_owned(), fields[1].to_owned())), "{line}");
            // The zone lies in the country of the region.
            if let Some(zone) = found.electricity_maps {
                assert_eq!(zone.get(..2), place.country.as_deref(), "{line}");
            }
            // A datacentre that loses nothing or half of its energy is a slip of the pen.
            if let Some((pue, year)) = found.pue {
                assert!((1.03..1.6).contains(&pue.as_ratio()), "{line}");
                assert!((2023..=2024).contains(&year), "{line}");
            }
            count += 1;
        }
        assert_eq!(count, 90);
        // Amazon's and Microsoft's figures as other collections quote them.
        let pue = |region| cloud_pue(&place(region).unwrap()).unwrap().0.as_ratio();
        assert_eq!(pue("eu-central-1").to_string(), "1.35");
        assert_eq!(pue("northcentralus").to_string(), "1.35");
        assert_eq!(pue("europe-west4").to_string(), "1.07");
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
