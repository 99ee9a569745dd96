//! Groups of processes: a tree below one process, a cgroup, a systemd unit.
//!
//! A cgroup's own account of CPU time (`cpu.stat` of version 2, `cpuacct.usage` of version 1) is better
//! than the sum of its processes: it is exact and includes those that have ended. It is used where it
//! can be read.
//!
//! Out of scope: energy (see [`crate::shares`]), and asking systemd: a unit is the cgroup that
//! bears its name.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::host_root::HostRoot;
use crate::processes::{Process, Processes};

/// What a group used since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// Resident memory in bytes, pages that processes share counted for each.
    pub memory_bytes: u64,
    /// Living processes.
    pub processes: usize,
}

impl Usage {
    fn add(&mut self, process: &Process) {
        self.cpu += process.cpu();
        self.memory_bytes = self.memory_bytes.saturating_add(process.memory_bytes);
        self.processes += 1;
    }
}

/// A process and all its descendants, also those that have lost their parents: a process that was
/// once seen in the tree stays, and so does every session that was begun in it.
#[derive(Debug)]
pub struct Tree {
    root: (i32, u64),
    members: BTreeSet<(i32, u64)>,
    sessions: BTreeSet<i32>,
}

impl Tree {
    /// Below a process of the last look; `None` when there is none of this number.
    pub fn below(pid: i32, processes: &Processes) -> Option<Self> {
        let root = processes.find(pid).filter(|root| !root.is_zombie)?.identity();
        let mut tree = Self { root, members: BTreeSet::from([root]), sessions: BTreeSet::new() };
        tree.usage(processes);
        Some(tree)
    }

    /// Whether a process of the last look was found in the tree.
    pub fn contains(&self, process: &Process) -> bool {
        self.members.contains(&process.identity())
    }

    /// Whether the process at the root still runs.
    pub fn is_alive(&self, processes: &Processes) -> bool {
        let root = processes.find(self.root.0);
        root.is_some_and(|root| root.identity() == self.root && !root.is_zombie)
    }

    /// What the tree used in the last look, with the processes that joined it since the one before.
    pub fn usage(&mut self, processes: &Processes) -> Usage {
        let (mut usage, mut members) = (Usage::default(), BTreeSet::new());
        let mut pids = BTreeSet::new();
        // Oldest first, so that parents come before their children.
        for process in processes.iter() {
            let stays = self.members.contains(&process.identity());
            let joins = pids.contains(&process.parent) || self.sessions.contains(&process.session);
            if !stays && !joins {
                continue;
            }
            if process.session == process.pid {
                self.sessions.insert(process.session);
            }
            pids.insert(process.pid);
            members.insert(process.identity());
            usage.add(process);
        }
        let alive: BTreeSet<i32> = processes.iter().map(|process| process.session).collect();
        self.sessions.retain(|session| alive.contains(session));
        self.members = members;
        usage
    }
}

/// Why there is no such cgroup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoGroup {
    /// The path leads out of the hierarchy.
    #[error("cgroup path {0:?} must not contain `..`")]
    Outside(String),
    /// Neither a directory nor a process of it.
    #[error("there is no cgroup {0:?}")]
    Cgroup(String),
    /// No cgroup bears the unit's name.
    #[error("unit {0:?} has no cgroup: it does not run")]
    Unit(String),
}

/// Where CPU time of cgroups is told, below `/sys/fs/cgroup`: version 2, version 2 beside version 1,
/// version 1.
pub(crate) const HIERARCHIES: [(&str, &str); 4] = [
    ("", "cpu.stat"),
    ("/unified", "cpu.stat"),
    ("/cpuacct", "cpuacct.usage"),
    ("/cpu,cpuacct", "cpuacct.usage"),
];

/// A cgroup with all below it.
#[derive(Debug)]
pub struct Cgroup {
    host: HostRoot,
    path: String,
    /// File of its own account of CPU time.
    account: Option<String>,
    last: Option<Duration>,
}

impl Cgroup {
    /// By its path, as in `/proc/PID/cgroup` or below `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// When there is neither a directory nor a process of it.
    pub fn find(host: &HostRoot, path: &str, processes: &Processes) -> Result<Self, NoGroup> {
        let mut inner = path;
        if let Some(below) = path.strip_prefix("/sys/fs/cgroup") {
            let names = ["/unified", "/cpuacct", "/cpu,cpuacct", "/systemd"];
            let strip = |name: &&str| below.strip_prefix(name).filter(|rest| starts_path(rest));
            inner = names.iter().find_map(strip).unwrap_or(below);
        }
        let inner = format!("/{}", inner.trim_matches('/'));
        if inner.split('/').any(|part| part == "..") {
            return Err(NoGroup::Outside(path.to_owned()));
        }
        let cgroup = Self::open(host, inner);
        if cgroup.exists() || cgroup.members(processes).next().is_some() {
            return Ok(cgroup);
        }
        Err(NoGroup::Cgroup(path.to_owned()))
    }

