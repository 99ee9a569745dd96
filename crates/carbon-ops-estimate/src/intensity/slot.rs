//! Slots: intensities with the interval that each holds for, and all that is known of where it is from.
//!
//! A [`Series`] covers one interval with ordered slots that do not overlap; what no slot covers is an
//! explicit [`Gap`] with its reason, never a zero. What may enter an inventory figure is a type of its
//! own, [`InventoryIntensity`]; a marginal rate is a [`MarginalIntensity`], and there is no way from one
//! to the other:
//!
//! ```compile_fail,E0308
//! use carbon_ops_estimate::intensity::{InventoryIntensity, MarginalIntensity, Series};
//! fn price(_: &Series<InventoryIntensity>) {}
//! fn a_moer_has_no_price(moer: &Series<MarginalIntensity>) {
//!     price(moer);
//! }
//! ```
//!
//! ```
//! use carbon_ops_estimate::intensity::{InventoryIntensity, Interval, Meta, Series, Signal, Slot};
//! use carbon_ops_units::GramsCo2ePerKilowattHour;
//! use std::sync::Arc;
//!
//! let day = Interval::parse("2026-03-01T00:00Z", "2026-03-01T02:00Z")?;
//! let meta = Arc::new(Meta::new("example", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
//! let hour = Interval::parse("2026-03-01T00:00Z", "2026-03-01T01:00Z")?;
//! let value = InventoryIntensity::new(GramsCo2ePerKilowattHour::new(342.0)?);
//! let series = Series::new(day, vec![Slot::new(hour, value, meta)])?;
//! assert_eq!(series.gaps().len(), 1);
//! assert!((series.coverage() - 0.5).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Out of scope: pricing, and where slots come from.

use std::fmt;
use std::sync::Arc;

use carbon_ops_units::GramsCo2ePerKilowattHour;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::instant::{NotAnInstant, instant};
use super::signal::{Factor, Kind, Signal};

/// Name, as a provider, of the built-in table of yearly averages.
pub const BUILT_IN: &str = "static";

/// Most slots of one series: five-minute slots of ten years. More is a mistake or an attack.
pub const SLOTS_MAX: usize = 10 * 366 * 288;

/// Longest interval that a provider is asked for over a network: what [`SLOTS_MAX`] five-minute slots cover.
pub const ASKED_MAX: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 86_400);

/// A time from `start` (counted) to `end` (not counted); never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    start: Timestamp,
    end: Timestamp,
}

/// An interval or a series that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Impossible {
    /// The end is not after the start.
    #[error("the interval from {start} to {end} is empty")]
    Empty {
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// A text that is not a time.
    #[error(transparent)]
    Instant(#[from] NotAnInstant),
    /// Two slots that overlap, or that are out of order.
    #[error("the slots that start at {first} and {second} overlap or are out of order")]
    Overlap {
        /// Start of the one.
        first: Timestamp,
        /// Start of the next.
        second: Timestamp,
    },
    /// A slot that lies outside of the series.
    #[error("the slot that starts at {0} lies outside of its series")]
    Outside(Timestamp),
    /// A slot whose source says that it is of another kind than its type.
    #[error("a {0} intensity cannot stand in a series of this type")]
    WrongKind(Kind),
    /// An interval that would take thousands of requests.
    #[error("the interval {0} is longer than ten years")]
    TooLong(Interval),
    /// Too many slots.
    #[error("{0} slots are more than a series may have ({SLOTS_MAX})")]
    TooMany(usize),
}

impl Interval {
    /// # Errors
    /// When `end` is not after `start`.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, Impossible> {
        if start < end { Ok(Self { start, end }) } else { Err(Impossible::Empty { start, end }) }
    }

    /// From two texts, in the grammar of [`instant`].
    ///
    /// # Errors
    /// When one of them is no instant, or the interval is empty.
    pub fn parse(start: &str, end: &str) -> Result<Self, Impossible> {
        Self::new(instant(start)?, instant(end)?)
    }

    /// First instant.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// First instant after.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Length in nanoseconds.
    pub fn as_nanos(&self) -> i128 {
        self.end.as_nanosecond() - self.start.as_nanosecond()
    }

    /// Length in seconds.
    #[expect(clippy::cast_precision_loss, reason = "exact to 53 bits, which is 104 days in ns")]
    pub fn as_seconds(&self) -> f64 {
        self.as_nanos() as f64 / 1e9
    }

    /// What both cover.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}

/// An intensity that may enter an inventory figure: an average or a residual mix.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct InventoryIntensity(GramsCo2ePerKilowattHour);

/// A marginal intensity: for decisions and consequential figures, never for an inventory.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct MarginalIntensity(GramsCo2ePerKilowattHour);

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::InventoryIntensity {}
    impl Sealed for super::MarginalIntensity {}
}

