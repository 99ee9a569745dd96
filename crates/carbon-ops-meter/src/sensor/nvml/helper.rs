//! A process that asks the driver, and how to ask that process without waiting for it.
//!
//! What a driver does to the one must not happen to the other: while a call hangs there is no answer, and when
//! the library ends its process there is none any more. An answer that comes late is taken when it has come,
//! with the moments at which it was true.
//!
//! Over the socket goes one byte per question and one line of JSON per answer, and first the list of GPUs.
//!
//! Out of scope: how the process is made (see [`super::child`]).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::alarm;
use serde::{Deserialize, Serialize};

use super::calls::Nvml;
use super::child;
use super::driver::{Driver, Listing, Look, PATIENCE, Want};
use crate::clock::{BootClock, Moment};
use crate::sensor::{Availability, Backend, Domain, Excluded, Integral, ReadFault};

/// After so many seconds in one call, the process gives up and ends. Whoever asks has long since gone on; this
/// is for a process whose parent is gone. Starting a driver that nobody keeps awake takes seconds per GPU.
const CALL_SECONDS_MAX: u32 = 300;

/// A new process says its number as soon as it runs.
const PID_WITHIN: Duration = Duration::from_secs(1);

/// A longer answer is none: 64 GPUs with a thousand processes each have less.
const ANSWER_BYTES_MAX: usize = 1 << 22;

/// An answer to a backend's question is waited for so long, where the one before came in time.
const PROMPT: Duration = Duration::from_millis(10);

/// A backend whose last answer is older has failed to read.
const STANDS_FOR: Duration = Duration::from_secs(2);

const ENERGY: u8 = b'e';
const ALL: u8 = b'a';

/// What the process says first.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    availability: Availability,
    listings: Vec<Listing>,
    excluded: Vec<Excluded>,
}

/// The GPUs of a host by a process that asks their driver.
#[derive(Debug)]
pub struct Helper {
    library: PathBuf,
    patience: Duration,
    pid: Option<i32>,
    socket: UnixStream,
    /// What has come of an answer.
    received: Vec<u8>,
    hello: Option<Hello>,
    domains: Vec<Domain>,
    /// A question is not answered yet.
    is_asked: bool,
    /// The last answer was waited for in vain.
    is_late: bool,
    /// The process is gone.
    is_gone: bool,
    /// As a backend: the last answer, which of it is new, and by which clock.
    looks: Vec<Look>,
    is_new: Vec<bool>,
    clock: BootClock,
}

impl Helper {
    /// Starts the process, which starts the library; nothing is waited for. `confine` is called there once the
    /// library has started, to give up what it does not need any more.
    ///
    /// # Errors
    /// When the kernel refuses a process or a socket.
    pub fn start(library: &Path, clock: BootClock, confine: impl FnOnce()) -> io::Result<Self> {
        let library = library.to_owned();
        let socket = child::run(|socket| {
            // It ends where the other end is closed.
            let _ = serve(socket, &library, clock, confine);
        })?;
        socket.set_nonblocking(true)?;
        let mut helper = Self {
            library,
            patience: PATIENCE,
            pid: None,
            socket,
            received: Vec::new(),
            hello: None,
            domains: Vec::new(),
            is_asked: false,
            is_late: false,
            is_gone: false,
            looks: Vec::new(),
            is_new: Vec::new(),
            clock,
        };
        // Said before anything can hang.
        let said = helper.line(PID_WITHIN);
        helper.pid = said.and_then(|line| serde_json::from_slice(&line).ok());
        Ok(helper)
    }

    /// What has become of the library, if that is known within this time.
    pub fn found(&mut self, within: Duration) -> Option<Availability> {
        if self.hello.is_none()
            && let Some(line) = self.line(within)
        {
            self.hello = serde_json::from_slice(&line).ok();
            self.is_gone |= self.hello.is_none();
            let listings = self.hello.iter().flat_map(|hello| &hello.listings);
            self.domains = listings.map(Listing::domain).collect();
        }
        match &self.hello {
            Some(hello) => Some(hello.availability.clone()),
            None if self.is_gone => {
                let library = self.library.display();
                Some(Availability::Absent(format!(
                    "{library} has ended its process while starting"
                )))
            }
            None => None,
        }
    }

