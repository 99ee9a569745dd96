//! `carbon-ops compare`: two commands, and which of them uses more energy.
//!
//! Out of scope: records, which `run` makes.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use carbon_ops::compare::{Compared, Figure, Pairs, Plan, Run, Side, Stopped, Verdict, compare};
use carbon_ops::estimate::decimal::round9;
use carbon_ops::estimate::uncertainty::LEVEL;
use carbon_ops::{EnergyLogger, Fault, HostRoot, LoggerSettings, Quality};
use serde_json::{Value, json};

use crate::args::Compare;
use crate::context::Context;
use crate::hints::comparison_code;
use crate::layout::Page;
use crate::render::{between, counted, si};

pub(crate) fn run(args: &Compare, context: &mut Context<'_>) -> Result<u8> {
    let [a, b] = two(&args.commands)?;
    let mut settings = LoggerSettings::of(&context.settings);
    if let Some(root) = &args.counters.powercap_root {
        // Whoever names other counters wants those to be read.
        settings.host = HostRoot::real().with_powercap(root);
        settings.governor = None;
    }
    let logger = EnergyLogger::new(settings);
    let plan = Plan { margin: args.margin, pairs: args.pairs, time: args.max_time };
    let begun = Instant::now();
    let measure = |side| {
        let command = if side == Side::A { a } else { b };
        measured(&logger, command, args.show_output)
    };
    let shown = io::stderr().is_terminal() && !args.output.json;
    let err = &mut *context.err;
    let tell = |pairs: &Pairs| {
        let so_far = pairs.ratio().filter(|_| shown).map(|of| of.ratio);
        let Some(ratio) = so_far else { return };
        let of = counted(pairs.count().into(), "pair");
        let _ = write!(err, "\r{of}, B uses {ratio:.4} of A  ");
    };
    let compared = compare(&plan, measure, || begun.elapsed(), tell);
    if shown {
        let _ = write!(err, "\r{:40}\r", "");
    }
    let compared = compared?;
    let text = text(&compared, args.margin);
    context.answer(&args.output, report(&compared, args.margin), text.text())?;
    Ok(comparison_code(compared.verdict))
}

/// What stands before and behind the only `---`.
fn two(commands: &[OsString]) -> Result<[&[OsString]; 2]> {
    let mut parts = commands.split(|word| word == "---");
    match (parts.next(), parts.next(), parts.next()) {
        (Some(a), Some(b), None) if !a.is_empty() && !b.is_empty() => Ok([a, b]),
        _ => bail!("two commands are compared\nhint: carbon-ops compare -- A --- B"),
    }
}

/// One run to its end; one that fails has not done the work.
fn measured(logger: &EnergyLogger, command: &[OsString], show_output: bool) -> Result<Run> {
    let Some((program, arguments)) = command.split_first() else { bail!("there is no command") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if !show_output {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let (status, measured) = logger.run(&mut command)?;
    if !status.success() {
        let program = program.to_string_lossy().into_owned();
        return Err(Fault::RunFailed { program, how: status.to_string() }.into());
    }
    Run::of(&measured)
}

fn text(of: &Compared, margin: f64) -> Page {
    let mut page = Page::default();
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    let margin = 100.0 * margin;
    page.title(&match of.verdict {
        Verdict::NotWorse => format!("NOT WORSE: B does not use {margin} % more than A"),
        Verdict::Worse => "WORSE: B uses more than A".to_owned(),
        Verdict::Unknown => format!("CANNOT TELL whether B uses {margin} % more than A"),
    });
    if let Some(ratio) = of.ratio {
        let level = 100.0 * LEVEL;
        page.item(&if ratio.high.is_finite() {
            format!(
                "B/A is {:.4}, {:+.2} %; {level:.0} % between {:+.2} % and {:+.2} %",
                ratio.ratio,
                percent(ratio.ratio),
                percent(ratio.low),
                percent(ratio.high)
            )
        } else {
            format!("B/A is {:.4}; {} tell no interval", ratio.ratio, pairs(of))
        });
        if ratio.high.is_finite() {
            let smallest = 100.0 * ratio.smallest();
            page.item(&format!("a difference of {smallest:.2} % or more would have been seen"));
        }
    }
    for (name, figure) in ["A", "B"].into_iter().zip(of.figures) {
        let Figure { joules, low, high } = figure;
        let ends = between(Some((low, high, LEVEL)), "J");
        page.line(&format!("  {name} {:<10} ", si(joules, "J")), &format!("a run, {ends}"));
    }
    page.item(&match of.stopped {
        Stopped::Known => format!("{}, and no more were needed", pairs(of)),
        Stopped::Pairs => format!("{}, which were all that were allowed (-n)", pairs(of)),
        Stopped::Time => format!("{}, for which there was time (--max-time)", pairs(of)),
    });
    if of.quality > Quality::Measured {
        page.item("no counter tells the energy of all runs: a model of CPU time stands in");
    }
    page
}

fn pairs(of: &Compared) -> String {
    format!("{} of runs", counted(of.pairs.into(), "pair"))
}

fn report(of: &Compared, margin: f64) -> Value {
    let verdict = match of.verdict {
        Verdict::NotWorse => "not_worse",
        Verdict::Worse => "worse",
        Verdict::Unknown => "unknown",
    };
    let stopped = match of.stopped {
        Stopped::Known => "known",
        Stopped::Pairs => "pairs",
        Stopped::Time => "time",
    };
    // What is not known has no number.
    let number = |x: f64| x.is_finite().then(|| round9(x));
    let ends = of.ratio.filter(|ratio| ratio.high.is_finite());
    let [a, b] = of.figures.map(|figure| {
        json!({ "joules": round9(figure.joules), "ci_lower_j": round9(figure.low),
            "ci_upper_j": round9(figure.high) })
    });
    json!({
        "verdict": verdict, "margin_pct": round9(100.0 * margin), "stopped": stopped, "pairs": of.pairs,
        "ratio": of.ratio.and_then(|ratio| number(ratio.ratio)),
        "ci_lower": ends.and_then(|ratio| number(ratio.low)),
        "ci_upper": ends.and_then(|ratio| number(ratio.high)),
        "smallest_difference_pct": ends.and_then(|ratio| number(100.0 * ratio.smallest())),
        "confidence_level_pct": round9(100.0 * LEVEL), "quality_flag": of.quality, "a": a, "b": b,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_stand_around_three_dashes() {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let given = words("sort in --- sort -n in");
        let [a, b] = two(&given).unwrap();
        assert_eq!((a, b), (&words("sort in")[..], &words("sort -n in")[..]));
        for wrong in ["a b", "a ---", "--- b", "a --- b --- c", "---"] {
            assert!(two(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
