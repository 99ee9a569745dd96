//! Many submitters on one ledger: order, durability, errors, other processes, and the end.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::pipeline::{Clock, Pipeline, PipelineOptions, Ticket};
use carbon_ops_ledger::append::{CHECKPOINT_EVERY, GenesisOptions, Ledger, WriterOptions};
use carbon_ops_ledger::keys::{PublicKey, Signer};
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::checkpoint::{CHECKPOINT_FILE, Checkpoint};
use carbon_ops_proof::entry::{Durability, Fault};
use carbon_ops_proof::note::Note;
use carbon_ops_proof::verify::Status;
use jiff::Timestamp;

use crate::support::{
    Failure, Happens, LATER, LEDGER_ID, MemoryDisk, NOW, Unsynced, key, ledger_of, lines, numbers,
    options, payload, report, trust,
};
use nix::fcntl::{Flock, FlockArg};

/// A clock that stands still until it is moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn utc(&self) -> Timestamp {
        LATER
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn open_with(disk: &MemoryDisk, clock: &HandClock) -> Pipeline {
    let options = PipelineOptions { signers: Some(2), ..PipelineOptions::new(options()) };
    Pipeline::open(disk.clone(), Arc::new(key()), trust(), clock.clone(), options).unwrap()
}

fn open(disk: &MemoryDisk) -> Pipeline {
    open_with(disk, &HandClock::default())
}

fn begun() -> MemoryDisk {
    MemoryDisk::of_file(&ledger_of(0, &key(), LEDGER_ID))
}

/// A ledger whose genesis promises this.
fn promising(durability: &str) -> MemoryDisk {
    let (disk, key) = (MemoryDisk::default(), key());
    let durability = durability.parse().unwrap();
    let genesis_options = GenesisOptions { durability, ..GenesisOptions::default() };
    Ledger::create_as(disk.clone(), &key, LEDGER_ID, NOW, options(), &genesis_options).unwrap();
    disk
}

/// The size of the checkpoint beside the ledger.
fn signed(disk: &MemoryDisk) -> Option<u64> {
    let content = disk.content();
    let note = Note::parse(content.beside.get(CHECKPOINT_FILE)?).unwrap();
    let checkpoint = Checkpoint::of_note(&note).unwrap();
    checkpoint.signed_by(&note, &[key().public_key()]).unwrap();
    Some(checkpoint.size)
}

#[test]
fn each_submitters_entries_stand_in_the_order_in_which_it_submitted_them() {
    const SUBMITTERS: u32 = 8;
    const EACH: u32 = 400;
    let disk = begun();
    let pipeline = open(&disk);
    std::thread::scope(|scope| {
        for submitter in 0..SUBMITTERS {
            let handle = pipeline.submitter();
            scope.spawn(move || {
                let submit = |n| handle.submit(&payload(submitter * EACH + n)).unwrap();
                let tickets: Vec<_> = (0..EACH).map(submit).collect();
                let seqs: Vec<_> = tickets.into_iter().map(|t| t.wait().unwrap().seq).collect();
                assert!(seqs.is_sorted_by(|a, b| a < b));
            });
        }
    });
    let stored = pipeline.close().unwrap();
    assert_eq!(stored.entries, u64::from(SUBMITTERS * EACH));
    assert!(stored.batches < stored.entries / 4, "{} batches", stored.batches);
    let file = disk.file();
    assert_eq!(report(&file).status, Status::Valid);
    for submitter in 0..SUBMITTERS {
        let own: Vec<_> = numbers(&file).into_iter().filter(|n| n / EACH == submitter).collect();
        assert_eq!(own, (submitter * EACH..(submitter + 1) * EACH).collect::<Vec<_>>());
    }
    assert_eq!(signed(&disk), Some(u64::from(SUBMITTERS * EACH) + 1));
}

#[test]
fn the_lines_are_those_of_a_writer_of_single_entries() {
    let disk = begun();
    let pipeline = open(&disk);
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = (0..50).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    let hashes: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap().hash).collect();
    pipeline.close().unwrap();
    assert_eq!(disk.file(), ledger_of(50, &key(), LEDGER_ID));
    let second = lines(&disk.file())[2].clone();
    assert!(String::from_utf8(second).unwrap().contains(&hashes[0].to_string()));
}

