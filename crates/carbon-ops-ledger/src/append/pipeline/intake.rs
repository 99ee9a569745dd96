//! The way in: submitters, the queue that they share, and the tickets that they get.
//!
//! Whoever submits writes the payload out in canonical form, so that this cost is borne in parallel,
//! and waits while too much of theirs, or too much of all, is under way. Every ticket gets an answer,
//! also when a thread dies: what drops the other half of a ticket settles it.
//!
//! Out of scope: numbers, links and signatures (`writer.rs`, `signers.rs`).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::entry::{EntryHash, Fault, Head, LedgerId, Place, Template, check_payload};

use crate::error::{Error, Result};
use crate::files::Holder;

/// How many bytes of payloads may be under way in all; a submitter waits for room beyond. A thousand
/// of the longest entries.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// An entry that was acknowledged, as the ledger's durability class has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledged {
    /// Its number.
    pub seq: u64,
    /// What the next entry carries as `prev_hash`.
    pub hash: EntryHash,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Outcome {
    Acknowledged(Acknowledged),
    /// This entry breaks the format where it would have stood.
    Refused(Fault),
    /// Another process held the lock for too long.
    Busy(Duration, Option<Holder>),
    /// The writer stopped; `written` when the entry may be in the file all the same.
    Stopped {
        cause: Arc<Error>,
        written: bool,
    },
}

/// Somebody who submits entries. Its entries are appended in the order in which it submits them. A
/// clone is another submitter: with an order and a limit of its own.
#[derive(Debug)]
pub struct Submitter {
    intake: Arc<Intake>,
    account: Arc<Account>,
}

impl Clone for Submitter {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.intake))
    }
}

impl Submitter {
    pub(super) fn new(intake: Arc<Intake>) -> Self {
        Self { intake, account: Arc::default() }
    }

    /// Hands an entry over. Waits while this submitter has as many under way as
    /// [`PipelineOptions::in_flight`](super::PipelineOptions::in_flight) allows, or all of them
    /// together have 64 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEntry`] when the payload breaks the format; nothing else is affected.
    /// [`Error::Stopped`] and [`Error::Closed`] when the pipeline takes no more.
    pub fn submit(&self, payload: &Object) -> Result<Ticket> {
        check_payload(payload).map_err(Error::InvalidEntry)?;
        let template = Template::new(payload);
        if !template.fits(&self.intake.first_place) {
            return Err(Error::InvalidEntry(Fault::TooLong));
        }
        self.account.enter(self.intake.in_flight);
        let slot = Arc::new(Slot { outcome: OnceLock::new(), account: Arc::clone(&self.account) });
        let submission = Submission {
            template,
            // Dropping this on an error below leaves the account.
            ack: PendingAck {
                slot: Arc::clone(&slot),
                intake: Arc::clone(&self.intake),
                answered: false,
            },
        };
        self.intake.put(submission)?;
        Ok(Ticket { slot, path: Arc::clone(&self.intake.path) })
    }
}

/// A claim to hear what became of an entry. Dropping it does not take the entry back.
#[derive(Debug)]
#[must_use = "without waiting for it nobody knows whether the entry is durable"]
pub struct Ticket {
    slot: Arc<Slot>,
    path: Arc<PathBuf>,
}

impl Ticket {
    /// Waits until the entry is acknowledged.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEntry`] and [`Error::Busy`] when this entry was not appended and the pipeline
    /// goes on; [`Error::Stopped`] when the pipeline stopped before it could be acknowledged.
    pub fn wait(self) -> Result<Acknowledged> {
        let outcome = self.slot.account.outcome(&self.slot);
        match outcome {
            Outcome::Acknowledged(acknowledged) => Ok(*acknowledged),
            Outcome::Refused(fault) => Err(Error::InvalidEntry(fault.clone())),
            Outcome::Busy(waited, holder) => Err(Error::Busy {
                path: self.path.with_file_name(crate::names::LOCK_FILE),
                waited: *waited,
                holder: holder.clone(),
            }),
            Outcome::Stopped { cause, written } => Err(Error::Stopped {
                path: self.path.to_path_buf(),
                cause: Arc::clone(cause),
                written: *written,
            }),
        }
    }

    /// Whether [`Ticket::wait`] would return at once.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.slot.outcome.get().is_some()
    }
}

#[derive(Debug)]
struct Slot {
    /// Set once, before the account is told.
    outcome: OnceLock<Outcome>,
    account: Arc<Account>,
}

/// What one submitter has under way.
#[derive(Debug, Default)]
pub(super) struct Account {
    in_flight: Mutex<usize>,
    /// Something was settled.
    changed: Condvar,
}

impl Account {
    fn enter(&self, limit: usize) {
        let mut in_flight = lock(&self.in_flight);
        while *in_flight >= limit {
            in_flight = wait(&self.changed, in_flight);
        }
        *in_flight += 1;
    }

    fn leave(&self, count: usize) {
        let mut in_flight = lock(&self.in_flight);
        *in_flight = in_flight.saturating_sub(count);
        drop(in_flight);
        self.changed.notify_all();
    }

    fn outcome<'s>(&self, slot: &'s Slot) -> &'s Outcome {
        if let Some(outcome) = slot.outcome.get() {
            return outcome;
        }
        let mut guard = lock(&self.in_flight);
        loop {
            // Under the lock: whoever settles sets the outcome before it takes the lock.
            if let Some(outcome) = slot.outcome.get() {
                return outcome;
            }
            guard = wait(&self.changed, guard);
        }
    }
}

/// The other half of a ticket. Whoever has it owes an answer.
#[derive(Debug)]
pub(super) struct PendingAck {
    slot: Arc<Slot>,
    intake: Arc<Intake>,
    answered: bool,
}

