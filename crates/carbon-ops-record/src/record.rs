//! The members of a record, and how one is made.
//!
//! Each double is rounded by [`round9`](carbon_ops_estimate::decimal::round9), and the next one starts from the
//! rounded value, so that anyone can follow the arithmetic with the numbers that stand in the record:
//!
//! * `energy_kwh`, `pue_used`, `intensity_g_per_kwh` = means of the inputs `energy`, `pue`, `intensity`
//! * `total_energy_with_pue_kwh = energy_kwh · pue_used`
//! * `grams = total_energy_with_pue_kwh · intensity_g_per_kwh`; all other inputs have mean 1
//! * `uncertainty_pct = 100 · u`, `ci_lower_g = grams · q₁`, `ci_upper_g = grams · q₂`, where u, q₁, q₂
//!   are standard uncertainty and quantiles of the product of all inputs, each divided by its mean
//!
//! [`Record::check`] derives what follows without integration or sampling; [`Record::recompute`] the
//! rest. `docs/formats/record-v2.md` has the members.
//!
//! Out of scope: the ledger's own members; bytes, hashes and keys.

use std::collections::BTreeMap;
use std::fmt;

use carbon_ops_estimate::uncertainty::{Coverage, LEVEL, Method, Model};
use carbon_ops_estimate::words;
use carbon_ops_units::{Bounded, GramsCo2e, KilowattHours};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use carbon_ops_estimate::intensity::{Factor, Gases, UncertaintyClass};

use crate::{Decimal, Error, Measurement, Note, Quality, RecordKind, RecordType, TIME_PATTERN};

mod check;
mod derive;
mod hardware;
mod known;
mod market;
mod new;
mod precision;
mod scopes;

pub use check::names_fit;
pub use hardware::{Reserved, UnknownUnit};
pub(crate) use market::MarketEffects;
pub use new::{Stated, id_text};
pub use precision::{Place, Precision, Time};
pub use scopes::{Deployment, scopes};

pub use derive::{Derived, Relative, budget, energy_inputs, estimate, grid_inputs, grid_of};

/// The version that this module writes and reads.
pub const SCHEMA_VERSION: u64 = 2;

/// Most slots, and most parts of an energy series, that a record lists one by one: two days of quarter
/// hours. Of more it keeps the digest.
pub const LISTED_MAX: usize = 192;

/// Longest `id`.
pub const ID_BYTES_MAX: usize = 128;

/// 128 bits in hex.
const ID_PATTERN: &str = "^[0-9a-f]{32}$";

/// SHA-256 in hex.
const DIGEST_PATTERN: &str = "^[0-9a-f]{64}$";

macro_rules! members {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)+ }
    };
}

