//! Verifying a whole ledger in one pass, whatever its length, in bounded memory, on as many
//! threads as wanted.
//!
//! Every line is looked at, also after a fault, so that a report tells how much is wrong and not
//! only that something is. What one line tells by itself (form, hashes, signature) is examined in
//! `verify/line.rs`, in parallel; what follows from its place (who may sign, order, links, the tree)
//! is judged in `verify/sequence.rs`, in the order of lines, so that the report does not depend on
//! the number of threads.
//!
//! Out of scope: opening files, deciding whom to trust, and what a payload means, for which the
//! caller passes a check.

use std::io::{self, BufRead};
use std::num::NonZeroUsize;

use serde::Serialize;

use crate::canonical::Object;
use crate::entry::Imported;
use crate::keys::Trust;

mod anchor;
mod chunk;
mod history;
mod leaves;
mod life;
mod line;
mod parallel;
mod sequence;
mod signers;
#[cfg(test)]
mod tests;
mod whole;

pub use crate::entry::Payload;
pub use crate::status::Status;
pub use anchor::{Anchor, AnchorKind, AnchorReport, AnchorVerdict};
pub use history::{HistoryReport, Log, NextNote, Notes};
pub use leaves::ReadBack;
pub use life::{DueReport, GapReport, LatestReport, Life, SilenceReport, TurnBackReport};
pub use line::{Check, Examined, Examiner, StoredLine};
pub use sequence::Sequence;
pub use signers::SuspectReport;
use whole::Whole;

/// How many faults a report lists; the rest is only counted.
pub const MAX_FAULTS: usize = 1000;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Version of this report's form.
    pub schema_version: u32,
    /// The verdict.
    pub status: Status,
    /// Lines that are valid entries, the genesis included.
    pub entries: u64,
    /// Lines of any kind, a torn one included.
    pub lines: u64,
    /// The ledger's name, once an authentic entry told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_id: Option<String>,
    /// When the ledger was made, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_ts: Option<String>,
    /// The older ledger that this one continues, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// The number of the last authentic entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// What an entry after the last authentic one would carry as `prev_hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_hash: Option<String>,
    /// The keys that the genesis lists and those that joined later; without a genesis the trusted ones
    /// that were seen.
    pub keys: Vec<KeyReport>,
    /// How many lines are the ledger's own records, also among those that were only compared.
    pub own_records: u64,
    /// How many recovery records there are.
    pub recoveries: u64,
    /// How often the keys that may sign were changed.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotations: u64,
    /// Entries by keys that the ledger says were compromised: authentic, and not to be relied on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<SuspectReport>,
    /// What the records about records tell.
    #[serde(flatten)]
    pub life: Life,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<FaultReport>,
    /// The first [`MAX_FAULTS`] faults, in the order of lines.
    pub faults: Vec<FaultReport>,
    /// What an interrupted write left at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_tail: Option<TornTail>,
    /// How many whole lines the tree has.
    pub tree_size: u64,
    /// The root of the tree over them, in base64.
    pub root: String,
    /// What the ledger was held against.
    pub anchors: Vec<AnchorReport>,
    /// What became of the log of checkpoints, if it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryReport>,
    /// How many lines the latest confirmed checkpoint covers; 0 without one.
    pub covered: u64,
    /// How many lines were only compared with a checkpoint, as wholes, and not looked into.
    pub compared: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// Adds what is wrong with the files that the lines came from: a ledger of which one is missing,
    /// there twice or renamed is not as it was written.
    pub fn add_faults(&mut self, faults: impl IntoIterator<Item = FaultReport>) {
        let before = self.faults.len();
        // The cause stands before its consequences in the lines.
        self.faults.splice(..0, faults);
        let added = self.faults.len() - before;
        if added == 0 {
            return;
        }
        self.faults.sort_by_key(|fault| fault.line);
        self.faults.truncate(MAX_FAULTS);
        self.fault_count += added as u64;
        self.first_fault = self.faults.first().cloned();
        self.status = Status::Tampered;
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
    /// Whether the caller trusts this very key.
    pub trusted: bool,
    /// Whether it signed the genesis, and so vouches for the others.
    pub genesis: bool,
    /// The number of the entry through which it is trusted all the same: the genesis or a key rotation
    /// that names it, if the key that signed the genesis is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_through: Option<u64>,
    /// How many valid entries it signed.
    pub entries: u64,
    /// The number of the entry that added it; none for the keys of the genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_seq: Option<u64>,
    /// The number of the entry that retired it, the last one that it may sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_seq: Option<u64>,
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultReport {
    /// The line, from 1.
    pub line: u64,
    /// The number that the line gives itself, when that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// A stable name of the kind of fault.
    pub code: &'static str,
    /// What is wrong, for people.
    pub reason: String,
}

impl FaultReport {
    /// What is wrong with the files of a ledger, from the line numbered `line` on; see
    /// [`Report::add_faults`].
    #[must_use]
    pub fn outside(line: u64, code: &'static str, reason: String) -> Self {
        Self { line, seq: None, code, reason }
    }
}

/// What an interrupted write left: a last line, or more when several were written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The line that it begins with, from 1.
    pub line: u64,
    /// How many bytes to the end of the file.
    pub bytes: u64,
    /// Whether it is a valid entry that lacks only its newline.
    pub complete_entry: bool,
}

