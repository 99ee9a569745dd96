//! `carbon-ops estimate`: the carbon of energy that was used somewhere, from options or from a stream.
//!
//! * `stream`: spans from standard input to rows, records or a ledger.
//! * `recompute`: the same numbers again from a record.
//!
//! Out of scope: measuring (`run`), and summing up (`aggregate`).

use anyhow::{Context as _, Result, bail};
use carbon_ops::estimate::span::Load;
use carbon_ops::estimate::uncertainty::text::Quantity;
use carbon_ops::estimate::uncertainty::{MonteCarlo, Trials};
use carbon_ops::grid::Interval;
use carbon_ops::record::{Coverage, Method, Record, Reserved};
use std::io::Write as _;

use crate::args::{Estimate, EstimateMethod, Sampling};
use crate::context::Context;
use carbon_ops::env::Env;
use carbon_ops::row::energy_of;
use carbon_ops::settings::Settings;
use carbon_ops::store::payload;

mod recompute;
mod stream;

use crate::summary::{self, summary};
use carbon_ops::bytes;
use carbon_ops::host::Host;
use carbon_ops::meter::host_root::HostRoot;
use carbon_ops::meter::sensor::model::{self, PowerModel};
use carbon_ops::price::{self, Ids, Pricer, Shared, Span};

pub(crate) fn run(args: &Estimate, context: &mut Context<'_>) -> Result<u8> {
    if let Some(record) = &args.recompute {
        return recompute::run(record, &args.output, context);
    }
    let settings = context.settings.clone();
    let shared = shared(args, &settings)?;
    let grid = context.grid(&args.sources)?;
    let host = HostRoot::real();
    let model = PowerModel::identify(&host, model::Overrides::default());
    let machine = Host::identify(&host, model.virtual_machine);
    let ids = Ids::new(Env::random()?);
    let mut pricer = Pricer::new(shared, &settings, grid, Some(machine), ids);
    if !has_energy(args) {
        return stream::run(args, &mut pricer, context);
    }
    one(args, &mut pricer, context)
}

/// What all spans have in common.
fn shared(args: &Estimate, settings: &Settings) -> Result<Shared> {
    let missing = args.missing.or(settings.missing_policy.value).unwrap_or_default();
    let intensity = args.intensity.as_deref().map(|text| Quantity::Intensity.read(text));
    Ok(Shared {
        zone: args.sources.grid.region.clone(),
        pue: args.pue.clone(),
        intensity: intensity.transpose().context("--intensity")?,
        deployment: args.deployment,
        upstream: args.upstream,
        missing,
        method: method(args)?,
        reserved: reserved(args, settings)?,
        functional_unit: args.functional_unit.clone(),
        market: price::market(settings)?,
        parent: None,
        unit: args.named.read()?,
        labels: args.labels.read()?,
    })
}

/// Whether one span is asked for, and not a stream of them.
fn has_energy(args: &Estimate) -> bool {
    args.energy.is_some() || args.power.is_some()
}

/// The hardware of all spans.
fn reserved(args: &Estimate, settings: &Settings) -> Result<Vec<Reserved>> {
    let beyond = !args.hardware.embodied.is_empty()
        || args.functional_unit.is_some()
        || settings.market.value.is_some();
    let compact = !has_energy(args) && !args.records && args.ledger.is_none();
    if compact && (args.upstream || beyond) {
        bail!(
            "compact rows have no place for scopes, hardware, scores and figures by the market\nhint: add --records, or --ledger DIR"
        );
    }
    if !args.hardware.embodied.is_empty() && has_energy(args) && args.times.from.is_none() {
        bail!("hardware is charged by time\nhint: give --from and --to");
    }
    Ok(args.hardware.list())
}

/// A record of a file or a ledger; its rules are checked, its signature is not.
pub(crate) fn read_record(of: &str, settings: &Settings) -> Result<Record> {
    let payload = carbon_ops::verify::unsigned(carbon_ops::recompute::read(of, settings)?);
    Record::from_json(payload).with_context(|| of.to_owned())
}

