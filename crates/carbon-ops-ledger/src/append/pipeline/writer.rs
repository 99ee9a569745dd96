//! The one thread that touches the ledger: takes turns with other processes, gives entries their
//! places, writes and syncs what the signers have finished, acknowledges it, signs checkpoints.
//!
//! In a turn, under the lock, everything happens in order on this thread: a batch is written only when
//! the one before is durable, so that a crash leaves at most one batch in doubt. While it waits for the
//! disk, the signers work on what was given its place before. After any error nothing is acknowledged
//! any more.
//!
//! Out of scope: the signers and the queue, and what a torn batch becomes, which is `recover` of the ledger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use carbon_ops_proof::entry::{Durability, Fault, Head, Place};
use jiff::Timestamp;

use super::intake::{Acknowledged, Answers, Intake, Outcome, PendingAck, Submission, Wake};
use super::signers::{ChunkSigner, NotSigned, SignedChunk, Signers, Unsigned};
use super::succession::Succession;
use crate::append::ledger::{KnownEnd, Ledger, Repair, fatal, io_error, take_lock};
use crate::append::tree::CHECKPOINT_EVERY;
use crate::error::Error;
use crate::files::Holder;
use crate::storage::Storage;

/// How many bytes a batch has at most: what is written between two syncs.
const MAX_BATCH_BYTES: usize = carbon_ops_proof::torn::MAX_BATCH_BYTES;
/// How many lines a batch has at most.
const MAX_BATCH_LINES: usize = 1024;
/// How long an entry is without a checkpoint at most, while a pipeline lives and gets its turns.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);
/// How far apart checkpoints are at least.
const CHECKPOINT_SPACING: Duration = Duration::from_millis(100);
/// How many entries are signed at a time: half a millisecond of work, so that waking a thread for them
/// costs little and neither thread waits long for the other.
const CHUNK_LINES: usize = 32;
/// How many bytes of payload a chunk has at most, but for one that is larger by itself: an eighth of a
/// batch, so that batches fill well.
const CHUNK_BYTES: usize = MAX_BATCH_BYTES / 8;
/// So few entries are signed on the spot: waking another thread would take as long.
const SIGN_HERE: usize = 2;
/// How many entries may have their place and not be written: a tenth of a second of signing on two
/// cores, so that these go on while a checkpoint is made durable.
const MAX_AHEAD: usize = 8192;
/// The same where others wait for the lock: what a turn that ends has to finish.
const MAX_AHEAD_CONTENDED: usize = 1024;
/// While more are being signed, a batch of fewer lines waits for them, so that a sync is worth its cost:
/// a few milliseconds of signing.
const WORTH_A_SYNC: usize = 256;
/// After so long a turn ends when somebody else waits. With what is under way then, it stays below a
/// tenth of a second.
const TURN: Duration = Duration::from_millis(50);
/// How long the lock is kept with nothing to do, for submitters that wait for each entry.
const IDLE: Duration = Duration::from_millis(5);
/// How large a part of the time may go into checkpoints before they are spaced further apart: one in ten.
const CHECKPOINT_SHARE: u32 = 10;

/// What stops a pipeline, which all who wait are told.
type Result<T, E = Arc<Error>> = std::result::Result<T, E>;

/// After how many bytes it is noted how far the keys of the ledger are known: what has to be searched
/// after a crash takes some milliseconds.
const KEEP_ROSTER_EVERY: u64 = 16 << 20;

/// A number that the ledger can still give: entries count below 2^53.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// The clocks that a pipeline goes by.
pub trait Clock: Send {
    /// Now, for recovery records.
    fn utc(&self) -> Timestamp;

    /// How long it has been since some moment, for delays and checkpoints. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// What a pipeline has done in its life.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stored {
    /// How many entries were acknowledged.
    pub entries: u64,
    /// In how many batches.
    pub batches: u64,
    /// How many checkpoints were signed.
    pub checkpoints: u64,
    /// How many segments were sealed.
    pub segments: u64,
    /// What had to be repaired before this writer's entries could be appended, after the opening.
    pub repairs: Vec<Repair>,
    /// Why the last entries have no checkpoint, or the history of checkpoints lacks it. They are stored all
    /// the same.
    pub no_checkpoint: Option<Arc<Error>>,
}

/// Who signs: threads, this one where there is little to do, and who comes after.
#[derive(Debug)]
pub(super) struct SigningContext<'k> {
    pub(super) succession: &'k Succession,
    pub(super) signers: Signers,
    pub(super) chunk_signer: ChunkSigner,
}

