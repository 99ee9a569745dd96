//! What the user typed: types only, no decisions.

use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::estimate::sci::FunctionalUnit;
use carbon_ops::estimate::span::Missing;
use carbon_ops::ledger::pack::Selection;
use carbon_ops::proof::entry::Durability;
use carbon_ops::record::Deployment;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::hints::argument;
use carbon_ops::text::duration;
use carbon_ops::units::Watts;

mod hardware;
mod keys;
mod records;

pub(crate) use hardware::Reserve;
pub(crate) use keys::{Keys, KeysGenerate, KeysProve, KeysRotate, KeysShow, KeysTrust};
pub(crate) use records::{LedgerCorrect, LedgerGap, LedgerHeartbeat, LedgerRestate};

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
#[command(after_help = "\
Examples:
  carbon-ops run -- make -j8
  carbon-ops run --region DE --label job=nightly --json=cost.json -- ./train.sh
  carbon-ops run --embodied h100 --share 1/8 -- ./train.sh

Exit code: CMD's own; 128+n when signal n ended it; 127 not found; 126 not executable; 125 when
carbon-ops failed before CMD started, or when CMD succeeded and the record could not be stored.")]
pub(crate) struct Run {
    /// Where: country, state or province (ISO 3166), cloud region, coordinates, or a provider's own id
    #[arg(long, visible_alias = "zone", value_name = "ZONE", allow_hyphen_values = true)]
    pub(crate) region: Option<String>,

    /// Power usage effectiveness of the site: a number of at least 1, or cloud-hyperscale,
    /// enterprise, on-premise
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

    /// Price the command with this provider's slots of its own time: `electricity_maps`, gb, watttime,
    /// file; may be repeated, in order. Without it, and without `providers.order` or a file of your own,
    /// nobody is asked
    #[arg(long = "provider", value_name = "NAME")]
    pub(crate) providers: Vec<String>,

    #[command(flatten)]
    pub(crate) hardware: Reserve,

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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops estimate --energy 1.2kWh --from 2026-03-01 --to 2026-03-02 --zone DE
  carbon-ops estimate --power 50W --from 2026-03-01 --to 2026-03-02 --zone US-CA
  carbon-ops estimate --energy '1.2kWh ± 2%' --pue 'tn(1.2, 0.05, min=1)' \\
      --intensity 'ln(400, 10%)' --method monte_carlo --trials 1000000 --seed 1 --json
  carbon-ops estimate --energy 3kWh --from 2026-03-01T00:00Z --to 2026-03-01T06:00Z --zone DE \\
      --embodied '8*h100' --embodied 'server(cpus=2, memory=1024)' --share 1/2 --functional-unit 90:job
  carbon-ops estimate --energy 3kWh --from 2026-03-01 --to 2026-03-02 --zone DE --provider electricity_maps \\
      --upstream --ledger ledger       scope 2 and scope 3, category 3, as a record each
  carbon-ops estimate < spans.ndjson > rows.ndjson      members: start, end, energy_kwh, zone, …
  carbon-ops estimate --recompute ledger:17             the same numbers again, digit by digit

A value may be exact (1.2), normal (1.2 ± 2%, n(1.2, 0.024)), truncated (tn(1.2, 0.05, min=1)), lognormal
(ln(400, 10%)), uniform (u(1, 1.4)), or one of the other shapes of docs/method.md.

Exit code: 0 done, or the same numbers; 1 lines were skipped, or the numbers differ; 2 could not do it, or
an answer that the slots came in is not kept any more.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Estimate {
    /// Energy with its unit and, if you like, its distribution; without it, spans are read from standard
    /// input
    #[arg(long, value_name = "ENERGY", allow_hyphen_values = true)]
    pub(crate) energy: Option<String>,

    /// Mean power over the span, such as 50W or 1.2kW, instead of an energy
    #[arg(long, value_name = "POWER", allow_hyphen_values = true, value_parser = power, conflicts_with = "energy")]
    pub(crate) power: Option<Watts>,

    /// Start of the span: RFC 3339, or a day in UTC
    #[arg(long, value_name = "TIME", requires = "to")]
    pub(crate) from: Option<String>,

    /// End of the span, not counted
    #[arg(long, value_name = "TIME", requires = "from")]
    pub(crate) to: Option<String>,

    /// Where: country, state or province (ISO 3166), cloud region, coordinates, or a provider's own id
    #[arg(long, visible_alias = "region", value_name = "ZONE", allow_hyphen_values = true)]
    pub(crate) zone: Option<String>,

    /// Provider to ask: `electricity_maps`, gb, static, egrid or file; may be repeated, in order
    #[arg(long = "provider", value_name = "NAME")]
    pub(crate) providers: Vec<String>,

    /// Use only what is in the cache
    #[arg(long)]
    pub(crate) offline: bool,

    /// Grid intensity in g/kWh, instead of that of a zone
    #[arg(long, value_name = "INTENSITY", allow_hyphen_values = true)]
    pub(crate) intensity: Option<String>,

    /// Power usage effectiveness of the site: a number of at least 1, a distribution, or
    /// cloud-hyperscale, enterprise, on-premise
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) pue: Option<String>,