impl PendingAck {
    /// Answers; the submitter is told by [`Answers::tell`].
    pub(super) fn answer(mut self, outcome: Outcome, answers: &mut Answers) {
        self.answered = self.slot.outcome.set(outcome).is_ok();
        let account = &self.slot.account;
        match answers.accounts.iter_mut().rev().find(|(other, _)| Arc::ptr_eq(other, account)) {
            Some((_, count)) => *count += 1,
            None => answers.accounts.push((Arc::clone(account), 1)),
        }
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        if !self.answered {
            let path = self.intake.path.to_path_buf();
            let cause = self.intake.stopped().unwrap_or_else(|| Arc::new(Error::Closed { path }));
            // Whoever did not settle it does not know, so it may have been written.
            let _ = self.slot.outcome.set(Outcome::Stopped { cause, written: true });
            self.slot.account.leave(1);
        }
    }
}

/// Answers that were given and not yet told, by submitter: one wake-up for each and not one for each
/// entry.
#[derive(Debug, Default)]
pub(super) struct Answers {
    accounts: Vec<(Arc<Account>, usize)>,
}

impl Answers {
    pub(super) fn tell(&mut self) {
        for (account, count) in self.accounts.drain(..) {
            account.leave(count);
        }
    }
}

/// An entry that waits for its number.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) template: Template,
    pub(super) ack: PendingAck,
}

/// Why [`Intake::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Work,
    /// Nothing came in time.
    Late,
    /// Nothing is left and nothing more will come.
    Closed,
}

/// The queue of all submitters.
#[derive(Debug)]
pub(super) struct Intake {
    path: Arc<PathBuf>,
    in_flight: usize,
    /// Where an entry's line is shortest.
    first_place: Place,
    queue: Mutex<Queue>,
    /// There is work, or there will be no more.
    work: Condvar,
    /// There is room for bytes, or there will never be.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    submissions: VecDeque<Submission>,
    /// Of all that is under way, whether it still waits here or not.
    pending_bytes: usize,
    closed: bool,
    stopped: Option<Arc<Error>>,
    /// Whether the writer waits and has to be woken.
    waiting: bool,
}

impl Intake {
    pub(super) fn new(path: PathBuf, in_flight: usize) -> Self {
        let after = Some(Head { seq: 0, hash: EntryHash([0; 32]) });
        Self {
            path: Arc::new(path),
            in_flight: in_flight.max(1),
            first_place: Place { ledger_id: LedgerId([0; 16]), after },
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn put(&self, submission: Submission) -> Result<()> {
        let bytes = submission.template.bytes();
        let mut queue = lock(&self.queue);
        loop {
            if let Some(cause) = &queue.stopped {
                let (path, cause) = (self.path.to_path_buf(), Arc::clone(cause));
                drop(queue);
                return Err(Error::Stopped { path, cause, written: false });
            }
            if queue.closed {
                drop(queue);
                return Err(Error::Closed { path: self.path.to_path_buf() });
            }
            if queue.pending_bytes == 0 || queue.pending_bytes + bytes <= MAX_PENDING_BYTES {
                break;
            }
            queue = wait(&self.room, queue);
        }
        queue.pending_bytes += bytes;
        queue.submissions.push_back(submission);
        let wake = std::mem::take(&mut queue.waiting);
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Takes up to so many submissions.
    pub(super) fn take(&self, lines: usize) -> Vec<Submission> {
        let mut queue = lock(&self.queue);
        let count = lines.min(queue.submissions.len());
        queue.submissions.drain(..count).collect()
    }

    /// So many bytes are no longer under way.
    pub(super) fn release(&self, bytes: usize) {
        let mut queue = lock(&self.queue);
        let full =
            queue.pending_bytes + carbon_ops_proof::entry::MAX_LINE_BYTES > MAX_PENDING_BYTES;
        queue.pending_bytes = queue.pending_bytes.saturating_sub(bytes);
        drop(queue);
        if full {
            self.room.notify_all();
        }
    }

    /// Waits for submissions, as long as `patience` if it is given.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Wake {
        let mut queue = lock(&self.queue);
        let mut late = false;
        loop {
            if !queue.submissions.is_empty() {
                return Wake::Work;
            }
            if queue.closed {
                return Wake::Closed;
            }
            if late {
                queue.waiting = false;
                return Wake::Late;
            }
            queue.waiting = true;
            match patience {
                None => queue = wait(&self.work, queue),
                Some(patience) => {
                    let waited = self.work.wait_timeout(queue, patience);
                    let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    queue = guard;
                    late = timeout.timed_out();
                }
            }
        }
    }

    /// Whether no more will come.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }

    /// Takes no more; what is here is still worked on.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.work.notify_one();
        self.room.notify_all();
    }

    /// Takes no more, and answers everybody who waits here.
    pub(super) fn stop(&self, cause: &Arc<Error>) {
        let mut queue = lock(&self.queue);
        queue.stopped.get_or_insert_with(|| Arc::clone(cause));
        queue.closed = true;
        let left: Vec<_> = queue.submissions.drain(..).collect();
        drop(queue);
        self.room.notify_all();
        let mut answers = Answers::default();
        for submission in left {
            let outcome = Outcome::Stopped { cause: Arc::clone(cause), written: false };
            submission.ack.answer(outcome, &mut answers);
        }
        answers.tell();
    }

    pub(super) fn stopped(&self) -> Option<Arc<Error>> {
        lock(&self.queue).stopped.clone()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

/// A thread that panicked holding a lock left nothing half done: each section here only counts or
/// moves one thing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn wait<'g, T>(condvar: &Condvar, guard: MutexGuard<'g, T>) -> MutexGuard<'g, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
