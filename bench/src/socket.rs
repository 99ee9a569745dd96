//! `socket-latency`: how long a client waits for a snapshot over the socket, against a server that
//! does nothing but send as many bytes back.
//!
//! Both are asked by the same code over one connection each, in turns of a few hundred requests, so
//! that what changes on the machine meets both alike. Deliberately absent: many clients at a time,
//! for which there are limits and not figures.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use carbon_ops_meter::protocol::{REPLY_BYTES_MAX, Request};

use crate::Options;
use crate::figure::Figure;
use crate::governor::{SIX_ZONES, Serving};
use crate::sim::{self, Sim};
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// Most that the median round trip may take, as a multiple of the echo's.
const LIMIT: f64 = 1.5;

/// Requests of a turn, and turns.
const REQUESTS: usize = 200;
const TURNS: usize = 50;

/// Turns that are not counted.
const WARM_UP: usize = 5;

pub(crate) fn measure(
    _options: &Options,
    subject: &Subject,
) -> Result<(&'static str, Vec<Figure>)> {
    sim::demand()?;
    let room = Room::new()?;
    let sim = Sim::mount(&room, "sim", &SIX_ZONES)?;
    let serving = Serving::start(&sim, &room, subject, 10)?;
    let mut governor = Client::connect(&serving.socket)?;
    let length = governor.ask()?.1;
    let mut echo = Client::connect(&serve_echo(&room, length)?)?;

    let mut turns = Vec::new();
    for turn in 0..WARM_UP + TURNS {
        let (governor, echo) = (governor.turn()?, echo.turn()?);
        if turn >= WARM_UP {
            turns.push((governor, echo));
        }
    }
    let figure = |what: &str, unit, limit, of: &dyn Fn(&(Turn, Turn)) -> f64| Figure {
        name: format!("{what} [a reply of {length} bytes]"),
        baseline: format!("turns of {REQUESTS} requests over one connection"),
        unit,
        summary: Summary::of(turns.iter().map(of)),
        limit,
    };
    let figures = vec![
        figure("echo: round trip, p50", "us", None, &|(_, echo)| echo.p50),
        figure("governor: round trip, p50", "us", None, &|(governor, _)| governor.p50),
        figure("governor: round trip over the echo's, p50", "x", Some(LIMIT), &|(
            governor,
            echo,
        )| {
            governor.p50 / echo.p50
        }),
        figure("echo: round trip, p99", "us", None, &|(_, echo)| echo.p99),
        figure("governor: round trip, p99", "us", None, &|(governor, _)| governor.p99),
    ];
    Ok(("socket-latency", figures))
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

/// A thread that answers every line with so many bytes, until its client hangs up.
fn serve_echo(room: &Room, length: usize) -> Result<std::path::PathBuf> {
    let path = room.path.join("echo");
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
    let mut reply = vec![b'x'; length.saturating_sub(1)];
    reply.push(b'\n');
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 1024];
        while stream.read(&mut request)? > 0 {
            stream.write_all(&reply)?;
        }
        Ok(())
    });
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_sends_lines_of_the_length_that_is_asked_for() {
        let room = Room::new().unwrap();
        let mut client = Client::connect(&serve_echo(&room, 3000).unwrap()).unwrap();
        for _ in 0..3 {
            assert_eq!(client.ask().unwrap().1, 3000);
        }
        let turn = client.turn().unwrap();
        assert!(turn.p50 > 0.0 && turn.p50 <= turn.p99);
    }
}
