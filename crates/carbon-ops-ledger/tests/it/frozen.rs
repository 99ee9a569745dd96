//! Ledgers that were written once and have to verify for ever, and be written the same again.

use std::io::Read;
use std::path::PathBuf;

use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_proof::canonical::{Object, Value, parse, parse_canonical};
use carbon_ops_proof::entry::{Entry, LedgerId};
use carbon_ops_proof::merkle::inclusion_proof;
use carbon_ops_proof::pack::LineSource as _;
use carbon_ops_proof::proof::Proof;
use carbon_ops_proof::verify::Status;

use crate::support::{LATER, LEDGER_ID, MemoryDisk, NOW, key, lines, options, report, trust};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1")).join(name)
}

/// Compares with a frozen file. `CARBON_OPS_FREEZE=1` writes a file that is missing, and only that:
/// what is frozen stays.
pub(crate) fn frozen(name: &str, now: &[u8]) -> Vec<u8> {
    let path = path(name);
    if !path.exists() && std::env::var_os("CARBON_OPS_FREEZE").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let then = std::fs::read(&path).unwrap();
    assert!(then == now, "{name} is not written the way it was");
    then
}

fn record(text: &str) -> Object {
    match parse(text.as_bytes()).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn basic() -> MemoryDisk {
    let (disk, key) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
    for text in [
        r#"{"kind":"example","n":1}"#,
        r#"{"kind":"example","n":2,"text":"naïve \"quoted\" \\ 😀 \u2028 \u0007 \n"}"#,
        r#"{"kind":"example","n":3,"numbers":[0,0.000001,1e-7,9007199254740991,100,-1.5,5e-324]}"#,
        r#"{"kind":"example","n":4,"nested":{"b":[true,false,null,{}],"a":{"":[]}}}"#,
        r#"{"kind":"example","n":5,"\ufb33":1,"\ud83d\ude00":2}"#,
        r#"{"kind":"example","n":6,"energy_uj":"18446744073709551615","energy_kwh":0.000144277778}"#,
    ] {
        ledger.append(record(text), LATER).unwrap();
    }
    disk
}

#[test]
fn the_basic_ledger_verifies_and_is_written_the_same_again() {
    let file = frozen("basic.ndjson", &basic().file());
    let report = report(&file);
    assert_eq!((report.status, report.entries, report.fault_count), (Status::Valid, 7, 0));
    assert_eq!(report.ledger_id.as_deref(), Some("0192d7a00000700080000000000000a1"));
    assert_eq!(report.keys[0].fingerprint, "SHA256:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw");
}

#[test]
fn a_recovered_ledger_verifies_and_is_written_the_same_again() {
    let mut torn = basic().file();
    torn.extend(br#"{"kind":"example","n":7,"ledger_"#);
    frozen("torn.ndjson", &torn);
    let before = report(&torn);
    assert_eq!((before.status, before.entries), (Status::TornTail, 7));
    let (disk, key) = (MemoryDisk::of_file(&torn), key());
    Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let file = frozen("recovered.ndjson", &disk.file());
    let after = report(&file);
    assert_eq!((after.status, after.entries, after.recoveries), (Status::Valid, 8, 1));
}

/// The lines of the basic ledger in two segments and an active file, with a checkpoint.
#[test]
fn a_segmented_ledger_verifies_and_is_written_the_same_again() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let storage = DirStorage::new(dir.path());
    let mut ledger = Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
    for (seq, line) in (1..).zip(&lines(&basic().file())[1..]) {
        ledger.append(parsed_payload(line), LATER).unwrap();
        if seq == 2 || seq == 5 {
            ledger.seal(0, LATER).unwrap().unwrap();
        }
    }
    ledger.checkpoint(LATER).unwrap();
    for name in [
        "seg/0000000000-0000000002.ndjson",
        "seg/0000000003-0000000005.ndjson",
        "ledger.ndjson",
        "checkpoint",
    ] {
        frozen(&format!("segmented/{name}"), &std::fs::read(dir.path().join(name)).unwrap());
    }
    let mut reader = LedgerReader::open(&path("segmented")).unwrap();
    assert_eq!(reader.segment_faults().unwrap(), []);
    let mut file = Vec::new();
    reader.read_to_end(&mut file).unwrap();
    assert!(file == std::fs::read(path("basic.ndjson")).unwrap());
    assert_eq!(
        std::fs::read(path("segmented/checkpoint")).unwrap(),
        std::fs::read(path("basic.checkpoint")).unwrap()
    );
    assert_eq!((report(&file).status, report(&file).entries), (Status::Valid, 7));
}

/// What was handed to the ledger for a line.
fn parsed_payload(line: &[u8]) -> Object {
    let mut object = record(str::from_utf8(line.strip_suffix(b"\n").unwrap()).unwrap());
    for member in
        ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"]
    {
        object.remove(member);
    }
    object
}

/// Both files were made by another program (Python's hashlib for the tree, OpenSSL for the signature),
/// from the format's document.
#[test]
fn the_frozen_checkpoint_and_proof_hold_and_are_written_the_same_again() {
    let (disk, key) = (basic(), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let signed = ledger.checkpoint(LATER).unwrap();
    frozen("basic.checkpoint", signed.note.to_string().as_bytes());
    let bytes = std::fs::read(path("basic-2.tlog-proof")).unwrap();
    let proof = Proof::parse(&bytes).unwrap();
    let proven = proof.check(&trust()).unwrap();
    assert_eq!((proven.entry.seq(), proven.checkpoint), (2, signed.checkpoint));
    let file = path("basic.ndjson");
    let mut tree = TileTree::new(DirTiles::open(None, &file).unwrap(), 7);
    assert_eq!(inclusion_proof(2, 7, &mut tree).unwrap().unwrap(), proof.path);
    assert_eq!(DirTiles::open(None, &file).unwrap().line(2).unwrap(), proof.extra);
}

/// The line that the design of the record was agreed on with.
#[test]
fn the_example_line_is_canonical_and_validly_signed() {
    let file = std::fs::read(path("example-line.ndjson")).unwrap();
    let line = file.strip_suffix(b"\n").unwrap();
    parse_canonical(line).unwrap();
    let entry = Entry::parse(line).unwrap();
    let id = LedgerId(LEDGER_ID);
    assert_eq!((entry.authenticate(id), entry.signing_key()), (Ok(()), key().public_key()));
    assert_eq!((entry.seq(), entry.ledger_id()), (1, id));
    assert_eq!(entry.object().get("kind").and_then(Value::as_str), Some("carbon_ops"));
}
