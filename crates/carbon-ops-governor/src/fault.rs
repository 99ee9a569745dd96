//! What keeps a governor from starting, as facts.
//!
//! Out of scope: remedies, which `main.rs` has.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

/// What is wrong, to be told apart for whoever knows what to do about it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The configuration cannot be read.
    Configuration(PathBuf),
    /// A setting makes no sense.
    Setting(String),
    /// The machine has no counter that can be read, for these reasons.
    NoCounter(Vec<String>),
    /// The directory of the state cannot be made.
    NoStateDirectory(PathBuf),
    /// Others can change what is in the directory of the state.
    ForeignStateDirectory(PathBuf, u32),
    /// The file of the state cannot be opened.
    NoState(PathBuf),
    /// Another governor keeps this state.
    StateInUse(PathBuf),
    /// The kernel gives no socket at this path.
    CannotListen(PathBuf, ErrorKind),
    /// What is at the socket's path cannot be looked at.
    Hidden(PathBuf),
    /// Something else is at the socket's path.
    NotASocket(PathBuf),
    /// Somebody listens at the socket's path.
    SocketInUse(PathBuf),
    /// Nobody can tell whether somebody listens there.
    CannotProbe(PathBuf),
    /// A dead socket of another user.
    ForeignSocket(PathBuf, u32),
    /// The socket's group does not exist.
    NoGroup(String),
    /// This user may not give the socket to its group.
    NotInGroup(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(path) => write!(f, "configuration {}", path.display()),
            Self::Setting(what) => f.write_str(what),
            Self::NoCounter(why) => {
                write!(f, "no energy counter can be read\n  {}", why.join("\n  "))
            }
            Self::NoStateDirectory(path) => write!(f, "cannot make {}", path.display()),
            Self::ForeignStateDirectory(path, user) => {
                write!(f, "others may write to {}, which is user {user}'s", path.display())
            }
            Self::NoState(path) => write!(f, "cannot open {}", path.display()),
            Self::StateInUse(path) => write!(f, "another governor runs with {}", path.display()),
            Self::CannotListen(path, _) => write!(f, "cannot listen at {}", path.display()),
            Self::Hidden(path) => write!(f, "cannot look at {}", path.display()),
            Self::NotASocket(path) => {
                write!(f, "{} is not a socket and is left alone", path.display())
            }
            Self::SocketInUse(path) => write!(f, "someone listens at {} already", path.display()),
            Self::CannotProbe(path) => {
                write!(f, "{} is a socket that cannot be asked", path.display())
            }
            Self::ForeignSocket(path, user) => {
                write!(f, "{} is a dead socket of user {user}", path.display())
            }
            Self::NoGroup(name) => write!(f, "there is no group {name}"),
            Self::NotInGroup(name) => write!(f, "this user is not in group {name}"),
        }
    }
}

impl std::error::Error for Fault {}
