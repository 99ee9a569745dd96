//! Under a service manager: readiness, watchdog, socket activation, reload and stop.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::governor::{BINARY, Line, Place, number};
use carbon_ops_testkit::simulator::{Simulator, USUAL};

/// What a service manager hears, with the time of each.
struct Ear(UnixDatagram);

impl Ear {
    fn new(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim().to_owned()
    }

    /// What comes within this time.
    fn listen(&self, time: Duration) -> Vec<(Instant, String)> {
        let end = Instant::now() + time;
        let mut heard = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
            self.0.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 256];
            if let Ok(length) = self.0.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
                heard.push((Instant::now(), text));
            }
        }
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        heard
    }
}

#[test]
fn a_service_manager_hears_of_readiness_life_and_end() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let ear = Ear::new(&place);
    // The sampler's period is the watchdog's half, so that the two run against each other.
    let mut command = place.command(&[&simulator.powercap(), "--poll-interval=500ms"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "1000000");
    let child = command.spawn().unwrap();
    let mut governor = place.adopt(child);
    assert_eq!(ear.hear(), "READY=1", "{}", place.log());
    // From then on it answers, at once and with a sample.
    let snapshot = Line::connect(&place.socket()).unwrap().ask("{}").unwrap();
    assert!(number(&snapshot["seq"]) >= 1, "{snapshot}");
    let heard = ear.listen(Duration::from_secs(4));
    assert!(heard.iter().all(|(_, text)| text == "WATCHDOG=1"), "{heard:?}");
    let longest = heard.iter().zip(heard.iter().skip(1)).map(|(a, b)| b.0 - a.0).max().unwrap();
    assert!(heard.len() >= 6 && longest < Duration::from_millis(950), "{heard:?}");
    governor.signal(Signal::SIGTERM);
    while ear.hear() != "STOPPING=1" {}
    assert_eq!(governor.wait(), 0);
}

#[test]
fn a_sampler_that_hangs_stops_the_watchdog() {
    let Some(simulator) = Simulator::start(&["-d", "0=package-0@65"]) else { return };
    let place = Place::new();
    let ear = Ear::new(&place);
    let mut command = place.command(&[&simulator.powercap()]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut governor = place.adopt(command.spawn().unwrap());
    assert_eq!(ear.hear(), "READY=1");
    assert_eq!(ear.hear(), "WATCHDOG=1");
    // A reading that never comes.
    simulator.order("latency 3000000");
    ear.listen(Duration::from_millis(900));
    let heard = ear.listen(Duration::from_millis(1500));
    assert_eq!(heard.len(), 0, "{heard:?}");
    // Clients are served from what is known all the same, and told that it is old.
    assert_eq!(governor.snapshot()["status"], "stale");
    assert_eq!(governor.health()["status"], "stale");
    assert!(place.log().contains("the sampler hangs"), "{}", place.log());
    simulator.order("latency 0");
    governor.crash();
}

/// The socket is handed over as descriptor 3, as `sd_listen_fds(3)` has it.
const HANDED: [&str; 3] =
    ["sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 </dev/null"];

#[test]
fn a_socket_that_was_passed_is_served_and_left_alone() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let listener = UnixListener::bind(place.path("passed.sock")).unwrap();
    let mut command = place.wrapped(&HANDED, &[&simulator.powercap()]);
    let mut governor = place.adopt(command.stdin(OwnedFd::from(listener)).spawn().unwrap());
    // The connection waits in the queue until the governor is there.
    let mut line = Line::connect(&place.path("passed.sock")).unwrap();
    assert_eq!(line.ask("{}").unwrap()["status"], "ok");
    assert!(!place.socket().exists());
    assert!(line.ask("{\"request\":\"health\"}").unwrap()["privileges"].is_object());
    assert_eq!(governor.stop(), 0);
    assert!(place.path("passed.sock").exists());
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_refused() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let mut command = place.wrapped(&HANDED, &[&simulator.powercap()]);
    let (code, said) = place.refusal(command.stdin(fs::File::open("/dev/null").unwrap()));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("socket that was passed"), "{said}");
}

