//! The tables of the documents that no single command prints as they stand there.
//!
//! Each is what an example or a test of a library prints, or is put together from the JSON of commands.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Room, output};

/// The lines of a table.
pub(super) fn named(root: &Path, room: &Room, name: &str) -> Result<String> {
    match name {
        "methods" => methods(room),
        "settings" => settings(room),
        "commands" => commands(room),
        "shared-error" => example(root, "shared_error"),
        "calibration" => test(root, "uncertainty::calibration::"),
        "totals" => test(root, "aggregate::tests::"),
        other => bail!("there is no figure {other}"),
    }
}

/// Each setting with its key, variables, option and default, as `config show` tells them.
fn settings(room: &Room) -> Result<String> {
    let mut show = room.command("carbon-ops");
    let shown: Value = serde_json::from_str(&output(show.args(["config", "show", "--json"]))?)?;
    let settings = shown.get("settings").and_then(Value::as_object).context("no settings")?;
    let home = room.path.join("home").display().to_string();
    let mut table = String::from(
        "| Key in the file | Variables | Option | Default | What it is for |\n|---|---|---|---|---|\n",
    );
    let mut settings: Vec<_> = settings.iter().collect();
    settings.sort_by_key(|(name, _)| !name.contains('.'));
    for (name, setting) in settings {
        let text = |member: &str| setting.get(member).and_then(Value::as_str).unwrap_or_default();
        let variables = setting.get("variables").and_then(Value::as_array).into_iter().flatten();
        let variables: Vec<_> =
            variables.filter_map(|name| Some(format!("`{}`", name.as_str()?))).collect();
        let quoted = |text: &str| match text {
            "" => String::new(),
            text => format!("`{}`", text.replace(&home, "~")),
        };
        let key = if variables.contains(&quoted(name)) { String::new() } else { quoted(name) };
        let default = Some(quoted(text("default"))).filter(|text| !text.is_empty());
        writeln!(
            table,
            "| {key} | {} | {} | {} | {} |",
            variables.join(", "),
            quoted(text("flag")),
            default.as_deref().unwrap_or(text("unset")),
            text("about"),
        )?;
    }
    Ok(table)
}

/// What `--help` says of the command and of all below it, one after the other.
fn commands(room: &Room) -> Result<String> {
    let mut page = String::new();
    let mut left = vec![String::new()];
    while let Some(verbs) = left.pop() {
        let mut help = room.command("carbon-ops");
        help.args(verbs.split_whitespace()).arg("--help").env("COLUMNS", "80");
        let text = output(&mut help)?;
        let named = format!("carbon-ops {verbs}");
        writeln!(page, "## {}\n\n```text\n{}\n```\n", named.trim_end(), text.trim_end())?;
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| !line.is_empty());
        let mut below: Vec<String> = listed
            .filter_map(|line| line.strip_prefix("  ")?.split_once(' '))
            .filter(|(name, _)| !name.is_empty() && *name != "help")
            .map(|(name, _)| format!("{verbs} {name}").trim_start().to_owned())
            .collect();
        below.reverse();
        left.extend(below);
    }
    Ok(page)
}

/// What an example of the estimate library prints.
fn example(root: &Path, name: &str) -> Result<String> {
    let arguments = ["run", "--quiet", "--package", "carbon-ops-record", "--example", name];
    output(Command::new("cargo").args(arguments).current_dir(root))
}

/// The rows of a table that a module of tests of the estimate library prints.
fn test(root: &Path, module: &str) -> Result<String> {
    let arguments = ["test", "--quiet", "--package", "carbon-ops-estimate", "--lib", module];
    let mut command = Command::new("cargo");
    command.args(arguments).args(["--", "--nocapture", "--test-threads=1"]).current_dir(root);
    let text = output(&mut command)?;
    let rows: Vec<&str> =
        text.lines().filter_map(|line| line.find('|').and_then(|at| line.get(at..))).collect();
    ensure!(!rows.is_empty(), "the tests in {module} print no table");
    Ok(rows.join("\n"))
}

/// Spans whose intervals are computed both ways: what they are, and the arguments of `carbon-ops estimate`,
/// one a word.
const CASES: [(&str, &str); 4] = [
    (
        "PUE truncated, grid lognormal",
        "--energy|1.2kWh|--pue|tn(1.55, 0.2, min=1)|--intensity|ln(400, 10%)",
    ),
    (
        "normal, truncated, uniform",
        "--energy|1.2kWh ± 2%|--pue|tn(1.2, 0.05, min=1)|--intensity|u(300, 500)",
    ),
    ("wide and skewed", "--energy|ln(1.2, 50%)kWh|--pue|u(1.1, 2)|--intensity|tn(465, 242, min=0)"),
    (
        "three days of hours, with gaps",
        "--energy|3kWh|--from|2026-03-01|--to|2026-03-04|--zone|file:my-site|--provider|file",
    ),
];

/// Closed form against Monte Carlo with a million trials: its own scatter is what differs, if both are right.
fn methods(room: &Room) -> Result<String> {
    let mut table =
        String::from("| Span | Grams | | u, % | Low, g | High, g |\n|---|---|---|---|---|---|\n");
    for (name, arguments) in CASES {
        let closed = Numbers::of(room, arguments, &[])?;
        let method = ["--method", "monte_carlo", "--trials", "1000000", "--seed", "1"];
        let sampled = Numbers::of(room, arguments, &method)?;
        ensure!(
            (closed.method.as_str(), sampled.method.as_str())
                == ("analytical_truncated", "monte_carlo")
        );
        let difference = |of: fn(&Numbers) -> f64| 100.0 * (of(&sampled) / of(&closed) - 1.0);
        writeln!(
            table,
            "| {name} | {:.1} | closed form | {:.2} | {:.1} | {:.1} |\n\
             | | | Monte Carlo | {:.2} | {:.1} | {:.1} |\n\
             | | | difference | {} | {} | {} |",
            closed.grams,
            closed.u,
            closed.low,
            closed.high,
            sampled.u,
            sampled.low,
            sampled.high,
            signed(difference(|numbers| numbers.u)),
            signed(difference(|numbers| numbers.low)),
            signed(difference(|numbers| numbers.high)),
        )?;
    }
    Ok(table)
}

/// A difference in percent, with the sign that typography has.
fn signed(percent: f64) -> String {
    format!("{percent:+.2} %").replace('-', "−")
}

/// What a record says of its result.
struct Numbers {
    method: String,
    grams: f64,
    u: f64,
    low: f64,
    high: f64,
}

impl Numbers {
    fn of(room: &Room, arguments: &str, method: &[&str]) -> Result<Self> {
        let mut command = room.command("carbon-ops");
        command.env("CARBON_OPS_CARBON_INTENSITY_FILE", "testdata/intensity/synthetic.csv");
        command.arg("estimate").args(arguments.split('|')).args(method).arg("--json");
        let record: Value = serde_json::from_str(&output(&mut command)?)?;
        let at = |path: &str| record.pointer(path).with_context(|| format!("no {path}"));
        let number =
            |path: &str| at(path)?.as_f64().with_context(|| format!("{path} is no number"));
        Ok(Self {
            method: at("/meta/method")?.as_str().unwrap_or_default().to_owned(),
            grams: number("/grams")?,
            u: number("/uncertainty_pct")?,
            low: number("/meta/ci_lower_g")?,
            high: number("/meta/ci_upper_g")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_its_sign() {
        assert_eq!(signed(0.123), "+0.12 %");
        assert_eq!(signed(-0.5), "−0.50 %");
    }
}
