//! What an interrupted write leaves, and what becomes of it.

use carbon_ops_ledger::append::{Ledger, Repair};
use carbon_ops_ledger::{Error, Result};
use carbon_ops_proof::entry::Fault;
use carbon_ops_proof::verify::Status;

use crate::support::{
    LATER, LEDGER_ID, MemoryDisk, key, ledger_of, lines, numbers, options, payload, report, trust,
};

/// Opens a disk with this file, appends record 99, and returns the disk and what was repaired.
fn reopen(file: &[u8]) -> Result<(MemoryDisk, Vec<Repair>)> {
    let disk = MemoryDisk::of_file(file);
    let key = key();
    let mut ledger = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options())?;
    let repairs = ledger.repairs().to_vec();
    ledger.append(payload(99), LATER)?;
    Ok((disk, repairs))
}

#[test]
fn a_last_line_cut_anywhere_is_recovered() {
    let file = ledger_of(2, &key(), LEDGER_ID);
    let good = lines(&file)[..2].concat();
    let last = &file[good.len()..];
    for cut in 0..last.len() {
        let torn = &file[..good.len() + cut];
        let before = report(torn);
        let (disk, repairs) = reopen(torn).unwrap();
        let after = report(&disk.file());
        assert_eq!((after.status, after.fault_count), (Status::Valid, 0), "cut at {cut}");
        if cut == 0 {
            assert_eq!((before.status, repairs.len()), (Status::Valid, 0));
            assert_eq!(numbers(&disk.file()), [0, 99]);
        } else if cut == last.len() - 1 {
            // Only the newline is missing: nothing is lost.
            assert_eq!(before.status, Status::TornTail);
            assert!(before.torn_tail.unwrap().complete_entry);
            assert_eq!(repairs, [Repair::Completed { seq: 2 }]);
            assert_eq!(numbers(&disk.file()), [0, 1, 99]);
            assert!(disk.content().evidence.is_empty());
        } else {
            assert_eq!(before.status, Status::TornTail);
            assert_eq!(before.torn_tail.unwrap().bytes, cut as u64);
            assert!(matches!(repairs[..], [Repair::SetAside { .. }, Repair::Recorded { .. }]));
            assert_eq!(numbers(&disk.file()), [0, 99]);
            let kept: Vec<_> = disk.content().evidence.into_values().collect();
            assert_eq!(kept, [last[..cut].to_vec()]);
            assert_eq!((after.entries, after.recoveries), (4, 1));
        }
    }
}

#[test]
fn sectors_that_were_never_written_are_recovered() {
    let file = ledger_of(2, &key(), LEDGER_ID);
    let start = lines(&file)[..2].concat().len();
    for (from, to) in [(start, start + 100), (start + 50, start + 90), (file.len() - 9, file.len())]
    {
        let mut torn = file.clone();
        torn[from..to].fill(0);
        let before = report(&torn);
        assert_eq!(before.status, Status::TornTail);
        assert!(!before.torn_tail.unwrap().complete_entry);
        let (disk, _) = reopen(&torn).unwrap();
        assert_eq!(report(&disk.file()).status, Status::Valid);
        assert_eq!(numbers(&disk.file()), [0, 99]);
        assert_eq!(disk.content().evidence.into_values().next().unwrap(), torn[start..]);
    }
}

/// The ledger with these sectors missing, and where its first torn line begins: told by the lines that
/// each missing sector has a part in, independent of how the code looks for it.
fn without_sectors(file: &[u8], durable: usize, missing: &[usize]) -> (Vec<u8>, Option<usize>) {
    let mut torn = file.to_vec();
    for sector in missing {
        let range = (sector * 512).max(durable)..((sector + 1) * 512).min(file.len());
        torn[range].fill(0);
    }
    let mut start = 0;
    for line in lines(file) {
        let end = start + line.len();
        let touched = |sector: &usize| {
            (sector * 512).max(durable) < end && ((sector + 1) * 512).min(file.len()) > start
        };
        if missing.iter().any(touched) {
            return (torn, Some(start));
        }
        start = end;
    }
    (torn, None)
}

