//! Which letters and colours a terminal is shown.
//!
//! Rule: colour never carries meaning alone. Every mark is a letter or a word first, so that a frame reads the same
//! without colours, and the colours that are used are told apart by everybody (cyan, yellow; no red against green).
//!
//! Out of scope: what the environment says of a terminal, which the command reads.

use ratatui::style::{Color, Modifier, Style};

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// Only letters of ASCII.
    pub ascii: bool,
    /// Colours beside bold and reversed letters.
    pub colour: bool,
}

impl Glyphs {
    /// Steps of a small chart, from nothing to the most.
    pub(crate) fn steps(self) -> &'static [char] {
        if self.ascii {
            &[' ', '.', ':', '-', '=', '+', '*', '#', '@']
        } else {
            &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        }
    }

    /// Stands for what was cut from a text.
    pub(crate) fn cut(self) -> char {
        if self.ascii { '~' } else { '…' }
    }

    /// A group that is closed, and one that is open.
    pub(crate) fn fold(self, closed: bool) -> &'static str {
        match (self.ascii, closed) {
            (true, true) => "+",
            (true, false) => "-",
            (false, true) => "▸",
            (false, false) => "▾",
        }
    }

    /// Marks the column that rows are sorted by.
    pub(crate) fn sorted(self) -> &'static str {
        if self.ascii { "v" } else { "▼" }
    }

    /// Text as this terminal can show it.
    pub(crate) fn text(self, text: &str) -> String {
        if !self.ascii {
            return text.to_owned();
        }
        let letter = |letter: char| match letter {
            'µ' => 'u',
            letter if letter.is_ascii() => letter,
            _ => '?',
        };
        text.chars().map(letter).collect()
    }

    pub(crate) fn chart(self) -> Style {
        self.coloured(Style::new(), Color::Cyan)
    }

    pub(crate) fn warning(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
    }

    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }
}
