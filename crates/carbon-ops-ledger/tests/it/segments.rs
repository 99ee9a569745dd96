//! A ledger in sealed segments: one stream for every reader, whatever is missing is named, and what a
//! writer that died had begun is finished by the next.

use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::keys::SecretKey;
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_proof::merkle::{inclusion_proof, leaf_hash, root_at, verify_inclusion};
use carbon_ops_proof::pack::LineSource as _;
use carbon_ops_proof::read;
use carbon_ops_proof::verify::{Report, Settings, Status, verify_records};

use crate::support::{
    LATER, LEDGER_ID, NOW, key, ledger_of, lines, numbers, options, payload, trust,
};

fn open<'k>(dir: &Path, key: &'k SecretKey) -> Ledger<'k, DirStorage> {
    Ledger::open_for_append(DirStorage::new(dir), key, &trust(), LATER, options()).unwrap()
}

/// The genesis and nine records: seq 0 to 3 and 4 to 6 are sealed, 7 to 9 are not.
fn segmented(dir: &Path) {
    let key = key();
    let mut ledger = Ledger::create(DirStorage::new(dir), &key, LEDGER_ID, NOW, options()).unwrap();
    for n in 0..9 {
        ledger.append(payload(n), NOW).unwrap();
        if n == 2 || n == 5 {
            ledger.seal(0, NOW).unwrap().unwrap();
        }
    }
}

const FIRST: &str = "seg/0000000000-0000000003.ndjson";
const SECOND: &str = "seg/0000000004-0000000006.ndjson";

fn whole(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    LedgerReader::open(dir).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn report(dir: &Path) -> Report {
    let reader = LedgerReader::open(dir).unwrap();
    let faults = reader.segment_faults().unwrap();
    let trust = trust();
    let settings = Settings { active: reader.active(), ..Settings::new(&trust) };
    let reader = BufReader::new(reader);
    let mut report = verify_records(reader, &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap();
    report.add_faults(faults);
    report
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("seg")).unwrap();
    for name in ["ledger.ndjson", FIRST, SECOND] {
        fs::copy(from.join(name), to.path().join(name)).unwrap();
    }
    to
}

#[test]
fn segments_and_active_file_are_the_ledger_that_one_file_would_be() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let expected = ledger_of(9, &key(), LEDGER_ID);
    let joined: Vec<u8> = [FIRST, SECOND, "ledger.ndjson"]
        .iter()
        .flat_map(|name| fs::read(dir.path().join(name)).unwrap())
        .collect();
    assert!(joined == expected && whole(dir.path()) == expected);
    assert_eq!(whole(&dir.path().join("ledger.ndjson")), expected);
    for name in [FIRST, SECOND] {
        let mode = dir.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444, "{name}");
    }
    let found = report(dir.path());
    assert_eq!((found.status, found.entries, found.fault_count), (Status::Valid, 10, 0));
}

#[test]
fn what_reads_backward_searches_or_proves_crosses_segments() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let all = lines(&whole(dir.path()));
    for count in [1, 3, 4, 7, 10, 50] {
        let reader = LedgerReader::open(dir.path()).unwrap();
        let shown: Vec<_> = read::last(reader, count).unwrap().map(|l| l.unwrap().0).collect();
        let first = 11_usize.saturating_sub(count).max(1) as u64;
        assert_eq!(shown, (first..=10).collect::<Vec<_>>());
    }
    let key = key();
    let signed = open(dir.path(), &key).checkpoint(LATER).unwrap().checkpoint;
    let tiles = || DirTiles::open(Some(dir.path()), dir.path()).unwrap();
    // With tiles, and from the lines alone.
    for lose_tiles in [false, true] {
        if lose_tiles {
            fs::remove_dir_all(dir.path().join("tile")).unwrap();
        }
        for (seq, line) in all.iter().enumerate() {
            let line = line.strip_suffix(b"\n").unwrap();
            assert_eq!(tiles().line(seq as u64).unwrap().unwrap(), line);
            let mut tree = TileTree::new(tiles(), 10);
            assert_eq!(root_at(10, &mut tree).unwrap(), signed.root);
            let proof = inclusion_proof(seq as u64, 10, &mut tree).unwrap().unwrap();
            verify_inclusion(leaf_hash(line), seq as u64, 10, signed.root, &proof).unwrap();
        }
    }
    assert_eq!(tiles().size().unwrap(), 10);
}