#[test]
fn a_batch_with_any_sectors_missing_is_cut_off_from_the_first_line_that_lacks_some() {
    let file = ledger_of(8, &key(), LEDGER_ID);
    let durable = lines(&file)[..3].concat().len();
    let sectors: Vec<usize> = (durable / 512..=(file.len() - 1) / 512).collect();
    assert!((6..12).contains(&sectors.len()), "{}", sectors.len());
    for mask in 1..1_u32 << sectors.len() {
        let missing: Vec<usize> = sectors
            .iter()
            .enumerate()
            .filter(|(i, _)| mask >> i & 1 == 1)
            .map(|(_, s)| *s)
            .collect();
        let (torn, begins) = without_sectors(&file, durable, &missing);
        let begins = begins.unwrap();
        let before = report(&torn);
        assert_eq!((before.status, before.fault_count), (Status::TornTail, 0), "{missing:?}");
        let whole = lines(&torn[..begins]).len();
        let tail = before.torn_tail.unwrap();
        assert_eq!((tail.line, tail.bytes), (whole as u64 + 1, (torn.len() - begins) as u64));
        assert_eq!(before.entries, whole as u64);
        let (disk, repairs) = reopen(&torn).unwrap();
        assert!(matches!(repairs[..], [Repair::SetAside { .. }, Repair::Recorded { .. }]));
        let kept: Vec<_> = disk.content().evidence.into_values().collect();
        assert_eq!(kept, [torn[begins..].to_vec()], "{missing:?}");
        assert_eq!(&disk.file()[..begins], &torn[..begins]);
        assert_eq!(report(&disk.file()).status, Status::Valid);
    }
}

#[test]
fn a_batch_of_which_only_the_length_grew_is_cut_off() {
    let file = ledger_of(3, &key(), LEDGER_ID);
    for zeros in [1, 511, 65_536, 65_537, 200_000, 1 << 20] {
        let torn = [&file[..], &vec![0; zeros]].concat();
        assert_eq!(report(&torn).status, Status::TornTail, "{zeros}");
        let (disk, _) = reopen(&torn).unwrap();
        assert_eq!(numbers(&disk.file()), [0, 1, 2, 99]);
        assert_eq!(report(&disk.file()).recoveries, 1);
    }
}

#[test]
fn a_zero_byte_that_no_missing_sector_leaves_is_a_fault() {
    let file = ledger_of(8, &key(), LEDGER_ID);
    let all = lines(&file);
    let third = all[..3].concat().len();
    // One flipped bit makes a zero of a blank; and zeros that end within a sector.
    let blank = third + all[3].iter().position(|byte| *byte == b' ').unwrap();
    for range in [blank..blank + 1, third + 10..third + 20, third + 512..third + 513] {
        let mut bad = file.clone();
        bad[range.clone()].fill(0);
        let report = report(&bad);
        assert_eq!(report.status, Status::Tampered, "{range:?}");
        let fault = report.first_fault.unwrap();
        assert_eq!(
            (fault.line, fault.code),
            (4 + u64::from(range.start >= third + all[3].len()), "nul_byte")
        );
    }
    // A line further from the end than a batch: no crash reaches there.
    let mut long = file.clone();
    let sector = third.next_multiple_of(512);
    long[sector..sector + 512].fill(0);
    assert_eq!(report(&long).status, Status::TornTail);
    long.resize(long.len() + (1 << 20) + 65_536, b'x');
    let report = report(&long);
    assert_eq!((report.status, report.first_fault.unwrap().code), (Status::Tampered, "nul_byte"));
}

#[test]
fn a_bad_line_before_a_torn_batch_is_refused() {
    let file = ledger_of(8, &key(), LEDGER_ID);
    let durable = lines(&file)[..5].concat().len();
    let (mut torn, begins) = without_sectors(&file, durable, &[durable / 512 + 1]);
    // In the line before, and in one of the same batch further up.
    for line in [2, 4] {
        let at = lines(&file)[..line].concat().len() + 40;
        torn[at] ^= 1;
        let disk = MemoryDisk::of_file(&torn);
        let key = key();
        let open = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options());
        assert!(matches!(open.map(|_| ()), Err(Error::Damaged { .. })), "line {line}");
        assert_eq!(disk.file(), torn);
        assert_eq!(report(&torn).status, Status::Tampered);
        torn[at] ^= 1;
    }
    assert_eq!(reopen(&torn).unwrap().1.len(), 2);
    assert!(begins.is_some());
}

