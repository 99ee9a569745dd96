//! A point in time as the meter needs it: on a clock that never goes back and that two processes of
//! one boot share, so that a total can be carried over a restart.
//!
//! On a Linux host this is `CLOCK_BOOTTIME`, which counts while the machine is suspended: the longest
//! time that can have passed between two readings is what bounds the energy between them.
//!
//! Out of scope: reading a clock, and any calendar.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since boot, suspend included.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Moment(u64);

impl Moment {
    /// From nanoseconds since boot.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// In nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Later by `time`, of at most 584 years.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(time)))
    }

    /// Earlier by `time`; never before the boot.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(time)))
    }
}

/// Names a stretch of a total that hides no energy, an epoch: the moment at which it began, in whole
/// milliseconds since boot. Of one counter in one boot, totals with equal names may be subtracted, and
/// others may not, whoever counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EpochStart(u64);

impl EpochStart {
    /// Of an epoch that begins at a moment.
    pub const fn at(moment: Moment) -> Self {
        Self(moment.0 / 1_000_000)
    }

    /// From milliseconds since boot.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// In milliseconds since boot.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Of the epoch after this one, which begins at a moment: never the same name again, however short
    /// an epoch was.
    #[must_use]
    pub fn next(self, moment: Moment) -> Self {
        Self::at(moment).max(Self(self.0.saturating_add(1)))
    }
}

/// Time since 1970 by the clock that people set, and that is set back: it says when something was, and is
/// never subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(Duration);

impl UnixTime {
    /// From the time since the beginning of 1970, UTC.
    pub const fn new(since_1970: Duration) -> Self {
        Self(since_1970)
    }

    /// Time since the beginning of 1970, UTC.
    pub const fn since_1970(self) -> Duration {
        self.0
    }
}

/// Reads the clock that counts since boot, suspend included.
pub type BootClock = fn() -> Moment;

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_a_name_of_its_own_even_within_a_millisecond() {
        let at = |us: u64| Moment::from_nanos(us * 1000);
        let first = EpochStart::at(at(5_400));
        assert_eq!(first.as_millis(), 5);
        let second = first.next(at(5_900));
        assert_eq!(second.as_millis(), 6);
        // Even if the clock were to stand still or go back.
        assert_eq!(second.next(at(5_950)).as_millis(), 7);
        assert_eq!(second.next(at(1_000_000)).as_millis(), 1000);
    }
}
