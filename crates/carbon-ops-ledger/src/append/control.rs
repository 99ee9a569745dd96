//! Appending the ledger's own records: changes of keys, corrections, restatements, gaps, heartbeats.
//!
//! Each is a turn of its own, durable before it is acknowledged, so that no other line can share its
//! fate in a crash.
//!
//! Out of scope: deciding what to record.

use std::io;
use std::ops::ControlFlow;

use carbon_ops_proof::entry::{
    AddedKey, Control, Correction, CorrectionReason, Entry, Fault, KeyRotation, Outcome,
    RetiredKey, RotationReason, possession_text,
};
use carbon_ops_proof::keys::{PublicKey, Signer};
use carbon_ops_proof::merkle::leaf_hash;
use carbon_ops_proof::roster::Roster;
use carbon_ops_proof::seek::{lines_from, offset_of};
use jiff::Timestamp;

use super::ledger::{Appended, Ledger, damaged, io_error};
use crate::error::{Error, Result};
use crate::names::ROSTER_STATE_FILE;
use crate::storage::Storage;
use crate::tail::{Tail, Window};

/// A change of keys that is wanted.
#[derive(Default)]
pub struct Rotation<'a> {
    /// Keys that join and are at hand: they sign their own proofs.
    pub add: Vec<&'a dyn Signer>,
    /// Keys of others that join, with the proofs that their holders made for the entry that comes next.
    pub add_proven: Vec<AddedKey>,
    /// Keys that leave; perhaps the signer's own.
    pub retire: Vec<RetiredKey>,
    /// Why.
    pub reason: Option<RotationReason>,
}

impl std::fmt::Debug for Rotation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let joins: Vec<PublicKey> = self.add.iter().map(|signer| signer.public_key()).collect();
        f.debug_struct("Rotation")
            .field("add", &joins)
            .field("add_proven", &self.add_proven)
            .field("retire", &self.retire)
            .field("reason", &self.reason)
            .finish()
    }
}

/// A correction that is wanted: the ledger looks up the line that it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// The number of the record, or of an earlier correction of it.
    pub corrects: u64,
    /// Why.
    pub reason: CorrectionReason,
    /// Why, for people.
    pub note: Option<String>,
    /// What stands instead.
    pub outcome: Outcome,
    /// The number of the restatement that this is part of.
    pub restatement: Option<u64>,
}

