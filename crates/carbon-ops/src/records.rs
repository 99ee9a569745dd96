//! Records to be read one by one: of ledgers, which are verified meanwhile, and of files of records.
//!
//! Corrections of a ledger are applied: a record that was replaced is read as it should have been, one that
//! was retracted is not there. A replacement has the `record_id` of what it replaces, and comes where it stands.
//!
//! Those of a choice alone are read, where one is made.
//!
//! Rule: what was made of records counts only when all have been read; a ledger may turn out not to be valid at its
//! end. No record is kept.
//!
//! Out of scope: what is made of them.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_proof::canonical::{Object, object_to_canonical};
use carbon_ops_proof::entry::{Control, Entry};
use carbon_ops_proof::superseded::{Amendments, Superseded};
use carbon_ops_proof::verify::{
    Payload, ReadBack, Settings as VerifySettings, Status, own_records, verify_records,
};
use carbon_ops_record::Error as RecordError;
pub use carbon_ops_record::reading::Read as Counted;
use carbon_ops_record::reading::{self, Found, InForce, Reading, Stands};
use carbon_ops_record::rows::Scratch;
use carbon_ops_record::totals::Choice;

use crate::brief;
use crate::env::Env;
use crate::fault::Fault;
pub use crate::fault::Output;
use crate::recompute::object;
use crate::settings::Settings;
use crate::verify::{anchors, file_of, open, read_back, trust};

/// Longest line of a file of records.
const LINE_BYTES_MAX: u64 = 65_535;

/// What was read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// How many, and why others were left out.
    pub entries: Counted,
    /// Ledgers that were verified.
    pub ledgers: u64,
    /// What was verified, in the order of the sources.
    pub verified: Vec<Verified>,
}

/// What was shown of a ledger that is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Its place.
    pub path: PathBuf,
    /// Its name.
    pub ledger_id: String,
    /// How many entries it has.
    pub entries: u64,
    /// The root of the tree over them, in base64.
    pub root: String,
    /// The fingerprint of the key of its first entry, which vouches for the others.
    pub key: String,
    /// How many entries the latest checkpoint beside it covers, which it agrees with; 0 without one.
    pub covered: u64,
}

/// How to read.
pub struct How<'a> {
    /// Keys that are trusted, as a file or in hex; `None` is the key store.
    pub trust: Option<&'a str>,
    /// Whether records of simulated sensors are kept.
    pub include_simulated: bool,
    /// Whether the rows of a monitor's samples are read beside their hosts, which hold them.
    pub parts: bool,
    /// Which records are meant.
    pub choice: &'a Choice,
    /// Whether those of other times are handed on as well, for what is a part of them.
    pub other_times: bool,
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

/// What is made of a record and its canonical text, on any thread and in any order.
/// It is told where the record stands: it is chosen, or of another time, where those are handed on as well.
pub type Prepare<'p, T> = reading::Prepare<'p, T, Error>;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The number of its ledger in [`Counts::verified`]; of a file, how many ledgers came before it.
    pub ledger: usize,
    /// Its own: that of its entry in a ledger, or of its line in a file.
    pub seq: u64,
    /// That of the entry that puts it in the place of another one.
    pub corrected_by: Option<u64>,
}

/// As [`each_at`], of which nobody asks where the records stand.
///
/// # Errors
/// The same.
pub fn each<T: Send>(
    paths: &[PathBuf],
    how: &How<'_>,
    prepare: &Prepare<'_, T>,
    accept: &mut dyn FnMut(T) -> Result<()>,
) -> Result<Counts> {
    each_at(paths, how, prepare, &mut |made, _| accept(made))
}

/// Reads everything, or says what cannot be believed. What `prepare` makes of each record is handed to `accept`, in
/// the order of the sources, and counts for nothing where this returns an error.
///
/// # Errors
/// A ledger that is not valid; a file that has something else than records; nothing to read; what `prepare` or
/// `accept` returns.
pub fn each_at<T: Send>(
    paths: &[PathBuf],
    how: &How<'_>,
    prepare: &Prepare<'_, T>,
    accept: &mut dyn FnMut(T, At) -> Result<()>,
) -> Result<Counts> {
    let default: Vec<PathBuf> = how.settings.ledger.value.iter().cloned().collect();
    let paths = if paths.is_empty() { &default } else { paths };
    if paths.is_empty() {
        return Err(Fault::NothingToRead.into());
    }
    let reading = Reading {
        include_simulated: how.include_simulated,
        choice: how.choice,
        other_times: how.other_times,
        prepare,
    };
    let mut counts = Counts::default();
    for path in paths {
        if is_ledger(path)? {
            ledger(path, how, &reading, accept, &mut counts)?;
        } else {
            file(path, how, &reading, accept, &mut counts)?;
        }
    }
    Ok(counts)
}

/// A file without a name, for what has to be known of many records.
///
/// # Errors
/// When there is no room for one; errors name the folder, since nobody named it.
pub fn scratch() -> io::Result<Box<dyn Scratch>> {
    scratch_in(&std::env::temp_dir())
}

fn scratch_in(folder: &Path) -> io::Result<Box<dyn Scratch>> {
    let file = tempfile::tempfile_in(folder).map_err(|error| in_folder(folder, &error))?;
    Ok(Box::new(Temporary { file, folder: folder.to_owned() }))
}

fn in_folder(folder: &Path, error: &io::Error) -> io::Error {
    let text = format!("no temporary file in {}: {error}", folder.display());
    io::Error::new(error.kind(), text)
}

