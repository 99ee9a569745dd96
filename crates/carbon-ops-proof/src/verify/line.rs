//! What one line tells by itself: its form, its hashes, whether its signature fits the key that it
//! names, and what the caller's check makes of a record. Any thread can do it, in any order.
//!
//! Out of scope: everything that depends on the place of the line, which is `sequence.rs`.

use std::collections::HashMap;

use jiff::Timestamp;
use memchr::memmem;

use crate::entry::{
    Control, Correction, Entry, EntryHash, Fault, LedgerId, MAX_LINE_BYTES, OWN, Outcome, Payload,
    Unverified,
};
use crate::keys::PublicKey;
use crate::merkle::{TreeHash, leaf_hash};

/// More keys than an honest ledger has; whoever writes a new key on each line gains no memory.
const MAX_KNOWN_KEYS: usize = 256;

/// A line as it is stored, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLine<'b> {
    /// Its number, from 1.
    pub number: u64,
    /// Its content without the newline; of one that is too long at least one byte more than is
    /// allowed.
    pub bytes: &'b [u8],
    /// How long it really is, without the newline.
    pub len: u64,
    /// Whether a newline ends it.
    pub terminated: bool,
    /// Whether nothing follows it.
    pub last: bool,
}

impl StoredLine<'_> {
    /// Whether it is what an interrupted write of one entry leaves. The genesis is never written
    /// that way: it appears complete, by a rename.
    fn could_be_torn(&self) -> bool {
        self.last
            && self.number > 1
            && self.len <= MAX_LINE_BYTES as u64 + u64::from(!self.terminated)
            && (!self.terminated || self.bytes.contains(&0))
    }

    /// The fault of a line without a newline that no interrupted write can have left.
    fn unterminated(&self) -> Fault {
        if self.len > MAX_LINE_BYTES as u64 { Fault::TooLong } else { Fault::Unterminated }
    }
}

/// What is made of a record, or why it is refused.
pub type Check<'c, T> = dyn Fn(&Payload<'_>) -> Result<T, String> + Sync + 'c;

/// Examines lines one by one; remembers the keys that it has met, and nothing else.
pub struct Examiner<'c, T> {
    check: &'c Check<'c, T>,
    /// Up to which line only the tree is looked at.
    since: u64,
    keys: HashMap<String, Option<PublicKey>>,
}

impl<T> std::fmt::Debug for Examiner<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examiner").field("since", &self.since).finish_non_exhaustive()
    }
}

/// What a line told by itself.
#[derive(Clone, Debug)]
pub struct Examined<T> {
    pub(super) number: u64,
    /// Its length, with the newline.
    pub(super) bytes: u64,
    pub(super) terminated: bool,
    /// None for what is no leaf of the tree.
    pub(super) leaf: Option<TreeHash>,
    pub(super) content: Content<T>,
}

/// What a line is.
#[derive(Clone, Debug)]
pub(super) enum Content<T> {
    /// What an interrupted write left, and an entry if it is a whole one.
    Torn(Option<Box<Facts<T>>>),
    /// Not looked into, but for what the ledger itself says.
    Compared(Option<Box<Facts<T>>>),
    /// Not looked into, but for that and for what the next line has to follow.
    LastCompared(Result<Box<Facts<T>>, Fault>),
    /// An entry, or why it is none.
    Entry(Result<Box<Facts<T>>, Fault>),
}

/// What an entry says and is.
#[derive(Clone, Debug)]
pub(super) struct Facts<T> {
    pub(super) seq: u64,
    pub(super) ledger_id: LedgerId,
    pub(super) prev_hash: Option<EntryHash>,
    pub(super) hash: EntryHash,
    pub(super) signing_key: PublicKey,
    /// Whether the signature fits the key that the entry names.
    pub(super) signed: bool,
    /// When it was made, as it says.
    pub(super) time: Option<Timestamp>,
    pub(super) record: Record<T>,
}

