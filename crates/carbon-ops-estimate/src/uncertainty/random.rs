//! Philox4x32-10: random numbers as a function of seed and position, so that the order and the number of
//! threads do not matter.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The same
//! generator is in Random123, cuRAND, `PyTorch` and `TensorFlow`, where a verifier finds it.
//!
//! Out of scope: distributions.

/// The name of the generator in results.
pub const GENERATOR: &str = "philox4x32-10";

/// Multipliers and key increments (Weyl constants) of the paper, table 2 and section 3.3.
const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds over a counter of 128 bits, with a key of 64.
#[inline]
pub(crate) fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let first = u64::from(M[0]) * u64::from(c0);
        let second = u64::from(M[1]) * u64::from(c2);
        (c0, c1, c2, c3) = (high(second) ^ c1 ^ k0, low(second), high(first) ^ c3 ^ k1, low(first));
        (k0, k1) = (k0.wrapping_add(W[0]), k1.wrapping_add(W[1]));
    }
    [c0, c1, c2, c3]
}

/// Uniform numbers of one input in one block: number `t` comes from the counter `(t/2, input, block)`,
/// the even ones from its first two words, the odd ones from the others.
pub(crate) fn uniforms(seed: u64, block: u64, input: u32, first: u32, out: &mut [f64]) {
    let key = [low(seed), high(seed)];
    let [block_low, block_high] = [low(block), high(block)];
    for (pair, out) in out.chunks_mut(2).enumerate() {
        let pair = first / 2 + u32::try_from(pair).unwrap_or(u32::MAX);
        let [a, b, c, d] = philox([pair, input, block_low, block_high], key);
        for (out, words) in out.iter_mut().zip([(a, b), (c, d)]) {
            *out = open(words.0, words.1);
        }
    }
}

/// A double strictly between 0 and 1: 52 bits and a half, so that neither end is ever reached.
#[inline]
fn open(low: u32, high: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
    let number = bits as f64;
    (number + 0.5) * SCALE
}

/// 2⁻⁵².
const SCALE: f64 = 1.0 / 4_503_599_627_370_496.0;

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
#[inline]
fn low(x: u64) -> u32 {
    x as u32
}

#[inline]
fn high(x: u64) -> u32 {
    low(x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random123, `kat_vectors`, philox4x32 with 10 rounds.
    #[test]
    fn philox_gives_the_published_vectors() {
        let check = |counter, key, expected: [u32; 4]| assert_eq!(philox(counter, key), expected);
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn uniform_numbers_are_open_and_where_they_start_does_not_matter() {
        assert!(open(0, 0) > 0.0 && open(!0, !0) < 1.0);
        let (mut whole, mut tail) = ([0.0; 100], [0.0; 60]);
        uniforms(7, 3, 2, 0, &mut whole);
        uniforms(7, 3, 2, 40, &mut tail);
        assert_eq!(whole[40..], tail);
        let mut other = [0.0; 100];
        for (seed, block, input) in [(8, 3, 2), (7, 4, 2), (7, 3, 1)] {
            uniforms(seed, block, input, 0, &mut other);
            assert!(whole.iter().zip(&other).all(|(a, b)| a.to_bits() != b.to_bits()));
        }
    }
}
