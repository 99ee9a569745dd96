//! All that the pipeline runs, in one command for everybody.
//!
//! Every step runs even when an earlier one failed, so that one run shows all there is to mend. What
//! could not be checked on this machine is said aloud in the summary and is never a silent pass.

use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{figures, fuzz, soak, tidy, units};

/// How long each fuzz target runs here; `cargo xtask fuzz-smoke` is for more.
const FUZZ_SECONDS: u32 = 10;

/// What to leave out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// No documentation, no figures, no benchmarks, no fuzzing and no cargo deny: for the minutes before a commit.
    fast: bool,
    /// The default members were tested by a plain `cargo test` just before.
    tested: bool,
}

impl Options {
    pub(crate) fn parse(flags: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for flag in flags {
            match *flag {
                "--fast" => options.fast = true,
                "--tested" => options.tested = true,
                other => bail!("cargo xtask ci knows no {other}"),
            }
        }
        Ok(options)
    }
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// What was not checked, and why.
    NotChecked(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

pub(crate) fn run(root: &Path, options: Options) -> Result<()> {
    let mut steps = Vec::new();
    let mut step = |name: &'static str, run: &dyn Fn() -> Outcome| {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = run();
        let took = start.elapsed();
        println!("<== {name}: {}, {:.1} s", said(&outcome), took.as_secs_f64());
        steps.push(Step { name, outcome, took });
    };
    step("fmt", &|| cargo(root, &["fmt", "--all", "--check"]));
    step("clippy", &|| {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        cargo(root, &[&all[..], &["--", "-D", "warnings"]].concat())
    });
    step("test", &|| test(root, options));
    step("tidy", &|| match tidy::run(root, tidy::Mode::Check) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    });
    step("units", &|| match units::run(root) {
        Ok(units::Units::Fine) => Outcome::Passed,
        Ok(units::Units::NotChecked(what)) => Outcome::NotChecked(what),
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    });
    if !options.fast {
        step("soak", &|| short_soak(root));
        step("doc", &|| {
            let mut command = Command::new("cargo");
            command
                .args(["doc", "--workspace", "--no-deps", "--all-features"])
                .env("RUSTDOCFLAGS", "-D warnings");
            execute(root, &mut command)
        });
        step("figures", &|| match figures::run(root, figures::Mode::Check) {
            Ok(figures::Figures::Fine) => Outcome::Passed,
            Ok(figures::Figures::NotChecked(what)) => Outcome::NotChecked(what),
            Err(error) => {
                eprintln!("error: {error:#}");
                Outcome::Failed
            }
        });
        step("bench", &|| bench(root));
        step("fuzz", &|| fuzz(root));
        step("deny", &|| deny(root));
        step("advisories", &|| advisories(root));
    }
    println!("\n{}", summary(&steps));
    let failed = steps.iter().filter(|step| step.outcome == Outcome::Failed).count();
    if failed > 0 {
        bail!("{failed} of {} steps failed", steps.len());
    }
    Ok(())
}

