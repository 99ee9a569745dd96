//! Keys that join and leave, line by line.

use super::*;
use crate::canonical::Object;
use crate::entry::{
    self, AddedKey, Head, RetiredKey, RotationReason, genesis_payload, possession_text, sign,
};
use crate::keys::{SecretKey, Signer};

const NOW: &str = "2026-11-23T09:00:00.000000Z";
const ID: LedgerId = LedgerId([0xa1; 16]);

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

/// A ledger in memory, whoever signs.
struct Lines {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    offsets: Vec<u64>,
}

impl Lines {
    fn begun_by(key: &SecretKey) -> Self {
        let mut lines = Self { bytes: Vec::new(), entries: Vec::new(), offsets: Vec::new() };
        lines.add(sign(genesis_payload(NOW, "t", key.public_key()), ID, None, key).unwrap());
        lines
    }

    fn add(&mut self, (entry, line): (Entry, Vec<u8>)) -> &Entry {
        self.offsets.push(self.bytes.len() as u64);
        self.bytes.extend(line);
        self.bytes.push(b'\n');
        self.entries.push(entry);
        self.entries.last().unwrap()
    }

    fn head(&self) -> Head {
        self.entries.last().unwrap().head()
    }

    fn record(&mut self, key: &SecretKey, text: &str) -> &Entry {
        let payload = Object::from_members([("note", text.into())]).unwrap();
        let signed = sign(payload, ID, Some(&self.head()), key).unwrap();
        self.add(signed)
    }

    fn rotate(&mut self, by: &SecretKey, add: &[&SecretKey], retire: &[&SecretKey]) -> &Entry {
        let added = add.iter().map(|joins| proven(joins, &self.head(), by)).collect();
        let retired = retire
            .iter()
            .map(|key| RetiredKey { public_key: key.public_key(), compromised_since: None })
            .collect();
        let rotation = KeyRotation { added, retired, reason: None };
        self.add_rotation(by, rotation)
    }

    fn add_rotation(&mut self, by: &SecretKey, rotation: KeyRotation) -> &Entry {
        let payload = Control::KeyRotation(rotation).to_payload(NOW, "t").unwrap();
        let signed = sign(payload, ID, Some(&self.head()), by).unwrap();
        self.add(signed)
    }

    fn known(&self, state: Option<&str>, len: usize) -> Known {
        let file = self.bytes[..len].to_vec();
        let mut read = |offset: u64, len: usize| {
            let offset = usize::try_from(offset).unwrap();
            Ok(file[offset..offset + len].to_vec())
        };
        let mut known = Known::of_genesis(&self.entries[0], self.offsets[1]).unwrap();
        if let Some(state) = state {
            known.take_up(state.as_bytes(), len as u64, &mut read).unwrap();
        }
        known.catch_up(len as u64, &mut read).unwrap().unwrap();
        known
    }
}

fn proven(joins: &SecretKey, head: &Head, by: &SecretKey) -> AddedKey {
    let text = possession_text(ID, head, by.public_key(), joins.public_key());
    AddedKey { public_key: joins.public_key(), proof: joins.sign(text.as_bytes()).unwrap() }
}

#[test]
fn a_key_signs_from_the_line_after_it_joined_to_the_line_that_retires_it() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.record(&a, "1");
    lines.rotate(&a, &[&b], &[&a]);
    lines.record(&b, "3");
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    assert_eq!(roster.apply(&lines.entries[1]), Ok(false));
    assert!(matches!(roster.permits(b.public_key(), 2), Err(Fault::KeyNotInRoster(_))));
    assert_eq!(roster.apply(&lines.entries[2]), Ok(true));
    // The line that retires a key is the last one that it may sign.
    let retired = Fault::KeyRetired { key: a.public_key().to_hex(), at: 2 };
    assert_eq!(roster.permits(a.public_key(), 2), Ok(()));
    assert_eq!(roster.permits(a.public_key(), 3), Err(retired));
    assert!(roster.permits(b.public_key(), 2).is_err());
    assert_eq!(roster.authenticate(&lines.entries[3], ID), Ok(()));
    assert_eq!((roster.keys(), roster.rotations()), (&[b.public_key()][..], 1));
    // A checkpoint of the first two lines may be signed by the old key, of the first three by the new.
    assert_eq!(roster.keys_at(2), [a.public_key()]);
    assert_eq!(roster.keys_at(3), [b.public_key()]);
}