/// What a slot may hold: one of the two types of intensity.
pub trait Intensity: sealed::Sealed + Copy + fmt::Debug {
    /// Wraps a value. Which type it gets is decided by what its source says it is.
    fn of(value: GramsCo2ePerKilowattHour) -> Self;
    /// The value.
    fn value(self) -> GramsCo2ePerKilowattHour;
    /// Whether a source of this kind gives this type.
    fn admits(kind: Kind) -> bool;
}

impl InventoryIntensity {
    /// Declares a value to be an average or a residual mix.
    pub fn new(value: GramsCo2ePerKilowattHour) -> Self {
        Self(value)
    }
}

impl Intensity for InventoryIntensity {
    fn of(value: GramsCo2ePerKilowattHour) -> Self {
        Self(value)
    }

    fn value(self) -> GramsCo2ePerKilowattHour {
        self.0
    }

    fn admits(kind: Kind) -> bool {
        matches!(kind, Kind::Average | Kind::Residual)
    }
}

impl Intensity for MarginalIntensity {
    fn of(value: GramsCo2ePerKilowattHour) -> Self {
        Self(value)
    }

    fn value(self) -> GramsCo2ePerKilowattHour {
        self.0
    }

    fn admits(kind: Kind) -> bool {
        kind == Kind::Marginal
    }
}

/// SHA-256 of an answer as it came, by which it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Digest {
    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut digest = [0; 32];
        if bytes.len() != 64 || !bytes.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// Whether a value was known when it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timeliness {
    /// Of a time that had passed.
    Actual,
    /// Of a time that was still to come, or never replaced by a value that was known.
    Forecast,
}

/// How well a value is known, by how it came to be. What that means in per cent is decided where
/// uncertainty is; a source gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncertaintyClass {
    /// From the measured generation of its own slot: the factors of the plants are what is unknown.
    Metered,
    /// Filled in by a model of the source, for want of measured generation.
    Estimated,
    /// Forecast.
    Forecast,
    /// The average of a whole year, standing in for the slot.
    Yearly,
    /// A value that a user declared.
    Declared,
}

/// Where a value is from and what it is. Slots of one answer share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Which source: `electricity_maps`, `watttime`, `gb`, `static`, `file`.
    pub provider: String,
    /// The zone that was asked for, in the source's words.
    pub zone_requested: String,
    /// The zone that the source says it answered for. Equal, unless a substitute was asked for.
    pub zone_returned: String,
    /// What is counted.
    pub signal: Signal,
    /// How the source filled in the value, where it did: `TIME_SLICER_AVERAGE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimation_method: Option<String>,
    /// What the source warns of, in its own words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warning: Option<String>,
    /// Known or forecast.
    pub timeliness: Timeliness,
    /// Version of the source's model, or the vintage of a table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model_version: Option<String>,
    /// SHA-256 of the answer as it came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw_digest: Option<Digest>,
    /// When that answer was fetched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fetched_at: Option<Timestamp>,
    /// Under which terms the value may be passed on.
    pub licence: String,
    /// Who must be named.
    pub attribution: String,
    /// How well it is known.
    pub uncertainty: UncertaintyClass,
}

impl Meta {
    /// The least that can be said; the other fields are set by the source.
    pub fn new(provider: &str, zone: &str, signal: Signal) -> Self {
        Self {
            provider: provider.to_owned(),
            zone_requested: zone.to_owned(),
            zone_returned: zone.to_owned(),
            signal,
            estimation_method: None,
            warning: None,
            timeliness: Timeliness::Actual,
            model_version: None,
            raw_digest: None,
            fetched_at: None,
            licence: String::new(),
            attribution: String::new(),
            uncertainty: UncertaintyClass::Metered,
        }
    }

