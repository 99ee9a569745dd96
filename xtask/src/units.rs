//! The units of `packaging/` as systemd reads them: no unknown key, no missing unit, and no more
//! exposure than was agreed.
//!
//! Out of scope: starting them, which needs a machine that systemd has booted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

/// `systemd-analyze security` weighs what a service may do from 0 to 10; the governor was 1.0 when this was
/// written, and the agent, which has a network, 1.6. It takes tenths.
const EXPOSURE_MAX_TENTHS: u32 = 16;

/// Where ours are installed; the check puts a program there that every machine has.
const PROGRAMS: [&str; 2] =
    ["ExecStart=/usr/local/bin/carbon-governor", "ExecStart=/usr/local/bin/carbon-ops agent"];

/// What became of the check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Units {
    Fine,
    /// There is no systemd here.
    NotChecked(String),
}

/// Checks every unit in `packaging/`.
///
/// # Errors
/// With all that systemd complains of.
pub(crate) fn run(root: &Path) -> Result<Units> {
    let version = Command::new("systemd-analyze").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Ok(Units::NotChecked("units: systemd-analyze is not installed".into()));
    }
    let folder =
        Folder(std::env::temp_dir().join(format!("units-{}-{}", std::process::id(), serial())));
    fs::create_dir_all(&folder.0).with_context(|| folder.0.display().to_string())?;
    let mut units = Vec::new();
    for entry in fs::read_dir(root.join("packaging")).context("packaging")? {
        let path = entry?.path();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if let ("service" | "socket", Some(name)) = (kind, path.file_name()) {
            let text = fs::read_to_string(&path)?;
            let text =
                PROGRAMS.iter().fold(text, |text, it| text.replace(it, "ExecStart=/bin/true"));
            let copy = folder.0.join(name);
            fs::write(&copy, text)?;
            units.push(copy);
        }
    }
    ensure!(!units.is_empty(), "packaging holds no unit");
    units.sort();
    check(&units)?;
    Ok(Units::Fine)
}

fn check(units: &[PathBuf]) -> Result<()> {
    let complaints = said(Command::new("systemd-analyze").arg("verify").args(units))?;
    // Units of the machine itself may be complained of too; ours are named.
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("carbon-")).collect();
    if !ours.is_empty() {
        bail!("systemd-analyze verify\n  {}", ours.join("\n  "));
    }
    for unit in units.iter().filter(|unit| unit.extension().is_some_and(|kind| kind == "service")) {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager"]);
        command.arg(format!("--threshold={EXPOSURE_MAX_TENTHS}")).arg(unit);
        let output = command.output().context("systemd-analyze security")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let overall = text.lines().rev().find(|line| line.contains("Overall exposure"));
        println!("{}", overall.unwrap_or("this systemd tells no exposure").trim());
        ensure!(
            output.status.success() || overall.is_none(),
            "more exposed than {EXPOSURE_MAX_TENTHS} tenths:\n{text}"
        );
    }
    Ok(())
}

/// What a command writes to both its outputs.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One folder per check of a process.
fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The units with their text edited, checked as in the pipeline.
    fn edited(name: &str, edit: impl Fn(&str) -> String) -> Option<Result<Units>> {
        let root = Folder(std::env::temp_dir().join(format!("{name}-{}", std::process::id())));
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging");
        fs::create_dir_all(root.0.join("packaging")).unwrap();
        for name in ["carbon-governor.service", "carbon-governor.socket", "carbon-agent.service"] {
            let text = fs::read_to_string(packaging.join(name)).unwrap();
            fs::write(root.0.join("packaging").join(name), edit(&text)).unwrap();
        }
        match run(&root.0) {
            Ok(Units::NotChecked(why)) => {
                eprintln!("SKIPPED: {why}");
                None
            }
            result => Some(result),
        }
    }

    #[test]
    fn units_are_refused_for_unknown_keys_and_for_exposure() {
        let Some(plain) = edited("plain", str::to_owned) else { return };
        assert_eq!(plain.unwrap(), Units::Fine);
        let unknown = |text: &str| text.replace("[Service]", "[Service]\nProtectEverything=yes");
        let error = edited("unknown", unknown).unwrap().unwrap_err().to_string();
        assert!(error.contains("ProtectEverything"), "{error}");
        let open = |text: &str| {
            let shut =
                |line: &&str| !["Protect", "Private"].iter().any(|key| line.starts_with(key));
            text.lines().filter(shut).collect::<Vec<_>>().join("\n")
        };
        let error = edited("open", open).unwrap().unwrap_err().to_string();
        assert!(error.contains("more exposed"), "{error}");
    }
}
