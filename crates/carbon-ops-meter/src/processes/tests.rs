//! The account of processes on folders that stand in for machines, with times made by hand.

use super::*;
use crate::groups::{Cgroup, Tree};

const UNITS: Units = Units { ticks_per_second: 100, page_bytes: 4096 };

/// A folder that stands in for a machine.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proc")).unwrap();
        Self(dir)
    }

    fn root(&self) -> HostRoot {
        HostRoot::at(self.0.path())
    }

    /// Own and waited-for time in ticks of 10 ms; it starts at its pid.
    fn put(&self, pid: i32, parent: i32, own: u64, reaped: u64) {
        self.put_started(pid, parent, own, reaped, u64::from(pid.unsigned_abs()));
    }

    fn put_started(&self, pid: i32, parent: i32, own: u64, reaped: u64, start: u64) {
        let stat = format!(
            "{pid} (a (b) c) S {parent} 0 0 0 -1 0 0 0 0 0 {own} 0 {reaped} 0 20 0 1 0 {start} 0 3 \
             0\n"
        );
        self.write(&format!("proc/{pid}/stat"), &stat);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn end(&self, pid: i32) {
        fs::remove_dir_all(self.0.path().join(format!("proc/{pid}"))).unwrap();
    }
}

fn ms(processes: &Processes, pid: i32) -> (u128, u128) {
    let process = processes.find(pid).unwrap();
    (process.used.as_millis(), process.children.as_millis())
}

fn all(processes: &Processes) -> u128 {
    processes.iter().map(|process| process.cpu().as_millis()).sum()
}