members! {
    /// A carbon record. Members stand in the order of their names, so that writing
    /// them in turn is canonical.
    pub struct Record {
        /// What each input contributes to the variance.
        budget: Vec<Contribution>,
        /// The lesser of the grid's coverage and, with a measurement, that of the counters, in percent.
        coverage_pct: f64,
        /// Carbon of making the hardware; not in `grams`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        embodied: Option<Embodied>,
        /// End of the span: UTC, six decimals; not counted.
        #[schemars(extend("pattern" = TIME_PATTERN))]
        end_ts: String,
        /// Energy in kWh: the mean of the input `energy`.
        energy_kwh: f64,
        /// What the figure is divided by in `sci`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        functional_unit: Option<FunctionalUnit>,
        /// `co2` where the grid's figure, and with it `grams`, counts carbon dioxide alone; else all gases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gases: Option<Gas>,
        /// Emissions of operation in gCO2e: the mean of the model.
        grams: f64,
        /// What it was priced with.
        grid: Grid,
        /// Keyed hash of the machine's id, or the word that a stream gives for its host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_id: Option<String>,
        /// The caller's own name for the span.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Every input of the estimate, with its distribution and source.
        inputs: Vec<Input>,
        /// Energy-weighted grid intensity in gCO2e/kWh: the mean of the input `intensity`.
        intensity_g_per_kwh: f64,
        /// True where measuring ended before the work did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interrupted: Option<bool>,
        /// Always `carbon_ops`.
        kind: RecordKind,
        /// The user's own labels.
        labels: BTreeMap<String, String>,
        /// Energy as it was measured within the span; without it, it is spread evenly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        load: Option<LoadSeries>,
        /// The same operation by the market, no part of `grams`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        market: Option<Market>,
        /// What was measured, where it was measured by this program.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measurement: Option<Measurement>,
        /// The interval.
        meta: Meta,
        /// What else a reader should know, sorted by its words.
        notes: Vec<Note>,
        /// The `record_id` of the measurement that this one ran inside of; its energy is a part of that one's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = ID_PATTERN))]
        parent: Option<String>,
        /// True where the span is one part of the work's time, and other records have the rest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partial: Option<bool>,
        /// Power usage effectiveness: the mean of the input `pue`.
        pue_used: f64,
        /// The weakest link: `measured`, `estimated` or `fallback`.
        quality_flag: Quality,
        /// Random, 128 bits in hex: a record is counted once, wherever copies of it lie.
        #[schemars(extend("pattern" = ID_PATTERN))]
        record_id: String,
        /// The zone, as the resolver names it: an ISO 3166-1 alpha-2 code, `world`, or finer; `unstated`
        /// where the intensity was given instead.
        region: String,
        /// 2.
        #[schemars(extend("const" = 2))]
        schema_version: u64,
        /// Software Carbon Intensity (ISO/IEC 21031).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sci: Option<Sci>,
        /// What the figures count as in an inventory; at least one.
        scopes: Vec<Scope>,
        /// What the intensity counts.
        signal: String,
        /// True when the energy is invented or of another machine's sensors.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        simulated: Option<bool>,
        /// Where the intensity comes from.
        source: String,
        /// What was used in place of what was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stand_ins: Vec<StandIn>,
        /// Start of the span: UTC, six decimals.
        #[schemars(extend("pattern" = TIME_PATTERN))]
        start_ts: String,
        /// Program and version that wrote the record.
        tool: String,
        /// Energy with that of the site's cooling and supply, in kWh.
        total_energy_with_pue_kwh: f64,
        /// Always `carbon_estimate`.
        #[serde(rename = "type")]
        record_type: RecordType,
        /// Standard uncertainty (k = 1) of `grams` in percent of it.
        uncertainty_pct: f64,
        /// What the work is called by its owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<Unit>,
    }
}

members! {
    /// What the work is called by its owner: a job of a scheduler, a pod, a run of a pipeline.
    pub struct Unit {
        /// Names and numbers in the owner's words, such as `job` or `namespace`.
        ids: BTreeMap<String, String>,
        /// Whose words they are: `slurm`, `kubernetes`, `systemd`, `manual`, …
        kind: String,
    }
}

impl fmt::Display for Unit {
    /// Its kind, and its ids in the order of their names: `slurm: job=12, step=0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.ids.iter().map(|(name, id)| format!("{name}={id}")).collect();
        write!(f, "{}: {}", self.kind, ids.join(", "))
    }
}

members! {
    /// Something that was used in place of what was asked for.
    pub struct StandIn {
        /// What was asked for.
        asked: String,
        /// By how much the two may differ, as a coefficient of variation; absent where nobody measured it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cv: Option<f64>,
        /// Why what was asked for could not be used, in the words of its source.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What was used.
        used: String,
        /// Why, as a word: `cloud_region_by_country`, …
        why: String,
    }
}

