//! The yearly average grid intensity of each country, and of the world as derived from it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;

use super::{CARBONTRACKER, CO2, CODECARBON, REBUILT_BY, quantile, rows};

/// The members of the European Union.
pub(crate) const UNION: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// One country's newest year in the source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Country {
    pub(crate) iso3: String,
    pub(crate) iso2: String,
    pub(crate) name: String,
    pub(crate) year: u64,
    pub(crate) g_per_kwh: f64,
    /// Terawatt hours generated in that year: the weight in the world's mean.
    pub(crate) generation: f64,
}

/// The countries of `global_energy_mix.json`, in order of their three-letter codes: their generation, and their
/// intensity where `carbon-intensities.csv`, a later state of the same series, has no year as new.
pub(crate) fn countries(mix: &str, newer: &str, iso_3166: &str) -> Result<Vec<Country>> {
    let newer: HashMap<&str, (u64, f64)> = rows::<5>(newer)?
        .into_iter()
        .map(|[_, year, name, iso3, value]| {
            let of = || Some((iso3, (year.parse().ok()?, value.parse().ok()?)));
            of().with_context(|| format!("{name}: no year or no number"))
        })
        .collect::<Result<_>>()?;
    let iso2: HashMap<&str, &str> =
        rows::<3>(iso_3166)?.into_iter().map(|[iso2, iso3, _]| (iso3, iso2)).collect();
    let mix: serde_json::Map<String, serde_json::Value> = serde_json::from_str(mix)?;
    let mut countries = Vec::new();
    for (iso3, entry) in &mix {
        let number = |key: &str| {
            let value = entry.get(key).and_then(serde_json::Value::as_f64);
            value.with_context(|| format!("{iso3}: no number {key}"))
        };
        let name = entry.get("country_name").and_then(|name| name.as_str()).context("no name")?;
        ensure!(!name.contains([',', '"', '\n']), "{iso3}: a name that needs quotes: {name}");
        let year = entry.get("year").and_then(serde_json::Value::as_u64).context("no year")?;
        let (year, g_per_kwh) = match newer.get(iso3.as_str()) {
            Some(&(later, value)) if later >= year => (later, (value * 1000.0).round() / 1000.0),
            _ => (year, number("carbon_intensity")?),
        };
        let generation = number("total_TWh")?;
        ensure!(g_per_kwh >= 0.0 && generation > 0.0, "{iso3}: a negative number");
        countries.push(Country {
            iso3: iso3.clone(),
            iso2: (*iso2.get(iso3.as_str()).with_context(|| format!("{iso3}: not in ISO 3166"))?)
                .to_owned(),
            name: name.to_owned(),
            year,
            g_per_kwh,
            generation,
        });
    }
    countries.sort_by(|a, b| a.iso3.cmp(&b.iso3));
    Ok(countries)
}