#[test]
fn a_ledger_whose_active_file_is_empty_or_missing_goes_on() {
    for missing in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        segmented(dir.path());
        let key = key();
        let sealed = open(dir.path(), &key).seal(0, NOW).unwrap().unwrap();
        assert_eq!(sealed.to_string(), "0000000007-0000000009.ndjson");
        assert_eq!(open(dir.path(), &key).seal(0, NOW).unwrap(), None);
        assert_eq!(dir.path().join("ledger.ndjson").metadata().unwrap().len(), 0);
        if missing {
            fs::remove_file(dir.path().join("ledger.ndjson")).unwrap();
        }
        assert_eq!(report(dir.path()).status, Status::Valid);
        assert_eq!(open(dir.path(), &key).append(payload(9), NOW).unwrap().seq, 10);
        assert_eq!(numbers(&whole(dir.path())), (0..10).collect::<Vec<_>>());
    }
}

/// What is done to a segmented ledger, and how the report on it begins.
#[test]
fn a_missing_doubled_overlapping_or_renamed_segment_is_found_and_named() {
    type Attack = fn(&dyn Fn(&str) -> PathBuf);
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let attacks: [(Attack, u64, &str); 6] = [
        (
            |at| fs::remove_file(at(FIRST)).unwrap(),
            1,
            "seq 0 to 3 is missing before seg/0000000004",
        ),
        (
            |at| fs::remove_file(at(SECOND)).unwrap(),
            5,
            "seq 4 to 6 is missing before ledger.ndjson",
        ),
        (
            |at| {
                fs::copy(at(FIRST), at("seg/0000000002-0000000003.ndjson")).unwrap();
            },
            3,
            "seg/0000000002-0000000003.ndjson holds lines from seq 2 on that others hold too",
        ),
        (
            |at| {
                fs::rename(at(FIRST), at("x")).unwrap();
                fs::rename(at(SECOND), at(FIRST)).unwrap();
                fs::rename(at("x"), at(SECOND)).unwrap();
            },
            1,
            "seg/0000000000-0000000003.ndjson does not hold the lines that its name says",
        ),
        (
            |at| fs::rename(at(SECOND), at("seg/second.ndjson")).unwrap(),
            1,
            "seg/second.ndjson is not the name of a segment",
        ),
        (
            |at| fs::rename(at(SECOND), at("seg/0000000004-0000000005.ndjson")).unwrap(),
            5,
            "seg/0000000004-0000000005.ndjson does not hold the lines that its name says",
        ),
    ];
    for (attack, line, expected) in attacks {
        let copy = copied(dir.path());
        attack(&|name| copy.path().join(name));
        let found = report(copy.path());
        let fault = found.faults.iter().find(|fault| fault.code == "segment").unwrap();
        assert!(fault.reason.contains(expected), "{}", fault.reason);
        assert_eq!((found.status, fault.line), (Status::Tampered, line), "{expected}");
    }
}

#[test]
fn nothing_is_appended_beside_segments_that_are_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    fs::remove_file(dir.path().join(SECOND)).unwrap();
    fs::rename(dir.path().join(FIRST), dir.path().join("seg/0000000001-0000000004.ndjson"))
        .unwrap();
    let before = whole(dir.path());
    let key = key();
    let error =
        Ledger::open_for_append(DirStorage::new(dir.path()), &key, &trust(), NOW, options())
            .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("seq 0 to 0 is missing"), "{error}");
    assert_eq!(whole(dir.path()), before);
}

