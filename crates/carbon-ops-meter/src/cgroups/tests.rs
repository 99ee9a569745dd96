//! Made-up trees of cgroups, held against what was made up.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A tree of cgroups as a kernel shows it, and what each used by itself.
struct Tree {
    folder: TempDir,
    /// By path: what living ones used, children and removed ones included.
    totals: BTreeMap<String, Duration>,
    own: BTreeMap<String, Duration>,
    version_1: bool,
}

impl Tree {
    fn new(version_1: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let mut tree = Self { folder, totals: BTreeMap::new(), own: BTreeMap::new(), version_1 };
        tree.make("");
        tree
    }

    fn host(&self) -> HostRoot {
        HostRoot::at(self.folder.path())
    }

    fn path(&self, path: &str) -> PathBuf {
        let root = if self.version_1 { "sys/fs/cgroup/cpuacct" } else { "sys/fs/cgroup" };
        self.folder.path().join(root).join(path.trim_start_matches('/'))
    }

    fn make(&mut self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
        fs::write(self.path(path).join("cgroup.procs"), "").unwrap();
        self.totals.insert(path.into(), Duration::ZERO);
        self.write(path);
    }

    fn write(&self, path: &str) {
        let total = self.totals[path];
        let (file, text) = if self.version_1 {
            ("cpuacct.usage", format!("{}\n", total.as_nanos()))
        } else {
            ("cpu.stat", format!("usage_usec {}\nuser_usec 0\n", total.as_micros()))
        };
        fs::write(self.path(path).join(file), text).unwrap();
    }

    fn use_time(&mut self, path: &str, time: Duration) {
        *self.own.entry(path.into()).or_default() += time;
        fs::write(self.path(path).join("cgroup.procs"), "12\n").unwrap();
        let mut at = path;
        loop {
            *self.totals.get_mut(at).unwrap() += time;
            self.write(at);
            let Some((around, _)) = at.rsplit_once('/') else { break };
            at = around;
        }
    }

    fn remove(&mut self, path: &str) {
        fs::remove_dir_all(self.path(path)).unwrap();
        self.totals.remove(path);
    }
}

/// What looks told, by path.
#[derive(Default)]
struct Told {
    cpu: BTreeMap<String, Duration>,
    tails: Duration,
}

impl Told {
    fn look(&mut self, cgroups: &mut Cgroups, list: bool) {
        for own in cgroups.look(list) {
            assert!(own.tails <= own.cpu);
            *self.cpu.entry(own.path.to_string()).or_default() += own.cpu;
            self.tails += own.tails;
        }
    }

    fn of(&self, path: &str) -> Duration {
        self.cpu.get(path).copied().unwrap_or_default()
    }
}

/// A pod's cgroup that lives for less than a look; by hand.
#[test]
fn the_tail_of_one_removed_cgroup_has_its_name_and_those_of_two_are_told_apart() {
    for version_1 in [false, true] {
        let mut tree = Tree::new(version_1);
        tree.make("/pods");
        let (mut cgroups, mut told) = (Cgroups::new(&tree.host()), Told::default());
        told.look(&mut cgroups, true);
        // One that nobody saw alive, told of at its end.
        tree.make("/pods/a");
        tree.use_time("/pods/a", 30 * MS);
        tree.remove("/pods/a");
        cgroups.changed([("/pods/a", Change::Made), ("/pods/a", Change::Removed)], || true);
        told.look(&mut cgroups, false);
        assert_eq!((told.of("/pods/a"), told.of("/pods")), (30 * MS, Duration::ZERO));
        // Two at once.
        for name in ["/pods/b", "/pods/c"] {
            tree.make(name);
            tree.use_time(name, 10 * MS);
            tree.remove(name);
        }
        cgroups.changed([("/pods/b", Change::Removed), ("/pods/c", Change::Removed)], || true);
        told.look(&mut cgroups, false);
        assert_eq!((told.of("/pods"), told.tails), (20 * MS, 20 * MS));
        // One whose parent has a process of its own.
        fs::write(tree.path("/pods").join("cgroup.procs"), "12\n").unwrap();
        tree.make("/pods/d");
        tree.use_time("/pods/d", MS);
        tree.remove("/pods/d");
        cgroups.changed([("/pods/d", Change::Removed)], || true);
        told.look(&mut cgroups, false);
        assert_eq!((told.of("/pods/d"), told.tails), (Duration::ZERO, 21 * MS));
        // One that went with the one around it: which of the two used the time is nobody's to name.
        fs::write(tree.path("/pods").join("cgroup.procs"), "").unwrap();
        for name in ["/pods/e", "/pods/e/f"] {
            tree.make(name);
            cgroups.changed([(name, Change::Made)], || true);
        }
        told.look(&mut cgroups, false);
        tree.use_time("/pods/e/f", 5 * MS);
        tree.remove("/pods/e/f");
        tree.remove("/pods/e");
        cgroups.changed([("/pods/e/f", Change::Removed), ("/pods/e", Change::Removed)], || true);
        told.look(&mut cgroups, false);
        assert_eq!((told.of("/pods/e"), told.tails), (Duration::ZERO, 26 * MS));
    }
}

