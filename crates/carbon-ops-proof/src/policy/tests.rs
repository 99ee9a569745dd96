//! The example of the specification, and everything that it forbids.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::cosignature::cosign;
use crate::keys::SecretKey;

const TEXT: &str = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
const LOG: &str = "example.com/log";
const TIME: u64 = 1_679_315_147;

fn log_key(n: u8) -> VerifierKey {
    let key = SecretKey::from_seed(&[n; 32]).public_key();
    VerifierKey::new(LOG, KeyKind::Ed25519, key).unwrap()
}

fn witness_key(n: u8) -> VerifierKey {
    let key = SecretKey::from_seed(&[n; 32]).public_key();
    VerifierKey::new(&format!("w{n}.example"), KeyKind::Cosignature, key).unwrap()
}

/// The policy that C2SP tlog-policy shows, with keys: X1 to X3 are 11 to 13, Y1 to Y3 are 21 to 23.
fn example() -> String {
    let mut text = format!("log {}\n\n", log_key(1));
    for (group, first) in [("X", 10), ("Y", 20)] {
        for n in 1..=3 {
            writeln!(text, "witness {group}{n} {}", witness_key(first + n)).unwrap();
        }
        let threshold = if group == "X" { "2" } else { "any" };
        writeln!(text, "group {group}-witnesses {threshold} {group}1 {group}2 {group}3\n").unwrap();
    }
    text + "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

fn note(log: u8, witnesses: &[u8]) -> Note {
    let mut note = Note::sign(TEXT.to_owned(), LOG, &SecretKey::from_seed(&[log; 32])).unwrap();
    for n in witnesses {
        let key = SecretKey::from_seed(&[*n; 32]);
        note.add(cosign(&note, witness_key(*n).name(), &key, TIME).unwrap()).unwrap();
    }
    note
}

fn met(policy: &str, witnesses: &[u8]) -> bool {
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    policy.judge(&note(1, witnesses), TIME).unwrap().quorum_met()
}

#[test]
fn the_quorum_of_the_specifications_example_is_two_of_x_and_one_of_y() {
    for x in 0..8_u8 {
        for y in 0..8_u8 {
            let chosen = |set: u8, first: u8| {
                (1..=3).filter(move |n| set & (1 << (n - 1)) != 0).map(move |n| first + n)
            };
            let witnesses: Vec<u8> = chosen(x, 10).chain(chosen(y, 20)).collect();
            let expected = x.count_ones() >= 2 && y.count_ones() >= 1;
            assert_eq!(met(&example(), &witnesses), expected, "{witnesses:?}");
        }
    }
}

#[test]
fn what_is_missing_is_named_with_the_group_that_lacks_it() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let judgement = policy.judge(&note(1, &[11, 21]), TIME).unwrap();
    assert_eq!(judgement.cosigned, [("X1".to_owned(), TIME), ("Y1".to_owned(), TIME)]);
    let text = judgement.to_string();
    assert!(text.contains("group X-witnesses: 1 of the 2 that are needed"), "{text}");
    assert!(text.contains("witness X2") && text.contains("witness X3"), "{text}");
    assert!(!text.contains("Y-witnesses"), "{text}");
}

#[test]
fn a_checkpoint_needs_a_log_of_the_policy_when_it_names_any() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let judged = |note: &Note| policy.judge(note, TIME);
    assert_eq!(judged(&note(1, &[11, 12, 21])).unwrap().log, Some(log_key(1)));
    assert_eq!(judged(&note(2, &[11, 12, 21])), Err(NoteError::Unsigned));
    let other =
        Note::sign(TEXT.replace(LOG, "example.com/other"), LOG, &SecretKey::from_seed(&[1; 32]));
    assert_eq!(judged(&other.unwrap()), Err(NoteError::Unsigned));
    let without = Policy::parse(b"quorum none\n").unwrap();
    let judgement = without.judge(&note(2, &[]), TIME).unwrap();
    assert!(judgement.quorum_met() && judgement.log.is_none());
}

#[test]
fn a_bad_cosignature_of_a_known_witness_spoils_the_note_and_a_strangers_does_not() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let good = note(1, &[11, 12, 21, 99]);
    assert!(policy.judge(&good, TIME).unwrap().quorum_met());
    let mut bad = good.clone();
    let mut line = good.signatures()[3].clone();
    line.signature[9] ^= 1;
    bad.add(line).unwrap();
    assert!(matches!(policy.judge(&bad, TIME), Err(NoteError::Signature(_))));
    let mut stranger = good.clone();
    let mut line = good.signatures()[4].clone();
    line.signature[9] ^= 1;
    stranger.add(line).unwrap();
    assert!(policy.judge(&stranger, TIME).unwrap().quorum_met());
}

