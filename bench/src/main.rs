//! What carbon-ops itself costs: the time that it adds to a short command, the CPU time that it takes
//! next to a long one, and what its governor takes and holds and how fast it answers. Each figure
//! comes with its baseline and, where there is one, its limit.
//!
//! Out of scope: how accurate the measured energy is; and the cost of a single function, for
//! which there are profilers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::figure::Report;
use crate::machine::Machine;
use crate::subject::Subject;

mod agent;
mod daemon;
mod estimate;
mod figure;
mod governor;
mod instructions;
mod ledger;
mod machine;
mod market;
mod overhead;
mod own_cpu;
mod page;
mod process;
mod sim;
mod socket;
mod spans;
mod spin;
mod stats;
mod subject;
mod year;

const USAGE: &str = "usage: carbon-ops-bench COMMAND [OPTIONS]

  run-overhead   time and CPU time that `carbon-ops run` adds to `true`
  own-cpu        CPU time of `carbon-ops run` itself next to a busy job
  governor-cost  CPU time and memory of the governor at 10 Hz, against the cheapest correct reader
  governor-1khz  the same at 1000 Hz, and how punctual it is
  governor-attribution
                 both of the governor at 10 Hz and `carbon-ops monitor` of all processes
  agent-cost     CPU time, memory and answers of `carbon-ops agent` beside up to 5,000 processes
  socket-latency round trip of a snapshot over the socket, against an echo of as many bytes
  snapshot-read  reading a snapshot from the mapped page
  ledger-append  durable signed appends by many, against signing alone
  ledger-sync-append
                 one append after the other, against writing and syncing as many bytes
  ledger-recovery
                 opening a million-record ledger after a crash, and memory while it is written
  monte-carlo    200,000 trials over six inputs, in this process
  closed-form    intervals without sampling, in this process
  ledger-verify  verifying a ledger, against its signatures alone and against carbon-ops 0.1.1
  ledger-prove   building the proof of one record of a million
  price-year     a year in quarter-hour slots from the disk cache, priced with its interval
  stream-estimates
                 spans through `carbon-ops estimate`
  market         a year of 1,000 sites against 8,760 certificates
  instructions   of the commands of a user, by valgrind, against another build
  all            all of them

  --binary PATH  the carbon-ops to measure; without it, a release build of this checkout
  --governor PATH
                 the carbon-governor to measure; likewise
  --against PATH another carbon-ops, for instructions
  --counts FILE  the counts that instructions may not exceed by 2 %, by kind of machine
  --keep         write them there instead
  --pairs N      pairs of runs in run-overhead, after 5 for warm-up (50)
  --seconds S    length of the job in own-cpu (10), of each watch over a governor (120)
  --rounds N     jobs per variant in own-cpu (3), watches over a governor (2), rounds of the ledger's
  --quick        runs everything once on tiny inputs, to see that it runs: no figure, no limit
  --json         the figures as JSON

Exit code: 0 within the limits, 1 a limit is exceeded, 2 could not measure.";

/// The watch over a governor, and the job, with `--quick`.
const QUICK: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    carbon_ops: Option<PathBuf>,
    governor: Option<PathBuf>,
    against: Option<PathBuf>,
    /// Counts of instructions to keep to.
    counts: Option<PathBuf>,
    /// Write them instead.
    keep: bool,
    pairs: usize,
    length: Option<Duration>,
    rounds: Option<usize>,
    /// Only to see that it runs.
    quick: bool,
    json: bool,
}

impl Options {
    fn rounds_or(&self, default: usize) -> usize {
        self.rounds.unwrap_or(self.many(default, 1))
    }

    /// How many, as a rule and with `--quick`.
    fn many<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// Which program a benchmark measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measures {
    CarbonOps,
    Governor,
    /// The library of ledgers, which this program is built with.
    Ledger,
    /// The library of estimates, likewise.
    Estimate,
}

