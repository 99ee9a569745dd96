//! Frozen packs: what was ever written verifies for ever, and the same ledger gives the same bytes.

use std::fs;
use std::path::PathBuf;

use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_ledger::pack::{Contents, PackStatus, Selection, verify_pack, write_pack};
use carbon_ops_proof::cosignature::{cosign, verify};
use carbon_ops_proof::note::{KeyKind, Note, VerifierKey};

use crate::support::trust;

/// The time of the example in C2SP tlog-cosignature.
const TIME: u64 = 1_679_315_147;
const NAME: &str = "witness.example/w1";

fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(name)
}

fn witness() -> (SecretKey, VerifierKey) {
    let secret = SecretKey::from_seed(&std::array::from_fn(|i| 0x20 + u8::try_from(i).unwrap()));
    let key = VerifierKey::new(NAME, KeyKind::Cosignature, secret.public_key()).unwrap();
    (secret, key)
}

/// The checkpoint of `basic.ndjson`, cosigned by the key of the seed bytes 20, 21, … 3f.
fn cosigned() -> Note {
    let mut note = Note::parse(&fs::read(data("ledgers/v1/basic.checkpoint")).unwrap()).unwrap();
    note.add(cosign(&note, NAME, &witness().0, TIME).unwrap()).unwrap();
    note
}

fn pack(selection: &str) -> Vec<u8> {
    let selection: Selection = selection.parse().unwrap();
    let checkpoint = cosigned();
    let policy = format!("witness W {}\nquorum W\n", witness().1);
    let contents = Contents {
        checkpoint: &checkpoint,
        selection: &selection,
        earlier: None,
        policy: Some(&policy),
    };
    let mut bytes = Vec::new();
    write_pack(None, &data("ledgers/v1/basic.ndjson"), &contents, &mut bytes).unwrap();
    bytes
}

#[test]
fn frozen_packs_verify_and_are_written_again_byte_for_byte() {
    for (name, selection, entries) in
        [("packs/v1/basic-all.pack", "all", 7), ("packs/v1/basic-2.pack", "2", 2)]
    {
        let path = data(name);
        if std::env::var_os("CARBON_OPS_FREEZE").is_some() && !path.exists() {
            fs::write(&path, pack(selection)).unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        assert_eq!(pack(selection), bytes, "{name}");
        let report = verify_pack(&bytes[..], &trust(), &mut |_| Ok(())).unwrap();
        assert_eq!((report.status, report.entries), (PackStatus::Valid, entries), "{name}");
        let time = verify(report.checkpoint.as_ref().unwrap(), &witness().1);
        assert_eq!(time, Ok(Some(TIME)), "{name}");
        let report = verify_pack(&bytes[..], &Trust::new(), &mut |_| Ok(())).unwrap();
        assert_eq!(report.status, PackStatus::Untrusted, "{name}");
    }
}
