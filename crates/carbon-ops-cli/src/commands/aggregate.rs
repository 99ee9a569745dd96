//! `carbon-ops aggregate`: sums over records of ledgers and files, each with its interval: operation, and
//! apart from it the embodied carbon.
//!
//! Out of scope: how errors are shared (`carbon_ops::estimate::aggregate`); drawing
//! (`carbon_ops::record::totals::Joint`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Result, bail};
use carbon_ops::estimate::uncertainty::{GENERATOR, MonteCarlo, TRIALS, Trials};
use carbon_ops::record::totals::{Group, Joint, LeftOut, RecordSet, Totals};
use carbon_ops::record::{Figure, Record};
use serde_json::{Value, json};

use crate::args::{Aggregate, AggregateMethod, GroupBy};
use crate::context::{Context, add};
use crate::layout::{Page, Table};
use crate::render::{counted, plain, si};
use crate::summary::scopes_of;
use carbon_ops::env::Env;
use carbon_ops::records::Records;

/// Heading of what has no label, or no host, of its own.
const NONE: &str = "(none)";

/// Heading of an interval.
const BETWEEN: &str = "95 % between";

/// Most records times trials: ten thousand records by 200,000 trials are minutes of a core. For so many
/// the moments are as good.
const DRAWS_MAX: u64 = 2_000_000_000;

pub(crate) fn run(args: &Aggregate, context: &mut Context<'_>) -> Result<u8> {
    let sampling = sampling(args)?;
    let read = context.records(&args.records)?;
    if sampling.is_some() {
        affordable(read.found.len(), trials(args))?;
    }
    let set = RecordSet::of(&read.found)?;
    let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in &read.found {
        groups.entry(key(record, &args.by)).or_default().push(record);
    }
    let sums = groups.into_iter();
    let sums = sums.map(|(key, records)| Ok((key, totals(&set, &records, sampling.as_ref())?)));
    let mut sums = sums.collect::<Result<Vec<_>>>()?;
    if args.csv {
        csv(&args.by, &sums, &mut context.out)?;
        return Ok(0);
    }
    let all = match &sums[..] {
        [(_, only)] => only.clone(),
        _ => totals(&set, &read.found.iter().collect::<Vec<_>>(), sampling.as_ref())?,
    };
    let report = report(args, &read, &sums, &all, sampling.as_ref())?;
    let has_hardware = all.embodied.is_some();
    let mut page = Page::default();
    if let Some(MonteCarlo { seed, .. }) = sampling {
        let trials = trials(args);
        page.title(&format!("intervals by monte_carlo: {trials} trials, seed {seed}, {GENERATOR}"));
    }
    remarks(&read, &mut page);
    left_out(&sums, &all, &mut page);
    if sums.len() > 1 {
        sums.push(("all".to_owned(), all));
    }
    let mut text = table(&sums);
    if has_hardware {
        text += "\nthe embodied carbon of hardware, which is not in the figures above:\n";
        text += &hardware(&sums);
    }
    context.answer(&args.output, report, &(text + page.text()))
}

/// The settings of sampling, where it was asked for.
fn sampling(args: &Aggregate) -> Result<Option<MonteCarlo>> {
    if args.method == AggregateMethod::LognormalMoments {
        if args.sampling.trials.is_some() || args.sampling.seed.is_some() {
            bail!("--trials and --seed are for sampling\nhint: add --method monte_carlo");
        }
        return Ok(None);
    }
    let seed = args.sampling.seed.map_or_else(|| Env::random().map(u64::from_be_bytes), Ok)?;
    let (trials, threads) = (Trials::Fixed(trials(args)), Env::threads());
    Ok(Some(MonteCarlo { trials, threads, ..MonteCarlo::seeded(seed) }))
}

fn trials(args: &Aggregate) -> u64 {
    args.sampling.trials.unwrap_or(TRIALS)
}

fn affordable(records: usize, trials: u64) -> Result<()> {
    let records = u64::try_from(records)?;
    if records.saturating_mul(trials) > DRAWS_MAX {
        bail!(
            "{trials} trials of {records} records are more than {DRAWS_MAX} draws of a record\nhint: give fewer \
             --trials, or use the default method, which for so many records is as good"
        );
    }
    Ok(())
}

/// The sum over records, by moments or by trials; each joule once.
fn totals(
    set: &RecordSet<'_>,
    records: &[&Record],
    sampling: Option<&MonteCarlo>,
) -> Result<Totals> {
    let summands = set.summands(records);
    let mut group = Group::default();
    for record in &summands.records {
        group.merge(&Group::of(record)?);
    }
    let totals = Totals { left_out: summands.left_out, ..group.totals() };
    match sampling {
        Some(settings) if !records.is_empty() => {
            Ok(totals.by_trials(&Joint::of(&summands.records, settings)?))
        }
        _ => Ok(totals),
    }
}

