//! Starts a command inside a cgroup, as `std::process::Command` would start it outside: clone3(2)
//! is the only way to do that without moving a running process, and only a raw system call offers it.
//!
//! Out of scope: everything that `carbon-ops run` does not ask of a child, such as streams or a folder of its
//! own.
#![expect(unsafe_code, reason = "clone3(2), and what a child may do before exec")]

use std::ffi::{CString, OsString, c_char};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2};

/// `CLONE_INTO_CGROUP`, since Linux 5.7 (`include/uapi/linux/sched.h`). The constant of the libc
/// crate is an `int`, which it does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` with the members of Linux 5.7 (`include/uapi/linux/sched.h`,
/// `CLONE_ARGS_SIZE_VER2`); the libc crate has it for some targets only.
#[repr(C, align(8))]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Starts a command in a cgroup, with this signal mask and `SIGPIPE` as programs expect it, and with one
/// variable beside those that this process has, found and executed as execvp(3) does: what `Command` does
/// too.
///
/// `None` where the kernel refuses the cgroup or the call (before 5.7, under some filters of system
/// calls); nothing has happened then. The error is that of execvp(3).
pub(crate) fn start(
    command: &[OsString],
    mask: SigSet,
    cgroup: BorrowedFd<'_>,
    (name, value): (&str, &str),
) -> Option<io::Result<Pid>> {
    // All memory that the child needs is allocated before there is one.
    let words: Result<Vec<CString>, _> =
        command.iter().map(|word| CString::new(word.as_bytes())).collect();
    let words = words.ok()?;
    if words.is_empty() {
        return None;
    }
    let inherited = std::env::vars_os().filter(|(other, _)| other != name);
    let inherited = inherited.map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        CString::new(name.as_bytes())
    });
    let variables: Result<Vec<CString>, _> =
        inherited.chain([CString::new(format!("{name}={value}"))]).collect();
    let (arguments, variables) = (ended(&words), variables.ok()?);
    let variables = ended(&variables);
    let (told, tell) = pipe2(OFlag::O_CLOEXEC).ok()?;
    let pid = match fork_into(cgroup)? {
        Forked::Child => become_command(&arguments, &variables, mask, tell.as_raw_fd()),
        Forked::Parent(pid) => pid,
    };
    drop(tell);
    let mut errno = [0; 4];
    // A successful exec closes the pipe without a word.
    if File::from(told).read_exact(&mut errno).is_err() {
        return Some(Ok(pid));
    }
    let _ = waitpid(pid, None);
    Some(Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno))))
}

/// Pointers to texts, and a null pointer after them, as exec(2) takes lists.
fn ended(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Which of the two we are.
enum Forked {
    Child,
    Parent(Pid),
}

/// fork(2) into a cgroup.
fn fork_into(cgroup: BorrowedFd<'_>) -> Option<Forked> {
    let arguments = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        exit_signal: u64::try_from(libc::SIGCHLD).ok()?,
        cgroup: u64::try_from(cgroup.as_raw_fd()).ok()?,
        ..CloneArgs::default()
    };
    // SAFETY: the kernel reads `size_of::<CloneArgs>()` bytes of a structure laid out as it says,
    // which holds no pointer, and writes nothing. Without CLONE_VM, and with no stack given, the
    // child is a copy of this process that goes on here on a copy of its stack, as after fork(2).
    // Unlike fork(3), the C library is not told: it is so only before exec or _exit, and until
    // then `become_command`, the only thing that the child does, asks nothing of it that depends on
    // that. No other thread can hold a lock meanwhile: this program has one.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&arguments), size_of::<CloneArgs>())
    };
    match pid {
        0 => Some(Forked::Child),
        pid => {
            let pid: Option<i32> = pid.try_into().ok().filter(|&pid: &i32| pid > 0);
            pid.map(|pid| Forked::Parent(Pid::from_raw(pid)))
        }
    }
}

/// What the child does: it becomes the command, or tells its parent why not and ends.
///
/// Both lists end with a null pointer, and `arguments` is not empty otherwise.
fn become_command(
    arguments: &[*const c_char],
    variables: &[*const c_char],
    mask: SigSet,
    tell: RawFd,
) -> ! {
    // SAFETY: sigaction(2) with a default disposition is async-signal-safe and installs no handler.
    // Rust's runtime ignores SIGPIPE, we may ignore SIGXFSZ, and an ignored signal stays so over exec.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    let errno = match mask.thread_set_mask() {
        Ok(()) => {
            // SAFETY: both lists point to strings that end with a zero byte and live on in the
            // caller, and they end with a null pointer. execvpe(3) is what execvp(3), which `Command`
            // calls between fork and exec as well, is made of: in glibc and musl it allocates on the
            // stack only and takes no lock; it reads PATH of the environment, which nothing else is
            // changing.
            unsafe {
                libc::execvpe(arguments.as_ptr().read(), arguments.as_ptr(), variables.as_ptr())
            };
            Errno::last_raw()
        }
        Err(error) => error as i32,
    };
    let errno = errno.to_le_bytes();
    // SAFETY: write(2) reads four bytes of an array of four, and _exit(2) runs no destructor and no
    // handler of the parent's. Both are async-signal-safe.
    unsafe {
        libc::write(tell, errno.as_ptr().cast(), errno.len());
        libc::_exit(127)
    }
}

const _: () = assert!(size_of::<CloneArgs>() == 88, "CLONE_ARGS_SIZE_VER2");
