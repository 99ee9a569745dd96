//! The project's own automation: `cargo xtask ci`, `tidy`, `tables`, `priors`, `pack`, `figures`, `dashboards`, `wasm`, `shots`, `sizes`,
//! `fuzz-smoke`, `python`, `package`, `wheel` and `soak`.
//!
//! Nothing here is shipped. It stays on few dependencies, so that it compiles in seconds, and asks
//! nothing of the machine but cargo and git.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: what it prints is what it is for"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod ci;
mod dashboards;
mod figures;
mod fuzz;
mod pack;
mod package;
mod priors;
mod python;
mod shots;
mod sizes;
mod soak;
mod tables;
mod tidy;
mod units;
mod wasm;

const USAGE: &str = "usage: cargo xtask <command>

  ci [--fast] [--tested]     all that the pipeline runs; --fast leaves out the documentation, examples, figures, benchmarks,
                             fuzzing, soak and cargo deny, and tries samples of long sets of tests, --tested leaves out the
                             tests of the default members (`cargo test` ran before)
  tidy [--bless]             the rules that no compiler checks; --bless takes the governor's dependencies as they are
  tables --packages FOLDER [--check]
                             rebuilds the data tables from the wheels of codecarbon 3.3.2 and carbontracker 2.4.7, and tells what
                             changed; --check compares only
  pack --yearly FILE         a data pack of Electricity Maps' yearly averages (ODbL, no part of the program), to
                             standard output, from yearly_YEAR.js of the npm package @tgwf/co2
  priors [--hourly FILE] [--packages FOLDER] [--check]
                             tests how far yearly averages are off, on the yearly values of @tgwf/co2 0.19.0; with hours,
                             also writes the spreads that ship; --check compares only
  figures [--check]          makes anew what the documents show: outputs of commands, tables, pictures; --check
                             compares only
  dashboards [--check]       writes the dashboard for Grafana and the alerts for Prometheus, from the table beside the names of
                             metrics; --check compares only
  wasm [--check]             builds the judge of reports for a browser, whose bytes are committed; --check compares only
  shots                      pictures of a report's page in docs (needs node and chromium)
  sizes [FOLDER]             lines of code by crate, of this checkout or of the one in a folder
  fuzz-smoke [--seconds N]   runs each fuzz target for a minute, or for N seconds
  python                     builds the native half of the Python package and tries the package with this machine's Python
  package [--out FOLDER] [--check]
                             the Debian package, tarballs, static programs and their SBOMs, in target/packages/out; --check makes
                             them again from another folder, compares the bytes, and installs, upgrades, removes and
                             purges the package (needs root, lintian and debootstrap)
  wheel                      builds the wheel with the command in it, in target/wheels (needs maturin)

  soak [--seconds N] [--seed N] [--binary PATH]
                             the governor on simulated hosts, with kills, stops, faults and hostile clients, against
                             the truth (600 s; needs root and /dev/fuse)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match words.as_slice() {
        ["ci", flags @ ..] => ci::Options::parse(flags).and_then(|options| ci::run(&root, options)),
        ["soak", flags @ ..] => {
            soak::Options::parse(flags).and_then(|options| soak::run(&root, &options))
        }
        // The clients of a soak.
        [soak::hostile::COMMAND, words @ ..] => soak::hostile::run(words),
        ["tidy"] => tidy::run(&root, tidy::Mode::Check),
        ["tidy", "--bless"] => tidy::run(&root, tidy::Mode::Bless),
        ["figures"] => figures::run(&root, figures::Mode::Write).map(drop),
        ["figures", "--check"] => figures::run(&root, figures::Mode::Check).map(drop),
        ["dashboards"] => dashboards::run(&root, &["--write"]),
        ["dashboards", "--check"] => dashboards::run(&root, &[]),
        ["wasm"] => wasm::run(&root, wasm::Mode::Write).map(tell),
        ["wasm", "--check"] => wasm::run(&root, wasm::Mode::Check).map(tell),
        ["shots"] => shots::run(&root),
        ["sizes"] => sizes::run(&root),
        ["sizes", folder] => sizes::run(Path::new(folder)),
        ["fuzz-smoke", flags @ ..] => {
            fuzz::parse(flags).and_then(|seconds| fuzz::run(&root, seconds))
        }
        ["python"] => python::test(&root).map(|python| match python {
            python::Python::Fine => {}
            python::Python::NotChecked(what) => println!("not checked: {what}"),
        }),
        ["wheel"] => python::wheel(&root),
        ["package", flags @ ..] => package::Options::parse(flags)
            .and_then(|options| package::run(&root, &options))
            .map(|packages| match packages {
                package::Packages::Fine => {}
                package::Packages::NotChecked(what) => println!("not checked: {what}"),
            }),
        ["pack", "--yearly", file] => pack::run(Path::new(file)),
        ["tables", "--packages", packages] => {
            tables::run(&root, Path::new(packages), tables::Mode::Write)
        }
        ["tables", "--packages", packages, "--check"]
        | ["tables", "--check", "--packages", packages] => {
            tables::run(&root, Path::new(packages), tables::Mode::Check)
        }
        ["priors", flags @ ..] => {
            priors::Options::parse(flags).and_then(|options| priors::run(&root, &options))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what was not compared.
fn tell(outcome: wasm::Outcome) {
    if let wasm::Outcome::NotChecked(why) = outcome {
        eprintln!("not checked: {why}");
    }
}

/// The root of the workspace: the parent of this package. Cargo says at run time where that is; what
/// it said at build time is wrong when two checkouts share a target directory.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().unwrap_or(&package).to_owned()
}
