//! Fixed keys and ledgers, and a disk in memory that fails where it is told to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carbon_ops_ledger::append::{Ledger, WriterOptions};
use carbon_ops_ledger::keys::{SecretKey, Trust};
use carbon_ops_ledger::storage::Storage;
use carbon_ops_proof::canonical::{Object, Value, parse};
use carbon_ops_proof::verify::{Report, Status, verify};
use jiff::Timestamp;

/// 2026-11-23T09:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_424_400, 0);
/// Five minutes after.
pub(crate) const LATER: Timestamp = Timestamp::constant(1_795_424_700, 0);
pub(crate) const LEDGER_ID: [u8; 16] =
    [0x01, 0x92, 0xd7, 0xa0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xa1];

/// The test key of the format document: seed bytes 00 to 1f.
pub(crate) fn key() -> SecretKey {
    SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

/// The second test key: seed bytes 20 to 3f.
pub(crate) fn second_key() -> SecretKey {
    SecretKey::from_seed(&std::array::from_fn(|i| u8::try_from(32 + i).unwrap()))
}

pub(crate) fn other_key() -> SecretKey {
    SecretKey::from_seed(&[0x5a; 32])
}

pub(crate) fn trust() -> Trust {
    Trust::from_iter([key().public_key()])
}

pub(crate) fn options() -> WriterOptions {
    WriterOptions { tool: "carbon-ops 0.2.0".into(), patience: Duration::from_secs(30) }
}

/// A record whose number can be found again.
pub(crate) fn payload(n: u32) -> Object {
    Object::from_members([
        ("kind", Value::from("test")),
        ("n", Value::from(n)),
        ("note", Value::from("naïve \"quoted\" 😀")),
    ])
    .unwrap()
}

/// A genesis and the records 0 to `records` − 1.
pub(crate) fn ledger_of(records: u32, key: &SecretKey, id: [u8; 16]) -> Vec<u8> {
    let disk = MemoryDisk::default();
    let mut ledger = Ledger::create(disk.clone(), key, id, NOW, options()).unwrap();
    for n in 0..records {
        ledger.append(payload(n), NOW).unwrap();
    }
    disk.file()
}

pub(crate) fn report(file: &[u8]) -> Report {
    verify(file, &trust(), &mut |_| Ok(())).unwrap()
}

/// The exit code that the documents of the formats give a verdict.
pub(crate) fn code(status: Status) -> u8 {
    match status {
        Status::Valid => 0,
        Status::Tampered => 1,
        Status::Untrusted => 2,
        Status::Rewritten => 3,
        Status::TornTail => 4,
        other => panic!("{other:?} has no code"),
    }
}

pub(crate) fn lines(file: &[u8]) -> Vec<Vec<u8>> {
    file.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// The numbers of the test records in a ledger, in order.
pub(crate) fn numbers(file: &[u8]) -> Vec<u32> {
    lines(file)
        .iter()
        .filter_map(|line| parse(line).ok()?.as_object()?.get("n")?.as_u64())
        .map(|n| u32::try_from(n).unwrap())
        .collect()
}

/// How much of a failing call happens all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happens {
    Nothing,
    Everything,
    /// For a write: this share of its bytes, in quarters. Other calls do nothing.
    Quarters(usize),
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) call: usize,
    pub(crate) happens: Happens,
    /// Whether all later calls fail too, as after the death of the process.
    pub(crate) dies: bool,
}

/// What becomes of bytes that were written but not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Kept,
    Lost,
    HalfLost,
    /// All but the newline.
    NewlineLost,
    /// The length is there, the first half was never written.
    ZerosFirst,
    /// The length is there, the second half was never written.
    ZerosLast,
    AllZeros,
}

pub(crate) const ALL_UNSYNCED: [Unsynced; 7] = [
    Unsynced::Kept,
    Unsynced::Lost,
    Unsynced::HalfLost,
    Unsynced::NewlineLost,
    Unsynced::ZerosFirst,
    Unsynced::ZerosLast,
    Unsynced::AllZeros,
];

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) file: Option<Vec<u8>>,
    pub(crate) evidence: BTreeMap<String, Vec<u8>>,
    /// Checkpoints, tiles, the signer's state.
    pub(crate) beside: BTreeMap<String, Vec<u8>>,
}

impl Content {
    /// Where a file beside the ledger is.
    fn place(&mut self, name: &str) -> &mut BTreeMap<String, Vec<u8>> {
        let is_evidence = name.starts_with("ledger.ndjson.torn-");
        if is_evidence { &mut self.evidence } else { &mut self.beside }
    }
}

