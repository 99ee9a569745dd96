//! `carbon-ops aggregate`: sums over records of ledgers and files, each with its interval: operation, and
//! apart from it the carbon of making hardware.
//!
//! Out of scope: how errors are shared (`carbon_ops::estimate::aggregate`); drawing
//! (`carbon_ops::record::totals::Joint`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Result, bail};
use carbon_ops::estimate::uncertainty::{GENERATOR, MonteCarlo, TRIALS, Trials};
use carbon_ops::record::totals::{Group, Joint, Totals};
use carbon_ops::record::{Figure, Record};
use serde_json::{Value, json};

use crate::args::{Aggregate, AggregateMethod, GroupBy};
use crate::context::Context;
use crate::layout::Table;
use crate::render::{counted, plain, si};
use crate::summary::scopes_of;
use carbon_ops::env::Env;
use carbon_ops::records::Records;

/// Heading of what has no label, or no host, of its own.
const NONE: &str = "(none)";

/// Most records times trials: ten thousand records by 200,000 trials are minutes of a core. For so many
/// the moments are as good.
const DRAWS_MAX: u64 = 2_000_000_000;

pub(crate) fn run(args: &Aggregate, context: &mut Context<'_>) -> Result<u8> {
    let sampling = sampling(args)?;
    let read = context.records(&args.records)?;
    if sampling.is_some() {
        affordable(read.found.len(), args.sampling.trials.unwrap_or(TRIALS))?;
    }
    let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in &read.found {
        groups.entry(key(record, &args.by)).or_default().push(record);
    }
    let sums: Vec<_> = groups
        .iter()
        .map(|(key, records)| Ok((key.as_str(), totals(records, sampling.as_ref())?)))
        .collect::<Result<_>>()?;
    let all = match &sums[..] {
        [(_, only)] => only.clone(),
        _ => totals(&read.found.iter().collect::<Vec<_>>(), sampling.as_ref())?,
    };
    let out = &mut context.out;
    if args.output.json {
        writeln!(out, "{:#}", report(args, &read, &sums, &all, sampling.as_ref())?)?;
    } else if args.csv {
        csv(&args.by, &sums, out)?;
    } else {
        table(&sums, &all, out)?;
        with_hardware(&sums, &all, out)?;
        if let Some(MonteCarlo { seed, .. }) = sampling {
            let trials = args.sampling.trials.unwrap_or(TRIALS);
            writeln!(out, "intervals by monte_carlo: {trials} trials, seed {seed}, {GENERATOR}")?;
        }
        remarks(&read, out)?;
    }
    Ok(0)
}

/// The settings of sampling, where it was asked for.
fn sampling(args: &Aggregate) -> Result<Option<MonteCarlo>> {
    if args.method == AggregateMethod::LognormalMoments {
        if args.sampling.trials.is_some() || args.sampling.seed.is_some() {
            bail!("--trials and --seed are of sampling\nhint: add --method monte_carlo");
        }
        return Ok(None);
    }
    let seed = match args.sampling.seed {
        Some(seed) => seed,
        None => u64::from_be_bytes(Env::random()?),
    };
    let trials = args.sampling.trials.unwrap_or(TRIALS);
    Ok(Some(MonteCarlo {
        trials: Trials::Fixed(trials),
        threads: Env::threads(),
        ..MonteCarlo::seeded(seed)
    }))
}

fn affordable(records: usize, trials: u64) -> Result<()> {
    let records = u64::try_from(records)?;
    if records.saturating_mul(trials) > DRAWS_MAX {
        bail!(
            "{trials} trials of {records} records are more than {DRAWS_MAX} draws of a record\nhint: fewer \
             --trials, or the default method, which for so many records is as good"
        );
    }
    Ok(())
}

/// The sum over records, by moments or by trials.
fn totals(records: &[&Record], sampling: Option<&MonteCarlo>) -> Result<Totals> {
    let mut group = Group::default();
    for record in records {
        group.merge(&Group::of(record)?);
    }
    let totals = group.totals();
    match sampling {
        Some(settings) if !records.is_empty() => {
            Ok(totals.by_trials(&Joint::of(records, settings)?))
        }
        _ => Ok(totals),
    }
}

fn report(
    args: &Aggregate,
    read: &Records,
    sums: &[(&str, Totals)],
    all: &Totals,
    sampling: Option<&MonteCarlo>,
) -> Result<Value> {
    let groups: serde_json::Map<_, _> = sums
        .iter()
        .map(|(key, totals)| Ok(((*key).to_owned(), serde_json::to_value(totals)?)))
        .collect::<Result<_>>()?;
    let mut report = json!({
        "schema_version": 1, "by": args.by.to_string(), "groups": groups, "all": all,
        "method": match sampling { Some(_) => "monte_carlo", None => "lognormal_moments" },
        "ledgers_verified": read.ledgers, "unsigned_records": read.unsigned,
        "superseded_records": read.superseded, "unread_entries": read.unread,
        "simulated_records_left_out": read.simulated,
    });
    if let (Some(settings), Some(members)) = (sampling, report.as_object_mut()) {
        // A seed may be beyond what JSON readers keep exactly.
        let monte_carlo = json!({ "generator": GENERATOR, "seed": settings.seed.to_string(),
            "trials": args.sampling.trials.unwrap_or(TRIALS) });
        members.insert("monte_carlo".into(), monte_carlo);
    }
    Ok(report)
}

