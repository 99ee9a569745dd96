//! Runs a command as its own parent would: same terminal, same streams, signals passed on, exit
//! code given back; and sees every process that it leaves behind.
//!
//! One thread, which waits for signals, and between them the caller's counters are read when they are due.
//! What a kernel or a filter of system calls refuses is gone without: the command runs.
//!
//! # Whose CPU time is counted
//!
//! Two accounts are kept, each of which can only be too small, and the larger one is taken:
//!
//! - By descent. The kernel adds the CPU time of each reaped process, and of all that it had reaped
//!   itself, to its parent's `RUSAGE_CHILDREN`: exact to the microsecond, however short-lived the
//!   descendant. As a child subreaper we are also the parent of those that were orphaned.
//!   Descendants that outlive the command are read while they run. Missing are children of a process
//!   that ignores `SIGCHLD`: the kernel reaps them, and adds them to nobody. Without a cgroup they are looked
//!   for now and then, and count as they were last seen, which is said.
//! - By cgroup, where the command got one of its own ([`Cgroup`]): all that ever ran in it, whoever
//!   reaped it. Missing are those that someone moved to another cgroup, as container engines and
//!   service managers do with what they start; and what a living one did since its last tick.
//!
//! Which processes are in both accounts is not known, so that they cannot be joined: a command with
//! processes of both kinds is undercounted by the lesser of the two.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carbon_ops_meter::cpu_time::{Living, ignores_children, living_descendants};
use carbon_ops_meter::host_root::HostRoot;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgid, getpid, getsid};

use crate::cgroup::Cgroup;
use crate::identity::PARENT;
use crate::spawn_in_cgroup;
use crate::unsafe_calls::{self, Arrived};

/// Signals that someone may send to us and mean the command. Those of the terminal's job control
/// reach both of us anyway and are left alone.
const FORWARDED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
];

/// How often to look at the command where the kernel does not let us wait for a signal.
const LOOK: Duration = Duration::from_millis(20);

/// The first look for children that nobody will wait for, and then how often; and where there are some.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LOOKS: Duration = Duration::from_millis(250);
const LOOKS_AT_UNREAPED: Duration = Duration::from_millis(50);

/// Conventions of shells and of env(1).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNALLED: u8 = 128;

/// What a command left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code, or 128 + n; `None` while it runs.
    pub exit_code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// CPU time of all its processes up to now.
    pub cpu_time: Duration,
    /// Descendants that are still alive.
    pub running: u64,
    /// The command had a cgroup of its own, so that no process was missed for want of a reaper.
    pub by_cgroup: bool,
    /// Some were missed for want of a reaper, in part at least.
    pub unreaped: bool,
}

/// A command that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {program:?}: {source}")]
pub struct NotStarted {
    program: OsString,
    /// 126 or 127.
    pub exit_code: u8,
    source: io::Error,
}

impl NotStarted {
    /// What the system said of a program.
    pub(crate) fn new(program: OsString, source: io::Error) -> Self {
        let exit_code = match source.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        };
        Self { program, exit_code, source }
    }

    /// The words of it, where it is a whole command line in place of a program.
    pub fn command_line(&self) -> Option<&str> {
        let line = self.program.to_str().filter(|line| line.trim().contains(char::is_whitespace));
        line.filter(|_| self.exit_code == NOT_FOUND)
    }
}

/// Ready to run one command: signals are blocked, and orphans will come to us.
#[derive(Debug)]
pub struct Supervisor {
    /// What is blocked, and waited for.
    awaited: SigSet,
    /// The mask that the command gets.
    inherited: SigSet,
    /// CPU time of children from before, which an `exec` into this program leaves behind.
    before: Duration,
    host: HostRoot,
    ticks_per_second: u32,
    /// Where the command runs, if the kernel lets us.
    cgroup: Option<Cgroup>,
    /// A process of ours, which is no part of the command's.
    beside: Option<i32>,
    unreaped: RefCell<Unreaped>,
}

/// Children of processes that ignore `SIGCHLD`, with the CPU time that nobody else will tell of.
#[derive(Debug, Default)]
struct Unreaped {
    /// Of those that lived at the last look.
    seen: BTreeMap<i32, Duration>,
    /// Of those that have gone since, as it was last seen.
    gone: Duration,
    were_any: bool,
}

