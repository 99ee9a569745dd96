//! The operation of a record by the market (scope 2), beside its figure by location and never added to it: what
//! contracts, and the factors for what nothing covers, make of its energy.
//!
//! Rules. The parts that were used have together the energy with that of the site; the grams are those of the parts; the
//! interval is that of a lognormal with the moments of factors and energy, so that whoever has the record can make each
//! digit again. Certificates belong to all loads of their hours, of which a record knows one: sums match them
//! ([`crate::totals`]), and a record says that there are some.
//!
//! Out of scope: what is matched with what ([`carbon_ops_estimate::market`]).

use std::collections::BTreeMap;

use carbon_ops_estimate::aggregate::{Partial, Total};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::{Factor, Interval, instant};
use carbon_ops_estimate::market::{Claims, Instruments, Loads, Rates, shared_key};
use carbon_ops_estimate::uncertainty::LEVEL;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_units::KilowattHours;

use super::check::{SAME, is_digest, same};
use super::{About, Basis, Figure, ID_BYTES_MAX, Market, MarketKind, MarketUse, Record, Scope};
use crate::{Error, LIST_MAX, Note, rule};

/// What is not known of the energy of a record with that of its site.
pub(crate) struct EnergyError<'r> {
    /// Standard uncertainty over the mean.
    pub(crate) relative: f64,
    /// What of it is shared: coefficients of variation by key, negative where the energy falls as the variable rises.
    pub(crate) shared: Vec<(&'r str, f64)>,
}

/// Grams by the market, as sums take them.
#[derive(Debug)]
pub(crate) struct MarketEffects {
    pub(crate) grams: f64,
    /// Their standard uncertainty.
    pub(crate) standard: f64,
    /// What of it is shared, by key.
    pub(crate) shared: Vec<(String, f64)>,
}

impl MarketUse {
    /// Mean and standard uncertainty of its factor, in g/kWh.
    pub(crate) fn factor(&self) -> Result<(f64, f64), Error> {
        let wrong =
            |reason: String| rule("market", format!("{:?} is a factor: {reason}", self.dist));
        let factor = Quantity::Intensity.read(&self.dist).map_err(|error| wrong(error.reason))?;
        if Quantity::Intensity.echo(&factor.rounded()) != self.dist {
            return Err(rule("market", "factors as records write them"));
        }
        if !(factor.mean().is_finite() && factor.mean() >= 0.0) {
            return Err(rule("market", "factors that are not negative"));
        }
        Ok((factor.mean(), factor.variance().sqrt()))
    }

    fn order(&self) -> (&str, &str, Option<&str>, &str) {
        (self.kind.as_str(), &self.market, self.id.as_deref(), &self.dist)
    }
}

impl Record {
    /// Whether its figure of operation counts as scope 2, or a part of it does.
    pub fn is_scope_2(&self) -> bool {
        let of_second = |scope: &Scope| scope.figure == Figure::Operational && scope.scope == 2;
        self.scopes.iter().any(of_second)
    }

    /// States the figure by the market, where the figure of operation is of scope 2: of contracts and of the factors for
    /// the rest. What has neither leaves the record without one, and notes say so.
    ///
    /// # Errors
    /// When a time of the record is none, which its check would have found.
    pub fn state_by_market(&mut self, rates: &Rates) -> Result<(), Error> {
        if !self.is_scope_2() {
            return Ok(());
        }
        let Claims { instruments: bought, factor, gases, sha256 } = &rates.claims;
        let mut loads = Loads::default();
        // Shares, which are the same of any energy.
        self.add_loads(bought, 1.0, &mut loads)?;
        let matching = bought.matched(&loads).map_err(|error| rule("market", error.to_string()))?;
        let stated = matching.of(&loads);
        let mut notes = Vec::new();
        notes.extend(rates.certificates.then_some(Note::CertificatesInSums));
        let total = self.total_energy_with_pue_kwh;
        if stated.unpriced_kwh > 1e-12 {
            notes.push(Note::MarketUnpriced);
        } else {
            let mut uses: Vec<MarketUse> = Vec::new();
            for (at, used) in &stated.uses {
                let Some(of) = bought.list().get(*at) else { continue };
                let Some(kind) = MarketKind::of(of.claim.as_str()) else { continue };
                uses.push(MarketUse {
                    dist: Quantity::Intensity.echo(&of.g_per_kwh.rounded()),
                    id: Some(of.id.clone()).filter(|id| !id.is_empty()),
                    kind,
                    kwh: total * used.kwh / stated.load_kwh,
                    market: of.market.clone(),
                });
            }
            uses.sort_by(|a, b| a.order().cmp(&b.order()));
            uses.dedup_by(|next, before| {
                let is_same = next.order() == before.order();
                if is_same {
                    before.kwh += next.kwh;
                }
                is_same
            });
            for used in &mut uses {
                used.kwh = round9(used.kwh);
            }
            let total = self.market_total(&uses)?;
            self.market = Some(Market {
                ci_lower_g: round9(total.low),
                ci_upper_g: round9(total.high),
                confidence_level_pct: round9(100.0 * LEVEL),
                factor: *factor,
                gases: *gases,
                grams: round9(total.mean),
                sha256: sha256.to_string(),
                uncertainty_pct: percent(&total),
                uses,
            });
            let source = format!("file of instruments {sha256}");
            self.scopes.push(Scope {
                basis: Some(Basis::Market),
                category: None,
                figure: Figure::Market,
                scope: 2,
                source,
            });
        }
        self.notes.extend(notes);
        self.notes.sort();
        self.notes.dedup();
        Ok(())
    }

