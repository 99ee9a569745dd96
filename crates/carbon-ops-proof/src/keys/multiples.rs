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
//! Digits have 8 bits at first. Those of a key that is seen very often have 11: a fourth fewer additions, of tables that
//! take as long to make as some thousands of signatures save, and that only the last cache holds. So the multiples of a
//! signature are fetched before they are summed up, all at once.
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

/// How wide digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// 8 bits: 640 KiB, made in the time of 30 to 40 signatures.
    Narrow,
    /// 11 bits: 3.6 MiB, made in that of some 200.
    Wide,
}

impl Width {
    const fn bits(self) -> usize {
        match self {
            Self::Narrow => 8,
            Self::Wide => 11,
        }
    }

    /// Digits of a scalar, which is below 2^253.
    const fn digits(self) -> usize {
        253_usize.div_ceil(self.bits())
    }

    /// Multiples for each digit: 1 to this times a power of 2.
    const fn per_digit(self) -> usize {
        1 << (self.bits() - 1)
    }
}

/// From how many signatures on a table is made.
pub(super) const WORTH_IT: u32 = 64;

/// From how many on a wide one: a signature takes some 5 % less time then.
pub(super) const WORTH_WIDE: u32 = 4096;

/// How many keys a thread remembers, the ones last used, and how many of them have wide tables at most.
const KEYS_MAX: usize = 8;
const WIDE_MAX: usize = 2;