impl Unreaped {
    /// Looks at all living descendants.
    fn look(&mut self, host: &HostRoot, living: &[Living]) {
        let parents: BTreeSet<_> = living.iter().map(|process| process.parent).collect();
        let ourselves = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let ignore = |parent: &i32| *parent != ourselves && ignores_children(host, *parent);
        let parents: BTreeSet<_> = parents.into_iter().filter(ignore).collect();
        for process in living.iter().filter(|process| parents.contains(&process.parent)) {
            self.seen.insert(process.pid, cpu_time(process));
        }
        // Whoever has lost its parent is ours, and will be waited for.
        self.seen.retain(|pid, last| {
            let there = living.iter().find(|process| process.pid == *pid);
            self.gone += if there.is_none() { *last } else { Duration::ZERO };
            there.is_some_and(|process| parents.contains(&process.parent))
        });
        self.were_any |= !parents.is_empty();
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 + n.
    pub exit_code: u8,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// It died of the terminal's Ctrl-C, which we got too: a shell that waits for us wants to see
    /// us die of it as well.
    pub interrupted: bool,
}

impl Supervisor {
    /// Prepares this process. A process `beside` is ours, and in no account of the command's; it becomes our
    /// child where orphans do.
    pub fn new(host: HostRoot, ticks_per_second: u32, beside: Option<i32>) -> Self {
        unsafe_calls::default_sigchld();
        let mut awaited = SigSet::empty();
        for signal in FORWARDED.into_iter().chain([Signal::SIGCHLD]) {
            awaited.add(signal);
        }
        let inherited = awaited.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let inherited = inherited.unwrap_or_else(|_| SigSet::empty());
        // Without it, orphans of the command go to another reaper, and their CPU time with them.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let cgroup = Cgroup::make(&host);
        let before = Duration::ZERO;
        let unreaped = RefCell::default();
        let mut supervisor =
            Self { awaited, inherited, before, host, ticks_per_second, cgroup, beside, unreaped };
        supervisor.before = by_descent(&supervisor.living());
        supervisor
    }

    /// Starts the command, with the signal mask that we were started with, and with the identity of the
    /// record that will be its own: what is measured inside of it names this one as its parent.
    ///
    /// # Errors
    /// [`NotStarted`] with the exit code to give.
    pub fn start(&mut self, command: &[OsString], record_id: &str) -> Result<Pid, NotStarted> {
        let variable = (PARENT, record_id);
        let in_cgroup = self.cgroup.as_ref().and_then(|cgroup| {
            spawn_in_cgroup::start(command, self.inherited, cgroup.directory(), variable)
        });
        let started = in_cgroup.unwrap_or_else(|| {
            self.cgroup = None;
            self.start_without_cgroup(command, variable)
        });
        let program = command.first().cloned().unwrap_or_default();
        started.map_err(|source| NotStarted::new(program, source))
    }

    fn start_without_cgroup(
        &self,
        command: &[OsString],
        (name, value): (&str, &str),
    ) -> io::Result<Pid> {
        let nothing = OsString::new();
        let (program, arguments) = command.split_first().unwrap_or((&nothing, &[]));
        let mut command = Command::new(program);
        let command = command.args(arguments).env(name, value);
        unsafe_calls::start_with_mask(command, self.inherited);
        let child = command.spawn()?;
        i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
    }

    /// Waits for the command; calls `tick` whenever the instant that it gave last has come.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, child: Pid, mut tick: impl FnMut() -> Option<Instant>) -> Result<Ended> {
        let mut due = tick();
        let mut ctrl_c = false;
        let (mut pause_of_looks, mut look) = (FIRST_LOOK, Instant::now() + FIRST_LOOK);
        loop {
            if let Some(status) = reap(child)? {
                // Its number may be another's now, so that nothing is passed on.
                while let Some(arrived) = self.arrived(Some(Duration::ZERO)) {
                    ctrl_c |= is_ctrl_c(arrived);
                }
                return Ok(ended(status, ctrl_c));
            }
            let look_due = self.cgroup.is_none().then_some(look);
            let wake = due.into_iter().chain(look_due).min();
            let mut pause = wake.map(|wake| wake.saturating_duration_since(Instant::now()));
            while let Some(arrived) = self.arrived(pause) {
                ctrl_c |= is_ctrl_c(arrived);
                forward(arrived, child);
                pause = Some(Duration::ZERO);
            }
            if look_due.is_some_and(|look| look <= Instant::now()) {
                let mut unreaped = self.unreaped.borrow_mut();
                unreaped.look(&self.host, &self.living());
                let any = unreaped.were_any;
                pause_of_looks =
                    (pause_of_looks * 2).min(if any { LOOKS_AT_UNREAPED } else { LOOKS });
                look = Instant::now() + pause_of_looks;
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                due = tick();
            }
        }
    }

