//! `carbon-ops aggregate`: sums over records of ledgers and files, each with its interval.
//!
//! Deliberately absent: how errors are shared (`carbon_ops_estimate::aggregate`).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use carbon_ops_estimate::record::any::Any;
use carbon_ops_estimate::record::totals::{Group, Totals};
use serde_json::json;

use crate::args::{Aggregate, GroupBy};
use crate::commands::sources::{How, Records, read};
use crate::config::Settings;
use crate::edge::Edge;
use crate::render::{plain, si};

/// Heading of what has no label, or no host, of its own.
const NONE: &str = "(none)";

pub(crate) fn run(
    args: &Aggregate,
    edge: &Edge,
    config: Option<&Path>,
    out: &mut impl Write,
) -> Result<u8> {
    let settings = Settings::resolve(edge, config, None)?;
    let how = How {
        trust: args.trust.as_deref(),
        include_simulated: args.include_simulated,
        settings: &settings,
        edge,
    };
    let read = read(&args.paths, &how)?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for record in &read.found {
        let group = groups.entry(key(record, &args.by)).or_default();
        group.merge(&Group::of(record)?);
    }
    let mut all = Group::default();
    for group in groups.values() {
        all.merge(group);
    }
    let groups: Vec<_> = groups.iter().map(|(key, group)| (key.as_str(), group.totals())).collect();
    if args.json {
        let groups: serde_json::Map<_, _> = groups
            .iter()
            .map(|(key, totals)| Ok(((*key).to_owned(), serde_json::to_value(totals)?)))
            .collect::<Result<_>>()?;
        let report = json!({
            "schema_version": 1, "by": args.by.to_string(), "groups": groups, "all": all.totals(),
            "ledgers_verified": read.ledgers, "unsigned_records": read.unsigned,
            "superseded_records": read.superseded, "unread_entries": read.unread,
            "simulated_records_left_out": read.simulated,
        });
        writeln!(out, "{report:#}")?;
    } else if args.csv {
        csv(&args.by, &groups, out)?;
    } else {
        table(&groups, &all.totals(), out)?;
        remarks(&read, out)?;
    }
    Ok(0)
}

fn key(record: &Any, by: &GroupBy) -> String {
    match by {
        GroupBy::All => "all".to_owned(),
        GroupBy::Region => record.region().to_owned(),
        GroupBy::Source => record.source().to_owned(),
        GroupBy::Host => record.host_id().unwrap_or(NONE).to_owned(),
        // A span belongs to the day on which it began.
        GroupBy::Day => record.times().0.get(..10).unwrap_or(NONE).to_owned(),
        GroupBy::Label(name) => record.labels().get(name).map_or(NONE, String::as_str).to_owned(),
    }
}

impl std::fmt::Display for GroupBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Region => f.write_str("region"),
            Self::Source => f.write_str("source"),
            Self::Host => f.write_str("host"),
            Self::Day => f.write_str("day"),
            Self::Label(name) => write!(f, "label:{name}"),
        }
    }
}

fn table(groups: &[(&str, Totals)], all: &Totals, out: &mut impl Write) -> Result<()> {
    let names = groups.iter().map(|(key, _)| plain(key).chars().count());
    let width = names.max().unwrap_or(0).max(5);
    writeln!(
        out,
        "{:<width$}  {:>8}  {:>10}  {:>10}  {:<23}  {:>6}  {:>7}  quality",
        "", "records", "energy", "CO2e", "95 % between", "± %", "covered"
    )?;
    let mut line = |key: &str, totals: &Totals| {
        let interval = format!("{} and {}", si(totals.ci_lower_g, "g"), si(totals.ci_upper_g, "g"));
        writeln!(
            out,
            "{:<width$}  {:>8}  {:>10}  {:>10}  {interval:<23}  {:>6.1}  {:>5.1} %  {}",
            plain(key),
            totals.count,
            si(totals.total_energy_kwh * 1e3, "Wh"),
            si(totals.total_grams, "g"),
            totals.relative_uncertainty_pct,
            totals.coverage_pct,
            totals.quality_flag
        )
    };
    for (key, totals) in groups {
        line(key, totals)?;
    }
    if groups.len() > 1 {
        line("all", all)?;
    }
    Ok(())
}

/// What was read, and what was not counted.
fn remarks(read: &Records, out: &mut impl Write) -> Result<()> {
    let Records { ledgers, unsigned, superseded, unread, simulated, .. } = read;
    if *ledgers > 0 {
        writeln!(out, "{ledgers} ledgers verified")?;
    }
    for (count, what) in [
        (unsigned, "records of files, which nobody signed"),
        (superseded, "records replaced or retracted by corrections"),
        (simulated, "records of simulated sensors left out; --include-simulated counts them"),
        (unread, "entries of other programs or newer versions, not counted"),
    ] {
        if *count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    Ok(())
}

fn csv(by: &GroupBy, groups: &[(&str, Totals)], out: &mut impl Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let by = by.to_string();
    for (index, (key, totals)) in groups.iter().enumerate() {
        let value = serde_json::to_value(totals)?;
        let members = value.as_object().context("totals are an object")?;
        if index == 0 {
            writer.write_record(
                [by.as_str()].into_iter().chain(members.keys().map(String::as_str)),
            )?;
        }
        let fields = members.values().map(|value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        writer.write_record([(*key).to_owned()].into_iter().chain(fields))?;
    }
    writer.flush()?;
    Ok(())
}
