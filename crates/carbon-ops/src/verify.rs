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
use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::checkpoint::{
    CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, SIGNER_STATE_FILE,
};
use carbon_ops_proof::entry::{Imported, RESERVED_MEMBERS};
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note};
use carbon_ops_proof::policy::{MAX_POLICY_BYTES, Policy};
use carbon_ops_proof::text::plain;
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, Log, Notes, Payload, Progress as SoFar, Report, Settings as VerifySettings,
    Status, verify_records,
};
pub use carbon_ops_record::answer::Answer;
use carbon_ops_record::continuity;
use carbon_ops_record::reading::{Examination, examine};
pub use carbon_ops_record::reading::{Others, Owner, check_object};

use crate::before::{Chain, walk};
use crate::env::Env;
use crate::fault::Fault;
use crate::head;
use crate::head::beside;
pub(crate) use crate::head::file_of;
pub use crate::head::{Kind, cannot_read, open, refuse_others};
use crate::settings::Settings;
use crate::store::Store;
use crate::witnessed::Witnessed;
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

impl Verdict {
    /// The answer: the worst of what was found, and nothing that was not compared is well.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::from(self.report.status);
        let differs = self.imported_differences.as_ref().is_some_and(|all| !all.is_empty());
        if (differs || !self.chain.holds()) && answer != Answer::Rewritten {
            return Answer::OtherImport;
        }
        answer = answer.and_others(&self.others);
        if self.complete {
            answer = answer.and_complete(&self.continuity);
        }
        Witnessed::judge(self.witnessed.as_ref(), answer)
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
    let check = |payload: &Payload<'_>| examine(payload, recompute);
    let mut examination = Examination::default();
    let mut accept = |seq, entry| examination.add(seq, entry);
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
    let (others, continuity) = examination.finish(&report.life);
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

/// An entry without what the ledger adds to it.
pub fn unsigned(mut entry: Object) -> serde_json::Value {
    for member in RESERVED_MEMBERS {
        entry.remove(member);
    }
    entry.into()
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
