//! The server: one thread that answers clients from the published pages and minds the signals.
//!
//! A client costs a fixed amount of memory and never makes anyone wait: requests are short, answers
//! are shared between clients, a client that does not read gets nothing more and is closed, and
//! there is a limit on clients in all and of one user. The sampler does not know that clients exist.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carbon_ops_meter::page::PageReader;
use carbon_ops_meter::protocol::{
    OK, PROTOCOL, Request, STALE, error_line, snapshot_line, stale_line,
};
use carbon_ops_meter::snapshot::Snapshot;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::{Value, json};

use self::client::{Client, REST_MAX, Subscription};
use crate::clocks;
use crate::notify::Manager;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::socket::Socket;

mod accept;
mod client;

/// Clients at a time. Each holds a descriptor, and a request buffer while it sends.
const CLIENTS_MAX: usize = 256;

const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const FIRST_CLIENT: u64 = 2;

/// What a signal asks of the caller.
pub(crate) enum Action {
    /// End.
    Stop(Signal),
    /// Read the configuration again.
    Reload,
}

/// A page, and its snapshot as the line that is sent.
#[derive(Debug)]
struct View {
    page: PageReader,
    snapshot: Snapshot,
    stamp: u64,
    is_stale: bool,
    line: Rc<[u8]>,
}

impl View {
    fn new(page: PageReader) -> Self {
        Self { page, snapshot: Snapshot::default(), stamp: 0, is_stale: false, line: Rc::from([]) }
    }

    /// The newest snapshot; made once for all clients that ask for it.
    fn line(&mut self, place: Option<&PathBuf>) -> Rc<[u8]> {
        let stamp = self.page.stamp();
        let is_new = (stamp != self.stamp || self.line.is_empty())
            && self.page.read(&mut self.snapshot).is_ok();
        // A sampler that hangs leaves its last sample, which is not how things stand.
        let is_stale = self.snapshot.is_stale(clocks::monotonic());
        if is_new || is_stale != self.is_stale {
            if is_stale && !self.is_stale {
                log::error!("the sampler hangs: what is served is stale");
            }
            (self.stamp, self.is_stale) = (stamp, is_stale);
            let line = if is_stale { stale_line } else { snapshot_line };
            self.line = line(&self.snapshot, place.map(PathBuf::as_path)).into();
        }
        Rc::clone(&self.line)
    }
}

/// What the server counts of itself.
#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    refused: u64,
    requests: u64,
    bad_requests: u64,
    timeouts: u64,
}

/// Everything that is served.
#[derive(Debug)]
pub(crate) struct Server {
    epoll: Epoll,
    signals: SignalFd,
    socket: Option<Socket>,
    exact: View,
    public: Option<View>,
    page: Option<PathBuf>,
    shared: Arc<Shared>,
    clients: Vec<Option<Client>>,
    trusted: Vec<u32>,
    /// Who runs the governor sees what it sees.
    own_uid: u32,
    seen: BTreeSet<u32>,
    counts: Counts,
    about: Value,
    started: Instant,
    manager: Manager,
    /// How often it wants to hear that the sampler lives.
    watchdog: Option<Duration>,
    watched: Instant,
    /// How many samples there were, and when that was first seen.
    ticks: (u64, Instant),
    /// Until when no client is accepted.
    deaf_until: Option<Instant>,
}

/// What the server needs to start.
pub(crate) struct Parts {
    pub(crate) socket: Option<Socket>,
    pub(crate) exact: PageReader,
    pub(crate) public: Option<(PathBuf, PageReader)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) trusted: Vec<u32>,
    pub(crate) manager: Manager,
}

/// Blocks the signals that the server handles; before any thread is started.
pub(crate) fn block_signals() -> Result<SigSet> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        mask.add(signal);
    }
    mask.thread_block().context("cannot block signals")?;
    Ok(mask)
}

