//! The verdict on a ledger: frozen ones, and such that are made here line by line, each held against what
//! stands beside it, what the user kept, and what was asked.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use carbon_ops::ledger::storage::LEDGER_FILE;
use carbon_ops::proof::canonical::{Number, Object, Value, parse_canonical};
use carbon_ops::proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint};
use carbon_ops::proof::cosignature::cosign;
use carbon_ops::proof::entry::{
    Change, Control, Correction, CorrectionReason, Durability, Entry, LedgerId, Outcome,
    RESERVED_MEMBERS, Restatement, RestatementReason, Scope, genesis_payload, sign,
};
use carbon_ops::proof::keys::SecretKey;
use carbon_ops::proof::merkle::{Frontier, leaf_hash};
use carbon_ops::proof::note::{KeyKind, Note, VerifierKey};
use carbon_ops::proof::verify::Status;
use carbon_ops::verify::{file, read_limited, trust, unsigned, verify};
use carbon_ops::{Answer, Env, Fault, Question, Record, Settings, Trust, Verdict};
use jiff::Timestamp;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);
const LEDGER_ID: [u8; 16] = [7; 16];
const WITNESS: &str = "w.example";

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers").join(name)
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn witness() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

/// Whoever signed the first line is believed.
fn believing(ledger: &Path) -> Question<'static> {
    let bytes = fs::read(ledger).unwrap();
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap();
    let key = Entry::parse(first).unwrap().signing_key();
    Question { trust: Trust::from_iter([key]), ..Question::default() }
}

fn verdict(ledger: &Path) -> Verdict {
    verify(ledger, &believing(ledger)).unwrap()
}

/// A ledger of lines, in a folder of its own.
struct Book {
    home: TempDir,
    lines: Vec<Vec<u8>>,
    last: Entry,
}

impl Book {
    fn new() -> Self {
        let genesis = genesis_payload(NOW, "test", key().public_key(), Durability::Sync, None);
        let (last, line) = sign(&genesis.unwrap(), LedgerId(LEDGER_ID), None, &key()).unwrap();
        Self { home: tempfile::tempdir().unwrap(), lines: vec![line], last }
    }

    fn with(mut self, payload: &Object) -> Self {
        let head = self.last.head();
        let (last, line) = sign(payload, LedgerId(LEDGER_ID), Some(&head), &key()).unwrap();
        self.last = last;
        self.lines.push(line);
        self
    }

    /// With so many records of somebody else.
    fn with_others(self, count: u32) -> Self {
        (0..count)
            .fold(self, |book, n| book.with(&object(&[("kind", "other".into()), ("n", n.into())])))
    }

