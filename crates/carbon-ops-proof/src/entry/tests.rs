//! The form of a line, member by member.

use crate::canonical::object_to_canonical;
use jiff::Timestamp;

use super::*;
use crate::canonical::Number;
use crate::keys::SecretKey;
use crate::roster::Roster;

const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);

fn key() -> SecretKey {
    SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn id() -> LedgerId {
    LedgerId([0xa1; 16])
}

fn payload_of(key: &SecretKey) -> Object {
    genesis_payload(NOW, "test 1", key.public_key(), Durability::Sync, None).unwrap()
}

fn genesis() -> (Entry, Vec<u8>) {
    sign(&payload_of(&key()), id(), None, &key()).unwrap()
}

/// An object with the three signature members made anew, whatever else it says.
fn resigned(mut object: Object) -> Vec<u8> {
    for name in SIGNATURE_MEMBERS {
        object.remove(name);
    }
    let signature = key().sign(&object_to_canonical(&object)).unwrap();
    object.insert("signature", base16ct::lower::encode_string(&signature));
    object.insert("signature_algorithm", ALGORITHM);
    object.insert("signing_key", key().public_key().to_hex());
    object_to_canonical(&object)
}

#[test]
fn a_signed_entry_reads_back() {
    let (first, line) = genesis();
    assert_eq!(Entry::parse(&line).unwrap(), first);
    let payload = Object::from_members([("kind", "x".into())]).unwrap();
    let (second, line) = sign(&payload, id(), Some(&first.head()), &key()).unwrap();
    assert_eq!(Entry::parse(&line).unwrap(), second);
    assert_eq!((second.seq(), second.follows(&first.head())), (1, Ok(())));
    let by = |key| Roster::of(key, vec![key]).authenticate(&second, id());
    assert_eq!(by(key().public_key()), Ok(()));
    assert_eq!(second.authenticate(LedgerId([0; 16])), Err(Fault::OtherLedger(id())));
    let other = SecretKey::from_seed(&[1; 32]).public_key();
    assert!(matches!(by(other), Err(Fault::KeyNotInRoster(_))));
    assert_eq!(second.follows(&second.head()), Err(Fault::Seq { expected: 2, found: 1 }));
}

#[test]
fn a_payload_keeps_off_the_ledgers_members() {
    for name in RESERVED_MEMBERS {
        let payload = Object::from_members([(name, Value::Null)]).unwrap();
        assert_eq!(check_payload(&payload), Err(Fault::ReservedMember(name)));
    }
    let payload = Object::from_members([("kind", "ledger".into())]).unwrap();
    assert_eq!(check_payload(&payload), Err(Fault::ReservedKind));
    let large = Value::from(Number::new(9_007_199_254_740_992.0).unwrap());
    let payload = Object::from_members([("n", large)]).unwrap();
    assert!(matches!(check_payload(&payload), Err(Fault::Number(_))));
}

#[test]
fn the_line_limit_is_exact() {
    let head = genesis().0.head();
    let with = |len: usize| {
        let payload = Object::from_members([("pad", "x".repeat(len).into())]).unwrap();
        sign(&payload, id(), Some(&head), &key())
    };
    let overhead = with(0).unwrap().1.len();
    assert_eq!(with(MAX_LINE_BYTES - overhead).unwrap().1.len(), MAX_LINE_BYTES);
    let over = with(MAX_LINE_BYTES - overhead + 1);
    assert!(matches!(over, Err(Error::InvalidEntry(Fault::TooLong))));
}

/// Changes a signed genesis, signs it again, and reads it.
fn changed(change: impl FnOnce(&mut Object)) -> Result<Entry, Fault> {
    let mut object = genesis().0.object().clone();
    change(&mut object);
    Entry::parse(&resigned(object))
}

#[test]
fn a_genesis_has_exactly_its_members() {
    assert!(changed(|_| {}).is_ok());
    for name in
        ["created_ts", "durability", "keys", "ledger_id", "schema_version", "seq", "tool", "type"]
    {
        assert!(changed(|object| drop(object.remove(name))).is_err(), "without {name}");
        assert!(changed(|object| drop(object.insert(name, Value::Null))).is_err(), "null {name}");
    }
    let fault = changed(|object| drop(object.insert("note", "x"))).unwrap_err();
    assert_eq!(fault, Fault::UnknownMember("note".into()));
    let fault = changed(|object| drop(object.insert("type", "epoch"))).unwrap_err();
    assert_eq!(fault, Fault::UnknownType("epoch".into()));
    assert!(changed(|object| drop(object.insert("schema_version", 2))).is_err());
    assert!(changed(|object| drop(object.insert("durability", "async"))).is_err());
    assert!(changed(|object| drop(object.insert("keys", Vec::new()))).is_err());
    assert!(changed(|object| drop(object.insert("prev_hash", "00".repeat(32)))).is_err());
    assert!(changed(|object| drop(object.insert("seq", 1))).is_err());
    assert!(changed(|object| drop(object.insert("kind", "other"))).is_err());
    for ts in ["2026-11-23T09:00:00Z", "2026-13-23T09:00:00.000000Z", "2026-11-23T09:00:00.000000+"]
    {
        assert!(changed(|object| drop(object.insert("created_ts", ts))).is_err(), "{ts}");
    }
    // Listed twice, and the signer not listed.
    let twice = |object: &mut Object| {
        let listed = object.get("keys").and_then(Value::as_array).unwrap()[0].clone();
        object.insert("keys", vec![listed.clone(), listed]);
    };
    assert!(changed(twice).is_err());
    let other = payload_of(&SecretKey::from_seed(&[1; 32]));
    let fault = changed(|object| drop(object.insert("keys", other.get("keys").unwrap().clone())));
    assert!(matches!(fault, Err(Fault::KeyNotInRoster(_))));
}

/// A genesis that continues an older ledger, changed and signed again.
fn changed_import(change: impl FnOnce(&mut Object, &mut Object)) -> Result<Entry, Fault> {
    let imported = Imported {
        format: IMPORTED_FORMAT.to_owned(),
        file_bytes: 0,
        file_sha256: "00".repeat(32),
        head_hash: None,
        keys: Vec::new(),
        records: 0,
        verdict: crate::verify::Status::Tampered,
    };
    changed(|genesis| {
        let (key, sync) = (key().public_key(), Durability::Sync);
        let payload =
            genesis_payload(NOW, "t", key, sync, Some(Before::Imported(imported))).unwrap();
        let mut about = payload.get("imported").and_then(Value::as_object).unwrap().clone();
        genesis.insert("schema_version", 2);
        change(genesis, &mut about);
        genesis.insert("imported", about);
    })
}

#[test]
fn an_importing_genesis_has_exactly_its_members_and_a_version_of_its_own() {
    assert!(changed_import(|_, _| {}).is_ok());
    for name in ["file_bytes", "file_sha256", "format", "keys", "records", "verdict"] {
        assert!(changed_import(|_, about| drop(about.remove(name))).is_err(), "without {name}");
        let null = changed_import(|_, about| drop(about.insert(name, Value::Null)));
        assert!(null.is_err(), "null {name}");
    }
    let fault = changed_import(|_, about| drop(about.insert("note", "x"))).unwrap_err();
    assert_eq!(fault, Fault::UnknownMember("note".into()));
    assert!(changed_import(|genesis, _| drop(genesis.insert("schema_version", 1))).is_err());
    assert!(changed_import(|_, about| drop(about.insert("head_hash", "00".repeat(31)))).is_err());
    assert!(changed_import(|_, about| drop(about.insert("head_hash", "00".repeat(32)))).is_ok());
    assert!(changed_import(|_, about| drop(about.insert("verdict", "good"))).is_err());
    assert!(changed_import(|_, about| drop(about.insert("format", "carbon-ops-0.2"))).is_err());
    let one = Value::from(key().public_key().to_hex());
    assert!(changed_import(|_, about| drop(about.insert("keys", vec![one.clone()]))).is_ok());
    let twice = vec![one.clone(), one];
    assert!(changed_import(|_, about| drop(about.insert("keys", twice))).is_err());
}

/// A genesis that continues a ledger of this version, changed and signed again.
fn changed_continuation(change: impl FnOnce(&mut Object, &mut Object)) -> Result<Entry, Fault> {
    let continued = Continued {
        ledger_id: "00".repeat(16),
        size: 3,
        root: crate::merkle::leaf_hash(b"x").to_string(),
        head_hash: Some("00".repeat(32)),
        file_bytes: 900,
        file_sha256: "00".repeat(32),
        signed_size: Some(7),
        verdict: crate::verify::Status::Rewritten,
        reason: ContinuationReason::Restored,
        note: None,
    };
    changed(|genesis| {
        let (key, sync) = (key().public_key(), Durability::Sync);
        let before = Some(Before::Continued(continued));
        let payload = genesis_payload(NOW, "t", key, sync, before).unwrap();
        let mut about = payload.get("continues").and_then(Value::as_object).unwrap().clone();
        genesis.insert("schema_version", 4);
        change(genesis, &mut about);
        genesis.insert("continues", about);
    })
}

#[test]
fn a_continuing_genesis_has_exactly_its_members_and_says_nothing_that_cannot_be() {
    assert!(changed_continuation(|_, _| {}).is_ok());
    for name in
        ["ledger_id", "size", "root", "file_bytes", "file_sha256", "verdict", "reason", "head_hash"]
    {
        assert!(
            changed_continuation(|_, about| drop(about.remove(name))).is_err(),
            "without {name}"
        );
        let null = changed_continuation(|_, about| drop(about.insert(name, Value::Null)));
        assert!(null.is_err(), "null {name}");
    }
    let with = |name: &'static str, value: Value| {
        changed_continuation(|_, about| drop(about.insert(name, value)))
    };
    assert_eq!(with("path", "x".into()), Err(Fault::UnknownMember("path".into())));
    let wrong: [(&'static str, Value); 12] = [
        ("ledger_id", "00".repeat(15).into()),
        ("root", "x".into()),
        ("root", crate::merkle::empty_root().to_string().into()),
        ("size", 0.into()),
        ("size", 901.into()),
        ("signed_size", 3.into()),
        ("head_hash", "00".repeat(31).into()),
        ("file_sha256", "0".into()),
        ("verdict", "good".into()),
        ("reason", "bored".into()),
        ("reason", "other".into()),
        ("note", "".into()),
    ];
    for (name, value) in wrong {
        assert!(with(name, value.clone()).is_err(), "{name} {value:?}");
    }
    assert!(with("note", "the disk".into()).is_ok());
    assert!(changed_continuation(|_, about| drop(about.remove("signed_size"))).is_ok());
    let nothing = |about: &mut Object| {
        about.remove("head_hash");
        about.insert("size", 0);
        about.insert("root", crate::merkle::empty_root().to_string());
    };
    assert!(changed_continuation(|_, about| nothing(about)).is_ok());
    for version in [1, 2, 3, 5] {
        let other =
            changed_continuation(|genesis, _| drop(genesis.insert("schema_version", version)));
        assert!(other.is_err(), "{version}");
    }
    assert!(
        changed_continuation(|genesis, _| drop(genesis.insert("durability", "group:5"))).is_ok()
    );
    let imported = changed_import(|_, _| {}).unwrap().object().get("imported").unwrap().clone();
    assert!(changed_continuation(|genesis, _| drop(genesis.insert("imported", imported))).is_err());
}

#[test]
fn a_class_of_durability_has_a_version_of_its_own() {
    let importing = |durability: &str, version: u32| {
        changed_import(|genesis, _| {
            genesis.insert("durability", durability);
            genesis.insert("schema_version", version);
        })
    };
    let plain = |durability: &str, version: u32| {
        changed(|genesis| {
            genesis.insert("durability", durability);
            genesis.insert("schema_version", version);
        })
    };
    for class in ["group:20", "async:1000"] {
        for entry in [plain(class, 3).unwrap(), importing(class, 3).unwrap()] {
            let Some(Control::Genesis(genesis)) = entry.control().unwrap() else { panic!() };
            assert_eq!(genesis.durability.to_string(), class);
        }
        assert!(plain(class, 1).is_err() && plain(class, 2).is_err());
        assert!(importing(class, 2).is_err() && importing(class, 1).is_err());
    }
    // One form for each ledger.
    assert!(plain("sync", 3).is_err() && importing("sync", 3).is_err());
    assert!(plain("group:020", 3).is_err() && plain("group:0", 3).is_err());
    assert!(plain("group:20", 4).is_err());
}

#[test]
fn a_recovery_names_its_evidence_by_hash() {
    let head = genesis().0.head();
    let (entry, _) =
        sign(&recovery_payload(NOW, "t", 1, b"torn").unwrap(), id(), Some(&head), &key()).unwrap();
    let Some(Control::Recovery(recovery)) = entry.control().unwrap() else { panic!() };
    // printf torn | sha256sum
    assert_eq!(recovery.evidence, "ledger.ndjson.torn-1-00cc10cc");
    assert_eq!(recovery.removed_bytes, 4);
    let altered = |name: &'static str, value: Value| {
        let mut object = entry.object().clone();
        object.insert(name, value);
        Entry::parse(&resigned(object))
    };
    assert!(altered("evidence", "ledger.ndjson.torn-1-00000000".into()).is_err());
    assert!(altered("evidence", "ledger.ndjson.torn-2-00cc10cc".into()).is_err());
    assert!(altered("removed_bytes", 0.into()).is_err());
    assert!(altered("removed_bytes", Number::new(0.5).unwrap().into()).is_err());
    assert!(altered("extra", 1.into()).is_err());
}

