//! Packs of small ledgers: the same bytes each time, and nothing in them that can be changed unnoticed.

use std::io;
use std::ops::ControlFlow;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::frame::LedgerFormat;
use super::*;
use crate::canonical::Object;
use crate::canonical::Value;
use crate::entry::LedgerId;
use crate::keys::{SecretKey, Trust};
use crate::merkle::TreeHash;
use crate::merkle::leaf_hash;
use crate::note::Note;
use crate::tests::Lines;
use crate::tile::{TilePath, TileSource};

const POLICY: &str = "quorum none\n";

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn trust() -> Trust {
    Trust::from_iter([key().public_key()])
}

/// A ledger of some lines, and its checkpoints at two of them and at the end.
struct Made {
    lines: Vec<Vec<u8>>,
    leaves: Vec<TreeHash>,
    earlier: Note,
    latest: Note,
}

/// Lines in memory.
struct Memory<'l>(&'l [Vec<u8>]);

impl LineSource for Memory<'_> {
    fn lines(
        &mut self,
        seq: u64,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let from = self.0.get(usize::try_from(seq).unwrap()..).unwrap_or_default();
        let _ = from.iter().try_for_each(|line| each(line));
        Ok(())
    }
}

/// What was hashed when the lines were written, as tiles have it.
struct Hashed<'l>(&'l [TreeHash]);

impl TileSource for Hashed<'_> {
    fn tile(&mut self, _: TilePath) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn leaves(&mut self, first: u64, count: u16) -> io::Result<Vec<TreeHash>> {
        let first = usize::try_from(first).unwrap();
        Ok(self.0[first..first + usize::from(count)].to_vec())
    }
}

/// The record with this number.
fn numbered(n: u32) -> Object {
    Object::from_members([("n", Value::from(n))]).unwrap()
}

impl Made {
    fn new(lines: u32) -> Self {
        let key = key();
        let mut made = Lines::begun_by(&key);
        let mut earlier = None;
        for n in 1..lines {
            made.payload(&key, &numbered(n));
            if n == 1 {
                earlier = Some(made.checkpoint(&key));
            }
        }
        let latest = made.checkpoint(&key);
        Self::of(made, earlier.unwrap(), latest)
    }

    fn of(made: Lines, earlier: Note, latest: Note) -> Self {
        let leaves = made.lines.iter().map(|line| leaf_hash(line)).collect();
        Self { lines: made.lines, leaves, earlier, latest }
    }

    fn pack(&self, selection: &str, everything: bool) -> Vec<u8> {
        let selection = selection.parse().unwrap();
        let contents = Contents {
            checkpoint: &self.latest,
            selection: &selection,
            earlier: everything.then_some(&self.earlier),
            policy: everything.then_some(POLICY),
        };
        self.try_pack(&contents).unwrap()
    }

    fn try_pack(&self, contents: &Contents<'_>) -> Result<Vec<u8>, PackError> {
        let (mut lines, tiles) = (Memory(&self.lines), Hashed(&self.leaves));
        let mut bytes = Vec::new();
        let packed = write_pack_from(&mut lines, tiles, contents, &mut bytes)?;
        assert_eq!(packed.bytes, bytes.len() as u64);
        Ok(bytes)
    }
}

fn verdict(pack: &[u8]) -> PackReport {
    verify_pack(pack, &trust(), &mut |_| Ok(())).unwrap()
}

/// The pack with the last line that its bytes should have: what somebody does who means it.
fn sealed(pack: &[u8]) -> Vec<u8> {
    let before = pack.strip_suffix(b"\n").unwrap_or(pack);
    let at = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut sealed = pack[..at].to_vec();
    let sha256 = base16ct::lower::encode_string(&Sha256::digest(&sealed));
    sealed.extend(Frame::End { sha256 }.line());
    sealed
}

#[test]
fn a_pack_of_all_or_some_lines_verifies_and_is_the_same_each_time() {
    let made = Made::new(9);
    for (selection, everything, entries) in
        [("all", true, 9), ("all", false, 9), ("2,4..5,8", true, 5), ("0", false, 1)]
    {
        let pack = made.pack(selection, everything);
        assert_eq!(pack, made.pack(selection, everything));
        assert_eq!(sealed(&pack), pack);
        let report = verdict(&pack);
        assert_eq!(report.fault, None, "{selection}");
        assert_eq!((report.status, report.entries), (PackStatus::Valid, entries), "{selection}");
        assert_eq!((report.size, report.whole), (Some(9), selection == "all"));
        assert_eq!(report.earlier_size, everything.then_some(2));
        assert_eq!(report.claimed_policy.as_deref(), everything.then_some(POLICY));
        assert_eq!(report.checkpoint.as_ref(), Some(&made.latest));
    }
}

