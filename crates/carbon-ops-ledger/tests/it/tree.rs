//! Checkpoints: what is signed is consistent whatever fails, and a ledger that was cut off or
//! rewritten below a checkpoint is known for it.

use std::collections::BTreeMap;
use std::fs;

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::{CHECKPOINT_EVERY, Ledger, SignedCheckpoint};
use carbon_ops_ledger::keys::Trust;
use carbon_ops_ledger::storage::{DirStorage, Storage as _};
use carbon_ops_ledger::tile::{DirTiles, TileTree};
use carbon_ops_proof::checkpoint::{
    CHECKPOINT_FILE, CHECKPOINT_LOG, Checkpoint, SIGNER_STATE_FILE,
};
use carbon_ops_proof::entry::{Fault, LedgerId};
use carbon_ops_proof::merkle::{TreeHash, inclusion_proof, leaf_hash, node_hash};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::pack::LineSource as _;
use carbon_ops_proof::proof::{Proof, ProofFault};
use carbon_ops_proof::verify::{Anchor, AnchorKind, AnchorVerdict, Report, Status, verify_against};

use crate::support::{
    ALL_UNSYNCED, Content, Failure, Happens, LATER, LEDGER_ID, MemoryDisk, NOW, code, key,
    ledger_of, lines, options, other_key, payload, trust,
};

/// RFC 6962 section 2.1 as it is written there: the plainest tree.
pub(crate) fn root(leaves: &[TreeHash]) -> TreeHash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let middle = leaves.len().next_power_of_two() / 2;
    node_hash(root(&leaves[..middle]), root(&leaves[middle..]))
}

pub(crate) fn root_of_file(file: &[u8], size: u64) -> TreeHash {
    let leaves: Vec<_> =
        lines(file).iter().map(|line| leaf_hash(line.strip_suffix(b"\n").unwrap())).collect();
    root(&leaves[..usize::try_from(size).unwrap()])
}

fn disk_size(file: &[u8]) -> u64 {
    lines(file).len() as u64
}

fn opened<'k>(
    disk: &MemoryDisk,
    key: &'k carbon_ops_ledger::keys::SecretKey,
) -> Ledger<'k, MemoryDisk> {
    Ledger::open_for_append(disk.clone(), key, &trust(), LATER, options()).unwrap()
}

fn append(disk: &MemoryDisk, from: u32, count: u32) {
    let key = key();
    let mut ledger = opened(disk, &key);
    for n in from..from + count {
        ledger.append(payload(n), NOW).unwrap();
    }
}

fn sign(disk: &MemoryDisk) -> Result<SignedCheckpoint, Error> {
    opened(disk, &key()).checkpoint(NOW)
}

/// Every checkpoint that stands anywhere on a disk.
fn signed_on(content: &Content) -> Vec<Checkpoint> {
    let mut notes = Vec::new();
    for name in [CHECKPOINT_FILE, CHECKPOINT_LOG] {
        let text = content.beside.get(name).cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        for part in text.split_inclusive("=\n").collect::<Vec<_>>().chunks(2) {
            if let Ok(note) = Note::parse(part.concat().as_bytes()) {
                let checkpoint = Checkpoint::of_note(&note).unwrap();
                checkpoint.signed_by(&note, &[key().public_key()]).unwrap();
                notes.push(checkpoint);
            }
        }
    }
    notes
}

/// What stands beside the ledger, as a verification takes it.
fn anchors(content: &Content) -> Vec<Anchor> {
    let kinds =
        [(CHECKPOINT_FILE, AnchorKind::Checkpoint), (SIGNER_STATE_FILE, AnchorKind::SignerState)];
    let there = kinds.into_iter().filter_map(|(name, kind)| {
        let bytes = content.beside.get(name)?.clone();
        Some(Anchor { source: name.to_owned(), bytes, kind })
    });
    there.collect()
}

