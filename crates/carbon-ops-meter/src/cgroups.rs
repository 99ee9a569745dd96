//! All cgroups of a host, looked at again and again: the CPU time that each used by itself, so that none is lost, however
//! short processes and cgroups live.
//!
//! # Accounting
//!
//! The kernel tells of each cgroup the time of itself and of all below it, what has ended and cgroups that were removed
//! included (`cpu.stat` of version 2, `cpuacct.usage` of version 1). So
//!
//! ```text
//! own time = total − Σ totals of children − Σ last totals of removed children
//! ```
//!
//! which only grows. Totals are read one after the other, a parent before its children: what a reading is early or late by
//! is in the next look, because what was counted once is never counted again.
//!
//! What a cgroup used between its last reading and its removal is only in its parent's total. Rule: this *tail* has the
//! removed one's name where nobody else can have used it: removals are told of, no other child was removed with a tail
//! since the last reading, nor a child of its own with it, and no process is in the parent itself. Otherwise it is the parent's own time, and told apart ([`Own::tails`]): it is
//! all that removed children can have used without their names.
//!
//! A cgroup that is known to be empty has no tail once it is read. Whoever is told when that is, and when cgroups come and
//! go, says so ([`Cgroups::changed`]); whoever is not, has the directories listed at each look, and what came and went in
//! between is own time of its parent.
//!
//! Out of scope: energy (see [`crate::shares`]), being told by the kernel, whose a cgroup is; and the cgroup at the top,
//! which has no name and interrupts in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::groups::{HIERARCHIES, cpu_time};
use crate::host_root::HostRoot;

/// Cgroups that are told apart, of which a node of Kubernetes has some hundreds ("Considerations for large clusters": 110
/// pods). What is in more is own time of the cgroup around them.
const CGROUPS_MAX: usize = 10_000;

/// Accounts that are kept open; the usual limit is 1024 files per process, and processes take as many.
const OPEN_MAX: usize = 256;

/// Children that are read to find the tail of one. Of more, a tail is the parent's.
const SIBLINGS_MAX: usize = 128;

/// Readings beside looks of one that is new. Most of what ends soon ends soon after it has begun.
const NEW_READINGS: u8 = 50;

/// An account is shorter: `cpu.stat` has some twenty lines.
const FILE_BYTES: usize = 2048;

/// What became of a cgroup between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Made,
    /// No process is in it any more, nor below it.
    Emptied,
    /// A process is in it again.
    Filled,
    /// It was removed.
    Removed,
}

/// What a cgroup used by itself since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its path in the hierarchy, from `/`.
    pub path: Arc<str>,
    /// CPU time.
    pub cpu: Duration,
    /// Part of it that may be of children that were removed.
    pub tails: Duration,
}

/// The cgroups of a host.
#[derive(Debug)]
pub struct Cgroups {
    host: HostRoot,
    /// Place in [`HIERARCHIES`] of the one that accounts.
    hierarchy: Option<usize>,
    top: Node,
    ended: Ended,
    room: Room,
}

/// What is left of bounds.
#[derive(Debug)]
struct Room {
    cgroups: usize,
    open: usize,
    buffer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Node {
    path: Arc<str>,
    children: BTreeMap<Box<str>, Node>,
    /// What the kernel told at the last reading.
    last: Duration,
    /// What it told last of earlier ones of this name.
    before: Duration,
    /// Last totals of children that were removed.
    removed: Duration,
    /// Own time that was counted.
    counted: Duration,
    /// Own time since the last look, and what of it may be of removed children.
    own: Duration,
    tails: Duration,
    /// It has grown since what is below it was last read.
    is_due: bool,
    /// It was empty when it was last read.
    is_final: bool,
    /// Readings for which it is new.
    new: u8,
    /// Children that were removed with a tail since it was last settled.
    lost: Vec<Node>,
    file: Option<File>,
}

/// What removed ones used since the last look, and what of it may be of their children.
type Ended = BTreeMap<Arc<str>, (Duration, Duration)>;

impl Cgroups {
    /// Of a host; nothing is read yet.
    pub fn new(host: &HostRoot) -> Self {
        Self {
            host: host.clone(),
            hierarchy: None,
            top: Node::at("/"),
            ended: Ended::new(),
            room: Room::of(host),
        }
    }

