//! The validator of the Python package carbon-ops 0.1.1, on the same records as ours.
//!
//! It is fetched with pip into a folder of its own, by the hashes in `testdata/ledgers/0.1`, and needs
//! Python 3.10 or later with `cryptography`. Where that cannot be had, the figure is left out, aloud.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use carbon_ops_ledger::legacy::Record;

use super::made::{Made, SMALL, text_of};
use crate::figure::Figure;
use crate::process;
use crate::stats::Summary;
use crate::subject::{Room, Subject, root};

/// Our verification takes a sixth of the time, or less.
const LIMIT: f64 = 1.0 / 6.0;

/// So many records: seconds of the package's time.
const RECORDS: u32 = 10_000;
const ROUNDS: usize = 3;

pub(crate) fn measure(subject: &Subject, room: &Room) -> Result<Option<Figure>> {
    let wheel = match fetch(room) {
        Ok(wheel) => wheel,
        Err(why) => {
            eprintln!("SKIPPED: the comparison with carbon-ops 0.1.1: {why:#}");
            return Ok(None);
        }
    };
    let made = Made::new(room, subject, "same-records", RECORDS, SMALL)?;
    let folder = room.folder("old")?;
    write_old(&made, &folder.join("audit.ndjson"))?;
    let key = made.key.public_key().to_hex();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut python = Command::new("python3");
        python.arg(root().join("testdata/ledgers/0.1/validate.py")).arg(&wheel).arg(&key);
        let start = std::time::Instant::now();
        let output = python.arg(&folder).stderr(Stdio::null()).output()?;
        let theirs = start.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.contains("true"), "the package does not validate our ledger: {said}");
        let mut ours = process::command(&subject.binary, &room.path);
        let ours = process::time(ours.args(["ledger", "verify"]).arg(&made.dir))?.wall;
        ratios.push(ours.as_secs_f64() / theirs.as_secs_f64());
    }
    Ok(Some(Figure {
        name: "wall time over that of carbon-ops 0.1.1".to_owned(),
        baseline: format!("{RECORDS} records, each in its own format, all CPUs"),
        unit: "x",
        summary: Summary::of(ratios),
        limit: Some(LIMIT),
    }))
}

/// The same records as the package writes them: without the ledger's own members, signed anew.
fn write_old(made: &Made, path: &Path) -> Result<()> {
    let text = made.lines()?;
    let (mut old, mut last) = (Vec::new(), None);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for line in lines.skip(1) {
        let record = Record::parse(&text_of(line)?)?;
        let signed = record.sign(last.as_ref(), &made.key)?;
        last = Some(signed.hash);
        old.extend(signed.line);
    }
    std::fs::write(path, old)?;
    Ok(())
}

fn fetch(room: &Room) -> Result<PathBuf> {
    let check = "import sys, cryptography; assert sys.version_info >= (3, 10), sys.version";
    run(Command::new("python3").args(["-c", check]))?;
    let dir = room.folder("wheel")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"]);
    pip.args(["--only-binary", ":all:"]);
    pip.args(["--disable-pip-version-check", "--retries", "0", "--timeout", "10", "--dest"]);
    run(pip.arg(&dir).arg("-r").arg(root().join("testdata/ledgers/0.1/requirements.txt")))?;
    Ok(dir.join("carbon_ops-0.1.1-py3-none-any.whl"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim().lines().next_back().unwrap_or_default());
    Ok(())
}