    fn own(self, control: &Control) -> Self {
        self.with(&control.to_payload(NOW, "test").unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The file of these lines.
    fn file_of(&self, lines: &[Vec<u8>], name: &str) -> PathBuf {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        self.write(name, bytes)
    }

    fn file(&self) -> PathBuf {
        self.file_of(&self.lines, LEDGER_FILE)
    }

    /// Of the first lines.
    fn checkpoint(&self, size: usize) -> Note {
        let mut tree = Frontier::new();
        self.lines[..size].iter().for_each(|line| tree.push(leaf_hash(line)));
        let ledger_id = LedgerId(LEDGER_ID);
        Checkpoint { ledger_id, size: tree.size(), root: tree.root() }.sign(&key()).unwrap()
    }
}

fn object(members: &[(&str, Value)]) -> Object {
    Object::from_members(members.iter().cloned()).unwrap()
}

/// A line without what a ledger adds to it.
fn payload(line: &[u8]) -> Object {
    let mut payload = parse_canonical(line).unwrap().as_object().unwrap().clone();
    for member in RESERVED_MEMBERS {
        payload.remove(member);
    }
    payload
}

/// What each frozen ledger is: its answer, records of others and of newer versions.
#[test]
fn frozen_ledgers_have_the_answers_of_their_formats() {
    for (name, answer, others) in [
        ("v1/basic.ndjson", Answer::Valid, [0, 6]),
        ("v1/corrected.ndjson", Answer::Valid, [0, 4]),
        ("v1/heartbeats.ndjson", Answer::Valid, [0, 0]),
        ("v1/measured.ndjson", Answer::Valid, [0, 0]),
        // Of format 1, which was never released.
        ("v1/records.ndjson", Answer::Valid, [0, 9]),
        ("v1/recovered.ndjson", Answer::Valid, [0, 6]),
        ("v1/rotated.ndjson", Answer::Valid, [0, 6]),
        ("v1/spans.ndjson", Answer::Valid, [0, 0]),
        ("v1/torn.ndjson", Answer::TornTail, [0, 6]),
        ("v1/segmented/ledger.ndjson", Answer::Valid, [0, 6]),
    ] {
        let path = frozen(name);
        let told = RefCell::new((0, 0));
        let tell = |so_far: carbon_ops::proof::verify::Progress, size: u64| {
            *told.borrow_mut() = (so_far.bytes, size);
        };
        for recompute in [false, true] {
            let question = Question { recompute, progress: Some(&tell), ..believing(&path) };
            let found = verify(&path, &question).unwrap();
            assert_eq!(found.answer(), answer, "{name}");
            assert_eq!([found.others.newer, found.others.foreign], others, "{name}");
            let (bytes, size) = *told.borrow();
            let size = if answer == Answer::TornTail { bytes } else { size };
            assert!(bytes > 0 && bytes == size, "{name}: {bytes} of {size}");
        }
        assert_eq!(verify(&path, &Question::default()).unwrap().answer(), Answer::Untrusted);
        // No totals of a governor tell whether energy is missing.
        let question = Question { complete: true, ..believing(&path) };
        let found = verify(&path, &question).unwrap().answer();
        let expected = if answer == Answer::Valid { Answer::CompletenessUnknown } else { found };
        assert_eq!(found, expected, "{name}");
    }
}

/// What is no ledger is none, and not one that somebody changed; unless something tells that there was one.
#[test]
fn what_is_no_ledger_is_accused_only_where_something_tells_of_one() {
    let book = Book::new().with_others(3);
    let garbage = book.write(LEDGER_FILE, "shopping list\n");
    let refused = |path: &Path| {
        let error = verify(path, &Question::default()).unwrap_err();
        matches!(error.downcast_ref(), Some(Fault::NotALedger { .. }))
    };
    assert!(refused(&garbage));
    book.write(CHECKPOINT_FILE, book.checkpoint(4).to_string());
    let question =
        Question { trust: Trust::from_iter([key().public_key()]), ..Question::default() };
    let answer = verify(&garbage, &question).unwrap().answer();
    assert!(matches!(answer, Answer::Tampered | Answer::Rewritten), "{answer:?}");
    // Under another name nothing stands beside it that is its own.
    assert!(refused(&book.write("list.txt", "shopping list\n")));
    // A ledger of the Python package is another thing, and said to be.
    let error = verify(&frozen("0.1/audit.ndjson"), &question).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Fault::Legacy { .. })), "{error:?}");
    // Also where a checkpoint tells of a ledger: it may be one of that file's successors.
    fs::copy(frozen("0.1/audit.ndjson"), &garbage).unwrap();
    let error = verify(&garbage, &question).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Fault::Legacy { .. })), "{error:?}");
    assert!(verify(&book.path("absent"), &question).is_err());
}