#[test]
fn a_key_that_left_never_comes_back() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.rotate(&a, &[&b], &[&a]);
    lines.rotate(&b, &[&a], &[]);
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    roster.apply(&lines.entries[1]).unwrap();
    let before = roster.clone();
    assert!(matches!(roster.apply(&lines.entries[2]), Err(Fault::Rotation(_))));
    assert_eq!(roster, before);
}

#[test]
fn a_change_that_leaves_nobody_or_names_strangers_is_refused() {
    let (a, b, c) = (key(1), key(2), key(3));
    let refused = |change: &dyn Fn(&mut Lines)| {
        let mut lines = Lines::begun_by(&a);
        change(&mut lines);
        let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
        matches!(roster.apply(&lines.entries[1]), Err(Fault::Rotation(_)))
    };
    assert!(refused(&|lines| drop(lines.rotate(&a, &[], &[&a]).clone())));
    assert!(refused(&|lines| drop(lines.rotate(&a, &[&a], &[]).clone())));
    assert!(refused(&|lines| drop(lines.rotate(&a, &[&b], &[&c]).clone())));
    assert!(!refused(&|lines| drop(lines.rotate(&a, &[&b, &c], &[&a]).clone())));
}

#[test]
fn a_proof_holds_for_one_key_at_one_place_by_one_signer_only() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut at_genesis = Lines::begun_by(&a);
    let head = at_genesis.head();
    let elsewhere = Head { seq: head.seq + 1, ..head };
    let other_chain = Head { hash: entry::EntryHash([7; 32]), ..head };
    let good = proven(&b, &head, &a);
    for proof in [
        proven(&b, &elsewhere, &a).proof,
        proven(&b, &other_chain, &a).proof,
        proven(&b, &head, &b).proof,
        proven(&c, &head, &a).proof,
        b.sign(b"").unwrap(),
    ] {
        let mut lines = Lines::begun_by(&a);
        let rotation =
            KeyRotation { added: vec![AddedKey { proof, ..good }], retired: vec![], reason: None };
        lines.add_rotation(&a, rotation);
        let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
        assert!(matches!(roster.apply(&lines.entries[1]), Err(Fault::Rotation(_))));
    }
    let rotation = KeyRotation { added: vec![good], retired: vec![], reason: None };
    let mut roster = Roster::of_genesis(&at_genesis.entries[0]).unwrap();
    assert_eq!(roster.apply(at_genesis.add_rotation(&a, rotation)), Ok(true));
}

/// The text, in the words of the format's document.
#[test]
fn the_text_of_a_proof_is_no_line_and_no_note() {
    let head = Head { seq: 6, hash: entry::EntryHash([0xcd; 32]) };
    let text = possession_text(ID, &head, key(1).public_key(), key(2).public_key());
    let expected = format!(
        "carbon-ops/key-possession/v1\n{}\n7\n{}\n{}\n{}",
        "a1".repeat(16),
        "cd".repeat(32),
        key(1).public_key(),
        key(2).public_key(),
    );
    assert_eq!(text, expected);
    assert!(!text.starts_with('{') && !text.ends_with('\n'));
}

#[test]
fn compromise_is_told_from_a_number_on_and_needs_its_reason() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.record(&a, "1");
    let retired = vec![RetiredKey { public_key: a.public_key(), compromised_since: Some(1) }];
    let mut rotation = KeyRotation {
        added: vec![proven(&b, &lines.head(), &a)],
        retired,
        reason: Some(RotationReason::KeyCompromise),
    };
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    assert_eq!(roster.apply(lines.add_rotation(&a, rotation.clone())), Ok(true));
    let (_, term) = roster.terms().find(|(key, _)| *key == a.public_key()).unwrap();
    assert_eq!((term.last, term.compromised_since), (Some(2), Some(1)));
    rotation.reason = Some(RotationReason::Superseded);
    let payload = Control::KeyRotation(rotation).to_payload(NOW, "t").unwrap();
    assert!(sign(payload, ID, Some(&lines.head()), &a).is_err());
}

