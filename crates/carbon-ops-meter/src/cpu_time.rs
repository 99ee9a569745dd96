//! CPU time of the machine and of a tree of processes.
//!
//! Reaped descendants are counted by the kernel, to the microsecond, in our `RUSAGE_CHILDREN`;
//! reading that is the caller's system call. Here is what is read from files: busy time of the
//! whole machine, and the descendants that are still alive.
//!
//! Out of scope: system calls (this crate has none but file reads).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::host_root::HostRoot;
use crate::proc::Stat;

/// Busy CPU time of the whole machine since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Busy {
    /// Time in user and kernel mode over all CPUs, interrupts included; idle, waiting for I/O and
    /// stolen time are not.
    pub time: Duration,
    /// Of that, time in interrupts and their deferred work, which is no process' own.
    pub interrupts: Duration,
    /// One tick: the resolution.
    pub tick: Duration,
    /// CPUs online, where they are told one by one.
    pub cpus: Option<u32>,
}

impl Busy {
    /// Reads `/proc/stat`; `None` when it is not there or holds no CPU line (some sandboxes).
    /// `ticks_per_second` is `sysconf(_SC_CLK_TCK)`.
    pub fn read(host: &HostRoot, ticks_per_second: u32) -> Option<Self> {
        Self::parse(&host.text("/proc/stat").ok()?, ticks_per_second)
    }

    /// `cpu user nice system idle iowait irq softirq steal guest guest_nice`; guest time is already
    /// part of user time (Linux `Documentation/filesystems/proc.rst`, section 1.7).
    fn parse(stat: &str, ticks_per_second: u32) -> Option<Self> {
        let mut lines = stat.lines();
        let first = lines.find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<&str> = first.split_whitespace().collect();
        let at = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let [user, nice, system] = [at(0)?, at(1)?, at(2)?];
        // Time of interrupts is part of the others' where it is not told.
        let interrupts = [5, 6].into_iter().filter_map(at).fold(0, u64::saturating_add);
        let ticks = [user, nice, system, interrupts].into_iter().fold(0, u64::saturating_add);
        let cpus = lines.take_while(|line| line.starts_with("cpu")).count();
        let tick = Duration::from_secs(1) / ticks_per_second.max(1);
        Some(Self {
            time: of_ticks(ticks, ticks_per_second),
            interrupts: of_ticks(interrupts, ticks_per_second),
            tick,
            cpus: u32::try_from(cpus).ok().filter(|&n| n > 0),
        })
    }

    /// Busy time since an earlier look, and what of it were interrupts; `None` where one of them fell, as happens when
    /// CPUs go: then nobody knows what was used in between.
    pub fn since(&self, earlier: &Self) -> Option<(Duration, Duration)> {
        let interrupts = self.interrupts.checked_sub(earlier.interrupts)?;
        Some((self.time.checked_sub(earlier.time)?, interrupts))
    }
}

/// Ticks as time, without the 32 bits that many CPUs fill within days.
pub(crate) fn of_ticks(ticks: u64, per_second: u32) -> Duration {
    let per_second = u64::from(per_second.max(1));
    let rest = (ticks % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(rest)
}

/// A process that is still alive below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Living {
    /// Process id.
    pub pid: i32,
    /// The process that would wait for it.
    pub parent: i32,
    /// CPU time of the process itself, in whole ticks.
    pub own: Duration,
    /// CPU time of those of its children that it has waited for, in whole ticks.
    pub reaped: Duration,
}

/// All living descendants of `ancestor` (without itself), from `/proc/*/stat`.
pub fn living_descendants(host: &HostRoot, ancestor: i32, ticks_per_second: u32) -> Vec<Living> {
    let Ok(entries) = fs::read_dir(host.path("/proc")) else { return Vec::new() };
    let mut children: BTreeMap<i32, Vec<Living>> = BTreeMap::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(text) = fs::read(entry.path().join("stat")) else { continue };
        if let Some(stat) = Stat::parse(&text) {
            let living = Living {
                pid,
                parent: stat.parent,
                own: of_ticks(stat.own_ticks, ticks_per_second),
                reaped: of_ticks(stat.reaped_ticks, ticks_per_second),
            };
            children.entry(stat.parent).or_default().push(living);
        }
    }
    let mut found = Vec::new();
    let mut ancestors = vec![ancestor];
    while let Some(pid) = ancestors.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            ancestors.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// Whether a process ignores the end of its children, so that the kernel reaps them and adds their CPU time to nobody's.
