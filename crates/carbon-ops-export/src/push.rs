//! Sends requests to a collector of OpenTelemetry, one after the other, until each was taken.
//!
//! Rule: what could not be sent is sent again, with the same bytes, in the order in which it was offered; of more than
//! [`WAITING_MAX`] that wait the oldest is given up, which a later total makes good. A request that the collector refuses
//! is given up at once. Nothing that the collector does is waited for by whoever offers.
//!
//! Out of scope: what is in a request.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ureq::http::Uri;

use crate::otlp::refused;

/// Requests that wait: an hour of minutes.
const WAITING_MAX: usize = 60;

/// Longest pause between attempts; it doubles up to there.
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// An attempt takes no longer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// More is no answer to this.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A file of headers is shorter.
const HEADERS_BYTES_MAX: u64 = 64 << 10;

/// Statuses after which a request is sent again (OTLP 1.x, "Retryable Response Codes").
const AGAIN: [u16; 4] = [429, 502, 503, 504];

/// Where requests go.
pub struct Collector {
    url: Uri,
    headers: Vec<(String, String)>,
    pause: Duration,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers hold credentials.
        f.debug_struct("Collector").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Collector {
    /// By its address, to which `/v1/metrics` is added where it has no path; with headers of a file, one a line
    /// (`Name: value`).
    ///
    /// # Errors
    /// When it is no address, is neither protected by TLS nor this machine, or the file cannot be read.
    pub fn new(url: &str, headers: Option<&Path>) -> Result<Self> {
        let parsed: Uri = url.parse().with_context(|| format!("{url:?} is no address"))?;
        let host = parsed.host().with_context(|| format!("{url:?} names no host"))?;
        let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
        let scheme = parsed.scheme_str();
        let protected = scheme == Some("https") || (scheme == Some("http") && is_here);
        ensure!(protected, "{url:?} is neither protected by TLS (https) nor this machine");
        let url = match parsed.path() {
            "" | "/" => format!("{}/v1/metrics", url.trim_end_matches('/')).parse()?,
            _ => parsed,
        };
        let headers = headers.map(read_headers).transpose()?.unwrap_or_default();
        Ok(Self { url, headers, pause: Duration::from_secs(1) })
    }
}

fn read_headers(path: &Path) -> Result<Vec<(String, String)>> {
    let named = || format!("the headers in {}", path.display());
    let mut text = String::new();
    let file = fs::File::open(path).with_context(named)?;
    file.take(HEADERS_BYTES_MAX).read_to_string(&mut text).with_context(named)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').with_context(named)?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// What is in the way.
    trouble: Option<String>,
    given_up: u64,
    ends: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent, in a thread of its own.
#[derive(Debug)]
pub struct Push {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What became of an attempt.
enum Attempt {
    Taken,
    /// It will not be taken.
    Refused(String),
    /// Later it may, also no sooner than so.
    Later(String, Option<Duration>),
}

impl Push {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no other thread.
    pub fn start(collector: Collector) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = thread::Builder::new().name("carbon-ops-otlp".into());
        let thread = thread.spawn(move || send(&own, &collector))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Offers a request.
    pub fn offer(&self, request: Vec<u8>) {
        let mut state = self.shared.state();
        if state.waiting.len() >= WAITING_MAX {
            state.waiting.pop_front();
            state.given_up += 1;
        }
        state.waiting.push_back(request);
        self.shared.changed.notify_all();
    }

    /// What is in the way, and how many requests were given up.
    pub fn trouble(&self) -> (Option<String>, u64) {
        let state = self.shared.state();
        (state.trouble.clone(), state.given_up)
    }

    /// Waits until all is sent, or for so long, and ends; whether all was.
    pub fn finish(mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.shared.state();
        while !state.waiting.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let all = state.waiting.is_empty();
        drop(state);
        if all {
            self.end();
        }
        all
    }

    fn end(&mut self) {
        self.shared.state().ends = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends what is offered.
fn send(shared: &Shared, collector: &Collector) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(ATTEMPT))
        // Nothing is taken from the environment here.
        .proxy(None)
        .user_agent(concat!("carbon-ops/", env!("CARGO_PKG_VERSION")));
    let agent = config.build().new_agent();
    let mut pause = collector.pause;
    loop {
        let mut state = shared.state();
        while state.waiting.is_empty() && !state.ends {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // It stays until it was taken, and meanwhile others may be offered and it may be given up.
        let (Some(request), given_up) = (state.waiting.front().cloned(), state.given_up) else {
            return;
        };
        drop(state);
        let attempt = attempt(&agent, collector, &request);
        let mut state = shared.state();
        let is_front = state.given_up == given_up;
        match attempt {
            Attempt::Taken => (state.trouble, pause) = (None, collector.pause),
            Attempt::Refused(why) => {
                (state.trouble, pause) = (Some(why), collector.pause);
                state.given_up += u64::from(is_front);
            }
            Attempt::Later(why, at_least) => {
                state.trouble = Some(why);
                let until = Instant::now() + at_least.unwrap_or(pause).max(pause).min(PAUSE_MAX);
                pause = (pause * 2).min(PAUSE_MAX);
                while !state.ends {
                    let Some(left) = until.checked_duration_since(Instant::now()) else { break };
                    let waited = shared.changed.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                if state.ends {
                    return;
                }
                continue;
            }
        }
        if is_front {
            state.waiting.pop_front();
        }
        shared.changed.notify_all();
    }
}

fn attempt(agent: &ureq::Agent, collector: &Collector, request: &[u8]) -> Attempt {
    let mut call = agent.post(&collector.url).header("content-type", "application/x-protobuf");
    for (name, value) in &collector.headers {
        call = call.header(name, value);
    }
    let mut response = match call.send(request) {
        Ok(response) => response,
        Err(error) => return Attempt::Later(error.to_string(), None),
    };
    let status = response.status();
    let mut answer = Vec::new();
    let read = response.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    if status.is_success() {
        return match read.ok().and_then(|_| refused(&answer)) {
            Some((points, why)) => {
                Attempt::Refused(format!("{points} points were not taken: {why}"))
            }
            None => Attempt::Taken,
        };
    }
    let why = format!("the collector answered {}", status.as_u16());
    if !AGAIN.contains(&status.as_u16()) {
        return Attempt::Refused(why);
    }
    let after = response.headers().get("retry-after").and_then(|after| after.to_str().ok());
    Attempt::Later(why, after.and_then(|after| after.trim().parse().ok()).map(Duration::from_secs))
}

#[cfg(test)]
mod tests;
