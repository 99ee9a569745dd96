//! `aliasing`: what a slow scraper of an energy counter misses, next to the meter of carbon-ops on the
//! same counter.
//!
//! An example of how the meter's library is used: `meters` holds the one call that counts, and the three
//! usual ways to do it worse. Out of scope: carbon, records, and any measurement that is kept.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_meter::sensor::Backend;
use carbon_ops_units::Microjoules;
use clap::Parser;
use serde_json::{Value, json};

use crate::curve::Curve;
use crate::meters::{Observed, Times, simulate};
use crate::plot::{Frame, plot};
use crate::register::{AMD_PACKAGE, MICROJOULES_IN_32_BITS, parse_range};
use crate::text::{duration, span};
use carbon_ops_units::si;

mod curve;
mod live;
mod meters;
mod plot;
mod register;
mod scraper;
mod svg;
mod text;

/// The same counter read ten times a second and by a slow scraper: who misses what
///
/// Simulates a register that anyone can run, in virtual time, and holds carbon-ops and three usual
/// scrapers against the true energy. Without --range it shows two: that of an AMD package, and the
/// 4295 J of software that keeps microjoules in 32 bits, which start anew every 11 s at 390 W.
#[derive(Debug, Parser)]
#[command(name = "aliasing", version, max_term_width = 100)]
struct Cli {
    /// Power: W, square:HIGH:LOW:PERIOD or sine:MEAN:AMPLITUDE:PERIOD
    #[arg(long, value_name = "CURVE", default_value = "square:600:180:14s")]
    watts: Curve,

    /// Energy after which the register starts anew, such as 65.5kJ, 262kJ, 4295J, or in µJ
    #[arg(long, value_name = "ENERGY", value_parser = parse_range)]
    range: Option<Microjoules>,

    /// How often the scraper looks
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    scrape: Duration,

    /// How often carbon-ops looks
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    poll: Duration,

    /// For how long: 10m simulated, 60s live
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// Read this machine's counters in real time where they can be read
    #[arg(long, conflicts_with_all = ["watts", "range"])]
    live: bool,

    /// Powercap class directory to read instead of the host's
    #[arg(long, value_name = "DIR", requires = "live")]
    powercap_root: Option<PathBuf>,

