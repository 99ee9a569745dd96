//! The dashboard and the alerts in `packaging`, written by the crate that knows the metrics.
//!
//! Out of scope: what is in them (`carbon-ops-export`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

pub(crate) fn run(root: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "carbon-ops-export", "--example", "dashboards"]);
    let status = command.arg("--").args(more).current_dir(root).status();
    ensure!(status.context("running cargo")?.success(), "the dashboards are not as they should be");
    Ok(())
}
