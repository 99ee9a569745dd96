//! The members of a line, by their places in it: an entry is read without making values of what is
//! only passed on, and the bytes of its parts are cut out of the stored line, never written again.
//!
//! Left out: why a line is no entry, which `Entry::parse` says.

use sha2::{Digest, Sha256};

use super::{
    ALGORITHM, CONTROL_KIND, EntryHash, KeyOf, LedgerId, MAX_LINE_BYTES, RESERVED_MEMBERS,
    SIGNATURE_MEMBERS, time,
};
use crate::canonical::{
    Object, Value, canonical_object, canonical_outline, canonical_value, object_to_canonical,
    to_canonical,
};
use crate::hex;
use crate::keys::PublicKey;

/// The members of a canonical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members<'l> {
    pub(super) line: &'l [u8],
    /// Where each begins.
    pub(super) starts: &'l [usize],
}

impl<'l> Members<'l> {
    /// The text of each member, without the comma or bracket behind it.
    fn iter(self) -> impl Iterator<Item = &'l [u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.line.len()]);
        let text = move |(start, end): (&usize, usize)| {
            self.line.get(*start..end.saturating_sub(1)).unwrap_or_default()
        };
        self.starts.iter().zip(ends).map(text)
    }

    /// The canonical bytes of the object without some of its members, whose names need no escapes.
    pub(super) fn without(self, omitted: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.line.len());
        bytes.push(b'{');
        for member in self.iter().filter(|member| !omitted.iter().any(|name| is(member, name))) {
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(member);
        }
        bytes.push(b'}');
        bytes
    }

    /// The canonical bytes of the value of a member.
    fn value(self, name: &str) -> Option<&'l [u8]> {
        self.iter().find(|member| is(member, name))?.get(name.len() + 3..)
    }

    /// The text of a member, if it is one without escapes.
    fn text(self, name: &str) -> Option<&'l str> {
        let text = self.value(name)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        std::str::from_utf8(text).ok().filter(|text| !text.contains('\\'))
    }

    fn hex<const N: usize>(self, name: &str) -> Option<[u8; N]> {
        hex::decode(self.text(name)?)
    }
}

/// Whether a member has a name that needs no escapes.
fn is(member: &[u8], name: &str) -> bool {
    // The first letter is nearly always enough to say no.
    member.get(1) == name.as_bytes().first()
        && member
            .get(1..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.starts_with(b"\":"))
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
        let starts = canonical_outline(&line).map(|outline| outline.starts).unwrap_or_default();
        with(Payload { members: Members { line: &line, starts: &starts } })
    }

    /// A member, the ledger's or the record's.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value> {
        let quoted = to_canonical(&name.into());
        let name = std::str::from_utf8(&quoted).ok()?;
        canonical_value(self.members.value(name.get(1..name.len() - 1)?)?)
    }

    /// The canonical bytes of the record: the stored ones, without the ledger's own members.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        self.members.without(&RESERVED_MEMBERS)
    }

    /// All members, the ledger's and the record's.
    #[must_use]
    pub fn to_object(&self) -> Object {
        // Canonical it is, or it would not be here.
        canonical_object(self.members.line).map(|(object, _)| object).unwrap_or_default()
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

/// Reads an entry that is not one of the ledger's own records, checks its signature, and returns also
/// what `with` makes of the record, if it is signed. None for all other lines.
pub(crate) fn read_record<R>(
    line: &[u8],
    key_of: &mut KeyOf<'_>,
    with: impl FnOnce(Payload<'_>) -> R,
) -> Option<(Read, Option<R>)> {
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    let outline = canonical_outline(line).filter(|outline| !outline.number_out_of_range)?;
    let members = Members { line, starts: &outline.starts };
    if members.text("kind") == Some(CONTROL_KIND)
        || members.text("signature_algorithm") != Some(ALGORITHM)
    {
        return None;
    }
    let signature = members.hex("signature")?;
    let signed_bytes = members.without(&SIGNATURE_MEMBERS);
    let said = |name| members.text(name).and_then(time);
    let read = Read {
        seq: canonical_value(members.value("seq")?)?.as_u64().filter(|seq| *seq > 0)?,
        ledger_id: LedgerId(members.hex("ledger_id")?),
        prev_hash: EntryHash(members.hex("prev_hash")?),
        signing_key: key_of(members.text("signing_key")?)?,
        hash: EntryHash(Sha256::digest(&signed_bytes).into()),
        noted_at: said("created_ts").or_else(|| said("end_ts")),
    };
    let signed = read.signing_key.verifies(&signed_bytes, &signature);
    Some((read, signed.then(|| with(Payload { members }))))
}