members! {
    /// An input of the estimate. Its distribution is a text of
    /// [`Quantity::echo`](carbon_ops_estimate::uncertainty::text::Quantity::echo), parameters of nine digits at most.
    pub struct Input {
        /// `tn(1.55, 0.2, min=1)`; that of `energy` in kWh, that of `intensity` in g/kWh.
        dist: String,
        /// `energy`, `pue` and `intensity` once each; others are factors of mean 1.
        name: String,
        /// Inputs of different records with the same key depend on one random variable: they are off in the same
        /// direction, each by its own amount. No key occurs twice in a record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<String>,
        /// −1 where this factor falls when the variable named by `shared` rises; absent for +1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sign: Option<i8>,
        /// Where it comes from.
        source: String,
    }
}

members! {
    /// What an input contributes to the variance of the result: its first-order share,
    /// `100 · cv² / cv²(C)`.
    pub struct Contribution {
        /// The input's name.
        name: String,
        /// Share in percent; together at most 100, the rest is of inputs together.
        pct: f64,
        /// The input's key, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<String>,
    }
}

members! {
    /// The coverage interval of `grams`.
    pub struct Meta {
        /// Lower end, gCO2e.
        ci_lower_g: f64,
        /// Upper end, gCO2e.
        ci_upper_g: f64,
        /// Coverage probability in percent.
        confidence_level_pct: f64,
        /// Which of the intervals of that probability.
        interval: Coverage,
        /// How it was computed: `analytical_truncated` or `monte_carlo`.
        method: MethodName,
        /// With `monte_carlo`: how it was sampled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        monte_carlo: Option<Sampling>,
        /// With `analytical_truncated`, where it is more than a millionth of the mean: estimate of the
        /// numerical error of the ends, gCO2e.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        numerical_error_g: Option<f64>,
    }
}

words! {
    /// How an interval was computed.
    MethodName {
        /// By quadrature and root finding; deterministic.
        AnalyticalTruncated = "analytical_truncated",
        /// By sampling after JCGM 101:2008.
        MonteCarlo = "monte_carlo",
    }
}

members! {
    /// What it takes to draw the same samples again.
    pub struct Sampling {
        /// With the adaptive procedure: significant digits of the standard uncertainty that had to be
        /// stable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adaptive_digits: Option<u8>,
        /// The generator.
        generator: String,
        /// The seed.
        seed: Decimal,
        /// With the adaptive procedure: whether they were, before the limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stable: Option<bool>,
        /// Trials that were made.
        trials: u64,
    }
}

members! {
    /// The grid data that a span was priced with.
    pub struct Grid {
        /// Part of the energy that a slot of its own time prices, in percent.
        coverage_pct: f64,
        /// Part of the energy priced with values that their source had filled in, in percent.
        estimated_pct: f64,
        /// What was priced without a slot of its own time; absent when nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filled: Option<Filled>,
        /// Part of the energy priced with forecasts, in percent.
        forecast_pct: f64,
        /// With which value: `step`, `interpolate`, `drop`.
        missing_policy: String,
        /// The slots.
        slots: Slots,
        /// Where they are from; slots name them by their place in this list.
        sources: Vec<Source>,
    }
}

members! {
    /// Energy priced without a slot of its own time.
    pub struct Filled {
        /// In kWh, of `energy_kwh`.
        energy_kwh: f64,
        /// Mean of the values that it was priced with.
        g_per_kwh: f64,
        /// For how long.
        seconds: f64,
    }
}

members! {
    /// The slots that met the span, in order of time: one by one, or their digest.
    pub struct Slots {
        /// How many.
        count: u64,
        /// One by one, up to 192.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Vec<Slot>>,
        /// Of more: SHA-256 of the canonical form of that list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = DIGEST_PATTERN))]
        sha256: Option<String>,
    }
}

members! {
    /// A slot.
    pub struct Slot {
        /// How the value came to be: `metered`, `estimated`, `forecast`, `yearly`, `declared`.
        #[schemars(with = "String")]
        class: UncertaintyClass,
        /// First moment after it.
        #[schemars(extend("pattern" = TIME_PATTERN))]
        end: String,
        /// The value.
        g_per_kwh: f64,
        /// Place of its source in the list; absent for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<u64>,
        /// First moment.
        #[schemars(extend("pattern" = TIME_PATTERN))]
        start: String,
        /// When its source last changed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = TIME_PATTERN))]
        updated_at: Option<String>,
    }
}

