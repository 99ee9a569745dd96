//! Arguments of `carbon-ops monitor`.

use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::text::duration;
use clap::{Args, ValueEnum};

use super::shared::{Counters, Grid, Idling, Log};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(after_help = "\
Examples:
  carbon-ops monitor --all                # the 20 processes that use most
  carbon-ops monitor --unit nginx --interval 10s
  carbon-ops monitor --pid 4711 --json --duration 1m > samples.ndjson

Exit code: 0 at the end, also by Ctrl-C or when the process ends; 2 when there
is nothing to watch.")]
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

    #[command(flatten)]
    pub(crate) grid: Grid,

    /// Power usage effectiveness of the site: a number of at least 1, or cloud-hyperscale, enterprise or
    /// on-premise [default: the configured one, else by the kind of place and machine]
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

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

    /// What a row is, with --all; a unit is what its owner calls the work: a job of Slurm, a pod, a
    /// container, a unit of systemd
    #[arg(long, value_enum, default_value_t = By::Process)]
    pub(crate) by: By,

    #[command(flatten)]
    pub(crate) idle: Idling,

    #[command(flatten)]
    pub(crate) counters: Counters,

    #[command(flatten)]
    pub(crate) log: Log,

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

/// Shortest interval: the tick of most kernels' busy time.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Longest interval, and longer than anybody watches.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("it must be above zero".into()) } else { Ok(duration) }
}

fn interval(text: &str) -> Result<Duration, String> {
    up_to_a_day(text, INTERVAL_MIN, "10ms")
}

/// A time from so much up to a day.
pub(super) fn up_to_a_day(text: &str, least: Duration, named: &str) -> Result<Duration, String> {
    let time = positive(text)?;
    if (least..=INTERVAL_MAX).contains(&time) {
        return Ok(time);
    }
    Err(format!("it must lie between {named} and 1 day (24h)"))
}
