//! Verifying a whole ledger in one pass, whatever its length, in bounded memory.
//!
//! Every line is looked at, also after a fault, so that a report tells how much is wrong and not
//! only that something is. Left out: opening files, deciding whom to trust, and what a payload
//! means, for which the caller passes a check.

use std::io::{self, BufRead};

use serde::Serialize;

use crate::canonical::Object;
use crate::entry::{Control, Entry, EntryHash, Fault, Imported, LedgerId, MAX_LINE_BYTES};
use crate::keys::{PublicKey, Trust};
use crate::lines::{Line, next_line};

mod anchor;

use anchor::Tree;
pub use anchor::{Anchor, AnchorKind, AnchorReport, AnchorVerdict};

/// How many faults a report lists; the rest is only counted.
pub const MAX_FAULTS: usize = 1000;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Every line is as it was written, by keys that a trusted key vouches for.
    Valid,
    /// Every line fits, but the key behind the ledger is not trusted.
    Untrusted,
    /// Valid, up to a last line that an interrupted write left.
    TornTail,
    /// Something was changed, removed, added or damaged.
    Tampered,
    /// The lines fit each other and not what was signed for earlier: lines were cut off the end, or
    /// another history was written with the key.
    Rewritten,
}

impl Status {
    /// The exit code of a verification: 0 valid, 1 tampered, 2 could not be checked for want of a
    /// trusted key, 3 cut off or rewritten since it was signed for, 4 valid up to a torn end.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Tampered => 1,
            Self::Untrusted => 2,
            Self::Rewritten => 3,
            Self::TornTail => 4,
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Version of this report's form.
    pub schema_version: u32,
    /// The verdict.
    pub status: Status,
    /// Lines that are valid entries, the genesis included.
    pub entries: u64,
    /// Lines of any kind, a torn one included.
    pub lines: u64,
    /// The ledger's name, once an authentic entry told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_id: Option<String>,
    /// When the ledger was made, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_ts: Option<String>,
    /// The older ledger that this one continues, from its genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// The number of the last authentic entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// What an entry after the last authentic one would carry as `prev_hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_hash: Option<String>,
    /// The keys that the genesis lists; without a genesis the trusted ones that were seen.
    pub keys: Vec<KeyReport>,
    /// How many recovery records there are.
    pub recoveries: u64,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<FaultReport>,
    /// The first [`MAX_FAULTS`] faults, in the order of lines.
    pub faults: Vec<FaultReport>,
    /// What an interrupted write left at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_tail: Option<TornTail>,
    /// How many whole lines the tree has.
    pub tree_size: u64,
    /// The root of the tree over them, in base64.
    pub root: String,
    /// What the ledger was held against.
    pub anchors: Vec<AnchorReport>,
    /// How many lines the latest confirmed checkpoint covers; 0 without one.
    pub covered: u64,
    /// How many lines were only compared with a checkpoint, as wholes, and not looked into.
    pub compared: u64,
}

impl Report {
    /// See [`Status::exit_code`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.status.exit_code()
    }
}

/// A key in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// 64 hexadecimal digits.
    pub public_key: String,
    /// `SHA256:` and base64.
    pub fingerprint: String,
    /// Whether the caller trusts this very key.
    pub trusted: bool,
    /// Whether it signed the genesis, and so vouches for the others.
    pub genesis: bool,
    /// How many valid entries it signed.
    pub entries: u64,
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultReport {
    /// The line, from 1.
    pub line: u64,
    /// The number that the line gives itself, when that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// A stable name of the kind of fault.
    pub code: &'static str,
    /// What is wrong, for people.
    pub reason: String,
}

/// A last line that an interrupted write left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TornTail {
    /// The line, from 1.
    pub line: u64,
    /// How many bytes, with a newline if there is one.
    pub bytes: u64,
    /// Whether it is a valid entry that lacks only its newline.
    pub complete_entry: bool,
}

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
/// use carbon_ops_ledger::keys::Trust;
/// use carbon_ops_ledger::verify::{Status, verify};
/// let report = verify(&b""[..], &Trust::new(), &mut |_| Ok(())).unwrap();
/// assert_eq!((report.status, report.exit_code()), (Status::Tampered, 1));
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
    mut reader: impl BufRead,
    trust: &Trust,
    anchors: &[Anchor],
    since: u64,
    check: &mut dyn FnMut(&Object) -> Result<(), String>,
) -> io::Result<Report> {
    let since = if anchors.iter().any(|a| a.checkpoint().is_some_and(|c| c.size == since)) {
        since
    } else {
        0
    };
    let mut state = State::new(trust, anchors, since);
    let mut line = Line::default();
    while next_line(&mut reader, &mut line)? {
        state.line_number += 1;
        state.line(&line, check);
    }
    if state.line_number == 0 {
        state.fault(None, &Fault::EmptyFile);
    }
    Ok(state.finish())
}