impl Server {
    pub(crate) fn new(parts: Parts, mask: &SigSet) -> Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(mask, flags).context("cannot open a signalfd")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot open an epoll")?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS)).context("epoll")?;
        if let Some(socket) = &parts.socket {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
            epoll.add(&socket.listener, event).context("epoll")?;
        }
        let (page, public) = parts.public.unzip();
        let now = Instant::now();
        Ok(Self {
            epoll,
            signals,
            socket: parts.socket,
            exact: View::new(parts.exact),
            public: public.map(View::new),
            page,
            shared: parts.shared,
            clients: Vec::new(),
            trusted: parts.trusted,
            own_uid: nix::unistd::geteuid().as_raw(),
            seen: BTreeSet::new(),
            counts: Counts::default(),
            about: Value::Null,
            started: now,
            watchdog: parts.manager.watchdog.map(|period| period / 2),
            manager: parts.manager,
            watched: now,
            ticks: (0, now),
            deaf_until: None,
        })
    }

    /// Serves until a signal comes.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(crate) fn serve(&mut self) -> Result<Action> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, self.timeout(Instant::now())) {
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error).context("cannot wait for clients"),
            };
            let mut action = None;
            for event in events.get(..ready).unwrap_or_default() {
                match event.data() {
                    LISTENER => self.accept(),
                    SIGNALS => action = action.or(self.signal()),
                    client => self.client(client - FIRST_CLIENT, event.events()),
                }
            }
            self.tick(Instant::now());
            if let Some(action) = action {
                return Ok(action);
            }
        }
    }

    /// Uses other settings from here on, as far as they can change.
    pub(crate) fn apply(&mut self, settings: &Settings) {
        let (interval, quantum) = (settings.client_interval, settings.client_quantum);
        self.shared.set(settings.poll_interval, interval, quantum);
        self.trusted.clone_from(&settings.trusted_uids);
    }

    /// Tells the service manager something.
    pub(crate) fn tell_manager(&self, what: &str) {
        self.manager.tell(what);
    }

    /// What `health` tells of the process.
    pub(crate) fn tell_about(&mut self, about: Value) {
        self.about = about;
    }

    fn signal(&mut self) -> Option<Action> {
        let info = self.signals.read_signal().ok().flatten()?;
        let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
        match signal {
            Signal::SIGHUP => Some(Action::Reload),
            Signal::SIGTERM | Signal::SIGINT => Some(Action::Stop(signal)),
            _ => None,
        }
    }

    fn client(&mut self, place: u64, ready: EpollFlags) {
        let Ok(place) = usize::try_from(place) else { return };
        let Some(mut client) = self.clients.get_mut(place).and_then(Option::take) else { return };
        // Closed in both directions: whatever it asked for, nobody will read it. A level that stays
        // must end here, or epoll would report it for ever.
        let broken = ready.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let alive = !broken && client.receive() && self.answer(&mut client);
        if alive {
            self.keep(place, client);
        }
        // Else it is dropped, which closes it.
    }

    /// Puts a client back, waiting for what it can do next.
    fn keep(&mut self, place: usize, mut client: Client) {
        let mut wanted = EpollFlags::empty();
        if client.output.is_some() {
            wanted |= EpollFlags::EPOLLOUT;
        } else if !client.ended {
            wanted |= EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        }
        if wanted != client.interest {
            let mut event = EpollEvent::new(wanted, FIRST_CLIENT + place as u64);
            if self.epoll.modify(client.stream.as_fd(), &mut event).is_err() {
                return;
            }
            client.interest = wanted;
        }
        if let Some(slot) = self.clients.get_mut(place) {
            *slot = Some(client);
        }
    }

    /// Sends what is to be sent and takes the next request, until the client must be waited for.
    /// False when it is done with.
    fn answer(&mut self, client: &mut Client) -> bool {
        loop {
            if !client.send() {
                return false;
            }
            if client.output.is_some() {
                return true;
            }
            if client.closing {
                return false;
            }
            let Some(line) = client.next_line() else {
                return client.subscription.is_some() || !client.ended;
            };
            self.counts.requests += 1;
            client.answered += 1;
            client.deadline = Some(Instant::now() + REST_MAX);
            let answer = match line.and_then(|line| Request::parse(&line)) {
                Ok(request) => self.reply(client, &request),
                Err(reason) => {
                    self.counts.bad_requests += 1;
                    client.closing = true;
                    error_line(&reason).into()
                }
            };
            client.begin(answer);
        }
    }

    fn reply(&mut self, client: &mut Client, request: &Request) -> Rc<[u8]> {
        match request {
            Request::Snapshot => self.line(client.exact),
            Request::Subscribe { interval, count } => {
                let shortest = if client.exact {
                    self.shared.interval()
                } else {
                    self.shared.client_interval()
                };
                let interval = interval.unwrap_or(shortest).max(shortest);
                let line = self.line(client.exact);
                client.subscription = Some(Subscription {
                    interval,
                    next: Instant::now() + interval,
                    left: count.map(|count| count.saturating_sub(1)),
                    seq: self.view(client.exact).snapshot.seq,
                });
                if *count == Some(1) || *count == Some(0) {
                    client.subscription = None;
                }
                line
            }
            Request::Topology => json_line(&json!({
                "status": "ok", "protocol": PROTOCOL, "topology": self.shared.topology(),
            })),
            Request::Health => json_line(&self.health()),
        }
    }

    fn view(&mut self, exact: bool) -> &mut View {
        match &mut self.public {
            Some(public) if !exact => public,
            _ => &mut self.exact,
        }
    }

    fn line(&mut self, exact: bool) -> Rc<[u8]> {
        let page = self.page.clone();
        self.view(exact).line(page.as_ref())
    }

    fn health(&mut self) -> Value {
        // As the exact view has it, which is read for this if nobody else asks.
        self.line(true);
        let status = if self.exact.is_stale { STALE } else { OK };
        let counts = &self.counts;
        json!({
            "status": status,
            "protocol": PROTOCOL,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "clients": {
                // The one that asks is in hand, and in no place.
                "now": 1 + self.clients.iter().flatten().count(), "most": CLIENTS_MAX,
                "connections": counts.connections, "refused": counts.refused,
                "requests": counts.requests, "bad_requests": counts.bad_requests,
                "timeouts": counts.timeouts,
            },
            "sampler": self.shared.health(),
            "privileges": self.about,
        })
    }

    /// When to wake even if nobody calls; never, when nobody is there.
    fn timeout(&self, now: Instant) -> EpollTimeout {
        let clients = self.clients.iter().flatten();
        let times = clients.flat_map(|client| {
            let sending = client.output.is_some();
            let next = client.subscription.filter(|_| !sending).map(|subscribed| subscribed.next);
            [client.deadline, next]
        });
        let watchdog = self.watchdog.map(|period| self.watched + period);
        let next = times.chain([watchdog, self.deaf_until]).flatten().min();
        next.map_or(EpollTimeout::NONE, |next| {
            // Rounded up, since waking early would wait again.
            let ms = next.saturating_duration_since(now).as_micros().div_ceil(1000);
            EpollTimeout::try_from(ms.min(60_000)).unwrap_or(EpollTimeout::ZERO)
        })
    }

    /// Serves subscribers whose time has come, and closes those who were waited for in vain.
    fn tick(&mut self, now: Instant) {
        for place in 0..self.clients.len() {
            let Some(mut client) = self.clients.get_mut(place).and_then(Option::take) else {
                continue;
            };
            if client.deadline.is_some_and(|deadline| deadline <= now) {
                self.counts.timeouts += 1;
                continue;
            }
            let due = client.subscription.is_some_and(|subscribed| subscribed.next <= now);
            if !due || client.output.is_some() || self.publish(&mut client, now) {
                self.keep(place, client);
            }
        }
        if self.deaf_until.is_some_and(|until| until <= now) {
            self.deaf_until = None;
            self.listen_for(EpollFlags::EPOLLIN);
        }
        if let Some(period) = self.watchdog
            && now.saturating_duration_since(self.watched) >= period
        {
            self.watched = now;
            if self.is_sampling(period, now) {
                self.tell_manager("WATCHDOG=1");
            }
        }
    }

    /// Whether the sampler lives: it does while samples come, of which one may be late by a period.
    fn is_sampling(&mut self, looked_every: Duration, now: Instant) -> bool {
        let ticks = self.shared.ticks();
        if ticks != self.ticks.0 {
            self.ticks = (ticks, now);
        }
        let patience = looked_every + 2 * self.shared.interval();
        now.saturating_duration_since(self.ticks.1) < patience
    }

    /// The next line for a subscriber; false when it has got its last one, or is gone.
    fn publish(&mut self, client: &mut Client, now: Instant) -> bool {
        let Some(mut subscribed) = client.subscription else { return true };
        let line = self.line(client.exact);
        let seq = self.view(client.exact).snapshot.seq;
        if seq == subscribed.seq {
            // The sample is late; look again soon.
            subscribed.next = now + subscribed.interval / 8;
            client.subscription = Some(subscribed);
            return true;
        }
        subscribed.seq = seq;
        subscribed.next += subscribed.interval;
        if subscribed.next <= now {
            subscribed.next = now + subscribed.interval;
        }
        subscribed.left = subscribed.left.map(|left| left.saturating_sub(1));
        client.subscription = Some(subscribed).filter(|subscribed| subscribed.left != Some(0));
        client.begin(line);
        self.answer(client)
    }
}

fn json_line(value: &Value) -> Rc<[u8]> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line.into()
}
