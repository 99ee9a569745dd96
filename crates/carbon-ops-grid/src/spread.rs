//! How far a yearly average may be off when it stands for a time and a place.
//!
//! Measured, not chosen: `data/spreads.csv`, which `cargo xtask priors` makes of published yearly and hourly values and
//! tests on years that did not set them (`docs/method.md`, "Yearly averages"). Relative standard deviations, which add
//! in squares:
//!
//! * `level`: the row's year against the same year as another source has it, imports traded through;
//! * `drift`: what a year of age adds, in squares;
//! * `hours`: single hours around the mean of their year;
//! * `factors`: emission factors of plants, which all rows of a table share. They are part of `level`;
//! * `within`: the grids of a country around the country's value, where there are several.
//!
//! A zone that was not measured has the spread of all zones.
//!
//! Out of scope: sources that give hours.

use carbon_ops_estimate::intensity::Interval;
use carbon_ops_estimate::tables::fields;
use carbon_ops_estimate::uncertainty::Distribution;
use jiff::tz::Offset;

use crate::stand_in::{StandIn, Why};
use crate::table::Row;

const SPREADS: &str = include_str!("../data/spreads.csv");

/// A state for a cloud region in it: regions stand in one balancing area of several (prior).
const REGION_IN_STATE: f64 = 0.2;

/// The grid of a neighbour for a country that it supplies: what stands in the country itself is not in it (prior).
const NEIGHBOUR: f64 = 0.3;

/// The measured spread of a zone, else that of all zones.
fn spread(kind: &str, zone: &str) -> f64 {
    let of = |zone: &str| {
        let mut rows = fields::<3>(SPREADS);
        rows.find_map(|[of, at, value]| (of == kind && at == zone).then(|| value.parse().ok())?)
    };
    // `data/spreads.csv` has a row for all zones of each kind, as a test holds.
    of(zone).or_else(|| of("*")).unwrap_or(f64::NAN)
}

impl Row {
    /// What is not known of the value when it stands for a job in that time, beyond what all rows of its table share
    /// ([`Row::factors`]).
    pub fn distribution(&self, at: Interval) -> Distribution {
        self.with(|level| {
            let factors = self.factors().map_or(0.0, |(cv, _)| cv);
            let own = (level * level - factors * factors).max(0.0);
            (own + self.aged(at)).sqrt()
        })
    }

    /// All that is not known of it, as one distribution.
    pub fn whole(&self, at: Interval) -> Distribution {
        let factors = self.factors().map_or(0.0, |(cv, _)| cv);
        self.with(|level| (level.max(factors).powi(2) + self.aged(at)).sqrt())
    }

    /// The coefficient of variation of what the rows of its table share, and the key of that error; `None` where
    /// nothing is: what leaves a chimney is measured there, and the world's spread is that of its countries.
    pub fn factors(&self) -> Option<(f64, &'static str)> {
        let key = self.table.factors.filter(|_| !self.is_world())?;
        (self.published() > 0.0).then(|| (spread("factors", "*"), key))
    }

    /// Years between the statistic and a time.
    pub fn age(&self, at: Interval) -> u16 {
        let middle = at.start().as_second().midpoint(at.end().as_second());
        let middle = jiff::Timestamp::from_second(middle).unwrap_or_default();
        Offset::UTC.to_datetime(middle).year().unsigned_abs().abs_diff(self.year)
    }

    /// The square of what age and hours add.
    fn aged(&self, at: Interval) -> f64 {
        let drift = spread("drift", "*").powi(2) * f64::from(self.age(at));
        drift + spread("hours", self.country()).powi(2)
    }

    fn with(&self, cv: impl Fn(f64) -> f64) -> Distribution {
        match self.published() {
            mean if mean > 0.0 && !self.is_world() => {
                // No spread is known to more digits.
                let cv = (1000.0 * cv(spread("level", self.zone()))).round() / 1000.0;
                Distribution::Lognormal { mean, cv }
            }
            _ => self.unmeasured(),
        }
    }

    /// Of a part of a country, the country.
    fn country(&self) -> &'static str {
        self.zone().split('-').next().unwrap_or_default()
    }
}