#[derive(Debug, Default)]
struct State {
    content: Content,
    /// How many bytes of the file are durable.
    synced: usize,
    calls: usize,
    largest_append: usize,
    failure: Option<Failure>,
    dead: bool,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    pub(crate) fn holding(content: Content) -> Self {
        let synced = content.file.as_ref().map_or(0, Vec::len);
        Self(Arc::new(Mutex::new(State { content, synced, ..State::default() })))
    }

    pub(crate) fn of_file(file: &[u8]) -> Self {
        Self::holding(Content { file: Some(file.to_vec()), ..Content::default() })
    }

    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.0.lock().unwrap();
        state.failure = Some(failure);
        state.calls = 0;
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        self.content().file.unwrap()
    }

    pub(crate) fn content(&self) -> Content {
        self.0.lock().unwrap().content.clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn largest_append(&self) -> usize {
        self.0.lock().unwrap().largest_append
    }

    /// What is on the disk after a loss of power.
    pub(crate) fn after_power_loss(&self, unsynced: Unsynced) -> Content {
        let state = self.0.lock().unwrap();
        let mut content = state.content.clone();
        if let Some(file) = &mut content.file {
            let (from, to) = (state.synced.min(file.len()), file.len());
            let middle = from + (to - from) / 2;
            match unsynced {
                Unsynced::Kept => {}
                Unsynced::Lost => file.truncate(from),
                Unsynced::HalfLost => file.truncate(middle),
                Unsynced::NewlineLost => file.truncate(to.max(from + 1) - 1),
                Unsynced::ZerosFirst => file[from..middle].fill(0),
                Unsynced::ZerosLast => file[middle..].fill(0),
                Unsynced::AllZeros => file[from..].fill(0),
            }
        }
        content
    }

    /// One call: `work` is told how many quarters of it happen.
    fn call<T>(&self, work: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        let Some(failure) = state.failure.filter(|failure| failure.call == call) else {
            return work(&mut state, 4);
        };
        match failure.happens {
            Happens::Nothing => {}
            Happens::Everything => drop(work(&mut state, 4)),
            Happens::Quarters(quarters) => drop(work(&mut state, quarters)),
        }
        state.dead = failure.dies;
        Err(io::Error::new(io::ErrorKind::StorageFull, "injected"))
    }
}

impl Storage for MemoryDisk {
    fn path(&self) -> PathBuf {
        "memory/ledger.ndjson".into()
    }

    fn lock(&mut self, _: Duration, _: bool) -> io::Result<bool> {
        self.call(|_, _| Ok(true))
    }

    fn unlock(&mut self) {}

    fn size(&mut self) -> io::Result<Option<u64>> {
        self.call(|state, _| Ok(state.content.file.as_ref().map(|file| file.len() as u64)))
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.call(|state, _| {
            let offset = usize::try_from(offset).unwrap();
            let file = state.content.file.as_ref().unwrap();
            Ok(file[offset..offset + len].to_vec())
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.call(|state, quarters| {
            let part = bytes.len() * quarters / 4;
            state.largest_append = state.largest_append.max(bytes.len());
            state.content.file.as_mut().unwrap().extend(&bytes[..part]);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.call(|state, quarters| {
            if quarters == 4 {
                state.synced = state.content.file.as_ref().unwrap().len();
            }
            Ok(())
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.call(|state, quarters| {
            if quarters == 4 {
                let len = usize::try_from(len).unwrap();
                state.content.file.as_mut().unwrap().truncate(len);
                state.synced = len;
            }
            Ok(())
        })
    }

    fn create(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.call(|state, quarters| {
            if quarters == 4 {
                state.content.file = Some(bytes.to_vec());
                state.synced = bytes.len();
            }
            Ok(())
        })
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        self.call(|state, _| {
            Ok(state.content.evidence.keys().chain(state.content.beside.keys()).cloned().collect())
        })
    }

    fn read_beside(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.call(|state, _| Ok(state.content.place(name).get(name).cloned()))
    }

    fn replace_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.call(|state, quarters| {
            if quarters == 4 {
                state.content.place(name).insert(name.to_owned(), bytes.to_vec());
            }
            Ok(())
        })
    }

    fn append_beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.call(|state, quarters| {
            let file = state.content.beside.entry(name.to_owned()).or_default();
            file.extend(&bytes[..bytes.len() * quarters / 4]);
            Ok(())
        })
    }
}
