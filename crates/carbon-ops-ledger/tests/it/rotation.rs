//! Changing keys while a ledger grows: who may write, what a verification says, what a crash leaves.

use std::sync::Arc;
use std::time::Duration;

use carbon_ops_ledger::append::pipeline::{Pipeline, PipelineOptions};
use carbon_ops_ledger::append::{Ledger, Rotation, WriterOptions};
use carbon_ops_ledger::keys::{PublicKey, SecretKey, Signer, Trust};
use carbon_ops_ledger::storage::{DirStorage, LEDGER_FILE};
use carbon_ops_ledger::{Error, Result};
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::entry::{AddedKey, LedgerId, RetiredKey, RotationReason, possession_text};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, AnchorVerdict, Log, Settings, Status, verify_against, verify_records,
};
use tempfile::TempDir;

use crate::frozen::frozen;
use crate::pipeline::HandClock;
use crate::support::{
    Failure, Happens, LATER, LEDGER_ID, MemoryDisk, NOW, code, key, lines, numbers, options,
    payload, report, second_key, trust,
};

fn retired(key: &SecretKey) -> RetiredKey {
    RetiredKey { public_key: key.public_key(), compromised_since: None }
}

fn open<'k>(disk: &MemoryDisk, key: &'k SecretKey) -> Result<Ledger<'k, MemoryDisk>> {
    Ledger::open_for_append(disk.clone(), key, &trust(), LATER, options())
}

/// A genesis, two records, a change from the first key to the second.
fn rotated() -> MemoryDisk {
    let (disk, old, new) = (MemoryDisk::default(), key(), second_key());
    let mut ledger = Ledger::create(disk.clone(), &old, LEDGER_ID, NOW, options()).unwrap();
    ledger.append(payload(1), NOW).unwrap();
    ledger.append(payload(2), NOW).unwrap();
    let rotation = Rotation {
        add: vec![&new],
        retire: vec![retired(&old)],
        reason: Some(RotationReason::Superseded),
        ..Rotation::default()
    };
    assert_eq!(ledger.rotate(&rotation, LATER).unwrap().seq, 3);
    disk
}

/// Line 4 is the change. Later a key of another host joins, and the second one is found to have been in
/// the wrong hands since line 6.
fn frozen_rotated() -> Vec<u8> {
    let (disk, new) = (rotated(), second_key());
    let other = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(64 + i).unwrap()));
    let mut ledger = open(&disk, &new).unwrap();
    ledger.append(payload(3), LATER).unwrap();
    ledger.append(payload(4), LATER).unwrap();
    let joins = Rotation {
        add: vec![&other],
        reason: Some(RotationReason::WriterAdded),
        ..Rotation::default()
    };
    ledger.rotate(&joins, LATER).unwrap();
    ledger.append(payload(5), LATER).unwrap();
    let mut ledger = open(&disk, &other).unwrap();
    let leaves = Rotation {
        retire: vec![RetiredKey { public_key: new.public_key(), compromised_since: Some(5) }],
        reason: Some(RotationReason::KeyCompromise),
        ..Rotation::default()
    };
    ledger.rotate(&leaves, LATER).unwrap();
    ledger.append(payload(6), LATER).unwrap();
    disk.file()
}

#[test]
fn a_rotated_ledger_verifies_and_is_written_the_same_again() {
    let file = frozen("rotated.ndjson", &frozen_rotated());
    let report = report(&file);
    assert_eq!((report.status, report.entries, report.rotations), (Status::Valid, 10, 3));
    let terms: Vec<_> =
        report.keys.iter().map(|k| (k.added_seq, k.retired_seq, k.entries)).collect();
    assert_eq!(terms, [(None, Some(3), 4), (Some(3), Some(8), 4), (Some(6), None, 2)]);
}

#[test]
fn entries_since_a_key_was_compromised_are_named_and_the_ledger_stays_valid() {
    let report = report(&frozen_rotated());
    assert_eq!(report.status, Status::Valid);
    let [suspect] = &report.suspects[..] else { panic!("{:?}", report.suspects) };
    assert_eq!(suspect.public_key, second_key().public_key().to_hex());
    assert_eq!((suspect.compromised_since, suspect.retired_seq), (5, 8));
    // Lines 6 to 8 are its own: a record, a change of keys, a record.
    assert_eq!((suspect.entries, suspect.complete), (3, true));
    assert_eq!(suspect.seqs, [(5, 7)]);
}

