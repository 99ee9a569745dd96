//! Keys against published vectors. The vectors of RFC 8032 section 7.1; the twelve of
//! ed25519-speccheck (<https://github.com/novifinancial/ed25519-speccheck>, `cases.txt`,
//! Apache-2.0), typed here as data; those of Project Wycheproof, in `testdata/vectors`.

use super::public::{FIELD_PRIME, SMALL_ORDER};
use super::*;
use crate::hex;

fn bytes(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn rfc_8032_vectors_sign_and_verify() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let key = SecretKey::from_seed(&hex::decode(seed).unwrap());
        assert_eq!(key.public_key().to_hex(), public);
        let message = bytes(message);
        let signed = key.sign(&message).unwrap();
        assert_eq!(base16ct::lower::encode_string(&signed), signature);
        assert!(key.public_key().verifies(&message, &signed));
        assert!(!key.public_key().verifies(b"another message", &signed));
    }
}

/// Message, public key, signature, and whether strict verification accepts it. As in the published
/// table for "Dalek strict": only the fourth, where both points have a torsion component and the
/// cofactorless equation holds all the same.
const SPECCHECK: [(&str, &str, &str, bool); 12] = [
    // 0, 1: small-order keys; S = 0, and R of mixed order.
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        false,
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        false,
    ),
    // 2: small-order R.
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        false,
    ),
    // 3: mixed A and R, both equations hold.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        true,
    ),
    // 4, 5: only the cofactored equation holds.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        false,
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        false,
    ),
    // 6, 7: S at or above the group order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        false,
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        false,
    ),
    // 8, 9: R in non-canonical encoding.
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        false,
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        false,
    ),
    // 10, 11: A in non-canonical encoding.
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        false,
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        false,
    ),
];

#[test]
fn speccheck_vectors_have_the_published_strict_verdicts() {
    for (number, (message, public, signature, accepted)) in SPECCHECK.into_iter().enumerate() {
        let signature: [u8; 64] = hex::decode(signature).unwrap();
        let message = bytes(message);
        // Through our own key type, which refuses some keys outright.
        let ours = PublicKey::from_hex(public).is_ok_and(|key| key.verifies(&message, &signature));
        assert_eq!(ours, accepted, "case {number}");
        // And the primitive alone, so that the key type is not what hides a difference.
        let strict = ed25519_dalek::VerifyingKey::from_bytes(&hex::decode(public).unwrap())
            .is_ok_and(|key| key.verify_strict(&message, &(&signature).into()).is_ok());
        assert_eq!(strict, accepted, "case {number}");
    }
}

/// All 151 of `ed25519_test.json`, as the crate wycheproof 0.7.0 carries it; the expected results are
/// Wycheproof's own, without exception. A signature that has not 64 bytes is no signature.
#[test]
fn wycheproof_vectors_have_their_published_verdicts() {
    let text = include_str!("../../../../testdata/vectors/ed25519-wycheproof.ndjson");
    let mut counted = [0, 0];
    for line in text.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let member = |name: &str| vector[name].as_str().unwrap();
        let (message, valid) = (bytes(member("message")), vector["valid"].as_bool().unwrap());
        let key = PublicKey::from_hex(member("key"));
        let verified = hex::decode(member("signature"))
            .is_some_and(|signature| key.is_ok_and(|key| key.verifies(&message, &signature)));
        assert_eq!(verified, valid, "{}: {}", vector["id"], member("comment"));
        counted[usize::from(valid)] += 1;
    }
    assert_eq!(counted, [63, 88]);
}

/// The torsion subgroup has eight points (RFC 7748: the cofactor is 8), so that none is missing.
#[test]
fn the_points_of_small_order_are_eight_and_all_of_them() {
    let distinct: std::collections::BTreeSet<_> = SMALL_ORDER.into_iter().collect();
    assert_eq!(distinct.len(), 8);
    for point in SMALL_ORDER {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&point).unwrap();
        assert!(key.is_weak() && PublicKey::from_bytes(&point).is_err(), "{point:?}");
        let mut y = point;
        y[31] &= 0x7f;
        assert!(y.iter().rev().lt(FIELD_PRIME.iter().rev()), "{point:?} is canonical");
    }
}