/// Whose record an entry carries.
#[derive(Clone, Debug)]
pub(super) enum Record<T> {
    /// One of the ledger's own, and whether what it carries holds by itself: the proofs of keys that
    /// join, or what the caller's check says of a corrected record.
    Control(Box<Control>, Result<Option<T>, Fault>),
    /// Another one, and what the caller's check says.
    Other(Result<T, String>),
    /// Not looked at, because nobody signed it.
    Unsigned,
}

impl<T> Facts<T> {
    /// See [`Entry::authenticate`].
    pub(super) fn authenticate(
        &self,
        ledger_id: LedgerId,
        permitted: Result<(), Fault>,
    ) -> Result<(), Fault> {
        permitted?;
        if !self.signed {
            return Err(Fault::Signature);
        }
        if self.ledger_id != ledger_id {
            return Err(Fault::OtherLedger(self.ledger_id));
        }
        Ok(())
    }
}

impl<'c, T> Examiner<'c, T> {
    /// `check` is called for each signed entry that is not one of the ledger's own records. The
    /// lines up to `since` but the first are not looked into.
    #[must_use]
    pub fn new(check: &'c Check<'c, T>, since: u64) -> Self {
        Self { check, since, keys: HashMap::new() }
    }

    /// Examines a line.
    pub fn examine(&mut self, line: &StoredLine<'_>) -> Examined<T> {
        let unverified = self.unverified(line);
        let signed = unverified.as_ref().map(signed);
        let signed = signed.is_some_and(|(key, bytes, signature)| key.verifies(bytes, signature));
        self.examined(line, unverified.map(|unverified| (unverified, signed)).as_ref())
    }

