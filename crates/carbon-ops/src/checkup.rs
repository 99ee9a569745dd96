//! The state of a ledger, as whoever writes to it next would meet it, and putting aside what is in the way.
//!
//! Rules. A look changes nothing. A repair takes nothing away: what it moves is beside the ledger afterwards, under
//! a name that says what it was, and a line of the ledger tells of lines that were set aside. It touches no line that
//! was signed for by a checkpoint.
//!
//! Out of scope: which command leads on from a state, which a front knows.

use std::fs::{self, FileType};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_ledger::append::{Repair, while_held};
use carbon_ops_ledger::files::Holder;
use carbon_ops_ledger::storage::{CONTINUED_FILE, LEDGER_FILE, OWN_DIRS, OWN_FILES, Storage as _};
use carbon_ops_proof::entry::{LedgerId, parse_evidence_name};
use carbon_ops_proof::verify::{AnchorVerdict, Report, Status};

use crate::before::{measure, open_if_there};
use crate::carry::{Carrier, Signed, payload_of};
use crate::fault::{Fault, OtherFile};
use crate::spool::left_behind;
use crate::store::{Keyring, PATIENCE, Store, next_to};
use crate::verify::{self, Kind, Question, anchors, cannot_read, file_of, open};

/// Long enough for an append that is under way.
const A_MOMENT: Duration = Duration::from_secs(2);

/// As much as evidence may have: what a batch has at most.
const MOST_ASIDE: u64 = 1 << 20;

/// More of one name than anybody puts aside.
const MOST_OF_A_NAME: u32 = 10_000;

/// The folder beside the lines for what was put aside.
const ASIDE: &str = "aside";

/// Damaged lines that were set aside, whose records are not appended again yet.
const RETURNING: &str = "aside/returning.ndjson";

/// What every record of the ledger's own has: where one stands among damaged lines, more than records is lost
/// with them.
const OWN: &[u8] = b"\"kind\":\"ledger\"";

/// What is the matter with a ledger, or the key that signs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// There is none, and nothing tells that there was.
    Absent,
    /// Its lines are gone, and what stood beside them tells of it.
    LinesGone,
    /// The file has another name.
    Renamed(PathBuf),
    /// Something beside it is of another ledger: one of the two was replaced.
    Replaced(Vec<String>),
    /// The file is empty; whether something beside it tells of lines.
    Empty(bool),
    /// It is a ledger of the Python package 0.1.
    Legacy,
    /// It is something else.
    Other(OtherFile),
    /// Another ledger continues it; whether that one still waits for its place.
    Closed(bool),
    /// Files beside it that are not what the ledger puts there: links, folders, second names.
    Misplaced(Vec<String>),
    /// Files beside it that say what cannot be: no checkpoint of this ledger by a key of it.
    DamagedBeside(Vec<String>),
    /// Somebody else holds its lock.
    Busy(Option<Holder>),
    /// Locks exclude nobody there.
    NoLocks,
    /// It cannot be written, for this reason.
    NotWritable(String),
    /// It cannot be read, for this reason.
    NotReadable(String),
    /// Records that stood among lines which were set aside wait to be appended again.
    Returning,
    /// Lines from this one on are damaged, and no checkpoint covers any of them.
    DamagedTail(u64),
    /// Lines from this one on are damaged, and a checkpoint, a sealed segment or their number forbids to touch them.
    Damaged(u64),
    /// It has fewer or other lines than were signed for.
    Rewritten,
    /// Its end is what an interrupted write leaves.
    Torn,
    /// Its first key is not trusted here: the fingerprint.
    Untrusted(String),
    /// Something could not be compared.
    NotCompared,
    /// The key file is gone; another one here may write.
    KeyGone(Option<PathBuf>),
    /// The key file holds no key.
    KeyUnreadable(String),
    /// The key file can be read by others.
    KeyExposed,
    /// The key needs a passphrase that is not given, or is wrong.
    KeyLocked,
    /// The key may not write to the ledger; whether another one here may.
    KeyStranger(bool),
    /// Records wait beside it.
    Waiting(usize),
    /// Anybody may put files there.
    Exposed(PathBuf),
}

impl State {
    /// Whether nothing can be written, or nothing should be relied on.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Waiting(_) | Self::Exposed(_) | Self::Torn)
    }
}

/// What was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checkup {
    /// The folder of the ledger.
    pub ledger: PathBuf,
    /// The key file.
    pub key: PathBuf,
    /// What is the matter, in the order in which to see to it; nothing where all is well.
    pub states: Vec<State>,
}

