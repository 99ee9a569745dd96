//! What keeps a governor from starting: each time it says what, to which thing and what to do, exits
//! with 2, and has harmed nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::governor::{BINARY, Line, Place};
use carbon_ops_testkit::simulator::{Simulator, USUAL};
use carbon_ops_testkit::skip::{can, root, skip};

/// It ends with 2, and says all of this on the way.
fn assert_refused((code, said): &(i32, String), words: &[&str]) {
    assert_eq!(*code, 2, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The binary where anybody may run it.
fn public_binary(place: &Place) -> String {
    let copy = place.path("carbon-governor");
    fs::copy(BINARY, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy.to_str().unwrap().to_owned()
}

#[test]
fn a_user_who_may_not_read_the_counters_is_told_so() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    if !can("setpriv --reuid 65534 --clear-groups true") {
        return skip("root", "setpriv cannot become nobody");
    }
    let place = Place::new();
    fs::set_permissions(simulator.path(""), fs::Permissions::from_mode(0o755)).ok();
    let copy = public_binary(&place);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", &copy]);
    command.args(place.options()).arg(simulator.powercap()).stderr(place.log_file());
    assert_refused(
        &place.refusal(&mut command),
        &["carbon-governor: ", "no energy counter", "hint: "],
    );
}

/// Nobody may give a file to a group that he is not in: he is told so where he asked for that group,
/// and serves himself alone where it is the default one, whether or not this machine has it.
#[test]
fn a_user_outside_the_group_is_told_so_or_serves_himself() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let with = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let capable = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
    if !can(&format!("setpriv {} {} true", with.join(" "), capable.join(" "))) {
        return skip("root", "setpriv cannot become nobody");
    }
    let place = Place::new();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = public_binary(&place);
    let command = |option: &str| {
        let mut command = std::process::Command::new("setpriv");
        command.args(with).args(capable).arg(&copy).args(place.options());
        command.args([&simulator.powercap(), option]).stderr(place.log_file());
        command
    };
    let refusal = place.refusal(&mut command("--socket-group=0"));
    assert_refused(&refusal, &["not in group 0", "hint: "]);
    let governor = place.started(&mut command("--log-level=info"));
    assert!(place.log().contains("only this user may connect"), "{}", place.log());
    let mode = fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, governor.snapshot()["status"].as_str()), (0o600, Some("ok")));
}

#[test]
fn without_counters_there_is_no_governor() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    for root in ["empty", "not-there"] {
        let root = format!("--powercap-root={}", place.path(root).display());
        let refusal = place.refused(&[&root, "--rapl-mode=sysfs"]);
        assert_refused(&refusal, &["no energy counter can be read", "sysfs: absent", "hint: "]);
    }
}

#[test]
fn what_is_at_the_sockets_path_is_never_harmed() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    fs::write(place.socket(), "precious").unwrap();
    assert_refused(&place.refused(&[&powercap]), &["is not a socket and is left alone", "hint: "]);
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    fs::remove_file(place.socket()).unwrap();

    std::os::unix::fs::symlink("nowhere", place.socket()).unwrap();
    assert_refused(&place.refused(&[&powercap]), &["is not a socket and is left alone", "hint: "]);
    assert_eq!(fs::read_link(place.socket()).unwrap().to_str(), Some("nowhere"));
    fs::remove_file(place.socket()).unwrap();

    let listener = UnixListener::bind(place.socket()).unwrap();
    assert_refused(&place.refused(&[&powercap]), &["someone listens", "hint: "]);
    assert!(UnixStream::connect(place.socket()).is_ok());
    drop(listener);

    // What a dead governor left is no obstacle.
    let mut governor = place.start(&[&powercap]);
    governor.crash();
    assert!(place.socket().exists());
    let governor = place.start(&[&powercap]);
    assert_eq!(governor.snapshot()["status"], "ok");
}

