//! Records about records, and changes of keys, as a user makes them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::home::{Done, Home, done, lines};
use carbon_ops_testkit::skip::skip;

fn with_records(count: usize) -> Home {
    let home = Home::new();
    for number in 0..count {
        home.record(&["--label", &format!("n={number}"), "--", "true"]);
    }
    home
}

fn succeeds(home: &Home, arguments: &[&str]) -> String {
    let done = home.does(arguments);
    assert_eq!(done.code(), 0, "{arguments:?}: {}", done.stderr);
    done.text()
}

fn report(home: &Home) -> Value {
    let done = home.does(&["ledger", "verify", "--json"]);
    serde_json::from_slice(&done.stdout).unwrap()
}

fn public_key(home: &Home) -> String {
    let shown: Value = serde_json::from_str(&succeeds(home, &["keys", "show", "--json"])).unwrap();
    shown["public_key"].as_str().unwrap().to_owned()
}

fn with_passphrase(home: &Home, arguments: &[&str]) -> Done {
    let file = home.path("passphrase");
    done(home.carbon_ops(arguments).env("CARBON_OPS_KEY_PASSPHRASE_FILE", file))
}

#[test]
fn a_record_is_corrected_retracted_and_restated_and_show_marks_it() {
    let home = with_records(3);
    let json = succeeds(&home, &["ledger", "show", "--last", "1", "--json"]);
    let edited = json.replace("\"n\":\"2\"", "\"n\":\"two\"");
    assert_ne!(edited, json);
    fs::write(home.work("two.json"), &edited).unwrap();
    let corrected = ["ledger", "correct", "3", "--reason", "metadata", "--replacement", "two.json"];
    assert_eq!(succeeds(&home, &corrected), "entry 4 corrects entry 3\n");
    succeeds(&home, &["ledger", "correct", "1", "--reason", "not_real", "--retract"]);
    let restated = [
        "ledger",
        "restate",
        "--records",
        "1-3",
        "--reason",
        "factor_improvement",
        "--change",
        "intensity",
        "owid-2023",
        "owid-2024",
        "--total",
        "grams",
        "1.5",
        "1.25",
        "--period",
        "2026-01-01T00:00:00Z",
        "2026-07-01T00:00:00Z",
    ];
    assert_eq!(succeeds(&home, &restated), "entry 6 restates the entries 1 to 3\n");
    let shown = succeeds(&home, &["ledger", "show"]);
    let mark = |line| Some(str::split_once(line, "  [")?.1.split_once(']')?.0);
    let marks: Vec<&str> = shown.lines().map(|line| mark(line).unwrap_or_default()).collect();
    assert_eq!(marks[2..5], ["retracted by #5", "restated by #6", "corrected by #4"], "{shown}");
    let report = report(&home);
    assert_eq!((&report["status"], &report["corrections"]), (&"valid".into(), &2.into()));
    let restatement = &lines(&home.ledger_file())[6];
    assert_eq!(restatement["totals"]["grams"]["before"], 1.5);
    assert_eq!(restatement["period"]["from_ts"], "2026-01-01T00:00:00.000000Z");
    let text = succeeds(&home, &["ledger", "verify"]);
    assert!(text.contains("3 records in 7 lines") && text.contains("2 corrections"), "{text}");
}

#[test]
fn what_verify_would_refuse_is_not_written() {
    let home = with_records(1);
    let before = fs::read(home.ledger_file()).unwrap();
    let json = succeeds(&home, &["ledger", "show", "--last", "1", "--json"]);
    fs::write(home.work("bad.json"), json.replace("\"grams\":", "\"grams\":1")).unwrap();
    for arguments in [
        &["ledger", "correct", "1", "--reason", "factor", "--replacement", "bad.json"][..],
        &["ledger", "correct", "1", "--reason", "other", "--retract"],
        &["ledger", "correct", "7", "--reason", "factor", "--retract"],
        &["ledger", "correct", "0", "--reason", "factor", "--retract"],
        &["ledger", "correct", "1", "--reason", "because", "--retract"],
        &["ledger", "correct", "1", "--reason", "factor"],
        &["ledger", "heartbeat", "--interval", "745h"],
        &["ledger", "heartbeat", "--interval", "1500ms"],
        &[
            "ledger",
            "gap",
            "--from",
            "2026-01-02T00:00:00Z",
            "--to",
            "2026-01-01T00:00:00Z",
            "--reason",
            "host_off",
        ],
        &[
            "ledger",
            "gap",
            "--from",
            "2026-01-02T00:00:00Z",
            "--to",
            "9000-01-01T00:00:00Z",
            "--reason",
            "host_off",
        ],
    ] {
        let refused = home.does(arguments);
        assert_eq!(refused.code(), 2, "{arguments:?}: {}", refused.text());
    }
    assert_eq!(fs::read(home.ledger_file()).unwrap(), before);
}

