//! A reader of 150 lines in another language, written from the format's document alone, gives the
//! verdicts that we give: on frozen ledgers, and on mutants of one.
//!
//! Needs python3 with `cryptography`; skipped aloud without, and `CARBON_OPS_REQUIRE=python` turns that
//! into a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, Settings, Status, verify_against, verify_records,
};
use carbon_ops_testkit::skip::{can, skip};

use crate::support::{LEDGER_ID, code, key, ledger_of, lines, other_key, trust};

fn root(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name)
}

/// Whether the reader can run here; said aloud if not.
fn can_run() -> bool {
    let there = can("python3 -c 'import cryptography'");
    if !there {
        skip("python", "the reader in Python imports cryptography");
    }
    there
}

/// The reader's exit code.
fn theirs(ledger: &Path, checkpoint: Option<&Path>) -> i32 {
    let mut python = Command::new("python3");
    python.arg(root("docs/formats/verify_ledger.py")).arg(ledger).arg(key().public_key().to_hex());
    python.args(checkpoint).output().unwrap().status.code().unwrap()
}

/// The reader's exit codes of many ledgers, in one process.
fn all_theirs(ledgers: &[PathBuf], checkpoint: Option<&Path>) -> Vec<i32> {
    const EACH: &str = "\
import sys
sys.path.insert(0, sys.argv[1])
import verify_ledger as reader
for path in sys.argv[4:]:
    try: print(reader.main(path, sys.argv[2], sys.argv[3] or None)[0])
    except (OSError, StopIteration, *reader.WRONG): print(2)
";
    let mut python = Command::new("python3");
    python.args(["-c", EACH]).arg(root("docs/formats")).arg(key().public_key().to_hex());
    python.arg(checkpoint.unwrap_or(Path::new(""))).args(ledgers);
    let output = python.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let codes: Vec<i32> = told.lines().map(|code| code.parse().unwrap()).collect();
    assert_eq!(codes.len(), ledgers.len(), "{}", String::from_utf8_lossy(&output.stderr));
    codes
}

/// The reader gives these the verdicts that we give.
pub(crate) fn same_verdicts(files: &[Vec<u8>], checkpoint: Option<&Path>) {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let paths = files.iter().enumerate().map(|(number, file)| {
        let path = dir.path().join(number.to_string());
        std::fs::write(&path, file).unwrap();
        path
    });
    let theirs = all_theirs(&paths.collect::<Vec<_>>(), checkpoint);
    for (number, (file, theirs)) in files.iter().zip(theirs).enumerate() {
        let last = lines(file).pop().unwrap_or_default();
        let what = format!("ledger {number}: {}", String::from_utf8_lossy(&last));
        assert_eq!(theirs, ours(file, checkpoint), "{what}, checkpoint: {}", checkpoint.is_some());
    }
}

fn ours(file: &[u8], checkpoint: Option<&Path>) -> i32 {
    let anchor = |path: &Path| Anchor {
        source: "kept".into(),
        bytes: std::fs::read(path).unwrap(),
        kind: AnchorKind::Checkpoint,
    };
    let anchors: Vec<_> = checkpoint.map(anchor).into_iter().collect();
    code(verify_against(file, &trust(), &anchors, 0, &mut |_| Ok(())).unwrap().status).into()
}

#[test]
fn the_reader_has_at_most_150_lines() {
    let text = std::fs::read_to_string(root("docs/formats/verify_ledger.py")).unwrap();
    assert!(text.lines().count() <= 150);
}

#[test]
fn frozen_ledgers_get_the_same_verdict_from_the_reader() {
    if !can_run() {
        return;
    }
    let frozen = root("testdata/ledgers/v1");
    for item in std::fs::read_dir(&frozen).unwrap() {
        let path = item.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            let file = std::fs::read(&path).unwrap();
            assert_eq!(theirs(&path, None), ours(&file, None), "{}", path.display());
        }
    }
    assert_eq!(theirs(&frozen.join("segmented"), Some(&frozen.join("basic.checkpoint"))), 0);
}

