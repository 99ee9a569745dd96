//! From a measurement to what a record says of it: the measured members, and every input of its energy with
//! distribution and source.
//!
//! The energy is a product of the reading and factors of mean 1, one per thing that is not known
//! exactly. Each factor's coefficient of variation is relative to the workload's energy: what is not
//! known of processors weighs by the part that they have in it, and so with each GPU.
//! `docs/method.md` has the derivations.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_estimate::decimal::round9;
use carbon_ops_estimate::intensity::Interval;
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_meter::attribution::{GpuUse, IdlePolicy as Rule, IdleRule};
use carbon_ops_meter::sensor::hwmon;
use carbon_ops_meter::sensor::model::{CURVES, PowerModel, TABLE, TdpBasis};
use carbon_ops_meter::sensor::{Exclusion, Kind};
use carbon_ops_meter::window::{self as counted, Counted};
use carbon_ops_record::{
    self as record, AttributionMode, Cpu, Decimal, Domain, Energy, Gap, IdlePolicy, Input, Model,
    Note, Part, Quality, Workload,
};
use carbon_ops_units::Microjoules;

use crate::host::Host;
use crate::measure::{Measurement, Source};
use crate::supervise::Outcome;

/// Name and version, as records hold them.
pub const TOOL: &str = concat!("carbon-ops ", env!("CARGO_PKG_VERSION"));

/// Package energy since Haswell is measured at the voltage regulator; vendors publish no bound, and
/// comparisons find a few percent (Desrochers, Paradis, Weaver, MEMSYS 2016). A prior.
const PACKAGE_CV: f64 = 0.05;

/// Intel says that energies which microcode blurs may be off by up to a half (as quoted by Green Coding,
/// "RAPL, SGX and energy filtering"): a rectangular distribution of that half-width (GUM 4.3.7).
const FILTERED_CV: f64 = 0.5 * 0.577_350_269_189_625_8;

/// For how long the blur is taken to be the same; over longer windows it averages out as independent
/// errors do. Intel publishes no such time. A prior.
const FILTERED_SPAN: Duration = Duration::from_secs(1);

/// DRAM readings follow the truth with an offset that differs by platform, worst near idle (ibid.).
/// A prior.
const DRAM_CV: f64 = 0.2;

/// NVML states its power readings within 5 % (NVML API reference, `nvmlDeviceGetPowerUsage`); that of
/// the energy counter is not stated. A prior.
const GPU_CV: f64 = 0.05;

/// What hardware monitoring shows is calibrated by whoever made the board, and most drivers state no bound. A prior.
const HWMON_CV: f64 = 0.1;

/// CPU time is not energy: next to other work, a share by CPU time may be off by a factor of 2
/// (Kepler, power attribution guide: 2 to 3 times for mixed workloads); alone, it cannot be.
const SHARE_CV: f64 = 0.5;

/// What remains of that where the workload was alone: kernel work done on its behalf.
const SHARE_CV_MIN: f64 = 0.01;

/// GPU time is not energy either: kernels of one GPU differ in power, from waiting for memory to
/// multiplying matrices, by a factor of 2 and more. A prior, as for CPU time.
const GPU_SHARE_CV: f64 = 0.5;

/// A factor known no better than this is not known at all.
const CV_MAX: f64 = 2.0;

/// What a measurement tells a record, ready to be priced.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The window.
    pub span: Interval,
    /// The members that it has of its own.
    pub measurement: record::Measurement,
    /// The energy, and factors of mean 1: what is not known of it.
    pub inputs: Vec<Input>,
    /// What went otherwise than it should.
    pub notes: Vec<Note>,
    /// What stands behind the energy.
    pub quality: Quality,
    /// Keyed hash of the machine's id.
    pub host_id: String,
    /// The energy was invented or another machine's.
    pub simulated: bool,
    /// Measuring ended before the work did.
    pub interrupted: bool,
}

/// What was run, as records name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Base name.
    pub name: String,
    /// Arguments, where they are to be kept.
    pub args: Option<Vec<String>>,
}

