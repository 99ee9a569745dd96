//! Holds one backend's counters against another's while both run, and tells their drift in ppm.
//!
//! The two count the same register, so that they differ by what the kernel's rounding costs (2.56 or
//! 51.7 ppm where the unit is not known), by one update of the counter, and by nothing else; a
//! larger drift is an error of one of them.

use std::time::Duration;

use carbon_ops_meter::clock::EpochStart;
use carbon_ops_meter::counter::{Counter, Step};
use carbon_ops_meter::sensor::Backend;
use carbon_ops_meter::snapshot::Snapshot;
use carbon_ops_units::Microjoules;
use serde_json::{Value, json};

use crate::clocks;

/// How often both are read.
const EVERY: Duration = Duration::from_secs(10);

/// A drift beyond this is worth a warning: twenty times what rounding explains.
const WARN_PPM: f64 = 1000.0;

/// One update of a counter (Intel SDM vol. 3B, 16.10) passes between the two readings.
const UPDATE: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct CrossCheck {
    backend: Box<dyn Backend>,
    pairs: Vec<Pair>,
    next: Duration,
}

#[derive(Debug)]
struct Pair {
    name: String,
    counter: Counter,
    /// Totals of the first and of the second backend, and the epochs, when the comparison began.
    began: Option<Mark>,
    warned: bool,
}

impl CrossCheck {
    pub(crate) fn new(backend: Box<dyn Backend>) -> Self {
        let pair = |domain: &carbon_ops_meter::sensor::Domain| Pair {
            name: domain.name.clone(),
            counter: Counter::new(domain.scale, domain.ceiling),
            began: None,
            warned: false,
        };
        let pairs = backend.domains().iter().map(pair).collect();
        Self { backend, pairs, next: Duration::ZERO }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.backend.name()
    }

    /// How often to look so that no wrap can hide from the second backend: the sampler is faster.
    pub(crate) fn longest_interval(&self) -> Duration {
        let longest = self.pairs.iter().map(|pair| pair.counter.longest_interval());
        longest.min().unwrap_or(Duration::MAX)
    }

    /// Compares, if it is time to, right after a sample of the first backend; what was found.
    pub(crate) fn look(&mut self, first: &Snapshot) -> Option<Value> {
        if first.monotonic < self.next {
            return None;
        }
        self.next = first.monotonic + EVERY.min(self.longest_interval());
        let mut report = Vec::new();
        for (index, pair) in self.pairs.iter_mut().enumerate() {
            let Ok(reading) = self.backend.read(index) else { continue };
            let step = pair.counter.observe(reading, clocks::boot_time());
            let domain = first.domains.iter().find(|domain| domain.name.to_string() == pair.name);
            let Some(domain) = domain.filter(|domain| !domain.stale) else { continue };
            let second = pair.counter.total();
            let broken = matches!(step, Step::Baseline | Step::Rebased { .. });
            let now = (domain.total, second, domain.epoch, first.monotonic);
            match pair.began.filter(|began| !broken && began.2 == domain.epoch) {
                None => pair.began = Some(now),
                Some(began) => report.extend(pair.compare(began, now, domain.ceiling)),
            }
        }
        Some(json!({ "backend": self.backend.name(), "domains": report }))
    }
}

type Mark = (Microjoules, Microjoules, EpochStart, Duration);

impl Pair {
    fn compare(
        &mut self,
        began: Mark,
        now: Mark,
        ceiling: carbon_ops_units::Watts,
    ) -> Option<Value> {
        let first = now.0.checked_sub(began.0)?.as_joules();
        let second = now.1.checked_sub(began.1)?.as_joules();
        if first <= 0.0 {
            return None;
        }
        let drift = (second / first - 1.0) * 1e6;
        // One update at each end, at the mean power; never more than the ceiling allows.
        let elapsed = now.3.saturating_sub(began.3).as_secs_f64().max(1e-3);
        let power = (first / elapsed).min(ceiling.as_watts());
        let resolution = 2.0 * power * UPDATE.as_secs_f64() / first * 1e6;
        if drift.abs() > WARN_PPM + resolution && !self.warned {
            self.warned = true;
            log::warn!(
                "{}: the two ways to read it drift apart by {drift:.0} ppm (+/- {resolution:.0})",
                self.name
            );
        }
        Some(json!({
            // Whole joules: any client may ask for this.
            "name": self.name, "energy_j": first.floor(), "drift_ppm": drift,
            "resolution_ppm": resolution,
        }))
    }
}