/// Cut off since it was signed for, by whatever tells of it: the checkpoint beside it, the history of checkpoints,
/// or one that was kept; and no copy under another name answers for what stands beside the original.
#[test]
fn what_was_signed_for_has_to_be_there() {
    for beside in [CHECKPOINT_FILE, CHECKPOINT_LOG] {
        let book = Book::new().with_others(5);
        book.write(beside, book.checkpoint(5).to_string());
        assert_eq!(verdict(&book.file()).answer(), Answer::Valid, "{beside}");
        let cut = book.file_of(&book.lines[..4], LEDGER_FILE);
        assert_eq!(verdict(&cut).answer(), Answer::Rewritten, "{beside}");
        let copy = book.file_of(&book.lines[..4], "copy.ndjson");
        assert_eq!(verdict(&copy).answer(), Answer::Valid, "{beside}");
        let kept = book.write("kept", book.checkpoint(5).to_string());
        let question = Question { since: Some(&kept), ..believing(&copy) };
        assert_eq!(verify(&copy, &question).unwrap().answer(), Answer::Rewritten);
    }
}

/// Lines that a kept checkpoint covers are compared as a whole, and looked into only where they differ from it.
#[test]
fn lines_of_a_kept_checkpoint_are_judged_one_by_one_only_where_they_are_not_those_of_then() {
    let mut book = Book::new().with_others(6);
    let kept = book.write("kept", book.checkpoint(4).to_string());
    let asked = |path: &Path| verify(path, &Question { since: Some(&kept), ..believing(path) });
    let found = asked(&book.file()).unwrap();
    assert_eq!(
        (found.answer(), found.report.compared, found.report.fault_count),
        (Answer::Valid, 3, 0)
    );
    // A line that was not signed anew is a fault by itself, and one that was is none.
    let text = String::from_utf8(book.lines[2].clone()).unwrap().replace("\"n\":1", "\"n\":9");
    let good = std::mem::replace(&mut book.lines[2], text.into());
    let found = asked(&book.file()).unwrap();
    assert_eq!(found.answer(), Answer::Rewritten);
    assert_eq!((found.report.fault_count, found.report.faults.len()), (1, 1), "{found:?}");
    assert_eq!(found.report.first_fault.unwrap().line, 3);
    book.lines[2] = good;
    let other =
        Book::new().with_others(2).with(&object(&[("kind", "swapped".into())])).with_others(3);
    let found = asked(&other.file()).unwrap();
    assert_eq!((found.answer(), found.report.fault_count), (Answer::Rewritten, 0));
    // Where lines behind the checkpoint are at fault, those are told.
    book.lines[5][10] ^= 1;
    let found = asked(&book.file()).unwrap();
    assert_eq!((found.answer(), found.report.first_fault.unwrap().line), (Answer::Tampered, 6));
    // Of another ledger, or no checkpoint at all.
    for text in [fs::read(frozen("v1/basic.checkpoint")).unwrap(), b"a note\n".to_vec()] {
        let kept = book.write("kept-too", text);
        assert!(
            verify(&book.file(), &Question { since: Some(&kept), ..believing(&book.file()) })
                .is_err()
        );
    }
}