    /// Where the hierarchy that accounts is; `None` before the first look, and where there is none.
    pub fn root(&self) -> Option<PathBuf> {
        Some(self.kernel(self.hierarchy?)?.root)
    }

    /// Whether a cgroup is accounted for by itself.
    pub fn contains(&self, path: &str) -> bool {
        path != "/" && self.top.find(path).is_some()
    }

    /// The paths of all that are known.
    pub fn paths(&self) -> Vec<Arc<str>> {
        let (mut all, mut next) = (Vec::new(), vec![&self.top]);
        while let Some(node) = next.pop() {
            next.extend(node.children.values());
            all.push(node.path.clone());
        }
        all
    }

    /// What each used since the last look; the first one is where counting begins. `list`: directories are listed.
    pub fn look(&mut self, list: bool) -> Vec<Own> {
        let chosen = self.choose();
        let is_first = chosen != self.hierarchy;
        if is_first {
            *self = Self { hierarchy: chosen, ..Self::new(&self.host) };
        }
        let Some(kernel) = chosen.and_then(|at| self.kernel(at)) else { return Vec::new() };
        self.top.look(&kernel, list || is_first, &mut self.ended, &mut self.room);
        let mut all = Vec::new();
        self.top.children.values_mut().for_each(|node| node.drain(&mut all));
        let ended = std::mem::take(&mut self.ended).into_iter();
        all.extend(ended.map(|(path, (cpu, tails))| Own { path, cpu, tails }));
        all.retain(|own| !own.cpu.is_zero() && !is_first);
        all
    }

    /// Reads those that were told to be made not long ago and live, so that little is left for their tails; whether there
    /// are any. Whatever was told is to be taken in before: a reading goes by a name, which may be another cgroup's by now.
    pub fn read_new(&mut self) -> bool {
        let Some(kernel) = self.hierarchy.and_then(|at| self.kernel(at)) else { return false };
        self.top.read_new(&kernel, &mut self.room)
    }

    /// Takes in what became of cgroups since the last time, in the order in which it was told. `is_all`: nothing has
    /// happened that was not told yet.
    pub fn changed<'c>(
        &mut self,
        changes: impl IntoIterator<Item = (&'c str, Change)>,
        is_all: impl Fn() -> bool,
    ) {
        let Some(kernel) = self.hierarchy.and_then(|at| self.kernel(at)) else { return };
        let mut parents = BTreeSet::new();
        for (path, change) in changes {
            let Some((around, name)) = path.rsplit_once('/') else { continue };
            let Some(parent) = self.top.find_mut(around) else { continue };
            match (change, parent.children.get_mut(name)) {
                (Change::Made, None) => {
                    parent.add(name, &mut self.room);
                    if let Some(node) = parent.children.get_mut(name) {
                        node.new = NEW_READINGS;
                    }
                }
                (Change::Emptied, Some(node)) => {
                    node.end(&kernel, &mut self.ended, &mut self.room);
                }
                (Change::Filled, Some(node)) => node.is_final = false,
                (Change::Removed, _) => {
                    parent.remove(name, &mut self.ended, &mut self.room);
                    parents.insert(around);
                }
                _ => {}
            }
        }
        for around in parents {
            let parent = self.top.find_mut(around).filter(|it| !it.lost.is_empty());
            let Some(parent) = parent else { continue };
            let few = parent.children.len() <= SIBLINGS_MAX;
            let read = parent.read(&kernel, &mut self.room);
            // What ended uses a little more, which the kernel takes to end it.
            let mut siblings = parent.children.values_mut();
            let all = read && few && siblings.all(|it| it.read(&kernel, &mut self.room));
            // Asked after the readings: what is in them has been told of.
            let all = all && is_all();
            parent.settle(&kernel, all, &mut self.ended, &mut self.room);
        }
    }

    fn kernel(&self, at: usize) -> Option<Kernel> {
        let (below, file) = *HIERARCHIES.get(at)?;
        Some(Kernel { root: self.host.path(&format!("/sys/fs/cgroup{below}")), file })
    }

