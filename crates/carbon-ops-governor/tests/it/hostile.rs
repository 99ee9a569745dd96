//! Clients that mean harm, or are broken: they cost a bounded amount, and neither the sampler nor a
//! good client notices them.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::as_user::{NOBODY, as_user};
use crate::governor::{Governor, Line, Place, number};
use carbon_ops_testkit::simulator::{Simulator, USUAL};

/// Anybody may connect.
const OPEN: [&str; 2] = ["--socket-group=65534", "--socket-mode=666"];

/// A user that means no harm.
const GOOD: u32 = NOBODY - 1;

/// Long for an answer that takes 100 µs; this machine may be busy.
const IN_TIME: Duration = Duration::from_secs(1);

const SUBSCRIBE: &[u8] = b"{\"request\":\"subscribe\",\"interval_ms\":100}\n";

/// Counts the periods of 100 ms in which a process that does nothing else is not woken.
fn missed_by_a_sleeper(stop: &AtomicBool) -> u64 {
    let period = Duration::from_millis(100);
    let (mut next, mut missed) = (Instant::now() + period, 0);
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        while next + period <= Instant::now() {
            (next, missed) = (next + period, missed + 1);
        }
        next += period;
    }
    missed
}

/// Asks again and again, each time on a new connection; the longest wait.
fn good_client(governor: &Governor<'_>, stop: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        assert_eq!(governor.snapshot()["status"], "ok");
        longest = longest.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    longest
}

/// A thousand connections of all kinds, of which none ever reads.
fn attack(governor: &Governor<'_>) -> Vec<Line> {
    let huge = vec![b'x'; 1 << 16];
    let mut held = Vec::new();
    for number in 0..1000 {
        let mut line = governor.line();
        match number % 8 {
            0 => {}
            1 | 2 => drop(line.send(SUBSCRIBE)),
            3 => {
                // As many answers as fit nowhere.
                line.stream().set_write_timeout(Some(Duration::from_millis(5))).unwrap();
                let _ = line.send("{}\n".repeat(300).as_bytes());
            }
            4 => drop(line.send(b"\x00\xff{{{{\n\n\n")),
            5 => drop(line.stream().shutdown(Shutdown::Write)),
            6 => drop(line.send(b"{\"requ")),
            _ => continue,
        }
        held.push(line);
    }
    // 64 MiB without a newline.
    let mut line = governor.line();
    assert!((0..1024).any(|_| line.send(&huge).is_err()), "it took 64 MiB");
    held
}

/// A byte every 20 ms is slower than a request may be.
fn trickle(governor: &Governor<'_>, stop: &AtomicBool) {
    let mut line = governor.line();
    while !stop.load(Ordering::Relaxed) {
        if line.stream().write_all(b" ").is_err() {
            line = governor.line();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn anonymous_kib(governor: &Governor<'_>) -> u64 {
    governor.status("RssAnon").trim_end_matches(" kB").parse().unwrap()
}

fn descriptors(governor: &Governor<'_>) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", governor.child.id())).unwrap().count()
}

#[test]
fn a_thousand_bad_clients_cost_no_sample_no_memory_and_no_good_client() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let governor = place.start(&[&[powercap.as_str()], &OPEN[..]].concat());
    // What the first of everything takes.
    as_user(NOBODY, || drop(attack(&governor)));
    let (before, missed) = (anonymous_kib(&governor), number(&governor.snapshot()["missed"]));
    let stop = AtomicBool::new(false);
    let (mut most, mut open) = (0, 0);
    let (sleeper, waits) = std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| missed_by_a_sleeper(&stop));
        let good = [0, GOOD].map(|uid| {
            let (governor, stop) = (&governor, &stop);
            scope.spawn(move || as_user(uid, || good_client(governor, stop)))
        });
        scope.spawn(|| as_user(NOBODY, || trickle(&governor, &stop)));
        let begun = Instant::now();
        let mut held = Vec::new();
        // Longer than the patience for one that does not read.
        while begun.elapsed() < Duration::from_secs(7) {
            held = as_user(NOBODY, || attack(&governor));
            most = most.max(anonymous_kib(&governor));
            open = open.max(descriptors(&governor));
            std::thread::sleep(Duration::from_millis(500));
        }
        drop(held);
        stop.store(true, Ordering::Relaxed);
        (sleeper.join().unwrap(), good.map(|client| client.join().unwrap()))
    });
    assert!(waits.iter().all(|wait| *wait < IN_TIME), "{waits:?}");
    let late = number(&governor.snapshot()["missed"]) - missed;
    assert!(late == 0 || sleeper > 0, "{late} samples missed: {:#}", governor.health());
    assert!(most <= before + 256, "{before} KiB and then {most}");
    // All clients, and the dozen that it has itself.
    assert!(open <= 256 + 16, "{open} descriptors");
    governor.until("free of clients", |_| number(&governor.health()["clients"]["now"]) <= 2);
}

/// A level that epoll reports and nobody clears would keep the server's thread busy.
#[test]
fn clients_that_linger_half_dead_use_no_time() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let governor = place.start(&[&simulator.powercap(), "--poll-interval=1s"]);
    let slow: &[u8] = b"{\"request\":\"subscribe\",\"interval_ms\":50000}\n";
    let subscribed = || {
        let mut line = governor.line();
        line.send(slow).unwrap();
        line.receive().unwrap();
        line
    };
    let idle = |what: &str| {
        let before = governor.cpu_time();
        std::thread::sleep(Duration::from_secs(1));
        let used = governor.cpu_time().saturating_sub(before);
        assert!(used < Duration::from_millis(100), "{what}: {used:?} of CPU time in a second");
    };
    let half = subscribed();
    half.stream().shutdown(Shutdown::Write).unwrap();
    idle("done with writing");
    let deaf = subscribed();
    deaf.stream().shutdown(Shutdown::Read).unwrap();
    idle("done with reading");
    let both = subscribed();
    both.stream().shutdown(Shutdown::Both).unwrap();
    idle("done with both");
    drop(subscribed());
    idle("gone");
    drop((half, deaf, both));
    idle("all gone");
    assert_eq!(governor.health()["clients"]["now"], 1, "{:#}", governor.health());
}

#[test]
fn a_governor_without_descriptors_waits_for_some() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let by = ["sh", "-c", "ulimit -n 48; exec \"$0\" \"$@\""];
    let governor = place.started(&mut place.wrapped(&by, &[&simulator.powercap()]));
    let lines: Vec<Line> = (0..60).map(|_| governor.line()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let before = governor.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = governor.cpu_time().saturating_sub(before);
    assert!(used < Duration::from_millis(200), "{used:?} of CPU time in a second");
    drop(lines);
    assert_eq!(governor.snapshot()["status"], "ok");
}
