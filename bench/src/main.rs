//! What carbon-ops itself costs: the time that it adds to a short command, and the CPU time that it
//! takes next to a long one. Each figure comes with its baseline and, where there is one, its limit.
//!
//! Deliberately absent: how accurate the measured energy is; and the cost of a single function, for
//! which there are profilers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::figure::Report;
use crate::machine::Machine;
use crate::subject::Subject;

mod figure;
mod machine;
mod overhead;
mod own_cpu;
mod process;
mod sim;
mod spin;
mod stats;
mod subject;

const USAGE: &str = "usage: carbon-ops-bench COMMAND [OPTIONS]

  run-overhead   time and CPU time that `carbon-ops run` adds to `true`
  own-cpu        CPU time of `carbon-ops run` itself next to a busy job
  all            both

  --binary PATH  the carbon-ops to measure; without it, a release build of this checkout
  --pairs N      pairs of runs in run-overhead, after 5 for warm-up (50)
  --seconds S    length of the job in own-cpu (10)
  --rounds N     jobs per variant in own-cpu (3)
  --json         the figures as JSON

Exit code: 0 within the limits, 1 a limit is exceeded, 2 could not measure.";

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    binary: Option<PathBuf>,
    pairs: usize,
    job: Duration,
    rounds: usize,
    json: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True when every limit was kept.
fn run(words: &[String]) -> Result<bool> {
    let (command, rest) = match words {
        [] => bail!("no command\n{USAGE}"),
        [command, rest @ ..] => (command.as_str(), rest),
    };
    let (overhead, own_cpu) = match command {
        "run-overhead" => (true, false),
        "own-cpu" => (false, true),
        "all" => (true, true),
        "--help" | "-h" | "help" => {
            println!("{USAGE}");
            return Ok(true);
        }
        // The job of `own-cpu`, which carbon-ops starts.
        spin::COMMAND => return spin::run(rest).map(|()| true),
        other => bail!("no command {other:?}\n{USAGE}"),
    };
    let options = parse(rest)?;
    let subject = Subject::find(options.binary.as_deref())?;
    let mut reports = Vec::new();
    for (wanted, measure) in [(overhead, overhead::measure as Measure), (own_cpu, own_cpu::measure)]
    {
        if wanted {
            let before = Machine::look()?;
            let (name, figures) = measure(&options, &subject)?;
            let report = Report { name, before, after: Machine::look()?, figures };
            if !options.json {
                print!("{}", report.text(&subject));
            }
            reports.push(report);
        }
    }
    if options.json {
        println!("{:#}", figure::json(&reports, &subject));
    }
    Ok(reports.iter().all(Report::passed))
}

type Measure = fn(&Options, &Subject) -> Result<(&'static str, Vec<figure::Figure>)>;

fn parse(words: &[String]) -> Result<Options> {
    let mut options =
        Options { binary: None, pairs: 50, job: Duration::from_secs(10), rounds: 3, json: false };
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let mut value = || words.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--pairs" => options.pairs = at_least_one(flag, value()?)?,
            "--rounds" => options.rounds = at_least_one(flag, value()?)?,
            "--seconds" => options.job = spin::seconds(value()?)?,
            "--json" => options.json = true,
            other => bail!("no option {other:?}\n{USAGE}"),
        }
    }
    Ok(options)
}

fn at_least_one(flag: &str, text: &str) -> Result<usize> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.with_context(|| format!("{flag} {text:?} is not a number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_read_and_mistakes_are_refused() {
        let options = parse(&words("--pairs 7 --seconds 0.5 --rounds 2 --json")).unwrap();
        assert_eq!((options.pairs, options.rounds, options.json), (7, 2, true));
        assert_eq!(options.job, Duration::from_millis(500));
        for wrong in ["--pairs 0", "--pairs", "--rounds x", "--seconds -1", "--fast"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
