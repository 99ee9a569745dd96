//! What is said beside the output of a command: to people, or as a log for programs.
//!
//! Rule: each thing said is one message. To people it is text, in the letters of the locale and, at a terminal, within
//! its width; in a log it is one line with one JSON object, of the members that the governor's log has. Bytes that are
//! written as bytes stay what they are.
//!
//! Out of scope: which words, and a command's own output.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use carbon_ops::env::Env;
use serde_json::json;

use crate::layout::fit;
use crate::letters::Letters;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The command could not do what it was asked for.
    Error,
    /// A figure is worse than it could be, or something waits.
    Warning,
    /// What was begun, made or found.
    Info,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARN",
            Self::Info => "INFO",
        }
    }
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// People.
    #[default]
    Text,
    /// A collector of logs; the name of who speaks.
    Json(&'static str),
}

/// Something that messages are said to. What is formatted into it is a warning.
pub trait Say: Write {
    /// Says one message; its hints follow on lines of their own that begin with `hint: `.
    fn say(&mut self, level: Level, words: &str);
}

/// How is spoken, and in which letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Who listens.
    pub form: Form,
    /// What they can be shown.
    pub letters: Letters,
}

impl Manner {
    /// Standard error, spoken to in this manner.
    pub fn stderr(self) -> Said<io::Stderr> {
        let to = io::stderr();
        let is_shown = to.is_terminal();
        Said { to, manner: self, is_shown }
    }
}

/// Somewhere that messages go.
#[derive(Debug)]
pub struct Said<W> {
    to: W,
    manner: Manner,
    /// Lines are broken where the terminal ends.
    is_shown: bool,
}

/// Who begins a message to people.
const SPEAKER: &str = "carbon-ops: ";

const HINT: &str = "hint: ";

impl<W: Write> Said<W> {
    fn tell(&mut self, level: Level, words: &str) -> io::Result<()> {
        let Form::Json(logger) = self.manner.form else {
            let text = if self.is_shown { fit(words) } else { words.to_owned() };
            return self.to.write_all(self.manner.letters.spell(&text).as_bytes());
        };
        let (mut message, mut hint) = (Vec::new(), None);
        for line in words.lines() {
            match line.strip_prefix(HINT) {
                Some(words) => hint = hint.or(Some(words)),
                None => message.push(line.strip_prefix(SPEAKER).unwrap_or(line)),
            }
        }
        let mut line = json!({ "timestamp": format!("{:.6}", Env::now()), "level": level.as_str(), "logger": logger,
            "message": message.join("\n") });
        if let (Some(hint), Some(members)) = (hint, line.as_object_mut()) {
            members.insert("hint".to_owned(), hint.into());
        }
        writeln!(self.to, "{line}")
    }
}

impl<W: Write> Say for Said<W> {
    fn say(&mut self, level: Level, words: &str) {
        // Whoever has closed their ears is not told.
        let _ = self.tell(level, &format!("{SPEAKER}{words}\n"));
    }
}

impl<W: Write> Write for Said<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn write_fmt(&mut self, words: fmt::Arguments<'_>) -> io::Result<()> {
        self.tell(Level::Warning, &words.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(form: Form, letters: Letters, say: impl FnOnce(&mut dyn Say)) -> String {
        let manner = Manner { form, letters };
        let mut said = Said { to: Vec::new(), manner, is_shown: false };
        say(&mut said);
        String::from_utf8(said.to).unwrap()
    }

    #[test]
    fn people_are_told_in_text_and_bytes_stay_bytes() {
        let text = said(Form::Text, Letters::Ascii, |to| {
            to.say(Level::Info, "1 ± 2");
            writeln!(to, "carbon-ops: µ\nhint: …").unwrap();
            to.write_all("{\"±\":1}\n".as_bytes()).unwrap();
        });
        assert_eq!(text, "carbon-ops: 1 +- 2\ncarbon-ops: u\nhint: ...\n{\"±\":1}\n");
    }

    #[test]
    fn a_log_has_one_object_for_each_message() {
        let text = said(Form::Json("carbon_ops.agent"), Letters::Ascii, |to| {
            to.say(Level::Info, "begun");
            let why = "full";
            writeln!(to, "carbon-ops: it waits: {why}\nhint: make room ±").unwrap();
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let members = |line: &serde_json::Value| {
            ["level", "logger", "message", "hint"]
                .map(|name| line[name].as_str().map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines.iter().map(members).collect::<Vec<_>>(),
            [
                [some("INFO"), some("carbon_ops.agent"), some("begun"), None],
                [
                    some("WARN"),
                    some("carbon_ops.agent"),
                    some("it waits: full"),
                    some("make room ±")
                ],
            ]
        );
        assert!(
            lines.iter().all(|line| line["timestamp"].as_str().is_some_and(|it| it.ends_with('Z')))
        );
    }
}
