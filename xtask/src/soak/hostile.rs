//! Clients that mean no good, in a process of their own and as a user without rights.
//!
//! What they get does not matter; what matters is that nobody else notices.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::random::Random;

/// How this program is asked to be hostile: `soak-hostile SOCKET SECONDS CONNECTIONS MIB SEED`.
pub(crate) const COMMAND: &str = "soak-hostile";

/// A client that is not let through waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Attack {
    socket: PathBuf,
    until: Instant,
    connections: usize,
    /// A request without an end has at most so many bytes.
    bytes: u64,
}

/// Attacks until the time is over.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let [socket, seconds, connections, mib, seed] = words else { bail!("{COMMAND}: five words") };
    let attack = Attack {
        socket: PathBuf::from(socket),
        until: Instant::now() + Duration::from_secs_f64(seconds.parse().context("seconds")?),
        connections: connections.parse()?,
        bytes: mib.parse::<u64>()? << 20,
    };
    let mut random = Random::new(seed.parse()?);
    let kinds: [fn(&Attack, Random); 6] = [silent, deaf, slow, endless, garbage, hasty];
    std::thread::scope(|scope| {
        for kind in kinds {
            let (attack, random) = (&attack, random.split());
            scope.spawn(move || kind(attack, random));
        }
    });
    Ok(())
}

impl Attack {
    fn is_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Waits, and not beyond the end.
    fn rest(&self, time: Duration) {
        std::thread::sleep(time.min(self.until.saturating_duration_since(Instant::now())));
    }

    fn connect(&self) -> Option<UnixStream> {
        let stream = connect(&self.socket);
        if stream.is_none() {
            // Its queue is full, or it is being killed.
            std::thread::sleep(Duration::from_millis(20));
        }
        stream
    }
}

fn connect(socket: &Path) -> Option<UnixStream> {
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Very many connections, on which nothing is sent and nothing is read.
fn silent(attack: &Attack, mut random: Random) {
    while attack.is_on() {
        let mut held = Vec::new();
        while held.len() < attack.connections && attack.is_on() {
            held.extend(attack.connect());
        }
        attack.rest(random.ms(500, 2000));
    }
}

/// Subscribers who do not read.
fn deaf(attack: &Attack, mut random: Random) {
    while attack.is_on() {
        let mut held = Vec::new();
        for _ in 0..attack.connections.min(50) {
            let Some(mut stream) = attack.connect() else { continue };
            let _ = stream.write_all(b"{\"request\":\"subscribe\",\"interval_ms\":1}\n");
            held.push(stream);
        }
        attack.rest(random.ms(2000, 8000));
    }
}

/// Requests that come byte by byte.
fn slow(attack: &Attack, mut random: Random) {
    while attack.is_on() {
        let mut streams: Vec<UnixStream> = (0..8).filter_map(|_| attack.connect()).collect();
        for byte in b"{\"request\":\"snapshot\"}\n{\"request\":\"hea" {
            streams.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
            std::thread::sleep(random.ms(5, 40));
            if !attack.is_on() {
                return;
            }
        }
    }
}

/// A request that has no end.
fn endless(attack: &Attack, _random: Random) {
    let block = vec![b'{'; 1 << 16];
    let mut sent: u64 = 0;
    while attack.is_on() && sent < attack.bytes {
        let Some(mut stream) = attack.connect() else { continue };
        while let Ok(length) = stream.write(&block) {
            sent += length as u64;
            if sent >= attack.bytes || !attack.is_on() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What is no request.
fn garbage(attack: &Attack, mut random: Random) {
    while attack.is_on() {
        let Some(mut stream) = attack.connect() else { continue };
        for _ in 0..=random.below(4) {
            let length = random.below(2000);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
            if random.percent(50) {
                bytes.push(b'\n');
            }
            let _ = stream.write_all(&bytes);
        }
        let _ = stream.read(&mut [0; 4096]);
        std::thread::sleep(random.ms(1, 10));
    }
}

/// Those who are gone before the answer comes, at any point.
fn hasty(attack: &Attack, mut random: Random) {
    while attack.is_on() {
        if let Some(mut stream) = attack.connect() {
            let requests: [&[u8]; 5] = [
                b"",
                b"{}\n",
                b"{\"request\":\"hea",
                b"{\"request\":\"health\"}\n{}\n{}\n{}\n",
                b"{\"request\":\"subscribe\",\"count\":3}\n",
            ];
            let _ = random.one_of(&requests).map(|request| stream.write_all(request));
            if random.percent(30) {
                let _ = stream.read(&mut [0; 100]);
            }
        }
        std::thread::sleep(random.ms(1, 5));
    }
}
