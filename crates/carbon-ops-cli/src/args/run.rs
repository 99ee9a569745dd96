//! Arguments of `carbon-ops run`.

use std::path::PathBuf;

use carbon_ops::work::Work;
use clap::Args;

use super::shared::{Bought, Counters, Grid, Idling, Labels, Named, Reserve};
use crate::render::argument;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops run -- make -j8
  carbon-ops run --region DE --label job=nightly --json=cost.json -- ./train.sh
  carbon-ops run --embodied h100 --share 1/8 -- ./train.sh
  carbon-ops run --functional-unit @tokens.txt:token -- ./serve.sh

Exit code: that of CMD; 128+n when signal n ended it; 127 when CMD was not found
and 126 when it could not be executed; 125 when an option names what is not
there, or with --strict when the record cannot be stored. With a budget, and
CMD's own code 0: 123 when it is exceeded, 122 when that cannot be told.

A ledger that cannot be written does not stop CMD: the record is kept beside it,
and the next command that can write there signs and appends it. What is measured
is kept so once a minute, in case carbon-ops is killed (ledger.save_every).")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) grid: Grid,

    /// Power usage effectiveness (PUE) of the site: a number of at least 1, or cloud-hyperscale,
    /// enterprise, on-premise
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

    #[command(flatten)]
    pub(crate) bought: Bought,

    #[command(flatten)]
    pub(crate) hardware: Reserve,

    /// Score per functional unit after ISO/IEC 21031 (SCI): how many of what CMD does, such as 1000:request; an @
    /// and a file instead of the number is read when CMD has ended
    #[arg(long, value_name = "N:UNIT|@FILE:UNIT", value_parser = argument::<Work>)]
    pub(crate) functional_unit: Option<Work>,

    #[command(flatten)]
    pub(crate) labels: Labels,

    #[command(flatten)]
    pub(crate) named: Named,

    /// Ledger directory that takes the record [default: your default ledger]
    #[arg(long, value_name = "DIR", conflicts_with = "no_ledger")]
    pub(crate) ledger: Option<PathBuf>,

    /// Write no record
    #[arg(long)]
    pub(crate) no_ledger: bool,

    /// Most energy that CMD may use, such as 5kWh: exit with 123 above, and with 122 where its interval
    /// allows both
    #[arg(long, value_name = "ENERGY")]
    pub(crate) max_energy: Option<String>,

    /// Most carbon that it may cause, with that of the hardware, such as 2kg
    #[arg(long, value_name = "MASS")]
    pub(crate) max_carbon: Option<String>,

    /// Do not run CMD where its record cannot be stored; exit with 125 where it was not
    #[arg(long, conflicts_with = "no_ledger")]
    pub(crate) strict: bool,

    /// Write the record as JSON instead of the summary: to standard error, to a file, or to an open
    /// file descriptor
    #[arg(long, value_name = "PATH|fd:N", num_args = 0..=1, require_equals = true,
          default_missing_value = "fd:2")]
    pub(crate) json: Option<String>,

    /// Keep the command's arguments in the record (a ledger cannot forget a secret)
    #[arg(long)]
    pub(crate) record_args: bool,

    #[command(flatten)]
    pub(crate) idle: Idling,

    #[command(flatten)]
    pub(crate) counters: Counters,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}
