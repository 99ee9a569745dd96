//! From what a user types to a place: ISO codes, names, aliases, cloud regions, coordinates, grid zones.
//!
//! * [`Place::parse`]: the one grammar of all commands. Each provider then finds its own id for the place.
//! * [`built_in`]: every place that the tables which ship with the program name.
//! * [`cloud_zone`], [`cloud_pue`], [`cloud_water`]: the grid of a cloud region, and the power and water usage effectiveness.
//!
//! An unknown zone is an error with near matches, never a world average.
//!
//! Out of scope: maps. Which of a provider's regions lies at coordinates only the provider knows.

use carbon_ops_units::Pue;

use crate::table::{self, Row, countries};
use crate::us_states;
use carbon_ops_estimate::tables::{did_you_mean, fields, nearest, similarity};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

const ALIASES: &str = include_str!("../data/zone-aliases.csv");
const CLOUD_REGIONS: &str = include_str!("../data/cloud-regions.csv");
const CLOUD_WATER: &str = include_str!("../data/cloud-water.csv");
const CLOUD_ZONES: &str = include_str!("../data/cloud-zones.csv");
const ISO: &str = include_str!("../data/iso-3166.csv");
const SUBDIVISIONS: &str = include_str!("../data/subdivisions.csv");
const SUBDIVISION_NAMES: &str = include_str!("../data/subdivision-names.csv");

/// Zone keys of Electricity Maps that look like ISO 3166-2 codes and are none, as clients of its API list them.
const GRID_KEYS: &str = "BR-CS BR-N BR-NE BR-S CL-CHP CL-SEA CL-SEM CL-SEN DK-BHM FO-MI FO-SI IN-EA IN-NE IN-NO IN-SO \
     IN-WE IT-CNO IT-CSO IT-NO IT-SAR IT-SIC IT-SO JP-CB JP-CG JP-HKD JP-HR JP-KN JP-KY JP-ON JP-SK JP-TH JP-TK \
     MY-EM MY-WM NZ-NZA NZ-NZC NZ-NZST PH-LU PH-MI PH-VI PT-AC PT-MA RU-1 RU-2 RU-AS RU-EU RU-FE";

