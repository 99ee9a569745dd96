//! Ledgers that were written once and are never touched: every later version verifies them.

use std::path::PathBuf;

use serde_json::Value;

use crate::home::Home;

/// The public test key of all frozen ledgers: its secret is the bytes 00 to 1f.
const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

fn verified(name: &str, more: &[&str]) -> (i32, Value) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers/v1").join(name);
    let path = path.to_str().unwrap().to_owned();
    let done =
        Home::new().does(&[&["ledger", "verify", &path, "--trust", KEY, "--json"], more].concat());
    (done.code(), serde_json::from_str(&done.text()).unwrap())
}

/// Modelled, failed, killed, counted, wrapped, filled with hardware, a state of the United States.
#[test]
fn the_first_measurements_verify_and_their_intervals_are_derived_again() {
    let (code, report) = verified("measured.ndjson", &["--recompute"]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!((&report["entries"], &report["foreign_records"]), (&9.into(), &0.into()));
}

/// Format 1 was never released: chain and signatures verify, values are not judged.
#[test]
fn records_of_format_1_verify_as_those_of_other_programs() {
    let (code, report) = verified("records.ndjson", &["--recompute"]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!((&report["entries"], &report["foreign_records"]), (&10.into(), &9.into()));
}

/// What a development version has begun goes on.
#[test]
fn a_ledger_with_records_of_format_1_is_continued() {
    let home = Home::new();
    let seed: Vec<u8> = (0..32).collect();
    let key = carbon_ops::proof::keys::SecretKey::from_seed(&seed.try_into().unwrap());
    let pem = home.work("key.pem");
    std::fs::write(&pem, key.to_pem().unwrap().as_str()).unwrap();
    std::fs::set_permissions(&pem, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::create_dir(home.work("old")).unwrap();
    let frozen = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1/records.ndjson");
    std::fs::copy(frozen, home.work("old/ledger.ndjson")).unwrap();
    let mut run = home.carbon_ops(&["run", "--ledger", "old", "--region", "DE", "--", "true"]);
    let ran = crate::home::done(run.env("CARBON_OPS_KEY", &pem));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let mut verify = home.carbon_ops(&["ledger", "verify", "old", "--json"]);
    let done = crate::home::done(verify.env("CARBON_OPS_KEY", &pem));
    let report: Value = serde_json::from_str(&done.text()).unwrap();
    assert_eq!((done.code(), &report["entries"]), (0, &11.into()), "{report:#}");
    assert_eq!(report["foreign_records"], 9);
}

/// The run whose summary the README shows.
#[test]
fn the_run_of_the_readme_verifies_and_its_interval_is_derived_again() {
    let (code, report) = verified("run.ndjson", &["--recompute"]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!((&report["entries"], &report["foreign_records"]), (&2.into(), &0.into()));
}

/// Spans: of a yearly table, a cloud region, nothing used, a leap day; of slots, with a gap by each policy,
/// too many to list, a series; sampled twice; measured; and a correction, of which what stands instead is
/// derived again.
#[test]
fn the_first_spans_verify_and_each_is_derived_again() {
    let (code, report) = verified("spans.ndjson", &["--recompute"]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!((&report["entries"], &report["foreign_records"]), (&21.into(), &0.into()));
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledgers/v1/spans.ndjson");
    for seq in 1..=20 {
        let of = format!("{}:{seq}", path.display());
        let done = Home::new().does(&["estimate", "--recompute", &of]);
        assert_eq!(done.code(), 0, "{seq}: {}{}", done.text(), done.stderr);
    }
}

#[test]
fn entries_of_other_programs_are_neither_checked_nor_called_tampered_with() {
    let (code, report) = verified("basic.ndjson", &[]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!(report["foreign_records"], 6);
}

#[test]
fn recovered_and_torn_ledgers_keep_their_verdicts() {
    assert_eq!(verified("recovered.ndjson", &[]).0, 0);
    assert_eq!(verified("torn.ndjson", &[]).0, 4);
}
