//! What a host uses at rest: many short intervals, and how far they lie apart.
//!
//! Out of scope: a model. Where there is no counter, nothing can be measured, and the error says why.

use std::time::{Duration, Instant};

use carbon_ops_meter::cpu_time::Busy;
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Kind;
use carbon_ops_meter::window::Counted;
use carbon_ops_units::{Microjoules, Watts};

pub use carbon_ops_grid::fetch::Clock;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::measure::{AskGovernor, open_window};

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

pub(super) fn calibrate(
    host: &HostRoot,
    ask: Option<&AskGovernor>,
    ticks_per_second: u32,
    duration: Duration,
    clock: &dyn Clock,
) -> Result<IdlePower> {
    let base = Instant::now();
    let now = || base + clock.elapsed();
    let (window, _, sensors) = open_window(host, ask, &now);
    let Some(mut window) = window else {
        let reasons = sensors.iter().filter_map(|sensor| sensor.reason.as_deref());
        return Err(Error::no_counters(reasons.collect::<Vec<_>>().join("; ")));
    };
    let (began, busy) = (clock.elapsed(), Busy::read(host, ticks_per_second));
    let (mut at, mut powers) = (began, Vec::new());
    // What passed before the first moment is no part of it.
    let _ = window.cut(Duration::ZERO, Env::monotonic(), &now);
    while at.saturating_sub(began) < duration {
        clock.sleep(INTERVAL);
        let elapsed = clock.elapsed().saturating_sub(at);
        at += elapsed;
        let counted = window.cut(elapsed, Env::monotonic(), &now).ok();
        powers.extend(counted.and_then(|counted| energy(&counted)?.over(elapsed)));
    }
    let busy = busy.zip(Busy::read(host, ticks_per_second));
    let utilisation = busy.and_then(|(start, end)| {
        let capacity = at.saturating_sub(began).as_secs_f64() * f64::from(end.cpus?);
        Some((end.since(&start)?.0.as_secs_f64() / capacity.max(1e-9)).min(1.0))
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
        source: window.name(),
    })
}

/// Of processors and memory in an interval; `None` where a reading failed or a counter began anew.
fn energy(counted: &Counted) -> Option<Microjoules> {
    let mut domains = counted.domains.iter().filter(|domain| domain.kind != Kind::Gpu);
    let whole = domains.clone().all(|domain| domain.energy.gaps.is_empty());
    whole.then(|| domains.by_ref().map(|domain| domain.energy.energy).sum())
}

#[expect(clippy::cast_precision_loss, reason = "a day has 345,600 intervals")]
fn mean_and_spread(powers: &[f64]) -> (f64, f64) {
    let count = powers.len() as f64;
    let mean = powers.iter().sum::<f64>() / count;
    let squares: f64 = powers.iter().map(|power| (power - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}
