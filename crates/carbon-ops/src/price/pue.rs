//! The PUE of a span: as given, by the zone's override, as configured, as a cloud publishes it for its
//! region, or the default.

use anyhow::{Context as _, Result, ensure};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_estimate::uncertainty::text::Quantity;
use carbon_ops_grid::zones::{self, Place};

use crate::compose::PueInput;
use crate::settings::{PueSetting, Settings};

/// What a published yearly PUE of a region may be off for one site of it. A prior: those of one cloud's
/// regions differ by about as much from year to year.
const CLOUD_SD: f64 = 0.05;

pub(super) fn resolve(
    named: Option<&str>,
    settings: &Settings,
    place: Option<&Place>,
) -> Result<PueInput> {
    if let Some(text) = named {
        let (distribution, shown) = match PueSetting::parse(text) {
            Ok(setting @ PueSetting::Exact(_)) => (setting.distribution(), "flag".to_owned()),
            Ok(profile) => (profile.distribution(), format!("flag: {profile}")),
            Err(_) => (Quantity::Ratio.read(text).context("PUE")?, "flag".to_owned()),
        };
        ensure!(
            distribution.mean() >= 1.0,
            "a PUE of {text} lies below 1\nhint: it is the energy of the site over that of its computers"
        );
        // However it was written: one distribution is one error.
        return Ok(PueInput {
            distribution,
            source: shown,
            shared: format!("pue:flag:{distribution}"),
        });
    }
    if let Some(pue) = place.and_then(|place| overridden(settings, place)) {
        let distribution = PueSetting::Exact(pue).distribution();
        return Ok(PueInput { distribution, source: "file".into(), shared: "pue:file".into() });
    }
    if let Some(setting) = settings.pue.value {
        let origin = settings.pue.origin.to_string();
        let origin = origin.split(' ').next().unwrap_or_default().to_owned();
        let distribution = setting.distribution();
        return Ok(PueInput { distribution, shared: format!("pue:{origin}"), source: origin });
    }
    if let Some((pue, year)) = place.and_then(zones::cloud_pue) {
        let region = place.map_or("", |place| &place.asked);
        let distribution = Distribution::TruncatedNormal {
            mu: pue.as_ratio(),
            sigma: CLOUD_SD,
            min: 1.0,
            max: None,
        };
        let source = format!("published for {region}, {year}; prior: ± {CLOUD_SD}");
        return Ok(PueInput { distribution, source, shared: format!("pue:{region}:{year}") });
    }
    let source = "default: servers, Uptime Institute 2020 to 2023; set --pue".to_owned();
    let distribution = PueSetting::Enterprise.distribution();
    Ok(PueInput { distribution, source, shared: "pue:default".into() })
}

fn overridden(settings: &Settings, place: &Place) -> Option<carbon_ops_units::Pue> {
    let names = [Some(&place.asked), place.subdivision.as_ref(), place.country.as_ref()];
    names.into_iter().flatten().find_map(|name| {
        let mut overrides = settings.pue_overrides.iter();
        overrides.find(|(zone, _)| zone.eq_ignore_ascii_case(name)).map(|(_, pue)| *pue)
    })
}
