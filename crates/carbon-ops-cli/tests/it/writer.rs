//! Writers as processes of their own, for tests that kill them, and what must hold of a ledger
//! afterwards. This test program runs itself again as the writer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carbon_ops::ledger::Error;
use carbon_ops::ledger::append::{Ledger, WriterOptions};
use carbon_ops::ledger::keys::{SecretKey, Trust};
use carbon_ops::ledger::segment::LedgerReader;
use carbon_ops::ledger::storage::DirStorage;
use carbon_ops::proof::canonical::{Object, Value, parse};
use carbon_ops::proof::checkpoint::Checkpoint;
use carbon_ops::proof::merkle::{Frontier, TreeHash, leaf_hash};
use carbon_ops::proof::note::Note;
use carbon_ops::proof::verify::{Report, Status, verify};

/// Tells this program that it is a writer: the directory, the writer's number and a seed.
const WRITER: &str = "CARBON_OPS_TEST_WRITER";
/// 2026-11-24T09:00:00Z.
pub(crate) const NOW: jiff::Timestamp = jiff::Timestamp::constant(1_795_510_800, 0);

/// Of the key that all of them sign with.
pub(crate) const KEY_SEED: [u8; 32] = [7; 32];

/// `SplitMix64` (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&KEY_SEED)
}

fn trust() -> Trust {
    Trust::from_iter([key().public_key()])
}

fn options() -> WriterOptions {
    WriterOptions { tool: "test 1".to_owned(), patience: Duration::from_secs(30) }
}

pub(crate) fn create(dir: &Path) {
    Ledger::create(DirStorage::new(dir), &key(), [3; 16], NOW, options()).unwrap();
}

/// Opens the ledger, which recovers it, and gives it to `work`.
pub(crate) fn opened<T>(
    dir: &Path,
    work: impl FnOnce(&mut Ledger<'_, DirStorage>) -> carbon_ops::ledger::Result<T>,
) -> carbon_ops::ledger::Result<T> {
    let key = key();
    work(&mut Ledger::open_for_append(DirStorage::new(dir), &key, &trust(), NOW, options())?)
}

pub(crate) fn payload(writer: u32, n: u32) -> Object {
    let members = [("kind", "test".into()), ("n", n.into()), ("writer", writer.into())];
    Object::from_members(members).unwrap()
}

/// Not a test but the writer, when this program was started as one.
#[test]
fn a_writer_process() {
    let Ok(given) = std::env::var(WRITER) else { return };
    let mut parts = given.splitn(3, ' ');
    let mut number = || parts.next().unwrap().parse::<u32>().unwrap();
    let (writer, seed) = (number(), number());
    let outcome = write_on(Path::new(parts.next().unwrap()), writer, u64::from(seed));
    tell(&format!("stopped {}", outcome.unwrap_err().to_string().replace('\n', " ")));
}

/// To the parent, in one write.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Appends until something fails.
fn write_on(dir: &Path, writer: u32, seed: u64) -> Result<(), Error> {
    let mut random = Random(seed);
    opened(dir, |ledger| {
        for n in 0.. {
            ledger.append(payload(writer, n), NOW)?;
            tell(&format!("ack {n}"));
            if random.below(16) == 0 {
                let signed = ledger.checkpoint(NOW)?.checkpoint;
                tell(&format!("signed {} {}", signed.size, signed.root));
            }
            if random.below(64) == 0 {
                ledger.seal(0, NOW)?;
            }
        }
        Ok(())
    })
}

/// What the world outside of the disk was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By writer: how many of its records were acknowledged.
    pub(crate) acknowledged: BTreeMap<u32, u32>,
    pub(crate) signed: Vec<(u64, TreeHash)>,
    /// Why writers stopped by themselves.
    pub(crate) stopped: Vec<String>,
}

pub(crate) type World = Arc<Mutex<Told>>;

