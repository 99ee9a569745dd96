//! All processes of a host, looked at again and again: who they are, and the CPU time that each used
//! since the last look, so that no time is lost when processes end and none is counted twice.
//!
//! # Accounting
//!
//! The kernel shows two times per process: its own (`utime + stime`), and that of the children that
//! it has waited for (`cutime + cstime`, which holds the children's own waited-for children too). A
//! process that ends and is waited for moves its whole time from its own line to its parent's second
//! one. So for each look:
//!
//! * `used` is the growth of a process' own time; of a process that is new, all of it;
//! * `children` is the growth of its waited-for time, less what had been counted already for those
//!   children when they were still seen alive. What remains is the time of children that came and
//!   went between two looks, and the last stretch of those that were seen.
//!
//! Who waited for a process that has gone is not shown. It is its parent or, when that has gone too,
//! a living ancestor (Linux `kernel/exit.c`, `find_new_reaper`); the nearest one whose waited-for time
//! grew by as much as the process had used is taken. When there is none, the kernel has dropped its
//! time (the parent ignores `SIGCHLD`), which [`Look::vanished`] counts.
//!
//! Processes are read oldest first. A parent is older than its children, so that a child cannot be
//! read alive before and be found in its parent's waited-for time after.
//!
//! Out of scope: energy (see [`crate::shares`]), groups (see [`crate::groups`]), threads one by
//! one, command lines (they hold secrets), and system calls other than file reads: a caller that has
//! a clock per process brings it along.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cpu_time::of_ticks;
use crate::host_root::HostRoot;
use crate::proc::Stat;

/// Stat files that are kept open; the usual limit is 1024 per process.
const OPEN_MAX: usize = 256;

/// `/proc/PID/stat` has 52 numbers of up to 20 digits and a name of up to 64 bytes. A
/// `/proc/PID/cgroup` has up to 14 lines with a path each; what is
/// beyond a page is not read.
const FILE_BYTES: usize = 4096;

/// A process whose clock stands still is read anyway every so many looks: the memory of a sleeping
/// process can change.
const REFRESH_EVERY: u64 = 16;

/// Looks for which the time of a process that has gone is awaited at its ancestors. One would do, but
/// for a process that ends while we read.
const AWAITED_LOOKS: u8 = 2;

/// CPU time of a process by its pid, to the nanosecond (`clock_getcpuclockid(3)`); `None` when it
/// cannot be told.
pub type CpuClock<'a> = &'a dyn Fn(i32) -> Option<Duration>;

/// What the kernel counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// `sysconf(_SC_CLK_TCK)`.
    pub ticks_per_second: u32,
    /// `sysconf(_SC_PAGESIZE)`.
    pub page_bytes: u64,
}

/// A process as it was at the last look.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in ticks since boot: a number that is given out again has another start.
    pub start_ticks: u64,
    /// The process that would wait for it.
    pub parent: i32,
    /// Its session: the number of the process that began it.
    pub session: i32,
    /// Whether it has ended and is not waited for yet.
    pub is_zombie: bool,
    /// Its short name, without control characters.
    pub name: String,
    /// Resident memory in bytes. Pages that processes share count for each.
    pub memory_bytes: u64,
    /// Path of its cgroup: of version 2, else that of the hierarchy that accounts CPU time. Empty
    /// when it cannot be told.
    pub cgroup: Arc<str>,
    /// Own CPU time since the last look.
    pub used: Duration,
    /// CPU time since the last look of children that have ended, as far as it was not counted for
    /// themselves.
    pub children: Duration,
    /// Own CPU time since it started.
    own: Duration,
    /// CPU time of the children that it has waited for.
    reaped: Duration,
    /// Counted for children, and not yet seen here because ticks are coarse.
    owed: Duration,
    file: Option<File>,
    /// Looks at which it was seen.
    looks: u64,
}

impl Process {
    /// CPU time since the last look, its ended children's included.
    pub fn cpu(&self) -> Duration {
        self.used + self.children
    }

    /// What tells it from all other processes of this boot.
    pub(crate) fn identity(&self) -> (i32, u64) {
        (self.pid, self.start_ticks)
    }

    fn age_order(&self) -> (u64, i32) {
        (self.start_ticks, self.pid)
    }
}

/// What a look found besides the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Processes that are listed and could not be read; whatever they use is not in the table.
    pub unreadable: usize,
    /// Processes that have ended since the last look without their time showing up at an ancestor.
    pub vanished: usize,
    /// The first process of all is not listed, so that others' are kept from this user.
    pub hidden: bool,
}