fn report(
    args: &Aggregate,
    read: &Records,
    sums: &[(String, Totals)],
    all: &Totals,
    sampling: Option<&MonteCarlo>,
) -> Result<Value> {
    let mut groups = json!({});
    for (key, totals) in sums {
        add(&mut groups, [(key, serde_json::to_value(totals)?)]);
    }
    let mut report = json!({
        "by": args.by.to_string(), "groups": groups, "all": all,
        "method": if sampling.is_some() { "monte_carlo" } else { "lognormal_moments" },
        "ledgers_verified": read.ledgers, "unsigned_records": read.unsigned,
        "superseded_records": read.superseded, "unread_entries": read.unread,
        "simulated_records_left_out": read.simulated,
    });
    if let Some(settings) = sampling {
        // A seed may be beyond what JSON readers keep exactly.
        let seed = settings.seed.to_string();
        let drawn = json!({ "generator": GENERATOR, "seed": seed, "trials": trials(args) });
        add(&mut report, [("monte_carlo", drawn)]);
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

fn interval(low: f64, high: f64) -> String {
    format!("{} and {}", si(low, "g"), si(high, "g"))
}

fn table(sums: &[(String, Totals)]) -> String {
    let figures = ["", ">records", ">energy", ">CO2e", BETWEEN, ">± %", ">covered", "quality"];
    let mut table = Table::new(&figures);
    for (key, totals) in sums {
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
    table.fitted()
}

/// A second table, where records have hardware: apart from operation, and together with it.
fn hardware(sums: &[(String, Totals)]) -> String {
    let figures = ["", ">records", ">hardware", BETWEEN, ">together", BETWEEN, "part of hardware"];
    let mut table = Table::new(&figures);
    for (key, totals) in sums {
        let (Some(hardware), Some(whole)) = (&totals.embodied, &totals.whole) else {
            table.row([plain(key), format!("0 of {}", totals.count)]);
            continue;
        };
        let some = hardware.records_with_hardware < totals.count;
        let percent = |part: f64| format!("{:.0} %", 100.0 * part);
        let theta = totals.theta.as_ref().map(|theta| {
            let [part, low, high] = [theta.theta, theta.ci_lower, theta.ci_upper].map(percent);
            format!("{part} ({low} to {high}) {}", theta.class)
        });
        let theta = theta.or(some.then(|| "not all records have it".to_owned()));
        table.row([
            plain(key),
            format!("{} of {}", hardware.records_with_hardware, totals.count),
            si(hardware.total_grams, "g"),
            interval(hardware.ci_lower_g, hardware.ci_upper_g),
            si(whole.total_grams, "g"),
            interval(whole.ci_lower_g, whole.ci_upper_g),
            theta.unwrap_or_default(),
        ]);
    }
    table.fitted()
}

/// What was read, and what was not counted.
fn remarks(read: &Records, page: &mut Page) {
    let of_sensors = "of simulated sensors left out; --include-simulated counts them";
    for (count, one, what) in [
        (read.ledgers, "ledger", "verified"),
        (read.unsigned, "record", "of files, which nobody signed"),
        (read.superseded, "record", "replaced or retracted by corrections"),
        (read.simulated, "record", of_sensors),
        (read.unread, "entry", "of other programs or newer versions, not counted"),
    ] {
        if count > 0 {
            page.title(&format!("{} {what}", counted(count, one)));
        }
    }
}

/// What the sum of all left out, and how many records its rows have besides.
fn left_out(sums: &[(String, Totals)], all: &Totals, page: &mut Page) {
    let Some(LeftOut { copies, nested }) = all.left_out else { return };
    for (amount, what) in [
        (copies, "copies of records that are counted"),
        (nested, "parts of other records, whose energy includes theirs"),
    ] {
        if amount.records > 0 {
            let energy = si(amount.energy_kwh * 1e3, "Wh");
            page.title(&format!(
                "{} ({energy}) left out: {what}",
                counted(amount.records, "record")
            ));
        }
    }
    let rows: u64 = sums.iter().map(|(_, totals)| totals.count).sum();
    if let Some(more @ 1..) = rows.checked_sub(all.count) {
        let more = counted(more, "record");
        page.title(&format!("the rows have {more} more than all: parts of records of other rows"));
    }
}

/// Members of figures are columns of their own; what a group does not have is empty.
fn csv(by: &GroupBy, sums: &[(String, Totals)], out: &mut impl Write) -> Result<()> {
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