#[test]
fn heartbeats_and_gaps_are_written_and_verify_tells_what_is_due() {
    let home = with_records(1);
    let told = succeeds(&home, &["ledger", "heartbeat", "--interval", "744h"]);
    assert!(told.starts_with("entry 2: the next one is due by "), "{told}");
    let gap = [
        "ledger",
        "gap",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
        "--reason",
        "maintenance",
        "--domain",
        "package-0",
        "--domain",
        "dram-0",
        "--bound-uj",
        "5",
    ];
    succeeds(&home, &gap);
    let report = report(&home);
    assert_eq!((&report["status"], &report["heartbeats"]), (&"valid".into(), &1.into()));
    assert_eq!(report["gaps"][0]["domains"], serde_json::json!(["dram-0", "package-0"]));
    assert_eq!(report["due"]["interval_s"], 31 * 86_400);
    let text = succeeds(&home, &["ledger", "verify"]);
    assert!(text.contains("the next entry is due by "), "{text}");
    succeeds(&home, &["ledger", "heartbeat", "--interval", "0s"]);
    assert!(!succeeds(&home, &["ledger", "verify"]).contains("next entry"));
}

#[test]
fn a_new_key_takes_over_and_the_old_one_stays_trusted_and_kept() {
    let home = with_records(1);
    let old = public_key(&home);
    let told = succeeds(&home, &["keys", "rotate"]);
    let new = public_key(&home);
    assert!(old != new && told.contains(&new), "{told}");
    let kept = home.key().with_file_name(format!("{}.pem", &old[..16]));
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    home.record(&["--", "true"]);
    let report = report(&home);
    assert_eq!((&report["status"], &report["rotations"]), (&"valid".into(), &1.into()));
    assert_eq!(report["keys"][0]["retired_seq"], 2);
    assert_eq!(report["keys"][1]["public_key"], new);
    // The old key writes no more, and the message says what to do.
    let refused = done(home.carbon_ops(&["run", "--", "true"]).env("CARBON_OPS_KEY", &kept));
    assert!(refused.stderr.contains("may not write"), "{}", refused.stderr);
    assert_eq!(lines(&home.ledger_file()).len(), 4);
}

