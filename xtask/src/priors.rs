//! How far yearly averages may be off: measures it, writes `spreads.csv` of `carbon-ops-grid`, and tests it on years
//! that did not set it.
//!
//! Against the rows that ship are held the yearly values of Electricity Maps from 2021 on, imports traded through, as
//! carried by `@tgwf/co2` on npm, and with `--hourly` hours of a year, zone by zone. Both are share-alike and stay
//! outside; what goes in are spreads. It fetches nothing; `npm pack @tgwf/co2@0.19.0` does.
//!
//! Out of scope: the rows themselves ([`crate::tables`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;

use crate::pack;
use crate::tables::grid::UNION;
use crate::tables::{CO2, rows};

const GRID: &str = "crates/carbon-ops-grid/data";
const SPREADS: &str = "crates/carbon-ops-grid/data/spreads.csv";
const DOCUMENT: &str = "docs/method.md";
const MARKS: [&str; 2] = ["<!-- priors -->\n", "<!-- /priors -->"];

/// The years of the package; the first of them set what the last of them test.
const YEARS: [i32; 5] = [2021, 2022, 2023, 2024, 2025];
const SET: &[i32] = &[2021, 2022, 2023];
const TESTED: &[i32] = &[2024, 2025];

/// Emission factors of plants are known to so much (IPCC AR5 WG3 Annex III: coal 740–820–910, gas 410–490–650 g/kWh).
const FACTORS: f64 = 0.15;

/// What is known of all zones weighs as much as so many years of one.
const ZONES_WEIGH: f64 = 1.0;

/// 97.5 % of Student's distribution lie below these, by degrees of freedom from 1 (tables of any textbook).
const STUDENT: [f64; 6] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447];

/// A country of fewer grids has no spread among them.
const PARTS_MIN: usize = 3;

/// Hours that do not differ were not measured.
const HOURS_MIN: f64 = 0.01;

/// 97.5 % quantile of a normal.
const Z95: f64 = 1.959_963_985;

/// 95 % quantile of a normal.
const Z90: f64 = 1.644_853_627;

/// What was asked for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    packages: PathBuf,
    hourly: Option<PathBuf>,
    check: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { packages: ".".into(), ..Self::default() };
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let mut value = || words.next().with_context(|| format!("{flag} needs a value"));
            match *flag {
                "--packages" => options.packages = value()?.into(),
                "--hourly" => options.hourly = Some(value()?.into()),
                "--check" => options.check = true,
                other => bail!("cargo xtask priors knows no {other}"),
            }
        }
        Ok(options)
    }
}

/// Prints the test, and with hours writes the spreads and the table of the document, or compares them.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let data = Data::read(root, options)?;
    let table = data.table();
    print!("{table}");
    if options.hourly.is_none() {
        return Ok(());
    }
    let document = fs::read_to_string(root.join(DOCUMENT)).context(DOCUMENT)?;
    let [open, close] = MARKS;
    let (before, rest) = document.split_once(open).context("no place for the table")?;
    let (_, after) = rest.split_once(close).context("no end of the place for the table")?;
    let made = [
        (SPREADS, data.spreads(&YEARS).csv()),
        (DOCUMENT, format!("{before}{open}{table}{close}{after}")),
    ];
    for (path, text) in made {
        let at = root.join(path);
        if fs::read_to_string(&at).is_ok_and(|old| old == text) {
            println!("{path}: unchanged");
        } else if options.check {
            bail!("{path} is not what the data give");
        } else {
            fs::write(&at, text).with_context(|| format!("writing {path}"))?;
            println!("{path}: written");
        }
    }
    Ok(())
}

/// A row that ships.
#[derive(Debug, Clone, Copy)]
struct Row {
    year: i32,
    g_per_kwh: f64,
}

/// All that is known.
struct Data {
    rows: BTreeMap<String, Row>,
    /// By year and zone, in g/kWh.
    yearly: BTreeMap<i32, BTreeMap<String, f64>>,
    /// By zone: each hour over the mean of all.
    hours: BTreeMap<String, Vec<f64>>,
}

