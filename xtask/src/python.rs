//! The Python package: its tests on each Python of this machine that it is for, and its wheel.
//!
//! Out of scope: publishing it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::tidy;

/// The versions that the package is for; one build serves them all.
const VERSIONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// What came of the tests.
pub(crate) enum Python {
    Fine,
    /// What was not checked, and why.
    NotChecked(String),
}

/// Builds the native half and tries the package with it.
pub(crate) fn test(root: &Path) -> Result<Python> {
    let found: Vec<(&str, PathBuf)> =
        VERSIONS.into_iter().filter_map(|version| Some((version, program(version)?))).collect();
    if found.is_empty() {
        return Ok(Python::NotChecked("the Python package: no Python from 3.10 on".to_owned()));
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
    for (version, program) in &found {
        println!("Python {version}: {}", program.display());
        let mut tests = Command::new(program);
        tests.args(["-W", "error", "-m", "unittest", "-q", "tests.test_package"]);
        tests.env("PYTHONPATH", "package").env("PYTHONDONTWRITEBYTECODE", "1");
        done(tests.current_dir(&folder))?;
    }
    let missing: Vec<&str> =
        VERSIONS.into_iter().filter(|version| !found.iter().any(|(it, _)| it == version)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Ok(Python::NotChecked(format!("the Python package on Python {missing}")));
    }
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
    println!(
        "`abi3audit --strict {}/*.whl` says whether it is one for all versions",
        wheels.display()
    );
    Ok(())
}

/// The program of a version: in the path under its own name or as `python3`, or where pyenv keeps it.
fn program(version: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let kept = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let kept = kept.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
    let on_path = [format!("python{version}"), "python3".to_owned()].map(PathBuf::from);
    let asks = "import sys; print('%d.%d' % sys.version_info[:2])";
    on_path.into_iter().chain(kept).find(|program| {
        let output = Command::new(program).args(["-c", asks]).stderr(Stdio::null()).output();
        output.is_ok_and(|output| output.stdout.trim_ascii() == version.as_bytes())
    })
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