/// Each interruption is made by hand: the state that a crash between two steps leaves.
#[test]
fn an_interrupted_change_of_keys_goes_on_where_it_stopped() {
    let home = with_records(1);
    let old = fs::read(home.key()).unwrap();
    // After the first step: the next key is there and nothing knows of it.
    let next = home.key().with_file_name("next.pem");
    succeeds(&home, &["keys", "generate", next.to_str().unwrap()]);
    let staged = fs::read(&next).unwrap();
    home.record(&["--", "true"]);
    succeeds(&home, &["keys", "rotate"]);
    assert_eq!(fs::read(home.key()).unwrap(), staged);
    assert!(!next.exists());
    // After the second: the ledger knows the next key, and the default key is still the old one.
    fs::rename(home.key(), &next).unwrap();
    fs::write(home.key(), &old).unwrap();
    fs::set_permissions(home.key(), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = home.does(&["run", "--", "true"]);
    assert!(refused.stderr.contains("run `carbon-ops keys rotate` again"), "{}", refused.stderr);
    let before = lines(&home.ledger_file()).len();
    succeeds(&home, &["keys", "rotate"]);
    assert_eq!(fs::read(home.key()).unwrap(), staged);
    // No second rotation; the record that could not be written before is there.
    assert_eq!(lines(&home.ledger_file()).len(), before + 1);
    home.record(&["--", "true"]);
    assert_eq!(report(&home)["status"], "valid");
}

#[test]
fn a_ledger_that_was_left_out_gets_the_default_key_from_an_older_one() {
    let home = with_records(1);
    succeeds(&home, &["ledger", "init", "second"]);
    succeeds(&home, &["keys", "rotate"]);
    let new = public_key(&home);
    let refused = home.does(&["run", "--ledger", "second", "--", "true"]);
    assert!(refused.stderr.contains("may not write"), "{}", refused.stderr);
    succeeds(&home, &["keys", "rotate", "second"]);
    assert_eq!(public_key(&home), new);
    succeeds(&home, &["run", "--ledger", "second", "--", "true"]);
    let verified = succeeds(&home, &["ledger", "verify", "second"]);
    assert!(verified.contains("VALID"), "{verified}");
}

#[test]
fn a_destroyed_key_is_gone_and_still_trusted() {
    let home = with_records(1);
    let old = public_key(&home);
    succeeds(&home, &["keys", "rotate", "--destroy-old"]);
    let names: Vec<_> = fs::read_dir(home.key().parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1);
    let listed = succeeds(&home, &["keys", "trust", "--list"]);
    assert!(listed.lines().next().unwrap().starts_with(&old), "{listed}");
    home.record(&["--", "true"]);
    assert_eq!(report(&home)["status"], "valid");
}

#[test]
fn a_second_host_joins_by_its_proof_and_both_write() {
    let (here, there) = (with_records(1), Home::new());
    let ledger = here.ledger();
    let ledger = ledger.to_str().unwrap();
    succeeds(&there, &["keys", "generate"]);
    let untrusted = there.does(&["keys", "prove", ledger]);
    assert!(
        untrusted.code() == 2 && untrusted.stderr.contains("keys trust"),
        "{}",
        untrusted.stderr
    );
    succeeds(&there, &["keys", "trust", &public_key(&here), "--comment", "build server"]);
    let proof = succeeds(&there, &["keys", "prove", ledger]);
    // Something was appended in between: this proof is for another place.
    here.record(&["--", "true"]);
    let late = here.does(&["keys", "rotate", "--add", proof.trim()]);
    assert!(late.code() == 2 && late.stderr.contains("did not sign"), "{}", late.stderr);
    let proof = succeeds(&there, &["keys", "prove", ledger]);
    succeeds(&here, &["keys", "rotate", "--add", proof.trim(), "--reason", "writer_added"]);
    succeeds(&there, &["run", "--ledger", ledger, "--", "true"]);
    here.record(&["--", "true"]);
    let report = report(&here);
    assert_eq!((&report["status"], &report["entries"]), (&"valid".into(), &6.into()));
    // And leaves again, with what it wrote under suspicion.
    let leaves = public_key(&there);
    let compromised = [
        "keys",
        "rotate",
        "--retire",
        &leaves,
        "--reason",
        "key_compromise",
        "--compromised-since",
        "4",
    ];
    succeeds(&here, &compromised);
    let verified = succeeds(&here, &["ledger", "verify"]);
    assert!(verified.contains("1 entry from 4 on by") && verified.contains("VALID"), "{verified}");
}

#[test]
fn trusted_keys_are_listed_added_and_removed() {
    let (home, other) = (Home::new(), Home::new());
    succeeds(&other, &["keys", "generate"]);
    let key = public_key(&other);
    succeeds(&home, &["keys", "trust", &key, "--comment", "a colleague"]);
    assert!(succeeds(&home, &["keys", "trust", "--list"]).contains("a colleague"));
    succeeds(&home, &["keys", "trust", "--remove", &key]);
    assert_eq!(succeeds(&home, &["keys", "trust", "--list"]), "");
    assert_eq!(home.does(&["keys", "trust", "--remove", &key]).code(), 2);
}

#[test]
fn a_key_under_a_passphrase_signs_with_it_and_verifies_without() {
    let home = Home::new();
    fs::write(home.path("passphrase"), "correct horse\n").unwrap();
    let made = with_passphrase(&home, &["keys", "generate"]);
    assert_eq!(made.code(), 0, "{}", made.stderr);
    let pem = fs::read_to_string(home.key()).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    let shown = succeeds(&home, &["keys", "show"]);
    assert!(
        shown.contains("encrypted    yes; this is what the file .pub beside it says"),
        "{shown}"
    );
    let opened = with_passphrase(&home, &["keys", "show"]);
    assert!(opened.text().contains("the passphrase opens it"), "{}", opened.text());
    assert_eq!(with_passphrase(&home, &["ledger", "init"]).code(), 0);
    let without = home.does(&["run", "--", "true"]);
    assert!(without.stderr.contains("CARBON_OPS_KEY_PASSPHRASE_FILE"), "{}", without.stderr);
    assert_eq!(with_passphrase(&home, &["run", "--", "true"]).code(), 0);
    assert_eq!(report(&home)["status"], "valid");
    // A change of keys keeps the passphrase.
    assert_eq!(with_passphrase(&home, &["keys", "rotate"]).code(), 0);
    assert_eq!(with_passphrase(&home, &["run", "--", "true"]).code(), 0);
    assert_eq!(report(&home)["status"], "valid");
    fs::write(home.path("passphrase"), "battery staple\n").unwrap();
    let wrong = with_passphrase(&home, &["keys", "show"]);
    assert!(wrong.code() == 2 && wrong.stderr.contains("passphrase"), "{}", wrong.stderr);
}

#[test]
fn openssl_reads_a_key_that_we_encrypted() {
    let home = Home::new();
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("openssl", "there is no openssl");
    }
    fs::write(home.path("passphrase"), "correct horse\n").unwrap();
    assert_eq!(with_passphrase(&home, &["keys", "generate"]).code(), 0);
    let passphrase = format!("file:{}", home.path("passphrase").display());
    let read = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER", "-passin", &passphrase, "-in"])
        .arg(home.key())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let hex = read.stdout[12..].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(hex, public_key(&home));
}