/// Names of more than one place, with the codes of those that are meant where these are few: whoever types one has
/// named none of them.
const SEVERAL: [(&str, &[&str]); 12] = [
    ("europe", &[]),
    ("emea", &[]),
    ("apac", &[]),
    ("asia", &[]),
    ("africa", &[]),
    ("america", &[]),
    ("north-america", &[]),
    ("south-america", &[]),
    ("scandinavia", &["DK", "NO", "SE"]),
    ("korea", &["KR", "KP"]),
    ("georgia", &["GE", "US-GA"]),
    ("virgin-islands", &["VI", "VG"]),
];

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
    /// Finds out what is meant: an ISO 3166-1 or -2 code, a name, a cloud region, alone or behind its cloud
    /// (`aws:eu-west-1`), coordinates (`52.5,13.4`), a provider's own id (`watttime:CAISO_NORTH`), or a zone key of
    /// Electricity Maps (`DK-DK1`, `US-CAL-CISO`). Case and surrounding blanks do not matter.
    ///
    /// # Errors
    /// When nothing is called so, with near matches.
    ///
    /// ```
    /// use carbon_ops_grid::zones::Place;
    /// let place = Place::parse("us-east-1")?;
    /// assert_eq!(place.cloud, Some(("aws".into(), "us-east-1".into())));
    /// assert_eq!(place.subdivision.as_deref(), Some("US-VA"));
    /// assert_eq!(Place::parse("aws:us-east-1")?.cloud, place.cloud);
    /// assert_eq!(Place::parse("42.372, -72.519")?.coordinates, Some((42.372, -72.519)));
    /// assert_eq!(Place::parse("gb:13")?.native_to("gb"), Some("13"));
    /// assert_eq!(Place::parse("dk-dk1")?.native_to("electricity_maps"), Some("DK-DK1"));
    /// assert!(Place::parse("US-ZZ").is_err());
    /// # Ok::<(), carbon_ops_grid::zones::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        let asked: String = text.trim().chars().take(INPUT_MAX).collect();
        let blank = Self { asked: asked.clone(), ..Self::default() };
        if let Some((cloud, region)) = of_cloud(&asked) {
            let found = cloud_row(&key(region), Some(cloud)).ok_or_else(|| unknown(region))?;
            return Ok(Self::in_cloud(found, blank));
        }
        if let Some((source, id)) = asked.split_once(':') {
            let native = native(source, id).ok_or_else(|| unknown(text))?;
            return Ok(Self { native: Some(native), ..blank });
        }
        if let Some(coordinates) = coordinates(&asked) {
            return Ok(Self { coordinates: Some(coordinates), ..blank });
        }
        let wanted = key(&asked);
        if wanted == "world" {
            return Ok(blank);
        }
        if let Some((_, codes)) = SEVERAL.iter().find(|(name, _)| *name == wanted) {
            return Err(Error::Several { input: asked, near: codes.iter().map(shown).collect() });
        }
        if let Some(found) = cloud_row(&wanted, None) {
            return Ok(Self::in_cloud(found, blank));
        }
        if let Some(zone) = grid_key(&wanted) {
            return Ok(Self { native: Some((ELECTRICITY_MAPS.to_owned(), zone)), ..blank });
        }
        if let Some(subdivision) = subdivision(&wanted) {
            return Ok(Self::part(subdivision, blank));
        }
        if let Some(country) = country(&wanted) {
            return Ok(Self { country: Some(country.to_owned()), ..blank });
        }
        match named_part(&wanted) {
            Some(code) if code.contains('-') => Ok(Self::part(code.to_owned(), blank)),
            Some(iso3) => Ok(Self { country: alpha2(iso3).map(str::to_owned), ..blank }),
            None => match *parts_named(&wanted) {
                [] => Err(unknown(text)),
                [code] => Ok(Self::part(code.to_owned(), blank)),
                ref codes => {
                    let near = codes.iter().take(NEAR_MAX).map(shown).collect();
                    Err(Error::Several { input: asked, near })
                }
            },
        }
    }

    /// A region of a cloud, by its row.
    fn in_cloud([cloud, region, iso3, state]: [&str; 4], blank: Self) -> Self {
        Self {
            country: alpha2(iso3).map(str::to_owned),
            subdivision: Some(state.to_owned()).filter(|state| !state.is_empty()),
            cloud: Some((cloud.to_owned(), region.to_owned())),
            ..blank
        }
    }

    /// A part of a country, by its code.
    fn part(subdivision: String, blank: Self) -> Self {
        let country = subdivision.get(..2).map(str::to_owned);
        Self { country, subdivision: Some(subdivision), ..blank }
    }

    /// Where nobody said where.
    pub fn unset() -> Self {
        Self::default()
    }

    /// Whether nobody said where; the world that somebody named is something else.
    pub fn is_unset(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is the whole world: somebody named it, or nobody named a place.
    pub fn is_world(&self) -> bool {
        *self == Self { asked: self.asked.clone(), ..Self::default() }
    }

    /// The id that was given outright, when it is one of this source.
    pub fn native_to(&self, source: &str) -> Option<&str> {
        self.native.as_ref().filter(|(of, _)| of == source).map(|(_, id)| id.as_str())
    }

    /// The country that the place lies in, by ISO 3166-1 alpha-2: the one that was named, else that of the grid
    /// zone, where that is known.
    ///
    /// ```
    /// use carbon_ops_grid::zones::Place;
    /// assert_eq!(Place::parse("SE-SE3")?.within().as_deref(), Some("SE"));
    /// assert_eq!(Place::parse("watttime:CAISO_NORTH")?.within().as_deref(), Some("US"));
    /// assert_eq!(Place::parse("file:my-site")?.within(), None);
    /// # Ok::<(), carbon_ops_grid::zones::Error>(())
    /// ```
    pub fn within(&self) -> Option<String> {
        if self.country.is_some() {
            return self.country.clone();
        }
        let (source, id) = self.native.as_ref()?;
        match source.as_str() {
            "gb" => Some("GB".to_owned()),
            "static" => Self::parse(id).ok()?.country,
            "watttime" => country_of_watttime(id),
            "electricity_maps" | "egrid" => {
                let wanted = key(id.split('-').next()?);
                iso().find(|[iso2, ..]| key(iso2) == wanted).map(|[iso2, ..]| iso2.to_owned())
            }
            _ => None,
        }
    }

    /// The finest name of the place, as records have it: state or province, country, grid zone, or what was
    /// typed.
    pub fn region(&self) -> &str {
        let native = self.native.as_ref().map(|(_, id)| id);
        let finest = self.subdivision.as_ref().or(self.country.as_ref()).or(native);
        finest.unwrap_or(&self.asked)
    }
}

/// Name of the source whose zone keys are understood without it.
const ELECTRICITY_MAPS: &str = "electricity_maps";

/// Sources whose own ids can be given outright, as `source:ID`, with the names that are understood.
const NATIVE: [(&str, &str); 7] = [
    (ELECTRICITY_MAPS, ELECTRICITY_MAPS),
    ("electricitymaps", ELECTRICITY_MAPS),
    ("watttime", "watttime"),
    ("gb", "gb"),
    ("static", "static"),
    ("egrid", "egrid"),
    ("file", "file"),
];

