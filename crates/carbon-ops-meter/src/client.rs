//! Asks the governor for its totals: from its mapped page where that may be read, else over its
//! socket, as in a container that has the socket alone.
//!
//! Out of scope: energy between two snapshots of a workload; see [`crate::window`].

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::page::PageReader;
use crate::protocol::{REPLY_BYTES_MAX, Request, parse_snapshot};
use crate::snapshot::Snapshot;

/// Where the governor listens, unless told otherwise.
pub const SOCKET: &str = "/run/carbon-ops.sock";

/// How long to wait for an answer, unless told otherwise; as carbon-ops 0.1.
pub const TIMEOUT: Duration = Duration::from_millis(200);

/// Why the governor could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens: no socket, or one that a dead governor left.
    #[error("no governor at {}: {source}", socket.display())]
    Absent {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This user may not connect.
    #[error("no permission for {}; its group may connect", socket.display())]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection broke, or the answer did not come in time.
    #[error("the governor at {} did not answer: {source}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answered something else.
    #[error("the governor at {} answered: {reason}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// What it said, or what is wrong with it.
        reason: String,
    },
}

/// A connection to the governor.
#[derive(Debug)]
pub struct Governor {
    socket: PathBuf,
    timeout: Duration,
    stream: UnixStream,
    page: Option<PageReader>,
    /// What came after the last line.
    rest: Vec<u8>,
}

impl Governor {
    /// Connects, and maps the governor's page if that may be read. The first snapshot comes along.
    ///
    /// # Errors
    /// When there is no governor, or it does not answer in time.
    pub fn connect(socket: &Path, timeout: Duration) -> Result<(Self, Snapshot), ClientError> {
        let stream = UnixStream::connect(socket).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Denied { socket: socket.to_owned() },
            _ => ClientError::Absent { socket: socket.to_owned(), source },
        })?;
        let mut governor =
            Self { socket: socket.to_owned(), timeout, stream, page: None, rest: Vec::new() };
        let (mut snapshot, page) = governor.ask_snapshot()?;
        // From here on all snapshots come from one of the two: root sees exact totals over the
        // socket, and rounded ones in the page.
        if let Some((page, seen)) = page.and_then(|path| of_the_same(&path, &snapshot)) {
            governor.page = Some(page);
            snapshot = seen;
        }
        Ok((governor, snapshot))
    }

    /// The newest snapshot, into one that is used again. `now` is the time on `CLOCK_MONOTONIC`: a
    /// page outlives its governor, so that one that is old is asked whether it lives. How old the answer is
    /// tells [`Snapshot::is_stale`].
    ///
    /// # Errors
    /// When the governor is gone or does not answer in time.
    pub fn read(&mut self, snapshot: &mut Snapshot, now: Duration) -> Result<(), ClientError> {
        if let Some(page) = &mut self.page
            && page.read(snapshot).is_ok()
            && !snapshot.is_stale(now)
        {
            return Ok(());
        }
        let (newest, _) = match self.ask_snapshot() {
            Ok(answer) => answer,
            // It may have been restarted, or have closed a connection that rested.
            Err(ClientError::Broken { .. }) => {
                let (again, newest) = Self::connect(&self.socket.clone(), self.timeout)?;
                *self = again;
                *snapshot = newest;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        *snapshot = newest;
        Ok(())
    }

    /// Whether snapshots come from memory rather than over the socket.
    pub fn is_mapped(&self) -> bool {
        self.page.is_some()
    }

    /// Asks anything; the answer is one line of JSON.
    ///
    /// # Errors
    /// When the governor is gone or does not answer in time.
    pub fn ask(&mut self, request: &Request) -> Result<Vec<u8>, ClientError> {
        let socket = self.socket.clone();
        let broken = |source| ClientError::Broken { socket: socket.clone(), source };
        self.stream.set_write_timeout(Some(self.timeout)).map_err(broken)?;
        let sent = self.stream.write_all(request.line().as_bytes());
        // Whoever is turned away is told why before the connection is closed.
        self.line().map_err(|error| broken(sent.err().unwrap_or(error)))
    }

    fn ask_snapshot(&mut self) -> Result<(Snapshot, Option<PathBuf>), ClientError> {
        let line = self.ask(&Request::Snapshot)?;
        let socket = self.socket.clone();
        parse_snapshot(&line).map_err(|reason| ClientError::Refused { socket, reason })
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.rest, rest));
            }
            if self.rest.len() > REPLY_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 8192];
            let got = match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.rest.extend_from_slice(chunk.get(..got).unwrap_or_default());
        }
    }
}

/// The page, if it is this governor's. Another one's may lie there, of another state directory or
/// seen from inside a container.
fn of_the_same(path: &Path, snapshot: &Snapshot) -> Option<(PageReader, Snapshot)> {
    let mut page = PageReader::open(path).ok()?;
    let mut seen = Snapshot::default();
    page.read(&mut seen).ok()?;
    let same = seen.boot_id == snapshot.boot_id && seen.started == snapshot.started;
    same.then_some((page, seen))
}
