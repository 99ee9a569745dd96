//! `carbon-ops anomaly`: records that stand out from those before them.
//!
//! Out of scope: what a value should have been.

use anyhow::Result;
use carbon_ops::estimate::anomaly::{Rule, Verdict, judge};
use carbon_ops::record::Record;
use serde_json::json;

use crate::args::{Anomaly, Of};
use crate::context::Context;
use crate::layout::Table;
use crate::render::{counted, plain};

/// Exit code 0 when nothing stands out, or there is too little to tell; 1 when something does.
pub(crate) fn run(args: &Anomaly, context: &mut Context<'_>) -> Result<u8> {
    let mut records = context.records(&args.records)?.found;
    records.sort_by(|a, b| (&a.start_ts, &a.end_ts).cmp(&(&b.start_ts, &b.end_ts)));
    let values: Vec<f64> = records.iter().map(|record| value(record, args.of)).collect();
    let rule = if args.robust { Rule::Robust } else { Rule::ZScore };
    let limit = args.z.unwrap_or_else(|| rule.usual_limit(args.window));
    let verdicts = judge(&values, rule, args.window);
    let judged = verdicts.iter().filter(|verdict| **verdict != Verdict::TooFew).count();
    let rows: Vec<_> = records
        .iter()
        .zip(&values)
        .zip(&verdicts)
        .filter(|(_, verdict)| verdict.is_beyond(limit))
        .collect();
    let unit = args.of.unit();
    let listed = rows.iter().map(|((record, value), verdict)| {
        let score = if let Verdict::Score(score) = verdict { Some(score) } else { None };
        json!({ "start_ts": record.start_ts, "end_ts": record.end_ts, "name": record.name(),
            "value": value, "score": score, "flat_window": **verdict == Verdict::Flat })
    });
    let report = json!({ "of": args.of.member(), "unit": unit, "window": args.window,
        "rule": if args.robust { "median_mad" } else { "z_score" }, "limit": limit,
        "records": records.len(), "records_needed": args.window + 1, "judged": judged,
        "anomalies": listed.collect::<Vec<_>>() });
    let mut table = Table::new(&["", "", ">", ">"]);
    for ((record, value), verdict) in &rows {
        let score = match verdict {
            Verdict::Score(score) => format!("{score:+.1}"),
            _ => "flat before".to_owned(),
        };
        let name = plain(record.name().unwrap_or(""));
        table.row([record.start_ts.clone(), name, format!("{value:.4e} {unit}"), score]);
    }
    let (count, of) = (rows.len(), counted(u64::try_from(records.len())?, "record"));
    let text = if judged == 0 {
        let (window, least) = (args.window, args.window + 1);
        format!(
            "too few records: {of}; each is judged by the {window} before it, so {least} are needed"
        )
    } else {
        format!("{count} of {judged} stand out by more than {limit} (of {of})")
    };
    context.answer(&args.output, report, &(table.fitted() + &text))?;
    Ok(u8::from(count > 0))
}

fn value(record: &Record, of: Of) -> f64 {
    match of {
        Of::Grams => record.grams,
        Of::Energy => record.energy_kwh,
        Of::Intensity => record.intensity_g_per_kwh,
    }
}

impl Of {
    fn member(self) -> &'static str {
        match self {
            Self::Grams => "grams",
            Self::Energy => "energy_kwh",
            Self::Intensity => "intensity_g_per_kwh",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Grams => "g",
            Self::Energy => "kWh",
            Self::Intensity => "g/kWh",
        }
    }
}
