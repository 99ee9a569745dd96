//! What the user typed: types only, no decisions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod estimate;
mod grid;
mod hardware;
mod keys;
mod ledger;
mod monitor;
mod records;
mod run;
mod sums;
mod witness;

pub(crate) use estimate::{Estimate, EstimateMethod, InputFormat, OnError};
pub(crate) use grid::{Intensity, Zones};
pub(crate) use hardware::Reserve;
pub(crate) use keys::{Keys, KeysGenerate, KeysProve, KeysRotate, KeysShow, KeysTrust};
pub(crate) use ledger::{
    Ledger, LedgerAppend, LedgerAuditPack, LedgerCheckProof, LedgerCheckpoint, LedgerConsistency,
    LedgerImport, LedgerInit, LedgerLogKey, LedgerProve, LedgerSeal, LedgerShow, LedgerVerify,
    LedgerVerifyPack, Profile,
};
pub(crate) use monitor::{By, Idle, Monitor, Sort};
pub(crate) use records::{LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};
pub(crate) use run::Run;
pub(crate) use sums::{Aggregate, AggregateMethod, Anomaly, GroupBy, Label, Of};
pub(crate) use witness::{Witness, WitnessInit, WitnessServe};

/// Energy and carbon of a command, as a signed record.
#[derive(Debug, Parser)]
#[command(name = "carbon-ops", version, about, max_term_width = 100)]
#[command(after_help = "\
Start here:
  carbon-ops run -- gzip -k big.tar         what one job used and emitted
  carbon-ops run --region DE -- make        priced with the German grid
  carbon-ops monitor --all                  what every process uses, second by second
  carbon-ops ledger verify                  check every record that was written

Configuration: flag, then environment, then file, then default; `carbon-ops config show` prints each
value and where it comes from.

Exit codes: 0 yes, 1 no, 2 could not do it, 3 cut off or rewritten, 4 valid up to a torn tail; `run`
gives the command's own, or 125, 126, 127 as env(1) does.")]
pub(crate) struct Cli {
    /// Configuration file (TOML, YAML or JSON) instead of those searched for
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command and report what it used and emitted
    ///
    /// Runs CMD with its own input, output and terminal, forwards signals to it, and exits as it
    /// does. Afterwards a summary goes to standard error, so that pipes through the command stay
    /// clean. Energy comes from the machine's counters where they can be read, else from a model of
    /// its processor; the summary says which, and why.
    Run(Run),
    /// Watch what processes use, sample by sample
    ///
    /// Prints a sample per interval: the host's energy, and the share of each process, or of one
    /// tree of processes, cgroup or systemd unit. Needs no privilege; where no counter can be read,
    /// the energy is a model's and labelled so.
    Monitor(Monitor),
    /// Say what energy that was used somewhere emitted, with its interval
    ///
    /// Prices one span from options, or a stream of spans from standard input, one JSON object or line
    /// of CSV each, by the grid intensity of its own time and place.
    Estimate(Box<Estimate>),
    /// Sum up records of ledgers and files, with an interval for each sum
    ///
    /// Ledgers are verified first. Errors that records share (a grid's factors, a meter, a PUE) stay
    /// shared: they do not average out.
    Aggregate(Aggregate),
    /// Find records that stand out from those before them
    Anomaly(Anomaly),
    /// Say what a figure of carbon is like: a rating, and what emits as much
    Label(Label),
    /// Verify and show the ledger of records
    #[command(subcommand)]
    Ledger(Ledger),
    /// Cosign the checkpoints of ledgers and other logs, and refuse a second history
    #[command(subcommand)]
    Witness(Witness),
    /// Signing keys
    #[command(subcommand)]
    Keys(Keys),
    /// Settings
    #[command(subcommand)]
    Config(Config),
    /// Print the JSON Schema of a record
    Schema(Schema),
    /// Show what a kilowatt hour of a grid emits, hour by hour, and where the numbers are from
    ///
    /// Without --from and --to: the last day. Answers of providers are kept in a cache; times that have passed
    /// are asked for as such, and never answered with what is latest.
    Intensity(Intensity),
    /// List the places that are built in, with what a kilowatt hour emits there
    ///
    /// --region and --zone take every one of them, names of countries and states, coordinates, and what a provider
    /// calls its zones, such as electricity_maps:DK-DK1.
    Zones(Zones),
    /// Say what can be measured on this machine, why not more, and what would allow it
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Its `schema_version`; 2 is the only one that there is
    #[arg(value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=2))]
    pub(crate) version: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print each setting and where its value comes from
    Show(ConfigShow),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 when something measured can be read; 1 when only an estimate is possible; 2 could not
check.")]
pub(crate) struct Doctor {
    /// Look at a folder laid out as a host (with its proc, sys, dev, etc and run) instead of this
    /// machine
    #[arg(long, value_name = "DIR")]
    pub(crate) host_root: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