fn held(file: &[u8], anchors: &[Anchor], since: u64) -> Report {
    verify_against(file, &trust(), anchors, since, &mut |_| Ok(())).unwrap()
}

#[test]
fn a_checkpoint_tells_the_root_of_the_lines_and_later_ones_extend_it() {
    let disk = MemoryDisk::of_file(&ledger_of(3, &key(), LEDGER_ID));
    let mut next = 3;
    for (count, size) in [(0, 4), (1, 5), (300, 305), (719, 1024), (0, 1024), (1300, 2324)] {
        append(&disk, next, count);
        next += count;
        let signed = sign(&disk).unwrap();
        assert_eq!(signed.new, count > 0 || size == 4);
        assert_eq!(signed.checkpoint.size, size);
        assert_eq!(signed.checkpoint.root, root_of_file(&disk.file(), size));
        assert_eq!(signed.checkpoint.ledger_id, LedgerId(LEDGER_ID));
    }
    let content = disk.content();
    assert_eq!(signed_on(&content).len(), 1 + 5);
    let tiles: Vec<_> = content.beside.keys().filter(|name| name.starts_with("tile/0/")).collect();
    assert!(tiles.contains(&&"tile/0/008".to_owned()), "{tiles:?}");
    let report = held(&disk.file(), &anchors(&content), 0);
    assert_eq!((report.status, report.covered, report.tree_size), (Status::Valid, 2324, 2324));
}

#[test]
fn a_checkpoint_is_due_after_so_many_entries() {
    let disk = MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID));
    let key = key();
    let mut ledger = opened(&disk, &key);
    for n in 2..CHECKPOINT_EVERY {
        assert!(!ledger.checkpoint_due(), "{n}");
        ledger.append(payload(0), NOW).unwrap();
    }
    assert!(ledger.checkpoint_due());
    ledger.checkpoint(NOW).unwrap();
    assert!(!ledger.checkpoint_due() && !opened(&disk, &key).checkpoint_due());
}

#[test]
fn lost_tiles_are_made_again() {
    let disk = MemoryDisk::of_file(&ledger_of(600, &key(), LEDGER_ID));
    sign(&disk).unwrap();
    let before = disk.content().beside;
    let mut content = disk.content();
    content.beside.retain(|name, _| !name.starts_with("tile/"));
    let disk = MemoryDisk::holding(content);
    append(&disk, 600, 1);
    let signed = sign(&disk).unwrap();
    assert_eq!(signed.checkpoint.root, root_of_file(&disk.file(), 602));
    let after = disk.content().beside;
    for name in ["tile/0/000", "tile/0/001"] {
        assert_eq!(before[name], after[name]);
    }
}

/// Tiles are derived: whatever stands in their place, what the lines hash to is written there and signed.
#[test]
fn a_damaged_tile_is_made_again() {
    let start = MemoryDisk::of_file(&ledger_of(600, &key(), LEDGER_ID));
    sign(&start).unwrap();
    let intact = start.content();
    let tiles: Vec<_> =
        intact.beside.keys().filter(|name| name.starts_with("tile/")).cloned().collect();
    assert!(tiles.len() > 3);
    for name in &tiles {
        for without_edge in [false, true] {
            let mut content = intact.clone();
            content.beside.get_mut(name).unwrap()[7] ^= 1;
            if without_edge {
                // Without its edge the tree is made again from the lines, and compared.
                content.beside.retain(|other, _| other == name || !other.contains(".p/"));
            }
            let disk = MemoryDisk::holding(content);
            append(&disk, 600, 1);
            let root = sign(&disk).unwrap().checkpoint.root;
            assert_eq!(root, root_of_file(&disk.file(), 602), "{name}");
            if without_edge && !name.contains(".p/") {
                assert_eq!(disk.content().beside[name], intact.beside[name], "{name}");
            }
        }
    }
}

