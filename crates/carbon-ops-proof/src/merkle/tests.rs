//! Known vectors, two other implementations, and hostile proofs.

use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use tlog_tiles::tlog;

use super::*;
use crate::hex;

/// All perfect subtrees in memory, level by level.
struct Leaves(Vec<Vec<TreeHash>>);

impl Leaves {
    fn of(leaves: Vec<TreeHash>) -> Self {
        let mut levels = vec![leaves];
        while levels.last().unwrap().len() > 1 {
            let pairs = levels.last().unwrap().as_chunks::<2>().0;
            levels.push(pairs.iter().map(|[left, right]| node_hash(*left, *right)).collect());
        }
        Self(levels)
    }

    fn leaf(&self, index: u64) -> TreeHash {
        self.0[0][usize::try_from(index).unwrap()]
    }
}

impl Subtrees for Leaves {
    type Error = Infallible;

    fn subtree(&mut self, level: u8, index: u64) -> Result<TreeHash, Infallible> {
        Ok(self.0[usize::from(level)][usize::try_from(index).unwrap()])
    }
}

fn data(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

fn leaves(size: u64) -> Leaves {
    Leaves::of((0..size).map(|n| leaf_hash(&data(n))).collect())
}

fn root(leaves: &mut Leaves, size: u64) -> TreeHash {
    root_at(size, leaves).unwrap()
}

fn digest(text: &str) -> TreeHash {
    TreeHash(hex::decode(text).unwrap())
}

/// The data and roots of the tests of Certificate Transparency (transparency-dev/merkle,
/// `testonly/constants.go`, from the reference implementation's `merkle_tree_test.cc`).
const CT_LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_leaves() -> Leaves {
    let byte = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    let bytes =
        |text: &str| -> Vec<u8> { (0..text.len()).step_by(2).map(|at| byte(text, at)).collect() };
    Leaves::of(CT_LEAVES.iter().map(|text| leaf_hash(&bytes(text))).collect())
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let mut leaves = ct_leaves();
    let mut frontier = Frontier::new();
    for (size, expected) in CT_ROOTS.iter().enumerate() {
        assert_eq!(frontier.root(), digest(expected), "{size}");
        assert_eq!(root(&mut leaves, size as u64), digest(expected), "{size}");
        if let Some(leaf) = leaves.0[0].get(size) {
            frontier.push(*leaf);
        }
    }
}

#[test]
fn proofs_are_those_of_certificate_transparency() {
    let mut leaves = ct_leaves();
    let inclusion = |index, size, leaves: &mut Leaves| inclusion_proof(index, size, leaves);
    let expected = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    .map(digest);
    assert_eq!(inclusion(0, 8, &mut leaves).unwrap().unwrap(), expected);
    let expected = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    .map(digest);
    assert_eq!(inclusion(5, 8, &mut leaves).unwrap().unwrap(), expected);
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    .map(digest);
    assert_eq!(consistency_proof(6, 8, &mut leaves).unwrap().unwrap(), expected);
    let expected = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    .map(digest);
    assert_eq!(consistency_proof(2, 5, &mut leaves).unwrap().unwrap(), expected);
    assert_eq!(consistency_proof(1, 1, &mut leaves).unwrap().unwrap(), []);
}

/// The stored hashes of `tlog_tiles`, by its own indexes.
struct Stored(Vec<tlog::Hash>);

impl tlog::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

/// All sizes up to which two other crates are asked.
const SIZES: u64 = 300;

fn ours(hashes: &[tlog::Hash]) -> Vec<TreeHash> {
    hashes.iter().map(|hash| TreeHash(hash.0)).collect()
}

#[test]
fn tlog_tiles_agrees_on_every_root_and_proof() {
    let mut ours_ = leaves(SIZES);
    let mut stored = Stored(Vec::new());
    let mut frontier = Frontier::new();
    for size in 1..=SIZES {
        let new = tlog::stored_hashes(size - 1, &data(size - 1), &stored).unwrap();
        stored.0.extend(new);
        frontier.push(ours_.leaf(size - 1));
        let root = TreeHash(tlog::tree_hash(size, &stored).unwrap().0);
        assert_eq!(frontier.root(), root);
        assert_eq!(root_at(size, &mut ours_).unwrap(), root);
        for m in 1..=size {
            let theirs = tlog::prove_record(size, m - 1, &stored).unwrap();
            let path = inclusion_proof(m - 1, size, &mut ours_).unwrap().unwrap();
            assert_eq!(path, ours(&theirs), "leaf {} of {size}", m - 1);
            let leaf = ours_.leaf(m - 1);
            assert_eq!(verify_inclusion(leaf, m - 1, size, root, &path), Ok(()));
            let theirs = tlog::prove_tree(size, m, &stored).unwrap();
            let proof = consistency_proof(m, size, &mut ours_).unwrap().unwrap();
            assert_eq!(proof, ours(&theirs), "{m} to {size}");
            let old = TreeHash(tlog::tree_hash(m, &stored).unwrap().0);
            assert_eq!(verify_consistency(m, old, size, root, &proof), Ok(()));
        }
    }
}

#[test]
fn ct_merkle_accepts_every_proof_and_makes_the_same() {
    let mut ours_ = leaves(SIZES);
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let flat = |hashes: &[TreeHash]| hashes.iter().flat_map(|h| h.0).collect::<Vec<u8>>();
    for size in 1..=SIZES {
        theirs.push(data(size - 1));
        let root = theirs.root();
        assert_eq!(root.as_bytes()[..], root_at(size, &mut ours_).unwrap().0);
        for m in 1..=size {
            let path = inclusion_proof(m - 1, size, &mut ours_).unwrap().unwrap();
            let proof = theirs.prove_inclusion(usize::try_from(m - 1).unwrap());
            assert_eq!(proof.as_bytes(), flat(&path), "leaf {} of {size}", m - 1);
            if m < size {
                let proof = theirs.prove_consistency(usize::try_from(size - m).unwrap());
                let path = consistency_proof(m, size, &mut ours_).unwrap().unwrap();
                assert_eq!(proof.as_bytes(), flat(&path), "{m} to {size}");
            }
        }
    }
}

#[test]
fn shortened_and_lengthened_proofs_are_refused() {
    for size in 1..=40 {
        let mut leaves = leaves(size);
        let new = root(&mut leaves, size);
        for m in 1..=size {
            let old = root(&mut leaves, m);
            let leaf = leaves.leaf(m - 1);
            let path = inclusion_proof(m - 1, size, &mut leaves).unwrap().unwrap();
            let proof = consistency_proof(m, size, &mut leaves).unwrap().unwrap();
            for extra in [old, new, leaf] {
                let longer = [&path[..], &[extra]].concat();
                assert!(verify_inclusion(leaf, m - 1, size, new, &longer).is_err());
                let longer = [&proof[..], &[extra]].concat();
                assert!(verify_consistency(m, old, size, new, &longer).is_err());
            }
            for shorter in 0..path.len() {
                assert!(verify_inclusion(leaf, m - 1, size, new, &path[..shorter]).is_err());
            }
            for shorter in 0..proof.len() {
                assert!(verify_consistency(m, old, size, new, &proof[..shorter]).is_err());
            }
        }
    }
}

#[test]
fn a_proof_is_for_these_roots_and_no_others() {
    let other = leaf_hash(b"other");
    for size in 2..=40 {
        let mut leaves = leaves(size);
        let new = root(&mut leaves, size);
        for m in 1..size {
            let old = root(&mut leaves, m);
            let proof = consistency_proof(m, size, &mut leaves).unwrap().unwrap();
            let verdict = |old, new| verify_consistency(m, old, size, new, &proof);
            assert_eq!(verdict(old, new), Ok(()));
            for (old, new) in [(other, new), (old, other), (new, new), (old, old)] {
                assert_eq!(verdict(old, new), Err(ProofError::Root), "{m} to {size}");
            }
            let path = inclusion_proof(m, size, &mut leaves).unwrap().unwrap();
            let leaf = leaves.leaf(m);
            assert_eq!(verify_inclusion(leaf, m, size, other, &path), Err(ProofError::Root));
            assert_eq!(verify_inclusion(other, m, size, new, &path), Err(ProofError::Root));
            assert!(verify_inclusion(leaf, m - 1, size, new, &path).is_err());
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    assert_eq!(
        verify_inclusion(a, 0, 0, a, &[]),
        Err(ProofError::OutOfRange { index: 0, size: 0 })
    );
    assert!(verify_inclusion(a, 5, 5, a, &[b]).is_err());
    assert!(verify_consistency(2, a, 1, b, &[]).is_err());
    assert!(verify_consistency(0, a, 1, b, &[]).is_err());
    assert_eq!(verify_consistency(0, empty_root(), 1, b, &[]), Ok(()));
    assert_eq!(verify_consistency(7, a, 7, a, &[]), Ok(()));
    assert_eq!(verify_consistency(7, a, 7, b, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(7, a, 7, a, &[a]), Err(ProofError::Length));
    let mut none = Leaves::of(Vec::new());
    assert_eq!(inclusion_proof(0, 0, &mut none), Ok(None));
    assert_eq!(consistency_proof(0, 5, &mut none), Ok(None));
    assert_eq!(consistency_proof(6, 5, &mut none), Ok(None));
    for size in [u64::MAX, 1 << 63, (1 << 63) + 1] {
        assert!(verify_inclusion(a, size - 1, size, b, &[a; 3]).is_err());
        assert!(verify_consistency(size - 1, a, size, b, &[a; 64]).is_err());
        assert!(verify_consistency(1 << 62, a, size, b, &[a; 64]).is_err());
    }
}

proptest! {
    #[test]
    fn no_flipped_bit_of_a_proof_is_accepted(
        size in 2_u64..200, at in any::<prop::sample::Index>(), bit in 0_usize..256,
        which in any::<prop::sample::Index>(),
    ) {
        let mut leaves = leaves(size);
        let new = root(&mut leaves, size);
        let m = at.index(usize::try_from(size).unwrap()) as u64 + 1;
        let old = root(&mut leaves, m);
        let leaf = leaves.leaf(m - 1);
        let mut path = inclusion_proof(m - 1, size, &mut leaves).unwrap().unwrap();
        let which_hash = which.index(path.len());
        path[which_hash].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify_inclusion(leaf, m - 1, size, new, &path), Err(ProofError::Root));
        let mut proof = consistency_proof(m, size, &mut leaves).unwrap().unwrap();
        if !proof.is_empty() {
            let which = which.index(proof.len());
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(m, old, size, new, &proof).is_err());
        }
    }

    #[test]
    fn hostile_proofs_never_panic(
        index in any::<u64>(), size in any::<u64>(),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let hashes: Vec<_> = hashes.into_iter().map(TreeHash).collect();
        let a = leaf_hash(b"a");
        prop_assert!(verify_inclusion(a, index, size, a, &hashes).is_err() || size == 1);
        let same = index == size && hashes.is_empty();
        prop_assert!(verify_consistency(index, a, size, a, &hashes).is_err() || same);
    }
}
