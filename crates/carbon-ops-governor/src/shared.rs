//! What the sampler and the server tell each other: settings that can change while they run, and how
//! well the sampler keeps its time. Snapshots do not pass through here but through their pages.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carbon_ops_meter::totals::{Event, Happened};
use carbon_ops_units::Microjoules;
use serde_json::{Value, json};

/// Events kept for those who ask.
const EVENTS_MAX: usize = 64;

/// Four buckets for each doubling of lateness, from 1 ns to 18 s and beyond.
const BUCKETS: usize = 4 * 35;

/// Between the sampler's thread and the server's.
#[derive(Debug)]
pub(crate) struct Shared {
    /// ns between samples; written by the server.
    interval: AtomicU64,
    /// ns between publications; written by the server.
    client_interval: AtomicU64,
    /// µJ; written by the server.
    client_quantum: AtomicU64,
    /// Samples taken since the start; written by the sampler.
    ticks: AtomicU64,
    /// Samples not taken in time since the start; written by the sampler.
    missed: AtomicU64,
    /// How late samples were; written by the sampler.
    lateness: [AtomicU64; BUCKETS],
    /// The rest: written by the sampler when something changes, never waited for by it.
    facts: Mutex<Facts>,
}

/// What changes rarely.
#[derive(Debug, Default)]
struct Facts {
    events: VecDeque<Event>,
    topology: Value,
    cross_check: Value,
    integrals: Value,
}

impl Shared {
    pub(crate) fn new(interval: Duration, client_interval: Duration, quantum: Microjoules) -> Self {
        let shared = Self {
            interval: AtomicU64::new(0),
            client_interval: AtomicU64::new(0),
            client_quantum: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            lateness: [const { AtomicU64::new(0) }; BUCKETS],
            facts: Mutex::new(Facts::default()),
        };
        shared.set(interval, client_interval, quantum);
        shared
    }

    /// Changes what may change.
    pub(crate) fn set(&self, interval: Duration, client_interval: Duration, quantum: Microjoules) {
        self.interval.store(nanos(interval), Ordering::Relaxed);
        self.client_interval.store(nanos(client_interval), Ordering::Relaxed);
        self.client_quantum.store(quantum.as_microjoules(), Ordering::Relaxed);
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval.load(Ordering::Relaxed))
    }

    pub(crate) fn client_interval(&self) -> Duration {
        Duration::from_nanos(self.client_interval.load(Ordering::Relaxed))
    }

    pub(crate) fn client_quantum(&self) -> Microjoules {
        Microjoules::new(self.client_quantum.load(Ordering::Relaxed))
    }

    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Counts a sample that came late by so much, and those that it replaced.
    pub(crate) fn tick(&self, late: Duration, missed: u64) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.missed.fetch_add(missed, Ordering::Relaxed);
        if let Some(bucket) = self.lateness.get(bucket(nanos(late))) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds events; what cannot be added at once, since someone reads, is given back.
    pub(crate) fn add_events(&self, events: Vec<Event>) -> Vec<Event> {
        let Ok(mut facts) = self.facts.try_lock() else { return events };
        for event in events {
            if facts.events.len() >= EVENTS_MAX {
                facts.events.pop_front();
            }
            facts.events.push_back(event);
        }
        Vec::new()
    }

    /// Whether the topology could be set; try again if not.
    pub(crate) fn set_topology(&self, topology: &Value) -> bool {
        let facts = self.facts.try_lock();
        facts.map(|mut facts| facts.topology.clone_from(topology)).is_ok()
    }

    pub(crate) fn set_cross_check(&self, cross_check: Value) {
        if let Ok(mut facts) = self.facts.try_lock() {
            facts.cross_check = cross_check;
        }
    }

    pub(crate) fn set_integrals(&self, integrals: Value) {
        if let Ok(mut facts) = self.facts.try_lock() {
            facts.integrals = integrals;
        }
    }

    pub(crate) fn topology(&self) -> Value {
        self.facts.lock().map_or(Value::Null, |facts| facts.topology.clone())
    }

    /// How the sampler does, and what happened lately.
    pub(crate) fn health(&self) -> Value {
        let facts = self.facts.lock();
        let (events, cross_check, integrals) = facts.map_or_else(
            |_| (Vec::new(), Value::Null, Value::Null),
            |facts| {
                let events = facts.events.iter().map(describe).collect();
                (events, facts.cross_check.clone(), facts.integrals.clone())
            },
        );
        let quantile = |q: f64| self.lateness_at(q).map(|ns| ns / 1000);
        json!({
            "interval_ns": nanos(self.interval()).to_string(),
            "ticks": self.ticks(),
            "missed": self.missed.load(Ordering::Relaxed),
            "late_us": { "p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0) },
            "cross_check": cross_check,
            "integrated": integrals,
            "events": events,
        })
    }

    /// The lateness in ns that this share of all samples kept; the upper end of its bucket.
    fn lateness_at(&self, share: f64) -> Option<u64> {
        let counts: Vec<u64> =
            self.lateness.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank between 1 and a count"
        )]
        let rank = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = |(_, count): &(usize, &u64)| {
            seen += **count;
            seen >= rank
        };
        let place = counts.iter().enumerate().find(reached).filter(|_| all > 0)?.0;
        Some(bucket_end(place))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The two bits after the leading one make four buckets of each doubling.
