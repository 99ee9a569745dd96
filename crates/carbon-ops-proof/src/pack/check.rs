//! Reading a pack, strictly, and checking all that it claims. Memory stays bounded whatever the file.

use std::io::{self, BufRead};

use memchr::memmem;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::frame::{Frame, MAX_FRAME_BYTES};
use crate::canonical::Object;
use crate::checkpoint::Checkpoint;
use crate::entry::{Control, Correction, Entry, Fault, Head, MAX_LINE_BYTES, OWN, Outcome};
use crate::keys::{PublicKey, Trust};
use crate::lines::{Line, next_line_within};
use crate::merkle::{TreeHash, leaf_hash, verify_consistency, verify_inclusion};
use crate::note::Note;
use crate::roster::Roster;
use crate::verify::{
    Anchor, AnchorKind, Check, Examiner, Payload, Report, Sequence, Settings, Status, StoredLine,
};

/// The verdict on a pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PackStatus {
    /// Everything in it holds.
    Valid,
    /// Everything fits, but the key behind the ledger is not trusted.
    Untrusted,
    /// Something in it does not hold: so unless it was shown to.
    #[default]
    Tampered,
}

/// What is wrong with a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PackFault {
    /// The line of the pack, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What a pack has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PackReport {
    /// Version of this report's form.
    pub schema_version: u32,
    /// The verdict.
    pub status: PackStatus,
    /// The first thing that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<PackFault>,
    /// The ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_id: Option<String>,
    /// How many lines the checkpoint covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The root of the tree over them, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Whether the pack has all of these lines. Of a selection, nothing is shown about the rest.
    pub whole: bool,
    /// How many lines of the ledger are in the pack and hold.
    pub entries: u64,
    /// The fingerprint of the key that signed the genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis_key: Option<String>,
    /// The same key, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesis_public_key: Option<String>,
    /// The fingerprint of the key that signed the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// How many lines the earlier checkpoint covers, which this one extends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier_size: Option<u64>,
    /// The policy that the pack's author put into it: their word, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_policy: Option<String>,
    /// The report on the whole ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Report>,
    /// The checkpoint with its signatures, for a policy to judge.
    #[serde(skip)]
    pub checkpoint: Option<Note>,
    /// The earlier checkpoint, for comparison with one that was kept.
    #[serde(skip)]
    pub earlier: Option<Note>,
}

/// Verifies a pack. `check` is called with all members of each entry that is not one of the ledger's
/// own records; what it returns as an error becomes the fault.
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
pub fn verify_pack(
    reader: impl BufRead,
    trust: &Trust,
    check: &mut dyn FnMut(&Object) -> Result<(), String>,
) -> io::Result<PackReport> {
    let all = |payload: &Payload<'_>| Ok(payload.to_object());
    verify_pack_records(reader, trust, &all, &mut |_, object| check(&object))
}

/// Verifies a pack, and what its records say in two steps, as
/// [`verify_records`](crate::verify::verify_records) does: `check` is called with each entry that is not one of the
/// ledger's own records and, in a pack of all lines, with what a correction puts in the place of one; what it returns is
/// handed to `accept` with the number of the entry, or of the correction.
///
/// # Errors
///
/// Only when reading fails. Everything else is in the report.
pub fn verify_pack_records<T>(
    reader: impl BufRead,
    trust: &Trust,
    check: &Check<'_, T>,
    accept: &mut dyn FnMut(u64, T) -> Result<(), String>,
) -> io::Result<PackReport> {
    let mut checker = Checker {
        pack: Pack { reader, hash: Sha256::new(), line: Line::default(), number: 0 },
        trust,
        report: PackReport { schema_version: 1, ..PackReport::default() },
    };
    match checker.run(&mut Records { check, accept }) {
        Ok(status) => checker.report.status = status,
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Fault(reason)) => {
            checker.report.fault = Some(PackFault { line: checker.pack.number.max(1), reason });
        }
    }
    Ok(checker.report)
}

