//! Python programs of other makers, each in an environment of its own: Python 3.12 or later with pip, and the network once.
//!
//! Out of scope: what is done where there is none.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The output of a command, or why there is none.
fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// A Python that is new enough for all of them.
fn python() -> Result<PathBuf, String> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let beside = versions.into_iter().flatten().flatten().map(|v| v.path().join("bin/python3"));
    let on_path = ["python3", "python3.14", "python3.13", "python3.12"].map(PathBuf::from);
    let check = "import sys, venv, ensurepip; assert sys.version_info >= (3, 12), sys.version";
    let usable = |path: &PathBuf| output(Command::new(path).args(["-c", check])).is_ok();
    let found = on_path.into_iter().chain(beside).find(usable);
    found.ok_or_else(|| "there is no Python 3.12 or later with venv".to_owned())
}

/// The folder of an environment with what pip installs by each of some lists of arguments, made once for all tests and
/// runs: it is there when `probe` runs in it.
pub(crate) fn environment(
    name: &str,
    installs: &[&[&str]],
    probe: &str,
) -> Result<PathBuf, String> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let program = dir.join("bin/python3");
    let works = || output(Command::new(&program).args(["-c", probe]));
    if works().is_err() {
        output(Command::new(python()?).args(["-m", "venv", "--clear"]).arg(&dir))?;
        for install in installs {
            let mut pip = Command::new(&program);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--retries", "0", "--timeout", "10", "--only-binary", ":all:"]);
            output(pip.args(*install))?;
        }
        works()?;
    }
    Ok(dir)
}