/// What the next entry's number has to be.
#[derive(Clone, Copy)]
enum NextSeq {
    /// Exactly this.
    Is(u64),
    /// This or more: unreadable lines came before, and nobody knows how many entries they were.
    AtLeast(u64),
}

struct State<'t> {
    trust: &'t Trust,
    line_number: u64,
    ledger_id: Option<LedgerId>,
    /// From the genesis, once it has been verified.
    roster: Option<Roster>,
    created_ts: Option<String>,
    imported: Option<Imported>,
    next_seq: NextSeq,
    /// The hash of the line before, unless that line was not authentic and has reported so.
    prev_hash: Option<EntryHash>,
    last: Option<(u64, EntryHash)>,
    signed: Vec<(PublicKey, u64)>,
    entries: u64,
    recoveries: u64,
    fault_count: u64,
    faults: Vec<FaultReport>,
    torn_tail: Option<TornTail>,
    tree: Tree<'t>,
    /// Up to which line only the tree is looked at.
    since: u64,
    compared: u64,
}

struct Roster {
    /// The key that signed the genesis.
    genesis_key: PublicKey,
    /// All keys that the genesis lists.
    keys: Vec<PublicKey>,
}

impl<'t> State<'t> {
    fn new(trust: &'t Trust, anchors: &'t [Anchor], since: u64) -> Self {
        Self {
            trust,
            line_number: 0,
            ledger_id: None,
            roster: None,
            created_ts: None,
            imported: None,
            next_seq: NextSeq::Is(0),
            prev_hash: None,
            last: None,
            signed: Vec::new(),
            entries: 0,
            recoveries: 0,
            fault_count: 0,
            faults: Vec::new(),
            torn_tail: None,
            tree: Tree::new(anchors),
            since,
            compared: 0,
        }
    }

    fn line(&mut self, line: &Line, check: &mut dyn FnMut(&Object) -> Result<(), String>) {
        if self.could_be_torn(line) {
            self.torn(line);
            return;
        }
        if line.terminated {
            self.tree.push(&line.bytes);
        }
        if self.only_compare(line) {
            return;
        }
        let parsed = if line.terminated { Entry::parse(&line.bytes) } else { unterminated(line) };
        let entry = match parsed {
            Ok(entry) => entry,
            Err(fault) => {
                // Without its text nobody knows which entry this was, or how many.
                self.fault(None, &fault);
                self.lose_track();
                return;
            }
        };
        if let Err(fault) = self.authenticate(&entry) {
            self.fault(Some(entry.seq()), &fault);
            self.lose_track();
            return;
        }
        let order = self.check_order(&entry);
        self.follow(&entry);
        let result = order.and_then(|()| self.check_content(&entry, check));
        match result {
            Ok(()) => self.count(&entry),
            Err(fault) => self.fault(Some(entry.seq()), &fault),
        }
    }

    /// Whether a line has only to be what an anchor covers. Of the last such line the number and hash are
    /// taken, for the next one to follow.
    fn only_compare(&mut self, line: &Line) -> bool {
        if self.line_number == 1 || self.line_number > self.since {
            return false;
        }
        self.compared += 1;
        if self.line_number == self.since {
            match Entry::parse(&line.bytes) {
                Ok(entry) => self.follow(&entry),
                Err(fault) => self.fault(None, &fault),
            }
        }
        true
    }

    /// Whether a line is what an interrupted write of one entry leaves. The genesis is never
    /// written that way: it appears complete, by a rename.
    fn could_be_torn(&self, line: &Line) -> bool {
        line.last
            && self.line_number > 1
            && line.len <= MAX_LINE_BYTES as u64 + u64::from(!line.terminated)
            && (!line.terminated || line.bytes.contains(&0))
    }

    fn torn(&mut self, line: &Line) {
        let complete_entry = Entry::parse(&line.bytes).is_ok_and(|entry| {
            self.authenticate(&entry).is_ok() && self.check_order(&entry).is_ok()
        });
        self.torn_tail = Some(TornTail {
            line: self.line_number,
            bytes: line.len + u64::from(line.terminated),
            complete_entry: complete_entry && !line.terminated,
        });
    }