members! {
    /// Where slots are from.
    pub struct Source {
        /// Who must be named.
        attribution: String,
        /// When the newest answer was fetched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = TIME_PATTERN))]
        fetched_at: Option<String>,
        /// Under which terms the values may be passed on.
        licence: String,
        /// Version of the source's model, or vintage of its table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model_version: Option<String>,
        /// `electricity_maps`, `watttime`, `gb`, `static`, `file`; `flag` where a user gave the value.
        provider: String,
        /// SHA-256 of the answers as they came, sorted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        raw_sha256: Vec<String>,
        /// When the source last changed one of the values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = TIME_PATTERN))]
        updated_at: Option<String>,
        /// The zone that was asked for, in the source's words.
        zone_requested: String,
        /// The zone that it says it answered for.
        zone_returned: String,
    }
}

members! {
    /// Energy as it was measured within the span: one by one, or its digest.
    pub struct LoadSeries {
        /// How many parts.
        count: u64,
        /// One by one, up to 192.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Vec<LoadPart>>,
        /// Of more: SHA-256 of the canonical form of that list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("pattern" = DIGEST_PATTERN))]
        sha256: Option<String>,
    }
}

members! {
    /// Energy of a part of the span. Parts follow one another; each ends where the next begins.
    pub struct LoadPart {
        /// First moment after it.
        #[schemars(extend("pattern" = TIME_PATTERN))]
        end: String,
        /// Energy in kWh.
        kwh: f64,
    }
}

words! {
    /// The only gas that a figure counts.
    Gas {
        /// Carbon dioxide.
        Co2 = "co2",
    }
}

words! {
    /// Which of the record's figures a tag is about.
    Figure {
        /// `grams`.
        Operational = "operational",
        /// `embodied.grams`.
        Embodied = "embodied",
        /// `market.grams`.
        Market = "market",
    }
}

words! {
    /// How electricity is attributed in scope 2.
    Basis {
        /// By the grid where it was used.
        Location = "location",
        /// By contracts.
        Market = "market",
    }
}

members! {
    /// What a figure counts as after the GHG Protocol.
    pub struct Scope {
        /// In scope 2: `location` or `market`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<Basis>,
        /// In scope 3: its category, 1 to 15.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<u8>,
        /// Which figure. One that has several tags is the sum of what they name.
        figure: Figure,
        /// 1, 2 or 3.
        scope: u8,
        /// Who decided: `flag`, or the default with its reason.
        source: String,
    }
}

members! {
    /// Emissions of operation by the market.
    pub struct Market {
        /// Lower end of the interval, gCO2e.
        ci_lower_g: f64,
        /// Upper end, gCO2e.
        ci_upper_g: f64,
        /// Coverage probability in percent.
        confidence_level_pct: f64,
        /// What the factors count: `direct` or `lifecycle`.
        #[schemars(with = "String")]
        factor: Factor,
        /// Of which gases: `co2e` or `co2`.
        #[schemars(with = "String")]
        gases: Gases,
        /// The emissions, in gCO2e as the factors count them.
        grams: f64,
        /// SHA-256 of the file of instruments.
        #[schemars(extend("pattern" = DIGEST_PATTERN))]
        sha256: String,
        /// Standard uncertainty (k = 1) of `grams` in percent of it.
        uncertainty_pct: f64,
        /// What was used, in the order of kind, market, name and factor.
        uses: Vec<MarketUse>,
    }
}

members! {
    /// A part of the energy, and what it was bought with.
    pub struct MarketUse {
        /// The factor in g/kWh, as distributions of inputs are written.
        dist: String,
        /// Name of the contract, or of the factor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Which kind.
        kind: MarketKind,
        /// Energy with that of the site, in kWh.
        kwh: f64,
        /// The market.
        market: String,
    }
}

