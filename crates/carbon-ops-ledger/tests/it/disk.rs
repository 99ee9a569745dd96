//! A ledger in a real directory: several writers, locks, permissions, and left-overs.

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::{Ledger, Repair, WriterOptions};
use carbon_ops_ledger::segment::LedgerReader;
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::read;
use carbon_ops_proof::verify::{Status, verify};

use crate::support::{LATER, LEDGER_ID, NOW, key, lines, numbers, options, payload, report, trust};
use nix::fcntl::{Flock, FlockArg};

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
    let held =
        Flock::lock(File::open(dir.path().join("lock")).unwrap(), FlockArg::LockExclusive).unwrap();
    let impatient = WriterOptions { patience: Duration::from_millis(20), ..options() };
    let storage = DirStorage::new(dir.path());
    let error =
        Ledger::open_for_append(storage, &key, &trust(), NOW, impatient.clone()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && !error.is_fatal());
    let message = error.to_string();
    // By `/proc/locks`, where the system has that.
    let holder = format!("lock is locked by the process {} (", std::process::id());
    assert!(message.contains(&holder) || message.contains("another process"), "{message}");
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
    // Whoever can open a lock can hold it.
    assert_eq!((mode("lock"), mode("lock.queue")), (0o600, 0o600));
    let mut names: Vec<_> = dir
        .read_dir()
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger.ndjson", "lock", "lock.queue"]);
}

/// Whatever another user may put in the place of a file: it is not followed, not waited for and not written
/// to, and what it leads to stays as it is.
#[test]
fn what_is_no_regular_file_of_the_ledgers_own_is_left_alone() {
    const NAMES: [&str; 12] = [
        "lock",
        "lock.queue",
        "ledger.ndjson",
        "checkpoint",
        ".checkpoint.tmp",
        "checkpoints.log",
        "signer.state",
        ".signer.state.tmp",
        "roster.state",
        ".roster.state.tmp",
        "tile",
        "tile/0/.000.p",
    ];
    let key = key();
    for name in NAMES {
        for kind in ["symbolic link", "hard link", "pipe", "directory"] {
            let dir = tempfile::tempdir().unwrap();
            let (ledger, victim) = (dir.path().join("ledger"), dir.path().join("victim"));
            let storage = || DirStorage::new(&ledger);
            let mut writer = Ledger::create(storage(), &key, LEDGER_ID, NOW, options()).unwrap();
            writer.append(payload(0), NOW).unwrap();
            writer.checkpoint(NOW).unwrap();
            fs::write(&victim, "of somebody else").unwrap();
            let at = ledger.join(name);
            let kept = fs::read(&at).ok();
            if at.is_dir() {
                fs::remove_dir_all(&at).unwrap();
            } else if kept.is_some() {
                fs::remove_file(&at).unwrap();
            }
            match kind {
                "symbolic link" => std::os::unix::fs::symlink(&victim, &at).unwrap(),
                "hard link" => fs::hard_link(&victim, &at).unwrap(),
                "pipe" => nix::unistd::mkfifo(&at, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                _ => fs::create_dir(&at).unwrap(),
            }
            let mut again = Ledger::open_for_append(storage(), &key, &trust(), NOW, options());
            if let Ok(writer) = &mut again {
                let appended = writer.append(payload(1), NOW);
                let signed = writer.checkpoint(NOW);
                assert!(appended.is_ok() || signed.is_err(), "{name} as a {kind}");
            }
            let opened = LedgerReader::open(&ledger);
            assert_eq!(fs::read(&victim).unwrap(), b"of somebody else", "{name} as a {kind}");
            if name == "ledger.ndjson" {
                assert!(again.is_err(), "{kind}");
                assert_eq!(opened.is_ok(), kind == "hard link", "{kind}");
            }
        }
    }
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_folder() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if !carbon_ops_testkit::skip::root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    let (ledger, key) = (dir.path().join("home/ledger"), key());
    let storage = DirStorage::new(&ledger);
    let mut writer = Ledger::create(storage, &key, LEDGER_ID, NOW, options()).unwrap();
    writer.append(payload(0), NOW).unwrap();
    writer.checkpoint(NOW).unwrap();
    writer.seal(0, NOW).unwrap();
    let mut folders = vec![dir.path().join("home")];
    while let Some(folder) = folders.pop() {
        for item in folder.read_dir().unwrap().map(|item| item.unwrap().path()) {
            assert_eq!(item.metadata().unwrap().uid(), 65_534, "{}", item.display());
            folders.extend(item.is_dir().then_some(item));
        }
    }
    // What a third user put there is not written to.
    chown(ledger.join("checkpoints.log"), Some(12_345), None).unwrap();
    writer.append(payload(1), NOW).unwrap();
    let not_logged = writer.checkpoint(NOW).unwrap().not_logged.unwrap();
    assert!(not_logged.to_string().contains("belongs to another user"), "{not_logged}");
}

#[test]
fn no_other_ledger_is_begun_where_the_lines_of_one_are_gone() {
    let key = key();
    let left = ["checkpoint", "checkpoints.log", "signer.state", "roster.state", "ledger.ndjson.1"];
    for name in left {
        let dir = tempfile::tempdir().unwrap();
        let create = || Ledger::create(DirStorage::new(dir.path()), &key, [7; 16], NOW, options());
        let mut writer = create().unwrap();
        writer.append(payload(0), NOW).unwrap();
        writer.checkpoint(NOW).unwrap();
        drop(writer);
        let lines = dir.path().join("ledger.ndjson");
        let copy = fs::read(&lines).unwrap();
        fs::rename(&lines, dir.path().join("ledger.ndjson.1")).unwrap();
        for other in left.iter().filter(|other| **other != name) {
            fs::remove_file(dir.path().join(other)).unwrap();
        }
        let error = create().unwrap_err();
        assert!(matches!(&error, Error::LinesGone { left, .. } if left == &[name]), "{error}");
        let error = LedgerReader::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        fs::write(&lines, copy).unwrap();
        assert!(
            Ledger::open_for_append(DirStorage::new(dir.path()), &key, &trust(), NOW, options())
                .is_ok()
        );
    }
    // Folders and files of others tell of no ledger.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tile")).unwrap();
    fs::write(dir.path().join("notes.txt"), "").unwrap();
    assert!(Ledger::create(DirStorage::new(dir.path()), &key, [7; 16], NOW, options()).is_ok());
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
