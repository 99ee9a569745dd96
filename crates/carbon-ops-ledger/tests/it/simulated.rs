//! A disk in memory below `DirStorage`: it loses power, tears and reorders what was not synced, and
//! fails where it is told to.
//!
//! The model is weaker than any file system that we know, and says nothing that POSIX does not
//! promise. Of a file, each 512-byte sector that was written since the last sync is on the disk in any
//! of its versions, independently of all others, and the length is any that the file had, or that lies
//! at a sector's boundary on the way. Of a directory, each name that was made or moved since the last
//! sync of that directory is there or not; a file that was moved is there under the old name, the new
//! one, or both. A sync of a file says nothing about its name.
//!
//! Out of scope: sectors that are damaged rather than old (a drive that does that needs checksums
//! of its own), and time.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carbon_ops_ledger::files::{Files, Open, Stat};

/// What a disk writes whole or not at all: the least of all drives in use.
pub(crate) const SECTOR: usize = 512;

type Sector = [u8; SECTOR];
type Id = usize;

/// A file system that a crash left: directories without, files with content.
pub(crate) type Image = BTreeMap<String, Option<Vec<u8>>>;

/// What happens all the same when a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing; of a sync: what was to be synced is forgotten, and seen until the power goes.
    None,
    /// All of it.
    Whole,
    /// Of a write the first half, as a success that says so; others fail, and nothing is forgotten.
    Short,
}

/// How long a failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// One call.
    Once,
    /// All later calls that change something.
    Changes,
    /// All later calls: the process has died.
    Death,
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) call: usize,
    pub(crate) kind: io::ErrorKind,
    pub(crate) effect: Effect,
    pub(crate) lasting: Lasting,
}

#[derive(Clone, Debug, Default)]
struct FileNode {
    /// What a reader sees.
    cached: Vec<u8>,
    /// What is on the disk for certain.
    durable: Vec<u8>,
    /// Versions of sectors since the last sync, oldest first.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// Lengths since the last sync, oldest first.
    sizes: Vec<usize>,
    sealed: bool,
}

fn sector(bytes: &[u8], number: usize) -> Sector {
    let mut sector = [0; SECTOR];
    let from = (number * SECTOR).min(bytes.len());
    let part = &bytes[from..(from + SECTOR).min(bytes.len())];
    sector[..part.len()].copy_from_slice(part);
    sector
}

impl FileNode {
    fn holding(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), cached: bytes, ..Self::default() }
    }

    fn touch(&mut self, from: usize, to: usize) {
        for number in from / SECTOR..to.div_ceil(SECTOR) {
            self.dirty.entry(number).or_default().push(sector(&self.cached, number));
        }
        self.sizes.push(self.cached.len());
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.touch(offset, end);
    }

    fn set_len(&mut self, len: usize) {
        let longest = self.cached.len().max(len);
        self.cached.resize(len, 0);
        // Zeros in what was cut, for whoever makes the file longer again.
        self.touch(len, longest);
    }

    /// Puts what is dirty onto the disk: whole sectors, and the length.
    fn sync(&mut self) {
        let mut durable = std::mem::take(&mut self.durable);
        if let Some(len) = self.sizes.last() {
            durable.resize(*len, 0);
        }
        for (number, versions) in &self.dirty {
            let from = (number * SECTOR).min(durable.len());
            let to = (from + SECTOR).min(durable.len());
            durable[from..to].copy_from_slice(&versions[versions.len() - 1][..to - from]);
        }
        self.durable = durable;
        self.forget();
    }

    /// Calls everything clean.
    fn forget(&mut self) {
        self.dirty.clear();
        self.sizes.clear();
    }

    /// Every length that a crash can leave.
    fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![self.durable.len()];
        let mut last = self.durable.len();
        for len in &self.sizes {
            lengths.extend((last / SECTOR + 1..=len / SECTOR).map(|number| number * SECTOR));
            lengths.push(*len);
            last = *len;
        }
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// What a crash leaves, by one choice for the length and one for each dirty sector.
    fn after_crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
        let lengths = self.lengths();
        let len = lengths[choose(lengths.len())];
        let mut bytes = self.durable.clone();
        bytes.resize(len, 0);
        for (number, versions) in &self.dirty {
            let from = number * SECTOR;
            if from >= len {
                break;
            }
            if let Some(version) = choose(versions.len() + 1).checked_sub(1) {
                let to = (from + SECTOR).min(len);
                bytes[from..to].copy_from_slice(&versions[version][..to - from]);
            }
        }
        bytes
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Made { name: String, id: Id },
    Moved { from: String, to: String, id: Id },
}

