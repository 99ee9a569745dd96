//! A ledger with every kind of its own records, changes of keys, and ends that were interrupted: what its report
//! says, on any number of threads, from any checkpoint on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::{
    AddedKey, Change, Control, Correction, CorrectionReason, Durability, Entry, Gap, GapReason,
    Heartbeat, KeyRotation, LedgerId, MAX_LINE_BYTES, Outcome, Restatement, RestatementReason,
    RetiredKey, RotationReason, Scope, genesis_payload, possession_text, recovery_payload, sign,
};
use carbon_ops_proof::keys::{SecretKey, Signer as _, Trust};
use carbon_ops_proof::merkle::{Frontier, leaf_hash};
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, AnchorVerdict, FaultReport, Log, Notes, Payload, Report, Settings, Status,
    own_records, verify_against, verify_records,
};
use jiff::Timestamp;

use crate::support::{LEDGER_ID, extended, key, ledger_of, other_key, trust};

const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);

fn record(n: u32) -> Object {
    Object::from_members([("kind", Value::from("test")), ("n", Value::from(n))]).unwrap()
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

/// A ledger that is written entry by entry.
#[derive(Clone)]
struct Book {
    lines: Vec<Vec<u8>>,
    last: Entry,
}

#[expect(clippy::indexing_slicing, reason = "a line that is not there fails the test")]
impl Book {
    fn new() -> Self {
        let genesis = genesis_payload(NOW, "test", key().public_key(), Durability::Sync, None);
        let (last, line) = sign(&genesis.unwrap(), LedgerId(LEDGER_ID), None, &key()).unwrap();
        Self { lines: vec![line], last }
    }

    fn add(&mut self, payload: &Object, by: &SecretKey) -> &mut Self {
        let (last, line) = sign(payload, LedgerId(LEDGER_ID), Some(&self.last.head()), by).unwrap();
        self.last = last;
        self.lines.push(line);
        self
    }

    fn own(&mut self, control: &Control) -> &mut Self {
        let payload = control.to_payload(NOW, "test").unwrap();
        self.add(&payload, &key())
    }

    /// A key joins, with its signature of something.
    fn joins(&mut self, by: impl Fn(&str) -> String) -> &mut Self {
        let joins = other_key();
        let head = self.last.head();
        let text =
            possession_text(LedgerId(LEDGER_ID), &head, key().public_key(), joins.public_key());
        let proof = joins.sign(by(&text).as_bytes()).unwrap();
        let added = vec![AddedKey { public_key: joins.public_key(), proof }];
        self.own(&Control::KeyRotation(KeyRotation { added, retired: vec![], reason: None }))
    }

    fn retires(&mut self, compromised_since: Option<u64>) -> &mut Self {
        let retired = vec![RetiredKey { public_key: other_key().public_key(), compromised_since }];
        let reason = compromised_since.map(|_| RotationReason::KeyCompromise);
        self.own(&Control::KeyRotation(KeyRotation { added: vec![], retired, reason }))
    }

    fn corrects(
        &mut self,
        corrects: usize,
        outcome: Outcome,
        restatement: Option<u64>,
    ) -> &mut Self {
        let reason = match restatement {
            Some(_) => CorrectionReason::Restatement,
            None => CorrectionReason::Duplicate,
        };
        let corrects_leaf = leaf_hash(&self.lines[corrects]).0;
        let corrects = corrects as u64;
        let note = None;
        let correction = Correction { corrects, corrects_leaf, reason, note, outcome, restatement };
        self.own(&Control::Correction(correction))
    }

    fn restates(&mut self) -> &mut Self {
        let change = Change { subject: "PUE".into(), before: "1".into(), after: "2".into() };
        self.own(&Control::Restatement(Restatement {
            scope: Scope::Range { first: 1, last: 1 },
            reason: RestatementReason::DataImprovement,
            note: None,
            changes: vec![change],
            totals: BTreeMap::new(),
            period: None,
        }))
    }

    fn file(&self) -> Vec<u8> {
        joined(&self.lines)
    }

    /// Of the first lines, as a signed note or as the state of a signer.
    fn anchor(&self, size: usize, by: Option<&SecretKey>) -> Anchor {
        let mut tree = Frontier::new();
        self.lines[..size].iter().for_each(|line| tree.push(leaf_hash(line)));
        let ledger_id = LedgerId(LEDGER_ID);
        let checkpoint = Checkpoint { ledger_id, size: tree.size(), root: tree.root() };
        let (kind, bytes) = match by {
            Some(key) => (AnchorKind::Checkpoint, checkpoint.sign(key).unwrap().to_string()),
            None => (AnchorKind::SignerState, checkpoint.to_string()),
        };
        Anchor { source: "anchor".into(), bytes: bytes.into(), kind }
    }
}

/// 13 lines: 0 genesis, 1 and 2 records, 3 heartbeat, 4 a key joins, 5 a record by it, 6 restatement, 7 and 8 corrections,
/// 9 gap, 10 recovery, 11 that key was compromised from 5 on, 12 a record.
fn all_kinds() -> Book {
    let mut book = Book::new();
    book.add(&record(1), &key()).add(&record(2), &key());
    book.own(&Control::Heartbeat(Heartbeat::at(NOW, 600).unwrap()));
    book.joins(str::to_owned).add(&record(5), &other_key()).restates();
    book.corrects(1, Outcome::Replaced(record(71)), Some(6)).corrects(2, Outcome::Retracted, None);
    book.own(&Control::Gap(Gap {
        from_ts: "2026-11-23T08:00:00.000000Z".into(),
        to_ts: "2026-11-23T08:30:00.000000Z".into(),
        reason: GapReason::HostOff,
        note: None,
        host_id: None,
        domains: None,
        bound_uj: Some(7),
    }));
    book.add(&recovery_payload(NOW, "test", 10, b"torn").unwrap(), &key());
    book.retires(Some(5)).add(&record(12), &key());
    book
}

/// The report, and the numbers that were accepted, each with what its record says.
fn verified(file: &[u8], settings: &Settings<'_>) -> (Report, Vec<(u64, u64)>) {
    let mut seen = Vec::new();
    let check = |record: &Payload<'_>| {
        let n = record.member("n").and_then(|n| n.as_u64()).ok_or("no number")?;
        if n == 99 { Err("99".to_owned()) } else { Ok(n) }
    };
    let report = verify_records(file, settings, &check, &mut |seq, n| {
        seen.push((seq, n));
        if n == 98 { Err("98".to_owned()) } else { Ok(()) }
    });
    (report.unwrap(), seen)
}