/// The processes of a host.
#[derive(Debug)]
pub struct Processes {
    root: PathBuf,
    units: Units,
    /// Oldest first.
    table: Vec<Process>,
    awaited: Vec<Gone>,
    looks: u64,
    /// Start of the newest process that was ever seen.
    newest: u64,
    open: usize,
    open_max: usize,
    listed: Vec<i32>,
    buffer: Vec<u8>,
}

/// A process that has gone, whose time shall show up at an ancestor.
#[derive(Debug, Clone, Copy)]
struct Gone {
    pid: i32,
    parent: i32,
    counted: Duration,
    looks: u8,
}

/// What a reading of one process came to.
enum Read {
    Done,
    Gone,
    Unreadable,
}

impl Processes {
    /// Of this host; nothing is read yet.
    pub fn new(host: &HostRoot, units: Units) -> Self {
        let root = host.path("/proc");
        // In a folder that stands in for a machine, an open file outlives its removal.
        let open_max = if root == Path::new("/proc") { OPEN_MAX } else { 0 };
        Self {
            root,
            open_max,
            units,
            table: Vec::new(),
            awaited: Vec::new(),
            looks: 0,
            newest: 0,
            open: 0,
            listed: Vec::new(),
            buffer: vec![0; FILE_BYTES],
        }
    }