    /// Who owns the machines, which decides on scope and category: own, colocation, cloud, product
    #[arg(long, value_name = "WHO", value_parser = argument::<Deployment>)]
    pub(crate) deployment: Option<Deployment>,

    /// Two records of a span: what the power stations emit (scope 2, by location), and what is upstream of
    /// them (scope 3, category 3), where a provider has direct and life-cycle intensities
    #[arg(long, conflicts_with_all = ["intensity", "buckets", "functional_unit"])]
    pub(crate) upstream: bool,

    #[command(flatten)]
    pub(crate) hardware: Reserve,

    /// Score per functional unit after ISO/IEC 21031 (SCI): how many of what, such as 1000:request
    #[arg(long, value_name = "N:UNIT", value_parser = argument::<FunctionalUnit>)]
    pub(crate) functional_unit: Option<FunctionalUnit>,

    /// With which value time without a slot is priced: step, interpolate, drop
    #[arg(long, value_name = "POLICY", value_parser = argument::<Missing>)]
    pub(crate) missing: Option<Missing>,

    /// How the interval is computed
    #[arg(long, value_enum, default_value_t = EstimateMethod::Analytical)]
    pub(crate) method: EstimateMethod,

    /// Trials of `monte_carlo`; 200,000 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) trials: Option<u64>,

    /// Instead of a number of trials: go on until so many digits of the standard uncertainty are stable
    #[arg(long, value_name = "DIGITS", conflicts_with = "trials",
          value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) adaptive: Option<u8>,

    /// Seed of `monte_carlo`; the record keeps it
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,

    /// The shortest interval instead of the symmetric one, with `monte_carlo`
    #[arg(long)]
    pub(crate) shortest: bool,

    /// Your own name for the span
    #[arg(long, value_name = "NAME", requires = "energy")]
    pub(crate) id: Option<String>,

    /// The host that used the energy
    #[arg(long, value_name = "NAME", requires = "energy")]
    pub(crate) host: Option<String>,

    /// Label for the record; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,

    /// Sign the records into this ledger
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// Of a stream, print full records instead of compact rows
    #[arg(long, conflicts_with_all = ["energy", "ledger"])]
    pub(crate) records: bool,

    /// How the stream is written
    #[arg(long, value_enum, default_value_t = InputFormat::Auto, conflicts_with = "energy")]
    pub(crate) format: InputFormat,

    /// What to do with a bad line of the stream: stop there, or name it and go on
    #[arg(long, value_enum, default_value_t = OnError::Stop, conflicts_with = "energy")]
    pub(crate) on_error: OnError,

    /// Print the span also in buckets, aligned to the clock in UTC (`interpolation.bucket_minutes`)
    #[arg(long, requires_all = ["energy", "from"], conflicts_with_all = ["json", "intensity"])]
    pub(crate) buckets: bool,

    /// Derive the numbers of a record again: a file with one record, LEDGER:SEQ, or SEQ of the default ledger
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["energy", "records", "ledger"])]
    pub(crate) recompute: Option<String>,

    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops label record.json
  carbon-ops label ledger:17
  carbon-ops label --grams '57g ± 10%'

