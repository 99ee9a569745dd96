//! What the order of lines tells: who may sign, which number and link a line must have, what the
//! ledger's own records say, and the tree over all lines; from it the report.
//!
//! Out of scope: what a line tells by itself, which is `line.rs`, and where lines come from.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::anchor::{AnchorReport, AnchorVerdict, Tree};
use super::history::History;
use super::leaves::Leaves;
use super::life::Watch;
use super::line::{Content, Examined, Facts, Record};
use super::report::{FaultReport, KeyReport, MAX_FAULTS, Report, Settings, TornTail};
use super::signers::{Signers, SuspectReport};
use crate::entry::{Continued, Control, Correction, EntryHash, Fault, Imported, LedgerId};
use crate::keys::{PublicKey, Trust};
use crate::merkle::TreeHash;
use crate::roster::{Roster, Term};
use crate::status::Status;

/// What the next entry's number has to be.
#[derive(Clone, Copy, Debug)]
enum NextSeq {
    /// Exactly this.
    Is(u64),
    /// This or more: unreadable lines came before, and nobody knows how many entries they were.
    AtLeast(u64),
}

/// Judges lines in their order, from what an [`Examiner`](super::Examiner) found in each.
#[derive(Clone, Debug)]
pub struct Sequence<'t> {
    trust: &'t Trust,
    line_number: u64,
    ledger_id: Option<LedgerId>,
    /// From the genesis, once it has been verified.
    roster: Option<Roster>,
    created_ts: Option<String>,
    imported: Option<Imported>,
    continues: Option<Continued>,
    next_seq: NextSeq,
    /// The hash of the line before, unless that line was not authentic and has reported so.
    prev_hash: Option<EntryHash>,
    last: Option<(u64, EntryHash)>,
    signers: Signers,
    suspects: Vec<SuspectReport>,
    entries: u64,
    own_records: u64,
    /// The numbers of restatements, which corrections may name.
    restatements: BTreeSet<u64>,
    recoveries: u64,
    fault_count: u64,
    faults: Vec<FaultReport>,
    torn_tail: Option<TornTail>,
    /// Whether it is more than one line, or holes in one.
    torn_batch: bool,
    tree: Tree<'t>,
    history: Option<History<'t>>,
    leaves: Leaves<'t>,
    /// Why the ledger could not be read again.
    failure: Option<Arc<io::Error>>,
    watch: Watch,
    compared: u64,
}

/// What is done with what the check made of a record, by the number of its entry.
type Accept<'a, T> = dyn FnMut(u64, T) -> Result<(), String> + 'a;

impl<'t> Sequence<'t> {
    /// Before the first line.
    #[must_use]
    pub fn new(settings: &Settings<'t>) -> Self {
        Self {
            trust: settings.trust,
            line_number: 0,
            ledger_id: None,
            roster: None,
            created_ts: None,
            imported: None,
            continues: None,
            next_seq: NextSeq::Is(0),
            prev_hash: None,
            last: None,
            signers: Signers::default(),
            suspects: Vec::new(),
            entries: 0,
            own_records: 0,
            restatements: BTreeSet::new(),
            recoveries: 0,
            fault_count: 0,
            faults: Vec::new(),
            torn_tail: None,
            torn_batch: false,
            tree: Tree::new(settings.anchors),
            history: settings.history.map(History::new),
            leaves: Leaves::new(settings.read_back),
            failure: None,
            watch: Watch::default(),
            compared: 0,
        }
    }

    /// Judges the next line. `accept` is called with what the check made of a record, if the line stands
    /// where it belongs.
    pub fn push<T>(&mut self, line: Examined<T>, accept: &mut Accept<'_, T>) {
        self.line_number = line.number;
        let leaf = line.leaf;
        if let Some(leaf) = leaf {
            self.tree.push(leaf);
        }
        let bytes = line.bytes;
        self.judge(line, accept);
        // After it, so that no line can name itself.
        if let Some(leaf) = leaf {
            self.leaves.push(leaf, bytes);
        }
        self.judge_history();
    }

    /// The logged checkpoints of the lines so far, once the roster is that of this size.
    fn judge_history(&mut self) {
        let size = self.tree.size();
        if let Some(mut history) = self.history.take_if(|history| history.wants(size)) {
            let keys_at = |size| self.keys_at(size);
            history.judge((size, self.tree.root()), self.ledger_id, &keys_at);
            self.history = Some(history);
        }
    }

