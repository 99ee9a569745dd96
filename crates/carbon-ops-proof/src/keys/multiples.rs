//! Tables of the multiples of keys: a ledger has one key or a few, and whoever checks a thousand signatures by
//! one key may add up what is tabulated instead of doubling and adding each time.
//!
//! The verdict is that of the strict equation, [S]B − [k]A = R with every point as it is (RFC 8032 section 5.1.7,
//! without the cofactor), one signature at a time. [k]A is subtracted, and the multiples are those of A itself:
//! adding [ℓ − k]A instead would differ by [ℓ]A, which is not zero where A has a part of small order.
//!
//! What is kept is a memo: it changes no verdict, only how long one takes. Threads that check signatures by one key
//! share its table; which keys a thread has seen is its own.
//!
//! Digits have 8 bits: wider ones need fewer additions, of tables that no cache holds, and are hardly quicker.
//!
//! Out of scope: points of small order, which [`PublicKey`](super::PublicKey) refuses before it asks here.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity as _;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

/// Digits of a scalar to the base 256, each from −127 to 128.
const DIGITS: usize = 32;

/// Multiples for each digit: 1 to 128 times a power of 256.
const PER_DIGIT: usize = 128;

/// From how many signatures on a table is made: making one takes as long as 30 to 40 signatures.
pub(super) const WORTH_IT: u32 = 64;

/// How many keys a thread remembers, the ones last used: a table takes 640 KiB.
const KEYS_MAX: usize = 8;

/// What a signature of a message comes to; `None` for a key that has not yet been seen often.
pub(super) fn sum(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Option<Sum> {
    thread_local! {
        static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    }
    SEEN.with_borrow_mut(|seen| {
        let at = seen.iter().position(|one| one.key == *key.as_bytes());
        let mut one = at.map_or_else(|| Seen::new(key), |at| seen.remove(at));
        one.times += 1;
        if one.times == WORTH_IT {
            one.multiples = Some(shared(key));
        }
        let sum = one.multiples.as_ref().map(|of_key| of_key.sum(key, message, signature));
        seen.truncate(KEYS_MAX - 1);
        seen.insert(0, one);
        sum
    })
}

/// The table of a key, which one thread makes and the others wait for.
fn shared(key: &VerifyingKey) -> Arc<Multiples> {
    static TABLES: Mutex<Vec<([u8; 32], Weak<Multiples>)>> = Mutex::new(Vec::new());
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that no thread holds any more are gone.
    tables.retain(|(_, table)| table.strong_count() > 0);
    let table = tables.iter().find(|(of, _)| of == key.as_bytes());
    table.and_then(|(_, table)| table.upgrade()).unwrap_or_else(|| {
        let table = Arc::new(Multiples::of(&key.to_edwards()));
        tables.push((key.to_bytes(), Arc::downgrade(&table)));
        table
    })
}

/// [S]B − [k]A, which has to be R; none where S is not below the order of the base point.
pub(super) type Sum = Option<EdwardsPoint>;

/// Whether each sum is the R that its signature begins with, byte by byte. What is dear in telling, the inversion of a
/// coordinate, is done once for all.
pub(super) fn are_r<'s>(sums: &[(Sum, &'s [u8; 64])]) -> Vec<bool> {
    let points: Vec<_> = sums.iter().filter_map(|(sum, _)| *sum).collect();
    let mut compressed = EdwardsPoint::compress_batch_alloc(&points).into_iter();
    let is_r = |(sum, signature): &(Sum, &'s [u8; 64])| {
        sum.and_then(|_| compressed.next())
            .is_some_and(|point| signature.starts_with(point.as_bytes()))
    };
    sums.iter().map(is_r).collect()
}

/// A key that was seen lately.
struct Seen {
    key: [u8; 32],
    times: u32,
    multiples: Option<Arc<Multiples>>,
}

impl Seen {
    fn new(key: &VerifyingKey) -> Self {
        Self { key: key.to_bytes(), times: 0, multiples: None }
    }
}

/// For each digit in turn, the multiples of the point times 256 to the power of its place.
struct Multiples(Vec<EdwardsPoint>);

impl Multiples {
    fn of(point: &EdwardsPoint) -> Self {
        let mut multiples = Vec::with_capacity(DIGITS * PER_DIGIT);
        let mut unit = *point;
        for _ in 0..DIGITS {
            let mut multiple = unit;
            for _ in 1..PER_DIGIT {
                multiples.push(multiple);
                multiple += unit;
            }
            multiples.push(multiple);
            unit = multiple + multiple;
        }
        Self(multiples)
    }

    fn of_base() -> &'static Self {
        static BASE: OnceLock<Multiples> = OnceLock::new();
        BASE.get_or_init(|| Self::of(&ED25519_BASEPOINT_POINT))
    }

    fn sum(&self, key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Sum {
        let (r, s) = signature.split_at(32);
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let sum = Self::of_base().add(EdwardsPoint::identity(), &s);
        Some(self.subtract(sum, &k))
    }

    fn add(&self, sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        self.terms(scalar).fold(
            sum,
            |sum, (is_negative, multiple)| {
                if is_negative { sum - multiple } else { sum + multiple }
            },
        )
    }

    fn subtract(&self, sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        self.terms(scalar).fold(
            sum,
            |sum, (is_negative, multiple)| {
                if is_negative { sum + multiple } else { sum - multiple }
            },
        )
    }

    /// What sums to the scalar times the point: of each digit other than 0, whether it is negative, and its multiple.
    fn terms(&self, scalar: &Scalar) -> impl Iterator<Item = (bool, &EdwardsPoint)> {
        self.0.chunks_exact(PER_DIGIT).zip(digits(scalar)).filter_map(|(multiples, digit)| {
            let before = usize::from(digit.unsigned_abs()).checked_sub(1)?;
            Some((digit < 0, multiples.get(before)?))
        })
    }
}

/// A scalar as Σ digit · 256^place. It is below 2^253, so that the last digit takes the last carry.
fn digits(scalar: &Scalar) -> impl Iterator<Item = i16> {
    let mut carry = 0;
    scalar.to_bytes().into_iter().map(move |byte| {
        let digit = i16::from(byte) + carry;
        carry = i16::from(digit > 128);
        digit - 256 * carry
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_sum_to_the_scalar() {
        let mut scalars = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE];
        let wide =
            |n: u64| Scalar::from_bytes_mod_order_wide(&Sha512::digest(n.to_be_bytes()).into());
        scalars.extend((0..1000).map(wide));
        for scalar in scalars {
            let mut sum = Scalar::ZERO;
            for digit in digits(&scalar).collect::<Vec<_>>().into_iter().rev() {
                assert!((-127..=128).contains(&digit), "{digit}");
                let part = Scalar::from(digit.unsigned_abs());
                sum = sum * Scalar::from(256_u16) + if digit < 0 { -part } else { part };
            }
            assert_eq!(sum, scalar);
        }
    }

    #[test]
    fn multiples_are_those_of_the_point_with_its_torsion() {
        for torsion in curve25519_dalek::constants::EIGHT_TORSION {
            let point = ED25519_BASEPOINT_POINT + torsion;
            let multiples = Multiples::of(&point);
            for n in [0_u64, 1, 127, 128, 129, 255, 256, 1 << 40, u64::MAX] {
                let scalar = Scalar::from(n);
                assert_eq!(multiples.add(EdwardsPoint::identity(), &scalar), point * scalar, "{n}");
                assert_eq!(multiples.subtract(point * scalar, &scalar), EdwardsPoint::identity());
            }
        }
    }
}
