//! One rule of trust for ledgers, packs, proofs and checkpoints: however the key that began the ledger is
//! named, and whoever signs by now.

use std::fs;
use std::path::{Path, PathBuf};

use carbon_ops_ledger::keys::{PublicKey, SecretKey, Trust, trust_from};
use carbon_ops_ledger::pack::{Contents, PackStatus, Selection, verify_pack, write_pack};
use carbon_ops_ledger::tile::DirTiles;
use carbon_ops_proof::checkpoint::Checkpoint;
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::merkle::{Frontier, leaf_hash};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::proof::{Proof, ProofFault};
use carbon_ops_proof::verify::{Anchor, AnchorKind, Status, verify_against};

use crate::frozen::frozen;
use crate::support::{LEDGER_ID, key, lines, other_key, second_key};

/// A frozen ledger, and the key that signs its checkpoint.
fn subjects() -> [(PathBuf, SecretKey); 2] {
    let data = |name| {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ledgers/v1")).join(name)
    };
    [(data("basic.ndjson"), key()), (data("rotated.ndjson"), third_key())]
}

/// The key that joins `rotated.ndjson` last.
fn third_key() -> SecretKey {
    SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(64 + i).unwrap()))
}

fn checkpoint(file: &[u8], by: &SecretKey) -> Note {
    let mut tree = Frontier::new();
    for line in lines(file) {
        tree.push(leaf_hash(&line[..line.len() - 1]));
    }
    let ledger_id = LedgerId(LEDGER_ID);
    Checkpoint { ledger_id, size: tree.size(), root: tree.root() }.sign(by).unwrap()
}

fn proof(path: &Path, note: &Note, seq: u64) -> Proof {
    let open = || DirTiles::open(None, path).unwrap();
    Proof::make(&mut open(), open(), note, seq).unwrap()
}

fn pack(path: &Path, note: &Note, selection: &str) -> Vec<u8> {
    let selection: Selection = selection.parse().unwrap();
    let contents =
        Contents { checkpoint: note, selection: &selection, earlier: None, policy: None };
    let mut bytes = Vec::new();
    write_pack(None, path, &contents, &mut bytes).unwrap();
    bytes
}

/// What each kind of thing says: trusted or not; anything else fails.
fn verdicts(path: &Path, signer: &SecretKey, trust: &Trust) -> [bool; 5] {
    let file = fs::read(path).unwrap();
    let note = checkpoint(&file, signer);
    let ledger = |anchors: &[Anchor]| {
        let report = verify_against(&file[..], trust, anchors, 0, &mut |_| Ok(())).unwrap();
        assert_eq!(report.covered, if anchors.is_empty() { 0 } else { report.lines });
        match report.status {
            Status::Valid => true,
            Status::Untrusted => false,
            other => panic!("{other:?}"),
        }
    };
    let bytes = note.to_string().into_bytes();
    let anchor = Anchor { source: "kept".into(), bytes, kind: AnchorKind::Checkpoint };
    let pack = |selection: &str| {
        let report = verify_pack(&pack(path, &note, selection)[..], trust, &mut |_| Ok(()));
        match report.unwrap() {
            report if report.status == PackStatus::Valid => true,
            report if report.status == PackStatus::Untrusted => false,
            report => panic!("{report:?}"),
        }
    };
    let proof = match proof(path, &note, 4).check(trust) {
        Ok(proven) => proven.entry.seq() == 4,
        Err(fault) => {
            assert!(fault.is_untrusted(), "{fault}");
            false
        }
    };
    [ledger(&[]), ledger(&[anchor]), pack("all"), pack("2"), proof]
}

#[test]
fn the_key_that_began_a_ledger_is_enough_by_any_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let names = |key: PublicKey| {
        let file = |name: &str, line: String| {
            let path = dir.path().join(name);
            fs::write(&path, format!("# trusted\n{line} a comment\n")).unwrap();
            path.to_str().unwrap().to_owned()
        };
        [
            file("hex", key.to_hex()),
            file("fingerprint", key.fingerprint()),
            key.to_hex(),
            key.to_hex().to_uppercase(),
            key.fingerprint(),
        ]
    };
    for (path, signer) in subjects() {
        for name in names(key().public_key()) {
            let trust = trust_from(&name).unwrap();
            assert_eq!(verdicts(&path, &signer, &trust), [true; 5], "{name}: {path:?}");
        }
        for name in names(other_key().public_key()) {
            let trust = trust_from(&name).unwrap();
            assert_eq!(verdicts(&path, &signer, &trust), [false; 5], "{name}: {path:?}");
        }
    }
}