    /// What slots with one shared error have in common (`docs/method.md`, shared errors):
    /// `grid:PROVIDER:SIGNAL:MODEL`, since the emission factors of plants are those of the source, in whichever zone;
    /// `grid:PROVIDER:ZONE:SIGNAL:VINTAGE` of an average of a year, and of what a user declares. What is upstream has
    /// the key of the direct values: where the mix is wrong, both are, and a split makes no error smaller.
    pub fn shared_key(&self) -> String {
        match self.uncertainty {
            UncertaintyClass::Yearly | UncertaintyClass::Declared => self.key(true),
            UncertaintyClass::Metered
            | UncertaintyClass::Estimated
            | UncertaintyClass::Forecast => self.key(false),
        }
    }

    /// What the errors of single hours of one zone have in common, whatever the hour: the key with the zone.
    pub fn zone_key(&self) -> String {
        self.key(true)
    }

    fn key(&self, with_zone: bool) -> String {
        let version = self.model_version.as_deref().unwrap_or("unversioned");
        // The yearly table's key is that of record v1.
        let provider = if self.provider == BUILT_IN { "owid" } else { &self.provider };
        let factor = match self.signal.factor {
            Factor::Upstream => Factor::Direct,
            factor => factor,
        };
        let signal = Signal { factor, ..self.signal }.as_str();
        if with_zone {
            format!("grid:{provider}:{}:{signal}:{version}", self.zone_returned)
        } else {
            format!("grid:{provider}:{signal}:{version}")
        }
    }
}

/// One interval and its intensity.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot<I> {
    /// When it holds.
    pub interval: Interval,
    /// The value.
    pub intensity: I,
    /// When the source last changed it, where it says so.
    pub updated_at: Option<Timestamp>,
    /// Where it is from.
    pub meta: Arc<Meta>,
}

impl<I: Intensity> Slot<I> {
    /// A slot that was never revised.
    pub fn new(interval: Interval, intensity: I, meta: Arc<Meta>) -> Self {
        Self { interval, intensity, updated_at: None, meta }
    }

    /// The value in g/kWh.
    pub fn as_grams_per_kilowatt_hour(&self) -> f64 {
        self.intensity.value().as_grams_per_kilowatt_hour()
    }
}

/// Why a time has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The source answered and said nothing of this time.
    Missing,
    /// The source named the time and gave no value.
    Null,
    /// The source named the time twice, with different values, and nothing says which one holds.
    Contradictory,
    /// The source could not be asked or did not answer.
    Failed,
    /// Nothing is in the cache, and nothing may be fetched.
    Offline,
}

/// A time without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When.
    pub interval: Interval,
    /// Why.
    pub reason: GapReason,
}

/// Ordered slots that do not overlap, and the gaps between them, over one interval.
///
/// A slot may begin before the interval or end after it, but each overlaps it; gaps lie within.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<I> {
    interval: Interval,
    slots: Vec<Slot<I>>,
    gaps: Vec<Gap>,
}

impl<I: Intensity> Series<I> {
    /// What no slot covers is a gap, [`GapReason::Missing`].
    ///
    /// # Errors
    /// Slots that overlap, are out of order, lie outside, are too many, or are of another kind.
    pub fn new(interval: Interval, slots: Vec<Slot<I>>) -> Result<Self, Impossible> {
        Self::with_gaps(interval, slots, &[], GapReason::Missing)
    }

    /// The same with reasons: `known` for the times it lists, `otherwise` for all others.
    ///
    /// # Errors
    /// As [`Series::new`].
    pub fn with_gaps(
        interval: Interval,
        slots: Vec<Slot<I>>,
        known: &[Gap],
        otherwise: GapReason,
    ) -> Result<Self, Impossible> {
        check(interval, &slots)?;
        let gaps = gaps_between(interval, &slots, known, otherwise);
        Ok(Self { interval, slots, gaps })
    }

    /// What the series is about.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// In order of time.
    pub fn slots(&self) -> &[Slot<I>] {
        &self.slots
    }

