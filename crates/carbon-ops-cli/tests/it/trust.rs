//! One rule of trust for every command that reads what somebody signed, also after a change of keys; and what
//! is no ledger is called that.

use std::fs;

use serde_json::Value;

use crate::home::{Done, Home};

fn key(home: &Home) -> (String, String) {
    let shown: Value =
        serde_json::from_slice(&home.does(&["keys", "show", "--json"]).stdout).unwrap();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    (text("public_key"), text("fingerprint"))
}

/// A ledger whose key was changed after its first record, with a checkpoint, a proof and packs; the old key
/// and the new one.
fn rotated() -> (Home, [(String, String); 2]) {
    let home = Home::new();
    let record = ["--region", "DE", "--", "true"];
    home.record(&record);
    let old = key(&home);
    assert_eq!(home.does(&["keys", "rotate"]).code(), 0);
    home.record(&record);
    let steps: [&[&str]; 4] = [
        &["ledger", "checkpoint"],
        &["ledger", "prove", "@3", "--out", "3.tlog-proof"],
        &["ledger", "audit-pack", "--out", "all.pack"],
        &["ledger", "audit-pack", "--records", "3", "--out", "3.pack"],
    ];
    for step in steps {
        let done = home.does(step);
        assert_eq!(done.code(), 0, "{step:?}: {}", done.stderr);
    }
    fs::copy(home.ledger().join("checkpoint"), home.work("kept")).unwrap();
    let new = key(&home);
    (home, [old, new])
}

/// What each command says to somebody who has no key of their own.
fn verdicts(home: &Home, trust: &str) -> [Done; 6] {
    let auditor = Home::new();
    let file = |name: &str| home.work(name).to_str().unwrap().to_owned();
    let ledger = home.ledger().to_str().unwrap().to_owned();
    let (proof, all, some) = (file("3.tlog-proof"), file("all.pack"), file("3.pack"));
    let kept = file("kept");
    [
        auditor.does(&["ledger", "verify", &ledger, "--trust", trust]),
        auditor.does(&["ledger", "check-proof", &proof, "--trust", trust]),
        auditor.does(&["ledger", "verify-pack", &all, "--trust", trust]),
        auditor.does(&["ledger", "verify-pack", &some, "--trust", trust]),
        auditor.does(&["ledger", "consistency", "1", &kept, &ledger, "--trust", trust]),
        auditor.does(&["aggregate", &ledger, "--trust", trust]),
    ]
}

#[test]
fn the_key_that_began_a_ledger_is_enough_for_every_command_by_any_name_and_a_later_one_is_not() {
    let (home, [(hex, fingerprint), (new, new_fingerprint)]) = rotated();
    let list = home.work("trusted");
    fs::write(&list, format!("{fingerprint} the build server\n")).unwrap();
    for name in [&hex, &hex.to_uppercase(), &fingerprint, list.to_str().unwrap()] {
        for done in verdicts(&home, name) {
            assert_eq!(done.code(), 0, "{name}: {} {}", done.text(), done.stderr);
        }
    }
    let [ledger, proof, ..] = verdicts(&home, &fingerprint);
    let through = format!("signed by {new_fingerprint} (trusted through the rotation at 2)");
    let words: Vec<_> = ledger.text().split_whitespace().map(str::to_owned).collect();
    assert!(words.join(" ").contains(&through), "{}", ledger.text());
    assert!(proof.text().contains(&format!("trusted through {fingerprint}")), "{}", proof.text());
    for name in [&new, &new_fingerprint] {
        let [ledger, _, all, some, ..] = verdicts(&home, name);
        for done in [ledger, all, some] {
            let text = done.text();
            assert!(done.code() == 2 && text.contains("NOT CHECKED"), "{text}");
            assert!(
                text.contains(&fingerprint) && text.contains(&format!("--trust {hex}")),
                "{text}"
            );
        }
    }
}

