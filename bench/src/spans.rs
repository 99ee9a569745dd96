//! `stream-estimates`: spans through `carbon-ops estimate`, as compact rows and as full records, in CPU time.
//!
//! Out of scope: fetching slots, and signing records.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::Options;
use crate::figure::Figure;
use crate::process;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Spans of a stream.
const SPANS: u32 = 500_000;
/// With `--quick`.
const SPANS_QUICK: u32 = 1_000;

/// Most that a compact row and a full record may take, in µs: 500,000 and 50,000 a second.
const ROW_LIMIT_US: f64 = 2.0;
const RECORD_LIMIT_US: f64 = 20.0;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

pub(crate) fn stream(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let many = options.many(SPANS, SPANS_QUICK);
    let room = Room::new()?;
    let file = room.path.join("spans.ndjson");
    std::fs::write(&file, spans(many)?).context("writing the spans")?;
    let one = room.path.join("one.ndjson");
    std::fs::write(&one, spans(1)?)?;
    let mut figures = Vec::new();
    for (name, arguments, limit) in [
        ("compact row", &["estimate"][..], ROW_LIMIT_US),
        ("full record", &["estimate", "--records"], RECORD_LIMIT_US),
    ] {
        let took = |input: &std::path::Path| -> Result<f64> {
            let mut command = process::command(&subject.binary, &room.path);
            command.args(arguments).stdin(Stdio::from(std::fs::File::open(input)?));
            Ok(process::time(&mut command)?.cpu.as_secs_f64())
        };
        let mut sample = Vec::new();
        for _ in 0..options.rounds_or(3) {
            let start = took(&one)?;
            sample.push((took(&file)? - start) * 1e6 / f64::from(many));
        }
        figures.push(Figure {
            name: format!("CPU time per {name}"),
            baseline: format!("{many} spans of 4 zones as NDJSON, static data, start left out"),
            unit: "us",
            summary: Summary::of(sample),
            limit: Some(limit),
        });
    }
    Ok(("stream-estimates", figures))
}

/// Consecutive quarter hours in four zones, each with another energy.
pub(crate) fn spans(many: u32) -> Result<String> {
    let mut text = String::new();
    for index in 0..many {
        let zone = ["DE", "FR", "PL", "eu-west-1"].get(index as usize % 4).unwrap_or(&"DE");
        let at = START + i64::from(index) * 900;
        let (start, end) = (Timestamp::from_second(at)?, Timestamp::from_second(at + 900)?);
        let kwh = f64::from(index % 977) * 0.001_37 + 0.01;
        writeln!(
            text,
            "{{\"id\":\"job-{index}\",\"start\":\"{start}\",\"end\":\"{end}\",\"energy_kwh\":{kwh},\
             \"zone\":\"{zone}\"}}"
        )?;
    }
    Ok(text)
}
