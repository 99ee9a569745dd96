//! One system call that only an unsafe function offers: giving `SIGCHLD` its default disposition.
//!
//! A parent may have left it ignored, and then the kernel reaps our children itself, so that their
//! exit code and CPU time are lost.
#![expect(unsafe_code, reason = "signal(2) is unsafe only for handlers, and none is installed")]

use nix::sys::signal::{SigHandler, Signal, signal};

/// Gives `SIGCHLD` its default disposition.
pub(crate) fn reset() {
    // SAFETY: `signal` is unsafe because a handler may run at any point of the program. SIG_DFL
    // installs no handler, and no handler is replaced: this program installs none anywhere.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}
