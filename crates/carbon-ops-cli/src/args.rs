//! What the user typed: types only, no decisions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use carbon_ops::settings::Overrides;
use carbon_ops_words::said::Form;

mod agent;
mod compare;
mod estimate;
mod grid;
mod help;
mod keys;
mod ledger;
mod monitor;
mod records;
mod report;
mod run;
mod shared;
mod sums;
mod top;
mod witness;

pub(crate) use agent::{Agent, Listen};
pub(crate) use compare::Compare;
pub(crate) use estimate::{Estimate, EstimateMethod, InputFormat, OnError};
pub(crate) use grid::{Intensity, Zones};
pub(crate) use help::{fitted, usage};
pub(crate) use keys::{AtKey, Keys, KeysGenerate, KeysProve, KeysRotate, KeysTrust};
pub(crate) use ledger::{
    Ledger, LedgerAppend, LedgerAuditPack, LedgerCheckProof, LedgerCheckpoint, LedgerConsistency,
    LedgerImport, LedgerInit, LedgerProve, LedgerSample, LedgerShow, LedgerVerify,
    LedgerVerifyPack, Profile,
};
pub(crate) use monitor::{By, Monitor, Sort};
pub(crate) use records::{LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};
pub(crate) use report::Report;
pub(crate) use run::Run;
pub(crate) use shared::{
    AtLedger, Counters, LogFormat, Output, Records, Sampling, Sources, Times, Trusted,
};
pub(crate) use sums::{Aggregate, AggregateMethod, Anomaly, Label, Of, PowerAnalysis};
pub(crate) use top::Top;
pub(crate) use witness::{Witness, WitnessHome, WitnessInit, WitnessServe};

/// What `build.rs` says of this program.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILT_FROM_COMMIT"),
    "\nbuild: ",
    env!("BUILT_AS")
);

/// Measure the energy of commands, estimate the carbon it caused, and keep signed records of both
#[derive(Debug, Parser)]
#[command(name = "carbon-ops", version, long_version = LONG_VERSION)]
#[command(after_help = "\
Start here:
  carbon-ops run -- gzip -k big.tar     # the energy and carbon of one job
  carbon-ops run --region DE -- make    # the same, with the German grid
  carbon-ops monitor --all              # what every process uses, live
  carbon-ops ledger verify              # check every record written so far

Settings come from options, then the environment, then a file, then defaults;
`carbon-ops config show` prints each with its origin.