#[derive(Clone, Debug, Default)]
struct DirNode {
    cached: BTreeMap<String, Id>,
    durable: BTreeMap<String, Id>,
    pending: Vec<NameChange>,
}

impl DirNode {
    fn make(&mut self, name: &str, id: Id) {
        self.cached.insert(name.to_owned(), id);
        self.pending.push(NameChange::Made { name: name.to_owned(), id });
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.cached);
        self.pending.clear();
    }

    fn after_crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> BTreeMap<String, Id> {
        let mut names = self.durable.clone();
        for change in &self.pending {
            match change {
                NameChange::Made { name, id } => {
                    if choose(2) == 1 {
                        names.insert(name.clone(), *id);
                    }
                }
                NameChange::Moved { from, to, id } => {
                    let choice = choose(3);
                    if choice > 0 {
                        names.insert(to.clone(), *id);
                    }
                    if choice == 2 {
                        names.remove(from);
                    }
                }
            }
        }
        names
    }
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// All of a disk, with what the kernel holds for it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
}

const ROOT: Id = 0;

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

impl Disk {
    pub(crate) fn holding(image: &Image) -> Self {
        let mut disk = Self { nodes: vec![Node::Dir(DirNode::default())] };
        for (name, content) in image {
            let node = match content {
                Some(bytes) => Node::File(FileNode::holding(bytes.clone())),
                None => Node::Dir(DirNode::default()),
            };
            disk.nodes.push(node);
            let id = disk.nodes.len() - 1;
            let (parent, name) = split(name);
            let parent = disk.dir(parent).unwrap();
            parent.make(name, id);
            parent.sync();
        }
        disk
    }

    fn find(&self, name: &str) -> Option<Id> {
        let mut id = ROOT;
        for part in name.split('/').filter(|part| !part.is_empty()) {
            let Node::Dir(dir) = &self.nodes[id] else { return None };
            id = *dir.cached.get(part)?;
        }
        Some(id)
    }

    fn dir(&mut self, name: &str) -> io::Result<&mut DirNode> {
        let id = self.find(name).ok_or_else(not_found)?;
        match &mut self.nodes[id] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, id: Id) -> &mut FileNode {
        match &mut self.nodes[id] {
            Node::File(file) => file,
            Node::Dir(_) => panic!("not a file"),
        }
    }

    fn make(&mut self, name: &str, node: Node) -> io::Result<Id> {
        let (parent, last) = split(name);
        self.dir(parent)?;
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.dir(parent)?.make(last, id);
        Ok(id)
    }

    /// What a process sees.
    pub(crate) fn seen(&self) -> Image {
        self.walk(&mut |dir, _| dir.cached.clone(), &mut |file, _| file.cached.clone(), &mut |_| 0)
    }

    /// What a crash leaves now, by choices: of each number of possibilities, one.
    pub(crate) fn after_crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> Image {
        self.walk(
            &mut |dir, choose| dir.after_crash(choose),
            &mut |file, choose| file.after_crash(choose),
            choose,
        )
    }

    #[expect(clippy::type_complexity, reason = "two ways of looking at a disk, used just above")]
    fn walk(
        &self,
        names: &mut dyn FnMut(&DirNode, &mut dyn FnMut(usize) -> usize) -> BTreeMap<String, Id>,
        content: &mut dyn FnMut(&FileNode, &mut dyn FnMut(usize) -> usize) -> Vec<u8>,
        choose: &mut dyn FnMut(usize) -> usize,
    ) -> Image {
        let mut image = Image::new();
        let mut left = vec![(String::new(), ROOT)];
        // A file with two names has one content.
        let mut known: HashMap<Id, Vec<u8>> = HashMap::new();
        while let Some((path, id)) = left.pop() {
            match &self.nodes[id] {
                Node::File(file) => {
                    let bytes = known.entry(id).or_insert_with(|| content(file, choose));
                    image.insert(path, Some(bytes.clone()));
                }
                Node::Dir(dir) => {
                    for (name, id) in names(dir, choose) {
                        let slash = if path.is_empty() { "" } else { "/" };
                        left.push((format!("{path}{slash}{name}"), id));
                    }
                    if !path.is_empty() {
                        image.insert(path, None);
                    }
                }
            }
        }
        image
    }
}