    /// Examines lines, whose signatures are checked together.
    pub(super) fn examine_all<'l>(
        &mut self,
        lines: impl Iterator<Item = StoredLine<'l>>,
    ) -> Vec<Examined<T>> {
        let lines: Vec<_> = lines.map(|line| (line, self.unverified(&line))).collect();
        let unverified = lines.iter().filter_map(|(_, unverified)| unverified.as_ref());
        let mut verdicts =
            PublicKey::verify_each(&unverified.map(signed).collect::<Vec<_>>()).into_iter();
        let mut examined = |(line, unverified): (StoredLine<'l>, Option<Unverified<'l>>)| {
            let entry = unverified.and_then(|unverified| Some((unverified, verdicts.next()?)));
            self.examined(&line, entry.as_ref())
        };
        lines.into_iter().map(&mut examined).collect()
    }

    /// What a line is looked into for.
    fn looks_for(&self, line: &StoredLine<'_>) -> LooksFor {
        if line.could_be_torn() {
            LooksFor::Torn
        } else if line.number > 1 && line.number < self.since {
            LooksFor::Own
        } else if line.number > 1 && line.number == self.since {
            LooksFor::End
        } else {
            LooksFor::Entry
        }
    }

    /// An entry that is not one of the ledger's own records, if the line is one and looked into.
    fn unverified<'l>(&mut self, line: &StoredLine<'l>) -> Option<Unverified<'l>> {
        let looked_into = match self.looks_for(line) {
            LooksFor::Torn | LooksFor::End => true,
            LooksFor::Own => memmem::find(line.bytes, OWN).is_some(),
            LooksFor::Entry => line.terminated,
        };
        let keys = &mut self.keys;
        let read = || Unverified::read(line.bytes, &mut |text| known(keys, text));
        looked_into.then(read).flatten()
    }

    fn examined(&mut self, line: &StoredLine<'_>, entry: Option<&Verified<'_>>) -> Examined<T> {
        let looks_for = self.looks_for(line);
        let leaf = line.terminated && !matches!(looks_for, LooksFor::Torn);
        Examined {
            number: line.number,
            bytes: line.len + u64::from(line.terminated),
            terminated: line.terminated,
            leaf: leaf.then(|| leaf_hash(line.bytes)),
            content: match looks_for {
                LooksFor::Torn => Content::Torn(self.facts(line.bytes, entry).ok()),
                LooksFor::Own => {
                    let own = memmem::find(line.bytes, OWN).is_some();
                    let facts = own.then(|| self.facts(line.bytes, entry).ok());
                    Content::Compared(facts.flatten())
                }
                LooksFor::End => Content::LastCompared(self.facts(line.bytes, entry)),
                LooksFor::Entry if line.terminated => Content::Entry(self.facts(line.bytes, entry)),
                LooksFor::Entry => Content::Entry(Err(line.unterminated())),
            },
        }
    }

    fn facts(&mut self, line: &[u8], entry: Option<&Verified<'_>>) -> Result<Box<Facts<T>>, Fault> {
        let check = self.check;
        if let Some((entry, signed)) = entry {
            let read = &entry.read;
            return Ok(Box::new(Facts {
                seq: read.seq,
                ledger_id: read.ledger_id,
                prev_hash: Some(read.prev_hash),
                hash: read.hash,
                signing_key: read.signing_key,
                signed: *signed,
                time: read.noted_at,
                record: match signed {
                    true => Record::Other(check(&entry.payload())),
                    false => Record::Unsigned,
                },
            }));
        }
        // One of the ledger's own records, or no entry at all.
        let entry = self.parse(line)?;
        let signed = entry.verify_signature().is_ok();
        Ok(Box::new(Facts {
            seq: entry.seq(),
            ledger_id: entry.ledger_id(),
            prev_hash: entry.prev_hash(),
            hash: entry.hash(),
            signing_key: entry.signing_key(),
            signed,
            time: entry.noted_at(),
            record: match entry.control()? {
                Some(control) if signed => {
                    let holds = self.carried(&control, &entry);
                    Record::Control(Box::new(control), holds)
                }
                Some(control) => Record::Control(Box::new(control), Err(Fault::Signature)),
                None if signed => Record::Other(Payload::of(entry.object(), |p| check(&p))),
                None => Record::Unsigned,
            },
        }))
    }

    /// Whether what a record of the ledger's own carries holds by itself.
    fn carried(&self, control: &Control, entry: &Entry) -> Result<Option<T>, Fault> {
        match control {
            Control::KeyRotation(rotation) => entry.proves(rotation).map(|()| None),
            Control::Correction(Correction { outcome: Outcome::Replaced(payload), .. }) => {
                let checked = Payload::of(payload, |payload| (self.check)(&payload));
                checked.map(Some).map_err(Fault::Record)
            }
            _ => Ok(None),
        }
    }

    fn parse(&mut self, line: &[u8]) -> Result<Entry, Fault> {
        Entry::parse_with(line, &mut |text| known(&mut self.keys, text))
    }
}

/// What a line is looked into for.
enum LooksFor {
    /// What an interrupted write left.
    Torn,
    /// The ledger's own records only.
    Own,
    /// What the next line has to follow.
    End,
    /// Everything.
    Entry,
}

/// An entry, and whether its signature holds.
type Verified<'l> = (Unverified<'l>, bool);

/// What the signature of an entry is of.
fn signed<'e>(entry: &'e Unverified<'_>) -> (PublicKey, &'e [u8], &'e [u8; 64]) {
    (entry.read.signing_key, entry.signed_bytes.as_bytes(), &entry.signature)
}

/// The key of 64 hexadecimal digits, decompressed only when it is met for the first time.
fn known(keys: &mut HashMap<String, Option<PublicKey>>, text: &str) -> Option<PublicKey> {
    if let Some(key) = keys.get(text) {
        return *key;
    }
    if keys.len() >= MAX_KNOWN_KEYS {
        keys.clear();
    }
    let key = PublicKey::from_hex(text).ok();
    keys.insert(text.to_owned(), key);
    key
}