/// What a measurement of a command tells.
///
/// # Errors
/// When the window has no length that a record could have.
pub fn measured(
    measurement: &Measurement,
    outcome: Outcome,
    program: &Program,
    host: &Host,
    model: &PowerModel,
) -> Result<Measured> {
    let shares = measurement.shares();
    let mut notes = measurement.notes.clone();
    notes.extend(host.id_from_name.then_some(Note::HostIdFromName));
    Ok(Measured {
        span: span(measurement)?,
        measurement: record::Measurement {
            allocation_ratio: Some(round9(measurement.attribution.ratio)),
            attribution_mode: attribution_mode(measurement),
            boot_id: host.boot_id.clone(),
            coverage_pct: round9(100.0 * coverage(measurement)),
            cpu: Some(Cpu {
                busy_ns: nanoseconds(measurement.cpu.busy),
                count: measurement.cpus.into(),
            }),
            domains: domains(measurement),
            elapsed_ns: nanoseconds(measurement.elapsed),
            energy: Energy {
                host_uj: shares.host.as_microjoules(),
                idle_uj: shares.idle.as_microjoules(),
                others_uj: shares.others.as_microjoules(),
                workload_uj: shares.workload.as_microjoules(),
            },
            excluded: excluded(measurement, |_| true),
            gaps: gaps(measurement),
            idle_policy: match measurement.idle_policy {
                Rule::Residual => IdlePolicy::Residual,
                Rule::Proportional => IdlePolicy::Proportional,
            },
            intervals: None,
            model: model_used(&measurement.source, model),
            part: Part::Workload,
            sensors: measurement.sensors.clone(),
            workload: Some(Workload {
                args: program.args.clone(),
                cpu_time_ns: nanoseconds(outcome.cpu_time),
                exit_code: outcome.exit_code.map(u64::from),
                program: program.name.clone(),
                running: Some(outcome.running).filter(|&running| running > 0),
                signal: outcome.signal.map(u64::from),
            }),
        },
        inputs: inputs(measurement, host, model),
        notes,
        quality: quality(measurement, model),
        host_id: host.id.clone(),
        simulated: measurement.simulated,
        interrupted: outcome.exit_code.is_none(),
    })
}

/// How the workload's share was found.
pub(crate) fn attribution_mode(measurement: &Measurement) -> AttributionMode {
    match (&measurement.source, measurement.governed) {
        (Source::Counted(_), true) => AttributionMode::GovernorCpuTime,
        (Source::Counted(_), false) => AttributionMode::CpuTime,
        (Source::Modelled(_), _) => AttributionMode::MonitorOnly,
    }
}

/// The workload's energy, and what is not known of it.
pub(crate) fn inputs(measurement: &Measurement, host: &Host, model: &PowerModel) -> Vec<Input> {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 µJ: 2,500 kWh")]
    let kilowatt_hours = round9(measurement.shares().workload.as_microjoules() as f64 / 3.6e12);
    let mean = Distribution::Point { mean: kilowatt_hours };
    let mut inputs = vec![Input::new("energy", mean, "measured")];
    inputs.extend(energy_inputs(measurement, host, model));
    inputs
}

/// The window by the wall clock; where that was set back meanwhile, of the length that the monotonic one
/// tells.
pub(crate) fn span(measurement: &Measurement) -> Result<Interval> {
    let start = measurement.start_ts;
    Interval::new(start, measurement.end_ts).or_else(|_| {
        // A microsecond is the least that a record can tell.
        let elapsed = measurement.elapsed.max(Duration::from_micros(1));
        let end = start.checked_add(elapsed).context("the window ends beyond all times")?;
        Ok(Interval::new(start, end)?)
    })
}

/// The energy that the machine would have used at rest, and what is not known of it.
pub(crate) fn idle_inputs(
    measurement: &Measurement,
    host: &Host,
    model: &PowerModel,
    idle_cv: f64,
) -> Vec<Input> {
    let energy = Input::new("energy", Distribution::Point { mean: 0.0 }, "measured");
    let input = match &measurement.source {
        Source::Modelled(modelled) => model_input(model, modelled.host_cv),
        Source::Counted(_) => idle_input(idle_cv, host, model, measurement.attribution.idle_rule),
    };
    vec![energy, input]
}

fn idle_input(cv: f64, host: &Host, model: &PowerModel, rule: IdleRule) -> Input {
    let source = match rule {
        IdleRule::BusyTime => "prior: at most the busy time at full power".to_owned(),
        _ if model.idle_is_given() => "configuration: idle baseline".to_owned(),
        _ => format!("table:{TABLE}"),
    };
    factor("idle", cv, source).shared(format!("idle:{}", host.id))
}

