//! What a kilowatt hour of a time costs: PUE and grid, with what is not known of them. The same for all
//! energy of that time and place.
//!
//! Out of scope: the energy.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use carbon_ops_estimate::span::{Load, Missing};
use carbon_ops_grid::{Chain, Factor, Interval};
use carbon_ops_record::{
    self as record, Input, LISTED_MAX, Method, Quality, Relative, Slots, Source, grid_inputs,
    grid_of, upstream,
};
use sha2::{Digest as _, Sha256};

use super::zone::Zone;
use crate::bytes;
use crate::site::PueInput;

/// Of a time and place.
#[derive(Debug)]
pub(super) struct Rate {
    /// PUE and intensity, and what is not known of the latter.
    pub(super) inputs: Vec<Input>,
    /// The grid as records keep it.
    pub(super) grid: record::Grid,
    /// What of a life cycle the intensity counts.
    pub(super) factor: Factor,
    /// What stands behind the intensity.
    pub(super) quality: Quality,
}

impl Rate {
    pub(super) fn of(
        zone: &mut Zone,
        pue: &PueInput,
        chain: &Chain,
        interval: Interval,
        load: &Load,
        missing: Missing,
    ) -> Result<Self> {
        let site = Input::new("pue", pue.distribution, &*pue.source);
        let mut inputs = vec![match &pue.shared {
            Some(key) => site.shared(key.as_str()),
            None => site,
        }];
        if let Some(intensity) = zone.given_intensity() {
            inputs.push(intensity);
            let (grid, quality) = (given_grid(missing), zone.quality(None));
            return Ok(Self { inputs, grid, factor: Factor::Direct, quality });
        }
        zone.load(chain, interval)?;
        let (slots, tariff) = (zone.slots(interval), zone.tariff(interval)?);
        let priced = tariff.price(interval, load, missing)?;
        let (intensity, source) = zone.intensity(interval);
        inputs.extend(grid_inputs(&priced, &tariff, intensity, &source));
        inputs.extend(zone.errors()?);
        let factor = slots.first().map_or(Factor::Lifecycle, |slot| slot.meta.signal.factor);
        let mut grid = grid_of(interval, &priced, &slots, missing);
        upstream::cite(&mut grid, zone.direct(), interval);
        Ok(Self { inputs, grid: listed(grid)?, factor, quality: zone.quality(Some(&priced)) })
    }

    /// The mean of an input.
    pub(super) fn mean(&self, name: &str) -> f64 {
        let input = self.inputs.iter().find(|input| input.name == name);
        input.and_then(|input| input.distribution().ok()).map_or(f64::NAN, |input| input.mean())
    }
}

/// Sets of inputs that are kept; more means that every span is another, and none is worth keeping.
pub(super) const KEPT_MAX: usize = 10_000;

/// From the store of those that were computed, where the same inputs are, whatever their means.
pub(super) fn relative(
    kept: &mut HashMap<String, Relative>,
    inputs: &[Input],
    method: Method,
) -> Result<Relative> {
    let mut key = String::new();
    for input in inputs {
        // A lognormal over its mean depends on its last parameter only.
        let text = match input.dist.strip_prefix("ln(").and_then(|rest| rest.split_once(',')) {
            Some((_, cv)) => cv,
            // Nothing used has no part in a relative distribution.
            None if input.name == "energy" && input.dist != "0kWh" => "",
            None => &input.dist,
        };
        key.push_str(text);
        key.push('|');
        key.push_str(input.shared.as_deref().unwrap_or_default());
        key.push('\n');
    }
    if let Some(relative) = kept.get(&key) {
        return Ok(relative.clone());
    }
    let relative = Relative::of(inputs, method).context("no interval from these inputs")?;
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(key, relative.clone());
    Ok(relative)
}

/// No slots: the intensity was given.
fn given_grid(missing: Missing) -> record::Grid {
    let source = Source {
        attribution: String::new(),
        fetched_at: None,
        licence: String::new(),
        model_version: None,
        provider: "flag".into(),
        raw_sha256: Vec::new(),
        updated_at: None,
        zone_requested: String::new(),
        zone_returned: String::new(),
    };
    record::Grid {
        coverage_pct: 100.0,
        estimated_pct: 0.0,
        filled: None,
        forecast_pct: 0.0,
        missing_policy: missing.as_str().into(),
        slots: Slots { count: 0, list: Some(Vec::new()), sha256: None },
        sources: vec![source],
    }
}

/// A list that is too long becomes its digest.
pub(crate) fn listed(mut grid: record::Grid) -> Result<record::Grid> {
    if let Some(list) = grid.slots.list.take_if(|list| list.len() > LISTED_MAX) {
        grid.slots.sha256 = Some(digest(&list)?);
    }
    Ok(grid)
}

/// SHA-256 of the canonical form, in hex.
pub(super) fn digest(list: &impl serde::Serialize) -> Result<String> {
    let mut line = Vec::new();
    bytes::canonical(list, &mut line)?;
    Ok(Sha256::digest(&line).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