/// The countries, and what has no row in the first two packages: Kosovo, and the European Union of the rows of its members.
pub(crate) fn with_more(countries: &[Country], averages: &str) -> Result<Vec<Country>> {
    let of = |iso3: &str| -> Result<f64> {
        let name = format!("\"{iso3}\": ");
        let (_, value) = averages.split_once(&name).with_context(|| format!("no {iso3}"))?;
        let value = value.split([',', '}']).next().unwrap_or_default().trim();
        value.parse().with_context(|| format!("{iso3}: {value:?} is no number"))
    };
    let members: Vec<_> = countries.iter().filter(|of| UNION.contains(&of.iso2.as_str())).collect();
    ensure!(members.len() == UNION.len(), "{} members of the Union", members.len());
    let generation: f64 = members.iter().map(|of| of.generation).sum();
    let mean = |value: &dyn Fn(&Country) -> f64| {
        members.iter().map(|of| of.generation * value(of)).sum::<f64>() / generation
    };
    #[expect(clippy::cast_precision_loss, reason = "a year")]
    let year = mean(&|of| of.year as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a year")]
    let union = Country {
        iso3: "EUE".to_owned(),
        iso2: "EU".to_owned(),
        name: "European Union".to_owned(),
        year: year.round() as u64,
        g_per_kwh: (mean(&|of| of.g_per_kwh) * 1000.0).round() / 1000.0,
        generation,
    };
    ensure!((union.g_per_kwh / of("EU")? - 1.0).abs() < 0.05, "the Union's own figure: {union:?}");
    let kosovo = Country {
        iso3: "XKX".to_owned(),
        iso2: "XK".to_owned(),
        name: "Kosovo".to_owned(),
        // The package names no year; its values are of 2023 or 2024.
        year: 2023,
        g_per_kwh: of("XKX")?,
        generation: 0.0,
    };
    let mut all = [countries, &[union, kosovo]].concat();
    all.sort_by(|a, b| a.iso3.cmp(&b.iso3));
    Ok(all)
}

/// `grid-mix.csv`: what the electricity of a country is made of.
pub(crate) fn mix(mix: &str, countries: &[Country]) -> Result<String> {
    let mut text = format!(
        "# What the electricity generated in a country in a year was made of, in percent. Production-based, as grid-yearly.csv is;
# what was bought by contract is something else. Sorted by iso3.
# source: Our World in Data, Energy data (from Ember's Yearly Electricity Data), as carried by codecarbon 3.3.2,
#   codecarbon/data/private_infra/global_energy_mix.json: fossil_TWh, nuclear_TWh and renewables_TWh over their sum.
# licence: data CC BY 4.0; the package MIT.
# attribution: Our World in Data; Ember; codecarbon contributors.
# wheel: {CODECARBON}
# rebuilt by: {REBUILT_BY}
iso3,iso2,year,fossil,nuclear,renewable
"
    );
    let mix: serde_json::Map<String, serde_json::Value> = serde_json::from_str(mix)?;
    for Country { iso3, iso2, .. } in countries {
        let entry = mix.get(iso3).with_context(|| format!("{iso3}: no mix"))?;
        let of = |key: &str| {
            let value = entry.get(key).and_then(serde_json::Value::as_f64);
            value.with_context(|| format!("{iso3}: no number {key}"))
        };
        let parts = [of("fossil_TWh")?, of("nuclear_TWh")?, of("renewables_TWh")?];
        let (sum, year) = (parts.iter().sum::<f64>(), of("year")?);
        ensure!(sum > 0.0 && parts.iter().all(|part| *part >= 0.0), "{iso3}: no shares");
        let [fossil, nuclear, renewable] = parts.map(|part| 100.0 * part / sum);
        let _ = writeln!(text, "{iso3},{iso2},{year},{fossil:.1},{nuclear:.1},{renewable:.1}");
    }
    Ok(text)
}

/// The averages of co2.js, as text.
pub(crate) fn averages(package: &[u8]) -> Result<String> {
    for entry in tar::Archive::new(GzDecoder::new(package)).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("dist/esm/data/average-intensities.min.js") {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            return Ok(text);
        }
    }
    bail!("the package has no average intensities")
}

fn provenance(text: &mut String) {
    let _ = write!(
        text,
        "# source: Our World in Data, Energy data (from Ember's Yearly Electricity Data), as carried by two packages on PyPI:
#   intensities by carbontracker 2.4.7, carbontracker/data/carbon-intensities.csv, to a milligram; generation, and the
#   intensity of Namibia, by codecarbon 3.3.2, codecarbon/data/private_infra/global_energy_mix.json.
# licence: data CC BY 4.0; the packages MIT.
# attribution: Our World in Data; Ember; carbontracker and codecarbon contributors.
# wheels: {CARBONTRACKER}
#   {CODECARBON}
# rebuilt by: {REBUILT_BY}
"
    );
}

