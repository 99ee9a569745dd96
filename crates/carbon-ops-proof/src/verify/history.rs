//! Holding a ledger against its log of checkpoints: each note in it is compared with the tree when the
//! tree has that size, so that the log may be of any length.
//!
//! Rule: every note is compared, wherever in the log it stands. What stands behind a larger one (a cosignature
//! that arrived late, or another history) is known from a first reading of the log ([`Notes::behind`]), and
//! the roots of these sizes are remembered. What an interrupted write left is counted and no fault, because
//! the log repeats what is signed and is not what is kept; a piece that was written whole and is no checkpoint
//! is one.
//!
//! Out of scope: opening the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

use serde::Serialize;

use super::anchor::{Against, AnchorReport, AnchorVerdict, KeysAt};
use crate::checkpoint::{CHECKPOINT_LOG, Checkpoint, ORIGIN_PREFIX};
use crate::entry::LedgerId;
use crate::merkle::{TreeHash, empty_root};
use crate::note::{MAX_NOTE_BYTES, Note, NoteError};

#[cfg(test)]
mod tests;

/// How many checkpoints that do not fit are named; the rest is counted.
const NAMED: usize = 20;

/// The beginning of a line of signature in a note (C2SP signed-note).
const SIGNATURE: &[u8] = "\u{2014} ".as_bytes();

/// Calls back with the next note of a log of checkpoints; see [`Notes::next`].
pub type NextNote<'a> = dyn Fn() -> io::Result<Option<Vec<u8>>> + 'a;

/// A log of checkpoints.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// The notes, in their order.
    pub next: &'a NextNote<'a>,
    /// The sizes that it names behind larger ones; see [`Notes::behind`].
    pub behind: &'a BTreeSet<u64>,
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("behind", &self.behind).finish_non_exhaustive()
    }
}

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

impl<R: BufRead> Notes<R> {
    /// The sizes that the rest of the log names behind larger ones: 8 bytes for each note that does.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn behind(mut self) -> io::Result<BTreeSet<u64>> {
        let (mut largest, mut behind) = (0, BTreeSet::new());
        while let Some(piece) = self.next()? {
            match read(&piece).map_or(0, |(checkpoint, _)| checkpoint.size) {
                size if size < largest => drop(behind.insert(size)),
                size => largest = size,
            }
        }
        Ok(behind)
    }
}

/// How many characters in base64 the shortest signature has: 4 bytes of the key's identity and 64.
const SIGNATURE_CHARS: usize = 92;

/// The checkpoint in a piece of the log. What is wrong with one that is none; nothing is where an interrupted
/// write can have left it: a piece without a whole signature, with the zeros of a sector that was not written,
/// or with the beginning of one more signature at its end, before which a whole note is one.
fn read(piece: &[u8]) -> Result<(Checkpoint, Note), Option<NoteError>> {
    let note = |bytes: &[u8]| {
        let note = Note::parse(bytes)?;
        Ok((Checkpoint::of_note(&note)?, note))
    };
    let last = piece.strip_suffix(b"\n").unwrap_or(piece);
    let begins = memchr::memrchr(b'\n', last).map_or(0, |at| at + 1);
    let (whole, last) = last.split_at(begins);
    let begun = last.starts_with(SIGNATURE) || SIGNATURE.starts_with(last);
    let found = note(piece).or_else(|error| if begun { note(whole) } else { Err(error) });
    let is_signed = piece.split_inclusive(|b| *b == b'\n').any(|line| {
        line.starts_with(SIGNATURE) && line.ends_with(b"\n") && word(line) >= SIGNATURE_CHARS
    });
    let torn = !is_signed || piece.contains(&0) || (begun && word(last) < SIGNATURE_CHARS);
    match found {
        Ok(found) if is_signed => Ok(found),
        Err(error) if !torn => Err(Some(error)),
        _ => Err(None),
    }
}

/// How long the last word of a line is.
fn word(line: &[u8]) -> usize {
    line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().map_or(0, <[u8]>::len)
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
    /// Notes that could not be compared, since the log was changed while it was read.
    pub not_compared: u64,
    /// Pieces that are no note, as interrupted writes leave them.
    pub unreadable: u64,
    /// How many lines the largest confirmed one covers.
    pub covered: u64,
}

/// The log while lines pass.
#[derive(Clone)]
pub(super) struct History<'a> {
    log: Log<'a>,
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
    pub(super) fn new(log: Log<'a>) -> Self {
        Self {
            log,
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
        let next = || self.waiting.as_ref().is_none_or(|(checkpoint, _)| checkpoint.size <= size);
        self.log.behind.contains(&size) || (!self.ended && next())
    }

    /// Judges the notes of up to so many lines, which have this root.
    pub(super) fn judge(
        &mut self,
        (size, root): (u64, TreeHash),
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) {
        if self.log.behind.contains(&size) {
            self.roots.insert(size, root);
        }
        while let Some((checkpoint, note)) = self.waiting.take().or_else(|| self.read()) {
            if checkpoint.size > size {
                self.waiting = Some((checkpoint, note));
                return;
            }
            let known = self.roots.get(&checkpoint.size).copied();
            let root = (checkpoint.size == size).then_some(root).or(known);
            self.compare((&checkpoint, &note), (size, root), id, keys_at);
        }
    }

    /// The next note that is a checkpoint of a ledger.
    fn read(&mut self) -> Option<(Checkpoint, Note)> {
        while !self.ended {
            match (self.log.next)() {
                Ok(Some(piece)) => match read(&piece) {
                    Ok(read) => return Some(read),
                    Err(None) => self.report.unreadable += 1,
                    Err(Some(error)) => {
                        self.refute(None, (AnchorVerdict::Refused, Some(error.to_string())));
                    }
                },
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(Arc::new(error));
                }
            }
        }
        None
    }

    /// Holds a checkpoint against the ledger, which has `now` lines, and whose root was this one when it had
    /// as many as the checkpoint.
    fn compare(
        &mut self,
        (checkpoint, note): (&Checkpoint, &Note),
        (now, root): (u64, Option<TreeHash>),
        id: Option<LedgerId>,
        keys_at: &KeysAt<'_>,
    ) {
        let size = checkpoint.size;
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
            refuted => self.refute(Some(size), refuted),
        }
    }

    fn refute(&mut self, size: Option<u64>, (verdict, reason): (AnchorVerdict, Option<String>)) {
        self.report.refuted += 1;
        if self.refuted.len() < NAMED {
            let source = CHECKPOINT_LOG.to_owned();
            self.refuted.push(AnchorReport { source, size, verdict, reason, signed: true });
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
            let root = self.roots.get(&checkpoint.size).copied();
            self.compare((&checkpoint, &note), (size, root), id, keys_at);
        }
        (self.report, self.refuted)
    }
}
