//! Holding a ledger against its log of checkpoints: each note in it is compared with the tree when the
//! tree has that size, so that the log may be of any length.
//!
//! Cosignatures that arrive late are logged behind newer checkpoints; of these, the roots of the last
//! sizes that the log named are remembered. Pieces that are no note are what interrupted writes leave:
//! they are counted and no fault, because the log repeats what is signed and is not what is kept.
//! Out of scope: opening the file.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

use serde::Serialize;

use super::anchor::{Against, AnchorReport, AnchorVerdict, KeysAt};
use crate::checkpoint::{CHECKPOINT_LOG, Checkpoint, ORIGIN_PREFIX};
use crate::entry::LedgerId;
use crate::merkle::{TreeHash, empty_root};
use crate::note::{MAX_NOTE_BYTES, Note};

#[cfg(test)]
mod tests;

/// Of so many sizes that the log named the roots are remembered: far more than checkpoints are signed
/// while a witness takes its time.
const REMEMBERED: usize = 4096;

/// How many checkpoints that do not fit are named; the rest is counted.
const NAMED: usize = 20;

/// The beginning of a line of signature in a note (C2SP signed-note).
const SIGNATURE: &[u8] = "\u{2014} ".as_bytes();

/// Calls back with the next note of a log of checkpoints; see [`Notes::next`].
pub type NextNote<'a> = dyn Fn() -> io::Result<Option<Vec<u8>>> + 'a;

/// The pieces of a log of checkpoints, each a note if nothing interrupted its writing, read one at a
/// time.
///
/// ```
/// use carbon_ops_proof::verify::Notes;
/// let mut notes = Notes::new("a\n\n\u{2014} k x\nb\n\n\u{2014} k y\n".as_bytes());
/// assert_eq!(notes.next().unwrap(), Some("a\n\n\u{2014} k x\n".as_bytes().to_vec()));
/// assert_eq!(notes.next().unwrap(), Some("b\n\n\u{2014} k y\n".as_bytes().to_vec()));
/// assert_eq!(notes.next().unwrap(), None);
/// ```
#[derive(Debug)]
pub struct Notes<R> {
    reader: R,
    /// The first line of the next one, which ended the one before.
    line: Vec<u8>,
}

impl<R: BufRead> Notes<R> {
    /// From the beginning of the log on.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next piece: up to the last of some lines of signature, or to where a ledger's checkpoint
    /// begins. Of what is longer than any
    /// note, the rest is another piece, or several.
    ///
    /// # Errors
    ///
    /// When reading fails.
    #[expect(clippy::should_implement_trait, reason = "it fails, and is no iterator")]
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = std::mem::take(&mut self.line);
        let mut signed = piece.starts_with(SIGNATURE);
        loop {
            self.line.clear();
            let limit = MAX_NOTE_BYTES as u64;
            self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
            let signature = self.line.starts_with(SIGNATURE);
            // What was torn before its signatures ends where the next one begins.
            let begins = self.line.starts_with(ORIGIN_PREFIX.as_bytes());
            let too_long = piece.len() + self.line.len() > MAX_NOTE_BYTES;
            let ends = begins || too_long || (signed && !signature);
            if self.line.is_empty() || (ends && !piece.is_empty()) {
                return Ok((!piece.is_empty()).then_some(piece));
            }
            signed = signature;
            piece.append(&mut self.line);
        }
    }
}

/// What became of the checkpoints in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HistoryReport {
    /// Notes that the ledger fits.
    pub confirmed: u64,
    /// Notes that it does not fit, or that are not to be believed; the first of them are among the
    /// anchors.
    pub refuted: u64,
    /// Notes of an old size behind newer ones, too far behind to be compared.
    pub not_compared: u64,
    /// Pieces that are no note, as interrupted writes leave them.
    pub unreadable: u64,
    /// How many lines the largest confirmed one covers.
    pub covered: u64,
}

/// The log while lines pass.
#[derive(Clone)]
pub(super) struct History<'a> {
    next_note: &'a NextNote<'a>,
    /// What has been read and is of more lines than have passed.
    waiting: Option<(Checkpoint, Note)>,
    ended: bool,
    roots: BTreeMap<u64, TreeHash>,
    report: HistoryReport,
    refuted: Vec<AnchorReport>,
    failure: Option<Arc<io::Error>>,
}

impl std::fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("report", &self.report).finish_non_exhaustive()
    }
}

impl<'a> History<'a> {
    pub(super) fn new(next_note: &'a NextNote<'a>) -> Self {
        Self {
            next_note,
            waiting: None,
            ended: false,
            roots: BTreeMap::from([(0, empty_root())]),
            report: HistoryReport::default(),
            refuted: Vec::new(),
            failure: None,
        }
    }

    /// Whether a checkpoint of so many lines, or of fewer, may come next.
    pub(super) fn wants(&self, size: u64) -> bool {
        !self.ended && self.waiting.as_ref().is_none_or(|(checkpoint, _)| checkpoint.size <= size)
    }

    /// Judges the notes of up to so many lines, which have this root.
    pub(super) fn judge(
        &mut self,
        (size, root): (u64, TreeHash),
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) {
        while let Some((checkpoint, note)) = self.waiting.take().or_else(|| self.read()) {
            if checkpoint.size > size {
                self.waiting = Some((checkpoint, note));
                return;
            }
            if checkpoint.size == size {
                self.roots.insert(size, root);
                if self.roots.len() > REMEMBERED {
                    self.roots.pop_first();
                }
            }
            self.compare(&checkpoint, &note, size, id, keys_at);
        }
    }

    /// The next note that is a checkpoint of a ledger.
    fn read(&mut self) -> Option<(Checkpoint, Note)> {
        while !self.ended {
            match (self.next_note)() {
                Ok(Some(piece)) => {
                    let note = Note::parse(&piece);
                    let read = note.and_then(|note| Ok((Checkpoint::of_note(&note)?, note)));
                    match read {
                        Ok(read) => return Some(read),
                        Err(_) => self.report.unreadable += 1,
                    }
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(Arc::new(error));
                }
            }
        }
        None
    }

    /// Holds a checkpoint against the ledger, which has `now` lines.
    fn compare(
        &mut self,
        checkpoint: &Checkpoint,
        note: &Note,
        now: u64,
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) {
        let (size, root) = (checkpoint.size, self.roots.get(&checkpoint.size).copied());
        let is_ours = id.is_none_or(|id| id == checkpoint.ledger_id);
        if is_ours && root.is_none() && size <= now {
            self.report.not_compared += 1;
            return;
        }
        match (Against { id, size: now, root, keys_at }).judge(checkpoint, Some(note)) {
            (AnchorVerdict::Confirmed, _) => {
                self.report.confirmed += 1;
                self.report.covered = self.report.covered.max(size);
            }
            (verdict, reason) => {
                self.report.refuted += 1;
                if self.refuted.len() < NAMED {
                    let (source, size) = (CHECKPOINT_LOG.to_owned(), Some(size));
                    self.refuted.push(AnchorReport { source, size, verdict, reason, signed: true });
                }
            }
        }
    }

    /// Why the log could not be read.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_deref()
    }

    /// The verdicts, when all lines have passed: `size` of them. What is of more lines was signed when
    /// there were more.
    pub(super) fn finish(
        mut self,
        size: u64,
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) -> (HistoryReport, Vec<AnchorReport>) {
        while let Some((checkpoint, note)) = self.waiting.take().or_else(|| self.read()) {
            self.compare(&checkpoint, &note, size, id, keys_at);
        }
        (self.report, self.refuted)
    }
}
