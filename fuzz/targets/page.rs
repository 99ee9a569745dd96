//! The mapped page and the state: any file is a page after it was opened, holds what is written to it,
//! and any state that it holds can be gone on from.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use carbon_ops_meter::clock::{Moment, UnixTime};
use carbon_ops_meter::counter::Scale;
use carbon_ops_meter::page::{FILE_BYTES, PageReader, PageWriter, decode_state};
use carbon_ops_meter::sensor::{Domain, Kind};
use carbon_ops_meter::snapshot::{Snapshot, Source};
use carbon_ops_meter::totals::{Host, Times, Totals};
use carbon_ops_units::Microjoules;
use libfuzzer_sys::fuzz_target;

/// The file of this process.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("carbon-ops-fuzz.{}", std::process::id()))
});

/// Where the words of the header and of both slots begin, in bytes.
const STARTS: [u64; 3] = [0, 4096, 4096 + 8 * 4096];

fuzz_target!(|bytes: &[u8]| {
    let chunks = bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok());
    let words: Vec<u64> = chunks.map(u64::from_le_bytes).collect();
    if let Some((snapshot, saved)) = decode_state(&words) {
        written_is_read(&[], &snapshot);
        let keys: Vec<String> = saved.iter().map(|domain| domain.total.key.to_string()).collect();
        goes_on(&keys, Totals::new(host(&snapshot), Some((snapshot, saved))));
    }
    written_is_read(&bytes[..bytes.len().min(96)], &Snapshot::default());
});

fn host(snapshot: &Snapshot) -> Host {
    Host { boot_id: snapshot.boot_id, ..Host::default() }
}

/// Opens a file that begins so, with as much for each slot's head; then writes and reads.
fn written_is_read(heads: &[u8], snapshot: &Snapshot) {
    let file = File::create(&*FILE).expect("a file");
    file.set_len(FILE_BYTES).expect("a length");
    for (head, start) in heads.chunks(32).zip(STARTS) {
        file.write_all_at(head, start).expect("a write");
    }
    let mut writer = PageWriter::open(&FILE, 0o600).expect("any file of ours can be used");
    let _ = writer.saved();
    let mut reader = PageReader::open(&FILE).expect("it is a page now");
    let mut found = Snapshot::default();
    let _ = reader.read(&mut found);
    for _ in 0..2 {
        writer.publish(snapshot);
        assert_ne!(reader.stamp(), 0);
        reader.read(&mut found).expect("what was published");
        assert_eq!(&found, snapshot);
    }
}

/// Samples of the domains that a state knows: no total falls.
fn goes_on(keys: &[String], mut totals: Totals) {
    let scale = Scale::printed(Microjoules::new(262_143_328_850)).expect("a range");
    for key in keys.iter().take(4) {
        let domain = Domain {
            name: key.clone(),
            key: key.clone(),
            kind: Kind::Package,
            source: key.clone(),
            scale,
            ceiling: Kind::Package.ceiling(),
            likely: Kind::Package.ceiling(),
            excluded: None,
        };
        let _ = totals.add(Source::Sysfs, domain);
    }
    let added = totals.domains().count();
    let mut before = Vec::new();
    for step in 1..4_u64 {
        let at = Moment::from_nanos(step * 100_000_000);
        let monotonic = Duration::from_nanos(at.as_nanos());
        totals.begin(Times { at, monotonic, unix: UnixTime::new(monotonic) });
        for index in 0..added {
            totals.observe(index, Ok(step * 61_035 / 1000), at);
        }
        let now: Vec<_> =
            totals.end(Duration::from_millis(100), 0).domains.iter().map(|d| d.total).collect();
        assert!(before.iter().zip(&now).all(|(old, new)| old <= new), "{before:?} {now:?}");
        before = now;
    }
}
