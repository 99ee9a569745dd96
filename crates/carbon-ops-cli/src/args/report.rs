//! Arguments of `report`.

use std::path::PathBuf;

use carbon_ops::record::totals::GroupBy;
use carbon_ops_report::forms::Form;
use clap::Args;

use super::shared::{Bought, Output, Records};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  carbon-ops report --from 2026-10-01 --to 2026-11-01 --by program
  carbon-ops report --where team=a --html october.html
  carbon-ops report --html year.html --excerpt   # small; year.html.pack proves
  carbon-ops report --judge judge.html       # a page that judges such files
  carbon-ops report --as cyclonedx --about name=bert --about activity=training

A record belongs to the period in which it began, whole. The page has its
ledger inside and a judge; its reader enters the fingerprint of the key, which
`carbon-ops keys show` prints, and needs no network. docs/report.md says more.

Exit code: 0 done; 1 there are no records; 2 failed, or a ledger is not valid.")]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) records: Records,

    /// One sum for each: all, day or month (in UTC), unit, host, zone, program, source, scope, precision, or
    /// label:NAME
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) by: GroupBy,

    #[command(flatten)]
    pub(crate) bought: Bought,

    /// Write a page with charts and records that proves itself in its reader's browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// With --html: show and prove the records with the largest emissions alone, state the sums, and write all
    /// entries beside the page, as FILE.pack; above 100,000 entries it is always so
    #[arg(long, requires = "html")]
    pub(crate) excerpt: bool,

    /// Write a page that judges reports and audit packs of others, and nothing else
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub(crate) judge: Option<PathBuf>,

    /// Print in a form of others: esrs-e1, pact, cyclonedx, or spdx
    #[arg(long = "as", value_name = "FORM", conflicts_with = "html")]
    pub(crate) form: Option<Form>,

    /// What records do not say and a form asks for: a name or a version; for several, repeat it
    #[arg(long, value_name = "NAME=VALUE", requires = "form")]
    pub(crate) about: Vec<String>,

    #[command(flatten)]
    pub(crate) output: Output,

    /// Print the sums as CSV
    #[arg(long, conflicts_with_all = ["json", "form"])]
    pub(crate) csv: bool,

    /// Print as Markdown
    #[arg(long, conflicts_with_all = ["json", "csv", "form"])]
    pub(crate) md: bool,
}