#[test]
fn evidence_names_have_one_spelling() {
    assert_eq!(parse_evidence_name("ledger.ndjson.torn-12-00ff00ff"), Some(12));
    for name in [
        "ledger.ndjson",
        "ledger.ndjson.torn-012-00ff00ff",
        "ledger.ndjson.torn-+1-00ff00ff",
        "ledger.ndjson.torn-1-00FF00ff",
        "ledger.ndjson.torn-1-00ff00ff.tmp",
        "x",
    ] {
        assert_eq!(parse_evidence_name(name), None, "{name}");
    }
}

#[test]
fn lines_that_are_no_entry_say_why() {
    let (_, line) = genesis();
    let with = |suffix: &[u8]| [&line[..], suffix].concat();
    assert_eq!(Entry::parse(b""), Err(Fault::EmptyLine));
    assert_eq!(Entry::parse(&with(b"\r")), Err(Fault::CarriageReturn));
    assert_eq!(Entry::parse(&with(b"\0")), Err(Fault::NulByte));
    assert!(matches!(Entry::parse(&with(b" ")), Err(Fault::Json(_))));
    assert_eq!(Entry::parse(b"[]"), Err(Fault::NotAnObject));
    assert_eq!(Entry::parse(&vec![b' '; MAX_LINE_BYTES + 1]), Err(Fault::TooLong));
}

#[test]
fn a_signer_that_signs_badly_writes_nothing() {
    struct Broken;
    impl Signer for Broken {
        fn public_key(&self) -> PublicKey {
            key().public_key()
        }
        fn sign(&self, _: &[u8]) -> Result<[u8; 64]> {
            Ok([0; 64])
        }
    }
    let result = sign(&payload_of(&key()), id(), None, &Broken);
    assert!(matches!(result, Err(Error::Signer { .. })));
}