impl StandIn {
    /// How far what stands in may be from what was asked for, as a coefficient of variation; `None` where that is
    /// known to be the same grid, or where it is in the spread of what stands in (the world).
    pub fn cv(&self) -> Option<f64> {
        match self.why {
            Why::StateForCloudRegion => Some(REGION_IN_STATE),
            Why::NeighbourForCountry => Some(NEIGHBOUR),
            Why::CountryForCloudRegion | Why::CountryForSubdivision | Why::CountryForGridZone => {
                let mut rows = fields::<3>(SPREADS);
                let cv = rows.find(|[kind, zone, _]| *kind == "within" && *zone == self.used);
                cv.and_then(|[_, _, value]| value.parse().ok())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use carbon_ops_estimate::intensity::UncertaintyClass;
    use carbon_ops_estimate::span::{noise_cv, shared_cv};

    use super::*;
    use crate::provider::Want;
    use crate::zones::Place;

    fn row(zone: &str) -> Row {
        Row::finest(&Place::parse(zone).unwrap(), &Want::AVERAGE).unwrap()
    }

    fn year(year: u16) -> Interval {
        Interval::parse(&format!("{year}-06-01T00:00Z"), &format!("{year}-06-02T00:00Z")).unwrap()
    }

    fn cv(distribution: Distribution) -> f64 {
        distribution.variance().sqrt() / distribution.mean()
    }

    #[test]
    fn every_kind_has_a_row_for_all_zones_and_no_spread_is_absurd() {
        for kind in ["level", "drift", "hours", "factors"] {
            assert!(spread(kind, "*") > 0.05, "{kind}");
        }
        for [kind, zone, value] in fields::<3>(SPREADS) {
            let value: f64 = value.parse().unwrap();
            assert!((0.01..3.0).contains(&value), "{kind} {zone}");
            let is_slots = kind.starts_with("slot_");
            assert!(zone == "*" || is_slots || Place::parse(zone).is_ok(), "{kind} {zone}");
        }
    }

    /// What is estimated has the spreads that were measured, which with the factors' are constants of the arithmetic.
    #[test]
    fn slots_that_somebody_estimated_have_the_measured_spreads() {
        let [month, hour] = ["slot_month", "slot_hour"].map(|kind| spread(kind, "estimated"));
        let class = UncertaintyClass::Estimated;
        assert!((shared_cv(class) - spread("factors", "*").hypot(month)).abs() < 0.005);
        assert!((noise_cv(class) - hour).abs() < 0.005);
    }

    #[test]
    fn a_value_that_is_older_or_newer_than_its_use_is_less_sure() {
        let germany = row("DE");
        let near = cv(germany.whole(year(germany.year)));
        let mut last = near;
        for away in 1..40 {
            let [old, new] =
                [germany.year - away, germany.year + away].map(|at| cv(germany.whole(year(at))));
            assert!((old - new).abs() < 1e-12 && old > last, "{away} years away");
            last = old;
        }
    }

    #[test]
    fn the_whole_is_the_own_and_the_shared_part() {
        for zone in ["DE", "SE", "CF", "US-CA", "world", "AQ"] {
            let row = row(zone);
            let (own, whole) = (cv(row.distribution(year(2026))), cv(row.whole(year(2026))));
            let shared = row.factors().map_or(0.0, |(cv, _)| cv);
            assert!(
                own.hypot(shared) >= whole - 2e-3 && own <= whole,
                "{zone}: {own}, {shared}, {whole}"
            );
            assert!(whole > 0.15, "{zone}");
        }
    }

    #[test]
    fn a_country_of_many_grids_is_further_from_each_of_them() {
        let stands_in = |zone: &str| {
            let place = Place::parse(zone).unwrap();
            let want = Want {
                factor: Some(carbon_ops_estimate::intensity::Factor::Lifecycle),
                ..Want::AVERAGE
            };
            let row = Row::finest(&place, &want).unwrap();
            let slots = row.slots(year(2026), want).unwrap();
            StandIn::of_place(&place, &slots.inventory().unwrap().slots()[0].meta)
        };
        for (zone, wide) in [
            ("US-CA", true),
            ("ca-central-1", true),
            ("us-west-2", true),
            ("SE-SE3", true),
            ("eu-west-1", false),
            ("eu-central-1", false),
        ] {
            let stand_in = stands_in(zone).unwrap();
            assert_eq!(stand_in.cv().is_some_and(|cv| cv > 0.2), wide, "{zone}");
        }
        assert_eq!(stands_in("DE"), None);
    }
}
