//! The members of a line, by their places in it: an entry is read without making values of what is
//! only passed on, and the bytes of its parts are cut out of the stored line, never written again.
//!
//! Left out: why a line is no entry, which [`Entry::parse_with`] says.

use sha2::{Digest, Sha256};

use super::{
    ALGORITHM, CONTROL_KIND, Control, Entry, EntryHash, Fault, KeyOf, LedgerId, MAX_LINE_BYTES,
    RESERVED_MEMBERS, SIGNATURE_MEMBERS,
};
use crate::canonical::{
    Object, Value, canonical_object, canonical_outline, canonical_value, to_canonical,
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

/// What a line says of itself, as [`Entry`] has it, but for its members.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) seq: u64,
    pub(crate) ledger_id: LedgerId,
    pub(crate) prev_hash: Option<EntryHash>,
    pub(crate) signing_key: PublicKey,
    pub(crate) hash: EntryHash,
    /// Whether the signature fits the key that the entry names.
    pub(crate) signed: bool,
    /// The record, if it is one of the ledger's own.
    pub(crate) control: Option<Control>,
}

/// Reads an entry and checks its signature; what `with` makes of a record that is signed and not one
/// of the ledger's own comes back too.
///
/// # Errors
///
/// As [`Entry::parse`].
pub(crate) fn read<R>(
    line: &[u8],
    key_of: &mut KeyOf<'_>,
    with: impl FnOnce(Payload<'_>) -> R,
) -> Result<(Read, Option<R>), Fault> {
    let outline = canonical_outline(line).filter(|outline| !outline.number_out_of_range);
    if let Some(outline) = outline
        && let members = (Members { line, starts: &outline.starts })
        && let Some((read, signed)) = record(members, key_of)
    {
        let made = signed.then(|| with(Payload { members }));
        return Ok((read, made));
    }
    // One of the ledger's own records, or none at all.
    let entry = Entry::parse_with(line, key_of)?;
    let read = Read {
        seq: entry.seq,
        ledger_id: entry.ledger_id,
        prev_hash: entry.prev_hash,
        signing_key: entry.signing_key,
        hash: entry.hash(),
        signed: entry.verify_signature().is_ok(),
        control: entry.control()?,
    };
    debug_assert!(read.control.is_some(), "the two readers differ");
    let made = (read.signed && read.control.is_none()).then(|| {
        let starts = canonical_outline(line).map(|outline| outline.starts).unwrap_or_default();
        with(Payload { members: Members { line, starts: &starts } })
    });
    Ok((read, made))
}

/// An entry that is not one of the ledger's own records, and whether it is signed; none for all others.
fn record(members: Members<'_>, key_of: &mut KeyOf<'_>) -> Option<(Read, bool)> {
    let line = members.line;
    if line.len() > MAX_LINE_BYTES
        || line.contains(&0)
        || members.text("kind") == Some(CONTROL_KIND)
    {
        return None;
    }
    if members.text("signature_algorithm") != Some(ALGORITHM) {
        return None;
    }
    let seq = canonical_value(members.value("seq")?)?.as_u64().filter(|seq| *seq > 0)?;
    let signing_key = key_of(members.text("signing_key")?)?;
    let signature = members.hex("signature")?;
    let signed_bytes = members.without(&SIGNATURE_MEMBERS);
    let signed = signing_key.verifies(&signed_bytes, &signature);
    let read = Read {
        seq,
        ledger_id: LedgerId(members.hex("ledger_id")?),
        prev_hash: Some(EntryHash(members.hex("prev_hash")?)),
        signing_key,
        hash: EntryHash(Sha256::digest(&signed_bytes).into()),
        signed,
        control: None,
    };
    Some((read, signed))
}
