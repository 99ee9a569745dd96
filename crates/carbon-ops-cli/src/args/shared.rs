//! Options that stand in several commands: their names, their words and how they are read, once.
//!
//! Out of scope: which of them depend on options of one command alone; those name these.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use carbon_ops::IdlePolicy;
use carbon_ops::estimate::embodied::{Hardware, Lifetime, Portion};
use carbon_ops::estimate::intensity::instant;
use carbon_ops::identity;
use carbon_ops::record::totals::{Choice, Common};
use carbon_ops::record::{Reserved, Unit};
use carbon_ops::settings::Overrides;
use carbon_ops::sources::Name;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::render::{argument, described};

/// How a report is printed.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How something that runs for long says what happens.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Log {
    /// What standard error is told, as sentences, or as JSON objects: timestamp, level, logger, message, hint
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The ledger that is meant.
#[derive(Debug, Args)]
pub(crate) struct AtLedger {
    /// Ledger directory [default: your default ledger]
    pub(crate) path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Whose signatures are believed.
#[derive(Debug, Args)]
pub(crate) struct Trusted {
    /// Trusted keys: a public key in hex, its fingerprint, or a file with one of these per line
    /// [default: your own keys and those of `keys trust`]
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) trust: Option<String>,
}

/// Who has to have cosigned.
#[derive(Debug, Args)]
pub(crate) struct Quorum {
    /// Policy (C2SP tlog-policy) whose quorum of witnesses must have cosigned the checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

/// What is asked of a whole ledger or of an audit pack.
#[derive(Debug, Args)]
pub(crate) struct Checks {
    #[command(flatten)]
    pub(crate) trusted: Trusted,

    #[command(flatten)]
    pub(crate) quorum: Quorum,

    /// A checkpoint that you kept: the ledger must extend it. Of a ledger, the lines below it are
    /// compared as a whole, and only newer ones are checked one by one
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) since: Option<PathBuf>,

    /// Compute every interval again from the record's inputs, and compare all digits
    #[arg(long)]
    pub(crate) recompute: bool,
}

/// The records to look at.
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// Ledgers, and files with one record per line [default: your default ledger]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) trusted: Trusted,

    /// Count records of simulated sensors, too
    #[arg(long)]
    pub(crate) include_simulated: bool,

    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

/// Which records are meant.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// Only records that began at this time or later: a date (midnight UTC), or a time with its offset
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,

    /// Only records that began before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,

    /// Only records of this zone, host, program or the like: zone=DE, host=ID, source=NAME, program=NAME, unit=NAME,
    /// label:NAME=VALUE, or NAME=VALUE of a label; all of them, where it is given several times
    #[arg(long = "where", value_name = "WHAT=NAME", value_parser = common)]
    pub(crate) common: Vec<Common>,
}

impl Chosen {
    /// The records that are meant.
    pub(crate) fn choice(&self) -> Choice {
        Choice { from: self.from, to: self.to, common: self.common.clone() }
    }
}

fn common(text: &str) -> std::result::Result<Common, String> {
    text.parse().map_err(str::to_owned)
}

/// How Monte Carlo draws.
#[derive(Debug, Args)]
pub(crate) struct Sampling {
    /// Trials of `monte_carlo` [default: 200000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) trials: Option<u64>,

    /// Seed of `monte_carlo`; the result names the one that was used [default: random]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

/// Who gets idle energy.
#[derive(Debug, Args)]
pub(crate) struct Idling {
    /// Who gets the energy that an idle machine would have used: nobody, or everybody who ran
    #[arg(long = "idle-policy", value_name = "IDLE_POLICY", default_value = "residual",
          value_parser = PossibleValuesParser::new(IdlePolicy::ALL.map(IdlePolicy::as_str))
              .map(|word| IdlePolicy::named(&word)))]
    pub(crate) policy: IdlePolicy,
}

/// Which grid, by whom.
#[derive(Debug, Args)]
pub(crate) struct Grid {
    /// Where: a country, state or province (ISO 3166), a cloud region, coordinates, or a provider's
    /// own zone [default: the configured region]
    #[arg(long, visible_alias = "zone", value_name = "ZONE", allow_hyphen_values = true)]
    pub(crate) region: Option<String>,

    /// Provider of grid intensities: `electricity_maps`, watttime, gb, static, egrid or file; can be
    /// given several times, in order of preference [default: those of `providers.order`]
    #[arg(long = "provider", value_name = "NAME", value_parser = provider)]
    pub(crate) providers: Vec<Name>,
}

fn provider(text: &str) -> std::result::Result<Name, String> {
    described(Name::parse(text))
}

/// Which grid, by whom, and whether the network may be asked.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    #[command(flatten)]
    pub(crate) grid: Grid,

    /// Use only what is in the cache
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What was bought.
#[derive(Debug, Args)]
pub(crate) struct Bought {
    /// State the figure by the market (scope 2) as well: certificates, contracts and residual mixes of this
    /// file, CSV or JSON (docs/formats/instruments-v1.md) [default: `market.file`]
    #[arg(long, value_name = "FILE")]
    pub(crate) market: Option<PathBuf>,
}