/// Calls `each` with each of the ledger's own records in a pack, and its number, in the order of lines: what they say
/// of others, for whoever has to know that before the others are read. Nothing is verified.
pub fn own_records(pack: &[u8], each: &mut dyn FnMut(u64, Control)) {
    let own = memmem::Finder::new(OWN);
    for line in pack.split(|byte| *byte == b'\n').filter(|line| own.find(line).is_some()) {
        if let Ok(entry) = Entry::parse(line)
            && let Ok(Some(control)) = entry.control()
        {
            each(entry.seq(), control);
        }
    }
}

/// What is made of records, and who takes it.
struct Records<'c, T> {
    check: &'c Check<'c, T>,
    accept: &'c mut dyn FnMut(u64, T) -> Result<(), String>,
}

/// Why checking ended early.
enum Stop {
    Io(io::Error),
    Fault(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault.to_string())
    }
}

fn fault<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(reason.into()))
}

/// The lines of a pack, hashed as they pass.
struct Pack<R> {
    reader: R,
    hash: Sha256,
    line: Line,
    number: u64,
}

impl<R: BufRead> Pack<R> {
    /// The next line, without its newline. It is not hashed yet.
    fn next(&mut self, limit: usize) -> Result<&[u8], Stop> {
        self.number += 1;
        if !next_line_within(&mut self.reader, &mut self.line, limit)? {
            return fault("the pack ends too early");
        }
        if !self.line.terminated {
            return fault("the line does not end with a newline");
        }
        if self.line.len > limit as u64 {
            return fault("the line is too long");
        }
        Ok(&self.line.bytes)
    }

    fn take_in(&mut self) {
        self.hash.update(&self.line.bytes);
        self.hash.update(b"\n");
    }

    fn frame(&mut self) -> Result<Frame, Stop> {
        let frame = Frame::parse(self.next(MAX_FRAME_BYTES)?);
        let Some(frame) = frame else { return fault("not a line of an audit pack") };
        if !matches!(frame, Frame::End { .. }) {
            self.take_in();
        }
        Ok(frame)
    }

    fn entry(&mut self) -> Result<Vec<u8>, Stop> {
        let line = self.next(MAX_LINE_BYTES)?.to_vec();
        self.take_in();
        Ok(line)
    }
}

struct Checker<'t, R> {
    pack: Pack<R>,
    trust: &'t Trust,
    report: PackReport,
}

/// What is held against what.
struct Claims {
    checkpoint: Checkpoint,
    note: Note,
    earlier: Option<(Checkpoint, Note)>,
    entries: u64,
    whole: bool,
}

