//! Opening events: what a test does in its own way, and the system call `perf_event_open(2)`, which no safe
//! function offers, with its proof.
//!
//! Out of scope: all of its features but counting one event of one CPU.
#![expect(unsafe_code, reason = "perf_event_open has no wrapper in libc")]

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// `PERF_ATTR_SIZE_VER0` of `include/uapi/linux/perf_event.h`.
const ATTR_BYTES: u32 = 64;

/// `PERF_FLAG_FD_CLOEXEC` (ibid.).
const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;

/// An open event.
pub trait Event: fmt::Debug + Send {
    /// What it has counted since it was opened.
    ///
    /// # Errors
    /// As the read fails.
    fn count(&mut self) -> io::Result<u64>;
}

/// Who opens events: the kernel, or a test.
pub trait EventOpener {
    /// Opens an event of a PMU on one CPU, for all processes.
    ///
    /// # Errors
    /// Those of `perf_event_open(2)`.
    fn open(&self, pmu_type: u32, config: u64, cpu: u32) -> io::Result<Box<dyn Event>>;
}

/// The first version of `struct perf_event_attr`, which every kernel takes.
#[repr(C)]
#[derive(Debug, Default)]
struct Attr {
    pmu_type: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

const _: () = assert!(size_of::<Attr>() == ATTR_BYTES as usize);

/// Events of the running kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl EventOpener for Kernel {
    fn open(&self, pmu_type: u32, config: u64, cpu: u32) -> io::Result<Box<dyn Event>> {
        let cpu = i32::try_from(cpu).map_err(|_| io::ErrorKind::InvalidInput)?;
        let attr = Attr { pmu_type, size: ATTR_BYTES, config, ..Attr::default() };
        let all_processes: libc::pid_t = -1;
        let no_group: libc::c_int = -1;
        // SAFETY: the kernel reads `size` bytes of the attributes, which are as many and outlive the
        // call, and keeps no pointer to them. The other arguments are plain numbers, of the widths that
        // perf_event_open(2) states.
        let result = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                all_processes,
                cpu,
                no_group,
                CLOSE_ON_EXEC,
            )
        };
        let fd = RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just returned this descriptor, open, and nobody else knows it.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Box::new(Counting(File::from(owned))))
    }
}

/// An open event of the kernel.
#[derive(Debug)]
struct Counting(File);

impl Event for Counting {
    /// With a `read_format` of 0, a read yields the count alone. The PMU exists on x86 only, which is
    /// little-endian.
    fn count(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No PMU has this number, so that the call is made and refused, whatever the machine.
    #[test]
    fn an_unknown_pmu_is_refused_by_the_kernel() {
        let error = Kernel.open(u32::MAX, 0, 0).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error:?}");
    }
}