/// Records of ours have to be in order, those of a newer version and of others are counted, and where every number
/// is asked for again, one that does not come out is a fault.
#[test]
fn records_are_judged_by_the_version_that_they_name() {
    let bytes = fs::read(frozen("v1/run.ndjson")).unwrap();
    let good = payload(bytes.split(|byte| *byte == b'\n').nth(1).unwrap());
    let entry = parse_canonical(bytes.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
    let left = unsigned(entry.as_object().unwrap().clone());
    assert_eq!(left, serde_json::Value::from(good.clone()));
    assert!(Record::from_json(left).is_ok());
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed.insert(name, value);
        changed
    };
    let mut meta = good.get("meta").and_then(Value::as_object).unwrap().clone();
    let upper = meta.get("ci_upper_g").and_then(Value::as_f64).unwrap();
    meta.insert("ci_upper_g", Number::new(upper * 1.01).unwrap());
    let widened = with("meta", meta.into());
    let of = |object: &Object, recompute| {
        let book = Book::new().with(object);
        let path = book.file();
        let found = verify(&path, &Question { recompute, ..believing(&path) }).unwrap();
        (found.answer(), found.others.newer, found.others.foreign)
    };
    for recompute in [false, true] {
        assert_eq!(of(&good, recompute), (Answer::Valid, 0, 0));
        assert_eq!(of(&with("schema_version", 3_u32.into()), recompute), (Answer::Newer, 1, 0));
        assert_eq!(of(&with("schema_version", 1_u32.into()), recompute), (Answer::Valid, 0, 1));
        assert_eq!(of(&with("kind", "other".into()), recompute), (Answer::Valid, 0, 1));
        assert_eq!(of(&with("unheard_of", 1_u32.into()), recompute), (Answer::Tampered, 0, 0));
        assert_eq!(of(&with("schema_version", "2".into()), recompute), (Answer::Tampered, 0, 0));
    }
    assert_eq!(of(&widened, false).0, Answer::Valid, "it may be so");
    assert_eq!(of(&widened, true).0, Answer::Tampered, "but does not come out");
    // What a correction puts in the place of a record is no further one, but has to be in order as well, and
    // counts where it could not be checked.
    let corrected = |by: Object| {
        let book = Book::new().with(&good).own(&Control::Restatement(Restatement {
            scope: Scope::Range { first: 1, last: 1 },
            reason: RestatementReason::DataImprovement,
            note: None,
            changes: vec![Change { subject: "PUE".into(), before: "1".into(), after: "2".into() }],
            totals: BTreeMap::new(),
            period: None,
        }));
        let corrects_leaf = leaf_hash(&book.lines[1]).0;
        let book = book.own(&Control::Correction(Correction {
            corrects: 1,
            corrects_leaf,
            reason: CorrectionReason::Restatement,
            note: None,
            outcome: Outcome::Replaced(by),
            restatement: Some(2),
        }));
        let found = verdict(&book.file());
        (found.answer(), found.others.newer, found.others.foreign)
    };
    assert_eq!(corrected(good.clone()), (Answer::Valid, 0, 0));
    assert_eq!(corrected(with("kind", "other".into())), (Answer::Valid, 0, 0));
    assert_eq!(corrected(with("schema_version", 3_u32.into())), (Answer::Newer, 1, 0));
    assert_eq!(corrected(with("unheard_of", 1_u32.into())), (Answer::Tampered, 0, 0));
}

/// The file that a ledger continues is the one of its first line, or not; that the ledger itself was rewritten is
/// worse.
#[test]
fn a_file_that_is_continued_is_compared_with_what_the_first_line_says() {
    let ledger = frozen("v1/imported.ndjson");
    let of = |ledger: &Path, file: &str| {
        let file = frozen(file);
        let told = RefCell::new((0, 0));
        let tell = |bytes: u64, total: u64| *told.borrow_mut() = (bytes, total);
        let question =
            Question { imported: Some(&file), imported_progress: Some(&tell), ..believing(ledger) };
        let found = verify(ledger, &question)?;
        let size = fs::metadata(&file)?.len();
        assert_eq!(*told.borrow(), (size, size));
        anyhow::Ok(found)
    };
    let same = of(&ledger, "0.1/audit.ndjson").unwrap();
    assert_eq!(
        (same.answer(), same.imported_differences.as_deref()),
        (Answer::Valid, Some(&[][..]))
    );
    let mut other = of(&ledger, "0.1/numbers.ndjson").unwrap();
    assert_eq!(other.answer(), Answer::OtherImport);
    assert!(other.imported_differences.as_ref().unwrap().contains(&"records"), "{other:?}");
    for (status, answer) in [
        (Status::Untrusted, Answer::OtherImport),
        (Status::Tampered, Answer::OtherImport),
        (Status::Rewritten, Answer::Rewritten),
    ] {
        other.report.status = status;
        assert_eq!(other.answer(), answer);
    }
    let error = of(&frozen("v1/basic.ndjson"), "0.1/audit.ndjson").unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Fault::NothingImported)), "{error:?}");
}

