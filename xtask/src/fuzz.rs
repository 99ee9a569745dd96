//! `cargo xtask fuzz-smoke`: each fuzz target for a while, with its committed seeds.
//!
//! The targets are a workspace of their own, in `fuzz/`. They need no nightly compiler: coverage comes
//! from a pass of LLVM that any rustc can run, and libFuzzer's own C++ is built by its crate. What is
//! not there is a sanitizer of memory, which safe code needs least.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// The targets, which are the binaries of `fuzz/Cargo.toml`.
const TARGETS: [&str; 14] = [
    "request",
    "snapshot",
    "page",
    "counter",
    "legacy",
    "line",
    "note",
    "checkpoint",
    "proof",
    "tile-path",
    "answer",
    "witness-request",
    "span",
    "record",
];

/// What cargo-fuzz passes to rustc, as far as a stable one takes it.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// How long each target runs unless told otherwise.
const SECONDS: u32 = 60;

/// Longer than any input may take, and more memory than any may need.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=512"];

pub(crate) fn parse(flags: &[&str]) -> Result<u32> {
    match flags {
        [] => Ok(SECONDS),
        ["--seconds", seconds] => {
            let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
            seconds.context("--seconds takes a number of seconds")
        }
        other => bail!("cargo xtask fuzz-smoke knows no {}", other.join(" ")),
    }
}

/// What is missing on this machine, if anything is.
pub(crate) fn missing() -> Option<&'static str> {
    let compiler = Command::new("c++").arg("--version").stdout(Stdio::null()).status();
    let there = compiler.is_ok_and(|status| status.success());
    (!there).then_some("there is no C++ compiler to build libFuzzer with")
}

/// Builds the targets and runs each for so long.
///
/// # Errors
/// When one finds something; the message says how to see it again.
pub(crate) fn run(root: &Path, seconds: u32) -> Result<()> {
    let folder = root.join("fuzz");
    let built = build(&folder)?;
    for target in TARGETS {
        let corpus = folder.join("target/corpus").join(target);
        let findings = folder.join("target/findings");
        for made in [&corpus, &findings] {
            std::fs::create_dir_all(made).with_context(|| made.display().to_string())?;
        }
        let prefix = findings.join(format!("{target}-"));
        let mut command = Command::new(built.join(target));
        command.args(LIMITS).arg(format!("-max_total_time={seconds}"));
        command.arg("-verbosity=0").arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}", prefix.display()));
        // What is new goes to the first folder, and the seeds stay as they are.
        command.arg(&corpus).arg(folder.join("seeds").join(target));
        let output = command.output().with_context(|| format!("running {target}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let runs =
            said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("fuzz {target}: {} runs in {seconds} s", runs.unwrap_or("no").trim());
        if !output.status.success() {
            eprintln!("{said}");
            bail!(
                "{target} found something\nhint: `{} {}*` shows it again; add the file to \
                 fuzz/seeds/{target} with the remedy",
                built.join(target).display(),
                prefix.display()
            );
        }
    }
    Ok(())
}

/// The folder of the binaries.
fn build(folder: &Path) -> Result<PathBuf> {
    let host = host()?;
    let target_folder = folder.join("target");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--target", &host, "--target-dir"]);
    // With a target named, build scripts and macros are spared the flags, which they could not link.
    command.arg(&target_folder).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    let status = command.current_dir(folder).status().context("running cargo build")?;
    ensure!(status.success(), "the fuzz targets do not build");
    Ok(target_folder.join(host).join("release"))
}

/// What rustc calls this machine.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("running rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell the host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_strictly() {
        assert_eq!(parse(&[]).unwrap(), 60);
        assert_eq!(parse(&["--seconds", "5"]).unwrap(), 5);
        for flags in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["5"]] {
            assert!(parse(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn every_target_has_seeds_and_every_binary_is_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            assert!(folder.join("seeds").join(target).read_dir().unwrap().next().is_some());
        }
    }
}
