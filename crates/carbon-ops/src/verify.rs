//! A ledger verified as the product does it: keys, lines, checkpoints, their history and witnesses, records
//! and their continuity, and the ledger that it continues. One [`Question`], one [`Verdict`], one
//! [`Answer`].
//!
//! Out of scope: how a verdict is told.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_ledger::files::{Files as _, Open};
use carbon_ops_ledger::keys::{Trust, trust_from};
use carbon_ops_ledger::legacy;
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_proof::checkpoint::{
    CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, SIGNER_STATE_FILE,
};
use carbon_ops_proof::entry::{Imported, RESERVED_MEMBERS};
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note};
use carbon_ops_proof::policy::{MAX_POLICY_BYTES, Policy};
use carbon_ops_proof::text::plain;
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, GapReport, Life, Log, Notes, Payload, Progress as SoFar, Report,
    Settings as VerifySettings, Status, verify_records,
};
use carbon_ops_record::continuity::{self, Continuity, KnownGap, Passage};
use carbon_ops_record::{Record, RecordKind, SCHEMA_VERSION};

use crate::before::{Chain, walk};
use crate::env::Env;
use crate::fault::Fault;
use crate::head;
use crate::head::beside;
pub(crate) use crate::head::file_of;
pub use crate::head::{Kind, cannot_read, open, refuse_others};
use crate::settings::Settings;
use crate::store::Store;
use crate::witnessed::{Quorum, Witnessed};
use crate::witnesses::{history, latest};

/// What is asked of a ledger.
#[derive(Default)]
pub struct Question<'a> {
    /// Whom to believe; see [`trust`].
    pub trust: Trust,
    /// A checkpoint that was kept: the lines that it covers are compared as a whole only.
    pub since: Option<&'a Path>,
    /// Which witnesses must have cosigned.
    pub policy: Option<&'a Path>,
    /// The file that the ledger says it continues.
    pub imported: Option<&'a Path>,
    /// The ledger that it says it continues; none for where the ledger itself says that it is.
    pub continues: Option<&'a Path>,
    /// Whether every number of the records has to come out again.
    pub recompute: bool,
    /// Whether energy that is in no record and no gap counts.
    pub complete: bool,
    /// Called now and then with how far it has come, and the ledger's length.
    pub progress: Option<&'a dyn Fn(SoFar, u64)>,
    /// Called now and then with how many bytes of the imported file were read, and its length.
    pub imported_progress: Option<&'a dyn Fn(u64, u64)>,
}

/// A file that tells how much of it was read.
struct Told<'a, R> {
    inner: R,
    bytes: u64,
    total: u64,
    tell: Option<&'a dyn Fn(u64, u64)>,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if let Some(tell) = self.tell {
            tell(self.bytes, self.total);
        }
        Ok(read)
    }
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// What a verification found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// On the lines, the keys and the checkpoints.
    pub report: Report,
    /// Signed entries whose content was not checked.
    pub others: Others,
    /// Whether the governor's totals go on from record to record.
    pub continuity: continuity::Report,
    /// What the policy says, if there is one.
    pub witnessed: Option<Witnessed>,
    /// In what the file differs from the one that the ledger continues; of a file that was given.
    pub imported_differences: Option<Vec<&'static str>>,
    /// The ledgers that it continues, one after the other, as far as they are at hand.
    pub chain: Chain,
    /// Whether completeness was asked for.
    pub complete: bool,
}

/// The answer to the whole question. Whoever maps it to something else has to take a stand on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All that was asked holds.
    Valid,
    /// Up to a last line that an interrupted write left.
    TornTail,
    /// Something was changed, removed, added or damaged.
    Tampered,
    /// What was found is not the ledger that this one continues.
    OtherImport,
    /// A signature on a checkpoint is false.
    FalseCosignature,
    /// There is energy in no record and in no gap.
    Incomplete,
    /// Cut off or rewritten since it was signed for.
    Rewritten,
    /// A key that has to be trusted is not.
    Untrusted,
    /// There are records of a newer version, which were not checked.
    Newer,
    /// No totals go on, so nothing tells whether energy is missing.
    CompletenessUnknown,
    /// Too few witnesses cosigned.
    NotWitnessed,
    /// Nothing tells how it stands to the checkpoint that was kept.
    NotConnected,
}