    /// In order of time.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The part of the interval that slots cover, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a quotient of lengths")]
    pub fn coverage(&self) -> f64 {
        let missing: i128 = self.gaps.iter().map(|gap| gap.interval.as_nanos()).sum();
        1.0 - missing as f64 / self.interval.as_nanos() as f64
    }

    /// The distinct sources of the slots, in order of their first slot.
    pub fn metas(&self) -> Vec<Arc<Meta>> {
        let mut metas: Vec<Arc<Meta>> = Vec::new();
        for slot in &self.slots {
            let same = |meta: &Arc<Meta>| Arc::ptr_eq(meta, &slot.meta) || *meta == slot.meta;
            // Nearly always that of the slot before.
            if !metas.iter().rev().any(same) {
                metas.push(Arc::clone(&slot.meta));
            }
        }
        metas
    }
}

fn check<I: Intensity>(interval: Interval, slots: &[Slot<I>]) -> Result<(), Impossible> {
    if slots.len() > SLOTS_MAX {
        return Err(Impossible::TooMany(slots.len()));
    }
    let mut before: Option<Interval> = None;
    for slot in slots {
        let (start, end) = (slot.interval.start(), slot.interval.end());
        if end <= interval.start() || start >= interval.end() {
            return Err(Impossible::Outside(start));
        }
        if let Some(before) = before.filter(|before| start < before.end()) {
            return Err(Impossible::Overlap { first: before.start(), second: start });
        }
        if !I::admits(slot.meta.signal.kind) {
            return Err(Impossible::WrongKind(slot.meta.signal.kind));
        }
        before = Some(slot.interval);
    }
    Ok(())
}

fn gaps_between<I>(
    interval: Interval,
    slots: &[Slot<I>],
    known: &[Gap],
    otherwise: GapReason,
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut at = interval.start();
    let edges = slots.iter().map(|slot| (slot.interval.start(), slot.interval.end()));
    for (start, end) in edges.chain([(interval.end(), interval.end())]) {
        // Nearly always: the slot begins where the one before ended.
        if start == at {
            at = end;
            continue;
        }
        let start = start.min(interval.end());
        if at < start {
            explain(Interval { start: at, end: start }, known, otherwise, &mut gaps);
        }
        at = at.max(end);
    }
    gaps
}

/// Cuts a hole at the edges of the gaps that are known, which are in order of time.
fn explain(hole: Interval, known: &[Gap], otherwise: GapReason, gaps: &mut Vec<Gap>) {
    let mut push = |start, end, reason| {
        let Ok(interval) = Interval::new(start, end) else { return };
        match gaps.last_mut() {
            Some(Gap { interval: last, reason: same })
                if last.end() == start && *same == reason =>
            {
                last.end = end;
            }
            _ => gaps.push(Gap { interval, reason }),
        }
    };
    let mut at = hole.start();
    for gap in known {
        if let Some(part) = gap.interval.intersection(&hole).filter(|part| part.end() > at) {
            let start = part.start().max(at);
            push(at, start, otherwise);
            push(start, part.end(), gap.reason);
            at = part.end();
        }
    }
    push(at, hole.end(), otherwise);
}

/// A series of one type or the other, as a source gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum AnySeries {
    /// Averages or a residual mix.
    Inventory(Series<InventoryIntensity>),
    /// Marginal rates.
    Marginal(Series<MarginalIntensity>),
}

/// A marginal series where one for an inventory is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a marginal intensity cannot price an inventory figure")]
pub struct NotForInventory;

impl AnySeries {
    /// The series, when it may enter an inventory figure.
    ///
    /// # Errors
    /// When it is marginal.
    pub fn inventory(&self) -> Result<&Series<InventoryIntensity>, NotForInventory> {
        match self {
            Self::Inventory(series) => Ok(series),
            Self::Marginal(_) => Err(NotForInventory),
        }
    }

    /// What the series is about.
    pub fn interval(&self) -> Interval {
        match self {
            Self::Inventory(series) => series.interval(),
            Self::Marginal(series) => series.interval(),
        }
    }

    /// In order of time.
    pub fn gaps(&self) -> &[Gap] {
        match self {
            Self::Inventory(series) => series.gaps(),
            Self::Marginal(series) => series.gaps(),
        }
    }