The rating is that of carbon-ops 0.1, the equivalents are the US EPA's; --json names each source.
Exit code: 0 done; 2 could not do it.")]
pub(crate) struct Label {
    /// A file with one record, LEDGER:SEQ, or SEQ of the default ledger
    #[arg(required_unless_present = "grams")]
    pub(crate) record: Option<String>,

    /// A figure instead: g unless a unit follows, with its distribution if you like
    #[arg(long, value_name = "CARBON", conflicts_with = "record", allow_hyphen_values = true)]
    pub(crate) grams: Option<String>,

    /// Print the label as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops aggregate                               the default ledger, in one sum
  carbon-ops aggregate --by day host-a/ host-b/      two ledgers, day by day
  carbon-ops aggregate --by label:team --csv records.ndjson
  carbon-ops aggregate --method monte_carlo --seed 1 records.ndjson

Exit code: 0 done; 2 could not do it, or a ledger is not valid.")]
pub(crate) struct Aggregate {
    /// Ledgers, and files of records with one a line; the default ledger without them
    pub(crate) paths: Vec<PathBuf>,

    /// What a sum is over: all, region, source, host, day (in UTC), scope, or label:NAME
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) by: GroupBy,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Count records of simulated sensors, too
    #[arg(long)]
    pub(crate) include_simulated: bool,

    /// How the interval of several records is computed
    #[arg(long, value_enum, default_value_t = AggregateMethod::LognormalMoments)]
    pub(crate) method: AggregateMethod,

    /// Trials of `monte_carlo`; 200,000 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) trials: Option<u64>,

    /// Seed of `monte_carlo`; the output names it
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,

    /// Print the sums as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the sums as CSV
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// How the interval of a sum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum AggregateMethod {
    /// That of a lognormal with the sum's mean and standard uncertainty; of a single record its own
    LognormalMoments,
    /// By drawing all records together (JCGM 101): for a few records with wide or truncated inputs
    MonteCarlo,
}

/// What a sum is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupBy {
    All,
    Region,
    Source,
    Host,
    Day,
    Scope,
    Label(String),
}

impl std::str::FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "region" => Ok(Self::Region),
            "source" => Ok(Self::Source),
            "host" => Ok(Self::Host),
            "day" => Ok(Self::Day),
            "scope" => Ok(Self::Scope),
            _ => match text.strip_prefix("label:") {
                Some(name) if !name.is_empty() => Ok(Self::Label(name.to_owned())),
                _ => Err("all, region, source, host, day, scope, or label:NAME".to_owned()),
            },
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
A record is judged by those before it, in the order of their times. --robust takes median and median
absolute deviation instead of mean and standard deviation, which an outlier among them does not blind.

Exit code: 0 nothing stands out; 1 something does; 2 could not do it.")]
pub(crate) struct Anomaly {
    /// Ledgers, and files of records with one a line; the default ledger without them
    pub(crate) paths: Vec<PathBuf>,

    /// Of what
    #[arg(long, value_enum, default_value_t = Of::Grams)]
    pub(crate) of: Of,

    /// How many records before it a record is judged by
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = window)]
    pub(crate) window: usize,

    /// How many deviations stand out; 3 unless given, 3.5 with --robust
    #[arg(long, value_name = "Z")]
    pub(crate) z: Option<f64>,

    /// By median and median absolute deviation
    #[arg(long)]
    pub(crate) robust: bool,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Judge records of simulated sensors, too
    #[arg(long)]
    pub(crate) include_simulated: bool,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Of {
    Grams,
    Energy,
    Intensity,
}

