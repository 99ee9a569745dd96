//! `price-year`: a year in quarter-hour slots, priced. `stream-estimates`: spans through `carbon-ops
//! estimate`, as compact rows and as full records. Both in CPU time, of one thread.
//!
//! Deliberately absent: fetching slots, and signing records.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use carbon_ops_estimate::intensity::{Interval, InventoryIntensity, Meta, Signal, Slot};
use carbon_ops_estimate::span::{Load, Missing, Tariff};
use carbon_ops_units::GramsCo2ePerKilowattHour;
use jiff::Timestamp;
use nix::sys::resource::UsageWho;

use crate::Options;
use crate::figure::Figure;
use crate::process::{self, cpu_time, milliseconds};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Quarter hours of a year.
const SLOTS: i64 = 35_040;

/// Most that a year may take, in ms.
const YEAR_LIMIT_MS: f64 = 5.0;

/// Spans of a stream.
const SPANS: u32 = 500_000;
/// With `--quick`.
const SPANS_QUICK: u32 = 1_000;

/// Most that a compact row and a full record may take, in µs: 500,000 and 50,000 a second.
const ROW_LIMIT_US: f64 = 2.0;
const RECORD_LIMIT_US: f64 = 20.0;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

pub(crate) fn price_year(options: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let slots = (0..SLOTS).map(slot).collect::<Result<Vec<_>>>()?;
    let year = interval(START, START + SLOTS * 900)?;
    let load = Load::Even(8760.0);
    let rounds = 20 * options.rounds_or(3);
    let (mut whole, mut again) = (Vec::new(), Vec::new());
    let known = Tariff::of(&slots)?;
    for _ in 0..rounds {
        whole.push(timed(|| Ok(Tariff::of(&slots)?.price(year, &load, Missing::Step)?.grams()))?);
        again.push(timed(|| Ok(known.price(year, &load, Missing::Step)?.grams()))?);
    }
    let figure = |name: &str, sample: Vec<f64>| Figure {
        name: name.to_owned(),
        baseline: format!("{SLOTS} slots with provenance in memory, CPU time"),
        unit: "ms",
        summary: Summary::of(sample),
        limit: Some(YEAR_LIMIT_MS),
    };
    let figures = vec![figure("from slots to grams", whole), figure("the same slots again", again)];
    Ok(("price-year", figures))
}

/// CPU time in ms.
fn timed(work: impl Fn() -> Result<f64>) -> Result<f64> {
    let before = cpu_time(UsageWho::RUSAGE_SELF)?;
    black_box(work()?);
    Ok(milliseconds(cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(before)))
}

fn interval(start: i64, end: i64) -> Result<Interval> {
    Ok(Interval::new(Timestamp::from_second(start)?, Timestamp::from_second(end)?)?)
}

/// A quarter hour of a grid that swings with the day.
#[expect(clippy::cast_precision_loss, reason = "an index of a year")]
fn slot(index: i64) -> Result<Slot<InventoryIntensity>> {
    thread_local! {
        static META: Arc<Meta> =
            Arc::new(Meta::new("bench", "DE", Signal::AVERAGE_LIFECYCLE_PRODUCTION));
    }
    let hour = (index % 96) as f64 / 4.0;
    let value = 350.0 + 150.0 * (std::f64::consts::TAU * hour / 24.0).sin();
    let value = InventoryIntensity::new(GramsCo2ePerKilowattHour::new(value)?);
    let at = START + index * 900;
    Ok(Slot::new(interval(at, at + 900)?, value, META.with(Arc::clone)))
}

pub(crate) fn stream(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let many = options.many(SPANS, SPANS_QUICK);
    let room = Room::new()?;
    let file = room.path.join("spans.ndjson");
    std::fs::write(&file, spans(many)?).context("writing the spans")?;
    let empty = room.path.join("nothing");
    std::fs::write(&empty, "")?;
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
            let start = took(&empty)?;
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
fn spans(many: u32) -> Result<String> {
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
