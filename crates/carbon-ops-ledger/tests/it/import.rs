//! A ledger that continues one of version 0.1 says which file, and a verifier can tell it from any
//! other.

use carbon_ops_ledger::append::{GenesisOptions, Ledger};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_ledger::legacy;
use carbon_ops_proof::entry::Imported;
use carbon_ops_proof::verify::Status;

use crate::frozen::frozen as frozen_v1;
use crate::legacy::frozen;
use crate::support::{
    LATER, LEDGER_ID, MemoryDisk, NOW, key, options, other_key, payload, report, trust,
};

fn imported(file: &[u8], trust: &Trust) -> Imported {
    legacy::verify(file, trust).unwrap().imported()
}

fn genesis_options(imported: &Imported) -> GenesisOptions {
    GenesisOptions { imported: Some(imported.clone()), ..GenesisOptions::default() }
}

fn continued(imported: &Imported) -> Vec<u8> {
    let (disk, key) = (MemoryDisk::default(), key());
    let storage = disk.clone();
    let ledger =
        Ledger::create_as(storage, &key, LEDGER_ID, NOW, options(), &genesis_options(imported));
    ledger.unwrap().append(payload(0), NOW).unwrap();
    disk.file()
}

#[test]
fn an_importing_ledger_verifies_and_is_written_the_same_again() {
    let pin = imported(&frozen("audit.ndjson"), &trust());
    let file = frozen_v1("imported.ndjson", &continued(&pin));
    let report = report(&file);
    assert_eq!((report.status, report.entries), (Status::Valid, 2), "{report:#?}");
    let found = report.imported.unwrap();
    assert_eq!(found, pin);
    // The values of `wc -c`, `sha256sum` and the package's own `hash_canonical`.
    assert_eq!((found.file_bytes, found.records, found.verdict), (4129, 5, Status::Valid));
    assert_eq!(
        found.file_sha256,
        "4c876c1fbc6bd612d09a965d698975cb8fd7614c009a553943e628630a06a0db"
    );
    assert_eq!(
        found.head_hash.as_deref(),
        Some("7352f9c32d163d4be98d9cdfa605166ba7760202f04b7f95c94e84c54f083eaf")
    );
    assert_eq!(found.keys, [key().public_key().to_hex()]);
}

#[test]
fn what_is_wrong_with_the_old_ledger_is_recorded_and_found_again() {
    let whole = frozen("audit.ndjson");
    let changed = String::from_utf8(whole.clone()).unwrap().replace("212.0", "112.0");
    let cut = &whole[..whole.len() - 40];
    for (file, trust, verdict, records) in [
        (changed.as_bytes(), trust(), Status::Tampered, 4),
        (cut, trust(), Status::TornTail, 4),
        (&whole[..], Trust::new(), Status::Untrusted, 5),
        (b"", trust(), Status::Tampered, 0),
    ] {
        let pin = imported(file, &trust);
        let found = report(&continued(&pin)).imported.unwrap();
        assert_eq!((found.verdict, found.records), (verdict, records));
        // Whoever verifies later needs no more than the keys that the pin names.
        let keys = Trust::parse(&found.keys.join("\n"), "pin").unwrap();
        assert_eq!(found.differences(&imported(file, &keys)), [""; 0]);
    }
}

#[test]
fn another_file_is_told_from_the_imported_one() {
    let whole = frozen("audit.ndjson");
    let pin = imported(&whole, &trust());
    let text = String::from_utf8(whole.clone()).unwrap();
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    let shorter = ["file_bytes", "file_sha256", "head_hash", "records"];
    assert_eq!(pin.differences(&imported(&whole[..end], &trust())), shorter);
    let respelt = text.replace(", \"type\"", ",\"type\" ");
    let differences = pin.differences(&imported(respelt.as_bytes(), &trust()));
    assert_eq!(differences, ["file_sha256", "verdict"]);
}

#[test]
fn a_ledger_that_imports_is_appended_to_like_any_other() {
    let file = continued(&imported(&frozen("audit.ndjson"), &trust()));
    let (disk, key) = (MemoryDisk::of_file(&file), key());
    let ledger = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options());
    ledger.unwrap().append(payload(1), LATER).unwrap();
    assert_eq!(report(&disk.file()).entries, 3);
}

#[test]
fn more_keys_than_a_genesis_may_list_are_refused() {
    let mut pin = imported(&frozen("audit.ndjson"), &trust());
    pin.keys = vec![other_key().public_key().to_hex(), other_key().public_key().to_hex()];
    let key = key();
    let storage = MemoryDisk::default();
    let made = Ledger::create_as(storage, &key, LEDGER_ID, NOW, options(), &genesis_options(&pin));
    assert!(made.unwrap_err().to_string().contains("keys must be"), "a key twice was accepted");
}
