//! The rules that tie the members of a record together.
//!
//! Everything that follows without integration or sampling is derived again: prices, budget, and,
//! where the slots are listed, the price of the span itself.
//!
//! Out of scope: members beyond operation (`hardware`), and the measurement's own rules.

use std::collections::BTreeMap;

use super::derive::{Factors, budget_of};
use super::{
    Basis, Figure, Grid, ID_BYTES_MAX, LISTED_MAX, LoadSeries, MethodName, Record, Relative,
    SCHEMA_VERSION, Scope, StandIn, estimate,
};
use crate::{Error, LABEL_BYTES_MAX, LABELS_MAX, LIST_MAX, is_hex, rule};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::Interval;
use carbon_ops_estimate::span::{Load, Missing, Part, Priced, Rate, Tariff};
use carbon_ops_estimate::uncertainty::{LEVEL, Method, MonteCarlo, Trials};

/// What two ways of summing may differ by, relative: the ninth digit.
pub(super) const SAME: f64 = 1e-8;

impl Record {
    /// Checks every rule that ties members together and derives again what takes no integration: see
    /// [`Record::recompute`] for the rest.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), Error> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(rule("schema_version", "2"));
        }
        self.check_identity()?;
        self.check_text()?;
        self.check_derived()?;
        self.check_grid()?;
        self.check_measurement()?;
        self.scopes.iter().try_for_each(check_scope)?;
        if !self.scopes.iter().any(|scope| scope.figure == Figure::Operational) {
            return Err(rule("scopes", "at least one names the operational figure"));
        }
        let of_embodied = self.scopes.iter().any(|scope| scope.figure == Figure::Embodied);
        if of_embodied != self.embodied.is_some() {
            return Err(rule("scopes", "the embodied figure is named when there is one"));
        }
        self.check_market()?;
        self.check_beyond()
    }

    /// Derives the estimate again from the inputs and compares every digit, the interval included.
    ///
    /// # Errors
    /// The first member that differs.
    pub fn recompute(&self) -> Result<(), Error> {
        let method = self.method()?;
        let confirmed = match method {
            Method::Analytical => Relative::confirmed(&self.inputs, self.grams, &self.meta)?,
            Method::MonteCarlo(_) => None,
        };
        // What was not found again so is searched for, and named.
        let relative = confirmed.map_or_else(|| Relative::of(&self.inputs, method), Ok)?;
        let derived = estimate(&self.inputs, &relative)?;
        same("uncertainty_pct", self.uncertainty_pct, derived.uncertainty_pct)?;
        same("ci_lower_g", self.meta.ci_lower_g, derived.meta.ci_lower_g)?;
        same("ci_upper_g", self.meta.ci_upper_g, derived.meta.ci_upper_g)?;
        same("grams", self.grams, derived.prices.grams)?;
        let mut meta = derived.meta;
        // What the number of trials says already may be left out, as earlier states did.
        if meta.monte_carlo.is_some() && self.meta.numerical_error_g.is_none() {
            meta.numerical_error_g = None;
        }
        if self.meta != meta {
            return Err(rule("meta", "as its method gives it"));
        }
        self.recompute_beyond()
    }

    /// How its interval was computed.
    ///
    /// # Errors
    /// When method and sampling do not fit together.
    pub fn method(&self) -> Result<Method, Error> {
        let interval = self.meta.interval;
        match (self.meta.method, &self.meta.monte_carlo) {
            (MethodName::AnalyticalTruncated, None) => Ok(Method::Analytical),
            (MethodName::MonteCarlo, Some(sampling)) => {
                let trials = match sampling.adaptive_digits {
                    Some(digits) => Trials::Adaptive { digits },
                    None => Trials::Fixed(sampling.trials),
                };
                let seeded = MonteCarlo::seeded(sampling.seed.0);
                Ok(Method::MonteCarlo(MonteCarlo { trials, interval, ..seeded }))
            }
            _ => Err(rule("meta", "monte_carlo is there when it is the method")),
        }
    }

    /// The span.
    ///
    /// # Errors
    /// When its ends are no times in that order.
    pub fn interval(&self) -> Result<Interval, Error> {
        interval("end_ts", &self.start_ts, &self.end_ts)
    }

    fn check_derived(&self) -> Result<(), Error> {
        let factors = Factors::of(&self.inputs)?;
        let again = factors.prices();
        same("energy_kwh", self.energy_kwh, again.energy_kwh)?;
        same("pue_used", self.pue_used, again.pue_used)?;
        same("intensity_g_per_kwh", self.intensity_g_per_kwh, again.intensity_g_per_kwh)?;
        let total = again.total_energy_with_pue_kwh;
        same("total_energy_with_pue_kwh", self.total_energy_with_pue_kwh, total)?;
        same("grams", self.grams, again.grams)?;
        same("meta", self.meta.confidence_level_pct, round9(100.0 * LEVEL))?;
        let (low, high) = (self.meta.ci_lower_g, self.meta.ci_upper_g);
        if self.grams > 0.0 && (low >= high || !(low.is_finite() && high.is_finite())) {
            return Err(rule("meta", "an interval of some width"));
        }
        self.method()?;
        if self.budget != budget_of(&self.inputs, &factors) {
            return Err(rule("budget", "the shares of the record's own inputs"));
        }
        if !self.uncertainty_pct.is_finite() || self.uncertainty_pct < 0.0 {
            return Err(rule("uncertainty_pct", "not negative"));
        }
        Ok(())
    }

    fn check_grid(&self) -> Result<(), Error> {
        let Grid { coverage_pct, estimated_pct, forecast_pct, filled, slots, .. } = &self.grid;
        for (member, percent) in [
            ("coverage_pct", self.coverage_pct),
            ("grid", *coverage_pct),
            ("grid", *estimated_pct),
            ("grid", *forecast_pct),
        ] {
            if !(0.0..=100.0).contains(&percent) {
                return Err(rule(member, "0 to 100 percent"));
            }
        }
        let counted = self.measurement.as_ref().map_or(100.0, |measured| measured.coverage_pct);
        if self.coverage_pct.to_bits() != coverage_pct.min(counted).to_bits() {
            return Err(rule("coverage_pct", "the lesser of the grid's and the counters'"));
        }
        if filled.is_none() && *coverage_pct < 100.0 {
            return Err(rule("grid", "what was filled in is told"));
        }
        let missing: Missing = (self.grid.missing_policy.parse())
            .map_err(|_| rule("grid", "missing_policy: step, interpolate or drop"))?;
        check_listed(
            "grid",
            slots.count,
            slots.list.as_ref().map(Vec::len),
            slots.sha256.as_deref(),
        )?;
        if let Some(load) = &self.load {
            let listed = load.list.as_ref().map(Vec::len);
            check_listed("load", load.count, listed, load.sha256.as_deref())?;
        }
        match self.reprice(missing)? {
            Some(priced) => self.check_price(&priced),
            None => Ok(()),
        }
    }

    /// The price of the span by the record's own slots; `None` when they, or the parts of its energy, are
    /// not listed.
    ///
    /// # Errors
    /// When they are no slots, no parts, or do not meet the span.
    pub fn reprice(&self, missing: Missing) -> Result<Option<Priced>, Error> {
        let Some(slots) = self.grid.slots.list.as_ref().filter(|list| !list.is_empty()) else {
            return Ok(None);
        };
        let Some(load) = self.energy_over_time()? else { return Ok(None) };
        let mut rates = Vec::with_capacity(slots.len());
        for slot in slots {
            let source = slot.source.unwrap_or(0);
            let known = usize::try_from(source).is_ok_and(|at| at < self.grid.sources.len());
            if !known || slot.source == Some(0) {
                return Err(rule("grid", "slots name a source of the list, the first by silence"));
            }
            let interval = interval("grid", &slot.start, &slot.end)?;
            let source = u32::try_from(source).unwrap_or(u32::MAX);
            rates.push(Rate { interval, g_per_kwh: slot.g_per_kwh, class: slot.class, source });
        }
        let span = self.interval()?;
        let priced = Tariff::new(&rates)
            .and_then(|tariff| tariff.price(span, &load, missing))
            .map_err(|error| rule("grid", format!("slots that price the span: {error}")))?;
        Ok(Some(priced))
    }

    /// The energy as it was priced; `None` when its parts are not listed.
    ///
    /// # Errors
    /// When they are no parts.
    pub fn energy_over_time(&self) -> Result<Option<Load>, Error> {
        load(self.load.as_ref(), &self.start_ts, self.energy_kwh)
    }

    /// Holds the record's numbers against a price of its span.
    ///
    /// # Errors
    /// The first member that differs.
    pub fn check_price(&self, priced: &Priced) -> Result<(), Error> {
        let grid = &self.grid;
        let cv = |name: &str| -> Result<f64, Error> {
            // Those of single hours are independent of one another.
            let mut squares = 0.0;
            for input in self.inputs.iter().filter(|input| input.name == name) {
                squares += input.distribution()?.variance();
            }
            Ok(squares.sqrt())
        };
        let filled = grid.filled.as_ref();
        for (member, stored, again) in [
            ("intensity_g_per_kwh", self.intensity_g_per_kwh, priced.g_per_kwh),
            ("grid", grid.coverage_pct, 100.0 * priced.coverage),
            ("grid", grid.estimated_pct, 100.0 * priced.estimated),
            ("grid", grid.forecast_pct, 100.0 * priced.forecast),
            ("grid", filled.map_or(0.0, |filled| filled.seconds), priced.filled.seconds),
            ("grid", filled.map_or(0.0, |filled| filled.energy_kwh), priced.filled.kwh),
            ("grid", filled.map_or(0.0, |filled| filled.g_per_kwh), priced.filled.g_per_kwh),
            ("inputs", cv("slot_noise")?, priced.noise_cv),
            ("inputs", cv("coverage")?, priced.filled_cv),
        ] {
            if (stored - again).abs() > SAME * again.abs().max(1e-9) {
                return Err(rule(
                    member,
                    format!("{again} by the record's own slots, not {stored}"),
                ));
            }
        }
        let count = u64::try_from(priced.slots).unwrap_or(u64::MAX);
        if grid.slots.count == count {
            Ok(())
        } else {
            Err(rule("grid", "slots that meet the span, and no others"))
        }
    }

    fn check_measurement(&self) -> Result<(), Error> {
        let Some(measurement) = &self.measurement else { return Ok(()) };
        measurement.check()?;
        if self.host_id.as_deref().is_none_or(|id| id.is_empty() || !is_hex(id)) {
            return Err(rule("host_id", "lower-case hex, of a measurement"));
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53, as checked")]
        let kilowatt_hours = measurement.part_uj() as f64 / 3.6e12;
        same("energy_kwh", self.energy_kwh, round9(kilowatt_hours))
    }

    /// Who the record is, inside of whom, and what its work is called.
    fn check_identity(&self) -> Result<(), Error> {
        let is_id = |id: &str| id.len() == 32 && is_hex(id);
        if !is_id(&self.record_id) {
            return Err(rule("record_id", "32 digits of lower-case hex"));
        }
        if self.parent.as_ref().is_some_and(|parent| !is_id(parent) || *parent == self.record_id) {
            return Err(rule("parent", "the record_id of another record"));
        }
        if let Some(unit) = &self.unit {
            let fits = |text: &String| !text.is_empty() && text.len() <= LABEL_BYTES_MAX;
            let ids = unit.ids.iter().all(|(name, id)| fits(name) && fits(id));
            if !fits(&unit.kind) || !ids || unit.ids.len() > LABELS_MAX {
                return Err(rule("unit", "at most 64 ids, of 1 to 256 bytes"));
            }
        }
        for (member, flag) in [("partial", self.partial), ("interrupted", self.interrupted)] {
            if flag == Some(false) {
                return Err(rule(member, "true, or left out"));
            }
        }
        let cv = |stand_in: &StandIn| stand_in.cv.is_none_or(|cv| cv.is_finite() && cv >= 0.0);
        if !self.stand_ins.iter().all(cv) {
            return Err(rule("stand_ins", "spreads that are not negative"));
        }
        Ok(())
    }

    fn check_text(&self) -> Result<(), Error> {
        self.interval()?;
        names_fit(self.id.as_deref(), self.host_id.as_deref(), &self.labels)?;
        if self.inputs.len() > LIST_MAX
            || self.notes.len() > LIST_MAX
            || self.scopes.len() > LIST_MAX
            || self.stand_ins.len() > LIST_MAX
        {
            return Err(rule("inputs", "lists of at most 256 items"));
        }
        if !self.notes.is_sorted_by(|a, b| a < b) {
            return Err(rule("notes", "sorted, each once"));
        }
        for source in &self.grid.sources {
            let times = [&source.fetched_at, &source.updated_at];
            times.into_iter().flatten().try_for_each(|text| time("grid", text).map(|_| ()))?;
            let sorted = source.raw_sha256.is_sorted_by(|a, b| a < b);
            if !sorted || !source.raw_sha256.iter().all(|text| is_digest(text)) {
                return Err(rule("grid", "digests in hex, sorted, each once"));
            }
        }
        Ok(())
    }
}

