//! When to look: absolute deadlines, so that lateness does not add up, and signals that end it.
//!
//! Out of scope: what is done then.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

/// Deadlines a fixed interval apart, from a start.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    interval: Duration,
    /// Number of the next one.
    next: u32,
}

impl Pace {
    pub(crate) fn new(start: Instant, interval: Duration) -> Self {
        Self { start, interval, next: 1 }
    }

    /// The next deadline; `None` beyond all time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.start.checked_add(self.interval.checked_mul(self.next)?)
    }

    /// Goes on to the first deadline after `now`; how many were missed.
    pub(crate) fn advance(&mut self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let passed = passed / self.interval.as_nanos().max(1);
        let due = self.next;
        self.next = u32::try_from(passed).unwrap_or(u32::MAX).max(due).saturating_add(1);
        self.next - due - 1
    }
}

/// Signals that end the watch: they arrive here instead of killing us.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time that was waited for.
    Time,
    /// A signal, which [`Signals::take`] tells.
    Signal,
    /// Something can be read, or never will be again.
    Input,
}

impl Signals {
    pub(crate) fn block() -> Result<Self> {
        Self::block_also(&[])
    }

    /// The same, and some more signals.
    pub(crate) fn block_also(more: &[Signal]) -> Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].iter().chain(more) {
            mask.add(*signal);
        }
        mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&mask, flags).context("cannot open a signalfd")?))
    }

    /// The signal that came.
    pub(crate) fn take(&self) -> Option<Signal> {
        let came = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(came.ssi_signo).ok()?).ok()
    }

    /// Waits until an instant; true when a signal came before.
    pub(crate) fn wait_until(&self, until: Instant) -> Result<bool> {
        Ok(self.wait(until, None)? == Woken::Signal)
    }

    /// Waits until an instant, a signal, or until something can be read.
    pub(crate) fn wait(&self, until: Instant, input: Option<BorrowedFd<'_>>) -> Result<Woken> {
        loop {
            let pause = until.saturating_duration_since(Instant::now());
            let signals = PollFd::new(self.0.as_fd(), PollFlags::POLLIN);
            let input = input.map(|input| PollFd::new(input, PollFlags::POLLIN));
            let mut fds: Vec<_> = std::iter::once(signals).chain(input).collect();
            match ppoll(&mut fds, Some(TimeSpec::from_duration(pause)), None) {
                Ok(0) => return Ok(Woken::Time),
                Ok(_) => {
                    let first = fds.first().and_then(PollFd::any);
                    return Ok(if first == Some(true) { Woken::Signal } else { Woken::Input });
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot wait"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_does_not_add_up_and_missed_deadlines_are_counted() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Duration::from_millis(100));
        assert_eq!(pace.advance(start + Duration::from_millis(104)), 0);
        assert_eq!(pace.deadline(), Some(start + Duration::from_millis(200)));
        assert_eq!(pace.advance(start + Duration::from_millis(534)), 3);
        assert_eq!(pace.deadline(), Some(start + Duration::from_millis(600)));
    }
}