/// Ten changes among a hundred lines, one of which only looks like one.
fn changed_often() -> (Lines, Vec<SecretKey>) {
    let keys: Vec<SecretKey> = (1..=11).map(key).collect();
    let mut lines = Lines::begun_by(&keys[0]);
    for pair in keys.windows(2) {
        for n in 0..8 {
            lines.record(&pair[0], &format!("{n} \"type\":\"key_rotation\""));
        }
        let inner = Object::from_members([("type", "key_rotation".into())]).unwrap();
        let payload = Object::from_members([("inner", inner.into())]).unwrap();
        let signed = sign(payload, ID, Some(&lines.head()), &pair[0]).unwrap();
        lines.add(signed);
        lines.rotate(&pair[0], &[&pair[1]], &[&pair[0]]);
    }
    (lines, keys)
}

#[test]
fn a_writer_finds_every_change_with_and_without_what_was_kept() {
    let (lines, keys) = changed_often();
    let whole = lines.known(None, lines.bytes.len());
    assert_eq!(whole.roster().keys(), [keys[10].public_key()]);
    assert_eq!(whole.roster().rotations(), 10);
    // Searched up to any line, kept, taken up, searched to the end: always the same.
    for at in lines.offsets.iter().skip(2) {
        let part = lines.known(None, usize::try_from(*at).unwrap());
        let state = part.state();
        let resumed = lines.known(Some(&state), lines.bytes.len());
        assert_eq!(resumed.roster(), whole.roster());
        assert_eq!(resumed.state(), whole.state());
        assert!(resumed.is_taken_up());
    }
}

#[test]
fn what_was_kept_wrongly_is_not_taken_up() {
    let (lines, _) = changed_often();
    let whole = lines.known(None, lines.bytes.len());
    let state = whole.state();
    let rows: Vec<&str> = state.lines().collect();
    let with = |at: usize, row: &str| {
        let mut rows = rows.clone();
        rows[at] = row;
        rows.join("\n") + "\n"
    };
    let (id, beyond) = ("b1".repeat(16), (lines.bytes.len() + 1).to_string());
    for wrong in [
        String::new(),
        "\n".to_owned(),
        state.trim_end().to_owned(),
        with(0, "carbon-ops/roster/v2"),
        with(1, &id),
        with(2, &beyond),
        with(2, "-1"),
        // Within a line, of another line, of nothing, twice, out of order.
        with(2, &(lines.offsets[5] + 3).to_string()),
        with(3, &(lines.offsets[10] + 1).to_string()),
        with(3, &lines.offsets[4].to_string()),
        with(3, "0"),
        with(4, rows[3]),
        with(3, &u64::MAX.to_string()),
    ] {
        let known = lines.known(Some(&wrong), lines.bytes.len());
        assert!(!known.is_taken_up(), "{wrong}");
        assert_eq!(known.roster(), whole.roster());
    }
}

#[test]
fn a_ledger_that_got_shorter_is_searched_anew() {
    let (lines, keys) = changed_often();
    let mut known = lines.known(None, lines.bytes.len());
    let shorter = usize::try_from(*lines.offsets.last().unwrap()).unwrap();
    let file = &lines.bytes[..shorter];
    let mut read = |offset: u64, len: usize| {
        let offset = usize::try_from(offset).unwrap();
        Ok(file[offset..offset + len].to_vec())
    };
    known.catch_up(shorter as u64, &mut read).unwrap().unwrap();
    assert_eq!(known.roster().keys(), [keys[9].public_key()]);
}

#[test]
fn a_torn_end_is_not_what_a_writer_knows() {
    let (lines, _) = changed_often();
    let whole = lines.bytes.len();
    let state = lines.known(None, whole).state();
    // A batch that never got to the disk, longer than any line.
    let mut file = lines.bytes.clone();
    file.resize(whole + (1 << 20), 0);
    let mut read = |offset: u64, len: usize| {
        let offset = usize::try_from(offset).unwrap();
        Ok(file[offset..offset + len].to_vec())
    };
    let mut known = Known::of_genesis(&lines.entries[0], lines.offsets[1]).unwrap();
    known.take_up(state.as_bytes(), file.len() as u64, &mut read).unwrap();
    known.catch_up(file.len() as u64, &mut read).unwrap().unwrap();
    // When that is cut off, nothing has to be read again.
    known.catch_up(whole as u64, &mut |_, _| panic!("read again")).unwrap().unwrap();
    assert!(known.is_taken_up());
    assert_eq!(known.state(), state);
}
