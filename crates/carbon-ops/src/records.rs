//! Records to be read as a whole: of ledgers, which are verified first, and of files of records.
//!
//! Corrections of a ledger are applied: a record that was replaced is read as it should have been, one that
//! was retracted is not there. A replacement has the `record_id` of what it replaces.
//!
//! Out of scope: what is made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_proof::entry::{Control, Entry};
use carbon_ops_proof::keys::PublicKey;
use carbon_ops_proof::verify::{Payload, Settings as VerifySettings, Status, verify_records};
use carbon_ops_record::{Record, RecordKind, SCHEMA_VERSION};

use crate::env::Env;
use crate::fault::Fault;
pub use crate::fault::Output;
use crate::recompute::object;
use crate::settings::Settings;
use crate::superseded::{Amendments, Superseded};
use crate::verify::{open, trust, unsigned};

/// Longest line of a file of records.
const LINE_BYTES_MAX: u64 = 65_535;

/// What was read, in the order of the sources.
#[derive(Debug, Default)]
pub struct Records {
    /// The records.
    pub found: Vec<Record>,
    /// Ledgers that were verified.
    pub ledgers: u64,
    /// Records of files, which nobody signed.
    pub unsigned: u64,
    /// Records that a correction replaced or retracted.
    pub superseded: u64,
    /// Records by a key that the ledger says was in other hands then; they are left out.
    pub suspect: u64,
    /// Entries of other programs and of other versions.
    pub unread: u64,
    /// Records of simulated sensors that were left out.
    pub simulated: u64,
}

/// How to read.
pub struct How<'a> {
    /// Keys that are trusted, as a file or in hex; `None` is the key store.
    pub trust: Option<&'a str>,
    /// Whether records of simulated sensors are kept.
    pub include_simulated: bool,
    /// Is told how many bytes were read, again and again.
    pub tell: &'a dyn Fn(u64),
    /// Where keys and the default ledger are.
    pub settings: &'a Settings,
    /// The surroundings.
    pub env: &'a Env,
}

impl fmt::Debug for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("How").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// Reads everything, or says what cannot be believed.
///
/// # Errors
/// A ledger that is not valid; a file that has something else than records; nothing to read.
pub fn read(paths: &[PathBuf], how: &How<'_>) -> Result<Records> {
    let default: Vec<PathBuf> = how.settings.ledger.value.iter().cloned().collect();
    let paths = if paths.is_empty() { &default } else { paths };
    if paths.is_empty() {
        return Err(Fault::NothingToRead.into());
    }
    let mut records = Records::default();
    for path in paths {
        if is_ledger(path)? {
            ledger(path, how, &mut records)?;
        } else {
            file(path, how, &mut records)?;
        }
    }
    if !how.include_simulated {
        let before = records.found.len();
        records.found.retain(|record| !record.is_simulated());
        records.simulated = u64::try_from(before - records.found.len())?;
    }
    Ok(records)
}

/// A directory is a ledger, and so is a file that begins with a genesis.
fn is_ledger(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    let mut line = Vec::new();
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    BufReader::new(file.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let entry = Entry::parse(line.trim_ascii_end());
    Ok(entry.is_ok_and(|entry| matches!(entry.control(), Ok(Some(Control::Genesis(_))))))
}

fn ledger(path: &Path, how: &How<'_>, into: &mut Records) -> Result<()> {
    let trust = trust(how.trust, how.settings, how.env)?;
    let reader = open(path)?;
    let (threads, active) = (Env::threads(), reader.active());
    let settings = VerifySettings { threads, active, ..VerifySettings::new(&trust) };
    let mut found: BTreeMap<u64, Object> = BTreeMap::new();
    let check = |payload: &Payload<'_>| Ok(payload.to_object());
    let mut accept = |seq, object: Object| {
        // What a correction puts in a record's place stands in no line; `corrected` puts it there.
        if object.contains("seq") {
            found.insert(seq, object);
        }
        Ok(())
    };
    let reader =
        BufReader::with_capacity(1 << 20, Told { inner: reader, bytes: 0, tell: how.tell });
    let report = verify_records(reader, &settings, &check, &mut accept)
        .with_context(|| format!("cannot read {}", path.display()))?;
    match report.status {
        Status::Valid | Status::TornTail => {}
        Status::Untrusted => return Err(Fault::Untrusted { path: path.to_owned() }.into()),
        _ => return Err(Fault::Invalid { path: path.to_owned() }.into()),
    }
    if report.life.corrections > 0 || !report.suspects.is_empty() {
        stand(superseded(path)?, &mut found, into);
    }
    into.ledgers += 1;
    for (seq, object) in found {
        let record =
            record(object).with_context(|| format!("entry {seq} of {}", path.display()))?;
        match record {
            Some(record) => into.found.push(record),
            None => into.unread += 1,
        }
    }
    Ok(())
}

/// Which of this program's outputs a line is; `None` where it is none.
pub(crate) fn output(line: &[u8]) -> Option<Output> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let has = |name: &str| value.get(name).is_some();
    let word = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    match (word("kind"), word("type")) {
        (Some("monitor_sample"), _) => Some(Output::Sample),
        (_, Some("carbon_estimate_without_time")) => Some(Output::WithoutTime),
        (Some("carbon_ops"), _) => Some(Output::Record),
        _ if has("ci_lower_g") && has("grams") && !has("inputs") => Some(Output::CompactRow),
        _ => None,
    }
}

