//! Arguments of the commands that look at records: `aggregate`, `anomaly`, `label`.

use carbon_ops::record::totals::GroupBy;
use clap::{Args, ValueEnum};

use super::shared::{Bought, Output, Records, Sampling};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops label record.json
  carbon-ops label ledger:17
  carbon-ops label --grams '57g ± 10%'

The rating is that of carbon-ops 0.1, the equivalents are the US EPA's; --json
names each source.

Exit code: 0 done; 2 failed.")]
pub(crate) struct Label {
    /// A file with one record, LEDGER:SEQ, or SEQ of the default ledger
    #[arg(required_unless_present = "grams")]
    pub(crate) record: Option<String>,

    /// A figure instead: in g unless a unit follows, with its distribution if you like
    #[arg(long, value_name = "CARBON", conflicts_with = "record", allow_hyphen_values = true)]
    pub(crate) grams: Option<String>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops aggregate                             one sum, default ledger
  carbon-ops aggregate --by day host-a/ host-b/    two ledgers, day by day
  carbon-ops aggregate --by label:team --csv records.ndjson
  carbon-ops aggregate --from 2026-10-01 --to 2026-11-01 --where team=a
  carbon-ops aggregate --market instruments.csv   by location and by market
  carbon-ops aggregate --method monte_carlo --seed 1 records.ndjson

Exit code: 0 done; 1 there are no records; 2 failed, or a ledger is not valid.")]
pub(crate) struct Aggregate {
    #[command(flatten)]
    pub(crate) records: Records,

    /// One sum for each: all, region (or zone), source, host, day or month (in UTC), program, scope,
    /// precision (of the grid's figure), unit (what the work is called by its owner), unit:NAME (one of its
    /// ids, or kind), or label:NAME
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) by: GroupBy,

    /// How the interval of several records is computed
    #[arg(long, value_enum, default_value_t = AggregateMethod::LognormalMoments)]
    pub(crate) method: AggregateMethod,

    #[command(flatten)]
    pub(crate) sampling: Sampling,

    #[command(flatten)]
    pub(crate) bought: Bought,

    #[command(flatten)]
    pub(crate) output: Output,

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

#[derive(Debug, Args)]
#[command(after_help = "\
A record is judged by those before it, in the order of their times. --robust
takes the median and the median absolute deviation instead of the mean and the
standard deviation: an outlier among them does not mask another.

Exit code: 0 nothing stands out; 1 something does; 2 failed.")]
pub(crate) struct Anomaly {
    #[command(flatten)]
    pub(crate) records: Records,

    /// What is compared
    #[arg(long, value_enum, default_value_t = Of::Grams)]
    pub(crate) of: Of,

    /// How many records before it a record is judged by
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = window)]
    pub(crate) window: usize,

    /// How many deviations stand out [default: as many as 0.27 % of ordinary values have, by the window]
    #[arg(long, value_name = "Z")]
    pub(crate) z: Option<f64>,

    /// Judge by median and median absolute deviation
    #[arg(long)]
    pub(crate) robust: bool,

    #[command(flatten)]
    pub(crate) output: Output,
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
    let count: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    if count < least { Err(format!("at least {least} are needed")) } else { Ok(count) }
}