#[test]
fn who_trusts_nobody_is_told_whom_to_ask_for() {
    let (home, [(hex, fingerprint), _]) = rotated();
    let stranger = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let all = verdicts(&home, stranger);
    for done in &all {
        assert_eq!(done.code(), 2, "{} {}", done.text(), done.stderr);
    }
    for done in &all[..4] {
        let text = done.text();
        assert!(text.contains(&fingerprint) && text.contains(&hex), "{text}");
    }
    let no_key = Home::new().does(&["ledger", "verify", "--trust", &stranger[..40]]);
    assert_eq!(no_key.code(), 2);
    assert!(no_key.stderr.contains("43 characters"), "{}", no_key.stderr);
    // The environment is as good as the option, also without a home.
    let mut command = home.carbon_ops(&["ledger", "verify", home.ledger().to_str().unwrap()]);
    command.env_remove("HOME").env_remove("XDG_DATA_HOME").env("CARBON_OPS_TRUST", fingerprint);
    let done = crate::home::done(&mut command);
    assert_eq!(done.code(), 0, "{} {}", done.text(), done.stderr);
}

#[test]
fn a_file_that_is_no_ledger_is_called_that_and_accused_of_nothing() {
    let home = Home::new();
    let refused = |arguments: &[&str]| {
        let done = home.does(arguments);
        assert_eq!(done.code(), 2, "{}", done.text());
        assert!(done.text().is_empty(), "{}", done.text());
        assert!(done.stderr.contains("NOT A LEDGER"), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 2, "{}", done.stderr);
        done.stderr
    };
    for (name, text) in [
        ("passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:1:1::/:/bin/false\n"),
        ("list.csv", "timestamp,region,value\n2026-01-01T00:00Z,DE,263\n"),
        ("one.json", "{\"a\":1}\n"),
        ("zeros", "\0\0\0\0"),
    ] {
        fs::write(home.work(name), text).unwrap();
        refused(&["ledger", "verify", name]);
        refused(&["ledger", "show", name]);
    }
    let (home, _) = rotated();
    for (name, command) in [("all.pack", "verify-pack"), ("3.tlog-proof", "check-proof")] {
        let done = home.does(&["ledger", "verify", name]);
        assert!(done.code() == 2 && done.stderr.contains(command), "{}", done.stderr);
    }
    // Where a checkpoint says that there was a ledger, the file is held against that; and a damaged ledger
    // stays one.
    let file = fs::read_to_string(home.ledger_file()).unwrap();
    fs::write(home.ledger_file(), "gone\n").unwrap();
    assert_eq!(home.does(&["ledger", "verify"]).code(), 1);
    fs::write(home.work("damaged"), file.replacen('{', "[", 1)).unwrap();
    let done = home.does(&["ledger", "verify", "damaged"]);
    assert!(done.code() == 1 && done.text().contains("TAMPERED WITH"), "{}", done.text());
}

