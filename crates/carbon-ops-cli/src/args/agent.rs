//! Arguments of `carbon-ops agent`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::settings::Overrides;
use carbon_ops::text::duration;
use clap::Args;

use super::monitor::up_to_a_day;
use super::shared::{Counters, Grid, Idling, Log};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops agent --region DE
  carbon-ops agent --listen off --textfile /var/lib/node_exporter/carbon.prom
  carbon-ops agent --no-records                    # metrics alone

SIGTERM ends the interval that is open, and writes its records; SIGHUP reads the
settings again. What a kill leaves is written by the next start.

Exit code: 0 ended by a signal; 2 could not start, or there was no room for the
state at the end.")]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) grid: Grid,

    /// Power usage effectiveness of the site: a number of at least 1, or cloud-hyperscale, enterprise or
    /// on-premise [default: the configured one, else by the kind of place and machine]
    #[arg(long, value_name = "X")]
    pub(crate) pue: Option<String>,

    /// Length of an interval, of which there is a record per unit of work; by the clock in UTC
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Time between looks
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = tick)]
    pub(crate) tick: Duration,

    /// Part of an interval's energy below which a unit of work has no record of its own, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    pub(crate) min_share: f64,

    /// Ledger directory that takes the records [default: your default ledger]
    #[arg(long, value_name = "DIR", conflicts_with = "no_records")]
    pub(crate) ledger: Option<PathBuf>,

    /// Write no records
    #[arg(long)]
    pub(crate) no_records: bool,

    /// Where metrics are served over HTTP, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = listen)]
    pub(crate) listen: Listen,

    /// File that takes the metrics after each look, replaced in one step
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,

    /// Collector of OpenTelemetry that the metrics are sent to, by OTLP over HTTP: https, or this machine
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// Time between what is sent
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval, requires = "otlp")]
    pub(crate) otlp_every: Duration,

    /// File of headers to send along, one a line, such as Authorization: Bearer ...
    #[arg(long, value_name = "FILE", requires = "otlp")]
    pub(crate) otlp_headers: Option<PathBuf>,

    /// Folder for what must survive a kill [default: agent, beside the default ledger]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

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

impl Agent {
    /// The settings that an option names.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            region: self.grid.region.clone(),
            pue: self.pue.clone(),
            ledger: self.ledger.clone(),
            ..Overrides::default()
        }
    }
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    Off,
    At(SocketAddr),
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    text.parse().map(Listen::At).map_err(|_| "give ADDRESS:PORT, or off".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    up_to_a_day(text, Duration::from_secs(1), "1s")
}

fn tick(text: &str) -> Result<Duration, String> {
    let tick = duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&tick) {
        return Ok(tick);
    }
    Err("it must lie between 100ms and 60s".into())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').parse().ok();
    percent.filter(|percent| (0.0..=100.0).contains(percent)).ok_or("give 0 to 100".into())
}