impl<R: BufRead> Checker<'_, R> {
    fn run<T>(&mut self, records: &mut Records<'_, T>) -> Result<PackStatus, Stop> {
        let claims = self.claims()?;
        let (keys, trusted, end) = if claims.whole {
            let (keys, trusted) = self.whole(&claims, records)?;
            (keys, trusted, self.pack.frame()?)
        } else {
            let (ChainState { roster, .. }, end) = self.selection(&claims, records)?;
            let trusted = self.trust.contains(roster.genesis_key());
            (Keys::Roster(Box::new(roster)), trusted, end)
        };
        self.signatures(&claims, &keys)?;
        self.end(&end)?;
        Ok(if trusted { PackStatus::Valid } else { PackStatus::Untrusted })
    }

    /// Everything before the lines of the ledger.
    fn claims(&mut self) -> Result<Claims, Stop> {
        let Frame::Head { ledger_id, size, entries, whole, earlier, policy, .. } =
            self.pack.frame()?
        else {
            return fault("not the head of an audit pack");
        };
        (self.report.whole, self.report.size) = (whole, Some(size));
        let Frame::Checkpoint { note } = self.pack.frame()? else {
            return fault("the checkpoint was expected here");
        };
        let (checkpoint, note) = read_checkpoint(&note)?;
        if checkpoint.ledger_id.to_string() != ledger_id || checkpoint.size != size {
            return fault("the checkpoint is of another ledger or size than the head says");
        }
        if entries > size || entries == 0 || (whole && entries != size) {
            return fault("the head does not count its entries right");
        }
        self.report.ledger_id = Some(ledger_id);
        self.report.root = Some(checkpoint.root.to_string());
        self.report.checkpoint = Some(note.clone());
        let mut claims = Claims { checkpoint, note, earlier: None, entries, whole };
        if earlier {
            let Frame::Earlier { note, proof } = self.pack.frame()? else {
                return fault("an earlier checkpoint was expected here");
            };
            claims.earlier = Some(self.earlier(&checkpoint, &note, &proof)?);
        }
        if policy {
            let Frame::Policy { text } = self.pack.frame()? else {
                return fault("a policy was expected here");
            };
            self.report.claimed_policy = Some(text);
        }
        Ok(claims)
    }

    fn earlier(
        &mut self,
        checkpoint: &Checkpoint,
        note: &str,
        proof: &[TreeHash],
    ) -> Result<(Checkpoint, Note), Stop> {
        let (earlier, note) = read_checkpoint(note)?;
        if earlier.ledger_id != checkpoint.ledger_id {
            return fault("the earlier checkpoint is of another ledger");
        }
        let (old, new) = (earlier.size, checkpoint.size);
        if let Err(e) = verify_consistency(old, earlier.root, new, checkpoint.root, proof) {
            return fault(format!("the checkpoint does not extend the earlier one: {e}"));
        }
        self.report.earlier_size = Some(old);
        self.report.earlier = Some(note.clone());
        Ok((earlier, note))
    }

    /// All lines of a ledger; the keys that may sign for it, and whether that of the genesis is
    /// trusted.
    fn whole<T>(
        &mut self,
        claims: &Claims,
        records: &mut Records<'_, T>,
    ) -> Result<(Keys, bool), Stop> {
        let anchor = |note: &Note, source: &str| Anchor {
            source: source.to_owned(),
            bytes: note.to_string().into_bytes(),
            kind: AnchorKind::Checkpoint,
        };
        let mut anchors = vec![anchor(&claims.note, "checkpoint")];
        anchors.extend(claims.earlier.iter().map(|(_, note)| anchor(note, "earlier")));
        let settings = Settings { anchors: &anchors, ..Settings::new(self.trust) };
        let (mut sequence, mut examiner) =
            (Sequence::new(&settings), Examiner::new(records.check, 0));
        let before = self.pack.number;
        for number in 1..=claims.entries {
            let line = self.pack.entry()?;
            let (bytes, len) = (&line[..], line.len() as u64);
            // Nothing in a pack was torn by a crash.
            let stored = StoredLine { number, bytes, len, terminated: true, last: false };
            sequence.push(examiner.examine(&stored), records.accept);
        }
        let report = sequence.finish();
        let first = report.first_fault.clone();
        let anchor = report.anchors.iter().find_map(|anchor| anchor.reason.clone());
        let keys = report.keys.iter().filter_map(|key| key.public_key.parse().ok()).collect();
        let genesis = report.keys.iter().find(|key| key.genesis);
        self.report.genesis_key = genesis.map(|key| key.fingerprint.clone());
        self.report.genesis_public_key = genesis.map(|key| key.public_key.clone());
        self.report.entries = report.entries;
        let status = report.status;
        self.report.ledger = Some(report);
        if let Some(first) = first {
            self.pack.number = before + first.line;
            return fault(first.reason);
        }
        match status {
            Status::Valid | Status::Untrusted => Ok((Keys::Judged(keys), status == Status::Valid)),
            _ => fault(anchor.unwrap_or_else(|| "the lines do not hold".to_owned())),
        }
    }

    /// Some lines, each with its path; what they tell, and the frame after them.
    fn selection<T>(
        &mut self,
        claims: &Claims,
        records: &mut Records<'_, T>,
    ) -> Result<(ChainState, Frame), Stop> {
        let mut chain: Option<ChainState> = None;
        let mut frame = self.pack.frame()?;
        while let Frame::Entry { seq, path } = &frame {
            if self.report.entries == claims.entries {
                return fault("there are more entries than the head says");
            }
            let line = self.pack.entry()?;
            let Checkpoint { size, root, ledger_id } = claims.checkpoint;
            if let Err(e) = verify_inclusion(leaf_hash(&line), *seq, size, root, path) {
                return fault(format!("entry {seq} is not in the tree: {e}"));
            }
            let entry = Entry::parse(&line)?;
            if entry.ledger_id() != ledger_id || entry.seq() != *seq {
                return fault("the entry is not the one that its path is about");
            }
            match &mut chain {
                None => {
                    let genesis = ChainState::genesis(&entry)?;
                    let key = genesis.roster.genesis_key();
                    self.report.genesis_key = Some(key.fingerprint());
                    self.report.genesis_public_key = Some(key.to_hex());
                    chain = Some(genesis);
                }
                Some(chain) => chain.entry(&entry)?,
            }
            // As of a whole ledger: what a correction carries is a record too.
            let control = entry.control()?;
            let object = match &control {
                None => Some(entry.object()),
                Some(Control::Correction(Correction {
                    outcome: Outcome::Replaced(payload),
                    ..
                })) => Some(payload),
                Some(_) => None,
            };
            if let Some(object) = object {
                let made = Payload::of(object, |payload| (records.check)(&payload));
                made.and_then(|made| (records.accept)(*seq, made)).map_err(Stop::Fault)?;
            }
            self.report.entries += 1;
            frame = self.pack.frame()?;
        }
        match chain {
            Some(chain) if self.report.entries == claims.entries => Ok((chain, frame)),
            _ => fault("there are fewer entries than the head says"),
        }
    }

    fn signatures(&mut self, claims: &Claims, keys: &Keys) -> Result<(), Stop> {
        let known = |size| {
            let keys = match keys {
                Keys::Judged(keys) => keys.clone(),
                Keys::Roster(roster) => roster.keys_at(size),
            };
            keys.into_iter().chain(self.trust.keys()).collect::<Vec<PublicKey>>()
        };
        let signed = claims.checkpoint.signed_by(&claims.note, &known(claims.checkpoint.size));
        let signer = signed.map_err(|e| Stop::Fault(format!("the checkpoint: {e}")))?;
        if let Some((earlier, note)) = &claims.earlier
            && let Err(e) = earlier.signed_by(note, &known(earlier.size))
        {
            return fault(format!("the earlier checkpoint: {e}"));
        }
        self.report.signed_by = Some(signer.fingerprint());
        Ok(())
    }

    fn end(&mut self, frame: &Frame) -> Result<(), Stop> {
        let Frame::End { sha256 } = frame else { return fault("the end was expected here") };
        if *sha256 != base16ct::lower::encode_string(&self.pack.hash.clone().finalize()) {
            return fault("its hash is not that of the pack");
        }
        if self.pack.line.last {
            return Ok(());
        }
        self.pack.number += 1;
        fault("something follows the end")
    }
}

