//! Lines of a ledger: any bytes are an entry or a fault; what is an entry is its own canonical form; and
//! a whole verification of any bytes gives the same report on one thread and on two.
#![no_main]

use carbon_ops_proof::canonical::{object_to_canonical, parse, parse_canonical, to_canonical};
use carbon_ops_proof::entry::Entry;
use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_proof::verify::{Report, Settings, verify, verify_records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The key of the seeds, which are lines of frozen ledgers: its secret is the bytes 00 to 1f.
    let key = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap_or_default()));
    if let Ok(value) = parse(bytes) {
        let canonical = to_canonical(&value);
        assert_eq!(parse_canonical(&canonical), Ok(value));
        assert_eq!(parse_canonical(bytes).is_ok(), canonical == bytes);
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let entry = Entry::parse(line);
    if let Ok(entry) = &entry {
        assert_eq!(object_to_canonical(entry.object()), line);
        assert!(parse_canonical(entry.signed_bytes()).is_ok());
        assert!(entry.control().is_ok());
    }
    let trust = Trust::from_iter([key.public_key()]);
    let Ok(report) = verify(bytes, &trust, &mut |_| Ok(())) else { unreachable!("a slice") };
    // What is written twice is long enough for pieces only if it is long; the report is the same anyway.
    let settings = Settings {
        threads: 2.try_into().unwrap_or(std::num::NonZeroUsize::MIN),
        ..Settings::new(&trust)
    };
    let again: std::io::Result<Report> =
        verify_records(bytes, &settings, &|_| Ok(()), &mut |_, ()| Ok(()));
    assert!(again.is_ok_and(|again| again == report));
    // Alone, an entry is in order only as a genesis.
    if let Ok(entry) = entry
        && report.fault_count == 0
        && report.torn_tail.is_none()
    {
        assert!(entry.seq() == 0 && entry.verify_signature().is_ok());
    }
});