    /// All processes of the last look, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.table.iter()
    }

    /// A process of the last look.
    pub fn find(&self, pid: i32) -> Option<&Process> {
        self.table.iter().find(|process| process.pid == pid)
    }

    /// Looks at all processes. The first look is where counting begins. With a `clock`, processes
    /// whose clock stands still are not read.
    ///
    /// # Errors
    /// When `/proc` cannot be listed. A process that cannot be read is no error.
    pub fn look(&mut self, clock: Option<CpuClock<'_>>) -> io::Result<Look> {
        self.list()?;
        let first = self.looks == 0;
        self.looks += 1;
        let hidden = self.is_own() && self.listed.first() != Some(&1);
        let mut look = Look { hidden, ..Look::default() };
        let mut gone = std::mem::take(&mut self.awaited);
        let mut table = std::mem::take(&mut self.table);
        table.retain_mut(|process| {
            let read = match self.listed.binary_search(&process.pid) {
                Ok(_) => self.again(process, clock),
                Err(_) => Read::Gone,
            };
            look.unreadable += usize::from(matches!(read, Read::Unreadable));
            if matches!(read, Read::Gone) {
                gone.push(Gone::of(process));
                self.open -= usize::from(process.file.is_some());
            }
            !matches!(read, Read::Gone)
        });
        self.table = table;
        look.unreadable += self.meet(clock, first);
        look.vanished = self.settle(gone);
        Ok(look)
    }

    /// Whether these are the processes among which this one is.
    fn is_own(&self) -> bool {
        self.root == Path::new("/proc")
    }

    /// Fills `listed` with the numbers of all processes, in order.
    fn list(&mut self) -> io::Result<()> {
        self.listed.clear();
        for entry in fs::read_dir(&self.root)? {
            let Ok(entry) = entry else { continue };
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            self.listed.extend(pid.filter(|&pid: &i32| pid > 0));
        }
        self.listed.sort_unstable();
        // Whoever asks runs himself: an empty list is no list of processes. A folder may stand for an idle host.
        if self.listed.is_empty() && self.is_own() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no process is listed there"));
        }
        Ok(())
    }

    /// Reads a known process again.
    fn again(&mut self, process: &mut Process, clock: Option<CpuClock<'_>>) -> Read {
        (process.used, process.children) = (Duration::ZERO, Duration::ZERO);
        process.looks += 1;
        let own = clock.and_then(|clock| clock(process.pid));
        let phase = self.looks.wrapping_add(u64::from(process.pid.unsigned_abs()));
        let parent_lives =
            process.parent == 0 || self.listed.binary_search(&process.parent).is_ok();
        let rests = own == Some(process.own) && !process.is_zombie && parent_lives;
        if rests && process.looks > 2 && !phase.is_multiple_of(REFRESH_EVERY) {
            return Read::Done;
        }
        let stat = match self.stat(process.pid, &mut process.file) {
            Ok(stat) => stat,
            Err(Read::Gone) => return Read::Gone,
            Err(read) => return read,
        };
        // The number belongs to another process now, which the caller will meet.
        if stat.start_ticks != process.start_ticks {
            return Read::Gone;
        }
        let renamed = stat.name != process.name.as_bytes();
        let name = renamed.then(|| plain(stat.name));
        let new_own = own.unwrap_or(stat.own).max(process.own);
        process.used = new_own.saturating_sub(process.own);
        process.own = new_own;
        process.children = stat.reaped.saturating_sub(process.reaped);
        process.reaped = stat.reaped.max(process.reaped);
        (process.parent, process.session) = (stat.parent, stat.session);
        process.is_zombie = stat.is_zombie;
        process.memory_bytes = stat.memory_bytes;
        // Service managers move a process once it exists, and before it becomes another program.
        if process.looks == 2 || renamed || phase.is_multiple_of(REFRESH_EVERY) {
            self.update_cgroup(process);
        }
        if let Some(name) = name {
            process.name = name;
        }
        Read::Done
    }

    /// Takes in the processes that are listed and not known; how many could not be read.
    fn meet(&mut self, clock: Option<CpuClock<'_>>, first: bool) -> usize {
        let mut known: Vec<i32> = self.table.iter().map(|process| process.pid).collect();
        known.sort_unstable();
        let listed = std::mem::take(&mut self.listed);
        let new = listed.iter().copied().filter(|pid| known.binary_search(pid).is_err());
        let (mut unreadable, before) = (0, self.table.len());
        let (seen, mut newest) = (self.newest, self.newest);
        for pid in new {
            let mut file = None;
            let stat = match self.stat(pid, &mut file) {
                Ok(stat) => stat,
                Err(read) => {
                    unreadable += usize::from(matches!(read, Read::Unreadable));
                    continue;
                }
            };
            let own = clock.and_then(|clock| clock(pid)).unwrap_or(stat.own);
            // One that is older than what was seen before was there and could not be read.
            let counts = !first && stat.start_ticks >= seen;
            newest = newest.max(stat.start_ticks);
            let mut process = Process {
                pid,
                start_ticks: stat.start_ticks,
                parent: stat.parent,
                session: stat.session,
                is_zombie: stat.is_zombie,
                name: plain(stat.name),
                memory_bytes: stat.memory_bytes,
                cgroup: Arc::from(""),
                used: if counts { own } else { Duration::ZERO },
                children: if counts { stat.reaped } else { Duration::ZERO },
                own,
                reaped: stat.reaped,
                owed: Duration::ZERO,
                file,
                looks: 1,
            };
            self.update_cgroup(&mut process);
            self.table.push(process);
        }
        self.listed = listed;
        self.newest = newest;
        if self.table.len() > before {
            self.table.sort_unstable_by_key(Process::age_order);
        }
        unreadable
    }

    /// Takes what was counted for processes that have gone off the waited-for time of those who
    /// waited for them. How many had nobody.
    fn settle(&mut self, mut gone: Vec<Gone>) -> usize {
        for process in &mut self.table {
            let paid = process.owed.min(process.children);
            process.owed -= paid;
            process.children -= paid;
        }
        if gone.is_empty() {
            return 0;
        }
        let mut by_pid: Vec<(i32, usize)> =
            self.table.iter().enumerate().map(|(index, process)| (process.pid, index)).collect();
        by_pid.sort_unstable();
        let living = |pid: i32| {
            let at = by_pid.binary_search_by_key(&pid, |&(pid, _)| pid).ok()?;
            by_pid.get(at).map(|&(_, index)| index)
        };
        // The largest first: it fits the fewest.
        gone.sort_unstable_by(|a, b| b.counted.cmp(&a.counted).then(a.pid.cmp(&b.pid)));
        let blur = of_ticks(2, self.units.ticks_per_second);
        let mut vanished = 0;
        for index in 0..gone.len() {
            let Some(one) = gone.get(index).copied() else { continue };
            let mut ancestor = one.parent;
            // As many steps as there are processes, should the parents form a ring.
            let reaper = (0..=self.table.len() + gone.len()).find_map(|_| {
                let Some(at) = living(ancestor) else {
                    let parent = gone.iter().find(|other| other.pid == ancestor);
                    ancestor = parent.map_or(1, |other| other.parent);
                    return None;
                };
                let process = self.table.get(at)?;
                ancestor = process.parent;
                (process.children + blur >= one.counted).then_some(at)
            });
            if let Some(process) = reaper.and_then(|at| self.table.get_mut(at)) {
                let paid = one.counted.min(process.children);
                process.children -= paid;
                process.owed += one.counted.saturating_sub(paid);
                continue;
            }
            vanished += usize::from(one.looks == 0);
            if one.looks + 1 < AWAITED_LOOKS {
                self.awaited.push(Gone { looks: one.looks + 1, ..one });
            }
        }
        vanished
    }

    /// Reads and parses a stat file, which is kept open while there are few of them.
    fn stat(&mut self, pid: i32, file: &mut Option<File>) -> Result<Known<'_>, Read> {
        let had = file.is_some();
        let opened = match file.take() {
            Some(file) => Ok(file),
            None => File::open(self.root.join(pid.to_string()).join("stat")),
        };
        let read = opened.and_then(|open| {
            let length = open.read_at(&mut self.buffer, 0)?;
            if had || self.open < self.open_max {
                *file = Some(open);
            }
            Ok(length)
        });
        self.open = self.open + usize::from(file.is_some()) - usize::from(had);
        let length = read.map_err(|error| Read::of(&error))?;
        let text = self.buffer.get(..length).unwrap_or_default();
        let stat = Stat::parse(text).ok_or(Read::Unreadable)?;
        Known::of(&stat, self.units).ok_or(Read::Unreadable)
    }

    /// Reads the cgroup; equal paths of parent and child are one string.
    fn update_cgroup(&mut self, process: &mut Process) {
        let path = self.root.join(process.pid.to_string()).join("cgroup");
        let read = File::open(&path).and_then(|file| file.read_at(&mut self.buffer, 0));
        let Ok(length) = read else { return };
        let text = self.buffer.get(..length).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let found = cgroup_path(&text);
        if *process.cgroup == *found {
            return;
        }
        let shared = self.table.iter().rev().find(|other| *other.cgroup == *found);
        process.cgroup = shared.map_or_else(|| Arc::from(found), |other| other.cgroup.clone());
    }
}

