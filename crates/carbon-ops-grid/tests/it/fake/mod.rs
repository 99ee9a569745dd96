//! A world for providers: a server of ours on the loopback that answers as the real ones do, a clock that
//! moves when somebody sleeps, and a folder for the cache.
//!
//! At the end of each test the world looks back: nobody asked for what is latest, and no file holds a
//! secret. Errors are shown through [`shown`], which looks for secrets too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carbon_ops_grid::cache::{Cached, Limits, Mode, Store};
use carbon_ops_grid::electricity_maps::ElectricityMaps;
use carbon_ops_grid::fetch::{Clock, Fetcher, Randomness};
use carbon_ops_grid::gb::GreatBritain;
use carbon_ops_grid::http::{Http, Settings};
use carbon_ops_grid::watttime::WattTime;
use carbon_ops_grid::{AnySeries, Interval, InventoryIntensity, Secret, Series, Slot};
use jiff::Timestamp;

pub(crate) mod api;

pub(crate) const TOKEN: &str = "em-token-5f3c9a";
pub(crate) const USER: &str = "wt-user-7d21";
pub(crate) const PASSWORD: &str = "wt-password-88ee";
/// Base64 of user and password, as `Authorization: Basic` has it (RFC 7617).
pub(crate) const BASIC: &str = "d3QtdXNlci03ZDIxOnd0LXBhc3N3b3JkLTg4ZWU=";
pub(crate) const BEARER: &str = "bearer-token-c0ffee";

pub(crate) fn secrets() -> [&'static str; 5] {
    [TOKEN, USER, PASSWORD, BASIC, BEARER]
}

/// The text of an error, in both forms, after a look for secrets in it.
pub(crate) fn shown(error: &(impl std::error::Error + 'static)) -> String {
    let text = error.to_string();
    for secret in secrets() {
        assert!(!text.contains(secret) && !format!("{error:?}").contains(secret), "{text}");
    }
    text
}

/// What came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let target = first.split(' ').nth(1)?.to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line.ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        Some(Self { path: path.to_owned(), query, headers })
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// How an answer goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wire {
    #[default]
    Whole,
    /// Says how long it is, and ends before.
    CutOff,
    /// A byte now and then.
    Drip,
    /// Closed without a word.
    Nothing,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) wire: Wire,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), ..Self::default() }
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.wire == Wire::Nothing {
            return Ok(());
        }
        let mut head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        match self.wire {
            Wire::Whole => stream.write_all(&self.body),
            Wire::CutOff => stream.write_all(&self.body[..self.body.len() / 2]),
            Wire::Drip => {
                // Ends when the client hangs up.
                for byte in &self.body {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            }
            Wire::Nothing => Ok(()),
        }
    }
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A clock that moves when somebody sleeps, or when a test says so.
#[derive(Debug)]
pub(crate) struct FakeClock {
    start: Timestamp,
    elapsed: Mutex<Duration>,
}

impl FakeClock {
    pub(crate) fn advance(&self, time: Duration) {
        *self.elapsed.lock().unwrap() += time;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.start + self.elapsed()
    }
    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

struct Half;

impl Randomness for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

pub(crate) struct World {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) dir: tempfile::TempDir,
    /// Replies that go before those of the handler, one each.
    pub(crate) script: Arc<Mutex<Vec<Reply>>>,
}