#[test]
fn what_is_acknowledged_survives_the_loss_of_power() {
    for class in ["sync", "group:1"] {
        let disk = promising(class);
        let clock = Running(std::time::Instant::now());
        let options = PipelineOptions::new(options());
        let pipeline =
            Pipeline::open(disk.clone(), Arc::new(key()), trust(), clock, options).unwrap();
        std::thread::scope(|scope| {
            for submitter in 0..4_u32 {
                let (handle, disk) = (pipeline.submitter(), &disk);
                scope.spawn(move || {
                    for n in 0..25 {
                        let number = submitter * 100 + n;
                        let ticket = handle.submit(&payload(number)).unwrap();
                        ticket.wait().unwrap();
                        let file = disk.after_power_loss(Unsynced::Lost).file.unwrap();
                        assert!(numbers(&file).contains(&number), "{class}: {number}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_group_waits_for_its_delay_and_no_longer() {
    let disk = promising("group:60000");
    let clock = HandClock::default();
    let pipeline = open_with(&disk, &clock);
    assert_eq!(pipeline.durability(), Durability::Group(Duration::from_secs(60)));
    let submitter = pipeline.submitter();
    // Before it is submitted: its turn may come and pass at once.
    let before = disk.calls();
    let first = submitter.submit(&payload(0)).unwrap();
    while disk.calls() == before {
        std::thread::yield_now();
    }
    assert!(!first.is_answered());
    assert!(numbers(&disk.file()).is_empty());
    clock.advance(Duration::from_secs(60));
    let second = submitter.submit(&payload(1)).unwrap();
    assert_eq!(first.wait().unwrap().seq, 1);
    // Closing does not wait.
    let stored = pipeline.close().unwrap();
    assert_eq!((second.wait().unwrap().seq, stored.entries), (2, 2));
}

#[test]
fn an_asynchronous_ledger_syncs_later() {
    let disk = promising("async:60000");
    let clock = HandClock::default();
    let pipeline = open_with(&disk, &clock);
    let submitter = pipeline.submitter();
    submitter.submit(&payload(0)).unwrap().wait().unwrap();
    assert_eq!(numbers(&disk.file()), [0]);
    assert!(numbers(&disk.after_power_loss(Unsynced::Lost).file.unwrap()).is_empty());
    // More than a batch is never left in doubt; less may be, as a checkpoint syncs what it covers.
    let tickets: Vec<_> = (1..1500).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let durable = numbers(&disk.after_power_loss(Unsynced::Lost).file.unwrap()).len();
    assert!(durable >= 1500 - 1024, "{durable}");
    pipeline.close().unwrap();
    let file = disk.after_power_loss(Unsynced::Lost).file.unwrap();
    assert_eq!(numbers(&file).len(), 1500);
}

#[test]
fn a_failure_of_any_call_stops_the_pipeline_and_loses_nothing_acknowledged() {
    let mut stops = 0;
    for happens in [Happens::Nothing, Happens::Everything, Happens::Quarters(2)] {
        for call in 0.. {
            let disk = begun();
            let pipeline = open(&disk);
            let submitter = pipeline.submitter();
            disk.fail(Failure { call, happens, dies: false });
            let (mut acknowledged, mut lost) = (Vec::new(), Vec::new());
            let mut stopped = false;
            for n in 0..3 {
                match submitter.submit(&payload(n)).and_then(|ticket| ticket.wait().map(|_| ())) {
                    Ok(()) => {
                        assert!(!stopped, "{happens:?} {call}: a stopped pipeline acknowledged");
                        acknowledged.push(n);
                    }
                    Err(error @ Error::Stopped { written, .. }) => {
                        assert!(error.is_fatal());
                        stopped = true;
                        if !written {
                            lost.push(n);
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let closed = pipeline.close();
            assert!(closed.is_err() || !stopped);
            stops += u32::from(closed.is_err());
            for unsynced in crate::support::ALL_UNSYNCED {
                let disk = MemoryDisk::holding(disk.after_power_loss(unsynced));
                let pipeline = open(&disk);
                pipeline.submitter().submit(&payload(9)).unwrap().wait().unwrap();
                pipeline.close().unwrap();
                let found = numbers(&disk.file());
                assert_eq!(report(&disk.file()).status, Status::Valid);
                assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
                assert!(acknowledged.iter().all(|n| found.contains(n)), "{happens:?} {call}");
                assert!(!lost.iter().any(|n| found.contains(n)), "{happens:?} {call}: {found:?}");
            }
            if disk.calls() <= call {
                break;
            }
        }
    }
    assert!(stops > 20, "{stops}");
}

#[test]
fn a_full_disk_stops_the_pipeline_and_leaves_the_ledger_in_order() {
    let disk = begun();
    let pipeline = open(&disk);
    let submitter = pipeline.submitter();
    let before = disk.file();
    // A turn begins with lock, size, read and list; then comes the append.
    disk.fail(Failure { call: 4, happens: Happens::Quarters(3), dies: false });
    let error = submitter.submit(&payload(0)).unwrap().wait().unwrap_err();
    let Error::Stopped { cause, written: false, .. } = &error else { panic!("{error}") };
    assert!(matches!(**cause, Error::NotStored { .. }), "{cause}");
    assert_eq!(disk.file(), before);
    assert!(matches!(submitter.submit(&payload(1)), Err(Error::Stopped { written: false, .. })));
}

/// What stands behind an entry fails, whatever it is: the entry is acknowledged and stays, once.
#[test]
fn a_failure_behind_an_entry_is_never_told_as_one_of_the_entry() {
    let start = begun();
    let first = open(&start);
    first.submitter().submit(&payload(9)).unwrap().wait().unwrap();
    first.close().unwrap();
    let entries = numbers(&start.file()).len();
    for (name, bytes) in [
        ("checkpoint", &b""[..]),
        ("checkpoint", b"garbage\n"),
        ("signer.state", b"garbage"),
        ("roster.state", b"garbage"),
        ("tile/0/000.p/2", b"x"),
    ] {
        let mut content = start.content();
        content.beside.insert(name.to_owned(), bytes.to_vec());
        let disk = MemoryDisk::holding(content);
        let pipeline = open(&disk);
        let submitter = pipeline.submitter();
        let tickets: Vec<_> = (0..5).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        let stored = pipeline.close().unwrap();
        assert_eq!((stored.entries, numbers(&disk.file()).len()), (5, entries + 5), "{name}");
        let derived = name.starts_with("tile") || name == "roster.state";
        assert_eq!(stored.no_checkpoint.is_none(), derived, "{name}: {:?}", stored.no_checkpoint);
    }
}

/// Each goes on, with a thousand entries on their way, until the other has been acknowledged one: who had to wait
/// for the other to be done would wait for ever.
#[test]
fn two_pipelines_on_one_directory_take_turns() {
    const IN_FLIGHT: usize = 1000;
    const LEAST: u32 = 3000;
    const MOST: u32 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    Ledger::create(DirStorage::new(dir.path()), &key(), LEDGER_ID, NOW, options()).unwrap();
    let acknowledged = [AtomicBool::new(false), AtomicBool::new(false)];
    let write = &|writer: u32| {
        let [ours, theirs] = if writer == 0 { [0, 1] } else { [1, 0] };
        let pipeline = Pipeline::open(
            DirStorage::new(dir.path()),
            Arc::new(key()),
            trust(),
            Running(std::time::Instant::now()),
            PipelineOptions::new(options()),
        )
        .unwrap();
        let (handle, mut tickets, mut n) = (pipeline.submitter(), VecDeque::new(), 0);
        while n < LEAST || !acknowledged[theirs].load(Ordering::Relaxed) {
            assert!(n < MOST, "the other one gets no turn");
            tickets.push_back(handle.submit(&payload(writer * MOST + n)).unwrap());
            n += 1;
            if tickets.len() > IN_FLIGHT {
                Ticket::wait(tickets.pop_front().unwrap()).unwrap();
                acknowledged[ours].store(true, Ordering::Relaxed);
            }
        }
        for ticket in tickets {
            ticket.wait().unwrap();
        }
        pipeline.close().unwrap();
        n
    };
    let [first, second] = std::thread::scope(|scope| {
        [0, 1].map(|writer| scope.spawn(move || write(writer))).map(|done| done.join().unwrap())
    });
    let file = std::fs::read(dir.path().join("ledger.ndjson")).unwrap();
    let report = report(&file);
    assert_eq!((report.status, report.entries), (Status::Valid, u64::from(first + second) + 1));
    let mut all = numbers(&file);
    all.sort_unstable();
    assert_eq!(all, (0..first).chain(MOST..MOST + second).collect::<Vec<_>>());
}

/// Real time.
struct Running(std::time::Instant);

impl Clock for Running {
    fn utc(&self) -> Timestamp {
        LATER
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[test]
fn single_appends_come_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(key());
    let storage = || DirStorage::new(dir.path());
    let mut single = Ledger::create(storage(), &*key, LEDGER_ID, NOW, options()).unwrap();
    let signer = Arc::clone(&key) as Arc<dyn Signer>;
    let clock = Running(std::time::Instant::now());
    let options = PipelineOptions::new(options());
    let pipeline = Pipeline::open(storage(), signer, trust(), clock, options).unwrap();
    let submitter = pipeline.submitter();
    for n in 0..20 {
        if n % 3 == 0 {
            assert_eq!(single.append(payload(n), LATER).unwrap().seq, u64::from(n) + 1);
        } else {
            let ticket = submitter.submit(&payload(n)).unwrap();
            assert_eq!(ticket.wait().unwrap().seq, u64::from(n) + 1);
        }
    }
    single.checkpoint(LATER).unwrap();
    single.append(payload(20), LATER).unwrap();
    submitter.submit(&payload(21)).unwrap().wait().unwrap();
    pipeline.close().unwrap();
    let file = std::fs::read(dir.path().join("ledger.ndjson")).unwrap();
    assert_eq!(numbers(&file), (0..22).collect::<Vec<_>>());
    assert_eq!(report(&file).status, Status::Valid);
    let note = Note::parse(&std::fs::read(dir.path().join(CHECKPOINT_FILE)).unwrap()).unwrap();
    assert_eq!(Checkpoint::of_note(&note).unwrap().size, 23);
}

#[test]
fn a_lock_that_somebody_keeps_refuses_what_waits_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    Ledger::create(DirStorage::new(dir.path()), &key(), LEDGER_ID, NOW, options()).unwrap();
    let writer = WriterOptions { patience: Duration::from_millis(20), ..options() };
    let pipeline = Pipeline::open(
        DirStorage::new(dir.path()),
        Arc::new(key()),
        trust(),
        HandClock::default(),
        PipelineOptions::new(writer),
    )
    .unwrap();
    let submitter = pipeline.submitter();
    let held =
        Flock::lock(File::open(dir.path().join("lock")).unwrap(), FlockArg::LockExclusive).unwrap();
    let error = submitter.submit(&payload(0)).unwrap().wait().unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && !error.is_fatal(), "{error}");
    drop(held);
    assert_eq!(submitter.submit(&payload(1)).unwrap().wait().unwrap().seq, 1);
    assert_eq!(pipeline.close().unwrap().entries, 1);
}

#[test]
fn a_bad_payload_is_refused_alone() {
    let disk = begun();
    let pipeline = open(&disk);
    let submitter = pipeline.submitter();
    let mut bad = payload(5);
    bad.insert("seq", 1);
    let error = submitter.submit(&bad).unwrap_err();
    assert!(matches!(error, Error::InvalidEntry(Fault::ReservedMember("seq"))));
    // One that fits as entry 1 and not as entry 10: found out when its number is known.
    let mut longest = payload(5);
    longest.insert("pad", "");
    let overhead = {
        let disk = begun();
        let key = key();
        let mut ledger = Ledger::open_for_append(disk, &key, &trust(), LATER, options()).unwrap();
        ledger.append(longest.clone(), LATER).unwrap().line.len()
    };
    longest.insert("pad", "x".repeat(65_535 - overhead));
    for n in 0..9 {
        submitter.submit(&payload(n)).unwrap().wait().unwrap();
    }
    let error = submitter.submit(&longest).unwrap().wait().unwrap_err();
    assert!(matches!(error, Error::InvalidEntry(Fault::TooLong)), "{error}");
    assert_eq!(submitter.submit(&payload(9)).unwrap().wait().unwrap().seq, 10);
    longest.insert("pad", "x".repeat(65_536 - overhead));
    assert!(matches!(submitter.submit(&longest), Err(Error::InvalidEntry(Fault::TooLong))));
    pipeline.close().unwrap();
    assert_eq!(numbers(&disk.file()), (0..10).collect::<Vec<_>>());
}

#[test]
fn the_longest_lines_go_in_batches_that_recovery_can_see() {
    let disk = begun();
    let pipeline = open(&disk);
    let submitter = pipeline.submitter();
    let mut long = payload(0);
    long.insert("pad", "x".repeat(65_000));
    let tickets: Vec<_> = (0..40).map(|_| submitter.submit(&long).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    pipeline.close().unwrap();
    assert!(disk.largest_append() <= 1 << 20, "{}", disk.largest_append());
    assert_eq!(report(&disk.file()).status, Status::Valid);
}

#[test]
fn a_signer_that_fails_stops_the_pipeline_before_anything_is_written() {
    /// Signs well so many times, then badly.
    struct Wears(AtomicU64);
    impl Signer for Wears {
        fn public_key(&self) -> PublicKey {
            key().public_key()
        }
        fn sign(&self, message: &[u8]) -> carbon_ops_proof::Result<[u8; 64]> {
            let left = self.0.fetch_sub(1, Ordering::SeqCst);
            if left > 0 && left < u64::MAX / 2 { key().sign(message) } else { Ok([0; 64]) }
        }
    }
    let disk = begun();
    let signer = Arc::new(Wears(AtomicU64::new(5)));
    let options = PipelineOptions { signers: Some(2), ..PipelineOptions::new(options()) };
    let clock = HandClock::default();
    let pipeline = Pipeline::open(disk.clone(), signer, trust(), clock, options).unwrap();
    let submitter = pipeline.submitter();
    let mut good = 0;
    let error = loop {
        match submitter.submit(&payload(good)).and_then(Ticket::wait) {
            Ok(_) => good += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, Error::Stopped { cause, written: false, .. }
        if matches!(**cause, Error::Proof(carbon_ops_proof::Error::Signer { .. }))),
        "{error}"
    );
    assert!(pipeline.close().is_err());
    assert_eq!(good, 5);
    assert_eq!(report(&disk.file()).status, Status::Valid);
    assert_eq!(numbers(&disk.file()).len(), 5);
}

#[test]
fn closing_finishes_what_was_submitted_and_takes_no_more() {
    let disk = begun();
    let pipeline = open(&disk);
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = (0..500).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    let stored = pipeline.close().unwrap();
    assert_eq!(stored.entries, 500);
    assert!(tickets.iter().all(Ticket::is_answered));
    assert!(matches!(submitter.submit(&payload(500)), Err(Error::Closed { .. })));
    // Nothing was appended, so nothing is signed.
    let checkpoints = disk.content().beside;
    let stored = open(&disk).close().unwrap();
    assert_eq!((stored.entries, stored.batches, stored.checkpoints), (0, 0, 0));
    assert_eq!(disk.content().beside, checkpoints);
    // Dropping does the same, without a word.
    let dropped = open(&disk);
    let ticket = dropped.submitter().submit(&payload(500)).unwrap();
    drop(dropped);
    assert_eq!(ticket.wait().unwrap().seq, 501);
    assert_eq!(signed(&disk), Some(502));
}

#[test]
fn a_submitter_waits_when_too_much_of_its_own_is_under_way() {
    let disk = promising("group:50");
    let clock = Running(std::time::Instant::now());
    let limited = PipelineOptions { in_flight: 3, ..PipelineOptions::new(options()) };
    let pipeline = Pipeline::open(disk.clone(), Arc::new(key()), trust(), clock, limited).unwrap();
    let submitter = pipeline.submitter();
    let tickets: Vec<_> = (0..3).map(|n| submitter.submit(&payload(n)).unwrap()).collect();
    // A clone counts for itself.
    let other = submitter.clone().submit(&payload(3)).unwrap();
    let fourth = submitter.submit(&payload(4)).unwrap();
    assert!(tickets.iter().any(Ticket::is_answered), "the fourth did not wait for any of three");
    for ticket in tickets.into_iter().chain([other, fourth]) {
        ticket.wait().unwrap();
    }
    pipeline.close().unwrap();
    assert_eq!(numbers(&disk.file()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_living_pipeline_signs_checkpoints() {
    let disk = begun();
    let clock = HandClock::default();
    let pipeline = open_with(&disk, &clock);
    let submitter = pipeline.submitter();
    let write = |numbers: std::ops::Range<u32>| {
        let tickets: Vec<_> = numbers.map(|n| submitter.submit(&payload(n)).unwrap()).collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    };
    write(0..10);
    assert_eq!(signed(&disk), None);
    clock.advance(Duration::from_secs(1));
    write(10..11);
    // The second entry without one waits for its own second.
    let first = signed(&disk).unwrap();
    assert!((11..=12).contains(&first), "{first}");
    write(11..20);
    assert_eq!(signed(&disk), Some(first));
    // As many as make it due, but no time has passed since the last one.
    let many = u32::try_from(CHECKPOINT_EVERY).unwrap();
    write(20..20 + many);
    assert_eq!(signed(&disk), Some(first));
    clock.advance(Duration::from_millis(100));
    write(20 + many..21 + many);
    write(21 + many..22 + many);
    assert!(signed(&disk).unwrap() > u64::from(many));
    pipeline.close().unwrap();
    assert_eq!(signed(&disk), Some(u64::from(many) + 23));
}
