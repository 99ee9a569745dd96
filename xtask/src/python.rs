//! The Python package: its tests on this machine's Python, and its wheel.
//!
//! Out of scope: publishing it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::tidy;

/// Oldest version that the package is for.
const OLDEST: (u32, u32) = (3, 10);

/// What came of the tests.
pub(crate) enum Python {
    Fine,
    /// What was not checked, and why.
    NotChecked(String),
}

/// Builds the native half and tries the package with it.
pub(crate) fn test(root: &Path) -> Result<Python> {
    if let Some(why) = obstacle() {
        return Ok(Python::NotChecked(format!("the Python package: {why}")));
    }
    let folder = root.join("python");
    let target = target(root)?;
    let mut lint = cargo(&folder, &target);
    done(lint.args(["clippy", "--locked", "--", "-D", "warnings"]))?;
    let mut build = cargo(&folder, &target);
    done(build.args(["build", "--locked"]))?;
    let native = folder.join("package/carbon_ops/_native.abi3.so");
    let built = target.join("debug/lib_native.so");
    std::fs::copy(&built, &native).with_context(|| format!("copying {}", built.display()))?;
    let mut tests = Command::new("python3");
    tests.args(["-W", "error", "-m", "unittest", "-q", "tests.test_package"]);
    done(
        tests.env("PYTHONPATH", "package").env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&folder),
    )?;
    Ok(Python::Fine)
}

/// Builds the wheel with the command in it, in `target/wheels`; takes `maturin` (`pip install maturin`).
pub(crate) fn wheel(root: &Path) -> Result<()> {
    let folder = root.join("python");
    let target = target(root)?;
    let mut command = Command::new("cargo");
    done(
        command
            .args(["build", "--release", "--locked", "--package", "carbon-ops-cli"])
            .current_dir(root),
    )?;
    let scripts = folder.join("carbon_ops.data/scripts");
    std::fs::create_dir_all(&scripts)?;
    std::fs::copy(target.join("release/carbon-ops"), scripts.join("carbon-ops"))?;
    let wheels = target.join("wheels");
    let mut maturin = Command::new("maturin");
    maturin.args(["build", "--release", "--locked", "--out"]).arg(&wheels);
    done(maturin.env("CARGO_TARGET_DIR", target.join("python")).current_dir(&folder))
        .context("maturin builds wheels: pip install maturin")?;
    println!("the wheel is in {}", wheels.display());
    Ok(())
}

/// Why the package cannot be tried here.
fn obstacle() -> Option<String> {
    let mut ask = Command::new("python3");
    ask.args(["-c", "import sys; print(*sys.version_info[:2])"]);
    let output = ask.stderr(Stdio::null()).output().ok().filter(|output| output.status.success());
    let Some(output) = output else { return Some("no python3".to_owned()) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().split_once(' ');
    let version = version.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match version {
        Some(version) if version >= OLDEST => None,
        _ => Some(format!("python3 is {}, older than {}.{}", text.trim(), OLDEST.0, OLDEST.1)),
    }
}

fn target(root: &Path) -> Result<PathBuf> {
    let metadata = tidy::metadata(root, &["--no-deps"])?;
    Ok(PathBuf::from(tidy::string(&metadata, "target_directory").unwrap_or("target")))
}

/// What is built twice is built once: the lock files agree.
fn cargo(folder: &Path, target: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.env("CARGO_TARGET_DIR", target).current_dir(folder);
    command
}

fn done(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
