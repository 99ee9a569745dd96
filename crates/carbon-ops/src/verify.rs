//! A ledger verified as the product does it: keys, lines, checkpoints, their history, records and their
//! continuity.
//!
//! Out of scope: how a verdict is told.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use carbon_ops_ledger::keys::{Trust, trust_from};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG, SIGNER_STATE_FILE};
use carbon_ops_proof::entry::RESERVED_MEMBERS;
use carbon_ops_proof::note::{MAX_NOTE_BYTES, Note};
use carbon_ops_proof::policy::{MAX_POLICY_BYTES, Policy};
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, GapReport, Life, Notes, Payload, Progress as SoFar, Report,
    Settings as VerifySettings, verify_records,
};
use carbon_ops_record::continuity::{self, Continuity, KnownGap, Passage};
use carbon_ops_record::{Record, RecordKind, SCHEMA_VERSION};

use crate::env::Env;
use crate::head;
pub use crate::head::refuse_legacy;
use crate::settings::Settings;
use crate::store::Store;
use crate::witnesses::{CLOCK_SLACK_SECONDS, history};

/// What a verification found, in the lines and in what they say.
#[derive(Debug)]
pub struct Verified {
    pub report: Report,
    pub others: Others,
    pub continuity: continuity::Report,
}

/// Reads the whole ledger.
pub fn inspect(
    path: &Path,
    trust: &Trust,
    anchors: &[Anchor],
    since: u64,
    recompute: bool,
    progress: &dyn Fn(SoFar, u64),
) -> Result<Verified> {
    // Before the ledger, so that what is signed meanwhile is of no more lines than are read.
    let log = RefCell::new(checkpoint_log(path)?);
    let ledger = open(path)?;
    let segments = ledger.segment_faults().with_context(|| cannot_read(path))?;
    let size = ledger.size();
    let active = ledger.active();
    let reader = BufReader::with_capacity(1 << 20, ledger);
    let check = |payload: &Payload<'_>| {
        let owner = Owner::of(payload);
        // What a correction puts in the place of a record is no further passage of time.
        let stands_in_line = payload.member("seq").is_some();
        let read = || check_record(payload, recompute);
        let record = matches!(owner, Owner::Us).then(read).transpose()?;
        let record = record.filter(|_| stands_in_line);
        // A span that was not measured here is no passage of a counter's time.
        let measured = record.filter(|record| record.measurement.is_some());
        let passage = measured.map(|record| Passage::of(&record));
        Ok((owner, passage))
    };
    let (mut others, mut continuity) = (Others::default(), Continuity::new());
    let mut accept = |seq, (owner, passage): (Owner, Option<Option<Passage>>)| {
        others.count(owner);
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
    let again = RefCell::new(open(path)?);
    let read_back = |offset, len| {
        let (mut again, mut bytes) = (again.borrow_mut(), vec![0; len]);
        again.seek(SeekFrom::Start(offset))?;
        again.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let next_note = || log.borrow_mut().as_mut().map_or(Ok(None), Notes::next);
    let tell = |so_far: SoFar| progress(so_far, size);
    let settings = VerifySettings {
        anchors,
        since,
        active,
        threads: Env::threads(),
        progress: Some(&tell),
        read_back: Some(&read_back),
        history: log.borrow().is_some().then_some(&next_note),
        ..VerifySettings::new(trust)
    };
    let mut report = verify_records(reader, &settings, &check, &mut accept)
        .with_context(|| cannot_read(path))?;
    report.add_faults(segments.iter().map(Into::into));
    let continuity = continuity.finish(&known_gaps(&report.life));
    Ok(Verified { report, others, continuity })
}

/// The keys given, else those of the local key store, else none.
pub fn trust(given: Option<&str>, settings: &Settings, env: &Env) -> Result<Trust> {
    match given {
        Some(given) => Ok(trust_from(given)?),
        None => Store::of(settings, env).map_or_else(|_| Ok(Trust::new()), |s| s.trusted(None)),
    }
}

/// Signed entries whose content was not checked.
#[derive(Debug, Default)]
pub struct Others {
    pub newer: u64,
    pub foreign: u64,
}

impl Others {
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
    Us,
    /// Of this program, in a schema that this version does not know.
    Newer,
    /// Of another program.
    Foreign,
}

impl Owner {
    pub fn of(payload: &Payload<'_>) -> Self {
        let ours = RecordKind::CarbonOps.as_str();
        if payload.member("kind").as_ref().and_then(Value::as_str) != Some(ours) {
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
    let text = payload.to_canonical();
    let record = match serde_json::from_str::<Record>(&text) {
        Ok(record) => record.check().map(|()| record),
        // The other reader says what is wrong without a place that is not the line's.
        Err(_) => Record::from_json(serde_json::from_str(&text).map_err(|e| e.to_string())?),
    };
    let record = record.map_err(|error| error.to_string())?;
    if recompute {
        record.recompute().map_err(|error| error.to_string())?;
    }
    Ok(record)
}

/// What a ledger is held against: what stands beside it, and a checkpoint that the user kept; and how
/// many lines the latter covers.
pub fn anchors(ledger: &Path, since: Option<&Path>) -> Result<(Vec<Anchor>, u64)> {
    let mut anchors = Vec::new();
    let beside =
        [(CHECKPOINT_FILE, AnchorKind::Checkpoint), (SIGNER_STATE_FILE, AnchorKind::SignerState)];
    // A copy under another name has nothing beside it that is its own.
    let own = ledger.file_name().is_some_and(|name| name == LEDGER_FILE);
    for (name, kind) in beside.into_iter().filter(|_| own) {
        let path = ledger.with_file_name(name);
        match read_limited(&path, MAX_NOTE_BYTES) {
            Ok(bytes) => anchors.push(Anchor { source: name.to_owned(), bytes, kind }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    let Some(path) = since else { return Ok((anchors, 0)) };
    let bytes = read_limited(path, MAX_NOTE_BYTES)
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
pub fn checkpoint_log(ledger: &Path) -> Result<Option<Notes<impl BufRead>>> {
    if ledger.file_name().is_none_or(|name| name != LEDGER_FILE) {
        return Ok(None);
    }
    let path = ledger.with_file_name(CHECKPOINT_LOG);
    let cannot = || format!("cannot read {}", path.display());
    match fs::File::open(&path) {
        Ok(file) => {
            let len = file.metadata().with_context(cannot)?.len();
            Ok(Some(Notes::new(BufReader::new(file.take(len)))))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(cannot),
    }
}

/// The last checkpoint in the ledger's history that the policy is content with, as something to hold
/// the ledger against: later ones may not be cosigned yet.
pub fn latest_cosigned(ledger: &Path, policy: &Policy) -> Option<Anchor> {
    let latest = latest();
    let enough = |note: &Note| policy.judge(note, latest).is_ok_and(|judged| judged.quorum_met());
    let note = history(ledger).into_iter().rev().find(enough)?;
    let source = CHECKPOINT_LOG.to_owned();
    Some(Anchor { source, bytes: note.to_string().into_bytes(), kind: AnchorKind::Checkpoint })
}

pub fn read_policy(path: &Path) -> Result<Policy> {
    Policy::parse(&read_policy_bytes(path)?)
        .map_err(|e| anyhow!("cannot use the policy {}: {e}", path.display()))
}

pub fn read_policy_bytes(path: &Path) -> Result<Vec<u8>> {
    read_limited(path, MAX_POLICY_BYTES)
        .with_context(|| format!("cannot read the policy {}", path.display()))
}

/// The latest time that a cosignature may have to count.
pub fn latest() -> u64 {
    u64::try_from(Env::now().as_second()).unwrap_or_default().saturating_add(CLOCK_SLACK_SECONDS)
}

/// The gaps of a ledger, for what they say of energy.
pub fn known_gaps(life: &Life) -> Vec<KnownGap> {
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
        (None, None) => bail!("there is no default ledger without a HOME\nhint: give its path"),
    };
    Ok(if path.is_dir() { path.join(LEDGER_FILE) } else { path })
}

pub fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

pub fn open(path: &Path) -> Result<LedgerReader> {
    LedgerReader::open(path).map_err(|error| {
        anyhow!(
            "cannot open the ledger {}: {error}\nhint: give the path of a ledger, or make the \
             default one with a first `carbon-ops run`",
            path.display()
        )
    })
}
/// A whole file, of which one byte more than `limit` is read at most: too long is for others to say.
pub fn read_limited(path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
