//! Errors at every call to the disk, one at a time and from then on: what was acknowledged stays,
//! nothing is acknowledged after a fatal error, and the next process and the next boot find a ledger.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use carbon_ops_ledger::Error;
use carbon_ops_ledger::append::Ledger;
use carbon_ops_ledger::files::Files;
use carbon_ops_ledger::storage::DirStorage;
use carbon_ops_proof::verify::Status;

use crate::batches::{Played, Script, play};
use crate::power::{Beginning, Explorer, Random, Session, beginning, good_lines, images, logical};
use crate::simulated::{Disk, Effect, Fault, Lasting, SimulatedFiles};
use crate::support::{LATER, LEDGER_ID, MemoryDisk, NOW, key, ledger_of, options, report, trust};

const KINDS: [ErrorKind; 3] = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::Interrupted];

/// What an error may be called; anything else is a mistake of ours.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Io { .. } | Error::NotStored { .. } | Error::Fatal { .. } | Error::Poisoned { .. }
    )
}

/// Works on an open ledger while things fail; how many errors there were.
fn work<F: Files>(
    session: &Session,
    ledger: &mut Ledger<'_, DirStorage<F>>,
    fault: Option<Fault>,
) -> u32 {
    let (mut errors, mut dead) = (0, false);
    let mut note = |result: Result<(), Error>| match result {
        Ok(()) => assert!(!dead, "{fault:?}: something was done after a fatal error"),
        Err(error) => {
            assert!(is_expected(&error), "{fault:?}: {error}");
            errors += 1;
            dead |= error.is_fatal();
        }
    };
    for turn in 0..2 {
        let n = session.found();
        let refused = session.append(ledger, n, 900);
        let unchanged = refused.as_ref().is_err_and(|error| !error.is_fatal());
        assert!(!unchanged || session.found() == n, "{fault:?}: what was refused is there");
        note(refused);
        note(ledger.checkpoint(LATER).map(drop));
        if turn == 0 {
            note(ledger.seal(0, LATER).map(drop));
        }
    }
    errors
}

/// One error at one call, and everything that may come after it; whether the call was reached.
fn inject(from: &Beginning, fault: Fault, explorer: &mut Explorer, random: &mut Random) -> bool {
    let world = Arc::new(Mutex::new(from.world.clone()));
    let session = Session::on(SimulatedFiles::on(Disk::holding(&from.image)), world);
    session.files.fail(fault);
    match session.open() {
        Ok(mut ledger) => drop(work(&session, &mut ledger, Some(fault))),
        Err(error) => assert!(is_expected(&error), "{fault:?}: {error}"),
    }
    let reached = session.files.calls() > fault.call;
    let mut after = |session: &Session| {
        let good = good_lines(&session.files.seen());
        for image in images(&session.files.disk(), 3, random) {
            if explorer.is_new(&image, &session.world()) {
                explorer.check(&image, &session.world(), &good);
            }
        }
    };
    after(&session);
    if fault.lasting == Lasting::Once {
        // The next process of the same boot, which sees what the kernel holds.
        session.files.next_process();
        let mut ledger = session.open().unwrap();
        assert_eq!(work(&session, &mut ledger, None), 0, "{fault:?}");
        after(&session);
    }
    reached
}

#[test]
fn an_error_at_any_call_loses_nothing_that_was_acknowledged() {
    let (mut explorer, mut random) = (Explorer::default(), Random(3));
    let whole = beginning(2);
    let mut torn = whole.clone();
    let ledger = torn.image.get_mut("ledger.ndjson").unwrap().as_mut().unwrap();
    ledger.extend(b"{\"kind\":\"te");
    let mut calls = 0;
    let effects = [Effect::None, Effect::Whole, Effect::Short];
    // Each call fails in each way while the ledger is whole; else the ways take turns.
    let runs =
        [(&whole, Lasting::Once, 3), (&torn, Lasting::Once, 1), (&whole, Lasting::Changes, 1)];
    for (from, lasting, passes) in runs {
        for pass in 0..passes {
            for call in 0.. {
                let effect = effects[(call + pass) % effects.len()];
                // What was interrupted has not happened (signal(7)), and is tried again: not for ever.
                let once = effect == Effect::None && lasting == Lasting::Once;
                let kinds = if once { 3 } else { 2 };
                let kind = KINDS[call % kinds];
                let fault = Fault { call, kind, effect, lasting };
                if !inject(from, fault, &mut explorer, &mut random) {
                    break;
                }
                calls += 1;
            }
        }
    }
    assert!(calls > 500, "{calls} calls failed");
}

