//! What the specification says of each request, in its order; state that fails; forks.

use std::collections::HashMap;

use carbon_ops_proof::keys::SecretKey;
use carbon_ops_proof::merkle::{Subtrees, consistency_proof, node_hash, root_at};
use proptest::prelude::*;

use super::*;
use carbon_ops_proof::cosignature;

const ORIGIN: &str =
    "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
const NAME: &str = "example.com/witness";
const NOW: u64 = 1_679_315_147;

/// The tree of the tests of litewitness (Go, filippo.io/torchwood): five leaves, whose hashes are
/// 2a, the index, and zeros; `history` other than 0 changes them.
struct Leaves {
    history: u8,
}

impl Subtrees for Leaves {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, level: u8, index: u64) -> Result<TreeHash, Self::Error> {
        if level == 0 {
            let mut hash = [0; 32];
            // Histories part at the fourth leaf.
            let parted = if index >= 3 { self.history } else { 0 };
            (hash[0], hash[1], hash[2]) = (0x2a, u8::try_from(index).unwrap(), parted);
            return Ok(TreeHash(hash));
        }
        let left = self.subtree(level - 1, 2 * index)?;
        Ok(node_hash(left, self.subtree(level - 1, 2 * index + 1)?))
    }
}

fn log_key() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

fn checkpoint(origin: &str, size: u64, history: u8, key: &SecretKey) -> Note {
    let root = root_at(size, &mut Leaves { history }).unwrap();
    Note::sign(format!("{origin}\n{size}\n{root}\n"), origin, key).unwrap()
}

fn request(old: u64, size: u64, history: u8) -> Request {
    let proof = consistency_proof(old, size, &mut Leaves { history }).unwrap().unwrap_or_default();
    Request { old, proof, checkpoint: checkpoint(ORIGIN, size, history, &log_key()) }
}

/// A store in memory that fails where it is told to.
#[derive(Default)]
struct Memory {
    notes: HashMap<String, Note>,
    evidence: Vec<Note>,
    fails: bool,
    stores: usize,
}

impl StateStore for &mut Memory {
    fn load(&mut self, origin: &str) -> io::Result<Option<Note>> {
        Ok(self.notes.get(origin).cloned())
    }

    fn store(&mut self, origin: &str, checkpoint: &Note) -> io::Result<()> {
        if self.fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.stores += 1;
        self.notes.insert(origin.to_owned(), checkpoint.clone());
        Ok(())
    }

    fn keep_evidence(&mut self, _: &str, forked: &Note) -> io::Result<()> {
        self.evidence.push(forked.clone());
        Ok(())
    }
}

fn logs() -> Vec<(String, VerifierKey)> {
    let key = VerifierKey::new(ORIGIN, KeyKind::Ed25519, log_key().public_key()).unwrap();
    vec![(ORIGIN.to_owned(), key)]
}

fn witness<S: StateStore>(store: S) -> Witness<S> {
    Witness::new(NAME, Box::new(SecretKey::from_seed(&[4; 32])), logs(), store).unwrap()
}

fn ask<S: StateStore>(witness: &mut Witness<S>, request: &Request) -> (u16, String) {
    let answer = witness.add_checkpoint(request.to_string().as_bytes(), NOW);
    (answer.status(), answer.body())
}