/// Longest id of a source.
const NATIVE_MAX: usize = 60;

/// A source and its id, where both are possible.
fn native(source: &str, id: &str) -> Option<(String, String)> {
    let source = key(source).replace('-', "_");
    let (_, source) = NATIVE.iter().find(|(name, _)| *name == source)?;
    let usable = !id.is_empty()
        && id.len() <= NATIVE_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte));
    usable.then(|| ((*source).to_owned(), id.to_owned()))
}

/// A zone key of Electricity Maps that is no ISO 3166-2 code: one that is listed, or by its form: the country again
/// with a number (`SE-SE3`), or two parts of letters after the country (`US-CAL-CISO`).
fn grid_key(wanted: &str) -> Option<String> {
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let mut parts = wanted.split('-');
    let (country, first, second) = (parts.next()?, parts.next()?, parts.next());
    let numbered = |first: &str| {
        ["dk", "no", "se"].contains(&country)
            && first.strip_prefix(country).is_some_and(|number| {
                number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    let code = wanted.to_uppercase();
    let formed = match second {
        None => numbered(first) || GRID_KEYS.split_ascii_whitespace().any(|known| known == code),
        Some(second) => {
            parts.next().is_none()
                && ["au", "es", "us"].contains(&country)
                && (2..=4).contains(&first.len())
                && (2..=5).contains(&second.len())
                && letters(first)
                && letters(second)
                // `us-gov-east` is the beginning of a cloud region.
                && !cloud_rows().any(|[_, region, ..]| region.starts_with(wanted))
        }
    };
    formed.then_some(code)
}

/// A cloud that is named before one of its regions, and the region: `aws:eu-west-1`.
fn of_cloud(asked: &str) -> Option<(&'static str, &str)> {
    let (named, region) = asked.split_once(':')?;
    let (named, mut rows) = (key(named), cloud_rows());
    rows.find(|[cloud, ..]| *cloud == named).map(|[cloud, ..]| (cloud, region))
}

/// The cloud region of that name, in this cloud where one is named: its own, that of one of its availability zones (`us-east-1a`, `use1-az1`,
/// `us-central1-a`, `westus2-1`), or the one that its maker shows (`East US`).
fn cloud_row(wanted: &str, of: Option<&str>) -> Option<[&'static str; 4]> {
    let rows = || cloud_rows().filter(move |[cloud, ..]| of.is_none_or(|of| of == *cloud));
    let one = |text: &str, is: fn(&u8) -> bool| matches!(text.as_bytes(), [byte] if is(byte));
    let is_zone = |cloud: &str, after: &str| match (cloud, after.strip_prefix('-')) {
        ("aws", None) => one(after, u8::is_ascii_lowercase),
        ("gcp", Some(zone)) => one(zone, u8::is_ascii_lowercase),
        ("azure", Some(zone)) => one(zone, u8::is_ascii_digit),
        _ => false,
    };
    let shown = wanted.replace('-', "");
    let own = || rows().find(|[_, region, ..]| *region == wanted);
    own().or_else(|| {
        rows().find(|[cloud, region, ..]| {
            let zone = wanted.strip_prefix(region).is_some_and(|after| is_zone(cloud, after));
            let by_id = *cloud == "aws" && is_zone_id(wanted, region);
            zone || by_id || (*cloud == "azure" && *region == shown)
        })
    })
}

/// Whether a text is the id of an availability zone of a region of AWS, which all accounts have in common: the region
/// with its directions by their first letters, then `-az` and a number (`use1-az4`, `apse2-az1`).
fn is_zone_id(wanted: &str, region: &str) -> bool {
    let Some((short, number)) = wanted.split_once("-az") else { return false };
    let direction = |word: &str| {
        match word {
            "southeast" => "se",
            "southwest" => "sw",
            "northeast" => "ne",
            "northwest" => "nw",
            "gov" | "north" | "east" | "south" | "west" | "central" => word.get(..1).unwrap_or(""),
            _ => word,
        }
        .to_owned()
    };
    let of_region: String = region.split('-').map(direction).collect();
    of_region == short && matches!(number.as_bytes(), [byte] if byte.is_ascii_digit())
}

/// The alpha-2 code of a country, from its alpha-3.
fn alpha2(iso3: &str) -> Option<&'static str> {
    iso().find(|[_, code, _]| *code == iso3).map(|[iso2, ..]| iso2)
}

/// A country by its codes and its names.
fn country(wanted: &str) -> Option<&'static str> {
    let of_table = countries()
        .find(|row| [row.zone, row.iso3, row.name].iter().any(|name| key(name) == wanted))
        .map(|row| row.zone);
    let of_iso = || {
        let found = iso().find(|names| names.iter().any(|name| key(name) == wanted));
        found.map(|[iso2, ..]| iso2)
    };
    of_table.or_else(of_iso)
}

/// What an alias or the name of a state stands for: the alpha-3 of a country, or the code of a part of one.
fn named_part(wanted: &str) -> Option<&'static str> {
    let alias = aliases().find_map(|[alias, code]| (key(alias) == wanted).then_some(code));
    let state = || us_states::states().find(|state| key(state.name) == wanted);
    alias.or_else(|| state().map(|state| state.zone))
}

