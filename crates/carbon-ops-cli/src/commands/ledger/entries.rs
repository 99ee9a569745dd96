//! Entries as a table.
//!
//! Out of scope: which are shown.

use carbon_ops::proof::canonical::{Object, Value};
use carbon_ops::record::{Part, Record};
use carbon_ops::verify::unsigned;

use super::records;
use crate::layout::Table;
use crate::render::{plain, si};

/// A table of entries.
pub(super) fn entries() -> Table {
    let headings =
        ["#", "begun (UTC)", "program", ">energy", ">CO2e", "95 % between", "quality", "zone"];
    Table::new(&headings)
}

/// What a record without a name is about.
fn unnamed(record: &Record) -> &'static str {
    match record.measurement.as_ref().map(|measured| measured.part) {
        Some(Part::Idle) => "(idle)",
        Some(Part::Others) => "(others)",
        Some(Part::Workload) | None => "(stated)",
    }
}

/// One entry in that table, and what supersedes it.
pub(super) fn cells(object: &Object, mark: Option<String>) -> Vec<String> {
    let minute = |time: &str| time.get(..16).unwrap_or_default().replace('T', " ");
    let mark = mark.map_or(String::new(), |mark| format!("  [{mark}]"));
    let seq = object.get("seq").and_then(Value::as_u64);
    let seq = seq.map_or("#?".to_owned(), |seq| format!("#{seq}"));
    let Ok(record) = Record::from_json(unsigned(object.clone())) else {
        let made = object.get("created_ts").and_then(Value::as_str);
        return vec![seq, minute(made.unwrap_or_default()), records::summary(object) + &mark];
    };
    let meta = &record.meta;
    vec![
        seq,
        minute(&record.start_ts),
        plain(record.name().unwrap_or(unnamed(&record))) + &mark,
        si(record.energy_kwh * 3.6e6, "J"),
        si(record.grams, "g"),
        format!("{} and {}", si(meta.ci_lower_g, "g"), si(meta.ci_upper_g, "g")),
        record.quality_flag.as_str().to_owned(),
        plain(&record.region),
    ]
}