#[test]
fn a_cosignature_from_the_future_does_not_count() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let note = note(1, &[11, 12, 21]);
    assert!(policy.judge(&note, TIME).unwrap().quorum_met());
    let judgement = policy.judge(&note, TIME - 1).unwrap();
    assert!(!judgement.quorum_met() && judgement.cosigned.is_empty());
    assert!(judgement.to_string().contains("from the future"), "{judgement}");
}

#[test]
fn what_the_specification_allows_is_read() {
    let (w, l) = (witness_key(11), log_key(1));
    let text = format!(
        "  # a comment\n\n\t log\t{l}   https://log.example/\nwitness \u{212a} {w}\n\t\nquorum \u{212a}\t\n"
    );
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example/"));
    assert_eq!(policy.witnesses()[0].name, "\u{212a}");
    // A name is bytes: a Kelvin sign is no K, and need not be UTF-8.
    assert!(Policy::parse(format!("witness K {w}\nquorum \u{212a}\n").as_bytes()).is_err());
    let latin = [b"witness \xc4 ", w.to_string().as_bytes(), b"\nquorum \xc4\n"].concat();
    assert!(Policy::parse(&latin).is_ok());
}

#[test]
fn what_the_specification_forbids_is_refused_with_its_line() {
    let (a, b, l) = (witness_key(11), witness_key(12), log_key(1));
    let again = VerifierKey::new("other.example", KeyKind::Cosignature, a.key()).unwrap();
    let log_again = VerifierKey::new("other.example", KeyKind::Ed25519, l.key()).unwrap();
    let ab = format!("witness A {a}\nwitness B {b}\n");
    // Type 0x06, ML-DSA-44: 1312 bytes of key.
    let ml_dsa = "w+00000000+BgAA";
    for (line, text) in [
        (1, String::new()),
        (1, "quorum none".to_owned()),
        (2, "quorum none\nquorum none\n".to_owned()),
        (1, "quorum\n".to_owned()),
        (1, "quorum A\n".to_owned()),
        (1, "Quorum none\n".to_owned()),
        (1, "quorum none # no\n".to_owned()),
        (1, "quorum none\r\n".to_owned()),
        (1, "quorum \x7fnone\n".to_owned()),
        (1, format!("log {a}\nquorum none\n")),
        (1, format!("witness A {l}\nquorum none\n")),
        (1, format!("witness none {a}\nquorum none\n")),
        (1, format!("witness A {ml_dsa}\nquorum none\n")),
        (1, format!("witness A {a} url more\nquorum none\n")),
        (2, format!("log {l}\nlog {log_again}\nquorum none\n")),
        (2, format!("witness A {a}\nwitness A {b}\nquorum none\n")),
        (2, format!("witness A {a}\nwitness B {again}\nquorum none\n")),
        (3, format!("{ab}group A any B\nquorum none\n")),
        (3, format!("{ab}group g any\nquorum none\n")),
        (3, format!("{ab}group g 0 A B\nquorum none\n")),
        (3, format!("{ab}group g 3 A B\nquorum none\n")),
        (3, format!("{ab}group g 01 A B\nquorum none\n")),
        (3, format!("{ab}group g +1 A B\nquorum none\n")),
        (3, format!("{ab}group g some A B\nquorum none\n")),
        (3, format!("{ab}group g any A A\nquorum none\n")),
        (3, format!("{ab}group g any g\nquorum none\n")),
        (3, format!("{ab}group g any none\nquorum none\n")),
        (4, format!("{ab}group g any A\ngroup h any A B\nquorum none\n")),
        (3, format!("{ab}quorum g\ngroup g any A\n")),
        (3, ab.clone()),
    ] {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
    }
    let mut many = String::new();
    for n in 0..=MAX_DEFINITIONS as u64 {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        let key = SecretKey::from_seed(&seed).public_key();
        let key = VerifierKey::new("w", KeyKind::Cosignature, key).unwrap();
        writeln!(many, "witness w{n} {key}").unwrap();
    }
    let error = Policy::parse(format!("{many}quorum none\n").as_bytes()).unwrap_err();
    assert_eq!(error.line, MAX_DEFINITIONS + 1);
}

proptest! {
    #[test]
    fn hostile_policies_never_panic(
        lines in prop::collection::vec("(log|witness|group|quorum|#)?[ \ta-z0-9+=/]{0,20}(any|all|2)?", 0..6),
        raw in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let _ = Policy::parse(lines.join("\n").as_bytes());
        let _ = Policy::parse(&raw);
    }
}