#[test]
fn mutants_get_the_same_verdict_from_the_reader() {
    let frozen = root("testdata/ledgers/v1");
    let checkpoint = frozen.join("basic.checkpoint");
    let file = std::fs::read(frozen.join("basic.ndjson")).unwrap();
    let good = lines(&file);
    let mut mutants = vec![Vec::new(), file[..file.len() - 1].to_vec(), file[..100].to_vec()];
    // A sixty-first of all bytes, each in one bit.
    for at in (0..file.len()).step_by(61) {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        mutants.push(flipped);
    }
    for at in 0..good.len() {
        let (mut deleted, mut doubled, mut moved) = (good.clone(), good.clone(), good.clone());
        deleted.remove(at);
        doubled.insert(at, good[at].clone());
        moved.rotate_left(at);
        mutants.extend([deleted.concat(), doubled.concat(), moved.concat()]);
    }
    mutants.push(ledger_of(6, &key(), LEDGER_ID));
    mutants.push(ledger_of(6, &key(), [9; 16]));
    mutants.push(ledger_of(6, &other_key(), LEDGER_ID));
    let text = String::from_utf8(good[1].clone()).unwrap();
    for (from, to) in [
        ("\"n\":1", "\"n\":1.0"),
        ("\"n\":1", "\"n\":-0"),
        ("\"n\":1", "\"n\":1,\"n\":1"),
        ("\"n\":1", "\"n\": 1"),
        ("\"n\":1", "\"n\":9007199254740993"),
        ("\"kind\"", "\"\\u006bind\""),
        ("\n", "\r\n"),
        ("\n", "\n\n"),
    ] {
        let mut bad = good.clone();
        bad[1] = text.replacen(from, to, 1).into_bytes();
        mutants.push(bad.concat());
    }
    for kept in [None, Some(&*checkpoint)] {
        same_verdicts(&mutants, kept);
    }
}

/// Ends of ledgers that a crash may have left, or nearly: of a batch of eight lines each sector and
/// each two of them missing, in one file and behind a segment whose length no sector divides.
#[test]
fn torn_batches_get_the_same_verdict_from_the_reader() {
    if !can_run() {
        return;
    }
    let file = ledger_of(10, &key(), LEDGER_ID);
    let sealed = lines(&file)[..3].concat().len();
    assert_ne!(sealed % 512, 0);
    let mut ends = Vec::new();
    let sectors = (file.len() - sealed).div_ceil(512);
    for one in 0..sectors {
        for other in (one..sectors).step_by(3) {
            let mut bad = file.clone();
            for sector in [one, other] {
                let from = sealed + sector * 512;
                let to = (from + 512).min(file.len());
                bad[from..to].fill(0);
            }
            ends.push(bad);
        }
    }
    // Zeros that no missing sector leaves, and more of them than a batch has.
    for range in [sealed + 40..sealed + 41, sealed + 512..sealed + 1000, 40..80] {
        let mut bad = file.clone();
        bad[range].fill(0);
        ends.push(bad);
    }
    for zeros in [1, 65_536, 65_537, 1 << 20, 1_114_112, 1_114_113] {
        ends.push([&file[..], &vec![0; zeros]].concat());
    }
    ends.push(file[..file.len() - 1].to_vec());
    same_verdicts(&ends, None);

    let dir = tempfile::tempdir().unwrap();
    let segmented = |(number, end): (usize, &Vec<u8>)| {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir_all(dir.join("seg")).unwrap();
        std::fs::write(dir.join("seg/0000000000-0000000002.ndjson"), &file[..sealed]).unwrap();
        std::fs::write(dir.join("ledger.ndjson"), &end[sealed..]).unwrap();
        dir
    };
    let dirs: Vec<_> = ends.iter().enumerate().map(segmented).collect();
    let (mut torn, mut tampered) = (0, 0);
    for (dir, theirs) in dirs.iter().zip(all_theirs(&dirs, None)) {
        let reader = LedgerReader::open(dir).unwrap();
        let trust = trust();
        let settings = Settings { active: reader.active(), ..Settings::new(&trust) };
        let reader = std::io::BufReader::new(reader);
        let report = verify_records(reader, &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap();
        assert_eq!(theirs, i32::from(code(report.status)), "behind a segment: {}", dir.display());
        torn += u32::from(report.status == Status::TornTail);
        tampered += u32::from(report.status == Status::Tampered);
    }
    assert!(torn > 15 && tampered > 2, "{torn} torn, {tampered} tampered");
}
