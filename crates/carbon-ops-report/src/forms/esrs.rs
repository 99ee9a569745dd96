//! Data points of ESRS E1 (Delegated Regulation (EU) 2023/2772): E1-5, energy, and E1-6, emissions.
//!
//! | Records | Data point | Element of the taxonomy |
//! |---|---|---|
//! | own machines, energy with that of the site | E1-5_01 | |
//! | scope 2, location-based | E1-6_09 | `esrs:GrossLocationBasedScope2GreenhouseGasEmissions` |
//! | scope 2, market-based | E1-6_10 | `esrs:GrossMarketBasedScope2GreenhouseGasEmissions` |
//! | scope 3, and hardware, by category | part of E1-6_11 | `esrs:GrossScope3GreenhouseGasEmissions` |
//!
//! Scope 2 is what plants emit. A life-cycle factor has the fuel's way to the plant in it as well, scope 3, so that a
//! figure by one is no data point of either: it is named apart, with the reason.
//!
//! Sources: EFRAG IG 3, list of ESRS data points; EFRAG's ESRS XBRL taxonomy of 2023-12-22.
//!
//! Out of scope: what a company emits otherwise; where its electricity comes from; revenue.

use carbon_ops_record::totals::{Figure, Totals};
use serde_json::{Value, json};

use super::{Stated, decimal};

/// Grams in a tonne.
const TONNE_G: f64 = 1e6;

const TAXONOMY: &str = "https://xbrl.efrag.org/taxonomy/esrs/2023-12-22";

const LOCATION: &str = "scope 2, location-based";

/// What a data point says.
fn point(id: &str, element: &str, grams: [f64; 3], level_pct: f64, what: &str) -> Value {
    let [low, mean, high] = grams.map(|grams| decimal(grams / TONNE_G));
    json!({ "data_point": id, "element": element, "unit": "tCO2e", "value": mean, "low": low, "high": high,
        "confidence_level_pct": level_pct, "what": what })
}

/// What has no data point of its own.
fn apart(name: &str, of: &Totals, why: &str) -> Value {
    json!({ "what": name, "records": of.count, "unit": "tCO2e", "value": decimal(of.total_grams / TONNE_G),
        "why": why })
}

pub(super) fn form(stated: &Stated<'_>) -> Value {
    let (from, to) = stated.span();
    let (mut points, mut not_assigned) = (Vec::new(), Vec::new());
    let named = |name: &str| {
        name.split_once(": ").map_or((name.to_owned(), None), |(scope, counts)| {
            (scope.to_owned(), Some(counts.to_owned()))
        })
    };
    let groups = stated.sums.groups.iter().map(|(name, of)| (named(name), of));
    let groups: Vec<_> = groups.filter(|(_, of)| of.count > 0).collect();
    let own = groups.iter().filter(|((scope, _), _)| scope.starts_with(LOCATION));
    let kwh: Vec<f64> = own.map(|(_, of)| of.total_energy_with_pue_kwh).collect();
    if !kwh.is_empty() {
        points.push(json!({ "data_point": "E1-5_01", "element": Value::Null, "unit": "MWh",
            "value": decimal(kwh.iter().sum::<f64>() / 1e3),
            "what": "energy of own operations: computing, with its part of the site" }));
    }
    for ((scope, counts), of) in &groups {
        let counts = counts.clone().unwrap_or_else(|| stated.sums.counts.join(", "));
        let name = format!("{scope} ({counts})");
        let grams = [of.ci_lower_g, of.total_grams, of.ci_upper_g];
        let is_one = groups.iter().filter(|((other, _), _)| other == scope).count() == 1;
        if !counts.ends_with("CO2e") || counts.starts_with("marginal") || !is_one {
            let why = "a data point counts all gases, of the average of a grid, in one way";
            not_assigned.push(apart(&name, of, why));
        } else if scope == LOCATION {
            let element = "esrs:GrossLocationBasedScope2GreenhouseGasEmissions";
            points.push(point("E1-6_09", element, grams, of.confidence_level_pct, &name));
        } else if let Some(category) = category(scope) {
            points.push(scope_3(grams, of.confidence_level_pct, category, &name));
        } else {
            let why = "a life-cycle factor has scope 2 and category 3 of scope 3 in one figure";
            not_assigned.push(apart(&name, of, why));
        }
        if let Some(figure) = &of.embodied {
            let Figure { ci_lower_g, total_grams, ci_upper_g, confidence_level_pct, .. } = figure;
            let grams = [*ci_lower_g, *total_grams, *ci_upper_g];
            points.push(scope_3(grams, *confidence_level_pct, hardware(scope), "hardware"));
        }
        if let Some(market) = of.market.as_ref().filter(|_| scope.starts_with(LOCATION))
            && let Some(figure) = &market.figure
        {
            let grams = [figure.ci_lower_g, figure.total_grams, figure.ci_upper_g];
            let element = "esrs:GrossMarketBasedScope2GreenhouseGasEmissions";
            let counts = market.counts.join(", ");
            let name = if counts.is_empty() { "by the file of instruments" } else { &counts };
            points.push(point("E1-6_10", element, grams, figure.confidence_level_pct, name));
        }
    }
    json!({
        "form": "esrs-e1", "taxonomy": TAXONOMY, "from": from, "to": to, "data_points": points,
        "not_assigned": not_assigned, "proofs": stated.proofs(), "made": stated.made(),
        "not_stated": [
            { "data_point": "E1-5_02 to E1-5_09", "why": "records do not say where electricity came from" },
            { "data_point": "E1-6_07", "why": "computing has no emissions of scope 1" },
            { "data_point": "E1-6_11 to E1-6_13", "why": "totals are of all that a company emits" },
        ],
    })
}

fn scope_3(grams: [f64; 3], level_pct: f64, category: u8, what: &str) -> Value {
    let element = "esrs:GrossScope3GreenhouseGasEmissions";
    let mut point = point("E1-6_11", element, grams, level_pct, what);
    if let Some(point) = point.as_object_mut() {
        point.insert("part".to_owned(), true.into());
        point.insert("category".to_owned(), category.into());
    }
    point
}

/// The category of a figure that is of scope 3 and of one category.
fn category(scope: &str) -> Option<u8> {
    scope.strip_prefix("scope 3, category ")?.parse().ok()
}

/// The category of hardware, by what its operation counts as: see the table of deployments of records.
fn hardware(scope: &str) -> u8 {
    category(scope).filter(|category| matches!(category, 1 | 11)).unwrap_or(2)
}