/// Called with the disk before every call that changes it.
pub(crate) type Watch = Arc<dyn Fn(&Disk) + Send + Sync>;

struct State {
    disk: Disk,
    calls: usize,
    fault: Option<Fault>,
    /// What is over once it has begun.
    lasting: Option<Lasting>,
    kind: io::ErrorKind,
}

/// A process's access to a disk. Clones are the same process.
#[derive(Clone)]
pub(crate) struct SimulatedFiles {
    state: Arc<Mutex<State>>,
    watch: Option<Watch>,
}

impl std::fmt::Debug for SimulatedFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimulatedFiles")
    }
}

impl SimulatedFiles {
    pub(crate) fn on(disk: Disk) -> Self {
        let (kind, fault, lasting) = (io::ErrorKind::Other, None, None);
        let state = State { disk, calls: 0, fault, lasting, kind };
        Self { state: Arc::new(Mutex::new(state)), watch: None }
    }

    pub(crate) fn watched(disk: Disk, watch: Watch) -> Self {
        Self { watch: Some(watch), ..Self::on(disk) }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        (state.fault, state.calls) = (Some(fault), 0);
    }

    /// A new process on the same disk, in the same boot.
    pub(crate) fn next_process(&self) {
        let mut state = self.state.lock().unwrap();
        (state.fault, state.lasting) = (None, None);
    }

    pub(crate) fn disk(&self) -> Disk {
        self.state.lock().unwrap().disk.clone()
    }

    pub(crate) fn seen(&self) -> Image {
        self.state.lock().unwrap().disk.seen()
    }

    /// How many calls there were since a fault was set.
    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// One call: `work` is told what of it happens.
    fn call<T>(
        &self,
        changes: bool,
        work: impl FnOnce(&mut Disk, Effect) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        if state.lasting == Some(Lasting::Death)
            || changes && state.lasting == Some(Lasting::Changes)
        {
            return Err(state.kind.into());
        }
        if changes && let Some(watch) = &self.watch {
            watch(&state.disk);
        }
        let Some(fault) = state.fault.filter(|fault| fault.call == call) else {
            return work(&mut state.disk, Effect::Whole);
        };
        (state.lasting, state.kind) = (Some(fault.lasting), fault.kind);
        if fault.lasting == Lasting::Death && fault.effect == Effect::None {
            // Who dies before a call does not make the kernel forget anything.
            return Err(fault.kind.into());
        }
        let result = match fault.effect {
            Effect::None | Effect::Whole if changes => work(&mut state.disk, fault.effect),
            Effect::Short if changes => return work(&mut state.disk, Effect::Short),
            _ => Err(fault.kind.into()),
        };
        result.and(Err(fault.kind.into()))
    }
}

/// Of an effect on a call that does all or nothing.
fn happens(effect: Effect) -> io::Result<()> {
    if effect == Effect::Whole { Ok(()) } else { Err(io::Error::other("injected")) }
}

#[derive(Debug)]
pub(crate) struct Handle {
    id: Id,
    how: Open,
    at: usize,
}

impl Files for SimulatedFiles {
    type File = Handle;

    fn root(&self) -> &Path {
        Path::new("simulated")
    }

    fn make_root(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str, _: Duration) -> io::Result<Option<Handle>> {
        self.open(name, Open::AppendOrMake)
    }

    fn unlock(&self, _: Handle) {}