words! {
    /// What a part of an energy was bought with.
    MarketKind {
        /// By contract with a supplier.
        Contract = "contract",
        /// The fossil factor of a market without a residual mix.
        Fossil = "fossil",
        /// The mix of the market without what others claim.
        Residual = "residual",
    }
}

members! {
    /// Carbon of making the hardware, the share of this span.
    pub struct Embodied {
        /// Lower end, gCO2e.
        ci_lower_g: f64,
        /// Upper end, gCO2e.
        ci_upper_g: f64,
        /// Coverage probability in percent.
        confidence_level_pct: f64,
        /// The sum of the items' grams.
        grams: f64,
        /// For each name among the items a factor of mean 1: how well its total is known.
        inputs: Vec<Input>,
        /// What was counted.
        items: Vec<EmbodiedItem>,
        /// How the interval was computed: `analytical_truncated`, or `monte_carlo` (200,000 trials, seed 0) where
        /// there is no closed form.
        method: MethodName,
        /// Standard uncertainty (k = 1) of `grams` in percent of it.
        uncertainty_pct: f64,
    }
}

members! {
    /// A piece of hardware: `grams = 1000 · total_kg · (span / lifetime) · share`.
    pub struct EmbodiedItem {
        /// This span's share.
        grams: f64,
        /// Over how many hours it is written off.
        lifetime_hours: f64,
        /// What it is.
        name: String,
        /// Part of it that this span used, 0 to 1.
        share: f64,
        /// Where its total comes from.
        source: String,
        /// Of making it, in kgCO2e.
        total_kg: f64,
    }
}

members! {
    /// What a Software Carbon Intensity is per.
    pub struct FunctionalUnit {
        /// How many, above 0.
        count: f64,
        /// Of what: `request`, `user hour`.
        name: String,
    }
}

members! {
    /// Software Carbon Intensity: `g_per_unit = (operational_g + embodied_g) / functional_unit.count`.
    pub struct Sci {
        /// Lower end, gCO2e per functional unit.
        ci_lower_g_per_unit: f64,
        /// Upper end, gCO2e per functional unit.
        ci_upper_g_per_unit: f64,
        /// Coverage probability in percent.
        confidence_level_pct: f64,
        /// M, in gCO2e; `embodied.grams`, 0 without it.
        embodied_g: f64,
        /// The score, in gCO2e per functional unit.
        g_per_unit: f64,
        /// O, in gCO2e; `grams`.
        operational_g: f64,
    }
}

/// The JSON Schema of a record, ledger members left out.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".into(), "carbon-ops record, schema version 2".into());
    schema.to_value()
}

impl Record {
    /// What a figure counts as: `scope 2, location-based with scope 3, category 3`.
    pub fn scopes_of(&self, figure: Figure) -> String {
        let named = |scope: &Scope| match (scope.basis, scope.category) {
            (Some(Basis::Location), _) => "scope 2, location-based".to_owned(),
            (Some(Basis::Market), _) => "scope 2, market-based".to_owned(),
            (None, Some(category)) => format!("scope {}, category {category}", scope.scope),
            (None, None) => format!("scope {}", scope.scope),
        };
        let tags = self.scopes.iter().filter(|scope| scope.figure == figure).map(named);
        tags.collect::<Vec<_>>().join(" with ")
    }

    /// The record with what was measured in its span.
    #[must_use]
    pub fn with_measurement(self, measurement: Measurement) -> Self {
        let coverage_pct = self.coverage_pct.min(measurement.coverage_pct);
        Self { coverage_pct, measurement: Some(measurement), ..self }
    }

    /// Emissions with their coverage interval; `None` where they are zero.
    pub fn carbon(&self) -> Option<Bounded<GramsCo2e>> {
        let Meta { ci_lower_g, ci_upper_g, confidence_level_pct, .. } = self.meta;
        bounded(
            [ci_lower_g, self.grams, ci_upper_g].map(GramsCo2e::new),
            confidence_level_pct / 100.0,
        )
    }