/// `grid-yearly.csv`.
pub(crate) fn yearly(countries: &[Country]) -> String {
    let mut text = String::from(
        "# Yearly average carbon intensity of the electricity generated in a country, in grams of CO2 equivalent per kWh,
# over the life cycle of the plants (fuel, building, methane). Production-based: imports and exports are not traded
# through. Sorted by iso3.
",
    );
    provenance(&mut text);
    let _ = write!(
        text,
        "# EUE, the European Union: the mean of the rows of its 27 members, with the generation of each as its weight; Ember's own
#   is 213.02. XKX, Kosovo: Ember's, as carried by {CO2} (Apache-2.0),
#   dist/esm/data/average-intensities.min.js, which names no year; its values are of 2023 or 2024.
"
    );
    text.push_str("# vintage: the newest year that the source has for the country, column year:");
    for (year, count) in vintages(countries) {
        let _ = write!(text, " {year}: {count}");
    }
    text.push_str(
        ".
# The source rounds generation to 0.01 TWh: for the smallest grids the intensity is coarse (500, 1000), and the 0 of CAF
# is what it publishes for a grid of 0.15 TWh that is all hydropower.
iso3,iso2,name,year,g_per_kwh
",
    );
    for Country { iso3, iso2, name, year, g_per_kwh, .. } in countries {
        let _ = writeln!(text, "{iso3},{iso2},{name},{year},{g_per_kwh}");
    }
    text
}

/// The countries whose numbers differ between two states of `grid-yearly.csv`, the largest change first.
pub(crate) fn changes(old: &str, new: &str) -> Result<String> {
    let old: HashMap<&str, [&str; 5]> =
        rows::<5>(old)?.into_iter().map(|row| (row[0], row)).collect();
    let mut changed = Vec::new();
    for [iso3, _, name, year, value] in rows::<5>(new)? {
        match old.get(iso3) {
            Some([_, _, _, before, was]) if (*before, *was) != (year, value) => {
                let (from, to): (f64, f64) = (was.parse()?, value.parse()?);
                let ratio = if from > 0.0 { to / from } else { f64::INFINITY };
                changed.push((
                    ratio.ln().abs(),
                    format!("  {name}: {was} ({before}) to {value} ({year})\n"),
                ));
            }
            Some(_) => {}
            None => changed.push((f64::INFINITY, format!("  {name}: new, {value} ({year})\n"))),
        }
    }
    changed.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(changed.into_iter().map(|(_, line)| line).collect())
}

/// How many countries have which year, newest first.
fn vintages(countries: &[Country]) -> Vec<(u64, usize)> {
    let mut years: Vec<u64> = countries.iter().map(|country| country.year).collect();
    years.sort_unstable_by(|a, b| b.cmp(a));
    years.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len()))).collect()
}

/// `world.csv`.
pub(crate) fn world(countries: &[Country]) -> Result<String> {
    let mut text = String::from(
        "# The world's average grid intensity and its spread over countries, derived from the rows of grid-yearly.csv and the
# generation (TWh) that the same source gives beside them; the source has no row for the world itself.
",
    );
    provenance(&mut text);
    text.push_str(
        "# weights: w = total_TWh of the country's row (generation_weighted), or w = 1 (unweighted).
# mean = sum(w*g)/sum(w). sd = sqrt(sum(w*(g-mean)^2)/sum(w)). cv = sd/mean. The spread is of countries around the mean:
#   how wrong the world's figure may be for a machine whose country is not known, not how well the mean is known.
# p2_5, p50, p97_5 = the smallest g at or below which that share of sum(w) lies.
# year = the mean of the rows' years under the same weights. twh = the sum of generation.
# units: g/kWh for mean, sd and percentiles; cv has none.
# check: Ember's own world figure for 2024 is 472.94 g/kWh.
statistic,generation_weighted,unweighted
",
    );
    let weighted = Spread::of(countries, |country| country.generation)?;
    let even = Spread::of(countries, |_| 1.0)?;
    let _ = writeln!(text, "countries,{0},{0}", countries.len());
    for ((name, weighted), (_, even)) in weighted.cells().iter().zip(even.cells()) {
        let _ = writeln!(text, "{name},{weighted},{even}");
    }
    let twh: f64 = countries.iter().map(|country| country.generation).sum();
    let _ = writeln!(text, "twh,{twh:.2},{twh:.2}");
    Ok(text)
}

