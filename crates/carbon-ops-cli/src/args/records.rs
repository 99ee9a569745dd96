//! Arguments of the commands that write records about records.

use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::proof::entry::{CorrectionReason, GapReason, RestatementReason, Scope};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use carbon_ops::text::duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops ledger show --last 1 --json > 17.json   # edit it, then
  carbon-ops ledger correct 17 --reason factor --replacement 17.json")]
pub(crate) struct LedgerCorrect {
    /// The record's number, its `seq`: 17 or @17; or that of an earlier correction of it
    #[arg(value_parser = super::ledger::entry_number)]
    pub(crate) seq: u64,

    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = correction_reason())]
    pub(crate) reason: CorrectionReason,

    /// The record as it should have been, as JSON; the ledger's own members in it are left out
    #[arg(long, value_name = "FILE|-", required_unless_present = "retract")]
    pub(crate) replacement: Option<PathBuf>,

    /// The record does not count; of a correction: what it corrected stands again
    #[arg(long, conflicts_with = "replacement")]
    pub(crate) retract: bool,

    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    /// The number of the restatement that this is part of
    #[arg(long, value_name = "SEQ")]
    pub(crate) restatement: Option<u64>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops ledger restate --records 1-4096 --reason factor_improvement \\
  --change intensity owid-2023 owid-2024 --total grams 1200 1105 \\
  --period 2025-01-01T00:00:00Z 2026-01-01T00:00:00Z
The records keep their values; `ledger correct --reason restatement --restatement SEQ` gives one of them
another.")]
pub(crate) struct LedgerRestate {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// The records: FIRST-LAST, or numbers with commas between them
    #[arg(long, value_name = "RECORDS", value_parser = records)]
    pub(crate) records: Scope,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = restatement_reason())]
    pub(crate) reason: RestatementReason,

    /// What is done otherwise, with its version or value before and after; can be given several times
    #[arg(long, value_names = ["SUBJECT", "BEFORE", "AFTER"], num_args = 3, required = true)]
    pub(crate) change: Vec<String>,

    /// A total of these records before and after; can be given several times
    #[arg(long, value_names = ["NAME", "BEFORE", "AFTER"], num_args = 3)]
    pub(crate) total: Vec<String>,

    /// The reporting period whose figures change
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2)]
    pub(crate) period: Vec<Timestamp>,

    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: carbon-ops ledger gap --from 2026-11-23T09:00:00Z --to 2026-11-23T09:30:00Z --reason host_off")]
pub(crate) struct LedgerGap {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// When it began
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Timestamp,

    /// When it ended
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Timestamp,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = gap_reason())]
    pub(crate) reason: GapReason,

    /// The host that it concerns, as its records call it; all without it
    #[arg(long, value_name = "HOST_ID")]
    pub(crate) host: Option<String>,

    /// An energy domain that it concerns, such as package-0; can be given several times; all without it
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,

    /// The most energy in µJ that can have been used in it
    #[arg(long, value_name = "UJ")]
    pub(crate) bound_uj: Option<u64>,

    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, in a timer that runs every five minutes: carbon-ops ledger heartbeat --interval 5m")]
pub(crate) struct LedgerHeartbeat {
    /// Ledger directory; the default ledger without it
    pub(crate) path: Option<PathBuf>,

    /// The longest time between two entries from here on, up to 744h (31 days); 0s ends the promise
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) interval: Duration,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What cannot be: the words were compared before.
pub(super) const NO_REASON: &str = "no such reason";

fn correction_reason() -> impl TypedValueParser<Value = CorrectionReason> {
    let words = CorrectionReason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(words)
        .try_map(|word| CorrectionReason::from_word(&word).ok_or(NO_REASON))
}

fn restatement_reason() -> impl TypedValueParser<Value = RestatementReason> {
    let words = RestatementReason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(words)
        .try_map(|word| RestatementReason::from_word(&word).ok_or(NO_REASON))
}

fn gap_reason() -> impl TypedValueParser<Value = GapReason> {
    let words = GapReason::ALL.iter().map(|reason| reason.as_str());
    PossibleValuesParser::new(words).try_map(|word| GapReason::from_word(&word).ok_or(NO_REASON))
}

fn records(text: &str) -> Result<Scope, String> {
    let number =
        |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is no number"));
    if let Some((first, last)) = text.split_once('-') {
        return Ok(Scope::Range { first: number(first)?, last: number(last)? });
    }
    let mut list = text.split(',').map(number).collect::<Result<Vec<u64>, String>>()?;
    list.sort_unstable();
    list.dedup();
    Ok(Scope::List(list))
}
