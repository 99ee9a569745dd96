//! The verifier from outside: what it answers to files that were frozen.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The key of the frozen ledgers.
const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers/v1").join(name)
}

fn verify(file: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carbon-ops-verify")).arg(file).args(flags).output().unwrap()
}

fn code_and_words(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn each_kind_of_file_has_the_answer_of_the_command() {
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("basic.ndjson", &["--trust", KEY], 0, "VALID\n"),
        ("basic.ndjson", &[], 2, "not trusted"),
        ("records.ndjson", &["--trust", KEY, "--recompute"], 0, "VALID\n"),
        ("measured.ndjson", &["--trust", KEY], 0, "VALID\n"),
        ("rotated.ndjson", &["--trust", KEY], 0, "VALID\n"),
        ("torn.ndjson", &["--trust", KEY], 4, "TORN"),
        ("basic-2.tlog-proof", &["--trust", KEY], 0, "PROVEN"),
        ("basic-2.tlog-proof", &[], 2, "NOT CHECKED"),
        ("no-such-file", &[], 2, "cannot read"),
    ];
    for (name, flags, code, says) in cases {
        let (found, words) = code_and_words(&verify(&frozen(name), flags));
        assert_eq!(found, code, "{name} {flags:?}: {words}");
        assert!(words.contains(says), "{name} {flags:?}: {words}");
    }
}

#[test]
fn a_changed_byte_is_found_in_a_ledger_and_in_a_proof() {
    let room = tempfile::tempdir().unwrap();
    for (name, at) in [("basic.ndjson", 1500), ("basic-2.tlog-proof", 300)] {
        let mut bytes = fs::read(frozen(name)).unwrap();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        let file = room.path().join(name);
        fs::write(&file, bytes).unwrap();
        let (code, words) = code_and_words(&verify(&file, &["--trust", KEY]));
        assert_eq!(code, 1, "{name}: {words}");
    }
}

#[test]
fn a_ledger_that_does_not_extend_what_was_kept_was_cut_off() {
    let room = tempfile::tempdir().unwrap();
    let kept = frozen("basic.checkpoint");
    let flags = ["--trust", KEY, "--since", kept.to_str().unwrap()];
    assert_eq!(verify(&frozen("basic.ndjson"), &flags).status.code(), Some(0));
    let text = fs::read_to_string(frozen("basic.ndjson")).unwrap();
    let cut = room.path().join("cut.ndjson");
    fs::write(&cut, text.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    let (code, words) = code_and_words(&verify(&cut, &flags));
    assert_eq!(code, 3, "{words}");
    let (code, words) = code_and_words(&verify(&frozen("basic-2.tlog-proof"), &flags));
    assert!(code == 2 && words.contains("a ledger, not a pack"), "{words}");
}

#[test]
fn the_report_is_json_and_a_folder_is_none_of_its_files() {
    let output = verify(&frozen("basic.ndjson"), &["--trust", KEY, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.get("status").and_then(serde_json::Value::as_str), Some("valid"));
    let (code, words) = code_and_words(&verify(&frozen(""), &[]));
    assert!(code == 2 && words.contains("audit pack"), "{words}");
    let (code, words) = code_and_words(&verify(&frozen("basic.ndjson"), &["--trust", "me"]));
    assert!(code == 2 && !words.contains("os error"), "{words}");
}

/// What is no ledger accuses nobody, whatever is in it.
#[test]
fn what_is_no_ledger_was_not_tampered_with() {
    let room = tempfile::tempdir().unwrap();
    let old = r#"{"co2":1,"signature":"x","signature_algorithm":"ed25519","signing_key":"y"}"#;
    let files: [(&[u8], &str); 5] = [
        (b"", "NOT A LEDGER"),
        (b"hello\n", "NOT A LEDGER"),
        (b"\0\xff\n\r", "NOT A LEDGER"),
        (b"{\"a\":1}\n[package]\n", "NOT A LEDGER"),
        (old.as_bytes(), "a ledger of version 0.1"),
    ];
    for (bytes, why) in files {
        let file = room.path().join("file");
        fs::write(&file, bytes).unwrap();
        let (code, words) = code_and_words(&verify(&file, &[]));
        assert!(code == 2 && words.contains(why), "{bytes:?}: {code} {words}");
    }
}
