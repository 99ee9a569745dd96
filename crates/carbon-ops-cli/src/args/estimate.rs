//! Arguments of `carbon-ops estimate`.

use std::path::PathBuf;

use carbon_ops::estimate::span::Missing;
use carbon_ops::record::Deployment;
use carbon_ops::record::FunctionalUnit;
use clap::{Args, ValueEnum};

use super::shared::{Bought, Labels, Level, Named, Output, Reserve, Sampling, Sources, Times};
use crate::render::argument;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops estimate --zone DE --energy 1.2kWh \\
      --from 2026-03-01 --to 2026-03-02
  carbon-ops estimate --zone US-CA --power '50W ± 10%' \\
      --from 2026-03-01 --to 2026-03-02
  carbon-ops estimate --energy '1.2kWh ± 2%' --pue 'tn(1.2, 0.05, min=1)' \\
      --intensity 'ln(400, 10%)' --method monte_carlo --trials 1000000 --json
  carbon-ops estimate --zone DE --energy 3kWh \\
      --from 2026-03-01 --to 2026-03-02 --functional-unit 90:job \\
      --embodied '8*h100' --embodied 'server(cpus=2, memory=1024)' --share 1/2
  carbon-ops estimate --zone DE --energy 3kWh \\
      --from 2026-03-01 --to 2026-03-02 \\
      --provider electricity_maps --upstream --ledger ledger
  carbon-ops estimate < spans.ndjson > rows.ndjson
  carbon-ops estimate --recompute ledger:17

A line of a stream has start, end, an energy such as energy_kwh or a power_w,
and where you like zone, pue, id, host and labels.

A value may be exact (1.2), normal (1.2 ± 2%, n(1.2, 0.024)), truncated normal
(tn(1.2, 0.05, min=1)), lognormal (ln(400, 10%)), uniform (u(1, 1.4)), or one of
the other shapes of docs/method.md.

Exit code: 0 done, or the same numbers again; 1 lines were skipped or there were
none, or the numbers differ; 2 failed, or a provider's answer that the record
was priced with is not kept any more.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Estimate {
    /// Energy with its unit and, if you like, its distribution; without it, spans are read from standard
    /// input
    #[arg(long, value_name = "ENERGY", allow_hyphen_values = true)]
    pub(crate) energy: Option<String>,

    /// Mean power over the span with its unit and, if you like, its distribution, instead of an energy
    #[arg(long, value_name = "POWER", allow_hyphen_values = true, conflicts_with = "energy")]
    pub(crate) power: Option<String>,

    #[command(flatten)]
    pub(crate) times: Times,

    #[command(flatten)]
    pub(crate) sources: Sources,

    /// Grid intensity in g/kWh, instead of that of a zone
    #[arg(long, value_name = "INTENSITY", allow_hyphen_values = true)]
    pub(crate) intensity: Option<String>,

    /// Power usage effectiveness (PUE) of the site: a number of at least 1, a distribution, or
    /// cloud-hyperscale, enterprise, on-premise
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) pue: Option<String>,

    /// Who owns the machines, which decides on scope and category: own, colocation, cloud, product
    #[arg(long, value_name = "WHO", value_parser = argument::<Deployment>)]
    pub(crate) deployment: Option<Deployment>,

    /// Make two records of a span: what the power stations emit (scope 2, by location), and what is
    /// upstream of them (scope 3, category 3); the provider must have direct and life-cycle intensities
    #[arg(long, conflicts_with_all = ["intensity", "buckets", "functional_unit"])]
    pub(crate) upstream: bool,

    #[command(flatten)]
    pub(crate) bought: Bought,

    #[command(flatten)]
    pub(crate) hardware: Reserve,

    /// Score per functional unit after ISO/IEC 21031 (SCI): how many of what, such as 1000:request
    #[arg(long, value_name = "N:UNIT", value_parser = argument::<FunctionalUnit>)]
    pub(crate) functional_unit: Option<FunctionalUnit>,

    /// How to price time without a slot: step, interpolate, drop
    #[arg(long, value_name = "POLICY", value_parser = argument::<Missing>)]
    pub(crate) missing: Option<Missing>,

    /// How the interval is computed
    #[arg(long, value_enum, default_value_t = EstimateMethod::Analytical)]
    pub(crate) method: EstimateMethod,

    #[command(flatten)]
    pub(crate) sampling: Sampling,

    #[command(flatten)]
    pub(crate) level: Level,

    /// Instead of a number of trials: go on until so many digits of the standard uncertainty are stable
    #[arg(long, value_name = "DIGITS", conflicts_with = "trials",
          value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) adaptive: Option<u8>,

    /// The shortest interval instead of the symmetric one, with `monte_carlo`
    #[arg(long)]
    pub(crate) shortest: bool,

    /// Your own name for the span
    #[arg(long, value_name = "NAME", requires = "energy")]
    pub(crate) id: Option<String>,

    /// The host that used the energy
    #[arg(long, value_name = "NAME", requires = "energy")]
    pub(crate) host: Option<String>,

    #[command(flatten)]
    pub(crate) labels: Labels,

    #[command(flatten)]
    pub(crate) named: Named,

    /// Sign the records and store them in this ledger
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// Of a stream, print full records instead of compact rows
    #[arg(long, conflicts_with_all = ["energy", "ledger"])]
    pub(crate) records: bool,

    /// How the stream is written
    #[arg(long, value_enum, default_value_t = InputFormat::Auto, conflicts_with = "energy")]
    pub(crate) format: InputFormat,

    /// What to do with a bad line of the stream: stop there, or name it and go on
    #[arg(long, value_enum, default_value_t = OnError::Stop, conflicts_with = "energy")]
    pub(crate) on_error: OnError,

    /// Print the span also in buckets, aligned to the clock in UTC (`interpolation.bucket_minutes`)
    #[arg(long, requires_all = ["energy", "from"], conflicts_with_all = ["json", "intensity"])]
    pub(crate) buckets: bool,

    /// Compute the numbers of a record again: a file with one record, LEDGER:SEQ, or SEQ of the default
    /// ledger
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["energy", "records", "ledger"])]
    pub(crate) recompute: Option<String>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// How an interval is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum EstimateMethod {
    /// Quadrature: deterministic
    #[value(alias = "analytical_truncated")]
    Analytical,
    /// Sampling after JCGM 101
    MonteCarlo,
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// JSON where it begins with a brace, else CSV
    Auto,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a heading
    Csv,
}

/// What becomes of a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    Stop,
    Skip,
}