/// The codes of all parts of countries, those of the United States aside, that are called so in English: many a name
/// is that of several.
fn parts_named(wanted: &str) -> Vec<&'static str> {
    names_of_parts().filter(|[_, name]| key(name) == wanted).map(|[code, _]| code).collect()
}

/// The country of a region of `WattTime`, where a cloud region lies in it.
fn country_of_watttime(id: &str) -> Option<String> {
    let [cloud, region, ..] = cloud_zones().find(|[_, _, _, watttime, ..]| *watttime == id)?;
    let [.., iso3, _] = cloud_rows().find(|[of, name, ..]| [*of, *name] == [cloud, region])?;
    alpha2(iso3).map(str::to_owned)
}

/// `latitude,longitude` in degrees.
fn coordinates(text: &str) -> Option<(f64, f64)> {
    let (latitude, longitude) = text.split_once(',')?;
    let latitude: f64 = latitude.trim().parse().ok()?;
    let longitude: f64 = longitude.trim().parse().ok()?;
    let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    on_earth.then_some((latitude, longitude))
}

/// A part of a country, by a code of ISO 3166-2 that exists.
fn subdivision(wanted: &str) -> Option<String> {
    let code = wanted.to_uppercase();
    let (country, part) = code.split_once('-')?;
    let [_, parts] = fields(SUBDIVISIONS).find(|[of, _]: &[&str; 2]| *of == country)?;
    parts.split(' ').any(|known| known == part).then_some(code)
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
    let [_, _, electricity_maps, watttime, year, pue] =
        cloud_zones().find(|[of, name, ..]| [*of, *name] == [cloud, region])?;
    let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    let pue = pue.parse().ok().and_then(|ratio| Pue::new(ratio).ok());
    Some(CloudZone {
        electricity_maps: some(electricity_maps),
        watttime: some(watttime),
        pue: pue.zip(year.parse().ok()),
    })
}

/// The power usage effectiveness that the operator of a cloud region published, and for which year.
pub fn cloud_pue(place: &Place) -> Option<(Pue, u16)> {
    let (cloud, region) = place.cloud.as_ref()?;
    cloud_zone(cloud, region)?.pue
}

/// The water usage effectiveness that the operator of a cloud region published, in litres for each kWh of its computers, and
/// for which year.
pub fn cloud_water(place: &Place) -> Option<(f64, u16)> {
    let (cloud, region) = place.cloud.as_ref()?;
    let mut rows = fields::<4>(CLOUD_WATER);
    let [.., year, litres] = rows.find(|[of, at, ..]| of == cloud && at == region)?;
    Some((litres.parse().ok()?, year.parse().ok()?))
}

/// A zone that was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is called so.
    #[error("unknown region {input:?}{}", did_you_mean(.near))]
    Unknown {
        /// What was typed.
        input: String,
        /// Codes and names that resemble it, best first.
        near: Vec<String>,
    },
    /// Several places are called so.
    #[error("{input:?} is more than one place{}", did_you_mean(.near))]
    Several {
        /// What was typed.
        input: String,
        /// Them, where they are few.
        near: Vec<String>,
    },
}

/// What kind of mistake it is: what a front end looks up its advice by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing is called so, and these names resemble it.
    Misspelt,
    /// Nothing is called so or resembles it.
    Unknown,
    /// Several places are called so.
    Several,
}

impl Error {
    /// What kind of mistake it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { near, .. } if near.is_empty() => ErrorKind::Unknown,
            Self::Unknown { .. } => ErrorKind::Misspelt,
            Self::Several { .. } => ErrorKind::Several,
        }
    }
}

/// A country or a state by its code, as it is shown.
fn shown(code: &&str) -> String {
    let country = iso().find(|[iso2, ..]| iso2 == code).map(|[_, _, name]| name);
    let state = || us_states::states().find(|state| state.zone == *code).map(|state| state.name);
    let part = || names_of_parts().find(|[of, _]| of == code).map(|[_, name]| name);
    format!("{} ({code})", country.or_else(state).or_else(part).unwrap_or_default())
}