/// Who may sign checkpoints.
enum Keys {
    /// All keys that the ledger ever had, where each checkpoint was judged already.
    Judged(Vec<PublicKey>),
    Roster(Box<Roster>),
}

fn read_checkpoint(note: &str) -> Result<(Checkpoint, Note), Stop> {
    let note = Note::parse(note.as_bytes()).map_err(|e| Stop::Fault(e.to_string()))?;
    let checkpoint = Checkpoint::of_note(&note).map_err(|e| Stop::Fault(e.to_string()))?;
    Ok((checkpoint, note))
}

/// What the entries so far tell: who may sign, and what the next line has to follow.
struct ChainState {
    roster: Roster,
    head: Head,
}

impl ChainState {
    fn genesis(entry: &Entry) -> Result<Self, Stop> {
        if entry.seq() != 0 {
            return fault("the first entry is not the genesis");
        }
        Ok(Self { roster: Roster::of_genesis(entry)?, head: entry.head() })
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Stop> {
        if entry.seq() <= self.head.seq {
            return fault("the entries are not in ascending order");
        }
        self.roster.authenticate(entry, entry.ledger_id())?;
        if entry.seq() == self.head.seq + 1 {
            entry.follows(&self.head)?;
        }
        self.roster.apply(entry)?;
        self.head = entry.head();
        Ok(())
    }
}
