//! Taking clients on: who may come, and how many of them.
//!
//! Out of scope: what they ask.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use carbon_ops_meter::protocol::error_line;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::client::{Client, PATIENCE};
use super::{CLIENTS_MAX, FIRST_CLIENT, LISTENER, Server};

/// Clients of one user that is not root, so that one cannot keep out the others.
const CLIENTS_PER_USER_MAX: usize = 64;

/// Connections taken from the queue before the others get their turn again.
const ACCEPTS_AT_ONCE: usize = 16;

/// How long new clients wait when the kernel has none to give.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Users that are logged by name once; no host has so many that matter.
const USERS_LOGGED_MAX: usize = 1024;

impl Server {
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(socket) = &self.socket else { return };
            match socket.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(_) if self.close_longest_resting() => {}
                Err(error) => {
                    // Out of descriptors, most likely: those who wait will be served later. The
                    // listener stays ready all the time, so it is not listened to for a while.
                    log::debug!("accept: {error}");
                    self.deaf_until = Some(Instant::now() + ACCEPT_BACKOFF);
                    self.listen_for(EpollFlags::empty());
                    return;
                }
            }
        }
    }

    /// Makes room for those who wait at the cost of one who wants nothing just now, and may come again.
    fn close_longest_resting(&mut self) -> bool {
        let rests = |client: &&mut Option<Client>| {
            let since = client.as_ref().and_then(Client::resting_since);
            since.filter(|since| since.elapsed() >= ACCEPT_BACKOFF)
        };
        let resting = self.clients.iter_mut().filter(|client| rests(client).is_some());
        let longest = resting.min_by_key(rests);
        self.counts.timeouts += u64::from(longest.is_some());
        longest.is_some_and(|client| client.take().is_some())
    }

    pub(super) fn listen_for(&self, events: EpollFlags) {
        let Some(socket) = &self.socket else { return };
        let mut event = EpollEvent::new(events, LISTENER);
        if let Err(error) = self.epoll.modify(&socket.listener, &mut event) {
            log::error!("the listening socket: {error}");
        }
    }

    /// Takes a client on, or says why not.
    fn admit(&mut self, stream: UnixStream) {
        self.counts.connections += 1;
        let Ok(peer) = getsockopt(&stream, PeerCredentials) else { return };
        let (uid, pid) = (peer.uid(), peer.pid());
        log::debug!("client: user {uid}, process {pid}");
        if self.seen.len() < USERS_LOGGED_MAX && self.seen.insert(uid) {
            log::info!("first client of user {uid} (process {pid})");
        }
        let exact = uid == 0 || uid == self.own_uid || self.trusted.contains(&uid);
        let theirs = self.clients.iter().flatten().filter(|client| client.uid == uid).count();
        let all = self.clients.iter().flatten().count();
        // The last places are for root.
        let (full, full_for_user) = if uid == 0 {
            (all >= CLIENTS_MAX, theirs >= CLIENTS_MAX - CLIENTS_PER_USER_MAX)
        } else {
            (all >= CLIENTS_MAX - CLIENTS_PER_USER_MAX, theirs >= CLIENTS_PER_USER_MAX)
        };
        // By fcntl: the standard library's way is an ioctl, which is among the calls given up.
        if fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_err() {
            return;
        }
        if full || full_for_user {
            self.counts.refused += 1;
            let whose = if full { "too many clients" } else { "too many clients of this user" };
            // It fits the socket's buffer, or it is lost.
            let _ = (&stream).write(&error_line(whose));
            return;
        }
        let free = self.clients.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        let event = EpollEvent::new(interest, FIRST_CLIENT + place as u64);
        if self.epoll.add(&stream, event).is_err() {
            return;
        }
        let client = Client {
            stream,
            uid,
            exact,
            input: Vec::new(),
            output: None,
            subscription: None,
            answered: 0,
            ended: false,
            closing: false,
            since: Instant::now(),
            deadline: Some(Instant::now() + PATIENCE),
            interest,
        };
        if let Some(slot) = self.clients.get_mut(place) {
            *slot = Some(client);
        }
    }
}
