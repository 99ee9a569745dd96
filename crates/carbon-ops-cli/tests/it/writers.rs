//! Many writers on one ledger, killed and stopped at random: no acknowledged record is lost, every
//! writer's records are in its order, and no two checkpoints contradict each other.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carbon_ops_ledger::files::{Files as _, RealFiles};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::Home;
use crate::writer::{Random, World, check, create, opened, payload, start};

const WRITERS: usize = 32;
const LASTS: Duration = Duration::from_secs(20);
const SEED: u64 = 20_261_124;

fn signal(child: &Child, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
}

#[test]
fn writers_that_are_killed_and_stopped_at_random_lose_nothing() {
    let home = Home::new();
    let dir = home.work("ledger");
    create(&dir);
    let (world, mut random) = (World::default(), Random(SEED));
    let mut number = 0;
    let mut begin = |random: &mut Random| {
        number += 1;
        start(&dir, number, u32::try_from(random.below(1 << 31)).unwrap(), &world)
    };
    let mut writers: Vec<(Child, bool)> =
        (0..WRITERS).map(|_| (begin(&mut random), false)).collect();
    let (began, mut kills, mut stops) = (Instant::now(), 0, 0);
    while began.elapsed() < LASTS {
        std::thread::sleep(Duration::from_millis(10 + random.below(30)));
        let at = usize::try_from(random.below(WRITERS as u64)).unwrap();
        let (writer, stopped) = &mut writers[at];
        match random.below(4) {
            // Whoever is stopped may hold the lock, so not for long.
            0 | 1 if !*stopped => {
                signal(writer, Signal::SIGSTOP);
                (*stopped, stops) = (true, stops + 1);
            }
            2 => {
                signal(writer, Signal::SIGKILL);
                writer.wait().unwrap();
                kills += 1;
                writers[at] = (begin(&mut random), false);
            }
            _ => {
                for (writer, stopped) in &mut writers {
                    signal(writer, Signal::SIGCONT);
                    *stopped = false;
                }
            }
        }
    }
    for (writer, _) in &mut writers {
        signal(writer, Signal::SIGKILL);
        writer.wait().unwrap();
    }
    // The threads that listen end with the pipes.
    while Arc::strong_count(&world) > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = world.lock().unwrap();
    let lines = check(&dir, &told);
    assert_eq!(told.stopped, [""; 0], "no writer met an error");
    let acknowledged: u32 = told.acknowledged.values().sum();
    crate::skip::say(&format!(
        "{number} writers, {kills} kills, {stops} stops: {acknowledged} acknowledged records of {lines} \
         lines, {} checkpoints heard of",
        told.signed.len()
    ));
    assert!(kills > 50 && acknowledged > 100, "{kills} kills, {acknowledged} acknowledged");
}

#[test]
fn a_lock_that_a_child_inherited_is_given_back_by_the_writer() {
    let home = Home::new();
    let files = RealFiles::new(home.path("work"));
    let lock = files.lock("lock", Duration::ZERO).unwrap().unwrap();
    // What a fork makes: another descriptor of the same open file.
    let inherited = lock.try_clone().unwrap();
    assert!(files.lock("lock", Duration::ZERO).unwrap().is_none());
    files.unlock(lock);
    assert!(files.lock("lock", Duration::ZERO).unwrap().is_some());
    drop(inherited);
}

#[test]
fn a_lock_file_that_a_dead_writer_left_locks_nobody_out() {
    let home = Home::new();
    let dir = home.work("ledger");
    create(&dir);
    for content in ["", "x", "4711\n"] {
        std::fs::write(dir.join("lock"), content).unwrap();
        opened(&dir, |ledger| ledger.append(payload(0, 0), "2026-11-24T09:00:00.000000Z")).unwrap();
        assert_eq!(dir.join("lock").metadata().unwrap().len(), 0, "nothing is in doubt any more");
    }
}
