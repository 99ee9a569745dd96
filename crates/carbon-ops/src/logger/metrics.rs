//! Samples of a host that are kept: what they have in common, and their files.
//!
//! Out of scope: taking them.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use carbon_ops_units::{Microjoules, Watts};
use serde::Serialize;

use crate::error::Result;
use crate::watch::Sample;

/// Most samples that are kept: at one a second, close to three hours. As carbon-ops 0.1 had it.
pub const KEPT_MAX: usize = 10_000;

/// One sample, with what it was taken for.
#[derive(Debug, Serialize)]
pub struct Metrics {
    /// What it was taken for, in the caller's words.
    pub operation: String,
    /// Energy, processors, memory and processes.
    #[serde(flatten)]
    pub sample: Sample,
}

/// Sums and means over samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricsSummary {
    /// How many samples.
    pub samples: usize,
    /// The time of all of them.
    pub elapsed: Duration,
    /// Energy of the host in that time.
    pub energy: Microjoules,
    /// Energy over time; `None` without a time.
    pub power: Option<Watts>,
    /// Mean part of the processors' time that was busy, 0 to 1, by time.
    pub utilisation: f64,
    /// Most memory in use, in bytes; `None` where the kernel does not tell.
    pub memory_peak_bytes: Option<u64>,
}

/// Samples, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Metrics>);

/// The summary as a file has it.
#[derive(Serialize)]
struct SummaryFile {
    samples: usize,
    elapsed_seconds: f64,
    energy_joules: f64,
    power_watts: Option<f64>,
    utilisation: f64,
    memory_peak_bytes: Option<u64>,
}

/// A sample as a line of CSV.
#[derive(Serialize)]
struct Line<'m> {
    timestamp: &'m str,
    operation: &'m str,
    elapsed_seconds: f64,
    energy_joules: f64,
    power_watts: f64,
    source: &'m str,
    utilisation: f64,
    cpu_frequency_mhz: Option<f64>,
    memory_used_bytes: Option<u64>,
}

impl History {
    pub(super) fn keep(&mut self, metrics: Metrics) {
        if self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(metrics);
    }

    pub(super) fn last(&self) -> Option<&Metrics> {
        self.0.back()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Metrics> {
        self.0.iter()
    }

    pub(super) fn summary(&self) -> Option<MetricsSummary> {
        let samples = || self.0.iter().map(|metrics| &metrics.sample);
        let energy = Microjoules::new(samples().map(|sample| sample.host.energy_uj).sum());
        let time = samples().map(elapsed).sum::<Duration>();
        let busy: f64 =
            samples().map(|sample| sample.cpu.utilisation * elapsed(sample).as_secs_f64()).sum();
        (!self.0.is_empty()).then(|| MetricsSummary {
            samples: self.0.len(),
            elapsed: time,
            energy,
            power: energy.over(time),
            utilisation: if time.is_zero() { 0.0 } else { busy / time.as_secs_f64() },
            memory_peak_bytes: samples().filter_map(|sample| sample.memory.used_bytes).max(),
        })
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        let summary = self.summary().map(|summary| SummaryFile {
            samples: summary.samples,
            elapsed_seconds: summary.elapsed.as_secs_f64(),
            energy_joules: summary.energy.as_joules(),
            power_watts: summary.power.map(Watts::as_watts),
            utilisation: summary.utilisation,
            memory_peak_bytes: summary.memory_peak_bytes,
        });
        let file = serde_json::json!({ "summary": summary, "metrics": self.0 });
        serde_json::to_writer_pretty(&mut *out, &file)?;
        Ok(writeln!(out)?)
    }

    pub(super) fn write_csv(&self, out: &mut impl Write) -> Result<()> {
        let mut lines = csv::Writer::from_writer(out);
        for Metrics { operation, sample } in &self.0 {
            lines.serialize(Line {
                timestamp: &sample.timestamp,
                operation,
                elapsed_seconds: elapsed(sample).as_secs_f64(),
                energy_joules: Microjoules::new(sample.host.energy_uj).as_joules(),
                power_watts: sample.host.power_w,
                source: sample.host.source,
                utilisation: sample.cpu.utilisation,
                cpu_frequency_mhz: sample.cpu.frequency_mhz,
                memory_used_bytes: sample.memory.used_bytes,
            })?;
        }
        Ok(lines.flush()?)
    }
}

fn elapsed(sample: &Sample) -> Duration {
    Duration::from_nanos(sample.elapsed_ns.0)
}
