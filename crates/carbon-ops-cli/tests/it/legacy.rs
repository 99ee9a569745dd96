//! Ledgers of the Python package carbon-ops 0.1: verified, appended to, and imported.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::home::{Done, Home, done};

/// The public test key of the frozen ledgers: its secret is the bytes 00 to 1f.
const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

fn frozen(name: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers/0.1");
    dir.join(name).to_str().unwrap().to_owned()
}

fn verified(path: &str, more: &[&str]) -> Done {
    Home::new().does(&[&["ledger", "verify", "--profile", "0.1", path], more].concat())
}

/// What `ledger verify --json` says of a file with this content.
fn verified_bytes(bytes: &[u8]) -> (i32, Value) {
    let home = Home::new();
    let path = home.work("old");
    fs::write(&path, bytes).unwrap();
    let done = verified(path.to_str().unwrap(), &["--trust", KEY, "--json"]);
    (done.code(), serde_json::from_slice(&done.stdout).unwrap())
}

#[test]
fn a_ledger_of_the_package_verifies() {
    let done = verified(&frozen("audit.ndjson"), &["--trust", KEY]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let text = done.text();
    assert!(text.contains("VALID\n  5 records of version 0.1 in 5 lines\n"), "{text}");
    assert!(text.contains("not shown by this format: lines cut cleanly off the end"), "{text}");
}

#[test]
fn the_key_inside_a_line_is_never_enough() {
    let done = verified(&frozen("audit.ndjson"), &[]);
    assert_eq!(done.code(), 2, "{}", done.stderr);
    let text = done.text();
    assert!(text.contains("the signing key is not trusted") && text.contains("hint:"), "{text}");
}

#[test]
fn tampering_and_torn_ends_have_the_exit_codes_of_version_1() {
    let file = fs::read(frozen("audit.ndjson")).unwrap();
    let (code, report) = verified_bytes(&file[..file.len() - 40]);
    assert_eq!((code, &report["status"]), (4, &"torn_tail".into()), "{report:#}");
    let text = String::from_utf8(file).unwrap();
    let (code, report) = verified_bytes(text.replace("212.0", "112.0").as_bytes());
    assert_eq!((code, &report["status"]), (1, &"tampered".into()), "{report:#}");
    let fault = &report["first_fault"];
    assert_eq!((&fault["line"], &fault["code"]), (&3.into(), &"signature".into()));
    assert_eq!((&report["profile"], &fault["python_accepts"]), (&"0.1".into(), &false.into()));
}

#[test]
fn a_fault_that_the_package_accepts_is_named_so() {
    let done = verified(&frozen("not-finite.ndjson"), &["--trust", KEY]);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let text = done.text();
    assert!(text.contains("FAULTY, though the Python package accepts it"), "{text}");
    assert!(text.contains("line 2: non_finite"), "{text}");
}

#[test]
fn what_cannot_be_checked_is_exit_code_2_with_a_remedy() {
    let missing = verified("nowhere", &[]);
    assert!(missing.code() == 2 && missing.stderr.contains("hint:"), "{}", missing.stderr);
    let recompute = verified(&frozen("audit.ndjson"), &["--recompute"]);
    assert!(recompute.code() == 2 && recompute.stderr.contains("hint:"), "{}", recompute.stderr);
    let no_path = Home::new().does(&["ledger", "verify", "--profile", "0.1"]);
    assert_eq!(no_path.code(), 2, "{}", no_path.stderr);
}

fn appended(home: &Home, record: &str) -> Done {
    let line = r#"printf %s "$0" | "$CARBON_OPS" ledger append --profile 0.1 old.ndjson"#;
    done(home.bash(line).arg(record))
}

#[test]
fn appended_records_verify_with_the_local_key() {
    let home = Home::new();
    let refused = appended(&home, "{}");
    assert!(refused.code() == 2 && refused.stderr.contains("keys generate"), "{}", refused.stderr);
    assert_eq!(home.does(&["keys", "generate"]).code(), 0);
    for record in [r#"{"é": 1e-05, "n": 18446744073709551616}"#, "{\n \"x\": 100.0}"] {
        let done = appended(&home, record);
        assert_eq!(done.code(), 0, "{}", done.stderr);
    }
    for (record, reason) in [
        ("[]", "not an object"),
        (r#"{"prev_hash": ""}"#, "belongs to the ledger"),
        (r#"{"a": 1, "a": 1}"#, "appears twice"),
        ("", "ends too early"),
    ] {
        let done = appended(&home, record);
        assert!(done.code() == 2 && done.stderr.contains(reason), "{}", done.stderr);
    }
    let done = home.does(&["ledger", "verify", "--profile", "0.1", "old.ndjson", "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.code(), &report["records"]), (0, &2.into()), "{report:#}");
}

/// A home with a copy of a frozen ledger as `old`, changed.
fn with_old(name: &str, change: impl FnOnce(String) -> String) -> Home {
    let home = Home::new();
    let text = fs::read_to_string(frozen(name)).unwrap();
    fs::write(home.work("old"), change(text)).unwrap();
    home
}

fn imported(home: &Home, more: &[&str]) -> Done {
    home.does(&[&["ledger", "import", "old", "--into", "new"], more].concat())
}

#[test]
fn an_imported_ledger_is_pinned_continued_and_checked() {
    let home = with_old("audit.ndjson", |text| text);
    let done = imported(&home, &["--trust", KEY]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.text().contains("--imported old"), "{}", done.text());
    let again = imported(&home, &["--trust", KEY]);
    assert!(again.code() == 2 && again.stderr.contains("already"), "{}", again.stderr);
    let run = home.does(&["run", "--ledger", "new", "--", "true"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);

    let plain = home.does(&["ledger", "verify", "new"]);
    assert_eq!(plain.code(), 0, "{}", plain.stderr);
    let text = plain.text();
    assert!(text.contains("continues a ledger of version 0.1 that was valid"), "{text}");
    let both = home.does(&["ledger", "verify", "new", "--imported", "old"]);
    assert_eq!(both.code(), 0, "{}", both.stderr);
    assert!(both.text().contains("is that ledger, byte for byte"), "{}", both.text());

    // Its last record cut off: by itself it is still valid, with the pin it is not.
    let text = fs::read_to_string(home.work("old")).unwrap();
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    fs::write(home.work("old"), &text[..end]).unwrap();
    let old = home.does(&["ledger", "verify", "--profile", "0.1", "old", "--trust", KEY]);
    assert_eq!(old.code(), 0, "{}", old.stderr);
    let both = home.does(&["ledger", "verify", "new", "--imported", "old", "--json"]);
    let report: Value = serde_json::from_slice(&both.stdout).unwrap();
    let differences = ["file_bytes", "file_sha256", "head_hash", "records"];
    assert_eq!((both.code(), &report["imported_differences"]), (1, &differences.as_slice().into()));
}

#[test]
fn what_does_not_verify_is_imported_only_when_asked_and_recorded_so() {
    let trusting: &[&str] = &["--trust", KEY];
    for (verdict, code) in [("tampered", 1), ("torn_tail", 4), ("untrusted", 2)] {
        let home = with_old("audit.ndjson", |text| match verdict {
            "tampered" => text.replace("212.0", "112.0"),
            "torn_tail" => text[..text.len() - 40].to_owned(),
            _ => text,
        });
        let trust = if verdict == "untrusted" { &[] } else { trusting };
        let refused = imported(&home, trust);
        assert_eq!(refused.code(), code, "{}", refused.stderr);
        assert!(refused.text().contains("nothing was imported"), "{}", refused.text());
        assert!(!home.work("new").exists());
        let done = imported(&home, &[trust, &["--accept-unverified", "--json"]].concat());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let pin: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(pin["verdict"], verdict);
        let both = home.does(&["ledger", "verify", "new", "--imported", "old"]);
        assert_eq!(both.code(), 0, "{} {}", both.text(), both.stderr);
    }
}

#[test]
fn a_ledger_that_imported_nothing_has_no_file_to_be_held_against() {
    let home = with_old("audit.ndjson", |text| text);
    assert_eq!(home.does(&["ledger", "init", "new"]).code(), 0);
    let done = home.does(&["ledger", "verify", "new", "--imported", "old"]);
    assert!(done.code() == 2 && done.stderr.contains("hint:"), "{}", done.stderr);
}

#[test]
fn a_file_of_version_0_1_that_is_taken_for_a_ledger_of_today_is_told_with_the_option() {
    for name in ["audit.ndjson", "two-lines.ndjson", "nested.ndjson"] {
        for verb in ["verify", "show"] {
            let done = Home::new().does(&["ledger", verb, &frozen(name)]);
            assert_eq!(done.code(), 2, "{verb} {name}: {}", done.text());
            assert!(done.text().is_empty(), "{}", done.text());
            assert!(done.stderr.contains("is a ledger of version 0.1"), "{}", done.stderr);
            assert!(done.stderr.contains("--profile 0.1"), "{}", done.stderr);
        }
    }
}