/// The disk fails at every call of a checkpoint, with the call done or not, and the power goes. No two
/// checkpoints that ever stood on it contradict each other, the ledger fits all of them, and the next
/// checkpoint can be signed.
#[test]
fn no_crash_leads_to_two_checkpoints_that_contradict_each_other() {
    let start = MemoryDisk::of_file(&ledger_of(255, &key(), LEDGER_ID));
    sign(&start).unwrap();
    append(&start, 255, 2);
    let mut crashes = 0;
    for call in 0.. {
        let mut ended = false;
        for happens in [Happens::Nothing, Happens::Everything, Happens::Quarters(2)] {
            let disk = MemoryDisk::holding(start.content());
            disk.fail(Failure { call, happens, dies: true });
            let key = key();
            let opened = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options());
            let _ = opened.and_then(|mut ledger| {
                ledger.append(payload(900), NOW)?;
                ledger.checkpoint(NOW)
            });
            ended |= disk.calls() <= call;
            for unsynced in ALL_UNSYNCED {
                let content = disk.after_power_loss(unsynced);
                let mut seen = signed_on(&content);
                let disk = MemoryDisk::holding(content);
                append(&disk, 901, 1);
                seen.push(sign(&disk).unwrap().checkpoint);
                let file = disk.file();
                for checkpoint in seen {
                    assert_eq!(checkpoint.root, root_of_file(&file, checkpoint.size));
                }
                let (anchors, since) = (anchors(&disk.content()), disk_size(&file));
                let report = held(&file, &anchors, since);
                assert_eq!(report.status, Status::Valid, "{call} {happens:?} {report:?}");
                crashes += 1;
            }
        }
        if ended {
            break;
        }
    }
    assert!(crashes > 300, "{crashes}");
}

#[test]
fn every_cut_below_a_checkpoint_is_proven() {
    let disk = MemoryDisk::of_file(&ledger_of(4, &key(), LEDGER_ID));
    sign(&disk).unwrap();
    let anchors = anchors(&disk.content());
    let file = disk.file();
    for len in 0..file.len() {
        let report = held(&file[..len], &anchors[..1], 0);
        assert_eq!(report.status, Status::Rewritten, "{len}");
        assert_eq!(report.anchors[0].verdict, AnchorVerdict::Truncated);
        let report = held(&file[..len], &anchors[1..], 0);
        assert_eq!(report.status, Status::Rewritten, "by the signer's state alone, {len}");
        let report = held(&file[..len], &anchors[..1], 5);
        assert_eq!(report.status, Status::Rewritten, "since the checkpoint, {len}");
    }
    // Above it the last line may be cut: the file alone, and what a checkpoint does not cover.
    append(&disk, 4, 1);
    let whole = disk.file();
    let report = held(&whole[..whole.len() - 5], &anchors, 0);
    assert_eq!((report.status, report.covered), (Status::TornTail, 5));
    let report = held(&whole, &anchors, 0);
    assert_eq!((report.status, report.covered, report.tree_size), (Status::Valid, 5, 6));
}

#[test]
fn a_writer_leaves_a_cut_ledger_alone() {
    let disk = MemoryDisk::of_file(&ledger_of(12, &key(), LEDGER_ID));
    sign(&disk).unwrap();
    let file = disk.file();
    for beside in [[CHECKPOINT_FILE, SIGNER_STATE_FILE], [SIGNER_STATE_FILE, CHECKPOINT_FILE]] {
        let last = lines(&file).last().unwrap().len();
        for cut in [last, last + 10, 7] {
            let mut content = disk.content();
            content.beside.remove(beside[0]);
            content.file = Some(file[..file.len() - cut].to_vec());
            let disk = MemoryDisk::holding(content.clone());
            let error = Ledger::open_for_append(disk.clone(), &key(), &trust(), LATER, options())
                .unwrap_err();
            assert!(error.proves_rewriting(), "{cut}: {error}");
            assert_eq!(disk.content(), content);
        }
    }
}

