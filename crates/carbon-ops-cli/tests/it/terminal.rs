//! What a person at a terminal expects of Ctrl-C.

use std::thread::sleep;
use std::time::{Duration, Instant};

use carbon_ops_testkit::terminal::Terminal;

use crate::home::{CARBON_OPS, Home};

/// Types Ctrl-C a second after `line` was started in a terminal; what was shown, and how long it
/// took. `None`, said aloud, where there is no terminal.
fn interrupted(line: &str) -> Option<(String, Duration)> {
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &line.replace("carbon-ops", CARBON_OPS))?;
    let started = Instant::now();
    sleep(Duration::from_secs(1));
    terminal.types("\x03");
    let done = terminal.finish();
    Some((done.text(), started.elapsed()))
}

/// A shell goes on with its loop unless what it waits for died of the signal.
#[test]
fn ctrl_c_ends_a_loop_in_a_shell() {
    let line =
        "bash -c 'for i in 1 2 3; do carbon-ops run --no-ledger -- sleep 5; echo round; done'";
    let Some((shown, took)) = interrupted(line) else { return };
    assert!(!shown.contains("round"), "{shown}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// The terminal's signals do not reach a command that has left our group; we pass them on.
#[test]
fn ctrl_c_reaches_a_command_in_a_session_of_its_own() {
    let line = "carbon-ops run --no-ledger -- setsid --wait sleep 20";
    let Some((shown, took)) = interrupted(line) else { return };
    assert!(took < Duration::from_secs(10), "{took:?} {shown}");
}

#[test]
fn a_command_that_ignores_ctrl_c_keeps_its_exit_code_and_its_record() {
    let line = "bash -c 'carbon-ops run -- bash -c \"trap : INT; sleep 2; exit 4\"; echo code $?'";
    let Some((shown, _)) = interrupted(line) else { return };
    assert!(shown.contains("code 4") && shown.contains("#1 in"), "{shown}");
}
