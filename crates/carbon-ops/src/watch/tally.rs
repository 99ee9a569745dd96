//! One counter that is read here: its total, and what went wrong with it since it was last asked.
//!
//! Out of scope: where its readings come from.

use std::time::Duration;

use carbon_ops_meter::accumulator::GapReason;
use carbon_ops_meter::clock::{EpochStart, Moment};
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::sensor::{Domain, ReadFault};

use super::totals::Total;

/// A counted domain.
#[derive(Debug)]
pub(super) struct Tally {
    domain: Domain,
    source: &'static str,
    counter: Counter,
    epoch: EpochStart,
    fault: Option<GapReason>,
    breaks: Vec<(GapReason, Duration)>,
}

impl Tally {
    pub(super) fn new(domain: &Domain, source: &'static str) -> Self {
        let counter = Counter::new(domain.scale, domain.ceiling);
        Self {
            domain: domain.clone(),
            source,
            counter,
            epoch: EpochStart::default(),
            fault: None,
            breaks: Vec::new(),
        }
    }

    pub(super) fn domain(&self) -> &Domain {
        &self.domain
    }

    pub(super) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// Takes a reading, or why there is none.
    pub(super) fn observe(&mut self, reading: Result<u64, ReadFault>, now: Moment) {
        let step = reading.map(|reading| self.counter.observe(reading, now));
        if let Ok(Step::Baseline | Step::Rebased { .. }) = step {
            self.epoch = self.epoch.next(now);
        }
        self.fault = match step {
            Ok(Step::Baseline | Step::Advance { .. } | Step::Corrected) => None,
            Ok(Step::Rebased { why, lost, .. }) => {
                self.breaks.push((why.into(), lost));
                None
            }
            Ok(Step::Skipped) | Err(ReadFault::Retry) => Some(GapReason::Unreadable),
            Err(ReadFault::Gone | ReadFault::Fatal) => Some(GapReason::Vanished),
        };
    }

    /// The total as of the last reading, with what was broken since the last call.
    pub(super) fn total(&mut self) -> Total {
        Total {
            name: self.domain.name.clone(),
            kind: self.domain.kind,
            source: self.source,
            ceiling: self.domain.ceiling,
            energy: self.counter.total(),
            epoch: self.epoch,
            fault: self.fault.or_else(|| self.counter.is_stuck().then_some(GapReason::Stuck)),
            breaks: std::mem::take(&mut self.breaks),
        }
    }
}
