//! A process of its own for calls that may never return or may end the process they are made in.
//!
//! It is a fork and no program that is started: the library has no program of its own where it is part of
//! somebody else's, and a governor that has given up the right to start programs keeps it given up. It is
//! nobody's child, so that whoever waits for children does not meet it, and holds nothing of its parent's but
//! one socket: neither the terminal's signals nor a pipe that is waited for reach it.
//!
//! Out of scope: what is said over the socket (see [`super::helper`]).
#![expect(unsafe_code, reason = "fork(2), _exit(2), signal(2), close_range(2)")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, setsid};

/// Signals by number that the first of all systems had; later ones have no handlers that matter here.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=31;

/// Descriptors that are closed one by one where the kernel cannot close a range.
const DESCRIPTORS_MAX: i32 = 1024;

/// Runs `body` in a process of its own, with one end of a socket whose other end is returned. The process ends
/// when `body` returns or panics.
pub(super) fn run(body: impl FnOnce(UnixStream)) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: in a program with several threads, the child may call what is safe in a signal handler only, and
    // whatever locks another thread held then stay locked. The first child forks again and ends, which both
    // are; the second goes on, as explained in `grown`.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            // Where children are not waited for, there is nothing to wait for.
            while waitpid(child, None) == Err(Errno::EINTR) {}
            Ok(ours)
        }
        ForkResult::Child => {
            // SAFETY: as above.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                drop(ours);
                grown(theirs, body);
            }
            leave()
        }
    }
}

/// The process that nobody waits for. Its memory allocator works, since the C libraries of Linux make theirs
/// usable after a fork (glibc since 2.24 or earlier, musl since 1.2.2). Another lock that another thread held,
/// such as that of the dynamic linker, would stop it for ever, which its parent is prepared for.
fn grown(socket: UnixStream, body: impl FnOnce(UnixStream)) {
    let _ = setsid();
    for signal in SIGNALS {
        // SAFETY: SIG_DFL installs no handler. Handlers of the parent's are not wanted here.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = SigSet::empty().thread_set_mask();
    // A library that aborts leaves no core in the directory where the job runs.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    close_all_but(socket.as_raw_fd());
    // What is left takes no lock of the parent's: its standard streams are not used.
    let _ = catch_unwind(AssertUnwindSafe(|| body(socket)));
}

/// Standard streams lead nowhere, and other descriptors of the parent's are closed.
fn close_all_but(kept: i32) {
    if let Ok(nowhere) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        for stream in 0..3 {
            // SAFETY: numbers of descriptors alone; the standard streams of this process are its own.
            unsafe { libc::dup2(nowhere.as_raw_fd(), stream) };
        }
    }
    for (first, last) in [(3, kept - 1), (kept + 1, i32::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: numbers alone. What is closed belongs to values of the parent's that this process never uses
        // nor drops.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if closed != 0 {
            for descriptor in first..=last.min(DESCRIPTORS_MAX) {
                // SAFETY: as above.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}

/// Ends this process without anything that the program or a library wants to do at its end.
fn leave() -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(0) }
}