fn report(file: &[u8]) -> Report {
    verified(file, &Settings::new(&trust())).0
}

fn first(report: &Report) -> (u64, &'static str) {
    report.first_fault.as_ref().map_or((0, ""), |fault| (fault.line, fault.code))
}

#[test]
fn every_kind_of_record_is_counted_and_what_it_says_is_told() {
    let mut book = all_kinds();
    let (report, seen) = verified(&book.file(), &Settings::new(&trust()));
    assert_eq!((report.status, report.entries, report.lines), (Status::Valid, 13, 13));
    assert_eq!((report.own_records, report.recoveries, report.rotations), (9, 1, 2));
    assert_eq!(seen, [(1, 1), (2, 2), (5, 5), (7, 71), (12, 12)]);
    let life = &report.life;
    let counts = (life.corrections, life.restatements, life.heartbeats, life.gap_count);
    assert_eq!((counts, life.records()), ((2, 1, 1, 1), 5));
    assert_eq!((life.gaps[0].seq, life.gaps[0].bound_uj), (9, Some(7)));
    let [suspect] = &report.suspects[..] else { panic!("{:?}", report.suspects) };
    assert_eq!((suspect.compromised_since, suspect.retired_seq, suspect.entries), (5, 11, 1));
    assert_eq!((&suspect.seqs[..], suspect.complete), (&[(5, 5)][..], true));
    let keys: Vec<_> = report
        .keys
        .iter()
        .map(|key| {
            (
                key.entries,
                key.genesis,
                key.trusted,
                key.trusted_through,
                key.added_seq,
                key.retired_seq,
            )
        })
        .collect();
    assert_eq!(
        keys,
        [(12, true, true, None, None, None), (1, false, false, Some(4), Some(4), Some(11))]
    );
    // What is not changed is not written.
    let json = serde_json::to_value(self::report(&ledger_of(1, &key(), LEDGER_ID))).unwrap();
    assert!(json.get("rotations").is_none());
    assert_eq!(serde_json::to_value(&report).unwrap()["rotations"], 2);
    let mut own = Vec::new();
    own_records(&book.file()[..], 0, &mut |seq, _| own.push(seq)).unwrap();
    assert_eq!(own, [0, 3, 4, 6, 7, 8, 9, 10, 11]);
    // A torn end is no record of the ledger's own.
    let mut own = 0;
    let file = book.retires(None).file();
    own_records(&file[..file.len() - 1], 0, &mut |_, _| own += 1).unwrap();
    assert_eq!(own, 9);
}