impl Data {
    fn read(root: &Path, options: &Options) -> Result<Self> {
        let ours = |name: &str| {
            let path = format!("{GRID}/{name}");
            fs::read_to_string(root.join(&path)).context(path)
        };
        let mut countries = BTreeMap::new();
        for [_, zone, _, year, value] in rows::<5>(&ours("grid-yearly.csv")?)? {
            let row = Row { year: year.parse()?, g_per_kwh: value.parse()? };
            // A published 0 has a rule of its own, and of Kosovo's value no year is known.
            if row.g_per_kwh > 0.0 && zone != "XK" {
                countries.insert(zone.to_owned(), row);
            }
        }
        let hours = match &options.hourly {
            Some(path) => hourly(path)?,
            None => BTreeMap::new(),
        };
        Ok(Self { rows: countries, yearly: yearly(&CO2.read(&options.packages)?)?, hours })
    }

    /// The logarithm of what a year was over the row of its country; `None` where either is missing.
    fn miss(&self, zone: &str, year: i32) -> Option<f64> {
        let value = *self.yearly.get(&year)?.get(zone)?;
        let row = self.rows.get(country(zone))?;
        (value > 0.0).then(|| (value / row.g_per_kwh).ln())
    }

    /// The zones that are countries, and those that are parts of them.
    fn zones(&self, parts: bool) -> BTreeSet<&str> {
        let all = self.yearly.values().flat_map(BTreeMap::keys).map(String::as_str);
        all.filter(|zone| (country(zone) != *zone) == parts).collect()
    }

    /// Spreads by the values of some years.
    fn spreads(&self, years: &[i32]) -> Spreads {
        let countries = self.zones(false);
        let misses = |zone: &str| -> Vec<(f64, f64)> {
            let of = |year: &i32| {
                let age = (year - self.rows.get(zone)?.year).abs();
                Some((self.miss(zone, *year)?, f64::from(age)))
            };
            years.iter().filter_map(of).collect()
        };
        let drift = self.drift(&countries, years);
        let all: Vec<f64> =
            countries.iter().flat_map(|zone| misses(zone)).map(|(miss, _)| miss).collect();
        // That of an ordinary zone: half of a normal lies within 0.6745 of its standard deviation.
        let ordinary = quantile(all.iter().map(|miss| miss.abs()), 0.5) / 0.674_489_75;
        let mut level = BTreeMap::from([("*".to_owned(), tail(all.iter().copied()))]);
        for zone in &countries {
            let own = misses(zone);
            if own.is_empty() {
                continue;
            }
            // What the age explains is told apart.
            let square =
                own.iter().map(|(miss, age)| miss * miss - drift * drift * age).sum::<f64>();
            let square = square.max(0.0) + ZONES_WEIGH * ordinary * ordinary;
            let weight = own.iter().map(|_| 1.0).sum::<f64>() + ZONES_WEIGH;
            // A variance that few years tell: the next year is Student's, with as many degrees of freedom as the years
            // weigh, and 95 % of that lie within 1.96 of what is told.
            let student = STUDENT.get(own.len()).copied().unwrap_or(Z95);
            level.insert((*zone).to_owned(), (square / weight).sqrt() * student / Z95);
        }
        // Whoever says the Union says one of its members, each as likely.
        let of_union = self.rows.get("EU").map_or(f64::NAN, |row| row.g_per_kwh);
        let members = UNION.iter().filter_map(|zone| self.rows.get(*zone));
        let square = mean(members.map(|row| (row.g_per_kwh / of_union - 1.0).powi(2)));
        level.insert("EU".to_owned(), square.sqrt());
        let mut hours: BTreeMap<String, f64> = BTreeMap::new();
        let mut squares: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (zone, over_mean) in &self.hours {
            let variance = mean(over_mean.iter().map(|ratio| (ratio - 1.0).powi(2)));
            if variance.sqrt() < HOURS_MIN {
                continue;
            }
            squares.entry("*").or_default().push(variance);
            squares.entry(country(zone)).or_default().push(variance);
        }
        for (zone, squares) in squares {
            hours.insert(zone.to_owned(), mean(squares.into_iter()).sqrt());
        }
        let slots = self.of_the_month_before();
        Spreads { level, drift, hours, within: self.within(years), slots }
    }

    /// What a year of age adds.
    fn drift(&self, countries: &BTreeSet<&str>, years: &[i32]) -> f64 {
        let pairs = years.iter().zip(years.iter().skip(1));
        let changes = pairs.flat_map(|(from, to)| {
            countries
                .iter()
                .filter_map(move |zone| Some(self.miss(zone, *to)? - self.miss(zone, *from)?))
        });
        mean(changes.map(|change| change * change)).sqrt()
    }