/// Starts a writer whose reports go to the world.
pub(crate) fn start(dir: &Path, writer: u32, seed: u32, world: &World) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer::a_writer_process", "--nocapture", "--test-threads=1"])
        .env(WRITER, format!("{writer} {seed} {}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (reports, world) = (child.stdout.take().unwrap(), world.clone());
    std::thread::spawn(move || {
        // A line that a kill cut off was not told.
        for line in BufReader::new(reports).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            hear(&mut world.lock().unwrap(), writer, &line);
        }
    });
    child
}

fn hear(told: &mut Told, writer: u32, line: &str) {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("ack"), Some(n), None) => {
            told.acknowledged.insert(writer, n.parse::<u32>().unwrap() + 1);
        }
        (Some("signed"), Some(size), Some(root)) => {
            // A kill may cut the last line short.
            if let (Ok(size), Some(root)) = (size.parse(), TreeHash::from_base64(root)) {
                told.signed.push((size, root));
            }
        }
        (Some("stopped"), ..) => told.stopped.push(line.to_owned()),
        _ => {}
    }
}

fn report(dir: &Path, bytes: &[u8]) -> Report {
    let faults = LedgerReader::open(dir).unwrap().segment_faults().unwrap();
    let mut report = verify(bytes, &trust(), &mut |_| Ok(())).unwrap();
    report.add_faults(faults);
    report
}

/// What must hold: valid up to a torn end before the recovery and without one after it; of each
/// writer a prefix of what it submitted, in order, with all that was acknowledged; and every
/// checkpoint that was told or logged is of this ledger.
pub(crate) fn check(dir: &Path, told: &Told) -> usize {
    let read = || {
        let mut bytes = Vec::new();
        LedgerReader::open(dir).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let before = read();
    let found = report(dir, &before);
    assert!(matches!(found.status, Status::Valid | Status::TornTail), "{found:?}");
    let signed = opened(dir, |ledger| ledger.checkpoint(NOW)).unwrap().checkpoint;
    let after = read();
    let found = report(dir, &after);
    assert_eq!((found.status, found.tree_size), (Status::Valid, signed.size), "{found:?}");

    let mut by_writer: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut roots = vec![];
    let mut tree = Frontier::new();
    for line in after.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap();
        tree.push(leaf_hash(line));
        roots.push(tree.root());
        let Value::Object(object) = parse(line).unwrap() else { panic!("not an object") };
        let member = |name| object.get(name).and_then(Value::as_u64);
        if let (Some(writer), Some(n)) = (member("writer"), member("n")) {
            by_writer.entry(writer).or_default().push(n);
        }
    }
    for (writer, numbers) in &by_writer {
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{writer}: {numbers:?}");
    }
    for (writer, acknowledged) in &told.acknowledged {
        let found = by_writer.get(&u64::from(*writer)).map_or(0, Vec::len);
        assert!(found >= *acknowledged as usize, "{writer}: {found} of {acknowledged}");
    }
    for (size, root) in told.signed.iter().chain(&logged(dir)) {
        let now = usize::try_from(*size).ok().and_then(|size| roots.get(size - 1));
        assert_eq!(now, Some(root), "the checkpoint of {size} lines is of another ledger");
    }
    roots.len()
}

/// The whole notes in the log of checkpoints; a crash can leave the last one out, or the first.
fn logged(dir: &Path) -> Vec<(u64, TreeHash)> {
    let bytes = std::fs::read(dir.join("checkpoints.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&bytes).into_owned();
    let mut notes = Vec::new();
    let mut starts: Vec<_> = log.match_indices("carbon-ops/ledger/").map(|(at, _)| at).collect();
    starts.retain(|at| *at == 0 || log.as_bytes()[at - 1] == b'\n');
    starts.push(log.len());
    for pair in starts.windows(2) {
        let note = Note::parse(&log.as_bytes()[pair[0]..pair[1]]);
        if let Ok(checkpoint) = note.and_then(|note| Checkpoint::of_note(&note)) {
            notes.push((checkpoint.size, checkpoint.root));
        }
    }
    notes
}
