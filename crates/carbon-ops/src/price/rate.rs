//! What a kilowatt hour of a time costs: PUE and grid, with what is not known of them. The same for all
//! energy of that time and place.
//!
//! Out of scope: the energy.

use anyhow::Result;
use carbon_ops_estimate::span::{Load, Missing};
use carbon_ops_grid::{Chain, Factor, Interval};
use carbon_ops_record::{self as record, Input, Quality, grid_inputs, grid_of, upstream};

use super::{Zone, given_grid, listed};
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