fn window(text: &str) -> Result<usize, String> {
    let least = carbon_ops::estimate::anomaly::WINDOW_MIN;
    let count: usize = text.parse().map_err(|_| "it is no number".to_owned())?;
    if count < least { Err(format!("at least {least} are needed")) } else { Ok(count) }
}

/// How an interval is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum EstimateMethod {
    /// Quadrature: deterministic
    #[value(alias = "analytical_truncated")]
    Analytical,
    /// Sampling after JCGM 101
    MonteCarlo,
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// JSON where it begins with a brace, else CSV
    Auto,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a heading
    Csv,
}

/// What becomes of a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    Stop,
    Skip,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(after_help = "\
Examples:
  carbon-ops monitor --all                              the 20 processes that use most
  carbon-ops monitor --unit nginx --interval 10s
  carbon-ops monitor --pid 4711 --json --duration 1m > samples.ndjson

Exit code: 0 at the end, also by Ctrl-C or when the process ends; 2 when there is nothing to watch.")]
pub(crate) struct Monitor {
    /// A process with all its descendants
    #[arg(long, value_name = "N", group = "target", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,

    /// A cgroup with all below it, by the path that /proc/PID/cgroup shows
    #[arg(long, value_name = "PATH", group = "target")]
    pub(crate) cgroup: Option<String>,

    /// A systemd unit that runs
    #[arg(long, value_name = "NAME", group = "target")]
    pub(crate) unit: Option<String>,

    /// Every process of the host
    #[arg(long, group = "target")]
    pub(crate) all: bool,

    /// Time between samples, such as 100ms, 1s or 15m; 10ms to 1 day
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Samples to take
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Time to watch for
    #[arg(long, value_name = "TIME", conflicts_with = "count", value_parser = positive)]
    pub(crate) duration: Option<Duration>,

    /// Print samples as JSON, one per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Sort::Energy)]
    pub(crate) sort: Sort,

    /// Most rows per sample; the rest is summed up as `others`
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// What a row is, with --all
    #[arg(long, value_enum, default_value_t = By::Process)]
    pub(crate) by: By,

    /// Who gets the energy that an idle machine would have used: nobody, or everybody who ran
    #[arg(long, value_enum, default_value_t = Idle::Residual)]
    pub(crate) idle_policy: Idle,

    /// Powercap class directory to read instead of the host's; samples are then marked as simulated
    #[arg(long, value_name = "DIR")]
    pub(crate) powercap_root: Option<PathBuf>,

    /// Folder that stands in for the machine: for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) host_root: Option<PathBuf>,
}

/// Order of rows, largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    Energy,
    Cpu,
    Memory,
    /// By name, from a to z.
    Name,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Process,
    Cgroup,
    Unit,
}

/// Who gets idle energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Idle {
    Residual,
    Proportional,
}