    /// The hierarchy that accounts: the first one with cgroups in it, else the first one that there is.
    fn choose(&self) -> Option<usize> {
        if !self.top.children.is_empty() {
            return self.hierarchy;
        }
        let all = || (0..HIERARCHIES.len()).filter_map(|at| Some((at, self.kernel(at)?)));
        let mut used = all().filter(|(_, kernel)| kernel.is_used());
        let found = used.next().or_else(|| all().find(|(_, kernel)| kernel.is_there()));
        found.map(|(at, _)| at)
    }
}

/// The files of a hierarchy.
struct Kernel {
    root: PathBuf,
    file: &'static str,
}

impl Kernel {
    fn folder(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether it has cgroups. Of version 1 there is a file of this name, too, that tells nothing.
    fn is_used(&self) -> bool {
        let account = |name: String| self.root.join(name).join(self.file).is_file();
        self.is_there() && directories(&self.root).into_iter().any(account)
    }

    fn is_there(&self) -> bool {
        self.root.join("cgroup.procs").is_file()
    }

    /// Whether a process may be in a cgroup itself. A cgroup of threads does not tell.
    fn has_processes(&self, path: &str) -> bool {
        let file = File::open(self.folder(path).join("cgroup.procs"));
        let read = file.and_then(|file| file.read_at(&mut [0; 32], 0));
        !matches!(read, Ok(0))
    }
}

/// Names of the directories in one, sorted.
fn directories(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

impl Room {
    fn of(host: &HostRoot) -> Self {
        // In a folder that stands in for a machine, an open file outlives its removal.
        let open = if host.is_this_machine() { OPEN_MAX } else { 0 };
        Self { cgroups: CGROUPS_MAX, open, buffer: vec![0; FILE_BYTES] }
    }

    /// Takes back what a node had.
    fn take_back(&mut self, node: &Node) {
        self.cgroups += 1;
        self.open += usize::from(node.file.is_some());
    }
}

impl Node {
    fn at(path: &str) -> Self {
        Self { path: Arc::from(path), ..Self::default() }
    }

    fn child(&self, name: &str) -> Self {
        Self::at(&format!("{}/{name}", self.path.trim_end_matches('/')))
    }

    fn total(&self) -> Duration {
        self.before + self.last
    }

    /// The same of one that has gone: what was read below it is in it, also where that was read later, or it never was.
    fn last_total(&self) -> Duration {
        let below =
            self.children.values().chain(&self.lost).map(Self::last_total).sum::<Duration>();
        self.total().max(self.removed + self.counted + below)
    }

    fn find(&self, path: &str) -> Option<&Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(self, |node, part| node.children.get(part))
    }

    fn find_mut(&mut self, path: &str) -> Option<&mut Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(self, |node, part| node.children.get_mut(part))
    }

    /// Takes in a child that was made.
    fn add(&mut self, name: &str, room: &mut Room) {
        if room.cgroups > 0 && !self.children.contains_key(name) {
            room.cgroups -= 1;
            self.children.insert(name.into(), self.child(name));
        }
    }

    /// Takes out a child that was removed, also one that nobody knew.
    fn remove(&mut self, name: &str, ended: &mut Ended, room: &mut Room) {
        let node = self.children.remove(name).inspect(|node| room.take_back(node));
        let mut node = node.unwrap_or_else(|| self.child(name));
        node.file = None;
        if node.is_final {
            self.removed += node.last_total();
            node.finish(ended, room);
        } else {
            self.lost.push(node);
        }
    }

    /// What it used, and all below it, which has gone.
    fn finish(mut self, ended: &mut Ended, room: &mut Room) {
        let grown = self.grown();
        let tails = if self.is_alone() { Duration::ZERO } else { grown };
        for (_, node) in std::mem::take(&mut self.children) {
            room.take_back(&node);
            node.finish(ended, room);
        }
        for node in std::mem::take(&mut self.lost) {
            node.finish(ended, room);
        }
        let of = ended.entry(self.path).or_default();
        of.0 += self.own + grown;
        of.1 += self.tails + tails;
    }