/// A listener whose queue is full lets nobody connect, and is alive all the same.
#[test]
fn a_busy_listener_is_not_waited_for() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    use std::os::fd::AsRawFd as _;
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let busy = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(busy.as_raw_fd(), &UnixAddr::new(&place.socket()).unwrap()).unwrap();
    listen(&busy, Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(place.socket()).unwrap();
    assert_refused(&place.refused(&[&simulator.powercap()]), &["someone listens", "hint: "]);
}

#[test]
fn a_second_governor_is_refused_and_the_first_goes_on() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let governor = place.start(&[&powercap]);
    assert_refused(
        &place.refused(&[&powercap]),
        &["another governor runs", "--state-dir", "hint: "],
    );
    assert_eq!(governor.snapshot()["status"], "ok");
    let elsewhere = Place::new();
    let mut command = elsewhere.command(&[&powercap]);
    command.arg("--config=/dev/null");
    let (code, said) = {
        let mut command = std::process::Command::new(BINARY);
        command.args([&powercap, "--no-nvml"]).stderr(elsewhere.log_file());
        command.arg(format!("--socket-path={}", place.socket().display()));
        command.arg(format!("--state-dir={}", elsewhere.path("state").display()));
        elsewhere.refusal(&mut command)
    };
    assert_refused(&(code, said), &["someone listens", "hint: "]);
    assert_eq!(governor.snapshot()["status"], "ok");
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    for (option, words) in [
        ("--socket-group=no-such-group-here", &["no group no-such-group-here", "hint: "][..]),
        ("--poll-interval=soon", &["soon", "--poll-interval"]),
        ("--poll-interval=0", &["poll-interval", "hint: "]),
        ("--socket-mode=999", &["999", "--socket-mode"]),
        ("--msr-cpus=0,x", &["--msr-cpus", "x"]),
        ("--msr-cpus=-1", &["-1"]),
        ("--rapl-mode=guess", &["guess", "msr"]),
        ("--no-such-flag", &["--no-such-flag"]),
        ("stray", &["stray"]),
    ] {
        assert_refused(&place.refused(&[&powercap, option]), words);
        assert!(!place.socket().exists(), "{option}");
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let powercap = simulator.powercap();
    let file = place.path("governor.toml");
    let config = format!("--config={}", file.display());
    let named = file.to_str().unwrap().to_owned();
    assert_refused(&place.refused(&[&powercap, &config]), &[&named, "No such file", "hint: "]);
    for (text, word) in [
        ("poll_interval = 1\n", "poll_interval"),
        ("poll-interval = \"\n", "line 1"),
        ("poll-interval = \"1h\"\n", "poll-interval"),
        (&"#".repeat(1 << 17), "too many"),
    ] {
        fs::write(&file, text).unwrap();
        assert_refused(&place.refused(&[&powercap, &config]), &[word, "hint: "]);
    }
    fs::write(&file, b"\xff\xfe").unwrap();
    assert_refused(&place.refused(&[&powercap, &config]), &[&named, "UTF-8", "hint: "]);
}

#[test]
fn a_state_that_cannot_be_kept_is_refused() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    if !root() {
        return;
    }
    let place = Place::new();
    let powercap = simulator.powercap();
    let refused = |state: &str, words: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        command.args([&powercap, "--no-nvml"]).stderr(place.log_file());
        command.arg(format!("--socket-path={}", place.socket().display()));
        command.arg(format!("--state-dir={state}"));
        assert_refused(&place.refusal(&mut command), words);
        assert!(!place.socket().exists());
    };
    let at = |name: &str| place.path(name).to_str().unwrap().to_owned();
    refused(&at("no/parent"), &["no/parent", "No such file", "hint: "]);
    // sysfs takes no files, not even from root.
    refused("/sys/kernel", &["/sys/kernel", "hint: "]);
    fs::write(place.path("file"), "precious").unwrap();
    refused(&at("file"), &["file", "hint: "]);
    // A link in the place of the page would make root write elsewhere.
    fs::create_dir(place.path("linked")).unwrap();
    fs::write(place.path("victim"), "precious").unwrap();
    for page in ["state", "snapshot"] {
        std::os::unix::fs::symlink(place.path("victim"), place.path("linked").join(page)).unwrap();
        refused(&at("linked"), &[page]);
        fs::remove_file(place.path("linked").join(page)).unwrap();
    }
    assert_eq!(fs::read_to_string(place.path("victim")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "precious");
}

