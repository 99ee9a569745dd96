//! A failing disk: every call of the storage fails once, having happened or not, and the process
//! dies there or goes on. What was acknowledged is never lost, and nothing is ever in doubt.

use std::collections::BTreeSet;

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::Ledger;
use carbon_ops_proof::verify::Status;

use crate::support::{
    ALL_UNSYNCED, Content, Failure, Happens, LATER, LEDGER_ID, MemoryDisk, NOW, key, ledger_of,
    numbers, options, payload, report, trust,
};

const ALL_HAPPENS: [Happens; 5] = [
    Happens::Nothing,
    Happens::Everything,
    Happens::Quarters(1),
    Happens::Quarters(2),
    Happens::Quarters(3),
];

/// A disk and what its user knows: how many records were submitted, and which acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    content: Content,
    submitted: u32,
    acknowledged: Vec<u32>,
}

/// Opens the ledger and submits two records, until the disk fails.
fn work(disk: &MemoryDisk, world: &mut World) {
    let key = key();
    let Ok(mut ledger) = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options())
    else {
        return;
    };
    for _ in 0..2 {
        let n = world.submitted;
        world.submitted += 1;
        match ledger.append(payload(n), LATER) {
            Ok(_) => world.acknowledged.push(n),
            Err(_) => return,
        }
    }
}

/// What must hold for any disk that a crash can leave: it opens, takes a record, verifies, holds
/// every acknowledged record once and in order, and every recovery's evidence is there.
fn check(world: &World, how: &str) {
    let disk = MemoryDisk::holding(world.content.clone());
    let key = key();
    let mut ledger = Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options())
        .unwrap_or_else(|e| panic!("{how}: {e}\n{world:?}"));
    ledger.append(payload(world.submitted), LATER).unwrap();
    let file = disk.file();
    let report = report(&file);
    assert_eq!(report.status, Status::Valid, "{how}: {report:?}");
    let found = numbers(&file);
    assert!(found.is_sorted_by(|a, b| a < b), "{how}: {found:?}");
    assert!(found.iter().all(|n| *n <= world.submitted), "{how}: {found:?}");
    let mut expected = world.acknowledged.clone();
    expected.push(world.submitted);
    assert!(expected.iter().all(|n| found.contains(n)), "{how}: {found:?} {expected:?}");
    let evidence = disk.content().evidence;
    assert_eq!(report.recoveries, evidence.len() as u64, "{how}: a record for each evidence");
    for name in evidence.keys() {
        assert!(String::from_utf8_lossy(&file).contains(name.as_str()), "{how}: {name}");
    }
}

/// Every world that one more crash can lead to.
fn crashes(world: &World) -> BTreeSet<World> {
    let mut reached = BTreeSet::new();
    for call in 0.. {
        // How much of an unsynced write survives is what `after_power_loss` varies.
        for happens in [Happens::Nothing, Happens::Everything, Happens::Quarters(2)] {
            let disk = MemoryDisk::holding(world.content.clone());
            disk.fail(Failure { call, happens, dies: true });
            let mut after = world.clone();
            work(&disk, &mut after);
            for unsynced in ALL_UNSYNCED {
                after.content = disk.after_power_loss(unsynced);
                reached.insert(after.clone());
            }
            if disk.calls() <= call {
                // The work was done before the failure came.
                return reached;
            }
        }
    }
    reached
}

#[test]
fn three_crashes_in_a_row_lose_nothing_that_was_acknowledged() {
    let file = ledger_of(1, &key(), LEDGER_ID);
    let content = Content { file: Some(file), ..Content::default() };
    let start = World { content, submitted: 1, acknowledged: vec![0] };
    let mut seen = BTreeSet::from([start.clone()]);
    let mut frontier = vec![start];
    // The first two levels completely; of the third, crashes during the recovery from the second
    // are what is new, and a sample of them has to do.
    for (depth, sample) in [(1, 1), (2, 1), (3, 97)] {
        let mut next = Vec::new();
        for world in frontier.iter().step_by(sample) {
            for reached in crashes(world) {
                if seen.insert(reached.clone()) {
                    check(&reached, &format!("after {depth} crashes"));
                    next.push(reached);
                }
            }
        }
        frontier = next;
    }
    assert!(seen.len() > 300, "only {} disks were reached", seen.len());
}

