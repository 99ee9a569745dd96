//! Hexadecimal of a fixed length, strictly: lower case alone, so that there is one spelling per byte
//! string.
//!
//! Out of scope: the digits themselves, which are `base16ct`'s.

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// Exactly `N` bytes from `2 * N` lower-case digits, or nothing.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let read = base16ct::lower::decode(text, &mut bytes).ok()?.len();
    (read == N).then_some(bytes)
}

pub(crate) fn serialize<const N: usize, S>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    to.serialize_str(&base16ct::lower::encode_string(bytes))
}

pub(crate) fn deserialize<'d, const N: usize, D>(from: D) -> Result<[u8; N], D::Error>
where
    D: Deserializer<'d>,
{
    let wrong = || D::Error::custom(format!("expected {} lower-case hex digits", 2 * N));
    decode(&String::deserialize(from)?).ok_or_else(wrong)
}
