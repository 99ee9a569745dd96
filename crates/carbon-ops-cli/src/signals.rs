//! The two signal calls that only unsafe functions offer, each with its proof.
#![expect(unsafe_code, reason = "signal(2) and pre_exec have no safe form")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Gives `SIGCHLD` its default disposition. A parent may have left it ignored, and then the kernel
/// reaps our children itself, so that their exit code and CPU time are lost.
pub(crate) fn default_sigchld() {
    // SAFETY: `signal` is unsafe because a handler may run at any point of the program. SIG_DFL
    // installs no handler, and no handler is replaced: this program installs none anywhere.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// Makes the command start with this signal mask instead of ours, which blocks what we forward.
pub(crate) fn start_with_mask(command: &mut Command, mask: SigSet) {
    let set = move || mask.thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe functions may be called. `set` calls
    // pthread_sigmask, which is one (signal-safety(7)), on a copied mask, and allocates nothing:
    // `io::Error` of an errno is a plain number.
    unsafe { command.pre_exec(set) };
}
