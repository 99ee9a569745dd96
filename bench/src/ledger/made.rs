//! Real records that all differ, as a user makes them: spans of four zones, each with another energy, that the command
//! prices and, for a ledger, signs and stores.
//!
//! What is made of them is checked where it is used: a ledger by its verdict.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use carbon_ops_ledger::keys::SecretKey;
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops_proof::entry::RESERVED_MEMBERS;

use crate::process;
use crate::spans::spans;
use crate::subject::{Room, Subject};

/// How spans become records of some size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    arguments: &'static [&'static str],
}

pub(crate) const SMALL: Kind = Kind { name: "records of 1.7 kB", arguments: &["--pue", "1.2"] };
pub(crate) const LARGE: Kind = Kind {
    name: "records of 2.8 kB",
    arguments: &[
        "--embodied",
        "server(cpus=2, memory=256, ssd=2)",
        "--functional-unit",
        "1000:request",
    ],
};

/// A ledger's directory, and the key that signed it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) dir: PathBuf,
    pub(crate) key: SecretKey,
}

impl Made {
    /// Makes a ledger with so many records beside its genesis.
    pub(crate) fn new(
        room: &Room,
        subject: &Subject,
        name: &str,
        records: u32,
        kind: Kind,
    ) -> Result<Self> {
        let dir = room.path.join(name);
        process::time(
            process::command(&subject.binary, &room.path).args(["ledger", "init"]).arg(&dir),
        )?;
        process::time(estimate(room, subject, records, kind)?.arg("--ledger").arg(&dir))?;
        let pem = room.path.join(".local/share/carbon-ops/keys/default.pem");
        let made = Self { dir, key: SecretKey::from_pem(&std::fs::read_to_string(pem)?)? };
        demand_valid(room, subject, &made, records + 1)?;
        Ok(made)
    }

    /// All of its lines, of whatever files.
    pub(crate) fn lines(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut self.open()?, &mut bytes)?;
        Ok(bytes)
    }

    /// All of its files, one after the other.
    pub(crate) fn open(&self) -> Result<carbon_ops_ledger::segment::LedgerReader> {
        Ok(carbon_ops_ledger::segment::LedgerReader::open(&self.dir.join("ledger.ndjson"))?)
    }
}

/// So many records without a ledger.
pub(crate) fn payloads(
    room: &Room,
    subject: &Subject,
    records: u32,
    kind: Kind,
) -> Result<Vec<Object>> {
    let mut command = estimate(room, subject, records, kind)?;
    let output = command.arg("--records").stdout(Stdio::piped()).output()?;
    ensure!(output.status.success(), "estimate --records failed");
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(payload_of).collect()
}

/// The command that prices so many spans.
fn estimate(room: &Room, subject: &Subject, records: u32, kind: Kind) -> Result<Command> {
    let input = room.path.join("spans.ndjson");
    std::fs::write(&input, spans(records)?)?;
    let mut command = process::command(&subject.binary, &room.path);
    command.arg("estimate").args(kind.arguments).stdin(File::open(&input)?);
    Ok(command)
}

/// The verdict of the subject on a ledger, which has to be that it is valid.
fn demand_valid(room: &Room, subject: &Subject, made: &Made, lines: u32) -> Result<()> {
    let mut command = process::command(&subject.binary, &room.path);
    command.args(["ledger", "verify", "--json"]).arg(&made.dir);
    let output = command.stdout(Stdio::piped()).output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let is = |name: &str, value: serde_json::Value| report.get(name) == Some(&value);
    ensure!(is("status", "valid".into()) && is("entries", lines.into()), "not valid: {report:#}");
    Ok(())
}

/// The record in a line, without what the ledger adds.
fn payload_of(line: &[u8]) -> Result<Object> {
    let Value::Object(mut object) = parse(line)? else { anyhow::bail!("a line is no object") };
    for name in RESERVED_MEMBERS {
        object.remove(name);
    }
    Ok(object)
}

/// The same as canonical text.
pub(crate) fn text_of(line: &[u8]) -> Result<Vec<u8>> {
    payload_of(line).map(|object| object_to_canonical(&object)).context("a record")
}