/// What is not known of the energy, as factors of mean 1.
fn energy_inputs(measurement: &Measurement, host: &Host, model: &PowerModel) -> Vec<Input> {
    let weight = weight(measurement, measurement.attribution.shares.workload);
    let mut inputs = match &measurement.source {
        Source::Counted(counted) => counted_inputs(counted, measurement, host, model, weight),
        Source::Modelled(modelled) => {
            // Of the whole host, idling is a part, and of those who share in it.
            let idles = measurement.is_whole || measurement.idle_policy == Rule::Proportional;
            let cv = if idles { modelled.host_cv } else { modelled.cv };
            vec![model_input(model, cv * weight)]
        }
    };
    inputs.extend(gpu_inputs(measurement, host));
    inputs
}

fn nanoseconds(time: Duration) -> Decimal {
    Decimal(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn factor(name: &str, cv: f64, source: impl Into<String>) -> Input {
    Input::factor(name, cv.clamp(1e-9, CV_MAX), source)
}

/// What is not known of counted energy: the meters, the idle power, the share, and the ends.
fn counted_inputs(
    counted: &Counted,
    measurement: &Measurement,
    host: &Host,
    model: &PowerModel,
    weight: f64,
) -> Vec<Input> {
    let attribution = measurement.attribution;
    // Relative change of the workload's energy when this much of the host's is off.
    let host_energy = attribution.shares.host.as_joules().max(1e-9);
    let of_host = |energy: Microjoules| energy.as_joules() / host_energy * weight;
    let of_active = |energy: Microjoules| of_host(energy) * attribution.host_sensitivity;
    let mut inputs = Vec::new();
    for domain in &counted.domains {
        let blur = blur_cv(domain.kind, measurement);
        inputs.push(meter_input(domain, host, blur, of_active(domain.energy.energy)));
    }
    if attribution.idle_cv > 0.0 {
        let cv = attribution.idle_cv * weight;
        inputs.push(idle_input(cv, host, model, attribution.idle_rule).opposed());
    }
    if !measurement.is_whole {
        let share = share_cv(measurement) * weight;
        inputs.push(factor("attribution", share, "prior: share by CPU time"));
    }
    // Any energy between the bounds is possible: a rectangular distribution (GUM 4.3.7).
    let (low, high) = counted.bounds();
    let missing = counted.missing(model.memory_power());
    // What busy time bounds does not follow the host's energy, but it grows with what could draw power meanwhile.
    let width = of_active(high.saturating_sub(low))
        + of_host(missing) * attribution.host_sensitivity.max(1.0);
    let source = if missing > Microjoules::ZERO {
        "readings around the window, and what was not counted"
    } else {
        "readings around the window"
    };
    inputs.push(factor("ends", width / 12f64.sqrt(), source));
    inputs
}

/// What the filtering of energies may add to a package's meter in this window.
fn blur_cv(kind: Kind, measurement: &Measurement) -> f64 {
    if kind != Kind::Package || !measurement.notes.contains(&Note::EnergyFiltered) {
        return 0.0;
    }
    let spans = measurement.elapsed.as_secs_f64() / FILTERED_SPAN.as_secs_f64();
    FILTERED_CV / spans.max(1.0).sqrt()
}

/// What is not known of a meter, for a domain that has this weight in the workload's energy.
fn meter_input(domain: &counted::Domain, host: &Host, blur: f64, weight: f64) -> Input {
    let cv = match domain.kind {
        _ if domain.backend == hwmon::NAME => HWMON_CV,
        Kind::Package | Kind::Core | Kind::Uncore | Kind::Psys => PACKAGE_CV,
        Kind::Dram => DRAM_CV,
        Kind::Gpu => GPU_CV,
    };
    let meter = match (domain.backend, domain.kind) {
        (hwmon::NAME, _) => "hwmon",
        (_, Kind::Gpu) => "NVML",
        _ => "RAPL",
    };
    let what = domain.kind.as_str();
    let mut source = format!("prior: {meter} {what} within {} %", 100.0 * cv);
    if blur > 0.0 {
        let _ = write!(source, ", and {:.3} % for energy filtering", 100.0 * blur);
    }
    let key = format!("meter:{}:{}:{}", host.id, domain.backend, domain.name);
    factor("meter", cv.hypot(blur) * weight, source).shared(key)
}

/// The part of the workload's energy that this energy is.
fn weight(measurement: &Measurement, part: Microjoules) -> f64 {
    let whole = measurement.shares().workload;
    // Without GPUs it is all of it, also where that is nothing.
    if part == whole { 1.0 } else { part.as_joules() / whole.as_joules().max(1e-9) }
}

/// What is not known of the GPUs that the workload used: their meters, the shares, and the ends.
fn gpu_inputs(measurement: &Measurement, host: &Host) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut ends = 0.0f64;
    for gpu in &measurement.gpus {
        let (name, energy) = (&gpu.domain.name, &gpu.domain.energy);
        let [part, whole] = [gpu.shares.workload, gpu.shares.host].map(Microjoules::as_microjoules);
        if part == 0 {
            continue;
        }
        let weight = weight(measurement, gpu.shares.workload);
        inputs.push(meter_input(&gpu.domain, host, 0.0, weight));
        if !measurement.is_whole {
            let by = if gpu.used.by_process { "processes seen" } else { "GPU time" };
            let source = format!("prior: share of {name} by {by}, {part} of {whole} µJ");
            inputs.push(factor("gpu_attribution", gpu_share_cv(gpu.used) * weight, source));
        }
        let width = energy.high.saturating_sub(energy.low);
        let width = width.as_joules() / gpu.shares.host.as_joules().max(1e-9);
        ends = ends.hypot(width / 12f64.sqrt() * weight);
    }
    if !inputs.is_empty() {
        inputs.push(factor("gpu_ends", ends, "readings of the GPUs around the window"));
    }
    inputs
}

/// Of a share by GPU time: what kernels differ in power; that the GPU drew power also while nobody used
/// it, which counts as idle and which a policy may give to its users; and what may be the workload's
/// among that of which nobody could say whose it is (the latter two rectangular, GUM 4.3.7).
fn gpu_share_cv(used: GpuUse) -> f64 {
    let all = used.used().clamp(1e-9, 1.0);
    let rule = if used.by_process { 1.0 } else { 1.0 - used.workload / all };
    let idle = (1.0 / all - 1.0) / 12f64.sqrt();
    let unknown = used.unknown / used.workload.max(1e-9) / 12f64.sqrt();
    (GPU_SHARE_CV * rule).hypot(idle).hypot(unknown).max(SHARE_CV_MIN)
}

/// Ticks blur the busy time by one per CPU; sharing by CPU time is itself an approximation.
fn share_cv(measurement: &Measurement) -> f64 {
    let cpu = measurement.cpu;
    let (workload, busy) = (cpu.workload, cpu.busy_at_least_workload());
    let blur = measurement.tick * measurement.cpus;
    let most = workload.max(busy.saturating_sub(blur)).as_secs_f64();
    let ticks = ((busy + blur).as_secs_f64() / most.max(1e-9)).ln() / 12f64.sqrt();
    let unknown = measurement.notes.contains(&Note::BusyTimeUnknown);
    let alone = if unknown { 0.0 } else { measurement.attribution.ratio };
    let rule = SHARE_CV * (1.0 - alone);
    // Children that nobody waited for may have used all that was used otherwise.
    let unreaped = if measurement.notes.contains(&Note::CpuTimeUnreaped) {
        (busy.as_secs_f64() / workload.as_secs_f64().max(1e-9) - 1.0) / 12f64.sqrt()
    } else {
        0.0
    };
    rule.hypot(ticks).hypot(unreaped).max(SHARE_CV_MIN)
}

fn model_input(model: &PowerModel, cv: f64) -> Input {
    let source = format!("scatter of {CURVES} published curves, table:{TABLE}");
    let of = model.family.as_deref().unwrap_or(&model.cpu);
    let of = if of.is_empty() { "unknown" } else { of };
    if model.tdp_basis == TdpBasis::Given {
        let key = format!("model:{TABLE}:{of}:{} W", round9(model.tdp.as_watts()));
        return factor("model", cv, format!("{source}, configured TDP")).shared(key);
    }
    factor("model", cv, source).shared(format!("model:{TABLE}:{of}"))
}

/// All that was counted, GPUs last.
fn all_counted(measurement: &Measurement) -> impl Iterator<Item = &counted::Domain> {
    let counted = match &measurement.source {
        Source::Counted(counted) => &*counted.domains,
        Source::Modelled(_) => &[],
    };
    counted.iter().chain(measurement.gpus.iter().map(|gpu| &gpu.domain))
}

/// Of the domains that are counted; what is modelled has no time without coverage.
pub(crate) fn coverage(measurement: &Measurement) -> f64 {
    counted::coverage(all_counted(measurement), measurement.elapsed)
}

pub(crate) fn domains(measurement: &Measurement) -> Vec<Domain> {
    let modelled = match &measurement.source {
        Source::Counted(_) => Vec::new(),
        Source::Modelled(modelled) => {
            [("cpu", modelled.cpu), ("memory", modelled.memory)].map(modelled_domain).into()
        }
    };
    modelled.into_iter().chain(all_counted(measurement).map(counted_domain)).collect()
}

fn counted_domain(domain: &counted::Domain) -> Domain {
    let energy = &domain.energy;
    let delta = energy.end.saturating_sub(energy.start);
    let adjust = i128::from(energy.energy.as_microjoules()) - i128::from(delta.as_microjoules());
    Domain {
        adjust_uj: i64::try_from(adjust).ok().filter(|&adjust| adjust != 0),
        backend: domain.backend.into(),
        delta_uj: delta.as_microjoules(),
        end_uj: Some(Decimal(energy.end.as_microjoules())),
        epoch: Some(Decimal(energy.epoch.as_millis())),
        name: domain.name.clone(),
        start_uj: Some(Decimal(energy.start.as_microjoules())),
        wraps: Some(energy.wraps),
    }
}

fn modelled_domain((name, energy): (&str, Microjoules)) -> Domain {
    Domain {
        adjust_uj: None,
        backend: "model".into(),
        delta_uj: energy.as_microjoules(),
        end_uj: None,
        epoch: None,
        name: name.into(),
        start_uj: None,
        wraps: None,
    }
}

/// Zones that were not counted for such a reason.
pub(crate) fn excluded(
    measurement: &Measurement,
    which: impl Fn(Exclusion) -> bool,
) -> Vec<record::Excluded> {
    let zones = measurement.excluded.iter().filter(|zone| which(zone.reason));
    zones
        .map(|zone| record::Excluded {
            name: zone.name.clone(),
            reason: zone.reason.as_str().into(),
            zone: zone.id.clone(),
        })
        .collect()
}

pub(crate) fn gaps(measurement: &Measurement) -> Vec<Gap> {
    let of_domain = |domain: &counted::Domain| {
        let name = domain.name.clone();
        let gap = move |gap: &carbon_ops_meter::accumulator::Gap| Gap {
            bridged: gap.bridged,
            domain: name.clone(),
            duration_ns: nanoseconds(gap.duration),
            offset_ns: nanoseconds(gap.offset),
            reason: gap.reason.as_str().into(),
        };
        domain.energy.gaps.iter().map(gap).collect::<Vec<_>>()
    };
    all_counted(measurement).flat_map(of_domain).collect()
}

fn model_used(source: &Source, model: &PowerModel) -> Option<Model> {
    let Source::Modelled(modelled) = source else { return None };
    let estimates = modelled.estimates.iter().map(|estimate| record::ModelEstimate {
        cpu_uj: estimate.cpu.as_microjoules(),
        name: estimate.name.into(),
        workload_uj: estimate.workload.as_microjoules(),
    });
    Some(Model {
        cpu: model.cpu.clone(),
        estimates: estimates.collect(),
        family: model.family.clone(),
        memory_bytes: model.memory_bytes,
        table: TABLE.into(),
        tdp_basis: model.tdp_basis.as_str().into(),
        tdp_watts: round9(model.tdp.as_watts()),
        vcpus: model.vcpus.into(),
    })
}

/// What stands behind the energy; how well the share is known is for the notes, unless nothing is known.
pub(crate) fn quality(measurement: &Measurement, model: &PowerModel) -> Quality {
    // Without the busy time, all of the energy is taken for the workload's, and without its children too little.
    let unknown = [Note::BusyTimeUnknown, Note::CpuTimeUnreaped];
    let is_shared = !unknown.iter().any(|note| measurement.notes.contains(note));
    let gpus_measured = !measurement.gpus.iter().any(|gpu| gpu.domain.energy.estimated)
        && !measurement.excluded.iter().any(|zone| zone.reason.loses_energy());
    match &measurement.source {
        Source::Counted(counted) if counted.is_measured() && gpus_measured && is_shared => {
            Quality::Measured
        }
        Source::Counted(_) => Quality::Estimated,
        Source::Modelled(_) if model.is_known() => Quality::Estimated,
        Source::Modelled(_) => Quality::Fallback,
    }
}
