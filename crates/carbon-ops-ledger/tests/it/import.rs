//! A ledger that continues another says which, and a verifier can tell it from any other; what is continued is
//! written to no more.

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::WriterOptions;
use carbon_ops_ledger::append::{GenesisOptions, Ledger, while_held};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_ledger::legacy;
use carbon_ops_ledger::storage::{CONTINUED_FILE, DirStorage, Storage as _};
use carbon_ops_proof::entry::{Before, ContinuationReason, Continued, Imported};
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
    let before = Some(Before::Imported(imported.clone()));
    GenesisOptions { before, ..GenesisOptions::default() }
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

#[test]
fn a_continuing_ledger_verifies_and_is_written_the_same_again() {
    let old = report(&frozen_v1_bytes("basic.ndjson"));
    let pin = Continued {
        ledger_id: old.ledger_id.unwrap(),
        size: old.tree_size,
        root: old.root,
        head_hash: old.head_hash,
        file_bytes: frozen_v1_bytes("basic.ndjson").len() as u64,
        // sha256sum testdata/ledgers/v1/basic.ndjson
        file_sha256: "bdb5f74b739fc49bd46bba0f2a697ed22d0bc348183f96dee8aaa50d0d2d0bad".to_owned(),
        signed_size: None,
        verdict: old.status,
        reason: ContinuationReason::KeyLost,
        note: Some("the disk with the key".to_owned()),
    };
    let (disk, key) = (MemoryDisk::default(), key());
    let options_of = GenesisOptions {
        before: Some(Before::Continued(pin.clone())),
        ..GenesisOptions::default()
    };
    let ledger = Ledger::create_as(disk.clone(), &key, [7; 16], NOW, options(), &options_of);
    ledger.unwrap().append(payload(0), NOW).unwrap();
    let report = report(&frozen_v1("continued.ndjson", &disk.file()));
    assert_eq!((report.status, report.entries), (Status::Valid, 2), "{report:#?}");
    assert_eq!(report.continues, Some(pin));
}

fn frozen_v1_bytes(name: &str) -> Vec<u8> {
    std::fs::read(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1/").to_owned() + name,
    )
    .unwrap()
}

#[test]
fn a_ledger_that_is_continued_takes_no_entry_from_any_writer() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let open =
        || Ledger::open_for_append(DirStorage::new(dir.path()), &key, &trust(), NOW, options());
    Ledger::create(DirStorage::new(dir.path()), &key, LEDGER_ID, NOW, options()).unwrap();
    let mut before = open().unwrap();
    before.append(payload(0), NOW).unwrap();
    let WriterOptions { patience, .. } = options();
    let closed = while_held(&mut DirStorage::new(dir.path()), patience, |disk| {
        disk.replace_beside(CONTINUED_FILE, b"").unwrap();
        Ok::<_, Error>(())
    });
    closed.unwrap();
    let lines =
        || std::fs::read_to_string(dir.path().join("ledger.ndjson")).unwrap().lines().count();
    assert!(matches!(before.append(payload(1), NOW), Err(Error::Continued { .. })));
    assert!(matches!(before.checkpoint(NOW), Err(Error::Continued { .. })));
    assert!(matches!(open(), Err(Error::Continued { .. })));
    assert_eq!(lines(), 2);
    std::fs::remove_file(dir.path().join(CONTINUED_FILE)).unwrap();
    before.append(payload(1), NOW).unwrap();
    assert_eq!(lines(), 3);
}