/// Looks at a ledger and its key.
///
/// # Errors
///
/// When the trusted keys cannot be read.
pub fn look(store: &Store) -> Result<Checkup> {
    let mut states = Vec::new();
    let report = look_at_lines(store, &mut states)?;
    if let Some(report) = &report {
        look_at_key(store, report, &mut states);
        let waiting = left_behind(&store.ledger).len();
        if waiting > 0 {
            states.push(State::Waiting(waiting));
        }
        states.extend(store.exposed_folders().map(State::Exposed));
    }
    Ok(Checkup { ledger: store.ledger.clone(), key: store.key.clone(), states })
}

/// What is the matter with the files; the report, where there is a ledger to write to.
fn look_at_lines(store: &Store, states: &mut Vec<State>) -> Result<Option<Report>> {
    let (folder, file) = (&store.ledger, file_of(&store.ledger));
    let claims = claims(&file);
    let misplaced = misplaced(folder);
    if !misplaced.is_empty() {
        states.push(State::Misplaced(misplaced));
        return Ok(None);
    }
    if !store.exists() {
        let gone = store.missing();
        let is_gone = matches!(gone.downcast_ref(), Some(LedgerError::LinesGone { .. }));
        states.push(match renamed(folder) {
            Some(path) => State::Renamed(path),
            None if is_gone => State::LinesGone,
            None => State::Absent,
        });
        return Ok(None);
    }
    if folder.join(CONTINUED_FILE).exists() {
        states.push(State::Closed(next_to(folder).exists()));
        return Ok(None);
    }
    match Kind::of(&file) {
        Ok(Kind::Ledger) => {}
        Ok(Kind::Other(OtherFile::Empty)) => {
            states.push(State::Empty(claims.is_some()));
            return Ok(None);
        }
        Ok(Kind::Other(_)) if claims.is_some() => {}
        Ok(Kind::Other(what)) => {
            states.push(State::Other(what));
            return Ok(None);
        }
        Ok(_) => {
            states.push(State::Legacy);
            return Ok(None);
        }
        Err(error) => {
            states.push(State::NotReadable(format!("{error:#}")));
            return Ok(None);
        }
    }
    let locked = while_held(&mut store.storage(), A_MOMENT, |_| Ok::<_, LedgerError>(()));
    if let Err(error) = locked {
        states.push(match error {
            LedgerError::Busy { holder, .. } => State::Busy(holder),
            LedgerError::Io { source, .. } if source.kind() == ErrorKind::Unsupported => {
                State::NoLocks
            }
            other => State::NotWritable(other.to_string()),
        });
    }
    if let Some(state) = of_key_file(store) {
        states.push(state);
        return Ok(None);
    }
    let trust = store.trusted(None)?;
    let question = Question { trust, ..Question::default() };
    let report = match verify::verify(&file, &question) {
        Ok(verdict) => verdict.report,
        Err(error) => {
            states.push(State::NotReadable(format!("{error:#}")));
            return Ok(None);
        }
    };
    states.extend(of_report(&report, &file, claims.unwrap_or(0)));
    if folder.join(RETURNING).exists() {
        states.push(State::Returning);
    }
    Ok(Some(report))
}

/// What a verification found, as a state.
fn of_report(report: &Report, file: &Path, claimed: u64) -> Vec<State> {
    let refused = report.anchors.iter().filter(|anchor| anchor.verdict == AnchorVerdict::Refused);
    let refused: Vec<String> = refused.map(|anchor| anchor.source.clone()).collect();
    if !refused.is_empty() {
        let own = report.ledger_id.as_deref().and_then(LedgerId::from_hex);
        let others = anchors(file, None).map_or(Vec::new(), |(anchors, _)| anchors);
        let others = others
            .iter()
            .filter(|anchor| anchor.checkpoint().is_some_and(|of| Some(of.ledger_id) != own));
        let others: Vec<String> = others.map(|anchor| anchor.source.clone()).collect();
        let is_replaced = own.is_some() && !others.is_empty();
        return vec![if is_replaced {
            State::Replaced(others)
        } else {
            State::DamagedBeside(refused)
        }];
    }
    let first = report.first_fault.as_ref().map_or(1, |fault| fault.line);
    match report.status {
        Status::Valid => Vec::new(),
        Status::TornTail => vec![State::Torn],
        Status::Rewritten => vec![State::Rewritten],
        Status::Tampered if can_be_set_aside(report, file, claimed) => {
            vec![State::DamagedTail(first)]
        }
        Status::Tampered => vec![State::Damaged(first)],
        _ => match report.keys.iter().find(|key| key.genesis) {
            Some(key) if !key.trusted => vec![State::Untrusted(key.fingerprint.clone())],
            _ => vec![State::NotCompared],
        },
    }
}

