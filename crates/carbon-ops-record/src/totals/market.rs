//! Sums by the market (scope 2), beside the sums by location and never added to them: what certificates, contracts and the
//! residual mix make of the loads of records, or what the records state themselves.
//!
//! What records state is summed where their factors count the same, and where each record of scope 2 states it: else
//! the energy without a figure is named, and there is no total.
//!
//! Each record that counts in a sum, and whose figure of operation is scope 2, brings its energy with that of the site,
//! hour by hour as it was measured, or evenly over its span. The standard uncertainty is that of the factors, and that of
//! the energy, taken as one error of all hours, times what another kWh emits: where certificates are used up, the factor
//! of the rest.
//!
//! Out of scope: the matching ([`carbon_ops_estimate::market`]).

use std::collections::BTreeMap;

use carbon_ops_estimate::aggregate::{ExactSum, Partial};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{Factor, Gases};
use carbon_ops_estimate::market::{Claim, Instruments, Loads, Matching, Statement};
use serde::Serialize;

use super::figure::{Figure, by_key, figure, of_products, over};
use crate::record::MarketEffects;
use crate::{Error, MarketKind, MarketUse, Record};

/// The load of records, and how well it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Load {
    loads: Loads,
    energy: Partial,
    /// Records whose figure is of another scope.
    others: u64,
    /// Records whose energy was measured in more parts than they list.
    even: u64,
}

/// A sum by the market; all doubles have nine digits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ByMarket {
    /// What the factors that records state count: there is no total where these are several. Empty of a file, which says it
    /// itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<String>,
    /// Energy with that of the site, in kWh.
    pub energy_kwh: f64,
    /// The emissions; absent where a part of the energy has neither an instrument nor a factor, and without records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<MarketFigure>,
    /// What certificates of an hour match in their own hours, in percent of the energy; absent without a file, since records
    /// know nothing of certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_by_hour_pct: Option<f64>,
    /// What certificates would match if only the year counted, in percent; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_by_year_pct: Option<f64>,
    /// What certificates and contracts cover, in percent.
    pub matched_pct: f64,
    /// How many records.
    pub records: u64,
    /// Records of other scopes, which have no figure by the market.
    pub records_of_other_scopes: u64,
    /// Records whose energy was spread evenly, since they list none of the many parts in which it was measured.
    pub records_spread_evenly: u64,
    /// What has neither an instrument nor a factor, in kWh.
    pub unpriced_kwh: f64,
    /// What was used, by kind, market and name; certificates of one market are one.
    pub uses: Vec<Used>,
}

/// Emissions by the market.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarketFigure {
    /// Lower end of the interval, gCO2e.
    pub ci_lower_g: f64,
    /// Upper end, gCO2e.
    pub ci_upper_g: f64,
    /// Coverage probability in percent.
    pub confidence_level_pct: f64,
    /// Standard uncertainty (k = 1) in percent.
    pub relative_uncertainty_pct: f64,
    /// The sum in gCO2e.
    pub total_grams: f64,
}

/// What was used of instruments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Used {
    /// Mean factor.
    pub g_per_kwh: f64,
    /// Name of a contract or of a factor; absent of certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `certificate`, `contract`, `residual`, `fossil`.
    pub kind: &'static str,
    /// Energy in kWh.
    pub kwh: f64,
    /// The market.
    pub market: String,
}

impl Load {
    /// Of one record.
    ///
    /// # Errors
    /// When an input of the record is no distribution, or a time is none, which its check would have found.
    pub fn of(record: &Record, instruments: &Instruments) -> Result<Self, Error> {
        let mut load = Self::default();
        if !record.is_scope_2() {
            load.others = 1;
            return Ok(load);
        }
        let mean = record.total_energy_with_pue_kwh;
        let is_even = record.add_loads(instruments, mean, &mut load.loads)?;
        load.even = u64::from(is_even);
        let error = record.energy_error()?;
        let effects = error.shared.iter().map(|(key, cv)| (*key, mean * cv));
        load.energy.add(mean, mean * error.relative, effects);
        Ok(load)
    }

