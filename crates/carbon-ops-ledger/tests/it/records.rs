//! The ledger's own records about others: what is written, what is refused, what a verification says.

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::{Amendment, Ledger};
use carbon_ops_ledger::keys::Signer as _;
use carbon_ops_proof::canonical::{Object, Value, object_to_canonical, parse};
use carbon_ops_proof::entry::{
    Change, Control, CorrectionReason, Entry, Fault, Gap, GapReason, Heartbeat, Outcome, Period,
    Restatement, RestatementReason, Scope, Totals,
};
use carbon_ops_proof::merkle::leaf_hash;
use carbon_ops_proof::verify::{Settings, Status, verify, verify_records};

use crate::frozen::frozen;
use crate::support::{
    LATER, LEDGER_ID, MemoryDisk, NOW, key, lines, options, payload, report, trust,
};

fn amendment(corrects: u64, outcome: Outcome) -> Amendment {
    let reason = CorrectionReason::Measurement;
    Amendment { corrects, reason, note: None, outcome, restatement: None }
}

fn corrected() -> MemoryDisk {
    let (disk, key) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
    for n in 1..=4 {
        ledger.append(payload(n), NOW).unwrap();
    }
    // 5: record 2 should have been another; 6: that was wrong too; 7: record 3 never was.
    ledger.correct(amendment(2, Outcome::Replaced(payload(20))), LATER).unwrap();
    ledger.correct(amendment(5, Outcome::Replaced(payload(21))), LATER).unwrap();
    let never = Amendment {
        reason: CorrectionReason::Other,
        note: Some("a rehearsal".into()),
        ..amendment(3, Outcome::Retracted)
    };
    ledger.correct(never, LATER).unwrap();
    // 8: all of them by another factor; 9: what that makes of record 4.
    ledger.append_control(&Control::Restatement(restatement()), LATER).unwrap();
    let part = Amendment {
        reason: CorrectionReason::Restatement,
        restatement: Some(8),
        ..amendment(4, Outcome::Replaced(payload(40)))
    };
    ledger.correct(part, LATER).unwrap();
    disk
}

fn restatement() -> Restatement {
    let change = |subject: &str, before: &str, after: &str| Change {
        subject: subject.into(),
        before: before.into(),
        after: after.into(),
    };
    let grams = Totals { before: Value::from(12), after: Value::from(9) };
    let energy =
        Totals { before: "18446744073709551615".into(), after: "18446744073709551614".into() };
    Restatement {
        scope: Scope::Range { first: 1, last: 4 },
        reason: RestatementReason::FactorImprovement,
        note: Some("yearly factors of 2024 were published".into()),
        changes: vec![change("intensity", "static:owid-2023", "static:owid-2024")],
        totals: [("grams".into(), grams), ("energy_uj".into(), energy)].into(),
        period: Some(Period {
            from_ts: "2026-01-01T00:00:00.000000Z".into(),
            to_ts: "2026-11-01T00:00:00.000000Z".into(),
        }),
    }
}

/// A promise of five minutes, kept, broken, broken and explained, ended.
fn beating() -> MemoryDisk {
    let (disk, key) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
    let mut beat = |time: &str, interval_s| {
        let at = format!("2026-11-23T{time}Z").parse().unwrap();
        let heartbeat = Heartbeat::at(at, interval_s).unwrap();
        ledger.append_control(&Control::Heartbeat(heartbeat), at).unwrap();
    };
    beat("09:00:00", 300);
    beat("09:05:30", 300);
    beat("10:00:00", 300);
    beat("11:00:00", 300);
    let gap = Gap {
        from_ts: "2026-11-23T10:00:00.000000Z".into(),
        to_ts: "2026-11-23T11:00:00.000000Z".into(),
        reason: GapReason::HostOff,
        note: None,
        host_id: Some("63c8ca48f95372bf".into()),
        domains: Some(vec!["dram-0".into(), "package-0".into()]),
        bound_uj: Some(9_007_199_254_740_991),
    };
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    ledger.append_control(&Control::Gap(gap), "2026-11-23T11:00:01Z".parse().unwrap()).unwrap();
    let at = "2026-11-23T11:00:02Z".parse().unwrap();
    ledger.append_control(&Control::Heartbeat(Heartbeat::at(at, 0).unwrap()), at).unwrap();
    disk
}

