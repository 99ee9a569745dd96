//! An auditor, who has a ledger and, from somewhere else, the key that should have signed it.
#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use carbon_ops::{Answer, PublicKey, Result, Trust, verify_ledger};

const LEDGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1/spans.ndjson");
const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

fn main() -> Result<()> {
    let trust = Trust::from_iter([PublicKey::from_hex(KEY)?]);
    let verdict = verify_ledger(LEDGER, &trust)?;
    let answer = match verdict.answer() {
        Answer::Valid => "every line is as it was written",
        Answer::TornTail => "valid up to a last line that an interrupted write left",
        Answer::Untrusted => "signed by somebody else",
        Answer::Newer => "not checked: written by a later version",
        Answer::Rewritten => "cut off or rewritten since it was signed for",
        _ => "tampered with",
    };
    let report = verdict.report;
    println!("{} lines, {} faults: {answer}", report.lines, report.fault_count);
    for fault in &report.faults {
        println!("line {}: {}", fault.line, fault.reason);
    }
    Ok(())
}
