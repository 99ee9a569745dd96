//! Arguments of the commands that ask about grids: `zones`, `intensity`.

use std::path::PathBuf;

use clap::Args;

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
