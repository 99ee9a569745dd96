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

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical};
use carbon_ops_proof::entry::{Control, Entry, RESERVED_MEMBERS};
use carbon_ops_proof::keys::PublicKey;
use carbon_ops_proof::superseded::{Amendments, Standing, Superseded};
use carbon_ops_proof::verify::{
    Payload, ReadBack, Settings as VerifySettings, Status, own_records, verify_records,
};
use carbon_ops_record::rows::Scratch;
use carbon_ops_record::totals::{Choice, Place};
use carbon_ops_record::{Error as RecordError, Record, RecordKind, SCHEMA_VERSION};

use crate::brief;
use crate::env::Env;
use crate::fault::Fault;
pub use crate::fault::Output;
use crate::recompute::object;
use crate::settings::Settings;
use crate::verify::{Owner, anchors, file_of, open, read_back, record_of, trust};

/// Longest line of a file of records.
const LINE_BYTES_MAX: u64 = 65_535;

/// What was read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Records that were handed on.
    pub records: u64,
    /// Ledgers that were verified.
    pub ledgers: u64,
    /// Records of files, which nobody signed.
    pub unsigned: u64,
    /// Records that a correction replaced or retracted.
    pub superseded: u64,
    /// Records by a key that the ledger says was in other hands then; they are left out.
    pub suspect: u64,
    /// Entries of other programs and of other versions, whatever later entries say of them.
    pub unread: u64,
    /// Records of simulated sensors that were left out.
    pub simulated: u64,
    /// Records that began before the period that was chosen, or after it.
    pub other_times: u64,
    /// Records that do not have in common what was chosen.
    pub others: u64,
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
pub type Prepare<'p, T> = dyn Fn(Record, &[u8], Place) -> Result<T> + Sync + 'p;

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
    let made = Made {
        simulated: how.include_simulated,
        choice: how.choice,
        other_times: how.other_times,
        prepare,
    };
    let mut counts = Counts::default();
    for path in paths {
        if is_ledger(path)? {
            ledger(path, how, &made, accept, &mut counts)?;
        } else {
            file(path, how, &made, accept, &mut counts)?;
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

/// What is made of records, and of which.
struct Made<'p, T> {
    simulated: bool,
    choice: &'p Choice,
    other_times: bool,
    prepare: &'p Prepare<'p, T>,
}

/// What a line, or a correction, comes to.
enum Found<T> {
    Record(T),
    /// Of another time, handed on.
    OtherTime(T),
    /// Of another time, or of others.
    NotChosen(Place),
    Unread,
    Simulated,
    Suspect,
    Retracted,
    /// By the correction of this number, which has no id of its own; and whether it was a record.
    Corrected(u64, Option<Value>, bool),
    Correction(Object),
}

impl<T> Made<'_, T> {
    fn of(&self, record: Record, text: &[u8]) -> Result<Found<T>> {
        if record.is_simulated() && !self.simulated {
            return Ok(Found::Simulated);
        }
        Ok(match self.choice.place(&record)? {
            Place::Chosen => Found::Record((self.prepare)(record, text, Place::Chosen)?),
            Place::OtherTime if self.other_times => {
                Found::OtherTime((self.prepare)(record, text, Place::OtherTime)?)
            }
            place => Found::NotChosen(place),
        })
    }

    /// Of an object, which may hold members of a ledger.
    fn of_object(&self, mut object: Object) -> Result<Found<T>> {
        let ours =
            object.get("kind").and_then(Value::as_str) == Some(RecordKind::CarbonOps.as_str());
        let version = object.get("schema_version").and_then(Value::as_u64);
        if !ours || version.is_some_and(|version| version != SCHEMA_VERSION) {
            return Ok(Found::Unread);
        }
        for name in RESERVED_MEMBERS {
            object.remove(name);
        }
        let text = object_to_canonical(&object);
        self.of(Record::from_json(object.into())?, &text)
    }

    /// Of a line of a file: of a sample it may be several.
    fn of_line(&self, object: Object, parts: bool) -> Result<Vec<Found<T>>> {
        if !brief::is_brief(&object) {
            return Ok(vec![self.of_object(object)?]);
        }
        let text = object_to_canonical(&object);
        let records = brief::records(object, parts)?;
        records.into_iter().map(|record| self.of(record, &text)).collect()
    }

    /// Of an entry of a ledger.
    fn of_entry(&self, payload: &Payload<'_>, superseded: &Superseded) -> Result<Found<T>> {
        let Some(seq) = payload.member("seq").and_then(|seq| seq.as_u64()) else {
            // What a correction puts in a record's place stands in no line.
            return Ok(Found::Correction(payload.to_object()));
        };
        // Rule: what is counted as a record is one, and all else as what was not read.
        let is_record = matches!(Owner::of(payload), Owner::Us);
        let or_unread = |found| if is_record { found } else { Found::Unread };
        if superseded.has_thefts() {
            let key = payload.member("signing_key");
            let key = key.as_ref().and_then(Value::as_str).and_then(|key| key.parse().ok());
            if key.and_then(|key: PublicKey| superseded.suspect(seq, key)).is_some() {
                return Ok(or_unread(Found::Suspect));
            }
        }
        match superseded.standing(seq) {
            Some(Standing::Corrected(by)) => {
                return Ok(Found::Corrected(by, payload.member("record_id"), is_record));
            }
            Some(Standing::Retracted(_)) => return Ok(or_unread(Found::Retracted)),
            Some(Standing::Restated(_)) | None => {}
        }
        if !is_record {
            return Ok(Found::Unread);
        }
        let text = payload.to_canonical();
        self.of(record_of(payload).map_err(|reason| anyhow!(reason))?, text.as_bytes())
    }
}

