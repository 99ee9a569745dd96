//! `price-year`: a year in quarter-hour slots from the disk cache to grams with an interval, in CPU time of one
//! thread.
//!
//! The cache is made by the product's own code: its provider asks an API in memory, which answers as the
//! real one does, and its cache keeps what came. What is measured begins with a cache that is opened anew
//! and ends with the interval; whoever asks the API then has failed.
//!
//! Out of scope: asking over a network, and what a record says of its slots (their digest).

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_estimate::span::{Load, Missing, Part, Tariff};
use carbon_ops_estimate::uncertainty::Distribution;
use carbon_ops_grid::cache::{Cached, Limits, Mode, Store, TTL};
use carbon_ops_grid::electricity_maps::ElectricityMaps;
use carbon_ops_grid::fetch::{
    Clock, Fetcher, NoResponse, Randomness, Request, Response, Transport,
};
use carbon_ops_grid::{Interval, Provider as _, Secret, Want};
use carbon_ops_record::{Input, Method, Relative, energy_inputs, grid_inputs};
use jiff::Timestamp;
use serde_json::json;

use crate::Options;
use crate::figure::Figure;
use crate::page::cpu_ns;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// The word by which this program prices a year as the first thing that it does.
pub(crate) const COMMAND: &str = "price-year-once";

/// Quarter hours of a year.
const SLOTS: i64 = 35_040;
const QUARTER: i64 = 900;

/// Most that a year may take, in ms.
const LIMIT_MS: f64 = 5.0;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

const ZONE: &str = "DE";

/// Rounds that are not counted.
const WARM_UP: usize = 5;

pub(crate) fn measure(options: &Options, _: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let folder = room.path.join("intensity");
    cached(&folder, Box::new(Api))?.slots(ZONE, year()?, &Want::AVERAGE)?;
    let load = load()?;
    let rounds = 10 * options.rounds_or(3);
    let (mut running, mut new) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let taken = price(&folder, &load)?;
        if round >= WARM_UP {
            running.push(taken);
            new.push(in_new_process(&folder)?);
        }
    }
    let figure = |name: &str, sample, limit| Figure {
        name: name.to_owned(),
        baseline: format!("{SLOTS} slots in files, as many parts of energy, CPU time"),
        unit: "ms",
        summary: Summary::of(sample),
        limit,
    };
    let figures = vec![
        figure("from the disk cache to an interval", running, Some(LIMIT_MS)),
        figure("the same, as the first thing that a process does", new, None),
    ];
    Ok(("price-year", figures))
}

/// What [`measure`] starts: prints the CPU time in ms.
pub(crate) fn once(words: &[String]) -> Result<()> {
    let [folder] = words else { anyhow::bail!("{COMMAND} FOLDER") };
    println!("{}", price(Path::new(folder), &load()?)?);
    Ok(())
}

fn in_new_process(folder: &Path) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe().context("this program's file")?);
    let output = command.arg(COMMAND).arg(folder).output().context("starting this program")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("a time in ms")
}

/// CPU time in ms, until all that it took is given back.
fn price(folder: &Path, load: &Load) -> Result<f64> {
    let start = cpu_ns()?;
    let grams = grams(folder, load)?;
    let taken = (cpu_ns()? - start) / 1e6;
    let [low, mean, high] = grams;
    ensure!(0.0 < low && low < mean && mean < high, "{grams:?} is no interval");
    Ok(taken)
}