/// A file without a name, and where it lies.
struct Temporary {
    file: std::fs::File,
    folder: PathBuf,
}

impl Read for Temporary {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl io::Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| in_folder(&self.folder, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl io::Seek for Temporary {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
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

/// Of a line of a file: of a sample it may be several.
fn of_line<T>(
    reading: &Reading<'_, T, Error>,
    object: Object,
    parts: bool,
) -> Result<Vec<Found<T>>> {
    if !brief::is_brief(&object) {
        return Ok(vec![reading.of_object(object)?]);
    }
    let text = object_to_canonical(&object);
    let records = brief::records(object, parts)?;
    records.into_iter().map(|record| reading.of(record, &text)).collect()
}

/// Counts what was found, and hands records on.
fn count<T>(
    found: Found<T>,
    at: At,
    accept: &mut dyn FnMut(T, At) -> Result<()>,
    into: &mut Counts,
) -> Result<()> {
    into.entries.count(found).map_or(Ok(()), |made| accept(made, at))
}

fn ledger<T: Send>(
    path: &Path,
    how: &How<'_>,
    reading: &Reading<'_, T, Error>,
    accept: &mut dyn FnMut(T, At) -> Result<()>,
    into: &mut Counts,
) -> Result<()> {
    let trust = trust(how.trust, how.settings, how.env)?;
    let cannot_read = || format!("cannot read {}", path.display());
    // Before the ledger, so that what is signed meanwhile is of no more lines than are read.
    let anchors = anchors(&file_of(path), None)?.0;
    let mut reader = open(path)?;
    let superseded = superseded(&mut reader).with_context(cannot_read)?;
    let (threads, active, read_back) = (Env::threads(), reader.active(), read_back(path)?);
    let read_back: Option<&ReadBack<'_>> = Some(&read_back);
    let settings = VerifySettings {
        anchors: &anchors,
        threads,
        active,
        read_back,
        ..VerifySettings::new(&trust)
    };
    let check = |payload: &Payload<'_>| Ok(reading.of_entry(payload, &superseded));
    let mut in_force = InForce::default();
    let mut failure = None;
    let mut accept_entry = |seq, found: Result<Found<T>>| {
        if failure.is_some() {
            return Ok(());
        }
        let (stands, found) = in_force.next(seq, found, reading);
        let Stands { seq, corrected_by } = stands;
        let at = At { ledger: into.verified.len(), seq, corrected_by };
        let counted = found.and_then(|found| count(found, at, accept, into));
        failure = counted.err().map(|error| (at.seq, error));
        Ok(())
    };
    let told = Told { inner: reader, bytes: 0, tell: how.tell };
    let reader = BufReader::with_capacity(1 << 18, told);
    let report =
        verify_records(reader, &settings, &check, &mut accept_entry).with_context(cannot_read)?;
    match report.status {
        Status::Valid | Status::TornTail => {}
        Status::Untrusted => return Err(Fault::Untrusted { path: path.to_owned() }.into()),
        _ => return Err(Fault::Invalid { path: path.to_owned() }.into()),
    }
    into.ledgers += 1;
    into.verified.push(Verified {
        path: path.to_owned(),
        key: report
            .keys
            .iter()
            .find(|key| key.genesis)
            .map_or_else(String::new, |key| key.fingerprint.clone()),
        ledger_id: report.ledger_id.unwrap_or_default(),
        entries: report.entries,
        root: report.root,
        covered: report.covered,
    });
    failure.map_or(Ok(()), |(seq, error)| {
        Err(located(error, || format!("entry {seq} of {}", path.display())))
    })
}

/// An error with the place of its record, unless it is none of the record's.
fn located(error: Error, place: impl Fn() -> String) -> Error {
    let of_scratch = matches!(error.downcast_ref(), Some(RecordError::Scratch(_)));
    if of_scratch { error } else { error.context(place()) }
}

/// What the ledger's own records say of others. Read from the same open files as what is verified.
fn superseded(ledger: &mut LedgerReader) -> io::Result<Superseded> {
    let mut amendments = Amendments::default();
    let active = ledger.active();
    let reader = BufReader::with_capacity(1 << 18, &mut *ledger);
    own_records(reader, active, &mut |seq, control| amendments.note(seq, control))?;
    ledger.rewind()?;
    Ok(amendments.settle())
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
        _ if has("ci_lower_g") && has("grams") && !has("inputs") => Some(Output::Row),
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

/// One record per line, or one in all.
fn file<T>(
    path: &Path,
    how: &How<'_>,
    reading: &Reading<'_, T, Error>,
    accept: &mut dyn FnMut(T, At) -> Result<()>,
    into: &mut Counts,
) -> Result<()> {
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
        let at = || format!("line {number} of {}", named());
        let read = object(text).and_then(|object| of_line(reading, object, how.parts));
        let only = read.as_ref().ok().and_then(|found| found.first());
        if matches!(only, None | Some(Found::Unread | Found::Newer)) {
            // Something else of our own is told as what it is.
            if let Some(own @ Output::WithoutTime) = output(text) {
                return Err(Fault::OwnOutput(own)).with_context(at);
            }
        }
        for found in read.with_context(|| format!("{} is not a record", at()))? {
            into.entries.unsigned += 1;
            let stands = At { ledger: into.verified.len(), seq: number, corrected_by: None };
            count(found, stands, accept, into).map_err(|error| located(error, at))?;
        }
    }
}

#[cfg(test)]
mod tests;