/// Counts what was found, and hands records on.
fn count<T>(
    found: Found<T>,
    at: At,
    accept: &mut dyn FnMut(T, At) -> Result<()>,
    into: &mut Counts,
) -> Result<()> {
    let count = match found {
        Found::Record(record) => {
            into.records += 1;
            return accept(record, at);
        }
        Found::OtherTime(record) => {
            into.other_times += 1;
            return accept(record, at);
        }
        Found::NotChosen(Place::Other) => &mut into.others,
        Found::NotChosen(_) => &mut into.other_times,
        Found::Unread | Found::Corrected(.., false) => &mut into.unread,
        Found::Simulated => &mut into.simulated,
        Found::Suspect => &mut into.suspect,
        Found::Retracted | Found::Corrected(..) => &mut into.superseded,
        // Of an entry that is no record, or that another correction replaces.
        Found::Correction(_) => return Ok(()),
    };
    *count += 1;
    Ok(())
}

fn ledger<T: Send>(
    path: &Path,
    how: &How<'_>,
    made: &Made<'_, T>,
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
    let check = |payload: &Payload<'_>| Ok(made.of_entry(payload, &superseded));
    // By the number of the correction, which records it replaces.
    let mut corrected: HashMap<u64, (u64, Option<Value>)> = HashMap::new();
    let mut failure = None;
    let mut accept_entry = |seq, found: Result<Found<T>>| {
        if failure.is_some() {
            return Ok(());
        }
        let ledger = into.verified.len();
        let (mut at, mut found) = (At { ledger, seq, corrected_by: None }, found);
        match found {
            Ok(Found::Corrected(by, ref mut id, _)) => {
                corrected.insert(by, (seq, id.take()));
            }
            Ok(Found::Correction(mut payload)) => {
                let Some((of, id)) = corrected.remove(&seq) else { return Ok(()) };
                // It stands in that one's place, for what was measured inside of it as well.
                if let Some(id) = id {
                    payload.insert("record_id", id);
                }
                at = At { ledger, seq: of, corrected_by: Some(seq) };
                found = made.of_object(payload);
            }
            _ => {}
        }
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
    made: &Made<'_, T>,
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
        let read = object(text).and_then(|object| made.of_line(object, how.parts));
        let only = read.as_ref().ok().and_then(|found| found.first());
        if matches!(only, None | Some(Found::Unread)) {
            // Something else of our own is told as what it is.
            if let Some(own @ Output::WithoutTime) = output(text) {
                return Err(Fault::OwnOutput(own)).with_context(at);
            }
        }
        for found in read.with_context(|| format!("{} is not a record", at()))? {
            into.unsigned += 1;
            let stands = At { ledger: into.verified.len(), seq: number, corrected_by: None };
            count(found, stands, accept, into).map_err(|error| located(error, at))?;
        }
    }
}

#[cfg(test)]
mod tests;