/// Shortest interval: the tick of most kernels' busy time.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Longest interval, and longer than anybody watches.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("it must be above zero".into()) } else { Ok(duration) }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = positive(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    Err("it must lie between 10ms and 1 day (24h)".into())
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
    /// Append records of your own, read from standard input, one JSON object a line
    ///
    /// Records are numbered in the order of lines, signed by several threads and written in batches;
    /// each is acknowledged when the ledger's class of durability says so. Records of this program
    /// (kind `carbon_ops`) are checked first. A line that is refused is named, and the others go on. With
    /// --profile 0.1, standard input is one record for a ledger of the Python program, which stays one
    /// that the Python package carbon-ops 0.1.1 validates.
    Append(LedgerAppend),
    /// Continue a ledger of the Python program in a new one of this program
    ///
    /// Verifies the old file and makes a new ledger whose first entry pins it: its size, SHA-256, last
    /// link, number of records, keys and verdict. The old file stays where it is, unchanged; keep
    /// it, and check the two together with `ledger verify DIR --imported OLD`.
    Import(LedgerImport),
    /// Sign a checkpoint: size and root of the ledger as it is now
    ///
    /// Stores it in the ledger's directory and prints it. Whoever keeps a copy elsewhere can tell later
    /// that the ledger was cut off or rewritten below it. `run` signs one every 1,024 records.
    Checkpoint(LedgerCheckpoint),
    /// Print the ledger's verifier key, by which witnesses and policies know it
    LogKey(LedgerLogKey),
    /// Write one file that shows records, or the whole ledger, to somebody who has nothing else
    ///
    /// The file holds the records as they are, the last checkpoint with its cosignatures, and the proofs
    /// between them. `ledger verify-pack` checks it with nothing but trusted keys.
    AuditPack(LedgerAuditPack),
    /// Check a file that `ledger audit-pack` wrote
    VerifyPack(LedgerVerifyPack),
    /// Seal what was appended as a segment, which is never written to again
    ///
    /// Signs a checkpoint first. The lines stay where they are in the order: the files in `seg`, one
    /// after the other, and then `ledger.ndjson` are the ledger. `run` seals by itself when the active
    /// file has grown beyond `ledger.segment_bytes`.
    Seal(LedgerSeal),
    /// Write a proof that one record is in the ledger, for somebody who does not have the ledger
    Prove(LedgerProve),
    /// Check a proof that `ledger prove` wrote, and print its record
    CheckProof(LedgerCheckProof),
    /// Prove that the ledger at one size extends the ledger at a smaller size
    Consistency(LedgerConsistency),
    /// Say what one record should have been; the record stays, and this supersedes it
    Correct(LedgerCorrect),
    /// Say that many records are calculated anew, and by which change of method or factor
    Restate(LedgerRestate),
    /// Say that for a time nothing was recorded
    Gap(LedgerGap),
    /// Promise that there will be another entry by a time, so that silence can be seen
    Heartbeat(LedgerHeartbeat),
}

#[derive(Debug, Args)]
pub(crate) struct LedgerInit {
    /// Directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// When an entry counts as acknowledged: sync, after fdatasync; group:MS, after fdatasync, which
    /// may wait so long for more entries; async:MS, after the write, with fdatasync so much later.
    /// The ledger says so for ever; `run` always waits for fdatasync
    #[arg(long, value_name = "CLASS", default_value = "sync", value_parser = durability)]
    pub(crate) durability: Durability,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn durability(text: &str) -> Result<Durability, String> {
    let expected = "it must be sync, group:MS or async:MS, with 1 to 60000 milliseconds";
    Durability::parse(text).ok_or_else(|| expected.into())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 valid; 1 tampered with; 2 could not check (no such ledger, key not trusted, too few
witnesses);
3 cut off or rewritten below a checkpoint; 4 valid up to a torn last line, which the next append
repairs.")]
pub(crate) struct LedgerVerify {
    /// Ledger directory or file; the default ledger without it
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1")]
    pub(crate) profile: Profile,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// The ledger file of version 0.1 that this ledger continues: is it the one that was imported?
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) imported: Option<PathBuf>,

    /// A checkpoint that was kept elsewhere: lines below it are compared as a whole, and only newer ones
    /// looked into
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Insist that the governor's totals go on from record to record: energy that no record and no gap
    /// covers is exit code 1, records that cannot be compared are 2
    #[arg(long, conflicts_with_all = ["profile", "since"])]
    pub(crate) complete: bool,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned the checkpoint
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) policy: Option<PathBuf>,

    /// Derive every interval again from the record's inputs and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A ledger format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    V1,
    #[value(name = "0.1")]
    Legacy,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tool --ndjson | carbon-ops ledger append --json ledger
  echo '{\"grams\": 1.5}' | carbon-ops ledger append --profile 0.1 old.ndjson

Exit code: 0 all appended and on the disk; 2 something was not, each line by its number.")]
pub(crate) struct LedgerAppend {
    /// Ledger directory, or with --profile 0.1 the ledger file; the default ledger without it
    #[arg(required_if_eq("profile", "0.1"))]
    pub(crate) path: Option<PathBuf>,

