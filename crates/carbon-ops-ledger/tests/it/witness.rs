//! Two histories by the holder of the key, and a witness between them; what it answers, beside the
//! ledger.

use std::fs;
use std::path::{Path, PathBuf};

use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::keys::SecretKey;
use carbon_ops_ledger::storage::{DirStorage, LEDGER_FILE};
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_ledger::witness::{Answer, DirState, Request, Witness};
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, origin};
use carbon_ops_proof::cosignature;
use carbon_ops_proof::entry::LedgerId;
use carbon_ops_proof::merkle::consistency_proof;
use carbon_ops_proof::note::{KeyKind, Note, NoteSignature, VerifierKey};
use carbon_ops_proof::policy::Policy;
use carbon_ops_proof::verify::{Anchor, AnchorKind, Status, verify_against};
use tempfile::TempDir;

use crate::support::{LATER, LEDGER_ID, NOW, key, options, payload, trust};

const NAME: &str = "witness.example/w1";
const TIME: u64 = 1_790_000_000;

/// A folder with ledgers `a` and `b` of one beginning and two ends, and a witness's state.
struct Fork(TempDir);

impl Fork {
    fn new() -> Self {
        let fork = Self(tempfile::tempdir().unwrap());
        let key = key();
        let storage = DirStorage::new(fork.dir("a"));
        Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
        fork.grow("a", 0, 3);
        copy(&fork.dir("a"), &fork.dir("b"));
        DirState::create(&fork.dir("witness"), &witness_key()).unwrap();
        fork
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Appends records and signs a checkpoint.
    fn grow(&self, name: &str, from: u32, count: u32) -> Note {
        let key = key();
        let storage = DirStorage::new(self.dir(name));
        let mut ledger =
            Ledger::open_for_append(storage, &key, &trust(), LATER, options()).unwrap();
        for n in from..from + count {
            ledger.append(payload(n), NOW).unwrap();
        }
        ledger.checkpoint(NOW).unwrap().note
    }

    /// A witness that was started just now.
    fn witness(&self) -> Witness<DirState> {
        let log = VerifierKey::new(&origin_of(), KeyKind::Ed25519, key().public_key()).unwrap();
        let state = DirState::open(&self.dir("witness"), &witness_key()).unwrap();
        Witness::new(NAME, Box::new(secret()), [(origin_of(), log)], state).unwrap()
    }

    /// What an honest client of the ledger sends.
    fn request(&self, name: &str, old: u64, checkpoint: &Note) -> Request {
        let dir = self.dir(name);
        let size = Checkpoint::of_note(checkpoint).unwrap().size;
        let tiles = DirTiles::open(Some(&dir), &dir.join(LEDGER_FILE)).unwrap();
        let proof = consistency_proof(old, size, &mut TileTree::new(tiles, size)).unwrap();
        Request { old, proof: proof.unwrap_or_default(), checkpoint: checkpoint.clone() }
    }

    fn ask(&self, name: &str, old: u64, checkpoint: &Note) -> Answer {
        let request = self.request(name, old, checkpoint).to_string();
        self.witness().add_checkpoint(request.as_bytes(), TIME)
    }
}

fn secret() -> SecretKey {
    SecretKey::from_seed(&[0x77; 32])
}

fn witness_key() -> VerifierKey {
    VerifierKey::new(NAME, KeyKind::Cosignature, secret().public_key()).unwrap()
}

fn origin_of() -> String {
    origin(LedgerId(LEDGER_ID))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (path, name) = (item.as_ref().unwrap().path(), item.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn of_two_histories_by_the_holder_of_the_key_one_is_cosigned() {
    for [first, second] in [["a", "b"], ["b", "a"]] {
        let fork = Fork::new();
        let start = fork.grow(first, 0, 0);
        assert_eq!(fork.ask(first, 0, &start).status(), 200);
        // The same number of other lines; then more of them.
        let (_, seen) = (fork.grow(second, 900, 2), fork.grow(first, 3, 2));
        assert_eq!(fork.ask(first, 4, &seen).status(), 200);
        let same_size = fork.grow(second, 0, 0);
        assert_ne!(same_size.text(), seen.text());
        assert!(matches!(
            fork.ask(second, 6, &same_size),
            Answer::Conflict { size: 6, forked: true }
        ));
        let larger = fork.grow(second, 950, 5);
        for old in 0..=11 {
            let answer = fork.ask(second, old, &larger);
            let expected = if old == 6 { 422 } else { 409 };
            assert_eq!(answer.status(), expected, "from {old}: {answer:?}");
        }
        let go_on = fork.grow(first, 5, 9);
        assert_eq!(fork.ask(first, 6, &go_on).status(), 200);
        let evidence = fs::read_dir(fork.dir("witness/evidence")).unwrap();
        let evidence: Vec<_> =
            evidence.map(|item| fs::read(item.unwrap().path()).unwrap()).collect();
        assert_eq!(evidence, [same_size.to_string().into_bytes()]);
    }
}

#[test]
fn a_smaller_tree_is_refused_after_a_larger_one() {
    let fork = Fork::new();
    let small = fork.grow("a", 0, 0);
    let large = fork.grow("a", 3, 4);
    assert_eq!(fork.ask("a", 0, &large).status(), 200);
    for old in 0..=4 {
        let answer = fork.ask("a", old, &small);
        assert!(matches!(answer, Answer::Conflict { size: 8, forked: false }), "{answer:?}");
    }
}

#[test]
fn an_answer_that_never_arrived_is_had_again() {
    let fork = Fork::new();
    let checkpoint = fork.grow("a", 3, 1);
    // The witness died after its state was durable: nobody saw this answer.
    drop(fork.ask("a", 0, &checkpoint));
    assert!(matches!(fork.ask("a", 0, &checkpoint), Answer::Conflict { size: 5, .. }));
    assert_eq!(fork.ask("a", 5, &checkpoint).status(), 200);
    let other = fork.grow("b", 900, 1);
    assert_eq!(fork.ask("b", 5, &other).status(), 409);
}

#[test]
fn cosignatures_stand_in_the_checkpoint_and_in_the_history_and_the_ledger_verifies() {
    let fork = Fork::new();
    let note = fork.grow("a", 0, 0);
    let Answer::Cosigned(line) = fork.ask("a", 0, &note) else { panic!("not cosigned") };
    let key = key();
    let storage = || DirStorage::new(fork.dir("a"));
    let mut ledger = Ledger::open_for_append(storage(), &key, &trust(), LATER, options()).unwrap();
    let added = ledger.add_cosignatures(&note, vec![line.clone()]).unwrap();
    assert_eq!(cosignature::verify(&added, &witness_key()), Ok(Some(TIME)));
    let read = |name: &str| fs::read_to_string(fork.dir("a").join(name)).unwrap();
    assert_eq!(read(CHECKPOINT_FILE), added.to_string());
    assert_eq!(read(CHECKPOINT_LOG), format!("{note}{added}"));
    // Nothing new, nothing written.
    assert_eq!(ledger.add_cosignatures(&note, vec![line.clone()]).unwrap(), added);
    assert_eq!(read(CHECKPOINT_LOG), format!("{note}{added}"));
    // The signer takes its own checkpoint as before, and gives it back with the cosignature.
    let again = ledger.checkpoint(NOW).unwrap();
    assert_eq!((again.new, again.note), (false, added.clone()));
    let anchor = Anchor {
        source: CHECKPOINT_FILE.to_owned(),
        bytes: read(CHECKPOINT_FILE).into_bytes(),
        kind: AnchorKind::Checkpoint,
    };
    let file = fs::read(fork.dir("a").join(LEDGER_FILE)).unwrap();
    let report = verify_against(&file[..], &trust(), &[anchor], 0, &mut |_| Ok(())).unwrap();
    assert_eq!((report.status, report.covered), (Status::Valid, 4));
    let policy = format!("witness W {}\nquorum W\n", witness_key());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    assert!(policy.judge(&added, TIME).unwrap().quorum_met());
    assert!(!policy.judge(&note, TIME).unwrap().quorum_met());
    // An answer that comes after the next checkpoint does not replace it.
    let next = fork.grow("a", 3, 1);
    let late: Vec<NoteSignature> = vec![line];
    ledger.add_cosignatures(&note, late).unwrap();
    assert_eq!(read(CHECKPOINT_FILE), next.to_string());
    assert!(read(CHECKPOINT_LOG).ends_with(&added.to_string()));
}