fn unknown(input: &str) -> Error {
    let input: String = input.chars().take(INPUT_MAX).collect();
    let wanted = key(&input);
    let mut names: Vec<String> = Vec::new();
    let mut add = |candidates: &mut dyn Iterator<Item = String>, most: usize| {
        for name in candidates.take(most) {
            if !names.contains(&name) && names.len() < NEAR_MAX {
                names.push(name);
            }
        }
    };
    let like = |(name, shown): (String, String)| (similarity(&name, &wanted), shown);
    // `US-XX` and its like: a state, else the whole country.
    let within = wanted
        .split_once('-')
        .and_then(|(code, _)| countries().find(|country| key(country.zone) == code));
    let shown = |state: Row| format!("{} ({})", state.name, state.zone);
    if let Some(country) = within {
        let codes = us_states::states().map(|state| (key(state.zone), shown(state)));
        add(&mut nearest(codes.map(like), NEAR_CODE), NEAR_MAX - 2);
        add(&mut std::iter::once(format!("{} ({})", country.name, country.zone)), 1);
    }
    let named = countries().flat_map(|country| {
        let shown = format!("{} ({})", country.name, country.zone);
        [(key(country.name), shown.clone()), (key(country.iso3), shown)]
    });
    let clouds = cloud_rows().map(|[_, region, ..]| (key(region), region.to_owned()));
    let aliases = aliases().map(|[alias, _]| (key(alias), alias.to_owned()));
    let states = us_states::states().map(|state| (key(state.name), shown(state)));
    let parts = names_of_parts().map(|[code, name]| (key(name), format!("{name} ({code})")));
    let all = named.chain(clouds).chain(aliases).chain(states).chain(parts);
    add(&mut nearest(all.map(like), NEAR), NEAR_MAX);
    Error::Unknown { input, near: names }
}

/// How similar a name must be to be a near match.
const NEAR: f64 = 0.8;

/// How similar a code of a state must be: all of them begin alike.
const NEAR_CODE: f64 = 0.9;

/// What all spellings of a name have in common: no case, no accents, no article before it, `-` for blanks and `_`, `and`
/// for `&`, `st` for Saint.
fn key(name: &str) -> String {
    let plain = |c: char| match c {
        ' ' | '_' => '-',
        'ø' => 'o',
        'ı' => 'i',
        'ł' => 'l',
        'đ' => 'd',
        'ə' => 'e',
        '’' => '\'',
        c => c,
    };
    let folded = || name.trim().nfkd().filter(|c| !is_combining_mark(*c)).collect::<String>();
    let key = if name.is_ascii() {
        let mut key = name.trim().to_ascii_lowercase();
        if key.contains([' ', '_']) {
            key = key.replace([' ', '_'], "-");
        }
        key
    } else {
        folded().to_lowercase().chars().map(plain).collect()
    };
    // Codes are short, and most of what is compared is codes.
    if key.len() < 4 {
        return key;
    }
    let words = key.strip_prefix("the-").unwrap_or(&key).split('-').map(|word| match word {
        "&" => "and",
        "saint" | "st." => "st",
        word => word,
    });
    words.collect::<Vec<_>>().join("-")
}

/// Names in use, and the alpha-3 of their country or the ISO 3166-2 code of a part of one.
fn names_of_parts() -> impl Iterator<Item = [&'static str; 2]> {
    fields(SUBDIVISION_NAMES)
}

fn aliases() -> impl Iterator<Item = [&'static str; 2]> {
    fields(ALIASES)
}

/// Every place that a built-in table names, in words that [`Place::parse`] takes: the world, countries, states of
/// the United States, cloud regions.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    let world = std::iter::once(table::WORLD_ZONE);
    let countries = countries().map(|country| country.zone);
    let states = us_states::states().map(|state| state.zone);
    world.chain(countries).chain(states).chain(cloud_rows().map(|[_, region, ..]| region))
}

/// Cloud, region, alpha-3 of its country, and its state or nothing.
fn cloud_rows() -> impl Iterator<Item = [&'static str; 4]> {
    fields(CLOUD_REGIONS)
}

/// Cloud, region, zone of Electricity Maps, region of `WattTime`, year and ratio of the PUE.
fn cloud_zones() -> impl Iterator<Item = [&'static str; 6]> {
    fields(CLOUD_ZONES)
}