impl Gone {
    fn of(process: &Process) -> Self {
        // What it owed had been counted too, and will be in its parent's time.
        let counted = process.own + process.reaped + process.owed;
        Self { pid: process.pid, parent: process.parent, counted, looks: 0 }
    }
}

impl Read {
    /// ESRCH is what an open file of a process that has gone gives (errno-base.h: 3).
    fn of(error: &io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) | (_, Some(3)) => Self::Gone,
            _ => Self::Unreadable,
        }
    }
}

/// What is kept of a [`Stat`], in the units of the table.
#[derive(Debug)]
struct Known<'a> {
    name: &'a [u8],
    is_zombie: bool,
    parent: i32,
    session: i32,
    own: Duration,
    reaped: Duration,
    start_ticks: u64,
    memory_bytes: u64,
}

impl<'a> Known<'a> {
    /// `None` when the line does not tell its start, which tells it from the next of its number, or its
    /// memory.
    fn of(stat: &Stat<'a>, units: Units) -> Option<Self> {
        Some(Self {
            name: stat.name,
            is_zombie: stat.has_ended,
            parent: stat.parent,
            session: stat.session,
            own: of_ticks(stat.own_ticks, units.ticks_per_second),
            reaped: of_ticks(stat.reaped_ticks, units.ticks_per_second),
            start_ticks: stat.start_ticks?,
            memory_bytes: stat.resident_pages?.saturating_mul(units.page_bytes),
        })
    }
}

/// A name without what a terminal would obey.
fn plain(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// All paths of a `/proc/PID/cgroup`, which of version 1 has one for each hierarchy; roots tell nothing.
pub fn cgroup_paths(text: &str) -> impl Iterator<Item = &str> {
    let paths = text.lines().filter_map(|line| Some(line.split_once(':')?.1.split_once(':')?.1));
    paths.filter(|path| *path != "/")
}

/// The path that matters of a `/proc/PID/cgroup`: of version 2 (`0::/path`), unless that is the root
/// and a hierarchy that accounts CPU time, or systemd's own, says more.
fn cgroup_path(text: &str) -> &str {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let with = |wanted: fn(&str) -> bool| {
        lines()
            .find(|(controllers, _)| controllers.split(',').any(wanted))
            .map(|(_, path)| path)
            .filter(|path| *path != "/")
    };
    let unified = with(str::is_empty);
    let accounts = || with(|controller| controller == "cpuacct");
    let systemd = || with(|controller| controller == "name=systemd");
    let root = if text.is_empty() { "" } else { "/" };
    unified.or_else(accounts).or_else(systemd).unwrap_or(root)
}

#[cfg(test)]
mod tests;
