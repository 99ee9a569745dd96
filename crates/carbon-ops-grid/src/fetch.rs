//! Asking a provider over HTTP, politely: one request at a time per bucket of tokens, again after a
//! failure that may pass, never longer or larger than a limit.
//!
//! The clock, the randomness and the transport are passed in, so that every rule here can be tried
//! without a network and without waiting.
//!
//! Out of scope: sockets and TLS (`http`), and what answers mean.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64ct::Encoding as _;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::provider::Error;
use crate::secret::{Secret, UnusableSecret};
use carbon_ops_estimate::intensity::Digest;

/// Largest answer that is read. 32 days of five-minute values are below 1 MiB.
pub const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// How often a request is made at most, the first time included.
const ATTEMPTS_MAX: u32 = 4;

/// Pause before the second attempt; doubled before each further one.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that asks for more patience than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of what a server says stands in an error.
const MESSAGE_CHARS_MAX: usize = 200;

/// The clocks that fetching needs.
pub trait Clock: Send + Sync {
    /// Wall clock.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, never set back.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// Numbers from 0 (included) to 1 (excluded), for pauses that must not fall together.
pub trait Randomness: Send + Sync {
    /// The next one.
    fn unit(&self) -> f64;
}

/// A header that no output shows the value of.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Name of the header.
    pub header: &'static str,
    /// Its value.
    pub value: Secret,
    /// What it is made of: taken out of what a server says.
    parts: Vec<Secret>,
}

impl Credential {
    /// A header that is the secret itself.
    pub fn plain(header: &'static str, secret: &Secret) -> Self {
        Self { header, value: secret.clone(), parts: vec![secret.clone()] }
    }

    /// `Authorization: Basic`.
    ///
    /// # Errors
    /// When the two cannot be sent.
    pub fn basic(user: &Secret, password: &Secret) -> Result<Self, UnusableSecret> {
        let pair = format!("{}:{}", user.reveal(), password.reveal());
        let encoded = Secret::new(&base64ct::Base64::encode_string(pair.as_bytes()))?;
        let value = Secret::new(&format!("Basic {}", encoded.reveal()))?;
        let parts = vec![encoded, user.clone(), password.clone()];
        Ok(Self { header: "authorization", value, parts })
    }

    /// `Authorization: Bearer`.
    ///
    /// # Errors
    /// When the token cannot be sent.
    pub fn bearer(token: &Secret) -> Result<Self, UnusableSecret> {
        let value = Secret::new(&format!("Bearer {}", token.reveal()))?;
        Ok(Self { header: "authorization", value, parts: vec![token.clone()] })
    }
}

/// A GET request. Its address never holds a secret.
#[derive(Debug, Clone)]
pub struct Request {
    base: String,
    path: String,
    query: String,
    /// Secret headers.
    pub credential: Option<Credential>,
}

impl Request {
    /// `base` is scheme, host and what stands before the path of every request.
    pub fn new(base: &str, path: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            path: path.to_owned(),
            query: String::new(),
            credential: None,
        }
    }

    /// Adds a parameter; its value is percent-encoded.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&percent_encoded(value));
        self
    }

    /// Adds a secret header.
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// The whole address.
    pub fn url(&self) -> String {
        format!("{}{}{}", self.base, self.path, self.query)
    }

    /// Path and parameters, as they are kept beside the answer.
    pub fn path_and_query(&self) -> String {
        format!("{}{}", self.path, self.query)
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        // A user in an address is a secret.
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// Host and path, by which errors name it.
    pub fn name(&self) -> String {
        format!("{}{}", self.host(), self.path)
    }
}

/// RFC 3986, 2.3: all but the unreserved characters.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `Location`: where what was asked for has moved.
    pub location: Option<String>,
    /// The body, at most [`ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoResponse {
    /// It may pass: a timeout, a connection that broke.
    MayPass(String),
    /// It will not: an answer that is too large, a certificate that is not trusted.
    WillNotPass(String),
    /// Nothing was sent: the address has no TLS, and is not that of this machine.
    Unprotected,
}

