//! A log of checkpoints against a tree: by hand, note by note, on trees whose roots the Merkle code makes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::*;
use crate::keys::{PublicKey, SecretKey};
use crate::merkle::{Frontier, leaf_hash};

const ID: LedgerId = LedgerId([3; 16]);

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// The roots of 0, 1, … lines.
fn roots(lines: u64) -> Vec<TreeHash> {
    let mut tree = Frontier::new();
    let grown = (0..lines).map(|n| {
        tree.push(leaf_hash(&n.to_be_bytes()));
        tree.root()
    });
    let grown: Vec<_> = grown.collect();
    [vec![empty_root()], grown].concat()
}

fn note_by(key: &SecretKey, ledger_id: LedgerId, size: u64, root: TreeHash) -> Vec<u8> {
    Checkpoint { ledger_id, size, root }.sign(key).unwrap().to_string().into_bytes()
}

/// What becomes of a log beside a ledger of so many lines, by the one key.
fn judged(log: Vec<Vec<u8>>, lines: u64) -> (HistoryReport, Vec<(u64, AnchorVerdict)>) {
    let behind = Notes::new(&log.concat()[..]).behind().unwrap();
    let log = RefCell::new(VecDeque::from(log));
    let next = || Ok(log.borrow_mut().pop_front());
    let (mut history, roots) = (History::new(Log { next: &next, behind: &behind }), roots(lines));
    let keys_at = |_: u64| -> Vec<PublicKey> { vec![key().public_key()] };
    for (size, root) in (0..).zip(&roots) {
        if history.wants(size) {
            history.judge((size, *root), Some(ID), &keys_at);
        }
    }
    assert!(history.failure().is_none());
    let (report, refuted) = history.finish(lines, Some(ID), &keys_at);
    assert!(refuted.iter().all(|anchor| anchor.signed && anchor.source == CHECKPOINT_LOG));
    let told =
        refuted.iter().map(|anchor| (anchor.size.unwrap_or_default(), anchor.verdict)).collect();
    (report, told)
}

fn logged(sizes: &[u64], lines: u64) -> Vec<Vec<u8>> {
    let roots = roots(lines);
    let root = |size: &u64| roots[usize::try_from(*size).unwrap()];
    sizes.iter().map(|size| note_by(&key(), ID, *size, root(size))).collect()
}

#[test]
fn each_checkpoint_is_compared_with_the_tree_of_its_size() {
    let (report, refuted) = judged(logged(&[0, 1, 3, 3, 5], 7), 7);
    let expected = HistoryReport { confirmed: 5, covered: 5, ..HistoryReport::default() };
    assert_eq!((report, refuted), (expected, vec![]));
    assert_eq!(judged(vec![], 7).0, HistoryReport::default());
}

#[test]
fn another_root_is_another_history_and_the_ones_after_it_are_compared_all_the_same() {
    let mut log = logged(&[2, 4], 5);
    log.insert(1, note_by(&key(), ID, 3, TreeHash([9; 32])));
    let (report, refuted) = judged(log, 5);
    assert_eq!((report.confirmed, report.refuted, report.covered), (2, 1, 4));
    assert_eq!(refuted, [(3, AnchorVerdict::Forked)]);
}

/// Whatever the order of a log, each of its notes is compared: those of this history are confirmed, and one
/// of another is refuted wherever it stands, whether its size was named before or not.
#[test]
fn every_checkpoint_is_compared_wherever_in_the_log_it_stands() {
    let sizes = [2, 5, 3, 6, 3, 1, 7, 0];
    for fork in 1..=7_u64 {
        for place in 0..=sizes.len() {
            let mut log = logged(&sizes, 7);
            assert_eq!(judged(log.clone(), 7).0.confirmed, sizes.len() as u64);
            log.insert(place, note_by(&key(), ID, fork, TreeHash([9; 32])));
            let (report, refuted) = judged(log.clone(), 7);
            assert_eq!((report.confirmed, report.not_compared), (sizes.len() as u64, 0));
            assert_eq!(refuted, [(fork, AnchorVerdict::Forked)], "{place}");
            let stranger = SecretKey::from_seed(&[8; 32]);
            log[place] = note_by(&stranger, ID, fork, roots(7)[usize::try_from(fork).unwrap()]);
            assert_eq!(judged(log, 7).1, [(fork, AnchorVerdict::Refused)], "{place}");
        }
    }
}

#[test]
fn what_was_not_in_the_log_at_its_first_reading_is_counted_as_not_compared() {
    let log = RefCell::new(VecDeque::from(logged(&[5, 3], 7)));
    let (next, behind) = (|| Ok(log.borrow_mut().pop_front()), BTreeSet::new());
    let keys_at = |_: u64| -> Vec<PublicKey> { vec![key().public_key()] };
    let mut history = History::new(Log { next: &next, behind: &behind });
    for (size, root) in (0..).zip(&roots(7)) {
        if history.wants(size) {
            history.judge((size, *root), Some(ID), &keys_at);
        }
    }
    let (report, _) = history.finish(7, Some(ID), &keys_at);
    assert_eq!((report.confirmed, report.not_compared), (1, 1));
}