Exit codes: 0 yes, 1 no, 2 failed, 3 cut off or rewritten, 4 valid up to a torn
last line; `run` exits as its command does, or with 125, 126, 127 as env(1).")]
pub(crate) struct Cli {
    /// Configuration file (TOML, YAML or JSON) [default: the first one found]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The log of the agent.
pub(crate) const AGENT: Form = Form::Json("carbon_ops.agent");

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command, and report the energy it used and the carbon that caused
    ///
    /// The command runs unchanged: it keeps its input, output and terminal, gets the signals sent to
    /// carbon-ops, and its exit code is passed on. Afterwards a summary goes to standard error, so that
    /// pipes stay clean. Energy comes from the machine's counters where they can be read, else from a
    /// model of its processor; the summary says which, and why.
    Run(Run),
    /// Compare the energy of two commands, run in turn, until it is known whether the second is worse
    ///
    /// What the meter or the model is off by, it is off by for both, so that their ratio is known far better than
    /// either energy. Nothing is recorded.
    Compare(Compare),
    /// Watch what processes use, sample by sample
    ///
    /// Prints one sample per interval: the host's energy, and the share of each process, or of one
    /// process tree, cgroup or systemd unit. Needs no privilege; where no counter can be read, the
    /// energy comes from a model and is labelled so.
    Monitor(Monitor),
    /// Look at what the machine uses and emits, and whose it is, on a screen that stays up to date
    ///
    /// Power of each domain and GPU, carbon with its interval, the grid now and in the hours to come, and
    /// a row for each process, by units of work with `t`. The same figures as of `monitor`. Press ? for
    /// the keys. Colours and letters are those that the terminal says it has.
    Top(Top),
    /// Account for every unit of work of this machine, around the clock
    ///
    /// Looks every few seconds whose the energy is, and writes signed records at each quarter of an hour:
    /// one per job, pod, container or service, and of idle and the rest, which sum to the machine's
    /// energy. Serves metrics for Prometheus. Needs no privilege beside a governor or readable counters.
    Agent(Agent),
    /// Estimate the emissions of energy used elsewhere, with their interval
    ///
    /// Prices one span given by options, or a stream of spans from standard input (JSON objects or lines
    /// of CSV), by the grid intensity of its own time and place.
    Estimate(Box<Estimate>),
    /// Add up records of ledgers and files, with an interval for each sum
    ///
    /// Ledgers are verified first. Errors that records share (a grid's factors, a meter, a PUE) stay
    /// shared: they do not average out.
    Aggregate(Aggregate),
    /// Report a period: sums with intervals, what stands behind them, and a page that proves itself
    ///
    /// Ledgers are verified first; the report says under which key and checkpoint. With --html, one file
    /// for whoever pays, audits or decides: charts, records, the signed lines and a judge that checks them in
    /// the reader's browser.
    Report(Report),
    /// Find records that stand out from those before them
    Anomaly(Anomaly),
    /// Rate a carbon figure, and compare it with everyday things
    Label(Label),
    /// Say how many runs show a difference, or tell a mean so well
    PowerAnalysis(PowerAnalysis),
    /// Make, verify and show ledgers of signed records
    #[command(subcommand)]
    Ledger(Ledger),
    /// Cosign the checkpoints of ledgers and other logs, and refuse a second history
    #[command(subcommand)]
    Witness(Witness),
    /// Make and show signing keys, and change who may write and who is trusted
    #[command(subcommand)]
    Keys(Keys),
    /// Show the settings
    #[command(subcommand)]
    Config(Config),
    /// Print the JSON Schema of a record
    Schema(Schema),
    /// Show the carbon intensity of a grid, hour by hour, and its sources
    ///
    /// Without --from and --to: the last day. Answers of providers are kept in a cache. A past time is
    /// asked for as such, and never answered with the latest value.
    Intensity(Intensity),
    /// List the built-in places, with the carbon intensity of each
    ///
    /// --region and --zone take each of these codes, names of countries and states, coordinates, regions
    /// behind their cloud, such as `aws:eu-central-1`, and zones as a provider names them, such as
    /// `electricity_maps:DK-DK1`.
    Zones(Zones),
    /// Say what can be measured on this machine, why not more, and what would help
    Doctor(Doctor),
    /// Measure the power of this machine at rest, for the share of idle energy
    ///
    /// Leave the machine alone meanwhile. Without such a value, idle power is taken from a table of
    /// processors, which may be off by half.
    Calibrate(Calibrate),
    /// Print what completes this command's arguments in a shell
    Completions(Completions),
    /// Write a manual page for each command
    Man(Man),
}

impl Command {
    /// Whether its exit code is an answer of its own, whatever becomes of the words.
    pub(crate) fn is_question(&self) -> bool {
        match self {
            Self::Doctor(_) | Self::Compare(_) => true,
            Self::Ledger(command) => matches!(
                command,
                Ledger::Verify(_)
                    | Ledger::VerifyPack(_)
                    | Ledger::CheckProof(_)
                    | Ledger::Consistency(_)
            ),
            _ => false,
        }
    }

    /// Who listens to what is said beside the output.
    pub(crate) fn log_form(&self) -> Form {
        let (of, json) = match self {
            Self::Agent(args) => (args.log, AGENT),
            Self::Monitor(args) => (args.log, Form::Json("carbon_ops.monitor")),
            Self::Witness(Witness::Serve(args)) => (args.log, Form::Json("carbon_ops.witness")),
            _ => return Form::Text,
        };
        if of.log_format == LogFormat::Json { json } else { Form::Text }
    }