    /// Draw the picture to this file too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What the program will show, and on what.
struct Shown {
    cases: Vec<Observed>,
    /// Why it is not this machine, where that was asked for.
    why_simulated: Option<String>,
    /// Names of the live domains.
    domains: Vec<String>,
}

fn main() -> ExitCode {
    let args = Cli::parse();
    match run(&args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "aliasing: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(args: &Cli, out: &mut impl Write) -> Result<()> {
    let shown = observe(args, out)?;
    if let (Some(path), Some(first)) = (&args.svg, shown.cases.first()) {
        let text = svg::picture(first, &title(first, &shown))?;
        std::fs::write(path, text)
            .with_context(|| format!("cannot write the picture to {}", path.display()))?;
    }
    if args.json {
        writeln!(out, "{:#}", to_json(&shown))?;
    } else {
        write!(out, "{}", to_text(&shown, args.svg.as_deref()))?;
    }
    Ok(())
}

fn observe(args: &Cli, out: &mut impl Write) -> Result<Shown> {
    let duration = args.duration.unwrap_or(if args.live { LIVE } else { SIMULATED });
    let times = Times { poll: args.poll, scrape: args.scrape, duration };
    times.check().map_err(|why| anyhow!(why))?;
    let mut why_simulated = None;
    if args.live {
        let host = args.powercap_root.iter().fold(HostRoot::real(), HostRoot::with_powercap);
        match live::counters(&host) {
            Ok(counters) => return observe_live(counters, times, args.json, out),
            Err(why) => why_simulated = Some(why),
        }
    }
    let ranges = match args.range {
        Some(range) => vec![range],
        None => vec![AMD_PACKAGE, MICROJOULES_IN_32_BITS],
    };
    let cases = ranges.into_iter().map(|range| simulate(args.watts, range, times));
    let cases = cases.collect::<Result<_, String>>().map_err(|why| anyhow!(why))?;
    Ok(Shown { cases, why_simulated, domains: Vec::new() })
}

const SIMULATED: Duration = Duration::from_secs(600);
const LIVE: Duration = Duration::from_secs(60);

fn observe_live(
    mut counters: Box<dyn Backend>,
    times: Times,
    quiet: bool,
    out: &mut impl Write,
) -> Result<Shown> {
    let domains: Vec<_> = counters.domains().iter().map(|domain| domain.name.clone()).collect();
    if !quiet {
        let time = span(times.duration);
        writeln!(out, "reading {} of this machine for {time}\n", domains.join(" + "))?;
        out.flush()?;
    }
    let start = Instant::now();
    let mut pause = std::thread::sleep;
    let observed = live::observe(&mut *counters, times, &|| start.elapsed(), &mut pause)
        .map_err(|why| anyhow!(why))?;
    Ok(Shown { cases: vec![observed], why_simulated: None, domains })
}

/// One line of the table, and one member of the JSON.
struct Row {
    name: String,
    word: &'static str,
    interval_s: f64,
    total_uj: u64,
    /// Against the truth, or live against our own meter.
    error_pct: Option<f64>,
    wraps_seen: u64,
    wraps_missed: u64,
    intervals: usize,
    intervals_wrong: usize,
    max_watts: f64,
}

fn rows(observed: &Observed) -> Vec<Row> {
    let highest = |watts: &mut dyn Iterator<Item = f64>| watts.fold(0.0, f64::max);
    let error = |total: u64, reference: f64| {
        let total = Microjoules::new(total).as_joules();
        (reference > 0.0).then(|| 100.0 * (total / reference - 1.0))
    };
    let (ours, ended) = (&observed.ours, observed.ended);
    let total = ours.total().as_microjoules();
    let seen = ours.wraps().iter().sum();
    let mut rows = vec![Row {
        name: format!("carbon-ops, every {}", span(observed.times.poll)),
        word: "carbon_ops",
        interval_s: observed.times.poll.as_secs_f64(),
        total_uj: total,
        error_pct: observed.truth.and_then(|_| error(total, observed.reference(ended.0))),
        wraps_seen: seen,
        wraps_missed: observed.wraps(ended.0).saturating_sub(seen),
        intervals: ours.polls.saturating_sub(1),
        intervals_wrong: ours.gaps,
        max_watts: highest(&mut ours.power.iter().map(|s| s.watts)),
    }];
    for scraper in &observed.scrapers {
        let total_uj = scraper.total();
        rows.push(Row {
            name: format!("  {}", scraper.rule.name()),
            word: scraper.rule.as_str(),
            interval_s: observed.times.scrape.as_secs_f64(),
            total_uj,
            error_pct: error(total_uj, observed.reference(ended.1)),
            wraps_seen: scraper.falls,
            wraps_missed: observed.wraps(ended.1).saturating_sub(scraper.falls),
            intervals: scraper.intervals.len(),
            intervals_wrong: scraper.wrong(),
            max_watts: highest(&mut scraper.power().iter().map(|s| s.watts)),
        });
    }
    rows
}

fn title(observed: &Observed, shown: &Shown) -> String {
    match &observed.truth {
        Some(truth) => format!(
            "{}; register of {} ({})",
            truth.curve,
            si(truth.register.range.as_joules(), "J"),
            truth.register.what
        ),
        None => format!("{} of this machine", shown.domains.join(" + ")),
    }
}

fn to_text(shown: &Shown, picture: Option<&Path>) -> String {
    let mut text = String::new();
    if let Some(why) = &shown.why_simulated {
        let _ = writeln!(text, "simulated, since this machine's counters cannot be read: {why}\n");
    } else if shown.domains.is_empty() {
        text += "simulated: virtual time, and a register that counts and is printed as the kernel \
                 does it\n(--live reads this machine's, as root)\n\n";
    }
    for (index, observed) in shown.cases.iter().enumerate() {
        text += &subject(observed, shown);
        text += &table(observed);
        if index == 0 {
            text += &plots(observed);
        }
        text += "\n";
        for line in lessons(observed) {
            text += &filled(&line);
        }
        text += "\n";
    }
    if let Some(path) = picture {
        let _ = writeln!(text, "picture: {}", path.display());
    }
    text.trim_end().to_owned() + "\n"
}

/// What is measured, and how often the register wraps.
fn subject(observed: &Observed, shown: &Shown) -> String {
    let Some(truth) = &observed.truth else { return title(observed, shown) + "\n\n" };
    let (register, mean) = (truth.register, truth.curve.mean());
    format!(
        "{}\nregister of {} ({}): wraps every {} at {}\n\n",
        truth.curve,
        si(register.range.as_joules(), "J"),
        register.what,
        si(register.range.as_joules() / mean, "s"),
        si(mean, "W")
    )
}

fn table(observed: &Observed) -> String {
    let scrape = span(observed.times.scrape);
    let cells = |name: &str, cells: [String; 5]| {
        let [total, error, wraps, wrong, peak] = cells;
        let line = format!("  {name:<28}{total:>9}{error:>11}{wraps:>11}{wrong:>11}{peak:>9}");
        line.trim_end().to_owned() + "\n"
    };
    let words = ["energy", "error", "wraps seen", "wrong", "peak"];
    let mut text = cells("", words.map(str::to_owned));
    if let Some(truth) = &observed.truth {
        let until = observed.ended.0;
        let energy = si(truth.curve.joules(until), "J");
        let wraps = observed.wraps(until).to_string();
        let peak = si(truth.peak, "W");
        text += &cells("true", [energy, String::new(), wraps, String::new(), peak]);
    }
    for (index, row) in rows(observed).iter().enumerate() {
        if index == 1 {
            let _ = writeln!(text, "  every {scrape}, a fall taken as");
        }
        let error = row.error_pct.map_or("-".into(), percent);
        let wraps = format!("{} of {}", row.wraps_seen, row.wraps_seen + row.wraps_missed);
        let wrong = format!("{} of {}", row.intervals_wrong, row.intervals);
        let total = si(Microjoules::new(row.total_uj).as_joules(), "J");
        text += &cells(&row.name, [total, error, wraps, wrong, si(row.max_watts, "W")]);
    }
    text
}

/// A paragraph of lines that fit the table's width.
fn filled(words: &str) -> String {
    const WIDTH: usize = 80;
    let (mut text, mut length) = (String::new(), 0);
    for word in words.split(' ') {
        let more = word.chars().count() + 1;
        if length + more > WIDTH || length == 0 {
            text += if length == 0 { " " } else { "\n " };
            length = 1;
        }
        let _ = write!(text, " {word}");
        length += more;
    }
    text + "\n"
}

/// With its sign, and never `-0`.
fn percent(value: f64) -> String {
    if value.abs() < 5e-5 {
        return "0.0000 %".into();
    }
    let digits = if value.abs() < 0.1 { 4 } else { 2 };
    format!("{value:+.digits$} %").replace('-', "−")
}

fn plots(observed: &Observed) -> String {
    let (from, to) = observed.view();
    let frame = Frame { from, to, top: observed.top() };
    let scrape = span(observed.times.scrape);
    let mut text = format!(
        "\n  power every {}\n{}",
        span(observed.times.poll),
        plot(&observed.ours.power, frame)
    );
    if let Some(scraper) = observed.scrapers.first() {
        let power = scraper.power();
        let _ = write!(
            text,
            "\n  power every {scrape}, a fall taken as {}\n{}",
            scraper.rule.name(),
            plot(&power, frame)
        );
    }
    text
}

/// What the table shows, in words, with its figures.
fn lessons(observed: &Observed) -> Vec<String> {
    let rows = rows(observed);
    let Some((ours, theirs)) = rows.split_first() else { return Vec::new() };
    let scrape = span(observed.times.scrape);
    let mut lessons = Vec::new();
    lessons.push(if theirs.iter().all(|row| row.intervals_wrong == 0) {
        "No interval held a wrap, so that every total is right.".to_owned()
    } else if theirs.iter().all(|row| row.wraps_missed == 0) {
        format!(
            "Every wrap showed as a fall, so that adding one range is right to within the kernel's \
             rounding; the two other rules lose up to {scrape} of energy at each."
        )
    } else {
        format!(
            "Wraps hid between two scrapes without a fall: readings {scrape} apart cannot tell, and \
             none of the three says so."
        )
    });
    if ours.intervals_wrong > 0 {
        lessons.push(format!(
            "carbon-ops could not prove {} intervals either, leaves their energy out and says so.",
            ours.intervals_wrong
        ));
    }
    let slow = theirs.iter().map(|row| row.max_watts).fold(0.0, f64::max);
    let fast = observed.truth.map_or(ours.max_watts, |truth| truth.peak);
    if slow < 0.99 * fast {
        lessons.push(format!(
            "Peaks: the highest power was {}; means of {scrape} show {} at most.",
            si(fast, "W"),
            si(slow, "W")
        ));
    }
    lessons
}

fn to_json(shown: &Shown) -> Value {
    let cases: Vec<Value> = shown.cases.iter().map(case_json).collect();
    json!({
        "schema_version": 1,
        "kind": "aliasing_demo",
        "simulated": shown.domains.is_empty(),
        "why_simulated": shown.why_simulated,
        "domains": shown.domains,
        "cases": cases,
    })
}

fn case_json(observed: &Observed) -> Value {
    let rows = rows(observed);
    let row = |row: &Row| {
        json!({
            "name": row.word,
            "interval_s": row.interval_s,
            "total_uj": row.total_uj,
            "error_pct": row.error_pct,
            "wraps_seen": row.wraps_seen,
            "wraps_missed": row.wraps_missed,
            "intervals": row.intervals,
            "intervals_wrong": row.intervals_wrong,
            "highest_w": row.max_watts,
        })
    };
    let truth = observed.truth.as_ref().map(|truth| {
        let joules = truth.curve.joules(observed.ended.0);
        json!({
            "curve": truth.curve.to_string(),
            "energy_uj": Microjoules::from_joules(joules).map_or(0, Microjoules::as_microjoules),
            "wraps": observed.wraps(observed.ended.0),
            "highest_w": truth.peak,
            "register": truth.register.what,
            "range_uj": truth.register.range.as_microjoules(),
        })
    });
    json!({
        "duration_s": observed.ended.0.as_secs_f64(),
        "truth": truth,
        "meters": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
