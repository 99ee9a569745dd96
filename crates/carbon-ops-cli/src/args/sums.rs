//! Arguments of the commands that look at records: `aggregate`, `anomaly`, `label`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
