//! THE record: a span of energy, its carbon, and everything that both were derived from.
//!
//! * [`Record`]: its members; [`Measurement`]: what was read, where it was measured here.
//! * [`estimate`]: the one place where a record's doubles are made; [`Record::check`] and
//!   [`Record::recompute`] make them again.
//! * [`Note`]: what else a reader should know, as words.
//! * [`Brief`]: what a sum needs of one, where there is no room for more.
//! * [`totals`]: sums over records, in memory that [`rows`] bound; [`continuity`]: whether their running totals
//!   fit together.
//! * [`reading`]: from the entries of a ledger to records; [`answer`]: what a verification comes to.
//! * [`upstream`]: the parts of a life-cycle intensity.
//!
//! Out of scope: the ledger's own members (`ledger_id`, `seq`, `prev_hash`, the signature), which the ledger
//! adds and takes away; bytes, hashes and keys; files, clocks and randomness.

use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod answer;
mod brief;
pub mod continuity;
mod measurement;
mod note;
pub mod reading;
mod record;
pub mod rows;
pub mod totals;
pub mod upstream;

pub use brief::{Brief, errors_of};
pub use carbon_ops_estimate::uncertainty::{Coverage, Method};
pub use measurement::{
    AttributionMode, Cpu, Domain, Energy, Excluded, Gap, IdlePolicy, Measurement, Model,
    ModelEstimate, Part, Sensor, SensorStatus, Workload,
};
pub use note::Note;
pub use record::{
    Basis, Contribution, Deployment, Derived, Embodied, EmbodiedItem, Figure, Filled,
    FunctionalUnit, Gas, Grid, ID_BYTES_MAX, Input, LISTED_MAX, LoadPart, LoadSeries, Market,
    MarketKind, MarketUse, Meta, MethodName, Place, Precision, Record, Relative, Reserved,
    SCHEMA_VERSION, Sampling, Sci, Scope, Slot, Slots, Source, StandIn, Stated, Time, Unit,
    UnknownUnit, budget, energy_inputs, estimate, grid_inputs, grid_of, id_text, names_fit, schema,
    scopes,
};

/// A time as records hold it.
const TIME_PATTERN: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";

/// Largest integer that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Backend, and sensor, of GPUs alone.
const GPUS: &str = "nvml";

/// Backend of GPUs, and of sockets too.
const HWMON: &str = "hwmon";

/// Limits that keep a record far below the ledger's 65,535 bytes.
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 256;
const LIST_MAX: usize = 256;

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
/// Why a record is not valid, or records are no set of which a sum could be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the members and types of a record.
    #[error("not a record of schema version 2: {0}")]
    Shape(String),
    /// A rule that ties members together does not hold.
    #[error("{member}: {rule}")]
    Rule {
        /// The member that is wrong, or one of them.
        member: &'static str,
        /// What should hold.
        rule: String,
    },
    /// Two records have one id and are not equal.
    #[error(
        "two records have the record_id {record_id} and differ: one of them is not what it was"
    )]
    Differ {
        /// The id.
        record_id: String,
    },
    /// A record is inside of itself, by the parents that it and others name.
    #[error("the record {record_id} is a part of itself, by the parents that records name")]
    Circle {
        /// Its id.
        record_id: String,
    },
    /// What has to be known of many records could not be laid down, or read again.
    #[error("cannot keep what is known of the records: {0}")]
    Scratch(String),
    /// The inputs admit no estimate.
    #[error(transparent)]
    Uncertainty(#[from] carbon_ops_estimate::uncertainty::Error),
}

impl Error {
    fn differ(id: u128) -> Self {
        Self::Differ { record_id: format!("{id:032x}") }
    }

    fn circle(id: u128) -> Self {
        Self::Circle { record_id: format!("{id:032x}") }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Scratch(error.to_string())
    }
}

fn rule(member: &'static str, rule: impl Into<String>) -> Error {
    Error::Rule { member, rule: rule.into() }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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

impl Prices {
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

/// A time as records hold it: UTC, six decimals, `Z`.
///
/// ```
/// let time = "2026-11-23T10:00:00.5+01:00".parse::<jiff::Timestamp>()?;
/// assert_eq!(carbon_ops_record::timestamp(time), "2026-11-23T09:00:00.500000Z");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn timestamp(time: jiff::Timestamp) -> String {
    carbon_ops_proof::entry::time_text(time)
}
