//! The Merkle tree over the lines of a ledger: RFC 6962 hashes, a frontier that grows by one leaf at
//! a time, and proofs of inclusion and consistency, made and checked.
//!
//! Pure arithmetic on hashes; nothing here panics or loops on what a stranger sends.
//!
//! Out of scope: where the hashes of old subtrees come from (`tile.rs`), and who vouches for a root
//! (`checkpoint.rs`).

use std::fmt;

use base64ct::{Base64, Encoding};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// The most hashes that a proof can have: a path in a tree of up to 2^64 leaves, and for consistency
/// one more (RFC 9162 sections 2.1.3.1 and 2.1.4.1). C2SP tlog-witness allows 63.
pub const MAX_PROOF_HASHES: usize = 65;

/// RFC 6962 section 2.1: what is hashed before a leaf's data.
const LEAF_PREFIX: [u8; 1] = [0];
/// RFC 6962 section 2.1: what is hashed before two child hashes.
const NODE_PREFIX: [u8; 1] = [1];

/// SHA-256 of a leaf, of a node, or of no leaf at all. As text: base64 with padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// Reads 44 characters of base64, in the one spelling that [`fmt::Display`] writes.
    ///
    /// ```
    /// use carbon_ops_proof::merkle::TreeHash;
    /// let text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    /// assert_eq!(TreeHash::from_base64(text).unwrap().to_string(), text);
    /// assert!(TreeHash::from_base64(&text.replace("FU=", "FV=")).is_none());
    /// ```
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let decoded = Base64::decode(text, &mut bytes).ok()?;
        let hash = Self(decoded.try_into().ok()?);
        (hash.to_string() == text).then_some(hash)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

