//! Arguments of `carbon-ops compare`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::monitor::positive;
use super::shared::{Counters, Output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops compare -- ./old --- ./new
  carbon-ops compare --margin 1% -n 200 --max-time 1h -- sort a --- sort -S1G a
  git bisect run carbon-ops compare -- /tmp/good/tool in --- ./build-and-run in

A and B run in turn, A B B A, after one run of each that is not counted. It ends
as soon as the interval of the ratio says whether B is worse; that it is looked
at after every second pair is allowed for.

Exit code: 0 B is not worse: more than the margin is out of the question; 1 it
is; 125 cannot tell, or could not measure.")]
pub(crate) struct Compare {
    /// The smallest increase that counts
    #[arg(long, value_name = "PCT", default_value = "3%", value_parser = margin)]
    pub(crate) margin: f64,

    /// Most runs of each that are compared
    #[arg(short = 'n', long, value_name = "N", default_value_t = 40,
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) pairs: u32,

    /// Time after which no further runs are begun, such as 10m
    #[arg(long, value_name = "TIME", value_parser = positive)]
    pub(crate) max_time: Option<Duration>,

    /// Show what the commands print, which is dropped otherwise
    #[arg(long)]
    pub(crate) show_output: bool,

    #[command(flatten)]
    pub(crate) counters: Counters,

    #[command(flatten)]
    pub(crate) output: Output,

    /// The two commands and their arguments, with `---` between them
    #[arg(required = true, trailing_var_arg = true, value_name = "A --- B")]
    pub(crate) commands: Vec<OsString>,
}

fn margin(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err("not a percentage above 0, such as 3%".into()),
    }
}
