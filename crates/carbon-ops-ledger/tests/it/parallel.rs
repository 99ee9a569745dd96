//! Verifying on several threads gives the same report as on one, whatever is wrong.

use std::sync::LazyLock;

use carbon_ops_ledger::append::Ledger;
use carbon_ops_proof::verify::{
    Anchor, AnchorKind, Payload, Report, Settings, Status, verify_records,
};
use proptest::prelude::*;

use crate::support::{
    LATER, LEDGER_ID, MemoryDisk, NOW, key, ledger_of, lines, options, other_key, payload, trust,
};

/// A ledger of many pieces, with a checkpoint over all but its last lines.
static LEDGER: LazyLock<(Vec<Vec<u8>>, Anchor)> = LazyLock::new(|| {
    let (disk, key) = (MemoryDisk::default(), key());
    let mut ledger = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options()).unwrap();
    let mut bytes = Vec::new();
    for n in 0..300 {
        if n == 280 {
            bytes = ledger.checkpoint(LATER).unwrap().note.to_string().into_bytes();
        }
        let mut record = payload(n);
        record.insert("padding", "x".repeat(usize::try_from(n * n % 7919).unwrap()));
        ledger.append(record, LATER).unwrap();
    }
    let anchor = Anchor { source: "kept".into(), bytes, kind: AnchorKind::Checkpoint };
    (lines(&disk.file()), anchor)
});

/// Lines that do not belong there.
static STRANGERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let other = ledger_of(3, &key(), [9; 16]);
    [lines(&other), lines(&ledger_of(3, &other_key(), LEDGER_ID))].concat()
});

/// The report, and which records were accepted.
fn report(file: &[u8], anchors: &[Anchor], since: u64, threads: usize) -> (Report, Vec<u64>) {
    let trust = trust();
    let threads = threads.try_into().unwrap();
    let settings = Settings { anchors, since, threads, ..Settings::new(&trust) };
    // Refuses some records in each of the two steps.
    let check = |record: &Payload<'_>| match record.member("n").and_then(|n| n.as_u64()) {
        Some(n) if n % 100 != 7 => Ok(n),
        _ => Err("no such number".to_owned()),
    };
    let mut accepted = Vec::new();
    let mut accept = |seq, n| {
        accepted.push(seq);
        if n % 100 == 13 { Err("not here".to_owned()) } else { Ok(()) }
    };
    let report = verify_records(file, &settings, &check, &mut accept).unwrap();
    (report, accepted)
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(usize, u8),
    Delete(usize),
    Double(usize),
    Swap(usize, usize),
    Insert(usize, usize),
    Cut(usize),
    Zeros(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..1_000_000_usize;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        at.clone().prop_map(Damage::Delete),
        at.clone().prop_map(Damage::Double),
        (at.clone(), at.clone()).prop_map(|(a, b)| Damage::Swap(a, b)),
        (at.clone(), at.clone()).prop_map(|(at, which)| Damage::Insert(at, which)),
        at.clone().prop_map(Damage::Cut),
        (at.clone(), 0..2000_usize).prop_map(|(at, len)| Damage::Zeros(at, len)),
    ]
}

fn damaged(damages: &[Damage]) -> Vec<u8> {
    let mut lines = LEDGER.0.clone();
    for damage in damages {
        let count = lines.len();
        match *damage {
            Damage::Delete(at) => drop(lines.remove(at % count)),
            Damage::Double(at) => lines.insert(at % count, lines[at % count].clone()),
            Damage::Swap(a, b) => lines.swap(a % count, b % count),
            Damage::Insert(at, which) => {
                lines.insert(at % count, STRANGERS[which % STRANGERS.len()].clone());
            }
            _ => {}
        }
    }
    let mut file = lines.concat();
    for damage in damages {
        let len = file.len();
        match *damage {
            Damage::Flip(at, bits) => file[at % len] ^= bits,
            // Near the end, or half the cases would have few lines left.
            Damage::Cut(at) => file.truncate(len - at % 5000),
            Damage::Zeros(at, zeros) => {
                let end = len.min(at % len + zeros);
                file[at % len..end].fill(0);
            }
            _ => {}
        }
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_report_does_not_depend_on_the_number_of_threads(
        damages in prop::collection::vec(damage(), 0..5),
        since in prop_oneof![Just(0_u64), Just(281_u64), Just(100_u64)],
    ) {
        let file = damaged(&damages);
        let anchors = [LEDGER.1.clone()];
        let one = report(&file, &anchors, since, 1);
        for threads in [2, 5] {
            prop_assert_eq!(&report(&file, &anchors, since, threads), &one);
        }
    }
}

#[test]
fn a_whole_ledger_of_many_pieces_is_accepted_in_order() {
    let file = LEDGER.0.concat();
    assert!(file.len() > 500_000);
    let (report, accepted) = report(&file, std::slice::from_ref(&LEDGER.1), 0, 3);
    let refused: Vec<_> = report.faults.iter().map(|fault| fault.seq.unwrap()).collect();
    assert_eq!(refused, [8, 14, 108, 114, 208, 214]);
    assert_eq!((report.status, report.covered, report.lines), (Status::Tampered, 281, 301));
    let expected: Vec<u64> = (1..=300).filter(|seq| seq % 100 != 8).collect();
    assert_eq!(accepted, expected);
}

#[test]
fn a_reader_that_fails_stops_all_threads() {
    struct Failing<'a>(&'a [u8]);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match std::io::Read::read(&mut self.0, buffer)? {
                0 => Err(std::io::Error::other("the disk is gone")),
                read => Ok(read),
            }
        }
    }
    let file = LEDGER.0.concat();
    let trust = trust();
    let settings = Settings { threads: 3.try_into().unwrap(), ..Settings::new(&trust) };
    let reader = std::io::BufReader::new(Failing(&file));
    let error = verify_records(reader, &settings, &|_| Ok(()), &mut |_, ()| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}
