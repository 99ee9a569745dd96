//! The listening socket: taken from the service manager, or made here.
//!
//! Nothing is ever deleted that is not a dead socket of this user. Whoever listens already is left
//! alone, and this governor refuses to start.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use caps::{CapSet, Capability};
use listenfd::ListenFd;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Group as UnixGroup, chown, getegid, geteuid, getgroups};

use crate::fault::Fault;
use crate::settings::{Group, Settings};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    /// The path to remove at the end, with the inode that was made; nothing where the service
    /// manager made it.
    made: Option<(PathBuf, u64)>,
}

impl Socket {
    /// Takes the socket that a service manager passes, or makes one.
    pub(crate) fn open(settings: &Settings, group: Option<Gid>) -> Result<Self> {
        let mut passed = ListenFd::from_env();
        if passed.len() > 1 {
            bail!("{} sockets were passed, and one is wanted", passed.len());
        }
        let listener = passed.take_unix_listener(0).context("the socket that was passed")?;
        let socket = match listener {
            Some(listener) => {
                log::info!("listening at the socket that was passed");
                Self { listener, made: None }
            }
            None => Self::make(&settings.socket_path, group, settings.socket_mode)?,
        };
        socket.listener.set_nonblocking(true).context("the socket")?;
        Ok(socket)
    }

    fn make(path: &Path, group: Option<Gid>, mode: u32) -> Result<Self> {
        clear(path)?;
        // Nobody may connect before the group is set.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path);
        umask(before);
        let listener = bound.map_err(|error| {
            let fault = Fault::CannotListen(path.to_owned(), error.kind());
            anyhow::Error::new(error).context(fault)
        })?;
        let made = fs::symlink_metadata(path).context("the new socket")?.ino();
        let socket = Self { listener, made: Some((path.to_owned(), made)) };
        if group.is_some() {
            chown(path, None, group).with_context(|| format!("group of {}", path.display()))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("permissions of {}", path.display()))?;
        log::info!("listening at {} (mode {mode:o})", path.display());
        Ok(socket)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some((path, inode)) = &self.made else { return };
        // Another governor may have taken the place meanwhile.
        if fs::symlink_metadata(path).is_ok_and(|now| now.ino() == *inode) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what a dead governor left; refuses anything else.
fn clear(path: &Path) -> Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| Fault::Hidden(path.to_owned()));
        }
    };
    let own = || path.to_owned();
    if !there.file_type().is_socket() {
        bail!(Fault::NotASocket(own()));
    }
    match probe(path) {
        // Its queue may be full, and a socket that waited for a place would wait for ever.
        Ok(()) | Err(Errno::EAGAIN) => {
            bail!(Fault::SocketInUse(own()))
        }
        Err(Errno::ECONNREFUSED) => {}
        Err(error) => return Err(error).with_context(|| Fault::CannotProbe(own())),
    }
    if there.uid() != geteuid().as_raw() {
        bail!(Fault::ForeignSocket(own(), there.uid()));
    }
    let shown = path.display();
    fs::remove_file(path).with_context(|| format!("cannot remove the dead socket {shown}"))?;
    log::info!("removed the dead socket {shown}");
    Ok(())
}

/// Connects and hangs up, without waiting.
fn probe(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

/// The group of the socket.
///
/// # Errors
/// When it does not exist, or this user may not give anything to it.
pub(crate) fn group(group: &Group) -> Result<Gid> {
    let (name, asked) = match group {
        Group::Named(name) => (name.as_str(), true),
        Group::Default(name) => (*name, false),
    };
    // The file of local groups first: asking the name service loads libraries that stay in memory.
    let local = local_group(&fs::read_to_string("/etc/group").unwrap_or_default(), name);
    let found = match local {
        None if asked => {
            let by_number = || name.parse().ok().map(Gid::from_raw);
            let known =
                UnixGroup::from_name(name).with_context(|| format!("looking for group {name}"))?;
            known.map(|group| group.gid).or_else(by_number)
        }
        local => local,
    };
    match found {
        Some(gid) if may_give(gid) => Ok(gid),
        Some(_) => bail!(Fault::NotInGroup(name.to_owned())),
        None => bail!(Fault::NoGroup(name.to_owned())),
    }
}

/// Whether the kernel lets this process give a file of its own to a group (chown(2)).
fn may_give(gid: Gid) -> bool {
    getegid() == gid
        || caps::has_cap(None, CapSet::Effective, Capability::CAP_CHOWN).unwrap_or(false)
        || getgroups().is_ok_and(|groups| groups.contains(&gid))
}

/// The number of a group in the text of `/etc/group` (group(5)).
fn local_group(text: &str, name: &str) -> Option<Gid> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
        (found == name).then(|| gid.parse().ok().map(Gid::from_raw))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\ncarbon-users-x:x:7:\ncarbon-users:x:998:alice,bob\nbroken\n";
        assert_eq!(local_group(text, "carbon-users"), Some(Gid::from_raw(998)));
        assert_eq!(local_group(text, "carbon"), None);
        assert_eq!(local_group(text, "broken"), None);
    }
}