    /// The same, with another time in which a window's first and last look are waited for.
    #[must_use]
    pub fn waiting(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The process, which is no part of what is measured.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Asks, unless a question is open.
    fn question(&mut self, want: Want) {
        let byte = if want == Want::All { ALL } else { ENERGY };
        if !self.is_asked && !self.is_gone {
            self.is_asked = self.socket.write_all(&[byte]).is_ok();
            self.is_gone = !self.is_asked;
        }
    }

    /// The answer to the open question.
    fn answer(&mut self, within: Duration) -> Option<Vec<Look>> {
        if !self.is_asked {
            return None;
        }
        let line = self.line(within);
        self.is_late = line.is_none();
        let line = line?;
        self.is_asked = false;
        serde_json::from_slice(&line).ok()
    }

    fn line(&mut self, within: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                return Some(std::mem::replace(&mut self.received, rest));
            }
            let mut chunk = [0; 8192];
            match self.socket.read(&mut chunk) {
                Ok(0) => self.is_gone = true,
                Ok(length) => {
                    self.received.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    self.is_gone = self.received.len() > ANSWER_BYTES_MAX;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // Rounded up, since waking early would wait again.
                    let ms = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    if ms == 0 || poll(&mut fds, PollTimeout::from(ms)) == Ok(0) {
                        return None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_gone = true,
            }
            if self.is_gone {
                return None;
            }
        }
    }
}

impl Driver for Helper {
    fn gpus(&self) -> &[Domain] {
        &self.domains
    }

    fn left_out(&self) -> &[Excluded] {
        self.hello.as_ref().map_or(&[], |hello| &hello.excluded)
    }

    fn look(&mut self, want: Want, within: Duration) -> Option<Vec<Look>> {
        // One that is late may be there by now, and is followed by another question.
        let late = self.answer(Duration::ZERO);
        self.question(want);
        self.answer(within).or(late)
    }

    fn is_late(&self) -> bool {
        self.is_asked && !self.is_gone
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

impl Backend for Helper {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn domains(&self) -> &[Domain] {
        &self.domains
    }

    fn ask(&mut self) {
        self.is_new.clear();
        if let Some(looks) = self.answer(Duration::ZERO) {
            self.is_new = vec![true; looks.len()];
            self.looks = looks;
        }
        self.question(Want::Energy);
    }

    fn read(&mut self, index: usize) -> Result<u64, ReadFault> {
        // Waited for once per question, and not at all while an answer is late.
        let within = if self.is_late || !self.is_new.is_empty() { Duration::ZERO } else { PROMPT };
        if let Some(looks) = self.answer(within) {
            self.is_new = vec![true; looks.len()];
            self.looks = looks;
        }
        let look = self.looks.get(index);
        if let Some(look) = look
            && self.is_new.get_mut(index).is_some_and(std::mem::take)
        {
            return look.reading;
        }
        let stands = look.is_some_and(|look| (self.clock)().since(look.at) < STANDS_FOR);
        Err(match (self.is_gone, stands) {
            (true, _) => ReadFault::Gone,
            (false, true) => ReadFault::NotYet,
            (false, false) => ReadFault::Retry,
        })
    }

    fn taken(&self, index: usize) -> Option<(Moment, Moment)> {
        self.looks.get(index).map(|look| (look.from, look.at))
    }

    fn integral(&self, index: usize) -> Option<Integral> {
        self.looks.get(index)?.integral
    }
}

/// What the process does.
fn serve(
    mut socket: UnixStream,
    library: &Path,
    clock: BootClock,
    confine: impl FnOnce(),
) -> io::Result<()> {
    say(&mut socket, &std::process::id())?;
    alarm::set(CALL_SECONDS_MAX);
    let (availability, nvml) = Nvml::discover(library, Box::new(clock));
    let hello = Hello {
        availability,
        listings: nvml.iter().flat_map(|nvml| nvml.listings.clone()).collect(),
        excluded: nvml.iter().flat_map(|nvml| nvml.excluded.clone()).collect(),
    };
    confine();
    say(&mut socket, &hello)?;
    let Some(mut nvml) = nvml else { return Ok(()) };
    loop {
        alarm::cancel();
        let mut question = [0];
        if let Err(error) = socket.read_exact(&mut question) {
            // The library's own farewell may hang as any call may.
            std::mem::forget(nvml);
            return Err(error);
        }
        alarm::set(CALL_SECONDS_MAX);
        let want = if question == [ALL] { Want::All } else { Want::Energy };
        say(&mut socket, &nvml.look(want, Duration::ZERO).unwrap_or_default())?;
    }
}

fn say(socket: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    socket.write_all(&line)
}
