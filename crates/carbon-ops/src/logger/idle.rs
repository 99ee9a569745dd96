//! What a host uses at rest: many short intervals, and how far they lie apart.
//!
//! Out of scope: a model. Where there is no counter, nothing can be measured, and the error says why.

use std::time::Duration;

use carbon_ops_meter::clock::Moment;
use carbon_ops_meter::cpu_time::Busy;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Kind;
use carbon_ops_units::{Microjoules, Watts};

pub use carbon_ops_grid::fetch::Clock;

use crate::error::{Error, Result};
use crate::measure::AskGovernor;
use crate::watch::totals::{Counters, Governed, Total, Totals as _};

/// Counters step about once a millisecond, so that an interval is known within a percent.
const INTERVAL: Duration = Duration::from_millis(250);

/// Of fewer, nothing could be said of their spread.
const SAMPLES_MIN: usize = 2;

/// Power of a host at rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IdlePower {
    /// The mean over all intervals, of processors and memory.
    pub mean: Watts,
    /// Standard deviation of the intervals' powers.
    pub spread: Watts,
    /// Intervals that were used.
    pub samples: usize,
    /// What part of the processors' time was busy, 0 to 1; `None` where the kernel does not tell. A host at
    /// rest has a few hundredths at most.
    pub utilisation: Option<f64>,
    /// `sysfs` or `governor`.
    pub source: &'static str,
}

enum Source {
    Governor(Box<Governed>),
    Counters(Counters),
}

impl Source {
    fn open(host: &HostRoot, ask: Option<&AskGovernor>, now: Moment) -> Result<Self> {
        let governed = ask.map(Governed::open);
        if let Some(Ok(governed)) = governed {
            return Ok(Self::Governor(Box::new(governed)));
        }
        let reason = governed.and_then(std::result::Result::err);
        Counters::open_at(host, now).map(Self::Counters).map_err(|why| {
            let also =
                reason.map_or(String::new(), |reason| format!("; nor by a governor: {reason}"));
            Error::no_counters(why + &also)
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Governor(governed) => governed.source(),
            Self::Counters(counters) => counters.source(),
        }
    }

    fn read(&mut self, now: Moment) -> Vec<Total> {
        match self {
            Self::Governor(governed) => governed.read(),
            Self::Counters(counters) => counters.read_at(now),
        }
    }
}

pub(super) fn calibrate(
    host: &HostRoot,
    ask: Option<&AskGovernor>,
    ticks_per_second: u32,
    duration: Duration,
    clock: &dyn Clock,
) -> Result<IdlePower> {
    let mut source = Source::open(host, ask, moment(clock))?;
    let (began, busy) = (clock.elapsed(), Busy::read(host, ticks_per_second));
    let (mut at, mut last) = (began, source.read(moment(clock)));
    let mut powers = Vec::new();
    while at.saturating_sub(began) < duration {
        clock.sleep(INTERVAL);
        let now = clock.elapsed();
        let totals = source.read(moment(clock));
        powers
            .extend(energy(&last, &totals).and_then(|energy| energy.over(now.saturating_sub(at))));
        (at, last) = (now, totals);
    }
    let busy = busy.zip(Busy::read(host, ticks_per_second));
    let utilisation = busy.map(|(start, end)| {
        let capacity = at.saturating_sub(began).as_secs_f64() * f64::from(end.cpus);
        (end.since(&start).as_secs_f64() / capacity.max(1e-9)).min(1.0)
    });
    let powers: Vec<f64> = powers.into_iter().map(Watts::as_watts).collect();
    if powers.len() < SAMPLES_MIN {
        return Err(Error::other("too few readings of the counters could be used"));
    }
    let (mean, spread) = mean_and_spread(&powers);
    Ok(IdlePower {
        mean: Watts::new(mean)?,
        spread: Watts::new(spread)?,
        samples: powers.len(),
        utilisation,
        source: source.name(),
    })
}

fn moment(clock: &dyn Clock) -> Moment {
    Moment::from_nanos(u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Of processors and memory in an interval; `None` where a reading failed or a counter began anew.
fn energy(before: &[Total], after: &[Total]) -> Option<Microjoules> {
    let mut sum = Microjoules::ZERO;
    for (before, after) in before.iter().zip(after).filter(|(_, after)| after.kind != Kind::Gpu) {
        if after.fault.is_some() || !after.breaks.is_empty() || before.epoch != after.epoch {
            return None;
        }
        sum = sum.checked_add(after.energy.checked_sub(before.energy)?)?;
    }
    Some(sum)
}

#[expect(clippy::cast_precision_loss, reason = "a day has 345,600 intervals")]
fn mean_and_spread(powers: &[f64]) -> (f64, f64) {
    let count = powers.len() as f64;
    let mean = powers.iter().sum::<f64>() / count;
    let squares: f64 = powers.iter().map(|power| (power - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}
