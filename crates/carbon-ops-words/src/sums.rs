//! Sums of records as people and spreadsheets read them.
//!
//! Out of scope: what is added to what (`carbon_ops::record::totals`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::record::totals::{Amount, GroupBy, Sums, Totals};
use carbon_ops::records::Counts;
use serde_json::Value;

use crate::layout::{Page, Table};
use crate::render::{counted, plain, si};

/// Heading of the intervals of sums.
fn between(sums: &[(String, Totals)]) -> String {
    let level = sums.first().map_or(100.0 * LEVEL, |(_, totals)| totals.confidence_level_pct);
    format!("{level} % between")
}

fn interval(low: f64, high: f64) -> String {
    format!("{} and {}", si(low, "g"), si(high, "g"))
}

/// Half of the 95 % interval in per cent of the sum.
fn half_width(totals: &Totals) -> String {
    let half = (totals.ci_upper_g - totals.ci_lower_g) / 2.0;
    if half > 0.0 { format!("{:.1}", 100.0 * half / totals.total_grams) } else { "0".to_owned() }
}

/// All tables of sums, that by the market among them where there is one.
#[must_use]
pub fn tables(rows: &[(String, Totals)]) -> String {
    let mut text = operation(rows);
    if let Some(market) = rows.iter().find_map(|(_, totals)| totals.market.as_ref()) {
        let counts = market.counts.join(", ");
        text = format!("{text}\nscope 2 by the market ({counts}), no part of the figures above:\n");
        text += &by_market(rows);
    }
    text
}

/// Operation, and apart from it the hardware.
#[must_use]
pub fn operation(rows: &[(String, Totals)]) -> String {
    let mut text = table(rows);
    if rows.iter().any(|(_, totals)| totals.embodied.is_some()) {
        text += "\nthe embodied carbon of hardware, which is not in the figures above:\n";
        text += &hardware(rows);
        text += "\noperation and hardware together:\n";
        text += &together(rows);
    }
    text
}

fn table(sums: &[(String, Totals)]) -> String {
    let between = between(sums);
    let figures = ["", ">records", ">energy", ">CO2e", &between, ">± %", ">covered", "quality"];
    let mut table = Table::new(&figures);
    for (key, totals) in sums {
        table.row([
            plain(key),
            totals.count.to_string(),
            si(totals.total_energy_kwh * 1e3, "Wh"),
            si(totals.total_grams, "g"),
            interval(totals.ci_lower_g, totals.ci_upper_g),
            half_width(totals),
            format!("{:.1} %", totals.coverage_pct),
            totals.quality_flag.to_string(),
        ]);
    }
    table.fitted()
}

/// Hardware, apart from operation.
fn hardware(sums: &[(String, Totals)]) -> String {
    let mut table = Table::new(&["", ">records", ">hardware", &between(sums)]);
    for (key, totals) in sums {
        let Some(hardware) = &totals.embodied else {
            table.row([plain(key), format!("0 of {}", totals.count)]);
            continue;
        };
        table.row([
            plain(key),
            format!("{} of {}", hardware.records_with_hardware, totals.count),
            si(hardware.total_grams, "g"),
            interval(hardware.ci_lower_g, hardware.ci_upper_g),
        ]);
    }
    table.fitted()
}

/// Both, and the part of hardware.
fn together(sums: &[(String, Totals)]) -> String {
    let mut table = Table::new(&["", ">together", &between(sums), "part of hardware"]);
    for (key, totals) in sums {
        let Some(whole) = &totals.whole else { continue };
        let percent = |part: f64| format!("{:.0} %", 100.0 * part);
        let theta = totals.theta.as_ref().map(|theta| {
            let [part, low, high] = [theta.theta, theta.ci_lower, theta.ci_upper].map(percent);
            format!("{part} ({low} to {high}) {}", theta.class)
        });
        let some = whole.records_with_hardware < totals.count;
        let theta = theta.or(some.then(|| "not all records have it".to_owned()));
        table.row([
            plain(key),
            si(whole.total_grams, "g"),
            interval(whole.ci_lower_g, whole.ci_upper_g),
            theta.unwrap_or_default(),
        ]);
    }
    table.fitted()
}