/// As with `/var/run`: the directory itself may be reached by a link.
#[test]
fn a_state_directory_behind_a_link_is_used() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    fs::create_dir(place.path("real")).unwrap();
    std::os::unix::fs::symlink("real", place.path("state")).unwrap();
    let mut governor = place.start(&[&simulator.powercap()]);
    assert!(place.path("real/snapshot").exists());
    governor.crash();
    let governor = place.start(&[&simulator.powercap()]);
    governor.until("going on", |_| place.log().contains("went on after"));
}

/// A state of nonsense is no state, and a governor starts with an empty one.
#[test]
fn a_corrupt_state_is_replaced() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    let length = usize::try_from(carbon_ops_meter::page::FILE_BYTES).unwrap();
    for bytes in [vec![], b"{}".to_vec(), vec![0xff; length], vec![0; length]] {
        for page in ["state", "snapshot"] {
            fs::write(place.path("state").join(page), &bytes).unwrap();
        }
        let mut governor = place.start(&[&simulator.powercap()]);
        assert_eq!(governor.snapshot()["status"], "ok");
        assert_eq!(governor.stop(), 0);
    }
}

#[test]
fn a_log_in_json_is_an_object_a_line() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let options = [&*simulator.powercap(), "--log-format=json"];
    let governor = place.start(&options);
    governor.until("counting", |_| place.log().contains("counting"));
    for line in place.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["logger"], "carbon_ops.governor");
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
}

/// A page without its blocks would end the process by a signal at the first store to it.
#[test]
fn a_full_file_system_is_said_and_no_signal() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    if !can("unshare --mount true") {
        return skip("namespaces", "a file system is filled");
    }
    for size in ["4k", "16k", "64k"] {
        let place = Place::new();
        fs::create_dir(place.path("state")).unwrap();
        let full = format!(
            "mount -t tmpfs -o size={size},mode=755 none {0} && head -c {size} /dev/zero > {0}/fill; \
             exec \"$0\" \"$@\"",
            place.path("state").display()
        );
        let by = ["unshare", "--mount", "sh", "-c", &full];
        let refusal = place.refusal(&mut place.wrapped(&by, &[&simulator.powercap()]));
        assert_refused(&refusal, &["cannot open", "No space left", "hint: "]);
    }
}

/// Whoever owns the directory could put totals there, or cut the file under the governor.
#[test]
fn a_state_directory_that_others_can_change_is_refused() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir(&state).unwrap();
    let refused = || {
        let refusal = place.refused(&[&simulator.powercap()]);
        assert_refused(&refusal, &["others may write to", "hint: "]);
    };
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    refused();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
    refused();
    std::os::unix::fs::chown(&state, Some(0), None).unwrap();
    assert_eq!(place.start(&[&simulator.powercap()]).snapshot()["status"], "ok");
}

#[test]
fn a_socket_for_everybody_is_warned_of() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    for (mode, warned) in [("660", false), ("666", true), ("777", true)] {
        let place = Place::new();
        let option = format!("--socket-mode={mode}");
        let _governor = place.start(&[&simulator.powercap(), "--socket-group=65534", &option]);
        assert_eq!(place.log().contains("CVE-2020-8694"), warned, "{mode} {}", place.log());
    }
}

/// Those who rest make room for those who come.
#[test]
fn few_descriptors_keep_nobody_waiting() {
    let Some(simulator) = Simulator::start(&USUAL) else { return };
    let place = Place::new();
    let by = ["sh", "-c", "ulimit -n 20; exec \"$0\" \"$@\""];
    let _governor = place.started(&mut place.wrapped(&by, &[&simulator.powercap()]));
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut line = Line::connect(&place.socket()).unwrap();
        assert_eq!(line.ask("{}").unwrap()["status"], "ok");
        held.push(line);
    }
}