impl Answer {
    /// Of the lines alone.
    #[must_use]
    pub fn of(status: Status) -> Self {
        match status {
            Status::Valid => Self::Valid,
            Status::TornTail => Self::TornTail,
            Status::Rewritten => Self::Rewritten,
            Status::Untrusted => Self::Untrusted,
            // What a later version finds is not well either.
            _ => Self::Tampered,
        }
    }

    /// Whether all that is left is well, up to a torn end.
    #[must_use]
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Valid | Self::TornTail)
    }

    /// With records of newer versions, which this one cannot read and so has not checked.
    #[must_use]
    pub fn and_others(self, others: &Others) -> Self {
        if others.newer > 0 && self.is_sound() { Self::Newer } else { self }
    }

    /// With what a policy says: what is tampered with stays so, and what is not witnessed enough is not
    /// shown.
    #[must_use]
    pub fn and_witnessed(self, witnessed: Option<&Witnessed>) -> Self {
        match (witnessed.map(|witnessed| witnessed.quorum), self) {
            (Some(Quorum::NotMet), Self::Valid | Self::TornTail) => Self::NotWitnessed,
            (
                Some(Quorum::False),
                Self::Valid
                | Self::TornTail
                | Self::Untrusted
                | Self::Newer
                | Self::CompletenessUnknown,
            ) => Self::FalseCosignature,
            _ => self,
        }
    }

    /// With whether energy is missing.
    #[must_use]
    pub fn and_complete(self, continuity: &continuity::Report) -> Self {
        if !self.is_sound() {
            self
        } else if continuity.uncovered_uj() > 0 {
            Self::Incomplete
        } else if continuity.records == 0 || continuity.incomparable > 0 {
            Self::CompletenessUnknown
        } else {
            self
        }
    }
}

impl Verdict {
    /// The answer: the worst of what was found, and nothing that was not compared is well.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::of(self.report.status);
        let differs = self.imported_differences.as_ref().is_some_and(|all| !all.is_empty());
        if (differs || !self.chain.holds()) && answer != Answer::Rewritten {
            return Answer::OtherImport;
        }
        answer = answer.and_others(&self.others);
        if self.complete {
            answer = answer.and_complete(&self.continuity);
        }
        answer.and_witnessed(self.witnessed.as_ref())
    }
}

/// Verifies the ledger in the file `path`, with whatever stands beside it.
///
/// # Errors
///
/// When something cannot be read, or is not what it would have to be for the question: `path` no ledger,
/// the checkpoint of another one, the policy none. What is wrong with the ledger is in the verdict.
pub fn verify(path: &Path, question: &Question<'_>) -> Result<Verdict> {
    let policy = question.policy.map(read_policy).transpose()?;
    let (mut anchors, since) = anchors(path, question.since)?;
    match refuse_others(path) {
        // An accusation needs a ledger; but where something tells that there was one, whatever stands there
        // now is held against it.
        Err(error) if anchors.is_empty() || !is_not_a_ledger(&error) => return Err(error),
        _ => {}
    }
    anchors.extend(policy.as_ref().and_then(|policy| latest_cosigned(path, policy)));
    let (mut report, others, continuity) = inspect(path, question, &anchors, since)?;
    if report.status == Status::Rewritten && report.compared > 0 && report.fault_count == 0 {
        // Lines that were only compared are not those of then: which of them are at fault by themselves?
        let (all, ..) = inspect(path, question, &anchors, 0)?;
        (report.fault_count, report.first_fault, report.faults) =
            (all.fault_count, all.first_fault, all.faults);
    }
    let imported_differences = match question.imported {
        Some(file) => Some(differences(file, report.imported.as_ref(), question)?),
        None => None,
    };
    let chain = match &report.continues {
        Some(pin) => walk(path, pin, question.continues, &question.trust)?,
        None if question.continues.is_some() => return Err(Fault::NothingContinued.into()),
        None => Chain::default(),
    };
    let witnessed = policy.map(|policy| Witnessed::of_anchors(&policy, &anchors, &report));
    let complete = question.complete;
    Ok(Verdict { report, others, continuity, witnessed, imported_differences, chain, complete })
}

