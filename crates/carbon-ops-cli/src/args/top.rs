//! Arguments of `carbon-ops top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::monitor::{Sort, up_to_a_day};
use super::shared::{Counters, Grid, Idling};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops top
  carbon-ops top --tree --sort memory
  ssh -t web-7 carbon-ops top --interval 5s

Exit code: 0 at the end, by q, Ctrl-C or a signal; 2 without a terminal.")]
pub(crate) struct Top {
    /// Time between samples, such as 500ms, 2s or 1m; 100ms to 1 day
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Sort::Energy)]
    pub(crate) sort: Sort,

    /// Processes below what their owner calls the work: a job of Slurm, a pod, a container, a unit of systemd
    #[arg(long)]
    pub(crate) tree: bool,

    #[command(flatten)]
    pub(crate) grid: Grid,

    /// Power usage effectiveness of the site: a number of at least 1, or cloud-hyperscale, enterprise or
    /// on-premise [default: the configured one, else by the kind of place and machine]
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

    #[command(flatten)]
    pub(crate) idle: Idling,

    /// Totals of the governor at this socket, which has to answer
    #[arg(long, value_name = "SOCKET", conflicts_with = "powercap_root")]
    pub(crate) host: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) counters: Counters,

    /// Folder that stands in for the machine: for tests
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) host_root: Option<PathBuf>,
}

/// Shorter than anybody sees.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    up_to_a_day(text, INTERVAL_MIN, "100ms")
}
