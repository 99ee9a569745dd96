//! Embodied carbon of hardware, and the part of it that a span of use is charged with.
//!
//! * [`device`], [`devices`]: the built-in table, `data/embodied-devices.csv`, with its sources.
//! * [`Hardware`]: what a user names, with its total and how well that is known: a device of the table, a server
//!   of parts by the rule of Cloud Carbon Footprint, a CPU by its die, or a stated total.
//! * [`amortised_g`]: ISO/IEC 21031, `M = TE · (TiR / EL) · (RR / ToR)`.
//!
//! A device that is not known is an error with near matches: never 0, and never some other device. A total
//! without an uncertainty of its own gets a prior.
//!
//! Out of scope: carbon of use; of the building; and of what happens to hardware afterwards.

use std::fmt;
use std::str::FromStr;

use crate::decimal::round9;
use crate::tables::{did_you_mean, fields, nearest, similarity};
use crate::uncertainty::Distribution;
use crate::uncertainty::text::{Quantity, TextError};

const DEVICES: &str = include_str!("../data/embodied-devices.csv");

/// Hours of a year, as Cloud Carbon Footprint and ISO/IEC 21031's examples count: four years are 35,040.
pub const YEAR_HOURS: f64 = 8_760.0;

/// The true total lies within a factor of 2 of the stated one with 95 %. Prior: published figures of like
/// devices differ by that much.
const FACTOR: f64 = 2.0;

/// Memory that the baseline of the rule has, in GB (Cloud Carbon Footprint, methodology, embodied emissions).
const BASELINE_MEMORY_GB: f64 = 16.0;

/// kg per mm² of die, and kg per CPU besides (Boavizta API 2.5.0, its method for CPUs; facts).
const DIE_KG_PER_MM2: f64 = 0.0197;
const CPU_BASE_KG: f64 = 9.14;

/// The largest number of pieces of one kind, of GB, and of mm²: more is a slip of the pen.
const COUNT_MAX: f64 = 1e6;

/// Longest text that is read.
const TEXT_MAX: usize = 120;

/// How similar a name must be to be a near match, and how many of them an error names.
const NEAR: f64 = 0.8;
const NEAR_MAX: usize = 5;

/// Why a text names no hardware.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing by that name.
    #[error("no embodied carbon is known of {name:?}{}", near_text(.near))]
    Unknown {
        /// What was typed.
        name: String,
        /// Devices that resemble it, best first.
        near: Vec<String>,
    },
    /// A text that is none.
    #[error("cannot read {text:?} as {}", what.name())]
    Text {
        /// What was typed.
        text: String,
        /// What it was to be.
        what: Expected,
    },
    /// A total that is no mass of carbon.
    #[error("the total of {name}: {error}")]
    Total {
        /// Whose.
        name: String,
        /// Why.
        error: Box<TextError>,
    },
    /// A total that is negative in part.
    #[error("the total of {0} can be negative")]
    Negative(String),
}

/// What a text was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// [`Hardware`], or the part of its text that is named.
    Hardware(&'static str),
    /// A [`Lifetime`].
    Lifetime,
    /// A [`Portion`].
    Portion,
}

impl Expected {
    fn name(self) -> &'static str {
        match self {
            Self::Hardware(part) => part,
            Self::Lifetime => "a lifetime",
            Self::Portion => "a share",
        }
    }
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() {
        let known: Vec<_> = devices().map(|device| device.name).collect();
        return format!("; known are {}", known.join(", "));
    }
    did_you_mean(near)
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Device {
    /// Its name in options and records.
    pub name: &'static str,
    /// Of making it, in kgCO2e.
    pub total_kg: f64,
    /// With 95 % the truth lies within this factor.
    pub factor95: f64,
    /// Over how long it is usually written off.
    pub life: Lifetime,
    /// Short name of the source; the head of the table has the long one.
    pub source: &'static str,
    /// What is counted.
    pub what: &'static str,
}

/// Long names of the sources; the head of the table says more.
const SOURCES: [(&str, &str); 5] = [
    ("A100", "Chien and others, HotCarbon 2023"),
    ("CCF", "Cloud Carbon Footprint, embodied coefficients"),
    ("EcoDiag", "CNRS GDS EcoInfo, EcoDiag 2022"),
    ("H100", "NVIDIA, HGX H100 carbon footprint summary, 2025"),
    ("R740", "Dell, life cycle assessment of the R740, 2019"),
];