type Measure = fn(&Options, &Subject) -> Result<(&'static str, Vec<figure::Figure>)>;

/// All benchmarks, by the words that ask for them.
const BENCHMARKS: &[(&str, Measures, Measure)] = &[
    ("run-overhead", Measures::CarbonOps, overhead::measure),
    ("own-cpu", Measures::CarbonOps, own_cpu::measure),
    ("governor-cost", Measures::Governor, governor::cost),
    ("governor-1khz", Measures::Governor, governor::fast),
    ("governor-attribution", Measures::Governor, governor::attribution),
    ("agent-cost", Measures::CarbonOps, agent::measure),
    ("socket-latency", Measures::Governor, socket::measure),
    ("snapshot-read", Measures::Governor, page::measure),
    ("ledger-append", Measures::CarbonOps, ledger::append::measure),
    ("ledger-sync-append", Measures::Ledger, ledger::single::measure),
    ("ledger-recovery", Measures::Ledger, ledger::recovery::measure),
    ("monte-carlo", Measures::Estimate, estimate::monte_carlo),
    ("closed-form", Measures::Estimate, estimate::closed_form),
    ("ledger-verify", Measures::CarbonOps, ledger::verify::measure),
    ("ledger-prove", Measures::CarbonOps, ledger::prove::measure),
    ("price-year", Measures::Estimate, year::measure),
    ("stream-estimates", Measures::CarbonOps, spans::stream),
    ("market", Measures::CarbonOps, market::measure),
    ("instructions", Measures::CarbonOps, instructions::measure),
];

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
    match command {
        "--help" | "-h" | "help" => {
            println!("{USAGE}");
            return Ok(true);
        }
        // The job of `own-cpu`, which carbon-ops starts.
        spin::COMMAND => return spin::run(rest).map(|()| true),
        // One of the many processes of `agent-cost`.
        agent::COMMAND => agent::wake(),
        // The other server of `socket-latency`.
        socket::COMMAND => return socket::echo(rest).map(|()| true),
        // The writer of `ledger-recovery`, which is killed.
        ledger::recovery::COMMAND => return ledger::recovery::write(rest).map(|()| true),
        // What `ledger-verify` weighs a command with.
        ledger::verify::COMMAND => return ledger::verify::print_peak(rest).map(|()| true),
        // A year in a process of its own, of `price-year`.
        year::COMMAND => return year::once(rest).map(|()| true),
        _ => {}
    }
    let wanted = |name: &str| command == "all" || command == name;
    if !BENCHMARKS.iter().any(|(name, _, _)| wanted(name)) {
        bail!("no command {command:?}\n{USAGE}");
    }
    let options = parse(rest)?;
    let mut reports = Vec::new();
    for (name, measures, measure) in BENCHMARKS.iter().filter(|(name, _, _)| wanted(name)) {
        let subject = match measures {
            Measures::CarbonOps => Subject::find("carbon-ops", options.carbon_ops.as_deref())?,
            Measures::Estimate => Subject::library("carbon-ops-estimate"),
            Measures::Governor => Subject::find("carbon-governor", options.governor.as_deref())?,
            Measures::Ledger => Subject::library("carbon-ops-ledger"),
        };
        if options.quick
            && *measures == Measures::Governor
            && let Some(why) = sim::obstacle()
        {
            println!("quick: left out: governor: {why}");
            continue;
        }
        let before = Machine::look()?;
        let (_, figures) = measure(&options, &subject)?;
        if options.quick {
            println!("{name}: quick: no figure ({} quantities)", figures.len());
            continue;
        }
        let after = Machine::look()?;
        let report = Report { name, subject: subject.version, before, after, figures };
        if !options.json {
            print!("{}", report.text());
        }
        reports.push(report);
    }
    if options.json && !options.quick {
        println!("{:#}", figure::json(&reports));
    }
    Ok(reports.iter().all(Report::passed))
}

fn parse(words: &[String]) -> Result<Options> {
    let mut options = Options {
        carbon_ops: None,
        governor: None,
        against: None,
        counts: None,
        keep: false,
        pairs: 50,
        length: None,
        rounds: None,
        quick: false,
        json: false,
    };
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let mut value = || words.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--binary" => options.carbon_ops = Some(PathBuf::from(value()?)),
            "--governor" => options.governor = Some(PathBuf::from(value()?)),
            "--against" => options.against = Some(PathBuf::from(value()?)),
            "--counts" => options.counts = Some(PathBuf::from(value()?)),
            "--keep" => options.keep = true,
            "--pairs" => options.pairs = at_least_one(flag, value()?)?,
            "--rounds" => options.rounds = Some(at_least_one(flag, value()?)?),
            "--seconds" => options.length = Some(spin::seconds(value()?)?),
            "--quick" => {
                options.quick = true;
                options.length.get_or_insert(QUICK);
                options.pairs = 1;
            }
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
        assert_eq!((options.pairs, options.rounds_or(3), options.json), (7, 2, true));
        assert_eq!(options.length, Some(Duration::from_millis(500)));
        let options = parse(&words("--quick")).unwrap();
        assert_eq!((options.length, options.rounds_or(3)), (Some(QUICK), 1));
        for wrong in ["--pairs 0", "--pairs", "--rounds x", "--seconds -1", "--fast"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
