//! What a verification is asked, and what it found.
//!
//! Out of scope: finding it.

use std::num::NonZeroUsize;

use serde::Serialize;

use super::anchor::{Anchor, AnchorReport};
use super::history::{HistoryReport, Log};
use super::leaves::ReadBack;
use super::life::{Life, is_zero};
use super::signers::SuspectReport;
use crate::entry::{Continued, Imported};
use crate::keys::Trust;
use crate::status::Status;

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
    /// The ledger of version 0.1 that this one continues, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// The ledger of this version that this one continues, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continued>,
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
    /// What was signed for earlier; see [`verify_against`](super::verify_against).
    pub anchors: &'a [Anchor],
    /// How many lines to compare only; see [`verify_against`](super::verify_against).
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
    pub(super) fn compared(&self) -> u64 {
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