#[test]
fn a_corrected_ledger_verifies_and_is_written_the_same_again() {
    let file = frozen("corrected.ndjson", &corrected().file());
    let report = report(&file);
    assert_eq!((report.status, report.entries), (Status::Valid, 10));
    assert_eq!((report.life.corrections, report.life.restatements), (4, 1));
}

#[test]
fn a_ledger_with_heartbeats_verifies_and_is_written_the_same_again() {
    let file = frozen("heartbeats.ndjson", &beating().file());
    let report = report(&file);
    assert_eq!((report.status, report.entries), (Status::Valid, 7));
    let life = report.life;
    assert_eq!((life.heartbeats, life.gap_count, life.due), (5, 1, None));
    // From five and a half past nine to ten; the hour after is a gap.
    let [silence] = &life.silences[..] else { panic!("{:?}", life.silences) };
    assert_eq!((silence.after_seq, silence.interval_s), (2, 300));
    assert_eq!(silence.to_ts, "2026-11-23T10:00:00.000000Z");
}

#[test]
fn a_correction_names_the_whole_line_by_its_leaf() {
    let file = corrected().file();
    let lines = lines(&file);
    let entry = Entry::parse(lines[5].strip_suffix(b"\n").unwrap()).unwrap();
    let Some(Control::Correction(correction)) = entry.control().unwrap() else { panic!() };
    assert_eq!(correction.corrects, 2);
    assert_eq!(correction.corrects_leaf, leaf_hash(lines[2].strip_suffix(b"\n").unwrap()).0);
}

/// The record of a line signed again with some members changed, at the end of a ledger that the line is
/// taken off.
fn altered(file: &[u8], change: &dyn Fn(&mut Object)) -> Vec<u8> {
    let mut lines = lines(file);
    let Value::Object(mut object) = parse(&lines.pop().unwrap()).unwrap() else { panic!() };
    for name in ["signature", "signature_algorithm", "signing_key"] {
        object.remove(name);
    }
    change(&mut object);
    let signature = key().sign(&object_to_canonical(&object)).unwrap();
    let hex = signature.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    object.insert("signature", hex);
    object.insert("signature_algorithm", "ed25519");
    object.insert("signing_key", key().public_key().to_hex());
    let mut line = object_to_canonical(&object);
    line.push(b'\n');
    lines.push(line);
    lines.concat()
}

fn fault_of(file: &[u8], change: &dyn Fn(&mut Object)) -> Option<&'static str> {
    report(&altered(file, change)).first_fault.map(|fault| fault.code)
}

#[test]
fn a_correction_of_another_line_than_it_says_is_a_fault_of_the_correction() {
    let file = lines(&corrected().file())[..6].concat();
    assert_eq!(fault_of(&file, &|_| ()), None);
    let leaf = |object: &mut Object| drop(object.insert("corrects_leaf", "00".repeat(32)));
    assert_eq!(fault_of(&file, &leaf), Some("corrects_leaf"));
    let other = |object: &mut Object| drop(object.insert("corrects", 3));
    assert_eq!(fault_of(&file, &other), Some("corrects_leaf"));
    for itself_or_later_or_genesis in [5, 6, 0] {
        let change = |object: &mut Object| {
            drop(object.insert("corrects", itself_or_later_or_genesis));
        };
        assert_eq!(fault_of(&file, &change), Some("member"));
    }
}