impl Bought {
    pub(super) fn overrides(&self) -> Overrides {
        Overrides { market: self.market.clone(), ..Overrides::default() }
    }
}

/// How sure an interval is.
#[derive(Debug, Args)]
pub(crate) struct Level {
    /// Coverage probability of the intervals that are shown, in percent [default: 95]; records keep that of 95
    #[arg(long, value_name = "PERCENT", value_parser = level)]
    pub(crate) level: Option<f64>,
}

fn level(text: &str) -> std::result::Result<f64, String> {
    let percent: Option<f64> = text.trim().trim_end_matches('%').trim_end().parse().ok();
    let percent = percent.filter(|percent| (1.0..=99.99).contains(percent));
    let level = percent.map(|percent| percent / 100.0);
    level.ok_or_else(|| format!("{text:?} is not from 1 to 99.99 percent"))
}

/// A span of time.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// Start: a date (midnight UTC), or a time with its offset, such as 2026-03-01T09:00+01:00
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,

    /// End: the first instant after the span
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
}

/// An instant, or the midnight that a date begins with.
pub(super) fn time(text: &str) -> std::result::Result<Timestamp, String> {
    described(instant(text))
}

/// Whose counters are read.
#[derive(Debug, Args)]
pub(crate) struct Counters {
    /// Read this directory instead of the host's powercap class; results are then marked as simulated
    #[arg(long, value_name = "DIR")]
    pub(crate) powercap_root: Option<PathBuf>,
}

/// Labels of a record.
#[derive(Debug, Args)]
pub(crate) struct Labels {
    /// Label for the record; can be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
}

/// Longest label, as the record allows.
const LABEL_BYTES_MAX: usize = 256;

impl Labels {
    /// Each label by its key.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for label in &self.labels {
            let Some((key, value)) = label.split_once('=').filter(|(key, _)| !key.is_empty())
            else {
                bail!("label {label:?} is not of the form KEY=VALUE");
            };
            if key.len().max(value.len()) > LABEL_BYTES_MAX {
                bail!("label {key:?} is longer than {LABEL_BYTES_MAX} bytes");
            }
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                bail!("label {key:?} is given twice");
            }
        }
        if labels.len() > 64 {
            bail!("{} labels are given, and a record takes 64", labels.len());
        }
        Ok(labels)
    }
}

/// What the work is called by its owner.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// What the work is called by its owner, such as job=nightly; can be given several times
    /// [default: what the surroundings tell: a job of Slurm, a pod, a run of a pipeline, …]
    #[arg(long = "unit", value_name = "NAME=ID")]
    pub(crate) unit: Vec<String>,
}

impl Named {
    /// The unit, where one is named.
    pub(crate) fn read(&self) -> Result<Option<Unit>> {
        let mut ids = Vec::new();
        for text in &self.unit {
            let Some(id) = text.split_once('=') else {
                bail!("unit {text:?} is not of the form NAME=ID");
            };
            ids.push(id);
        }
        Ok(identity::manual(ids)?)
    }
}

/// Hardware that a span of time has reserved.
#[derive(Debug, Args)]
pub(crate) struct Reserve {
    /// Hardware reserved for the span, to add the carbon of making it: h100, '8*h100',
    /// 'server(cpus=2, memory=256, ssd=2)', or with a total of your own 'box=1200kg ± 30%'; can be given
    /// several times
    #[arg(long, value_name = "DEVICE[=TOTAL]", value_parser = argument::<Hardware>)]
    pub(crate) embodied: Vec<Hardware>,

    /// Lifetime over which the hardware is written off: 4y (of 8760 h), 1460d, 35040h
    /// [default: usual for the device]
    #[arg(long, value_name = "TIME", requires = "embodied", value_parser = argument::<Lifetime>)]
    pub(crate) life: Option<Lifetime>,

    /// Part of the hardware that the span has: 0.5, 50%, 2/16 [default: all of it]
    #[arg(long, value_name = "PART", requires = "embodied", value_parser = argument::<Portion>)]
    pub(crate) share: Option<Portion>,
}

impl Reserve {
    /// Each piece with its life and share.
    pub(crate) fn list(&self) -> Vec<Reserved> {
        let reserved = self.embodied.iter().map(|hardware| Reserved {
            hardware: hardware.clone(),
            life: self.life.unwrap_or(hardware.life),
            share: self.share.unwrap_or_default(),
        });
        reserved.collect()
    }
}

/// One of the words of an enumeration of the libraries.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let words = all.iter().map(move |each| word(*each));
    PossibleValuesParser::new(words).try_map(move |text| {
        all.iter().copied().find(|each| word(*each) == text).ok_or("no such word")
    })
}

/// The number of an entry, as it is written alone or, as for records, with an `@`.
pub(super) fn entry_number(text: &str) -> std::result::Result<u64, String> {
    let number = text.strip_prefix('@').unwrap_or(text);
    number.parse().map_err(|_| format!("{text:?} is not the number of an entry"))
}
