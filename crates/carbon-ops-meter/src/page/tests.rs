//! Claims about pages: what is written is read, and no half-written page is.

use super::*;
use crate::snapshot::parse_boot_id;
use proptest::prelude::*;

fn domain(name: &str, total: u64) -> DomainTotal {
    DomainTotal {
        name: Text::new(name),
        key: Text::new(&format!("{name}:intel-rapl:0")),
        kind: Kind::Package,
        source: Source::Sysfs,
        excluded: (name == "psys").then_some(Exclusion::OverlapsPackage),
        total: Microjoules::new(total),
        delta: Microjoules::new(5),
        epoch: EpochStart::from_millis(12),
        wraps: 3,
        gaps: 1,
        gap_most: Microjoules::new(17),
        gap_time: Duration::from_millis(1500),
        skipped: 2,
        read_at: Moment::from_nanos(99),
        stale: true,
        stuck: false,
        exact: true,
        lattice: false,
        ceiling: Watts::new(2000.0).unwrap(),
        likely: Watts::new(260.0).unwrap(),
    }
}

fn snapshot(seq: u64) -> Snapshot {
    Snapshot {
        boot_id: parse_boot_id("6c1f2a546a0e4c399d9b0d6f4c1f7e11").unwrap(),
        started: Moment::from_nanos(7),
        seq,
        at: Moment::from_nanos(1000 + seq),
        monotonic: Duration::from_nanos(900 + seq),
        unix: UnixTime::new(Duration::from_secs(1_800_000_000)),
        interval: Duration::from_millis(100),
        quantum: Microjoules::new(10_000),
        missed: 4,
        suspends: 1,
        filtering: Some(true),
        simulated: true,
        domains: vec![domain("package-0", seq), domain("psys", 2 * seq)],
    }
}

fn cells() -> Vec<AtomicU64> {
    let cells: Vec<_> = (0..FILE_WORDS).map(|_| AtomicU64::new(0)).collect();
    initialise(&cells);
    cells
}

fn encoded(snapshot: &Snapshot) -> Vec<u64> {
    let mut words = Vec::new();
    encode_head(snapshot, DOMAIN_WORDS, &mut words);
    snapshot.domains.iter().for_each(|domain| encode_domain(domain, &mut words));
    words
}

fn read(cells: &[AtomicU64]) -> Option<Snapshot> {
    let (mut words, mut snapshot) = (Vec::new(), Snapshot::default());
    copy(cells, &mut words).ok()?;
    decode(&words, &mut snapshot).map(|()| snapshot)
}

#[test]
fn what_is_published_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot");
    let mut writer = PageWriter::open(&path, 0o640).unwrap();
    let mut reader = PageReader::open(&path).unwrap();
    let mut seen = Snapshot::default();
    assert!(matches!(reader.read(&mut seen), Err(PageError::Empty)));
    for seq in 1..=5 {
        writer.publish(&snapshot(seq));
        reader.read(&mut seen).unwrap();
        assert_eq!(seen, snapshot(seq));
        assert_eq!(reader.stamp(), seq);
    }
}

#[test]
fn a_reader_goes_on_when_the_writer_is_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot");
    PageWriter::open(&path, 0o640).unwrap().publish(&snapshot(1));
    let mut reader = PageReader::open(&path).unwrap();
    let mut writer = PageWriter::open(&path, 0o640).unwrap();
    let mut seen = Snapshot::default();
    reader.read(&mut seen).unwrap();
    assert_eq!(seen.seq, 1);
    writer.publish(&snapshot(2));
    reader.read(&mut seen).unwrap();
    assert_eq!(seen.seq, 2);
}

#[test]
fn a_file_with_the_last_stamp_of_all_can_be_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    drop(PageWriter::open(&path, 0o600).unwrap());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for slot in [0, 1] {
        let place = 8 * slot_start(slot) as u64;
        std::os::unix::fs::FileExt::write_all_at(&file, &u64::MAX.to_le_bytes(), place).unwrap();
    }
    let mut writer = PageWriter::open(&path, 0o600).unwrap();
    let mut reader = PageReader::open(&path).unwrap();
    for seq in 1..4 {
        writer.publish(&snapshot(seq));
        let mut seen = Snapshot::default();
        reader.read(&mut seen).unwrap();
        assert_eq!(seen.seq, seq);
    }
}

