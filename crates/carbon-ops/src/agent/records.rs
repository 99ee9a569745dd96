//! The records of an interval: one of each unit of work, of those too small for one of their own one by kind, and of
//! idle and rest. Their energies sum to the host's, to the µJ.
//!
//! Out of scope: what they are priced with, and where they go.

use std::time::Duration;

use anyhow::Result;
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::Interval;
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_record::{
    Cpu, Decimal, Energy, Input, Measurement, Part as PartOfHost, Unit, Workload,
};
use jiff::Timestamp;

use super::interval::{Open, Sum};
use crate::compose::Measured;
use crate::identity;

/// Longest name that a record has for what ran.
const NAME_CHARS_MAX: usize = 64;

/// What each record is about, in their order: units of work, then the rest, then idle.
pub(super) fn measured(open: &Open, host_id: &str) -> Result<Vec<(Option<Unit>, Measured)>> {
    let units_uj = open.units_uj();
    let mut list = Vec::with_capacity(open.units.len() + 2);
    for part in open.units.values().filter(|part| part.sum.energy_uj > 0) {
        let others_uj = open.host_uj - open.idle.energy_uj - part.sum.energy_uj;
        let energy = Energy {
            host_uj: open.host_uj,
            idle_uj: open.idle.energy_uj,
            others_uj,
            workload_uj: part.sum.energy_uj,
        };
        let measurement = Measurement {
            allocation_ratio: Some(ratio(part.sum.cpu_ns, open.busy_ns)),
            workload: Some(Workload {
                args: None,
                cpu_time_ns: Decimal(part.sum.cpu_ns),
                exit_code: None,
                program: identity::short(&part.unit).chars().take(NAME_CHARS_MAX).collect(),
                running: None,
                signal: None,
            }),
            ..about(open, PartOfHost::Workload, energy)
        };
        list.push((Some(part.unit.clone()), whole(open, measurement, &part.sum, host_id)?));
    }
    let energy = Energy {
        host_uj: open.host_uj,
        idle_uj: open.idle.energy_uj,
        others_uj: open.rest.energy_uj,
        workload_uj: units_uj,
    };
    if open.rest.energy_uj > 0 {
        let measurement = about(open, PartOfHost::Others, energy);
        list.push((None, whole(open, measurement, &open.rest, host_id)?));
    }
    let measurement = about(open, PartOfHost::Idle, energy);
    list.push((None, whole(open, measurement, &open.idle, host_id)?));
    Ok(list)
}

fn about(open: &Open, part: PartOfHost, energy: Energy) -> Measurement {
    #[expect(clippy::cast_precision_loss, reason = "a percentage, of a few digits")]
    let coverage = open.covered / (open.elapsed_ns as f64).max(1.0);
    Measurement {
        allocation_ratio: None,
        attribution_mode: open.attribution_mode,
        boot_id: open.boot_id.clone(),
        coverage_pct: round9(coverage.clamp(0.0, 100.0)),
        cpu: Some(Cpu { busy_ns: Decimal(open.busy_ns), count: open.cpus.into() }),
        domains: open.domains.clone(),
        elapsed_ns: Decimal(open.elapsed_ns),
        energy,
        excluded: open.excluded.clone(),
        gaps: open.gaps.clone(),
        idle_policy: open.idle_policy,
        intervals: Some(open.ticks),
        model: None,
        part,
        sensors: open.sensors.clone(),
        workload: None,
    }
}

/// CPU time over busy time, as a record's check derives it.
fn ratio(cpu_ns: u64, busy_ns: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "rounded to nine digits")]
    let ratio = cpu_ns as f64 / busy_ns.max(cpu_ns).max(1) as f64;
    round9(ratio)
}

fn whole(open: &Open, measurement: Measurement, sum: &Sum, host_id: &str) -> Result<Measured> {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 µJ: 2,500 kWh")]
    let mean = round9(sum.energy_uj as f64 / 3.6e12);
    let mut inputs = vec![Input::new("energy", Distribution::Point { mean }, "measured")];
    inputs.extend(sum.factors());
    Ok(Measured {
        span: span(open)?,
        measurement,
        inputs,
        notes: open.notes.clone(),
        quality: open.quality,
        host_id: host_id.to_owned(),
        simulated: open.simulated,
        interrupted: false,
    })
}

/// By the wall clock; where that was set back meanwhile, of the length that the monotonic one tells.
fn span(open: &Open) -> Result<Interval> {
    let at = Timestamp::from_microsecond;
    let (start, end) = (at(open.start_us)?, at(open.end_us)?);
    Ok(Interval::new(start, end).or_else(|_| {
        // A microsecond is the least that a record can tell.
        let elapsed = Duration::from_nanos(open.elapsed_ns).max(Duration::from_micros(1));
        Interval::new(start, start.checked_add(elapsed).unwrap_or(Timestamp::MAX))
    })?)
}
