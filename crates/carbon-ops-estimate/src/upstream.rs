//! What of a life-cycle intensity is the power station's, and what is upstream of it.
//!
//! A life-cycle intensity has two things in it that an inventory counts apart: what leaves the chimney (scope 2
//! of one's own machines) and how fuel and plant came about (scope 3, category 3). Where a source gives both,
//! the difference of the two is the second one: for the same slot, zone, model and revision, and for no others,
//! as direct values of another time or model can exceed the life cycle's.
//!
//! ```
//! use carbon_ops_estimate::intensity::{Factor, InventoryIntensity, Interval, Meta, Signal, Slot};
//! use carbon_ops_estimate::upstream::split;
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
//! Deliberately absent: losses of the grid, of which no source here gives a part of its own; a split where there
//! is one value only.

use carbon_ops_units::GramsCo2ePerKilowattHour;

use crate::intensity::{Factor, InventoryIntensity, Slot};

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
        "the two slots differ in their {what}: {lifecycle} and {direct}\nhint: both have to be of one slot and one \
         revision"
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::intensity::{Interval, Kind, Meta, Signal};

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
