//! A ledger in a real directory: several writers, locks, permissions, and left-overs.

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::{Ledger, Repair, WriterOptions};
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::read;
use carbon_ops_proof::verify::{Status, verify};

use crate::support::{LATER, LEDGER_ID, NOW, key, lines, numbers, options, payload, report, trust};

#[test]
fn eight_writers_at_once_make_one_chain() {
    const WRITERS: u32 = 8;
    const EACH: u32 = 20;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/ledger");
    let key = key();
    Ledger::create(DirStorage::new(&dir), &key, LEDGER_ID, NOW, options()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (dir, key) = (&dir, &key);
            scope.spawn(move || {
                let storage = DirStorage::new(dir);
                let mut ledger =
                    Ledger::open_for_append(storage, key, &trust(), NOW, options()).unwrap();
                for i in 0..EACH {
                    ledger.append(payload(writer * EACH + i), NOW).unwrap();
                }
            });
        }
    });
    let file = File::open(dir.join("ledger.ndjson")).unwrap();
    let report = verify(BufReader::new(file), &trust(), &mut |_| Ok(())).unwrap();
    assert_eq!((report.status, report.entries), (Status::Valid, u64::from(WRITERS * EACH) + 1));
    let mut all = numbers(&fs::read(dir.join("ledger.ndjson")).unwrap());
    all.sort_unstable();
    assert_eq!(all, (0..WRITERS * EACH).collect::<Vec<_>>());
}

#[test]
fn only_one_of_many_creators_creates() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let created: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (dir, key) = (dir.path(), &key);
                scope.spawn(move || {
                    match Ledger::create(DirStorage::new(dir), key, [n; 16], NOW, options()) {
                        Ok(_) => 1,
                        Err(Error::LedgerExists { .. }) => 0,
                        Err(e) => panic!("{e}"),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(created, 1);
    assert_eq!(report(&fs::read(dir.path().join("ledger.ndjson")).unwrap()).status, Status::Valid);
}

#[test]
fn a_held_lock_is_named_after_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    Ledger::create(DirStorage::new(dir.path()), &key, LEDGER_ID, NOW, options()).unwrap();
    let held = File::open(dir.path().join("lock")).unwrap();
    held.lock().unwrap();
    let impatient = WriterOptions { patience: Duration::from_millis(20), ..options() };
    let storage = DirStorage::new(dir.path());
    let error =
        Ledger::open_for_append(storage, &key, &trust(), NOW, impatient.clone()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && !error.is_fatal());
    let message = error.to_string();
    assert!(message.contains("lock is locked by another process"), "{message}");
    drop(held);
    let storage = DirStorage::new(dir.path());
    assert!(Ledger::open_for_append(storage, &key, &trust(), NOW, impatient).is_ok());
}

#[test]
fn files_have_the_permissions_that_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let key = key();
    let storage = DirStorage::new(&dir);
    Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
    // Group and others may read at most: a umask may have taken that away.
    let mode = |name: &str| dir.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ledger.ndjson") & !0o044, 0o600);
    assert_eq!(mode("") & !0o055, 0o700);
    let mut names: Vec<_> = dir
        .read_dir()
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger.ndjson", "lock"]);
}

#[test]
fn nothing_is_made_where_there_is_no_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let error =
        Ledger::open_for_append(DirStorage::new(dir.path()), &key, &trust(), NOW, options());
    assert!(matches!(error, Err(Error::NoLedger { .. })));
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_torn_end_on_a_real_disk_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.ndjson");
    let key = key();
    let storage = DirStorage::new(dir.path());
    let mut ledger = Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
    ledger.append(payload(0), NOW).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"{\"kind\":\"te");
    fs::write(&path, &bytes).unwrap();
    // The writer that is open already meets it first, as it would after another's crash.
    let appended = ledger.append(payload(1), LATER).unwrap();
    let evidence = match &appended.repairs[..] {
        [Repair::SetAside { removed_bytes: 11, evidence }, Repair::Recorded { seq: 2, .. }] => {
            evidence
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(fs::read(dir.path().join(evidence)).unwrap(), b"{\"kind\":\"te");
    let report = report(&fs::read(&path).unwrap());
    assert_eq!((report.status, report.entries, report.recoveries), (Status::Valid, 4, 1));
    assert_eq!(appended.seq, 3);
}

#[test]
fn a_replaced_file_is_what_the_next_append_goes_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.ndjson");
    let key = key();
    let storage = DirStorage::new(dir.path());
    let mut ledger = Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
    ledger.append(payload(0), NOW).unwrap();
    // Restored from a copy, which is another file under the same name.
    fs::copy(&path, dir.path().join("copy")).unwrap();
    fs::rename(dir.path().join("copy"), &path).unwrap();
    ledger.append(payload(1), NOW).unwrap();
    assert_eq!(numbers(&fs::read(&path).unwrap()), [0, 1]);
}

#[test]
fn the_last_entries_are_read_from_the_end() {
    let file = crate::support::ledger_of(300, &key(), LEDGER_ID);
    let total = lines(&file).len();
    for count in [0, 1, 2, 150, 300, 301, 302, usize::MAX] {
        let shown: Vec<_> = read::last(std::io::Cursor::new(&file), count)
            .unwrap()
            .map(|line| line.unwrap().0)
            .collect();
        let first = total - count.min(total) + 1;
        assert_eq!(shown, (first..=total).map(|n| n as u64).collect::<Vec<_>>(), "{count}");
    }
    // A torn end is left out; a damaged line keeps its number, counted if need be.
    let torn = [&file[..], b"{\"torn"].concat();
    let mut last = read::last(std::io::Cursor::new(&torn), 1).unwrap();
    let (number, value) = last.next().unwrap().unwrap();
    assert_eq!(number, 301);
    assert_eq!(value.as_object().unwrap().get("n").unwrap().as_u64(), Some(299));
    assert!(last.next().is_none());
    let bad = [&file[..], b"rubbish\n"].concat();
    let message = match read::last(std::io::Cursor::new(&bad), 1).unwrap().next() {
        Some(Err(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(message.starts_with("line 302: "), "{message}");
}
