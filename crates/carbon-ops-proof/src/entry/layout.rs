//! The members that every line has, and what that leaves to a payload.
//!
//! Out of scope: the members of the ledger's own records.

use crate::canonical::{Object, Value, check_object_numbers};
use crate::fault::Fault;
use crate::hex;
use crate::keys::PublicKey;

/// Names of members that a payload may not use.
pub const RESERVED_MEMBERS: [&str; 6] =
    ["ledger_id", "prev_hash", "seq", "signature", "signature_algorithm", "signing_key"];

/// The members that are not part of the signed bytes.
pub(super) const SIGNATURE_MEMBERS: [&str; 3] = ["signature", "signature_algorithm", "signing_key"];

/// The only value of `signature_algorithm`.
pub const ALGORITHM: &str = "ed25519";

/// The `kind` of the ledger's own records.
pub(crate) const CONTROL_KIND: &str = "ledger";

/// What every record of the ledger's own holds, and few others.
pub(crate) const OWN: &[u8] = b"\"kind\":\"ledger\"";

/// The key that a text of 64 hexadecimal digits stands for.
pub(crate) type KeyOf<'k> = dyn FnMut(&str) -> Option<PublicKey> + 'k;

/// Checks what a caller wants to append, before anything else is done for it.
///
/// # Errors
///
/// When the payload uses a member or the `kind` of the ledger's own, or holds a number that an
/// entry may not carry.
pub fn check_payload(payload: &Object) -> Result<(), Fault> {
    if let Some(name) = RESERVED_MEMBERS.into_iter().find(|name| payload.contains(name)) {
        return Err(Fault::ReservedMember(name));
    }
    if text(payload, "kind") == Some(CONTROL_KIND) {
        return Err(Fault::ReservedKind);
    }
    check_object_numbers(payload).map_err(Fault::Number)
}

pub(super) fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    object.get(name).and_then(Value::as_str)
}

pub(super) fn hex_member<const N: usize>(
    object: &Object,
    name: &'static str,
    expected: &'static str,
) -> Result<[u8; N], Fault> {
    text(object, name).and_then(hex::decode).ok_or(Fault::Member { name, expected })
}
