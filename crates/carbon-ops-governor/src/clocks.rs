//! The clocks of the host: they are read here and nowhere else.

use std::time::Duration;

use carbon_ops_meter::clock::{Moment, UnixTime};
use carbon_ops_meter::totals::Times;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

/// All three, one after the other.
pub(crate) fn now() -> Times {
    let unix = UnixTime::new(read(ClockId::CLOCK_REALTIME));
    Times { at: boot_time(), monotonic: monotonic(), unix }
}

/// Time since boot, suspend included.
pub(crate) fn boot_time() -> Moment {
    Moment::from_nanos(u64::try_from(read(ClockId::CLOCK_BOOTTIME).as_nanos()).unwrap_or(u64::MAX))
}

/// The wall clock as RFC 3339, to the microsecond.
pub(crate) fn wall_time() -> String {
    let since = read(ClockId::CLOCK_REALTIME);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let nanoseconds = i32::try_from(since.subsec_nanos()).unwrap_or(0);
    jiff::Timestamp::new(seconds, nanoseconds)
        .map_or_else(|_| String::new(), |at| format!("{at:.6}"))
}

/// Time since boot, suspend left out.
pub(crate) fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Sleeps until the monotonic clock shows this; a signal ends it early.
pub(crate) fn sleep_until(deadline: Duration) {
    let _ = clock_nanosleep(
        ClockId::CLOCK_MONOTONIC,
        ClockNanosleepFlags::TIMER_ABSTIME,
        &deadline.into(),
    );
}

#[expect(clippy::expect_used, reason = "these clocks exist on every Linux that has powercap")]
fn read(clock: ClockId) -> Duration {
    clock.now().expect("a clock of the kernel").into()
}
