//! A command at a pseudo-terminal, which script(1) makes.

use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::home::{Done, Home, LIMIT, finish};
use crate::skip::skip;

/// A shell line at a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    /// What is shown, as it comes.
    coming: Receiver<Vec<u8>>,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts a line; nothing, said aloud, where there is no script(1).
    pub fn start(home: &Home, line: &str) -> Option<Self> {
        if home.program("script").arg("--version").output().is_err() {
            skip("terminal", "there is no script(1) to make one");
            return None;
        }
        let mut command = home.at_default_signals("script");
        command.args(["--quiet", "--return", "--flush", "--command", line, "/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (to, coming) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                if to.send(buffer.iter().take(length).copied().collect()).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, coming, shown: Vec::new() })
    }

    /// Types a few keys, such as `\x03` for Ctrl-C.
    pub fn types(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until something is true of all that was shown.
    pub fn until(&mut self, what: &str, holds: impl Fn(&[u8]) -> bool) {
        while !holds(&self.shown) {
            let more = self.coming.recv_timeout(LIMIT);
            let shown = || String::from_utf8_lossy(&self.shown).into_owned();
            let more = more.unwrap_or_else(|error| panic!("{what}: {error}: {}", shown()));
            self.shown.extend(more);
        }
    }

    /// Waits for the end; what was shown is its standard output.
    pub fn finish(mut self) -> Done {
        let done = finish(self.child);
        self.shown.extend(self.coming.iter().flatten());
        Done { stdout: self.shown, ..done }
    }
}
