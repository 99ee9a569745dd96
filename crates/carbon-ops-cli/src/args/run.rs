//! Arguments of `carbon-ops run`.

use std::path::PathBuf;

use clap::Args;

use super::Reserve;

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