impl Device {
    /// The long name of its source.
    pub fn citation(&self) -> &'static str {
        let found = SOURCES.iter().find(|(short, _)| *short == self.source);
        found.map_or(self.source, |(_, long)| long)
    }
}

/// The built-in devices.
pub fn devices() -> impl Iterator<Item = Device> {
    fields(DEVICES).filter_map(|[name, total_kg, factor95, hours, source, what]| {
        let (total_kg, factor95) = (total_kg.parse().ok()?, factor95.parse().ok()?);
        let life = Lifetime { hours: hours.parse().ok()? };
        Some(Device { name, total_kg, factor95, life, source, what })
    })
}

/// The device of that name, without regard to case, blanks and underscores.
///
/// # Errors
/// When there is none, with near matches.
///
/// ```
/// use carbon_ops_estimate::embodied::device;
/// assert!((device("H100")?.total_kg - 1312.0 / 8.0).abs() < 1e-12);
/// assert!(device("h-100").unwrap_err().to_string().contains("h100"));
/// # Ok::<(), carbon_ops_estimate::embodied::Error>(())
/// ```
pub fn device(name: &str) -> Result<Device, Error> {
    let wanted = key(name);
    devices().find(|device| device.name == wanted).ok_or_else(|| {
        let of = |device: Device| (likeness(device.name, &wanted), device.name.to_owned());
        let near = nearest(devices().map(of), NEAR).take(NEAR_MAX).collect();
        Error::Unknown { name: short(name), near }
    })
}

/// Of two names as a whole; or full, where a longer one ends in it, as `nvidia-a100` does.
fn likeness(name: &str, wanted: &str) -> f64 {
    if wanted.split(['-', '(']).any(|part| part == name) {
        return 1.0;
    }
    similarity(name, wanted)
}

fn key(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', ' '], "-")
}

fn short(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).collect()
}

/// A CPU by the area of its die, in kgCO2e: 9.14 kg and 0.0197 kg for each mm².
fn die_kg(area_mm2: f64) -> f64 {
    CPU_BASE_KG + DIE_KG_PER_MM2 * area_mm2
}

/// A lognormal of mean 1 whose central 95 % are as wide as from 1/factor to factor.
///
/// # Errors
/// When the factor is not above 1.
pub fn within_factor(factor: f64) -> Result<Distribution, crate::uncertainty::Error> {
    // 1.959964: the 97.5 % quantile of the normal; ends at ±1.96 σ of the logarithm.
    let sigma = libm::log(factor) / 1.959_963_984_540_054;
    let cv = round9(libm::sqrt(libm::expm1(sigma * sigma)));
    Ok(Distribution::Lognormal { mean: 1.0, cv }.checked()?)
}

/// Hardware with its embodied carbon.
///
/// As text: `h100`, `8*h100`, `server(cpus=2, memory=256, ssd=2, hdd=0, gpu=0)`, `cpu(die=694)`; with a total of
/// its own `my box=1200kg ± 30%`. A total without an uncertainty is known within a factor of two.
///
/// ```
/// use carbon_ops_estimate::embodied::Hardware;
/// let cards: Hardware = "8*h100".parse()?;
/// assert!((cards.total_kg - 1312.0).abs() < 1e-9);
/// assert_eq!(cards.shared, "embodied:h100");
/// let own: Hardware = "my box = ln(1200kg, 30%)".parse()?;
/// assert_eq!(own.relative.to_string(), "ln(1, 0.3)");
/// # Ok::<(), carbon_ops_estimate::embodied::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Hardware {
    /// What it is, as the record names it.
    pub name: String,
    /// Of making it, in kgCO2e: the mean.
    pub total_kg: f64,
    /// How well that is known: of mean 1.
    pub relative: Distribution,
    /// Over how long it is usually written off.
    pub life: Lifetime,
    /// Hardware with equal keys shares its error.
    pub shared: String,
    /// Where the total comes from.
    pub source: String,
}