    /// The same with the interval of another coverage probability, 0 to 1, which is computed from the inputs; `None` also
    /// for none such.
    pub fn carbon_at(&self, level: f64) -> Option<Bounded<GramsCo2e>> {
        let estimate = self.model().ok()?.evaluate_at(&self.method().ok()?, level).ok()?;
        bounded([estimate.low, self.grams, estimate.high].map(GramsCo2e::new), level)
    }

    /// Energy with its coverage interval: the inputs that are not of site and grid. `None` where it is zero,
    /// or exact.
    pub fn energy(&self) -> Option<Bounded<KilowattHours>> {
        self.energy_at(LEVEL)
    }

    /// The same with the interval of another coverage probability, 0 to 1.
    pub fn energy_at(&self, level: f64) -> Option<Bounded<KilowattHours>> {
        let mean = self.energy_kwh;
        let model = self.product(mean, |input| About::of(&input.name) == About::Energy).ok()?;
        let estimate = model.evaluate_at(&Method::Analytical, level).ok()?;
        bounded([estimate.low, mean, estimate.high].map(KilowattHours::new), level)
    }

    /// Whether a note is among the record's.
    pub fn has_note(&self, note: &Note) -> bool {
        self.notes.contains(note)
    }

    /// The input of a name that occurs once.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Keys of shared errors, each with the coefficient of variation that it gives the grams: negative
    /// where they fall as the shared variable rises.
    ///
    /// # Errors
    /// When an input is no distribution.
    pub fn shared_errors(&self) -> Result<Vec<(&str, f64)>, Error> {
        let mut errors = Vec::new();
        for input in &self.inputs {
            let Some(key) = &input.shared else { continue };
            errors.extend(input.signed_cv()?.map(|cv| (key.as_str(), cv)));
        }
        Ok(errors)
    }

    /// The model of the grams. Inputs of several records with equal keys are one random variable.
    ///
    /// # Errors
    /// When an input is no distribution.
    pub fn model(&self) -> Result<Model, Error> {
        self.product(self.grams, |_| true)
    }

    /// So much times some of the inputs, each over its mean.
    fn product(&self, mean: f64, of: impl Fn(&Input) -> bool) -> Result<Model, Error> {
        let mut factors = Vec::new();
        for input in self.inputs.iter().filter(|input| of(input)) {
            let distribution = input.distribution()?;
            // What has a mean of 0 makes a product of 0, and has no relative distribution.
            if distribution.mean() > 0.0 {
                factors.push(input.as_factor(distribution.over_mean()));
            }
        }
        Ok(Model::product(mean, factors)?)
    }

    /// Whether the energy was invented or another machine's.
    pub fn is_simulated(&self) -> bool {
        self.simulated == Some(true)
    }

    /// The program that was run, or the caller's name of the span.
    pub fn name(&self) -> Option<&str> {
        let workload = self.measurement.as_ref().and_then(|measured| measured.workload.as_ref());
        workload.map(|workload| workload.program.as_str()).or(self.id.as_deref())
    }
}

/// A quantity between its ends, where all three are ones.
fn bounded<Q: Copy + PartialOrd, E>(
    [low, mean, high]: [Result<Q, E>; 3],
    level: f64,
) -> Option<Bounded<Q>> {
    Bounded::new(mean.ok()?, low.ok()?, high.ok()?, level)
}

/// What an input is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// How much was used.
    Energy,
    /// What the site adds.
    Site,
    /// What the grid emits.
    Grid,
}

impl About {
    /// Rule: each input that the format names is about one of them. What others name is about the energy.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "pue" => Self::Site,
            "intensity" | "factors" | "stand_in" | "grid" | "slot_noise" | "coverage"
            | "upstream" => Self::Grid,
            _ => Self::Energy,
        }
    }
}

#[cfg(test)]
mod tests;