/// Whether all from the first fault on was signed for by no checkpoint, is in the file that is written to, and is
/// no longer than evidence may be; and nobody has a key to it who signed what does not add up.
fn can_be_set_aside(report: &Report, file: &Path, claimed: u64) -> bool {
    let Some(first) = report.first_fault.as_ref() else { return false };
    let sound = first.line - 1;
    let kind = |code| report.faults.iter().any(|fault| fault.code == code);
    if sound == 0 || sound < claimed.max(report.covered) || kind("record") || kind("segment") {
        return false;
    }
    let Ok(measured) = measure(file, Some(sound)) else { return false };
    let active = open_if_there(file).ok().flatten().map_or(u64::MAX, |ledger| ledger.active());
    measured.bytes >= active
        && measured.file_bytes - measured.bytes <= MOST_ASIDE
        && rest_of(file, measured.bytes)
            .is_ok_and(|rest| !rest.windows(OWN.len()).any(|part| part == OWN))
}

/// How many lines were signed for, by what stands beside a ledger; none when nothing does.
fn claims(file: &Path) -> Option<u64> {
    let (anchors, _) = anchors(file, None).ok()?;
    anchors.iter().filter_map(|anchor| Some(anchor.checkpoint()?.size)).max()
}

/// A ledger in a file beside the place where it would be.
fn renamed(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let begins =
        |name: &String| name.starts_with(LEDGER_FILE) && parse_evidence_name(name).is_none();
    let mut found: Vec<PathBuf> = names.filter(begins).map(|name| folder.join(name)).collect();
    found.retain(|path| matches!(Kind::of(path), Ok(Kind::Ledger)));
    // Of several nobody knows which.
    if found.len() == 1 { found.pop() } else { None }
}

/// Which of the names that a ledger uses stand for something else.
fn misplaced(folder: &Path) -> Vec<String> {
    let is_other = |name: &&str, right: fn(&FileType) -> bool| {
        let found = fs::symlink_metadata(folder.join(name));
        found.is_ok_and(|found| !right(&found.file_type()))
    };
    let files = OWN_FILES.iter().filter(|name| is_other(name, FileType::is_file));
    let dirs = OWN_DIRS.iter().filter(|name| is_other(name, FileType::is_dir));
    files.chain(dirs).map(|name| (*name).to_owned()).collect()
}

/// What keeps a key file from being used, if there is one.
fn of_key_file(store: &Store) -> Option<State> {
    let error = store.key(false).err()?;
    match error.downcast_ref() {
        Some(LedgerError::KeyExposed { .. }) => Some(State::KeyExposed),
        Some(LedgerError::KeyEncrypted { .. } | LedgerError::Passphrase { .. }) => {
            Some(State::KeyLocked)
        }
        _ if matches!(error.downcast_ref(), Some(Fault::NoKey { .. })) => None,
        _ => Some(State::KeyUnreadable(format!("{error:#}"))),
    }
}

/// Whether the key may write.
fn look_at_key(store: &Store, report: &Report, states: &mut Vec<State>) {
    let may = |key: &str| {
        report.keys.iter().any(|known| known.public_key == key && known.retired_seq.is_none())
    };
    let other = || {
        let files = store.key_files().into_iter().filter(|path| *path != store.key);
        let mut files = files.filter(|path| store.public(path).is_ok_and(|key| may(&key.to_hex())));
        files.next()
    };
    match store.public(&store.key) {
        Ok(key) if may(&key.to_hex()) || report.keys.is_empty() => {}
        Ok(_) => states.push(State::KeyStranger(other().is_some())),
        Err(_) => states.push(State::KeyGone(other())),
    }
}

/// What a repair did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// What was moved, and where it is now.
    pub aside: Vec<(String, PathBuf)>,
    /// How many bytes of damaged lines were set aside, and the file beside the ledger that holds them.
    pub cut: Option<(usize, String)>,
    /// How many records that stood among them were appended again.
    pub returned: u64,
    /// How many could not be.
    pub left: u64,
    /// Lines for the user: what any writer does first.
    pub notices: Vec<String>,
}