#[test]
fn after_a_change_the_old_key_writes_nothing_more_and_the_new_one_does() {
    let (disk, old, new) = (rotated(), key(), second_key());
    assert!(matches!(open(&disk, &old), Err(Error::KeyNotInRoster { .. })));
    open(&disk, &new).unwrap().append(payload(3), LATER).unwrap();
    let report = report(&disk.file());
    assert_eq!((report.status, report.entries), (Status::Valid, 5));
}

#[test]
fn a_writer_that_was_open_before_a_change_notices_it() {
    let (disk, old, new) = (MemoryDisk::default(), key(), second_key());
    let mut first = Ledger::create(disk.clone(), &old, LEDGER_ID, NOW, options()).unwrap();
    let mut second = open(&disk, &old).unwrap();
    let rotation = Rotation { add: vec![&new], retire: vec![retired(&old)], ..Rotation::default() };
    first.rotate(&rotation, NOW).unwrap();
    for ledger in [&mut first, &mut second] {
        let refused = ledger.append(payload(1), NOW);
        assert!(matches!(refused, Err(Error::KeyNotInRoster { .. })), "{refused:?}");
    }
    assert_eq!(lines(&disk.file()).len(), 2);
}

#[test]
fn a_line_by_a_retired_key_is_a_fault_of_that_line() {
    // The same ledger written on by the old key, which knows nothing of the change.
    let (disk, old) = (rotated(), key());
    let before = lines(&disk.file());
    let fork = MemoryDisk::of_file(&before[..3].concat());
    open(&fork, &old).unwrap().append(payload(9), LATER).unwrap();
    let forged = lines(&fork.file()).pop().unwrap();
    let report = report(&[before.concat(), forged].concat());
    let fault = report.first_fault.unwrap();
    // It carries the number 3, which the old key may sign, and 4 is due here.
    assert_eq!((report.status, fault.line, fault.code), (Status::Tampered, 5, "seq"));
}

#[test]
fn without_the_line_that_adds_a_key_its_lines_are_faults() {
    let (disk, new) = (rotated(), second_key());
    open(&disk, &new).unwrap().append(payload(3), LATER).unwrap();
    let mut kept = lines(&disk.file());
    kept.remove(3);
    let fault = report(&kept.concat()).first_fault.unwrap();
    assert_eq!((fault.line, fault.code), (4, "key_not_in_roster"));
}

#[test]
fn a_change_in_the_wrong_place_is_one_fault_and_not_one_for_each_line_after_it() {
    let mut moved = lines(&frozen_rotated());
    moved.swap(2, 3);
    let report = report(&moved.concat());
    let faults: Vec<_> = report.faults.iter().map(|f| (f.line, f.code)).collect();
    assert_eq!(faults, [(3, "seq"), (4, "seq"), (5, "seq")]);
}

#[test]
fn checkpoints_are_signed_by_who_may_sign_at_their_size() {
    let (disk, old, new) = (MemoryDisk::default(), key(), second_key());
    let mut ledger = Ledger::create(disk.clone(), &old, LEDGER_ID, NOW, options()).unwrap();
    ledger.append(payload(1), NOW).unwrap();
    let early = ledger.checkpoint(NOW).unwrap();
    let rotation = Rotation { add: vec![&new], retire: vec![retired(&old)], ..Rotation::default() };
    ledger.rotate(&rotation, NOW).unwrap();
    // The last checkpoint is by a key that has left since, and the next one goes on from it.
    let late = open(&disk, &new).unwrap().checkpoint(LATER).unwrap();
    assert_eq!((early.checkpoint.size, late.checkpoint.size), (2, 3));
    let stranger = Trust::new();
    let judge = |note: String| {
        let anchor = Anchor {
            source: "kept".into(),
            bytes: note.into_bytes(),
            kind: AnchorKind::Checkpoint,
        };
        let report = verify_against(&disk.file()[..], &stranger, &[anchor], 0, &mut |_| Ok(()));
        report.unwrap().anchors[0].reason.clone()
    };
    assert_eq!(judge(early.note.to_string()), None);
    assert_eq!(judge(late.note.to_string()), None);
    // Signed by the key that left, over what was never its to sign.
    let text = late.note.text().to_owned();
    let name = text.lines().next().unwrap().to_owned();
    let forged = Note::sign(text, &name, &old).unwrap();
    assert!(judge(forged.to_string()).is_some());
}

