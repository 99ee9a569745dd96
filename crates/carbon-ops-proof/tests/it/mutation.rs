//! Attacks on the bytes of a ledger: each is detected, at the right line.

use carbon_ops_proof::keys::Trust;
use carbon_ops_proof::verify::{Status, verify};

use crate::support::{LEDGER_ID, extended, key, ledger_of, lines, other_key, report};

/// Small steps of a fixed sequence stand for chance, so that a failure can be repeated.
fn scrambled(n: usize) -> usize {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995) >> 29
}

#[test]
fn every_flipped_bit_is_found_at_its_line() {
    let file = ledger_of(6, &key(), LEDGER_ID);
    let last = lines(&file).len() as u64;
    let mut line = 1;
    for at in 0..file.len() {
        for mask in [1 << (scrambled(at) % 8), [0x01, 0x20, 0x80][at % 3]] {
            let mut bad = file.clone();
            bad[at] ^= mask;
            let report = report(&bad);
            let place = match (&report.first_fault, report.torn_tail) {
                (Some(fault), _) => fault.line,
                (None, Some(torn)) => torn.line,
                (None, None) => 0,
            };
            assert_eq!(place, line, "byte {at} of line {line}, mask {mask:#x}: {report:?}");
            // Only the very end can look like an interrupted write.
            let expected = if report.torn_tail.is_some() && report.fault_count == 0 {
                assert_eq!(line, last);
                Status::TornTail
            } else {
                Status::Tampered
            };
            assert_eq!(report.status, expected);
        }
        line += u64::from(file[at] == b'\n');
    }
}

/// The verdict on a ledger made of the given lines: status, line and code of the first fault.
fn verdict(lines: &[Vec<u8>]) -> (Status, u64, &'static str) {
    let report = report(&lines.concat());
    let first = report.first_fault.map_or((0, ""), |fault| (fault.line, fault.code));
    (report.status, first.0, first.1)
}

#[test]
fn every_moved_line_is_found() {
    let good = lines(&ledger_of(6, &key(), LEDGER_ID));
    assert_eq!(verdict(&good), (Status::Valid, 0, ""));
    for at in 0..good.len() {
        let line = at as u64 + 1;
        let mut deleted = good.clone();
        deleted.remove(at);
        let expected = match at {
            0 => (Status::Tampered, 1, "no_genesis"),
            // Cleanly cut off the end: not detectable before there are checkpoints.
            6 => (Status::Valid, 0, ""),
            _ => (Status::Tampered, line, "seq"),
        };
        assert_eq!(verdict(&deleted), expected, "without line {line}");
        let mut doubled = good.clone();
        doubled.insert(at, good[at].clone());
        let code = if at == 0 { "late_genesis" } else { "seq" };
        assert_eq!(verdict(&doubled), (Status::Tampered, line + 1, code), "line {line} twice");
        if at > 0 {
            let mut swapped = good.clone();
            swapped.swap(at, at - 1);
            let code = if at == 1 { "no_genesis" } else { "seq" };
            assert_eq!(
                verdict(&swapped),
                (Status::Tampered, line - 1, code),
                "line {line} earlier"
            );
        }
    }
    assert_eq!(verdict(&[]), (Status::Tampered, 1, "empty_file"));
}

#[test]
fn a_line_from_elsewhere_is_found() {
    let good = lines(&ledger_of(6, &key(), LEDGER_ID));
    let spliced = |at: usize, from: Vec<u8>| {
        let mut bad = good.clone();
        bad[at] = lines(&from)[at].clone();
        verdict(&bad)
    };
    let other_ledger = ledger_of(6, &key(), [9; 16]);
    assert_eq!(spliced(3, other_ledger), (Status::Tampered, 4, "other_ledger"));
    let other_signer = ledger_of(6, &other_key(), LEDGER_ID);
    assert_eq!(spliced(3, other_signer), (Status::Tampered, 4, "key_not_in_roster"));
    // The same ledger rewritten from record 2 on, with the right key: a fork shows where it joins.
    let fork = extended(good[..3].concat(), 100..104, &key());
    assert_eq!(spliced(4, fork), (Status::Tampered, 5, "prev_hash"));
}

