//! Keys that join and leave, line by line.

use super::*;
use crate::entry::{self, AddedKey, Head, RetiredKey, RotationReason, possession_text, sign};
use crate::keys::{SecretKey, Signer};
use crate::tests::{ID, Lines, NOW, proven};

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

#[test]
fn a_key_signs_from_the_line_after_it_joined_to_the_line_that_retires_it() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.record(&a, "1");
    lines.rotate(&a, &[&b], &[&a]);
    lines.record(&b, "3");
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    assert_eq!(roster.apply(&lines.entries[1]), Ok(false));
    assert!(matches!(roster.permits(b.public_key(), 2), Err(Fault::KeyNotInRoster(_))));
    assert_eq!(roster.apply(&lines.entries[2]), Ok(true));
    // The line that retires a key is the last one that it may sign.
    let retired = Fault::KeyRetired { key: a.public_key().to_hex(), at: 2 };
    assert_eq!(roster.permits(a.public_key(), 2), Ok(()));
    assert_eq!(roster.permits(a.public_key(), 3), Err(retired));
    assert!(roster.permits(b.public_key(), 2).is_err());
    assert_eq!(roster.authenticate(&lines.entries[3], ID), Ok(()));
    assert_eq!((roster.keys(), roster.rotations()), (&[b.public_key()][..], 1));
    // A checkpoint of the first two lines may be signed by the old key, of the first three by the new.
    assert_eq!(roster.keys_at(2), [a.public_key()]);
    assert_eq!(roster.keys_at(3), [b.public_key()]);
}

#[test]
fn a_key_that_left_never_comes_back() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.rotate(&a, &[&b], &[&a]);
    lines.rotate(&b, &[&a], &[]);
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    roster.apply(&lines.entries[1]).unwrap();
    let before = roster.clone();
    assert!(matches!(roster.apply(&lines.entries[2]), Err(Fault::Rotation(_))));
    assert_eq!(roster, before);
}

#[test]
fn a_change_that_leaves_nobody_or_names_strangers_is_refused() {
    let (a, b, c) = (key(1), key(2), key(3));
    let refused = |change: &dyn Fn(&mut Lines)| {
        let mut lines = Lines::begun_by(&a);
        change(&mut lines);
        let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
        matches!(roster.apply(&lines.entries[1]), Err(Fault::Rotation(_)))
    };
    assert!(refused(&|lines| drop(lines.rotate(&a, &[], &[&a]).clone())));
    assert!(refused(&|lines| drop(lines.rotate(&a, &[&a], &[]).clone())));
    assert!(refused(&|lines| drop(lines.rotate(&a, &[&b], &[&c]).clone())));
    assert!(!refused(&|lines| drop(lines.rotate(&a, &[&b, &c], &[&a]).clone())));
}

#[test]
fn a_proof_holds_for_one_key_at_one_place_by_one_signer_only() {
    let (a, b, c) = (key(1), key(2), key(3));
    let mut at_genesis = Lines::begun_by(&a);
    let head = at_genesis.head();
    let elsewhere = Head { seq: head.seq + 1, ..head };
    let other_chain = Head { hash: entry::EntryHash([7; 32]), ..head };
    let good = proven(&b, &head, &a);
    for proof in [
        proven(&b, &elsewhere, &a).proof,
        proven(&b, &other_chain, &a).proof,
        proven(&b, &head, &b).proof,
        proven(&c, &head, &a).proof,
        b.sign(b"").unwrap(),
    ] {
        let mut lines = Lines::begun_by(&a);
        let rotation =
            KeyRotation { added: vec![AddedKey { proof, ..good }], retired: vec![], reason: None };
        lines.add_rotation(&a, rotation);
        let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
        assert!(matches!(roster.apply(&lines.entries[1]), Err(Fault::Rotation(_))));
    }
    let rotation = KeyRotation { added: vec![good], retired: vec![], reason: None };
    let mut roster = Roster::of_genesis(&at_genesis.entries[0]).unwrap();
    assert_eq!(roster.apply(at_genesis.add_rotation(&a, rotation)), Ok(true));
}

/// The text, in the words of the format's document.
#[test]
fn the_text_of_a_proof_is_no_line_and_no_note() {
    let head = Head { seq: 6, hash: entry::EntryHash([0xcd; 32]) };
    let text = possession_text(ID, &head, key(1).public_key(), key(2).public_key());
    let expected = format!(
        "carbon-ops/key-possession/v1\n{}\n7\n{}\n{}\n{}",
        "a1".repeat(16),
        "cd".repeat(32),
        key(1).public_key(),
        key(2).public_key(),
    );
    assert_eq!(text, expected);
    assert!(!text.starts_with('{') && !text.ends_with('\n'));
}

#[test]
fn compromise_is_told_from_a_number_on_and_needs_its_reason() {
    let (a, b) = (key(1), key(2));
    let mut lines = Lines::begun_by(&a);
    lines.record(&a, "1");
    let retired = vec![RetiredKey { public_key: a.public_key(), compromised_since: Some(1) }];
    let mut rotation = KeyRotation {
        added: vec![proven(&b, &lines.head(), &a)],
        retired,
        reason: Some(RotationReason::KeyCompromise),
    };
    let mut roster = Roster::of_genesis(&lines.entries[0]).unwrap();
    assert_eq!(roster.apply(lines.add_rotation(&a, rotation.clone())), Ok(true));
    let (_, term) = roster.terms().find(|(key, _)| *key == a.public_key()).unwrap();
    assert_eq!((term.last, term.compromised_since), (Some(2), Some(1)));
    rotation.reason = Some(RotationReason::Superseded);
    let payload = Control::KeyRotation(rotation).to_payload(NOW, "t").unwrap();
    assert!(sign(&payload, ID, Some(&lines.head()), &a).is_err());
}
