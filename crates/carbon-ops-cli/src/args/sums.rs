//! Arguments of the commands that look at records: `aggregate`, `anomaly`, `label`.

use carbon_ops::record::totals::GroupBy;
use clap::{Args, ValueEnum};

use super::shared::{Bought, Level, Output, Records, Sampling};

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
  carbon-ops aggregate                             # one sum, default ledger
  carbon-ops aggregate --by day host-a/ host-b/    # two ledgers, day by day
  carbon-ops aggregate --by label:team --csv records.ndjson
  carbon-ops aggregate --from 2026-10-01 --to 2026-11-01 --where team=a
  carbon-ops aggregate --market instruments.csv   # by location and market
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
    pub(crate) level: Level,

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
Examples:
  carbon-ops anomaly
  carbon-ops anomaly --robust --of intensity --json

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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops power-analysis --sd 4% --effect 3%        # runs of each of two
  carbon-ops power-analysis --sd 4% --half-width 1%    # runs of one

Numbers of one unit, or percent of one mean. What all runs share, such as the
error of a meter, does not become less by repetition, and is not in --sd.

Exit code: 0 done; 2 failed.")]
pub(crate) struct PowerAnalysis {
    /// Standard deviation of single runs
    #[arg(long, value_name = "X", value_parser = number)]
    pub(crate) sd: f64,

    /// The difference of two means that has to be found
    #[arg(long, value_name = "X", value_parser = number, required_unless_present = "half_width")]
    pub(crate) effect: Option<f64>,

    /// Half of the interval that one mean may have
    #[arg(long, value_name = "X", value_parser = number, conflicts_with = "effect")]
    pub(crate) half_width: Option<f64>,

    /// Probability of finding a difference where there is none
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub(crate) alpha: f64,

    /// Probability of finding the difference where there is one
    #[arg(long, value_name = "P", default_value_t = 0.8)]
    pub(crate) power: f64,

    /// --sd is known from elsewhere, and not estimated from the same runs
    #[arg(long)]
    pub(crate) known: bool,

    #[command(flatten)]
    pub(crate) level: Level,

    #[command(flatten)]
    pub(crate) output: Output,
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse();
    number.map_err(|_| format!("{text:?} is not a number"))
}
