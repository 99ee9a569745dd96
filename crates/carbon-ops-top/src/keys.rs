//! What a key or the mouse means.
//!
//! Out of scope: signals, which the command takes.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;

use crate::model::{Model, Order};
use crate::view::{self, Hit};

/// What is to be done beside a change of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// The end.
    Quit,
    /// A stop, as by Ctrl-Z at a shell.
    Stop,
    /// Another time between samples, which the model has.
    Pace,
}

/// Rows that a page key moves by.
const PAGE: isize = 10;

/// Rows that a turn of the wheel moves by.
const TURN: isize = 3;

/// Changes the model as a key or the mouse asks; `size` is that of the terminal.
pub fn apply(event: &Event, model: &mut Model, size: Rect) -> Wish {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => on_key(key, model),
        Event::Mouse(mouse) => {
            on_mouse(*mouse, model, size);
            Wish::Nothing
        }
        _ => Wish::Nothing,
    }
}

fn on_key(key: &KeyEvent, model: &mut Model) -> Wish {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd' | '\\') => Wish::Quit,
            KeyCode::Char('z') => Wish::Stop,
            _ => Wish::Nothing,
        };
    }
    if model.typing {
        on_typed(key.code, model);
        return Wish::Nothing;
    }
    if model.help {
        model.help = false;
        return if key.code == KeyCode::Char('q') { Wish::Quit } else { Wish::Nothing };
    }
    match key.code {
        KeyCode::Char('q') => return Wish::Quit,
        KeyCode::Char('+') => {
            model.pace(false);
            return Wish::Pace;
        }
        KeyCode::Char('-') => {
            model.pace(true);
            return Wish::Pace;
        }
        KeyCode::Esc => {
            model.filter.clear();
            model.selected = None;
        }
        KeyCode::Char(' ') => model.pause(),
        KeyCode::Char('s') => model.order = model.order.next(),
        KeyCode::Char('p') => model.order = Order::Power,
        KeyCode::Char('c') => model.order = Order::Cpu,
        KeyCode::Char('m') => model.order = Order::Memory,
        KeyCode::Char('n') => model.order = Order::Name,
        KeyCode::Char('t') => model.tree = !model.tree,
        KeyCode::Char('/' | 'f') => model.typing = true,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => model.help = true,
        KeyCode::Enter => model.fold(),
        KeyCode::Down | KeyCode::Char('j') => model.move_by(1),
        KeyCode::Up | KeyCode::Char('k') => model.move_by(-1),
        KeyCode::PageDown => model.move_by(PAGE),
        KeyCode::PageUp => model.move_by(-PAGE),
        KeyCode::End => model.move_by(isize::MAX),
        KeyCode::Home => model.selected = None,
        _ => {}
    }
    Wish::Nothing
}

fn on_typed(key: KeyCode, model: &mut Model) {
    match key {
        KeyCode::Enter => model.typing = false,
        KeyCode::Esc => {
            model.typing = false;
            model.filter.clear();
        }
        KeyCode::Backspace => drop(model.filter.pop()),
        KeyCode::Char(letter) => model.filter.push(letter),
        _ => {}
    }
}

fn on_mouse(mouse: MouseEvent, model: &mut Model, size: Rect) {
    match mouse.kind {
        MouseEventKind::ScrollDown => model.move_by(TURN),
        MouseEventKind::ScrollUp => model.move_by(-TURN),
        MouseEventKind::Down(MouseButton::Left) => {
            match view::hit(model, size, mouse.column, mouse.row) {
                Some(Hit::Heading(order)) => model.order = order,
                Some(Hit::Row(key)) if model.selected.as_ref() == Some(&key) => model.fold(),
                Some(Hit::Row(key)) => model.selected = Some(key),
                None => {}
            }
        }
        _ => {}
    }
}