/// Whether names of the user's own have room in a record, as whoever takes them asks first.
///
/// # Errors
/// Which one has not.
pub fn names_fit(
    id: Option<&str>,
    host: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for (member, text) in [("id", id), ("host_id", host)] {
        if text.is_some_and(|text| text.is_empty() || text.len() > ID_BYTES_MAX) {
            return Err(rule(member, "1 to 128 bytes"));
        }
    }
    let long = |text: &String| text.is_empty() || text.len() > LABEL_BYTES_MAX;
    if labels.len() > LABELS_MAX
        || labels.iter().any(|(key, value)| long(key) || value.len() > LABEL_BYTES_MAX)
    {
        return Err(rule("labels", "at most 64, of at most 256 bytes"));
    }
    Ok(())
}

/// Holds a stored double against the same one made again, to the last bit.
pub(super) fn same(member: &'static str, stored: f64, again: f64) -> Result<(), Error> {
    if stored.to_bits() == again.to_bits() {
        return Ok(());
    }
    Err(rule(member, format!("{again} by the record's own inputs, not {stored}")))
}

fn time(member: &'static str, text: &str) -> Result<jiff::Timestamp, Error> {
    carbon_ops_proof::entry::time(text).ok_or_else(|| rule(member, "UTC with six decimals and Z"))
}

