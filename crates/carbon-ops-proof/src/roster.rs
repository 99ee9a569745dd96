//! Who may sign which line: the keys of the genesis, changed by every `key_rotation` after it.
//!
//! A verifier applies the changes as it meets them. A writer must know the roster without reading the
//! whole ledger: it looks for the lines that hold [`MARK`].
//!
//! Out of scope: whom a reader trusts, and reading files.

use std::collections::BTreeMap;
use std::io;

use crate::entry::{Control, Entry, Fault, KeyRotation, LedgerId};
use crate::keys::PublicKey;
use crate::source::{LineSource, key_changes};

#[cfg(test)]
mod tests;

/// What a line that changes the roster contains. In a text the quotes would be escaped; in an object
/// further inside it can stand, so what is found is looked into.
pub const MARK: &[u8] = b"\"type\":\"key_rotation\"";

/// How many keys may sign at one time: every line's key is looked up among them.
const MAX_ROSTER: usize = 64;
/// How many keys a ledger may have had: one a day for more than a century. What a verifier keeps of
/// each stays below 10 MiB together.
const MAX_KEYS_EVER: usize = 1 << 16;

/// The keys that may sign, and those that could.
///
/// ```
/// use carbon_ops_proof::entry::Entry;
/// use carbon_ops_proof::roster::Roster;
/// # use carbon_ops_proof::entry::{Durability, LedgerId, genesis_payload, sign};
/// # use carbon_ops_proof::keys::SecretKey;
/// # let key = SecretKey::from_seed(&[7; 32]);
/// # let genesis = genesis_payload("2026-11-23T09:00:00Z".parse().unwrap(), "example 1.0", key.public_key(), Durability::Sync, None).unwrap();
/// # let (_, first_line) = sign(&genesis, LedgerId([1; 16]), None, &key).unwrap();
/// let genesis = Entry::parse(&first_line).unwrap();
/// let roster = Roster::of_genesis(&genesis).unwrap();
/// assert_eq!(roster.keys(), [key.public_key()]);
/// assert!(roster.permits(key.public_key(), 1).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    genesis_key: PublicKey,
    /// Who may sign the next line.
    keys: Vec<PublicKey>,
    terms: BTreeMap<PublicKey, Term>,
    /// All keys, in the order in which they joined.
    joined: Vec<PublicKey>,
    rotations: u64,
}

/// From when to when a key may sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Term {
    /// The number of the first entry that it may sign.
    pub first: u64,
    /// The number of the last entry that it may sign: the one that retires it; none while it may.
    pub last: Option<u64>,
    /// The number from which on its entries are suspect.
    pub compromised_since: Option<u64>,
}

impl Roster {
    /// The roster of a ledger with one line: the keys that its genesis lists, one of which signed it.
    ///
    /// # Errors
    ///
    /// When the entry is no genesis or its signature does not verify.
    pub fn of_genesis(genesis: &Entry) -> Result<Self, Fault> {
        let Some(Control::Genesis(listed)) = genesis.control()? else {
            return Err(Fault::NoGenesis);
        };
        // That its own key is on its list is part of its form.
        genesis.authenticate(genesis.ledger_id())?;
        Ok(Self::of(genesis.signing_key(), listed.keys))
    }

    /// The roster after the first `size` lines, of which only those that say who may sign are looked into.
    ///
    /// # Errors
    ///
    /// When reading fails, or one of these does not hold.
    pub fn of_lines(lines: &mut impl LineSource, size: u64) -> io::Result<Self> {
        let mut roster: Option<Self> = None;
        for seq in key_changes(lines, size)? {
            let Some(line) = lines.line(seq)? else { break };
            let entry = Entry::parse(&line).map_err(io::Error::other)?;
            roster = Some(match roster {
                None => Self::of_genesis(&entry).map_err(io::Error::other)?,
                Some(mut roster) => {
                    roster.authenticate(&entry, entry.ledger_id()).map_err(io::Error::other)?;
                    roster.apply(&entry).map_err(io::Error::other)?;
                    roster
                }
            });
        }
        roster.ok_or_else(|| io::Error::other(Fault::NoGenesis))
    }

    pub(crate) fn of(genesis_key: PublicKey, keys: Vec<PublicKey>) -> Self {
        let term = Term { first: 0, last: None, compromised_since: None };
        let terms = keys.iter().map(|key| (*key, term)).collect();
        Self { genesis_key, joined: keys.clone(), keys, terms, rotations: 0 }
    }

