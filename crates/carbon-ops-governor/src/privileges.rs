//! Gives up what is no longer needed once everything is open: capabilities, the way to new ones,
//! files and system calls. What a kernel does not offer is said and done without.

use std::collections::BTreeMap;
use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde_json::{Value, json};

/// What stays allowed.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Counters are read that only this capability opens again, where the user is not root.
    pub(crate) capability: Option<Capability>,
    /// Directories with files to be read.
    pub(crate) read: Vec<PathBuf>,
    /// Directories with files to be written and replaced.
    pub(crate) write: Vec<PathBuf>,
    /// Directories with a file to be removed at the end.
    pub(crate) remove: Vec<PathBuf>,
    /// A driver's library runs in this process: it opens devices, and calls `ioctl`.
    pub(crate) driver: bool,
}

/// Keeps one capability at most, and none for a root that owns the files that it reads; in all sets,
/// so that no program that were started could get them back.
pub(crate) fn drop_capabilities(needs: &Needs, is_root: bool) -> Value {
    let keep: CapsHashSet = needs.capability.filter(|_| !is_root).into_iter().collect();
    let mut failed = Vec::new();
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        failed.extend(caps::clear(None, set).err().map(|error| error.to_string()));
    }
    for capability in caps::all().difference(&keep) {
        // Needs CAP_SETPCAP, which is given up right after; without it the set is what it was.
        let _ = caps::drop(None, CapSet::Bounding, *capability);
    }
    // What cannot be read is not kept.
    let held = caps::read(None, CapSet::Permitted).unwrap_or_else(|error| {
        failed.push(error.to_string());
        CapsHashSet::new()
    });
    let kept: CapsHashSet = held.intersection(&keep).copied().collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        failed.extend(caps::set(None, set, &kept).err().map(|error| error.to_string()));
    }
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        failed.push(format!("no_new_privs: {error}"));
    }
    for failure in &failed {
        log::warn!("capabilities: {failure}");
    }
    let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
    json!({ "capabilities": kept, "failed": failed })
}

/// Closes the file system but for what is needed; for this thread and those that it starts.
pub(crate) fn landlock(needs: &Needs) -> &'static str {
    match restrict(needs) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => "enforced",
        Ok(RulesetStatus::NotEnforced) => {
            log::info!("this kernel has no Landlock; files stay open to this process");
            "not there"
        }
        Err(error) => {
            log::warn!("Landlock: {error}");
            "failed"
        }
    }
}

fn restrict(needs: &Needs) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let read = AccessFs::from_read(abi) & !AccessFs::Execute;
    let write = AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?;
    let open = |paths: &[PathBuf], access: landlock::BitFlags<AccessFs>| {
        // What is not there needs no rule.
        let files: Vec<_> = paths.iter().filter_map(|path| PathFd::new(path).ok()).collect();
        files.into_iter().map(|file| PathBeneath::new(file, access)).collect::<Vec<_>>()
    };
    let mut allowed = open(&needs.read, read);
    allowed.extend(open(&needs.write, write | AccessFs::ReadDir));
    allowed.extend(open(&needs.remove, AccessFs::RemoveFile.into()));
    if needs.driver {
        let device = read | AccessFs::WriteFile | AccessFs::IoctlDev;
        allowed.extend(open(&["/dev".into(), "/proc".into()], device));
    }
    for rule in allowed {
        rules = rules.add_rule(rule)?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// System calls that a running governor makes. Others fail with EPERM: another C library or kernel
/// may make one that is not listed, and a governor that is killed for it measures nothing.
const CALLS: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socket,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older names of some of them, which the newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLDER_CALLS: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_nanosleep,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CALLS: &[i64] = &[];

/// What a driver's library needs beside them: its devices, and threads of its own.
const DRIVER_CALLS: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_eventfd2,
    libc::SYS_ioctl,
    libc::SYS_pipe2,
    libc::SYS_sched_getaffinity,
    libc::SYS_uname,
];

/// Closes all other system calls, for all threads.
pub(crate) fn seccomp(needs: &Needs) -> &'static str {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        log::info!("no system call filter for this processor");
        return "not there";
    };
    let driver = if needs.driver { DRIVER_CALLS } else { &[] };
    let calls = CALLS.iter().chain(OLDER_CALLS).chain(driver);
    let rules: BTreeMap<i64, Vec<_>> = calls.map(|&call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let applied = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
        .and_then(|program| {
            seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
        });
    match applied {
        Ok(()) => "enforced",
        Err(error) => {
            log::info!("no system call filter: {error}");
            "failed"
        }
    }
}
