//! Hexadecimal of a fixed length, strictly: lower case alone, so that there is one spelling per byte
//! string.
//!
//! Out of scope: the digits themselves, which are `base16ct`'s.

/// Exactly `N` bytes from `2 * N` lower-case digits, or nothing.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let read = base16ct::lower::decode(text, &mut bytes).ok()?.len();
    (read == N).then_some(bytes)
}