    fn open(&self, name: &str, how: Open) -> io::Result<Option<Handle>> {
        let found = self.state.lock().unwrap().disk.find(name);
        let makes = matches!(how, Open::AppendOrMake | Open::Overwrite);
        self.call(found.is_none() && makes || how == Open::Overwrite, |disk, effect| {
            let id = match (found, makes) {
                (Some(id), _) => id,
                (None, false) => return Ok(None),
                (None, true) => {
                    happens(effect)?;
                    disk.make(name, Node::File(FileNode::default()))?
                }
            };
            if how == Open::Overwrite {
                happens(effect)?;
                if !disk.file(id).cached.is_empty() {
                    disk.file(id).set_len(0);
                }
            }
            Ok(Some(Handle { id, how, at: 0 }))
        })
    }

    fn stat(&self, file: &Handle) -> io::Result<Stat> {
        self.call(false, |disk, _| {
            let (id, file) = (file.id as u64, disk.file(file.id));
            let len = file.cached.len() as u64;
            Ok(Stat { len, identity: (0, id), writable: !file.sealed })
        })
    }

    fn read_at(&self, file: &Handle, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.call(false, |disk, _| {
            let from = usize::try_from(offset).unwrap();
            let there = disk.file(file.id).cached.get(from..from + bytes.len());
            bytes.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write(&self, file: &mut Handle, bytes: &[u8]) -> io::Result<usize> {
        self.call(true, |disk, effect| {
            let node = disk.file(file.id);
            assert!(!node.sealed, "a sealed segment is written to");
            let len = match effect {
                Effect::None => return happens(effect).map(|()| 0),
                Effect::Whole => bytes.len(),
                Effect::Short => bytes.len() / 2,
            };
            let at = if file.how == Open::Overwrite { file.at } else { node.cached.len() };
            node.write(at, &bytes[..len]);
            file.at = at + len;
            Ok(len)
        })
    }

    fn write_at(&self, file: &Handle, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(file.how == Open::Rewrite, "pwrite(2) to a file opened to append appends");
        self.call(true, |disk, effect| {
            happens(effect)?;
            disk.file(file.id).write(usize::try_from(offset).unwrap(), bytes);
            Ok(())
        })
    }

    fn sync_data(&self, file: &Handle) -> io::Result<()> {
        self.sync_all(file)
    }

    fn sync_all(&self, file: &Handle) -> io::Result<()> {
        self.call(true, |disk, effect| {
            let file = disk.file(file.id);
            match effect {
                Effect::Whole => file.sync(),
                Effect::None => file.forget(),
                Effect::Short => return happens(effect),
            }
            Ok(())
        })
    }

    fn set_len(&self, file: &Handle, len: u64) -> io::Result<()> {
        self.call(true, |disk, effect| {
            happens(effect)?;
            disk.file(file.id).set_len(usize::try_from(len).unwrap());
            Ok(())
        })
    }

    fn seal(&self, name: &str) -> io::Result<()> {
        self.call(true, |disk, effect| {
            happens(effect)?;
            let id = disk.find(name).ok_or_else(not_found)?;
            disk.file(id).sealed = true;
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(true, |disk, effect| {
            happens(effect)?;
            let ((parent, from), (other, to)) = (split(from), split(to));
            assert_eq!(parent, other, "a rename between two directories may lose the file");
            let dir = disk.dir(parent)?;
            let id = dir.cached.remove(from).ok_or_else(not_found)?;
            dir.cached.insert(to.to_owned(), id);
            dir.pending.push(NameChange::Moved { from: from.to_owned(), to: to.to_owned(), id });
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(true, |disk, effect| {
            happens(effect)?;
            let id = disk.find(from).ok_or_else(not_found)?;
            if disk.find(to).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let (parent, to) = split(to);
            disk.dir(parent)?.make(to, id);
            Ok(())
        })
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        self.call(true, |disk, effect| {
            happens(effect)?;
            if disk.find(name).is_none() {
                disk.make(name, Node::Dir(DirNode::default()))?;
            }
            Ok(())
        })
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.call(true, |disk, effect| {
            let dir = disk.dir(name)?;
            match effect {
                Effect::Whole => dir.sync(),
                Effect::None => dir.pending.clear(),
                Effect::Short => return happens(effect),
            }
            Ok(())
        })
    }

    fn list(&self, name: &str) -> io::Result<Option<Vec<String>>> {
        self.call(false, |disk, _| match disk.dir(name) {
            Ok(dir) => Ok(Some(dir.cached.keys().cloned().collect())),
            Err(_) => Ok(None),
        })
    }
}
