//! Record v1: one workload, its energy, its carbon, and everything that they were derived from.
//!
//! The members and their names are fixed: `schema_version` 1 refuses members that it does not know,
//! and an addition raises the version. Integers are measured, doubles are derived and rounded to
//! nine significant digits; [`Record::check`] derives them again from the integers and the inputs.
//!
//! Order of evaluation, in IEEE-754 double arithmetic. Each line is rounded by
//! [`round9`](crate::uncertainty::round9), and the next one starts from the rounded value, so that
//! anyone can follow the arithmetic with the numbers that stand in the record:
//!
//! * `energy_kwh = workload_uj / 3.6e12`
//! * `pue_used`, `intensity_g_per_kwh` = means of the inputs named so
//! * `total_energy_with_pue_kwh = energy_kwh · pue_used`
//! * `grams = total_energy_with_pue_kwh · intensity_g_per_kwh`; all other factors have mean 1
//! * `uncertainty_pct = 100 · u / m`, `ci_lower_g = grams · q₁ / m`, `ci_upper_g = grams · q₂ / m`,
//!   where m, u, q₁, q₂ are mean, standard uncertainty and quantiles of the product of all inputs:
//!   see [`crate::uncertainty`]
//!
//! Deliberately absent: the ledger's own members (`ledger_id`, `seq`, `prev_hash`, the signature),
//! which the ledger adds and takes away; bytes, hashes and keys.

pub mod continuity;

use std::collections::{BTreeMap, BTreeSet};

use carbon_ops_units::{Bounded, GramsCo2e, KilowattHours, Microjoules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decimal::round9;
use crate::uncertainty::{Distribution, LEVEL, Outcome, product};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }
        impl $name {
            /// The word that stands in records.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

pub mod any;
pub mod totals;
pub mod v2;

/// The version that this module writes and reads.
pub const SCHEMA_VERSION: u64 = 1;

/// Method name of the interval in records.
pub const METHOD: &str = "analytical_truncated";

/// A time as records hold it.
const TIME_PATTERN: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";

/// Largest integer that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A quantity that cannot be negative may be called normal from so many standard deviations above 0.
const NORMAL_MIN: f64 = 6.0;

/// Backend, and sensor, of what is not shared by CPU time.
const GPUS: &str = "nvml";

/// Limits that keep a record far below the ledger's 65,535 bytes.
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 256;
const LIST_MAX: usize = 256;

/// A carbon record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// CPU time of the workload over busy CPU time of the machine, 0 to 1.
    pub allocation_ratio: f64,
    /// How the workload's share was found.
    pub attribution_mode: AttributionMode,
    /// Kernel's boot id, without hyphens; counters of different boots are not comparable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Share of the window that the counters covered, in percent, 0 to 100.
    pub coverage_pct: f64,
    /// CPU time of the whole machine in the window, when the share was found by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// What was counted or modelled, each name once; their energies sum to the host's.
    pub domains: Vec<Domain>,
    /// Length of the window by the monotonic clock, in ns.
    pub elapsed_ns: Decimal,
    /// End of the window: UTC, six decimals.
    #[schemars(extend("pattern" = TIME_PATTERN))]
    pub end_ts: String,
    /// Energy in µJ: `host = workload + others + idle`, exactly.
    pub energy: Energy,
    /// Energy of the workload in kWh.
    pub energy_kwh: f64,
    /// Zones that were seen and not counted.
    pub excluded: Vec<Excluded>,
    /// Spans that a counter did not cover by itself.
    pub gaps: Vec<Gap>,
    /// Emissions of the workload in gCO2e: the mean of the model.
    pub grams: f64,
    /// Keyed hash of the machine's id.
    pub host_id: String,
    /// How idle energy is treated; `residual` leaves it to the machine.
    pub idle_policy: IdlePolicy,
    /// Every input of the estimate, with its distribution and source.
    pub inputs: Vec<Input>,
    /// Grid intensity in gCO2e/kWh: the mean of the input `intensity`.
    pub intensity_g_per_kwh: f64,
    /// Always `carbon_ops`.
    pub kind: RecordKind,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// The interval.
    pub meta: Meta,
    /// What was modelled, when counters could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// What else a reader should know, as words of a fixed vocabulary.
    pub notes: Vec<String>,
    /// Power usage effectiveness: the mean of the input `pue`.
    pub pue_used: f64,
    /// The weakest link: `measured`, `estimated` or `fallback`.
    pub quality_flag: Quality,
    /// Grid zone: an ISO 3166-1 alpha-2 code, or `world`.
    pub region: String,
    /// 1.
    #[schemars(extend("const" = 1))]
    pub schema_version: u64,
    /// The sensors that were tried, best first; exactly one was used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensors: Vec<Sensor>,
    /// What the intensity counts.
    pub signal: String,
    /// True when the energy was not this machine's own: a simulated or foreign sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// Where the intensity comes from.
    pub source: String,
    /// Start of the window: UTC, six decimals.
    #[schemars(extend("pattern" = TIME_PATTERN))]
    pub start_ts: String,
    /// Program and version that wrote the record.
    pub tool: String,
    /// Energy with that of the site's cooling and supply, in kWh.
    pub total_energy_with_pue_kwh: f64,
    /// Always `carbon_estimate`.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// Standard uncertainty (k = 1) of `grams` in percent of it.
    pub uncertainty_pct: f64,
    /// What was run.
    pub workload: Workload,
}