#[test]
fn what_a_record_of_the_ledger_says_wrongly_is_a_fault_of_its_line() {
    let with = |change: &dyn Fn(&mut Book)| {
        let mut book = Book::new();
        book.add(&record(1), &key()).restates();
        change(&mut book);
        book.add(&record(4), &key());
        let report = report(&book.file());
        assert!(report.fault_count <= 1, "{:?}", report.faults);
        first(&report)
    };
    let replaced = |n| Outcome::Replaced(record(n));
    assert_eq!(
        with(&|book| {
            book.corrects(1, replaced(2), Some(2));
        }),
        (0, "")
    );
    // 1 is no restatement, the leaf of 1 is not that of 2, and the check refuses a replacement, at once or later.
    assert_eq!(
        with(&|book| {
            book.corrects(1, replaced(2), Some(1));
        }),
        (4, "not_a_restatement")
    );
    let other_leaf = |book: &mut Book| {
        book.lines.swap(1, 2);
        book.corrects(1, Outcome::Retracted, None);
        book.lines.swap(1, 2);
    };
    assert_eq!(with(&other_leaf), (4, "corrects_leaf"));
    assert_eq!(
        with(&|book| {
            book.corrects(1, replaced(99), None);
        }),
        (4, "record")
    );
    assert_eq!(
        with(&|book| {
            book.corrects(1, replaced(98), None);
        }),
        (4, "record")
    );
    // A key that signed something else does not join.
    assert_eq!(
        with(&|book| {
            book.joins(|text| format!("{text} "));
        }),
        (4, "rotation")
    );
    let before_it_joins = |book: &mut Book| {
        book.add(&record(3), &other_key());
    };
    // What comes next cannot be held against a line that is not to be relied on.
    let (line, code) = with(&before_it_joins);
    assert_eq!((line, code), (4, "key_not_in_roster"));
    let after_it_left = |book: &mut Book| {
        book.joins(str::to_owned).retires(None).add(&record(6), &other_key());
    };
    assert_eq!(with(&after_it_left), (6, "key_retired"));
}

/// A number below what unreadable lines allow is a fault, one beyond is not.
#[test]
fn numbers_go_on_after_a_line_that_cannot_be_read() {
    let lines = all_kinds().lines;
    let with = |at: usize, line: &[u8]| {
        let mut lines = lines.clone();
        lines[at] = line.to_vec();
        let report = report(&joined(&lines));
        report.faults.iter().map(|fault| (fault.line, fault.code)).collect::<Vec<_>>()
    };
    assert_eq!(with(5, b"x"), [(6, "not_canonical_json")]);
    let mut one_more = lines.clone();
    one_more.insert(5, b"x".to_vec());
    assert_eq!(report(&joined(&one_more)).fault_count, 1);
    let mut twice = lines.clone();
    twice[5] = lines[2].clone();
    assert_eq!(with(5, &lines[2])[0], (6, "seq"));
    twice.insert(6, b"x".to_vec());
    twice.insert(7, lines[1].clone());
    let faults: Vec<_> =
        report(&joined(&twice)).faults.iter().map(|of| (of.line, of.code)).take(3).collect();
    assert_eq!(faults, [(6, "seq"), (7, "not_canonical_json"), (8, "seq")]);
}