    /// Adds another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.loads.merge(&other.loads);
        self.energy.merge(&other.energy);
        self.others += other.others;
        self.even += other.even;
    }

    /// What instruments match of all of it.
    pub(super) fn matched<'i>(&self, instruments: &'i Instruments) -> Result<Matching<'i>, Error> {
        instruments.matched(&self.loads).map_err(|error| crate::rule("market", error.to_string()))
    }

    /// What is stated of it, as a part of what was matched.
    pub(super) fn stated(&self, matching: &Matching<'_>, instruments: &Instruments) -> ByMarket {
        let stated = matching.of(&self.loads);
        let percent = |kwh: f64| over(100.0 * kwh, stated.load_kwh);
        let records = self.energy.parts().0;
        // Less than this is what sums of doubles leave. Of no record nothing is known, which is no 0.
        let is_all = stated.unpriced_kwh <= 1e-12 * stated.load_kwh;
        let is_priced = is_all && records > 0;
        ByMarket {
            counts: Vec::new(),
            energy_kwh: round9(stated.load_kwh),
            figure: is_priced.then(|| self.figure(&stated)),
            matched_by_hour_pct: Some(percent(stated.by_hour_kwh)),
            matched_by_year_pct: Some(percent(stated.by_year_kwh)),
            matched_pct: percent(stated.matched_kwh),
            records,
            records_of_other_scopes: self.others,
            records_spread_evenly: self.even,
            unpriced_kwh: if is_all { 0.0 } else { round9(stated.unpriced_kwh) },
            uses: uses(&stated, instruments),
        }
    }

    fn figure(&self, stated: &Statement) -> MarketFigure {
        let energy = self.energy.total();
        let relative = if energy.mean > 0.0 { energy.standard / energy.mean } else { 0.0 };
        let of_energy = relative * stated.grams_at_margin;
        let squares: f64 = stated.effects.values().map(|effect| effect * effect).sum();
        let both = relative * relative * squares;
        let mut grams = Partial::default();
        let effects = stated.effects.iter().map(|(key, effect)| (key.as_str(), *effect));
        grams.add(stated.grams, (of_energy * of_energy + squares + both).sqrt(), effects);
        MarketFigure::of(&grams)
    }
}

impl MarketFigure {
    fn of(grams: &Partial) -> Self {
        let Figure {
            ci_lower_g,
            ci_upper_g,
            confidence_level_pct,
            relative_uncertainty_pct,
            total_grams,
            ..
        } = figure(grams, None, 0);
        Self { ci_lower_g, ci_upper_g, confidence_level_pct, relative_uncertainty_pct, total_grams }
    }
}

/// What one record states by the market.
#[derive(Debug)]
pub(super) struct Own {
    energy_kwh: f64,
    /// Whether its figure is of scope 2.
    is_scope_2: bool,
    figure: Option<Box<OwnFigure>>,
}

#[derive(Debug)]
struct OwnFigure {
    counts: (Factor, Gases),
    effects: MarketEffects,
    uses: Vec<MarketUse>,
}

impl Own {
    pub(super) fn of(record: &Record) -> Result<Self, Error> {
        let figure = match &record.market {
            None => None,
            Some(market) => {
                let mut effects = record.market_effects(&market.uses)?;
                let errors = record.energy_error()?.shared;
                let product = of_products(&errors);
                let grams = effects.grams;
                effects.shared.extend(product.map(|(key, cv)| (key, grams * cv)));
                let (counts, uses) = ((market.factor, market.gases), market.uses.clone());
                Some(Box::new(OwnFigure { counts, effects, uses }))
            }
        };
        let energy_kwh = record.total_energy_with_pue_kwh;
        Ok(Self { energy_kwh, is_scope_2: record.is_scope_2(), figure })
    }
}

/// What records state by the market.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Told {
    by: BTreeMap<(Factor, Gases), Stated>,
    /// Of scope 2, and without a figure.
    without: ExactSum,
    records_without: u64,
    others: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Stated {
    energy: ExactSum,
    grams: Partial,
    /// Energy and grams by kind, market and name.
    uses: BTreeMap<(MarketKind, String, Option<String>), (ExactSum, ExactSum)>,
}

