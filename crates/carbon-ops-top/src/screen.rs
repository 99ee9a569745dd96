//! The terminal: letters as they are typed, a page of its own, the mouse; and all of it given back.
//!
//! Rule: whoever leaves the program finds the terminal as it was. It is given back when [`Screen`] ends, before a
//! stop, and by a panic before its message is written. Only a kill that no program sees leaves it.
//!
//! Out of scope: when to draw.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd as _;
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture, poll, read};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use crate::keys::{Wish, apply};
use crate::model::Model;
use crate::view;

/// A terminal that shows frames.
#[derive(Debug)]
pub struct Screen {
    terminal: Frames,
}

/// A frame is one write, so that a slow connection shows none half.
type Frames = Terminal<CrosstermBackend<BufWriter<File>>>;

impl Screen {
    /// Takes the terminal at standard output.
    ///
    /// # Errors
    /// When it is none, or cannot be set.
    pub fn enter() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        take()?;
        match blank() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Shows a model, in whatever size the terminal has by now.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, model)).map(drop)
    }

    /// Does what was typed and clicked since it was last asked for, without waiting.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn take_input(&mut self, model: &mut Model) -> io::Result<Wish> {
        let mut wish = Wish::Nothing;
        while poll(Duration::ZERO)? {
            let size = self.terminal.size()?;
            match apply(&read()?, model, size.into()) {
                Wish::Nothing => {}
                Wish::Pace => wish = Wish::Pace,
                end @ (Wish::Quit | Wish::Stop) => return Ok(end),
            }
        }
        Ok(wish)
    }

    /// Gives the terminal back, does something, such as to stop, and takes the terminal again.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn without<T>(&mut self, what: impl FnOnce() -> T) -> io::Result<T> {
        give_back();
        let done = what();
        take()?;
        // Not cleared, for which its cursor would be asked, and a terminal may not answer: the page is a new one.
        self.terminal = blank()?;
        Ok(done)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal of which nothing is known but that it is blank.
fn blank() -> io::Result<Frames> {
    Terminal::new(CrosstermBackend::new(BufWriter::new(out()?)))
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    let taken = execute!(out()?, EnterAlternateScreen, EnableMouseCapture, Hide);
    if taken.is_err() {
        give_back();
    }
    taken
}

/// As far as it goes: where the terminal is gone, there is nothing to give back.
fn give_back() {
    if let Ok(mut out) = out() {
        let _ = execute!(out, DisableMouseCapture, LeaveAlternateScreen, Show);
    }
    let _ = disable_raw_mode();
}

/// Standard output without its lock, which another thread may hold when it panics.
fn out() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}