    /// The parts of countries that are no grid themselves.
    fn within(&self, years: &[i32]) -> BTreeMap<String, f64> {
        let mut misses: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let parts = self.zones(true);
        for zone in &parts {
            // Where the country is a grid, other keys are its islands.
            if !self.hours.contains_key(country(zone)) {
                let of = misses.entry(country(zone)).or_default();
                of.extend(years.iter().filter_map(|year| self.miss(zone, *year)));
            }
        }
        let count = |of: &str| parts.iter().filter(|zone| country(zone) == of).count();
        let many =
            misses.into_iter().filter(|(of, misses)| count(of) >= PARTS_MIN && !misses.is_empty());
        // By the number of grids and not by their size: the smallest ones, a dam or an island, are left to the tails.
        let spread = |misses: Vec<f64>| quantile(misses.into_iter().map(f64::abs), 0.9) / Z90;
        many.map(|(of, misses)| (of.to_owned(), spread(misses))).collect()
    }

    /// How far the mean of an hour of day in 30 days misses that hour in the 30 days after, as those estimate who have no
    /// data: what a month has in common, and its hours alone. Mean squares of logarithms over grids.
    fn of_the_month_before(&self) -> (f64, f64) {
        const MONTH: usize = 30 * 24;
        let mut squares = Vec::new();
        for hours in self.hours.values() {
            let scatter = mean(hours.iter().map(|ratio| (ratio - 1.0).powi(2))).sqrt();
            if scatter < HOURS_MIN || hours.iter().any(|ratio| *ratio <= 0.0) {
                continue;
            }
            let months: Vec<_> = hours.chunks_exact(MONTH).collect();
            let mut missed = Vec::new();
            for (before, after) in months.iter().zip(months.iter().skip(1)) {
                let of_day = |hour: usize| mean(before.iter().skip(hour).step_by(24).copied());
                let day: Vec<f64> = (0..24).map(of_day).collect();
                let of = after.iter().zip(day.iter().cycle()).map(|(hour, day)| (hour / day).ln());
                let of: Vec<f64> = of.collect();
                missed.push((mean(of.iter().copied()).powi(2), mean(of.iter().map(|x| x * x))));
            }
            let month = mean(missed.iter().map(|(month, _)| *month));
            squares.push((month, mean(missed.iter().map(|(_, all)| *all)) - month));
        }
        let root = |of: fn(&(f64, f64)) -> f64| mean(squares.iter().map(of)).sqrt();
        (root(|(month, _)| *month), root(|(_, hours)| *hours))
    }

    /// Shares of true values inside the 95 % interval, as a table.
    fn table(&self) -> String {
        let spreads = self.spreads(SET);
        let mut lines = Vec::new();
        let mut line = |what: &str, inside: Vec<f64>| {
            if !inside.is_empty() {
                let count = inside.len();
                lines.push(format!(
                    "| {what} | {:.1} % | {count} |",
                    100.0 * mean(inside.into_iter())
                ));
            }
        };
        let countries = self.zones(false);
        let years = |zone: &str, age: Option<i32>| -> Vec<f64> {
            let of = |year: &i32| {
                let row = self.rows.get(zone)?;
                let miss = self
                    .miss(zone, *year)
                    .filter(|_| age.is_none_or(|age| (year - row.year) == age))?;
                Some(inside(miss, spreads.of_year(zone, (year - row.year).abs())))
            };
            TESTED.iter().filter_map(of).collect()
        };
        let of_hours = |length: fn(usize) -> usize| -> Vec<f64> {
            let of = |(zone, over_mean): (&String, &Vec<f64>)| {
                self.share(zone, over_mean, length, &spreads)
            };
            self.hours.iter().filter_map(of).collect()
        };
        line("hours", of_hours(|hour| hour));
        line("days", of_hours(|hour| hour / 24));
        line("months of 30 days", of_hours(|hour| hour / 720));
        line("years", countries.iter().flat_map(|zone| years(zone, None)).collect());
        for age in 0..=3 {
            let of_age = countries.iter().flat_map(|zone| years(zone, Some(age))).collect();
            line(&format!("years, of a row {age} years old"), of_age);
        }
        let parts = self.zones(true);
        let stand_in = parts.iter().flat_map(|zone| {
            let within = spreads.within.get(country(zone)).copied();
            let spreads = &spreads;
            TESTED.iter().filter_map(move |year| {
                let row = self.rows.get(country(zone))?;
                let alone = spreads.of_year(country(zone), (year - row.year).abs());
                Some(inside(self.miss(zone, *year)?, within?.hypot(alone)))
            })
        });
        line("years of a part of a country, by the country", stand_in.collect());
        let worst = of_hours(|hour| hour).into_iter().fold(f64::INFINITY, f64::min);
        let mut table =
            String::from("| true values | inside the 95 % interval | tried |\n|---|---|---|\n");
        for line in lines {
            let _ = writeln!(table, "{line}");
        }
        if worst.is_finite() {
            let _ = writeln!(
                table,
                "\nThe zone with the least of its hours inside has {:.0} %.",
                100.0 * worst
            );
        }
        table
    }