fn is_not_a_ledger(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Fault::NotALedger { .. }))
}

/// In what a file differs from the one that a genesis pins.
fn differences(
    file: &Path,
    pin: Option<&Imported>,
    question: &Question<'_>,
) -> Result<Vec<&'static str>> {
    let pin = pin.ok_or(Fault::NothingImported)?;
    // The keys of the pin, not the user's: the same question as at the import.
    let trust = Trust::parse(&pin.keys.join("\n"), "the first entry")?;
    let file_read = open(file)?;
    let total = file_read.size();
    let told = Told { inner: file_read, bytes: 0, total, tell: question.imported_progress };
    let reader = BufReader::with_capacity(1 << 20, told);
    let found = legacy::verify(reader, &trust).with_context(|| cannot_read(file))?;
    Ok(pin.differences(&found.imported()))
}

/// Reads the whole ledger.
fn inspect(
    path: &Path,
    question: &Question<'_>,
    anchors: &[Anchor],
    since: u64,
) -> Result<(Report, Others, continuity::Report)> {
    let (trust, recompute) = (&question.trust, question.recompute);
    // Before the ledger, so that what is signed meanwhile is of no more lines than are read.
    let log = checkpoint_log(path)?;
    let behind = checkpoint_log(path)?.map_or(Ok(BTreeSet::new()), Notes::behind);
    let behind = behind.with_context(|| cannot_read(&path.with_file_name(CHECKPOINT_LOG)))?;
    let log = RefCell::new(log);
    let ledger = open(path)?;
    let segments = ledger.segment_faults().with_context(|| cannot_read(path))?;
    let size = ledger.size();
    let active = ledger.active();
    let reader = BufReader::with_capacity(1 << 20, ledger);
    let check = |payload: &Payload<'_>| {
        let owner = Owner::of(payload);
        // What a correction puts in the place of a record is no further passage of time.
        let stands_in_line = payload.has("seq");
        let read = || check_record(payload, recompute);
        let record = matches!(owner, Owner::Us).then(read).transpose()?;
        let record = record.filter(|_| stands_in_line);
        // A span that was not measured here is no passage of a counter's time.
        let measured = record.filter(|record| record.measurement.is_some());
        let passage = measured.map(|record| Passage::of(&record));
        // Nor is it another entry; but that it could not be checked counts.
        let counts = stands_in_line || matches!(owner, Owner::Newer);
        Ok((counts.then_some(owner), passage))
    };
    let (mut others, mut continuity) = (Others::default(), Continuity::new());
    let mut accept = |seq, (owner, passage): (Option<Owner>, Option<Option<Passage>>)| {
        if let Some(owner) = owner {
            others.count(owner);
        }
        match passage {
            None => Ok(()),
            Some(None) => {
                continuity.pass_over();
                Ok(())
            }
            Some(Some(passage)) => {
                continuity.add(seq, &passage).map_err(|contradiction| contradiction.to_string())
            }
        }
    };
    let read_back = read_back(path)?;
    let next_note = || log.borrow_mut().as_mut().map_or(Ok(None), Notes::next);
    let tell = |so_far: SoFar| {
        if let Some(progress) = question.progress {
            progress(so_far, size);
        }
    };
    let settings = VerifySettings {
        anchors,
        since,
        active,
        threads: Env::threads(),
        progress: Some(&tell),
        read_back: Some(&read_back),
        history: log.borrow().is_some().then_some(Log { next: &next_note, behind: &behind }),
        ..VerifySettings::new(trust)
    };
    let mut report = verify_records(reader, &settings, &check, &mut accept)
        .with_context(|| cannot_read(path))?;
    report.add_faults(segments);
    let continuity = continuity.finish(&known_gaps(&report.life));
    Ok((report, others, continuity))
}

