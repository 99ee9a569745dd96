//! `top` at a pseudo-terminal: what is on its screen, and that the terminal is given back.

use std::fs;
use std::process::Command;

use carbon_ops_testkit::terminal::Terminal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::{CARBON_OPS, Home, done};
use crate::monitor::machine;

/// Takes the page of its own, and leaves it (xterm's control sequences).
const TAKEN: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l";

/// `top` in a shell that tells how it ended and whether the terminal is as it was.
fn started(home: &Home, columns: u16, lines: u16, options: &str) -> Option<Terminal> {
    let machine = machine(home);
    let top = format!("{CARBON_OPS} top --interval 100ms --host-root {machine} {options}");
    let line = format!(
        "stty cols {columns} rows {lines}; stty -g > before; tty > tty; export TERM=xterm LC_ALL=C.UTF-8; \
         sh -c 'echo $$ > pid; exec {top}'; echo code $?; stty -g > after; cmp before after && echo the same"
    );
    Terminal::start(home, &line)
}

fn has(shown: &[u8], text: &str) -> bool {
    shown.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What a terminal of this size shows after these bytes.
fn screen(shown: &[u8], columns: u16, lines: u16) -> String {
    let mut parser = vt100::Parser::new(lines.try_into().unwrap(), columns.try_into().unwrap(), 0);
    parser.process(shown);
    parser.screen().contents()
}

/// Ends in some way once a sample is shown, and says what was shown.
fn ended(columns: u16, lines: u16, end: impl Fn(&Home, &mut Terminal)) -> Option<String> {
    let home = Home::new();
    let mut top = started(&home, columns, lines, "--region DE")?;
    top.until("a sample is shown", |shown| screen(shown, columns, lines).contains("idle"));
    end(&home, &mut top);
    let done = top.finish();
    let before = done.text();
    let before = before.split(LEFT).next().unwrap();
    Some(format!("{}\n{}", screen(before.as_bytes(), columns, lines), done.text()))
}

#[test]
fn a_screen_of_any_size_shows_power_carbon_quality_idle_and_rows() {
    for (columns, lines) in [(80, 24), (40, 20), (132, 40)] {
        let Some(shown) = ended(columns, lines, |_, top| top.types("q")) else { return };
        let screen: Vec<&str> = shown.lines().take(usize::from(lines)).collect();
        for word in
            ["FALLBACK", "power ", "carbon ", "grid   DE", "idle ", "CO2E/H", "p10", "q quit"]
        {
            assert!(screen.iter().any(|line| line.contains(word)), "{word}: {shown}");
        }
        assert!(shown.contains("code 0") && shown.contains("the same"), "{shown}");
    }
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    for (keys, signal) in
        [("q", None), ("\x03", None), ("", Some(Signal::SIGTERM)), ("", Some(Signal::SIGHUP))]
    {
        let end = |home: &Home, top: &mut Terminal| {
            top.types(keys);
            if let Some(signal) = signal {
                let pid = fs::read_to_string(home.work("pid")).unwrap();
                kill(Pid::from_raw(pid.trim().parse().unwrap()), signal).unwrap();
            }
        };
        let Some(shown) = ended(80, 24, end) else { return };
        assert!(shown.contains(LEFT) && shown.contains("\x1b[?25h"), "{shown:?}");
        assert!(shown.contains("code 0") && shown.contains("the same"), "{shown:?}");
    }
}

/// Ctrl-Z stops it as a shell expects, with the terminal given back, and `fg` takes it again.
#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    let home = Home::new();
    let machine = machine(&home);
    let top = format!("{CARBON_OPS} top --interval 100ms --host-root {machine}");
    let line = format!(
        "stty cols 80 rows 24; export TERM=xterm; bash -c 'set -m; {top}; echo stopped $?; fg; echo code $?'"
    );
    let Some(mut top) = Terminal::start(&home, &line) else { return };
    top.until("it is shown", |shown| has(shown, "POWER"));
    top.types("\x1a");
    top.until("it is taken again", |shown| {
        let text = String::from_utf8_lossy(shown);
        text.matches(TAKEN).count() == 2
    });
    top.types("q");
    let shown = top.finish().text();
    let stopped = shown.find("stopped 148").unwrap_or_else(|| panic!("{shown:?}"));
    assert!(shown.find(LEFT).unwrap() < stopped, "{shown:?}");
    assert!(shown.contains("code 0"), "{shown:?}");
}

#[test]
fn a_terminal_that_changes_its_size_gets_a_frame_of_that_size() {
    let home = Home::new();
    let Some(mut top) = started(&home, 100, 30, "--region DE") else { return };
    top.until("a sample is shown", |shown| screen(shown, 100, 30).contains("idle"));
    let terminal = fs::read_to_string(home.work("tty")).unwrap();
    let mut stty = Command::new("stty");
    stty.args(["-F", terminal.trim(), "cols", "40", "rows", "20"]);
    assert!(stty.status().unwrap().success());
    let after = |shown: &[u8]| {
        let text = String::from_utf8_lossy(shown).into_owned();
        let cleared = text.rfind("\x1b[2J").map(|at| text[at..].to_owned());
        cleared.map(|text| screen(text.as_bytes(), 40, 20)).unwrap_or_default()
    };
    top.until("a narrow frame", |shown| {
        let screen = after(shown);
        let first = screen.lines().next().unwrap_or_default();
        first.starts_with(" top ") && first.trim_end().ends_with("FALLBACK")
    });
    top.types("q");
    assert!(top.finish().text().contains("the same"));
}

#[test]
fn without_a_terminal_it_names_the_command_for_that() {
    let home = Home::new();
    let done = done(&mut home.carbon_ops(&["top"]));
    assert_eq!(done.code(), 2);
    assert!(done.stderr.contains("needs a terminal"), "{}", done.stderr);
    assert!(done.stderr.contains("hint: `carbon-ops monitor --all`"), "{}", done.stderr);
    assert!(done.stdout.is_empty());
}

/// Whoever names a governor wants its totals, and no others.
#[test]
fn a_governor_that_was_named_has_to_answer() {
    let home = Home::new();
    let Some(top) = started(&home, 80, 24, "--host nowhere.sock") else { return };
    let shown = top.finish().text();
    assert!(shown.contains("no governor at nowhere.sock") && shown.contains("code 2"), "{shown:?}");
    assert!(!shown.contains(TAKEN), "{shown:?}");
}
