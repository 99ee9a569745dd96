//! Proofs of one entry: any bytes are a proof or a reason why not, one is the same after it was written,
//! and what is proven is what the file holds.
#![no_main]

use carbon_ops_proof::canonical::object_to_canonical;
use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_proof::merkle::{
    MAX_PROOF_HASHES, TreeHash, leaf_hash, verify_consistency, verify_inclusion,
};
use carbon_ops_proof::proof::Proof;
use libfuzzer_sys::fuzz_target;

/// The line that the seed proves.
const LEDGER: &str = include_str!("../../testdata/ledgers/v1/basic.ndjson");

fuzz_target!(|bytes: &[u8]| {
    let key = SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap_or_default()));
    if let Ok(proof) = Proof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        if let Ok(proven) = proof.check(&Trust::from_iter([key.public_key()])) {
            let line = object_to_canonical(proven.entry.object());
            // Nobody else has the key, so it is a line of the frozen ledger.
            assert!(LEDGER.lines().any(|known| known.as_bytes() == line));
        }
        assert!(proof.check(&Trust::new()).is_err());
    }
    // Hashes as they come, for trees of any size: nothing panics, and nothing is proven.
    let (numbers, hashes) = bytes.split_at(bytes.len().min(16));
    let number = |part: &[u8]| part.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let (index, size) =
        (number(&numbers[..numbers.len().min(8)]), number(&numbers[numbers.len().min(8)..]));
    let hashes: Vec<TreeHash> = hashes
        .chunks_exact(32)
        .take(MAX_PROOF_HASHES + 2)
        .filter_map(|c| c.try_into().ok().map(TreeHash))
        .collect();
    let root = leaf_hash(b"root");
    let included = verify_inclusion(leaf_hash(b"leaf"), index, size, root, &hashes);
    assert!(included.is_err());
    let consistent = verify_consistency(index, leaf_hash(b"old"), size, root, &hashes);
    assert!(consistent.is_err() || index == 0);
});
