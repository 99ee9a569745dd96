//! A verdict survives its output: a reader that goes, a full disk, no output at all never change an exit code that
//! means something.

use std::fs::{self, File, OpenOptions};
use std::process::Stdio;

use crate::home::{Home, done};

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
