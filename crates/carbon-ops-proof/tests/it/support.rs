//! Fixed keys, and ledgers made line by line.

use std::ops::Range;

use carbon_ops_proof::canonical::{Object, Value};
use carbon_ops_proof::entry::{Durability, Entry, LedgerId, genesis_payload, sign};
use carbon_ops_proof::keys::{SecretKey, Trust};
use carbon_ops_proof::verify::{Report, verify};
use jiff::Timestamp;

const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);
pub(crate) const LEDGER_ID: [u8; 16] =
    [0x01, 0x92, 0xd7, 0xa0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xa1];

/// The test key of the format document: seed bytes 00 to 1f.
pub(crate) fn key() -> SecretKey {
    SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

pub(crate) fn other_key() -> SecretKey {
    SecretKey::from_seed(&[0x5a; 32])
}

pub(crate) fn trust() -> Trust {
    Trust::from_iter([key().public_key()])
}

/// A record whose number can be found again.
fn payload(n: u32) -> Object {
    Object::from_members([
        ("kind", Value::from("test")),
        ("n", Value::from(n)),
        ("note", Value::from("naïve \"quoted\" 😀")),
    ])
    .unwrap()
}

/// A genesis and the records 0 to `records` − 1.
pub(crate) fn ledger_of(records: u32, key: &SecretKey, id: [u8; 16]) -> Vec<u8> {
    let genesis =
        genesis_payload(NOW, "carbon-ops 0.2.0", key.public_key(), Durability::Sync, None).unwrap();
    let (_, mut file) = sign(&genesis, LedgerId(id), None, key).unwrap();
    file.push(b'\n');
    extended(file, 0..records, key)
}

/// A ledger and the records with these numbers behind it.
pub(crate) fn extended(mut file: Vec<u8>, records: Range<u32>, key: &SecretKey) -> Vec<u8> {
    let last = lines(&file).pop().unwrap();
    let mut last = Entry::parse(last.trim_ascii_end()).unwrap();
    for n in records {
        let (entry, line) = sign(&payload(n), last.ledger_id(), Some(&last.head()), key).unwrap();
        file.extend(line);
        file.push(b'\n');
        last = entry;
    }
    file
}

pub(crate) fn report(file: &[u8]) -> Report {
    verify(file, &trust(), &mut |_| Ok(())).unwrap()
}

pub(crate) fn lines(file: &[u8]) -> Vec<Vec<u8>> {
    file.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}