    /// By the name of a systemd unit; `.service` may be left out.
    ///
    /// # Errors
    /// When no cgroup bears its name.
    pub fn unit(host: &HostRoot, name: &str, processes: &Processes) -> Result<Self, NoGroup> {
        let no_unit = || NoGroup::Unit(name.to_owned());
        if name.is_empty() || name.contains('/') {
            return Err(no_unit());
        }
        let full = if is_unit(name) || ends(name, ".slice") {
            name.to_owned()
        } else {
            format!("{name}.service")
        };
        let system = Self::open(host, format!("/system.slice/{full}"));
        if system.exists() {
            return Ok(system);
        }
        let path = processes.iter().find_map(|process| up_to(&process.cgroup, &full));
        path.map(|path| Self::open(host, path.to_owned())).ok_or_else(no_unit)
    }

    fn open(host: &HostRoot, path: String) -> Self {
        let account = HIERARCHIES.iter().map(|(below, file)| {
            format!("/sys/fs/cgroup{below}{}/{file}", path.trim_end_matches('/'))
        });
        let account = account.into_iter().find(|file| read_account(host, file).is_some());
        let last = account.as_ref().and_then(|file| read_account(host, file));
        Self { host: host.clone(), path, account, last }
    }

    /// Its path in the hierarchy, from `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the kernel's own account of its CPU time is used.
    pub fn is_accounted(&self) -> bool {
        self.account.is_some()
    }

    /// Whether it is still there.
    pub fn exists(&self) -> bool {
        HIERARCHIES.iter().any(|(below, _)| {
            self.host.path(&format!("/sys/fs/cgroup{below}{}", self.path)).is_dir()
        })
    }

    /// Whether a process is in it or below it.
    pub fn contains(&self, process: &Process) -> bool {
        is_within(&process.cgroup, &self.path)
    }

    fn members<'a>(&'a self, processes: &'a Processes) -> impl Iterator<Item = &'a Process> {
        processes.iter().filter(|process| self.contains(process))
    }

    /// What it used since the last call.
    pub fn usage(&mut self, processes: &Processes) -> Usage {
        let mut usage = Usage::default();
        self.members(processes).for_each(|process| usage.add(process));
        let now = self.account.as_ref().and_then(|file| read_account(&self.host, file));
        if let (Some(last), Some(now)) = (self.last, now) {
            usage.cpu = now.saturating_sub(last);
        }
        self.last = now.or(self.last);
        usage
    }
}

fn starts_path(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn read_account(host: &HostRoot, file: &str) -> Option<Duration> {
    cpu_time(file, &host.text(file).ok()?)
}

/// CPU time of a cgroup, of the text of a file: `usage_usec` of `cpu.stat` (Linux
/// `Documentation/admin-guide/cgroup-v2.rst`), or the nanoseconds of `cpuacct.usage` (`cgroup-v1/cpuacct.rst`).
pub(crate) fn cpu_time(file: &str, text: &str) -> Option<Duration> {
    if file.ends_with("cpuacct.usage") {
        return text.trim().parse().ok().map(Duration::from_nanos);
    }
    let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    usage.trim().parse().ok().map(Duration::from_micros)
}

/// Whether a cgroup is `ancestor` or lies below it.
fn is_within(path: &str, ancestor: &str) -> bool {
    let ancestor = ancestor.trim_end_matches('/');
    !path.is_empty() && path.strip_prefix(ancestor).is_some_and(starts_path)
}

/// Endings of units that hold processes; a slice only holds other units (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|end| ends(name, end))
}

/// Names of units are told apart by case.
fn ends(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|stem| !stem.is_empty())
}

/// The systemd unit of a cgroup: the innermost part of its path that is one.
pub fn unit_of(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find(|part| is_unit(part))
}

/// The path up to the part of this name.
fn up_to<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let mut end = 0;
    for part in path.split('/') {
        end += part.len();
        if part == name {
            return path.get(..end);
        }
        end += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_of_a_path_is_its_unit() {
        for (path, unit) in [
            ("/system.slice/nginx.service", Some("nginx.service")),
            ("/system.slice/docker-1f.scope/inner", Some("docker-1f.scope")),
            ("/user.slice/user-1.slice/user@1.service/app.slice/a.scope", Some("a.scope")),
            ("/user.slice", None),
            ("/", None),
        ] {
            assert_eq!(unit_of(path), unit, "{path}");
        }
    }

    #[test]
    fn a_path_is_within_its_ancestors_and_not_within_namesakes() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a") && !is_within("", "/"));
        assert_eq!(up_to("/a.slice/b.service/c", "b.service"), Some("/a.slice/b.service"));
    }
}