#[test]
fn what_was_before_the_first_look_is_nobodys_and_a_name_that_is_used_again_is_counted_on() {
    let mut tree = Tree::new(false);
    tree.make("/a");
    tree.use_time("/a", 500 * MS);
    let (mut cgroups, mut told) = (Cgroups::new(&tree.host()), Told::default());
    told.look(&mut cgroups, true);
    told.look(&mut cgroups, true);
    assert!(told.cpu.is_empty(), "{:?}", told.cpu);
    tree.use_time("/a", 7 * MS);
    told.look(&mut cgroups, true);
    tree.remove("/a");
    tree.make("/a");
    tree.use_time("/a", 2 * MS);
    told.look(&mut cgroups, true);
    assert_eq!(told.of("/a"), 9 * MS);
    assert!(cgroups.contains("/a") && !cgroups.contains("/") && !cgroups.contains("/b"));
}

#[test]
fn a_host_without_cgroups_has_none_and_the_first_ones_are_counted_from_their_begin() {
    let nothing = TempDir::new().unwrap();
    let mut cgroups = Cgroups::new(&HostRoot::at(nothing.path()));
    assert!(cgroups.look(true).is_empty() && cgroups.root().is_none());
    let mut tree = Tree::new(false);
    let (mut cgroups, mut told) = (Cgroups::new(&tree.host()), Told::default());
    told.look(&mut cgroups, true);
    tree.make("/a");
    tree.use_time("/a", 3 * MS);
    told.look(&mut cgroups, true);
    assert_eq!(told.of("/a"), 3 * MS);
}

/// What happens to a tree. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Event {
    Make(usize, u8),
    Use(usize, u64),
    /// Told to be empty first, or not.
    Remove(usize, bool),
    ReadNew,
    Look,
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (any::<usize>(), 0u8..4).prop_map(|(at, name)| Event::Make(at, name)),
        4 => (any::<usize>(), 1u64..100_000).prop_map(|(at, us)| Event::Use(at, us)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, told)| Event::Remove(at, told)),
        1 => Just(Event::ReadNew),
        1 => Just(Event::Look),
    ];
    proptest::collection::vec(event, 1..60)
}

/// Tells of a change, now and then with others; that a cgroup is empty at once.
fn tell(
    cgroups: &mut Cgroups,
    changes: &mut Vec<(String, Change)>,
    told_of: bool,
    change: (String, Change),
) {
    if told_of {
        let now = change.1 == Change::Emptied || changes.len() > 1;
        changes.push(change);
        if now {
            cgroups.changed(changes.iter().map(|(path, change)| (&**path, *change)), || true);
            changes.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whether changes are told or not: time is never told twice nor lost below the top, a living cgroup has what it
    /// used, none has more than it and what was removed below it, and what has no name is within its bound, where it is told.
    #[test]
    fn time_is_conserved_and_names_are_right(
        events in any_events(),
        told_of in any::<bool>(),
        version_1 in any::<bool>(),
    ) {
        let mut tree = Tree::new(version_1);
        tree.make("/r");
        let (mut cgroups, mut told) = (Cgroups::new(&tree.host()), Told::default());
        told.look(&mut cgroups, true);
        let mut changes: Vec<(String, Change)> = Vec::new();
        let mut removed: BTreeMap<String, Duration> = BTreeMap::new();
        for event in events.into_iter().chain([Event::Look]) {
            let living: Vec<String> =
                tree.totals.keys().filter(|path| !path.is_empty()).cloned().collect();
            match event {
                Event::Make(at, name) => {
                    let path = format!("{}/{name}", living[at % living.len()]);
                    if !tree.totals.contains_key(&path) && path.matches('/').count() < 5 {
                        tree.make(&path);
                        tell(&mut cgroups, &mut changes, told_of, (path, Change::Made));
                    }
                }
                Event::Use(at, us) => {
                    tree.use_time(&living[at % living.len()], Duration::from_micros(us));
                }
                Event::Remove(at, empty) => {
                    let path = &living[at % living.len()];
                    let below = format!("{path}/");
                    if path != "/r" && !living.iter().any(|it| it.starts_with(&below)) {
                        if empty {
                            tell(&mut cgroups, &mut changes, told_of, (path.clone(), Change::Emptied));
                        }
                        tree.remove(path);
                        for (at, _) in path.match_indices('/') {
                            let of = removed.entry(path[..at].into()).or_default();
                            *of += tree.own.get(path).copied().unwrap_or_default();
                        }
                        tell(&mut cgroups, &mut changes, told_of, (path.clone(), Change::Removed));
                    }
                }
                Event::ReadNew => {
                    // What was told is taken in first: a name may be another cgroup's by now.
                    cgroups.changed(changes.iter().map(|(path, change)| (&**path, *change)), || true);
                    changes.clear();
                    let _ = cgroups.read_new();
                }
                Event::Look => {
                    cgroups.changed(changes.iter().map(|(path, change)| (&**path, *change)), || true);
                    changes.clear();
                    told.look(&mut cgroups, !told_of);
                    let sum: Duration = told.cpu.values().sum();
                    prop_assert_eq!(sum, tree.totals["/r"], "{:?}", told.cpu);
                    for (path, cpu) in &told.cpu {
                        let own = tree.own.get(path).copied().unwrap_or_default();
                        let below = removed.get(path).copied().unwrap_or_default();
                        prop_assert!(*cpu <= own + below, "{} {:?} {:?}", path, cpu, own);
                    }
                    let short = |(path, own): (&String, &Duration)| own.saturating_sub(told.of(path));
                    let short: Duration = tree.own.iter().map(short).sum();
                    prop_assert!(!told_of || short <= told.tails, "{:?} {:?}", short, told.tails);
                }
            }
        }
    }
}