#[test]
fn another_history_by_the_same_key_is_a_fork() {
    let disk = MemoryDisk::of_file(&ledger_of(12, &key(), LEDGER_ID));
    sign(&disk).unwrap();
    let mut content = disk.content();
    // As long and as valid, with another record in the middle.
    let other = MemoryDisk::of_file(&ledger_of(5, &key(), LEDGER_ID));
    append(&other, 900, 8);
    content.file = Some(other.file());
    let report = held(&other.file(), &anchors(&content), 0);
    assert_eq!((report.status, report.fault_count), (Status::Rewritten, 0));
    let verdicts: Vec<_> = report.anchors.iter().map(|anchor| anchor.verdict).collect();
    assert_eq!(verdicts, [AnchorVerdict::Forked; 2]);
    let mut taken_up = 0;
    for lost in ["", "tile/0/000.p/13", CHECKPOINT_FILE, SIGNER_STATE_FILE] {
        let mut content = content.clone();
        content.beside.remove(lost);
        let disk = MemoryDisk::holding(content);
        append(&disk, 950, 1);
        let before = disk.content().beside;
        // The stored edge has the signed root, so only what is hashed anew can show the fork; without
        // it everything is.
        match sign(&disk) {
            Err(Error::Forked { size: 13, .. }) => assert_eq!(disk.content().beside, before),
            Ok(signed) => {
                assert_ne!(lost, "tile/0/000.p/13");
                taken_up += 1;
                // Consistent with what was signed, and so not with the file.
                let report = held(&disk.file(), &anchors(&disk.content()), 0);
                assert_eq!(report.status, Status::Rewritten);
                assert_ne!(signed.checkpoint.root, root_of_file(&disk.file(), 14));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(taken_up, 3, "old lines are not read again where the edge is there");
}

#[test]
fn a_writer_that_was_open_before_another_signed_does_not_sign_a_cut_ledger() {
    let mut disk = MemoryDisk::of_file(&ledger_of(2, &key(), LEDGER_ID));
    let key = key();
    let mut early = opened(&disk, &key);
    let len = disk.file().len() as u64;
    append(&disk, 2, 3);
    sign(&disk).unwrap();
    disk.truncate(len).unwrap();
    let before = disk.content();
    let error = early.checkpoint(NOW).unwrap_err();
    assert!(matches!(error, Error::Truncated { entries: 3, signed: 6, .. }), "{error}");
    assert_eq!(disk.content(), before);
}

#[test]
fn checkpoints_that_are_not_to_be_believed_are_refused() {
    let disk = MemoryDisk::of_file(&ledger_of(4, &key(), LEDGER_ID));
    let signed = sign(&disk).unwrap();
    let file = disk.file();
    let verdict = |bytes: Vec<u8>| {
        let anchor = Anchor { source: "it".into(), bytes, kind: AnchorKind::Checkpoint };
        let report = held(&file, &[anchor], 0);
        (code(report.status), report.anchors[0].verdict)
    };
    let good = signed.note.to_string();
    assert_eq!(verdict(good.clone().into_bytes()), (0, AnchorVerdict::Confirmed));
    let (name, text) = (format!("carbon-ops/ledger/{}", LedgerId(LEDGER_ID)), signed.note.text());
    let stranger = Note::sign(text.to_owned(), &name, &other_key()).unwrap().to_string();
    assert_eq!(verdict(stranger.clone().into_bytes()), (1, AnchorVerdict::Refused));
    // A witness's signature below ours changes nothing.
    let both = format!("{good}{}", stranger.rsplit_once("\n\n").unwrap().1);
    assert_eq!(verdict(both.into_bytes()), (0, AnchorVerdict::Confirmed));
    let elsewhere = sign(&MemoryDisk::of_file(&ledger_of(4, &key(), [9; 16]))).unwrap();
    assert_eq!(verdict(elsewhere.note.to_string().into_bytes()), (1, AnchorVerdict::Refused));
    assert_eq!(verdict(Vec::new()), (1, AnchorVerdict::Refused));
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1 << (at % 8);
        assert_eq!(verdict(bytes), (1, AnchorVerdict::Refused), "{at}");
    }
    for bad in [b"rubbish".to_vec(), Vec::new()] {
        let mut content = disk.content();
        content.beside.insert(CHECKPOINT_FILE.into(), bad.clone());
        assert!(matches!(sign(&MemoryDisk::holding(content)), Err(Error::Beside { .. })));
        let mut content = disk.content();
        content.beside.insert(SIGNER_STATE_FILE.into(), bad);
        assert!(matches!(sign(&MemoryDisk::holding(content)), Err(Error::Beside { .. })));
    }
}

#[test]
fn since_a_checkpoint_only_newer_lines_are_looked_into_and_older_ones_compared() {
    let disk = MemoryDisk::of_file(&ledger_of(20, &key(), LEDGER_ID));
    sign(&disk).unwrap();
    let anchors = anchors(&disk.content());
    append(&disk, 20, 5);
    let file = disk.file();
    let mut looked = 0;
    let mut check = |_: &_| {
        looked += 1;
        Ok(())
    };
    let report = verify_against(&file[..], &trust(), &anchors, 21, &mut check).unwrap();
    assert_eq!((report.status, report.compared, looked), (Status::Valid, 20, 5));
    for (line, expected) in [(0, 1), (1, 3), (19, 3), (20, 3), (21, 1), (25, 1)] {
        let mut lines = lines(&file);
        let at = lines[line].iter().position(|byte| *byte == b':').unwrap() + 2;
        lines[line][at] ^= 1;
        let code = code(held(&lines.concat(), &anchors, 21).status);
        assert!(code == expected || code == 1, "line {line}: {code}");
        assert_ne!(held(&lines.concat(), &anchors, 0).status, Status::Valid);
    }
    // Without an anchor of that size nothing is skipped.
    assert_eq!(held(&file, &[], 21).compared, 0);
    assert_eq!(held(&file, &anchors, 20).compared, 0);
}

/// A ledger in a real directory, signed, with its tiles.
fn directory(records: u32) -> (tempfile::TempDir, SignedCheckpoint) {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut ledger =
        Ledger::create(DirStorage::new(dir.path()), &key, LEDGER_ID, NOW, options()).unwrap();
    for n in 0..records {
        ledger.append(payload(n), NOW).unwrap();
    }
    let signed = ledger.checkpoint(NOW).unwrap();
    (dir, signed)
}

fn prove(dir: &std::path::Path, signed: &SignedCheckpoint, index: u64) -> Proof {
    let file = dir.join("ledger.ndjson");
    let open = || DirTiles::open(Some(dir), &file).unwrap();
    let mut tree = TileTree::new(open(), signed.checkpoint.size);
    let path = inclusion_proof(index, signed.checkpoint.size, &mut tree).unwrap().unwrap();
    let extra = open().line(index).unwrap();
    Proof { extra, index, path, checkpoint: signed.note.clone() }
}

#[test]
fn one_entry_is_proven_by_a_file_and_no_flipped_bit_of_it_passes() {
    let (dir, signed) = directory(300);
    for index in [0, 1, 255, 256, 299, 300] {
        let proof = prove(dir.path(), &signed, index);
        let text = proof.to_string();
        assert_eq!(Proof::parse(text.as_bytes()).unwrap(), proof);
        let proven = proof.check(&trust()).unwrap();
        assert_eq!((proven.entry.seq(), proven.checkpoint.size), (index, 301));
        assert_eq!(proof.check(&Trust::new()), Err(ProofFault::UntrustedCheckpoint));
        assert_eq!(
            Proof { extra: None, ..proof.clone() }.check(&trust()),
            Err(ProofFault::NoEntry)
        );
        assert!(Proof { index: index ^ 1, ..proof }.check(&trust()).is_err());
    }
    let text = prove(dir.path(), &signed, 7).to_string().into_bytes();
    for at in 0..text.len() {
        let mut bad = text.clone();
        bad[at] ^= 1 << (at % 8);
        let verdict = Proof::parse(&bad).and_then(|proof| proof.check(&trust()));
        assert!(verdict.is_err(), "byte {at}");
        assert!(Proof::parse(&text[..at]).is_err() || at == 0, "cut at {at}");
    }
}

/// A holder of the key can sign a tree over anything; what it is over has to be an entry all the same.
#[test]
fn a_signed_tree_does_not_make_an_entry_of_something_else() {
    let verdict = |line: &[u8], id: [u8; 16], index: u64| {
        let leaves = [leaf_hash(b"a"), leaf_hash(line), leaf_hash(b"b"), leaf_hash(line)];
        let checkpoint = Checkpoint { ledger_id: LedgerId(id), size: 4, root: root(&leaves) };
        let name = format!("carbon-ops/ledger/{}", LedgerId(id));
        let note = Note::sign(checkpoint.to_string(), &name, &key()).unwrap();
        let path = match index {
            1 => vec![leaves[0], node_hash(leaves[2], leaves[3])],
            _ => vec![leaves[2], node_hash(leaves[0], leaves[1])],
        };
        let proof = Proof { extra: Some(line.to_vec()), index, path, checkpoint: note };
        proof.check(&trust()).map(|proven| proven.entry.seq())
    };
    let line = |file: &[u8]| lines(file)[1].strip_suffix(b"\n").unwrap().to_vec();
    let good = line(&ledger_of(1, &key(), LEDGER_ID));
    assert_eq!(verdict(&good, LEDGER_ID, 1), Ok(1));
    assert_eq!(verdict(&good, LEDGER_ID, 3), Err(ProofFault::OtherEntry));
    assert_eq!(verdict(&good, [9; 16], 1), Err(ProofFault::OtherEntry));
    let text = String::from_utf8(good).unwrap();
    let forged = text.replace("\"n\":0", "\"n\":1");
    assert_eq!(verdict(forged.as_bytes(), LEDGER_ID, 1), Err(ProofFault::Entry(Fault::Signature)));
    let strange = line(&ledger_of(1, &other_key(), LEDGER_ID));
    assert!(matches!(verdict(&strange, LEDGER_ID, 1), Err(ProofFault::UntrustedEntry(_))));
    assert!(matches!(verdict(b"rubbish", LEDGER_ID, 1), Err(ProofFault::Entry(_))));
}

#[test]
fn files_of_a_signed_ledger_are_where_the_format_says() {
    let (dir, _) = directory(300);
    let mut names = BTreeMap::new();
    let mut todo = vec![dir.path().to_owned()];
    while let Some(folder) = todo.pop() {
        for item in fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
            if item.is_dir() {
                todo.push(item);
            } else {
                let name = item.strip_prefix(dir.path()).unwrap().display().to_string();
                names.insert(name, item.metadata().unwrap().len());
            }
        }
    }
    let tiles: Vec<_> = names.iter().filter(|(name, _)| name.starts_with("tile")).collect();
    assert_eq!(
        tiles.iter().map(|(name, len)| (name.as_str(), **len)).collect::<Vec<_>>(),
        [("tile/0/000", 8192), ("tile/0/001.p/45", 45 * 32), ("tile/1/000.p/1", 32)]
    );
    let rest: Vec<_> = names.keys().filter(|name| !name.starts_with("tile")).collect();
    let beside = [
        "checkpoint",
        "checkpoints.log",
        "ledger.ndjson",
        "lock",
        "lock.queue",
        "roster.state",
        "signer.state",
    ];
    assert_eq!(rest, beside);
    let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
    assert_eq!(checkpoint, fs::read(dir.path().join("checkpoints.log")).unwrap());
    let state = fs::read_to_string(dir.path().join("signer.state")).unwrap();
    assert!(String::from_utf8(checkpoint).unwrap().starts_with(&format!("{state}\n\u{2014} ")));
}
