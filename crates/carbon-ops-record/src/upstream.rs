//! What of a life-cycle intensity is the power station's, and what is upstream of it.
//!
//! A life-cycle intensity has two things in it that an inventory counts apart: what leaves the chimney (scope 2
//! of one's own machines) and how fuel and plant came about (scope 3, category 3). Where a source gives both,
//! the difference of the two is the second one: for the same slot, zone, model and revision, and for no others,
//! as direct values of another time or model can exceed the life cycle's.
//!
//! ```
//! use carbon_ops_estimate::intensity::{Factor, InventoryIntensity, Interval, Meta, Signal, Slot};
//! use carbon_ops_record::upstream::split;
//! use carbon_ops_units::GramsCo2ePerKilowattHour;
//! use std::sync::Arc;
//! let hour = Interval::parse("2026-03-01T00:00Z", "2026-03-01T01:00Z")?;
//! let slot = |grams, factor| -> Result<_, carbon_ops_units::OutOfRange> {
//!     let signal = Signal { factor, ..Signal::AVERAGE_LIFECYCLE_PRODUCTION };
//!     let value = InventoryIntensity::new(GramsCo2ePerKilowattHour::new(grams)?);
//!     Ok(Slot::new(hour, value, Arc::new(Meta::new("electricity_maps", "DE", signal))))
//! };
//! let parts = split(&slot(380.0, Factor::Lifecycle)?, &slot(330.0, Factor::Direct)?)?;
//! assert!((parts.upstream.as_grams_per_kilowatt_hour() - 50.0).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`slots`] does it for a time, [`prior`] is what is not known of the difference, and [`cite`] names in a record
//! the answers that the direct values came in.
//!
//! Out of scope: losses of the grid, of which no source here gives a part of its own; a split where there
//! is one value only.

use std::collections::HashMap;
use std::sync::Arc;

use carbon_ops_units::GramsCo2ePerKilowattHour;

use crate::Grid;
use carbon_ops_estimate::embodied::within_factor;
use carbon_ops_estimate::intensity::{Factor, Interval, InventoryIntensity, Meta, Signal, Slot};
use carbon_ops_estimate::uncertainty::Distribution;

/// The true upstream part lies within a factor of 2 of the difference with 95 %. Prior: no source gives an
/// uncertainty of it; leaks of methane and the way of fuels differ by that much between sites.
const FACTOR95: f64 = 2.0;

/// The parts of an intensity. They add up to that of the life cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// At the chimney: of one's own machines scope 2.
    pub direct: GramsCo2ePerKilowattHour,
    /// Before it: scope 3, category 3.
    pub upstream: GramsCo2ePerKilowattHour,
}

/// Why two slots are not the parts of one value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The first is not of the life cycle, or the second not direct.
    #[error(
        "{first} and {second}: a split is of a life-cycle and a direct intensity, in this order"
    )]
    Factors {
        /// What the first counts.
        first: Factor,
        /// What the second counts.
        second: Factor,
    },
    /// They differ in something else than that.
    #[error(
        "the two slots differ in their {what}: {lifecycle} and {direct}; both have to be of one slot \
         and one revision"
    )]
    Differ {
        /// In what.
        what: &'static str,
        /// Of the first.
        lifecycle: String,
        /// Of the second.
        direct: String,
    },
    /// More at the chimney than over the whole life.
    #[error("{direct} g/kWh at the chimney are more than {lifecycle} g/kWh over the life cycle")]
    Negative {
        /// Over the life cycle.
        lifecycle: f64,
        /// At the chimney.
        direct: f64,
    },
}

