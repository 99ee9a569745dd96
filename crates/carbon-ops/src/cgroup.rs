//! A cgroup of the command's own, where the kernel lets us make one: it counts the CPU time of all
//! that was ever started in it, whoever reaps it.
//!
//! Only the unified hierarchy (v2) will do, which counts without any controller (`cpu.stat` of
//! every cgroup, Linux `Documentation/admin-guide/cgroup-v2.rst`). Made is a directory below our own
//! cgroup, so that every limit above holds for the command as before; no controller is enabled and
//! no running process is moved. Moving one waits for a grace period of RCU: 6 to 11 ms in the median
//! and up to 23 ms on two CPUs with Linux 6.18, where all that is done here adds 0.15 ms to a run.
//! Where it may not be made (no v2, mounted for reading only, not ours), there is none, and that is no
//! error.
//!
//! Out of scope: limits, and killing what is left. Processes that outlive the command keep their
//! cgroup, and a later run removes it when it is empty.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carbon_ops_meter::host_root::HostRoot;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpid};

/// Names are `carbon-ops-PID-N`, with our process id.
const PREFIX: &str = "carbon-ops-";

/// An earlier process with our id may have left cgroups with processes in them; more than these few
/// are another matter.
const NAMES_MAX: u32 = 8;

/// How much of a directory is looked through for what earlier runs left. A cgroup with more children
/// is rare, and the rest is for the next run.
const ENTRIES_MAX: usize = 4096;

/// How many leftovers one run removes, at 0.06 ms each.
const STALE_MAX: usize = 32;

/// How deep the cgroups that a command made inside its own are followed.
const DEPTH_MAX: u32 = 8;

/// A cgroup that is removed with this value, unless processes live in it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
}

impl Cgroup {
    /// Makes one below our own cgroup and removes what earlier runs left there; `None` where that
    /// may not be.
    pub fn make(host: &HostRoot) -> Option<Self> {
        let parent = own(host)?;
        if is_limited(&parent) {
            return None;
        }
        let path = make_directory(&parent, getpid())?;
        remove_stale(&parent, &path);
        let Ok(directory) = File::open(&path) else {
            remove(&path, DEPTH_MAX);
            return None;
        };
        let cgroup = Self { path, directory };
        // What is mounted over a cgroup file system would let us make a directory, too.
        cgroup.cpu_time().is_some().then_some(cgroup)
    }

    /// The directory, for clone3(2).
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// CPU time of all that ran in it and in cgroups below it. Exact for what has ended; of what
    /// runs on, all up to its last tick.
    pub fn cpu_time(&self) -> Option<Duration> {
        usage(&fs::read_to_string(self.path.join("cpu.stat")).ok()?)
    }

    /// Processes alive in it and in cgroups below it.
    pub fn processes(&self) -> u64 {
        if is_populated(&self.path) { processes(&self.path, DEPTH_MAX) } else { 0 }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path, DEPTH_MAX);
    }
}

/// Directory of the cgroup that we are in.
fn own(host: &HostRoot) -> Option<PathBuf> {
    let cgroups = host.text("/proc/self/cgroup").ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = host.text("/proc/self/mountinfo").ok()?;
    let (point, below) = mounts.lines().find_map(|line| mounted(line, path))?;
    Some(host.path(&point).join(below))
}