/// Roots and proofs as litewitness's test script has them, so that the tree here is that of Go.
#[test]
fn the_trees_of_these_tests_are_those_of_another_implementation() {
    for (size, root) in [
        (1, "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        (3, "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0="),
        (5, "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY="),
    ] {
        assert_eq!(root_at(size, &mut Leaves { history: 0 }).unwrap().to_string(), root);
    }
    let lines: Vec<String> = request(1, 5, 0).proof.iter().map(ToString::to_string).collect();
    let theirs = [
        "KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=",
        "KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ];
    assert_eq!(lines, theirs);
}

/// The steps of litewitness's test script, with the statuses of C2SP tlog-witness.
#[test]
fn a_log_grows_from_one_to_three_to_five_and_everything_else_is_refused() {
    let mut memory = Memory::default();
    let mut witness = witness(&mut memory);
    let (status, line) = ask(&mut witness, &request(0, 1, 0));
    assert_eq!(status, 200);
    let mut cosigned = request(0, 1, 0).checkpoint;
    cosigned.add(NoteSignature::parse_lines(&line).unwrap().remove(0)).unwrap();
    assert_eq!(cosignature::verify(&cosigned, witness.key()), Ok(Some(NOW)));
    // Signed by a stranger; another log; a proof that lacks, or has another hash.
    let forged = Request {
        checkpoint: checkpoint(ORIGIN, 3, 0, &SecretKey::from_seed(&[9; 32])),
        ..request(1, 3, 0)
    };
    assert_eq!(ask(&mut witness, &forged).0, 403);
    let other = Request { checkpoint: checkpoint("other", 3, 0, &log_key()), ..request(1, 3, 0) };
    assert_eq!(ask(&mut witness, &other).0, 404);
    assert_eq!(ask(&mut witness, &Request { proof: Vec::new(), ..request(1, 3, 0) }).0, 422);
    let mut bent = request(1, 3, 0);
    bent.proof[1].0[31] ^= 0x10;
    assert_eq!(ask(&mut witness, &bent).0, 422);
    assert_eq!(ask(&mut witness, &request(1, 3, 0)).0, 200);
    assert_eq!(ask(&mut witness, &request(1, 5, 0)), (409, "3\n".to_owned()));
    assert_eq!(ask(&mut witness, &Request { old: 4, ..request(3, 3, 0) }).0, 400);
    assert_eq!(ask(&mut witness, &request(3, 5, 0)).0, 200);
    assert_eq!(ask(&mut witness, &request(0, 5, 0)), (409, "5\n".to_owned()));
    assert_eq!(ask(&mut witness, &request(5, 5, 0)).0, 200, "the same once more");
    assert_eq!(ask(&mut witness, &request(3, 3, 0)), (409, "5\n".to_owned()), "an older one");
    assert_eq!(ask(&mut witness, &request(5, 5, 1)), (409, "5\n".to_owned()), "another root");
    let surplus = Request { proof: vec![empty_root()], ..request(5, 5, 0) };
    assert_eq!(ask(&mut witness, &surplus).0, 422);
    drop(witness);
    assert_eq!(memory.evidence, [checkpoint(ORIGIN, 5, 1, &log_key())]);
}

#[test]
fn of_two_histories_one_is_cosigned_whatever_comes_first() {
    for first in [0, 1] {
        let second = 1 - first;
        let mut memory = Memory::default();
        let mut witness = witness(&mut memory);
        assert_eq!(ask(&mut witness, &request(0, 4, first)).0, 200);
        assert_eq!(ask(&mut witness, &request(4, 4, second)).0, 409);
        // The forger has a proof for their own history only, and may try every old size.
        for size in 4..8 {
            for old in 0..=size {
                let (status, _) = ask(&mut witness, &request(old, size, second));
                assert!([409, 422].contains(&status), "from {old} to {size}: {status}");
            }
        }
        assert_eq!(ask(&mut witness, &request(4, 7, first)).0, 200);
    }
}

#[test]
fn an_empty_tree_has_one_root() {
    let mut memory = Memory::default();
    let mut witness = witness(&mut memory);
    let text = format!("{ORIGIN}\n0\n{}\n", TreeHash([7; 32]));
    let checkpoint = Note::sign(text, ORIGIN, &log_key()).unwrap();
    assert_eq!(ask(&mut witness, &Request { old: 0, proof: Vec::new(), checkpoint }).0, 422);
    assert_eq!(ask(&mut witness, &request(0, 0, 0)).0, 200);
    assert_eq!(ask(&mut witness, &request(0, 5, 0)).0, 200);
}

#[test]
fn nothing_is_cosigned_unless_the_state_is_stored() {
    let mut memory = Memory { fails: true, ..Memory::default() };
    assert_eq!(ask(&mut witness(&mut memory), &request(0, 3, 0)).0, 500);
    memory.fails = false;
    assert_eq!(ask(&mut witness(&mut memory), &request(0, 3, 0)).0, 200);
    memory.fails = true;
    // A state that may never have reached the disk is not relied on either.
    assert_eq!(ask(&mut witness(&mut memory), &request(3, 3, 0)).0, 500);
    memory.fails = false;
    assert_eq!(ask(&mut witness(&mut memory), &request(3, 3, 0)).0, 200);
    assert_eq!(memory.stores, 2);
}

#[test]
fn signatures_of_others_are_passed_over_and_not_stored() {
    let mut memory = Memory::default();
    let mut asked = request(0, 3, 0);
    let stranger = Note::sign("x\n".into(), "stranger", &SecretKey::from_seed(&[8; 32])).unwrap();
    asked.checkpoint.add(stranger.signatures()[0].clone()).unwrap();
    assert_eq!(ask(&mut witness(&mut memory), &asked).0, 200);
    assert_eq!(memory.notes[ORIGIN], checkpoint(ORIGIN, 3, 0, &log_key()));
    // A line under the log's own name and key that does not verify is not passed over.
    let mut bad = request(3, 5, 0);
    let line = checkpoint(ORIGIN, 4, 0, &log_key()).signatures()[0].clone();
    let text = format!("{}{line}", bad.checkpoint);
    bad.checkpoint = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(ask(&mut witness(&mut memory), &bad).0, 403);
}

#[test]
fn a_log_may_have_two_keys_while_it_changes_them() {
    let (old, new) = (log_key(), SecretKey::from_seed(&[5; 32]));
    let mut memory = Memory::default();
    let key = VerifierKey::new(ORIGIN, KeyKind::Ed25519, new.public_key()).unwrap();
    let both = logs().into_iter().chain([(ORIGIN.to_owned(), key)]);
    let mut witness =
        Witness::new(NAME, Box::new(SecretKey::from_seed(&[4; 32])), both, &mut memory).unwrap();
    assert_eq!(ask(&mut witness, &request(0, 3, 0)).0, 200);
    let later = Request { checkpoint: checkpoint(ORIGIN, 5, 0, &new), ..request(3, 5, 0) };
    assert_eq!(ask(&mut witness, &later).0, 200);
    assert_eq!(ask(&mut witness, &request(5, 5, 0)).0, 200, "{:?}", old.public_key());
}

#[test]
fn only_the_one_spelling_of_a_request_is_read() {
    let good = request(3, 5, 0).to_string();
    assert!(Request::parse(good.as_bytes()).is_ok());
    let (hash, line) = (TreeHash([1; 32]), "\u{2014} x");
    for bad in [
        good.replacen("old 3", "old 03", 1),
        good.replacen("old 3", "old +3", 1),
        good.replacen("old 3", "old  3", 1),
        good.replacen("old 3", "Old 3", 1),
        good.replacen("old 3", "old 18446744073709551616", 1),
        good.replacen("old 3\n", "", 1),
        good.replacen("KgI", "KgJ ", 1),
        good.replace('\n', "\r\n"),
        good.strip_suffix('\n').unwrap().to_owned(),
        format!("{good}{line}"),
        format!("old 3\n{}\n{}", format!("{hash}\n").repeat(64), request(3, 5, 0).checkpoint),
        "old 3\n".to_owned(),
        String::new(),
    ] {
        assert_ne!(bad, good);
        assert!(Request::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let long =
        format!("old 3\n{}\n{}", format!("{hash}\n").repeat(63), request(3, 5, 0).checkpoint);
    assert_eq!(Request::parse(long.as_bytes()).unwrap().proof.len(), 63);
}

#[test]
fn a_directory_keeps_its_state_over_a_restart_and_knows_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let key = |n: u8| {
        let key = SecretKey::from_seed(&[n; 32]).public_key();
        VerifierKey::new(NAME, KeyKind::Cosignature, key).unwrap()
    };
    assert!(matches!(DirState::open(&path, &key(4)), Err(WitnessDirError::NotInitialised(_))));
    assert!(DirState::create(&path, &key(4)).unwrap());
    assert!(!DirState::create(&path, &key(4)).unwrap(), "once");
    assert!(matches!(DirState::create(&path, &key(5)), Err(WitnessDirError::OtherWitness { .. })));
    assert!(matches!(DirState::open(&path, &key(5)), Err(WitnessDirError::OtherWitness { .. })));
    let mut first = witness(DirState::open(&path, &key(4)).unwrap());
    assert!(matches!(DirState::open(&path, &key(4)), Err(WitnessDirError::Busy(_))));
    assert_eq!(ask(&mut first, &request(0, 5, 0)).0, 200);
    assert_eq!(ask(&mut first, &request(5, 5, 1)).0, 409);
    drop(first);
    let mut again = witness(DirState::open(&path, &key(4)).unwrap());
    assert_eq!(ask(&mut again, &request(0, 7, 1)), (409, "5\n".to_owned()));
    assert_eq!(ask(&mut again, &request(5, 7, 1)).0, 422);
    assert_eq!(ask(&mut again, &request(5, 7, 0)).0, 200);
    assert_eq!(std::fs::read_dir(path.join("evidence")).unwrap().count(), 1);
    drop(again);
    // What is damaged is not taken for "never seen".
    let file = std::fs::read_dir(path.join("logs")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "nonsense").unwrap();
    let mut damaged = witness(DirState::open(&path, &key(4)).unwrap());
    assert_eq!(ask(&mut damaged, &request(0, 7, 1)).0, 500);
}

#[test]
fn lists_of_logs_are_read_strictly() {
    let key = |n: u8, name: &str| {
        let key = SecretKey::from_seed(&[n; 32]).public_key();
        VerifierKey::new(name, KeyKind::Ed25519, key).unwrap()
    };
    let good = format!(
        "#\n# a list\n  logs/v0 \n\n\tvkey {}\nqpd 86400\ncontact foo\nvkey {}\norigin something else\n qpd 24\n\
         contact sysadmin (at) bar.org\n",
        key(1, "foo"),
        key(2, "bar")
    );
    let logs = parse_log_list(good.as_bytes()).unwrap();
    let expected =
        [("foo".to_owned(), key(1, "foo")), ("something else".to_owned(), key(2, "bar"))];
    assert_eq!(logs, expected);
    assert_eq!(parse_log_list(b"logs/v0"), Ok(Vec::new()));
    for bad in [
        good.replace("logs/v0", "logs/v1"),
        good.replace("qpd 24", "qpd 0"),
        good.replace("qpd 24", "qpd 2147483648"),
        good.replace("qpd 24", "qpd 024"),
        good.replace("qpd 86400\n", ""),
        good.replace("contact foo\n", ""),
        good.replace("origin something else", "origin foo"),
        good.replace("contact foo\n", "contact foo\nqpd 5\n"),
        good.replace("contact sysadmin (at) bar.org\n", ""),
        String::new(),
    ] {
        assert!(parse_log_list(bad.as_bytes()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_printed(
        old: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=MAX_PROOF_LINES),
    ) {
        let proof = hashes.into_iter().map(TreeHash).collect();
        let request = Request { old, proof, checkpoint: checkpoint(ORIGIN, 3, 0, &log_key()) };
        prop_assert_eq!(Request::parse(request.to_string().as_bytes()), Ok(request));
    }

    #[test]
    fn hostile_requests_never_panic(
        head in "(old [0-9]{0,21}\n)?([A-Za-z0-9+/=]{0,44}\n){0,3}\n?", rest in "[ -~\n\u{2014}]{0,80}",
    ) {
        let bytes = format!("{head}{rest}");
        let mut memory = Memory::default();
        let answer = witness(&mut memory).add_checkpoint(bytes.as_bytes(), NOW);
        prop_assert_eq!(answer.status(), 400);
    }
}
