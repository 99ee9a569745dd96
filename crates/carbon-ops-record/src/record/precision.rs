//! How near the grid's figure came to where and when energy was used: the rung of place and that of time on the ladder of
//! the draft revision of the GHG Protocol's Scope 2 guidance (October 2025), which asks for the most precise factor that
//! can be had.
//!
//! Out of scope: how far a rung may be off, which the inputs say.

use std::fmt;

use carbon_ops_estimate::intensity::{Interval, UncertaintyClass};

use super::{Record, Slot};

/// The rungs that a record was priced on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precision {
    /// Where.
    pub place: Place,
    /// When.
    pub time: Time,
}

carbon_ops_estimate::words! {
    /// Where a figure is from, the nearest first.
    Place {
        /// What a user states, of a site or a contract of its own.
        Stated = "stated",
        /// A part of a country: a grid zone, a state or province.
        Region = "region",
        /// A country.
        Country = "country",
        /// The country that supplies it.
        Neighbour = "neighbour",
        /// The world.
        World = "world",
    }
}

carbon_ops_estimate::words! {
    /// For how long a figure holds, the shortest first.
    Time {
        /// An hour or less.
        Hour = "hour",
        /// Up to a day.
        Day = "day",
        /// Up to a month.
        Month = "month",
        /// Longer, as an average of a year does.
        Year = "year",
        /// Always: stated without a time.
        Always = "always",
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.place, self.time)
    }
}

impl Record {
    /// The rungs of place and time that its grid was priced on; of several slots the lowest.
    pub fn precision(&self) -> Precision {
        Precision { place: self.rung_of_place(), time: self.rung_of_time() }
    }

    fn rung_of_place(&self) -> Place {
        if self.region == "world" {
            return Place::World;
        }
        if self.stand_ins.iter().any(|used| used.why == "country_by_neighbour") {
            return Place::Neighbour;
        }
        let is_country =
            self.region.len() == 2 && self.region.bytes().all(|c| c.is_ascii_uppercase());
        let stated = self.region == "unstated"
            || self.grid.sources.iter().all(|source| source.provider == "file") && !is_country;
        match (stated, is_country) {
            (true, _) => Place::Stated,
            (_, true) => Place::Country,
            _ => Place::Region,
        }
    }

    fn rung_of_time(&self) -> Time {
        let of_slot = |slot: &Slot| {
            let holds = Interval::parse(&slot.start, &slot.end).map(|holds| holds.as_seconds());
            match slot.class {
                UncertaintyClass::Yearly => Time::Year,
                _ => holds.map_or(Time::Always, of_seconds),
            }
        };
        match &self.grid.slots.list {
            Some(slots) => slots.iter().map(of_slot).max().unwrap_or(Time::Always),
            // Of more than are listed there are so many in the span.
            None => self.interval().map_or(Time::Always, |span| {
                let count = u32::try_from(self.grid.slots.count).unwrap_or(u32::MAX).max(1);
                of_seconds(span.as_seconds() / f64::from(count))
            }),
        }
    }
}

fn of_seconds(seconds: f64) -> Time {
    const HOUR: f64 = 3600.0;
    match seconds {
        seconds if seconds <= HOUR => Time::Hour,
        seconds if seconds <= 25.0 * HOUR => Time::Day,
        seconds if seconds <= 31.0 * 24.0 * HOUR => Time::Month,
        _ => Time::Year,
    }
}