#[test]
fn changes_below_a_checkpoint_that_is_only_compared_count_all_the_same() {
    let (disk, new) = (rotated(), second_key());
    let mut ledger = open(&disk, &new).unwrap();
    let bytes = ledger.checkpoint(LATER).unwrap().note.to_string().into_bytes();
    ledger.append(payload(3), LATER).unwrap();
    let anchor = Anchor { source: "kept".into(), bytes, kind: AnchorKind::Checkpoint };
    let report = verify_against(&disk.file()[..], &trust(), &[anchor], 4, &mut |_| Ok(())).unwrap();
    assert_eq!((report.status, report.compared, report.rotations), (Status::Valid, 3, 1));
}

#[test]
fn a_key_of_another_host_joins_by_the_proof_that_its_holder_made() {
    let (disk, here, there) = (MemoryDisk::default(), key(), second_key());
    let mut ledger = Ledger::create(disk.clone(), &here, LEDGER_ID, NOW, options()).unwrap();
    let prove = |ledger: &Ledger<'_, MemoryDisk>| {
        let (id, head) = (LedgerId(LEDGER_ID), ledger.head());
        let text = possession_text(id, &head, here.public_key(), there.public_key());
        let proof = there.sign(text.as_bytes()).unwrap();
        Rotation {
            add_proven: vec![AddedKey { public_key: there.public_key(), proof }],
            ..Rotation::default()
        }
    };
    let stale = prove(&ledger);
    ledger.append(payload(1), NOW).unwrap();
    let refused = ledger.rotate(&stale, NOW);
    assert!(matches!(refused, Err(Error::InvalidEntry(_))), "{refused:?}");
    assert_eq!(lines(&disk.file()).len(), 2);
    ledger.rotate(&prove(&ledger), NOW).unwrap();
    open(&disk, &there).unwrap().append(payload(2), LATER).unwrap();
    ledger.append(payload(3), LATER).unwrap();
    assert_eq!(report(&disk.file()).status, Status::Valid);
}

#[test]
fn what_is_kept_of_the_roster_may_be_lost_wrong_or_old() {
    let (disk, new) = (rotated(), second_key());
    let kept = disk.content().beside["roster.state"].clone();
    open(&disk, &new).unwrap().append(payload(3), LATER).unwrap();
    // As before the change: the kept length is known not to fit the last line's key.
    let old = format!(
        "carbon-ops/roster/v1\n{}\n{}\n",
        LedgerId(LEDGER_ID),
        lines(&disk.file())[..4].concat().len()
    );
    for state in [Some(kept), None, Some(b"nonsense".to_vec()), Some(old.into_bytes())] {
        let mut content = disk.content();
        content.beside.remove("roster.state");
        if let Some(state) = state {
            content.beside.insert("roster.state".into(), state);
        }
        let disk = MemoryDisk::holding(content);
        open(&disk, &new).unwrap().append(payload(4), LATER).unwrap();
        assert_eq!(report(&disk.file()).status, Status::Valid);
    }
}

/// A module that refuses to sign, as a hardware module or an agent may.
struct Refusing(PublicKey);

impl Signer for Refusing {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, _: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
        Err(carbon_ops_proof::Error::Signer { reason: "the card was removed".into() })
    }
}