#[test]
fn a_document_that_the_package_signed_is_verified_alone_and_said_to_have_no_chain() {
    let frozen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/0.1/audit.ndjson");
    let lines = fs::read_to_string(frozen).unwrap();
    let (first, second) = (lines.lines().next().unwrap(), lines.lines().nth(1).unwrap());
    let value: Value = serde_json::from_str(first).unwrap();
    let key = value["signing_key"].as_str().unwrap();
    let home = Home::new();
    fs::write(home.work("one.json"), first).unwrap();
    fs::write(home.work("laid-out.json"), first.replace(", \"", ",\n  \"")).unwrap();
    for name in ["one.json", "laid-out.json"] {
        let done = home.does(&["ledger", "verify", name, "--trust", key]);
        assert_eq!(done.code(), 0, "{}", done.text());
        assert!(
            done.text().contains("VALID") && done.text().contains("no chain"),
            "{}",
            done.text()
        );
        let unknown = home.does(&["ledger", "verify", name]);
        assert_eq!(unknown.code(), 2, "{}", unknown.text());
        assert!(unknown.text().contains(key), "{}", unknown.text());
    }
    let changed = first.replace("us-west", "us-east");
    assert_ne!(changed, first);
    fs::write(home.work("changed.json"), changed).unwrap();
    let done = home.does(&["ledger", "verify", "changed.json", "--trust", key, "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.code(), &report["status"]), (1, &"tampered".into()));
    // One that links to another is part of a ledger.
    fs::write(home.work("second"), second).unwrap();
    let done = home.does(&["ledger", "verify", "second", "--trust", key]);
    assert!(done.code() == 2 && done.stderr.contains("--profile 0.1"), "{}", done.stderr);
}

#[test]
fn a_number_is_an_entry_of_the_default_ledger_unless_there_is_a_file_of_that_name() {
    let home = Home::new();
    home.record(&["--region", "DE", "--", "true"]);
    for name in ["1", "@1"] {
        let done = home.does(&["estimate", "--recompute", name]);
        assert_eq!(done.code(), 0, "{} {}", done.text(), done.stderr);
        assert_eq!(home.does(&["label", name]).code(), 0);
        assert_eq!(
            home.does(&["ledger", "correct", name, "--reason", "not_real", "--retract"]).code(),
            0
        );
    }
    let none = home.does(&["label", "17"]);
    assert!(none.code() == 2 && none.stderr.contains("no entry 17"), "{}", none.stderr);
    fs::write(home.work("1"), "{}").unwrap();
    assert_eq!(home.does(&["label", "1"]).code(), 2);
}

/// Editors of other systems put a byte order mark first and end lines with CR LF; the last newline is easily lost.
#[test]
fn what_an_editor_does_to_small_files_changes_no_answer() {
    let (home, [(old, _), (new, fingerprint)]) = rotated();
    let log = home.does(&["ledger", "log-key"]).text();
    for (name, text) in [
        ("keys", format!("{old} of 2025\n\n# the new one\n{fingerprint}\n")),
        ("policy", format!("log {log}quorum none\n")),
        ("c.toml", "[region]\ndefault = 'FR'\n".to_owned()),
        ("c.yml", "region:\n  default: FR\n".to_owned()),
        ("c.json", "{\"region\":\n{\"default\": \"FR\"}}\n".to_owned()),
    ] {
        fs::write(home.work(name), text).unwrap();
    }
    let spans =
        ["estimate", "--energy", "1kWh", "--from", "2026-03-01", "--to", "2026-03-02", "--json"];
    let of_config = |name| [&["--config", name][..], &spans].concat();
    for (file, command) in [
        ("keys", vec!["ledger", "verify", "--trust", "keys"]),
        ("policy", vec!["ledger", "verify", "--policy", "policy"]),
        ("kept", vec!["ledger", "verify", "--since", "kept"]),
        ("kept", vec!["ledger", "consistency", "kept", "4"]),
        ("3.tlog-proof", vec!["ledger", "check-proof", "3.tlog-proof", "--trust", &old]),
        ("c.toml", of_config("c.toml")),
        ("c.yml", of_config("c.yml")),
        ("c.json", of_config("c.json")),
    ] {
        let told = |done: &Done| {
            let mut text = done.text();
            // Each record is one of its own.
            if let Ok(mut record) = serde_json::from_str::<Value>(&text) {
                record["record_id"] = Value::Null;
                text = record.to_string();
            }
            (done.code(), text, done.stderr.clone())
        };
        let before = told(&home.does(&command));
        assert_eq!(before.0, 0, "{command:?}: {before:?}");
        let text = fs::read_to_string(home.work(file)).unwrap();
        let edited = format!("\u{feff}{}", text.trim_end_matches('\n').replace('\n', "\r\n"));
        fs::write(home.work(file), edited).unwrap();
        assert_eq!(told(&home.does(&command)), before, "{command:?}");
        fs::write(home.work(file), text).unwrap();
    }
    assert_ne!(old, new);
}
