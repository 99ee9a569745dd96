//! A verdict survives its output: a reader that goes, a full disk, no output at all never change an exit code that
//! means something.

use std::fs::{self, File, OpenOptions};
use std::process::Stdio;

use carbon_ops::ledger::append::{Ledger, WriterOptions};
use carbon_ops::ledger::keys::{Trust, load_secret};
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::proof::canonical::{Object, Value};

use crate::home::{Home, built, done};

/// A ledger, a pack and a proof, whole and with a changed byte, and the exit code of each question.
fn questions(home: &Home) -> Vec<(Vec<String>, i32)> {
    for _ in 0..3 {
        home.record(&["--", "true"]);
    }
    let told = home.does(&["ledger", "checkpoint"]);
    assert_eq!(told.code(), 0, "{}", told.stderr);
    let [pack, proof] = ["pack", "proof"].map(|name| home.work(name).display().to_string());
    let ledger = home.ledger().display().to_string();
    assert_eq!(home.does(&["ledger", "audit-pack", &ledger, "--out", &pack]).code(), 0);
    assert_eq!(home.does(&["ledger", "prove", "1", "--out", &proof]).code(), 0);
    let bad = |name: &str, of: &str| {
        let text = fs::read_to_string(of).unwrap();
        let path = home.work(name);
        let other = text.replace("\"program\":\"true\"", "\"program\":\"trve\"");
        let other = other.replace("index 1", "index 2");
        assert_ne!(other, text);
        fs::write(&path, other).unwrap();
        path.display().to_string()
    };
    let lines = home.ledger_file().display().to_string();
    let (bad_ledger, bad_pack) = (bad("bad.ndjson", &lines), bad("bad.pack", &pack));
    let bad_proof = bad("bad.proof", &proof);
    let of = |words: &[&str], code| (words.iter().map(|word| (*word).to_owned()).collect(), code);
    vec![
        of(&["ledger", "verify"], 0),
        of(&["ledger", "verify", &bad_ledger], 1),
        of(&["ledger", "verify", "--json", &bad_ledger], 1),
        of(&["ledger", "verify-pack", &pack], 0),
        of(&["ledger", "verify-pack", &bad_pack], 1),
        of(&["ledger", "check-proof", &proof], 0),
        of(&["ledger", "check-proof", &bad_proof], 1),
    ]
}

#[test]
fn no_fate_of_the_output_changes_a_verdict() {
    let home = Home::new();
    for (words, code) in questions(&home) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(home.does(&words).code(), code, "{words:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = done(home.carbon_ops(&words).stdout(writer));
        assert_eq!((gone.code(), &*gone.stderr), (code, ""), "{words:?} into a closed pipe");
        let full: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = done(home.carbon_ops(&words).stdout(full));
        assert_eq!(full.code(), code, "{words:?} onto a full disk");
        assert!(full.stderr.contains("cannot write the output"), "{words:?}: {}", full.stderr);
        let none = done(home.carbon_ops(&words).stdout(Stdio::null()));
        assert_eq!(none.code(), code, "{words:?} into nothing");
    }
}

/// What has no other answer than its output has failed without it.
#[test]
fn lost_output_of_what_is_no_question_is_a_failure() {
    let home = Home::new();
    home.record(&["--", "true"]);
    for words in [&["schema"][..], &["ledger", "show"], &["config", "show"], &["zones"]] {
        let full: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told = done(home.carbon_ops(words).stdout(full));
        assert_eq!(told.code(), 2, "{words:?}");
        assert!(told.stderr.contains("cannot write the output"), "{words:?}: {}", told.stderr);
    }
}

/// Signs an entry whatever is in it, as whoever holds the key can.
fn sign(home: &Home, payload: Object) {
    let key = load_secret(&home.key()).unwrap();
    let (now, tool) = ("2026-11-23T09:00:00Z".parse().unwrap(), "test 1".to_owned());
    let options = WriterOptions { tool, patience: std::time::Duration::from_secs(60) };
    let (storage, trust) = (DirStorage::new(home.ledger()), Trust::from_iter([key.public_key()]));
    let mut ledger = Ledger::open_for_append(storage, &key, &trust, now, options).unwrap();
    ledger.append(payload, now).unwrap();
}

/// The last record of a ledger, with members changed, as a payload.
fn like_the_last(home: &Home, members: &[(&str, Value)]) -> Object {
    let record = home.records().pop().unwrap();
    let Value::Object(mut payload) = Value::try_from(record).unwrap() else { panic!("no object") };
    for name in carbon_ops::proof::entry::RESERVED_MEMBERS {
        payload.remove(name);
    }
    for (name, value) in members {
        payload.insert(*name, value.clone());
    }
    payload
}

/// A last entry, made of the one before.
type Made<'m> = Option<&'m dyn Fn(&Home) -> Object>;

/// Rule: the verifier for strangers gives the answer of the command, to a ledger, a pack and a proof.
#[test]
fn the_verifier_for_strangers_has_the_same_answers() {
    let verifier = built("carbon-ops-verify", "carbon-ops-verify");
    let other = |home: &Home| like_the_last(home, &[("kind", "other".into())]);
    let newer = |home: &Home| like_the_last(home, &[("schema_version", 9.into())]);
    let invalid = |home: &Home| like_the_last(home, &[("region", 1.into())]);
    let cases: [(Made<'_>, u8); 4] =
        [(None, 0), (Some(&other), 0), (Some(&newer), 2), (Some(&invalid), 1)];
    for (number, (made, code)) in cases.into_iter().enumerate() {
        let home = Home::new();
        home.record(&["--", "true"]);
        if let Some(made) = made {
            sign(&home, made(&home));
        }
        let last = if made.is_some() { "2" } else { "1" };
        assert_eq!(home.does(&["ledger", "checkpoint"]).code(), 0);
        let [pack, proof] = ["pack", "proof"].map(|name| home.work(name).display().to_string());
        let ledger = home.ledger_file().display().to_string();
        assert_eq!(home.does(&["ledger", "audit-pack", &ledger, "--out", &pack]).code(), 0);
        assert_eq!(home.does(&["ledger", "prove", last, "--out", &proof]).code(), 0);
        let key = load_secret(&home.key()).unwrap().public_key().to_hex();
        for (verb, file) in [("verify", ledger), ("verify-pack", pack), ("check-proof", proof)] {
            for trust in [Some(&key), None] {
                let flags: Vec<&str> = trust.map_or(vec![], |key| vec!["--trust", key]);
                let stranger = Home::new();
                let command = stranger.does(&[&["ledger", verb, &file][..], &flags].concat());
                let small = done(stranger.program(&verifier).arg(&file).args(&flags));
                let told =
                    || format!("{number} {verb} {flags:?}: {}{}", command.text(), small.text());
                assert_eq!(command.code(), small.code(), "{}", told());
                if trust.is_some() {
                    assert_eq!(command.code(), i32::from(code), "{}", told());
                }
                // Without the key nobody says that all is well.
                assert!(trust.is_some() || command.code() != 0, "{}", told());
                let words = small.text().lines().next().unwrap().to_owned();
                assert!(command.text().contains(&words), "{}", told());
            }
        }
    }
}