/// Puts aside what keeps a ledger from being written, as far as that can be done without another ledger, and does
/// what any writer does first. May be called again, whatever stopped it.
///
/// # Errors
///
/// When something cannot be moved or written, and for what a repair has no way on from.
pub fn repair(store: &Store) -> Result<Repaired> {
    let mut done = Repaired::default();
    for name in misplaced(&store.ledger) {
        done.aside.push(put_aside(&store.ledger, &name)?);
    }
    let file = file_of(&store.ledger);
    if matches!(Kind::of(&file), Ok(Kind::Other(OtherFile::Empty))) && claims(&file).is_none() {
        done.aside.push(put_aside(&store.ledger, LEDGER_FILE)?);
        return Ok(done);
    }
    let keyring = store.keyring()?;
    let storage = &mut store.storage();
    while_held(storage, PATIENCE, |_| {
        let question = Question { trust: store.trusted(None)?, ..Question::default() };
        let report = verify::verify(&file, &question)?.report;
        if let Some(State::DamagedBeside(names)) = of_report(&report, &file, 0).first() {
            for name in names {
                done.aside.push(put_aside(&store.ledger, name)?);
            }
        }
        anyhow::Ok(())
    })?;
    let mut states = Vec::new();
    let report = look_at_lines(store, &mut states)?;
    if let (Some(_), Some(State::DamagedTail(line))) = (&report, states.first()) {
        done.cut = Some(cut(store, &keyring, line - 1)?);
    }
    (done.returned, done.left) = put_back(store, &keyring)?;
    done.notices = store.open(&keyring)?.notices;
    Ok(done)
}

/// Moves what has a name of the ledger's into the folder for that, under the next free number.
fn put_aside(folder: &Path, name: &str) -> Result<(String, PathBuf)> {
    let aside = folder.join(ASIDE);
    let cannot = || format!("cannot move {} aside", folder.join(name).display());
    fs::create_dir_all(&aside).with_context(cannot)?;
    let last = name.rsplit('/').next().unwrap_or(name);
    let to = (1..=MOST_OF_A_NAME)
        .map(|number| aside.join(format!("{last}.{number}")))
        .find(|to| fs::symlink_metadata(to).is_err())
        .with_context(cannot)?;
    fs::rename(folder.join(name), &to).with_context(cannot)?;
    Ok((name.to_owned(), to))
}

/// Sets aside all behind the first `sound` lines; a copy waits for its records to be appended again.
fn cut(store: &Store, keyring: &Keyring, sound: u64) -> Result<(usize, String)> {
    let keep = measure(&file_of(&store.ledger), Some(sound))?.bytes;
    let rest = rest_of(&file_of(&store.ledger), keep)?;
    while_held(&mut store.storage(), PATIENCE, |disk| {
        let kept = disk.replace_beside(RETURNING, &rest);
        kept.with_context(|| format!("cannot write {}", store.ledger.join(RETURNING).display()))
    })?;
    let repairs = store.set_aside(keyring, keep)?;
    let set_aside = repairs.into_iter().find_map(|repair| match repair {
        Repair::SetAside { removed_bytes, evidence } => Some((removed_bytes, evidence)),
        _ => None,
    });
    set_aside.context("somebody else set it aside")
}

/// All of a ledger from an offset on.
fn rest_of(file: &Path, keep: u64) -> Result<Vec<u8>> {
    let ledger = open(file)?;
    let len = usize::try_from(ledger.size().saturating_sub(keep))?;
    ledger.read_at(keep, len).with_context(|| cannot_read(file))
}

/// Appends the records that stood among damaged lines again: how many, and how many could not be.
fn put_back(store: &Store, keyring: &Keyring) -> Result<(u64, u64)> {
    let file = store.ledger.join(RETURNING);
    if !file.exists() {
        return Ok((0, 0));
    }
    let question = Question { trust: store.trusted(None)?, ..Question::default() };
    let report = verify::verify(&file_of(&store.ledger), &question)?.report;
    let id = report.ledger_id.as_deref().and_then(LedgerId::from_hex);
    let signed = Signed::of(id.context("a ledger has a name")?, &report.keys, u64::MAX);
    let mut carrier = Carrier::new(store)?;
    signed.each(&file, &mut |entry, line| {
        if entry.control()?.is_none() {
            carrier.take(payload_of(line)?);
        }
        Ok(())
    })?;
    let count = carrier.waiting();
    let (_, left) = carrier.append(store, keyring.clone())?;
    put_aside(&store.ledger, RETURNING)?;
    Ok((count, left))
}
