//! A panic gives the terminal back before its message is written.

use carbon_ops_testkit::home::Home;
use carbon_ops_testkit::terminal::Terminal;
use carbon_ops_top::screen::Screen;

/// Run by the test below, at a terminal of its own.
#[test]
#[ignore = "it panics; `a_panic_gives_the_terminal_back` runs it"]
fn panics_at_a_terminal() {
    let _screen = Screen::enter().unwrap();
    panic!("out of order");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let itself = std::env::current_exe().unwrap();
    let itself = itself.display();
    let home = Home::new("carbon-ops");
    let run = format!("{itself} --ignored --exact panics::panics_at_a_terminal --nocapture");
    let line =
        format!("stty -g > before; {run}; stty -g > after; cmp before after && echo the same");
    let Some(terminal) = Terminal::start(&home, &line) else { return };
    let shown = terminal.finish().text();
    let left = shown.find("\x1b[?1049l").expect("the page of its own is left");
    let said = shown.find("out of order").expect("the message is shown");
    assert!(left < said, "{shown:?}");
    assert!(shown.contains("the same"), "{shown:?}");
}