/// Alpha-2, alpha-3 and name of every country.
fn iso() -> impl Iterator<Item = [&'static str; 3]> {
    fields(ISO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, Error> {
        Place::parse(text)
    }

    #[test]
    fn codes_names_aliases_and_cloud_regions_lead_to_their_country() {
        for (input, code) in [
            ("DE", Some("DE")),
            (" deu ", Some("DE")),
            ("Germany", Some("DE")),
            ("Deutschland", Some("DE")),
            ("UK", Some("GB")),
            ("eu-central-1", Some("DE")),
            ("EUROPE-WEST4", Some("NL")),
            ("world", None),
            ("us_east", Some("US")),
        ] {
            assert_eq!(place(input).unwrap().country.as_deref(), code, "{input}");
        }
    }

    /// The rule: a name finds the finest place that it names, however it is spelt.
    #[test]
    fn a_name_is_the_finest_place_of_that_name_however_it_is_spelt() {
        for (text, region) in [
            ("Northern Ireland", "GB-NIR"),
            ("scotland", "GB-SCT"),
            ("California", "US-CA"),
            ("new york", "US-NY"),
            ("Québec", "CA-QC"),
            ("Tasmania", "AU-TAS"),
            ("us-east-1a", "US-VA"),
            ("use1-az1", "US-VA"),
            ("USW2-AZ4", "US-OR"),
            ("apse2-az3", "AU"),
            ("euc1-az2", "DE"),
            ("us-central1-f", "US-IA"),
            ("East US", "US-VA"),
            ("West Europe", "NL"),
            ("westeurope-2", "NL"),
            ("aws:eu-central-1", "DE"),
            ("AWS:use1-az1", "US-VA"),
            ("gcp:us-central1-f", "US-IA"),
            ("azure: West Europe", "NL"),
            ("eu-central-1c", "DE"),
            ("São Tomé and Príncipe", "ST"),
            ("Sao Tome & Principe", "ST"),
            ("turkiye", "TR"),
            ("Côte d’Ivoire", "CI"),
            ("cote d'ivoire", "CI"),
            ("Åland Islands", "AX"),
            ("Curacao", "CW"),
            ("Osterreich", "AT"),
            ("the Netherlands", "NL"),
            ("Saint Lucia", "LC"),
            ("St Lucia", "LC"),
            ("guinea bissau", "GW"),
            ("Kosovo", "XK"),
            ("XKX", "XK"),
            ("eu", "EU"),
            ("European Union", "EU"),
            ("US-PR", "PR"),
            ("FR-NC", "NC"),
        ] {
            let place = place(text).unwrap();
            assert_eq!(place.region(), region, "{text}");
        }
    }

    #[test]
    fn what_is_in_no_list_of_parts_and_what_is_several_countries_is_refused() {
        for text in
            ["FR-PAR", "DE-ZZ", "US-ZZ", "GB-XYZ", "DE-AB-CD", "FR-FR1", "us-east-1zz", "XX-1"]
        {
            assert_ne!(place(text).unwrap_err().kind(), ErrorKind::Several, "{text}");
        }
        for (text, message) in [
            ("Europe", "\"Europe\" is more than one place"),
            (
                "Korea",
                "\"Korea\" is more than one place; did you mean South Korea (KR), North Korea (KP)?",
            ),
            ("virgin islands", "\"virgin islands\" is more than one place; did you mean"),
            (
                "Georgia",
                "\"Georgia\" is more than one place; did you mean Georgia (GE), Georgia (US-GA)?",
            ),
        ] {
            let error = place(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Several);
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }

    /// Any part of a country can be named as it is called in English, or is told to be several.
    #[test]
    fn parts_of_countries_have_their_names() {
        for (text, region) in [
            ("Bavaria", "DE-BY"),
            ("Bayern", "DE-BY"),
            ("north rhine-westphalia", "DE-NW"),
            ("Ontario", "CA-ON"),
            ("Québec", "CA-QC"),
            ("Scotland", "GB-SCT"),
            ("NSW", "AU-NSW"),
            ("Catalonia", "ES-CT"),
            ("ile-de-france", "FR-IDF"),
            ("Lombardy", "IT-25"),
            ("Maharashtra", "IN-MH"),
            ("Hokkaido", "JP-01"),
            ("Sao Paulo", "BR-SP"),
            ("Guangdong", "CN-GD"),
            // Countries and states of the United States are meant first.
            ("Luxembourg", "LU"),
            ("Washington", "US-WA"),
        ] {
            assert_eq!(place(text).unwrap().region(), region, "{text}");
        }
        let error = place("Punjab").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Several);
        let near = "did you mean Punjab (IN-PB), Punjab (PK-PB)?";
        assert!(error.to_string().ends_with(near), "{error}");
        // Each is a code that exists, and is found by its name, or is told to be several.
        assert!(names_of_parts().all(|[code, _]| subdivision(code).is_some()));
        for [code, name] in names_of_parts().step_by(89) {
            match place(name) {
                Ok(place) => assert!(place.country.is_some(), "{name}: {code}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Several, "{name}: {error}"),
            }
        }
    }

    #[test]
    fn a_name_that_a_country_and_a_state_have_is_neither() {
        let both = us_states::states().filter(|state| country(&key(state.name)).is_some());
        let names: Vec<_> = both.map(|state| state.name).collect();
        assert_eq!(names, ["Georgia"]);
        for name in names {
            assert_eq!(place(name).unwrap_err().kind(), ErrorKind::Several, "{name}");
        }
        assert_eq!(place("GE").unwrap().region(), "GE");
        assert_eq!(place("US-GA").unwrap().region(), "US-GA");
    }

    #[test]
    fn ids_of_availability_zones_are_of_one_region_each() {
        let regions =
            || cloud_rows().filter(|[cloud, ..]| *cloud == "aws").map(|[_, region, ..]| region);
        let of = |id: &str| regions().filter(|region| is_zone_id(id, region)).count();
        for id in ["use1-az1", "apne3-az2", "cnnw1-az1", "usgw1-az3", "sae1-az9"] {
            assert_eq!(of(id), 1, "{id}");
        }
        for id in
            ["use1", "use1-az", "use1-az12", "use1-azx", "use9-az1", "use1-bos1-az1", "us-az1"]
        {
            assert_eq!(of(id), 0, "{id}");
        }
    }

    #[test]
    fn unknown_zones_are_errors() {
        assert_eq!(place("qqqqqq").unwrap_err().kind(), ErrorKind::Unknown);
        assert!(place("").is_err());
        assert!(place(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 400);
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
    }

    #[test]
    fn an_unknown_place_has_near_matches_of_its_own_form() {
        for (input, expected) in [
            ("Germny", "Germany (DE)"),
            ("US-XX", "Texas (US-TX)"),
            ("US-XX", "United States (US)"),
            ("Californa", "California (US-CA)"),
            ("us-gov-east", "us-gov-east-1"),
            ("us-west-9", "us-west-1"),
            ("me-south-7", "me-south-1"),
        ] {
            let error = Place::parse(input).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misspelt, "{input}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert_eq!(Place::parse("qqqqqq").unwrap_err().kind(), ErrorKind::Unknown);
    }

    #[test]
    fn a_key_of_a_grid_is_told_by_its_form_and_lies_in_its_country() {
        for (text, zone) in [
            ("SE-SE3", "SE-SE3"),
            ("dk_dk1", "DK-DK1"),
            ("NO-NO2", "NO-NO2"),
            ("US-CAL-CISO", "US-CAL-CISO"),
            ("us-mida-pjm", "US-MIDA-PJM"),
            ("ES-CN-TE", "ES-CN-TE"),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(place.native_to("electricity_maps"), Some(zone), "{text}");
            assert_eq!(place.within().as_deref(), zone.get(..2), "{text}");
            assert_eq!(place.region(), zone);
        }
        // Where the key is an ISO 3166-2 code as well, it is that.
        assert_eq!(Place::parse("AU-NSW").unwrap().subdivision.as_deref(), Some("AU-NSW"));
        assert_eq!(Place::parse("gb:13").unwrap().within().as_deref(), Some("GB"));
        assert!(Place::parse("QQ-QQ1").is_err());
    }

    #[test]
    fn nobody_said_where_is_not_the_world() {
        assert!(Place::unset().is_unset());
        assert!(!Place::parse("world").unwrap().is_unset());
        assert_eq!(place("World").unwrap().region(), "World");
    }

    #[test]
    fn every_example_of_the_documentation_is_a_place() {
        let text = include_str!("../../../docs/intensity.md");
        let section = text.split("\n## Zones\n").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut count = 0;
        for example in section.split('`').skip(1).step_by(2) {
            assert!(Place::parse(example).is_ok(), "{example}");
            count += 1;
        }
        assert!(count >= 15, "{count}");
    }

    #[test]
    fn every_row_of_every_table_is_a_place() {
        let of = |text: &str| match Place::parse(text) {
            Ok(place) => place,
            Err(error) => panic!("{text}: {error}"),
        };
        // A name that others have too names none of them.
        let alone = |text: &&str| SEVERAL.iter().all(|(name, _)| *name != key(text));
        for [iso2, iso3, name] in iso() {
            for text in [iso2, iso3, name].into_iter().filter(alone) {
                assert_eq!(of(text).country.as_deref(), Some(iso2), "{text}");
            }
        }
        for row in countries() {
            for text in [row.zone, row.iso3, row.name].into_iter().filter(alone) {
                assert_eq!(of(text).country.as_deref(), Some(row.zone), "{text}");
            }
        }
        for [alias, code] in aliases() {
            let place = of(alias);
            if code.contains('-') {
                assert_eq!(place.subdivision.as_deref(), Some(code), "{alias}");
            } else {
                assert_eq!(place.country.as_deref(), alpha2(code), "{alias}");
            }
        }
        for [country, parts] in fields(SUBDIVISIONS) {
            assert!(iso().any(|[iso2, ..]| iso2 == country), "{country}");
            for part in parts.split(' ') {
                let code = format!("{country}-{part}");
                assert_eq!(of(&code).region(), code);
            }
        }
        for zone in GRID_KEYS.split_ascii_whitespace() {
            assert_eq!(of(zone).native_to(ELECTRICITY_MAPS), Some(zone));
        }
        for [cloud, region, ..] in cloud_rows() {
            assert_eq!(of(region).cloud, Some((cloud.to_owned(), region.to_owned())));
        }
        for state in us_states::states() {
            assert_eq!(of(state.zone).subdivision.as_deref(), Some(state.zone));
            if alone(&state.name) {
                assert_eq!(of(state.name).subdivision.as_deref(), Some(state.zone));
            }
        }
        for [_, region, electricity_maps, watttime, ..] in cloud_zones() {
            let country = of(region).country;
            for (source, id) in [("electricity_maps", electricity_maps), ("watttime", watttime)] {
                if !id.is_empty() {
                    let place = of(&format!("{source}:{id}"));
                    assert_eq!(
                        (place.native_to(source), place.within()),
                        (Some(id), country.clone())
                    );
                }
            }
            if !electricity_maps.is_empty() {
                assert_eq!(of(electricity_maps).within(), country, "{region}");
            }
        }
    }

    #[test]
    fn a_cloud_region_of_the_united_states_knows_its_state() {
        let zones = [
            ("US-CAL-CISO", "US-CA"),
            ("US-CAR-SC", "US-SC"),
            ("US-MIDA-PJM", "US-OH US-VA"),
            ("US-MIDW-MISO", "US-IA US-IL"),
            ("US-NW-BPAT", "US-OR"),
            ("US-NW-NEVP", "US-NV"),
            ("US-NW-PACE", "US-UT"),
            ("US-TEX-ERCO", "US-TX"),
        ];
        let mut without = Vec::new();
        for [cloud, region, iso3, state] in cloud_rows() {
            let place = Place::parse(region).unwrap();
            assert_eq!(place.subdivision.as_deref().unwrap_or_default(), state, "{region}");
            if iso3 == "USA" && state.is_empty() {
                without.push(region);
            } else if iso3 == "USA" {
                assert!(us_states::states().any(|row| row.zone == state), "{region}");
                let zone = cloud_zone(cloud, region).and_then(|zone| zone.electricity_maps);
                let Some(zone) = zone else { continue };
                let (_, expected) = zones.iter().find(|(key, _)| *key == zone).unwrap();
                assert!(expected.contains(state), "{region}: {state} is not in {zone}");
            } else {
                assert_eq!(state, "", "{region}");
            }
        }
        assert_eq!(without, ["us-gov-east-1", "us-gov-west-1"]);
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
    fn water_of_cloud_regions_is_plausible_and_theirs() {
        let mut count = 0;
        for [cloud, region, year, litres] in fields::<4>(CLOUD_WATER) {
            let (value, of) = cloud_water(&place(region).unwrap()).unwrap();
            assert!((0.0..5.0).contains(&value) && of >= 2023, "{cloud} {region} {year} {litres}");
            count += 1;
        }
        assert_eq!(count, 17);
        assert_eq!(cloud_water(&place("DE").unwrap()), None);
    }

    #[test]
    fn cloud_zones_are_plausible() {
        let mut count = 0;
        for [cloud, region, ..] in cloud_zones() {
            let found = cloud_zone(cloud, region).unwrap();
            let place = place(region).unwrap();
            assert_eq!(place.cloud, Some((cloud.to_owned(), region.to_owned())));
            // The zone lies in the country of the region.
            if let Some(zone) = found.electricity_maps {
                assert_eq!(zone.get(..2), place.country.as_deref(), "{region}");
            }
            // A datacentre that loses nothing or half of its energy is a slip of the pen.
            if let Some((pue, year)) = found.pue {
                assert!((1.03..1.6).contains(&pue.as_ratio()), "{region}");
                assert!((2023..=2024).contains(&year), "{region}");
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
}
