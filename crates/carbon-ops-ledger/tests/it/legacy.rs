//! Ledgers of version 0.1: those that the Python package wrote verify, and what it lets pass is
//! named. The frozen files were written by the package with `testdata/ledgers/0.1/make.py`.

use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_ledger::legacy::{MAX_LINE_BYTES, Record, Report, append, verify};
use carbon_ops_proof::verify::Status;
use proptest::prelude::*;

use crate::support::{code, key, trust};
use nix::fcntl::{Flock, FlockArg};

/// A frozen ledger.
pub(crate) fn frozen(name: &str) -> Vec<u8> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/0.1"));
    std::fs::read(dir.join(name)).unwrap()
}

fn checked(file: &[u8]) -> Report {
    verify(file, &trust()).unwrap()
}

/// Line and code of each fault, and whether Python accepts it.
fn faults(report: &Report) -> Vec<(u64, &str, bool)> {
    report.faults.iter().map(|fault| (fault.line, fault.code, fault.python_accepts)).collect()
}

#[test]
fn what_the_package_wrote_verifies() {
    for (name, records) in [
        ("two-lines.ndjson", 2),
        ("numbers.ndjson", 27),
        ("texts.ndjson", 14),
        ("nested.ndjson", 3),
        ("audit.ndjson", 5),
    ] {
        let report = checked(&frozen(name));
        assert_eq!((report.status, report.records), (Status::Valid, records), "{name} {report:#?}");
        assert_eq!((report.lines, report.keys.len()), (records, 1));
    }
}

/// The values are those of `sha256sum` and of the package's own `hash_canonical`.
#[test]
fn a_report_tells_the_file_and_its_last_link() {
    let report = checked(&frozen("two-lines.ndjson"));
    let head = "e520d2904983eb9381892aa074e822a94ae3facdbdaab1cfa9a2afa0fae3993e";
    assert_eq!(report.head_hash.as_deref(), Some(head));
    assert_eq!(report.file_bytes, 673);
    let sha256 = "ceb8d57158ececfb84144f1032944585aa77b258b7aa677ac84cc68bbb696e43";
    assert_eq!(report.file_sha256, sha256);
}