/// Where a line of mountinfo shows the cgroup `path`: the mount point, and the way on from there.
///
/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD…] - TYPE SOURCE OPTIONS`
/// (`proc_pid_mountinfo(5)`). A root outside of our cgroup namespace begins with `/..`.
fn mounted(line: &str, path: &str) -> Option<(String, PathBuf)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    if filesystem.split(' ').next() != Some("cgroup2") || path.split('/').any(|name| name == "..") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3).map(unescaped);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some((point, below.to_owned()))
}

/// The kernel writes these four in octal.
fn unescaped(field: &str) -> String {
    let plain = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    plain.replace("\\134", "\\")
}

/// Whether our own cgroup sets a limit that programs look up. Those that look no further than their
/// own cgroup, as Java did before version 24 to size its heap and its threads (JDK-8322420), would not
/// find it from a cgroup below, and nothing about the command shall change.
fn is_limited(own: &Path) -> bool {
    ["memory.max", "memory.high", "cpu.max"].into_iter().any(|file| {
        fs::read_to_string(own.join(file)).is_ok_and(|limit| !limit.trim_start().starts_with("max"))
    })
}

fn make_directory(parent: &Path, pid: Pid) -> Option<PathBuf> {
    for n in 0..NAMES_MAX {
        let path = parent.join(format!("{PREFIX}{pid}-{n}"));
        // Nobody else shall make cgroups in it, whatever the umask.
        match DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => return Some(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
    }
    None
}

/// Removes empty cgroups of runs that are no more. A run in another pid namespace may look like one:
/// it loses its cgroup before or after its command, and then counts without.
fn remove_stale(parent: &Path, ours: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let names = entries.take(ENTRIES_MAX).flatten().map(|entry| entry.file_name());
    let stale = names.filter(|name| name.to_str().and_then(maker).is_some_and(is_gone));
    for name in stale.take(STALE_MAX) {
        let path = parent.join(name);
        if path != ours {
            remove(&path, DEPTH_MAX);
        }
    }
}

/// Process id of the run that made a cgroup of this name.
fn maker(name: &str) -> Option<Pid> {
    let (pid, n) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (pid, _) = (pid.parse().ok()?, n.parse::<u32>().ok()?);
    (pid > 0).then(|| Pid::from_raw(pid))
}

/// With our own id, too: another had it before us.
fn is_gone(pid: Pid) -> bool {
    pid == getpid() || kill(pid, None) == Err(Errno::ESRCH)
}

/// Removes a cgroup with those that its processes made below it, unless a process lives there.
fn remove(path: &Path, depth: u32) {
    if fs::remove_dir(path).is_ok() || depth == 0 || is_populated(path) {
        return;
    }
    for child in children(path) {
        remove(&child, depth - 1);
    }
    let _ = fs::remove_dir(path);
}

fn is_populated(path: &Path) -> bool {
    let events = fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

fn processes(path: &Path, depth: u32) -> u64 {
    let listed = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let own = u64::try_from(listed.lines().count()).unwrap_or(u64::MAX);
    let below = if depth == 0 { Vec::new() } else { children(path) };
    below.iter().fold(own, |sum, child| sum.saturating_add(processes(child, depth - 1)))
}

fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let directories = entries.take(ENTRIES_MAX).flatten().filter(is_directory);
    directories.map(|entry| entry.path()).collect()
}

/// `usage_usec` of `cpu.stat`.
fn usage(stat: &str) -> Option<Duration> {
    let microseconds = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    microseconds.trim().parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_of(cgroups: &str, mounts: &str) -> Option<PathBuf> {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc/self");
        fs::create_dir_all(&proc).unwrap();
        fs::write(proc.join("cgroup"), cgroups).unwrap();
        fs::write(proc.join("mountinfo"), mounts).unwrap();
        let own = own(&HostRoot::at(dir.path()))?;
        Some(Path::new("/").join(own.strip_prefix(dir.path()).unwrap()))
    }

    /// Lines as systemd and container runtimes mount them.
    #[test]
    fn our_cgroup_is_found_wherever_it_is_mounted() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let bound = "55 40 0:26 /docker/ab /sys/fs/cgroup ro master:9 - cgroup2 cgroup rw\n";
        let spaced = "30 23 0:26 / /mnt/a\\040b\\134 rw - cgroup2 cgroup2 rw\n";
        let outside = "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let v1 = "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        for (cgroups, mounts, expected) in [
            ("0::/user.slice/a.scope\n", unified, Some("/sys/fs/cgroup/user.slice/a.scope")),
            ("1:cpu:/x\n0::/\n", hybrid, Some("/sys/fs/cgroup/unified")),
            ("0::/docker/ab/job\n", bound, Some("/sys/fs/cgroup/job")),
            ("0::/docker/abc\n", bound, None),
            ("0::/job\n", spaced, Some("/mnt/a b\\/job")),
            ("0::/\n", outside, None),
            ("0::/../job\n", unified, None),
            ("4:memory:/x\n", v1, None),
            ("", unified, None),
        ] {
            let found = own_of(cgroups, mounts);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{cgroups} {mounts}");
        }
    }

    #[test]
    fn only_names_that_we_give_are_ours() {
        for (name, expected) in [
            ("carbon-ops-12-0", Some(12)),
            ("carbon-ops-12", None),
            ("carbon-ops-12-x", None),
            ("carbon-ops-0-0", None),
            ("carbon-ops--1-0", None),
            ("carbon-ops-12-0.scope", None),
            ("other-12-0", None),
        ] {
            assert_eq!(maker(name).map(Pid::as_raw), expected, "{name}");
        }
    }

    #[test]
    fn a_limit_of_our_own_cgroup_is_not_hidden_from_the_command() {
        for (file, text, expected) in [
            ("memory.max", "max\n", false),
            ("memory.max", "1073741824\n", true),
            ("memory.high", "536870912\n", true),
            ("cpu.max", "max 100000\n", false),
            ("cpu.max", "50000 100000\n", true),
            ("pids.max", "100\n", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), text).unwrap();
            assert_eq!(is_limited(dir.path()), expected, "{file} {text}");
        }
    }

    #[test]
    fn usage_is_in_microseconds() {
        let stat = "usage_usec 184196917\nuser_usec 140256146\nsystem_usec 43940771\n";
        assert_eq!(usage(stat), Some(Duration::new(184, 196_917_000)));
        assert_eq!(usage("nr_periods 0\n"), None);
    }

    /// A tmpfs over the cgroup file system takes directories, too.
    #[test]
    fn a_directory_that_is_no_cgroup_is_not_used_and_not_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        fs::create_dir(dir.path().join("group")).unwrap();
        fs::write(dir.path().join("proc/self/cgroup"), "0::/\n").unwrap();
        let mounts = "30 23 0:26 / /group rw - cgroup2 cgroup2 rw\n";
        fs::write(dir.path().join("proc/self/mountinfo"), mounts).unwrap();
        assert!(Cgroup::make(&HostRoot::at(dir.path())).is_none());
        assert_eq!(fs::read_dir(dir.path().join("group")).unwrap().count(), 0);
    }
}