/// Reads a ledger again where a line names an earlier one, so that no line has to be kept.
pub(crate) fn read_back(ledger: &Path) -> Result<impl Fn(u64, usize) -> io::Result<Vec<u8>>> {
    let ledger = open(ledger)?;
    Ok(move |offset, len| ledger.read_at(offset, len))
}

/// Whom to believe: those given, as text or by the settings, else those of the local key store, else nobody.
/// A text is a file, a key in hexadecimal digits of either case, or its fingerprint.
///
/// # Errors
///
/// When a text names no key, or a file of keys cannot be read.
pub fn trust(given: Option<&str>, settings: &Settings, env: &Env) -> Result<Trust> {
    match given.or(settings.trust.value.as_deref()) {
        Some(given) => Ok(trust_from(given)?),
        None => {
            Store::of(settings, env).map_or_else(|_| Ok(Trust::new()), |store| store.trusted(None))
        }
    }
}

/// Signed entries whose content was not checked.
#[derive(Debug, Default)]
pub struct Others {
    /// Of this program, in a newer schema.
    pub newer: u64,
    /// Of other programs.
    pub foreign: u64,
}

impl Others {
    /// Counts an entry.
    pub fn count(&mut self, owner: Owner) {
        match owner {
            Owner::Us => {}
            Owner::Newer => self.newer += 1,
            Owner::Foreign => self.foreign += 1,
        }
    }
}

/// Whose entry it is.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// Of this program, in a schema that this version knows.
    Us,
    /// Of this program, in a schema that this version does not know.
    Newer,
    /// Of another program.
    Foreign,
}

impl Owner {
    /// Whose an entry is, by its own members.
    pub fn of(payload: &Payload<'_>) -> Self {
        let ours = RecordKind::CarbonOps.as_str();
        // The canonical text, which is the only one.
        if payload.text("kind") != Some(ours) {
            return Self::Foreign;
        }
        match payload.member("schema_version").as_ref().and_then(Value::as_u64) {
            Some(version) if version > SCHEMA_VERSION => Self::Newer,
            // Format 1 was never released: its values are not judged.
            Some(version) if version < SCHEMA_VERSION => Self::Foreign,
            _ => Self::Us,
        }
    }
}

/// An entry without what the ledger adds to it.
pub fn unsigned(mut entry: Object) -> serde_json::Value {
    for member in RESERVED_MEMBERS {
        entry.remove(member);
    }
    entry.into()
}

/// Whose record it is; one of ours has to be in order.
pub fn check_payload(payload: &Payload<'_>, recompute: bool) -> Result<Owner, String> {
    let owner = Owner::of(payload);
    if matches!(owner, Owner::Us) {
        check_record(payload, recompute)?;
    }
    Ok(owner)
}

/// Whether an entry is a record that this version understands, and adds up.
pub fn check_record(payload: &Payload<'_>, recompute: bool) -> Result<Record, String> {
    let record = record_of(payload)?;
    if recompute {
        record.recompute().map_err(|error| error.to_string())?;
    }
    Ok(record)
}

/// The record of an entry, which has to add up.
pub(crate) fn record_of(payload: &Payload<'_>) -> Result<Record, String> {
    let record = if let Some(record) = payload.read::<Record>() {
        record.check().map(|()| record)
    } else {
        // The other reader says what is wrong without a place that is not the line's.
        Record::from_json(serde_json::from_str(&payload.to_canonical()).map_err(|e| e.to_string())?)
    };
    record.map_err(|error| error.to_string())
}