    fn judge<T>(&mut self, line: Examined<T>, accept: &mut Accept<'_, T>) {
        match line.content {
            Content::Torn(entry) => {
                let complete_entry = !line.terminated
                    && entry.is_some_and(|entry| {
                        self.authenticate(&entry).is_ok() && self.check_order(&entry).is_ok()
                    });
                let (line, bytes) = (line.number, line.bytes);
                self.torn_tail = Some(TornTail { line, bytes, complete_entry });
            }
            Content::Compared(change) => {
                self.compared += 1;
                if let Some(own) = change {
                    self.compared_own(&own);
                }
            }
            Content::LastCompared(end) => {
                self.compared += 1;
                match end {
                    Ok(end) => {
                        self.compared_own(&end);
                        self.follow(end.seq, end.hash);
                    }
                    Err(fault) => self.fault(None, &fault),
                }
            }
            Content::Entry(Ok(entry)) => self.entry(*entry, accept),
            Content::Entry(Err(fault)) => {
                // Without its text nobody knows which entry this was, or how many.
                self.fault(None, &fault);
                self.lose_track();
            }
        }
    }

    /// Takes note of a torn end of so many bytes that is more than one line, or holes in one.
    pub(super) fn push_torn(&mut self, bytes: u64) {
        self.line_number += 1;
        self.torn_tail = Some(TornTail { line: self.line_number, bytes, complete_entry: false });
        self.torn_batch = true;
    }

    fn entry<T>(&mut self, entry: Facts<T>, accept: &mut Accept<'_, T>) {
        let (seq, key, time) = (entry.seq, entry.signing_key, entry.time);
        if let Err(fault) = self.authenticate(&entry) {
            self.fault(Some(seq), &fault);
            self.lose_track();
            return;
        }
        let order = self.check_order(&entry);
        self.follow(seq, entry.hash);
        // Also when it stands in the wrong place: else every line after it would seem to be at fault.
        let change = self.change_roster(&entry);
        match order.and(change).and_then(|()| self.check_content(entry, accept)) {
            Ok(control) => {
                self.count(key, seq);
                self.watch.entry(seq, time, control.as_deref());
            }
            Err(fault) => self.fault(Some(seq), &fault),
        }
    }