/// A key that joined says nothing of who began the ledger and wrote what stands before.
#[test]
fn a_key_that_joined_later_is_not_enough() {
    let [_, (path, signer)] = subjects();
    for later in [second_key(), third_key()] {
        let trust = Trust::from_iter([later.public_key()]);
        assert_eq!(verdicts(&path, &signer, &trust), [false; 5]);
    }
    // But for the very entries that it signed, under a checkpoint by a key that is trusted as well.
    let note = checkpoint(&fs::read(&path).unwrap(), &signer);
    let both = Trust::from_iter([second_key(), third_key()].map(|key| key.public_key()));
    let proven = proof(&path, &note, 4).check(&both).unwrap();
    assert_eq!((proven.entry.seq(), proven.genesis_key), (4, None));
    let by_genesis = proof(&path, &note, 1).check(&both).unwrap_err();
    assert_eq!(by_genesis, ProofFault::UntrustedEntry(key().public_key().fingerprint()));
}

#[test]
fn keys_that_joined_are_trusted_through_the_entry_that_let_them() {
    let [_, (path, _)] = subjects();
    let file = fs::read(path).unwrap();
    let through = |trusted: &SecretKey| {
        let trust = Trust::from_iter([trusted.public_key()]);
        let report = verify_against(&file[..], &trust, &[], 0, &mut |_| Ok(())).unwrap();
        report.keys.iter().map(|key| (key.trusted, key.trusted_through)).collect::<Vec<_>>()
    };
    assert_eq!(through(&key()), [(true, None), (false, Some(3)), (false, Some(6))]);
    assert_eq!(through(&third_key()), [(false, None), (false, None), (true, None)]);
}

#[test]
fn a_proof_carries_who_may_sign_and_no_flipped_bit_or_missing_line_of_that_passes() {
    let [(basic, first), (path, signer)] = subjects();
    // Where one key did all, there is nothing to carry.
    let note = checkpoint(&fs::read(&basic).unwrap(), &first);
    assert!(!proof(&basic, &note, 2).extra.unwrap().contains(&b'\n'));
    let trust = Trust::from_iter([key().public_key()]);
    let note = checkpoint(&fs::read(&path).unwrap(), &signer);
    for seq in 0..10 {
        let proof = proof(&path, &note, seq);
        assert_eq!(Proof::parse(proof.to_string().as_bytes()).as_ref(), Ok(&proof));
        assert_eq!(proof.key_to_trust(), Some(key().public_key()));
        let proven = proof.check(&trust).unwrap();
        assert_eq!(proven.entry.seq(), seq);
        assert_eq!(proven.checkpoint_key, third_key().public_key());
        assert_eq!(proven.genesis_key, Some(key().public_key()));
    }
    let good = proof(&path, &note, 4);
    let text = good.to_string();
    assert_eq!(frozen("rotated-4.tlog-proof", text.as_bytes()), text.as_bytes());
    let extra = good.extra.clone().unwrap();
    let check = |extra: Vec<u8>| Proof { extra: Some(extra), ..good.clone() }.check(&trust);
    // Without its last change, the proof says less, and nothing false: whoever signed the checkpoint
    // might have signed one of a ledger without it.
    let last = extra.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(6).unwrap().0;
    for at in 0..extra.len() {
        let mut bad = extra.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(check(bad).is_err(), "byte {at}");
        assert_eq!(check(extra[..at].to_vec()).is_ok(), at == last, "cut at {at}");
    }
    // Entry, then pairs: genesis, the changes of lines 3, 6 and 8. Entry 4 is by a key of line 3, and
    // the checkpoint by one of line 6.
    let lines: Vec<&[u8]> = extra.split(|byte| *byte == b'\n').collect();
    let some = |kept: &[usize]| kept.iter().map(|at| lines[*at]).collect::<Vec<_>>().join(&b'\n');
    assert_eq!(lines.len(), 9);
    for missing in [&[0, 1, 2, 5, 6, 7, 8][..], &[0, 1, 2, 3, 4, 7, 8], &[0, 3, 4, 5, 6, 7, 8]] {
        assert!(check(some(missing)).is_err(), "{missing:?}");
    }
    for order in [&[0, 1, 2, 5, 6, 3, 4, 7, 8][..], &[0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8]] {
        assert!(check(some(order)).is_err(), "{order:?}");
    }
}

/// Whoever was retired signs nothing more, also where the proof carries that the key once could.
#[test]
fn a_retired_key_signs_no_checkpoint() {
    let [_, (path, _)] = subjects();
    let trust = Trust::from_iter([key().public_key()]);
    let note = checkpoint(&fs::read(&path).unwrap(), &second_key());
    assert_eq!(proof(&path, &note, 4).check(&trust), Err(ProofFault::UntrustedCheckpoint));
}