    /// The part of the interval that slots cover, 0 to 1.
    pub fn coverage(&self) -> f64 {
        match self {
            Self::Inventory(series) => series.coverage(),
            Self::Marginal(series) => series.coverage(),
        }
    }

    /// The distinct sources of the slots.
    pub fn metas(&self) -> Vec<Arc<Meta>> {
        match self {
            Self::Inventory(series) => series.metas(),
            Self::Marginal(series) => series.metas(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn hours(start: i64, end: i64) -> Interval {
        Interval::new(at(start), at(end)).unwrap()
    }

    fn slot(start: i64, end: i64, value: f64) -> Slot<InventoryIntensity> {
        let meta = Arc::new(Meta::new("test", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
        let value = GramsCo2ePerKilowattHour::new(value).unwrap();
        Slot::new(hours(start, end), InventoryIntensity::new(value), meta)
    }

    #[test]
    fn what_no_slot_covers_is_a_gap() {
        let series = Series::new(hours(0, 10), vec![slot(1, 3, 1.0), slot(3, 4, 2.0)]).unwrap();
        let gaps: Vec<Interval> = series.gaps().iter().map(|gap| gap.interval).collect();
        assert_eq!(gaps, [hours(0, 1), hours(4, 10)]);
        assert!((series.coverage() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn a_slot_may_stick_out_and_covers_only_what_is_within() {
        let series = Series::new(hours(2, 4), vec![slot(0, 3, 10.0), slot(3, 9, 20.0)]).unwrap();
        assert!(series.gaps().is_empty());
        assert!((series.coverage() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn gaps_keep_their_reasons() {
        let known = [Gap { interval: hours(2, 3), reason: GapReason::Null }];
        let series =
            Series::with_gaps(hours(0, 5), vec![slot(0, 1, 1.0)], &known, GapReason::Failed);
        let gaps: Vec<_> =
            series.unwrap().gaps().iter().map(|gap| (gap.interval, gap.reason)).collect();
        assert_eq!(
            gaps,
            [
                (hours(1, 2), GapReason::Failed),
                (hours(2, 3), GapReason::Null),
                (hours(3, 5), GapReason::Failed)
            ]
        );
    }

    #[test]
    fn slots_that_overlap_lie_outside_or_come_late_are_refused() {
        for slots in [
            vec![slot(0, 2, 1.0), slot(1, 3, 1.0)],
            vec![slot(2, 3, 1.0), slot(0, 1, 1.0)],
            vec![slot(20, 21, 1.0)],
        ] {
            assert!(Series::new(hours(0, 10), slots).is_err());
        }
        assert!(Interval::new(at(1), at(1)).is_err());
    }

    #[test]
    fn a_marginal_source_cannot_give_an_inventory_series() {
        let mut wrong = slot(0, 1, 1.0);
        let marginal = Signal { kind: Kind::Marginal, ..Signal::AVERAGE_LIFECYCLE_PRODUCTION };
        wrong.meta = Arc::new(Meta::new("watttime", "CAISO_NORTH", marginal));
        let refused = Series::new(hours(0, 1), vec![wrong]).unwrap_err();
        assert_eq!(refused, Impossible::WrongKind(Kind::Marginal));
        let moer = AnySeries::Marginal(Series::new(hours(0, 1), vec![]).unwrap());
        assert_eq!(moer.inventory(), Err(NotForInventory));
    }

    #[test]
    fn zero_is_a_value() {
        let series = Series::new(hours(0, 1), vec![slot(0, 1, 0.0)]).unwrap();
        assert_eq!(series.slots().len(), 1);
        assert!(series.gaps().is_empty());
    }

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Digest(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_hex("ff"), None);
        assert_eq!(Digest::from_hex(&"+f".repeat(32)), None);
    }

    #[test]
    fn the_day_the_clocks_change_has_as_many_hours_as_pass() {
        // Europe/Berlin, 29 March 2026: 23 hours; the year 2028 has 29 February.
        let day = Interval::parse("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00").unwrap();
        assert!((day.as_seconds() - 23.0 * 3600.0).abs() < 1e-9);
        let leap = Interval::parse("2028-02-28T00:00Z", "2028-03-01T00:00Z").unwrap();
        assert!((leap.as_seconds() - 48.0 * 3600.0).abs() < 1e-9);
    }
}
