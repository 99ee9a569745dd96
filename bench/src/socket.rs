//! `socket-latency`: how long a client waits for a snapshot over the socket, against a server that
//! does nothing but send as many bytes back.
//!
//! Both are processes of their own, asked by the same code over one connection each, in turns of a
//! few hundred requests, so that what changes on the machine meets both alike.
//!
//! The limit holds where client and servers share one CPU. Where they may run on any, the scheduler
//! decides whether a request wakes another CPU, which takes longer than all the rest in a virtual
//! machine; that is told without a limit. Out of scope: many clients at a time, for which there
//! are limits and not figures.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use carbon_ops_meter::protocol::{REPLY_BYTES_MAX, Request};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Options;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::governor::{SIX_ZONES, Serving};
use crate::process;
use crate::sim::{self, Sim};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that the median round trip may take, as a multiple of the echo's.
const LIMIT: f64 = 1.5;

/// Requests of a turn, and turns.
const REQUESTS: usize = 200;
const TURNS: usize = 50;
/// With `--quick`.
const TURNS_QUICK: usize = 1;

/// How this program is asked to be the echo: `echo SOCKET LENGTH`.
pub(crate) const COMMAND: &str = "echo";

/// This thread, for the scheduler.
const OURSELVES: Pid = Pid::from_raw(0);

/// Turns that are not counted.
const WARM_UP: usize = 5;

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    sim::demand()?;
    let room = Room::new()?;
    let sim = Sim::mount(&room, "sim", &SIX_ZONES)?;
    let everywhere = sched_getaffinity(OURSELVES).context("which CPUs are ours")?;
    let mut figures = Vec::new();
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| everywhere.is_set(*cpu).unwrap_or(false));
    one.set(first.context("no CPU is ours")?)?;
    for (cpus, variant, limit) in
        [(one, "one CPU for all", Some(LIMIT)), (everywhere, "any CPU", None)]
    {
        // Those who are started from here inherit it.
        sched_setaffinity(OURSELVES, &cpus).context("choosing CPUs")?;
        figures.extend(compare(
            options.many(TURNS, TURNS_QUICK),
            subject,
            &room,
            &sim,
            variant,
            limit,
        )?);
    }
    Ok(("socket-latency", figures))
}

fn compare(
    turns_wanted: usize,
    subject: &Subject,
    room: &Room,
    sim: &Sim,
    variant: &str,
    limit: Option<f64>,
) -> Result<Vec<Figure>> {
    let serving = Serving::start(sim, room, subject, 10)?;
    let mut governor = Client::connect(&serving.socket)?;
    let length = governor.ask()?.1;
    let (_process, path) = serve_echo(room, length)?;
    let mut echo = Client::connect(&path)?;

    let mut turns = Vec::new();
    for turn in 0..WARM_UP + turns_wanted {
        let (governor, echo) = (governor.turn()?, echo.turn()?);
        if turn >= WARM_UP {
            turns.push((governor, echo));
        }
    }
    let figure = |what: &str, unit, limit, of: &dyn Fn(&(Turn, Turn)) -> f64| Figure {
        name: format!("{what} [{variant}]"),
        baseline: format!("turns of {REQUESTS} requests, replies of {length} bytes"),
        unit,
        summary: Summary::of(turns.iter().map(of)),
        limit,
    };
    Ok(vec![
        figure("echo: round trip, p50", "us", None, &|(_, echo)| echo.p50),
        figure("governor: round trip, p50", "us", None, &|(governor, _)| governor.p50),
        figure("governor: round trip over the echo's, p50", "x", limit, &|(governor, echo)| {
            governor.p50 / echo.p50
        }),
        figure("echo: round trip, p99", "us", None, &|(_, echo)| echo.p99),
        figure("governor: round trip, p99", "us", None, &|(governor, _)| governor.p99),
    ])
}

/// A turn's round trips, in µs.
#[derive(Debug, Clone, Copy)]
struct Turn {
    p50: f64,
    p99: f64,
}

/// A blocking client that looks at nothing but the end of a line.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
    request: String,
}

impl Client {
    fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
        Ok(Self { stream, buffer: vec![0; REPLY_BYTES_MAX], request: Request::Snapshot.line() })
    }

    /// The round trip in µs, and the length of the reply.
    fn ask(&mut self) -> Result<(f64, usize)> {
        let start = Instant::now();
        self.stream.write_all(self.request.as_bytes())?;
        let mut length = 0;
        loop {
            let got = self.stream.read(self.buffer.get_mut(length..).unwrap_or_default())?;
            ensure!(got > 0, "the connection ended in the middle of a reply");
            length += got;
            if self.buffer.get(length - 1) == Some(&b'\n') {
                return Ok((start.elapsed().as_secs_f64() * 1e6, length));
            }
        }
    }

    fn turn(&mut self) -> Result<Turn> {
        let mut trips = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            trips.push(self.ask()?.0);
        }
        trips.sort_by(f64::total_cmp);
        let at = |rank: usize| trips.get(rank).copied().unwrap_or(f64::NAN);
        Ok(Turn { p50: at(REQUESTS / 2), p99: at(REQUESTS * 99 / 100) })
    }
}

/// Starts the echo; its process, and where it listens.
fn serve_echo(room: &Room, length: usize) -> Result<(Daemon, PathBuf)> {
    let path = room.path.join("echo");
    let _ = std::fs::remove_file(&path);
    let ourselves = std::env::current_exe().context("where is this program")?;
    let mut command = process::command(&ourselves, &room.path);
    command.arg(COMMAND).arg(&path).arg(length.to_string());
    let mut daemon = Daemon::start(&mut command, &ourselves)?;
    while !path.exists() {
        daemon.must_run(&ourselves)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((daemon, path))
}

/// The echo itself: answers every request with so many bytes, until its client hangs up.
pub(crate) fn echo(words: &[String]) -> Result<()> {
    let [path, length] = words else { bail!("usage: {COMMAND} SOCKET LENGTH") };
    let listener = UnixListener::bind(path).with_context(|| path.clone())?;
    let mut reply = vec![b'x'; length.parse::<usize>()?.saturating_sub(1)];
    reply.push(b'\n');
    let (mut stream, _) = listener.accept()?;
    let mut request = [0; 1024];
    while stream.read(&mut request)? > 0 {
        stream.write_all(&reply)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_sends_lines_of_the_length_that_is_asked_for() {
        let room = Room::new().unwrap();
        let path = room.path.join("echo");
        let words = [path.to_string_lossy().into_owned(), "3000".to_owned()];
        let server = std::thread::spawn(move || echo(&words));
        while !path.exists() {
            std::thread::yield_now();
        }
        let mut client = Client::connect(&path).unwrap();
        for _ in 0..3 {
            assert_eq!(client.ask().unwrap().1, 3000);
        }
        let turn = client.turn().unwrap();
        assert!(turn.p50 > 0.0 && turn.p50 <= turn.p99);
        drop(client);
        server.join().unwrap().unwrap();
    }
}