fn bucket(ns: u64) -> usize {
    let ns = ns.max(4);
    let exponent = ns.ilog2();
    let quarter = (ns >> (exponent - 2)) & 3;
    let place = 4 * u64::from(exponent) + quarter;
    usize::try_from(place).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn bucket_end(place: usize) -> u64 {
    let (exponent, quarter) = (place / 4, place as u64 % 4);
    ((5 + quarter) << exponent.max(2)) >> 2
}

/// An event for people and programs.
pub(crate) fn describe(event: &Event) -> Value {
    let seconds = |time: Duration| time.as_secs_f64();
    let mut value = match event.what {
        Happened::Resumed { gap } => json!({ "event": "resumed", "gap_s": seconds(gap) }),
        Happened::Lost { reason, gap, most } => json!({
            "event": "lost", "reason": reason.as_str(), "gap_s": seconds(gap),
            "most_uj": most.as_microjoules(),
        }),
        Happened::Bridged { reason, gap } => {
            json!({ "event": "bridged", "reason": reason.as_str(), "gap_s": seconds(gap) })
        }
        Happened::Failing { reason } => json!({ "event": "failing", "reason": reason.as_str() }),
        Happened::Stuck => json!({ "event": "stuck" }),
        Happened::Suspended { length } => {
            json!({ "event": "suspended", "gap_s": seconds(length) })
        }
        Happened::CeilingRaised { to } => {
            json!({ "event": "ceiling_raised", "ceiling_w": to.as_watts() })
        }
        Happened::LatticeGivenUp => json!({ "event": "unit_given_up" }),
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("domain".into(), event.domain.to_string().into());
        object.insert("boottime_ns".into(), event.at.as_nanos().to_string().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for ns in [0, 4, 5, 999, 1000, 123_456, 100_000_000, 17_000_000_000, u64::MAX] {
            let place = bucket(ns);
            assert!(place < BUCKETS);
            if ns < 1 << 34 {
                assert!(bucket_end(place) > ns, "{ns}");
                assert!(ns < 8 || bucket_end(place) <= ns + ns / 4 + 1, "{ns}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let time = Duration::from_millis(1);
        let shared = Shared::new(time, time, Microjoules::new(1));
        assert_eq!(shared.lateness_at(0.5), None);
        for us in 1..=100 {
            shared.tick(Duration::from_micros(us), 0);
        }
        let p50 = shared.lateness_at(0.5).unwrap();
        assert!((50_000..=62_500).contains(&p50), "{p50}");
        let most = shared.lateness_at(1.0).unwrap();
        assert!((100_000..=125_000).contains(&most), "{most}");
        assert_eq!(shared.ticks(), 100);
    }
}
