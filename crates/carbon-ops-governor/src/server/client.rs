//! One client: what it has sent, what it is being sent, and until when it is waited for.
//!
//! Out of scope: what is answered.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use carbon_ops_meter::protocol::REQUEST_BYTES_MAX;
use nix::sys::epoll::EpollFlags;

/// How long a request may take to arrive, and an answer to be read.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client may rest between requests.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);

/// What a client subscribed to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    pub(super) interval: Duration,
    pub(super) next: Instant,
    pub(super) left: Option<u64>,
    /// The sample that was sent last.
    pub(super) seq: u64,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: UnixStream,
    pub(super) uid: u32,
    /// Root, or someone who is trusted with exact values.
    pub(super) exact: bool,
    pub(super) input: Vec<u8>,
    /// The answer that is being sent, and how much of it has been.
    pub(super) output: Option<(Rc<[u8]>, usize)>,
    pub(super) subscription: Option<Subscription>,
    pub(super) answered: u64,
    /// It will send no more.
    pub(super) ended: bool,
    /// It is closed once the answer is out.
    pub(super) closing: bool,
    /// When it came, or was last answered.
    pub(super) since: Instant,
    /// It is closed now, unless something happens; nothing for a subscriber that reads.
    pub(super) deadline: Option<Instant>,
    /// What epoll waits for.
    pub(super) interest: EpollFlags,
}

impl Client {
    /// Since when it wants nothing; `None` for one that is being served.
    pub(super) fn resting_since(&self) -> Option<Instant> {
        let rests = self.subscription.is_none() && self.output.is_none();
        rests.then_some(self.since)
    }

    /// Takes what has come; false when the client is gone.
    pub(super) fn receive(&mut self) -> bool {
        let mut chunk = [0; REQUEST_BYTES_MAX];
        while !self.ended && self.output.is_none() && self.input.len() <= REQUEST_BYTES_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    self.input.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    if self.input.contains(&b'\n') {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// The next whole request. The end of a client's writing ends a request too, and a client that
    /// sends nothing at all asks for a snapshot, as in carbon-ops 0.1.
    pub(super) fn next_line(&mut self) -> Option<Result<Vec<u8>, String>> {
        if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            if end >= REQUEST_BYTES_MAX {
                return Some(Err(too_long()));
            }
            let rest = self.input.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.input, rest);
            line.truncate(end);
            return Some(Ok(line));
        }
        if self.input.len() >= REQUEST_BYTES_MAX {
            return Some(Err(too_long()));
        }
        let last = self.ended && (self.answered == 0 || !self.input.is_empty());
        last.then(|| Ok(std::mem::take(&mut self.input)))
    }

    pub(super) fn begin(&mut self, answer: Rc<[u8]>) {
        self.output = Some((answer, 0));
    }

    /// Sends as much as goes; false when the client is gone.
    pub(super) fn send(&mut self) -> bool {
        let Some((answer, sent)) = &mut self.output else { return true };
        while let Some(rest) = answer.get(*sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return false,
                Ok(length) => *sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // From the first refusal on, it has so long to read.
                    let limit = Instant::now() + PATIENCE;
                    self.deadline = Some(self.deadline.map_or(limit, |before| before.min(limit)));
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output = None;
        self.since = Instant::now();
        let rests = self.subscription.is_none();
        self.deadline = rests.then(|| Instant::now() + REST_MAX);
        true
    }
}

fn too_long() -> String {
    format!("a request has at most {REQUEST_BYTES_MAX} bytes")
}