/// The parts of a life-cycle intensity.
///
/// # Errors
/// When the two are not one slot of one zone in one revision, or the direct value is the larger one.
pub fn split(
    lifecycle: &Slot<InventoryIntensity>,
    direct: &Slot<InventoryIntensity>,
) -> Result<Parts, Refused> {
    let (whole, part) = (&lifecycle.meta, &direct.meta);
    let (first, second) = (whole.signal.factor, part.signal.factor);
    if first != Factor::Lifecycle || second != Factor::Direct {
        return Err(Refused::Factors { first, second });
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let revision =
        |slot: &Slot<InventoryIntensity>| or_none(slot.updated_at.map(|at| at.to_string()));
    let signal = |slot: &Slot<InventoryIntensity>| {
        let signal = slot.meta.signal;
        format!("{} {} {}", signal.kind, signal.accounting, signal.gases)
    };
    for (what, lifecycle, direct) in [
        ("time", lifecycle.interval.to_string(), direct.interval.to_string()),
        ("source", whole.provider.clone(), part.provider.clone()),
        ("zone", whole.zone_returned.clone(), part.zone_returned.clone()),
        ("signal", signal(lifecycle), signal(direct)),
        ("model", or_none(whole.model_version.clone()), or_none(part.model_version.clone())),
        (
            "estimation",
            or_none(whole.estimation_method.clone()),
            or_none(part.estimation_method.clone()),
        ),
        ("revision", revision(lifecycle), revision(direct)),
    ] {
        if lifecycle != direct {
            return Err(Refused::Differ { what, lifecycle, direct });
        }
    }
    let (whole, part) =
        (lifecycle.as_grams_per_kilowatt_hour(), direct.as_grams_per_kilowatt_hour());
    let negative = || Refused::Negative { lifecycle: whole, direct: part };
    let of = |grams: f64| GramsCo2ePerKilowattHour::new(grams).map_err(|_| negative());
    Ok(Parts { direct: of(part)?, upstream: of(whole - part)? })
}

/// The upstream part of each slot of the life cycle that has a direct counterpart; a slot without one is left out,
/// which makes it a gap.
///
/// # Errors
/// When two slots of one time are not of one source, zone, model and revision, or the direct value is the larger
/// one.
pub fn slots(
    lifecycle: &[Slot<InventoryIntensity>],
    direct: &[Slot<InventoryIntensity>],
) -> Result<Vec<Slot<InventoryIntensity>>, Refused> {
    let by_time: HashMap<_, _> = direct.iter().map(|slot| (slot.interval.start(), slot)).collect();
    let mut metas: HashMap<*const Meta, Arc<Meta>> = HashMap::new();
    let mut upstream = Vec::with_capacity(lifecycle.len());
    for whole in lifecycle {
        let Some(part) = by_time.get(&whole.interval.start()) else { continue };
        let value = InventoryIntensity::new(split(whole, part)?.upstream);
        let meta = metas.entry(Arc::as_ptr(&whole.meta)).or_insert_with(|| {
            let signal = Signal { factor: Factor::Upstream, ..whole.meta.signal };
            Arc::new(Meta { signal, ..Meta::clone(&whole.meta) })
        });
        let slot = Slot::new(whole.interval, value, Arc::clone(meta));
        upstream.push(Slot { updated_at: whole.updated_at, ..slot });
    }
    Ok(upstream)
}

/// A factor of mean 1: how well the difference is known.
///
/// # Errors
/// Never, as the factor is above 1.
///
/// ```
/// // Ends a factor of 4 apart.
/// let prior = carbon_ops_record::upstream::prior()?;
/// assert!((prior.quantile(0.975) / prior.quantile(0.025) - 4.0).abs() < 1e-6);
/// # Ok::<(), carbon_ops_estimate::uncertainty::Error>(())
/// ```
pub fn prior() -> Result<Distribution, carbon_ops_estimate::uncertainty::Error> {
    within_factor(FACTOR95)
}

/// Names in a grid of upstream slots the answers that the direct values came in, beside those of the life cycle.
pub fn cite(grid: &mut Grid, direct: &[Slot<InventoryIntensity>], span: Interval) {
    for slot in direct.iter().filter(|slot| slot.interval.intersection(&span).is_some()) {
        let Some(digest) = slot.meta.raw_digest.map(|digest| digest.to_string()) else { continue };
        let same = |provider: &str, zone: &str| {
            provider == slot.meta.provider && zone == slot.meta.zone_returned
        };
        let sources = grid.sources.iter_mut();
        for source in sources.filter(|source| same(&source.provider, &source.zone_returned)) {
            if let Err(at) = source.raw_sha256.binary_search(&digest) {
                source.raw_sha256.insert(at, digest.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carbon_ops_estimate::intensity::{Interval, Kind, Meta, Signal};

    fn slot(grams: f64, factor: Factor) -> Slot<InventoryIntensity> {
        let hour = Interval::parse("2024-09-24T03:00Z", "2024-09-24T04:00Z").unwrap();
        let signal = Signal { factor, ..Signal::AVERAGE_LIFECYCLE_PRODUCTION };
        let value = InventoryIntensity::new(GramsCo2ePerKilowattHour::new(grams).unwrap());
        let mut slot = Slot::new(hour, value, Arc::new(Meta::new("electricity_maps", "X", signal)));
        slot.updated_at = Some("2024-09-27T00:00Z".parse().unwrap());
        slot
    }

    #[test]
    fn the_parts_add_up_to_the_life_cycle() {
        // IPCC AR5 WG3, Annex III, medians of coal: 820 over the life cycle, 760 at the chimney.
        let parts = split(&slot(820.0, Factor::Lifecycle), &slot(760.0, Factor::Direct)).unwrap();
        assert!((parts.upstream.as_grams_per_kilowatt_hour() - 60.0).abs() < 1e-9);
        assert!((parts.direct.as_grams_per_kilowatt_hour() - 760.0).abs() < 1e-9);
        // A grid without chimneys.
        let hydro = split(&slot(24.0, Factor::Lifecycle), &slot(0.0, Factor::Direct)).unwrap();
        assert!((hydro.upstream.as_grams_per_kilowatt_hour() - 24.0).abs() < 1e-9);
    }

    /// 466 and 400 at 03:00; of 04:00 the direct value is missing.
    #[test]
    fn a_time_is_split_slot_by_slot_and_a_missing_part_is_a_gap() {
        let mut later = slot(470.0, Factor::Lifecycle);
        later.interval = Interval::parse("2024-09-24T04:00Z", "2024-09-24T05:00Z").unwrap();
        let (whole, part) =
            ([slot(466.0, Factor::Lifecycle), later], [slot(400.0, Factor::Direct)]);
        let upstream = slots(&whole, &part).unwrap();
        let [only] = upstream.as_slice() else { panic!("{upstream:?}") };
        assert!((only.as_grams_per_kilowatt_hour() - 66.0).abs() < 1e-9);
        assert_eq!(only.meta.signal.as_str(), "average_upstream");
        assert_eq!((only.interval, only.updated_at), (whole[0].interval, whole[0].updated_at));
        assert!(slots(&whole, &[slot(500.0, Factor::Direct)]).is_err());
        assert!(slots(&whole, &[]).unwrap().is_empty());
    }

    #[test]
    fn slots_that_are_not_the_same_are_not_split() {
        let whole = slot(466.0, Factor::Lifecycle);
        // What Electricity Maps said of one hour: 466 over the life cycle, and three days later 506 direct.
        let mut later = slot(506.0, Factor::Direct);
        assert!(matches!(split(&whole, &later), Err(Refused::Negative { .. })));
        later = slot(400.0, Factor::Direct);
        later.updated_at = Some("2024-09-28T00:00Z".parse().unwrap());
        let refused = split(&whole, &later).unwrap_err().to_string();
        assert!(refused.contains("revision"), "{refused}");
        let mut other = slot(400.0, Factor::Direct);
        other.interval = Interval::parse("2024-09-24T04:00Z", "2024-09-24T05:00Z").unwrap();
        assert!(split(&whole, &other).unwrap_err().to_string().contains("time"));
        let with = |change: &dyn Fn(&mut Meta)| {
            let mut slot = slot(400.0, Factor::Direct);
            change(Arc::make_mut(&mut slot.meta));
            split(&whole, &slot).unwrap_err().to_string()
        };
        assert!(with(&|meta| meta.zone_returned = "Y".to_owned()).contains("zone"));
        assert!(with(&|meta| meta.provider = "file".to_owned()).contains("source"));
        assert!(with(&|meta| meta.model_version = Some("2".to_owned())).contains("model"));
        assert!(with(&|meta| meta.signal.kind = Kind::Residual).contains("signal"));
        assert!(matches!(split(&whole, &whole), Err(Refused::Factors { .. })));
    }
}