    /// The share of a zone's hours, or of the means of longer times, inside the interval of its country's row, in the
    /// years that test.
    fn share(
        &self,
        zone: &str,
        over_mean: &[f64],
        length: fn(usize) -> usize,
        spreads: &Spreads,
    ) -> Option<f64> {
        let row = self.rows.get(zone)?;
        let mut groups: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (hour, ratio) in over_mean.iter().enumerate() {
            groups.entry(length(hour)).or_default().push(*ratio);
        }
        let means: Vec<f64> = groups.into_values().map(|group| mean(group.into_iter())).collect();
        let of_year = |year: &i32| {
            let miss = self.miss(zone, *year)?;
            let cv = spreads.of_year(zone, (year - row.year).abs()).hypot(spreads.hours(zone));
            Some(mean(means.iter().map(|ratio| inside(miss + ratio.ln(), cv))))
        };
        let shares: Vec<f64> = TESTED.iter().filter_map(of_year).collect();
        (!shares.is_empty()).then(|| mean(shares.into_iter()))
    }
}

/// Relative standard deviations.
struct Spreads {
    level: BTreeMap<String, f64>,
    drift: f64,
    hours: BTreeMap<String, f64>,
    within: BTreeMap<String, f64>,
    /// Of slots that somebody estimated: a month in common, and its hours.
    slots: (f64, f64),
}

impl Spreads {
    /// Of a yearly value of that age.
    fn of_year(&self, zone: &str, age: i32) -> f64 {
        let level =
            self.level.get(zone).or_else(|| self.level.get("*")).copied().unwrap_or(f64::NAN);
        (level.max(FACTORS).powi(2) + self.drift * self.drift * f64::from(age)).sqrt()
    }

    fn hours(&self, zone: &str) -> f64 {
        self.hours.get(zone).or_else(|| self.hours.get("*")).copied().unwrap_or(f64::NAN)
    }

    fn csv(&self) -> String {
        let mut text = format!(
            "# How far a yearly average may be off, as relative standard deviations (docs/method.md, \"Yearly averages\").
# level: a year as another source has it, imports traded through, against the row of the same year (mean square of the
#   logarithms of a zone, without what its age explains, with the weight of {ZONES_WEIGH} year of an ordinary zone; as few
#   years tell it, 95 % of Student's distribution lie within 1.96 of it); of EU its members around it. drift: what a year of age adds, in squares. hours: single hours of 2022 around their mean; of a country of several grids, the mean
#   square of those. within: the grids of a country against the country's row. *: 95 % of the logarithms lie within 1.96 of
#   it; within: 90 % within 1.64 of it. factors: emission factors of plants (IPCC AR5 WG3 Annex III). slot_month, slot_hour:
#   how far the mean of an hour of day in 30 days misses that hour in the 30 days after, as those estimate who have no data:
#   what the 30 days have in common, and their hours alone (mean squares of logarithms over grids).
# source: yearly values 2021 to 2025 of Electricity Maps, as carried by {}, SHA-256
#   {}; hours of 2022 of Electricity Maps, as published with a study of the
#   University of Massachusetts (umassos/decarbonization-potential). Both series are share-alike and not in here.
# licence: as the project; derived figures, of which the series cannot be made again.
# rebuilt by: npm pack @tgwf/co2@0.19.0 && cargo xtask priors --hourly FILE
kind,zone,spread
",
            CO2.file, CO2.sha256
        );
        let mut line = |kind: &str, zone: &str, value: f64| {
            let _ = writeln!(text, "{kind},{zone},{value:.3}");
        };
        line("factors", "*", FACTORS);
        line("drift", "*", self.drift);
        line("slot_month", "estimated", self.slots.0);
        line("slot_hour", "estimated", self.slots.1);
        for (kind, of) in [("level", &self.level), ("hours", &self.hours), ("within", &self.within)]
        {
            for (zone, value) in of {
                line(kind, zone, *value);
            }
        }
        text
    }
}