/// A note that was written whole and reads as none was changed afterwards; one that was cut off was not.
#[test]
fn a_piece_is_torn_only_as_an_interrupted_write_leaves_it() {
    let mut note = Checkpoint { ledger_id: ID, size: 3, root: roots(5)[3] }.sign(&key()).unwrap();
    note.add(crate::cosignature::cosign(&note, "w.example/1", &key(), 1).unwrap()).unwrap();
    let note = note.to_string().into_bytes();
    // Where the first signature ends, without its newline: from there on it says what was signed.
    let signed = note_by(&key(), ID, 3, roots(5)[3]).len() - 1;
    for kept in 1..note.len() {
        for end in [&b""[..], b"\n", b"\0\0\0\n"] {
            let torn = [&note[..kept], end].concat();
            let (report, refuted) = judged(vec![torn], 5);
            assert!(refuted.is_empty(), "{kept} {end:?}: {refuted:?}");
            assert_eq!(report.unreadable + report.confirmed, 1);
            assert!(end != b"\n" || (report.confirmed == 1) == (kept >= signed), "{kept}");
        }
    }
    for at in 0..note.len() {
        let mut changed = note.clone();
        changed[at] ^= 1;
        let (report, refuted) = judged(vec![changed.clone()], 5);
        // Line ends apart, no bit can change unnoticed; and of a signature nobody knows nothing is believed.
        let noticed = report.confirmed == 0 || at > signed || refuted.len() == 1;
        assert!(noticed, "{at}: {}", String::from_utf8_lossy(&changed));
    }
}

#[test]
fn what_is_beyond_the_end_was_cut_off_if_a_known_key_says_so() {
    let stranger = SecretKey::from_seed(&[8; 32]);
    let root = TreeHash([1; 32]);
    let log = vec![
        note_by(&key(), ID, 9, root),
        note_by(&stranger, ID, 10, root),
        note_by(&key(), LedgerId([4; 16]), 11, root),
    ];
    let (report, refuted) = judged(log, 5);
    let expected = [
        (9, AnchorVerdict::Truncated),
        (10, AnchorVerdict::UnknownKey),
        (11, AnchorVerdict::Refused),
    ];
    assert_eq!((report.refuted, &refuted[..]), (3, &expected[..]));
    // Of lines that are there it is known who may sign.
    let within = vec![note_by(&stranger, ID, 3, roots(5)[3])];
    assert_eq!(judged(within, 5).1, [(3, AnchorVerdict::Refused)]);
}

#[test]
fn pieces_are_counted_and_only_the_first_of_many_that_do_not_fit_are_named() {
    let torn = b"carbon-ops/ledger/0303".to_vec();
    let mut log = vec![torn.clone()];
    log.extend((0..25).map(|_| note_by(&key(), ID, 3, TreeHash([9; 32]))));
    log.extend([torn, note_by(&key(), ID, 4, roots(5)[4])]);
    let (report, refuted) = judged(log, 5);
    assert_eq!((report.unreadable, report.refuted, report.confirmed), (2, 25, 1));
    assert_eq!(refuted.len(), NAMED);
}

#[test]
fn the_log_is_read_one_note_ahead_and_a_failure_to_read_it_is_kept() {
    let reads = Cell::new(0);
    let first = logged(&[3], 5).remove(0);
    let next = || {
        reads.set(reads.get() + 1);
        if reads.get() == 1 { Ok(Some(first.clone())) } else { Err(io::Error::other("gone")) }
    };
    let behind = BTreeSet::new();
    let log = Log { next: &next, behind: &behind };
    let (mut history, keys_at) = (History::new(log), |_: u64| vec![key().public_key()]);
    for size in 0..3 {
        if history.wants(size) {
            history.judge((size, roots(5)[usize::try_from(size).unwrap()]), Some(ID), &keys_at);
        }
    }
    assert_eq!((reads.get(), history.wants(2), history.wants(3)), (1, false, true));
    history.judge((3, roots(5)[3]), Some(ID), &keys_at);
    assert_eq!(history.failure().unwrap().to_string(), "gone");
    assert!(!history.wants(4));
    assert_eq!(history.finish(5, Some(ID), &keys_at).0.confirmed, 1);
}

/// 4 and 2 stand behind a larger one, the second 5 does not.
#[test]
fn sizes_behind_larger_ones_are_found_in_advance() {
    let log = logged(&[3, 5, 4, 5, 2, 6], 7).concat();
    let behind = Notes::new(&log[..]).behind().unwrap();
    assert_eq!(behind, BTreeSet::from([2, 4]));
    let next = || Ok(None);
    let log = Log { next: &next, behind: &behind };
    assert!(format!("{log:?} {:?}", History::new(log)).contains("behind: {2, 4}"));
}

fn pieces(log: &[u8]) -> Vec<Vec<u8>> {
    let mut notes = Notes::new(log);
    std::iter::from_fn(|| notes.next().unwrap()).collect()
}

#[test]
fn a_torn_note_is_a_piece_and_the_notes_around_it_are_whole() {
    let notes = logged(&[1, 2, 3], 5);
    assert_eq!(pieces(&notes.concat()), notes);
    assert!(pieces(b"").is_empty());
    // However much of the second one reached the disk; the third then begins on a new line.
    for kept in 1..notes[1].len() {
        let torn = &notes[1][..kept];
        let newline: &[u8] = if torn.ends_with(b"\n") { b"" } else { b"\n" };
        let found = pieces(&[&notes[0], torn, newline, &notes[2]].concat());
        assert_eq!((&found[0], found.last()), (&notes[0], Some(&notes[2])), "{kept}");
        assert_eq!(found.len(), 3, "{kept}");
    }
}

#[test]
fn no_piece_is_longer_than_any_note() {
    let long = [vec![b'x'; 3 * MAX_NOTE_BYTES / 2], b"\n".to_vec()].concat();
    let notes = logged(&[1, 2], 5);
    let found = pieces(&[&notes[0][..], &long, &notes[1]].concat());
    assert_eq!((&found[0], found.last()), (&notes[0], Some(&notes[1])));
    assert!(found.iter().all(|piece| piece.len() <= MAX_NOTE_BYTES));
    assert_eq!(found.concat(), [&notes[0][..], &long, &notes[1]].concat());
}