/// Bytes that pass, told.
struct Told<'t, R> {
    inner: R,
    bytes: u64,
    tell: &'t dyn Fn(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        (self.tell)(self.bytes);
        Ok(read)
    }
}

/// A record; `None` for an entry of another program or version.
fn record(object: Object) -> Result<Option<Record>> {
    let ours = object.get("kind").and_then(Value::as_str) == Some(RecordKind::CarbonOps.as_str());
    let version = object.get("schema_version").and_then(Value::as_u64);
    if !ours || version.is_some_and(|version| version != SCHEMA_VERSION) {
        return Ok(None);
    }
    Ok(Some(Record::from_json(unsigned(object))?))
}

/// What the ledger's own records say of others.
fn superseded(path: &Path) -> Result<Superseded> {
    let mut amendments = Amendments::default();
    let mut reader = BufReader::with_capacity(1 << 20, open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        // A torn end has been told of, and is no entry.
        let Ok(entry) = Entry::parse(line.trim_ascii_end()) else { break };
        if let Ok(Some(control)) = entry.control() {
            amendments.note(entry.seq(), control);
        }
    }
    Ok(amendments.settle())
}

/// Leaves out what may be anybody's, and puts corrections in the place of what they correct.
fn stand(superseded: Superseded, found: &mut BTreeMap<u64, Object>, into: &mut Records) {
    let before = found.len();
    found.retain(|seq, object| {
        let key = object.get("signing_key").and_then(Value::as_str);
        let key = key.and_then(|key| PublicKey::from_hex(key).ok());
        key.and_then(|key| superseded.suspect(*seq, key)).is_none()
    });
    into.suspect += (before - found.len()) as u64;
    for (seq, replacement) in superseded.corrected() {
        // A correction of one of the ledger's own records is a note for people.
        let Some(record) = found.get(&seq) else { continue };
        into.superseded += 1;
        match replacement {
            Some(mut payload) => {
                // It stands in that one's place, for what was measured inside of it as well.
                if let Some(id) = record.get("record_id") {
                    payload.insert("record_id", id.clone());
                }
                found.insert(seq, payload);
            }
            None => drop(found.remove(&seq)),
        }
    }
}

/// One record per line, or one in all.
fn file(path: &Path, how: &How<'_>, into: &mut Records) -> Result<()> {
    let named = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", named()))?;
    let told = Told { inner: file, bytes: 0, tell: how.tell };
    let mut reader = BufReader::with_capacity(1 << 20, told);
    let (mut line, mut number) = (Vec::new(), 0u64);
    loop {
        line.clear();
        number += 1;
        if (&mut reader).take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let read = object(text).and_then(record);
        let read = match read {
            Ok(Some(record)) => {
                into.found.push(record);
                into.unsigned += 1;
                continue;
            }
            other => other.with_context(|| format!("line {number} of {} is not a record", named())),
        };
        // Something else of our own is told as what it is.
        if let Some(own) = output(text).filter(|own| *own != Output::Record) {
            let at = || format!("line {number} of {}", named());
            return Err(Fault::OwnOutput(own)).with_context(at);
        }
        read?;
        into.unread += 1;
        into.unsigned += 1;
    }
}