    /// Reads its total; whether that could be read.
    fn read(&mut self, kernel: &Kernel, room: &mut Room) -> bool {
        let path = || kernel.folder(&self.path).join(kernel.file);
        room.open += usize::from(self.file.is_some());
        let mut read = |file: File| {
            let length = file.read_at(&mut room.buffer, 0)?;
            Ok::<_, io::Error>((file, length))
        };
        // One that was removed and made again is another file.
        let kept = self.file.take().and_then(|file| read(file).ok());
        let Some((file, length)) = kept.or_else(|| File::open(path()).and_then(read).ok()) else {
            return false;
        };
        if room.open > 0 {
            room.open -= 1;
            self.file = Some(file);
        }
        let text = room.buffer.get(..length).unwrap_or_default();
        let Some(now) = cpu_time(kernel.file, &String::from_utf8_lossy(text)) else {
            return false;
        };
        if now < self.last {
            self.before += self.last;
        }
        if now != self.last {
            (self.last, self.is_due, self.is_final) = (now, true, false);
        }
        true
    }

    /// Reads what has grown, from above; whether it is there.
    fn look(&mut self, kernel: &Kernel, list: bool, ended: &mut Ended, room: &mut Room) -> bool {
        let there = self.read(kernel, room);
        if &*self.path != "/" && !list && (!there || !self.is_due) {
            return there;
        }
        self.is_due = false;
        if list {
            let now = directories(&kernel.folder(&self.path));
            let gone = self.children.keys().filter(|name| !now.contains(&***name));
            for name in gone.cloned().collect::<Vec<_>>() {
                self.remove(&name, ended, room);
            }
            for name in now {
                self.add(&name, room);
            }
        }
        // Where nobody tells, others may have come and gone, too.
        let mut all = !list;
        for child in self.children.values_mut() {
            all &= child.look(kernel, list, ended, room);
        }
        self.settle(kernel, all, ended, room);
        there
    }

    /// Reads it, and all below it, once nothing runs there any more.
    fn end(&mut self, kernel: &Kernel, ended: &mut Ended, room: &mut Room) {
        let there = self.read(kernel, room);
        self.children.values_mut().for_each(|child| child.end(kernel, ended, room));
        if there {
            self.is_due = false;
            self.settle(kernel, true, ended, room);
            self.is_final = true;
        }
    }

    /// Whether nothing went with it that may have used time which is in its total alone.
    fn is_alone(&self) -> bool {
        self.lost.is_empty() && self.children.values().all(|child| child.is_final)
    }

    /// Own time that was read and not counted.
    fn grown(&self) -> Duration {
        let lost = self.lost.iter().map(Self::last_total).sum::<Duration>();
        let below = self.children.values().map(Self::total).sum::<Duration>() + lost;
        let own = self.total().saturating_sub(below + self.removed);
        own.saturating_sub(self.counted)
    }

    /// Reads those that are new, and says whether there are any.
    fn read_new(&mut self, kernel: &Kernel, room: &mut Room) -> bool {
        let mut any = self.new > 0 && !self.is_final && self.read(kernel, room);
        self.new = self.new.saturating_sub(1);
        for child in self.children.values_mut() {
            any |= child.read_new(kernel, room);
        }
        any
    }

    /// Counts its own time, once it and its children are read; `all`: there are no others.
    fn settle(&mut self, kernel: &Kernel, all: bool, ended: &mut Ended, room: &mut Room) {
        let lost = std::mem::take(&mut self.lost);
        self.removed += lost.iter().map(Self::last_total).sum::<Duration>();
        let grown = self.grown();
        match &*lost {
            [one]
                if all
                    && one.is_alone()
                    && &*self.path != "/"
                    && !kernel.has_processes(&self.path) =>
            {
                ended.entry(one.path.clone()).or_default().0 += grown;
                self.removed += grown;
            }
            _ => {
                self.own += grown;
                self.counted += grown;
                self.tails += if lost.is_empty() { Duration::ZERO } else { grown };
            }
        }
        for node in lost {
            node.finish(ended, room);
        }
    }

    /// Moves what was counted since the last look out of it and all below it.
    fn drain(&mut self, all: &mut Vec<Own>) {
        let (cpu, tails) = (std::mem::take(&mut self.own), std::mem::take(&mut self.tails));
        all.push(Own { path: self.path.clone(), cpu, tails });
        self.children.values_mut().for_each(|node| node.drain(all));
    }
}

#[cfg(test)]
mod tests;