#[test]
fn a_foreign_signer_that_refuses_leaves_the_ledger_as_it_was_and_can_be_asked_again() {
    let (disk, old) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &old, LEDGER_ID, NOW, options()).unwrap();
    let before = disk.content();
    let absent = Refusing(second_key().public_key());
    let rotation = Rotation { add: vec![&absent], ..Rotation::default() };
    let refused = ledger.rotate(&rotation, NOW);
    assert!(
        matches!(&refused, Err(Error::Proof(carbon_ops_proof::Error::Signer { .. }))),
        "{refused:?}"
    );
    let card = Refusing(old.public_key());
    let mut by_card =
        Ledger::open_for_append(disk.clone(), &card, &trust(), NOW, options()).unwrap();
    assert!(matches!(
        by_card.append(payload(1), NOW),
        Err(Error::Proof(carbon_ops_proof::Error::Signer { .. }))
    ));
    assert!(matches!(
        by_card.checkpoint(NOW),
        Err(Error::Proof(carbon_ops_proof::Error::Signer { .. }))
    ));
    assert_eq!(disk.content().file, before.file);
    assert!(!disk.content().beside.contains_key("checkpoint"));
    ledger.append(payload(1), NOW).unwrap();
}

#[test]
fn a_change_that_fails_at_any_call_is_there_or_not_and_the_right_key_goes_on() {
    let (old, new) = (key(), second_key());
    let mut call = 0;
    let (mut stayed, mut changed) = (0, 0);
    loop {
        let disk = MemoryDisk::default();
        let mut ledger = Ledger::create(disk.clone(), &old, LEDGER_ID, NOW, options()).unwrap();
        ledger.append(payload(1), NOW).unwrap();
        let happens = if call % 2 == 0 { Happens::Nothing } else { Happens::Everything };
        disk.fail(Failure { call: call / 2, happens, dies: true });
        let rotation =
            Rotation { add: vec![&new], retire: vec![retired(&old)], ..Rotation::default() };
        let result = ledger.rotate(&rotation, LATER);
        if disk.calls() <= call / 2 {
            break;
        }
        let after = MemoryDisk::holding(disk.content());
        let by_old = open(&after, &old).map(drop);
        let by_new = open(&after, &new).map(drop);
        assert!(by_old.is_ok() != by_new.is_ok(), "call {call}: {by_old:?} {by_new:?}");
        assert!(result.is_err() || by_new.is_ok(), "call {call}");
        if by_new.is_ok() {
            changed += 1;
        } else {
            stayed += 1;
        }
        assert_eq!(report(&after.file()).status, Status::Valid, "call {call}");
        call += 1;
    }
    assert!(stayed > 3 && changed > 0, "{stayed} {changed}");
}

/// A key whose place another one takes.
struct Heir {
    key: SecretKey,
    next: Option<SecretKey>,
}

impl Signer for Heir {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
        self.key.sign(message)
    }

    fn signs_here(&self) -> bool {
        true
    }

    fn successor(&self) -> Option<Arc<dyn Signer>> {
        Some(Arc::new(self.next.clone()?))
    }
}

/// A pipeline with two signers by `heir`, after 40 records, whose key another process then retires.
fn retired_under_way(heir: Heir) -> (TempDir, Pipeline) {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), key(), second_key());
    let disk = || DirStorage::new(dir.path());
    // They wait for each other's turns.
    let options = WriterOptions { patience: Duration::from_secs(20), ..options() };
    let mut ledger = Ledger::create(disk(), &old, LEDGER_ID, NOW, options.clone()).unwrap();
    let pipeline = PipelineOptions { signers: Some(2), ..PipelineOptions::new(options) };
    let clock = HandClock::default();
    let pipeline = Pipeline::open(disk(), Arc::new(heir), trust(), clock, pipeline).unwrap();
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = (0..40).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let rotation = Rotation { add: vec![&new], retire: vec![retired(&old)], ..Rotation::default() };
    assert_eq!(ledger.rotate(&rotation, LATER).unwrap().seq, 41);
    (dir, pipeline)
}

