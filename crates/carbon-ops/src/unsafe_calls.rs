//! The four calls that only unsafe functions offer, each with its proof.
#![expect(
    unsafe_code,
    reason = "signal(2), wait4(2), pre_exec and borrowing a numbered descriptor"
)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Gives `SIGCHLD` its default disposition. A parent may have left it ignored, and then the kernel
/// reaps our children itself, so that their exit code and CPU time are lost.
pub fn default_sigchld() {
    // SAFETY: `signal` is unsafe because a handler may run at any point of the program. SIG_DFL
    // installs no handler, and no handler is replaced: this program installs none anywhere.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Waits for a child: how it ended, and the CPU time of it and of all that it had waited for itself.
///
/// # Errors
/// When the kernel refuses, because somebody else has waited for the child perhaps.
pub fn wait_with_cpu_time(child: &Child) -> io::Result<(ExitStatus, Duration)> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are of living variables of the types that wait4(2) writes.
    while unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all of its members are plain numbers, for which zero is a value, and wait4 has succeeded.
    let usage = unsafe { usage.assume_init() };
    let time = |time: libc::timeval| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Ok((ExitStatus::from_raw(status), time(usage.ru_utime) + time(usage.ru_stime)))
}

/// Makes the command start with this signal mask instead of ours, which blocks what we forward.
pub fn start_with_mask(command: &mut Command, mask: SigSet) {
    let set = move || mask.thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe functions may be called. `set` calls
    // pthread_sigmask, which is one (signal-safety(7)), on a copied mask, and allocates nothing:
    // `io::Error` of an errno is a plain number.
    unsafe { command.pre_exec(set) };
}

/// A handle of our own to a descriptor that this process was started with, closed for the command.
///
/// # Errors
/// When the descriptor is not open, or not for writing.
pub fn writable(fd: i32) -> io::Result<File> {
    let listed = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    listed.map_err(|_| io::Error::from(nix::errno::Errno::EBADF))?;
    // SAFETY: a descriptor may be borrowed while it is open. It is listed as open, this process has
    // one thread, and the borrow ends with this function, which closes nothing.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = OFlag::from_bits_truncate(fcntl(borrowed, FcntlArg::F_GETFL)?);
    if (flags & OFlag::O_ACCMODE) == OFlag::O_RDONLY {
        return Err(io::Error::other("it is open for reading only"));
    }
    borrowed.try_clone_to_owned().map(File::from)
}
