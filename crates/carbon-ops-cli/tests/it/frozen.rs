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

/// Modelled, counted, wrapped, interpolated, filled and killed: what the first version wrote.
#[test]
fn the_first_records_verify_and_their_intervals_are_derived_again() {
    let (code, report) = verified("records.ndjson", &["--recompute"]);
    assert_eq!((code, &report["status"]), (0, &"valid".into()), "{report:#}");
    assert_eq!((&report["entries"], &report["foreign_records"]), (&10.into(), &0.into()));
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