impl World {
    /// `now` is the time that the clock begins with.
    pub(crate) fn new(
        now: &str,
        handler: impl Fn(&Asked, Timestamp) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clock = Arc::new(FakeClock { start: now.parse().unwrap(), elapsed: Mutex::default() });
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let script: Arc<Mutex<Vec<Reply>>> = Arc::default();
        let of_clock = Arc::clone(&clock);
        let handler: Arc<Handler> = Arc::new(move |asked| handler(asked, of_clock.now()));
        let (log, first) = (Arc::clone(&asked), Arc::clone(&script));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let (handler, log, first) =
                    (Arc::clone(&handler), Arc::clone(&log), Arc::clone(&first));
                std::thread::spawn(move || {
                    let Some(asked) = Asked::read(&stream) else { return };
                    log.lock().unwrap().push(asked.clone());
                    let scripted = {
                        let mut script = first.lock().unwrap();
                        (!script.is_empty()).then(|| script.remove(0))
                    };
                    let _ = scripted.unwrap_or_else(|| handler(&asked)).send(&mut stream);
                });
            }
        });
        Self { address, asked, clock, dir: tempfile::tempdir().unwrap(), script }
    }

    pub(crate) fn base(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.contains(path)).count()
    }

    pub(crate) fn then(&self, reply: Reply) {
        self.script.lock().unwrap().push(reply);
    }

    pub(crate) fn fetcher(&self) -> Arc<Fetcher> {
        // No answer of these servers takes a hundredth of this; on a loaded machine some take long.
        self.fetcher_within(Duration::from_secs(30))
    }

    fn fetcher_within(&self, timeout: Duration) -> Arc<Fetcher> {
        let settings = Settings { timeout, ..Settings::default() };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let fetcher = Fetcher::new(Box::new(Http::new(&settings).unwrap()), clock, Box::new(Half));
        Arc::new(fetcher.keeping(Arc::new(self.store(Mode::Online).answers())))
    }

    pub(crate) fn store(&self, mode: Mode) -> Arc<Store> {
        let ttl = Duration::from_secs(300);
        Arc::new(Store::new(self.dir.path(), Limits::default(), ttl, mode))
    }

    pub(crate) fn electricity_maps(&self) -> ElectricityMaps {
        let token = Secret::new(TOKEN).unwrap();
        ElectricityMaps::new(self.fetcher(), &self.base("/v4"), token)
    }

    /// One that does not wait for a slow answer.
    pub(crate) fn impatient(&self) -> ElectricityMaps {
        let fetcher = self.fetcher_within(Duration::from_millis(400));
        ElectricityMaps::new(fetcher, &self.base("/v4"), Secret::new(TOKEN).unwrap())
    }

    pub(crate) fn watttime(&self) -> WattTime {
        let (user, password) = (Secret::new(USER).unwrap(), Secret::new(PASSWORD).unwrap());
        WattTime::new(self.fetcher(), &self.base(""), user, password)
    }

    pub(crate) fn gb(&self) -> GreatBritain {
        GreatBritain::new(self.fetcher(), &self.base(""))
    }

    pub(crate) fn cached(
        &self,
        provider: impl carbon_ops_grid::Provider + 'static,
        store: &Arc<Store>,
    ) -> Cached {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Cached::new(Box::new(provider), Arc::clone(store), clock)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for asked in self.asked() {
            let newest = ["/latest", "/signal-index"];
            assert!(!newest.iter().any(|path| asked.path.ends_with(path)), "{asked:?}");
            assert!(asked.path != "/intensity" && asked.path != "/regional", "{asked:?}");
            // A secret in an address would be in the logs of every proxy.
            for secret in secrets() {
                assert!(!format!("{}{:?}", asked.path, asked.query).contains(secret), "{asked:?}");
            }
        }
        no_secrets_below(self.dir.path());
    }
}

fn no_secrets_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_secrets_below(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|ending| ending == "gz") {
            let mut plain = Vec::new();
            let mut unpacker = flate2::read::GzDecoder::new(bytes.as_slice());
            std::io::Read::read_to_end(&mut unpacker, &mut plain).unwrap();
            bytes = plain;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for secret in secrets() {
            assert!(!text.contains(secret), "{secret} in {}", path.display());
        }
    }
}

pub(crate) fn span(start: &str, end: &str) -> Interval {
    Interval::parse(start, end).unwrap()
}

pub(crate) fn inventory(series: &AnySeries) -> &Series<InventoryIntensity> {
    series.inventory().unwrap()
}

pub(crate) fn values(series: &AnySeries) -> Vec<f64> {
    inventory(series).slots().iter().map(Slot::as_grams_per_kilowatt_hour).collect()
}
