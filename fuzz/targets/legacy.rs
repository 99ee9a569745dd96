//! Ledgers of the Python package 0.1: any bytes get a verdict, by a trusted key and without, and what is
//! taken as a record is written so that it verifies.
#![no_main]

use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_ledger::legacy::{Record, verify};
use carbon_ops_proof::verify::Status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The key of the seeds, which are frozen ledgers: its secret is the bytes 00 to 1f.
    let key = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap_or_default()));
    let trust = Trust::from_iter([key.public_key()]);
    let Ok(report) = verify(bytes, &trust) else { unreachable!("a slice can be read") };
    assert_eq!(report.file_bytes, bytes.len() as u64);
    assert_eq!(report.status == Status::Tampered, report.fault_count > 0);
    let stranger = verify(bytes, &Trust::new());
    assert!(stranger.is_ok_and(|report| report.status != Status::Valid));

    // A record of its own, and a chain of two.
    let Ok(record) = Record::parse(bytes) else { return };
    let Ok(first) = record.sign(None, &key) else { return };
    let Ok(second) = record.sign(Some(&first.hash), &key) else { return };
    let written = verify(&[first.line, second.line].concat()[..], &trust);
    assert!(written.is_ok_and(|report| report.status == Status::Valid && report.records == 2));
});