/// Unit, integration and documentation tests.
fn test(root: &Path, options: Options) -> Outcome {
    let mut arguments = ["test", "--workspace", "--all-features"].map(str::to_owned).to_vec();
    if options.tested {
        let metadata = match tidy::metadata(root, &["--no-deps"]) {
            Ok(metadata) => metadata,
            Err(error) => {
                eprintln!("error: {error:#}");
                return Outcome::Failed;
            }
        };
        let tested = tidy::list(&metadata, "workspace_default_members");
        for package in tidy::list(&metadata, "packages") {
            let ran = package.get("id").is_some_and(|id| tested.contains(id));
            if let (true, Some(name)) = (ran, tidy::string(package, "name")) {
                arguments.extend(["--exclude".to_owned(), name.to_owned()]);
            }
        }
    }
    cargo(root, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A minute of the soak.
fn short_soak(root: &Path) -> Outcome {
    if let Some(why) = soak::obstacle() {
        return Outcome::NotChecked(format!("the governor against the truth: {why}"));
    }
    let soaked =
        soak::Options::parse(&["--seconds", "60"]).and_then(|options| soak::run(root, &options));
    match soaked {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    }
}

/// Each benchmark once on tiny inputs: that every command which a figure names still works.
fn bench(root: &Path) -> Outcome {
    let built = ["build", "--bin", "carbon-ops", "--bin", "carbon-governor"];
    if cargo(root, &built) != Outcome::Passed {
        return Outcome::Failed;
    }
    let target = match tidy::metadata(root, &["--no-deps"]) {
        Ok(metadata) => tidy::string(&metadata, "target_directory").map(str::to_owned),
        Err(error) => {
            eprintln!("error: {error:#}");
            return Outcome::Failed;
        }
    };
    let debug = |name: &str| format!("{}/debug/{name}", target.as_deref().unwrap_or("target"));
    let (ours, governor) = (debug("carbon-ops"), debug("carbon-governor"));
    let run = ["run", "--quiet", "--locked", "--manifest-path", "bench/Cargo.toml", "--"];
    let what = ["all", "--quick", "--binary", &ours, "--governor", &governor];
    match (cargo(root, &[&run[..], &what].concat()), soak::obstacle()) {
        (Outcome::Passed, Some(why)) => {
            Outcome::NotChecked(format!("those of the governor: {why}"))
        }
        (outcome, _) => outcome,
    }
}

/// Each fuzz target for a moment: that it builds, and that its seeds find nothing.
fn fuzz(root: &Path) -> Outcome {
    if let Some(why) = fuzz::missing() {
        return Outcome::NotChecked(format!("fuzz targets: {why}"));
    }
    match fuzz::run(root, FUZZ_SECONDS) {
        Ok(()) => Outcome::Passed,
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    }
}

/// Licences, bans and sources. (`tidy` checks licences too, on machines without cargo deny.)
fn deny(root: &Path) -> Outcome {
    if has_deny(root) {
        return cargo(root, &["deny", "check", "licenses", "bans", "sources"]);
    }
    Outcome::NotChecked("bans and sources: cargo-deny is not installed".to_owned())
}

/// Known vulnerabilities, where the database of advisories can be fetched.
fn advisories(root: &Path) -> Outcome {
    if !has_deny(root) {
        return Outcome::NotChecked("advisories: cargo-deny is not installed".to_owned());
    }
    if cargo(root, &["deny", "fetch", "db"]) != Outcome::Passed {
        return Outcome::NotChecked("advisories: the database cannot be fetched".to_owned());
    }
    cargo(root, &["deny", "check", "--disable-fetch", "advisories"])
}

/// Whether there is a cargo deny. A pipeline (`CI` is set) tries once to install it.
fn has_deny(root: &Path) -> bool {
    static TRIED: Once = Once::new();
    let answers = || {
        let output = Command::new("cargo").args(["deny", "--version"]).current_dir(root).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !answers() && std::env::var_os("CI").is_some() {
        TRIED.call_once(|| {
            cargo(root, &["install", "cargo-deny", "--locked"]);
        });
    }
    answers()
}

fn cargo(root: &Path, arguments: &[&str]) -> Outcome {
    execute(root, Command::new("cargo").args(arguments))
}

fn execute(root: &Path, command: &mut Command) -> Outcome {
    match command.current_dir(root).status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(_) => Outcome::Failed,
        Err(error) => {
            eprintln!("error: {command:?}: {error}");
            Outcome::Failed
        }
    }
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed => "FAILED".to_owned(),
        Outcome::NotChecked(what) => format!("NOT CHECKED: {what}"),
    }
}

fn summary(steps: &[Step]) -> String {
    let line = |step: &Step| {
        format!("{:<12}{:>7.1} s  {}", step.name, step.took.as_secs_f64(), said(&step.outcome))
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_flags_are_refused() {
        assert!(Options::parse(&["--fast", "--tested"]).is_ok_and(|o| o.fast && o.tested));
        assert!(Options::parse(&["--quick"]).is_err());
    }

    #[test]
    fn the_summary_names_what_was_not_checked() {
        let outcome = Outcome::NotChecked("advisories: no network".to_owned());
        let steps = [Step { name: "deny", outcome, took: Duration::from_millis(1500) }];
        assert_eq!(summary(&steps), "deny            1.5 s  NOT CHECKED: advisories: no network");
    }

    #[test]
    fn a_command_that_fails_or_does_not_exist_is_a_failure() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(cargo(root, &["--version"]), Outcome::Passed);
        assert_eq!(execute(root, &mut Command::new("false")), Outcome::Failed);
        assert_eq!(execute(root, &mut Command::new("no-such-program-anywhere")), Outcome::Failed);
    }
}
