//! What a service manager wants to hear (`sd_notify(3)`), over a socket that is connected while sockets can still
//! be made.
//!
//! Out of scope: sockets that a manager passes (see [`crate::socket`]).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A service manager, or none.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear of the watchdog.
    pub(crate) watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub(crate) fn from_env() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|address| connect(&address).ok());
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // Another process of the unit may be the one that is watched.
        let is_meant =
            number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let period = number("WATCHDOG_USEC").filter(|&us| us > 0 && is_meant);
        Self { socket, watchdog: period.map(Duration::from_micros) }
    }

    /// Tells it something; whether it hears is its own matter.
    pub(crate) fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(what.as_bytes());
        }
    }
}

fn connect(address: &OsStr) -> std::io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