    /// The settings that an option names; they come before all others.
    pub(crate) fn overrides(&self) -> Overrides {
        match self {
            Self::Run(args) => Overrides {
                region: args.grid.region.clone(),
                pue: args.pue.clone(),
                ledger: args.ledger.clone(),
                market: args.bought.market.clone(),
            },
            Self::Monitor(args) => Overrides {
                region: args.grid.region.clone(),
                pue: args.pue.clone(),
                ..Overrides::default()
            },
            Self::Top(args) => Overrides {
                region: args.grid.region.clone(),
                pue: args.pue.clone(),
                ..Overrides::default()
            },
            Self::Agent(args) => args.overrides(),
            Self::Estimate(args) => args.bought.overrides(),
            Self::Aggregate(args) => args.bought.overrides(),
            Self::Report(args) => args.bought.overrides(),
            _ => Overrides::default(),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops schema > record.schema.json

Exit code: 0 printed; 2 failed.")]
pub(crate) struct Schema {
    /// The `schema_version` of the record; 2 is the only one
    #[arg(value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=2))]
    pub(crate) version: u8,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops completions bash > /etc/bash_completion.d/carbon-ops
  carbon-ops completions fish > ~/.config/fish/completions/carbon-ops.fish
  carbon-ops completions zsh > ~/.zfunc/_carbon-ops    # ~/.zfunc is in fpath

Exit code: 0 printed; 2 failed.")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops man ~/.local/share/man/man1
  man carbon-ops-run

Exit code: 0 written; 2 failed.")]
pub(crate) struct Man {
    /// Folder for the pages, such as carbon-ops-run.1; it is made where it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print each setting and where its value comes from
    #[command(after_help = "\
Examples:
  carbon-ops config show
  carbon-ops config show --config carbon.toml --json

Exit code: 0 printed; 2 a setting is wrong.")]
    Show(Output),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops doctor
  carbon-ops doctor --json

Exit code: 0 energy can be measured; 1 it can only be estimated; 2 failed.")]
pub(crate) struct Doctor {
    /// Examine a directory laid out like a host (with proc, sys, dev, etc and run) instead of this
    /// machine
    #[arg(long, value_name = "DIR")]
    pub(crate) host_root: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops calibrate
  carbon-ops calibrate --duration 10m --json

Exit code: 0 measured; 1 measured while the machine was busy; 2 no counter can
be read.")]
pub(crate) struct Calibrate {
    /// Time to measure for, such as 30s or 10m; 1s to 1 day
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = calibration)]
    pub(crate) duration: Duration,

    #[command(flatten)]
    pub(crate) counters: Counters,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn calibration(text: &str) -> Result<Duration, String> {
    monitor::up_to_a_day(text, Duration::from_secs(1), "1s")
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use clap::{Command, CommandFactory as _};

    use super::*;

    /// What a shell makes of an example, each call of ours on a line and its words apart.
    const SHELL: &str = "cd \"$(mktemp -d)\" && touch spans.ndjson && exec 3>&1
        carbon-ops() { printf '%s\\037' \"$@\" >&3; printf '\\n' >&3; }
        git() { shift 2; \"$@\"; }
        ssh() { shift 2; \"$@\"; }
        tool() { echo; }
        man() { :; }\n";

    fn verbs(of: &Command, path: &str, found: &mut Vec<(String, Command)>) {
        for verb in of.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let path = format!("{path} {}", verb.get_name());
            if verb.has_subcommands() {
                verbs(verb, &path, found);
            } else {
                found.push((path, verb.clone()));
            }
        }
    }

    fn all() -> Vec<(String, String)> {
        let (mut cli, mut found) = (Cli::command(), Vec::new());
        cli.build();
        verbs(&cli, "carbon-ops", &mut found);
        let text = |verb: &Command| verb.get_after_help().map(ToString::to_string);
        found.into_iter().map(|(path, verb)| (path, text(&verb).unwrap_or_default())).collect()
    }

    /// The indented lines below `Example`, with those that go on below a line about what comes in between.
    fn examples(text: &str) -> String {
        let lines = text.lines().skip_while(|line| !line.starts_with("Example"));
        let block = lines.skip(1).take_while(|line| !line.is_empty());
        block.filter(|line| line.starts_with(' ')).flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn each_command_says_its_exit_codes_and_has_an_example() {
        for (path, text) in all() {
            assert!(text.contains("\nExit code: 0 ") || path == "carbon-ops run", "{path}: {text}");
            assert!(examples(&text).contains(&path), "{path}: {text}");
        }
    }

    /// `cargo run` hands the program what the build says, and a variable by a name of ours that nothing reads is told.
    #[test]
    fn what_the_build_says_is_taken_for_no_setting() {
        let told = include_str!("../build.rs").split("cargo:rustc-env=").skip(1);
        let names: Vec<_> = told.filter_map(|rest| rest.split('=').next()).collect();
        assert_eq!(names, ["BUILT_FROM_COMMIT", "BUILT_AS"]);
    }

    #[test]
    fn examples_survive_pasting() {
        let start = Cli::command().get_after_help().unwrap().to_string();
        let start = start.replace("Start here:", "Examples:");
        for (path, text) in all().into_iter().chain([("carbon-ops".to_owned(), start)]) {
            let typed = examples(&text).replace("> /etc", "> .").replace("> ~/", "> ./");
            let script = format!(
                "{SHELL}mkdir -p .zfunc .config/fish/completions ./bash_completion.d\n{typed}"
            );
            let done = Process::new("bash").args(["-ec", &script]).output().unwrap();
            let (said, failed) = (done.stdout, String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success() && failed.is_empty(), "{path}: {failed}");
            let said = String::from_utf8(said).unwrap();
            assert!(!said.is_empty(), "{path}");
            for call in said.lines() {
                let words = call.split_terminator('\u{1f}');
                let parsed = Cli::try_parse_from(["carbon-ops"].into_iter().chain(words));
                assert!(parsed.is_ok(), "{path}: {}", parsed.unwrap_err());
            }
        }
    }
}