/// Lower end, mean and upper end.
fn grams(folder: &Path, load: &Load) -> Result<[f64; 3]> {
    let series = cached(folder, Box::new(Nobody))?.slots(ZONE, year()?, &Want::AVERAGE)?;
    let series = series.inventory()?;
    let tariff = Tariff::of(series.slots())?;
    let priced = tariff.price(year()?, load, Missing::Step)?;
    ensure!(
        series.gaps().is_empty() && priced.slots == usize::try_from(SLOTS)?,
        "not all is there"
    );
    let energy = Distribution::Normal { mean: priced.kwh, sd: 0.02 * priced.kwh };
    let pue = Distribution::TruncatedNormal { mu: 1.2, sigma: 0.05, min: 1.0, max: None };
    let mut inputs = energy_inputs(energy, "measured")?;
    inputs.push(Input::new("pue", pue, "flag"));
    inputs.extend(grid_inputs(&priced, &tariff, None, "bench"));
    let relative = Relative::of(&inputs, Method::Analytical)?;
    ensure!(relative.sampling.is_none(), "was sampled");
    let mean = priced.grams() * pue.mean();
    Ok([mean * relative.low, mean, mean * relative.high])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

fn year() -> Result<Interval> {
    Ok(Interval::new(at(START), at(START + SLOTS * QUARTER))?)
}

/// Energy as it was measured, quarter hour by quarter hour, with the days of the week.
#[expect(clippy::cast_precision_loss, reason = "an index of a week")]
fn load() -> Result<Load> {
    let part = |index: i64| -> Result<Part> {
        let start = START + index * QUARTER;
        let interval = Interval::new(at(start), at(start + QUARTER))?;
        Ok(Part { interval, kwh: 0.2 + 0.000_1 * (index % 672) as f64 })
    };
    Ok(Load::Series((0..SLOTS).map(part).collect::<Result<_>>()?))
}

fn cached(folder: &Path, transport: Box<dyn Transport>) -> Result<Cached> {
    let clock: Arc<dyn Clock> = Arc::new(YearsLater);
    let store = Arc::new(Store::new(folder, Limits::default(), TTL, Mode::Online));
    let fetcher = Fetcher::new(transport, Arc::clone(&clock), Box::new(Half));
    let fetcher = Arc::new(fetcher.keeping(Arc::new(store.answers())));
    let token = Secret::new("token")?;
    let provider = ElectricityMaps::new(fetcher, "http://localhost/v4", token);
    Ok(Cached::new(Box::new(provider), store, clock))
}

/// When all has settled.
struct YearsLater;

impl Clock for YearsLater {
    fn now(&self) -> Timestamp {
        at(START + 2 * SLOTS * QUARTER)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

struct Half;

impl Randomness for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

/// An API that is never asked.
struct Nobody;

impl Transport for Nobody {
    fn get(&self, request: &Request) -> Result<Response, NoResponse> {
        Err(NoResponse::WillNotPass(format!("{} was asked", request.name())))
    }
}

/// Quarter hours of a grid that swings with the day; of each fifth day they are estimated.
struct Api;

impl Transport for Api {
    #[expect(clippy::cast_precision_loss, reason = "a second of a day")]
    fn get(&self, request: &Request) -> Result<Response, NoResponse> {
        let url = request.url();
        let time = |name: &str| {
            let after = url.split_once(&format!("&{name}="))?.1;
            let text = after.split('&').next()?.replace("%3A", ":");
            Some(text.parse::<Timestamp>().ok()?.as_second())
        };
        let wrong = || NoResponse::WillNotPass(format!("{url} names no time"));
        let (start, end) = time("start").zip(time("end")).ok_or_else(wrong)?;
        let mut rows = Vec::new();
        for quarter in start / QUARTER..end / QUARTER {
            let (second, estimated) = (quarter * QUARTER, quarter / 96 % 5 == 0);
            let of_day = (second % 86_400) as f64 / 86_400.0;
            let value = 350.0 + 150.0 * (std::f64::consts::TAU * of_day).sin();
            rows.push(json!({
                "zone": ZONE, "carbonIntensity": (value * 10.0).round() / 10.0,
                "datetime": at(second), "updatedAt": at(second), "createdAt": at(second),
                "emissionFactorType": "lifecycle", "isEstimated": estimated,
                "estimationMethod": estimated.then_some("TIME_SLICER_AVERAGE"),
            }));
        }
        let body = json!({ "data": rows, "temporalGranularity": "15_minutes" }).to_string();
        Ok(Response { status: 200, retry_after: None, location: None, body: body.into_bytes() })
    }
}