impl Told {
    pub(super) fn add(&mut self, own: &Own) {
        let Some(figure) = &own.figure else {
            if own.is_scope_2 {
                self.records_without += 1;
                self.without.add(own.energy_kwh);
            } else {
                self.others += 1;
            }
            return;
        };
        let stated = self.by.entry(figure.counts).or_default();
        stated.energy.add(own.energy_kwh);
        let MarketEffects { grams, standard, shared } = &figure.effects;
        stated.grams.add(*grams, *standard, by_key(shared));
        for used in &figure.uses {
            let key = (used.kind, used.market.clone(), used.id.clone());
            let sums = stated.uses.entry(key).or_default();
            sums.0.add(used.kwh);
            sums.1.add(used.kwh * used.factor().map_or(0.0, |(mean, _)| mean));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (counts, more) in &other.by {
            let stated = self.by.entry(*counts).or_default();
            stated.energy.merge(&more.energy);
            stated.grams.merge(&more.grams);
            for (key, (kwh, grams)) in &more.uses {
                let sums = stated.uses.entry(key.clone()).or_default();
                sums.0.merge(kwh);
                sums.1.merge(grams);
            }
        }
        self.without.merge(&other.without);
        self.records_without += other.records_without;
        self.others += other.others;
    }

    /// What they state together; `None` where none of them does.
    pub(super) fn stated(&self) -> Option<ByMarket> {
        if self.by.is_empty() {
            return None;
        }
        let without = self.without.value();
        let energy: f64 = self.by.values().map(|of| of.energy.value()).sum::<f64>() + without;
        let counts = self.by.keys().map(|(factor, gases)| format!("{factor} {gases}"));
        let is_one = self.by.len() == 1 && self.records_without == 0;
        let figure = self.by.values().next().filter(|_| is_one);
        let uses = self.by.values().flat_map(|of| &of.uses);
        let uses: Vec<Used> = uses
            .map(|((kind, market, id), (kwh, grams))| Used {
                g_per_kwh: over(grams.value(), kwh.value()),
                id: id.clone(),
                kind: kind.as_str(),
                kwh: round9(kwh.value()),
                market: market.clone(),
            })
            .collect();
        let contracts = uses.iter().filter(|used| used.kind == MarketKind::Contract.as_str());
        let matched: f64 = contracts.map(|used| used.kwh).sum();
        let records: u64 = self.by.values().map(|of| of.grams.parts().0).sum();
        Some(ByMarket {
            counts: counts.collect(),
            energy_kwh: round9(energy),
            figure: figure.map(|of| MarketFigure::of(&of.grams)),
            matched_by_hour_pct: None,
            matched_by_year_pct: None,
            matched_pct: over(100.0 * matched, energy),
            records: records + self.records_without,
            records_of_other_scopes: self.others,
            records_spread_evenly: 0,
            unpriced_kwh: round9(without),
            uses,
        })
    }
}

fn uses(stated: &Statement, instruments: &Instruments) -> Vec<Used> {
    let mut by_name: BTreeMap<(&str, &str, Option<&str>), (f64, f64)> = BTreeMap::new();
    for (at, used) in &stated.uses {
        let Some(instrument) = instruments.list().get(*at) else { continue };
        let named = !matches!(instrument.claim, Claim::Certificate { .. });
        let id = Some(instrument.id.as_str()).filter(|id| named && !id.is_empty());
        let of = by_name.entry((instrument.claim.as_str(), &instrument.market, id)).or_default();
        *of = (of.0 + used.kwh, of.1 + used.grams);
    }
    let used = |((kind, market, id), (kwh, grams)): ((_, &str, Option<&str>), _)| Used {
        g_per_kwh: over(grams, kwh),
        id: id.map(str::to_owned),
        kind,
        kwh: round9(kwh),
        market: market.to_owned(),
    };
    by_name.into_iter().map(used).collect()
}
