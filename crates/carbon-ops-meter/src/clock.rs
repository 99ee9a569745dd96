//! A point in time as the meter needs it: on a clock that never goes back and that two processes of
//! one boot share, so that a total can be carried over a restart.
//!
//! On a Linux host this is `CLOCK_BOOTTIME`, which counts while the machine is suspended: the longest
//! time that can have passed between two readings is what bounds the energy between them.
//!
//! Deliberately absent: reading a clock, and any calendar.

use std::time::Duration;

/// Nanoseconds since boot, suspend included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
