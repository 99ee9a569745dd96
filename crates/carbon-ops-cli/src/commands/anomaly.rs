//! `carbon-ops anomaly`: records that stand out from those before them.
//!
//! Out of scope: what a value should have been.

use std::collections::VecDeque;

use anyhow::Result;
use carbon_ops::estimate::anomaly::{Rule, Verdict, judge};
use carbon_ops::record::Record;
use carbon_ops::record::totals::Place;
use carbon_ops::records;
use carbon_ops::series::{Point, Series};
use serde_json::json;

use crate::args::{Anomaly, Of};
use crate::context::Context;
use crate::layout::Table;
use crate::render::{counted, plain};

/// Exit code 0 when nothing stands out, or there is too little to tell; 1 when something does.
pub(crate) fn run(args: &Anomaly, context: &mut Context<'_>) -> Result<u8> {
    let point =
        |record: Record, _: &[u8], _: Place| Ok(Point::of(&record, value(&record, args.of))?);
    let mut series = Series::new(&records::scratch);
    let records = context
        .records(&args.records, false, false, &point, &mut |point| Ok(series.add(&point)?))?;
    let rule = if args.robust { Rule::Robust } else { Rule::ZScore };
    let limit = args.z.unwrap_or_else(|| rule.usual_limit(args.window));
    let (unit, mut judged, mut listed) = (args.of.unit(), 0, Vec::new());
    let mut table = Table::new(&["", "", ">", ">"]);
    // A value, and those that it is judged by.
    let mut values = VecDeque::with_capacity(args.window + 1);
    series.in_order(&mut |point, name| {
        if values.len() > args.window {
            values.pop_front();
        }
        values.push_back(point.value);
        let verdict = judge(values.make_contiguous(), rule, args.window).pop();
        let Some(verdict) = verdict.filter(|verdict| *verdict != Verdict::TooFew) else {
            return Ok(());
        };
        judged += 1;
        if !verdict.is_beyond(limit) {
            return Ok(());
        }
        let ([start, end], name) = (point.span(), name()?);
        let score = if let Verdict::Score(score) = verdict { Some(score) } else { None };
        listed.push(json!({ "start_ts": start, "end_ts": end, "name": name,
            "value": point.value, "score": score, "flat_window": verdict == Verdict::Flat }));
        let score = score.map_or("flat before".to_owned(), |score| format!("{score:+.1}"));
        let name = plain(name.as_deref().unwrap_or(""));
        table.row([start, name, format!("{:.4e} {unit}", point.value), score]);
        Ok(())
    })?;
    let (count, of) = (listed.len(), counted(records.entries.records, "record"));
    let report = json!({ "of": args.of.member(), "unit": unit, "window": args.window,
        "rule": if args.robust { "median_mad" } else { "z_score" }, "limit": limit,
        "records": records.entries.records, "records_needed": args.window + 1, "judged": judged,
        "anomalies": listed });
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
