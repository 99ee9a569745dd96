//! A command at a pseudo-terminal, which script(1) makes.

use std::io::Write as _;
use std::process::{Child, Stdio};

use crate::home::{Done, Home, finish};
use crate::skip::skip;

/// A shell line at a terminal of its own.
#[derive(Debug)]
pub struct Terminal(Child);

impl Terminal {
    /// Starts a line; nothing, said aloud, where there is no script(1).
    pub fn start(home: &Home, line: &str) -> Option<Self> {
        if home.program("script").arg("--version").output().is_err() {
            skip("terminal", "there is no script(1) to make one");
            return None;
        }
        let mut command = home.at_default_signals("script");
        command.args(["--quiet", "--return", "--flush", "--command", line, "/dev/null"]);
        Some(Self(command.stdin(Stdio::piped()).spawn().unwrap()))
    }

    /// Types a few keys, such as `\x03` for Ctrl-C.
    pub fn types(&mut self, keys: &str) {
        self.0.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end; what was shown is its standard output.
    pub fn finish(self) -> Done {
        finish(self.0)
    }
}
