//! Verifying a ledger file of version 0.1 in one pass, in bounded memory.
//!
//! Every line is looked at, also after a fault.
//!
//! Out of scope: opening files, deciding whom to trust, and what a record means.

use std::io::{self, BufRead, BufReader, Read};

use carbon_ops_proof::entry::{EntryHash, IMPORTED_FORMAT, Imported};
use carbon_ops_proof::keys::{PublicKey, Trust};
use carbon_ops_proof::lines::{self, next_line_within};
use carbon_ops_proof::verify::{MAX_FAULTS, Status, TornTail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::line::{ALGORITHM, LIMITS, Line, PREV_HASH, member, strip, text};
use crate::legacy_fault::{Fault, MAX_LINE_BYTES};

/// How many keys a report lists. The package accepts one in a ledger.
const MAX_KEYS: usize = 64;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Version of this report's form.
    pub schema_version: u32,
    /// The format that was verified: `0.1`.
    pub profile: &'static str,
    /// The verdict; [`Status::Tampered`] for every fault, also for those that Python accepts.
    pub status: Status,
    /// Records whose signature verifies, by a trusted key when one signed at least one.
    pub records: u64,
    /// Lines of any kind, a torn one included.
    pub lines: u64,
    /// The length of the file.
    pub file_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub file_sha256: String,
    /// What a record after the last of those would carry as `prev_hash`, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_hash: Option<String>,
    /// The keys that signed: the trusted ones, and up to 64 in all of the others.
    pub keys: Vec<KeyReport>,
    /// How many faults there are.
    pub fault_count: u64,
    /// How many of them Python accepts.
    pub python_accepts_count: u64,
    /// The first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<FaultReport>,
    /// The first [`MAX_FAULTS`] faults, in the order of lines.
    pub faults: Vec<FaultReport>,
    /// A last line without its newline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_tail: Option<TornTail>,
    /// What this format cannot show: [`LIMITS`].
    pub limits: [&'static str; LIMITS.len()],
}

impl Report {
    /// What the genesis of a ledger that continues this file says of it.
    #[must_use]
    pub fn imported(&self) -> Imported {
        let trusted = self.keys.iter().filter(|key| key.trusted);
        let mut keys: Vec<String> = trusted.map(|key| key.public_key.clone()).collect();
        keys.sort();
        Imported {
            format: IMPORTED_FORMAT.to_owned(),
            file_bytes: self.file_bytes,
            file_sha256: self.file_sha256.clone(),
            head_hash: self.head_hash.clone(),
            keys,
            records: self.records,
            verdict: self.status,
        }
    }
}

/// A key in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// 64 hexadecimal digits.
    pub public_key: String,
    /// `SHA256:` and base64.
    pub fingerprint: String,
    /// Whether the caller trusts it.
    pub trusted: bool,
    /// How many records it signed.
    pub records: u64,
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultReport {
    /// The line, from 1.
    pub line: u64,
    /// A stable name of the kind of fault.
    pub code: &'static str,
    /// Whether the Python package's validator lets it pass.
    pub python_accepts: bool,
    /// What is wrong, for people.
    pub reason: String,
}

/// Verifies a ledger file of version 0.1. Records count as genuine by the keys in `trust` only, never
/// by the key that a line names.
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
pub fn verify(reader: impl BufRead, trust: &Trust) -> io::Result<Report> {
    let mut reader = BufReader::new(Digesting { inner: reader, sha256: Sha256::new(), bytes: 0 });
    let mut state = State::new(trust);
    let mut line = lines::Line::default();
    while next_line_within(&mut reader, &mut line, MAX_LINE_BYTES)? {
        state.line_number += 1;
        state.line(&line);
    }
    if state.line_number == 0 {
        state.line_number = 1;
        state.fault(&Fault::EmptyFile);
        state.line_number = 0;
    }
    let Digesting { bytes, sha256, .. } = reader.into_inner();
    Ok(state.finish(bytes, &sha256.finalize().into()))
}

/// A reader that hashes what passes through it.
struct Digesting<R> {
    inner: R,
    sha256: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.sha256.update(out.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Records of one kind of key.
#[derive(Default)]
struct Tally {
    records: u64,
    head: Option<EntryHash>,
}

/// The record before, as far as the next one's `prev_hash` can be checked.
enum Before {
    /// There is none.
    Nothing,
    /// Its hash.
    Record(EntryHash),
    /// It could not be relied on, and has reported so.
    Unknown,
}

struct State<'t> {
    trust: &'t Trust,
    line_number: u64,
    before: Before,
    trusted: Tally,
    untrusted: Tally,
    keys: Vec<(PublicKey, u64)>,
    /// Lines by keys that are not trusted, a fault each if any other line is by one that is.
    foreign: Vec<FaultReport>,
    fault_count: u64,
    python_accepts_count: u64,
    faults: Vec<FaultReport>,
    torn_tail: Option<TornTail>,
    /// Whether the torn tail is a whole record by a trusted key.
    tail_is_trusted: bool,
}

impl<'t> State<'t> {
    fn new(trust: &'t Trust) -> Self {
        Self {
            trust,
            line_number: 0,
            before: Before::Nothing,
            trusted: Tally::default(),
            untrusted: Tally::default(),
            keys: Vec::new(),
            foreign: Vec::new(),
            fault_count: 0,
            python_accepts_count: 0,
            faults: Vec::new(),
            torn_tail: None,
            tail_is_trusted: false,
        }
    }

    fn line(&mut self, line: &lines::Line) {
        if !line.terminated && line.len <= MAX_LINE_BYTES as u64 {
            self.torn(line);
            return;
        }
        if line.len > MAX_LINE_BYTES as u64 {
            self.lost(&Fault::TooLong);
        } else if strip(&line.bytes).is_empty() {
            self.fault(&Fault::BlankLine);
        } else {
            match Line::parse(&line.bytes) {
                Ok(line) => self.record(&line),
                Err(fault) => self.lost(&fault),
            }
        }
    }

    fn record(&mut self, line: &Line) {
        for fault in &line.lax {
            self.fault(fault);
        }
        let Some(key) = self.signer(line) else {
            self.lost(&Fault::Signature);
            return;
        };
        if text(&line.members, "signing_key") != Some(key.to_hex().as_str()) {
            self.fault(&Fault::SigningKey);
        }
        if text(&line.members, "signature_algorithm") != Some(ALGORITHM) {
            self.fault(&Fault::Algorithm);
        }
        if let Err(fault) = self.check_link(line) {
            self.fault(&fault);
        }
        self.count(key, line.hash());
    }

    /// The key that made the signature: a trusted one, or else the one that the line names.
    fn signer(&self, line: &Line) -> Option<PublicKey> {
        let named = line.named_key();
        let first = named.filter(|key| self.trust.contains(*key));
        let others = self.trust.keys().filter(|key| Some(*key) != first);
        first.into_iter().chain(others).chain(named).find(|key| line.verifies(*key))
    }

    fn check_link(&self, line: &Line) -> Result<(), Fault> {
        let named = member(&line.members, PREV_HASH);
        match (&self.before, named) {
            (Before::Nothing, None) | (Before::Unknown, Some(_)) => Ok(()),
            (Before::Nothing, Some(_)) => Err(Fault::HeadMissing),
            (_, None) => Err(Fault::ChainRestart),
            (Before::Record(hash), Some(_)) => {
                let named = text(&line.members, PREV_HASH);
                if named == Some(hash.to_string().as_str()) { Ok(()) } else { Err(Fault::PrevHash) }
            }
        }
    }

    fn count(&mut self, key: PublicKey, hash: EntryHash) {
        self.before = Before::Record(hash);
        let is_trusted = self.trust.contains(key);
        let tally = if is_trusted { &mut self.trusted } else { &mut self.untrusted };
        tally.records += 1;
        tally.head = Some(hash);
        if let Some((_, records)) = self.keys.iter_mut().find(|(known, _)| *known == key) {
            *records += 1;
        } else if is_trusted || self.keys.len() < MAX_KEYS {
            self.keys.push((key, 1));
        }
        if !is_trusted && self.foreign.len() < MAX_FAULTS {
            let fault = Fault::UntrustedKey(key.to_hex());
            self.foreign.push(report(self.line_number, &fault));
        }
    }

    /// Whole but for its newline, or torn; of the only line it must be whole.
    fn torn(&mut self, line: &lines::Line) {
        let record = Line::parse(&line.bytes).ok().filter(|record| record.lax.is_empty());
        let record = record.filter(|record| self.check_link(record).is_ok());
        let key = record.and_then(|record| self.signer(&record));
        let by_trusted = key.is_some_and(|key| self.trust.contains(key));
        let whole = by_trusted || (key.is_some() && self.trusted.records == 0);
        self.tail_is_trusted = by_trusted;
        if self.line_number == 1 && !whole {
            self.fault(&Fault::Unterminated);
            return;
        }
        let (line, bytes) = (self.line_number, line.len);
        self.torn_tail = Some(TornTail { line, bytes, complete_entry: whole });
    }

    /// A fault of a line whose content is not to be relied on.
    fn lost(&mut self, fault: &Fault) {
        self.fault(fault);
        self.before = Before::Unknown;
    }

    fn fault(&mut self, fault: &Fault) {
        self.fault_count += 1;
        self.python_accepts_count += u64::from(fault.python_accepts());
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(report(self.line_number, fault));
        }
    }

    fn finish(mut self, file_bytes: u64, file_sha256: &[u8; 32]) -> Report {
        let any_trusted = self.trusted.records > 0 || self.tail_is_trusted;
        if any_trusted {
            self.fault_count += self.untrusted.records;
            self.faults.append(&mut self.foreign);
            self.faults.sort_by_key(|fault| fault.line);
            self.faults.truncate(MAX_FAULTS);
        }
        let status = if self.fault_count > 0 {
            Status::Tampered
        } else if !any_trusted {
            Status::Untrusted
        } else if self.torn_tail.is_some() {
            Status::TornTail
        } else {
            Status::Valid
        };
        let tally = if any_trusted { self.trusted } else { self.untrusted };
        let trust = self.trust;
        let key = |(key, records): (PublicKey, u64)| KeyReport {
            public_key: key.to_hex(),
            fingerprint: key.fingerprint(),
            trusted: trust.contains(key),
            records,
        };
        Report {
            schema_version: 1,
            profile: "0.1",
            status,
            records: tally.records,
            lines: self.line_number,
            file_bytes,
            file_sha256: base16ct::lower::encode_string(file_sha256),
            head_hash: tally.head.map(|hash| hash.to_string()),
            keys: self.keys.into_iter().map(key).collect(),
            fault_count: self.fault_count,
            python_accepts_count: self.python_accepts_count,
            first_fault: self.faults.first().cloned(),
            faults: self.faults,
            torn_tail: self.torn_tail,
            limits: LIMITS,
        }
    }
}

fn report(line: u64, fault: &Fault) -> FaultReport {
    let (code, python_accepts) = (fault.code(), fault.python_accepts());
    FaultReport { line, code, python_accepts, reason: fault.to_string() }
}