    /// Format of the ledger: 0.1 is that of the Python package carbon-ops 0.1
    #[arg(long, value_name = "FORMAT", default_value = "v1")]
    pub(crate) profile: Profile,

    /// Print an acknowledgement per line as JSON: line, seq and hash
    #[arg(long, conflicts_with = "profile")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops ledger import old.ndjson --into ledger --trust PUBLIC_KEY

Exit code: 0 imported; else the old ledger's, and nothing was made: 1 tampered with; 2 could not
check (no such file, key not trusted); 4 valid up to a torn last line.")]
pub(crate) struct LedgerImport {
    /// The old ledger file
    pub(crate) old: PathBuf,

    /// Directory of the new ledger
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,

    /// Trusted keys of the old ledger: a file with one public key in hex per line, or a public key
    /// in hex
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Import even what does not verify; the new ledger says so for ever
    #[arg(long)]
    pub(crate) accept_unverified: bool,

    /// Print what was pinned, or the report on the old ledger, as JSON
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

    /// Print the summary that was shown when a record was made
    ///
    /// From the record alone: whose which part of a GPU was is not in it, so that line is missing. What has
    /// no such summary stays one line: a run that was priced by the hour, and records of others.
    #[arg(long, conflicts_with = "json")]
    pub(crate) summary: bool,

    /// Print the stored lines as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerSeal {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerCheckpoint {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Witness to ask for a cosignature, besides those of the configuration: its address, a plus sign
    /// and its verifier key; may be repeated
    #[arg(long = "witness", value_name = "URL+KEY")]
    pub(crate) witnesses: Vec<String>,

