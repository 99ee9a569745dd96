//! A ledger in segments as a user meets it: sealed by command or by size, and read as one.

use std::fs;

use carbon_ops::ledger::append::{Ledger, WriterOptions};
use carbon_ops::ledger::keys::{Trust, load_secret};
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::proof::canonical::Object;
use serde_json::Value;

use crate::home::{Home, done};

#[test]
fn a_ledger_is_sealed_by_command_and_every_command_reads_it_as_one() {
    let home = Home::new();
    home.record(&["--", "true"]);
    home.record(&["--", "true"]);
    let sealed = home.does(&["ledger", "seal"]);
    assert_eq!(sealed.code(), 0, "{}", sealed.stderr);
    let segment = home.ledger().join("seg/0000000000-0000000002.ndjson");
    assert_eq!(sealed.text(), format!("sealed {}\n", segment.display()));
    assert_eq!(fs::read(home.ledger_file()).unwrap(), b"");
    let again = home.does(&["ledger", "seal"]);
    assert_eq!((again.code(), again.text().starts_with("nothing was appended")), (0, true));
    home.record(&["--", "true"]);
    assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
    let verified = home.does(&["ledger", "verify"]);
    assert_eq!(verified.code(), 0, "{}", verified.text());
    assert!(verified.text().contains("3 records in 4 lines"), "{}", verified.text());
    assert_eq!(home.does(&["ledger", "show"]).text().lines().count(), 1 + 4);
    let proof = home.work("proof");
    let proven = home.does(&["ledger", "prove", "1", "--out", proof.to_str().unwrap()]);
    assert_eq!(proven.code(), 0, "{}", proven.stderr);
    assert_eq!(home.does(&["ledger", "check-proof", proof.to_str().unwrap()]).code(), 0);
    assert_eq!(home.does(&["ledger", "consistency", "2", "4"]).code(), 0);

    fs::rename(&segment, home.work("taken")).unwrap();
    let verified = home.does(&["ledger", "verify", "--json"]);
    let report: Value = serde_json::from_str(&verified.text()).unwrap();
    assert_eq!((verified.code(), &report["status"]), (1, &"tampered".into()));
    assert_eq!(report["first_fault"]["code"], "segment");
    let reason = "the segment of the lines with seq 0 to 2 is missing before ledger.ndjson";
    assert_eq!(report["first_fault"]["reason"], reason);
    let before = fs::read(home.ledger_file()).unwrap();
    assert_eq!(home.does(&["run", "--", "true"]).code(), 0);
    assert_eq!(fs::read(home.ledger_file()).unwrap(), before);
}

#[test]
fn a_run_seals_what_has_grown_beyond_the_limit() {
    let home = Home::new();
    let run = |limit: &str| {
        let mut command = home.carbon_ops(&["run", "--", "true"]);
        done(command.env("CARBON_OPS_SEGMENT_BYTES", limit))
    };
    assert_eq!(run("1048576").code(), 0);
    assert!(!home.ledger().join("seg").exists());
    let small = run("1000");
    assert_eq!(small.code(), 125);
    assert!(
        small.stderr.contains("too few for a segment; 1048576 are the least"),
        "{}",
        small.stderr
    );
    // Records are small and the least limit is not: entries of another program fill the file.
    fill(&home);
    assert!(home.ledger_file().metadata().unwrap().len() > 1 << 20);
    assert_eq!(run("1048576").code(), 0);
    assert!(home.ledger().join("seg/0000000000-0000000020.ndjson").exists());
    assert_eq!(run("1048576").code(), 0);
    assert_eq!(home.lines().len(), 1);
    assert_eq!(home.does(&["ledger", "verify"]).code(), 0);
}

/// Appends eighteen entries of 60 kB.
fn fill(home: &Home) {
    let key = load_secret(&home.key()).unwrap();
    let (now, tool) = ("2026-11-23T09:00:00Z".parse().unwrap(), "test 1".to_owned());
    let options = WriterOptions { tool, patience: std::time::Duration::from_secs(1) };
    let (storage, trust) = (DirStorage::new(home.ledger()), Trust::from_iter([key.public_key()]));
    let mut ledger = Ledger::open_for_append(storage, &key, &trust, now, options).unwrap();
    for _ in 0..18 {
        let members = [("kind", "filler".into()), ("pad", "x".repeat(60_000).into())];
        ledger.append(Object::from_members(members).unwrap(), now).unwrap();
    }
}
