//! Which processor package, or die of one, a CPU belongs to: what shares one set of energy counters.
//!
//! Out of scope: which registers such a socket has, and cores and threads below it.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use crate::host_root::HostRoot;

/// No machine has more; a list that claims so is not one of CPUs.
const CPUS_MAX: u32 = 1 << 16;

/// What one set of counters belongs to. Sorted by package, then die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket {
    package: u32,
    /// Only where some package of the machine has several.
    die: Option<u32>,
}

/// What shares a counter: AMD and Hygon count per package, Intel per die (Linux
/// `arch/x86/events/rapl.c`, `rapl_pkg_pmu_is_pkg_scope`; only Cascade Lake-AP has several).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Package,
    Die,
}

impl Socket {
    /// The name of a domain of this socket, as powercap has it: `package-0`, `dram-0-die-1`; `psys`
    /// belongs to no socket.
    pub(crate) fn name(self, kind: Kind) -> String {
        match (kind, self.die) {
            (Kind::Psys, _) => kind.as_str().to_owned(),
            (_, None) => format!("{}-{}", kind.as_str(), self.package),
            (_, Some(die)) => format!("{}-{}-die-{die}", kind.as_str(), self.package),
        }
    }
}

/// Groups CPUs by what they share, by `topology/` of sysfs. A CPU without these files counts to
/// package 0, die 0, so that a machine that tells nothing has one socket and is read once.
pub(crate) fn group(host: &HostRoot, cpus: &[u32], scope: Scope) -> BTreeMap<Socket, Vec<u32>> {
    let id = |cpu: u32, name: &str| -> u32 {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/{name}");
        host.text(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let dies = |cpu: &u32| (id(*cpu, "physical_package_id"), id(*cpu, "die_id"));
    let seen: BTreeSet<_> = cpus.iter().map(dies).collect();
    let packages: BTreeSet<_> = seen.iter().map(|(package, _)| *package).collect();
    let by_die = scope == Scope::Die && seen.len() > packages.len();
    let mut sockets: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for cpu in cpus {
        let (package, die) = dies(cpu);
        let socket = Socket { package, die: by_die.then_some(die) };
        sockets.entry(socket).or_default().push(*cpu);
    }
    for cpus in sockets.values_mut() {
        cpus.sort_unstable();
        cpus.dedup();
    }
    sockets
}

/// The packages of a machine whose CPUs are online, by the kernel's numbers; none where that is not told.
pub(crate) fn packages(host: &HostRoot) -> BTreeSet<u32> {
    let topology = |cpu: u32, name: &str| {
        host.text(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/{name}")).ok()
    };
    let online = host.text("/sys/devices/system/cpu/online").ok();
    let mut left: BTreeSet<_> =
        online.and_then(|text| parse_list(&text)).into_iter().flatten().collect();
    let mut packages = BTreeSet::new();
    while let Some(cpu) = left.pop_first() {
        let id = topology(cpu, "physical_package_id");
        packages.extend(id.and_then(|text| text.parse::<u32>().ok()));
        // Since Linux 5.3, and before.
        let siblings = topology(cpu, "package_cpus_list").or(topology(cpu, "core_siblings_list"));
        for sibling in siblings.and_then(|text| parse_list(&text)).into_iter().flatten() {
            left.remove(&sibling);
        }
    }
    packages
}

/// The CPUs of a kernel list such as `0,18` or `0-3,8`; `None` for anything else.
pub(crate) fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// CPUs as (package, die).
    fn names(cpus: &[(u32, u32)], scope: Scope) -> Vec<(String, Vec<u32>)> {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, (package, die)) in cpus.iter().enumerate() {
            let path = dir.path().join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("physical_package_id"), format!("{package}\n")).unwrap();
            fs::write(path.join("die_id"), format!("{die}\n")).unwrap();
        }
        let all: Vec<u32> = (0..).take(cpus.len()).collect();
        let sockets = group(&HostRoot::at(dir.path()), &all, scope);
        sockets.into_iter().map(|(socket, cpus)| (socket.name(Kind::Dram), cpus)).collect()
    }

    #[test]
    fn dies_are_named_only_where_a_package_has_several_and_they_count_apart() {
        let one = [(0, 0), (1, 0), (0, 0), (1, 0)];
        let expected = [("dram-0".to_owned(), vec![0, 2]), ("dram-1".to_owned(), vec![1, 3])];
        assert_eq!(names(&one, Scope::Die), expected);
        let two = [(0, 0), (0, 1)];
        let expected = [("dram-0-die-0".to_owned(), vec![0]), ("dram-0-die-1".to_owned(), vec![1])];
        assert_eq!(names(&two, Scope::Die), expected);
        assert_eq!(names(&two, Scope::Package), [("dram-0".to_owned(), vec![0, 1])]);
    }

    #[test]
    fn a_machine_without_topology_has_one_socket() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = group(&HostRoot::at(dir.path()), &[0, 1, 2, 3], Scope::Die);
        let found: Vec<_> =
            sockets.into_iter().map(|(s, cpus)| (s.name(Kind::Package), cpus)).collect();
        assert_eq!(found, [("package-0".to_owned(), vec![0, 1, 2, 3])]);
    }

    #[test]
    fn packages_are_those_of_the_topology() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::at(dir.path());
        assert!(packages(&host).is_empty());
        let cpus = dir.path().join("sys/devices/system/cpu");
        for (cpu, package, siblings) in [(0, 0, "0,2"), (1, 7, "1,3"), (2, 0, "0,2"), (3, 7, "1,3")]
        {
            let path = cpus.join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("physical_package_id"), format!("{package}\n")).unwrap();
            fs::write(path.join("core_siblings_list"), siblings).unwrap();
        }
        fs::write(cpus.join("online"), "0-3\n").unwrap();
        assert_eq!(packages(&host), [0, 7].into());
    }

    #[test]
    fn cpu_lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0\n"), Some(vec![0]));
        assert_eq!(parse_list("0,18"), Some(vec![0, 18]));
        assert_eq!(parse_list("0-2,8"), Some(vec![0, 1, 2, 8]));
        for wrong in ["", "a", "3-1", "0-4294967295", "1,,2"] {
            assert_eq!(parse_list(wrong), None, "{wrong}");
        }
    }
}
