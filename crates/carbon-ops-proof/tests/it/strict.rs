//! Signatures of all kinds against ed25519-dalek's `verify_strict`.
//!
//! Out of scope: published vectors (in the crate).

use carbon_ops_proof::keys::PublicKey;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

/// A second encoding of the point with y = 0 (RFC 8032 section 5.1): y = 2^255 − 19, little-endian.
const NOT_CANONICAL: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// Keys and R with a part of each small order, S at or above the group order, second encodings of R, changed
/// bits: with and without the tables of multiples, alone and together, the verdict of `verify_strict`. Whole with `CARBON_OPS_LONG`.
#[test]
fn the_tables_of_multiples_change_no_verdict() {
    let scalar = |text: &str| Scalar::from_bytes_mod_order_wide(&Sha512::digest(text).into());
    // The group order, little-endian (RFC 8032 section 5.1).
    let order = (-Scalar::ONE).to_bytes();
    let is_long = std::env::var_os("CARBON_OPS_LONG").is_some_and(|value| value != "0");
    // Few keys in long rows, so that each gets its tables, the wide ones too.
    let (rounds, row): (usize, _) = if is_long { (1_000_000, 20_000) } else { (20_000, 2_500) };
    let (mut accepted, mut with_torsion) = (0, 0);
    let mut together = Vec::new();
    for round in 0..rounds {
        let (torsion, of_r) = (round / row % 8, round % 8);
        let secret = scalar(&format!("key {}", round / row / 8));
        let point = ED25519_BASEPOINT_POINT * secret + EIGHT_TORSION[torsion];
        let key = ed25519_dalek::VerifyingKey::from_bytes(point.compress().as_bytes()).unwrap();
        let ours = PublicKey::from_bytes(key.as_bytes()).unwrap();
        let message = round.to_le_bytes();
        let nonce = if round % 97 == 0 { Scalar::ZERO } else { scalar(&format!("r {round}")) };
        let r = ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[of_r];
        let hash = Sha512::new().chain_update(r.compress().as_bytes());
        let hash = hash.chain_update(key.as_bytes()).chain_update(message).finalize();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(r.compress().as_bytes());
        signature[32..].copy_from_slice(s.as_bytes());
        match round % 7 {
            1 => signature[round % 64] ^= 1 << (round / 64 % 8),
            2 => {
                // S + ℓ, the order being one more than its greatest scalar.
                let mut carry = 1;
                for (byte, add) in signature[32..].iter_mut().zip(order) {
                    let sum = u16::from(*byte) + u16::from(add) + carry;
                    [*byte, _] = sum.to_le_bytes();
                    carry = sum >> 8;
                }
            }
            3 => signature[..32].copy_from_slice(&NOT_CANONICAL),
            _ => {}
        }
        let strict = key.verify_strict(&message, &(&signature).into()).is_ok();
        assert_eq!(ours.verifies(&message, &signature), strict, "round {round}");
        together.push((ours, message, signature, strict));
        if together.len() == 1 + round % 60 || round + 1 == rounds {
            let signed: Vec<_> =
                together.iter().map(|(key, text, by, _)| (*key, &text[..], by)).collect();
            let verdicts: Vec<_> = together.iter().map(|(.., strict)| *strict).collect();
            assert_eq!(PublicKey::verify_each(&signed), verdicts, "up to round {round}");
            together.clear();
        }
        accepted += usize::from(strict);
        with_torsion += usize::from(strict && torsion != 0);
    }
    assert!(accepted > rounds / 20 && with_torsion > rounds / 100, "{accepted}, {with_torsion}");
}
