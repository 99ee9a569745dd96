//! `agent-cost`: what `carbon-ops agent` takes and holds around the clock, on an idle host and beside many processes that
//! each wake once a second, and how fast it answers whoever collects its metrics, also beside clients that are slow or
//! hostile.
//!
//! Out of scope: writing records, which is once a quarter of an hour.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Options;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::governor::{Seen, watch};
use crate::process;
use crate::stats::Summary;
use crate::subject::{Room, Subject};

/// How this program is asked to be one of many processes.
pub(crate) const COMMAND: &str = "wake";

/// Processes beside those of the machine.
const MANY: [usize; 4] = [0, 100, 1_000, 5_000];

/// Most CPU time in ms per 30 s beside so many, and most resident memory in KiB.
const LIMITS_MS: [Option<f64>; 4] = [Some(100.0), None, Some(250.0), None];
const LIMIT_KIB: f64 = 16_384.0;

/// How long a scrape may take, in ms, for 99 of 100 of them, beside 1,000 processes.
const SCRAPE_LIMIT_MS: f64 = 10.0;

/// Scrapes, and clients that send half a question and wait.
const SCRAPES: usize = 1_000;
const SLOW: usize = 64;

const LENGTH: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

/// One of many processes: wakes once a second, until it is ended.
pub(crate) fn wake() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Processes that each wake once a second, ended with this.
struct Herd(Vec<Child>);

impl Herd {
    fn new(count: usize, room: &Room) -> Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut herd = Self(Vec::with_capacity(count));
        for _ in 0..count {
            let mut command = process::command(&program, &room.path);
            herd.0.push(command.arg(COMMAND).spawn().context("one process more")?);
        }
        Ok(herd)
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// An agent that serves its metrics.
struct Serving {
    daemon: Daemon,
    address: SocketAddr,
}

impl Serving {
    fn start(subject: &Subject, room: &Room) -> Result<Self> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = process::command(&subject.binary, &room.path);
        command.args(["agent", "--no-records", "--listen", &address.to_string()]);
        command.arg("--state-dir").arg(room.path.join("agent")).stderr(Stdio::null());
        let mut daemon = Daemon::start(&mut command, &subject.binary)?;
        let start = Instant::now();
        while !scrape(address).is_ok_and(|text| text.contains("_looks_total")) {
            daemon.must_run(&subject.binary)?;
            ensure!(start.elapsed() < PATIENCE, "the agent does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { daemon, address })
    }
}

/// All metrics, as a collector asks for them.
fn scrape(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "no metrics: {text:.100}");
    Ok(text)
}

/// Clients that never finish their question; they are connected until they are dropped.
fn slow(address: SocketAddr) -> Result<Vec<TcpStream>> {
    let half = |_| {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /met")?;
        Ok(stream)
    };
    (0..SLOW).map(half).collect()
}

/// Milliseconds of each of many scrapes.
fn scrapes(address: SocketAddr, many: usize) -> Result<Vec<f64>> {
    let once = |_| {
        let start = Instant::now();
        scrape(address)?;
        Ok(process::milliseconds(start.elapsed()))
    };
    (0..many).map(once).collect()
}

/// The value that 99 of 100 do not exceed.
fn p99(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    sample
        .get((sample.len() * 99 / 100).min(sample.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

pub(crate) fn measure(options: &Options, subject: &Subject) -> Result<(&'static str, Vec<Figure>)> {
    let room = Room::new()?;
    let length = options.length.unwrap_or(LENGTH);
    let mut figures = Vec::new();
    for (many, limit) in MANY.into_iter().zip(LIMITS_MS) {
        let many = options.many(many, many.min(10));
        let herd = Herd::new(many, &room)?;
        let (mut seen, mut quick, mut beside_slow) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds_or(1) {
            let agent = Serving::start(subject, &room)?;
            seen.push(watch(&agent.daemon, length)?);
            quick.push(p99(scrapes(agent.address, options.many(SCRAPES, 3))?));
            let clients = slow(agent.address)?;
            beside_slow.push(watch(&agent.daemon, length)?);
            drop(clients);
        }
        drop(herd);
        let of = |what: &str, unit, limit, values: Vec<f64>| Figure {
            name: format!("{what} [{many} processes that wake every second]"),
            baseline: format!("{} s, model, a look every 5 s", length.as_secs_f64()),
            unit,
            summary: Summary::of(values),
            limit,
        };
        let cpu = |seen: &[Seen]| seen.iter().map(|seen| seen.cpu).collect::<Vec<_>>();
        let resident = seen.iter().map(|seen| seen.memory.resident).collect();
        let scrape_limit = (many == 1_000).then_some(SCRAPE_LIMIT_MS);
        figures.extend([
            of("CPU time per 30 s", "ms", limit, cpu(&seen)),
            of("CPU time per 30 s beside 64 slow clients", "ms", limit, cpu(&beside_slow)),
            of("resident memory", "KiB", (many <= 100).then_some(LIMIT_KIB), resident),
            of("a scrape, p99 of 1,000", "ms", scrape_limit, quick),
        ]);
    }
    Ok(("agent-cost", figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p99_is_the_value_that_99_of_100_do_not_exceed() {
        assert!((p99((1..=1000).map(f64::from).rev().collect()) - 991.0).abs() < 1e-9);
        assert!(p99(Vec::new()).abs() < 1e-9);
    }
}