fn interval(member: &'static str, start: &str, end: &str) -> Result<Interval, Error> {
    let (start, end) = (time(member, start)?, time(member, end)?);
    Interval::new(start, end).map_err(|_| rule(member, "an end after the start"))
}

pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

/// A list, or the digest of a longer one.
fn check_listed(
    member: &'static str,
    count: u64,
    listed: Option<usize>,
    digest: Option<&str>,
) -> Result<(), Error> {
    let counted = |n: usize| u64::try_from(n) == Ok(count) && n <= LISTED_MAX;
    let fine = match (listed, digest) {
        (Some(n), None) => counted(n),
        (None, Some(digest)) => is_digest(digest) && count > LISTED_MAX as u64,
        _ => false,
    };
    if fine { Ok(()) } else { Err(rule(member, "a list of up to 192, or the digest of more")) }
}

/// The energy of the span; `None` when its parts are not listed.
fn load(series: Option<&LoadSeries>, start: &str, kwh: f64) -> Result<Option<Load>, Error> {
    let Some(series) = series else { return Ok(Some(Load::Even(kwh))) };
    let Some(list) = &series.list else { return Ok(None) };
    let mut at = start;
    let mut parts = Vec::with_capacity(list.len());
    for part in list {
        parts.push(Part { interval: interval("load", at, &part.end)?, kwh: part.kwh });
        at = &part.end;
    }
    let load = Load::Series(parts);
    same("energy_kwh", kwh, round9(load.kwh()))?;
    Ok(Some(load))
}

fn check_scope(scope: &Scope) -> Result<(), Error> {
    let fine = match scope.scope {
        1 => scope.basis.is_none() && scope.category.is_none(),
        2 => scope.basis.is_some() && scope.category.is_none(),
        3 => {
            scope.basis != Some(Basis::Market)
                && scope.category.is_some_and(|category| (1..=15).contains(&category))
        }
        _ => false,
    };
    if fine {
        Ok(())
    } else {
        Err(rule("scopes", "1; 2 with a basis; 3 with a category from 1 to 15"))
    }
}