/// The end of the last line, and what an interrupted write of it leaves.
#[test]
fn a_torn_end_is_one_line_that_was_being_written() {
    let book = all_kinds();
    let (file, last) = (book.file(), book.lines.last().unwrap().len() as u64);
    let torn = |file: &[u8]| {
        let report = report(file);
        let torn = report.torn_tail.map(|torn| (torn.line, torn.bytes, torn.complete_entry));
        (report.status, torn, first(&report).1, report.entries)
    };
    let kept = &file[..file.len() - 1];
    assert_eq!(torn(kept), (Status::TornTail, Some((13, last, true)), "", 12));
    // Half a line; a whole one of another place; one by a key that may not sign; zeros.
    assert_eq!(
        torn(&kept[..kept.len() - 9]),
        (Status::TornTail, Some((13, last - 9, false)), "", 12)
    );
    let again = [&file[..], &book.lines[12]].concat();
    assert_eq!(torn(&again).1, Some((14, last, false)));
    let stranger = book.clone().add(&record(13), &other_key()).lines[13].clone();
    let by_another = [&file[..], &stranger].concat();
    assert_eq!(torn(&by_another).1, Some((14, stranger.len() as u64, false)));
    let zeros = [&file[..], &[0; 9], b"\n"].concat();
    assert_eq!(torn(&zeros), (Status::TornTail, Some((14, 10, false)), "", 13));
    // What is torn is no leaf of the tree.
    assert_eq!((report(&zeros).tree_size, report(kept).tree_size), (13, 12));
    // As long as a line may be with its newline, and longer; with a newline one byte less.
    let long = |extra: usize| [&file[..], &vec![b'x'; MAX_LINE_BYTES + extra]].concat();
    let most = MAX_LINE_BYTES as u64;
    assert_eq!(torn(&long(1)), (Status::TornTail, Some((14, most + 1, false)), "", 13));
    assert_eq!(torn(&long(2)), (Status::Tampered, None, "too_long", 13));
    let zeroed = |extra: usize| {
        let mut line = vec![b'x'; MAX_LINE_BYTES + extra];
        line[7] = 0;
        [&file[..], &line, b"\n"].concat()
    };
    assert_eq!(torn(&zeroed(0)), (Status::TornTail, Some((14, most + 1, false)), "", 13));
    assert_eq!(torn(&zeroed(1)).1, None);
    // The genesis appears complete or not at all.
    let genesis = book.lines[0].as_slice();
    assert_eq!(torn(genesis), (Status::Tampered, None, "unterminated", 0));
    // Several lines of one write: sectors that are missing from the beginning of a line on, and a line behind.
    let batch =
        [&file[..], &vec![0; 512 - file.len() % 512 + 512], &b"x\n"[..], b"more\n"].concat();
    let bytes = (batch.len() - file.len()) as u64;
    assert_eq!(torn(&batch), (Status::TornTail, Some((14, bytes, false)), "", 13));
    // What was signed for was durable.
    let mut more = book.clone();
    more.add(&record(13), &key()).add(&record(14), &key());
    let anchors = [more.anchor(15, Some(&key()))];
    let trust = trust();
    let settings = Settings { anchors: &anchors, ..Settings::new(&trust) };
    let (report, _) = verified(&batch, &settings);
    assert_eq!((report.status, first(&report).1), (Status::Tampered, "nul_byte"));
    // A cut alone is a cut.
    let (report, _) = verified(kept, &settings);
    assert_eq!((report.status, report.torn_tail.is_some()), (Status::Rewritten, true));
    let (report, _) = verified(&zeros, &settings);
    assert_eq!((report.status, report.fault_count), (Status::Rewritten, 0));
    let (report, _) = verified(genesis, &settings);
    assert_eq!(report.status, Status::Rewritten);
    let longest = vec![b'x'; MAX_LINE_BYTES + 1];
    let of_one = |line: &[u8]| first(&self::report(line));
    assert_eq!(of_one(&longest), (1, "too_long"));
    assert_eq!(of_one(&longest[1..]), (1, "unterminated"));
}