#[test]
fn sealing_that_a_crash_interrupted_is_finished_by_the_next_writer() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let expected = whole(dir.path());
    let third = "seg/0000000007-0000000009.ndjson";
    let copy = copied(dir.path());
    // The crash came after the second name was made; in the copy the two are different files.
    fs::hard_link(dir.path().join("ledger.ndjson"), dir.path().join(third)).unwrap();
    fs::copy(copy.path().join("ledger.ndjson"), copy.path().join(third)).unwrap();
    for dir in [dir.path(), copy.path()] {
        assert!(whole(dir) == expected);
        assert_eq!(report(dir).status, Status::Valid);
        let key = key();
        assert_eq!(open(dir, &key).append(payload(9), NOW).unwrap().seq, 10);
        assert_eq!(lines(&fs::read(dir.join("ledger.ndjson")).unwrap()).len(), 1);
        assert_eq!(dir.join(third).metadata().unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(numbers(&whole(dir)), (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_torn_end_is_cut_from_the_active_file_only() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let active = dir.path().join("ledger.ndjson");
    let sealed = fs::read(dir.path().join(SECOND)).unwrap();
    fs::write(&active, b"{\"kind\":\"te").unwrap();
    let key = key();
    let appended = open(dir.path(), &key).append(payload(9), NOW).unwrap();
    assert_eq!((appended.seq, numbers(&whole(dir.path()))), (8, vec![0, 1, 2, 3, 4, 5, 9]));
    assert_eq!(fs::read(dir.path().join(SECOND)).unwrap(), sealed);
    assert_eq!(report(dir.path()).recoveries, 1);
}

#[test]
fn a_writer_that_is_open_meets_the_rotation_of_another() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let key = key();
    let (mut one, mut other) = (open(dir.path(), &key), open(dir.path(), &key));
    for n in 9..21 {
        one.append(payload(n), NOW).unwrap();
        assert!(other.seal(0, NOW).unwrap().is_some());
    }
    assert_eq!(numbers(&whole(dir.path())), (0..21).collect::<Vec<_>>());
    assert_eq!(report(dir.path()).status, Status::Valid);
}

#[test]
fn readers_see_a_whole_ledger_while_it_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let key = key();
            let mut ledger = open(dir.path(), &key);
            for n in 9..60 {
                ledger.append(payload(n), NOW).unwrap();
                ledger.seal(0, NOW).unwrap();
            }
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let numbers = numbers(&whole(dir.path()));
            assert!(numbers.len() >= seen);
            assert!(numbers.iter().zip(0..).all(|(found, expected)| *found == expected));
            seen = numbers.len();
        }
        writer.join().unwrap();
    });
    assert_eq!(report(dir.path()).status, Status::Valid);
}

/// What the document says of copies into one file: sectors are counted from where the active file begins,
/// and that is lost.
#[test]
fn a_batch_torn_behind_a_segment_is_torn_in_the_directory_and_damage_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    segmented(dir.path());
    let key = key();
    let mut ledger = open(dir.path(), &key);
    for n in 9..15 {
        ledger.append(payload(n), LATER).unwrap();
    }
    let active = dir.path().join("ledger.ndjson");
    let mut bytes = fs::read(&active).unwrap();
    bytes[1024..1536].fill(0);
    fs::write(&active, &bytes).unwrap();
    let sealed = whole(dir.path()).len() - bytes.len();
    assert_ne!(sealed % 512, 0);
    assert_eq!(report(dir.path()).status, Status::TornTail);
    assert_eq!(crate::support::report(&whole(dir.path())).status, Status::Tampered);
    // The next writer repairs it, and then the copy is a ledger.
    drop(ledger);
    open(dir.path(), &key);
    assert_eq!(crate::support::report(&whole(dir.path())).status, Status::Valid);
}