fn key(record: &Record, by: &GroupBy) -> String {
    match by {
        GroupBy::All => "all".to_owned(),
        GroupBy::Region => record.region.clone(),
        GroupBy::Source => record.source.clone(),
        GroupBy::Host => record.host_id.as_deref().unwrap_or(NONE).to_owned(),
        // Of the figure of operation.
        GroupBy::Scope => scopes_of(record, Figure::Operational),
        // A span belongs to the day on which it began.
        GroupBy::Day => record.start_ts.get(..10).unwrap_or(NONE).to_owned(),
        GroupBy::Label(name) => record.labels.get(name).map_or(NONE, String::as_str).to_owned(),
    }
}

/// The sums, and that of all where it is not one of them.
fn rows<'a>(sums: &'a [(&'a str, Totals)], all: &'a Totals) -> Vec<(&'a str, &'a Totals)> {
    let mut rows: Vec<_> = sums.iter().map(|(key, totals)| (*key, totals)).collect();
    if rows.len() > 1 {
        rows.push(("all", all));
    }
    rows
}

fn interval(low: f64, high: f64) -> String {
    format!("{} and {}", si(low, "g"), si(high, "g"))
}

fn table(sums: &[(&str, Totals)], all: &Totals, out: &mut impl Write) -> Result<()> {
    let mut table = Table::new(&[
        "",
        ">records",
        ">energy",
        ">CO2e",
        "95 % between",
        ">± %",
        ">covered",
        "quality",
    ]);
    for (key, totals) in rows(sums, all) {
        table.row([
            plain(key),
            totals.count.to_string(),
            si(totals.total_energy_kwh * 1e3, "Wh"),
            si(totals.total_grams, "g"),
            interval(totals.ci_lower_g, totals.ci_upper_g),
            format!("{:.1}", totals.relative_uncertainty_pct),
            format!("{:.1} %", totals.coverage_pct),
            totals.quality_flag.to_string(),
        ]);
    }
    Ok(table.write(out)?)
}

/// A second table, where records have hardware: apart from operation, and together with it.
fn with_hardware(sums: &[(&str, Totals)], all: &Totals, out: &mut impl Write) -> Result<()> {
    if all.embodied.is_none() {
        return Ok(());
    }
    writeln!(out, "\nthe carbon of making hardware, which is not in the figures above:")?;
    let mut table = Table::new(&[
        "",
        ">records",
        ">hardware",
        "95 % between",
        ">together",
        "95 % between",
        "part of hardware",
    ]);
    for (key, totals) in rows(sums, all) {
        let (Some(hardware), Some(whole)) = (&totals.embodied, &totals.whole) else {
            table.row([plain(key), format!("0 of {}", totals.count)]);
            continue;
        };
        let percent = |part: f64| format!("{:.0} %", 100.0 * part);
        let theta = match &totals.theta {
            Some(theta) => format!(
                "{} ({} to {}) {}",
                percent(theta.theta),
                percent(theta.ci_lower),
                percent(theta.ci_upper),
                theta.class
            ),
            None if hardware.records_with_hardware < totals.count => {
                "not all records have it".to_owned()
            }
            None => String::new(),
        };
        table.row([
            plain(key),
            format!("{} of {}", hardware.records_with_hardware, totals.count),
            si(hardware.total_grams, "g"),
            interval(hardware.ci_lower_g, hardware.ci_upper_g),
            si(whole.total_grams, "g"),
            interval(whole.ci_lower_g, whole.ci_upper_g),
            theta,
        ]);
    }
    Ok(table.write(out)?)
}

/// What was read, and what was not counted.
fn remarks(read: &Records, out: &mut impl Write) -> Result<()> {
    let Records { ledgers, unsigned, superseded, unread, simulated, .. } = read;
    for (count, one, what) in [
        (*ledgers, "ledger", "verified"),
        (*unsigned, "record", "of files, which nobody signed"),
        (*superseded, "record", "replaced or retracted by corrections"),
        (*simulated, "record", "of simulated sensors left out; --include-simulated counts them"),
        (*unread, "entry", "of other programs or newer versions, not counted"),
    ] {
        if count > 0 {
            writeln!(out, "{} {what}", counted(count, one))?;
        }
    }
    Ok(())
}

/// Members of figures are columns of their own; what a group does not have is empty.
fn csv(by: &GroupBy, sums: &[(&str, Totals)], out: &mut impl Write) -> Result<()> {
    let mut rows: Vec<(&str, BTreeMap<String, String>)> = Vec::new();
    for (key, totals) in sums {
        let mut row = BTreeMap::new();
        flatten("", &serde_json::to_value(totals)?, &mut row);
        rows.push((key, row));
    }
    let names: BTreeSet<&String> = rows.iter().flat_map(|(_, row)| row.keys()).collect();
    let mut writer = csv::Writer::from_writer(out);
    if !rows.is_empty() {
        let by = by.to_string();
        writer.write_record([&by].into_iter().chain(names.iter().copied()))?;
    }
    for (key, row) in &rows {
        let fields = names.iter().map(|name| row.get(*name).map_or("", String::as_str));
        writer.write_record([*key].into_iter().chain(fields))?;
    }
    writer.flush()?;
    Ok(())
}

/// `{"embodied": {"total_grams": 1}}` as `embodied_total_grams`; lists have no column.
fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}_{name}") };
                flatten(&name, member, into);
            }
            return;
        }
        Value::Array(_) => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    into.insert(prefix.to_owned(), text);
}