    /// The keys that may sign the next line, in the order in which they joined.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The key that signed the genesis, and so vouches for all others.
    #[must_use]
    pub fn genesis_key(&self) -> PublicKey {
        self.genesis_key
    }

    /// Every key that may sign or could, with its term, in the order in which they joined.
    pub fn terms(&self) -> impl Iterator<Item = (PublicKey, Term)> {
        self.joined.iter().filter_map(|key| Some((*key, *self.terms.get(key)?)))
    }

    /// How many changes there were.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.rotations
    }

    /// The keys that may sign a checkpoint of the first `size` lines: those that may sign the line
    /// after them.
    #[must_use]
    pub fn keys_at(&self, size: u64) -> Vec<PublicKey> {
        let may = |term: &Term| term.first <= size && term.last.is_none_or(|last| size <= last);
        self.terms.iter().filter(|(_, term)| may(term)).map(|(key, _)| *key).collect()
    }

    /// Whether a key may sign the entry with this number.
    ///
    /// # Errors
    ///
    /// [`Fault::KeyNotInRoster`] or [`Fault::KeyRetired`].
    pub fn permits(&self, key: PublicKey, seq: u64) -> Result<(), Fault> {
        match self.terms.get(&key) {
            Some(Term { last: Some(last), .. }) if seq > *last => {
                Err(Fault::KeyRetired { key: key.to_hex(), at: *last })
            }
            Some(term) if term.first <= seq => Ok(()),
            _ => Err(Fault::KeyNotInRoster(key.to_hex())),
        }
    }

    /// Checks that a key that may do so signed this entry, for this ledger.
    ///
    /// # Errors
    ///
    /// As [`Roster::permits`]; [`Fault::Signature`] or [`Fault::OtherLedger`].
    pub fn authenticate(&self, entry: &Entry, ledger_id: LedgerId) -> Result<(), Fault> {
        self.permits(entry.signing_key(), entry.seq())?;
        entry.authenticate(ledger_id)
    }

    /// Goes on to the line after an authentic entry. Tells whether it changed the roster.
    ///
    /// # Errors
    ///
    /// [`Fault::Rotation`] when it is a change that cannot be; the roster stays as it is.
    pub fn apply(&mut self, entry: &Entry) -> Result<bool, Fault> {
        match entry.control()? {
            Some(Control::KeyRotation(rotation)) => {
                entry.proves(&rotation)?;
                self.change(&rotation, entry.seq())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether `rotation` could be the next entry, but for the proofs of the keys that join.
    pub fn allows(&self, rotation: &KeyRotation) -> Result<(), Fault> {
        let refuse = |reason| Err(Fault::Rotation(reason));
        if rotation.added.iter().any(|key| self.terms.contains_key(&key.public_key)) {
            return refuse(
                "it adds a key that may sign already, or was retired, which is for ever",
            );
        }
        if rotation.retired.iter().any(|key| !self.keys.contains(&key.public_key)) {
            return refuse("it retires a key that may not sign");
        }
        let left = self.keys.len() + rotation.added.len() - rotation.retired.len();
        if !(1..=MAX_ROSTER).contains(&left) {
            return refuse("it leaves no key, or more than 64");
        }
        if self.terms.len() + rotation.added.len() > MAX_KEYS_EVER {
            return refuse("a ledger can have had 65536 keys and not more");
        }
        Ok(())
    }

    /// As [`Roster::apply`], for the change in the authentic entry `seq` whose proofs hold.
    pub(crate) fn change(&mut self, rotation: &KeyRotation, seq: u64) -> Result<(), Fault> {
        self.allows(rotation)?;
        for retired in &rotation.retired {
            self.keys.retain(|key| *key != retired.public_key);
            if let Some(term) = self.terms.get_mut(&retired.public_key) {
                term.last = Some(seq);
                term.compromised_since = retired.compromised_since;
            }
        }
        for added in &rotation.added {
            let term = Term { first: seq + 1, last: None, compromised_since: None };
            self.keys.push(added.public_key);
            self.joined.push(added.public_key);
            self.terms.insert(added.public_key, term);
        }
        self.rotations += 1;
        Ok(())
    }
}
