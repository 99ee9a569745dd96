//! Arguments of the commands that ask about grids: `zones`, `intensity`.

use std::path::PathBuf;

use clap::Args;

use super::shared::{Output, Sources, Times};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops zones germany
  carbon-ops zones aws --json

Exit code: 0 there are some; 2 there are none, or failed.")]
pub(crate) struct Zones {
    /// Only those with this text in their code or name, such as germany, us- or aws
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops intensity --zone DE              # the yearly average, no network
  carbon-ops intensity --zone GB --provider gb --plot    # the last day
  carbon-ops intensity --zone us-west-1 --from 2026-03-01 --to 2026-03-02 \\
      --provider watttime --signal marginal

Exit code: 0 there are values; 1 there are none for this time; 2 failed.")]
pub(crate) struct Intensity {
    #[command(flatten)]
    pub(crate) sources: Sources,

    #[command(flatten)]
    pub(crate) times: Times,

    /// What to count: average, marginal or residual; where it matters, with _lifecycle or _direct
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,

    /// Draw the slots as a picture, too
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true,
          default_missing_value = "intensity.svg")]
    pub(crate) plot: Option<PathBuf>,

    /// Print counters of the cache and of requests, too
    #[arg(long)]
    pub(crate) stats: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}