/// A whole number of any size, written as a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^(0|[1-9][0-9]{0,19})$"))]
pub struct Decimal(pub u64);

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number: u64 = text.parse().map_err(serde::de::Error::custom)?;
        if number.to_string() == text {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom(format!("{text:?} is not a plain decimal number")))
        }
    }
}

words! {
    /// How the workload's share was found.
    AttributionMode {
        /// Counters read without a governor, split by CPU time.
        CpuTime = "cpu_time",
        /// The governor's totals, split by CPU time.
        GovernorCpuTime = "governor_cpu_time",
        /// The governor's totals, all of them the workload's.
        GovernorEnergy = "governor_energy",
        /// No counters: a model.
        MonitorOnly = "monitor_only",
    }
}
words! {
    /// How idle energy is treated.
    IdlePolicy {
        /// Idle energy belongs to the machine; the workload gets its share of what exceeds it.
        Residual = "residual",
    }
}
words! {
    /// What stands behind the numbers, ordered from best to worst.
    Quality {
        /// Counters over the whole window, and a known grid.
        Measured = "measured",
        /// A model, or counters with interpolation or a filled gap.
        Estimated = "estimated",
        /// Neither the processor nor the grid, or one of them, is known.
        Fallback = "fallback",
    }
}
words! {
    /// Who wrote the record.
    RecordKind {
        /// This project.
        CarbonOps = "carbon_ops",
    }
}
words! {
    /// What the record is.
    RecordType {
        /// Energy and carbon of a workload.
        CarbonEstimate = "carbon_estimate",
    }
}
words! {
    /// Shape of an input's distribution.
    Shape {
        /// Exact.
        Point = "point",
        /// Normal: `mean`, `sd`; the mean at least 6 standard deviations above 0.
        Normal = "n",
        /// Truncated normal: the parent's `mu` and `sigma`, `min`, `max`.
        TruncatedNormal = "tn",
        /// Lognormal: arithmetic `mean`, `cv`.
        Lognormal = "ln",
        /// Uniform: `low`, `high`.
        Uniform = "u",
    }
}
words! {
    /// What became of a sensor.
    SensorStatus {
        /// The energy comes from it.
        Used = "used",
        /// It could have been used; a better one was.
        Available = "available",
        /// The machine does not have it.
        Absent = "absent",
        /// It may not be read.
        Denied = "denied",
        /// It was read but gave nothing usable.
        Failed = "failed",
    }
}

/// CPU time of the machine in the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Busy time over all CPUs, in ns, as the kernel's ticks tell it.
    pub busy_ns: Decimal,
    /// CPUs online.
    pub count: u64,
}

/// One summand of the host's energy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// What the estimate adds to the counter's difference, in µJ; absent when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust_uj: Option<i64>,
    /// `sysfs`, `governor`, `model`, …
    pub backend: String,
    /// Difference of the totals, in µJ; for a model the modelled energy.
    pub delta_uj: u64,
    /// Total at the end, in µJ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_uj: Option<Decimal>,
    /// When the total began anew, in milliseconds since boot: by its first reading, or by a break that
    /// hides unknown energy. Totals of one domain in one boot may be subtracted when it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Decimal>,
    /// `package-0`, `dram-0`, `cpu`, `memory`.
    pub name: String,
    /// Total at the start, in µJ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_uj: Option<Decimal>,
    /// Wraps of the counter that were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<u64>,
}

/// The host's energy and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// All counted domains.
    pub host_uj: u64,
    /// What the machine would have drawn idle.
    pub idle_uj: u64,
    /// All other processes.
    pub others_uj: u64,
    /// The workload.
    pub workload_uj: u64,
}

/// A zone that was not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Excluded {
    /// The zone's name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Name of its directory.
    pub zone: String,
}

/// A span that a counter did not cover by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Whether a later reading carried the energy, so that none had to be filled in.
    pub bridged: bool,
    /// Which domain.
    pub domain: String,
    /// Length in ns.
    pub duration_ns: Decimal,
    /// Start, in ns from the start of the window.
    pub offset_ns: Decimal,
    /// Why.
    pub reason: String,
}