/// Enough witnesses have to have cosigned, of what the ledger is now or was once, and a signature under a witness's
/// name that is not its own is worse than none.
#[test]
fn a_policy_asks_for_cosignatures_of_this_ledger() {
    let book = Book::new().with_others(5);
    let path = book.file();
    let vkey = VerifierKey::new(WITNESS, KeyKind::Cosignature, witness().public_key()).unwrap();
    let policy = book.write("policy", format!("witness W {vkey}\nquorum W\n"));
    let asked = |path: &Path| verify(path, &Question { policy: Some(&policy), ..believing(path) });
    assert_eq!(verdict(&path).answer(), Answer::Valid);
    assert_eq!(asked(&path).unwrap().answer(), Answer::NotWitnessed);
    let cosigned = |size: usize, by: &SecretKey| {
        let mut note = book.checkpoint(size);
        let signature = cosign(&note, WITNESS, by, 1_795_424_400).unwrap();
        note.add(signature).unwrap();
        note.to_string()
    };
    book.write(CHECKPOINT_FILE, cosigned(6, &witness()));
    assert_eq!(asked(&path).unwrap().answer(), Answer::Valid);
    // The last one is not cosigned yet, but an earlier one is, of what the ledger still is, and then of what it is
    // no longer.
    book.write(CHECKPOINT_FILE, book.checkpoint(6).to_string());
    book.write(CHECKPOINT_LOG, cosigned(3, &witness()) + &book.checkpoint(6).to_string());
    assert_eq!(asked(&path).unwrap().answer(), Answer::Valid);
    for bad in ["", "quorum A\n", "witness W nothing\nquorum W\n"] {
        let policy = book.write("bad", bad);
        let question = Question { policy: Some(&policy), ..believing(&path) };
        assert!(verify(&path, &question).is_err(), "{bad}");
    }
}

/// What a crash leaves begins and ends with sectors of the active file, wherever that begins in the ledger.
#[test]
fn a_torn_end_is_told_by_the_sectors_of_the_active_file() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("seg")).unwrap();
    let mut sealed = 0;
    for segment in fs::read_dir(frozen("v1/segmented/seg")).unwrap().map(Result::unwrap) {
        let to = home.path().join("seg").join(segment.file_name());
        sealed += fs::copy(segment.path(), to).unwrap();
    }
    assert_ne!(sealed % 512, 0);
    let mut active = fs::read(frozen("v1/segmented/ledger.ndjson")).unwrap();
    active.resize(active.len().next_multiple_of(512), 0);
    active.extend(b"of a line\nand another one\n");
    let ledger = home.path().join(LEDGER_FILE);
    fs::write(&ledger, active).unwrap();
    let question = believing(&frozen("v1/basic.ndjson"));
    assert_eq!(verify(&ledger, &question).unwrap().answer(), Answer::TornTail);
}

/// One byte more than is allowed tells that there is too much.
#[test]
fn no_more_is_read_of_a_file_than_tells_that_it_is_too_long() {
    let book = Book::new();
    let path = book.write("ten", "0123456789");
    for (limit, read) in [(4, 5), (9, 10), (10, 10), (99, 10)] {
        assert_eq!(read_limited(&path, limit).unwrap().len(), read, "{limit}");
    }
}

/// Keys may be given as digits, and a ledger as its folder.
#[test]
fn who_is_trusted_and_what_is_read_may_be_named() {
    let env = Env::without_variables();
    let settings = Settings::plain(&carbon_ops::settings::Overrides::default()).unwrap();
    let public = key().public_key();
    let given = trust(Some(&public.to_hex()), &settings, &env).unwrap();
    assert!(given.contains(public), "{given:?}");
    assert!(trust(Some("no key"), &settings, &env).is_err());
    let book = Book::new();
    let path = book.file();
    assert_eq!(file(Some(book.home.path()), &settings).unwrap(), path);
    assert_eq!(file(Some(&path), &settings).unwrap(), path);
    let error = file(None, &settings).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Fault::NoDefaultLedger)), "{error:?}");
}