#[test]
fn anchors_say_what_the_ledger_was() {
    let (book, trust) = (all_kinds(), trust());
    let mut fork = Book::new();
    fork.add(&record(1), &key()).add(&record(3), &key());
    let mut other = book.anchor(3, Some(&key()));
    other.bytes = b"nothing".to_vec();
    let mut longer = book.clone();
    longer.add(&record(13), &key());
    for (anchor, verdict, status, covered) in [
        (book.anchor(0, Some(&key())), AnchorVerdict::Confirmed, Status::Valid, 0),
        (book.anchor(3, Some(&key())), AnchorVerdict::Confirmed, Status::Valid, 3),
        (book.anchor(13, Some(&key())), AnchorVerdict::Confirmed, Status::Valid, 13),
        (book.anchor(13, None), AnchorVerdict::Confirmed, Status::Valid, 0),
        (book.anchor(6, Some(&other_key())), AnchorVerdict::Confirmed, Status::Valid, 6),
        (book.anchor(3, Some(&other_key())), AnchorVerdict::Refused, Status::Tampered, 0),
        (fork.anchor(3, Some(&key())), AnchorVerdict::Forked, Status::Rewritten, 0),
        (longer.anchor(14, Some(&key())), AnchorVerdict::Truncated, Status::Rewritten, 0),
        (longer.anchor(14, None), AnchorVerdict::Truncated, Status::Rewritten, 0),
        (
            longer.anchor(14, Some(&SecretKey::from_seed(&[9; 32]))),
            AnchorVerdict::UnknownKey,
            Status::Untrusted,
            0,
        ),
        (other, AnchorVerdict::Refused, Status::Tampered, 0),
    ] {
        let anchors = [anchor];
        let settings = Settings { anchors: &anchors, ..Settings::new(&trust) };
        let (report, _) = verified(&book.file(), &settings);
        let [told] = &report.anchors[..] else { panic!("{:?}", report.anchors) };
        assert_eq!((told.verdict, report.status, report.covered), (verdict, status, covered));
        assert_eq!(told.signed, anchors[0].kind == AnchorKind::Checkpoint);
        assert_eq!(told.reason.is_none(), verdict == AnchorVerdict::Confirmed);
    }
    // Nobody vouches for it: who signed what is told all the same.
    let strangers = Trust::from_iter([other_key().public_key()]);
    let (report, _) = verified(&book.file(), &Settings::new(&strangers));
    assert_eq!(report.status, Status::Untrusted);
    assert!(report.keys.iter().all(|key| key.trusted_through.is_none()));
    // Without a genesis, only what is trusted directly tells an authentic line.
    let headless = joined(&book.lines[1..4]);
    let report = self::report(&headless);
    assert_eq!((report.keys.len(), report.faults[0].code), (1, "no_genesis"));
    let (report, _) = verified(&headless, &Settings::new(&strangers));
    assert_eq!((report.keys.len(), report.faults[0].code), (0, "key_not_in_roster"));
}

/// What nobody signed is not looked at, in a record or in a record of the ledger's own.
#[test]
fn the_check_is_for_what_is_signed() {
    let mut book = Book::new();
    book.add(&record(1), &key()).corrects(1, Outcome::Replaced(record(2)), None);
    for at in [1, 2] {
        let mut lines = book.lines.clone();
        let text = String::from_utf8(lines[at].clone()).unwrap();
        let (before, signature) = text.split_once("\"signature\":\"").unwrap();
        let other = if signature.starts_with('0') { "1" } else { "0" };
        lines[at] = format!("{before}\"signature\":\"{other}{}", &signature[1..]).into();
        let asked = std::sync::Mutex::new(0);
        let check = |_: &Payload<'_>| {
            *asked.lock().unwrap() += 1;
            Ok(())
        };
        let (file, trust) = (joined(&lines[..=at]), trust());
        let report = verify_records(&file[..], &Settings::new(&trust), &check, &mut |_, ()| Ok(()));
        assert_eq!(first(&report.unwrap()), (at as u64 + 1, "signature"));
        assert_eq!(*asked.lock().unwrap(), at - 1);
    }
}