/// What a signature of a message comes to; `None` for a key that has not yet been seen often.
pub(super) fn sum(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Option<Sum> {
    thread_local! {
        static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    }
    SEEN.with_borrow_mut(|seen| {
        let at = seen.iter().position(|one| one.key == *key.as_bytes());
        let mut one = at.map_or_else(|| Seen::new(key), |at| seen.remove(at));
        one.times = one.times.saturating_add(1);
        if one.times == WORTH_IT {
            one.multiples = Some(shared(key, Width::Narrow));
        }
        let is_wide = |other: &&Seen| other.times > WORTH_WIDE;
        if one.times == WORTH_WIDE && seen.iter().filter(is_wide).count() < WIDE_MAX {
            one.multiples = Some(shared(key, Width::Wide));
        }
        let sum = one.multiples.as_ref().map(|of_key| of_key.sum(key, message, signature));
        seen.truncate(KEYS_MAX - 1);
        seen.insert(0, one);
        sum
    })
}

/// The table of a key, which one thread makes and the others wait for.
fn shared(key: &VerifyingKey, width: Width) -> Arc<Multiples> {
    static TABLES: Mutex<Vec<([u8; 32], Weak<Multiples>)>> = Mutex::new(Vec::new());
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that no thread holds any more are gone.
    tables.retain(|(_, table)| table.strong_count() > 0);
    let of_key = tables.iter().filter(|(of, _)| of == key.as_bytes());
    let known = of_key.filter_map(|(_, table)| table.upgrade()).find(|table| table.width == width);
    known.unwrap_or_else(|| {
        let table = Arc::new(Multiples::of(&key.to_edwards(), width));
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

/// For each digit in turn, the multiples of the point times the power of 2 of its place.
struct Multiples {
    width: Width,
    points: Vec<EdwardsPoint>,
}

impl Multiples {
    fn of(point: &EdwardsPoint, width: Width) -> Self {
        let mut points = Vec::with_capacity(width.digits() * width.per_digit());
        let mut unit = *point;
        for _ in 0..width.digits() {
            let mut multiple = unit;
            for _ in 1..width.per_digit() {
                points.push(multiple);
                multiple += unit;
            }
            points.push(multiple);
            unit = multiple + multiple;
        }
        Self { width, points }
    }

    fn of_base(width: Width) -> &'static Self {
        static BASE: [OnceLock<Multiples>; 2] = [const { OnceLock::new() }; 2];
        let [narrow, wide] = &BASE;
        let base = match width {
            Width::Narrow => narrow,
            Width::Wide => wide,
        };
        base.get_or_init(|| Self::of(&ED25519_BASEPOINT_POINT, width))
    }

    fn sum(&self, key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Sum {
        let (r, s) = signature.split_at(32);
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let base = Self::of_base(self.width).terms(&s);
        Some(total(base.chain(self.terms(&k).map(|(adds, multiple)| (!adds, multiple)))))
    }

    /// What sums to the scalar times the point: of each digit other than 0, whether it is positive, and its multiple.
    fn terms(&self, scalar: &Scalar) -> impl Iterator<Item = (bool, &EdwardsPoint)> {
        let of_digits = self.points.chunks_exact(self.width.per_digit());
        of_digits.zip(digits(scalar, self.width)).filter_map(|(multiples, digit)| {
            let before = usize::from(digit.unsigned_abs()).checked_sub(1)?;
            Some((digit > 0, multiples.get(before)?))
        })
    }
}

/// The sum of points that are added, or subtracted.
fn total<'p>(terms: impl Iterator<Item = (bool, &'p EdwardsPoint)>) -> EdwardsPoint {
    // Copied first, and so fetched side by side: each addition has to wait for the one before.
    let terms: Vec<(bool, EdwardsPoint)> = terms.map(|(adds, point)| (adds, *point)).collect();
    terms.iter().fold(
        EdwardsPoint::identity(),
        |sum, (adds, point)| {
            if *adds { sum + point } else { sum - point }
        },
    )
}

/// A scalar as Σ digit · 2^(bits · place), with digits above −2^(bits − 1) and up to it. It is below the order of the
/// base point, 2^252 and a little, so that the last digit takes the last carry.
fn digits(scalar: &Scalar, width: Width) -> impl Iterator<Item = i16> {
    let mut bytes = [0; 36];
    if let Some((low, _)) = bytes.split_first_chunk_mut() {
        *low = scalar.to_bytes();
    }
    let (bits, mut carry) = (width.bits(), 0);
    (0..width.digits()).map(move |place| {
        let at = place * bits;
        let word = bytes.get(at / 8..).and_then(|rest| rest.first_chunk());
        let word = u32::from_le_bytes(word.copied().unwrap_or_default());
        let digit = (word >> (at % 8)) & ((1 << bits) - 1);
        // Of 11 bits at most.
        let digit = i16::try_from(digit).unwrap_or_default() + carry;
        carry = i16::from(digit > 1 << (bits - 1));
        digit - (carry << bits)
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
        for width in [Width::Narrow, Width::Wide] {
            let (most, base) = (1 << (width.bits() - 1), Scalar::from(1_u16 << width.bits()));
            for scalar in &scalars {
                let all: Vec<_> = digits(scalar, width).collect();
                let sum = all.into_iter().rev().fold(Scalar::ZERO, |sum, digit| {
                    assert!((-most + 1..=most).contains(&digit), "{digit} of {width:?}");
                    let part = Scalar::from(digit.unsigned_abs());
                    sum * base + if digit < 0 { -part } else { part }
                });
                assert_eq!(sum, *scalar);
            }
        }
    }

    #[test]
    fn multiples_are_those_of_the_point_with_its_torsion() {
        for torsion in curve25519_dalek::constants::EIGHT_TORSION {
            let point = ED25519_BASEPOINT_POINT + torsion;
            for width in [Width::Narrow, Width::Wide] {
                let multiples = Multiples::of(&point, width);
                for n in [0_u64, 1, 127, 128, 129, 255, 256, 1024, 1025, 1 << 40, u64::MAX] {
                    let scalar = Scalar::from(n);
                    assert_eq!(total(multiples.terms(&scalar)), point * scalar, "{n}");
                }
                let (scalar, one) = (-Scalar::ONE, Scalar::ONE);
                assert_eq!(total(multiples.terms(&scalar)), point * scalar, "{torsion:?}");
                assert_eq!(total(multiples.terms(&one).map(|(adds, of)| (!adds, of))), -point);
            }
        }
    }
}
