//! Public keys, and strict verification.
//!
//! Out of scope: whom to trust.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Verifier as _;

use super::multiples;
use crate::error::{Error, Result};
use crate::hex;

/// The prime of Curve25519, 2^255 − 19, little-endian (RFC 8032 section 5.1). A y coordinate at or
/// above it has a second encoding below it.
pub(super) const FIELD_PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// The eight points of small order in canonical encoding: those with y = 1 (order 1), −1 (order 2), 0 (order
/// 4, twice), and the four of order 8, as `constants::EIGHT_TORSION` of curve25519-dalek has them. The top bit
/// is the sign of x.
pub(super) const SMALL_ORDER: [[u8; 32]; 8] = {
    const fn of(y: [u8; 32], sign: u8) -> [u8; 32] {
        let mut point = y;
        point[31] |= sign;
        point
    }
    let (mut one, mut minus_one) = ([0; 32], FIELD_PRIME);
    one[0] = 1;
    minus_one[0] = 0xec;
    let low = *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
        \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05";
    let high = *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
        \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a";
    let zero = [0; 32];
    let sign = 0x80;
    [one, minus_one, zero, of(zero, sign), low, of(low, sign), high, of(high, sign)]
};

/// A key that verifies signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub(super) ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032 section 5.1.5.
    ///
    /// # Errors
    ///
    /// When they encode no point, encode one in a second way, or encode a point of small order
    /// (for which signatures exist that fit any message).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::InvalidKey { reason: reason.to_owned() });
        let mut y = *bytes;
        if let Some(last) = y.last_mut() {
            // The top bit is the sign of x.
            *last &= 0x7f;
        }
        if y.iter().rev().ge(FIELD_PRIME.iter().rev()) {
            return refuse("the point is not in canonical encoding");
        }
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(bytes) else {
            return refuse("the bytes encode no point of the curve");
        };
        if key.is_weak() {
            return refuse("the point has small order");
        }
        Ok(Self(key))
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When the text is anything else, or the bytes are refused by [`PublicKey::from_bytes`].
    pub fn from_hex(text: &str) -> Result<Self> {
        let bytes = hex::decode(text).ok_or_else(|| Error::InvalidKey {
            reason: "a public key is 64 lower-case hexadecimal digits".to_owned(),
        })?;
        Self::from_bytes(&bytes)
    }

    /// The 32 bytes of RFC 8032 section 5.1.5.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        base16ct::lower::encode_string(self.0.as_bytes())
    }

    /// Whether `signature` is a valid signature of `message`, strictly.
    #[must_use]
    pub fn verifies(self, message: &[u8], signature: &[u8; 64]) -> bool {
        Self::verify_each(&[(self, message, signature)]).contains(&true)
    }

    /// The same of each of several keys, messages and signatures, one by one, and quicker.
    #[must_use]
    pub fn verify_each(signed: &[(Self, &[u8], &[u8; 64])]) -> Vec<bool> {
        let mut sums = Vec::with_capacity(signed.len());
        let mut verdicts = Vec::with_capacity(signed.len());
        for (key, message, signature) in signed {
            // Gives the verdict of `verify_strict`, which decompresses R to see whether its order is small.
            // The equation's result is compared with R byte by byte, so that R is refused unless it is in
            // canonical encoding; of points with small order that leaves the eight here. This key has not
            // small order, or it could not have been made.
            let verdict = if SMALL_ORDER.iter().any(|point| signature.starts_with(point)) {
                Some(false)
            } else if let Some(sum) = multiples::sum(&key.0, message, signature) {
                sums.push((sum, *signature));
                None
            } else {
                let signature = ed25519_dalek::Signature::from_bytes(signature);
                Some(key.0.verify(message, &signature).is_ok())
            };
            verdicts.push(verdict);
        }
        let mut are_r = multiples::are_r(&sums).into_iter();
        let verdict = |known: Option<bool>| known.or_else(|| are_r.next()).unwrap_or(false);
        verdicts.into_iter().map(verdict).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_hex(text)
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}