#[test]
fn a_reload_changes_what_can_change_and_names_the_rest() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    fs::create_dir_all(place.path("elsewhere")).unwrap();
    let real = place.path("elsewhere/governor.toml");
    fs::write(&real, "poll-interval = \"100ms\"\n").unwrap();
    // As an administrator's tools leave it.
    fs::create_dir_all(place.path("etc")).unwrap();
    let file = place.path("etc/governor.toml");
    std::os::unix::fs::symlink(&real, &file).unwrap();
    let config = format!("--config={}", file.display());
    let mut governor = place.start(&[&simulator.powercap(), &config]);
    let interval =
        |ns: u64| move |snapshot: &serde_json::Value| number(&snapshot["interval_ns"]) == ns;
    governor.until("at 100 ms", interval(100_000_000));
    let reload = |text: &str, wanted: &str| {
        fs::write(&real, text).unwrap();
        let before = place.log().len();
        governor.signal(Signal::SIGHUP);
        governor.until(wanted, |_| place.log()[before..].contains(wanted));
    };
    reload(
        "poll-interval = 0.02\nsocket-mode = \"600\"\nmax-power = 5\n",
        "configuration read again",
    );
    governor.until("at 20 ms", interval(20_000_000));
    let named = place.log();
    let named = named.lines().find(|line| line.contains("with a restart only")).unwrap();
    assert!(named.contains("max-power, socket-mode"), "{named}");
    // What it cannot use changes nothing.
    for broken in ["poll-interval = ", "poll-intervall = 1", "poll-interval = \"1h\"", "\0"] {
        reload(broken, "the configuration stays as it was");
    }
    assert_eq!(number(&governor.snapshot()["interval_ns"]), 20_000_000);
    reload("poll-interval = \"50ms\"\n", "sampling every 50ms");
    governor.until("at 50 ms", interval(50_000_000));
    fs::remove_file(&real).unwrap();
    governor.signal(Signal::SIGHUP);
    governor.until("complaining", |_| place.log().contains("No such file"));
    assert_eq!(governor.stop(), 0);
}

#[test]
fn a_slow_sampler_is_made_fast_at_once_and_that_is_no_missed_sample() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let file = place.path("governor.toml");
    fs::write(&file, "poll-interval = \"30s\"\n").unwrap();
    let config = format!("--config={}", file.display());
    let governor = place.start(&[&simulator.powercap(), &config]);
    std::thread::sleep(Duration::from_secs(2));
    fs::write(&file, "poll-interval = \"1s\"\n").unwrap();
    governor.signal(Signal::SIGHUP);
    let begun = Instant::now();
    let snapshot = governor.until("at 1 s", |seen| number(&seen["interval_ns"]) == 1_000_000_000);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(snapshot["missed"], 0, "{snapshot}");
}

/// Clients have other working directories.
#[test]
fn relative_paths_are_told_as_absolute_ones() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let mut command = Command::new(BINARY);
    command.args(["--socket-path=governor.sock", "--state-dir=state", "--no-nvml"]);
    command.arg(simulator.powercap()).current_dir(place.path("")).stderr(place.log_file());
    let mut governor = place.started(&mut command);
    assert_eq!(governor.snapshot()["page"], place.path("state/snapshot").to_str().unwrap());
    governor.signal(Signal::SIGHUP);
    governor.until("read again", |_| place.log().contains("configuration read again"));
    assert!(!place.log().contains("with a restart only"), "{}", place.log());
    assert_eq!(governor.stop(), 0);
    assert!(!place.socket().exists(), "{}", place.log());
}

#[test]
fn it_ends_at_once_and_removes_its_own_socket_alone() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut governor = place.start(&[&simulator.powercap()]);
        let _idle = governor.line();
        let begun = Instant::now();
        governor.signal(signal);
        assert_eq!(governor.wait(), 0);
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        assert!(!place.socket().exists());
    }
    let mut governor = place.start(&[&simulator.powercap()]);
    fs::remove_file(place.socket()).unwrap();
    let _other = UnixListener::bind(place.socket()).unwrap();
    assert_eq!(governor.stop(), 0);
    assert!(place.socket().exists());
}
