//! What is kept of the roster, right and wrong, and what a writer makes of it.

use carbon_ops_proof::canonical::Object;
use carbon_ops_proof::entry::{
    AddedKey, Durability, Head, KeyRotation, RetiredKey, genesis_payload, possession_text, sign,
};
use carbon_ops_proof::keys::{SecretKey, Signer as _};
use jiff::Timestamp;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);
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
        lines.add(sign(&genesis(key), ID, None, key).unwrap());
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
        let signed = sign(&payload, ID, Some(&self.head()), key).unwrap();
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
        let signed = sign(&payload, ID, Some(&self.head()), by).unwrap();
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
        let signed = sign(&payload, ID, Some(&lines.head()), &pair[0]).unwrap();
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

fn genesis(key: &SecretKey) -> Object {
    genesis_payload(NOW, "t", key.public_key(), Durability::Sync, None).unwrap()
}