/// All published signatures, those with each point of small order as R, and changed ones.
#[test]
fn every_verdict_is_that_of_verify_strict() {
    let check = |key: &[u8; 32], message: &[u8], signature: &[u8; 64]| {
        let Ok(ours) = PublicKey::from_bytes(key) else { return false };
        let dalek = ed25519_dalek::Signature::from_bytes(signature);
        let strict = ours.0.verify_strict(message, &dalek).is_ok();
        assert_eq!(
            ours.verifies(message, signature),
            strict,
            "{}",
            base16ct::lower::encode_string(signature)
        );
        strict
    };
    let mut accepted = 0;
    for (message, key, signature, _) in SPECCHECK {
        let (message, key) = (bytes(message), hex::decode(key).unwrap());
        let signature: [u8; 64] = hex::decode(signature).unwrap();
        accepted += u32::from(check(&key, &message, &signature));
        for point in SMALL_ORDER {
            let mut other = signature;
            other[..32].copy_from_slice(&point);
            check(&key, &message, &other);
            other[32..].fill(0);
            check(&key, &message, &other);
        }
        for bit in 0..512 {
            let mut other = signature;
            other[bit / 8] ^= 1 << (bit % 8);
            check(&key, &message, &other);
        }
    }
    assert_eq!(accepted, 1);
}

#[test]
fn keys_with_a_second_encoding_are_refused() {
    // y = p + 3 encodes the point with y = 3, y = p the one with y = 0.
    for low in [0xed_u8, 0xf0, 0xff] {
        for top in [0x7f_u8, 0xff] {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = top;
            assert!(PublicKey::from_bytes(&bytes).is_err());
        }
    }
}

#[test]
fn hex_has_one_spelling() {
    let key = SecretKey::from_seed(&[7; 32]).public_key();
    assert_eq!(PublicKey::from_hex(&key.to_hex()).unwrap(), key);
    assert!(PublicKey::from_hex(&key.to_hex().to_uppercase()).is_err());
    assert!(PublicKey::from_hex(&key.to_hex()[1..]).is_err());
    assert!(PublicKey::from_hex(&format!("{key} ")).is_err());
}

#[test]
fn the_fingerprint_has_the_form_of_openssh() {
    // printf 03a107bf…31b8 | xxd -r -p | openssl dgst -sha256 -binary | base64
    let seed: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let key = SecretKey::from_seed(&seed).public_key();
    assert_eq!(key.to_hex(), "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
    assert_eq!(key.fingerprint(), "SHA256:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw");
}

#[test]
fn pem_of_either_version_is_read() {
    // Version 1, as `openssl genpkey -algorithm ed25519` writes it (RFC 8410 section 10.3).
    let v1 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = SecretKey::from_pem(v1).unwrap();
    assert_eq!(key.to_pem().unwrap().as_str(), v1);
    assert_eq!(
        key.public_key().to_hex(),
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
    // Version 2 of the same section, with an attribute and the public key.
    let v2 = "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n";
    {
        let same = SecretKey::from_pem(v2).unwrap();
        assert_eq!(same.public_key(), key.public_key());
    }
    for bad in ["", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", &v1[..80]] {
        assert!(SecretKey::from_pem(bad).is_err());
    }
}

#[test]
fn nothing_prints_a_secret() {
    let key = SecretKey::from_seed(&[0xab; 32]);
    let shown = format!("{key:?} {:?}", key.to_pem().unwrap());
    assert!(!shown.contains("abab") && !shown.contains("171, 171") && !shown.contains("q6ur"));
}

#[test]
fn a_trust_list_is_read_line_by_line_or_not_at_all() {
    let one = SecretKey::from_seed(&[1; 32]).public_key();
    let two = SecretKey::from_seed(&[2; 32]).public_key();
    let text = format!("# auditors\r\n\n  {one}\tbuild server # 7\n{two}\n");
    let trust = Trust::parse(&text, "trust").unwrap();
    assert_eq!(trust.keys().count(), 2);
    assert!(trust.contains(one) && trust.contains(two));
    let error = Trust::parse(&format!("{one}\nnonsense\n"), "trust").unwrap_err();
    assert!(error.to_string().starts_with("line 2 of trust names no key"), "{error}");
}