/// Sends a request and reads its answer, once.
pub trait Transport: Send + Sync {
    /// # Errors
    /// When no answer came, or one that is too large or was cut off.
    fn get(&self, request: &Request) -> Result<Response, NoResponse>;
}

/// A good answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// Its SHA-256.
    pub digest: Digest,
    /// When it was complete.
    pub fetched_at: Timestamp,
}

impl Answer {
    /// The body, as the provider documents it.
    pub(crate) fn json<T: DeserializeOwned>(&self, provider: &'static str) -> Result<T, Error> {
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        serde_json::from_slice(body).map_err(|error| {
            let what = if body.trim_ascii_start().starts_with(b"<") {
                format!("an answer that is a page and no data: {}", said(body, None))
            } else {
                format!("an answer that is not as documented: {error}")
            };
            Error::Malformed { provider, what }
        })
    }
}

/// Where answers are kept as they came, so that a record can be derived from them again.
pub trait Archive: Send + Sync {
    /// Keeps an answer. A failure is not reported: the answer is missing when it is looked for.
    fn keep(&self, provider: &'static str, request: &Request, answer: &Answer);
}

/// How often a provider may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: f64,
    /// Requests that may follow each other at once.
    pub burst: f64,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

/// What was asked and how it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchCounts {
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Of these, answered with status 200.
    pub answered: u64,
    /// Of these, repetitions.
    pub repeated: u64,
    /// Bytes of all answers.
    pub bytes: u64,
    /// Time from request to answer, summed.
    pub latency: Duration,
    /// The longest of these times.
    pub latency_max: Duration,
}

