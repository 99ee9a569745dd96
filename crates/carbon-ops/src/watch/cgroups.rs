//! All cgroups of a host, where the kernel tells when they come, become empty and go.
//!
//! A cgroup that is empty is read at once, before whoever made it removes it: a thread waits for that and does nothing
//! else. Where the kernel does not tell, or not of all (too few watches are left, too much happened at once), the next look
//! lists the directories.
//!
//! Out of scope: what a total comes to ([`carbon_ops_meter::cgroups`]), and energy.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use carbon_ops_meter::cgroups::{Cgroups, Change, Own};
use carbon_ops_meter::host_root::HostRoot;
use carbon_ops_record::Unit;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::identity;

/// The file that changes when a cgroup becomes empty or is filled (Linux `Documentation/admin-guide/cgroup-v2.rst`).
const POPULATED: &str = "cgroup.events";

/// Cgroups that are new are read so often: they may be removed as soon as they are empty.
const READ_AGAIN: Duration = Duration::from_millis(200);
const READ_AGAIN_MS: u8 = 200;

/// What cgroups used since the last look.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// CPU time of each by itself.
    pub(super) own: Vec<Own>,
    /// All that are accounted for.
    pub(super) known: HashSet<Arc<str>>,
    /// What those that have ended were called.
    pub(super) units: HashMap<Arc<str>, Arc<Unit>>,
}

impl Looked {
    /// Whether the time of the processes in a cgroup is in what cgroups used. In a namespace of cgroups the path of one
    /// outside begins above its root, and the tree may be the host's all the same.
    pub(super) fn holds(&self, path: &str) -> bool {
        let Some(above) = path.strip_prefix("/..") else {
            return path != "/" && self.known.contains(path);
        };
        let mut tail = above;
        while let Some(above) = tail.strip_prefix("/..") {
            tail = above;
        }
        !tail.is_empty() && self.known.iter().any(|known| known.ends_with(tail))
    }
}

/// Cgroups that are watched.
#[derive(Debug)]
pub(super) struct Watched {
    state: Arc<Mutex<State>>,
    /// Ends the thread with itself: nothing is written.
    end: Option<PipeWriter>,
}

#[derive(Debug)]
struct State {
    host: HostRoot,
    cgroups: Cgroups,
    events: Option<Events>,
    /// When those that are new were last read.
    read: Option<Instant>,
    names: identity::Units,
    /// Units of those that have ended, found while their pods' folders were there.
    units: HashMap<Arc<str>, Arc<Unit>>,
}

/// What the kernel tells.
#[derive(Debug)]
struct Events {
    inotify: Inotify,
    root: PathBuf,
    paths: HashMap<WatchDescriptor, Arc<str>>,
    /// Directories that are watched. The kernel tells of a file in one only while somebody watches the file itself.
    watched: HashSet<Arc<str>>,
    /// It tells of all directories.
    is_whole: bool,
}

impl Watched {
    /// Takes the first readings.
    pub(super) fn open(host: &HostRoot) -> Self {
        let state = State {
            host: host.clone(),
            cgroups: Cgroups::new(host),
            events: None,
            read: None,
            names: identity::Units::default(),
            units: HashMap::new(),
        };
        let mut watched = Self { state: Arc::new(Mutex::new(state)), end: None };
        let mut state = watched.state();
        // What is made while the directories are listed is found by listing them again.
        state.look();
        state.look();
        let told =
            state.events.as_ref().and_then(|it| it.inotify.as_fd().try_clone_to_owned().ok());
        drop(state);
        watched.end = told.and_then(|told| {
            let (end, ends) = pipe().ok()?;
            let state = watched.state.clone();
            let name = "carbon-ops-cgroups".to_owned();
            thread::Builder::new().name(name).spawn(move || listen(&state, &told, &end)).ok()?;
            Some(ends)
        });
        watched
    }

