//! Records of a ledger that cannot stand where they stood, into one that takes them: which lines a key signed for it,
//! and which payloads the other can have without being at fault.
//!
//! Out of scope: which of them stand.

use std::collections::HashSet;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Result, bail};
use carbon_ops_ledger::keys::PublicKey;
use carbon_ops_ledger::storage::LEDGER_FILE;
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical, parse_canonical};
use carbon_ops_proof::entry::{Entry, LedgerId, MAX_LINE_BYTES, Payload, RESERVED_MEMBERS};
use carbon_ops_proof::lines::{Line, next_line_within};
use carbon_ops_proof::verify::KeyReport;
use carbon_ops_record::continuity::{Continuity, Passage};
use carbon_ops_record::reading::{check, record_of};
use sha2::{Digest as _, Sha256};

use crate::before::open_if_there;
use crate::store::{Keyring, Store};
use crate::verify::Owner;

/// A key that may have signed lines of a ledger, and which.
struct Writer {
    key: PublicKey,
    after: Option<u64>,
    last: Option<u64>,
}

/// What its own keys signed for a ledger.
pub(crate) struct Signed {
    id: LedgerId,
    writers: Vec<Writer>,
    /// How many lines may be looked into.
    end: u64,
}

impl Signed {
    /// For the ledger of this name, by the keys that a verification found, in the first `end` lines.
    pub(crate) fn of(id: LedgerId, keys: &[KeyReport], end: u64) -> Self {
        let writer = |key: &KeyReport| {
            let (after, last) = (key.added_seq, key.retired_seq);
            Some(Writer { key: PublicKey::from_hex(&key.public_key).ok()?, after, last })
        };
        Self { id, writers: keys.iter().filter_map(writer).collect(), end }
    }

    /// Whether a key is, or was, one of the ledger's.
    pub(crate) fn is_by(&self, key: PublicKey) -> bool {
        self.writers.iter().any(|writer| writer.key == key)
    }

    /// Every entry in a file that one of the keys signed for the ledger when it might, whatever stands around it.
    pub(crate) fn each(
        &self,
        file: &Path,
        each: &mut dyn FnMut(&Entry, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let may = |entry: &Entry| {
            let seq = entry.seq();
            self.writers.iter().any(|writer| {
                writer.key == entry.signing_key()
                    && writer.after.is_none_or(|after| seq > after)
                    && writer.last.is_none_or(|last| seq <= last)
            })
        };
        let mut number = 0;
        each_line(file, &mut |line| {
            number += 1;
            match Entry::parse(&line.bytes) {
                Ok(entry)
                    if number <= self.end && may(&entry) && entry.authenticate(self.id).is_ok() =>
                {
                    each(&entry, &line.bytes)
                }
                _ => Ok(()),
            }
        })
    }
}

/// Takes payloads that a new ledger may have, each once.
pub(crate) struct Carrier {
    payloads: Vec<Object>,
    /// What is there already, after an interrupted call.
    seen: HashSet<[u8; 32]>,
    continuity: Continuity,
    pub(crate) left: u64,
    before: u64,
}

impl Carrier {
    pub(crate) fn new(new: &Store) -> Result<Self> {
        let mut seen = HashSet::new();
        each_line(&new.ledger.join(LEDGER_FILE), &mut |line| {
            let entry = Entry::parse(&line.bytes)?;
            if entry.control()?.is_none() {
                seen.insert(digest(&payload_of(&line.bytes)?));
            }
            Ok(())
        })?;
        let before = seen.len() as u64;
        Ok(Self { payloads: Vec::new(), seen, continuity: Continuity::new(), left: 0, before })
    }

    /// Takes a payload, unless the new ledger would not verify with it.
    pub(crate) fn take(&mut self, payload: Object) {
        if !self.seen.insert(digest(&payload)) {
            return;
        }
        if self.fits(&payload) {
            self.payloads.push(payload);
        } else {
            self.left += 1;
        }
    }

    fn fits(&mut self, payload: &Object) -> bool {
        let seq = self.payloads.len() as u64;
        Payload::of(payload, |payload| match check(&payload, false) {
            Ok(Owner::Us) => {
                let record = record_of(&payload).ok();
                let passage = record.filter(|record| record.measurement.is_some());
                let passage = passage.and_then(|record| Passage::of(&record));
                passage.is_none_or(|passage| self.continuity.add(seq, &passage).is_ok())
            }
            Ok(_) => true,
            Err(_) => false,
        })
    }

    /// How many it has taken.
    pub(crate) fn waiting(&self) -> u64 {
        self.payloads.len() as u64
    }

    /// Appends them all, in order: how many there are now, and how many could not be taken.
    pub(crate) fn append(self, new: &Store, keyring: Keyring) -> Result<(u64, u64)> {
        let Self { payloads, left, before, .. } = self;
        if payloads.is_empty() {
            return Ok((before, left));
        }
        let (pipeline, _) = new.pipeline(keyring)?;
        let submitter = pipeline.submitter();
        let mut tickets = Vec::with_capacity(payloads.len());
        for payload in &payloads {
            tickets.push(submitter.submit(payload)?);
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        pipeline.close()?;
        Ok((before + payloads.len() as u64, left))
    }
}

fn digest(payload: &Object) -> [u8; 32] {
    Sha256::digest(object_to_canonical(payload)).into()
}

/// An entry without what the ledger adds to it.
pub(crate) fn payload_of(line: &[u8]) -> Result<Object> {
    let Value::Object(mut object) = parse_canonical(line)? else {
        bail!("an entry is an object");
    };
    for member in RESERVED_MEMBERS {
        object.remove(member);
    }
    Ok(object)
}

/// Every whole line of a ledger; none when there are none.
pub(crate) fn each_line(file: &Path, each: &mut dyn FnMut(&Line) -> Result<()>) -> Result<()> {
    let Some(reader) = open_if_there(file)? else { return Ok(()) };
    let (mut reader, mut line) = (BufReader::with_capacity(1 << 20, reader), Line::default());
    while next_line_within(&mut reader, &mut line, MAX_LINE_BYTES)? {
        if line.terminated {
            each(&line)?;
        }
    }
    Ok(())
}
