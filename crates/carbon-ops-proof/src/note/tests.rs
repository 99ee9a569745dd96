//! A note that Go signed, and everything that is not quite a note.

use proptest::prelude::*;

use super::*;
use crate::keys::SecretKey;

/// The key and note of the tests of Go's `golang.org/x/mod/sumdb/note`, by which signed notes
/// were first defined: verifier key `PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW`.
const PETER: &str = "PeterNeumann";
const PETER_KEY: &str = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
     then you don't know what your problem is.\n\n\
     \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn peter() -> PublicKey {
    let bytes = Base64::decode_vec(PETER_KEY).unwrap();
    let (kind, key) = bytes.split_first().unwrap();
    assert_eq!(*kind, KeyKind::Ed25519.byte());
    PublicKey::from_bytes(key.try_into().unwrap()).unwrap()
}

#[test]
fn a_note_by_go_verifies_and_prints_as_it_was() {
    let note = Note::parse(PETER_NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(PETER, &[peter()]), Ok(peter()));
    assert_eq!(key_id(PETER, KeyKind::Ed25519, peter()), [0xc7, 0x4f, 0x20, 0xa3]);
    assert_eq!(note.to_string(), PETER_NOTE);
}

#[test]
fn signatures_of_strangers_are_passed_over_and_bad_ones_of_known_keys_are_not() {
    let (ours, theirs) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
    let mut note = Note::sign("text\n".into(), "log", &ours).unwrap();
    let other = Note::sign("text\n".into(), "witness", &theirs).unwrap();
    note.signatures.extend(other.signatures);
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.verify("log", &[ours.public_key()]), Ok(ours.public_key()));
    let stranger = SecretKey::from_seed(&[3; 32]).public_key();
    assert_eq!(read.verify("log", &[stranger]), Err(NoteError::Unsigned));
    assert_eq!(read.verify("log", &[]), Err(NoteError::Unsigned));
    note.signatures[1].signature[5] ^= 1;
    assert_eq!(note.verify("log", &[ours.public_key()]), Ok(ours.public_key()));
    // A good signature does not make up for a bad one.
    let mut bad = note.signatures[0].clone();
    bad.signature[5] ^= 1;
    note.signatures.push(bad);
    let refused = NoteError::Signature("log".into());
    assert_eq!(note.verify("log", &[ours.public_key()]), Err(refused));
}

#[test]
fn malformed_notes_are_refused() {
    let good = PETER_NOTE;
    let sixteen = format!("{good}{}", "\u{2014} a x08go/ZJ\n".repeat(16));
    assert!(Note::parse(sixteen.as_bytes()).is_ok());
    for bad in [
        good.strip_suffix('\n').unwrap().to_owned(),
        good.replace("\n\n", "\n"),
        good.replace("\u{2014} ", "- "),
        good.replace("\u{2014} PeterNeumann", "\u{2014} Peter+Neumann"),
        good.replace("\u{2014} PeterNeumann", "\u{2014} "),
        good.replace("PeterNeumann x", "Peter\u{a0}Neumann x"),
        good.replace("wJnAM=", "wJnAN="),
        good.replace("wJnAM=", "wJnAM"),
        good.replace("the answer", "the\tanswer"),
        good.replace("the answer", "the\ranswer"),
        format!("{good}\u{2014} a x08gow==\n"),
        format!("{good}\n"),
        format!("{good}{}", "\u{2014} a x08go/ZJ\n".repeat(100)),
        "text\n\n".into(),
        String::new(),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(&[good.as_bytes(), b"\xff"].concat()).is_err());
}

#[test]
fn no_flipped_bit_of_a_note_is_accepted() {
    for at in 0..PETER_NOTE.len() {
        for bit in 0..8 {
            let mut bytes = PETER_NOTE.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let verdict = Note::parse(&bytes).and_then(|note| note.verify(PETER, &[peter()]));
            assert!(verdict.is_err(), "bit {bit} of byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_accepted_prints_as_the_same_bytes(text in "[ -~\n\u{e9}]{0,60}", tail in "(\u{2014} [a-z+]{0,3} [A-Za-z0-9+/=]{4,12}\n){0,3}") {
        let note = format!("{text}\n\n{tail}");
        if let Ok(read) = Note::parse(note.as_bytes()) {
            prop_assert_eq!(read.to_string(), note);
        }
    }

    #[test]
    fn any_text_survives(text in "[ -~\u{e9}\n]{0,80}") {
        let key = SecretKey::from_seed(&[1; 32]);
        let note = Note::sign(format!("{text}\n"), "log", &key).unwrap();
        prop_assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note));
    }

    #[test]
    fn hostile_notes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Note::parse(&bytes);
    }
}