/// What a ledger is held against: what stands beside it, and a checkpoint that the user kept; and how
/// many lines the latter covers.
pub(crate) fn anchors(ledger: &Path, since: Option<&Path>) -> Result<(Vec<Anchor>, u64)> {
    let mut anchors = Vec::new();
    let files =
        [(CHECKPOINT_FILE, AnchorKind::Checkpoint), (SIGNER_STATE_FILE, AnchorKind::SignerState)];
    // A copy under another name has nothing beside it that is its own.
    let own = ledger.file_name().is_some_and(|name| name == LEDGER_FILE);
    for (name, kind) in files.into_iter().filter(|_| own) {
        let read = beside(ledger).read(name, MAX_NOTE_BYTES + 1);
        if let Some(bytes) = read.with_context(|| cannot_read(&ledger.with_file_name(name)))? {
            anchors.push(Anchor { source: name.to_owned(), bytes, kind });
        }
    }
    let Some(path) = since else { return Ok((anchors, 0)) };
    let bytes = read_limited(path, MAX_NOTE_BYTES)
        .map(plain)
        .with_context(|| format!("cannot read the checkpoint {}", path.display()))?;
    let source = path.display().to_string();
    let anchor = Anchor { source, bytes, kind: AnchorKind::Checkpoint };
    let Some(checkpoint) = anchor.checkpoint() else {
        bail!("{} is not the checkpoint of a ledger", path.display());
    };
    head::refuse_other(ledger, path, checkpoint.ledger_id)?;
    anchors.push(anchor);
    Ok((anchors, checkpoint.size))
}

/// The log of checkpoints beside a ledger, if there is one.
fn checkpoint_log(ledger: &Path) -> Result<Option<Notes<impl BufRead>>> {
    if ledger.file_name().is_none_or(|name| name != LEDGER_FILE) {
        return Ok(None);
    }
    let cannot = || cannot_read(&ledger.with_file_name(CHECKPOINT_LOG));
    let log = beside(ledger).open(CHECKPOINT_LOG, Open::Read).with_context(cannot)?;
    let Some(file) = log else { return Ok(None) };
    let len = file.metadata().with_context(cannot)?.len();
    Ok(Some(Notes::new(BufReader::new(file.take(len)))))
}

/// The last checkpoint in the ledger's history that the policy is content with, as something to hold
/// the ledger against: later ones may not be cosigned yet.
fn latest_cosigned(ledger: &Path, policy: &Policy) -> Option<Anchor> {
    let latest = latest();
    let enough = |note: &Note| policy.judge(note, latest).is_ok_and(|judged| judged.quorum_met());
    let note = history(ledger).into_iter().rev().find(enough)?;
    let source = CHECKPOINT_LOG.to_owned();
    Some(Anchor { source, bytes: note.to_string().into_bytes(), kind: AnchorKind::Checkpoint })
}

/// The policy in a file.
pub fn read_policy(path: &Path) -> Result<Policy> {
    Policy::parse(&read_policy_bytes(path)?)
        .map_err(|e| anyhow!("cannot use the policy {}: {e}", path.display()))
}

/// The bytes of a policy file, one more than a policy may have at most.
pub fn read_policy_bytes(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, MAX_POLICY_BYTES)
        .map(plain)
        .with_context(|| format!("cannot read the policy {}", path.display()))
}

/// The gaps of a ledger, for what they say of energy.
fn known_gaps(life: &Life) -> Vec<KnownGap> {
    let known = |gap: &GapReport| {
        Some(KnownGap {
            from: gap.from_ts.parse().ok()?,
            to: gap.to_ts.parse().ok()?,
            host_id: gap.host_id.clone(),
            domains: gap.domains.clone(),
        })
    };
    life.gaps.iter().filter_map(known).collect()
}