#[test]
fn the_lines_of_the_ledger_stand_in_a_pack_as_they_are() {
    let made = Made::new(5);
    let file = String::from_utf8(made.lines.join(&b'\n')).unwrap() + "\n";
    let all = String::from_utf8(made.pack("all", true)).unwrap();
    assert!(all.contains(&file));
    let own = |line: &&str| line.contains("\"pack\":");
    assert_eq!(all.lines().filter(own).count(), 5, "head, checkpoint, earlier, policy, end");
    let some = String::from_utf8(made.pack("3", false)).unwrap();
    let lines: Vec<&str> = some.lines().filter(|line| !own(line)).collect();
    let expected: Vec<&str> =
        file.lines().enumerate().filter(|(n, _)| [0, 3].contains(n)).map(|l| l.1).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_strangers_key_is_not_believed_and_not_called_tampering() {
    let made = Made::new(3);
    for selection in ["all", "1"] {
        let pack = made.pack(selection, true);
        let report = verify_pack(&pack[..], &Trust::new(), &mut |_| Ok(())).unwrap();
        assert_eq!((report.status, report.fault), (PackStatus::Untrusted, None));
        assert_eq!(report.genesis_key, Some(key().public_key().fingerprint()));
    }
}

#[test]
fn what_an_entry_says_is_for_the_caller_to_check() {
    let made = Made::new(4);
    for selection in ["all", "1..3"] {
        let pack = made.pack(selection, false);
        let mut seen = Vec::new();
        let mut check = |object: &Object| {
            seen.push(object.get("n").and_then(Value::as_u64).unwrap());
            if seen.len() == 3 { Err("no".to_owned()) } else { Ok(()) }
        };
        let report = verify_pack(&pack[..], &trust(), &mut check).unwrap();
        assert_eq!(report.status, PackStatus::Tampered);
        assert!(report.fault.unwrap().reason.contains("no"));
        assert_eq!(seen, [1, 2, 3]);
    }
}

#[test]
fn no_flipped_bit_of_a_pack_is_accepted() {
    let made = Made::new(2);
    std::thread::scope(|scope| {
        for selection in ["all", "1"] {
            let pack = made.pack(selection, true);
            scope.spawn(move || flip_every_bit(&pack));
        }
    });
}

fn flip_every_bit(pack: &[u8]) {
    let text = str::from_utf8(pack).unwrap();
    // What the policy says is its author's word, and shown as nothing else.
    let policy = text.find("quorum none").unwrap();
    let policy = policy..policy + r"quorum none\n".len();
    let end = text.find("{\"pack\":\"end\"").unwrap();
    for at in 0..pack.len() {
        for bit in 0..8 {
            let mut bytes = pack.to_vec();
            bytes[at] ^= 1 << bit;
            // Whoever changes a pack can write its hash anew: nothing else may hang on it.
            if at < end && !policy.contains(&at) {
                bytes = sealed(&bytes);
            }
            assert_eq!(verdict(&bytes).status, PackStatus::Tampered, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn no_cut_doubled_swapped_or_added_line_is_accepted() {
    let made = Made::new(4);
    for pack in [made.pack("all", true), made.pack("1,3", true)] {
        for len in 0..pack.len() {
            assert_eq!(verdict(&pack[..len]).status, PackStatus::Tampered, "{len} bytes");
        }
        let lines: Vec<&[u8]> = pack.split_inclusive(|byte| *byte == b'\n').collect();
        let refused = |lines: &[&[u8]], what: &str| {
            let pack = sealed(&lines.concat());
            assert_eq!(verdict(&pack).status, PackStatus::Tampered, "{what}");
        };
        for n in 0..lines.len() - 1 {
            let mut cut = lines.clone();
            cut.remove(n);
            refused(&cut, &format!("line {n} cut"));
            let mut doubled = lines.clone();
            doubled.insert(n, lines[n]);
            refused(&doubled, &format!("line {n} doubled"));
            let mut swapped = lines.clone();
            swapped.swap(n, (n + 1) % (lines.len() - 1));
            refused(&swapped, &format!("line {n} swapped"));
        }
        let more = [&pack[..], b"x"].concat();
        assert_eq!(verdict(&more).status, PackStatus::Tampered);
        let twice = [&pack[..], &pack[..]].concat();
        assert_eq!(verdict(&twice).status, PackStatus::Tampered);
    }
}

#[test]
fn lines_of_another_ledger_or_an_unsigned_tree_are_refused() {
    let made = Made::new(4);
    let other = Lines::begun_with(&key(), LedgerId([2; 16])).lines.remove(0);
    let other = String::from_utf8(other).unwrap();
    let pack = String::from_utf8(made.pack("2", false)).unwrap();
    let genesis = pack.lines().nth(3).unwrap();
    let spliced = pack.replace(genesis, &other);
    assert_eq!(verdict(&sealed(spliced.as_bytes())).status, PackStatus::Tampered);
    // A checkpoint that a stranger signed over the very same lines.
    let stranger = SecretKey::from_seed(&[8; 32]);
    let name = made.latest.text().lines().next().unwrap().to_owned();
    let forged = Note::sign(made.latest.text().to_owned(), &name, &stranger).unwrap();
    for selection in [Selection::All, "2".parse().unwrap()] {
        let contents =
            Contents { checkpoint: &forged, selection: &selection, earlier: None, policy: None };
        let report = verdict(&made.try_pack(&contents).unwrap());
        assert_eq!(report.status, PackStatus::Tampered, "{:?}", report.fault);
    }
}

#[test]
fn a_pack_is_not_written_of_lines_that_do_not_hold() {
    fn contents<'a>(made: &'a Made, selection: &'a Selection) -> Contents<'a> {
        let (checkpoint, earlier) = (&made.latest, Some(&made.earlier));
        Contents { checkpoint, selection, earlier, policy: None }
    }
    let mut made = Made::new(4);
    let beyond = "2..4".parse().unwrap();
    assert!(matches!(
        made.try_pack(&contents(&made, &beyond)),
        Err(PackError::Beyond { seq: 4, size: 4 })
    ));
    let last = String::from_utf8(made.lines.pop().unwrap()).unwrap();
    made.lines.push(last.replace("\"n\":3", "\"n\":4").into_bytes());
    for selection in [Selection::All, "3".parse().unwrap()] {
        let refused = made.try_pack(&contents(&made, &selection));
        assert!(matches!(refused, Err(PackError::Contradiction { .. })), "{selection}");
    }
    assert!(made.try_pack(&contents(&made, &"1".parse().unwrap())).is_ok());
}

#[test]
fn a_change_of_keys_comes_along_and_cannot_be_left_out() {
    let (first, second) = (key(), SecretKey::from_seed(&[9; 32]));
    let mut made = Lines::begun_by(&first);
    made.payload(&first, &numbered(1));
    made.rotate(&first, &[&second], &[]);
    made.payload(&second, &numbered(2));
    made.payload(&second, &numbered(3));
    let latest = made.checkpoint(&second);
    let made = Made::of(made, latest.clone(), latest);
    let pack = made.pack("4", false);
    let report = verdict(&pack);
    assert_eq!((report.fault, report.entries), (None, 3), "the genesis, the change and the entry");
    assert_eq!(report.status, PackStatus::Valid);
    assert_eq!(report.signed_by, Some(second.public_key().fingerprint()));
    // Without the change, the entry is by a stranger.
    let text = String::from_utf8(pack).unwrap();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = lines.iter().position(|line| line.contains("\"key_rotation\"")).unwrap();
    lines.drain(at - 1..=at);
    let without = lines.concat().replace("\"entries\":3", "\"entries\":2");
    let report = verdict(&sealed(without.as_bytes()));
    assert_eq!(report.status, PackStatus::Tampered);
    assert!(report.fault.unwrap().reason.contains("key"));
}

#[test]
fn selections_are_read_sorted_and_merged() {
    for (text, same) in
        [("all", "all"), ("3", "3"), ("9,1..2,3,5..5", "1..3,5,9"), ("1..5,2", "1..5")]
    {
        assert_eq!(text.parse::<Selection>().unwrap().to_string(), same);
    }
    for bad in ["", "a", "1..", "..1", "2..1", "1,,2", "-1", "ALL", "1...2"] {
        assert!(bad.parse::<Selection>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_selection_contains_what_was_asked_for(numbers in prop::collection::btree_set(0..40_u64, 1..20)) {
        let words: Vec<String> = numbers.iter().rev().map(ToString::to_string).collect();
        let selection: Selection = words.join(",").parse().unwrap();
        prop_assert_eq!(&selection.to_string().parse::<Selection>().unwrap(), &selection);
        for seq in 0..45 {
            prop_assert_eq!(selection.contains(seq), numbers.contains(&seq));
        }
    }

    #[test]
    fn hostile_packs_never_panic(frames in prop::collection::vec(frame(), 0..5), raw: Vec<u8>) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::line).chain(raw).collect();
        prop_assert_eq!(verdict(&bytes).status, PackStatus::Tampered);
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let note = "carbon-ops/ledger/01010101010101010101010101010101\n1\n\
                47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} a AAAAAAA=\n";
    let flags = any::<(bool, bool, bool)>();
    prop_oneof![
        (flags, 0..3_u64, 0..3_u64).prop_map(|((whole, earlier, policy), size, entries)| {
            let ledger_id = "01".repeat(16);
            Frame::Head {
                ledger_format: LedgerFormat::V1,
                ledger_id,
                size,
                entries,
                whole,
                earlier,
                policy,
            }
        }),
        Just(Frame::Checkpoint { note: note.to_owned() }),
        Just(Frame::Earlier { note: note.to_owned(), proof: vec![TreeHash([1; 32])] }),
        "[a-z \n]{0,9}".prop_map(|text| Frame::Policy { text }),
        (any::<u64>(), 0..70_usize)
            .prop_map(|(seq, n)| Frame::Entry { seq, path: vec![TreeHash([2; 32]); n] }),
        "[0-9a-f]{64}".prop_map(|sha256| Frame::End { sha256 }),
    ]
}