impl<S: Storage> Ledger<'_, S> {
    /// Who may sign, as far as this writer has looked.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        self.known.roster()
    }

    /// Appends a record of the ledger's own: a correction, a restatement, a gap or a heartbeat. `now` is
    /// its time; a heartbeat must have been made with the same.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEntry`] when the record breaks the format, or is of a type that has a way of its
    /// own (for a change of keys: [`Ledger::rotate`]). As [`Ledger::append`] otherwise.
    pub fn append_control(&mut self, record: &Control, now: Timestamp) -> Result<Appended> {
        if matches!(record, Control::KeyRotation(_)) {
            return Err(Error::InvalidEntry(Fault::ReservedKind));
        }
        let payload = record.to_payload(now, &self.options.tool).map_err(Error::InvalidEntry)?;
        self.append_in_turn(now, |ledger, len| ledger.put(&payload, len))
    }

    /// Appends a correction of an earlier record, which stays where it is.
    ///
    /// # Errors
    ///
    /// [`Error::NoEntry`] when there is no entry with that number, and as [`Ledger::append_control`].
    pub fn correct(&mut self, wanted: Amendment, now: Timestamp) -> Result<Appended> {
        self.append_in_turn(now, |ledger, len| {
            let line = ledger.line(wanted.corrects, len)?;
            if let Some(seq) = wanted.restatement {
                let entry = Entry::parse(&ledger.line(seq, len)?).map_err(Error::InvalidEntry)?;
                if !matches!(entry.control(), Ok(Some(Control::Restatement(_)))) {
                    return Err(Error::InvalidEntry(Fault::NotARestatement(seq)));
                }
            }
            let correction = Correction {
                corrects: wanted.corrects,
                corrects_leaf: leaf_hash(&line).0,
                reason: wanted.reason,
                note: wanted.note,
                outcome: wanted.outcome,
                restatement: wanted.restatement,
            };
            let payload = Control::Correction(correction)
                .to_payload(now, &ledger.options.tool)
                .map_err(Error::InvalidEntry)?;
            ledger.put(&payload, len)
        })
    }

    /// The line of an entry, without its newline.
    fn line(&mut self, seq: u64, len: u64) -> Result<Vec<u8>> {
        let storage = &mut self.storage;
        let mut read = |offset, len| storage.read(offset, len);
        let mut found = None;
        let mut look = || {
            let Some(offset) = offset_of(seq, len, &mut read)? else { return Ok(()) };
            lines_from(offset, len, &mut read, &mut |line| {
                found = Some(line.to_vec());
                ControlFlow::Break(())
            })
        };
        look().map_err(|e: io::Error| io_error(&self.storage, "read", e))?;
        let own = |line: &Vec<u8>| Entry::parse(line).is_ok_and(|entry| entry.seq() == seq);
        found.filter(own).ok_or_else(|| Error::NoEntry { path: self.storage.path(), seq })
    }

    /// Changes who may write. When this returns `Ok`, the change is durable; a writer whose own key was
    /// retired appends nothing more.
    ///
    /// The line is signed by this writer's key, and each key that joins signs a text that names this
    /// ledger, this place in it and that key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEntry`] when the change cannot be: a key that was there before, a proof for
    /// another place, no key left. As [`Ledger::append`] otherwise.
    pub fn rotate(&mut self, rotation: &Rotation<'_>, now: Timestamp) -> Result<Appended> {
        self.append_in_turn(now, |ledger, len| {
            let record = ledger.prove(rotation)?;
            ledger.known.roster().allows(&record).map_err(Error::InvalidEntry)?;
            let payload = Control::KeyRotation(record)
                .to_payload(now, &ledger.options.tool)
                .map_err(Error::InvalidEntry)?;
            let (entry, line) = carbon_ops_proof::entry::sign(
                &payload,
                ledger.id,
                Some(&ledger.head),
                ledger.signer,
            )?;
            let mut next = ledger.known.roster().clone();
            next.apply(&entry).map_err(Error::InvalidEntry)?;
            // Crash here: nothing was written. A key that was made for this is not in use yet.
            let (seq, line) = ledger.put_signed(&entry, line, len)?;
            // Crash here: the change is durable, and the next writer finds it by its mark.
            match ledger.learn(len + line.len() as u64 + 1) {
                Ok(()) => ledger.keep_roster(),
                // The next turn reads the end again, and with it this change.
                Err(_) => ledger.end = None,
            }
            Ok((seq, line))
        })
    }

    fn prove(&self, rotation: &Rotation<'_>) -> Result<KeyRotation> {
        let mut added = rotation.add_proven.clone();
        for joins in &rotation.add {
            let public_key = joins.public_key();
            let signer = self.signer.public_key();
            let text = possession_text(self.id, &self.head, signer, public_key);
            added.push(AddedKey { public_key, proof: joins.sign(text.as_bytes())? });
        }
        Ok(KeyRotation { added, retired: rotation.retire.clone(), reason: rotation.reason })
    }

    /// Searches what was appended since this writer last looked for changes of keys.
    pub(super) fn learn(&mut self, len: u64) -> Result<()> {
        let storage = &mut self.storage;
        let learnt = self.known.catch_up(len, &mut |offset, len| storage.read(offset, len));
        learnt
            .map_err(|e| io_error(&self.storage, "read", e))?
            .map_err(|fault| damaged(&self.storage, "a change of its keys", fault))
    }

    /// What the end of the ledger, which has `len` bytes, says.
    pub(super) fn examine(&mut self, window: &Window, len: u64) -> Result<Tail> {
        self.learn(len)?;
        let mut tail = window.examine(self.id, self.known.roster(), self.signed_size);
        let unknown = matches!(tail, Err(Fault::KeyNotInRoster(_) | Fault::KeyRetired { .. }));
        if unknown && self.known.is_taken_up() {
            // What was kept of the roster may be wrong.
            self.known.forget();
            self.learn(len)?;
            tail = window.examine(self.id, self.known.roster(), self.signed_size);
        }
        tail.map_err(|fault| damaged(&self.storage, "the last line", fault))
    }

    /// Whether this writer may still write.
    pub(super) fn refuse_if_retired(&self) -> Result<()> {
        let key = self.signer.public_key();
        self.known.roster().permits(key, self.head.seq + 1).map_err(|_| Error::KeyNotInRoster {
            path: self.storage.path(),
            fingerprint: key.fingerprint(),
        })
    }

    /// Keeps where the roster changed, for whoever opens the ledger next. Without it that takes longer,
    /// and nothing else: so it is no failure when it cannot be kept.
    pub(super) fn keep_roster(&mut self) {
        let state = self.known.state();
        let _ = self.storage.replace_beside(ROSTER_STATE_FILE, state.as_bytes());
    }
}