/// An input of the estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Coefficient of variation (`ln`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cv: Option<f64>,
    /// Shape.
    pub dist: Shape,
    /// Upper end (`u`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Lower end (`u`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper bound (`tn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Arithmetic mean (`point`, `n`, `ln`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Lower bound (`tn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Parent's mean (`tn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mu: Option<f64>,
    /// `pue` and `intensity` once each; others are factors of mean 1.
    pub name: String,
    /// Standard deviation (`n`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
    /// Inputs of different records with the same key depend on one random variable: they are off in
    /// the same direction, each by its own amount. No key occurs twice in a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// Parent's standard deviation (`tn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// −1 where this factor falls when the variable named by `shared` rises; absent for +1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<i8>,
    /// Where it comes from.
    pub source: String,
}

/// The coverage interval of `grams`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Lower end, gCO2e.
    pub ci_lower_g: f64,
    /// Upper end, gCO2e.
    pub ci_upper_g: f64,
    /// Coverage probability in percent.
    pub confidence_level_pct: f64,
    /// How it was computed.
    pub method: String,
}

/// What the power model knew and what the published models said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The processor as it names itself.
    pub cpu: String,
    /// Each published model's figures for this window.
    pub estimates: Vec<ModelEstimate>,
    /// Microarchitecture, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// Version of the tables.
    pub table: String,
    /// Where the TDP comes from: `given`, `name`, `family` or `unknown`.
    pub tdp_basis: String,
    /// Thermal design power of these CPUs, in W.
    pub tdp_watts: f64,
    /// CPUs that the model was applied to.
    pub vcpus: u64,
}

/// One published model's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEstimate {
    /// Energy of the processor in µJ.
    pub cpu_uj: u64,
    /// Which model.
    pub name: String,
    /// Energy of the workload in µJ.
    pub workload_uj: u64,
}

/// A sensor that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// `governor`, `sysfs`, `model`.
    pub name: String,
    /// Why it was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of it.
    pub status: SensorStatus,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Arguments; kept only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// CPU time of all processes of the workload, in ns.
    pub cpu_time_ns: Decimal,
    /// Exit code; 128 + n for signal n.
    pub exit_code: u64,
    /// Base name of the program.
    pub program: String,
    /// Descendants still alive at the end of the window; their CPU time so far is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Number of the signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u64>,
}

/// Why a record is not a valid record v1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the members and types of record v1.
    #[error("not a record of schema version 1: {0}")]
    Shape(String),
    /// Not the members and types of record v2.
    #[error("not a record of schema version 2: {0}")]
    ShapeOfV2(String),
    /// A rule that ties members together does not hold.
    #[error("{member}: {rule}")]
    Rule {
        /// The member that is wrong, or one of them.
        member: &'static str,
        /// What should hold.
        rule: String,
    },
    /// The inputs admit no estimate.
    #[error(transparent)]
    Uncertainty(#[from] crate::uncertainty::Error),
}

fn rule(member: &'static str, rule: impl Into<String>) -> Error {
    Error::Rule { member, rule: rule.into() }
}

/// What [`estimate`] derives; all rounded to nine digits.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// What follows from means alone.
    pub prices: Prices,
    /// See [`Record::uncertainty_pct`].
    pub uncertainty_pct: f64,
    /// See [`Record::meta`].
    pub meta: Meta,
}

/// The chain from energy to grams, each link rounded before the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// See [`Record::energy_kwh`].
    pub energy_kwh: f64,
    /// See [`Record::pue_used`].
    pub pue_used: f64,
    /// See [`Record::intensity_g_per_kwh`].
    pub intensity_g_per_kwh: f64,
    /// See [`Record::total_energy_with_pue_kwh`].
    pub total_energy_with_pue_kwh: f64,
    /// See [`Record::grams`].
    pub grams: f64,
}

/// Prices the workload's energy with the inputs: the one place where a record's doubles are made.
///
/// # Errors
/// When `pue` or `intensity` is missing or doubled, when another factor's mean is not 1, or when
/// the inputs admit no interval.
pub fn estimate(workload_uj: u64, inputs: &[Input]) -> Result<Derived, Error> {
    let (pue, intensity, factors) = means(inputs)?;
    let prices = Prices::of(workload_uj, pue, intensity);
    let Outcome { mean, standard, low, high } = product(1.0, &factors)?;
    let relative = |quantile: f64| if mean > 0.0 { quantile / mean } else { 0.0 };
    Ok(Derived {
        prices,
        uncertainty_pct: round9(100.0 * relative(standard)),
        meta: Meta {
            ci_lower_g: round9(prices.grams * relative(low)),
            ci_upper_g: round9(prices.grams * relative(high)),
            confidence_level_pct: round9(100.0 * LEVEL),
            method: METHOD.to_owned(),
        },
    })
}