    /// What the command left, or has used while it runs, as of now.
    pub fn outcome(&self, ended: Option<Ended>) -> Outcome {
        let living = self.living();
        let mut unreaped = self.unreaped.borrow_mut();
        if self.cgroup.is_none() {
            unreaped.look(&self.host, &living);
        }
        let by_descent = by_descent(&living).saturating_sub(self.before) + unreaped.gone;
        let descendants = u64::try_from(living.len()).unwrap_or(u64::MAX);
        let by_cgroup = self.cgroup.as_ref().and_then(Cgroup::cpu_time);
        let in_cgroup = self.cgroup.as_ref().map_or(0, Cgroup::processes);
        Outcome {
            exit_code: ended.map(|ended| ended.exit_code),
            signal: ended.and_then(|ended| ended.signal),
            cpu_time: by_descent.max(by_cgroup.unwrap_or_default()),
            running: descendants.max(in_cgroup),
            by_cgroup: by_cgroup.is_some(),
            unreaped: unreaped.were_any && by_cgroup.is_none(),
        }
    }

    /// From here on signals mean this process again. The command's cgroup goes, unless processes
    /// still live in it.
    pub fn finish(&mut self) {
        self.cgroup = None;
        while self.arrived(Some(Duration::ZERO)).is_some() {}
        let _ = self.inherited.thread_set_mask();
    }

    /// All that lives below us; a living descendant has a living ancestor among our children, orphans being ours.
    fn living(&self) -> Vec<Living> {
        if !has_children() {
            return Vec::new();
        }
        let ourselves = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let mut living = living_descendants(&self.host, ourselves, self.ticks_per_second);
        living.retain(|process| Some(process.pid) != self.beside);
        living
    }

    /// The next signal that someone has sent to us, if one comes in time.
    fn arrived(&self, patience: Option<Duration>) -> Option<Arrived> {
        unsafe_calls::wait_for_signal(&self.awaited, patience).unwrap_or_else(|_| {
            std::thread::sleep(patience.unwrap_or(LOOK).min(LOOK));
            None
        })
    }
}

/// CPU time of all that was reaped and of all that lives below us.
fn by_descent(living: &[Living]) -> Duration {
    reaped_cpu_time() + living.iter().map(cpu_time).sum::<Duration>()
}

/// Of a living process and those that it has waited for.
fn cpu_time(process: &Living) -> Duration {
    process_cpu_time(process.pid).unwrap_or(process.own) + process.reaped
}

/// Whether it is that of the terminal's Ctrl-C.
fn is_ctrl_c(arrived: Arrived) -> bool {
    arrived.by_kernel && arrived.signal == Signal::SIGINT
}

/// Passes on what someone sent to us. Of the kernel's own signals, which come from the terminal, the command
/// has got those that go to our process group, if it is still in it; but a hang-up goes to the session
/// leader alone.
fn forward(Arrived { signal, by_kernel }: Arrived, child: Pid) {
    let same_group = getpgid(Some(child)) == getpgid(None);
    let leader = getsid(None) == Ok(getpid());
    let has_got_it = by_kernel && same_group && !(signal == Signal::SIGHUP && leader);
    if signal != Signal::SIGCHLD && !has_got_it {
        // It may have ended meanwhile, which the next round finds.
        let _ = kill(child, signal);
    }
}

/// Dies of SIGINT, if that is not ignored; no core is dumped for it.
pub fn die_of_interrupt() {
    let _ = raise(Signal::SIGINT);
}

/// Reaps all that can be reaped; how the command ended when it is among them. It is reaped last,
/// so that its orphans of the same instant are counted.
fn reap(child: Pid) -> Result<Option<WaitStatus>> {
    loop {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::All, peek) {
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(status) if status.pid() == Some(child) => {
                let status = waitpid(child, None).context("cannot reap the command")?;
                while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
                    waitpid(None, Some(WaitPidFlag::WNOHANG))
                {}
                return Ok(Some(status));
            }
            Ok(status) => {
                if let Some(pid) = status.pid() {
                    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
    }
}

fn has_children() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, peek) != Err(Errno::ECHILD)
}

fn ended(status: WaitStatus, ctrl_c: bool) -> Ended {
    match status {
        WaitStatus::Exited(_, code) => {
            let exit_code = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
            Ended { exit_code, signal: None, interrupted: false }
        }
        WaitStatus::Signaled(_, signal, _) => {
            let number = u8::try_from(signal as i32).unwrap_or(0);
            let interrupted = ctrl_c && signal == Signal::SIGINT;
            let exit_code = SIGNALLED.saturating_add(number);
            Ended { exit_code, signal: Some(number), interrupted }
        }
        _ => Ended { exit_code: SIGNALLED, signal: None, interrupted: false },
    }
}

/// CPU time of all children that were waited for, and of all that they had waited for.
pub(crate) fn reaped_cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        let microseconds = |time: nix::sys::time::TimeVal| {
            Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
        };
        microseconds(usage.user_time()) + microseconds(usage.system_time())
    })
}

/// CPU time of a living process, to the nanosecond.
pub fn process_cpu_time(pid: i32) -> Option<Duration> {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    Some(Duration::from(clock.now().ok()?))
}
