//! Records that are kept, and what a reader finds of them.

use std::fs;
use std::path::Path;

use carbon_ops::{Answer, CarbonEstimator, KilowattHours, Ledger, Record, Trust, verify_ledger};

fn record() -> Record {
    let [from, to] = ["2025-03-01T09:00Z", "2025-03-01T10:00Z"].map(|time| time.parse().unwrap());
    let energy = KilowattHours::new(0.5).unwrap();
    CarbonEstimator::at("DE").unwrap().estimate_over_span(energy, from, to, None).unwrap()
}

fn made(home: &Path) -> Ledger {
    Ledger::open_or_make(home.join("ledger"), home.join("key.pem")).unwrap()
}

fn answer(ledger: &Ledger, trust: &Trust) -> Answer {
    verify_ledger(ledger.folder(), trust).unwrap().answer()
}

#[test]
fn what_was_appended_verifies_for_who_trusts_the_key_and_for_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let ledger = made(home.path());
    let seqs = [(); 3].map(|()| ledger.append(&record()).unwrap().seq);
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(ledger.checkpoint().unwrap().checkpoint.size, 4);
    let trust = Trust::from_iter([ledger.public_key()]);
    assert_eq!(answer(&ledger, &trust), Answer::Valid);
    assert_eq!(answer(&ledger, &Trust::new()), Answer::Untrusted);
}

#[test]
fn a_ledger_is_opened_again_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let key = made(home.path()).public_key();
    made(home.path()).append(&record()).unwrap();
    let again = Ledger::open(home.path().join("ledger"), home.path().join("key.pem")).unwrap();
    assert_eq!((again.append(&record()).unwrap().seq, again.public_key()), (2, key));
}

#[test]
fn one_changed_byte_of_a_record_is_found() {
    let home = tempfile::tempdir().unwrap();
    let ledger = made(home.path());
    ledger.append(&record()).unwrap();
    ledger.append(&record()).unwrap();
    let file = ledger.folder().join("ledger.ndjson");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"region\":\"DE\"", "\"region\":\"FR\"", 1)).unwrap();
    assert_eq!(answer(&ledger, &Trust::from_iter([ledger.public_key()])), Answer::Tampered);
}

#[test]
fn a_ledger_or_key_that_is_missing_is_told_as_such() {
    let home = tempfile::tempdir().unwrap();
    let [folder, key] = ["ledger", "key.pem"].map(|name| home.path().join(name));
    assert!(Ledger::open(&folder, &key).unwrap_err().is_no_ledger());
    made(home.path());
    fs::remove_file(&key).unwrap();
    assert!(Ledger::open_or_make(&folder, &key).unwrap_err().is_no_ledger());
    assert!(!key.exists(), "another key would sign nothing that the ledger accepts");
}

#[test]
fn another_key_does_not_sign_here() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made(home.path());
    made(other.path());
    let error = Ledger::open(home.path().join("ledger"), other.path().join("key.pem"));
    assert!(error.unwrap_err().is_untrusted());
}