/// PUE and intensity, and all factors; every rule on the list of inputs.
fn means(inputs: &[Input]) -> Result<(f64, f64, Vec<Distribution>), Error> {
    let mean_of = |name| -> Result<f64, Error> {
        let mut found = inputs.iter().filter(|input| input.name == name);
        match (found.next(), found.next()) {
            (Some(input), None) => Ok(input.distribution()?.mean()),
            _ => Err(rule("inputs", format!("exactly one input is named {name}"))),
        }
    };
    let (pue, intensity) = (mean_of("pue")?, mean_of("intensity")?);
    if pue < 1.0 {
        return Err(rule("inputs", "the mean of pue is at least 1"));
    }
    let mut factors = Vec::new();
    let mut keys = BTreeSet::new();
    for input in inputs {
        let factor = input.distribution()?;
        let of_mean_one = !["pue", "intensity"].contains(&input.name.as_str());
        if of_mean_one && (factor.mean() - 1.0).abs() > 1e-9 {
            return Err(rule("inputs", format!("the mean of {} is 1", input.name)));
        }
        if input.shared.as_ref().is_some_and(|key| !keys.insert(key)) {
            return Err(rule("inputs", format!("the key of {} occurs once", input.name)));
        }
        factors.push(factor);
    }
    Ok((pue, intensity, factors))
}

impl Prices {
    fn of(workload_uj: u64, pue: f64, intensity: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 by Record::check")]
        Self::of_kilowatt_hours(workload_uj as f64 / 3.6e12, pue, intensity)
    }

    /// The chain from any energy.
    pub fn of_kilowatt_hours(kilowatt_hours: f64, pue: f64, intensity: f64) -> Self {
        let energy_kwh = round9(kilowatt_hours);
        let pue_used = round9(pue);
        let intensity_g_per_kwh = round9(intensity);
        let total_energy_with_pue_kwh = round9(energy_kwh * pue_used);
        let grams = round9(total_energy_with_pue_kwh * intensity_g_per_kwh);
        Self { energy_kwh, pue_used, intensity_g_per_kwh, total_energy_with_pue_kwh, grams }
    }
}

impl Input {
    /// An input by its distribution; parameters are rounded to nine digits, so that the record
    /// holds exactly what was computed with.
    pub fn new(name: &str, distribution: Distribution, source: impl Into<String>) -> Self {
        let mut input = Self {
            cv: None,
            dist: Shape::Point,
            high: None,
            low: None,
            max: None,
            mean: None,
            min: None,
            mu: None,
            name: name.to_owned(),
            sd: None,
            shared: None,
            sigma: None,
            sign: None,
            source: source.into(),
        };
        match distribution {
            Distribution::Point { mean } => input.mean = Some(round9(mean)),
            Distribution::Lognormal { mean, cv } => {
                input.dist = Shape::Lognormal;
                (input.mean, input.cv) = (Some(round9(mean)), Some(round9(cv)));
            }
            Distribution::TruncatedNormal { mu, sigma, min, max } => {
                input.dist = Shape::TruncatedNormal;
                (input.mu, input.sigma) = (Some(round9(mu)), Some(round9(sigma)));
                (input.min, input.max) = (Some(round9(min)), max.map(round9));
            }
            Distribution::Uniform { low, high } => {
                input.dist = Shape::Uniform;
                (input.low, input.high) = (Some(round9(low)), Some(round9(high)));
            }
            Distribution::Normal { mean, sd } => {
                input.dist = Shape::Normal;
                (input.mean, input.sd) = (Some(round9(mean)), Some(round9(sd)));
            }
            // Record v1 has no word for others. An input without parameters is refused by every
            // check of a record.
            _ => {}
        }
        input
    }

    /// The same input, sharing its error with every input of that key.
    #[must_use]
    pub fn shared(mut self, key: impl Into<String>) -> Self {
        self.shared = Some(key.into());
        self
    }

    /// The same input, falling where the shared variable rises.
    #[must_use]
    pub fn opposed(mut self) -> Self {
        self.sign = Some(-1);
        self
    }

    /// The distribution that the members describe.
    ///
    /// # Errors
    /// When members are missing, superfluous or impossible.
    pub fn distribution(&self) -> Result<Distribution, Error> {
        let Self { cv, high, low, max, mean, min, mu, sd, sigma, .. } = *self;
        let distribution = match (self.dist, [mean, cv, mu, sigma, min, low, high, sd]) {
            (Shape::Point, [Some(mean), None, None, None, None, None, None, None]) => {
                Distribution::Point { mean }
            }
            (Shape::Lognormal, [Some(mean), Some(cv), None, None, None, None, None, None]) => {
                Distribution::Lognormal { mean, cv }
            }
            // Cutting it off at 0 changes nothing that doubles could show.
            (Shape::Normal, [Some(mean), None, None, None, None, None, None, Some(sd)])
                if mean >= NORMAL_MIN * sd =>
            {
                Distribution::TruncatedNormal { mu: mean, sigma: sd, min: 0.0, max: None }
            }
            (
                Shape::TruncatedNormal,
                [None, None, Some(mu), Some(sigma), min, None, None, None],
            ) => Distribution::TruncatedNormal { mu, sigma, min: min.unwrap_or(0.0), max },
            (Shape::Uniform, [None, None, None, None, None, Some(low), Some(high), None]) => {
                Distribution::Uniform { low, high }
            }
            _ => {
                let name = &self.name;
                let shape = self.dist.as_str();
                return Err(rule("inputs", format!("{name} has the parameters of {shape}")));
            }
        };
        if self.sign.is_some_and(|sign| sign != -1 || self.shared.is_none()) {
            return Err(rule("inputs", format!("the sign of {} is −1 or left out", self.name)));
        }
        if max.is_some() && self.dist != Shape::TruncatedNormal {
            return Err(rule("inputs", format!("{} has no max", self.name)));
        }
        Ok(distribution.checked()?)
    }
}