/// Asks providers.
pub struct Fetcher {
    transport: Box<dyn Transport>,
    /// The clocks, which providers share.
    pub clock: Arc<dyn Clock>,
    randomness: Box<dyn Randomness>,
    archive: Option<Arc<dyn Archive>>,
    buckets: Mutex<HashMap<String, Bucket>>,
    counts: Mutex<FetchCounts>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Keeps no answers unless [`Fetcher::keeping`] says where.
    pub fn new(
        transport: Box<dyn Transport>,
        clock: Arc<dyn Clock>,
        randomness: Box<dyn Randomness>,
    ) -> Self {
        Self {
            transport,
            clock,
            randomness,
            archive: None,
            buckets: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Keeps every good answer that is marked for it.
    #[must_use]
    pub fn keeping(mut self, archive: Arc<dyn Archive>) -> Self {
        self.archive = Some(archive);
        self
    }

    /// What was asked so far.
    pub fn counts(&self) -> FetchCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for data, and keeps the answer.
    ///
    /// # Errors
    /// When the provider says no, or nothing useful came after all attempts.
    pub fn data(
        &self,
        provider: &'static str,
        request: &Request,
        rate: Rate,
    ) -> Result<Answer, Error> {
        let answer = self.ask(provider, request, rate)?;
        if let Some(archive) = &self.archive {
            archive.keep(provider, request, &answer);
        }
        Ok(answer)
    }

    /// Asks for something that must not be kept: a token.
    ///
    /// # Errors
    /// As [`Fetcher::data`].
    pub fn ask(
        &self,
        provider: &'static str,
        request: &Request,
        rate: Rate,
    ) -> Result<Answer, Error> {
        let mut attempt = 1;
        loop {
            self.wait_for_token(request.host(), rate);
            let (error, after) = match self.once(provider, request, attempt) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = self.pause(attempt).max(after.unwrap_or_default());
            let may_pass = error.is_transient() && after.is_none_or(|after| after <= PATIENCE);
            if attempt >= ATTEMPTS_MAX || !may_pass {
                return Err(error);
            }
            self.clock.sleep(pause);
            attempt += 1;
        }
    }

    /// Doubled each time, and at random between half and all of that, so that many clients that failed
    /// together do not come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let longest = PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        longest.mul_f64(0.5 + 0.5 * self.randomness.unit().clamp(0.0, 1.0))
    }

    fn once(
        &self,
        provider: &'static str,
        request: &Request,
        attempt: u32,
    ) -> Result<Answer, (Error, Option<Duration>)> {
        let began = self.clock.elapsed();
        let response = self.transport.get(request);
        self.count(attempt, self.clock.elapsed().saturating_sub(began), response.as_ref().ok());
        let response = response.map_err(|failure| (no_answer(provider, request, failure), None))?;
        match response.status {
            200 => {
                let digest = Digest(Sha256::digest(&response.body).into());
                Ok(Answer { body: response.body, digest, fetched_at: self.clock.now() })
            }
            429 => {
                let after = self.retry_after(&response);
                Err((Error::RateLimited { provider, retry_after: after }, after))
            }
            status => {
                let message = match response.location.as_ref().filter(|_| status / 100 == 3) {
                    Some(location) => shown(&format!("it has moved to {location}")),
                    None => said(&response.body, request.credential.as_ref()),
                };
                let error = Error::Status { provider, request: request.name(), status, message };
                Err((error, self.retry_after(&response)))
            }
        }
    }

    fn count(&self, attempt: u32, latency: Duration, response: Option<&Response>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.requests += 1;
        counts.repeated += u64::from(attempt > 1);
        counts.latency += latency;
        counts.latency_max = counts.latency_max.max(latency);
        if let Some(response) = response {
            counts.answered += u64::from(response.status == 200);
            counts.bytes += response.body.len() as u64;
        }
    }

    /// RFC 9110, 10.2.3: a number of seconds or a date.
    fn retry_after(&self, response: &Response) -> Option<Duration> {
        let text = response.retry_after.as_deref()?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Duration::from_secs(seconds.into()));
        }
        let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        let until = parser.parse_timestamp(text).ok()?;
        Some(Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default())
    }

    /// Takes a token of the host's bucket, and waits for one if the bucket is empty.
    fn wait_for_token(&self, host: &str, rate: Rate) {
        let wait = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.elapsed();
            let fresh = Bucket { tokens: rate.burst, at: now };
            let bucket = buckets.entry(host.to_owned()).or_insert(fresh);
            let since = now.saturating_sub(bucket.at).as_secs_f64();
            bucket.tokens = (bucket.tokens + since * rate.per_second).min(rate.burst) - 1.0;
            bucket.at = now;
            // Below zero: the token is lent, and waited for outside of the lock.
            Duration::try_from_secs_f64((-bucket.tokens / rate.per_second).max(0.0))
        };
        if let Some(wait) = wait.ok().filter(|wait| !wait.is_zero()) {
            self.clock.sleep(wait.min(PATIENCE));
        }
    }
}

fn no_answer(provider: &'static str, request: &Request, failure: NoResponse) -> Error {
    match failure {
        NoResponse::MayPass(reason) => {
            Error::NoAnswer { provider, host: request.host().to_owned(), reason }
        }
        NoResponse::WillNotPass(reason) => {
            Error::Malformed { provider, what: format!("{}: {reason}", request.name()) }
        }
        NoResponse::Unprotected => Error::Unprotected { provider, host: request.host().to_owned() },
    }
}

/// What a server says about its refusal: all of the usual members of JSON, or the beginning of the text. What was
/// sent as a secret is taken out, should the server repeat it.
fn said(body: &[u8], credential: Option<&Credential>) -> String {
    let text = String::from_utf8_lossy(body.get(..4096).unwrap_or(body)).into_owned();
    let json = serde_json::from_str::<serde_json::Value>(&text).ok();
    let members = json.as_ref().map(|json| {
        let of = |path: &&str| json.pointer(path)?.as_str();
        let paths = ["/error/message", "/error", "/message", "/detail"];
        paths.iter().filter_map(of).collect::<Vec<_>>().join(": ")
    });
    let mut text = members.filter(|members| !members.is_empty()).unwrap_or(text);
    if let Some(credential) = credential {
        for part in &credential.parts {
            text = text.replace(part.reveal(), "••••");
        }
    }
    shown(&text)
}

/// The beginning, without what a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(MESSAGE_CHARS_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests;
