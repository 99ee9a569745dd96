//! The site of a machine or a span: its power usage effectiveness, from whoever knows it best.
//!
//! Out of scope: what its grid emits ([`crate::price`]).

use anyhow::Result;
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_grid::cloud::{Cloud, fleet_pue};
use carbon_ops_grid::zones::{self, Place};
use carbon_ops_units::Pue;

use crate::host::Host;
use crate::settings::{Origin, PueSetting, Settings};

/// What a published yearly PUE of a region may be off for one site of it. A prior: those of one cloud's
/// regions differ by about as much from year to year.
const CLOUD_SD: f64 = 0.05;

/// A power usage effectiveness as it enters an estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct PueInput {
    /// What is known of it.
    pub distribution: Distribution,
    /// Who says so.
    pub source: String,
    /// The key of its error: equal wherever the error is the same. A value that is exact has none.
    pub shared: Option<String>,
}

impl PueInput {
    /// The PUE of a site. In this order: what was said on the spot (`named`, else the settings' flag), the
    /// environment, the file's value for the zone, the file's value for all, what the operator of the cloud
    /// region published, what the cloud published that the machine is a guest of, the kind of machine.
    ///
    /// `host` is the machine, where the site is its own.
    ///
    /// # Errors
    /// When `named` is no PUE.
    pub fn resolve(
        named: Option<&str>,
        settings: &Settings,
        place: Option<&Place>,
        host: Option<&Host>,
    ) -> Result<Self> {
        if let Some(text) = named {
            return Self::stated(text);
        }
        let explicit = matches!(settings.pue.origin, Origin::Flag | Origin::Environment(_));
        if let Some(setting) = settings.pue.value.filter(|_| explicit) {
            return Ok(Self::set(setting, &settings.pue.origin));
        }
        if let Some(pue) = place.and_then(|place| overridden(settings, place)) {
            let origin = settings.file.clone().map_or(Origin::Default, Origin::File);
            return Ok(Self::set(pue, &origin));
        }
        if let Some(setting) = settings.pue.value {
            return Ok(Self::set(setting, &settings.pue.origin));
        }
        if let Some((pue, year)) = place.and_then(zones::cloud_pue) {
            let region =
                place.and_then(|place| place.cloud.as_ref()).map_or("", |(_, region)| region);
            return Ok(Self::published(
                pue,
                region,
                year,
                &format!("published for {region}, {year}"),
            ));
        }
        if let Some(fleet) = host.and_then(|host| host.cloud).and_then(fleet_pue) {
            let cloud = host.and_then(|host| host.cloud).map_or("", Cloud::as_str);
            let source = format!("published for all of {cloud}, {}", fleet.year);
            return Ok(Self::published(fleet.pue, cloud, fleet.year, &source));
        }
        if host.is_some_and(|host| host.personal) {
            let distribution = Distribution::Point { mean: 1.0 };
            return Ok(Self::new(distribution, "default: 1 on a desktop or laptop"));
        }
        let distribution = PueSetting::Enterprise.distribution();
        Ok(Self::new(distribution, "default: servers, Uptime Institute 2020 to 2023"))
    }

    /// As a user writes it: a number, a profile, or a distribution.
    ///
    /// # Errors
    /// When it is none of these, or lies below 1.
    pub fn stated(text: &str) -> Result<Self> {
        Ok(Self::set(PueSetting::parse(text)?, &Origin::Flag))
    }

    fn set(setting: PueSetting, origin: &Origin) -> Self {
        let origin = match origin {
            Origin::Flag | Origin::Default => "flag",
            Origin::Environment(name) => name,
            Origin::File(_) => "file",
        };
        let source = match setting {
            PueSetting::Stated(_) => origin.to_owned(),
            profile => format!("{origin}: {profile}"),
        };
        Self::new(setting.distribution(), source)
    }

    fn published(pue: Pue, site: &str, year: u16, source: &str) -> Self {
        let distribution = Distribution::TruncatedNormal {
            mu: pue.as_ratio(),
            sigma: CLOUD_SD,
            min: 1.0,
            max: None,
        };
        let source = format!("{source}; prior: ± {CLOUD_SD}");
        let shared = Some(format!("pue:{site}:{year}"));
        Self { distribution, source, shared }
    }

    /// However it was said, and by whom: one distribution is one error.
    fn new(distribution: Distribution, source: impl Into<String>) -> Self {
        let shared = (!distribution.is_point()).then(|| format!("pue:{distribution}"));
        Self { distribution, source: source.into(), shared }
    }
}

/// The file's value for the finest name of a place that it has one for.
fn overridden(settings: &Settings, place: &Place) -> Option<PueSetting> {
    let region = place.cloud.as_ref().map(|(_, region)| region);
    let names = [Some(&place.asked), region, place.subdivision.as_ref(), place.country.as_ref()];
    names.into_iter().flatten().find_map(|name| {
        let mut overrides = settings.pue_overrides.iter();
        overrides.find(|(zone, _)| zone.eq_ignore_ascii_case(name)).map(|(_, pue)| *pue)
    })
}