/// The country of a zone key.
fn country(zone: &str) -> &str {
    zone.split('-').next().unwrap_or(zone)
}

/// 1 where the value that missed a row by so much lies inside the 95 % interval of a lognormal around the row.
fn inside(miss: f64, cv: f64) -> f64 {
    let variance = (cv * cv).ln_1p();
    f64::from(u8::from((miss + variance / 2.0).abs() <= Z95 * variance.sqrt()))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

/// Of the absolute values, 95 % lie within 1.96 of it.
fn tail(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values.map(f64::abs), 0.95) / Z95
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
#[expect(clippy::cast_precision_loss, reason = "few values")]
fn quantile(values: impl Iterator<Item = f64>, p: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let place = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The yearly values of the package.
fn yearly(package: &[u8]) -> Result<BTreeMap<i32, BTreeMap<String, f64>>> {
    let mut years = BTreeMap::new();
    for entry in tar::Archive::new(GzDecoder::new(package)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let name = path.strip_prefix("package/dist/esm/data/electricity-maps/yearly_");
        if let Some(year) = name.and_then(|name| name.strip_suffix(".js")?.parse().ok()) {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            years.insert(year, pack::zones(&text)?.into_iter().collect());
        }
    }
    ensure!(years.keys().copied().eq(YEARS), "the package has the years {:?}", years.keys());
    Ok(years)
}

/// `hour,ZONE,…`: a line for each hour of a year, gzipped or not.
fn hourly(path: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&*bytes).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().context("an empty file")?.split(',').skip(1).collect();
    let mut columns = vec![Vec::new(); head.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',').skip(1)) {
            // A gap is no value.
            column.extend(cell.parse::<f64>().ok().filter(|value| value.is_finite()));
        }
    }
    let over_mean = |values: Vec<f64>| {
        let all = mean(values.iter().copied());
        values.into_iter().map(|value| value / all).collect()
    };
    Ok(head.into_iter().map(str::to_owned).zip(columns.into_iter().map(over_mean)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_strictly() {
        let options = Options::parse(&["--hourly", "h.csv", "--packages", "p", "--check"]).unwrap();
        assert!(options.check && options.hourly.is_some() && options.packages == Path::new("p"));
        for wrong in [&["--hourly"][..], &["--yearly", "1"]] {
            assert!(Options::parse(wrong).is_err());
        }
    }

    #[test]
    fn a_miss_is_inside_up_to_the_ends_of_the_interval() {
        // ln(1, 0.5): from 0.354 to 2.26.
        for (ratio, expected) in [(0.35f64, 0.0), (0.36, 1.0), (2.25, 1.0), (2.27, 0.0)] {
            assert!((inside(ratio.ln(), 0.5) - expected).abs() < 0.5, "{ratio}");
        }
    }

    #[test]
    fn what_sets_a_spread_is_not_what_tests_it() {
        assert!(SET.iter().all(|year| YEARS.contains(year) && !TESTED.contains(year)));
    }

    #[test]
    fn a_zone_that_always_missed_by_as_much_has_that_as_its_level() {
        let zone =
            |value: f64| BTreeMap::from([("DE".to_owned(), value), ("FR".to_owned(), 100.0)]);
        let yearly = YEARS.iter().map(|year| (*year, zone(200.0))).collect();
        let row = Row { year: 2023, g_per_kwh: 100.0 };
        let rows = BTreeMap::from([("DE".to_owned(), row), ("FR".to_owned(), row)]);
        let hours = BTreeMap::from([("DE".to_owned(), vec![0.5, 1.5])]);
        let spreads = Data { rows, yearly, hours }.spreads(&YEARS);
        // 5 ln(2)² over 6, since an ordinary zone here misses by nothing; and Student's with 6 degrees of freedom.
        assert!(
            (spreads.level["DE"] - 2f64.ln() * (5.0f64 / 6.0).sqrt() * 2.447 / Z95).abs() < 1e-9
        );
        assert!(spreads.drift.abs() < 1e-9 && (spreads.hours("FR") - 0.5).abs() < 1e-9);
    }
}