fn method(args: &Estimate) -> Result<Method> {
    let Sampling { trials, seed } = args.sampling;
    if args.method == EstimateMethod::Analytical {
        if trials.is_some() || args.adaptive.is_some() || seed.is_some() || args.shortest {
            bail!(
                "--trials, --adaptive, --seed and --shortest are for sampling\nhint: add --method monte_carlo"
            );
        }
        return Ok(Method::Analytical);
    }
    let usual = MonteCarlo::seeded(seed.map_or_else(|| Env::random().map(u64::from_be_bytes), Ok)?);
    let trials = match args.adaptive {
        Some(digits) => Trials::Adaptive { digits },
        None => trials.map_or(usual.trials, Trials::Fixed),
    };
    let interval = if args.shortest { Coverage::Shortest } else { usual.interval };
    Ok(Method::MonteCarlo(MonteCarlo { trials, interval, ..usual }))
}

/// One span, from options.
fn one(args: &Estimate, pricer: &mut Pricer<'_>, context: &mut Context<'_>) -> Result<u8> {
    let interval = match (args.times.from, args.times.to) {
        (Some(from), Some(to)) => Some(Interval::new(from, to)?),
        (None, None) if args.intensity.is_some() && args.ledger.is_none() => None,
        _ => bail!(
            "a span has a start and an end\nhint: give --from and --to, such as 2026-03-01T00:00Z; they may be \
             left out only with --intensity, and without --ledger"
        ),
    };
    let energy = match (&args.energy, &args.power, interval) {
        (Some(text), ..) => Quantity::Energy.read(text).context("--energy")?,
        (None, Some(text), Some(interval)) => {
            energy_of(&Quantity::Power.read(text).context("--power")?, interval)?
        }
        _ => bail!("a mean power makes an energy only over a time\nhint: give --from and --to"),
    };
    let load = Load::Even(energy.mean());
    // What stands in where no time was given is shown nowhere.
    let some_hour = Interval::parse("1970-01-01T00:00Z", "1970-01-01T01:00Z")?;
    let span = Span {
        interval: interval.unwrap_or(some_hour),
        energy,
        load: &load,
        energy_source: "flag",
        zone: None,
        pue: None,
        id: args.id.as_deref(),
        host: args.host.as_deref(),
        labels: None,
        measured: None,
    };
    let records = pricer.records(&span)?;
    // Before the first is signed.
    let broken = "the record breaks its own rules; this is a defect of carbon-ops";
    records.iter().try_for_each(|record| record.check().context(broken))?;
    for (at, record) in records.iter().enumerate() {
        if at > 0 && !args.output.json {
            writeln!(context.out)?;
        }
        tell(args, record, interval.is_some(), context)?;
    }
    if args.buckets {
        let minutes = context.settings.bucket_minutes.value;
        let text = summary::buckets(&pricer.buckets(&span, minutes)?);
        context.say(&text)?;
    }
    Ok(0)
}

/// Signs a record where that was asked for, and prints it.
fn tell(
    args: &Estimate,
    record: &Record,
    has_times: bool,
    context: &mut Context<'_>,
) -> Result<()> {
    let mut line = Vec::new();
    if let Some(ledger) = &args.ledger {
        let payload = payload(record)?;
        line = context.append(Some(ledger), |opened| opened.append_object(payload))?.line;
    } else if args.output.json {
        bytes::record(record, &mut line)?;
        if !has_times {
            line = without_times(&line)?;
        }
    }
    if args.output.json {
        context.out.write_all(&line)?;
        writeln!(context.out)?;
        return Ok(());
    }
    context.say(&summary(record, &[], None, has_times, args.level.level)?)
}

/// What has no time is no record, and says so.
fn without_times(line: &[u8]) -> Result<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(line)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("start_ts");
        object.remove("end_ts");
        object.insert("type".into(), "carbon_estimate_without_time".into());
    }
    Ok(serde_json::to_vec(&value)?)
}
