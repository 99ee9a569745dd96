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

use memchr::memmem;

use crate::canonical::Object;
use crate::entry::{Control, Entry, OWN};
use crate::keys::Trust;
use crate::lines::{Line, next_line};

mod anchor;
mod chunk;
mod history;
mod leaves;
mod life;
mod line;
mod parallel;
mod report;
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
pub use report::{FaultReport, KeyReport, MAX_FAULTS, Progress, Report, Settings, TornTail};
pub use sequence::Sequence;
pub use signers::SuspectReport;
use whole::Whole;

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

/// Calls `each` with each of the ledger's own records and its number, in the order of lines: what they say of
/// others, for whoever has to know that before the others are read. A torn end, which [`verify_records`] does not
/// count either, is left out; `active` is that of [`Settings`].
///
/// Nothing is verified. Most lines are only looked at.
///
/// # Errors
///
/// Only when reading fails.
pub fn own_records(
    reader: impl BufRead,
    active: u64,
    each: &mut dyn FnMut(u64, Control),
) -> io::Result<()> {
    let (own, mut whole, mut line) =
        (memmem::Finder::new(OWN), Whole::new(reader, active), Line::default());
    while next_line(&mut whole, &mut line)? {
        if line.terminated
            && own.find(&line.bytes).is_some()
            && let Ok(entry) = Entry::parse(&line.bytes)
            && let Ok(Some(control)) = entry.control()
        {
            each(entry.seq(), control);
        }
    }
    Ok(())
}