/// What a pipeline answers when something failed: it is stopped, and says so.
fn check_stopped(session: &Session, played: &Played, fault: Fault) {
    if let Err(error) = &played.end {
        let cause = if let Error::Ended { cause, .. } = error { cause } else { error };
        assert!(is_expected(cause), "{fault:?}: {error}");
    }
    for (n, error) in &played.refused {
        // It has the same cause as the end; and what was certainly not written is not there.
        let Error::Stopped { written, .. } = error else { panic!("{fault:?}: {error}") };
        assert!(played.end.is_err(), "{fault:?}: {n} was refused and the pipeline went on");
        assert!(*written || session.found() <= *n, "{fault:?}: what was refused is there");
    }
    let world = session.world();
    let first = played.refused.first().map_or(world.submitted, |(n, _)| *n);
    assert!(world.acknowledged <= first, "{fault:?}: {world:?}");
}

/// One error at one call of a pipeline, a crash, or the next process and then a crash; whether the
/// call was reached, and whether the pipeline stopped.
fn inject_pipeline(
    from: &Beginning,
    script: &Script,
    fault: Fault,
    explorer: &mut Explorer,
    random: &mut Random,
) -> (bool, bool) {
    let world = Arc::new(Mutex::new(from.world.clone()));
    let session = Session::on(SimulatedFiles::on(Disk::holding(&from.image)), world);
    session.files.fail(fault);
    let played = play(&session, script);
    check_stopped(&session, &played, fault);
    let reached = session.files.calls() > fault.call;
    let mut after = |session: &Session| {
        let good = good_lines(&session.files.seen());
        for image in images(&session.files.disk(), 3, random) {
            if explorer.is_new(&image, &session.world()) {
                explorer.check(&image, &session.world(), &good);
            }
        }
    };
    after(&session);
    if fault.lasting == Lasting::Once {
        session.files.next_process();
        let next = play(&session, script);
        assert!(next.end.is_ok() && next.refused.is_empty(), "{fault:?}: {next:?}");
        after(&session);
    }
    (reached, played.end.is_err())
}

#[test]
fn an_error_at_any_call_of_a_pipeline_stops_it_and_loses_nothing_that_was_acknowledged() {
    let (mut explorer, mut random) = (Explorer::default(), Random(5));
    let whole = beginning(2);
    let mut torn = whole.clone();
    let ledger = torn.image.get_mut("ledger.ndjson").unwrap().as_mut().unwrap();
    ledger.extend(b"{\"kind\":\"te");
    // Batches, a checkpoint between them and one at the end, and sealed segments.
    let script = Script::of(&[&[8, 200, 90], &[400, 8], &[8, 8, 300]], 2500);
    let (mut calls, mut stops) = (0, 0);
    let effects = [Effect::None, Effect::Whole, Effect::Short];
    let runs =
        [(&whole, Lasting::Once, 3), (&torn, Lasting::Once, 1), (&whole, Lasting::Changes, 1)];
    for (from, lasting, passes) in runs {
        for pass in 0..passes {
            for call in 0.. {
                let effect = effects[(call + pass) % effects.len()];
                // What was interrupted has not happened (signal(7)).
                let kinds = if effect == Effect::None { 3 } else { 2 };
                let fault = Fault { call, kind: KINDS[call % kinds], effect, lasting };
                let (reached, stopped) =
                    inject_pipeline(from, &script, fault, &mut explorer, &mut random);
                stops += u32::from(stopped);
                if !reached {
                    break;
                }
                calls += 1;
            }
        }
    }
    // Some are nothing to stop for: a write that says how short it was, a notice that is only a hint.
    assert!(calls > 500 && stops * 2 > calls, "{calls} calls failed, {stops} pipelines stopped");
}