#[test]
fn the_first_look_counts_nothing_and_the_next_what_grew() {
    let host = Fake::new();
    host.put(1, 0, 500, 900);
    host.put(10, 1, 40, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    assert_eq!(all(&processes), 0);
    host.put(10, 1, 47, 0);
    host.put(11, 10, 3, 0);
    processes.look(None).unwrap();
    assert_eq!(
        (ms(&processes, 10), ms(&processes, 11), ms(&processes, 1)),
        ((70, 0), (30, 0), (0, 0))
    );
    let process = processes.find(10).unwrap();
    assert_eq!((process.name.as_str(), process.memory_bytes), ("a (b) c", 3 * 4096));
}

/// Seen with 200 ms, it ends with 250 ms, and another child of 30 ms comes and goes.
#[test]
fn time_of_a_child_that_ended_is_its_parents_and_counted_once() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.put(10, 1, 0, 0);
    host.put(11, 10, 20, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    host.end(11);
    host.put(10, 1, 1, 28);
    let look = processes.look(None).unwrap();
    assert_eq!((ms(&processes, 10), look.vanished), ((10, 80), 0));
    processes.look(None).unwrap();
    assert_eq!(all(&processes), 0);
}

/// Parent and grandchild end: the grandchild's 500 ms reach process 1, the parent's reach 10.
#[test]
fn an_orphan_is_found_at_the_ancestor_that_waited_for_it() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.put(10, 1, 0, 0);
    host.put(11, 10, 30, 0);
    host.put(12, 11, 50, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    host.end(11);
    host.end(12);
    host.put(1, 0, 0, 52);
    host.put(10, 1, 0, 31);
    let look = processes.look(None).unwrap();
    assert_eq!((ms(&processes, 10).1, ms(&processes, 1).1, look.vanished), (10, 20, 0));
}

#[test]
fn a_process_that_nobody_waited_for_is_told() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.put(10, 1, 0, 0);
    host.put(11, 10, 50, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    host.end(11);
    assert_eq!(processes.look(None).unwrap().vanished, 1);
    // It is found a look later when it ended between two readings, and not awaited for ever.
    host.put(10, 1, 0, 53);
    assert_eq!(processes.look(None).unwrap().vanished, 0);
    assert_eq!(ms(&processes, 10).1, 30);
}

#[test]
fn a_number_that_is_given_out_again_is_another_process() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.put(10, 1, 700, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    host.end(10);
    host.put_started(10, 1, 4, 0, 99);
    host.put(1, 0, 0, 700);
    processes.look(None).unwrap();
    assert_eq!((ms(&processes, 10), ms(&processes, 1)), ((40, 0), (0, 0)));
}

#[test]
fn one_that_cannot_be_read_stops_nothing() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.write("proc/7/stat", "7 (torn");
    host.put(10, 1, 5, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    assert_eq!(processes.look(None).unwrap().unreadable, 1);
    host.put(10, 1, 6, 0);
    // Its past does not count when it can be read at last.
    host.put(7, 1, 9000, 0);
    assert_eq!(processes.look(None).unwrap().unreadable, 0);
    assert_eq!((all(&processes), processes.iter().count()), (10, 3));
    assert!(Processes::new(&HostRoot::at("/nowhere"), UNITS).look(None).is_err());
}

/// The clock counts 1.5 ms where the ticks show nothing; ticks hold 10 ms more when it ends.
#[test]
fn a_clock_finer_than_ticks_is_used_and_does_not_count_twice() {
    let host = Fake::new();
    host.put(1, 0, 0, 0);
    host.put(10, 1, 0, 0);
    let mut processes = Processes::new(&host.root(), UNITS);
    let at = std::cell::Cell::new(Duration::from_millis(1));
    let clock = |pid: i32| (pid == 10).then(|| at.get());
    processes.look(Some(&clock)).unwrap();
    at.set(Duration::from_micros(18_500));
    processes.look(Some(&clock)).unwrap();
    assert_eq!(processes.find(10).unwrap().used, Duration::from_micros(17_500));
    host.end(10);
    // 18.9 ms in truth, of which 18.5 were counted; one tick of them shows now, one later.
    host.put(1, 0, 0, 1);
    processes.look(Some(&clock)).unwrap();
    assert_eq!(ms(&processes, 1), (0, 0));
    host.put(1, 0, 0, 2);
    processes.look(Some(&clock)).unwrap();
    assert_eq!(processes.find(1).unwrap().children, Duration::from_micros(1_500));
}

#[test]
fn a_tree_keeps_orphans_and_takes_in_grandchildren() {
    let host = Fake::new();
    for (pid, parent) in [(1, 0), (10, 1), (11, 10), (12, 11), (20, 1)] {
        host.put(pid, parent, 0, 0);
    }
    let mut processes = Processes::new(&host.root(), UNITS);
    processes.look(None).unwrap();
    let mut tree = Tree::below(10, &processes).unwrap();
    assert!(Tree::below(99, &processes).is_none());
    host.end(11);
    host.put(12, 1, 3, 0);
    host.put(30, 12, 4, 0);
    host.put(20, 1, 100, 0);
    processes.look(None).unwrap();
    let usage = tree.usage(&processes);
    assert_eq!((usage.cpu, usage.processes), (Duration::from_millis(70), 3));
    host.end(10);
    processes.look(None).unwrap();
    assert!(!tree.is_alive(&processes));
}

#[test]
fn a_cgroups_own_account_is_preferred_to_its_processes() {
    for (folder, file, first, second) in [
        ("", "cpu.stat", "usage_usec 1000\nuser_usec 1\n", "usage_usec 251000\nuser_usec 1\n"),
        ("/cpuacct", "cpuacct.usage", "1000000\n", "251000000\n"),
    ] {
        let host = Fake::new();
        host.put(1, 0, 0, 0);
        host.put(10, 1, 0, 0);
        host.write("proc/1/cgroup", "0::/init.scope\n");
        host.write("proc/10/cgroup", "0::/system.slice/web.service/worker\n");
        let mut processes = Processes::new(&host.root(), UNITS);
        processes.look(None).unwrap();
        let by_name = Cgroup::unit(&host.root(), "web", &processes).unwrap();
        assert_eq!((by_name.path(), by_name.is_accounted()), ("/system.slice/web.service", false));
        let account = format!("sys/fs/cgroup{folder}/system.slice/web.service/{file}");
        host.write(&account, first);
        let mut cgroup = Cgroup::unit(&host.root(), "web.service", &processes).unwrap();
        let path = format!("/sys/fs/cgroup{folder}/system.slice/web.service/");
        assert_eq!(Cgroup::find(&host.root(), &path, &processes).unwrap().path(), cgroup.path());
        host.write(&account, second);
        host.put(10, 1, 20, 0);
        processes.look(None).unwrap();
        let usage = cgroup.usage(&processes);
        assert_eq!((usage.cpu, usage.processes), (Duration::from_millis(250), 1), "{file}");
        assert!(Cgroup::find(&host.root(), "/nowhere", &processes).is_err());
        assert!(Cgroup::find(&host.root(), "/a/../b", &processes).is_err());
        assert!(Cgroup::unit(&host.root(), "db", &processes).is_err());
    }
}

#[test]
fn the_cgroup_path_of_either_version_is_read() {
    for (text, path) in [
        ("0::/system.slice/a.service\n", "/system.slice/a.service"),
        ("3:cpuset:/\n2:cpu,cpuacct:/job\n1:name=systemd:/x.scope\n0::/\n", "/job"),
        ("1:name=systemd:/x.scope\n", "/x.scope"),
        ("2:cpuacct:/\n0::/\n", "/"),
        ("0::/a:b\n", "/a:b"),
        ("", ""),
    ] {
        assert_eq!(cgroup_path(text), path);
    }
}