/// Scope 2 by the market.
#[must_use]
pub fn by_market(sums: &[(String, Totals)]) -> String {
    let between = between(sums);
    let heads = ["", ">records", ">energy", ">matched", ">by hour", ">by year", ">CO2e", &between];
    let mut table = Table::new(&heads);
    for (key, totals) in sums {
        let Some(market) = &totals.market else { continue };
        let percent = |part: f64| format!("{part:.1} %");
        let (grams, between) = match &market.figure {
            Some(of) => (si(of.total_grams, "g"), interval(of.ci_lower_g, of.ci_upper_g)),
            None if market.records == 0 => (String::new(), "no record of scope 2".to_owned()),
            None => {
                (String::new(), format!("{} without a factor", si(market.unpriced_kwh * 1e3, "Wh")))
            }
        };
        table.row([
            plain(key),
            market.records.to_string(),
            si(market.energy_kwh * 1e3, "Wh"),
            percent(market.matched_pct),
            market.matched_by_hour_pct.map(percent).unwrap_or_default(),
            market.matched_by_year_pct.map(percent).unwrap_or_default(),
            grams,
            between,
        ]);
    }
    table.fitted()
}

/// What was read, and what was not counted.
pub fn remarks(read: &Counts, page: &mut Page) {
    let of_sensors = "of simulated sensors left out; --include-simulated counts them";
    for (count, one, what) in [
        (read.ledgers, "ledger", "verified"),
        (read.entries.unsigned, "record", "of files, which nobody signed"),
        (
            read.entries.suspect,
            "record",
            "left out: the key that signed them was in other hands then",
        ),
        (read.entries.superseded, "record", "replaced or retracted by corrections"),
        (read.entries.simulated, "record", of_sensors),
        (read.entries.unread, "entry", "of other programs or newer versions, not counted"),
        (read.entries.other_times, "record", "began before --from or at --to or later"),
        (read.entries.others, "record", "not of what --where names"),
    ] {
        if count > 0 {
            page.title(&format!("{} {what}", counted(count, one)));
        }
    }
}

/// What sums left out, count twice perhaps, or cannot be added to.
pub fn told(sums: &Sums, page: &mut Page) {
    let whole = || sums.all.iter().chain(sums.groups.iter().map(|(_, of)| of));
    // Of all where there is such a sum; else of each.
    let of = |amount: fn(&Totals) -> Option<Amount>| match &sums.all {
        Some(all) => amount(all).into_iter().collect::<Vec<_>>(),
        None => whole().filter_map(amount).collect(),
    };
    for (amounts, what) in [
        (
            of(|of| of.left_out.map(|out| out.copies)),
            "left out: copies of records that are counted",
        ),
        (
            of(|of| of.left_out.map(|out| out.nested)),
            "left out: parts of other records, whose energy includes theirs",
        ),
        (
            of(|of| of.overlaps),
            "overlap in time with another one of their host: jobs that ran at one time do, and an energy \
             that was stated twice",
        ),
    ] {
        let records = amounts.iter().map(|amount| amount.records).sum();
        let energy: f64 = amounts.iter().map(|amount| amount.energy_kwh).sum();
        if records > 0 {
            let records = counted(records, "record");
            page.line("", &format!("{records} ({}) {what}", si(energy * 1e3, "Wh")));
        }
    }
    match &sums.all {
        None => page.line(
            "",
            &format!("no sum of all: they count different things: {}", sums.counts.join(", ")),
        ),
        Some(all) => {
            let rows: u64 = sums.groups.iter().map(|(_, totals)| totals.count).sum();
            if let Some(more @ 1..) = rows.checked_sub(all.count) {
                let more = counted(more, "record");
                page.title(&format!(
                    "the rows have {more} more than all: parts of records of other rows"
                ));
            }
        }
    }
}

/// As CSV: members of figures are columns of their own; what a group does not have is empty.
///
/// # Errors
/// Those of `out`.
pub fn csv(by: &GroupBy, sums: &[(String, Totals)], out: &mut impl Write) -> anyhow::Result<()> {
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
        let key = &inert(key);
        let fields = names.iter().map(|name| row.get(*name).map_or("", String::as_str));
        writer.write_record([key.as_str()].into_iter().chain(fields))?;
    }
    writer.flush()?;
    Ok(())
}

/// Text of others that a spreadsheet would take for a formula gets an apostrophe before it.
fn inert(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
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