impl FromStr for Hardware {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(unreadable(text, "hardware"));
        }
        // An `=` inside of the name's parentheses belongs to a part.
        let parts = text.split(['=', ')']).next().is_some_and(|head| head.contains('('));
        let from = if parts { text.find(')').unwrap_or(text.len()) } else { 0 };
        let at = text.get(from..).and_then(|rest| rest.find('='));
        let (name, total) = text.split_at(at.map_or(text.len(), |at| from + at));
        let (name, total) = (name.trim(), total.strip_prefix('='));
        let (count, kind) = match name.split_once('*') {
            Some((count, kind)) => (number(count, name)?, kind.trim()),
            None => (1.0, name),
        };
        if kind.is_empty() {
            return Err(unreadable(text, "hardware"));
        }
        let one = match total {
            Some(total) => Self::stated(kind, total)?,
            None => Self::built_in(kind)?,
        };
        Ok(Self { name: short(name), total_kg: round9(count * one.total_kg), ..one })
    }
}

impl Hardware {
    fn stated(name: &str, total: &str) -> Result<Self, Error> {
        let grams = Quantity::Carbon
            .read(total.trim())
            .map_err(|error| Error::Total { name: short(name), error: Box::new(error) })?;
        let mean = grams.mean();
        let relative = match grams {
            Distribution::Point { .. } => within_factor(FACTOR).ok(),
            other if mean > 0.0 => other.over_mean().valid().ok(),
            _ => None,
        };
        let negative = || Error::Negative(short(name));
        let relative = relative.filter(|_| mean > 0.0 && mean.is_finite()).ok_or_else(negative)?;
        // A normal of a tenth of a percent below zero is one that the text meant as positive.
        if relative.cdf(0.0) > 1e-3 {
            return Err(negative());
        }
        let source = match grams {
            Distribution::Point { .. } => "flag; prior: within a factor of 2".to_owned(),
            other => format!("flag: {}", Quantity::Carbon.echo(&other)),
        };
        let life = device(name).map_or(Lifetime::default(), |device| device.life);
        Ok(Self {
            name: short(name),
            total_kg: mean / 1000.0,
            relative,
            life,
            shared: format!("embodied:flag:{}", short(&key(name))),
            source,
        })
    }

    fn built_in(kind: &str) -> Result<Self, Error> {
        let of = |device: &Device, total_kg: f64, by: &str| {
            let relative = within_factor(device.factor95)
                .map_err(|_| unreadable(kind, "a device of the table"))?;
            Ok(Self {
                name: short(kind),
                total_kg,
                relative,
                life: device.life,
                shared: format!("embodied:{}", device.name),
                source: format!(
                    "{}{by}, within a factor of {}",
                    device.citation(),
                    device.factor95
                ),
            })
        };
        let Some((kind, parts)) = kind.split_once('(') else {
            let device = device(kind)?;
            return of(&device, device.total_kg, "");
        };
        let parts =
            parts.trim_end().strip_suffix(')').ok_or_else(|| unreadable(kind, "hardware"))?;
        match key(kind).as_str() {
            "server" => of(&device("server")?, server_kg(parts)?, " rule for servers"),
            "cpu" => {
                let areas = pairs(parts)?;
                let Some((_, area)) =
                    areas.last().filter(|_| areas.iter().all(|(name, _)| *name == "die"))
                else {
                    return Err(unreadable(parts, "a die"));
                };
                let device = Device { source: "Boavizta API 2.5.0", ..device("cpu")? };
                of(&device, die_kg(*area), " rule for dies")
            }
            other => Err(device(other).err().unwrap_or_else(|| unreadable(other, "hardware"))),
        }
    }
}

/// A server by its parts, after Cloud Carbon Footprint: a baseline with one CPU and 16 GB of memory, and so much for
/// each further part.
fn server_kg(parts: &str) -> Result<f64, Error> {
    let (mut cpus, mut memory_gb, [mut ssds, mut hdds, mut gpus]) = (1.0, 0.0, [0.0; 3]);
    for (name, value) in pairs(parts)? {
        let count = || {
            Some(value)
                .filter(|value| value.fract() == 0.0)
                .ok_or_else(|| unreadable(parts, "a number of parts"))
        };
        match name {
            "cpus" | "cpu" => cpus = count()?,
            "memory" => memory_gb = value,
            "ssd" | "ssds" => ssds = count()?,
            "hdd" | "hdds" => hdds = count()?,
            "gpu" | "gpus" => gpus = count()?,
            _ => return Err(unreadable(parts, "the parts of a server")),
        }
    }
    let kg = |name: &str| device(name).map(|device| device.total_kg);
    Ok(kg("server")?
        + f64::max(cpus - 1.0, 0.0) * kg("cpu")?
        + f64::max(memory_gb - BASELINE_MEMORY_GB, 0.0) * kg("memory-gb")?
        + ssds * kg("ssd")?
        + hdds * kg("hdd")?
        + gpus * kg("gpu")?)
}