impl Record {
    /// Reads a record from the JSON object of a ledger entry, without the ledger's own members, and
    /// checks it.
    ///
    /// # Errors
    /// When a member is missing, unknown or of another type, or when [`Record::check`] fails.
    pub fn from_json(value: serde_json::Value) -> Result<Self, Error> {
        let record: Self =
            serde_json::from_value(value).map_err(|error| Error::Shape(error.to_string()))?;
        record.check()?;
        Ok(record)
    }

    /// Checks every rule that ties members together and derives the doubles again, all but the
    /// uncertainty and the interval's ends, which take an integration: see [`Record::recompute`].
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), Error> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(rule("schema_version", "1"));
        }
        self.check_energy()?;
        self.check_derived()?;
        self.check_text()?;
        if !(0.0..=100.0).contains(&self.coverage_pct) {
            return Err(rule("coverage_pct", "0 to 100"));
        }
        self.check_sensors()
    }

    /// GPUs are measured beside everything else.
    fn check_sensors(&self) -> Result<(), Error> {
        let of_host = self.sensors.iter().filter(|sensor| sensor.name != GPUS);
        let used = of_host.filter(|sensor| sensor.status == SensorStatus::Used).count();
        if used != 1 && !self.sensors.is_empty() {
            return Err(rule("sensors", "exactly one was used, beside that of GPUs"));
        }
        Ok(())
    }

    /// Derives the estimate again from the integers and the inputs and compares every digit, the
    /// interval included.
    ///
    /// # Errors
    /// The first member that differs.
    pub fn recompute(&self) -> Result<(), Error> {
        let derived = estimate(self.energy.workload_uj, &self.inputs)?;
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        for (member, stored, again) in [
            ("uncertainty_pct", self.uncertainty_pct, derived.uncertainty_pct),
            ("ci_lower_g", self.meta.ci_lower_g, derived.meta.ci_lower_g),
            ("ci_upper_g", self.meta.ci_upper_g, derived.meta.ci_upper_g),
            ("grams", self.grams, derived.prices.grams),
        ] {
            if !same(stored, again) {
                return Err(rule(member, format!("{again} by the record's own inputs")));
            }
        }
        Ok(())
    }

    /// Emissions with their coverage interval; `None` where they are zero.
    pub fn carbon(&self) -> Option<Bounded<GramsCo2e>> {
        let Meta { ci_lower_g, ci_upper_g, confidence_level_pct, .. } = self.meta;
        let [low, mean, high] = [ci_lower_g, self.grams, ci_upper_g].map(GramsCo2e::new);
        Bounded::new(mean.ok()?, low.ok()?, high.ok()?, confidence_level_pct / 100.0)
    }

    /// Energy of the workload with its coverage interval: the record's inputs without PUE and
    /// intensity. `None` where it is zero.
    pub fn workload_energy(&self) -> Option<Bounded<KilowattHours>> {
        let grid = ["pue", "intensity"];
        let own = self.inputs.iter().filter(|input| !grid.contains(&input.name.as_str()));
        let factors: Option<Vec<_>> = own.map(|input| input.distribution().ok()).collect();
        let mean = Microjoules::new(self.energy.workload_uj).to_kilowatt_hours();
        let Outcome { low, high, .. } = product(mean.as_kilowatt_hours(), &factors?).ok()?;
        let [low, high] = [low, high].map(KilowattHours::new);
        Bounded::new(mean, low.ok()?, high.ok()?, LEVEL)
    }

    fn check_energy(&self) -> Result<(), Error> {
        let Energy { host_uj, idle_uj, others_uj, workload_uj } = self.energy;
        if host_uj > INTEGER_MAX {
            return Err(rule("energy", "at most 2^53 − 1 µJ"));
        }
        let parts = u128::from(idle_uj) + u128::from(others_uj) + u128::from(workload_uj);
        if parts != u128::from(host_uj) {
            return Err(rule("energy", "host = workload + others + idle"));
        }
        let mut sum = 0i128;
        for domain in &self.domains {
            sum += i128::from(domain.delta_uj) + i128::from(domain.adjust_uj.unwrap_or(0));
            if domain.adjust_uj == Some(0) {
                return Err(rule("domains", "an adjustment of 0 is left out"));
            }
            match (domain.start_uj, domain.end_uj) {
                (Some(start), Some(end)) if end.0.checked_sub(start.0) == Some(domain.delta_uj) => {
                }
                (None, None) => {}
                _ => return Err(rule("domains", "delta = end − start")),
            }
        }
        if sum != i128::from(host_uj) {
            return Err(rule("domains", "their energies sum to host_uj"));
        }
        Ok(())
    }

    fn check_derived(&self) -> Result<(), Error> {
        let (pue, intensity, _) = means(&self.inputs)?;
        let again = Prices::of(self.energy.workload_uj, pue, intensity);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        for (member, stored, again) in [
            ("energy_kwh", self.energy_kwh, again.energy_kwh),
            ("pue_used", self.pue_used, again.pue_used),
            ("intensity_g_per_kwh", self.intensity_g_per_kwh, again.intensity_g_per_kwh),
            (
                "total_energy_with_pue_kwh",
                self.total_energy_with_pue_kwh,
                again.total_energy_with_pue_kwh,
            ),
            ("grams", self.grams, again.grams),
        ] {
            if !same(stored, again) {
                return Err(rule(member, format!("{again} by the record's own inputs")));
            }
        }
        let Meta { ci_lower_g: low, ci_upper_g: high, confidence_level_pct: level, .. } = self.meta;
        if self.grams > 0.0 && !(0.0 <= low && low < high) {
            return Err(rule("meta", "an interval of some width"));
        }
        if !same(level, round9(100.0 * LEVEL)) || self.meta.method != METHOD {
            return Err(rule("meta", format!("method {METHOD} at 95 %")));
        }
        self.check_share()
    }

    /// The share follows from the CPU times, where both are known.
    fn check_share(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.allocation_ratio) {
            return Err(rule("allocation_ratio", "0 to 1"));
        }
        let used = self.workload.cpu_time_ns.0;
        let Some(cpu) = self.cpu.filter(|_| used > 0) else { return Ok(()) };
        let busy = cpu.busy_ns.0.max(used);
        #[expect(clippy::cast_precision_loss, reason = "compared to nine digits")]
        let ratio = used as f64 / busy as f64;
        if (self.allocation_ratio - ratio).abs() > 1e-8 {
            return Err(rule("allocation_ratio", "CPU time of the workload over busy CPU time"));
        }
        self.check_parts(used, busy)
    }

    /// The workload has its share by CPU time of the active energy. That of GPUs is shared otherwise, and
    /// how much of it is idle does not stand in the record: then the workload has at least its share of
    /// what the rest of the host used if as much as possible of the idle energy was the rest's, and at
    /// most all that the GPUs used besides. Both bounds are loosest so.
    fn check_parts(&self, used: u64, busy: u64) -> Result<(), Error> {
        let Energy { host_uj, idle_uj, workload_uj, .. } = self.energy;
        let of_gpu = self.domains.iter().filter(|domain| domain.backend == GPUS);
        let energy = |domain: &Domain| {
            i128::from(domain.delta_uj) + i128::from(domain.adjust_uj.unwrap_or(0))
        };
        let of_gpus = u64::try_from(of_gpu.map(energy).sum::<i128>().max(0)).unwrap_or(u64::MAX);
        let of_rest = host_uj.saturating_sub(of_gpus);
        let idle_of_rest = idle_uj.min(of_rest);
        let active = u128::from(of_rest - idle_of_rest);
        let share = (active * u128::from(used) + u128::from(busy) / 2) / u128::from(busy);
        let of_gpus = u128::from(host_uj.saturating_sub(idle_uj)) - active;
        let workload = u128::from(workload_uj);
        if workload + 1 < share || workload > share + of_gpus + 1 {
            return Err(rule("energy", "workload = (host − idle) · allocation_ratio"));
        }
        Ok(())
    }

    fn check_text(&self) -> Result<(), Error> {
        for (member, text) in [("start_ts", &self.start_ts), ("end_ts", &self.end_ts)] {
            let time: Result<jiff::Timestamp, _> = text.parse();
            if time.ok().map(timestamp).as_ref() != Some(text) {
                return Err(rule(member, "UTC with six decimals and Z"));
            }
        }
        let long = |text: &String| text.is_empty() || text.len() > LABEL_BYTES_MAX;
        if self.labels.len() > LABELS_MAX
            || self.labels.iter().any(|(key, value)| long(key) || value.len() > LABEL_BYTES_MAX)
        {
            return Err(rule("labels", "at most 64, of at most 256 bytes"));
        }
        let lists = [
            self.domains.len(),
            self.gaps.len(),
            self.excluded.len(),
            self.inputs.len(),
            self.notes.len(),
            self.sensors.len(),
        ];
        if lists.into_iter().any(|length| length > LIST_MAX) {
            return Err(rule("domains", "lists of at most 256 items"));
        }
        let mut names = BTreeSet::new();
        if !self.domains.iter().all(|domain| names.insert(&domain.name)) {
            return Err(rule("domains", "each name once"));
        }
        if !self.notes.is_sorted_by(|a, b| a < b) {
            return Err(rule("notes", "sorted, each once"));
        }
        let known = |gap: &Gap| self.domains.iter().any(|domain| domain.name == gap.domain);
        let inside = |gap: &Gap| {
            let end = gap.offset_ns.0.checked_add(gap.duration_ns.0);
            // A counter's own window may pass the host's by the time that its reading takes.
            end.is_some_and(|end| end / 2 <= self.elapsed_ns.0)
        };
        if !self.gaps.iter().all(|gap| known(gap) && inside(gap)) {
            return Err(rule("gaps", "of a domain of the record, inside the window"));
        }
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.host_id.is_empty() || !hex(&self.host_id) {
            return Err(rule("host_id", "lower-case hex"));
        }
        if !self.boot_id.as_deref().is_none_or(hex) {
            return Err(rule("boot_id", "lower-case hex"));
        }
        Ok(())
    }
}