impl Serialize for TreeHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreeHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hash = Self::from_base64(&String::deserialize(deserializer)?);
        hash.ok_or_else(|| D::Error::custom("not a hash in base64"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The tree does not have such a leaf, or the older tree is larger than the newer one.
    #[error("{index} is not within a tree of {size} leaves")]
    OutOfRange {
        /// The leaf's index, or the older size.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// Too few or too many hashes for these sizes.
    #[error("the proof does not have as many hashes as the tree is deep")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash of a leaf: of a line without its newline.
///
/// ```
/// // RFC 6962 test vector of Certificate Transparency: a leaf without data.
/// let hash = carbon_ops_proof::merkle::leaf_hash(b"");
/// assert_eq!(hash.to_string(), "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
/// ```
#[must_use]
pub fn leaf_hash(line: &[u8]) -> TreeHash {
    TreeHash(Sha256::new().chain_update(LEAF_PREFIX).chain_update(line).finalize().into())
}

/// The hash of a node with two children.
#[must_use]
pub fn node_hash(left: TreeHash, right: TreeHash) -> TreeHash {
    let hash = Sha256::new().chain_update(NODE_PREFIX).chain_update(left.0).chain_update(right.0);
    TreeHash(hash.finalize().into())
}

/// The root of a tree without leaves: the hash of nothing (RFC 6962 section 2.1).
#[must_use]
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// A growing tree, of which only the roots of its perfect subtrees are kept: at most 64 hashes,
/// whatever its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each 1 in the binary size, the largest subtree first.
    peaks: Vec<TreeHash>,
}

impl Frontier {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        // Each trailing 1 of the size is a subtree that the new leaf completes to a larger one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let folded = self.peaks.iter().copied().rev().reduce(|right, left| node_hash(left, right));
        folded.unwrap_or_else(empty_root)
    }
}

/// Where the hashes of perfect subtrees come from.
pub trait Subtrees {
    /// Why one cannot be had.
    type Error;

    /// The root of the subtree over the leaves from `index << level` on, `1 << level` of them. Asked
    /// for subtrees within the tree only.
    ///
    /// # Errors
    ///
    /// When the source fails.
    fn subtree(&mut self, level: u8, index: u64) -> Result<TreeHash, Self::Error>;
}

/// The root of the tree over the first `size` leaves.
///
/// # Errors
///
/// When the source fails.
pub fn root_at<S: Subtrees>(size: u64, source: &mut S) -> Result<TreeHash, S::Error> {
    if size == 0 { Ok(empty_root()) } else { range(0, size, source) }
}

/// The path from leaf `index` to the root of the first `size` leaves; none when there is no such leaf
/// (RFC 9162 section 2.1.3.1).
///
/// # Errors
///
/// When the source fails.
pub fn inclusion_proof<S: Subtrees>(
    index: u64,
    size: u64,
    source: &mut S,
) -> Result<Option<Vec<TreeHash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + largest_power_below(end - begin);
        if index < middle {
            path.push(range(middle, end, source)?);
            end = middle;
        } else {
            path.push(range(begin, middle, source)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The proof that the tree of `size` leaves extends that of `old` leaves; none when it is smaller, or
/// when there is nothing to extend (RFC 9162 section 2.1.4.1).
///
/// # Errors
///
/// When the source fails.
pub fn consistency_proof<S: Subtrees>(
    old: u64,
    size: u64,
    source: &mut S,
) -> Result<Option<Vec<TreeHash>>, S::Error> {
    if old == 0 || old > size {
        return Ok(None);
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    // SUBPROOF of the standard, as a loop: `begin > 0` is its `b = false`.
    while end != old {
        let middle = begin + largest_power_below(end - begin);
        if old <= middle {
            path.push(range(middle, end, source)?);
            end = middle;
        } else {
            path.push(range(begin, middle, source)?);
            begin = middle;
        }
    }
    if begin > 0 {
        path.push(range(begin, end, source)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// The root that a path leads to from a leaf (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`ProofError::OutOfRange`] and [`ProofError::Length`].
pub(crate) fn root_of_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    path: &[TreeHash],
) -> Result<TreeHash, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = leaf;
    for step in path {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            hash = node_hash(*step, hash);
            // With `fn_` 0 here `sn` would be 0 too, so this ends.
            while fn_ & 1 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            hash = node_hash(hash, *step);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    if sn == 0 { Ok(hash) } else { Err(ProofError::Length) }
}

/// Checks that a leaf stands at `index` in the tree of `size` leaves with this root.
///
/// # Errors
///
/// When the proof does not show that.
pub fn verify_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    root: TreeHash,
    path: &[TreeHash],
) -> Result<(), ProofError> {
    let found = root_of_inclusion(leaf, index, size, path)?;
    if found == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `size` leaves with `root` begins with the tree of `old` leaves with
/// `old_root` (RFC 9162 section 2.1.4.2). Every tree extends the empty one, and itself; both need an
/// empty proof.
///
/// # Errors
///
/// When the proof does not show that.
pub fn verify_consistency(
    old: u64,
    old_root: TreeHash,
    size: u64,
    root: TreeHash,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if old > size {
        return Err(ProofError::OutOfRange { index: old, size });
    }
    if old == size || old == 0 {
        let expected = if old == 0 { empty_root() } else { root };
        return match (proof.is_empty(), old_root == expected) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // A power of two is a subtree of the newer tree, so its root is not repeated in the proof.
    let mut steps = proof.iter().copied();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let first = first.ok_or(ProofError::Length)?;
    let shift = (old - 1).trailing_ones();
    let (mut fn_, mut sn) =
        ((old - 1).checked_shr(shift).unwrap_or(0), (size - 1).checked_shr(shift).unwrap_or(0));
    let (mut fr, mut sr) = (first, first);
    for step in steps {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            (fr, sr) = (node_hash(step, fr), node_hash(step, sr));
            while fn_ & 1 == 0 && fn_ != 0 {
                (fn_, sn) = (fn_ >> 1, sn >> 1);
            }
        } else {
            sr = node_hash(sr, step);
        }
        (fn_, sn) = (fn_ >> 1, sn >> 1);
    }
    match (sn, fr == old_root && sr == root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// The root over the leaves `begin..end`, at least one, where `begin` is a multiple of a power of two
/// that is at least as large as their number: every range that a proof asks for.
fn range<S: Subtrees>(begin: u64, end: u64, source: &mut S) -> Result<TreeHash, S::Error> {
    let mut peaks = Vec::new();
    let mut at = begin;
    while at < end {
        let level = (end - at).ilog2();
        // At most 63, so it fits; `at` is a multiple of the power by the condition above.
        peaks.push(source.subtree(u8::try_from(level).unwrap_or(63), at >> level)?);
        at += 1 << level;
    }
    let root = peaks.into_iter().rev().reduce(|right, left| node_hash(left, right));
    Ok(root.unwrap_or_else(empty_root))
}

/// The largest power of two that is smaller than `n`, which is at least 2.
fn largest_power_below(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
