//! What the user typed: types only, no decisions.

use std::path::PathBuf;
use std::time::Duration;

use carbon_ops_units::Microjoules;
use clap::{Args, Parser, Subcommand};

use crate::aliasing::{curve::Curve, duration, register::parse_range};

/// Energy and carbon of a command, as a signed record.
#[derive(Debug, Parser)]
#[command(name = "carbon-ops", version, about, max_term_width = 100)]
#[command(after_help = "\
Start here:
  carbon-ops run -- gzip -k big.tar         what one job used and emitted
  carbon-ops run --region DE -- make        priced with the German grid
  carbon-ops ledger verify                  check every record that was written

Configuration: flag, then environment, then file, then default; `carbon-ops config show` prints each
value and where it comes from.

Exit codes: 0 yes, 1 no, 2 could not do it, 4 valid up to a torn tail; `run` gives the command's
own, or 125, 126, 127 as env(1) does.")]
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
    /// Verify and show the ledger of records
    #[command(subcommand)]
    Ledger(Ledger),
    /// Signing keys
    #[command(subcommand)]
    Keys(Keys),
    /// Settings
    #[command(subcommand)]
    Config(Config),
    /// Print the JSON Schema of a record
    Schema,
    /// Say what can be measured on this machine, why not more, and what would allow it
    Doctor(Doctor),
    /// Show how an energy counter misleads
    #[command(subcommand)]
    Demo(Demo),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops run -- make -j8
  carbon-ops run --region DE --label job=nightly --json=cost.json -- ./train.sh

Exit code: CMD's own; 128+n when signal n ended it; 127 not found; 126 not executable; 125 when
carbon-ops failed before CMD started, or when CMD succeeded and the record could not be stored.")]
pub(crate) struct Run {
    /// Grid zone: ISO country code, country name or cloud region
    #[arg(long, value_name = "ZONE")]
    pub(crate) region: Option<String>,

    /// Power usage effectiveness of the site: a number of at least 1, or cloud-hyperscale,
    /// enterprise, on-premise
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

    /// Label for the record; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,

    /// Directory of the ledger that takes the record
    #[arg(long, value_name = "DIR", conflicts_with = "no_ledger")]
    pub(crate) ledger: Option<PathBuf>,

    /// Write no record
    #[arg(long)]
    pub(crate) no_ledger: bool,

    /// Instead of the summary, write the record as JSON: to standard error, to a file, or to an
    /// open file descriptor
    #[arg(long, value_name = "PATH|fd:N", num_args = 0..=1, require_equals = true,
          default_missing_value = "fd:2")]
    pub(crate) json: Option<String>,

    /// Keep the command's arguments in the record (a ledger cannot forget a secret)
    #[arg(long)]
    pub(crate) record_args: bool,

    /// Powercap class directory to read instead of the host's; the record is then marked as
    /// simulated
    #[arg(long, value_name = "DIR")]
    pub(crate) powercap_root: Option<PathBuf>,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Make a new ledger in a directory
    ///
    /// Makes the directory, its first entry and, if there is none yet, the default signing key.
    Init(LedgerInit),
    /// Check every line of a ledger: form, order, hashes, signatures, and each record's arithmetic
    ///
    /// Trusts the keys given, else those of the local key store. A ledger signed by any other key is
    /// not checked (exit code 2), and the key's fingerprint is shown.
    Verify(LedgerVerify),
    /// Print records; does not verify them
    Show(LedgerShow),
}

#[derive(Debug, Args)]
pub(crate) struct LedgerInit {
    /// Directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 valid; 1 tampered with; 2 could not check (no such ledger, key not trusted);
4 valid up to a torn last line, which the next append repairs.")]
pub(crate) struct LedgerVerify {
    /// Ledger directory or file; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Trusted keys: a file with one public key in hex per line, or a public key in hex
    #[arg(long, value_name = "FILE|HEX")]
    pub(crate) trust: Option<String>,

    /// Derive every interval again from the record's inputs and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerShow {
    /// Ledger directory or file; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// How many records to show, newest last
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) last: usize,

    /// Print the stored lines as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a signing key; refuses to touch one that exists
    Generate(KeysGenerate),
    /// Print the public key and its fingerprint
    Show(KeysShow),
}

#[derive(Debug, Args)]
pub(crate) struct KeysGenerate {
    /// Where to store it; the default key without it
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeysShow {
    /// Key file; the default key without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// The same counter read ten times a second and by a slow scraper: who misses what
    ///
    /// Simulates a register that anyone can run, in virtual time, and holds carbon-ops and three usual
    /// scrapers against the true energy. Without --range it shows two: that of an AMD package, and the
    /// 4295 J of software that keeps microjoules in 32 bits, which start anew every 11 s at 390 W.
    Aliasing(DemoAliasing),
}

#[derive(Debug, Args)]
pub(crate) struct DemoAliasing {
    /// Power: W, square:HIGH:LOW:PERIOD or sine:MEAN:AMPLITUDE:PERIOD
    #[arg(long, value_name = "CURVE", default_value = "square:600:180:14s")]
    pub(crate) watts: Curve,

    /// Energy after which the register starts anew, such as 65.5kJ, 262kJ, 4295J, or in µJ
    #[arg(long, value_name = "ENERGY", value_parser = parse_range)]
    pub(crate) range: Option<Microjoules>,

    /// How often the scraper looks
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(crate) scrape: Duration,

    /// How often carbon-ops looks
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    pub(crate) poll: Duration,

    /// For how long: 10m simulated, 60s live
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Read this machine's counters in real time where they can be read
    #[arg(long, conflicts_with_all = ["watts", "range"])]
    pub(crate) live: bool,

    /// Powercap class directory to read instead of the host's
    #[arg(long, value_name = "DIR", requires = "live")]
    pub(crate) powercap_root: Option<PathBuf>,

    /// Draw the picture to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
