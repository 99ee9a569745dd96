//! Gives up what is no longer needed once everything is open: capabilities, the way to new ones,
//! files and system calls. What a kernel does not offer is said and done without.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
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

/// Closes the file system but for what is needed, other processes' abstract sockets, signals to them, and TCP;
/// for this thread and those that it starts.
pub(crate) fn landlock(needs: &Needs) -> &'static str {
    let read = AccessFs::from_read(ABI_KNOWN) & !AccessFs::Execute;
    let write = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let remove = AccessFs::RemoveFile.into();
    match restrict(&[(&needs.read, read), (&needs.write, write), (&needs.remove, remove)]) {
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

/// The newest version of Landlock that is asked for; an older kernel gives what it has.
const ABI_KNOWN: ABI = ABI::V6;

fn restrict(
    allowed: &[(&[PathBuf], BitFlags<AccessFs>)],
) -> Result<RulesetStatus, landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_KNOWN))?
        .handle_access(AccessNet::from_all(ABI_KNOWN))?
        .scope(Scope::from_all(ABI_KNOWN))?
        .create()?;
    for (paths, access) in allowed {
        // What is not there needs no rule.
        for file in paths.iter().filter_map(|path| PathFd::new(path).ok()) {
            rules = rules.add_rule(PathBeneath::new(file, *access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Gives up what a process does not need that asks a driver: all but its devices, which it opens and calls
/// `ioctl` on, and what the kernel tells of it. `folder`: where a library lies that was named.
pub(crate) fn confine_driver(folder: Option<PathBuf>) {
    drop_capabilities(&Needs::default(), true);
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_driver = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("nvidia") || name == "dxg"
    };
    let devices: Vec<PathBuf> = devices.filter(of_driver).collect();
    let told: Vec<PathBuf> =
        ["/proc", "/sys"].map(PathBuf::from).into_iter().chain(folder).collect();
    let read = AccessFs::from_read(ABI_KNOWN) & !AccessFs::Execute;
    // What fails has failed in a process that nobody listens to; the governor's own is another matter.
    let _ = restrict(&[(&told, read), (&devices, read | AccessFs::WriteFile | AccessFs::IoctlDev)]);
    let _ = seccomp_driver();
}

/// System calls that a running governor makes. Others fail with EPERM: another C library or kernel
/// may make one that is not listed, and a governor that is killed for it measures nothing.
const CALLS: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
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
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_pread64,
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
    libc::SYS_statx,
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
    libc::SYS_clone3,
    libc::SYS_eventfd2,
    libc::SYS_ioctl,
    libc::SYS_pipe2,
    libc::SYS_sched_getaffinity,
    libc::SYS_setitimer,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_alarm,
];

/// A system call that is allowed where an argument, by its place, has this value under this mask; where one
/// stands twice, either will do.
type Narrow = (i64, u8, u64, u64);

/// Closes all other system calls, for all threads.
pub(crate) fn seccomp() -> &'static str {
    let executable = flag(libc::PROT_EXEC);
    // Memory is never made executable.
    let memory = [(libc::SYS_mmap, 2, executable, 0), (libc::SYS_mprotect, 2, executable, 0)];
    match filter(&[], &memory) {
        Ok(true) => "enforced",
        Ok(false) => {
            log::info!("no system call filter for this processor");
            "not there"
        }
        Err(error) => {
            log::info!("no system call filter: {error}");
            "failed"
        }
    }
}

/// The same for a process that asks a driver.
fn seccomp_driver() -> Result<bool, String> {
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    // What a new process shares does not stand in an argument of clone3, which the C library does without.
    if let Some(arch) = arch() {
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        apply(SeccompFilter::new(clone3, SeccompAction::Allow, refused, arch))?;
    }
    let (writable, executable) = (flag(libc::PROT_WRITE), flag(libc::PROT_EXEC));
    let thread = flag(libc::CLONE_THREAD);
    filter(
        DRIVER_CALLS,
        &[
            // Memory is writable or executable, and not both.
            (libc::SYS_mmap, 2, executable, 0),
            (libc::SYS_mmap, 2, writable, 0),
            (libc::SYS_mprotect, 2, executable, 0),
            (libc::SYS_mprotect, 2, writable, 0),
            (libc::SYS_clone, 0, thread, thread),
        ],
    )
}

fn flag(flag: i32) -> u64 {
    flag.unsigned_abs().into()
}

fn arch() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// False where no filter is made for this processor.
fn filter(more: &[i64], narrow: &[Narrow]) -> Result<bool, String> {
    let Some(arch) = arch() else { return Ok(false) };
    let calls = CALLS.iter().chain(OLDER_CALLS).chain(more);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.map(|&call| (call, Vec::new())).collect();
    let own = [
        // Signals go to threads of this process, and limits are its own.
        (libc::SYS_tgkill, 0, u32::MAX.into(), std::process::id().into()),
        (libc::SYS_prlimit64, 0, u32::MAX.into(), 0),
    ];
    for &(call, place, mask, value) in own.iter().chain(narrow) {
        let under = SeccompCmpOp::MaskedEq(mask);
        let rule = SeccompCondition::new(place, SeccompCmpArgLen::Dword, under, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())?;
        rules.entry(call).or_default().push(rule);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    apply(SeccompFilter::new(rules, refused, SeccompAction::Allow, arch))?;
    Ok(true)
}

fn apply(filter: Result<SeccompFilter, seccompiler::BackendError>) -> Result<(), String> {
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
}