#[test]
fn a_pipeline_whose_key_is_retired_goes_on_with_the_one_that_follows() {
    let (dir, pipeline) = retired_under_way(Heir { key: key(), next: Some(second_key()) });
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = (40..100).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(pipeline.close().unwrap().entries, 100);
    let file = std::fs::read(dir.path().join(LEDGER_FILE)).unwrap();
    assert_eq!(numbers(&file), (0..100).collect::<Vec<_>>());
    let report = report(&file);
    let by: Vec<_> = report.keys.iter().map(|key| key.entries).collect();
    // Genesis, forty records and the change; then the others.
    assert_eq!((report.status, by), (Status::Valid, vec![42, 60]));
    let note = Note::parse(&std::fs::read(dir.path().join(CHECKPOINT_FILE)).unwrap()).unwrap();
    let checkpoint = Checkpoint::of_note(&note).unwrap();
    assert_eq!(checkpoint.size, 102);
    checkpoint.signed_by(&note, &[second_key().public_key()]).unwrap();
}

#[test]
fn a_pipeline_whose_key_is_retired_for_good_ends_with_nothing_half_done() {
    let stranger = SecretKey::from_seed(&[5; 32]);
    for next in [None, Some(key()), Some(stranger)] {
        let (dir, pipeline) = retired_under_way(Heir { key: key(), next });
        let file = || std::fs::read(dir.path().join(LEDGER_FILE)).unwrap();
        let before = file();
        let submitter = pipeline.submitter();
        let ticket = submitter.submit(&payload(40)).unwrap();
        let refused = ticket.wait().unwrap_err();
        let Error::Stopped { cause, written: false, .. } = &refused else { panic!("{refused:?}") };
        assert!(matches!(**cause, Error::KeyNotInRoster { .. }), "{cause}");
        assert!(submitter.submit(&payload(41)).is_err());
        assert!(pipeline.close().is_err());
        assert_eq!(file(), before);
    }
}

#[test]
fn a_cut_below_a_change_is_proven_to_who_trusts_the_new_key_and_to_others_unknown() {
    let (disk, new) = (rotated(), second_key());
    let mut ledger = open(&disk, &new).unwrap();
    ledger.append(payload(3), LATER).unwrap();
    let bytes = ledger.checkpoint(LATER).unwrap().note.to_string().into_bytes();
    let file = disk.file();
    let below = lines(&file)[..3].concat();
    let judge = |file: &[u8], trust: &Trust, bytes: &[u8]| {
        let (source, bytes) = ("kept".into(), bytes.to_vec());
        let anchor = Anchor { source, bytes, kind: AnchorKind::Checkpoint };
        // The log of checkpoints repeats it.
        let told = std::cell::Cell::new(Some(anchor.bytes.clone()));
        let (anchors, history) = ([anchor], || Ok(told.take()));
        let behind = std::collections::BTreeSet::new();
        let settings = Settings {
            anchors: &anchors,
            history: Some(Log { next: &history, behind: &behind }),
            ..Settings::new(trust)
        };
        let report = verify_records(file, &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap();
        (code(report.status), report.anchors.iter().map(|a| a.verdict).collect::<Vec<_>>())
    };
    let unknown = AnchorVerdict::UnknownKey;
    let both = Trust::from_iter([key().public_key(), new.public_key()]);
    assert_eq!(judge(&file, &trust(), &bytes), (0, vec![AnchorVerdict::Confirmed]));
    assert_eq!(judge(&below, &trust(), &bytes), (2, vec![unknown; 2]));
    assert_eq!(judge(&below, &both, &bytes), (3, vec![AnchorVerdict::Truncated; 2]));
    let only_new = Trust::from_iter([new.public_key()]);
    assert_eq!(judge(&below, &only_new, &bytes), (3, vec![AnchorVerdict::Truncated; 2]));
    // With the change still there, its key is known.
    let above = lines(&file)[..4].concat();
    assert_eq!(judge(&above, &trust(), &bytes), (3, vec![AnchorVerdict::Truncated; 2]));
    // A fault in a line decides, and a signature that is not its key's is no riddle.
    let mut faulty = below.clone();
    faulty[100] ^= 1;
    assert_eq!(judge(&faulty, &trust(), &bytes).0, 1);
    let mut forged = bytes.clone();
    let at = forged.len() - 10;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(judge(&above, &trust(), &forged), (1, vec![AnchorVerdict::Refused; 2]));
}