#[test]
fn a_state_carries_the_counters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let saved = Saved {
        total: 1 << 70,
        shown: (1 << 70) + 1,
        count: 5,
        at: Moment::from_nanos(3),
        since: Moment::from_nanos(2),
        wraps: 9,
        generation: Generation::new(2),
    };
    let mut writer = PageWriter::open(&path, 0o600).unwrap();
    assert!(writer.saved().is_none());
    writer.keep(&snapshot(4), [(saved, 77), (saved, 78)].into_iter());
    let (kept, domains) = PageWriter::open(&path, 0o600).unwrap().saved().unwrap();
    assert_eq!(kept, snapshot(4));
    assert_eq!(domains[1], SavedDomain { total: kept.domains[1], counter: saved, scale: 78 });
}

#[test]
fn a_writer_that_dies_at_any_store_leaves_the_old_snapshot_or_the_new_one() {
    let words = encoded(&snapshot(3));
    let stores = words.len() + SLOT_HEAD + 2;
    for stop in 0..=stores {
        let cells = cells();
        let mut store = |cell: &AtomicU64, value, order| cell.store(value, order);
        write(&cells, &encoded(&snapshot(1)), 1, &mut store);
        write(&cells, &encoded(&snapshot(2)), 2, &mut store);
        let mut done = 0;
        write(&cells, &words, 3, &mut |cell, value, order| {
            if done < stop {
                cell.store(value, order);
            }
            done += 1;
        });
        assert_eq!(done, stores);
        let expected = snapshot(if stop == stores { 3 } else { 2 });
        assert_eq!(read(&cells), Some(expected), "stopped after {stop} stores");
        // And the next writer is not disturbed by what it left.
        write(&cells, &encoded(&snapshot(4)), 4, &mut |cell, value, order| {
            cell.store(value, order);
        });
        assert_eq!(read(&cells), Some(snapshot(4)), "stopped after {stop} stores");
    }
}

#[test]
fn readers_never_see_a_mixture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot");
    let mut writer = PageWriter::open(&path, 0o640).unwrap();
    writer.publish(&snapshot(1));
    let path = &path;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut reader = PageReader::open(path).unwrap();
                    let (mut seen, mut last) = (Snapshot::default(), 0);
                    for _ in 0..20_000 {
                        // A page that is written without a pause can starve a reader; it says so.
                        if reader.read(&mut seen).is_ok() {
                            assert_eq!(seen, snapshot(seen.seq));
                            assert!(seen.seq >= last || seen.seq + 1 >= last);
                            last = seen.seq;
                        }
                    }
                })
            })
            .collect();
        let mut seq = 1;
        while !readers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            seq += 1;
            writer.publish(&snapshot(seq));
        }
    });
}

#[test]
fn a_link_or_a_foreign_file_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let link = dir.path().join("snapshot");
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    assert!(PageWriter::open(&link, 0o640).is_err());
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    assert!(PageWriter::open(dir.path(), 0o640).is_err());
    assert!(matches!(PageReader::open(&precious), Err(PageError::Foreign { .. })));
}

proptest! {
    #[test]
    fn no_words_whatever_break_the_decoder(
        mut words in prop::collection::vec(any::<u64>(), 0..200),
        count in 0u64..4,
        each in prop::sample::select(vec![DOMAIN_WORDS as u64, 30, 0, u64::MAX]),
    ) {
        if words.len() > 13 {
            words[12] = count;
            words[13] = each;
        }
        let _ = decode_state(&words);
        let _ = decode(&words, &mut Snapshot::default());
    }

    #[test]
    fn a_flipped_bit_is_found(at in 0usize..56, bit in 0u32..64) {
        let cells = cells();
        write(&cells, &encoded(&snapshot(1)), 1, &mut |cell, value, order| cell.store(value, order));
        let slot = slot_start(cells[CURRENT].load(Ordering::Relaxed));
        cells[slot + SLOT_HEAD + at].fetch_xor(1 << bit, Ordering::Relaxed);
        prop_assert_eq!(read(&cells), None);
    }
}
