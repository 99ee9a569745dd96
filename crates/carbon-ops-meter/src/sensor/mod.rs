//! Sensors: what can be read on this machine, and what to do when it cannot.
//!
//! Absence is a state, not an error: [`Availability`] says why, and for a refusal what to do.

use std::fmt;
use std::io;

pub mod model;
pub mod powercap;

/// Whether a sensor can be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It can be read.
    Present,
    /// The machine has none, for this reason.
    Absent(String),
    /// It exists but may not be read; the text says what would allow it.
    Denied(String),
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("present"),
            Self::Absent(why) => write!(f, "absent: {why}"),
            Self::Denied(remedy) => write!(f, "denied: {remedy}"),
        }
    }
}

/// Why a single reading failed, by what the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFault {
    /// Try again later: the counter is there (EIO, ENODATA, EAGAIN, an empty or garbled text).
    Retry,
    /// The zone has gone: CPU hot-unplug or an unloaded driver.
    Gone,
    /// It will not get better while we run (EACCES and all else).
    Fatal,
}

impl ReadFault {
    /// Sorts an I/O error by hand; there is no blanket conversion on purpose.
    pub fn of(error: &io::Error) -> Self {
        // ENXIO 6, ENODEV 19, EINVAL 22, ENODATA 61: errno-base.h and errno.h of Linux.
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) | (_, Some(6 | 19)) => Self::Gone,
            (io::ErrorKind::PermissionDenied, _) => Self::Fatal,
            _ => Self::Retry,
        }
    }
}
