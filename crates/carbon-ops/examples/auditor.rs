//! An auditor, who has a ledger and, from somewhere else, the key that should have signed it.
#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use carbon_ops::{PublicKey, Result, Status, Trust, verify_ledger};

const LEDGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1/spans.ndjson");
const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

fn main() -> Result<()> {
    let trust = Trust::from_iter([PublicKey::from_hex(KEY)?]);
    let report = verify_ledger(LEDGER, &trust)?.report;
    let verdict = match report.status {
        Status::Valid => "every line is as it was written",
        Status::TornTail => "valid up to a last line that an interrupted write left",
        Status::Untrusted => "signed by somebody else",
        Status::Rewritten => "cut off or rewritten since it was signed for",
        _ => "tampered with",
    };
    println!("{} lines, {} faults: {verdict}", report.lines, report.fault_count);
    for fault in &report.faults {
        println!("line {}: {}", fault.line, fault.reason);
    }
    Ok(())
}