/// A time as records hold it: UTC, six decimals, `Z`.
///
/// ```
/// let time = "2026-11-23T10:00:00.5+01:00".parse::<jiff::Timestamp>()?;
/// assert_eq!(carbon_ops_estimate::record::timestamp(time), "2026-11-23T09:00:00.500000Z");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn timestamp(time: jiff::Timestamp) -> String {
    format!("{time:.6}")
}

/// The JSON Schema of record v1, ledger members left out.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".into(), "carbon-ops record, schema version 1".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The example of the ledger format, signed with a published test key; its numbers were derived
    /// without this code.
    const EXAMPLE: &str = include_str!("../../../testdata/ledgers/v1/example-line.ndjson");

    fn example() -> Value {
        let mut value: Value = serde_json::from_str(EXAMPLE).unwrap();
        let object = value.as_object_mut().unwrap();
        for member in
            ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"]
        {
            object.remove(member).unwrap();
        }
        value
    }

    #[test]
    fn the_example_of_the_format_holds_to_the_last_digit() {
        let record = Record::from_json(example()).unwrap();
        record.recompute().unwrap();
        let again = serde_json::to_value(&record).unwrap();
        assert_eq!(Record::from_json(again).unwrap(), record);
    }

    #[test]
    fn any_number_that_does_not_follow_is_refused() {
        for (pointer, value) in [
            ("/energy_kwh", json!(0.000_144_277_779)),
            ("/grams", json!(0.054_286_822_6)),
            ("/total_energy_with_pue_kwh", json!(0.000_158_705_557)),
            ("/pue_used", json!(1.2)),
            ("/intensity_g_per_kwh", json!(342.07)),
            ("/energy/idle_uj", json!(200_000_001)),
            ("/energy/host_uj", json!(730_000_001)),
            ("/domains/0/delta_uj", json!(650_000_001)),
            ("/domains/0/end_uj", json!("773456790")),
            ("/allocation_ratio", json!(1.01)),
            ("/coverage_pct", json!(100.1)),
            ("/schema_version", json!(2)),
            ("/start_ts", json!("2026-11-23T09:00:00Z")),
            ("/meta/ci_upper_g", json!(0.04)),
            ("/meta/confidence_level_pct", json!(100)),
            ("/inputs/0/cv", json!(-0.05)),
            ("/inputs/1/name", json!("intensity")),
            ("/elapsed_ns", json!("010")),
            ("/elapsed_ns", json!(10)),
            ("/quality_flag", json!("perfect")),
        ] {
            let mut changed = example();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            assert!(Record::from_json(changed).is_err(), "{pointer} = {value}");
        }
    }

    /// The example with a GPU that used 100 J beside its package and memory.
    fn with_gpu(workload_uj: u64, idle_uj: u64) -> Record {
        let mut record = Record::from_json(example()).unwrap();
        record.domains.push(Domain {
            adjust_uj: None,
            backend: "nvml".into(),
            delta_uj: 100_000_000,
            end_uj: Some(Decimal(100_000_007)),
            epoch: Some(Decimal(1)),
            name: "gpu-0".into(),
            start_uj: Some(Decimal(7)),
            wraps: Some(0),
        });
        record.cpu = Some(Cpu { busy_ns: Decimal(10_000_000_000), count: 1 });
        let host_uj = 830_000_000;
        let others_uj = host_uj - workload_uj - idle_uj;
        record.energy = Energy { host_uj, idle_uj, others_uj, workload_uj };
        let derived = estimate(workload_uj, &record.inputs).unwrap();
        record.energy_kwh = derived.prices.energy_kwh;
        record.total_energy_with_pue_kwh = derived.prices.total_energy_with_pue_kwh;
        record.grams = derived.prices.grams;
        record.meta = derived.meta;
        record
    }

    /// Without the GPU, 519.4 J are the workload's, 10.6 J the others' and 200 J idle.
    #[test]
    fn a_gpus_energy_may_be_anyones_and_that_of_processors_may_not() {
        // Whoever used it, or nobody.
        assert_eq!(with_gpu(619_400_000, 200_000_000).check(), Ok(()));
        assert_eq!(with_gpu(519_400_000, 200_000_000).check(), Ok(()));
        assert_eq!(with_gpu(519_400_000, 300_000_000).check(), Ok(()));
        assert_eq!(with_gpu(559_400_000, 230_000_000).check(), Ok(()));
        for (workload, idle) in [
            // More than all of the GPU's, and less than the share by CPU time.
            (619_400_002, 200_000_000),
            (519_399_998, 200_000_000),
            // Idle beyond what both can have been.
            (619_400_000, 210_000_000),
        ] {
            let error = with_gpu(workload, idle).check().unwrap_err().to_string();
            assert!(error.contains("allocation_ratio"), "{workload} {idle}: {error}");
        }
    }

    #[test]
    fn gpus_are_read_beside_the_one_sensor_that_was_used() {
        let used =
            |name: &str| Sensor { name: name.into(), reason: None, status: SensorStatus::Used };
        let mut record = Record::from_json(example()).unwrap();
        record.sensors = vec![used("sysfs"), used("nvml")];
        assert_eq!(record.check(), Ok(()));
        record.sensors.push(used("model"));
        assert!(record.check().is_err());
        record.sensors = vec![used("nvml")];
        assert!(record.check().is_err());
    }

    #[test]
    fn an_interval_that_does_not_follow_is_found_by_recomputing() {
        for member in ["ci_lower_g", "ci_upper_g"] {
            let mut changed = example();
            let bound = changed.pointer_mut(&format!("/meta/{member}")).unwrap();
            *bound = json!(bound.as_f64().unwrap() * 1.000_000_01);
            let record = Record::from_json(changed).unwrap();
            assert!(record.recompute().is_err(), "{member}");
        }
    }

    #[test]
    fn unknown_and_missing_members_are_refused() {
        for (pointer, name) in [("", "extra"), ("/energy", "gpu_uj"), ("/inputs/0", "unit")] {
            let mut changed = example();
            let object = changed.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            object.insert(name.into(), json!(1));
            assert!(Record::from_json(changed).is_err(), "{pointer}/{name}");
        }
        let names: Vec<_> = example().as_object().unwrap().keys().cloned().collect();
        for name in names {
            let mut changed = example();
            changed.as_object_mut().unwrap().remove(&name);
            let optional = name == "boot_id";
            assert_eq!(Record::from_json(changed).is_ok(), optional, "{name}");
        }
    }

    #[test]
    fn every_shape_can_be_read_and_a_normal_stays_positive() {
        let input = |json: Value| serde_json::from_value::<Input>(json).unwrap().distribution();
        let ok = |json| input(json).unwrap().mean();
        assert!(
            (ok(json!({"name":"x","source":"","dist":"n","mean":1,"sd":0.1})) - 1.0).abs() < 1e-9
        );
        assert!(
            (ok(json!({"name":"x","source":"","dist":"u","low":0,"high":3})) - 1.5).abs() < 1e-12
        );
        assert!(
            (ok(json!({"name":"x","source":"","dist":"tn","mu":1,"sigma":0.1})) - 1.0).abs() < 1e-9
        );
        for wrong in [
            json!({"name":"x","source":"","dist":"n","mean":1,"sd":0.2}),
            json!({"name":"x","source":"","dist":"n","mean":1,"cv":0.1}),
            json!({"name":"x","source":"","dist":"ln","mean":1,"cv":0.1,"max":2}),
            json!({"name":"x","source":"","dist":"ln","mean":1,"cv":0.1,"sign":-1}),
            json!({"name":"x","source":"","dist":"ln","mean":1,"cv":0.1,"shared":"k","sign":1}),
        ] {
            assert!(input(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_schema_names_every_member() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], json!(false));
        for name in example().as_object().unwrap().keys() {
            assert!(schema["properties"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_estimate_needs_its_two_prices_and_factors_of_mean_one() {
        let ln = |mean, cv| Distribution::Lognormal { mean, cv };
        let pue = Input::new("pue", Distribution::Point { mean: 1.2 }, "test");
        let grid = Input::new("intensity", ln(400.0, 0.1), "test");
        assert!(estimate(1, &[pue.clone(), grid.clone()]).is_ok());
        assert!(estimate(1, std::slice::from_ref(&pue)).is_err());
        assert!(estimate(1, &[pue.clone(), grid.clone(), grid.clone()]).is_err());
        let biased = Input::new("meter", ln(1.1, 0.1), "test");
        assert!(estimate(1, &[pue, grid.clone(), biased]).is_err());
        let half = Input::new("pue", Distribution::Point { mean: 0.5 }, "test");
        assert!(estimate(1, &[half, grid]).is_err());
    }
}
