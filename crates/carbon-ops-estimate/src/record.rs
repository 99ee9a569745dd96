//! Record v1: one workload, its energy, its carbon, and everything that they were derived from.
//!
//! The members and their names are fixed: `schema_version` 1 refuses members that it does not know,
//! and an addition raises the version. Integers are measured, doubles are derived and rounded to
//! nine significant digits; [`Record::check`] derives them again from the integers and the inputs.
//!
//! Order of evaluation, in IEEE-754 double arithmetic, each output rounded once by
//! [`round9`](crate::uncertainty::round9):
//!
//! * `energy_kwh = workload_uj / 3.6e12`
//! * `pue_used`, `intensity_g_per_kwh` = means of the inputs named so
//! * `total_energy_with_pue_kwh = energy_kwh · pue`
//! * `grams = energy_kwh · pue · intensity`, and the other factors have mean 1
//! * `uncertainty_pct = 100 · u / grams` and the interval: see [`crate::uncertainty`]
//!
//! Deliberately absent: the ledger's own members (`ledger_id`, `seq`, `prev_hash`, the signature),
//! which the ledger adds and takes away; bytes, hashes and keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::uncertainty::{Distribution, LEVEL, Outcome, product, round9};

/// The version that this module writes and reads.
pub const SCHEMA_VERSION: u64 = 1;

/// Method name of the interval in records.
pub const METHOD: &str = "analytical_truncated";

/// Largest integer that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3).
const INTEGER_MAX: u64 = (1 << 53) - 1;

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
    /// CPU time of the whole machine in the window.
    pub cpu: Cpu,
    /// What was counted or modelled, sorted by name; their energies sum to the host's.
    pub domains: Vec<Domain>,
    /// Length of the window by the monotonic clock, in ns.
    pub elapsed_ns: Decimal,
    /// End of the window: UTC, six decimals.
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
    pub schema_version: u64,
    /// The sensors that were tried, best first; exactly one was used.
    pub sensors: Vec<Sensor>,
    /// What the intensity counts.
    pub signal: String,
    /// True when the energy was not this machine's own: a simulated or foreign sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// Where the intensity comes from.
    pub source: String,
    /// Start of the window: UTC, six decimals.
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

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
        /// Normal: `mean`, `sd`.
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
    /// Grows when totals before and after hide unknown energy.
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
    /// Inputs with the same key are one random variable, in this record and in others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// Parent's standard deviation (`tn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
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
    /// Version of the tables.
    pub table: String,
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
}

/// Why a record is not a valid record v1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the members and types of record v1.
    #[error("not a record of schema version 1: {0}")]
    Shape(String),
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
    /// See [`Record::energy_kwh`].
    pub energy_kwh: f64,
    /// See [`Record::pue_used`].
    pub pue: f64,
    /// See [`Record::intensity_g_per_kwh`].
    pub intensity_g_per_kwh: f64,
    /// See [`Record::total_energy_with_pue_kwh`].
    pub total_energy_with_pue_kwh: f64,
    /// See [`Record::grams`].
    pub grams: f64,
    /// See [`Record::uncertainty_pct`].
    pub uncertainty_pct: f64,
    /// See [`Record::meta`].
    pub meta: Meta,
}

/// Prices the workload's energy with the inputs: the one place where a record's doubles are made.
///
/// # Errors
/// When `pue` or `intensity` is missing or doubled, when another factor's mean is not 1, or when
/// the inputs admit no interval.
pub fn estimate(workload_uj: u64, inputs: &[Input]) -> Result<Derived, Error> {
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
    for input in inputs {
        let factor = input.distribution()?;
        let of_mean_one = !["pue", "intensity"].contains(&input.name.as_str());
        if of_mean_one && (factor.mean() - 1.0).abs() > 1e-9 {
            return Err(rule("inputs", format!("the mean of {} is 1", input.name)));
        }
        factors.push(factor);
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 by Record::check")]
    let energy = workload_uj as f64 / 3.6e12;
    let Outcome { standard, low, high, .. } = product(energy, &factors)?;
    let grams = energy * pue * intensity;
    let uncertainty = if grams > 0.0 { 100.0 * standard / grams } else { 0.0 };
    Ok(Derived {
        energy_kwh: round9(energy),
        pue: round9(pue),
        intensity_g_per_kwh: round9(intensity),
        total_energy_with_pue_kwh: round9(energy * pue),
        grams: round9(grams),
        uncertainty_pct: round9(uncertainty),
        meta: Meta {
            ci_lower_g: round9(low),
            ci_upper_g: round9(high),
            confidence_level_pct: round9(100.0 * LEVEL),
            method: METHOD.to_owned(),
        },
    })
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
        }
        input
    }

    /// The same input, sharing its error with every input of that key.
    #[must_use]
    pub fn shared(mut self, key: impl Into<String>) -> Self {
        self.shared = Some(key.into());
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
        if !(0.0..=1.0).contains(&self.allocation_ratio) {
            return Err(rule("allocation_ratio", "0 to 1"));
        }
        if !(0.0..=100.0).contains(&self.coverage_pct) {
            return Err(rule("coverage_pct", "0 to 100"));
        }
        let used = self.sensors.iter().filter(|s| s.status == SensorStatus::Used).count();
        if used != 1 {
            return Err(rule("sensors", "exactly one was used"));
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
            ("grams", self.grams, derived.grams),
        ] {
            if !same(stored, again) {
                return Err(rule(member, format!("{again} by the record's own inputs")));
            }
        }
        Ok(())
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
        let one = |name: &str| {
            let mut found = self.inputs.iter().filter(|input| input.name == name);
            found.next().ok_or_else(|| rule("inputs", format!("an input is named {name}")))
        };
        let pue = one("pue")?.distribution()?.mean();
        let intensity = one("intensity")?.distribution()?.mean();
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 by check_energy")]
        let energy = self.energy.workload_uj as f64 / 3.6e12;
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        for (member, stored, again) in [
            ("energy_kwh", self.energy_kwh, round9(energy)),
            ("pue_used", self.pue_used, round9(pue)),
            ("intensity_g_per_kwh", self.intensity_g_per_kwh, round9(intensity)),
            ("total_energy_with_pue_kwh", self.total_energy_with_pue_kwh, round9(energy * pue)),
            ("grams", self.grams, round9(energy * pue * intensity)),
        ] {
            if !same(stored, again) {
                return Err(rule(member, format!("{again} by the record's own inputs")));
            }
        }
        let Meta { ci_lower_g: low, ci_upper_g: high, confidence_level_pct: level, .. } = self.meta;
        if self.grams > 0.0 && !(0.0 <= low && low < high) {
            return Err(rule("meta", "an interval of some width"));
        }
        if !(level > 0.0 && level < 100.0) {
            return Err(rule("meta", "a confidence level between 0 and 100"));
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
        let lists = [self.domains.len(), self.gaps.len(), self.excluded.len(), self.inputs.len()];
        if lists.into_iter().any(|length| length > LIST_MAX) {
            return Err(rule("domains", "lists of at most 256 items"));
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
