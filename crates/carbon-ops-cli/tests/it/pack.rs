//! Audit packs as an auditor gets them: one file, in a home with nothing else.

use std::fs;

use serde_json::Value;

use crate::home::Home;
use crate::witness::Served;

struct Auditor {
    home: Home,
    key: String,
}

impl Auditor {
    /// Brings a file from a ledger's owner.
    fn brings(&self, owner: &Home, name: &str) {
        fs::copy(owner.work(name), self.home.work(name)).unwrap();
    }

    fn checks(&self, name: &str, more: &[&str]) -> (i32, String) {
        let trust = ["ledger", "verify-pack", name, "--trust", &self.key];
        let done = self.home.does(&[&trust, more].concat());
        (done.code(), done.text())
    }
}

fn owner_and_auditor() -> (Home, Auditor) {
    let owner = Home::new();
    for _ in 0..4 {
        owner.record(&["--", "true"]);
    }
    fs::write(owner.work("kept"), owner.does(&["ledger", "checkpoint"]).text()).unwrap();
    for _ in 0..2 {
        owner.record(&["--", "true"]);
    }
    let shown = owner.does(&["keys", "show", "--json"]).text();
    let key =
        serde_json::from_str::<Value>(&shown).unwrap()["public_key"].as_str().unwrap().to_owned();
    (owner, Auditor { home: Home::new(), key })
}

#[test]
fn an_auditor_with_one_file_and_a_key_checks_records_witnesses_and_what_they_kept() {
    let (owner, auditor) = owner_and_auditor();
    let witness = Served::start(&owner, "w");
    let signed = owner.does(&["ledger", "checkpoint", "--witness", &witness.spec()]);
    assert_eq!(signed.code(), 0, "{}", signed.stderr);
    fs::write(owner.work("policy"), witness.policy()).unwrap();
    drop(witness);
    for (name, records, entries) in [("all", "all", "7 of 7"), ("some", "2,5..6", "4 of 7")] {
        let pack = ["ledger", "audit-pack", "--out", name, "--records", records];
        let more = ["--since", "kept", "--policy", "policy"];
        let made = owner.does(&[&pack[..], &more].concat());
        assert_eq!(made.code(), 0, "{}", made.stderr);
        assert!(made.text().contains(&format!("{entries} lines")), "{}", made.text());
        for file in [name, "kept", "policy"] {
            auditor.brings(&owner, file);
        }
        let (code, text) = auditor.checks(name, &[]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("VALID") && text.contains("which was not used"), "{text}");
        let (code, text) =
            auditor.checks(name, &["--policy", "policy", "--since", "kept", "--recompute"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("  WITNESSED: of the checkpoint of 7 lines"), "{text}");
        assert!(text.contains("it extends the checkpoint that you kept"), "{text}");
        let (code, text) = auditor.checks(name, &["--show", "--json"]);
        assert_eq!(code, 0);
        let records = text.lines().filter(|line| line.contains("\"carbon_estimate\"")).count();
        assert_eq!(records, if name == "all" { 6 } else { 3 });
        let report = text.lines().filter(|line| !line.starts_with("{\"")).collect::<Vec<_>>();
        let report: Value = serde_json::from_str(&report.join("\n")).unwrap();
        assert_eq!((&report["status"], &report["size"]), (&"valid".into(), &7.into()));
        // Untrusted, and then damaged.
        assert_eq!(auditor.home.does(&["ledger", "verify-pack", name]).code(), 2);
        let text = fs::read_to_string(auditor.home.work(name)).unwrap();
        fs::write(auditor.home.work("bad"), text.replacen("\"seq\":2", "\"seq\":3", 1)).unwrap();
        let (code, text) = auditor.checks("bad", &[]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("DOES NOT HOLD"), "{text}");
    }
}

#[test]
fn a_pack_that_says_nothing_of_a_kept_checkpoint_or_witnesses_is_no_yes() {
    let (owner, auditor) = owner_and_auditor();
    let none = owner.does(&["ledger", "audit-pack", "--out", "p", "--records", "6"]);
    assert_eq!(none.code(), 2, "no checkpoint covers it");
    assert!(none.stderr.contains("ledger checkpoint"), "{}", none.stderr);
    assert!(!owner.work("p").exists() && !owner.work("p.tmp").exists());
    owner.does(&["ledger", "checkpoint"]);
    assert_eq!(owner.does(&["ledger", "audit-pack", "--out", "p"]).code(), 0);
    auditor.brings(&owner, "p");
    auditor.brings(&owner, "kept");
    let (code, text) = auditor.checks("p", &["--since", "kept"]);
    assert_eq!(code, 2, "{text}");
    let key = owner.does(&["witness", "init", "--dir", "w", "--name", "w"]).text();
    let policy = format!("witness W {}\nquorum W\n", key.trim());
    fs::write(auditor.home.work("policy"), policy).unwrap();
    let (code, text) = auditor.checks("p", &["--policy", "policy"]);
    assert_eq!(code, 2, "{text}");
    // The owner changes history below the checkpoint: no pack of it can be written.
    let file = owner.ledger_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"true\"", "\"yes!\"", 1)).unwrap();
    let refused = owner.does(&["ledger", "audit-pack", "--out", "q"]);
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    assert!(!owner.work("q").exists());
}