#[test]
fn the_writer_writes_what_the_package_writes() {
    let key = key();
    let first = Record::parse(br#"{"i":0}"#).unwrap().sign(None, &key).unwrap();
    let text = "{\"é\":\"😀\",\"f\":1.0,\"n\":null,\"b\":true}";
    let second = Record::parse(text.as_bytes()).unwrap().sign(Some(&first.hash), &key).unwrap();
    assert_eq!([first.line, second.line].concat(), frozen("two-lines.ndjson"));
}

#[test]
fn numbers_that_are_not_finite_are_named_though_signed() {
    let report = checked(&frozen("not-finite.ndjson"));
    assert_eq!(faults(&report), [(1, "non_finite", true), (2, "non_finite", true)]);
    assert_eq!((report.status, report.records), (Status::Tampered, 2));
}

#[test]
fn records_without_a_link_are_named() {
    assert_eq!(faults(&checked(&frozen("unlinked.ndjson"))), [(2, "chain_restart", false)]);
}

/// Five lines of the audit ledger, to be maltreated.
fn lines() -> Vec<Vec<u8>> {
    frozen("audit.ndjson").split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn replaced(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

/// Line and code of a fault, and whether Python accepts it.
type Expected = (u64, &'static str, bool);

/// What is done to a ledger: a name, the file that results, and each fault that it has then.
pub(crate) type Attack = (&'static str, Vec<u8>, Vec<Expected>);

pub(crate) fn attacks() -> Vec<Attack> {
    [attacks_on_order(), attacks_on_spelling(), attacks_on_lines(), attacks_on_members()].concat()
}

fn attacks_on_order() -> Vec<Attack> {
    let lines = lines();
    let of = |numbers: &[usize]| -> Vec<u8> {
        numbers.iter().flat_map(|number| lines[*number].clone()).collect()
    };
    let other = SecretKey::from_seed(&[9; 32]);
    let foreign = Record::parse(br#"{"i": 0}"#).unwrap().sign(None, &other).unwrap().line;
    let bad_link = |line| (line, "prev_hash", false);
    vec![
        ("nothing at all", Vec::new(), vec![(1, "empty_file", true)]),
        ("two cut off the head", of(&[2, 3, 4]), vec![(1, "head_missing", true)]),
        ("one cut off the head", of(&[1, 2, 3, 4]), vec![(1, "head_missing", true)]),
        ("cut in the middle", of(&[0, 2, 3]), vec![bad_link(2)]),
        ("swapped", of(&[0, 2, 1, 3]), vec![bad_link(2), bad_link(3), bad_link(4)]),
        ("first doubled", of(&[0, 0]), vec![(2, "chain_restart", false)]),
        ("second doubled", of(&[0, 1, 1, 2]), vec![bad_link(3)]),
        (
            "line of another key",
            [&lines[0][..], &foreign, &lines[1]].concat(),
            vec![(2, "chain_restart", false), (2, "untrusted_key", false), bad_link(3)],
        ),
    ]
}

fn attacks_on_spelling() -> Vec<Attack> {
    let all = frozen("audit.ndjson");
    let respelt = |line| vec![(line, "respelled", true)];
    vec![
        ("changed", replaced(&all, "212.0", "112.0"), vec![(3, "signature", false)]),
        ("integer for double", replaced(&all, "210.0", "210"), vec![(1, "signature", false)]),
        ("double respelt", replaced(&all, "210.0", "2.1e2"), respelt(1)),
        ("space left out", replaced(&all, ", \"type\"", ",\"type\""), respelt(1)),
        ("text not escaped", replaced(&all, "\\u00e9", "é"), respelt(1)),
        ("capitals in an escape", replaced(&all, "\\u00e9", "\\u00E9"), respelt(1)),
        (
            "member before its double",
            replaced(&all, "\"grams\": 212.0", "\"grams\": 0, \"grams\": 212.0"),
            vec![(3, "duplicate_member", true)],
        ),
        (
            "member after its double",
            replaced(&all, "\"grams\": 212.0", "\"grams\": 212.0, \"grams\": 0"),
            vec![(3, "duplicate_member", true), (3, "signature", false)],
        ),
    ]
}

fn attacks_on_lines() -> Vec<Attack> {
    let (all, lines) = (frozen("audit.ndjson"), lines());
    let after_first = |more: &[u8]| [&lines[0], more].concat();
    let between = |more: &[u8]| [&lines[0], more, &lines[1]].concat();
    let bad = |fault| vec![(2, fault, false)];
    vec![
        ("blank line", between(b"\n"), vec![(2, "blank_line", true)]),
        ("line of spaces", between(b" \t\n"), vec![(2, "blank_line", true)]),
        ("carriage return", replaced(&all, "}\n", "}\r\n"), vec![(1, "surrounding_space", true)]),
        ("wide space", replaced(&all, "}\n", "}\u{3000}\n"), vec![(1, "surrounding_space", true)]),
        ("carriage return within", replaced(&all, ", ", ",\r"), vec![(1, "not_a_record", false)]),
        ("no JSON", after_first(b"{\n"), bad("not_a_record")),
        ("an array", after_first(b"[]\n"), bad("not_an_object")),
        ("no UTF-8", after_first(b"{\"\xff\": 1}\n"), bad("not_a_record")),
        (
            "half a surrogate pair",
            after_first(b"{\"signature\": \"\", \"\\ud800\": 1}\n"),
            bad("not_a_record"),
        ),
        ("a zero byte", replaced(&all, "}\n", "}\0\n"), vec![(1, "not_a_record", false)]),
    ]
}

fn attacks_on_members() -> Vec<Attack> {
    let all = frozen("audit.ndjson");
    let public = key().public_key().to_hex();
    let other = SecretKey::from_seed(&[9; 32]).public_key().to_hex();
    let text = std::str::from_utf8(&all).unwrap();
    let signature = text.split("\"signature\": \"").nth(1).unwrap()[..128].to_owned();
    let algorithm = "\"signature_algorithm\": \"ed25519\"";
    vec![
        ("no signature", b"{\"a\": 1}\n".to_vec(), vec![(1, "signature_form", false)]),
        (
            "signature in capitals",
            replaced(&all, &signature, &signature.to_uppercase()),
            vec![(1, "signature_case", true)],
        ),
        (
            "other algorithm",
            replaced(&all, algorithm, "\"signature_algorithm\": \"none\""),
            vec![(1, "signature_algorithm", true)],
        ),
        ("other key named", replaced(&all, &public, &other), vec![(1, "signing_key", true)]),
        (
            "no key named",
            replaced(&all, &format!("\"signing_key\": \"{public}\", "), ""),
            vec![(1, "signing_key", true)],
        ),
    ]
}

#[test]
fn every_attack_is_named_with_its_line() {
    for (name, file, expected) in attacks() {
        let report = checked(&file);
        assert_eq!(faults(&report), expected, "{name}");
        assert_eq!(report.status, Status::Tampered, "{name}");
        let accepted = expected.iter().filter(|(_, _, accepts)| *accepts).count();
        assert_eq!(report.python_accepts_count, u64::try_from(accepted).unwrap());
    }
}

#[test]
fn a_key_counts_only_when_it_is_trusted() {
    let file = frozen("audit.ndjson");
    let report = verify(&file[..], &Trust::new()).unwrap();
    assert_eq!((report.status, report.records), (Status::Untrusted, 5));
    assert!(!report.keys[0].trusted);
    let other = Trust::from_iter([SecretKey::from_seed(&[9; 32]).public_key()]);
    assert_eq!(verify(&file[..], &other).unwrap().status, Status::Untrusted);
}

#[test]
fn a_torn_last_line_is_told_from_a_whole_one() {
    let file = frozen("audit.ndjson");
    let report = checked(&file[..file.len() - 40]);
    assert_eq!((report.status, report.records), (Status::TornTail, 4));
    assert!(!report.torn_tail.unwrap().complete_entry);
    let report = checked(&file[..file.len() - 1]);
    assert_eq!((report.status, report.records), (Status::TornTail, 4));
    assert!(report.torn_tail.unwrap().complete_entry);
    let first = lines().remove(0);
    assert_eq!(checked(&first[..first.len() - 1]).status, Status::TornTail);
    assert_eq!(faults(&checked(&first[..first.len() - 2])), [(1, "unterminated", false)]);
}

/// As the document of the limits says; the day that this fails, it has to be rewritten.
#[test]
fn lines_cut_off_the_end_are_not_noticed() {
    assert_eq!(checked(&lines()[..3].concat()).status, Status::Valid);
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let file = frozen("two-lines.ndjson");
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut file = file.clone();
            file[at] ^= 1 << bit;
            let expected = if at + 1 == file.len() { 4 } else { 1 };
            assert_eq!(code(checked(&file).status), expected, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn the_digest_of_the_file_does_not_depend_on_how_it_is_read() {
    let file = frozen("texts.ndjson");
    let whole = checked(&file);
    for capacity in [1, 2, 3, 1000] {
        let reader = BufReader::with_capacity(capacity, &file[..]);
        assert_eq!(verify(reader, &trust()).unwrap(), whole);
    }
}

#[test]
fn a_line_beyond_the_limit_is_named_and_passed_over() {
    let lines = lines();
    let long = [&b"{\"x\": \""[..], &vec![b'x'; MAX_LINE_BYTES], b"\"}\n"].concat();
    let report = checked(&[&lines[0][..], &long, &lines[1], &long[..MAX_LINE_BYTES + 5]].concat());
    assert_eq!(faults(&report), [(2, "too_long", false), (4, "too_long", false)]);
    let record = Record::parse(long.trim_ascii()).unwrap();
    assert!(record.sign(None, &key()).unwrap_err().to_string().contains("longer than"));
}

proptest! {
    /// Anything cut out of a ledger and anything put in its place, but whole lines off its end.
    #[test]
    fn no_edit_goes_unnoticed_and_none_makes_the_reader_panic(
        at in any::<prop::sample::Index>(),
        cut in 0_usize..900,
        put in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), ".{0,20}".prop_map(String::into_bytes)],
    ) {
        let file = frozen("audit.ndjson");
        let at = at.index(file.len());
        let cut = cut.min(file.len() - at);
        let edited = [&file[..at], &put, &file[at + cut..]].concat();
        let report = checked(&edited);
        let is_cut = file.starts_with(&edited) && (edited.ends_with(b"\n"));
        prop_assert_eq!(report.status == Status::Valid, is_cut, "{:#?}", report);
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn records_are_appended_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.ndjson");
    for n in 0..3 {
        let record = Record::parse(format!("{{\"n\": {n}}}").as_bytes()).unwrap();
        append(&path, &record, &key(), PATIENCE).unwrap();
    }
    let report = checked(&std::fs::read(&path).unwrap());
    assert_eq!((report.status, report.records), (Status::Valid, 3));
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["old.ndjson", "old.ndjson.lock"]);
}

#[test]
fn nothing_is_appended_to_what_the_package_would_then_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.ndjson");
    let record = Record::parse(b"{}").unwrap();
    let whole = frozen("audit.ndjson");
    let torn = whole[..whole.len() - 1].to_vec();
    let tampered = replaced(&lines()[0], "210.0", "211.0");
    for (file, reason) in [
        (torn, "no newline"),
        (tampered, "does not verify"),
        ([&whole[..], b"\n"].concat(), "blank"),
        (vec![b'x'; 1 << 21], "no newline"),
    ] {
        std::fs::write(&path, &file).unwrap();
        let error = append(&path, &record, &key(), PATIENCE).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), file);
    }
    std::fs::write(&path, &whole).unwrap();
    let other = SecretKey::from_seed(&[9; 32]);
    let error = append(&path, &record, &other, PATIENCE).unwrap_err().to_string();
    assert!(error.contains("is not trusted"), "{error}");
    let _held = Flock::lock(
        std::fs::File::open(dir.path().join("old.ndjson.lock")).unwrap(),
        FlockArg::LockExclusive,
    )
    .unwrap();
    let error = append(&path, &record, &key(), Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("locked by another process"), "{error}");
}