#[test]
fn references_are_followed_by_reading_as_by_memory() {
    let file = corrected().file();
    let read = |offset: u64, len: usize| {
        let offset = usize::try_from(offset).unwrap();
        Ok(file[offset..offset + len].to_vec())
    };
    let trust = trust();
    let settings = Settings { read_back: Some(&read), ..Settings::new(&trust) };
    let verified = verify_records(&file[..], &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap();
    assert_eq!(verified, report(&file));
    let broken = |_: u64, _: usize| Err(std::io::Error::other("the disk is gone"));
    let settings = Settings { read_back: Some(&broken), ..Settings::new(&trust) };
    assert!(verify_records(&file[..], &settings, &|_| Ok(()), &mut |_, ()| Ok(())).is_err());
}

#[test]
fn a_replacement_is_checked_as_any_record_and_reported_at_the_line_of_the_correction() {
    let file = lines(&corrected().file())[..6].concat();
    let mut no_twenties = |object: &Object| match object.get("n").and_then(Value::as_u64) {
        Some(20) => Err("twenty is not possible".to_owned()),
        _ => Ok(()),
    };
    let report = verify(&file[..], &trust(), &mut no_twenties).unwrap();
    let fault = report.first_fault.unwrap();
    assert_eq!((fault.line, fault.code), (6, "record"));
}

/// Each of these makes the last line of `file` a fault, also for the reader in another language.
fn all_refused(file: &[u8], changes: &[(&str, Value)]) {
    let mut mutants = vec![file.to_vec()];
    let mut fault_of = |file: &[u8], change: &dyn Fn(&mut Object)| {
        mutants.push(altered(file, change));
        fault_of(file, change)
    };
    for (name, value) in changes {
        let change = |object: &mut Object| drop(object.insert(*name, value.clone()));
        assert!(fault_of(file, &change).is_some(), "{name}: {value:?}");
    }
    let object = parse(lines(file).last().unwrap()).unwrap();
    let optional = ["note", "totals", "period", "host_id", "domains", "bound_uj", "reason"];
    // Without `kind` it is somebody else's payload, and what it says is none of the ledger's business.
    // The signature is made anew.
    let stated = |name: &str| name != "kind" && !name.starts_with("sign");
    for (name, _) in object.as_object().unwrap().iter().filter(|(name, _)| stated(name)) {
        let without = |object: &mut Object| drop(object.remove(name));
        let needed = !optional.contains(&name) || name == "reason";
        assert_eq!(fault_of(file, &without).is_some(), needed, "without {name}");
        let null = |object: &mut Object| drop(object.insert(name, Value::Null));
        assert!(fault_of(file, &null).is_some(), "null {name}");
    }
    for (name, value) in
        [("more", Value::from(1)), ("schema_version", 1.into()), ("schema_version", 3.into())]
    {
        let change = |object: &mut Object| drop(object.insert(name, value.clone()));
        assert!(fault_of(file, &change).is_some(), "{name}");
    }
    crate::reader::same_verdicts(&mutants, None);
}

fn json(text: &str) -> Value {
    parse(text.as_bytes()).unwrap()
}

#[test]
fn a_correction_has_exactly_its_members() {
    let file = lines(&corrected().file())[..6].concat();
    all_refused(
        &file,
        &[
            ("reason", "because".into()),
            ("reason", "other".into()),
            ("reason", "restatement".into()),
            ("restatement", 1.into()),
            ("retraction", true.into()),
            ("note", "".into()),
            ("note", "x".repeat(1025).into()),
            ("replacement", json("[]")),
            ("replacement", json(r#"{"kind":"ledger"}"#)),
            ("replacement", json(r#"{"seq":1}"#)),
            ("corrects_leaf", "AB".repeat(32).into()),
        ],
    );
    let retracted = lines(&corrected().file())[..8].concat();
    let false_one = |object: &mut Object| drop(object.insert("retraction", false));
    assert_eq!(fault_of(&retracted, &false_one), Some("member"));
}

#[test]
fn a_restatement_has_exactly_its_members() {
    let file = lines(&corrected().file())[..9].concat();
    let changes = [
        ("first", 5.into()),
        ("first", 0.into()),
        ("last", 8.into()),
        ("records", json("[1]")),
        ("reason", "measurement".into()),
        ("changes", json("[]")),
        ("changes", json(r#"[{"after":"a","before":"a","subject":"s"}]"#)),
        ("changes", json(r#"[{"after":"a","before":"b"}]"#)),
        ("changes", json(r#"[{"after":"a","before":"b","more":1,"subject":"s"}]"#)),
        ("totals", json("{}")),
        ("totals", json(r#"{"x":{"after":1}}"#)),
        ("totals", json(r#"{"x":{"after":1,"before":"01"}}"#)),
        ("totals", json(r#"{"x":{"after":1,"before":true}}"#)),
        ("period", json(r#"{"from_ts":"2026-01-01T00:00:00.000000Z"}"#)),
        (
            "period",
            json(
                r#"{"from_ts":"2026-01-02T00:00:00.000000Z","to_ts":"2026-01-02T00:00:00.000000Z"}"#,
            ),
        ),
    ];
    all_refused(&file, &changes);
    // A list instead of a range: ascending, each once, all earlier.
    let listed = |list: &'static str| {
        move |object: &mut Object| {
            object.remove("first");
            object.remove("last");
            object.insert("records", json(list));
        }
    };
    assert_eq!(fault_of(&file, &listed("[1,3,7]")), None);
    for bad in ["[]", "[0]", "[8]", "[3,1]", "[1,1]", "[1.5]", "1"] {
        assert_eq!(fault_of(&file, &listed(bad)), Some("member"), "{bad}");
    }
}

#[test]
fn a_gap_and_a_heartbeat_have_exactly_their_members() {
    let gap = lines(&beating().file())[..6].concat();
    all_refused(
        &gap,
        &[
            ("from_ts", "2026-11-23T11:00:00.000000Z".into()),
            ("to_ts", "2026-11-23T11:00:02.000000Z".into()),
            ("from_ts", "2026-02-31T09:00:00.000000Z".into()),
            ("reason", "lunch".into()),
            ("reason", "other".into()),
            ("domains", json("[]")),
            ("domains", json(r#"["b","a"]"#)),
            ("domains", json(r#"["a","a"]"#)),
            ("host_id", "".into()),
            ("bound_uj", json("-1")),
            ("bound_uj", json("0.5")),
        ],
    );
    let heartbeat = lines(&beating().file())[..2].concat();
    all_refused(
        &heartbeat,
        &[
            ("interval_s", json("-1")),
            ("interval_s", json("0")),
            ("interval_s", json("301")),
            ("interval_s", json("2678401")),
            ("next_by", "2026-11-23T09:05:00.000001Z".into()),
            ("created_ts", "2026-02-31T09:00:00.000000Z".into()),
        ],
    );
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let (disk, key) = (corrected(), key());
    let before = disk.content();
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let beyond = ledger.correct(amendment(99, Outcome::Retracted), LATER);
    assert!(matches!(beyond, Err(Error::NoEntry { seq: 99, .. })), "{beyond:?}");
    let genesis = ledger.correct(amendment(0, Outcome::Retracted), LATER);
    assert!(matches!(genesis, Err(Error::InvalidEntry(Fault::Member { .. }))), "{genesis:?}");
    let posing = Object::from_members([("kind", "ledger".into())]).unwrap();
    let posed = ledger.correct(amendment(1, Outcome::Replaced(posing)), LATER);
    assert!(matches!(posed, Err(Error::InvalidEntry(Fault::ReservedKind))), "{posed:?}");
    let stale = Control::Heartbeat(Heartbeat::at(NOW, 60).unwrap());
    assert!(matches!(ledger.append_control(&stale, LATER), Err(Error::InvalidEntry(_))));
    assert_eq!(disk.content(), before);
}