/// What to verify a ledger with.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Whom the user trusts.
    pub trust: &'a Trust,
    /// What was signed for earlier; see [`verify_against`].
    pub anchors: &'a [Anchor],
    /// How many lines to compare only; see [`verify_against`].
    pub since: u64,
    /// Where the active file begins in the ledger, behind the sealed segments: the sectors that an
    /// interrupted write leaves out are counted from there. 0 for one file.
    pub active: u64,
    /// How many threads examine lines. With one, everything happens on the calling thread, and none is
    /// started: in a browser none can be.
    pub threads: NonZeroUsize,
    /// Called now and then with how far the verification has come.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// Reads the ledger again where a line names an earlier one. Without it, 32 bytes are kept of each
    /// line.
    pub read_back: Option<&'a ReadBack<'a>>,
    /// The ledger's log of checkpoints: each note in it has to be confirmed by the tree.
    pub history: Option<Log<'a>>,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Lines judged so far.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<'a> Settings<'a> {
    /// On the calling thread, against nothing that was signed for earlier.
    #[must_use]
    pub fn new(trust: &'a Trust) -> Self {
        Self {
            trust,
            anchors: &[],
            since: 0,
            active: 0,
            threads: NonZeroUsize::MIN,
            progress: None,
            read_back: None,
            history: None,
        }
    }

    /// How many lines are only compared: none unless an anchor covers just these.
    fn compared(&self) -> u64 {
        let covers = |a: &Anchor| a.checkpoint().is_some_and(|c| c.size == self.since);
        if self.anchors.iter().any(covers) { self.since } else { 0 }
    }
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("anchors", &self.anchors)
            .field("since", &self.since)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Verifies a ledger.
///
/// `check` is called with all members of each authentic entry that is not one of the ledger's own
/// records; what it returns as an error becomes a fault of that line.
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
///
/// ```
/// use carbon_ops_proof::keys::Trust;
/// use carbon_ops_proof::verify::{Status, verify};
/// let report = verify(&b""[..], &Trust::new(), &mut |_| Ok(())).unwrap();
/// assert_eq!((report.status, report.lines), (Status::Tampered, 0));
/// ```
pub fn verify(
    reader: impl BufRead,
    trust: &Trust,
    check: &mut dyn FnMut(&Object) -> Result<(), String>,
) -> io::Result<Report> {
    verify_against(reader, trust, &[], 0, check)
}

/// Verifies a ledger and holds it against what was signed for earlier.
///
/// The first `since` lines, which one of the anchors has to cover, are only hashed and compared with
/// it as wholes (and the genesis is verified as ever): who verified them when that anchor was made need
/// not do it again. A ledger that is shorter than an anchor, or fits together and not with an anchor, is
/// [`Status::Rewritten`].
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
pub fn verify_against(
    reader: impl BufRead,
    trust: &Trust,
    anchors: &[Anchor],
    since: u64,
    check: &mut dyn FnMut(&Object) -> Result<(), String>,
) -> io::Result<Report> {
    let settings = Settings { anchors, since, ..Settings::new(trust) };
    let all = |payload: &Payload<'_>| Ok(payload.to_object());
    verify_records(reader, &settings, &all, &mut |_, object| check(&object))
}

/// Verifies a ledger on several threads, and what its records say in two steps.
///
/// `check` is called on any thread and in any order, for entries that carry a valid signature and are
/// not the ledger's own records; also for some that turn out not to belong here. What it returns for
/// those that do is handed to `accept`, with the entry's number, on the calling thread and in the order
/// of lines. What either returns as an error becomes a fault of that line. What a correction puts in the place of a record goes the same way, with the number of the correction;
/// it is told from a record by the six members of every line, which it does not have.
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
///
/// ```
/// use carbon_ops_proof::keys::Trust;
/// use carbon_ops_proof::verify::{Payload, Settings, Status, verify_records};
/// let trust = Trust::new();
/// let settings = Settings { threads: 2.try_into().unwrap(), ..Settings::new(&trust) };
/// let mut records = Vec::new();
/// let check = |record: &Payload<'_>| record.member("kind").ok_or("what is it?".to_owned());
/// let report = verify_records(&b""[..], &settings, &check, &mut |seq, kind| {
///     records.push((seq, kind));
///     Ok(())
/// });
/// assert_eq!((report.unwrap().status, records.len()), (Status::Tampered, 0));
/// ```
pub fn verify_records<T: Send>(
    reader: impl BufRead,
    settings: &Settings<'_>,
    check: &Check<'_, T>,
    accept: &mut dyn FnMut(u64, T) -> Result<(), String>,
) -> io::Result<Report> {
    let mut sequence = Sequence::new(settings);
    let mut whole = Whole::new(reader, settings.active);
    let judge = &mut |line| sequence.push(line, accept);
    parallel::examine_all(&mut whole, settings, check, judge)?;
    if let Some(bytes) = whole.torn_bytes() {
        sequence.push_torn(bytes);
    }
    sequence.failure().map_or_else(|| Ok(sequence.finish()), Err)
}