    /// Why the ledger could not be read again, where a line names an earlier one.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let log = self.history.as_ref().and_then(History::failure);
        let failure = self.failure.as_deref().or(log);
        failure.map(|failure| io::Error::new(failure.kind(), failure.to_string()))
    }

    /// One of the ledger's own records among lines that are not looked into otherwise.
    fn compared_own<T>(&mut self, entry: &Facts<T>) {
        let Record::Control(control, _) = &entry.record else { return };
        self.note_own(entry.seq, control);
        if matches!(**control, Control::KeyRotation(_))
            && let Err(fault) = self.authenticate(entry).and_then(|()| self.change_roster(entry))
        {
            self.fault(Some(entry.seq), &fault);
        }
    }

    fn note_own(&mut self, seq: u64, control: &Control) {
        self.own_records += 1;
        if matches!(control, Control::Restatement(_)) {
            self.restatements.insert(seq);
        }
    }

    /// What an authentic entry does to the keys that may sign.
    fn change_roster<T>(&mut self, entry: &Facts<T>) -> Result<(), Fault> {
        if let Record::Control(control, holds) = &entry.record
            && let Control::KeyRotation(rotation) = &**control
            && let Some(roster) = &mut self.roster
        {
            if let Err(fault) = holds {
                return Err(fault.clone());
            }
            roster.change(rotation, entry.seq)?;
            for key in &rotation.retired {
                if let Some(since) = key.compromised_since {
                    // This line, perhaps by that key itself, is not among them: it is what tells.
                    let seq = entry.seq;
                    self.suspects.push(self.signers.suspect(key.public_key, since, seq));
                }
            }
        }
        Ok(())
    }

    /// Whether a key that may do so signed this entry, for this ledger.
    fn authenticate<T>(&mut self, entry: &Facts<T>) -> Result<(), Fault> {
        if self.line_number == 1
            && let Record::Control(control, _) = &entry.record
            && let Control::Genesis(genesis) = &**control
        {
            // That its own key is on its list is part of its form.
            entry.authenticate(entry.ledger_id, Ok(()))?;
            self.created_ts = Some(genesis.created_ts.clone());
            self.imported.clone_from(&genesis.imported);
            self.continues = genesis.continues.as_deref().cloned();
            self.roster = Some(Roster::of(entry.signing_key, genesis.keys.clone()));
        }
        // Without a genesis only what is trusted directly can tell an authentic line from another.
        let ledger_id = self.ledger_id.unwrap_or(entry.ledger_id);
        let key = entry.signing_key;
        let permitted = match &self.roster {
            Some(roster) => roster.permits(key, entry.seq),
            None if self.trust.contains(key) => Ok(()),
            None => Err(Fault::KeyNotInRoster(key.to_hex())),
        };
        entry.authenticate(ledger_id, permitted)?;
        self.ledger_id = Some(ledger_id);
        Ok(())
    }

    /// Whether the entry stands where it belongs.
    fn check_order<T>(&self, entry: &Facts<T>) -> Result<(), Fault> {
        let found = entry.seq;
        if self.line_number == 1 && found != 0 {
            return Err(Fault::NoGenesis);
        }
        if self.line_number > 1 && found == 0 {
            return Err(Fault::LateGenesis);
        }
        match self.next_seq {
            NextSeq::Is(expected) if found != expected => Err(Fault::Seq { expected, found }),
            NextSeq::AtLeast(expected) if found < expected => Err(Fault::Seq { expected, found }),
            _ if self.prev_hash.is_some() && entry.prev_hash != self.prev_hash => {
                Err(Fault::PrevHash)
            }
            _ => Ok(()),
        }
    }

    fn check_content<T>(
        &mut self,
        entry: Facts<T>,
        accept: &mut Accept<'_, T>,
    ) -> Result<Option<Box<Control>>, Fault> {
        match entry.record {
            Record::Other(checked) => {
                let accepted = checked.and_then(|record| accept(entry.seq, record));
                accepted.map(|()| None).map_err(Fault::Record)
            }
            Record::Control(control, holds) => {
                let replacement = holds?;
                match &*control {
                    Control::Recovery(_) => self.recoveries += 1,
                    Control::Correction(correction) => self.check_reference(correction)?,
                    _ => {}
                }
                if let Some(replacement) = replacement {
                    accept(entry.seq, replacement).map_err(Fault::Record)?;
                }
                self.note_own(entry.seq, &control);
                Ok(Some(control))
            }
            Record::Unsigned => Err(Fault::Signature),
        }
    }

    /// Whether the line that a correction names has the leaf hash that it names, and the restatement that it
    /// is a part of is one.
    fn check_reference(&mut self, correction: &Correction) -> Result<(), Fault> {
        if let Some(seq) = correction.restatement.filter(|seq| !self.restatements.contains(seq)) {
            return Err(Fault::NotARestatement(seq));
        }
        match self.leaves.leaf(correction.corrects) {
            Ok(leaf) if leaf == Some(TreeHash(correction.corrects_leaf)) => Ok(()),
            Ok(_) => Err(Fault::CorrectsLeaf(correction.corrects)),
            Err(failure) => {
                self.failure.get_or_insert(Arc::new(failure));
                Ok(())
            }
        }
    }

    /// From here on, what comes next has to follow this authentic entry.
    fn follow(&mut self, seq: u64, hash: EntryHash) {
        self.next_seq = NextSeq::Is(seq + 1);
        self.prev_hash = Some(hash);
        self.last = Some((seq, hash));
    }

    /// After a line whose content is not to be relied on.
    fn lose_track(&mut self) {
        let (NextSeq::Is(next) | NextSeq::AtLeast(next)) = self.next_seq;
        self.next_seq = NextSeq::AtLeast(next);
        self.prev_hash = None;
    }

    fn count(&mut self, key: PublicKey, seq: u64) {
        self.entries += 1;
        self.signers.count(key, seq);
    }

    fn fault(&mut self, seq: Option<u64>, fault: &Fault) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            // An empty file has no line; the fault stands where the first would be.
            let line = self.line_number.max(1);
            let (code, reason) = (fault.code(), fault.to_string());
            self.faults.push(FaultReport { line, seq, code, reason });
        }
    }

    /// The report, when there are no more lines.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if self.line_number == 0 {
            self.fault(None, &Fault::EmptyFile);
        }
        let trusted = self.roster.as_ref().is_some_and(|r| self.trust.contains(r.genesis_key()));
        let mut anchors = self.tree.judge(self.ledger_id, &|size| self.keys_at(size));
        let history = self.history.take().map(|history| {
            let (id, size) = (self.ledger_id, self.tree.size());
            let (report, refuted) = history.finish(size, id, &|size| self.keys_at(size));
            anchors.extend(refuted);
            report
        });
        if self.torn_batch && has(&anchors, AnchorVerdict::Truncated) {
            // What was signed for was durable, and no crash makes holes in that.
            self.fault(None, &Fault::NulByte);
        }
        let status = if self.was_cut_off(&anchors) {
            Status::Rewritten
        } else if self.fault_count > 0 || has(&anchors, AnchorVerdict::Refused) {
            Status::Tampered
        } else if has(&anchors, AnchorVerdict::Forked) {
            Status::Rewritten
        } else if !trusted
            || has(&anchors, AnchorVerdict::UnknownKey)
            // Rule: what was not compared is never valid.
            || history.is_some_and(|history| history.not_compared > 0)
        {
            Status::Untrusted
        } else if self.torn_tail.is_some() {
            Status::TornTail
        } else {
            Status::Valid
        };
        Report {
            schema_version: 1,
            status,
            entries: self.entries,
            lines: self.line_number,
            keys: self.key_reports(),
            ledger_id: self.ledger_id.map(|id| id.to_string()),
            created_ts: self.created_ts,
            imported: self.imported,
            continues: self.continues,
            last_seq: self.last.map(|(seq, _)| seq),
            head_hash: self.last.map(|(_, hash)| hash.to_string()),
            own_records: self.own_records,
            recoveries: self.recoveries,
            rotations: self.roster.as_ref().map_or(0, Roster::rotations),
            suspects: self.suspects,
            life: self.watch.finish(),
            fault_count: self.fault_count,
            first_fault: self.faults.first().cloned(),
            faults: self.faults,
            torn_tail: self.torn_tail,
            tree_size: self.tree.size(),
            root: self.tree.root().to_string(),
            covered: covered(&anchors).max(history.map_or(0, |history| history.covered)),
            history,
            anchors,
            compared: self.compared,
        }
    }

    /// Whether whole lines are gone, and nothing else is wrong than what a cut leaves at the end.
    fn was_cut_off(&self, anchors: &[AnchorReport]) -> bool {
        let by_cut = [Fault::EmptyFile.code(), Fault::Unterminated.code()];
        has(anchors, AnchorVerdict::Truncated)
            && self.faults.iter().all(|fault| by_cut.contains(&fault.code))
    }

    /// The keys that may sign a checkpoint of so many lines.
    fn keys_at(&self, size: u64) -> Vec<PublicKey> {
        let roster = self.roster.iter().flat_map(|roster| roster.keys_at(size));
        roster.chain(self.trust.keys()).collect()
    }

    fn key_reports(&self) -> Vec<KeyReport> {
        let genesis_key = self.roster.as_ref().map(Roster::genesis_key);
        let vouched = genesis_key.is_some_and(|key| self.trust.contains(key));
        let term = |key| (key, Term::default());
        let keys: Vec<(PublicKey, Term)> = match &self.roster {
            Some(roster) => roster.terms().collect(),
            None => self.signers.keys().map(term).collect(),
        };
        keys.into_iter()
            .map(|(key, term)| KeyReport {
                public_key: key.to_hex(),
                fingerprint: key.fingerprint(),
                trusted: self.trust.contains(key),
                genesis: genesis_key == Some(key),
                trusted_through: (vouched && !self.trust.contains(key))
                    .then(|| term.first.saturating_sub(1)),
                entries: self.signers.entries(key),
                added_seq: term.first.checked_sub(1),
                retired_seq: term.last,
            })
            .collect()
    }
}

fn has(anchors: &[AnchorReport], verdict: AnchorVerdict) -> bool {
    anchors.iter().any(|anchor| anchor.verdict == verdict)
}

/// How many lines a confirmed checkpoint covers.
fn covered(anchors: &[AnchorReport]) -> u64 {
    let confirmed = |anchor: &&AnchorReport| anchor.verdict == AnchorVerdict::Confirmed;
    let signed = anchors.iter().filter(|anchor| anchor.signed).filter(confirmed);
    signed.filter_map(|anchor| anchor.size).max().unwrap_or_default()
}