/// The trap of fsync(2): the error is reported once, the next sync succeeds, and what was not written
/// is seen until the machine is switched off.
#[test]
fn what_a_failed_sync_left_in_the_kernel_is_written_again_before_it_is_built_on() {
    let from = beginning(2);
    let mut doubted = BTreeSet::new();
    for call in 0..80 {
        let session = Session::on(
            SimulatedFiles::on(Disk::holding(&from.image)),
            Arc::new(Mutex::new(from.world.clone())),
        );
        let mut ledger = session.open().unwrap();
        let (kind, effect, lasting) = (ErrorKind::Other, Effect::None, Lasting::Once);
        session.files.fail(Fault { call, kind, effect, lasting });
        let failed = session.append(&mut ledger, 2, 900);
        if !matches!(failed, Err(Error::Fatal { action: "sync", .. })) {
            continue;
        }
        // It is seen, and not there.
        assert_eq!(session.found(), 3);
        let lost = session.files.disk().after_crash(&mut |possibilities| possibilities - 1);
        assert_ne!(logical(&lost), logical(&session.files.seen()));
        assert_eq!(session.files.seen()["lock"].as_ref().unwrap().len(), 1);
        doubted.insert(call);
        session.files.next_process();
        let mut next = session.open().unwrap();
        assert_eq!(session.files.seen()["lock"].as_ref().unwrap().len(), 0);
        session.append(&mut next, 3, 8).unwrap();
        let oldest = session.files.disk().after_crash(&mut |_| 0);
        assert_eq!(logical(&oldest), logical(&session.files.seen()), "all of it is on the disk");
    }
    assert_eq!(doubted.len(), 1, "one call of an append is the sync of its line");
}

#[test]
fn a_writer_whose_sync_failed_once_stays_closed_although_the_next_would_succeed() {
    let from = beginning(1);
    let session = Session::on(
        SimulatedFiles::on(Disk::holding(&from.image)),
        Arc::new(Mutex::new(from.world.clone())),
    );
    let mut ledger = session.open().unwrap();
    for call in 0.. {
        let (kind, lasting) = (ErrorKind::Other, Lasting::Once);
        session.files.fail(Fault { call, kind, effect: Effect::None, lasting });
        let n = session.found();
        if session.append(&mut ledger, n, 8).is_err_and(|error| error.is_fatal()) {
            break;
        }
    }
    session.files.next_process();
    for _ in 0..3 {
        let n = session.found();
        assert!(matches!(session.append(&mut ledger, n, 8), Err(Error::Poisoned { .. })));
        assert!(matches!(ledger.checkpoint(LATER), Err(Error::Poisoned { .. })));
        assert!(matches!(ledger.seal(0, LATER), Err(Error::Poisoned { .. })));
    }
}

#[test]
fn a_clock_that_goes_backwards_changes_times_and_nothing_else() {
    let key = key();
    let mut torn = ledger_of(2, &key, LEDGER_ID);
    torn.extend(b"{\"torn");
    let disk = MemoryDisk::of_file(&torn);
    let long_ago = jiff::Timestamp::UNIX_EPOCH;
    let mut ledger =
        Ledger::open_for_append(disk.clone(), &key, &trust(), long_ago, options()).unwrap();
    for now in [NOW, long_ago, LATER, long_ago] {
        ledger.append(crate::support::payload(2), now).unwrap();
        ledger.checkpoint(now).unwrap();
    }
    let report = report(&disk.file());
    assert_eq!((report.status, report.entries, report.recoveries), (Status::Valid, 8, 1));
}
