//! How far the bytes of a string stand for themselves, told of eight bytes at a time.
//!
//! Out of scope: what follows.

/// How many bytes stand before the first quote, backslash or control character; none without one.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> Option<usize> {
    let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    Some(words.len() * 8 + tail.iter().position(ends)?)
}

/// Sets the top bit of each byte that ends a run: a quote, a backslash, a control character. Above the
/// first of them, of others too (the borrow of Mycroft's test for zero bytes).
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_that_needs_an_escape() {
        for byte in 0..=255_u8 {
            let ends = byte < 0x20 || byte == b'"' || byte == b'\\';
            for at in 0..20 {
                let mut bytes = [0xff; 24];
                bytes[at] = byte;
                bytes[at + 1] = b'"';
                bytes[at + 2] = 0x1f;
                assert_eq!(
                    plain_length(&bytes),
                    Some(if ends { at } else { at + 1 }),
                    "{byte} {at}"
                );
            }
        }
        assert_eq!(plain_length(b"no end here and none there"), None);
    }
}
