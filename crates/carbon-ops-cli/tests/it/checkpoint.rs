//! Checkpoints and proofs as a user meets them: signed, kept, and held against a ledger that changed.

use std::fs;

use carbon_ops_ledger::append::{Ledger, WriterOptions};
use carbon_ops_ledger::canonical::Object;
use carbon_ops_ledger::keys::{Trust, load_secret};
use carbon_ops_ledger::storage::DirStorage;
use serde_json::Value;

use crate::home::Home;

/// A home with three records and a checkpoint of its four lines, which was kept at `work/kept`.
fn signed() -> Home {
    let home = Home::new();
    for _ in 0..3 {
        home.record(&["--", "true"]);
    }
    let done = home.does(&["ledger", "checkpoint"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.text(), fs::read_to_string(home.ledger().join("checkpoint")).unwrap());
    assert_eq!(done.text().lines().nth(1), Some("4"));
    fs::write(home.work("kept"), done.text()).unwrap();
    home
}

fn cut_to(home: &Home, lines: usize) {
    let text = fs::read_to_string(home.ledger_file()).unwrap();
    let kept: String = text.split_inclusive('\n').take(lines).collect();
    fs::write(home.ledger_file(), kept).unwrap();
}

fn public_key(home: &Home) -> String {
    load_secret(&home.key()).unwrap().public_key().to_hex()
}

#[test]
fn a_ledger_that_was_cut_below_its_checkpoint_is_told_and_left_alone() {
    let home = signed();
    let whole = home.does(&["ledger", "verify"]);
    assert_eq!(whole.code(), 0);
    assert!(whole.text().contains("checkpoint is confirmed: 4 lines"), "{}", whole.text());
    for lines in [3, 1, 0] {
        cut_to(&home, lines);
        let cut = home.does(&["ledger", "verify"]);
        assert_eq!(cut.code(), 3, "{}", cut.text());
        assert!(cut.text().contains("CUT OFF OR REWRITTEN"), "{}", cut.text());
        let report = home.does(&["ledger", "verify", "--json"]);
        let report: Value = serde_json::from_str(&report.text()).unwrap();
        assert_eq!(
            (&report["status"], &report["anchors"][0]["verdict"]),
            (&"rewritten".into(), &"truncated".into())
        );
        if lines > 0 {
            let run = home.does(&["run", "--", "touch", "started"]);
            assert_eq!(run.code(), 125, "{}", run.stderr);
            assert!(run.stderr.contains("its end was cut off"), "{}", run.stderr);
            assert!(!home.work("started").exists());
            assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 3);
        }
    }
}

#[test]
fn a_kept_checkpoint_convicts_a_ledger_whose_own_was_removed() {
    let home = signed();
    home.record(&["--", "true"]);
    let since = home.does(&["ledger", "verify", "--since", "kept"]);
    assert_eq!(since.code(), 0, "{}", since.text());
    assert!(since.text().contains("3 of these records were compared"), "{}", since.text());
    assert!(since.text().contains("the last 1 lines, from seq 4 on"), "{}", since.text());
    for name in ["checkpoint", "signer.state", "checkpoints.log"] {
        fs::remove_file(home.ledger().join(name)).unwrap();
    }
    cut_to(&home, 3);
    let alone = home.does(&["ledger", "verify"]);
    assert_eq!(alone.code(), 0, "the file alone does not tell");
    assert!(alone.text().contains("no checkpoint covers it"), "{}", alone.text());
    assert_eq!(home.does(&["ledger", "verify", "--since", "kept"]).code(), 3);
    assert_eq!(home.does(&["ledger", "consistency", "kept", "4"]).code(), 3);
    assert_eq!(home.does(&["ledger", "verify", "--since", "none"]).code(), 2);
}

#[test]
fn a_stranger_checks_one_record_without_the_ledger() {
    let home = signed();
    let done = home.does(&["ledger", "prove", "2", "--out", "it.tlog-proof"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let stranger = Home::new();
    let proof = fs::read_to_string(home.work("it.tlog-proof")).unwrap();
    assert_eq!(home.does(&["ledger", "prove", "2"]).text(), proof);
    fs::write(stranger.work("it"), &proof).unwrap();
    let check = |trust: &[&str]| stranger.does(&[&["ledger", "check-proof", "it"], trust].concat());
    assert_eq!(check(&[]).code(), 2);
    let key = public_key(&home);
    let proven = check(&["--trust", &key]);
    assert_eq!(proven.code(), 0, "{}", proven.text());
    assert!(proven.text().contains("entry 2 of 4"), "{}", proven.text());
    let report: Value = serde_json::from_str(&check(&["--trust", &key, "--json"]).text()).unwrap();
    assert_eq!(report["entry"], home.lines()[2]);
    fs::write(stranger.work("it"), proof.replace("index 2", "index 3")).unwrap();
    assert_eq!(check(&["--trust", &key]).code(), 1);
    let beyond = home.does(&["ledger", "prove", "4"]);
    assert_eq!(beyond.code(), 2);
    assert!(beyond.stderr.contains("ledger checkpoint"), "{}", beyond.stderr);
}

#[test]
fn sizes_and_checkpoints_are_proven_consistent() {
    let home = signed();
    home.record(&["--", "true"]);
    let by_size = home.does(&["ledger", "consistency", "4", "5"]);
    assert_eq!(by_size.code(), 0, "{}", by_size.stderr);
    assert!(by_size.text().starts_with("old 4\nnew 5\n"), "{}", by_size.text());
    assert_eq!(home.does(&["ledger", "consistency", "kept", "5"]).text(), by_size.text());
    for (old, new) in [("5", "4"), ("0", "4"), ("4", "6"), ("none", "5")] {
        assert_eq!(home.does(&["ledger", "consistency", old, new]).code(), 2, "{old} {new}");
    }
}

#[test]
fn a_run_signs_when_a_thousand_records_have_no_checkpoint() {
    let home = Home::new();
    home.record(&["--", "true"]);
    let key = load_secret(&home.key()).unwrap();
    let (now, tool) = ("2026-11-23T09:00:00.000000Z", "test 1".to_owned());
    let options = WriterOptions { tool, patience: std::time::Duration::from_secs(1) };
    let trust = Trust::from_iter([key.public_key()]);
    let storage = DirStorage::new(home.ledger());
    let mut ledger = Ledger::open_for_append(storage, &key, &trust, now, options).unwrap();
    for _ in 0..1020 {
        let payload = Object::from_members([("kind", "filler".into())]).unwrap();
        ledger.append(payload, now).unwrap();
    }
    let checkpoint = home.ledger().join("checkpoint");
    home.record(&["--", "true"]);
    assert!(!checkpoint.exists(), "1023 lines");
    home.record(&["--", "true"]);
    let text = fs::read_to_string(&checkpoint).unwrap();
    assert_eq!(text.lines().nth(1), Some("1024"));
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    home.record(&["--", "true"]);
    assert_eq!(fs::read_to_string(&checkpoint).unwrap(), text);
}
