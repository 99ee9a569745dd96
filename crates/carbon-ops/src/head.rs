//! What the beginning of a file says it is, before anything is verified: a mistaken file or checkpoint is
//! named as such, and not as thousands of faults. Nothing here is believed for a verdict of "valid".

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use carbon_ops_ledger::files::RealFiles;
use carbon_ops_ledger::legacy::MAX_LINE_BYTES;
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::lines::{Line, may_be_entry, next_line_within};
use serde_json::Value;

use crate::fault::{Fault, OtherFile};

/// A first line that is longer is of neither format.
const LONGEST: u64 = 1 << 20;

/// The members that the Python package adds to a record, and those that only version 1 has.
const SIGNED: [&str; 3] = ["signature", "signing_key", "signature_algorithm"];
const OF_VERSION_1: [&str; 2] = ["ledger_id", "seq"];

/// What links a record of the Python package to the one before.
const PREV_HASH: &str = "prev_hash";

/// What a file is taken for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A ledger, whatever is wrong with it.
    Ledger,
    /// A ledger of the Python package 0.1.
    Legacy,
    /// One JSON document that the Python package signed, alone in its file.
    Document(Vec<u8>),
    /// Nothing that could be verified as a ledger.
    Other(OtherFile),
}

impl Kind {
    /// What the ledger `path`, or the file, is.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        if let Some(line) = first(path)? {
            let has = |member: &&str| line.get(member).is_some();
            if line.get("pack").is_some() {
                return Ok(Self::Other(OtherFile::Pack));
            }
            // A genesis that was tampered with is for the verification to find.
            let ours = OF_VERSION_1.iter().any(has)
                || line.get("kind").is_some_and(|kind| kind == "ledger");
            if ours {
                return Ok(Self::Ledger);
            }
            if SIGNED.iter().all(has) {
                return Ok(document(path)?.map_or(Self::Legacy, Self::Document));
            }
        }
        if let Some(document) = document(path)? {
            return Ok(Self::Document(document));
        }
        let what = judge_lines(path).with_context(|| cannot_read(path))?;
        Ok(what.map_or(Self::Ledger, Self::Other))
    }
}

/// The file, if it is one signed document as a whole, on one line or on several, and no part of a chain.
fn document(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut file = open(path)?.take(MAX_LINE_BYTES as u64 + 1);
    file.read_to_end(&mut bytes).with_context(|| cannot_read(path))?;
    if bytes.len() > MAX_LINE_BYTES {
        return Ok(None);
    }
    let document: Option<Value> = serde_json::from_slice(&bytes).ok();
    let has = |member: &str| document.as_ref().is_some_and(|value| value.get(member).is_some());
    let alone = SIGNED.iter().all(|member| has(member)) && !has(PREV_HASH);
    let ours = OF_VERSION_1.iter().any(|member| has(member));
    Ok((alone && !ours).then_some(bytes))
}

/// What a file is, if no line of it could be an entry.
fn judge_lines(path: &Path) -> std::io::Result<Option<OtherFile>> {
    let mut reader = BufReader::with_capacity(1 << 20, LedgerReader::open(path)?);
    let (mut line, mut lines) = (Line::default(), 0);
    while next_line_within(&mut reader, &mut line, MAX_LINE_BYTES)? {
        if lines == 0 && line.bytes.starts_with(b"c2sp.org/tlog-proof@") {
            return Ok(Some(OtherFile::Proof));
        }
        lines += 1;
        if may_be_entry(&line.bytes) {
            return Ok(None);
        }
    }
    Ok(Some(if lines > 0 { OtherFile::Unknown } else { OtherFile::Empty }))
}

/// The first line, if it is a JSON object.
fn first(path: &Path) -> Result<Option<Value>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(open(path)?).take(LONGEST);
    reader.read_until(b'\n', &mut line).with_context(|| cannot_read(path))?;
    Ok(serde_json::from_slice(&line).ok().filter(Value::is_object))
}

/// Refuses what is no ledger of this program's.
///
/// # Errors
///
/// [`Fault::Legacy`] or [`Fault::NotALedger`].
pub fn refuse_others(path: &Path) -> Result<()> {
    let path = path.to_owned();
    match Kind::of(&path)? {
        Kind::Ledger => Ok(()),
        Kind::Legacy | Kind::Document(_) => Err(Fault::Legacy { path }.into()),
        Kind::Other(what) => Err(Fault::NotALedger { path, what }.into()),
    }
}

/// Refuses a checkpoint that was kept of another ledger: nothing can be compared with it.
pub(crate) fn refuse_other(path: &Path, kept: &Path, of: LedgerId) -> Result<()> {
    let line = first(path)?;
    let id = line.as_ref().and_then(|line| line.get("ledger_id")?.as_str());
    let Some(id) = id.and_then(LedgerId::from_hex).filter(|id| *id != of) else { return Ok(()) };
    Err(Fault::OtherCheckpoint { kept: kept.to_owned(), of, path: path.to_owned(), id }.into())
}

/// The file of a ledger in a directory, or the file itself.
pub(crate) fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(LEDGER_FILE) } else { path.to_owned() }
}

/// That a file cannot be read, in words.
pub fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// The lines of a ledger.
pub fn open(path: &Path) -> Result<LedgerReader> {
    LedgerReader::open(path)
        .map_err(|source| Fault::CannotOpen { path: path.to_owned(), source }.into())
}

/// The files beside that of a ledger, which are no links and nothing to wait for.
pub(crate) fn beside(ledger: &Path) -> RealFiles {
    RealFiles::new(match ledger.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    })
}