#[test]
fn a_failure_that_does_not_kill_is_reported_for_what_it_is() {
    let file = ledger_of(1, &key(), LEDGER_ID);
    let (mut fatal, mut not_stored) = (0, 0);
    for happens in ALL_HAPPENS {
        for call in 0.. {
            let (disk, key) = (MemoryDisk::of_file(&file), key());
            let mut ledger =
                Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
            disk.fail(Failure { call, happens, dies: false });
            let mut world = World { content: disk.content(), submitted: 1, acknowledged: vec![0] };
            let mut dead = false;
            let mut refused = Vec::new();
            for n in 1..4 {
                world.submitted += 1;
                match ledger.append(payload(n), LATER) {
                    Ok(_) => {
                        assert!(!dead, "a poisoned writer acknowledged");
                        world.acknowledged.push(n);
                    }
                    Err(Error::Poisoned { .. }) => assert!(dead),
                    Err(error) => {
                        dead = error.is_fatal();
                        fatal += u32::from(dead);
                        not_stored += u32::from(matches!(error, Error::NotStored { .. }));
                        if !dead {
                            refused.push(n);
                        }
                    }
                }
            }
            // What was refused without doubt is not there.
            assert!(!numbers(&disk.file()).iter().any(|n| refused.contains(n)));
            for unsynced in ALL_UNSYNCED {
                world.content = disk.after_power_loss(unsynced);
                check(&world, &format!("call {call}, {happens:?}"));
            }
            if disk.calls() <= call {
                break;
            }
        }
    }
    assert!(fatal > 0 && not_stored > 0);
}

#[test]
fn a_write_that_cannot_be_undone_is_fatal() {
    // Both the write and the truncation after it fail: the calls are lock, len, read, list,
    // append, truncate.
    let (disk, key) = (MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID)), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    disk.fail(Failure { call: 4, happens: Happens::Quarters(2), dies: true });
    let error = ledger.append(payload(1), LATER).unwrap_err();
    assert!(matches!(error, Error::Fatal { .. }) && error.is_fatal(), "{error}");
    assert!(matches!(ledger.append(payload(2), LATER), Err(Error::Poisoned { .. })));
    assert!(matches!(ledger.check_writable(LATER), Err(Error::Poisoned { .. })));
}

#[test]
fn a_full_disk_leaves_the_ledger_as_it_was() {
    let (disk, key) = (MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID)), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    let before = disk.content();
    for quarters in [0, 1, 3] {
        disk.fail(Failure { call: 4, happens: Happens::Quarters(quarters), dies: false });
        let error = ledger.append(payload(1), LATER).unwrap_err();
        assert!(matches!(error, Error::NotStored { .. }) && !error.is_fatal(), "{error}");
        assert_eq!(disk.content(), before);
    }
    // There is room again.
    assert_eq!(ledger.append(payload(1), LATER).unwrap().seq, 2);
    assert_eq!(report(&disk.file()).status, Status::Valid);
}

#[test]
fn a_sync_that_failed_is_not_tried_again() {
    let (disk, key) = (MemoryDisk::of_file(&ledger_of(1, &key(), LEDGER_ID)), key());
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), LATER, options()).unwrap();
    disk.fail(Failure { call: 5, happens: Happens::Nothing, dies: false });
    let error = ledger.append(payload(1), LATER).unwrap_err();
    assert!(matches!(error, Error::Fatal { action: "sync", .. }), "{error}");
    assert_eq!(disk.calls(), 6, "no call after the failed sync");
    assert!(matches!(ledger.append(payload(2), LATER), Err(Error::Poisoned { .. })));
    assert_eq!(disk.calls(), 6);
}

#[test]
fn a_crash_while_creating_leaves_a_ledger_or_none() {
    for happens in ALL_HAPPENS {
        for call in 0..4 {
            let (disk, key) = (MemoryDisk::default(), key());
            disk.fail(Failure { call, happens, dies: true });
            let _ = Ledger::create(disk.clone(), &key, LEDGER_ID, NOW, options());
            let after = MemoryDisk::holding(disk.content());
            match Ledger::create(after.clone(), &key, LEDGER_ID, NOW, options()) {
                Ok(_) => {}
                Err(Error::LedgerExists { .. }) => assert!(call >= 2),
                Err(e) => panic!("{e}"),
            }
            assert_eq!(report(&after.file()).status, Status::Valid);
        }
    }
}
