//! The carbon-ops that is measured, and a folder of its own to run in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process;

/// A program of ours that runs.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) binary: PathBuf,
    /// `carbon-ops 0.2.0`, `carbon-governor 0.2.0`.
    pub(crate) version: String,
}

impl Subject {
    /// The binary that was given, else a release build of the workspace that this one lies in.
    pub(crate) fn find(name: &str, given: Option<&Path>) -> Result<Self> {
        let binary = match given {
            Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
            None => build(name)?,
        };
        let output = Command::new(&binary).arg("--version").output();
        let output = output.with_context(|| binary.display().to_string())?;
        ensure!(output.status.success(), "{} --version failed", binary.display());
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { binary, version })
    }

    /// A library of the workspace, compiled into this program.
    pub(crate) fn library(name: &str) -> Self {
        Self { binary: PathBuf::new(), version: name.to_owned() }
    }

    /// `carbon-ops run --no-ledger` with more arguments.
    pub(crate) fn run(&self, room: &Room, arguments: &[&str]) -> Command {
        let mut command = process::command(&self.binary, &room.path);
        command.args(["run", "--no-ledger"]).args(arguments);
        command
    }

    /// Which sensor a run with these arguments takes its energy from, by its record.
    pub(crate) fn sensor(&self, room: &Room, arguments: &[&str]) -> Result<String> {
        let file = room.path.join("record.json");
        let json = format!("--json={}", file.display());
        process::time(self.run(room, arguments).args([&json, "--", "true"]))?;
        let record: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let sensors = record.pointer("/measurement/sensors").and_then(Value::as_array);
        let is_used = |sensor: &&Value| sensor.get("status").is_some_and(|status| status == "used");
        let used = sensors.and_then(|sensors| sensors.iter().find(is_used));
        let name = used.and_then(|sensor| sensor.get("name")).and_then(Value::as_str);
        Ok(name.context("the record names no sensor as used")?.to_owned())
    }
}

/// The root of the checkout. Cargo says at run time where this package is; what it said at build
/// time is wrong when two checkouts share a target directory.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().unwrap_or(&package).to_owned()
}

/// Cargo's messages say where it put the binary, wherever the target directory is.
fn build(name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--locked", "--bin", name];
    let mut command = Command::new(cargo);
    command.args(arguments).arg("--message-format=json-render-diagnostics").current_dir(root());
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo {} failed", arguments.join(" "));
    let messages = String::from_utf8_lossy(&output.stdout);
    let binary = messages.lines().filter_map(|message| executable(message, name)).next_back();
    binary.with_context(|| format!("cargo named no binary {name}"))
}

fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_ours = message.pointer("/target/name")? == name;
    let path = message.get("executable")?.as_str()?;
    is_ours.then(|| PathBuf::from(path))
}

/// A fresh folder, gone afterwards: no configuration, no key and no ledger but those made here.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) path: PathBuf,
}

impl Room {
    pub(crate) fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        for attempt in 0..100 {
            let path = parent.join(format!("carbon-ops-bench-{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        bail!("no free name for a folder in {}", parent.display())
    }

    /// A folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_in_what_cargo_says() {
        let of = |name: &str, path: &str| {
            format!(r#"{{"reason":"a","target":{{"name":"{name}"}},"executable":{path}}}"#)
        };
        let executable = |message: &str| executable(message, "carbon-ops");
        assert_eq!(executable(&of("carbon-ops", "\"/t/x\"")), Some(PathBuf::from("/t/x")));
        assert_eq!(executable(&of("carbon-ops", "null")), None);
        assert_eq!(executable(&of("carbon-governor", "\"/t/x\"")), None);
        assert_eq!(executable("not json"), None);
    }

    #[test]
    fn a_room_is_gone_afterwards() {
        let room = Room::new().unwrap();
        let path = room.path.clone();
        assert!(room.folder("a").unwrap().is_dir());
        drop(room);
        assert!(!path.exists());
    }
}
