//! Checkpoints and proofs as a user meets them: signed, kept, and held against a ledger that changed.

use std::fs;

use carbon_ops::ledger::append::{Ledger, WriterOptions};
use carbon_ops::ledger::keys::{Trust, load_secret};
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::proof::canonical::Object;
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
            assert_eq!(run.code(), 0, "{}", run.stderr);
            assert!(run.stderr.contains("its end was cut off"), "{}", run.stderr);
            assert!(home.work("started").exists());
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
    assert!(since.text().contains("the last line, with seq 4, is not"), "{}", since.text());
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
    let (now, tool) = ("2026-11-23T09:00:00Z".parse().unwrap(), "test 1".to_owned());
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

/// The log is held against the tree line by line of its history: what was signed and is in order is
/// confirmed, an interrupted write is no fault, and a checkpoint of another history is exit code 3.
#[test]
fn every_checkpoint_in_the_log_has_to_be_confirmed() {
    let home = signed();
    home.record(&["--", "true"]);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let log = home.ledger().join("checkpoints.log");
    let whole = fs::read_to_string(&log).unwrap();
    let verified = |code: i32| {
        let report = home.does(&["ledger", "verify", "--json"]);
        assert_eq!(report.code(), code, "{}", report.text());
        let report: Value = serde_json::from_str(&report.text()).unwrap();
        let of = |name: &str| report["history"][name].as_u64().unwrap();
        ([of("confirmed"), of("refuted"), of("unreadable"), of("covered")], report)
    };
    assert_eq!(verified(0).0, [2, 0, 0, 5]);
    let text = home.does(&["ledger", "verify"]).text();
    assert!(text.contains("checkpoints.log: 2 of 2 checkpoints are confirmed"), "{text}");
    // The latter half of the last note is missing.
    fs::write(&log, &whole[..whole.len() - 60]).unwrap();
    assert_eq!(verified(0).0, [1, 0, 1, 4]);
    // A torn one, and the same checkpoints behind it, also an old one behind a newer one.
    fs::write(&log, format!("{}\n{whole}{whole}", &whole[..60])).unwrap();
    assert_eq!(verified(0).0, [4, 0, 1, 5]);
    // Somebody else's signature, or one changed root, does not make a history.
    let (first, _) = whole.split_once("\n\n").unwrap();
    let root = first.lines().nth(2).unwrap();
    let other = format!("{}{}", if root.starts_with('A') { 'B' } else { 'A' }, &root[1..]);
    fs::write(&log, whole.replacen(root, &other, 1)).unwrap();
    let ([confirmed, refuted, ..], report) = verified(1);
    assert_eq!((confirmed, refuted), (1, 1));
    let refused = report["anchors"].as_array().unwrap().last().unwrap();
    assert_eq!((&refused["verdict"], &refused["size"]), (&"refused".into(), &4.into()));
}

#[test]
fn a_checkpoint_by_a_key_that_joined_in_lines_that_are_gone_is_not_checked_until_it_is_trusted() {
    let home = signed();
    let old = public_key(&home);
    assert_eq!(home.does(&["keys", "rotate"]).code(), 0);
    let new = public_key(&home);
    assert_ne!(old, new);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let (kept, copy) = (home.work("kept"), home.work("copy.ndjson"));
    fs::copy(home.ledger().join("checkpoint"), &kept).unwrap();
    let text = fs::read_to_string(home.ledger_file()).unwrap();
    let cut: String = text.split_inclusive('\n').take(3).collect();
    fs::write(&copy, cut).unwrap();
    let both = home.work("both");
    fs::write(&both, format!("{old}\n{new}\n")).unwrap();
    let verify = |trust: &str| {
        let (copy, kept) = (copy.to_str().unwrap(), kept.to_str().unwrap());
        home.does(&["ledger", "verify", copy, "--since", kept, "--trust", trust])
    };
    let verified = verify(&old);
    assert_eq!(verified.code(), 2, "{}", verified.text());
    let text = verified.text();
    for part in
        ["NOT CHECKED: a checkpoint of more lines", "is NOT confirmed: it is of 5 lines", "hint: "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let verified = verify(both.to_str().unwrap());
    assert_eq!(verified.code(), 3, "{}", verified.text());
}

/// The same key signed for a history that this ledger is not: the lines are all in order.
#[test]
fn a_signed_checkpoint_of_another_history_in_the_log_is_exit_code_3() {
    let home = signed();
    let copy = home.path("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["ledger.ndjson", "checkpoint", "signer.state", "checkpoints.log"] {
        fs::copy(home.ledger().join(name), copy.join(name)).unwrap();
    }
    home.record(&["--", "true"]);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let there = home.does(&["run", "--ledger", copy.to_str().unwrap(), "--", "true"]);
    assert_eq!(there.code(), 0, "{}", there.stderr);
    assert_eq!(home.does(&["ledger", "checkpoint", copy.to_str().unwrap()]).code(), 0);
    let log = home.ledger().join("checkpoints.log");
    let both = [fs::read(&log).unwrap(), fs::read(copy.join("checkpoints.log")).unwrap()].concat();
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
    fs::write(&log, both).unwrap();
    let forked = home.does(&["ledger", "verify"]);
    assert_eq!(forked.code(), 3, "{}", forked.text());
    assert!(forked.text().contains("checkpoints.log is NOT confirmed"), "{}", forked.text());
}

#[test]
fn a_kept_checkpoint_of_another_ledger_is_named_with_both_ledgers() {
    let home = signed();
    assert_eq!(home.does(&["ledger", "init", "other"]).code(), 0);
    assert_eq!(home.does(&["ledger", "checkpoint", "other"]).code(), 0);
    let done = home.does(&["ledger", "verify", "--since", "other/checkpoint"]);
    assert_eq!(done.code(), 2, "{}", done.text());
    let id = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        line["ledger_id"].as_str().unwrap().to_owned()
    };
    for id in [id(home.ledger_file()), id(home.work("other/ledger.ndjson"))] {
        assert!(done.stderr.contains(&id), "{id}: {}", done.stderr);
    }
    assert!(done.stderr.contains("hint:"), "{}", done.stderr);
}
