//! `market`: a year of many sites against a certificate for each of its hours, through `carbon-ops aggregate`, in CPU
//! time.
//!
//! Out of scope: making the records, which is done before.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::Options;
use crate::figure::Figure;
use crate::process;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Sites, each with one record of a year.
const SITES: u32 = 1_000;
/// With `--quick`.
const SITES_QUICK: u32 = 3;

/// Hours of 2026.
const HOURS: i64 = 8_760;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

/// Most CPU time, in ms: 5 s on two cores of which one is enough.
const LIMIT_MS: f64 = 5_000.0;

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let sites = options.many(SITES, SITES_QUICK);
    let room = Room::new()?;
    let spans = room.path.join("spans.ndjson");
    std::fs::write(&spans, year_of(sites)?).context("writing the spans")?;
    let records = room.path.join("records.ndjson");
    let mut estimate = process::command(&subject.binary, &room.path);
    estimate.args(["estimate", "--records"]).stdin(Stdio::from(std::fs::File::open(&spans)?));
    process::time(estimate.stdout(Stdio::from(std::fs::File::create(&records)?)))?;
    let instruments = room.path.join("instruments.csv");
    std::fs::write(&instruments, certificates(sites)?).context("writing the certificates")?;
    let took = |market: bool| -> Result<f64> {
        let mut command = process::command(&subject.binary, &room.path);
        command.args(["aggregate", "--by", "label:site", "--csv"]).arg(&records);
        if market {
            command.arg("--market").arg(&instruments);
        }
        Ok(process::milliseconds(process::time(&mut command)?.cpu))
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds_or(3) {
        without.push(took(false)?);
        with.push(took(true)?);
    }
    let figure = |name: &str, sample, limit| Figure {
        name: name.to_owned(),
        baseline: format!("{sites} records of a year, {HOURS} certificates of an hour"),
        unit: "ms",
        summary: Summary::of(sample),
        limit,
    };
    let figures = vec![
        figure("by location alone", without, None),
        figure("by location and by the market, site by site", with, Some(LIMIT_MS)),
    ];
    Ok(("market", figures))
}

/// A year of each site in one market, each with another energy.
fn year_of(sites: u32) -> Result<String> {
    let (start, end) =
        (Timestamp::from_second(START)?, Timestamp::from_second(START + HOURS * 3600)?);
    let mut text = String::new();
    for site in 0..sites {
        let kwh = 8_760 + 10 * (site % 97);
        writeln!(
            text,
            "{{\"start\":\"{start}\",\"end\":\"{end}\",\"energy_kwh\":{kwh},\"zone\":\"DE\",\
             \"pue\":1,\"labels\":{{\"site\":\"{site}\"}}}}"
        )?;
    }
    Ok(text)
}

/// A certificate for each hour, between nothing and twice the load.
fn certificates(sites: u32) -> Result<String> {
    let mut text =
        String::from("# factor: direct\nkind,id,market,start,end,wh,share_pct,g_per_kwh\n");
    for hour in 0..HOURS {
        let at = START + hour * 3600;
        let (start, end) = (Timestamp::from_second(at)?, Timestamp::from_second(at + 3600)?);
        let wh = i64::from(sites) * (hour % 24) * 90;
        writeln!(text, "certificate,GC-{hour},DE,{start},{end},{wh},,0")?;
    }
    text.push_str("residual,,DE,,,,,720 ± 10%\n");
    Ok(text)
}