/// The ledger file that is meant by a directory, a file or nothing.
pub fn file(path: Option<&Path>, settings: &Settings) -> Result<PathBuf> {
    let path = match (path, &settings.ledger.value) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.clone(),
        (None, None) => return Err(Fault::NoDefaultLedger.into()),
    };
    Ok(file_of(&path))
}

/// The text of a file that has to be a checkpoint.
///
/// # Errors
///
/// When it is none.
pub fn read_checkpoint(path: &Path) -> Result<Note> {
    let cannot = || format!("cannot use the checkpoint {}", path.display());
    let bytes = plain(read_limited(path, MAX_NOTE_BYTES).with_context(cannot)?);
    let note = Note::parse(&bytes).with_context(cannot)?;
    Checkpoint::of_note(&note).with_context(cannot)?;
    Ok(note)
}

/// A whole file, of which one byte more than `limit` is read at most: too long is for others to say.
pub fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn continuity(records: u64, incomparable: u64, uncovered_uj: u64) -> continuity::Report {
        let domain = continuity::DomainReport {
            host_id: "h".into(),
            domain: "package-0".into(),
            streams: 1,
            covered_uj: 10,
            uncovered_uj,
            gap_uj: 5,
        };
        continuity::Report { records, incomparable, domains: vec![domain], holes: Vec::new() }
    }

    #[test]
    fn completeness_is_judged_of_what_is_sound_and_only_where_totals_go_on() {
        let of = |answer: Answer, report| answer.and_complete(&report);
        assert_eq!(of(Answer::Valid, continuity(3, 0, 0)), Answer::Valid);
        assert_eq!(of(Answer::TornTail, continuity(3, 0, 0)), Answer::TornTail);
        assert_eq!(of(Answer::Valid, continuity(3, 0, 7)), Answer::Incomplete);
        assert_eq!(of(Answer::Valid, continuity(3, 1, 7)), Answer::Incomplete);
        assert_eq!(of(Answer::Valid, continuity(3, 1, 0)), Answer::CompletenessUnknown);
        assert_eq!(of(Answer::Valid, continuity(0, 0, 0)), Answer::CompletenessUnknown);
        assert_eq!(of(Answer::Untrusted, continuity(3, 0, 7)), Answer::Untrusted);
    }

    #[test]
    fn what_a_policy_says_changes_no_accusation_and_no_want_of_trust_but_by_a_false_signature() {
        let of = |answer: Answer, quorum| {
            let witnessed = Witnessed { quorum, text: String::new(), judged: None };
            answer.and_witnessed(Some(&witnessed))
        };
        for answer in [Answer::Valid, Answer::TornTail, Answer::Untrusted, Answer::Tampered] {
            assert_eq!(of(answer, Quorum::Met), answer);
        }
        for sound in [Answer::Valid, Answer::TornTail] {
            assert_eq!(of(sound, Quorum::NotMet), Answer::NotWitnessed);
            assert_eq!(of(sound, Quorum::False), Answer::FalseCosignature);
        }
        assert_eq!(of(Answer::Untrusted, Quorum::NotMet), Answer::Untrusted);
        assert_eq!(of(Answer::Untrusted, Quorum::False), Answer::FalseCosignature);
        for found in [Answer::Tampered, Answer::Rewritten, Answer::Incomplete] {
            assert_eq!((of(found, Quorum::NotMet), of(found, Quorum::False)), (found, found));
        }
    }

    #[test]
    fn records_of_a_newer_version_make_what_is_sound_unchecked_and_nothing_else_better() {
        let newer = Others { newer: 1, foreign: 0 };
        assert_eq!(Answer::Valid.and_others(&newer), Answer::Newer);
        assert_eq!(Answer::Rewritten.and_others(&newer), Answer::Rewritten);
        let foreign = Others { newer: 0, foreign: 9 };
        assert_eq!(Answer::Valid.and_others(&foreign), Answer::Valid);
    }
}