    /// Policy (C2SP tlog-policy): its witnesses with an address are asked, and its quorum has to be met;
    /// without one, every witness that is asked has to cosign
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print the checkpoint and what each witness said as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerLogKey {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger audit-pack --records 17,100..120 --out 2026.pack
  carbon-ops ledger verify-pack 2026.pack --trust 03a107bf…   # by somebody else, offline

Exit code: 0 written; 2 not written; 3 the ledger was cut off or rewritten since it was signed for.")]
pub(crate) struct LedgerAuditPack {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// File for the pack
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Records by their `seq`: all, or numbers and ranges such as 17,100..120
    #[arg(long, value_name = "RECORDS", default_value = "all")]
    pub(crate) records: Selection,

    /// An earlier checkpoint that the reader kept; the pack proves that the ledger extends it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Policy to put into the pack: what its author found enough witnesses
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 everything in it holds; 1 something does not; 2 could not check (key not trusted, no
such file, too few witnesses); 3 the ledger in it is not what the kept checkpoint says.")]
pub(crate) struct LedgerVerifyPack {
    /// The pack
    pub(crate) file: PathBuf,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned; that in the pack is its
    /// author's word
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// A checkpoint that you kept: the pack must extend it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Derive every interval again from the record's inputs and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Print the records too
    #[arg(long)]
    pub(crate) show: bool,

    /// Print the report as JSON, and with --show each record in a line before it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger prove 17 --out 17.tlog-proof
  carbon-ops ledger check-proof 17.tlog-proof --trust 03a107bf…   # by somebody else, offline")]
pub(crate) struct LedgerProve {
    /// The record's number, its `seq`: 17 or @17
    #[arg(value_parser = entry_number)]
    pub(crate) seq: u64,

    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// File for the proof; standard output without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 proven; 1 the proof does not hold; 2 could not check (key not trusted, no such file, too
few witnesses).")]
pub(crate) struct LedgerCheckProof {
    /// The proof
    pub(crate) file: PathBuf,

    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned the checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints `old SIZE`, `new SIZE` and the hashes of the proof (RFC 9162, 2.1.4), one a line in base64.
Exit code: 0 consistent; 2 could not check; 3 the ledger is not what one of the checkpoints says.")]
pub(crate) struct LedgerConsistency {
    /// The smaller: a number of lines, or the file of a checkpoint
    pub(crate) old: String,

    /// The larger: a number of lines, or the file of a checkpoint
    pub(crate) new: String,

    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Trusted keys for checkpoints: a file with one public key in hex per line, or a public key in hex
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    /// Make a witness's directory and key, and print its verifier key
    Init(WitnessInit),
    /// Answer requests to cosign (C2SP tlog-witness) until the process ends
    ///
    /// Cosigns a checkpoint only when it extends everything of that log that it cosigned before, which
    /// is on the disk before the answer is sent. Speaks HTTP; put a proxy with TLS in front of it.
    Serve(WitnessServe),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops witness init --dir /var/lib/witness --name witness.example/w1

Exit code: 0 made, or there already; 2 not made.")]
pub(crate) struct WitnessInit {
    /// Directory for the witness's memory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Name that the witness signs under: an address without https://, such as witness.example/w1
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Key file, made if there is none; key.pem in the directory without it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops witness serve --dir /var/lib/witness --log \"$(carbon-ops ledger log-key)\"")]
pub(crate) struct WitnessServe {
    /// Directory that `witness init` made
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2026")]
    pub(crate) listen: std::net::SocketAddr,

    /// Key file; key.pem in the directory without it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Name of the witness; the one that its directory was made for without it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Verifier key of a log, whose name is the log's origin; may be repeated
    #[arg(long = "log", value_name = "KEY")]
    pub(crate) logs: Vec<String>,

    /// List of logs (C2SP tlog-list)
    #[arg(long, value_name = "FILE")]
    pub(crate) log_list: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Zones {
    /// Only those with this text in their code or name, such as germany, us- or aws
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops intensity --zone DE                              the yearly average, without a network
  carbon-ops intensity --zone GB --provider gb --plot         the last day of Great Britain
  carbon-ops intensity --zone us-west-1 --from 2026-03-01 --to 2026-03-02 --provider watttime --signal marginal

Exit code: 0 there are values; 1 there is none in this time; 2 could not find out.")]
pub(crate) struct Intensity {
    /// Country, state or province (ISO 3166), cloud region, coordinates, or a provider's own id; the
    /// configured region without it
    #[arg(long, visible_alias = "region", value_name = "ZONE", allow_hyphen_values = true)]
    pub(crate) zone: Option<String>,

    /// First instant: a date (midnight UTC), or a time with its offset
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,

    /// First instant after
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,

    /// Provider to ask: `electricity_maps`, watttime, gb, static, egrid or file; may be repeated, in order
    #[arg(long = "provider", value_name = "NAME")]
    pub(crate) providers: Vec<String>,

    /// What to count: average, marginal or residual, and where it matters _lifecycle or _direct
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,

    /// Draw the slots to a file too
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true,
          default_missing_value = "intensity.svg")]
    pub(crate) plot: Option<PathBuf>,

    /// Print slots, sources and gaps as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Use only what is in the cache
    #[arg(long)]
    pub(crate) offline: bool,

    /// Print counters of the cache and of requests too
    #[arg(long)]
    pub(crate) stats: bool,
}

/// A power with its unit: `50W`, `1.2 kW`, `300mW`.
fn power(text: &str) -> Result<Watts, String> {
    let wrong = || format!("{text:?} is not a power, such as 50W or 1.2kW");
    let number = text.trim().strip_suffix('W').ok_or_else(wrong)?.trim_end();
    let (number, scale) = match number.strip_suffix(['k', 'm', 'M']) {
        Some(rest) if number.ends_with('k') => (rest, 1e3),
        Some(rest) if number.ends_with('M') => (rest, 1e6),
        Some(rest) => (rest, 1e-3),
        None => (number, 1.0),
    };
    let watts: f64 = number.trim_end().parse().map_err(|_| wrong())?;
    Watts::new(watts * scale).map_err(|error| format!("{text:?}: {error}"))
}

/// The number of an entry, as it is written alone or, as for records, with an `@`.
fn entry_number(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('@').unwrap_or(text);
    number.parse().map_err(|error: std::num::ParseIntError| error.to_string())
}
