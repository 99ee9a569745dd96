//! All that the pipeline runs, in one command for everybody.
//!
//! Every step runs even when an earlier one failed, so that one run shows all there is to mend. What
//! could not be checked on this machine is said aloud in the summary and is never a silent pass.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{figures, fuzz, package, python, soak, tidy, units, wasm};

/// How long each fuzz target runs here; `cargo xtask fuzz-smoke` is for more.
const FUZZ_SECONDS: u32 = 10;

/// What to leave out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// No examples, figures, Python, benchmarks, fuzzing, soak and cargo deny, and samples of long
    /// sets of tests: for the minutes before a commit.
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
    /// Why, as far as a line can say it; the rest stands above.
    Failed(String),
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
    step("test", &|| judged(test(root, options)));
    step("browser", &|| judged(browser(root)));
    step("tidy", &|| judged(tidy::run(root, tidy::Mode::Check).map(|()| Outcome::Passed)));
    step("units", &|| {
        judged(units::run(root).map(|units| match units {
            units::Units::Fine => Outcome::Passed,
            units::Units::NotChecked(what) => Outcome::NotChecked(what),
        }))
    });
    step("doc", &|| {
        let mut command = Command::new("cargo");
        command
            .args(["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings");
        execute(root, &mut command)
    });
    if !options.fast {
        step("soak", &|| short_soak(root));
        step("examples", &|| judged(examples(root)));
        step("figures", &|| {
            judged(figures::run(root, figures::Mode::Check).map(|figures| match figures {
                figures::Figures::Fine => Outcome::Passed,
                figures::Figures::NotChecked(what) => Outcome::NotChecked(what),
            }))
        });
        step("wasm", &|| {
            judged(wasm::run(root, wasm::Mode::Check).map(|found| match found {
                wasm::Outcome::Fine => Outcome::Passed,
                wasm::Outcome::NotChecked(what) => Outcome::NotChecked(what),
            }))
        });
        step("python", &|| {
            judged(python::test(root).map(|python| match python {
                python::Python::Fine => Outcome::Passed,
                python::Python::NotChecked(what) => Outcome::NotChecked(what),
            }))
        });
        step("bench", &|| judged(bench(root)));
        step("fuzz", &|| fuzz(root));
        step("packages", &|| judged(packages(root)));
        step("deny", &|| deny(root));
        step("advisories", &|| advisories(root));
    }
    println!("\n{}", summary(&steps));
    let failed = steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count();
    if failed > 0 {
        bail!("{failed} of {} steps failed", steps.len());
    }
    Ok(())
}

/// Unit, integration and documentation tests; long sets of cases as a whole, but before a commit.
fn test(root: &Path, options: Options) -> Result<Outcome> {
    let mut arguments = ["test", "--workspace", "--all-features"].map(str::to_owned).to_vec();
    if options.tested {
        let metadata = tidy::metadata(root, &["--no-deps"])?;
        let tested = tidy::list(&metadata, "workspace_default_members");
        for package in tidy::list(&metadata, "packages") {
            let ran = package.get("id").is_some_and(|id| tested.contains(id));
            if let (true, Some(name)) = (ran, tidy::string(package, "name")) {
                arguments.extend(["--exclude".to_owned(), name.to_owned()]);
            }
        }
    }
    let mut command = Command::new("cargo");
    command.args(arguments);
    if !options.fast {
        command.env("CARBON_OPS_LONG", "1");
    }
    Ok(execute(root, &mut command))
}

/// What a stranger checks bytes with, built for a browser.
fn browser(root: &Path) -> Result<Outcome> {
    let target = tidy::pure::TARGET;
    if !tidy::pure::is_installed(root)? {
        let what = format!("carbon-ops-proof and -report in a browser: {target} is not installed");
        return Ok(Outcome::NotChecked(what));
    }
    let packages = ["--package", "carbon-ops-proof", "--package", "carbon-ops-report"];
    Ok(cargo(root, &[&["check"], &packages[..], &["--target", target]].concat()))
}