    /// Adds its energy, as so much in all, to the loads of markets; true where it is spread evenly because its parts are
    /// more than it lists.
    ///
    /// # Errors
    /// When a time of the record is none, which its check would have found.
    pub(crate) fn add_loads(
        &self,
        instruments: &Instruments,
        total_kwh: f64,
        loads: &mut Loads,
    ) -> Result<bool, Error> {
        let span = self.interval()?;
        let mut add = |interval: &Interval, kwh: f64| {
            if let Ok(energy) = KilowattHours::new(kwh) {
                loads.add(instruments, &self.region, interval, energy);
            }
        };
        let Some(series) = &self.load else {
            add(&span, total_kwh);
            return Ok(false);
        };
        let listed = series.list.as_ref().filter(|_| self.energy_kwh > 0.0);
        let Some(parts) = listed else {
            add(&span, total_kwh);
            return Ok(series.list.is_none());
        };
        let mut start = span.start();
        for part in parts {
            let end = instant(&part.end).map_err(|_| rule("load", "parts with times"))?;
            if let Ok(interval) = Interval::new(start, end) {
                add(&interval, total_kwh * (part.kwh / self.energy_kwh));
            }
            start = end;
        }
        Ok(false)
    }

    /// What is not known of its energy with that of the site: all inputs but those of the grid.
    ///
    /// # Errors
    /// When an input is no distribution, which its check would have found.
    pub(crate) fn energy_error(&self) -> Result<EnergyError<'_>, Error> {
        let (mut variance, mut shared) = (1.0, Vec::new());
        for input in self.inputs.iter().filter(|input| About::of(&input.name) != About::Grid) {
            let Some(cv) = input.signed_cv()? else { continue };
            variance *= 1.0 + cv * cv;
            shared.extend(input.shared.as_deref().map(|key| (key, cv)));
        }
        Ok(EnergyError { relative: (variance - 1.0).max(0.0).sqrt(), shared })
    }

    /// What the figure by the market adds to a sum.
    ///
    /// # Errors
    /// When an input or a factor is no distribution, which its check would have found.
    pub(crate) fn market_effects(&self, uses: &[MarketUse]) -> Result<MarketEffects, Error> {
        let (mut grams, mut factors) = (0.0, BTreeMap::new());
        for used in uses {
            let (mean, standard) = used.factor()?;
            grams += used.kwh * mean;
            let id = used.id.as_deref().unwrap_or_default();
            let effect = factors.entry(shared_key(used.kind.as_str(), id, &used.market));
            *effect.or_insert(0.0) += used.kwh * standard;
        }
        let energy = self.energy_error()?;
        let of_factors: f64 = factors.values().map(|effect| effect * effect).sum();
        let of_energy = grams * energy.relative;
        let product = energy.relative * energy.relative * of_factors;
        let standard = (of_energy * of_energy + of_factors + product).sqrt();
        let shared = energy.shared.into_iter().map(|(key, cv)| (key.to_owned(), grams * cv));
        let factors = factors.into_iter().filter(|(_, effect)| *effect > 0.0);
        Ok(MarketEffects { grams, standard, shared: shared.chain(factors).collect() })
    }

    fn market_total(&self, uses: &[MarketUse]) -> Result<Total, Error> {
        let MarketEffects { grams, standard, shared } = self.market_effects(uses)?;
        let mut partial = Partial::default();
        partial.add(grams, standard, shared.iter().map(|(key, effect)| (key.as_str(), *effect)));
        Ok(partial.total())
    }

    /// The rules of the figure by the market.
    pub(super) fn check_market(&self) -> Result<(), Error> {
        let tagged = self.scopes.iter().filter(|scope| scope.figure == Figure::Market);
        let fine = |scope: &Scope| scope.scope == 2 && scope.basis == Some(Basis::Market);
        if tagged.clone().count() != usize::from(self.market.is_some()) || !tagged.clone().all(fine)
        {
            return Err(rule("scopes", "the figure by the market is named when there is one"));
        }
        let Some(market) = &self.market else { return Ok(()) };
        if !self.is_scope_2() {
            return Err(rule("market", "of a figure of scope 2"));
        }
        if !is_digest(&market.sha256) || market.factor == Factor::Upstream {
            return Err(rule("market", "factors of a file, direct or of the life cycle"));
        }
        let uses = &market.uses;
        let short = |text: &str| !text.is_empty() && text.len() <= ID_BYTES_MAX;
        let named = |of: &MarketUse| short(&of.market) && of.id.as_deref().is_none_or(short);
        let positive = |of: &MarketUse| of.kwh > 0.0 && of.kwh.is_finite();
        let sorted = uses.is_sorted_by(|a, b| a.order() < b.order());
        if !(sorted && uses.len() <= LIST_MAX && uses.iter().all(|of| named(of) && positive(of))) {
            return Err(rule("market", "uses in order, each once, of some energy"));
        }
        let (used, total) =
            (uses.iter().map(|of| of.kwh).sum::<f64>(), self.total_energy_with_pue_kwh);
        if (used - total).abs() > SAME * total {
            return Err(rule("market", format!("uses of {total} kWh, not of {used}")));
        }
        let again = self.market_total(uses)?;
        same("market", market.grams, round9(again.mean))?;
        same("market", market.ci_lower_g, round9(again.low))?;
        same("market", market.ci_upper_g, round9(again.high))?;
        same("market", market.confidence_level_pct, round9(100.0 * LEVEL))?;
        same("market", market.uncertainty_pct, percent(&again))
    }
}

/// Standard uncertainty in percent; of nothing none.
fn percent(total: &Total) -> f64 {
    if total.mean > 0.0 { round9(100.0 * total.standard / total.mean) } else { 0.0 }
}

#[cfg(test)]
mod tests;