    /// What each used since the last look.
    pub(super) fn look(&self) -> Looked {
        self.state().look()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a thread that panicked has left is a reading less.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in what the kernel tells as soon as it does, until the other end of the pipe is closed.
fn listen(state: &Mutex<State>, told: &OwnedFd, end: &PipeReader) {
    let mut again = PollTimeout::NONE;
    loop {
        let mut both = [told.as_fd(), end.as_fd()].map(|it| PollFd::new(it, PollFlags::POLLIN));
        match poll(&mut both, again) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let [told, end] = both.map(|it| it.any().unwrap_or(true));
        if end {
            return;
        }
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if told {
            state.take_in();
        }
        let due = state.read.is_none_or(|read| read.elapsed() >= READ_AGAIN);
        if due && state.cgroups.read_new() {
            state.read = Some(Instant::now());
        } else if due {
            state.read = None;
        }
        again = if state.read.is_some() { READ_AGAIN_MS.into() } else { PollTimeout::NONE };
    }
}

impl State {
    fn look(&mut self) -> Looked {
        self.take_in();
        let is_whole = self.events.as_ref().is_some_and(|events| events.is_whole);
        let own = self.cgroups.look(!is_whole);
        if self.cgroups.root() != self.events.as_ref().map(|events| events.root.clone()) {
            // Whoever has a descriptor of the old one waits for what never comes, and each look lists.
            self.events = self.cgroups.root().and_then(Events::new);
        }
        let known: HashSet<_> = self.cgroups.paths().into_iter().collect();
        if let Some(events) = self.events.as_mut().filter(|_| !is_whole) {
            events.cover(&known);
        }
        self.names.next_round();
        Looked { own, known, units: std::mem::take(&mut self.units) }
    }

    /// Takes in what the kernel has told and nobody has heard yet.
    fn take_in(&mut self) {
        let Some(events) = &mut self.events else { return };
        let mut changes = Vec::new();
        while let Ok(all) = events.inotify.read_events() {
            for event in all {
                events.change(event, &mut changes);
            }
        }
        let is_all = || {
            let mut told = [PollFd::new(events.inotify.as_fd(), PollFlags::POLLIN)];
            poll(&mut told, PollTimeout::ZERO) == Ok(0)
        };
        self.cgroups.changed(changes.iter().map(|(path, change)| (&**path, *change)), is_all);
        for (path, change) in changes {
            if matches!(change, Change::Emptied | Change::Removed) {
                let path = Arc::from(path);
                if let Some(unit) = self.names.of(&self.host, &path) {
                    self.units.entry(path).or_insert(unit);
                }
            }
        }
    }
}

impl Events {
    /// None where the kernel does not tell.
    fn new(root: PathBuf) -> Option<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        let (paths, watched) = (HashMap::new(), HashSet::new());
        Some(Self { inotify, root, paths, watched, is_whole: false })
    }

    /// Has the kernel tell of all these directories. It is whole where it did before.
    fn cover(&mut self, known: &HashSet<Arc<str>>) {
        let mut all = true;
        for path in known {
            all &= self.watched.contains(path);
            self.watch(path);
        }
        self.is_whole = all;
    }

    fn watch(&mut self, path: &Arc<str>) {
        let folder = self.folder(path);
        let directory = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        let events = folder.join(POPULATED);
        for (file, what) in [(folder, directory), (events, AddWatchFlags::IN_MODIFY)] {
            match self.inotify.add_watch(&file, what) {
                Ok(watch) => drop(self.paths.insert(watch, path.clone())),
                // One that has gone meanwhile needs none, and version 1 has no such file.
                Err(Errno::ENOENT) => continue,
                Err(_) => self.is_whole = false,
            }
            self.watched.insert(path.clone());
        }
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What an event says of cgroups.
    fn change(&mut self, event: InotifyEvent, changes: &mut Vec<(String, Change)>) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            self.is_whole = false;
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            if let Some(path) = self.paths.remove(&event.wd) {
                self.watched.remove(&path);
            }
            return;
        }
        let Some(around) = self.paths.get(&event.wd).cloned() else { return };
        if event.mask.contains(AddWatchFlags::IN_MODIFY) {
            let text = fs::read_to_string(self.folder(&around).join(POPULATED));
            let Ok(text) = text else { return };
            let is_empty = text.lines().any(|line| line == "populated 0");
            let change = if is_empty { Change::Emptied } else { Change::Filled };
            changes.push((around.to_string(), change));
        } else if event.mask.contains(AddWatchFlags::IN_ISDIR) {
            let Some(name) = event.name.and_then(|name| name.into_string().ok()) else { return };
            let path = format!("{}/{name}", around.trim_end_matches('/'));
            if event.mask.contains(AddWatchFlags::IN_CREATE) {
                self.made(path, changes);
            } else {
                changes.push((path, Change::Removed));
            }
        }
    }

    /// A cgroup that was made, and what was made in it before it was watched.
    fn made(&mut self, path: String, changes: &mut Vec<(String, Change)>) {
        self.watch(&Arc::from(&*path));
        let below = fs::read_dir(self.folder(&path)).into_iter().flatten().flatten();
        let below: Vec<_> = below
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| format!("{path}/{name}"))
            .collect();
        changes.push((path, Change::Made));
        for path in below {
            self.made(path, changes);
        }
    }
}

/// CPU time that may be of units that have ended, and is told of what was around them: of a slice, or of nobody.
pub(super) fn unnamed(
    own: &[Own],
    unit: &mut dyn FnMut(&Arc<str>) -> Option<Arc<Unit>>,
) -> Duration {
    let mut is_named = |path| unit(path).is_some_and(|it| !identity::is_slice(&it));
    own.iter().filter(|it| !it.tails.is_zero() && !is_named(&it.path)).map(|it| it.tails).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_of_our_namespace_is_in_the_tree_of_the_host_where_that_is_shown() {
        let known = ["/", "/kubepods", "/kubepods/pod1/c"].map(Arc::from).into();
        let looked = Looked { known, ..Looked::default() };
        for (path, holds) in [
            ("/kubepods/pod1/c", true),
            ("/../../kubepods/pod1/c", true),
            ("/../pod1/c", true),
            ("/../pod2/c", false),
            ("/..", false),
            ("/", false),
            ("", false),
            ("/system.slice", false),
        ] {
            assert_eq!(looked.holds(path), holds, "{path}");
        }
        assert!(!Looked::default().holds("/../kubepods/pod1/c"));
    }
}