pub fn ignores_children(host: &HostRoot, pid: i32) -> bool {
    // SIGCHLD is 17 where the kernel's numbers are the common ones (signal(7)).
    const SIGCHLD: u64 = 1 << 16;
    let status = host.text(&format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|it| it & SIGCHLD > 0)
}

/// Longer chains of parents are not followed; a process may end and its number be used again meanwhile.
const GENERATIONS_MAX: usize = 4096;

/// Whether a living process, or one that nobody has reaped yet, descends from `ancestor`; `None` when
/// that cannot be told, because there is no such process that we can see.
pub fn descends(host: &HostRoot, pid: i32, ancestor: i32) -> Option<bool> {
    let parent = |pid: i32| {
        let text = fs::read(host.path(&format!("/proc/{pid}/stat"))).ok()?;
        Stat::parse(&text).map(|stat| stat.parent)
    };
    let mut pid = parent(pid)?;
    for _ in 0..GENERATIONS_MAX {
        if pid == ancestor || pid <= 1 {
            return Some(pid == ancestor);
        }
        pid = parent(pid)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_leaves_out_idle_iowait_steal_and_guest() {
        let stat = "cpu  100 10 50 9000 700 5 3 77 40 2\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n";
        let busy = Busy::parse(stat, 100).unwrap();
        assert_eq!(busy.time, Duration::from_millis(1680));
        assert_eq!(busy.interrupts, Duration::from_millis(80));
        assert_eq!(busy.cpus, Some(2));
    }

    #[test]
    fn busy_time_that_falls_is_not_known() {
        let at = |user: u64, irq: u64| {
            Busy::parse(&format!("cpu  {user} 0 0 9000 0 {irq} 0\ncpu0 1\n"), 100).unwrap()
        };
        let ms = Duration::from_millis;
        assert_eq!(at(200, 7).since(&at(100, 5)), Some((ms(1020), ms(20))));
        assert_eq!(at(50, 7).since(&at(100, 5)), None);
        assert_eq!(at(200, 1).since(&at(100, 5)), None);
    }

    #[test]
    fn a_line_without_its_times_tells_nothing() {
        for stat in ["cpu  100 10\ncpu0 1\n", "cpu  100 ten 50 9000\n", "cpu \n", "intr 5\n", ""] {
            assert_eq!(Busy::parse(stat, 100), None, "{stat:?}");
        }
        let old = Busy::parse("cpu  100 10 50 9000\ncpu0 1\n", 100).unwrap();
        assert_eq!((old.time, old.interrupts), (Duration::from_millis(1600), Duration::ZERO));
    }

    #[test]
    fn a_machine_up_for_years_does_not_overflow() {
        let stat = "cpu  4000000000001 0 0 0 0 0 0 0 0 0\ncpu0 1\n";
        let busy = Busy::parse(stat, 100).unwrap();
        assert_eq!(busy.time, Duration::from_millis(40_000_000_000_010));
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent) in [(10, 1), (11, 10), (12, 11), (13, 1)] {
            let folder = dir.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            let stat = format!("{pid} (x) S {parent} 0 0 0 0 0 0 0 0 0 1 2 3 4 0 0");
            fs::write(folder.join("stat"), stat).unwrap();
        }
        let mut pids: Vec<_> = living_descendants(&HostRoot::at(dir.path()), 10, 100)
            .iter()
            .map(|living| living.pid)
            .collect();
        pids.sort_unstable();
        assert_eq!(pids, [11, 12]);
        let descends = |pid| descends(&HostRoot::at(dir.path()), pid, 10);
        let expected = [Some(false), Some(true), Some(true), Some(false), None];
        assert_eq!([10, 11, 12, 13, 14].map(descends), expected);
    }
}
