//! Pictures of a report's page for the documents: a month of made-up records, as a browser shows it.
//!
//! Rule: no check compares them, since keys and browsers differ; one command makes all of them anew.
//!
//! Out of scope: pictures that commands print (`figures`).

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// What is shown how: its file, columns and lines of pixels, and whether it is dark.
const SHOTS: [(&str, u32, u32, bool); 3] = [
    ("docs/report.png", 1000, 1150, false),
    ("docs/report-dark.png", 1000, 1150, true),
    ("docs/report-phone.png", 390, 844, false),
];

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--package", "carbon-ops-cli"]).current_dir(root);
    ensure!(build.status().context("running cargo build")?.success(), "the command was not built");
    let home = root.join("target/shots");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("spans.csv"), spans()?)?;
    let carbon_ops =
        |arguments: &[&str], input: Option<&str>, output: Option<&str>| -> Result<()> {
            let mut command = Command::new(root.join("target/debug/carbon-ops"));
            command.args(arguments).current_dir(&home).env_clear().env("HOME", &home);
            command.stdin(match input {
                Some(name) => File::open(home.join(name))?.into(),
                None => Stdio::null(),
            });
            command.stdout(match output {
                Some(name) => File::create(home.join(name))?.into(),
                None => Stdio::null(),
            });
            ensure!(command.status()?.success(), "carbon-ops {}", arguments.join(" "));
            Ok(())
        };
    carbon_ops(&["estimate", "--records", "--region", "DE"], Some("spans.csv"), Some("records"))?;
    carbon_ops(&["ledger", "init", "ledger"], None, None)?;
    carbon_ops(&["ledger", "append", "ledger"], Some("records"), None)?;
    carbon_ops(&["ledger", "checkpoint", "ledger"], None, None)?;
    let report = ["report", "ledger", "--by", "label:team", "--html", "page.html", "--json"];
    carbon_ops(&report, None, Some("report.json"))?;
    let told: Value = serde_json::from_reader(File::open(home.join("report.json"))?)?;
    let key = told.pointer("/verified/0/genesis_key").context("the report names no key")?;
    let script = root.join("crates/carbon-ops-report/tests/page/browser.js");
    for (file, width, height, dark) in SHOTS {
        let order = json!({ "url": format!("file://{}", home.join("page.html").display()), "known": [key],
            "width": width, "height": height, "dark": dark, "shot": root.join(file) });
        let mut node = Command::new("node");
        node.arg(&script).arg("chromium").arg(order.to_string());
        ensure!(node.status().context("running node")?.success(), "{file} was not made");
    }
    Ok(())
}

/// March 2026, hour by hour: three hosts of two teams, busier on working days.
fn spans() -> Result<String> {
    let mut text = String::from("start,end,energy_kwh,host,label.team\n");
    for hour in 0..31 * 24_u32 {
        let (day, of_day) = (hour / 24, hour % 24);
        // The first of March 2026 is a Sunday.
        let is_busy = !matches!(day % 7, 0 | 6) && (8..18).contains(&of_day);
        let wh = 180 + 40 * (hour % 5) + if is_busy { 350 } else { 0 };
        let host = hour % 3;
        let team = if host == 0 { "training" } else { "search" };
        let time = |minute| format!("2026-03-{:02}T{of_day:02}:{minute:02}Z", day + 1);
        writeln!(text, "{},{},{:.3},host-{host},{team}", time(0), time(59), f64::from(wh) / 1e3)?;
    }
    Ok(text)
}