/// `name=value, …`; of a value, `GB` and `mm2` may follow.
fn pairs(parts: &str) -> Result<Vec<(&str, f64)>, Error> {
    fn pair(part: &str) -> Option<(&str, f64)> {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        let value = value.strip_suffix("GB").or_else(|| value.strip_suffix("mm2")).unwrap_or(value);
        let value: f64 = value.trim().parse().ok()?;
        (0.0..=COUNT_MAX).contains(&value).then_some((name.trim(), value))
    }
    let pairs: Option<_> = parts.split(',').map(pair).collect();
    pairs.ok_or_else(|| unreadable(parts, "parts"))
}

fn number(text: &str, whole: &str) -> Result<f64, Error> {
    let number: Option<f64> = text.trim().parse().ok();
    number
        .filter(|number| *number > 0.0 && *number <= COUNT_MAX)
        .ok_or_else(|| unreadable(whole, "a number of pieces"))
}

fn unreadable(text: &str, part: &'static str) -> Error {
    Error::Text { text: short(text), what: Expected::Hardware(part) }
}

/// Over how long hardware is written off: the expected life, EL.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Lifetime {
    hours: f64,
}

/// Four years (Cloud Carbon Footprint).
impl Default for Lifetime {
    fn default() -> Self {
        Self { hours: 4.0 * YEAR_HOURS }
    }
}

impl Lifetime {
    /// From hours; `None` unless above 0 and below a thousand years.
    pub fn from_hours(hours: f64) -> Option<Self> {
        (hours > 0.0 && hours <= 1000.0 * YEAR_HOURS).then_some(Self { hours })
    }

    /// In hours.
    pub fn as_hours(self) -> f64 {
        self.hours
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h", self.hours)
    }
}

/// `4y` (of 8,760 h), `1460d`, `35040h`.
impl FromStr for Lifetime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let units = [("y", YEAR_HOURS), ("d", 24.0), ("h", 1.0)];
        let hours = units.iter().find_map(|(unit, hours)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(number * hours)
        });
        hours
            .and_then(Self::from_hours)
            .ok_or_else(|| Error::Text { text: short(text), what: Expected::Lifetime })
    }
}

/// Which part of the hardware a span has for itself: resources reserved over all there are, `RR / ToR`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Portion(f64);

/// All of it.
impl Default for Portion {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Portion {
    /// From a number; `None` unless it is 0 to 1.
    pub fn new(portion: f64) -> Option<Self> {
        (0.0..=1.0).contains(&portion).then_some(Self(portion))
    }

    /// The number, 0 to 1.
    pub fn as_ratio(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `0.5`, `50%`, `2/16`.
impl FromStr for Portion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let portion = match (text.split_once('/'), text.trim().strip_suffix('%')) {
            (Some((part, whole)), _) => number(part).zip(number(whole)).map(|(a, b)| a / b),
            (None, Some(percent)) => number(percent).map(|percent| percent / 100.0),
            (None, None) => number(text),
        };
        portion
            .and_then(Self::new)
            .ok_or_else(|| Error::Text { text: short(text), what: Expected::Portion })
    }
}

/// What a time of use is charged with, in gCO2e: `1000 · TE · (TiR / EL) · (RR / ToR)`, TE in kg and the time
/// reserved, `TiR`, in hours (ISO/IEC 21031:2024, embodied emissions).
///
/// ```
/// use carbon_ops_estimate::embodied::{Lifetime, Portion, amortised_g};
/// // The standard's own: 1000 kg over four years, one hour.
/// let hour = amortised_g(1000.0, 1.0, Lifetime::default(), Portion::default());
/// assert!((hour - 28.5388).abs() < 5e-5);
/// ```
pub fn amortised_g(total_kg: f64, reserved_hours: f64, life: Lifetime, share: Portion) -> f64 {
    let part = reserved_hours / life.as_hours();
    1000.0 * total_kg * part * share.as_ratio()
}

#[cfg(test)]
mod tests;
