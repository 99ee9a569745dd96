//! The members of a line, by their places in it: an entry is read without making values of what is
//! only passed on, and the bytes of its parts are cut out of the stored line, never written again.
//!
//! Out of scope: why a line is no entry, which `Entry::parse` says.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::layout::{ALGORITHM, CONTROL_KIND, KeyOf, RESERVED_MEMBERS, SIGNATURE_MEMBERS};
use super::time::time;
use crate::canonical::{
    Object, Outline, Value, canonical_object, canonical_outline, from_members, object_to_canonical,
    parse_canonical, to_canonical,
};
use crate::hex;
use crate::ids::{EntryHash, LedgerId, MAX_LINE_BYTES};
use crate::keys::PublicKey;

/// The members of a canonical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members<'l> {
    line: &'l str,
    /// Where each begins.
    starts: &'l [usize],
}

impl<'l> Members<'l> {
    pub(super) fn of(outline: &'l Outline<'l>) -> Self {
        Self { line: outline.text, starts: &outline.starts }
    }

    /// From where to where a member reaches, with the comma or the bracket behind it.
    fn span(self, index: usize) -> Option<(usize, usize)> {
        let start = *self.starts.get(index)?;
        Some((start, self.starts.get(index + 1).copied().unwrap_or(self.line.len())))
    }

    /// Which member has this name, given as it is spelt there.
    fn index(self, name: &str) -> Option<usize> {
        let line = self.line.as_bytes();
        let (first, behind) = (name.as_bytes().first(), 1 + name.len());
        self.starts.iter().position(|start| {
            // The first letter is nearly always enough to say no.
            line.get(start + 1) == first
                && line.get(start + behind) == Some(&b'"')
                && line.get(start + 1..start + behind) == Some(name.as_bytes())
        })
    }

    /// The canonical text of the object without some of its members, whose names need no escapes.
    pub(super) fn without(self, omitted: &[&str]) -> String {
        let mut omitted: Vec<usize> = omitted.iter().filter_map(|name| self.index(name)).collect();
        omitted.sort_unstable();
        let mut kept = String::with_capacity(self.line.len());
        kept.push('{');
        let mut from = 1;
        for (start, end) in omitted.into_iter().filter_map(|index| self.span(index)) {
            kept.push_str(self.line.get(from..start).unwrap_or_default());
            from = end;
        }
        kept.push_str(self.line.get(from..).unwrap_or_default());
        if kept.len() > 1 {
            // The comma or the bracket behind the last one.
            kept.pop();
        }
        kept.push('}');
        kept
    }

    /// The canonical text of the value of a member, whose name is given as it is spelt there.
    fn value(self, name: &str) -> Option<&'l str> {
        let (start, end) = self.span(self.index(name)?)?;
        self.line.get(start + name.len() + 3..end - 1)
    }

    /// The text of a member, if it is one without escapes.
    fn text(self, name: &str) -> Option<&'l str> {
        let text = self.value(name)?.strip_prefix('"')?.strip_suffix('"')?;
        Some(text).filter(|text| !text.contains('\\'))
    }

    fn hex<const N: usize>(self, name: &str) -> Option<[u8; N]> {
        hex::decode(self.text(name)?)
    }
}

/// A record in a line of a ledger, as the caller's check gets it.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'l> {
    members: Members<'l>,
}

impl Payload<'_> {
    /// Shows `with` an object that stands in no line of its own.
    pub fn of<R>(object: &Object, with: impl FnOnce(Payload<'_>) -> R) -> R {
        let line = object_to_canonical(object);
        let nothing = Outline { text: "{}", starts: Vec::new(), number_out_of_range: false };
        let outline = canonical_outline(&line).unwrap_or(nothing);
        with(Payload { members: Members::of(&outline) })
    }

    /// A member, the ledger's or the record's.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value> {
        let value = if name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')) {
            self.members.value(name)
        } else {
            let quoted = to_canonical(&name.into());
            self.members.value(std::str::from_utf8(quoted.get(1..quoted.len() - 1)?).ok()?)
        };
        parse_canonical(value?.as_bytes()).ok()
    }

    /// Whether there is a member of this name, which needs no escapes.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.index(name).is_some()
    }

    /// The text of a member whose name needs no escapes, if it is one that needs none either.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.text(name)
    }

    /// The canonical text of the record: the stored one, without the ledger's own members.
    #[must_use]
    pub fn to_canonical(&self) -> String {
        self.members.without(&RESERVED_MEMBERS)
    }

    /// The record as a value of its type; none where it is none, of which its canonical text tells the reason.
    #[must_use]
    pub fn read<'p, T: Deserialize<'p>>(&'p self) -> Option<T> {
        let members =
            self.members.starts.iter().filter_map(|start| self.members.line.get(*start..));
        let is_own = |member: &&str| {
            RESERVED_MEMBERS.iter().any(|name| {
                let quoted = member.strip_prefix('"').and_then(|rest| rest.strip_prefix(name));
                quoted.is_some_and(|rest| rest.starts_with('"'))
            })
        };
        from_members(members.filter(|member| !is_own(member)))
    }

    /// All members, the ledger's and the record's.
    #[must_use]
    pub fn to_object(&self) -> Object {
        // Canonical it is, or it would not be here.
        canonical_object(self.members.line.as_bytes()).map(|(object, _)| object).unwrap_or_default()
    }
}

/// What a line says of itself, as [`Entry`](super::Entry) has it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) seq: u64,
    pub(crate) ledger_id: LedgerId,
    pub(crate) prev_hash: EntryHash,
    pub(crate) signing_key: PublicKey,
    pub(crate) hash: EntryHash,
    pub(crate) noted_at: Option<jiff::Timestamp>,
}

/// An entry that is not one of the ledger's own records, and whose signature has not been checked.
#[derive(Debug)]
pub(crate) struct Unverified<'l> {
    pub(crate) read: Read,
    pub(crate) signed_bytes: String,
    pub(crate) signature: [u8; 64],
    outline: Outline<'l>,
}

impl<'l> Unverified<'l> {
    /// Reads a line. None for all other lines.
    pub(crate) fn read(line: &'l [u8], key_of: &mut KeyOf<'_>) -> Option<Self> {
        if line.len() > MAX_LINE_BYTES {
            return None;
        }
        let outline = canonical_outline(line).filter(|outline| !outline.number_out_of_range)?;
        let members = Members::of(&outline);
        if members.text("kind") == Some(CONTROL_KIND)
            || members.text("signature_algorithm") != Some(ALGORITHM)
        {
            return None;
        }
        let signature = members.hex("signature")?;
        let signed_bytes = members.without(&SIGNATURE_MEMBERS);
        let said = |name| members.text(name).and_then(time);
        let read = Read {
            seq: parse_canonical(members.value("seq")?.as_bytes())
                .ok()?
                .as_u64()
                .filter(|seq| *seq > 0)?,
            ledger_id: LedgerId(members.hex("ledger_id")?),
            prev_hash: EntryHash(members.hex("prev_hash")?),
            signing_key: key_of(members.text("signing_key")?)?,
            hash: EntryHash(Sha256::digest(&signed_bytes).into()),
            noted_at: said("created_ts").or_else(|| said("end_ts")),
        };
        Some(Self { read, signed_bytes, signature, outline })
    }

    /// What it records, which says something only where the signature holds.
    pub(crate) fn payload(&self) -> Payload<'_> {
        Payload { members: Members::of(&self.outline) }
    }
}