/// Each checkpoint of a log is held against the ledger, and what was not compared is never valid.
#[test]
fn a_log_of_checkpoints_is_compared() {
    let (book, trust) = (all_kinds(), trust());
    let mut fork = Book::new();
    fork.add(&record(1), &key()).add(&record(3), &key());
    let note = |book: &Book, size| book.anchor(size, Some(&key())).bytes;
    let with = |notes: Vec<Vec<u8>>| {
        let behind = Notes::new(&notes.concat()[..]).behind().unwrap();
        let notes = RefCell::new(VecDeque::from(notes));
        let next = || Ok(notes.borrow_mut().pop_front());
        let history = Some(Log { next: &next, behind: &behind });
        let report = verified(&book.file(), &Settings { history, ..Settings::new(&trust) }).0;
        let history = report.history.as_ref().unwrap();
        (report.status, history.confirmed, history.not_compared, report.covered)
    };
    let all = vec![note(&book, 3), note(&book, 13), note(&book, 6)];
    assert_eq!(with(all), (Status::Valid, 3, 0, 13));
    assert_eq!(with(vec![note(&book, 3), note(&fork, 3)]).0, Status::Rewritten);
    let empty = BTreeSet::new();
    let notes = RefCell::new(VecDeque::from([note(&book, 6), note(&book, 3)]));
    let next = || Ok(notes.borrow_mut().pop_front());
    let history = Some(Log { next: &next, behind: &empty });
    let report = verified(&book.file(), &Settings { history, ..Settings::new(&trust) }).0;
    assert_eq!((report.status, report.history.unwrap().not_compared), (Status::Untrusted, 1));
    // A log, or a ledger, that cannot be read is no verdict.
    let gone = || Err(std::io::Error::other("gone"));
    let history = Some(Log { next: &gone, behind: &empty });
    let gone = |_: u64, _: usize| Err(std::io::Error::other("gone"));
    for settings in [
        Settings { history, ..Settings::new(&trust) },
        Settings { read_back: Some(&gone), ..Settings::new(&trust) },
    ] {
        let check = |_: &Payload<'_>| Ok(());
        let failed = verify_records(&book.file()[..], &settings, &check, &mut |_, ()| Ok(()));
        assert_eq!(failed.unwrap_err().to_string(), "gone");
    }
    assert!(format!("{:?}", Settings::new(&trust)).contains("since: 0"));
    // The simplest way to ask compares as well.
    let anchors = [fork.anchor(3, Some(&key()))];
    let mut asked = 0;
    let against = |anchors: &[Anchor], since, asked: &mut usize| {
        verify_against(&book.file()[..], &trust, anchors, since, &mut |_| {
            *asked += 1;
            Ok(())
        })
    };
    assert_eq!(against(&anchors, 0, &mut asked).unwrap().status, Status::Rewritten);
    assert_eq!(std::mem::take(&mut asked), 5);
    let anchors = [book.anchor(6, Some(&key()))];
    assert_eq!(against(&anchors, 6, &mut asked).unwrap().compared, 5);
    assert_eq!(asked, 2);
}

/// Lines up to a checkpoint are compared with it as wholes; of them the ledger's own records are known all the same.
#[test]
fn what_a_checkpoint_covers_is_compared_only() {
    let (book, trust) = (all_kinds(), trust());
    let whole = report(&book.file());
    for since in 0..=13_usize {
        let anchors = [book.anchor(since, Some(&key()))];
        let at = |since: usize| Settings {
            anchors: &anchors,
            since: since as u64,
            ..Settings::new(&trust)
        };
        let (report, seen) = verified(&book.file(), &at(since));
        let compared = since.saturating_sub(1) as u64;
        assert_eq!(
            (report.status, report.compared, report.entries),
            (Status::Valid, compared, 13 - compared),
            "{since}"
        );
        assert_eq!(
            (&report.root, &report.head_hash, report.last_seq),
            (&whole.root, &whole.head_hash, Some(12))
        );
        assert_eq!((report.own_records, report.rotations), (whole.own_records, whole.rotations));
        let records = [(1, 1), (2, 2), (5, 5), (7, 71), (12, 12)];
        let left: Vec<_> = records.into_iter().filter(|(seq, _)| *seq > compared).collect();
        assert_eq!(seen, left);
        // An anchor of other lines covers none of these.
        let (report, seen) = verified(&book.file(), &at(since + 1));
        assert_eq!((report.compared, seen.len()), (0, 5), "{since}");
    }
    // A record that was changed among what is compared is found by the tree alone.
    let mut changed = book.clone();
    changed.lines[5] = b"x".to_vec();
    let anchors = [book.anchor(8, Some(&key()))];
    let settings = Settings { anchors: &anchors, since: 8, ..Settings::new(&trust) };
    let (report, _) = verified(&changed.file(), &settings);
    assert_eq!((report.status, report.fault_count), (Status::Rewritten, 0));
    // The last of them is what the next line follows.
    changed.lines[7] = b"x".to_vec();
    let (report, _) = verified(&changed.file(), &settings);
    assert_eq!((report.status, first(&report)), (Status::Tampered, (8, "not_canonical_json")));
    // A key that joins there without a proof is a fault there too.
    let mut forced = Book::new();
    forced.joins(|text| format!("{text} ")).add(&record(2), &key());
    let anchors = [forced.anchor(3, Some(&key()))];
    let settings = Settings { anchors: &anchors, since: 3, ..Settings::new(&trust) };
    let (report, _) = verified(&forced.file(), &settings);
    assert_eq!(first(&report), (2, "rotation"));
}

