//! Sums by the market (scope 2): what certificates, contracts and the residual mix make of the loads of records, beside
//! their sum by location and never added to it.
//!
//! Each record that counts in a sum, and whose figure of operation is scope 2, brings its energy with that of the site,
//! hour by hour as it was measured, or evenly over its span. The standard uncertainty is that of the factors, and that of
//! the energy, taken as one error of all hours, times what another kWh emits: where certificates are used up, the factor
//! of the rest.
//!
//! Out of scope: the matching ([`carbon_ops_estimate::market`]).

use std::collections::BTreeMap;

use carbon_ops_estimate::aggregate::Partial;
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{Interval, instant};
use carbon_ops_estimate::market::{Claim, Instruments, Loads, Matching, Statement};
use carbon_ops_units::KilowattHours;
use serde::Serialize;

use super::figure::{Figure, figure, over};
use crate::record::About;
use crate::{Error, Figure as Of, Record};

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
    /// Energy with that of the site, in kWh.
    pub energy_kwh: f64,
    /// The emissions; absent where a part of the energy has neither an instrument nor a factor, and without records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<MarketFigure>,
    /// What certificates of an hour match in their own hours, in percent of the energy.
    pub matched_by_hour_pct: f64,
    /// What certificates would match if only the year counted, in percent.
    pub matched_by_year_pct: f64,
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
        let of_second = |scope: &crate::Scope| scope.figure == Of::Operational && scope.scope == 2;
        if !record.scopes.iter().any(of_second) {
            load.others = 1;
            return Ok(load);
        }
        let span = record.interval()?;
        let parts = record.load.as_ref().and_then(|load| load.list.as_ref());
        load.even = u64::from(parts.is_none() && record.load.is_some());
        let site = if record.energy_kwh > 0.0 {
            record.total_energy_with_pue_kwh / record.energy_kwh
        } else {
            0.0
        };
        let mut add = |interval: &Interval, kwh: f64| {
            if let Ok(energy) = KilowattHours::new(kwh) {
                load.loads.add(instruments, &record.region, interval, energy);
            }
        };
        match parts {
            None => add(&span, record.total_energy_with_pue_kwh),
            Some(parts) => {
                let mut start = span.start();
                for part in parts {
                    let end =
                        instant(&part.end).map_err(|_| crate::rule("load", "parts with times"))?;
                    if let Ok(interval) = Interval::new(start, end) {
                        add(&interval, part.kwh * site);
                    }
                    start = end;
                }
            }
        }
        let mut variance = 1.0;
        let mut effects = Vec::new();
        for input in record.inputs.iter().filter(|input| About::of(&input.name) != About::Grid) {
            let distribution = input.distribution()?;
            let cv = distribution.variance().sqrt() / distribution.mean();
            if !cv.is_finite() {
                continue;
            }
            variance *= 1.0 + cv * cv;
            if let Some(key) = &input.shared {
                effects.push((key.as_str(), if input.sign == Some(-1) { -cv } else { cv }));
            }
        }
        let mean = record.total_energy_with_pue_kwh;
        let effects = effects.into_iter().map(|(key, cv)| (key, mean * cv));
        load.energy.add(mean, mean * (variance - 1.0).max(0.0).sqrt(), effects);
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
            energy_kwh: round9(stated.load_kwh),
            figure: is_priced.then(|| self.figure(&stated)),
            matched_by_hour_pct: percent(stated.by_hour_kwh),
            matched_by_year_pct: percent(stated.by_year_kwh),
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
        let mut grams = Partial::default();
        let effects = stated.effects.iter().map(|(key, effect)| (key.as_str(), *effect));
        grams.add(stated.grams, of_energy.hypot(squares.sqrt()), effects);
        let Figure {
            ci_lower_g,
            ci_upper_g,
            confidence_level_pct,
            relative_uncertainty_pct,
            total_grams,
            ..
        } = figure(&grams, None, 0);
        MarketFigure {
            ci_lower_g,
            ci_upper_g,
            confidence_level_pct,
            relative_uncertainty_pct,
            total_grams,
        }
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