#[test]
fn spellings_that_readers_disagree_about_are_found() {
    let good = lines(&ledger_of(6, &key(), LEDGER_ID));
    let edited = |from: &str, to: &str| {
        let mut bad = good.clone();
        let text = String::from_utf8(bad[2].clone()).unwrap();
        assert!(text.contains(from), "{text}");
        bad[2] = text.replacen(from, to, 1).into_bytes();
        verdict(&bad)
    };
    let bad_json = (Status::Tampered, 3, "not_canonical_json");
    assert_eq!(edited("\"n\":1", "\"n\":7,\"n\":1"), bad_json);
    assert_eq!(edited("\"n\":1", "\"n\":1,\"n\":7"), bad_json);
    assert_eq!(edited("\"n\":1", "\"n\": 1"), bad_json);
    assert_eq!(edited("\"n\":1", "\"n\":1.0"), bad_json);
    assert_eq!(edited("\"n\":1", "\"n\":-0"), bad_json);
    assert_eq!(edited("\"n\":1", "\"\\u006e\":1"), bad_json);
    assert_eq!(edited("\"n\":1", "\"n\":9007199254740992").2, "number_out_of_range");
    assert_eq!(edited("\n", "\r\n").2, "carriage_return");
    assert_eq!(edited("\n", "\n\n"), (Status::Tampered, 4, "empty_line"));
    assert_eq!(edited("\n", &" ".repeat(70_000)).2, "too_long");
    // Members out of order, upper-case hexadecimal, a member moved in from the signature's end.
    assert_eq!(edited("\"seq\":2", "\"Seq\":2").2, "not_canonical_json");
    let text = String::from_utf8(good[2].clone()).unwrap().to_uppercase();
    assert_ne!(verdict(&[good[0].clone(), good[1].clone(), text.into_bytes()]).0, Status::Valid);
}

#[test]
fn a_report_goes_on_after_a_fault() {
    let mut bad = lines(&ledger_of(6, &key(), LEDGER_ID));
    bad[2] = b"{}\n".to_vec();
    bad[4] = b"garbage\n".to_vec();
    let report = report(&bad.concat());
    assert_eq!(report.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [3, 5]);
    assert_eq!((report.entries, report.fault_count, report.last_seq), (5, 2, Some(6)));
}

#[test]
fn a_report_lists_a_bounded_number_of_faults() {
    let mut file = ledger_of(0, &key(), LEDGER_ID);
    file.extend(b"x\n".repeat(1500));
    let report = report(&file);
    assert_eq!((report.fault_count, report.faults.len()), (1500, 1000));
}

#[test]
fn a_stranger_s_ledger_is_not_checkable_but_a_broken_one_is_broken() {
    let file = ledger_of(2, &other_key(), LEDGER_ID);
    let untrusted = report(&file);
    assert_eq!(untrusted.status, Status::Untrusted);
    assert_eq!(untrusted.keys[0].fingerprint, other_key().public_key().fingerprint());
    assert!(untrusted.keys[0].genesis && !untrusted.keys[0].trusted);
    let mut torn = file.clone();
    torn.pop();
    assert_eq!(report(&torn).status, Status::Untrusted);
    let mut bad = file.clone();
    bad[100] ^= 1;
    assert_eq!(report(&bad).status, Status::Tampered);
    let nobody = verify(&file[..], &Trust::new(), &mut |_| Ok(())).unwrap();
    assert_eq!(nobody.status, Status::Untrusted);
}

#[test]
fn the_record_layer_has_its_say_about_every_record_and_only_those() {
    let file = ledger_of(3, &key(), LEDGER_ID);
    let mut seen = Vec::new();
    let report = verify(&file[..], &crate::support::trust(), &mut |object| {
        let n = object.get("n").unwrap().as_u64().unwrap();
        seen.push(n);
        if n == 1 { Err("no ones".into()) } else { Ok(()) }
    })
    .unwrap();
    assert_eq!(seen, [0, 1, 2]);
    let fault = report.first_fault.unwrap();
    assert_eq!((fault.line, fault.seq, fault.code), (3, Some(2), "record"));
    assert_eq!(fault.reason, "the record is invalid: no ones");
    assert_eq!(report.fault_count, 1);
}

#[test]
fn a_valid_report_serialises_with_stable_names() {
    let json = serde_json::to_value(report(&ledger_of(1, &key(), LEDGER_ID))).unwrap();
    assert_eq!(json["status"], "valid");
    assert_eq!(json["ledger_id"], "0192d7a00000700080000000000000a1");
    assert_eq!(json["last_seq"], 1);
    assert_eq!(json["keys"][0]["entries"], 2);
    assert_eq!(json["faults"], serde_json::json!([]));
}
