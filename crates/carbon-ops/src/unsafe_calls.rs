//! The calls that only unsafe functions offer, each with its proof.
#![expect(
    unsafe_code,
    reason = "signal(2), sigtimedwait(2), wait4(2), pre_exec and borrowing a numbered descriptor"
)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::time::TimeSpec;

/// `si_code` of a signal that the kernel itself sent, such as the terminal's on Ctrl-C, which the
/// command in the same process group has got too (Linux `include/uapi/asm-generic/siginfo.h`).
const SI_KERNEL: i32 = 0x80;

/// Gives `SIGCHLD` its default disposition. A parent may have left it ignored, and then the kernel
/// reaps our children itself, so that their exit code and CPU time are lost.
pub fn default_sigchld() {
    // SAFETY: `signal` is unsafe because a handler may run at any point of the program. SIG_DFL
    // installs no handler, and no handler is replaced: this program installs none anywhere.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Ignores `SIGXFSZ`: a write beyond a limit of file sizes then fails as one on a full disk does, instead of
/// ending this process and whatever it holds. Commands are started with the default.
pub fn outlive_size_limit() {
    // SAFETY: as above; SIG_IGN installs no handler either.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Which one.
    pub signal: Signal,
    /// The kernel itself sent it, such as that of Ctrl-C on a terminal.
    pub by_kernel: bool,
}

/// Waits for one of these signals, which must be blocked; `None` when none has arrived in time.
///
/// # Errors
/// When the kernel refuses the call, as a filter of system calls may.
pub fn wait_for_signal(
    signals: &SigSet,
    patience: Option<Duration>,
) -> Result<Option<Arrived>, Errno> {
    let patience = patience.map(TimeSpec::from_duration);
    let patience = patience.as_ref().map_or(ptr::null(), |time| ptr::from_ref(time.as_ref()));
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the set and the time are living values of the types that sigtimedwait(2) reads, or no time,
    // which it takes for ever; it writes one siginfo_t, whose members are numbers.
    let number = unsafe { libc::sigtimedwait(signals.as_ref(), info.as_mut_ptr(), patience) };
    match Errno::result(number) {
        Ok(number) => {
            // SAFETY: zero is a value of all its members, and the kernel has filled it.
            let by_kernel = unsafe { info.assume_init() }.si_code == SI_KERNEL;
            Ok(Signal::try_from(number).ok().map(|signal| Arrived { signal, by_kernel }))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(refused) => Err(refused),
    }
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
    let set = move || {
        // SAFETY: as in `default_sigchld`.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigDfl) };
        mask.thread_set_mask().map_err(io::Error::from)
    };
    // SAFETY: between fork and exec only async-signal-safe functions may be called. `set` calls sigaction
    // and pthread_sigmask, which are (signal-safety(7)), on a copied mask, and allocates nothing:
    // `io::Error` of an errno is a plain number.
    unsafe { command.pre_exec(set) };
}

/// A handle of our own to a descriptor that this process was started with, closed for the command.
///
/// # Errors
/// When the descriptor is not open, or not for writing.
pub fn writable(fd: i32) -> io::Result<File> {
    let listed = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    listed.map_err(|_| io::Error::from(Errno::EBADF))?;
    // SAFETY: a descriptor may be borrowed while it is open. It is listed as open, this process has
    // one thread, and the borrow ends with this function, which closes nothing.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = OFlag::from_bits_truncate(fcntl(borrowed, FcntlArg::F_GETFL)?);
    if (flags & OFlag::O_ACCMODE) == OFlag::O_RDONLY {
        return Err(io::Error::other("it is open for reading only"));
    }
    borrowed.try_clone_to_owned().map(File::from)
}