struct Spread {
    mean: f64,
    sd: f64,
    percentiles: [f64; 3],
    year: f64,
}

impl Spread {
    fn of(countries: &[Country], weight: impl Fn(&Country) -> f64) -> Result<Self> {
        let total: f64 = countries.iter().map(&weight).sum();
        let mean_of = |value: &dyn Fn(&Country) -> f64| {
            countries.iter().map(|country| weight(country) * value(country)).sum::<f64>() / total
        };
        let mean = mean_of(&|country| country.g_per_kwh);
        let sd = mean_of(&|country| (country.g_per_kwh - mean).powi(2)).sqrt();
        let mut sorted: Vec<(f64, f64)> =
            countries.iter().map(|country| (country.g_per_kwh, weight(country))).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = |p| quantile(&sorted, p).context("no countries");
        #[expect(clippy::cast_precision_loss, reason = "a year")]
        let year = mean_of(&|country| country.year as f64);
        Ok(Self { mean, sd, percentiles: [at(0.025)?, at(0.5)?, at(0.975)?], year })
    }

    fn cells(&self) -> [(&'static str, String); 7] {
        let [low, middle, high] = self.percentiles;
        [
            ("mean", format!("{:.3}", self.mean)),
            ("sd", format!("{:.3}", self.sd)),
            ("cv", format!("{:.4}", self.sd / self.mean)),
            ("p2_5", low.to_string()),
            ("p50", middle.to_string()),
            ("p97_5", high.to_string()),
            ("year", format!("{:.1}", self.year)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: &str = r#"{"FRA":{"carbon_intensity":56.039,"country_name":"France","total_TWh":3.0,"year":2023},
        "DEU":{"carbon_intensity":400.0,"country_name":"Germany","total_TWh":1.0,"year":2022}}"#;
    const NEWER: &str =
        "alpha-2,Year,Entity,Code,g\nFR,2024,France,FRA,44.179085\nDE,2021,Germany,DEU,1\n";
    const FUELS: &str = r#"{"FRA":{"fossil_TWh":0.5,"nuclear_TWh":1.5,"renewables_TWh":1.0,"year":2023},
        "DEU":{"fossil_TWh":0.45,"nuclear_TWh":0.0,"renewables_TWh":0.55,"year":2022}}"#;
    const ISO: &str = "iso2,iso3,name\nDE,DEU,Germany\nFR,FRA,France\n";

    #[test]
    fn countries_come_in_order_with_their_newest_year() {
        let text = yearly(&countries(MIX, NEWER, ISO).unwrap());
        assert!(text.contains("2024: 1 2022: 1."), "{text}");
        assert!(text.ends_with("DEU,DE,Germany,2022,400\nFRA,FR,France,2024,44.179\n"), "{text}");
    }

    #[test]
    fn a_mix_is_told_in_shares() {
        let text = mix(FUELS, &countries(MIX, NEWER, ISO).unwrap()).unwrap();
        assert!(
            text.ends_with("DEU,DE,2022,45.0,0.0,55.0\nFRA,FR,2023,16.7,50.0,33.3\n"),
            "{text}"
        );
    }

    #[test]
    fn a_country_without_a_two_letter_code_is_an_error() {
        assert!(countries(MIX, NEWER, "iso2,iso3,name\nDE,DEU,Germany\n").is_err());
    }

    #[test]
    fn the_world_is_weighted_by_generation() {
        let text = world(&countries(MIX, NEWER, ISO).unwrap()).unwrap();
        assert!(text.contains("\nmean,133.134,222.089\n"), "{text}");
        assert!(text.contains("\np50,44.179,44.179\n"), "{text}");
    }
}