/// More lines than one piece has: every number of threads gives the same report, in the same order.
#[test]
fn the_number_of_threads_changes_nothing() {
    let mut file = extended(ledger_of(1, &key(), LEDGER_ID), 1..1200, &key());
    let at = file.len() / 2;
    file[at] ^= 1;
    let trust = trust();
    let run = |threads: usize| {
        let told = RefCell::new(Vec::new());
        let progress = |progress: carbon_ops_proof::verify::Progress| {
            told.borrow_mut().push((progress.lines, progress.bytes));
        };
        let threads = threads.try_into().unwrap();
        let settings = Settings { threads, progress: Some(&progress), ..Settings::new(&trust) };
        let (report, seen) = verified(&file, &settings);
        (report, seen, told.into_inner())
    };
    let one = run(1);
    // The changed line, the record that the check refuses, and the one that is not accepted.
    assert_eq!((one.0.status, one.0.fault_count, one.0.lines), (Status::Tampered, 3, 1201));
    assert_eq!((one.1.len(), one.2.last()), (1198, Some(&(1201, file.len() as u64))));
    assert!(one.2.len() > 2 && one.1.is_sorted());
    assert_eq!(run(2), one);
    assert_eq!(run(4), one);
}

/// Other threads are there for what one piece does not hold, and only where they are wanted: a program that cannot
/// start any asks for one.
#[test]
fn nobody_else_examines_what_is_one_piece_or_wanted_on_one_thread() {
    let short = all_kinds().file();
    let long = extended(ledger_of(1, &key(), LEDGER_ID), 1..1200, &key());
    let (trust, here) = (trust(), std::thread::current().id());
    for (file, threads, elsewhere) in
        [(&short, 1, false), (&short, 3, false), (&long, 1, false), (&long, 3, true)]
    {
        let check = |_: &Payload<'_>| Ok(std::thread::current().id());
        let mut met = Vec::new();
        let mut accept = |_, thread| {
            met.push(thread != here);
            Ok(())
        };
        let settings = Settings { threads: threads.try_into().unwrap(), ..Settings::new(&trust) };
        verify_records(&file[..], &settings, &check, &mut accept).unwrap();
        assert!(!met.is_empty() && met.iter().all(|other| *other == elsewhere), "{threads}");
    }
}

/// What is wrong with files around a ledger is added to what is wrong in it, and makes it no better.
#[test]
fn faults_from_outside_are_counted_with_the_others() {
    let mut report = report(&all_kinds().file());
    let fault = FaultReport::outside(3, "segment", "it is gone".into());
    report.add_faults(vec![]);
    assert_eq!((report.status, report.fault_count), (Status::Valid, 0));
    report.add_faults(vec![fault.clone()]);
    assert_eq!((report.status, report.fault_count), (Status::Tampered, 1));
    let earlier = FaultReport::outside(1, "segment", "it is renamed".into());
    report.add_faults(vec![earlier.clone()]);
    assert_eq!(report.fault_count, 2);
    assert_eq!((report.first_fault, report.faults), (Some(earlier.clone()), vec![earlier, fault]));
}