/// Every example, to its end: those of libraries, and the programs in `examples`.
fn examples(root: &Path) -> Result<Outcome> {
    let metadata = tidy::metadata(root, &["--no-deps"])?;
    let folder = root.join("examples");
    for package in tidy::list(&metadata, "packages") {
        let manifest = tidy::string(package, "manifest_path").unwrap_or_default();
        for target in tidy::list(package, "targets") {
            let is = |kind: &str| tidy::list(target, "kind").iter().any(|known| known == kind);
            let flag = if is("example") {
                "--example"
            } else if is("bin") && Path::new(manifest).starts_with(&folder) {
                "--bin"
            } else {
                continue;
            };
            let name = |of| tidy::string(of, "name").unwrap_or_default();
            println!("{}: {}", name(package), name(target));
            let mut command = Command::new("cargo");
            command.args(["run", "--quiet", "--all-features", "--package", name(package)]);
            let outcome = execute(root, command.args([flag, name(target)]).stdout(Stdio::null()));
            if outcome != Outcome::Passed {
                return Ok(outcome);
            }
        }
    }
    Ok(Outcome::Passed)
}

/// A minute of the soak.
fn short_soak(root: &Path) -> Outcome {
    if let Some(why) = soak::obstacle() {
        return Outcome::NotChecked(format!("the governor against the truth: {why}"));
    }
    let soaked =
        soak::Options::parse(&["--seconds", "60"]).and_then(|options| soak::run(root, &options));
    judged(soaked.map(|()| Outcome::Passed))
}

/// Each benchmark once on tiny inputs: that every command which a figure names still works.
fn bench(root: &Path) -> Result<Outcome> {
    let built = ["build", "--bin", "carbon-ops", "--bin", "carbon-governor"];
    match cargo(root, &built) {
        Outcome::Passed => {}
        outcome => return Ok(outcome),
    }
    let metadata = tidy::metadata(root, &["--no-deps"])?;
    let target = tidy::string(&metadata, "target_directory").unwrap_or("target");
    let debug = |name: &str| format!("{target}/debug/{name}");
    let (ours, governor) = (debug("carbon-ops"), debug("carbon-governor"));
    let run = ["run", "--quiet", "--locked", "--manifest-path", "bench/Cargo.toml", "--"];
    let counts = ["--counts", "bench/instructions.tsv"];
    let what = ["all", "--quick", "--binary", &ours, "--governor", &governor];
    let what = [&what[..], &counts].concat();
    Ok(match (cargo(root, &[&run[..], &what].concat()), soak::obstacle()) {
        (Outcome::Passed, Some(why)) => {
            Outcome::NotChecked(format!("those of the governor: {why}"))
        }
        (outcome, _) => outcome,
    })
}

/// Each fuzz target for a moment: that it builds, and that its seeds find nothing.
fn fuzz(root: &Path) -> Outcome {
    if let Some(why) = fuzz::missing() {
        return Outcome::NotChecked(format!("fuzz targets: {why}"));
    }
    judged(fuzz::run(root, FUZZ_SECONDS).map(|()| Outcome::Passed))
}

/// The packages, twice and installed: half an hour, for those who ask for it.
fn packages(root: &Path) -> Result<Outcome> {
    if std::env::var_os("CARBON_OPS_FULL").is_none() {
        return Ok(Outcome::NotChecked("packages: with CARBON_OPS_FULL=1 alone".to_owned()));
    }
    let options = package::Options::parse(&["--check"])?;
    Ok(match package::run(root, &options)? {
        package::Packages::Fine => Outcome::Passed,
        package::Packages::NotChecked(what) => Outcome::NotChecked(what),
    })
}

/// Licences, bans and sources. (`tidy` checks licences too, on machines without cargo deny.)
fn deny(root: &Path) -> Outcome {
    if has_deny(root) {
        return cargo(
            root,
            &["deny", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
        );
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
        Ok(status) => Outcome::Failed(format!("{command:?}: {status}")),
        Err(error) => Outcome::Failed(format!("{command:?}: {error}")),
    }
}

/// What could not be done is a failure.
fn judged(result: Result<Outcome>) -> Outcome {
    result.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed(why) => format!("FAILED: {why}"),
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
        for program in ["false", "no-such-program-anywhere"] {
            let outcome = execute(root, &mut Command::new(program));
            assert!(
                matches!(&outcome, Outcome::Failed(why) if why.contains(program)),
                "{outcome:?}"
            );
        }
    }
}