    /// Whether a key that may do so signed this entry, for this ledger.
    fn authenticate(&mut self, entry: &Entry) -> Result<(), Fault> {
        if self.line_number == 1
            && let Some(Control::Genesis(genesis)) = entry.control()?
        {
            entry.authenticate(entry.ledger_id(), &genesis.keys)?;
            self.created_ts = Some(genesis.created_ts);
            self.imported = genesis.imported;
            self.roster = Some(Roster { genesis_key: entry.signing_key(), keys: genesis.keys });
        }
        // Without a genesis only what is trusted directly can tell an authentic line from another.
        let ledger_id = self.ledger_id.unwrap_or(entry.ledger_id());
        if let Some(roster) = &self.roster {
            entry.authenticate(ledger_id, &roster.keys)?;
        } else {
            let trusted: Vec<PublicKey> = self.trust.iter().collect();
            entry.authenticate(ledger_id, &trusted)?;
        }
        self.ledger_id = Some(ledger_id);
        Ok(())
    }

    /// Whether the entry stands where it belongs.
    fn check_order(&self, entry: &Entry) -> Result<(), Fault> {
        let found = entry.seq();
        if self.line_number == 1 && found != 0 {
            return Err(Fault::NoGenesis);
        }
        if self.line_number > 1 && found == 0 {
            return Err(Fault::LateGenesis);
        }
        match self.next_seq {
            NextSeq::Is(expected) if found != expected => Err(Fault::Seq { expected, found }),
            NextSeq::AtLeast(expected) if found < expected => Err(Fault::Seq { expected, found }),
            _ => self.prev_hash.map_or(Ok(()), |hash| entry.has_prev_hash(hash)),
        }
    }

    fn check_content(
        &mut self,
        entry: &Entry,
        check: &mut dyn FnMut(&Object) -> Result<(), String>,
    ) -> Result<(), Fault> {
        match entry.control()? {
            None => check(entry.object()).map_err(Fault::Record),
            Some(Control::Recovery(_)) => {
                self.recoveries += 1;
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// From here on, what comes next has to follow this authentic entry.
    fn follow(&mut self, entry: &Entry) {
        let hash = entry.hash();
        self.next_seq = NextSeq::Is(entry.seq() + 1);
        self.prev_hash = Some(hash);
        self.last = Some((entry.seq(), hash));
    }

    /// After a line whose content is not to be relied on.
    fn lose_track(&mut self) {
        let (NextSeq::Is(next) | NextSeq::AtLeast(next)) = self.next_seq;
        self.next_seq = NextSeq::AtLeast(next);
        self.prev_hash = None;
    }

    fn count(&mut self, entry: &Entry) {
        self.entries += 1;
        let key = entry.signing_key();
        match self.signed.iter_mut().find(|(known, _)| *known == key) {
            Some((_, entries)) => *entries += 1,
            None => self.signed.push((key, 1)),
        }
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

    fn finish(self) -> Report {
        let trusted = self.roster.as_ref().is_some_and(|r| self.trust.contains(r.genesis_key));
        let anchors = self.tree.judge(self.ledger_id, &self.known_keys());
        let status = if self.was_cut_off(&anchors) {
            Status::Rewritten
        } else if self.fault_count > 0 || has(&anchors, AnchorVerdict::Refused) {
            Status::Tampered
        } else if has(&anchors, AnchorVerdict::Forked) {
            Status::Rewritten
        } else if !trusted {
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
            last_seq: self.last.map(|(seq, _)| seq),
            head_hash: self.last.map(|(_, hash)| hash.to_string()),
            recoveries: self.recoveries,
            fault_count: self.fault_count,
            first_fault: self.faults.first().cloned(),
            faults: self.faults,
            torn_tail: self.torn_tail,
            tree_size: self.tree.size(),
            root: self.tree.root().to_string(),
            covered: covered(&anchors),
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

    /// The keys that may sign checkpoints of this ledger.
    fn known_keys(&self) -> Vec<PublicKey> {
        let roster = self.roster.iter().flat_map(|roster| roster.keys.iter().copied());
        roster.chain(self.trust.iter()).collect()
    }

    fn key_reports(&self) -> Vec<KeyReport> {
        let genesis_key = self.roster.as_ref().map(|roster| roster.genesis_key);
        let keys = match &self.roster {
            Some(roster) => roster.keys.clone(),
            None => self.signed.iter().map(|(key, _)| *key).collect(),
        };
        keys.into_iter()
            .map(|key| KeyReport {
                public_key: key.to_hex(),
                fingerprint: key.fingerprint(),
                trusted: self.trust.contains(key),
                genesis: genesis_key == Some(key),
                entries: self.signed.iter().find(|(k, _)| *k == key).map_or(0, |(_, n)| *n),
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

/// The fault of a line without a newline that no interrupted write can have left.
fn unterminated(line: &Line) -> Result<Entry, Fault> {
    Err(if line.len > MAX_LINE_BYTES as u64 { Fault::TooLong } else { Fault::Unterminated })
}
