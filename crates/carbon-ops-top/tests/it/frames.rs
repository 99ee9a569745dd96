//! What is on a frame, at several sizes and whatever is typed.

use carbon_ops_top::glyphs::Glyphs;
use carbon_ops_top::keys::{Wish, apply};
use carbon_ops_top::model::{Key, Model, Order};
use carbon_ops_top::view::{self, Hit};
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use crate::made_up::{model, sample};

const FULL: Glyphs = Glyphs { ascii: false, colour: true };

fn frame(model: &Model, columns: u16, lines: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    terminal.backend().buffer().clone()
}

/// The letters of a frame, line by line, without what is blank at the end. A wide letter has two cells.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|cells| {
        let mut line = String::new();
        let mut covered = 0;
        for cell in cells {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            covered = ratatui::text::Span::raw(cell.symbol()).width().saturating_sub(1);
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn press(model: &mut Model, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        let event = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        wish = apply(&event, model, Rect::new(0, 0, 80, 24));
    }
    wish
}

#[test]
fn a_frame_shows_the_same_machine_at_three_sizes() {
    for (columns, lines) in [(80, 24), (40, 20), (132, 40)] {
        let shown = text(&frame(&model(FULL, 12), columns, lines));
        insta::assert_snapshot!(format!("{columns}x{lines}"), shown);
    }
}

#[test]
fn units_hold_their_processes() {
    let mut model = model(FULL, 12);
    press(&mut model, "t");
    insta::assert_snapshot!("tree", text(&frame(&model, 80, 24)));
    // The first group is marked and closed.
    press(&mut model, "j\n");
    let shown = text(&frame(&model, 80, 24));
    assert!(shown.contains("▸ training.service") && !shown.contains("python3"), "{shown}");
}

/// However small: no size breaks a frame, and what is always told is told from 24 columns on.
#[test]
fn every_size_has_a_frame_with_power_carbon_quality_and_idle() {
    let mut model = model(FULL, 3);
    for help in [false, true] {
        model.help = help;
        for columns in (1..140).step_by(3) {
            for lines in [1, 2, 5, 7, 12, 24] {
                let shown = text(&frame(&model, columns, lines));
                if columns < 24 || lines < 7 || help {
                    continue;
                }
                for word in ["ESTIMATED", "power  358 W", "carbon 172 g/h", "idle   44.0 W"] {
                    assert!(shown.contains(word), "{word} at {columns}x{lines}:\n{shown}");
                }
            }
        }
    }
}

/// A terminal of plain letters gets no other, whatever a program is called.
#[test]
fn plain_letters_are_enough_and_no_color_is_no_colour() {
    let plain = Glyphs { ascii: true, colour: false };
    let mut model = model(plain, 12);
    for keys in ["", "t", "?", "?/ü"] {
        press(&mut model, keys);
        let buffer = frame(&model, 132, 40);
        let shown = text(&buffer);
        assert!(shown.is_ascii(), "{shown}");
        let coloured =
            buffer.content.iter().find(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, None);
    }
}

/// Nothing is told by colour alone: without colours the letters are the same.
#[test]
fn colours_change_no_letter() {
    let without = Glyphs { colour: false, ..FULL };
    assert_eq!(text(&frame(&model(FULL, 9), 100, 30)), text(&frame(&model(without, 9), 100, 30)));
}

#[test]
fn a_filter_hides_rows_and_changes_no_sum() {
    let mut model = model(FULL, 2);
    press(&mut model, "/POSTGRES\n");
    let shown = text(&frame(&model, 80, 24));
    assert!(shown.contains("811 postgres") && !shown.contains("nginx"), "{shown}");
    assert!(shown.contains("power  358 W") && shown.contains("filter: POSTGRES"), "{shown}");
    press(&mut model, "\x1b");
    assert!(text(&frame(&model, 80, 24)).contains("nginx"));
    press(&mut model, "/nobody\n");
    assert!(text(&frame(&model, 80, 24)).contains("no row has this in its name"));
}

/// What is typed into a filter is text, also where it would be a key.
#[test]
fn a_q_in_a_filter_does_not_quit() {
    let mut model = model(FULL, 1);
    assert_eq!(press(&mut model, "/q"), Wish::Nothing);
    assert_eq!(model.filter, "q");
    assert_eq!(press(&mut model, "\nq"), Wish::Quit);
}

#[test]
fn a_pause_holds_the_frame_while_samples_go_on() {
    let mut model = model(FULL, 3);
    press(&mut model, " ");
    let before = text(&frame(&model, 100, 30));
    assert!(before.contains("PAUSED"), "{before}");
    model.take(sample(77), Vec::new());
    assert_eq!(text(&frame(&model, 100, 30)), before);
    press(&mut model, " ");
    let after = text(&frame(&model, 100, 30));
    assert!(after.contains("power  589 W") && !after.contains("PAUSED"), "{after}");
}

/// Each order, by its key and by a click on its heading.
#[test]
fn rows_are_sorted_by_keys_and_by_their_headings() {
    let size = Rect::new(0, 0, 80, 24);
    for (key, order, first) in [
        ('c', Order::Cpu, "python3"),
        ('m', Order::Memory, "python3"),
        ('n', Order::Name, "Daten"),
        ('p', Order::Power, "python3"),
    ] {
        let mut model = model(FULL, 2);
        press(&mut model, &key.to_string());
        assert_eq!(model.order, order);
        let shown = text(&frame(&model, 80, 24));
        let (line, heading) =
            shown.lines().enumerate().find(|(_, it)| it.contains("NAME")).unwrap();
        assert!(shown.lines().nth(line + 1).unwrap().contains(first), "{shown}");
        let mark = heading.chars().position(|letter| letter == '▼').unwrap();
        let (line, column) = (u16::try_from(line).unwrap(), u16::try_from(mark).unwrap());
        assert_eq!(view::hit(&model, size, column, line), Some(Hit::Heading(order)), "{shown}");
    }
}

#[test]
fn a_click_marks_the_row_that_is_under_it() {
    let mut model = model(FULL, 2);
    let shown = text(&frame(&model, 80, 24));
    let line = shown.lines().position(|it| it.contains("nginx")).unwrap();
    let click = |line: u16| {
        Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column: 12,
            row: line,
            modifiers: KeyModifiers::NONE,
        })
    };
    apply(&click(u16::try_from(line).unwrap()), &mut model, Rect::new(0, 0, 80, 24));
    assert_eq!(model.selected, Some(Key::Process(640)));
    apply(&click(0), &mut model, Rect::new(0, 0, 80, 24));
    assert_eq!(model.selected, Some(Key::Process(640)));
}

/// The marked row stays in sight and stays marked when the order changes.
#[test]
fn the_marked_row_is_always_in_sight() {
    let mut model = model(FULL, 2);
    press(&mut model, "jjjjjjjjjjjj");
    for order in ["p", "c", "n"] {
        press(&mut model, order);
        let shown = text(&frame(&model, 80, 13));
        assert_eq!(model.selected, Some(Key::Process(1)));
        assert!(shown.contains("systemd"), "{shown}");
    }
    press(&mut model, "kk");
    assert_ne!(model.selected, Some(Key::Process(1)));
}

#[test]
fn paces_go_up_and_down_and_end() {
    let mut model = model(FULL, 1);
    assert_eq!(press(&mut model, "+"), Wish::Pace);
    assert_eq!(model.interval.as_millis(), 1000);
    press(&mut model, "+++++++");
    assert_eq!(model.interval.as_millis(), 250);
    press(&mut model, "------------");
    assert_eq!(model.interval.as_secs(), 60);
}