#[test]
fn damage_that_no_crash_leaves_is_refused_and_left_alone() {
    let file = ledger_of(2, &key(), LEDGER_ID);
    let parts = lines(&file);
    let start = parts[..2].concat().len();
    let flipped = |at: usize| {
        let mut bad = file.clone();
        bad[at] ^= 1;
        bad
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a flipped bit in the last line", flipped(start + 40)),
        ("a flipped bit in the genesis", flipped(40)),
        ("a line of rubbish", [&file[..], b"rubbish\n"].concat()),
        ("an empty line", [&file[..], b"\n"].concat()),
        ("the last line twice", [&file[..], &parts[2]].concat()),
        ("the last lines swapped", [&parts[0][..], &parts[2], &parts[1]].concat()),
        ("no genesis", file[parts[0].len()..].to_vec()),
        ("only half a genesis", parts[0][..100].to_vec()),
        ("zeros in the genesis", [b"\0\0\0\n".to_vec(), parts[1].clone()].concat()),
        ("a torn line behind a bad one", [&flipped(start + 40)[..], b"{\"torn"].concat()),
        ("more at the end than we ever write", [&file[..], &[b'x'; 70_000]].concat()),
        ("zeros without end", [&file[..], &[0; 1_200_000]].concat()),
        ("a line longer than any of ours", [&file[..], &[b'x'; 200_000], b"\n"].concat()),
    ];
    for (what, bad) in cases {
        let disk = MemoryDisk::of_file(&bad);
        let key = key();
        let error = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options())
            .expect_err(what);
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
        assert_eq!(disk.file(), bad, "{what}");
        assert!(disk.content().evidence.is_empty());
        assert_eq!(report(&bad).status, Status::Tampered, "{what}");
    }
}

#[test]
fn an_empty_file_was_never_a_ledger() {
    let (disk, key) = (MemoryDisk::of_file(b""), key());
    let open = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options());
    assert!(matches!(open, Err(Error::EmptyLedger { .. })));
    let create = Ledger::create(disk.clone(), &key, LEDGER_ID, LATER, options());
    assert!(matches!(create, Err(Error::EmptyLedger { .. })));
    assert_eq!(disk.file(), b"");
    let (disk, full) = (MemoryDisk::default(), ledger_of(1, &key, LEDGER_ID));
    let open = Ledger::open_for_append(disk, &key, &trust(), LATER, options());
    assert!(matches!(open, Err(Error::NoLedger { .. })));
    let create = Ledger::create(MemoryDisk::of_file(&full), &key, LEDGER_ID, LATER, options());
    assert!(matches!(create, Err(Error::LedgerExists { .. })));
}

#[test]
fn only_the_right_keys_open_a_ledger() {
    let (disk, other) =
        (MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID)), crate::support::other_key());
    let open = Ledger::open_for_append(disk.clone(), &other, &trust(), LATER, options());
    assert!(matches!(open, Err(Error::KeyNotInRoster { .. })));
    let nobody = carbon_ops_ledger::keys::Trust::new();
    let open = Ledger::open_for_append(disk, &other, &nobody, LATER, options());
    let Err(Error::UntrustedLedger { fingerprint, .. }) = open else { panic!("{open:?}") };
    assert_eq!(fingerprint, key().public_key().fingerprint());
}

#[test]
fn bad_payloads_change_nothing_and_do_not_stop_the_writer() {
    let (disk, key) = (MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID)), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let before = disk.file();
    let mut bad = payload(5);
    bad.insert("seq", 1);
    let error = ledger.append(bad, LATER).unwrap_err();
    assert!(matches!(error, Error::InvalidEntry(Fault::ReservedMember("seq"))));
    let mut large = payload(5);
    large.insert("pad", "x".repeat(70_000));
    let error = ledger.append(large, LATER).unwrap_err();
    assert!(matches!(error, Error::InvalidEntry(Fault::TooLong)));
    assert_eq!(disk.file(), before);
    assert_eq!(ledger.append(payload(1), LATER).unwrap().seq, 2);
}

#[test]
fn the_longest_lines_leave_room_to_recover() {
    // Two lines of the greatest length and a torn third: all three lie across the window.
    let (disk, key) = (MemoryDisk::of_file(&ledger_of(0, &key(), LEDGER_ID)), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let mut longest = payload(1);
    longest.insert("pad", "");
    let overhead = ledger.append(longest.clone(), LATER).unwrap().line.len();
    longest.insert("pad", "x".repeat(65_535 - overhead));
    for _ in 0..3 {
        assert_eq!(ledger.append(longest.clone(), LATER).unwrap().line.len(), 65_535);
    }
    let file = disk.file();
    for cut in [1, 2, 65_000, 65_535] {
        let (disk, repairs) = reopen(&file[..file.len() - cut]).unwrap();
        assert_eq!(report(&disk.file()).status, Status::Valid);
        assert_eq!(repairs.len(), if cut == 1 { 1 } else { 2 });
    }
}