pub(super) struct Writer<'k, S, C> {
    ledger: Ledger<'k, S>,
    intake: Arc<Intake>,
    context: SigningContext<'k>,
    clock: C,
    /// How long the file is, in a turn.
    len: u64,
    /// The end of what has its place.
    next: Head,
    /// The number of the first chunk that is being signed, and of the next to be made.
    signing: std::ops::Range<u64>,
    /// How many entries each of them has.
    signing_lines: VecDeque<usize>,
    /// Signed chunks, in order.
    ready: VecDeque<SignedChunk>,
    ready_lines: usize,
    ready_bytes: usize,
    /// When the first of them was ready.
    ready_since: Option<Duration>,
    /// What was written and not synced: bytes, lines, and when the first of it was written. Only with
    /// [`Durability::Async`].
    unsynced: (usize, usize),
    unsynced_since: Option<Duration>,
    /// When the first entry without a checkpoint was written by this writer.
    uncovered_since: Option<Duration>,
    last_checkpoint: Option<Duration>,
    spacing: Duration,
    /// How long the ledger was when it was last noted how far the keys in it are known.
    roster_kept: u64,
    segment_bytes: u64,
    /// Whether others waited when this was last looked at.
    contended: bool,
    answers: Answers,
    stored: Stored,
}

impl<S, C> std::fmt::Debug for Writer<'_, S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl<'k, S: Storage, C: Clock> Writer<'k, S, C> {
    pub(super) fn new(
        ledger: Ledger<'k, S>,
        intake: Arc<Intake>,
        context: SigningContext<'k>,
        clock: C,
        segment_bytes: u64,
    ) -> Self {
        let next = ledger.head;
        Self {
            ledger,
            intake,
            context,
            clock,
            len: 0,
            next,
            signing: 0..0,
            signing_lines: VecDeque::new(),
            ready: VecDeque::new(),
            ready_lines: 0,
            ready_bytes: 0,
            ready_since: None,
            unsynced: (0, 0),
            unsynced_since: None,
            uncovered_since: None,
            last_checkpoint: None,
            spacing: CHECKPOINT_SPACING,
            roster_kept: 0,
            segment_bytes,
            // Until it is known better.
            contended: true,
            answers: Answers::default(),
            stored: Stored::default(),
        }
    }

    /// Works until the intake is closed and empty.
    ///
    /// Gives back what it did and, as an error, what stopped it. Everybody who waits has been answered then.
    pub(super) fn run(mut self) -> (Stored, Result<()>) {
        let result = self.turns();
        if let Err(cause) = &result {
            let ready = self.ready.drain(..).flat_map(|chunk| chunk.entries);
            let mut left: Vec<_> = ready.map(|entry| entry.ack).collect();
            left.extend(self.context.signers.end());
            self.stop(left, cause, false);
        }
        (self.stored, result)
    }

    /// Takes no more, and answers entries that are not acknowledged because of `cause`.
    fn stop(&mut self, entries: Vec<PendingAck>, cause: &Arc<Error>, written: bool) {
        self.intake.stop(cause);
        for ack in entries {
            let outcome = Outcome::Stopped { cause: Arc::clone(cause), written };
            ack.answer(outcome, &mut self.answers);
        }
        self.answers.tell();
    }

    fn turns(&mut self) -> Result<()> {
        loop {
            let wake = self.intake.wait(self.until_checkpoint());
            if wake == Wake::Closed && self.uncovered_since.is_none() {
                return Ok(());
            }
            // Crash here: the kernel drops the lock of a dead process, and nothing was changed.
            match take_lock(&mut self.ledger.storage, self.ledger.options.patience, false) {
                Ok(()) => {}
                Err(Error::Busy { waited, holder, .. }) if wake != Wake::Closed => {
                    self.refuse_waiting(waited, holder.as_ref());
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let result = self.turn();
            self.ledger.storage.unlock();
            let retired = |cause: &Arc<Error>| matches!(**cause, Error::KeyNotInRoster { .. });
            if result.as_ref().is_err_and(retired) && self.context.succession.succeed() {
                // That is found at the beginning of a turn: nothing has its place yet, and what waits
                // is signed by the next one.
                continue;
            }
            result?;
            if wake == Wake::Closed {
                return Ok(());
            }
        }
    }

    /// What is done under the lock.
    fn turn(&mut self) -> Result<()> {
        let began = self.clock.monotonic();
        let mut repairs = Vec::new();
        let recovered = self.ledger.recover(self.clock.utc(), &mut repairs);
        self.stored.repairs.extend(repairs);
        self.len = recovered?;
        self.next = self.ledger.head;
        let (mut ending, mut looked) = (false, began);
        loop {
            let now = self.clock.monotonic();
            if !ending && now.saturating_sub(began) >= TURN && now.saturating_sub(looked) >= IDLE {
                looked = now;
                ending = self.others_wait()?;
                self.contended = ending;
            }
            if !ending {
                self.give_places()?;
            }
            self.collect()?;
            self.checkpoint_if_due()?;
            let hurry = ending || self.intake.is_closed();
            if self.worth_writing(hurry) {
                self.write_batch()?;
                self.seal_if_full()?;
            } else if !self.signing.is_empty() {
                self.context.signers.wait(self.signing.start..=self.wait_for());
            } else if ending || !self.wait_in_turn(hurry)? {
                break;
            }
        }
        self.sync_unsynced()?;
        self.checkpoint_if_due()
    }

    fn others_wait(&mut self) -> Result<bool> {
        let storage = &mut self.ledger.storage;
        Ok(storage.others_wait().map_err(|e| io_error(storage, "look at the lock of", e))?)
    }

    /// The chunk to wait for: with it a batch is worth a sync.
    fn wait_for(&self) -> u64 {
        let wanted = WORTH_A_SYNC.saturating_sub(self.ready_lines).div_ceil(CHUNK_LINES).max(1);
        (self.signing.start + wanted as u64).min(self.signing.end) - 1
    }

    /// Nothing is being signed: waits for more to do, without giving the lock up. False when there is
    /// none.
    fn wait_in_turn(&mut self, hurry: bool) -> Result<bool> {
        let now = self.clock.monotonic();
        let deadline = match (self.ledger.durability, self.ready_since, self.unsynced_since) {
            (Durability::Group(delay), Some(since), _)
            | (Durability::Async(delay), _, Some(since)) => Some(since + delay),
            _ => None,
        };
        if hurry && deadline.is_none() {
            // The last ones may just have come in.
            return Ok(self.intake.wait(Some(Duration::ZERO)) == Wake::Work);
        }
        let patience = deadline.map_or(IDLE, |deadline| deadline.saturating_sub(now));
        let patience = if hurry { Duration::ZERO } else { patience };
        let came = self.intake.wait(Some(patience)) == Wake::Work;
        if !came && !self.unsynced_is_empty() {
            self.sync_unsynced()?;
        }
        Ok(came || deadline.is_some())
    }

    /// Gives places to what has come in, and gives it to the signers.
    fn give_places(&mut self) -> Result<()> {
        let most = if self.contended { MAX_AHEAD_CONTENDED } else { MAX_AHEAD };
        let ahead = self.signing_lines.iter().sum::<usize>() + self.ready_lines;
        let room = most.saturating_sub(ahead);
        let taken = self.intake.take(room);
        let (alone, count) = (self.signing.is_empty(), taken.len());
        let lines = count.div_ceil(self.context.signers.count()).clamp(1, CHUNK_LINES);
        let (mut chunk, mut bytes) = (Vec::with_capacity(lines), 0);
        for submission in taken {
            let Some(entry) = self.give_place(submission) else { continue };
            bytes += entry.template.bytes();
            chunk.push(entry);
            if chunk.len() >= lines || bytes >= CHUNK_BYTES {
                let whole = std::mem::replace(&mut chunk, Vec::with_capacity(lines));
                self.sign(whole, alone && count <= SIGN_HERE)?;
                bytes = 0;
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.sign(chunk, alone && count <= SIGN_HERE) }
    }

    fn give_place(&mut self, submission: Submission) -> Option<Unsigned> {
        let Submission { template, ack } = submission;
        let place = Place { ledger_id: self.ledger.id, after: Some(self.next) };
        if self.next.seq >= MAX_SEQ || !template.fits(&place) {
            let fault = if self.next.seq >= MAX_SEQ {
                Fault::Member { name: "seq", expected: "below 2^53" }
            } else {
                Fault::TooLong
            };
            self.intake.release(template.bytes());
            ack.answer(Outcome::Refused(fault), &mut self.answers);
            self.answers.tell();
            return None;
        }
        let (signed_bytes, hash) = template.signed_bytes(&place);
        self.next = Head { seq: place.seq(), hash };
        Some(Unsigned { template, place, signed_bytes, hash, ack })
    }

    fn sign(&mut self, chunk: Vec<Unsigned>, here: bool) -> Result<()> {
        if here && self.signing.is_empty() {
            let signed = self.context.chunk_signer.sign(chunk);
            return self.take_signed(signed);
        }
        self.signing_lines.push_back(chunk.len());
        self.context.signers.put(self.signing.end, chunk);
        self.signing.end += 1;
        Ok(())
    }

    /// Takes what the signers have finished, in order.
    fn collect(&mut self) -> Result<()> {
        while !self.signing.is_empty()
            && let Some(signed) = self.context.signers.take(self.signing.start)
        {
            self.signing.start += 1;
            self.signing_lines.pop_front();
            self.take_signed(signed)?;
        }
        Ok(())
    }

    fn take_signed(&mut self, signed: Result<SignedChunk, NotSigned>) -> Result<()> {
        let chunk = match signed {
            Ok(chunk) => chunk,
            Err(NotSigned { error, entries }) => {
                let cause = Arc::new(error);
                self.stop(entries, &cause, false);
                return Err(cause);
            }
        };
        self.ready_lines += chunk.entries.len();
        self.ready_bytes += chunk.bytes.len();
        self.ready_since.get_or_insert_with(|| self.clock.monotonic());
        self.ready.push_back(chunk);
        Ok(())
    }

    /// Whether what is ready is to be written now.
    fn worth_writing(&self, hurry: bool) -> bool {
        let full = self.ready_lines + CHUNK_LINES > MAX_BATCH_LINES
            || self.ready_bytes + 2 * CHUNK_BYTES > MAX_BATCH_BYTES;
        let all = self.ready_lines > 0 && self.signing.is_empty();
        match (self.ledger.durability, self.ready_since) {
            _ if full => true,
            (Durability::Group(delay), Some(since)) if !hurry => {
                self.clock.monotonic().saturating_sub(since) >= delay && self.ready_lines > 0
            }
            _ => all || self.ready_lines >= WORTH_A_SYNC,
        }
    }

    /// Writes one batch of what is ready, makes it durable and acknowledges it.
    fn write_batch(&mut self) -> Result<()> {
        let (mut bytes, mut lines, mut batch) =
            (Vec::with_capacity(self.ready_bytes), 0, Vec::new());
        let mut last_line = 0;
        while let Some(chunk) = self.ready.front() {
            let fits = bytes.len() + chunk.bytes.len() <= MAX_BATCH_BYTES
                && lines + chunk.entries.len() <= MAX_BATCH_LINES;
            if !fits && lines > 0 {
                break;
            }
            let Some(chunk) = self.ready.pop_front() else { break };
            last_line = bytes.len() + chunk.last_line;
            bytes.extend_from_slice(&chunk.bytes);
            lines += chunk.entries.len();
            batch.push(chunk);
        }
        self.ready_lines -= lines;
        self.ready_bytes -= bytes.len();
        self.ready_since = (self.ready_lines > 0).then(|| self.clock.monotonic());
        let written = self.make_durable(&bytes, lines);
        if let Err((cause, written)) = written {
            let entries = batch.into_iter().flat_map(|chunk| chunk.entries);
            self.stop(entries.map(|entry| entry.ack).collect(), &cause, written);
            return Err(cause);
        }
        self.advance(&bytes, last_line, &batch);
        self.acknowledge(batch);
        Ok(())
    }

    /// Writes at the end; durable as soon as the ledger's class asks for. With an error, whether the
    /// batch may be in the file.
    fn make_durable(&mut self, bytes: &[u8], lines: usize) -> Result<(), (Arc<Error>, bool)> {
        let asynchronous = matches!(self.ledger.durability, Durability::Async(_));
        let (unsynced_bytes, unsynced_lines) = self.unsynced;
        let too_much = unsynced_bytes + bytes.len() > MAX_BATCH_BYTES
            || unsynced_lines + lines > MAX_BATCH_LINES;
        if asynchronous && too_much {
            self.sync_unsynced().map_err(|e| (e, false))?;
        }
        self.ledger.write_unsynced(bytes, self.len).map_err(|error| {
            let written = error.is_fatal();
            (error.into(), written)
        })?;
        if asynchronous {
            self.unsynced.0 += bytes.len();
            self.unsynced.1 += lines;
            self.unsynced_since.get_or_insert_with(|| self.clock.monotonic());
            return Ok(());
        }
        self.ledger.sync().map_err(|error| (error.into(), true))
        // Crash here: the batch is durable and its submitters do not know. It stays.
    }

    /// What is in the file now is what the next batch follows.
    fn advance(&mut self, bytes: &[u8], last_line: usize, batch: &[SignedChunk]) {
        let (at, length) = (self.len, bytes.len() as u64);
        self.len += length;
        let entries = batch.iter().flat_map(|chunk| &chunk.entries);
        if let Some(last) = entries.clone().last() {
            self.ledger.head = Head { seq: last.seq, hash: last.hash };
        }
        let line = bytes.get(last_line..bytes.len().saturating_sub(1)).unwrap_or_default();
        self.ledger.end = Some(KnownEnd { len: self.len, line: line.to_vec() });
        self.ledger.known.appended(at, self.len);
        if let Some(tree) = &mut self.ledger.tree {
            tree.append(at, entries.map(|entry| entry.leaf), length);
        }
        self.uncovered_since.get_or_insert_with(|| self.clock.monotonic());
        self.stored.batches += 1;
    }

    /// Seals what was appended once it is as large as a segment may be.
    fn seal_if_full(&mut self) -> Result<()> {
        let storage = &mut self.ledger.storage;
        let sealed = storage.sealed().map_err(|e| io_error(storage, "look at", e))?;
        if self.len.saturating_sub(sealed) <= self.segment_bytes {
            return Ok(());
        }
        self.sync_unsynced()?;
        let (storage, last) = (&mut self.ledger.storage, self.ledger.head.seq);
        let segment = storage.seal(last).map_err(|e| fatal(storage, "seal", e))?;
        self.stored.segments += u64::from(segment.is_some());
        Ok(())
    }

    fn acknowledge(&mut self, batch: Vec<SignedChunk>) {
        let mut pending_bytes = 0;
        for entry in batch.into_iter().flat_map(|chunk| chunk.entries) {
            pending_bytes += entry.pending_bytes;
            let acknowledged = Acknowledged { seq: entry.seq, hash: entry.hash };
            entry.ack.answer(Outcome::Acknowledged(acknowledged), &mut self.answers);
            self.stored.entries += 1;
        }
        self.intake.release(pending_bytes);
        self.answers.tell();
    }

    fn unsynced_is_empty(&self) -> bool {
        self.unsynced_since.is_none()
    }

    /// Makes durable what was acknowledged before it was.
    fn sync_unsynced(&mut self) -> Result<()> {
        if self.unsynced_since.take().is_some() {
            self.ledger.sync()?;
            self.unsynced = (0, 0);
        }
        Ok(())
    }

    /// When the next checkpoint is due at the latest, from now.
    fn until_checkpoint(&self) -> Option<Duration> {
        let since = self.uncovered_since?;
        Some((since + CHECKPOINT_AFTER).saturating_sub(self.clock.monotonic()))
    }

    /// Signs a checkpoint if one is due.
    fn checkpoint_if_due(&mut self) -> Result<()> {
        let Some(since) = self.uncovered_since else { return Ok(()) };
        let now = self.clock.monotonic();
        let uncovered = (self.ledger.head.seq + 1).saturating_sub(self.ledger.signed_size);
        let rested =
            self.last_checkpoint.is_none_or(|last| now.saturating_sub(last) >= self.spacing);
        let many = uncovered >= CHECKPOINT_EVERY && rested;
        let old = now.saturating_sub(since) >= CHECKPOINT_AFTER;
        let last = self.intake.is_closed()
            && self.signing.is_empty()
            && self.ready.is_empty()
            && self.intake.wait(Some(Duration::ZERO)) == Wake::Closed;
        if !(many || old || last) {
            return Ok(());
        }
        self.sync_unsynced()?;
        let signed = self.ledger.sign_checkpoint(self.len);
        self.uncovered_since = None;
        let after = self.clock.monotonic();
        self.last_checkpoint = Some(after);
        let took = after.saturating_sub(now);
        self.spacing = CHECKPOINT_SPACING.max(took * CHECKPOINT_SHARE);
        match signed {
            Ok(signed) => {
                if last || self.len.saturating_sub(self.roster_kept) >= KEEP_ROSTER_EVERY {
                    self.ledger.keep_roster();
                    self.roster_kept = self.len;
                }
                self.stored.checkpoints += 1;
                self.stored.no_checkpoint = signed.not_logged;
            }
            // Nothing more is put behind lines that are not those that were signed for.
            Err(error) if error.is_fatal() || error.proves_rewriting() => return Err(error.into()),
            // Rule: a step that fails behind an entry is never told as a failure of the entry.
            Err(error) => {
                self.stored.no_checkpoint = Some(error.into());
                self.spacing = self.spacing.max(CHECKPOINT_AFTER);
            }
        }
        Ok(())
    }

    /// Nobody gets the lock: those who wait are told, so that they can decide.
    fn refuse_waiting(&mut self, waited: Duration, holder: Option<&Holder>) {
        for submission in self.intake.take(usize::MAX) {
            self.intake.release(submission.template.bytes());
            let outcome = Outcome::Busy(waited, holder.cloned());
            submission.ack.answer(outcome, &mut self.answers);
        }
        self.answers.tell();
    }
}
