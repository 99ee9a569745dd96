//! Arguments of the commands that write records about records.

use std::path::PathBuf;
use std::time::Duration;

use carbon_ops::proof::entry::{CorrectionReason, GapReason, RestatementReason, Scope};
use carbon_ops::text::duration;
use clap::Args;
use jiff::Timestamp;

use super::shared::{AtLedger, one_of, time};

/// Where a record about records goes, and what people should know of it.
#[derive(Debug, Args)]
pub(crate) struct Remark {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// Why, in words for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger show --last 1 --json > 17.json
then edit the file, and
  carbon-ops ledger correct 17 --reason factor --replacement 17.json

Exit code: 0 appended; 2 failed.")]
pub(crate) struct LedgerCorrect {
    /// The record's number, its `seq`: 17 or @17; or that of an earlier correction of it
    #[arg(value_parser = super::shared::entry_number)]
    pub(crate) seq: u64,

    #[command(flatten)]
    pub(crate) remark: Remark,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = one_of(&CorrectionReason::ALL, CorrectionReason::as_str))]
    pub(crate) reason: CorrectionReason,

    /// The record as it should have been, as JSON; the ledger's own members in it are left out
    #[arg(long, value_name = "FILE|-", required_unless_present = "retract")]
    pub(crate) replacement: Option<PathBuf>,

    /// The record does not count; retracting a correction restores what it corrected
    #[arg(long, conflicts_with = "replacement")]
    pub(crate) retract: bool,

    /// The number of the restatement that this is part of
    #[arg(long, value_name = "SEQ")]
    pub(crate) restatement: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger restate --records 1-4096 --reason factor_improvement \\
    --change intensity owid-2023 owid-2024 --total grams 1200 1105 \\
    --period 2025-01-01 2026-01-01

The records keep their values; `ledger correct --reason restatement
--restatement SEQ` gives one of them another value.

Exit code: 0 appended; 2 failed.")]
pub(crate) struct LedgerRestate {
    #[command(flatten)]
    pub(crate) remark: Remark,

    /// The records: FIRST-LAST, or numbers with commas between them
    #[arg(long, value_name = "RECORDS", value_parser = records)]
    pub(crate) records: Scope,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = one_of(&RestatementReason::ALL, RestatementReason::as_str))]
    pub(crate) reason: RestatementReason,

    /// What changed, with its version or value before and after; can be given several times
    #[arg(long, value_names = ["SUBJECT", "BEFORE", "AFTER"], num_args = 3, required = true)]
    pub(crate) change: Vec<String>,

    /// A total of these records before and after; can be given several times
    #[arg(long, value_names = ["NAME", "BEFORE", "AFTER"], num_args = 3)]
    pub(crate) total: Vec<String>,

    /// The reporting period whose figures change
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2, value_parser = time)]
    pub(crate) period: Vec<Timestamp>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  carbon-ops ledger gap --from 2026-11-23T09:00Z --to 2026-11-23T09:30Z \\
    --reason host_off

Exit code: 0 appended; 2 failed.")]
pub(crate) struct LedgerGap {
    #[command(flatten)]
    pub(crate) remark: Remark,

    /// When it began
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Timestamp,

    /// When it ended
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Timestamp,

    /// Why
    #[arg(long, value_name = "REASON", value_parser = one_of(&GapReason::ALL, GapReason::as_str))]
    pub(crate) reason: GapReason,

    /// The host concerned, as its records call it [default: every host]
    #[arg(long, value_name = "HOST_ID")]
    pub(crate) host: Option<String>,

    /// An energy domain concerned, such as package-0; can be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Vec<String>,

    /// The most energy in µJ that can have been used in it
    #[arg(long, value_name = "UJ")]
    pub(crate) bound_uj: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, in a timer that runs every five minutes:
  carbon-ops ledger heartbeat --interval 5m

Exit code: 0 appended; 2 failed.")]
pub(crate) struct LedgerHeartbeat {
    #[command(flatten)]
    pub(crate) at: AtLedger,

    /// The longest time between two entries from here on, up to 744h (31 days); 0s ends the promise
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) interval: Duration,
}

fn records(text: &str) -> Result<Scope, String> {
    let number =
        |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
    if let Some((first, last)) = text.split_once('-') {
        return Ok(Scope::Range { first: number(first)?, last: number(last)? });
    }
    let mut list = text.split(',').map(number).collect::<Result<Vec<u64>, String>>()?;
    list.sort_unstable();
    list.dedup();
    Ok(Scope::List { records: list })
}
