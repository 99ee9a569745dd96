//! A ledger in memory for tests, whoever signs.

use jiff::Timestamp;

use crate::canonical::Object;
use crate::checkpoint::Checkpoint;
use crate::entry::{
    AddedKey, Control, Durability, Entry, Head, KeyRotation, LedgerId, RetiredKey, genesis_payload,
    possession_text, sign,
};
use crate::keys::{SecretKey, Signer as _};
use crate::merkle::{Frontier, leaf_hash};
use crate::note::Note;

pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);
pub(crate) const ID: LedgerId = LedgerId([0xa1; 16]);

/// Lines one after the other.
pub(crate) struct Lines {
    pub(crate) entries: Vec<Entry>,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Lines {
    pub(crate) fn begun_by(key: &SecretKey) -> Self {
        Self::begun_with(key, ID)
    }

    pub(crate) fn begun_with(key: &SecretKey, id: LedgerId) -> Self {
        let mut lines = Self { entries: Vec::new(), lines: Vec::new() };
        lines.add(sign(&genesis(key), id, None, key).unwrap());
        lines
    }

    pub(crate) fn add(&mut self, (entry, line): (Entry, Vec<u8>)) -> &Entry {
        self.lines.push(line);
        self.entries.push(entry);
        self.entries.last().unwrap()
    }

    pub(crate) fn head(&self) -> Head {
        self.entries.last().unwrap().head()
    }

    pub(crate) fn record(&mut self, key: &SecretKey, text: &str) -> &Entry {
        self.payload(key, &Object::from_members([("note", text.into())]).unwrap())
    }

    pub(crate) fn payload(&mut self, key: &SecretKey, payload: &Object) -> &Entry {
        let signed = sign(payload, ID, Some(&self.head()), key).unwrap();
        self.add(signed)
    }

    pub(crate) fn rotate(
        &mut self,
        by: &SecretKey,
        add: &[&SecretKey],
        retire: &[&SecretKey],
    ) -> &Entry {
        let added = add.iter().map(|joins| proven(joins, &self.head(), by)).collect();
        let retired = retire
            .iter()
            .map(|key| RetiredKey { public_key: key.public_key(), compromised_since: None })
            .collect();
        let rotation = KeyRotation { added, retired, reason: None };
        self.add_rotation(by, rotation)
    }

    pub(crate) fn add_rotation(&mut self, by: &SecretKey, rotation: KeyRotation) -> &Entry {
        let payload = Control::KeyRotation(rotation).to_payload(NOW, "t").unwrap();
        let signed = sign(&payload, ID, Some(&self.head()), by).unwrap();
        self.add(signed)
    }

    /// The checkpoint of all lines so far.
    pub(crate) fn checkpoint(&self, by: &SecretKey) -> Note {
        let mut tree = Frontier::new();
        for line in &self.lines {
            tree.push(leaf_hash(line));
        }
        let ledger_id = self.entries[0].ledger_id();
        Checkpoint { ledger_id, size: tree.size(), root: tree.root() }.sign(by).unwrap()
    }
}

pub(crate) fn proven(joins: &SecretKey, head: &Head, by: &SecretKey) -> AddedKey {
    let text = possession_text(ID, head, by.public_key(), joins.public_key());
    AddedKey { public_key: joins.public_key(), proof: joins.sign(text.as_bytes()).unwrap() }
}

fn genesis(key: &SecretKey) -> Object {
    genesis_payload(NOW, "t", key.public_key(), Durability::Sync, None).unwrap()
}
